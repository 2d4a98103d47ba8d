/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Streaming decompression of gzip, zstd and lz4 frames, one or several in a row. The caller owns
 * both buffers; memory is that of the library's window (zstd: at most 128 MiB, only when asked for
 * by the file). One thread.
 */
#ifndef TAPLINE_SOURCE_FILE_UNPACK_H
#define TAPLINE_SOURCE_FILE_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum file_packing { FILE_PLAIN = 0, FILE_GZIP, FILE_ZSTD, FILE_LZ4 };

/* By the first bytes; 4 are enough. */
enum file_packing file_unpack__detect(const uint8_t *data, size_t bytes);
const char *file_unpack__name(enum file_packing packing);

struct file_unpack;

/* Both advance as bytes are used up and written. */
struct file_unpack_io {
	const uint8_t *in;
	size_t in_bytes;
	uint8_t *out;
	size_t out_bytes;
};

/* 0 or -ENOMEM. */
int file_unpack__create(enum file_packing packing, struct file_unpack **ret_unpack);
void file_unpack__destroy(struct file_unpack *unpack);

/* One step. 0; -EBADMSG: damaged; -ENOMEM. No progress means: more input or more room is needed. */
int file_unpack__run(struct file_unpack *unpack, struct file_unpack_io *io);

/* The input may end here: every frame begun is complete. */
bool file_unpack__is_between_frames(const struct file_unpack *unpack);

#endif
