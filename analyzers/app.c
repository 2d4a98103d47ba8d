/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * app.* and latency.breakdown: requests that get no answer, or a late one, and where the time went.
 * This is the worker half: it follows the turns of each TCP connection (core/exchange.h), sees what
 * is asked for where the protocol is known, and reports each turn. Two judges weigh the reports.
 *
 *	packet ─► exchange ─┬─ begins   what is asked: HTTP/1, MySQL, PostgreSQL; TLS, or unknown
 *	                    ├─ answers  an interim answer, an upgrade or a stream is no answer
 *	                    ├─ waits    a report from time to time, so that it is told live
 *	                    └─ ended    report
 *
 * Invariants: copies by the mirror never count; a flow of which one direction is shown, or whose
 * client is not known, is not judged; reports in a second of packet time are bounded, the slow ones
 * apart from the others, which only teach what is normal.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/app.h"
#include "core/mysql_message.h"
#include "core/postgresql_message.h"
#include "core/text.h"
#include "core/word_list.h"
#include "tapline/cursor.h"

#define PROTO_TCP      6
#define REPORTS_EACH_S 1000u
#define SECOND_NS      1000000000ull
#define SLOW_NS	       1000000000ull
#define HEAD_MAX       1024u /* of a request, searched for what tells a stream */
#define WAITS	       4096u

struct flow_state {
	struct tl_exchange exchange;
	uint8_t protocol;
	uint8_t exempt; /* a stream or an upgrade: turns mean nothing any more */
	bool is_push;
	bool is_over;		 /* closed by one side */
	uint32_t declared_bytes; /* HTTP: the request's, head and body; 0: not said */
	uint32_t wait;		 /* number, while an answer is awaited; 0: none */
	bool is_told;		 /* that it is */
	uint64_t wait_first_ns;	 /* of its request */
	char label[APP_LABEL];
};

struct worker {
	struct tl_analyzer_worker out;
	struct app_waits *waits;
	uint64_t now_ns, tick_ns, second;
	uint32_t slow, normal;
	struct tl_word_list push, stream;
};

struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	uint8_t outcome;
	uint64_t end_ns, end_frame;
};

/* --- reports ------------------------------------------------------------------------------------
 */

