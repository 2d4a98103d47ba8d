/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The registry's table: layout of per-flow state, routing of observations, order at the end.
 */
#include <criterion/criterion.h>

#include "core/tracker.h"
#include "unit/analysis_bed.h"

static const struct bed_pair dead = { "10.0.1.5", "10.0.2.10", 40112, 8080 };

Test(registry, flow_state_is_whole_cache_lines_and_holds_the_tracker)
{
	size_t bytes = tl_analysis.flow_bytes();

	cr_expect_eq(bytes % 64, 0);
	cr_expect_gt(bytes, tl_tracker__flow_bytes(), "analyzers have state of their own");
	cr_expect_eq(bytes, tl_analysis.flow_bytes());
}

Test(registry, analyzers_write_only_within_the_flow_of_the_packet)
{
	struct bed *b = bed__start(false);
	struct bed_pair other = dead;

	other.client_port++;
	bed__from_client(b, &dead, 0, BED_SYN(1));
	bed__from_client(b, &other, 1, BED_SYN(2));
	/* Flow 2's entry is untouched while flows 0 and 1 have state. */
	for (size_t i = 0; i < b->stride; i++)
		cr_assert_eq(b->slab[2 * b->stride + i], 0);
	cr_expect_neq(memcmp(b->slab, b->slab + 2 * b->stride, b->stride), 0);
	bed__end(b);
	bed__free(b);
}

Test(registry, quality_closes_the_run_once_after_all_findings)
{
	struct bed *b = bed__start(false);

	for (unsigned i = 0; i < 3; i++)
		bed__from_client(b, &dead, i * 2000, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(b->quality_count, 1);
	cr_expect_gt(b->finding_count, 0);
	cr_expect_eq(b->settled_at_quality, b->finding_count);
	bed__free(b);
}

Test(registry, observations_of_nobody_are_ignored)
{
	struct bed *b = bed__start(false);
	struct tl_observation o = { .analyzer = 5000, .kind = 1, .data_bytes = 8 };

	tl_analysis.judge_observe(b->judge, &o);
	o.analyzer = 0;
	o.kind = 999;
	tl_analysis.judge_observe(b->judge, &o);
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
	bed__free(b);
}

static struct tl_packet packets[600];
static struct tl_layers layers[600];
static struct tl_flow_lookup lookups[600];

/* More packets in one call than verdicts have room for: none is left out, none is read twice. */
Test(registry, a_long_batch_goes_in_pieces)
{
	static const uint8_t bytes[64], src[4] = { 10, 0, 0, 1 }, dst[4] = { 10, 0, 0, 2 };
	struct bed *b = bed__start(false);
	struct tl_batch batch = {
		.n = 600,
		.packet = packets,
		.layers = layers,
		.lookup = lookups,
		.slab = b->slab,
		.slab_stride = b->stride,
	};

	for (unsigned i = 0; i < 600; i++) {
		packets[i] = (struct tl_packet){ .data = bytes, .caplen = 60, .wirelen = 60 };
		packets[i].ts_ns = BED_START_NS + i;
		packets[i].frame = i + 1;
		layers[i] =
			(struct tl_layers){ .ip_version = 4, .proto = 89, .src = src, .dst = dst };
		layers[i].ip_id = i + 1;
		lookups[i].packet = &packets[i];
		lookups[i].layers = &layers[i];
	}
	b->now_ns = packets[599].ts_ns;
	tl_analysis.worker_batch(b->worker, &batch);
	bed__end(b);
	cr_expect_eq(b->quality.packets, 600);
	cr_expect_eq(b->quality.bytes, 600 * 60);
	bed__free(b);
}
