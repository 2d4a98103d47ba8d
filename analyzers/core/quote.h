/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an ICMP or ICMPv6 "destination unreachable" says of a TCP segment or a UDP datagram: the
 * quoted addresses, ports and, of TCP, sequence number. Any thread; reads only captured bytes.
 */
#ifndef TAPLINE_ANALYZERS_QUOTE_H
#define TAPLINE_ANALYZERS_QUOTE_H

#include "tapline/packet.h"
#include "tapline/record.h"

struct tl_tcp_quote {
	uint8_t code; /* of the ICMP message */
	struct tl_endpoint src, dst;
	uint32_t seq;
	bool has_flags; /* the quote is long enough to show them (RFC 792 asks for 8 bytes only) */
	uint8_t tcp_flags;
};

/*
 * False when the packet is no such ICMP message, or quotes something else. "Fragmentation needed"
 * (RFC 1191) is not meant: it is no failure.
 */
bool tl_tcp_quote__of(const struct tl_packet *packet, const struct tl_layers *layers,
		      struct tl_tcp_quote *ret_quote);

struct tl_udp_quote {
	uint8_t code;
	struct tl_endpoint src, dst;
};

/* Likewise, of a UDP datagram. */
bool tl_udp_quote__of(const struct tl_packet *packet, const struct tl_layers *layers,
		      struct tl_udp_quote *ret_quote);

#endif
