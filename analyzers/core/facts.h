/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of the mirror as a whole, for judges to weigh findings by: does it show both
 * directions, which hosts are seen sending, what did the capture itself lose. Fed by the core's own
 * observations; deterministic, because observations come in packet time.
 */
#ifndef TAPLINE_ANALYZERS_FACTS_H
#define TAPLINE_ANALYZERS_FACTS_H

#include "core/tracker.h"
#include "tapline/analyzer.h"

struct tl_judge_facts;

/* --- for the registry: makes the facts, feeds them, frees them ------------------------------ */

/* `analyzer` of an observation that is the core's own. */
#define TL_OBSERVATION_CORE 0xffff

int tl_facts__create(struct tl_judge_facts **ret_facts);
void tl_facts__destroy(struct tl_judge_facts *facts);
/* An observation whose analyzer is TL_OBSERVATION_CORE; others are ignored. */
void tl_facts__observe(struct tl_judge_facts *facts, const struct tl_observation *observation);
/* Before judges see the same totals in judge_tick and judge_finish. */
void tl_facts__set_totals(struct tl_judge_facts *facts, const struct tl_run_totals *totals);

/* --- for the core's worker side: what its observations carry -------------------------------- */

enum tl_core_observation {
	TL_CORE_HOSTS = 1, /* struct tl_core_hosts: addresses first seen sending */
	TL_CORE_TOTALS,	   /* struct tl_tracker_totals: the worker's, since the start */
	TL_CORE_MISSED,	   /* struct tl_core_missed_list: proof of missed_bytes */
};

#define TL_CORE_HOSTS_MAX 40

struct tl_core_hosts {
	uint32_t count;
	uint8_t ip_version[TL_CORE_HOSTS_MAX];
	uint8_t ip[TL_CORE_HOSTS_MAX][16];
};

/* The packet that showed a gap: one after it, or an ACK of it. */
struct tl_core_missed {
	uint64_t frame;
	uint64_t ts_ns;
	uint32_t bytes;
};

#define TL_CORE_MISSED_MAX 4

struct tl_core_missed_list {
	uint32_t count;
	struct tl_core_missed item[TL_CORE_MISSED_MAX];
};

_Static_assert(sizeof(struct tl_core_hosts) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* --- for judges ----------------------------------------------------------------------------- */

/* Was a packet seen that this address sent? */
bool tl_facts__host_sends(const struct tl_judge_facts *facts, const struct tl_endpoint *host);

enum tl_two_way {
	TL_TWO_WAY_UNKNOWN, /* no TCP flow that would tell */
	TL_TWO_WAY_YES,	    /* flows are seen in both directions */
	TL_TWO_WAY_NO,	    /* flows that must have two are seen in one */
	TL_TWO_WAY_MIXED,
};
enum tl_two_way tl_facts__two_way(const struct tl_judge_facts *facts);

/* The trackers' counts, summed over the workers. */
void tl_facts__tracker_totals(const struct tl_judge_facts *facts,
			      struct tl_tracker_totals *ret_totals);

/* The first gaps that were told, by time. Borrowed until the next observation. */
const struct tl_core_missed_list *tl_facts__missed(const struct tl_judge_facts *facts);

/* Packets this capture lost (all stages) until now. */
uint64_t tl_facts__capture_drops(const struct tl_judge_facts *facts);

#endif
