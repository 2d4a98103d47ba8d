/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words the findings of tcp.loss, and weighs them. Pure functions of a group and the facts.
 *
 * TCP loses segments in good health: that is how it finds out how fast it may send. So what is
 * weighed is the rate, whether the loss came in one burst (a queue that ran over once), and
 * whether connections hung.
 */
#include "core/loss.h"

#define RATE_WARNING	0.01
#define RATE_ERROR	0.05
#define LEAST_WARNING	5
#define LEAST_ERROR	20
#define FEW_LOST	50
#define WIDE_SHARE	4u /* of a host's peers, one in so many must lose */
#define HUNG_WARNING_MS 1000
#define HUNG_ERROR_MS	3000

#define LONG_BYTES 1200u /* a segment that fits no tunnel's MTU, as a rule */
#define LONG_RTOS  3u

struct words {
	const struct loss_group *g;
	uint64_t lost, segments;
	uint64_t rto, fast, tlp, bytes, flows, bursts;
	uint32_t burst_most, hung_ms, stuck_ms;
	uint64_t spurious, reordered;
	uint64_t stuck_lost, stuck_flows;
	double rate;
	enum loss_direction direction; /* in which more was lost */
	enum loss_place place;	       /* seen from the tap, in that direction */
};

static uint64_t at_least_0(int32_t n)
{
	return n > 0 ? (uint64_t)n : 0;
}

static uint64_t lost_in(const struct loss_group *g, unsigned direction)
{
	return at_least_0(g->count[direction].lost);
}

static struct words words_of(const struct loss_group *g)
{
	struct words w = { .g = g };

	for (unsigned d = 0; d < 2; d++) {
		const struct loss_count *c = &g->count[d];

		w.lost += lost_in(g, d);
		w.segments += g->traffic.segments[d];
		w.rto += c->rto;
		w.fast += c->fast;
		w.tlp += c->tlp;
		w.bytes += c->retransmitted_bytes;
		w.flows += c->flows;
		w.bursts += c->bursts;
		w.burst_most = c->burst_most > w.burst_most ? c->burst_most : w.burst_most;
		w.hung_ms = c->hung_ms > w.hung_ms ? c->hung_ms : w.hung_ms;
		w.stuck_ms = c->stuck_ms > w.stuck_ms ? c->stuck_ms : w.stuck_ms;
		w.spurious += g->traffic.spurious[d];
		w.reordered += g->traffic.reordered[d];
	}
	for (unsigned d = 0; d < 2; d++) {
		w.stuck_lost += at_least_0(g->count[d].stuck_lost);
		w.stuck_flows += at_least_0(g->count[d].stuck_flows);
	}
	/* A flow, or a burst, that goes on after its finding was settled is not new. */
	w.flows += !w.flows;
	w.bursts += !w.bursts;
	if (w.stuck_lost > w.lost)
		w.stuck_lost = w.lost;
	if (w.segments < w.lost)
		w.segments = w.lost;
	w.rate = (double)w.lost / (double)w.segments;
	w.direction = lost_in(g, LOSS_DOWN) > lost_in(g, LOSS_UP) ? LOSS_DOWN : LOSS_UP;
	w.place = loss_side_of(w.direction, LOSS_BEFORE) == g->side ? LOSS_BEFORE : LOSS_AFTER;
	return w;
}

static bool is_bursty(const struct words *w)
{
	return w->bursts && w->lost / w->bursts >= 4;
}

/*
 * Most of what was sent again had arrived, and no timer had to help: segments overtook each other,
 * so that the few that seem lost are most likely late ones, too. Not so many: where segments are
 * lost a busy sender repeats others as well, and D-SACKs tell them apart.
 */
static bool is_reordering(const struct words *w)
{
	const uint64_t times = w->lost < FEW_LOST ? 1 : 4;

	return w->spurious > times * w->lost && !w->rto && !w->hung_ms && !w->stuck_ms;
}

/*
 * A queue ran over a few times: how much of the traffic that was depends on how much of it was seen
 * so far, and a capture that just began saw little.
 */
static bool is_seldom(const struct words *w, double rate)
{
	return is_bursty(w) && w->bursts < LEAST_WARNING && rate < RATE_ERROR;
}

/* What the network lost: not what was sent to a host that is gone. */
static enum tl_severity severity_of_rate(const struct words *w)
{
	/* One burst a flow, mended at once: a queue ran over when it sped up (slow start). */
	bool once = (w->bursts <= w->flows && !w->rto) || is_reordering(w);
	uint64_t lost = w->lost - w->stuck_lost;
	double rate = (double)lost / (double)w->segments;

	if (once || lost < LEAST_WARNING || rate < RATE_WARNING || is_seldom(w, rate))
		return TL_INFO;
	/* Some of many hosts are always far away, or on the move: then it is theirs. */
	if (w->g->is_wide && w->g->peers < w->g->fan / WIDE_SHARE)
		return TL_INFO;
	return lost >= LEAST_ERROR && rate >= RATE_ERROR ? TL_ERROR : TL_WARNING;
}

