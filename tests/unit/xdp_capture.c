/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link PkgConfig::bpf */
/* runs alone */
/*
 * The AF_XDP source: every frame, in each mode; filters; queues and their flows; an interface that
 * comes and goes. What is reduced in the kernel is in xdp_reduce.c.
 */
#include "xdp_bed.h"

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
