/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How flows begin and end. The table's worker alone.
 *
 *	free ──begin──► alive (in a bucket, in a list of the wheel) ──end──► on_end ──► free
 *	                  └──begin_again: on_end, then the same entry, generation + 1
 *
 * An entry that is free has ip_version 0 in its key: no lookup and no reader takes it for a flow.
 */
#include <netinet/in.h>
#include <string.h>

#include "table.h"
#include "tapline/fetch.h"

/* Lists of a time each that flows are put into before they are sorted at the end. */
#define TIME_BINS  4096u
#define FLOW_WORDS (sizeof(struct tl_flow) / sizeof(uint64_t))

enum tl_flow_class tl_flow_class__of(const struct tl_flow *flow)
{
	bool both = flow->packets[0] && flow->packets[1];

	if (flow->key.proto != IPPROTO_TCP)
		return both ? TL_CLASS_OTHER : TL_CLASS_ONE_WAY;
	switch (flow->state) {
	case TL_FLOW_SYN_SENT:
	case TL_FLOW_SYN_RECEIVED:
		return TL_CLASS_HALF_OPEN;
	case TL_FLOW_CLOSED:
		return TL_CLASS_CLOSED;
	default:
		return both || !(flow->flags & TL_FLOW_MIDSTREAM) ? TL_CLASS_TCP
								  : TL_CLASS_TCP_ONE_WAY;
	}
}

/* Overwrites a whole entry, within a write, word by word as readers copy it. */
static void store_all(struct tl_flow *flow, const struct tl_flow *value)
{
	uint64_t *to = (uint64_t *)(void *)flow;
	uint64_t words[FLOW_WORDS];

	memcpy(words, value, sizeof(words));
	for (size_t i = 0; i < FLOW_WORDS; i++)
		tl_store_relaxed(&to[i], words[i]);
}

static void fill_in(struct tl_flow *flow, const struct tl_flow_key *key,
		    const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	struct tl_flow made = {
		.key = *key,
		.first_ns = p->packet->ts_ns,
		.last_ns = p->packet->ts_ns,
		.interface = p->packet->interface,
		.client = p->side,
		.vlan = { l->vlan[0], l->vlan[1] },
		.vlan_count = l->vlan_count,
		.tunnel_type = l->tunnel.type,
		.tunnel_id = l->tunnel.id,
		/* what belongs to the entry */
		.index = flow->index,
		.slot = flow->slot,
		.lru_prev = flow->lru_prev,
		.lru_next = flow->lru_next,
		.generation = flow->generation + 1,
	};

	tl_flow__write_begin(flow);
	made.sequence = flow->sequence;
	store_all(flow, &made);
	tl_flow__write_end(flow);
}

/* All of an entry that will be written soon. NONE is fine. */
static void prefetch_entry(const struct tl_flow_table *table, uint32_t index)
{
	const char *entry;

	if (index == TL_FLOW_NONE)
		return;
	entry = (const char *)&table->entries[index];
	for (size_t at = 0; at < sizeof(struct tl_flow); at += TL_CACHE_LINE)
		tl_fetch(entry + at);
}

/* Twice as many buckets, where an index that grows has five flows for each of those it has. */
static void grow_index(struct tl_flow_table *table)
{
	struct tl_buckets *buckets = &table->buckets;
	uint32_t alive = table->fresh - table->free_count;

	if (buckets->count == buckets->count_max || alive < buckets->count * ENTRIES_PER_BUCKET)
		return;
	tl_buckets__clear(buckets, buckets->count > buckets->count_max / 2 ? buckets->count_max
									   : 2 * buckets->count);
	for (uint32_t index = 0; index < table->fresh; index++) {
		const struct tl_flow *flow = &table->entries[index];

		if (flow->key.ip_version)
			tl_buckets__insert(buckets, tl_flow_hasher__key(&table->hasher, &flow->key),
					   index);
	}
}

static struct tl_flow *take_free(struct tl_flow_table *table)
{
	struct tl_flow *flow;

	if (table->free_head == TL_FLOW_NONE) {
		flow = &table->entries[table->fresh];
		tl_flow__set(flow->index, table->fresh);
		tl_flow__set(flow->slot, TL_WHEEL_NO_SLOT);
		table->fresh++;
		return flow;
	}
	flow = &table->entries[table->free_head];
	table->free_head = flow->lru_next;
	table->free_count--;
	prefetch_entry(table, table->free_head);
	return flow;
}

