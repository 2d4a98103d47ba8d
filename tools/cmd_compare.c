/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline compare: what happens to packets between two points, from a capture at each. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "options.h"
#include "tapline/compare.h"
#include "tapline/export.h"

struct compare_options {
	bool json;
	uint64_t window_ns;
	int fail_on; /* enum tl_severity; -1: never */
};

static int parse_fail_on(void *options, const char *text, struct tl_error *ret_error)
{
	struct compare_options *o = options;

	for (int severity = TL_INFO; severity <= TL_ERROR; severity++) {
		if (strcmp(text, tl_format__severity((enum tl_severity)severity)))
			continue;
		o->fail_on = severity;
		return 0;
	}
	snprintf(ret_error->what, sizeof(ret_error->what),
		 "--fail-on %s: not one of info, warning, error", text);
	return -EINVAL;
}

static const struct option_spec specs[] = {
	{ 0, "json", OPTION_FLAG, NULL, "JSON lines instead of text",
	  offsetof(struct compare_options, json), NULL },
	{ 0, "window", OPTION_TIME, "TIME", "longest time that a packet may take (default 2s)",
	  offsetof(struct compare_options, window_ns), NULL },
	{ 0, "fail-on", OPTION_CALL, "SEVERITY",
	  "exit with 3 when there is a finding at least so severe", 0, parse_fail_on },
};

static const struct option_group groups[] = {
	{ .title = "Comparing", .specs = specs, .count = sizeof(specs) / sizeof(specs[0]) },
};

static int help(const struct option_table *table)
{
	printf("Usage: tapline compare A.pcapng B.pcapng [--json] [OPTIONS]\n\n"
	       "Matches the packets of two captures of the same traffic, taken at two points of "
	       "its\n"
	       "path, and says which were lost, altered, late or doubled between them. The clocks\n"
	       "of the two need not agree; NAT, tunnels and VLANs between them do no harm.\n");
	options__print_help(table, stdout);
	return EXIT_DONE;
}

static int write_out(const struct compare_options *o, struct tl_finding_writer *writer,
		     const struct tl_comparison *comparison)
{
	int worst = tl_finding_writer__finish(writer), err;

	/* Two files without a common packet are not two files without a difference. */
	if (!o->json && worst == -1 && comparison->matched)
		puts("No difference found.");
	err = o->json ? tl_comparison__write_json(comparison, stdout)
		      : tl_comparison__write_text(comparison, stdout);
	if (!err && fflush(stdout))
		err = -errno;
	if (worst < -1)
		err = worst;
	/* A reader that has gone (`| head`) has had what it wanted. */
	if (err && err != -EPIPE)
		return complain(EXIT_FAILED, "standard output: %s", strerror(-err));
	return o->fail_on >= 0 && worst >= o->fail_on ? EXIT_FINDINGS : EXIT_DONE;
}

static int run(const struct compare_options *o, char **paths)
{
	struct tl_finding_writer_opts writer_opts = {
		.out = stdout,
		.json = o->json,
		.color = !o->json && isatty(STDOUT_FILENO),
		.no_verdict = true,
	};
	struct tl_compare_opts opts = {
		.path = { paths[0], paths[1] },
		.window_ns = o->window_ns,
	};
	struct tl_finding_writer *writer;
	struct tl_comparison comparison;
	struct tl_error error = { "" };
	int status;

	if (tl_finding_writer__create(&writer_opts, &writer))
		return complain(EXIT_FAILED, "out of memory");
	opts.sink = tl_finding_writer__sink(writer);
	if (tl_compare__run(&opts, &error, &comparison))
		status = complain(EXIT_FAILED, "%s", error.what);
	else
		status = write_out(o, writer, &comparison);
	tl_finding_writer__destroy(writer);
	return status;
}

int cmd_compare(int argc, char **argv)
{
	const struct option_table table = { groups, 1 };
	struct command_line line = { .argc = argc, .argv = argv };
	struct compare_options options = { .fail_on = -1 };
	struct tl_error error = { "" };
	int err = options__parse(&table, &line, &options, &error);

	if (err == -ECANCELED)
		return help(&table);
	if (err)
		return complain(EXIT_BAD_CALL, "%s", error.what);
	if (argc - line.operand != 2)
		return complain(EXIT_BAD_CALL, "compare takes two captures: tapline compare A B");
	if (!strcmp(argv[line.operand], "-") || !strcmp(argv[line.operand + 1], "-"))
		return complain(EXIT_BAD_CALL, "compare reads each file more than once: no pipes");
	return run(&options, argv + line.operand);
}
