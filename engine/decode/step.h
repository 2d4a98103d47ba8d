/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decoder's state, private to engine/decode: one header a step, from the outside in.
 *
 *	data          l2         cursor.at          cursor.end        wire_end
 *	 │ ── read ──► │ ── read ──► │ ─── captured ────► │ ── not captured ──► │
 *
 * Invariants: cursor.end - data <= wire_end; a step either advances the cursor or ends the walk;
 * each length field can only bring `wire_end` nearer (limit), but for a packet whose outside is
 * known to be incomplete (unlimit). `out` always describes the innermost IP header that was whole:
 * tunnel, link layer and ethertype of what follows wait in this state until it proves to be one.
 */
#ifndef TAPLINE_DECODE_STEP_H
#define TAPLINE_DECODE_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/cursor.h"
#include "tapline/packet.h"

/* Headers of one packet: tags, labels, extension headers and tunnels together. */
#define DECODE_STEPS_MAX 64
/* Offsets are 32 bits; a packet that claims more is hostile. */
#define DECODE_WIRE_MAX 0x7fffffffu

enum step {
	STEP_DONE,
	STEP_ETHERNET,
	STEP_ETHERTYPE, /* decode.type */
	STEP_IP,	/* by its version nibble */
	STEP_IPV4,
	STEP_IPV6,
	STEP_PROTO, /* decode.proto */
	STEP_MPLS,
	STEP_PPP, /* protocol field first */
};

enum ethertype {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ERSPAN3 = 0x22eb,
	ETHERTYPE_BRIDGED = 0x6558, /* transparent Ethernet bridging */
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_MPLS = 0x8847,
	ETHERTYPE_MPLS_UPSTREAM = 0x8848,
	ETHERTYPE_PPPOE = 0x8864,
	ETHERTYPE_PPP = 0x880b, /* in GRE: PPTP */
	ETHERTYPE_QINQ = 0x88a8,
	ETHERTYPE_ERSPAN = 0x88be,
	ETHERTYPE_QINQ_OLD = 0x9100,
};

enum ip_proto {
	PROTO_HOP_BY_HOP = 0,
	PROTO_ICMP = 1,
	PROTO_IPV4 = 4,
	PROTO_TCP = 6,
	PROTO_UDP = 17,
	PROTO_IPV6 = 41,
	PROTO_ROUTING = 43,
	PROTO_FRAGMENT = 44,
	PROTO_GRE = 47,
	PROTO_AH = 51,
	PROTO_ICMP6 = 58,
	PROTO_NONE = 59,
	PROTO_DEST_OPTIONS = 60,
	PROTO_SCTP = 132,
	PROTO_MOBILITY = 135,
	PROTO_MPLS = 137,
	PROTO_HIP = 139,
	PROTO_SHIM6 = 140,
};

/* UDP destination ports that carry packets; followed when the bytes behind them agree. */
enum udp_port {
	PORT_GTPU = 2152,
	PORT_VXLAN = 4789,
	PORT_GENEVE = 6081,
	PORT_VXLAN_LINUX = 8472,
};

struct decode {
	struct tl_cursor cursor;
	const uint8_t *data;
	uint32_t wire_end; /* offset from data */
	uint16_t type;
	uint8_t proto;
	bool follow_tunnels;
	bool has_ip; /* `out` holds an IP header */
	uint16_t ethertype;
	uint32_t l2_offset;
	struct tl_tunnel tunnel; /* outermost one; depth counts all entered */
	struct tl_layers *out;
};

static inline uint16_t load16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap16(v);
}

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return __builtin_bswap32(v);
}

static inline uint32_t here(const struct decode *d)
{
	return (uint32_t)(d->cursor.at - d->data);
}

/* Bytes on the wire from here to the end of the innermost length field. */
static inline uint32_t wire_left(const struct decode *d)
{
	uint32_t at = here(d);

	return d->wire_end > at ? d->wire_end - at : 0;
}

static inline void limit(struct decode *d, uint32_t bytes)
{
	if (bytes < wire_left(d))
		d->wire_end = here(d) + bytes;
	tl_cursor__limit(&d->cursor, bytes);
}

/* What follows was longer when it was sent: a first fragment, a truncating mirror, an ICMP quote.
 */
static inline void unlimit(struct decode *d)
{
	d->wire_end = DECODE_WIRE_MAX;
}

/* A header of `bytes` is not all there: cut by the capture, or impossible? */
static inline enum step too_short(struct decode *d, uint32_t bytes)
{
	d->out->flags |= bytes > wire_left(d) ? TL_LAYERS_MALFORMED : TL_LAYERS_TRUNCATED;
	return STEP_DONE;
}

static inline enum step malformed(struct decode *d)
{
	d->out->flags |= TL_LAYERS_MALFORMED;
	return STEP_DONE;
}

/* link.c */
enum step step_link(struct decode *d, uint16_t linktype);
enum step step_ethernet(struct decode *d);
enum step step_ethertype(struct decode *d);

/* tunnel.c */
bool enter_tunnel(struct decode *d, enum tl_tunnel_type type, uint32_t id);
enum step step_mpls(struct decode *d);
enum step step_pppoe(struct decode *d);
enum step step_ppp(struct decode *d);
enum step step_gre(struct decode *d);
enum step step_ip_in_ip(struct decode *d, enum step inner);
enum step step_udp_tunnel(struct decode *d);

/* ip.c */
enum step step_ip(struct decode *d);
enum step step_ipv4(struct decode *d);
enum step step_ipv6(struct decode *d);
/* Bytes of an extension header of this type whose first two bytes are at `p`; 0: it is none. */
uint32_t extension_bytes(uint8_t type, const uint8_t *p);
/*
 * One's complement sum on from `sum`, in the byte order of memory (a stored checksum compares as it
 * lies). Over a header that holds its checksum: 0xffff when that is right.
 */
uint16_t fold_sum(const uint8_t *p, size_t bytes, uint64_t sum);

/* transport.c */
enum step step_proto(struct decode *d);
enum step step_tcp(struct decode *d);
void parse_tcp_options(struct tl_layers *out, struct tl_cursor *options);

/* decode.c */
void decode_walk(struct decode *d, enum step step);

#endif
