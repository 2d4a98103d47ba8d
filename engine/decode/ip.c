/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers. Called by the walk.
 *
 * The IP length field rules: what lies behind it (Ethernet padding, a trailer, the FCS) is no
 * payload. A length of 0 means that the sender's NIC was to cut a large segment (TSO), or a
 * jumbogram: then all of the frame is the packet.
 */
#include "step.h"

#define EXTENSIONS_MAX 16
/* The largest segment a sender leaves to its NIC (Linux, GSO_MAX_SIZE). */
#define UNCUT_MAX (8u * 65535)

uint16_t fold_sum(const uint8_t *p, size_t bytes, uint64_t sum)
{
	uint64_t word;

	/* one's complement sums may be made in any word size and byte order (RFC 1071) */
	for (; bytes >= 8; bytes -= 8, p += 8) {
		memcpy(&word, p, 8);
		sum += word;
		sum += sum < word;
	}
	if (bytes) {
		word = 0;
		memcpy(&word, p, bytes);
		sum += word;
		sum += sum < word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* The header at the cursor is IP: what the outer headers said of it is now known to be so. */
static void begin_ip(struct decode *d, uint8_t version)
{
	struct tl_layers *out = d->out;

	if (d->has_ip) {
		struct tl_layers inner = { 0 };

		inner.flags = out->flags & (TL_LAYERS_VLAN_MORE | TL_LAYERS_MALFORMED);
		inner.vlan_count = out->vlan_count;
		memcpy(inner.vlan, out->vlan, sizeof(inner.vlan));
		*out = inner;
	}
	d->has_ip = true;
	if (d->tunnel.depth)
		out->tunnel = d->tunnel;
	out->ip_version = version;
	out->ethertype = d->ethertype;
	out->l2_offset = d->l2_offset;
	out->l3_offset = here(d);
}

/* Everything from here on is payload; there is no transport header. */
static enum step only_payload(struct decode *d)
{
	d->out->payload_offset = here(d);
	d->out->payload_bytes = wire_left(d);
	d->out->payload_caplen = (uint32_t)tl_cursor__left(&d->cursor);
	return STEP_DONE;
}

/* The cursor is at the fragment's own bytes. */
static void note_fragment(struct decode *d, uint32_t offset, bool more)
{
	d->out->flags |= TL_LAYERS_FRAGMENT | (more ? TL_LAYERS_FRAGMENT_MORE : 0);
	d->out->fragment_offset = offset;
	d->out->fragment_bytes = wire_left(d);
}

static enum step fragment_or_proto(struct decode *d, uint32_t offset, bool more)
{
	if (!offset && !more)
		return STEP_PROTO;
	note_fragment(d, offset, more);
	if (!offset)
		return STEP_PROTO;
	d->out->flags |= TL_LAYERS_FRAGMENT_LATER;
	return only_payload(d);
}

enum step step_ip(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 1);

	if (!p)
		return too_short(d, 1);
	if (*p >> 4 == 4)
		return STEP_IPV4;
	if (*p >> 4 == 6)
		return STEP_IPV6;
	return malformed(d);
}

/* Length field 0: the rest of the frame, as far as that can be. */
static uint32_t uncut_length(struct decode *d)
{
	if (wire_left(d) <= UNCUT_MAX)
		return wire_left(d);
	d->out->flags |= TL_LAYERS_MALFORMED;
	return (uint32_t)tl_cursor__left(&d->cursor);
}

/* The length by the header: never past what the layer outside says there is. */
static uint32_t ipv4_length(struct decode *d, uint32_t total, uint32_t header_bytes)
{
	uint32_t left = wire_left(d);

	if (!total)
		return uncut_length(d);
	if (total < header_bytes || total > left) {
		d->out->flags |= TL_LAYERS_MALFORMED;
		return total > left ? left : header_bytes;
	}
	return total;
}

static void ipv4_fields(struct tl_layers *out, const uint8_t *p)
{
	out->tos = p[1];
	out->ip_id = load16(p + 4);
	out->ttl = p[8];
	out->proto = p[9];
	out->src = p + 12;
	out->dst = p + 16;
}

enum step step_ipv4(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 20);
	uint32_t header_bytes, total, fragment;

	if (!p)
		return too_short(d, 20);
	header_bytes = (p[0] & 15u) * 4;
	if (p[0] >> 4 != 4 || header_bytes < 20 || header_bytes > wire_left(d))
		return malformed(d);
	total = load16(p + 2);
	begin_ip(d, 4);
	ipv4_fields(d->out, p);
	d->out->ip_bytes = ipv4_length(d, total, header_bytes);
	limit(d, d->out->ip_bytes);
	if (!tl_cursor__take(&d->cursor, header_bytes)) {
		d->out->flags |= TL_LAYERS_TRUNCATED;
		return STEP_DONE;
	}
	/* with a length of 0 the NIC was to fill in the checksum too */
	if (total && fold_sum(p, header_bytes, 0) != 0xffff)
		d->out->flags |= TL_LAYERS_BAD_IP_CSUM;
	d->proto = p[9];
	fragment = load16(p + 6);
	return fragment_or_proto(d, (fragment & 0x1fff) * 8, fragment & 0x2000);
}

