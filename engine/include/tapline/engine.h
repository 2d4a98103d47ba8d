/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine: one run from sources to recorder and analysis.
 *
 *   sources ─► worker (merge by time ─► decode ─► flow ─► analysis) ─► recorder
 *                                            └─ observations ─► control ─► record sink
 *
 * One source: the worker drives the recorder itself. Several workers: a merger thread puts their
 * packets in time order and drives it. The caller's thread is the control thread.
 */
#ifndef TAPLINE_ENGINE_H
#define TAPLINE_ENGINE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "tapline/analyzer.h"
#include "tapline/census.h"
#include "tapline/recorder.h"
#include "tapline/source.h"

#define TL_INTERFACES_MAX 32
#define TL_WORKERS_MAX	  64

struct tl_run_summary;

enum tl_backend { TL_BACKEND_AUTO = 0, TL_BACKEND_AFXDP, TL_BACKEND_AFPACKET };

struct tl_engine_opts {
	const char *const *interfaces; /* live: -i, one or more; else NULL */
	uint32_t interface_count;
	const char *const *files; /* -r, one or more; else NULL */
	uint32_t file_count;

	const char *filter;	 /* tcpdump expression; NULL or "" keeps all */
	const char *filter_file; /* -F: reread on SIGHUP; NULL: none */
	uint32_t snaplen;	 /* bytes; 0: TL_SNAPLEN_DEFAULT */
	enum tl_backend backend;
	enum tl_xdp_mode xdp;
	uint32_t workers; /* 0: chosen */
	const char *cpus; /* "0,2-3"; NULL: chosen, no pinning on hosts with one or two cores */
	uint64_t buffer_bytes; /* -B, of each socket; 0: chosen */
	bool promiscuous;
	bool ignore_outgoing;
	bool busy_poll;
	uint32_t sample;
	uint32_t sample_flows;
	bool headers_only;
	uint64_t cutoff_bytes;

	const struct tl_recorder_opts *recorder; /* NULL: nothing is recorded */
	struct tl_recorder_limits stop;		 /* -c, -a duration when nothing is recorded */

	const struct tl_analysis_ops *analysis; /* NULL: none */
	struct tl_record_sink sink;
	uint64_t flow_memory_bytes; /* of all workers; 0: default, 256 MiB */
	/* flow records; called by workers, one at a time a worker; NULL: none */
	tl_flow_end_fn *on_flow_end;
	tl_flow_alive_fn *on_flow_begin;
	tl_flow_alive_fn *on_flow_active; /* each flow_active_ns of packet time */
	uint64_t flow_active_ns;	  /* 0: default, 60 s */
	void *flow_ctx;
	bool census; /* count the whole link with sketches; needs on_flow_end or analysis */

	const char *user; /* -Z: run as this user once everything is open; NULL: no change */

	/* Called about once a second by the control thread; NULL: none. */
	void (*progress)(void *ctx, const struct tl_run_summary *summary);
	void *progress_ctx;
	/* Something a person should know at once, such as a full disk; NULL: none. */
	void (*warn)(void *ctx, const char *text);
	void *warn_ctx;
};

struct tl_run_summary {
	const char *backend; /* "afxdp", "afpacket", "file" */
	char mode[256];
	char interface[256]; /* names, comma-separated; the files' names for a file */
	const char *filter;
	double duration_s;	       /* of packet time in a file, of wall time live */
	struct tl_source_stats source; /* summed over all interfaces */
	struct tl_source_stats per_interface[TL_INTERFACES_MAX];
	char interface_names[TL_INTERFACES_MAX][TL_IFNAME_MAX];
	uint32_t interface_count;
	bool recording;
	struct tl_recorder_summary recorder; /* files are borrowed from the engine */
	uint64_t analysis_shed_packets;
	uint64_t observations_lost;
	uint64_t flows_created;
	uint64_t flows_evicted;
	uint32_t worker_count;
	char notes[16][256];
	uint32_t note_count;
};

struct tl_engine;

/*
 * Opens everything: nothing is received before this returns 0, and everything that can be wrong
 * with the call is found here. -EINVAL: the call is wrong (exit 2); other -errno: exit 1.
 * `ret_error` holds one line without the "tapline: ".
 */
int tl_engine__create(const struct tl_engine_opts *opts, struct tl_error *ret_error,
		      struct tl_engine **ret_engine);

/* Runs until stopped, a stop condition or the end of the files. 0 or -errno, `ret_error` in words.
 */
int tl_engine__run(struct tl_engine *engine, struct tl_error *ret_error);

/* Async-signal-safe: what the signal handlers call. */
void tl_engine__stop(struct tl_engine *engine);
void tl_engine__request_statistics(struct tl_engine *engine); /* SIGUSR1: progress() is called */
void tl_engine__request_reload(struct tl_engine *engine);     /* SIGHUP */

/* Final after __run; any time for progress. */
void tl_engine__summary(const struct tl_engine *engine, struct tl_run_summary *ret_summary);
/* After __run, once, when it was asked for: 0; -ENOENT: it was not; -ENOMEM. */
int tl_engine__census(struct tl_engine *engine, struct tl_census_report *ret_report);
const struct tl_interface *tl_engine__interface(const struct tl_engine *engine, uint32_t index);
void tl_engine__destroy(struct tl_engine *engine);

#endif
