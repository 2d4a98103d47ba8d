/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See share.h. */
#include "share.h"

#include <netinet/in.h>
#include <string.h>

#include "tapline/decode.h"

/* Multiplying carries each bit upward, and the shift brings it down again: even enough to share. */
static inline uint64_t mix(uint64_t x)
{
	x *= 0x9e3779b97f4a7c15;
	return x ^ x >> 32;
}

static inline uint64_t hash_host(const struct tl_layers *l, const uint8_t *address)
{
	uint64_t words[2];
	uint32_t ip4;

	if (l->ip_version == 4) {
		memcpy(&ip4, address, sizeof(ip4));
		return mix((uint64_t)ip4 + 1);
	}
	memcpy(words, address, sizeof(words));
	return mix(mix(words[0]) + words[1]);
}

bool share__has(const struct share *share, const struct tl_packet *packet,
		const struct tl_layers *layers)
{
	const struct tl_layers *l = layers;
	struct tl_layers quoted;
	uint64_t hash;

	if (!l->ip_version || !l->src)
		return !share->index;
	if ((l->proto == IPPROTO_ICMP || l->proto == IPPROTO_ICMPV6) &&
	    tl_decode__icmp_quote(packet, l, &quoted) && quoted.src)
		l = &quoted;
	/* The sum: the same for both directions. */
	hash = mix(hash_host(l, l->src) + hash_host(l, l->dst));
	return (uint32_t)((hash >> 32) * share->count >> 32) == share->index;
}
