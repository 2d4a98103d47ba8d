/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/* runs alone */
/*
 * The recorder when things go wrong or get tight: killed at any moment, a full disk, a slow or
 * vanished reader, no buffer free, a quiet link; and the exact ends of a run.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tapline/atomic.h"
#include "unit/recorder_walk.h"

static const char *folder;
static char path[256];

static void setup(void)
{
	folder = test_folder();
	snprintf(path, sizeof(path), "%s/a.pcapng", folder);
}

static void teardown(void)
{
	remove_folder(folder);
}

TestSuite(recorder, .init = setup, .fini = teardown);

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * SEC + (uint64_t)now.tv_nsec;
}

static void sleep_ms(uint32_t ms)
{
	usleep(ms * 1000);
}

/* How often another took this thread's processor away: the time that it took is not its own then.
 */
static uint64_t preemptions(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_nivcsw;
}

static uint64_t written(const struct tl_recorder *r)
{
	struct tl_recorder_summary s;

	tl_recorder__summary(r, &s);
	return s.written;
}

/* --- killed ------------------------------------------------------------------------------ */

struct progress {
	uint64_t reported; /* what the recorder said was written */
};

static void record_until_killed(struct tl_recorder_opts opts, struct progress *progress)
{
	struct tl_recorder *r = start(opts);

	for (uint64_t n = 1;; n++) {
		record(r, n, 60 + n * 37 % 1440, T0 + n * MS);
		if (n % 50 == 0) {
			tl_recorder__tick(r, T0 + n * MS, NULL);
			tl_store_relaxed(&progress->reported, written(r));
			usleep(100);
		}
	}
}

static void kill_at_random(int io, unsigned seed)
{
	struct progress *progress =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tl_recorder_opts opts = { .path = path, .io = io };
	struct walk w;
	pid_t child = fork();

	if (!child) {
		record_until_killed(opts, progress);
		_exit(1);
	}
	for (int i = 0; i < 10000 && !tl_load_relaxed(&progress->reported); i++)
		sleep_ms(1);
	usleep((useconds_t)(rand_r(&seed) % 40000));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	w = walk_file(path);
	cr_expect_null(w.wrong, "seed %u, %llu bytes: %s", seed, (unsigned long long)w.bytes,
		       w.wrong);
	cr_expect_geq(w.packets, progress->reported);
	cr_expect_eq(w.out_of_order, 0);
	cr_expect_eq(w.last, w.packets, "packets are missing in between");
	cr_expect_gt(w.packets, 0);
	munmap(progress, 4096);
	unlink(path);
}

Test(recorder, killed_at_50_moments_leaves_whole_blocks_and_all_that_was_reported)
{
	for (unsigned i = 0; i < 50; i++)
		kill_at_random(i & 1 ? TL_IO_PWRITE : TL_IO_URING, i + 1);
}

/* A reader of the live file, at any moment between two writes, finds whole blocks. */
Test(recorder, file_is_whole_after_each_flush_and_keeps_no_padding)
{
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder *r = start(opts);
	struct walk w;
	uint64_t size = 0;

	for (uint64_t n = 1; n <= 40; n++) {
		record(r, n, 60 + (uint32_t)n * 13, T0 + n * MS);
		sleep_ms(4);
		tl_recorder__tick(r, T0 + n * MS, NULL);
		for (int i = 0; i < 5000 && written(r) < n; i++)
			sleep_ms(1);
		w = walk_file(path);
		cr_assert_null(w.wrong, "%s", w.wrong);
		cr_assert_eq(w.packets, n);
		cr_assert_leq(w.statistics + w.names, 1, "padding adds up");
		size = w.bytes;
	}
	cr_expect_eq(size % 4096, 0);
	finish(r, T0 + SEC);
	w = walk_file(path);
	cr_expect_eq(w.statistics, 1);
	cr_expect_eq(w.names, 0);
	tl_recorder__destroy(r);
}

/* --- a quiet link ------------------------------------------------------------------------ */

