/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/*
 * The flow table under attack: what it holds, what it keeps, how far it probes. Exits 1 when a
 * limit is passed.
 *
 *   bench_flow_attack [FLOWS]      default: 1,000,000; the long form: 10,000,000
 *
 *  memory      FLOWS flows at once: resident memory of the process against the cap that was set
 *  flood       1000 established connections, then FLOWS SYNs, each of a tuple of its own, against a
 *              table of 65536: how many of the connections stand, established, afterwards
 *  collisions  2000 tuples that all fall into one bucket under a seed that the attacker knows: the
 *              longest probe with that seed, and with a secret one
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tapline/flow.h"
#include "tapline/flow_hash.h"

#define SECOND	    1000000000ull
#define START	    (1795341600ull * SECOND)
#define ESTABLISHED 1000u
#define COLLIDING   2000u
#define BUCKETS	    1024u /* of the table of the collisions; five flows each */
#define PROBES_MAX  8u	  /* with a secret seed, at the most flows there can be */

struct tuple {
	uint32_t src, dst; /* network order */
	uint16_t src_port, dst_port;
	uint8_t flags;
	uint32_t seq, ack;
	uint64_t ts_ns;
};

static struct tl_flow_table *create(uint64_t memory_bytes, uint64_t seed)
{
	struct tl_flow_table_opts opts = { .memory_bytes = memory_bytes,
					   .hash_seed = { seed, seed },
					   .numa_node = -1 };
	struct tl_flow_table *table;

	if (tl_flow_table__create(&opts, &table)) {
		fputs("bench_flow_attack: no memory for the table\n", stderr);
		exit(1);
	}
	return table;
}

static struct tl_flow *send(struct tl_flow_table *table, const struct tuple *t)
{
	struct tl_packet packet = { .ts_ns = t->ts_ns, .wirelen = 60 };
	struct tl_layers layers = { .ip_version = 4,
				    .proto = 6,
				    .src = (const uint8_t *)&t->src,
				    .dst = (const uint8_t *)&t->dst,
				    .src_port = t->src_port,
				    .dst_port = t->dst_port,
				    .l4_offset = 34,
				    .tcp_flags = t->flags,
				    .seq = t->seq,
				    .ack = t->ack,
				    .window = 1000 };
	struct tl_flow_lookup lookup = { .packet = &packet, .layers = &layers };

	tl_flow_table__lookup(table, &lookup, 1);
	return lookup.ret_flow;
}

/* SYN number n of a flood: no two have a tuple in common. */
static struct tuple flood_tuple(uint32_t n, uint64_t ts_ns)
{
	return (struct tuple){ .src = 0x0a000000 + n / 50000,
			       .dst = 0xc0000201,
			       .src_port = (uint16_t)(1024 + n % 50000),
			       .dst_port = 443,
			       .flags = TL_TCP_SYN,
			       .seq = n,
			       .ts_ns = ts_ns };
}

static uint64_t resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f) {
		if (fscanf(f, "%*u %lu", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool try_memory(uint32_t flows)
{
	uint64_t cap = (uint64_t)flows * 205 + (1 << 20), used = resident_bytes();
	struct tl_flow_table *table = create(cap, 0);
	struct tl_flow_table_stats stats;

	for (uint32_t n = 0; n < flows; n++) {
		struct tuple t = flood_tuple(n, START + n);

		send(table, &t);
	}
	used = resident_bytes() - used;
	tl_flow_table__stats(table, &stats);
	printf("memory      %u flows: %lu alive, %.1f bytes each, %.1f %% of the cap, probes up to "
	       "%u\n",
	       flows, (unsigned long)stats.flows, (double)used / (double)stats.flows,
	       100.0 * (double)used / (double)cap, stats.longest_probe);
	tl_flow_table__destroy(table);
	return stats.flows == flows && (double)used <= 1.05 * (double)cap && used <= 256ull * flows;
}

static void connect(struct tl_flow_table *table, uint32_t n)
{
	struct tuple client = { .src = 0x0b000000 + n,
				.dst = 0xc0000202,
				.src_port = 5000,
				.dst_port = 80,
				.flags = TL_TCP_SYN,
				.seq = 1000,
				.ts_ns = START };
	struct tuple server = { .src = client.dst,
				.dst = client.src,
				.src_port = 80,
				.dst_port = 5000,
				.flags = TL_TCP_SYN | TL_TCP_ACK,
				.seq = 5000,
				.ack = 1001,
				.ts_ns = START };

	send(table, &client);
	send(table, &server);
	client.flags = TL_TCP_ACK;
	client.seq = 1001;
	client.ack = 5001;
	send(table, &client);
}

static bool try_flood(uint32_t tuples)
{
	struct tl_flow_table *table = create(65536ull * 205 + (1 << 20), 0);
	struct tl_flow_table_stats stats;
	uint32_t stand = 0;

	for (uint32_t n = 0; n < ESTABLISHED; n++)
		connect(table, n);
	for (uint32_t n = 0; n < tuples; n++) {
		struct tuple t = flood_tuple(n, START + SECOND + n);

		send(table, &t);
	}
	tl_flow_table__stats(table, &stats);
	for (uint32_t i = 0; i < tl_flow_table__capacity(table); i++) {
		struct tl_flow flow;

		stand += tl_flow_table__read(table, i, &flow) &&
			 flow.state == TL_FLOW_ESTABLISHED &&
			 flow.packets[0] + flow.packets[1] == 3;
	}
	printf("flood       %u SYNs, %lu evicted: %u of %u connections stand\n", tuples,
	       (unsigned long)stats.evicted, stand, ESTABLISHED);
	tl_flow_table__destroy(table);
	return stand == ESTABLISHED;
}

/* Fills a table with tuples that share a bucket under `known`; its longest probe under `seed`. */
static uint32_t probe(uint64_t known, uint64_t seed)
{
	struct tl_flow_table *table = create((uint64_t)BUCKETS * 1024 + (1 << 20), seed);
	uint32_t buckets = tl_flow_table__capacity(table) / 5, found = 0;
	const uint64_t seeds[2] = { known, known };
	struct tl_flow_table_stats stats;
	struct tl_flow_hasher hasher;

	if (tl_flow_hasher__init(&hasher, seeds, TL_FLOW_HASH_AUTO))
		exit(1);
	for (uint32_t n = 0; found < COLLIDING; n++) {
		struct tuple t = flood_tuple(n, START);
		struct tl_layers layers = { .ip_version = 4,
					    .proto = 6,
					    .src = (const uint8_t *)&t.src,
					    .dst = (const uint8_t *)&t.dst,
					    .src_port = t.src_port,
					    .dst_port = t.dst_port };
		struct tl_flow_key key;
		uint8_t side;

		tl_flow_key__of(&layers, &key, &side);
		if ((tl_flow_hasher__key(&hasher, &key) >> 32) * buckets >> 32 != buckets / 2)
			continue;
		send(table, &t);
		found++;
	}
	tl_flow_table__stats(table, &stats);
	tl_flow_table__destroy(table);
	return stats.longest_probe;
}

int main(int argc, char **argv)
{
	uint32_t flows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	uint32_t known, secret;
	bool held = try_memory(flows ? flows : 1);

	held &= try_flood(flows);
	known = probe(42, 42);
	secret = probe(42, 0);
	printf("collisions  %u tuples for one bucket: probes up to %u with the known seed, "
	       "%u with a secret one\n",
	       COLLIDING, known, secret);
	return held && secret <= PROBES_MAX ? 0 : 1;
}
