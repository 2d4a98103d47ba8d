/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tracker.h. For each packet of a batch, in order:
 *
 *   copy? ─► damaged? ─► holes whose time has passed ─► its bytes ─► its ACK and SACKs ─► one way
 * or two?
 *
 * A copy changes nothing but the count of copies. Of a damaged one only its bytes count, as seen.
 */
#include "core/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"
#include "core/tracker_tcp.h"
#include "tapline/fetch.h"

#define RANGES_LEAST 1024u
#define RANGES_MOST  65536u

/* Packets whose memory is fetched before the first of them is looked at: more do not fit in L1. */
#define AHEAD 16u

/* A direction that only sends, unheard, for this long and this much must be answered unseen. */
#define ONE_WAY_AFTER_NS 1000000000ull
#define ONE_WAY_BYTES	 65536u

/* Ethernet with two tags. */
#define FRAME_MAX  1522u
#define SUMS_LEAST 32u /* good ones, before a bad one of an unknown sender is damage */

#define TICK_US 3000u /* a clock of milliseconds, and what the tap's may be off */

struct tl_tracker {
	struct tl_tracker_totals totals;
	struct tl_copies copies;
	struct tl_range_pool pool;
	struct tl_report report;
	uint64_t good_sums, bad_sums;	  /* packets of the worker's */
	uint64_t good_jumbos, bad_jumbos; /* those of them beyond FRAME_MAX */
	struct tl_print_key key[AHEAD];
};

size_t tl_tracker__flow_bytes(void)
{
	return (sizeof(struct tl_tracked) + 63) / 64 * 64;
}

int tl_tracker__create(const struct tl_analysis_worker_opts *opts, struct tl_tracker **ret_tracker)
{
	struct tl_tracker *tracker = calloc(1, sizeof(*tracker));
	uint32_t ranges =
		opts->flow_capacity < RANGES_MOST / 4 ? opts->flow_capacity * 4 : RANGES_MOST;

	if (!tracker)
		return -ENOMEM;
	if (ranges < RANGES_LEAST)
		ranges = RANGES_LEAST;
	if (tl_copies__init(&tracker->copies) || tl_range_pool__init(&tracker->pool, ranges)) {
		tl_tracker__destroy(tracker);
		return -ENOMEM;
	}
	tl_report__init(&tracker->report, opts);
	*ret_tracker = tracker;
	return 0;
}

void tl_tracker__destroy(struct tl_tracker *tracker)
{
	if (!tracker)
		return;
	tl_copies__fini(&tracker->copies);
	tl_range_pool__fini(&tracker->pool);
	free(tracker);
}

/* --- one way or two ------------------------------------------------------------------------- */

/* Must the other side have sent something, though nothing of it was seen? */
static bool proves_unseen(const struct tl_look *look)
{
	const struct tl_direction *d = look->d;
	uint8_t flags = look->l->tcp_flags;

	if (flags & (TL_TCP_SYN | TL_TCP_RST))
		return false;
	/* A client's ACK answers a SYN-ACK; an ACK that moves answers bytes. */
	if (tl_direction__is(d, TL_DIRECTION_SYN) || look->segment->acked_bytes)
		return true;
	return d->next_seq - d->base_seq >= ONE_WAY_BYTES &&
	       look->now_ns - look->flow->first_ns >= ONE_WAY_AFTER_NS;
}

static void count_ways(struct tl_look *look)
{
	struct tl_tracked *f = look->flow;

	f->flags |= look->d == &f->dir[0] ? TL_TRACKED_SIDE_0 : TL_TRACKED_SIDE_1;
	if (f->flags & TL_TRACKED_TWO_WAY)
		return;
	if (f->flags & TL_TRACKED_SIDE_0 && f->flags & TL_TRACKED_SIDE_1) {
		f->flags |= TL_TRACKED_TWO_WAY;
		look->totals->two_way_flows++;
		if (f->flags & TL_TRACKED_ONE_WAY)
			look->totals->one_way_flows--;
	} else if (!(f->flags & TL_TRACKED_ONE_WAY) && proves_unseen(look)) {
		f->flags |= TL_TRACKED_ONE_WAY;
		look->totals->one_way_flows++;
	}
}

/* --- one packet ----------------------------------------------------------------------------- */

static inline struct tl_tracked *state_of(const struct tl_batch *batch, const struct tl_flow *flow,
					  size_t flow_offset)
{
	return (struct tl_tracked *)(batch->slab + (size_t)flow->index * batch->slab_stride +
				     flow_offset);
}

