/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * One direction of an HTTP/1 connection. Input: one byte (bit 0: responses, bit 1: the other side
 * says that responses have no body), then pieces: two bytes (the first: how many bytes; bits 0-1 of
 * the second: 1 a hole before them, 2 bytes cut off behind them), and their bytes. Then all of it,
 * byte by byte.
 */
#include <stdlib.h>
#include <string.h>

#include "core/http_message.h"

struct seen {
	uint64_t heads, ends, excesses, bytes, declared;
	bool no_body;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct tl_http_parser *p)
{
	if (p->line_kept > TL_HTTP_LINE || p->line_kept > p->line_bytes ||
	    strnlen(p->head.method, TL_HTTP_METHOD) == TL_HTTP_METHOD ||
	    strnlen(p->head.uri, TL_HTTP_URI) == TL_HTTP_URI)
		abort();
}

static enum tl_http_body on_head(void *ctx, const struct tl_http_parser *p)
{
	struct seen *seen = ctx;

	check(p);
	seen->heads++;
	seen->declared += p->head.length;
	return seen->no_body ? TL_HTTP_NO_BODY : TL_HTTP_AS_SAID;
}

static void on_end(void *ctx, const struct tl_http_parser *p)
{
	struct seen *seen = ctx;

	if (seen->ends++ >= seen->heads)
		abort();
	/* A body by length ends at its length. */
	if (!p->head.is_chunked && p->head.has_length && !seen->no_body &&
	    p->body_bytes != p->head.length)
		abort();
	seen->bytes += p->body_bytes;
}

static void on_excess(void *ctx, const struct tl_http_parser *p)
{
	struct seen *seen = ctx;

	if (!p->excess_bytes)
		abort();
	seen->excesses++;
}

static void feed(struct tl_http_parser *p, struct seen *seen, const struct tl_chunk *chunk)
{
	const struct tl_http_events events = { on_head, on_end, on_excess, seen };

	tl_http_parser__feed(p, chunk, &events);
	check(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_http_parser p, single;
	struct seen seen = { 0 }, seen_single = { 0 };
	char template[TL_HTTP_URI];
	size_t at = 1;

	if (!bytes)
		return 0;
	seen.no_body = seen_single.no_body = data[0] & 2;
	tl_http_parser__init(&p, data[0] & 1);
	tl_http_parser__init(&single, data[0] & 1);
	while (at + 2 <= bytes) {
		uint32_t part = data[at];
		uint32_t kind = data[at + 1] & 3u;
		struct tl_chunk chunk = { .ts_ns = at, .frame = at };

		at += 2;
		if (part > bytes - at)
			part = (uint32_t)(bytes - at);
		chunk.data = part ? data + at : NULL;
		chunk.bytes = part;
		chunk.hole_bytes = kind == 1 ? 9 : 0;
		chunk.cut_bytes = kind == 2 ? 5 : 0;
		feed(&p, &seen, &chunk);
		at += part;
	}
	tl_http__uri_template(p.head.uri, template);
	if (strnlen(template, TL_HTTP_URI) == TL_HTTP_URI)
		abort();
	for (at = 1; at < bytes; at++)
		feed(&single, &seen_single,
		     &(struct tl_chunk){ .data = data + at, .bytes = 1, .ts_ns = at });
	return 0;
}
