/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One question to rtnetlink and its answer: see netlink.h.
 *
 *   nlmsghdr │ ifinfomsg │ rtattr IFLA_STATS64 │ rtattr IFLA_XDP { ATTACHED, PROG_ID, … } │ …
 */
#include "netlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct question {
	struct nlmsghdr head;
	struct ifinfomsg link;
	struct rtattr attribute;
	char name[IF_NAMESIZE];
};

static int ask(int fd, const char *name)
{
	struct question q = {
		.head = { .nlmsg_len = sizeof(q),
			  .nlmsg_type = RTM_GETLINK,
			  .nlmsg_flags = NLM_F_REQUEST,
			  .nlmsg_seq = 1 },
		.link = { .ifi_family = AF_UNSPEC },
		.attribute = { .rta_len = RTA_LENGTH(IF_NAMESIZE), .rta_type = IFLA_IFNAME },
	};

	snprintf(q.name, sizeof(q.name), "%s", name);
	return send(fd, &q, sizeof(q), 0) < 0 ? -errno : 0;
}

static void read_xdp(const struct rtattr *nest, struct netlink_link *link)
{
	int left = (int)RTA_PAYLOAD(nest);

	for (const struct rtattr *a = RTA_DATA(nest); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == IFLA_XDP_ATTACHED && RTA_PAYLOAD(a) >= 1)
			memcpy(&link->xdp_mode, RTA_DATA(a), 1);
		if (a->rta_type == IFLA_XDP_PROG_ID && RTA_PAYLOAD(a) >= sizeof(uint32_t))
			memcpy(&link->xdp_program, RTA_DATA(a), sizeof(uint32_t));
	}
}

static void read_counters(const struct rtattr *a, struct netlink_link *link)
{
	struct rtnl_link_stats64 stats = { 0 };
	size_t bytes = RTA_PAYLOAD(a);

	memcpy(&stats, RTA_DATA(a), bytes < sizeof(stats) ? bytes : sizeof(stats));
	link->rx_missed = stats.rx_missed_errors;
	link->rx_fifo = stats.rx_fifo_errors;
}

static int parse(const struct nlmsghdr *head, size_t bytes, struct netlink_link *ret_link)
{
	struct netlink_link link = { 0 };
	const struct rtattr *a;
	int left;

	if (!NLMSG_OK(head, bytes))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *error = NLMSG_DATA(head);

		return head->nlmsg_len >= NLMSG_LENGTH(sizeof(*error)) && error->error
			       ? error->error
			       : -EBADMSG;
	}
	if (head->nlmsg_type != RTM_NEWLINK)
		return -EBADMSG;
	left = (int)IFLA_PAYLOAD(head);
	for (a = IFLA_RTA(NLMSG_DATA(head)); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		switch (a->rta_type & NLA_TYPE_MASK) {
		case IFLA_STATS64:
			read_counters(a, &link);
			break;
		case IFLA_XDP:
			read_xdp(a, &link);
			break;
		}
	}
	*ret_link = link;
	return 0;
}

int netlink__read(const char *name, struct netlink_link *ret_link)
{
	union {
		struct nlmsghdr head;
		char bytes[32768]; /* an answer with virtual functions is several kB long */
	} answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t got;
	int err;

	if (fd < 0)
		return -errno;
	err = ask(fd, name);
	if (!err) {
		got = recv(fd, &answer, sizeof(answer), 0);
		err = got < 0 ? -errno : parse(&answer.head, (size_t)got, ret_link);
	}
	close(fd);
	return err;
}
