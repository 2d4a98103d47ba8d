// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which of several AF_PACKET sockets gets a packet (PACKET_FANOUT_EBPF). The kernel takes the
 * returned number modulo the count of sockets.
 *
 *   Ethernet ─ VLAN… ─ MPLS… ─ PPPoE ─┐
 *        ┌───────────────────────────◄┘
 *        ▼
 *   IPv4/IPv6 ─ extension headers ─┬─ TCP, UDP, …        addresses of this header
 *        ▲                         ├─ a fragment          addresses of this header
 *        │                         ├─ an ICMP error       addresses of the packet it quotes
 *        └─ IPIP, GRE, ERSPAN, ────┘
 *           VXLAN, Geneve, GTP-U
 *
 * The hash is over the innermost addresses alone, and symmetric: h(src) + h(dst). Ports would
 * spread the flows of two busy hosts better, but a fragment after the first has none, and whether
 * fragments will follow is not known when the first packets of a flow arrive: only a rule that
 * never looks at ports keeps a datagram's pieces, and its flow, at one socket. For the same reason
 * the outer addresses decide for a tunnel packet that is itself in fragments. Everything without an
 * IP header (ARP, LLDP, STP…) stays together at the first socket.
 *
 * All reading is relative to the MAC header: for a packet that this host sends, and with or without
 * a VLAN tag in the metadata, it is the one place that is the same. (A device without link layer
 * header has its network header there.) The kernel has moved the stripped tag out already.
 */
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "tl_abi.h"

#define STEPS_MAX 24 /* headers looked at: four tunnels with their link layers */

#define ETH_HEADER 14

enum { /* what the next header is: an IP protocol below 256, one of these, or an EtherType */
       NEXT_DONE = 256,
       NEXT_ETHERNET,
       NEXT_MPLS_PAYLOAD, /* the first four bits tell */
       NEXT_QUOTE,
};

#define IS_ETHERTYPE(next) ((next) >= 0x600)

/* 1: frames begin with an Ethernet header; 0: with the IP header (tun, PPP). Set before loading. */
const volatile __u32 tl_fanout_ethernet = 1;
/* Makes the spreading unforeseeable for whoever sends the packets. */
const volatile __u64 tl_fanout_seed = 0;

struct walk {
	struct __sk_buff *skb;
	__u32 at;   /* offset from the MAC header */
	__u32 next; /* what is there */
	__u32 hash; /* of the innermost addresses so far */
};

/*
 * The relative load sees the linear part of the packet alone. What lies beyond, in pages, is read
 * relative to skb->data: the network header of what comes in, which follows Ethernet's 14 bytes.
 */
static __always_inline int load(struct walk *w, __u32 offset, void *to, __u32 bytes)
{
	__u32 at = w->at + offset;
	__u32 before = 0;

	if (!bpf_skb_load_bytes_relative(w->skb, at, to, bytes, BPF_HDR_START_MAC))
		return 0;
	if (tl_fanout_ethernet && w->skb->pkt_type != 4 /* PACKET_OUTGOING */)
		before = ETH_HEADER;
	if (at < before)
		return -1;
	return (int)bpf_skb_load_bytes(w->skb, at - before, to, bytes);
}

static __always_inline __u64 mix(__u64 v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdull;
	v ^= v >> 33;
	v *= 0xc4ceb9fe1a85ec53ull;
	return v ^ v >> 33;
}

static __always_inline __u32 symmetric(__u64 a, __u64 b)
{
	__u64 sum = mix(a ^ tl_fanout_seed) + mix(b ^ tl_fanout_seed);

	return (__u32)(mix(sum) >> 32);
}

/* Below 0x600 it is a length (IEEE 802.3): no IP follows. */
static __always_inline __u32 ethertype(__be16 type)
{
	__u32 value = bpf_ntohs(type);

	return IS_ETHERTYPE(value) ? value : NEXT_DONE;
}

