/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of one file, in order, whatever it is: a regular file, a pipe, or compressed data, is
 * read into chunks, and its packets are borrowed from these.
 *
 *	chunk   │ … handed out … │ at ── window ──► end │ … not read yet …
 *
 * A mapping of the file would save the copy and cost more: its pages have to be brought in and
 * given back, which interrupts the other readers, and each line comes from memory when it is
 * needed; a chunk that was just read lies in the L2 cache. A file that another process shortens
 * ends early, without a signal.
 *
 * file_reader__need(n) makes n bytes lie between `at` and `end`; that may move them, so pointers
 * into the window hold only until the next need; those into what was consumed hold until the
 * packets are released. One thread.
 */
#ifndef TAPLINE_SOURCE_FILE_READER_H
#define TAPLINE_SOURCE_FILE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "file_memory.h"
#include "file_unpack.h"

struct file_reader {
	const uint8_t *at;
	const uint8_t *end;
	uint64_t offset;    /* of `at`, in the uncompressed data */
	uint64_t skip_left; /* bytes to pass over before the next ones */
	struct file_memory *memory;
	uint64_t size_left; /* of a regular file, when it was opened */
	int fd;		    /* -1: not open */
	bool has_size;
	bool may_block;	  /* a pipe: ask before reading */
	bool input_ended; /* nothing more will come from fd */
	bool detected;
	bool damaged; /* the compressed data: nothing more can be unpacked */
	enum file_packing packing;

	struct file_chunk *chunk; /* the window's */
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

/* `bytes` is at most what was needed before. */
static inline void file_reader__consume(struct file_reader *reader, size_t bytes)
{
	reader->at += bytes;
	reader->offset += bytes;
}

/* Passes over bytes that need not be in memory together. */
void file_reader__skip(struct file_reader *reader, uint64_t bytes);

#endif
