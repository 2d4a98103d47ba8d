/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The store of findings: grouping, settlement by quiet time, open notices, caps.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/findings.h"
#include "core/text.h"

#define SECOND 1000000000ull

struct told {
	char kind[40];
	enum tl_finding_state state;
	uint64_t count, id;
};

static struct told told[65536];
static size_t told_count;
static struct tl_findings *store;

static void hear(void *ctx, const struct tl_finding *f, enum tl_finding_state state)
{
	struct told *t = &told[told_count++];

	(void)ctx;
	*t = (struct told){ .state = state, .count = f->count, .id = f->id };
	snprintf(t->kind, sizeof(t->kind), "%s", f->kind);
}

static void start(bool live)
{
	told_count = 0;
	cr_assert_eq(tl_findings__create((struct tl_record_sink){ .finding = hear }, live, &store),
		     0);
}

static void stop(void)
{
	tl_findings__destroy(store);
}

/* One more occurrence of `kind` about `key`; was it a new finding? */
static bool occur(const char *kind, uint32_t key, uint64_t at_ns)
{
	bool is_new;
	struct tl_finding *f = tl_findings__begin(store, kind, &key, sizeof(key), &is_new);

	cr_assert_str_eq(f->kind, kind);
	f->count++;
	tl_findings__commit(store, f, at_ns);
	return is_new;
}

Test(findings, groups_by_kind_and_key, .fini = stop)
{
	start(false);
	cr_expect(occur("a.b", 1, SECOND));
	cr_expect_not(occur("a.b", 1, 2 * SECOND), "the same thing again");
	cr_expect(occur("a.b", 2, 3 * SECOND), "another key");
	cr_expect(occur("a.c", 1, 4 * SECOND), "another kind");
	tl_findings__finish(store);
	cr_assert_eq(told_count, 3);
	cr_expect_eq(told[0].count, 2);
	cr_expect_eq(told[0].state, TL_FINDING_SETTLED);
	cr_expect_neq(told[0].id, told[1].id);
	cr_expect_neq(told[0].id, told[2].id);
}

Test(findings, settles_after_quiet_time_and_begins_anew, .fini = stop)
{
	start(false);
	occur("a.b", 1, SECOND);
	tl_findings__tick(store, SECOND + TL_FINDING_QUIET_NS - 1);
	cr_assert_eq(told_count, 0);
	tl_findings__tick(store, SECOND + TL_FINDING_QUIET_NS);
	cr_assert_eq(told_count, 1);
	cr_expect(occur("a.b", 1, 400 * SECOND), "what comes after the quiet is a new finding");
	tl_findings__finish(store);
	cr_assert_eq(told_count, 2);
	cr_expect_eq(told[1].count, 1);
	cr_expect_eq(told[0].id, told[1].id, "the id is of what the finding is about");
}

Test(findings, each_occurrence_prolongs_and_a_late_one_does_not_shorten, .fini = stop)
{
	start(false);
	occur("a.b", 1, 10 * SECOND);
	occur("a.b", 1, 100 * SECOND);
	occur("a.b", 1, 50 * SECOND);
	tl_findings__tick(store, 99 * SECOND + TL_FINDING_QUIET_NS);
	cr_expect_eq(told_count, 0);
	tl_findings__tick(store, 100 * SECOND + TL_FINDING_QUIET_NS);
	cr_expect_eq(told_count, 1);
}

Test(findings, settles_in_order_of_packet_time, .fini = stop)
{
	start(false);
	occur("late", 1, 30 * SECOND);
	occur("early", 1, 10 * SECOND);
	occur("middle", 1, 20 * SECOND);
	tl_findings__finish(store);
	cr_assert_eq(told_count, 3);
	cr_expect_str_eq(told[0].kind, "early");
	cr_expect_str_eq(told[1].kind, "middle");
	cr_expect_str_eq(told[2].kind, "late");
}

