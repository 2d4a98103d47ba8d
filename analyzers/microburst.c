/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.microburst: bursts that a graph of seconds does not show.
 *
 *	worker: bytes of each millisecond of a second ─► reports (180 ms each) and the busiest one
 *	judge:  adds the workers up ─► windows of 1, 10, 100 ms ─► peak against the mean of 10 s
 *
 *	a second │▁▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁│  10 × the mean and 800 Mbit/s over 10 ms: a burst
 *
 * A burst by itself is worth knowing, no more; it is a warning when segments that were sent in it,
 * or within 5 ms after it, got lost behind the tap. How fast the link is, analyzers do not know.
 *
 * Invariants: memory is fixed; windows lie on the clock's grid, so that live and file agree. Copies
 * by the mirror do not count.
 */
#include <string.h>

#include "core/address.h"
#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/tcp_fault.h"
#include "core/text.h"

#define SLOTS	     1000u /* milliseconds of a second */
#define REPORT_SLOTS 150u
#define BURSTS_MAX   64u
#define MEAN_SECONDS 10u
#define PROOFS	     6u
#define LOSSES_TOLD  20u
#define WAITING_MAX  512u /* losses in a second; more are not blamed on a burst */

#define LATEST_REPORT_S 3u
#define AFTER_NS	(5 * TL_NS_PER_MS) /* a queue that a burst filled goes on dropping */
#define TIMES_MEAN	10.0
#define LOSSES_MIN	3u
#define TIMES_LOSS	3.0 /* as large a share of their bytes as of the rest */
#define WAIT_S		3u  /* … which is known so long after */

enum observation { OBSERVED_SLOTS = 1, OBSERVED_PEAK, OBSERVED_LOSSES };

/* Part of a second. */
struct slots {
	uint64_t second;
	uint32_t first_slot, count;
	uint32_t bytes[REPORT_SLOTS];
};

/* The busiest millisecond of a worker's second, and who sent most of it. */
struct peak {
	uint64_t second;
	uint32_t slot, bytes, packets;
	uint64_t first_frame, first_ns, last_frame, last_ns;
	struct tl_endpoint sender, receiver;
	uint64_t lead; /* majority vote by bytes */
};

/* Segments lost behind the tap: when they had passed, and the packet that sent them again. */
struct loss {
	uint64_t original_ns, frame, ns;
};

struct losses {
	uint32_t count;
	uint32_t spurious; /* D-SACKs (RFC 2883): so many had not been lost after all */
	struct loss at[LOSSES_TOLD];
};

_Static_assert(sizeof(struct slots) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct losses) <= TL_OBSERVATION_BYTES, "fits in one observation");

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second, last_ns;
	uint64_t second_ns, slot_ns; /* when they began */
	uint32_t slot;		     /* that `now` is of */
	struct peak now, top;
	struct losses losses;
	uint32_t used; /* slots up to here have bytes */
	uint32_t bytes[SLOTS];
};

/* --- worker half ----------------------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static void emit(struct worker *w, uint16_t kind, const void *data, size_t bytes)
{
	struct tl_observation o;

	tl_observation__clear(&o);
	o.kind = kind;
	o.ts_ns = w->last_ns;
	o.data_bytes = (uint16_t)bytes;
	memcpy(o.data, data, bytes);
	tl_analyzer_worker__emit(&w->out, &o);
}

static void tell_losses(struct worker *w)
{
	if (w->losses.count || w->losses.spurious)
		emit(w, OBSERVED_LOSSES, &w->losses, sizeof(w->losses));
	w->losses.count = w->losses.spurious = 0;
}

static void end_slot(struct worker *w)
{
	if (w->now.bytes > w->top.bytes)
		w->top = w->now;
	w->now = (struct peak){ 0 };
}

static void end_second(struct worker *w)
{
	struct slots part = { .second = w->second };

	end_slot(w);
	if (!w->used)
		return;
	for (uint32_t at = 0; at < w->used; at += part.count) {
		part.first_slot = at;
		part.count = w->used - at < REPORT_SLOTS ? w->used - at : REPORT_SLOTS;
		memcpy(part.bytes, w->bytes + at, part.count * sizeof(part.bytes[0]));
		emit(w, OBSERVED_SLOTS, &part, sizeof(part));
	}
	w->top.second = w->second;
	emit(w, OBSERVED_PEAK, &w->top, sizeof(w->top));
	tell_losses(w);
	memset(w->bytes, 0, w->used * sizeof(w->bytes[0]));
	w->top = (struct peak){ 0 };
	w->used = 0;
}

/*
 * Boyer and Moore's majority vote, weighted by bytes. Who leads changes with every other packet
 * where many hosts send, and none can foresee it: so without branches, and its addresses are
 * written at the end.
 */
