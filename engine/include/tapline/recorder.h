/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The recorder: packets in time order, one caller thread, become pcapng files.
 *
 *   caller ─► encoder: copies each packet once into 4 KiB-aligned buffers; numbers frames;
 *             │        decides rotation and stops
 *             └─ commands (open, write, close) ─► SPSC ring ─► writer thread: io_uring + O_DIRECT,
 *                                                              or pwrite
 *
 * Invariants: the file is a sequence of whole blocks at every moment; a write never blocks the
 * caller: when all buffers are in flight, packets are dropped and counted (`dropped_writer`).
 */
#ifndef TAPLINE_RECORDER_H
#define TAPLINE_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/packet.h"
#include "tapline/source.h"
#include "tapline/stats.h"

struct tl_recorder;

/* Limits of one file or of the run; 0: no limit. */
struct tl_recorder_limits {
	uint64_t bytes;
	uint64_t duration_ns;
	uint64_t packets;
	uint64_t files;
};

enum tl_recorder_naming {
	TL_NAME_SINGLE,	  /* one file, the path as it is */
	TL_NAME_TCPDUMP,  /* -C: FILE, FILE1, FILE2… ; -C -W: FILE0…FILEn-1, zero-padded */
	TL_NAME_DUMPCAP,  /* -b: NAME_00001_20261122100001.EXT */
	TL_NAME_STRFTIME, /* -G: strftime(3) in the path; with -C too a counter is appended */
};

struct tl_recorder_opts {
	const char *path; /* "-": standard output */
	enum tl_recorder_naming naming;
	struct tl_recorder_limits rotate; /* a new file begins after this; `files`: ring of N */
	struct tl_recorder_limits stop;	  /* the run ends after this */
	bool stop_after_files; /* -G with -W: end after rotate.files files rather than ring */
	uint64_t buffer_bytes; /* all buffers together; 0: default, 64 MiB */
	bool packet_buffered;  /* -U: each batch is written at once */
	bool may_wait; /* a file is read: the caller waits for a free buffer, nothing is dropped */
	uint64_t flush_ns; /* oldest packet that may wait in a buffer; 0: default, 20 ms */
	uint64_t quota_bytes, min_free_bytes, max_age_ns; /* retention; 0: none */
	enum { TL_COMPRESS_NONE, TL_COMPRESS_ZSTD, TL_COMPRESS_LZ4 } compress;
	enum { TL_IO_AUTO, TL_IO_URING, TL_IO_PWRITE } io; /* auto: probes, falls back, says so */
	bool no_direct;					   /* never O_DIRECT */
	int cpu;					   /* of the writer thread; -1: any */
	const char *application;			   /* shb_userappl */
	const char *owner; /* -Z: files are given to this user; NULL: no change */
};

struct tl_recorder_summary {
	uint64_t written; /* packets on disk (accepted by the kernel), frames of the files */
	uint64_t dropped_writer;
	uint64_t written_bytes; /* of all files */
	uint32_t file_count;	/* names below; files that retention deleted are counted only */
	uint64_t files_deleted;
	char **files;	 /* borrowed until destroy; NULL until close */
	char io[160];	 /* what was used and why: "io_uring, O_DIRECT, 64 buffers of 1 MiB" */
	int first_error; /* 0, or the -errno of the first failed write or open */
	char error[256];
};

/*
 * Opens the first file (its header is on disk when this returns), so that an unwritable directory
 * or a full disk is known before a packet is taken. 0 or -errno; `ret_error` says it in words.
 */
int tl_recorder__create(const struct tl_recorder_opts *opts, const struct tl_interface *interfaces,
			uint32_t interface_count, struct tl_error *ret_error,
			struct tl_recorder **ret_recorder);

/* A file's interfaces become known as it is read: must precede the first packet that names one. */
int tl_recorder__add_interface(struct tl_recorder *recorder, const struct tl_interface *interface);

/*
 * Records packets in order, and sets each one's `frame` (0 when it was dropped). Returns how many
 * were taken (written or counted as dropped): fewer than `n` when a stop condition was reached,
 * after which it takes none.
 */
uint32_t tl_recorder__write(struct tl_recorder *recorder, struct tl_packet *packets, uint32_t n);

/*
 * To be called at least each 10 ms, also on an idle link: flushes what is older than flush_ns,
 * rotates by time, writes an Interface Statistics Block for each interface once a second from
 * `stats` (one for each interface, cumulative). `now_ns`: clock of the packets.
 * True when a stop condition has been reached.
 */
bool tl_recorder__tick(struct tl_recorder *recorder, uint64_t now_ns,
		       const struct tl_source_stats *stats);

/* An Interface Statistics Block with a comment on `interface`: a gap, a clock step. */
void tl_recorder__note(struct tl_recorder *recorder, uint32_t interface, uint64_t now_ns,
		       const char *comment);

/* True after a stop condition was reached. */
bool tl_recorder__stopped(const struct tl_recorder *recorder);

/* Closes the file (final statistics blocks, all flushed), joins the writer. 0 or first_error. */
int tl_recorder__close(struct tl_recorder *recorder, uint64_t now_ns,
		       const struct tl_source_stats *stats);

/* Valid at any time for progress; final after close. Any thread for the counters. */
void tl_recorder__summary(const struct tl_recorder *recorder,
			  struct tl_recorder_summary *ret_summary);
void tl_recorder__destroy(struct tl_recorder *recorder);

#endif
