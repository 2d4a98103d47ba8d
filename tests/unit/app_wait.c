/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * app.no_response while the client waits: told early, and taken back when the answer comes.
 */
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

TestSuite(app_wait, .init = begin, .fini = end);

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static void ask(struct talk *t, uint64_t ms, const char *request)
{
	talk__client(t, ms, request, strlen(request));
}

static void get(struct talk *t, uint64_t ms, uint64_t wait_ms)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	ask(t, ms, "GET /orders?id=7 HTTP/1.1\r\nHost: api\r\n\r\n");
	talk__server(t, ms + wait_ms, answer, sizeof(answer) - 1);
}

/* Ticks up to `ms`, as of a live capture in which nothing comes. */
static void hang(struct talk *t, uint64_t ms, uint64_t until_ms)
{
	ask(t, ms, "GET /orders?id=7 HTTP/1.1\r\nHost: api\r\n\r\n");
	bed__idle_until(b, until_ms);
}

static struct talk learned(bool live)
{
	struct talk t;

	bed__free(b);
	b = bed__start(live);
	t = talk__open(b, &web, 0);
	for (unsigned i = 0; i < 10; i++)
		get(&t, 100 + i * 100, 20);
	return t;
}

Test(app_wait, who_waits_is_told_while_it_waits)
{
	struct talk t = learned(true);
	struct tl_finding live;

	hang(&t, 2000, 4900);
	cr_expect_eq(b->open_count, 0, "it may just be slow");
	bed__idle_until(b, 6200);
	cr_expect_geq(b->open_count, 1);
	cr_expect_str_eq(b->open.kind, "app.no_response");
	cr_expect_eq(b->open.severity, TL_WARNING);
	cr_expect_eq(b->open.count, 1);
	bed__idle_until(b, 8000);
	talk__fin(&t, TALK_CLIENT, 8000);
	bed__end(b);
	live = *only("app.no_response");
	cr_expect_eq(live.severity, TL_ERROR, "somebody gave up");
	cr_expect_eq(live.count, 1);
	cr_expect_eq(bed__detail(&live, "waited_ms"), 6000);

	t = learned(false);
	hang(&t, 2000, 8000);
	talk__fin(&t, TALK_CLIENT, 8000);
	bed__end(b);
	cr_expect(bed__same(only("app.no_response"), &live));
}

Test(app_wait, an_answer_takes_back_what_was_told_of_the_wait)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct talk t = learned(true);

	hang(&t, 2000, 6000);
	cr_expect_geq(b->open_count, 1);
	talk__server(&t, 6010, answer, sizeof(answer) - 1);
	talk__close(&t, 6100);
	cr_expect_eq(b->withdrawn_count, 1);
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
	cr_expect_eq(bed__detail(only("app.slow"), "waited_ms"), 4010);
}

Test(app_wait, what_never_was_quick_is_told_later)
{
	struct talk t;

	bed__free(b);
	b = bed__start(true);
	t = talk__open(b, &web, 0);
	hang(&t, 100, 2900);
	cr_expect_eq(b->open_count, 0);
	bed__idle_until(b, 4300);
	cr_expect_eq(b->open_count, 1);
}

Test(app_wait, many_who_wait_are_one_finding)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct bed_pair pair[5];
	struct talk t[5];

	bed__free(b);
	b = bed__start(true);
	for (unsigned i = 0; i < 5; i++) {
		pair[i] = web;
		pair[i].client_port = (uint16_t)(40112 + i);
		t[i] = talk__open(b, &pair[i], i * 10);
	}
	for (unsigned i = 0; i < 5; i++)
		ask(&t[i], 100 + i, "GET /orders HTTP/1.1\r\nHost: api\r\n\r\n");
	bed__idle_until(b, 20000);
	cr_expect_eq(b->open.count, 5);
	/* one is answered, and one gives up */
	talk__server(&t[0], 20010, answer, sizeof(answer) - 1);
	talk__fin(&t[1], TALK_CLIENT, 20020);
	bed__idle_until(b, 40000);
	cr_expect_eq(b->open.count, 4);
	bed__end(b);
	cr_expect_eq(only("app.no_response")->count, 4);
	cr_expect_eq(only("app.no_response")->severity, TL_WARNING, "the longest waits still");
}

Test(app_wait, who_still_waits_at_the_end_of_the_capture_waited_until_then)
{
	struct talk t = learned(false);

	hang(&t, 2000, 7900);
	bed__end(b);
	cr_expect_eq(bed__detail(only("app.no_response"), "waited_ms"), 5900);
	cr_expect_eq(only("app.no_response")->severity, TL_WARNING);
}
