/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments: only the first one has ports; this table leads the later ones to its flow.
 *
 *	(addresses in the packet's order, identification, protocol) ─ keyed hash ─► set of 8 ─► flow
 *
 * An entry names its datagram by the whole 64-bit hash (RFC 791, RFC 8200: identification is unique
 * for a pair of addresses and a protocol; the IPv6 header leaves the protocol out). It holds until
 * TL_FRAGMENT_TICKS have passed or its flow has ended; a full set lets its oldest go. Fixed memory;
 * one thread.
 */
#ifndef TAPLINE_FLOW_FRAGMENTS_H
#define TAPLINE_FLOW_FRAGMENTS_H

#include "entry.h"
#include "tapline/flow_hash.h"
#include "wheel.h"

#define TL_FRAGMENT_WAYS  8
#define TL_FRAGMENT_SETS  512 /* a power of two */
#define TL_FRAGMENT_TICKS (uint32_t)(30000000000ull >> TL_TICK_SHIFT)

struct tl_fragment {
	uint64_t datagram; /* 0: free */
	uint32_t index;	   /* of the flow's entry */
	uint32_t generation;
	uint32_t seen; /* ticks */
	uint32_t side;
};

struct tl_fragments {
	struct tl_fragment set[TL_FRAGMENT_SETS][TL_FRAGMENT_WAYS];
};

/* Names the datagram that a fragment belongs to; never 0. */
uint64_t tl_fragments__datagram(const struct tl_flow_hasher *hasher,
				const struct tl_layers *layers);
void tl_fragments__put(struct tl_fragments *fragments, const struct tl_fragment *fragment);
/* The entry put under this name within the time; NULL: none. */
const struct tl_fragment *tl_fragments__find(const struct tl_fragments *fragments,
					     uint64_t datagram, uint32_t now);

#endif
