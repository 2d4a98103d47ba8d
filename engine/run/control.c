/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control thread (the caller's): hands observations to the judge in packet time, shows
 * progress, and answers signals.
 *
 *   worker rings ─► oldest observation first, never past the slowest worker's watermark ─► judge
 *
 * The judge's ticks lie on the same grid of packet time as the workers'.
 */
#include <string.h>
#include <time.h>

#include "run.h"

#define PROGRESS_NS 1000000000ull

static void totals(const struct tl_engine *engine, struct tl_run_totals *ret_totals)
{
	struct tl_source_stats per_interface[TL_INTERFACES_MAX];
	struct tl_flow_table_stats flows;

	memset(ret_totals, 0, sizeof(*ret_totals));
	engine__source_stats(engine, per_interface);
	for (uint32_t i = 0; i < TL_INTERFACES_MAX; i++)
		tl_source_stats__add(&ret_totals->source, &per_interface[i]);
	for (uint32_t i = 0; i < engine->worker_count; i++) {
		const struct worker *w = engine->workers[i];

		ret_totals->observations_lost += tl_load_relaxed(&w->observations_lost);
		ret_totals->analysis_shed_packets += tl_load_relaxed(&w->analysis_shed);
		if (!w->flows)
			continue;
		tl_flow_table__stats(w->flows, &flows);
		ret_totals->flows_created += flows.created;
		ret_totals->flows_evicted += flows.evicted;
	}
	if (engine->recording.recorder) {
		struct tl_recorder_summary summary;

		tl_recorder__summary(engine->recording.recorder, &summary);
		ret_totals->written = summary.written;
		ret_totals->dropped_writer = summary.dropped_writer;
	}
}

/* The ticks up to `now_ns`: that of an observation, or one that none older can come after. */
static void judge_ticks(struct tl_engine *engine, uint64_t now_ns, bool is_observation)
{
	uint64_t tick_ns;
	struct tl_run_totals t;

	if (!engine->judge_ticks.now_ns && is_observation && now_ns)
		tl_ticks__begin(&engine->judge_ticks, tl_ticks__before(now_ns) - TL_TICK_NS);
	if (!engine->judge_ticks.now_ns || tl_ticks__covers(&engine->judge_ticks, now_ns))
		return;
	totals(engine, &t);
	while (tl_ticks__next(&engine->judge_ticks, now_ns, is_observation, &tick_ns))
		engine->opts.analysis->judge_tick(engine->judge, tick_ns, &t);
}

/* The ring whose front is oldest; NULL when there is none older than `bound_ns`. */
static struct worker *oldest_ring(struct tl_engine *engine, uint64_t bound_ns)
{
	struct worker *oldest = NULL;
	uint64_t oldest_ns = bound_ns;

	for (uint32_t i = 0; i < engine->worker_count; i++) {
		struct worker *w = engine->workers[i];
		const struct tl_observation *front = tl_spsc__front(&w->observations);

		if (front && front->ts_ns < oldest_ns) {
			oldest = w;
			oldest_ns = front->ts_ns;
		}
	}
	return oldest;
}

/* Hands over what is older than the slowest worker's watermark. Count. */
static uint32_t drain_observations(struct tl_engine *engine)
{
	uint64_t bound = UINT64_MAX;
	uint32_t count = 0;
	struct worker *w;

	for (uint32_t i = 0; i < engine->worker_count; i++) {
		struct worker *each = engine->workers[i];
		/* `done` first: then the watermark can no longer be behind the ring. */
		int done = tl_load_acquire(&each->done);
		uint64_t mark = tl_load_acquire(&each->watermark_ns);

		if (!done && mark < bound)
			bound = mark;
	}
	/* One worker's ring is in order by itself, and a file's worker waits for room in it. */
	while ((w = oldest_ring(engine, engine->worker_count == 1 ? UINT64_MAX : bound))) {
		const struct tl_observation *o = tl_spsc__front(&w->observations);

		judge_ticks(engine, o->ts_ns, true);
		tl_ticks__hear(&engine->judge_ticks);
		engine->opts.analysis->judge_observe(engine->judge, o);
		tl_spsc__pop(&w->observations);
		count++;
	}
	if (bound != UINT64_MAX)
		judge_ticks(engine, bound, false);
	return count;
}

static bool all_done(const struct tl_engine *engine)
{
	for (uint32_t i = 0; i < engine->worker_count; i++)
		if (!tl_load_acquire(&engine->workers[i]->done))
			return false;
	return !engine__merges(engine) || tl_load_acquire(&engine->merger_done);
}

static void show_progress(struct tl_engine *engine)
{
	struct tl_run_summary summary;

	if (!engine->opts.progress)
		return;
	tl_engine__summary(engine, &summary);
	engine->opts.progress(engine->opts.progress_ctx, &summary);
}

/* A new filter from the file named by -F; a bad one leaves the old one in force. */
static void reload_filter(struct tl_engine *engine)
{
	char text[65536];
	struct tl_error error;
	struct tl_filter *filter = NULL;
	size_t bytes;
	FILE *f;

	if (!engine->opts.filter_file || !engine->live)
		return;
	f = fopen(engine->opts.filter_file, "r");
	if (!f) {
		engine__note(engine, "%s: cannot be read; the old filter stays",
			     engine->opts.filter_file);
		return;
	}
	bytes = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[bytes] = '\0';
	if (tl_filter__compile(text, engine->interfaces[0].linktype, engine->interfaces[0].snaplen,
			       &error, &filter)) {
		engine__note(engine, "the new filter does not compile (%s); the old one stays",
			     error.what);
		return;
	}
	for (uint32_t i = 0; i < engine->source_count; i++) {
		struct tl_source *s = engine->sources[i];
		int err = s->ops->set_filter ? s->ops->set_filter(s, filter) : -1;

		if (err)
			engine__note(engine, "source %u keeps the old filter: %s", i,
				     strerror(-err));
	}
	/* The one before the last may still be read by a source that refused the new one. */
	tl_filter__destroy(engine->retired_filters[1]);
	engine->retired_filters[1] = engine->retired_filters[0];
	engine->retired_filters[0] = engine->filter;
	engine->filter = filter;
}

static void answer_signals(struct tl_engine *engine)
{
	if (tl_load_relaxed(&engine->want_statistics)) {
		tl_store_relaxed(&engine->want_statistics, 0);
		show_progress(engine);
	}
	if (tl_load_relaxed(&engine->want_reload)) {
		tl_store_relaxed(&engine->want_reload, 0);
		reload_filter(engine);
	}
}

/* A failed write is told when it happens; the recorder goes on trying. */
static void watch_recorder(struct tl_engine *engine)
{
	struct tl_recorder_summary summary;

	if (!engine->recording.recorder || engine->disk_warned || !engine->opts.warn)
		return;
	tl_recorder__summary(engine->recording.recorder, &summary);
	if (!summary.first_error)
		return;
	engine->disk_warned = true;
	engine->opts.warn(engine->opts.warn_ctx, summary.error);
}

int control__run(struct tl_engine *engine)
{
	struct timespec nap = { .tv_nsec = engine->live ? 10000000 : 1000000 };
	uint64_t progress_ns = clock__monotonic_ns();
	struct tl_run_totals t;
	bool done;

	do {
		uint32_t handled = 0;

		done = all_done(engine);
		if (engine->judge)
			handled = drain_observations(engine);
		answer_signals(engine);
		watch_recorder(engine);
		if (clock__monotonic_ns() - progress_ns >= PROGRESS_NS) {
			progress_ns = clock__monotonic_ns();
			show_progress(engine);
		}
		if (!handled && !done)
			nanosleep(&nap, NULL);
	} while (!done);
	if (engine->judge) {
		uint64_t last = 0, end = 0;

		drain_observations(engine);
		for (uint32_t i = 0; i < engine->worker_count; i++) {
			const struct worker *w = engine->workers[i];

			if (w->merge.last_ns > last)
				last = w->merge.last_ns;
			if (w->ticks.now_ns > end)
				end = w->ticks.now_ns;
		}
		judge_ticks(engine, end, true);
		totals(engine, &t);
		engine->opts.analysis->judge_finish(engine->judge, last, &t);
	}
	return 0;
}
