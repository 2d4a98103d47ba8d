/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Command lines as tables: parsing and --help come from the same rows.
 */
#ifndef TAPLINE_TOOLS_OPTIONS_H
#define TAPLINE_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/source.h"

struct string_list {
	const char **at; /* the texts are borrowed */
	uint32_t count, room;
};

enum option_type {
	OPTION_FLAG,   /* bool: set */
	OPTION_CLEAR,  /* bool: cleared */
	OPTION_IGNORE, /* taken for tcpdump's sake; changes nothing */
	OPTION_STRING, /* const char * */
	OPTION_LIST,   /* struct string_list: may be given more than once */
	OPTION_U32,    /* uint32_t */
	OPTION_U64,    /* uint64_t */
	OPTION_SIZE,   /* uint64_t bytes: 100, 64k, 10M, 2G, 1T (powers of 1024) */
	OPTION_TIME,   /* uint64_t ns: 10, 10s, 500ms, 5m, 2h, 7d (no unit: seconds) */
	OPTION_CALL,   /* parse() */
};

struct option_spec {
	char letter;	  /* 0: none */
	const char *name; /* long name without dashes; NULL: none */
	enum option_type type;
	const char *argument; /* as --help shows it; NULL: takes none */
	const char *help;
	size_t offset; /* in the options struct */
	/* OPTION_CALL: 0 or -EINVAL with the reason. */
	int (*parse)(void *options, const char *text, struct tl_error *ret_error);
};

struct option_group {
	const char *title;
	const struct option_spec *specs;
	size_t count;
};

/* All options of a command. */
struct option_table {
	const struct option_group *groups;
	size_t count;
};

/* What was typed: argv[0] is the command's name; parsing moves operands to the end. */
struct command_line {
	int argc;
	char **argv;
	int operand; /* index of the first one */
};

/* 0; -EINVAL with the reason; -ECANCELED: `--help` or `-h`. */
int options__parse(const struct option_table *table, struct command_line *line, void *options,
		   struct tl_error *ret_error);

void options__print_help(const struct option_table *table, FILE *out);

/* "10M" and the like; -EINVAL when it is not one. */
/* 0 or -ENOMEM. */
int string_list__add(struct string_list *list, const char *text);
void string_list__free(struct string_list *list);

int options__parse_size(const char *text, uint64_t *ret_bytes);
int options__parse_time(const char *text, uint64_t *ret_ns);
int options__parse_u64(const char *text, uint64_t *ret_value);

#endif
