/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words that several judges use: addresses, endpoints and times as text, display filter terms, and
 * the hash by which they find things. Pure functions; any thread.
 */
#ifndef TAPLINE_ANALYZERS_TEXT_H
#define TAPLINE_ANALYZERS_TEXT_H

#include <string.h>

#include "tapline/flow.h"
#include "tapline/record.h"

#define TL_TEXT_IP	 46 /* an IPv6 address with the zero */
#define TL_TEXT_ENDPOINT 56 /* "[…]:65535" */
#define TL_TEXT_FILTER	 64 /* "ipv6.addr==…" */
#define TL_TEXT_SPAN	 24

/* "10.0.2.10", "2001:db8::1"; "?" when there is no address. Returns `ret_text`. */
const char *tl_text__ip(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_IP]);
/* "10.0.2.10:8080", "[2001:db8::1]:8080". */
const char *tl_text__endpoint(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_ENDPOINT]);
/* "ip.addr==10.0.2.10": a term of a Wireshark display filter. */
const char *tl_text__ip_filter(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_FILTER]);
/* "7.0 s", "350 ms". */
const char *tl_text__span(uint64_t span_ns, char ret_text[TL_TEXT_SPAN]);
/* "" for 1, else "s". */
const char *tl_text__plural(uint64_t n);

/*
 * Does the text begin with the word? Here, so that with a word of the source it is a comparison or
 * two, without a call.
 */
static inline bool tl_text__begins(const uint8_t *text, size_t bytes, const char *word)
{
	return bytes >= strlen(word) && !memcmp(text, word, strlen(word));
}

/* One step of a 64x64→128 multiply-and-fold hash: eight bytes a multiplication. */
static inline uint64_t tl_text__hash_word(uint64_t h, uint64_t word)
{
	__uint128_t product = (__uint128_t)(h ^ word) * 0x9e3779b97f4a7c15u;

	return (uint64_t)product ^ (uint64_t)(product >> 64) ^ 0xd6e8feb86659fd93u;
}

/*
 * 64 bits, the same on every machine and in every run; chain by giving the last one as `seed`.
 * Here, so that for addresses, whose size is known, a few multiplications are left of it.
 */
static inline uint64_t tl_text__hash(uint64_t seed, const void *data, size_t bytes)
{
	const unsigned char *p = data;
	uint64_t h = tl_text__hash_word(seed, bytes);
	uint64_t word;

	for (; bytes >= sizeof(word); bytes -= sizeof(word), p += sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		h = tl_text__hash_word(h, word);
	}
	for (word = 0; bytes; bytes--)
		word = word << 8 | p[bytes - 1];
	return tl_text__hash_word(h, word);
}

/* An endpoint as the key of a finding: version, address, port, and no padding between them. */
#define TL_ENDPOINT_KEY 19
void tl_endpoint__key(const struct tl_endpoint *endpoint, uint8_t ret_key[TL_ENDPOINT_KEY]);

/* For every packet; so in words of fixed size, and without a call. */
static inline bool tl_endpoint__same_host(const struct tl_endpoint *a, const struct tl_endpoint *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a->ip, sizeof(x));
	memcpy(y, b->ip, sizeof(y));
	return a->ip_version == b->ip_version && !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* One side of a flow. */
static inline struct tl_endpoint tl_endpoint__of_flow(const struct tl_flow *flow, unsigned side)
{
	struct tl_endpoint e = { .ip_version = flow->key.ip_version, .port = flow->key.port[side] };

	memcpy(e.ip, flow->key.addr[side], sizeof(e.ip));
	return e;
}

/* Who a flow is about, when its client is known to be `client_side`. */
struct tl_subject tl_subject__of_flow(const struct tl_flow *flow, uint8_t client_side);

#endif
