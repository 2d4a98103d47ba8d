/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The tracker and the reassembly on any sequence of TCP headers: records of 20 bytes and more, each
 * one packet of one of four flows. Verdicts stay in range, no segment has more new bytes than
 * payload, chunks come in order, and all that was taken from the stores comes back.
 *
 *   flow·side | flags | delta of time | seq | ack | length | window | IP ID | TSval | SACKs…
 */
#include <stdlib.h>
#include <string.h>

#include "core/reassembly.h"
#include "core/tracker.h"
#include "tapline/cursor.h"

#define FLOWS	    4u
#define RECORDS_MAX 4096u

struct fuzz {
	struct tl_tracker *tracker;
	struct tl_reassembly *reassembly;
	struct tl_flow flow[FLOWS];
	unsigned char *slab;
	size_t stride;
	struct tl_stream stream[FLOWS][2];
	uint64_t at[FLOWS][2]; /* end of the last chunk */
	uint64_t *chunk_at;
	uint64_t now_ns;
	uint8_t bytes[2048];
};

static bool emit(void *ctx, const struct tl_observation *observation)
{
	(void)ctx;
	return observation->data_bytes <= TL_OBSERVATION_BYTES;
}

static void check(bool fact)
{
	if (!fact)
		abort();
}

static void on_chunk(void *ctx, const struct tl_chunk *chunk)
{
	struct fuzz *f = ctx;

	check(*f->chunk_at + chunk->hole_bytes == chunk->stream_offset);
	*f->chunk_at = chunk->stream_offset + chunk->bytes + chunk->cut_bytes;
}

static void read_record(struct tl_cursor *c, struct fuzz *f, struct tl_layers *l,
			struct tl_flow_lookup *lookup)
{
	uint8_t who = tl_cursor__u8(c);
	uint8_t options;

	lookup->ret_side = who & 1;
	lookup->ret_flow = &f->flow[who >> 1 & (FLOWS - 1)];
	l->ip_version = who & 0x80 ? 6 : 4;
	l->proto = 6;
	l->src = f->bytes + 16 * lookup->ret_side;
	l->dst = f->bytes + 16 * !lookup->ret_side;
	l->src_port = l->dst_port = (uint16_t)(who >> 1 & (FLOWS - 1));
	l->l3_offset = 14;
	l->l4_offset = 54;
	l->payload_offset = 74;
	l->tcp_flags = tl_cursor__u8(c);
	f->now_ns += (uint64_t)tl_cursor__be16(c) * 100000;
	l->seq = tl_cursor__be32(c);
	l->ack = tl_cursor__be32(c);
	l->payload_bytes = tl_cursor__be16(c);
	l->payload_caplen = l->payload_bytes < 1900 ? l->payload_bytes : 1900;
	l->window = tl_cursor__be16(c);
	l->ip_id = l->ip_version == 4 ? tl_cursor__be16(c) : 0;
	options = tl_cursor__u8(c);
	if (options & 1)
		l->flags |= TL_LAYERS_TCP_TS;
	if (options & 2)
		l->flags |= TL_LAYERS_TCP_WSCALE;
	l->wscale = options >> 4;
	l->tsval = tl_cursor__u8(c);
	l->sack_count = options >> 2 & 3;
	for (uint32_t i = 0; i < l->sack_count; i++) {
		l->sack[i].left = l->ack + tl_cursor__be16(c);
		l->sack[i].right = l->sack[i].left + tl_cursor__be16(c);
	}
}

static void one(struct fuzz *f, struct tl_cursor *c)
{
	struct tl_packet packet = { .data = f->bytes, .caplen = sizeof(f->bytes), .wirelen = 2048 };
	struct tl_layers layers = { 0 };
	struct tl_flow_lookup lookup = { .packet = &packet, .layers = &layers };
	struct tl_batch batch = { .n = 1,
				  .packet = &packet,
				  .layers = &layers,
				  .lookup = &lookup,
				  .slab = f->slab,
				  .slab_stride = f->stride };
	struct tl_segment segment;
	uint32_t i;

	packet.linktype = TL_LINKTYPE_ETHERNET;
	read_record(c, f, &layers, &lookup);
	packet.ts_ns = lookup.ret_flow->last_ns = f->now_ns;
	i = lookup.ret_flow->index;
	tl_tracker__classify(f->tracker, &batch, 0, &segment);
	check(segment.verdict <= TL_VERDICT_NOT_TRACKED);
	check(segment.trigger <= TL_TRIGGER_TLP);
	check(segment.new_bytes <= layers.payload_bytes);
	f->chunk_at = &f->at[i][lookup.ret_side];
	tl_reassembly__push(f->reassembly, &f->stream[i][lookup.ret_side],
			    &(struct tl_stream_packet){ &packet, &layers, &segment },
			    &(struct tl_chunk_sink){ on_chunk, f });
}

static void end(struct fuzz *f)
{
	struct tl_reassembly_stats stats;

	for (uint32_t i = 0; i < FLOWS; i++) {
		tl_tracker__flow_end(f->tracker, &f->flow[i], f->slab + i * f->stride,
				     TL_FLOW_END_IDLE);
		for (uint32_t side = 0; side < 2; side++) {
			f->chunk_at = &f->at[i][side];
			tl_reassembly__close(f->reassembly, &f->stream[i][side],
					     &(struct tl_chunk_sink){ on_chunk, f });
		}
	}
	tl_tracker__finish(f->tracker, f->now_ns);
	tl_reassembly__stats(f->reassembly, &stats);
	check(!stats.store_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static const struct tl_analysis_worker_opts opts = { .flow_capacity = FLOWS, .emit = emit };
	struct tl_cursor c = tl_cursor__init(data, bytes);
	/* Both keep what they learned from one input to the next, as a worker does. */
	static struct fuzz f;

	if (!f.tracker) {
		f.stride = tl_tracker__flow_bytes();
		f.slab = calloc(FLOWS, f.stride);
		if (!f.slab || tl_tracker__create(&opts, &f.tracker) ||
		    tl_reassembly__create(65536, &f.reassembly))
			abort();
	}
	memset(f.slab, 0, FLOWS * f.stride);
	memset(f.at, 0, sizeof(f.at));
	memset(f.stream, 0, sizeof(f.stream));
	f.now_ns += 10000000000ull;
	for (uint32_t i = 0; i < FLOWS; i++)
		f.flow[i] = (struct tl_flow){ .index = i, .key.proto = 6 };
	for (uint32_t i = 0; i < RECORDS_MAX && tl_cursor__left(&c) >= 20; i++)
		one(&f, &c);
	end(&f);
	return 0;
}
