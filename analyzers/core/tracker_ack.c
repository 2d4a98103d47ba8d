/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a packet's ACK and SACK blocks say of the bytes that flow the other way (tracker_tcp.h):
 * how far the receiver has them, which it has beyond, which it asks for, and how long the way from
 * the tap to it and back is.
 */
#include "core/tracker_tcp.h"

#define FARTHEST (1u << 30) /* no window reaches further (RFC 7323, section 2.3) */

static void sample_rtt(struct tl_look *look, struct tl_direction *p)
{
	uint64_t us = (look->now_ns - p->timed_ns) / 1000;
	uint32_t rtt_us = us > UINT32_MAX / 8 ? UINT32_MAX / 8 : us ? (uint32_t)us : 1;

	p->flags &= (uint16_t)~TL_DIRECTION_TIMED;
	look->segment->rtt_us = rtt_us;
	if (!p->min_rtt_us) {
		p->srtt_us = p->min_rtt_us = rtt_us;
		return;
	}
	p->srtt_us = (uint32_t)((7 * (uint64_t)p->srtt_us + rtt_us) / 8);
	if (!p->srtt_us)
		p->srtt_us = 1;
	if (rtt_us < p->min_rtt_us)
		p->min_rtt_us = rtt_us;
}

static __attribute__((noinline)) void open_unseen_hole(struct tl_look *look, struct tl_direction *p,
						       uint32_t end, uint16_t flags)
{
	const struct tl_layers *l = look->l;
	struct tl_range hole = {
		.start = p->next_seq,
		.end = end,
		.flags = flags,
		.born_ns = look->now_ns,
		.frame = look->frame,
		.delivered_ns = look->now_ns,
		.tsval = l->tsecr,
		.has_tsval = l->flags & TL_LAYERS_TCP_TS,
	};

	/* Unseen until now as a whole: that is a one-way mirror, not loss. */
	if (!tl_direction__is(p, TL_DIRECTION_SEEN | TL_DIRECTION_BASED))
		return;
	if (tl_direction__is(p, TL_DIRECTION_PROBED) && p->probe_end == end &&
	    p->next_seq + 1 == end) {
		p->next_seq = end;
		return;
	}
	look->segment->unseen_bytes += end - p->next_seq;
	tl_look__open_hole(look, p, &hole);
}

/* Bytes up to `end` exist, says the receiver; the tap may not have seen them (yet). */
static inline void open_unseen(struct tl_look *look, struct tl_direction *p, uint32_t end,
			       uint16_t flags)
{
	if (tl_seq__before(p->next_seq, end))
		open_unseen_hole(look, p, end, flags);
}

/* Where una starts; the direction may not have been seen at all. */
static void first_ack(struct tl_look *look, struct tl_direction *p)
{
	const struct tl_direction *d = look->d;
	uint32_t ack = look->l->ack;

	p->flags |= TL_DIRECTION_ACKED;
	if (tl_direction__is(p, TL_DIRECTION_SYN)) {
		p->una = p->base_seq;
		if (!tl_seq__before(p->una, ack))
			return;
		p->una++;
		p->advance_ns = p->timer_ns = look->now_ns;
		if (tl_direction__is(p, TL_DIRECTION_TIMED) &&
		    !tl_seq__before(p->una, p->timed_end))
			sample_rtt(look, p);
		return;
	}
	if (tl_direction__is(p, TL_DIRECTION_BASED)) {
		p->una = tl_seq__min(p->base_seq, ack);
		return;
	}
	p->una = ack;
	/* The client's answer to a SYN-ACK that was not seen tells where the server's bytes start.
	 */
	if (tl_direction__is(d, TL_DIRECTION_SYN) && look->l->seq == d->base_seq + 1 &&
	    !(look->l->tcp_flags & TL_TCP_SYN)) {
		p->base_seq = ack - 1;
		p->next_seq = ack;
		p->flags |= TL_DIRECTION_BASED;
	}
}

