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

#define QUIET_EACH_S 100u

/* --- services -------------------------------------------------------------------------------- */

static void pack_send(struct worker *w, uint64_t now_ns)
{
	struct tl_observation o;

	if (!w->pack.count && !w->withheld)
		return;
	tl_observation__clear(&o);
	o.kind = RESET_OBSERVED_SERVICES;
	o.ts_ns = now_ns;
	o.data_bytes = sizeof(w->pack);
	w->pack.withheld = w->withheld;
	w->withheld = 0;
	memcpy(o.data, &w->pack, sizeof(w->pack));
	tl_analyzer_worker__emit(&w->out, &o);
	memset(&w->pack, 0, sizeof(w->pack));
}

static void pack_add(struct worker *w, uint32_t place, uint64_t now_ns)
{
	struct reset_service *packed = &w->pack.service[w->pack.count++];
	struct service *service = &w->service[place];

	*packed = w->news[place];
	packed->server = service->server;
	packed->answer_ns = service->answer_ns;
	memset(&w->news[place], 0, sizeof(w->news[place]));
	service->answer_ns = 0;
	service->is_dirty = false;
	w->dirty--;
	if (w->pack.count == RESET_SERVICES_MAX)
		pack_send(w, now_ns);
}

/* Remembered in the flow, with the server's side, for that may turn out to be the other one. */
static uint32_t find_place(const struct step *s, uint8_t side)
{
	const struct tl_flow_key *key = &s->flow->key;
	uint64_t hash = tl_text__hash(key->port[side], key->addr[side], sizeof(key->addr[side]));
	uint32_t place = hash & (SERVICES - 1);

	s->fs->service = (uint16_t)(1u + place * 2 + side);
	return place;
}

/* Where the service of the flow is, marked as one to tell of. */
static inline uint32_t service_of(const struct step *s)
{
	struct worker *w = s->w;
	const uint8_t side = !(s->flow->client & 1u);
	const uint16_t known = s->fs->service;
	const uint32_t place =
		known && ((known - 1u) & 1u) == side ? (known - 1u) >> 1 : find_place(s, side);
	const struct tl_endpoint e = tl_endpoint__of_flow(s->flow, side);
	struct service *service = &w->service[place];

	if (service->server.port != e.port || !tl_endpoint__same_host(&service->server, &e)) {
		if (service->is_dirty)
			pack_add(w, place, s->now_ns);
		service->server = e;
	}
	w->dirty += !service->is_dirty;
	service->is_dirty = true;
	return place;
}

