/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source */
/* The file source on pcap files, pipes, compressed files, lists of files; its memory and counters.
 */
#include <criterion/criterion.h>
#include <lz4frame.h>
#include <pthread.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "file_builder.h"
#include "packet_builder.h"
#include "tapline/filter.h"

#define US	  0xa1b2c3d4
#define NS	  0xa1b23c4d
#define KUZNETZOV 0xa1b2cd34

static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

/* Three packets of 20, 0 and 36 bytes, the first cut from 1500. */
static struct fb three(uint32_t magic, bool big)
{
	static const struct fb_packet packets[] = {
		{ 1700000000, 123456, text, 20, 1500 },
		{ 1700000001, 0, text, 0, 0 },
		{ 1600000000, 999999, text, 36, 36 },
	};
	struct fb f = { .big = big };

	fb__pcap(&f, magic, 65535, 1);
	for (size_t i = 0; i < 3; i++) {
		fb__pcap_packet(&f, &packets[i]);
		if (magic == KUZNETZOV) {
			f.bytes -= packets[i].caplen;
			fb__put(&f, NULL, 8);
			fb__put(&f, text, packets[i].caplen);
		}
	}
	return f;
}

static void expect_three(const struct fb_read *r, uint64_t unit_ns)
{
	cr_assert_eq(r->result, -ENODATA);
	cr_assert_str_eq(r->error, "");
	cr_assert_eq(r->count, 3);
	cr_assert_eq(r->packets[0].ts_ns, 1700000000000000000 + 123456 * unit_ns);
	cr_assert_eq(r->packets[0].caplen, 20);
	cr_assert_eq(r->packets[0].wirelen, 1500);
	cr_assert_eq(r->packets[0].frame, 1);
	cr_assert_eq(r->packets[0].linktype, TL_LINKTYPE_ETHERNET);
	cr_assert_eq(r->packets[1].caplen, 0);
	cr_assert_eq(r->packets[2].ts_ns, 1600000000000000000 + 999999 * unit_ns);
	cr_assert_eq(memcmp(r->packets[2].data, text, 36), 0);
	cr_assert_eq(r->packets[2].frame, 3);
	cr_assert_eq(r->interface_count, 1);
	cr_assert_eq(r->interfaces[0].snaplen, 65535);
	cr_assert_eq(r->stats.received, 3);
	cr_assert_eq(r->stats.captured, 3);
	cr_assert_eq(r->stats.received_bytes, 1536);
	cr_assert_eq(r->stats.captured_bytes, 56);
}

Test(file_source, pcap_variants)
{
	static const uint32_t magics[] = { US, NS, KUZNETZOV };

	for (size_t i = 0; i < 6; i++) {
		struct fb f = three(magics[i % 3], i >= 3);
		struct fb_read r = fb__read(&f);

		expect_three(&r, magics[i % 3] == NS ? 1 : 1000);
		cr_assert_eq(r.interfaces[0].tsresol, magics[i % 3] == NS ? 9 : 6);
	}
}

/* Every prefix gives the packets that are whole in it, and says where it is cut. */
Test(file_source, pcap_cut_anywhere)
{
	static const size_t ends[] = { 24, 24 + 36, 24 + 36 + 16, 24 + 36 + 16 + 52 };
	struct fb f = three(US, false);

	cr_assert_eq(f.bytes, ends[3]);
	for (size_t bytes = 4; bytes < f.bytes; bytes++) {
		struct fb_read r = fb__read_bytes(f.data, bytes);
		uint32_t whole = 0;
		char where[32];

		while (whole < 3 && ends[whole + 1] <= bytes)
			whole++;
		cr_assert_eq(r.count, whole, "cut at %zu", bytes);
		cr_assert_eq(r.result, bytes < 24 ? -EBADMSG : -ENODATA, "cut at %zu", bytes);
		if (bytes == ends[0] || bytes == ends[1] || bytes == ends[2]) {
			cr_assert_str_eq(r.error, "");
			continue;
		}
		snprintf(where, sizeof(where), "at byte %zu", bytes < 24 ? 0 : ends[whole]);
		cr_assert(strstr(r.error, "cut off") && strstr(r.error, where), "%zu: %s", bytes,
			  r.error);
	}
}

