/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Conversations as records, from which packets are made: what a fuzzer can change without breaking
 * every checksum and sequence number, and what a corpus is kept in.
 *
 *	record:  who 1 │ flags 1 │ time 2 │ bytes 2 │ payload …
 *
 *	who      bit 0 side (1: the server) │ bits 1-3 service │ bit 4 IPv6 │ bits 5-7 kind, below
 *	flags    TCP flags; some kinds read them as something else. URG: the window is shut; ECE: a
 *	         SACK block; CWR: timestamps
 *	time     since the packet before: bits 0-11, × 10 to the power of bits 12-14, in µs; bit 15:
 *	         back
 *
 * A segment begins where the one before it ended, and acknowledges all that the other side said.
 */
#ifndef TAPLINE_TESTS_SCRIPT_H
#define TAPLINE_TESTS_SCRIPT_H

#include <stdio.h>

#include "tapline/cursor.h"
#include "unit/packet_builder.h"

#define SCRIPT_RECORD_BYTES 6u
#define SCRIPT_PACKET_MAX   (65536u + 512u)
#define SCRIPT_START_NS	    1795341600000000000ull /* 2026-11-22T10:00:00Z */
#define SCRIPT_UDP	    0u			   /* the service that is no TCP: DNS */

enum script_kind {
	SCRIPT_SEGMENT,
	SCRIPT_FRAME,  /* the payload is a whole frame */
	SCRIPT_LOST,   /* a segment that the capture did not see */
	SCRIPT_COPY,   /* the packet before, again; flags: bit 0 TTL - 1, bit 1 other MAC */
	SCRIPT_AGAIN,  /* a segment that ends where the one before it ended */
	SCRIPT_ICMP,   /* an error about the packet before; flags: its code */
	SCRIPT_TUNNEL, /* a segment with PSH and ACK; flags: what is around it */
	SCRIPT_SPOILED /* a segment cut off (flags even) or with a byte changed (odd) */
};

struct script {
	struct tl_cursor records;
	uint32_t client;      /* a number: its address and ports */
	uint32_t next[16][2]; /* sequence number, by service and IP version, by side */
	uint16_t ip_id;
	uint64_t now_ns;
	uint8_t bytes[SCRIPT_PACKET_MAX]; /* the packet made last */
	uint8_t quoted[128];
	struct tl_packet last;
};

/* One record, read. */
struct script_record {
	uint8_t side, service, kind, flags;
	bool is_ipv6;
	const uint8_t *payload;
	uint32_t payload_bytes;
};

static inline void script__start(struct script *s, const void *data, size_t bytes, uint32_t client)
{
	s->records = tl_cursor__init(data, bytes);
	s->client = client;
	for (uint32_t i = 0; i < 16; i++) {
		s->next[i][0] = 1000 + client;
		s->next[i][1] = 0xfffffe00u; /* wraps soon */
	}
	s->last.caplen = 0;
	if (!s->now_ns)
		s->now_ns = SCRIPT_START_NS;
}

static inline bool script__read(struct script *s, struct script_record *r)
{
	static const uint64_t unit_ns[] = { 1000,      10000,	   100000,	1000000,
					    10000000u, 100000000u, 1000000000u, 10000000000u };
	uint8_t who;
	uint32_t time;
	uint64_t ns;

	if (tl_cursor__left(&s->records) < SCRIPT_RECORD_BYTES)
		return false;
	who = tl_cursor__u8(&s->records);
	r->side = who & 1;
	r->service = who >> 1 & 7;
	r->is_ipv6 = who & 16;
	r->kind = who >> 5;
	r->flags = tl_cursor__u8(&s->records);
	time = tl_cursor__be16(&s->records);
	ns = (time & 0xfff) * unit_ns[time >> 12 & 7];
	if (!(time & 0x8000))
		s->now_ns += ns;
	else if (s->now_ns - ns / 1000 > SCRIPT_START_NS / 2)
		s->now_ns -= ns / 1000;
	r->payload_bytes = tl_cursor__be16(&s->records);
	if (r->payload_bytes > tl_cursor__left(&s->records))
		r->payload_bytes = (uint32_t)tl_cursor__left(&s->records);
	r->payload = tl_cursor__take(&s->records, r->payload_bytes);
	return true;
}

