/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets through everything but the engine's threads, as a worker and the control thread do it:
 *
 *	packets ─► tl_decode ─► flow table ─► tl_analysis ─► judge ─► text and JSON in memory
 *
 *	struct drive *d = drive__start(&(struct drive_opts){ .live = true });
 *
 *	drive__packet(d, &packet);       its bytes are copied
 *	drive__end(d);                   aborts when what was written is not as it has to be
 *
 * Observations go to the judge at once, unless `lose_every` says that rings were full. In a build
 * with AddressSanitizer each packet lies in memory of its own: one byte too far is seen.
 */
#ifndef TAPLINE_TESTS_DRIVE_H
#define TAPLINE_TESTS_DRIVE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <yajl/yajl_tree.h>

#include "tapline/analyzer.h"
#include "tapline/decode.h"
#include "tapline/export.h"
#include "tapline/ticks.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define DRIVE_OWN_MEMORY 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define DRIVE_OWN_MEMORY 1
#endif
#ifndef DRIVE_OWN_MEMORY
#define DRIVE_OWN_MEMORY 0
#endif

#define DRIVE_BATCH	  128u
#define DRIVE_ARENA	  (1u << 20)
#define DRIVE_FLOW_MEMORY (256u << 10) /* small: flows are evicted */

struct drive_opts {
	uint64_t flow_memory; /* 0: DRIVE_FLOW_MEMORY */
	uint32_t lose_every;  /* one observation in so many is lost; 0: none */
	bool live;
	bool silent; /* findings are checked, not written */
	/*
	 * As on a quiet wire, each packet comes by itself, and each so many ns it is known that
	 * none has come; 0: as from a file.
	 */
	uint64_t ask_ns;
	char **ret_json; /* NULL, or for what was written: to be freed */
};

struct drive {
	struct drive_opts opts;
	struct tl_flow_table *table;
	void *worker, *judge;
	unsigned char *slab;
	size_t stride;
	struct tl_ticks ticks, judge_ticks;
	uint64_t now_ns;
	uint64_t packets, observations, findings;
	/* CPU time of the slowest: pass over packets, end of flows at a tick, worker's and judge's
	 * tick; `judged_ns` is that of the judge's ticks so far, which is in none but theirs. */
	uint64_t pass_ns, expire_ns, tick_ns, judge_ns, judged_ns;
	/* By the wall clock: the slowest pass and end of flows, and how much of each the judge
	 * took, who is a thread of its own in the engine; `observe_ns` is his time so far. */
	uint64_t observe_ns, pass_wall_ns, pass_observe_ns, expire_wall_ns, expire_observe_ns;
	struct tl_run_totals totals;

	struct tl_packet packet[DRIVE_BATCH];
	struct tl_layers layers[DRIVE_BATCH];
	struct tl_flow_lookup lookup[DRIVE_BATCH];
	uint32_t n;
	uint32_t arena_used;
	uint8_t *arena;

	struct { /* 0: text, 1: JSON */
		struct tl_finding_writer *writer;
		FILE *out;
		char *text;
		size_t bytes;
	} to[2];
	FILE *flows; /* flow records: all three kinds of them */
	char *flow_text;
	size_t flow_bytes;
};

static inline void drive__fail(const char *fact, int line)
{
	fprintf(stderr, "drive.h:%d: not so: %s\n", line, fact);
	abort();
}

#define drive__check(fact) ((fact) ? (void)0 : drive__fail(#fact, __LINE__))

static inline uint64_t drive__cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t drive__wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Without the judge's ticks, who is a thread of its own in the engine. */
static inline uint64_t drive__worker_ns(const struct drive *d)
{
	return drive__cpu_ns() - d->judged_ns;
}

/* The worker's time since *at, which becomes now, may be the longest: true, then. */
static inline bool drive__clock(const struct drive *d, uint64_t *at, uint64_t *longest_ns)
{
	uint64_t now = drive__worker_ns(d);
	bool is_longest = now - *at > *longest_ns;

	if (is_longest)
		*longest_ns = now - *at;
	*at = now;
	return is_longest;
}

