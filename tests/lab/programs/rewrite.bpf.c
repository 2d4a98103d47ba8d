/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A middlebox with a fault, as a tc program: TCP packets to port 9000 whose byte 300 (from the IPv4
 * header on) is 0x2a leave with 0x55 there, and with a checksum that is right.
 *
 *	clang -O2 -target bpf -c rewrite.bpf.c; tc filter add … bpf direct-action obj … sec tc
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT	9000
#define REWRITE (ETH_HLEN + 300)

SEC("tc")
int rewrite(struct __sk_buff *skb)
{
	struct iphdr ip;
	__be16 port;
	/* in the 16-bit words of the checksum the byte stands high, for 300 is even */
	__u8 was[2], is[2];

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl != 5 ||
	    ip.protocol != 6)
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + 20 + offsetof(struct tcphdr, dest), &port, 2) ||
	    port != bpf_htons(PORT) || bpf_skb_load_bytes(skb, REWRITE, was, 2) || was[0] != 0x2a)
		return TC_ACT_OK;
	is[0] = 0x55;
	is[1] = was[1];
	bpf_l4_csum_replace(skb, ETH_HLEN + 20 + offsetof(struct tcphdr, check), *(__u16 *)was,
			    *(__u16 *)is, 2);
	bpf_skb_store_bytes(skb, REWRITE, is, 1, 0);
	return TC_ACT_OK;
}

char licence[] SEC("license") = "GPL";
