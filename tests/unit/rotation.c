/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/* Names, limits and ends of rotated files; what is deleted and compressed, and what is not. */
#include <errno.h>
#include <pwd.h>
#include <regex.h>
#include <sys/wait.h>

#include "unit/recorder_walk.h"

#define PACKET 1000u /* bytes; its block is 32 longer */

static const char *folder;
static char path[256];

static void setup(void)
{
	setenv("TZ", "UTC", 1);
	folder = test_folder();
	snprintf(path, sizeof(path), "%s/x.pcapng", folder);
}

static void teardown(void)
{
	remove_folder(folder);
}

TestSuite(rotation, .init = setup, .fini = teardown);

static struct walk walk_in_folder(const char *name)
{
	char file[512];

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	return walk_file(file);
}

static void write_old_file(const char *name, uint32_t bytes, time_t changed)
{
	char file[512];
	struct timespec times[2] = { { .tv_sec = changed }, { .tv_sec = changed } };
	int fd;

	snprintf(file, sizeof(file), "%s/%s", folder, name);
	fd = open(file, O_WRONLY | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, bytes), 0);
	futimens(fd, times);
	close(fd);
}

/* Records `n` packets, numbered from 1, one a millisecond from T0. */
static struct tl_recorder_summary record_n(struct tl_recorder *r, uint64_t n)
{
	for (uint64_t i = 1; i <= n; i++)
		record(r, i, PACKET, T0 + i * MS);
	return finish(r, T0 + (n + 1) * MS);
}

/* All files of the summary hold whole blocks, end with statistics, and follow one another. */
static uint64_t check_files(const struct tl_recorder_summary *s, uint64_t first)
{
	uint64_t packets = 0;

	for (uint32_t i = 0; i < s->file_count; i++) {
		struct walk w = walk_file(s->files[i]);

		cr_expect_null(w.wrong, "%s: %s", s->files[i], w.wrong);
		cr_expect_eq(w.last_type, 5, "%s does not end with statistics", s->files[i]);
		cr_expect_eq(w.sections, 1);
		if (w.packets)
			cr_expect_eq(w.first, first + packets, "%s", s->files[i]);
		packets += w.packets;
	}
	return packets;
}

/* --- tcpdump ----------------------------------------------------------------------------- */

Test(rotation, size_alone_appends_a_counter_from_the_second_file_on)
{
	for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
		struct tl_recorder *r = start((struct tl_recorder_opts){ .path = path,
									 .naming = TL_NAME_TCPDUMP,
									 .io = io,
									 .may_wait = true,
									 .rotate.bytes = 1000000 });
		struct tl_recorder_summary s = record_n(r, 3000);
		char expected[300];

		cr_expect_eq(s.file_count, 4, "%u", s.file_count);
		for (uint32_t i = 0; i < s.file_count; i++) {
			struct walk w = walk_file(s.files[i]);

			snprintf(expected, sizeof(expected), i ? "%s%u" : "%s", path, i);
			cr_expect_str_eq(s.files[i], expected);
			cr_expect_leq(w.bytes, 1000000 + PACKET + 32);
			if (i < 3)
				cr_expect_geq(w.bytes, 1000000);
		}
		cr_expect_eq(check_files(&s, 1), 3000);
		cr_expect_eq(s.written, 3000);
		cr_expect_eq(count_files(folder), 4);
		tl_recorder__destroy(r);
	}
}

Test(rotation, a_ring_by_size_has_padded_counters_and_begins_again)
{
	struct tl_recorder *r =
		start((struct tl_recorder_opts){ .path = path,
						 .naming = TL_NAME_TCPDUMP,
						 .may_wait = true,
						 .rotate = { .bytes = 100000, .files = 12 } });
	struct tl_recorder_summary s = record_n(r, 1400);
	struct walk w0, w11;

	cr_expect_eq(count_files(folder), 12);
	cr_expect_eq(s.file_count, 12);
	cr_expect(exists(folder, "x.pcapng00"));
	cr_expect(exists(folder, "x.pcapng11"));
	cr_expect_not(exists(folder, "x.pcapng"));
	w0 = walk_in_folder("x.pcapng00");
	w11 = walk_in_folder("x.pcapng11");
	cr_expect_gt(w0.first, w11.last, "the first name is used again");
	check_files(&s, walk_file(s.files[0]).first);
	tl_recorder__destroy(r);
}

