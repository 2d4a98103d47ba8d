/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sketch */
/* Sketches against exact counts: each within the bound that its header names, merged ones too. */
#include <criterion/criterion.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tapline/sketch.h"

static uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static double random_share(uint64_t *state)
{
	return (double)(random_next(state) >> 11) / 9007199254740992.0;
}

/* --- heavy hitters ------------------------------------------------------------------------------
 */

#define KEYS	 20000u
#define COUNTERS 256u

static struct tl_sketch_key key_of(uint64_t n)
{
	return (struct tl_sketch_key){ { n * 0x100000001b3ull, 0, 4 } };
}

/* Key n comes about as often as 1 / n: what traffic looks like. */
static uint32_t draw_key(uint64_t *state)
{
	return (uint32_t)(pow(KEYS, random_share(state)) - 0.5) % KEYS;
}

static uint32_t index_of(const struct tl_sketch_key *key)
{
	for (uint32_t n = 0; n < KEYS; n++)
		if (key_of(n).word[0] == key->word[0])
			return n;
	cr_assert_fail("a key that was never added");
	return 0;
}

static void check_bounds(const struct tl_topk *topk, const uint64_t *exact, uint64_t total)
{
	static struct tl_topk_item items[COUNTERS];
	uint32_t n = tl_topk__list(topk, items, COUNTERS);
	static bool listed[KEYS];

	memset(listed, 0, sizeof(listed));
	cr_assert_eq(tl_topk__total(topk), total);
	cr_assert_eq(n, COUNTERS);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t key = index_of(&items[i].key);

		listed[key] = true;
		cr_expect_leq(exact[key], items[i].weight, "key %u is underestimated", key);
		cr_expect_geq(exact[key], items[i].weight - items[i].error, "key %u", key);
		cr_expect_leq(items[i].error, total / COUNTERS, "key %u", key);
		cr_expect(!i || items[i].weight <= items[i - 1].weight, "the heaviest first");
	}
	for (uint32_t key = 0; key < KEYS; key++)
		cr_expect(listed[key] || exact[key] <= total / COUNTERS,
			  "key %u weighs %lu of %lu and has no counter", key, exact[key], total);
}

static uint64_t feed(struct tl_topk *topk, uint64_t seed, uint64_t *exact)
{
	uint64_t total = 0;

	for (int i = 0; i < 200000; i++) {
		uint32_t n = draw_key(&seed);
		uint64_t weight = 1 + random_next(&seed) % 1500;
		struct tl_sketch_key key = key_of(n);

		tl_topk__add(topk, &key, weight);
		exact[n] += weight;
		total += weight;
	}
	return total;
}

Test(topk, weights_are_within_their_error_of_the_exact_ones)
{
	static uint64_t exact[KEYS];
	struct tl_topk *topk;
	uint64_t total;

	cr_assert_eq(tl_topk__create(COUNTERS, &topk), 0);
	total = feed(topk, 1, exact);
	check_bounds(topk, exact, total);
	tl_topk__destroy(topk);
}

Test(topk, merged_ones_keep_the_bounds)
{
	static uint64_t exact[KEYS];
	struct tl_topk *part[4];
	uint64_t total = 0;

	for (uint64_t i = 0; i < 4; i++) {
		cr_assert_eq(tl_topk__create(COUNTERS, &part[i]), 0);
		total += feed(part[i], i + 7, exact);
	}
	for (int i = 1; i < 4; i++)
		cr_assert_eq(tl_topk__merge(part[0], part[i]), 0);
	check_bounds(part[0], exact, total);
	/* and it goes on after that */
	total += feed(part[0], 99, exact);
	check_bounds(part[0], exact, total);
	for (int i = 0; i < 4; i++)
		tl_topk__destroy(part[i]);
}

Test(topk, with_room_for_all_keys_it_is_exact)
{
	struct tl_topk_item items[3];
	struct tl_topk *topk;

	cr_assert_eq(tl_topk__create(3, &topk), 0);
	for (uint64_t i = 0; i < 60; i++) {
		struct tl_sketch_key key = key_of(i % 3);

		tl_topk__add(topk, &key, i % 3 + 1);
	}
	cr_assert_eq(tl_topk__list(topk, items, 3), 3);
	for (uint64_t i = 0; i < 3; i++) {
		cr_expect_eq(items[i].weight, 60 - 20 * i);
		cr_expect_eq(items[i].error, 0);
	}
	cr_expect_eq(tl_topk__list(topk, items, 1), 1);
	cr_expect_eq(items[0].weight, 60);
	tl_topk__destroy(topk);
}

/* What comes in turn takes over a counter each time: the table must stay whole through removals. */
Test(topk, a_flood_of_new_keys_leaves_the_heavy_ones)
{
	struct tl_topk_item items[4];
	struct tl_topk *topk;

	cr_assert_eq(tl_topk__create(64, &topk), 0);
	for (uint64_t i = 0; i < 500000; i++) {
		struct tl_sketch_key flood = key_of(1000 + i), heavy = key_of(i % 3);

		tl_topk__add(topk, &flood, 1);
		if (i % 4 == 0)
			tl_topk__add(topk, &heavy, 1);
	}
	cr_assert_eq(tl_topk__list(topk, items, 4), 4);
	for (int i = 0; i < 3; i++) {
		cr_expect_lt(items[i].key.word[0], key_of(3).word[0]);
		cr_expect_geq(items[i].weight, 125000u / 3);
	}
	tl_topk__destroy(topk);
}