uint32_t extension_bytes(uint8_t type, const uint8_t *p)
{
	switch (type) {
	case PROTO_HOP_BY_HOP:
	case PROTO_ROUTING:
	case PROTO_DEST_OPTIONS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
		return (p[1] + 1u) * 8;
	case PROTO_FRAGMENT:
		return 8;
	case PROTO_AH: /* in words of 4 bytes, minus 2 (RFC 4302, section 2.2) */
		return (p[1] + 2u) * 4;
	default:
		return 0;
	}
}

static bool is_extension(uint8_t type)
{
	static const uint8_t none[2] = { 0, 0 };

	return extension_bytes(type, none) != 0;
}

/* Steps over extension headers to the transport header, or to where a fragment's bytes begin. */
static enum step step_extensions(struct decode *d)
{
	for (int i = 0; i < EXTENSIONS_MAX && is_extension(d->proto); i++) {
		const uint8_t *p = tl_cursor__peek(&d->cursor, 8);
		uint32_t bytes = p ? extension_bytes(d->proto, p) : 8;
		uint8_t type = d->proto;
		uint16_t fragment;

		if (!p || !tl_cursor__peek(&d->cursor, bytes))
			return too_short(d, bytes);
		/* mobility, HIP and shim6 messages usually are the last header, and the message */
		if (p[0] == PROTO_NONE && type >= PROTO_MOBILITY)
			break;
		tl_cursor__skip(&d->cursor, bytes);
		d->proto = d->out->proto = p[0];
		if (type != PROTO_FRAGMENT)
			continue;
		fragment = load16(p + 2);
		d->out->ip_id = load32(p + 4);
		if (fragment & 0xfff8)
			return fragment_or_proto(d, fragment & 0xfff8, fragment & 1);
		if (fragment & 1)
			note_fragment(d, 0, true);
	}
	if (is_extension(d->proto) && d->proto < PROTO_MOBILITY)
		return malformed(d);
	return d->proto == PROTO_NONE ? only_payload(d) : STEP_PROTO;
}

enum step step_ipv6(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 40);
	struct tl_layers *out = d->out;
	uint32_t payload;

	if (!p)
		return too_short(d, 40);
	if (p[0] >> 4 != 6)
		return malformed(d);
	begin_ip(d, 6);
	out->tos = (uint8_t)(load16(p) >> 4);
	out->ttl = p[7];
	out->proto = d->proto = p[6];
	out->src = p + 8;
	out->dst = p + 24;
	payload = load16(p + 4);
	tl_cursor__skip(&d->cursor, 40);
	if (payload > wire_left(d))
		out->flags |= TL_LAYERS_MALFORMED;
	limit(d, payload || d->proto == PROTO_NONE ? payload : uncut_length(d));
	out->ip_bytes = 40 + wire_left(d);
	return step_extensions(d);
}
