/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See merge.h for the picture and the rules. */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Longer than two CPUs take between stamping a packet and queueing it on the same ring. */
#define HOLD_BACK_NS 20000u
#define EMPTY_POLLS  2u

int merge__init(struct merge *merge, struct tl_source *const *sources, uint32_t count, bool live)
{
	*merge = (struct merge){ .count = count, .hold_back_ns = live ? HOLD_BACK_NS : 0 };
	merge->inputs = calloc(count, sizeof(*merge->inputs));
	if (!merge->inputs)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct merge_input *in = &merge->inputs[i];

		in->source = sources[i];
		in->live = live;
		in->fifo = aligned_alloc(TL_CACHE_LINE, MERGE_FIFO * sizeof(*in->fifo));
		if (!in->fifo) {
			merge__fini(merge);
			return -ENOMEM;
		}
	}
	return 0;
}

void merge__fini(struct merge *merge)
{
	for (uint32_t i = 0; merge->inputs && i < merge->count; i++)
		free(merge->inputs[i].fifo);
	free(merge->inputs);
	merge->inputs = NULL;
}

static struct tl_packet *slot(const struct merge_input *in, uint32_t cursor)
{
	return &in->fifo[cursor & (MERGE_FIFO - 1)];
}

/* Moves the newest packet back to its place: the few before it that are younger make room. */
static void sink_into_order(struct merge_input *in)
{
	struct tl_packet newest = *slot(in, in->tail - 1);
	uint32_t at = in->tail - 1;

	while (at != in->head && slot(in, at - 1)->ts_ns > newest.ts_ns) {
		*slot(in, at) = *slot(in, at - 1);
		at--;
	}
	*slot(in, at) = newest;
}

static void accept(struct merge_input *in, uint32_t count)
{
	/* A file's order is the file's own; live, time order is ours to keep. */
	if (!in->live) {
		in->tail += count;
		return;
	}
	while (count--) {
		uint64_t ts = slot(in, in->tail++)->ts_ns;

		if (__builtin_expect(ts >= in->newest_ns, 1)) {
			in->newest_ns = ts;
			continue;
		}
		in->went_back++;
		sink_into_order(in);
	}
}

static int fill_input(struct merge_input *in)
{
	uint32_t room = MERGE_FIFO - (in->tail - in->head);
	uint32_t contiguous = MERGE_FIFO - (in->tail & (MERGE_FIFO - 1));
	int n;

	if (in->ended || !room)
		return 0;
	if (in->head == in->tail) { /* the same few lines again, while they are in the cache */
		in->head = in->tail = 0;
		contiguous = MERGE_FIFO;
	}
	if (room > contiguous)
		room = contiguous;
	if (room > TL_BATCH_MAX)
		room = TL_BATCH_MAX;
	n = tl_source__poll(in->source, slot(in, in->tail), room);
	in->down = n == -ENETDOWN;
	if (n == -ENODATA)
		in->ended = true;
	if (n < 0 && n != -ENETDOWN && n != -ENODATA)
		return n;
	in->empty_polls = n > 0 ? 0 : in->empty_polls + 1;
	if (n > 0)
		accept(in, (uint32_t)n);
	in->watermark_ns = in->ended ? UINT64_MAX : in->source->ops->watermark(in->source);
	return n > 0 ? n : 0;
}

int merge__fill(struct merge *merge)
{
	int total = 0;

	for (uint32_t i = 0; i < merge->count; i++) {
		int n = fill_input(&merge->inputs[i]);

		if (n < 0)
			return n;
		total += n;
	}
	return total;
}

/* Nothing older than this can still come from `in`. */
static uint64_t input_bound(const struct merge_input *in, uint64_t hold_back_ns)
{
	uint64_t held;

	if (!in->live || in->ended)
		return in->ended || in->head != in->tail ? UINT64_MAX : in->watermark_ns;
	held = in->newest_ns > hold_back_ns ? in->newest_ns - hold_back_ns : 0;
	return held > in->watermark_ns ? held : in->watermark_ns;
}

