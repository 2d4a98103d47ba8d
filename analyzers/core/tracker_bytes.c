/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a segment's own bytes are: new, sent again, late, a probe. See tracker_tcp.h for the state
 * and segment.h for the verdicts.
 *
 *   seq space   ███████████░░░░██████│
 *                  ▲          ▲      ▲ next_seq
 *                  │          └ fills a hole: reordered, or lost before the tap (was it sent
 *                  │            before or after its neighbours?)
 *                  └ seen before: lost after the tap, or spurious when the receiver has it
 */
#include "core/tracker_tcp.h"

#define FARTHEST	 (1u << 30)
#define STRAYS_MAX	 4	      /* far segments in a row that make a new start */
#define MIRROR_PLAY_NS	 10000000ull  /* an ACK may be shown this long before what it ACKs */
#define KEEPALIVE_NS	 900000000ull /* the least idle time before a keep-alive with a byte */
#define ANSWER_LEAST_US	 2500u	      /* a round trip that takes a clock of milliseconds further */
#define REORDER_NS	 20000000ull  /* longest reordering when no RTT is known */
#define DAMAGED_REACH	 (1u << 20)   /* how far from the others a damaged segment may lie */
#define ID_SCORE_TRUSTED 3
#define ID_SCORE_MAX	 12
#define ID_STEP_MAX	 4096 /* a host's counter for all its packets may jump this far */

static uint64_t since(const struct tl_look *look, uint64_t then_ns)
{
	return look->now_ns > then_ns ? look->now_ns - then_ns : 0;
}

/* --- times of new bytes --------------------------------------------------------------------- */

static inline void add_mark(struct tl_look *look)
{
	struct tl_direction *d = look->d;
	uint32_t flight = d->next_seq - d->una;

	if (tl_direction__is(d, TL_DIRECTION_ACKED) && d->mark_ns[d->mark_at] &&
	    flight <= FARTHEST && d->next_seq - d->mark_end[d->mark_at] < flight / TL_MARKS)
		return;
	d->mark_at = (uint8_t)(d->mark_at + 1u) % TL_MARKS;
	d->mark_ns[d->mark_at] = look->now_ns;
	d->mark_end[d->mark_at] = d->next_seq;
}

/* When the byte before `end` was first seen: never later than told. */
static uint64_t first_seen_ns(const struct tl_direction *d, uint32_t end)
{
	uint64_t ns = d->new_ns;

	for (uint32_t i = 0; i < TL_MARKS; i++) {
		uint32_t at = (d->mark_at - i) % TL_MARKS;

		if (!d->mark_ns[at] || tl_seq__before(d->mark_end[at], end))
			break;
		ns = d->mark_ns[at];
	}
	return ns;
}

/* --- order of sending ----------------------------------------------------------------------- */

/* Keeps the newest TSval and IP ID, and learns whether the IP IDs grow. */
static inline void take_identity(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	int16_t step = (int16_t)(uint16_t)(l->ip_id - d->ip_id);

	if (l->flags & TL_LAYERS_TCP_TS &&
	    (!tl_direction__is(d, TL_DIRECTION_TSVAL) || tl_seq__before(d->tsval, l->tsval))) {
		if (!tl_direction__is(d, TL_DIRECTION_TSVAL))
			d->first_tsval = l->tsval;
		d->tsval = l->tsval;
		d->flags |= TL_DIRECTION_TSVAL;
	}
	if (l->ip_version != 4 || !l->ip_id)
		return;
	d->flags &= (uint16_t)~TL_DIRECTION_SAME_ID;
	if (!step)
		d->flags |= TL_DIRECTION_SAME_ID;
	if (step > 0 && step <= ID_STEP_MAX)
		d->id_score = d->id_score < ID_SCORE_MAX ? d->id_score + 1 : ID_SCORE_MAX;
	else if (step < -ID_STEP_MAX || step > ID_STEP_MAX)
		d->id_score = d->id_score > 4 ? (uint8_t)(d->id_score - 4) : 0;
	if (step > 0 || !d->id_score)
		d->ip_id = (uint16_t)l->ip_id;
}

