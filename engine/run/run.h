/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of engine/run share: one engine, its workers, and who writes what.
 *
 *              ┌───────── worker 0 ─────────┐   handoff    ┌─────────┐
 *   sources ─► │ merge decode flow analysis │ ───────────► │ merger  │ ─► recorder
 *              └───────┬────────────────────┘   (SPSC)     └─────────┘
 *                      │ observations (SPSC)         one worker: it drives the recorder itself
 *                      ▼
 *              control (the caller's thread): judge, progress, signals
 *
 * A large file that is only diagnosed is shared by several workers: shared_file.h.
 *
 * | word                | written by | store   | read by | load    | edge                   |
 * |---------------------|------------|---------|---------|---------|------------------------|
 * | engine.stopping     | anyone     | relaxed | all     | relaxed | a flag, nothing behind |
 * | worker.watermark_ns | worker     | release | control | acquire | observations are there |
 * | worker.handoff_ns   | worker     | release | merger  | acquire | packets are there      |
 * | worker.done         | worker     | release | others  | acquire | all it wrote is seen   |
 */
#ifndef TAPLINE_RUN_RUN_H
#define TAPLINE_RUN_RUN_H

#include <pthread.h>

#include "frame_map.h"
#include "merge.h"
#include "shared_file.h"
#include "tapline/engine.h"
#include "tapline/filter.h"
#include "tapline/link.h"
#include "tapline/spsc.h"
#include "tapline/ticks.h"

#define PIECE_PACKETS	 64u	/* are decoded and analyzed together: what they need stays in L1 */
#define HANDOFF_PACKETS	 16384u /* descriptors between a worker and the merger */
#define OBSERVATION_RING 4096u	/* observations between a worker and the control thread */
#define WAITING_RING	 1024u	/* likewise, of a worker that can wait for room: of a file */
#define IDLE_WAIT_MS	 5	/* how long a worker waits for a quiet link */
#define CAPTURE_NICE	 (-5)
#define DRAIN_NS	 60000000ull /* a stopped source is polled until it was quiet for so long */

struct worker {
	struct tl_engine *engine;
	uint32_t index;
	int cpu; /* -1: not pinned */
	pthread_t thread;
	bool started;

	struct tl_source *sources[TL_INTERFACES_MAX]; /* owned by the engine */
	uint32_t source_count;
	struct merge merge;

	struct tl_flow_table *flows; /* NULL: no analysis */
	unsigned char *slab;
	size_t slab_stride;
	size_t slab_bytes;
	void *analysis;
	struct tl_census *census; /* NULL: not asked for */
	struct tl_ticks ticks;
	struct tl_spsc observations;
	uint64_t observations_lost;
	uint64_t newest_observation_ns; /* of those in the ring, or on their way there */

	struct tl_spsc handoff; /* several workers */
	uint64_t frames;	/* packets this worker processed */

	/* published */
	uint64_t watermark_ns TL_CACHE_ALIGNED; /* observations older than this are in the ring */
	uint64_t handoff_ns;			/* packets older than this are in the ring */
	uint64_t analysis_shed;
	int done;
	int error; /* 0 or the -errno that ended it */

	/* scratch of one batch */
	struct tl_packet *packets; /* here, or in the merge */
	struct tl_packet room[TL_BATCH_MAX] TL_CACHE_ALIGNED;
	struct tl_layers layers[PIECE_PACKETS];
	struct tl_flow_lookup lookups[PIECE_PACKETS];
	uint8_t inputs[TL_BATCH_MAX];
	uint64_t release_upto[TL_BATCH_MAX];
	bool down[TL_INTERFACES_MAX];
	bool shedding;
};

/* A packet on its way to the merger. */
struct handoff_packet {
	struct tl_packet packet;
	uint64_t worker_frame; /* the worker's own number for it */
	uint64_t release_upto; /* of that source: packets that may be given back with this one */
	uint32_t input;	       /* which of the worker's sources lent the bytes */
};

/* What drives the recorder: the only worker, or the merger. Used by that thread alone. */
struct recording {
	struct tl_engine *engine;
	struct tl_recorder *recorder;
	uint32_t interfaces_known;
	struct tl_source_stats stats[TL_INTERFACES_MAX];
	uint64_t stats_at_ns;	 /* CLOCK_MONOTONIC */
	int64_t clock_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC when last looked at */
	uint64_t last_ns;	 /* time of the newest packet recorded */
	bool limit_reached;	 /* -c, -a, -W: nothing more is taken */
};

struct tl_engine {
	struct tl_engine_opts opts; /* borrowed strings live as long as the engine */
	bool live;
	const char *backend;
	char mode[256];
	struct tl_interface interfaces[TL_INTERFACES_MAX]; /* live */
	struct tl_link_guard *guards[TL_INTERFACES_MAX];
	int numa_node[TL_INTERFACES_MAX]; /* of the NIC; -1: none */
	struct tl_filter *filter;	  /* in force */
	struct tl_filter *retired_filters[2];

	struct tl_source *sources[TL_WORKERS_MAX * TL_INTERFACES_MAX]; /* owned */
	uint32_t source_count;
	struct worker *workers[TL_WORKERS_MAX];
	uint32_t worker_count;
	struct shared_file *shared; /* several workers analyze files; else NULL */

	struct recording recording;
	pthread_t merger;
	bool merger_started;
	int merger_done;
	struct frame_map frame_maps[TL_WORKERS_MAX];

	void *judge;
	struct tl_ticks judge_ticks;

	uint64_t started_ns; /* CLOCK_MONOTONIC */
	uint64_t ended_ns;
	uint64_t first_packet_ns, last_packet_ns; /* of a file; atomic; the first worker's */
	uint64_t processed[TL_INTERFACES_MAX]; /* by interface; written by the recording thread */
	int stopping;
	uint64_t end_ns; /* of a live run, once somebody asked; 0 */
	int want_statistics;
	int want_reload;
	bool disk_warned;
	bool is_hurried; /* the thread that makes the others has their priority */
	char notes[16][256];
	uint32_t note_count;
};

/* Do the packets of several workers meet again, in the merger? */
static inline bool engine__merges(const struct tl_engine *engine)
{
	return engine->worker_count > 1 && !engine->shared;
}

/* engine.c */
const struct tl_interface *engine__interface(const struct tl_engine *engine, uint32_t index);
uint32_t engine__interface_count(const struct tl_engine *engine);
void engine__note(struct tl_engine *engine, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
bool engine__stopping(const struct tl_engine *engine);
/* When a live run ended, by packet time: the first one who asks fixes it, for the analysis and for
 * the file alike. */
uint64_t engine__end_ns(struct tl_engine *engine);
uint64_t clock__monotonic_ns(void);
uint64_t clock__realtime_ns(void);

/* open.c: sources, interfaces, guards */
int engine__open_live(struct tl_engine *engine, struct tl_error *ret_error);
int engine__open_files(struct tl_engine *engine, struct tl_error *ret_error);
void engine__close_sources(struct tl_engine *engine);

/* worker.c */
int worker__create(struct tl_engine *engine, uint32_t index, struct worker **ret_worker);
void *worker__main(void *worker);
void worker__destroy(struct worker *worker);
/* The sum over an engine's sources, less what was still queued when a stop condition came. */
void engine__source_stats(const struct tl_engine *engine,
			  struct tl_source_stats *ret_per_interface);

/* recording.c: what the recording thread does with a batch in time order, and between batches */
int recording__open(struct tl_engine *engine, struct tl_error *ret_error);
/* How many of the packets were taken: fewer than n when a stop condition was reached. */
uint32_t recording__write(struct recording *recording, struct tl_packet *packets, uint32_t n);
/* Flushes, rotates, counts; stops the engine when a stop condition was reached. */
void recording__tick(struct recording *recording, uint64_t now_ns);
void recording__note(struct recording *recording, uint32_t interface, const char *comment);
int recording__close(struct recording *recording);

/* merger.c */
void *merger__main(void *engine);

/* control.c */
int control__run(struct tl_engine *engine);

/* privileges.c: becomes `user` for good; 0 or -errno */
int privileges__become(const char *user, struct tl_error *ret_error);

#endif
