/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which hosts send most: a table of fixed size that keeps the heavy ones (Space-Saving, in sets of
 * four ways, so that a packet costs four comparisons whatever comes).
 *
 *	hash(address) ─► set │ way │ way │ way │ way │
 *
 * A host that is not in a full set takes the place of the lightest one and inherits its weight, not
 * its counts: counts are therefore exact for a host that stayed, and a lower bound otherwise.
 * Not thread-safe; no allocation.
 */
#ifndef TAPLINE_ANALYZERS_HOSTS_H
#define TAPLINE_ANALYZERS_HOSTS_H

#include "core/text.h"

#define TL_HOSTS_WAYS 4u

/* What one host sent. */
struct tl_host {
	struct tl_endpoint address; /* port 0 */
	uint64_t weight;	    /* by which it keeps its place */
	uint64_t bytes;		    /* frames on the wire */
	uint64_t packets;
	uint64_t payload_bytes;
	uint64_t first_frame, first_ns;
	/* New connections that it began, and the service that most of them went to. */
	uint64_t connections;
	uint64_t syn_frame, syn_ns; /* the first of them */
	struct tl_endpoint target;
	uint64_t target_lead; /* majority vote: how far it leads; at most its true count */
};

/* The host's entry, made if need be, never NULL. `set_count`: a power of two. */
static inline struct tl_host *tl_hosts__get(struct tl_host *hosts, uint32_t set_count,
					    const struct tl_endpoint *address)
{
	uint64_t hash = tl_text__hash(address->ip_version, address->ip, 16);
	struct tl_host *set = &hosts[(hash & (set_count - 1)) * TL_HOSTS_WAYS];
	struct tl_host *lightest = set;

	for (uint32_t i = 0; i < TL_HOSTS_WAYS; i++) {
		if (tl_endpoint__same_host(&set[i].address, address))
			return &set[i];
		if (set[i].weight < lightest->weight)
			lightest = &set[i];
	}
	*lightest = (struct tl_host){ .address = *address, .weight = lightest->weight };
	lightest->address.port = 0;
	return lightest;
}

/* `n` connections to `target` (Boyer and Moore's majority vote, weighted). */
static inline void tl_host__vote(struct tl_host *host, const struct tl_endpoint *target, uint64_t n)
{
	if (host->target.port == target->port && tl_endpoint__same_host(&host->target, target)) {
		host->target_lead += n;
	} else if (host->target_lead >= n) {
		host->target_lead -= n;
	} else {
		host->target = *target;
		host->target_lead = n - host->target_lead;
	}
}

#endif