/* Was this segment sent before (<0) or after (>0) the packet that showed the hole? 0: unknown. */
static int sent_order(const struct tl_look *look, const struct tl_range *hole)
{
	const struct tl_layers *l = look->l;

	if (l->flags & TL_LAYERS_TCP_TS && hole->has_tsval && l->tsval != hole->tsval)
		return tl_seq__before(l->tsval, hole->tsval) ? -1 : 1;
	/* Both within a millisecond: no word of a loss can have come back meanwhile. */
	if (l->flags & TL_LAYERS_TCP_TS && hole->has_tsval &&
	    look->d->min_rtt_us + look->peer->min_rtt_us >= ANSWER_LEAST_US &&
	    look->d->min_rtt_us && tl_tracked__ticks_ms(look->flow, look->d, look->now_ns))
		return -1;
	if (l->ip_version == 4 && l->ip_id && hole->ip_id && l->ip_id != hole->ip_id &&
	    look->d->id_score >= ID_SCORE_TRUSTED)
		return (int16_t)(uint16_t)(l->ip_id - hole->ip_id) < 0 ? -1 : 1;
	return 0;
}

/* Without IP ID or TSval: time and the receiver's complaints must tell. */
static bool looks_reordered(const struct tl_look *look, const struct tl_range *hole)
{
	uint64_t sender_ns = (uint64_t)look->peer->min_rtt_us * 1000;
	uint64_t both_ns = sender_ns + (uint64_t)look->d->min_rtt_us * 1000;

	/* The complaint has to reach the sender before an answer can pass the tap. */
	if (hole->flags & TL_RANGE_WANTED)
		return since(look, hole->wanted_ns) < sender_ns / 2;
	return since(look, hole->born_ns) < (both_ns ? both_ns : REORDER_NS);
}

static uint8_t verdict_of_fill(struct tl_look *look, const struct tl_range *hole)
{
	int order;

	if (hole->flags & TL_RANGE_BY_ACK) {
		if (since(look, hole->born_ns) > MIRROR_PLAY_NS)
			return hole->flags & TL_RANGE_DELIVERED ? TL_VERDICT_SPURIOUS
								: TL_VERDICT_LOST_BEFORE;
		return hole->end == look->d->next_seq ? TL_VERDICT_NEW : TL_VERDICT_REORDERED;
	}
	order = sent_order(look, hole);
	if (!order)
		order = looks_reordered(look, hole) ? -1 : 1;
	if (order < 0)
		return TL_VERDICT_REORDERED;
	return hole->flags & TL_RANGE_DELIVERED ? TL_VERDICT_SPURIOUS : TL_VERDICT_LOST_BEFORE;
}

static uint8_t verdict_of_repeat(const struct tl_look *look, uint32_t start, uint32_t end)
{
	const struct tl_direction *d = look->d;

	if (!tl_direction__is(d, TL_DIRECTION_ACKED))
		return TL_VERDICT_LOST_AFTER;
	if (!tl_seq__before(d->una, end))
		return TL_VERDICT_SPURIOUS;
	start = tl_seq__max(start, d->una);
	return tl_ranges__contains(look->pool, &d->sacked, start, end) ? TL_VERDICT_SPURIOUS
								       : TL_VERDICT_LOST_AFTER;
}

/* --- ranges --------------------------------------------------------------------------------- */

struct taken {
	uint32_t fresh;	 /* above all that was seen */
	uint32_t filled; /* in holes */
	struct tl_range hole;
};

static void take_range(struct tl_look *look, uint32_t start, uint32_t end, struct taken *taken)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	struct tl_range first = { .start = start };
	uint32_t filled;

	if (tl_seq__before(d->next_seq, start)) {
		struct tl_range hole = {
			.start = d->next_seq,
			.end = start,
			.born_ns = look->now_ns,
			.frame = look->frame,
			.ip_id = l->ip_version == 4 ? (uint16_t)l->ip_id : 0,
			.tsval = l->tsval,
			.has_tsval = l->flags & TL_LAYERS_TCP_TS,
		};

		tl_look__open_hole(look, d, &hole);
		/* The ACKs for it may have come by already. */
		if (tl_direction__is(d, TL_DIRECTION_ACKED) && tl_seq__before(hole.start, d->una)) {
			struct tl_range delivered = { .start = hole.start,
						      .end = d->una,
						      .delivered_ns = look->now_ns };

			tl_ranges__deliver(look->pool, &d->holes, &delivered);
		}
	}
	if (tl_seq__before(start, d->next_seq) && d->holes.head) {
		first.end = tl_seq__min(end, d->next_seq);
		filled = tl_ranges__subtract(look->pool, &d->holes, &first);
		if (filled && !taken->filled)
			taken->hole = first;
		taken->filled += filled;
	}
	if (tl_seq__before(d->next_seq, end)) {
		taken->fresh += end - tl_seq__max(start, d->next_seq);
		d->next_seq = end;
	}
}

