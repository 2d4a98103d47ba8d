/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline flows: a record for each flow as it ends, live or from files. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "session.h"
#include "tapline/export.h"

struct flows_options {
	struct run_options run; /* first: the groups' tables point into it */
	bool csv;
	bool json;
};

typedef int write_flow_fn(const struct tl_flow *flow, const char *interface, enum tl_flow_end end,
			  FILE *out);

struct flows_output {
	write_flow_fn *write;
	int error; /* the first one; written by workers, read when they have ended */
};

static const struct option_spec flow_specs[] = {
	{ 0, "json", OPTION_FLAG, NULL, "JSON lines, named as in Suricata's EVE, instead of text",
	  offsetof(struct flows_options, json), NULL },
	{ 0, "csv", OPTION_FLAG, NULL, "comma-separated values with a header line",
	  offsetof(struct flows_options, csv), NULL },
	{ 0, "flow-memory", OPTION_SIZE, "SIZE", "memory of the flow tables",
	  offsetof(struct flows_options, run.flow_memory_bytes), NULL },
	{ 0, "summary", OPTION_STRING, "FILE", "the closing summary as JSON (- is standard output)",
	  offsetof(struct flows_options, run.summary), NULL },
};

static const struct option_group flow_group = {
	.title = "Flow records",
	.specs = flow_specs,
	.count = sizeof(flow_specs) / sizeof(flow_specs[0]),
};

static void on_flow_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	const struct tl_engine *engine = session__engine();
	const struct tl_interface *interface =
		engine ? tl_engine__interface(engine, flow->interface) : NULL;
	struct flows_output *output = ctx;
	int expected = 0, err;

	if (__atomic_load_n(&output->error, __ATOMIC_RELAXED))
		return;
	err = output->write(flow, interface ? interface->name : NULL, end, stdout);
	if (!err)
		return;
	if (errno == EPIPE)
		err = -EPIPE;
	/* Nobody reads on, or the disk is full: the first worker to see it ends the run. */
	if (__atomic_compare_exchange_n(&output->error, &expected, err, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		raise(SIGTERM);
}

static int help(const struct option_table *table)
{
	printf("Usage: tapline flows -i IF [-i IF ...] | -r FILE [FILE ...]  [--json|--csv]"
	       " [OPTIONS] [FILTER]\n\n"
	       "Prints a record for each flow when it ends: both directions' packets and bytes,\n"
	       "times, TCP state and flags, round trips, application, and why the record was\n"
	       "closed. The client stands first.\n");
	options__print_help(table, stdout);
	return EXIT_DONE;
}

static int run(const struct flows_options *options)
{
	struct flows_output output = {
		.write = options->csv	 ? tl_flow_record__write_csv
			 : options->json ? tl_flow_record__write_json
					 : tl_flow_record__write_text,
	};
	struct session_opts session = {
		.options = &options->run,
		.on_flow_end = on_flow_end,
		.flow_ctx = &output,
	};
	int status;

	if (options->csv)
		output.error = tl_flow_record__write_csv_header(stdout);
	status = session__run(&session);
	if (!output.error && fflush(stdout))
		output.error = errno == EPIPE ? -EPIPE : -EIO;
	/* A reader that has gone (`| head`) has had what it wanted. */
	if (output.error && output.error != -EPIPE)
		return complain(EXIT_FAILED, "standard output: %s", strerror(-output.error));
	return status;
}

int cmd_flows(int argc, char **argv)
{
	const struct option_group groups[] = {
		flow_group,
		run_options__source,
		run_options__reduction,
	};
	struct flows_options options = { .run = RUN_OPTIONS_INIT };
	struct tl_error error = { "" };
	int status;
	const struct option_table table = { groups, 3 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, &options, &error);

	if (err == -ECANCELED)
		return help(&table);
	if (err || run_options__finish(&options.run, &line, &error))
		status = complain(EXIT_BAD_CALL, "%s", error.what);
	else if (options.csv && options.json)
		status = complain(EXIT_BAD_CALL, "--json and --csv do not go together");
	else if (!session__answers(&options.run, &status))
		status = run(&options);
	free(options.run.filter);
	return status;
}
