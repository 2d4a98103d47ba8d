/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dns.*: names that are not resolved, or late (RFC 1035, over UDP and TCP). This is the worker
 *half: it pairs queries with answers and reports what failed; the judge (core/dns_judge.c) decides.
 *
 *	pending queries, found by (client, server, id), in order of their newest try:
 *
 *	oldest ◄─► try ◄─► try ◄─► … ◄─► newest
 *	  │ 5.5 s: reported as unanswered, forgotten
 *
 *	over TCP, a pool: | stream, stream | length, first bytes of a message | for each direction
 *
 * Invariants: copies by the mirror never count; multicast DNS, LLMNR and NetBIOS names are left
 * alone; what is reported depends on packets and on deadlines in packet time. Everything has a cap:
 * pending queries, the pool, reports and lists of answers in a second; what is over is counted.
 */
#include <errno.h>
#include <string.h>

#include "core/dns.h"
#include "core/quote.h"
#include "core/reassembly.h"
#include "core/text.h"
#include "tapline/cursor.h"

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define PORT_DNS    53
#define PORT_NBNS   137
#define PORT_MDNS   5353
#define PORT_LLMNR  5355
#define TYPE_IXFR   251
#define TYPE_AXFR   252
#define STORE_BYTES 1048576u

#define PENDING	       8192u /* a power of two */
#define TCP_FLOWS      512u
#define MESSAGE_ROOM   512u /* of a message over TCP that is kept */
#define ICMP_LOOK_BACK 256u
#define REPORTS_EACH_S 2000u
#define LISTS_EACH_S   2000u
#define SECOND_NS      1000000000ull
#define REPEAT_NS      20000000ull
#define DNS_RD	       0x01 /* recursion desired, in the third byte */

enum flow_kind { UNKNOWN, IS_DNS, IS_NOT_DNS };

struct flow_state {
	uint32_t tcp; /* index + 1; 0: none */
	uint8_t kind;
};

struct pending {
	uint32_t prev, next; /* index + 1; in order of the newest try, or of the free list */
	uint32_t chain;	     /* of the bucket */
	struct tl_subject subject;
	struct dns_report report;
};

struct tcp_side {
	struct tl_stream stream;
	uint32_t have, need, skip; /* of the message: kept, to keep, and to leave out after */
	bool is_lost;
	uint8_t byte[MESSAGE_ROOM];
};

struct tcp_flow {
	uint32_t next_free; /* index + 1 */
	struct tcp_side side[2];
};

struct worker {
	struct tl_analyzer_worker out;
	struct tl_reassembly *reassembly;
	uint64_t now_ns, second;
	uint32_t reports, lists, withheld;
	uint32_t used, free, oldest, newest; /* of pending, index + 1 */
	uint32_t tcp_used, tcp_free;
	struct dns_answers answers;
	uint32_t bucket[PENDING];
	struct pending pending[PENDING];
	struct tcp_flow tcp[TCP_FLOWS];
};

/* One message on its way through. */
struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	struct dns_proof at;
	uint8_t side; /* that sent it */
	uint8_t flags;
};

uint32_t dns_host_hash(const struct tl_endpoint *endpoint, uint16_t port)
{
	uint64_t h = tl_text__hash(endpoint->ip_version, endpoint->ip, sizeof(endpoint->ip));

	return (uint32_t)tl_text__hash(h, &port, sizeof(port));
}

/* --- to the judge ----------------------------------------------------------------------------- */

static void new_second(struct worker *w)
{
	if (w->now_ns / SECOND_NS == w->second)
		return;
	w->second = w->now_ns / SECOND_NS;
	w->reports = 0;
	w->lists = 0;
}

static void report(struct worker *w, struct pending *p, enum dns_observation kind)
{
	struct tl_observation o = {
		.kind = (uint16_t)kind,
		.ts_ns = w->now_ns,
		.subject = p->subject,
		.data_bytes = sizeof(p->report),
	};

	new_second(w);
	if (w->reports++ >= REPORTS_EACH_S) {
		w->withheld++;
		return;
	}
	p->report.seen_ns = w->now_ns;
	memcpy(o.data, &p->report, sizeof(p->report));
	tl_analyzer_worker__emit(&w->out, &o);
}

