/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the Ethernet header of a packet to its innermost IP and transport header: which flow it is
 * of, and how long its headers are.
 *
 *   Ethernet ─ VLAN… ─ MPLS… ─ PPPoE ─► IPv4/IPv6 ─ extensions ─┬─ TCP, UDP, SCTP   flow and ports
 *        ▲                                  ▲                   ├─ later fragment   see `fragment`
 *        │                                  │                   └─ ICMP error       quoted flow
 *        └─ IPIP, GRE, ERSPAN, VXLAN, Geneve, GTP-U ────────────┘
 *
 * A program that includes this says before it what its packets are and how they are read:
 *
 *   #define WALK_CTX struct xdp_md
 *   static int walk_load(WALK_CTX *ctx, __u32 at, void *to, __u32 bytes);   0, or below: too short
 *
 * so that XDP and the fanout of sockets agree on what a flow is. Invariant: `at` only grows, one
 * header a step, at most WALK_STEPS of them.
 */
#ifndef TL_WALK_H
#define TL_WALK_H

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define WALK_STEPS 24 /* headers looked at: four tunnels with their link layers */

enum { /* what is at `at`: an IP protocol below 256, one of these, or an EtherType */
       NEXT_DONE = 256,
       NEXT_ETHERNET,
       NEXT_BY_VERSION, /* the first four bits tell: MPLS and GTP-U payload, a quoted packet */
};

#define IS_ETHERTYPE(next) ((next) >= 0x600)

enum walk_fragment { WALK_WHOLE = 0, WALK_FRAGMENT_FIRST, WALK_FRAGMENT_LATER };

struct walk {
	__u64 seed;
	__u64 src; /* innermost addresses, mixed with the seed */
	__u64 dst;
	__u64 piece; /* of a fragment: what all fragments of its datagram have in common */
	__u32 at;
	__u32 next;
	__u32 headers;	/* bytes of headers so far; 0: no IP */
	__u16 src_port; /* as in the packet */
	__u16 dst_port;
	__u8 proto;
	__u8 tcp_flags;
	__u8 fragment; /* enum walk_fragment of the outermost fragmented header */
	__u8 is_quote; /* inside an ICMP error */
};

static __always_inline __u64 mix(__u64 v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdull;
	v ^= v >> 33;
	v *= 0xc4ceb9fe1a85ec53ull;
	return v ^ v >> 33;
}

/* Below 0x600 it is a length (IEEE 802.3): no IP follows. */
static __always_inline __u32 walk_ethertype(__be16 type)
{
	__u32 value = bpf_ntohs(type);

	return IS_ETHERTYPE(value) ? value : NEXT_DONE;
}

static __always_inline void enter_ip(struct walk *w, __u64 src, __u64 dst)
{
	w->src = src;
	w->dst = dst;
	w->src_port = 0;
	w->dst_port = 0;
	w->tcp_flags = 0;
}

static __always_inline void end_headers(struct walk *w)
{
	if (!w->is_quote)
		w->headers = w->at;
}

static __always_inline void note_fragment(struct walk *w, __u32 id, int is_first)
{
	/* the outermost one decides: what is inside its later pieces cannot be seen */
	if (w->fragment)
		return;
	w->fragment = is_first ? WALK_FRAGMENT_FIRST : WALK_FRAGMENT_LATER;
	w->piece = mix(w->src ^ mix(w->dst + id));
}

