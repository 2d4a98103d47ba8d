// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The judges' own reader of pcap and pcapng: see capture_reader.h. One reader, one thread.
 *
 *   pcapng   type 4 | length 4 | body, padded to 4 | length 4      any number of times
 *   pcap     header 24 | (seconds 4 | fraction 4 | captured 4 | length 4 | data)…
 */
#include "capture_reader.h"
#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX (16u << 20)

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_SIMPLE = 3,
	BLOCK_STATS = 5,
	BLOCK_PACKET = 6
};

static int fail(struct reader *r, const char *why)
{
	r->error = why;
	return -1;
}

static uint32_t word(const struct reader *r, const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, 4);
	return r->swapped ? __builtin_bswap32(value) : value;
}

static uint16_t half(const struct reader *r, const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, 2);
	return r->swapped ? __builtin_bswap16(value) : value;
}

static uint64_t wide(const struct reader *r, const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, 8);
	return r->swapped ? __builtin_bswap64(value) : value;
}

struct option {
	uint16_t code, length;
	const uint8_t *value;
};

struct options {
	const uint8_t *at, *end;
};

/* Returns 1 and an option, 0 at the end of the list, -1 when it runs over the block. */
static int next_option(struct reader *r, struct options *list, struct option *ret)
{
	uint32_t padded;

	if (list->at == list->end)
		return 0;
	if (list->end - list->at < 4)
		return fail(r, "an option list ends within an option");
	ret->code = half(r, list->at);
	ret->length = half(r, list->at + 2);
	ret->value = list->at + 4;
	if (ret->code == 0)
		return ret->length ? fail(r, "an end of options with a length") : 0;
	padded = (ret->length + 3u) & ~3u;
	if ((size_t)(list->end - ret->value) < padded)
		return fail(r, "an option runs over its block");
	list->at = ret->value + padded;
	return 1;
}

static int read_section(struct reader *r, const uint8_t *body, uint32_t bytes)
{
	if (bytes < 16)
		return fail(r, "a section header that is too short");
	if (half(r, body + 4) != 1)
		return fail(r, "a section of another major version");
	r->interface_count = 0;
	return 0;
}

static int read_interface(struct reader *r, const uint8_t *body, uint32_t bytes)
{
	struct options list = { body + 8, body + bytes };
	struct reader_interface *interface;
	struct option option;
	int rc;

	if (bytes < 8)
		return fail(r, "an interface description that is too short");
	if (r->interface_count == READER_INTERFACES_MAX)
		return fail(r, "more interfaces than this reader holds");
	interface = &r->interfaces[r->interface_count++];
	*interface = (struct reader_interface){ .link_type = half(r, body),
						.snap_length = word(r, body + 4),
						.units = 1000000 };
	while ((rc = next_option(r, &list, &option)) > 0) {
		if (option.code != 9)
			continue;
		if (option.length != 1 || option.value[0] & 0x80 || option.value[0] > 9)
			return fail(r, "a time resolution this reader does not know");
		interface->units = 1;
		for (int i = 0; i < option.value[0]; i++)
			interface->units *= 10;
	}
	return rc;
}

static int read_stats(struct reader *r, const uint8_t *body, uint32_t bytes)
{
	struct options list = { body + 12, body + bytes };
	struct reader_interface *interface;
	struct option option;
	int rc;

	if (bytes < 12 || word(r, body) >= r->interface_count)
		return fail(r, "statistics of an interface that is not described");
	interface = &r->interfaces[word(r, body)];
	interface->closed = true;
	while ((rc = next_option(r, &list, &option)) > 0) {
		if ((option.code >= 2 && option.code <= 8) && option.length != 8)
			return fail(r, "a statistics option of the wrong length");
		if (option.code == 4) {
			interface->has_receive_count = true;
			interface->receive_count = wide(r, option.value);
		} else if (option.code == 5) {
			interface->has_drop_count = true;
			interface->drop_count = wide(r, option.value);
		}
	}
	return rc;
}

static int read_packet(struct reader *r, const uint8_t *body, uint32_t bytes,
		       struct reader_packet *ret)
{
	struct reader_interface *interface;
	struct options list;
	struct option option;
	uint32_t padded;
	uint64_t time;
	int rc;

	if (bytes < 20 || word(r, body) >= r->interface_count)
		return fail(r, "a packet of an interface that is not described");
	ret->interface = word(r, body);
	interface = &r->interfaces[ret->interface];
	time = (uint64_t)word(r, body + 4) << 32 | word(r, body + 8);
	ret->time_ns = time * (1000000000 / interface->units);
	ret->captured = word(r, body + 12);
	ret->length = word(r, body + 16);
	ret->data = body + 20;
	ret->drop_count = 0;
	if (ret->captured > bytes - 20)
		return fail(r, "a packet that runs over its block");
	if (ret->captured > ret->length)
		return fail(r, "a packet with more bytes captured than it had");
	if (interface->snap_length && ret->captured > interface->snap_length)
		return fail(r, "a packet over the snap length");
	interface->packets++;
	interface->closed = false;
	padded = (ret->captured + 3) & ~3u;
	list = (struct options){ body + 20 + padded, body + bytes };
	if (list.at > list.end)
		return fail(r, "a packet without its padding");
	while ((rc = next_option(r, &list, &option)) > 0)
		if (option.code == 4 && option.length == 8)
			ret->drop_count = wide(r, option.value);
	return rc < 0 ? -1 : 1;
}

