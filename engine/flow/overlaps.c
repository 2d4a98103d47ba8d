/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments that do not fit together; overlaps.h says which. The table's worker alone.
 */
#include "overlaps.h"

#include <netinet/in.h>
#include <string.h>

#define DATAGRAM_MAX 65535u

/* --- one fragment ------------------------------------------------------------------------- */

/*
 * All bytes of the fragment, so that two that differ are told apart. Keyed by the datagram's name,
 * which is a keyed hash itself. 0 when not all were captured.
 */
static uint32_t hash_bytes(const struct tl_flow_packet *p, uint64_t key)
{
	const struct tl_layers *l = p->layers;
	uint32_t from = l->l3_offset + l->ip_bytes - l->fragment_bytes;
	const uint8_t *at = p->packet->data + from;
	uint32_t left = l->fragment_bytes;
	uint64_t hash = key, word;

	if (!p->packet->data || from > p->packet->caplen || left > p->packet->caplen - from)
		return 0;
	for (; left; left -= left < 8 ? left : 8, at += 8) {
		__uint128_t product;

		word = 0;
		memcpy(&word, at, left < 8 ? left : 8);
		product = (__uint128_t)(word ^ hash) * 0x9fb21c651e98df25ull;
		hash = (uint64_t)product ^ (uint64_t)(product >> 64) ^ key;
	}
	return (uint32_t)(hash >> 32) | 1;
}

/* Bytes that the first fragment has to hold: a filter looks at them there and nowhere else. */
static uint32_t header_bytes(uint8_t proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	case IPPROTO_SCTP:
		return 12;
	default:
		return 0;
	}
}

/* What a fragment is by itself. */
static uint8_t judge_alone(const struct tl_layers *l)
{
	bool more = l->flags & TL_LAYERS_FRAGMENT_MORE;
	uint32_t end = l->fragment_offset + l->fragment_bytes;
	uint8_t flags = TL_FRAGMENT_SEEN;

	if (!l->fragment_bytes || (more && l->fragment_bytes % 8) || end > DATAGRAM_MAX)
		flags |= TL_FRAGMENT_INVALID;
	if (!l->fragment_offset && more && l->fragment_bytes < header_bytes(l->proto))
		flags |= TL_FRAGMENT_TINY;
	if (l->fragment_offset && l->proto == IPPROTO_TCP &&
	    l->fragment_offset < header_bytes(IPPROTO_TCP))
		flags |= TL_FRAGMENT_TINY;
	return flags;
}

/* --- a datagram --------------------------------------------------------------------------- */

static uint32_t piece_end(const struct tl_piece *piece)
{
	return piece->offset8 * 8u + piece->bytes;
}

static bool is_same(const struct tl_piece *a, const struct tl_piece *b)
{
	return a->offset8 == b->offset8 && a->bytes == b->bytes &&
	       (a->hash == b->hash || !a->hash || !b->hash);
}

static bool lie_on_each_other(const struct tl_piece *a, const struct tl_piece *b)
{
	return a->offset8 * 8u < piece_end(b) && b->offset8 * 8u < piece_end(a);
}

/* TL_FRAGMENT_DUPLICATE, TL_FRAGMENT_OVERLAP or 0. */
static uint8_t compare(const struct tl_track *track, const struct tl_piece *piece)
{
	uint8_t flags = 0;

	for (uint32_t i = 0; i < track->count; i++) {
		if (is_same(&track->piece[i], piece))
			return TL_FRAGMENT_DUPLICATE;
		if (lie_on_each_other(&track->piece[i], piece))
			flags = TL_FRAGMENT_OVERLAP;
	}
	return flags;
}

/* The last fragment says where the datagram ends: nothing may lie beyond, and nobody disagree. */
static bool end_disagrees(struct tl_track *track, const struct tl_piece *piece, bool more)
{
	uint32_t end = piece_end(piece);

	if (more || track->end)
		return track->end && (more ? end > track->end : end != track->end);
	track->end = end;
	for (uint32_t i = 0; i < track->count; i++)
		if (piece_end(&track->piece[i]) > end)
			return true;
	return false;
}

static void keep(struct tl_track *track, const struct tl_piece *piece)
{
	if (track->count < TL_OVERLAP_PIECES) {
		track->piece[track->count++] = *piece;
		return;
	}
	track->piece[track->next] = *piece;
	track->next = (uint8_t)((track->next + 1) % TL_OVERLAP_PIECES);
}

static void start(struct tl_track *track, uint64_t datagram)
{
	/* pieces beyond `count` are never looked at */
	track->datagram = datagram;
	track->covered = track->end = 0;
	track->flags = track->count = track->next = 0;
	track->whole = false;
}

static uint8_t judge_with_others(struct tl_track *track, const struct tl_piece *piece, bool more)
{
	uint8_t flags = compare(track, piece);

	if (flags == TL_FRAGMENT_DUPLICATE)
		return flags;
	if (track->whole) {
		start(track, track->datagram);
		flags = 0;
	}
	if (end_disagrees(track, piece, more))
		flags |= TL_FRAGMENT_INVALID;
	if (!flags)
		track->covered += piece->bytes;
	keep(track, piece);
	track->whole = track->end && track->covered >= track->end;
	return flags;
}

static struct tl_track *track_of(struct tl_overlaps *overlaps, uint64_t datagram, uint32_t now)
{
	/* other bits than those that choose the place in the fragment table */
	struct tl_track *set = overlaps->track[datagram >> 32 & (TL_OVERLAP_SETS - 1)];
	struct tl_track *oldest = set;

	for (int way = 0; way < TL_OVERLAP_WAYS; way++) {
		struct tl_track *track = &set[way];

		if (track->datagram == datagram && now - track->seen <= TL_OVERLAP_TICKS)
			return track;
		if (track->datagram == datagram || !track->datagram) {
			oldest = track;
			break;
		}
		if (now - track->seen > now - oldest->seen)
			oldest = track;
	}
	start(oldest, datagram);
	return oldest;
}

struct tl_overlap_verdict tl_overlaps__see(struct tl_overlaps *overlaps, uint64_t datagram,
					   const struct tl_flow_packet *p, uint32_t now)
{
	const struct tl_layers *l = p->layers;
	struct tl_track *track = track_of(overlaps, datagram, now);
	uint8_t flags = judge_alone(l);

	track->seen = now;
	/* no receiver takes what is empty, or what lies beyond the largest datagram */
	if (l->fragment_bytes && l->fragment_offset + l->fragment_bytes <= DATAGRAM_MAX) {
		struct tl_piece piece = {
			.offset8 = (uint16_t)(l->fragment_offset / 8),
			.bytes = (uint16_t)l->fragment_bytes,
			.hash = hash_bytes(p, datagram),
		};

		flags |= judge_with_others(track, &piece, l->flags & TL_LAYERS_FRAGMENT_MORE);
	}
	track->flags |= flags;
	return (struct tl_overlap_verdict){ flags, track->flags };
}
