/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.periodic: who knocks like a clock. This is the worker half: it notes when a client opens
 * a connection to a service, or asks again within one, and how much passes between the two.
 *
 *	flow ─► { slot, generation } ─► table of pairs (client, server:port, way), one second's
 *worth
 *
 *	hash(pair) ─► set │ way │ way │ way │ way │     the one with most knocks outlives the others
 *
 * Invariants: memory is fixed; what is told depends on the seconds of packet time, which lie on the
 * clock's grid. Copies by the mirror do not count, nor does a SYN that is sent again.
 */
#include <string.h>

#include "core/periodic.h"

#define PROTO_ICMP   1
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define ECHO_REQUEST_V4 8
#define ECHO_REQUEST_V6 128

#define SETS 256u
#define WAYS 4u

struct flow_state {
	uint32_t generation;
	uint16_t slot;
	uint8_t requests; /* 0, 1, 2: more */
	bool has_slot;
	bool client_spoke_last;
};

struct pair {
	struct tl_subject subject;
	uint32_t generation; /* 0: free */
	uint64_t knocks;     /* all of them: by these it keeps its place */
	uint64_t last_packet_ns;
	struct tl_periodic_report now;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second;
	uint64_t last_ns;
	uint64_t bytes, packets;
	uint32_t generation;
	struct pair pair[SETS * WAYS];
};

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Where pairs do not fit the table, one is told with each knock: no more is written than needed. */
static void emit(const struct worker *w, uint16_t kind, const struct tl_subject *subject,
		 const struct tl_periodic_report *report)
{
	struct tl_observation o;

	memset(&o, 0, offsetof(struct tl_observation, data));
	o.kind = kind;
	o.ts_ns = w->last_ns;
	o.data_bytes = (uint16_t)tl_periodic_report__bytes(report->count);
	if (subject)
		o.subject = *subject;
	memcpy(o.data, report, o.data_bytes);
	tl_analyzer_worker__emit(&w->out, &o);
}

static void tell_pair(struct worker *w, struct pair *p)
{
	uint32_t way = p->now.way;

	p->now.second = w->second;
	emit(w, TL_PERIODIC_KNOCKED, &p->subject, &p->now);
	memset(&p->now, 0, offsetof(struct tl_periodic_report, at_ns));
	p->now.way = way;
}

static void end_second(struct worker *w)
{
	struct tl_periodic_report totals = {
		.second = w->second,
		.packets = w->packets,
		.bytes = w->bytes,
	};

	if (!w->packets)
		return;
	for (uint32_t i = 0; i < SETS * WAYS; i++)
		if (w->pair[i].now.count || w->pair[i].now.packets)
			tell_pair(w, &w->pair[i]);
	emit(w, TL_PERIODIC_TOTALS, NULL, &totals);
	w->packets = w->bytes = 0;
}

/* --- pairs ------------------------------------------------------------------------------------ */

static bool is_pair(const struct pair *p, const struct tl_subject *s, uint32_t way)
{
	return p->generation && p->now.way == way && p->subject.proto == s->proto &&
	       p->subject.server.port == s->server.port &&
	       tl_endpoint__same_host(&p->subject.client, &s->client) &&
	       tl_endpoint__same_host(&p->subject.server, &s->server);
}

static struct pair *find_pair(struct worker *w, const struct tl_subject *s, uint32_t way)
{
	uint64_t hash =
		tl_text__hash(way | (uint64_t)s->proto << 8 | (uint64_t)s->server.port << 16,
			      s->client.ip, sizeof(s->client.ip));
	struct pair *set, *least;

	hash = tl_text__hash(hash, s->server.ip, sizeof(s->server.ip));
	set = &w->pair[(hash & (SETS - 1)) * WAYS];
	least = set;
	for (uint32_t i = 0; i < WAYS; i++) {
		if (is_pair(&set[i], s, way))
			return &set[i];
		if (set[i].knocks < least->knocks)
			least = &set[i];
	}
	/* Nothing that was counted is lost: it is told before the place changes hands. */
	if (least->now.count)
		tell_pair(w, least);
	least->subject = *s;
	least->generation = ++w->generation ? w->generation : ++w->generation;
	least->last_packet_ns = 0;
	memset(&least->now, 0, offsetof(struct tl_periodic_report, at_ns));
	least->now.way = way;
	return least;
}

static struct pair *pair_of_flow(struct worker *w, const struct flow_state *fs)
{
	struct pair *p = &w->pair[fs->slot];

	return fs->has_slot && p->generation == fs->generation ? p : NULL;
}

/* --- packets ---------------------------------------------------------------------------------- */

