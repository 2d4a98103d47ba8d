/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A source of packets: one queue of an interface (AF_PACKET, AF_XDP) or a list of files.
 *
 *   worker: poll ─► packets, borrowed ─► … stages … ─► release ─► (next poll recycles the memory)
 *
 * One thread polls. Packets are released in the order they were handed out, by count; release may
 * be called by another thread (the merger) than the one that polls:
 *
 * | word     | written by       | store   | read by | load    | edge                            |
 * |----------|------------------|---------|---------|---------|---------------------------------|
 * | released | whoever releases | release | poll    | acquire | bytes are read before recycling |
 */
#ifndef TAPLINE_SOURCE_H
#define TAPLINE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/atomic.h"
#include "tapline/packet.h"
#include "tapline/stats.h"

#define TL_IFNAME_MAX 64

/* One line of the run's table of interfaces: what a pcapng Interface Description Block says. */
struct tl_interface {
	char name[TL_IFNAME_MAX]; /* "" when a file does not say */
	char description[128];
	char filter[256]; /* tcpdump expression, "" for none */
	uint32_t snaplen; /* bytes; never 0 */
	uint16_t linktype;
	uint8_t tsresol;    /* as in if_tsresol: 9 = ns */
	uint64_t speed_bps; /* 0: unknown */
	uint8_t mac[6];
	uint8_t has_mac;
};

struct tl_source;

struct tl_source_ops {
	const char *name; /* "afxdp", "afpacket", "file" */
	/*
	 * Fills up to `max` descriptors without waiting. Count; 0: nothing right now; -ENODATA: a
	 * file has ended; -ENETDOWN: the interface is gone or down (poll again later); other
	 * -errno: failed for good. Recycles what was released before.
	 */
	int (*poll)(struct tl_source *source, struct tl_packet *packets, uint32_t max);
	/* Waits up to `timeout_ms` until poll may have something. 0 or -errno (-EINTR too). */
	int (*wait)(struct tl_source *source, int timeout_ms);
	/*
	 * Every packet older than this has been handed out: its time on the clock of the packets,
	 * in ns. UINT64_MAX after the end of a file. What a quiet link's timers run on.
	 */
	uint64_t (*watermark)(struct tl_source *source);
	/* Totals since the start; may be called by another thread while the source is polled. */
	int (*stats)(struct tl_source *source, struct tl_source_stats *ret_stats);
	/*
	 * Stops the flow of new packets, so that what is queued can be drained with poll and the
	 * statistics then close. Idempotent.
	 */
	int (*stop)(struct tl_source *source);
	/* Replaces the filter while running; the old one stays when this fails. May be NULL. */
	int (*set_filter)(struct tl_source *source, const struct tl_filter *filter);
	/* How full the ring is, 0…100: analysis is shed when it fills. May be NULL. */
	int (*fill_percent)(struct tl_source *source);
	void (*destroy)(struct tl_source *source);
};

struct tl_source {
	const struct tl_source_ops *ops;
	uint32_t interface; /* first index in the run's table of interfaces */
	uint32_t queue;
	uint64_t released TL_CACHE_ALIGNED; /* packets given back since the start */
};

/* The `count` oldest packets not yet released may be reused. One thread. */
static inline void tl_source__release(struct tl_source *source, uint64_t count)
{
	tl_store_release(&source->released, source->released + count);
}

/* --- files ------------------------------------------------------------------------------- */

/* Why a file could not be read, in words that fit behind "tapline: FILE: ". */
struct tl_error {
	char what[256];
};

struct tl_source_file_opts {
	/* "-" is standard input. Read in order of time; where one is a pipe, as they are given. */
	const char *const *paths;
	size_t path_count;
	const struct tl_filter *filter; /* borrowed for the source's life; NULL: keep all */
	uint32_t snaplen;		/* packets are cut to this; 0: as they are */
};

