/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The attempts to connect that the judge keeps: a ring in which the newest takes the place of the
 * oldest, each found by its connection and initial sequence number. Control thread only.
 */
#ifndef TAPLINE_ANALYZERS_CONNECT_ATTEMPTS_H
#define TAPLINE_ANALYZERS_CONNECT_ATTEMPTS_H

#include "core/connect.h"

#define CONNECT_ATTEMPTS 8192u /* a power of two */

struct connect_attempts {
	uint32_t newest; /* slot */
	uint32_t taken;	 /* slots, ever */
	uint32_t chain[CONNECT_ATTEMPTS];
	struct connect_attempt slot[CONNECT_ATTEMPTS];
};

void connect_attempts__init(struct connect_attempts *attempts);

/* NULL: not known, or no more. */
struct connect_attempt *connect_attempts__find(struct connect_attempts *attempts,
					       const struct tl_subject *subject, uint32_t isn);

/* Who has to go, and be removed, before the next one is added; NULL: nobody. */
struct connect_attempt *connect_attempts__oldest(struct connect_attempts *attempts);
void connect_attempts__remove(struct connect_attempts *attempts, struct connect_attempt *attempt);

/* One that is not known, with neither report nor ICMP yet: the caller adds it, with that `isn`. */
struct connect_attempt *connect_attempts__add(struct connect_attempts *attempts,
					      const struct tl_subject *subject, uint32_t isn);

/* The `n`th of those that were `taken`, the oldest first; it may not be used (any more). */
static inline struct connect_attempt *connect_attempts__at(struct connect_attempts *attempts,
							   uint32_t n)
{
	return &attempts->slot[(attempts->newest + 1 - attempts->taken + n) &
			       (CONNECT_ATTEMPTS - 1)];
}

#endif