/* From its recording until another program sees it in the file. */
static uint64_t time_to_disk(struct tl_recorder *r, uint32_t number)
{
	uint64_t began = now_ns();

	record(r, number, 60, T0 + number * SEC);
	while (walk_file(path).packets < number && now_ns() - began < SEC) {
		sleep_ms(5);
		tl_recorder__tick(r, T0 + number * SEC, NULL);
	}
	return now_ns() - began;
}

/* The best of ten: the host may be busy with something else, but not ten times. */
Test(recorder, a_lone_packet_is_on_disk_within_50_ms)
{
	for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
		struct tl_recorder *r = start((struct tl_recorder_opts){ .path = path, .io = io });
		uint64_t best = UINT64_MAX;

		for (uint32_t n = 1; n <= 10 && best >= 50 * MS; n++) {
			uint64_t took = time_to_disk(r, n);

			best = took < best ? took : best;
		}
		cr_expect_lt(best, 50 * MS, "%llu ms", (unsigned long long)(best / MS));
		tl_recorder__destroy(r);
	}
}

Test(recorder, packet_buffered_writes_each_batch_without_a_tick)
{
	struct tl_recorder_opts opts = { .path = path, .packet_buffered = true };
	struct tl_recorder *r = start(opts);

	for (uint64_t n = 1; n <= 20; n++) {
		record(r, n, 60, T0 + n);
		for (int i = 0; i < 5000 && walk_file(path).packets < n; i++)
			sleep_ms(1);
		cr_assert_eq(walk_file(path).packets, n);
	}
	tl_recorder__destroy(r);
}

/* --- ends of a run ----------------------------------------------------------------------- */

Test(recorder, stops_after_exactly_n_packets)
{
	struct tl_recorder_opts opts = { .path = path, .stop.packets = 300 };
	struct tl_recorder *r = start(opts);
	uint8_t data[64] = { 0 };
	struct tl_packet p[256];
	struct tl_recorder_summary s;

	for (int i = 0; i < 256; i++)
		p[i] = (struct tl_packet){ .data = data, .ts_ns = T0, .caplen = 64, .wirelen = 64 };
	cr_expect_eq(tl_recorder__write(r, p, 256), 256);
	cr_expect_not(tl_recorder__stopped(r));
	cr_expect_eq(tl_recorder__write(r, p, 256), 44);
	cr_expect_eq(p[43].frame, 300);
	cr_expect_eq(p[44].frame, 0);
	cr_expect(tl_recorder__stopped(r));
	cr_expect(tl_recorder__tick(r, T0, NULL));
	cr_expect_eq(tl_recorder__write(r, p, 1), 0);
	s = finish(r, T0);
	cr_expect_eq(s.written, 300);
	cr_expect_eq(walk_file(path).packets, 300);
	tl_recorder__destroy(r);
}

Test(recorder, stops_by_time_on_the_packets_clock)
{
	struct tl_recorder_opts opts = { .path = path, .stop.duration_ns = 2 * SEC };
	struct tl_recorder *r = start(opts);

	cr_expect(record(r, 1, 60, T0));
	cr_expect(record(r, 2, 60, T0 + 2 * SEC - 1));
	cr_expect_not(record(r, 3, 60, T0 + 2 * SEC));
	cr_expect(tl_recorder__stopped(r));
	tl_recorder__destroy(r);
	cr_expect_eq(walk_file(path).packets, 2);
	r = start(opts);
	cr_expect_not(tl_recorder__tick(r, T0, NULL));
	cr_expect_not(tl_recorder__tick(r, T0 + 2 * SEC - 1, NULL));
	cr_expect(tl_recorder__tick(r, T0 + 2 * SEC, NULL), "an idle link stops too");
	tl_recorder__destroy(r);
}

