/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An IP address in three words: for those who compare the addresses of every packet, which a
 * struct tl_endpoint, filled byte by byte and read back as words, would make wait for its stores.
 */
#ifndef TAPLINE_ANALYZERS_ADDRESS_H
#define TAPLINE_ANALYZERS_ADDRESS_H

#include <string.h>

#include "tapline/packet.h"
#include "tapline/record.h"

struct tl_address {
	uint64_t ip[2];
	uint64_t ip_version;
};

/* `ip`: of the packet's innermost IP header, source or destination; the version must not be 0. */
static inline struct tl_address tl_address__of(const struct tl_layers *layers, const uint8_t *ip)
{
	const unsigned high = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 32 : 0;
	uint64_t words[2];
	uint32_t v4;

	if (layers->ip_version != 6) {
		memcpy(&v4, ip, sizeof(v4));
		return (struct tl_address){ { (uint64_t)v4 << high, 0 }, layers->ip_version };
	}
	memcpy(words, ip, sizeof(words));
	return (struct tl_address){ { words[0], words[1] }, layers->ip_version };
}

static inline struct tl_address tl_address__of_endpoint(const struct tl_endpoint *endpoint)
{
	struct tl_address a = { .ip_version = endpoint->ip_version };

	memcpy(a.ip, endpoint->ip, sizeof(a.ip));
	return a;
}

static inline struct tl_endpoint tl_address__endpoint(const struct tl_address *a, uint16_t port)
{
	struct tl_endpoint e = { .ip_version = (uint8_t)a->ip_version, .port = port };

	memcpy(e.ip, a->ip, sizeof(e.ip));
	return e;
}

static inline bool tl_address__same(const struct tl_address *a, const struct tl_address *b)
{
	return !((a->ip[0] ^ b->ip[0]) | (a->ip[1] ^ b->ip[1]) | (a->ip_version ^ b->ip_version));
}

#endif
