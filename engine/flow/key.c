/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a decoded packet to the key of its flow. Pure; any thread.
 *
 * Both directions give one key: side 0 is the smaller (address, port). An ICMP type without an
 * answer keeps the order of the packet. A later fragment has no ports and thus no key.
 */
#include <string.h>

#include "table.h"

/* Address, then port, in one number: who is smaller. */
static inline uint64_t rank_ip4(const uint8_t *address, uint16_t port)
{
	uint32_t v;

	memcpy(&v, address, 4);
	return (uint64_t)__builtin_bswap32(v) << 16 | port;
}

static inline void set_ip4(uint8_t to[16], uint64_t rank)
{
	const uint32_t words[4] = { __builtin_bswap32((uint32_t)(rank >> 16)) };

	memcpy(to, words, 16);
}

/* Without a branch on the side, which nothing foretells. */
static inline uint8_t set_sides_ip4(const struct tl_layers *l, struct tl_flow_key *ret_key)
{
	const uint64_t src = rank_ip4(l->src, l->src_port), dst = rank_ip4(l->dst, l->dst_port);
	uint8_t side = src > dst;
	uint64_t swap;

	if (tl_icmp__one_way(l->proto, l->src_port))
		side = 0;
	swap = (src ^ dst) & -(uint64_t)side;
	set_ip4(ret_key->addr[0], src ^ swap);
	set_ip4(ret_key->addr[1], dst ^ swap);
	ret_key->port[0] = (uint16_t)(src ^ swap);
	ret_key->port[1] = (uint16_t)(dst ^ swap);
	return side;
}

static __attribute__((noinline)) uint8_t set_sides_ip6(const struct tl_layers *l,
						       struct tl_flow_key *ret_key)
{
	const int order = memcmp(l->src, l->dst, 16);
	uint8_t side = order > 0 || (!order && l->src_port > l->dst_port);

	if (tl_icmp__one_way(l->proto, l->src_port))
		side = 0;
	memcpy(ret_key->addr[side], l->src, 16);
	memcpy(ret_key->addr[!side], l->dst, 16);
	ret_key->port[side] = l->src_port;
	ret_key->port[!side] = l->dst_port;
	return side;
}

static inline bool key_of(const struct tl_layers *l, struct tl_flow_key *ret_key, uint8_t *ret_side)
{
	const uint8_t ip_version = l->ip_version;

	if (!ip_version || l->flags & TL_LAYERS_FRAGMENT_LATER)
		return false;
	*ret_side = ip_version == 4 ? set_sides_ip4(l, ret_key) : set_sides_ip6(l, ret_key);
	ret_key->proto = l->proto;
	ret_key->ip_version = ip_version;
	ret_key->reserved = 0;
	return true;
}

bool tl_flow_key__of(const struct tl_layers *layers, struct tl_flow_key *ret_key, uint8_t *ret_side)
{
	return key_of(layers, ret_key, ret_side);
}

void tl_flow_keys__of(struct tl_flow_lookup *lookups, uint32_t n, struct tl_flow_key *ret_keys,
		      bool *ret_has_key)
{
	for (uint32_t i = 0; i < n; i++) {
		ret_has_key[i] = key_of(lookups[i].layers, &ret_keys[i], &lookups[i].ret_side);
		if (!ret_has_key[i])
			memset(&ret_keys[i], 0, sizeof(ret_keys[i]));
	}
}