/* --- what comes out -------------------------------------------------------------------------- */

#define DRIVE_CHECK_STRING(s) drive__check(strnlen(s, sizeof(s)) < sizeof(s))

static inline void drive__check_evidence(const struct tl_evidence *e, uint32_t n, uint64_t packets)
{
	for (uint32_t i = 0; i < n; i++) {
		DRIVE_CHECK_STRING(e[i].what);
		drive__check(e[i].what[0] && e[i].frame <= packets);
	}
}

static inline void drive__check_finding(const struct drive *d, const struct tl_finding *f)
{
	DRIVE_CHECK_STRING(f->summary);
	DRIVE_CHECK_STRING(f->cause);
	DRIVE_CHECK_STRING(f->next);
	DRIVE_CHECK_STRING(f->display_filter);
	drive__check(strchr(f->kind, '.') && f->summary[0] && f->severity <= TL_ERROR);
	drive__check(f->confidence >= 0 && f->confidence <= 1 && f->count);
	if (f->first_ns > f->last_ns)
		fprintf(stderr, "%s ends before it begins: %s\n", f->kind, f->summary);
	drive__check(f->first_ns <= f->last_ns);
	drive__check(f->subject.vlan_count <= TL_VLAN_MAX);
	drive__check(f->evidence_count <= TL_EVIDENCE_MAX && f->counter_evidence_count <= 4 &&
		     f->detail_count <= TL_DETAILS_MAX);
	drive__check_evidence(f->evidence, f->evidence_count, d->packets);
	drive__check_evidence(f->counter_evidence, f->counter_evidence_count, d->packets);
	for (uint32_t i = 0; i < f->detail_count; i++) {
		drive__check(f->details[i].name && f->details[i].type <= TL_DETAIL_NULL);
		if (f->details[i].type == TL_DETAIL_STRING)
			DRIVE_CHECK_STRING(f->details[i].string);
	}
}

static inline void drive__hear(void *ctx, const struct tl_finding *f, enum tl_finding_state state)
{
	struct drive *d = ctx;

	drive__check(state == TL_FINDING_SETTLED || d->opts.live);
	drive__check_finding(d, f);
	d->findings++;
	for (int i = 0; i < 2 && !d->opts.silent; i++) {
		struct tl_record_sink sink = tl_finding_writer__sink(d->to[i].writer);

		sink.finding(sink.ctx, f, state);
	}
}

static inline void drive__hear_quality(void *ctx, const struct tl_capture_quality *quality)
{
	struct drive *d = ctx;

	drive__check(quality->cannot_judge_count <= 8 && quality->packets <= d->packets);
	for (uint32_t i = 0; i < quality->cannot_judge_count; i++)
		DRIVE_CHECK_STRING(quality->cannot_judge[i]);
	for (int i = 0; i < 2 && !d->opts.silent; i++) {
		struct tl_record_sink sink = tl_finding_writer__sink(d->to[i].writer);

		sink.quality(sink.ctx, quality);
	}
}

static inline void drive__parse_line(const char *line, const char *type)
{
	const char *path[] = { "type", NULL };
	char error[256] = "";
	yajl_val value = yajl_tree_parse(line, error, sizeof(error));
	yajl_val found = value ? yajl_tree_get(value, path, yajl_t_string) : NULL;
	const char *text = found ? YAJL_GET_STRING(found) : NULL;

	if (!text || strncmp(text, type, strlen(type))) {
		fprintf(stderr, "not a %s: %s (%s)\n", type, line, error);
		abort();
	}
	yajl_tree_free(value);
}

