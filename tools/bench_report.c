/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the figures of tapline bench are called, and what follows from them. */
#include "bench.h"

const char *bench__stage_name(enum bench_stage stage)
{
	static const char *const names[BENCH_STAGES] = {
		[BENCH_SOURCE] = "source",
		[BENCH_DECODE] = "+decode",
		[BENCH_FLOW] = "+flow",
		[BENCH_TRACKER] = "+tracker",
		[BENCH_ANALYZERS] = "+analyzers",
		[BENCH_RECORD_NULL] = "+record to null",
		[BENCH_RECORD_DISK] = "+record to disk",
	};

	return names[stage];
}

double bench__median_ns(const struct bench_result *r)
{
	uint32_t half = r->repeats / 2;

	return r->repeats % 2 ? r->ns[half] : (r->ns[half - 1] + r->ns[half]) / 2;
}

double bench__mpps(const struct bench_result *r, double ns)
{
	return ns > 0 ? 1e3 * r->workers / ns : 0;
}

double bench__gbps(const struct bench_result *r)
{
	double bytes = r->packets ? (double)r->bytes / (double)r->packets : 0;

	return bench__mpps(r, bench__median_ns(r)) * bytes * 8 / 1e3;
}