/* Is there a TCP header to look at? */
static inline bool has_tcp(const struct tl_packet *packet, const struct tl_layers *l)
{
	return l->proto == 6 && l->l4_offset &&
	       !(l->flags & (TL_LAYERS_FRAGMENT_LATER | TL_LAYERS_MALFORMED)) &&
	       packet->caplen >= l->l4_offset + 20u;
}

/* It equals one of the latest: sent again by the mirror or the sender? */
static bool judge_tcp_copy(struct tl_tracker *tracker, const struct tl_look *look,
			   struct tl_copy_hint hint)
{
	const struct tl_print_key *key = look->key;
	const struct tl_tracked *f = look->flow;
	const struct tl_direction *d = look->d;

	hint.loss_signal = d->dup_acks || d->sacked.head;
	/* Half of the way is no lower bound for a round trip. */
	if (f->dir[0].min_rtt_us && f->dir[1].min_rtt_us)
		hint.min_rtt_us = f->dir[0].min_rtt_us + f->dir[1].min_rtt_us;
	if (!key->strength && look->l->flags & TL_LAYERS_TCP_TS &&
	    tl_tracked__ticks_ms(f, d, look->now_ns))
		hint.tick_us = TICK_US;
	return tl_copies__check(&tracker->copies, key, look->now_ns, &hint);
}

static inline bool is_tcp_copy(struct tl_tracker *tracker, const struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_copy_hint hint = {
		.occupies = l->payload_bytes || l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN),
	};

	/* Some senders give all their packets one IP ID (RFC 6864 lets them). */
	if (tl_direction__is(look->d, TL_DIRECTION_SAME_ID))
		look->key->strength = TL_PRINT_WEAK;
	if (tl_copies__find(&tracker->copies, look->key))
		return judge_tcp_copy(tracker, look, hint);
	tl_copies__remember(&tracker->copies, look->key, look->now_ns, &hint);
	return false;
}

/* Learns whether the sender changes its IP IDs, for what is not TCP. */
static void learn_id(struct tl_tracker *tracker, struct tl_direction *d, uint16_t ip_id)
{
	tl_copies__note_id(&tracker->copies, ip_id);
	if (!d)
		return;
	if (tl_direction__is(d, TL_DIRECTION_SEEN) && d->ip_id != ip_id) {
		d->flags &= (uint16_t)~TL_DIRECTION_SAME_ID;
		d->id_score = 1;
	} else if (tl_direction__is(d, TL_DIRECTION_SEEN)) {
		d->flags |= TL_DIRECTION_SAME_ID;
		d->id_score = 0;
	}
	d->flags |= TL_DIRECTION_SEEN;
	d->ip_id = ip_id;
}

static bool is_datagram_copy(struct tl_tracker *tracker, const struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	struct tl_copies *copies = &tracker->copies;
	struct tl_direction *d = look->d;
	bool has_id = l->ip_version == 4 && l->ip_id, is_copy;

	if (has_id && d && tl_direction__is(d, TL_DIRECTION_SAME_ID))
		look->key->strength = TL_PRINT_WEAK;
	else if (has_id && !(d && d->id_score))
		look->key->strength = (uint8_t)tl_copies__id_strength(copies);
	is_copy = tl_copies__check(copies, look->key, look->now_ns, NULL);
	if (has_id && !is_copy)
		learn_id(tracker, d, (uint16_t)l->ip_id);
	tracker->totals.copies += copies->due;
	tracker->totals.copy_bytes += copies->due_bytes;
	copies->due = 0;
	copies->due_bytes = 0;
	return is_copy;
}

static inline bool is_copy(struct tl_tracker *tracker, const struct tl_look *look)
{
	if (!look->key->path)
		return false;
	return look->flow ? is_tcp_copy(tracker, look) : is_datagram_copy(tracker, look);
}

