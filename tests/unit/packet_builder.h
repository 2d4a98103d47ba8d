/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes packets for tests: layers are appended from the outside in; lengths, next-protocol fields
 * and checksums are filled in when the packet is taken.
 *
 *	uint8_t bytes[2048];
 *	struct pb b = pb__start(bytes, sizeof(bytes));
 *
 *	pb__ethernet(&b);
 *	pb__vlan(&b, 0x8100, 12);
 *	pb__ip(&b, &(struct pb_ip){ .src = "10.0.0.1", .dst = "10.0.0.2" });
 *	pb__tcp(&b, &(struct pb_tcp){ .src_port = 1025, .dst_port = 80, .flags = TL_TCP_SYN });
 *	struct tl_packet packet = pb__packet(&b, ts_ns, frame);
 *
 * Or in one call: pb__tcp_packet(bytes, &ip, &tcp, (struct pb_payload){ "GET /", 5 }).
 * Then spoil what the test is about: `bytes[b.at[PB_TCP] + 13] = …` (offset of the innermost one).
 * A mistake of the test (no room, a bad address) aborts.
 */
#ifndef TAPLINE_TESTS_PACKET_BUILDER_H
#define TAPLINE_TESTS_PACKET_BUILDER_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/packet.h"

#define PB_LAYERS_MAX 32

enum pb_kind {
	PB_OTHER, /* bytes that need nothing filled in */
	PB_ETHERNET,
	PB_IPV4,
	PB_IPV6,
	PB_TCP,
	PB_UDP,
	PB_ICMP,
	PB_ICMP6,
	PB_GRE_CSUM, /* GRE with a checksum field */
	PB_PPPOE,
	PB_GTPU,
	PB_KINDS,
};

struct pb {
	uint8_t *data;
	size_t room;
	size_t bytes;
	uint16_t linktype;
	bool finished;
	size_t next_at;	     /* where the type of the next layer belongs */
	size_t next_width;   /* 2: ethertype, 1: IP protocol; 0: nowhere */
	size_t at[PB_KINDS]; /* offset of the innermost layer of that kind */
	struct {
		enum pb_kind kind;
		size_t at;
	} layer[PB_LAYERS_MAX];
	size_t layer_count;
};

struct pb_ip {
	const char *src, *dst; /* with a colon: IPv6 */
	uint8_t ttl;	       /* 0: 64 */
	uint8_t tos;
	uint16_t id;
	uint8_t proto; /* 0: by what follows */
	bool dont_fragment;
	bool more_fragments;
	uint16_t fragment_offset; /* bytes; IPv6: use pb__ipv6_fragment */
	const uint8_t *options;	  /* IPv4 only, a multiple of 4 bytes */
	size_t option_bytes;
};

struct pb_tcp {
	uint16_t src_port, dst_port;
	uint32_t seq, ack;
	uint8_t flags; /* enum tl_tcp_flag */
	bool zero_window;
	uint16_t window; /* 0: 65535, unless zero_window */
	uint16_t urgent;
	uint16_t mss; /* options, written in this order, padded with NOP */
	bool sack_ok;
	bool has_ts;
	uint32_t tsval, tsecr;
	bool has_wscale;
	uint8_t wscale;
	uint8_t sack_count;
	struct tl_sack_block sack[4];
	const uint8_t *raw_options; /* as they are, after the others */
	size_t raw_option_bytes;
};

static inline void pb__check(bool fine)
{
	if (!fine)
		abort();
}

static inline struct pb pb__start(uint8_t *buffer, size_t room)
{
	return (struct pb){ .data = buffer, .room = room, .linktype = TL_LINKTYPE_ETHERNET };
}

static inline void pb__set16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void pb__set32(uint8_t *p, uint32_t v)
{
	pb__set16(p, v >> 16);
	pb__set16(p + 2, v);
}

/* Appends bytes as they are; NULL: zeros. Where they lie. */
static inline uint8_t *pb__bytes(struct pb *b, const void *data, size_t bytes)
{
	uint8_t *p = b->data + b->bytes;

	pb__check(b->room - b->bytes >= bytes && !b->finished);
	if (data && bytes)
		memcpy(p, data, bytes);
	else
		memset(p, 0, bytes);
	b->bytes += bytes;
	return p;
}

/* A new layer of `bytes` zeros; tells the layer before it what follows. */
static inline uint8_t *pb__layer(struct pb *b, enum pb_kind kind, size_t bytes, uint32_t type)
{
	pb__check(b->layer_count < PB_LAYERS_MAX);
	if (b->next_width == 2)
		pb__set16(b->data + b->next_at, type);
	else if (b->next_width == 1)
		b->data[b->next_at] = (uint8_t)type;
	b->next_width = 0;
	b->at[kind] = b->bytes;
	b->layer[b->layer_count].kind = kind;
	b->layer[b->layer_count++].at = b->bytes;
	return pb__bytes(b, NULL, bytes);
}

