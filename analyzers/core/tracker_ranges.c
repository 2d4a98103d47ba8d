/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tracker_ranges.h. Lists are short and mostly empty, so all of this walks them. */
#include "core/tracker_ranges.h"

#include <errno.h>
#include <stdlib.h>

int tl_range_pool__init(struct tl_range_pool *pool, uint32_t capacity)
{
	pool->range = calloc((size_t)capacity + 1, sizeof(*pool->range));
	if (!pool->range)
		return -ENOMEM;
	pool->capacity = capacity;
	pool->used = pool->free = 0;
	return 0;
}

void tl_range_pool__fini(struct tl_range_pool *pool)
{
	free(pool->range);
	pool->range = NULL;
}

static uint32_t take(struct tl_range_pool *pool, struct tl_range_list *list)
{
	uint32_t i = pool->free;

	if ((!i && pool->used == pool->capacity) || list->count >= TL_RANGES_MAX)
		return 0;
	if (i)
		pool->free = pool->range[i].next;
	else
		i = ++pool->used;
	list->count++;
	return i;
}

/* Unlinks the range that `*link` names and frees it. */
static void give(struct tl_range_pool *pool, struct tl_range_list *list, uint32_t *link)
{
	uint32_t i = *link;

	*link = pool->range[i].next;
	pool->range[i].next = pool->free;
	pool->free = i;
	list->count--;
}

/* Inserts a copy of `range` before what `*link` names. */
static bool insert(struct tl_range_pool *pool, struct tl_range_list *list, uint32_t *link,
		   const struct tl_range *range)
{
	uint32_t i = take(pool, list);

	if (!i) {
		pool->forgotten++;
		return false;
	}
	pool->range[i] = *range;
	pool->range[i].next = *link;
	*link = i;
	return true;
}

bool tl_ranges__append(struct tl_range_pool *pool, struct tl_range_list *list,
		       const struct tl_range *range)
{
	uint32_t *link = &list->head;

	while (*link) {
		struct tl_range *last = &pool->range[*link];

		if (!last->next && last->flags & TL_RANGE_BY_ACK && last->flags == range->flags &&
		    last->end == range->start &&
		    range->born_ns - last->born_ns < TL_RANGE_JOIN_NS) {
			last->end = range->end;
			return true;
		}
		link = &last->next;
	}
	return insert(pool, list, link, range);
}

/* Takes `out`, which lies inside it, out of the range `*link` names; the link after it. */
static uint32_t *cut_out(struct tl_range_pool *pool, struct tl_range_list *list, uint32_t *link,
			 const struct tl_range *out)
{
	struct tl_range *r = &pool->range[*link];
	struct tl_range upper = *r;

	if (out->start == r->start && out->end == r->end) {
		give(pool, list, link);
		return link;
	}
	if (out->start == r->start) {
		r->start = out->end;
	} else if (out->end == r->end) {
		r->end = out->start;
	} else {
		/* No room for both halves: the upper one is forgotten. */
		upper.start = out->end;
		r->end = out->start;
		insert(pool, list, &r->next, &upper);
	}
	return &r->next;
}

uint32_t tl_ranges__subtract(struct tl_range_pool *pool, struct tl_range_list *list,
			     struct tl_range *what)
{
	const struct tl_range all = *what;
	uint32_t *link = &list->head;
	uint32_t taken = 0;

	while (*link && tl_seq__before(pool->range[*link].start, all.end)) {
		struct tl_range *r = &pool->range[*link];
		struct tl_range out = { .start = tl_seq__max(r->start, all.start),
					.end = tl_seq__min(r->end, all.end) };

		if (!tl_seq__before(out.start, out.end)) {
			link = &r->next;
			continue;
		}
		if (!taken)
			*what = *r;
		taken += out.end - out.start;
		link = cut_out(pool, list, link, &out);
	}
	return taken;
}

bool tl_ranges__add(struct tl_range_pool *pool, struct tl_range_list *list, uint32_t start,
		    uint32_t end)
{
	struct tl_range range = { .start = start, .end = end };
	uint32_t *link = &list->head;

	while (*link && tl_seq__before(pool->range[*link].end, start))
		link = &pool->range[*link].next;
	if (*link && !tl_seq__before(start, pool->range[*link].start) &&
	    !tl_seq__before(pool->range[*link].end, end))
		return false;
	while (*link && !tl_seq__before(end, pool->range[*link].start)) {
		range.start = tl_seq__min(range.start, pool->range[*link].start);
		range.end = tl_seq__max(range.end, pool->range[*link].end);
		give(pool, list, link);
	}
	return insert(pool, list, link, &range);
}

