/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tapline flows: a record for each flow as it ends (and, if asked for, as it begins and while it
 * goes on), live or from files, and a closing record about the link as a whole.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "session.h"
#include "tapline/export.h"

#define FILE_OUTPUT_BYTES (256u << 10) /* of records, when they are of a file */

enum wanted {
	WANT_END = 1u << 0,
	WANT_START = 1u << 1,
	WANT_ACTIVE = 1u << 2,
	WANT_STATS = 1u << 3,
};

struct flows_options {
	struct run_options run; /* first: the groups' tables point into it */
	bool csv;
	bool json;
	const char *collector; /* --ipfix */
	unsigned int records;  /* enum wanted */
	uint64_t active_ns;
};

struct flows_output {
	int (*write)(const struct tl_flow_record *record, FILE *out);
	struct tl_ipfix *ipfix; /* instead of `write`; NULL: not so */
	int (*write_stats)(const struct tl_census_report *report, const char *interface, FILE *out);
	FILE *stats_out;
	bool silent; /* no end records */
	int error;   /* the first one; written by workers, read when they have ended */
};

static int parse_records(void *options, const char *text, struct tl_error *ret_error)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} names[] = {
		{ "end", WANT_END },
		{ "start", WANT_START },
		{ "active", WANT_ACTIVE },
		{ "stats", WANT_STATS },
	};
	struct flows_options *o = options;

	o->records = 0;
	for (;;) {
		size_t bytes = strcspn(text, ","), i = 0;

		while (i < 4 &&
		       (strlen(names[i].name) != bytes || memcmp(names[i].name, text, bytes)))
			i++;
		if (i == 4) {
			snprintf(ret_error->what, sizeof(ret_error->what),
				 "--records %.*s: it takes end, start, active and stats, "
				 "separated by commas",
				 (int)bytes, text);
			return -EINVAL;
		}
		o->records |= names[i].bit;
		if (!text[bytes])
			return 0;
		text += bytes + 1;
	}
}

