// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Which of several AF_PACKET sockets gets a packet (PACKET_FANOUT_EBPF). The kernel takes the
 * returned number modulo the count of sockets.
 *
 * walk.h leads to the innermost IP header; the hash is over its addresses alone, and symmetric:
 * h(src) + h(dst). An ICMP error goes where the packet goes that it quotes. Ports would
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

#include <bpf/bpf_helpers.h>

#include "tl_abi.h"

#define ETHERNET_HEADER 14

/* 1: frames begin with an Ethernet header; 0: with the IP header (tun, PPP). Set before loading. */
const volatile __u32 tl_fanout_ethernet = 1;
/* Makes the spreading unforeseeable for whoever sends the packets. */
const volatile __u64 tl_fanout_seed = 0;

#define WALK_CTX struct __sk_buff

/*
 * The relative load sees the linear part of the packet alone. What lies beyond, in pages, is read
 * relative to skb->data: the network header of what comes in, which follows Ethernet's 14 bytes.
 */
static __always_inline int walk_load(WALK_CTX *ctx, __u32 at, void *to, __u32 bytes)
{
	__u32 before = 0;

	if (!bpf_skb_load_bytes_relative(ctx, at, to, bytes, BPF_HDR_START_MAC))
		return 0;
	if (tl_fanout_ethernet && ctx->pkt_type != 4 /* PACKET_OUTGOING */)
		before = ETHERNET_HEADER;
	if (at < before)
		return -1;
	return (int)bpf_skb_load_bytes(ctx, at - before, to, bytes);
}

#include "walk.h"

SEC("socket")
int tl_fanout(struct __sk_buff *skb)
{
	struct walk w = {
		.seed = tl_fanout_seed,
		.next = tl_fanout_ethernet ? NEXT_ETHERNET : NEXT_BY_VERSION,
	};

	for (int i = 0; i < WALK_STEPS; i++)
		if (walk_step(skb, &w) || w.fragment)
			break;
	return (int)(walk_hash_addresses(&w) >> 32);
}

char LICENSE[] SEC("license") = "GPL";
