/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From the kernel's blocks to packets, and back. Who: the poller.
 *
 *   block   │ tpacket_block_desc │ packet │ packet │ … │
 *   packet  │ tpacket3_hdr │ sockaddr_ll │ … 4 bytes … │ MAC header … snaplen bytes │
 *                                         ▲ reserved    ▲ tp_mac
 *
 * A VLAN tag that the kernel or the NIC took off is put back where it was on the wire: both
 * addresses move 4 bytes to the front, into the reserved room, and the tag goes between them and
 * the inner EtherType. That is done once, before the packet is handed out; afterwards nobody
 * writes.
 *
 *   before             │ dst 6 │ src 6 │ type │ payload          metadata: TPID, TCI
 *   after      │ dst 6 │ src 6 │ TPID TCI │ type │ payload
 *
 * Invariant: ends[b] of a closed block is the number of packets handed out when it was used up, so
 * it goes back to the kernel as soon as `released` has reached that number.
 */
#include <string.h>

#include "afpacket.h"
#include "tapline/atomic.h"

#define NS_PER_S      1000000000ull
#define MAC_ADDRESSES 12
#define TAG_BYTES     4
#define DEFAULT_TPID  0x8100

static uint32_t *status_of(const struct afpacket_ring *ring, uint64_t sequence)
{
	return &afpacket_block(ring, sequence)->hdr.bh1.block_status;
}

bool afpacket__ready(const struct afpacket *s)
{
	const struct afpacket_ring *ring = &s->ring;

	/* all blocks with us: the next one still carries the status of its last round */
	if (!ring->map || ring->next - ring->oldest == ring->block_count)
		return false;
	return tl_load_acquire(status_of(ring, ring->next)) & TP_STATUS_USER; /* R1 */
}

bool afpacket__empty(const struct afpacket *s)
{
	const struct afpacket_ring *ring = &s->ring;
	const struct tpacket_block_desc *block;

	if (!ring->map)
		return true;
	if (ring->left || ring->next - ring->oldest == ring->block_count)
		return false;
	block = afpacket_block(ring, ring->next);
	return !(tl_load_acquire(&block->hdr.bh1.block_status) & TP_STATUS_USER) &&
	       !tl_load_relaxed(&block->hdr.bh1.num_pkts);
}

static bool can_give_back(const struct afpacket_ring *ring, uint64_t released)
{
	/* an open block is the last of those with us, and not at its end */
	uint64_t closed = ring->next - (ring->left ? 1 : 0);

	return ring->oldest < closed && ring->ends[ring->oldest % ring->block_count] <= released;
}

void afpacket__recycle(struct afpacket *s)
{
	uint64_t released = tl_load_acquire(&s->base.released);
	struct afpacket_ring *ring = &s->ring;

	if (can_give_back(ring, released) && afpacket_ring__full(ring)) {
		/* now, as what was lost has its place in front of the block that gets the room */
		pthread_mutex_lock(&s->lock);
		afpacket__collect(s);
		pthread_mutex_unlock(&s->lock);
	}
	while (can_give_back(ring, released)) {
		tl_store_release(status_of(ring, ring->oldest), TP_STATUS_KERNEL); /* R2 */
		tl_store_relaxed(&ring->oldest, ring->oldest + 1);
	}
	if (s->retired.fd >= 0 && released >= s->retired_end)
		afpacket_ring__destroy(&s->retired);
}

static void put_tag_back(const struct tpacket3_hdr *header, struct tl_packet *packet)
{
	uint16_t tci = (uint16_t)header->hv1.tp_vlan_tci;
	uint16_t tpid = header->tp_status & TP_STATUS_VLAN_TPID_VALID ? header->hv1.tp_vlan_tpid
								      : DEFAULT_TPID;
	uint8_t *data = (uint8_t *)(uintptr_t)packet->data;

	packet->wirelen += TAG_BYTES;
	if (packet->caplen < MAC_ADDRESSES)
		return;
	memmove(data - TAG_BYTES, data, MAC_ADDRESSES);
	data += MAC_ADDRESSES - TAG_BYTES;
	data[0] = (uint8_t)(tpid >> 8);
	data[1] = (uint8_t)tpid;
	data[2] = (uint8_t)(tci >> 8);
	data[3] = (uint8_t)tci;
	packet->data -= TAG_BYTES;
	packet->caplen += TAG_BYTES;
}