Test(rotation, ten_files_take_one_digit)
{
	struct tl_recorder *r =
		start((struct tl_recorder_opts){ .path = path,
						 .naming = TL_NAME_TCPDUMP,
						 .rotate = { .bytes = 100000, .files = 10 } });

	record_n(r, 200);
	cr_expect(exists(folder, "x.pcapng0"));
	cr_expect(exists(folder, "x.pcapng1"));
	cr_expect_not(exists(folder, "x.pcapng00"));
	tl_recorder__destroy(r);
}

Test(rotation, time_makes_a_file_each_period_also_on_an_idle_link)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;

	snprintf(path, sizeof(path), "%s/t-%%s.pcapng", folder);
	r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_STRFTIME, .rotate.duration_ns = 60 * SEC });
	for (uint64_t s10 = 0; s10 < 30; s10++)
		tl_recorder__tick(r, T0 + s10 * 10 * SEC, NULL);
	s = finish(r, T0 + 299 * SEC);
	cr_expect_eq(s.file_count, 5);
	cr_expect(exists(folder, "t-1700000060.pcapng"));
	cr_expect(exists(folder, "t-1700000240.pcapng"));
	cr_expect_not(exists(folder, "t-1700000300.pcapng"));
	cr_expect_eq(check_files(&s, 1), 0);
	tl_recorder__destroy(r);
}

Test(rotation, a_packet_at_the_boundary_is_in_the_next_file)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;

	snprintf(path, sizeof(path), "%s/t-%%Y%%m%%d-%%H%%M%%S.pcapng", folder);
	r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_STRFTIME, .rotate.duration_ns = 10 * SEC });
	record(r, 1, 60, T0);
	record(r, 2, 60, T0 + 10 * SEC - 1);
	record(r, 3, 60, T0 + 10 * SEC);
	record(r, 4, 60, T0 + 45 * SEC);
	s = finish(r, T0 + 46 * SEC);
	cr_expect_eq(s.file_count, 3, "a gap of several periods makes one file");
	cr_expect_eq(walk_file(s.files[0]).packets, 2);
	cr_expect_eq(walk_in_folder("t-20231114-221330.pcapng").first, 3);
	cr_expect_eq(walk_in_folder("t-20231114-221405.pcapng").first, 4);
	tl_recorder__destroy(r);
}

Test(rotation, time_with_a_number_of_files_ends_the_run_and_is_no_ring)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	uint64_t second = 0;

	snprintf(path, sizeof(path), "%s/t-%%s.pcapng", folder);
	r = start((struct tl_recorder_opts){ .path = path,
					     .naming = TL_NAME_STRFTIME,
					     .rotate = { .duration_ns = 5 * SEC, .files = 3 },
					     .stop_after_files = true });
	while (second < 100 && record(r, second + 1, 60, T0 + second * SEC))
		second++;
	cr_expect_eq(second, 15);
	cr_expect(tl_recorder__stopped(r));
	s = finish(r, T0 + 15 * SEC);
	cr_expect_eq(s.file_count, 3);
	cr_expect_eq(check_files(&s, 1), 15);
	tl_recorder__destroy(r);
}

Test(rotation, time_without_a_conversion_overwrites_the_file)
{
	struct tl_recorder *r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_STRFTIME, .rotate.duration_ns = SEC });
	struct tl_recorder_summary s = record_n(r, 2500);

	cr_expect_eq(s.file_count, 1);
	cr_expect_eq(count_files(folder), 1);
	cr_expect_str_eq(s.files[0], path);
	cr_expect_eq(walk_file(path).first, 2001);
	cr_expect_eq(walk_file(path).last, 2500);
	tl_recorder__destroy(r);
}

