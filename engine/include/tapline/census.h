/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of a link: who sends most, how many there are, and how sizes and times are spread, in
 * fixed memory, with sketches (sketch.h) whose errors are known.
 *
 *	packets of a batch ──► sizes                                 ┐ one census a worker,
 *	a flow that ends   ──► senders, openers, distinct, durations ┘ merged at the end ──► report
 *
 * The flow table has added up both directions by the time a flow ends, so a packet costs the
 * sketches one bucket of a histogram; all else is paid once a flow. Whatever has no flow (not IP, a
 * stray fragment) is in the packets and their sizes alone.
 *
 * One thread at a time: the worker, and after it has ended whoever merges and reads.
 */
#ifndef TAPLINE_CENSUS_H
#define TAPLINE_CENSUS_H

#include "tapline/flow.h"
#include "tapline/sketch.h"

#define TL_CENSUS_TOP	   10
#define TL_CENSUS_CAPACITY 1024 /* counters: an error is at most 1/1024 of the total */

/* Order of the lists of heavy hitters. */
enum tl_census_top {
	TL_CENSUS_BYTES,       /* by the sender's frame bytes */
	TL_CENSUS_PACKETS,     /* by what the sender sent */
	TL_CENSUS_CONNECTIONS, /* by flows that the client began; TCP only where its SYN was seen */
	TL_CENSUS_TOPS,
};

enum tl_census_distinct {
	TL_CENSUS_SOURCES,	/* addresses that sent */
	TL_CENSUS_DESTINATIONS, /* addresses that were sent to */
	TL_CENSUS_TUPLES,	/* 5-tuples, either direction the same */
	TL_CENSUS_DISTINCTS,
};

enum tl_census_spread {
	TL_CENSUS_PACKET_BYTES, /* of every frame, on the wire */
	TL_CENSUS_FLOW_BYTES,
	TL_CENSUS_FLOW_PACKETS,
	TL_CENSUS_FLOW_DURATION_US,
	TL_CENSUS_RTT_SERVER_US, /* SYN to SYN-ACK, TCP whose handshake was seen */
	TL_CENSUS_RTT_CLIENT_US, /* SYN-ACK to ACK */
	TL_CENSUS_SPREADS,
};

struct tl_census_heavy {
	uint8_t ip_version;
	uint8_t ip[16];
	uint64_t weight; /* the true one is at most this, and at least weight - error */
	uint64_t error;
};

struct tl_census_quantiles {
	uint64_t count, min, max;
	double mean;
	uint64_t p50, p90, p99;
};

/* Packets that are fragments, and what is wrong with them (enum tl_fragment_flag). */
struct tl_census_fragments {
	uint64_t packets, no_flow, duplicate, overlap, tiny, invalid;
};

struct tl_census_report {
	uint64_t packets, bytes;  /* all frames */
	uint64_t no_flow_packets; /* of those */
	struct tl_census_fragments fragments;
	uint64_t first_ns, last_ns;	/* packet time; 0: no packet */
	uint64_t flows;			/* that ended */
	uint64_t total[TL_CENSUS_TOPS]; /* what the weights of a list are a share of */
	uint32_t count[TL_CENSUS_TOPS];
	/* the heaviest first, those of which at least half is certain */
	struct tl_census_heavy top[TL_CENSUS_TOPS][TL_CENSUS_TOP];
	double distinct[TL_CENSUS_DISTINCTS];
	struct tl_census_quantiles spread[TL_CENSUS_SPREADS];
};

struct tl_census;

/* 0, -ENOMEM, or what getrandom(2) said. */
int tl_census__create(struct tl_census **ret_census);
void tl_census__destroy(struct tl_census *census);

/* Packets that were looked up. */
void tl_census__packets(struct tl_census *census, const struct tl_flow_lookup *lookups, uint32_t n);
/* A flow that ends: each of its packets was given to __packets before. */
void tl_census__flow(struct tl_census *census, const struct tl_flow *flow);

/* 0 or -ENOMEM. */
int tl_census__merge(struct tl_census *census, const struct tl_census *from);
void tl_census__report(const struct tl_census *census, struct tl_census_report *ret_report);

#endif
