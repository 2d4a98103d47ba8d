/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.reset after a farewell in the words of a protocol.
 */
#include <criterion/criterion.h>

#include "unit/tcp_fault_bed.h"

#define NO_X   ((struct fault_extra){ 0 })
#define CLIENT true
#define SERVER false

static const struct bed_pair pair = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(reset_farewell, .init = begin, .fini = end);

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static void expect_nothing(void)
{
	cr_expect_eq(bed__count(b, "tcp.", TL_INFO), 0, "%s",
		     b->finding_count ? b->finding[0].summary : "");
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

/* --- who has taken leave cuts nothing -----------------------------------------------------------
 */

/* A server says `last` and closes, while the client has sent what it does not read. */
static void close_unread(uint8_t app, const void *last, uint32_t bytes)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bed_tcp said;

	talk__up(&t, 100, 200);
	talk__down(&t, 150, 300);
	b->flow[0].app = app;
	said = BED_DATA(t.down, t.up, bytes);
	said.payload = last;
	bed__from_server(b, &pair, 400, said);
	t.down += bytes;
	for (unsigned i = 0; i < 3; i++)
		talk__data(&t, 430 + i, CLIENT, 500);
	talk__rst(&t, 450, SERVER, NO_X);
	bed__end(b);
}

Test(reset_farewell, a_close_frame_is_the_end_of_a_websocket)
{
	static const uint8_t frames[] = { 0x81, 3, 'a', 'b', 'c', 0x88, 2, 3, 0xe8 };

	close_unread(TL_APP_HTTP, frames, sizeof(frames));
	expect_nothing();
}

Test(reset_farewell, a_text_frame_is_none)
{
	static const uint8_t frames[] = { 0x81, 3, 'a', 'b', 'c', 0x82, 2, 3, 0xe8 };

	close_unread(TL_APP_HTTP, frames, sizeof(frames));
	cr_expect_eq(only("tcp.reset")->severity, TL_INFO, "unread data is why");
}

Test(reset_farewell, a_server_that_says_goodbye_may_close)
{
	close_unread(TL_APP_UNKNOWN, "221 2.0.0 Bye\r\n", 15);
	expect_nothing();
}

Test(reset_farewell, a_farewell_that_is_not_the_last_word_is_none)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bed_tcp said = BED_DATA(t.down, t.up, 15);

	said.payload = (const uint8_t *)"221 2.0.0 Bye\r\n";
	bed__from_server(b, &pair, 100, said);
	t.down += 15;
	talk__down(&t, 200, 3000);
	talk__up(&t, 300, 200);
	talk__rst(&t, 450, SERVER, NO_X);
	bed__end(b);
	cr_expect_eq(only("tcp.reset")->severity, TL_ERROR);
}