static void weigh_gone(const struct words *w, struct tl_finding *f)
{
	if (w->g->is_explained)
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"connect.* tells why: the host, or the way to it, is gone");
	else if (w->stuck_ms >= HUNG_ERROR_MS && f->severity < TL_WARNING)
		f->severity = TL_WARNING;
}

static void weigh(const struct words *w, const struct tl_judge_facts *facts, struct tl_finding *f)
{
	struct tl_tracker_totals totals;
	uint64_t drops = tl_facts__capture_drops(facts);

	f->severity = severity_of_rate(w);
	if (w->hung_ms >= HUNG_WARNING_MS && f->severity < TL_WARNING)
		f->severity = TL_WARNING;
	if (w->hung_ms >= HUNG_ERROR_MS)
		f->severity = TL_ERROR;
	weigh_gone(w, f);
	f->confidence = w->lost >= LEAST_WARNING ? 0.95 : 0.85;
	tl_facts__tracker_totals(facts, &totals);
	if (drops || totals.missed_segments) {
		f->confidence -= totals.missed_segments > w->lost ? 0.3 : 0.15;
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"the capture itself missed %llu segments: the place may be wrong",
			(unsigned long long)(totals.missed_segments > drops ? totals.missed_segments
									    : drops));
	}
	if (tl_facts__two_way(facts) == TL_TWO_WAY_NO) {
		f->confidence -= 0.2;
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "only one direction is mirrored: ACKs are unseen");
	}
	if (w->spurious > w->lost)
		tl_finding__counter_evidence(
			f, 0, f->last_ns, "%llu more were sent again without need: delay, not loss",
			(unsigned long long)w->spurious);
	if (w->g->withheld)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu connections were left out under load",
					     (unsigned long long)w->g->withheld);
}

/* Is nothing lost but long segments, for which the sender waits in vain again and again? */
static bool is_long_only(const struct words *w)
{
	unsigned proofs = 0;

	if (w->fast || w->rto < LONG_RTOS || w->hung_ms < HUNG_WARNING_MS)
		return false;
	for (unsigned d = 0; d < 2; d++) {
		const struct loss_count *c = &w->g->count[d];

		for (unsigned i = 0; i < LOSS_EARLY + LOSS_LATE; i++) {
			const struct loss_proof *p =
				i < LOSS_EARLY ? &c->early[i] : &c->late[i - LOSS_EARLY];

			if (p->ts_ns && p->bytes < LONG_BYTES)
				return false;
			proofs += p->ts_ns != 0;
		}
	}
	return proofs >= LONG_RTOS;
}

static void write_sentences(const struct words *w, struct tl_finding *f)
{
	const struct loss_group *g = w->g;
	const char *side = g->side == LOSS_CLIENT_SIDE ? "client" : "server";
	char host[TL_TEXT_IP + 16], whom[TL_TEXT_IP + 16], target[TL_TEXT_ENDPOINT + 16],
		hung[TL_TEXT_SPAN], wait[64] = "";

	tl_text__ip(&g->host, host);
	if (g->is_wide)
		snprintf(target, sizeof(target), "many of them");
	else if (g->peers > 1)
		snprintf(target, sizeof(target), "its %u peers", g->peers);
	else if (g->side == LOSS_SERVER_SIDE)
		tl_text__ip(&g->subject.client, target);
	else
		tl_text__endpoint(&g->subject.server, target);
	if (g->is_wide) {
		snprintf(whom, sizeof(whom), "%ss of %.*s", side, TL_TEXT_IP, host);
		memcpy(host, whom, sizeof(host));
	} else {
		snprintf(whom, sizeof(whom), "%s %.*s", side, TL_TEXT_IP, host);
	}
	if (w->hung_ms >= HUNG_WARNING_MS || w->stuck_ms >= HUNG_WARNING_MS) {
		tl_text__span((w->hung_ms > w->stuck_ms ? w->hung_ms : w->stuck_ms) * TL_NS_PER_MS,
			      hung);
		snprintf(wait, sizeof(wait), "; one hung for %s", hung);
	}
	if (w->stuck_lost == w->lost)
		tl_finding__summary(f,
				    "%llu segment%s sent to %s again in %llu connection%s with %s, "
				    "and nothing came back any more%s",
				    (unsigned long long)w->lost, w->lost == 1 ? " was" : "s were",
				    host, (unsigned long long)w->flows, tl_text__plural(w->flows),
				    target, wait);
	else
		tl_finding__summary(
			f,
			"%llu of %llu segments (%.2f %%) were lost between this tap and the %s, "
			"in %llu connection%s with %s%s",
			(unsigned long long)w->lost, (unsigned long long)w->segments, 100 * w->rate,
			whom, (unsigned long long)w->flows, tl_text__plural(w->flows), target,
			wait);
	if (w->stuck_ms > w->hung_ms || w->stuck_lost == w->lost)
		tl_finding__cause(f,
				  "%s, or the way to it, was gone: nothing that was sent again got "
				  "through",
				  host);
	else if (is_long_only(w))
		tl_finding__cause(
			f,
			"only long segments are lost, each time: a link with a smaller MTU "
			"on the %s's side (a tunnel, PPPoE) swallows them, and the ICMP "
			"error that would say so is filtered; or the way is cut",
			side);
	else if (is_reordering(w))
		tl_finding__cause(f,
				  "segments overtake each other (several links or processors side "
				  "by side): most of what was sent again had arrived");
	else if (f->severity == TL_INFO)
		tl_finding__cause(f,
				  "TCP finds out how fast it may send by losing segments: so few "
				  "are no fault by themselves%s",
				  is_bursty(w) ? "; they came in bursts, from a queue that ran over"
					       : "");
	else if (is_bursty(w))
		tl_finding__cause(
			f,
			"a queue on the %s's side runs over (bursts of up to %u segments): "
			"congestion, a policer, a step down in link speed",
			side, w->burst_most);
	else
		tl_finding__cause(
			f,
			"single segments get lost on the %s's side: a bad cable, optic or "
			"radio link, a duplex mismatch, or a link that is always full",
			side);
	tl_finding__next(f,
			 "look at drops and errors of the ports between the tap and %s (ethtool "
			 "-S, show interface); capture there too, and compare",
			 host);
}

