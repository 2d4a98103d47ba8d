/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closed accounting. Every packet that reached the interface is in exactly one of these:
 *
 *   received = filtered + sampled_out + cut_off + captured + nic + ring_full + fill_empty + kernel
 *   captured = written + dropped.writer          (when a file is recorded)
 *
 * Counters only grow. `tl_filter` is declared here because sources name it; see filter.h.
 */
#ifndef TAPLINE_STATS_H
#define TAPLINE_STATS_H

#include <stdint.h>

struct tl_filter;

struct tl_drops {
	uint64_t nic;	     /* the NIC had no room (rx_missed, rx_fifo) */
	uint64_t ring_full;  /* our ring was full */
	uint64_t fill_empty; /* AF_XDP: no frame in the fill ring */
	uint64_t kernel; /* anything else the kernel says it dropped (redirect errors, aborts) */
};

struct tl_source_stats {
	uint64_t received; /* measured on its own where the kernel lets us, not summed up */
	uint64_t filtered;
	uint64_t sampled_out;
	uint64_t cut_off;
	uint64_t captured; /* handed to the worker, or waiting in the ring for it */
	struct tl_drops dropped;
	uint64_t received_bytes; /* wire bytes of what was captured or counted by our programs */
	uint64_t captured_bytes; /* captured length */
	uint64_t freezes;	 /* TPACKET_V3: times the queue was frozen (tp_freeze_q_cnt) */
	/* Of a file: what its capture lost, as it says itself. No part of this run's account. */
	struct tl_drops recorded;
	uint64_t end_ns; /* of a file: when its capture ended, as it says itself; 0: it does not */
};

static inline uint64_t tl_drops__total(const struct tl_drops *d)
{
	return d->nic + d->ring_full + d->fill_empty + d->kernel;
}

static inline void tl_source_stats__add(struct tl_source_stats *sum,
					const struct tl_source_stats *s)
{
	sum->end_ns = s->end_ns > sum->end_ns ? s->end_ns : sum->end_ns;
	sum->received += s->received;
	sum->filtered += s->filtered;
	sum->sampled_out += s->sampled_out;
	sum->cut_off += s->cut_off;
	sum->captured += s->captured;
	sum->dropped.nic += s->dropped.nic;
	sum->dropped.ring_full += s->dropped.ring_full;
	sum->dropped.fill_empty += s->dropped.fill_empty;
	sum->dropped.kernel += s->dropped.kernel;
	sum->recorded.nic += s->recorded.nic;
	sum->recorded.kernel += s->recorded.kernel;
	sum->received_bytes += s->received_bytes;
	sum->captured_bytes += s->captured_bytes;
	sum->freezes += s->freezes;
}

#endif
