/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Blocks into buffers: see encoder.h. */
#include "encoder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ull
#define WAIT_NS	 200000

uint64_t tl_encoder__monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int tl_encoder__init(struct tl_encoder *e, struct tl_writer *writer)
{
	memset(e, 0, sizeof(*e));
	e->writer = writer;
	e->align = writer->disk.direct ? TL_BLOCK_PAGE : 1;
	e->free = calloc(writer->disk.buffer_count, sizeof(*e->free));
	return e->free ? 0 : -ENOMEM;
}

void tl_encoder__fini(struct tl_encoder *e)
{
	free(e->free);
	e->free = NULL;
}

static void collect_free(struct tl_encoder *e)
{
	while (e->free_count < e->writer->disk.buffer_count &&
	       tl_writer__take_free(e->writer, &e->free[e->free_count]))
		e->free_count++;
}

static void begin_buffer(struct tl_encoder *e)
{
	struct timespec pause = { .tv_nsec = WAIT_NS };

	collect_free(e);
	while (!e->free_count && e->may_wait) {
		nanosleep(&pause, NULL);
		collect_free(e);
	}
	if (!e->free_count)
		return;
	e->buffer = e->free[--e->free_count];
	e->data = tl_disk__buffer(&e->writer->disk, e->buffer);
	memcpy(e->data, e->tail, e->carry);
	e->used = e->carry;
	e->submitted = e->carry;
	e->packets = 0;
}

uint8_t *tl_encoder__room_elsewhere(struct tl_encoder *e, uint64_t bytes, bool last)
{
	if (e->data)
		tl_encoder__submit(e);
	if (!e->data)
		begin_buffer(e);
	return e->data && tl_encoder__fits(e, bytes, last) ? e->data + e->used : NULL;
}

bool tl_encoder__append(struct tl_encoder *e, const struct tl_block *block, bool last)
{
	uint8_t *at = tl_encoder__room(e, block->bytes, last);

	if (!at)
		return false;
	memcpy(at, block->data, block->bytes);
	tl_encoder__commit(e, block->bytes, 0);
	return true;
}

void tl_encoder__submit(struct tl_encoder *e)
{
	uint32_t padding;
	struct tl_command command = { .kind = TL_COMMAND_WRITE, .packets = e->packets };

	if (!e->data || e->used == e->submitted)
		return;
	padding = tl_block__padding_bytes(e->used, e->align);
	if (padding)
		tl_block__padding(e->data + e->used, padding, e->has_interface, e->now_ns);
	command.end = e->offset + e->used;
	command.write.buffer = e->buffer;
	command.write.bytes = e->used + padding;
	command.write.offset = e->offset;
	e->carry = e->used & (e->align - 1);
	memcpy(e->tail, e->data + e->used - e->carry, e->carry);
	e->offset += e->used - e->carry;
	/* cannot be refused: the ring has room for every command that all buffers can cause */
	(void)tl_writer__push(e->writer, &command);
	e->data = NULL;
	e->since_ns = 0;
}

void tl_encoder__end_file(struct tl_encoder *e, const struct tl_file_key *next)
{
	struct tl_command command = { .kind = TL_COMMAND_CLOSE };

	tl_encoder__submit(e);
	command.end = tl_encoder__file_bytes(e);
	(void)tl_writer__push(e->writer, &command);
	/* a buffer with nothing but carry belongs to the file that has ended */
	e->carry = 0;
	e->offset = 0;
	e->used = 0;
	e->submitted = 0;
	e->has_interface = false;
	if (!next)
		return;
	command.kind = TL_COMMAND_OPEN;
	command.key = *next;
	(void)tl_writer__push(e->writer, &command);
}

uint32_t tl_encoder__in_flight(struct tl_encoder *e)
{
	collect_free(e);
	return e->writer->disk.buffer_count - e->free_count - (e->data ? 1 : 0);
}
