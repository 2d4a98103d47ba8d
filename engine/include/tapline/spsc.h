/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bounded ring of fixed-size elements: one producer thread, one consumer thread, no lock.
 *
 *   head (consumer's) ──► [ . . x x x x . . ] ◄── tail (producer's)      size: a power of two
 *
 * | word | written by | store      | read by  | load       | edge                               |
 * |------|------------|------------|----------|------------|------------------------------------|
 * | tail | producer   | P1 release | consumer | C1 acquire | elements are seen whole            |
 * | head | consumer   | C2 release | producer | P2 acquire | a slot is reused after it was read |
 *
 * Each side caches the other's cursor and reads it again only when the cached one says full or
 * empty. Cursors sit on separate cache lines. They count up for ever; a slot is `cursor & mask`.
 */
#ifndef TAPLINE_SPSC_H
#define TAPLINE_SPSC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/atomic.h"

struct tl_spsc {
	/* producer's line */
	uint64_t tail TL_CACHE_ALIGNED;
	uint64_t cached_head;
	/* consumer's line */
	uint64_t head TL_CACHE_ALIGNED;
	uint64_t cached_tail;
	/* read-only after init */
	uint64_t mask TL_CACHE_ALIGNED;
	size_t element_bytes;
	unsigned char *slots; /* owned */
};

_Static_assert(offsetof(struct tl_spsc, head) - offsetof(struct tl_spsc, tail) >= TL_CACHE_LINE,
	       "cursors of producer and consumer share a cache line");

/* `elements` must be a power of two. 0, -EINVAL, -ENOMEM. */
static inline int tl_spsc__init(struct tl_spsc *ring, uint64_t elements, size_t element_bytes)
{
	if (!elements || (elements & (elements - 1)) || !element_bytes)
		return -EINVAL;
	memset(ring, 0, sizeof(*ring));
	ring->slots = calloc(elements, element_bytes);
	if (!ring->slots)
		return -ENOMEM;
	ring->mask = elements - 1;
	ring->element_bytes = element_bytes;
	return 0;
}

static inline void tl_spsc__fini(struct tl_spsc *ring)
{
	free(ring->slots);
	ring->slots = NULL;
}

/* Producer: the slot to fill next, or NULL when the ring is full. Nothing is seen until __push. */
static inline void *tl_spsc__reserve(struct tl_spsc *ring)
{
	uint64_t tail = ring->tail;

	if (tail - ring->cached_head > ring->mask) {
		ring->cached_head = tl_load_acquire(&ring->head); /* P2 */
		if (tail - ring->cached_head > ring->mask)
			return NULL;
	}
	return ring->slots + (size_t)(tail & ring->mask) * ring->element_bytes;
}

/* Producer: publishes the slot that __reserve gave. */
static inline void tl_spsc__push(struct tl_spsc *ring)
{
	tl_store_release(&ring->tail, ring->tail + 1); /* P1 */
}

/* Consumer: the oldest element, borrowed until __pop, or NULL when the ring is empty. */
static inline void *tl_spsc__front(struct tl_spsc *ring)
{
	uint64_t head = ring->head;

	if (head == ring->cached_tail) {
		ring->cached_tail = tl_load_acquire(&ring->tail); /* C1 */
		if (head == ring->cached_tail)
			return NULL;
	}
	return ring->slots + (size_t)(head & ring->mask) * ring->element_bytes;
}

/* Consumer: gives the slot of __front back. */
static inline void tl_spsc__pop(struct tl_spsc *ring)
{
	tl_store_release(&ring->head, ring->head + 1); /* C2 */
}

#endif