static uint64_t span(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

static bool may_report(struct worker *w, bool is_slow)
{
	if (w->now_ns / SECOND_NS != w->second) {
		w->second = w->now_ns / SECOND_NS;
		w->slow = w->normal = 0;
	}
	return (is_slow ? w->slow++ : w->normal++) < REPORTS_EACH_S;
}

static enum app_outcome outcome_of(const struct step *s, const struct tl_exchange *e)
{
	return e->turn.response_first_ns ? APP_ANSWERED : (enum app_outcome)s->outcome;
}

/* False: nothing may be said of the turn. */
static bool may_tell(const struct step *s, const struct tl_exchange *e)
{
	if (s->fs->exempt || e->flags & TL_EXCHANGE_HOLE)
		return false;
	if (outcome_of(s, e) == APP_ANSWERED)
		return true;
	/* Not taken by the server's host, or held up by its window: not the program's silence. */
	if (!(e->flags & TL_EXCHANGE_ACKED) || e->flags & TL_EXCHANGE_SERVER_SHUT)
		return false;
	/* Nothing to answer yet: http.body_mismatch tells of what did not come. */
	return e->turn.request_bytes >= s->fs->declared_bytes;
}

static uint64_t wait_of(const struct step *s, const struct tl_exchange *e)
{
	uint64_t end = e->turn.response_first_ns ? e->turn.response_first_ns : s->end_ns;
	uint64_t rtt = (uint64_t)s->flow->rtt_server_us * 1000;

	return span(rtt, span(e->turn.request_last_ns, end));
}

/* What went before the first request of a connection; else, where the turn begins. */
struct beginning {
	uint64_t connect_ns, tls_ns;
	uint64_t first_ns, first_frame;
};

static struct beginning beginning_of(const struct tl_exchange *e)
{
	struct beginning b = {
		.first_ns = e->turn.request_first_ns,
		.first_frame = e->turn.request_frame,
	};

	if (!(e->flags & TL_EXCHANGE_FIRST))
		return b;
	if (e->hello_ns) {
		b.tls_ns = span(e->hello_ns, e->tls_last_ns);
		b.first_ns = e->hello_ns;
		b.first_frame = e->hello_frame;
	}
	if (e->flags & TL_EXCHANGE_ESTABLISHED) {
		b.connect_ns = span(e->syn_ns, e->established_ns);
		b.first_ns = e->syn_ns;
		b.first_frame = e->syn_frame;
	}
	return b;
}

static bool is_slow(const struct step *s, const struct tl_exchange *e)
{
	struct beginning b;

	if (outcome_of(s, e) != APP_ANSWERED || wait_of(s, e) >= SLOW_NS)
		return true;
	b = beginning_of(e);
	return b.connect_ns + b.tls_ns + span(e->turn.request_first_ns, e->turn.response_last_ns) >=
	       SLOW_NS;
}

/* Of what is asked for, on this server. */
static uint64_t key_of(const struct step *s)
{
	const struct flow_state *fs = s->fs;
	const struct tl_endpoint server = tl_endpoint__of_flow(s->flow, !(s->flow->client & 1u));
	uint8_t key[TL_ENDPOINT_KEY];

	tl_endpoint__key(&server, key);
	return tl_text__hash(tl_text__hash(fs->protocol, key, sizeof(key)), fs->label,
			     strlen(fs->label));
}

static void emit(const struct step *s, const struct app_report *r)
{
	struct tl_observation o;

	tl_observation__clear(&o);
	o.data_bytes = sizeof(*r);
	o.ts_ns = s->w->now_ns > s->w->tick_ns ? s->w->now_ns : s->w->tick_ns;
	o.subject = tl_subject__of_flow(s->flow, s->flow->client);
	memcpy(o.data, r, sizeof(*r));
	tl_analyzer_worker__emit(&s->w->out, &o);
}

/* All that is known of the turn. */
static void report(const struct step *s, const struct tl_exchange *e, bool is_interim)
{
	const struct beginning b = beginning_of(e);
	struct app_report r = {
		.turn = e->turn,
		.key = key_of(s),
		.wait_ns = wait_of(s, e),
		.connect_ns = b.connect_ns,
		.tls_ns = b.tls_ns,
		.first_ns = b.first_ns,
		.first_frame = b.first_frame,
		.end_ns = s->end_ns,
		.end_frame = s->end_frame,
		.rtt_us = s->flow->rtt_server_us + s->flow->rtt_client_us,
		.protocol = s->fs->protocol,
		.outcome = (uint8_t)outcome_of(s, e),
		.is_push = s->fs->is_push,
		.is_first = e->flags & TL_EXCHANGE_FIRST,
		.is_queued = e->flags & TL_EXCHANGE_FIRST && e->flags & TL_EXCHANGE_QUEUED,
		.is_interim = is_interim,
	};

	memcpy(r.label, s->fs->label, sizeof(r.label));
	emit(s, &r);
}

/* Weighed before it is written out: of many turns, few are told of. */
static void ended(void *ctx, const struct tl_exchange *e)
{
	const struct step *s = ctx;

	if (may_tell(s, e) && may_report(s->w, is_slow(s, e)))
		report(s, e, false);
}

/* --- requests that wait --------------------------------------------------------------------------
 */

/* Each second at first. Often enough for a finding to stay open as long as somebody waits. */
static uint64_t until_next_report(uint64_t waited_ns)
{
	return waited_ns < 10 * SECOND_NS   ? SECOND_NS
	       : waited_ns < 60 * SECOND_NS ? 5 * SECOND_NS
					    : 30 * SECOND_NS;
}

static uint64_t look_at_wait(void *ctx, const struct app_wait *wait, uint64_t now_ns)
{
	struct flow_state *fs = wait->state;
	const struct tl_exchange *e = &fs->exchange;
	uint64_t waited_ns = span(e->turn.request_last_ns, now_ns);
	struct step s = { .w = ctx, .fs = fs, .flow = wait->flow, .outcome = APP_STILL_WAITING };

	if (waited_ns < SLOW_NS)
		return e->turn.request_last_ns + SLOW_NS;
	s.end_ns = now_ns;
	/* What came may have been the answer and not session tickets. */
	if (!e->tickets_ns && may_tell(&s, e)) {
		fs->is_told = true;
		if (may_report(s.w, true))
			report(&s, e, true);
	}
	return now_ns + until_next_report(waited_ns);
}

/* What was told of the wait is taken back. */
static void take_back(const struct step *s)
{
	struct app_report r = {
		.turn = { .request_first_ns = s->fs->wait_first_ns },
		.key = key_of(s),
		.protocol = s->fs->protocol,
		.outcome = APP_ANSWERED,
		.is_interim = true,
	};

	if (may_report(s->w, true))
		emit(s, &r);
}

static void end_wait(struct worker *w, struct flow_state *fs, const struct tl_flow *flow)
{
	if (!fs->wait)
		return;
	app_waits__remove(w->waits, fs->wait);
	fs->wait = 0;
	if (fs->is_told)
		take_back(&(struct step){ .w = w, .fs = fs, .flow = flow });
	fs->is_told = false;
}

/* Whatever a packet did to the turn. TLS is not watched: its waits may be anything. */
static void watch(struct worker *w, struct flow_state *fs, const struct tl_flow *flow)
{
	const struct tl_exchange_turn *t = &fs->exchange.turn;
	bool waits = fs->exchange.phase == TL_EXCHANGE_REQUEST && !fs->exempt && !fs->is_over &&
		     !fs->is_push && fs->protocol != APP_TLS;

	if (fs->wait && (!waits || t->request_first_ns != fs->wait_first_ns))
		end_wait(w, fs, flow);
	if (!waits || fs->wait)
		return;
	fs->wait_first_ns = t->request_first_ns;
	fs->wait = app_waits__add(w->waits, (struct app_wait){ fs, flow },
				  t->request_last_ns + SLOW_NS);
}

/* --- what is asked for ---------------------------------------------------------------------------
 */

static struct tl_cursor payload_of(const struct tl_exchange_packet *p)
{
	struct tl_cursor c = tl_cursor__init(p->packet->data, p->packet->caplen);

	tl_cursor__skip(&c, p->layers->payload_offset);
	tl_cursor__limit(&c, p->layers->payload_caplen);
	return c;
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* Does it begin with the word, which is in lower case? */
static bool begins(const uint8_t *text, size_t bytes, const char *word)
{
	size_t i = 0;

	while (word[i] && i < bytes && lower(text[i]) == (uint8_t)word[i])
		i++;
	return !word[i];
}

/* Where behind the word, which begins with no letter; 0: it is not there. */
static size_t behind(const uint8_t *text, size_t bytes, const char *word)
{
	const uint8_t *at = text, *end = text + bytes;

	while (at < end && (at = memchr(at, *word, (size_t)(end - at)))) {
		if (begins(at, (size_t)(end - at), word))
			return (size_t)(at - text) + strlen(word);
		at++;
	}
	return 0;
}

/* How much of the text is the head of a message. */
static size_t head_bytes(const uint8_t *text, size_t bytes)
{
	const uint8_t *end = memmem(text, bytes, "\r\n\r\n", 4);

	return end ? (size_t)(end - text) + 4 : bytes;
}

/* Bytes of the request, as its head says; 0: it does not, or the head goes on elsewhere. */
static uint32_t declared_bytes(const uint8_t *text, size_t bytes)
{
	size_t head = head_bytes(text, bytes);
	size_t at = behind(text, head, "\ncontent-length:");
	uint64_t body = 0;

	if (!at)
		return 0;
	while (at < head && text[at] == ' ')
		at++;
	for (; at < head && text[at] >= '0' && text[at] <= '9' && body < UINT32_MAX; at++)
		body = body * 10 + (uint64_t)(text[at] - '0');
	return body + head < UINT32_MAX ? (uint32_t)(body + head) : UINT32_MAX;
}

/* Names that people give to what answers when there is news (RFC 6202). */
static const char *const push_words[] = { "poll",
					  "stream",
					  "events",
					  "watch",
					  "wait",
					  "subscribe",
					  "notif",
					  "socket",
					  "/sse",
					  "/ws",
					  "text/event-stream",
					  "timeout=",
					  "\nupgrade: ",
					  NULL };

static const char *const stream_words[] = { "text/event-stream", "multipart/x-mixed-replace",
					    NULL };

static bool begins_with_method(const uint8_t *text, size_t bytes)
{
	switch (bytes ? text[0] : 0) {
	case 'G':
		return tl_text__begins(text, bytes, "GET ");
	case 'P':
		return tl_text__begins(text, bytes, "POST ") ||
		       tl_text__begins(text, bytes, "PUT ") ||
		       tl_text__begins(text, bytes, "PATCH ");
	case 'H':
		return tl_text__begins(text, bytes, "HEAD ");
	case 'D':
		return tl_text__begins(text, bytes, "DELETE ");
	case 'O':
		return tl_text__begins(text, bytes, "OPTIONS ");
	case 'T':
		return tl_text__begins(text, bytes, "TRACE ");
	default:
		return false;
	}
}

/* "GET /path" without the query; false: no request of HTTP/1. */
static bool read_http(const struct worker *w, struct flow_state *fs, struct tl_cursor c)
{
	size_t bytes = tl_cursor__left(&c) < HEAD_MAX ? tl_cursor__left(&c) : HEAD_MAX;
	const uint8_t *text = tl_cursor__take(&c, bytes);
	unsigned n = 0, spaces = 0;

	if (!begins_with_method(text, bytes))
		return false;
	for (; n < APP_LABEL - 1 && n < bytes; n++) {
		spaces += text[n] == ' ';
		if (text[n] == '?' || text[n] < ' ' || text[n] > '~' || spaces == 2)
			break;
		fs->label[n] = (char)text[n];
	}
	fs->label[n] = 0;
	fs->is_push = tl_word_list__is_in(&w->push, text, bytes);
	fs->declared_bytes = declared_bytes(text, bytes);
	fs->protocol = APP_HTTP;
	return true;
}

static bool read_mysql(struct flow_state *fs, struct tl_exchange *e, struct tl_cursor c)
{
	struct tl_mysql_request r;

	if (!tl_mysql_request__read(c.at, tl_cursor__left(&c), &r))
		return false;
	fs->protocol = APP_MYSQL;
	memcpy(fs->label, r.verb, sizeof(r.verb));
	fs->exempt = r.is_stream;
	if (!r.is_answered)
		tl_exchange__forget(e);
	return true;
}

static bool read_postgresql(struct flow_state *fs, struct tl_exchange *e, struct tl_cursor c)
{
	struct tl_postgresql_request r;

	if (!tl_postgresql_request__read(c.at, tl_cursor__left(&c), &r))
		return false;
	fs->protocol = APP_POSTGRESQL;
	memcpy(fs->label, r.verb, sizeof(r.verb));
	if (!r.is_answered || r.is_stream)
		tl_exchange__forget(e);
	return true;
}

/* How much more of it must come is not known: a snap length has cut off what would say. */
static bool is_cut_off(const struct flow_state *fs, const struct tl_exchange_packet *p)
{
	struct tl_cursor c = payload_of(p);
	size_t bytes = tl_cursor__left(&c);

	return fs->label[0] == 'P' && bytes < p->layers->payload_bytes &&
	       !memmem(c.at, bytes, "\r\n\r\n", 4);
}

static void on_request(const struct worker *w, struct flow_state *fs,
		       const struct tl_exchange_packet *p)
{
	struct tl_cursor c = payload_of(p);

	fs->label[0] = 0;
	fs->declared_bytes = 0;
	fs->is_push = false;
	if (fs->exchange.flags & TL_EXCHANGE_IS_TLS || p->flow->app == TL_APP_TLS)
		fs->protocol = APP_TLS;
	else if (read_http(w, fs, c))
		fs->declared_bytes = is_cut_off(fs, p) ? UINT32_MAX : fs->declared_bytes;
	else if (p->flow->app == TL_APP_HTTP || p->flow->app == TL_APP_SSH)
		fs->exempt = 1; /* something else than requests: a body that was not expected… */
	else if (p->flow->app == TL_APP_MYSQL || p->flow->app == TL_APP_POSTGRESQL) {
		if (p->flow->app == TL_APP_MYSQL ? !read_mysql(fs, &fs->exchange, c)
						 : !read_postgresql(fs, &fs->exchange, c))
			tl_exchange__forget(&fs->exchange); /* log-in */
	} else {
		fs->protocol = APP_TCP;
	}
}

/* An interim answer is none; after an upgrade, and in a stream of events, turns mean nothing. */
static void on_answer(const struct worker *w, struct flow_state *fs,
		      const struct tl_exchange_packet *p)
{
	struct tl_cursor c = payload_of(p);
	size_t bytes = tl_cursor__left(&c) < HEAD_MAX ? tl_cursor__left(&c) : HEAD_MAX;
	const uint8_t *text = tl_cursor__take(&c, bytes);
	struct tl_exchange *e = &fs->exchange;

	if (fs->protocol != APP_HTTP || bytes < 12 || memcmp(text, "HTTP/1.", 7))
		return;
	if (!memcmp(text + 8, " 101", 4) ||
	    tl_word_list__is_in(&w->stream, text, head_bytes(text, bytes))) {
		fs->exempt = 1;
	} else if (!memcmp(text + 8, " 1", 2)) {
		e->phase = TL_EXCHANGE_REQUEST;
		e->turn.response_first_ns = e->turn.response_last_ns = 0;
		e->turn.response_bytes = 0;
	}
}

/* --- one packet ---------------------------------------------------------------------------------
 */

static bool is_judged(const struct tl_flow *flow)
{
	return !(flow->flags & TL_FLOW_MIDSTREAM) || flow->app == TL_APP_HTTP ||
	       flow->app == TL_APP_MYSQL || flow->app == TL_APP_POSTGRESQL;
}

static void on_close(struct step *s, const struct tl_exchange_packet *p)
{
	struct flow_state *fs = s->fs;

	/* A client that has said all may close its side and wait on (RFC 9293, section 3.6). */
	if (p->from_client && !(p->layers->tcp_flags & TL_TCP_RST) &&
	    fs->exchange.phase == TL_EXCHANGE_REQUEST &&
	    span(fs->exchange.turn.request_last_ns, p->packet->ts_ns) < SLOW_NS)
		return;
	fs->is_over = true;
	s->outcome = p->from_client			 ? APP_CLIENT_GAVE_UP
		     : p->layers->tcp_flags & TL_TCP_RST ? APP_SERVER_CUT
							 : APP_SERVER_CLOSED;
	s->end_ns = p->packet->ts_ns;
	s->end_frame = p->packet->frame;
	tl_exchange__settle(&fs->exchange);
	if (tl_exchange__is_open(&fs->exchange))
		ended(s, &fs->exchange);
	tl_exchange__forget(&fs->exchange);
}

static void on_tcp(struct step *s, const struct tl_exchange_packet *p)
{
	struct flow_state *fs = s->fs;

	switch (tl_exchange__packet(&fs->exchange, p, ended, s)) {
	case TL_EXCHANGE_BEGINS:
		on_request(s->w, fs, p);
		break;
	case TL_EXCHANGE_ANSWERS:
		on_answer(s->w, fs, p);
		break;
	default:
		break;
	}
	if (p->layers->tcp_flags & (TL_TCP_FIN | TL_TCP_RST))
		on_close(s, p);
	watch(s->w, fs, s->flow);
}

/* --- what the registry calls ---------------------------------------------------------------------
 */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	tl_word_list__init(&w->push, push_words);
	tl_word_list__init(&w->stream, stream_words);
	return app_waits__create(WAITS, &w->waits);
}

static void worker_fini(void *state)
{
	struct worker *w = state;

	app_waits__destroy(w->waits);
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
		struct tl_exchange_packet p = { &b->batch->packet[i], &b->batch->layers[i],
						&b->segment[i], lookup->ret_flow, false };
		struct step s = { .w = w, .flow = p.flow };

		w->now_ns = b->newest_ns[i];
		if (p.segment->verdict == TL_VERDICT_NOT_TRACKED)
			continue;
		s.fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
		p.from_client = lookup->ret_side == p.flow->client;
		if (!s.fs->exempt && !s.fs->is_over && is_judged(p.flow))
			on_tcp(&s, &p);
		if (s.fs->exempt || s.fs->is_over)
			tl_analyzer_batch__rest(b, i);
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	w->tick_ns = now_ns;
	app_waits__tick(w->waits, now_ns, look_at_wait, w);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;
	struct step s = { .w = state, .fs = fs, .flow = flow, .outcome = APP_CLIENT_GAVE_UP };

	end_wait(s.w, fs, flow);
	if (!tl_exchange__is_open(&fs->exchange) || end == TL_FLOW_END_EVICTED)
		return;
	tl_exchange__settle(&fs->exchange);
	s.end_ns = flow->last_ns;
	if (end == TL_FLOW_END_CAPTURE || end == TL_FLOW_END_IDLE) {
		s.outcome = APP_STILL_WAITING;
		s.end_ns = s.w->now_ns > s.w->tick_ns ? s.w->now_ns : s.w->tick_ns;
	}
	ended(&s, &fs->exchange);
}

struct judge {
	struct app_judge *app;
	struct latency_judge *latency;
};

static void judge_fini(void *state)
{
	struct judge *j = state;

	app_judge__destroy(j->app);
	latency_judge__destroy(j->latency);
}

static int judge_init(void *state, const struct tl_analyzer_judge *view)
{
	struct judge *j = state;
	int err = app_judge__create(view, &j->app);

	if (!err)
		err = latency_judge__create(view, &j->latency);
	if (err)
		judge_fini(j);
	return err;
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge *j = state;
	struct app_report report;
	bool is_slow;

	if (o->data_bytes != sizeof(report))
		return;
	memcpy(&report, o->data, sizeof(report));
	is_slow = app_judge__observe(j->app, &o->subject, &report);
	if (report.is_interim)
		return;
	latency_judge__observe(j->latency, &o->subject, &report, is_slow);
}

static void judge_tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;

	(void)totals;
	app_judge__tell(j->app, now_ns, false);
	latency_judge__tell(j->latency, now_ns, false);
}

static void judge_finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;

	(void)totals;
	app_judge__tell(j->app, now_ns, true);
	latency_judge__tell(j->latency, now_ns, true);
}

const struct tl_analyzer tl_analyzer_app = {
	.name = "app",
	.wants = TL_WANTS_TCP | TL_WANTS(ODD),
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
	.judge_tick = judge_tick,
	.judge_finish = judge_finish,
	.judge_fini = judge_fini,
};
