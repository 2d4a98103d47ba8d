/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requests and answers of a TCP connection, told by who speaks when, whatever the protocol, and
 * where the time of each went.
 *
 *	client ──SYN────ACK──hello────finished──request═══►                                 next
 *request server ────SYN-ACK─────flight──────────────────── … wait … ◄═══ r e s p o n s e ═══► │
 *connect │        tls        │ request  │  server  │       response       │
 *
 * The response's time is split by what its packets waited for: the client's shut window, a
 * retransmission, bytes on their way (in flight, or late by the sender's own clock), or the server.
 * TLS is followed by the types of its records as far as a segment begins with one.
 *
 * Bounded: one struct a flow, no pools. Copies by the mirror must be left out by the caller. Its
 * worker's thread only.
 */
#ifndef TAPLINE_ANALYZERS_EXCHANGE_H
#define TAPLINE_ANALYZERS_EXCHANGE_H

#include "core/analyzer_impl.h"

enum tl_exchange_phase {
	TL_EXCHANGE_IDLE = 0,
	TL_EXCHANGE_TLS,      /* hellos and what follows them */
	TL_EXCHANGE_REQUEST,  /* the client has spoken last */
	TL_EXCHANGE_RESPONSE, /* the server has */
};

enum tl_exchange_flag {
	TL_EXCHANGE_HAS_SYN = 1u << 0,
	TL_EXCHANGE_ESTABLISHED = 1u << 1,
	TL_EXCHANGE_FIRST = 1u << 2,	   /* no request was answered before on this connection */
	TL_EXCHANGE_ACKED = 1u << 3,	   /* the server's host has the whole request */
	TL_EXCHANGE_SHUT = 1u << 4,	   /* the client's window is shut now */
	TL_EXCHANGE_SERVER_SHUT = 1u << 5, /* the server's is */
	TL_EXCHANGE_PUSHED = 1u << 6,	   /* the last segment of the server carried PSH */
	TL_EXCHANGE_CLOCK = 1u << 7,	   /* clock_base_ms is set */
	TL_EXCHANGE_NO_CLOCK = 1u << 8,	   /* the server's timestamps are no milliseconds */
	TL_EXCHANGE_TLS_CLEAR = 1u
				<< 9, /* TLS: the client sent handshake records after its hello */
	TL_EXCHANGE_TLS_READY = 1u << 10, /* TLS: its finished has passed */
	TL_EXCHANGE_HOLE = 1u << 11,	  /* the capture missed bytes: times are not sure */
	TL_EXCHANGE_IS_TLS = 1u << 12,
	TL_EXCHANGE_TICKETS = 1u << 13, /* TLS 1.3: what may be session tickets has passed */
	TL_EXCHANGE_QUEUED = 1u << 14,	/* the server repeated its SYN-ACK after the request began:
					   its accept queue is full */
};

/* One request and its answer. Times in ns since 1970; 0: not seen. */
struct tl_exchange_turn {
	uint64_t request_first_ns, request_last_ns;
	uint64_t request_frame; /* first */
	uint64_t request_last_frame;
	uint64_t response_first_ns, response_last_ns;
	uint64_t response_frame, response_last_frame;
	uint64_t acked_ns; /* the client's ACK of all that was sent so far */
	uint64_t response_bytes;
	uint64_t window_ns;  /* response: the client's window was shut */
	uint64_t loss_ns;    /* waited for retransmissions, of the request too */
	uint64_t transit_ns; /* response: bytes were on their way */
	uint64_t idle_ns;    /* response: the server did not send, though it could */
	uint64_t held_ns; /* response, no timestamps: before full segments that came one by one */
	uint32_t held, full; /* how many such, of how many full segments */
	uint32_t request_bytes;
	uint32_t retransmissions;
	uint32_t rtt_max_us;  /* tap to client and back, while the response lasted */
	uint32_t late_max_ms; /* how late by the server's clock a segment came, at most */
	uint64_t late_frame;
};

struct tl_exchange {
	uint64_t syn_ns, syn_frame, established_ns;
	uint64_t hello_ns, hello_frame, tls_last_ns;
	uint64_t shut_ns, gap_shut_ns;
	uint64_t drained_ns; /* since when nothing of the server's is in flight; 0: something is */
	uint64_t clock_since_ns;
	uint64_t tickets_ns, tickets_frame; /* in this turn; 0 */
	struct tl_exchange_turn turn;
	uint32_t flight_bytes; /* of the server */
	uint32_t clock_base_ms;
	uint32_t server_at; /* relative number behind the server's last segment */
	uint32_t largest;   /* segment of the server */
	uint16_t flags;	    /* enum tl_exchange_flag */
	uint8_t phase;	    /* enum tl_exchange_phase */
	uint8_t slow_share; /* its inverse: what the server's clock counts of the time; 0: all */
	uint32_t slow_ms;   /* since then, from clock_since_ns on */
};

struct tl_exchange_packet {
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_segment *segment;
	const struct tl_flow *flow;
	bool from_client;
};

enum tl_exchange_event {
	TL_EXCHANGE_NOTHING,
	TL_EXCHANGE_BEGINS,  /* this packet is the first of a request */
	TL_EXCHANGE_ANSWERS, /* this packet is the first of its answer */
};

/*
 * A packet of the flow that is no copy. `ended` is called with the turn before it is over: when the
 * next request begins, or something came that is no answer any more.
 */
typedef void tl_exchange_ended_fn(void *ctx, const struct tl_exchange *exchange);
enum tl_exchange_event tl_exchange__packet(struct tl_exchange *exchange,
					   const struct tl_exchange_packet *p,
					   tl_exchange_ended_fn *ended, void *ctx);

/* Is a request on its way or being answered? */
static inline bool tl_exchange__is_open(const struct tl_exchange *exchange)
{
	return exchange->phase >= TL_EXCHANGE_REQUEST;
}

/* Before an open turn is read when its connection ends: what looked like tickets was the answer. */
void tl_exchange__settle(struct tl_exchange *exchange);

/*
 * The request is not to be answered, or what follows is no exchange: the turn is of no meaning any
 * more, until the next one begins.
 */
void tl_exchange__forget(struct tl_exchange *exchange);

#endif