static void knock(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
		  const struct tl_packet *packet)
{
	uint32_t way = fs->requests ? TL_PERIODIC_REQUESTS : TL_PERIODIC_CONNECTIONS;
	struct tl_subject s = tl_subject__of_flow(flow, flow->client);
	struct tl_periodic_report *now;
	struct pair *p;

	s.client.port = 0;
	if (s.proto == PROTO_ICMP || s.proto == PROTO_ICMPV6)
		s.server.port = 0;
	p = find_pair(w, &s, way);
	now = &p->now;
	fs->slot = (uint16_t)(p - w->pair);
	fs->generation = p->generation;
	fs->has_slot = true;
	if (now->count == TL_PERIODIC_KNOCKS)
		tell_pair(w, p);
	if (!now->count) {
		now->first_frame = packet->frame;
		now->first_ns = packet->ts_ns;
	}
	if (p->last_packet_ns && packet->ts_ns > p->last_packet_ns)
		now->idle_ns += packet->ts_ns - p->last_packet_ns;
	now->at_ns[now->count++] = (uint32_t)(packet->ts_ns - w->second * TL_NS_PER_SEC);
	p->knocks++;
}

/* A knock: the first packet of a connection, or a request after an answer. */
static bool is_knock(struct flow_state *fs, const struct tl_analyzer_batch *b, uint32_t i,
		     bool by_client)
{
	const struct tl_layers *l = &b->batch->layers[i];
	bool is_icmp = l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6;
	bool is_syn = l->proto == TL_PROTO_TCP && (l->tcp_flags & TL_TCP_SYN);
	bool after_answer = !fs->client_spoke_last;

	if (is_icmp)
		return l->src_port == (l->ip_version == 6 ? ECHO_REQUEST_V6 : ECHO_REQUEST_V4);
	if (is_syn)
		return by_client && !(l->tcp_flags & TL_TCP_ACK) &&
		       b->segment[i].verdict == TL_VERDICT_NEW;
	if (l->proto != TL_PROTO_TCP && l->proto != PROTO_UDP)
		return false;
	if (!l->payload_bytes ||
	    (l->proto == TL_PROTO_TCP && b->segment[i].verdict != TL_VERDICT_NEW))
		return false;
	fs->client_spoke_last = by_client;
	if (!by_client || !after_answer)
		return false;
	/* The first request belongs to its connection: that has been counted. */
	if (!fs->requests && l->proto == TL_PROTO_TCP) {
		fs->requests = 1;
		return false;
	}
	return true;
}

static void count(struct pair *p, const struct tl_packet *packet, const struct tl_layers *l,
		  bool by_client)
{
	p->last_packet_ns = packet->ts_ns;
	p->now.packets++;
	p->now.bytes += packet->wirelen;
	if (by_client)
		p->now.client_payload += l->payload_bytes;
	else
		p->now.server_payload += l->payload_bytes;
}

static void watch(struct worker *w, const struct tl_analyzer_batch *b, uint32_t i,
		  size_t flow_offset)
{
	const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
	struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
	bool by_client = lookup->ret_side == lookup->ret_flow->client;
	const struct tl_packet *packet = &b->batch->packet[i];
	const struct tl_layers *l = &b->batch->layers[i];
	struct pair *p;

	if (packet->ts_ns >= w->second * TL_NS_PER_SEC && is_knock(fs, b, i, by_client)) {
		knock(w, fs, lookup->ret_flow, packet);
		if (l->proto != TL_PROTO_TCP)
			fs->requests = 1;
	}
	p = pair_of_flow(w, fs);
	if (p)
		count(p, packet, l, by_client);
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_packet *packet = &b->batch->packet[i];

		if (packet->ts_ns / TL_NS_PER_SEC > w->second) {
			end_second(w);
			w->second = packet->ts_ns / TL_NS_PER_SEC;
		}
		if (packet->ts_ns > w->last_ns)
			w->last_ns = packet->ts_ns;
		w->packets++;
		w->bytes += packet->wirelen;
		if (b->batch->lookup[i].ret_flow)
			watch(w, b, i, flow_offset);
	}
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (now_ns / TL_NS_PER_SEC > w->second)
		end_second(w);
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	end_second(state);
}

const struct tl_analyzer tl_analyzer_periodic = {
	.name = "periodic",
	.wants = TL_WANTS_NO_COPY,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.finish = finish,
	.judge_bytes = sizeof(struct tl_periodic_judge),
	.judge_init = tl_periodic_judge__init,
	.observe = tl_periodic_judge__observe,
	.judge_tick = tl_periodic_judge__tick,
	.judge_finish = tl_periodic_judge__finish,
};
