/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where bytes go: the buffers, the open file, and how it is written.
 *
 *   buffers: one mapping, 4 KiB-aligned   │ 0 │ 1 │ 2 │ …      registered with the ring
 *   a chain of writes:   w0 ─link─► w1 ─link─► w2              the file grows by one at a time
 *
 * Invariants: writes of one file reach it strictly in order, since each one begins on the page
 * where the one before ended and a later one must never lie behind a hole. With io_uring the
 * kernel holds several at once as a linked chain, and a failed one cancels the rest of the chain;
 * with pwrite they are made one by one. Both stop at the first that fails.
 *
 * What a kill leaves: with O_DIRECT a write shows in the file's length once it is complete, and
 * nothing interrupts it, so the file ends with a whole block. A buffered write (no O_DIRECT here,
 * or a tmpfs, which takes the flag and copies all the same) shows page by page and ends at a kill:
 * the last block may then be cut off, behind everything that was reported as written, and
 * `tapline repair` takes it away.
 *
 * The ring is restricted to write requests on its one registered file.
 * Called by the writer thread; __init, the first __open and __fini by the one that owns it.
 */
#ifndef TAPLINE_SINK_DISK_H
#define TAPLINE_SINK_DISK_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/recorder.h"

#define TL_DISK_CHAIN_MAX 8u /* writes in one chain */

struct tl_disk {
	int fd;		 /* -1: none open */
	bool is_regular; /* else a pipe or device: plain writes, in order, no offsets */
	bool direct;	 /* O_DIRECT is in force for the open file */
	bool uring;
	bool fixed; /* buffers are registered */
	bool may_direct;
	bool to_stdout;
	struct io_uring ring;
	uint8_t *buffers; /* owned */
	uint32_t buffer_bytes;
	uint32_t buffer_count;
	int uring_error; /* why io_uring is not used */
	int direct_error;
};

struct tl_disk_write {
	uint32_t buffer;
	uint32_t bytes;
	uint64_t offset;
};

/* Allocates the buffers and probes io_uring. 0, -ENOMEM, or what io_uring said when it was asked
 * for by name. */
int tl_disk__init(struct tl_disk *disk, const struct tl_recorder_opts *opts);
void tl_disk__fini(struct tl_disk *disk);

/* Creates or truncates `path` ("-": standard output). 0 or -errno. */
int tl_disk__open(struct tl_disk *disk, const char *path);

/*
 * Gives io_uring up when the open file does not take O_DIRECT: buffered writes then go through the
 * kernel's worker threads and cost three times what pwrite does (bench/recorder.c). Once, after the
 * first open.
 */
void tl_disk__settle(struct tl_disk *disk);

/*
 * Makes the writes in order and stops at the first that is not complete. 0 or its -errno;
 * `ret_done`: how many were complete, set in either case.
 */
int tl_disk__write(struct tl_disk *disk, const struct tl_disk_write *writes, uint32_t n,
		   uint32_t *ret_done);

/* Cuts the file to `bytes`. 0 or -errno; 0 for what cannot be cut. */
int tl_disk__truncate(struct tl_disk *disk, uint64_t bytes);
void tl_disk__close(struct tl_disk *disk);

/* How it is written and why: "io_uring, O_DIRECT, 64 buffers of 1 MiB". */
void tl_disk__describe(const struct tl_disk *disk, char *ret_text, size_t bytes);

static inline uint8_t *tl_disk__buffer(const struct tl_disk *disk, uint32_t buffer)
{
	return disk->buffers + (size_t)buffer * disk->buffer_bytes;
}

#endif
