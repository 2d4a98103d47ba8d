/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* Reassembly: what comes out is the stream, in order, each byte once, in a chunk or in a hole. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/reassembly.h"

#define STREAM 40000u

struct out {
	uint8_t byte[STREAM];
	uint8_t how[STREAM]; /* 0 never, 1 data, 2 hole, 3 cut */
	uint64_t at;	     /* end of the last chunk */
	uint32_t chunks, holes;
	const uint8_t *borrowed; /* data of the last chunk */
};

struct bed {
	struct tl_reassembly *r;
	struct tl_stream stream;
	struct out out;
	uint8_t bytes[STREAM];
	uint64_t frame;
};

static void mark(struct out *out, uint64_t from, uint32_t bytes, uint8_t how)
{
	for (uint64_t i = from; i < from + bytes; i++) {
		cr_assert_lt(i, STREAM);
		cr_assert_eq(out->how[i], 0, "byte %lu comes twice", (unsigned long)i);
		out->how[i] = how;
	}
}

static void on_chunk(void *ctx, const struct tl_chunk *chunk)
{
	struct out *out = ctx;

	cr_assert_eq(out->at + chunk->hole_bytes, chunk->stream_offset, "out of order");
	mark(out, out->at, chunk->hole_bytes, 2);
	mark(out, chunk->stream_offset, chunk->bytes, 1);
	mark(out, chunk->stream_offset + chunk->bytes, chunk->cut_bytes, 3);
	if (chunk->bytes)
		memcpy(out->byte + chunk->stream_offset, chunk->data, chunk->bytes);
	out->at = chunk->stream_offset + chunk->bytes + chunk->cut_bytes;
	out->chunks++;
	out->holes += chunk->hole_bytes > 0;
	out->borrowed = chunk->data;
}

static struct bed *make(uint32_t store_bytes)
{
	struct bed *bed = calloc(1, sizeof(*bed));

	cr_assert(bed && !tl_reassembly__create(store_bytes, &bed->r));
	for (uint32_t i = 0; i < STREAM; i++)
		bed->bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	return bed;
}

static void destroy(struct bed *bed)
{
	struct tl_reassembly_stats stats;

	tl_reassembly__close(bed->r, &bed->stream, &(struct tl_chunk_sink){ on_chunk, &bed->out });
	tl_reassembly__stats(bed->r, &stats);
	cr_expect_eq(stats.store_bytes, 0, "the store leaks");
	tl_reassembly__destroy(bed->r);
	free(bed);
}

/* What of a segment is not there. */
struct lacking {
	uint32_t cut;	 /* the last bytes, not captured */
	uint32_t missed; /* before it */
};

/* Bytes [from, to) of the stream. */
static void push_cut(struct bed *bed, uint32_t from, uint32_t to, struct lacking lacking)
{
	struct tl_packet packet = { .data = bed->bytes + from, .ts_ns = 5, .frame = ++bed->frame };
	struct tl_layers layers = { .proto = 6,
				    .payload_bytes = to - from,
				    .payload_caplen = to - from - lacking.cut };
	struct tl_segment segment = { .relative_seq = from + 1,
				      .new_bytes = to - from,
				      .missed_bytes = lacking.missed };

	tl_reassembly__push(bed->r, &bed->stream,
			    &(struct tl_stream_packet){ &packet, &layers, &segment },
			    &(struct tl_chunk_sink){ on_chunk, &bed->out });
}

static void push(struct bed *bed, uint32_t from, uint32_t to)
{
	push_cut(bed, from, to, (struct lacking){ 0, 0 });
}

static void expect_bytes(const struct bed *bed, uint32_t from, uint32_t to, uint8_t how)
{
	for (uint32_t i = from; i < to; i++) {
		cr_assert_eq(bed->out.how[i], how, "byte %u is %u, not %u", i, bed->out.how[i],
			     how);
		if (how == 1)
			cr_assert_eq(bed->out.byte[i], bed->bytes[i], "byte %u differs", i);
	}
}

Test(reassembly, borrows_from_the_packet_in_order)
{
	struct bed *bed = make(0);

	push(bed, 0, 1000);
	cr_expect_eq(bed->out.borrowed, bed->bytes);
	push(bed, 1000, 2000);
	cr_expect_eq(bed->out.borrowed, bed->bytes + 1000);
	cr_expect_eq(bed->out.chunks, 2);
	expect_bytes(bed, 0, 2000, 1);
	destroy(bed);
}

