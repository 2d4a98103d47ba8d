/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls.*: handshakes that break off, and certificates that clients cannot check. This is the worker
 * half: it follows each handshake, on whatever port, and reports it once when it is over. The judge
 * (core/tls_judge.c) decides.
 *
 *	flow's bytes        handshake: a pool, from client_hello to the first data or the end
 *	+-----------+       +---------------------------+        +--------------------------+
 *	| index ────┼──────►| streams, records, proofs ─┼───────►| body: a hello or a chain |
 *	+-----------+       +---------------------------+        +--------------------------+
 *
 * A client_hello is looked for at the start of a segment, in the first segments of a flow
 * (STARTTLS comes after some plaintext). What is encrypted is judged by the sizes of records alone,
 * and the report says so.
 *
 * Invariants: copies by the mirror never count; a hole in what is needed ends the watch, without a
 * verdict; both pools are of fixed size, what finds no room is counted.
 */
#include <errno.h>
#include <string.h>

#include "core/text.h"
#include "core/tls_handshake.h"
#include "tapline/cursor.h"

#define PROTO_TCP	6
#define LOOKS_MAX	16u	 /* segments of a side that may begin TLS */
#define ANSWER_HOLE_MAX 1048576u /* before the first segment that is seen of an answer */
#define SILENT_NS	5000000000ull
#define SILENT_SURE_NS	3000000000ull
#define STORE_BYTES	1048576u

/* --- how it ends -------------------------------------------------------------------------------
 */

/* Is something of the streams still to come before what closes them? Then nothing is sure. */
static bool is_waiting(const struct tls_handshake *h)
{
	return h->awaits || tl_stream__is_waiting(&h->stream[TLS_CLIENT]) ||
	       tl_stream__is_waiting(&h->stream[TLS_SERVER]);
}

static enum tls_failure failure_of(const struct tls_handshake *h, bool is_reset)
{
	if (h->report.failure == TLS_FAILURE_NOT_TLS)
		return TLS_FAILURE_NOT_TLS;
	return is_reset ? TLS_FAILURE_RESET : TLS_FAILURE_CLOSED;
}

/* The connection is closed by `s->side`, or (nobody) seen no more. */
static void conclude(const struct tls_step *s, bool is_reset, bool is_closed)
{
	struct tls_handshake *h = s->h;
	struct tls_report *r = &h->report;
	uint64_t waited = s->ts_ns > r->first_ns ? s->ts_ns - r->first_ns : 0;
	bool one_way = !s->flow->packets[!h->client];

	if (h->progress & TLS_COMPLETE) {
		tls_handshake__report(s, TLS_OUTCOME_FINISHED, TLS_FAILURE_NONE);
		return;
	}
	/* For a TLS 1.3 client its own finished is the end; a server need not say anything more. */
	if (tls_handshake__is_13(h) && h->client_records_13 && !r->alert_opaque &&
	    r->alert == TL_TLS_ALERT_NONE) {
		tls_handshake__report(s, TLS_OUTCOME_FINISHED, TLS_FAILURE_NONE);
		return;
	}
	if (h->progress & TLS_LOST || is_waiting(h)) {
		tls_handshake__report(s, TLS_OUTCOME_UNKNOWN, TLS_FAILURE_NONE);
		return;
	}
	if (r->alert != TL_TLS_ALERT_NONE || r->alert_opaque) {
		tls_handshake__report(s, TLS_OUTCOME_FAILED, TLS_FAILURE_ALERT);
		return;
	}
	if (one_way)
		return;
	if (!(h->progress & TLS_SERVER_SPOKE) && r->failure != TLS_FAILURE_NOT_TLS &&
	    !(is_closed && s->side == TLS_SERVER)) {
		/* Who leaves soon after its hello was looking around; a lost hello is TCP's. */
		if (h->progress & TLS_HELLO_ACKED &&
		    waited >= (is_closed ? SILENT_SURE_NS : SILENT_NS))
			tls_handshake__report(s, TLS_OUTCOME_FAILED, TLS_FAILURE_SILENT);
		return;
	}
	if (is_closed || r->failure == TLS_FAILURE_NOT_TLS)
		tls_handshake__report(s, TLS_OUTCOME_FAILED, failure_of(h, is_reset));
}

/*
 * Who closes upon something that did not come by may have been told to, by an alert: that is waited
 * for, or for what shows that it will not come.
 */
