/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The worker half of tls.*, shared by its two files: tls.c (packets, and how connections end) and
 * core/tls_handshake.c (records and messages of one handshake, and its report).
 *
 *	tls_worker ─┬─ handshake[]  one for each that is under way
 *	            ├─ body[]       a hello or a chain while it comes in
 *	            └─ chain[]      hashes of chains told of lately
 */
#ifndef TAPLINE_ANALYZERS_TLS_HANDSHAKE_H
#define TAPLINE_ANALYZERS_TLS_HANDSHAKE_H

#include "core/reassembly.h"
#include "core/tls.h"

#define TLS_HANDSHAKES 4096u
#define TLS_BODIES     128u
#define TLS_CHAINS     1024u /* remembered as told; a power of two */

#define TLS_CLIENT 0
#define TLS_SERVER 1

enum tls_progress {
	TLS_HAS_SERVER_HELLO = 1u << 0,
	TLS_CLIENT_CCS = 1u << 1,
	TLS_SERVER_CCS = 1u << 2,
	TLS_CLIENT_FINISHED = 1u << 3, /* or what must be it, encrypted */
	TLS_SERVER_FINISHED = 1u << 4,
	TLS_COMPLETE = 1u << 5,
	TLS_USED = 1u << 6, /* the client sent data */
	TLS_HELLO_ACKED = 1u << 7,
	TLS_SERVER_SPOKE = 1u << 8,
	TLS_HAS_CERTIFICATE = 1u << 9,
	TLS_LOST = 1u << 10, /* a hole, or no TLS by the client: no verdict */
	TLS_REPORTED = 1u << 11,
};

struct tls_handshake {
	uint32_t next_free;
	uint32_t body; /* index + 1 of the buffer it fills; 0 */
	uint8_t body_side;
	uint8_t client; /* side of the flow */
	uint16_t progress;
	bool answered;	    /* the server's stream has begun */
	uint8_t awaits;	    /* a bit for each of TLS_CLIENT, TLS_SERVER: who closed has what was not
			       seen */
	uint32_t hello_ack; /* of the client_hello: there the server's TLS begins */
	uint32_t said;	    /* relative end of the plaintext that the server sent before; 0 */
	uint32_t base;	    /* of the server's relative numbers */
	struct tl_stream stream[2]; /* TLS_CLIENT, TLS_SERVER */
	struct tl_tls_stream tls[2];
	uint8_t records_13;	   /* encrypted records of the server before the client's answer */
	uint8_t client_records_13; /* the client has answered that */
	uint8_t after_13;	   /* the server has spoken after it */
	struct tls_report report;
};

struct tls_flow {
	union {
		uint32_t handshake; /* index + 1; while it is followed */
		uint16_t said[2];   /* before: relative end of a side's plaintext, at the most */
	};
	uint8_t looks[2]; /* segments with payload, by side */
	uint8_t is_followed;
	uint8_t done;
};

struct tls_body {
	uint32_t next_free;
	uint32_t bytes;
	uint8_t data[TL_CHAIN_BYTES];
};

struct tls_worker {
	struct tl_analyzer_worker out;
	struct tl_reassembly *reassembly;
	uint64_t now_ns, second;
	uint32_t reports;
	uint64_t withheld;
	uint32_t handshake_used, handshake_free, body_used, body_free;
	struct tls_handshake handshake[TLS_HANDSHAKES];
	struct tls_body body[TLS_BODIES];
	struct {
		uint64_t hash, told_ns;
	} chain[TLS_CHAINS];
};

/* One packet, or the chunks that come of it, on its way through. */
struct tls_step {
	struct tls_worker *w;
	struct tls_handshake *h;
	const struct tl_flow *flow;
	uint8_t side; /* TLS_CLIENT, TLS_SERVER */
	uint64_t ts_ns, frame;
};

/* NULL: no room, counted. */
struct tls_handshake *tls_handshake__take(struct tls_worker *w, struct tls_flow *fs);
void tls_handshake__give_back(struct tls_worker *w, struct tls_flow *fs);

/* `o` with kind and subject set. */
void tls_worker__emit(struct tls_worker *w, struct tl_observation *o, const void *data,
		      size_t bytes);

/* A packet that the report names. */
void tls_handshake__prove(const struct tls_step *s, enum tls_what what, uint8_t message);
/* Once for a handshake. */
void tls_handshake__report(const struct tls_step *s, enum tls_outcome outcome,
			   enum tls_failure failure);
bool tls_handshake__is_13(const struct tls_handshake *h);

/* The bytes of this side can't be followed any more: no verdict. */
void tls_handshake__lose(struct tls_worker *w, struct tls_handshake *h, uint8_t side);

/* For tl_chunk_sink; ctx is a struct tls_step, whose side says whose bytes these are. */
void tls_handshake__on_chunk(void *ctx, const struct tl_chunk *chunk);

#endif
