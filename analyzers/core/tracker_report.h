/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tracker tells the judges (facts.h): hosts first seen sending, its totals, and proof of
 * what the capture missed. Used by the tracker alone.
 *
 * Hosts are collected and handed on in one observation when there are enough of them or at the next
 * tick. A cache of the addresses told last keeps it to about one mention a host. Hosts that so far
 * only sent SYNs (a flood has millions of them) have a budget for each tick of packet time.
 */
#ifndef TAPLINE_ANALYZERS_TRACKER_REPORT_H
#define TAPLINE_ANALYZERS_TRACKER_REPORT_H

#include "core/facts.h"

#define TL_REPORT_CACHE	     4096u /* addresses told last */
#define TL_REPORT_SYN_BUDGET 256u  /* hosts that only sent a SYN, told between two ticks */

struct tl_report {
	tl_emit_fn *emit;
	void *emit_ctx;
	uint16_t worker;
	uint8_t round;	    /* grows with each tick; never 0 */
	uint32_t syn_hosts; /* since the last tick */
	struct tl_core_hosts hosts;
	struct tl_core_missed_list missed; /* not handed on yet */
	uint32_t missed_told;
	struct tl_tracker_totals told;
	uint64_t cache[TL_REPORT_CACHE]; /* hashes of addresses; 0: none */
};

void tl_report__init(struct tl_report *report, const struct tl_analysis_worker_opts *opts);

struct tl_report_host {
	const uint8_t *ip;
	uint8_t ip_version;
	bool only_syn;
};
/* True when it is told, so that nothing need be asked of it again in this round. */
bool tl_report__host(struct tl_report *report, const struct tl_report_host *host, uint64_t ts_ns);

/* Proof that the capture missed bytes; the first few are handed on. */
void tl_report__missed(struct tl_report *report, const struct tl_core_missed *missed);

/* Hands on what is new since the last time. */
void tl_report__flush(struct tl_report *report, const struct tl_tracker_totals *totals,
		      uint64_t now_ns);

#endif
