/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When flows end: for each class of flows a timer wheel of lists, by the time an entry is due.
 *
 *	       cursor = oldest slot with anything in it
 *	         ▼
 *	┌────┬────┬────┬────┬── … ──┬────┐      ┌──────┐
 *	│    │ ○○ │ ○  │    │       │ ○○ │      │ late │  due beyond the wheel's 512 slots
 *	└────┴────┴────┴────┴── … ──┴────┘      └──────┘
 *	       each slot is 2^shift ticks of 2^20 ns; the class's timeout is less than 510 slots
 *
 * A packet only sets its flow's `seen`: the flow moves when its slot's turn comes, to the slot that
 * it is due in by then. So a packet costs no list work, a flow at most one move for each slot that
 * it lives through, and the order of ends is right to a slot, at most 1/256 of the timeout (or a
 * tick). What is evicted is the idlest flow to the same measure.
 *
 * Invariants: slots before the cursor are empty; `slot` of an entry is the list it is in; an entry
 * is in one list or none. The clock of the table only grows. One thread; links are stored as
 * relaxed atomics, since readers copy them (and ignore them).
 */
#ifndef TAPLINE_FLOW_WHEEL_H
#define TAPLINE_FLOW_WHEEL_H

#include "entry.h"

#define TL_WHEEL_SLOTS	 512u
#define TL_TICK_SHIFT	 20u /* 2^20 ns, 1.05 ms */
#define TL_WHEEL_NO_SLOT UINT16_MAX

/* In the order in which a full table lets go of them; the last two by idleness. */
enum tl_flow_class {
	TL_CLASS_CLOSED = 0,
	TL_CLASS_HALF_OPEN,   /* TCP: no handshake yet */
	TL_CLASS_ONE_WAY,     /* not TCP, unanswered */
	TL_CLASS_TCP_ONE_WAY, /* TCP midstream, one direction: what a flood of ACKs makes */
	TL_CLASS_OTHER,	      /* not TCP, both directions */
	TL_CLASS_TCP,
	TL_CLASS_COUNT,
};

struct tl_flow_list {
	uint32_t head, tail; /* TL_FLOW_NONE: empty */
};

struct tl_wheel_class {
	struct tl_flow_list slot[TL_WHEEL_SLOTS + 1]; /* the last one: late */
	uint64_t cursor;			      /* slot number since tick 0 */
	uint32_t timeout;			      /* ticks */
	uint32_t shift;
	uint32_t count;	     /* entries, late ones too */
	uint32_t late_count; /* of those */
};

struct tl_wheel {
	struct tl_wheel_class class[TL_CLASS_COUNT];
	struct tl_flow *entries; /* borrowed from the table */
	uint64_t clock;		 /* ticks */
};

void tl_wheel__init(struct tl_wheel *wheel, struct tl_flow *entries,
		    const uint64_t timeout_ns[TL_CLASS_COUNT]);
void tl_wheel__add(struct tl_wheel *wheel, struct tl_flow *flow, enum tl_flow_class class);
void tl_wheel__remove(struct tl_wheel *wheel, struct tl_flow *flow);
/* The class an entry is in now; it must be in one. */
static inline enum tl_flow_class tl_wheel__class_of(const struct tl_flow *flow)
{
	return (enum tl_flow_class)(flow->slot >> 10);
}

/*
 * The next entry that is due, still in its list; TL_FLOW_NONE when none is. Each entry looked at
 * takes one from `budget`; when that ends, none is returned though more may be due.
 */
uint32_t tl_wheel__due(struct tl_wheel *wheel, uint32_t *budget);
/* The entry that a full table lets go of, still in its list; TL_FLOW_NONE: there is none. */
uint32_t tl_wheel__idlest(struct tl_wheel *wheel);

#endif