static void tell_answers(struct worker *w)
{
	struct tl_observation o = { .kind = DNS_ANSWERS, .ts_ns = w->now_ns };

	if (!w->answers.count && !w->withheld)
		return;
	new_second(w);
	if (w->lists++ < LISTS_EACH_S) {
		w->answers.withheld = w->withheld;
		w->withheld = 0;
		o.data_bytes = sizeof(w->answers);
		memcpy(o.data, &w->answers, sizeof(w->answers));
		tl_analyzer_worker__emit(&w->out, &o);
	} else {
		w->withheld += w->answers.count;
	}
	w->answers.count = 0;
}

static void add_answer(const struct step *s, const struct tl_dns_message *m, bool is_matched)
{
	struct tl_subject subject = tl_subject__of_flow(s->flow, !s->side);
	struct dns_answer *a = &s->w->answers.answer[s->w->answers.count++];

	*a = (struct dns_answer){
		.ts_ns = s->at.ts_ns,
		.frame = s->at.frame,
		.name_hash = m->name_hash,
		.client = dns_host_hash(&subject.client, 0),
		.server = dns_host_hash(&subject.server, subject.server.port),
		.qtype = m->qtype,
		.server_ip_version = subject.server.ip_version,
	};
	if (is_matched)
		a->flags |= DNS_ANSWER_MATCHED;
	if (m->rcode == TL_DNS_NOERROR)
		a->flags |= DNS_ANSWER_NOERROR;
	if (m->rcode == TL_DNS_NOERROR && (m->answers || m->is_cut))
		a->flags |= DNS_ANSWER_RECORDS;
	if (s->w->answers.count == DNS_ANSWERS_MAX)
		tell_answers(s->w);
}

/* --- pending queries -------------------------------------------------------------------------- */

static uint32_t bucket_of(const struct tl_subject *s, uint16_t id)
{
	uint64_t h = tl_text__hash(id, s->client.ip, sizeof(s->client.ip));

	h = tl_text__hash(h ^ s->client.port, s->server.ip, sizeof(s->server.ip));
	return (uint32_t)tl_text__hash(h, &s->server.port, sizeof(s->server.port)) & (PENDING - 1);
}

static bool same_tuple(const struct tl_subject *a, const struct tl_subject *b)
{
	return a->proto == b->proto && a->client.port == b->client.port &&
	       a->server.port == b->server.port && tl_endpoint__same_host(&a->client, &b->client) &&
	       tl_endpoint__same_host(&a->server, &b->server);
}

/* A few servers leave the question out of an answer that is an error. */
static struct pending *find(struct worker *w, const struct tl_subject *s,
			    const struct tl_dns_message *m)
{
	uint32_t i = w->bucket[bucket_of(s, m->id)];

	for (; i; i = w->pending[i - 1].chain) {
		struct pending *p = &w->pending[i - 1];

		if (p->report.id != m->id || !same_tuple(&p->subject, s))
			continue;
		if (!m->has_question ||
		    (p->report.name_hash == m->name_hash && p->report.qtype == m->qtype))
			return p;
	}
	return NULL;
}

static void unlink_time(struct worker *w, struct pending *p)
{
	*(p->prev ? &w->pending[p->prev - 1].next : &w->oldest) = p->next;
	*(p->next ? &w->pending[p->next - 1].prev : &w->newest) = p->prev;
}

static void link_newest(struct worker *w, struct pending *p)
{
	uint32_t self = (uint32_t)(p - w->pending) + 1;

	p->prev = w->newest;
	p->next = 0;
	*(w->newest ? &w->pending[w->newest - 1].next : &w->oldest) = self;
	w->newest = self;
}

static void forget(struct worker *w, struct pending *p)
{
	uint32_t self = (uint32_t)(p - w->pending) + 1;
	uint32_t *at = &w->bucket[bucket_of(&p->subject, p->report.id)];

	while (*at != self)
		at = &w->pending[*at - 1].chain;
	*at = p->chain;
	unlink_time(w, p);
	p->next = w->free;
	w->free = self;
}

static struct pending *take(struct worker *w)
{
	uint32_t i;

	if (!w->free && w->used == PENDING) {
		w->withheld++;
		forget(w, &w->pending[w->oldest - 1]);
	}
	i = w->free;
	if (!i)
		return &w->pending[w->used++];
	w->free = w->pending[i - 1].next;
	return &w->pending[i - 1];
}