static inline void pb__next(struct pb *b, const uint8_t *field, size_t width)
{
	b->next_at = (size_t)(field - b->data);
	b->next_width = width;
}

/* As the next type: an ethertype or an IP protocol, whichever the layer before has a field for. */
static inline uint32_t pb__type(const struct pb *b, uint32_t ethertype, uint32_t proto)
{
	return b->next_width == 1 ? proto : ethertype;
}

static inline void pb__ethernet(struct pb *b)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 };
	uint8_t *p = pb__layer(b, PB_ETHERNET, 14, pb__type(b, 0x6558, 143));

	memcpy(p, macs, sizeof(macs));
	pb__next(b, p + 12, 2);
}

/* `tpid` 0x8100, 0x88a8 or 0x9100. */
static inline void pb__vlan(struct pb *b, uint16_t tpid, uint16_t tci)
{
	uint8_t *p = pb__layer(b, PB_OTHER, 4, tpid);

	pb__set16(p, tci);
	pb__next(b, p + 2, 2);
}

static inline void pb__mpls(struct pb *b, uint32_t label, bool bottom)
{
	uint8_t *p = pb__layer(b, PB_OTHER, 4, pb__type(b, 0x8847, 137));

	pb__set32(p, label << 12 | (uint32_t)bottom << 8 | 64);
}

static inline void pb__pppoe(struct pb *b, uint16_t session, uint16_t ppp_protocol)
{
	uint8_t *p = pb__layer(b, PB_PPPOE, 8, 0x8864);

	p[0] = 0x11;
	pb__set16(p + 2, session);
	pb__set16(p + 6, ppp_protocol);
}

static inline void pb__address(const char *text, uint8_t *p)
{
	pb__check(inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, p) == 1);
}

static inline void pb__ipv6(struct pb *b, const struct pb_ip *ip)
{
	uint8_t *p = pb__layer(b, PB_IPV6, 40, pb__type(b, 0x86dd, 41));

	pb__set32(p, 6u << 28 | (uint32_t)ip->tos << 20);
	p[6] = ip->proto;
	p[7] = ip->ttl ? ip->ttl : 64;
	pb__address(ip->src, p + 8);
	pb__address(ip->dst, p + 24);
	if (!ip->proto)
		pb__next(b, p + 6, 1);
}

static inline void pb__ip(struct pb *b, const struct pb_ip *ip)
{
	uint8_t *p;

	if (strchr(ip->src, ':')) {
		pb__ipv6(b, ip);
		return;
	}
	p = pb__layer(b, PB_IPV4, 20 + ip->option_bytes, pb__type(b, 0x0800, 4));
	p[0] = (uint8_t)(0x40 | (20 + ip->option_bytes) / 4);
	p[1] = ip->tos;
	pb__set16(p + 4, ip->id);
	pb__set16(p + 6, (uint32_t)ip->dont_fragment << 14 | (uint32_t)ip->more_fragments << 13 |
				 ip->fragment_offset / 8u);
	p[8] = ip->ttl ? ip->ttl : 64;
	p[9] = ip->proto;
	pb__address(ip->src, p + 12);
	pb__address(ip->dst, p + 16);
	if (ip->option_bytes)
		memcpy(p + 20, ip->options, ip->option_bytes);
	if (!ip->proto)
		pb__next(b, p + 9, 1);
}

/* Extension header `type` (0, 43, 60, 135…) of `bytes` (a multiple of 8), its options zero (Pad1).
 */
static inline void pb__ipv6_extension(struct pb *b, uint8_t type, size_t bytes)
{
	uint8_t *p = pb__layer(b, PB_OTHER, bytes, type);

	p[1] = (uint8_t)(bytes / 8 - 1);
	pb__next(b, p, 1);
}

static inline void pb__ipv6_fragment(struct pb *b, uint16_t offset, bool more, uint32_t id)
{
	uint8_t *p = pb__layer(b, PB_OTHER, 8, 44);

	pb__set16(p + 2, (offset & ~7u) | more);
	pb__set32(p + 4, id);
	pb__next(b, p, 1);
}

static inline void pb__udp(struct pb *b, uint16_t src_port, uint16_t dst_port)
{
	uint8_t *p = pb__layer(b, PB_UDP, 8, 17);

	pb__set16(p, src_port);
	pb__set16(p + 2, dst_port);
}

