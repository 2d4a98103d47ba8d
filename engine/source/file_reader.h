/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of one file, in order, whatever it is: a regular file is mapped (its packets are
 * borrowed from the mapping), a pipe or a compressed file is read into chunks.
 *
 *	mapping or chunk   │ … handed out … │ at ── window ──► end │ … not read yet …
 *
 * file_reader__need(n) makes n bytes lie between `at` and `end`; in a chunk that may move them, so
 * pointers into the window hold only until the next need; those into what was consumed hold until
 * the packets are released. One thread.
 *
 * A mapped file that another process shortens while it is read cannot be read to its old end: the
 * window grows only over pages that are there, and the words of `trouble` say so.
 */
#ifndef TAPLINE_SOURCE_FILE_READER_H
#define TAPLINE_SOURCE_FILE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file_memory.h"
#include "file_unpack.h"

/* Some ten packets: what memory gives while they are looked at. */
#define FILE_READ_AHEAD 8192u

struct file_reader {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t offset;    /* of `at`, in the uncompressed data */
	uint64_t skip_left; /* bytes to pass over before the next ones */
	struct file_memory *memory;
	int fd;		  /* -1: mapped, or ended */
	bool may_block;	  /* a pipe: ask before reading */
	bool input_ended; /* nothing more will come from fd */
	bool detected;
	bool damaged; /* the compressed data: nothing more can be unpacked */
	enum file_packing packing;

	uint8_t *map;
	size_t map_bytes;
	size_t map_dropped; /* of it, from the start: given back to the kernel */

	struct file_chunk *chunk; /* the window's, when nothing is mapped */
	struct file_unpack *unpack;
	uint8_t *input; /* compressed bytes, and the first ones of a pipe */
	size_t input_at, input_bytes;

	char trouble[128]; /* why the data ended, when that was not at their end; "" else */
};

/* "-" is standard input. 0 or -errno: what open(2) says, -EISDIR, -ENOMEM. */
int file_reader__open(struct file_reader *reader, struct file_memory *memory, const char *path);
/* Packets handed out keep what they borrow. */
void file_reader__close(struct file_reader *reader);

int file_reader__fill(struct file_reader *reader, size_t bytes);

/*
 * 0: `bytes` bytes are in the window. -EAGAIN: not yet there (a pipe). -ENOBUFS: until packets are
 * released. -ENODATA: the data end before; what is left is in the window, `trouble` may say why.
 * -ENOMEM.
 */
static inline int file_reader__need(struct file_reader *reader, size_t bytes)
{
	if (__builtin_expect((size_t)(reader->end - reader->at) >= bytes && !reader->skip_left, 1))
		return 0;
	return file_reader__fill(reader, bytes);
}

/*
 * Asks memory for what lies FILE_READ_AHEAD beyond the next `bytes` bytes.
 *
 * Where the next header lies is known only when this one was read, so each would be a miss of its
 * own, and strides that vary are nothing for the processor's prefetcher: lines are asked for at a
 * fixed distance instead, each once. Beyond the end a prefetch does nothing.
 */
static inline void file_reader__ask_ahead(const uint8_t *at, size_t bytes)
{
	uintptr_t from = (uintptr_t)at + FILE_READ_AHEAD;

	for (uintptr_t line = (from + 63) & ~(uintptr_t)63; line < from + bytes; line += 64)
		__builtin_prefetch((const void *)line);
}

/* `bytes` is at most what was needed before. */
static inline void file_reader__consume(struct file_reader *reader, size_t bytes)
{
	file_reader__ask_ahead(reader->at, bytes);
	reader->at += bytes;
	reader->offset += bytes;
}

/* Passes over bytes that need not be in memory together. */
void file_reader__skip(struct file_reader *reader, uint64_t bytes);

#endif
