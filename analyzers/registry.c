/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry: expands registry.def into the one table of operations that the engine calls.
 *
 *	slab entry of a flow, `stride` bytes, a multiple of a cache line:
 *	+---------+------+------------+--------------+-- - - --+-------------+---------+
 *	| tracker | rest | smallest's | next larger  |         | largest one | padding |
 *	+---------+------+------------+--------------+-- - - --+-------------+---------+
 *	0
 *
 * `rest` is a word with a bit for each analyzer: it has seen enough of this flow (core/pass.h).
 *
 * With a million flows, time goes by waiting for these lines. So the small states, which every
 * packet asks for, share the first ones. The engine asks for all of an entry's lines after the
 * look-up of its flow (into L2); the tracker for its own once more, shortly before (into L1).
 *
 * Worker half: for each piece the tracker classifies first, then every analyzer reads the verdicts
 * of those packets that it wants, in the order of registry.def. Ticks and flow ends go likewise.
 * Judge half: an observation goes to the analyzer whose index it carries, the core's own to the
 * facts.
 *
 * Invariants: the layout depends on registry.def alone; an analyzer sees no state but its own; its
 * state is zeroed once, at creation. Called by the engine only, as tapline/analyzer.h says: a
 * worker by its thread, the judge by the control thread.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/pass.h"
#include "core/registry.h"
#include "core/tracker.h"

#define TL_ANALYZER(name, ...) extern const struct tl_analyzer tl_analyzer_##name;
#include "registry.def"
#undef TL_ANALYZER

#define TL_ANALYZER(name, ...) &tl_analyzer_##name,
static const struct tl_analyzer *const analyzers[] = {
#include "registry.def"
};
#undef TL_ANALYZER

#define ANALYZER_COUNT (sizeof(analyzers) / sizeof(analyzers[0]))
#define CACHE_LINE     64u

_Static_assert(ANALYZER_COUNT < TL_OBSERVATION_CORE, "an index is no mark of the core");
_Static_assert(ANALYZER_COUNT <= 32, "each has a bit in the word of those that rest");

struct worker {
	struct tl_tracker *tracker;
	struct tl_analyzer_worker out[ANALYZER_COUNT];
	void *state[ANALYZER_COUNT];
	size_t ready; /* how many were initialised, and so are to be finished */
	size_t flow_offset[ANALYZER_COUNT];
	struct tl_pass pass;
	uint32_t chosen; /* a bit for each analyzer that is called */
};

struct judge {
	struct tl_findings *findings;
	struct tl_judge_facts *facts;
	struct tl_analyzer_judge view;
	void *state[ANALYZER_COUNT];
	size_t ready;
};

static size_t round_up(size_t bytes, size_t unit)
{
	return (bytes + unit - 1) / unit * unit;
}

/* Smallest first; equal ones as in registry.def. */
static void order_by_size(size_t ret_order[ANALYZER_COUNT])
{
	for (size_t i = 0; i < ANALYZER_COUNT; i++) {
		size_t at = i;

		for (; at && analyzers[ret_order[at - 1]]->flow_bytes > analyzers[i]->flow_bytes;
		     at--)
			ret_order[at] = ret_order[at - 1];
		ret_order[at] = i;
	}
}

static size_t rest_offset(void)
{
	return round_up(tl_tracker__flow_bytes(), 8);
}

/* Fills in where each analyzer's bytes lie (may be NULL); the stride. */
static size_t lay_out(size_t *ret_offset)
{
	size_t at = rest_offset() + 8;
	size_t order[ANALYZER_COUNT];

	order_by_size(order);
	for (size_t i = 0; i < ANALYZER_COUNT; i++) {
		if (ret_offset)
			ret_offset[order[i]] = at;
		at = round_up(at + analyzers[order[i]]->flow_bytes, 8);
	}
	return round_up(at, CACHE_LINE);
}

static size_t flow_bytes(void)
{
	return lay_out(NULL);
}

/* --- worker half --------------------------------------------------------------------------- */

static void worker_destroy(void *ctx)
{
	struct worker *w = ctx;

	if (!w)
		return;
	for (size_t i = 0; i < w->ready; i++)
		if (analyzers[i]->worker_fini)
			analyzers[i]->worker_fini(w->state[i]);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		free(w->state[i]);
	tl_tracker__destroy(w->tracker);
	free(w);
}

static int worker_init_one(struct worker *w, size_t i)
{
	const struct tl_analyzer *a = analyzers[i];

	if (a->worker_bytes) {
		w->state[i] = calloc(1, a->worker_bytes);
		if (!w->state[i])
			return -ENOMEM;
	}
	return a->worker_init ? a->worker_init(w->state[i], &w->out[i]) : 0;
}

int tl_registry__create_worker(const struct tl_analysis_worker_opts *opts, uint32_t chosen,
			       void **ret_worker)
{
	struct worker *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	lay_out(w->flow_offset);
	w->pass.rest_offset = rest_offset();
	w->chosen = chosen;
	err = tl_tracker__create(opts, &w->tracker);
	for (size_t i = 0; !err && i < ANALYZER_COUNT; i++) {
		w->out[i] = (struct tl_analyzer_worker){
			.worker = opts->worker,
			.analyzer = (uint16_t)i,
			.emit = opts->emit,
			.emit_ctx = opts->emit_ctx,
		};
		err = worker_init_one(w, i);
		if (!err)
			w->ready++;
	}
	if (err) {
		worker_destroy(w);
		return err;
	}
	*ret_worker = w;
	return 0;
}

