/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the AF_PACKET source, as they see each other. Who: afpacket*.c alone.
 *
 *   afpacket.c         create, the table of operations, the interface coming and going
 *   afpacket_ring.c    one socket and its mapped ring: size, set-up, bind
 *   afpacket_read.c    blocks into packets, and back to the kernel
 *   afpacket_filter.c  the filter program and its counters
 *   afpacket_fanout.c  the group that several sockets of one interface form
 *   afpacket_stats.c   the accounting; stop
 *   afpacket_loss.c    where in the packets a loss belongs
 *
 * Threads: the poller (poll, wait, watermark), a releaser (tl_source__release), and a controller
 * (stats, set_filter, stop). What poller and controller share is under `lock`, or one of these:
 *
 * | word           | written by | store   | read by    | load    | edge                           |
 * |----------------|------------|---------|------------|---------|--------------------------------|
 * | block_status   | kernel     | (own)   | poller     | acquire | R1 packets are seen whole      |
 * | block_status   | poller     | release | kernel     | (own)   | R2 bytes are read before reuse |
 * | new_filter     | controller | acq_rel | poller     | acq_rel | F1 the program is seen whole   |
 * | handed … bytes | poller     | relaxed | controller | relaxed | counters: only whole words     |
 */
#ifndef TAPLINE_SOURCE_AFPACKET_H
#define TAPLINE_SOURCE_AFPACKET_H

#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "tapline/filter.h"
#include "tapline/source.h"

#define MIB	  (1024ull * 1024)
#define NS_PER_MS 1000000ull

#define SPARE_SOCKETS 8 /* re-openings that need no capability */
#define LINK_CHECK_NS (100 * NS_PER_MS)
#define REOPEN_NS     (200 * NS_PER_MS)
#define DRAIN_NS      (500 * NS_PER_MS) /* longest that poll waits for the last block after stop */

struct afpacket_ring_opts {
	uint64_t bytes; /* 0: chosen by `speed_bps` */
	uint64_t speed_bps;
	uint32_t sockets;    /* that share the memory set aside for the interface */
	uint32_t interfaces; /* of the run: their rings share its memory */
	uint32_t snaplen;
	uint32_t block_timeout_ms;
	int numa_node;
};

/*
 *   map    │ block 0 │ block 1 │ … │ block n-1 │        block of sequence number s: s % n
 *                ▲oldest       ▲next
 *                │ with us …   │ the kernel fills this one next, or fills it now
 *
 * Invariant: oldest <= next <= oldest + block_count.
 */
struct afpacket_ring {
	int fd; /* -1: none */
	uint8_t *map;
	uint32_t block_bytes;
	uint32_t block_count;
	uint64_t oldest;       /* sequence number of the oldest block not given back */
	uint64_t next;	       /* of the block to be opened next; the controller reads it too */
	uint64_t *ends;	       /* of each block: packets handed out up to its end */
	const uint8_t *packet; /* the next one of the open block */
	uint32_t left;	       /* packets left in the open block */
};

#define LOSS_PLACES 128 /* losses not yet told; further ones are told with the last of these */

/*
 * Losses not yet told, and the block in front of whose first packet each belongs: in order of
 * blocks. Under `lock`, but for `first`.
 */
struct afpacket_losses {
	uint64_t first;	 /* block of the first, UINT64_MAX: none; the poller reads it unlocked */
	uint64_t closed; /* blocks before this one were closed when the counters were last read */
	uint32_t count;
	struct {
		uint64_t block;
		uint64_t packets;
	} places[LOSS_PLACES];
};

/* What the kernel has told, summed up: reading it sets it to zero there. Under `lock`. */
struct afpacket_totals {
	uint64_t packets; /* let through by the filter, dropped ones included */
	uint64_t drops;
	uint64_t freezes;
	uint64_t nic;
	uint64_t nic_last; /* the interface's counter when it was read last */
};

/* Shared by the sources of one interface. */
struct afpacket_group {
	pthread_mutex_t lock;
	uint32_t users;
	uint32_t ifindex; /* that the sockets of `fanout_id` are bound to */
	int fanout_id;	  /* -1: no group yet */
	int program_fd;	  /* of bpf/fanout.bpf.c; -1: the kernel's own hash */
	void *skeleton;
};

struct afpacket {
	struct tl_source base; /* first: a source is cast to this */
	char name[IF_NAMESIZE];
	uint16_t linktype;
	uint32_t snaplen;
	uint32_t queue_count;
	uint32_t block_timeout_ms;
	bool promiscuous;
	bool ignore_outgoing;
	struct afpacket_ring_opts ring_opts;

	/* the poller's own */
	struct afpacket_ring ring;
	struct afpacket_ring retired;  /* of an interface that is gone, until all is released */
	uint64_t retired_end;	       /* packets handed out when it was retired */
	struct tl_filter *user_filter; /* owned; where the kernel takes no program */
	uint64_t next_check_ns, next_reopen_ns, drain_until_ns; /* CLOCK_MONOTONIC */
	bool link_down;
	bool link_gone;
	uint64_t watermark_ns;
	uint64_t last_ts_ns;

