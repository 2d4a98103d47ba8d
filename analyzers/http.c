/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http.*: bodies that are shorter or longer than their Content-Length, and responses that are
 * errors (RFC 9110, RFC 9112), on any port, known by content. This is the worker half; the judge
 * (core/http_judge.c) groups.
 *
 *	flow's bytes          connections: a pool
 *	+-----------+         +------------------------------------------------------+
 *	| kind, no. |────────►| stream, parser ×2 │ requests without a response (≤8) │
 *	+-----------+         +------------------------------------------------------+
 *
 * Invariants: a body is judged only when all of its message was seen, from its head to its end:
 * no hole, no message missed before it on this connection. Copies by the mirror never count. What
 *is reported depends on packets and deadlines in packet time. Everything has a cap: the pool, the
 * requests of a connection, the table of servers, reports in a second; what is over is counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/http.h"
#include "core/text.h"
#include "tapline/cursor.h"
#include "tapline/fetch.h"

#define PROTO_TCP 6

#define CONNECTIONS    4096u
#define REQUESTS       8u
#define GUESSES	       16u   /* payloads of a flow that are looked at for a message's beginning */
#define SERVERS	       1024u /* a power of two */
#define REPORTS_EACH_S 2000u
#define SECOND_NS      1000000000ull
#define SILENCE_NS     10000000000ull /* of a connection with a body that is not complete */

enum flow_kind { IS_HTTP = 0xfe, IS_NOT_HTTP = 0xff }; /* below: payloads looked at */

struct flow_state {
	uint32_t connection; /* index + 1; 0: none */
	uint8_t kind;
};

struct request {
	struct http_proof at;
	bool expects_continue;
	char method[TL_HTTP_METHOD];
	char uri[TL_HTTP_URI];
};

struct side {
	struct tl_stream stream;
	struct tl_http_parser parser;
	bool is_told;	  /* of its message that is not complete */
	uint8_t end_kind; /* of this direction: its FIN, or a RST of either side; 0: not ended */
	uint8_t ended_by; /* side */
	struct http_proof end;
};

struct connection {
	uint32_t next_free; /* index + 1 */
	uint8_t client;	    /* side */
	bool is_unsure;	    /* which response belongs to which request is not known */
	bool is_late;	    /* payloads passed before it was known to be HTTP */
	uint64_t number;
	struct side side[2];
	struct request request[REQUESTS]; /* a ring of those without a response */
	struct request last;		  /* that the newest response belongs to */
	uint32_t request_at, requests;
	/* The final response to a request whose body is not complete. */
	uint16_t early_status;
	uint16_t last_status; /* of the newest response */
	struct http_proof early, last_response;
};

struct server {
	struct tl_endpoint endpoint;
	uint32_t fine;
};

struct worker {
	struct tl_analyzer_worker out;
	struct tl_reassembly *reassembly;
	uint64_t now_ns, second, told_second;
	uint32_t reports, withheld, dirty_servers;
	uint32_t used, free;
	struct server server[SERVERS];
	struct connection *connection; /* [CONNECTIONS] */
};

/* What callbacks of the parser need to know. */
struct step {
	struct worker *w;
	struct connection *c;
	const struct tl_flow *flow;
	uint8_t side; /* whose bytes come */
};

static bool is_client(const struct step *s)
{
	return s->side == s->c->client;
}

/* --- to the judge ----------------------------------------------------------------------------- */

static void emit(struct worker *w, struct tl_observation *o, enum http_observation kind)
{
	o->kind = (uint16_t)kind;
	o->ts_ns = w->now_ns;
	tl_analyzer_worker__emit(&w->out, o);
}

static void report(const struct step *s, enum http_observation kind, struct http_report *r)
{
	struct worker *w = s->w;
	struct tl_observation o = {
		.subject = tl_subject__of_flow(s->flow, s->c->client),
		.data_bytes = sizeof(*r),
	};

	if (w->now_ns / SECOND_NS != w->second) {
		w->second = w->now_ns / SECOND_NS;
		w->reports = 0;
	}
	if (w->reports++ >= REPORTS_EACH_S) {
		w->withheld++;
		return;
	}
	r->flow = s->c->number;
	memcpy(o.data, r, sizeof(*r));
	emit(w, &o, kind);
}

