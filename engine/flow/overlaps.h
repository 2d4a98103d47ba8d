/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments that do not fit together: what a receiver would put in one place from two packets.
 *
 *	datagram ─ keyed hash ─► set of 4 tracks ─► pieces seen: [0, 1480) [1480, 2960) …
 *
 * | verdict   | of a fragment that                                                              |
 * |-----------|---------------------------------------------------------------------------------|
 * | duplicate | is one we have, in range and bytes: a mirror's copy (RFC 8200, 4.5: no overlap)  |
 * | overlap   | has bytes where others have been; by RFC 5722 the datagram is to be thrown away  |
 * | tiny      | ends or begins within the transport header (RFC 1858, RFC 3128, RFC 7112)        |
 * | invalid   | is empty, not last and no multiple of 8 bytes, reaches beyond 65535 or beyond    |
 * |           | the end that another one gave (RFC 791, RFC 8200 4.5)                            |
 *
 * A datagram that is complete is done for its receiver: what comes then under its identification is
 * a copy of one of its pieces, or begins the next datagram.
 *
 * Bounded: so many tracks, the oldest of a set goes; so many pieces, the oldest is forgotten, and
 * what lies on it is not noticed. Nothing is kept of the bytes but a keyed hash. One thread.
 */
#ifndef TAPLINE_FLOW_OVERLAPS_H
#define TAPLINE_FLOW_OVERLAPS_H

#include "entry.h"
#include "tapline/flow_hash.h"
#include "wheel.h"

#define TL_OVERLAP_WAYS	  4
#define TL_OVERLAP_SETS	  64 /* a power of two */
#define TL_OVERLAP_PIECES 60
#define TL_OVERLAP_TICKS  (uint32_t)(30000000000ull >> TL_TICK_SHIFT)

struct tl_piece {
	uint16_t offset8; /* in units of 8 bytes */
	uint16_t bytes;
	uint32_t hash; /* of the bytes; 0: not all were captured */
};

struct tl_track {
	uint64_t datagram; /* 0: free */
	uint32_t seen;	   /* ticks */
	uint32_t covered;  /* bytes of pieces that lie on no other */
	uint32_t end;	   /* by the last fragment; 0: not seen */
	uint8_t flags;	   /* enum tl_fragment_flag, of all fragments so far */
	uint8_t count;	   /* pieces kept */
	uint8_t next;	   /* where the next one goes when all are taken */
	bool whole;	   /* complete */
	struct tl_piece piece[TL_OVERLAP_PIECES];
};

_Static_assert(sizeof(struct tl_track) == 8 + 16 + 8 * TL_OVERLAP_PIECES, "no holes");

struct tl_overlaps {
	struct tl_track track[TL_OVERLAP_SETS][TL_OVERLAP_WAYS];
};

struct tl_overlap_verdict {
	uint8_t packet;	  /* enum tl_fragment_flag, of this fragment */
	uint8_t datagram; /* of all fragments of its datagram so far */
};

/* `datagram`: its name by tl_fragments__datagram; `now`: ticks. */
struct tl_overlap_verdict tl_overlaps__see(struct tl_overlaps *overlaps, uint64_t datagram,
					   const struct tl_flow_packet *p, uint32_t now);

#endif
