/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What carries packets in packets. Called by the walk.
 *
 *	GRE      flags 2 │ protocol 2 │ [checksum 4] │ [key 4] │ [sequence 4] │ …   RFC 2784, 2890
 *	ERSPAN   II: session 8, III: 12 [+ 8]; I has no header of its own           behind GRE
 *	VXLAN    flags 4 │ VNI 3 │ 0 1 │ Ethernet                                   RFC 7348
 *	Geneve   lengths 2 │ ethertype 2 │ VNI 3 │ 0 1 │ options │ …                RFC 8926
 *	GTP-U    flags 1 │ type 1 │ length 2 │ TEID 4 │ [4 │ extensions] │ IP        3GPP TS 29.281
 *	MPLS     label 20 bits, class 3, bottom 1, TTL 8, … │ IP or a pseudowire    RFC 3032, 4448
 *	PPPoE    0x11 │ code 1 │ session 2 │ length 2 │ PPP                         RFC 2516
 *
 * A tunnel counts once an IP header was found in it; until then the packet is what it is outside.
 */
#include "step.h"

#define MPLS_LABELS_MAX	    16
#define GTPU_EXTENSIONS_MAX 8

enum gre_flag {
	GRE_CHECKSUM = 0x8000,
	GRE_ROUTING = 0x4000,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	GRE_ACK = 0x0080, /* version 1 */
	GRE_VERSION = 0x0007,
};

bool enter_tunnel(struct decode *d, enum tl_tunnel_type type, uint32_t id)
{
	struct tl_layers *out = d->out;

	if (!d->follow_tunnels)
		return false;
	if (d->tunnel.depth == TL_TUNNEL_MAX) {
		out->flags |= TL_LAYERS_TOO_DEEP;
		return false;
	}
	if (!d->tunnel.depth++) {
		size_t bytes = out->ip_version == 4 ? 4 : 16;

		d->tunnel.type = (uint8_t)type;
		d->tunnel.id = id;
		d->tunnel.ip_version = out->ip_version;
		if (d->has_ip) {
			memcpy(d->tunnel.src, out->src, bytes);
			memcpy(d->tunnel.dst, out->dst, bytes);
		}
	}
	/* the rest of what is inside comes in other fragments */
	if (out->flags & TL_LAYERS_FRAGMENT)
		unlimit(d);
	return true;
}

enum step step_ip_in_ip(struct decode *d, enum step inner)
{
	return enter_tunnel(d, TL_TUNNEL_IPIP, 0) ? inner : STEP_DONE;
}

/* --- MPLS ---------------------------------------------------------------------------------- */

/* The payload does not say what it is (RFC 4928): IP when the header agrees with the lengths. */
static bool looks_like_ip(const struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 20);

	if (!p)
		return false;
	if (p[0] >> 4 == 4)
		return (p[0] & 15) >= 5 && load16(p + 2) <= wire_left(d);
	return p[0] >> 4 == 6 && load16(p + 4) + 40u <= wire_left(d);
}

static bool looks_like_ethernet(const struct decode *d, size_t skip)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, skip + 14);

	if (!p)
		return false;
	switch (load16(p + skip + 12)) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLD:
	case ETHERTYPE_MPLS:
	case ETHERTYPE_PPPOE:
		return true;
	default:
		return false;
	}
}

/* The tunnel's id is the bottom label: it names the service; the others change from hop to hop. */
enum step step_mpls(struct decode *d)
{
	uint32_t entry = 0;

	for (int i = 0; i < MPLS_LABELS_MAX && !(entry & 0x100); i++) {
		if (!tl_cursor__peek(&d->cursor, 4))
			return too_short(d, 4);
		entry = tl_cursor__be32(&d->cursor);
	}
	if (!(entry & 0x100))
		return malformed(d);
	if (!enter_tunnel(d, TL_TUNNEL_MPLS, entry >> 12))
		return STEP_DONE;
	if (looks_like_ip(d))
		return STEP_IP;
	if (looks_like_ethernet(d, 0))
		return STEP_ETHERNET;
	/* a pseudowire's control word begins with four zero bits (RFC 4385) */
	if (looks_like_ethernet(d, 4) && *d->cursor.at >> 4 == 0) {
		tl_cursor__skip(&d->cursor, 4);
		return STEP_ETHERNET;
	}
	return STEP_DONE;
}

