/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A set of four ways in a table of fixed size: which way holds a mark, and which has the least
 * weight. Without branches: with more keys than places, none of these can be foreseen.
 */
#ifndef TAPLINE_ANALYZERS_WAYS_H
#define TAPLINE_ANALYZERS_WAYS_H

#include <stdint.h>

#define TL_WAYS 4u

/* One cache line. */
struct tl_ways {
	uint64_t mark[TL_WAYS]; /* of who is there: a hash of it */
	uint64_t weight[TL_WAYS];
};

/* A bit for each way with that mark. */
static inline uint32_t tl_ways__find(const struct tl_ways *ways, uint64_t mark)
{
	return (uint32_t)(ways->mark[0] == mark) | (uint32_t)(ways->mark[1] == mark) << 1 |
	       (uint32_t)(ways->mark[2] == mark) << 2 | (uint32_t)(ways->mark[3] == mark) << 3;
}

/* Of equal ones the first. */
static inline uint32_t tl_ways__lightest(const struct tl_ways *ways)
{
	const uint64_t *w = ways->weight;
	const uint32_t left = w[1] < w[0], right = 2 + (w[3] < w[2]);
	const uint64_t left_weight = w[1] < w[0] ? w[1] : w[0];
	const uint64_t right_weight = w[3] < w[2] ? w[3] : w[2];

	return right_weight < left_weight ? right : left;
}

#endif