/* --- what carries no data ------------------------------------------------------------------- */

static void note_syn(struct tl_direction *d, const struct tl_layers *l)
{
	/* by a snap length; what the rest of the options said is not known */
	bool cut_off = l->flags & TL_LAYERS_TRUNCATED;

	d->flags |= TL_DIRECTION_SEEN | TL_DIRECTION_BASED | TL_DIRECTION_SYN;
	if (l->flags & TL_LAYERS_TCP_WSCALE)
		d->flags |= TL_DIRECTION_WSCALE;
	if (l->flags & TL_LAYERS_TCP_SACK_OK || cut_off)
		d->flags |= TL_DIRECTION_SACK;
	d->wscale = l->wscale < 14 ? l->wscale : 14; /* RFC 7323, section 2.3 */
	if (cut_off && !(l->flags & TL_LAYERS_TCP_WSCALE))
		d->wscale = TL_WSCALE_UNKNOWN;
}

static void repeat_syn(struct tl_look *look)
{
	struct tl_direction *d = look->d;

	look->segment->verdict = TL_VERDICT_SYN_RETRANSMIT;
	look->segment->trigger = TL_TRIGGER_RTO;
	look->segment->original_ns = first_seen_ns(d, look->l->seq + 1);
	d->flags &= (uint16_t)~TL_DIRECTION_TIMED;
	d->last_ns = look->now_ns;
}

static void take_syn(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;

	if (tl_direction__is(d, TL_DIRECTION_BASED) && d->base_seq == l->seq) {
		if (tl_direction__is(d, TL_DIRECTION_SYN))
			repeat_syn(look);
		else /* the ACK or the first bytes were shown before it */
			note_syn(d, l);
		return;
	}
	/* Another ISN on a connection that stands: not of it (RFC 9293, 3.10.7.4). */
	if (tl_direction__is(d, TL_DIRECTION_SYN | TL_DIRECTION_ACKED) && d->una != d->base_seq)
		return;
	tl_ranges__clear(look->pool, &d->holes);
	tl_ranges__clear(look->pool, &d->sacked);
	tl_ranges__clear(look->pool, &d->damaged);
	d->flags &= TL_DIRECTION_WINDOW;
	note_syn(d, l);
	d->flags |= TL_DIRECTION_TIMED;
	d->base_seq = l->seq;
	d->next_seq = d->timed_end = l->seq + 1;
	d->recovery = TL_TRIGGER_NONE;
	d->dup_acks = 0;
	d->last_ns = d->new_ns = d->timer_ns = d->timed_ns = look->now_ns;
	add_mark(look);
}

/*
 * Probes: the bytes at una - 1 that a keep-alive or Linux' zero-window probe shows, and whatever
 * is sent at una while the receiver's window is shut. False: it is something else.
 */
static bool take_probe(struct tl_look *look, uint32_t start, uint32_t end)
{
	struct tl_direction *d = look->d;
	bool acked = tl_direction__is(d, TL_DIRECTION_ACKED);
	bool shut = tl_direction__is(look->peer, TL_DIRECTION_WINDOW) && !look->peer->window;
	/* The sender may not have heard yet that the window is open. */
	bool was_shut = shut || since(look, look->peer->opened_ns) <= tl_look__answer_ns(look);
	uint32_t una = acked ? d->una : d->next_seq;
	uint32_t bytes = look->l->payload_bytes;
	bool quiet = since(look, d->last_ns) >= KEEPALIVE_NS;
	uint8_t verdict = 0;

	if (look->l->tcp_flags & (TL_TCP_FIN | TL_TCP_SYN))
		return false;
	if (bytes <= 1 && start == una - 1) {
		if (was_shut && acked)
			verdict = TL_VERDICT_WINDOW_PROBE;
		else if (bytes ? quiet : una == d->next_seq || quiet)
			verdict = TL_VERDICT_KEEPALIVE;
	} else if (shut && acked && start == una && bytes) {
		/* A byte beyond the window does not count as sent unless it is ACKed. */
		if (bytes == 1 && tl_seq__before(d->next_seq, end)) {
			d->probe_end = end;
			d->flags |= TL_DIRECTION_PROBED;
			verdict = TL_VERDICT_WINDOW_PROBE;
		} else if (!tl_seq__before(d->next_seq, end) && !d->holes.head) {
			verdict = TL_VERDICT_WINDOW_PROBE;
		}
	}
	look->segment->verdict = verdict;
	return verdict != 0;
}