/* Each line of JSON parses (yajl refuses what is not UTF-8); the last closes the diagnosis. */
static inline void drive__check_json(char *text)
{
	char *end;

	for (; *text; text = end + 1) {
		end = strchr(text, '\n');
		drive__check(end != NULL);
		*end = 0;
		drive__parse_line(text, end[1] ? "finding" : "capture_quality");
	}
}

/* What a hostile server says must not reach a terminal as it is. */
static inline void drive__check_text(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		unsigned char c = (unsigned char)text[i];

		drive__check(c == '\n' || (c >= 0x20 && c != 0x7f));
	}
}

/* Per flow: JSON, text, CSV. */
static inline void drive__check_flows(char *text)
{
	for (uint32_t i = 0; *text; i++) {
		char *end = strchr(text, '\n');

		drive__check(end != NULL);
		*end = 0;
		drive__check_text(text, (size_t)(end - text));
		if (i % 3 == 0) {
			yajl_val value = yajl_tree_parse(text, NULL, 0);

			drive__check(value != NULL);
			yajl_tree_free(value);
		}
		text = end + 1;
	}
}

/* --- life ------------------------------------------------------------------------------------ */

static inline void drive__judge_to(struct drive *d, uint64_t now_ns, bool is_observation)
{
	uint64_t tick_ns, at, took_ns;

	if (!d->judge_ticks.now_ns && is_observation && now_ns)
		tl_ticks__begin(&d->judge_ticks, tl_ticks__before(now_ns) - TL_TICK_NS);
	if (tl_ticks__covers(&d->judge_ticks, now_ns))
		return;
	while (tl_ticks__next(&d->judge_ticks, now_ns, is_observation, &tick_ns)) {
		at = drive__cpu_ns();
		tl_analysis.judge_tick(d->judge, tick_ns, &d->totals);
		took_ns = drive__cpu_ns() - at;
		d->judged_ns += took_ns;
		if (took_ns > d->judge_ns)
			d->judge_ns = took_ns;
	}
}

/* As of the tick that it comes after, or at. */
static inline bool drive__emit(void *ctx, const struct tl_observation *observation)
{
	struct drive *d = ctx;
	struct tl_observation stamped;
	uint64_t at;

	drive__check(observation->data_bytes <= TL_OBSERVATION_BYTES);
	memcpy(&stamped, observation,
	       offsetof(struct tl_observation, data) + observation->data_bytes);
	if (stamped.ts_ns < d->ticks.now_ns)
		stamped.ts_ns = d->ticks.now_ns;
	if (d->opts.lose_every && ++d->observations % d->opts.lose_every == 0) {
		d->totals.observations_lost++;
		return false;
	}
	at = drive__wall_ns();
	drive__judge_to(d, stamped.ts_ns, true);
	tl_ticks__hear(&d->judge_ticks);
	tl_analysis.judge_observe(d->judge, &stamped);
	d->observe_ns += drive__wall_ns() - at;
	return true;
}

static inline void drive__flow_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct drive *d = ctx;
	struct tl_flow_record record = {
		.flow = flow,
		.interface = "eth0",
		.kind = TL_FLOW_RECORD_END,
		.end = end,
	};

	tl_analysis.worker_flow_end(d->worker, flow, d->slab + flow->index * d->stride, end);
	if (!d->flows)
		return;
	drive__check(!tl_flow_record__write_json(&record, d->flows));
	drive__check(!tl_flow_record__write_text(&record, d->flows));
	drive__check(!tl_flow_record__write_csv(&record, d->flows));
}

static inline const struct tl_interface *drive__interface(void *ctx, uint32_t index)
{
	static const struct tl_interface interface = { .name = "eth0" };

	(void)ctx;
	(void)index;
	return &interface;
}

static inline void drive__open_writers(struct drive *d)
{
	for (int i = 0; i < 2 && !d->opts.silent; i++) {
		struct tl_finding_writer_opts opts = {
			.json = i,
			.live = d->opts.live,
			.interface = drive__interface,
			.file = "a.pcapng",
		};

		d->to[i].out = opts.out = open_memstream(&d->to[i].text, &d->to[i].bytes);
		drive__check(opts.out && !tl_finding_writer__create(&opts, &d->to[i].writer));
	}
	if (!d->opts.silent)
		d->flows = open_memstream(&d->flow_text, &d->flow_bytes);
}

