/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Comparing two captures of the same traffic, taken at two points A and B of its path.
 *
 *      client ──── A ════ path in question ════ B ──── server
 *                  a_to_b ──►                ◄── b_to_a
 *
 * Packets are matched by what a path does not change. Findings (compare.*) go to the sink as they
 * are known, at the end; the comparison closes the run.
 */
#ifndef TAPLINE_COMPARE_H
#define TAPLINE_COMPARE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/record.h"
#include "tapline/source.h"

enum tl_compare_side { TL_COMPARE_A = 0, TL_COMPARE_B = 1 };
enum tl_compare_direction { TL_COMPARE_A_TO_B = 0, TL_COMPARE_B_TO_A = 1 };

struct tl_compare_opts {
	const char *path[2];  /* A, B */
	uint64_t window_ns;   /* longest time that a packet may take; 0: 2 s */
	uint32_t pending_max; /* packets held while their match may come; 0: 2 million */
	struct tl_record_sink sink;
};

struct tl_compare_delays {
	uint64_t packets;
	uint64_t min_ns, p50_ns, p90_ns, p99_ns, max_ns; /* on the common clock */
};

struct tl_comparison {
	uint64_t packets[2];	  /* read, by side */
	uint64_t not_compared[2]; /* no IP in them, or never meant to pass the other point */
	uint64_t matched;	  /* pairs, altered ones too */
	uint64_t only[2];	  /* while both captured, and no copy of another */
	uint64_t outside[2];	  /* unmatched, while the other side did not capture */
	uint64_t duplicated[2];	  /* further copies that the other side does not have */
	uint64_t lost[2];	  /* by direction: seen at the first point, not at the second */
	uint64_t missed[2];	  /* by side: seen behind it only, so its capture missed them */
	uint64_t modified;	  /* pairs whose payload differs */
	uint64_t given_up;	  /* judged too early: more were pending than memory allows */
	int64_t clock_offset_ns;  /* B's clock less A's, in the middle of the overlap */
	double clock_drift_ppm;
	bool has_clock; /* enough pairs to tell the offset */
	bool has_bound; /* packets matched both ways: the offset is within ± bound */
	uint64_t clock_bound_ns;
	bool lengths_differ; /* one side shows segments that a NIC puts together or cuts up */
	uint64_t first_ns, last_ns;	   /* the overlap, on A's clock */
	struct tl_compare_delays delay[2]; /* by direction */
};

/* 0; -errno with `ret_error` in words. `ret_comparison` is written on success. */
int tl_compare__run(const struct tl_compare_opts *opts, struct tl_error *ret_error,
		    struct tl_comparison *ret_comparison);

/* The record that closes a comparison (tl_export): a JSON line, lines for people. 0 or -errno. */
int tl_comparison__write_json(const struct tl_comparison *comparison, FILE *out);
int tl_comparison__write_text(const struct tl_comparison *comparison, FILE *out);

#endif
