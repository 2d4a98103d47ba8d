/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of sequence space, in lists that are sorted and do not overlap. The nodes come from one
 * pool of fixed size that all flows of a worker share; a flow without holes takes none.
 *
 *   seen  ████████░░░░░░██████████████░░░█████████
 *                 └ hole ┘            └─┘            holes: what was never seen below next_seq
 *                        └ sacked ────┘               sacked: what the receiver has beyond its ACK
 *
 * A list is a head index (0: empty) and a count of at most TL_RANGES_MAX. When the pool or a list
 * is full, the caller gives up its lowest range. Serial arithmetic throughout (RFC 1982): all
 * ranges of a list lie within 2^31 of each other. Used by the tracker alone.
 */
#ifndef TAPLINE_ANALYZERS_TRACKER_RANGES_H
#define TAPLINE_ANALYZERS_TRACKER_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#define TL_RANGES_MAX	 64	      /* in one list */
#define TL_RANGE_JOIN_NS 250000000ull /* ranges delivered within this time become one */

enum tl_range_flag {
	TL_RANGE_DELIVERED = 1u << 0, /* the receiver has these bytes: ACKed or SACKed */
	TL_RANGE_WANTED = 1u << 1,    /* it has not: duplicate ACKs or SACKs say so */
	TL_RANGE_BY_ACK = 1u << 2,    /* known from an ACK alone, nothing above was seen yet */
};

struct tl_range {
	uint32_t start, end;
	uint32_t next;	/* index into the pool; 0: last */
	uint32_t tsval; /* of the packet that showed the hole */
	uint16_t ip_id; /* likewise */
	uint16_t flags; /* enum tl_range_flag */
	bool has_tsval;
	uint64_t born_ns;
	uint64_t frame; /* that showed it, then */
	uint64_t wanted_ns;
	uint64_t delivered_ns;
};

struct tl_range_list {
	uint32_t head;
	uint32_t count;
};

struct tl_range_pool {
	struct tl_range *range; /* [capacity]; 0 is not used */
	uint32_t capacity;
	uint32_t used;	    /* the highest that was ever given out: memory beyond is untouched */
	uint32_t free;	    /* head of those that were given back */
	uint64_t forgotten; /* ranges that found no room */
};

int tl_range_pool__init(struct tl_range_pool *pool, uint32_t capacity);
void tl_range_pool__fini(struct tl_range_pool *pool);

static inline bool tl_seq__before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline uint32_t tl_seq__max(uint32_t a, uint32_t b)
{
	return tl_seq__before(a, b) ? b : a;
}

static inline uint32_t tl_seq__min(uint32_t a, uint32_t b)
{
	return tl_seq__before(a, b) ? a : b;
}

/* Appends a range above all others. False: the pool or the list is full. */
bool tl_ranges__append(struct tl_range_pool *pool, struct tl_range_list *list,
		       const struct tl_range *range);

/*
 * Takes [what->start, what->end) out. Returns the bytes that were in the list; when there were any,
 * the first range touched replaces `*what`, as it was.
 */
uint32_t tl_ranges__subtract(struct tl_range_pool *pool, struct tl_range_list *list,
			     struct tl_range *what);

/* Adds [start, end), joined with what it touches. True when that was news. */
bool tl_ranges__add(struct tl_range_pool *pool, struct tl_range_list *list, uint32_t start,
		    uint32_t end);

/* Marks what of the list lies in [start, end) as delivered at `now_ns`, splitting ranges. */
void tl_ranges__deliver(struct tl_range_pool *pool, struct tl_range_list *list,
			const struct tl_range *what);

bool tl_ranges__contains(const struct tl_range_pool *pool, const struct tl_range_list *list,
			 uint32_t start, uint32_t end);

/* Holes below `below` whose bytes the receiver does not have: it asks for them since `now_ns`. */
void tl_ranges__want(struct tl_range_pool *pool, const struct tl_range_list *list, uint32_t below,
		     uint64_t now_ns);

/* Takes out the lowest range that was delivered at or before `since_ns`; false when none was. */
bool tl_ranges__pop_delivered(struct tl_range_pool *pool, struct tl_range_list *list,
			      uint64_t since_ns, struct tl_range *ret_range);

/* Takes out the lowest range if it was born at or before `since_ns`; false when there is none. */
bool tl_ranges__pop_older(struct tl_range_pool *pool, struct tl_range_list *list, uint64_t since_ns,
			  struct tl_range *ret_range);

/* Takes the lowest range out; false when the list is empty. */
bool tl_ranges__pop(struct tl_range_pool *pool, struct tl_range_list *list,
		    struct tl_range *ret_range);
void tl_ranges__clear(struct tl_range_pool *pool, struct tl_range_list *list);

#endif
