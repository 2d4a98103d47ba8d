/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run: create opens everything, run starts the threads and is the control thread, summary
 * adds up. See tapline/engine.h and run.h.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "run.h"
#include "tapline/topology.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

uint64_t clock__monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock__realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

void engine__note(struct tl_engine *engine, const char *format, ...)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	const uint32_t room = sizeof(engine->notes) / sizeof(engine->notes[0]);
	va_list args;

	pthread_mutex_lock(&lock);
	if (engine->note_count < room) {
		va_start(args, format);
		vsnprintf(engine->notes[engine->note_count], sizeof(engine->notes[0]), format,
			  args);
		va_end(args);
		tl_store_release(&engine->note_count, engine->note_count + 1);
	}
	pthread_mutex_unlock(&lock);
}

bool engine__stopping(const struct tl_engine *engine)
{
	return tl_load_relaxed(&engine->stopping);
}

uint64_t engine__end_ns(struct tl_engine *engine)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	uint64_t end_ns;

	pthread_mutex_lock(&lock);
	if (!engine->end_ns)
		engine->end_ns = clock__realtime_ns();
	end_ns = engine->end_ns;
	pthread_mutex_unlock(&lock);
	return end_ns;
}

void tl_engine__stop(struct tl_engine *engine)
{
	tl_store_relaxed(&engine->stopping, 1);
}

void tl_engine__request_statistics(struct tl_engine *engine)
{
	tl_store_relaxed(&engine->want_statistics, 1);
}

void tl_engine__request_reload(struct tl_engine *engine)
{
	tl_store_relaxed(&engine->want_reload, 1);
}

/* --- interfaces ---------------------------------------------------------------------------- */

static const struct tl_source *engine__files(const struct tl_engine *engine)
{
	return engine->shared ? shared_file__source(engine->shared) : engine->sources[0];
}

uint32_t engine__interface_count(const struct tl_engine *engine)
{
	uint32_t count = 0;

	if (engine->live)
		return engine->opts.interface_count;
	tl_source_file__interfaces(engine__files(engine), &count);
	return count;
}

const struct tl_interface *engine__interface(const struct tl_engine *engine, uint32_t index)
{
	const struct tl_interface *table = engine->interfaces;
	uint32_t count = engine->opts.interface_count;

	if (!engine->live)
		table = tl_source_file__interfaces(engine__files(engine), &count);
	return index < count ? &table[index] : NULL;
}

const struct tl_interface *tl_engine__interface(const struct tl_engine *engine, uint32_t index)
{
	return engine->source_count ? engine__interface(engine, index) : NULL;
}

/* --- the judge's way out: provisional frame numbers become those of the file --------------- */

static void resolve_frame(const struct tl_engine *engine, struct tl_evidence *evidence)
{
	uint64_t file = evidence->frame >> TL_FRAME_BITS;

	if (engine->opts.file_count > 1 && !engine->recording.recorder && evidence->frame &&
	    file < engine->opts.file_count)
		evidence->file = engine->opts.files[file];
	evidence->frame =
		frame_map__resolve(engine->frame_maps, engine->worker_count, evidence->frame);
}

static void sink_finding(void *ctx, const struct tl_finding *finding, enum tl_finding_state state)
{
	struct tl_engine *engine = ctx;
	struct tl_finding resolved = *finding;

	for (uint32_t i = 0; i < resolved.evidence_count; i++)
		resolve_frame(engine, &resolved.evidence[i]);
	for (uint32_t i = 0; i < resolved.counter_evidence_count; i++)
		resolve_frame(engine, &resolved.counter_evidence[i]);
	frame_map__resolve_filter(engine->frame_maps, engine->worker_count,
				  resolved.display_filter);
	engine->opts.sink.finding(engine->opts.sink.ctx, &resolved, state);
}

static void sink_quality(void *ctx, const struct tl_capture_quality *quality)
{
	struct tl_engine *engine = ctx;

	engine->opts.sink.quality(engine->opts.sink.ctx, quality);
}

static int create_judge(struct tl_engine *engine)
{
	struct tl_judge_opts opts = {
		.sink = { .ctx = engine, .finding = sink_finding, .quality = sink_quality },
		.live = engine->live,
	};

	return engine->opts.analysis ? engine->opts.analysis->judge_create(&opts, &engine->judge)
				     : 0;
}

/* --- create -------------------------------------------------------------------------------- */