static inline struct drive *drive__start(const struct drive_opts *opts)
{
	struct drive *d = calloc(1, sizeof(*d));
	struct tl_flow_table_opts table = { .on_end = drive__flow_end, .numa_node = -1 };
	struct tl_analysis_worker_opts worker = { .emit = drive__emit };
	struct tl_judge_opts judge = { .live = opts->live };

	drive__check(d != NULL);
	d->opts = *opts;
	d->arena = malloc(DRIVE_ARENA);
	table.ctx = worker.emit_ctx = judge.sink.ctx = d;
	table.memory_bytes = opts->flow_memory ? opts->flow_memory : DRIVE_FLOW_MEMORY;
	table.hash_seed[0] = 1;
	drive__check(d->arena && !tl_flow_table__create(&table, &d->table));
	worker.flow_capacity = tl_flow_table__capacity(d->table);
	d->stride = tl_analysis.flow_bytes();
	d->slab = calloc(worker.flow_capacity, d->stride);
	judge.sink.finding = drive__hear;
	judge.sink.quality = drive__hear_quality;
	drive__check(d->slab && !tl_analysis.worker_create(&worker, &d->worker) &&
		     !tl_analysis.judge_create(&judge, &d->judge));
	drive__open_writers(d);
	return d;
}

/* --- packets --------------------------------------------------------------------------------- */

static inline void drive__tick(struct drive *d, uint64_t tick)
{
	uint64_t at = drive__worker_ns(d), wall = drive__wall_ns(), observed = d->observe_ns;

	while (tl_flow_table__expire(d->table, tick, UINT32_MAX))
		;
	if (drive__clock(d, &at, &d->expire_ns)) {
		d->expire_wall_ns = drive__wall_ns() - wall;
		d->expire_observe_ns = d->observe_ns - observed;
	}
	tl_analysis.worker_tick(d->worker, tick);
	drive__clock(d, &at, &d->tick_ns);
}

static inline void drive__advance(struct drive *d, uint64_t now_ns, bool is_packet)
{
	uint64_t tick_ns;

	while (tl_ticks__next(&d->ticks, now_ns, is_packet, &tick_ns))
		drive__tick(d, tick_ns);
}

/* Nothing older can come. */
static inline void drive__quiet(struct drive *d, uint64_t now_ns)
{
	drive__advance(d, now_ns, false);
	drive__judge_to(d, tl_ticks__before(now_ns), false);
}

static inline void drive__analyze(struct drive *d, uint32_t from, uint32_t n)
{
	while (n) {
		uint32_t done = tl_flow_table__lookup(d->table, &d->lookup[from], n);
		struct tl_batch batch = { .n = done,
					  .packet = &d->packet[from],
					  .layers = &d->layers[from],
					  .lookup = &d->lookup[from],
					  .slab = d->slab,
					  .slab_stride = d->stride };

		for (uint32_t i = from; i < from + done; i++) {
			const struct tl_flow_lookup *l = &d->lookup[i];

			if (l->ret_is_new && l->ret_flow)
				memset(d->slab + l->ret_flow->index * d->stride, 0, d->stride);
		}
		tl_analysis.worker_batch(d->worker, &batch);
		from += done;
		n -= done;
	}
}

