/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random packets for the filter's tests: what a mirror port shows, then truncated and mutated.
 *
 *   Ethernet [VLAN…] [MPLS… | PPPoE] IPv4 [options] | IPv6 [extension headers] | ARP | 802.3 LLC
 *      TCP [options] | UDP | SCTP | ICMP | ICMPv6 | IGMP | … payload
 */
#ifndef FILTER_PACKETS_H
#define FILTER_PACKETS_H

#include <arpa/inet.h>
#include <stdlib.h>

#include "stress/filter_generate.h"

#define PACKET_ROOM 9216

struct test_packet {
	uint8_t *data;	 /* owned */
	uint8_t *tagged; /* owned: the same with a further VLAN tag, `tag` = TPID << 16 | TCI */
	uint32_t bytes;
	uint32_t tag;
};

struct builder {
	uint8_t data[PACKET_ROOM];
	uint32_t bytes;
	uint64_t *rng;
};

static inline void put(struct builder *b, const void *bytes, uint32_t count)
{
	if (b->bytes + count <= PACKET_ROOM) {
		memcpy(b->data + b->bytes, bytes, count);
		b->bytes += count;
	}
}

static inline void put8(struct builder *b, uint32_t v)
{
	uint8_t byte = (uint8_t)v;

	put(b, &byte, 1);
}

static inline void put16(struct builder *b, uint32_t v)
{
	put8(b, v >> 8);
	put8(b, v);
}

static inline void put32(struct builder *b, uint32_t v)
{
	put16(b, v >> 16);
	put16(b, v);
}

static inline void put_noise(struct builder *b, uint32_t count)
{
	while (count--)
		put8(b, (uint32_t)random_next(b->rng));
}

static inline void put_ip4(struct builder *b)
{
	uint32_t address;

	inet_pton(AF_INET, RANDOM_PICK(b->rng, pool_ip4), &address);
	put(b, &address, 4);
}

static inline void put_ip6(struct builder *b)
{
	uint8_t address[16];

	inet_pton(AF_INET6, RANDOM_PICK(b->rng, pool_ip6), address);
	put(b, address, 16);
}

static inline void put_mac(struct builder *b)
{
	unsigned int m[6];

	sscanf(RANDOM_PICK(b->rng, pool_mac), "%x:%x:%x:%x:%x:%x", &m[0], &m[1], &m[2], &m[3],
	       &m[4], &m[5]);
	for (int i = 0; i < 6; i++)
		put8(b, m[i]);
}

static inline void put_transport(struct builder *b, uint8_t proto)
{
	if (proto == 6 || proto == 17 || proto == 132) {
		put16(b, RANDOM_PICK(b->rng, pool_port));
		put16(b, RANDOM_PICK(b->rng, pool_port));
	}
	if (proto == 6) {
		uint32_t options = random_below(b->rng, 4);

		put_noise(b, 8);
		put8(b, (5 + options) << 4);
		put8(b, random_below(b->rng, 64));
		put_noise(b, 6 + 4 * options);
		if (random_one_in(b->rng, 4))
			put(b, "GET / HTTP/1.1\r\n", 16);
	} else if (proto == 1 || proto == 58) {
		static const uint8_t types[] = { 0, 3, 8, 11, 128, 129, 135 };

		put8(b, RANDOM_PICK(b->rng, types));
		put8(b, random_below(b->rng, 5));
		put_noise(b, 6);
	}
	put_noise(b, random_below(b->rng, random_one_in(b->rng, 4) ? 300 : 40));
	if (random_one_in(b->rng, 25))
		put_noise(b, 3000 + random_below(b->rng, 5000));
}

static inline uint8_t pick_proto(struct builder *b)
{
	static const uint8_t protos[] = { 6,  6, 6,  17, 17, 17,  132, 1, 1,
					  58, 2, 47, 50, 51, 103, 112, 4, 41 };

	return RANDOM_PICK(b->rng, protos);
}

static inline void put_ipv4(struct builder *b)
{
	static const uint16_t fragments[] = { 0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0010 };
	uint32_t options = random_one_in(b->rng, 5) ? random_below(b->rng, 11) : 0;
	uint8_t proto = pick_proto(b);

	put8(b, 0x40 | (5 + options));
	put8(b, random_below(b->rng, 256));
	put16(b, random_below(b->rng, 1500));
	put16(b, random_below(b->rng, 65536));
	put16(b, RANDOM_PICK(b->rng, fragments));
	put8(b, 64);
	put8(b, proto);
	put16(b, random_below(b->rng, 65536));
	put_ip4(b);
	put_ip4(b);
	put_noise(b, 4 * options);
	put_transport(b, proto);
}

