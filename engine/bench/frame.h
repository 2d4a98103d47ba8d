/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One frame of made traffic: Ethernet, IPv4 or IPv6, TCP or UDP, payload, right checksums.
 *
 *	│ Ethernet 14 │ IP 20 or 40 │ TCP 20 (SYN: 28) or UDP 8 │ payload │ padding up to 60 │
 *
 * Client 10.0.0.0/8 (fd00:10::/32), servers in 198.18.0.0/15 (RFC 2544; 2001:2::/48, RFC 5180).
 */
#ifndef TAPLINE_BENCH_FRAME_H
#define TAPLINE_BENCH_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_NOISE_BYTES  16384u
#define FRAME_NOISE_STARTS 3600u /* even offsets that payload may begin at */

/* Bytes that stand for payload, and the checksum of each beginning of them. */
struct frame_noise {
	uint8_t bytes[FRAME_NOISE_BYTES];
	uint32_t sum[FRAME_NOISE_BYTES + 1]; /* of the first n bytes, not folded */
};

struct frame_spec {
	uint32_t client; /* number of the host: its address */
	uint32_t server;
	uint16_t client_port;
	uint16_t server_port;
	bool from_client;
	bool is_ipv6;
	bool is_tcp;
	uint8_t tcp_flags;
	uint16_t ip_id;
	uint32_t seq;
	uint32_t ack;
	const uint8_t *text;  /* payload; NULL: noise */
	uint32_t noise_start; /* below FRAME_NOISE_STARTS: differing datagrams are no copies */
	uint32_t payload_bytes;
};

void frame__init_noise(struct frame_noise *ret_noise, uint64_t seed);

/* Bytes of all headers: what a frame without payload takes before padding. */
uint32_t frame__header_bytes(const struct frame_spec *spec);

/* Writes the frame at `data`, which has room for headers, payload and 60 bytes. Its length. */
uint32_t frame__write(const struct frame_spec *spec, const struct frame_noise *noise,
		      uint8_t *data);

#endif
