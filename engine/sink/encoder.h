/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The encoder: puts whole blocks into buffers and hands buffers to the writer.
 *
 *   buffer k      │carry│ blocks … │ p │         carry: the real blocks' part of the last page of
 *                       ▲ submitted  ▲ used      buffer k-1, written once more
 *   file   ───────┬─────┬──────────┬───┬──
 *              offset (page)       padding block up to the page's end, in the file until k+1 comes
 *
 * Invariants: a buffer is submitted once, with padding, and then is the writer's; what goes on
 * begins in another buffer with the real bytes of the last page, so that page is rewritten and no
 * padding stays. The file after each write is whole blocks. Where O_DIRECT is not in force the
 * alignment is 1: no carry, no padding.
 *
 * A statistics block for each interface always fits behind the packets (`reserve`), so that a file
 * can be closed while no other buffer is free.
 *
 * Caller's thread only; never waits, unless `may_wait`.
 */
#ifndef TAPLINE_SINK_ENCODER_H
#define TAPLINE_SINK_ENCODER_H

#include <stdbool.h>
#include <stdint.h>

#include "block.h"
#include "writer.h"

struct tl_encoder {
	struct tl_writer *writer; /* borrowed */
	uint8_t *data;		  /* the buffer at work; NULL: none */
	uint32_t buffer;
	uint32_t used;	    /* bytes of real blocks in it */
	uint32_t submitted; /* of those, the carry: already handed over with the buffer before */
	uint32_t packets;   /* that end in it */
	uint32_t carry;
	uint32_t align;
	uint32_t reserve;   /* bytes kept for final statistics blocks */
	uint64_t offset;    /* in the file, of data[0] */
	uint64_t since_ns;  /* monotonic, when the oldest block not submitted came; 0: none */
	uint64_t now_ns;    /* clock of the packets, for padding blocks */
	bool has_interface; /* in the file: a padding block may name interface 0 */
	bool may_wait;
	uint32_t *free; /* owned: free buffers, the one used last on top (warm in the cache) */
	uint32_t free_count;
	uint8_t tail[TL_BLOCK_PAGE]; /* the carry, while there is no buffer for it */
};

/* 0 or -ENOMEM. */
int tl_encoder__init(struct tl_encoder *encoder, struct tl_writer *writer);
void tl_encoder__fini(struct tl_encoder *encoder);

/* In another buffer, if there is one: see __room. */
uint8_t *tl_encoder__room_elsewhere(struct tl_encoder *encoder, uint64_t bytes, bool last);
uint64_t tl_encoder__monotonic_ns(void);

/* Besides the statistics, the padding up to the next page must find room behind the packets. */
#define TL_ENCODER_PADDING_ROOM (TL_BLOCK_PAGE + TL_BLOCK_PADDING_MIN)

static inline bool tl_encoder__fits(const struct tl_encoder *encoder, uint64_t bytes, bool last)
{
	uint32_t kept = TL_ENCODER_PADDING_ROOM + (last ? 0 : encoder->reserve);

	return encoder->used + bytes + kept <= encoder->writer->disk.buffer_bytes;
}

/*
 * Room for one block of `bytes`, or NULL when no buffer is free or it fits in none. `last`: may
 * use the reserve. Nothing is in the file until __commit.
 */
static inline uint8_t *tl_encoder__room(struct tl_encoder *encoder, uint64_t bytes, bool last)
{
	if (__builtin_expect(encoder->data && tl_encoder__fits(encoder, bytes, last), 1))
		return encoder->data + encoder->used;
	return tl_encoder__room_elsewhere(encoder, bytes, last);
}

static inline void tl_encoder__commit(struct tl_encoder *encoder, uint32_t bytes, uint32_t packets)
{
	encoder->used += bytes;
	encoder->packets += packets;
	if (__builtin_expect(!encoder->since_ns, 0))
		encoder->since_ns = tl_encoder__monotonic_ns();
}

/* Copies a block in. False: no room, as above. */
bool tl_encoder__append(struct tl_encoder *encoder, const struct tl_block *block, bool last);

/* Hands over what is there and not submitted yet. */
void tl_encoder__submit(struct tl_encoder *encoder);

/* Submits, closes the file and opens the next; or only closes it, without `next`. */
void tl_encoder__end_file(struct tl_encoder *encoder, const struct tl_file_key *next);

/* Buffers that are with the writer. */
uint32_t tl_encoder__in_flight(struct tl_encoder *encoder);

/* Length of the file so far, without padding. */
static inline uint64_t tl_encoder__file_bytes(const struct tl_encoder *encoder)
{
	return encoder->offset + (encoder->data ? encoder->used : encoder->carry);
}

#endif
