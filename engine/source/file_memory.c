/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that packets of a file borrow; see file_memory.h. */
#include "file_memory.h"

#include <errno.h>
#include <stdlib.h>

struct file_lent {
	struct file_lent *next;
	void *base;
	uint64_t until;
};

static void give_back(struct file_lent *lent)
{
	free(lent->base);
	free(lent);
}

/* `until` grows along the queue: what is lent later is borrowed by later packets. */
void file_memory__reclaim(struct file_memory *memory, uint64_t released)
{
	memory->released = released;
	while (memory->oldest && memory->oldest->until <= released) {
		struct file_lent *lent = memory->oldest;

		memory->oldest = lent->next;
		memory->lent_count--;
		give_back(lent);
	}
	if (!memory->oldest)
		memory->newest = NULL;
}

static int make_room(struct file_chunk *chunk, size_t bytes)
{
	size_t room = bytes > FILE_CHUNK_BYTES ? bytes : FILE_CHUNK_BYTES;
	uint8_t *data;

	if (chunk->room >= bytes)
		return 0;
	data = malloc(room);
	if (!data)
		return -ENOMEM;
	free(chunk->data);
	chunk->data = data;
	chunk->room = room;
	return 0;
}

/* The first free one: a reader that releases promptly goes round in few chunks, warm in cache. */
int file_memory__take(struct file_memory *memory, size_t bytes, struct file_chunk **ret_chunk)
{
	for (size_t i = 0; i < FILE_CHUNKS_MAX; i++) {
		struct file_chunk *chunk = &memory->chunks[i];

		if (chunk->in_use || chunk->until > memory->released)
			continue;
		if (make_room(chunk, bytes))
			return -ENOMEM;
		chunk->in_use = true;
		*ret_chunk = chunk;
		return 0;
	}
	return -ENOBUFS;
}

void file_memory__retire(struct file_memory *memory, struct file_chunk *chunk)
{
	chunk->in_use = false;
	chunk->until = memory->handed;
}

bool file_memory__full(const struct file_memory *memory)
{
	return memory->lent_count >= FILE_LENT_MAX;
}

int file_memory__lend(struct file_memory *memory, void *base, uint64_t more)
{
	struct file_lent *lent = malloc(sizeof(*lent));

	if (!lent)
		return -ENOMEM;
	*lent = (struct file_lent){
		.base = base,
		.until = memory->handed + more,
	};
	if (memory->newest)
		memory->newest->next = lent;
	else
		memory->oldest = lent;
	memory->newest = lent;
	memory->lent_count++;
	return 0;
}

void file_memory__destroy(struct file_memory *memory)
{
	file_memory__reclaim(memory, UINT64_MAX);
	for (size_t i = 0; i < FILE_CHUNKS_MAX; i++)
		free(memory->chunks[i].data);
}
