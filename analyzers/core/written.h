/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which places of a large table were ever written: a bit each, in an array that stays in a cache.
 *
 * The judge's tables are zeroed memory that the kernel hands out page by page, and most of their
 * pages stay untouched. A page that is read first comes in twice: as the page of zeros, and again
 * at its first write, for which all processors that run the program are interrupted. So what was
 * never written is not read.
 */
#ifndef TAPLINE_ANALYZERS_WRITTEN_H
#define TAPLINE_ANALYZERS_WRITTEN_H

#include <stdbool.h>
#include <stdint.h>

#define TL_WRITTEN_WORDS(places) (((places) + 63u) / 64u)

static inline bool tl_written__has(const uint64_t *words, uint32_t place)
{
	return words[place / 64] >> place % 64 & 1;
}

static inline void tl_written__add(uint64_t *words, uint32_t place)
{
	words[place / 64] |= 1ull << place % 64;
}

#endif
