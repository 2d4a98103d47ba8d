/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests that wait (core/app.h). A worker's own; no allocation after __create.
 *
 *	slot[due / 100 ms % SLOTS] ─► wait ◄─► wait ◄─► …      what is due later than a turn of the
 *	                                                       wheel is looked at once a turn
 *
 * Invariants: a wait is in the slot of its due time; a slot is emptied when its time has passed.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/app.h"

#define SLOTS	128u
#define SLOT_NS TL_TICK_NS

struct node {
	struct app_wait wait;
	uint64_t due_ns;
	uint32_t next, prev; /* number; prev 0: it is its slot's first */
	uint32_t slot;
};

struct app_waits {
	uint64_t done; /* slots of packet time up to this one are empty */
	uint32_t count, used;
	uint32_t free; /* number */
	uint32_t slot[SLOTS];
	struct node node[]; /* number - 1 */
};

int app_waits__create(uint32_t count, struct app_waits **ret_waits)
{
	struct app_waits *w = calloc(1, sizeof(*w) + count * sizeof(w->node[0]));

	if (!w)
		return -ENOMEM;
	w->count = count;
	*ret_waits = w;
	return 0;
}

void app_waits__destroy(struct app_waits *waits)
{
	free(waits);
}

static struct node *node_of(struct app_waits *w, uint32_t number)
{
	return &w->node[number - 1];
}

static void insert(struct app_waits *w, uint32_t number)
{
	struct node *n = node_of(w, number);
	uint64_t at = n->due_ns / SLOT_NS + 1;
	uint32_t *first;

	if (at <= w->done)
		at = w->done + 1;
	n->slot = at % SLOTS;
	first = &w->slot[n->slot];
	n->prev = 0;
	n->next = *first;
	if (*first)
		node_of(w, *first)->prev = number;
	*first = number;
}

static void take_out(struct app_waits *w, uint32_t number)
{
	struct node *n = node_of(w, number);

	*(n->prev ? &node_of(w, n->prev)->next : &w->slot[n->slot]) = n->next;
	if (n->next)
		node_of(w, n->next)->prev = n->prev;
}

uint32_t app_waits__add(struct app_waits *waits, struct app_wait wait, uint64_t due_ns)
{
	uint32_t number = waits->free;

	if (number)
		waits->free = node_of(waits, number)->next;
	else if (waits->used < waits->count)
		number = ++waits->used;
	else
		return 0;
	*node_of(waits, number) = (struct node){ .wait = wait, .due_ns = due_ns };
	insert(waits, number);
	return number;
}

void app_waits__remove(struct app_waits *waits, uint32_t number)
{
	if (!number)
		return;
	take_out(waits, number);
	node_of(waits, number)->next = waits->free;
	waits->free = number;
}

struct looker {
	app_wait_fn *look;
	void *ctx;
	uint64_t now_ns;
};

static void look_at(struct app_waits *w, uint32_t number, const struct looker *l)
{
	struct node *n = node_of(w, number);

	if (n->due_ns <= l->now_ns) {
		n->due_ns = l->look(l->ctx, &n->wait, l->now_ns);
		if (n->due_ns <= l->now_ns)
			n->due_ns = l->now_ns + SLOT_NS;
	}
	insert(w, number);
}

void app_waits__tick(struct app_waits *waits, uint64_t now_ns, app_wait_fn *look, void *ctx)
{
	uint64_t end = now_ns / SLOT_NS;
	uint64_t from = waits->done + 1;
	const struct looker looker = { look, ctx, now_ns };

	if (end < from)
		return;
	/* After a gap in time every slot is due once. */
	if (end - from >= SLOTS)
		from = end - SLOTS + 1;
	waits->done = end;
	for (uint64_t at = from; at <= end; at++) {
		uint32_t number = waits->slot[at % SLOTS];

		waits->slot[at % SLOTS] = 0;
		while (number) {
			uint32_t next = node_of(waits, number)->next;

			look_at(waits, number, &looker);
			number = next;
		}
	}
}
