/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The print of a packet: what a path leaves as it is, and by what an altered packet is found.
 *
 *	whole    TCP: seq, ack, flags, TSval, IP ID, payload; others: IP ID, payload; no address
 *	         (NAT), no TTL, no VLAN, no MAC, no tunnel, no TCP option (MSS clamping)
 *	by_head  the same without payload (and, TCP, without IP ID): the payload was altered
 *	by_body  addresses, payload, TSval, without seq, ack and IP ID: the numbers were altered
 *
 * Pure; any thread.
 */
#ifndef TAPLINE_COMPARE_PRINT_H
#define TAPLINE_COMPARE_PRINT_H

#include <stddef.h>

#include "tapline/packet.h"

struct print {
	uint64_t whole, by_head, by_body;
	uint64_t payload; /* hash of it */
	uint64_t ts_ns;	  /* of its side's clock */
	uint64_t frame;
	uint32_t wirelen;
	uint32_t payload_bytes;
	uint8_t src[16], dst[16];
	uint16_t src_port, dst_port;
	uint16_t mss;
	uint8_t ip_version, proto, ttl, tos, tcp_flags;
	bool is_strong; /* `whole` holds a number that the next packet does not have */
};

uint64_t print__hash(uint64_t seed, const void *data, size_t bytes);

/*
 * `payload_limit`: payload beyond that is not looked at, because one side did not capture it.
 * False: no IP in the packet.
 */
bool print__take(const struct tl_packet *packet, const struct tl_layers *layers,
		 uint32_t payload_limit, struct print *ret_print);

bool print__same_ends(const struct print *a, const struct print *b);

#endif
