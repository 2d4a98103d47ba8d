/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A TCP connection through a tap, with the truth known: what the tracker's verdicts are held
 * against. Deterministic: all chance comes from the seed.
 *
 *   sender ──delay_a──► [loss, reordering] ──► TAP ──► [loss] ──delay_b──► receiver
 *   sender ◄──delay_a── [loss] ◄────────────── TAP ◄── [loss] ◄──delay_b── receiver
 *                                               │
 *                                            trace[] ─► mirror: doubles, drops ─► packets
 *
 * The sender does what Linux does, simplified: slow start, SACK or NewReno recovery, RTO of 200 ms
 * and more with doubling, tail-loss probe, zero-window probes and keep-alives at snd_una - 1. The
 * receiver delays ACKs, sends SACK and D-SACK, and now and then shuts its window.
 *
 * A frame's truth is what happened, told from the sender's and the receiver's own state and from
 * what passed the tap; frames of which the tap cannot know it are UNSURE.
 */
#ifndef TAPLINE_TESTS_TRACKER_SIM_H
#define TAPLINE_TESTS_TRACKER_SIM_H

#include "unit/sim_state.h"

/* --- sender --------------------------------------------------------------------------------- */

static inline uint32_t sim__seq(const struct sim *s, uint32_t segment)
{
	return s->o.isn + 1 + segment * SIM_MSS;
}

static inline struct sim_frame sim__frame(struct sim *s, uint8_t side, uint32_t bytes)
{
	struct sim_frame f = { .side = side, .bytes = bytes, .flags = TL_TCP_ACK, .window = 500 };

	f.has_ts = s->o.timestamps;
	f.tsval = (uint32_t)((s->now_ns + side * 77 * SIM_MS) / SIM_MS);
	f.ip_id = s->o.ip_id ? s->id[side]++ : 0;
	if (s->o.ip_id && !f.ip_id)
		f.ip_id = s->id[side]++;
	if (s->o.random_id)
		f.ip_id = (uint16_t)sim__between(s, 1, UINT16_MAX);
	f.ack = side ? 0 : (s->o.isn ^ 0x55555555u) + 1;
	return f;
}

static inline void sim__arm(struct sim *s, uint8_t timer, uint64_t after_ns)
{
	s->timer = timer;
	s->timer_generation++;
	sim__push(s, (struct sim_event){ .ns = s->now_ns + after_ns,
					 .type = EV_TIMER,
					 .timer = s->timer_generation });
}

static inline uint64_t sim__rto_ns(const struct sim *s)
{
	uint64_t var = 4 * s->var_ns > 200 * SIM_MS ? 4 * s->var_ns : 200 * SIM_MS;

	return (s->srtt_ns + var) << (s->backoff < 6 ? s->backoff : 6);
}

static inline void sim__set_timer(struct sim *s)
{
	if (s->una == s->next) {
		if (s->window_shut && s->next < s->limit)
			sim__arm(s, TIMER_PROBE, sim__rto_ns(s));
		else if (s->next == s->limit)
			sim__arm(s, TIMER_APP,
				 sim__chance(s, 0.03) ? sim__between(s, 2500, 4500) * SIM_MS
						      : sim__between(s, 1, 60) * SIM_MS);
		return;
	}
	if (!s->state && !s->tlp_sent && s->srtt_ns && s->o.sack && !s->backoff) {
		uint64_t pto = 2 * s->srtt_ns + (s->next - s->una == 1 ? 200 : 2) * SIM_MS;

		if (pto < sim__rto_ns(s)) {
			sim__arm(s, TIMER_TLP, pto);
			return;
		}
	}
	sim__arm(s, TIMER_RTO, sim__rto_ns(s));
}

/* Does the way before (0) or after (1) the tap lose this one? */
static inline bool sim__loses(struct sim *s, uint32_t place)
{
	double p = place ? s->o.loss_after : s->o.loss_before;

	if (!s->o.bursts)
		return sim__chance(s, p);
	s->losing[place] = sim__chance(s, s->losing[place] ? 0.75 : p / 4);
	return s->losing[place];
}

