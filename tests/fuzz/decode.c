/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_decode */
/*
 * Any bytes as a packet of any link type: what the decoder says of them lies within them.
 * Input: link type 1 │ bytes on the wire beyond those captured 1 │ packet.
 */
#include <stdlib.h>
#include <string.h>

#include "tapline/decode.h"
#include "unit/layers_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(bool fact)
{
	if (!fact)
		abort();
}

static void check(const struct tl_packet *packet, const struct tl_layers *layers)
{
	must(!layers__wrong(packet, layers));
}

/* Without its Ethernet header a packet goes another way through the decoder, to the same end. */
static void check_both_ways(const struct tl_packet *packet, struct tl_layers layers)
{
	struct tl_packet ip = *packet;
	struct tl_layers other;

	if (packet->linktype != TL_LINKTYPE_ETHERNET || packet->caplen < 14 ||
	    packet->data[12] != 0x08 || packet->data[13] != 0x00)
		return;
	ip.data += 14;
	ip.caplen -= 14;
	ip.wirelen -= 14;
	ip.linktype = TL_LINKTYPE_IPV4;
	tl_decode(&ip, &other);
	layers.ethertype = other.ethertype;
	layers.l2_offset = other.l2_offset;
	if (layers.ip_version)
		layers.l3_offset -= 14;
	if (layers.l4_offset)
		layers.l4_offset -= 14;
	if (layers.payload_offset)
		layers.payload_offset -= 14;
	must(memcmp(&layers, &other, sizeof(layers)) == 0);
}

/* Where addresses are told without decoding, they are those. */
static void check_addresses(const struct tl_packet *packet, const struct tl_layers *layers)
{
	const uint8_t *addresses = tl_decode__addresses(packet);

	if (addresses)
		must(layers->ip_version == 4 && layers->src == addresses &&
		     layers->dst == addresses + 4 && (layers->proto == 6 || layers->proto == 17));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const uint16_t linktypes[] = { TL_LINKTYPE_ETHERNET,  TL_LINKTYPE_NULL,
					      TL_LINKTYPE_RAW,	     TL_LINKTYPE_LOOP,
					      TL_LINKTYPE_LINUX_SLL, TL_LINKTYPE_IPV4,
					      TL_LINKTYPE_IPV6,	     TL_LINKTYPE_LINUX_SLL2 };
	struct tl_layers layers, again, quoted;
	struct tl_packet packet = { 0 };
	uint8_t *copy;

	if (bytes < 2)
		return 0;
	/* a buffer of its own, so that one byte too far is seen */
	copy = malloc(bytes - 2);
	if (!copy && bytes > 2)
		return 0;
	if (bytes > 2)
		memcpy(copy, data + 2, bytes - 2);
	packet.data = copy;
	packet.caplen = (uint32_t)(bytes - 2);
	packet.wirelen = packet.caplen + data[1];
	packet.linktype = linktypes[data[0] % 8];
	memset(&layers, 0xa5, sizeof(layers));
	tl_decode(&packet, &layers);
	check(&packet, &layers);
	memset(&again, 0x5a, sizeof(again));
	tl_decode(&packet, &again);
	must(memcmp(&layers, &again, sizeof(layers)) == 0);
	check_both_ways(&packet, layers);
	check_addresses(&packet, &layers);
	(void)tl_decode__l4_checksum_ok(&packet, &layers);
	if (tl_decode__icmp_quote(&packet, &layers, &quoted))
		check(&packet, &quoted);
	free(copy);
	return 0;
}