Test(reassembly, waits_for_a_hole_to_fill)
{
	struct bed *bed = make(0);

	push(bed, 0, 1000);
	push(bed, 3000, 7000); /* longer than a block */
	push(bed, 2000, 3500);
	cr_expect_eq(bed->out.chunks, 1);
	push(bed, 900, 2100);
	expect_bytes(bed, 0, 7000, 1);
	cr_expect_eq(bed->out.holes, 0);
	destroy(bed);
}

Test(reassembly, tells_a_hole_that_the_tracker_counts_as_missed)
{
	struct bed *bed = make(0);

	push(bed, 0, 1000);
	push(bed, 3000, 4000);
	push_cut(bed, 4000, 5000,
		 (struct lacking){ 0, 800 }); /* a part of it: the rest may still come */
	cr_expect_eq(bed->out.chunks, 1);
	push_cut(bed, 5000, 6000, (struct lacking){ 0, 1200 });
	expect_bytes(bed, 1000, 3000, 2);
	expect_bytes(bed, 3000, 6000, 1);
	destroy(bed);
}

Test(reassembly, tells_a_hole_that_was_counted_before_what_follows_it)
{
	struct bed *bed = make(0);

	push(bed, 0, 1000);
	push_cut(bed, 1500, 2000, (struct lacking){ 0, 500 });
	expect_bytes(bed, 1000, 1500, 2);
	expect_bytes(bed, 1500, 2000, 1);
	destroy(bed);
}

Test(reassembly, tells_what_the_snap_length_cut)
{
	struct bed *bed = make(0);

	push_cut(bed, 0, 1000, (struct lacking){ 900, 0 });
	push_cut(bed, 2000, 3000, (struct lacking){ 900, 0 });
	push_cut(bed, 1000, 2000, (struct lacking){ 1000, 0 });
	expect_bytes(bed, 0, 100, 1);
	expect_bytes(bed, 100, 2000, 3);
	expect_bytes(bed, 2000, 2100, 1);
	expect_bytes(bed, 2100, 3000, 3);
	destroy(bed);
}

Test(reassembly, leaves_out_copies)
{
	struct bed *bed = make(0);
	struct tl_packet packet = { .data = bed->bytes };
	struct tl_layers layers = { .proto = 6, .payload_bytes = 100, .payload_caplen = 100 };
	struct tl_segment segment = { .verdict = TL_VERDICT_COPY, .relative_seq = 1 };

	tl_reassembly__push(bed->r, &bed->stream,
			    &(struct tl_stream_packet){ &packet, &layers, &segment },
			    &(struct tl_chunk_sink){ on_chunk, &bed->out });
	cr_expect_eq(bed->out.chunks, 0);
	destroy(bed);
}

Test(reassembly, gives_up_holes_when_there_is_no_room)
{
	struct bed *bed = make(3 * 2100);
	struct tl_reassembly_stats stats;

	push(bed, 0, 100);
	for (uint32_t at = 1000; at < 11000; at += 1000)
		push(bed, at + 10, at + 900);
	tl_reassembly__stats(bed->r, &stats);
	cr_expect_gt(stats.given_up_holes, 0);
	cr_expect_leq(stats.store_bytes, 3 * 2100);
	tl_reassembly__close(bed->r, &bed->stream, &(struct tl_chunk_sink){ on_chunk, &bed->out });
	expect_bytes(bed, 100, 1010, 2);
	for (uint32_t at = 1000; at < 11000; at += 1000)
		expect_bytes(bed, at + 10, at + 900, 1);
	destroy(bed);
}

/* Segments of all sizes, shuffled, repeated, overlapping, some never sent. */
Test(reassembly, gives_each_byte_once)
{
	for (uint32_t round = 0; round < 300; round++) {
		struct bed *bed = make(round % 3 ? 0 : 5 * 2100);
		bool sent[STREAM] = { false };
		uint32_t low = 0;

		srand(round);
		while (low + 4000 < STREAM) {
			uint32_t from = low + (uint32_t)rand() % 4000;
			uint32_t to = from + 1 + (uint32_t)rand() % 3000;

			to = to < STREAM ? to : STREAM;
			push(bed, from, to);
			memset(sent + from, true, to - from);
			if (rand() % 3 == 0)
				low += (uint32_t)rand() % 1500;
		}
		tl_reassembly__close(bed->r, &bed->stream,
				     &(struct tl_chunk_sink){ on_chunk, &bed->out });
		/* With a small store late segments may find their hole given up. */
		for (uint32_t i = 0; i < bed->out.at; i++) {
			cr_assert_neq(bed->out.how[i], 0);
			if (bed->out.how[i] == 1)
				cr_assert_eq(bed->out.byte[i], bed->bytes[i]);
			else if (round % 3)
				cr_assert(!sent[i], "byte %u was sent and is in a hole", i);
		}
		destroy(bed);
	}
}
