/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that is asked for before it is needed.
 *
 * GCC takes a function that does nothing but prefetch for one without effect, and drops the calls
 * of it: hence the empty statement that it must keep. Any address may be given.
 */
#ifndef TAPLINE_FETCH_H
#define TAPLINE_FETCH_H

#include <stddef.h>

#include "tapline/atomic.h"

/* The line at p, for writing, into the L1 cache: it is needed within some hundred instructions. */
static inline void tl_fetch(const void *p)
{
	__asm__ volatile("");
	__builtin_prefetch(p, 1, 3);
}

/* The lines of these bytes into the L2 cache: L1 would have lost them before they are needed. */
static inline void tl_fetch_near(const void *p, size_t bytes)
{
	__asm__ volatile("");
	for (size_t at = 0; at < bytes; at += TL_CACHE_LINE)
		__builtin_prefetch((const char *)p + at, 0, 2);
}

#endif
