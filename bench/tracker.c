/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * What the tracker costs a packet, alone: bulk transfers (two full segments, one ACK) interleaved
 * over 1, 1000 and 100000 flows, as they are, with one segment in a hundred lost before the tap and
 * sent again, and with every frame doubled by the mirror.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/tracker.h"

#define PACKETS 4000000u
#define MSS	1448u
#define ROUNDS	3u

struct bench {
	struct tl_tracker *tracker;
	struct tl_flow *flow;
	uint32_t *sent; /* segments of each flow */
	unsigned char *slab;
	size_t stride;
	uint32_t flows;
	bool lossy, doubled;
	uint64_t now_ns, packets, copies, losses;
	struct tl_packet packet[TL_BATCH_MAX];
	struct tl_layers layers[TL_BATCH_MAX];
	struct tl_flow_lookup lookup[TL_BATCH_MAX];
	struct tl_segment segment[TL_BATCH_MAX];
	uint8_t bytes[TL_BATCH_MAX][1514];
	uint32_t n;
};

static bool emit(void *ctx, const struct tl_observation *observation)
{
	(void)ctx;
	(void)observation;
	return true;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t classify(struct bench *b)
{
	struct tl_batch batch = { .n = b->n,
				  .packet = b->packet,
				  .layers = b->layers,
				  .lookup = b->lookup,
				  .slab = b->slab,
				  .slab_stride = b->stride };
	uint64_t start = clock_ns();

	tl_tracker__classify(b->tracker, &batch, 0, b->segment);
	start = clock_ns() - start;
	for (uint32_t i = 0; i < b->n; i++) {
		b->copies += b->segment[i].verdict == TL_VERDICT_COPY;
		b->losses += b->segment[i].verdict == TL_VERDICT_LOST_BEFORE;
	}
	b->packets += b->n;
	b->n = 0;
	return start;
}

static void add(struct bench *b, uint32_t flow, uint8_t side, uint32_t segment)
{
	uint32_t i = b->n++;
	uint32_t payload = side ? 0 : MSS;
	struct tl_layers *l = &b->layers[i];

	memcpy(b->bytes[i] + 26, &flow, 4);
	b->now_ns += 800;
	*l = (struct tl_layers){
		.flags = TL_LAYERS_TCP_TS,
		.ip_version = 4,
		.proto = 6,
		.ttl = 64,
		.l3_offset = 14,
		.l4_offset = 34,
		.payload_offset = 66,
		.payload_bytes = payload,
		.payload_caplen = payload,
		.src = b->bytes[i] + 26,
		.dst = b->bytes[i] + 30,
		.src_port = side,
		.dst_port = !side,
		.ip_id = (uint16_t)(b->now_ns / 800 % 65535 + 1),
		.seq = side ? 1 : 1 + segment * MSS,
		.ack = side ? 1 + segment * MSS : 1,
		.window = 500,
		.tcp_flags = TL_TCP_ACK,
		.tsval = (uint32_t)(b->now_ns / 1000000),
		.l4_checksum = (uint16_t)(segment * 40503u),
	};
	b->packet[i] = (struct tl_packet){ .data = b->bytes[i],
					   .ts_ns = b->now_ns,
					   .caplen = 66 + payload,
					   .wirelen = 66 + payload,
					   .linktype = TL_LINKTYPE_ETHERNET };
	b->lookup[i] = (struct tl_flow_lookup){
		.packet = &b->packet[i], .layers = l, .ret_flow = &b->flow[flow], .ret_side = side
	};
}

static void add_again(struct bench *b)
{
	uint32_t i = b->n - 1;

	if (!b->doubled)
		return;
	b->layers[i + 1] = b->layers[i];
	b->packet[i + 1] = b->packet[i];
	b->lookup[i + 1] = b->lookup[i];
	b->packet[i + 1].ts_ns += 300;
	b->lookup[i + 1].packet = &b->packet[i + 1];
	b->lookup[i + 1].layers = &b->layers[i + 1];
	b->n++;
}

/* Four segments and an ACK of one flow; in a lossy run now and then the first comes last. */
static void add_turn(struct bench *b, uint32_t flow, uint32_t turn)
{
	bool lost = b->lossy && turn % 25 == 0;
	uint32_t at = b->sent[flow];

	for (uint32_t i = lost; i < 4; i++) {
		add(b, flow, 0, at + i);
		add_again(b);
	}
	for (uint32_t i = 0; lost && i < 3; i++) {
		add(b, flow, 1, at);
		add_again(b);
	}
	if (lost) {
		b->now_ns += 2000000;
		add(b, flow, 0, at);
		add_again(b);
	}
	add(b, flow, 1, at + 4);
	add_again(b);
	b->sent[flow] = at + 4;
}

static double run(uint32_t flows, bool lossy, bool doubled)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct tl_analysis_worker_opts opts = { .flow_capacity = flows, .emit = emit };
	uint64_t spent = 0;

	b->flows = flows;
	b->lossy = lossy;
	b->doubled = doubled;
	b->stride = tl_tracker__flow_bytes();
	b->slab = calloc(flows, b->stride);
	b->flow = calloc(flows, sizeof(*b->flow));
	b->sent = calloc(flows, sizeof(*b->sent));
	b->now_ns = 1700000000000000000ull;
	if (!b->slab || !b->flow || !b->sent || tl_tracker__create(&opts, &b->tracker))
		exit(1);
	for (uint32_t i = 0; i < flows; i++)
		b->flow[i].index = i;
	for (uint32_t turn = 0; b->packets < PACKETS; turn++) {
		add_turn(b, (uint32_t)((uint64_t)turn * 2654435761u % flows), turn);
		if (b->n > TL_BATCH_MAX - 20)
			spent += classify(b);
	}
	if (doubled ? b->copies * 2 != b->packets : b->copies != 0)
		printf("  (%lu copies of %lu packets)\n", (unsigned long)b->copies,
		       (unsigned long)b->packets);
	if (lossy && !b->losses)
		printf("  (no loss was seen)\n");
	tl_tracker__destroy(b->tracker);
	free(b->slab);
	free(b->flow);
	free(b->sent);
	spent = spent * 10 / b->packets;
	free(b);
	return (double)spent / 10;
}

static void report(const char *name, uint32_t flows, bool lossy, bool doubled)
{
	double best = 0;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		double ns = run(flows, lossy, doubled);

		if (!best || ns < best)
			best = ns;
	}
	printf("tracker %-8s %7u flows  %6.1f ns/packet  %5.1f Mpps\n", name, flows, best,
	       1000 / best);
}

int main(void)
{
	static const uint32_t flows[] = { 1, 1000, 100000 };

	printf("tracker: %zu bytes a flow\n", tl_tracker__flow_bytes());
	for (uint32_t i = 0; i < 3; i++) {
		report("plain", flows[i], false, false);
		report("lossy", flows[i], true, false);
		report("doubled", flows[i], false, true);
	}
	return 0;
}
