/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tapline/census.h. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "tapline/census.h"

/*
 * Distinct counts need the same hash in every worker and every run: a file's report is always the
 * same. Who aims at it can falsify an estimate, nothing else.
 */
#define DISTINCT_SEED 0x7461706c696e6521ull

struct tl_census {
	uint64_t packets, bytes;
	uint64_t no_flow_packets;
	struct tl_census_fragments fragments;
	uint64_t first_ns, last_ns;
	uint64_t flows;
	struct tl_topk *top[TL_CENSUS_TOPS];
	struct tl_distinct distinct[TL_CENSUS_DISTINCTS];
	struct tl_histogram spread[TL_CENSUS_SPREADS];
};

int tl_census__create(struct tl_census **ret_census)
{
	struct tl_census *census = calloc(1, sizeof(*census));
	int err = census ? 0 : -ENOMEM;

	for (int i = 0; i < TL_CENSUS_TOPS && !err; i++)
		err = tl_topk__create(TL_CENSUS_CAPACITY, &census->top[i]);
	if (err)
		tl_census__destroy(census);
	else
		*ret_census = census;
	return err;
}

void tl_census__destroy(struct tl_census *census)
{
	if (!census)
		return;
	for (int i = 0; i < TL_CENSUS_TOPS; i++)
		tl_topk__destroy(census->top[i]);
	free(census);
}

static void count_fragment(struct tl_census_fragments *count, const struct tl_flow_lookup *lookup)
{
	uint8_t flags = lookup->ret_fragment;

	count->packets++;
	count->no_flow += !lookup->ret_flow;
	count->duplicate += !!(flags & TL_FRAGMENT_DUPLICATE);
	count->overlap += !!(flags & TL_FRAGMENT_OVERLAP);
	count->tiny += !!(flags & TL_FRAGMENT_TINY);
	count->invalid += !!(flags & TL_FRAGMENT_INVALID);
}

void tl_census__packets(struct tl_census *census, const struct tl_flow_lookup *lookups, uint32_t n)
{
	struct tl_histogram *sizes = &census->spread[TL_CENSUS_PACKET_BYTES];

	for (uint32_t i = 0; i < n; i++) {
		const struct tl_packet *packet = lookups[i].packet;

		tl_histogram__add(sizes, packet->wirelen);
		census->bytes += packet->wirelen;
		census->no_flow_packets += !lookups[i].ret_flow;
		if (__builtin_expect(lookups[i].ret_fragment, 0))
			count_fragment(&census->fragments, &lookups[i]);
		if (packet->ts_ns > census->last_ns)
			census->last_ns = packet->ts_ns;
		if (packet->ts_ns < census->first_ns || !census->first_ns)
			census->first_ns = packet->ts_ns;
	}
	census->packets += n;
}

static uint64_t hash_key(const struct tl_sketch_key *key)
{
	return tl_sketch__hash(key->word, TL_SKETCH_KEY_WORDS, DISTINCT_SEED);
}

static void count_sides(struct tl_census *census, const struct tl_flow *flow)
{
	const struct tl_flow_key *k = &flow->key;

	for (int side = 0; side < 2; side++) {
		struct tl_sketch_key key = tl_sketch_key__of_ip(k->ip_version, k->addr[side]);
		uint64_t hash = hash_key(&key);

		if (flow->packets[side]) {
			tl_topk__add(census->top[TL_CENSUS_BYTES], &key, flow->bytes[side]);
			tl_topk__add(census->top[TL_CENSUS_PACKETS], &key, flow->packets[side]);
			tl_distinct__add(&census->distinct[TL_CENSUS_SOURCES], hash);
		}
		if (flow->packets[!side])
			tl_distinct__add(&census->distinct[TL_CENSUS_DESTINATIONS], hash);
		if (side == flow->client &&
		    (k->proto != IPPROTO_TCP || !(flow->flags & TL_FLOW_MIDSTREAM)))
			tl_topk__add(census->top[TL_CENSUS_CONNECTIONS], &key, 1);
	}
}