static void take_pure_ack(struct tl_look *look, uint32_t seq)
{
	struct tl_direction *d = look->d;
	struct taken unused = { 0 };

	look->segment->verdict = TL_VERDICT_PURE_ACK;
	if (take_probe(look, seq, seq))
		return;
	look->segment->verdict = TL_VERDICT_PURE_ACK;
	/* Its number is that of the next byte to be sent. */
	if (tl_seq__before(d->next_seq, seq) && seq - d->next_seq < FARTHEST)
		take_range(look, seq, seq, &unused);
}

/* --- what does ------------------------------------------------------------------------------ */

/* False: the segment lies so far off that it cannot be of this connection (or all is new). */
static bool within_reach(struct tl_look *look, uint32_t start)
{
	struct tl_direction *d = look->d;

	if (start - d->next_seq + FARTHEST <= 2 * FARTHEST) {
		d->stray = 0;
		return true;
	}
	if (++d->stray < STRAYS_MAX)
		return false;
	tl_ranges__clear(look->pool, &d->holes);
	tl_ranges__clear(look->pool, &d->sacked);
	d->next_seq = start;
	d->flags &= (uint16_t) ~(TL_DIRECTION_ACKED | TL_DIRECTION_TIMED | TL_DIRECTION_FIN);
	d->stray = 0;
	return true;
}

static bool is_retransmission(uint8_t verdict)
{
	return verdict == TL_VERDICT_LOST_BEFORE || verdict == TL_VERDICT_LOST_AFTER ||
	       verdict == TL_VERDICT_SPURIOUS;
}

static void note_retransmission(struct tl_look *look, uint32_t start, uint8_t trigger)
{
	struct tl_direction *d = look->d;

	look->segment->trigger = trigger;
	d->timer_ns = look->now_ns;
	if (tl_direction__is(d, TL_DIRECTION_TIMED) && tl_seq__before(start, d->timed_end))
		d->flags &= (uint16_t)~TL_DIRECTION_TIMED;
	if (trigger != TL_TRIGGER_RTO && trigger != TL_TRIGGER_FAST)
		return;
	/* In a recovery that is under way nothing begins, unless by an RTO (RFC 6582, section 4.1).
	 */
	if (d->recovery && tl_seq__before(start, d->recovery_end) && !look->timed_out)
		return;
	d->recovery = trigger;
	d->recovery_end = d->next_seq;
}

/* Without SACK a sender cannot know what is missing above una, and sends all of it again. */
static void note_run(struct tl_look *look, uint32_t start, uint32_t end)
{
	struct tl_direction *d = look->d;

	if (!tl_direction__is(d, TL_DIRECTION_SYN | TL_DIRECTION_ACKED) ||
	    !tl_direction__is(look->peer, TL_DIRECTION_SYN) ||
	    (d->flags & look->peer->flags & TL_DIRECTION_SACK))
		return;
	if (!tl_seq__before(d->una, start)) {
		d->again_end = end;
		d->again_count = 1;
	} else if (!tl_seq__before(start, d->again_end) && d->again_count) {
		d->again_end = end;
		if (d->again_count < UINT16_MAX)
			d->again_count++;
	}
}

/* Bytes came above all that was seen. */
static inline void note_new(struct tl_look *look, bool flight_was_empty)
{
	struct tl_direction *d = look->d;

	d->new_ns = look->now_ns;
	add_mark(look);
	if (flight_was_empty)
		d->timer_ns = look->now_ns;
	if (look->segment->verdict == TL_VERDICT_NEW && !tl_direction__is(d, TL_DIRECTION_TIMED)) {
		d->flags |= TL_DIRECTION_TIMED;
		d->timed_end = d->next_seq;
		d->timed_ns = look->now_ns;
	}
	if (d->next_seq - d->base_seq >= FARTHEST)
		d->flags |= TL_DIRECTION_GROWN;
}

/* True when the FIN takes a unit that was not seen yet. */
static bool take_fin(struct tl_look *look, uint32_t at, struct taken *taken)
{
	struct tl_direction *d = look->d;
	uint32_t before = taken->fresh + taken->filled;

	take_range(look, at, at + 1, taken);
	if (!tl_direction__is(d, TL_DIRECTION_FIN))
		tl_direction__settle_doubt(look, d, at + 1 != d->next_seq);
	d->flags |= TL_DIRECTION_FIN;
	d->fin_end = at + 1;
	return taken->fresh + taken->filled != before;
}

