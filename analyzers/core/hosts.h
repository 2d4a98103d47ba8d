/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which hosts send most: a table of fixed size that keeps the heavy ones (Space-Saving, in sets of
 * four ways, so that a packet costs four comparisons whatever comes).
 *
 *	hash(address) ─► set │ mark │ mark │ mark │ mark │ weights │ host │ host │ host │ host │
 *
 * A host that is not in a full set takes the place of the lightest one and inherits its weight, not
 * its counts: counts are therefore exact for a host that stayed, and a lower bound otherwise. With
 * far more hosts than places most packets find none: so what is searched lies together, apart from
 * what is counted. Not thread-safe; no allocation.
 */
#ifndef TAPLINE_ANALYZERS_HOSTS_H
#define TAPLINE_ANALYZERS_HOSTS_H

#include "core/address.h"
#include "core/text.h"
#include "core/ways.h"

/* What one host sent. */
struct tl_host {
	struct tl_endpoint address; /* port 0 */
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

struct tl_hosts_set {
	struct tl_ways ways;
	struct tl_host host[TL_WAYS];
};

struct tl_hosts_place {
	struct tl_host *host;
	uint64_t *weight; /* by which it keeps its place */
};

/* Of its hash, what finds a host: its set, and most likely its way. */
static inline uint32_t tl_hosts__mark(const struct tl_address *address)
{
	return (uint32_t)tl_text__hash(address->ip_version, address->ip, sizeof(address->ip));
}

static inline bool tl_host__is(const struct tl_host *host, const struct tl_address *address)
{
	const struct tl_address a = tl_address__of_endpoint(&host->address);

	return tl_address__same(&a, address);
}

/* The host's place, given to it if need be. `set_count`: a power of two. */
static inline struct tl_hosts_place tl_hosts__get(struct tl_hosts_set *sets, uint32_t set_count,
						  uint32_t mark, const struct tl_address *address)
{
	struct tl_hosts_set *set = &sets[mark & (set_count - 1)];
	uint32_t way, found;

	for (found = tl_ways__find(&set->ways, mark); found; found &= found - 1) {
		way = (uint32_t)__builtin_ctz(found);
		if (tl_host__is(&set->host[way], address))
			return (struct tl_hosts_place){ &set->host[way], &set->ways.weight[way] };
	}
	way = tl_ways__lightest(&set->ways);
	set->ways.mark[way] = mark;
	set->host[way] = (struct tl_host){ .address = tl_address__endpoint(address, 0) };
	return (struct tl_hosts_place){ &set->host[way], &set->ways.weight[way] };
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