static inline void sim__transmit(struct sim *s, uint32_t segment, uint8_t trigger)
{
	struct sim_segment *seg = &s->seg[segment];
	struct sim_event e = { .type = EV_DATA_AT_TAP, .segment = segment };

	e.frame = sim__frame(s, 0, SIM_MSS);
	e.frame.seq = sim__seq(s, segment);
	e.frame.trigger = trigger;
	e.frame.truth = seg->sent ? TL_VERDICT_LOST_AFTER : TL_VERDICT_NEW; /* settled at the tap */
	seg->sent++;
	seg->sent_ns = s->now_ns;
	seg->lost = false;
	if (sim__loses(s, 0))
		return;
	e.lost = sim__loses(s, 1);
	s->link_ns = s->link_ns > s->now_ns ? s->link_ns + 800 : s->now_ns;
	if (s->o.freeze[0] > 0 && sim__chance(s, s->o.freeze[0]))
		s->link_ns += sim__between(s, 300, 900) * SIM_MS;
	e.ns = s->link_ns + s->o.delay_a_ns;
	if (sim__chance(s, s->o.reorder))
		e.ns += sim__between(s, 5000, s->o.reorder_ns);
	sim__push(s, e);
}

static inline uint32_t sim__pipe(const struct sim *s)
{
	uint32_t pipe = 0;

	for (uint32_t i = s->una; i < s->next; i++)
		pipe += !s->seg[i].sacked && !s->seg[i].lost;
	return pipe;
}

/* Lost ones first, then new ones; a little apart, as a NIC sends them. */
static inline void sim__send(struct sim *s)
{
	uint32_t pipe = sim__pipe(s);

	for (uint32_t i = s->una; i < s->next && pipe < s->cwnd; i++)
		if (s->seg[i].lost && !s->seg[i].sacked) {
			sim__transmit(s, i, s->state);
			if (i == s->una)
				sim__arm(s, TIMER_RTO, sim__rto_ns(s));
			pipe++;
		}
	while (s->next < s->limit && pipe < s->cwnd && !s->window_shut) {
		sim__transmit(s, s->next++, 0);
		pipe++;
	}
}

static inline void sim__measure(struct sim *s, uint64_t rtt_ns)
{
	uint64_t off;

	if (!s->srtt_ns) {
		s->srtt_ns = rtt_ns;
		s->var_ns = rtt_ns / 2;
		return;
	}
	off = rtt_ns > s->srtt_ns ? rtt_ns - s->srtt_ns : s->srtt_ns - rtt_ns;
	s->var_ns = (3 * s->var_ns + off) / 4;
	s->srtt_ns = (7 * s->srtt_ns + rtt_ns) / 8;
}

static inline void sim__take_sacks(struct sim *s, const struct sim_frame *f)
{
	for (uint32_t i = 0; i < f->sack_count; i++)
		for (uint32_t k = s->una; k < s->next; k++)
			if ((int32_t)(sim__seq(s, k) - f->sack[i].left) >= 0 &&
			    (int32_t)(f->sack[i].right - sim__seq(s, k + 1)) >= 0)
				s->seg[k].sacked = true;
}

/* RFC 6675: three SACKed above; RFC 8985: something sent later arrived. */
static inline bool sim__detect_losses(struct sim *s)
{
	uint64_t newest_ns = 0;
	uint32_t above = 0;
	bool found = false;

	for (uint32_t i = s->next; i-- > s->una;) {
		struct sim_segment *seg = &s->seg[i];

		if (seg->sacked) {
			above++;
			if (seg->sent == 1 && seg->sent_ns > newest_ns)
				newest_ns = seg->sent_ns;
			continue;
		}
		if (seg->lost || above < 3)
			continue;
		if (seg->sent > 1 && newest_ns < seg->sent_ns + s->srtt_ns / 4)
			continue;
		seg->lost = found = true;
	}
	return found;
}

