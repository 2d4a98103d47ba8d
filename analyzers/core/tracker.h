/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tracker: gives every packet of a batch its verdict (segment.h), once, before any analyzer
 * sees it. One instance a worker; single-threaded; no allocation after __create.
 *
 *   batch ─► tl_tracker__classify ─► segment[n] ─► analyzers
 *                  │
 *                  └─► the core's own observations (facts.h), on ticks and at the end
 *
 * What it keeps for a flow lies at the flow's slab entry; ranges of sequence space and the
 * fingerprints of recent packets lie in pools of fixed size that all flows of the worker share.
 * What does not fit is forgotten and counted (struct tl_tracker_totals).
 */
#ifndef TAPLINE_ANALYZERS_TRACKER_H
#define TAPLINE_ANALYZERS_TRACKER_H

#include "core/segment.h"
#include "tapline/analyzer.h"

struct tl_tracker;

/* Bytes of a flow's slab entry that are the tracker's; wants an offset that is a multiple of 8. */
size_t tl_tracker__flow_bytes(void);

/* `opts` as the engine gives them to worker_create. 0, -ENOMEM. */
int tl_tracker__create(const struct tl_analysis_worker_opts *opts, struct tl_tracker **ret_tracker);
void tl_tracker__destroy(struct tl_tracker *tracker);

/*
 * Verdicts of all packets of the batch, in its order. `flow_offset`: where the tracker's bytes lie
 * in a slab entry. `ret_segments` has room for batch->n; all of it is written.
 */
void tl_tracker__classify(struct tl_tracker *tracker, const struct tl_batch *batch,
			  size_t flow_offset, struct tl_segment *ret_segments);

/* Hands pending observations on. */
void tl_tracker__tick(struct tl_tracker *tracker, uint64_t now_ns);

/* `flow_state`: the tracker's bytes of that flow. Call before any analyzer's flow_end. */
void tl_tracker__flow_end(struct tl_tracker *tracker, const struct tl_flow *flow, void *flow_state,
			  enum tl_flow_end end);

/* After every flow has ended: the last observations. */
void tl_tracker__finish(struct tl_tracker *tracker, uint64_t now_ns);

/* All that was counted so far; only grows, save the split of flows in one way and two. */
struct tl_tracker_totals {
	uint64_t copies;	  /* packets the mirror showed again */
	uint64_t copy_bytes;	  /* their bytes on the wire */
	uint64_t missed_bytes;	  /* TCP payload that was ACKed and never seen */
	uint64_t missed_segments; /* about how many segments that were, by the flow's largest one */
	uint64_t missed_unsure_bytes; /* unseen at a flow's end, but not known to be ACKed */
	uint64_t tcp_flows;
	uint64_t two_way_flows; /* TCP: packets of both directions were seen */
	uint64_t one_way_flows; /* TCP: the unseen direction must have sent something */
	uint64_t midstream_flows;
	uint64_t ranges_forgotten; /* ranges given up because a pool or a list was full */
};
void tl_tracker__totals(const struct tl_tracker *tracker, struct tl_tracker_totals *ret_totals);

#endif