Test(file_source, what_is_no_capture)
{
	struct fb_read r = fb__read_bytes("\x7f\x45LF rest", 9);

	cr_assert_eq(r.result, -EBADMSG);
	cr_assert_str_eq(r.error, "not a pcap or pcapng file (first bytes 7f454c46)");
	r = fb__read_bytes("", 0);
	cr_assert_eq(r.result, -EBADMSG);
	cr_assert(strstr(r.error, "empty"));
	r = fb__read_path("/nonexistent/x.pcap");
	cr_assert_eq(r.result, -ENOENT);
	cr_assert_str_eq(r.error, "No such file or directory");
	r = fb__read_path("/tmp");
	cr_assert_eq(r.result, -EISDIR);
}

Test(file_source, packet_too_large_to_be_one)
{
	struct fb f = three(US, true);
	struct fb_read r;

	fb__put32(&f, 1);
	fb__put32(&f, 1);
	fb__put32(&f, 0x7fffffff);
	fb__put32(&f, 0x7fffffff);
	r = fb__read(&f);
	cr_assert_eq(r.count, 3);
	cr_assert_eq(r.result, -ENODATA);
	cr_assert(strstr(r.error, "damaged at byte 128"), "%s", r.error);
}

Test(file_source, packet_of_256_kib)
{
	static uint8_t large[262144];
	struct fb f = { 0 };
	struct fb_read r;

	large[262143] = 7;
	fb__pcap(&f, US, 262144, 1);
	fb__pcap_packet(&f, &(struct fb_packet){ 1, 1, large, 262144, 262144 });
	r = fb__read(&f);
	cr_assert_eq(r.count, 1);
	cr_assert_eq(r.packets[0].data[262143], 7);
}

/* More captured than there was: the captured bytes are certain. */
Test(file_source, longer_captured_than_on_the_wire)
{
	struct fb f = { 0 };
	struct fb_read r;

	fb__pcap(&f, US, 0, 1);
	fb__pcap_packet(&f, &(struct fb_packet){ 1, 1, text, 36, 30 });
	r = fb__read(&f);
	if (r.packets[0].caplen == 30) /* version 2.4 keeps its lengths in order */
		cr_assert_fail("lengths were swapped");
	cr_assert_eq(r.packets[0].wirelen, 36);
	cr_assert_eq(r.interfaces[0].snaplen, TL_SNAPLEN_DEFAULT);
}

Test(file_source, snaplen_option)
{
	struct fb f = three(US, false);
	char *path = fb__save(f.data, f.bytes);
	const char *paths[] = { path };
	struct fb_read r = fb__read_opts(
		&(struct tl_source_file_opts){ .paths = paths, .path_count = 1, .snaplen = 10 });

	unlink(path);
	cr_assert_eq(r.packets[0].caplen, 10);
	cr_assert_eq(r.packets[0].wirelen, 1500);
	cr_assert_eq(r.packets[2].caplen, 10);
	cr_assert_eq(r.interfaces[0].snaplen, 10);
	cr_assert_eq(r.stats.captured_bytes, 20);
}

