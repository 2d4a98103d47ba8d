/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the packet that an ICMP error quotes (RFC 792, RFC 1812 section 4.3.2.3, RFC 4443):
 *
 *	type · code · checksum · unused(4) │ IP header of the lost packet │ at least 8 bytes of it
 */
#include "core/quote.h"
#include "tapline/cursor.h"

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define ICMP_UNREACHABLE      3
#define ICMP_CODE_FRAG_NEEDED 4
#define ICMPV6_UNREACHABLE    1

#define EXTENSIONS_MAX 6

/* The part of a quote that does not depend on the transport. */
struct quoted {
	uint8_t code;
	uint8_t proto; /* that is asked for */
	struct tl_endpoint src, dst;
};

static bool take_address(struct tl_cursor *c, struct tl_endpoint *ret_endpoint, uint8_t version)
{
	size_t bytes = version == 6 ? 16 : 4;
	const uint8_t *p = tl_cursor__take(c, bytes);

	*ret_endpoint = (struct tl_endpoint){ .ip_version = version };
	if (!p)
		return false;
	memcpy(ret_endpoint->ip, p, bytes);
	return true;
}

static bool take_ipv4(struct tl_cursor *c, struct quoted *quoted)
{
	uint8_t first = tl_cursor__u8(c);
	size_t header_bytes = (first & 15u) * 4u;
	uint16_t fragment;
	uint8_t proto;

	tl_cursor__skip(c, 5);
	fragment = tl_cursor__be16(c);
	tl_cursor__skip(c, 1);
	proto = tl_cursor__u8(c);
	tl_cursor__skip(c, 2);
	if (first >> 4 != 4 || header_bytes < 20 || proto != quoted->proto || fragment & 0x1fffu)
		return false;
	if (!take_address(c, &quoted->src, 4) || !take_address(c, &quoted->dst, 4))
		return false;
	tl_cursor__skip(c, header_bytes - 20);
	return !c->failed;
}

/* Hop-by-hop, routing and destination options; a first fragment. */
static bool skip_extensions(struct tl_cursor *c, uint8_t next, uint8_t proto)
{
	for (unsigned i = 0; i < EXTENSIONS_MAX && next != proto; i++) {
		uint8_t after = tl_cursor__u8(c);
		uint8_t length = tl_cursor__u8(c);
		uint16_t offset = tl_cursor__be16(c);

		if (next == 44) {
			if (offset & ~7u)
				return false;
			length = 0;
		} else if (next != 0 && next != 43 && next != 60) {
			return false;
		}
		tl_cursor__skip(c, 4u + 8u * length);
		next = after;
	}
	return next == proto && !c->failed;
}

static bool take_ipv6(struct tl_cursor *c, struct quoted *quoted)
{
	uint8_t first = tl_cursor__u8(c);
	uint8_t next;

	tl_cursor__skip(c, 5);
	next = tl_cursor__u8(c);
	tl_cursor__skip(c, 1);
	return first >> 4 == 6 && take_address(c, &quoted->src, 6) &&
	       take_address(c, &quoted->dst, 6) && skip_extensions(c, next, quoted->proto);
}

static bool take_tcp(struct tl_cursor *c, struct tl_tcp_quote *ret_quote)
{
	ret_quote->src.port = tl_cursor__be16(c);
	ret_quote->dst.port = tl_cursor__be16(c);
	ret_quote->seq = tl_cursor__be32(c);
	if (c->failed)
		return false;
	ret_quote->has_flags = tl_cursor__left(c) >= 6;
	if (ret_quote->has_flags) {
		tl_cursor__skip(c, 5);
		ret_quote->tcp_flags = tl_cursor__u8(c);
	}
	return true;
}

/* Up to the quoted transport header, behind which `ret_rest` then begins. */
static bool take_quoted(const struct tl_packet *packet, const struct tl_layers *layers,
			struct quoted *quoted, struct tl_cursor *ret_rest)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	bool is_v6 = layers->proto == PROTO_ICMPV6;
	uint8_t type;

	if ((layers->proto != PROTO_ICMP && !is_v6) || !layers->l4_offset)
		return false;
	tl_cursor__skip(&c, layers->l4_offset);
	type = tl_cursor__u8(&c);
	quoted->code = tl_cursor__u8(&c);
	tl_cursor__skip(&c, 6);
	if (is_v6 ? type != ICMPV6_UNREACHABLE
		  : type != ICMP_UNREACHABLE || quoted->code == ICMP_CODE_FRAG_NEEDED)
		return false;
	if (!(is_v6 ? take_ipv6(&c, quoted) : take_ipv4(&c, quoted)))
		return false;
	*ret_rest = c;
	return true;
}

bool tl_tcp_quote__of(const struct tl_packet *packet, const struct tl_layers *layers,
		      struct tl_tcp_quote *ret_quote)
{
	struct quoted quoted = { .proto = PROTO_TCP };
	struct tl_tcp_quote quote = { 0 };
	struct tl_cursor rest;

	if (!take_quoted(packet, layers, &quoted, &rest))
		return false;
	quote.code = quoted.code;
	quote.src = quoted.src;
	quote.dst = quoted.dst;
	if (!take_tcp(&rest, &quote))
		return false;
	*ret_quote = quote;
	return true;
}

bool tl_udp_quote__of(const struct tl_packet *packet, const struct tl_layers *layers,
		      struct tl_udp_quote *ret_quote)
{
	struct quoted quoted = { .proto = PROTO_UDP };
	struct tl_udp_quote quote;
	struct tl_cursor rest;

	if (!take_quoted(packet, layers, &quoted, &rest))
		return false;
	quote = (struct tl_udp_quote){ quoted.code, quoted.src, quoted.dst };
	quote.src.port = tl_cursor__be16(&rest);
	quote.dst.port = tl_cursor__be16(&rest);
	if (rest.failed)
		return false;
	*ret_quote = quote;
	return true;
}
