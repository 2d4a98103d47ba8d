/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A worker: one thread that takes batches from its sources through every stage.
 *
 *   fill ─► take (time order) ─► [record] ─► decode all ─► look up all ─► analyze ─► [hand over]
 *
 * With one worker it records first, so that analyzers see the frame numbers of the file. With
 * several, packets go to the merger after analysis, and frames are found by the frame map. Where
 * several share a file, each polls a port with its own packets alone (shared_file.h).
 *
 * A batch is cut where packet time crosses the tick grid: each tick comes after all older packets
 * and before all others, live and from a file alike.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "run.h"
#include "tapline/decode.h"
#include "tapline/fetch.h"
#include "tapline/topology.h"

#define FILE_SILENCE_MAX_NS 3600000000000ull
#define FLOW_MEMORY_DEFAULT (256ull << 20)
#define EXPIRE_BUDGET	    64u /* flows ended between two batches */
#define EXPIRE_ALL	    UINT32_MAX
#define SHED_ABOVE_PERCENT  75 /* of the ring: from here on packets are recorded only */
#define SHED_BELOW_PERCENT  40
#define ROOM_SPINS	    1000u
#define ROOM_NAPS_STOPPING  100000u /* two seconds: the judge hears all, unless it never ran */
#define HEADER_BYTES	    128u    /* from Ethernet to the first bytes of the payload */

/* --- observations -------------------------------------------------------------------------- */

/*
 * A file can wait for the judge; a wire cannot. The judge waits in turn for the slowest of several
 * workers: this one says how far it is, for all that it has told is older.
 */
static struct tl_observation *wait_for_room(struct worker *w)
{
	const struct timespec nap = { .tv_nsec = 20000 };
	struct tl_observation *slot = NULL;

	if (w->engine->shared)
		tl_store_release(&w->watermark_ns, w->newest_observation_ns + 1);
	for (uint32_t turn = 0;
	     !slot && (turn < ROOM_NAPS_STOPPING || !engine__stopping(w->engine)); turn++) {
		if (turn < ROOM_SPINS)
			tl_cpu_relax();
		else
			nanosleep(&nap, NULL);
		slot = tl_spsc__reserve(&w->observations);
	}
	return slot;
}

/*
 * What is told late is not told as of then: the judge has gone on, and how far it has is nobody's
 * rule. It is told as of the tick that it comes after, or at.
 */
static bool emit(void *ctx, const struct tl_observation *observation)
{
	struct worker *w = ctx;
	struct tl_observation *slot = tl_spsc__reserve(&w->observations);
	uint64_t ts_ns =
		observation->ts_ns > w->ticks.now_ns ? observation->ts_ns : w->ticks.now_ns;

	if (ts_ns > w->newest_observation_ns)
		w->newest_observation_ns = ts_ns;
	if (!slot && !w->engine->live)
		slot = wait_for_room(w);
	if (!slot) {
		tl_counter_add(&w->observations_lost, 1);
		return false;
	}
	memcpy(slot, observation, offsetof(struct tl_observation, data) + observation->data_bytes);
	slot->ts_ns = ts_ns;
	slot->worker = (uint16_t)w->index;
	tl_spsc__push(&w->observations);
	return true;
}

static void on_flow_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct worker *w = ctx;

	if (w->analysis)
		w->engine->opts.analysis->worker_flow_end(
			w->analysis, flow, w->slab + (size_t)flow->index * w->slab_stride, end);
	if (w->census)
		tl_census__flow(w->census, flow);
	if (w->engine->opts.on_flow_end)
		w->engine->opts.on_flow_end(w->engine->opts.flow_ctx, flow, end);
}

static void on_flow_begin(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	const struct tl_engine_opts *o = &((struct worker *)ctx)->engine->opts;

	o->on_flow_begin(o->flow_ctx, flow, now_ns);
}

static void on_flow_active(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	const struct tl_engine_opts *o = &((struct worker *)ctx)->engine->opts;

	o->on_flow_active(o->flow_ctx, flow, now_ns);
}

/* --- life ---------------------------------------------------------------------------------- */

