/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One entry of the flow table: how it is written so that other threads may copy it at any time.
 *
 *	writer (the worker)                     reader (tl_flow_table__read)
 *	W1 sequence := odd      relaxed         R1 s := sequence         acquire
 *	   fence                release            odd? again
 *	W2 fields               relaxed         R2 words                 relaxed
 *	W3 sequence := even     release            fence                 acquire
 *	                                        R3 sequence == s?        relaxed
 *
 * | edge     | says                                                                          |
 * |----------|-------------------------------------------------------------------------------|
 * | W3 ► R1  | a reader that sees the even number sees all fields of that write              |
 * | W1 ► R3  | a reader that saw any field of a later write (R2) sees its odd number, or more |
 *
 * The second edge is fence to fence: W1 stands before the release fence, R3 behind the acquire
 * fence, and W2 read by R2 joins them. The worker alone writes, so it reads its own fields plainly.
 * The links of the timer wheel (slot, lru_*) are stored outside of a write: a copy may have them
 * torn; nobody but the table uses them.
 */
#ifndef TAPLINE_FLOW_ENTRY_H
#define TAPLINE_FLOW_ENTRY_H

#include "tapline/atomic.h"
#include "tapline/flow.h"

/* GCC warns that TSan does not see fences: all accesses here are atomic, it needs none of them. */
#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#define TL_FLOW_NONE UINT32_MAX

/* Private flags, above the public ones. By side: shift by it. */
enum tl_flow_private_flag {
	TL_FLOW_SEQ_KNOWN = 1u << 8,  /* and 9: next_seq holds a value */
	TL_FLOW_ISN_KNOWN = 1u << 10, /* syn_seq does */
	TL_FLOW_BLIND = 1u << 11,     /* the client is a mere guess: the first payload decides */
	TL_FLOW_STALLED = 1u << 12,   /* and 13: this side's window is shut */
	TL_FLOW_APP_TRIED = 1u << 14, /* and 15: this side's first bytes were looked at */
};

#define tl_flow__set(field, value) tl_store_relaxed(&(field), (__typeof__(field))(value))
#define tl_flow__add(field, value) tl_flow__set(field, (field) + (value))

static inline void tl_flow__write_begin(struct tl_flow *flow)
{
	tl_store_relaxed(&flow->sequence, flow->sequence + 1);
	tl_fence_release();
}

static inline void tl_flow__write_end(struct tl_flow *flow)
{
	tl_store_release(&flow->sequence, flow->sequence + 1);
}

static inline void tl_flow__raise(struct tl_flow *flow, unsigned int flags)
{
	if ((flow->flags & flags) != flags)
		tl_flow__set(flow->flags, flow->flags | flags);
}

static inline void tl_flow__lower(struct tl_flow *flow, unsigned int flags)
{
	if (flow->flags & flags)
		tl_flow__set(flow->flags, flow->flags & ~flags);
}

/* tcp.c: called within a write. */
struct tl_flow_packet {
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	uint8_t side;
	bool is_new;
	uint8_t fragment; /* enum tl_fragment_flag, of its datagram so far */
};

void tl_flow_tcp__update(struct tl_flow *flow, const struct tl_flow_packet *p);
/* Does this packet begin a new connection on the tuple of `flow`? */
bool tl_flow_tcp__is_reuse(const struct tl_flow *flow, const struct tl_layers *layers,
			   uint8_t side);
/* The window's time, when the flow ends with it shut. */
void tl_flow_tcp__finish(struct tl_flow *flow);

/* client.c */
/* Who is the client of a flow whose first packet says nothing: by ports, else the sender. */
void tl_flow_client__guess(struct tl_flow *flow, const struct tl_flow_packet *p);
/* The application protocol, once for each side's first payload; may settle who is the client. */
void tl_flow_client__payload(struct tl_flow *flow, const struct tl_flow_packet *p);

#endif
