/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/* latency.breakdown: what takes long and is not the network's doing. Its faults are in app.c. */
#include <criterion/criterion.h>

#include "unit/talk_bed.h"

static const struct bed_pair web = { "10.0.1.5", "10.0.2.10", 40112, 8080 };

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(latency_none, .init = begin, .fini = end);

static void ask(struct talk *t, uint64_t ms)
{
	static const char get[] = "GET /api HTTP/1.1\r\n\r\n";

	talk__client(t, ms, get, sizeof(get) - 1);
}

static void answer(struct talk *t, uint64_t ms)
{
	static const char text[] = "HTTP/1.1 204 No Content\r\n\r\n";

	talk__server(t, ms, text, sizeof(text) - 1);
}

static void expect_nothing(void)
{
	bed__end(b);
	cr_expect_eq(bed__count(b, "latency.", TL_INFO), 0);
}

/* Of a capture without pure ACKs, as some filters leave it. */
Test(latency_none, ack_that_comes_with_the_next_request)
{
	struct talk t = talk__open(b, &web, 0);

	t.no_ack = true;
	for (unsigned i = 0; i < 3; i++) {
		ask(&t, 100 + i * 60000);
		answer(&t, 105 + i * 60000);
	}
	talk__close(&t, 150000);
	expect_nothing();
}

Test(latency_none, ack_that_comes_with_the_fin)
{
	struct talk t = talk__open(b, &web, 0);

	t.no_ack = true;
	ask(&t, 100);
	answer(&t, 105);
	talk__close(&t, 4000);
	expect_nothing();
}

/* The one ACK that is shown is of all that came before. */
Test(latency_none, ack_of_a_whole_download)
{
	struct talk t = talk__open(b, &web, 0);

	t.no_ack = true;
	ask(&t, 100);
	for (unsigned i = 0; i < 400; i++)
		talk__server(&t, 110 + i * 10, NULL, BED_PAYLOAD);
	talk__ack(&t, TALK_CLIENT, 4120);
	talk__close(&t, 4130);
	expect_nothing();
}

/* Someone types, and each key is echoed; delayed ACKs. */
Test(latency_none, session_of_a_person)
{
	struct talk t = talk__open(b, &web, 0);

	t.no_ack = true;
	for (unsigned i = 0; i < 20; i++) {
		talk__client(&t, 100 + i * 400, "x", 1);
		talk__client(&t, 250 + i * 400, "y", 1);
		talk__server(&t, 252 + i * 400, "xy", 2);
		talk__ack(&t, TALK_CLIENT, 452 + i * 400);
	}
	talk__close(&t, 9000);
	expect_nothing();
}

/* The server's clock ticks every `tick_ms`; the answer comes at a steady rate. */
static void steady_answer(struct talk *t, uint64_t tick_ms)
{
	struct bed_tcp p = BED_SYNACK(5000, 1001);

	talk__packet(t, TALK_CLIENT, 0, BED_SYN(1000));
	p.tsval = 70000;
	talk__packet(t, TALK_SERVER, 1, p);
	t->next[TALK_CLIENT]++;
	t->next[TALK_SERVER]++;
	talk__ack(t, TALK_CLIENT, 2);
	ask(t, 3);
	t->no_ack = true;
	for (unsigned i = 0; i < 60; i++) {
		uint64_t ms = 5 + i * 50u;

		p = BED_DATA(t->next[TALK_SERVER], t->next[TALK_CLIENT], 1000);
		p.tsval = (uint32_t)(70000 + ms / tick_ms);
		talk__packet(t, TALK_SERVER, ms, p);
		t->next[TALK_SERVER] += 1000;
		talk__ack(t, TALK_CLIENT, ms + 1);
	}
	talk__close(t, 3100);
}

Test(latency_none, clocks_that_tick_slowly)
{
	static const uint64_t ticks_ms[] = { 1, 4, 10, 500 };

	for (unsigned i = 0; i < sizeof(ticks_ms) / sizeof(ticks_ms[0]); i++) {
		struct talk t;

		if (i) {
			bed__free(b);
			b = bed__start(false);
		}
		t = talk__begin(b, &web);
		steady_answer(&t, ticks_ms[i]);
		bed__end(b);
		cr_expect_eq(bed__count(b, "latency.", TL_INFO), 0, "%u ms", (unsigned)ticks_ms[i]);
	}
}

/*
 * A queue before the tap: what the server sent at once comes by one by one, later and later, until
 * it has heard of the first and sends more. Its clock does tick in milliseconds.
 */
Test(latency_none, what_waits_in_a_queue_has_no_slow_clock)
{
	struct talk t = talk__begin(b, &web);
	struct bed_tcp p = BED_SYNACK(5000, 1001);

	talk__packet(&t, TALK_CLIENT, 0, BED_SYN(1000));
	p.tsval = 70000;
	talk__packet(&t, TALK_SERVER, 1, p);
	t.next[TALK_CLIENT]++;
	t.next[TALK_SERVER]++;
	talk__ack(&t, TALK_CLIENT, 2);
	ask(&t, 3);
	t.no_ack = true;
	for (unsigned i = 0; i < 80; i++) {
		uint64_t ms = 5 + i * 50u;

		p = BED_DATA(t.next[TALK_SERVER], t.next[TALK_CLIENT], 1000);
		p.tsval = (uint32_t)(70005 + (i < 10 ? 0 : ms - 500));
		talk__packet(&t, TALK_SERVER, ms, p);
		t.next[TALK_SERVER] += 1000;
		talk__ack(&t, TALK_CLIENT, ms + 1);
	}
	talk__close(&t, 4100);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "latency.breakdown"));
	cr_expect_str_eq(bed__detail_string(bed__only(b, "latency.breakdown"), "blame"), "network");
}
