/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A reader of pcap and pcapng for the judges among the test helpers. It shares no code with the
 * engine on purpose: what both get wrong would pass unseen. Strict: a block that breaks a rule of
 * the format is an error, a file that ends within a block too.
 */
#ifndef CAPTURE_READER_H
#define CAPTURE_READER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define READER_INTERFACES_MAX 64

struct reader_interface {
	uint32_t link_type;
	uint32_t snap_length;
	uint64_t units; /* a second */
	uint64_t packets;
	bool closed; /* a statistics block came after its last packet */
	bool has_receive_count, has_drop_count;
	uint64_t receive_count, drop_count; /* of the last statistics block */
};

struct reader_packet {
	uint32_t interface;
	uint64_t time_ns;
	uint32_t captured, length;
	uint64_t drop_count; /* epb_dropcount, 0 without */
	const uint8_t *data; /* borrowed until the next packet */
};

struct reader {
	FILE *file;
	bool ng, swapped, nanoseconds;
	uint8_t *block;
	uint32_t interface_count;
	struct reader_interface interfaces[READER_INTERFACES_MAX];
	uint64_t offset;   /* of the block being read */
	const char *error; /* what is wrong, at `offset` */
};

/* "-" is stdin. Returns 0, or -1 with `error` set. */
int reader__open(struct reader *reader, const char *path);
/* Returns 1 and a packet, 0 at the end, -1 with `error` set. */
int reader__next(struct reader *reader, struct reader_packet *ret_packet);
void reader__close(struct reader *reader);

#endif
