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
/* A sum of words of 64 bits, four at a time, and of their upper halves beside it. */
struct wide_sum {
	__m256i whole, upper;
};

__attribute__((target("avx2"))) static inline void add_32(struct wide_sum *sum,
							  const uint8_t *bytes)
{
	__m256i v = _mm256_loadu_si256((const __m256i_u *)bytes);

	sum->whole = _mm256_add_epi64(sum->whole, v);
	sum->upper = _mm256_add_epi64(sum->upper, _mm256_srli_epi64(v, 32));
}

/*
 * Nothing carries, so that no addition waits for another. What the whole words' sum loses above its
 * 64 bits was of the upper halves, whose own sum loses nothing: with these taken off, the lower
 * halves' sum is left. Only blocks of 64 bytes; `count` holds at least one.
 */
__attribute__((target("avx2"))) static uint64_t sum_blocks_avx2(const uint8_t *bytes, size_t count)
{
	const uint8_t *end = bytes + count / 64 * 64;
	struct wide_sum a = { _mm256_setzero_si256(), _mm256_setzero_si256() }, b = a;
	uint64_t lane[4];

	if (count & 64) {
		add_32(&a, bytes);
		add_32(&b, bytes + 32);
		bytes += 64;
	}
	for (; bytes < end; bytes += 128) {
		add_32(&a, bytes);
		add_32(&b, bytes + 32);
		add_32(&a, bytes + 64);
		add_32(&b, bytes + 96);
	}
	a.whole = _mm256_add_epi64(a.whole, b.whole);
	a.upper = _mm256_add_epi64(a.upper, b.upper);
	a.whole = _mm256_sub_epi64(a.whole, _mm256_slli_epi64(a.upper, 32));
	_mm256_storeu_si256((__m256i_u *)lane, _mm256_add_epi64(a.whole, a.upper));
	return lane[0] + lane[1] + lane[2] + lane[3];
}

/* Eight words and their carries: an instruction a word. Likewise. */
static inline uint64_t sum_blocks_adc(const uint8_t *bytes, size_t count)
{
	uint64_t sum = 0;

	for (; count >= 64; count -= 64, bytes += 64) {
		unsigned long long word, s = sum;
		unsigned char carry = 0;

#pragma GCC unroll 8
		for (unsigned i = 0; i < 8; i++) {
			memcpy(&word, bytes + 8 * i, sizeof(word));
			carry = _addcarry_u64(carry, s, word, &s);
		}
		/* what it carries out is 1 at the other end, and may carry once more */
		carry = _addcarry_u64(carry, s, 0, &s);
		sum = s + carry;
	}
	return sum;
}
#endif

/* Blocks of 64 bytes, as fast as this processor can; *ret_count bytes of them. */
static inline uint64_t sum_blocks(const uint8_t *bytes, size_t count, size_t *ret_count)
{
#if defined(__x86_64__)
	*ret_count = count / 64 * 64;
	if (count >= AVX2_FROM_BYTES && __builtin_cpu_supports("avx2"))
		return sum_blocks_avx2(bytes, count);
	return sum_blocks_adc(bytes, count);
#else
	(void)bytes;
	(void)count;
	*ret_count = 0;
	return 0;
#endif
}

/*
 * The last bytes, fewer than 16. Words may be read from before them where those are of the same
 * `total`: an address is as even there, and what they bring is shifted out.
 */
static inline uint64_t sum_tail(const uint8_t *bytes, size_t count, size_t total,
				uint64_t *ret_last)
{
	uint64_t first = 0, last = 0;

	if (total < 8) {
		memcpy(ret_last, bytes, count);
		return 0;
	}
	if (count >= 8)
		memcpy(&first, bytes, 8);
	if (count & 7) {
		memcpy(&last, bytes + count - 8, 8);
		*ret_last = last >> (64 - 8 * (count & 7));
	}
	return first;
}

