/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is a transport checksum right? For every packet, so fast: 64 bits at a time, carries beside them.
 * Pure functions; any thread.
 */
#ifndef TAPLINE_ANALYZERS_CHECKSUM_H
#define TAPLINE_ANALYZERS_CHECKSUM_H

#include <stddef.h>

#include "tapline/packet.h"

/* RFC 1071, not yet complemented, in the byte order of memory; `sum` goes on from an earlier part
 * of an even number of bytes. */
uint16_t tl_checksum__fold(const uint8_t *bytes, size_t count, uint64_t sum);

/*
 * 1: right. 0: wrong. -ENODATA: cannot be told — not all bytes were captured, a fragment, no
 * checksum (UDP 0), an IPv6 header before it that may change the address it is over, another
 * protocol than TCP, UDP, ICMP and ICMPv6; or the field was left to a NIC: it holds the sum of the
 * pseudo-header alone, with or without the length.
 */
int tl_checksum__transport(const struct tl_packet *packet, const struct tl_layers *layers);

/* enum tl_sum of a packet. With 0 in its field, the IPv4 header's checksum was left to a NIC. */
uint8_t tl_checksum__packet(const struct tl_packet *packet, const struct tl_layers *layers);

#endif
