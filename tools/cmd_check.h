/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of `tapline check`: facts and advice are gathered in a report, and printed as text or
 * as one line of JSON.
 *
 *   cmd_check.c         the command: options, which interfaces, --fix and --restore
 *   cmd_check_host.c    facts about this host
 *   cmd_check_link.c    facts about one interface, and the mode that will be used
 *   cmd_check_report.c  the report
 */
#ifndef TAPLINE_TOOLS_CMD_CHECK_H
#define TAPLINE_TOOLS_CMD_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CHECK_FACTS_MAX	 48
#define CHECK_ADVICE_MAX 16

enum check_kind { CHECK_TEXT, CHECK_NUMBER, CHECK_YES_NO, CHECK_UNKNOWN };

struct check_fact {
	const char *key; /* JSON's name; for people, '_' is shown as a blank */
	enum check_kind kind;
	uint64_t number;
	char text[192];
};

struct check_advice {
	char what[256];
	char command[160]; /* "" when none helps */
};

struct check_report {
	const char *interface; /* NULL: the host */
	bool ready;	       /* a capture can start */
	uint32_t fact_count;
	struct check_fact facts[CHECK_FACTS_MAX];
	uint32_t advice_count;
	struct check_advice advice[CHECK_ADVICE_MAX];
};

void check_report__text(struct check_report *report, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void check_report__number(struct check_report *report, const char *key, uint64_t number);
/* 1, 0, or below 0 for unknown. */
void check_report__yes_no(struct check_report *report, const char *key, int value);
/* `command` may be "". */
void check_report__advise(struct check_report *report, const char *command, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void check_report__print(const struct check_report *report, FILE *out);
int check_report__print_json(const struct check_report *report, FILE *out);

/* The first line of a file, without its end; false when it cannot be read. */
bool check__read_line(const char *path, char *ret_line, size_t bytes);

/* May this process load programs into the kernel? */
bool check__may_load_programs(void);

void check__host(struct check_report *report);
/* 0 or -errno (no such interface). */
int check__link(const char *name, struct check_report *report);

#endif
