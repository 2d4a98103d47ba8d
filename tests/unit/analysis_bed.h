/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drives tl_analysis as the engine does, without the engine: a small flow table, ticks on the grid
 * of packet time, observations handed on in order.
 *
 *	struct bed *b = bed__start(false);
 *
 *	bed__tcp(b, &(struct bed_tcp){ .ms = 0, .src = "10.0.1.5", .src_port = 40112, … });
 *	bed__end(b);
 *	… b->finding[0 .. b->finding_count - 1] …
 *	bed__free(b);
 *
 * Packets have no more bytes than they need: layers are filled in by hand.
 */
#ifndef TAPLINE_TESTS_ANALYSIS_BED_H
#define TAPLINE_TESTS_ANALYSIS_BED_H

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/analyzer.h"
#include "tapline/ticks.h"
#include "unit/packet_builder.h"

#define BED_FLOWS     8192u
#define BED_FINDINGS  512u
#define BED_BUCKETS   4096u
#define BED_START_NS  1795341600000000000ull /* 2026-11-22T10:00:00Z */
#define BED_HALF_OPEN 130000000000ull
#define BED_IDLE      300000000000ull
#define BED_CLOSED    10000000000ull
#define BED_MS	      1000000ull
#define BED_PAYLOAD   1460u

struct bed {
	void *worker, *judge;
	struct tl_run_totals totals;
	struct tl_flow flow[BED_FLOWS];
	bool flow_used[BED_FLOWS];
	uint32_t chain[BED_FLOWS], bucket[BED_BUCKETS]; /* index + 1 */
	unsigned char *slab;
	size_t stride;
	struct tl_ticks ticks, judge_ticks;
	uint64_t now_ns, frame, observations;
	uint16_t ip_id;
	struct tl_finding finding[BED_FINDINGS]; /* settled */
	uint32_t finding_count;
	struct tl_finding open; /* the last open notice */
	uint32_t open_count;
	uint32_t withdrawn_count;
	enum tl_severity open_worst; /* of all that were told live */
	uint32_t quality_count;
	uint32_t settled_at_quality; /* findings settled when the quality record came */
	struct tl_capture_quality quality;
};

struct bed_tcp {
	uint64_t ms;
	const char *src, *dst;
	uint16_t src_port, dst_port;
	uint8_t flags;
	uint32_t seq, ack;
	uint32_t payload_bytes;
	const void *payload; /* that many bytes, at most BED_PAYLOAD; NULL: zeros */
	bool is_shut;	     /* advertises a window of 0 */
	bool is_copy;	     /* the packet before, once more: same IP ID */
	uint32_t tsval;	     /* 0: no timestamps */
};

static void bed__hear(void *ctx, const struct tl_finding *f, enum tl_finding_state state)
{
	struct bed *b = ctx;

	if (state == TL_FINDING_OPEN) {
		b->open = *f;
		b->open_count++;
		if (f->severity > b->open_worst)
			b->open_worst = f->severity;
	} else if (state == TL_FINDING_WITHDRAWN) {
		b->withdrawn_count++;
	} else if (b->finding_count < BED_FINDINGS) {
		b->finding[b->finding_count++] = *f;
	} else {
		abort();
	}
}

static void bed__hear_quality(void *ctx, const struct tl_capture_quality *quality)
{
	struct bed *b = ctx;

	b->quality = *quality;
	b->quality_count++;
	b->settled_at_quality = b->finding_count;
}

static inline void bed__judge_to(struct bed *b, uint64_t now_ns, bool is_observation)
{
	uint64_t tick_ns;

	if (!b->judge_ticks.now_ns && is_observation)
		tl_ticks__begin(&b->judge_ticks, tl_ticks__before(now_ns) - TL_TICK_NS);
	while (tl_ticks__next(&b->judge_ticks, now_ns, is_observation, &tick_ns))
		tl_analysis.judge_tick(b->judge, tick_ns, &b->totals);
}

/* As of the tick that it comes after, or at. */
static bool bed__carry(void *ctx, const struct tl_observation *observation)
{
	struct bed *b = ctx;
	struct tl_observation stamped;

	b->observations++;
	memcpy(&stamped, observation,
	       offsetof(struct tl_observation, data) + observation->data_bytes);
	if (stamped.ts_ns < b->ticks.now_ns)
		stamped.ts_ns = b->ticks.now_ns;
	bed__judge_to(b, stamped.ts_ns, true);
	tl_ticks__hear(&b->judge_ticks);
	tl_analysis.judge_observe(b->judge, &stamped);
	return true;
}

