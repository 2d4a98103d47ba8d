/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * The tracker against simulated connections whose truth is known (tracker_sim.h), on networks and
 * with stacks of several kinds, through mirrors that double or drop. Each verdict has to be right
 * for at least 98 % of the frames that deserve it, and of those that get it.
 */
#include <criterion/criterion.h>

#include "tracker_feed.h"

#define VERDICTS 16u
#define LEAST	 0.98
#define RUNS	 8u

struct network {
	const char *name;
	uint64_t delay_a_ns, delay_b_ns, reorder_ns;
	double loss;
};

struct stack {
	const char *name;
	bool timestamps, ip_id, ipv6, sack;
};

static const struct network networks[] = {
	{ "LAN", 40000, 60000, 40000, 0.01 },
	{ "lossy LAN", 20000, 160000, 60000, 0.04 },
	{ "metro", 2000000, 3000000, 2000000, 0.01 },
	{ "WAN, tap far from the sender", 70000000, 20000000, 10000000, 0.01 },
	{ "WAN, tap near the sender", 2000000, 90000000, 10000000, 0.03 },
	{ "tap at the sender", 1000, 5000000, 500000, 0.02 },
};

static const struct stack stacks[] = {
	{ "timestamps and IP IDs", true, true, false, true },
	{ "IPv6", true, false, true, true },
	{ "IP IDs, no timestamps", false, true, false, true },
	{ "IP IDs, no timestamps, no SACK", false, true, false, false },
	{ "neither IP IDs nor timestamps", false, false, true, true },
};

#define NETWORKS (sizeof(networks) / sizeof(networks[0]))
#define STACKS	 (sizeof(stacks) / sizeof(stacks[0]))

/* What the mirror does to the trace. */
struct mirror {
	double copied, dropped;
	uint64_t gap_ns; /* a copy comes up to this much later */
	uint8_t path;	 /* of the copies */
};

struct score {
	uint32_t said[VERDICTS][VERDICTS]; /* [truth][verdict] */
	uint32_t trigger[4][4];
	uint32_t lost;	 /* frames with a verdict of network loss */
	uint64_t missed; /* as the segments told */
	uint64_t truly_missed;
	struct tl_tracker_totals totals;
};

static bool is_loss(uint8_t verdict)
{
	return verdict == TL_VERDICT_LOST_BEFORE || verdict == TL_VERDICT_LOST_AFTER ||
	       verdict == TL_VERDICT_SPURIOUS;
}

static void on_verdict(void *ctx, const struct feed_frame *frame, const struct tl_segment *segment)
{
	struct score *score = ctx;

	score->missed += segment->missed_bytes;
	score->lost += is_loss(segment->verdict);
	if (frame->f.truth == SIM_UNSURE)
		return;
	score->said[frame->f.truth][segment->verdict]++;
	if (frame->f.trigger && is_loss(frame->f.truth))
		score->trigger[frame->f.trigger][segment->trigger]++;
}

/* The trace as the mirror shows it, in order of time. Returns how many frames. */
static uint32_t reflect(struct sim *s, const struct mirror *m, struct feed_frame *out)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->trace_count; i++) {
		struct feed_frame frame = { .f = s->trace[i],
					    .port = s->o.port,
					    .ipv6 = s->o.ipv6 };
		uint32_t at = n;

		if (i > 3 && sim__chance(s, m->dropped))
			continue;
		for (; at && out[at - 1].f.ts_ns > frame.f.ts_ns; at--)
			out[at] = out[at - 1];
		out[at] = frame;
		n++;
		if (!sim__chance(s, m->copied))
			continue;
		frame.f.ts_ns += sim__between(s, 0, m->gap_ns);
		frame.f.truth = TL_VERDICT_COPY;
		frame.path = m->path;
		out[n++] = frame;
	}
	/* A copy stands before frames that were on the wire meanwhile: put those in order too. */
	for (uint32_t i = 1; i < n; i++)
		for (uint32_t k = i; k && out[k - 1].f.ts_ns > out[k].f.ts_ns; k--) {
			struct feed_frame swap = out[k];

			out[k] = out[k - 1];
			out[k - 1] = swap;
		}
	return n;
}

static uint64_t payload_not_shown(const struct sim *s, const struct feed_frame *shown, uint32_t n)
{
	bool seen[SIM_SEGMENTS] = { false };
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		if (!shown[i].f.side && shown[i].f.bytes == SIM_MSS)
			seen[(shown[i].f.seq - s->o.isn - 1) / SIM_MSS] = true;
	for (uint32_t i = 0; i < s->o.segments; i++)
		bytes += seen[i] ? 0 : SIM_MSS;
	return bytes;
}

