/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of every command that makes the engine run (capture, diagnose, flows, top): their
 * tables, and how they become `struct tl_engine_opts`.
 */
#ifndef TAPLINE_TOOLS_RUN_OPTIONS_H
#define TAPLINE_TOOLS_RUN_OPTIONS_H

#include "options.h"
#include "tapline/engine.h"

struct run_options {
	/* where packets come from */
	struct string_list interfaces;
	struct string_list files;
	const char *filter_file;
	uint64_t packets;
	uint32_t snaplen;
	uint64_t buffer_kib;
	bool not_promiscuous;
	bool ignore_outgoing;
	const char *user;
	enum tl_backend backend;
	enum tl_xdp_mode xdp;
	uint32_t workers;
	const char *cpus;
	bool busy_poll;
	uint32_t sample;
	uint32_t sample_flows;
	bool headers_only;
	uint64_t cutoff_bytes;
	struct tl_recorder_limits stop;
	/* where they go */
	const char *write;
	bool packet_buffered;
	uint64_t rotate_bytes;		/* -C */
	uint64_t rotate_seconds;	/* -G */
	uint64_t file_count;		/* -W */
	struct tl_recorder_limits ring; /* -b */
	bool has_ring;
	uint64_t quota_bytes, min_free_bytes, max_age_ns;
	uint32_t compress;
	uint32_t io;
	/* what is said */
	bool diagnose;
	bool json;
	const char *summary;
	int fail_on; /* enum tl_severity; -1: never */
	uint64_t flow_memory_bytes;
	bool quiet;
	bool dump_filter;
	bool list_interfaces;
	/* the operands */
	char *filter; /* owned */
};

#define RUN_OPTIONS_INIT                                                                           \
	{                                                                                          \
		.fail_on = -1                                                                      \
	}

extern const struct option_group run_options__source;	 /* -i, -r, -c, --backend… */
extern const struct option_group run_options__reduction; /* --sample, --cutoff… */
extern const struct option_group run_options__recorder;	 /* -w, -C, -b… */
extern const struct option_group run_options__analysis;	 /* --json, --fail-on… */

/*
 * Operands are the filter; with -r, leading ones that name files are further files. Checks what
 * does not go together. 0 or -EINVAL.
 */
int run_options__finish(struct run_options *options, const struct command_line *line,
			struct tl_error *ret_error);

/* Also after a call that failed. */
void run_options__free(struct run_options *options);

/* Both results borrow from `options`; `ret_recorder` is used when -w was given. */
void run_options__to_engine(const struct run_options *options, struct tl_engine_opts *ret_engine,
			    struct tl_recorder_opts *ret_recorder);

#endif
