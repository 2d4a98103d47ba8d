/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See facts.h. Called by the judge's thread alone.
 *
 * Hosts that send lie in a table of fixed size; an address may stand in PROBES slots from its hash
 * on. When all are taken the first is overwritten: with more hosts than slots, the ones seen last
 * are known.
 *
 *   hash ─► | host | host |  -   | host | …    PROBES slots
 */
#include "core/facts.h"
#include "core/written.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/engine.h"

#define HOSTS  (1u << 16)
#define PROBES 8u

struct host {
	uint8_t ip_version;
	uint8_t ip[16];
};

struct tl_judge_facts {
	struct tl_tracker_totals worker[TL_WORKERS_MAX];
	struct tl_tracker_totals sum;
	struct tl_core_missed_list missed;
	uint64_t capture_drops;
	uint64_t written[TL_WRITTEN_WORDS(HOSTS)];
	struct host host[HOSTS];
};

int tl_facts__create(struct tl_judge_facts **ret_facts)
{
	struct tl_judge_facts *facts = calloc(1, sizeof(*facts));

	if (!facts)
		return -ENOMEM;
	*ret_facts = facts;
	return 0;
}

void tl_facts__destroy(struct tl_judge_facts *facts)
{
	free(facts);
}

static uint32_t slot_of(uint8_t ip_version, const uint8_t ip[16])
{
	uint64_t a, b;

	memcpy(&a, ip, 8);
	memcpy(&b, ip + 8, 8);
	if (ip_version == 4)
		b = 0, a &= 0xffffffffu;
	a = (a ^ (b << 29 | b >> 35)) * 0x9e3779b97f4a7c15u;
	return (uint32_t)(a >> 48);
}

static bool same_host(const struct host *host, uint8_t ip_version, const uint8_t ip[16])
{
	return host->ip_version == ip_version && !memcmp(host->ip, ip, ip_version == 4 ? 4 : 16);
}

static bool is_at(const struct tl_judge_facts *facts, uint32_t place, uint8_t ip_version,
		  const uint8_t ip[16])
{
	return tl_written__has(facts->written, place) &&
	       same_host(&facts->host[place], ip_version, ip);
}

static void add_host(struct tl_judge_facts *facts, uint8_t ip_version, const uint8_t ip[16])
{
	const uint32_t slot = slot_of(ip_version, ip);
	uint32_t place = slot % HOSTS;

	for (uint32_t i = 0; i < PROBES; i++) {
		const uint32_t probe = (slot + i) % HOSTS;

		if (is_at(facts, probe, ip_version, ip))
			return;
		if (!tl_written__has(facts->written, probe)) {
			place = probe;
			break;
		}
	}
	tl_written__add(facts->written, place);
	facts->host[place].ip_version = ip_version;
	memcpy(facts->host[place].ip, ip, sizeof(facts->host[place].ip));
}

static void observe_hosts(struct tl_judge_facts *facts, const struct tl_observation *observation)
{
	struct tl_core_hosts hosts;

	if (observation->data_bytes != sizeof(hosts))
		return;
	memcpy(&hosts, observation->data, sizeof(hosts));
	for (uint32_t i = 0; i < hosts.count && i < TL_CORE_HOSTS_MAX; i++)
		if (hosts.ip_version[i] == 4 || hosts.ip_version[i] == 6)
			add_host(facts, hosts.ip_version[i], hosts.ip[i]);
}

/* A worker says all it counted each time, so the sum changes by the difference. */
static void observe_totals(struct tl_judge_facts *facts, const struct tl_observation *observation)
{
	struct tl_tracker_totals *old = &facts->worker[observation->worker % TL_WORKERS_MAX];
	uint64_t now[sizeof(*old) / sizeof(uint64_t)], was[sizeof(*old) / sizeof(uint64_t)];
	uint64_t sum[sizeof(*old) / sizeof(uint64_t)];

	if (observation->data_bytes != sizeof(*old))
		return;
	memcpy(now, observation->data, sizeof(now));
	memcpy(was, old, sizeof(was));
	memcpy(sum, &facts->sum, sizeof(sum));
	for (size_t i = 0; i < sizeof(sum) / sizeof(sum[0]); i++)
		sum[i] += now[i] - was[i];
	memcpy(&facts->sum, sum, sizeof(sum));
	memcpy(old, now, sizeof(now));
}

static void observe_missed(struct tl_judge_facts *facts, const struct tl_observation *observation)
{
	struct tl_core_missed_list *known = &facts->missed;
	struct tl_core_missed_list list;

	if (observation->data_bytes != sizeof(list))
		return;
	memcpy(&list, observation->data, sizeof(list));
	for (uint32_t i = 0; i < list.count && i < TL_CORE_MISSED_MAX; i++) {
		uint32_t at = known->count, kept = known->count;

		while (at > 0 && known->item[at - 1].ts_ns > list.item[i].ts_ns)
			at--;
		if (at == TL_CORE_MISSED_MAX)
			continue;
		kept -= kept == TL_CORE_MISSED_MAX;
		memmove(&known->item[at + 1], &known->item[at],
			(kept - at) * sizeof(known->item[0]));
		known->item[at] = list.item[i];
		known->count = kept + 1;
	}
}

void tl_facts__observe(struct tl_judge_facts *facts, const struct tl_observation *observation)
{
	if (observation->analyzer != TL_OBSERVATION_CORE)
		return;
	if (observation->kind == TL_CORE_HOSTS)
		observe_hosts(facts, observation);
	else if (observation->kind == TL_CORE_TOTALS)
		observe_totals(facts, observation);
	else if (observation->kind == TL_CORE_MISSED)
		observe_missed(facts, observation);
}

void tl_facts__set_totals(struct tl_judge_facts *facts, const struct tl_run_totals *totals)
{
	facts->capture_drops = tl_drops__total(&totals->source.dropped) +
			       tl_drops__total(&totals->source.recorded) + totals->dropped_writer;
}

bool tl_facts__host_sends(const struct tl_judge_facts *facts, const struct tl_endpoint *host)
{
	uint32_t slot = slot_of(host->ip_version, host->ip);

	for (uint32_t i = 0; i < PROBES; i++)
		if (is_at(facts, (slot + i) % HOSTS, host->ip_version, host->ip))
			return host->ip_version != 0;
	return false;
}

enum tl_two_way tl_facts__two_way(const struct tl_judge_facts *facts)
{
	uint64_t one = facts->sum.one_way_flows;
	uint64_t two = facts->sum.two_way_flows;

	if (!one && !two)
		return TL_TWO_WAY_UNKNOWN;
	/* A few flows of the other sort are a route of their own, not the mirror's nature. */
	if (one <= two / 20)
		return TL_TWO_WAY_YES;
	return two <= one / 20 ? TL_TWO_WAY_NO : TL_TWO_WAY_MIXED;
}

void tl_facts__tracker_totals(const struct tl_judge_facts *facts,
			      struct tl_tracker_totals *ret_totals)
{
	*ret_totals = facts->sum;
}

const struct tl_core_missed_list *tl_facts__missed(const struct tl_judge_facts *facts)
{
	return &facts->missed;
}

uint64_t tl_facts__capture_drops(const struct tl_judge_facts *facts)
{
	return facts->capture_drops;
}
