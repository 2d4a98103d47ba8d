/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * TLS records, handshake messages and hellos. Input: one byte that says how large the pieces are in
 * which the rest is fed. What is told does not depend on that size.
 */
#include <stdlib.h>
#include <string.h>

#include "core/tls_record.h"

struct heard {
	uint64_t sum;
	uint32_t events;
	uint32_t body_bytes;
};

static void mix(struct heard *h, uint64_t value)
{
	h->sum = (h->sum ^ value) * 0x100000001b3ull;
}

static void hear(void *ctx, const struct tl_tls_event *e)
{
	struct heard *h = ctx;

	/* Bodies come in pieces: their bytes count, not the pieces. */
	if (e->kind == TL_TLS_EVENT_BODY) {
		if (e->offset + e->bytes > e->total || e->end != (e->offset + e->bytes == e->total))
			abort();
		for (uint32_t i = 0; i < e->bytes; i++)
			mix(h, e->data[i]);
		h->body_bytes += e->bytes;
		return;
	}
	h->events++;
	mix(h, (uint64_t)e->kind << 32 | (uint64_t)e->content << 24 | (uint64_t)e->message << 16 |
		       (uint64_t)e->level << 8 | e->alert);
	mix(h, e->bytes);
}

static struct heard feed(const uint8_t *data, size_t bytes, size_t piece)
{
	struct tl_tls_stream stream = { 0 };
	struct heard heard = { 0 };
	const struct tl_tls_sink sink = { .event = hear, .ctx = &heard };

	for (size_t at = 0; at < bytes; at += piece)
		tl_tls_stream__feed(&stream, data + at, bytes - at < piece ? bytes - at : piece,
				    &sink);
	/* Any hole, at any place, ends in a known place or in a lost stream. */
	tl_tls_stream__skip(&stream, (uint32_t)piece * 7, &sink);
	tl_tls_stream__feed(&stream, data, bytes, &sink);
	return heard;
}

static void read_hellos(const uint8_t *data, size_t bytes)
{
	struct tl_tls_hello hello;

	tl_tls_hello__of_client(data, bytes, &hello);
	if (memchr(hello.sni, 0, sizeof(hello.sni)) == NULL)
		abort();
	tl_tls_hello__of_server(data, bytes, &hello);
	if (tl_tls__begins_hello(data, bytes) && (bytes < 11 || data[0] != 22))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_tls_stream whole = { 0 }, pieces = { 0 };
	struct heard a = { 0 }, b = { 0 };
	const struct tl_tls_sink sink_a = { .event = hear, .ctx = &a };
	const struct tl_tls_sink sink_b = { .event = hear, .ctx = &b };

	if (!bytes)
		return 0;
	tl_tls_stream__feed(&whole, data + 1, bytes - 1, &sink_a);
	for (size_t at = 1; at < bytes; at++)
		tl_tls_stream__feed(&pieces, data + at, 1, &sink_b);
	if (a.sum != b.sum || a.events != b.events || a.body_bytes != b.body_bytes)
		abort();
	feed(data + 1, bytes - 1, data[0] + 1u);
	read_hellos(data + 1, bytes - 1);
	return 0;
}
