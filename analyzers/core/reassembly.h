/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TCP direction's bytes in order, for analyzers of applications (HTTP, TLS, MySQL…), with the
 * holes that the capture has in them known.
 *
 *   packets ─► tl_reassembly__push ─► in order: chunk points into the packet, nothing is copied
 *                    │                later than a hole: kept in the worker's store, up to
 *                    │                TL_STREAM_BYTES a direction, until the hole fills
 *                    └─ the hole will not fill: the next chunk says how long it was
 *
 * A hole is given up when the tracker counts it as missed by the capture (segment.missed_bytes),
 * when the direction's or the worker's store is full, or when the stream is closed. Chunks are
 * in order, do not overlap, and every byte of the stream is in exactly one chunk, hole or cut.
 *Where segments overlap, the bytes seen first stand, as the tracker counts them.
 *
 * How an analyzer uses it:
 *
 *	struct my_flow { struct tl_stream stream[2]; … };      in its flow_bytes; zeroed is empty
 *	worker_init:  tl_reassembly__create(0, &w->reassembly)
 *	batch:        for each packet with a flow, TCP or not:
 *	                  tl_reassembly__push(w->reassembly, &f->stream[side],
 *	                                      &(struct tl_stream_packet){ packet, layers, segment },
 *	                                      &(struct tl_chunk_sink){ on_chunk, ctx });
 *	flow_end:     tl_reassembly__close(…) for both sides: the last bytes come, the store is
 *freed worker_fini:  tl_reassembly__destroy
 *
 *	on_chunk:     if (chunk->hole_bytes)   → a parser skips by its own length fields, or resyncs
 *	              parse data[0 … bytes)    → then chunk->cut_bytes that the snap length cut off
 *
 * Lengths by sequence space (Content-Length, TLS records) come from stream_offset: it counts holes
 * and cut bytes too. Single-threaded, no allocation after __create.
 */
#ifndef TAPLINE_ANALYZERS_REASSEMBLY_H
#define TAPLINE_ANALYZERS_REASSEMBLY_H

#include <stdbool.h>

#include "core/segment.h"
#include "tapline/packet.h"

#define TL_STREAM_BYTES	      262144u  /* kept out of order for one direction */
#define TL_REASSEMBLY_DEFAULT 4194304u /* bytes of a worker's store */

struct tl_reassembly;

/* One direction of a flow. Private to the reassembly; zeroed is a stream that has not begun. */
struct tl_stream {
	uint64_t offset;      /* of next_seq in the stream */
	uint32_t next_seq;    /* relative, as in struct tl_segment */
	uint32_t head;	      /* of what is kept, by sequence */
	uint32_t kept_bytes;  /* store taken */
	int32_t missed_bytes; /* of holes, told by the tracker and not yet found here; or owed */
	uint32_t begun;
	uint32_t reserved;
};

struct tl_stream_packet {
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_segment *segment;
};

struct tl_chunk {
	const uint8_t *data;	/* borrowed for the call; NULL when bytes is 0 */
	uint32_t bytes;		/* captured */
	uint32_t hole_bytes;	/* before data: bytes that were sent and never shown */
	uint32_t cut_bytes;	/* after data: bytes that the snap length cut off */
	uint64_t stream_offset; /* of data[0], from the first byte of the direction */
	uint64_t ts_ns;		/* of the packet that brought it */
	uint64_t frame;
};

struct tl_chunk_sink {
	void (*chunk)(void *ctx, const struct tl_chunk *chunk);
	void *ctx;
};

struct tl_reassembly_stats {
	uint64_t store_bytes;	 /* taken now */
	uint64_t kept_segments;	 /* came before their turn */
	uint64_t given_up_holes; /* because there was no room to wait */
};

/* `store_bytes` 0: TL_REASSEMBLY_DEFAULT. 0, -ENOMEM. */
int tl_reassembly__create(uint32_t store_bytes, struct tl_reassembly **ret_reassembly);
void tl_reassembly__destroy(struct tl_reassembly *reassembly);

/* Are bytes kept that wait for a hole to fill? */
static inline bool tl_stream__is_waiting(const struct tl_stream *stream)
{
	return stream->head;
}

/*
 * Begins a stream with this packet: for a protocol that is recognised in the middle of a
 * connection. What came before it is then no hole.
 */
static inline void tl_stream__begin_at(struct tl_stream *stream,
				       const struct tl_stream_packet *packet)
{
	stream->next_seq =
		packet->segment->relative_seq + ((packet->layers->tcp_flags & TL_TCP_SYN) != 0);
	stream->begun = 1;
}

/*
 * Has every byte up to the end of this packet been handed out? For a FIN: is what was read all that
 * there is?
 */
static inline bool tl_stream__is_at_end_of(const struct tl_stream *stream,
					   const struct tl_stream_packet *packet)
{
	uint32_t end = packet->segment->relative_seq + packet->layers->payload_bytes +
		       ((packet->layers->tcp_flags & TL_TCP_SYN) != 0);

	return stream->begun && !stream->head && stream->next_seq == end;
}

/* Copies and what is not tracked are left out. Calls the sink 0 to many times. */
void tl_reassembly__push(struct tl_reassembly *reassembly, struct tl_stream *stream,
			 const struct tl_stream_packet *packet, const struct tl_chunk_sink *sink);

/* Hands out what is kept, with its holes, and frees it; the stream is as before its first byte. */
void tl_reassembly__close(struct tl_reassembly *reassembly, struct tl_stream *stream,
			  const struct tl_chunk_sink *sink);

void tl_reassembly__stats(const struct tl_reassembly *reassembly,
			  struct tl_reassembly_stats *ret_stats);

#endif
