/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See reassembly.h. The store is cut into blocks; a segment that is kept takes as many as it needs,
 * each an entry of its own in its stream's list, sorted and free of overlaps:
 *
 *   stream ─► | seq, bytes, cut | next ─► | seq, bytes, cut | next ─► 0
 *             | data[BLOCK]     |         | data[BLOCK]     |
 */
#include "core/reassembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 2000u

struct block {
	uint64_t ts_ns;
	uint64_t frame;
	uint32_t next; /* index; 0: none */
	uint32_t seq;
	uint32_t bytes;
	uint32_t cut_bytes;
	uint8_t data[BLOCK];
};

struct tl_reassembly {
	struct block *block; /* [1 … count]; 0 is not used */
	uint32_t count;
	uint32_t used; /* the highest that was ever given out: memory beyond is untouched */
	uint32_t free; /* head of those that were given back */
	struct tl_reassembly_stats stats;
};

/* A piece of the stream, from a packet or a block. */
struct piece {
	const uint8_t *data;
	uint32_t seq, bytes, cut_bytes;
	uint64_t ts_ns, frame;
};

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static uint32_t end_of(const struct piece *p)
{
	return p->seq + p->bytes + p->cut_bytes;
}

int tl_reassembly__create(uint32_t store_bytes, struct tl_reassembly **ret_reassembly)
{
	struct tl_reassembly *r = calloc(1, sizeof(*r));
	uint32_t count = (store_bytes ? store_bytes : TL_REASSEMBLY_DEFAULT) /
			 (uint32_t)sizeof(struct block);

	if (r)
		r->block = calloc((size_t)count + 1, sizeof(*r->block));
	if (!r || !r->block) {
		free(r);
		return -ENOMEM;
	}
	r->count = count;
	*ret_reassembly = r;
	return 0;
}

void tl_reassembly__destroy(struct tl_reassembly *reassembly)
{
	if (!reassembly)
		return;
	free(reassembly->block);
	free(reassembly);
}

static void trim_front(struct piece *p, uint32_t seq)
{
	uint32_t old = before(p->seq, seq) ? seq - p->seq : 0;
	uint32_t of_data = old < p->bytes ? old : p->bytes;

	p->seq += old;
	p->data += of_data;
	p->bytes -= of_data;
	p->cut_bytes -= old - of_data;
}

/* The piece is next in order, or a hole lies before it that is given up. */
static void hand_out(struct tl_stream *stream, const struct piece *p,
		     const struct tl_chunk_sink *sink)
{
	uint32_t hole = p->seq - stream->next_seq;
	struct tl_chunk chunk = {
		.data = p->bytes ? p->data : NULL,
		.bytes = p->bytes,
		.hole_bytes = hole,
		.cut_bytes = p->cut_bytes,
		.stream_offset = stream->offset + hole,
		.ts_ns = p->ts_ns,
		.frame = p->frame,
	};

	stream->offset += hole + p->bytes + p->cut_bytes;
	stream->next_seq = end_of(p);
	sink->chunk(sink->ctx, &chunk);
}

static void hand_out_head(struct tl_reassembly *r, struct tl_stream *stream,
			  const struct tl_chunk_sink *sink)
{
	uint32_t i = stream->head;
	struct block *b = &r->block[i];
	struct piece p = { b->data, b->seq, b->bytes, b->cut_bytes, b->ts_ns, b->frame };

	stream->head = b->next;
	stream->kept_bytes -= (uint32_t)sizeof(*b);
	r->stats.store_bytes -= sizeof(*b);
	if (before(stream->next_seq, end_of(&p))) {
		trim_front(&p, stream->next_seq);
		hand_out(stream, &p, sink);
	}
	b->next = r->free;
	r->free = i;
}

/* What has become next in order. */
static void drain(struct tl_reassembly *r, struct tl_stream *stream,
		  const struct tl_chunk_sink *sink)
{
	while (stream->head && !before(stream->next_seq, r->block[stream->head].seq))
		hand_out_head(r, stream, sink);
}

/* The hole before what is kept will not fill. */
static void give_up_hole(struct tl_reassembly *r, struct tl_stream *stream,
			 const struct tl_chunk_sink *sink)
{
	hand_out_head(r, stream, sink);
	drain(r, stream, sink);
}

/* Keeps up to a block of the piece before what `*link` names; how many bytes; 0: no room. */
static uint32_t keep_block(struct tl_reassembly *r, struct tl_stream *stream, uint32_t *link,
			   const struct piece *p)
{
	uint32_t i = r->free;
	struct block *b;

	if ((!i && r->used == r->count) || stream->kept_bytes + sizeof(*b) > TL_STREAM_BYTES)
		return 0;
	if (!i)
		i = ++r->used;
	b = &r->block[i];
	if (i == r->free)
		r->free = b->next;
	b->next = *link;
	*link = i;
	b->seq = p->seq;
	b->bytes = p->bytes < BLOCK ? p->bytes : BLOCK;
	b->cut_bytes = b->bytes == p->bytes ? p->cut_bytes : 0;
	b->ts_ns = p->ts_ns;
	b->frame = p->frame;
	memcpy(b->data, p->data, b->bytes);
	stream->kept_bytes += (uint32_t)sizeof(*b);
	r->stats.store_bytes += sizeof(*b);
	return b->bytes + b->cut_bytes;
}

