/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_link */
/*
 * Lists of CPUs, pinning, and memory.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "tapline/topology.h"

static int parse(const char *list, int *cpus)
{
	struct tl_error error = { "" };
	int count = tl_topology__parse_cpus(list, cpus, 8, &error);

	cr_assert_eq(count < 0, error.what[0] != '\0', "%s: \"%s\"", list, error.what);
	return count;
}

Test(topology, lists_are_parsed_or_refused)
{
	static const char *const wrong[] = { "",    ",",    "0,",  ",0",  "a",	 "0-", "-1", "0--1",
					     "1-0", "0,,1", "0 1", "0;1", "0x1", "+0", " 0" };
	int cpus[8], here[TL_CPU_MAX];
	uint32_t count = tl_topology__cpus(here, TL_CPU_MAX);
	char list[64];

	cr_assert_geq(count, 1);
	snprintf(list, sizeof(list), "%d", here[0]);
	cr_assert_eq(parse(list, cpus), 1);
	cr_assert_eq(cpus[0], here[0]);
	snprintf(list, sizeof(list), "%d-%d,%d", here[0], here[0], here[0]);
	cr_assert_eq(parse(list, cpus), 1, "a CPU named twice counts once");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		cr_assert_eq(parse(wrong[i], cpus), -EINVAL, "\"%s\"", wrong[i]);
	cr_assert_eq(parse("100000", cpus), -ERANGE);
	cr_assert_eq(parse("99999999999999999999", cpus), -ERANGE);
	cr_assert_eq(parse("0-99999999999", cpus), -ERANGE);
}

Test(topology, order_of_the_list_is_kept)
{
	int cpus[8], here[2];

	if (tl_topology__cpus(here, 2) < 2 || here[0] != 0 || here[1] != 1)
		cr_skip_test("needs CPUs 0 and 1");
	cr_assert_eq(parse("1,0", cpus), 2);
	cr_assert(cpus[0] == 1 && cpus[1] == 0);
	tl_topology__prefer_node(cpus, 2, -1);
	cr_assert(cpus[0] == 1 && cpus[1] == 0);
}

Test(topology, prefer_node_keeps_every_cpu)
{
	int cpus[TL_CPU_MAX], before[TL_CPU_MAX];
	uint32_t count = tl_topology__cpus(cpus, TL_CPU_MAX);

	memcpy(before, cpus, sizeof(cpus));
	for (int node = 0; node < 3; node++) {
		uint64_t sum = 0, sum_before = 0;

		tl_topology__prefer_node(cpus, count, node);
		for (uint32_t i = 0; i < count; i++) {
			sum += (uint64_t)cpus[i];
			sum_before += (uint64_t)before[i];
		}
		cr_assert_eq(sum, sum_before);
	}
}

Test(topology, pinned_thread_runs_there)
{
	int here[TL_CPU_MAX];
	uint32_t count = tl_topology__cpus(here, TL_CPU_MAX);

	cr_assert_eq(tl_topology__pin(here[count - 1]), 0);
	cr_assert_eq(sched_getcpu(), here[count - 1]);
	cr_assert_eq(tl_topology__cpus(here, TL_CPU_MAX), 1);
	cr_assert_eq(tl_topology__pin(-1), -EINVAL);
	cr_assert_neq(tl_topology__pin(CPU_SETSIZE - 1), 0);
}

Test(topology, memory_is_zero_and_writable_to_its_end)
{
	static const size_t sizes[] = { 1, 4096, 4097, 2 << 20, (2 << 20) + 1, 5 << 20 };

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int node = -1; node < 2; node++) {
			unsigned char *memory = tl_topology__alloc(sizes[i], node);

			cr_assert(memory);
			cr_assert(!memory[0] && !memory[sizes[i] - 1]);
			memset(memory, 0xff, sizes[i]);
			tl_topology__free(memory, sizes[i]);
		}
	}
	cr_assert_null(tl_topology__alloc(0, -1));
	cr_assert_null(tl_topology__alloc(SIZE_MAX - 10, -1));
	tl_topology__free(NULL, 10);
}