/*
 * Segments of a run were sent again, and the first to arrive is ACKed: an ACK of more than the two
 * of a delayed one (RFC 5681, section 4.2) says that the receiver had those above it already.
 */
static void count_needless(struct tl_look *look, struct tl_direction *p, uint32_t ack)
{
	uint32_t jump = ack - p->una, covered = p->again_count;

	if (!covered || !p->largest)
		return;
	if (tl_seq__before(ack, p->again_end) && jump / p->largest < covered)
		covered = jump / p->largest;
	p->again_count -= (uint16_t)covered;
	if (covered && jump > 2u * p->largest)
		look->segment->needless = covered - 1;
}

/* What lay above una, and is below it now. */
static __attribute__((noinline)) void pass_ranges(struct tl_look *look, struct tl_direction *p,
						  uint32_t was_una)
{
	struct tl_range delivered = {
		.start = was_una - (1u << 28),
		.end = p->una,
		.delivered_ns = look->now_ns,
	};
	struct tl_range below = { .start = p->una - FARTHEST, .end = p->una };

	if (p->holes.head)
		tl_ranges__deliver(look->pool, &p->holes, &delivered);
	if (p->sacked.head)
		tl_ranges__subtract(look->pool, &p->sacked, &below);
}

static inline void advance(struct tl_look *look, struct tl_direction *p, uint32_t ack)
{
	uint32_t was_una = p->una, units = ack - was_una;

	if (units > FARTHEST)
		return;
	if (tl_direction__is(p, TL_DIRECTION_FIN) && tl_seq__before(was_una, p->fin_end) &&
	    !tl_seq__before(ack, p->fin_end))
		units--;
	look->segment->acked_bytes = units;
	if (p->again_count)
		count_needless(look, p, ack);
	if (tl_direction__is(p, TL_DIRECTION_TIMED) && !tl_seq__before(ack, p->timed_end))
		sample_rtt(look, p);
	p->una = ack;
	p->advance_ns = p->timer_ns = look->now_ns;
	p->dup_acks = 0;
	open_unseen(look, p, ack, TL_RANGE_BY_ACK | TL_RANGE_DELIVERED);
	if (p->holes.head | p->sacked.head)
		pass_ranges(look, p, was_una);
}

/* RFC 2883: a first block below the ACK, or inside the second, says what came twice. */
static bool is_dsack(const struct tl_layers *l)
{
	const struct tl_sack_block *first = &l->sack[0];

	if (!tl_seq__before(l->ack, first->right))
		return true;
	return l->sack_count > 1 && !tl_seq__before(first->left, l->sack[1].left) &&
	       !tl_seq__before(l->sack[1].right, first->right);
}

/* A receiver that delays its ACKs tells of several segments that came twice with one block. */
static uint32_t segments_in(const struct tl_direction *p, uint32_t bytes)
{
	return p->largest && bytes > p->largest ? (bytes + p->largest - 1) / p->largest : 1;
}

/* True when the blocks say something new. */
static bool take_sacks(struct tl_look *look, struct tl_direction *p)
{
	const struct tl_layers *l = look->l;
	uint32_t highest = l->ack;
	bool news = false;

	for (uint32_t i = 0; i < l->sack_count && i < 4; i++) {
		struct tl_range block = {
			.start = l->sack[i].left,
			.end = l->sack[i].right,
			.delivered_ns = look->now_ns,
		};
		uint32_t bytes = block.end - block.start;

		if (!bytes || bytes > FARTHEST || block.end - l->ack + FARTHEST > 2 * FARTHEST)
			continue;
		if (!i && is_dsack(l)) {
			look->segment->dsack_bytes = bytes;
			look->segment->dsack_segments = segments_in(p, bytes);
			continue;
		}
		/* An ACK that was overtaken tells of what is ACKed by now. */
		if (!tl_seq__before(p->una, block.end))
			continue;
		open_unseen(look, p, block.end, TL_RANGE_BY_ACK);
		if (tl_ranges__add(look->pool, &p->sacked, block.start, block.end))
			news = true;
		if (p->holes.head)
			tl_ranges__deliver(look->pool, &p->holes, &block);
		highest = tl_seq__max(highest, block.start);
	}
	if (news && p->holes.head)
		tl_ranges__want(look->pool, &p->holes, highest, look->now_ns);
	return news;
}

