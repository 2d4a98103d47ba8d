/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the exporters share: JSON lines, text that is safe to print, small formats.
 *
 * Strings in records come from packets (names, URIs, subjects), so they may hold anything. In JSON
 * they leave as valid UTF-8; on a terminal, control characters are taken out as well.
 */
#ifndef TAPLINE_EXPORT_IMPL_H
#define TAPLINE_EXPORT_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/export.h"

/* --- text -------------------------------------------------------------------------------- */

/*
 * Copies `text`, cut to the room there is at a character's border. A byte that is not UTF-8 becomes
 * U+FFFD; with `printable` a control character does too. Returns the length.
 */
size_t tl_words__clean(const char *text, bool printable, char *ret_text, size_t room);
/* "12,345" */
void tl_words__count(uint64_t n, char ret_text[32]);
/* "350 us", "7.0 s", "2 min 5 s", "3 h 20 min" */
void tl_words__duration(uint64_t ns, char ret_text[32]);
/* "2026-11-22 10:00:01.000 UTC"; only the time of day without `date`. */
void tl_words__time(uint64_t ts_ns, bool date, char ret_text[TL_TIME_TEXT]);
/* "10.0.0.1:80", "[::1]:80"; without a port when it is 0. */
void tl_words__endpoint(const struct tl_endpoint *endpoint, char ret_text[64]);
/* "tcp", "icmp6", or the number */
void tl_words__proto(uint8_t proto, char ret_text[16]);

/* --- JSON -------------------------------------------------------------------------------- */

/* One object at a time, written to `out` as it is made. A failure sticks until __end tells it. */
#define TL_JSON_BUFFER 4096

struct tl_json {
	FILE *out;
	size_t bytes;
	bool failed;
	bool follows; /* a value stands before the next one in its object or array */
	char text[TL_JSON_BUFFER];
};

int tl_json__create(FILE *out, struct tl_json *ret_json);
void tl_json__destroy(struct tl_json *json);
/* Opens the line's object. Holds the lock of `out` until __end, so that lines never mix. */
void tl_json__begin(struct tl_json *json, const char *type);
/* Closes it and ends the line: 0 or -EIO. */
int tl_json__end(struct tl_json *json);

/* `key` is NULL inside an array. */
void tl_json__map(struct tl_json *json, const char *key);
void tl_json__map_end(struct tl_json *json);
void tl_json__array(struct tl_json *json, const char *key);
void tl_json__array_end(struct tl_json *json);
void tl_json__string(struct tl_json *json, const char *key, const char *value); /* NULL: null */
void tl_json__u64(struct tl_json *json, const char *key, uint64_t value);
void tl_json__f64(struct tl_json *json, const char *key, double value); /* not finite: null */
void tl_json__fixed(struct tl_json *json, const char *key, double value, int decimals);
void tl_json__bool(struct tl_json *json, const char *key, bool value);
void tl_json__null(struct tl_json *json, const char *key);
void tl_json__time(struct tl_json *json, const char *key, uint64_t ts_ns); /* 0: null */

/*
 * `value` as it stands between quotes: valid UTF-8, escaped, cut when it does not fit. Length; no
 * zero is written behind it.
 */
size_t tl_json__escape(const char *value, char *ret_text, size_t room);

/* --- records ----------------------------------------------------------------------------- */

/* Community ID of a subject; false when it does not name both ends of one flow. */
bool tl_subject__community_id(const struct tl_subject *subject, char ret_id[32]);

void tl_finding__write_json(struct tl_json *json, const struct tl_finding *finding,
			    const char *interface, const char *type);
/* `untold`: findings that were counted but not kept, told only when there are any. */
void tl_quality__write_json(struct tl_json *json, const struct tl_capture_quality *quality,
			    uint64_t untold);

struct tl_finding_text {
	FILE *out;
	bool color;
	const char *interface; /* "" or NULL: not told */
	const char *mark;      /* before the severity; NULL: nothing */
};

void tl_finding__write_text(const struct tl_finding_text *text, const struct tl_finding *finding);
/* One line, of a finding that was told whole before and has grown since. */
void tl_finding__write_update(FILE *out, const struct tl_finding *finding);
/* One line, of a finding that was told whole before and is none, or part of another. */
void tl_finding__write_withdrawn(FILE *out, const struct tl_finding *finding);

/* What closes a diagnosis: counts by severity, and how good the capture was. */
struct tl_verdict_text {
	FILE *out;
	bool color;
	const char *file; /* NULL: no hint */
	bool many_files;
	uint64_t findings[3];
	uint64_t untold;			  /* counted beyond the cap */
	const struct tl_capture_quality *quality; /* NULL: unknown */
};

void tl_verdict__write_text(const struct tl_verdict_text *verdict);

#endif
