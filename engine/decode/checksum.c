/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the transport checksum right, and if not, did the sender leave it to its NIC? Off the fast
 * path: an analyzer asks about packets it has a reason to ask about.
 *
 * Capturing on the sending host shows packets before the NIC filled in the checksum: the field
 * then holds the folded sum of the pseudo-header alone (TCP, UDP), which is no fault of the wire.
 */
#include <errno.h>

#include "step.h"
#include "tapline/decode.h"

#define EXTENSIONS_MAX 16

/*
 * A routing header with segments left: the checksum is over the last destination, not over that in
 * the IPv6 header (RFC 8200, section 8.1). Type 4 keeps its list in reverse order (RFC 8754).
 */
static const uint8_t *routed_destination(const struct tl_packet *packet,
					 const struct tl_layers *layers)
{
	struct tl_cursor c = tl_cursor__init(packet->data, layers->l4_offset);
	const uint8_t *p = tl_cursor__take(&c, layers->l3_offset);
	uint8_t type;

	p = p ? tl_cursor__take(&c, 40) : NULL;
	type = p ? p[6] : PROTO_NONE;
	for (int i = 0; i < EXTENSIONS_MAX && type != PROTO_NONE; i++) {
		uint32_t bytes;

		p = tl_cursor__peek(&c, 8);
		bytes = p ? extension_bytes(type, p) : 0;
		if (!bytes || !tl_cursor__take(&c, bytes))
			break;
		if (type == PROTO_ROUTING && p[3] && bytes >= 24) {
			if (p[2] == 4)
				return p + 8;
			if (p[2] == 0 || p[2] == 2)
				return p + 8 + (bytes - 8) / 16 * 16 - 16;
		}
		type = p[0];
	}
	return layers->dst;
}

/* Of addresses, protocol and length; in the byte order of memory, as fold_sum goes on with it. */
static uint64_t pseudo_header(const struct tl_packet *packet, const struct tl_layers *layers,
			      uint32_t bytes)
{
	size_t address_bytes = layers->ip_version == 4 ? 4 : 16;
	const uint8_t *dst = layers->dst;
	uint64_t sum;

	if (layers->ip_version == 6)
		dst = routed_destination(packet, layers);
	sum = __builtin_bswap32(layers->proto) + (uint64_t)__builtin_bswap32(bytes);
	sum = fold_sum(layers->src, address_bytes, sum);
	return fold_sum(dst, address_bytes, sum);
}

static int verdict(const struct tl_packet *packet, const struct tl_layers *layers,
		   const struct tl_cursor *segment)
{
	uint32_t bytes = (uint32_t)tl_cursor__left(segment);
	uint64_t pseudo = pseudo_header(packet, layers, bytes);
	uint16_t field = __builtin_bswap16(layers->l4_checksum);

	if (fold_sum(segment->at, bytes, pseudo) == 0xffff)
		return 1;
	/* a segment that the NIC was to cut further has a sum without the length */
	if (field == fold_sum(NULL, 0, pseudo) ||
	    field == fold_sum(NULL, 0, pseudo_header(packet, layers, 0)))
		return -ENODATA;
	return 0;
}

/* CRC32c, bit by bit (RFC 9260, appendix A): SCTP is rare, a table would cost more cache. */
static uint32_t crc32c(uint32_t crc, const uint8_t *p, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		crc ^= p[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
	}
	return crc;
}

static int sctp_verdict(struct tl_cursor segment)
{
	static const uint8_t zero[4];
	const uint8_t *ports = tl_cursor__take(&segment, 8);
	uint32_t field = tl_cursor__le32(&segment);
	uint32_t crc;

	/* 0: left to the NIC, or agreed to be unused (RFC 9653) */
	if (segment.failed || !field)
		return -ENODATA;
	crc = crc32c(0xffffffffu, ports, 8);
	crc = crc32c(crc, zero, sizeof(zero));
	return ~crc32c(crc, segment.at, tl_cursor__left(&segment)) == field;
}

int tl_decode__l4_checksum_ok(const struct tl_packet *packet, const struct tl_layers *layers)
{
	const uint16_t unfit = TL_LAYERS_TRUNCATED | TL_LAYERS_MALFORMED | TL_LAYERS_FRAGMENT;
	struct tl_cursor segment = tl_cursor__init(packet->data, packet->caplen);

	if (!layers->ip_version || !layers->l4_offset || (layers->flags & unfit) ||
	    (packet->flags & TL_PACKET_CSUM_PARTIAL) ||
	    layers->payload_caplen != layers->payload_bytes)
		return -ENODATA;
	tl_cursor__skip(&segment, layers->l4_offset);
	tl_cursor__limit(&segment, layers->payload_offset - layers->l4_offset +
					   (size_t)layers->payload_bytes);
	if (segment.failed)
		return -ENODATA;
	switch (layers->proto) {
	case PROTO_UDP:
		if (!layers->l4_checksum)
			return -ENODATA;
		return verdict(packet, layers, &segment);
	case PROTO_TCP:
	case PROTO_ICMP6:
		return verdict(packet, layers, &segment);
	case PROTO_ICMP:
		return fold_sum(segment.at, tl_cursor__left(&segment), 0) == 0xffff;
	case PROTO_SCTP:
		return sctp_verdict(segment);
	default:
		return -ENODATA;
	}
}
