/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One side of a comparison as a row of packets: a file source, read one packet after the other.
 * A packet and its bytes are borrowed until the next call. One thread.
 */
#ifndef TAPLINE_COMPARE_READER_H
#define TAPLINE_COMPARE_READER_H

#include "tapline/packet.h"
#include "tapline/source.h"

#define READER_BATCH 256u

struct reader {
	struct tl_source *source;
	struct tl_packet packet[READER_BATCH];
	struct tl_layers layers;
	uint32_t count, next;
	bool ended;
};

/* 0 or -errno, `ret_error` in words that name the file. */
int reader__open(struct reader *reader, const char *path, struct tl_error *ret_error);
void reader__close(struct reader *reader);
/* The next packet; NULL at the end. */
const struct tl_packet *reader__next(struct reader *reader);

#endif
