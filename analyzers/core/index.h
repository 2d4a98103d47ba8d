/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An index beside an array of fixed size: which of its places hold something of a given hash, so
 * that one thing is found without a look at all others.
 *
 *	first[hash & (buckets - 1)] ─► place 3 ─► place 17 ─► place 40      in order of place
 *	next[place]     0: the place is free; 1: the last of its chain; else the next place + 2
 *
 * Going through a chain gives what a loop over the whole array would, in the same order, but that
 * other hashes of the bucket come by: the caller compares. The caller's are the array, `first` and
 * `next`, all of it zeroed to begin with, and a hash that does not change while its place is taken.
 * Not thread-safe; no allocation. At most TL_INDEX_PLACES_MAX places.
 */
#ifndef TAPLINE_ANALYZERS_INDEX_H
#define TAPLINE_ANALYZERS_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define TL_INDEX_PLACES_MAX (UINT16_MAX - 1u)
#define TL_INDEX_END	    UINT32_MAX

struct tl_index {
	uint16_t *first;  /* [buckets]; borrowed, as `next` is */
	uint16_t *next;	  /* [places] */
	uint32_t buckets; /* a power of two */
	uint32_t places;
	uint32_t taken;
};

static inline uint32_t tl_index__place_of(uint16_t link)
{
	return link >= 2 ? link - 2u : TL_INDEX_END;
}

/* The first place of that hash's bucket, and the one after `place`; TL_INDEX_END: no more. */
static inline uint32_t tl_index__first(const struct tl_index *index, uint64_t hash)
{
	return tl_index__place_of(index->first[hash & (index->buckets - 1)]);
}

static inline uint32_t tl_index__after(const struct tl_index *index, uint32_t place)
{
	return tl_index__place_of(index->next[place]);
}

static inline bool tl_index__has(const struct tl_index *index, uint32_t place)
{
	return index->next[place];
}

/* Where the link to `place` is, or would be. */
static inline uint16_t *tl_index__link_to(const struct tl_index *index, uint64_t hash,
					  uint32_t place)
{
	uint16_t *link = &index->first[hash & (index->buckets - 1)];

	while (tl_index__place_of(*link) < place)
		link = &index->next[tl_index__place_of(*link)];
	return link;
}

/* The place must be free. */
static inline void tl_index__add(struct tl_index *index, uint64_t hash, uint32_t place)
{
	uint16_t *link = tl_index__link_to(index, hash, place);

	index->next[place] = *link ? *link : 1;
	*link = (uint16_t)(place + 2);
	index->taken++;
}

/* The place must be taken, with that hash. */
static inline void tl_index__remove(struct tl_index *index, uint64_t hash, uint32_t place)
{
	*tl_index__link_to(index, hash, place) = index->next[place];
	index->next[place] = 0;
	index->taken--;
}

/* The lowest place that is free; TL_INDEX_END: none is. */
static inline uint32_t tl_index__free_place(const struct tl_index *index)
{
	uint32_t place = 0;

	if (index->taken == index->places)
		return TL_INDEX_END;
	while (tl_index__has(index, place))
		place++;
	return place;
}

#endif