static inline void drive__batch(struct drive *d)
{
	uint64_t at = drive__worker_ns(d), wall = drive__wall_ns();

	for (uint32_t i = 0; i < d->n; i++) {
		tl_decode(&d->packet[i], &d->layers[i]);
		d->lookup[i] =
			(struct tl_flow_lookup){ .packet = &d->packet[i], .layers = &d->layers[i] };
		d->totals.source.captured++;
	}
	for (uint32_t from = 0; from < d->n;) {
		uint64_t observed = d->observe_ns;
		uint32_t n = 0;

		if (!d->ticks.now_ns)
			tl_ticks__begin(&d->ticks, tl_ticks__before(d->packet[from].ts_ns));
		while (from + n < d->n && tl_ticks__covers(&d->ticks, d->packet[from + n].ts_ns))
			n++;
		if (n)
			tl_ticks__hear(&d->ticks);
		drive__analyze(d, from, n);
		if (drive__clock(d, &at, &d->pass_ns)) {
			d->pass_wall_ns = drive__wall_ns() - wall;
			d->pass_observe_ns = d->observe_ns - observed;
		}
		from += n;
		if (from < d->n) {
			drive__advance(d, d->packet[from].ts_ns, true);
			at = drive__worker_ns(d);
			wall = drive__wall_ns();
		}
	}
}

static inline void drive__flush(struct drive *d)
{
	drive__batch(d);
	for (uint32_t i = 0; i < d->n && DRIVE_OWN_MEMORY; i++)
		free((void *)(uintptr_t)d->packet[i].data);
	d->n = d->arena_used = 0;
}

static inline void drive__packet(struct drive *d, const struct tl_packet *packet)
{
	struct tl_packet *p;
	uint8_t *copy;

	uint64_t ask_ns = d->opts.ask_ns;

	if (ask_ns || d->n == DRIVE_BATCH || d->arena_used + packet->caplen > DRIVE_ARENA)
		drive__flush(d);
	for (uint64_t ns = d->now_ns; ask_ns && ns && ns < packet->ts_ns; ns += ask_ns)
		drive__quiet(d, ns);
	p = &d->packet[d->n++];
	*p = *packet;
	copy = DRIVE_OWN_MEMORY ? malloc(packet->caplen) : d->arena + d->arena_used;
	drive__check(copy != NULL || !packet->caplen);
	if (packet->caplen)
		memcpy(copy, packet->data, packet->caplen);
	d->arena_used += packet->caplen;
	p->data = copy;
	p->frame = ++d->packets;
	if (p->ts_ns > d->now_ns)
		d->now_ns = p->ts_ns;
}

static inline void drive__close_writers(struct drive *d)
{
	for (int i = 0; i < 2 && !d->opts.silent; i++) {
		drive__check(tl_finding_writer__finish(d->to[i].writer) <= TL_ERROR);
		tl_finding_writer__destroy(d->to[i].writer);
		fclose(d->to[i].out);
	}
	if (d->opts.silent)
		return;
	fclose(d->flows);
	drive__check_text(d->to[0].text, d->to[0].bytes);
	drive__check(strlen(d->to[1].text) == d->to[1].bytes && d->to[1].bytes);
	if (d->opts.ret_json)
		drive__check((*d->opts.ret_json = strdup(d->to[1].text)) != NULL);
	drive__check_json(d->to[1].text);
	drive__check_flows(d->flow_text);
	free(d->to[0].text);
	free(d->to[1].text);
	free(d->flow_text);
}

/* The end of the capture; nothing of `d` is left. How many findings there were. */
static inline uint64_t drive__end(struct drive *d)
{
	uint64_t findings;

	drive__flush(d);
	drive__advance(d, d->now_ns, true);
	tl_flow_table__drain(d->table);
	tl_analysis.worker_finish(d->worker, d->now_ns);
	drive__judge_to(d, d->ticks.now_ns, true);
	tl_analysis.judge_finish(d->judge, d->now_ns, &d->totals);
	findings = d->findings;
	drive__close_writers(d);
	tl_analysis.worker_destroy(d->worker);
	tl_analysis.judge_destroy(d->judge);
	tl_flow_table__destroy(d->table);
	free(d->slab);
	free(d->arena);
	free(d);
	return findings;
}

#endif