/* RFC 5681, section 2; with SACK the window may change too. */
static void take_duplicate(struct tl_look *look, struct tl_direction *p, bool news)
{
	const struct tl_layers *l = look->l;

	if (look->segment->verdict != TL_VERDICT_PURE_ACK || l->ack != p->una)
		return;
	if (!tl_direction__is(p, TL_DIRECTION_BASED) || !tl_seq__before(p->una, p->next_seq))
		return;
	if (!news && l->window != look->d->window)
		return;
	if (!news && look->segment->dsack_bytes)
		return;
	look->segment->duplicate_ack = 1;
	if (p->dup_acks < UINT8_MAX)
		p->dup_acks++;
	p->dup_ns = look->now_ns;
	if (p->dup_acks < 3)
		return;
	p->asked_ns = look->now_ns;
	if (p->holes.head)
		tl_ranges__want(look->pool, &p->holes, p->una + 1, look->now_ns);
}

/* Its SYN said so; then the other one must not either (RFC 7323, 2.2). */
static bool does_not_scale(const struct tl_direction *d)
{
	return !tl_direction__is(d, TL_DIRECTION_WSCALE) && d->wscale != TL_WSCALE_UNKNOWN;
}

static inline void take_window(struct tl_look *look)
{
	const uint32_t scaling = TL_DIRECTION_SYN | TL_DIRECTION_WSCALE;
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	const struct tl_direction *p = look->peer;
	bool syn = l->tcp_flags & TL_TCP_SYN;
	uint32_t both = d->flags & p->flags;

	if (!syn && (both & scaling) == scaling) {
		look->segment->window_bytes = (uint32_t)l->window << d->wscale;
		look->segment->window_known = true;
	} else {
		look->segment->window_bytes = l->window;
		look->segment->window_known =
			syn || !l->window ||
			(both & TL_DIRECTION_SYN && (does_not_scale(d) || does_not_scale(p)));
	}
	/* An ACK that was overtaken tells of a window that is past. */
	if (l->tcp_flags & TL_TCP_RST ||
	    (tl_direction__is(d, TL_DIRECTION_WINDOW) && tl_seq__before(l->ack, d->last_ack)))
		return;
	if (!d->window && l->window)
		d->opened_ns = look->now_ns;
	d->window = l->window;
	d->last_ack = l->ack;
	d->flags |= TL_DIRECTION_WINDOW;
}

/* What answers a SYN but does not ACK it is of an older connection (RFC 9293, 3.10.7.3). */
static bool is_of_older_connection(const struct tl_direction *p, uint32_t ack)
{
	return tl_direction__is(p, TL_DIRECTION_SYN) &&
	       !(p->flags & (TL_DIRECTION_TALKED | TL_DIRECTION_ACKED)) &&
	       p->next_seq == p->base_seq + 1 && ack != p->next_seq;
}

/* Does it say anything of the peer's bytes? */
static bool begins_or_goes_on(struct tl_look *look, struct tl_direction *p)
{
	const struct tl_layers *l = look->l;

	if ((l->tcp_flags & (TL_TCP_ACK | TL_TCP_RST)) != TL_TCP_ACK)
		return false;
	if (tl_direction__is(p, TL_DIRECTION_ACKED))
		return true;
	if (is_of_older_connection(p, l->ack))
		return false;
	first_ack(look, p);
	return true;
}

void tl_look__ack(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *p = look->peer;
	uint32_t was_una = p->una;
	bool news;

	if (begins_or_goes_on(look, p)) {
		if (tl_seq__before(p->una, l->ack))
			advance(look, p, l->ack);
		news = l->sack_count && take_sacks(look, p);
		if (news)
			p->dup_ns = p->asked_ns = look->now_ns;
		if (p->una == was_una)
			take_duplicate(look, p, news);
	}
	take_window(look);
}
