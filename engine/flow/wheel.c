/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The timer wheels; wheel.h draws them. The table's worker alone.
 */
#include "wheel.h"

#define LATE TL_WHEEL_SLOTS
/* How many busy flows an eviction may find in an old slot before it takes the next. */
#define IDLEST_STEPS 256

void tl_wheel__init(struct tl_wheel *wheel, struct tl_flow *entries,
		    const uint64_t timeout_ns[TL_CLASS_COUNT])
{
	wheel->entries = entries;
	wheel->clock = 0;
	for (int i = 0; i < TL_CLASS_COUNT; i++) {
		struct tl_wheel_class *c = &wheel->class[i];
		/* both this and `seen` are rounded down: one more, so that no end comes early */
		uint64_t ticks = (timeout_ns[i] >> TL_TICK_SHIFT) + 1;

		/* `seen` wraps at 2^32 ticks, 52 days */
		c->timeout = ticks > INT32_MAX ? INT32_MAX : (uint32_t)ticks;
		c->shift = 0;
		while (c->timeout >> c->shift >= TL_WHEEL_SLOTS - 2)
			c->shift++;
		c->cursor = 0;
		c->count = c->late_count = 0;
		for (uint32_t slot = 0; slot <= LATE; slot++)
			c->slot[slot] = (struct tl_flow_list){ TL_FLOW_NONE, TL_FLOW_NONE };
	}
}

static uint64_t now_slot(const struct tl_wheel *wheel, const struct tl_wheel_class *c)
{
	return wheel->clock >> c->shift;
}

static uint64_t due_slot(const struct tl_wheel *wheel, const struct tl_wheel_class *c,
			 const struct tl_flow *flow)
{
	uint64_t seen = wheel->clock - (uint32_t)((uint32_t)wheel->clock - flow->seen);

	return (seen + c->timeout) >> c->shift;
}

static void append(struct tl_wheel *wheel, struct tl_flow_list *list, struct tl_flow *flow)
{
	tl_flow__set(flow->lru_prev, list->tail);
	tl_flow__set(flow->lru_next, TL_FLOW_NONE);
	if (list->tail == TL_FLOW_NONE)
		list->head = flow->index;
	else
		tl_flow__set(wheel->entries[list->tail].lru_next, flow->index);
	list->tail = flow->index;
}

void tl_wheel__add(struct tl_wheel *wheel, struct tl_flow *flow, enum tl_flow_class class)
{
	struct tl_wheel_class *c = &wheel->class[class];
	uint64_t due = due_slot(wheel, c, flow);
	uint32_t slot;

	if (!c->count)
		c->cursor = now_slot(wheel, c);
	if (due < c->cursor)
		due = c->cursor;
	slot = due - c->cursor < TL_WHEEL_SLOTS ? (uint32_t)due & (TL_WHEEL_SLOTS - 1) : LATE;
	append(wheel, &c->slot[slot], flow);
	c->count++;
	c->late_count += slot == LATE;
	tl_flow__set(flow->slot, (uint32_t) class << 10 | slot);
}

void tl_wheel__remove(struct tl_wheel *wheel, struct tl_flow *flow)
{
	struct tl_wheel_class *c = &wheel->class[flow->slot >> 10];
	struct tl_flow_list *list = &c->slot[flow->slot & 1023];

	if (flow->lru_prev == TL_FLOW_NONE)
		list->head = flow->lru_next;
	else
		tl_flow__set(wheel->entries[flow->lru_prev].lru_next, flow->lru_next);
	if (flow->lru_next == TL_FLOW_NONE)
		list->tail = flow->lru_prev;
	else
		tl_flow__set(wheel->entries[flow->lru_next].lru_prev, flow->lru_prev);
	c->count--;
	c->late_count -= (flow->slot & 1023) == LATE;
	tl_flow__set(flow->slot, TL_WHEEL_NO_SLOT);
}

static void move(struct tl_wheel *wheel, struct tl_flow *flow)
{
	enum tl_flow_class class = tl_wheel__class_of(flow);

	tl_wheel__remove(wheel, flow);
	tl_wheel__add(wheel, flow, class);
}

