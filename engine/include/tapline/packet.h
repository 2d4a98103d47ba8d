/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A packet as a source hands it on, and what the decoder found in it.
 *
 * `struct tl_packet` is a descriptor: the bytes stay in the source's ring and are borrowed until
 * the packet is released to that source. Nobody writes to them. `struct tl_layers` holds offsets
 * into those bytes and the header fields that more than one reader needs.
 */
#ifndef TAPLINE_PACKET_H
#define TAPLINE_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#define TL_BATCH_MAX	   256	   /* packets that go through the stages together */
#define TL_SNAPLEN_DEFAULT 262144u /* bytes; tcpdump's default */

/* LINKTYPE_ values of the pcap/pcapng registry that Tapline decodes. */
enum tl_linktype {
	TL_LINKTYPE_NULL = 0,
	TL_LINKTYPE_ETHERNET = 1,
	TL_LINKTYPE_RAW = 101,
	TL_LINKTYPE_LOOP = 108,
	TL_LINKTYPE_LINUX_SLL = 113,
	TL_LINKTYPE_IPV4 = 228,
	TL_LINKTYPE_IPV6 = 229,
	TL_LINKTYPE_LINUX_SLL2 = 276,
};

enum tl_packet_flag {
	TL_PACKET_CSUM_PARTIAL = 1u << 0, /* the kernel says: checksum still to be filled in */
	TL_PACKET_OUTGOING = 1u << 1,	  /* sent by this host */
	TL_PACKET_AFTER_LOSS = 1u << 2,	  /* the source lost packets just before this one */
};

/* A packet's number in its file. 16 million files have room above it. */
#define TL_FRAME_BITS 40
#define TL_FRAME_MASK ((1ull << TL_FRAME_BITS) - 1)

struct tl_packet {
	const uint8_t *data; /* borrowed until released to the source */
	uint64_t ts_ns;	     /* since 1970-01-01 UTC */
	/*
	 * Number of the packet, from 1. From a file: the number Wireshark shows; of several files,
	 * the file's place among them is above TL_FRAME_BITS. Live: the number in the file being
	 * recorded (set by the recorder), or the count of captured packets. 0: not in the file.
	 */
	uint64_t frame;
	uint32_t caplen;
	uint32_t wirelen;
	uint32_t interface; /* index into the run's table of interfaces */
	uint32_t queue;
	uint32_t lost_before; /* packets the source lost just before this one (TL_PACKET_AFTER_LOSS)
			       */
	uint16_t linktype;    /* enum tl_linktype, or any other LINKTYPE_ value (not decoded) */
	uint16_t flags;	      /* enum tl_packet_flag */
	const char *comment;  /* of a file's packet, borrowed as the bytes are; NULL without one */
	uint64_t cookie;      /* the source's own (an UMEM address) */
};

_Static_assert(sizeof(struct tl_packet) == 64, "a packet descriptor is one cache line");

#define TL_VLAN_MAX   4 /* tags kept; more are skipped and counted */
#define TL_TUNNEL_MAX 4 /* nested tunnels decoded; deeper ones are counted, not followed */

enum tl_tunnel_type {
	TL_TUNNEL_NONE = 0,
	TL_TUNNEL_GRE,
	TL_TUNNEL_ERSPAN1,
	TL_TUNNEL_ERSPAN2,
	TL_TUNNEL_ERSPAN3,
	TL_TUNNEL_VXLAN,
	TL_TUNNEL_GENEVE,
	TL_TUNNEL_IPIP, /* IPv4 or IPv6 in IPv4 or IPv6, 6in4 too */
	TL_TUNNEL_GTPU,
	TL_TUNNEL_PPPOE,
	TL_TUNNEL_MPLS,
};

/* The outermost tunnel that carried a flow. */
struct tl_tunnel {
	uint8_t type;	    /* enum tl_tunnel_type */
	uint8_t ip_version; /* of the outer header: 4, 6, or 0 (PPPoE, MPLS) */
	uint16_t depth;	    /* how many tunnels the packet was in */
	uint32_t id;	    /* VNI, GRE key, ERSPAN session, TEID, PPPoE session, MPLS label */
	uint8_t src[16];    /* outer addresses; an IPv4 one in the first 4 bytes */
	uint8_t dst[16];
};

