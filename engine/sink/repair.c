/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the last whole block of a capture file and cuts the file there.
 *
 *   [SHB][IDB][EPB][EPB] … [EPB][ISB][EP│ or zeros or a torn page
 *                                    ▲ cut
 *
 * A block is whole when its two length fields agree, are a multiple of 4 and fit the file, and
 * what a packet block says of its packet fits the block. Reads through a sliding window; the file
 * is written to once, by ftruncate.
 */
#include "tapline/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tapline/cursor.h"

#define WINDOW_BYTES	 (1u << 20)
#define BLOCK_BYTES_MAX	 (64u << 20)
#define SHB_TYPE	 0x0a0d0d0au
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

enum block_type { BLOCK_IDB = 1, BLOCK_PACKET = 2, BLOCK_SIMPLE = 3, BLOCK_EPB = 6 };

struct walk {
	int fd;
	uint64_t size;
	uint8_t *window; /* owned, WINDOW_BYTES */
	uint64_t window_at;
	size_t window_bytes;
	bool swapped; /* the section's byte order is not big-endian as the cursor reads */
	uint32_t interfaces;
	uint64_t packets;
};

/* `bytes` of the file at `at`, borrowed until the next call; fails when the file ends before. */
static struct tl_cursor view(struct walk *w, uint64_t at, size_t bytes)
{
	struct tl_cursor none = { .failed = true };
	ssize_t n;

	if (at + bytes > w->size)
		return none;
	if (at < w->window_at || at + bytes > w->window_at + w->window_bytes) {
		n = pread(w->fd, w->window, WINDOW_BYTES, (off_t)at);
		if (n < (ssize_t)bytes)
			return none;
		w->window_at = at;
		w->window_bytes = (size_t)n;
	}
	return tl_cursor__init(w->window + (at - w->window_at), bytes);
}

static uint32_t u32(const struct walk *w, struct tl_cursor *c)
{
	uint32_t v = tl_cursor__be32(c);

	return w->swapped ? __builtin_bswap32(v) : v;
}

static const char *check_section(struct walk *w, uint64_t at)
{
	struct tl_cursor c = view(w, at + 8, 4);
	uint32_t magic = tl_cursor__be32(&c);

	if (magic != BYTE_ORDER_MAGIC && __builtin_bswap32(magic) != BYTE_ORDER_MAGIC)
		return "a section header without its byte-order magic";
	w->swapped = magic != BYTE_ORDER_MAGIC;
	w->interfaces = 0;
	return NULL;
}

static const char *check_packet(struct walk *w, uint64_t at, uint32_t length)
{
	struct tl_cursor c = view(w, at + 8, 20);
	uint32_t interface = u32(w, &c);
	uint32_t caplen;

	tl_cursor__skip(&c, 8);
	caplen = u32(w, &c);
	if (c.failed || length < 32 || caplen > length - 32)
		return "a packet longer than its block";
	if (interface >= w->interfaces)
		return "a packet of an interface that was never described";
	w->packets++;
	return NULL;
}

/* NULL and the block's length, or what is wrong with the block at `at`. */
static const char *check_block(struct walk *w, uint64_t at, uint32_t *ret_length)
{
	struct tl_cursor c = view(w, at, 8);
	uint32_t type = tl_cursor__be32(&c);
	const char *why = NULL;
	uint32_t length;

	if (c.failed)
		return "a cut-off block header";
	if (type == SHB_TYPE)
		why = check_section(w, at);
	else if (!at)
		why = "no section header";
	if (why)
		return why;
	if (w->swapped)
		type = __builtin_bswap32(type);
	length = u32(w, &c);
	if (length < 12 || length % 4 || length > BLOCK_BYTES_MAX)
		return type ? "a block with an impossible length" : "zeros";
	if (at + length > w->size)
		return "a cut-off block";
	c = view(w, at + length - 4, 4);
	if (u32(w, &c) != length)
		return "a block whose two lengths differ";
	*ret_length = length;
	if (type == BLOCK_IDB)
		w->interfaces++;
	if (type == BLOCK_EPB)
		return check_packet(w, at, length);
	w->packets += type == BLOCK_SIMPLE || type == BLOCK_PACKET;
	return NULL;
}

static uint64_t walk_blocks(struct walk *w, const char **ret_why)
{
	uint64_t at = 0;
	uint32_t length = 0;

	*ret_why = NULL;
	while (at < w->size && !*ret_why) {
		*ret_why = check_block(w, at, &length);
		if (!*ret_why)
			at += length;
	}
	return at;
}

/* Classic pcap: a file header of 24 bytes, then records with a 16-byte header each. */
static uint64_t walk_records(struct walk *w, const char **ret_why)
{
	uint64_t at = 24;

	*ret_why = NULL;
	while (at < w->size) {
		struct tl_cursor c = view(w, at, 16);
		uint32_t caplen;

		tl_cursor__skip(&c, 8);
		caplen = u32(w, &c);
		if (c.failed || caplen > BLOCK_BYTES_MAX || at + 16 + caplen > w->size) {
			*ret_why = "a cut-off record";
			break;
		}
		at += 16 + caplen;
		w->packets++;
	}
	return at;
}

/* 'n' pcapng, 'p' pcap, 0 neither. */
static char format_of(struct walk *w)
{
	struct tl_cursor c = view(w, 0, 4);
	uint32_t magic = tl_cursor__be32(&c);
	uint32_t other = __builtin_bswap32(magic);

	if (magic == SHB_TYPE)
		return 'n';
	w->swapped = other == 0xa1b2c3d4u || other == 0xa1b23c4du;
	return w->swapped || magic == 0xa1b2c3d4u || magic == 0xa1b23c4du ? 'p' : 0;
}

static int repair(struct walk *w, struct tl_repair_result *ret_result)
{
	const char *why = NULL;
	char format = format_of(w);
	uint64_t end;

	if (!format || (format == 'p' && w->size < 24))
		return -EBADMSG;
	end = format == 'n' ? walk_blocks(w, &why) : walk_records(w, &why);
	if (!end)
		return -EBADMSG;
	if (end < w->size && ftruncate(w->fd, (off_t)end))
		return -errno;
	*ret_result = (struct tl_repair_result){
		.packets = w->packets,
		.kept_bytes = end,
		.cut_bytes = w->size - end,
	};
	snprintf(ret_result->why, sizeof(ret_result->why), "%s", why ? why : "");
	return 0;
}

int tl_repair__file(const char *path, struct tl_error *ret_error,
		    struct tl_repair_result *ret_result)
{
	struct walk w = { .fd = open(path, O_RDWR | O_CLOEXEC) };
	struct stat st;
	int err = 0;

	if (w.fd < 0 || fstat(w.fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (!(w.window = malloc(WINDOW_BYTES)))
		err = -ENOMEM;
	if (!err) {
		w.size = (uint64_t)st.st_size;
		err = repair(&w, ret_result);
	}
	if (err)
		snprintf(ret_error->what, sizeof(ret_error->what), "%.180s: %s", path,
			 err == -EBADMSG  ? "not a pcap or pcapng file; it is left as it is"
			 : err == -EINVAL ? "not a regular file; name a capture file"
					  : strerror(-err));
	free(w.window);
	if (w.fd >= 0)
		close(w.fd);
	return err;
}
