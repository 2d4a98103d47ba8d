/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the flow table's tests share: a table, packets that exist as layers alone, and a log of the
 * flows that ended.
 */
#ifndef TAPLINE_TESTS_FLOW_TEST_H
#define TAPLINE_TESTS_FLOW_TEST_H

#include <stdlib.h>
#include <string.h>

#include "tapline/flow.h"

#define MS 1000000ull
#define S  1000000000ull
#define T0 (1795341600ull * S)

struct ended {
	struct tl_flow flow;
	enum tl_flow_end end;
};

struct bed {
	struct tl_flow_table *table;
	struct ended log[4096];
	uint32_t count; /* may pass the log's room: then only counted */
	uint64_t by_end[8];
};

static inline void bed__on_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct bed *bed = ctx;

	if (bed->count < sizeof(bed->log) / sizeof(bed->log[0])) {
		bed->log[bed->count].flow = *flow;
		bed->log[bed->count].end = end;
	}
	bed->count++;
	bed->by_end[end]++;
}

static inline struct bed *bed__create(uint64_t memory_bytes)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	struct tl_flow_table_opts opts = {
		.memory_bytes = memory_bytes,
		.numa_node = -1,
		.on_end = bed__on_end,
		.ctx = bed,
	};

	if (!bed || tl_flow_table__create(&opts, &bed->table))
		abort();
	return bed;
}

static inline void bed__destroy(struct bed *bed)
{
	tl_flow_table__destroy(bed->table);
	free(bed);
}

/* One packet; addresses are IPv4 in host order. */
struct seg {
	uint32_t src, dst;
	uint16_t src_port, dst_port;
	uint8_t proto; /* 0: TCP */
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t window; /* 0: 1000, unless zero_window */
	bool zero_window;
	const char *payload;
	uint32_t payload_bytes; /* beyond the text's length, if that is shorter */
	uint64_t ts_ns;
};

struct made {
	struct tl_packet packet;
	struct tl_layers layers;
	uint8_t ip[2][4];
};

static inline void bed__make(const struct seg *seg, struct made *ret)
{
	uint32_t text = seg->payload ? (uint32_t)strlen(seg->payload) : 0;
	uint32_t src = __builtin_bswap32(seg->src), dst = __builtin_bswap32(seg->dst);

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->ip[0], &src, 4);
	memcpy(ret->ip[1], &dst, 4);
	ret->packet = (struct tl_packet){
		.data = (const uint8_t *)seg->payload,
		.ts_ns = seg->ts_ns,
		.caplen = text,
		.wirelen = 60 + (seg->payload_bytes > text ? seg->payload_bytes : text),
	};
	ret->layers = (struct tl_layers){
		.ip_version = 4,
		.proto = seg->proto ? seg->proto : 6,
		.src = ret->ip[0],
		.dst = ret->ip[1],
		.src_port = seg->src_port,
		.dst_port = seg->dst_port,
		.l4_offset = 34,
		.payload_bytes = seg->payload_bytes > text ? seg->payload_bytes : text,
		.payload_caplen = text,
		.seq = seg->seq,
		.ack = seg->ack,
		.tcp_flags = seg->flags,
		.window = seg->zero_window ? 0
			  : seg->window	   ? seg->window
					   : 1000,
	};
}

static inline struct tl_flow_lookup bed__look_up(struct bed *bed, struct made *made)
{
	struct tl_flow_lookup lookup = { .packet = &made->packet, .layers = &made->layers };

	if (tl_flow_table__lookup(bed->table, &lookup, 1) != 1)
		abort();
	return lookup;
}

/* Sends one packet through; its flow stays valid until the next call. */
static inline struct tl_flow_lookup bed__send(struct bed *bed, struct seg seg)
{
	struct made made;

	bed__make(&seg, &made);
	return bed__look_up(bed, &made);
}

/* The other direction of a packet, with nothing in it yet. */
static inline struct seg seg__reply(struct seg seg)
{
	return (struct seg){ .src = seg.dst,
			     .dst = seg.src,
			     .src_port = seg.dst_port,
			     .dst_port = seg.src_port,
			     .proto = seg.proto,
			     .ts_ns = seg.ts_ns };
}

static inline struct tl_flow_table_stats bed__stats(const struct bed *bed)
{
	struct tl_flow_table_stats stats;

	tl_flow_table__stats(bed->table, &stats);
	return stats;
}

/* A whole handshake at ts_ns: client's ISN 1000, server's 5000. */
static inline struct tl_flow *bed__connect(struct bed *bed, struct seg client, uint64_t ts_ns)
{
	struct seg server = seg__reply(client);

	client.flags = TL_TCP_SYN;
	client.seq = 1000;
	client.ts_ns = ts_ns;
	bed__send(bed, client);
	server.flags = TL_TCP_SYN | TL_TCP_ACK;
	server.seq = 5000;
	server.ack = 1001;
	server.ts_ns = ts_ns + 2 * MS;
	bed__send(bed, server);
	client.flags = TL_TCP_ACK;
	client.seq = 1001;
	client.ack = 5001;
	client.ts_ns = ts_ns + 5 * MS;
	return bed__send(bed, client).ret_flow;
}

#endif
