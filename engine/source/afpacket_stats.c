/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The accounting of one AF_PACKET socket, and the stop that lets it close.
 *
 *   seen by the filter program ─┬─ not kept ────────────────────► filtered
 *                               └─ kept = tp_packets ─┬─ tp_drops ─► dropped.ring_full
 *                                                     └───────────► captured
 *   the NIC's own drops ────────────────────────────────────────► dropped.nic (first queue only)
 *
 * `received` is what the program saw and the NIC dropped: measured apart from what it must equal.
 * Where the kernel takes no program, tp_packets stands for it and the filter runs in user space.
 * While packets flow, one may be on its way between two counters; after stop they close.
 */
#include <errno.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "afpacket.h"
#include "tapline/atomic.h"
#include "tapline/link.h"
#include "tl_abi.h"

static void collect_nic(struct afpacket *s)
{
	uint64_t now;

	/* one for each interface: its first source speaks for all */
	if (s->base.queue || s->stopped || tl_link__nic_drops(s->name, &now))
		return;
	/* a counter that went back is a new interface's */
	s->totals.nic += now >= s->totals.nic_last ? now - s->totals.nic_last : now;
	s->totals.nic_last = now;
}

void afpacket__collect(struct afpacket *s)
{
	struct tpacket_stats_v3 stats;
	socklen_t length = sizeof(stats);
	uint64_t closed;

	if (!s->ring.map)
		return;
	closed = afpacket_ring__open_block(&s->ring, s->losses.closed);
	if (getsockopt(s->ring.fd, SOL_PACKET, PACKET_STATISTICS, &stats, &length))
		return;
	s->totals.packets += stats.tp_packets;
	s->totals.drops += stats.tp_drops;
	s->totals.freezes += stats.tp_freeze_q_cnt;
	afpacket_losses__add(&s->losses, &s->ring, stats.tp_drops, closed);
}

/* Sums up under the lock. */
static void sum_up(struct afpacket *s, struct tl_source_stats *stats)
{
	uint64_t filtered = tl_load_relaxed(&s->user_filtered);
	struct tl_filter_count count;
	bool counted;

	afpacket__collect(s);
	collect_nic(s);
	counted = afpacket_filter__count(s, &count);
	stats->dropped.ring_full = s->totals.drops;
	stats->dropped.nic = s->totals.nic;
	stats->freezes = s->totals.freezes;
	stats->captured = s->totals.packets - s->totals.drops - filtered;
	stats->captured_bytes = tl_load_relaxed(&s->handed_bytes);
	if (!counted) {
		stats->received = s->totals.packets + s->totals.nic;
		stats->received_bytes = tl_load_relaxed(&s->wire_bytes);
		stats->filtered = filtered;
		return;
	}
	stats->received = count.seen + s->totals.nic;
	stats->received_bytes = count.seen_bytes;
	stats->filtered = count.seen - count.kept;
	/* let through by the filter, yet never offered to the ring: only final when nothing moves
	 */
	if (s->stopped && count.kept > s->totals.packets)
		stats->dropped.kernel = count.kept - s->totals.packets;
}

int afpacket__stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct afpacket *s = (struct afpacket *)source;
	struct tl_source_stats stats = { 0 };

	pthread_mutex_lock(&s->lock);
	sum_up(s, &stats);
	pthread_mutex_unlock(&s->lock);
	*ret_stats = stats;
	return 0;
}

/*
 * Waits until every packet that met the old filter has passed it. The kernel hands packets over
 * inside a read-side section of RCU, and this call waits for all of them.
 */
static void wait_for_packets_in_flight(void)
{
	const struct timespec moment = { .tv_nsec = 20 * (long)NS_PER_MS };

	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		nanosleep(&moment, NULL);
}

int afpacket__stop(struct tl_source *source)
{
	struct afpacket *s = (struct afpacket *)source;
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->stopped) {
		err = s->ring.fd >= 0 ? afpacket_filter__reject(s->ring.fd) : 0;
		if (!err) {
			wait_for_packets_in_flight();
			afpacket__collect(s);
			collect_nic(s);
			s->stopped = true;
		}
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

uint64_t afpacket__outstanding(struct afpacket *s)
{
	uint64_t queued = 0;

	pthread_mutex_lock(&s->lock);
	if (s->stopped)
		queued = s->totals.packets - s->totals.drops - s->handed - s->user_filtered;
	pthread_mutex_unlock(&s->lock);
	return queued;
}
