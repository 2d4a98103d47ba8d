/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How good the capture itself is: what the mirror doubled, left out or showed in one direction
 * only, and what could therefore not be judged. It closes every run with the capture_quality
 * record, and has findings of its own:
 *
 *   mirror.duplicates   info      more than 1 % of the packets are copies
 *   mirror.one_way      warning   of most TCP flows one direction is shown
 *   mirror.loss         warning   bytes that were ACKed never came by (below 0.1 %: info)
 *
 * Worker half: counts, and sends all its counts with each tick that changed them; the first few
 * packets that prove something go at once. Judge half: looks every ten seconds of packet time, and
 * at the end. The tracker's counts come through the facts.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/text.h"
#include "tapline/engine.h"

#define EVIDENCE_EACH	   4u
#define LOOK_EVERY_NS	   10000000000ull
#define DUPLICATES_SHARE   0.01
#define DUPLICATES_LEAST   3
#define ONE_WAY_SHARE	   0.5
#define LOSS_WARNING_SHARE 0.001

enum kind { KIND_COUNTS = 1, KIND_EVIDENCE };
enum proof { PROOF_COPY, PROOF_ONE_WAY, PROOFS };

struct counts {
	uint64_t packets;
	uint64_t bytes;
	uint64_t not_ip;
	uint64_t truncated;
	uint64_t malformed;
	uint64_t payload_cut; /* headers whole, payload cut by the snap length */
	uint64_t tcp_bytes;   /* new payload */
	uint64_t first_ns;
	uint64_t last_ns;
};

struct evidence {
	uint64_t frame;
	uint64_t ts_ns;
	uint32_t proof; /* enum proof */
	uint32_t bytes;
};

struct worker_state {
	const struct tl_analyzer_worker *out;
	struct counts counts;
	struct counts told;
	uint32_t shown[PROOFS];
};

struct judge_state {
	const struct tl_analyzer_judge *judge;
	struct counts worker[TL_WORKERS_MAX];
	struct counts sum;
	struct evidence evidence[PROOFS][EVIDENCE_EACH];
	uint32_t evidence_count[PROOFS];
	uint64_t looked_ns;
};

/* --- worker half ---------------------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *worker)
{
	struct worker_state *w = state;

	w->out = worker;
	return 0;
}

static void emit(const struct worker_state *w, uint16_t kind, const void *data, uint64_t now_ns)
{
	struct tl_observation o;

	memset(&o, 0, offsetof(struct tl_observation, data));
	o.kind = kind;
	o.ts_ns = now_ns;
	o.data_bytes =
		(uint16_t)(kind == KIND_COUNTS ? sizeof(struct counts) : sizeof(struct evidence));
	memcpy(o.data, data, o.data_bytes);
	tl_analyzer_worker__emit(w->out, &o);
}

static void show(struct worker_state *w, const struct tl_packet *packet, enum proof proof,
		 uint32_t bytes)
{
	struct evidence e = {
		.frame = packet->frame,
		.ts_ns = packet->ts_ns,
		.proof = proof,
		.bytes = bytes,
	};

	if (w->shown[proof] >= EVIDENCE_EACH)
		return;
	w->shown[proof]++;
	emit(w, KIND_EVIDENCE, &e, packet->ts_ns);
}

static void count_span(struct counts *c, uint64_t oldest_ns, uint64_t newest_ns)
{
	if (!c->packets || oldest_ns < c->first_ns)
		c->first_ns = oldest_ns;
	if (newest_ns > c->last_ns)
		c->last_ns = newest_ns;
}

/* Copies are left out of a batch's sums. */
static __attribute__((noinline)) void
count_copies(struct worker_state *w, const struct tl_analyzer_batch *b, uint64_t copies)
{
	while (copies) {
		const struct tl_packet *p = &b->batch->packet[tl_analyzer_batch__next(&copies)];

		count_span(&w->counts, p->ts_ns, p->ts_ns);
		w->counts.packets++;
		w->counts.bytes += p->wirelen;
		show(w, p, PROOF_COPY, 0);
	}
}

static __attribute__((noinline)) void count_odd(struct counts *c, const struct tl_packet *packet,
						const struct tl_layers *l)
{
	c->not_ip += !l->ip_version;
	c->malformed += !!(l->flags & TL_LAYERS_MALFORMED);
	if (l->flags & TL_LAYERS_TRUNCATED)
		c->truncated++;
	else
		c->payload_cut += packet->caplen < packet->wirelen;
}

