/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recording thread's work: packets in time order into the recorder, statistics once a second,
 * stop conditions. With no recorder it still counts, so that -c and -a work for a diagnosis too.
 * Called by one thread: the only worker, or the merger.
 */
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define STATS_PERIOD_NS 1000000000ull
#define CLOCK_STEP_NS	100000000ll

int recording__open(struct tl_engine *engine, struct tl_error *ret_error)
{
	struct recording *rec = &engine->recording;

	rec->engine = engine;
	rec->clock_offset_ns = (int64_t)(clock__realtime_ns() - clock__monotonic_ns());
	if (!engine->opts.recorder)
		return 0;
	rec->interfaces_known = engine__interface_count(engine);
	return tl_recorder__create(engine->opts.recorder,
				   rec->interfaces_known ? engine__interface(engine, 0) : NULL,
				   rec->interfaces_known, ret_error, &rec->recorder);
}

/* A file names its interfaces as it goes on. */
static void learn_interfaces(struct recording *rec)
{
	uint32_t count = engine__interface_count(rec->engine);

	while (rec->interfaces_known < count)
		tl_recorder__add_interface(rec->recorder,
					   engine__interface(rec->engine, rec->interfaces_known++));
}

static uint32_t limit_to_packets(const struct recording *rec, uint32_t n)
{
	uint64_t limit = rec->engine->opts.stop.packets;
	uint64_t done = 0;

	if (!limit || rec->recorder)
		return n;
	for (uint32_t i = 0; i < TL_INTERFACES_MAX; i++)
		done += rec->engine->processed[i];
	return limit - done < n ? (uint32_t)(limit - done) : n;
}

static void reach_limit(struct recording *rec)
{
	rec->limit_reached = true;
	tl_engine__stop(rec->engine);
}

static void count_processed(struct tl_engine *engine, const struct tl_packet *packets, uint32_t n)
{
	for (uint32_t i = 0, run; i < n; i += run) {
		uint32_t interface = packets[i].interface;

		for (run = 1; i + run < n && packets[i + run].interface == interface; run++)
			;
		if (interface >= TL_INTERFACES_MAX)
			interface = TL_INTERFACES_MAX - 1;
		tl_counter_add(&engine->processed[interface], run);
	}
}

uint32_t recording__write(struct recording *rec, struct tl_packet *packets, uint32_t n)
{
	struct tl_engine *engine = rec->engine;
	uint32_t taken = limit_to_packets(rec, n);

	if (rec->recorder) {
		if (!engine->live)
			learn_interfaces(rec);
		taken = tl_recorder__write(rec->recorder, packets, n);
	}
	count_processed(engine, packets, taken);
	if (taken)
		rec->last_ns = packets[taken - 1].ts_ns;
	if (taken < n)
		reach_limit(rec);
	return taken;
}

static void refresh_stats(struct recording *rec, uint64_t monotonic_ns)
{
	if (monotonic_ns - rec->stats_at_ns < STATS_PERIOD_NS && rec->stats_at_ns)
		return;
	rec->stats_at_ns = monotonic_ns;
	engine__source_stats(rec->engine, rec->stats);
}

/* The clock the packets are stamped with was set: the file says so where it happened. */
static void watch_clock(struct recording *rec, uint64_t monotonic_ns)
{
	int64_t offset = (int64_t)(clock__realtime_ns() - monotonic_ns);
	int64_t step = offset - rec->clock_offset_ns;
	char text[128];

	if (llabs(step) > CLOCK_STEP_NS) {
		snprintf(text, sizeof(text), "the clock was set %s by %.3f s",
			 step > 0 ? "forward" : "back", (double)llabs(step) / 1e9);
		recording__note(rec, 0, text);
		engine__note(rec->engine, "%s", text);
	}
	rec->clock_offset_ns = offset;
}

void recording__tick(struct recording *rec, uint64_t now_ns)
{
	struct tl_engine *engine = rec->engine;
	uint64_t monotonic = clock__monotonic_ns();
	uint64_t limit = engine->opts.stop.duration_ns;

	if (engine->live) {
		refresh_stats(rec, monotonic);
		watch_clock(rec, monotonic);
	}
	if (rec->recorder && tl_recorder__tick(rec->recorder, now_ns, rec->stats))
		reach_limit(rec);
	if (limit_to_packets(rec, 1) == 0)
		reach_limit(rec);
	if (engine->live && limit && monotonic - engine->started_ns >= limit)
		tl_engine__stop(engine);
}

void recording__note(struct recording *rec, uint32_t interface, const char *comment)
{
	if (rec->recorder)
		tl_recorder__note(rec->recorder, interface,
				  rec->engine->live ? clock__realtime_ns() : rec->last_ns, comment);
}

int recording__close(struct recording *rec)
{
	if (!rec->recorder)
		return 0;
	engine__source_stats(rec->engine, rec->stats);
	if (!rec->engine->live)
		learn_interfaces(rec);
	return tl_recorder__close(rec->recorder,
				  rec->engine->live ? engine__end_ns(rec->engine) : rec->last_ns,
				  rec->stats);
}