/*
 * pcap (µs and ns, both byte orders, Kuznetzov-modified), and pcapng (sections, several interfaces,
 * options, Simple and obsolete Packet Blocks), also zstd-, lz4- and gzip-compressed. A cut-off file
 * gives all packets before the cut, then -ENODATA with `tl_source_file__error` set.
 * 0, -ENOENT, -EACCES, -EBADMSG (not a capture), -ENOMEM; `ret_error` says it in words.
 */
int tl_source_file__create(const struct tl_source_file_opts *opts, struct tl_error *ret_error,
			   struct tl_source **ret_source);

/* Bytes of a plain file; 0: a pipe, compressed, or no file. */
uint64_t tl_source_file__plain_bytes(const char *path);

/* The interfaces seen so far; the list only grows. Borrowed until the source is destroyed. */
const struct tl_interface *tl_source_file__interfaces(const struct tl_source *source,
						      uint32_t *ret_count);

/* What was wrong with the file after -ENODATA or a failure; NULL when nothing was. */
const char *tl_source_file__error(const struct tl_source *source);

/* --- live -------------------------------------------------------------------------------- */

enum tl_xdp_mode { TL_XDP_AUTO = 0, TL_XDP_NATIVE, TL_XDP_GENERIC, TL_XDP_OFF };

struct tl_source_live_opts {
	const char *interface;
	uint32_t interface_index; /* index in the run's table */
	uint32_t interface_count; /* of the run; 0: one */
	uint32_t queue_count;	  /* sockets of this interface: how many workers share it */
	uint32_t snaplen;
	uint64_t buffer_bytes;	   /* whole ring of one socket; 0: sized to the link and memory */
	uint32_t block_timeout_ms; /* longest a quiet link's packet waits; 0: default (4) */
	int promiscuous;
	int ignore_outgoing;
	int numa_node;			/* -1: any */
	const struct tl_filter *filter; /* attached before the first packet; NULL: keep all */
	enum tl_xdp_mode xdp;
	uint32_t sample;       /* keep 1 packet in N, decided in the kernel; 0 and 1: all */
	uint32_t sample_flows; /* keep 1 flow in N, whole; 0 and 1: all */
	int headers_only;
	uint64_t cutoff_bytes; /* 0: none */
	int busy_poll;
};

/*
 * All sockets of one interface, `queue_count` sources, in `ret_sources` (room for as many). Both
 * directions of a flow, and its fragments, arrive at the same one. `ret_mode` (room 128) says in
 * words what was chosen ("TPACKET_V3, 64 blocks of 1 MiB, eBPF fanout over 2 sockets").
 * 0 or -errno: -ENODEV, -EPERM, -ENETDOWN, -EOPNOTSUPP, -ENOMEM; `ret_error` says it in words.
 */
int tl_source_afpacket__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			       char *ret_mode, struct tl_source **ret_sources);
int tl_source_afxdp__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			    char *ret_mode, struct tl_source **ret_sources);

/*
 * AF_PACKET behind an XDP program that filters, samples and cuts off: what it keeps goes on to the
 * stack and the socket, the rest ends before a packet is made of it. As the others; -EOPNOTSUPP
 * also for headers_only, which needs AF_XDP.
 */
int tl_source_reduced__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			      char *ret_mode, struct tl_source **ret_sources);

#define TL_WHY_BYTES 128
/* False: its host uses the interface, `ret_why` says how, and XDP would take its packets away. */
bool tl_source__is_mirror_port(const char *interface, char ret_why[TL_WHY_BYTES]);
/* False: AF_PACKET is the better choice, and `ret_why` says why. Changes nothing. */
bool tl_source_afxdp__suits(const char *interface, char ret_why[TL_WHY_BYTES]);

static inline int tl_source__poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	return source->ops->poll(source, packets, max);
}

static inline void tl_source__destroy(struct tl_source *source)
{
	if (source)
		source->ops->destroy(source);
}

#endif