/* Keeps the parts of the piece that are not kept yet; `p` is left at what found no room. */
static void keep(struct tl_reassembly *r, struct tl_stream *stream, struct piece *p)
{
	uint32_t *link = &stream->head;
	uint32_t end = end_of(p);

	while (before(p->seq, end)) {
		struct block *b = *link ? &r->block[*link] : NULL;
		struct piece part = *p;
		uint32_t kept;

		if (b && !before(p->seq, b->seq)) {
			trim_front(p, before(b->seq + b->bytes + b->cut_bytes, end)
					      ? b->seq + b->bytes + b->cut_bytes
					      : end);
			link = &b->next;
			continue;
		}
		if (b && before(b->seq, end)) {
			uint32_t room = b->seq - part.seq;

			part.cut_bytes = part.bytes < room ? room - part.bytes : 0;
			part.bytes = part.bytes < room ? part.bytes : room;
		}
		kept = keep_block(r, stream, link, &part);
		if (!kept)
			return;
		link = &r->block[*link].next;
		trim_front(p, p->seq + kept);
	}
}

static void keep_or_give_up(struct tl_reassembly *r, struct tl_stream *stream, struct piece *p,
			    const struct tl_chunk_sink *sink)
{
	r->stats.kept_segments++;
	for (;;) {
		if (!before(stream->next_seq, p->seq)) {
			trim_front(p, stream->next_seq);
			break;
		}
		keep(r, stream, p);
		if (!p->bytes && !p->cut_bytes)
			return;
		/*
		 * No room to wait: the oldest hole is given up, or the one before this piece. The
		 * tracker may yet tell of it.
		 */
		r->stats.given_up_holes++;
		if (!stream->head || before(p->seq, r->block[stream->head].seq)) {
			stream->missed_bytes -= (int32_t)(p->seq - stream->next_seq);
			break;
		}
		stream->missed_bytes -= (int32_t)(r->block[stream->head].seq - stream->next_seq);
		give_up_hole(r, stream, sink);
		if (before(p->seq, stream->next_seq))
			trim_front(p, before(stream->next_seq, end_of(p)) ? stream->next_seq
									  : end_of(p));
		if (!p->bytes && !p->cut_bytes)
			return;
	}
	if (p->bytes || p->cut_bytes)
		hand_out(stream, p, sink);
	drain(r, stream, sink);
}

/* Gives up the holes that the tracker counts as missed, as many bytes of them as it told. */
static void skip_missed(struct tl_reassembly *r, struct tl_stream *stream,
			const struct tl_chunk_sink *sink)
{
	while (stream->head && stream->missed_bytes > 0) {
		uint32_t hole = r->block[stream->head].seq - stream->next_seq;

		if (hole > (uint32_t)stream->missed_bytes)
			return;
		stream->missed_bytes -= (int32_t)hole;
		give_up_hole(r, stream, sink);
	}
}

static bool carries_stream_bytes(const struct tl_stream_packet *packet)
{
	const struct tl_layers *l = packet->layers;

	/* A probe may carry the next byte; where it lies decides, as with every repeat. */
	return l->proto == 6 && l->payload_bytes && !(l->tcp_flags & TL_TCP_RST) &&
	       !tl_segment__is_void(packet->segment) &&
	       packet->segment->verdict != TL_VERDICT_NOT_TRACKED;
}

void tl_reassembly__push(struct tl_reassembly *reassembly, struct tl_stream *stream,
			 const struct tl_stream_packet *packet, const struct tl_chunk_sink *sink)
{
	const struct tl_layers *l = packet->layers;
	struct piece p = {
		.seq = packet->segment->relative_seq + !!(l->tcp_flags & TL_TCP_SYN),
		.bytes =
			l->payload_caplen < l->payload_bytes ? l->payload_caplen : l->payload_bytes,
		.ts_ns = packet->packet->ts_ns,
		.frame = packet->packet->frame,
	};

	if (packet->segment->missed_bytes) {
		stream->missed_bytes += (int32_t)packet->segment->missed_bytes;
		skip_missed(reassembly, stream, sink);
	}
	if (!carries_stream_bytes(packet))
		return;
	p.data = packet->packet->data + l->payload_offset;
	p.cut_bytes = l->payload_bytes - p.bytes;
	/* The first byte is 1, after the SYN; or 0, the first one seen of a direction without. */
	if (!stream->begun)
		stream->next_seq = p.seq ? 1 : 0;
	stream->begun = 1;
	if (!before(stream->next_seq, end_of(&p)))
		return;
	trim_front(&p, stream->next_seq);
	if (p.seq != stream->next_seq) {
		keep_or_give_up(reassembly, stream, &p, sink);
		skip_missed(reassembly, stream, sink);
		return;
	}
	hand_out(stream, &p, sink);
	if (stream->head)
		drain(reassembly, stream, sink);
}

void tl_reassembly__close(struct tl_reassembly *reassembly, struct tl_stream *stream,
			  const struct tl_chunk_sink *sink)
{
	while (stream->head)
		hand_out_head(reassembly, stream, sink);
	memset(stream, 0, sizeof(*stream));
}

void tl_reassembly__stats(const struct tl_reassembly *reassembly,
			  struct tl_reassembly_stats *ret_stats)
{
	*ret_stats = reassembly->stats;
}
