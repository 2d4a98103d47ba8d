/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/*
 * Repair, on a file cut at every byte: what is kept is always the whole blocks before the cut.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tapline/repair.h"

#define PACKETS 5

struct image {
	uint8_t bytes[1024];
	size_t size;
	size_t ends[16]; /* where each block ends */
	size_t blocks;
};

static void put32(struct image *im, uint32_t v)
{
	memcpy(im->bytes + im->size, &v, 4);
	im->size += 4;
}

static void begin(struct image *im, uint32_t type, uint32_t length)
{
	put32(im, type);
	put32(im, length);
}

static void end(struct image *im, uint32_t length)
{
	put32(im, length);
	im->ends[im->blocks++] = im->size;
}

/* SHB, IDB, then PACKETS packets of 5 bytes (padded to 8). */
static struct image make_pcapng(void)
{
	struct image im = { .size = 0 };

	begin(&im, 0x0a0d0d0a, 28);
	put32(&im, 0x1a2b3c4d);
	put32(&im, 1);
	put32(&im, UINT32_MAX);
	put32(&im, UINT32_MAX);
	end(&im, 28);
	begin(&im, 1, 20);
	put32(&im, 1);
	put32(&im, 65535);
	end(&im, 20);
	for (uint32_t i = 0; i < PACKETS; i++) {
		begin(&im, 6, 40);
		put32(&im, 0);
		put32(&im, 0);
		put32(&im, i);
		put32(&im, 5);
		put32(&im, 5);
		put32(&im, 0x01020304);
		put32(&im, 0x05);
		end(&im, 40);
	}
	return im;
}

static const char *write_file(const void *bytes, size_t size)
{
	static char path[64];
	int fd;

	snprintf(path, sizeof(path), "/tmp/tapline-repair-XXXXXX");
	fd = mkstemp(path);
	cr_assert_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
	return path;
}

Test(repair, a_cut_at_every_byte_keeps_the_whole_blocks)
{
	struct image im = make_pcapng();

	for (size_t cut = 28; cut <= im.size; cut++) {
		const char *path = write_file(im.bytes, cut);
		struct tl_repair_result result;
		struct tl_error error;
		size_t kept = 0, blocks = 0;

		while (blocks < im.blocks && im.ends[blocks] <= cut)
			kept = im.ends[blocks++];
		cr_assert_eq(tl_repair__file(path, &error, &result), 0, "%s", error.what);
		cr_expect_eq(result.kept_bytes, kept);
		cr_expect_eq(result.cut_bytes, cut - kept);
		cr_expect_eq(result.packets, blocks > 2 ? blocks - 2 : 0);
		unlink(path);
	}
}

Test(repair, a_tail_of_zeros_goes)
{
	struct image im = make_pcapng();
	struct tl_repair_result result;
	struct tl_error error;
	const char *path = write_file(im.bytes, sizeof(im.bytes));

	cr_assert_eq(tl_repair__file(path, &error, &result), 0);
	cr_expect_eq(result.kept_bytes, im.size);
	cr_expect_eq(result.packets, (uint64_t)PACKETS);
	cr_expect_str_eq(result.why, "zeros");
	unlink(path);
}

Test(repair, a_torn_block_in_the_middle_ends_it_there)
{
	struct image im = make_pcapng();
	struct tl_repair_result result;
	struct tl_error error;
	const char *path;

	im.bytes[im.ends[3] + 20] = 0xff; /* caplen of the third packet */
	path = write_file(im.bytes, im.size);
	cr_assert_eq(tl_repair__file(path, &error, &result), 0);
	cr_expect_eq(result.kept_bytes, im.ends[3]);
	cr_expect_eq(result.packets, 2u);
	unlink(path);
}

Test(repair, what_is_no_capture_is_left_alone)
{
	struct tl_repair_result result;
	struct tl_error error;
	const char *path = write_file("#!/bin/sh\necho hello\n", 21);
	FILE *f;

	cr_expect_eq(tl_repair__file(path, &error, &result), -EBADMSG);
	f = fopen(path, "r");
	fseek(f, 0, SEEK_END);
	cr_expect_eq(ftell(f), 21);
	fclose(f);
	unlink(path);
	cr_expect_eq(tl_repair__file("/nonexistent/x.pcapng", &error, &result), -ENOENT);
}