static bool same_file(const char *a, const char *b)
{
	struct stat sa, sb;

	return !stat(a, &sa) && !stat(b, &sb) && S_ISREG(sa.st_mode) && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

static int check_call(const struct tl_engine_opts *o, struct tl_error *ret_error)
{
	const char *what = NULL;

	if (!o->interface_count && !o->file_count)
		what = "nothing to read: name an interface with -i or a file with -r";
	else if (o->interface_count && o->file_count)
		what = "-i and -r do not go together: a run reads interfaces or files";
	else if (o->file_count &&
		 (o->sample > 1 || o->sample_flows > 1 || o->headers_only || o->cutoff_bytes))
		what = "--sample, --sample-flows, --headers-only and --cutoff work in the kernel: "
		       "they need -i";
	for (uint32_t i = 0; !what && o->recorder && i < o->file_count; i++)
		if (same_file(o->files[i], o->recorder->path))
			what = "-r and -w name the same file; write to another one";
	if (what)
		snprintf(ret_error->what, sizeof(ret_error->what), "%s", what);
	else if (o->workers > TL_WORKERS_MAX)
		snprintf(ret_error->what, sizeof(ret_error->what), "--workers %u: at most %d",
			 o->workers, TL_WORKERS_MAX);
	else if (o->interface_count > TL_INTERFACES_MAX)
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "-i: %u interfaces: a run takes at most %d", o->interface_count,
			 TL_INTERFACES_MAX);
	else
		return 0;
	return -EINVAL;
}

static int place_workers(struct tl_engine *engine, struct tl_error *ret_error)
{
	int cpus[TL_CPU_MAX];
	uint32_t count;

	if (engine->opts.cpus) {
		int n = tl_topology__parse_cpus(engine->opts.cpus, cpus, TL_CPU_MAX, ret_error);

		if (n < 0)
			return -EINVAL;
		count = (uint32_t)n;
	} else {
		count = tl_topology__cpus(cpus, TL_CPU_MAX);
		/* Pinning on a small host would tie a worker to the core that feeds it. */
		if (count <= 2 || !engine->live)
			return 0;
	}
	if (engine->live)
		tl_topology__prefer_node(cpus, count, engine->numa_node[0]);
	for (uint32_t i = 0; i < engine->worker_count; i++)
		engine->workers[i]->cpu = cpus[i % count];
	return 0;
}

static int create_workers(struct tl_engine *engine, struct tl_error *ret_error)
{
	int err = 0;

	for (uint32_t i = 0; i < engine->worker_count && !err; i++)
		err = worker__create(engine, i, &engine->workers[i]);
	if (!err && engine->worker_count > 1 && engine->opts.recorder && engine->opts.analysis)
		for (uint32_t i = 0; i < engine->worker_count && !err; i++)
			err = frame_map__init(&engine->frame_maps[i]);
	if (!err)
		err = create_judge(engine);
	if (err)
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "no memory for the flow tables: %s; try a smaller --flow-memory",
			 strerror(-err));
	return err ? err : place_workers(engine, ret_error);
}

/*
 * Threads take over the priority of the one that makes them. Those that take packets and write them
 * come before the host's other work, or a busy host would lose what is on the wire; this one does
 * not. Where the caller chose a priority (nice), that one stays. It takes a capability: before
 * `-Z`.
 */
static void hurry(struct tl_engine *engine)
{
	errno = 0;
	if (!engine->live || getpriority(PRIO_PROCESS, 0) || errno)
		return;
	engine->is_hurried = !setpriority(PRIO_PROCESS, 0, CAPTURE_NICE);
}

static void stop_hurrying(struct tl_engine *engine)
{
	if (engine->is_hurried)
		(void)setpriority(PRIO_PROCESS, 0, 0);
	engine->is_hurried = false;
}

int tl_engine__create(const struct tl_engine_opts *opts, struct tl_error *ret_error,
		      struct tl_engine **ret_engine)
{
	struct tl_engine *engine;
	int err = check_call(opts, ret_error);

