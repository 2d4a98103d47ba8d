/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcapng blocks as bytes (draft-ietf-opsawg-pcapng). Pure functions: no file, no clock.
 *
 *   ┌──────┬───────────────┬───────────────────────────┬───────────────┐
 *   │ type │ total length  │ body, options (4-aligned) │ total length  │
 *   └──────┴───────────────┴───────────────────────────┴───────────────┘
 *
 * All numbers are in host order; the byte-order magic in the section header tells readers which.
 * Everything but packets is built in a `struct tl_block` and copied; a packet is encoded straight
 * into the buffer that goes to disk.
 */
#ifndef TAPLINE_SINK_BLOCK_H
#define TAPLINE_SINK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/packet.h"
#include "tapline/source.h"

#define TL_BLOCK_PAGE	     4096u /* unit of O_DIRECT writes */
#define TL_BLOCK_PADDING_MIN 24u   /* an Interface Statistics Block without options */
/* one statistics block with all its counters, as written at the end of a file */
#define TL_BLOCK_STATISTICS_BYTES 112u

struct tl_block {
	uint32_t bytes;
	uint8_t data[4096];
};

struct tl_block_statistics {
	uint32_t interface;
	uint64_t now_ns;
	uint64_t start_ns;
	bool has_counters; /* else only start, end and usrdeliv */
	uint64_t ifrecv;
	uint64_t ifdrop;
	uint64_t filteraccept;
	uint64_t osdrop;
	uint64_t usrdeliv;
};

void tl_block__section(struct tl_block *block, const char *application);

/* `snaplen` is the file's: one for all its interfaces. */
void tl_block__interface(struct tl_block *block, const struct tl_interface *interface,
			 uint32_t snaplen);

void tl_block__statistics(struct tl_block *block, const struct tl_block_statistics *statistics);

/* A statistics block that says only `comment` (cut at 2000 bytes). */
void tl_block__note(struct tl_block *block, uint32_t interface, uint64_t now_ns,
		    const char *comment);

/*
 * Padding that ends at the next multiple of `align` behind `end`: 0, or at least
 * TL_BLOCK_PADDING_MIN (a smaller gap goes on to the next multiple but one).
 */
uint32_t tl_block__padding_bytes(uint64_t end, uint32_t align);

/*
 * `bytes` of valid blocks that no reader shows: a statistics block whose option fills the gap, or,
 * while the file has no interface that such a block could name, an empty name resolution block.
 */
void tl_block__padding(uint8_t *at, uint32_t bytes, bool has_interface, uint64_t now_ns);

uint32_t tl_block__options_bytes(const struct tl_packet *packet, uint64_t lost);

/* Length of the packet's block; `lost`: packets missed just before it, 0 for no such option. */
static inline uint64_t tl_block__packet_bytes(const struct tl_packet *packet, uint64_t lost)
{
	uint64_t bytes = 32 + (((uint64_t)packet->caplen + 3) & ~3ull);

	if (__builtin_expect(lost || packet->comment || packet->flags & TL_PACKET_OUTGOING, 0))
		bytes += tl_block__options_bytes(packet, lost);
	return bytes;
}

/* Encodes it at `at`, `bytes` being what __packet_bytes said. */
void tl_block__packet(uint8_t *at, uint32_t bytes, const struct tl_packet *packet, uint64_t lost);

#endif
