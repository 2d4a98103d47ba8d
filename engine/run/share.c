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

static inline uint64_t hash_ip4(const uint8_t *address)
{
	uint32_t ip4;

	memcpy(&ip4, address, sizeof(ip4));
	return mix((uint64_t)ip4 + 1);
}

static inline uint64_t hash_host(const struct tl_layers *l, const uint8_t *address)
{
	uint64_t words[2];

	if (l->ip_version == 4)
		return hash_ip4(address);
	memcpy(words, address, sizeof(words));
	return mix(mix(words[0]) + words[1]);
}

/* Of the sum of both hosts' hashes: the same for both directions. */
static inline uint32_t owner_of(uint64_t sum, uint32_t count)
{
	return (uint32_t)((mix(sum) >> 32) * count >> 32);
}

static __attribute__((noinline)) uint32_t owner_by_layers(const struct tl_packet *packet,
							  uint32_t count)
{
	struct tl_layers layers, quoted;
	const struct tl_layers *l = &layers;

	tl_decode(packet, &layers);
	if (!l->ip_version || !l->src)
		return 0;
	if ((l->proto == IPPROTO_ICMP || l->proto == IPPROTO_ICMPV6) &&
	    tl_decode__icmp_quote(packet, l, &quoted) && quoted.src)
		l = &quoted;
	return owner_of(hash_host(l, l->src) + hash_host(l, l->dst), count);
}

uint32_t share__owner(const struct tl_packet *packet, uint32_t count)
{
	const uint8_t *addresses = tl_decode__addresses(packet);

	return addresses ? owner_of(hash_ip4(addresses) + hash_ip4(addresses + 4), count)
			 : owner_by_layers(packet, count);
}
