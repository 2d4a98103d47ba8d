/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tapline bench in three parts: bench_run.c measures, bench_report.c prints, bench_plot.c draws;
 * cmd_bench.c puts them together.
 */
#ifndef TAPLINE_TOOLS_BENCH_H
#define TAPLINE_TOOLS_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/traffic.h"

#define BENCH_REPEATS_MAX 64
#define BENCH_WORKERS_MAX 64
/* What all analyzers share beyond the tracker, in place of an analyzer's name. */
#define BENCH_PASS "pass"

/* Each stage does what those before it do, and one thing more. */
enum bench_stage {
	BENCH_SOURCE, /* poll alone: descriptors are made, no byte is touched */
	BENCH_DECODE,
	BENCH_FLOW,
	BENCH_TRACKER,
	BENCH_ANALYZERS,
	BENCH_RECORD_NULL, /* pcapng to /dev/null */
	BENCH_RECORD_DISK,
	BENCH_STAGES,
};

struct bench_opts {
	struct tl_traffic_opts traffic; /* of each worker, which adds its number to the seed */
	enum bench_stage stage;
	uint32_t analyzers; /* BENCH_ANALYZERS and beyond: a bit for each that is called */
	uint32_t workers;
	uint32_t repeats;	    /* at least */
	uint64_t packets;	    /* of each worker in a repeat */
	uint64_t duration_ns;	    /* repeats go on until so much time was measured; 0: no more */
	const char *disk;	    /* path of BENCH_RECORD_DISK; each worker adds its number */
	uint64_t flow_memory_bytes; /* of each worker; 0: what its flows need */
};

/* One row of the report. */
struct bench_result {
	enum bench_stage stage;
	const char *analyzer; /* BENCH_ANALYZERS: the only one; BENCH_PASS: none; NULL: all */
	uint32_t workers;
	uint32_t repeats;
	uint64_t packets; /* in all repeats, of all workers */
	uint64_t bytes;
	double ns[BENCH_REPEATS_MAX]; /* a packet and core, ascending */
	double cpu_ns;		      /* processor time a packet, median; ns is wall time */
	double cycles;		      /* a packet, median; below 0: no such counter here */
	double instructions;
	uint64_t flows;		/* alive at the end, of all workers */
	uint64_t flows_created; /* since the start */
	uint64_t observations;
};

/* 0; -EINVAL, -ENOMEM, or what the recorder said (`ret_error` in words). */
int bench__run(const struct bench_opts *opts, struct tl_error *ret_error,
	       struct bench_result *ret_result);

const char *bench__stage_name(enum bench_stage stage);
double bench__median_ns(const struct bench_result *result);
/* Of all workers together, millions a second; `ns`: one of the result's. */
double bench__mpps(const struct bench_result *result, double ns);
/* Bits of frames, without preamble, gap and check sequence. */
double bench__gbps(const struct bench_result *result);

/* 0 or -EIO. `results` in order of workers, then stages. */
int bench__plot(const struct bench_result *results, uint32_t count, const char *title, FILE *out);

#endif
