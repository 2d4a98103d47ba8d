/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The merger: with several workers, one thread that puts their packets in time order, drives the
 * recorder and gives the bytes back to the sources.
 *
 *   worker 0 ─► [handoff] ─┐
 *   worker 1 ─► [handoff] ─┼─► oldest first ─► recording__write ─► release
 *   worker n ─► [handoff] ─┘
 *
 * A packet may go when no worker can still hand over an older one: each ring is either not empty,
 * or its worker has published a time (handoff_ns) that lies beyond the packet's.
 */
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "run.h"

struct merger {
	struct tl_engine *engine;
	uint64_t released[TL_WORKERS_MAX][TL_INTERFACES_MAX];
	struct tl_packet packets[TL_BATCH_MAX];
	struct handoff_packet origin[TL_BATCH_MAX];
	uint8_t worker[TL_BATCH_MAX];
};

/* The ring whose front is oldest, or NULL while an older packet could still come. */
static struct worker *oldest_worker(struct merger *m, bool *ret_all_done)
{
	struct worker *oldest = NULL;
	uint64_t oldest_ns = UINT64_MAX;
	uint64_t bound = UINT64_MAX;

	*ret_all_done = true;
	for (uint32_t i = 0; i < m->engine->worker_count; i++) {
		struct worker *w = m->engine->workers[i];
		/* Read before the ring: what was pushed before it is then seen (see run.h). */
		uint64_t handed = tl_load_acquire(&w->handoff_ns);
		int done = tl_load_acquire(&w->done);
		const struct handoff_packet *front = tl_spsc__front(&w->handoff);

		if (front && front->packet.ts_ns < oldest_ns) {
			oldest = w;
			oldest_ns = front->packet.ts_ns;
		}
		if (!front && handed < bound && !done)
			bound = handed;
		*ret_all_done &= done && !front;
	}
	return oldest && oldest_ns <= bound ? oldest : NULL;
}

static uint32_t gather(struct merger *m, bool *ret_all_done)
{
	uint32_t n = 0;

	while (n < TL_BATCH_MAX) {
		struct worker *w = oldest_worker(m, ret_all_done);

		if (!w)
			break;
		memcpy(&m->origin[n], tl_spsc__front(&w->handoff), sizeof(m->origin[n]));
		m->packets[n] = m->origin[n].packet;
		m->worker[n++] = (uint8_t)w->index;
		tl_spsc__pop(&w->handoff);
	}
	return n;
}

static void give_back(struct merger *m, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct handoff_packet *o = &m->origin[i];
		uint64_t *released = &m->released[m->worker[i]][o->input];

		if (o->release_upto > *released) {
			tl_source__release(m->engine->workers[m->worker[i]]->sources[o->input],
					   o->release_upto - *released);
			*released = o->release_upto;
		}
	}
}

static void record(struct merger *m, uint32_t n)
{
	struct tl_engine *engine = m->engine;
	uint32_t taken = recording__write(&engine->recording, m->packets, n);

	for (uint32_t i = 0; i < n && engine->frame_maps[0].base; i++)
		frame_map__set(&engine->frame_maps[m->worker[i]], m->origin[i].worker_frame,
			       i < taken ? m->packets[i].frame : 0);
	give_back(m, n);
}

void *merger__main(void *arg)
{
	static const struct timespec nap = { .tv_nsec = 500000 };
	struct merger m = { .engine = arg };
	bool all_done = false;

	prctl(PR_SET_NAME, "tapline-merger");
	while (!all_done) {
		uint32_t n = gather(&m, &all_done);

		if (n)
			record(&m, n);
		else if (!all_done)
			nanosleep(&nap, NULL);
		/* After a stop the file's time stands still: it ends when the analysis does. */
		recording__tick(&m.engine->recording, engine__stopping(m.engine)
							      ? engine__end_ns(m.engine)
							      : clock__realtime_ns());
	}
	tl_store_release(&m.engine->merger_done, 1);
	return NULL;
}
