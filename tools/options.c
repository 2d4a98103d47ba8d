/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See options.h. getopt_long does the walking; the tables say what each option is. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SPECS_MAX   96
#define HELP_COLUMN 30

static int fail(struct tl_error *ret_error, const char *format, const char *a, const char *b)
{
	snprintf(ret_error->what, sizeof(ret_error->what), format, a, b);
	return -EINVAL;
}

int options__parse_u64(const char *text, uint64_t *ret_value)
{
	char *end;
	uint64_t value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || *end)
		return -EINVAL;
	*ret_value = value;
	return 0;
}

/* A number and a unit; `scale` names the unit's factor, 0 for no such unit. */
static int parse_scaled(const char *text, uint64_t (*scale)(const char *), uint64_t *ret_value)
{
	char *end;
	uint64_t value, factor;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	factor = scale(end);
	if (errno || !factor || __builtin_mul_overflow(value, factor, &value))
		return -EINVAL;
	*ret_value = value;
	return 0;
}

static uint64_t size_factor(const char *unit)
{
	static const char letters[] = "kmgt";
	const char *at;

	if (!*unit || !strcasecmp(unit, "b"))
		return 1;
	at = strchr(letters, unit[0] | 0x20);
	if (!at || !*at)
		return 0;
	if (unit[1] && strcasecmp(unit + 1, "b") && strcasecmp(unit + 1, "ib"))
		return 0;
	return 1ull << 10 * (at - letters + 1);
}

static uint64_t time_factor(const char *unit)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "", 1000000000ull },
		{ "s", 1000000000ull },
		{ "ms", 1000000ull },
		{ "us", 1000ull },
		{ "ns", 1 },
		{ "m", 60000000000ull },
		{ "h", 3600000000000ull },
		{ "d", 86400000000000ull },
	};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(unit, units[i].name))
			return units[i].ns;
	return 0;
}

int options__parse_size(const char *text, uint64_t *ret_bytes)
{
	return parse_scaled(text, size_factor, ret_bytes);
}

int options__parse_time(const char *text, uint64_t *ret_ns)
{
	return parse_scaled(text, time_factor, ret_ns);
}

static const char *name_of(const struct option_spec *spec, char ret_name[64])
{
	if (spec->name)
		snprintf(ret_name, 64, "--%s", spec->name);
	else
		snprintf(ret_name, 64, "-%c", spec->letter);
	return ret_name;
}

static int store_number(const struct option_spec *spec, void *field, const char *text)
{
	uint64_t value = 0;
	int err;

	switch (spec->type) {
	case OPTION_SIZE:
		return options__parse_size(text, field);
	case OPTION_TIME:
		return options__parse_time(text, field);
	default:
		err = options__parse_u64(text, &value);
		if (err || (spec->type == OPTION_U32 && value > UINT32_MAX))
			return -EINVAL;
		if (spec->type == OPTION_U32)
			*(uint32_t *)field = (uint32_t)value;
		else
			*(uint64_t *)field = value;
		return 0;
	}
}

