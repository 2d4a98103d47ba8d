/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.periodic: who knocks like a clock. This is the worker half: it notes when a client opens
 * a connection to a service, or asks again within one, and how much passes between the two.
 *
 *	flow ─► { slot, generation } ─► table of pairs (client, server:port, way), one second's
 *worth
 *
 *	hash(pair) ─► set │ way │ way │ way │ way │     the one with most knocks outlives the others
 *	                    │
 *	                    └─► more than a few knocks in a second: a block of room for them
 *
 * Most pairs knock once and never again, and with more pairs than places each would push out
 * another. So where a set is full a pair is let in with its second knock: the lobby remembers of
 * the latest 32768 that were turned away, or pushed out, a hash each.
 *
 * Invariants: memory is fixed; what is told depends on the seconds of packet time, which lie on the
 * clock's grid. Copies by the mirror do not count, nor does a SYN that is sent again.
 */
#include <string.h>

#include "core/periodic.h"
#include "tapline/cursor.h"

#define RTP_BYTES 12u

#define PROTO_ICMP   1
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define ECHO_REQUEST_V4 8
#define ECHO_REQUEST_V6 128

#define SETS   1024u /* a power of two */
#define WAYS   4u
#define FEW    4u /* knocks in a second that need no block */
#define BLOCKS 64u
#define LOBBY  32768u /* a power of two */

struct flow_state {
	uint32_t generation;
	uint16_t slot;
	uint8_t requests; /* 0, 1, 2: more */
	bool has_slot;
	bool client_spoke_last;
	uint16_t number; /* of the client's newest datagram, if it looks like RTP */
	bool is_stream;	 /* it is: numbers in a row */
	bool answered;	 /* the server has spoken */
};

/* Two cache lines. Sums are of this second. */
struct pair {
	uint8_t client[16], server[16];
	uint16_t port;
	uint8_t proto, ip_version;
	uint8_t way; /* enum tl_periodic_way */
	uint8_t count;
	uint16_t block;	     /* index + 1; 0: knocks are in at_ns */
	uint32_t generation; /* 0: free */
	uint32_t knocks;     /* all of them, ever: by these it keeps its place */
	uint64_t last_packet_ns;
	uint64_t packets;
	uint64_t bytes, client_payload, server_payload;
	uint64_t idle_ns;
	uint64_t first_frame, first_ns;
	uint32_t at_ns[FEW];
};

_Static_assert(sizeof(struct pair) == 128, "two cache lines");

/* What else is told of a pair: of the flow of its first knock. */
struct path {
	uint32_t interface, tunnel_id;
	uint16_t vlan[2];
	uint8_t vlan_count, tunnel_type;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second, second_ns, next_ns; /* when it begins, and the next one */
	uint64_t last_ns;
	uint64_t bytes, packets;
	uint32_t generation;
	uint32_t blocks_used;
	uint64_t used[SETS * WAYS / 64]; /* pairs of which something was counted in this second */
	struct pair pair[SETS * WAYS];
	struct path path[SETS * WAYS];
	uint32_t lobby[LOBBY]; /* parts of hashes; 0: nobody */
	uint32_t block[BLOCKS][TL_PERIODIC_KNOCKS];
};

/* Who is looked for. */
struct seeker {
	const uint8_t *client, *server;
	uint16_t port;
	uint8_t proto, ip_version, way;
};

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

/* --- telling ---------------------------------------------------------------------------------- */

/* No more is written than there is. */
static void emit(const struct worker *w, struct tl_observation *o,
		 const struct tl_periodic_report *head)
{
	o->ts_ns = w->last_ns;
	o->data_bytes = (uint16_t)tl_periodic_report__bytes(head->count);
	memcpy(o->data, head, offsetof(struct tl_periodic_report, at_ns));
	tl_analyzer_worker__emit(&w->out, o);
}

static struct tl_subject subject_of(const struct pair *p, const struct path *path)
{
	struct tl_subject s = {
		.client = { .ip_version = p->ip_version },
		.server = { .ip_version = p->ip_version, .port = p->port },
		.proto = p->proto,
		.vlan_count = path->vlan_count,
		.vlan = { path->vlan[0], path->vlan[1] },
		.interface = path->interface,
		.tunnel_type = path->tunnel_type,
		.tunnel_id = path->tunnel_id,
	};

	memcpy(s.client.ip, p->client, sizeof(s.client.ip));
	memcpy(s.server.ip, p->server, sizeof(s.server.ip));
	return s;
}

static void clear(struct pair *p)
{
	p->packets = p->bytes = p->client_payload = p->server_payload = 0;
	p->idle_ns = p->first_frame = p->first_ns = 0;
	p->count = 0;
}

static uint32_t *knocks_of(struct worker *w, struct pair *p)
{
	return p->block ? w->block[p->block - 1] : p->at_ns;
}

