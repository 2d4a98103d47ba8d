/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tapline: a table of subcommands.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

static const struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "capture", "record interfaces, or a file, as pcapng", cmd_capture },
	{ "diagnose", "say what is wrong on the wire, with the packets that prove it",
	  cmd_diagnose },
	{ "compare", "two captures of one path: what was lost, altered, late on it", cmd_compare },
	{ "flows", "a record for each flow, as JSON lines or CSV", cmd_flows },
	{ "repair", "make whole a capture that a crash cut off", cmd_repair },
	{ "bench", "what a core of this machine can take, without a NIC", cmd_bench },
	{ "check", "is this host and interface ready, and what mode will be used", cmd_check },
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

int complain(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("tapline: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

static int help(FILE *out)
{
	fprintf(out, "Usage: tapline COMMAND [OPTIONS]\n\n"
		     "Records a mirror port without losing a packet or lying about one, and says\n"
		     "what is wrong on the wire.\n\nCommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
	fprintf(out, "\nOptions:\n"
		     "  -h, --help     this text; tapline COMMAND --help for a command's options\n"
		     "  --version      the version\n\n"
		     "Exit status: 0 done, 1 failed while running, 2 the call was wrong,\n"
		     "3 findings at or above --fail-on.\n");
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		help(stderr);
		return EXIT_BAD_CALL;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
		return help(stdout);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("tapline %s\n", TAPLINE_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	return complain(EXIT_BAD_CALL, "%s: no such command; see: tapline --help", argv[1]);
}