Test(topk, refuses_what_it_cannot_do)
{
	struct tl_topk *a, *b;

	cr_expect_eq(tl_topk__create(0, &a), -EINVAL);
	cr_expect_eq(tl_topk__create(1u << 21, &a), -EINVAL);
	cr_assert_eq(tl_topk__create(4, &a), 0);
	cr_assert_eq(tl_topk__create(5, &b), 0);
	cr_expect_eq(tl_topk__merge(a, b), -EINVAL);
	tl_topk__destroy(a);
	tl_topk__destroy(b);
	tl_topk__destroy(NULL);
}

/* --- distinct keys
 * --------------------------------------------------------------------------------- */

static void add_range(struct tl_distinct *d, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		tl_distinct__add(d, tl_sketch__hash(&i, 1, 5));
}

/* Five standard errors: once in two million by chance, and the keys are always the same. */
static void check_estimate(const struct tl_distinct *d, uint64_t exact)
{
	double off = tl_distinct__estimate(d) / (double)exact - 1;

	cr_expect_lt(fabs(off), 5 * TL_DISTINCT_ERROR, "%lu keys: off by %.2f %%", exact,
		     100 * off);
}

Test(distinct, estimates_are_within_the_standard_error)
{
	static const uint64_t sizes[] = { 10, 100, 1000, 10000, 30000, 50000, 100000, 1000000 };
	static struct tl_distinct d;
	double squares = 0;

	cr_expect_eq(tl_distinct__estimate(&d), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		double off;

		add_range(&d, i ? sizes[i - 1] : 0, sizes[i]);
		check_estimate(&d, sizes[i]);
		off = tl_distinct__estimate(&d) / (double)sizes[i] - 1;
		squares += off * off;
	}
	cr_expect_lt(sqrt(squares / 8), 2 * TL_DISTINCT_ERROR);
}

Test(distinct, what_comes_again_counts_once)
{
	static struct tl_distinct d;
	double once;

	add_range(&d, 0, 5000);
	once = tl_distinct__estimate(&d);
	for (int i = 0; i < 20; i++)
		add_range(&d, 0, 5000);
	cr_expect_eq(tl_distinct__estimate(&d), once);
}

Test(distinct, merging_is_the_same_as_seeing_all)
{
	static struct tl_distinct part[3], all;

	add_range(&part[0], 0, 60000);
	add_range(&part[1], 40000, 100000);
	add_range(&part[2], 90000, 150000);
	add_range(&all, 0, 150000);
	tl_distinct__merge(&part[0], &part[1]);
	tl_distinct__merge(&part[0], &part[2]);
	cr_expect_eq(memcmp(&part[0], &all, sizeof(all)), 0);
	check_estimate(&part[0], 150000);
}

/* --- distributions
 * --------------------------------------------------------------------------------- */

#define VALUES 100000u

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t rank_of(const uint64_t *sorted, double q)
{
	double rank = ceil(q * VALUES);

	return sorted[rank < 1 ? 0 : (size_t)rank - 1];
}

static void check_quantiles(const struct tl_histogram *h, uint64_t *values)
{
	static const double shares[] = { 0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1 };
	uint64_t sum = 0;

	qsort(values, VALUES, sizeof(*values), by_value);
	for (uint32_t i = 0; i < VALUES; i++)
		sum += values[i];
	cr_expect_eq(h->count, VALUES);
	cr_expect_eq(h->sum, sum);
	cr_expect_eq(h->min, values[0]);
	cr_expect_eq(h->max, values[VALUES - 1]);
	for (size_t i = 0; i < sizeof(shares) / sizeof(*shares); i++) {
		uint64_t exact = rank_of(values, shares[i]);
		uint64_t told = tl_histogram__quantile(h, shares[i]);
		uint64_t off = told > exact ? told - exact : exact - told;

		cr_expect_leq((double)off, (double)exact * TL_HISTOGRAM_ERROR,
			      "share %g: %lu instead of %lu", shares[i], told, exact);
	}
}

Test(histogram, quantiles_are_within_the_relative_error)
{
	static uint64_t values[VALUES];
	static struct tl_histogram h;
	uint64_t seed = 3;

	for (uint32_t i = 0; i < VALUES; i++) {
		/* over all sizes there are */
		values[i] = random_next(&seed) >> random_next(&seed) % 64;
		tl_histogram__add(&h, values[i]);
	}
	check_quantiles(&h, values);
}

Test(histogram, below_64_it_is_exact_and_merging_adds_up)
{
	static uint64_t values[VALUES];
	static struct tl_histogram part[2];
	uint64_t seed = 4;

	for (uint32_t i = 0; i < VALUES; i++) {
		values[i] = random_next(&seed) % 64;
		tl_histogram__add(&part[i % 3 == 0], values[i]);
	}
	tl_histogram__merge(&part[0], &part[1]);
	check_quantiles(&part[0], values);
	cr_expect_eq(tl_histogram__quantile(&part[0], 0.5), rank_of(values, 0.5));
	cr_expect_eq(tl_histogram__quantile(&part[0], 0.9), rank_of(values, 0.9));
}

Test(histogram, buckets_follow_each_other_without_a_gap)
{
	static const struct tl_histogram nothing;

	for (uint64_t v = 1; v < 100000; v++) {
		uint32_t step = tl_histogram__bucket(v) - tl_histogram__bucket(v - 1);

		cr_assert_leq(step, 1, "at %lu", v);
	}
	cr_expect_eq(tl_histogram__bucket(UINT64_MAX), TL_HISTOGRAM_BUCKETS - 1u);
	cr_expect_eq(tl_histogram__quantile(&nothing, 0.5), 0);
}
