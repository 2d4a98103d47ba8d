/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TCP as the flow table needs it: which state a connection is in, when a tuple begins a new one,
 * round trips of the handshake. What a segment means is the tracker's to say, not this file's.
 *
 *	          SYN            SYN-ACK               ACK, data
 *	(nothing) ───► SYN_SENT ─────────► SYN_RECEIVED ─────────► ESTABLISHED ──FIN──► CLOSING
 *	    │              └─ client's ACK (one-way mirror) ──────────►│                   │ other
 *FIN └─ anything else: midstream ──────────────────────────────►│ ─────RST────► CLOSED ◄
 *
 * A SYN with the sequence number we know is a retransmission (RFC 9293, 3.8.1), with another one a
 * new connection. A SYN-ACK with another sequence number is none: load balancers and SYN cookies do
 * that. Called within a write of the entry.
 */
#include "tcp.h"

#define SYN_ACK (TL_TCP_SYN | TL_TCP_ACK)
/* An RST this far from what its sender sent cuts nothing: a forged one, or of an older connection.
 */
#define RST_SPAN 0x100000
/* A SYN this little below what was sent came late; beyond, it begins a new connection. */
#define LATE_SYN_SPAN 0x10000

static bool seq_known(const struct tl_flow *flow, uint8_t side)
{
	return flow->flags & TL_FLOW_SEQ_KNOWN << side;
}

/* 0 stands for: not seen. */
static uint32_t stamp_us(uint64_t ts_ns)
{
	uint32_t us = (uint32_t)(ts_ns / 1000);

	return us ? us : 1;
}

/* From a stamp to now: at most 35 minutes, or time went back. 0 stands for: unknown. */
static uint32_t since_us(uint32_t from_us, uint64_t ts_ns)
{
	int32_t us = tl_flow_tcp__serial(stamp_us(ts_ns), from_us);

	return us > 0 ? (uint32_t)us : 1;
}

static bool syn_is_reuse(const struct tl_flow *flow, const struct tl_layers *l, uint8_t side)
{
	bool isn_known = flow->flags & TL_FLOW_ISN_KNOWN;

	if (isn_known && side == flow->client)
		return l->seq != flow->syn_seq;
	switch (flow->state) {
	case TL_FLOW_SYN_SENT:
	case TL_FLOW_SYN_RECEIVED:
		return false; /* both sides open at once */
	case TL_FLOW_ESTABLISHED:
		if (isn_known || !seq_known(flow, side))
			return isn_known;
		return tl_flow_tcp__serial(flow->next_seq[side], l->seq + 1) < 0 ||
		       tl_flow_tcp__serial(flow->next_seq[side], l->seq + 1) > LATE_SYN_SPAN;
	default:
		return true;
	}
}

bool tl_flow_tcp__is_reuse(const struct tl_flow *flow, const struct tl_layers *l, uint8_t side)
{
	switch (l->tcp_flags & (SYN_ACK | TL_TCP_FIN | TL_TCP_RST)) {
	case TL_TCP_SYN:
		return syn_is_reuse(flow, l, side);
	case SYN_ACK:
		/* the answer to a SYN that the mirror did not show */
		return flow->state == TL_FLOW_CLOSED && side != flow->client &&
		       flow->flags & TL_FLOW_ISN_KNOWN && l->ack != flow->syn_seq + 1;
	default:
		return false;
	}
}

static void know_client(struct tl_flow *flow, uint8_t side, uint32_t isn)
{
	tl_flow__set(flow->client, side);
	tl_flow__set(flow->syn_seq, isn);
	tl_flow__raise(flow, TL_FLOW_CLIENT_SURE | TL_FLOW_ISN_KNOWN);
	tl_flow__lower(flow, TL_FLOW_BLIND);
}

static void on_syn(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	bool again = !p->is_new && p->side == flow->client && flow->flags & TL_FLOW_ISN_KNOWN &&
		     !(flow->flags & TL_FLOW_MIDSTREAM);

	if (!p->is_new && flow->state == TL_FLOW_SYN_SENT && p->side != flow->client) {
		tl_flow__set(flow->state, TL_FLOW_SYN_RECEIVED);
		return;
	}
	if (!p->is_new && flow->state == TL_FLOW_SYN_RECEIVED && p->side != flow->client)
		return;
	know_client(flow, p->side, p->layers->seq);
	tl_flow__lower(flow, TL_FLOW_MIDSTREAM);
	if (again)
		tl_flow_tcp__count_retransmission(flow, p->side);
	/* some clients send the same SYN again after an RST: the flow is half open once more */
	if (p->is_new || flow->state == TL_FLOW_CLOSED)
		tl_flow__set(flow->state, TL_FLOW_SYN_SENT);
	if (flow->state == TL_FLOW_SYN_SENT)
		tl_flow__set(flow->syn_us, stamp_us(p->packet->ts_ns));
}

