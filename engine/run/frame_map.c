/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See frame_map.h. */
#include "frame_map.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tapline/atomic.h"
#include "tapline/packet.h"

#define DELTA_UNKNOWN UINT16_MAX
#define GROUPS	      (FRAME_MAP_PACKETS / FRAME_MAP_GROUP)

static void *map_zeroed(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int frame_map__init(struct frame_map *map)
{
	map->base = map_zeroed(GROUPS * sizeof(*map->base));
	map->delta = map_zeroed(FRAME_MAP_PACKETS * sizeof(*map->delta));
	if (map->base && map->delta)
		return 0;
	frame_map__fini(map);
	return -ENOMEM;
}

void frame_map__fini(struct frame_map *map)
{
	if (map->base)
		munmap(map->base, GROUPS * sizeof(*map->base));
	if (map->delta)
		munmap(map->delta, FRAME_MAP_PACKETS * sizeof(*map->delta));
	map->base = NULL;
	map->delta = NULL;
}

void frame_map__set(struct frame_map *map, uint64_t number, uint64_t frame)
{
	uint64_t group = number / FRAME_MAP_GROUP;
	struct frame_map_base *base = &map->base[group % GROUPS];
	uint16_t *first = &map->delta[group % GROUPS * FRAME_MAP_GROUP];
	uint16_t delta = DELTA_UNKNOWN;

	if (base->group != group + 1) {
		tl_store_relaxed(&base->group, 0);
		tl_fence_release(); /* F1: a reader that sees the new deltas sees the group gone */
		tl_store_relaxed(&base->frame, 0);
		for (uint32_t i = 0; i < FRAME_MAP_GROUP; i++)
			tl_store_relaxed(&first[i], DELTA_UNKNOWN);
	}
	if (frame) {
		if (!base->frame)
			tl_store_relaxed(&base->frame, frame);
		if (frame - base->frame < DELTA_UNKNOWN)
			delta = (uint16_t)(frame - base->frame);
	}
	tl_store_relaxed(&map->delta[number % FRAME_MAP_PACKETS], delta);
	tl_store_release(&base->group, group + 1); /* F2, partner of F3 */
}

uint64_t frame_map__get(const struct frame_map *map, uint64_t number)
{
	uint64_t group = number / FRAME_MAP_GROUP;
	const struct frame_map_base *base = &map->base[group % GROUPS];
	uint64_t frame;
	uint16_t delta;

	if (tl_load_acquire(&base->group) != group + 1) /* F3 */
		return 0;
	frame = tl_load_relaxed(&base->frame);
	delta = tl_load_relaxed(&map->delta[number % FRAME_MAP_PACKETS]);
	tl_fence_acquire(); /* F4, partner of F1 */
	if (tl_load_relaxed(&base->group) != group + 1 || delta == DELTA_UNKNOWN)
		return 0;
	return frame + delta;
}

uint64_t frame_map__resolve(const struct frame_map *maps, uint32_t workers, uint64_t frame)
{
	uint64_t worker = frame >> FRAME_WORKER_SHIFT;
	uint64_t number = frame & ((1ull << FRAME_WORKER_SHIFT) - 1);

	if (!worker || worker > workers)
		return frame & TL_FRAME_MASK;
	return maps[worker - 1].base ? frame_map__get(&maps[worker - 1], number) : 0;
}

void frame_map__resolve_filter(const struct frame_map *maps, uint32_t workers, char *filter)
{
	static const char word[] = "frame.number==";
	const char *from = filter, *hit;
	char *to = filter, *end, digits[24];

	/* What takes the place of a number is never longer, so `to` stays behind `from`. */
	while ((hit = strstr(from, word))) {
		size_t before = (size_t)(hit - from) + strlen(word);
		uint64_t frame = strtoull(hit + strlen(word), &end, 10);
		int n = snprintf(digits, sizeof(digits), "%llu",
				 (unsigned long long)frame_map__resolve(maps, workers, frame));

		memmove(to, from, before);
		memcpy(to + before, digits, (size_t)n);
		to += before + (size_t)n;
		from = end;
	}
	memmove(to, from, strlen(from) + 1);
}