static inline void pb__tcp_options(struct pb *b, const struct pb_tcp *tcp)
{
	uint8_t *p;

	if (tcp->mss)
		pb__set16(pb__bytes(b, "\2\4\0", 4) + 2, tcp->mss);
	if (tcp->sack_ok)
		pb__bytes(b, "\4\2", 2);
	if (tcp->has_ts) {
		p = pb__bytes(b, NULL, 10);
		p[0] = 8;
		p[1] = 10;
		pb__set32(p + 2, tcp->tsval);
		pb__set32(p + 6, tcp->tsecr);
	}
	if (tcp->has_wscale)
		pb__bytes(b, "\3\3", 3)[2] = tcp->wscale;
	if (tcp->sack_count) {
		p = pb__bytes(b, NULL, 2 + 8u * tcp->sack_count);
		p[0] = 5;
		p[1] = (uint8_t)(2 + 8u * tcp->sack_count);
		for (unsigned i = 0; i < tcp->sack_count; i++) {
			pb__set32(p + 2 + 8 * i, tcp->sack[i].left);
			pb__set32(p + 6 + 8 * i, tcp->sack[i].right);
		}
	}
	if (tcp->raw_option_bytes)
		pb__bytes(b, tcp->raw_options, tcp->raw_option_bytes);
}

static inline void pb__tcp(struct pb *b, const struct pb_tcp *tcp)
{
	size_t at = b->bytes;
	uint8_t *p = pb__layer(b, PB_TCP, 20, 6);

	pb__set16(p, tcp->src_port);
	pb__set16(p + 2, tcp->dst_port);
	pb__set32(p + 4, tcp->seq);
	pb__set32(p + 8, tcp->ack);
	p[13] = tcp->flags;
	pb__set16(p + 14, tcp->window || tcp->zero_window ? tcp->window : 65535u);
	pb__set16(p + 18, tcp->urgent);
	pb__tcp_options(b, tcp);
	while ((b->bytes - at) % 4)
		pb__bytes(b, "\1", 1);
	pb__check(b->bytes - at <= 60);
	p[12] = (uint8_t)((b->bytes - at) / 4 << 4);
}

/* `rest`: the four bytes after the checksum (echo: identifier and sequence). Append what is quoted.
 */
static inline void pb__icmp(struct pb *b, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t *p = pb__layer(b, PB_ICMP, 8, 1);

	p[0] = type;
	p[1] = code;
	pb__set32(p + 4, rest);
}

static inline void pb__icmp6(struct pb *b, uint8_t type, uint8_t code, uint32_t rest)
{
	uint8_t *p = pb__layer(b, PB_ICMP6, 8, 58);

	p[0] = type;
	p[1] = code;
	pb__set32(p + 4, rest);
}

/* --- tunnels ------------------------------------------------------------------------------- */

struct pb_gre {
	bool has_checksum, has_key, has_sequence;
	uint32_t key, sequence;
	uint16_t protocol; /* 0: by what follows (IPv4, IPv6, 0x6558 for Ethernet) */
};

static inline void pb__gre(struct pb *b, const struct pb_gre *gre)
{
	enum pb_kind kind = gre->has_checksum ? PB_GRE_CSUM : PB_OTHER;
	size_t at = b->bytes;
	uint8_t *p = pb__layer(b, kind, 4, 47);

	pb__set16(p, (uint32_t)gre->has_checksum << 15 | (uint32_t)gre->has_key << 13 |
			     (uint32_t)gre->has_sequence << 12);
	pb__set16(p + 2, gre->protocol);
	if (gre->has_checksum)
		pb__bytes(b, NULL, 4);
	if (gre->has_key)
		pb__set32(pb__bytes(b, NULL, 4), gre->key);
	if (gre->has_sequence)
		pb__set32(pb__bytes(b, NULL, 4), gre->sequence);
	if (!gre->protocol)
		pb__next(b, b->data + at + 2, 2);
}

/* Behind pb__udp(…, 4789). */
static inline void pb__vxlan(struct pb *b, uint32_t vni)
{
	uint8_t *p = pb__bytes(b, "\x08", 1);

	pb__bytes(b, NULL, 7);
	pb__set32(p + 4, vni << 8);
}

/* Behind pb__udp(…, 6081); `option_bytes` a multiple of 4. */
static inline void pb__geneve(struct pb *b, uint32_t vni, size_t option_bytes)
{
	uint8_t *p = pb__layer(b, PB_OTHER, 8 + option_bytes, 0);

	p[0] = (uint8_t)(option_bytes / 4);
	pb__set32(p + 4, vni << 8);
	pb__next(b, p + 2, 2);
}

/* Behind pb__udp(…, 2152); a G-PDU. */
static inline void pb__gtpu(struct pb *b, uint32_t teid)
{
	uint8_t *p = pb__layer(b, PB_GTPU, 8, 0);

	p[0] = 0x30;
	p[1] = 0xff;
	pb__set32(p + 4, teid);
}

