/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes capture files for tests in memory, in either byte order, and reads them back through the
 * file source, all packets copied out. A mistake of the test aborts.
 */
#ifndef TAPLINE_TESTS_FILE_BUILDER_H
#define TAPLINE_TESTS_FILE_BUILDER_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tapline/source.h"

struct fb {
	uint8_t *data;
	size_t bytes;
	size_t room;
	bool big; /* big-endian */
	size_t block_at;
};

static inline void fb__check(bool fine)
{
	if (!fine)
		abort();
}

struct fb_kept {
	struct fb_kept *next;
	max_align_t data[];
};

static struct fb_kept *fb__kept;

/* Memory that stays until the test's process ends, and is no leak: the source's own stand out. */
static inline void *fb__alloc(size_t bytes)
{
	struct fb_kept *kept = malloc(sizeof(*kept) + bytes);

	fb__check(kept);
	kept->next = fb__kept;
	fb__kept = kept;
	return kept->data;
}

static inline void fb__put(struct fb *f, const void *data, size_t bytes)
{
	if (f->bytes + bytes > f->room) {
		size_t room =
			f->room * 2 > f->bytes + bytes ? f->room * 2 : f->bytes + bytes + 4096;
		uint8_t *larger = fb__alloc(room);

		if (f->bytes)
			memcpy(larger, f->data, f->bytes);
		f->data = larger;
		f->room = room;
	}
	if (data)
		memcpy(f->data + f->bytes, data, bytes);
	else
		memset(f->data + f->bytes, 0, bytes);
	f->bytes += bytes;
}

static inline void fb__put_n(struct fb *f, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		uint8_t byte = (uint8_t)(value >> 8 * (f->big ? bytes - 1 - i : i));

		fb__put(f, &byte, 1);
	}
}

static inline void fb__put16(struct fb *f, uint16_t v)
{
	fb__put_n(f, v, 2);
}

static inline void fb__put32(struct fb *f, uint32_t v)
{
	fb__put_n(f, v, 4);
}

/* --- pcap ---------------------------------------------------------------------------------- */

static inline void fb__pcap(struct fb *f, uint32_t magic, uint32_t snaplen, uint32_t linktype)
{
	fb__put32(f, magic);
	fb__put16(f, 2);
	fb__put16(f, 4);
	fb__put_n(f, 0, 8);
	fb__put32(f, snaplen);
	fb__put32(f, linktype);
}

struct fb_packet {
	uint32_t seconds, fraction;
	const void *data;
	uint32_t caplen, wirelen;
};

static inline void fb__pcap_packet(struct fb *f, const struct fb_packet *p)
{
	fb__put32(f, p->seconds);
	fb__put32(f, p->fraction);
	fb__put32(f, p->caplen);
	fb__put32(f, p->wirelen);
	fb__put(f, p->data, p->caplen);
}

/* --- pcapng -------------------------------------------------------------------------------- */

static inline void fb__block(struct fb *f, uint32_t type)
{
	f->block_at = f->bytes;
	fb__put32(f, type);
	fb__put32(f, 0);
}

static inline void fb__pad(struct fb *f)
{
	fb__put(f, NULL, (4 - f->bytes % 4) % 4);
}

/* Fills in both lengths. */
static inline void fb__end(struct fb *f)
{
	size_t bytes, end;

	fb__pad(f);
	bytes = f->bytes + 4 - f->block_at;
	fb__put32(f, (uint32_t)bytes);
	end = f->bytes;
	f->bytes = f->block_at + 4;
	fb__put32(f, (uint32_t)bytes);
	f->bytes = end;
}

static inline void fb__option(struct fb *f, uint16_t code, const void *value, size_t bytes)
{
	fb__put16(f, code);
	fb__put16(f, (uint16_t)bytes);
	fb__put(f, value, bytes);
	fb__pad(f);
}

/* A number in the file's byte order. */
static inline void fb__option_n(struct fb *f, uint16_t code, uint64_t value, unsigned bytes)
{
	fb__put16(f, code);
	fb__put16(f, (uint16_t)bytes);
	fb__put_n(f, value, bytes);
	fb__pad(f);
}