static void vote(struct peak *peak, const struct tl_analyzer_batch *b)
{
	struct tl_address leader = tl_address__of_endpoint(&peak->sender), to;
	const struct tl_layers *of_leader = NULL;
	uint64_t lead = peak->lead;

	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_layers *l = &b->batch->layers[i];
		const uint64_t bytes = b->batch->packet[i].wirelen;
		struct tl_address sender;
		bool leads, falls;

		if (!l->ip_version || !l->src || !l->dst)
			continue;
		sender = tl_address__of(l, l->src);
		leads = tl_address__same(&sender, &leader);
		falls = !leads & (lead < bytes);
		leader.ip[0] = falls ? sender.ip[0] : leader.ip[0];
		leader.ip[1] = falls ? sender.ip[1] : leader.ip[1];
		leader.ip_version = falls ? sender.ip_version : leader.ip_version;
		of_leader = falls ? l : of_leader;
		lead = leads ? lead + bytes : falls ? bytes - lead : lead - bytes;
	}
	peak->lead = lead;
	if (!of_leader)
		return;
	to = tl_address__of(of_leader, of_leader->dst);
	peak->sender = tl_address__endpoint(&leader, 0);
	peak->receiver = tl_address__endpoint(&to, 0);
}

static void begin_slot(struct worker *w, uint32_t slot)
{
	end_slot(w);
	w->slot = slot;
	w->slot_ns = w->second_ns + slot * TL_NS_PER_MS;
}

static void add_bytes(struct worker *w, uint32_t slot, uint64_t bytes)
{
	w->bytes[slot] += (uint32_t)bytes;
	if (slot >= w->used)
		w->used = slot + 1;
}

/* All of this slot. */
static void count_slot(struct worker *w, const struct tl_analyzer_batch *b)
{
	const struct tl_packet *first = &b->batch->packet[__builtin_ctzll(b->wanted)];
	const struct tl_packet *last = &b->batch->packet[63 - __builtin_clzll(b->wanted)];

	add_bytes(w, w->slot, b->sums->bytes);
	if (!w->now.packets) {
		w->now.slot = w->slot;
		w->now.first_frame = first->frame;
		w->now.first_ns = first->ts_ns;
	}
	w->now.packets += (uint32_t)__builtin_popcountll(b->wanted);
	w->now.last_frame = last->frame;
	w->now.last_ns = last->ts_ns;
	w->now.bytes += (uint32_t)b->sums->bytes;
	vote(&w->now, b);
}

/* One packet, not before this second. */
static void count_packet(struct worker *w, const struct tl_analyzer_batch *b)
{
	const uint64_t ts_ns = b->sums->newest_ns;
	uint32_t slot = w->slot;

	if (ts_ns - w->slot_ns >= TL_NS_PER_MS)
		slot = (uint32_t)(ts_ns % TL_NS_PER_SEC / TL_NS_PER_MS);
	/* An older packet (two rings) is counted where it belongs, and proves nothing. */
	if (slot < w->slot) {
		add_bytes(w, slot, b->sums->bytes);
		return;
	}
	if (slot > w->slot)
		begin_slot(w, slot);
	count_slot(w, b);
}

static void note_loss(struct worker *w, const struct tl_packet *p, uint64_t original_ns)
{
	if (w->losses.count == LOSSES_TOLD)
		tell_losses(w);
	w->losses.at[w->losses.count++] = (struct loss){
		.original_ns = original_ns,
		.frame = p->frame,
		.ns = p->ts_ns,
	};
}

