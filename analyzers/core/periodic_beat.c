/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a row of moments as even as a clock? See core/periodic.h. Pure; any thread.
 *
 *	interval_ns: ring of the newest 64     sorted:  │x│ … the middle 80 % … │x│
 *
 * The ends are left out, so that a check that came late once (two odd intervals) does not hide a
 * clock. A beat of a millisecond jitters by as much as a timer does; there the counts of 100 ms
 * tell: knocks by chance (Poisson) have a variance equal to their mean, a clock has next to none.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/periodic.h"

#define VARIATION_MAX  0.1
#define TRIM_SHARE     10u /* one tenth at each end */
#define FAST_PERIOD_NS 20000000.0
#define FANO_MAX       0.1
#define SLOTS_MIN      20u

void tl_beat__knock(struct tl_beat *beat, uint64_t at_ns)
{
	if (beat->last_ns && at_ns >= beat->last_ns)
		beat->interval_ns[beat->intervals++ % TL_BEAT_RING] = at_ns - beat->last_ns;
	beat->last_ns = at_ns;
}

void tl_beat__count(struct tl_beat *beat, const uint32_t slot[TL_BEAT_SLOTS])
{
	for (uint32_t i = 0; i < TL_BEAT_SLOTS; i++) {
		beat->sum += slot[i];
		beat->squares += (double)slot[i] * slot[i];
	}
	beat->slots += TL_BEAT_SLOTS;
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

static bool counts_are_even(const struct tl_beat *beat)
{
	double n = (double)beat->slots, mean = n > 0 ? beat->sum / n : 0;

	return beat->slots >= SLOTS_MIN && mean >= 5 &&
	       beat->squares / n - mean * mean <= FANO_MAX * mean;
}

bool tl_beat__is_even(const struct tl_beat *beat, double *ret_period_ns, double *ret_variation)
{
	uint64_t sorted[TL_BEAT_RING];
	uint32_t n = beat->intervals < TL_BEAT_RING ? (uint32_t)beat->intervals : TL_BEAT_RING;
	uint32_t trim = n / TRIM_SHARE, kept = n - 2 * trim;
	double mean = 0, squares = 0, variation;

	if (n < TL_BEAT_INTERVALS_MIN)
		return false;
	memcpy(sorted, beat->interval_ns, n * sizeof(sorted[0]));
	qsort(sorted, n, sizeof(sorted[0]), compare);
	for (uint32_t i = trim; i < n - trim; i++)
		mean += (double)sorted[i] / kept;
	for (uint32_t i = trim; i < n - trim; i++)
		squares += ((double)sorted[i] - mean) * ((double)sorted[i] - mean) / kept;
	if (mean <= 0)
		return false;
	variation = sqrt(squares) / mean;
	if (variation >= VARIATION_MAX && !(mean <= FAST_PERIOD_NS && counts_are_even(beat)))
		return false;
	*ret_period_ns = mean;
	*ret_variation = variation;
	return true;
}