static inline void fb__section(struct fb *f)
{
	fb__block(f, 0x0a0d0d0a);
	fb__put32(f, 0x1a2b3c4d);
	fb__put16(f, 1);
	fb__put16(f, 0);
	fb__put_n(f, UINT64_MAX, 8);
	fb__end(f);
}

/* Left open for options: fb__end closes it. */
static inline void fb__interface(struct fb *f, uint16_t linktype, uint32_t snaplen)
{
	fb__block(f, 1);
	fb__put16(f, linktype);
	fb__put16(f, 0);
	fb__put32(f, snaplen);
}

/* Enhanced Packet Block, left open for options; its time is `seconds` and `fraction` as high, low.
 */
static inline void fb__enhanced(struct fb *f, uint32_t interface, const struct fb_packet *p)
{
	fb__block(f, 6);
	fb__put32(f, interface);
	fb__put32(f, p->seconds);
	fb__put32(f, p->fraction);
	fb__put32(f, p->caplen);
	fb__put32(f, p->wirelen);
	fb__put(f, p->data, p->caplen);
	fb__pad(f);
}

/* --- reading ------------------------------------------------------------------------------- */

struct fb_read {
	struct tl_packet packets[64]; /* data and comment are copies */
	uint32_t count;
	struct tl_interface interfaces[32];
	uint32_t interface_count;
	struct tl_source_stats stats;
	int result; /* of create, or the last poll */
	char error[256];
};

/* A file in the temporary folder; the caller removes it. */
static inline char *fb__save(const void *data, size_t bytes)
{
	static const char template[] = "/tmp/tapline_test_XXXXXX";
	char *path = memcpy(fb__alloc(sizeof(template)), template, sizeof(template));
	int fd = mkstemp(path);

	fb__check(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	close(fd);
	return path;
}

static inline void fb__copy(struct fb_read *r, const struct tl_packet *packet)
{
	struct tl_packet *copy = &r->packets[r->count++];
	uint8_t *data = fb__alloc(packet->caplen + 1);

	fb__check(r->count <= 64);
	memcpy(data, packet->data, packet->caplen);
	*copy = *packet;
	copy->data = data;
	if (packet->comment)
		copy->comment = strcpy(fb__alloc(strlen(packet->comment) + 1), packet->comment);
}

static inline struct fb_read fb__read_opts(const struct tl_source_file_opts *opts)
{
	struct fb_read r = { .result = 0 };
	struct tl_packet packets[7]; /* several polls, and packets held over one of them */
	struct tl_error error = { "" };
	const struct tl_interface *interfaces;
	struct tl_source *source;

	r.result = tl_source_file__create(opts, &error, &source);
	if (r.result) {
		memcpy(r.error, error.what, sizeof(r.error));
		return r;
	}
	while ((r.result = tl_source__poll(source, packets, 7)) >= 0) {
		for (int i = 0; i < r.result; i++)
			fb__copy(&r, &packets[i]);
		tl_source__release(source, (uint64_t)r.result);
		if (!r.result)
			source->ops->wait(source, 1000);
	}
	if (tl_source_file__error(source))
		snprintf(r.error, sizeof(r.error), "%s", tl_source_file__error(source));
	interfaces = tl_source_file__interfaces(source, &r.interface_count);
	memcpy(r.interfaces, interfaces, r.interface_count * sizeof(*interfaces));
	source->ops->stats(source, &r.stats);
	tl_source__destroy(source);
	return r;
}

static inline struct fb_read fb__read_path(const char *path)
{
	return fb__read_opts(&(struct tl_source_file_opts){ .paths = &path, .path_count = 1 });
}

static inline struct fb_read fb__read_bytes(const void *data, size_t bytes)
{
	char *path = fb__save(data, bytes);
	struct fb_read r = fb__read_path(path);

	unlink(path);
	return r;
}

static inline struct fb_read fb__read(const struct fb *f)
{
	return fb__read_bytes(f->data, f->bytes);
}

#endif