/* --- PPP ----------------------------------------------------------------------------------- */

enum step step_ppp(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 2);
	uint16_t protocol;

	if (p && p[0] == 0xff && p[1] == 3)
		tl_cursor__skip(&d->cursor, 2);
	protocol = tl_cursor__u8(&d->cursor);
	/* an odd first byte is all of a compressed protocol field (RFC 1661, section 6.5) */
	if (!(protocol & 1))
		protocol = (uint16_t)(protocol << 8 | tl_cursor__u8(&d->cursor));
	if (d->cursor.failed)
		return too_short(d, 1);
	switch (protocol) {
	case 0x0021:
		return STEP_IPV4;
	case 0x0057:
		return STEP_IPV6;
	case 0x0281:
	case 0x0283:
		return STEP_MPLS;
	default:
		return STEP_DONE;
	}
}

enum step step_pppoe(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 6);

	if (!p)
		return too_short(d, 6);
	if (p[0] != 0x11)
		return malformed(d);
	if (p[1] != 0 || !enter_tunnel(d, TL_TUNNEL_PPPOE, load16(p + 2)))
		return STEP_DONE;
	tl_cursor__skip(&d->cursor, 6);
	if (load16(p + 4) > wire_left(d))
		d->out->flags |= TL_LAYERS_MALFORMED;
	limit(d, load16(p + 4));
	return STEP_PPP;
}

/* --- GRE and ERSPAN ------------------------------------------------------------------------ */

/* Version, VLAN, class, encapsulation, truncated bit, session: the first word of II and III. */
static enum step erspan(struct decode *d, enum tl_tunnel_type type, uint32_t bytes)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, bytes);
	uint32_t word;

	if (!p)
		return too_short(d, bytes);
	word = load32(p);
	if (!enter_tunnel(d, type, word & 0x3ff))
		return STEP_DONE;
	if (word & 0x400)
		unlimit(d);
	tl_cursor__skip(&d->cursor, bytes);
	return STEP_ETHERNET;
}

static enum step erspan3(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 12);
	enum step inner;
	uint16_t tail;

	if (!p)
		return too_short(d, 12);
	tail = load16(p + 10);
	/* the last bit says that a platform's own 8 bytes follow */
	inner = erspan(d, TL_TUNNEL_ERSPAN3, tail & 1 ? 20 : 12);
	/* frame type 2: an IP packet without Ethernet */
	return inner == STEP_ETHERNET && (tail >> 10 & 31) == 2 ? STEP_IP : inner;
}

static enum step gre_payload(struct decode *d, uint16_t flags, uint32_t key)
{
	switch (d->type) {
	case ETHERTYPE_ERSPAN:
		if (flags & GRE_SEQUENCE)
			return erspan(d, TL_TUNNEL_ERSPAN2, 8);
		return enter_tunnel(d, TL_TUNNEL_ERSPAN1, 0) ? STEP_ETHERNET : STEP_DONE;
	case ETHERTYPE_ERSPAN3:
		return erspan3(d);
	default:
		break;
	}
	if (!enter_tunnel(d, TL_TUNNEL_GRE, key))
		return STEP_DONE;
	if (d->type == ETHERTYPE_BRIDGED)
		return STEP_ETHERNET;
	return STEP_ETHERTYPE;
}

/* Version 1 (RFC 2637): the key holds the payload's length and the call. */
static enum step gre_pptp(struct decode *d, uint16_t flags)
{
	uint32_t length = tl_cursor__be16(&d->cursor);
	uint32_t call = tl_cursor__be16(&d->cursor);