static void take_data(struct tl_look *look, uint32_t start, uint32_t end)
{
	struct tl_segment *segment = look->segment;
	struct tl_direction *d = look->d;
	uint32_t was_next = d->next_seq;
	bool fin = look->l->tcp_flags & TL_TCP_FIN;
	bool empty = !tl_direction__is(d, TL_DIRECTION_ACKED) || d->una == was_next;
	uint8_t trigger = tl_seq__before(start, was_next) ? tl_look__trigger(look, start, end) : 0;
	struct taken taken = { 0 };
	uint32_t units;

	/* Of what went before the capture began, nothing can be said. */
	if (!tl_direction__is(d, TL_DIRECTION_SYN) && !tl_direction__is(d, TL_DIRECTION_GROWN) &&
	    tl_seq__before(start, d->base_seq)) {
		if (tl_direction__is(d, TL_DIRECTION_ACKED) && !tl_seq__before(d->una, end))
			segment->verdict = TL_VERDICT_SPURIOUS;
		return;
	}
	if (tl_direction__is(d, TL_DIRECTION_DOUBT) && !tl_seq__before(start, was_next))
		tl_direction__settle_doubt(look, d, end - start > fin);
	take_range(look, start, end - fin, &taken);
	segment->new_bytes = taken.fresh + taken.filled;
	if (fin)
		take_fin(look, end - 1, &taken);
	units = taken.fresh + taken.filled;
	if (taken.filled)
		segment->verdict = verdict_of_fill(look, &taken.hole);
	/* With new bytes behind it a single one was a probe's, or a keep-alive's. */
	else if (units < end - start && (!units || units + 1 < end - start))
		segment->verdict = verdict_of_repeat(look, start, tl_seq__min(end, was_next));
	if (d->damaged.head) {
		struct tl_range whole = { .start = start, .end = end };

		segment->mends = tl_ranges__subtract(look->pool, &d->damaged, &whole) > 0;
	}
	if (is_retransmission(segment->verdict)) {
		if (!taken.filled)
			segment->original_ns = first_seen_ns(d, tl_seq__min(end, was_next));
		note_retransmission(look, start, trigger);
		if (segment->verdict == TL_VERDICT_LOST_AFTER)
			note_run(look, start, end);
	}
	if (taken.fresh)
		note_new(look, empty);
	d->last_ns = look->now_ns;
}

/*
 * The usual segment: it begins where the last one ended, between sides that are known, into an open
 * window. What all the questions above come to for it. False: ask them.
 */
static inline bool take_next(struct tl_look *look)
{
	const uint32_t known = TL_DIRECTION_TALKED | TL_DIRECTION_ACKED;
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	uint32_t end = l->seq + l->payload_bytes;

	if (l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN) || l->seq != d->next_seq ||
	    (d->flags & (known | TL_DIRECTION_DOUBT)) != known || tl_seq__before(l->seq, d->una))
		return false;
	if (!l->payload_bytes) {
		look->segment->verdict = TL_VERDICT_PURE_ACK;
		return true;
	}
	if (!look->peer->window || d->damaged.head ||
	    (end - d->base_seq >= FARTHEST && !tl_direction__is(d, TL_DIRECTION_GROWN)))
		return false;
	d->stray = 0;
	d->next_seq = end;
	look->segment->new_bytes = l->payload_bytes;
	note_new(look, d->una == l->seq);
	d->last_ns = look->now_ns;
	return true;
}

/* The first packet of a direction whose SYN was not seen. */
static void take_base(struct tl_look *look, uint32_t start)
{
	struct tl_direction *d = look->d;

	d->flags |= TL_DIRECTION_SEEN;
	if (!tl_direction__is(d, TL_DIRECTION_BASED)) {
		d->flags |= TL_DIRECTION_BASED;
		d->base_seq = d->next_seq = start;
	} else if (tl_direction__is(d, TL_DIRECTION_ACKED) && tl_seq__before(d->next_seq, d->una)) {
		/* It starts where the handshake's ACK said; some is ACKed and was not seen. */
		tl_look__open_hole(
			look, d,
			&(struct tl_range){ .start = d->next_seq,
					    .end = d->una,
					    .flags = TL_RANGE_BY_ACK | TL_RANGE_DELIVERED,
					    .born_ns = look->now_ns,
					    .frame = look->frame,
					    .delivered_ns = look->now_ns });
	}
}