/* The next block into r->block. Returns its body's bytes, 0 at the end of the file, or -1. */
static int64_t read_block(struct reader *r, uint32_t *ret_type)
{
	uint8_t *block = r->block;
	size_t got = fread(block, 1, 8, r->file);
	uint32_t length;

	if (got == 0 && feof(r->file))
		return 0;
	if (got < 8)
		return fail(r, "the file ends within a block");
	if (!memcmp(block, "\x0a\x0d\x0d\x0a", 4)) {
		uint32_t magic;

		if (fread(block + 8, 1, 4, r->file) < 4)
			return fail(r, "the file ends within a block");
		got = 12;
		memcpy(&magic, block + 8, 4);
		r->swapped = magic == 0x4d3c2b1a;
		if (!r->swapped && magic != 0x1a2b3c4d)
			return fail(r, "a section without its byte order");
	}
	length = word(r, block + 4);
	if (length < 12 || length % 4 || length > BLOCK_MAX || length < got)
		return fail(r, "a block of an impossible length");
	if (fread(block + got, 1, length - got, r->file) < length - got)
		return fail(r, "the file ends within a block");
	if (word(r, block + length - 4) != length)
		return fail(r, "a block whose two lengths differ");
	*ret_type = word(r, block);
	return length;
}

static int next_ng(struct reader *r, struct reader_packet *ret_packet)
{
	uint32_t type = 0;
	int64_t length;
	int rc = 0;

	while (!rc && (length = read_block(r, &type)) != 0) {
		const uint8_t *body = r->block + 8;
		uint32_t bytes = (uint32_t)length - 12;

		if (length < 0)
			return -1;
		if (type == BLOCK_SECTION)
			rc = read_section(r, body, bytes);
		else if (type == BLOCK_INTERFACE)
			rc = read_interface(r, body, bytes);
		else if (type == BLOCK_STATS)
			rc = read_stats(r, body, bytes);
		else if (type == BLOCK_PACKET)
			rc = read_packet(r, body, bytes, ret_packet);
		else if (type == BLOCK_SIMPLE)
			rc = fail(r, "a simple packet block: no time");
		r->offset += (uint64_t)length;
	}
	return rc;
}

static int next_classic(struct reader *r, struct reader_packet *ret)
{
	uint8_t head[16];
	size_t got = fread(head, 1, sizeof(head), r->file);

	if (got == 0)
		return 0;
	if (got < sizeof(head))
		return fail(r, "the file ends within a packet's header");
	ret->interface = 0;
	ret->time_ns = (uint64_t)word(r, head) * 1000000000 +
		       (uint64_t)word(r, head + 4) * (r->nanoseconds ? 1 : 1000);
	ret->captured = word(r, head + 8);
	ret->length = word(r, head + 12);
	ret->drop_count = 0;
	ret->data = r->block;
	if (ret->captured > BLOCK_MAX || ret->captured > ret->length)
		return fail(r, "a packet of an impossible length");
	if (fread(r->block, 1, ret->captured, r->file) < ret->captured)
		return fail(r, "the file ends within a packet");
	r->interfaces[0].packets++;
	r->offset += sizeof(head) + ret->captured;
	return 1;
}

static int open_classic(struct reader *r, uint32_t magic)
{
	uint8_t rest[20];

	r->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	r->nanoseconds = magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
	if (!r->swapped && magic != 0xa1b2c3d4 && magic != 0xa1b23c4d)
		return fail(r, "neither pcap nor pcapng");
	if (fread(rest, 1, sizeof(rest), r->file) < sizeof(rest))
		return fail(r, "the file ends within its header");
	r->interface_count = 1;
	r->interfaces[0] = (struct reader_interface){ .snap_length = word(r, rest + 12),
						      .link_type = word(r, rest + 16),
						      .closed = true };
	r->offset = 24;
	return 0;
}

int reader__open(struct reader *r, const char *path)
{
	uint32_t magic;
	int first;

	memset(r, 0, sizeof(*r));
	r->file = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	r->block = malloc(BLOCK_MAX);
	if (!r->file || !r->block)
		return fail(r, "cannot be opened");
	setvbuf(r->file, NULL, _IOFBF, 1 << 20);
	first = getc(r->file);
	if (first == EOF)
		return fail(r, "an empty file");
	ungetc(first, r->file);
	r->ng = first == 0x0a;
	if (r->ng)
		return 0;
	if (fread(&magic, 1, 4, r->file) < 4)
		return fail(r, "the file ends within its header");
	return open_classic(r, magic);
}

int reader__next(struct reader *r, struct reader_packet *ret_packet)
{
	return r->ng ? next_ng(r, ret_packet) : next_classic(r, ret_packet);
}

void reader__close(struct reader *r)
{
	if (r->file && r->file != stdin)
		fclose(r->file);
	free(r->block);
	memset(r, 0, sizeof(*r));
}