struct tl_flow *tl_flow_table__begin(struct tl_flow_table *table, const struct tl_flow_key *key,
				     uint64_t hash, const struct tl_flow_packet *p)
{
	struct tl_flow *flow;

	grow_index(table);
	flow = take_free(table);
	fill_in(flow, key, p);
	tl_buckets__insert(&table->buckets, hash, flow->index);
	tl_counter_add(&table->count.created, 1);
	return flow;
}

static void tell_end(struct tl_flow_table *table, struct tl_flow *flow, enum tl_flow_end end)
{
	tl_flow__write_begin(flow);
	tl_flow_tcp__finish(flow);
	tl_flow__set(flow->end, end);
	tl_flow__write_end(flow);
	if (end == TL_FLOW_END_EVICTED)
		tl_counter_add(&table->count.evicted, 1);
	else if (end == TL_FLOW_END_CLOSED || end == TL_FLOW_END_IDLE)
		tl_counter_add(&table->count.expired, 1);
	if (table->on_end)
		table->on_end(table->ctx, flow, end);
	tl_counter_add(&table->count.ended, 1);
}

void tl_flow_table__begin_again(struct tl_flow_table *table, struct tl_flow *flow,
				const struct tl_flow_packet *p)
{
	struct tl_flow_key key = flow->key;

	tell_end(table, flow, TL_FLOW_END_REUSED);
	fill_in(flow, &key, p);
	tl_counter_add(&table->count.created, 1);
}

/*
 * Whoever follows in the list is likely to end next. Its entry was fetched when the one before it
 * ended, so that its key tells which bucket to fetch now, and which entry comes after it.
 */
static void prefetch_next(const struct tl_flow_table *table, uint32_t index)
{
	const struct tl_flow *next;
	uint64_t hash;

	if (index == TL_FLOW_NONE)
		return;
	next = &table->entries[index];
	hash = tl_flow_hasher__key(&table->hasher, &next->key);
	tl_fetch(&table->buckets.bucket[tl_buckets__home(&table->buckets, hash)]);
	prefetch_entry(table, next->lru_next);
}

static void end_flow(struct tl_flow_table *table, struct tl_flow *flow, enum tl_flow_end end)
{
	uint64_t hash = tl_flow_hasher__key(&table->hasher, &flow->key);

	prefetch_next(table, flow->lru_next);
	tell_end(table, flow, end);
	tl_wheel__remove(&table->wheel, flow);
	tl_buckets__remove(&table->buckets, hash, flow->index);
	tl_flow__write_begin(flow);
	tl_flow__set(flow->key.ip_version, 0);
	tl_flow__add(flow->generation, 1);
	tl_flow__write_end(flow);
	tl_flow__set(flow->lru_next, table->free_head);
	table->free_head = flow->index;
	table->free_count++;
}

void tl_flow_table__reserve(struct tl_flow_table *table, uint32_t n)
{
	while (table->capacity - table->fresh + table->free_count < n) {
		uint32_t index = tl_wheel__idlest(&table->wheel);

		if (index == TL_FLOW_NONE)
			break;
		end_flow(table, &table->entries[index], TL_FLOW_END_EVICTED);
	}
}

bool tl_flow_table__expire(struct tl_flow_table *table, uint64_t now_ns, uint32_t budget)
{
	uint64_t now = now_ns >> TL_TICK_SHIFT;

	if (now > table->wheel.clock)
		table->wheel.clock = now;
	while (budget) {
		uint32_t index = tl_wheel__due(&table->wheel, &budget);
		struct tl_flow *flow;

		if (index == TL_FLOW_NONE)
			return !budget;
		flow = &table->entries[index];
		end_flow(table, flow,
			 flow->state == TL_FLOW_CLOSED ? TL_FLOW_END_CLOSED : TL_FLOW_END_IDLE);
	}
	return true;
}

/* --- the end of a capture ----------------------------------------------------------------- */

static bool begins_before(const struct tl_flow *a, const struct tl_flow *b)
{
	return a->first_ns < b->first_ns || (a->first_ns == b->first_ns && a->index < b->index);
}

