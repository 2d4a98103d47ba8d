/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* An index against a loop over all places: the same ones, in the same order. */
#include <criterion/criterion.h>

#include "core/index.h"

#define PLACES	200u
#define BUCKETS 16u
#define HASHES	40u /* few: chains are long, and buckets are shared */
#define STEPS	200000u

static uint16_t first[BUCKETS], next[PLACES];
static uint64_t hash_at[PLACES]; /* what the places hold; 0: nothing */
static struct tl_index index_;

static void setup(void)
{
	index_ = (struct tl_index){ first, next, BUCKETS, PLACES, 0 };
}

static uint32_t draw(uint64_t *state, uint32_t limit)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((*state >> 33) % limit);
}

static void check_hash(uint64_t hash)
{
	uint32_t at = tl_index__first(&index_, hash);

	for (uint32_t place = 0; place < PLACES; place++) {
		if (!hash_at[place] || (hash_at[place] & (BUCKETS - 1)) != (hash & (BUCKETS - 1)))
			continue;
		cr_assert_eq(at, place);
		at = tl_index__after(&index_, at);
	}
	cr_assert_eq(at, TL_INDEX_END);
}

static void check_free_place(void)
{
	uint32_t place = 0;

	while (place < PLACES && hash_at[place])
		place++;
	cr_assert_eq(tl_index__free_place(&index_), place < PLACES ? place : TL_INDEX_END);
}

Test(index, of_zeroed_memory_is_empty, .init = setup)
{
	for (uint32_t hash = 0; hash < BUCKETS; hash++)
		cr_assert_eq(tl_index__first(&index_, hash), TL_INDEX_END);
	for (uint32_t place = 0; place < PLACES; place++)
		cr_assert_not(tl_index__has(&index_, place));
	cr_assert_eq(tl_index__free_place(&index_), 0);
}

Test(index, gives_what_a_loop_over_all_places_gives, .init = setup)
{
	uint64_t state = 1;

	for (uint32_t step = 0; step < STEPS; step++) {
		/* It fills up and empties in turn, so that both limits are met. */
		bool is_filling = step / 1000 % 2 == 0;
		uint32_t place = draw(&state, PLACES);

		if (hash_at[place] && draw(&state, 4) < (is_filling ? 1 : 3)) {
			tl_index__remove(&index_, hash_at[place], place);
			hash_at[place] = 0;
		} else if (!hash_at[place] && draw(&state, 4) < (is_filling ? 3 : 1)) {
			hash_at[place] = 1 + draw(&state, HASHES);
			tl_index__add(&index_, hash_at[place], place);
		}
		cr_assert_eq(tl_index__has(&index_, place), hash_at[place] != 0);
		check_hash(1 + draw(&state, HASHES));
		check_free_place();
	}
}

Test(index, holds_as_many_as_it_has_places, .init = setup)
{
	for (uint32_t n = 0; n < PLACES; n++) {
		uint32_t place = tl_index__free_place(&index_);

		cr_assert_eq(place, n);
		hash_at[place] = 7;
		tl_index__add(&index_, 7, place);
	}
	cr_assert_eq(tl_index__free_place(&index_), TL_INDEX_END);
	check_hash(7);
	tl_index__remove(&index_, 7, 100);
	hash_at[100] = 0;
	cr_assert_eq(tl_index__free_place(&index_), 100);
	check_hash(7);
}