static inline void script__ip(struct pb *b, const struct script *s, const struct script_record *r)
{
	char client[64], server[64];
	uint32_t n = s->client;

	if (r->is_ipv6) {
		snprintf(client, sizeof(client), "2001:db8::%x:%x", n >> 16 & 0xffff, n & 0xffff);
		snprintf(server, sizeof(server), "2001:db8:1::%u", 10 + n % 4);
	} else {
		snprintf(client, sizeof(client), "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255,
			 n & 255);
		snprintf(server, sizeof(server), "192.0.2.%u", 10 + n % 4);
	}
	pb__ip(b, &(struct pb_ip){ .src = r->side ? server : client,
				   .dst = r->side ? client : server,
				   .id = s->ip_id,
				   .ttl = r->side ? 63 : 64,
				   .dont_fragment = true });
}

static inline void script__tcp(struct pb *b, const struct script *s, const struct script_record *r)
{
	static const uint16_t port[] = { 53, 53, 80, 443, 3306, 5432, 22, 8080 };
	const uint32_t *next = s->next[r->service + 8 * r->is_ipv6];
	bool is_syn = r->flags & TL_TCP_SYN;
	uint16_t mine = (uint16_t)(40000 + s->client % 20000);
	uint32_t seq = next[r->side];
	struct pb_tcp tcp = {
		.src_port = r->side ? port[r->service] : mine,
		.dst_port = r->side ? mine : port[r->service],
		.seq = r->kind == SCRIPT_AGAIN ? seq - r->payload_bytes : seq,
		.ack = r->flags & TL_TCP_ACK ? next[!r->side] : 0,
		.flags = r->flags & 0x1f,
		.zero_window = r->flags & TL_TCP_URG,
		.mss = is_syn ? 1460 : 0,
		.sack_ok = is_syn,
		.has_wscale = is_syn,
		.wscale = 7,
		.has_ts = r->flags & TL_TCP_CWR,
		.tsval = (uint32_t)(s->now_ns / 1000000),
		.sack_count = r->flags & TL_TCP_ECE ? 1 : 0,
		.sack = { { next[!r->side] + 1460, next[!r->side] + 2920 } },
	};

	if (r->service != SCRIPT_UDP)
		pb__tcp(b, &tcp);
	else
		pb__udp(b, tcp.src_port, tcp.dst_port);
}

/* What is around the packet: tags, labels, an outer IP. */
static inline void script__outside(struct pb *b, uint8_t how)
{
	static const struct pb_ip outer = { .src = "198.51.100.1", .dst = "198.51.100.2" };
	static const uint16_t tunnel_port[] = { 4789, 6081, 2152 };

	if (how & 1)
		pb__vlan(b, 0x88a8, 7);
	if (how & 2)
		pb__vlan(b, 0x8100, how);
	if (how & 4)
		pb__mpls(b, how, true);
	if (!(how & 0x38))
		return;
	pb__ip(b, &outer);
	switch (how >> 3 & 7) {
	case 1:
		pb__gre(b, &(struct pb_gre){ .has_key = true, .key = how });
		break;
	case 2:
	case 3:
	case 4:
		pb__udp(b, 50000, tunnel_port[(how >> 3 & 7) - 2]);
		if ((how >> 3 & 7) == 2)
			pb__vxlan(b, how);
		else if ((how >> 3 & 7) == 3)
			pb__geneve(b, how, 8);
		else
			pb__gtpu(b, how);
		if ((how >> 3 & 7) != 4)
			pb__ethernet(b);
		break;
	default:
		break; /* IP in IP */
	}
}