static void tell_servers(struct worker *w)
{
	struct tl_observation o = { .data_bytes = sizeof(struct http_fine) };
	struct http_fine list = { .withheld = w->withheld };
	bool is_due = w->withheld || w->dirty_servers;

	w->withheld = 0;
	for (uint32_t i = 0; i < SERVERS && is_due; i++) {
		struct server *server = &w->server[i];

		if (server->fine) {
			list.server[list.count].server = server->endpoint;
			list.server[list.count++].responses = server->fine;
			server->fine = 0;
			w->dirty_servers--;
		}
		is_due = w->dirty_servers;
		if (list.count == HTTP_FINE_MAX || !is_due) {
			memcpy(o.data, &list, sizeof(list));
			emit(w, &o, HTTP_FINE);
			list.count = 0;
			list.withheld = 0;
		}
	}
}

static void count_fine(const struct step *s)
{
	struct tl_endpoint e = tl_subject__of_flow(s->flow, s->c->client).server;
	uint64_t hash = tl_text__hash(e.port, e.ip, sizeof(e.ip));
	struct server *server = &s->w->server[hash & (SERVERS - 1)];

	if (server->endpoint.port != e.port || !tl_endpoint__same_host(&server->endpoint, &e)) {
		/* Two servers in one place: what the other did well is forgotten. It only ever
		 * softens a finding. */
		s->w->dirty_servers -= server->fine > 0;
		*server = (struct server){ .endpoint = e };
	}
	if (!server->fine++)
		s->w->dirty_servers++;
}

static void of_request(struct http_report *r, const struct request *q)
{
	r->request = q->at;
	r->expects_continue = q->expects_continue;
	memcpy(r->method, q->method, sizeof(r->method));
	memcpy(r->uri, q->uri, sizeof(r->uri));
}

/* --- requests and responses ------------------------------------------------------------------- */

static struct request *oldest_request(struct connection *c)
{
	return c->requests ? &c->request[c->request_at % REQUESTS] : NULL;
}

static struct request *newest_request(struct connection *c)
{
	return c->requests ? &c->request[(c->request_at + c->requests - 1) % REQUESTS] : NULL;
}

static void on_request(struct step *s, const struct tl_http_parser *p)
{
	struct connection *c = s->c;
	struct request *q;

	if (c->requests == REQUESTS) {
		c->is_unsure = true;
		c->request_at++;
		c->requests--;
	}
	c->requests++;
	q = newest_request(c);
	*q = (struct request){
		.at = { p->head.frame, p->head.ts_ns },
		.expects_continue = p->head.expects_continue,
	};
	memcpy(q->method, p->head.method, sizeof(q->method));
	memcpy(q->uri, p->head.uri, sizeof(q->uri));
	c->early_status = 0;
	c->side[s->side].is_told = false;
}

static bool is_body_open(const struct side *side)
{
	return side->parser.state == TL_HTTP_BODY;
}

static void on_status(struct step *s, const struct tl_http_parser *p, const struct request *q)
{
	struct http_report r = {
		.status = p->head.status,
		.is_response = 1,
		.response = { p->head.frame, p->head.ts_ns },
	};
	const struct tl_http_parser *request = &s->c->side[s->c->client].parser;

	if (p->head.status < 400) {
		count_fine(s);
		return;
	}
	/* Without a request, it is how a server says farewell to an idle client (408). */
	if (!q)
		return;
	of_request(&r, q);
	r.declared = q == newest_request(s->c) ? request->head.length : 0;
	report(s, HTTP_STATUS, &r);
}

static enum tl_http_body on_response(struct step *s, const struct tl_http_parser *p)
{
	struct connection *c = s->c;
	struct request *q = oldest_request(c);
	uint16_t status = p->head.status;
	enum tl_http_body body = TL_HTTP_AS_SAID;

	c->side[s->side].is_told = false;
	c->last_response = (struct http_proof){ p->head.frame, p->head.ts_ns };
	c->last_status = status;
	if (status == 101 || (q && !strcmp(q->method, "CONNECT") && status / 100 == 2)) {
		tl_http_parser__stop(&c->side[c->client].parser);
		return TL_HTTP_TUNNEL;
	}
	if (status < 200)
		return TL_HTTP_NO_BODY;
	on_status(s, p, q);
	if (!q) {
		c->is_unsure = true; /* was it HEAD? */
		c->last = (struct request){ 0 };
	} else {
		if (c->requests == 1 && is_body_open(&c->side[c->client])) {
			c->early_status = status;
			c->early = c->last_response;
		}
		c->last = *q;
		c->request_at++;
		c->requests--;
	}
	if (!strcmp(c->last.method, "HEAD") || status == 204 || status == 304)
		body = TL_HTTP_NO_BODY;
	return body;
}

