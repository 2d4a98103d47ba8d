/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The RSTs of a flow (reset.h): what is known when one comes, what comes after it, and at the
 * flow's end whether it cut anything. For the worker half (reset.c) alone; its thread only.
 */
#include "core/reset_state.h"

#define REPORTS_EACH_S 4000u
#define GOES_ON_NS     (5 * TL_NS_PER_MS) /* the mirror may mix up what is closer */
#define BOTH_NS	       (100 * TL_NS_PER_MS)
#define RECENT_NS      (1 * TL_NS_PER_SEC)
#define LAST_WORD_NS   (5 * TL_NS_PER_MS)
#define LAST_WORD_MOST 1460u
#define LONG_IDLE_NS   (10 * TL_NS_PER_SEC)

/* Does the RST itself say that its sender has all that the peer sent? */
static bool acks_all(const struct step *s)
{
	const struct side *peer = &s->fs->side[!s->side];

	return s->layers->tcp_flags & TL_TCP_ACK &&
	       s->layers->ack == peer->data_seq + peer->data_bytes;
}

static uint32_t doubts_of(const struct step *s)
{
	const struct side *side = &s->fs->side[s->side], *peer = &s->fs->side[!s->side];
	uint32_t doubts = reset_identity__doubts(&side->identity, s->packet, s->layers);

	/*
	 * It ACKs all of the peer's data, part of which has only just passed. One round trip on a
	 * busy host is no minimum: its next answer may come much sooner.
	 */
	if (s->layers->tcp_flags & TL_TCP_ACK && side->identity.rtt_samples >= RTT_SAMPLES_MIN &&
	    side->min_rtt_us > 2000 && peer->data_ns && peer->flight && acks_all(s) &&
	    tl_span_ns(peer->data_ns, s->now_ns) / 1000 < side->min_rtt_us / 4)
		doubts |= RESET_DOUBT_TOO_FAST;
	return doubts;
}

/* --- RSTs ------------------------------------------------------------------------------------ */

static struct cut *cut_take(struct worker *w, struct flow_state *fs)
{
	if (w->cut_free) {
		fs->cut = w->cut_free;
		w->cut_free = w->cut[fs->cut - 1].next_free;
	} else if (w->cuts_used < CUTS_MAX) {
		fs->cut = ++w->cuts_used;
	} else {
		w->withheld++;
		return NULL;
	}
	memset(&w->cut[fs->cut - 1], 0, sizeof(w->cut[0]));
	return &w->cut[fs->cut - 1];
}

void reset_cut__prove_rst(const struct step *s, struct reset_report *r)
{
	if (r->proof_count == RESET_PROOFS)
		return;
	r->proof[r->proof_count++] = (struct tl_proof){
		.frame = s->packet->frame,
		.ts_ns = s->now_ns,
		.seq = s->layers->seq,
		.value = s->layers->ttl,
		.what = (uint8_t)(s->from_client ? RESET_BY_CLIENT : RESET_BY_SERVER),
	};
}

void reset_cut__prove_data(const struct step *s, struct reset_report *r)
{
	const struct flow_state *fs = s->fs;
	const struct side *last = fs->speaker ? &fs->side[fs->speaker - 1] : NULL;

	if (last && last->data_ns && fs->data_frame)
		r->proof[r->proof_count++] = (struct tl_proof){
			.frame = fs->data_frame,
			.ts_ns = last->data_ns,
			.seq = last->data_seq,
		};
}

/* The server aborts: a FIN after idle time, and the RST right behind it. */
static bool is_with_fin(const struct step *s)
{
	const struct side *server = &s->fs->side[!s->flow->client];

	return s->fs->fin == FIN_AFTER_IDLE &&
	       tl_span_ns(server->data_ns, s->now_ns) < s->fs->gap_ns + GOES_ON_NS;
}

static void judge_time(const struct step *s, struct reset_report *r)
{
	const struct flow_state *fs = s->fs;
	const struct side *last = fs->speaker ? &fs->side[fs->speaker - 1] : NULL;
	uint64_t since = last ? tl_span_ns(last->data_ns, s->now_ns) : 0;
	uint64_t rtt_ns = ((uint64_t)fs->side[0].min_rtt_us + fs->side[1].min_rtt_us) * 1000;

	r->phase = RESET_IN_TRANSFER;
	r->idle_ns = since;
	if (!s->from_client && (fs->fin == FIN_UNNOTICED || is_with_fin(s))) {
		r->phase = RESET_IN_IDLE;
		r->idle_ns = fs->gap_ns;
		r->flags |= RESET_BY_FIN;
	} else if (fs->flags & SAW_FIN) {
		r->phase = RESET_IN_CLOSING;
	} else if (!last) {
		r->phase = RESET_IN_HANDSHAKE;
		r->idle_ns = tl_span_ns(s->flow->first_ns, s->now_ns);
		if (r->idle_ns >= RESET_IDLE_NS && fs->flags & ESTABLISHED)
			r->phase = RESET_IN_IDLE;
	} else if (since >= RESET_IDLE_NS && since >= rtt_ns + rtt_ns / 2) {
		/* Sooner, on a long way, it may be the answer to that data. */
		r->phase = RESET_IN_IDLE;
	} else if (fs->gap_ns >= LONG_IDLE_NS && fs->speaker != s->side + 1u) {
		/* Whoever answers has forgotten the connection meanwhile. */
		r->phase = RESET_IN_IDLE;
		r->idle_ns = fs->gap_ns;
		r->flags |= RESET_AFTER_IDLE;
	}
}

