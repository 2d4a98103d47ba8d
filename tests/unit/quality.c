/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* The record that closes a run, and the findings about the mirror itself. */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static const struct tl_finding *find(const struct bed *b, const char *kind)
{
	for (uint32_t i = 0; i < b->finding_count; i++)
		if (!strcmp(b->finding[i].kind, kind))
			return &b->finding[i];
	return NULL;
}

static const struct tl_detail *detail(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name))
			return &f->details[i];
	cr_assert_fail("no detail %s", name);
	return NULL;
}

static bool cannot_judge(const struct bed *b, const char *words)
{
	for (uint32_t i = 0; i < b->quality.cannot_judge_count; i++)
		if (strstr(b->quality.cannot_judge[i], words))
			return true;
	return false;
}

static struct bed_pair pair(uint16_t port)
{
	return (struct bed_pair){ "10.0.1.5", "10.0.2.10", port, 8080 };
}

Test(quality, a_healthy_capture_has_nothing_to_say_against_it)
{
	struct bed *b = bed__start(false);

	for (uint16_t i = 0; i < 20; i++) {
		struct bed_pair p = pair(40000 + i);

		bed__healthy(b, &p, i * 100u);
	}
	bed__end(b);
	cr_expect_eq(b->quality.packets, 200);
	cr_expect_eq(b->quality.tcp_flows, 20);
	cr_expect_eq(b->quality.one_way_flows, 0);
	cr_expect_eq(b->quality.midstream_flows, 0);
	cr_expect_eq(b->quality.copies_removed, 0);
	cr_expect_eq(b->quality.missed_bytes, 0);
	cr_expect_eq(b->quality.cannot_judge_count, 0);
	cr_expect_eq(b->quality.first_ns, BED_START_NS);
	cr_expect_eq(b->quality.last_ns, BED_START_NS + 1941 * BED_MS);
	for (uint32_t i = 0; i < b->finding_count; i++)
		cr_expect_eq(b->finding[i].severity, TL_INFO, "%s", b->finding[i].kind);
	cr_expect_null(find(b, "mirror.loss"));
	bed__free(b);
}

/* As a mirror of one direction shows it: what the server sends is not there. */
static void client_half(struct bed *b, uint16_t port, uint64_t ms)
{
	struct bed_pair p = pair(port);

	bed__from_client(b, &p, ms, BED_SYN(1000));
	bed__from_client(b, &p, ms + 11, BED_ACK(1001, 5001));
	bed__from_client(b, &p, ms + 12, BED_DATA(1001, 5001, 100));
	bed__from_client(b, &p, ms + 26, BED_ACK(1101, 5501));
	bed__from_client(b, &p, ms + 30, BED_FIN(1101, 5501));
	bed__from_client(b, &p, ms + 41, BED_ACK(1102, 5502));
}

/* What is said of the mirror is said once, however long it is quiet between its packets. */
Test(quality, a_one_way_mirror_with_long_pauses_is_one_finding)
{
	struct bed *b = bed__start(false);
	uint32_t told = 0;

	for (uint16_t i = 0; i < 5; i++)
		client_half(b, 40000 + i, i * 900000u);
	bed__end(b);
	for (uint32_t i = 0; i < b->finding_count; i++)
		told += !strcmp(b->finding[i].kind, "mirror.one_way");
	cr_expect_eq(told, 1);
	cr_expect_eq(detail(find(b, "mirror.one_way"), "flows")->u64, 5);
	bed__free(b);
}

Test(quality, a_one_way_mirror_is_named_and_misses_nothing)
{
	struct bed *b = bed__start(false);
	const struct tl_finding *f;

	for (uint16_t i = 0; i < 20; i++)
		client_half(b, 40000 + i, i * 100u);
	bed__end(b);
	f = find(b, "mirror.one_way");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_float_eq(detail(f, "share")->f64, 1.0, 1e-9);
	cr_expect_gt(f->evidence_count, 0);
	cr_expect(strstr(f->display_filter, "frame.number==4"));
	cr_expect_eq(b->quality.one_way_flows, 20);
	cr_expect_float_eq(b->quality.one_way_share, 1.0, 1e-9);
	cr_expect_eq(b->quality.missed_bytes, 0);
	cr_expect(cannot_judge(b, "only one direction is mirrored"));
	cr_expect_null(find(b, "mirror.loss"));
	bed__free(b);
}

Test(quality, a_server_that_never_answers_is_no_one_way_mirror)
{
	struct bed *b = bed__start(false);

	for (uint16_t i = 0; i < 20; i++) {
		struct bed_pair p = pair(40000 + i);

		bed__from_client(b, &p, i * 100u, BED_SYN(1000));
		bed__from_client(b, &p, i * 100u + 1000, BED_SYN(1000));
	}
	bed__end(b);
	cr_expect_null(find(b, "mirror.one_way"));
	cr_expect_eq(b->quality.one_way_flows, 0);
	bed__free(b);
}