static enum tl_http_body on_head(void *ctx, const struct tl_http_parser *p)
{
	struct step *s = ctx;

	if (!is_client(s))
		return on_response(s, p);
	on_request(s, p);
	return TL_HTTP_AS_SAID;
}

static void on_end(void *ctx, const struct tl_http_parser *p)
{
	struct step *s = ctx;

	(void)p;
	if (is_client(s))
		s->c->early_status = 0;
}

/* --- bodies -------------------------------------------------------------------------------------
 */

static bool is_judged(const struct connection *c, uint8_t side)
{
	const struct tl_http_parser *p = &c->side[side].parser;

	return !p->is_unsure && !p->has_hole && !(c->is_unsure && side != c->client);
}

static void on_excess(void *ctx, const struct tl_http_parser *p)
{
	struct step *s = ctx;
	struct connection *c = s->c;
	struct http_report r = {
		.is_response = !is_client(s),
		.declared = p->head.length,
		.body = { p->excess_frame, p->excess_ns },
		.status = c->last_status,
		.response = c->last_response,
	};

	/* A request to upgrade may be followed by what it is upgraded to. */
	if (!is_judged(c, s->side) || p->head.is_chunked || p->head.has_upgrade)
		return;
	r.observed = r.declared + p->excess_bytes;
	of_request(&r, &c->last);
	if (is_client(s)) { /* whatever was answered since */
		r.request = (struct http_proof){ p->head.frame, p->head.ts_ns };
		memcpy(r.method, p->head.method, sizeof(r.method));
		memcpy(r.uri, p->head.uri, sizeof(r.uri));
	}
	report(s, HTTP_EXCESS, &r);
}

/*
 * The client closed while the body was coming, and the server followed. One that only closes its
 * half (RFC 9110 has no use for it, some tools do so) does it behind its request.
 */
static bool client_gave_up(const struct connection *c)
{
	const struct side *client = &c->side[c->client], *server = &c->side[!c->client];

	return client->end_kind && client->ended_by == c->client &&
	       server->end_kind == HTTP_END_FIN && client->end.ts_ns > c->last_response.ts_ns &&
	       client->end.ts_ns < server->end.ts_ns;
}

static void judge_short(struct step *s, uint8_t side, enum http_end end)
{
	struct connection *c = s->c;
	const struct tl_http_parser *p = &c->side[side].parser;
	bool is_request = side == c->client;
	struct http_report r = {
		.is_response = !is_request,
		.declared = p->head.length,
		.observed = p->body_bytes,
		.end = end == HTTP_END_SILENCE ? (struct http_proof){ 0 } : c->side[side].end,
		.end_kind = (uint8_t)end,
		.is_ended_by_client =
			end != HTTP_END_SILENCE && c->side[side].ended_by == c->client,
		.body = { p->last_frame, p->last_ns },
	};

	if (!is_body_open(&c->side[side]) || c->side[side].is_told || !is_judged(c, side) ||
	    c->side[side].stream.head)
		return;
	if (is_request) {
		r.status = c->early_status;
		r.response = c->early;
		/* The response took the request from the ring. */
		of_request(&r, c->early_status || !c->requests ? &c->last : newest_request(c));
		/* It waits to be told to go on, or was told not to. */
		if (r.expects_continue && !r.observed && r.status != 413)
			return;
	} else {
		r.status = c->last_status;
		r.response = c->last_response;
		of_request(&r, &c->last);
		if (end == HTTP_END_FIN && client_gave_up(c)) {
			r.is_ended_by_client = true;
			r.end = c->side[c->client].end;
		}
	}
	c->side[side].is_told = true;
	report(s, HTTP_SHORT, &r);
}

/* A direction ends once: by its own FIN, or by a RST of either side. */
static void end_side(struct connection *c, uint8_t side, uint8_t by,
		     const struct tl_stream_packet *packet)
{
	struct side *ended = &c->side[side];

	if (ended->end_kind)
		return;
	ended->end_kind = packet->layers->tcp_flags & TL_TCP_RST ? HTTP_END_RST : HTTP_END_FIN;
	ended->ended_by = by;
	ended->end = (struct http_proof){ packet->packet->frame, packet->packet->ts_ns };
}

