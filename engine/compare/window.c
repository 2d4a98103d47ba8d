/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets waiting for their counterpart; see window.h. */
#include "window.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE 0u /* entry 0 is not used */

#define CHAIN_STEPS 128u

#define MATCHED_NS 200000000ull
/* Two copies of one packet are so close; a packet without a number of its own, closer. */
#define COPY_NS	     20000000ull
#define COPY_WEAK_NS 300000ull
#define BODY_NS	     250000000ull

struct list {
	uint32_t first, last;
};

struct window {
	struct window_opts opts;
	struct entry *entry; /* owned; [room + 1] */
	uint32_t *bucket[3]; /* owned */
	uint32_t mask;
	uint32_t free, used;
	struct list list[ENTRY_STATES];
	uint64_t now_ns;
	uint64_t given_up;
};

/* --- lists and chains ------------------------------------------------------------------------- */

static void list_append(struct window *w, uint32_t i, uint8_t state)
{
	struct list *l = &w->list[state];
	struct entry *e = &w->entry[i];

	e->state = state;
	e->next = NONE;
	e->prev = l->last;
	if (l->last)
		w->entry[l->last].next = i;
	else
		l->first = i;
	l->last = i;
}

static void list_remove(struct window *w, uint32_t i)
{
	struct entry *e = &w->entry[i];
	struct list *l = &w->list[e->state];

	if (e->prev)
		w->entry[e->prev].next = e->next;
	else
		l->first = e->next;
	if (e->next)
		w->entry[e->next].prev = e->prev;
	else
		l->last = e->prev;
}

static uint64_t key_of(const struct entry *e, int which)
{
	return which == 0 ? e->print.whole : which == 1 ? e->print.by_head : e->print.by_body;
}

/*
 * At the end of its chain: the oldest of equal ones is found first. A traffic of nothing but equal
 * packets makes long chains; those are not looked at to their end.
 */
static void chain_add(struct window *w, uint32_t i, int which)
{
	uint32_t *at = &w->bucket[which][key_of(&w->entry[i], which) & w->mask];

	for (uint32_t step = 0; *at && step < CHAIN_STEPS; step++)
		at = &w->entry[*at].chain[which];
	w->entry[i].chain[which] = *at;
	*at = i;
}

static void chain_remove(struct window *w, uint32_t i, int which)
{
	uint32_t *at = &w->bucket[which][key_of(&w->entry[i], which) & w->mask];

	while (*at && *at != i)
		at = &w->entry[*at].chain[which];
	if (*at)
		*at = w->entry[i].chain[which];
}

static void drop(struct window *w, uint32_t i)
{
	struct entry *e = &w->entry[i];

	list_remove(w, i);
	chain_remove(w, i, 0);
	if (e->state == ENTRY_LIMBO && e->print.by_head)
		chain_remove(w, i, 1);
	if (e->state == ENTRY_LIMBO && e->print.by_body)
		chain_remove(w, i, 2);
	e->state = ENTRY_FREE;
	e->next = w->free;
	w->free = i;
}

/* --- what becomes of them --------------------------------------------------------------------- */

static void tell_match(struct window *w, const struct entry *x, const struct entry *y,
		       enum match_how how)
{
	if (x->side == TL_COMPARE_A)
		w->opts.ops->matched(w->opts.ctx, x, y, how);
	else
		w->opts.ops->matched(w->opts.ctx, y, x, how);
}

static bool is_near(uint64_t a, uint64_t b, uint64_t within_ns)
{
	return a > b ? a - b <= within_ns : b - a <= within_ns;
}

/*
 * The counterpart of an entry that goes to limbo: the other side's oldest there with that key. The
 * same payload comes again where an application says the same thing again, so without sequence
 * numbers the two must be close.
 */
static uint32_t find_altered(const struct window *w, const struct entry *e, int which)
{
	uint64_t key = key_of(e, which);
	uint64_t within_ns = which == 2 ? BODY_NS : w->opts.window_ns;
	uint32_t i = key ? w->bucket[which][key & w->mask] : NONE;

	for (uint32_t step = 0; i && step < 2 * CHAIN_STEPS; step++) {
		const struct entry *other = &w->entry[i];

		if (other->side != e->side && key_of(other, which) == key &&
		    other->print.proto == e->print.proto &&
		    is_near(other->common_ns, e->common_ns, within_ns))
			return i;
		i = other->chain[which];
	}
	return NONE;
}

static void to_limbo(struct window *w, uint32_t i)
{
	struct entry *e = &w->entry[i];

	list_remove(w, i);
	list_append(w, i, ENTRY_LIMBO);
	for (int which = 1; which <= 2; which++)
		if (key_of(e, which))
			chain_add(w, i, which);
	if (e->is_copy)
		return;
	for (int which = 2; which >= 1; which--) {
		uint32_t other = find_altered(w, e, which);

		if (!other || w->entry[other].is_copy)
			continue;
		tell_match(w, e, &w->entry[other], which == 1 ? MATCH_HEAD : MATCH_BODY);
		drop(w, other);
		drop(w, i);
		return;
	}
}

static void give_up(struct window *w, uint32_t i)
{
	w->opts.ops->unmatched(w->opts.ctx, &w->entry[i]);
	drop(w, i);
}

