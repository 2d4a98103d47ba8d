/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two keyed hashes of a flow key (see tapline/flow_hash.h).
 *
 * AES: CBC-MAC over the key's three blocks with reduced rounds, three between blocks and four at
 * the end. Three rounds leave no difference between two chosen blocks likelier than 2^-54 to
 * cancel, and no output is shown to the sender of packets, so that is enough here; it is no MAC.
 *
 *	addr[0] ─⊕─► 3 rounds ─⊕─► 3 rounds ─⊕─► 4 rounds ─► low 64 bits
 *	        rk0         addr[1]       ports, proto
 *
 * SipHash-1-3 (Aumasson, Bernstein): one round a word, three at the end; the length byte is 40.
 *
 * Pure functions of hasher and key: any thread.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "tapline/flow_hash.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAVE_AES 1
#else
#define HAVE_AES 0
#endif

#define KEY_WORDS (sizeof(struct tl_flow_key) / sizeof(uint64_t))

/* --- SipHash-1-3 -------------------------------------------------------------------------- */

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t siphash(const uint64_t seed[2], const uint64_t *words, size_t n)
{
	uint64_t v[4] = { seed[0] ^ 0x736f6d6570736575, seed[1] ^ 0x646f72616e646f6d,
			  seed[0] ^ 0x6c7967656e657261, seed[1] ^ 0x7465646279746573 };

	for (size_t i = 0; i <= n; i++) {
		uint64_t word = i < n ? words[i] : (uint64_t)(n * 8) << 56;

		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void siphash_keys(const struct tl_flow_hasher *hasher, const struct tl_flow_key *keys,
			 uint32_t n, uint64_t *ret_hashes)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t words[KEY_WORDS];

		memcpy(words, &keys[i], sizeof(words));
		ret_hashes[i] = siphash(hasher->seed, words, KEY_WORDS);
	}
}

/* --- AES ---------------------------------------------------------------------------------- */

#if HAVE_AES

__attribute__((target("aes,sse4.1"))) static void aes_keys(const struct tl_flow_hasher *hasher,
							   const struct tl_flow_key *keys,
							   uint32_t n, uint64_t *ret_hashes)
{
	__m128i rk[TL_FLOW_HASH_ROUNDS];

	for (int i = 0; i < TL_FLOW_HASH_ROUNDS; i++)
		rk[i] = _mm_loadu_si128((const __m128i *)(const void *)hasher->round_key[i]);
	for (uint32_t i = 0; i < n; i++) {
		const unsigned char *p = (const unsigned char *)&keys[i];
		__m128i h = _mm_loadu_si128((const __m128i *)(const void *)p);

		h = _mm_xor_si128(h, rk[0]);
		h = _mm_aesenc_si128(h, rk[1]);
		h = _mm_aesenc_si128(h, rk[2]);
		h = _mm_aesenc_si128(h, rk[3]);
		h = _mm_xor_si128(h, _mm_loadu_si128((const __m128i *)(const void *)(p + 16)));
		h = _mm_aesenc_si128(h, rk[4]);
		h = _mm_aesenc_si128(h, rk[5]);
		h = _mm_aesenc_si128(h, rk[6]);
		h = _mm_xor_si128(h, _mm_loadl_epi64((const __m128i *)(const void *)(p + 32)));
		h = _mm_aesenc_si128(h, rk[7]);
		h = _mm_aesenc_si128(h, rk[8]);
		h = _mm_aesenc_si128(h, rk[9]);
		h = _mm_aesenc_si128(h, rk[10]);
		ret_hashes[i] = (uint64_t)_mm_cvtsi128_si64(h);
	}
}

static bool cpu_has_aes(void)
{
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("sse4.1");
}

#else

#define aes_keys siphash_keys

static bool cpu_has_aes(void)
{
	return false;
}

#endif

static int draw_seed(uint64_t ret_seed[2])
{
	ssize_t got = getrandom(ret_seed, 2 * sizeof(*ret_seed), 0);

	if (got < 0)
		return -errno;
	return got == 2 * sizeof(*ret_seed) ? 0 : -EIO;
}

int tl_flow_hasher__init(struct tl_flow_hasher *hasher, const uint64_t seed[2],
			 enum tl_flow_hash_kind kind)
{
	struct tl_flow_hasher made = { .seed = { seed[0], seed[1] }, .kind = kind };

	if (!seed[0] && !seed[1]) {
		int err = draw_seed(made.seed);

		if (err)
			return err;
	}
	if (kind == TL_FLOW_HASH_AES && !cpu_has_aes())
		return -ENOTSUP;
	if (kind == TL_FLOW_HASH_AUTO)
		made.kind = cpu_has_aes() ? TL_FLOW_HASH_AES : TL_FLOW_HASH_SIPHASH;
	made.keys = made.kind == TL_FLOW_HASH_AES ? aes_keys : siphash_keys;
	for (uint64_t i = 0; i < 2 * TL_FLOW_HASH_ROUNDS; i++)
		made.round_key[i / 2][i % 2] = siphash(made.seed, &i, 1);
	*hasher = made;
	return 0;
}