static int create_analysis(struct worker *w)
{
	const struct tl_analysis_ops *ops = w->engine->opts.analysis;
	uint32_t capacity = tl_flow_table__capacity(w->flows);
	struct tl_analysis_worker_opts opts = {
		.worker = (uint16_t)w->index,
		.flow_capacity = capacity,
		.emit = emit,
		.emit_ctx = w,
	};
	int err;

	if (!ops)
		return 0;
	w->slab_stride = ops->flow_bytes();
	w->slab_bytes = w->slab_stride * capacity;
	w->slab = mmap(NULL, w->slab_bytes ? w->slab_bytes : 1, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (w->slab == MAP_FAILED) {
		w->slab = NULL;
		return -ENOMEM;
	}
	/* Each packet asks for another entry: of small pages the TLB holds too few. */
	madvise(w->slab, w->slab_bytes, MADV_HUGEPAGE);
	err = tl_spsc__init(&w->observations, w->engine->live ? OBSERVATION_RING : WAITING_RING,
			    sizeof(struct tl_observation));
	return err ? err : ops->worker_create(&opts, &w->analysis);
}

static int create_flows(struct worker *w)
{
	const struct tl_engine_opts *o = &w->engine->opts;
	uint64_t memory = o->flow_memory_bytes ? o->flow_memory_bytes : FLOW_MEMORY_DEFAULT;
	struct tl_flow_table_opts opts = {
		.memory_bytes = memory / w->engine->worker_count,
		.numa_node = w->engine->live ? w->engine->numa_node[0] : -1,
		.on_end = on_flow_end,
		.on_begin = o->on_flow_begin ? on_flow_begin : NULL,
		.on_active = o->on_flow_active ? on_flow_active : NULL,
		.active_ns = o->flow_active_ns,
		.grows = !w->engine->live,
		.ctx = w,
	};
	int err;

	if (!o->analysis && !o->on_flow_end)
		return 0;
	err = tl_flow_table__create(&opts, &w->flows);
	if (!err && o->census)
		err = tl_census__create(&w->census);
	return err ? err : create_analysis(w);
}

int worker__create(struct tl_engine *engine, uint32_t index, struct worker **ret_worker)
{
	struct worker *w = aligned_alloc(TL_CACHE_LINE, (sizeof(*w) + 63) / 64 * 64);
	int err;

	if (!w)
		return -ENOMEM;
	memset(w, 0, sizeof(*w));
	w->engine = engine;
	w->index = index;
	w->cpu = -1;
	for (uint32_t i = 0; i < engine->source_count; i++)
		if (i % engine->worker_count == index)
			w->sources[w->source_count++] = engine->sources[i];
	err = merge__init(&w->merge, w->sources, w->source_count, engine->live);
	if (!err)
		err = create_flows(w);
	if (!err && engine__merges(engine))
		err = tl_spsc__init(&w->handoff, HANDOFF_PACKETS, sizeof(struct handoff_packet));
	if (err) {
		worker__destroy(w);
		return err;
	}
	*ret_worker = w;
	return 0;
}

void worker__destroy(struct worker *w)
{
	if (!w)
		return;
	if (w->analysis)
		w->engine->opts.analysis->worker_destroy(w->analysis);
	tl_flow_table__destroy(w->flows);
	tl_census__destroy(w->census);
	if (w->slab)
		munmap(w->slab, w->slab_bytes ? w->slab_bytes : 1);
	tl_spsc__fini(&w->observations);
	tl_spsc__fini(&w->handoff);
	merge__fini(&w->merge);
	free(w);
}

/* --- time ---------------------------------------------------------------------------------- */

static void tick_to(struct worker *w, uint64_t tick_ns)
{
	while (tl_flow_table__expire(w->flows, tick_ns, EXPIRE_ALL))
		;
	tl_flow_table__tell_active(w->flows, tick_ns);
	if (w->analysis)
		w->engine->opts.analysis->worker_tick(w->analysis, tick_ns);
}

/* The ticks up to `now_ns`: that of a packet, or one that nothing older can come after. */
static void advance(struct worker *w, uint64_t now_ns, bool is_packet)
{
	uint64_t tick_ns;

	while (w->flows && tl_ticks__next(&w->ticks, now_ns, is_packet, &tick_ns))
		tick_to(w, tick_ns);
}

/* Of a file that several read: the time of a packet, whosever it is, that brings a tick. */
static void step_to(struct worker *w, uint64_t ts_ns)
{
	if (!w->ticks.now_ns && ts_ns)
		tl_ticks__begin(&w->ticks, tl_ticks__before(ts_ns));
	advance(w, ts_ns, true);
	tl_ticks__hear(&w->ticks);
}

/* How many of these lie before the next tick; the grid starts at the first packet. */
static uint32_t count_before_tick(struct worker *w, const struct tl_packet *packets, uint32_t n)
{
	uint32_t count = 0;

	if (!w->ticks.now_ns)
		tl_ticks__begin(&w->ticks, tl_ticks__before(packets[0].ts_ns));
	while (count < n && tl_ticks__covers(&w->ticks, packets[count].ts_ns))
		count++;
	if (count)
		tl_ticks__hear(&w->ticks);
	return count;
}

/* --- stages -------------------------------------------------------------------------------- */

/*
 * Begins with an empty state what begins, and asks for the state of the others: a line of it for
 * each of a few thousand flows is in no L1, and is there by the time that the analyzers come to it.
 */
static void fetch_states(const struct worker *w, uint32_t from, uint32_t n)
{
	for (uint32_t i = from; i < from + n; i++) {
		const struct tl_flow_lookup *l = &w->lookups[i];
		unsigned char *state;

		if (!l->ret_flow)
			continue;
		state = w->slab + l->ret_flow->index * w->slab_stride;
		if (l->ret_is_new)
			memset(state, 0, w->slab_stride);
		else
			tl_fetch_near(state, w->slab_stride);
		/* the look-up needs the lines before */
		tl_fetch(&l->ret_flow->first_ns);
	}
}

static void look_up_and_analyze(struct worker *w, const struct tl_packet *packets, uint32_t from,
				uint32_t n)
{
	while (n) {
		uint32_t done = tl_flow_table__lookup(w->flows, &w->lookups[from], n);
		struct tl_batch batch = {
			.n = done,
			.packet = &packets[from],
			.layers = &w->layers[from],
			.lookup = &w->lookups[from],
			.slab = w->slab,
			.slab_stride = w->slab_stride,
		};

		if (w->census)
			tl_census__packets(w->census, &w->lookups[from], done);
		if (w->analysis) {
			fetch_states(w, from, done);
			w->engine->opts.analysis->worker_batch(w->analysis, &batch);
		}
		from += done;
		n -= done;
	}
}

static bool must_shed(struct worker *w)
{
	int fullest = 0;

	if (!w->engine->live)
		return false;
	for (uint32_t i = 0; i < w->source_count; i++) {
		struct tl_source *s = w->sources[i];
		int percent = s->ops->fill_percent ? s->ops->fill_percent(s) : 0;

		if (percent > fullest)
			fullest = percent;
	}
	w->shedding = fullest > (w->shedding ? SHED_BELOW_PERCENT : SHED_ABOVE_PERCENT);
	return w->shedding;
}

/* The packets of a ring, or those that another worker read, are in no cache of this processor. */
static void fetch_headers(const struct tl_packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		tl_fetch_near(packets[i].data, HEADER_BYTES);
}

static void decode(struct worker *w, const struct tl_packet *packets, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		tl_decode(&packets[i], &w->layers[i]);
		w->lookups[i] =
			(struct tl_flow_lookup){ .packet = &packets[i], .layers = &w->layers[i] };
	}
}