static inline struct bed *bed__start(bool live)
{
	struct bed *b = calloc(1, sizeof(*b));
	struct tl_analysis_worker_opts worker = { .flow_capacity = BED_FLOWS };
	struct tl_judge_opts judge = { .live = live };

	pb__check(b != NULL);
	worker.emit = bed__carry;
	worker.emit_ctx = b;
	judge.sink = (struct tl_record_sink){
		.ctx = b,
		.finding = bed__hear,
		.quality = bed__hear_quality,
	};
	b->stride = tl_analysis.flow_bytes();
	b->slab = calloc(BED_FLOWS, b->stride);
	pb__check(b->slab && !tl_analysis.worker_create(&worker, &b->worker) &&
		  !tl_analysis.judge_create(&judge, &b->judge));
	return b;
}

static inline void bed__free(struct bed *b)
{
	tl_analysis.worker_destroy(b->worker);
	tl_analysis.judge_destroy(b->judge);
	free(b->slab);
	free(b);
}

/* --- flows ----------------------------------------------------------------------------------- */

static inline bool bed__key(const struct tl_layers *l, struct tl_flow_key *ret_key,
			    uint8_t *ret_side)
{
	size_t bytes = l->ip_version == 6 ? 16 : 4;
	int order;

	if (!l->ip_version)
		return false;
	memset(ret_key, 0, sizeof(*ret_key));
	order = memcmp(l->src, l->dst, bytes);
	*ret_side = order ? order > 0 : l->src_port > l->dst_port;
	memcpy(ret_key->addr[*ret_side], l->src, bytes);
	memcpy(ret_key->addr[!*ret_side], l->dst, bytes);
	ret_key->port[*ret_side] = l->src_port;
	ret_key->port[!*ret_side] = l->dst_port;
	ret_key->proto = l->proto;
	ret_key->ip_version = l->ip_version;
	return true;
}

static inline uint32_t bed__bucket(const struct tl_flow_key *key)
{
	const unsigned char *p = (const unsigned char *)key;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ p[i]) * 16777619u;
	return h % BED_BUCKETS;
}

static inline void bed__flow_end(struct bed *b, uint32_t i, enum tl_flow_end end)
{
	uint32_t *at = &b->bucket[bed__bucket(&b->flow[i].key)];

	tl_analysis.worker_flow_end(b->worker, &b->flow[i], b->slab + i * b->stride, end);
	while (*at != i + 1)
		at = &b->chain[*at - 1];
	*at = b->chain[i];
	b->flow_used[i] = false;
}

static inline void bed__expire(struct bed *b, uint64_t now_ns)
{
	for (uint32_t i = 0; i < BED_FLOWS; i++) {
		uint64_t idle = b->flow[i].state == TL_FLOW_SYN_SENT ? BED_HALF_OPEN
				: b->flow[i].state == TL_FLOW_CLOSED ? BED_CLOSED
								     : BED_IDLE;

		if (b->flow_used[i] && b->flow[i].last_ns + idle <= now_ns)
			bed__flow_end(b, i, TL_FLOW_END_IDLE);
	}
}

static inline struct tl_flow *bed__flow_new(struct bed *b, const struct tl_flow_key *key)
{
	uint32_t i = 0;

	while (i < BED_FLOWS && b->flow_used[i])
		i++;
	pb__check(i < BED_FLOWS);
	b->flow_used[i] = true;
	b->flow[i] = (struct tl_flow){ .key = *key, .index = i, .first_ns = b->now_ns };
	b->chain[i] = b->bucket[bed__bucket(key)];
	b->bucket[bed__bucket(key)] = i + 1;
	memset(b->slab + i * b->stride, 0, b->stride);
	return &b->flow[i];
}