static void see_losses(struct worker *w, const struct tl_analyzer_batch *b)
{
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_segment *s = &b->segment[i];

		if (b->batch->packet[i].ts_ns > w->last_ns)
			w->last_ns = b->batch->packet[i].ts_ns;
		w->losses.spurious += s->dsack_segments;
		/* A tail-loss probe goes out on suspicion: a late ACK is enough. */
		if (s->verdict == TL_VERDICT_LOST_AFTER && s->original_ns &&
		    s->trigger != TL_TRIGGER_TLP)
			note_loss(w, &b->batch->packet[i], s->original_ns);
	}
}

static void watch_packet(struct worker *w, const struct tl_analyzer_batch *b, uint32_t i)
{
	struct tl_batch_sums sums;
	const struct tl_analyzer_batch only = tl_analyzer_batch__only(b, i, &sums);

	if (sums.newest_ns < w->second_ns)
		return;
	if (sums.newest_ns - w->second_ns >= TL_NS_PER_SEC) {
		end_second(w);
		w->second = sums.newest_ns / TL_NS_PER_SEC;
		w->second_ns = w->slot_ns = w->second * TL_NS_PER_SEC;
		w->slot = 0;
	}
	count_packet(w, &only);
	see_losses(w, &only);
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	(void)flow_offset;
	if (!b->wanted)
		return;
	if (b->sums->oldest_ns >= w->slot_ns && b->sums->newest_ns - w->slot_ns < TL_NS_PER_MS) {
		count_slot(w, b);
		see_losses(w, b);
		return;
	}
	for (uint64_t left = b->wanted; left;)
		watch_packet(w, b, tl_analyzer_batch__next(&left));
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (now_ns / TL_NS_PER_SEC > w->second)
		end_second(w);
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	end_second(state);
}

/* --- judge half ------------------------------------------------------------------------------ */

/*
 * What makes a window a burst: its length, and the least rate that is worth a word. That is a
 * megabyte each time: what one page or one answer sends at once, any switch's queue takes.
 */
static const struct scale {
	uint32_t window_ms;
	double least_bps;
} scales[] = {
	{ 1, 8e9 },
	{ 10, 800e6 },
	{ 100, 80e6 },
};

#define SCALES (sizeof(scales) / sizeof(scales[0]))

struct burst {
	uint64_t from_ns, to_ns;
};

struct judge {
	struct tl_analyzer_judge view;
	uint64_t second; /* that `bytes` are of */
	uint64_t bytes[SLOTS];
	struct peak peak;
	uint64_t mean_second[MEAN_SECONDS]; /* bytes of the seconds before, a ring */
	uint64_t first_second;
	bool began;
	/* All bursts so far. */
	struct burst burst[BURSTS_MAX];
	uint64_t bursts, seconds_with;
	uint64_t first_ns, last_ns;
	double peak_bps, peak_ratio, mean_bps;
	uint32_t window_ms;
	uint64_t bytes_in;
	struct peak proof[PROOFS];
	uint32_t proof_count;
	struct tl_endpoint sender, receiver;
	uint64_t losses, losses_elsewhere;
	uint64_t all_bytes, burst_bytes; /* of all seconds; those in bursts */
	uint64_t first_loss_second;
	bool is_told_hurt, at_end;
	struct {
		uint64_t frame, ns;
	} loss[PROOFS];
	uint64_t spurious; /* told in this second */
	/* Told in this second: whether its bursts are to blame shows at its end. */
	uint32_t waiting_count;
	struct loss waiting[WAITING_MAX];
};

static int judge_init(void *state, const struct tl_analyzer_judge *view)
{
	struct judge *j = state;

	j->view = *view;
	return 0;
}

/*
 * A queue that runs over drops what comes in a row. Single segments, here and there, are a link
 * that loses (tcp.loss), whatever passes at the time.
 */
static bool is_scattered(const struct judge *j)
{
	const struct tl_finding *f = NULL;
	uint64_t lost = 0, rows = 0;

	while ((f = tl_findings__next(j->view.findings, f))) {
		if (strcmp(f->kind, "tcp.loss"))
			continue;
		lost += tl_finding__detail_get_u64(f, "lost_segments");
		rows += tl_finding__detail_get_u64(f, "bursts");
	}
	return lost >= j->losses / 2 && lost < 2 * rows;
}

