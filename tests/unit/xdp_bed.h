/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The AF_XDP source on a veth pair in a network namespace of its own:
 *
 *     tx0 ── AF_PACKET socket of the test        rx0 ── tl_source_afxdp
 *
 * Frames carry a number, so that each one is accounted for. Skips only without root or veth.
 */
#ifndef TAPLINE_TEST_XDP_BED_H
#define TAPLINE_TEST_XDP_BED_H

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tapline/filter.h"
#include "tapline/source.h"

#define FRAME_ROOM  9100
#define RX_MAX	    70000
#define QUIET_MS    50
#define PATIENCE_MS 10000

struct frame {
	uint8_t data[FRAME_ROOM];
	uint32_t bytes;
};

struct bed {
	int tx;
	struct tl_source *sources[4];
	uint32_t source_count;
	char mode[128];
	uint64_t sent;
	uint64_t received; /* by all sources */
	uint64_t by_source[4];
	uint64_t last_ts_ns;
	uint64_t source_ts_ns[4]; /* of the last packet of each */
	uint64_t out_of_order;
	uint32_t caplen_min, caplen_max;
	void (*look)(struct bed *bed, uint32_t source, const struct tl_packet *packet);
	uint64_t seen[RX_MAX]; /* how often each number came */
	uint64_t wrong;	       /* bytes or lengths that differ from what was sent */
	uint32_t owner[64];    /* source + 1 of each flow */
};

static struct bed bed;

static inline void run(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static inline void setup(unsigned int mtu)
{
	char command[512];

	if (geteuid() || unshare(CLONE_NEWNET))
		cr_skip_test("needs root and network namespaces");
	snprintf(command, sizeof(command),
		 "ip link add tx0 mtu %u numtxqueues 2 numrxqueues 2 type veth peer name rx0 "
		 "mtu %u numtxqueues 2 numrxqueues 2",
		 mtu, mtu);
	if (system(command))
		cr_skip_test("no veth interfaces here");
	run("for i in tx0 rx0; do sysctl -qw net.ipv6.conf.$i.disable_ipv6=1; "
	    "ethtool -K $i rx off tx off sg off tso off gso off gro off >/dev/null 2>&1; "
	    "ip link set $i arp off multicast off up; done");
	memset(&bed, 0, sizeof(bed));
	bed.tx = socket(AF_PACKET, SOCK_RAW, 0);
	cr_assert_geq(bed.tx, 0);
	const struct sockaddr_ll to = { .sll_family = AF_PACKET,
					.sll_ifindex = (int)if_nametoindex("tx0") };
	cr_assert_eq(bind(bed.tx, (const struct sockaddr *)&to, sizeof(to)), 0);
}

static inline struct tl_source_live_opts defaults(void)
{
	return (struct tl_source_live_opts){ .interface = "rx0",
					     .queue_count = 1,
					     .snaplen = 262144,
					     .promiscuous = 1,
					     .numa_node = -1 };
}

static inline void open_sources(const struct tl_source_live_opts *opts)
{
	struct tl_error error = { "" };
	int rc = tl_source_afxdp__create(opts, &error, bed.mode, bed.sources);

	cr_assert_eq(rc, 0, "%s", error.what);
	bed.source_count = opts->queue_count;
}

/* --- frames -------------------------------------------------------------------------------- */

static inline void put16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static inline void put32(uint8_t *to, uint32_t v)
{
	put16(to, v >> 16);
	put16(to + 2, v);
}

struct flow {
	uint32_t src, dst;
	uint16_t src_port, dst_port;
	uint8_t proto; /* 6, 17 */
	uint8_t tcp_flags;
	uint8_t options; /* TCP: words of options */
	uint16_t fragment;
	uint16_t id;
	uint8_t vlan;
};

/* An IPv4 packet of `bytes` in all, whose last bytes are filled from its number. */
static inline struct frame make_frame(const struct flow *flow, uint32_t number, uint32_t bytes)
{
	struct frame f = { .bytes = bytes };
	uint8_t *ip = f.data + 14, *l4;

	for (uint32_t i = 0; i < bytes; i++)
		f.data[i] = (uint8_t)(number + i);
	memcpy(f.data, "\2\0\0\0\0\1\2\0\0\0\0\2\x08\0", 14);
	if (flow->vlan) {
		memcpy(f.data + 12, "\x81\0\x60\x0c\x08\0", 6);
		ip += 4;
	}
	memcpy(ip, "\x45\0\0\0\0\0\0\0\x40\0\0\0", 12);
	put16(ip + 2, bytes - (uint32_t)(ip - f.data));
	put16(ip + 4, flow->id);
	put16(ip + 6, flow->fragment);
	ip[9] = flow->proto;
	put32(ip + 12, flow->src);
	put32(ip + 16, flow->dst);
	l4 = ip + 20;
	if (!(flow->fragment & 0x1fff)) {
		put16(l4, flow->src_port);
		put16(l4 + 2, flow->dst_port);
		if (flow->proto == 6) {
			l4[12] = (uint8_t)((5 + flow->options) << 4);
			l4[13] = flow->tcp_flags;
		}
	}
	put32(f.data + bytes - 4, number);
	return f;
}

static const struct flow udp_flow = { 0x0a000001, 0x0a000002, 1000, 7, 17, 0, 0, 0, 0, 0 };

static inline void send_frame(const struct frame *f)
{
	while (send(bed.tx, f->data, f->bytes, 0) < 0) {
		cr_assert(errno == ENOBUFS || errno == EAGAIN, "send: %s", strerror(errno));
		sched_yield();
	}
	bed.sent++;
}

static inline void send_flow(const struct flow *flow, uint32_t first, uint32_t count,
			     uint32_t bytes)
{
	for (uint32_t i = 0; i < count; i++) {
		struct frame f = make_frame(flow, first + i, bytes);

		send_frame(&f);
	}
}

/* --- reading ------------------------------------------------------------------------------- */

static inline void note(uint32_t source, const struct tl_packet *p)
{
	uint8_t last[4];
	uint32_t number;

	bed.received++;
	bed.by_source[source]++;
	bed.last_ts_ns = p->ts_ns;
	bed.out_of_order += p->ts_ns < bed.source_ts_ns[source];
	bed.source_ts_ns[source] = p->ts_ns;
	if (bed.received == 1 || p->caplen < bed.caplen_min)
		bed.caplen_min = p->caplen;
	if (p->caplen > bed.caplen_max)
		bed.caplen_max = p->caplen;
	if (bed.look)
		bed.look(&bed, source, p);
	if (p->caplen != p->wirelen)
		return;
	memcpy(last, p->data + p->caplen - 4, 4);
	number = (uint32_t)last[0] << 24 | (uint32_t)last[1] << 16 | (uint32_t)last[2] << 8 |
		 last[3];
	if (number >= RX_MAX) {
		bed.wrong++;
		return;
	}
	bed.seen[number]++;
	for (uint32_t i = 60; i + 4 < p->caplen; i++)
		bed.wrong += p->data[i] != (uint8_t)(number + i);
}

static inline struct tl_source_stats totals(void)
{
	struct tl_source_stats sum = { 0 };

	for (uint32_t s = 0; s < bed.source_count; s++) {
		struct tl_source_stats one;

		cr_assert_eq(bed.sources[s]->ops->stats(bed.sources[s], &one), 0);
		tl_source_stats__add(&sum, &one);
	}
	return sum;
}

static inline uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* On a busy machine the kernel takes a while to get round to what was sent. */
static inline void await_all_received(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < PATIENCE_MS && totals().received < bed.sent; i++)
		nanosleep(&pause, NULL);
}

