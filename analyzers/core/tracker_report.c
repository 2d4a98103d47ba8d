/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tracker_report.h. What the ring refuses is told again with the next flush. */
#include "core/tracker_report.h"

#include <string.h>

void tl_report__init(struct tl_report *report, const struct tl_analysis_worker_opts *opts)
{
	report->emit = opts->emit;
	report->emit_ctx = opts->emit_ctx;
	report->worker = opts->worker;
	report->round = 1;
}

static bool emit(const struct tl_report *report, uint16_t kind, const void *data, uint64_t now_ns)
{
	size_t bytes = kind == TL_CORE_HOSTS	? sizeof(struct tl_core_hosts)
		       : kind == TL_CORE_TOTALS ? sizeof(struct tl_tracker_totals)
						: sizeof(struct tl_core_missed_list);
	struct tl_observation observation;

	if (!report->emit)
		return true;
	memset(&observation, 0, offsetof(struct tl_observation, data));
	observation.analyzer = TL_OBSERVATION_CORE;
	observation.kind = kind;
	observation.worker = report->worker;
	observation.data_bytes = (uint16_t)bytes;
	observation.ts_ns = now_ns;
	memcpy(observation.data, data, bytes);
	return report->emit(report->emit_ctx, &observation);
}

static void next_round(struct tl_report *report)
{
	report->round = report->round < UINT8_MAX ? report->round + 1 : 1;
}

static void flush_hosts(struct tl_report *report, uint64_t now_ns)
{
	if (!report->hosts.count)
		return;
	/* Refused: forget that they were told, so that their next packet tells them again. */
	if (!emit(report, TL_CORE_HOSTS, &report->hosts, now_ns)) {
		memset(report->cache, 0, sizeof(report->cache));
		next_round(report);
	}
	memset(&report->hosts, 0, sizeof(report->hosts));
}

static uint64_t hash_of(const struct tl_report_host *host)
{
	uint64_t a = 0, b = 0;

	if (host->ip_version == 4) {
		memcpy(&a, host->ip, 4);
	} else {
		memcpy(&a, host->ip, 8);
		memcpy(&b, host->ip + 8, 8);
	}
	a = (a ^ 0x2545f4914f6cdd1du) * 0x9e3779b97f4a7c15u;
	a = (a ^ a >> 32 ^ b) * 0xd6e8feb86659fd93u;
	return (a ^ a >> 29) | 1;
}

bool tl_report__host(struct tl_report *report, const struct tl_report_host *host, uint64_t ts_ns)
{
	uint64_t hash = hash_of(host);
	uint64_t *cached = &report->cache[hash >> 40 & (TL_REPORT_CACHE - 1)];
	uint32_t i = report->hosts.count;

	if (*cached == hash)
		return true;
	if (host->only_syn && report->syn_hosts++ >= TL_REPORT_SYN_BUDGET)
		return false;
	*cached = hash;
	report->hosts.ip_version[i] = host->ip_version;
	memcpy(report->hosts.ip[i], host->ip, host->ip_version == 4 ? 4 : 16);
	report->hosts.count = i + 1;
	if (report->hosts.count == TL_CORE_HOSTS_MAX)
		flush_hosts(report, ts_ns);
	return *cached == hash;
}

void tl_report__missed(struct tl_report *report, const struct tl_core_missed *missed)
{
	if (report->missed_told + report->missed.count < TL_CORE_MISSED_MAX)
		report->missed.item[report->missed.count++] = *missed;
}

static void flush_missed(struct tl_report *report, uint64_t now_ns)
{
	if (!report->missed.count || !emit(report, TL_CORE_MISSED, &report->missed, now_ns))
		return;
	report->missed_told += report->missed.count;
	memset(&report->missed, 0, sizeof(report->missed));
}

void tl_report__flush(struct tl_report *report, const struct tl_tracker_totals *totals,
		      uint64_t now_ns)
{
	flush_hosts(report, now_ns);
	flush_missed(report, now_ns);
	report->syn_hosts = 0;
	next_round(report);
	if (!memcmp(&report->told, totals, sizeof(*totals)))
		return;
	if (emit(report, TL_CORE_TOTALS, totals, now_ns))
		report->told = *totals;
}
