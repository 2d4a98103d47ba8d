/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline diagnose: what is wrong on the wire, live or in files, with the packets that prove it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "session.h"

static int help(const struct option_table *table)
{
	printf("Usage: tapline diagnose -i IF [-i IF ...] | -r FILE [FILE ...]  [--json] [OPTIONS]"
	       " [FILTER]\n\n"
	       "Names the faults in the traffic, ranked, each with its cause, what to do next, "
	       "the\n"
	       "packets that prove it and a display filter for Wireshark. Live, a finding is told\n"
	       "as soon as it is ripe. With -w the packets are recorded as well, and frame "
	       "numbers\n"
	       "are those of that file.\n");
	options__print_help(table, stdout);
	return EXIT_DONE;
}

int cmd_diagnose(int argc, char **argv)
{
	const struct option_group groups[] = {
		run_options__analysis,
		run_options__source,
		run_options__recorder,
	};
	struct run_options options = RUN_OPTIONS_INIT;
	struct session_opts session = { .options = &options, .analyze = true };
	struct tl_error error = { "" };
	int status;
	const struct option_table table = { groups, 3 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, &options, &error);

	if (err == -ECANCELED)
		return help(&table);
	if (err || run_options__finish(&options, &line, &error))
		status = complain(EXIT_BAD_CALL, "%s", error.what);
	else if (!session__answers(&options, &status)) {
		session.findings = options.write && !strcmp(options.write, "-") ? stderr : stdout;
		status = session__run(&session);
	}
	free(options.filter);
	return status;
}
