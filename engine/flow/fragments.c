/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fragment table; fragments.h draws it. The table's worker alone.
 */
#include "fragments.h"

#include <string.h>

uint64_t tl_fragments__datagram(const struct tl_flow_hasher *hasher, const struct tl_layers *layers)
{
	size_t bytes = layers->ip_version == 4 ? 4 : 16;
	struct tl_flow_key key = {
		.port = { (uint16_t)(layers->ip_id >> 16), (uint16_t)layers->ip_id },
		/* behind the first fragment of IPv6 there may be other extension headers */
		.proto = layers->ip_version == 4 ? layers->proto : 0,
		.ip_version = layers->ip_version,
		.reserved = 1, /* never the key of a flow */
	};
	uint64_t hash;

	memcpy(key.addr[0], layers->src, bytes);
	memcpy(key.addr[1], layers->dst, bytes);
	hash = tl_flow_hasher__key(hasher, &key);
	return hash ? hash : 1;
}

void tl_fragments__put(struct tl_fragments *fragments, const struct tl_fragment *fragment)
{
	struct tl_fragment *set = fragments->set[fragment->datagram & (TL_FRAGMENT_SETS - 1)];
	struct tl_fragment *place = set;

	for (int way = 0; way < TL_FRAGMENT_WAYS; way++) {
		if (set[way].datagram == fragment->datagram || !set[way].datagram) {
			place = &set[way];
			break;
		}
		if (fragment->seen - set[way].seen > fragment->seen - place->seen)
			place = &set[way];
	}
	*place = *fragment;
}

const struct tl_fragment *tl_fragments__find(const struct tl_fragments *fragments,
					     uint64_t datagram, uint32_t now)
{
	const struct tl_fragment *set = fragments->set[datagram & (TL_FRAGMENT_SETS - 1)];

	for (int way = 0; way < TL_FRAGMENT_WAYS; way++)
		if (set[way].datagram == datagram && now - set[way].seen <= TL_FRAGMENT_TICKS)
			return &set[way];
	return NULL;
}