static __noinline int step_ipv4(WALK_CTX *ctx, struct walk *w)
{
	struct {
		__u8 version_ihl, tos;
		__be16 length, id, fragment;
		__u8 ttl, protocol;
		__be16 checksum;
		__be32 src, dst;
	} ip;
	__u16 fragment;

	if (walk_load(ctx, w->at, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4 ||
	    (ip.version_ihl & 15) < 5)
		return -1;
	enter_ip(w, mix(ip.src ^ w->seed), mix(ip.dst ^ w->seed));
	w->at += (ip.version_ihl & 15) * 4u;
	w->proto = ip.protocol;
	w->next = ip.protocol;
	end_headers(w);
	fragment = bpf_ntohs(ip.fragment) & 0x3fff;
	if (fragment)
		note_fragment(w, (__u32)ip.protocol << 16 | ip.id, fragment == 0x2000);
	return fragment & 0x1fff ? -1 : 0;
}

static __noinline int step_ipv6(WALK_CTX *ctx, struct walk *w)
{
	struct {
		__be32 version;
		__be16 length;
		__u8 next, hops;
		__u64 src[2], dst[2];
	} ip;

	if (walk_load(ctx, w->at, &ip, sizeof(ip)) || (bpf_ntohl(ip.version) >> 28) != 6)
		return -1;
	enter_ip(w, mix(mix(ip.src[0] ^ w->seed) ^ ip.src[1]),
		 mix(mix(ip.dst[0] ^ w->seed) ^ ip.dst[1]));
	w->at += sizeof(ip);
	w->proto = ip.next;
	w->next = ip.next;
	end_headers(w);
	return 0;
}

/* Extension headers of IPv6 (and AH) that lie between the addresses and the transport header. */
static __noinline int step_extension(WALK_CTX *ctx, struct walk *w)
{
	__u8 h[8];
	__u32 kind = w->next;

	if (walk_load(ctx, w->at, h, sizeof(h)))
		return -1;
	w->next = h[0];
	w->proto = h[0];
	w->at += kind == 44 ? 8 : kind == 51 ? (h[1] + 2u) * 4 : (h[1] + 1u) * 8;
	end_headers(w);
	if (kind == 44 && (h[2] || h[3] & 0xf9)) { /* not an "atomic" one (RFC 6946) */
		int is_first = !h[2] && !(h[3] & 0xf8);
		__u32 id = (__u32)h[4] << 24 | (__u32)h[5] << 16 | (__u32)h[6] << 8 | h[7];

		note_fragment(w, id, is_first);
		return is_first ? 0 : -1;
	}
	return 0;
}

/* GRE (RFC 2784, 2890), with ERSPAN types I, II and III (draft-foschiano-erspan). */
static __noinline int step_gre(WALK_CTX *ctx, struct walk *w)
{
	__be16 head[2];
	__u16 flags, type;
	__u8 erspan[12];

	if (walk_load(ctx, w->at, head, sizeof(head)))
		return -1;
	flags = bpf_ntohs(head[0]);
	type = bpf_ntohs(head[1]);
	if (flags & 0x4007) /* routing (obsolete), or PPTP's version 1 */
		return -1;
	w->at += 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
	w->next = walk_ethertype(head[1]);
	if (type == 0x6558)
		w->next = NEXT_ETHERNET;
	if (type == 0x88be) { /* type I has no sequence number and no header of its own */
		w->at += flags & 0x1000 ? 8 : 0;
		w->next = NEXT_ETHERNET;
	}
	if (type == 0x22eb) {
		if (walk_load(ctx, w->at, erspan, sizeof(erspan)))
			return -1;
		w->at += erspan[11] & 1 ? 20 : 12; /* O: a platform-specific subheader follows */
		w->next = NEXT_ETHERNET;
	}
	return 0;
}

static __noinline int step_gtpu(WALK_CTX *ctx, struct walk *w)
{
	__u8 head[12];
	__u32 skip = 8;

	if (walk_load(ctx, w->at, head, 8) || head[0] >> 5 != 1 || head[1] != 0xff)
		return -1;
	if (head[0] & 7) {
		if (walk_load(ctx, w->at, head, sizeof(head)))
			return -1;
		skip = 12;
		if (head[0] & 4 && head[11] == 0x85) /* the PDU session container of 5G */
			skip = 16;
		else if (head[0] & 4 && head[11])
			return -1;
	}
	w->at += skip;
	w->next = NEXT_BY_VERSION;
	return 0;
}

/* Tunnels in UDP, by their registered destination ports. Anything else ends here. */
static __noinline int step_udp(WALK_CTX *ctx, struct walk *w)
{
	__be16 ports[2];
	__u8 head[4];

	if (walk_load(ctx, w->at, ports, sizeof(ports)))
		return -1;
	w->src_port = ports[0];
	w->dst_port = ports[1];
	w->at += 8;
	end_headers(w);
	switch (bpf_ntohs(ports[1])) {
	case 4789: /* VXLAN (RFC 7348) */
	case 8472:
		if (walk_load(ctx, w->at, head, sizeof(head)) || !(head[0] & 8))
			return -1;
		w->at += 8;
		w->next = NEXT_ETHERNET;
		return 0;
	case 6081: /* Geneve (RFC 8926) */
		if (walk_load(ctx, w->at, head, sizeof(head)) || head[0] >> 6)
			return -1;
		w->at += 8 + (head[0] & 0x3f) * 4u;
		w->next = (__u32)head[2] << 8 | head[3];
		w->next = w->next == 0x6558 ? NEXT_ETHERNET : walk_ethertype(bpf_htons(w->next));
		return 0;
	case 2152: /* GTP-U (TS 29.281) */
		return step_gtpu(ctx, w);
	default:
		return -1;
	}
}

static __noinline int step_tcp(WALK_CTX *ctx, struct walk *w)
{
	struct {
		__be16 src, dst;
		__be32 seq, ack;
		__u8 offset, flags;
	} tcp;

	if (walk_load(ctx, w->at, &tcp, 14)) {
		__be16 ports[2];

		/* an ICMP error need not quote more than 8 bytes */
		if (walk_load(ctx, w->at, ports, sizeof(ports)))
			return -1;
		w->src_port = ports[0];
		w->dst_port = ports[1];
		w->at += 20;
		end_headers(w);
		return -1;
	}
	w->src_port = tcp.src;
	w->dst_port = tcp.dst;
	w->tcp_flags = tcp.flags;
	w->at += (tcp.offset >> 4) < 5 ? 20u : (tcp.offset >> 4) * 4u;
	end_headers(w);
	return -1;
}

static __noinline int step_sctp(WALK_CTX *ctx, struct walk *w)
{
	__be16 ports[2];

	if (walk_load(ctx, w->at, ports, sizeof(ports)))
		return -1;
	w->src_port = ports[0];
	w->dst_port = ports[1];
	w->at += 12;
	end_headers(w);
	return -1;
}

/* An error belongs to the flow whose packet it quotes. */
static __noinline int step_icmp(WALK_CTX *ctx, struct walk *w)
{
	__u8 type;

	if (walk_load(ctx, w->at, &type, 1))
		return -1;
	w->at += 8;
	end_headers(w);
	if (w->next == 1 ? type != 3 && type != 4 && type != 5 && type != 11 && type != 12
			 : type < 1 || type > 4)
		return -1;
	w->is_quote = 1;
	w->next = NEXT_BY_VERSION;
	return 0;
}

static __always_inline int step_ethertype(WALK_CTX *ctx, struct walk *w)
{
	__be16 type;
	__u8 label[4];

	switch (w->next) {
	case 0x8100: /* 802.1Q, 802.1ad and what was used before it */
	case 0x88a8:
	case 0x9100:
		if (walk_load(ctx, w->at + 2, &type, sizeof(type)))
			return -1;
		w->at += 4;
		w->next = walk_ethertype(type);
		return 0;
	case 0x8847:
	case 0x8848:
		if (walk_load(ctx, w->at, label, sizeof(label)))
			return -1;
		w->at += 4;
		if (label[2] & 1)
			w->next = NEXT_BY_VERSION;
		return 0;
	case 0x8864: /* PPPoE session */
		if (walk_load(ctx, w->at + 6, &type, sizeof(type)))
			return -1;
		w->at += 8;
		w->next = type == bpf_htons(0x21)   ? 0x800
			  : type == bpf_htons(0x57) ? 0x86dd
						    : NEXT_DONE;
		return 0;
	case 0x800:
		return step_ipv4(ctx, w);
	case 0x86dd:
		return step_ipv6(ctx, w);
	default:
		return -1;
	}
}

static __always_inline int step_link(WALK_CTX *ctx, struct walk *w)
{
	__be16 type;
	__u8 first;

	if (w->next == NEXT_ETHERNET) {
		if (walk_load(ctx, w->at + 12, &type, sizeof(type)))
			return -1;
		w->at += 14;
		w->next = walk_ethertype(type);
		return 0;
	}
	if (walk_load(ctx, w->at, &first, 1))
		return -1;
	if (first >> 4 == 4 || first >> 4 == 6) {
		w->next = first >> 4 == 4 ? 0x800 : 0x86dd;
		return 0;
	}
	if (!w->is_quote && !(first >> 4)) { /* control word of a pseudowire */
		w->at += 4;
		w->next = NEXT_ETHERNET;
		return 0;
	}
	return -1;
}

/*
 * Moves past one header. Below 0: this is as deep as it goes. Not static on purpose: the verifier
 * then checks it once by itself, not along each of the ways that packets may be nested, which takes
 * it seconds.
 */
__attribute__((noinline)) int walk_step(WALK_CTX *ctx, struct walk *w)
{
	if (!w) /* what the verifier wants to be sure of */
		return -1;
	if (IS_ETHERTYPE(w->next))
		return step_ethertype(ctx, w);
	switch (w->next) {
	case NEXT_ETHERNET:
	case NEXT_BY_VERSION:
		return step_link(ctx, w);
	case 0: /* hop-by-hop */
	case 43:
	case 44:
	case 51:
	case 60:
	case 135:
		return step_extension(ctx, w);
	case 4:
		return step_ipv4(ctx, w);
	case 41:
		return step_ipv6(ctx, w);
	case 6:
		return step_tcp(ctx, w);
	case 17:
		return step_udp(ctx, w);
	case 132:
		return step_sctp(ctx, w);
	case 47:
		return step_gre(ctx, w);
	case 1:
	case 58:
		return step_icmp(ctx, w);
	default:
		return -1;
	}
}

static __always_inline void walk_packet(WALK_CTX *ctx, struct walk *w)
{
	w->next = NEXT_ETHERNET;
	for (int i = 0; i < WALK_STEPS; i++)
		if (walk_step(ctx, w))
			break;
}

/* Symmetric, over the addresses alone: all pieces of a datagram agree on it. */
static __always_inline __u64 walk_hash_addresses(const struct walk *w)
{
	return mix(w->src + w->dst);
}

/* Symmetric, over addresses, ports and protocol. */
static __always_inline __u64 walk_hash_flow(const struct walk *w)
{
	return mix(mix(w->src + w->src_port) + mix(w->dst + w->dst_port) + w->proto);
}

#endif