	if (err)
		return err;
	engine = aligned_alloc(TL_CACHE_LINE, (sizeof(*engine) + 63) / 64 * 64);
	if (!engine)
		return -ENOMEM;
	memset(engine, 0, sizeof(*engine));
	engine->opts = *opts;
	engine->live = opts->interface_count > 0;
	err = engine->live ? engine__open_live(engine, ret_error)
			   : engine__open_files(engine, ret_error);
	if (!err)
		err = create_workers(engine, ret_error);
	if (!err)
		hurry(engine);
	if (!err)
		err = privileges__become(opts->user, ret_error);
	if (!err)
		err = recording__open(engine, ret_error);
	if (err) {
		tl_engine__destroy(engine);
		return err;
	}
	*ret_engine = engine;
	return 0;
}

void tl_engine__destroy(struct tl_engine *engine)
{
	if (!engine)
		return;
	stop_hurrying(engine);
	for (uint32_t i = 0; i < engine->worker_count; i++)
		worker__destroy(engine->workers[i]);
	if (engine->judge)
		engine->opts.analysis->judge_destroy(engine->judge);
	tl_recorder__destroy(engine->recording.recorder);
	engine__close_sources(engine);
	for (uint32_t i = 0; i < TL_WORKERS_MAX; i++)
		frame_map__fini(&engine->frame_maps[i]);
	tl_filter__destroy(engine->retired_filters[0]);
	tl_filter__destroy(engine->retired_filters[1]);
	tl_filter__destroy(engine->filter);
	free(engine);
}

/* --- run ----------------------------------------------------------------------------------- */

static int start_threads(struct tl_engine *engine)
{
	int err = 0;

	for (uint32_t i = 0; i < engine->worker_count && !err; i++) {
		struct worker *w = engine->workers[i];

		err = -pthread_create(&w->thread, NULL, worker__main, w);
		w->started = !err;
		if (err)
			tl_store_release(&w->done, 1);
	}
	if (!err && engine__merges(engine)) {
		err = -pthread_create(&engine->merger, NULL, merger__main, engine);
		engine->merger_started = !err;
	}
	if (err)
		tl_engine__stop(engine);
	return err;
}

static void join_threads(struct tl_engine *engine)
{
	for (uint32_t i = 0; i < engine->worker_count; i++)
		if (engine->workers[i]->started)
			pthread_join(engine->workers[i]->thread, NULL);
	if (engine->merger_started)
		pthread_join(engine->merger, NULL);
}

/* What went wrong while it ran, in words; 0 when nothing did. */
static int outcome(struct tl_engine *engine, struct tl_error *ret_error)
{
	struct tl_recorder_summary summary;
	const char *why;

	for (uint32_t i = 0; i < engine->worker_count; i++) {
		int err = engine->workers[i]->error;

		if (!err)
			continue;
		snprintf(ret_error->what, sizeof(ret_error->what), "reading failed: %s",
			 strerror(-err));
		return err;
	}
	if (engine->recording.recorder) {
		tl_recorder__summary(engine->recording.recorder, &summary);
		if (summary.first_error) {
			snprintf(ret_error->what, sizeof(ret_error->what), "%s", summary.error);
			return summary.first_error;
		}
	}
	why = engine->live ? NULL : tl_source_file__error(engine__files(engine));
	if (!why)
		return 0;
	if (engine->opts.file_count == 1)
		snprintf(ret_error->what, sizeof(ret_error->what), "%.100s: %s",
			 engine->opts.files[0], why);
	else
		snprintf(ret_error->what, sizeof(ret_error->what), "%s", why);
	return -EBADMSG;
}

int tl_engine__run(struct tl_engine *engine, struct tl_error *ret_error)
{
	int err;

	engine->started_ns = clock__monotonic_ns();
	err = start_threads(engine);
	stop_hurrying(engine);
	if (err) {
		join_threads(engine);
		snprintf(ret_error->what, sizeof(ret_error->what), "cannot start a thread: %s",
			 strerror(-err));
		return err;
	}
	control__run(engine);
	join_threads(engine);
	engine->ended_ns = clock__monotonic_ns();
	recording__close(&engine->recording);
	return outcome(engine, ret_error);
}

int tl_engine__census(struct tl_engine *engine, struct tl_census_report *ret_report)
{
	struct tl_census *sum = engine->workers[0]->census;
	int err = sum ? 0 : -ENOENT;

	for (uint32_t i = 1; i < engine->worker_count && !err; i++)
		err = tl_census__merge(sum, engine->workers[i]->census);
	if (!err)
		tl_census__report(sum, ret_report);
	return err;
}

/* --- summary ------------------------------------------------------------------------------- */