/*
 * The receiver waits for una, or for what it was sent since: the tap sees the ACK later than it
 * was sent. Its window is not counted in: 64 KiB past the data is what all have (RFC 7323).
 */
static uint8_t fit_of_rst(const struct tl_look *look)
{
	const struct tl_direction *d = look->d;
	uint32_t seq = look->l->seq;
	uint32_t from = tl_direction__is(d, TL_DIRECTION_ACKED) ? d->una : d->next_seq;

	if (!tl_direction__is(d, TL_DIRECTION_BASED))
		return TL_RST_UNKNOWN;
	if (seq == d->next_seq || seq == from)
		return TL_RST_EXACT;
	return tl_seq__before(from, seq) && tl_seq__before(seq, d->next_seq + UINT16_MAX)
		       ? TL_RST_IN_WINDOW
		       : TL_RST_OUTSIDE;
}

/* With the peer unseen, what follows a SYN tells how long an answer takes. */
static void time_unheard(struct tl_look *look)
{
	struct tl_direction *d = look->d;
	uint64_t us = since(look, d->timed_ns) / 1000;

	if (!tl_direction__is(d, TL_DIRECTION_SYN | TL_DIRECTION_TIMED) ||
	    d->flags & (TL_DIRECTION_ACKED | TL_DIRECTION_TALKED))
		return;
	d->srtt_us = us > UINT32_MAX / 8 ? UINT32_MAX / 8 : (uint32_t)us;
}

static inline void note_place(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;

	look->segment->relative_seq = l->seq - d->base_seq;
	if (l->payload_bytes > d->largest)
		d->largest =
			l->payload_bytes < UINT16_MAX ? (uint16_t)l->payload_bytes : UINT16_MAX;
}

static __attribute__((noinline)) void take_any(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	bool syn = l->tcp_flags & TL_TCP_SYN;
	uint32_t start = l->seq + syn;
	uint32_t end = start + l->payload_bytes + !!(l->tcp_flags & TL_TCP_FIN);

	if (!syn)
		time_unheard(look);
	if (syn)
		take_syn(look);
	else if (!tl_direction__is(d, TL_DIRECTION_SEEN))
		take_base(look, start);
	if (!syn)
		d->flags |= TL_DIRECTION_TALKED;
	note_place(look);
	if (start == end && !syn)
		take_pure_ack(look, start);
	else if (start != end && look->segment->verdict != TL_VERDICT_SYN_RETRANSMIT) {
		if (!within_reach(look, start))
			look->segment->verdict = TL_VERDICT_NOT_TRACKED;
		else if (!take_probe(look, start, end))
			take_data(look, start, end);
	}
	/* Bytes that were ACKed before the capture showed this direction. */
	if (tl_direction__is(d, TL_DIRECTION_ACKED) && tl_seq__before(d->next_seq, d->una))
		d->next_seq = d->una;
}

void tl_look__bytes(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;

	/* A RST's number may be anything, and its payload is no data of the stream. */
	if (l->tcp_flags & TL_TCP_RST) {
		look->segment->rst_fit = fit_of_rst(look);
		if (tl_direction__is(d, TL_DIRECTION_BASED))
			look->segment->relative_seq = l->seq - d->base_seq;
		return;
	}
	if (take_next(look))
		note_place(look);
	else
		take_any(look);
	take_identity(look);
}

/*
 * Its bytes passed the tap, so they are no hole there; the stream gets them with the segment that
 * brings them again. Where its own numbers were hit it lies far off, and is left out.
 */
void tl_look__damaged_bytes(struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_direction *d = look->d;
	uint32_t end = l->seq + l->payload_bytes;
	bool empty = !tl_direction__is(d, TL_DIRECTION_ACKED) || d->una == d->next_seq;
	struct taken taken = { 0 };

	if (tl_direction__is(d, TL_DIRECTION_BASED))
		look->segment->relative_seq = l->seq - d->base_seq;
	if (!l->payload_bytes || l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST) ||
	    !tl_direction__is(d, TL_DIRECTION_SEEN | TL_DIRECTION_BASED) ||
	    l->seq - d->next_seq + DAMAGED_REACH > 2 * DAMAGED_REACH)
		return;
	take_range(look, l->seq, end, &taken);
	if (taken.fresh + taken.filled)
		tl_ranges__add(look->pool, &d->damaged, l->seq, end);
	if (taken.fresh)
		note_new(look, empty);
}