/*
 * Losses all along, of which the bursts have their share, have another cause (tcp.loss): bursts
 * must lose far more of their bytes than the rest does. The rest is waited for a little.
 */
static bool hurts_someone(const struct judge *j)
{
	double rest = (double)(j->all_bytes - j->burst_bytes);

	if (j->losses < LOSSES_MIN || j->losses <= j->losses_elsewhere ||
	    (!j->at_end && j->second < j->first_loss_second + WAIT_S) || is_scattered(j))
		return false;
	return (double)j->losses * rest >=
	       TIMES_LOSS * (double)j->losses_elsewhere * (double)j->burst_bytes;
}

static void word(const struct judge *j, struct tl_finding *f)
{
	char sender[TL_TEXT_IP];
	bool hurts = hurts_someone(j);

	tl_finding__summary(
		f,
		"%llu burst%s in %llu s of the capture: up to %.0f Mbit/s over %u ms, %.0f times "
		"the mean of %.2f Mbit/s%s%s%s",
		(unsigned long long)j->bursts, tl_text__plural(j->bursts),
		(unsigned long long)j->seconds_with, j->peak_bps / 1e6, j->window_ms, j->peak_ratio,
		j->mean_bps / 1e6, j->sender.ip_version ? ", most of it from " : "",
		j->sender.ip_version ? tl_text__ip(&j->sender, sender) : "",
		hurts ? "; segments sent in them were lost" : "");
	if (hurts) {
		tl_finding__cause(f,
				  "a burst overran a queue behind this point: %llu segments that "
				  "had passed here in it were sent again",
				  (unsigned long long)j->losses);
		tl_finding__next(f,
				 "look at the output drops of the switch port behind this point; "
				 "pace the sender, or give the queue more room");
	} else {
		tl_finding__cause(f,
				  "a sender hands over much at once: a large answer, a batch job, "
				  "a backup");
		tl_finding__next(f,
				 "compare with the link's speed: a queue must hold what the link "
				 "cannot carry in %u ms",
				 j->window_ms);
	}
}

static void proofs(const struct judge *j, struct tl_finding *f)
{
	const struct peak *last = &j->proof[j->proof_count - 1];
	uint64_t from_ns = j->proof[0].first_ns, to_ns = last->last_ns;

	f->evidence_count = 0;
	for (uint32_t i = 0; i < j->proof_count; i++)
		tl_finding__evidence(f, j->proof[i].first_frame, j->proof[i].first_ns,
				     "first of %u packets, %u bytes, in 1 ms", j->proof[i].packets,
				     j->proof[i].bytes);
	for (uint64_t i = 0; i < j->losses && i < PROOFS; i++) {
		tl_finding__evidence(f, j->loss[i].frame, j->loss[i].ns, "sent again");
		if (j->loss[i].ns > to_ns)
			to_ns = j->loss[i].ns;
		if (j->loss[i].ns < from_ns)
			from_ns = j->loss[i].ns;
	}
	tl_finding__filter(f, "frame.time_epoch>=%llu.%09llu && frame.time_epoch<=%llu.%09llu",
			   (unsigned long long)(from_ns / TL_NS_PER_SEC),
			   (unsigned long long)(from_ns % TL_NS_PER_SEC),
			   (unsigned long long)(to_ns / TL_NS_PER_SEC),
			   (unsigned long long)(to_ns % TL_NS_PER_SEC));
}