static inline void sim__enter_recovery(struct sim *s, uint8_t trigger)
{
	if (s->state && trigger == TL_TRIGGER_FAST)
		return;
	s->state = trigger;
	s->recovery_end = s->next;
	s->cwnd = trigger == TL_TRIGGER_RTO ? 1 : s->cwnd > 8 ? s->cwnd / 2 : 4;
}

static inline void sim__on_advance(struct sim *s, uint32_t segment)
{
	const struct sim_segment *last = &s->seg[segment - 1];

	if (last->sent == 1)
		sim__measure(s, s->now_ns - last->sent_ns);
	s->una = segment;
	s->dupacks = 0;
	s->backoff = 0;
	s->tlp_sent = false;
	if (s->cwnd < 48)
		s->cwnd += 2;
	if (s->state && s->una >= s->recovery_end)
		s->state = TL_TRIGGER_NONE;
	else if (s->state == TL_TRIGGER_FAST && !s->o.sack && !s->seg[s->una].lost)
		s->seg[s->una].lost = true; /* NewReno: a partial ACK */
}

static inline void sim__on_ack(struct sim *s, const struct sim_frame *f)
{
	uint32_t segment = (f->ack - s->o.isn - 1) / SIM_MSS;
	uint32_t old_una = s->una;
	bool was_shut = s->window_shut;

	if (f->ack == s->o.isn + 1 + s->o.segments * SIM_MSS + 1)
		segment = s->o.segments;
	s->window_shut = !f->window;
	sim__take_sacks(s, f);
	if (segment > s->una)
		sim__on_advance(s, segment);
	else if (segment == s->una && s->next > s->una && was_shut == s->window_shut)
		s->dupacks++;
	if (s->o.sack ? sim__detect_losses(s) : s->dupacks == 3 && !s->state) {
		if (!s->o.sack)
			s->seg[s->una].lost = true;
		sim__enter_recovery(s, TL_TRIGGER_FAST);
	}
	sim__send(s);
	if (segment > old_una || was_shut != s->window_shut || s->timer == TIMER_NONE)
		sim__set_timer(s);
}

static inline void sim__probe(struct sim *s, uint8_t truth)
{
	struct sim_event e = { .type = EV_DATA_AT_TAP, .segment = UINT32_MAX };

	e.frame = sim__frame(s, 0, 0);
	e.frame.seq = sim__seq(s, s->una) - 1;
	e.frame.truth = truth;
	e.ns = s->now_ns + s->o.delay_a_ns;
	sim__push(s, e);
}

static inline void sim__app(struct sim *s)
{
	bool is_long = !s->o.dialog && sim__chance(s, 0.3);
	uint32_t more = (uint32_t)sim__between(s, 1, is_long ? 200 : 12);

	s->limit = s->limit + more < s->o.segments ? s->limit + more : s->o.segments;
	sim__send(s);
	sim__set_timer(s);
}

static inline void sim__on_rto(struct sim *s)
{
	s->backoff++;
	sim__enter_recovery(s, TL_TRIGGER_RTO);
	for (uint32_t i = s->una; i < s->next; i++)
		s->seg[i].lost = !s->seg[i].sacked;
	sim__send(s);
	sim__arm(s, TIMER_RTO, sim__rto_ns(s));
}