void tl_census__flow(struct tl_census *census, const struct tl_flow *flow)
{
	struct tl_histogram *spread = census->spread;
	uint64_t tuple[sizeof(flow->key) / sizeof(uint64_t)];

	census->flows++;
	memcpy(tuple, &flow->key, sizeof(tuple));
	tl_distinct__add(&census->distinct[TL_CENSUS_TUPLES],
			 tl_sketch__hash(tuple, sizeof(tuple) / sizeof(*tuple), DISTINCT_SEED));
	count_sides(census, flow);
	tl_histogram__add(&spread[TL_CENSUS_FLOW_BYTES], flow->bytes[0] + flow->bytes[1]);
	tl_histogram__add(&spread[TL_CENSUS_FLOW_PACKETS], flow->packets[0] + flow->packets[1]);
	tl_histogram__add(&spread[TL_CENSUS_FLOW_DURATION_US],
			  flow->last_ns > flow->first_ns ? (flow->last_ns - flow->first_ns) / 1000
							 : 0);
	if (flow->rtt_server_us)
		tl_histogram__add(&spread[TL_CENSUS_RTT_SERVER_US], flow->rtt_server_us);
	if (flow->rtt_client_us)
		tl_histogram__add(&spread[TL_CENSUS_RTT_CLIENT_US], flow->rtt_client_us);
}

static void merge_fragments(struct tl_census_fragments *count,
			    const struct tl_census_fragments *from)
{
	count->packets += from->packets;
	count->no_flow += from->no_flow;
	count->duplicate += from->duplicate;
	count->overlap += from->overlap;
	count->tiny += from->tiny;
	count->invalid += from->invalid;
}

int tl_census__merge(struct tl_census *census, const struct tl_census *from)
{
	int err = 0;

	for (int i = 0; i < TL_CENSUS_TOPS && !err; i++)
		err = tl_topk__merge(census->top[i], from->top[i]);
	if (err)
		return err;
	for (int i = 0; i < TL_CENSUS_DISTINCTS; i++)
		tl_distinct__merge(&census->distinct[i], &from->distinct[i]);
	for (int i = 0; i < TL_CENSUS_SPREADS; i++)
		tl_histogram__merge(&census->spread[i], &from->spread[i]);
	census->packets += from->packets;
	census->bytes += from->bytes;
	census->no_flow_packets += from->no_flow_packets;
	merge_fragments(&census->fragments, &from->fragments);
	census->flows += from->flows;
	if (from->last_ns > census->last_ns)
		census->last_ns = from->last_ns;
	if (from->packets && (from->first_ns < census->first_ns || !census->first_ns))
		census->first_ns = from->first_ns;
	return 0;
}

/* One that is mostly error is no heavy hitter: it came last to a list with no room for it. */
static uint32_t report_top(const struct tl_topk *topk, struct tl_census_heavy *ret_top)
{
	struct tl_topk_item item[TL_CENSUS_TOP];
	uint32_t n = tl_topk__list(topk, item, TL_CENSUS_TOP), kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct tl_census_heavy heavy = {
			.ip_version = (uint8_t)item[i].key.word[2],
			.weight = item[i].weight,
			.error = item[i].error,
		};

		memcpy(heavy.ip, item[i].key.word, sizeof(heavy.ip));
		if (heavy.error <= heavy.weight / 2)
			ret_top[kept++] = heavy;
	}
	return kept;
}

static struct tl_census_quantiles report_spread(const struct tl_histogram *h)
{
	return (struct tl_census_quantiles){
		.count = h->count,
		.min = h->min,
		.max = h->max,
		.mean = h->count ? (double)h->sum / (double)h->count : 0,
		.p50 = tl_histogram__quantile(h, 0.5),
		.p90 = tl_histogram__quantile(h, 0.9),
		.p99 = tl_histogram__quantile(h, 0.99),
	};
}

void tl_census__report(const struct tl_census *census, struct tl_census_report *ret_report)
{
	struct tl_census_report *r = ret_report;

	*r = (struct tl_census_report){
		.packets = census->packets,
		.bytes = census->bytes,
		.no_flow_packets = census->no_flow_packets,
		.fragments = census->fragments,
		.first_ns = census->first_ns,
		.last_ns = census->last_ns,
		.flows = census->flows,
	};
	for (int i = 0; i < TL_CENSUS_TOPS; i++) {
		r->total[i] = tl_topk__total(census->top[i]);
		r->count[i] = report_top(census->top[i], r->top[i]);
	}
	for (int i = 0; i < TL_CENSUS_DISTINCTS; i++)
		r->distinct[i] = tl_distinct__estimate(&census->distinct[i]);
	for (int i = 0; i < TL_CENSUS_SPREADS; i++)
		r->spread[i] = report_spread(&census->spread[i]);
}