static inline void bed__look_up(struct bed *b, struct tl_flow_lookup *l)
{
	struct tl_flow_key key;
	struct tl_flow *f;
	uint32_t i;

	if (!bed__key(l->layers, &key, &l->ret_side))
		return;
	i = b->bucket[bed__bucket(&key)];
	while (i && memcmp(&b->flow[i - 1].key, &key, sizeof(key)))
		i = b->chain[i - 1];
	f = i ? &b->flow[i - 1] : bed__flow_new(b, &key);
	l->ret_is_new = !i;
	l->ret_flow = f;
	if (!i) {
		f->client = l->ret_side;
		f->flags = TL_FLOW_CLIENT_SURE;
		f->state = TL_FLOW_SYN_SENT;
		if (l->layers->proto == 6 &&
		    (l->layers->tcp_flags & (TL_TCP_SYN | TL_TCP_ACK)) != TL_TCP_SYN)
			f->flags = TL_FLOW_MIDSTREAM;
	}
	if (l->ret_side != f->client || !(l->layers->tcp_flags & TL_TCP_SYN))
		f->state = TL_FLOW_ESTABLISHED;
	if (l->layers->tcp_flags & TL_TCP_RST)
		f->state = TL_FLOW_CLOSED;
	f->last_ns = l->packet->ts_ns;
	f->packets[l->ret_side]++;
	f->bytes[l->ret_side] += l->packet->wirelen;
	f->tcp_flags[l->ret_side] |= l->layers->tcp_flags;
}

/* --- packets --------------------------------------------------------------------------------- */

static inline void bed__tick_to(struct bed *b, uint64_t now_ns, bool is_packet)
{
	uint64_t tick_ns;

	while (tl_ticks__next(&b->ticks, now_ns, is_packet, &tick_ns)) {
		bed__expire(b, tick_ns);
		tl_analysis.worker_tick(b->worker, tick_ns);
		bed__judge_to(b, tick_ns, false);
	}
}

/* Any decoded packet. */
static inline void bed__packet(struct bed *b, const struct tl_packet *packet,
			       const struct tl_layers *layers)
{
	struct tl_flow_lookup lookup = { .packet = packet, .layers = layers };
	struct tl_batch batch = {
		.n = 1,
		.packet = packet,
		.layers = layers,
		.lookup = &lookup,
		.slab = b->slab,
		.slab_stride = b->stride,
	};

	if (!b->ticks.now_ns)
		tl_ticks__begin(&b->ticks, tl_ticks__before(packet->ts_ns));
	bed__tick_to(b, packet->ts_ns, true);
	tl_ticks__hear(&b->ticks);
	if (packet->ts_ns > b->now_ns)
		b->now_ns = packet->ts_ns;
	b->totals.source.captured++;
	bed__look_up(b, &lookup);
	tl_analysis.worker_batch(b->worker, &batch);
}

static inline uint8_t bed__address(const char *text, uint8_t *ret_ip)
{
	bool is_v6 = strchr(text, ':') != NULL;

	pb__check(inet_pton(is_v6 ? AF_INET6 : AF_INET, text, ret_ip) == 1);
	return is_v6 ? 6 : 4;
}

static inline void bed__tcp(struct bed *b, const struct bed_tcp *t)
{
	static const uint8_t zeros[2048];
	uint8_t src[16], dst[16], bytes[54 + BED_PAYLOAD];
	struct tl_layers l = { .proto = 6, .l3_offset = 14, .l4_offset = 34, .ttl = 64 };
	struct tl_packet p = { .data = zeros, .linktype = TL_LINKTYPE_ETHERNET };

	if (t->payload) {
		pb__check(t->payload_bytes <= BED_PAYLOAD);
		memset(bytes, 0, 54);
		memcpy(bytes + 54, t->payload, t->payload_bytes);
		p.data = bytes;
	}

	l.ip_version = bed__address(t->src, src);
	bed__address(t->dst, dst);
	l.src = src;
	l.dst = dst;
	l.src_port = t->src_port;
	l.dst_port = t->dst_port;
	l.seq = t->seq;
	l.ack = t->ack;
	l.tcp_flags = t->flags;
	l.window = t->is_shut ? 0 : 65535;
	l.tsval = t->tsval;
	l.flags |= t->tsval ? TL_LAYERS_TCP_TS : 0;
	l.payload_offset = 54;
	l.payload_bytes = l.payload_caplen = t->payload_bytes;
	l.ip_id = t->is_copy ? b->ip_id : ++b->ip_id;
	/* Any number that differs from packet to packet, as a checksum does. */
	l.l4_checksum = (uint16_t)(t->seq * 31 + t->ack * 7 + t->flags + l.ip_id);
	p.ts_ns = BED_START_NS + t->ms * BED_MS;
	p.frame = ++b->frame;
	p.caplen = p.wirelen = 54 + t->payload_bytes;
	bed__packet(b, &p, &l);
}

