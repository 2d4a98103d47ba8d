/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.periodic: who knocks like a clock. This is the worker half: it notes when a client opens
 * a connection to a service, or asks again within one, and how much passes between the two.
 *
 *	flow ─► { slot, generation } ─► table of pairs (client, server:port, way), of one second
 *
 *	hash(pair) ─► set │ hash │ hash │ hash │ hash │ knocks │   who has most outlives the others
 *	                      │
 *	                      └─► pair ─► many knocks in a second: a block of room for them
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
#include "core/ways.h"
#include "tapline/cursor.h"
#include "tapline/fetch.h"

#define RTP_BYTES 12u

#define PROTO_ICMP   1
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define ECHO_REQUEST_V4 8
#define ECHO_REQUEST_V6 128

#define SETS   1024u /* a power of two */
#define FEW    4u    /* knocks in a second that need no block */
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

/* Two cache lines; a packet that is no knock touches the first. Sums are of this second. */
struct pair {
	uint32_t generation; /* 0: free */
	uint16_t block;	     /* index + 1; 0: knocks are in at_ns */
	uint8_t count;
	uint8_t way; /* enum tl_periodic_way */
	uint64_t last_packet_ns;
	uint64_t packets, bytes;
	uint64_t payload[2]; /* the client's, the server's */
	uint64_t idle_ns;
	uint64_t first_ns;

	uint64_t first_frame;
	uint8_t client[16], server[16];
	uint16_t port;
	uint8_t proto, ip_version;
	uint32_t at_ns[FEW];
};

_Static_assert(sizeof(struct pair) == 128, "two cache lines");
_Static_assert(offsetof(struct pair, first_frame) == 64, "of which one is for knocks");

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
	uint64_t used[SETS * TL_WAYS / 64]; /* pairs with something counted in this second */
	struct tl_ways set[SETS];	    /* by hash; weight: knocks, all of them, ever */
	struct pair pair[SETS * TL_WAYS];   /* by set */
	struct path path[SETS * TL_WAYS];
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
		 const struct tl_periodic_head *head)
{
	o->ts_ns = w->last_ns;
	o->data_bytes = (uint16_t)tl_periodic_report__bytes(head->count);
	memcpy(o->data, head, sizeof(*head));
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
	p->packets = p->bytes = p->payload[0] = p->payload[1] = 0;
	p->idle_ns = p->first_frame = p->first_ns = 0;
	p->count = 0;
}

static uint32_t *knocks_of(struct worker *w, struct pair *p)
{
	return p->block ? w->block[p->block - 1] : p->at_ns;
}