static void on_close(struct tls_step *s, const struct tl_stream_packet *p)
{
	struct tls_handshake *h = s->h;
	struct tls_report *r = &h->report;
	bool is_reset = p->layers->tcp_flags & TL_TCP_RST;

	if (r->closed_by == TLS_NOBODY)
		r->closed_by = s->side;
	if (!(h->progress & TLS_COMPLETE))
		tls_handshake__prove(s, is_reset ? TLS_SAW_RST : TLS_SAW_FIN, 0);
	if (p->segment->unseen_bytes && !(h->progress & TLS_COMPLETE))
		return;
	conclude(s, is_reset, true);
	h->progress |=
		TLS_REPORTED; /* or not worth it: what the other side does now is no matter */
}

/* --- one packet --------------------------------------------------------------------------------
 */

static void begin(struct tls_step *s, struct tls_flow *fs, const struct tl_stream_packet *p,
		  uint8_t side)
{
	uint32_t said = fs->said[!side];
	struct tls_handshake *h = tls_handshake__take(s->w, fs);

	s->h = h;
	if (!h)
		return;
	h->client = side;
	h->said = said;
	h->hello_ack = p->layers->ack;
	tl_stream__begin_at(&h->stream[TLS_CLIENT], p);
	h->report = (struct tls_report){
		.first_ns = s->ts_ns,
		.last_ns = s->ts_ns,
		.last_message = TL_TLS_MESSAGE_NONE,
		.closed_by = TLS_NOBODY,
		.alert = TL_TLS_ALERT_NONE,
	};
}

static bool looks_like_hello(const struct tl_packet *packet, const struct tl_layers *layers)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	tl_cursor__skip(&c, layers->payload_offset);
	tl_cursor__limit(&c, layers->payload_caplen);
	return !c.failed && tl_tls__begins_hello(c.at, tl_cursor__left(&c));
}

static void note_plaintext(struct tls_flow *fs, const struct tl_stream_packet *p, uint8_t side)
{
	uint32_t end = p->segment->relative_seq + p->layers->payload_bytes;

	if (!tl_segment__is_void(p->segment) && end > fs->said[side] && end < UINT16_MAX)
		fs->said[side] = (uint16_t)end;
}

/* Looks at the payload of a flow that is not known to be TLS. */
static void look(struct tls_step *s, struct tls_flow *fs, const struct tl_stream_packet *p,
		 uint8_t side)
{
	if (p->segment->new_bytes && looks_like_hello(p->packet, p->layers)) {
		begin(s, fs, p, side);
		return;
	}
	note_plaintext(fs, p, side);
	if (++fs->looks[side] >= LOOKS_MAX)
		fs->done = 1;
}

/*
 * The server's TLS begins where the client_hello says that it had come to, and after the plaintext
 * that was under way by then (STARTTLS). The first segment that is seen may be a later one.
 */
static void answer_begins(struct tls_handshake *h, const struct tl_stream_packet *p)
{
	struct tl_stream *stream = &h->stream[TLS_SERVER];
	uint32_t from;

	if (!p->layers->payload_bytes || tl_segment__is_void(p->segment))
		return;
	h->answered = true;
	h->base = p->layers->seq - p->segment->relative_seq;
	from = h->hello_ack - h->base;
	if (h->said && (int32_t)(from - h->said) < 0)
		from = h->said;
	tl_stream__begin_at(stream, p);
	if (stream->next_seq - from < ANSWER_HOLE_MAX)
		stream->next_seq = from;
}

/*
 * The tracker knows of no hole before the first byte that it saw of a side without its SYN. What
 * the client has ACKed of it will not come any more.
 */
static bool is_beginning_missed(const struct tls_handshake *h, const struct tl_stream_packet *p)
{
	return h->answered && (int32_t)h->stream[TLS_SERVER].next_seq < 0 &&
	       p->layers->tcp_flags & TL_TCP_ACK && (int32_t)(p->layers->ack - h->base) >= 0;
}