static void describe(const struct afpacket *s, const struct tpacket3_hdr *header,
		     struct tl_packet *packet)
{
	const uint8_t *base = (const uint8_t *)header;
	const struct sockaddr_ll *link =
		(const struct sockaddr_ll *)(base + TPACKET_ALIGN(sizeof(*header)));

	*packet = (struct tl_packet){
		.data = base + header->tp_mac,
		.ts_ns = header->tp_sec * NS_PER_S + header->tp_nsec,
		.caplen = header->tp_snaplen,
		.wirelen = header->tp_len,
		.interface = s->base.interface,
		.queue = s->base.queue,
		.linktype = s->linktype,
	};
	if (header->tp_status & TP_STATUS_VLAN_VALID && s->linktype == TL_LINKTYPE_ETHERNET)
		put_tag_back(header, packet);
	if (header->tp_status & TP_STATUS_CSUMNOTREADY)
		packet->flags |= TL_PACKET_CSUM_PARTIAL;
	if (link->sll_pkttype == PACKET_OUTGOING)
		packet->flags |= TL_PACKET_OUTGOING;
}

/* Tells a loss with the first packet behind it. */
static void tell_loss(struct afpacket *s, uint64_t sequence, struct tl_packet *packet)
{
	uint64_t lost;

	pthread_mutex_lock(&s->lock);
	lost = afpacket_losses__take(&s->losses, sequence);
	pthread_mutex_unlock(&s->lock);
	if (!lost)
		return;
	packet->flags |= TL_PACKET_AFTER_LOSS;
	packet->lost_before = lost < UINT32_MAX ? (uint32_t)lost : UINT32_MAX;
}

/* False when there is none to open. */
static bool open_block(struct afpacket *s)
{
	struct afpacket_ring *ring = &s->ring;
	const struct tpacket_block_desc *block;

	if (!afpacket__ready(s))
		return false;
	block = afpacket_block(ring, ring->next);
	if (tl_load_relaxed(&block->hdr.bh1.block_status) & TP_STATUS_LOSING) {
		pthread_mutex_lock(&s->lock);
		afpacket__collect(s);
		pthread_mutex_unlock(&s->lock);
	}
	ring->left = block->hdr.bh1.num_pkts;
	ring->packet = (const uint8_t *)block + block->hdr.bh1.offset_to_first_pkt;
	ring->ends[ring->next % ring->block_count] = s->handed;
	tl_store_relaxed(&ring->next, ring->next + 1);
	return true;
}

uint32_t afpacket__read(struct afpacket *s, struct tl_packet *packets, uint32_t max)
{
	struct afpacket_ring *ring = &s->ring;
	uint64_t handed_bytes = 0, wire_bytes = 0, filtered = 0;
	uint32_t n = 0;

	while (n < max && (ring->left || open_block(s))) {
		const struct tpacket3_hdr *header = (const struct tpacket3_hdr *)ring->packet;
		struct tl_packet *packet = &packets[n];

		if (!ring->left) /* the kernel hands an empty block over only when it shuts down */
			continue;
		describe(s, header, packet);
		ring->packet += header->tp_next_offset;
		ring->left--;
		wire_bytes += packet->wirelen;
		if (s->user_filter && !tl_filter__match(s->user_filter, packet)) {
			filtered++;
		} else {
			packet->frame = s->handed + ++n;
			if (packet->caplen > s->snaplen) /* by the tag, or no program did it */
				packet->caplen = s->snaplen;
			handed_bytes += packet->caplen;
			if (tl_load_relaxed(&s->losses.first) < ring->next)
				tell_loss(s, ring->next - 1, packet);
		}
		ring->ends[(ring->next - 1) % ring->block_count] = s->handed + n;
	}
	tl_counter_add(&s->handed, n);
	tl_counter_add(&s->handed_bytes, handed_bytes);
	tl_counter_add(&s->wire_bytes, wire_bytes);
	tl_counter_add(&s->user_filtered, filtered);
	return n;
}
