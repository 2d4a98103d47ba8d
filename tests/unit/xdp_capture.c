/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link PkgConfig::bpf */
/* runs alone */
/*
 * The AF_XDP source on a veth pair in a network namespace of its own:
 *
 *     tx0 ── AF_PACKET socket of the test        rx0 ── tl_source_afxdp
 *
 * Frames carry a number, so that each one is accounted for. Skips only without root or veth.
 */
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

static void run(const char *command)
{
	cr_assert_eq(system(command), 0, "%s", command);
}

static void setup(unsigned int mtu)
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

static struct tl_source_live_opts defaults(void)
{
	return (struct tl_source_live_opts){ .interface = "rx0",
					     .queue_count = 1,
					     .snaplen = 262144,
					     .promiscuous = 1,
					     .numa_node = -1 };
}

static void open_sources(const struct tl_source_live_opts *opts)
{
	struct tl_error error = { "" };
	int rc = tl_source_afxdp__create(opts, &error, bed.mode, bed.sources);

	cr_assert_eq(rc, 0, "%s", error.what);
	bed.source_count = opts->queue_count;
}

/* --- frames -------------------------------------------------------------------------------- */

static void put16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static void put32(uint8_t *to, uint32_t v)
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
static struct frame make_frame(const struct flow *flow, uint32_t number, uint32_t bytes)
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

static void send_frame(const struct frame *f)
{
	while (send(bed.tx, f->data, f->bytes, 0) < 0) {
		cr_assert(errno == ENOBUFS || errno == EAGAIN, "send: %s", strerror(errno));
		sched_yield();
	}
	bed.sent++;
}

static void send_flow(const struct flow *flow, uint32_t first, uint32_t count, uint32_t bytes)
{
	for (uint32_t i = 0; i < count; i++) {
		struct frame f = make_frame(flow, first + i, bytes);

		send_frame(&f);
	}
}

/* --- reading ------------------------------------------------------------------------------- */

static void note(uint32_t source, const struct tl_packet *p)
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

static struct tl_source_stats totals(void)
{
	struct tl_source_stats sum = { 0 };

	for (uint32_t s = 0; s < bed.source_count; s++) {
		struct tl_source_stats one;

		cr_assert_eq(bed.sources[s]->ops->stats(bed.sources[s], &one), 0);
		tl_source_stats__add(&sum, &one);
	}
	return sum;
}

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* On a busy machine the kernel takes a while to get round to what was sent. */
static void await_all_received(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < PATIENCE_MS && totals().received < bed.sent; i++)
		nanosleep(&pause, NULL);
}

static int read_once(void)
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
static void read_all(void)
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
static struct tl_source_stats close_sources(void)
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

static uint64_t numbers_seen_once(uint32_t first, uint32_t count)
{
	uint64_t once = 0;

	for (uint32_t i = first; i < first + count; i++)
		once += bed.seen[i] == 1;
	return once;
}

/* --- facts --------------------------------------------------------------------------------- */

static uint64_t wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void expect_every_frame(enum tl_xdp_mode mode, const char *mode_name)
{
	struct tl_source_live_opts opts = defaults();
	uint64_t before;

	setup(1500);
	opts.xdp = mode;
	open_sources(&opts);
	cr_expect_not_null(strstr(bed.mode, mode_name), "%s", bed.mode);
	before = wall_ns();
	for (uint32_t i = 0; i < 100; i++) {
		send_flow(&udp_flow, i * 100, 100, 64 + i);
		struct tl_packet packets[TL_BATCH_MAX];
		int n = tl_source__poll(bed.sources[0], packets, TL_BATCH_MAX);

		for (int k = 0; k < n; k++)
			note(0, &packets[k]);
		tl_source__release(bed.sources[0], (uint64_t)n);
	}
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(numbers_seen_once(0, 10000), 10000);
	cr_expect_eq(bed.wrong, 0);
	cr_expect_eq(tl_drops__total(&sum.dropped), 0);
	cr_expect_geq(bed.last_ts_ns, before);
	cr_expect_leq(bed.last_ts_ns, wall_ns());
}

Test(xdp_capture, every_frame_native)
{
	expect_every_frame(TL_XDP_NATIVE, "native");
}

Test(xdp_capture, every_frame_generic)
{
	expect_every_frame(TL_XDP_GENERIC, "generic");
}