Test(quality, copies_are_counted_and_told_as_info)
{
	struct bed *b = bed__start(false);
	const struct tl_finding *f;
	struct bed_pair p = pair(40000);
	struct bed_tcp t = BED_DATA(1001, 5001, 100);

	bed__healthy(b, &p, 0);
	p.client_port++;
	bed__from_client(b, &p, 100, BED_SYN(1000));
	bed__from_server(b, &p, 110, BED_SYNACK(5000, 1001));
	for (uint32_t i = 0; i < 10; i++) {
		t.seq = 1001 + i * 100;
		t.is_copy = false;
		bed__from_client(b, &p, 120 + i, t);
		t.is_copy = true;
		bed__from_client(b, &p, 120 + i, t);
	}
	bed__end(b);
	f = find(b, "mirror.duplicates");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_eq(detail(f, "copies")->u64, 10);
	cr_expect_float_eq(detail(f, "share")->f64, 10.0 / 32, 1e-9);
	cr_expect_eq(b->quality.copies_removed, 10);
	cr_expect_eq(b->quality.packets, 32);
	bed__free(b);
}

static struct bed *run_with_a_missing_segment(uint64_t drops)
{
	struct bed *b = bed__start(false);
	struct bed_pair p = pair(40000);

	b->totals.source.dropped.ring_full = drops;
	bed__from_client(b, &p, 0, BED_SYN(1000));
	bed__from_server(b, &p, 10, BED_SYNACK(5000, 1001));
	bed__from_client(b, &p, 11, BED_ACK(1001, 5001));
	bed__from_client(b, &p, 12, BED_DATA(1001, 5001, 1000));
	bed__from_client(b, &p, 14, BED_DATA(3001, 5001, 1000));
	bed__from_server(b, &p, 20, BED_ACK(5001, 4001));
	bed__from_client(b, &p, 3000, BED_DATA(4001, 5001, 1000));
	bed__from_server(b, &p, 3010, BED_ACK(5001, 5001));
	bed__end(b);
	return b;
}

Test(quality, bytes_the_mirror_left_out_are_exact)
{
	struct bed *b = run_with_a_missing_segment(0);
	const struct tl_finding *f = find(b, "mirror.loss");

	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_eq(detail(f, "missed_bytes")->u64, 1000);
	cr_expect_float_eq(detail(f, "share")->f64, 0.25, 1e-9);
	cr_expect(strstr(f->cause, "mirror port"));
	cr_expect_eq(b->quality.missed_bytes, 1000);
	cr_expect_eq(b->quality.missed_segments, 1);
	cr_expect_eq(f->evidence_count, 1);
	cr_expect_eq(f->evidence[0].frame, 5, "the one after the gap");
	bed__free(b);
}

Test(quality, bytes_left_out_at_the_end_have_evidence_too)
{
	struct bed *b = bed__start(false);
	struct bed_pair p = pair(40000);
	const struct tl_finding *f;

	bed__from_client(b, &p, 0, BED_SYN(1000));
	bed__from_server(b, &p, 10, BED_SYNACK(5000, 1001));
	bed__from_client(b, &p, 11, BED_ACK(1001, 5001));
	bed__from_client(b, &p, 12, BED_DATA(1001, 5001, 1000));
	bed__from_server(b, &p, 20, BED_ACK(5001, 3001));
	bed__end(b);
	f = find(b, "mirror.loss");
	cr_assert_not_null(f);
	cr_expect_eq(f->evidence_count, 1);
	cr_expect_eq(f->evidence[0].frame, 5, "the ACK of what never came by");
	cr_expect_str_eq(f->display_filter, "frame.number==5");
	bed__free(b);
}

Test(quality, the_captures_own_drops_are_not_put_on_the_mirror)
{
	struct bed *b = run_with_a_missing_segment(1);
	const struct tl_finding *f = find(b, "mirror.loss");

	cr_assert_not_null(f);
	cr_expect(strstr(f->cause, "this capture dropped 1 packets itself"));
	cr_expect_eq(b->quality.dropped.ring_full, 1);
	cr_expect(cannot_judge(b, "this capture dropped"));
	bed__free(b);
}

Test(quality, midstream_flows_leave_their_windows_unknown)
{
	struct bed *b = bed__start(false);
	struct bed_pair p = pair(40000);

	bed__from_client(b, &p, 0, BED_DATA(1001, 5001, 100));
	bed__from_server(b, &p, 10, BED_ACK(5001, 1101));
	bed__end(b);
	cr_expect_eq(b->quality.midstream_flows, 1);
	cr_expect(cannot_judge(b, "that began before the capture"));
	bed__free(b);
}
