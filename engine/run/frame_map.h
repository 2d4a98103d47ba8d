/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several workers: a worker analyzes a packet before the merger has given it its place in the file.
 * Findings therefore carry the worker's own number of the packet, and this map gives the frame in
 * the file for the newest FRAME_MAP_PACKETS of a worker.
 *
 *   worker's number n ─► base[n / 256] + delta[n % FRAME_MAP_PACKETS]
 *
 * Written by the merger, read by the control thread; a reader checks that the group still belongs
 * to its number (the base carries it), so an overwritten entry gives 0 and never a wrong frame.
 */
#ifndef TAPLINE_RUN_FRAME_MAP_H
#define TAPLINE_RUN_FRAME_MAP_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_MAP_PACKETS (1u << 24)
#define FRAME_MAP_GROUP	  256u

struct frame_map_base {
	uint64_t group; /* number / FRAME_MAP_GROUP + 1; 0 while it is rewritten */
	uint64_t frame;
};

struct frame_map {
	struct frame_map_base *base; /* owned; FRAME_MAP_PACKETS / FRAME_MAP_GROUP */
	uint16_t *delta;	     /* owned; FRAME_MAP_PACKETS */
};

int frame_map__init(struct frame_map *map);
void frame_map__fini(struct frame_map *map);

/* Merger: numbers come in order, each once. `frame` 0: not in the file. */
void frame_map__set(struct frame_map *map, uint64_t number, uint64_t frame);

/* Control: the frame, or 0 when it is not known (any more). */
uint64_t frame_map__get(const struct frame_map *map, uint64_t number);

/* A provisional frame number carries the worker in its upper bits. */
#define FRAME_WORKER_SHIFT 56

static inline uint64_t frame_map__provisional(uint32_t worker, uint64_t number)
{
	return (uint64_t)(worker + 1) << FRAME_WORKER_SHIFT | number;
}

/*
 * The frame of a provisional number, by the maps of all workers; 0: not known. Of the number of a
 * packet in a file what is left is the number that Wireshark shows.
 */
uint64_t frame_map__resolve(const struct frame_map *maps, uint32_t workers, uint64_t frame);

/* Likewise, in place, those that a display filter names: "frame.number==N". */
void frame_map__resolve_filter(const struct frame_map *maps, uint32_t workers, char *filter);

#endif