Test(rotation, time_and_size_count_anew_in_each_period)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;

	snprintf(path, sizeof(path), "%s/t-%%s.pcapng", folder);
	r = start((struct tl_recorder_opts){ .path = path,
					     .naming = TL_NAME_STRFTIME,
					     .may_wait = true,
					     .rotate = { .duration_ns = SEC, .bytes = 300000 } });
	s = record_n(r, 2500);
	cr_expect(exists(folder, "t-1700000001.pcapng"));
	cr_expect(exists(folder, "t-1700000001.pcapng1") || exists(folder, "t-1700000000.pcapng1"));
	cr_expect(exists(folder, "t-1700000002.pcapng"));
	cr_expect_eq(check_files(&s, 1), 2500);
	for (uint32_t i = 0; i < s.file_count; i++)
		cr_expect_leq(walk_file(s.files[i]).bytes, 300000 + PACKET + 32);
	tl_recorder__destroy(r);
}

/* --- dumpcap ----------------------------------------------------------------------------- */

static bool is_dumpcap_name(const char *file, unsigned number)
{
	char pattern[512];
	regex_t regex;
	bool matches;

	snprintf(pattern, sizeof(pattern), "^%s/x_%05u_20[0-9]{12}\\.pcapng$", folder, number);
	regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB);
	matches = !regexec(&regex, file, 0, NULL, 0);
	regfree(&regex);
	return matches;
}

Test(rotation, a_number_of_packets_is_exact_and_frames_count_from_one)
{
	for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
		struct tl_recorder *r = start((struct tl_recorder_opts){ .path = path,
									 .naming = TL_NAME_DUMPCAP,
									 .rotate.packets = 100,
									 .io = io,
									 .may_wait = true });
		uint8_t data[64] = { 0 };
		struct tl_packet p[250];
		struct tl_recorder_summary s;

		for (uint64_t i = 0; i < 250; i++)
			p[i] = (struct tl_packet){
				.data = data, .ts_ns = T0 + i, .caplen = 60, .wirelen = 60
			};
		cr_expect_eq(tl_recorder__write(r, p, 250), 250);
		cr_expect_eq(p[99].frame, 100);
		cr_expect_eq(p[100].frame, 1);
		cr_expect_eq(p[249].frame, 50);
		s = finish(r, T0 + SEC);
		cr_expect_eq(s.file_count, 3);
		for (uint32_t i = 0; i < s.file_count; i++) {
			cr_expect(is_dumpcap_name(s.files[i], i + 1), "%s", s.files[i]);
			cr_expect_eq(walk_file(s.files[i]).packets, i < 2 ? 100 : 50);
		}
		tl_recorder__destroy(r);
	}
}

Test(rotation, a_ring_of_files_deletes_the_oldest)
{
	struct tl_recorder *r =
		start((struct tl_recorder_opts){ .path = path,
						 .naming = TL_NAME_DUMPCAP,
						 .may_wait = true,
						 .rotate = { .packets = 100, .files = 3 } });
	struct tl_recorder_summary s = record_n(r, 1000);

	cr_expect_eq(s.file_count, 3);
	cr_expect_eq(s.files_deleted, 7);
	cr_expect_eq(count_files(folder), 3);
	cr_expect(is_dumpcap_name(s.files[0], 8), "%s", s.files[0]);
	cr_expect(is_dumpcap_name(s.files[2], 10), "%s", s.files[2]);
	cr_expect_eq(check_files(&s, 701), 300);
	cr_expect_eq(s.written, 1000);
	tl_recorder__destroy(r);
}

Test(rotation, duration_and_number_of_files_end_the_run)
{
	struct tl_recorder *r = start((struct tl_recorder_opts){ .path = path,
								 .naming = TL_NAME_DUMPCAP,
								 .rotate.duration_ns = SEC,
								 .stop.files = 2 });
	struct tl_recorder_summary s;
	uint64_t ms = 0;

	while (ms < 5000 && !tl_recorder__tick(r, T0 + ms * MS, NULL))
		ms += 10;
	cr_expect_eq(ms, 2000);
	s = finish(r, T0 + ms * MS);
	cr_expect_eq(s.file_count, 2);
	cr_expect(is_dumpcap_name(s.files[1], 2), "%s", s.files[1]);
	tl_recorder__destroy(r);
}

