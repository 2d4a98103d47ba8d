/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/* What is told of a flow that stands: its begin, each period of its life, the bytes of its IP
 * packets. */
#include <criterion/criterion.h>

#include "flow_test.h"

struct told {
	uint32_t begun, active, ended;
	uint64_t begun_packets; /* of the last one, as it was told */
	uint64_t active_at[64];
	uint64_t active_packets[64];
};

static void on_begin(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	struct told *told = ctx;

	told->begun++;
	told->begun_packets = flow->packets[0] + flow->packets[1];
	cr_expect_eq(now_ns, flow->first_ns);
}

static void on_active(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	struct told *told = ctx;

	cr_assert_lt(told->active, 64);
	told->active_at[told->active] = now_ns;
	told->active_packets[told->active++] = flow->packets[0] + flow->packets[1];
}

static void on_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct told *told = ctx;

	(void)flow;
	(void)end;
	told->ended++;
}

static struct bed *bed_with(struct told *told, uint64_t active_ns)
{
	struct tl_flow_table_opts opts = {
		.memory_bytes = 1 << 20,
		.numa_node = -1,
		.on_end = on_end,
		.on_begin = on_begin,
		.on_active = on_active,
		.active_ns = active_ns,
		.ctx = told,
	};
	struct bed *bed = calloc(1, sizeof(*bed));

	cr_assert_eq(tl_flow_table__create(&opts, &bed->table), 0);
	return bed;
}

/* One packet each 100 ms from `from_s` to `to_s`; the table is asked at the same times. */
static void talk(struct bed *bed, uint64_t from_s, uint64_t to_s)
{
	struct seg seg = { .src = 1, .dst = 2, .src_port = 3, .dst_port = 4, .flags = TL_TCP_ACK };

	for (uint64_t at = from_s * 10; at < to_s * 10; at++) {
		seg.ts_ns = T0 + at * 100 * MS;
		bed__send(bed, seg);
		tl_flow_table__tell_active(bed->table, seg.ts_ns);
	}
}

Test(flow_alive, a_begin_is_told_after_the_first_packet)
{
	struct told told = { 0 };
	struct bed *bed = bed_with(&told, 10 * S);

	talk(bed, 0, 2);
	cr_expect_eq(told.begun, 1);
	cr_expect_eq(told.begun_packets, 1);
	cr_expect_eq(told.active, 0);
	tl_flow_table__drain(bed->table);
	cr_expect_eq(told.ended, 1);
	bed__destroy(bed);
}

Test(flow_alive, each_period_is_told_once_and_soon)
{
	struct told told = { 0 };
	struct bed *bed = bed_with(&told, 10 * S);

	talk(bed, 0, 65);
	cr_expect_eq(told.active, 6);
	for (uint32_t i = 0; i < told.active; i++) {
		uint64_t due = T0 + (i + 1) * 10 * S;

		cr_expect_geq(told.active_at[i], due);
		cr_expect_leq(told.active_at[i], due + 10 * S / 16 + 200 * MS);
		cr_expect_gt(told.active_packets[i], i * 100ull, "totals since the begin");
	}
	bed__destroy(bed);
}

Test(flow_alive, a_flow_without_packets_is_not_told_again)
{
	struct told told = { 0 };
	struct bed *bed = bed_with(&told, 10 * S);

	talk(bed, 0, 12);
	cr_expect_eq(told.active, 1);
	for (uint64_t at = 12; at < 200; at++)
		tl_flow_table__tell_active(bed->table, T0 + at * S);
	/* two seconds of the second period had packets; none after that */
	cr_expect_eq(told.active, 2);
	bed__destroy(bed);
}

Test(flow_alive, a_jump_of_time_tells_once)
{
	struct told told = { 0 };
	struct bed *bed = bed_with(&told, 10 * S);

	talk(bed, 0, 5);
	talk(bed, 1000, 1001);
	cr_expect_leq(told.active, 1);
	bed__destroy(bed);
}

Test(flow_alive, ip_bytes_leave_headers_of_the_link_and_padding_out)
{
	struct told told = { 0 };
	struct bed *bed = bed_with(&told, 10 * S);
	struct seg seg = { .src = 1, .dst = 2, .src_port = 3, .dst_port = 4, .flags = TL_TCP_ACK };
	struct tl_flow *flow = NULL;
	uint64_t bytes;
	struct made made;

	seg.ts_ns = T0;
	for (uint32_t i = 0; i < 3; i++) {
		bed__make(&seg, &made);
		made.layers.ip_bytes = 40 + i; /* the frame has 60 bytes */
		flow = bed__look_up(bed, &made).ret_flow;
	}
	cr_expect_eq(flow->bytes[0] + flow->bytes[1], 180);
	cr_expect(tl_flow__ip_bytes(flow, flow->packets[1] ? 1 : 0, &bytes));
	cr_expect_eq(bytes, 40 + 41 + 42);
	bed__make(&seg, &made);
	made.packet.wirelen = UINT32_MAX;
	flow = bed__look_up(bed, &made).ret_flow;
	cr_expect_not(tl_flow__ip_bytes(flow, flow->packets[1] ? 1 : 0, &bytes),
		      "what cannot be counted is not told");
	bed__destroy(bed);
}