/*
 * Stands the cursor on the oldest slot that holds anything, but not past `limit`. An empty wheel
 * is crossed in one step, however far the clock has jumped.
 */
static struct tl_flow_list *seek(struct tl_wheel_class *c, uint64_t limit)
{
	while (c->cursor < limit) {
		struct tl_flow_list *list = &c->slot[c->cursor & (TL_WHEEL_SLOTS - 1)];

		if (list->head != TL_FLOW_NONE)
			return list;
		c->cursor = c->count == c->late_count ? limit : c->cursor + 1;
	}
	return NULL;
}

/*
 * Once the cursor is no further back than the clock, nothing is due beyond the wheel: whatever is
 * late goes into it, or is due by now. That one is returned, else TL_FLOW_NONE.
 */
static uint32_t take_late(struct tl_wheel *wheel, struct tl_wheel_class *c)
{
	uint32_t head = c->slot[LATE].head;

	if (due_slot(wheel, c, &wheel->entries[head]) < now_slot(wheel, c))
		return head;
	move(wheel, &wheel->entries[head]);
	return TL_FLOW_NONE;
}

static uint32_t class_due(struct tl_wheel *wheel, struct tl_wheel_class *c, uint32_t *budget)
{
	uint64_t now = now_slot(wheel, c);

	for (; *budget; (*budget)--) {
		struct tl_flow_list *list = seek(c, now);
		uint32_t index;

		if (!list && !c->late_count)
			return TL_FLOW_NONE;
		if (list && due_slot(wheel, c, &wheel->entries[list->head]) > c->cursor) {
			move(wheel, &wheel->entries[list->head]);
			continue;
		}
		index = list ? list->head : take_late(wheel, c);
		if (index != TL_FLOW_NONE) {
			(*budget)--;
			return index;
		}
	}
	return TL_FLOW_NONE;
}

uint32_t tl_wheel__due(struct tl_wheel *wheel, uint32_t *budget)
{
	for (int i = 0; i < TL_CLASS_COUNT; i++) {
		struct tl_wheel_class *c = &wheel->class[i];
		uint32_t index = c->count ? class_due(wheel, c, budget) : TL_FLOW_NONE;

		if (index != TL_FLOW_NONE)
			return index;
	}
	return TL_FLOW_NONE;
}

static uint32_t class_idlest(struct tl_wheel *wheel, struct tl_wheel_class *c)
{
	uint32_t index = TL_FLOW_NONE;

	for (int step = 0; step < IDLEST_STEPS; step++) {
		struct tl_flow_list *list = seek(c, UINT64_MAX);
		struct tl_flow *flow;

		if (!list) {
			/* late ones alone are left */
			c->cursor = now_slot(wheel, c);
			return c->slot[LATE].head;
		}
		index = list->head;
		flow = &wheel->entries[index];
		if (due_slot(wheel, c, flow) <= c->cursor)
			break;
		move(wheel, flow);
	}
	return index;
}

uint32_t tl_wheel__idlest(struct tl_wheel *wheel)
{
	uint32_t a, b;

	for (int i = 0; i < TL_CLASS_OTHER; i++)
		if (wheel->class[i].count)
			return class_idlest(wheel, &wheel->class[i]);
	a = wheel->class[TL_CLASS_OTHER].count ? class_idlest(wheel, &wheel->class[TL_CLASS_OTHER])
					       : TL_FLOW_NONE;
	b = wheel->class[TL_CLASS_TCP].count ? class_idlest(wheel, &wheel->class[TL_CLASS_TCP])
					     : TL_FLOW_NONE;
	if (a == TL_FLOW_NONE || b == TL_FLOW_NONE)
		return a == TL_FLOW_NONE ? b : a;
	/* the smaller difference to the clock is the one seen later */
	return (uint32_t)wheel->clock - wheel->entries[a].seen >=
			       (uint32_t)wheel->clock - wheel->entries[b].seen
		       ? a
		       : b;
}
