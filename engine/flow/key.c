/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a decoded packet to the key of its flow. Pure; any thread.
 *
 * Both directions give one key: side 0 is the smaller (address, port). An ICMP type without an
 * answer keeps the order of the packet. A later fragment has no ports and thus no key.
 */
#include <string.h>

#include "tapline/flow.h"

static int compare_ip4(const uint8_t *a, const uint8_t *b)
{
	uint32_t x, y;

	memcpy(&x, a, 4);
	memcpy(&y, b, 4);
	x = __builtin_bswap32(x);
	y = __builtin_bswap32(y);
	return (x > y) - (x < y);
}

bool tl_flow_key__of(const struct tl_layers *layers, struct tl_flow_key *ret_key, uint8_t *ret_side)
{
	size_t bytes = layers->ip_version == 4 ? 4 : 16;
	const uint8_t *ip[2] = { layers->src, layers->dst };
	uint16_t port[2] = { layers->src_port, layers->dst_port };
	int order, side;

	if (!layers->ip_version || layers->flags & TL_LAYERS_FRAGMENT_LATER)
		return false;
	order = bytes == 4 ? compare_ip4(ip[0], ip[1]) : memcmp(ip[0], ip[1], 16);
	side = order > 0 || (!order && port[0] > port[1]);
	if (side && tl_icmp__one_way(layers->proto, port[0]))
		side = 0;
	if (bytes == 4) {
		memset(ret_key->addr, 0, sizeof(ret_key->addr));
		memcpy(ret_key->addr[0], ip[side], 4);
		memcpy(ret_key->addr[1], ip[!side], 4);
	} else {
		memcpy(ret_key->addr[0], ip[side], 16);
		memcpy(ret_key->addr[1], ip[!side], 16);
	}
	ret_key->port[0] = port[side];
	ret_key->port[1] = port[!side];
	ret_key->proto = layers->proto;
	ret_key->ip_version = layers->ip_version;
	ret_key->reserved = 0;
	*ret_side = (uint8_t)side;
	return true;
}