static void count_each(struct worker_state *w, const struct tl_analyzer_batch *b)
{
	const struct tl_batch in = *b->batch;

	for (uint32_t i = 0; i < in.n; i++) {
		const struct tl_packet *packet = &in.packet[i];
		const struct tl_layers *l = &in.layers[i];
		const struct tl_segment *segment = &b->segment[i];
		const struct tl_flow_lookup *lookup = &in.lookup[i];

		if (l->flags & (TL_LAYERS_MALFORMED | TL_LAYERS_TRUNCATED) || !l->ip_version ||
		    packet->caplen < packet->wirelen)
			count_odd(&w->counts, packet, l);
		w->counts.tcp_bytes += segment->new_bytes;
		if (segment->acked_bytes && lookup->ret_flow &&
		    !lookup->ret_flow->packets[!lookup->ret_side])
			show(w, packet, PROOF_ONE_WAY, segment->acked_bytes);
	}
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker_state *w = state;
	uint64_t copies = ~b->wanted & tl_batch__bits(b->batch);

	(void)flow_offset;
	count_each(w, b);
	if (b->wanted) {
		count_span(&w->counts, b->sums->oldest_ns, b->sums->newest_ns);
		w->counts.packets += (uint64_t)__builtin_popcountll(b->wanted);
		w->counts.bytes += b->sums->bytes;
	}
	if (copies)
		count_copies(w, b, copies);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker_state *w = state;

	if (!memcmp(&w->counts, &w->told, sizeof(w->counts)))
		return;
	w->told = w->counts;
	emit(w, KIND_COUNTS, &w->counts, now_ns);
}

/* --- judge half: what came ------------------------------------------------------------------ */

static int judge_init(void *state, const struct tl_analyzer_judge *judge)
{
	struct judge_state *j = state;

	j->judge = judge;
	return 0;
}

static void sum_up(struct judge_state *j)
{
	struct counts *s = &j->sum;

	memset(s, 0, sizeof(*s));
	for (uint32_t i = 0; i < TL_WORKERS_MAX; i++) {
		const struct counts *c = &j->worker[i];

		if (!c->packets)
			continue;
		if (!s->packets || c->first_ns < s->first_ns)
			s->first_ns = c->first_ns;
		if (c->last_ns > s->last_ns)
			s->last_ns = c->last_ns;
		s->packets += c->packets;
		s->bytes += c->bytes;
		s->not_ip += c->not_ip;
		s->truncated += c->truncated;
		s->malformed += c->malformed;
		s->payload_cut += c->payload_cut;
		s->tcp_bytes += c->tcp_bytes;
	}
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge_state *j = state;
	struct evidence e;

	if (o->kind == KIND_COUNTS && o->data_bytes == sizeof(struct counts)) {
		memcpy(&j->worker[o->worker % TL_WORKERS_MAX], o->data, sizeof(struct counts));
		return;
	}
	if (o->kind != KIND_EVIDENCE || o->data_bytes != sizeof(e))
		return;
	memcpy(&e, o->data, sizeof(e));
	if (e.proof < PROOFS && j->evidence_count[e.proof] < EVIDENCE_EACH)
		j->evidence[e.proof][j->evidence_count[e.proof]++] = e;
}

/* --- judge half: findings ------------------------------------------------------------------- */

