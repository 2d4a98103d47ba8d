/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The packet that an ICMP error quotes. Input: one byte, whose lowest bit says ICMPv6, then the
 * ICMP message.
 */
#include <stdlib.h>

#include "core/quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_tcp_quote quote = { 0 };
	struct tl_layers layers = { .l4_offset = 1 };
	struct tl_packet packet = { .data = data, .caplen = (uint32_t)bytes };

	if (!bytes)
		return 0;
	layers.proto = data[0] & 1 ? 58 : 1;
	if (!tl_tcp_quote__of(&packet, &layers, &quote)) {
		if (quote.src.ip_version || quote.seq)
			abort(); /* untouched on failure */
		return 0;
	}
	/* A quote that was read has two addresses of one family and came from a long enough input.
	 */
	if (quote.src.ip_version != quote.dst.ip_version ||
	    quote.src.ip_version != (data[0] & 1 ? 6 : 4) ||
	    bytes < 1u + 8u + (data[0] & 1 ? 40u : 20u) + 8u)
		abort();
	return 0;
}
