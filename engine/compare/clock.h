/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How B's clock runs against A's, from pairs of one packet's two times.
 *
 *	b - a │  ·   ·  · ·    ·        a_to_b: offset + delay: never below its lower envelope
 *	      │ ───────────────────     offset + the shortest delay there
 *	      │ - - - - - - - - - -     the offset: halfway, ± bound
 *	      │ ───────────────────     offset - the shortest delay back
 *	      │  ·     ·   ·  ·         b_to_a: offset - delay: never above its upper envelope
 *	      └──────────────────► a
 *
 * With packets of both directions the offset lies between the two lines, and nothing in two
 *captures tells where: a path that is slower one way looks the same as a clock that is off (RFC
 *5905, section 8). Pure; any thread.
 */
#ifndef TAPLINE_COMPARE_CLOCK_H
#define TAPLINE_COMPARE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct clock_pair {
	uint64_t a_ns;
	int64_t delta_ns;  /* b - a */
	uint8_t direction; /* enum tl_compare_direction */
};

struct clock {
	uint64_t origin_ns; /* of A, where the offset is `offset_ns` */
	int64_t offset_ns;
	double drift; /* ns of offset a ns */
	bool has_bound;
	uint64_t bound_ns;
};

/* The most common offset, in ns, within a tenth of a second and `slack_ns`; sorts `deltas`. */
int64_t clock__mode(int64_t *deltas, size_t count, int64_t slack_ns);

/* `count` > 0 pairs, none far from the mode. */
void clock__fit(const struct clock_pair *pairs, size_t count, struct clock *ret_clock);

/* B less A at A's time. */
int64_t clock__offset_at(const struct clock *clock, uint64_t a_ns);
/* B's time on A's clock. */
uint64_t clock__to_a(const struct clock *clock, uint64_t b_ns);

#endif
