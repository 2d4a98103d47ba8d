/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one analyzer is: a table of operations, `struct tl_analyzer tl_analyzer_NAME`, in the file
 * NAME.c that registry.def lists. All may be NULL but `name`. State is zeroed memory of the stated
 * size; the registry allocates and frees it.
 */
#ifndef TAPLINE_ANALYZERS_ANALYZER_IMPL_H
#define TAPLINE_ANALYZERS_ANALYZER_IMPL_H

#include "core/findings.h"
#include "core/segment.h"
#include "tapline/analyzer.h"

/* The worker half's way out; one for each worker and analyzer. */
struct tl_analyzer_worker {
	uint16_t worker;
	uint16_t analyzer; /* index in registry.def */
	tl_emit_fn *emit;
	void *emit_ctx;
};

/* Signs the observation and sends it; false when the ring is full (the engine counts it). */
static inline bool tl_analyzer_worker__emit(const struct tl_analyzer_worker *worker,
					    struct tl_observation *observation)
{
	observation->analyzer = worker->analyzer;
	observation->worker = worker->worker;
	return worker->emit(worker->emit_ctx, observation);
}

/* A batch as analyzers see it: the engine's, with the tracker's verdict on each packet. */
struct tl_analyzer_batch {
	const struct tl_batch *batch;
	const struct tl_segment *segment; /* [batch->n] */
};

struct tl_judge_facts; /* core/facts.h: what is known of the mirror as a whole */

struct tl_analyzer_judge {
	struct tl_findings *findings;
	const struct tl_judge_facts *facts;
	struct tl_record_sink sink; /* for the record that closes the run; findings go above */
	bool live;
};

struct tl_analyzer {
	const char *name;

	size_t flow_bytes;
	/* Of these, the first ones that packets in the middle of a connection touch; 0: all. */
	size_t flow_hot_bytes;
	size_t worker_bytes;
	int (*worker_init)(void *state, const struct tl_analyzer_worker *worker);
	/* `flow_offset`: where this analyzer's bytes lie in each flow's slab entry. */
	void (*batch)(void *state, const struct tl_analyzer_batch *batch, size_t flow_offset);
	void (*tick)(void *state, uint64_t now_ns);
	void (*flow_end)(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end);
	void (*finish)(void *state, uint64_t now_ns);
	void (*worker_fini)(void *state);

	size_t judge_bytes;
	int (*judge_init)(void *state, const struct tl_analyzer_judge *judge);
	void (*observe)(void *state, const struct tl_observation *observation);
	void (*judge_tick)(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
	/* Before all findings are settled. */
	void (*judge_finish)(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
	/* After all findings are settled, for the record that closes the run. No finding here. */
	void (*judge_close)(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
	void (*judge_fini)(void *state);
};

/* Helper for batch(): this analyzer's bytes of packet i's flow; NULL when it has no flow. */
static inline void *tl_analyzer_batch__flow_state(const struct tl_analyzer_batch *b, uint32_t i,
						  size_t flow_offset)
{
	const struct tl_flow *flow = b->batch->lookup[i].ret_flow;

	return flow ? b->batch->slab + (size_t)flow->index * b->batch->slab_stride + flow_offset
		    : NULL;
}

#endif