static void write_evidence(const struct words *w, struct tl_finding *f)
{
	static const char *const trigger[] = { "", " (RTO)", " (fast)", " (tail-loss probe)" };
	const struct loss_proof *list[2 * (LOSS_EARLY + LOSS_LATE)];
	uint8_t direction[2 * (LOSS_EARLY + LOSS_LATE)];
	unsigned n = 0;

	for (unsigned d = 0; d < 2; d++) {
		const struct loss_count *c = &w->g->count[d];

		for (unsigned i = 0; i < LOSS_EARLY + LOSS_LATE; i++) {
			const struct loss_proof *p =
				i < LOSS_EARLY ? &c->early[i] : &c->late[i - LOSS_EARLY];
			unsigned at = n;

			if (!p->ts_ns)
				continue;
			for (; at > 0 && list[at - 1]->ts_ns > p->ts_ns; at--) {
				list[at] = list[at - 1];
				direction[at] = direction[at - 1];
			}
			list[at] = p;
			direction[at] = (uint8_t)d;
			n++;
		}
	}
	for (unsigned i = 0; i < n; i++)
		tl_finding__evidence(f, list[i]->frame, list[i]->ts_ns,
				     "%u bytes from the %s again, seq %u%s", list[i]->bytes,
				     direction[i] == LOSS_UP ? "client" : "server", list[i]->seq,
				     trigger[list[i]->trigger & 3]);
}

static void write_filter(const struct loss_group *g, struct tl_finding *f)
{
	char text[TL_TEXT_FILTER];

	if (g->peers == 1)
		tl_pair__filter(&g->subject, g->count[0].flows + g->count[1].flows, f);
	else
		tl_finding__filter(f, "%s && tcp", tl_text__ip_filter(&g->host, text));
}

void loss_words__write(const struct loss_group *group, const struct tl_judge_facts *facts,
		       struct tl_finding *f)
{
	struct words w = words_of(group);

	f->count = w.lost;
	f->subject = group->subject;
	f->evidence_count = f->counter_evidence_count = f->detail_count = 0;
	weigh(&w, facts, f);
	write_sentences(&w, f);
	write_evidence(&w, f);
	write_filter(group, f);
	tl_finding__detail_string(f, "where", w.place == LOSS_BEFORE ? "before_tap" : "after_tap");
	tl_finding__detail_u64(f, "lost_segments", w.lost);
	tl_finding__detail_u64(f, "retransmitted_bytes", w.bytes);
	tl_finding__detail_u64(f, "rto", w.rto);
	tl_finding__detail_u64(f, "fast", w.fast);
	tl_finding__detail_u64(f, "tlp", w.tlp);
	tl_finding__detail_u64(f, "spurious", w.spurious);
	tl_finding__detail_u64(f, "reordered", w.reordered);
	tl_finding__detail_f64(f, "rate", w.rate);
	tl_finding__detail_u64(f, "segments", w.segments);
	tl_finding__detail_string(f, "side", group->side == LOSS_CLIENT_SIDE ? "client" : "server");
	tl_finding__detail_string(f, "sender", w.direction == LOSS_UP ? "client" : "server");
	tl_finding__detail_u64(f, "bursts", w.bursts);
	tl_finding__detail_u64(f, "largest_burst", w.burst_most);
	tl_finding__detail_u64(f, "longest_wait_ms",
			       w.hung_ms > w.stuck_ms ? w.hung_ms : w.stuck_ms);
	tl_finding__detail_u64(f, "flows", w.flows);
}