static struct reset_service *news_of(const struct step *s)
{
	return &s->w->news[service_of(s)];
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
	service = news_of(s);
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
	service = news_of(s);
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
	struct reset_service *service = news_of(s);

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

static inline void learn_rtt(struct side *side, uint32_t rtt_us)
{
	if (rtt_us - 1 < side->min_rtt_us - 1) /* or there was none: 0 */
		side->min_rtt_us = rtt_us;
	if (side->identity.rtt_samples < RTT_SAMPLES_MIN)
		side->identity.rtt_samples++;
}

static inline void learn(const struct step *s)
{
	struct side *side = &s->fs->side[s->side];
	struct side *peer = &s->fs->side[!s->side];
	uint32_t acked = s->segment->acked_bytes;

	reset_identity__learn(&side->identity, s->packet, s->layers);
	if (s->segment->rtt_us)
		learn_rtt(side, s->segment->rtt_us);
	side->flight = s->segment->flight_bytes;
	if (acked)
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

/* Is it the side's last word, in its protocol's own words? */
static inline void learn_farewell(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const uint8_t app = s->flow->app, bit = (uint8_t)(1u << s->side);

	if (app == TL_APP_TLS && reset_parting__is_alert(s->packet, s->layers))
		fs->flags |= SAW_ALERT;
	if (reset_parting__may_be_farewell(s->packet, s->layers, app) &&
	    reset_parting__is_farewell(s->packet, s->layers, app))
		fs->farewell |= bit;
	else if (fs->farewell)
		fs->farewell &= (uint8_t)~bit;
}

static inline void learn_data(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct side *side = &fs->side[s->side];
	uint64_t before = fs->side[!s->side].data_ns;

	if (side->data_ns > before)
		before = side->data_ns;
	if (!s->from_client && fs->speaker == !s->side + 1u && fs->flags & ESTABLISHED)
		s->w->service[service_of(s)].answer_ns = s->now_ns;
	if (!fs->fin)
		fs->gap_ns = before ? tl_span_ns(before, s->now_ns) : 0;
	else if (fs->fin == FIN_AFTER_IDLE && is_question(s))
		fs->fin = FIN_UNNOTICED;
	fs->speaker = (uint8_t)(s->side + 1u);
	fs->data_frame = s->packet->frame;
	side->data_ns = s->now_ns;
	side->data_seq = s->layers->seq;
	side->data_bytes = s->layers->payload_bytes;
	side->data_ack = s->layers->ack;
	learn_farewell(s);
}

/* It ACKs more than it had when it spoke last: its peer spoke since, though it was not seen. */
static inline void learn_unseen(const struct step *s)
{
	struct side *peer = &s->fs->side[!s->side];

	if (s->fs->speaker == !s->side + 1u)
		return;
	s->fs->speaker = (uint8_t)(!s->side + 1u);
	s->fs->data_frame = 0;
	peer->data_ns = s->now_ns;
}

/* --- one packet ------------------------------------------------------------------------------ */

static void on_rst(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (!s->from_client && fs->flags & SAW_SYN && !(fs->flags & (SAW_SYNACK | ESTABLISHED)))
		count_down(s);
	if (!s->from_client)
		count_end(s);
	reset_cut__rst(s);
}

static void on_syn(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (s->layers->tcp_flags & TL_TCP_ACK) {
		if (s->from_client)
			return;
		if (fs->synacks < 2)
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
	reset_cut__prove_data(s, &r);
	reset_cut__prove_rst(s, &r);
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

static inline void establish(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (s->from_client || !(fs->flags & SAW_SYN)) /* the latter: midstream */
		fs->flags |= ESTABLISHED;
	if (!s->from_client)
		fs->flags &= (uint8_t)~HALF_OPEN;
}

static inline __attribute__((always_inline)) void on_segment(const struct step *s)
{
	learn(s);
	if (s->segment->new_bytes && s->segment->verdict != TL_VERDICT_WINDOW_PROBE &&
	    s->segment->verdict != TL_VERDICT_KEEPALIVE)
		learn_data(s);
	else if (s->segment->acked_bytes && !s->layers->payload_bytes)
		learn_unseen(s);
}

/* With SYN, FIN or RST; or any after a RST. */
static __attribute__((noinline)) void on_turn(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const uint8_t flags = s->layers->tcp_flags;

	if (flags & TL_TCP_RST) {
		on_rst(s);
		return;
	}
	if (fs->cut)
		reset_cut__after(s);
	if (flags & TL_TCP_SYN)
		on_syn(s);
	else
		establish(s);
	on_segment(s);
	if (flags & TL_TCP_FIN)
		on_fin(s);
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
	const struct tl_batch *of = b->batch;
	const struct tl_flow_lookup *lookup = of->lookup;
	struct worker *w = state;
	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_flow *flow = lookup[i].ret_flow;
		const struct step s = {
			.w = w,
			.fs = tl_analyzer_batch__tcp_state(b, i, flow_offset),
			.flow = flow,
			.packet = &of->packet[i],
			.layers = &of->layers[i],
			.segment = &b->segment[i],
			.now_ns = of->packet[i].ts_ns,
			.side = lookup[i].ret_side,
			.from_client = lookup[i].ret_side == flow->client,
		};

		if (s.layers->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST) || s.fs->cut) {
			w->now_ns = b->newest_ns[i];
			on_turn(&s);
		} else {
			establish(&s);
			on_segment(&s);
		}
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	for (uint32_t i = 0; i < SERVICES && w->dirty; i++)
		if (w->service[i].is_dirty)
			pack_add(w, i, now_ns);
	pack_send(w, now_ns);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;

	(void)end;
	if (fs->cut)
		reset_cut__conclude(state, fs, flow);
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
