/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first pass over both files: a sample of packets, the same ones on both sides, since a packet
 * is chosen by its print. From it come the clocks, and who stands on which side.
 *
 *	print < threshold ─► sample[] ─ full ─► halve the threshold, keep those below
 *
 * Memory is fixed: SAMPLE_ROOM packets a side. One thread.
 */
#ifndef TAPLINE_COMPARE_SAMPLE_H
#define TAPLINE_COMPARE_SAMPLE_H

#include "clock.h"
#include "hosts.h"
#include "tapline/compare.h"

struct overview {
	uint64_t first_ns[2], last_ns[2]; /* by side, on its own clock */
	uint64_t packets[2];
	uint32_t longest[2];	/* frame, on the wire */
	uint32_t payload_limit; /* what both sides captured of each payload */
	bool has_clock;
	struct clock clock;
};

/* 0 or -errno with words. `ret_hosts` is filled in. */
int sample__take(const struct tl_compare_opts *opts, struct tl_error *ret_error,
		 struct overview *ret_overview, struct hosts *ret_hosts);

#endif