static inline void put_ipv6(struct builder *b)
{
	static const uint8_t extensions[] = { 0, 43, 44, 60, 51 };
	uint8_t proto = pick_proto(b);
	uint8_t extension = RANDOM_PICK(b->rng, extensions);
	bool extended = random_one_in(b->rng, 4);

	put32(b, 0x60000000 | random_below(b->rng, 1 << 20));
	put16(b, random_below(b->rng, 1500));
	put8(b, extended ? extension : proto);
	put8(b, 64);
	put_ip6(b);
	put_ip6(b);
	if (extended) {
		put8(b, proto);
		put8(b, 0);
		put_noise(b, 6);
	}
	put_transport(b, proto);
}

static inline void put_network(struct builder *b, uint16_t ethertype)
{
	put16(b, ethertype);
	if (ethertype == 0x0800) {
		put_ipv4(b);
	} else if (ethertype == 0x86dd) {
		put_ipv6(b);
	} else if (ethertype == 0x0806 || ethertype == 0x8035) {
		put32(b, 0x00010800);
		put32(b, 0x06040001);
		put_mac(b);
		put_ip4(b);
		put_mac(b);
		put_ip4(b);
	} else {
		put_noise(b, 10 + random_below(b->rng, 60));
	}
}

static inline void put_encapsulated(struct builder *b)
{
	bool is_v6 = random_one_in(b->rng, 3);

	if (random_one_in(b->rng, 2)) {
		uint32_t labels = 1 + random_below(b->rng, 3);

		put16(b, 0x8847);
		for (uint32_t i = 0; i < labels; i++)
			put32(b, (16 + random_below(b->rng, 3)) << 12 |
					 (i == labels - 1 ? 0x140 : 0x40));
	} else {
		put16(b, random_one_in(b->rng, 3) ? 0x8863 : 0x8864);
		put16(b, 0x1100);
		put16(b, random_below(b->rng, 3));
		put16(b, random_below(b->rng, 200));
		put16(b, is_v6 ? 0x0057 : 0x0021);
	}
	if (is_v6)
		put_ipv6(b);
	else
		put_ipv4(b);
}

static inline void build_packet(struct builder *b)
{
	static const uint16_t tpids[] = { 0x8100, 0x8100, 0x88a8, 0x9100 };
	static const uint16_t ethertypes[] = { 0x0800, 0x0800, 0x0800, 0x86dd,
					       0x86dd, 0x0806, 0x8035, 0x88cc };
	uint32_t tags = random_one_in(b->rng, 3) ? 1 + random_below(b->rng, 3) : 0;

	b->bytes = 0;
	put_mac(b);
	put_mac(b);
	for (uint32_t i = 0; i < tags; i++) {
		put16(b, RANDOM_PICK(b->rng, tpids));
		put16(b, random_below(b->rng, 8) << 13 | RANDOM_PICK(b->rng, pool_vlan));
	}
	if (random_one_in(b->rng, 6)) {
		put_encapsulated(b);
	} else if (random_one_in(b->rng, 12)) {
		put16(b, 40);
		put16(b, random_one_in(b->rng, 2) ? 0x4242 : 0xfefe);
		put_noise(b, 38);
	} else {
		put_network(b, RANDOM_PICK(b->rng, ethertypes));
	}
	if (random_one_in(b->rng, 4))
		b->bytes = 1 + random_below(b->rng, b->bytes);
	if (random_one_in(b->rng, 4)) {
		uint32_t changes = 1 + random_below(b->rng, 6);

		for (uint32_t i = 0; i < changes; i++)
			b->data[random_below(b->rng, b->bytes < 64 ? b->bytes : 64)] =
				(uint8_t)random_next(b->rng);
	}
}

/* The bytes as they were on the wire when `tag` was at its place behind the addresses. */
static inline uint8_t *insert_tag(const struct test_packet *packet)
{
	uint8_t *tagged = malloc(packet->bytes + 4u);
	uint32_t tag = htonl(packet->tag);

	if (tagged && packet->bytes >= 12) {
		memcpy(tagged, packet->data, 12);
		memcpy(tagged + 12, &tag, 4);
		memcpy(tagged + 16, packet->data + 12, packet->bytes - 12);
	}
	return tagged;
}

/* `count` packets, owned by the caller (free_packets); NULL without memory. */
static inline struct test_packet *generate_packets(uint64_t *rng, size_t count)
{
	struct test_packet *packets = calloc(count, sizeof(*packets));
	struct builder *b = calloc(1, sizeof(*b));

	if (!packets || !b)
		abort();
	b->rng = rng;
	for (size_t i = 0; i < count; i++) {
		struct test_packet *packet = &packets[i];

		build_packet(b);
		packet->bytes = b->bytes;
		packet->tag = (random_one_in(rng, 3) ? 0x88a8u : 0x8100u) << 16 |
			      random_below(rng, 8) << 13 | RANDOM_PICK(rng, pool_vlan);
		packet->data = malloc(b->bytes);
		if (!packet->data)
			abort();
		memcpy(packet->data, b->data, b->bytes);
		packet->tagged = insert_tag(packet);
		if (!packet->tagged)
			abort();
	}
	free(b);
	return packets;
}

static inline void free_packets(struct test_packet *packets, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free(packets[i].data);
		free(packets[i].tagged);
	}
	free(packets);
}

#endif
