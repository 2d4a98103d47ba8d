/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a flow of made traffic sends next.
 *
 *	TCP    SYN  SYN-ACK  ACK   [ data C S S C S S … ]   FIN  FIN-ACK  ACK   ─► next flow
 *	HTTP   SYN  SYN-ACK  ACK   [ GET  200  body…  (ACK after two) ]…  FIN …
 *	UDP    C S S C S S …                                                     ─► next flow
 *	DNS    query  response                                                   ─► next flow
 *
 * Every segment acknowledges all that came before it, so nothing looks lost. `exchanges_left` says
 * how many data packets (HTTP: requests) are still to come; FOREVER for flows that never end.
 * A flow's tuple comes from its number, which no two flows share.
 */
#ifndef TAPLINE_BENCH_SCRIPT_H
#define TAPLINE_BENCH_SCRIPT_H

#include <stdint.h>

#include "frame.h"
#include "tapline/traffic.h"

#define SCRIPT_TEXT_BYTES    192u
#define SCRIPT_FOREVER	     UINT16_MAX
#define SCRIPT_SEGMENT_BYTES 1460u /* of HTTP */

/* Packets of the longest opening: a source begins its flows that far before it mixes them. */
#define SCRIPT_OPENING_PACKETS 3u

struct script {
	uint32_t number;
	uint32_t seq[2]; /* of client, server: the next byte's */
	uint32_t body_left;
	uint16_t exchanges_left;
	uint16_t sent;	  /* packets, both ways: no two look alike */
	uint8_t protocol; /* enum tl_traffic_protocol */
	uint8_t step;
	uint8_t turn; /* of C S S */
};

/* Text of the packet made last; it must outlive frame__write. */
struct script_text {
	char bytes[SCRIPT_TEXT_BYTES];
};

/* A generator of its own, so that the same seed gives the same traffic everywhere. */
struct script_random {
	uint64_t state;
};

static inline uint32_t script_random__next(struct script_random *random)
{
	uint64_t x = random->state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((x ^ x >> 31) >> 32);
}

static inline uint32_t script_random__below(struct script_random *random, uint32_t below)
{
	return (uint32_t)((uint64_t)script_random__next(random) * below >> 32);
}

void script__begin(struct script *script, uint32_t number, enum tl_traffic_protocol protocol,
		   uint16_t exchanges);

/* Packets of this flow that come before it exchanges anything. */
uint32_t script__opening_packets(const struct script *script);

/* What packets are made from; shared by all flows. */
struct script_source {
	uint32_t frame_bytes; /* about as long as the next packet is to be */
	struct script_random *random;
	struct script_text *text;
};

/* The next packet. False: it was the last of its flow; begin another. */
bool script__next(struct script *script, const struct script_source *from,
		  struct frame_spec *ret_spec);

#endif