static inline void script__segment(struct script *s, const struct script_record *r)
{
	struct pb b = pb__start(s->bytes, sizeof(s->bytes));
	struct script_record inner = *r;
	uint32_t *next = &s->next[r->service + 8 * r->is_ipv6][r->side];
	uint32_t bytes = r->payload_bytes < 65000 ? r->payload_bytes : 65000;

	inner.payload_bytes = bytes;
	s->ip_id++;
	pb__ethernet(&b);
	if (r->kind == SCRIPT_TUNNEL) {
		script__outside(&b, r->flags);
		inner.flags = TL_TCP_PSH | TL_TCP_ACK;
	} else if (r->kind == SCRIPT_SPOILED) {
		inner.flags = TL_TCP_PSH | TL_TCP_ACK;
	}
	script__ip(&b, s, &inner);
	script__tcp(&b, s, &inner);
	pb__bytes(&b, r->payload, bytes);
	s->last = pb__packet(&b, s->now_ns, 0);
	if (r->kind != SCRIPT_AGAIN)
		*next += bytes + !!(inner.flags & TL_TCP_SYN) + !!(inner.flags & TL_TCP_FIN);
	if (r->kind == SCRIPT_SPOILED && r->flags & 1)
		s->bytes[s->last.caplen - 1 - r->flags / 2 % (s->last.caplen - 34)] ^= 0x24;
	else if (r->kind == SCRIPT_SPOILED && r->flags < s->last.caplen)
		s->last.caplen = r->flags;
}

static inline void script__icmp(struct script *s, const struct script_record *r)
{
	struct pb b = pb__start(s->bytes, sizeof(s->bytes));
	uint32_t n = s->last.caplen;

	n = n > 14 ? n - 14 : 0;
	n = n < sizeof(s->quoted) ? n : sizeof(s->quoted);
	memcpy(s->quoted, s->bytes + 14, n);
	pb__ethernet(&b);
	script__ip(&b, s, r);
	if (r->is_ipv6)
		pb__icmp6(&b, r->flags & 0x80 ? 2 : 1, r->flags & 7, 1280);
	else
		pb__icmp(&b, r->flags & 0x80 ? 11 : 3, r->flags & 15, 1280);
	pb__bytes(&b, s->quoted, n);
	s->last = pb__packet(&b, s->now_ns, 0);
}

static inline void script__frame(struct script *s, const struct script_record *r)
{
	if (r->payload_bytes)
		memcpy(s->bytes, r->payload, r->payload_bytes);
	s->last = (struct tl_packet){ .data = s->bytes,
				      .ts_ns = s->now_ns,
				      .caplen = r->payload_bytes,
				      .wirelen = r->payload_bytes,
				      .linktype = TL_LINKTYPE_ETHERNET };
}

/* A hop on: TTL - 1 and its checksum, other addresses of the link. */
static inline void script__copy(struct script *s, uint8_t how)
{
	uint8_t *p = s->bytes;

	s->last.ts_ns = s->now_ns;
	if (s->last.caplen < 34)
		return;
	if (how & 1 && p[12] == 8 && !p[13]) {
		p[22]--;
		pb__set16(p + 24, 0);
		pb__set16(p + 24, ~pb__sum(p + 14, 20, 0));
	}
	if (how & 2)
		p[5] ^= 0x55;
}

/* The next packet, borrowed until the one after it; NULL: the records are used up. */
static inline const struct tl_packet *script__next(struct script *s)
{
	struct script_record r;

	while (script__read(s, &r)) {
		switch (r.kind) {
		case SCRIPT_FRAME:
			script__frame(s, &r);
			break;
		case SCRIPT_LOST:
			s->next[r.service + 8 * r.is_ipv6][r.side] += r.payload_bytes;
			continue;
		case SCRIPT_COPY:
			script__copy(s, r.flags);
			break;
		case SCRIPT_ICMP:
			script__icmp(s, &r);
			break;
		default:
			script__segment(s, &r);
		}
		if (s->last.caplen)
			return &s->last;
	}
	return NULL;
}

#endif