void engine__source_stats(const struct tl_engine *engine, struct tl_source_stats *ret_per_interface)
{
	memset(ret_per_interface, 0, TL_INTERFACES_MAX * sizeof(*ret_per_interface));
	/* each port of a shared file tells of all of it */
	for (uint32_t i = 0; i < (engine->shared ? 1 : engine->source_count); i++) {
		struct tl_source *s = engine->sources[i];
		struct tl_source_stats stats;

		if (!s->ops->stats(s, &stats))
			tl_source_stats__add(&ret_per_interface[s->interface], &stats);
	}
}

/*
 * A stop condition leaves packets in the rings that came after the last one taken: the run ended
 * before them, so they are not part of the account.
 */
static void leave_out_unprocessed(const struct tl_engine *engine, struct tl_source_stats *stats,
				  struct tl_run_summary *summary)
{
	uint64_t left_out = 0;

	for (uint32_t i = 0; engine->live && i < engine->opts.interface_count; i++) {
		uint64_t processed = tl_load_relaxed(&engine->processed[i]);

		if (stats[i].captured <= processed)
			continue;
		left_out += stats[i].captured - processed;
		stats[i].received -= stats[i].captured - processed;
		stats[i].captured = processed;
	}
	if (left_out && engine->ended_ns && summary->note_count < 16)
		snprintf(summary->notes[summary->note_count++], sizeof(summary->notes[0]),
			 "%llu packets came after the stop condition was met; they are not counted",
			 (unsigned long long)left_out);
}

static void join_names(const struct tl_engine *engine, struct tl_run_summary *summary)
{
	const struct tl_engine_opts *o = &engine->opts;
	uint32_t count = engine->live ? o->interface_count : o->file_count;
	size_t at = 0;

	for (uint32_t i = 0; i < count && at < sizeof(summary->interface); i++)
		at += (size_t)snprintf(summary->interface + at, sizeof(summary->interface) - at,
				       "%s%s", i ? "," : "",
				       engine->live ? o->interfaces[i] : o->files[i]);
}

static void sum_workers(const struct tl_engine *engine, struct tl_run_summary *summary)
{
	for (uint32_t i = 0; i < engine->worker_count; i++) {
		const struct worker *w = engine->workers[i];
		struct tl_flow_table_stats flows;

		summary->analysis_shed_packets += tl_load_relaxed(&w->analysis_shed);
		summary->observations_lost += tl_load_relaxed(&w->observations_lost);
		if (!w->flows)
			continue;
		tl_flow_table__stats(w->flows, &flows);
		summary->flows_created += flows.created;
		summary->flows_evicted += flows.evicted;
	}
}

void tl_engine__summary(const struct tl_engine *engine, struct tl_run_summary *summary)
{
	memset(summary, 0, sizeof(*summary));
	summary->backend = engine->backend;
	memcpy(summary->mode, engine->mode, sizeof(summary->mode));
	summary->filter = engine->opts.filter ? engine->opts.filter : "";
	summary->note_count = tl_load_acquire(&engine->note_count);
	memcpy(summary->notes, engine->notes, sizeof(summary->notes));
	summary->worker_count = engine->worker_count;
	join_names(engine, summary);
	engine__source_stats(engine, summary->per_interface);
	leave_out_unprocessed(engine, summary->per_interface, summary);
	summary->interface_count = engine__interface_count(engine);
	if (summary->interface_count > TL_INTERFACES_MAX)
		summary->interface_count = TL_INTERFACES_MAX;
	for (uint32_t i = 0; i < TL_INTERFACES_MAX; i++) {
		const struct tl_interface *interface = tl_engine__interface(engine, i);

		tl_source_stats__add(&summary->source, &summary->per_interface[i]);
		if (interface)
			memcpy(summary->interface_names[i], interface->name, TL_IFNAME_MAX);
	}
	summary->duration_s =
		(double)((engine->ended_ns ? engine->ended_ns : clock__monotonic_ns()) -
			 engine->started_ns) /
		1e9;
	if (!engine->live)
		summary->duration_s = (double)(tl_load_relaxed(&engine->last_packet_ns) -
					       tl_load_relaxed(&engine->first_packet_ns)) /
				      1e9;
	sum_workers(engine, summary);
	summary->recording = engine->recording.recorder != NULL;
	if (summary->recording)
		tl_recorder__summary(engine->recording.recorder, &summary->recorder);
}
