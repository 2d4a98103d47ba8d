/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* Where messages begin and end in a stream, whatever pieces it comes in. */
#include <criterion/criterion.h>
#include <string.h>

#include "core/http_message.h"

struct seen {
	unsigned heads, ends, excesses;
	uint64_t body_bytes[8], excess_bytes;
	uint16_t status[8];
	char uri[8][TL_HTTP_URI];
	enum tl_http_body body;
};

static struct seen seen;
static struct tl_http_parser parser;

static enum tl_http_body on_head(void *ctx, const struct tl_http_parser *p)
{
	(void)ctx;
	cr_assert_lt(seen.heads, 8);
	seen.status[seen.heads] = p->head.status;
	memcpy(seen.uri[seen.heads++], p->head.uri, TL_HTTP_URI);
	return seen.body;
}

static void on_end(void *ctx, const struct tl_http_parser *p)
{
	(void)ctx;
	seen.body_bytes[seen.ends++] = p->body_bytes;
}

static void on_excess(void *ctx, const struct tl_http_parser *p)
{
	(void)ctx;
	seen.excesses++;
	seen.excess_bytes = p->excess_bytes;
}

static void begin(bool is_response)
{
	memset(&seen, 0, sizeof(seen));
	tl_http_parser__init(&parser, is_response);
}

static void feed_chunk(const char *text, uint32_t hole, uint32_t cut)
{
	const struct tl_http_events events = { on_head, on_end, on_excess, NULL };

	tl_http_parser__feed(&parser,
			     &(struct tl_chunk){ .data = (const uint8_t *)text,
						 .bytes = (uint32_t)strlen(text),
						 .hole_bytes = hole,
						 .cut_bytes = cut,
						 .ts_ns = 7,
						 .frame = 7 },
			     &events);
}

static void feed(const char *text)
{
	feed_chunk(text, 0, 0);
}

static void feed_by_bytes(const char *text)
{
	for (; *text; text++)
		feed((const char[]){ *text, 0 });
}

Test(http_message, pipelined_requests)
{
	begin(false);
	feed("GET /a HTTP/1.1\r\nHost: x\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: "
	     "3\r\n\r\nabcGET "
	     "/c HTTP/1.0\r\n\r\n");
	cr_expect_eq(seen.heads, 3);
	cr_expect_eq(seen.ends, 3);
	cr_expect_eq(seen.body_bytes[1], 3);
	cr_expect_str_eq(seen.uri[2], "/c");
	cr_expect_eq(seen.excesses, 0);
}

