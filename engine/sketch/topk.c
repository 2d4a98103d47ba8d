/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heavy hitters with Space-Saving (Metwally, Agrawal, El Abbadi 2005): a fixed number of counters;
 * a key that has none takes over the lightest one, with its weight as the newcomer's error.
 *
 *	key ──hash──► place[]  ──►  counter[]  ◄──► heap[]
 *	              open           key, error      {weight, counter}, the lightest at the root
 *	              addressing     where in heap
 *
 * What follows from that, for a total weight W in k counters:
 *
 *   weight - error <= true <= weight;   error <= lightest weight <= W / k
 *   a key with a true weight above W / k has a counter
 *
 * Merging keeps the bounds (Agarwal and others, "Mergeable Summaries", 2012): a key that only one
 * side has may have had as much as the other side's lightest counter there.
 *
 * Adding costs a hash, a probe and at most log2 k steps in the heap; no allocation. The hash is
 * seeded at random, so nobody can aim at one place; no result depends on the seed. One thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "tapline/sketch.h"

#define CAPACITY_MAX (1u << 20)
#define FREE	     UINT32_MAX

struct counter {
	struct tl_sketch_key key;
	uint64_t error;
	uint32_t at;	/* in the heap */
	uint32_t place; /* in the table */
};

struct node {
	uint64_t weight;
	uint32_t counter;
};

struct tl_topk {
	uint32_t capacity, count;
	uint32_t mask; /* places - 1: four for each counter */
	uint64_t seed;
	uint64_t total;
	struct counter *counter;
	struct node *heap;
	uint32_t *place; /* counter, or FREE */
};

uint64_t tl_sketch__hash(const uint64_t *words, size_t n, uint64_t seed)
{
	uint64_t hash = seed ^ 0xa0761d6478bd642full;

	for (size_t i = 0; i < n; i++) {
		__uint128_t product = (__uint128_t)(words[i] ^ 0xe7037ed1a0b428dbull ^ hash) *
				      (0x8ebc6af09c88c6e3ull ^ hash);

		hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	hash ^= hash >> 32;
	hash *= 0x9fb21c651e98df25ull;
	return hash ^ hash >> 28;
}

static uint64_t hash_of(const struct tl_topk *topk, const struct tl_sketch_key *key)
{
	return tl_sketch__hash(key->word, TL_SKETCH_KEY_WORDS, topk->seed);
}

static bool equal(const struct tl_sketch_key *a, const struct tl_sketch_key *b)
{
	return !((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]));
}

/* --- life ------------------------------------------------------------------------------------- */

int tl_topk__create(uint32_t capacity, struct tl_topk **ret_topk)
{
	struct tl_topk *topk;
	uint32_t places = 4;

	if (!capacity || capacity > CAPACITY_MAX)
		return -EINVAL;
	while (places < 4 * capacity)
		places *= 2;
	topk = calloc(1, sizeof(*topk));
	if (!topk)
		return -ENOMEM;
	topk->capacity = capacity;
	topk->mask = places - 1;
	topk->counter = calloc(capacity, sizeof(*topk->counter));
	topk->heap = calloc(capacity, sizeof(*topk->heap));
	topk->place = malloc(places * sizeof(*topk->place));
	if (!topk->counter || !topk->heap || !topk->place) {
		tl_topk__destroy(topk);
		return -ENOMEM;
	}
	memset(topk->place, 0xff, places * sizeof(*topk->place));
	if (getrandom(&topk->seed, sizeof(topk->seed), 0) != sizeof(topk->seed)) {
		int err = errno ? -errno : -EIO;

		tl_topk__destroy(topk);
		return err;
	}
	*ret_topk = topk;
	return 0;
}

void tl_topk__destroy(struct tl_topk *topk)
{
	if (!topk)
		return;
	free(topk->counter);
	free(topk->heap);
	free(topk->place);
	free(topk);
}

/* --- the heap -----------------------------------------------------------------------------------
 */

static void put(struct tl_topk *topk, uint32_t at, struct node node)
{
	topk->heap[at] = node;
	topk->counter[node.counter].at = at;
}

/*
 * A weight grew: its node goes down. Which child is the lighter one nobody can foretell, so that is
 * added to the place and not branched on: half of the branches were taken wrongly.
 */
static void sink(struct tl_topk *topk, uint32_t at)
{
	struct node node = topk->heap[at];
	uint32_t child;

	while ((child = 2 * at + 1) + 1 < topk->count) {
		const struct node *two = &topk->heap[child];

		child += two[1].weight < two[0].weight;
		if (topk->heap[child].weight >= node.weight)
			break;
		put(topk, at, topk->heap[child]);
		at = child;
	}
	if (child + 1 == topk->count && topk->heap[child].weight < node.weight) {
		put(topk, at, topk->heap[child]);
		at = child;
	}
	put(topk, at, node);
}

/* A new node goes up. */
static void rise(struct tl_topk *topk, uint32_t at)
{
	struct node node = topk->heap[at];

	while (at) {
		uint32_t parent = (at - 1) / 2;

		if (topk->heap[parent].weight <= node.weight)
			break;
		put(topk, at, topk->heap[parent]);
		at = parent;
	}
	put(topk, at, node);
}

/* --- the table ----------------------------------------------------------------------------------
 */