int string_list__add(struct string_list *list, const char *text)
{
	if (list->count == list->room) {
		uint32_t room = list->room ? list->room * 2 : 8;
		const char **at = realloc(list->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		list->at = at;
		list->room = room;
	}
	list->at[list->count++] = text;
	return 0;
}

void string_list__free(struct string_list *list)
{
	free(list->at);
	*list = (struct string_list){ 0 };
}

static int store(const struct option_spec *spec, void *options, const char *text,
		 struct tl_error *ret_error)
{
	void *field = (char *)options + spec->offset;
	struct string_list *list = field;
	char name[64];

	switch (spec->type) {
	case OPTION_FLAG:
	case OPTION_CLEAR:
		*(bool *)field = spec->type == OPTION_FLAG;
		return 0;
	case OPTION_IGNORE:
		return 0;
	case OPTION_STRING:
		*(const char **)field = text;
		return 0;
	case OPTION_LIST:
		return string_list__add(list, text);
	case OPTION_CALL:
		return spec->parse(options, text, ret_error);
	default:
		if (!store_number(spec, field, text))
			return 0;
		return fail(ret_error, "%s %.60s: not a number that fits here", name_of(spec, name),
			    text);
	}
}

struct walk {
	const struct option_spec *specs[SPECS_MAX];
	struct option longs[SPECS_MAX + 2];
	char letters[2 * SPECS_MAX + 8];
	size_t count;
};

/* getopt's view of the tables. Long options return 256 + row. */
static void prepare(struct walk *walk, const struct option_table *table)
{
	size_t longs = 0;
	char *at = walk->letters;

	*at++ = ':';
	*at++ = 'h';
	for (size_t g = 0; g < table->count; g++) {
		for (size_t i = 0; i < table->groups[g].count && walk->count < SPECS_MAX; i++) {
			const struct option_spec *spec = &table->groups[g].specs[i];

			if (spec->letter) {
				*at++ = spec->letter;
				if (spec->argument)
					*at++ = ':';
			}
			if (spec->name)
				walk->longs[longs++] = (struct option){
					.name = spec->name,
					.has_arg = spec->argument ? required_argument : no_argument,
					.val = 256 + (int)walk->count,
				};
			walk->specs[walk->count++] = spec;
		}
	}
	walk->longs[longs] = (struct option){ .name = "help", .val = 'h' };
	*at = '\0';
}

static const struct option_spec *find(const struct walk *walk, int code)
{
	if (code >= 256)
		return walk->specs[code - 256];
	for (size_t i = 0; i < walk->count; i++)
		if (walk->specs[i]->letter == code)
			return walk->specs[i];
	return NULL;
}

static int refuse(int code, char **argv, const char *command, struct tl_error *ret_error)
{
	char letter[3] = { '-', (char)optopt, '\0' };
	const char *given = optopt && optopt < 256 ? letter : argv[optind - 1];

	snprintf(ret_error->what, sizeof(ret_error->what), "%.64s: %s; see: tapline %s --help",
		 given, code == ':' ? "needs an argument" : "no such option", command);
	return -EINVAL;
}

int options__parse(const struct option_table *table, struct command_line *line, void *options,
		   struct tl_error *ret_error)
{
	struct walk walk = { .count = 0 };
	int code;

	prepare(&walk, table);
	optind = 0;
	opterr = 0;
	while ((code = getopt_long(line->argc, line->argv, walk.letters, walk.longs, NULL)) != -1) {
		const struct option_spec *spec;
		int err;

		if (code == 'h' && !find(&walk, 'h'))
			return -ECANCELED;
		if (code == '?' || code == ':')
			return refuse(code, line->argv, line->argv[0], ret_error);
		spec = find(&walk, code);
		err = store(spec, options, optarg, ret_error);
		if (err)
			return err;
	}
	line->operand = optind;
	return 0;
}

void options__print_help(const struct option_table *table, FILE *out)
{
	for (size_t g = 0; g < table->count; g++) {
		fprintf(out, "\n%s:\n", table->groups[g].title);
		for (size_t i = 0; i < table->groups[g].count; i++) {
			const struct option_spec *s = &table->groups[g].specs[i];
			char left[96];
			int n = 0;

			if (s->letter)
				n += snprintf(left, sizeof(left), "-%c%s", s->letter,
					      s->name ? ", " : "");
			if (s->name)
				n += snprintf(left + n, sizeof(left) - (size_t)n, "--%s", s->name);
			if (s->argument)
				snprintf(left + n, sizeof(left) - (size_t)n, " %s", s->argument);
			if (strlen(left) > HELP_COLUMN - 4)
				fprintf(out, "  %s\n%*s%s\n", left, HELP_COLUMN, "", s->help);
			else
				fprintf(out, "  %-*s%s\n", HELP_COLUMN - 2, left, s->help);
		}
	}
	fprintf(out, "\n  %-*s%s\n", HELP_COLUMN - 2, "-h, --help", "this text");
}
