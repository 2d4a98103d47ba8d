/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow PkgConfig::crypto */
/* The keyed hashes: SipHash against another implementation; both spread, and depend on the secret.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <string.h>

#include "tapline/flow_hash.h"

static uint64_t openssl_siphash13(const uint64_t seed[2], const void *data, size_t bytes)
{
	unsigned int c_rounds = 1, d_rounds = 3;
	size_t size = 8, length = 0;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c_rounds),
				OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d_rounds),
				OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
				OSSL_PARAM_construct_end() };
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
	uint64_t hash = 0;

	cr_assert_eq(EVP_MAC_init(ctx, (const unsigned char *)seed, 16, params), 1);
	cr_assert_eq(EVP_MAC_update(ctx, data, bytes), 1);
	cr_assert_eq(EVP_MAC_final(ctx, (unsigned char *)&hash, &length, sizeof(hash)), 1);
	cr_assert_eq(length, 8);
	EVP_MAC_CTX_free(ctx);
	EVP_MAC_free(mac);
	return hash;
}

Test(flow_hash, siphash_is_siphash)
{
	uint64_t seed[2] = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };
	struct tl_flow_hasher hasher;
	struct tl_flow_key key;

	cr_assert_eq(tl_flow_hasher__init(&hasher, seed, TL_FLOW_HASH_SIPHASH), 0);
	for (int i = 0; i < 100; i++) {
		for (size_t j = 0; j < sizeof(key); j++)
			((uint8_t *)&key)[j] = (uint8_t)(i * 37 + (int)j * 11);
		cr_expect_eq(tl_flow_hasher__key(&hasher, &key),
			     openssl_siphash13(seed, &key, sizeof(key)));
	}
}

static bool hasher_of(enum tl_flow_hash_kind kind, uint64_t a, uint64_t b,
		      struct tl_flow_hasher *ret_hasher)
{
	uint64_t seed[2] = { a, b };
	int err = tl_flow_hasher__init(ret_hasher, seed, kind);

	cr_assert(!err || (err == -ENOTSUP && kind == TL_FLOW_HASH_AES));
	return !err;
}

static const enum tl_flow_hash_kind kinds[] = { TL_FLOW_HASH_SIPHASH, TL_FLOW_HASH_AES };

Test(flow_hash, many_keys_give_what_one_gives)
{
	static struct tl_flow_key keys[100];
	uint64_t hashes[100];
	struct tl_flow_hasher hasher;

	for (int i = 0; i < 100; i++)
		memset(&keys[i], i * 3, sizeof(keys[i]));
	for (int k = 0; k < 2; k++) {
		if (!hasher_of(kinds[k], 1, 2, &hasher))
			continue;
		tl_flow_hasher__keys(&hasher, keys, 100, hashes);
		for (int i = 0; i < 100; i++)
			cr_expect_eq(hashes[i], tl_flow_hasher__key(&hasher, &keys[i]));
	}
}

/* Each bit of the key changes each bit of the hash about half of the time. */
Test(flow_hash, every_bit_of_the_key_reaches_every_bit_of_the_hash)
{
	struct tl_flow_hasher hasher;

	for (int k = 0; k < 2; k++) {
		static uint32_t flips[64];

		memset(flips, 0, sizeof(flips));
		if (!hasher_of(kinds[k], 3, 4, &hasher))
			continue;
		for (uint32_t round = 0; round < 64; round++) {
			struct tl_flow_key key = { .addr = { { 10, 0, 0, (uint8_t)round } },
						   .proto = 6 };
			uint64_t base = tl_flow_hasher__key(&hasher, &key);

			for (size_t bit = 0; bit < 8 * sizeof(key); bit++) {
				uint64_t other;

				((uint8_t *)&key)[bit / 8] ^= (uint8_t)(1u << bit % 8);
				other = tl_flow_hasher__key(&hasher, &key);
				((uint8_t *)&key)[bit / 8] ^= (uint8_t)(1u << bit % 8);
				cr_assert_neq(base, other, "bit %zu does not matter", bit);
				for (int i = 0; i < 64; i++)
					flips[i] += (base ^ other) >> i & 1;
			}
		}
		for (int i = 0; i < 64; i++) {
			double share = flips[i] / (64.0 * 8 * sizeof(struct tl_flow_key));

			cr_expect(share > 0.48 && share < 0.52, "kind %d bit %d: %f", kinds[k], i,
				  share);
		}
	}
}

Test(flow_hash, the_secret_changes_the_order_of_buckets)
{
	struct tl_flow_hasher a, b;
	int same = 0;

	for (int k = 0; k < 2; k++) {
		if (!hasher_of(kinds[k], 1, 2, &a) || !hasher_of(kinds[k], 1, 3, &b))
			continue;
		same = 0;
		for (uint8_t i = 0; i < 200; i++) {
			struct tl_flow_key key = { .addr = { { i } } };

			/* the top 8 bits choose among 256 buckets */
			same += tl_flow_hasher__key(&a, &key) >> 56 ==
				tl_flow_hasher__key(&b, &key) >> 56;
		}
		cr_expect_lt(same, 10);
	}
}

Test(flow_hash, without_a_seed_each_hasher_draws_its_own)
{
	struct tl_flow_hasher a, b;
	struct tl_flow_key key = { .proto = 6 };

	cr_assert(hasher_of(TL_FLOW_HASH_AUTO, 0, 0, &a));
	cr_assert(hasher_of(TL_FLOW_HASH_AUTO, 0, 0, &b));
	cr_expect_neq(tl_flow_hasher__key(&a, &key), tl_flow_hasher__key(&b, &key));
}