static inline void take_tcp(struct tl_tracker *tracker, struct tl_look *look)
{
	struct tl_tracked *f = look->flow;
	struct tl_direction *d = look->d;

	if (!(f->flags & TL_TRACKED_COUNTED)) {
		f->flags |= TL_TRACKED_COUNTED;
		f->first_ns = look->now_ns;
		tracker->totals.tcp_flows++;
		tracker->totals.midstream_flows += !(look->l->tcp_flags & TL_TCP_SYN);
	}
	if (f->dir[0].holes.head)
		tl_direction__expire_holes(look, &f->dir[0], false);
	if (f->dir[1].holes.head)
		tl_direction__expire_holes(look, &f->dir[1], false);
	if (look->segment->verdict == TL_VERDICT_DAMAGED) {
		tl_look__damaged_bytes(look);
		return;
	}
	tl_look__bytes(look);
	if (look->segment->verdict == TL_VERDICT_NOT_TRACKED)
		return;
	tl_look__ack(look);
	look->segment->missed_bytes = d->pending_missed;
	d->pending_missed = 0;
	if (tl_direction__is(d, TL_DIRECTION_ACKED) && tl_seq__before(d->una, d->next_seq))
		look->segment->flight_bytes = d->next_seq - d->una;
	count_ways(look);
}

/* --- damaged on the way here ---------------------------------------------------------------- */

static inline void count_sum(uint8_t *count)
{
	if (*count < UINT8_MAX)
		++*count;
}

/*
 * Does a bad checksum mean damage? Not of a sender that leaves them to its NIC, nor in a capture
 * whose addresses were rewritten. So good ones must have been seen: of the same sender in this
 * flow, no fewer than bad ones; or nearly everywhere. Long frames may be several that a NIC put
 * together, with the checksum of the first, unless others are seen to be right.
 */
static bool means_damage(const struct tl_tracker *tracker, const struct tl_direction *d,
			 const struct tl_packet *packet)
{
	if (packet->wirelen > FRAME_MAX && tracker->good_jumbos < 8 * tracker->bad_jumbos)
		return false;
	if (d && d->good_sums)
		return d->good_sums >= d->bad_sums;
	return tracker->good_sums > SUMS_LEAST && tracker->bad_sums < tracker->good_sums / 8;
}

static inline void check_sum(struct tl_tracker *tracker, const struct tl_packet *packet,
			     const struct tl_look *look)
{
	struct tl_direction *d = look->flow ? look->d : NULL;
	bool is_jumbo = packet->wirelen > FRAME_MAX;
	uint8_t sum = tl_checksum__packet(packet, look->l);

	look->segment->sum = sum;
	if (sum == TL_SUM_GOOD) {
		tracker->good_sums++;
		tracker->good_jumbos += is_jumbo;
		if (d)
			count_sum(&d->good_sums);
	} else if (sum != TL_SUM_UNKNOWN) {
		tracker->bad_sums++;
		tracker->bad_jumbos += is_jumbo;
		if (d)
			count_sum(&d->bad_sums);
		if (means_damage(tracker, d, packet))
			look->segment->verdict = TL_VERDICT_DAMAGED;
	}
}

/* --- all of it ------------------------------------------------------------------------------ */

/* Whose address it is was seen sending; once a tick and direction of a flow is enough. */
static inline void tell_sender(struct tl_tracker *tracker, const struct tl_look *look)
{
	const struct tl_layers *l = look->l;
	uint8_t *round = NULL;
	struct tl_report_host host;

	if (look->flow)
		round = &look->flow->host_round[look->d != &look->flow->dir[0]];
	if ((round && *round == tracker->report.round) || !l->src || !l->ip_version)
		return;
	host = (struct tl_report_host){
		.ip = l->src,
		.ip_version = l->ip_version,
		.only_syn = l->proto == 6 && l->tcp_flags == TL_TCP_SYN,
	};
	if (tl_report__host(&tracker->report, &host, look->now_ns) && round)
		*round = tracker->report.round;
}

static inline void classify_one(struct tl_tracker *tracker, const struct tl_packet *packet,
				struct tl_look *look)
{
	const struct tl_layers *l = look->l;

	if (is_copy(tracker, look)) {
		look->segment->verdict = TL_VERDICT_COPY;
		tracker->totals.copies++;
		tracker->totals.copy_bytes += packet->wirelen;
		return;
	}
	check_sum(tracker, packet, look);
	if (look->segment->verdict != TL_VERDICT_DAMAGED)
		tell_sender(tracker, look);
	if (look->flow)
		take_tcp(tracker, look);
	else if (!look->d || l->flags & TL_LAYERS_FRAGMENT_LATER)
		look->segment->verdict = TL_VERDICT_NOT_TRACKED;
}

/* A packet touches nearly all of it, and the misses of a batch overlap. */
static void prefetch_state(const struct tl_tracked *f)
{
	for (size_t at = 0; at < sizeof(*f); at += 64)
		tl_fetch((const char *)f + at);
}

