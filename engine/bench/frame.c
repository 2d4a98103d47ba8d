/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See frame.h. */
#include "frame.h"

#include <string.h>

#include "tapline/packet.h"

#define ETHERNET_BYTES 14u
#define FRAME_MIN      60u
#define SYN_OPTIONS    8u
#define PROTO_TCP      6
#define PROTO_UDP      17

_Static_assert(2 * FRAME_NOISE_STARTS + 9014 <= FRAME_NOISE_BYTES, "the largest frame has noise");

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
	put16(at, value >> 16);
	put16(at + 2, value & 0xffff);
}

/* One's complement sum of words as they lie in memory (RFC 1071), not folded. */
static uint32_t sum_of(const uint8_t *data, uint32_t bytes)
{
	uint32_t sum = 0;
	uint16_t word;

	for (; bytes > 1; bytes -= 2, data += 2) {
		memcpy(&word, data, 2);
		sum += word;
	}
	if (bytes) {
		word = 0;
		memcpy(&word, data, 1);
		sum += word;
	}
	return sum;
}

static void put_checksum(uint8_t *at, uint32_t sum, bool is_udp)
{
	uint16_t folded;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	folded = (uint16_t)~sum;
	/* RFC 768: a sum of zero is sent as ones */
	if (!folded && is_udp)
		folded = 0xffff;
	memcpy(at, &folded, 2);
}

void frame__init_noise(struct frame_noise *noise, uint64_t seed)
{
	uint64_t state = seed * 2 + 1;

	for (uint32_t i = 0; i < FRAME_NOISE_BYTES; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		noise->bytes[i] = (uint8_t)(state >> 56);
	}
	noise->sum[0] = 0;
	for (uint32_t i = 0; i < FRAME_NOISE_BYTES; i++)
		noise->sum[i + 1] = i % 2 ? noise->sum[i - 1] + sum_of(&noise->bytes[i - 1], 2)
					  : noise->sum[i] + sum_of(&noise->bytes[i], 1);
}

static uint32_t transport_bytes(const struct frame_spec *spec)
{
	if (!spec->is_tcp)
		return 8;
	return spec->tcp_flags & TL_TCP_SYN ? 20 + SYN_OPTIONS : 20;
}

uint32_t frame__header_bytes(const struct frame_spec *spec)
{
	return ETHERNET_BYTES + (spec->is_ipv6 ? 40 : 20) + transport_bytes(spec);
}

static void put_address(uint8_t *at, const struct frame_spec *spec, bool of_client)
{
	static const uint8_t client6[12] = { 0xfd, 0, 0, 0x10 };
	static const uint8_t server6[12] = { 0x20, 1, 0, 2 };
	uint32_t host = of_client ? 0x0a000000u | (spec->client & 0xffffff)
				  : 0xc6120000u | (spec->server & 0x1ffff);

	if (spec->is_ipv6) {
		memcpy(at, of_client ? client6 : server6, 12);
		at += 12;
	}
	put32(at, host);
}

/* Writes the IP header; the sum of the addresses, for the pseudo header. */
static uint32_t put_ip(uint8_t *at, const struct frame_spec *spec, uint32_t bytes)
{
	uint8_t proto = spec->is_tcp ? PROTO_TCP : PROTO_UDP;

	if (spec->is_ipv6) {
		put32(at, 0x60000000);
		put16(at + 4, bytes);
		at[6] = proto;
		at[7] = 64;
		put_address(at + 8, spec, spec->from_client);
		put_address(at + 24, spec, !spec->from_client);
		return sum_of(at + 8, 32);
	}
	put32(at, 0x45000000 | (20 + bytes));
	put16(at + 4, spec->ip_id);
	put16(at + 6, 0x4000);
	at[8] = 64;
	at[9] = proto;
	put16(at + 10, 0);
	put_address(at + 12, spec, spec->from_client);
	put_address(at + 16, spec, !spec->from_client);
	put_checksum(at + 10, sum_of(at, 20), false);
	return sum_of(at + 12, 8);
}

static void put_transport(uint8_t *at, const struct frame_spec *spec, uint32_t bytes)
{
	/* MSS 8960, window scale 7: what fits a frame of 64 bytes */
	static const uint8_t options[SYN_OPTIONS] = { 2, 4, 0x23, 0, 1, 3, 3, 7 };

	put16(at, spec->from_client ? spec->client_port : spec->server_port);
	put16(at + 2, spec->from_client ? spec->server_port : spec->client_port);
	if (!spec->is_tcp) {
		put16(at + 4, bytes);
		put16(at + 6, 0);
		return;
	}
	put32(at + 4, spec->seq);
	put32(at + 8, spec->ack);
	at[12] = (uint8_t)((bytes - spec->payload_bytes) / 4 << 4);
	at[13] = spec->tcp_flags;
	put16(at + 14, 0x8000);
	put32(at + 16, 0);
	if (spec->tcp_flags & TL_TCP_SYN)
		memcpy(at + 20, options, SYN_OPTIONS);
}

uint32_t frame__write(const struct frame_spec *spec, const struct frame_noise *noise, uint8_t *data)
{
	uint32_t headers = transport_bytes(spec);
	uint32_t bytes = headers + spec->payload_bytes;
	uint8_t *ip = data + ETHERNET_BYTES;
	uint8_t *transport = ip + (spec->is_ipv6 ? 40 : 20);
	uint8_t *payload = transport + headers;
	uint32_t length = (uint32_t)(payload - data) + spec->payload_bytes;
	uint8_t pseudo[4] = { 0, spec->is_tcp ? PROTO_TCP : PROTO_UDP };
	uint32_t start = 2 * spec->noise_start;
	uint32_t sum;

	memcpy(data, "\2\0\0\0\0\1\2\0\0\0\0\2", 12);
	data[spec->from_client ? 5 : 11] = 2;
	data[spec->from_client ? 11 : 5] = 1;
	put16(data + 12, spec->is_ipv6 ? 0x86dd : 0x0800);
	sum = put_ip(ip, spec, bytes);
	put_transport(transport, spec, bytes);
	put16(pseudo + 2, bytes);
	sum += sum_of(pseudo, 4) + sum_of(transport, headers);
	if (spec->text)
		sum += sum_of(spec->text, spec->payload_bytes);
	else
		sum += noise->sum[start + spec->payload_bytes] - noise->sum[start];
	if (spec->payload_bytes)
		memcpy(payload, spec->text ? spec->text : noise->bytes + start,
		       spec->payload_bytes);
	put_checksum(transport + (spec->is_tcp ? 16 : 6), sum, !spec->is_tcp);
	if (length < FRAME_MIN) {
		memset(data + length, 0, FRAME_MIN - length);
		length = FRAME_MIN;
	}
	return length;
}
