/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The generator of numbers of the filter's tests: the same seed gives the same run everywhere.
 */
#ifndef FILTER_RANDOM_H
#define FILTER_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* splitmix64 */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static inline uint32_t random_below(uint64_t *state, uint32_t bound)
{
	return (uint32_t)(random_next(state) % bound);
}

static inline bool random_one_in(uint64_t *state, uint32_t n)
{
	return random_below(state, n) == 0;
}

#define RANDOM_PICK(state, list) ((list)[random_below(state, sizeof(list) / sizeof((list)[0]))])

#endif
