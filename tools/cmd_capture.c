/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline capture: record interfaces, or a file, as pcapng; with --diagnose, analyze beside it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "session.h"

static const struct option_spec capture_specs[] = {
	{ 0, "diagnose", OPTION_FLAG, NULL, "run the analyzers beside the recording",
	  offsetof(struct run_options, diagnose), NULL },
};

static int help(const struct option_table *table)
{
	printf("Usage: tapline capture -i IF [-i IF ...] | -r FILE  [-w FILE|-] [OPTIONS] "
	       "[FILTER]\n\n"
	       "Records what passes on the interfaces as pcapng with nanosecond times, and closes\n"
	       "with an account in which every packet is in exactly one counter. FILTER is a\n"
	       "tcpdump expression (pcap-filter(7)). SIGINT and SIGTERM end it cleanly, SIGUSR1\n"
	       "prints statistics, SIGHUP reads the filter of -F again.\n");
	options__print_help(table, stdout);
	return EXIT_DONE;
}

int cmd_capture(int argc, char **argv)
{
	const struct option_group groups[] = {
		run_options__source,   run_options__reduction,
		run_options__recorder, { "Diagnosis", capture_specs, 1 },
		run_options__analysis,
	};
	struct run_options options = RUN_OPTIONS_INIT;
	struct session_opts session = { .options = &options };
	struct tl_error error = { "" };
	int status;
	const struct option_table table = { groups, 5 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, &options, &error);

	if (err == -ECANCELED)
		return help(&table);
	if (err || run_options__finish(&options, &line, &error))
		status = complain(EXIT_BAD_CALL, "%s", error.what);
	else if (!session__answers(&options, &status)) {
		session.analyze = options.diagnose;
		session.findings = options.write && !strcmp(options.write, "-") ? stderr : stdout;
		status = session__run(&session);
	}
	run_options__free(&options);
	return status;
}