static void on_stream_end(struct step *s, const struct tl_stream_packet *packet)
{
	struct connection *c = s->c;
	struct side *own = &c->side[s->side];
	bool is_rst = packet->layers->tcp_flags & TL_TCP_RST;

	if (is_rst && packet->segment->rst_fit == TL_RST_OUTSIDE)
		return;
	/* Bytes that the capture did not see: then what was read says nothing. */
	if (own->stream.begun && !tl_stream__is_at_end_of(&own->stream, packet))
		own->parser.has_hole = true;
	end_side(c, s->side, s->side, packet);
	judge_short(s, s->side, own->end_kind);
	if (!is_rst)
		return;
	end_side(c, !s->side, s->side, packet);
	judge_short(s, !s->side, c->side[!s->side].end_kind);
}

/* The flow is over, whichever way. */
static void conclude(struct step *s, enum tl_flow_end end)
{
	struct connection *c = s->c;
	struct side *server = &c->side[!c->client];
	bool is_silent = end == TL_FLOW_END_IDLE || (end == TL_FLOW_END_CAPTURE &&
						     s->w->now_ns >= s->flow->last_ns + SILENCE_NS);

	/*
	 * Nothing at all of one side, or no ACK behind the last bytes, nor are they sent again:
	 * what is shown is a selection, perhaps of heads alone, or of the first packets of each
	 * flow.
	 */
	is_silent = is_silent && s->flow->packets[0] && s->flow->packets[1];
	for (uint8_t side = 0; side < 2; side++) {
		struct side *own = &c->side[side];

		s->side = side;
		/* The server left: no more of the request will be read. */
		if (side == c->client && !own->end_kind && server->end_kind) {
			own->end_kind = server->end_kind;
			own->ended_by = !c->client;
			own->end = server->end;
		}
		if (own->end_kind)
			judge_short(s, side, own->end_kind);
		else if (is_silent && s->flow->last_ns > own->parser.last_ns)
			judge_short(s, side, HTTP_END_SILENCE);
		if (own->parser.state == TL_HTTP_EXCESS)
			on_excess(s, &own->parser);
	}
}

/* --- packets ---------------------------------------------------------------------------------- */

static void on_chunk(void *ctx, const struct tl_chunk *chunk)
{
	struct step *s = ctx;
	const struct tl_http_events events = { on_head, on_end, on_excess, s };
	struct tl_http_parser *p = &s->c->side[s->side].parser;

	/* A client that was told not to send its body goes on with its next request. */
	if (is_client(s) && s->c->early_status && p->state == TL_HTTP_BODY && !p->body_bytes &&
	    p->head.expects_continue && tl_http__is_request(chunk->data, chunk->bytes)) {
		judge_short(s, s->side, HTTP_END_SILENCE);
		tl_http_parser__abandon(p);
	}
	tl_http_parser__feed(p, chunk, &events);
}

static struct connection *take(struct worker *w, struct flow_state *fs)
{
	if (w->free) {
		fs->connection = w->free;
		w->free = w->connection[fs->connection - 1].next_free;
	} else if (w->used < CONNECTIONS) {
		fs->connection = ++w->used;
	} else {
		w->withheld++;
		return NULL;
	}
	memset(&w->connection[fs->connection - 1], 0, sizeof(struct connection));
	return &w->connection[fs->connection - 1];
}

static struct connection *recognise(const struct step *s, struct flow_state *fs,
				    const struct tl_stream_packet *packet)
{
	const struct tl_layers *l = packet->layers;
	struct tl_cursor at = tl_cursor__init(packet->packet->data, packet->packet->caplen);
	struct connection *c;
	bool is_response;
	uint8_t guesses = fs->kind;

	if (!l->payload_bytes || fs->kind == IS_NOT_HTTP)
		return NULL;
	tl_cursor__skip(&at, l->payload_offset);
	tl_cursor__limit(&at, l->payload_bytes);
	is_response = tl_http__is_response(at.at, tl_cursor__left(&at));
	if (!is_response && !tl_http__is_request(at.at, tl_cursor__left(&at))) {
		fs->kind = fs->kind < GUESSES ? (uint8_t)(fs->kind + 1) : IS_NOT_HTTP;
		return NULL;
	}
	c = take(s->w, fs);
	fs->kind = c ? IS_HTTP : IS_NOT_HTTP;
	if (!c)
		return NULL;
	c->client = is_response ? !s->side : s->side;
	c->is_late = guesses > 0;
	c->number = tl_text__hash(s->flow->first_ns, &s->flow->key, sizeof(s->flow->key));
	tl_http_parser__init(&c->side[c->client].parser, false);
	tl_http_parser__init(&c->side[!c->client].parser, true);
	return c;
}