	/* counters of the poller, read by the controller */
	uint64_t handed;
	uint64_t handed_bytes; /* captured length */
	uint64_t wire_bytes;
	uint64_t user_filtered;

	/* under `lock` */
	pthread_mutex_t lock;
	struct afpacket_totals totals;
	struct afpacket_losses losses;
	uint32_t ifindex;
	bool stopped;
	int map_fd;	/* the filter program's counters; -1: the filter runs in user space */
	int program_fd; /* the filter program */
	int spares[SPARE_SOCKETS];
	struct afpacket_group *group;

	struct tl_filter *new_filter; /* F1: from set_filter to poll; owned */
};

static inline struct tpacket_block_desc *afpacket_block(const struct afpacket_ring *ring,
							uint64_t sequence)
{
	size_t slot = (size_t)(sequence % ring->block_count);

	return (struct tpacket_block_desc *)(ring->map + slot * ring->block_bytes);
}

/* --- afpacket_ring.c --- */

/* A socket that receives nothing yet. The descriptor or -errno. */
int afpacket_ring__socket(void);
/* Gives the socket its ring, halving it until there is memory. Owns `fd` when it succeeds. */
int afpacket_ring__create(int fd, const struct afpacket_ring_opts *opts,
			  struct afpacket_ring *ret_ring);
void afpacket_ring__destroy(struct afpacket_ring *ring);
/* Blocks that wait to be read, or are with us, of all. Who: the poller. */
int afpacket_ring__fill_percent(const struct afpacket_ring *ring);
/* Binds to the interface, in promiscuous mode if wanted. 0 or -errno. */
int afpacket_ring__bind(int fd, uint32_t ifindex, bool promiscuous);

/* --- afpacket_read.c --- */

/* Gives blocks back whose packets were all released. */
void afpacket__recycle(struct afpacket *s);
/* Up to `max` packets. Count. */
uint32_t afpacket__read(struct afpacket *s, struct tl_packet *packets, uint32_t max);
/* True when the kernel has filled the next block. */
bool afpacket__ready(const struct afpacket *s);
/* True when every packet that the kernel has queued was handed out. */
bool afpacket__empty(const struct afpacket *s);

/* --- afpacket_filter.c --- */

/* A program that lets nothing through, and counts nothing. */
int afpacket_filter__reject(int fd);
/*
 * Loads the program of `filter` (NULL: one that keeps all), and the counters at first use. Where
 * the kernel refuses, the filter is copied for user space. 0 or -errno.
 */
int afpacket_filter__prepare(struct afpacket *s, const struct tl_filter *filter);
/* Puts the prepared program in the place of the one before. */
int afpacket_filter__attach(const struct afpacket *s, int fd);
/* The counters of all CPUs; false when there are none. */
struct tl_filter_count;
bool afpacket_filter__count(const struct afpacket *s, struct tl_filter_count *ret_count);
int afpacket_filter__replace(struct tl_source *source, const struct tl_filter *filter);

/* --- afpacket_fanout.c --- */

int afpacket_group__create(bool ethernet, uint32_t users, struct afpacket_group **ret_group);
/* The last user's call frees it. */
void afpacket_group__release(struct afpacket_group *group);
/* Adds a bound socket to the group of its interface. 0 or -errno. */
int afpacket_group__join(struct afpacket_group *group, const struct afpacket *s, int fd,
			 uint32_t ifindex);

/* --- afpacket_loss.c --- the caller holds `lock` */

/* True when the kernel has no block left to fill: what comes now is lost. */
bool afpacket_ring__full(const struct afpacket_ring *ring);
/* The first block at or behind `from` that the kernel has not closed. */
uint64_t afpacket_ring__open_block(const struct afpacket_ring *ring, uint64_t from);
/* Notes where `drops` belong that the kernel told of just now; before `closed` all was closed. */
void afpacket_losses__add(struct afpacket_losses *losses, const struct afpacket_ring *ring,
			  uint64_t drops, uint64_t closed);
/* Takes what was lost before the first packet of block `sequence`. Packets. */
uint64_t afpacket_losses__take(struct afpacket_losses *losses, uint64_t sequence);
/* A new ring: what is untold belongs in front of its first packet. */
void afpacket_losses__restart(struct afpacket_losses *losses);

/* --- afpacket_stats.c --- */

/* Reads the kernel's counters into the totals. Caller holds `lock`. */
void afpacket__collect(struct afpacket *s);
int afpacket__stats(struct tl_source *source, struct tl_source_stats *ret_stats);
int afpacket__stop(struct tl_source *source);
/* Packets queued for us and not handed out, once stopped. */
uint64_t afpacket__outstanding(struct afpacket *s);

#endif
