/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source */
/*
 * The file source on several files whose packets belong between each other: a TAP's two directions,
 * rings given in any order, more files at a time than are read at a time.
 */
#include <criterion/criterion.h>
#include <zlib.h>

#include "file_builder.h"

#define FILES_MAX 48u

/* A capture of packets `step` seconds apart; each says in its bytes and its comment when it is. */
static struct fb capture(uint32_t first, uint32_t step, uint32_t count)
{
	struct fb f = { 0 };

	fb__section(&f);
	fb__interface(&f, 1, 65535);
	fb__option_n(&f, 9, 0, 1); /* if_tsresol: seconds */
	fb__end(&f);
	for (uint32_t i = 0; i < count; i++) {
		char text[16];

		/* eight bytes and an option behind: no zero follows, so that it is copied */
		snprintf(text, sizeof(text), "%08u", first + i * step);
		fb__enhanced(&f, 0, &(struct fb_packet){ 0, first + i * step, text, 8, 8 });
		fb__option(&f, 1, text, 8);
		fb__option_n(&f, 2, 1, 4);
		fb__end(&f);
	}
	return f;
}

static struct fb_read read_all(const struct fb *files, uint32_t count)
{
	const char *paths[FILES_MAX];
	struct fb_read r;

	for (uint32_t i = 0; i < count; i++)
		paths[i] = fb__save(files[i].data, files[i].bytes);
	r = fb__read_opts(&(struct tl_source_file_opts){ .paths = paths, .path_count = count });
	for (uint32_t i = 0; i < count; i++)
		unlink(paths[i]);
	cr_assert_eq(r.result, -ENODATA);
	cr_assert_str_eq(r.error, "");
	cr_assert_eq(r.stats.captured, r.count);
	return r;
}

/* Each second once, from `first` on, and every packet whole. */
static void expect_each_second(const struct fb_read *r, uint32_t first, uint32_t count)
{
	cr_assert_eq(r->count, count);
	for (uint32_t i = 0; i < count; i++) {
		char text[16];

		snprintf(text, sizeof(text), "%08u", first + i);
		cr_expect_eq(r->packets[i].ts_ns, (first + i) * 1000000000ull);
		cr_expect_eq(memcmp(r->packets[i].data, text, 8), 0);
		cr_expect_str_eq(r->packets[i].comment, text);
	}
}

Test(file_order, both_directions_of_a_tap)
{
	struct fb files[] = { capture(100, 2, 20), capture(101, 2, 20) };
	struct fb_read r = read_all(files, 2);

	expect_each_second(&r, 100, 40);
	cr_expect_eq(r.packets[38].frame, 20);
	cr_expect_eq(r.packets[39].frame, 1ull << TL_FRAME_BITS | 20);
}

Test(file_order, a_ring_in_any_order)
{
	struct fb files[] = { capture(130, 1, 10), capture(110, 1, 10), capture(100, 1, 10),
			      capture(120, 1, 10) };
	struct fb_read r = read_all(files, 4);

	expect_each_second(&r, 100, 40);
}

Test(file_order, a_file_within_another_and_an_empty_one)
{
	struct fb files[] = { capture(100, 30, 2), capture(0, 1, 0), capture(101, 1, 29) };
	struct fb_read r = read_all(files, 3);

	expect_each_second(&r, 100, 31);
}

/* One that goes on all the time, and behind it more files than there are lanes. */
Test(file_order, more_files_at_a_time_than_are_read)
{
	struct fb files[FILES_MAX];
	struct fb_read r;

	for (uint32_t i = 0; i < FILES_MAX; i++)
		files[i] = capture(100 + i, 1000 - i, i < 10 ? 2 : 1);
	r = read_all(files, FILES_MAX);
	cr_assert_eq(r.count, FILES_MAX + 10);
	for (uint32_t i = 0; i < FILES_MAX; i++)
		cr_expect_eq(r.packets[i].ts_ns, (100 + i) * 1000000000ull);
	for (uint32_t i = FILES_MAX; i < r.count; i++)
		cr_expect_eq(r.packets[i].ts_ns, 1100 * 1000000000ull);
}

/* They share the memory that streams are unpacked into. */
Test(file_order, compressed_files)
{
	struct fb files[] = { capture(101, 2, 20), capture(100, 2, 20) };
	struct fb packed[2] = { { 0 } };
	struct fb_read r;

	for (uint32_t i = 0; i < 2; i++) {
		uint8_t out[16384];
		z_stream z = { .next_in = files[i].data,
			       .avail_in = (uInt)files[i].bytes,
			       .next_out = out,
			       .avail_out = sizeof(out) };

		cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
		cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
		fb__put(&packed[i], out, z.total_out);
		deflateEnd(&z);
	}
	r = read_all(packed, 2);
	expect_each_second(&r, 100, 40);
}

/* What was polled stays until it is released, also where heads of other files wait. */
Test(file_order, what_waits_is_not_given_back)
{
	struct fb files[] = { capture(100, 10, 4), capture(101, 1, 30) };
	const char *paths[] = { fb__save(files[0].data, files[0].bytes),
				fb__save(files[1].data, files[1].bytes) };
	struct tl_packet packet;
	struct tl_source *source;
	struct tl_error error;
	uint32_t count = 0;

	cr_assert_eq(tl_source_file__create(&(struct tl_source_file_opts){ paths, 2, NULL, 0 },
					    &error, &source),
		     0);
	while (tl_source__poll(source, &packet, 1) == 1) {
		char text[16];

		snprintf(text, sizeof(text), "%08u", (uint32_t)(packet.ts_ns / 1000000000));
		cr_expect_str_eq(packet.comment, text);
		cr_expect_eq(memcmp(packet.data, text, 8), 0);
		tl_source__release(source, 1);
		count++;
	}
	cr_expect_eq(count, 34);
	tl_source__destroy(source);
	unlink(paths[0]);
	unlink(paths[1]);
}