enum tl_layers_flag {
	TL_LAYERS_TRUNCATED = 1u << 0,	    /* headers go on past the captured bytes */
	TL_LAYERS_MALFORMED = 1u << 1,	    /* a length field contradicts the packet */
	TL_LAYERS_FRAGMENT = 1u << 2,	    /* a fragment; ports are known only in the first */
	TL_LAYERS_FRAGMENT_LATER = 1u << 3, /* not the first: no transport header */
	TL_LAYERS_TOO_DEEP = 1u << 4,	    /* more tunnels than TL_TUNNEL_MAX */
	TL_LAYERS_BAD_IP_CSUM = 1u << 5,    /* IPv4 header checksum is wrong */
	TL_LAYERS_TCP_TS = 1u << 6,	    /* tsval and tsecr are there (RFC 7323) */
	TL_LAYERS_TCP_WSCALE = 1u << 7,
	TL_LAYERS_TCP_SACK_OK = 1u << 8,
	TL_LAYERS_VLAN_MORE = 1u << 9,	    /* more tags than TL_VLAN_MAX */
	TL_LAYERS_FRAGMENT_MORE = 1u << 10, /* not the last fragment */
};

enum tl_tcp_flag {
	TL_TCP_FIN = 0x01,
	TL_TCP_SYN = 0x02,
	TL_TCP_RST = 0x04,
	TL_TCP_PSH = 0x08,
	TL_TCP_ACK = 0x10,
	TL_TCP_URG = 0x20,
	TL_TCP_ECE = 0x40,
	TL_TCP_CWR = 0x80,
};

struct tl_sack_block {
	uint32_t left;
	uint32_t right;
};

/* The innermost IP packet, its transport header, and the path around it. */
struct tl_layers {
	uint16_t flags;	    /* enum tl_layers_flag */
	uint8_t ip_version; /* 4, 6; 0: no IP inside (ARP, LLDP…) */
	uint8_t proto;	    /* IP protocol of the transport header (after extension headers) */
	uint16_t ethertype; /* of the innermost link layer */
	uint8_t ttl;	    /* or hop limit */
	uint8_t tos;	    /* DSCP and ECN */

	uint32_t l2_offset; /* innermost Ethernet header, from packet data */
	uint32_t l3_offset; /* innermost IP header */
	uint32_t ip_bytes;  /* on the wire from there, by the IP length field: no padding */
	uint32_t l4_offset; /* transport header; 0: none in this packet */
	uint32_t payload_offset;
	uint32_t payload_bytes;	 /* on the wire, by the IP length field */
	uint32_t payload_caplen; /* of those, captured */
	uint32_t fragment_bytes; /* of a fragment: behind the IP header, IPv6's fragment header */

	const uint8_t *src; /* innermost IP addresses, 4 or 16 bytes, borrowed with the packet */
	const uint8_t *dst;
	uint16_t src_port; /* TCP, UDP, SCTP; ICMP: type and code, as Community ID wants them */
	uint16_t dst_port;
	uint32_t ip_id; /* IPv4 identification, or that of the IPv6 fragment header; 0: none */
	uint32_t fragment_offset; /* bytes */

	/* TCP */
	uint32_t seq;
	uint32_t ack;
	uint16_t window; /* unscaled */
	uint16_t mss;	 /* 0: no such option */
	uint8_t tcp_flags;
	uint8_t wscale;
	uint8_t sack_count;
	uint8_t vlan_count;
	uint16_t l4_checksum;
	uint16_t urgent;
	uint32_t tsval;
	uint32_t tsecr;
	struct tl_sack_block sack[4];

	uint16_t vlan[TL_VLAN_MAX]; /* TCI, outermost first; VLAN id is TCI & 0xfff */
	struct tl_tunnel tunnel;
};

#endif
