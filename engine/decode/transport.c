/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transport headers: TCP with options (RFC 9293, 7323, 2018), UDP, SCTP, ICMP. Called by the walk.
 *
 * A header that is cut gives as many fields as it has: 8 bytes of TCP (an ICMP quote) give ports
 * and sequence number. `l4_offset` is set as soon as the ports are there.
 */
#include "step.h"

enum tcp_option {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_WSCALE = 3,
	OPTION_SACK_OK = 4,
	OPTION_SACK = 5,
	OPTION_TIMESTAMPS = 8,
};

static void payload_from(struct decode *d)
{
	d->out->payload_offset = here(d);
	d->out->payload_bytes = wire_left(d);
	d->out->payload_caplen = (uint32_t)tl_cursor__left(&d->cursor);
}

static void parse_sack(struct tl_layers *out, struct tl_cursor *value)
{
	out->sack_count = 0;
	while (out->sack_count < 4 && tl_cursor__left(value) >= 8) {
		struct tl_sack_block *block = &out->sack[out->sack_count++];

		block->left = tl_cursor__be32(value);
		block->right = tl_cursor__be32(value);
	}
}

/* `value`: the option without kind and length. A wrong length: the option is passed over. */
static void parse_tcp_option(struct tl_layers *out, uint8_t kind, struct tl_cursor *value)
{
	size_t bytes = tl_cursor__left(value);

	if (kind == OPTION_MSS && bytes == 2) {
		out->mss = tl_cursor__be16(value);
	} else if (kind == OPTION_WSCALE && bytes == 1) {
		out->flags |= TL_LAYERS_TCP_WSCALE;
		out->wscale = tl_cursor__u8(value);
	} else if (kind == OPTION_SACK_OK && bytes == 0) {
		out->flags |= TL_LAYERS_TCP_SACK_OK;
	} else if (kind == OPTION_SACK && bytes % 8 == 0) {
		parse_sack(out, value);
	} else if (kind == OPTION_TIMESTAMPS && bytes == 8) {
		out->flags |= TL_LAYERS_TCP_TS;
		out->tsval = tl_cursor__be32(value);
		out->tsecr = tl_cursor__be32(value);
	}
}

/* At most 40 bytes, each turn takes one: no budget is needed. */
void parse_tcp_options(struct tl_layers *out, struct tl_cursor *options)
{
	while (tl_cursor__left(options)) {
		uint8_t kind = tl_cursor__u8(options);
		struct tl_cursor value;
		uint8_t length;

		if (kind == OPTION_NOP)
			continue;
		if (kind == OPTION_END)
			break;
		length = tl_cursor__u8(options);
		if (length < 2 || length - 2u > tl_cursor__left(options)) {
			if (!(out->flags & TL_LAYERS_TRUNCATED))
				out->flags |= TL_LAYERS_MALFORMED;
			break;
		}
		value = tl_cursor__sub(options, length - 2u);
		parse_tcp_option(out, kind, &value);
	}
}

/* Fewer than a whole fixed header: what there is of it. */
static enum step partial_tcp(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 8);

	if (p)
		d->out->seq = load32(p + 4);
	return too_short(d, 20);
}

static bool read_ports(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 4);

	if (!p)
		return false;
	d->out->l4_offset = here(d);
	d->out->src_port = load16(p);
	d->out->dst_port = load16(p + 2);
	return true;
}

static void tcp_fields(struct tl_layers *out, const uint8_t *p)
{
	out->seq = load32(p + 4);
	out->ack = load32(p + 8);
	out->tcp_flags = p[13];
	out->window = load16(p + 14);
	out->l4_checksum = load16(p + 16);
	out->urgent = load16(p + 18);
}

enum step step_tcp(struct decode *d)
{
	struct tl_cursor options;
	const uint8_t *p;
	uint32_t header_bytes;

	if (!read_ports(d))
		return too_short(d, 20);
	p = tl_cursor__peek(&d->cursor, 20);
	if (!p)
		return partial_tcp(d);
	tcp_fields(d->out, p);
	header_bytes = (p[12] >> 4) * 4u;
	if (header_bytes < 20 || header_bytes > wire_left(d)) {
		d->out->flags |= TL_LAYERS_MALFORMED;
		header_bytes = 20;
	}
	if (!tl_cursor__peek(&d->cursor, header_bytes))
		d->out->flags |= TL_LAYERS_TRUNCATED;
	options = d->cursor;
	tl_cursor__limit(&options, header_bytes);
	tl_cursor__skip(&options, 20);
	parse_tcp_options(d->out, &options);
	payload_from(d);
	d->out->payload_offset += header_bytes;
	d->out->payload_bytes -= header_bytes;
	tl_cursor__skip(&d->cursor, header_bytes);
	d->out->payload_caplen = (uint32_t)tl_cursor__left(&d->cursor);
	return STEP_DONE;
}

