/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Search, insertion and removal in the buckets; buckets.h draws them. The table's worker alone.
 */
#include <string.h>

#include "buckets.h"
#include "tapline/atomic.h"

static inline uint32_t after(const struct tl_buckets *buckets, uint32_t at)
{
	return at + 1 == buckets->count ? 0 : at + 1;
}

void tl_buckets__clear(struct tl_buckets *buckets, uint32_t count)
{
	memset(buckets->bucket, 0, count * sizeof(*buckets->bucket));
	buckets->count = count;
}

uint32_t tl_buckets__find(const struct tl_buckets *buckets, uint64_t hash,
			  const struct tl_flow_key *key)
{
	uint32_t at = tl_buckets__home(buckets, hash);
	uint16_t tag = tl_buckets__tag(hash);

	for (uint32_t probe = 0; probe < buckets->count; probe++, at = after(buckets, at)) {
		const struct tl_bucket *b = &buckets->bucket[at];
		unsigned int mask = tl_bucket__match(b, tag);

		for (; mask; mask &= mask - 1) {
			uint32_t index = b->index[__builtin_ctz(mask)];

			if (tl_flow_key__equal(&buckets->entries[index].key, key))
				return index;
		}
		if (!b->overflow)
			break;
	}
	return UINT32_MAX;
}

void tl_buckets__insert(struct tl_buckets *buckets, uint64_t hash, uint32_t index)
{
	uint32_t at = tl_buckets__home(buckets, hash);

	for (uint32_t probe = 1; probe <= buckets->count; probe++, at = after(buckets, at)) {
		struct tl_bucket *b = &buckets->bucket[at];
		unsigned int mask = tl_bucket__match(b, 0);

		if (mask) {
			b->tag[__builtin_ctz(mask)] = tl_buckets__tag(hash);
			b->index[__builtin_ctz(mask)] = index;
			if (probe > buckets->longest_probe)
				tl_store_relaxed(&buckets->longest_probe, probe);
			return;
		}
		if (b->overflow != UINT16_MAX)
			b->overflow++;
	}
}

void tl_buckets__remove(struct tl_buckets *buckets, uint64_t hash, uint32_t index)
{
	uint32_t at = tl_buckets__home(buckets, hash);
	uint16_t tag = tl_buckets__tag(hash);

	for (uint32_t probe = 0; probe < buckets->count; probe++, at = after(buckets, at)) {
		struct tl_bucket *b = &buckets->bucket[at];
		unsigned int mask = tl_bucket__match(b, tag);

		for (; mask; mask &= mask - 1) {
			if (b->index[__builtin_ctz(mask)] == index) {
				b->tag[__builtin_ctz(mask)] = 0;
				return;
			}
		}
		if (b->overflow != UINT16_MAX && b->overflow)
			b->overflow--;
	}
}
