/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file source, private to engine/source: what file.c (the list of files, the table of
 * interfaces, accounting), file_pcap.c and file_pcapng.c (one format each) share.
 *
 *	paths ─► file_reader ─► format's next ─► file_source__emit ─► packets
 *	                          │ interfaces of the section: local[] ─► table[] of the run
 */
#ifndef TAPLINE_SOURCE_FILE_H
#define TAPLINE_SOURCE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "file_memory.h"
#include "file_reader.h"
#include "tapline/cursor.h"
#include "tapline/engine.h"
#include "tapline/filter.h"
#include "tapline/source.h"

/* A packet with more bytes than this is no packet (the largest known is a 512 KiB segment). */
#define FILE_PACKET_MAX (1u << 20)
/* A packet block: packet and options. Blocks that are passed over may be longer. */
#define FILE_BLOCK_MAX (2u << 20)
/* Interfaces one pcapng section may describe. */
#define FILE_LOCALS_MAX 65536u
/* Latest time handed out, in ns: absurd timestamps stop here (the year 2262). */
#define FILE_TS_MAX ((uint64_t)INT64_MAX)

/* An interface as one file, or one pcapng section, numbers it. */
struct file_local {
	uint32_t index; /* in the table */
	uint32_t snaplen;
	uint16_t linktype;
	uint8_t tsresol;
	bool keep_none;			/* the filter makes no sense for this link type */
	const struct tl_filter *filter; /* NULL: keep all */
	int64_t offset_s;
};

struct file_source;

/*
 * The next packet. 1: `packet` is filled in, and passed the filter; 0: it did not. -EALREADY: a
 * packet is next, and `before_packets` is set. -EAGAIN, -ENOBUFS, -ENOMEM: later, nothing lost.
 * -ENODATA: the end. -EBADMSG: broken, `words` say how.
 */
typedef int file_next_fn(struct file_source *f, struct tl_packet *packet);

struct file_source {
	struct tl_source base;
	char **paths;
	size_t path_count;
	const struct tl_filter *filter;
	uint32_t snaplen;

	struct file_memory memory;
	struct file_reader reader;
	size_t path; /* index of the file being read, or of the next one */
	bool is_open;
	bool before_packets; /* read what comes before the first packet, and stop there */
	file_next_fn *next;
	bool swapped;	       /* the file's byte order is not ours */
	uint64_t frame;	       /* of this file */
	uint64_t packets;      /* of this file */
	uint64_t ts_ns;	       /* of the last packet */
	uint32_t record_bytes; /* pcap: header of a packet */
	bool pcap_ns;
	bool pcap_swapped_lengths; /* written by a libpcap before 2.3 */
	bool blocked_by_memory;

	struct file_local *locals;
	uint32_t local_count;
	uint32_t local_room;

	struct tl_interface table[TL_INTERFACES_MAX];
	struct tl_drops recorded[TL_INTERFACES_MAX]; /* as its newest statistics say */
	uint32_t table_count;			     /* atomic: grows after the entry was written */

	char words[192];
	struct tl_error error; /* of the first file that had one */
	bool failed;
	bool ended;
	uint32_t stopped;	      /* atomic */
	uint64_t watermark;	      /* atomic */
	struct tl_source_stats stats; /* each counter atomic */
};

static inline uint32_t file_load32(const struct file_source *f, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap32(v) : v;
}

static inline uint16_t file_load16(const struct file_source *f, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap16(v) : v;
}

/* Says in `words` why the file cannot be read on; -EBADMSG. */
__attribute__((format(printf, 2, 3))) int file_source__broken(struct file_source *f,
							      const char *format, ...);
/* `what` (a packet, a block) was cut by the end of the data. -EBADMSG. */
int file_source__cut(struct file_source *f, const char *what);

/*
 * Another interface of this file or section: found in or added to the table. `interface` has the
 * file's values; its snaplen and link type are put right here. 0, -ENOMEM, -EBADMSG (too many).
 */
int file_source__add_interface(struct file_source *f, struct tl_interface *interface,
			       int64_t offset_s);

/*
 * Numbers, cuts, filters and counts a packet whose data, ts_ns, caplen, wirelen, flags and comment
 * are set. 1: keep it, 0: filtered.
 */
int file_source__emit(struct file_source *f, const struct file_local *local,
		      struct tl_packet *packet);

/* The file's first bytes are the format's own: 0; -EBADMSG: they are not, or the header is bad. */
int file_pcap__begin(struct file_source *f);
int file_pcapng__begin(struct file_source *f);
bool file_pcap__is_magic(const uint8_t magic[4]);
bool file_pcapng__is_magic(const uint8_t magic[4]);

#endif