static void add_try(struct worker *w, struct pending *p, const struct step *s)
{
	struct dns_report *r = &p->report;
	uint32_t at = r->tries < DNS_PROOFS ? r->tries : DNS_PROOFS - 1;

	r->tries++;
	r->proof[at] = s->at;
	r->last_ns = s->at.ts_ns;
	r->flags |= s->flags;
	link_newest(w, p);
}

static void on_query(const struct step *s, const struct tl_dns_message *m)
{
	struct tl_subject subject = tl_subject__of_flow(s->flow, s->side);
	struct worker *w = s->w;
	struct pending *p = find(w, &subject, m);
	uint32_t bucket;

	/* Sooner nobody asks again: the mirror shows it twice, or the network brought it so. */
	if (p && s->at.ts_ns < p->report.last_ns + REPEAT_NS)
		return;
	if (p) {
		unlink_time(w, p);
		add_try(w, p, s);
		return;
	}
	p = take(w);
	bucket = bucket_of(&subject, m->id);
	*p = (struct pending){
		.subject = subject,
		.chain = w->bucket[bucket],
		.report = {
			.first_ns = s->at.ts_ns,
			.name_hash = m->name_hash,
			.id = m->id,
			.qtype = m->qtype,
			.flags = m->is_plain ? DNS_PLAIN_NAME : 0,
		},
	};
	memcpy(p->report.name, m->name, sizeof(p->report.name));
	w->bucket[bucket] = (uint32_t)(p - w->pending) + 1;
	add_try(w, p, s);
}

static void on_answer(const struct step *s, const struct tl_dns_message *m)
{
	struct tl_subject subject = tl_subject__of_flow(s->flow, !s->side);
	struct worker *w = s->w;
	struct pending *p = find(w, &subject, m);
	struct tl_dns_message asked = *m;
	bool is_fine;

	if (p && !m->has_question) {
		asked.name_hash = p->report.name_hash;
		asked.qtype = p->report.qtype;
	}
	add_answer(s, &asked, p != NULL);
	if (!p)
		return;
	p->report.end = s->at;
	p->report.rcode = m->rcode;
	p->report.flags |= s->flags;
	is_fine = m->rcode == TL_DNS_NOERROR && s->at.ts_ns < p->report.first_ns + DNS_LATE_NS;
	if (!is_fine)
		report(w, p, DNS_ANSWERED);
	forget(w, p);
}

static void on_icmp(struct worker *w, const struct tl_packet *packet,
		    const struct tl_layers *layers)
{
	struct tl_udp_quote quote;
	uint32_t i = w->newest;

	if (!layers->src || !w->newest || !tl_udp_quote__of(packet, layers, &quote))
		return;
	for (uint32_t n = 0; i && n < ICMP_LOOK_BACK; n++) {
		struct pending *p = &w->pending[i - 1];
		const struct tl_subject asked = { .client = quote.src,
						  .server = quote.dst,
						  .proto = PROTO_UDP };

		i = p->prev;
		if (!same_tuple(&p->subject, &asked))
			continue;
		p->report.end = (struct dns_proof){ packet->frame, packet->ts_ns };
		p->report.icmp_code = quote.code;
		p->report.reporter.ip_version = layers->ip_version;
		memcpy(p->report.reporter.ip, layers->src, layers->ip_version == 6 ? 16 : 4);
		report(w, p, DNS_UNREACHABLE);
		forget(w, p);
	}
}

/* --- messages --------------------------------------------------------------------------------- */

static void on_message(const struct step *s, const struct tl_dns_message *m)
{
	if (m->opcode || m->qtype == TYPE_AXFR || m->qtype == TYPE_IXFR)
		return;
	if (m->is_response)
		on_answer(s, m);
	else if (m->questions == 1)
		on_query(s, m);
}

static bool is_other_protocol(const struct tl_layers *l)
{
	const uint16_t port[] = { l->src_port, l->dst_port };

	for (unsigned i = 0; i < 2; i++)
		if (port[i] == PORT_LLMNR || port[i] == PORT_NBNS)
			return true;
	/* Between hosts, and of mDNS' port on one side alone: a resolver may be there. */
	if (port[0] == PORT_MDNS && port[1] == PORT_MDNS)
		return true;
	return l->ip_version == 6 ? l->dst[0] == 0xff : l->dst[0] >= 224;
}

static bool has_dns_port(const struct tl_layers *l)
{
	return l->src_port == PORT_DNS || l->dst_port == PORT_DNS;
}

