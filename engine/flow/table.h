/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The flow table's own struct, shared by the files that make it up: table.c (lookup), life.c (how
 * flows begin and end, and in which order at the end of a capture).
 */
#ifndef TAPLINE_FLOW_TABLE_H
#define TAPLINE_FLOW_TABLE_H

#include "buckets.h"
#include "entry.h"
#include "fragments.h"
#include "overlaps.h"
#include "tapline/flow_hash.h"
#include "wheel.h"

#define ENTRIES_PER_BUCKET 5u /* at most, all buckets together */

/* How far the search for flows that are long active has come: active.c. */
#define TL_ACTIVE_SLICES 16

struct tl_active {
	uint64_t period_ns;
	uint64_t visited_ns[TL_ACTIVE_SLICES]; /* 0: not yet */
	uint64_t next_ns;		       /* when the next slice is due */
	uint32_t next;
};

struct tl_flow_table {
	struct tl_flow *entries;
	uint32_t capacity;
	uint32_t fresh;	    /* entries from here on were never used: their pages are untouched */
	uint32_t free_head; /* list of those that were, by lru_next */
	uint32_t free_count;
	struct tl_buckets buckets;
	struct tl_flow_hasher hasher;
	tl_flow_end_fn *on_end;
	tl_flow_alive_fn *on_begin;
	tl_flow_alive_fn *on_active;
	void *ctx;
	size_t memory_bytes; /* this struct, the entries and the buckets: one allocation */
	struct {
		uint64_t created, expired, evicted, ended;
	} count TL_CACHE_ALIGNED;
	struct tl_active active;
	struct tl_wheel wheel;
	struct tl_fragments fragments;
	struct tl_overlaps overlaps;
};

/* Gives an entry to a new flow; there must be a free one. Its key is set, nothing is counted. */
struct tl_flow *tl_flow_table__begin(struct tl_flow_table *table, const struct tl_flow_key *key,
				     uint64_t hash, const struct tl_flow_packet *p);
/* Ends a flow, and begins the next one in its entry: a new connection on the same tuple. */
void tl_flow_table__begin_again(struct tl_flow_table *table, struct tl_flow *flow,
				const struct tl_flow_packet *p);
/* Evicts until `n` entries are free. */
void tl_flow_table__reserve(struct tl_flow_table *table, uint32_t n);
/* Each packet's key and side, or a key of zeros where it has none. */
void tl_flow_keys__of(struct tl_flow_lookup *lookups, uint32_t n, struct tl_flow_key *ret_keys,
		      bool *ret_has_key);
/* The wheel's class that fits the flow's state. */
enum tl_flow_class tl_flow_class__of(const struct tl_flow *flow);

#endif
