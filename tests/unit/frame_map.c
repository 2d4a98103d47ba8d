/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_run */
#include <criterion/criterion.h>

#include "run/frame_map.h"

Test(frame_map, gives_back_what_was_set_and_nothing_else)
{
	struct frame_map map;
	uint64_t frame = 0;

	cr_assert_eq(frame_map__init(&map), 0);
	for (uint64_t n = 1; n <= 100000; n++) {
		frame += 1 + n % 7;
		frame_map__set(&map, n, n % 13 ? frame : 0);
	}
	frame = 0;
	for (uint64_t n = 1; n <= 100000; n++) {
		frame += 1 + n % 7;
		cr_assert_eq(frame_map__get(&map, n), n % 13 ? frame : 0, "number %lu", n);
	}
	cr_expect_eq(frame_map__get(&map, 100001), 0u);
	frame_map__fini(&map);
}

Test(frame_map, an_overwritten_number_is_unknown)
{
	struct frame_map map;

	cr_assert_eq(frame_map__init(&map), 0);
	frame_map__set(&map, 5, 50);
	frame_map__set(&map, 5 + FRAME_MAP_PACKETS, 900);
	cr_expect_eq(frame_map__get(&map, 5), 0u);
	cr_expect_eq(frame_map__get(&map, 5 + FRAME_MAP_PACKETS), 900u);
	cr_expect_eq(frame_map__get(&map, 6 + FRAME_MAP_PACKETS), 0u, "not set yet");
	frame_map__fini(&map);
}

Test(frame_map, a_gap_too_wide_for_the_map_is_unknown_not_wrong)
{
	struct frame_map map;

	cr_assert_eq(frame_map__init(&map), 0);
	frame_map__set(&map, 256, 1);
	frame_map__set(&map, 257, 70000);
	cr_expect_eq(frame_map__get(&map, 256), 1u);
	cr_expect_eq(frame_map__get(&map, 257), 0u);
	frame_map__fini(&map);
}
