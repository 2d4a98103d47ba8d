/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What must be true of whatever the decoder says, for any bytes: all of it lies within the packet.
 */
#ifndef TAPLINE_TESTS_LAYERS_CHECK_H
#define TAPLINE_TESTS_LAYERS_CHECK_H

#include "tapline/packet.h"

/* The first fact that does not hold, in words; NULL: all do. */
static inline const char *layers__wrong(const struct tl_packet *packet, const struct tl_layers *l)
{
	const uint8_t *end = packet->data + packet->caplen;
	size_t address_bytes = l->ip_version == 4 ? 4 : 16;

	if (l->vlan_count > TL_VLAN_MAX || l->sack_count > 4)
		return "more tags or blocks than there is room for";
	if (l->l2_offset > packet->caplen || l->l3_offset > packet->caplen ||
	    l->l4_offset > packet->caplen)
		return "a header behind the end";
	if (l->tunnel.depth > TL_TUNNEL_MAX || !l->tunnel.type != !l->tunnel.depth)
		return "depth of tunnels";
	if (l->payload_caplen > l->payload_bytes)
		return "more captured than there was";
	if (l->payload_caplen && (uint64_t)l->payload_offset + l->payload_caplen > packet->caplen)
		return "payload behind the end";
	if (!l->ip_version)
		return l->l4_offset || l->src || l->dst || l->payload_bytes || l->fragment_bytes
			       ? "without IP there is nothing in it"
			       : NULL;
	if (l->src < packet->data || l->src + address_bytes > end || l->dst < packet->data ||
	    l->dst + address_bytes > end)
		return "an address outside";
	if (l->flags & TL_LAYERS_FRAGMENT_LATER && l->l4_offset)
		return "a later fragment has no transport header";
	if (l->fragment_bytes > l->ip_bytes ||
	    (!(l->flags & TL_LAYERS_FRAGMENT) && (l->fragment_bytes || l->fragment_offset)))
		return "bytes of a fragment";
	return NULL;
}

#endif
