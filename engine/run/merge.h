/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Merges the packets of several sources into time order. One thread.
 *
 *   input 0  ──► [ fifo, sorted ] ─┐
 *   input 1  ──► [ fifo, sorted ] ─┼─► take: oldest first, up to the bound
 *   input K-1 ─► [ fifo, sorted ] ─┘
 *
 * The bound is the time up to which nothing older can come any more: the smallest over all inputs
 * of (empty: the source's watermark; else: no limit but its own head). An input's packets that
 * arrive slightly out of order (several CPUs feed one ring) are sorted within its fifo, and the
 * newest HOLD_BACK_NS of a live input wait for the next poll for that reason. A lone input's go
 * when nothing came for two polls: the worker waits between two such, and nothing is compared with
 * them.
 *
 * A packet is given back to its source only when it and all before it were taken and done with.
 */
#ifndef TAPLINE_RUN_MERGE_H
#define TAPLINE_RUN_MERGE_H

#include "tapline/source.h"

#define MERGE_FIFO 2048u /* packets an input holds; a power of two */

struct merge_input {
	struct tl_source *source; /* borrowed */
	struct tl_packet *fifo;	  /* owned, MERGE_FIFO of them */
	uint32_t head, tail;	  /* count up for ever */
	uint64_t newest_ns;	  /* live */
	uint64_t watermark_ns;
	uint64_t taken;	    /* packets that left the fifo */
	uint64_t released;  /* packets given back to the source */
	uint64_t went_back; /* live: packets older than the one before them */
	bool live;
	bool ended;	      /* end of file */
	bool down;	      /* the interface is down or gone */
	uint32_t empty_polls; /* in a row, up to now */
};

struct merge {
	struct merge_input *inputs; /* owned */
	uint32_t count;
	uint64_t hold_back_ns;
	bool flushing;	    /* the end: nothing is waited for */
	uint64_t last_ns;   /* time of the newest packet handed out */
	uint64_t went_back; /* packets handed out that were older than last_ns */
};

int merge__init(struct merge *merge, struct tl_source *const *sources, uint32_t count, bool live);
void merge__fini(struct merge *merge);

/* Polls every input that has room. Packets gained, or the -errno of a source that failed. */
int merge__fill(struct merge *merge);

/*
 * The oldest packets, at most `max`, the caller's until the next fill. `packets`: room for as many,
 * and then where they are, which may be the fifo of a lone input. `ret_inputs` says which input
 * each came from.
 */
uint32_t merge__take(struct merge *merge, uint32_t max, struct tl_packet **packets,
		     uint8_t *ret_inputs);

/* The packets of the last take are done with. */
void merge__release(struct merge *merge);

/* How many packets of this input, from the first, could be given back now. */
uint64_t merge__releasable(const struct merge_input *input);

/* Everything older than this has been handed out. */
uint64_t merge__watermark(const struct merge *merge);

/* All inputs are files that have ended, and nothing is left. */
bool merge__ended(const struct merge *merge);
bool merge__empty(const struct merge *merge);

/* The end is near: what is held back may go. */
void merge__flush(struct merge *merge);

#endif
