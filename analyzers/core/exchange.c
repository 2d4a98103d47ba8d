/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See exchange.h. A response's time is cut at each segment that brings something new; the time
 *since the one before goes, in this order, to
 *
 *	│◄──────────────────────────── gap ───────────────────────────────►│
 *	│ window shut │ bytes in flight (unACKed) │ RTT │ late by its clock │ idle │
 *	   window_ns            transit_ns         transit     transit       idle_ns
 *
 * and all of it to loss_ns when it ends in a retransmission. A segment is late by the sender's
 * clock when its timestamp (RFC 7323; milliseconds on all common hosts) is older, against the
 * youngest ones of the flow, than its arrival. Without timestamps, a full segment that follows upon
 * one without PSH was waiting in a queue: a program that pauses has its last bytes pushed.
 */
#include "core/exchange.h"

#include "core/tls_record.h"
#include "tapline/cursor.h"

#define MS_NS	      1000000ull
#define PAUSE_NS      1000000000ull /* what comes after such a pause is not that answer any more */
#define CLOCK_TRY_NS  1000000000ull
#define SLOW_CLOCK_MS 200u
#define DELAYED_US    500000u /* an ACK of little data may wait as long (RFC 9293) */
#define ACKS_TWO      1000u   /* … of less than this, or of a segment alone */
#define ACKS_MOST     131072u /* one ACK of more: those before it are not shown */
#define CONTROL_BYTES 100u    /* a smaller record amid a response asks for nothing (HTTP/2) */
#define CONTROL_NS    50000000ull
#define HELD_NS	      10000000ull
#define TICKET_LEAST  150u
#define TICKET_MOST   600u