/* Did the client speak last, and has it had no answer, seen or unseen? */
static bool is_pending(const struct step *s)
{
	const struct side *client = &s->fs->side[s->flow->client];

	if (s->fs->speaker != s->flow->client + 1u)
		return false;
	return !s->from_client || !(s->layers->tcp_flags & TL_TCP_ACK) ||
	       s->layers->ack == client->data_ack;
}

/*
 * The client of a TLS connection has the last word, but no question: it says it has finished, and
 * leaves at once. So do probes that only try the handshake, and clients of HTTP/2 when they close.
 */
static bool is_parting(const struct step *s)
{
	const struct side *client = &s->fs->side[s->flow->client];
	const struct side *server = &s->fs->side[!s->flow->client];

	return s->from_client && s->flow->app == TL_APP_TLS && server->data_ns &&
	       client->data_bytes <= TLS_SMALL_BYTES &&
	       tl_span_ns(client->data_ns, s->now_ns) < RESET_IDLE_NS;
}

/*
 * The server closes with data unread: both were sending; or it has answered, in one segment's worth
 * that is still on its way, and closes at once though the client said more (a QUIT behind a login
 * that failed: health checks of databases).
 */
static bool is_unread(const struct step *s)
{
	const struct side *side = &s->fs->side[s->side], *peer = &s->fs->side[!s->side];

	if (!side->data_ns || !peer->data_ns || tl_span_ns(side->data_ns, s->now_ns) >= RECENT_NS ||
	    tl_span_ns(peer->data_ns, s->now_ns) >= RECENT_NS)
		return false;
	if (!side->flight && peer->flight)
		return true;
	return !s->from_client && s->fs->speaker == s->side + 1u &&
	       side->flight <= LAST_WORD_MOST &&
	       tl_span_ns(side->data_ns, s->now_ns) < LAST_WORD_NS;
}

static void begin(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const struct side *side = &fs->side[s->side], *peer = &fs->side[!s->side];
	struct cut *c = cut_take(s->w, fs);
	struct reset_report *r;

	if (!c)
		return;
	r = &c->report;
	c->side = s->side;
	c->to_syn = fs->flags & SAW_SYN && !(fs->flags & (SAW_SYNACK | ESTABLISHED));
	c->had_fin = fs->flags & (SAW_FIN | SAW_ALERT) || fs->farewell;
	c->established = fs->flags & ESTABLISHED;
	c->is_parting = is_parting(s);
	c->speaker = fs->speaker;
	r->rst_ns = s->now_ns;
	r->rst_count = 1;
	r->side_is_client = s->from_client;
	r->fit = s->segment->rst_fit;
	r->app = s->flow->app;
	r->ttl = s->layers->ttl;
	r->usual_ttl = side->identity.ttl_count ? side->identity.ttl[0] : 0;
	r->doubts = doubts_of(s);
	judge_time(s, r);
	c->had_fin &= !(r->flags & RESET_BY_FIN);
	if (is_pending(s) && !(r->flags & RESET_BY_FIN))
		r->flags |= RESET_PENDING;
	if (side->flight || (peer->flight && fs->speaker != s->side + 1u && !acks_all(s)))
		r->flags |= RESET_IN_FLIGHT;
	if (s->flow->flags & TL_FLOW_MIDSTREAM)
		r->flags |= RESET_MIDSTREAM;
	if (is_unread(s))
		r->flags |= RESET_UNREAD;
	reset_cut__prove_data(s, r);
	reset_cut__prove_rst(s, r);
}

/* A packet after the RST: does whoever is said to have sent it go on, or its peer? */
void reset_cut__after(const struct step *s)
{
	struct cut *c = &s->w->cut[s->fs->cut - 1];
	struct reset_report *r = &c->report;
	bool is_news = s->segment->verdict == TL_VERDICT_NEW || s->segment->acked_bytes;

	if (s->side == c->side && s->layers->tcp_flags & TL_TCP_ACK) {
		c->is_overtaken = true;
		c->late_ack = s->layers->ack;
	}
	if (s->side != c->side) {
		c->tried_again |= !!(s->layers->tcp_flags & TL_TCP_SYN);
		/* On its way when the RST was sent. */
		if (s->segment->new_bytes)
			r->flags |= RESET_IN_FLIGHT;
		return;
	}
	if (!is_news || c->tried_again || tl_span_ns(r->rst_ns, s->now_ns) < GOES_ON_NS)
		return;
	r->doubts |= RESET_DOUBT_GOES_ON;
	r->flags |= RESET_IGNORED;
}