static double share_of(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

/* What is said of the mirror is one finding, settled at the end, however long it was quiet. */
#define WHOLE_CAPTURE (UINT64_MAX / 2)

static struct tl_finding *begin(struct judge_state *j, const char *kind)
{
	bool is_new;
	struct tl_finding *f =
		tl_findings__begin(j->judge->findings, kind, kind, strlen(kind), &is_new);

	if (!f)
		return NULL;
	f->first_ns = j->sum.first_ns;
	f->last_ns = j->sum.last_ns;
	f->evidence_count = 0;
	f->counter_evidence_count = 0;
	return f;
}

/* A filter that selects the frames of the evidence. */
static void write_filter(struct tl_finding *f)
{
	char filter[TL_EVIDENCE_MAX * 48];
	size_t at = 0;

	for (uint32_t i = 0; i < f->evidence_count; i++)
		if (f->evidence[i].frame)
			at += (size_t)snprintf(filter + at, sizeof(filter) - at,
					       "%sframe.number==%" PRIu64, at ? " || " : "",
					       f->evidence[i].frame);
	if (at)
		tl_finding__filter(f, "%s", filter);
}

static void prove(const struct judge_state *j, struct tl_finding *f, enum proof proof)
{
	for (uint32_t i = 0; i < j->evidence_count[proof]; i++) {
		const struct evidence *e = &j->evidence[proof][i];

		if (proof == PROOF_COPY)
			tl_finding__evidence(f, e->frame, e->ts_ns,
					     "the same packet as one shortly before it");
		else
			tl_finding__evidence(f, e->frame, e->ts_ns,
					     "ACKs %" PRIu32 " bytes that were not shown",
					     e->bytes);
	}
	write_filter(f);
}

static void prove_missed(const struct judge_state *j, struct tl_finding *f)
{
	const struct tl_core_missed_list *missed = tl_facts__missed(j->judge->facts);

	for (uint32_t i = 0; i < missed->count; i++)
		tl_finding__evidence(f, missed->item[i].frame, missed->item[i].ts_ns,
				     "before it lie %" PRIu32 " bytes that never came by",
				     missed->item[i].bytes);
	write_filter(f);
}

static void judge_duplicates(struct judge_state *j, const struct tl_tracker_totals *t)
{
	double share = share_of(t->copies, j->sum.packets);
	struct tl_finding *f;

	if (t->copies < DUPLICATES_LEAST || share <= DUPLICATES_SHARE)
		return;
	f = begin(j, "mirror.duplicates");
	if (!f)
		return;
	f->severity = TL_INFO;
	f->confidence = 0.95;
	f->count = t->copies;
	tl_finding__summary(f, "%" PRIu64 " of %" PRIu64 " packets (%.1f %%) are copies", t->copies,
			    j->sum.packets, 100 * share);
	tl_finding__cause(f, "the mirror takes both ends of a path, or both directions of a port; "
			     "copies were left out of all that is judged and counted");
	tl_finding__next(f, "mirror each path at one point, or one direction of each port, "
			    "to halve the load of the capture");
	tl_finding__detail_u64(f, "copies", t->copies);
	tl_finding__detail_f64(f, "share", share);
	prove(j, f, PROOF_COPY);
	tl_findings__commit(j->judge->findings, f, WHOLE_CAPTURE);
}

static void judge_one_way(struct judge_state *j, const struct tl_tracker_totals *t)
{
	uint64_t told = t->one_way_flows + t->two_way_flows;
	double share = share_of(t->one_way_flows, told);
	struct tl_finding *f;

	if (!t->one_way_flows || share <= ONE_WAY_SHARE)
		return;
	f = begin(j, "mirror.one_way");
	if (!f)
		return;
	f->severity = TL_WARNING;
	f->confidence = t->one_way_flows >= 10 ? 0.95 : 0.8;
	f->count = t->one_way_flows;
	tl_finding__summary(
		f, "%" PRIu64 " of %" PRIu64 " TCP connections are shown in one direction only",
		t->one_way_flows, told);
	tl_finding__cause(f, "the mirror takes one direction of its ports (rx or tx only), or "
			     "the way back runs over a link that is not mirrored");
	tl_finding__next(f, "mirror both directions, or add the port that carries the way back");
	tl_finding__detail_f64(f, "share", share);
	tl_finding__detail_u64(f, "flows", t->one_way_flows);
	prove(j, f, PROOF_ONE_WAY);
	tl_findings__commit(j->judge->findings, f, WHOLE_CAPTURE);
}

static void judge_loss(struct judge_state *j, const struct tl_tracker_totals *t)
{
	uint64_t drops = tl_facts__capture_drops(j->judge->facts);
	double share = share_of(t->missed_bytes, t->missed_bytes + j->sum.tcp_bytes);
	bool own = drops >= t->missed_segments;
	struct tl_finding *f;

	if (!t->missed_bytes)
		return;
	f = begin(j, "mirror.loss");
	if (!f)
		return;
	f->severity = share >= LOSS_WARNING_SHARE ? TL_WARNING : TL_INFO;
	f->confidence = drops ? 0.6 : 0.9;
	f->count = t->missed_segments;
	tl_finding__summary(f,
			    "%" PRIu64 " bytes of TCP data (%.2f %%) were received by their "
			    "hosts and never shown to this capture",
			    t->missed_bytes, 100 * share);
	if (own)
		tl_finding__cause(f, "this capture dropped %" PRIu64 " packets itself", drops);
	else
		tl_finding__cause(f, "the mirror port is oversubscribed, or the switch drops "
				     "mirrored frames first");
	tl_finding__next(f, own ? "give the capture more buffer or workers, or filter"
				: "mirror fewer ports, one direction, or use a TAP");
	tl_finding__detail_u64(f, "missed_bytes", t->missed_bytes);
	tl_finding__detail_f64(f, "share", share);
	tl_finding__detail_u64(f, "missed_segments", t->missed_segments);
	tl_finding__detail_u64(f, "capture_drops", drops);
	prove_missed(j, f);
	tl_findings__commit(j->judge->findings, f, WHOLE_CAPTURE);
}

static void look(struct judge_state *j)
{
	struct tl_tracker_totals totals;

	sum_up(j);
	tl_facts__tracker_totals(j->judge->facts, &totals);
	judge_duplicates(j, &totals);
	judge_one_way(j, &totals);
	judge_loss(j, &totals);
}

static void judge_tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge_state *j = state;

	(void)totals;
	if (!j->looked_ns)
		j->looked_ns = now_ns;
	if (now_ns - j->looked_ns < LOOK_EVERY_NS)
		return;
	j->looked_ns = now_ns;
	look(j);
}

