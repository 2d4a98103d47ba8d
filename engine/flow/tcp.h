/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each TCP packet changes of its flow, in the middle of a connection too: flags and sequence
 * numbers. The rest is in tcp.c. Called within a write of the entry.
 */
#ifndef TAPLINE_FLOW_TCP_H
#define TAPLINE_FLOW_TCP_H

#include "entry.h"

/* Sequence numbers compare serially (RFC 1982). */
static inline int32_t tl_flow_tcp__serial(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline void tl_flow_tcp__note_flags(struct tl_flow *flow, uint8_t side, uint8_t tcp_flags)
{
	if (tcp_flags & ~flow->tcp_flags[side])
		tl_flow__set(flow->tcp_flags[side], flow->tcp_flags[side] | tcp_flags);
}

static inline void tl_flow_tcp__count_retransmission(struct tl_flow *flow, uint8_t side)
{
	if (flow->retransmissions[side] != UINT16_MAX)
		tl_flow__add(flow->retransmissions[side], 1);
}

/* A segment up to `end`, of a side whose next_seq is known. */
static inline void tl_flow_tcp__advance(struct tl_flow *flow, uint8_t side, uint32_t end,
					uint32_t payload_bytes)
{
	const uint32_t next = flow->next_seq[side];

	if (tl_flow_tcp__serial(end, next) > 0)
		tl_flow__set(flow->next_seq[side], end);
	/* one byte just below is a keep-alive (RFC 9293, 3.8.4) */
	else if (payload_bytes && !(payload_bytes == 1 && end == next))
		tl_flow_tcp__count_retransmission(flow, side);
}

#endif