static void on_udp(struct step *s, const struct tl_packet *packet, const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	struct tl_dns_message m;
	size_t bytes = l->payload_caplen < l->payload_bytes ? l->payload_caplen : l->payload_bytes;
	const uint8_t *data;

	if (s->fs->kind == IS_NOT_DNS || is_other_protocol(l))
		return;
	tl_cursor__skip(&c, l->payload_offset);
	data = tl_cursor__take(&c, bytes);
	if (!data || tl_dns_message__parse(data, bytes, &m)) {
		if (!has_dns_port(l))
			s->fs->kind = IS_NOT_DNS;
		return;
	}
	/* mDNS wants no recursion (RFC 6762, 18.6). */
	if ((l->src_port == PORT_MDNS || l->dst_port == PORT_MDNS) && !(data[2] & DNS_RD))
		return;
	if (!has_dns_port(l)) {
		if (s->fs->kind != IS_DNS && !tl_dns_message__is_likely(&m)) {
			s->fs->kind = IS_NOT_DNS;
			return;
		}
		s->flags |= DNS_BY_CONTENT;
	}
	s->fs->kind = IS_DNS;
	if (l->flags & TL_LAYERS_FRAGMENT)
		s->flags |= DNS_ODD_FRAMES;
	on_message(s, &m);
}

static struct tcp_flow *tcp_take(struct worker *w, struct flow_state *fs)
{
	struct tcp_flow *t;

	if (w->tcp_free) {
		fs->tcp = w->tcp_free;
		w->tcp_free = w->tcp[fs->tcp - 1].next_free;
	} else if (w->tcp_used < TCP_FLOWS) {
		fs->tcp = ++w->tcp_used;
	} else {
		w->withheld++;
		return NULL;
	}
	t = &w->tcp[fs->tcp - 1];
	*t = (struct tcp_flow){ 0 };
	return t;
}

/* What the sink of a stream needs to know. */
struct tcp_step {
	struct step step;
	struct tcp_side *side;
};

static void on_tcp_message(struct tcp_step *t, const struct tl_chunk *chunk)
{
	struct tl_dns_message m;

	t->step.at = (struct dns_proof){ chunk->frame, chunk->ts_ns };
	if (tl_dns_message__parse(t->side->byte + 2, t->side->have - 2, &m)) {
		t->side->is_lost = true;
		return;
	}
	t->step.flags |= DNS_ODD_FRAMES;
	on_message(&t->step, &m);
}

static void on_chunk(void *ctx, const struct tl_chunk *chunk)
{
	struct tcp_step *t = ctx;
	struct tcp_side *side = t->side;
	struct tl_cursor c = tl_cursor__init(chunk->data, chunk->bytes);

	if (chunk->hole_bytes)
		side->is_lost = true;
	while (!side->is_lost && tl_cursor__left(&c)) {
		size_t left = tl_cursor__left(&c);
		size_t part = side->skip ? side->skip : (side->need ? side->need : 2) - side->have;
		const uint8_t *p = tl_cursor__take(&c, part < left ? part : left);

		part = part < left ? part : left;
		if (side->skip) {
			side->skip -= (uint32_t)part;
			continue;
		}
		memcpy(side->byte + side->have, p, part);
		side->have += (uint32_t)part;
		if (side->have == 2 && !side->need) {
			uint32_t length = (uint32_t)side->byte[0] << 8 | side->byte[1];

			side->is_lost = length < TL_DNS_HEADER;
			side->need = length + 2 < MESSAGE_ROOM ? length + 2 : MESSAGE_ROOM;
			side->skip = 0;
		} else if (side->have == side->need && side->need) {
			on_tcp_message(t, chunk);
			side->skip =
				((uint32_t)side->byte[0] << 8 | side->byte[1]) + 2 - side->need;
			side->have = side->need = 0;
		}
	}
	if (chunk->cut_bytes)
		side->is_lost = true;
}

static bool starts_dns(const struct tl_packet *packet, const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	struct tl_dns_message m;
	uint16_t length;

	tl_cursor__skip(&c, l->payload_offset);
	tl_cursor__limit(&c, l->payload_caplen);
	length = tl_cursor__be16(&c);
	return !c.failed && length == tl_cursor__left(&c) &&
	       !tl_dns_message__parse(c.at, length, &m) && tl_dns_message__is_likely(&m) &&
	       !m.is_response;
}

