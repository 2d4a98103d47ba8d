/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The writer thread: makes what the encoder has decided.
 *
 *   encoder ── commands (open, write, close, quit) ──► SPSC ──► writer ──► disk.h
 *           ◄── indices of buffers that are free again ── SPSC ──┘
 *
 * | word            | written by | store   | read by | load    | edge                            |
 * |-----------------|------------|---------|---------|---------|---------------------------------|
 * | commands, freed | see spsc.h |         |         |         | buffers change hands whole      |
 * | state           | writer     | release | encoder | acquire | first file is there, or `error` |
 * | closing         | encoder    | relaxed | writer  | relaxed | a hint: commands say the rest   |
 * | counters        | writer     | relaxed | any     | relaxed | single words                    |
 *
 * Invariants: commands are carried out in order. `end_on_disk` is the length of whole blocks on
 * disk; after a failed write the file is cut back to it and the same buffers are written again,
 * so a full disk costs what arrives while no buffer is free, and never a hole in the file.
 */
#ifndef TAPLINE_SINK_WRITER_H
#define TAPLINE_SINK_WRITER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

#include "compressor.h"
#include "disk.h"
#include "file_list.h"
#include "file_name.h"
#include "retention.h"
#include "tapline/recorder.h"
#include "tapline/spsc.h"

enum tl_command_kind { TL_COMMAND_OPEN, TL_COMMAND_WRITE, TL_COMMAND_CLOSE, TL_COMMAND_QUIT };

struct tl_command {
	enum tl_command_kind kind;
	uint32_t packets;	    /* WRITE: how many end in this buffer */
	uint64_t end;		    /* WRITE, CLOSE: the file's whole blocks, without padding */
	struct tl_disk_write write; /* WRITE */
	struct tl_file_key key;	    /* OPEN */
};

enum tl_writer_state {
	TL_WRITER_STARTING, /* the first header is on its way; a failure is final */
	TL_WRITER_RUNNING,
	TL_WRITER_FAILED, /* for good: a pipe without a reader, or the start */
};

struct tl_writer {
	const struct tl_recorder_opts *opts; /* borrowed */
	struct tl_disk disk;
	struct tl_spsc commands;
	struct tl_spsc freed; /* uint32_t */
	sem_t wake;
	pthread_t thread;
	bool started;

	/* writer thread only */
	struct tl_command *queue; /* owned; taken from `commands`, not yet done */
	uint32_t queue_head, queue_count, queue_max;
	char path[4096]; /* of the open file */
	uint64_t end_on_disk;
	uint64_t closed_bytes;
	uint64_t checked_ns; /* last time retention was applied */
	bool lost;	     /* what comes is dropped: the file could not be opened or written */
	struct tl_retention retention;
	struct tl_compressor *compressor; /* owned; NULL: none */
	uid_t owner_uid;
	gid_t owner_gid;

	struct tl_file_list files; /* locks itself */
	pthread_mutex_t error_lock;
	char error[256];

	uint32_t state TL_CACHE_ALIGNED; /* enum tl_writer_state */
	uint32_t closing;
	uint64_t written;
	uint64_t dropped;
	uint64_t written_bytes;
	uint64_t opened;
	int32_t first_error;
};

/* Opens the first file and starts the thread. 0 or -errno; `ret_error` says it in words. */
int tl_writer__create(const struct tl_recorder_opts *opts, const struct tl_file_key *first,
		      struct tl_error *ret_error, struct tl_writer **ret_writer);

/* Encoder's thread. False when the ring is full (it holds more than there are buffers). */
bool tl_writer__push(struct tl_writer *writer, const struct tl_command *command);

/* Encoder's thread: a buffer that is free again; false when there is none. */
bool tl_writer__take_free(struct tl_writer *writer, uint32_t *ret_buffer);

/* Waits until the first write is done. 0 or -errno. Encoder's thread. */
int tl_writer__wait_started(struct tl_writer *writer);

/* From now on a write that fails twice is given up. */
void tl_writer__set_closing(struct tl_writer *writer);

/* After TL_COMMAND_QUIT: waits for the thread and for the compressor. */
void tl_writer__join(struct tl_writer *writer);
void tl_writer__destroy(struct tl_writer *writer);

#endif