static void tell_pair(struct worker *w, struct pair *p)
{
	struct tl_periodic_head head;
	struct tl_observation o;

	head.second = w->second;
	head.packets = p->packets;
	head.bytes = p->bytes;
	head.client_payload = p->payload[0];
	head.server_payload = p->payload[1];
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
	struct tl_periodic_head totals;
	struct tl_observation o;

	if (!w->packets)
		return;
	for (uint32_t word = 0; word < SETS * TL_WAYS / 64; word++) {
		for (uint64_t left = w->used[word]; left; left &= left - 1) {
			struct pair *p = &w->pair[word * 64 + (uint32_t)__builtin_ctzll(left)];

			if (p->count || p->packets)
				tell_pair(w, p);
			p->block = 0;
		}
		w->used[word] = 0;
	}
	w->blocks_used = 0;
	memset(&totals, 0, sizeof(totals));
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
static void push_out(struct worker *w, struct pair *p, uint64_t hash)
{
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
static struct pair *find_pair(struct worker *w, const struct seeker *s, uint64_t hash,
			      const struct tl_flow *flow)
{
	struct tl_ways *set = &w->set[hash & (SETS - 1)];
	struct pair *pair = &w->pair[(hash & (SETS - 1)) * TL_WAYS];
	uint32_t *lobby = lobby_of(w, hash);
	uint32_t way, found;
	bool is_free; /* its memory is not read: a page that nobody wrote would come in twice */

	for (found = tl_ways__find(set, hash); found; found &= found - 1) {
		way = (uint32_t)__builtin_ctz(found);
		if (is_pair(&pair[way], s))
			return &pair[way];
	}
	way = tl_ways__lightest(set);
	is_free = !set->weight[way];
	if (!is_free && *lobby != mark_of(hash)) {
		*lobby = mark_of(hash);
		return NULL;
	}
	if (!is_free)
		push_out(w, &pair[way], set->mark[way]);
	set->mark[way] = hash;
	settle_in(w, &pair[way], s, flow);
	return &pair[way];
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

/* What the first look at a few packets found: that of their flows, not yet of their pairs. */
struct look {
	uint64_t knocks, requests;	      /* bit i: packet i is one; a request, besides */
	struct flow_state *flow[TL_PASS_MAX]; /* NULL: without */
	uint64_t hash[TL_PASS_MAX];	      /* of a knock's pair */
};

static struct seeker seeker_of(const struct tl_flow *flow, uint8_t way)
{
	uint8_t client = flow->client & 1u;
	bool is_icmp = flow->key.proto == PROTO_ICMP || flow->key.proto == PROTO_ICMPV6;

	return (struct seeker){
		.client = flow->key.addr[client],
		.server = flow->key.addr[!client],
		.port = is_icmp ? 0 : flow->key.port[!client],
		.proto = flow->key.proto,
		.ip_version = flow->key.ip_version,
		.way = way,
	};
}

static void knock(struct worker *w, const struct look *look, uint32_t i,
		  const struct tl_flow_lookup *lookup)
{
	const struct seeker who =
		seeker_of(lookup->ret_flow,
			  look->requests >> i & 1 ? TL_PERIODIC_REQUESTS : TL_PERIODIC_CONNECTIONS);
	struct pair *p = find_pair(w, &who, look->hash[i], lookup->ret_flow);
	const struct tl_packet *packet = lookup->packet;
	struct flow_state *fs = look->flow[i];
	uint64_t *knocks;

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
	knocks = &w->set[fs->slot / TL_WAYS].weight[fs->slot % TL_WAYS];
	if (*knocks < UINT32_MAX)
		++*knocks;
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

/* With something in it, and not for the second time: does it ask anew? */
static bool is_request(struct flow_state *fs, const struct tl_packet *packet,
		       const struct tl_layers *l, bool by_client)
{
	bool is_udp = l->proto == PROTO_UDP;
	bool after_answer = !fs->client_spoke_last;

	fs->client_spoke_last = by_client;
	fs->answered |= !by_client;
	/* A datagram may want no answer. */
	after_answer |= is_udp && !fs->answered && l->payload_bytes <= TL_PERIODIC_DATAGRAM_MAX;
	if (!by_client || !after_answer || (is_udp && is_stream(fs, packet, l)))
		return false;
	/* The first request belongs to its connection: that has been counted. */
	if (!fs->requests && !is_udp) {
		fs->requests = 1;
		return false;
	}
	return true;
}

/* A knock: the first packet of a connection, or a request after an answer. */
static bool is_knock(struct flow_state *fs, const struct tl_analyzer_batch *b, uint32_t i)
{
	const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
	const struct tl_layers *l = &b->batch->layers[i];
	bool is_tcp = l->proto == TL_PROTO_TCP;
	bool by_client = lookup->ret_side == lookup->ret_flow->client;

	if (is_tcp && (l->tcp_flags & TL_TCP_SYN))
		return by_client && !(l->tcp_flags & TL_TCP_ACK) &&
		       b->segment[i].verdict == TL_VERDICT_NEW;
	if (l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6)
		return l->src_port == (l->ip_version == 6 ? ECHO_REQUEST_V6 : ECHO_REQUEST_V4);
	if (!l->payload_bytes || (!is_tcp && l->proto != PROTO_UDP) ||
	    (is_tcp && b->segment[i].verdict != TL_VERDICT_NEW))
		return false;
	return is_request(fs, &b->batch->packet[i], l, by_client);
}

static void look_at_knock(struct worker *w, const struct tl_flow *flow, uint32_t i,
			  struct look *look)
{
	struct flow_state *fs = look->flow[i];
	const struct seeker who =
		seeker_of(flow, fs->requests ? TL_PERIODIC_REQUESTS : TL_PERIODIC_CONNECTIONS);
	const uint64_t hash = hash_of(&who);

	look->knocks |= 1ull << i;
	look->requests |= (uint64_t)(who.way == TL_PERIODIC_REQUESTS) << i;
	look->hash[i] = hash;
	if (who.proto != TL_PROTO_TCP)
		fs->requests = 1;
	tl_fetch(&w->set[hash & (SETS - 1)]);
	tl_fetch(lobby_of(w, hash));
}

static void look_at(struct worker *w, const struct tl_analyzer_batch *b, size_t flow_offset,
		    struct look *look)
{
	look->knocks = look->requests = 0;
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);

		look->flow[i] = fs;
		if (!fs)
			continue;
		tl_fetch(&w->pair[fs->slot]);
		if (b->batch->packet[i].ts_ns >= w->second_ns && is_knock(fs, b, i))
			look_at_knock(w, b->batch->lookup[i].ret_flow, i, look);
	}
}

/* The pairs that knocks will find, or push out. */
static void fetch_pairs(const struct worker *w, const struct look *look)
{
	for (uint64_t left = look->knocks; left;) {
		const uint64_t hash = look->hash[tl_analyzer_batch__next(&left)];
		const struct tl_ways *set = &w->set[hash & (SETS - 1)];
		const uint32_t found = tl_ways__find(set, hash);
		const uint32_t way =
			found ? (uint32_t)__builtin_ctz(found) : tl_ways__lightest(set);
		const struct pair *p = &w->pair[(hash & (SETS - 1)) * TL_WAYS + way];

		tl_fetch(p);
		tl_fetch(&p->first_frame);
		tl_fetch(&w->path[p - w->pair]);
	}
}

static void count(struct worker *w, struct pair *p, const struct tl_analyzer_batch *b, uint32_t i)
{
	const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
	const struct tl_packet *packet = &b->batch->packet[i];
	uint32_t at = (uint32_t)(p - w->pair);

	if (!p->packets++)
		w->used[at / 64] |= 1ull << at % 64;
	p->last_packet_ns = packet->ts_ns;
	p->bytes += packet->wirelen;
	p->payload[lookup->ret_side != lookup->ret_flow->client] +=
		b->batch->layers[i].payload_bytes;
}

/*
 * All of this second. With many pairs each is a wait for memory: so first all are asked for, and
 * then gone through.
 */
static void watch(struct worker *w, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct look look;

	look_at(w, b, flow_offset, &look);
	fetch_pairs(w, &look);
	w->packets += (uint64_t)__builtin_popcountll(b->wanted);
	w->bytes += b->sums->bytes;
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		struct flow_state *fs = look.flow[i];
		struct pair *p;

		if (b->batch->packet[i].ts_ns > w->last_ns)
			w->last_ns = b->batch->packet[i].ts_ns;
		if (!fs)
			continue;
		if (look.knocks >> i & 1)
			knock(w, &look, i, &b->batch->lookup[i]);
		p = pair_of_flow(w, fs);
		if (p)
			count(w, p, b, i);
	}
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;
	struct tl_batch_sums sums;

	if (!b->wanted)
		return;
	if (b->sums->newest_ns < w->next_ns) {
		watch(w, b, flow_offset);
		return;
	}
	for (uint64_t left = b->wanted; left;) {
		const struct tl_analyzer_batch only =
			tl_analyzer_batch__only(b, tl_analyzer_batch__next(&left), &sums);

		if (sums.newest_ns >= w->next_ns) {
			end_second(w);
			w->second = sums.newest_ns / TL_NS_PER_SEC;
			w->second_ns = w->second * TL_NS_PER_SEC;
			w->next_ns = w->second_ns + TL_NS_PER_SEC;
		}
		watch(w, &only, flow_offset);
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
