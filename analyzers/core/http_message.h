/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The messages of one direction of an HTTP/1 connection (RFC 9112), found in the chunks that
 * reassembly hands out: heads, how long each body is, and bytes that belong to no message.
 *
 *	chunk ─► start line ─► header lines ─► head() ─┬─► body by length ─┬─► end() ─► start line
 *	            │                                  ├─► chunked ────────┤
 *	            │ no message begins so             ├─► until close     │
 *	            ▼                                  └─► opaque (tunnel) │
 *	         excess: until a chunk begins with a message again ◄───────┘
 *
 * Lengths are those of sequence space: bytes that a snap length cut off count, and so do holes, but
 * a message with a hole in it is marked. Bounded: one line's beginning is kept, no memory is taken.
 */
#ifndef TAPLINE_ANALYZERS_HTTP_MESSAGE_H
#define TAPLINE_ANALYZERS_HTTP_MESSAGE_H

#include <stddef.h>

#include "core/reassembly.h"
#include "core/text.h"

#define TL_HTTP_LINE	 256u	/* of a line that is looked at; the rest is skipped */
#define TL_HTTP_URI	 128u	/* with the zero; longer ones are cut */
#define TL_HTTP_METHOD	 20u	/* with the zero */
#define TL_HTTP_HEAD_MAX 65536u /* bytes of a head */

enum tl_http_state {
	TL_HTTP_START = 0,
	TL_HTTP_HEADERS,
	TL_HTTP_BODY, /* `left` more bytes */
	TL_HTTP_BODY_TO_CLOSE,
	TL_HTTP_CHUNK_SIZE,
	TL_HTTP_CHUNK, /* `left` more bytes, and the line's end behind them */
	TL_HTTP_TRAILERS,
	TL_HTTP_EXCESS,
	TL_HTTP_LOST,	/* until a chunk begins with a message */
	TL_HTTP_OPAQUE, /* no longer HTTP/1, for good */
};

struct tl_http_head {
	uint16_t status; /* of a response */
	bool has_length, is_chunked, has_upgrade, expects_continue;
	bool has_bad_length;   /* two that differ, or no number */
	bool has_coding;       /* Transfer-Encoding, whatever it says */
	uint64_t length;       /* Content-Length */
	uint64_t frame, ts_ns; /* where it begins */
	char method[TL_HTTP_METHOD];
	char uri[TL_HTTP_URI];
};

struct tl_http_parser {
	uint8_t state; /* enum tl_http_state */
	bool is_response;
	bool has_hole;	  /* in this message's body */
	bool is_unsure;	  /* messages may have been missed since the beginning */
	bool has_message; /* at least one message was read */
	uint32_t line_bytes, head_bytes, line_kept;
	uint64_t left;
	uint64_t body_bytes; /* of this message, so far */
	uint64_t excess_bytes;
	uint64_t excess_frame, excess_ns; /* where the line, or the excess, begins */
	uint64_t last_frame, last_ns;	  /* of the newest byte that counts to a message */
	struct tl_http_head head;
	char line[TL_HTTP_LINE];
};

enum tl_http_body { TL_HTTP_AS_SAID, TL_HTTP_NO_BODY, TL_HTTP_TUNNEL };

/* Callbacks see the parser as it is: head, body_bytes, excess_bytes. */
struct tl_http_events {
	/* A head is complete. What follows depends on the other direction: the callee knows. */
	enum tl_http_body (*head)(void *ctx, const struct tl_http_parser *parser);
	void (*end)(void *ctx, const struct tl_http_parser *parser);
	/* Bytes that were no message are over, because one begins. */
	void (*excess)(void *ctx, const struct tl_http_parser *parser);
	void *ctx;
};

void tl_http_parser__init(struct tl_http_parser *parser, bool is_response);
/* Chunks of one stream, in order. */
void tl_http_parser__feed(struct tl_http_parser *parser, const struct tl_chunk *chunk,
			  const struct tl_http_events *events);
/* The rest of the message's body will not come: the next byte begins a message. */
void tl_http_parser__abandon(struct tl_http_parser *parser);
/* The other direction has shown that this is no longer HTTP/1. */
void tl_http_parser__stop(struct tl_http_parser *parser);

/* Does a payload begin with a request, with a response? */
bool tl_http__is_request(const uint8_t *data, size_t bytes);
static inline bool tl_http__is_response(const uint8_t *data, size_t bytes)
{
	return bytes >= 9 && tl_text__begins(data, bytes, "HTTP/1.");
}

/* "/users/17/a?b=c" -> "/users/{id}/a": what differs from one resource to the next is left out. */
void tl_http__uri_template(const char *uri, char ret_template[TL_HTTP_URI]);

#endif
