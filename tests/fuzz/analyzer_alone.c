/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core tl_decode tl_flow tl_export */
/*
 * One analyzer alone, as fuzz/analyzers.c has them all: it must not rest on what another one does.
 * Input: one byte that chooses the analyzer, then what analyzers.c takes.
 */
#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/pass.h"
#include "core/tracker.h"

static const struct tl_analysis_ops lone;
#define tl_analysis lone /* in drive.h */
#include "fuzz/drive.h"
#include "fuzz/script.h"

#define TL_ANALYZER(name, ...) extern const struct tl_analyzer tl_analyzer_##name;
#include "registry.def"
#undef TL_ANALYZER

#define TL_ANALYZER(name, ...) &tl_analyzer_##name,
static const struct tl_analyzer *const analyzers[] = {
#include "registry.def"
};
#undef TL_ANALYZER

/* Both halves: what the registry keeps for each. */
struct lone {
	struct tl_tracker *tracker;
	struct tl_analyzer_worker out;
	struct tl_pass pass;
	struct tl_findings *findings;
	struct tl_judge_facts *facts;
	struct tl_analyzer_judge view;
	void *state;
};

static const struct tl_analyzer *chosen;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static size_t rest_offset(void)
{
	return (tl_tracker__flow_bytes() + 7) / 8 * 8;
}

static size_t flow_offset(void)
{
	return rest_offset() + 8;
}

static size_t flow_bytes(void)
{
	return (flow_offset() + chosen->flow_bytes + 63) / 64 * 64;
}

static struct lone *create(size_t state_bytes)
{
	struct lone *l = calloc(1, sizeof(*l));

	drive__check(l != NULL);
	l->state = state_bytes ? calloc(1, state_bytes) : NULL;
	drive__check(l->state || !state_bytes);
	return l;
}

static int worker_create(const struct tl_analysis_worker_opts *opts, void **ret_worker)
{
	struct lone *l = create(chosen->worker_bytes);

	l->out = (struct tl_analyzer_worker){ .emit = opts->emit, .emit_ctx = opts->emit_ctx };
	l->pass.rest_offset = rest_offset();
	*ret_worker = l;
	drive__check(!tl_tracker__create(opts, &l->tracker));
	return chosen->worker_init ? chosen->worker_init(l->state, &l->out) : 0;
}

static void worker_batch(void *worker, const struct tl_batch *batch)
{
	struct lone *l = worker;

	for (uint32_t at = 0; at < batch->n; at += TL_PASS_PACKETS) {
		struct tl_analyzer_batch view;

		tl_pass__begin(&l->pass, l->tracker, batch, at);
		view = tl_pass__view(&l->pass, 0, chosen->wants);
		if (chosen->batch)
			chosen->batch(l->state, &view, flow_offset());
	}
}

static void worker_tick(void *worker, uint64_t now_ns)
{
	struct lone *l = worker;

	tl_tracker__tick(l->tracker, now_ns);
	if (chosen->tick)
		chosen->tick(l->state, now_ns);
}

static void worker_flow_end(void *worker, struct tl_flow *flow, void *slab, enum tl_flow_end end)
{
	struct lone *l = worker;

	tl_tracker__flow_end(l->tracker, flow, slab, end);
	if (chosen->flow_end)
		chosen->flow_end(l->state, flow, (unsigned char *)slab + flow_offset(), end);
}

static void worker_finish(void *worker, uint64_t now_ns)
{
	struct lone *l = worker;

	tl_tracker__finish(l->tracker, now_ns);
	if (chosen->finish)
		chosen->finish(l->state, now_ns);
}

static void worker_destroy(void *worker)
{
	struct lone *l = worker;

	if (chosen->worker_fini)
		chosen->worker_fini(l->state);
	tl_tracker__destroy(l->tracker);
	free(l->state);
	free(l);
}

static int judge_create(const struct tl_judge_opts *opts, void **ret_judge)
{
	struct lone *l = create(chosen->judge_bytes);

	*ret_judge = l;
	drive__check(!tl_findings__create(opts->sink, opts->live, &l->findings));
	drive__check(!tl_facts__create(&l->facts));
	l->view = (struct tl_analyzer_judge){
		.findings = l->findings,
		.facts = l->facts,
		.sink = opts->sink,
		.live = opts->live,
	};
	return chosen->judge_init ? chosen->judge_init(l->state, &l->view) : 0;
}

static void judge_observe(void *judge, const struct tl_observation *observation)
{
	struct lone *l = judge;

	if (observation->analyzer == TL_OBSERVATION_CORE)
		tl_facts__observe(l->facts, observation);
	else if (chosen->observe)
		chosen->observe(l->state, observation);
}

static void judge_tick(void *judge, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct lone *l = judge;

	tl_facts__set_totals(l->facts, totals);
	if (chosen->judge_tick)
		chosen->judge_tick(l->state, now_ns, totals);
	tl_findings__tick(l->findings, now_ns);
}

static void judge_finish(void *judge, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct lone *l = judge;

	tl_facts__set_totals(l->facts, totals);
	if (chosen->judge_finish)
		chosen->judge_finish(l->state, now_ns, totals);
	tl_findings__finish(l->findings);
	if (chosen->judge_close)
		chosen->judge_close(l->state, now_ns, totals);
	else
		l->view.sink.quality(l->view.sink.ctx, &(struct tl_capture_quality){ 0 });
}

static void judge_destroy(void *judge)
{
	struct lone *l = judge;

	if (chosen->judge_fini)
		chosen->judge_fini(l->state);
	tl_findings__destroy(l->findings);
	tl_facts__destroy(l->facts);
	free(l->state);
	free(l);
}

static const struct tl_analysis_ops lone = {
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	static struct script script;
	const struct tl_packet *packet;
	struct drive_opts opts = { 0 };
	struct drive *d;

	if (bytes < 2)
		return 0;
	chosen = analyzers[data[0] % (sizeof(analyzers) / sizeof(analyzers[0]))];
	opts.live = data[1] & 1;
	opts.lose_every = data[1] & 6 ? (data[1] >> 1 & 3u) + 1 : 0;
	d = drive__start(&opts);
	script = (struct script){ 0 };
	script__start(&script, data + 2, bytes - 2, data[1] >> 3);
	while ((packet = script__next(&script)))
		drive__packet(d, packet);
	drive__end(d);
	return 0;
}
