/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one checked cursor. Every parser of packet or file bytes reads through it.
 *
 *      data                    at                         end
 *       │ ── already read ──► │ ── left ──────────────► │
 *
 * Invariants: data <= at <= end. A read past the end returns 0 (or NULL), leaves `at` at `end` and
 * sets `failed`, which never clears: a parser may read a whole header and test `failed` once.
 * A cursor borrows the bytes; it never writes.
 */
#ifndef TAPLINE_CURSOR_H
#define TAPLINE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct tl_cursor {
	const uint8_t *at;
	const uint8_t *end;
	bool failed;
};

static inline struct tl_cursor tl_cursor__init(const void *data, size_t bytes)
{
	const uint8_t *p = data;

	return (struct tl_cursor){ .at = p, .end = p ? p + bytes : p, .failed = false };
}

static inline size_t tl_cursor__left(const struct tl_cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* The next `bytes` bytes, borrowed as long as the packet is; NULL when there are fewer. */
static inline const uint8_t *tl_cursor__take(struct tl_cursor *c, size_t bytes)
{
	const uint8_t *p = c->at;

	if (__builtin_expect(tl_cursor__left(c) < bytes, 0)) {
		c->failed = true;
		c->at = c->end;
		return NULL;
	}
	c->at += bytes;
	return p;
}

/* Looks ahead without moving and without failing; NULL when there are fewer bytes. */
static inline const uint8_t *tl_cursor__peek(const struct tl_cursor *c, size_t bytes)
{
	return tl_cursor__left(c) < bytes ? NULL : c->at;
}

static inline void tl_cursor__skip(struct tl_cursor *c, size_t bytes)
{
	(void)tl_cursor__take(c, bytes);
}

/* A cursor over the next `bytes` bytes, past which `c` then stands. Shorter input fails both. */
static inline struct tl_cursor tl_cursor__sub(struct tl_cursor *c, size_t bytes)
{
	const uint8_t *p = tl_cursor__take(c, bytes);
	struct tl_cursor sub = tl_cursor__init(p, p ? bytes : 0);

	sub.failed = !p && bytes;
	return sub;
}

/* Forgets what lies beyond the next `bytes` bytes (an inner length shorter than the capture). */
static inline void tl_cursor__limit(struct tl_cursor *c, size_t bytes)
{
	if (tl_cursor__left(c) > bytes)
		c->end = c->at + bytes;
}

static inline uint8_t tl_cursor__u8(struct tl_cursor *c)
{
	const uint8_t *p = tl_cursor__take(c, 1);

	return p ? *p : 0;
}

static inline uint16_t tl_cursor__be16(struct tl_cursor *c)
{
	const uint8_t *p = tl_cursor__take(c, 2);

	return (uint16_t)(p ? p[0] << 8 | p[1] : 0);
}

static inline uint32_t tl_cursor__be24(struct tl_cursor *c)
{
	const uint8_t *p = tl_cursor__take(c, 3);

	return p ? (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2] : 0;
}

static inline uint32_t tl_cursor__be32(struct tl_cursor *c)
{
	const uint8_t *p = tl_cursor__take(c, 4);
	uint32_t v = 0;

	if (p)
		memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static inline uint64_t tl_cursor__be64(struct tl_cursor *c)
{
	uint64_t high = tl_cursor__be32(c);

	return high << 32 | tl_cursor__be32(c);
}

static inline uint16_t tl_cursor__le16(struct tl_cursor *c)
{
	const uint8_t *p = tl_cursor__take(c, 2);

	return (uint16_t)(p ? p[1] << 8 | p[0] : 0);
}

static inline uint32_t tl_cursor__le32(struct tl_cursor *c)
{
	return __builtin_bswap32(tl_cursor__be32(c));
}

#endif
