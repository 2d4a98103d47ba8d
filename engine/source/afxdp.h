/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parts of the AF_XDP source, for its own files:
 *
 *   afxdp.c        creation, the operations, the accounting
 *   afxdp_queue.c  one socket and its memory (UMEM), for one receive queue
 *   afxdp_life.c   the interface going down, or away, and coming back
 *   afxdp_read.c   poll: packets out, frames back, hand-over between sources
 *
 *   queue 0 ─┐  frames ► fill ring ► kernel ► rx ring        in-flight list, oldest first
 *   queue 2 ─┴─► source 0 ──────────── own packets ─────────► worker ─ release ─► fill ring
 *                  │  ▲
 *     packets of   ▼  │ frames of           (one pair of SPSC rings for each ordered pair of
 *     source 1's   ┌──┴───────┐ source 0     sources: packets there, frames back)
 *     flows        │ hand-over│
 *                  └──┬───────┘
 *   queue 1 ───► source 1 ──── … ───────────────────────────► worker
 *
 * A frame is always in exactly one of: the fill ring or the kernel, the rx ring, a hand-over ring,
 * an in-flight list, a return ring. All these have room for every frame, so none overflows.
 *
 * Threads: a source's worker polls; release may be another thread's (tapline/source.h). A hand-over
 * ring has one producer (the worker of the queue) and one consumer (the owner's worker).
 *
 * | word            | written by       | store   | read by          | load    | edge             |
 * |-----------------|------------------|---------|------------------|---------|------------------|
 * | base.released   | whoever releases | release | poll             | acquire | read, then reuse |
 * | progress_ns     | its poll         | release | the others' poll | acquire | pushed before it |
 * | drained         | its poll         | release | the others' poll | acquire | pushed before it |
 * | is_waiting      | its wait         | seq_cst | the others' poll | seq_cst | no lost wake-up  |
 */
#ifndef TL_SOURCE_AFXDP_H
#define TL_SOURCE_AFXDP_H

#include <pthread.h>
#include <stdbool.h>
#include <xdp/xsk.h>

#include "tapline/source.h"
#include "tapline/spsc.h"
#include "xdp_program.h"

/* Half a page holds what an MTU of 1500 lets through; no larger chunk is taken everywhere. */
#define AFXDP_FRAME_SMALL 2048u
#define AFXDP_FRAME_LARGE 4096u
#define AFXDP_FRAME_HEAD  256u /* of it: XDP_PACKET_HEADROOM */
#define AFXDP_QUEUES_MAX  128u
#define AFXDP_JUMBO_COUNT 1024u
#define AFXDP_NO_JUMBO	  UINT32_MAX
#define AFXDP_SPARES	  4u  /* re-openings that need no capability */
#define AFXDP_SOURCES_MAX 64u /* of one interface */

/* Memory as it is registered with a socket. libxdp keeps the rings' addresses: it never moves. */
struct afxdp_memory {
	struct xsk_umem *umem; /* owned */
	struct xsk_ring_prod fill;
	struct xsk_ring_cons completion; /* unused: nothing is sent */
};

struct afxdp_queue {
	struct afxdp_memory *memory; /* owned; NULL: the interface is gone */
	struct xsk_ring_cons rx;
	struct xsk_socket *xsk; /* owned; NULL: the interface is gone */
	uint8_t *area;		/* owned: frame_count frames */
	uint8_t *is_out;	/* owned: of each frame, whether the reader has it */
	struct afxdp_memory *spares[AFXDP_SPARES]; /* of the same area, for the next sockets */
	uint32_t frame_count;
	uint32_t frame_bytes; /* a power of two */
	uint32_t index;	      /* receive queue of the interface */
	uint32_t source;      /* whose it is */
	uint32_t peeked;      /* descriptors taken out of the rx ring, not looked at yet */
	uint32_t peek_at;
	uint32_t refilled; /* put into the fill ring, not submitted yet */
	uint32_t jumbo;	   /* buffer in which a packet of several frames is being put together */
	uint32_t jumbo_bytes;
	struct tl_xdp_meta jumbo_meta;
	uint64_t taken; /* packets */
	uint64_t lost;	/* packets that could not be put together */
	uint64_t last_ts_ns;
	bool is_zero_copy;
	bool is_jumbo_lost; /* the rest of that packet is thrown away */
	bool is_generic;
	bool is_busy_polled;
	uint32_t ifindex;		    /* that the socket was bound to */
	const char *interface;		    /* borrowed: the group's */
	struct xdp_statistics drops_before; /* of the sockets before this one */
};

/* Where the bytes of a packet lie: a frame of a queue, or a jumbo buffer of a source. */
struct afxdp_place {
	uint64_t addr; /* frame, or number of the jumbo buffer */
	uint32_t queue;
	uint32_t jumbo_source; /* AFXDP_NO_JUMBO: a frame */
};

struct afxdp_handed {
	struct tl_packet packet;
	struct afxdp_place place;
};

struct afxdp_group;

struct afxdp {
	struct tl_source base;
	struct afxdp_group *group; /* shared */
	uint32_t index;
	/* in-flight list: written and read by poll alone */
	struct afxdp_place *inflight; /* owned; inflight_mask + 1 of them */
	uint64_t inflight_mask;
	uint64_t inflight_tail;
	uint64_t inflight_head;
	uint8_t *jumbo_area;  /* owned; NULL: no packet needs one */
	uint32_t *jumbo_free; /* owned: stack of free buffers */
	uint32_t jumbo_free_count;
	int64_t tai_offset_ns; /* CLOCK_TAI − CLOCK_REALTIME */
	uint64_t watermark_ns;
	uint64_t user_filtered;
	uint64_t captured_bytes;
	struct tl_filter *user_filter; /* owned by poll */
	struct tl_filter *new_filter;  /* given by set_filter, taken by poll */
	int wake_fd;		       /* eventfd; -1 with one source */
	uint64_t next_check_ns;	       /* of drops and of the link, CLOCK_MONOTONIC */
	uint64_t drops_seen;
	uint32_t lost_before; /* told with the next packet */
	uint32_t ifindex;     /* that its queues are bound to; under the group's lock */
	bool is_down;
	uint64_t waited_ns; /* CLOCK_MONOTONIC, at the last wait */
	uint64_t read_since_wait;
	/* read by other sources */
	uint64_t progress_ns TL_CACHE_ALIGNED;
	uint32_t drained;
	uint32_t is_waiting;
};

/* What the sources of one interface share. The last one destroyed takes it down. */
struct afxdp_group {
	struct tl_xdp_program *program; /* owned */
	struct afxdp_queue *queues;	/* owned */
	struct afxdp **sources;		/* owned array */
	struct tl_spsc *packets; /* owned; [from * source_count + to]; NULL with one source */
	struct tl_spsc
		*returns; /* owned; frames back: [owner of the frame * source_count + from] */
	uint32_t queue_count;
	uint32_t source_count;
	uint32_t live; /* sources not destroyed */
	uint32_t snaplen;
	uint32_t frame_count; /* of each queue */
	uint32_t frame_bytes;
	uint32_t jumbo_bytes; /* size of a jumbo buffer; 0: none needed */
	int control_fd;	      /* for asking about the interface */
	char interface[TL_IFNAME_MAX];
	int promiscuous_fd;   /* -1 */
	enum tl_xdp_mode xdp; /* how the program is attached */
	bool filters_first;   /* what is sampled or cut off must have passed the filter */
	pthread_mutex_t lock; /* guards what follows, sockets, set_filter, attach and detach */
	uint64_t nic_drops;
	uint64_t nic_last; /* the interface's counter when it was read last */
	uint32_t ifindex;  /* that the program is attached to */
	uint32_t stopped;
};

/* --- afxdp_queue.c --- */

struct afxdp_queue_opts {
	const char *interface;
	uint32_t index;
	uint32_t frame_count; /* a power of two */
	uint32_t frame_bytes; /* AFXDP_FRAME_SMALL or _LARGE */
	int numa_node;
	bool is_generic;
	bool busy_poll;
};

/* 0, -ENOMEM, -ENOBUFS (RLIMIT_MEMLOCK), -EBUSY (another socket has the queue), other -errno. */
int afxdp_queue__create(struct afxdp_queue *queue, const struct afxdp_queue_opts *opts);
void afxdp_queue__destroy(struct afxdp_queue *queue);
/* A new socket for the old one, whose rx ring has been read to its end. As __create. */
int afxdp_queue__reopen(struct afxdp_queue *queue);
/* Registers the memory for further sockets: without capabilities that is not possible. */
void afxdp_queue__prepare_spares(struct afxdp_queue *queue);
uint32_t afxdp_queue__peek_more(struct afxdp_queue *queue);
/* Descriptors ready to be read, up to 256; count. The first is `peek_at`. */
static inline uint32_t afxdp_queue__peek(struct afxdp_queue *queue)
{
	return queue->peeked ? queue->peeked : afxdp_queue__peek_more(queue);
}
/* Takes the next descriptor; __peek said that there is one. */
const struct xdp_desc *afxdp_queue__next(struct afxdp_queue *queue);
/* Gives a frame to the kernel with the next __submit. */
void afxdp_queue__refill(struct afxdp_queue *queue, uint64_t addr);
void afxdp_queue__submit(struct afxdp_queue *queue);
/* How much of the memory is in use, 0…100. */
int afxdp_queue__fill_percent(const struct afxdp_queue *queue);
/* What the socket says it dropped; 0 or -errno. */
int afxdp_queue__drops(const struct afxdp_queue *queue, struct xdp_statistics *ret_drops);

/* --- afxdp_life.c --- */

/* Now and then, after a poll that read `packet_count`: drops, and the state of the interface. */
void afxdp_life__check(struct afxdp *s, uint32_t packet_count);
/* Asks for promiscuous mode, until the group's end. 0 or -errno. */
int afxdp_life__promiscuous(struct afxdp_group *g, uint32_t ifindex);

/* --- afxdp_read.c --- */

/* 0 or -ENOMEM. */
int afxdp_read__prepare(struct afxdp *s);
int afxdp_read__poll(struct tl_source *source, struct tl_packet *packets, uint32_t max);
int afxdp_read__wait(struct tl_source *source, int timeout_ms);

#endif
