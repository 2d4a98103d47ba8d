/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* What the judges are told of the mirror as a whole, and how the workers' counts come together. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "core/facts.h"
#include "core/tracker_report.h"

static struct tl_judge_facts *facts;

static void setup(void)
{
	cr_assert_eq(tl_facts__create(&facts), 0);
}

static void teardown(void)
{
	tl_facts__destroy(facts);
}

TestSuite(facts, .init = setup, .fini = teardown);

static bool carry(void *ctx, const struct tl_observation *observation)
{
	(*(uint32_t *)ctx)++;
	tl_facts__observe(facts, observation);
	return true;
}

static bool refuse(void *ctx, const struct tl_observation *observation)
{
	(void)observation;
	(*(uint32_t *)ctx)++;
	return false;
}

static struct tl_endpoint endpoint(uint8_t ip_version, uint32_t last)
{
	struct tl_endpoint e = { .ip_version = ip_version, .ip = { 10, 1 } };

	memcpy(e.ip + (ip_version == 4 ? 2 : 12), &last, ip_version == 4 ? 2 : 4);
	return e;
}

static void tell(struct tl_report *report, const struct tl_endpoint *e, bool only_syn)
{
	tl_report__host(report,
			&(struct tl_report_host){
				.ip = e->ip, .ip_version = e->ip_version, .only_syn = only_syn },
			1000);
}

static struct tl_report *make_report(tl_emit_fn *emit, uint32_t *count, uint16_t worker)
{
	struct tl_report *report = calloc(1, sizeof(*report));
	struct tl_analysis_worker_opts opts = { .worker = worker, .emit = emit, .emit_ctx = count };

	cr_assert(report);
	tl_report__init(report, &opts);
	return report;
}

static void emit_totals(uint16_t worker, struct tl_tracker_totals totals)
{
	uint32_t count = 0;
	struct tl_report *report = make_report(carry, &count, worker);

	tl_report__flush(report, &totals, 2000);
	cr_expect_eq(count, 1);
	tl_report__flush(report, &totals, 3000);
	cr_expect_eq(count, 1, "nothing new, nothing told");
	free(report);
}

Test(facts, knows_who_sends_and_mentions_each_about_once)
{
	struct tl_endpoint v4 = endpoint(4, 7), v6 = endpoint(6, 7), silent = endpoint(4, 8);
	uint32_t count = 0;
	struct tl_report *report = make_report(carry, &count, 0);

	cr_expect_not(tl_facts__host_sends(facts, &v4));
	for (uint32_t i = 0; i < 10000; i++) {
		tell(report, &v4, false);
		tell(report, &v6, true);
	}
	tl_report__flush(report, &(struct tl_tracker_totals){ 0 }, 2000);
	cr_expect_eq(count, 1);
	cr_expect(tl_facts__host_sends(facts, &v4));
	cr_expect(tl_facts__host_sends(facts, &v6));
	cr_expect_not(tl_facts__host_sends(facts, &silent));
	free(report);
}

Test(facts, a_flood_of_syn_senders_does_not_flood_the_judge)
{
	struct tl_endpoint e;
	uint32_t count = 0;
	struct tl_report *report = make_report(carry, &count, 0);

	for (uint32_t i = 0; i < 60000; i++) {
		e = endpoint(6, i);
		tell(report, &e, true);
	}
	tl_report__flush(report, &(struct tl_tracker_totals){ 0 }, 2000);
	cr_expect_leq(count, TL_REPORT_SYN_BUDGET / TL_CORE_HOSTS_MAX + 1);
	e = endpoint(6, 70000);
	tell(report, &e, false);
	tl_report__flush(report, &(struct tl_tracker_totals){ 0 }, 3000);
	cr_expect(tl_facts__host_sends(facts, &e), "one that answers is known all the same");
	free(report);
}

Test(facts, what_the_ring_refused_is_told_again)
{
	struct tl_endpoint e = endpoint(4, 7);
	struct tl_tracker_totals totals = { .copies = 5 };
	uint32_t count = 0;
	struct tl_report *report = make_report(refuse, &count, 0);

	tell(report, &e, false);
	tl_report__flush(report, &totals, 2000);
	cr_expect_eq(count, 2);
	report->emit = carry;
	tell(report, &e, false);
	tl_report__flush(report, &totals, 3000);
	cr_expect_eq(count, 4);
	cr_expect(tl_facts__host_sends(facts, &e));
	tl_facts__tracker_totals(facts, &totals);
	cr_expect_eq(totals.copies, 5);
	free(report);
}

Test(facts, totals_of_workers_add_up_and_are_not_added_twice)
{
	struct tl_tracker_totals sum;

	emit_totals(0, (struct tl_tracker_totals){ .copies = 5, .missed_bytes = 100 });
	emit_totals(1, (struct tl_tracker_totals){ .copies = 7 });
	emit_totals(0, (struct tl_tracker_totals){ .copies = 6, .missed_bytes = 300 });
	tl_facts__tracker_totals(facts, &sum);
	cr_expect_eq(sum.copies, 13);
	cr_expect_eq(sum.missed_bytes, 300);
}

Test(facts, two_way_follows_the_flows)
{
	cr_expect_eq(tl_facts__two_way(facts), TL_TWO_WAY_UNKNOWN);
	emit_totals(0, (struct tl_tracker_totals){ .one_way_flows = 1 });
	cr_expect_eq(tl_facts__two_way(facts), TL_TWO_WAY_NO);
	emit_totals(0, (struct tl_tracker_totals){ .one_way_flows = 1, .two_way_flows = 2 });
	cr_expect_eq(tl_facts__two_way(facts), TL_TWO_WAY_MIXED);
	emit_totals(0, (struct tl_tracker_totals){ .one_way_flows = 1, .two_way_flows = 100 });
	cr_expect_eq(tl_facts__two_way(facts), TL_TWO_WAY_YES);
}

Test(facts, capture_drops_are_those_of_all_stages)
{
	struct tl_run_totals totals = { .dropped_writer = 1 };

	totals.source.dropped = (struct tl_drops){
		.nic = 10, .ring_full = 100, .fill_empty = 1000, .kernel = 10000
	};
	tl_facts__set_totals(facts, &totals);
	cr_expect_eq(tl_facts__capture_drops(facts), 11111);
}
