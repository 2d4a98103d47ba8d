/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Distributions in a log-linear histogram: 32 buckets of equal width in each octave.
 *
 *	value:   0 1 2 … 31 │ 32 … 63 │ 64,65  66,67 … │ 128…131 …      (width 1, 1, 2, 4 …)
 *	bucket:  0 1 2 … 31 │ 32 … 63 │   64     65    │   96
 *
 * A bucket's middle is at most 1/64 of the value away from any value in it. Sums wrap at 2^64.
 */
#include "tapline/sketch.h"

void tl_histogram__merge(struct tl_histogram *histogram, const struct tl_histogram *from)
{
	if (!from->count)
		return;
	if (!histogram->count || from->min < histogram->min)
		histogram->min = from->min;
	if (from->max > histogram->max)
		histogram->max = from->max;
	histogram->count += from->count;
	histogram->sum += from->sum;
	for (uint32_t i = 0; i < TL_HISTOGRAM_BUCKETS; i++)
		histogram->bucket[i] += from->bucket[i];
}

static uint64_t middle_of(uint32_t bucket)
{
	uint32_t octave = bucket >> TL_HISTOGRAM_BITS;
	uint64_t first = bucket & ((1u << TL_HISTOGRAM_BITS) - 1);

	if (!octave)
		return first;
	octave--;
	first = (first | 1u << TL_HISTOGRAM_BITS) << octave;
	return first + ((1ull << octave) >> 1);
}

uint64_t tl_histogram__quantile(const struct tl_histogram *histogram, double q)
{
	double rank = q * (double)histogram->count;
	uint64_t passed = 0, value = 0;

	if (!histogram->count)
		return 0;
	for (uint32_t i = 0; i < TL_HISTOGRAM_BUCKETS; i++) {
		passed += histogram->bucket[i];
		if (histogram->bucket[i] && (double)passed >= rank) {
			value = middle_of(i);
			break;
		}
	}
	if (value < histogram->min)
		return histogram->min;
	return value > histogram->max ? histogram->max : value;
}