static bool is_over(const struct window *w, uint32_t i, uint64_t after_ns)
{
	return i && w->entry[i].common_ns + after_ns < w->now_ns;
}

static void expire(struct window *w)
{
	uint64_t window_ns = w->opts.window_ns;

	while (is_over(w, w->list[ENTRY_MATCHED].first, MATCHED_NS))
		drop(w, w->list[ENTRY_MATCHED].first);
	while (is_over(w, w->list[ENTRY_WAITING].first, window_ns))
		to_limbo(w, w->list[ENTRY_WAITING].first);
	while (is_over(w, w->list[ENTRY_LIMBO].first, 2 * window_ns))
		give_up(w, w->list[ENTRY_LIMBO].first);
}

/* The pool is full: what is needed least goes. */
static void make_room(struct window *w)
{
	if (w->list[ENTRY_MATCHED].first) {
		drop(w, w->list[ENTRY_MATCHED].first);
		return;
	}
	w->given_up++;
	if (w->list[ENTRY_LIMBO].first)
		give_up(w, w->list[ENTRY_LIMBO].first);
	else
		give_up(w, w->list[ENTRY_WAITING].first);
}

static uint32_t take_free(struct window *w)
{
	uint32_t i;

	if (!w->free && w->used == w->opts.room)
		make_room(w);
	i = w->free;
	if (i)
		w->free = w->entry[i].next;
	else
		i = ++w->used;
	return i;
}

/* --- adding ----------------------------------------------------------------------------------- */

/*
 * Looks at all with the same print: the other side's oldest that waits; among equals, one with the
 * same addresses first. `ret_is_copy`: this side has shown the same packet a moment ago.
 */
static uint32_t find_whole(const struct window *w, const struct entry *e, bool *ret_is_copy)
{
	uint64_t copy_ns = e->print.is_strong ? COPY_NS : COPY_WEAK_NS;
	uint32_t i = w->bucket[0][e->print.whole & w->mask], found = NONE;
	bool found_same = false;

	*ret_is_copy = false;
	for (uint32_t step = 0; i && step < 2 * CHAIN_STEPS; i = w->entry[i].chain[0], step++) {
		const struct entry *other = &w->entry[i];

		if (other->print.whole != e->print.whole || other->print.proto != e->print.proto)
			continue;
		if (other->state == ENTRY_MATCHED) {
			*ret_is_copy |= is_near(other->matched_ns[e->side], e->common_ns, copy_ns);
		} else if (other->side == e->side) {
			*ret_is_copy |= is_near(other->common_ns, e->common_ns, copy_ns);
		} else if (!found || !found_same) {
			bool same = print__same_ends(&other->print, &e->print);

			if (!found || same)
				found = i;
			found_same |= same;
		}
	}
	return found;
}

static void match(struct window *w, uint32_t i, const struct entry *e)
{
	struct entry *other = &w->entry[i];
	uint64_t times[2];

	tell_match(w, e, other, MATCH_WHOLE);
	if (other->state == ENTRY_LIMBO) {
		drop(w, i);
		return;
	}
	times[e->side] = e->common_ns;
	times[!e->side] = other->common_ns;
	list_remove(w, i);
	memcpy(other->matched_ns, times, sizeof(times));
	/* The list of those matched is in the order of matching. */
	other->common_ns = e->common_ns;
	list_append(w, i, ENTRY_MATCHED);
}

void window__add(struct window *w, const struct print *print, uint8_t side, uint64_t common_ns)
{
	struct entry e = { .print = *print, .common_ns = common_ns, .side = side };
	uint32_t i;

	if (common_ns > w->now_ns)
		w->now_ns = common_ns;
	expire(w);
	i = find_whole(w, &e, &e.is_copy);
	if (i) {
		match(w, i, &e);
		return;
	}
	i = take_free(w);
	w->entry[i] = e;
	list_append(w, i, ENTRY_WAITING);
	chain_add(w, i, 0);
}

void window__finish(struct window *w)
{
	while (w->list[ENTRY_WAITING].first)
		to_limbo(w, w->list[ENTRY_WAITING].first);
	while (w->list[ENTRY_LIMBO].first)
		give_up(w, w->list[ENTRY_LIMBO].first);
}

uint64_t window__given_up(const struct window *w)
{
	return w->given_up;
}

/* --- create ----------------------------------------------------------------------------------- */

int window__create(const struct window_opts *opts, struct window **ret_window)
{
	struct window *w = calloc(1, sizeof(*w));
	uint32_t buckets = 1024;

	if (!w)
		return -ENOMEM;
	while (buckets < opts->room)
		buckets *= 2;
	w->opts = *opts;
	w->mask = buckets - 1;
	w->entry = calloc((size_t)opts->room + 1, sizeof(*w->entry));
	for (int i = 0; i < 3; i++)
		w->bucket[i] = calloc(buckets, sizeof(*w->bucket[i]));
	if (!w->entry || !w->bucket[0] || !w->bucket[1] || !w->bucket[2]) {
		window__destroy(w);
		return -ENOMEM;
	}
	*ret_window = w;
	return 0;
}

void window__destroy(struct window *w)
{
	if (!w)
		return;
	free(w->entry);
	for (int i = 0; i < 3; i++)
		free(w->bucket[i]);
	free(w);
}
