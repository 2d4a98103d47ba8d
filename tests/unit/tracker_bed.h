/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection written by hand, frame by frame, for the tests of the tracker's rules: the client is
 * side 0 with ISN 1000, the server side 1 with ISN 5000; times are in microseconds.
 */
#ifndef TAPLINE_TESTS_TRACKER_BED_H
#define TAPLINE_TESTS_TRACKER_BED_H

#include <criterion/criterion.h>

#include "unit/tracker_feed.h"

#define CLIENT 1001u
#define SERVER 5001u
#define LAST   4096u

struct bed {
	struct feed feed;
	struct tl_segment segment[LAST];
	struct tl_segment got; /* of the latest frame */
	struct tl_tracker_totals totals;
	uint16_t id[2];
	bool no_id, no_ts;
};

static inline void on_verdict(void *ctx, const struct feed_frame *frame,
			      const struct tl_segment *segment)
{
	struct bed *bed = ctx;

	(void)frame;
	bed->got = *segment;
}

static inline struct bed *make(void)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	cr_assert(bed);
	bed->feed.on_verdict = on_verdict;
	bed->feed.ctx = bed;
	feed__init(&bed->feed);
	bed->id[0] = 100;
	bed->id[1] = 30000;
	return bed;
}

static inline void destroy(struct bed *bed)
{
	feed__fini(&bed->feed);
	free(bed);
}

/* One frame, classified at once. Time 0 of ip_id or tsval: the next one, the current one. */
static inline const struct tl_segment *send(struct bed *bed, uint64_t us, struct sim_frame f)
{
	struct feed_frame frame = { .f = f, .port = 1 };

	frame.f.ts_ns = 1700000000000000000ull + us * 1000;
	if (!bed->no_id && !frame.f.ip_id)
		frame.f.ip_id = bed->id[f.side]++;
	frame.f.has_ts = !bed->no_ts;
	if (!frame.f.tsval)
		frame.f.tsval = (uint32_t)(us / 1000) + 1;
	if (!(f.flags & TL_TCP_RST) && !f.window)
		frame.f.window = 500;
	if (f.window == UINT16_MAX)
		frame.f.window = 0;
	feed__one(&bed->feed, &frame);
	if (bed->feed.n)
		feed__flush(&bed->feed);
	return &bed->got;
}

#define SHUT UINT16_MAX /* as `window`: a window of 0 */
#define DATA(at, length)                                                                           \
	{                                                                                          \
		.flags = TL_TCP_ACK, .seq = CLIENT + (at), .ack = SERVER, .bytes = (length)        \
	}
#define ACKS(at)                                                                                   \
	{                                                                                          \
		.side = 1, .flags = TL_TCP_ACK, .seq = SERVER, .ack = CLIENT + (at)                \
	}

static inline void shake_hands(struct bed *bed)
{
	send(bed, 0, (struct sim_frame){ .flags = TL_TCP_SYN, .seq = 1000 });
	send(bed, 1000,
	     (struct sim_frame){
		     .side = 1, .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = 5000, .ack = 1001 });
	send(bed, 2000, (struct sim_frame)DATA(0, 0));
}

static inline void finish(struct bed *bed)
{
	feed__finish(&bed->feed, &bed->totals);
}

static inline void expect_verdict(const struct tl_segment *s, uint8_t verdict)
{
	cr_expect_eq(s->verdict, verdict, "verdict %u, not %u", s->verdict, verdict);
}

#endif