static int worker_create(const struct tl_analysis_worker_opts *opts, void **ret_worker)
{
	return tl_registry__create_worker(opts, UINT32_MAX, ret_worker);
}

const char *tl_registry__name(uint32_t index)
{
	return index < ANALYZER_COUNT ? analyzers[index]->name : NULL;
}

static bool is_chosen(const struct worker *w, size_t i)
{
	return w->chosen >> i & 1u;
}

/* The packets from `at` on that go at once. */
static void worker_pass(struct worker *w, const struct tl_batch *batch, uint32_t at)
{
	tl_pass__begin(&w->pass, w->tracker, batch, at);
	for (uint32_t i = 0; i < ANALYZER_COUNT; i++) {
		const struct tl_analyzer_batch view =
			tl_pass__view(&w->pass, i, analyzers[i]->wants);

		if (analyzers[i]->batch && is_chosen(w, i))
			analyzers[i]->batch(w->state[i], &view, w->flow_offset[i]);
	}
}

static void worker_batch(void *ctx, const struct tl_batch *batch)
{
	struct worker *w = ctx;

	for (uint32_t at = 0; at < batch->n; at += TL_PASS_PACKETS)
		worker_pass(w, batch, at);
}

static void worker_tick(void *ctx, uint64_t now_ns)
{
	struct worker *w = ctx;

	tl_tracker__tick(w->tracker, now_ns);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->tick && is_chosen(w, i))
			analyzers[i]->tick(w->state[i], now_ns);
}

static void worker_flow_end(void *ctx, struct tl_flow *flow, void *slab, enum tl_flow_end end)
{
	struct worker *w = ctx;
	unsigned char *entry = slab;

	tl_tracker__flow_end(w->tracker, flow, entry, end);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->flow_end && is_chosen(w, i))
			analyzers[i]->flow_end(w->state[i], flow, entry + w->flow_offset[i], end);
}

static void worker_finish(void *ctx, uint64_t now_ns)
{
	struct worker *w = ctx;

	tl_tracker__finish(w->tracker, now_ns);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->finish && is_chosen(w, i))
			analyzers[i]->finish(w->state[i], now_ns);
}

/* --- judge half ---------------------------------------------------------------------------- */

static void judge_destroy(void *ctx)
{
	struct judge *j = ctx;

	if (!j)
		return;
	for (size_t i = 0; i < j->ready; i++)
		if (analyzers[i]->judge_fini)
			analyzers[i]->judge_fini(j->state[i]);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		free(j->state[i]);
	tl_findings__destroy(j->findings);
	tl_facts__destroy(j->facts);
	free(j);
}

static int judge_init_one(struct judge *j, size_t i)
{
	const struct tl_analyzer *a = analyzers[i];

	if (a->judge_bytes) {
		j->state[i] = calloc(1, a->judge_bytes);
		if (!j->state[i])
			return -ENOMEM;
	}
	return a->judge_init ? a->judge_init(j->state[i], &j->view) : 0;
}

static int judge_create(const struct tl_judge_opts *opts, void **ret_judge)
{
	struct judge *j = calloc(1, sizeof(*j));
	int err;

	if (!j)
		return -ENOMEM;
	err = tl_findings__create(opts->sink, opts->live, &j->findings);
	if (!err)
		err = tl_facts__create(&j->facts);
	j->view = (struct tl_analyzer_judge){
		.findings = j->findings,
		.facts = j->facts,
		.live = opts->live,
		.sink = opts->sink,
	};
	for (size_t i = 0; !err && i < ANALYZER_COUNT; i++) {
		err = judge_init_one(j, i);
		if (!err)
			j->ready++;
	}
	if (err) {
		judge_destroy(j);
		return err;
	}
	*ret_judge = j;
	return 0;
}

static void judge_observe(void *ctx, const struct tl_observation *observation)
{
	struct judge *j = ctx;
	size_t i = observation->analyzer;

	if (i == TL_OBSERVATION_CORE)
		tl_facts__observe(j->facts, observation);
	else if (i < ANALYZER_COUNT && analyzers[i]->observe)
		analyzers[i]->observe(j->state[i], observation);
}

static void judge_tick(void *ctx, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = ctx;

	tl_facts__set_totals(j->facts, totals);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->judge_tick)
			analyzers[i]->judge_tick(j->state[i], now_ns, totals);
	/* Last, so that an analyzer can word a finding anew at the tick that settles it. */
	tl_findings__tick(j->findings, now_ns);
}

static void judge_finish(void *ctx, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = ctx;

	tl_facts__set_totals(j->facts, totals);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->judge_finish)
			analyzers[i]->judge_finish(j->state[i], now_ns, totals);
	tl_findings__finish(j->findings);
	for (size_t i = 0; i < ANALYZER_COUNT; i++)
		if (analyzers[i]->judge_close)
			analyzers[i]->judge_close(j->state[i], now_ns, totals);
}

const struct tl_analysis_ops tl_analysis = {
	.flow_bytes = flow_bytes,
	.worker_create = worker_create,
	.worker_batch = worker_batch,
	.worker_tick = worker_tick,
	.worker_flow_end = worker_flow_end,
	.worker_finish = worker_finish,
	.worker_destroy = worker_destroy,
	.judge_create = judge_create,
	.judge_observe = judge_observe,
	.judge_tick = judge_tick,
	.judge_finish = judge_finish,
	.judge_destroy = judge_destroy,
};