static void on_tcp(struct step *s, struct flow_state *fs, const struct tl_stream_packet *packet)
{
	struct side *own;

	s->c = fs->connection ? &s->w->connection[fs->connection - 1] : recognise(s, fs, packet);
	if (!s->c)
		return;
	own = &s->c->side[s->side];
	/* What came before on this connection was looked at in vain, and is no hole. */
	if (s->c->is_late && !own->stream.begun && packet->layers->payload_bytes &&
	    packet->segment->verdict != TL_VERDICT_KEEPALIVE)
		tl_stream__begin_at(&own->stream, packet);
	tl_reassembly__push(s->w->reassembly, &own->stream, packet,
			    &(struct tl_chunk_sink){ on_chunk, s });
	if (packet->layers->tcp_flags & (TL_TCP_FIN | TL_TCP_RST))
		on_stream_end(s, packet);
}

/* --- what the registry calls ------------------------------------------------------------------ */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	w->connection = calloc(CONNECTIONS, sizeof(*w->connection));
	return w->connection ? tl_reassembly__create(0, &w->reassembly) : -ENOMEM;
}

static void worker_fini(void *state)
{
	struct worker *w = state;

	tl_reassembly__destroy(w->reassembly);
	free(w->connection);
}

/* Thousands of connections are in no near cache: all of the batch's are asked for at once. */
static void fetch_connections(const struct worker *w, const struct tl_analyzer_batch *b,
			      size_t flow_offset)
{
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
		const struct connection *c;

		if (!fs->connection)
			continue;
		c = &w->connection[fs->connection - 1];
		tl_fetch(c);
		tl_fetch(&c->side[b->batch->lookup[i].ret_side].stream);
		tl_fetch(&c->side[b->batch->lookup[i].ret_side].parser.last_ns);
	}
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;
	uint64_t left = b->wanted;

	fetch_connections(w, b, flow_offset);
	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_packet *packet = &b->batch->packet[i];
		const struct tl_layers *l = &b->batch->layers[i];
		struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
		struct step s = {
			.w = w,
			.flow = b->batch->lookup[i].ret_flow,
			.side = b->batch->lookup[i].ret_side,
		};

		w->now_ns = b->newest_ns[i];
		if (fs->kind != IS_NOT_HTTP)
			on_tcp(&s, fs, &(struct tl_stream_packet){ packet, l, &b->segment[i] });
		if (fs->kind == IS_NOT_HTTP)
			tl_analyzer_batch__rest(b, i);
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (tl_ticks__second_ended(&w->told_second, now_ns) && (w->dirty_servers || w->withheld))
		tell_servers(w);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct worker *w = state;
	struct flow_state *fs = flow_state;
	struct step s = { .w = w, .flow = flow };

	if (!fs->connection)
		return;
	s.c = &w->connection[fs->connection - 1];
	for (s.side = 0; s.side < 2; s.side++)
		tl_reassembly__close(w->reassembly, &s.c->side[s.side].stream,
				     &(struct tl_chunk_sink){ on_chunk, &s });
	conclude(&s, end);
	s.c->next_free = w->free;
	w->free = fs->connection;
	fs->connection = 0;
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	tell_servers(state);
}

const struct tl_analyzer tl_analyzer_http = {
	.name = "http",
	.wants = TL_WANTS(DATA) | TL_WANTS(TURN) | TL_WANTS(ODD),
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.finish = finish,
	.judge_bytes = sizeof(struct http_judge *),
	.judge_init = http_judge__init,
	.observe = http_judge__observe,
	.judge_tick = http_judge__tick,
	.judge_finish = http_judge__finish,
	.judge_fini = http_judge__fini,
};
