/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Holes in what the tap saw of a direction, and when one is the capture's own loss: the receiver
 * has the bytes, and they did not come by within max(3·SRTT, 1 s). Where the receiver is not shown,
 * that the sender goes on for so long without sending them again says the same: it would stop
 * sooner if they were not ACKed (RFC 6298). See tracker_tcp.h.
 */
#include "core/tracker_tcp.h"

#define MISSED_AFTER_NS 1000000000ull
#define UNHEARD_NS	200000000ull /* at a flow's end: Linux' least RTO */
#define UNHEARD_MOST	(1u << 22)   /* bytes; of a larger gap nothing is known */
#define MSS_USUAL	1460u

static void count_missed(struct tl_look *look, struct tl_direction *d, uint32_t bytes,
			 const struct tl_range *hole)
{
	uint32_t segment = d->largest ? d->largest : MSS_USUAL;

	if (!bytes)
		return;
	d->pending_missed += bytes;
	look->totals->missed_bytes += bytes;
	/* Rare enough for a division. */
	look->totals->missed_segments += (bytes + segment - 1) / segment;
	if (hole)
		tl_report__missed(look->report, &(struct tl_core_missed){ .frame = hole->frame,
									  .ts_ns = hole->born_ns,
									  .bytes = bytes });
}

/*
 * The last unit below next_seq takes sequence space, but may be a FIN that was missed too. That is
 * known when bytes follow (it was one) or at the end of the flow.
 */
static void settle(struct tl_look *look, struct tl_direction *d, const struct tl_range *hole)
{
	uint32_t bytes = hole->end - hole->start;

	if (hole->end == d->next_seq && !tl_direction__is(d, TL_DIRECTION_FIN)) {
		d->flags |= TL_DIRECTION_DOUBT;
		bytes--;
		if (!bytes)
			d->flags |= TL_DIRECTION_ALONE;
	}
	count_missed(look, d, bytes, hole);
}

void tl_direction__settle_doubt(struct tl_look *look, struct tl_direction *d, bool was_byte)
{
	if (tl_direction__is(d, TL_DIRECTION_DOUBT) && was_byte)
		count_missed(look, d, 1, NULL);
	d->flags &= (uint16_t) ~(TL_DIRECTION_DOUBT | TL_DIRECTION_ALONE);
}

static uint64_t patience_ns(const struct tl_tracked *flow, uint64_t least_ns)
{
	uint64_t srtt_ns = ((uint64_t)flow->dir[0].srtt_us + flow->dir[1].srtt_us) * 1000;

	return 3 * srtt_ns > least_ns ? 3 * srtt_ns : least_ns;
}

/* Nothing of the receiver is shown: has the sender gone on as if it had been ACKed? */
static void expire_unheard(struct tl_look *look, struct tl_direction *d, bool at_end)
{
	uint64_t patience = patience_ns(look->flow, at_end ? UNHEARD_NS : MISSED_AFTER_NS);
	uint64_t since_ns = d->new_ns > patience ? d->new_ns - patience : 0;
	struct tl_range hole;

	if (at_end && tl_direction__is(d, TL_DIRECTION_FIN))
		since_ns = UINT64_MAX;
	while (tl_ranges__pop_older(look->pool, &d->holes, since_ns, &hole)) {
		if (hole.end - hole.start <= UNHEARD_MOST)
			settle(look, d, &hole);
		else
			look->totals->missed_unsure_bytes += hole.end - hole.start;
	}
}

void tl_direction__expire_holes(struct tl_look *look, struct tl_direction *d, bool at_end)
{
	uint64_t patience = patience_ns(look->flow, MISSED_AFTER_NS) + TL_RANGE_JOIN_NS;
	uint64_t since_ns = at_end		      ? UINT64_MAX
			    : look->now_ns > patience ? look->now_ns - patience
						      : 0;
	struct tl_range hole;

	while (tl_ranges__pop_delivered(look->pool, &d->holes, since_ns, &hole))
		settle(look, d, &hole);
	if (!tl_direction__is(d, TL_DIRECTION_ACKED))
		expire_unheard(look, d, at_end);
}

void tl_direction__close_holes(struct tl_look *look, struct tl_direction *d, bool closed)
{
	struct tl_range hole;

	while (tl_ranges__pop(look->pool, &d->holes, &hole))
		if (closed && hole.end == d->next_seq)
			settle(look, d, &hole);
		else
			look->totals->missed_unsure_bytes += hole.end - hole.start;
}

void tl_look__open_hole(struct tl_look *look, struct tl_direction *d, const struct tl_range *hole)
{
	struct tl_range lowest;

	d->next_seq = hole->end;
	if (tl_ranges__append(look->pool, &d->holes, hole))
		return;
	/* No room: the oldest one is settled as well as can be. */
	if (!tl_ranges__pop(look->pool, &d->holes, &lowest))
		return;
	if (lowest.flags & TL_RANGE_DELIVERED)
		settle(look, d, &lowest);
	else
		look->totals->missed_unsure_bytes += lowest.end - lowest.start;
	tl_ranges__append(look->pool, &d->holes, hole);
}
