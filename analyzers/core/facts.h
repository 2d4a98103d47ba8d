/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of the mirror as a whole, for judges to weigh findings by: does it show both
 * directions, which hosts are seen sending, what did the capture itself lose. Fed by the core's own
 * observations; deterministic, because observations come in packet time.
 */
#ifndef TAPLINE_ANALYZERS_FACTS_H
#define TAPLINE_ANALYZERS_FACTS_H

#include "tapline/analyzer.h"

struct tl_judge_facts;

/* Was a packet seen that this address sent? */
bool tl_facts__host_sends(const struct tl_judge_facts *facts, const struct tl_endpoint *host);

enum tl_two_way {
	TL_TWO_WAY_UNKNOWN, /* no TCP flow that would tell */
	TL_TWO_WAY_YES,	    /* flows are seen in both directions */
	TL_TWO_WAY_NO,	    /* flows that must have two are seen in one */
	TL_TWO_WAY_MIXED,
};
enum tl_two_way tl_facts__two_way(const struct tl_judge_facts *facts);

/* Packets this capture lost (all stages) until now. */
uint64_t tl_facts__capture_drops(const struct tl_judge_facts *facts);

#endif