Test(xdp_capture, what_the_ring_had_no_room_for_is_counted)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	opts.buffer_bytes = 1; /* the least there is: 2048 frames a queue */
	open_sources(&opts);
	send_flow(&udp_flow, 0, 10000, 100);
	struct tl_source_stats sum = close_sources();

	cr_expect_gt(tl_drops__total(&sum.dropped), 5000);
	cr_expect_gt(sum.captured, 1000);
	cr_expect_eq(sum.dropped.ring_full + sum.dropped.fill_empty, tl_drops__total(&sum.dropped),
		     "ring_full %lu fill_empty %lu kernel %lu", sum.dropped.ring_full,
		     sum.dropped.fill_empty, sum.dropped.kernel);
	cr_expect_eq(numbers_seen_once(0, 10000), sum.captured);
}

static struct tl_filter *compiled(const char *expression)
{
	struct tl_filter *filter = NULL;
	struct tl_error error = { "" };

	cr_assert_eq(tl_filter__compile(expression, 1, 262144, &error, &filter), 0, "%s",
		     error.what);
	return filter;
}

Test(xdp_capture, the_filter_decides_and_is_replaced_without_loss)
{
	struct tl_source_live_opts opts = defaults();
	struct tl_filter *a = compiled("udp dst port 7 or udp dst port 8");
	struct tl_filter *b = compiled("udp dst port 7 or udp dst port 9");
	struct flow both = udp_flow, never = udp_flow;

	setup(1500);
	never.dst_port = 10;
	opts.filter = a;
	open_sources(&opts);
	for (uint32_t i = 0; i < 200; i++) {
		send_flow(&both, i * 100, 50, 80);
		send_flow(&never, i * 100 + 50, 50, 80);
		cr_assert_eq(bed.sources[0]->ops->set_filter(bed.sources[0], i & 1 ? a : b), 0);
		if (i % 20 == 19)
			read_all();
	}
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(sum.filtered, 10000);
	cr_expect_eq(sum.captured, 10000);
	for (uint32_t i = 0; i < 20000; i++)
		cr_assert_eq(bed.seen[i], i % 100 < 50, "frame %u", i);
	tl_filter__destroy(a);
	tl_filter__destroy(b);
}

Test(xdp_capture, a_filter_that_the_kernel_cannot_run_runs_in_user_space)
{
	struct tl_source_live_opts opts = defaults();
	struct tl_filter *loops = compiled("ip protochain 17 and udp port 7");
	struct flow other = udp_flow;

	setup(1500);
	other.dst_port = 8;
	opts.filter = loops;
	open_sources(&opts);
	cr_expect_not_null(strstr(bed.mode, "filter in user space"), "%s", bed.mode);
	send_flow(&udp_flow, 0, 300, 80);
	send_flow(&other, 300, 200, 80);
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(sum.filtered, 200);
	cr_expect_eq(sum.captured_bytes, 300 * 80);
	cr_expect_eq(numbers_seen_once(0, 300), 300);
	tl_filter__destroy(loops);
}

Test(xdp_capture, sample_keeps_exactly_one_in_n)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	opts.sample = 100;
	open_sources(&opts);
	send_flow(&udp_flow, 0, 20000, 80);
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(sum.captured, 200);
	cr_expect_eq(sum.sampled_out, 19800);
}

/* Both directions of 64 flows between two hosts, told apart by their ports. */
static void send_both_ways(uint32_t flow, uint32_t number, uint16_t fragment)
{
	struct flow there = udp_flow, back = udp_flow;

	there.src_port = back.dst_port = (uint16_t)(2000 + flow);
	back.src_port = there.dst_port;
	back.src = there.dst;
	back.dst = there.src;
	there.fragment = back.fragment = fragment;
	there.id = (uint16_t)(3 * flow);
	back.id = (uint16_t)(3 * flow + 1);
	send_flow(&there, number, 1, 90);
	send_flow(&back, number + 1, 1, 90);
}

