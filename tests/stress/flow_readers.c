/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/*
 * Readers copy entries of a flow table while its worker makes, updates, replaces and ends flows.
 * Meant for ThreadSanitizer; without it too, a torn copy breaks one of these:
 *
 *	every packet of flow n is n % 1000 + 60 bytes long:  bytes == packets * that
 *	the ports say which flow it is:                       port == f(address)
 *	VLAN and interface repeat it:                         vlan == n % 4096, interface == n
 *
 * Runs for SECONDS (default 3).
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tapline/atomic.h"
#include "tapline/flow.h"

#define READERS 2
#define FLOWS	20000u

static struct tl_flow_table *table;
static int stop;
static uint64_t copies[READERS], torn[READERS];

static uint16_t port_of(uint32_t n)
{
	return (uint16_t)(1 + n * 31 % 65000);
}

static bool is_whole(const struct tl_flow *flow)
{
	int client = flow->key.addr[0][0] != 10;
	uint32_t address, n;
	uint64_t bytes;

	memcpy(&address, flow->key.addr[client], 4);
	n = __builtin_bswap32(address) & 0xffffff;
	bytes = n % 1000 + 60;
	return flow->key.port[client] == port_of(n) && flow->interface == n &&
	       (flow->vlan[0] & 0xfff) == n % 4096 && flow->bytes[0] == flow->packets[0] * bytes &&
	       flow->bytes[1] == flow->packets[1] * bytes && flow->last_ns >= flow->first_ns;
}

static void *read_all(void *arg)
{
	size_t me = (size_t)arg;
	uint32_t capacity = tl_flow_table__capacity(table);
	struct tl_flow_table_stats stats;
	struct tl_flow flow;

	while (!tl_load_relaxed(&stop)) {
		for (uint32_t i = 0; i < capacity; i++) {
			if (!tl_flow_table__read(table, i, &flow))
				continue;
			copies[me]++;
			torn[me] += !is_whole(&flow) || flow.index != i;
		}
		tl_flow_table__stats(table, &stats);
		torn[me] += stats.evicted > stats.created;
	}
	return NULL;
}

struct traffic {
	uint8_t ip[TL_BATCH_MAX][2][4];
	struct tl_packet packets[TL_BATCH_MAX];
	struct tl_layers layers[TL_BATCH_MAX];
	struct tl_flow_lookup lookups[TL_BATCH_MAX];
};

static void make(struct traffic *t, uint32_t slot, uint32_t n, uint64_t ts_ns)
{
	uint32_t client = __builtin_bswap32(0x0a000000 + n);
	bool back = rand() & 1, syn = !back && rand() % 8 == 0;

	memcpy(t->ip[slot][back], &client, 4);
	memcpy(t->ip[slot][!back], "\xc0\0\2\1", 4);
	t->packets[slot] =
		(struct tl_packet){ .ts_ns = ts_ns, .wirelen = n % 1000 + 60, .interface = n };
	t->layers[slot] = (struct tl_layers){
		.ip_version = 4,
		.proto = n % 2 ? 6 : 17,
		.src = t->ip[slot][0],
		.dst = t->ip[slot][1],
		.src_port = back ? 65432 : port_of(n),
		.dst_port = back ? port_of(n) : 65432,
		.l4_offset = 34,
		.vlan_count = 1,
		.vlan = { (uint16_t)(n % 4096) },
		.tcp_flags = syn		       ? TL_TCP_SYN
			     : back && rand() % 9 == 0 ? TL_TCP_RST
						       : TL_TCP_ACK,
		.seq = (uint32_t)rand(),
	};
	t->lookups[slot] =
		(struct tl_flow_lookup){ .packet = &t->packets[slot], .layers = &t->layers[slot] };
}

static void work(double seconds)
{
	struct traffic *t = calloc(1, sizeof(*t));
	struct timespec began, now;
	uint64_t ts_ns = 1000000000;

	clock_gettime(CLOCK_MONOTONIC, &began);
	do {
		uint32_t done = 0;

		for (uint32_t i = 0; i < TL_BATCH_MAX; i++)
			make(t, i, (uint32_t)rand() % FLOWS, ts_ns += 3000000);
		while (done < TL_BATCH_MAX)
			done += tl_flow_table__lookup(table, t->lookups + done,
						      TL_BATCH_MAX - done);
		tl_flow_table__expire(table, ts_ns, 1000);
		if (rand() % 1000 == 0)
			tl_flow_table__drain(table);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9 <
		 seconds);
	free(t);
}

int main(int argc, char **argv)
{
	struct tl_flow_table_opts opts = { .memory_bytes = 2 << 20, .numa_node = -1 };
	struct tl_flow_table_stats stats;
	pthread_t threads[READERS];
	uint64_t all_copies = 0, all_torn = 0;

	if (tl_flow_table__create(&opts, &table))
		return 1;
	for (size_t i = 0; i < READERS; i++)
		if (pthread_create(&threads[i], NULL, read_all, (void *)i))
			return 1;
	work(argc > 1 ? strtod(argv[1], NULL) : 3);
	tl_store_relaxed(&stop, 1);
	for (size_t i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		all_copies += copies[i];
		all_torn += torn[i];
	}
	tl_flow_table__stats(table, &stats);
	printf("%" PRIu64 " copies, %" PRIu64 " torn; %" PRIu64 " flows made, %" PRIu64
	       " evicted, %" PRIu64 " expired\n",
	       all_copies, all_torn, stats.created, stats.evicted, stats.expired);
	tl_flow_table__destroy(table);
	return all_torn || all_copies < 1000 || stats.evicted < 100;
}