static uint64_t bound_of(const struct merge *merge)
{
	uint64_t bound = UINT64_MAX;

	for (uint32_t i = 0; i < merge->count && !merge->flushing; i++) {
		uint64_t b = input_bound(&merge->inputs[i], merge->hold_back_ns);

		if (b < bound)
			bound = b;
	}
	return bound;
}

uint64_t merge__watermark(const struct merge *merge)
{
	uint64_t bound = bound_of(merge);

	for (uint32_t i = 0; i < merge->count; i++) {
		const struct merge_input *in = &merge->inputs[i];

		if (in->head != in->tail && slot(in, in->head)->ts_ns < bound)
			bound = slot(in, in->head)->ts_ns;
	}
	return bound;
}

static struct merge_input *oldest_input(const struct merge *merge, uint64_t bound)
{
	struct merge_input *oldest = NULL;
	uint64_t oldest_ns = 0;

	for (uint32_t i = 0; i < merge->count; i++) {
		struct merge_input *in = &merge->inputs[i];
		uint64_t ts;

		if (in->head == in->tail)
			continue;
		ts = slot(in, in->head)->ts_ns;
		if (ts <= bound && (!oldest || ts < oldest_ns)) {
			oldest = in;
			oldest_ns = ts;
		}
	}
	return oldest;
}

static void note_order(struct merge *merge, uint64_t ts_ns)
{
	if (ts_ns < merge->last_ns)
		merge->went_back++;
	else
		merge->last_ns = ts_ns;
}

/* The only input: nothing is compared, and they stay where they are. */
static uint32_t take_alone(struct merge *merge, uint32_t max, struct tl_packet **ret_packets)
{
	struct merge_input *in = merge->inputs;
	uint64_t bound = in->empty_polls >= EMPTY_POLLS ? UINT64_MAX : bound_of(merge);
	struct tl_packet *packets = slot(in, in->head);
	uint32_t contiguous = MERGE_FIFO - (in->head & (MERGE_FIFO - 1)), n = 0;

	if (max > in->tail - in->head)
		max = in->tail - in->head;
	if (max > contiguous)
		max = contiguous;
	for (; n < max && packets[n].ts_ns <= bound; n++)
		note_order(merge, packets[n].ts_ns);
	in->head += n;
	in->taken += n;
	*ret_packets = packets;
	return n;
}

uint32_t merge__take(struct merge *merge, uint32_t max, struct tl_packet **packets,
		     uint8_t *ret_inputs)
{
	uint64_t bound;
	uint32_t n = 0;

	if (merge->count == 1) {
		n = take_alone(merge, max, packets);
		memset(ret_inputs, 0, n);
		return n;
	}
	bound = bound_of(merge);
	while (n < max) {
		struct merge_input *in = oldest_input(merge, bound);

		if (!in)
			break;
		(*packets)[n] = *slot(in, in->head++);
		ret_inputs[n] = (uint8_t)(in - merge->inputs);
		in->taken++;
		note_order(merge, (*packets)[n++].ts_ns);
	}
	return n;
}

uint64_t merge__releasable(const struct merge_input *in)
{
	/* Sorted within the fifo: what was taken need not be what was polled first. */
	if (in->went_back && in->live && in->head != in->tail)
		return in->taken > MERGE_FIFO ? in->taken - MERGE_FIFO : 0;
	return in->taken;
}

void merge__release(struct merge *merge)
{
	for (uint32_t i = 0; i < merge->count; i++) {
		struct merge_input *in = &merge->inputs[i];
		uint64_t done = merge__releasable(in);

		if (done > in->released) {
			tl_source__release(in->source, done - in->released);
			in->released = done;
		}
	}
}

bool merge__empty(const struct merge *merge)
{
	for (uint32_t i = 0; i < merge->count; i++)
		if (merge->inputs[i].head != merge->inputs[i].tail)
			return false;
	return true;
}

bool merge__ended(const struct merge *merge)
{
	for (uint32_t i = 0; i < merge->count; i++)
		if (!merge->inputs[i].ended)
			return false;
	return merge__empty(merge);
}

void merge__flush(struct merge *merge)
{
	merge->flushing = true;
}
