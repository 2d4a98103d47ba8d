/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The analyzers' side of the engine. An analyzer has two halves:
 *
 *   worker half    on the packet path, one instance a worker, no lock, no allocation a packet:
 *                  watches flows, keeps bounded state, emits *observations* (plain data)
 *   judge half     on the control thread, one instance a run: sees the observations of all workers,
 *                  weighs and groups them, and words the findings
 *
 *    packets ─► batch() ─► observation ─► SPSC ring ─► observe() ─► finding ─► record sink
 *
 * Time is packet time. `tick` comes after all packets older than its time and before all others, so
 * live and from a file an analyzer sees the same order of calls; which ticks come is in
 * tapline/ticks.h. What it says may depend on packets and deadlines, not on how many ticks came.
 *
 * The engine knows one `struct tl_analysis_ops` (analyzers/registry.c), never an analyzer.
 */
#ifndef TAPLINE_ANALYZER_H
#define TAPLINE_ANALYZER_H

#include <stddef.h>
#include <stdint.h>

#include "tapline/flow.h"
#include "tapline/packet.h"
#include "tapline/record.h"

#define TL_TICK_NS 100000000ull /* ticks come on this grid of packet time */

/* The packets of one pass. Arrays of n; all borrowed for the call. */
struct tl_batch {
	uint32_t n;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_flow_lookup *lookup; /* flow (may be NULL), side, is_new */
	unsigned char *slab;		     /* analyzers' per-flow bytes, by flow->index */
	size_t slab_stride;		     /* bytes for each flow */
};

/* What a worker half tells its judge half. `data` is typed by the analyzer. */
#define TL_OBSERVATION_BYTES 768

struct tl_observation {
	uint16_t analyzer; /* index in registry.def */
	uint16_t kind;	   /* the analyzer's own */
	uint16_t worker;
	uint16_t data_bytes;
	uint64_t ts_ns; /* packet time it was emitted at; for the judge, not before the tick before
			 */
	struct tl_subject subject;
	unsigned char data[TL_OBSERVATION_BYTES];
};

/* Copies the observation towards the judge; false (and counted) when the ring is full. */
typedef bool tl_emit_fn(void *ctx, const struct tl_observation *observation);

struct tl_analysis_worker_opts {
	uint16_t worker;
	uint32_t flow_capacity; /* entries of the flow table */
	tl_emit_fn *emit;
	void *emit_ctx;
};

/* What the engine counted, for the judge to weigh findings by and to close with. */
struct tl_run_totals {
	struct tl_source_stats source;
	uint64_t written;
	uint64_t dropped_writer;
	uint64_t observations_lost;
	uint64_t analysis_shed_packets;
	uint64_t flows_created;
	uint64_t flows_evicted;
};

struct tl_judge_opts {
	struct tl_record_sink sink;
	bool live;
};

struct tl_analysis_ops {
	/* Bytes of per-flow state: stride of the slab, a multiple of 64. A new flow's is zeroed. */
	size_t (*flow_bytes)(void);

	int (*worker_create)(const struct tl_analysis_worker_opts *opts, void **ret_worker);
	void (*worker_batch)(void *worker, const struct tl_batch *batch);
	void (*worker_tick)(void *worker, uint64_t now_ns);
	/* The flow's entry and its slab are borrowed for the call. */
	void (*worker_flow_end)(void *worker, struct tl_flow *flow, void *slab,
				enum tl_flow_end end);
	/* After the last packet and after every flow has ended. */
	void (*worker_finish)(void *worker, uint64_t now_ns);
	void (*worker_destroy)(void *worker);

	int (*judge_create)(const struct tl_judge_opts *opts, void **ret_judge);
	void (*judge_observe)(void *judge, const struct tl_observation *observation);
	/* `now_ns`: all observations older than it have been handed over. */
	void (*judge_tick)(void *judge, uint64_t now_ns, const struct tl_run_totals *totals);
	/* Settles every finding, then closes with the capture_quality record. */
	void (*judge_finish)(void *judge, uint64_t now_ns, const struct tl_run_totals *totals);
	void (*judge_destroy)(void *judge);
};

/* The analyzers library's table: the registry's expansion of registry.def. */
extern const struct tl_analysis_ops tl_analysis;

#endif
