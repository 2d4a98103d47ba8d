/* SPDX-License-Identifier: GPL-2.0-or-later */
/* tapline check: is this host, and an interface, ready? What mode will be used, and why? */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_check.h"
#include "commands.h"
#include "options.h"
#include "tapline/link.h"

struct check_options {
	struct string_list interfaces;
	bool json;
	bool fix;
	bool restore;
};

#define AT(field) offsetof(struct check_options, field)

static const struct option_spec specs[] = {
	{ 'i', "interface", OPTION_LIST, "IF", "check this interface; without it, all",
	  AT(interfaces), NULL },
	{ 0, "json", OPTION_FLAG, NULL, "one JSON object a line: the host, then each interface",
	  AT(json), NULL },
	{ 0, "fix", OPTION_FLAG, NULL,
	  "turn off GRO and LRO and enlarge the receive ring of -i IF, until --restore", AT(fix),
	  NULL },
	{ 0, "restore", OPTION_FLAG, NULL, "put back what --fix, or a killed capture, changed",
	  AT(restore), NULL },
};
static const struct option_group groups[] = { { "Options", specs, 4 } };

static int help(const struct option_table *table)
{
	printf("Usage: tapline check [-i IF]... [--json] [--fix | --restore]\n\n"
	       "Says whether this host and its interfaces are ready for a capture, what mode will\n"
	       "be used and why, and what would make it better, with the command that does "
	       "it.\n\n");
	options__print_help(table, stdout);
	printf("\nExit status: 0 all are ready, 1 one is not, 2 the call was wrong.\n");
	return EXIT_DONE;
}

static int fix(const char *name)
{
	struct tl_error error = { "" };
	char note[256] = "";
	int changed = tl_link__fix(name, &error, note);

	if (changed < 0)
		return complain(EXIT_FAILED, "%s", error.what);
	if (!changed)
		fprintf(stderr, "%s: nothing to fix\n", name);
	else
		fprintf(stderr, "%s: %s; to undo: tapline check -i %s --restore\n", name, note,
			name);
	return EXIT_DONE;
}

static int restore(const char *name)
{
	int crashed = tl_link_guard__recover(name);
	int fixed = tl_link__unfix(name);
	int err = crashed < 0 ? crashed : fixed < 0 ? fixed : 0;

	if (err)
		return complain(EXIT_FAILED, "%s: cannot put its settings back: %s", name,
				strerror(-err));
	fprintf(stderr, "%s: %d settings put back\n", name, crashed + fixed);
	return EXIT_DONE;
}

static int print(const struct check_report *report, bool json)
{
	if (!json)
		check_report__print(report, stdout);
	else if (check_report__print_json(report, stdout))
		return complain(EXIT_FAILED, "out of memory");
	return report->ready ? EXIT_DONE : EXIT_FAILED;
}

static int check_one(const char *name, const struct check_options *options)
{
	static struct check_report report;
	int status = EXIT_DONE;

	if (options->fix)
		status = fix(name);
	if (options->restore)
		status = restore(name);
	if (status)
		return status;
	memset(&report, 0, sizeof(report));
	report.interface = name;
	if (check__link(name, &report))
		return complain(EXIT_FAILED, "%s: the interface is gone", name);
	return print(&report, options->json);
}

static int check_all(const struct check_options *options)
{
	struct if_nameindex *all = if_nameindex();
	int status = EXIT_DONE;

	if (!all)
		return complain(EXIT_FAILED, "cannot list the interfaces: %s", strerror(errno));
	for (struct if_nameindex *i = all; i->if_name; i++)
		if (check_one(i->if_name, options))
			status = EXIT_FAILED;
	if_freenameindex(all);
	return status;
}

/* All names are looked up before anything is changed or printed. */
static int check_call(const struct check_options *options)
{
	char names[200];

	if (options->fix && options->restore)
		return complain(EXIT_BAD_CALL, "--fix and --restore exclude each other");
	if ((options->fix || options->restore) && !options->interfaces.count)
		return complain(EXIT_BAD_CALL, "%s needs -i IF: it changes that interface",
				options->fix ? "--fix" : "--restore");
	for (uint32_t i = 0; i < options->interfaces.count; i++) {
		if (if_nametoindex(options->interfaces.at[i]))
			continue;
		tl_link__list(names, sizeof(names));
		return complain(EXIT_FAILED, "%s: no such interface; interfaces here: %s",
				options->interfaces.at[i], names);
	}
	return EXIT_DONE;
}

int cmd_check(int argc, char **argv)
{
	static struct check_report host;
	struct check_options options = { 0 };
	struct tl_error error = { "" };
	const struct option_table table = { groups, 1 };
	struct command_line line = { .argc = argc, .argv = argv };
	int err = options__parse(&table, &line, &options, &error);
	int status;

	if (err == -ECANCELED)
		return help(&table);
	if (err)
		return complain(EXIT_BAD_CALL, "%s", error.what);
	if (line.operand < argc)
		return complain(EXIT_BAD_CALL, "%s: unexpected; name an interface with -i",
				argv[line.operand]);
	status = check_call(&options);
	if (status)
		return status;
	check__host(&host);
	status = print(&host, options.json);
	if (!options.interfaces.count)
		return check_all(&options) ? EXIT_FAILED : status;
	for (uint32_t i = 0; i < options.interfaces.count; i++)
		if (check_one(options.interfaces.at[i], &options))
			status = EXIT_FAILED;
	return status;
}