/* The end of the capture, `ms` after its start: as when the last packet came then. */
static inline void bed__end(struct bed *b)
{
	for (uint32_t i = 0; i < BED_FLOWS; i++)
		if (b->flow_used[i])
			bed__flow_end(b, i, TL_FLOW_END_CAPTURE);
	tl_analysis.worker_finish(b->worker, b->now_ns);
	bed__judge_to(b, b->ticks.now_ns, true);
	tl_analysis.judge_finish(b->judge, b->now_ns, &b->totals);
}

/* A live capture in which time goes on without packets. */
static inline void bed__idle_until(struct bed *b, uint64_t ms)
{
	bed__tick_to(b, BED_START_NS + ms * BED_MS, false);
}

/* --- conversations --------------------------------------------------------------------------- */

struct bed_pair {
	const char *client, *server;
	uint16_t client_port, server_port;
};

static inline void bed__from_client(struct bed *b, const struct bed_pair *p, uint64_t ms,
				    struct bed_tcp t)
{
	t.ms = ms;
	t.src = p->client;
	t.dst = p->server;
	t.src_port = p->client_port;
	t.dst_port = p->server_port;
	bed__tcp(b, &t);
}

static inline void bed__from_server(struct bed *b, const struct bed_pair *p, uint64_t ms,
				    struct bed_tcp t)
{
	t.ms = ms;
	t.src = p->server;
	t.dst = p->client;
	t.src_port = p->server_port;
	t.dst_port = p->client_port;
	bed__tcp(b, &t);
}

#define BED_SYN(isn) ((struct bed_tcp){ .flags = TL_TCP_SYN, .seq = (isn) })
#define BED_SYNACK(isn, ack_)                                                                      \
	((struct bed_tcp){ .flags = TL_TCP_SYN | TL_TCP_ACK, .seq = (isn), .ack = (ack_) })
#define BED_ACK(seq_, ack_) ((struct bed_tcp){ .flags = TL_TCP_ACK, .seq = (seq_), .ack = (ack_) })
#define BED_FIN(seq_, ack_)                                                                        \
	((struct bed_tcp){ .flags = TL_TCP_ACK | TL_TCP_FIN, .seq = (seq_), .ack = (ack_) })
#define BED_RST(seq_)	  ((struct bed_tcp){ .flags = TL_TCP_RST, .seq = (seq_) })
#define BED_RST_ACK(ack_) ((struct bed_tcp){ .flags = TL_TCP_RST | TL_TCP_ACK, .ack = (ack_) })
#define BED_DATA(seq_, ack_, bytes)                                                                \
	((struct bed_tcp){ .flags = TL_TCP_ACK | TL_TCP_PSH,                                       \
			   .seq = (seq_),                                                          \
			   .ack = (ack_),                                                          \
			   .payload_bytes = (bytes) })

/* A whole healthy connection of about 40 ms: request, response, FINs. */
static inline void bed__healthy(struct bed *b, const struct bed_pair *p, uint64_t ms)
{
	bed__from_client(b, p, ms, BED_SYN(1000));
	bed__from_server(b, p, ms + 10, BED_SYNACK(5000, 1001));
	bed__from_client(b, p, ms + 11, BED_ACK(1001, 5001));
	bed__from_client(b, p, ms + 12, BED_DATA(1001, 5001, 100));
	bed__from_server(b, p, ms + 20, BED_ACK(5001, 1101));
	bed__from_server(b, p, ms + 25, BED_DATA(5001, 1101, 500));
	bed__from_client(b, p, ms + 26, BED_ACK(1101, 5501));
	bed__from_client(b, p, ms + 30, BED_FIN(1101, 5501));
	bed__from_server(b, p, ms + 40, BED_FIN(5501, 1102));
	bed__from_client(b, p, ms + 41, BED_ACK(1102, 5502));
}

/* An ICMP or ICMPv6 "destination unreachable" that quotes a SYN with that ISN. */
struct bed_icmp {
	uint64_t ms;
	const char *reporter;
	uint8_t code;
	uint32_t isn;
	bool is_short; /* quotes 8 bytes of TCP only */
};

