/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One file of the file source, being read. Private to engine/source: what file.c (the list of
 * files and their order), file_pcap.c and file_pcapng.c (one format each) share.
 *
 *	path ─► file_reader ─► format's next ─► file_input__emit ─► file_input__deliver ─► packets
 *	                          │ interfaces of the section: local[] ─► table[] of the run
 *
 * Between emit and deliver a packet may wait until it is its turn among those of other files: it
 * counts, and what it borrows is lent, when it is delivered.
 */
#ifndef TAPLINE_SOURCE_FILE_INPUT_H
#define TAPLINE_SOURCE_FILE_INPUT_H

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
	/* where time is but a multiple of ns, up to units_max; else both are 0 */
	uint64_t ns_per_unit;
	uint64_t units_max;
	bool is_plain; /* that, and all packets are kept: what a run of them needs */
};

struct file_input;

/*
 * The next packet. 1: `packet` is filled in, and passed the filter; 0: it did not. -EALREADY: a
 * packet is next, and `before_packets` is set. -EAGAIN, -ENOBUFS, -ENOMEM: later, nothing lost.
 * -ENODATA: the end. -EBADMSG: broken, `words` say how.
 */
typedef int file_next_fn(struct file_input *f, struct tl_packet *packet);

/*
 * The next packets as long as they are the usual ones: all there, without options, filter or
 * surprise, up to `until_ns`. How many; those behind them are for `next`, whatever they are.
 */
typedef uint32_t file_run_fn(struct file_input *f, struct tl_packet *packets, uint32_t max,
			     uint64_t until_ns);

/* What all files of a run have in common. */
struct file_set {
	uint32_t interface; /* index of table[0] among all of the run's */
	const struct tl_filter *filter;
	uint32_t snaplen;
	struct file_memory memory;
	struct tl_interface table[TL_INTERFACES_MAX];
	struct tl_drops recorded[TL_INTERFACES_MAX]; /* as its newest statistics say */
	uint32_t table_count;			     /* atomic: grows after the entry was written */
	uint64_t watermark;			     /* atomic */
	struct tl_source_stats stats;		     /* each counter atomic */
};

struct file_input {
	struct file_set *set;
	const char *path;
	struct file_reader reader;
	bool is_open;
	bool before_packets; /* read what comes before the first packet, and stop there */
	file_next_fn *next;
	file_run_fn *run;      /* set with it */
	bool swapped;	       /* the file's byte order is not ours */
	uint64_t frame;	       /* of the last packet, as in struct tl_packet */
	uint64_t packets;      /* of this file */
	uint64_t ts_ns;	       /* of the last packet */
	uint32_t record_bytes; /* pcap: header of a packet */
	bool pcap_ns;
	bool pcap_swapped_lengths; /* written by a libpcap before 2.3 */
	char *comment;		   /* a copy, not yet lent; or NULL */

	struct file_local *locals;
	uint32_t local_count;
	uint32_t local_room;
	char words[192];
};

/* What a block or record of a run says. */
struct file_plain {
	const struct file_local *local;
	const uint8_t *data;
	uint64_t ts_ns;
	uint32_t caplen;
	uint32_t wirelen;
};

static inline uint32_t file_load32(const struct file_input *f, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap32(v) : v;
}

static inline uint16_t file_load16(const struct file_input *f, const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap16(v) : v;
}

static inline uint32_t file_packet_cut(const struct file_set *set, uint32_t caplen)
{
	return set->snaplen && caplen > set->snaplen ? set->snaplen : caplen;
}

/* A packet of a run; `nth`, from 0. */
static inline void file_run__set(const struct file_input *f, uint32_t nth,
				 const struct file_plain *plain, struct tl_packet *ret_packet)
{
	*ret_packet = (struct tl_packet){
		.data = plain->data,
		.ts_ns = plain->ts_ns,
		.frame = f->frame + nth + 1,
		.caplen = file_packet_cut(f->set, plain->caplen),
		/* fewer bytes on the wire than were captured there: the bytes are certain */
		.wirelen = plain->wirelen > plain->caplen ? plain->wirelen : plain->caplen,
		.interface = f->set->interface + plain->local->index,
		.linktype = plain->local->linktype,
	};
}

/* A run of `n` packets ends at `at`: they are handed out. */
static inline void file_run__end(struct file_input *f, const uint8_t *at, uint32_t n,
				 const struct tl_packet *packets)
{
	if (!n)
		return;
	f->reader.offset += (size_t)(at - f->reader.at);
	f->reader.at = at;
	f->frame += n;
	f->packets += n;
	f->ts_ns = packets[n - 1].ts_ns;
	f->set->memory.handed += n;
}

/* Says in `words` why the file cannot be read on; -EBADMSG. */
__attribute__((format(printf, 2, 3))) int file_input__broken(struct file_input *f,
							     const char *format, ...);
/* `what` (a packet, a block) was cut by the end of the data. -EBADMSG. */
int file_input__cut(struct file_input *f, const char *what);

/*
 * Another interface of this file or section: found in or added to the table. `interface` has the
 * file's values; its snaplen and link type are put right here. 0, -ENOMEM, -EBADMSG (too many).
 */
int file_input__add_interface(struct file_input *f, struct tl_interface *interface,
			      int64_t offset_s);

/*
 * Numbers, filters and cuts a packet whose data, ts_ns, caplen, wirelen, flags and comment are set.
 * 1: keep it, 0: filtered, and counted.
 */
int file_input__emit(struct file_input *f, const struct file_local *local,
		     struct tl_packet *packet);
/* A packet that was kept goes out. */
void file_input__deliver(struct file_input *f, const struct tl_packet *packet);

/* 0 or -errno, with words. The header is read by the first next. */
int file_input__open(struct file_input *f, struct file_set *set, const char *path);
/* Reads the file's header, once. 0, -EAGAIN, -ENOBUFS, -ENOMEM, -EBADMSG with words. */
int file_input__begin(struct file_input *f);
/* As file_next_fn, the header included. */
int file_input__next(struct file_input *f, struct tl_packet *packet);
/* Packets delivered keep what they borrow. */
void file_input__close(struct file_input *f);

/* Later files: is it there, and a capture? 0 or -errno, with words. Pipes are not looked at. */
int file_input__check(struct file_input *f, const char *path);
/* Time of a regular file's first packet; 0 where it has none, or none that can be read. */
uint64_t file_input__first_ns(const char *path);
bool file_input__is_later(int err);

/* The file's first bytes are the format's own: 0; -EBADMSG: they are not, or the header is bad. */
int file_pcap__begin(struct file_input *f);
int file_pcapng__begin(struct file_input *f);
bool file_pcap__is_magic(const uint8_t magic[4]);
bool file_pcapng__is_magic(const uint8_t magic[4]);

#endif