Test(recorder, stops_by_size_within_one_packet)
{
	struct tl_recorder_opts opts = { .path = path, .stop.bytes = 100000 };
	struct tl_recorder *r = start(opts);
	uint64_t n = 0;

	while (n < 1000 && record(r, n + 1, 1000, T0 + n))
		n++;
	finish(r, T0 + SEC);
	cr_expect_geq(walk_file(path).bytes, 100000);
	cr_expect_lt(walk_file(path).bytes, 100000 + 1100);
	tl_recorder__destroy(r);
}

/* --- what is wrong at the start ---------------------------------------------------------- */

Test(recorder, create_says_what_is_wrong)
{
	struct tl_recorder_opts opts = { .path = "/nonexistent/a.pcapng", .cpu = -1 };
	struct tl_recorder *r = NULL;
	struct tl_error error;

	cr_expect_eq(tl_recorder__create(&opts, NULL, 0, &error, &r), -ENOENT);
	cr_expect(strstr(error.what, "/nonexistent/a.pcapng"), "%s", error.what);
	opts.path = "/dev/full";
	cr_expect_eq(tl_recorder__create(&opts, NULL, 0, &error, &r), -ENOSPC);
	cr_expect(strstr(error.what, "No space left"), "%s", error.what);
	opts.path = path;
	opts.owner = "no-such-user-here";
	cr_expect_eq(tl_recorder__create(&opts, NULL, 0, &error, &r), -ENOENT);
	cr_expect_null(r);
	cr_expect_not(exists(folder, "a.pcapng"));
}

/* As where the kernel.io_uring_disabled sysctl is 2: the call itself says EPERM. */
static void forbid_io_uring(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { .len = 4, .filter = program };

	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

Test(recorder, without_io_uring_pwrite_takes_over_and_says_so)
{
	struct tl_recorder_opts opts = { .path = path, .io = TL_IO_URING, .cpu = -1 };
	struct tl_recorder *r = NULL;
	struct tl_recorder_summary s;
	struct tl_error error;

	forbid_io_uring();
	cr_expect_eq(tl_recorder__create(&opts, NULL, 0, &error, &r), -EPERM);
	cr_expect(strstr(error.what, "io_uring"), "%s", error.what);
	r = start((struct tl_recorder_opts){ .path = path });
	record(r, 1, 60, T0);
	s = finish(r, T0 + SEC);
	cr_expect(strstr(s.io, "pwrite (io_uring: Operation not permitted)"), "%s", s.io);
	cr_expect_eq(walk_file(path).packets, 1);
	tl_recorder__destroy(r);
}

/* As for a user without privileges. */
static void forbid_locked_memory(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	struct rlimit none = { 0, 0 };

	cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);
	cr_assert_eq(syscall(SYS_capget, &head, data), 0);
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	cr_assert_eq(syscall(SYS_capset, &head, data), 0);
}

Test(recorder, no_memory_to_lock_leaves_io_uring_without_registered_buffers)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;

	forbid_locked_memory();
	r = start((struct tl_recorder_opts){ .path = path });
	for (uint64_t n = 1; n <= 5000; n++)
		record(r, n, 1000, T0 + n);
	s = finish(r, T0 + SEC);
	cr_expect_eq(s.first_error, 0, "%s: %s", s.io, s.error);
	cr_expect_eq(s.written + s.dropped_writer, 5000);
	cr_expect_eq(walk_file(path).packets, s.written);
	cr_expect_null(walk_file(path).wrong);
	cr_expect(strstr(s.io, "not registered") || strstr(s.io, "pwrite"), "%s", s.io);
	tl_recorder__destroy(r);
}

/* --- a full disk ------------------------------------------------------------------------- */

/* A file system of its own, 16 MiB. "": this host does not let us mount one. */
static bool mount_small(const char *type, const char *at)
{
	char command[512];

	mkdir(at, 0700);
	if (!strcmp(type, "tmpfs"))
		return !mount("tmpfs", at, "tmpfs", 0, "size=16m");
	snprintf(command, sizeof(command),
		 "truncate -s 32M %s/image && mkfs.ext4 -q -O ^has_journal %s/image &&"
		 "mount -o loop %s/image %s 2>/dev/null",
		 folder, folder, folder, at);
	return !system(command);
}

