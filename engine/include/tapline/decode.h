/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoding: from bytes to the innermost IP packet and its transport header.
 */
#ifndef TAPLINE_DECODE_H
#define TAPLINE_DECODE_H

#include <stdbool.h>

#include "tapline/packet.h"

/*
 * Decodes link layer, VLAN, MPLS, PPPoE, tunnels, IPv4/IPv6 with extension headers, TCP, UDP, SCTP
 * and ICMP. Never fails: what it could not read is left zero, and `flags` says why. No allocation;
 * steps are bounded by the tunnel and extension header limits.
 */
void tl_decode(const struct tl_packet *packet, struct tl_layers *ret_layers);

/*
 * For who wants no more of a packet: the addresses (4 bytes of the source, 4 of the destination) of
 * an IPv4 packet with TCP or UDP in Ethernet, where tl_decode would give the same. NULL for all
 * else: that has to be decoded.
 */
const uint8_t *tl_decode__addresses(const struct tl_packet *packet);

/* Decodes the IP packet that an ICMP error quotes; false when there is none or it is too short. */
bool tl_decode__icmp_quote(const struct tl_packet *packet, const struct tl_layers *layers,
			   struct tl_layers *ret_quoted);

/*
 * Is the transport checksum right? 1 yes; 0 no; -ENODATA: not all bytes were captured, a fragment,
 * or no checksum (UDP 0). A packet with TL_PACKET_CSUM_PARTIAL, or whose field holds the bare
 * pseudo-header sum (checksum offload on the sending host), gives -ENODATA.
 */
int tl_decode__l4_checksum_ok(const struct tl_packet *packet, const struct tl_layers *layers);

#endif