static inline void bed__icmp(struct bed *b, const struct bed_pair *quoted,
			     const struct bed_icmp *icmp)
{
	uint8_t bytes[512], src[16], dst[16];
	struct pb p = pb__start(bytes, sizeof(bytes));
	bool is_v6 = strchr(icmp->reporter, ':') != NULL;
	struct tl_layers l = { .l3_offset = 14, .ttl = 63 };
	struct tl_packet packet;
	size_t quote_at;

	pb__ethernet(&p);
	pb__ip(&p, &(struct pb_ip){ .src = icmp->reporter, .dst = quoted->client });
	l.l4_offset = (uint32_t)p.bytes;
	if (is_v6)
		pb__icmp6(&p, 1, icmp->code, 0);
	else
		pb__icmp(&p, 3, icmp->code, 0);
	quote_at = p.bytes;
	pb__ip(&p, &(struct pb_ip){ .src = quoted->client, .dst = quoted->server, .proto = 6 });
	p.next_width = 0;
	pb__tcp(&p, &(struct pb_tcp){ .src_port = quoted->client_port,
				      .dst_port = quoted->server_port,
				      .seq = icmp->isn,
				      .flags = TL_TCP_SYN });
	packet = pb__packet(&p, BED_START_NS + icmp->ms * BED_MS, ++b->frame);
	if (icmp->is_short)
		packet.caplen = packet.wirelen = (uint32_t)(quote_at + (is_v6 ? 40 : 20) + 8);
	l.ip_version = bed__address(icmp->reporter, src);
	bed__address(quoted->client, dst);
	l.src = src;
	l.dst = dst;
	l.proto = is_v6 ? 58 : 1;
	l.src_port = is_v6 ? 1 : 3;
	l.dst_port = icmp->code;
	l.payload_offset = (uint32_t)quote_at;
	l.payload_bytes = l.payload_caplen = packet.caplen - (uint32_t)quote_at;
	l.ip_id = ++b->ip_id;
	bed__packet(b, &packet, &l);
}

/* --- what came out --------------------------------------------------------------------------- */

/* The only settled finding of the kind; NULL when there is none; aborts when there are several. */
static inline const struct tl_finding *bed__only(const struct bed *b, const char *kind)
{
	const struct tl_finding *found = NULL;

	for (uint32_t i = 0; i < b->finding_count; i++) {
		if (strcmp(b->finding[i].kind, kind))
			continue;
		pb__check(!found);
		found = &b->finding[i];
	}
	return found;
}

/* How many settled findings have a kind that begins so, and at least that severity. */
static inline uint32_t bed__count(const struct bed *b, const char *prefix, enum tl_severity least)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->finding_count; i++)
		n += !strncmp(b->finding[i].kind, prefix, strlen(prefix)) &&
		     b->finding[i].severity >= least;
	return n;
}

static inline bool bed__same_evidence(const struct tl_evidence *a, const struct tl_evidence *c,
				      uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (a[i].frame != c[i].frame || a[i].ts_ns != c[i].ts_ns ||
		    strcmp(a[i].what, c[i].what))
			return false;
	return true;
}

/* Would an exporter write the same bytes for both? */
static inline bool bed__same(const struct tl_finding *a, const struct tl_finding *c)
{
	if (strcmp(a->kind, c->kind) || a->severity != c->severity ||
	    a->confidence != c->confidence || a->first_ns != c->first_ns ||
	    a->last_ns != c->last_ns || a->count != c->count || a->id != c->id ||
	    a->subject.client.port != c->subject.client.port ||
	    a->subject.server.port != c->subject.server.port || strcmp(a->summary, c->summary) ||
	    strcmp(a->cause, c->cause) || strcmp(a->next, c->next) ||
	    strcmp(a->display_filter, c->display_filter) ||
	    a->evidence_count != c->evidence_count ||
	    a->counter_evidence_count != c->counter_evidence_count ||
	    a->detail_count != c->detail_count)
		return false;
	for (uint32_t i = 0; i < a->detail_count; i++)
		if (strcmp(a->details[i].name, c->details[i].name) ||
		    a->details[i].u64 != c->details[i].u64 ||
		    strcmp(a->details[i].string, c->details[i].string))
			return false;
	return bed__same_evidence(a->evidence, c->evidence, a->evidence_count) &&
	       bed__same_evidence(a->counter_evidence, c->counter_evidence,
				  a->counter_evidence_count);
}

/* The number in a detail; UINT64_MAX when there is no such number. */
static inline uint64_t bed__detail(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_U64)
			return f->details[i].u64;
	return UINT64_MAX;
}

static inline const char *bed__detail_string(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_STRING)
			return f->details[i].string;
	return "";
}

#endif