static void fill(const char *file)
{
	char command[512];

	snprintf(command, sizeof(command), "dd if=/dev/zero of=%s bs=1M 2>/dev/null", file);
	(void)!system(command);
}

static void keep_recording(struct tl_recorder *r, uint64_t *number, uint64_t *ts, uint32_t ms)
{
	uint64_t end = now_ns() + ms * MS;

	while (now_ns() < end) {
		for (int i = 0; i < 40; i++)
			cr_assert(record(r, ++*number, 1400, *ts += 10000));
		tl_recorder__tick(r, *ts, NULL);
		usleep(1000);
	}
}

static void record_on_full_disk(const char *type, int io)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	char at[300], file[400], filler[400];
	uint64_t number = 0, ts = T0, before;
	struct walk w;

	snprintf(at, sizeof(at), "%s/m", folder);
	snprintf(file, sizeof(file), "%s/a.pcapng", at);
	snprintf(filler, sizeof(filler), "%s/filler", at);
	if (!mount_small(type, at))
		cr_skip_test("cannot mount here");
	r = start((struct tl_recorder_opts){ .path = file, .io = io, .buffer_bytes = 4 << 20 });
	keep_recording(r, &number, &ts, 20);
	fill(filler);
	keep_recording(r, &number, &ts, 700);
	tl_recorder__summary(r, &s);
	cr_expect_gt(s.dropped_writer, 0, "%s %s", type, s.io);
	cr_expect_eq(s.first_error, -ENOSPC);
	cr_expect_not(tl_recorder__stopped(r));
	w = walk_file(file);
	cr_expect_null(w.wrong, "%s %s: %s", type, s.io, w.wrong);
	cr_expect_geq(w.packets, s.written);
	before = s.written;
	unlink(filler);
	keep_recording(r, &number, &ts, 100);
	for (int i = 0; i < 9 && written(r) == before; i++)
		keep_recording(r, &number, &ts, 100);
	cr_expect_gt(written(r), before, "goes on within a second");
	s = finish(r, ts);
	cr_expect_eq(s.written + s.dropped_writer, number);
	w = walk_file(file);
	cr_expect_null(w.wrong, "%s %s: %s", type, s.io, w.wrong);
	cr_expect_eq(w.packets, s.written);
	cr_expect_eq(w.out_of_order, 0);
	cr_expect_eq(w.dropcount + w.packets, number, "losses are said at the gap");
	tl_recorder__destroy(r);
	umount(at);
	shell("rm -rf '%s'/*", folder);
}

Test(recorder, full_tmpfs_costs_packets_and_nothing_else)
{
	record_on_full_disk("tmpfs", TL_IO_URING);
	record_on_full_disk("tmpfs", TL_IO_PWRITE);
}

Test(recorder, full_ext4_costs_packets_and_nothing_else)
{
	record_on_full_disk("ext4", TL_IO_URING);
	record_on_full_disk("ext4", TL_IO_PWRITE);
}

Test(recorder, closing_on_a_full_disk_ends_soon_with_a_valid_file)
{
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	char at[300], file[400], filler[400];
	uint64_t number = 0, ts = T0, began;
	struct walk w;

	snprintf(at, sizeof(at), "%s/m", folder);
	snprintf(file, sizeof(file), "%s/a.pcapng", at);
	snprintf(filler, sizeof(filler), "%s/filler", at);
	if (!mount_small("tmpfs", at))
		cr_skip_test("cannot mount here");
	r = start((struct tl_recorder_opts){ .path = file });
	keep_recording(r, &number, &ts, 20);
	fill(filler);
	keep_recording(r, &number, &ts, 50);
	began = now_ns();
	cr_expect_eq(tl_recorder__close(r, ts, NULL), -ENOSPC);
	cr_expect_lt(now_ns() - began, SEC);
	tl_recorder__summary(r, &s);
	w = walk_file(file);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.packets, s.written);
	cr_expect_eq(s.written + s.dropped_writer, number);
	tl_recorder__destroy(r);
	umount(at);
}