/* The place of the key, or the free one where it would go. */
static uint32_t seek(const struct tl_topk *topk, const struct tl_sketch_key *key, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & topk->mask;

	while (topk->place[at] != FREE && !equal(&topk->counter[topk->place[at]].key, key))
		at = (at + 1) & topk->mask;
	return at;
}

/* Takes a counter out of the table; those behind it that may move up do, so there are no gaps. */
static void vacate(struct tl_topk *topk, uint32_t hole)
{
	uint32_t at = hole;

	for (;;) {
		uint32_t home;

		at = (at + 1) & topk->mask;
		if (topk->place[at] == FREE)
			break;
		home = (uint32_t)hash_of(topk, &topk->counter[topk->place[at]].key) & topk->mask;
		if (((at - home) & topk->mask) < ((at - hole) & topk->mask))
			continue;
		topk->place[hole] = topk->place[at];
		topk->counter[topk->place[hole]].place = hole;
		hole = at;
	}
	topk->place[hole] = FREE;
}

static void occupy(struct tl_topk *topk, uint32_t at, uint32_t counter)
{
	topk->place[at] = counter;
	topk->counter[counter].place = at;
}

static void add_counter(struct tl_topk *topk, uint32_t place, const struct tl_topk_item *item)
{
	uint32_t index = topk->count++;

	topk->counter[index].key = item->key;
	topk->counter[index].error = item->error;
	occupy(topk, place, index);
	put(topk, index, (struct node){ item->weight, index });
	rise(topk, index);
}

void tl_topk__add(struct tl_topk *topk, const struct tl_sketch_key *key, uint64_t weight)
{
	uint64_t hash = hash_of(topk, key);
	uint32_t place = seek(topk, key, hash);
	struct node *lightest = &topk->heap[0];
	struct counter *counter;

	if (!weight)
		return;
	topk->total += weight;
	if (topk->place[place] != FREE) {
		uint32_t at = topk->counter[topk->place[place]].at;

		topk->heap[at].weight += weight;
		sink(topk, at);
		return;
	}
	if (topk->count < topk->capacity) {
		add_counter(topk, place, &(struct tl_topk_item){ *key, weight, 0 });
		return;
	}
	counter = &topk->counter[lightest->counter];
	vacate(topk, counter->place);
	counter->key = *key;
	counter->error = lightest->weight;
	occupy(topk, seek(topk, key, hash), lightest->counter);
	lightest->weight += weight;
	sink(topk, 0);
}

/* --- merging and reading -------------------------------------------------------------------------
 */

static int heavier_first(const void *a, const void *b)
{
	const struct tl_topk_item *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

static struct tl_topk_item item_at(const struct tl_topk *topk, uint32_t at)
{
	const struct counter *counter = &topk->counter[topk->heap[at].counter];

	return (struct tl_topk_item){ counter->key, topk->heap[at].weight, counter->error };
}

/* What a key without a counter may weigh. */
static uint64_t unseen(const struct tl_topk *topk)
{
	return topk->count < topk->capacity ? 0 : topk->heap[0].weight;
}

static void clear(struct tl_topk *topk)
{
	memset(topk->place, 0xff, (topk->mask + 1ul) * sizeof(*topk->place));
	topk->count = 0;
}

/* All of `a` with what `b` adds to them; then those of `b` alone when `both` is not set. */
static uint32_t collect(const struct tl_topk *a, const struct tl_topk *b, bool both,
			struct tl_topk_item *ret_items)
{
	uint32_t n = 0;

	for (uint32_t at = 0; at < a->count; at++) {
		struct tl_topk_item item = item_at(a, at);
		uint32_t index = b->place[seek(b, &item.key, hash_of(b, &item.key))];

		if (index != FREE && !both)
			continue;
		item.weight += index == FREE ? unseen(b) : b->heap[b->counter[index].at].weight;
		item.error += index == FREE ? unseen(b) : b->counter[index].error;
		ret_items[n++] = item;
	}
	return n;
}

int tl_topk__merge(struct tl_topk *topk, const struct tl_topk *from)
{
	struct tl_topk_item *items;
	uint32_t n;

	if (topk->capacity != from->capacity)
		return -EINVAL;
	items = malloc(((size_t)topk->count + from->count + 1) * sizeof(*items));
	if (!items)
		return -ENOMEM;
	n = collect(topk, from, true, items);
	n += collect(from, topk, false, items + n);
	qsort(items, n, sizeof(*items), heavier_first);
	clear(topk);
	for (uint32_t i = 0; i < n && i < topk->capacity; i++)
		add_counter(topk, seek(topk, &items[i].key, hash_of(topk, &items[i].key)),
			    &items[i]);
	topk->total += from->total;
	free(items);
	return 0;
}

uint32_t tl_topk__list(const struct tl_topk *topk, struct tl_topk_item *ret_items, uint32_t max)
{
	uint32_t n = 0;

	/* the heaviest so far, in order: `max` is small */
	for (uint32_t at = 0; at < topk->count && max; at++) {
		struct tl_topk_item item = item_at(topk, at);
		uint32_t to = n;

		if (n < max)
			n++;
		else if (heavier_first(&item, &ret_items[--to]) >= 0)
			continue;
		for (; to && heavier_first(&item, &ret_items[to - 1]) < 0; to--)
			ret_items[to] = ret_items[to - 1];
		ret_items[to] = item;
	}
	return n;
}

uint64_t tl_topk__total(const struct tl_topk *topk)
{
	return topk->total;
}
