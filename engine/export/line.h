/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A line of a record, made in memory and written in one piece: what a flow record costs counts for
 * each flow of a file.
 *
 *	line__begin ──► literals, numbers, strings ──► line__write (under the lock of `out`)
 *
 * Nothing here checks for room: whoever uses it knows how long each value can be, and a line of all
 * the longest ones fits (TL_LINE_ROOM; flow_json.c counts them).
 */
#ifndef TAPLINE_EXPORT_LINE_H
#define TAPLINE_EXPORT_LINE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TL_LINE_ROOM 4096

struct tl_line {
	char *at;
	char text[TL_LINE_ROOM];
};

static inline void line__begin(struct tl_line *line)
{
	line->at = line->text;
}

static inline void line__bytes(struct tl_line *line, const char *text, size_t bytes)
{
	memcpy(line->at, text, bytes);
	line->at += bytes;
}

/* The length is known when this is compiled: a few stores. */
#define line__literal(line, text) line__bytes(line, "" text, sizeof(text) - 1)

static inline void line__string(struct tl_line *line, const char *text)
{
	line->at = stpcpy(line->at, text);
}

static inline void line__char(struct tl_line *line, char c)
{
	*line->at++ = c;
}

/* Two digits at a time, from a table. */
static inline char *line__pair(char *at, uint32_t below_100)
{
	static const char pairs[] = "0001020304050607080910111213141516171819"
				    "2021222324252627282930313233343536373839"
				    "4041424344454647484950515253545556575859"
				    "6061626364656667686970717273747576777879"
				    "8081828384858687888990919293949596979899";

	memcpy(at, pairs + 2 * below_100, 2);
	return at + 2;
}

static inline void line__u64(struct tl_line *line, uint64_t value)
{
	char digits[20];
	size_t from = sizeof(digits);

	while (value >= 100) {
		from -= 2;
		line__pair(digits + from, (uint32_t)(value % 100));
		value /= 100;
	}
	if (value >= 10) {
		from -= 2;
		line__pair(digits + from, (uint32_t)value);
	} else {
		digits[--from] = (char)('0' + value);
	}
	line__bytes(line, digits + from, sizeof(digits) - from);
}

/* Two hexadecimal digits. */
static inline void line__hex8(struct tl_line *line, uint8_t value)
{
	static const char digits[] = "0123456789abcdef";

	line__char(line, digits[value >> 4]);
	line__char(line, digits[value & 15]);
}

/* 0 or -EIO. Lines of several threads never mix. */
static inline int line__write(const struct tl_line *line, FILE *out)
{
	size_t bytes = (size_t)(line->at - line->text);

	return fwrite(line->text, 1, bytes, out) == bytes ? 0 : -EIO;
}

#endif
