/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sketches: answers about more things than fit in memory, each with an error that is known.
 *
 * | sketch       | asks                    | memory   | error                                    |
 * |--------------|-------------------------|----------|------------------------------------------|
 * | tl_topk      | which keys weigh most   | capacity | weight - error <= true <= weight, and    |
 * |              |                         |          | error <= total / capacity                |
 * | tl_distinct  | how many different keys | 16 KiB   | standard error 0.81 % (1.04 / sqrt 2^14) |
 * | tl_histogram | how values are spread   | 15 KiB   | a quantile is within 1/64 of a value of  |
 * |              |                         |          | that rank; below 64 exact                |
 *
 * All of them merge: what two workers saw apart gives the bounds of having seen it together. One
 * thread at a time each; none allocates after it was made.
 */
#ifndef TAPLINE_SKETCH_H
#define TAPLINE_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- keys ----------------------------------------------------------------------------------- */

#define TL_SKETCH_KEY_WORDS 3

/* Compared and hashed as words: what a key does not use is 0. */
struct tl_sketch_key {
	uint64_t word[TL_SKETCH_KEY_WORDS];
};

/* An address as a key, and back. `ip` has 4 or 16 bytes. */
static inline struct tl_sketch_key tl_sketch_key__of_ip(uint8_t ip_version, const uint8_t *ip)
{
	struct tl_sketch_key key = { { 0, 0, ip_version } };

	memcpy(key.word, ip, ip_version == 4 ? 4 : 16);
	return key;
}

/*
 * Multiplication to 128 bits and folding, word by word (as in wyhash). Good mixing, no secret of
 * its own: give a random seed where an attacker could aim at a table.
 */
uint64_t tl_sketch__hash(const uint64_t *words, size_t n, uint64_t seed);

/* --- heavy hitters (Space-Saving) ------------------------------------------------------------ */

struct tl_topk;

struct tl_topk_item {
	struct tl_sketch_key key;
	uint64_t weight; /* at least the true one */
	uint64_t error;	 /* at most so much too high */
};

/* 0, -EINVAL (capacity 0 or above 2^20), -ENOMEM, or what getrandom(2) said. */
int tl_topk__create(uint32_t capacity, struct tl_topk **ret_topk);
void tl_topk__destroy(struct tl_topk *topk);
void tl_topk__add(struct tl_topk *topk, const struct tl_sketch_key *key, uint64_t weight);
/* Adds what `from` saw; capacities must be equal. 0, -EINVAL, -ENOMEM (unchanged then). */
int tl_topk__merge(struct tl_topk *topk, const struct tl_topk *from);
/* The heaviest first; equal ones in order of their keys. Count. */
uint32_t tl_topk__list(const struct tl_topk *topk, struct tl_topk_item *ret_items, uint32_t max);
/* Of all that was ever added. */
uint64_t tl_topk__total(const struct tl_topk *topk);

/* --- distinct keys (HyperLogLog) -------------------------------------------------------------- */

#define TL_DISTINCT_BITS      14
#define TL_DISTINCT_REGISTERS (1u << TL_DISTINCT_BITS)
#define TL_DISTINCT_ERROR     0.0081 /* standard error, as a share */

/* All zero: nothing seen. */
struct tl_distinct {
	uint8_t reg[TL_DISTINCT_REGISTERS];
};

/* `hash`: 64 good bits of the key, the same for equal keys in every worker. */
static inline void tl_distinct__add(struct tl_distinct *distinct, uint64_t hash)
{
	uint8_t *reg = &distinct->reg[hash >> (64 - TL_DISTINCT_BITS)];
	/* the bit below stops the count of zeros at 50, and a register at 51 */
	uint64_t rest = hash << TL_DISTINCT_BITS | 1ull << (TL_DISTINCT_BITS - 1);
	uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);

	if (rank > *reg)
		*reg = rank;
}

void tl_distinct__merge(struct tl_distinct *distinct, const struct tl_distinct *from);
double tl_distinct__estimate(const struct tl_distinct *distinct);

/* --- distributions (log-linear histogram) ------------------------------------------------------
 */

#define TL_HISTOGRAM_BITS    5 /* 32 buckets an octave */
#define TL_HISTOGRAM_BUCKETS ((64 - TL_HISTOGRAM_BITS + 1) << TL_HISTOGRAM_BITS)
#define TL_HISTOGRAM_ERROR   (1.0 / 64)

/* All zero: nothing seen. */
struct tl_histogram {
	uint64_t bucket[TL_HISTOGRAM_BUCKETS];
	uint64_t count, sum;
	uint64_t min, max; /* exact; meaningless while count is 0 */
};

static inline uint32_t tl_histogram__bucket(uint64_t value)
{
	int exponent;

	if (value < 1u << TL_HISTOGRAM_BITS)
		return (uint32_t)value;
	exponent = 63 - __builtin_clzll(value);
	return (uint32_t)((uint32_t)(exponent - TL_HISTOGRAM_BITS) << TL_HISTOGRAM_BITS) +
	       (uint32_t)(value >> (exponent - TL_HISTOGRAM_BITS));
}

static inline void tl_histogram__add(struct tl_histogram *histogram, uint64_t value)
{
	if (!histogram->count++ || value < histogram->min)
		histogram->min = value;
	if (value > histogram->max)
		histogram->max = value;
	histogram->sum += value;
	histogram->bucket[tl_histogram__bucket(value)]++;
}

void tl_histogram__merge(struct tl_histogram *histogram, const struct tl_histogram *from);
/* The value that the share `q` (0 … 1) of all does not pass; 0 when nothing was seen. */
uint64_t tl_histogram__quantile(const struct tl_histogram *histogram, double q);

#endif