static void tell_pair(struct worker *w, struct pair *p)
{
	struct tl_periodic_report head;
	struct tl_observation o;

	head.second = w->second;
	head.packets = p->packets;
	head.bytes = p->bytes;
	head.client_payload = p->client_payload;
	head.server_payload = p->server_payload;
	head.idle_ns = p->idle_ns;
	head.first_frame = p->first_frame;
	head.first_ns = p->first_ns;
	head.way = p->way;
	head.count = p->count;
	tl_observation__clear(&o);
	o.kind = TL_PERIODIC_KNOCKED;
	o.subject = subject_of(p, &w->path[p - w->pair]);
	memcpy(o.data + offsetof(struct tl_periodic_report, at_ns), knocks_of(w, p),
	       p->count * sizeof(uint32_t));
	emit(w, &o, &head);
	clear(p);
}

static void end_second(struct worker *w)
{
	struct tl_periodic_report totals;
	struct tl_observation o;

	if (!w->packets)
		return;
	for (uint32_t word = 0; word < SETS * WAYS / 64; word++) {
		for (uint64_t left = w->used[word]; left; left &= left - 1) {
			struct pair *p = &w->pair[word * 64 + (uint32_t)__builtin_ctzll(left)];

			if (p->count || p->packets)
				tell_pair(w, p);
			p->block = 0;
		}
		w->used[word] = 0;
	}
	w->blocks_used = 0;
	memset(&totals, 0, offsetof(struct tl_periodic_report, at_ns));
	totals.second = w->second;
	totals.packets = w->packets;
	totals.bytes = w->bytes;
	tl_observation__clear(&o);
	o.kind = TL_PERIODIC_TOTALS;
	emit(w, &o, &totals);
	w->packets = w->bytes = 0;
}

/* --- pairs ------------------------------------------------------------------------------------ */

static bool same_ip(const uint8_t a[16], const uint8_t b[16])
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

static bool is_pair(const struct pair *p, const struct seeker *s)
{
	return p->generation && p->port == s->port && p->proto == s->proto && p->way == s->way &&
	       p->ip_version == s->ip_version && same_ip(p->client, s->client) &&
	       same_ip(p->server, s->server);
}

static uint64_t hash_of(const struct seeker *s)
{
	uint64_t hash = tl_text__hash(s->way | (uint64_t)s->proto << 8 | (uint64_t)s->port << 16,
				      s->client, 16);

	return tl_text__hash(hash, s->server, 16);
}

static uint32_t *lobby_of(struct worker *w, uint64_t hash)
{
	return &w->lobby[hash >> 16 & (LOBBY - 1)];
}

static uint32_t mark_of(uint64_t hash)
{
	return (uint32_t)(hash >> 32) | 1u;
}

/* Nothing that was counted is lost: it is told before the place changes hands. */
static void push_out(struct worker *w, struct pair *p)
{
	struct seeker who = { p->client, p->server, p->port, p->proto, p->ip_version, p->way };
	uint64_t hash = hash_of(&who);

	if (p->count)
		tell_pair(w, p);
	/* It comes in again with its next knock, if others leave it its place in the lobby. */
	*lobby_of(w, hash) = mark_of(hash);
}

static void settle_in(struct worker *w, struct pair *p, const struct seeker *s,
		      const struct tl_flow *flow)
{
	struct path *path = &w->path[p - w->pair];

	memcpy(p->client, s->client, sizeof(p->client));
	memcpy(p->server, s->server, sizeof(p->server));
	p->port = s->port;
	p->proto = s->proto;
	p->ip_version = s->ip_version;
	p->way = s->way;
	p->generation = ++w->generation ? w->generation : ++w->generation;
	p->last_packet_ns = 0;
	clear(p);
	*path = (struct path){
		.interface = flow->interface,
		.tunnel_id = flow->tunnel_id,
		.tunnel_type = flow->tunnel_type,
		.vlan_count = flow->vlan_count < 2 ? flow->vlan_count : 2,
	};
	for (uint32_t i = 0; i < path->vlan_count; i++)
		path->vlan[i] = flow->vlan[i] & 0xfffu;
}

/* NULL: it has to knock once more. */
static struct pair *find_pair(struct worker *w, const struct seeker *s, const struct tl_flow *flow)
{
	uint64_t hash = hash_of(s);
	struct pair *set = &w->pair[(hash & (SETS - 1)) * WAYS], *least = set;
	uint32_t *lobby;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (is_pair(&set[i], s))
			return &set[i];
		if (set[i].knocks < least->knocks)
			least = &set[i];
	}
	lobby = lobby_of(w, hash);
	if (least->generation && *lobby != mark_of(hash)) {
		*lobby = mark_of(hash);
		return NULL;
	}
	if (least->generation)
		push_out(w, least);
	settle_in(w, least, s, flow);
	return least;
}