/* --- pipes ------------------------------------------------------------------------------- */

struct reader {
	const char *path;
	uint32_t wait_ms;    /* before the first read */
	uint64_t stop_bytes; /* closes its end after that; 0: never */
	uint8_t *data;
	uint64_t bytes;
};

static void *read_fifo(void *arg)
{
	struct reader *reader = arg;
	int fd = open(reader->path, O_RDONLY);
	ssize_t n = 1;

	reader->data = malloc(64 << 20);
	sleep_ms(reader->wait_ms);
	while (n > 0 && (!reader->stop_bytes || reader->bytes < reader->stop_bytes)) {
		n = read(fd, reader->data + reader->bytes, 65536);
		reader->bytes += n > 0 ? (uint64_t)n : 0;
	}
	close(fd);
	return NULL;
}

Test(recorder, no_free_buffer_drops_counts_and_never_blocks)
{
	struct reader reader = { .path = path, .wait_ms = 600 };
	struct tl_recorder_opts opts = { .path = path, .buffer_bytes = 4 << 20 };
	struct tl_recorder_summary s;
	uint64_t longest = 0, numbered = 0, offered = 0;
	uint64_t end;
	struct tl_recorder *r;
	pthread_t thread;
	struct walk w;

	mkfifo(path, 0600);
	pthread_create(&thread, NULL, read_fifo, &reader);
	usleep(50000);
	opts.buffer_bytes = 4 << 20;
	/* the header fits in the pipe: create does not wait for the slow reader */
	r = start(opts);
	end = now_ns() + 300 * MS;
	while (now_ns() < end || offered < 9000) {
		uint8_t data[1500] = { 0 };
		struct tl_packet p = {
			.data = data, .ts_ns = T0 + offered, .caplen = 1500, .wirelen = 1500
		};
		uint64_t began = now_ns(), preempted = preemptions(), took;

		offered++;
		memcpy(data, &offered, 8);
		cr_assert_eq(tl_recorder__write(r, &p, 1), 1);
		took = now_ns() - began;
		if (took > longest && preemptions() == preempted)
			longest = took;
		numbered += p.frame != 0;
		if (offered > 9000)
			usleep(1000);
	}
	cr_expect_lt(longest, 200 * MS, "%llu ms", (unsigned long long)(longest / MS));
	tl_recorder__summary(r, &s);
	cr_expect_gt(s.dropped_writer, 0);
	/* the reader reads on, and so the recording goes on */
	sleep_ms(800);
	while (!numbered || offered % 100 != 0) {
		offered++;
		cr_assert(record(r, offered, 1500, T0 + offered));
		numbered++;
	}
	s = finish(r, T0 + SEC);
	pthread_join(thread, NULL);
	cr_expect_eq(s.written + s.dropped_writer, offered);
	cr_expect_eq(s.written, numbered);
	w = walk_bytes(reader.data, reader.bytes);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.packets, s.written);
	cr_expect_eq(w.out_of_order, 0);
	cr_expect_eq(w.isb[8], s.written);
	free(reader.data);
	tl_recorder__destroy(r);
}

Test(recorder, may_wait_loses_nothing_to_a_slow_reader)
{
	struct reader reader = { .path = path, .wait_ms = 200 };
	struct tl_recorder_opts opts = { .path = path, .buffer_bytes = 2 << 20, .may_wait = true };
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	pthread_t thread;
	struct walk w;

	mkfifo(path, 0600);
	pthread_create(&thread, NULL, read_fifo, &reader);
	r = start(opts);
	for (uint64_t n = 1; n <= 10000; n++)
		cr_assert(record(r, n, 1500, T0 + n));
	s = finish(r, T0 + SEC);
	pthread_join(thread, NULL);
	cr_expect_eq(s.written, 10000);
	cr_expect_eq(s.dropped_writer, 0);
	w = walk_bytes(reader.data, reader.bytes);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.packets, 10000);
	free(reader.data);
	tl_recorder__destroy(r);
}