static void analyze_piece(struct worker *w, const struct tl_packet *packets, uint32_t n)
{
	for (uint32_t from = 0; from < n;) {
		uint32_t count = count_before_tick(w, &packets[from], n - from);

		if (count)
			look_up_and_analyze(w, packets, from, count);
		from += count;
		if (from < n)
			advance(w, packets[from].ts_ns, true);
	}
}

static void analyze(struct worker *w, uint32_t n)
{
	if (!w->flows || !n)
		return;
	if (must_shed(w)) {
		tl_counter_add(&w->analysis_shed, n);
		return;
	}
	fetch_headers(w->packets, n < PIECE_PACKETS ? n : PIECE_PACKETS);
	for (uint32_t at = 0; at < n; at += PIECE_PACKETS) {
		uint32_t piece = n - at < PIECE_PACKETS ? n - at : PIECE_PACKETS;
		uint32_t left = n - at - piece;

		fetch_headers(&w->packets[at + piece], left < PIECE_PACKETS ? left : PIECE_PACKETS);
		decode(w, &w->packets[at], piece);
		analyze_piece(w, &w->packets[at], piece);
	}
}

/*
 * Several workers: to the merger, which gives the bytes back. A full ring is waited for: the
 * source's ring takes up what the merger is behind.
 */