Test(rotation, a_clock_set_back_does_not_hold_rotation_up)
{
	struct tl_recorder *r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_DUMPCAP, .rotate.duration_ns = 10 * SEC });
	struct tl_recorder_summary s;

	for (uint64_t i = 0; i < 5; i++)
		tl_recorder__tick(r, T0 + i * SEC, NULL);
	for (uint64_t i = 4; i < 25; i++)
		tl_recorder__tick(r, T0 - 3600 * SEC + i * SEC, NULL);
	s = finish(r, T0 - 3600 * SEC + 25 * SEC);
	cr_expect_eq(s.file_count, 3);
	tl_recorder__destroy(r);
}

Test(rotation, each_file_describes_interfaces_that_came_late)
{
	struct tl_recorder *r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_DUMPCAP, .rotate.packets = 2 });
	struct tl_interface late = test_interface("late");
	struct tl_recorder_summary s;

	record(r, 1, 60, T0);
	tl_recorder__add_interface(r, &late);
	record(r, 2, 60, T0 + 1);
	record(r, 3, 60, T0 + 2);
	s = finish(r, T0 + 3);
	cr_expect_eq(s.file_count, 2);
	cr_expect_eq(walk_file(s.files[0]).interfaces, 2);
	cr_expect_eq(walk_file(s.files[1]).interfaces, 2);
	cr_expect_eq(walk_file(s.files[1]).statistics, 2);
	tl_recorder__destroy(r);
}

/* --- retention --------------------------------------------------------------------------- */

static uint64_t bytes_in_folder(void)
{
	char command[512];

	snprintf(command, sizeof(command), "cat %s/x_* 2>/dev/null | wc -c", folder);
	return (uint64_t)shell_number(command);
}

Test(rotation, quota_takes_the_oldest_first_of_earlier_runs_too_and_nothing_else)
{
	struct tl_recorder *r;
	struct tl_recorder_summary s;

	write_old_file("x_00001_20200101000000.pcapng", 100000, 1577836800);
	write_old_file("x_00002_20200101000000.pcapng.zst", 100000, 1577836801);
	write_old_file("x_important.pcapng", 100000, 1577836799);
	write_old_file("other.pcapng", 100000, 1577836799);
	r = start((struct tl_recorder_opts){ .path = path,
					     .naming = TL_NAME_DUMPCAP,
					     .may_wait = true,
					     .rotate.bytes = 100000,
					     .quota_bytes = 500000 });
	for (uint64_t i = 1; i <= 2000; i++) {
		record(r, i, PACKET, T0 + i * MS);
		if (i % 100 == 0)
			cr_expect_leq(bytes_in_folder(), 100000 + 500000 + 2 * 102000);
	}
	s = finish(r, T0 + 2001 * MS);
	cr_expect_not(exists(folder, "x_00001_20200101000000.pcapng"));
	cr_expect_not(exists(folder, "x_00002_20200101000000.pcapng.zst"));
	cr_expect(exists(folder, "x_important.pcapng"));
	cr_expect(exists(folder, "other.pcapng"));
	cr_expect_gt(s.files_deleted, 10);
	cr_expect_leq(bytes_in_folder() - 100000, 500000 + 102000);
	cr_expect_gt(bytes_in_folder() - 100000, 400000);
	cr_expect_eq(s.file_count + 2, count_files(folder));
	check_files(&s, walk_file(s.files[0]).first);
	tl_recorder__destroy(r);
}

Test(rotation, old_age_takes_a_file)
{
	struct tl_recorder *r;

	write_old_file("x.pcapng1", 1000, time(NULL) - 100);
	write_old_file("x.pcapng2", 1000, time(NULL) - 10);
	write_old_file("x.pcapng.bak", 1000, time(NULL) - 1000);
	r = start((struct tl_recorder_opts){ .path = path,
					     .naming = TL_NAME_TCPDUMP,
					     .rotate.bytes = 1000000,
					     .max_age_ns = 60 * SEC });
	finish(r, T0);
	cr_expect_not(exists(folder, "x.pcapng1"));
	cr_expect(exists(folder, "x.pcapng2"));
	cr_expect(exists(folder, "x.pcapng.bak"));
	tl_recorder__destroy(r);
}