Test(xdp_capture, flow_samples_are_whole_flows_with_their_fragments)
{
	struct tl_source_live_opts opts = defaults();
	uint32_t kept = 0;

	setup(1500);
	opts.sample_flows = 4;
	open_sources(&opts);
	for (uint32_t flow = 0; flow < 1000; flow++) {
		send_both_ways(flow, flow * 8, 0);
		send_both_ways(flow, flow * 8 + 2, 0);
		send_both_ways(flow, flow * 8 + 4, 0x2000);
		send_both_ways(flow, flow * 8 + 6, 0x0007);
		if (flow % 100 == 99)
			read_all();
	}
	struct tl_source_stats sum = close_sources();

	for (uint32_t flow = 0; flow < 1000; flow++) {
		uint64_t n = numbers_seen_once(flow * 8, 8);

		cr_expect(n == 0 || n == 8, "flow %u: %lu of its 8 packets", flow, n);
		kept += n == 8;
	}
	cr_expect(kept > 150 && kept < 350, "%u of 1000 flows", kept);
	cr_expect_eq(sum.sampled_out, 8 * (1000 - kept));
}

static void look_headers(struct bed *b, uint32_t source, const struct tl_packet *p)
{
	uint32_t l3 = p->data[12] == 0x81 ? 18 : 14;
	uint32_t want = l3 + 20 + (p->data[l3 + 9] == 6 ? (p->data[l3 + 32] >> 4) * 4u : 8);

	(void)source;
	b->wrong += p->caplen != want || p->wirelen != 500;
}

Test(xdp_capture, headers_only_keeps_all_options)
{
	struct tl_source_live_opts opts = defaults();
	struct flow flow = udp_flow;

	setup(1500);
	opts.headers_only = 1;
	open_sources(&opts);
	bed.look = look_headers;
	for (uint32_t i = 0; i < 22; i++) {
		flow.proto = i < 20 ? 6 : 17;
		flow.options = (uint8_t)(i % 10);
		flow.vlan = i & 1;
		send_flow(&flow, i, 1, 500);
	}
	close_sources();
	cr_expect_eq(bed.received, 22);
	cr_expect_eq(bed.wrong, 0);
	cr_expect_eq(bed.caplen_min, 14 + 20 + 8);
	cr_expect_eq(bed.caplen_max, 18 + 20 + 56);
}

Test(xdp_capture, cutoff_keeps_the_first_bytes_and_the_ends_of_a_flow)
{
	struct tl_source_live_opts opts = defaults();
	struct flow there = udp_flow, back, end;

	setup(1500);
	there.proto = 6;
	there.tcp_flags = 0x10;
	back = there;
	back.src = there.dst;
	back.dst = there.src;
	back.src_port = there.dst_port;
	back.dst_port = there.src_port;
	end = there;
	opts.cutoff_bytes = 10000;
	open_sources(&opts);
	for (uint32_t i = 0; i < 50; i++) {
		send_flow(&there, 2 * i, 1, 300);
		send_flow(&back, 2 * i + 1, 1, 200);
	}
	for (uint32_t i = 0; i < 3; i++) { /* SYN and ACK, FIN, RST */
		end.tcp_flags = (uint8_t[]){ 0x12, 0x11, 0x14 }[i];
		send_flow(&end, 100 + i, 1, 100);
	}
	end.tcp_flags = 0x02; /* a new connection begins at 0 */
	send_flow(&end, 103, 1, 100);
	send_flow(&there, 104, 1, 300);
	struct tl_source_stats sum = close_sources();

	/* 20 pairs of 500 bytes are 10000: the packet after them is the first to go */
	for (uint32_t i = 0; i < 105; i++)
		cr_expect_eq(bed.seen[i], i < 40 || i >= 100, "frame %u", i);
	cr_expect_eq(sum.cut_off, 60);
}

Test(xdp_capture, snaplen_cuts_and_the_wire_length_stays)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	opts.snaplen = 10; /* shorter than the kernel itself can cut */
	open_sources(&opts);
	send_flow(&udp_flow, 0, 50, 1000);
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(bed.received, 50);
	cr_expect(bed.caplen_min == 10 && bed.caplen_max == 10);
	cr_expect_eq(sum.received_bytes, 50000);
	cr_expect_eq(sum.captured_bytes, 500);
}

Test(xdp_capture, jumbo_frames_arrive_whole)
{
	struct tl_source_live_opts opts = defaults();

	setup(9000);
	open_sources(&opts);
	for (uint32_t i = 0; i < 3000; i++) {
		send_flow(&udp_flow, i, 1, 60 + (i * 3) % 8950);
		if (i % 100 == 99)
			read_all();
	}
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(numbers_seen_once(0, 3000), 3000);
	cr_expect_eq(bed.wrong, 0);
	cr_expect_eq(tl_drops__total(&sum.dropped), 0);
}

