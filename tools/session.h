/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of the engine as a command sees it: signals, progress on a terminal, findings, the
 * closing summary and the exit status.
 */
#ifndef TAPLINE_TOOLS_SESSION_H
#define TAPLINE_TOOLS_SESSION_H

#include "run_options.h"

struct session_opts {
	const struct run_options *options;
	bool analyze;		     /* run the analyzers */
	FILE *findings;		     /* where they are written */
	tl_flow_end_fn *on_flow_end; /* flow records; NULL: none */
	tl_flow_alive_fn *on_flow_begin;
	tl_flow_alive_fn *on_flow_active;
	uint64_t flow_active_ns;
	bool census;
	/* after the run and before the closing summary; NULL: nothing to do then */
	void (*on_finished)(void *ctx, struct tl_engine *engine);
	void *flow_ctx; /* of all of these */
};

/*
 * Runs to the end. `ret_engine_hook`, when not NULL, is given the engine before it runs.
 * Returns the exit status; what went wrong is on stderr.
 */
int session__run(const struct session_opts *opts);

/* The engine of the running session, for flow records that name interfaces. */
const struct tl_engine *session__engine(void);

/* -D and -d: true when the command is done with that; `ret_status` is its exit status. */
bool session__answers(const struct run_options *options, int *ret_status);

#endif