Test(rotation, free_space_that_is_not_there_leaves_only_the_open_file)
{
	struct tl_recorder *r;
	struct tl_recorder_summary s;

	r = start((struct tl_recorder_opts){ .path = path,
					     .naming = TL_NAME_TCPDUMP,
					     .rotate.bytes = 100000,
					     .may_wait = true,
					     .min_free_bytes = UINT64_MAX / 2 });
	s = record_n(r, 1000);
	cr_expect_leq(count_files(folder), 2);
	cr_expect_eq(s.file_count, count_files(folder));
	cr_expect_geq(s.files_deleted, 7);
	tl_recorder__destroy(r);
}

/* --- compression and owner --------------------------------------------------------------- */

static void compress_with(int kind, const char *suffix, const char *unpack)
{
	struct tl_recorder_opts opts = { .path = path,
					 .naming = TL_NAME_DUMPCAP,
					 .may_wait = true,
					 .rotate = { .packets = 1000, .files = 3 } };
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	char command[600];
	uint32_t packets = 0;

	opts.compress = kind;
	r = start(opts);
	s = record_n(r, 4500);
	cr_expect_eq(s.file_count, 3);
	cr_expect_eq(count_files(folder), 3);
	for (uint32_t i = 0; i < s.file_count; i++) {
		cr_expect(strstr(s.files[i], suffix), "%s", s.files[i]);
		snprintf(command, sizeof(command), "%s < %s > %s/plain && rm %s", unpack,
			 s.files[i], folder, s.files[i]);
		cr_expect_eq(system(command), 0);
		cr_expect_null(walk_in_folder("plain").wrong);
		packets += walk_in_folder("plain").packets;
	}
	cr_expect_eq(packets, 2500);
	shell("rm -f '%s'/plain", folder);
	cr_expect_eq(shell("test -z \"$(ls -A '%s')\"", folder), 0, "parts are left");
	tl_recorder__destroy(r);
}

Test(rotation, closed_files_are_compressed_and_the_originals_go)
{
	compress_with(TL_COMPRESS_ZSTD, ".pcapng.zst", "zstd -dc");
	compress_with(TL_COMPRESS_LZ4, ".pcapng.lz4", "lz4 -dc");
}

Test(rotation, a_ring_that_uses_names_again_keeps_compressed_files_apart)
{
	struct tl_recorder *r =
		start((struct tl_recorder_opts){ .path = path,
						 .naming = TL_NAME_TCPDUMP,
						 .may_wait = true,
						 .rotate = { .bytes = 200000, .files = 2 },
						 .compress = TL_COMPRESS_ZSTD });
	struct tl_recorder_summary s = record_n(r, 5000);

	cr_expect_eq(count_files(folder), 2);
	cr_expect_eq(s.file_count, 2);
	cr_expect_eq(shell("zstd -tq '%s'/*.zst", folder), 0);
	tl_recorder__destroy(r);
}

Test(rotation, files_are_given_to_their_owner)
{
	struct passwd *nobody = getpwnam("nobody");
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	struct stat st;

	if (geteuid() || !nobody)
		cr_skip_test("needs root");
	r = start((struct tl_recorder_opts){
		.path = path, .naming = TL_NAME_DUMPCAP, .rotate.packets = 10, .owner = "nobody" });
	s = record_n(r, 25);
	cr_expect_eq(s.file_count, 3);
	for (uint32_t i = 0; i < s.file_count; i++) {
		cr_assert_eq(stat(s.files[i], &st), 0);
		cr_expect_eq(st.st_uid, nobody->pw_uid);
		cr_expect_eq(st.st_gid, nobody->pw_gid);
	}
	tl_recorder__destroy(r);
}
