/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one analyzer is: a table of operations, `struct tl_analyzer tl_analyzer_NAME`, in the file
 * NAME.c that registry.def lists. All may be NULL but `name`. State is zeroed memory of the stated
 * size; the registry allocates and frees it.
 */
#ifndef TAPLINE_ANALYZERS_ANALYZER_IMPL_H
#define TAPLINE_ANALYZERS_ANALYZER_IMPL_H

#include <string.h>

#include "core/findings.h"
#include "core/segment.h"
#include "tapline/analyzer.h"
#include "tapline/ticks.h"

/* The worker half's way out; one for each worker and analyzer. */
struct tl_analyzer_worker {
	uint16_t worker;
	uint16_t analyzer; /* index in registry.def */
	tl_emit_fn *emit;
	void *emit_ctx;
};

/* All but its data is 0 then: that is written by whoever sends it, as much as there is. */
static inline void tl_observation__clear(struct tl_observation *observation)
{
	memset(observation, 0, offsetof(struct tl_observation, data));
}

/* Signs the observation and sends it; false when the ring is full (the engine counts it). */
static inline bool tl_analyzer_worker__emit(const struct tl_analyzer_worker *worker,
					    struct tl_observation *observation)
{
	observation->analyzer = worker->analyzer;
	observation->worker = worker->worker;
	return worker->emit(worker->emit_ctx, observation);
}

/*
 * What a packet is, for analyzers to choose by: exactly one of these. TCP has its own where it has
 * a flow; where the tracker could do nothing with it, or it has no flag at all, it is odd.
 */
enum tl_class {
	TL_CLASS_COPY = 0, /* by the mirror, of whatever */
	TL_CLASS_DAMAGED,  /* on its way here, of whatever: its receiver throws it away */
	TL_CLASS_ACK,	   /* of a connection: no data, no SYN, FIN or RST */
	TL_CLASS_DATA,	   /* with data; or that shows that the capture missed some */
	TL_CLASS_TURN,	   /* with SYN, FIN or RST */
	TL_CLASS_ODD,
	TL_CLASS_UDP, /* with a flow */
	TL_CLASS_ICMP,
	TL_CLASS_OTHER,
	TL_CLASSES,
};

#define TL_WANTS(name)	 (1u << TL_CLASS_##name)
#define TL_WANTS_TCP	 (TL_WANTS(ACK) | TL_WANTS(DATA) | TL_WANTS(TURN))
#define TL_WANTS_ALL	 ((1u << TL_CLASSES) - 1)
#define TL_WANTS_NO_COPY (TL_WANTS_ALL & ~TL_WANTS(COPY))

#define TL_PASS_MAX 64u /* packets of a batch that analyzers see at once: a word of bits */

/* Of the packets of a batch that are no copies. */
struct tl_batch_sums {
	uint64_t bytes; /* on the wire */
	uint64_t oldest_ns, newest_ns;
};

/* A batch as analyzers see it: the engine's, with the tracker's verdict on each packet. */
struct tl_analyzer_batch {
	const struct tl_batch *batch;	  /* at most TL_PASS_MAX packets */
	const struct tl_segment *segment; /* [batch->n] */
	unsigned char *const *entry; /* [batch->n] the slab entry of its flow; NULL: without one */
	const uint64_t *newest_ns; /* [batch->n] newest packet time of the run, up to this packet */
	uint64_t wanted;	   /* bit i: this analyzer is to look at packet i */
	const struct tl_batch_sums *sums;
	/* How it says that it has seen enough of a flow. */
	size_t rest_offset; /* in a slab entry: a word with a bit for each analyzer */
	uint32_t rest_bit;
};

/* A bit for each packet. */
static inline uint64_t tl_batch__bits(const struct tl_batch *batch)
{
	return UINT64_MAX >> (64 - batch->n);
}

/* The next one of `*left` (wanted, to begin with), which must not be 0; takes it out. */
static inline uint32_t tl_analyzer_batch__next(uint64_t *left)
{
	uint32_t i = (uint32_t)__builtin_ctzll(*left);

	*left &= *left - 1;
	return i;
}

/*
 * Packet i, which is no copy, by itself: for who sums up by batches and finds that a time he goes
 * by is over within this one. Borrows `ret_sums`.
 */
static inline struct tl_analyzer_batch tl_analyzer_batch__only(const struct tl_analyzer_batch *b,
							       uint32_t i,
							       struct tl_batch_sums *ret_sums)
{
	struct tl_analyzer_batch only = *b;

	ret_sums->bytes = b->batch->packet[i].wirelen;
	ret_sums->oldest_ns = ret_sums->newest_ns = b->batch->packet[i].ts_ns;
	only.wanted = 1ull << i;
	only.sums = ret_sums;
	return only;
}

/* The newest packet time of the run, all of this batch included. */
static inline uint64_t tl_analyzer_batch__newest_ns(const struct tl_analyzer_batch *b)
{
	return b->newest_ns[b->batch->n - 1];
}

/* No more ACKs and data of packet i's flow, which must have one, for this analyzer. */
static inline void tl_analyzer_batch__rest(const struct tl_analyzer_batch *b, uint32_t i)
{
	*(uint32_t *)(b->entry[i] + b->rest_offset) |= b->rest_bit;
}

struct tl_judge_facts; /* core/facts.h: what is known of the mirror as a whole */

struct tl_analyzer_judge {
	struct tl_findings *findings;
	const struct tl_judge_facts *facts;
	struct tl_record_sink sink; /* for the record that closes the run; findings go above */
	bool live;
};

struct tl_analyzer {
	const char *name;

	uint32_t wants; /* TL_WANTS of the classes that batch() is to look at */
	size_t flow_bytes;
	size_t worker_bytes;
	int (*worker_init)(void *state, const struct tl_analyzer_worker *worker);
	/*
	 * For each few packets, in turn with the other analyzers, also where none is wanted.
	 * `flow_offset`: where this analyzer's bytes lie in each flow's slab entry.
	 */
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
	return b->entry[i] ? b->entry[i] + flow_offset : NULL;
}

/* The same of a packet that is known to have a flow, as all of TCP's classes are. */
static inline void *tl_analyzer_batch__tcp_state(const struct tl_analyzer_batch *b, uint32_t i,
						 size_t flow_offset)
{
	return b->entry[i] + flow_offset;
}

#endif
