/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How B's clock runs against A's; see clock.h. */
#include "clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS	   64u
#define BINS_MIN   8u
#define SLACK_NS   100000000ll
#define DRIFT_SURE 4.0 /* standard errors */

static int compare(const void *left, const void *right)
{
	const int64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

int64_t clock__mode(int64_t *deltas, size_t count, int64_t slack_ns)
{
	int64_t width = SLACK_NS + slack_ns;
	size_t most = 0, at = 0, from = 0;

	qsort(deltas, count, sizeof(deltas[0]), compare);
	for (size_t to = 0; to < count; to++) {
		while (deltas[to] - deltas[from] > width)
			from++;
		if (to - from + 1 > most) {
			most = to - from + 1;
			at = from + most / 2;
		}
	}
	return deltas[at];
}

/* One direction's envelope: the extreme of each of BINS spans of time. */
struct envelope {
	bool has[BINS];
	double t[BINS], delta[BINS];
	uint32_t count;
	double slope, slope_error;
};

static void regress(struct envelope *e)
{
	double t = 0, d = 0, tt = 0, td = 0, residual = 0;
	double n = e->count;

	if (e->count < BINS_MIN)
		return;
	for (uint32_t i = 0; i < BINS; i++) {
		t += e->has[i] ? e->t[i] / n : 0;
		d += e->has[i] ? e->delta[i] / n : 0;
	}
	for (uint32_t i = 0; i < BINS; i++) {
		if (!e->has[i])
			continue;
		tt += (e->t[i] - t) * (e->t[i] - t);
		td += (e->t[i] - t) * (e->delta[i] - d);
	}
	if (tt <= 0)
		return;
	e->slope = td / tt;
	for (uint32_t i = 0; i < BINS; i++) {
		double off = e->has[i] ? e->delta[i] - d - e->slope * (e->t[i] - t) : 0;

		residual += off * off;
	}
	/* A microsecond's steps of a clock are not taken for certainty. */
	e->slope_error = sqrt((residual / (n - 2) + 1e3) / tt);
}

static double drift_of(const struct envelope e[2])
{
	double weight = 0, slope = 0, error;

	for (int i = 0; i < 2; i++) {
		double w = e[i].slope_error > 0 ? 1 / (e[i].slope_error * e[i].slope_error) : 0;

		weight += w;
		slope += w * e[i].slope;
	}
	if (weight <= 0)
		return 0;
	slope /= weight;
	error = 1 / sqrt(weight);
	return fabs(slope) >= DRIFT_SURE * error ? slope : 0;
}

static void take_extremes(const struct clock_pair *pairs, size_t count, struct envelope e[2])
{
	uint64_t first = UINT64_MAX, last = 0, span;

	for (size_t i = 0; i < count; i++) {
		first = pairs[i].a_ns < first ? pairs[i].a_ns : first;
		last = pairs[i].a_ns > last ? pairs[i].a_ns : last;
	}
	span = (last - first) / BINS + 1;
	for (size_t i = 0; i < count; i++) {
		struct envelope *side = &e[pairs[i].direction & 1];
		uint64_t bin = (pairs[i].a_ns - first) / span;
		double delta = (double)(pairs[i].delta_ns - pairs[0].delta_ns);
		bool better =
			pairs[i].direction ? delta > side->delta[bin] : delta < side->delta[bin];

		if (side->has[bin] && !better)
			continue;
		side->count += !side->has[bin];
		side->has[bin] = true;
		side->delta[bin] = delta;
		side->t[bin] = (double)(int64_t)(pairs[i].a_ns - pairs[0].a_ns);
	}
}

void clock__fit(const struct clock_pair *pairs, size_t count, struct clock *ret_clock)
{
	struct envelope e[2];
	double line[2] = { INFINITY, -INFINITY }, offset;

	memset(e, 0, sizeof(e));
	take_extremes(pairs, count, e);
	regress(&e[0]);
	regress(&e[1]);
	*ret_clock = (struct clock){ .origin_ns = pairs[0].a_ns, .drift = drift_of(e) };
	for (uint32_t i = 0; i < BINS; i++) {
		if (e[0].has[i])
			line[0] = fmin(line[0], e[0].delta[i] - ret_clock->drift * e[0].t[i]);
		if (e[1].has[i])
			line[1] = fmax(line[1], e[1].delta[i] - ret_clock->drift * e[1].t[i]);
	}
	ret_clock->has_bound = e[0].count && e[1].count;
	offset = ret_clock->has_bound ? (line[0] + line[1]) / 2 : e[0].count ? line[0] : line[1];
	if (ret_clock->has_bound)
		ret_clock->bound_ns = (uint64_t)fabs((line[0] - line[1]) / 2);
	ret_clock->offset_ns = pairs[0].delta_ns + (int64_t)llround(offset);
}

int64_t clock__offset_at(const struct clock *clock, uint64_t a_ns)
{
	double since = (double)(int64_t)(a_ns - clock->origin_ns);

	return clock->offset_ns + (int64_t)(clock->drift * since);
}

uint64_t clock__to_a(const struct clock *clock, uint64_t b_ns)
{
	uint64_t near = b_ns - (uint64_t)clock->offset_ns;

	return b_ns - (uint64_t)clock__offset_at(clock, near);
}
