/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two questions to generic netlink: the number of the family "netdev", then one device of it.
 *
 *   nlmsghdr (type: the family) │ genlmsghdr (command) │ nlattr │ nlattr │ …
 *
 * The constants are of include/uapi/linux/netdev.h, which distributions older than Linux 6.3 lack.
 */
#include "netdev.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NETDEV_CMD_DEV_GET = 1, NETDEV_A_DEV_IFINDEX = 1, NETDEV_A_DEV_XDP_FEATURES = 3 };

struct question {
	struct nlmsghdr head;
	struct genlmsghdr generic;
	struct nlattr attribute;
	char value[8];
};

struct answer {
	union {
		struct nlmsghdr head;
		char bytes[8192];
	};
	size_t length;
};

static int ask(int fd, struct question *q, size_t value_bytes, struct answer *ret_answer)
{
	ssize_t got;

	q->attribute.nla_len = (uint16_t)(NLA_HDRLEN + value_bytes);
	q->head.nlmsg_flags = NLM_F_REQUEST;
	q->head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(GENL_HDRLEN) + NLA_ALIGN(q->attribute.nla_len));
	if (send(fd, q, q->head.nlmsg_len, 0) < 0)
		return -errno;
	got = recv(fd, ret_answer->bytes, sizeof(ret_answer->bytes), 0);
	if (got < 0)
		return -errno;
	ret_answer->length = (size_t)got;
	if (!NLMSG_OK(&ret_answer->head, ret_answer->length) ||
	    ret_answer->head.nlmsg_type == NLMSG_ERROR)
		return -EOPNOTSUPP;
	return 0;
}

/* Copies the attribute's value; -ENODATA when it is not there. */
static int attribute(const struct answer *answer, uint16_t type, void *ret_value, size_t bytes)
{
	size_t at = NLMSG_LENGTH(GENL_HDRLEN);
	size_t end = answer->head.nlmsg_len;

	while (at + NLA_HDRLEN <= end) {
		struct nlattr a;

		memcpy(&a, answer->bytes + at, sizeof(a));
		if (a.nla_len < NLA_HDRLEN || at + a.nla_len > end)
			break;
		if ((a.nla_type & NLA_TYPE_MASK) == type && a.nla_len >= NLA_HDRLEN + bytes) {
			memcpy(ret_value, answer->bytes + at + NLA_HDRLEN, bytes);
			return 0;
		}
		at += NLA_ALIGN(a.nla_len);
	}
	return -ENODATA;
}

static int family(int fd, uint16_t *ret_family)
{
	struct question q = {
		.head = { .nlmsg_type = GENL_ID_CTRL },
		.generic = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		.attribute = { .nla_type = CTRL_ATTR_FAMILY_NAME },
		.value = "netdev",
	};
	struct answer answer;
	int err = ask(fd, &q, sizeof("netdev"), &answer);

	return err ? err : attribute(&answer, CTRL_ATTR_FAMILY_ID, ret_family, sizeof(*ret_family));
}

int netdev__xdp_features(uint32_t ifindex, uint64_t *ret_features)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);
	struct question q = {
		.generic = { .cmd = NETDEV_CMD_DEV_GET, .version = 1 },
		.attribute = { .nla_type = NETDEV_A_DEV_IFINDEX },
	};
	struct answer answer;
	int err;

	if (fd < 0)
		return -errno;
	err = family(fd, &q.head.nlmsg_type);
	memcpy(q.value, &ifindex, sizeof(ifindex));
	if (!err)
		err = ask(fd, &q, sizeof(ifindex), &answer);
	if (!err)
		err = attribute(&answer, NETDEV_A_DEV_XDP_FEATURES, ret_features,
				sizeof(*ret_features));
	close(fd);
	return err;
}