static void look_owner(struct bed *b, uint32_t source, const struct tl_packet *p)
{
	uint32_t host = p->data[29] ^ p->data[33]; /* the last bytes of both addresses */

	if (b->owner[host & 63] && b->owner[host & 63] != source + 1)
		b->wrong++;
	b->owner[host & 63] = source + 1;
}

Test(xdp_capture, both_directions_and_fragments_meet_in_one_source)
{
	struct tl_source_live_opts opts = defaults();
	uint32_t number = 0;

	setup(1500);
	opts.queue_count = 2;
	open_sources(&opts);
	bed.look = look_owner;
	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t host = 1; host < 64; host++) {
			struct flow there = udp_flow, back;

			there.src = 0x0a000000;
			there.dst = 0x0a000000 + host;
			there.src_port = (uint16_t)(round * 64 + host);
			there.fragment = round % 4 == 3 ? 0x0010 : 0;
			back = there;
			back.src = there.dst;
			back.dst = there.src;
			send_flow(&there, number++, 1, 90);
			send_flow(&back, number++, 1, 90);
		}
		read_all();
	}
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(numbers_seen_once(0, number), number);
	cr_expect_eq(bed.wrong, 0);
	cr_expect_eq(tl_drops__total(&sum.dropped), 0);
	cr_expect_gt(bed.by_source[0], number / 5);
	cr_expect_gt(bed.by_source[1], number / 5);
}

Test(xdp_capture, says_why_it_cannot)
{
	struct tl_source_live_opts opts = defaults();
	struct tl_source *other[1];
	struct tl_error error = { "" };

	setup(1500);
	opts.interface = "nowhere";
	cr_expect_eq(tl_source_afxdp__create(&opts, &error, bed.mode, bed.sources), -ENODEV);
	cr_expect_not_null(strstr(error.what, "rx0"), "%s", error.what);
	opts.interface = "rx0";
	opts.xdp = TL_XDP_OFF;
	cr_expect_eq(tl_source_afxdp__create(&opts, &error, bed.mode, bed.sources), -EOPNOTSUPP);
	opts.xdp = TL_XDP_AUTO;
	open_sources(&opts);
	cr_expect_eq(tl_source_afxdp__create(&opts, &error, bed.mode, other), -EBUSY, "%s",
		     error.what);
	close_sources();
	run("ip addr add 192.0.2.1/24 dev rx0");
	cr_expect_eq(tl_source_afxdp__create(&opts, &error, bed.mode, other), -EOPNOTSUPP);
	cr_expect_not_null(strstr(error.what, "192.0.2.1"), "%s", error.what);
	run("ip addr flush dev rx0; ip link set rx0 down");
	cr_expect_eq(tl_source_afxdp__create(&opts, &error, bed.mode, other), -ENETDOWN);
}

/* Polls until the source says so. False: it never did. */
static bool says_down(bool wanted)
{
	struct tl_packet packets[1];
	uint64_t start = monotonic_ms();
	int n;

	do {
		n = tl_source__poll(bed.sources[0], packets, 1);
		cr_assert_leq(n, 0, "a packet nobody sent");
		bed.sources[0]->ops->wait(bed.sources[0], 5);
	} while ((n == -ENETDOWN) != wanted && monotonic_ms() - start < PATIENCE_MS);
	return (n == -ENETDOWN) == wanted;
}

Test(xdp_capture, goes_on_when_the_interface_is_up_again)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	open_sources(&opts);
	send_flow(&udp_flow, 0, 100, 80);
	read_all();
	run("ip link set rx0 down");
	cr_expect(says_down(true));
	run("ip link set rx0 up");
	cr_expect(says_down(false));
	send_flow(&udp_flow, 100, 100, 80);
	close_sources();
	cr_expect_eq(numbers_seen_once(0, 200), 200);
}

Test(xdp_capture, nothing_stays_attached)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	open_sources(&opts);
	run("ip -d link show rx0 | grep -q prog/xdp");
	run("ip -d link show rx0 | grep -q 'promiscuity [1-9]'");
	close_sources();
	run("! ip -d link show rx0 | grep -q prog/xdp");
	run("ip -d link show rx0 | grep -q 'promiscuity 0'");
}