static struct pair *pair_of_flow(struct worker *w, const struct flow_state *fs)
{
	struct pair *p = &w->pair[fs->slot];

	return fs->has_slot && p->generation == fs->generation ? p : NULL;
}

/* --- packets ---------------------------------------------------------------------------------- */

/* Makes room for one more. */
static void make_room(struct worker *w, struct pair *p)
{
	if (p->count < FEW || (p->block && p->count < TL_PERIODIC_KNOCKS))
		return;
	if (p->block || w->blocks_used == BLOCKS) {
		tell_pair(w, p);
		return;
	}
	p->block = (uint16_t)++w->blocks_used;
	memcpy(w->block[p->block - 1], p->at_ns, sizeof(p->at_ns));
}

static void knock(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
		  const struct tl_packet *packet)
{
	uint8_t client = flow->client & 1u;
	bool is_icmp = flow->key.proto == PROTO_ICMP || flow->key.proto == PROTO_ICMPV6;
	struct seeker who = {
		.client = flow->key.addr[client],
		.server = flow->key.addr[!client],
		.port = is_icmp ? 0 : flow->key.port[!client],
		.proto = flow->key.proto,
		.ip_version = flow->key.ip_version,
		.way = fs->requests ? TL_PERIODIC_REQUESTS : TL_PERIODIC_CONNECTIONS,
	};
	struct pair *p = find_pair(w, &who, flow);

	fs->has_slot = p != NULL;
	if (!p)
		return;
	fs->slot = (uint16_t)(p - w->pair);
	fs->generation = p->generation;
	make_room(w, p);
	if (!p->count) {
		p->first_frame = packet->frame;
		p->first_ns = packet->ts_ns;
	}
	if (p->last_packet_ns && packet->ts_ns > p->last_packet_ns)
		p->idle_ns += packet->ts_ns - p->last_packet_ns;
	knocks_of(w, p)[p->count++] = (uint32_t)(packet->ts_ns - w->second_ns);
	if (p->knocks < UINT32_MAX)
		p->knocks++;
}

/*
 * Voice and video are even by nature. RTP (RFC 3550, 5.1): version 2, and a number that grows by
 * one.
 */
static bool is_stream(struct flow_state *fs, const struct tl_packet *packet,
		      const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	const uint8_t *p;
	uint16_t number;

	tl_cursor__skip(&c, l->payload_offset);
	p = tl_cursor__take(&c, RTP_BYTES);
	if (!p || l->payload_bytes < RTP_BYTES || p[0] >> 6 != 2)
		return fs->is_stream;
	number = (uint16_t)(p[2] << 8 | p[3]);
	fs->is_stream = fs->is_stream || number == (uint16_t)(fs->number + 1);
	fs->number = number;
	return fs->is_stream;
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
	fs->answered |= !by_client;
	/* A datagram may want no answer. */
	after_answer |= l->proto == PROTO_UDP && !fs->answered &&
			l->payload_bytes <= TL_PERIODIC_DATAGRAM_MAX;
	if (!by_client || !after_answer)
		return false;
	if (l->proto == PROTO_UDP && is_stream(fs, &b->batch->packet[i], l))
		return false;
	/* The first request belongs to its connection: that has been counted. */
	if (!fs->requests && l->proto == TL_PROTO_TCP) {
		fs->requests = 1;
		return false;
	}
	return true;
}

static void count(struct worker *w, struct pair *p, const struct tl_packet *packet,
		  uint32_t payload[2])
{
	uint32_t at = (uint32_t)(p - w->pair);

	w->used[at / 64] |= 1ull << at % 64;
	p->last_packet_ns = packet->ts_ns;
	p->packets++;
	p->bytes += packet->wirelen;
	p->client_payload += payload[0];
	p->server_payload += payload[1];
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

	if (packet->ts_ns >= w->second_ns && is_knock(fs, b, i, by_client)) {
		knock(w, fs, lookup->ret_flow, packet);
		if (l->proto != TL_PROTO_TCP)
			fs->requests = 1;
	}
	p = pair_of_flow(w, fs);
	if (p)
		count(w, p, packet,
		      (uint32_t[2]){ by_client ? l->payload_bytes : 0,
				     by_client ? 0 : l->payload_bytes });
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	uint64_t left = b->wanted;

	while (left) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_packet *packet = &b->batch->packet[i];

		if (packet->ts_ns >= w->next_ns) {
			end_second(w);
			w->second = packet->ts_ns / TL_NS_PER_SEC;
			w->second_ns = w->second * TL_NS_PER_SEC;
			w->next_ns = w->second_ns + TL_NS_PER_SEC;
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
