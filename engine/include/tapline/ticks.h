/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which ticks come: a rule that knows of events and their times alone (of packets for a worker, of
 * observations for the judge), so that live and from a file the same ones come, at the same place
 * between the events, whoever asked when.
 *
 *	events    x x  x                                        x
 *	          │____│____│____│_ … _│____│_________│_ … ____│_│_
 *	ticks          ^    ^    ^     ^    ^         ^        ^ ^
 *	          each 100 ms for 10 s of silence,               └ and where the silence ends,
 *	          then each 2 s, from 20 s on each 4 s, …          the grid point before the event
 *
 * A tick comes after all events older than its time and before all others. In a silence of any
 * length there are few (a day has about 170), for a capture may be made of silences; what waits for
 * a time to come learns of it at most a quarter of the silence late. One of a month is none: the
 * clock was set (at a start without a battery, by NTP), or one packet's time is broken. The grid
 * goes on from there, and what was open stays so until the next tick.
 *
 *	while (tl_ticks__next(&ticks, event_ns, true, &tick_ns))     before an event
 *		…
 *	tl_ticks__hear(&ticks);                                      it came
 *	while (tl_ticks__next(&ticks, now_ns, false, &tick_ns))      nothing older can come any more
 *		…
 *
 * One thread.
 */
#ifndef TAPLINE_TICKS_H
#define TAPLINE_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/analyzer.h"

#define TL_TICKS_SECOND_NS    1000000000ull
#define TL_TICKS_LIVELY_NS    (10 * TL_TICKS_SECOND_NS)
#define TL_TICKS_CLOCK_SET_NS (30 * 86400 * TL_TICKS_SECOND_NS)

struct tl_ticks {
	uint64_t now_ns;   /* the newest tick; 0: nothing came yet */
	uint64_t heard_ns; /* the newest one before the last event */
};

static inline uint64_t tl_ticks__before(uint64_t ns)
{
	return ns - ns % TL_TICK_NS;
}

/* The grid begins; `now_ns` lies on it and is no tick itself. */
static inline void tl_ticks__begin(struct tl_ticks *ticks, uint64_t now_ns)
{
	*ticks = (struct tl_ticks){ now_ns, now_ns };
}

/* How far the next one is: a fifth to a tenth of the silence, doubling. */
static inline uint64_t tl_ticks__step(uint64_t silence_ns)
{
	const uint64_t longest_ns = TL_TICKS_SECOND_NS << 32;
	uint64_t step_ns = 2 * TL_TICKS_SECOND_NS;

	if (silence_ns < TL_TICKS_LIVELY_NS)
		return TL_TICK_NS;
	while (step_ns < longest_ns && step_ns * 10 <= silence_ns)
		step_ns *= 2;
	return step_ns;
}

/* Is there no tick between the newest one and this time? Only such an event may be heard. */
static inline bool tl_ticks__covers(const struct tl_ticks *ticks, uint64_t event_ns)
{
	return event_ns < ticks->now_ns || event_ns - ticks->now_ns < TL_TICK_NS;
}

static inline void tl_ticks__hear(struct tl_ticks *ticks)
{
	ticks->heard_ns = ticks->now_ns;
}

/* The next tick up to `until_ns`, at which an event comes or not; false: there is none. */
static inline bool tl_ticks__next(struct tl_ticks *ticks, uint64_t until_ns, bool is_event,
				  uint64_t *ret_tick_ns)
{
	uint64_t step_ns, next_ns;

	if (!ticks->now_ns || tl_ticks__covers(ticks, until_ns))
		return false;
	if (is_event && until_ns - ticks->now_ns > TL_TICKS_CLOCK_SET_NS) {
		tl_ticks__begin(ticks, tl_ticks__before(until_ns));
		return false;
	}
	step_ns = tl_ticks__step(ticks->now_ns - ticks->heard_ns);
	next_ns = ticks->now_ns - ticks->now_ns % step_ns + step_ns;
	/* A clock may stand at the end of all numbers. */
	if (next_ns > until_ns || next_ns < step_ns) {
		if (!is_event)
			return false;
		next_ns = tl_ticks__before(until_ns);
	}
	*ret_tick_ns = ticks->now_ns = next_ns;
	return true;
}

/*
 * For totals, which are told at the first tick after a second of packet time: so those of several
 * workers are of the same seconds. `*second`: 0, then the one of the last tick. False at the first.
 */
static inline bool tl_ticks__second_ended(uint64_t *second, uint64_t tick_ns)
{
	const uint64_t was = *second;

	*second = tick_ns / TL_TICKS_SECOND_NS;
	return was && *second != was;
}

#endif