static const struct option_spec flow_specs[] = {
	{ 0, "json", OPTION_FLAG, NULL, "JSON lines, named as in Suricata's EVE, instead of text",
	  offsetof(struct flows_options, json), NULL },
	{ 0, "csv", OPTION_FLAG, NULL, "comma-separated values with a header line",
	  offsetof(struct flows_options, csv), NULL },
	{ 0, "ipfix", OPTION_STRING, "HOST:PORT", "to an IPFIX collector over UDP, instead of text",
	  offsetof(struct flows_options, collector), NULL },
	{ 0, "records", OPTION_CALL, "LIST", "which: end, start, active, stats (end,stats)", 0,
	  parse_records },
	{ 0, "active-timeout", OPTION_TIME, "TIME", "an active record each so much of a flow (60s)",
	  offsetof(struct flows_options, active_ns), NULL },
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

/* --- records ------------------------------------------------------------------------------- */

static void write_record(struct flows_output *output, struct tl_flow_record *record)
{
	const struct tl_engine *engine = session__engine();
	const struct tl_interface *interface =
		engine ? tl_engine__interface(engine, record->flow->interface) : NULL;
	int expected = 0, err;

	if (__atomic_load_n(&output->error, __ATOMIC_RELAXED))
		return;
	record->interface = interface ? interface->name : NULL;
	err = output->ipfix ? tl_ipfix__write(output->ipfix, record)
			    : output->write(record, stdout);
	if (!err)
		return;
	if (!output->ipfix && errno == EPIPE)
		err = -EPIPE;
	/* Nobody reads on, or the disk is full: the first worker to see it ends the run. */
	if (__atomic_compare_exchange_n(&output->error, &expected, err, false, __ATOMIC_RELAXED,
					__ATOMIC_RELAXED))
		raise(SIGTERM);
}

static void on_flow_end(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	struct tl_flow_record record = { .flow = flow, .end = end };
	struct flows_output *output = ctx;

	if (!output->silent)
		write_record(output, &record);
}

static void on_flow_begin(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	struct tl_flow_record record = { .flow = flow,
					 .kind = TL_FLOW_RECORD_START,
					 .ts_ns = now_ns };

	write_record(ctx, &record);
}

static void on_flow_active(void *ctx, struct tl_flow *flow, uint64_t now_ns)
{
	struct tl_flow_record record = { .flow = flow,
					 .kind = TL_FLOW_RECORD_ACTIVE,
					 .ts_ns = now_ns };

	write_record(ctx, &record);
}

static void on_finished(void *ctx, struct tl_engine *engine)
{
	struct flows_output *output = ctx;
	struct tl_census_report report;
	struct tl_run_summary summary;
	int err = output->error ? -ENOENT : tl_engine__census(engine, &report);

	if (err == -ENOENT)
		return;
	tl_engine__summary(engine, &summary);
	output->error =
		err ? err : output->write_stats(&report, summary.interface, output->stats_out);
}

/* --- the command ---------------------------------------------------------------------------- */

static int help(const struct option_table *table)
{
	printf("Usage: tapline flows -i IF [-i IF ...] | -r FILE [FILE ...]  [--json|--csv|--ipfix "
	       "HOST:PORT]\n"
	       "                     [OPTIONS] [FILTER]\n\n"
	       "Prints a record for each flow when it ends: both directions' packets and bytes,\n"
	       "times, TCP state and flags, round trips, application, and why the record was\n"
	       "closed. The client stands first. A record about the whole link closes: who sends\n"
	       "most, how many addresses, how sizes and round trips are spread.\n");
	options__print_help(table, stdout);
	return EXIT_DONE;
}

/* Called with what the session came to; what was not sent makes it fail. */
static int close_ipfix(const struct flows_options *options, struct tl_ipfix *ipfix, int status)
{
	uint64_t messages, failed;
	int err;

	if (!ipfix)
		return status;
	err = tl_ipfix__finish(ipfix, &messages, &failed);
	tl_ipfix__destroy(ipfix);
	if (!err)
		return status;
	return complain(EXIT_FAILED, "--ipfix %s: %s (%llu of %llu messages were not taken)",
			options->collector, strerror(-err), (unsigned long long)failed,
			(unsigned long long)messages);
}

static int run(const struct flows_options *options)
{
	unsigned int records = options->records;
	struct flows_output output = {
		.write = options->csv	 ? tl_flow_record__write_csv
			 : options->json ? tl_flow_record__write_json
					 : tl_flow_record__write_text,
		.write_stats = options->json ? tl_census__write_json : tl_census__write_text,
		/* a table of values has no place for it */
		.stats_out = options->csv ? stderr : stdout,
		.silent = !(records & WANT_END),
	};
	struct session_opts session = {
		.options = &options->run,
		.on_flow_end = on_flow_end,
		.on_flow_begin = records & WANT_START ? on_flow_begin : NULL,
		.on_flow_active = records & WANT_ACTIVE ? on_flow_active : NULL,
		.flow_active_ns = options->active_ns,
		.census = records & WANT_STATS && !(options->csv && options->run.quiet),
		.on_finished = on_finished,
		.flow_ctx = &output,
	};
	struct tl_error error = { "" };
	int status, err = 0;

	if (options->collector)
		err = tl_ipfix__create(options->collector, options->run.files.count > 0, &error,
				       &output.ipfix);
	if (err)
		return complain(err == -EINVAL ? EXIT_BAD_CALL : EXIT_FAILED, "%s",
				error.what[0] ? error.what : strerror(-err));
	/* Live, somebody may be waiting for each line. */
	if (options->run.files.count)
		setvbuf(stdout, NULL, _IOFBF, FILE_OUTPUT_BYTES);
	if (options->csv)
		output.error = tl_flow_record__write_csv_header(stdout);
	status = session__run(&session);
	status = close_ipfix(options, output.ipfix, status);
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
	struct flows_options options = { .run = RUN_OPTIONS_INIT,
					 .records = WANT_END | WANT_STATS };
	struct tl_error error = { "" };
	int status;
	const struct option_table table = { groups, 3 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, &options, &error);

	if (err == -ECANCELED)
		return help(&table);
	if (err || run_options__finish(&options.run, &line, &error))
		status = complain(EXIT_BAD_CALL, "%s", error.what);
	else if (options.csv + options.json + !!options.collector > 1)
		status = complain(EXIT_BAD_CALL, "--json, --csv and --ipfix do not go together");
	else if (options.collector && options.records & WANT_START)
		status = complain(EXIT_BAD_CALL,
				  "IPFIX has no start records: --records end,active with --ipfix");
	else if (options.active_ns && !(options.records & WANT_ACTIVE))
		status = complain(EXIT_BAD_CALL,
				  "--active-timeout needs active records: --records end,active");
	else if (!session__answers(&options.run, &status))
		status = run(&options);
	run_options__free(&options.run);
	return status;
}
