/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * JSON lines: one object a line, written as it is made, nothing kept but a buffer.
 *
 * Made here rather than by a library: a record for each flow is written on the packet path of a
 * file, and what yajl does for that (a callback and a locked write for each token, doubles of
 * twenty digits) took four fifths of such a run. The same record gives the same bytes, in any
 * locale. One thread at a time for one struct tl_json.
 *
 *	begin ──► tokens ──► buffer ──full──► FILE (its lock is ours from begin to end)
 *	                       └────end──────────►
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "export_impl.h"

/* Three bytes for each of the longest string there is, a path. */
#define STRING_ROOM (3 * 4096)

int tl_json__create(FILE *out, struct tl_json *ret_json)
{
	ret_json->out = out;
	ret_json->bytes = 0;
	ret_json->failed = false;
	return 0;
}

void tl_json__destroy(struct tl_json *json)
{
	json->out = NULL;
}

static void flush(struct tl_json *json)
{
	if (fwrite_unlocked(json->text, 1, json->bytes, json->out) != json->bytes)
		json->failed = true;
	json->bytes = 0;
}

/* At most TL_JSON_BUFFER / 2 of them. */
static char *room_for(struct tl_json *json, size_t bytes)
{
	if (json->bytes + bytes > sizeof(json->text))
		flush(json);
	return json->text + json->bytes;
}

static void put(struct tl_json *json, const char *text, size_t bytes)
{
	while (bytes) {
		size_t some = bytes < TL_JSON_BUFFER / 2 ? bytes : TL_JSON_BUFFER / 2;

		memcpy(room_for(json, some), text, some);
		json->bytes += some;
		text += some;
		bytes -= some;
	}
}

static void put_char(struct tl_json *json, char c)
{
	*room_for(json, 1) = c;
	json->bytes++;
}

/* What lies between this value and the one before it, and its name. Names are literals of ours. */
static void put_key(struct tl_json *json, const char *key)
{
	if (json->follows)
		put_char(json, ',');
	json->follows = true;
	if (!key)
		return;
	put_char(json, '"');
	put(json, key, strlen(key));
	put(json, "\":", 2);
}

void tl_json__begin(struct tl_json *json, const char *type)
{
	flockfile(json->out);
	json->failed = false;
	json->follows = false;
	json->bytes = 0;
	tl_json__map(json, NULL);
	tl_json__string(json, "type", type);
}

int tl_json__end(struct tl_json *json)
{
	int err;

	tl_json__map_end(json);
	put_char(json, '\n');
	flush(json);
	err = json->failed || ferror_unlocked(json->out) ? -EIO : 0;
	funlockfile(json->out);
	return err;
}

static void open_with(struct tl_json *json, const char *key, char bracket)
{
	put_key(json, key);
	put_char(json, bracket);
	json->follows = false;
}

static void close_with(struct tl_json *json, char bracket)
{
	put_char(json, bracket);
	json->follows = true;
}

void tl_json__map(struct tl_json *json, const char *key)
{
	open_with(json, key, '{');
}

void tl_json__map_end(struct tl_json *json)
{
	close_with(json, '}');
}

void tl_json__array(struct tl_json *json, const char *key)
{
	open_with(json, key, '[');
}

void tl_json__array_end(struct tl_json *json)
{
	close_with(json, ']');
}

static bool is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

/* Room for the longest escape, \u and four digits. */
static size_t escape(unsigned char c, char ret_text[8])
{
	static const char letters[] = "\"\"\\\\\bb\ff\nn\rr\tt";

	for (const char *p = letters; *p; p += 2) {
		if ((unsigned char)*p != c)
			continue;
		ret_text[0] = '\\';
		ret_text[1] = p[1];
		return 2;
	}
	if (c < 0x20)
		return (size_t)snprintf(ret_text, 8, "\\u%04X", c);
	ret_text[0] = (char)c; /* plain, part of a character beyond ASCII, or DEL */
	return 1;
}

size_t tl_json__escape(const char *value, char *ret_text, size_t room)
{
	char clean[STRING_ROOM];
	size_t used = 0;

	while (is_plain((unsigned char)value[used]) && used + 1 < room) {
		ret_text[used] = value[used];
		used++;
	}
	if (!value[used])
		return used;
	tl_words__clean(value + used, false, clean, sizeof(clean));
	for (const char *p = clean; *p && used + 8 < room; p++)
		used += escape((unsigned char)*p, ret_text + used);
	return used;
}

static void put_any(struct tl_json *json, const char *value)
{
	char clean[STRING_ROOM];
	size_t bytes = tl_words__clean(value, false, clean, sizeof(clean));

	for (size_t i = 0; i < bytes; i++) {
		char text[8];

		put(json, text, escape((unsigned char)clean[i], text));
	}
}

void tl_json__string(struct tl_json *json, const char *key, const char *value)
{
	size_t plain = 0;

	if (!value) {
		tl_json__null(json, key);
		return;
	}
	put_key(json, key);
	put_char(json, '"');
	while (is_plain((unsigned char)value[plain]))
		plain++;
	put(json, value, plain);
	if (value[plain])
		put_any(json, value + plain);
	put_char(json, '"');
}

void tl_json__u64(struct tl_json *json, const char *key, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	put_key(json, key);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	put(json, digits + at, sizeof(digits) - at);
}

static void put_number(struct tl_json *json, const char *key, char *number)
{
	char *comma = strchr(number, ',');

	if (comma)
		*comma = '.';
	put_key(json, key);
	put(json, number, strlen(number));
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
	put(json, value ? "true" : "false", value ? 4 : 5);
}

void tl_json__null(struct tl_json *json, const char *key)
{
	put_key(json, key);
	put(json, "null", 4);
}

void tl_json__time(struct tl_json *json, const char *key, uint64_t ts_ns)
{
	char text[TL_TIME_TEXT];

	tl_format__time(ts_ns, text);
	tl_json__string(json, key, ts_ns ? text : NULL);
}