/* 2^64 is 1 in sums of 16 bits that wrap around: carries may be added at any place. */
static inline uint16_t fold_wide(unsigned __int128 wide)
{
	uint64_t low = (uint64_t)wide, sum;

	sum = (low & 0xffffffffu) + (low >> 32) + (uint64_t)(wide >> 64);
	sum = (sum & 0xffffu) + (sum >> 16 & 0xffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static inline uint16_t fold(const uint8_t *bytes, size_t count, uint64_t sum)
{
	const size_t total = count;
	unsigned __int128 even = sum, odd = 0;
	uint64_t v[2], last = 0;
	size_t summed;

	if (count >= 64) {
		even += sum_blocks(bytes, count, &summed);
		bytes += summed;
		count -= summed;
	}
	for (; count >= 16; count -= 16, bytes += 16) {
		memcpy(v, bytes, 16);
		even += v[0];
		odd += v[1];
	}
	if (count)
		even += sum_tail(bytes, count, total, &last);
	return fold_wide(even + odd + last);
}

uint16_t tl_checksum__fold(const uint8_t *bytes, size_t count, uint64_t sum)
{
	return fold(bytes, count, sum);
}

static inline uint64_t pseudo_header(const struct tl_layers *l, uint32_t bytes)
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

/* It is wrong, or holds what the NIC was to go on from. */
static int verdict_of_wrong(const struct tl_layers *l, uint32_t bytes)
{
	uint16_t field = __builtin_bswap16(l->l4_checksum);

	if (field == fold_wide(pseudo_header(l, bytes)) || field == fold_wide(pseudo_header(l, 0)))
		return -ENODATA;
	return 0;
}

/* Not all of the segment was captured, or its checksum is not its own. */
static inline bool is_unfit(const struct tl_packet *packet, const struct tl_layers *l)
{
	const uint16_t unfit = TL_LAYERS_TRUNCATED | TL_LAYERS_MALFORMED | TL_LAYERS_FRAGMENT;

	if (!l->ip_version || !l->l4_offset || (l->flags & unfit) || !l->src || !l->dst ||
	    (packet->flags & TL_PACKET_CSUM_PARTIAL) || l->payload_caplen != l->payload_bytes ||
	    l->payload_offset < l->l4_offset)
		return true;
	return l->ip_version == 6 && l->l4_offset != l->l3_offset + IPV6_HEADER_BYTES;
}

static inline int transport(const struct tl_packet *packet, const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	uint64_t pseudo = 0;
	const uint8_t *segment;
	uint32_t bytes;

	if (is_unfit(packet, l))
		return -ENODATA;
	bytes = l->payload_offset - l->l4_offset + l->payload_bytes;
	tl_cursor__skip(&c, l->l4_offset);
	segment = tl_cursor__take(&c, bytes);
	if (!segment || !bytes)
		return -ENODATA;
	if (l->proto == PROTO_TCP || l->proto == PROTO_ICMPV6 ||
	    (l->proto == PROTO_UDP && l->l4_checksum))
		pseudo = pseudo_header(l, bytes);
	else if (l->proto != PROTO_ICMP)
		return -ENODATA;
	if (fold(segment, bytes, pseudo) == 0xffff)
		return 1;
	return l->proto == PROTO_ICMP ? 0 : verdict_of_wrong(l, bytes);
}

int tl_checksum__transport(const struct tl_packet *packet, const struct tl_layers *l)
{
	return transport(packet, l);
}

static bool is_ip_bad(const struct tl_packet *packet, const struct tl_layers *l)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	tl_cursor__skip(&c, l->l3_offset + 10);
	return tl_cursor__be16(&c) != 0;
}

uint8_t tl_checksum__packet(const struct tl_packet *packet, const struct tl_layers *l)
{
	int ok;

	if (l->flags & TL_LAYERS_BAD_IP_CSUM && is_ip_bad(packet, l))
		return TL_SUM_BAD_IP;
	ok = transport(packet, l);
	if (ok < 0)
		return TL_SUM_UNKNOWN;
	return ok ? TL_SUM_GOOD : TL_SUM_BAD;
}