static void on_syn_ack(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	uint64_t now = p->packet->ts_ns;

	if (p->is_new) {
		know_client(flow, !p->side, p->layers->ack - 1);
		tl_flow__raise(flow, TL_FLOW_MIDSTREAM);
		tl_flow__set(flow->state, TL_FLOW_SYN_RECEIVED);
		tl_flow__set(flow->synack_us, stamp_us(now));
		return;
	}
	if (flow->flags & TL_FLOW_MIDSTREAM && !(flow->flags & TL_FLOW_CLIENT_SURE))
		know_client(flow, !p->side, p->layers->ack - 1);
	if (p->side == flow->client)
		return;
	if (flow->state == TL_FLOW_SYN_SENT) {
		if (flow->syn_us && !flow->rtt_server_us)
			tl_flow__set(flow->rtt_server_us, since_us(flow->syn_us, now));
		tl_flow__set(flow->state, TL_FLOW_SYN_RECEIVED);
		tl_flow__set(flow->synack_us, stamp_us(now));
	} else {
		tl_flow_tcp__count_retransmission(flow, p->side);
		if (flow->state == TL_FLOW_SYN_RECEIVED)
			tl_flow__set(flow->synack_us, stamp_us(now));
	}
}

static void on_rst(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	int32_t off = tl_flow_tcp__serial(l->seq, flow->next_seq[p->side]);

	tl_flow__raise(flow, TL_FLOW_SAW_RST);
	if (flow->state == TL_FLOW_SYN_SENT || !seq_known(flow, p->side) ||
	    (off > -RST_SPAN && off < RST_SPAN))
		tl_flow__set(flow->state, TL_FLOW_CLOSED);
}

static void on_fin(struct tl_flow *flow)
{
	bool both = flow->tcp_flags[0] & flow->tcp_flags[1] & TL_TCP_FIN;

	if (flow->state != TL_FLOW_CLOSED)
		tl_flow__set(flow->state, both ? TL_FLOW_CLOSED : TL_FLOW_CLOSING);
}

static void on_other(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	bool client = p->side == flow->client;

	if (flow->state == TL_FLOW_SYN_SENT) {
		/* from the server: the mirror missed its SYN-ACK, or it is a challenge ACK */
		if (client || (l->tcp_flags & TL_TCP_ACK && l->ack == flow->syn_seq + 1))
			tl_flow__set(flow->state, TL_FLOW_ESTABLISHED);
	} else if (flow->state == TL_FLOW_SYN_RECEIVED) {
		if (client && flow->synack_us && !flow->rtt_client_us)
			tl_flow__set(flow->rtt_client_us,
				     since_us(flow->synack_us, p->packet->ts_ns));
		if (client || l->payload_bytes)
			tl_flow__set(flow->state, TL_FLOW_ESTABLISHED);
	}
}

static void close_stall(struct tl_flow *flow, uint8_t side, uint64_t ts_ns)
{
	uint64_t now_ms = ts_ns > flow->first_ns ? (ts_ns - flow->first_ns) / 1000000 : 0;

	if (now_ms > flow->stalled_at_ms[side])
		tl_flow__add(flow->zero_window_ms[side], now_ms - flow->stalled_at_ms[side]);
	tl_flow__lower(flow, TL_FLOW_STALLED << side);
}

/* A window of 0 counts from the segment that shut it to the first that opens it, FIN or RST. */
static void watch_window(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	bool shut = !p->layers->window &&
		    !(p->layers->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST));
	bool stalled = flow->flags & TL_FLOW_STALLED << p->side;
	uint64_t ts = p->packet->ts_ns;

	if (shut == stalled)
		return;
	if (stalled) {
		close_stall(flow, p->side, ts);
		return;
	}
	tl_flow__set(flow->stalled_at_ms[p->side],
		     ts > flow->first_ns ? (ts - flow->first_ns) / 1000000 : 0);
	tl_flow__raise(flow, TL_FLOW_STALLED << p->side);
}

void tl_flow_tcp__finish(struct tl_flow *flow)
{
	for (uint8_t side = 0; side < 2; side++)
		if (flow->flags & TL_FLOW_STALLED << side)
			close_stall(flow, side, flow->last_ns);
}

static void follow_sequence(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	uint32_t end = l->seq + l->payload_bytes + !!(l->tcp_flags & TL_TCP_SYN) +
		       !!(l->tcp_flags & TL_TCP_FIN);

	if (!seq_known(flow, p->side)) {
		tl_flow__raise(flow, TL_FLOW_SEQ_KNOWN << p->side);
		tl_flow__set(flow->next_seq[p->side], end);
		return;
	}
	tl_flow_tcp__advance(flow, p->side, end, l->payload_bytes);
}

void tl_flow_tcp__update(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	uint8_t flags = l->tcp_flags;

	tl_flow_tcp__note_flags(flow, p->side, flags);
	if (p->is_new && !(flags & TL_TCP_SYN)) {
		tl_flow__raise(flow, TL_FLOW_MIDSTREAM);
		tl_flow__set(flow->state, TL_FLOW_ESTABLISHED);
		tl_flow_client__guess(flow, p);
	}
	if (!l->l4_offset)
		return;
	if (flags & TL_TCP_RST)
		on_rst(flow, p);
	else if ((flags & SYN_ACK) == SYN_ACK)
		on_syn_ack(flow, p);
	else if (flags & TL_TCP_SYN)
		on_syn(flow, p);
	else
		on_other(flow, p);
	if (flags & TL_TCP_FIN && !(flags & TL_TCP_RST))
		on_fin(flow);
	watch_window(flow, p);
	if (!(flags & TL_TCP_RST))
		follow_sequence(flow, p);
}