static inline void sim__on_timer(struct sim *s)
{
	uint8_t timer = s->timer;

	s->timer = TIMER_NONE;
	if (timer == TIMER_APP && s->limit < s->o.segments) {
		/* Some idle times are long enough for a keep-alive. */
		if (!s->window_shut && sim__chance(s, 0.05)) {
			sim__arm(s, TIMER_KEEPALIVE, sim__between(s, 1500, 2500) * SIM_MS);
			return;
		}
		sim__app(s);
	} else if (timer == TIMER_KEEPALIVE) {
		sim__probe(s, TL_VERDICT_KEEPALIVE);
		sim__arm(s, TIMER_APP, sim__between(s, 300, 600) * SIM_MS);
	} else if (timer == TIMER_TLP) {
		s->tlp_sent = true;
		/* For a lone segment it waits as long as an RTO would: no tap can tell them apart.
		 */
		if (!s->seg[s->next - 1].sacked)
			sim__transmit(s, s->next - 1,
				      s->next - s->una == 1 ? TL_TRIGGER_NONE : TL_TRIGGER_TLP);
		sim__arm(s, TIMER_RTO, sim__rto_ns(s));
	} else if (timer == TIMER_RTO && s->una < s->next) {
		sim__on_rto(s);
	} else if (timer == TIMER_PROBE) {
		sim__probe(s, TL_VERDICT_WINDOW_PROBE);
		s->backoff++;
		sim__arm(s, TIMER_PROBE, sim__rto_ns(s));
	}
}

/* --- receiver ------------------------------------------------------------------------------- */

static inline void sim__add_block(struct sim *s, struct sim_frame *f, uint32_t segment)
{
	uint32_t low = segment, high = segment + 1;

	while (low > s->rcv_next && s->seg[low - 1].received)
		low--;
	while (high < s->o.segments && s->seg[high].received)
		high++;
	for (uint32_t i = 0; i < f->sack_count; i++)
		if (f->sack[i].left == sim__seq(s, low))
			return;
	f->sack[f->sack_count++] =
		(struct tl_sack_block){ .left = sim__seq(s, low), .right = sim__seq(s, high) };
}

static inline void sim__send_ack(struct sim *s)
{
	struct sim_event e = { .type = EV_ACK_AT_TAP };
	struct sim_frame *f = &e.frame;

	*f = sim__frame(s, 1, 0);
	f->seq = (s->o.isn ^ 0x55555555u) + 1;
	f->ack = sim__seq(s, s->rcv_next);
	f->tsecr = s->tsecr;
	f->truth = TL_VERDICT_PURE_ACK;
	f->window = s->now_ns < s->stall_until_ns ? 0 : 500;
	s->stalled_told = !f->window;
	if (s->o.sack && s->dsack >= 0)
		f->sack[f->sack_count++] =
			(struct tl_sack_block){ .left = sim__seq(s, (uint32_t)s->dsack),
						.right = sim__seq(s, (uint32_t)s->dsack + 1) };
	for (uint32_t i = 0; s->o.sack && i < 3 && f->sack_count < 3; i++)
		if (s->recent[i] > s->rcv_next && s->recent[i] < s->o.segments &&
		    s->seg[s->recent[i]].received)
			sim__add_block(s, f, s->recent[i]);
	s->dsack = -1;
	s->unacked = 0;
	if (sim__chance(s, s->o.ack_loss / 2))
		return;
	e.lost = sim__chance(s, s->o.ack_loss / 2);
	e.ns = s->now_ns + s->o.delay_b_ns;
	sim__push(s, e);
}

static inline void sim__on_data(struct sim *s, uint32_t segment, const struct sim_frame *f)
{
	struct sim_segment *seg;
	uint32_t old = s->rcv_next;
	bool at_once;

	if (segment == UINT32_MAX) {
		sim__send_ack(s);
		return;
	}
	seg = &s->seg[segment];
	if (seg->received)
		s->dsack = segment;
	at_once = seg->received || segment != s->rcv_next;
	if (segment > s->rcv_next && !seg->received) {
		s->recent[2] = s->recent[1];
		s->recent[1] = s->recent[0];
		s->recent[0] = segment;
	}
	seg->received = true;
	while (s->rcv_next < s->o.segments && s->seg[s->rcv_next].received)
		s->rcv_next++;
	if (segment == old)
		s->tsecr = f->tsval;
	if (s->o.stalls && s->now_ns >= s->stall_until_ns && !at_once &&
	    s->rcv_next == segment + 1 && sim__chance(s, 0.004)) {
		s->stall_until_ns = s->now_ns + sim__between(s, 500, 3000) * SIM_MS;
		/* No timer of the sender: it wakes the receiver to tell that the window is open. */
		sim__push(s, (struct sim_event){ .ns = s->stall_until_ns, .type = EV_TIMER });
		at_once = true;
	}
	if (at_once || s->rcv_next > old + 1 || ++s->unacked >= 2 || segment + 1 == s->limit)
		sim__send_ack(s);
	else
		sim__push(s, (struct sim_event){ .ns = s->now_ns + 40 * SIM_MS, .type = EV_TIMER });
}