	tl_cursor__skip(&d->cursor, (flags & GRE_SEQUENCE ? 4u : 0) + (flags & GRE_ACK ? 4u : 0));
	if (d->cursor.failed)
		return too_short(d, 1);
	if (d->type != ETHERTYPE_PPP || !length || !enter_tunnel(d, TL_TUNNEL_GRE, call))
		return STEP_DONE;
	limit(d, length);
	return STEP_PPP;
}

enum step step_gre(struct decode *d)
{
	uint16_t flags = tl_cursor__be16(&d->cursor);
	uint32_t key = 0;

	d->type = tl_cursor__be16(&d->cursor);
	if (d->cursor.failed)
		return too_short(d, 4);
	if ((flags & GRE_VERSION) == 1)
		return gre_pptp(d, flags);
	/* source routes (RFC 1701) were withdrawn; nothing says how to step over them safely */
	if ((flags & GRE_VERSION) || (flags & GRE_ROUTING))
		return STEP_DONE;
	if (flags & GRE_CHECKSUM)
		tl_cursor__skip(&d->cursor, 4);
	if (flags & GRE_KEY)
		key = tl_cursor__be32(&d->cursor);
	if (flags & GRE_SEQUENCE)
		tl_cursor__skip(&d->cursor, 4);
	if (d->cursor.failed)
		return too_short(d, 1);
	return gre_payload(d, flags, key);
}

/* --- behind UDP ---------------------------------------------------------------------------- */

static enum step vxlan(struct decode *d)
{
	const uint8_t *p = tl_cursor__take(&d->cursor, 8);

	/* without the I flag it is something else on that port */
	if (!p || !(p[0] & 0x08) || !enter_tunnel(d, TL_TUNNEL_VXLAN, load32(p + 4) >> 8))
		return STEP_DONE;
	return STEP_ETHERNET;
}

static enum step geneve(struct decode *d)
{
	const uint8_t *p = tl_cursor__take(&d->cursor, 8);

	if (!p || p[0] >> 6 != 0 || !tl_cursor__take(&d->cursor, (p[0] & 63) * 4u))
		return STEP_DONE;
	d->type = load16(p + 2);
	if (!enter_tunnel(d, TL_TUNNEL_GENEVE, load32(p + 4) >> 8))
		return STEP_DONE;
	return d->type == ETHERTYPE_BRIDGED ? STEP_ETHERNET : STEP_ETHERTYPE;
}

/* Each: its length in words of 4 bytes first, the type of the next one last; 0 ends them. */
static bool skip_gtpu_extensions(struct tl_cursor *c, uint8_t next)
{
	for (int i = 0; next; i++) {
		uint32_t bytes = tl_cursor__u8(c) * 4u;

		if (i == GTPU_EXTENSIONS_MAX || !bytes)
			return false;
		tl_cursor__skip(c, bytes - 2);
		next = tl_cursor__u8(c);
	}
	return !c->failed;
}

static enum step gtpu(struct decode *d)
{
	const uint8_t *p = tl_cursor__take(&d->cursor, 8);

	/* version 1, protocol type GTP, a G-PDU */
	if (!p || p[0] >> 4 != 3 || p[1] != 0xff)
		return STEP_DONE;
	if (load16(p + 2) > wire_left(d))
		d->out->flags |= TL_LAYERS_MALFORMED;
	limit(d, load16(p + 2));
	if (p[0] & 7) {
		const uint8_t *more = tl_cursor__take(&d->cursor, 4);

		if (!more || !skip_gtpu_extensions(&d->cursor, p[0] & 4 ? more[3] : 0))
			return STEP_DONE;
	}
	if (!tl_cursor__left(&d->cursor) || !enter_tunnel(d, TL_TUNNEL_GTPU, load32(p + 4)))
		return STEP_DONE;
	return *d->cursor.at >> 4 == 4 || *d->cursor.at >> 4 == 6 ? STEP_IP : STEP_DONE;
}

/* The cursor is behind the UDP header. */
enum step step_udp_tunnel(struct decode *d)
{
	switch (d->out->dst_port) {
	case PORT_GTPU:
		return gtpu(d);
	case PORT_GENEVE:
		return geneve(d);
	default:
		return vxlan(d);
	}
}