static void tell(struct judge *j)
{
	struct tl_finding *f;
	bool is_new;

	if (!j->proof_count)
		return;
	f = tl_findings__begin(j->view.findings, "traffic.microburst", "", 0, &is_new);
	j->is_told_hurt = hurts_someone(j);
	f->severity = j->is_told_hurt ? TL_WARNING : TL_INFO;
	f->confidence = hurts_someone(j) ? 0.8 : 0.95;
	f->first_ns = j->first_ns;
	f->last_ns = j->last_ns;
	f->count = j->bursts;
	f->subject.client = j->sender;
	f->subject.server = j->receiver;
	word(j, f);
	proofs(j, f);
	f->counter_evidence_count = 0;
	if (hurts_someone(j) && tl_facts__capture_drops(j->view.facts))
		tl_finding__counter_evidence(f, 0, j->last_ns,
					     "the capture itself dropped packets");
	tl_finding__detail_f64(f, "peak_bps", j->peak_bps);
	tl_finding__detail_u64(f, "window_ms", j->window_ms);
	tl_finding__detail_f64(f, "mean_bps", j->mean_bps);
	tl_finding__detail_f64(f, "times_mean", j->peak_ratio);
	tl_finding__detail_u64(f, "bursts", j->bursts);
	tl_finding__detail_u64(f, "bytes", j->bytes_in);
	tl_finding__detail_u64(f, "lost_segments", j->losses);
	tl_findings__commit(j->view.findings, f, j->last_ns);
}

/* Bits a second over the seconds before this one and this one. */
static double mean_bps(const struct judge *j)
{
	uint64_t bytes = 0, seconds = j->second - j->first_second;

	for (uint32_t i = 0; i < SLOTS; i++)
		bytes += j->bytes[i];
	if (seconds > MEAN_SECONDS - 1)
		seconds = MEAN_SECONDS - 1;
	for (uint32_t i = 0; i < MEAN_SECONDS; i++)
		bytes += j->mean_second[i];
	return (double)bytes * 8.0 / (double)(seconds + 1);
}

static void note_burst(struct judge *j, const struct scale *s, uint32_t slot, double bps)
{
	uint64_t from_ns = j->second * TL_NS_PER_SEC + slot * TL_NS_PER_MS;
	uint64_t to_ns = from_ns + s->window_ms * TL_NS_PER_MS;
	struct burst *last = j->bursts ? &j->burst[(j->bursts - 1) % BURSTS_MAX] : NULL;
	double mean = mean_bps(j);

	if (!j->bursts)
		j->first_ns = from_ns;
	if (last && from_ns <= last->to_ns)
		last->to_ns = to_ns > last->to_ns ? to_ns : last->to_ns;
	else
		j->burst[j->bursts++ % BURSTS_MAX] = (struct burst){ from_ns, to_ns };
	if (to_ns > j->last_ns)
		j->last_ns = to_ns;
	if (bps > j->peak_bps) {
		j->peak_bps = bps;
		j->window_ms = s->window_ms;
		j->mean_bps = mean;
		j->peak_ratio = bps / mean;
		j->bytes_in = (uint64_t)(bps * s->window_ms / 8000.0 + 0.5);
		j->sender = j->peak.sender;
		j->receiver = j->peak.receiver;
		if (j->peak.lead * 2 < j->peak.bytes)
			j->sender.ip_version = j->receiver.ip_version = 0;
	}
}

/* Windows of one length; those that are bursts. */
static bool look(struct judge *j, const struct scale *s, double mean)
{
	bool found = false;

	for (uint32_t slot = 0; slot < SLOTS; slot += s->window_ms) {
		uint64_t bytes = 0;
		double bps;

		for (uint32_t i = 0; i < s->window_ms; i++)
			bytes += j->bytes[slot + i];
		bps = (double)bytes * 8000.0 / s->window_ms;
		if (bps < s->least_bps || bps < TIMES_MEAN * mean)
			continue;
		note_burst(j, s, slot, bps);
		j->burst_bytes += bytes;
		found = true;
	}
	return found;
}

static bool is_in_burst(const struct judge *j, uint64_t ns)
{
	uint64_t kept = j->bursts < BURSTS_MAX ? j->bursts : BURSTS_MAX;

	for (uint64_t i = 0; i < kept; i++)
		if (ns >= j->burst[i].from_ns && ns <= j->burst[i].to_ns + AFTER_NS)
			return true;
	return false;
}

