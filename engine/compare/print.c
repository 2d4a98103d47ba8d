/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The print of a packet; see print.h. */
#include "print.h"

#include <string.h>

#include "tapline/cursor.h"

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_ICMPV6 58

#define MIX_A 0x9e3779b97f4a7c15ull
#define MIX_B 0xd6e8feb86659fd93ull

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t print__hash(uint64_t seed, const void *data, size_t bytes)
{
	const uint8_t *p = data;
	uint64_t h = seed ^ mix(bytes + MIX_A, MIX_B), last[2] = { 0, 0 };

	for (; bytes >= 16; bytes -= 16, p += 16) {
		uint64_t v[2];

		memcpy(v, p, 16);
		h = mix(v[0] ^ MIX_A ^ h, v[1] ^ MIX_B);
	}
	if (bytes)
		memcpy(last, p, bytes);
	return mix(last[0] ^ MIX_B ^ h, last[1] ^ MIX_A);
}

/* ICMP: from behind type, code, checksum and identifier, which NAT rewrites. */
static uint64_t payload_hash(const struct tl_packet *packet, const struct tl_layers *l,
			     uint32_t limit)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	bool is_icmp = (l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6) && l->l4_offset;
	uint64_t from = is_icmp ? l->l4_offset + 6u : l->payload_offset;
	uint64_t bytes = l->payload_caplen;
	const uint8_t *p;

	if (is_icmp)
		bytes += l->payload_offset > from ? l->payload_offset - from : 0;
	if (bytes > limit)
		bytes = limit;
	tl_cursor__skip(&c, from);
	tl_cursor__limit(&c, bytes);
	bytes = tl_cursor__left(&c);
	p = tl_cursor__take(&c, bytes);
	return p ? print__hash(l->payload_bytes, p, bytes) : 0;
}

static uint64_t hash_ends(const struct print *p)
{
	uint64_t h = print__hash(
		(uint64_t)p->src_port << 32 | (uint64_t)p->dst_port << 8 | p->proto, p->src, 16);

	return print__hash(h, p->dst, 16);
}

static void hash_tcp(const struct tl_layers *l, struct print *p)
{
	uint32_t head[4] = { l->seq, l->ack, l->tcp_flags, PROTO_TCP };
	uint32_t whole[6] = { l->ip_id, l->flags & TL_LAYERS_TCP_TS ? l->tsval : 0,
			      l->payload_bytes };
	uint32_t body[3] = { l->tcp_flags, whole[1], l->payload_bytes };

	memcpy(&whole[4], &p->payload, 8);
	p->by_head = print__hash(1, head, sizeof(head));
	p->whole = print__hash(p->by_head, whole, sizeof(whole));
	/* Nothing in it but numbers: no way to know it when these were changed. */
	p->by_body = p->payload_bytes || (l->tcp_flags & TL_TCP_SYN)
			     ? print__hash(hash_ends(p) ^ p->payload, body, sizeof(body))
			     : 0;
	p->is_strong = l->ip_id || (l->flags & TL_LAYERS_TCP_TS);
}

static void hash_other(const struct tl_layers *l, struct print *p)
{
	uint32_t whole[4] = { l->ip_id, l->proto, l->fragment_offset, l->payload_bytes };
	uint32_t head[3] = { l->ip_id, l->proto, l->fragment_offset };
	uint64_t ends = hash_ends(p);

	p->whole = print__hash(p->payload, whole, sizeof(whole));
	p->by_head = l->ip_id ? print__hash(ends, head, sizeof(head)) : 0;
	p->by_body = print__hash(ends ^ p->payload, &whole[1], 12);
	p->is_strong = l->ip_id != 0;
	if (!p->is_strong)
		p->whole ^= ends;
}

bool print__take(const struct tl_packet *packet, const struct tl_layers *l, uint32_t payload_limit,
		 struct print *ret_print)
{
	size_t address_bytes = l->ip_version == 6 ? 16 : 4;
	struct print *p = ret_print;

	if (!l->ip_version || !l->src || !l->dst)
		return false;
	*p = (struct print){
		.ts_ns = packet->ts_ns,
		.frame = packet->frame,
		.wirelen = packet->wirelen,
		.payload_bytes = l->payload_bytes,
		.src_port = l->src_port,
		.dst_port = l->dst_port,
		.mss = l->mss,
		.ip_version = l->ip_version,
		.proto = l->proto,
		.ttl = l->ttl,
		.tos = l->tos,
		.tcp_flags = l->tcp_flags,
	};
	memcpy(p->src, l->src, address_bytes);
	memcpy(p->dst, l->dst, address_bytes);
	p->payload = payload_hash(packet, l, payload_limit);
	if (l->proto == PROTO_TCP && l->l4_offset)
		hash_tcp(l, p);
	else
		hash_other(l, p);
	return true;
}

bool print__same_ends(const struct print *a, const struct print *b)
{
	return a->src_port == b->src_port && a->dst_port == b->dst_port &&
	       !memcmp(a->src, b->src, 16) && !memcmp(a->dst, b->dst, 16);
}