static __noinline int step_ipv4(struct walk *w)
{
	struct {
		__u8 version_ihl, tos;
		__be16 length, id, fragment;
		__u8 ttl, protocol;
		__be16 checksum;
		__be32 src, dst;
	} ip;

	if (load(w, 0, &ip, sizeof(ip)) || ip.version_ihl >> 4 != 4 || (ip.version_ihl & 15) < 5)
		return -1;
	w->hash = symmetric(ip.src, ip.dst);
	w->at += (ip.version_ihl & 15) * 4u;
	w->next = ip.fragment & bpf_htons(0x3fff) ? NEXT_DONE : ip.protocol;
	return 0;
}

static __noinline int step_ipv6(struct walk *w)
{
	struct {
		__be32 version;
		__be16 length;
		__u8 next, hops;
		__u64 src[2], dst[2];
	} ip;

	if (load(w, 0, &ip, sizeof(ip)) || (bpf_ntohl(ip.version) >> 28) != 6)
		return -1;
	w->hash = symmetric(mix(ip.src[0]) ^ ip.src[1], mix(ip.dst[0]) ^ ip.dst[1]);
	w->at += sizeof(ip);
	w->next = ip.next;
	return 0;
}

/* Extension headers of IPv6 that lie between the addresses and the transport header. */
static __noinline int step_extension(struct walk *w)
{
	__u8 header[4];

	if (load(w, 0, header, sizeof(header)))
		return -1;
	if (w->next == 44) { /* fragment: an "atomic" one (RFC 6946) is a whole packet */
		w->at += 8;
		w->next = header[2] || (header[3] & 0xf9) ? NEXT_DONE : header[0];
	} else {
		w->at += w->next == 51 ? (header[1] + 2u) * 4 : (header[1] + 1u) * 8;
		w->next = header[0];
	}
	return 0;
}

/* GRE (RFC 2784, 2890), with ERSPAN types I, II and III (draft-foschiano-erspan). */
static __noinline int step_gre(struct walk *w)
{
	__be16 head[2];
	__u16 flags, type;
	__u8 erspan[12];

	if (load(w, 0, head, sizeof(head)))
		return -1;
	flags = bpf_ntohs(head[0]);
	type = bpf_ntohs(head[1]);
	if (flags & 0x4007) /* routing (obsolete), or PPTP's version 1 */
		return -1;
	w->at += 4 + (flags & 0x8000 ? 4 : 0) + (flags & 0x2000 ? 4 : 0) + (flags & 0x1000 ? 4 : 0);
	w->next = ethertype(head[1]);
	if (type == 0x6558)
		w->next = NEXT_ETHERNET;
	if (type == 0x88be) { /* type I has no sequence number and no header of its own */
		w->at += flags & 0x1000 ? 8 : 0;
		w->next = NEXT_ETHERNET;
	}
	if (type == 0x22eb) {
		if (load(w, 0, erspan, sizeof(erspan)))
			return -1;
		w->at += erspan[11] & 1 ? 20 : 12; /* O: a platform-specific subheader follows */
		w->next = NEXT_ETHERNET;
	}
	return 0;
}

static __noinline int step_gtpu(struct walk *w)
{
	__u8 head[12];
	__u32 skip = 8;

	if (load(w, 0, head, 8) || head[0] >> 5 != 1 || head[1] != 0xff)
		return -1;
	if (head[0] & 7) {
		if (load(w, 0, head, sizeof(head)))
			return -1;
		skip = 12;
		if (head[0] & 4 && head[11] == 0x85) /* the PDU session container of 5G */
			skip = 16;
		else if (head[0] & 4 && head[11])
			return -1;
	}
	w->at += skip;
	w->next = NEXT_MPLS_PAYLOAD;
	return 0;
}

