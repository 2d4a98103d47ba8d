/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subcommands: argv[0] is the subcommand's name; each returns the exit status. */
#ifndef TAPLINE_TOOLS_COMMANDS_H
#define TAPLINE_TOOLS_COMMANDS_H

int cmd_capture(int argc, char **argv);
int cmd_diagnose(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_flows(int argc, char **argv);
int cmd_repair(int argc, char **argv);
int cmd_bench(int argc, char **argv);

enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,   /* at run time */
	EXIT_BAD_CALL = 2, /* the call was wrong */
	EXIT_FINDINGS = 3, /* at or above --fail-on */
};

/* Prints "tapline: WHAT" on stderr; returns `status`. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
