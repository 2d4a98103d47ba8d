/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How many different keys: HyperLogLog (Flajolet and others, 2007) over 64-bit hashes.
 *
 *	hash: │ 14 bits: register │ 50 bits: leading zeros + 1, the register keeps the largest │
 *
 * The estimate is Ertl's ("New cardinality estimation algorithms for HyperLogLog sketches", 2017,
 * algorithm 6): unbiased from nothing to 2^50 with no table and no switch between formulas. Its
 * sigma and tau stand for registers that are empty and full. Merging is the larger of two
 *registers.
 */
#include <math.h>

#include "tapline/sketch.h"

#define RANKS (64 - TL_DISTINCT_BITS) /* a register: 0 … RANKS + 1 */

static double sigma(double x)
{
	double y = 1, z = x, before;

	if (x == 1)
		return INFINITY;
	do {
		x *= x;
		before = z;
		z += x * y;
		y += y;
	} while (z != before);
	return z;
}

static double tau(double x)
{
	double y = 1, z = 1 - x, before;

	if (x == 0 || x == 1)
		return 0;
	do {
		x = sqrt(x);
		before = z;
		y *= 0.5;
		z -= (1 - x) * (1 - x) * y;
	} while (z != before);
	return z / 3;
}

void tl_distinct__merge(struct tl_distinct *distinct, const struct tl_distinct *from)
{
	for (uint32_t i = 0; i < TL_DISTINCT_REGISTERS; i++)
		if (from->reg[i] > distinct->reg[i])
			distinct->reg[i] = from->reg[i];
}

double tl_distinct__estimate(const struct tl_distinct *distinct)
{
	const double m = TL_DISTINCT_REGISTERS;
	uint32_t with_rank[RANKS + 2] = { 0 };
	double z;

	for (uint32_t i = 0; i < TL_DISTINCT_REGISTERS; i++)
		with_rank[distinct->reg[i] <= RANKS ? distinct->reg[i] : RANKS + 1]++;
	z = m * tau(1 - with_rank[RANKS + 1] / m);
	for (int k = RANKS; k >= 1; k--)
		z = 0.5 * (z + with_rank[k]);
	z += m * sigma(with_rank[0] / m);
	return m * m / (2 * M_LN2) / z;
}
