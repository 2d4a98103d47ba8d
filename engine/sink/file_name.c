/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of rotated files: see file_name.h. The rules are those of tcpdump 4.99's MakeFilename and
 * getWflagChars, and of dumpcap's ringbuffer.c. May be called by any thread.
 */
#include "file_name.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NUMBERS_MAX 100000u /* dumpcap's number has five digits and then begins again */

/* Digits of the last counter of a ring of `files`: 10 files take one, 11 take two. */
static int counter_digits(uint64_t files)
{
	int digits = 0;

	for (uint64_t last = files ? files - 1 : 0; last; last /= 10)
		digits++;
	return digits;
}

static const char *last_component(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Where dumpcap puts number and time: before the last dot of the file's name, or at its end. */
static size_t stem_bytes(const char *path)
{
	const char *name = last_component(path);
	const char *dot = strrchr(name, '.');

	return dot && dot != name ? (size_t)(dot - path) : strlen(path);
}

static int copy(char *ret_path, size_t bytes, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(ret_path, bytes, format, args);
	va_end(args);
	return n < 0 || (size_t)n >= bytes ? -ENAMETOOLONG : 0;
}

/* -C counts files; -G alone gives each its time. */
static bool has_counter(const struct tl_recorder_opts *opts)
{
	return opts->naming == TL_NAME_TCPDUMP || opts->rotate.bytes || opts->rotate.packets;
}

static int append_counter(const struct tl_recorder_opts *opts, const struct tl_file_key *key,
			  char *path, size_t bytes)
{
	/* -G -W ends after that many files; only -C -W is a ring with padded counters */
	int digits = opts->stop_after_files ? 0 : counter_digits(opts->rotate.files);
	size_t used = strlen(path);

	if (!has_counter(opts) || (!key->counter && !digits))
		return 0;
	return copy(path + used, bytes - used, "%0*llu", digits, (unsigned long long)key->counter);
}

int tl_file_name__format(const struct tl_recorder_opts *opts, const struct tl_file_key *key,
			 char *ret_path, size_t bytes)
{
	time_t seconds = (time_t)(key->now_ns / 1000000000ull);
	int stem = (int)stem_bytes(opts->path);
	char text[32];
	struct tm tm;
	int err;

	if (!opts->path[0])
		return -EINVAL;
	localtime_r(&seconds, &tm);
	switch (opts->naming) {
	case TL_NAME_DUMPCAP:
		strftime(text, sizeof(text), "%Y%m%d%H%M%S", &tm);
		return copy(ret_path, bytes, "%.*s_%05u_%s%s", stem, opts->path,
			    (unsigned)(key->number % NUMBERS_MAX), text, opts->path + stem);
	case TL_NAME_STRFTIME:
		if (!strftime(ret_path, bytes, opts->path, &tm))
			return -ENAMETOOLONG;
		return append_counter(opts, key, ret_path, bytes);
	case TL_NAME_TCPDUMP:
	case TL_NAME_SINGLE:
		break;
	}
	err = copy(ret_path, bytes, "%s", opts->path);
	if (!err && opts->naming == TL_NAME_TCPDUMP)
		err = append_counter(opts, key, ret_path, bytes);
	return err;
}

/* What strftime(3) can make of one conversion, as narrow as may be: matching files get deleted. */
static const char *conversion_pattern(char conversion)
{
	static const struct {
		char conversion;
		const char *pattern;
	} table[] = {
		{ 'Y', "[0-9]{4}" },
		{ 'G', "[0-9]{4}" },
		{ 'j', "[0-9]{3}" },
		{ 's', "[0-9]{1,12}" },
		{ 'F', "[0-9]{4}-[0-9]{2}-[0-9]{2}" },
		{ 'T', "[0-9]{2}:[0-9]{2}:[0-9]{2}" },
		{ 'R', "[0-9]{2}:[0-9]{2}" },
		{ 'u', "[0-9]" },
		{ 'w', "[0-9]" },
		{ 'z', "[+-][0-9]{4}" },
		{ 'Z', "[A-Za-z0-9+-]{1,8}" },
		{ 'a', "[^/0-9.]{1,16}" },
		{ 'A', "[^/0-9.]{1,32}" },
		{ 'b', "[^/0-9.]{1,16}" },
		{ 'h', "[^/0-9.]{1,16}" },
		{ 'B', "[^/0-9.]{1,32}" },
		{ 'p', "[A-Za-z.]{0,4}" },
		{ '%', "%" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].conversion == conversion)
			return table[i].pattern;
	if (strchr("CdegHIklmMSUVWy", conversion))
		return "[0-9 ]{1,2}";
	return NULL; /* a locale's own form: such files are not found */
}

struct pattern {
	char *at;
	char *end;
	bool full;
};

static void add(struct pattern *p, const char *text)
{
	size_t n = strlen(text);

	if (p->full || (size_t)(p->end - p->at) <= n) {
		p->full = true;
		return;
	}
	memcpy(p->at, text, n + 1);
	p->at += n;
}

static void add_literal(struct pattern *p, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char one[3] = { '\\', text[i], 0 };

		add(p, strchr(".[]{}()*+?|^$\\", text[i]) ? one : one + 1);
	}
}

static void add_strftime(struct pattern *p, const char *text)
{
	for (; *text; text++) {
		const char *conversion;

		if (*text != '%' || !text[1]) {
			add_literal(p, text, 1);
			continue;
		}
		conversion = conversion_pattern(*++text);
		add(p, conversion ? conversion : "\\$^"); /* matches nothing */
	}
}

int tl_file_name__pattern(const struct tl_recorder_opts *opts, char *ret_pattern, size_t bytes)
{
	struct pattern p = { ret_pattern, ret_pattern + bytes, false };
	const char *name = last_component(opts->path);
	size_t stem = stem_bytes(name);

	add(&p, "^");
	if (opts->naming == TL_NAME_STRFTIME)
		add_strftime(&p, name);
	else if (opts->naming == TL_NAME_DUMPCAP)
		add_literal(&p, name, stem);
	else
		add_literal(&p, name, strlen(name));
	if (opts->naming == TL_NAME_DUMPCAP) {
		add(&p, "_[0-9]{5}_[0-9]{14}");
		add_literal(&p, name + stem, strlen(name + stem));
	} else if (opts->naming != TL_NAME_SINGLE && has_counter(opts)) {
		add(&p, "[0-9]*");
	}
	add(&p, "(\\.zst|\\.lz4)?$");
	return p.full ? -ENAMETOOLONG : 0;
}
