/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of the file source whose bytes are borrowed by packets: chunks that files are read into,
 * and comments. Each is given back once as many packets were released as had been handed out when
 * the source was done with it.
 *
 *	packet number   1 … 900 │ 901 … 1700 │ 1701 …
 *	chunk           [ #0 until 900 ]  [ #1 until 1700 ]  [ #2: being filled ]
 *	released = 950 ──────────► #0 may be filled again
 *
 * Bounded: FILE_CHUNKS_MAX chunks, FILE_LENT_MAX other pieces. When all are borrowed the source has
 * nothing to give until some are released. One thread: that which polls.
 */
#ifndef TAPLINE_SOURCE_FILE_MEMORY_H
#define TAPLINE_SOURCE_FILE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILE_CHUNK_BYTES (1u << 18) /* so that the two in use stay in an L2 cache */
#define FILE_CHUNKS_MAX	 256
#define FILE_LENT_MAX	 4096

struct file_chunk {
	uint8_t *data;
	size_t room;
	uint64_t until; /* free when as many packets were released */
	bool in_use;
};

struct file_lent;

struct file_memory {
	struct file_chunk chunks[FILE_CHUNKS_MAX];
	struct file_lent *oldest;
	struct file_lent *newest;
	uint32_t lent_count;
	uint64_t handed; /* packets handed out so far */
	uint64_t released;
};

/* Takes back what `released` packets in all no longer borrow. */
void file_memory__reclaim(struct file_memory *memory, uint64_t released);

/* A chunk with room for `bytes`. 0, -ENOBUFS (all are borrowed: try later), -ENOMEM. */
int file_memory__take(struct file_memory *memory, size_t bytes, struct file_chunk **ret_chunk);

/* The source reads on elsewhere; the packets handed out so far may still look at it. */
void file_memory__retire(struct file_memory *memory, struct file_chunk *chunk);

/* Too much is lent already: hand out nothing that needs file_memory__lend. */
bool file_memory__full(const struct file_memory *memory);

/*
 * Frees `base` once the packets handed out so far, and `more` after them, were released. On -ENOMEM
 * `base` still is the caller's.
 */
int file_memory__lend(struct file_memory *memory, void *base, uint64_t more);

void file_memory__destroy(struct file_memory *memory);

#endif