static void hand_over(struct worker *w, uint32_t n)
{
	bool last_seen[TL_INTERFACES_MAX] = { false };

	/* The last packet of each input in this batch carries what may be released by then. */
	for (uint32_t i = n; i-- > 0;) {
		uint8_t input = w->inputs[i];

		w->release_upto[i] =
			last_seen[input] ? 0 : merge__releasable(&w->merge.inputs[input]);
		last_seen[input] = true;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct handoff_packet *slot;

		while (!(slot = tl_spsc__reserve(&w->handoff)))
			tl_cpu_relax();
		slot->packet = w->packets[i];
		slot->worker_frame = ++w->frames;
		slot->input = w->inputs[i];
		slot->release_upto = w->release_upto[i];
		tl_spsc__push(&w->handoff);
	}
}

static void number_frames(struct worker *w, uint32_t n)
{
	bool provisional = w->engine->worker_count > 1;

	for (uint32_t i = 0; i < n; i++)
		w->packets[i].frame = provisional
					      ? frame_map__provisional(w->index, w->frames + i + 1)
					      : w->frames + i + 1;
}

/* Of a file that one worker reads. */
static void note_span(struct tl_engine *engine, const struct tl_packet *packets, uint32_t n)
{
	if (!n)
		return;
	if (!engine->first_packet_ns)
		tl_store_relaxed(&engine->first_packet_ns, packets[0].ts_ns);
	tl_store_relaxed(&engine->last_packet_ns, packets[n - 1].ts_ns);
}

/* One batch through all stages. False when a stop condition was reached. */
static bool process(struct worker *w, uint32_t n)
{
	struct tl_engine *engine = w->engine;
	uint32_t taken = n;

	if (engine->live && (engine->worker_count > 1 || !engine->recording.recorder))
		number_frames(w, n);
	if (engine__merges(engine)) {
		analyze(w, n);
		hand_over(w, n);
		return true;
	}
	if (!engine->shared)
		taken = recording__write(&engine->recording, w->packets, n);
	if (!engine->live && !engine->shared)
		note_span(engine, w->packets, taken);
	w->frames += taken;
	analyze(w, taken);
	return taken == n;
}

/* --- the loop ------------------------------------------------------------------------------ */

static void note_links(struct worker *w)
{
	for (uint32_t i = 0; i < w->merge.count; i++) {
		const struct merge_input *in = &w->merge.inputs[i];
		const char *name = engine__interface(w->engine, in->source->interface)->name;

		if (in->down == w->down[i])
			continue;
		w->down[i] = in->down;
		if (!engine__merges(w->engine))
			recording__note(&w->engine->recording, in->source->interface,
					in->down ? "the interface went down: a gap begins"
						 : "the interface is back: the gap ends");
		engine__note(w->engine, "%s %s", name, in->down ? "went down" : "came back");
	}
}

/*
 * Up to where all is told: nothing is told as of before the tick that it comes after (emit). Live,
 * and of a lone worker, that is the last grid point; what the judge is told of a second it is told
 * at its end. Of a file that several read, as far as this one is, so that their rings do not fill
 * up; but not past the end of its last packets' time, at which older things are told.
 */
static void publish_watermark(struct worker *w, uint64_t merged_ns)
{
	uint64_t mark = w->ticks.now_ns, end_ns = w->ticks.now_ns + TL_TICK_NS;
	uint64_t last_ns = w->merge.last_ns;

	if (!w->flows)
		return;
	if (mark && w->engine->shared)
		mark = end_ns < last_ns ? end_ns : last_ns;
	if (merged_ns == UINT64_MAX)
		merged_ns = 0;
	else if (w->engine->shared && merged_ns > last_ns)
		merged_ns = last_ns;
	if (mark && tl_ticks__before(merged_ns) > mark)
		/* a silence: the ticks that come in it have come */
		mark = tl_ticks__before(merged_ns);
	else if (!mark && w->engine->worker_count > 1)
		/* no packet has come to it yet, and the others do not wait for its first */
		mark = merged_ns;
	if (mark > tl_load_relaxed(&w->watermark_ns))
		tl_store_release(&w->watermark_ns, mark);
}

static void between_batches(struct worker *w)
{
	uint64_t watermark = merge__watermark(&w->merge);

	if (w->engine->shared && watermark != UINT64_MAX) {
		step_to(w, watermark);
	} else if (watermark != UINT64_MAX) {
		advance(w, watermark, false);
		if (engine__merges(w->engine))
			tl_store_release(&w->handoff_ns, watermark);
	}
	publish_watermark(w, watermark);
	if (w->engine->worker_count == 1)
		recording__tick(&w->engine->recording, w->engine->live
							       ? clock__realtime_ns()
							       : w->engine->recording.last_ns);
}

/*
 * Where several share a file: the others' packets count to its time, too. One that is held up by
 * another, who may in turn wait for the judge, has told all that is as old as that.
 */
