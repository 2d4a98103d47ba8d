/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.reset, tcp.idle_timeout, service.crash: connections that are cut. This is the worker half: it
 * learns what each host's packets look like (TTL, MAC, IP ID), remembers the RSTs of a flow until
 * its end shows what they did, and counts for each service how connections end and begin. The judge
 * (core/reset_judge.c) decides and groups.
 *
 *	flow's bytes                      cut: a pool, for flows with a RST
 *	+--------+--------+-------+       +-----------------------------------+
 *	| side 0 | side 1 | speak |──────►| report as of the RST, what came   |──► at the flow's end
 *	+--------+--------+-------+       | after it                          |
 *	                                  +-----------------------------------+
 *
 * Not told, for they cut nothing: a RST to a SYN (connect.refused), after a FIN or a farewell (a
 * WebSocket's close, QUIT, its answer: who closes with bytes unread sends a RST), by a client that
 * has all it asked for or asked for nothing (of TLS: whose last bytes are too few for a question),
 * without anything before it.
 *
 * Invariants: copies never count. What is told depends on packets alone. Everything has a cap; what
 * is over is counted.
 */
#include "core/reset_state.h"
#include "tapline/cursor.h"

/* Up to here it is a Finished with its change_cipher_spec, an alert in disguise, HTTP/2's SETTINGS,
 * WINDOW_UPDATE, GOAWAY: nothing that waits for an answer. */
#define TLS_SMALL_BYTES 96u

#define REPORTS_EACH_S 4000u
#define GOES_ON_NS     (5 * TL_NS_PER_MS) /* the mirror may mix up what is closer */
#define BOTH_NS	       (100 * TL_NS_PER_MS)
#define RECENT_NS      (1 * TL_NS_PER_SEC)
#define LAST_WORD_NS   (5 * TL_NS_PER_MS)
#define LAST_WORD_MOST 1460u
#define FRESH_NS       (1 * TL_NS_PER_SEC) /* a RST this soon answers the data before it */
#define QUIET_EACH_S   100u
#define LONG_IDLE_NS   (10 * TL_NS_PER_SEC)

/* --- services -------------------------------------------------------------------------------- */

static void pack_send(struct worker *w, uint64_t now_ns)
{
	struct tl_observation o = {
		.kind = RESET_OBSERVED_SERVICES,
		.ts_ns = now_ns,
		.data_bytes = sizeof(w->pack),
	};

	if (!w->pack.count && !w->withheld)
		return;
	w->pack.withheld = w->withheld;
	w->withheld = 0;
	memcpy(o.data, &w->pack, sizeof(w->pack));
	tl_analyzer_worker__emit(&w->out, &o);
	memset(&w->pack, 0, sizeof(w->pack));
}

static void pack_add(struct worker *w, struct service *service, uint64_t now_ns)
{
	struct tl_endpoint server = service->s.server;

	w->pack.service[w->pack.count++] = service->s;
	memset(service, 0, sizeof(*service));
	service->s.server = server;
	w->dirty--;
	if (w->pack.count == RESET_SERVICES_MAX)
		pack_send(w, now_ns);
}

/* The service of the flow, marked as one to tell of. */
static struct reset_service *service_of(const struct step *s)
{
	struct worker *w = s->w;
	struct tl_endpoint e = tl_endpoint__of_flow(s->flow, !(s->flow->client & 1u));
	uint64_t hash = tl_text__hash(e.port, e.ip, sizeof(e.ip));
	struct service *service = &w->service[hash & (SERVICES - 1)];

	if (service->s.server.port != e.port || !tl_endpoint__same_host(&service->s.server, &e)) {
		if (service->is_dirty)
			pack_add(w, service, s->now_ns);
		memset(service, 0, sizeof(*service));
		service->s.server = e;
	}
	w->dirty += !service->is_dirty;
	service->is_dirty = true;
	return &service->s;
}

static uint64_t client_bit(const struct step *s)
{
	const uint8_t *address = s->flow->key.addr[s->flow->client];

	return 1ull << (tl_text__hash(0, address, sizeof(s->flow->key.addr[0])) & 63);
}

/* The server ends the connection, and the client did not before it. */
static void count_end(const struct step *s)
{
	struct reset_service *service;

	if (s->fs->flags & (END_TOLD | SAW_FIN) || !(s->fs->flags & ESTABLISHED))
		return;
	s->fs->flags |= END_TOLD;
	service = service_of(s);
	if (!service->ends++) {
		service->end_first_ns = s->now_ns;
		service->end_first_frame = s->packet->frame;
	}
	service->end_clients |= client_bit(s);
	service->rsts += !!(s->layers->tcp_flags & TL_TCP_RST);
	service->end_last_ns = s->now_ns;
	service->end_last_frame = s->packet->frame;
}

/* A SYN that failed: refused, or sent again for want of an answer. */
static void count_down(const struct step *s)
{
	struct reset_service *service;

	if (s->fs->flags & DOWN_TOLD)
		return;
	s->fs->flags |= DOWN_TOLD;
	service = service_of(s);
	if (!service->downs++) {
		service->down_first_ns = s->now_ns;
		service->down_first_frame = s->packet->frame;
	}
	service->down_clients |= client_bit(s);
	service->refuses |= !!(s->layers->tcp_flags & TL_TCP_RST);
	service->down_last_ns = s->now_ns;
	service->accept_ns = 0;
}

static void count_accept(const struct step *s)
{
	struct reset_service *service = service_of(s);

	/* It lives: those that it ended before, it ended by itself. */
	service->ends = service->rsts = 0;
	service->end_clients = 0;
	if (!service->accept_ns) {
		service->accept_ns = s->now_ns;
		service->accept_frame = s->packet->frame;
	}
	service->accept_last_ns = s->now_ns;
}

/* --- what a side's packets look like --------------------------------------------------------- */

static void learn(const struct step *s)
{
	struct side *side = &s->fs->side[s->side];
	struct side *peer = &s->fs->side[!s->side];
	uint32_t acked = s->segment->acked_bytes;

	reset_identity__learn(&side->identity, s->packet, s->layers);
	if (s->segment->rtt_us) {
		if (!side->min_rtt_us || s->segment->rtt_us < side->min_rtt_us)
			side->min_rtt_us = s->segment->rtt_us;
		if (side->rtt_samples < RTT_SAMPLES_MIN)
			side->rtt_samples++;
	}
	side->flight = s->segment->flight_bytes;
	peer->flight -= acked < peer->flight ? acked : peer->flight;
}

/* The client takes a connection for open that the server closed, and asks. */
static bool is_question(const struct step *s)
{
	uint32_t least = s->flow->app == TL_APP_TLS ? TLS_SMALL_BYTES : 0;

	return s->from_client && s->layers->payload_bytes > least &&
	       !(s->layers->tcp_flags & TL_TCP_FIN) &&
	       !reset_parting__is_goodbye(s->packet, s->layers);
}

static void learn_data(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct side *side = &fs->side[s->side];
	uint64_t before = fs->side[!s->side].data_ns;

	if (side->data_ns > before)
		before = side->data_ns;
	if (!s->from_client && fs->speaker == s->flow->client + 1u && fs->flags & ESTABLISHED)
		service_of(s)->answer_ns = s->now_ns;
	if (!fs->fin)
		fs->gap_ns = before ? tl_span_ns(before, s->now_ns) : 0;
	fs->speaker = (s->side + 1u) & 3u;
	side->data_ns = s->now_ns;
	side->data_frame = s->packet->frame;
	side->data_seq = s->layers->seq;
	side->data_bytes = s->layers->payload_bytes;
	side->data_ack = s->layers->ack;
	if (s->flow->app == TL_APP_TLS && reset_parting__is_alert(s->packet, s->layers))
		fs->flags |= SAW_ALERT;
	fs->farewell &= (uint8_t) ~(1u << s->side) & 3u;
	if (reset_parting__is_farewell(s->packet, s->layers, s->flow->app))
		fs->farewell |= (1u << s->side) & 3u;
	if (fs->fin == FIN_AFTER_IDLE && is_question(s))
		fs->fin = FIN_UNNOTICED;
}

/* It ACKs more than it had when it spoke last: its peer spoke since, though it was not seen. */
static void learn_unseen(const struct step *s)
{
	struct side *peer = &s->fs->side[!s->side];

	if (s->fs->speaker == !s->side + 1u)
		return;
	s->fs->speaker = (!s->side + 1u) & 3u;
	peer->data_ns = s->now_ns;
	peer->data_frame = 0;
}

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
	if (s->layers->tcp_flags & TL_TCP_ACK && side->rtt_samples >= RTT_SAMPLES_MIN &&
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

static void prove_rst(const struct step *s, struct reset_report *r)
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

static void prove_data(const struct step *s, struct reset_report *r)
{
	const struct flow_state *fs = s->fs;
	const struct side *last = fs->speaker ? &fs->side[fs->speaker - 1] : NULL;

	if (last && last->data_ns && last->data_frame)
		r->proof[r->proof_count++] = (struct tl_proof){
			.frame = last->data_frame,
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

static void first_rst(const struct step *s)
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
	prove_data(s, r);
	prove_rst(s, r);
}

/* A packet after the RST: does whoever is said to have sent it go on, or its peer? */
static void after_rst(const struct step *s)
{
	struct cut *c = &s->w->cut[s->fs->cut - 1];
	struct reset_report *r = &c->report;
	bool is_news = s->segment->verdict == TL_VERDICT_NEW || s->segment->acked_bytes;

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

static void conclude(struct worker *w, struct flow_state *fs, const struct tl_flow *flow)
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

/* --- one packet ------------------------------------------------------------------------------ */

static void on_rst(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct cut *c = fs->cut ? &s->w->cut[fs->cut - 1] : NULL;

	if (!s->from_client && fs->flags & SAW_SYN && !(fs->flags & (SAW_SYNACK | ESTABLISHED)))
		count_down(s);
	if (!s->from_client)
		count_end(s);
	if (c && c->report.flags & RESET_IGNORED) {
		/* That one did nothing; what does this one? */
		conclude(s->w, fs, s->flow);
		c = NULL;
	}
	if (!c) {
		first_rst(s);
		return;
	}
	if (c->report.rst_count < UINT16_MAX)
		c->report.rst_count++;
	prove_rst(s, &c->report);
	if (s->side != c->side && tl_span_ns(c->report.rst_ns, s->now_ns) < BOTH_NS &&
	    s->segment->rst_fit == TL_RST_EXACT)
		c->report.doubts |= RESET_DOUBT_BOTH;
}

static void on_syn(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (s->layers->tcp_flags & TL_TCP_ACK) {
		if (s->from_client)
			return;
		if (fs->synacks < UINT8_MAX)
			fs->synacks++;
		if (fs->synacks > 1 && fs->side[s->flow->client].data_ns)
			fs->flags |= HALF_OPEN;
		fs->flags |= SAW_SYNACK;
		count_accept(s);
		return;
	}
	fs->flags |= SAW_SYN;
	if (s->segment->verdict == TL_VERDICT_SYN_RETRANSMIT &&
	    !(fs->flags & (SAW_SYNACK | ESTABLISHED)))
		count_down(s);
}

/*
 * The server closes what was idle. HTTP and TLS servers do so to every keep-alive; of others it may
 * be a timeout that their clients do not know of, if many are closed after the same time.
 */
static void report_quiet_end(const struct step *s)
{
	struct reset_report r = {
		.rst_ns = s->now_ns,
		.idle_ns = s->fs->gap_ns,
		.sender = RESET_BY_SERVER,
		.phase = RESET_IN_IDLE,
		.flags = RESET_BY_FIN | RESET_QUIET,
		.app = s->flow->app,
		.ttl = s->layers->ttl,
	};
	struct tl_observation o = {
		.kind = RESET_OBSERVED_RST,
		.data_bytes = sizeof(r),
		.ts_ns = s->now_ns,
		.subject = tl_subject__of_flow(s->flow, s->flow->client),
	};

	if (s->flow->app == TL_APP_HTTP || s->flow->app == TL_APP_TLS || s->fs->farewell)
		return;
	if (s->w->quiet_second != s->now_ns / TL_NS_PER_SEC)
		s->w->quiet = 0;
	s->w->quiet_second = s->now_ns / TL_NS_PER_SEC;
	if (s->w->quiet++ >= QUIET_EACH_S)
		return;
	prove_data(s, &r);
	prove_rst(s, &r);
	r.proof[r.proof_count - 1].what = RESET_PROOF_FIN;
	memcpy(o.data, &r, sizeof(r));
	tl_analyzer_worker__emit(&s->w->out, &o);
}

static void on_fin(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const struct side *server = &fs->side[!s->flow->client];

	if (!s->from_client)
		count_end(s);
	if (!s->from_client && !(fs->flags & SAW_FIN) && fs->speaker == s->side + 1u &&
	    !s->segment->new_bytes && tl_span_ns(server->data_ns, s->now_ns) >= RESET_IDLE_NS) {
		fs->fin = FIN_AFTER_IDLE;
		fs->gap_ns = tl_span_ns(server->data_ns, s->now_ns);
		report_quiet_end(s);
	}
	fs->flags |= SAW_FIN;
}

static void on_tcp(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const uint8_t flags = s->layers->tcp_flags;

	if (flags & TL_TCP_RST) {
		on_rst(s);
		return;
	}
	if (fs->cut)
		after_rst(s);
	if (flags & TL_TCP_SYN) {
		on_syn(s);
	} else {
		if (!s->from_client && !(fs->flags & SAW_SYN))
			fs->flags |= ESTABLISHED; /* midstream */
		if (s->from_client)
			fs->flags |= ESTABLISHED;
		else
			fs->flags &= (uint8_t)~HALF_OPEN;
	}
	learn(s);
	if (s->segment->new_bytes && s->segment->verdict != TL_VERDICT_WINDOW_PROBE &&
	    s->segment->verdict != TL_VERDICT_KEEPALIVE)
		learn_data(s);
	else if (s->segment->acked_bytes && !s->layers->payload_bytes)
		learn_unseen(s);
	if (flags & TL_TCP_FIN) {
		on_fin(s);
	}
}

/* --- what the registry calls ----------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		struct step s = {
			.w = w,
			.flow = b->batch->lookup[i].ret_flow,
			.packet = &b->batch->packet[i],
			.layers = &b->batch->layers[i],
			.segment = &b->segment[i],
			.now_ns = b->batch->packet[i].ts_ns,
			.side = b->batch->lookup[i].ret_side,
		};

		w->now_ns = b->newest_ns[i];
		s.fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
		s.from_client = s.side == s.flow->client;
		on_tcp(&s);
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	for (uint32_t i = 0; i < SERVICES && w->dirty; i++)
		if (w->service[i].is_dirty)
			pack_add(w, &w->service[i], now_ns);
	pack_send(w, now_ns);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;

	(void)end;
	if (fs->cut)
		conclude(state, fs, flow);
}

const struct tl_analyzer tl_analyzer_reset = {
	.name = "reset",
	.wants = TL_WANTS_TCP,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.finish = tick,
	.judge_bytes = sizeof(struct reset_judge *),
	.judge_init = reset_judge__init,
	.observe = reset_judge__observe,
	.judge_tick = reset_judge__tick,
	.judge_finish = reset_judge__finish,
	.judge_fini = reset_judge__fini,
};
