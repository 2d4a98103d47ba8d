/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline diagnose: what is wrong on the wire, live or in files, with the packets that prove it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "explain.h"
#include "session.h"

struct diagnose_options {
	struct run_options run; /* first: the groups' tables point into it */
	const char *explain;
};

static const struct option_spec explain_specs[] = {
	{ 0, "explain", OPTION_STRING, "[KIND]",
	  "what a kind of finding means (tcp.loss; tcp: all of these); without: which there are",
	  offsetof(struct diagnose_options, explain), NULL },
};

static const struct option_group explain_group = {
	.title = "Kinds of findings",
	.specs = explain_specs,
	.count = sizeof(explain_specs) / sizeof(explain_specs[0]),
};

static int explain(const char *kind)
{
	char near[256];
	int err = explain__print(kind, stdout, near, sizeof(near));

	if (err == -ENOENT)
		return complain(EXIT_BAD_CALL,
				"--explain %s: no such kind of finding; there are: %s", kind, near);
	return err ? complain(EXIT_FAILED, "standard output: %s", strerror(-err)) : EXIT_DONE;
}

/* Given last, or before another option: then no kind is asked for. */
static bool asks_for_list(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--explain"))
			return i + 1 == argc || argv[i + 1][0] == '-';
	return false;
}

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
		explain_group,
	};
	struct diagnose_options all = { .run = RUN_OPTIONS_INIT };
	struct run_options *options = &all.run;
	struct session_opts session = { .options = options, .analyze = true };
	struct tl_error error = { "" };
	int status;
	const struct option_table table = { groups, 4 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err;

	if (asks_for_list(argc, argv))
		return explain("list");
	err = options__parse(&table, &line, &all, &error);
	if (err == -ECANCELED)
		return help(&table);
	if (!err && all.explain)
		return explain(all.explain);
	if (err || run_options__finish(options, &line, &error))
		status = complain(EXIT_BAD_CALL, "%s", error.what);
	else if (!session__answers(options, &status)) {
		session.findings = options->write && !strcmp(options->write, "-") ? stderr : stdout;
		status = session__run(&session);
	}
	run_options__free(options);
	return status;
}