static void note_others(struct worker *w)
{
	const struct tl_source *port = w->sources[0];
	const struct shared_span span = shared_port__span(port);

	if (span.newest_ns > w->merge.last_ns)
		w->merge.last_ns = span.newest_ns;
	if (shared_port__is_held_up(port) && span.newest_ns >= tl_load_relaxed(&w->watermark_ns))
		tl_store_release(&w->watermark_ns, span.newest_ns + 1);
	if (w->index)
		return;
	tl_store_relaxed(&w->engine->first_packet_ns, span.first_ns);
	tl_store_relaxed(&w->engine->last_packet_ns, span.last_ns);
}

static void wait_for_packets(struct worker *w)
{
	/* what is held back goes on when nothing came */
	int timeout = w->source_count == 1 && merge__empty(&w->merge) ? IDLE_WAIT_MS : 1;

	for (uint32_t i = 0; i < w->source_count; i++)
		w->sources[i]->ops->wait(w->sources[i], timeout);
}

/* Takes and processes what is in order; packets processed. */
static uint32_t run_batches(struct worker *w)
{
	uint32_t total = 0;

	for (;;) {
		uint32_t n;
		bool go_on;

		w->packets = w->room;
		n = merge__take(&w->merge, TL_BATCH_MAX, &w->packets, w->inputs);
		if (!n)
			break;
		go_on = process(w, n);

		if (!engine__merges(w->engine))
			merge__release(&w->merge);
		total += n;
		if (!go_on)
			break;
	}
	return total;
}

/* After a stop: what the kernel has queued still counts. */
static void drain(struct worker *w)
{
	uint64_t quiet_since = clock__monotonic_ns();

	if (!w->engine->live || w->engine->recording.limit_reached)
		return;
	for (uint32_t i = 0; i < w->source_count; i++)
		w->sources[i]->ops->stop(w->sources[i]);
	while (clock__monotonic_ns() - quiet_since < DRAIN_NS) {
		if (merge__fill(&w->merge) > 0)
			quiet_since = clock__monotonic_ns();
		else
			wait_for_packets(w);
		run_batches(w);
	}
	merge__flush(&w->merge);
	run_batches(w);
}

static void loop(struct worker *w)
{
	while (!engine__stopping(w->engine)) {
		int filled = merge__fill(&w->merge);
		bool few = filled < (int)TL_BATCH_MAX, ended;

		if (filled < 0) {
			w->error = filled;
			tl_engine__stop(w->engine);
			break;
		}
		ended = !run_batches(w) && !filled && merge__ended(&w->merge);
		if (w->engine->shared)
			note_others(w);
		if (ended)
			break;
		/* A file has no more to give by waiting; a ring gives more at once after it. */
		if (w->engine->live ? few : !filled)
			wait_for_packets(w);
		note_links(w);
		between_batches(w);
	}
}

/*
 * Until when the capture went on: what stayed unanswered for the rest of it was silence that was
 * watched. Of a file it says so itself, and live it is what the file will say. An end that is an
 * hour off is somebody's clock, and not believed.
 */
static uint64_t watched_until(const struct worker *w)
{
	uint64_t last = w->merge.last_ns, until = last;

	if (w->engine->live && last && engine__end_ns(w->engine) > last)
		until = engine__end_ns(w->engine);
	for (uint32_t i = 0; i < w->source_count && !w->engine->live; i++) {
		struct tl_source_stats stats;

		if (!w->sources[i]->ops->stats(w->sources[i], &stats) && stats.end_ns > until)
			until = stats.end_ns;
	}
	return until - last > FILE_SILENCE_MAX_NS ? last : until;
}

static void finish(struct worker *w)
{
	uint64_t now = w->merge.last_ns;

	if (w->flows) {
		advance(w, watched_until(w), true);
		tl_flow_table__drain(w->flows);
	}
	if (w->analysis)
		w->engine->opts.analysis->worker_finish(w->analysis, now);
	if (w->merge.went_back && w->engine->live)
		engine__note(w->engine, "%llu packets were stamped earlier than one before them",
			     (unsigned long long)w->merge.went_back);
	tl_store_release(&w->handoff_ns, UINT64_MAX);
}

void *worker__main(void *arg)
{
	struct worker *w = arg;

	prctl(PR_SET_NAME, "tapline-worker");
	if (w->cpu >= 0)
		tl_topology__pin(w->cpu);
	loop(w);
	drain(w);
	finish(w);
	tl_store_release(&w->done, 1);
	return NULL;
}
