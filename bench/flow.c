/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/*
 * The flow table alone: hash, lookups of flows that are there, insertion, eviction, expiry.
 *
 *   bench_flow [FLOWS]      default: 1,000,000
 *
 * Each figure is the best of several rounds, in nanoseconds of processor time a packet (or flow),
 * batches of 256.
 * "hit" visits flows in random order: with a million of them nearly every line comes from memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tapline/flow.h"
#include "tapline/flow_hash.h"

#define ROUNDS 5
#define SECOND 1000000000ull

static struct tl_packet packets[TL_BATCH_MAX];
static struct tl_layers layers[TL_BATCH_MAX];
static struct tl_flow_lookup lookups[TL_BATCH_MAX];
static uint8_t addresses[TL_BATCH_MAX][2][4];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t scramble(uint64_t x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	return x ^ x >> 33;
}

static void set_up(void)
{
	for (uint32_t i = 0; i < TL_BATCH_MAX; i++) {
		layers[i] = (struct tl_layers){ .ip_version = 4,
						.proto = 6,
						.src = addresses[i][0],
						.dst = addresses[i][1],
						.dst_port = 443,
						.l4_offset = 34,
						.tcp_flags = TL_TCP_ACK,
						.window = 1000 };
		packets[i] = (struct tl_packet){ .wirelen = 64, .caplen = 64 };
		lookups[i] = (struct tl_flow_lookup){ .packet = &packets[i], .layers = &layers[i] };
		memcpy(addresses[i][1], "\xc0\x00\x02\x01", 4);
	}
}

static void aim(uint32_t slot, uint32_t flow, uint64_t ts_ns, uint8_t flags)
{
	memcpy(addresses[slot][0], &flow, 4);
	layers[slot].src_port = (uint16_t)(1024 + flow % 60000);
	layers[slot].tcp_flags = flags;
	layers[slot].seq = flow;
	packets[slot].ts_ns = ts_ns;
}

static struct tl_flow_table *create(uint64_t flows)
{
	struct tl_flow_table_opts opts = { .memory_bytes = (flows + 512) * 205 + (1 << 20),
					   .numa_node = -1 };
	struct tl_flow_table *table;

	if (tl_flow_table__create(&opts, &table)) {
		fputs("bench_flow: no memory for the table\n", stderr);
		exit(1);
	}
	return table;
}

static void look_up(struct tl_flow_table *table)
{
	uint32_t done = 0;

	while (done < TL_BATCH_MAX)
		done += tl_flow_table__lookup(table, lookups + done, TL_BATCH_MAX - done);
}

/* By SYNs: half-open flows are what a flood makes, and end by the same path as others. */
static void insert(struct tl_flow_table *table, uint32_t from, uint32_t count, uint64_t ts_ns)
{
	for (uint32_t i = 0; i < count; i += TL_BATCH_MAX) {
		for (uint32_t j = 0; j < TL_BATCH_MAX; j++)
			aim(j, from + i + j, ts_ns + i * 100ull, TL_TCP_SYN);
		look_up(table);
	}
}

static void report(const char *what, double ns)
{
	printf("%-44s %8.1f ns  %8.2f M/s\n", what, ns, 1e3 / ns);
}

static void bench_hash(enum tl_flow_hash_kind kind, const char *name)
{
	static struct tl_flow_key keys[TL_BATCH_MAX];
	static uint64_t hashes[TL_BATCH_MAX];
	const uint64_t seed[2] = { 1, 2 };
	struct tl_flow_hasher hasher;
	double best = 1e18;
	uint64_t sum = 0;

	if (tl_flow_hasher__init(&hasher, seed, kind)) {
		printf("%-44s not on this processor\n", name);
		return;
	}
	for (int round = 0; round < ROUNDS; round++) {
		double began = now_ns(), took;

		for (int i = 0; i < 4000; i++) {
			keys[i % TL_BATCH_MAX].port[0]++;
			tl_flow_hasher__keys(&hasher, keys, TL_BATCH_MAX, hashes);
			sum += hashes[i % TL_BATCH_MAX];
		}
		took = (now_ns() - began) / (4000.0 * TL_BATCH_MAX);
		best = took < best ? took : best;
	}
	report(name, best);
	if (!sum)
		puts("");
}

static double hit(struct tl_flow_table *table, uint32_t flows, bool touch)
{
	double best = 1e18;
	uint32_t batches = 8000;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now_ns(), took;

		for (uint32_t i = 0; i < batches; i++) {
			for (uint32_t j = 0; j < TL_BATCH_MAX; j++)
				aim(j,
				    (uint32_t)(scramble(((uint64_t)round << 40) + i * 256ull + j) %
					       flows),
				    2 * SECOND + i * 25600ull, TL_TCP_ACK);
			if (touch)
				look_up(table);
		}
		took = (now_ns() - began) / ((double)batches * TL_BATCH_MAX);
		best = took < best ? took : best;
	}
	return best;
}

static void bench_hits(uint32_t flows)
{
	struct tl_flow_table *table = create(flows);
	struct tl_flow_table_stats stats;
	char what[80];

	insert(table, 0, flows, SECOND);
	snprintf(what, sizeof(what), "hit, random among %u flows", flows);
	report(what, hit(table, flows, true) - hit(table, flows, false));
	tl_flow_table__stats(table, &stats);
	if (stats.created != stats.flows || stats.flows < flows)
		printf("  not all were hits: %lu flows made\n", (unsigned long)stats.created);
	tl_flow_table__destroy(table);
}

static void bench_life(uint32_t flows)
{
	double made = 1e18, evicted = 1e18, expired = 1e18;

	for (int round = 0; round < 3; round++) {
		struct tl_flow_table *table = create(flows);
		struct tl_flow_table_stats stats;
		double at[4];

		insert(table, 0, flows, SECOND); /* touches the pages */
		while (tl_flow_table__expire(table, 1000 * SECOND, UINT32_MAX))
			;
		at[0] = now_ns();
		insert(table, 0, flows, 1000 * SECOND);
		at[1] = now_ns();
		insert(table, flows, flows, 1001 * SECOND);
		at[2] = now_ns();
		while (tl_flow_table__expire(table, 2000 * SECOND, UINT32_MAX))
			;
		at[3] = now_ns();
		tl_flow_table__stats(table, &stats);
		if (stats.flows || stats.evicted + stats.capacity < 2ull * flows)
			printf("  expected to evict about %u, did %lu; %lu left\n", flows,
			       (unsigned long)stats.evicted, (unsigned long)stats.flows);
		made = made < at[1] - at[0] ? made : at[1] - at[0];
		evicted = evicted < at[2] - at[1] ? evicted : at[2] - at[1];
		expired = expired < at[3] - at[2] ? expired : at[3] - at[2];
		tl_flow_table__destroy(table);
	}
	report("new flow", made / flows);
	report("new flow, table full (evicts one)", evicted / flows);
	report("expiry of a flow", expired / flows);
}

int main(int argc, char **argv)
{
	uint32_t flows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000000;

	flows = flows / TL_BATCH_MAX * TL_BATCH_MAX;
	if (!flows)
		flows = TL_BATCH_MAX;
	set_up();
	bench_hash(TL_FLOW_HASH_SIPHASH, "hash of a key, SipHash-1-3");
	bench_hash(TL_FLOW_HASH_AES, "hash of a key, AES");
	bench_hits(1024);
	bench_hits(65536);
	bench_hits(flows);
	bench_life(flows);
	return 0;
}
