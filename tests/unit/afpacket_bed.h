/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A wire for the tests of the live sources: a veth pair in a network namespace of the test's own.
 *
 *     test ── packet socket ──► tlap-a ═════ tlap-b ──► source under test
 *                                   (own namespace)
 *
 * Criterion runs each test in a process of its own, so the namespace ends with the test. Offloads
 * of the sender are off and IPv6 is silent, so that exactly what was sent arrives.
 */
#ifndef TAPLINE_TESTS_AFPACKET_BED_H
#define TAPLINE_TESTS_AFPACKET_BED_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tapline/filter.h"
#include "tapline/source.h"

#define BED_SENDER "tlap-a"
#define BED_WIRE   "tlap-b"

static inline void bed__shell(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static inline void bed__write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return; /* a kernel without IPv6 is silent anyhow */
	cr_assert_gt(write(fd, text, strlen(text)), 0);
	close(fd);
}

static inline void bed__add_link(void)
{
	bed__shell("ip link add " BED_SENDER " type veth peer name " BED_WIRE);
	bed__shell("ethtool -K " BED_SENDER " tx off tso off gso off txvlan off >/dev/null 2>&1");
	bed__shell("ip link set " BED_SENDER " up && ip link set " BED_WIRE " up");
}

static inline void bed__enter(void)
{
	if (geteuid() || unshare(CLONE_NEWNET))
		cr_skip_test("needs root, for a network namespace of its own");
	bed__write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	bed__write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	bed__add_link();
}

static inline int bed__sender(void)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	to.sll_ifindex = (int)if_nametoindex(BED_SENDER);
	cr_assert_eq(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static inline void bed__send(int fd, const void *frame, size_t bytes)
{
	while (send(fd, frame, bytes, 0) != (ssize_t)bytes)
		cr_assert_eq(errno, ENOBUFS);
}

static inline struct tl_filter *bed__filter(const char *expression)
{
	struct tl_filter *filter = NULL;
	struct tl_error error = { "" };

	cr_assert_eq(tl_filter__compile(expression, TL_LINKTYPE_ETHERNET, TL_SNAPLEN_DEFAULT,
					&error, &filter),
		     0, "%s", error.what);
	return filter;
}

static inline struct tl_source_live_opts bed__opts(void)
{
	return (struct tl_source_live_opts){
		.interface = BED_WIRE,
		.queue_count = 1,
		.buffer_bytes = 32 << 20, /* a second of 4 ms blocks: the machine has other work */
		.promiscuous = 1,
		.numa_node = -1,
	};
}

static inline void bed__open(const struct tl_source_live_opts *opts, struct tl_source **ret_sources)
{
	struct tl_error error = { "" };
	char mode[128] = "";

	cr_assert_eq(tl_source_afpacket__create(opts, &error, mode, ret_sources), 0, "%s",
		     error.what);
	cr_assert(strstr(mode, "TPACKET_V3"), "%s", mode);
}

static inline uint64_t bed__now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* What is done with each packet. */
struct bed_visitor {
	void (*visit)(void *ctx, const struct tl_packet *packet); /* NULL: they are only counted */
	void *ctx;
};

#define BED_COUNT ((struct bed_visitor){ NULL, NULL })

/*
 * Reads until `count` packets came or `timeout_ms` passed; releases all of them. Checks on the way
 * that no packet is older than the watermark promised. Count.
 */
static inline uint64_t bed__read(struct tl_source *source, uint64_t count, int timeout_ms,
				 struct bed_visitor visitor)
{
	uint64_t end = bed__now_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * 1000000;
	uint64_t got = 0;

	while (got < count && bed__now_ns(CLOCK_MONOTONIC) < end) {
		struct tl_packet packets[TL_BATCH_MAX];
		uint64_t promised = source->ops->watermark(source);
		int n = tl_source__poll(source, packets, TL_BATCH_MAX);

		for (int i = 0; i < n; i++) {
			cr_assert_geq(packets[i].ts_ns, promised, "older than the watermark");
			if (visitor.visit)
				visitor.visit(visitor.ctx, &packets[i]);
		}
		if (n > 0) {
			tl_source__release(source, (uint64_t)n);
			got += (uint64_t)n;
		} else {
			source->ops->wait(source, 10);
		}
	}
	return got;
}

/* Stops, reads until poll says that there is nothing left, and returns how many came. */
static inline uint64_t bed__drain(struct tl_source *source)
{
	struct tl_packet packets[TL_BATCH_MAX];
	uint64_t got = 0;
	int n;

	cr_assert_eq(source->ops->stop(source), 0);
	while ((n = tl_source__poll(source, packets, TL_BATCH_MAX)) > 0) {
		tl_source__release(source, (uint64_t)n);
		got += (uint64_t)n;
	}
	return got;
}

static inline struct tl_source_stats bed__stats(struct tl_source *source)
{
	struct tl_source_stats stats;

	cr_assert_eq(source->ops->stats(source, &stats), 0);
	return stats;
}

static inline void bed__assert_closed(const struct tl_source_stats *s)
{
	cr_assert_eq(s->received, s->filtered + s->captured + tl_drops__total(&s->dropped),
		     "received %lu, filtered %lu, captured %lu, ring full %lu, kernel %lu",
		     s->received, s->filtered, s->captured, s->dropped.ring_full,
		     s->dropped.kernel);
}

#endif