/* Losses of this second, by bursts of this one or before; true: some are. */
static bool blame(struct judge *j)
{
	bool grew = false;

	for (uint32_t i = 0; i < j->waiting_count; i++) {
		const struct loss *loss = &j->waiting[i];

		if (!is_in_burst(j, loss->original_ns)) {
			j->losses_elsewhere++;
			continue;
		}
		if (j->losses < PROOFS) {
			j->loss[j->losses].frame = loss->frame;
			j->loss[j->losses].ns = loss->ns;
		}
		if (!j->losses++)
			j->first_loss_second = j->second;
		if (loss->ns > j->last_ns)
			j->last_ns = loss->ns;
		grew = true;
	}
	j->waiting_count = 0;
	/* Queues of two CPUs that mix up a burst look like losses until the receiver speaks. */
	grew &= j->spurious < j->losses;
	j->losses -= j->spurious < j->losses ? j->spurious : j->losses;
	j->spurious = 0;
	return grew;
}

static void close_second(struct judge *j)
{
	double mean = mean_bps(j);
	uint64_t bytes = 0;
	bool found = false, grew;

	for (uint32_t i = 0; i < SLOTS; i++)
		bytes += j->bytes[i];
	j->all_bytes += bytes;
	/* The shortest windows first: what they show need not be told of longer ones. */
	for (uint32_t i = 0; bytes && i < SCALES && !found; i++)
		found = look(j, &scales[i], mean);
	if (found) {
		j->seconds_with++;
		if (j->proof_count < PROOFS)
			j->proof[j->proof_count++] = j->peak;
	}
	grew = blame(j);
	/* What is settled is not told again. */
	if (grew || found ||
	    (j->is_told_hurt != hurts_someone(j) &&
	     j->second * TL_NS_PER_SEC < j->last_ns + TL_FINDING_QUIET_NS))
		tell(j);
	j->mean_second[j->second % MEAN_SECONDS] = bytes;
	memset(j->bytes, 0, sizeof(j->bytes));
	j->peak = (struct peak){ 0 };
}

static void begin_second(struct judge *j, uint64_t second)
{
	if (!j->began || second <= j->second) {
		j->began = true;
		j->first_second = j->second = second;
		return;
	}
	close_second(j);
	for (uint64_t s = j->second + 1; s < second && s <= j->second + MEAN_SECONDS; s++)
		j->mean_second[s % MEAN_SECONDS] = 0;
	j->mean_second[second % MEAN_SECONDS] = 0;
	j->second = second;
}

static void add_losses(struct judge *j, const struct losses *losses)
{
	j->spurious += losses->spurious;
	for (uint32_t i = 0; i < losses->count && i < LOSSES_TOLD; i++)
		if (j->waiting_count < WAITING_MAX)
			j->waiting[j->waiting_count++] = losses->at[i];
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge *j = state;
	struct slots part;
	struct peak peak;
	struct losses losses;

	if (o->kind == OBSERVED_SLOTS && o->data_bytes == sizeof(part)) {
		memcpy(&part, o->data, sizeof(part));
		if (!j->began || part.second > j->second)
			begin_second(j, part.second);
		for (uint32_t i = 0; i < part.count && part.first_slot + i < SLOTS; i++)
			j->bytes[part.first_slot + i] += part.bytes[i];
	} else if (o->kind == OBSERVED_PEAK && o->data_bytes == sizeof(peak)) {
		memcpy(&peak, o->data, sizeof(peak));
		if (peak.bytes > j->peak.bytes)
			j->peak = peak;
	} else if (o->kind == OBSERVED_LOSSES && o->data_bytes == sizeof(losses)) {
		memcpy(&losses, o->data, sizeof(losses));
		add_losses(j, &losses);
	}
}

static void judge_tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;

	(void)totals;
	if (j->began && now_ns / TL_NS_PER_SEC >= j->second + LATEST_REPORT_S)
		begin_second(j, now_ns / TL_NS_PER_SEC - LATEST_REPORT_S + 1);
}

static void judge_finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;

	(void)now_ns;
	(void)totals;
	/* A capture of a moment has no mean to compare with. */
	j->at_end = true;
	if (j->began && j->second > j->first_second)
		close_second(j);
}

const struct tl_analyzer tl_analyzer_microburst = {
	.name = "microburst",
	.wants = TL_WANTS_NO_COPY,
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.finish = finish,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
	.judge_tick = judge_tick,
	.judge_finish = judge_finish,
};