Test(http_message, byte_by_byte_is_the_same)
{
	begin(true);
	feed_by_bytes(
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\n"
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: "
		"z\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
	cr_expect_eq(seen.ends, 3);
	cr_expect_eq(seen.body_bytes[0], 5);
	cr_expect_eq(seen.body_bytes[1], 3);
	cr_expect_eq(seen.status[2], 503);
	cr_expect_eq(parser.state, TL_HTTP_START);
	cr_expect_not(parser.is_unsure);
}

Test(http_message, only_the_header_of_that_name_counts)
{
	begin(true);
	feed("HTTP/1.1 200 ok\r\nContent-Length: 14\r\nContent-Len: 1\r\n\r\nthis is sparta");
	cr_expect_eq(seen.ends, 1);
	cr_expect_eq(seen.body_bytes[0], 14);
}

Test(http_message, short_body_stays_open)
{
	begin(false);
	feed("POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\n1234");
	cr_expect_eq(parser.state, TL_HTTP_BODY);
	cr_expect_eq(parser.body_bytes, 4);
	cr_expect_eq(parser.left, 6);
}

Test(http_message, excess_lasts_until_a_message_begins)
{
	begin(true);
	feed("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef");
	cr_expect_eq(parser.state, TL_HTTP_EXCESS);
	feed("gh");
	cr_expect_eq(seen.excesses, 0);
	feed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	cr_expect_eq(seen.excesses, 1);
	cr_expect_eq(seen.excess_bytes, 5);
	cr_expect_eq(seen.ends, 2);
}

Test(http_message, empty_line_after_a_body_is_no_excess)
{
	begin(false);
	feed("POST /u HTTP/1.1\r\nContent-Length: 2\r\n\r\nab\r\n");
	feed("GET / HTTP/1.1\r\n\r\n");
	cr_expect_eq(seen.ends, 2);
	cr_expect_eq(parser.state, TL_HTTP_START);
}

Test(http_message, cut_bytes_count_and_are_no_hole)
{
	begin(true);
	feed_chunk("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", 0, 60);
	cr_expect_eq(parser.body_bytes, 60);
	cr_expect_not(parser.has_hole);
	feed_chunk("", 0, 40);
	cr_expect_eq(seen.ends, 1);
}

Test(http_message, hole_in_a_body_marks_it)
{
	begin(true);
	feed("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	feed_chunk("x", 60, 0);
	cr_expect(parser.has_hole);
	cr_expect_eq(parser.body_bytes, 61);
	feed_chunk("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", 50, 0);
	cr_expect(parser.is_unsure, "the hole went past the message's end");
	cr_expect_eq(seen.heads, 2, "and the next message is found again");
}

Test(http_message, hole_in_a_head_loses_it)
{
	begin(false);
	feed("POST /u HTTP/1.1\r\nContent-");
	feed_chunk("0\r\n\r\n", 9, 0);
	cr_expect_eq(parser.state, TL_HTTP_LOST);
	feed("GET / HTTP/1.1\r\n\r\n");
	cr_expect_eq(seen.heads, 1);
	cr_expect(parser.is_unsure);
}

Test(http_message, lengths_that_differ_are_not_judged)
{
	begin(true);
	feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
	cr_expect_eq(parser.state, TL_HTTP_LOST);
	begin(true);
	feed("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello");
	cr_expect_eq(seen.ends, 1, "the same twice is one");
}

Test(http_message, coding_that_does_not_end_in_chunked)
{
	begin(false);
	feed("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n");
	cr_expect_eq(parser.state, TL_HTTP_LOST);
	cr_expect_eq(seen.excesses, 0);
	begin(true);
	feed("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\nhello");
	cr_expect_eq(parser.state, TL_HTTP_BODY_TO_CLOSE);
	cr_expect_eq(parser.body_bytes, 5);
}

Test(http_message, bodies_that_the_other_side_knows_of)
{
	begin(true);
	seen.body = TL_HTTP_NO_BODY;
	feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n");
	cr_expect_eq(seen.ends, 2);
	seen.body = TL_HTTP_TUNNEL;
	feed("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05hello");
	cr_expect_eq(parser.state, TL_HTTP_OPAQUE);
	cr_expect_eq(seen.excesses, 0);
}

Test(http_message, what_never_was_http)
{
	begin(false);
	feed("SSH-2.0-OpenSSH_9.2\r\n");
	cr_expect_eq(parser.state, TL_HTTP_LOST);
	cr_expect_eq(seen.heads, 0);
	cr_expect_not(tl_http__is_request((const uint8_t *)"GETTING /", 9));
	cr_expect(tl_http__is_request((const uint8_t *)"M-SEARCH * HTTP/1.1", 19));
	cr_expect_not(tl_http__is_response((const uint8_t *)"HTTP/2 200", 10));
}

Test(http_message, endless_head_is_given_up)
{
	begin(false);
	feed("GET / HTTP/1.1\r\n");
	for (unsigned i = 0; i < 2000; i++)
		feed("X-Filler: 0123456789012345678901234567890123456789\r\n");
	feed("X: a line that does not end");
	cr_expect_eq(parser.state, TL_HTTP_LOST);
}

Test(http_message, templates)
{
	char t[TL_HTTP_URI];

	tl_http__uri_template("/users/17/a?b=c", t);
	cr_expect_str_eq(t, "/users/{id}/a");
	tl_http__uri_template("/x/123e4567-e89b-12d3-a456-426614174000", t);
	cr_expect_str_eq(t, "/x/{id}");
	tl_http__uri_template("/deadbeef/cafe/v1", t);
	cr_expect_str_eq(t, "/deadbeef/cafe/v1", "words without a digit stay");
	tl_http__uri_template("/", t);
	cr_expect_str_eq(t, "/");
}