Test(recorder, a_reader_that_goes_away_stops_the_run_with_an_error)
{
	struct reader reader = { .path = path, .stop_bytes = 100000 };
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder_summary s;
	struct tl_recorder *r;
	uint64_t offered = 0;
	pthread_t thread;

	mkfifo(path, 0600);
	pthread_create(&thread, NULL, read_fifo, &reader);
	r = start(opts);
	while (offered < 1000000 && record(r, offered + 1, 1500, T0 + offered))
		offered++;
	pthread_join(thread, NULL);
	cr_expect_lt(offered, 1000000);
	cr_expect(tl_recorder__stopped(r));
	cr_expect_eq(tl_recorder__close(r, T0, NULL), -EPIPE);
	tl_recorder__summary(r, &s);
	cr_expect(strstr(s.error, "Broken pipe"), "%s", s.error);
	cr_expect_eq(s.written + s.dropped_writer, offered);
	free(reader.data);
	tl_recorder__destroy(r);
}

Test(recorder, standard_output_is_a_stream_of_blocks)
{
	char command[512];
	int keep = dup(STDOUT_FILENO);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	struct tl_recorder *r;

	dup2(fd, STDOUT_FILENO);
	r = start((struct tl_recorder_opts){ .path = "-" });
	for (uint64_t n = 1; n <= 5000; n++)
		record(r, n, 300, T0 + n);
	finish(r, T0 + SEC);
	tl_recorder__destroy(r);
	dup2(keep, STDOUT_FILENO);
	cr_expect_null(walk_file(path).wrong);
	cr_expect_eq(walk_file(path).packets, 5000);
	snprintf(command, sizeof(command), "tshark -r - < %s 2>/dev/null | wc -l", path);
	cr_expect_eq(shell_number(command), 5000);
}

/* --- much -------------------------------------------------------------------------------- */

Test(recorder, a_million_packets_are_all_there_in_order)
{
	for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
		struct tl_recorder_opts opts = { .path = path, .io = io, .may_wait = true };
		struct tl_recorder *r = start(opts);
		struct tl_recorder_summary s;
		struct walk w;

		for (uint64_t n = 1; n <= 1000000; n++)
			cr_assert(record(r, n, 64, T0 + n * 1000));
		s = finish(r, T0 + SEC);
		w = walk_file(path);
		cr_expect_null(w.wrong, "%s: %s", s.io, w.wrong);
		cr_expect_eq(w.packets, 1000000);
		cr_expect_eq(w.last, 1000000);
		cr_expect_eq(w.out_of_order, 0);
		cr_expect_eq(s.written, 1000000);
		cr_expect_eq(s.written_bytes, w.bytes);
		tl_recorder__destroy(r);
	}
}

Test(recorder, the_longest_packets_and_comments_fit)
{
	struct tl_recorder_opts opts = { .path = path, .buffer_bytes = 1 << 20, .may_wait = true };
	struct tl_recorder *r = start(opts);
	uint8_t *data = calloc(1, 262144);
	char *comment = malloc(65536);
	struct tl_packet p = {
		.data = data, .ts_ns = T0, .caplen = 262144, .wirelen = 262144, .comment = comment
	};
	struct walk w;

	memset(comment, 'x', 65535);
	comment[65535] = 0;
	for (uint64_t n = 1; n <= 20; n++) {
		memcpy(data, &n, 8);
		cr_assert_eq(tl_recorder__write(r, &p, 1), 1);
		cr_assert_eq(p.frame, n);
	}
	finish(r, T0 + SEC);
	w = walk_file(path);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.packets, 20);
	cr_expect_eq(w.comments, 20);
	tl_recorder__destroy(r);
	free(data);
	free(comment);
}