static enum step step_udp(struct decode *d)
{
	const uint8_t *p;
	uint32_t length;

	if (!read_ports(d))
		return too_short(d, 8);
	p = tl_cursor__peek(&d->cursor, 8);
	if (!p)
		return too_short(d, 8);
	d->out->l4_checksum = load16(p + 6);
	length = load16(p + 4);
	/* the length is that of the whole datagram, 0 in a jumbogram or before segmentation */
	if (length >= 8 && length <= wire_left(d))
		limit(d, length);
	else if (length && !(d->out->flags & TL_LAYERS_FRAGMENT))
		d->out->flags |= TL_LAYERS_MALFORMED;
	tl_cursor__skip(&d->cursor, 8);
	payload_from(d);
	switch (d->out->dst_port) {
	case PORT_GTPU:
	case PORT_VXLAN:
	case PORT_GENEVE:
	case PORT_VXLAN_LINUX:
		return step_udp_tunnel(d);
	default:
		return STEP_DONE;
	}
}

static enum step step_sctp(struct decode *d)
{
	if (!read_ports(d))
		return too_short(d, 12);
	if (!tl_cursor__take(&d->cursor, 12))
		return too_short(d, 12);
	payload_from(d);
	return STEP_DONE;
}

/*
 * Community ID v1 gives ICMP "ports": the source port is the type; the destination port is the type
 * of the answer (or of the question) where a message has a counterpart, so that echo request and
 * reply are the two directions of one flow, and the code where it has none.
 * Counterparts as in its reference implementation; -1: none.
 */
static int icmp4_counterpart(uint8_t type)
{
	switch (type) {
	case 8: /* echo */
		return 0;
	case 0:
		return 8;
	case 13: /* timestamp */
		return 14;
	case 14:
		return 13;
	case 15: /* information */
		return 16;
	case 16:
		return 15;
	case 10: /* router solicitation, advertisement */
		return 9;
	case 9:
		return 10;
	case 17: /* address mask */
		return 18;
	case 18:
		return 17;
	default:
		return -1;
	}
}

static int icmp6_counterpart(uint8_t type)
{
	switch (type) {
	case 128: /* echo */
	case 130: /* multicast listener query, report */
	case 144: /* home agent discovery */
		return type + 1;
	case 129:
	case 131:
	case 145:
		return type - 1;
	case 133: /* router solicitation, advertisement */
	case 135: /* neighbor solicitation, advertisement */
	case 139: /* who are you */
		return type + 1;
	case 134:
	case 136:
	case 140:
		return type - 1;
	default:
		return -1;
	}
}

static enum step step_icmp(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 4);
	int counterpart;

	if (!p)
		return too_short(d, 8);
	counterpart = d->proto == PROTO_ICMP ? icmp4_counterpart(p[0]) : icmp6_counterpart(p[0]);
	d->out->l4_offset = here(d);
	d->out->src_port = p[0];
	d->out->dst_port = counterpart < 0 ? p[1] : (uint16_t)counterpart;
	d->out->l4_checksum = load16(p + 2);
	if (!tl_cursor__take(&d->cursor, 8))
		return too_short(d, 8);
	payload_from(d);
	return STEP_DONE;
}

/* IPv4 has one extension header too. */
static enum step step_ah(struct decode *d)
{
	const uint8_t *p = tl_cursor__peek(&d->cursor, 8);
	uint32_t bytes = p ? extension_bytes(PROTO_AH, p) : 12;

	if (!p || !tl_cursor__take(&d->cursor, bytes))
		return too_short(d, bytes);
	d->proto = d->out->proto = p[0];
	return d->proto == PROTO_AH ? malformed(d) : STEP_PROTO;
}

enum step step_proto(struct decode *d)
{
	bool v4 = d->out->ip_version == 4;

	switch (d->proto) {
	case PROTO_TCP:
		return step_tcp(d);
	case PROTO_UDP:
		return step_udp(d);
	case PROTO_SCTP:
		return step_sctp(d);
	case PROTO_ICMP:
	case PROTO_ICMP6:
		if (v4 == (d->proto == PROTO_ICMP))
			return step_icmp(d);
		break;
	case PROTO_AH:
		if (v4)
			return step_ah(d);
		break;
	default:
		break;
	}
	/* no header known: all of it is payload, unless a tunnel shows what is inside */
	if (tl_cursor__left(&d->cursor))
		d->out->l4_offset = here(d);
	payload_from(d);
	switch (d->proto) {
	case PROTO_IPV4:
		return step_ip_in_ip(d, STEP_IPV4);
	case PROTO_IPV6:
		return step_ip_in_ip(d, STEP_IPV6);
	case PROTO_GRE:
		return step_gre(d);
	case PROTO_MPLS:
		return STEP_MPLS;
	default:
		return STEP_DONE;
	}
}