/* --- tap ------------------------------------------------------------------------------------ */

static inline void sim__record(struct sim *s, const struct sim_frame *f)
{
	if (s->trace_count >= SIM_TRACE)
		abort();
	s->trace[s->trace_count] = *f;
	s->trace[s->trace_count++].ts_ns = s->o.from_ns + s->now_ns;
}

static inline void sim__data_at_tap(struct sim *s, struct sim_event *e)
{
	struct sim_segment *seg = e->segment == UINT32_MAX ? NULL : &s->seg[e->segment];

	if (seg) {
		if (e->frame.truth == TL_VERDICT_NEW) {
			if (e->segment < s->tap_highest && !seg->passed)
				e->frame.truth = TL_VERDICT_REORDERED;
			else if (seg->passed || seg->heard)
				e->frame.truth = SIM_UNSURE; /* overtaken by its own repeat */
		} else if (seg->heard) {
			e->frame.truth = TL_VERDICT_SPURIOUS;
		} else if (seg->passed) {
			e->frame.truth = TL_VERDICT_LOST_AFTER;
		} else {
			e->frame.truth =
				e->segment < s->tap_highest ? TL_VERDICT_LOST_BEFORE : SIM_UNSURE;
		}
		if (s->window_shut && e->frame.truth != TL_VERDICT_NEW)
			e->frame.truth = SIM_UNSURE;
		seg->passed = true;
		if (e->segment >= s->tap_highest)
			s->tap_highest = e->segment + 1;
	}
	sim__record(s, &e->frame);
	if (e->lost)
		return;
	e->type = EV_DATA_ARRIVES;
	if (s->far_ns < s->now_ns)
		s->far_ns = s->now_ns;
	if (s->o.freeze[1] > 0 && sim__chance(s, s->o.freeze[1]))
		s->far_ns += sim__between(s, 300, 900) * SIM_MS;
	e->ns = s->far_ns + s->o.delay_b_ns;
	sim__push(s, *e);
}

static inline void sim__ack_at_tap(struct sim *s, struct sim_event *e)
{
	uint32_t segment = (e->frame.ack - s->o.isn - 1) / SIM_MSS;

	sim__record(s, &e->frame);
	for (uint32_t i = s->una; i < s->next; i++) {
		if (i < segment)
			s->seg[i].heard = true;
		for (uint32_t k = 0; k < e->frame.sack_count; k++)
			if ((int32_t)(sim__seq(s, i) - e->frame.sack[k].left) >= 0 &&
			    (int32_t)(e->frame.sack[k].right - sim__seq(s, i + 1)) >= 0)
				s->seg[i].heard = true;
	}
	if (e->lost)
		return;
	e->type = EV_ACK_ARRIVES;
	e->ns = s->now_ns + s->o.delay_a_ns;
	sim__push(s, *e);
}