static void judge_finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	(void)now_ns;
	(void)totals;
	look(state);
}

/* --- judge half: the closing record --------------------------------------------------------- */

static void say(struct tl_capture_quality *q, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct tl_capture_quality *q, const char *format, ...)
{
	va_list args;

	if (q->cannot_judge_count >= sizeof(q->cannot_judge) / sizeof(q->cannot_judge[0]))
		return;
	va_start(args, format);
	vsnprintf(q->cannot_judge[q->cannot_judge_count++], sizeof(q->cannot_judge[0]), format,
		  args);
	va_end(args);
}

static void say_what_cannot_be_judged(struct tl_capture_quality *q, const struct counts *c)
{
	uint64_t drops = tl_drops__total(&q->dropped);

	if (q->one_way_share > ONE_WAY_SHARE)
		say(q, "round-trip times, loss, missing answers: only one direction is mirrored");
	else if (q->one_way_flows)
		say(q, "%" PRIu64 " TCP flow%s, in part: only one direction is mirrored",
		    q->one_way_flows, tl_text__plural(q->one_way_flows));
	if (q->midstream_flows)
		say(q, "window sizes of %" PRIu64 " TCP flow%s that began before the capture",
		    q->midstream_flows, tl_text__plural(q->midstream_flows));
	if (drops)
		say(q, "what was in the %" PRIu64 " packets that this capture dropped", drops);
	if (q->missed_bytes)
		say(q, "content of streams where the mirror left out %" PRIu64 " bytes",
		    q->missed_bytes);
	if (c->payload_cut || q->truncated_packets)
		say(q, "content of %" PRIu64 " packets: the snap length cut them",
		    c->payload_cut + q->truncated_packets);
	if (q->analysis_shed_packets)
		say(q, "%" PRIu64 " packets: recorded, but not analyzed under load",
		    q->analysis_shed_packets);
	if (q->observations_lost)
		say(q,
		    "completeness of the findings: %" PRIu64 " observations were lost under load",
		    q->observations_lost);
	if (q->flows_evicted)
		say(q, "%" PRIu64 " flows after they were forgotten: the flow table was full",
		    q->flows_evicted);
}

static void judge_close(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge_state *j = state;
	const struct counts *c = &j->sum;
	struct tl_tracker_totals t;
	struct tl_capture_quality q;

	(void)now_ns;
	tl_facts__tracker_totals(j->judge->facts, &t);
	q = (struct tl_capture_quality){
		.first_ns = c->first_ns,
		.last_ns = c->last_ns,
		.packets = c->packets,
		.bytes = c->bytes,
		.not_ip = c->not_ip,
		.flows = totals->flows_created,
		.tcp_flows = t.tcp_flows,
		.one_way_flows = t.one_way_flows,
		.one_way_share = share_of(t.one_way_flows, t.one_way_flows + t.two_way_flows),
		.midstream_flows = t.midstream_flows,
		.copies_removed = t.copies,
		.missed_bytes = t.missed_bytes,
		.missed_segments = t.missed_segments,
		.truncated_packets = c->truncated,
		.malformed_packets = c->malformed,
		.flows_evicted = totals->flows_evicted,
		.observations_lost = totals->observations_lost,
		.analysis_shed_packets = totals->analysis_shed_packets,
		.dropped_writer = totals->dropped_writer,
		.dropped = totals->source.dropped,
	};
	/* A file's capture tells of its own losses. */
	q.dropped.nic += totals->source.recorded.nic;
	q.dropped.kernel += totals->source.recorded.kernel;
	say_what_cannot_be_judged(&q, c);
	if (j->judge->sink.quality)
		j->judge->sink.quality(j->judge->sink.ctx, &q);
}

const struct tl_analyzer tl_analyzer_capture_quality = {
	.name = "capture_quality",
	.wants = TL_WANTS_NO_COPY, /* and looks at the copies, too */
	.worker_bytes = sizeof(struct worker_state),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.finish = tick,
	.judge_bytes = sizeof(struct judge_state),
	.judge_init = judge_init,
	.observe = observe,
	.judge_tick = judge_tick,
	.judge_finish = judge_finish,
	.judge_close = judge_close,
};
