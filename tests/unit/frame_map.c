/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_run */
#include <criterion/criterion.h>
#include <stdio.h>

#include "run/frame_map.h"
#include "tapline/packet.h"

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

Test(frame_map, a_filter_names_the_frames_of_the_file)
{
	struct frame_map maps[2];
	char filter[256], text[256];

	cr_assert_eq(frame_map__init(&maps[0]), 0);
	cr_assert_eq(frame_map__init(&maps[1]), 0);
	frame_map__set(&maps[0], 7, 120);
	frame_map__set(&maps[1], 9, 5);
	snprintf(text, sizeof(text),
		 "frame.number==%llu || frame.number==%llu || frame.number==%llu && tcp",
		 (unsigned long long)frame_map__provisional(0, 7),
		 (unsigned long long)frame_map__provisional(1, 9),
		 (unsigned long long)frame_map__provisional(1, 10));
	snprintf(filter, sizeof(filter), "%s", text);
	frame_map__resolve_filter(maps, 2, filter);
	cr_expect_str_eq(filter, "frame.number==120 || frame.number==5 || frame.number==0 && tcp");
	frame_map__resolve_filter(maps, 2, filter);
	cr_expect_str_eq(filter, "frame.number==120 || frame.number==5 || frame.number==0 && tcp",
			 "what is resolved stays: %s", filter);
	snprintf(filter, sizeof(filter), "ip.addr==10.0.0.1 && tcp.port==80");
	frame_map__resolve_filter(maps, 2, filter);
	cr_expect_str_eq(filter, "ip.addr==10.0.0.1 && tcp.port==80");
	snprintf(filter, sizeof(filter), "frame.number==%llu", 3ull << TL_FRAME_BITS | 12);
	frame_map__resolve_filter(maps, 2, filter);
	cr_expect_str_eq(filter, "frame.number==12", "of the fourth of several files");
	frame_map__fini(&maps[0]);
	frame_map__fini(&maps[1]);
}