static size_t pack_gzip(const struct fb *f, uint8_t *out, size_t room)
{
	z_stream z = { .next_in = f->data,
		       .avail_in = (uInt)f->bytes,
		       .next_out = out,
		       .avail_out = (uInt)room };

	deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
	fb__check(deflate(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

static size_t pack_zstd(const struct fb *f, uint8_t *out, size_t room)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	size_t bytes;

	ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	bytes = ZSTD_compress2(context, out, room, f->data, f->bytes);
	ZSTD_freeCCtx(context);
	return bytes;
}

static size_t pack_lz4(const struct fb *f, uint8_t *out, size_t room)
{
	LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;

	preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
	return LZ4F_compressFrame(out, room, f->data, f->bytes, &preferences);
}

/* Each with a checksum, so that damage is found out. */
static size_t pack(int kind, const struct fb *f, uint8_t *out, size_t room)
{
	if (kind == 0)
		return pack_gzip(f, out, room);
	if (kind == 1)
		return pack_zstd(f, out, room);
	return pack_lz4(f, out, room);
}

/* Also in two frames, the file cut in the middle between them. */
Test(file_source, compressed)
{
	struct fb f = three(US, false);

	for (int kind = 0; kind < 3; kind++) {
		uint8_t packed[4096];
		struct fb first = f, second = f;
		size_t bytes = pack(kind, &f, packed, sizeof(packed));
		struct fb_read r = fb__read_bytes(packed, bytes);

		expect_three(&r, 1000);
		first.bytes = 50;
		second.data = f.data + 50;
		second.bytes = f.bytes - 50;
		bytes = pack(kind, &first, packed, sizeof(packed));
		bytes += pack(kind, &second, packed + bytes, sizeof(packed) - bytes);
		r = fb__read_bytes(packed, bytes);
		expect_three(&r, 1000);
	}
}

Test(file_source, compressed_and_cut_or_damaged)
{
	struct fb f = three(US, false);

	for (int kind = 0; kind < 3; kind++) {
		uint8_t packed[4096];
		size_t bytes = pack(kind, &f, packed, sizeof(packed));
		struct fb_read r = fb__read_bytes(packed, bytes - 2);

		cr_assert(r.result == -ENODATA || r.result == -EBADMSG);
		cr_assert(strstr(r.error, "compressed data"), "%d: %s", kind, r.error);
		packed[bytes / 2] ^= 0xff;
		packed[bytes / 2 + 1] ^= 0xff;
		r = fb__read_bytes(packed, bytes);
		cr_assert_neq(r.error[0], '\0', "%d", kind);
	}
}

/* --- several files --------------------------------------------------------------------------- */

Test(file_source, several_files)
{
	struct fb a = three(US, false), b = three(NS, true), cut = a, other = { 0 };
	const char *paths[4];
	struct fb_read r;

	fb__pcap(&other, US, 65535, TL_LINKTYPE_RAW);
	fb__pcap_packet(&other, &(struct fb_packet){ 5, 0, text, 3, 3 });
	cut.bytes -= 7;
	paths[0] = fb__save(a.data, a.bytes);
	paths[1] = fb__save(cut.data, cut.bytes);
	paths[2] = fb__save(other.data, other.bytes);
	paths[3] = fb__save(b.data, b.bytes);
	r = fb__read_opts(&(struct tl_source_file_opts){ .paths = paths, .path_count = 4 });
	for (size_t i = 0; i < 4; i++)
		unlink(paths[i]);
	cr_assert_eq(r.count, 3 + 2 + 1 + 3);
	for (uint32_t i = 0; i < r.count; i++) {
		/* 5 s, then by milliseconds; at one time in that order, within a file in its own */
		static const uint64_t frames[] = { 1, 1, 1, 1, 2, 3, 2, 3, 2 };

		cr_assert_eq(r.packets[i].frame & TL_FRAME_MASK, frames[i]);
		cr_assert_eq(r.packets[i].interface, i != 0);
	}
	cr_assert_eq(r.interface_count, 2);
	cr_assert_eq(r.result, -ENODATA);
	cr_assert(strstr(r.error, paths[1]) == r.error, "%s", r.error);
}

Test(file_source, a_later_file_that_is_missing_is_found_at_once)
{
	struct fb f = three(US, false);
	char *path = fb__save(f.data, f.bytes);
	const char *paths[] = { path, "/nonexistent/b.pcap" };
	struct fb_read r =
		fb__read_opts(&(struct tl_source_file_opts){ .paths = paths, .path_count = 2 });

	unlink(path);
	cr_assert_eq(r.result, -ENOENT);
	cr_assert_str_eq(r.error, "/nonexistent/b.pcap: No such file or directory");
}

/* --- streams --------------------------------------------------------------------------------- */

struct writer {
	const char *path;
	const struct fb *f;
	size_t step;
};

static void *write_slowly(void *arg)
{
	struct writer *w = arg;
	int fd = open(w->path, O_WRONLY);

	for (size_t at = 0; at < w->f->bytes; at += w->step) {
		size_t n = w->f->bytes - at < w->step ? w->f->bytes - at : w->step;

		fb__check(write(fd, w->f->data + at, n) == (ssize_t)n);
		usleep(500);
	}
	close(fd);
	return NULL;
}

Test(file_source, fifo_written_piece_by_piece)
{
	struct fb f = three(US, true);
	char path[] = "/tmp/tapline_fifo_XXXXXX";
	struct writer w = { path, &f, 5 };
	struct fb_read r;
	pthread_t thread;

	fb__check(mkdtemp(path));
	fb__check(!rmdir(path) && !mkfifo(path, 0600));
	fb__check(!pthread_create(&thread, NULL, write_slowly, &w));
	r = fb__read_path(path);
	pthread_join(thread, NULL);
	unlink(path);
	expect_three(&r, 1000);
}

/* A pipe that is open and silent: poll has nothing, and does not wait. */
Test(file_source, silent_pipe_does_not_block)
{
	struct fb f = three(US, false);
	const char *path = "-";
	struct tl_packet packets[8];
	struct tl_source *source;
	struct tl_error error;
	int ends[2];

	fb__check(!pipe(ends));
	dup2(ends[0], STDIN_FILENO);
	fb__check(write(ends[1], f.data, 24 + 36) == 24 + 36);
	cr_assert_eq(tl_source_file__create(&(struct tl_source_file_opts){ &path, 1, NULL, 0 },
					    &error, &source),
		     0);
	cr_assert_eq(tl_source__poll(source, packets, 8), 1);
	cr_assert_eq(source->ops->watermark(source), packets[0].ts_ns);
	cr_assert_eq(tl_source__poll(source, packets, 8), 0);
	fb__check(write(ends[1], f.data + 60, 16) == 16);
	cr_assert_eq(source->ops->wait(source, 1000), 0);
	cr_assert_eq(tl_source__poll(source, packets, 8), 1);
	close(ends[1]);
	cr_assert_eq(tl_source__poll(source, packets, 8), -ENODATA);
	cr_assert_null(tl_source_file__error(source));
	cr_assert_eq(source->ops->watermark(source), UINT64_MAX);
	tl_source__destroy(source);
}

/*
 * 100 MB, compressed to little, and nothing is released: the source stops at its bound; what was
 * handed out is still as it was; it goes on as soon as something is released.
 */
Test(file_source, memory_of_a_stream_is_bounded_and_borrowed)
{
	enum { COUNT = 2000, BYTES = 50000 };
	static struct tl_packet held[COUNT];
	static uint8_t payload[BYTES];
	struct tl_source *source;
	struct tl_error error;
	struct fb f = { 0 };
	uint8_t *packed;
	uint32_t count = 0;
	size_t bytes;
	char *path;
	int n;

	fb__pcap(&f, US, 65535, 1);
	for (uint32_t i = 0; i < COUNT; i++) {
		memcpy(payload, &i, sizeof(i));
		memcpy(payload + BYTES - sizeof(i), &i, sizeof(i));
		fb__pcap_packet(&f, &(struct fb_packet){ i, 0, payload, BYTES, BYTES });
	}
	packed = fb__alloc(ZSTD_compressBound(f.bytes));
	bytes = ZSTD_compress(packed, ZSTD_compressBound(f.bytes), f.data, f.bytes, 1);
	path = fb__save(packed, bytes);
	cr_assert_eq(
		tl_source_file__create(
			&(struct tl_source_file_opts){ (const char *const *)&path, 1, NULL, 0 },
			&error, &source),
		0);
	while ((n = tl_source__poll(source, held + count, 100)) > 0)
		count += (uint32_t)n;
	cr_assert_eq(n, 0);
	cr_assert_gt(count, 1000);
	cr_assert_lt(count, 1500);
	for (uint32_t i = 0; i < count; i++) {
		cr_assert_eq(memcmp(held[i].data, &i, sizeof(i)), 0);
		cr_assert_eq(memcmp(held[i].data + BYTES - sizeof(i), &i, sizeof(i)), 0);
	}
	tl_source__release(source, 100);
	n = tl_source__poll(source, held + count, 100);
	cr_assert_gt(n, 0);
	cr_assert_eq(memcmp(held[100].data, &(uint32_t){ 100 }, 4), 0);
	tl_source__release(source, count - 100);
	for (count += (uint32_t)n; (n = tl_source__poll(source, held + count, 100)) > 0;) {
		count += (uint32_t)n;
		tl_source__release(source, (uint64_t)n);
	}
	cr_assert_eq(n, -ENODATA);
	cr_assert_eq(count, COUNT);
	tl_source__destroy(source);
	unlink(path);
}

/* A file's packets outlive the file in the list, until they are released. */
Test(file_source, packets_are_borrowed_until_released)
{
	struct fb f = three(US, false);
	char *path = fb__save(f.data, f.bytes);
	const char *paths[] = { path, path };
	struct tl_packet packets[8];
	struct tl_source *source;
	struct tl_error error;

	cr_assert_eq(tl_source_file__create(&(struct tl_source_file_opts){ paths, 2, NULL, 0 },
					    &error, &source),
		     0);
	cr_assert_eq(tl_source__poll(source, packets, 8), 6);
	cr_assert_eq(tl_source__poll(source, packets + 6, 2), -ENODATA);
	for (int i = 3; i < 6; i += 2) /* the last of each */
		cr_assert_eq(memcmp(packets[i].data, text, 36), 0);
	tl_source__release(source, 6);
	cr_assert_eq(tl_source__poll(source, packets + 6, 2), -ENODATA);
	tl_source__destroy(source);
	unlink(path);
}

/* --- filter, stop ---------------------------------------------------------------------------- */

Test(file_source, filter_counts_and_keeps_frame_numbers)
{
	static const struct pb_ip ip = { .src = "10.0.0.1", .dst = "10.0.0.2" };
	struct tl_filter *filter;
	struct tl_error error;
	const char *paths[1];
	struct fb f = { 0 };
	struct fb_read r;

	fb__pcap(&f, US, 65535, 1);
	for (uint32_t i = 0; i < 6; i++) {
		uint8_t bytes[256];
		struct tl_packet p = pb__udp_packet(
			bytes, &ip, (struct pb_ports){ 1000, (uint16_t)(i % 3 ? 53 : 80) },
			(struct pb_payload){ NULL, 10 });

		fb__pcap_packet(&f, &(struct fb_packet){ i, 0, bytes, p.caplen, p.caplen });
	}
	cr_assert_eq(tl_filter__compile("udp port 80", 1, 65535, &error, &filter), 0);
	paths[0] = fb__save(f.data, f.bytes);
	r = fb__read_opts(
		&(struct tl_source_file_opts){ .paths = paths, .path_count = 1, .filter = filter });
	unlink(paths[0]);
	tl_filter__destroy(filter);
	cr_assert_eq(r.count, 2);
	cr_assert_eq(r.packets[0].frame, 1);
	cr_assert_eq(r.packets[1].frame, 4);
	cr_assert_eq(r.stats.received, 6);
	cr_assert_eq(r.stats.filtered, 4);
	cr_assert_eq(r.stats.captured, 2);
}

Test(file_source, stop_ends_it)
{
	struct fb f = three(US, false);
	char *path = fb__save(f.data, f.bytes);
	struct tl_packet packets[2];
	struct tl_source *source;
	struct tl_source_stats stats;
	struct tl_error error;

	cr_assert_eq(
		tl_source_file__create(
			&(struct tl_source_file_opts){ (const char *const *)&path, 1, NULL, 0 },
			&error, &source),
		0);
	unlink(path);
	cr_assert_eq(tl_source__poll(source, packets, 2), 2);
	cr_assert_eq(source->ops->stop(source), 0);
	cr_assert_eq(tl_source__poll(source, packets, 2), -ENODATA);
	source->ops->stats(source, &stats);
	cr_assert_eq(stats.received, 2);
	tl_source__destroy(source);
}
