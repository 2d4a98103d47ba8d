/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport checksum (RFC 1071, RFC 8200 section 8.1); see checksum.h. No state.
 *
 *	pseudo-header: source │ destination │ length │ protocol      segment: header │ payload
 *	└──────────────── sum ──────────────────────────────────────────────────────────────┘ = ffff
 */
#include <errno.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/checksum.h"
#include "core/segment.h"
#include "tapline/cursor.h"

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

#define IPV6_HEADER_BYTES 40
#define AVX2_FROM_BYTES	  256 /* shorter ones are summed sooner than its registers are set up */

#if defined(__x86_64__)
/*
 * Words of 32 bits into sums of 64, eight of them at a time: nothing carries, so that no addition
 * waits for another. Moves on past what it took.
 */
__attribute__((target("avx2"))) static uint64_t sum_blocks_avx2(const uint8_t **bytes,
								size_t *count)
{
	const __m256i low = _mm256_set1_epi64x(0xffffffff);
	__m256i even = _mm256_setzero_si256(), odd = even;
	uint64_t lane[4];

	for (; *count >= 64; *count -= 64, *bytes += 64) {
		__m256i a = _mm256_loadu_si256((const __m256i_u *)*bytes);
		__m256i b = _mm256_loadu_si256((const __m256i_u *)(*bytes + 32));

		even = _mm256_add_epi64(
			even, _mm256_add_epi64(_mm256_and_si256(a, low), _mm256_and_si256(b, low)));
		odd = _mm256_add_epi64(
			odd, _mm256_add_epi64(_mm256_srli_epi64(a, 32), _mm256_srli_epi64(b, 32)));
	}
	_mm256_storeu_si256((__m256i_u *)lane, _mm256_add_epi64(even, odd));
	return lane[0] + lane[1] + lane[2] + lane[3];
}

/* Eight words and their carries: an instruction a word. Moves on past what it took. */
static inline uint64_t sum_blocks_adc(const uint8_t **bytes, size_t *count)
{
	uint64_t sum = 0;

	for (; *count >= 64; *count -= 64, *bytes += 64) {
		unsigned long long word, s = sum;
		unsigned char carry = 0;

#pragma GCC unroll 8
		for (unsigned i = 0; i < 8; i++) {
			memcpy(&word, *bytes + 8 * i, sizeof(word));
			carry = _addcarry_u64(carry, s, word, &s);
		}
		/* what it carries out is 1 at the other end, and may carry once more */
		carry = _addcarry_u64(carry, s, 0, &s);
		sum = s + carry;
	}
	return sum;
}
#endif

/* Blocks of 64 bytes, as fast as this processor can; what is left is for the caller. */
static inline uint64_t sum_blocks(const uint8_t **bytes, size_t *count)
{
#if defined(__x86_64__)
	if (*count >= AVX2_FROM_BYTES && __builtin_cpu_supports("avx2"))
		return sum_blocks_avx2(bytes, count);
	return sum_blocks_adc(bytes, count);
#else
	(void)bytes;
	(void)count;
	return 0;
#endif
}

uint16_t tl_checksum__fold(const uint8_t *bytes, size_t count, uint64_t sum)
{
	unsigned __int128 even = sum_blocks(&bytes, &count), odd = 0;
	uint64_t v[2], low;

	for (; count >= 16; count -= 16, bytes += 16) {
		memcpy(v, bytes, 16);
		even += v[0];
		odd += v[1];
	}
	v[0] = v[1] = 0;
	if (count)
		memcpy(v, bytes, count);
	even += odd;
	even += v[0];
	even += v[1];
	/* 2^64 is 1 in sums of 16 bits that wrap around: carries may be added at any place. */
	low = (uint64_t)even;
	sum += (low & 0xffffffffu) + (low >> 32) + (uint64_t)(even >> 64);
	while (sum >> 16)
		sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

static uint64_t pseudo_header(const struct tl_layers *l, uint32_t bytes)
{
	uint32_t words = l->ip_version == 6 ? 4 : 1, src, dst;
	uint64_t sum = __builtin_bswap32(l->proto) + (uint64_t)__builtin_bswap32(bytes);

	for (uint32_t i = 0; i < words; i++) {
		memcpy(&src, l->src + 4 * i, sizeof(src));
		memcpy(&dst, l->dst + 4 * i, sizeof(dst));
		sum += (uint64_t)src + dst;
	}
	return sum;
}

static int verdict(const struct tl_layers *l, const uint8_t *segment, uint32_t bytes)
{
	uint64_t pseudo = pseudo_header(l, bytes);
	uint16_t field = __builtin_bswap16(l->l4_checksum);

	if (tl_checksum__fold(segment, bytes, pseudo) == 0xffff)
		return 1;
	if (field == tl_checksum__fold(segment, 0, pseudo) ||
	    field == tl_checksum__fold(segment, 0, pseudo_header(l, 0)))
		return -ENODATA;
	return 0;
}

int tl_checksum__transport(const struct tl_packet *packet, const struct tl_layers *l)
{
	const uint16_t unfit = TL_LAYERS_TRUNCATED | TL_LAYERS_MALFORMED | TL_LAYERS_FRAGMENT;
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	const uint8_t *segment;
	uint32_t bytes;

	if (!l->ip_version || !l->l4_offset || (l->flags & unfit) || !l->src || !l->dst ||
	    (packet->flags & TL_PACKET_CSUM_PARTIAL) || l->payload_caplen != l->payload_bytes ||
	    l->payload_offset < l->l4_offset)
		return -ENODATA;
	if (l->ip_version == 6 && l->l4_offset != l->l3_offset + IPV6_HEADER_BYTES)
		return -ENODATA;
	bytes = l->payload_offset - l->l4_offset + l->payload_bytes;
	tl_cursor__skip(&c, l->l4_offset);
	segment = tl_cursor__take(&c, bytes);
	if (!segment || !bytes)
		return -ENODATA;
	switch (l->proto) {
	case PROTO_UDP:
		return l->l4_checksum ? verdict(l, segment, bytes) : -ENODATA;
	case PROTO_TCP:
	case PROTO_ICMPV6:
		return verdict(l, segment, bytes);
	case PROTO_ICMP:
		return tl_checksum__fold(segment, bytes, 0) == 0xffff;
	default:
		return -ENODATA;
	}
}

static bool is_ip_bad(const struct tl_packet *packet, const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	if (!(l->flags & TL_LAYERS_BAD_IP_CSUM))
		return false;
	tl_cursor__skip(&c, l->l3_offset + 10);
	return tl_cursor__be16(&c) != 0;
}

uint8_t tl_checksum__packet(const struct tl_packet *packet, const struct tl_layers *l)
{
	int ok;

	if (is_ip_bad(packet, l))
		return TL_SUM_BAD_IP;
	ok = tl_checksum__transport(packet, l);
	if (ok < 0)
		return TL_SUM_UNKNOWN;
	return ok ? TL_SUM_GOOD : TL_SUM_BAD;
}