static void run_one(const struct sim_opts *o, const struct mirror *m, struct score *score)
{
	struct feed_frame *frames = calloc(2 * SIM_TRACE, sizeof(*frames));
	struct feed *feed = calloc(1, sizeof(*feed));
	struct sim *s = sim__run(o);
	struct tl_tracker_totals t;
	uint32_t n;

	cr_assert(frames && feed);
	n = reflect(s, m, frames);
	score->truly_missed += payload_not_shown(s, frames, n);
	feed->on_verdict = on_verdict;
	feed->ctx = score;
	feed__init(feed);
	for (uint32_t i = 0; i < n; i++)
		feed__one(feed, &frames[i]);
	feed__finish(feed, &t);
	score->totals.missed_bytes += t.missed_bytes;
	score->totals.missed_unsure_bytes += t.missed_unsure_bytes;
	score->totals.copies += t.copies;
	score->totals.two_way_flows += t.two_way_flows;
	score->totals.one_way_flows += t.one_way_flows;
	score->totals.midstream_flows += t.midstream_flows;
	feed__fini(feed);
	free(feed);
	free(frames);
	sim__free(s);
}

struct scene {
	const struct network *network;
	const struct stack *stack;
	struct mirror mirror;
	bool lossless;
};

static void play(const struct scene *scene, struct score *score)
{
	const struct network *net = scene->network;

	for (uint32_t run = 0; run < RUNS; run++) {
		struct sim_opts o = {
			.seed = 1 + run,
			.delay_a_ns = net->delay_a_ns + run % 5 * net->delay_a_ns / 8,
			.delay_b_ns = net->delay_b_ns + run % 3 * net->delay_b_ns / 8,
			.segments = 1500,
			.timestamps = scene->stack->timestamps,
			.ip_id = scene->stack->ip_id,
			.ipv6 = scene->stack->ipv6,
			.sack = scene->stack->sack,
			.stalls = true,
			.isn = 0xfff00000u + run * 0x33333333u, /* the first one wraps */
			.port = 1,
			.from_ns = 1700000000000000000ull,
		};

		if (!scene->lossless) {
			o.loss_before = o.loss_after = net->loss;
			o.reorder = o.ack_loss = 0.01;
			o.reorder_ns = net->reorder_ns;
		}
		run_one(&o, &scene->mirror, score);
	}
}

static void add(struct score *sum, const struct score *score)
{
	for (uint32_t t = 0; t < VERDICTS; t++)
		for (uint32_t v = 0; v < VERDICTS; v++)
			sum->said[t][v] += score->said[t][v];
	for (uint32_t t = 0; t < 4; t++)
		for (uint32_t v = 0; v < 4; v++)
			sum->trigger[t][v] += score->trigger[t][v];
}

/* Every verdict that occurs is right, both ways round. */
static void check_verdicts(const struct score *score, const char *what)
{
	for (uint32_t v = 0; v < VERDICTS; v++) {
		uint32_t deserve = 0, get = 0, right = score->said[v][v];

		for (uint32_t k = 0; k < VERDICTS; k++) {
			deserve += score->said[v][k];
			get += score->said[k][v];
		}
		cr_expect(right >= LEAST * deserve, "%s: verdict %u for %u of %u that deserve it",
			  what, v, right, deserve);
		cr_expect(right >= LEAST * get, "%s: verdict %u right for %u of %u", what, v, right,
			  get);
	}
}

static void check_triggers(const struct score *score, const char *what)
{
	for (uint32_t t = TL_TRIGGER_RTO; t <= TL_TRIGGER_TLP; t++) {
		uint32_t sum = 0;

		for (uint32_t k = 0; k < 4; k++)
			sum += score->trigger[t][k];
		cr_expect_gt(sum, 8, "%s: the simulation never came to trigger %u", what, t);
		cr_expect(score->trigger[t][t] >= 0.95 * sum, "%s: trigger %u told in %u of %u",
			  what, t, score->trigger[t][t], sum);
	}
}

static void check_all_occurred(const struct score *score)
{
	static const uint8_t all[] = {
		TL_VERDICT_NEW,		 TL_VERDICT_REORDERED, TL_VERDICT_LOST_BEFORE,
		TL_VERDICT_LOST_AFTER,	 TL_VERDICT_SPURIOUS,  TL_VERDICT_KEEPALIVE,
		TL_VERDICT_WINDOW_PROBE, TL_VERDICT_PURE_ACK,  TL_VERDICT_SYN_RETRANSMIT,
	};

	for (size_t i = 0; i < sizeof(all); i++)
		cr_expect_gt(score->said[all[i]][all[i]], 8, "verdict %u hardly occurred", all[i]);
}

/* --- the network's faults -------------------------------------------------------------------- */