/* SYN (sometimes twice), SYN-ACK, ACK. */
static inline void sim__handshake(struct sim *s)
{
	struct sim_frame f = sim__frame(s, 0, 0);
	uint64_t rtt_ns = 2 * (s->o.delay_a_ns + s->o.delay_b_ns);

	f.flags = TL_TCP_SYN;
	f.seq = s->o.isn;
	f.ack = 0;
	f.truth = TL_VERDICT_NEW;
	sim__record(s, &f);
	if (sim__chance(s, 0.3)) {
		s->now_ns += 1000 * SIM_MS;
		f.tsval += 1000;
		f.ip_id += (uint16_t)(f.ip_id != 0);
		f.truth = TL_VERDICT_SYN_RETRANSMIT;
		f.trigger = TL_TRIGGER_RTO;
		sim__record(s, &f);
		s->id[0]++;
	}
	s->now_ns += 2 * s->o.delay_b_ns;
	f = sim__frame(s, 1, 0);
	f.flags = TL_TCP_SYN | TL_TCP_ACK;
	f.seq = s->o.isn ^ 0x55555555u;
	f.ack = s->o.isn + 1;
	f.ip_id = 0;
	f.truth = TL_VERDICT_NEW;
	sim__record(s, &f);
	s->now_ns += 2 * s->o.delay_a_ns;
	f = sim__frame(s, 0, 0);
	f.seq = s->o.isn + 1;
	f.truth = TL_VERDICT_PURE_ACK;
	sim__record(s, &f);
	sim__measure(s, rtt_ns);
}

static inline void sim__fin(struct sim *s, uint8_t side)
{
	struct sim_frame f = sim__frame(s, side, 0);

	f.flags = TL_TCP_FIN | TL_TCP_ACK;
	f.seq = side ? (s->o.isn ^ 0x55555555u) + 1 : sim__seq(s, s->o.segments);
	f.ack = side ? sim__seq(s, s->o.segments) + 1 : (s->o.isn ^ 0x55555555u) + 1;
	f.truth = TL_VERDICT_NEW;
	sim__record(s, &f);
	s->now_ns += s->o.delay_b_ns + s->o.delay_a_ns;
}

static inline void sim__step(struct sim *s)
{
	struct sim_event e = sim__pop(s);

	s->now_ns = e.ns > s->now_ns ? e.ns : s->now_ns;
	if (e.type == EV_DATA_AT_TAP)
		sim__data_at_tap(s, &e);
	else if (e.type == EV_DATA_ARRIVES)
		sim__on_data(s, e.segment, &e.frame);
	else if (e.type == EV_ACK_AT_TAP)
		sim__ack_at_tap(s, &e);
	else if (e.type == EV_ACK_ARRIVES)
		sim__on_ack(s, &e.frame);
	else if (!e.timer) {
		if (s->unacked || (s->stalled_told && s->now_ns >= s->stall_until_ns))
			sim__send_ack(s);
	} else if (e.timer == s->timer_generation)
		sim__on_timer(s);
}

/* The whole connection; the caller frees trace. */
static inline struct sim *sim__run(const struct sim_opts *opts)
{
	struct sim *s = calloc(1, sizeof(*s));

	if (!s || opts->segments > SIM_SEGMENTS)
		abort();
	s->o = *opts;
	s->rng = opts->seed * 0x9e3779b97f4a7c15u | 1;
	s->heap = calloc(SIM_EVENTS, sizeof(*s->heap));
	s->trace = calloc(SIM_TRACE, sizeof(*s->trace));
	if (!s->heap || !s->trace)
		abort();
	s->cwnd = 10;
	s->dsack = -1;
	s->id[0] = (uint16_t)sim__random(s);
	s->id[1] = (uint16_t)sim__random(s);
	for (uint32_t i = 0; i < 16; i++)
		sim__random(s);
	sim__handshake(s);
	sim__app(s);
	while (s->una < s->o.segments && s->heap_count)
		sim__step(s);
	/* What is still on its way does not matter any more. */
	s->now_ns += 50 * SIM_MS;
	sim__fin(s, 0);
	sim__fin(s, 1);
	return s;
}

static inline void sim__free(struct sim *s)
{
	free(s->heap);
	free(s->trace);
	free(s);
}

#endif