/* --- the end of a flow: what was it? --------------------------------------------------------- */

static bool is_benign(const struct cut *c, const struct flow_state *fs)
{
	const struct reset_report *r = &c->report;
	bool forged = r->sender == RESET_BY_MIDDLEBOX;

	/* A client's own is its answer to an ACK of an older connection (tcp.port_reuse). */
	if (c->to_syn)
		return !forged || r->side_is_client || !(fs->flags & SAW_SYNACK);
	if (fs->flags & HALF_OPEN && !forged)
		return true;
	if (c->had_fin || r->phase == RESET_IN_CLOSING)
		return !forged || !(r->flags & RESET_IGNORED);
	/* Nothing was there that it could cut; or it was closed before the capture began. */
	if (!forged &&
	    (!c->established || (r->phase == RESET_IN_HANDSHAKE && r->flags & RESET_MIDSTREAM)))
		return true;
	if (forged)
		return false;
	/* The client may leave: it has all it asked for, or asked for nothing. */
	return r->side_is_client &&
	       (c->is_parting || !(r->flags & (RESET_PENDING | RESET_IN_FLIGHT)));
}

static void name_sender(struct cut *c, const struct flow_state *fs)
{
	struct reset_report *r = &c->report;

	if (reset_identity__weigh(r->doubts) >= 2)
		r->sender = RESET_BY_MIDDLEBOX;
	else if (!fs->side[c->side].identity.packets && r->flags & RESET_MIDSTREAM)
		r->sender = RESET_BY_UNKNOWN;
	else
		r->sender = r->side_is_client ? RESET_BY_CLIENT : RESET_BY_SERVER;
}

static bool may_report(struct worker *w, uint64_t now_ns)
{
	if (now_ns / TL_NS_PER_SEC != w->second) {
		w->second = now_ns / TL_NS_PER_SEC;
		w->reports = 0;
	}
	if (w->reports++ < REPORTS_EACH_S)
		return true;
	w->withheld++;
	return false;
}

void reset_cut__conclude(struct worker *w, struct flow_state *fs, const struct tl_flow *flow)
{
	struct cut *c = &w->cut[fs->cut - 1];
	struct tl_observation o = {
		.kind = RESET_OBSERVED_RST,
		.data_bytes = sizeof(c->report),
	};

	name_sender(c, fs);
	if (!is_benign(c, fs) && may_report(w, w->now_ns)) {
		o.ts_ns = w->now_ns;
		o.subject = tl_subject__of_flow(flow, flow->client);
		memcpy(o.data, &c->report, sizeof(c->report));
		tl_analyzer_worker__emit(&w->out, &o);
	}
	c->next_free = w->cut_free;
	w->cut_free = fs->cut;
	fs->cut = 0;
}

/*
 * A RST that overtook its sender's last ACKs (several processors, several links) finds the
 * connection, and closes it; each ACK that comes to the peer behind it is answered by a RST with
 * that ACK's number, and without one of its own (RFC 9293, 3.10.7.1). Where it overtook them behind
 * the tap, what is left to see is a peer that was sending, and a RST from as far as its data.
 */
static bool is_answer_to_overtaken(const struct step *s, const struct cut *c)
{
	const struct side *own = &s->fs->side[s->side];

	if (s->layers->tcp_flags & TL_TCP_ACK)
		return false;
	if (c->is_overtaken && s->layers->seq == c->late_ack)
		return true;
	return c->speaker == s->side + 1u && tl_span_ns(own->data_ns, c->report.rst_ns) < BOTH_NS &&
	       reset_identity__has_ttl(&own->identity, s->layers->ttl);
}

void reset_cut__rst(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct cut *c = fs->cut ? &s->w->cut[fs->cut - 1] : NULL;

	if (c && c->report.flags & RESET_IGNORED) {
		/* That one did nothing; what does this one? */
		reset_cut__conclude(s->w, fs, s->flow);
		c = NULL;
	}
	if (!c) {
		begin(s);
		return;
	}
	if (c->report.rst_count < UINT16_MAX)
		c->report.rst_count++;
	reset_cut__prove_rst(s, &c->report);
	if (s->side != c->side && tl_span_ns(c->report.rst_ns, s->now_ns) < BOTH_NS &&
	    s->segment->rst_fit == TL_RST_EXACT && !is_answer_to_overtaken(s, c))
		c->report.doubts |= RESET_DOUBT_BOTH;
}