Test(tracker, tells_what_the_network_did)
{
	for (size_t k = 0; k < STACKS; k++) {
		struct score *sum = calloc(1, sizeof(*sum));

		for (size_t n = 0; n < NETWORKS; n++) {
			struct scene scene = { .network = &networks[n], .stack = &stacks[k] };
			struct score *score = calloc(1, sizeof(*score));

			play(&scene, score);
			add(sum, score);
			cr_expect_eq(score->totals.missed_bytes, 0, "%s, %s: missed %lu bytes",
				     stacks[k].name, networks[n].name,
				     (unsigned long)score->totals.missed_bytes);
			cr_expect_eq(score->totals.two_way_flows, RUNS);
			cr_expect_eq(score->totals.one_way_flows, 0);
			cr_expect_eq(score->totals.midstream_flows, 0);
			free(score);
		}
		check_verdicts(sum, stacks[k].name);
		check_all_occurred(sum);
		/* Without SACK a tail-loss probe is not sent, and NewReno's second thoughts are. */
		if (stacks[k].sack)
			check_triggers(sum, stacks[k].name);
		free(sum);
	}
}

/* --- the mirror's faults --------------------------------------------------------------------- */

static void check_copies(struct mirror mirror, bool lossless, const char *what)
{
	for (size_t k = 0; k < STACKS; k++) {
		struct score *sum = calloc(1, sizeof(*sum));

		for (size_t n = 0; n < NETWORKS; n++) {
			struct scene scene = { .network = &networks[n],
					       .stack = &stacks[k],
					       .mirror = mirror,
					       .lossless = lossless };

			play(&scene, sum);
		}
		check_verdicts(sum, stacks[k].name);
		cr_expect_gt(sum->said[TL_VERDICT_COPY][TL_VERDICT_COPY], 1000, "%s", what);
		if (lossless)
			cr_expect_eq(sum->lost, 0, "%s, %s: %u frames called lost", what,
				     stacks[k].name, sum->lost);
		free(sum);
	}
}

Test(tracker, knows_a_mirror_that_shows_all_twice)
{
	check_copies((struct mirror){ .copied = 1, .gap_ns = 20000 }, true, "all twice");
	check_copies((struct mirror){ .copied = 1, .gap_ns = 20000 }, false, "all twice, losses");
}

Test(tracker, knows_copies_from_another_tap_of_the_path)
{
	check_copies((struct mirror){ .copied = 1, .gap_ns = 300000, .path = 1 }, true, "two taps");
	check_copies((struct mirror){ .copied = 0.5, .gap_ns = 300000, .path = 1 }, false,
		     "some at two taps, losses");
}

static void check_drops(double dropped, const struct stack *stack)
{
	struct score *score = calloc(1, sizeof(*score));

	for (size_t n = 0; n < NETWORKS; n++) {
		struct scene scene = { .network = &networks[n],
				       .stack = stack,
				       .mirror = { .dropped = dropped },
				       .lossless = true };

		play(&scene, score);
	}
	cr_expect_eq(score->lost, 0, "%s, %.1f %% dropped by the mirror: %u frames called lost",
		     stack->name, 100 * dropped, score->lost);
	cr_expect_eq(score->totals.missed_bytes, score->truly_missed,
		     "%s, %.1f %% dropped: %lu bytes missed, truly %lu", stack->name, 100 * dropped,
		     (unsigned long)score->totals.missed_bytes, (unsigned long)score->truly_missed);
	cr_expect_gt(score->truly_missed, 0);
	cr_expect_leq(score->missed, score->totals.missed_bytes);
	free(score);
}

Test(tracker, blames_the_mirror_for_what_it_drops)
{
	for (size_t k = 0; k < STACKS; k++) {
		check_drops(0.005, &stacks[k]);
		check_drops(0.02, &stacks[k]);
		check_drops(0.05, &stacks[k]);
	}
}

Test(tracker, accuses_the_network_of_retransmissions_alone)
{
	for (size_t k = 0; k < STACKS; k++) {
		struct score *score = calloc(1, sizeof(*score));
		uint32_t called = 0, truly = 0;

		for (size_t n = 0; n < NETWORKS; n++) {
			struct scene scene = { .network = &networks[n],
					       .stack = &stacks[k],
					       .mirror = { .dropped = 0.02 } };

			play(&scene, score);
		}
		/* Which of them is not asked here: the mirror may have dropped the original. */
		for (uint32_t t = 0; t < VERDICTS; t++)
			for (uint32_t v = TL_VERDICT_LOST_BEFORE; v <= TL_VERDICT_SPURIOUS; v++) {
				called += score->said[t][v];
				truly += is_loss((uint8_t)t) ? score->said[t][v] : 0;
			}
		cr_expect_gt(called, 1000);
		cr_expect(truly >= LEAST * called, "%s: %u of %u were retransmissions",
			  stacks[k].name, truly, called);
		free(score);
	}
}
