/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The keyed hash of flow keys: what an attacker who chooses addresses cannot aim at.
 *
 * Two functions, chosen once at start: rounds of AES where the processor has them (x86-64 AES-NI),
 * SipHash-1-3 everywhere else. Both map a key of 40 bytes and a secret of 128 bits to 64 bits.
 */
#ifndef TAPLINE_FLOW_HASH_H
#define TAPLINE_FLOW_HASH_H

#include <stdint.h>

#include "tapline/flow.h"

enum tl_flow_hash_kind {
	TL_FLOW_HASH_AUTO = 0, /* the faster one that this processor has */
	TL_FLOW_HASH_AES,
	TL_FLOW_HASH_SIPHASH,
};

#define TL_FLOW_HASH_ROUNDS 11

struct tl_flow_hasher {
	uint64_t seed[2];
	uint64_t round_key[TL_FLOW_HASH_ROUNDS][2]; /* AES: expanded from the seed */
	void (*keys)(const struct tl_flow_hasher *hasher, const struct tl_flow_key *keys,
		     uint32_t n, uint64_t *ret_hashes);
	enum tl_flow_hash_kind kind; /* the one in use */
};

/* `seed` both 0: from getrandom(2). 0; -ENOTSUP: no AES here; -errno of getrandom. */
int tl_flow_hasher__init(struct tl_flow_hasher *hasher, const uint64_t seed[2],
			 enum tl_flow_hash_kind kind);

/* Hashes n keys: independent chains, which the processor overlaps. */
static inline void tl_flow_hasher__keys(const struct tl_flow_hasher *hasher,
					const struct tl_flow_key *keys, uint32_t n,
					uint64_t *ret_hashes)
{
	hasher->keys(hasher, keys, n, ret_hashes);
}

static inline uint64_t tl_flow_hasher__key(const struct tl_flow_hasher *hasher,
					   const struct tl_flow_key *key)
{
	uint64_t hash;

	hasher->keys(hasher, key, 1, &hash);
	return hash;
}

#endif