/* Tunnels in UDP, by their registered destination ports. Anything else ends here. */
static __noinline int step_udp(struct walk *w)
{
	__be16 ports[2];
	__u8 head[4];

	if (load(w, 0, ports, sizeof(ports)))
		return -1;
	w->at += 8;
	switch (bpf_ntohs(ports[1])) {
	case 4789: /* VXLAN (RFC 7348) */
	case 8472:
		if (load(w, 0, head, sizeof(head)) || !(head[0] & 8))
			return -1;
		w->at += 8;
		w->next = NEXT_ETHERNET;
		return 0;
	case 6081: /* Geneve (RFC 8926) */
		if (load(w, 0, head, sizeof(head)) || head[0] >> 6)
			return -1;
		w->at += 8 + (head[0] & 0x3f) * 4u;
		w->next = (__u32)head[2] << 8 | head[3];
		w->next = w->next == 0x6558 ? NEXT_ETHERNET : ethertype(bpf_htons(w->next));
		return 0;
	case 2152: /* GTP-U (TS 29.281) */
		return step_gtpu(w);
	default:
		return -1;
	}
}

/* An error belongs to the flow whose packet it quotes. */
static __noinline int step_icmp(struct walk *w)
{
	__u8 type;

	if (load(w, 0, &type, 1))
		return -1;
	if (w->next == 1 ? type != 3 && type != 4 && type != 5 && type != 11 && type != 12
			 : type < 1 || type > 4)
		return -1;
	w->at += 8;
	w->next = NEXT_QUOTE;
	return 0;
}

static __always_inline int step_ethertype(struct walk *w)
{
	__be16 type;
	__u8 label[4];

	switch (w->next) {
	case 0x8100: /* 802.1Q, 802.1ad and what was used before it */
	case 0x88a8:
	case 0x9100:
		if (load(w, 2, &type, sizeof(type)))
			return -1;
		w->at += 4;
		w->next = ethertype(type);
		return 0;
	case 0x8847:
	case 0x8848:
		if (load(w, 0, label, sizeof(label)))
			return -1;
		w->at += 4;
		if (label[2] & 1)
			w->next = NEXT_MPLS_PAYLOAD;
		return 0;
	case 0x8864: /* PPPoE session */
		if (load(w, 6, &type, sizeof(type)))
			return -1;
		w->at += 8;
		w->next = type == bpf_htons(0x21)   ? 0x800
			  : type == bpf_htons(0x57) ? 0x86dd
						    : NEXT_DONE;
		return 0;
	case 0x800:
		return step_ipv4(w);
	case 0x86dd:
		return step_ipv6(w);
	default:
		return -1;
	}
}

static __always_inline int step_link(struct walk *w)
{
	__be16 type;
	__u8 first;

	if (w->next == NEXT_ETHERNET) {
		if (load(w, 12, &type, sizeof(type)))
			return -1;
		w->at += ETH_HEADER;
		w->next = ethertype(type);
		return 0;
	}
	if (load(w, 0, &first, 1))
		return -1;
	if (first >> 4 == 4 || first >> 4 == 6) {
		w->next = first >> 4 == 4 ? 0x800 : 0x86dd;
		return 0;
	}
	if (w->next == NEXT_MPLS_PAYLOAD && !(first >> 4)) { /* control word of a pseudowire */
		w->at += 4;
		w->next = NEXT_ETHERNET;
		return 0;
	}
	return -1;
}

/* Moves past one header. Below 0: this is as deep as it goes. */
static __always_inline int step(struct walk *w)
{
	if (IS_ETHERTYPE(w->next))
		return step_ethertype(w);
	switch (w->next) {
	case NEXT_ETHERNET:
	case NEXT_MPLS_PAYLOAD:
	case NEXT_QUOTE:
		return step_link(w);
	case 0: /* hop-by-hop */
	case 43:
	case 44:
	case 51:
	case 60:
	case 135:
		return step_extension(w);
	case 4:
		return step_ipv4(w);
	case 41:
		return step_ipv6(w);
	case 17:
		return step_udp(w);
	case 47:
		return step_gre(w);
	case 1:
	case 58:
		return step_icmp(w);
	default:
		return -1;
	}
}

SEC("socket")
int tl_fanout(struct __sk_buff *skb)
{
	struct walk w = { .skb = skb };

	w.next = tl_fanout_ethernet ? NEXT_ETHERNET : NEXT_QUOTE;
	for (int i = 0; i < STEPS_MAX; i++)
		if (step(&w))
			break;
	return (int)w.hash;
}

char LICENSE[] SEC("license") = "GPL";