static uint64_t span(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void tl_exchange__forget(struct tl_exchange *exchange)
{
	exchange->phase = TL_EXCHANGE_IDLE;
}

void tl_exchange__settle(struct tl_exchange *exchange)
{
	struct tl_exchange_turn *t = &exchange->turn;

	if (exchange->phase != TL_EXCHANGE_REQUEST || !exchange->tickets_ns)
		return;
	exchange->phase = TL_EXCHANGE_RESPONSE;
	t->response_first_ns = t->response_last_ns = exchange->tickets_ns;
	t->response_frame = t->response_last_frame = exchange->tickets_frame;
}

static void end_turn(struct tl_exchange *e, tl_exchange_ended_fn *ended, void *ctx)
{
	tl_exchange__settle(e);
	if (tl_exchange__is_open(e)) {
		ended(ctx, e);
		if (e->turn.response_first_ns)
			e->flags &= (uint16_t)~TL_EXCHANGE_FIRST;
	}
	tl_exchange__forget(e);
}

/* --- TLS ----------------------------------------------------------------------------------------
 */

/* The types of the records that this segment begins with: has it application data? */
struct records {
	uint8_t data; /* records of it */
	bool handshake;
	bool like_tickets; /* all of it has the size of session tickets (RFC 8446, section 4.6.1) */
};

static struct records records_of(const struct tl_exchange_packet *p)
{
	struct tl_cursor c = tl_cursor__init(p->packet->data, p->packet->caplen);
	struct records r = { .like_tickets = true };

	tl_cursor__skip(&c, p->layers->payload_offset);
	tl_cursor__limit(&c, p->layers->payload_caplen);
	while (tl_cursor__left(&c) >= 5) {
		uint8_t type = tl_cursor__u8(&c);
		uint16_t version = tl_cursor__be16(&c);
		uint16_t bytes = tl_cursor__be16(&c);

		if (version >> 8 != 3)
			break;
		r.handshake |= type == TL_TLS_HANDSHAKE;
		if (type == TL_TLS_APPLICATION_DATA && r.data < UINT8_MAX)
			r.data++;
		r.like_tickets &= bytes >= TICKET_LEAST && bytes <= TICKET_MOST;
		tl_cursor__skip(&c, bytes);
	}
	return r;
}

static bool is_hello(const struct tl_exchange_packet *p)
{
	struct tl_cursor c = tl_cursor__init(p->packet->data, p->packet->caplen);

	tl_cursor__skip(&c, p->layers->payload_offset);
	tl_cursor__limit(&c, p->layers->payload_caplen);
	return !c.failed && tl_tls__begins_hello(c.at, tl_cursor__left(&c));
}

/* A client's segment in the handshake; true: with it the first request begins. */
static bool tls_ends(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	struct records r = records_of(p);
	bool is_13 = !(e->flags & TL_EXCHANGE_TLS_CLEAR);

	if (e->flags & TL_EXCHANGE_TLS_READY && r.data)
		return true;
	if (r.handshake && !is_hello(p))
		e->flags |= TL_EXCHANGE_TLS_CLEAR;
	if (!r.data || r.handshake) {
		e->tls_last_ns = p->packet->ts_ns;
		return r.handshake && r.data;
	}
	/* TLS 1.2: data. 1.3: its first record is the finished, and a request may follow in it. */
	if (!is_13)
		return true;
	e->tls_last_ns = p->packet->ts_ns;
	e->flags |= TL_EXCHANGE_TLS_READY;
	return r.data > 1;
}

/* --- the response --------------------------------------------------------------------------------
 */

/* Is `part` about `share` (its inverse) of the whole, within a twentieth? */
static bool is_about(uint64_t part, uint64_t share, uint64_t whole)
{
	return span(part * share, whole) * 20 < whole && span(whole, part * share) * 20 < whole;
}

/* Kernels have counted in 4 ms, 10 ms and 500 ms: what is counted is that share of the time. */
static uint8_t share_counted(uint64_t elapsed_ms, uint64_t late)
{
	uint64_t counted = span(late, elapsed_ms);

	if (counted * 50 <= elapsed_ms)
		return 50;
	if (is_about(counted, 10, elapsed_ms))
		return 10;
	return is_about(counted, 4, elapsed_ms) ? 4 : 0;
}

/*
 * Does the clock count in steps longer than milliseconds? Then lateness grows with time, by the
 * same share of it all along. In a queue, what was sent at once comes later and later, too, but
 * only until something comes that was sent after it.
 */
static bool is_slow_clock(struct tl_exchange *e, uint64_t elapsed_ms, uint64_t late)
{
	uint8_t share;

	if (elapsed_ms < SLOW_CLOCK_MS)
		return late > elapsed_ms + SLOW_CLOCK_MS; /* it went back */
	share = share_counted(elapsed_ms, late);
	if (!share || share != e->slow_share) {
		e->slow_share = share;
		e->slow_ms = (uint32_t)least(elapsed_ms, UINT32_MAX);
		return false;
	}
	return elapsed_ms >= 2ull * e->slow_ms + SLOW_CLOCK_MS;
}

/* How late the segment comes by the server's clock, ms. */
static uint32_t late_ms(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	uint32_t ahead = (uint32_t)(p->packet->ts_ns / MS_NS) - p->layers->tsval;
	int32_t late = (int32_t)(ahead - e->clock_base_ms);
	uint64_t elapsed = span(e->clock_since_ns, p->packet->ts_ns);

	if (!(p->layers->flags & TL_LAYERS_TCP_TS) || e->flags & TL_EXCHANGE_NO_CLOCK)
		return 0;
	if (!(e->flags & TL_EXCHANGE_CLOCK) || late < 0) {
		/* A clock that runs ahead of ours counts something shorter than milliseconds. */
		if (e->flags & TL_EXCHANGE_CLOCK && late < -1000)
			e->flags |= TL_EXCHANGE_NO_CLOCK;
		if (!(e->flags & TL_EXCHANGE_CLOCK))
			e->clock_since_ns = p->packet->ts_ns;
		e->flags |= TL_EXCHANGE_CLOCK;
		e->clock_base_ms = ahead;
		return 0;
	}
	/* The first segment of an answer has no queue of its own before it: a clock that is behind
	 * by much then is a slow one. */
	if ((e->phase == TL_EXCHANGE_REQUEST && elapsed > CLOCK_TRY_NS &&
	     (uint64_t)late * MS_NS > elapsed / 2) ||
	    is_slow_clock(e, elapsed / MS_NS, (uint64_t)late)) {
		e->flags |= TL_EXCHANGE_NO_CLOCK;
		e->turn.late_max_ms = 0;
		return 0;
	}
	return (uint32_t)late;
}

/*
 * A sender that has more to send pushes nothing and fills its segments. Where they come in bursts,
 * a round trip lies between those; one by one, something on the way lets them through slowly.
 */
static void note_held(struct tl_exchange *e, const struct tl_exchange_packet *p, uint64_t gap_ns)
{
	struct tl_exchange_turn *t = &e->turn;

	t->full++;
	if (e->flags & TL_EXCHANGE_PUSHED || gap_ns < HELD_NS ||
	    p->layers->flags & TL_LAYERS_TCP_TS)
		return;
	t->held++;
	t->held_ns += gap_ns;
}

/* The gap before a server's segment that brings something new. */
static void split_gap(struct tl_exchange *e, const struct tl_exchange_packet *p, uint32_t late)
{
	struct tl_exchange_turn *t = &e->turn;
	uint64_t now = p->packet->ts_ns;
	uint64_t gap = span(t->response_last_ns, now);
	uint64_t shut = e->gap_shut_ns;
	uint64_t part;
	bool is_full = e->largest && p->layers->payload_bytes >= e->largest;

	if (e->flags & TL_EXCHANGE_SHUT)
		shut += span(e->shut_ns > t->response_last_ns ? e->shut_ns : t->response_last_ns,
			     now);
	part = least(gap, shut);
	t->window_ns += part;
	gap -= part;
	if (is_full)
		note_held(e, p, gap);
	part = least(gap, e->drained_ns ? span(t->response_last_ns, e->drained_ns) : gap);
	part += least(gap - part, (uint64_t)p->flow->rtt_server_us * 1000);
	t->transit_ns += part;
	gap -= part;
	if (p->layers->flags & TL_LAYERS_TCP_TS && !(e->flags & TL_EXCHANGE_NO_CLOCK))
		part = least(gap, (uint64_t)late * MS_NS);
	else
		part = is_full && !(e->flags & TL_EXCHANGE_PUSHED) ? gap : 0;
	t->transit_ns += part;
	t->idle_ns += gap - part;
}

/* True when so long a pause went before, without a reason that the wire shows, that it is over. */
static bool is_afterwards(const struct tl_exchange *e, uint64_t idle_before_ns)
{
	return e->turn.idle_ns - idle_before_ns > PAUSE_NS;
}

static void take_response(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	struct tl_exchange_turn *t = &e->turn;

	t->response_bytes += p->segment->new_bytes;
	t->response_last_ns = p->packet->ts_ns;
	t->response_last_frame = p->packet->frame;
	e->gap_shut_ns = 0;
	e->flight_bytes = p->segment->flight_bytes;
	e->drained_ns = e->flight_bytes ? 0 : p->packet->ts_ns;
	if (p->layers->payload_bytes > e->largest)
		e->largest = p->layers->payload_bytes;
	e->flags &= (uint16_t)~TL_EXCHANGE_PUSHED;
	if (p->layers->tcp_flags & TL_TCP_PSH)
		e->flags |= TL_EXCHANGE_PUSHED;
}

static bool is_retransmission(const struct tl_segment *s)
{
	return s->verdict == TL_VERDICT_LOST_BEFORE || s->verdict == TL_VERDICT_LOST_AFTER;
}

/* TLS 1.3 servers send tickets when they have the client's finished: that is no answer yet. */
static bool are_tickets(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	struct records r;

	if (!(e->flags & TL_EXCHANGE_TLS_READY) || !(e->flags & TL_EXCHANGE_FIRST))
		return false;
	r = records_of(p);
	if (!r.data || !r.like_tickets || p->layers->payload_bytes > 4 * TICKET_MOST ||
	    e->flags & TL_EXCHANGE_TICKETS)
		return false;
	e->flags |= TL_EXCHANGE_TICKETS;
	e->tickets_ns = p->packet->ts_ns;
	e->tickets_frame = p->packet->frame;
	e->flight_bytes = p->segment->flight_bytes;
	return true;
}

static enum tl_exchange_event from_server(struct tl_exchange *e, const struct tl_exchange_packet *p,
					  tl_exchange_ended_fn *ended, void *ctx)
{
	struct tl_exchange_turn *t = &e->turn;
	uint64_t now = p->packet->ts_ns;
	uint32_t late = late_ms(e, p);
	uint64_t idle = t->idle_ns;

	if (e->phase == TL_EXCHANGE_TLS)
		e->tls_last_ns = now;
	if (e->phase == TL_EXCHANGE_REQUEST && p->segment->new_bytes && are_tickets(e, p))
		return TL_EXCHANGE_NOTHING;
	if (e->phase == TL_EXCHANGE_REQUEST && p->segment->new_bytes) {
		e->phase = TL_EXCHANGE_RESPONSE;
		t->response_first_ns = now;
		t->response_frame = p->packet->frame;
		take_response(e, p);
		return TL_EXCHANGE_ANSWERS;
	}
	if (e->phase != TL_EXCHANGE_RESPONSE)
		return TL_EXCHANGE_NOTHING;
	if (late > t->late_max_ms) {
		t->late_max_ms = late;
		t->late_frame = p->packet->frame;
	}
	if (is_retransmission(p->segment)) {
		t->loss_ns += span(t->response_last_ns, now);
		t->retransmissions++;
		take_response(e, p);
		return TL_EXCHANGE_NOTHING;
	}
	if (!p->segment->new_bytes)
		return TL_EXCHANGE_NOTHING;
	split_gap(e, p, late);
	if (is_afterwards(e, idle)) {
		t->idle_ns = idle;
		end_turn(e, ended, ctx);
		return TL_EXCHANGE_NOTHING;
	}
	take_response(e, p);
	return TL_EXCHANGE_NOTHING;
}

/* --- the request ---------------------------------------------------------------------------------
 */

static void begin(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	e->phase = TL_EXCHANGE_REQUEST;
	e->flags &= (uint16_t) ~(TL_EXCHANGE_ACKED | TL_EXCHANGE_PUSHED | TL_EXCHANGE_HOLE);
	e->gap_shut_ns = 0;
	e->tickets_ns = 0;
	e->turn = (struct tl_exchange_turn){
		.request_first_ns = p->packet->ts_ns,
		.request_last_ns = p->packet->ts_ns,
		.request_frame = p->packet->frame,
		.request_last_frame = p->packet->frame,
		.request_bytes = p->segment->new_bytes,
	};
}

static bool is_control(const struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	return e->flags & TL_EXCHANGE_IS_TLS && p->segment->new_bytes < CONTROL_BYTES &&
	       (e->flight_bytes || span(e->turn.response_last_ns, p->packet->ts_ns) < CONTROL_NS);
}

static void extend_request(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	e->turn.request_last_ns = p->packet->ts_ns;
	e->turn.request_last_frame = p->packet->frame;
	e->turn.request_bytes += p->segment->new_bytes;
	e->flags &= (uint16_t)~TL_EXCHANGE_ACKED;
}

static enum tl_exchange_event client_data(struct tl_exchange *e, const struct tl_exchange_packet *p,
					  tl_exchange_ended_fn *ended, void *ctx)
{
	if (e->phase == TL_EXCHANGE_REQUEST && is_retransmission(p->segment)) {
		e->turn.loss_ns += span(e->turn.request_last_ns, p->packet->ts_ns);
		e->turn.retransmissions++;
		extend_request(e, p);
		return TL_EXCHANGE_NOTHING;
	}
	if (!p->segment->new_bytes)
		return TL_EXCHANGE_NOTHING;
	if (e->phase != TL_EXCHANGE_TLS && is_hello(p)) {
		tl_exchange__forget(e);
		e->phase = TL_EXCHANGE_TLS;
		e->flags |= TL_EXCHANGE_IS_TLS | TL_EXCHANGE_FIRST;
		e->hello_ns = e->tls_last_ns = p->packet->ts_ns;
		e->hello_frame = p->packet->frame;
		return TL_EXCHANGE_NOTHING;
	}
	if (e->phase == TL_EXCHANGE_TLS && !tls_ends(e, p))
		return TL_EXCHANGE_NOTHING;
	if (e->phase == TL_EXCHANGE_REQUEST) {
		extend_request(e, p);
		return TL_EXCHANGE_NOTHING;
	}
	if (e->phase == TL_EXCHANGE_RESPONSE && is_control(e, p))
		return TL_EXCHANGE_NOTHING;
	end_turn(e, ended, ctx);
	begin(e, p);
	return TL_EXCHANGE_BEGINS;
}

/* --- what ACKs and windows say -------------------------------------------------------------------
 */

/* What comes with data or a FIN came when the client had that to say, not when it had the answer.
 */
static bool is_ack_alone(const struct tl_exchange_packet *p)
{
	return !p->layers->payload_bytes && !(p->layers->tcp_flags & TL_TCP_FIN);
}

/* Does the ACK come when the client has the bytes, so that it tells how long they were on the way?
 */
static bool is_prompt_ack(const struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	uint32_t acked = p->segment->acked_bytes;

	if (!is_ack_alone(p) || acked > ACKS_MOST)
		return false;
	return (acked >= ACKS_TWO && acked >= 2 * e->largest) || p->segment->rtt_us >= DELAYED_US;
}

static void client_ack(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	const struct tl_segment *s = p->segment;
	uint64_t now = p->packet->ts_ns;
	bool is_shut = s->window_known && !s->window_bytes;

	if (e->flags & TL_EXCHANGE_HAS_SYN && !(e->flags & TL_EXCHANGE_ESTABLISHED)) {
		e->flags |= TL_EXCHANGE_ESTABLISHED;
		e->established_ns = now;
	}
	if (s->rtt_us > e->turn.rtt_max_us && e->phase == TL_EXCHANGE_RESPONSE &&
	    is_prompt_ack(e, p))
		e->turn.rtt_max_us = s->rtt_us;
	/* An answer that was never shown: more than the one unit of a FIN. */
	if (e->phase == TL_EXCHANGE_REQUEST && s->acked_bytes > 1 && !e->flight_bytes)
		e->flags |= TL_EXCHANGE_HOLE;
	if (s->acked_bytes && e->flight_bytes) {
		e->flight_bytes -=
			e->flight_bytes < s->acked_bytes ? e->flight_bytes : s->acked_bytes;
		if (!e->flight_bytes)
			e->drained_ns = now;
		if (!e->flight_bytes && is_ack_alone(p))
			e->turn.acked_ns = now;
	}
	if (is_shut && !(e->flags & TL_EXCHANGE_SHUT)) {
		e->shut_ns = now;
		e->flags |= TL_EXCHANGE_SHUT;
	} else if (!is_shut && e->flags & TL_EXCHANGE_SHUT) {
		e->gap_shut_ns +=
			span(e->shut_ns > e->turn.response_last_ns ? e->shut_ns
								   : e->turn.response_last_ns,
			     now);
		e->flags &= (uint16_t)~TL_EXCHANGE_SHUT;
	}
}

/* The server has sent something before this segment that was never shown: perhaps the answer. */
static void find_unseen(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	uint32_t at = p->segment->relative_seq;

	if (e->phase == TL_EXCHANGE_REQUEST && e->server_at && (int32_t)(at - e->server_at) > 0)
		e->flags |= TL_EXCHANGE_HOLE;
	at += p->layers->payload_bytes + !!(p->layers->tcp_flags & TL_TCP_SYN);
	if (!e->server_at || (int32_t)(at - e->server_at) > 0)
		e->server_at = at;
}

static void server_ack(struct tl_exchange *e, const struct tl_segment *s)
{
	bool is_shut = s->window_known && !s->window_bytes;

	if (s->acked_bytes && e->phase == TL_EXCHANGE_REQUEST)
		e->flags |= TL_EXCHANGE_ACKED;
	e->flags &= (uint16_t)~TL_EXCHANGE_SERVER_SHUT;
	if (is_shut)
		e->flags |= TL_EXCHANGE_SERVER_SHUT;
}

static void on_syn(struct tl_exchange *e, const struct tl_exchange_packet *p)
{
	if (p->from_client && !(e->flags & TL_EXCHANGE_HAS_SYN)) {
		e->flags |= TL_EXCHANGE_HAS_SYN | TL_EXCHANGE_FIRST;
		e->syn_ns = p->packet->ts_ns;
		e->syn_frame = p->packet->frame;
	} else if (!p->from_client) {
		(void)late_ms(e, p);
		if (e->phase != TL_EXCHANGE_IDLE)
			e->flags |= TL_EXCHANGE_QUEUED;
	}
}

enum tl_exchange_event tl_exchange__packet(struct tl_exchange *exchange,
					   const struct tl_exchange_packet *p,
					   tl_exchange_ended_fn *ended, void *ctx)
{
	const uint8_t flags = p->layers->tcp_flags;

	/* Within an answer, of which the first segment was seen, it moves no time that counts. */
	if (p->segment->missed_bytes && (p->from_client || exchange->phase != TL_EXCHANGE_RESPONSE))
		exchange->flags |= TL_EXCHANGE_HOLE;
	if (!p->from_client && !(flags & TL_TCP_RST))
		find_unseen(exchange, p);
	if (flags & (TL_TCP_SYN | TL_TCP_RST)) {
		if (flags & TL_TCP_SYN)
			on_syn(exchange, p);
		return TL_EXCHANGE_NOTHING;
	}
	if (p->from_client)
		client_ack(exchange, p);
	else
		server_ack(exchange, p->segment);
	if (!p->layers->payload_bytes)
		return TL_EXCHANGE_NOTHING;
	return p->from_client ? client_data(exchange, p, ended, ctx)
			      : from_server(exchange, p, ended, ctx);
}
