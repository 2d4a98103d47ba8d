/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the packets of one host in one flow look like: how far they come, from which neighbour, with
 * which IP IDs. A RST that looks otherwise was perhaps made by a box on the way (reset.h).
 *
 * What real hosts do, and so is no doubt: another initial TTL for the kernel's own RSTs, a hop more
 * or less (ECMP), IP ID 0 (RFC 6864), no timestamps alone (RFC 7323, section 5.2, asks for them
 * only where the connection is known). A RST from just one hop nearer than all before it in the
 * flow counts only together with another sign: so answers the router before the host. Pure
 * functions; any thread.
 */
#include <stdlib.h>

#include "core/reset.h"
#include "tapline/cursor.h"

static uint32_t mac_of(const struct tl_packet *packet, const struct tl_layers *layers)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	/* Innermost Ethernet: destination, source. Other links have no address to compare. */
	if (packet->linktype != TL_LINKTYPE_ETHERNET || layers->l3_offset < layers->l2_offset + 14u)
		return 0;
	tl_cursor__skip(&c, layers->l2_offset + 6u);
	if (tl_cursor__left(&c) < 6)
		return 0;
	return (uint32_t)tl_text__hash(0, c.at, 6) | 1;
}

bool reset_identity__has_ttl(const struct reset_identity *id, uint8_t ttl)
{
	for (uint8_t i = 0; i < id->ttl_count; i++)
		if (id->ttl[i] == ttl)
			return true;
	return false;
}

static void learn_ttl(struct reset_identity *id, uint8_t ttl)
{
	if (!reset_identity__has_ttl(id, ttl) && id->ttl_count < sizeof(id->ttl))
		id->ttl[id->ttl_count++] = ttl;
}

void reset_identity__learn_new(struct reset_identity *id, const struct tl_packet *packet,
			       const struct tl_layers *layers)
{
	if (id->packets < RESET_LEARNED && ++id->packets == RESET_LEARNED)
		id->mac = mac_of(packet, layers);
	learn_ttl(id, layers->ttl);
}

/* How far a packet has come, when hosts begin at 32, 64, 128 or 255. */
static int distance(uint8_t ttl)
{
	return (ttl > 128 ? 255 : ttl > 64 ? 128 : ttl > 32 ? 64 : 32) - ttl;
}

uint32_t reset_identity__doubts(const struct reset_identity *id, const struct tl_packet *packet,
				const struct tl_layers *layers)
{
	uint16_t id_off = (uint16_t)(layers->ip_id - id->ip_id);
	uint32_t mac = mac_of(packet, layers);
	uint32_t doubts = 0;
	bool far = id->ttl_count, nearer = id->ttl_count;

	for (uint8_t i = 0; i < id->ttl_count; i++) {
		int hops = distance(id->ttl[i]) - distance(layers->ttl);

		far = far && abs(hops) > 1;
		nearer = nearer && hops == 1;
	}
	if (far)
		doubts |= RESET_DOUBT_TTL;
	if (id->packets < RESET_LEARNED)
		return doubts;
	if (mac && id->mac && mac != id->mac)
		doubts |= RESET_DOUBT_MAC;
	if (layers->ip_version == 4 && layers->ip_id && id->id_score >= RESET_LEARNED - 1 &&
	    id_off > RESET_ID_STEP_MAX && id_off < UINT16_MAX - 16)
		doubts |= RESET_DOUBT_IP_ID;
	if (id->tcp_ts && !(layers->flags & TL_LAYERS_TCP_TS))
		doubts |= RESET_DOUBT_NO_TS;
	if (nearer)
		doubts |= RESET_DOUBT_NEARER;
	return doubts;
}

unsigned reset_identity__weigh(uint32_t doubts)
{
	static const uint32_t weak =
		RESET_DOUBT_MAC | RESET_DOUBT_IP_ID | RESET_DOUBT_NO_TS | RESET_DOUBT_NEARER;
	unsigned n = 0;

	/* The strong ones are enough by themselves. */
	if (doubts & (RESET_DOUBT_TOO_FAST | RESET_DOUBT_GOES_ON | RESET_DOUBT_BOTH))
		n += 2;
	if (doubts & RESET_DOUBT_TTL)
		n += 2;
	for (doubts &= weak; doubts; doubts &= doubts - 1)
		n++;
	return n;
}
