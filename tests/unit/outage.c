/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * One cause, one finding: what service.crash explains is its consequence, live and at the end.
 */
#include <criterion/criterion.h>

#include "unit/talk_bed.h"

#define SESSIONS 5u

static const char ask[] = "GET /orders HTTP/1.1\r\nHost: api\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static struct bed *b;
static struct bed_pair pair[SESSIONS + 8];

static struct bed_pair *pair_of(unsigned i)
{
	pair[i] = (struct bed_pair){ "10.0.1.5", "10.0.2.10", (uint16_t)(50000 + i), 8080 };
	return &pair[i];
}

static void refuse(unsigned i, uint64_t ms)
{
	struct bed_pair *p = pair_of(i);

	bed__from_client(b, p, ms, BED_SYN(1000));
	bed__from_server(b, p, ms + 1, BED_RST_ACK(1001));
}

/* Sessions that wait for an answer are cut at 3000 ms; `tries` are refused after that. */
static void crash(unsigned tries, bool comes_back)
{
	struct talk t[SESSIONS];

	for (unsigned i = 0; i < SESSIONS; i++) {
		t[i] = talk__open(b, pair_of(i), i * 10);
		talk__client(&t[i], 100 + i * 10, ask, sizeof(ask) - 1);
		talk__server(&t[i], 105 + i * 10, answer, sizeof(answer) - 1);
	}
	for (unsigned i = 0; i < SESSIONS; i++)
		talk__client(&t[i], 2800 + i, ask, sizeof(ask) - 1);
	for (unsigned i = 0; i < SESSIONS; i++)
		talk__fin(&t[i], TALK_SERVER, 3000 + i);
	for (unsigned i = 0; i < tries; i++)
		refuse(SESSIONS + i, 3100 + i * 400);
	if (comes_back) {
		struct talk back = talk__open(b, pair_of(SESSIONS + 7), 5200);

		talk__client(&back, 5300, ask, sizeof(ask) - 1);
		talk__server(&back, 5310, answer, sizeof(answer) - 1);
	}
}

Test(outage, what_it_leads_to_is_information)
{
	b = bed__start(false);
	crash(5, true);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "service.crash"));
	cr_expect_eq(bed__only(b, "service.crash")->severity, TL_ERROR);
	cr_expect_eq(bed__only(b, "connect.refused")->severity, TL_INFO);
	cr_expect_eq(bed__only(b, "connect.refused")->count, 5);
	cr_expect_eq(bed__count(b, "", TL_WARNING), 1, "the crash alone");
	bed__free(b);
}

/* Wherever an interval ends: the end may be told together with the return. */
Test(outage, a_connection_that_ends_after_it_is_back_was_not_cut)
{
	for (uint64_t shift = 0; shift < 1000; shift += 100) {
		struct talk after;

		b = bed__start(false);
		crash(5, false);
		after = talk__open(b, pair_of(SESSIONS + 7), 5200 + shift);
		talk__fin(&after, TALK_SERVER, 5205 + shift);
		bed__end(b);
		cr_expect_eq(bed__only(b, "service.crash")->count, SESSIONS, "%d ms later",
			     (int)shift);
		bed__free(b);
	}
}

Test(outage, nobody_is_alarmed_of_its_consequences_live)
{
	b = bed__start(true);
	crash(5, false);
	for (uint64_t ms = 5000; ms < 9000; ms += 100) {
		bed__idle_until(b, ms);
		if (b->open_count && strcmp(b->open.kind, "service.crash"))
			cr_expect_eq(b->open.severity, TL_INFO, "%s", b->open.kind);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "", TL_WARNING), 1, "the crash alone");
	bed__free(b);
}

/* The same SYNs refused where nothing was cut: there is no other cause. */
Test(outage, a_service_that_is_not_there_is_an_error)
{
	b = bed__start(false);
	for (unsigned i = 0; i < 5; i++)
		refuse(SESSIONS + i, 3100 + i * 400);
	bed__end(b);
	cr_expect_eq(bed__only(b, "connect.refused")->severity, TL_ERROR);
	bed__free(b);
}

/* Refused long after it was back: of another cause. */
Test(outage, refusals_after_it_are_told)
{
	b = bed__start(false);
	crash(5, true);
	refuse(SESSIONS + 6, 60000);
	bed__end(b);
	cr_expect_geq(bed__only(b, "connect.refused")->severity, TL_WARNING);
	bed__free(b);
}