/* Fetches what the packet will ask for. */
static inline void prepare(struct tl_tracker *tracker, const struct tl_batch *batch, uint32_t i,
			   size_t flow_offset)
{
	const struct tl_flow *flow = batch->lookup[i].ret_flow;
	struct tl_print_key *key = &tracker->key[i % AHEAD];

	if (tl_copies__key(&tracker->copies, &batch->packet[i], &batch->layers[i], key))
		tl_copies__prefetch(&tracker->copies, key);
	if (flow)
		prefetch_state(state_of(batch, flow, flow_offset));
}

/* What packet i is to a flow's state: its `flow` is of TCP alone, its `d` NULL without one. */
static inline void begin_look(struct tl_look *look, const struct tl_batch *batch, uint32_t i,
			      size_t flow_offset)
{
	const struct tl_flow *flow = batch->lookup[i].ret_flow;
	uint8_t side = batch->lookup[i].ret_side;
	struct tl_tracked *f;

	look->l = &batch->layers[i];
	look->now_ns = batch->packet[i].ts_ns;
	look->frame = batch->packet[i].frame;
	look->timed_out = false;
	look->flow = NULL;
	look->d = look->peer = NULL;
	if (!flow)
		return;
	f = state_of(batch, flow, flow_offset);
	if (has_tcp(&batch->packet[i], look->l))
		look->flow = f;
	else if (look->l->proto == 6)
		return;
	look->d = &f->dir[side];
	look->peer = &f->dir[!side];
}

void tl_tracker__classify(struct tl_tracker *tracker, const struct tl_batch *batch,
			  size_t flow_offset, struct tl_segment *ret_segments)
{
	struct tl_look look = {
		.pool = &tracker->pool,
		.totals = &tracker->totals,
		.report = &tracker->report,
	};

	if (!tracker->copies.has_begun && batch->n)
		tl_copies__begin(&tracker->copies, &batch->packet[0]);
	memset(ret_segments, 0, batch->n * sizeof(*ret_segments));
	for (uint32_t at = 0, end; at < batch->n; at = end) {
		end = batch->n - at < AHEAD ? batch->n : at + AHEAD;
		for (uint32_t i = at; i < end; i++)
			prepare(tracker, batch, i, flow_offset);
		for (uint32_t i = at; i < end; i++) {
			look.segment = &ret_segments[i];
			look.key = &tracker->key[i % AHEAD];
			begin_look(&look, batch, i, flow_offset);
			classify_one(tracker, &batch->packet[i], &look);
		}
	}
}

/* --- the rest ------------------------------------------------------------------------------- */

void tl_tracker__tick(struct tl_tracker *tracker, uint64_t now_ns)
{
	tracker->totals.ranges_forgotten = tracker->pool.forgotten;
	tl_report__flush(&tracker->report, &tracker->totals, now_ns);
}

void tl_tracker__flow_end(struct tl_tracker *tracker, const struct tl_flow *flow, void *flow_state,
			  enum tl_flow_end end)
{
	struct tl_tracked *f = flow_state;
	struct tl_segment unused = { 0 };
	struct tl_look look = {
		.pool = &tracker->pool,
		.totals = &tracker->totals,
		.report = &tracker->report,
		.flow = f,
		.segment = &unused,
		.now_ns = flow->last_ns,
	};
	bool closed[2];

	if (!(f->flags & TL_TRACKED_COUNTED))
		return;
	tl_direction__expire_holes(&look, &f->dir[0], true);
	tl_direction__expire_holes(&look, &f->dir[1], true);
	for (uint32_t side = 0; side < 2; side++)
		closed[side] = f->dir[side].flags & (TL_DIRECTION_FIN | TL_DIRECTION_ALONE);
	for (uint32_t side = 0; side < 2; side++) {
		struct tl_direction *d = &f->dir[side];
		bool fin = end == TL_FLOW_END_CLOSED || d->flags & TL_DIRECTION_ALONE;

		tl_direction__close_holes(&look, d, closed[!side]);
		tl_direction__settle_doubt(&look, d, !fin && !closed[!side]);
		tl_ranges__clear(&tracker->pool, &d->sacked);
		tl_ranges__clear(&tracker->pool, &d->damaged);
	}
}

void tl_tracker__finish(struct tl_tracker *tracker, uint64_t now_ns)
{
	tl_tracker__tick(tracker, now_ns);
}

void tl_tracker__totals(const struct tl_tracker *tracker, struct tl_tracker_totals *ret_totals)
{
	*ret_totals = tracker->totals;
	ret_totals->ranges_forgotten = tracker->pool.forgotten;
}