/* --- taking the packet --------------------------------------------------------------------- */

static inline uint32_t pb__sum(const uint8_t *p, size_t bytes, uint32_t sum)
{
	for (size_t i = 0; i + 1 < bytes; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	if (bytes & 1)
		sum += (uint32_t)(p[bytes - 1] << 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The checksum of the transport layer at `at`, whose field is now zero. */
static inline uint16_t pb__transport_checksum(const struct pb *b, size_t layer, uint32_t proto)
{
	size_t at = b->layer[layer].at;
	size_t bytes = b->bytes - at;
	uint32_t sum = 0;

	while (layer-- > 0) {
		const uint8_t *ip = b->data + b->layer[layer].at;

		if (b->layer[layer].kind == PB_IPV4)
			sum = pb__sum(ip + 12, 8, proto + (uint32_t)bytes);
		else if (b->layer[layer].kind == PB_IPV6)
			sum = pb__sum(ip + 8, 32, proto + (uint32_t)bytes);
		else
			continue;
		break;
	}
	return (uint16_t)~pb__sum(b->data + at, bytes, sum);
}

static inline void pb__finish_layer(struct pb *b, size_t layer)
{
	size_t at = b->layer[layer].at;
	size_t bytes = b->bytes - at;
	uint8_t *p = b->data + at;
	uint16_t sum;

	switch (b->layer[layer].kind) {
	case PB_IPV4:
		pb__set16(p + 2, (uint32_t)bytes);
		pb__set16(p + 10, ~pb__sum(p, (p[0] & 15u) * 4u, 0));
		break;
	case PB_IPV6:
		pb__set16(p + 4, (uint32_t)bytes - 40);
		break;
	case PB_TCP:
		pb__set16(p + 16, pb__transport_checksum(b, layer, 6));
		break;
	case PB_UDP:
		pb__set16(p + 4, (uint32_t)bytes);
		sum = pb__transport_checksum(b, layer, 17);
		pb__set16(p + 6, sum ? sum : 0xffffu);
		break;
	case PB_ICMP:
		pb__set16(p + 2, ~pb__sum(p, bytes, 0));
		break;
	case PB_ICMP6:
		pb__set16(p + 2, pb__transport_checksum(b, layer, 58));
		break;
	case PB_GRE_CSUM:
		pb__set16(p + 4, ~pb__sum(p, bytes, 0));
		break;
	case PB_PPPOE:
		pb__set16(p + 4, (uint32_t)bytes - 6);
		break;
	case PB_GTPU:
		pb__set16(p + 2, (uint32_t)bytes - 8);
		break;
	default:
		break;
	}
}

/* Fills in lengths and checksums, innermost first. pb__packet does so by itself. */
static inline void pb__finish(struct pb *b)
{
	if (b->finished)
		return;
	for (size_t layer = b->layer_count; layer-- > 0;)
		pb__finish_layer(b, layer);
	b->finished = true;
}

/* The descriptor of the packet; its bytes stay in the test's buffer. */
static inline struct tl_packet pb__packet(struct pb *b, uint64_t ts_ns, uint64_t frame)
{
	pb__finish(b);
	return (struct tl_packet){
		.data = b->data,
		.ts_ns = ts_ns,
		.frame = frame,
		.caplen = (uint32_t)b->bytes,
		.wirelen = (uint32_t)b->bytes,
		.linktype = b->linktype,
	};
}

struct pb_payload {
	const void *data; /* NULL: zeros */
	size_t bytes;
};

/* Ethernet, IP, TCP and payload, as frame 1 at time 0; `buffer` has room for all of it. */
static inline struct tl_packet pb__tcp_packet(uint8_t *buffer, const struct pb_ip *ip,
					      const struct pb_tcp *tcp, struct pb_payload payload)
{
	struct pb b = pb__start(buffer, 14 + 40 + ip->option_bytes + 60 + payload.bytes);

	pb__ethernet(&b);
	pb__ip(&b, ip);
	pb__tcp(&b, tcp);
	pb__bytes(&b, payload.data, payload.bytes);
	return pb__packet(&b, 0, 1);
}

struct pb_ports {
	uint16_t src, dst;
};

/* Ethernet, IP, UDP and payload. */
static inline struct tl_packet pb__udp_packet(uint8_t *buffer, const struct pb_ip *ip,
					      struct pb_ports ports, struct pb_payload payload)
{
	struct pb b = pb__start(buffer, 14 + 40 + ip->option_bytes + 8 + payload.bytes);

	pb__ethernet(&b);
	pb__ip(&b, ip);
	pb__udp(&b, ports.src, ports.dst);
	pb__bytes(&b, payload.data, payload.bytes);
	return pb__packet(&b, 0, 1);
}

#endif