/* Two halves of one hole that were delivered at about the same time need not be told apart. */
static bool joins(const struct tl_range *low, const struct tl_range *high)
{
	return low->end == high->start && low->flags == high->flags && low->ip_id == high->ip_id &&
	       low->born_ns == high->born_ns &&
	       high->delivered_ns - low->delivered_ns < TL_RANGE_JOIN_NS;
}

/* Cuts the range at `at`, which lies inside it; false when there is no room for both halves. */
static bool split(struct tl_range_pool *pool, struct tl_range_list *list, struct tl_range *range,
		  uint32_t at)
{
	struct tl_range upper = *range;

	upper.start = at;
	if (!insert(pool, list, &range->next, &upper))
		return false;
	range->end = at;
	return true;
}

void tl_ranges__deliver(struct tl_range_pool *pool, struct tl_range_list *list,
			const struct tl_range *what)
{
	struct tl_range *low = NULL;

	for (uint32_t *link = &list->head; *link;) {
		struct tl_range *r = &pool->range[*link];
		bool outside;

		if (!tl_seq__before(r->start, what->end))
			return;
		outside = r->flags & TL_RANGE_DELIVERED || !tl_seq__before(what->start, r->end);
		/* With no room to split, the range waits until all of it is delivered. */
		if (!outside && tl_seq__before(r->start, what->start)) {
			split(pool, list, r, what->start);
			outside = true;
		}
		if (!outside && tl_seq__before(what->end, r->end))
			outside = !split(pool, list, r, what->end);
		if (outside) {
			low = r;
			link = &r->next;
			continue;
		}
		r->flags |= TL_RANGE_DELIVERED;
		r->delivered_ns = what->delivered_ns;
		if (low && joins(low, r)) {
			low->end = r->end;
			give(pool, list, link);
			continue;
		}
		low = r;
		link = &r->next;
	}
}

bool tl_ranges__contains(const struct tl_range_pool *pool, const struct tl_range_list *list,
			 uint32_t start, uint32_t end)
{
	for (uint32_t i = list->head; i; i = pool->range[i].next)
		if (!tl_seq__before(start, pool->range[i].start) &&
		    !tl_seq__before(pool->range[i].end, end))
			return true;
	return false;
}

void tl_ranges__want(struct tl_range_pool *pool, const struct tl_range_list *list, uint32_t below,
		     uint64_t now_ns)
{
	for (uint32_t i = list->head; i; i = pool->range[i].next) {
		struct tl_range *r = &pool->range[i];

		if (!tl_seq__before(r->start, below))
			return;
		if (r->flags & (TL_RANGE_DELIVERED | TL_RANGE_WANTED))
			continue;
		r->flags |= TL_RANGE_WANTED;
		r->wanted_ns = now_ns;
	}
}

bool tl_ranges__pop_delivered(struct tl_range_pool *pool, struct tl_range_list *list,
			      uint64_t since_ns, struct tl_range *ret_range)
{
	for (uint32_t *link = &list->head; *link; link = &pool->range[*link].next) {
		struct tl_range *r = &pool->range[*link];

		if (!(r->flags & TL_RANGE_DELIVERED) || r->delivered_ns > since_ns)
			continue;
		*ret_range = *r;
		give(pool, list, link);
		return true;
	}
	return false;
}

bool tl_ranges__pop_older(struct tl_range_pool *pool, struct tl_range_list *list, uint64_t since_ns,
			  struct tl_range *ret_range)
{
	return list->head && pool->range[list->head].born_ns <= since_ns &&
	       tl_ranges__pop(pool, list, ret_range);
}

bool tl_ranges__pop(struct tl_range_pool *pool, struct tl_range_list *list,
		    struct tl_range *ret_range)
{
	if (!list->head)
		return false;
	*ret_range = pool->range[list->head];
	give(pool, list, &list->head);
	return true;
}

void tl_ranges__clear(struct tl_range_pool *pool, struct tl_range_list *list)
{
	while (list->head)
		give(pool, list, &list->head);
}
