/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several workers on one file source: it is read once, by whoever runs out of packets, and handed
 * out by owner (share.h). Each worker has a port, which is a source of its own packets alone.
 *
 *	                         ┌─ port 0 ◄─ worker 0: hand out │ read on, when none is ahead
 *	file ─► piece piece piece│
 *	        (ring, by owner) └─ port 1 ◄─ worker 1: likewise
 *
 * - A piece is what one poll of the file gave, sorted by owner; within an owner the file's order.
 * - A worker reads one piece further ahead than it needs, unless another is at it: so while one
 *   reads the others have something to do. The lock is taken once a piece, of some hundreds of
 *   packets, and waited for only by who has nothing.
 * - Time goes on alike for all: where a packet, whosever it is, brings a tick (tapline/ticks.h), a
 *   port stops, and has that packet's time for its watermark, before it goes on.
 * - A slot of the ring is used again when all ports have passed it and given its packets back. A
 *   port that is so far behind holds the others up, so nobody may wait for a port that waits for
 *   room (shared_port__is_held_up): worker.c says then that it has told all.
 *
 * | word            | written by       | store   | read by | load    | edge                       |
 * |-----------------|------------------|---------|---------|---------|----------------------------|
 * | filled          | who has the lock | release | ports   | acquire | the piece is complete      |
 * | ended           | who has the lock | release | ports   | acquire | so is the last one         |
 * | port.passed     | its worker       | release | reader  | acquire | a piece's words were read  |
 * | port.released   | its worker       | release | reader  | acquire | packets' bytes were read   |
 */
#ifndef TAPLINE_RUN_SHARED_FILE_H
#define TAPLINE_RUN_SHARED_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/source.h"

struct shared_file;

/* `count` ports on `file`, at most TL_WORKERS_MAX. `file` is owned from then on. 0, -ENOMEM. */
int shared_file__create(struct tl_source *file, uint32_t count, struct shared_file **ret_shared);
/* And the ports. NULL is nothing. */
void shared_file__destroy(struct shared_file *shared);

/* The source of one worker; its `destroy` is empty. Statistics are those of the whole file. */
struct tl_source *shared_file__port(struct shared_file *shared, uint32_t index);
const struct tl_source *shared_file__source(const struct shared_file *shared);

/* Of all packets, whosever, up to the last one that this port gave. */
struct shared_span {
	uint64_t first_ns, last_ns; /* in the file's order */
	uint64_t newest_ns;
};

/* Those below: for the thread that polls the port. */
struct shared_span shared_port__span(const struct tl_source *port);
/* Nothing came because another port has not given back what it got. */
bool shared_port__is_held_up(const struct tl_source *port);

#endif