Test(findings, open_notices_only_live_once_then_when_changed, .fini = stop)
{
	start(true);
	occur("a.b", 1, SECOND);
	cr_expect_eq(told_count, 0, "told at a tick, not before");
	tl_findings__tick(store, SECOND + SECOND / 10);
	cr_assert_eq(told_count, 1);
	cr_expect_eq(told[0].state, TL_FINDING_OPEN);
	for (unsigned i = 2; i < 100; i++)
		tl_findings__tick(store, SECOND + i * SECOND / 10);
	cr_expect_eq(told_count, 1, "nothing changed, nothing to say");
	occur("a.b", 1, 12 * SECOND);
	occur("a.b", 1, 12 * SECOND);
	tl_findings__tick(store, 12 * SECOND + 1);
	cr_assert_eq(told_count, 2);
	cr_expect_eq(told[1].count, 3);
	occur("a.b", 1, 13 * SECOND);
	tl_findings__tick(store, 13 * SECOND + 1);
	cr_expect_eq(told_count, 2, "too soon after the last notice");
	tl_findings__tick(store, 18 * SECOND);
	cr_assert_eq(told_count, 3);
	cr_expect_eq(told[2].count, 4);
}

Test(findings, no_open_notice_from_a_file, .fini = stop)
{
	start(false);
	occur("a.b", 1, SECOND);
	tl_findings__tick(store, 10 * SECOND);
	cr_expect_eq(told_count, 0);
}

Test(findings, retracted_is_never_settled, .fini = stop)
{
	bool is_new;
	uint32_t key = 1;

	start(true);
	occur("a.b", 1, SECOND);
	tl_findings__retract(store, tl_findings__begin(store, "a.b", &key, sizeof(key), &is_new));
	cr_expect_not(is_new);
	tl_findings__tick(store, 2 * SECOND);
	tl_findings__finish(store);
	cr_expect_eq(told_count, 0);
	cr_expect(occur("a.b", 1, 3 * SECOND));
}

Test(findings, full_store_settles_the_longest_quiet, .fini = stop)
{
	start(false);
	for (uint32_t i = 0; i < TL_FINDINGS_MAX; i++)
		occur("a.b", i, (i + 1) * 1000);
	occur("a.b", 0, (uint64_t)TL_FINDINGS_MAX * 2000); /* no longer the quietest */
	cr_assert_eq(told_count, 0);
	occur("a.b", TL_FINDINGS_MAX, (uint64_t)TL_FINDINGS_MAX * 3000);
	cr_assert_eq(told_count, 1);
	cr_expect(occur("a.b", 1, (uint64_t)TL_FINDINGS_MAX * 4000), "it was number 1 that went");
	cr_expect_not(occur("a.b", 0, (uint64_t)TL_FINDINGS_MAX * 5000));
	tl_findings__finish(store);
	cr_expect_eq(told_count, TL_FINDINGS_MAX + 2);
}

Test(findings, evidence_keeps_first_and_latest_six)
{
	static struct tl_finding f;

	for (uint64_t i = 1; i <= 20; i++)
		tl_finding__evidence(&f, i, i * SECOND, "packet %u", (unsigned)i);
	cr_assert_eq(f.evidence_count, TL_EVIDENCE_MAX);
	for (uint64_t i = 0; i < 6; i++) {
		cr_expect_eq(f.evidence[i].frame, 1 + i);
		cr_expect_eq(f.evidence[6 + i].frame, 15 + i);
	}
	cr_expect_str_eq(f.evidence[11].what, "packet 20");
}

Test(findings, details_are_replaced_and_capped)
{
	static struct tl_finding f;
	static char name[40][8];

	tl_finding__detail_u64(&f, "n", 1);
	tl_finding__detail_string(&f, "n", "one");
	cr_expect_eq(f.detail_count, 1);
	cr_expect_eq(f.details[0].type, TL_DETAIL_STRING);
	cr_expect_eq(tl_finding__detail_get_u64(&f, "n"), 0, "it is no number any more");
	tl_finding__detail_u64(&f, "n", 7);
	cr_expect_eq(tl_finding__detail_get_u64(&f, "n"), 7);
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name[i], sizeof(name[i]), "d%u", i);
		tl_finding__detail_u64(&f, name[i], i);
	}
	cr_expect_eq(f.detail_count, TL_DETAILS_MAX);
}

