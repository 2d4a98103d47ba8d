/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_decode tl_flow */
/*
 * Decoding and the flow table together, on whole frames of 64 bytes: what a worker does to every
 * packet before any analyzer sees it.
 *
 *   bench_decode_flow [FLOWS]      default: 1,000,000
 *
 * Frames lie in a ring of 4 MiB, as a NIC would have put them there; address and port are written
 * into each before its batch (that alone is measured too, and taken off). Flows in random order.
 * Best of several rounds, in processor time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tapline/decode.h"
#include "tapline/flow.h"

#define FRAME_BYTES 64u
#define RING_FRAMES 65536u
#define BATCHES	    8000u
#define ROUNDS	    5

static uint8_t ring[RING_FRAMES][FRAME_BYTES];
static struct tl_packet packets[TL_BATCH_MAX];
static struct tl_layers layers[TL_BATCH_MAX];
static struct tl_flow_lookup lookups[TL_BATCH_MAX];

/* Ethernet, IPv4, TCP (ACK), padding; checksums are not looked at on this path. */
static const uint8_t frame[FRAME_BYTES] = {
	2,    0, 0, 0,	 0, 1, 2,    0, 0,  0, 0, 2, 8,	   0, /* Ethernet */
	0x45, 0, 0, 40,	 0, 1, 0x40, 0, 64, 6, 0, 0, 10,   0,	       0, 0,
	192,  0, 2, 1,							     /* IPv4 */
	0,    0, 1, 187, 0, 0, 0,    1, 0,  0, 0, 1, 0x50, TL_TCP_ACK, 4, 0, /* TCP */
};

enum stage { WRITE, DECODE, FLOW };

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint32_t random_below(uint64_t *state, uint32_t below)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((*state >> 32) * below >> 32);
}

static void write_frames(uint32_t batch, const uint32_t *flows)
{
	for (uint32_t j = 0; j < TL_BATCH_MAX; j++) {
		uint8_t *data = ring[(batch * TL_BATCH_MAX + j) % RING_FRAMES];
		uint16_t port = (uint16_t)(1024 + flows[j] % 60000);

		memcpy(data + 27, (const uint8_t *)&flows[j], 3);
		memcpy(data + 34, &port, 2);
		packets[j] = (struct tl_packet){ .data = data,
						 .caplen = FRAME_BYTES,
						 .wirelen = FRAME_BYTES,
						 .linktype = TL_LINKTYPE_ETHERNET,
						 .ts_ns = 1000000000ull + batch * 25600ull };
	}
}

static void run_batch(struct tl_flow_table *table, enum stage stage)
{
	uint32_t done = 0;

	if (stage >= DECODE)
		for (uint32_t j = 0; j < TL_BATCH_MAX; j++)
			tl_decode(&packets[j], &layers[j]);
	while (stage >= FLOW && done < TL_BATCH_MAX)
		done += tl_flow_table__lookup(table, lookups + done, TL_BATCH_MAX - done);
}

static double run(struct tl_flow_table *table, uint32_t flows, enum stage stage)
{
	uint32_t chosen[TL_BATCH_MAX];
	uint64_t state = 1;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now_ns(), took;

		for (uint32_t i = 0; i < BATCHES; i++) {
			for (uint32_t j = 0; j < TL_BATCH_MAX; j++)
				chosen[j] = random_below(&state, flows);
			write_frames(i, chosen);
			run_batch(table, stage);
		}
		took = (now_ns() - began) / (BATCHES * (double)TL_BATCH_MAX);
		best = took < best ? took : best;
	}
	return best;
}

static void fill(struct tl_flow_table *table, uint32_t flows)
{
	uint32_t chosen[TL_BATCH_MAX];

	for (uint32_t i = 0; i < flows; i += TL_BATCH_MAX) {
		for (uint32_t j = 0; j < TL_BATCH_MAX; j++)
			chosen[j] = i + j < flows ? i + j : 0;
		write_frames(i / TL_BATCH_MAX, chosen);
		run_batch(table, FLOW);
	}
}

static int bench(uint32_t flows)
{
	struct tl_flow_table_opts opts = { .memory_bytes = (flows + 512ull) * 205 + (1 << 20),
					   .numa_node = -1 };
	struct tl_flow_table_stats stats;
	struct tl_flow_table *table;
	double write, decode, both;

	if (tl_flow_table__create(&opts, &table)) {
		fputs("bench_decode_flow: no memory for the table\n", stderr);
		return 1;
	}
	fill(table, flows);
	write = run(table, flows, WRITE);
	decode = run(table, flows, DECODE) - write;
	both = run(table, flows, FLOW) - write;
	tl_flow_table__stats(table, &stats);
	printf("%9u flows: decode %5.1f ns, decode + flow %6.1f ns a packet, %6.2f Mpps a core\n",
	       flows, decode, both, 1e3 / both);
	if (stats.flows != flows)
		printf("  the table holds %lu flows: the figures are of something else\n",
		       (unsigned long)stats.flows);
	tl_flow_table__destroy(table);
	return stats.flows != flows;
}

int main(int argc, char **argv)
{
	uint32_t flows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000000;

	for (uint32_t i = 0; i < RING_FRAMES; i++)
		memcpy(ring[i], frame, FRAME_BYTES);
	for (uint32_t i = 0; i < TL_BATCH_MAX; i++)
		lookups[i] = (struct tl_flow_lookup){ .packet = &packets[i], .layers = &layers[i] };
	return bench(1000) | bench(65536) | bench(flows ? flows : 1);
}
