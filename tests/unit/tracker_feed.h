/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Feeds frames to a tracker, with flows of the test's own: the flow of port P is entry P - 1 of a
 * table that never forgets. Frames go in batches of changing size, since a batch's end must not
 * matter.
 */
#ifndef TAPLINE_TESTS_TRACKER_FEED_H
#define TAPLINE_TESTS_TRACKER_FEED_H

#include <stdlib.h>
#include <string.h>

#include "core/tracker.h"
#include "tracker_sim.h"

#define FEED_FLOWS  64
#define FEED_BATCH  37u
#define FEED_HEADER 66u

struct feed_frame {
	struct sim_frame f;
	uint16_t port;
	bool ipv6;
	uint8_t path; /* 0, or another: other MACs and TTL */
};

struct feed {
	struct tl_tracker *tracker;
	struct tl_flow flow[FEED_FLOWS];
	unsigned char *slab;
	size_t stride;
	uint32_t n, total;
	struct feed_frame frame[FEED_BATCH];
	uint8_t bytes[FEED_BATCH][FEED_HEADER + SIM_MSS + 460];
	struct tl_packet packet[FEED_BATCH];
	struct tl_layers layers[FEED_BATCH];
	struct tl_flow_lookup lookup[FEED_BATCH];
	struct tl_segment segment[FEED_BATCH];
	void (*on_verdict)(void *ctx, const struct feed_frame *frame,
			   const struct tl_segment *segment);
	void *ctx;
	tl_emit_fn *emit;
};

static inline bool feed__ignore(void *ctx, const struct tl_observation *observation)
{
	(void)ctx;
	(void)observation;
	return true;
}

static inline void feed__init(struct feed *feed)
{
	struct tl_analysis_worker_opts opts = { .flow_capacity = FEED_FLOWS,
						.emit = feed->emit ? feed->emit : feed__ignore,
						.emit_ctx = feed->ctx };

	feed->stride = tl_tracker__flow_bytes();
	feed->slab = calloc(FEED_FLOWS, feed->stride);
	if (!feed->slab || tl_tracker__create(&opts, &feed->tracker))
		abort();
	for (uint32_t i = 0; i < FEED_FLOWS; i++) {
		feed->flow[i].index = i;
		feed->flow[i].key.proto = 6;
	}
}

static inline void feed__flush(struct feed *feed)
{
	struct tl_batch batch = { .n = feed->n,
				  .packet = feed->packet,
				  .layers = feed->layers,
				  .lookup = feed->lookup,
				  .slab = feed->slab,
				  .slab_stride = feed->stride };

	tl_tracker__classify(feed->tracker, &batch, 0, feed->segment);
	for (uint32_t i = 0; i < feed->n; i++)
		if (feed->on_verdict)
			feed->on_verdict(feed->ctx, &feed->frame[i], &feed->segment[i]);
	feed->n = 0;
}

static inline void feed__layers(struct feed *feed, const struct feed_frame *frame, uint32_t i)
{
	const struct sim_frame *f = &frame->f;
	uint8_t *b = feed->bytes[i];
	uint32_t sum = f->seq * 31 + f->ack * 17 + f->tsval * 13 + f->flags + f->window;

	memset(b, frame->path, 12);
	memset(b + 14, 10, 32);
	b[14 + 15] = f->side;
	b[30 + 15] = !f->side;
	for (uint32_t k = 0; k < f->bytes; k++)
		b[FEED_HEADER + k] = (uint8_t)((f->seq + k) * 0x9e37u >> 3);
	feed->layers[i] = (struct tl_layers){
		.flags = f->has_ts ? TL_LAYERS_TCP_TS : 0,
		.ip_version = frame->ipv6 ? 6 : 4,
		.proto = 6,
		.ttl = (uint8_t)(64 - frame->path),
		.l3_offset = 14,
		.l4_offset = 34,
		.payload_offset = FEED_HEADER,
		.payload_bytes = f->bytes,
		.payload_caplen = f->bytes,
		.src = frame->ipv6 ? b + 14 : b + 14 + 12,
		.dst = frame->ipv6 ? b + 30 : b + 30 + 12,
		.src_port = f->side ? 80 : frame->port,
		.dst_port = f->side ? frame->port : 80,
		.ip_id = frame->ipv6 ? 0 : f->ip_id,
		.seq = f->seq,
		.ack = f->ack,
		.window = f->window,
		.tcp_flags = f->flags,
		.sack_count = f->sack_count,
		.l4_checksum = (uint16_t)(sum ^ sum >> 16),
		.tsval = f->tsval,
		.tsecr = f->tsecr,
	};
	memcpy(feed->layers[i].sack, f->sack, sizeof(f->sack));
	if (f->flags & TL_TCP_SYN) {
		feed->layers[i].flags |= TL_LAYERS_TCP_WSCALE;
		feed->layers[i].wscale = 7;
	}
}

static inline void feed__one(struct feed *feed, const struct feed_frame *frame)
{
	uint32_t i = feed->n;

	feed->frame[i] = *frame;
	feed__layers(feed, frame, i);
	feed->packet[i] = (struct tl_packet){
		.data = feed->bytes[i],
		.ts_ns = frame->f.ts_ns,
		.frame = ++feed->total,
		.caplen = FEED_HEADER + frame->f.bytes,
		.wirelen = FEED_HEADER + frame->f.bytes,
		.linktype = TL_LINKTYPE_ETHERNET,
	};
	feed->lookup[i] = (struct tl_flow_lookup){
		.packet = &feed->packet[i],
		.layers = &feed->layers[i],
		.ret_flow = &feed->flow[frame->port - 1],
		.ret_side = frame->f.side,
	};
	feed->flow[frame->port - 1].last_ns = frame->f.ts_ns;
	feed->n++;
	if (feed->n == FEED_BATCH || feed->n == feed->total % FEED_BATCH + 1)
		feed__flush(feed);
}

/* Ends all flows; the totals stay readable until feed__fini. */
static inline void feed__finish(struct feed *feed, struct tl_tracker_totals *ret_totals)
{
	if (feed->n)
		feed__flush(feed);
	for (uint32_t i = 0; i < FEED_FLOWS; i++)
		tl_tracker__flow_end(feed->tracker, &feed->flow[i], feed->slab + i * feed->stride,
				     TL_FLOW_END_CLOSED);
	tl_tracker__finish(feed->tracker, 0);
	tl_tracker__totals(feed->tracker, ret_totals);
}

static inline void feed__fini(struct feed *feed)
{
	tl_tracker__destroy(feed->tracker);
	free(feed->slab);
}

#endif
