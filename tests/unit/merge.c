/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_run */
/*
 * The merge of several sources into time order, with sources that are scripts: what they give at
 * each poll, and up to when they have told everything.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "run/merge.h"

struct script {
	struct tl_source source;
	const uint64_t *times; /* 0 ends a poll, UINT64_MAX ends the script */
	uint64_t watermark;
	int at_end; /* what poll says then */
};

static int script_poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct script *s = (struct script *)source;
	int n = 0;

	if (*s->times == UINT64_MAX)
		return s->at_end;
	while (*s->times && *s->times != UINT64_MAX && n < (int)max)
		packets[n++] = (struct tl_packet){ .ts_ns = *s->times++ };
	if (!*s->times)
		s->times++;
	return n;
}

static uint64_t script_watermark(struct tl_source *source)
{
	return ((struct script *)source)->watermark;
}

static const struct tl_source_ops script_ops = {
	.name = "script",
	.poll = script_poll,
	.watermark = script_watermark,
};

static struct script script_of(const uint64_t *times)
{
	return (struct script){ .source.ops = &script_ops, .times = times };
}

static uint32_t take_all(struct merge *m, uint64_t *ret_times)
{
	struct tl_packet room[TL_BATCH_MAX], *packets = room;
	uint8_t inputs[TL_BATCH_MAX];
	uint32_t n = merge__take(m, TL_BATCH_MAX, &packets, inputs);

	for (uint32_t i = 0; i < n; i++)
		ret_times[i] = packets[i].ts_ns;
	return n;
}

#define SECOND 1000000000ull

Test(merge, two_inputs_come_out_in_time_order)
{
	static const uint64_t a[] = { 1 * SECOND, 4 * SECOND, 5 * SECOND, UINT64_MAX };
	static const uint64_t b[] = { 2 * SECOND, 3 * SECOND, 9 * SECOND, UINT64_MAX };
	struct script sa = script_of(a), sb = script_of(b);
	struct tl_source *sources[] = { &sa.source, &sb.source };
	uint64_t times[TL_BATCH_MAX];
	struct merge m;

	cr_assert_eq(merge__init(&m, sources, 2, true), 0);
	cr_assert_eq(merge__fill(&m), 6);
	/* a may still give something just after 5 s less the hold-back: 5 s itself has to wait. */
	cr_assert_eq(take_all(&m, times), 4);
	for (uint64_t i = 0; i < 4; i++)
		cr_expect_eq(times[i], (i + 1) * SECOND);
	merge__flush(&m);
	cr_assert_eq(take_all(&m, times), 2);
	cr_expect_eq(times[0], 5 * SECOND);
	cr_expect_eq(times[1], 9 * SECOND);
	merge__fini(&m);
}

Test(merge, a_quiet_input_holds_others_only_to_its_watermark)
{
	static const uint64_t a[] = { 1 * SECOND, 2 * SECOND, 3 * SECOND, UINT64_MAX };
	static const uint64_t none[] = { UINT64_MAX };
	struct script sa = script_of(a), sb = script_of(none);
	struct tl_source *sources[] = { &sa.source, &sb.source };
	uint64_t times[TL_BATCH_MAX];
	struct merge m;

	sa.watermark = 10 * SECOND;
	sb.watermark = 2 * SECOND;
	cr_assert_eq(merge__init(&m, sources, 2, true), 0);
	merge__fill(&m);
	cr_assert_eq(take_all(&m, times), 2);
	sb.watermark = 3 * SECOND;
	merge__fill(&m);
	cr_assert_eq(take_all(&m, times), 1);
	cr_expect_eq(times[0], 3 * SECOND);
	merge__fini(&m);
}

Test(merge, a_live_input_is_sorted_and_a_file_is_left_alone)
{
	static const uint64_t jumbled[] = { 3 * SECOND, 1 * SECOND, 2 * SECOND, UINT64_MAX };
	uint64_t times[TL_BATCH_MAX];

	for (int live = 0; live <= 1; live++) {
		struct script s = script_of(jumbled);
		struct tl_source *sources[] = { &s.source };
		struct merge m;

		cr_assert_eq(merge__init(&m, sources, 1, live), 0);
		merge__fill(&m);
		merge__flush(&m);
		cr_assert_eq(take_all(&m, times), 3);
		cr_expect_eq(times[0], live ? 1 * SECOND : 3 * SECOND);
		cr_expect_eq(times[2], live ? 3 * SECOND : 2 * SECOND);
		cr_expect_eq(m.went_back, live ? 0u : 2u);
		merge__fini(&m);
	}
}

/* On a quiet link the last packet must not wait for one behind it. */
Test(merge, what_a_lone_live_input_holds_back_goes_after_two_empty_polls)
{
	static const uint64_t times[] = { 1000000, 0, 0, 0, UINT64_MAX };
	struct script a = script_of(times);
	struct tl_source *sources[] = { &a.source };
	uint64_t got[TL_BATCH_MAX];
	struct merge m;

	cr_assert_eq(merge__init(&m, sources, 1, true), 0);
	cr_assert_eq(merge__fill(&m), 1);
	cr_expect_eq(take_all(&m, got), 0, "an older one may still come");
	cr_assert_eq(merge__fill(&m), 0);
	cr_expect_eq(take_all(&m, got), 0);
	cr_assert_eq(merge__fill(&m), 0);
	cr_expect_eq(take_all(&m, got), 1);
	cr_expect_eq(got[0], 1000000);
	cr_expect_lt(merge__watermark(&m), 1000000, "the source promised nothing");
	merge__fini(&m);
}

Test(merge, release_gives_back_what_was_taken)
{
	static const uint64_t a[] = { 1 * SECOND, 2 * SECOND, 3 * SECOND, UINT64_MAX };
	struct script s = script_of(a);
	struct tl_source *sources[] = { &s.source };
	struct tl_packet room[2], *packets = room;
	uint8_t inputs[2];
	struct merge m;

	cr_assert_eq(merge__init(&m, sources, 1, false), 0);
	merge__fill(&m);
	cr_assert_eq(merge__take(&m, 2, &packets, inputs), 2);
	cr_expect_eq(s.source.released, 0u);
	merge__release(&m);
	cr_expect_eq(s.source.released, 2u);
	cr_assert_eq(merge__take(&m, 2, &packets, inputs), 1);
	merge__release(&m);
	cr_expect_eq(s.source.released, 3u);
	merge__fini(&m);
}

Test(merge, the_end_of_a_file_and_a_failure_are_told_apart)
{
	static const uint64_t none[] = { UINT64_MAX };
	struct script s = script_of(none);
	struct tl_source *sources[] = { &s.source };
	struct merge m;

	s.at_end = -ENODATA;
	cr_assert_eq(merge__init(&m, sources, 1, false), 0);
	cr_expect_not(merge__ended(&m));
	cr_expect_eq(merge__fill(&m), 0);
	cr_expect(merge__ended(&m));
	merge__fini(&m);
	s.at_end = -ENETDOWN;
	cr_assert_eq(merge__init(&m, sources, 1, true), 0);
	cr_expect_eq(merge__fill(&m), 0);
	cr_expect(m.inputs[0].down);
	merge__fini(&m);
	s.at_end = -EIO;
	cr_assert_eq(merge__init(&m, sources, 1, true), 0);
	cr_expect_eq(merge__fill(&m), -EIO);
	merge__fini(&m);
}
