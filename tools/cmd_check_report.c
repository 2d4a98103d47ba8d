/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The report of `tapline check`: see cmd_check.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <yajl/yajl_gen.h>

#include "cmd_check.h"

static struct check_fact *add(struct check_report *report, const char *key, enum check_kind kind)
{
	static struct check_fact overflow;
	struct check_fact *fact = report->fact_count < CHECK_FACTS_MAX
					  ? &report->facts[report->fact_count++]
					  : &overflow;

	fact->key = key;
	fact->kind = kind;
	return fact;
}

void check_report__text(struct check_report *report, const char *key, const char *format, ...)
{
	struct check_fact *fact = add(report, key, CHECK_TEXT);
	va_list args;

	va_start(args, format);
	vsnprintf(fact->text, sizeof(fact->text), format, args);
	va_end(args);
	if (!fact->text[0])
		fact->kind = CHECK_UNKNOWN;
}

void check_report__number(struct check_report *report, const char *key, uint64_t number)
{
	add(report, key, CHECK_NUMBER)->number = number;
}

void check_report__yes_no(struct check_report *report, const char *key, int value)
{
	add(report, key, value < 0 ? CHECK_UNKNOWN : CHECK_YES_NO)->number = value > 0;
}

void check_report__advise(struct check_report *report, const char *command, const char *format, ...)
{
	struct check_advice *advice;
	va_list args;

	if (report->advice_count == CHECK_ADVICE_MAX)
		return;
	advice = &report->advice[report->advice_count++];
	va_start(args, format);
	vsnprintf(advice->what, sizeof(advice->what), format, args);
	va_end(args);
	snprintf(advice->command, sizeof(advice->command), "%s", command);
}

static void print_key(const char *key, FILE *out)
{
	int width = 22 - (int)strlen(key);

	fputs("  ", out);
	for (; *key; key++)
		fputc(*key == '_' ? ' ' : *key, out);
	fprintf(out, "%*s", width > 1 ? width : 1, "");
}

void check_report__print(const struct check_report *report, FILE *out)
{
	fprintf(out, "%s: %s\n", report->interface ? report->interface : "this host",
		report->ready ? "ready" : "not ready");
	for (uint32_t i = 0; i < report->fact_count; i++) {
		const struct check_fact *fact = &report->facts[i];

		print_key(fact->key, out);
		switch (fact->kind) {
		case CHECK_TEXT:
			fprintf(out, "%s\n", fact->text);
			break;
		case CHECK_NUMBER:
			fprintf(out, "%" PRIu64 "\n", fact->number);
			break;
		case CHECK_YES_NO:
			fprintf(out, "%s\n", fact->number ? "yes" : "no");
			break;
		case CHECK_UNKNOWN:
			fprintf(out, "unknown\n");
			break;
		}
	}
	for (uint32_t i = 0; i < report->advice_count; i++) {
		fprintf(out, "  * %s\n", report->advice[i].what);
		if (report->advice[i].command[0])
			fprintf(out, "      %s\n", report->advice[i].command);
	}
	fputc('\n', out);
}

static void gen_text(yajl_gen gen, const char *text)
{
	yajl_gen_string(gen, (const unsigned char *)text, strlen(text));
}

static void gen_facts(yajl_gen gen, const struct check_report *report)
{
	gen_text(gen, "facts");
	yajl_gen_map_open(gen);
	for (uint32_t i = 0; i < report->fact_count; i++) {
		const struct check_fact *fact = &report->facts[i];

		gen_text(gen, fact->key);
		switch (fact->kind) {
		case CHECK_TEXT:
			gen_text(gen, fact->text);
			break;
		case CHECK_NUMBER:
			yajl_gen_integer(gen, (long long)fact->number);
			break;
		case CHECK_YES_NO:
			yajl_gen_bool(gen, (int)fact->number);
			break;
		case CHECK_UNKNOWN:
			yajl_gen_null(gen);
			break;
		}
	}
	yajl_gen_map_close(gen);
}

static void gen_advice(yajl_gen gen, const struct check_report *report)
{
	gen_text(gen, "advice");
	yajl_gen_array_open(gen);
	for (uint32_t i = 0; i < report->advice_count; i++) {
		yajl_gen_map_open(gen);
		gen_text(gen, "what");
		gen_text(gen, report->advice[i].what);
		gen_text(gen, "command");
		gen_text(gen, report->advice[i].command);
		yajl_gen_map_close(gen);
	}
	yajl_gen_array_close(gen);
}

int check_report__print_json(const struct check_report *report, FILE *out)
{
	yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *text;
	size_t bytes;

	if (!gen)
		return -ENOMEM;
	yajl_gen_map_open(gen);
	gen_text(gen, "type");
	gen_text(gen, "check");
	gen_text(gen, "interface");
	if (report->interface)
		gen_text(gen, report->interface);
	else
		yajl_gen_null(gen);
	gen_text(gen, "ready");
	yajl_gen_bool(gen, report->ready);
	gen_facts(gen, report);
	gen_advice(gen, report);
	yajl_gen_map_close(gen);
	yajl_gen_get_buf(gen, &text, &bytes);
	fwrite(text, 1, bytes, out);
	fputc('\n', out);
	yajl_gen_free(gen);
	return 0;
}