Test(findings, long_texts_are_cut)
{
	static struct tl_finding f;
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	tl_finding__summary(&f, "%s", text);
	tl_finding__evidence(&f, 1, 1, "%s", text);
	cr_expect_eq(strlen(f.summary), sizeof(f.summary) - 1);
	cr_expect_eq(strlen(f.evidence[0].what), sizeof(f.evidence[0].what) - 1);
	cr_expect_eq(f.cause[0], '\0');
}

Test(findings, who_was_told_of_one_is_told_that_it_is_withdrawn, .fini = stop)
{
	bool is_new;
	uint32_t key = 1;

	start(true);
	occur("tcp.loss", 1, 1000);
	tl_findings__tick(store, 2000);
	cr_assert_eq(told_count, 1);
	tl_findings__retract(store,
			     tl_findings__begin(store, "tcp.loss", &key, sizeof(key), &is_new));
	cr_assert_eq(told_count, 2);
	cr_expect_eq(told[1].state, TL_FINDING_WITHDRAWN);
	key = 2;
	occur("tcp.loss", 2, 3000);
	tl_findings__retract(store,
			     tl_findings__begin(store, "tcp.loss", &key, sizeof(key), &is_new));
	cr_expect_eq(told_count, 2, "nobody knew of it");
	tl_findings__finish(store);
	cr_expect_eq(told_count, 2);
}

static uint64_t draw(uint64_t *state, uint32_t limit)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (*state >> 33) % limit;
}

static struct tl_endpoint host_of(uint64_t n)
{
	struct tl_endpoint e = { .ip_version = n % 3 ? 4 : 6, .port = (uint16_t)(n * 7) };

	e.ip[0] = (uint8_t)(n / 2); /* of two versions, some with the same address */
	return e;
}

/* Each one is met once, and as many as a look at all of them finds. */
static void check_hosts(enum tl_finding_side side, struct tl_endpoint host)
{
	const struct tl_finding *f = NULL;
	uint64_t all = 0, met = 0, ids_all = 0, ids_met = 0;

	while ((f = tl_findings__next(store, f))) {
		const struct tl_subject *s = &f->subject;

		if (!tl_endpoint__same_host(side == TL_FINDING_SERVER ? &s->server : &s->client,
					    &host))
			continue;
		all++;
		ids_all += f->id;
	}
	host.port = 1;
	while ((f = tl_findings__next_of(store, side, &host, f))) {
		met++;
		ids_met += f->id;
	}
	cr_assert_eq(met, all);
	cr_assert_eq(ids_met, ids_all);
}

Test(findings, by_host_are_those_that_a_look_at_all_finds, .fini = stop)
{
	uint64_t state = 1;

	start(true);
	for (uint32_t step = 0; step < 20000; step++) {
		uint32_t key = (uint32_t)draw(&state, 5000);
		struct tl_finding *f;
		bool is_new;

		f = tl_findings__begin(store, "tcp.reset", &key, sizeof(key), &is_new);
		f->subject.server = host_of(draw(&state, 24));
		f->subject.client = host_of(draw(&state, 24));
		if (draw(&state, 8))
			tl_findings__commit(store, f, step * SECOND / 10);
		else
			tl_findings__retract(store, f);
		if (step % 500 == 0)
			tl_findings__tick(store, step * SECOND / 10);
		if (step % 20 == 0) {
			check_hosts(TL_FINDING_SERVER, host_of(draw(&state, 24)));
			check_hosts(TL_FINDING_CLIENT, host_of(draw(&state, 24)));
		}
	}
}