static void follow(struct tls_step *s, struct tls_flow *fs, const struct tl_stream_packet *p,
		   uint8_t side)
{
	struct tls_handshake *h = s->h;
	const struct tl_chunk_sink sink = { .chunk = tls_handshake__on_chunk, .ctx = s };
	struct tls_step end = *s;
	uint8_t flags = p->layers->tcp_flags;

	s->side = end.side = side == h->client ? TLS_CLIENT : TLS_SERVER;
	if (s->side == TLS_SERVER && !h->answered)
		answer_begins(h, p);
	if (s->side == TLS_CLIENT && is_beginning_missed(h, p))
		tls_handshake__lose(s->w, h, TLS_SERVER);
	if (s->side == TLS_SERVER && p->segment->acked_bytes)
		h->progress |= TLS_HELLO_ACKED;
	if (!(h->progress & TLS_LOST && h->tls[s->side].lost))
		tl_reassembly__push(s->w->reassembly, &h->stream[s->side], p, &sink);
	if (p->segment->new_bytes && !tl_stream__is_waiting(&h->stream[s->side]))
		h->awaits &= (uint8_t) ~(1u << s->side);
	if (p->segment->unseen_bytes)
		h->awaits |= (uint8_t)(1u << !s->side);
	if (flags & (TL_TCP_FIN | TL_TCP_RST))
		on_close(&end, p);
	if (h->progress & TLS_COMPLETE && h->progress & TLS_USED)
		tls_handshake__report(&end, TLS_OUTCOME_FINISHED, TLS_FAILURE_NONE);
	if (h->progress & TLS_REPORTED)
		tls_handshake__give_back(s->w, fs);
}

static void on_tcp(struct tls_worker *w, struct tls_flow *fs, const struct tl_flow_lookup *lookup,
		   const struct tl_stream_packet *p)
{
	uint8_t flags = p->layers->tcp_flags;
	struct tls_step s = { .w = w,
			      .flow = lookup->ret_flow,
			      .ts_ns = p->packet->ts_ns,
			      .frame = p->packet->frame };

	if (fs->is_followed)
		s.h = &w->handshake[fs->handshake - 1];
	else if (p->layers->payload_bytes && !(flags & (TL_TCP_SYN | TL_TCP_RST)))
		look(&s, fs, p, lookup->ret_side);
	if (s.h)
		follow(&s, fs, p, lookup->ret_side);
}

/* --- what the registry calls -------------------------------------------------------------------
 */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct tls_worker *w = state;

	w->out = *out;
	return tl_reassembly__create(STORE_BYTES, &w->reassembly);
}

static void worker_fini(void *state)
{
	struct tls_worker *w = state;

	tl_reassembly__destroy(w->reassembly);
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct tls_worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_stream_packet p = { &b->batch->packet[i], &b->batch->layers[i],
						    &b->segment[i] };
		const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
		struct tls_flow *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);

		w->now_ns = b->newest_ns[i];
		if (p.segment->verdict == TL_VERDICT_NOT_TRACKED)
			continue;
		if (!fs->done)
			on_tcp(w, fs, lookup, &p);
		if (fs->done)
			tl_analyzer_batch__rest(b, i);
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct tls_worker *w = state;
	struct tls_flow *fs = flow_state;
	struct tls_step s = { .w = w, .flow = flow, .ts_ns = w->now_ns, .side = TLS_CLIENT };

	if (!fs->is_followed)
		return;
	s.h = &w->handshake[fs->handshake - 1];
	if (end != TL_FLOW_END_EVICTED)
		conclude(&s, false, false);
	tls_handshake__give_back(w, fs);
}

static void tell_withheld(struct tls_worker *w)
{
	struct tl_observation o = { .kind = TLS_OBSERVED_WITHHELD };

	if (!w->withheld)
		return;
	tls_worker__emit(w, &o, &w->withheld, sizeof(w->withheld));
	w->withheld = 0;
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	tell_withheld(state);
}

const struct tl_analyzer tl_analyzer_tls = {
	.name = "tls",
	.wants = TL_WANTS_TCP | TL_WANTS(ODD),
	.flow_bytes = sizeof(struct tls_flow),
	.worker_bytes = sizeof(struct tls_worker),
	.worker_init = worker_init,
	.batch = batch,
	.flow_end = flow_end,
	.finish = finish,
	.worker_fini = worker_fini,
	.judge_bytes = sizeof(void *),
	.judge_init = tls_judge__init,
	.observe = tls_judge__observe,
	.judge_tick = tls_judge__tick,
	.judge_finish = tls_judge__finish,
	.judge_fini = tls_judge__fini,
};
