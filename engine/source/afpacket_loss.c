/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in the packets a loss belongs. Who: whoever reads the kernel's counters, under the lock.
 *
 * The kernel only sums up what it drops, until it is asked; it drops at two places:
 *
 *   ring full      │ b │ b+1 │ … │ end-1 │ ╳╳╳ │ end        all blocks are with us; `end` takes the
 *                                          ▲                room of the oldest, once that is back
 *   between blocks │ b │ ╳ │ b+1 │                          the kernel's timer closes b just as a
 *                        ▲                                  packet comes: one packet, rarely
 *
 * A block that closes while dropped packets are not asked for yet is marked TP_STATUS_LOSING. So
 * the first marked block that was still open at the last reading has a loss before it, though not
 * how many. A ring that was full can only get room by our giving a block back: the counters are
 * read then (afpacket__recycle), and each time that it filled up has a sum of its own. When both
 * fall into one reading, one packet is taken for the marked block, the rest for the full ring. The
 * sum is exact always.
 */
#include "afpacket.h"
#include "tapline/atomic.h"

static uint32_t status_of(const struct afpacket_ring *ring, uint64_t sequence)
{
	return tl_load_acquire(&afpacket_block(ring, sequence)->hdr.bh1.block_status);
}

static uint64_t end_of(const struct afpacket_ring *ring)
{
	return tl_load_relaxed(&ring->oldest) + ring->block_count;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool afpacket_ring__full(const struct afpacket_ring *ring)
{
	uint64_t end = end_of(ring);

	return tl_load_relaxed(&ring->next) == end || status_of(ring, end - 1) & TP_STATUS_USER;
}

uint64_t afpacket_ring__open_block(const struct afpacket_ring *ring, uint64_t from)
{
	uint64_t end = end_of(ring);
	uint64_t block = later(from, tl_load_relaxed(&ring->next));

	while (block < end && status_of(ring, block) & TP_STATUS_USER)
		block++;
	return block;
}

/* The first block closed since the last reading that is marked, else the one being filled. */
static uint64_t marked_block(const struct afpacket_losses *losses, const struct afpacket_ring *ring)
{
	uint64_t end = end_of(ring);
	uint64_t block = later(losses->closed, tl_load_relaxed(&ring->next));

	for (; block < end; block++) {
		uint32_t status = status_of(ring, block);

		if (!(status & TP_STATUS_USER) || status & TP_STATUS_LOSING)
			break;
	}
	return block;
}

static void note(struct afpacket_losses *losses, uint64_t block, uint64_t packets)
{
	uint32_t last = losses->count - 1;

	if (losses->count &&
	    (losses->count == LOSS_PLACES || losses->places[last].block >= block)) {
		losses->places[last].packets += packets;
		return;
	}
	losses->places[losses->count].block = block;
	losses->places[losses->count].packets = packets;
	losses->count++;
	tl_store_relaxed(&losses->first, losses->places[0].block);
}

void afpacket_losses__add(struct afpacket_losses *losses, const struct afpacket_ring *ring,
			  uint64_t drops, uint64_t closed)
{
	uint64_t end = end_of(ring);
	uint64_t marked;

	if (drops) {
		marked = marked_block(losses, ring);
		if (marked < end && drops > 1 && afpacket_ring__full(ring)) {
			note(losses, marked, 1);
			note(losses, end, drops - 1);
		} else {
			note(losses, marked, drops);
		}
	}
	losses->closed = closed;
}

uint64_t afpacket_losses__take(struct afpacket_losses *losses, uint64_t sequence)
{
	uint64_t packets = 0;
	uint32_t taken = 0;

	while (taken < losses->count && losses->places[taken].block <= sequence)
		packets += losses->places[taken++].packets;
	losses->count -= taken;
	for (uint32_t i = 0; i < losses->count; i++)
		losses->places[i] = losses->places[i + taken];
	tl_store_relaxed(&losses->first, losses->count ? losses->places[0].block : UINT64_MAX);
	return packets;
}

void afpacket_losses__restart(struct afpacket_losses *losses)
{
	uint64_t untold = afpacket_losses__take(losses, UINT64_MAX);

	losses->closed = 0;
	if (untold)
		note(losses, 0, untold);
}
