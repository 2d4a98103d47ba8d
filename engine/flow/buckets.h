/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The index of the flow table: buckets of one cache line, ten tags of 16 bits and ten numbers of
 * entries each.
 *
 *	byte  0                   20         22      24                                64
 *	      │ tag[10]           │ overflow │ spare │ index[10]                       │
 *
 *	hash: │ 63 … 32: bucket, by multiplication │        │ 15 … 0: tag (0 → 1) │
 *
 * A key lies in its home bucket or, when that was full, in one of those behind it. `overflow`
 * counts the keys that passed a bucket on their way: a search ends at the first bucket where it is
 * 0. At five entries a bucket, the most there are, one bucket in 73 is full: a miss costs one cache
 * line, a hit that and the entry's.
 *
 * Invariants: tag 0 is a free place; a bucket's overflow is the number of entries whose way from
 * home leads past it (65535 sticks: then searches only walk further). One thread.
 */
#ifndef TAPLINE_FLOW_BUCKETS_H
#define TAPLINE_FLOW_BUCKETS_H

#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "tapline/flow.h"

#define TL_BUCKET_PLACES 10

struct tl_bucket {
	uint16_t tag[TL_BUCKET_PLACES];
	uint16_t overflow;
	uint16_t spare;
	uint32_t index[TL_BUCKET_PLACES];
};

_Static_assert(sizeof(struct tl_bucket) == 64, "a bucket is one cache line");
_Static_assert(offsetof(struct tl_bucket, index) == 24, "tags and overflow are one 24-byte load");

struct tl_buckets {
	struct tl_bucket *bucket; /* borrowed from the table */
	uint32_t count;
	uint32_t count_max; /* there is memory for so many */
	uint32_t longest_probe;
	const struct tl_flow *entries;
};

static inline uint32_t tl_buckets__home(const struct tl_buckets *buckets, uint64_t hash)
{
	return (uint32_t)((hash >> 32) * buckets->count >> 32);
}

static inline uint16_t tl_buckets__tag(uint64_t hash)
{
	return (uint16_t)hash ? (uint16_t)hash : 1;
}

/* Bit i is set where tag[i] is `tag`. */
static inline unsigned int tl_bucket__match(const struct tl_bucket *bucket, uint16_t tag)
{
#if defined(__SSE2__)
	const __m128i *p = (const __m128i *)(const void *)bucket;
	__m128i wanted = _mm_set1_epi16((short)tag);
	__m128i low = _mm_cmpeq_epi16(_mm_load_si128(p), wanted);
	__m128i high = _mm_cmpeq_epi16(_mm_loadl_epi64(p + 1), wanted);

	return (unsigned int)_mm_movemask_epi8(_mm_packs_epi16(low, high)) & 0x3ffu;
#else
	unsigned int mask = 0;

	for (unsigned int i = 0; i < TL_BUCKET_PLACES; i++)
		mask |= (unsigned int)(bucket->tag[i] == tag) << i;
	return mask;
#endif
}

static inline bool tl_flow_key__equal(const struct tl_flow_key *a, const struct tl_flow_key *b)
{
	const uint64_t *x = (const uint64_t *)(const void *)a;
	const uint64_t *y = (const uint64_t *)(const void *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

/* The first entry of the home bucket whose tag fits: a guess, good for prefetching. */
static inline uint32_t tl_buckets__candidate(const struct tl_buckets *buckets, uint64_t hash)
{
	const struct tl_bucket *home = &buckets->bucket[tl_buckets__home(buckets, hash)];
	unsigned int mask = tl_bucket__match(home, tl_buckets__tag(hash));

	return mask ? home->index[__builtin_ctz(mask)] : UINT32_MAX;
}

/* The entry with this key; UINT32_MAX: none. */
uint32_t tl_buckets__find(const struct tl_buckets *buckets, uint64_t hash,
			  const struct tl_flow_key *key);
/* All of them free, `count` of them: at most count_max. */
void tl_buckets__clear(struct tl_buckets *buckets, uint32_t count);
/* There is always a free place: twice as many as entries. */
void tl_buckets__insert(struct tl_buckets *buckets, uint64_t hash, uint32_t index);
void tl_buckets__remove(struct tl_buckets *buckets, uint64_t hash, uint32_t index);

#endif
