/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of TCP faults add to analysis_bed.h: segments with a window, a TTL, an IP ID and
 * timestamps, the end of a flow by reuse of its tuple, and a conversation that keeps its numbers.
 *
 *	struct talk t = talk__open(b, &pair, 0);      handshake at 0 ms, 10 ms a way
 *	talk__up(&t, 100, 200);                       at 100 ms, 200 bytes, ACKed 10 ms later
 *	talk__down(&t, 150, 1000);
 */
#ifndef TAPLINE_TESTS_TCP_FAULT_BED_H
#define TAPLINE_TESTS_TCP_FAULT_BED_H

#include "unit/analysis_bed.h"

/* What bed__tcp has no room for; 0: as most packets have it. */
struct fault_extra {
	uint8_t ttl;
	uint16_t ip_id;
	bool is_shut; /* window 0 */
	uint16_t window;
	uint32_t tsval;
	bool is_copy;
	bool is_cut_off; /* by a snap length, before its options */
};

static inline void fault__tcp(struct bed *b, const struct bed_tcp *t, const struct fault_extra *x)
{
	static const uint8_t zeros[16384];
	uint8_t src[16], dst[16];
	struct tl_layers l = { .proto = 6, .l3_offset = 14, .l4_offset = 34 };
	struct tl_packet p = { .data = zeros, .linktype = TL_LINKTYPE_ETHERNET };

	l.ip_version = bed__address(t->src, src);
	bed__address(t->dst, dst);
	l.src = src;
	l.dst = dst;
	l.src_port = t->src_port;
	l.dst_port = t->dst_port;
	l.seq = t->seq;
	l.ack = t->ack;
	l.tcp_flags = t->flags;
	l.ttl = x->ttl ? x->ttl : 64;
	l.window = x->is_shut ? 0 : x->window ? x->window : 65535;
	l.tsval = x->tsval;
	l.flags = x->tsval ? TL_LAYERS_TCP_TS : 0;
	l.flags |= x->is_cut_off ? TL_LAYERS_TRUNCATED : 0;
	l.payload_offset = 54;
	l.payload_bytes = l.payload_caplen = t->payload_bytes;
	l.ip_id = x->ip_id ? x->ip_id : x->is_copy ? b->ip_id : ++b->ip_id;
	l.l4_checksum = (uint16_t)(t->seq * 31 + t->ack * 7 + t->flags + l.ip_id);
	p.ts_ns = BED_START_NS + t->ms * BED_MS;
	p.frame = ++b->frame;
	p.caplen = p.wirelen = 54 + t->payload_bytes;
	cr_assert_leq(p.caplen, sizeof(zeros));
	bed__packet(b, &p, &l);
}

/* As the flow table does when a SYN begins a new connection on a tuple. */
static inline void fault__reuse(struct bed *b, const struct bed_pair *p)
{
	uint8_t client[16] = { 0 };

	bed__address(p->client, client);
	for (uint32_t i = 0; i < BED_FLOWS; i++) {
		const struct tl_flow *f = &b->flow[i];

		if (b->flow_used[i] && f->key.port[f->client] == p->client_port &&
		    f->key.port[!f->client] == p->server_port &&
		    !memcmp(f->key.addr[f->client], client, 4))
			bed__flow_end(b, i, TL_FLOW_END_REUSED);
	}
}

struct talk {
	struct bed *b;
	struct bed_pair pair;
	uint32_t up, down; /* next sequence numbers */
};

/* When a segment is sent, and whether by the client. */
struct talk_at {
	uint64_t ms;
	bool up;
};
#define AT(ms, up) ((struct talk_at){ ms, up })

/* One segment; its numbers are the caller's. */
static inline void talk__send(struct talk *t, struct talk_at at, struct bed_tcp tcp,
			      struct fault_extra x)
{
	bool up = at.up;

	tcp.ms = at.ms;
	tcp.src = up ? t->pair.client : t->pair.server;
	tcp.dst = up ? t->pair.server : t->pair.client;
	tcp.src_port = up ? t->pair.client_port : t->pair.server_port;
	tcp.dst_port = up ? t->pair.server_port : t->pair.client_port;
	fault__tcp(t->b, &tcp, &x);
}

/* An ACK of all, from the client or the server. */
static inline void talk__ack(struct talk *t, uint64_t ms, bool up, struct fault_extra x)
{
	talk__send(t, AT(ms, up), BED_ACK(up ? t->up : t->down, up ? t->down : t->up), x);
}

static inline struct talk talk__open_with(struct bed *b, const struct bed_pair *pair, uint64_t ms,
					  struct fault_extra syn)
{
	struct talk t = { .b = b, .pair = *pair, .up = 1001, .down = 5001 };

	talk__send(&t, AT(ms, true), BED_SYN(1000), syn);
	talk__send(&t, AT(ms + 10, false), BED_SYNACK(5000, 1001), syn);
	talk__ack(&t, ms + 11, true, (struct fault_extra){ 0 });
	return t;
}

static inline struct talk talk__open(struct bed *b, const struct bed_pair *pair, uint64_t ms)
{
	return talk__open_with(b, pair, ms, (struct fault_extra){ 0 });
}

static inline void talk__data(struct talk *t, uint64_t ms, bool up, uint32_t bytes)
{
	uint32_t *next = up ? &t->up : &t->down;

	talk__send(t, AT(ms, up), BED_DATA(*next, up ? t->down : t->up, bytes),
		   (struct fault_extra){ 0 });
	*next += bytes;
}

/* Data, and its ACK 10 ms later. */
static inline void talk__up(struct talk *t, uint64_t ms, uint32_t bytes)
{
	talk__data(t, ms, true, bytes);
	talk__ack(t, ms + 10, false, (struct fault_extra){ 0 });
}

static inline void talk__down(struct talk *t, uint64_t ms, uint32_t bytes)
{
	talk__data(t, ms, false, bytes);
	talk__ack(t, ms + 10, true, (struct fault_extra){ 0 });
}

static inline void talk__rst(struct talk *t, uint64_t ms, bool up, struct fault_extra x)
{
	talk__send(t, AT(ms, up),
		   (struct bed_tcp){ .flags = TL_TCP_RST | TL_TCP_ACK,
				     .seq = up ? t->up : t->down,
				     .ack = up ? t->down : t->up },
		   x);
}

static inline void talk__fin(struct talk *t, uint64_t ms, bool up)
{
	talk__send(t, AT(ms, up), BED_FIN(up ? t->up : t->down, up ? t->down : t->up),
		   (struct fault_extra){ 0 });
	*(up ? &t->up : &t->down) += 1;
}

/* Do all frames of the evidence exist, in order of time? */
static inline bool fault__has_proof(const struct tl_finding *f)
{
	for (uint32_t i = 0; i < f->evidence_count; i++)
		if (!f->evidence[i].frame || (i && f->evidence[i].ts_ns < f->evidence[i - 1].ts_ns))
			return false;
	return f->evidence_count;
}

#endif
