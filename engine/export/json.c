/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON lines over yajl: one object a line, written as it is made, nothing kept.
 *
 * Numbers are printed here rather than by yajl, whose doubles have twenty digits: the same record
 * gives the same bytes, in any locale. One thread at a time for one struct tl_json.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "export_impl.h"

/* Three bytes for each of the longest string there is, a path. */
#define STRING_ROOM (3 * 4096)

static void print(void *ctx, const char *text, size_t bytes)
{
	struct tl_json *json = ctx;

	if (fwrite(text, 1, bytes, json->out) != bytes)
		json->failed = true;
}

int tl_json__create(FILE *out, struct tl_json *ret_json)
{
	yajl_gen gen = yajl_gen_alloc(NULL);

	if (!gen)
		return -ENOMEM;
	*ret_json = (struct tl_json){ .gen = gen, .out = out };
	yajl_gen_config(gen, yajl_gen_print_callback, print, ret_json);
	return 0;
}

void tl_json__destroy(struct tl_json *json)
{
	if (json->gen)
		yajl_gen_free(json->gen);
	json->gen = NULL;
}

static void check(struct tl_json *json, yajl_gen_status status)
{
	if (status != yajl_gen_status_ok && status != yajl_gen_generation_complete)
		json->failed = true;
}

static void put_key(struct tl_json *json, const char *key)
{
	if (key)
		check(json, yajl_gen_string(json->gen, (const unsigned char *)key, strlen(key)));
}

void tl_json__begin(struct tl_json *json, const char *type)
{
	flockfile(json->out);
	json->failed = false;
	yajl_gen_reset(json->gen, NULL);
	tl_json__map(json, NULL);
	tl_json__string(json, "type", type);
}

int tl_json__end(struct tl_json *json)
{
	int err;

	tl_json__map_end(json);
	print(json, "\n", 1);
	err = json->failed || ferror(json->out) ? -EIO : 0;
	funlockfile(json->out);
	return err;
}

void tl_json__map(struct tl_json *json, const char *key)
{
	put_key(json, key);
	check(json, yajl_gen_map_open(json->gen));
}

void tl_json__map_end(struct tl_json *json)
{
	check(json, yajl_gen_map_close(json->gen));
}

void tl_json__array(struct tl_json *json, const char *key)
{
	put_key(json, key);
	check(json, yajl_gen_array_open(json->gen));
}

void tl_json__array_end(struct tl_json *json)
{
	check(json, yajl_gen_array_close(json->gen));
}

void tl_json__string(struct tl_json *json, const char *key, const char *value)
{
	char clean[STRING_ROOM];
	size_t bytes;

	if (!value) {
		tl_json__null(json, key);
		return;
	}
	put_key(json, key);
	bytes = tl_words__clean(value, false, clean, sizeof(clean));
	check(json, yajl_gen_string(json->gen, (const unsigned char *)clean, bytes));
}

void tl_json__u64(struct tl_json *json, const char *key, uint64_t value)
{
	char number[24];
	int bytes = snprintf(number, sizeof(number), "%" PRIu64, value);

	put_key(json, key);
	check(json, yajl_gen_number(json->gen, number, (size_t)bytes));
}

static void put_number(struct tl_json *json, const char *key, char *number)
{
	char *comma = strchr(number, ',');

	if (comma)
		*comma = '.';
	put_key(json, key);
	check(json, yajl_gen_number(json->gen, number, strlen(number)));
}

void tl_json__f64(struct tl_json *json, const char *key, double value)
{
	char number[32];

	if (!isfinite(value)) {
		tl_json__null(json, key);
		return;
	}
	snprintf(number, sizeof(number), "%.9g", value);
	put_number(json, key, number);
}

void tl_json__fixed(struct tl_json *json, const char *key, double value, int decimals)
{
	char number[352];

	if (!isfinite(value)) {
		tl_json__null(json, key);
		return;
	}
	snprintf(number, sizeof(number), "%.*f", decimals, value);
	put_number(json, key, number);
}

void tl_json__bool(struct tl_json *json, const char *key, bool value)
{
	put_key(json, key);
	check(json, yajl_gen_bool(json->gen, value));
}

void tl_json__null(struct tl_json *json, const char *key)
{
	put_key(json, key);
	check(json, yajl_gen_null(json->gen));
}

void tl_json__time(struct tl_json *json, const char *key, uint64_t ts_ns)
{
	char text[TL_TIME_TEXT];

	tl_format__time(ts_ns, text);
	tl_json__string(json, key, ts_ns ? text : NULL);
}