static inline int read_once(void)
{
	struct tl_packet packets[TL_BATCH_MAX];
	int got = 0;

	for (uint32_t s = 0; s < bed.source_count; s++) {
		int n = tl_source__poll(bed.sources[s], packets, TL_BATCH_MAX);

		if (n == -ENETDOWN)
			continue;
		cr_assert_geq(n, 0, "poll: %s", strerror(-n));
		for (int i = 0; i < n; i++)
			note(s, &packets[i]);
		tl_source__release(bed.sources[s], (uint64_t)n);
		got += n;
	}
	return got;
}

/* Reads until nothing has come for a while, and nothing that was sent is missing. */
static inline void read_all(void)
{
	uint64_t start = monotonic_ms(), last = start, now = start;

	while (now - last < QUIET_MS ||
	       (totals().received < bed.sent && now - start < PATIENCE_MS)) {
		if (read_once())
			last = monotonic_ms();
		else
			bed.sources[0]->ops->wait(bed.sources[0], 5);
		now = monotonic_ms();
	}
}

/* Stops, drains, and checks that every packet sent is in exactly one counter. */
static inline struct tl_source_stats close_sources(void)
{
	await_all_received();
	for (uint32_t s = 0; s < bed.source_count; s++)
		cr_assert_eq(bed.sources[s]->ops->stop(bed.sources[s]), 0);
	read_all();
	struct tl_source_stats sum = totals();
	cr_expect_eq(bed.out_of_order, 0, "%lu packets older than one before them",
		     bed.out_of_order);
	cr_expect_eq(sum.received, bed.sent, "received %lu of %lu", sum.received, bed.sent);
	cr_expect_eq(sum.captured, bed.received, "captured %lu, handed out %lu", sum.captured,
		     bed.received);
	cr_expect_eq(sum.received, sum.filtered + sum.sampled_out + sum.cut_off + sum.captured +
					   tl_drops__total(&sum.dropped));
	for (uint32_t s = 0; s < bed.source_count; s++)
		tl_source__destroy(bed.sources[s]);
	return sum;
}

static inline uint64_t numbers_seen_once(uint32_t first, uint32_t count)
{
	uint64_t once = 0;

	for (uint32_t i = first; i < first + count; i++)
		once += bed.seen[i] == 1;
	return once;
}

/* --- facts --------------------------------------------------------------------------------- */

#endif