static void on_tcp(struct step *s, const struct tl_stream_packet *packet)
{
	const struct tl_layers *l = packet->layers;
	struct tcp_flow *t = s->fs->tcp ? &s->w->tcp[s->fs->tcp - 1] : NULL;
	struct tcp_step ts = { .step = *s };

	if (!t && (!l->payload_bytes || s->fs->kind == IS_NOT_DNS))
		return;
	if (!has_dns_port(l)) {
		if (!t && !starts_dns(packet->packet, l)) {
			s->fs->kind = IS_NOT_DNS;
			return;
		}
		ts.step.flags |= DNS_BY_CONTENT;
	}
	if (!t)
		t = tcp_take(s->w, s->fs);
	if (!t) {
		s->fs->kind = IS_NOT_DNS;
		return;
	}
	s->fs->kind = IS_DNS;
	ts.side = &t->side[s->side];
	tl_reassembly__push(s->w->reassembly, &ts.side->stream, packet,
			    &(struct tl_chunk_sink){ on_chunk, &ts });
}

/* --- what the registry calls ------------------------------------------------------------------ */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return tl_reassembly__create(STORE_BYTES, &w->reassembly);
}

static void worker_fini(void *state)
{
	struct worker *w = state;

	tl_reassembly__destroy(w->reassembly);
}

/* A tick may have been ahead of it. */
static void note_time(struct worker *w, uint64_t now_ns)
{
	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_packet *packet = &b->batch->packet[i];
		const struct tl_layers *l = &b->batch->layers[i];
		struct step s = {
			.w = w,
			.fs = tl_analyzer_batch__flow_state(b, i, flow_offset),
			.flow = b->batch->lookup[i].ret_flow,
			.at = { packet->frame, packet->ts_ns },
			.side = b->batch->lookup[i].ret_side,
		};

		note_time(w, b->newest_ns[i]);
		if (l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6)
			on_icmp(w, packet, l);
		else if (!s.flow || !l->l4_offset || l->flags & TL_LAYERS_FRAGMENT_LATER)
			continue;
		else if (l->proto == PROTO_UDP)
			on_udp(&s, packet, l);
		else if (l->proto == PROTO_TCP)
			on_tcp(&s, &(struct tl_stream_packet){ packet, l, &b->segment[i] });
		if (l->proto == PROTO_TCP && s.fs->kind == IS_NOT_DNS && !s.fs->tcp)
			tl_analyzer_batch__rest(b, i);
	}
	note_time(w, tl_analyzer_batch__newest_ns(b));
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (now_ns > w->now_ns)
		w->now_ns = now_ns;
	while (w->oldest) {
		struct pending *p = &w->pending[w->oldest - 1];

		if (p->report.last_ns + DNS_EXPIRY_NS > now_ns)
			break;
		report(w, p, DNS_UNANSWERED);
		forget(w, p);
	}
	tell_answers(w);
}

static void no_chunk(void *ctx, const struct tl_chunk *chunk)
{
	(void)ctx;
	(void)chunk;
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct worker *w = state;
	struct flow_state *fs = flow_state;
	struct tcp_flow *t = fs->tcp ? &w->tcp[fs->tcp - 1] : NULL;

	(void)flow;
	(void)end;
	if (!t)
		return;
	/* What is kept there lies behind a hole, where the framing is lost. */
	for (unsigned side = 0; side < 2; side++)
		tl_reassembly__close(w->reassembly, &t->side[side].stream,
				     &(struct tl_chunk_sink){ no_chunk, NULL });
	t->next_free = w->tcp_free;
	w->tcp_free = fs->tcp;
	fs->tcp = 0;
}

static void finish(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	(void)now_ns;
	while (w->oldest) {
		struct pending *p = &w->pending[w->oldest - 1];

		p->report.flags |= DNS_BY_CAPTURE;
		report(w, p, DNS_UNANSWERED);
		forget(w, p);
	}
	tell_answers(w);
}

const struct tl_analyzer tl_analyzer_dns = {
	.name = "dns",
	.wants = TL_WANTS(UDP) | TL_WANTS(ICMP) | TL_WANTS(DATA) | TL_WANTS(TURN) | TL_WANTS(ODD),
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.worker_fini = worker_fini,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.finish = finish,
	.judge_bytes = sizeof(struct dns_judge *),
	.judge_init = dns_judge__init,
	.observe = dns_judge__observe,
	.judge_tick = dns_judge__tick,
	.judge_finish = dns_judge__finish,
	.judge_fini = dns_judge__fini,
};