_Static_assert(TL_FLOW_NONE == UINT32_MAX, "lists are emptied by memset");

/* Merges two sorted lists linked by lru_next. */
static uint32_t merge(struct tl_flow *entries, uint32_t a, uint32_t b)
{
	uint32_t head = TL_FLOW_NONE, tail = TL_FLOW_NONE;

	while (a != TL_FLOW_NONE || b != TL_FLOW_NONE) {
		bool left = b == TL_FLOW_NONE ||
			    (a != TL_FLOW_NONE && begins_before(&entries[a], &entries[b]));
		uint32_t *from = left ? &a : &b;
		uint32_t taken = *from;

		*from = entries[taken].lru_next;
		if (tail == TL_FLOW_NONE)
			head = taken;
		else
			tl_flow__set(entries[tail].lru_next, taken);
		tail = taken;
	}
	if (tail != TL_FLOW_NONE)
		tl_flow__set(entries[tail].lru_next, TL_FLOW_NONE);
	return head;
}

static uint32_t sort(struct tl_flow *entries, uint32_t list)
{
	uint32_t bins[33], sorted = TL_FLOW_NONE; /* bin i: 2^i flows in order, or none */

	for (int i = 0; i < 33; i++)
		bins[i] = TL_FLOW_NONE;
	while (list != TL_FLOW_NONE) {
		uint32_t one = list;
		int bin = 0;

		list = entries[one].lru_next;
		tl_flow__set(entries[one].lru_next, TL_FLOW_NONE);
		for (; bins[bin] != TL_FLOW_NONE; bin++) {
			one = merge(entries, bins[bin], one);
			bins[bin] = TL_FLOW_NONE;
		}
		bins[bin] = one;
	}
	for (int i = 0; i < 33; i++)
		if (bins[i] != TL_FLOW_NONE)
			sorted = merge(entries, bins[i], sorted);
	return sorted;
}

/* Puts each living flow, which the wheel lets go, into the list of the time it began in. */
static void sort_roughly(struct tl_flow_table *table, uint32_t heads[TIME_BINS])
{
	uint64_t oldest = UINT64_MAX, newest = 0, width;

	for (uint32_t index = 0; index < table->fresh; index++) {
		const struct tl_flow *flow = &table->entries[index];

		if (!flow->key.ip_version)
			continue;
		oldest = flow->first_ns < oldest ? flow->first_ns : oldest;
		newest = flow->first_ns > newest ? flow->first_ns : newest;
	}
	width = newest > oldest ? (newest - oldest) / TIME_BINS + 1 : 1;
	for (uint32_t index = table->fresh; index-- > 0;) {
		struct tl_flow *flow = &table->entries[index];
		uint32_t *head;

		if (!flow->key.ip_version)
			continue;
		tl_wheel__remove(&table->wheel, flow);
		head = &heads[(flow->first_ns - oldest) / width];
		tl_flow__set(flow->lru_next, *head);
		*head = index;
	}
}

/*
 * Links all living flows by lru_next in order of first_ns. No memory, and few misses: each list of
 * a short time is sorted by itself, while its flows are in the cache.
 */
static uint32_t sort_living(struct tl_flow_table *table)
{
	uint32_t heads[TIME_BINS], sorted = TL_FLOW_NONE;

	memset(heads, 0xff, sizeof(heads));
	sort_roughly(table, heads);
	for (uint32_t bin = TIME_BINS; bin-- > 0;) {
		uint32_t list = sort(table->entries, heads[bin]), last = list;

		if (list == TL_FLOW_NONE)
			continue;
		while (table->entries[last].lru_next != TL_FLOW_NONE)
			last = table->entries[last].lru_next;
		tl_flow__set(table->entries[last].lru_next, sorted);
		sorted = list;
	}
	return sorted;
}

void tl_flow_table__drain(struct tl_flow_table *table)
{
	uint32_t index = sort_living(table);

	while (index != TL_FLOW_NONE) {
		struct tl_flow *flow = &table->entries[index];

		index = flow->lru_next;
		/* end_flow takes it from a list of the wheel: give it one to be alone in */
		tl_wheel__add(&table->wheel, flow, TL_CLASS_CLOSED);
		end_flow(table, flow, TL_FLOW_END_CAPTURE);
	}
}
