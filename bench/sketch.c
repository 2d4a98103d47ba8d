/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sketch tl_flow */
/*
 * What the sketches of a link cost: each alone, and the census that is made of them, by packet and
 * by flow that ends.
 *
 *   bench_sketch [HOSTS]      default: 1,000,000
 *
 * Heavy hitters are measured three ways: keys that all have a counter, keys drawn as traffic is
 * (a few hosts send most: each host half as often as one that is half as far up the list), and keys
 * that are all new, where each takes a counter from another. Best of several rounds, in processor
 * time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tapline/census.h"
#include "tapline/sketch.h"

#define ROUNDS 5
#define KEYS   (1u << 20) /* drawn beforehand */
#define SECOND 1000000000ull

static struct tl_sketch_key keys[KEYS];
static uint64_t values[KEYS];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t next_random(void)
{
	static uint64_t state = 1;
	uint64_t x = state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static void check(int err)
{
	if (!err)
		return;
	fprintf(stderr, "bench_sketch: %s\n", strerror(-err));
	exit(1);
}

static void report(const char *what, double ns)
{
	printf("%-44s %8.1f ns  %8.2f M/s\n", what, ns, 1e3 / ns);
}

/* --- keys ------------------------------------------------------------------------------------ */

static struct tl_sketch_key key_of(uint32_t host)
{
	uint8_t ip[16] = { 10, (uint8_t)(host >> 16), (uint8_t)(host >> 8), (uint8_t)host };

	ip[0] = (uint8_t)(10 + (host >> 24));
	return tl_sketch_key__of_ip(4, ip);
}

/* As many octaves of the list as it has, each equally likely: host n about as often as 1 / n. */
static uint32_t draw_skewed(uint32_t hosts)
{
	uint32_t octaves = 32 - (uint32_t)__builtin_clz(hosts);
	uint32_t octave = (uint32_t)(next_random() >> 32) % octaves;
	uint32_t host = (1u << octave) - 1 + ((uint32_t)next_random() & ((1u << octave) - 1));

	return host < hosts ? host : host % hosts;
}

/* --- single sketches ------------------------------------------------------------------------- */

static double add_all(struct tl_topk *topk)
{
	double began = now_ns();

	for (uint32_t i = 0; i < KEYS; i++)
		tl_topk__add(topk, &keys[i], values[i]);
	return (now_ns() - began) / KEYS;
}

static void bench_topk(const char *what)
{
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		struct tl_topk *topk;
		double took;

		check(tl_topk__create(TL_CENSUS_CAPACITY, &topk));
		add_all(topk); /* until all counters are taken */
		took = add_all(topk);
		best = took < best ? took : best;
		tl_topk__destroy(topk);
	}
	report(what, best);
}

static void bench_distinct(void)
{
	static struct tl_distinct distinct;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now_ns(), took;

		for (uint32_t i = 0; i < KEYS; i++)
			tl_distinct__add(&distinct,
					 tl_sketch__hash(keys[i].word, TL_SKETCH_KEY_WORDS, 1));
		took = (now_ns() - began) / KEYS;
		best = took < best ? took : best;
	}
	report("distinct count, hash included", best);
}

static void bench_histogram(void)
{
	static struct tl_histogram histogram;
	double best = 1e18;

	for (int round = 0; round < ROUNDS; round++) {
		double began = now_ns(), took;

		for (uint32_t i = 0; i < KEYS; i++)
			tl_histogram__add(&histogram, values[i]);
		took = (now_ns() - began) / KEYS;
		best = took < best ? took : best;
	}
	report("histogram", best);
}

static void bench_singles(uint32_t hosts)
{
	for (uint32_t i = 0; i < KEYS; i++) {
		keys[i] = key_of((uint32_t)next_random() % TL_CENSUS_CAPACITY);
		values[i] = 64 + next_random() % 1450;
	}
	bench_topk("heavy hitters, all have a counter");
	for (uint32_t i = 0; i < KEYS; i++)
		keys[i] = key_of(draw_skewed(hosts));
	bench_topk("heavy hitters, skewed as traffic is");
	for (uint32_t i = 0; i < KEYS; i++)
		keys[i] = key_of(i);
	bench_topk("heavy hitters, each takes another's counter");
	bench_distinct();
	bench_histogram();
}

/* --- the census ------------------------------------------------------------------------------ */

static double packets_of(struct tl_census *census)
{
	static struct tl_packet packets[TL_BATCH_MAX];
	static struct tl_flow_lookup lookups[TL_BATCH_MAX];
	static struct tl_flow flow;
	double began;

	for (uint32_t i = 0; i < TL_BATCH_MAX; i++) {
		packets[i].wirelen = (uint32_t)values[i];
		packets[i].ts_ns = SECOND + i;
		lookups[i] = (struct tl_flow_lookup){ .packet = &packets[i], .ret_flow = &flow };
	}
	began = now_ns();
	for (uint32_t i = 0; i < KEYS; i += TL_BATCH_MAX)
		tl_census__packets(census, lookups, TL_BATCH_MAX);
	return (now_ns() - began) / KEYS;
}

static double flows_of(struct tl_census *census)
{
	struct tl_flow flow = { .key = { .proto = 6, .ip_version = 4, .port = { 443, 40000 } },
				.first_ns = SECOND,
				.packets = { 20, 10 },
				.client = 1,
				.rtt_server_us = 2000,
				.rtt_client_us = 300 };
	double began = now_ns();

	for (uint32_t i = 0; i < KEYS; i++) {
		memcpy(flow.key.addr[0], keys[i ^ 1].word, sizeof(flow.key.addr[0]));
		memcpy(flow.key.addr[1], keys[i].word, sizeof(flow.key.addr[1]));
		flow.bytes[0] = values[i] * 20;
		flow.bytes[1] = values[i ^ 1];
		flow.last_ns = SECOND + values[i] * 1000000;
		tl_census__flow(census, &flow);
	}
	return (now_ns() - began) / KEYS;
}

static void bench_census(uint32_t hosts)
{
	double packets = 1e18, flows = 1e18;

	for (uint32_t i = 0; i < KEYS; i++)
		keys[i] = key_of(draw_skewed(hosts));
	for (int round = 0; round < ROUNDS; round++) {
		struct tl_census_report r;
		struct tl_census *census;
		double took;

		check(tl_census__create(&census));
		took = packets_of(census);
		packets = took < packets ? took : packets;
		took = flows_of(census);
		flows = took < flows ? took : flows;
		tl_census__report(census, &r);
		if (r.packets != KEYS || r.flows != KEYS)
			printf("  not all were counted: %lu packets, %lu flows\n",
			       (unsigned long)r.packets, (unsigned long)r.flows);
		tl_census__destroy(census);
	}
	report("census, a packet", packets);
	report("census, a flow that ends", flows);
}

int main(int argc, char **argv)
{
	uint32_t hosts = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 0) : 1000000;

	if (!hosts || hosts > 1u << 30)
		hosts = 1000000;
	bench_singles(hosts);
	bench_census(hosts);
	return 0;
}
