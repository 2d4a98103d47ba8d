/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compresses closed files, beside the capture: one thread of the lowest priority (nice 19, idle
 * I/O class).
 *
 *   x.pcapng ─► .x.pcapng.zst.part ─ fsync ─► rename to x.pcapng.zst ─► unlink x.pcapng
 *
 * Invariant: at every moment the packets are in one whole file, plain or compressed. A file that
 * cannot be compressed stays as it is.
 */
#ifndef TAPLINE_SINK_COMPRESSOR_H
#define TAPLINE_SINK_COMPRESSOR_H

#include "file_list.h"
#include "tapline/recorder.h"

struct tl_compressor;

/* `kind`: TL_COMPRESS_ of tl_recorder_opts, not NONE. `list` is borrowed. 0 or -errno. */
int tl_compressor__create(int kind, struct tl_file_list *list, struct tl_compressor **ret);

/* ".zst", ".lz4"; "" for TL_COMPRESS_NONE. */
const char *tl_compressor__suffix(int kind);

/* Queues a closed file. Never waits. 0 or -ENOMEM. Writer thread. */
int tl_compressor__push(struct tl_compressor *compressor, const char *path);

/* Finishes what is queued, then ends the thread. NULL is fine. */
void tl_compressor__destroy(struct tl_compressor *compressor);

#endif
