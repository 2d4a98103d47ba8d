/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/*
 * The recorder against a plain fwrite loop: packets a second, and processor time for a million
 * packets (both threads together), for 64- and 1500-byte packets to a real file.
 *
 *   bench_recorder [FOLDER [MIB]]      default: the current folder, 512 MiB a run
 *
 * fwrite is what tcpdump does: through the page cache, so part of its cost comes later, as
 * write-back by the kernel; `sync s` is the time that a sync of the file takes afterwards.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tapline/recorder.h"

#define BATCH 64u

static uint8_t data[65536];

struct result {
	double wall_s;
	double cpu_s;
	double sync_s;
	uint64_t packets;
	uint64_t lost;
	char how[160];
};

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void sync_file(const char *path, struct result *result)
{
	double began = seconds(CLOCK_MONOTONIC);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	result->sync_s = seconds(CLOCK_MONOTONIC) - began;
}

/* As tcpdump: header and bytes through stdio. */
static void run_fwrite(const char *path, uint32_t bytes, uint64_t packets, struct result *result)
{
	FILE *f = fopen(path, "we");
	uint32_t head[4] = { 1700000000, 0, bytes, bytes };
	double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

	if (!f) {
		perror(path);
		exit(1);
	}
	for (uint64_t i = 0; i < packets; i++) {
		head[1] = (uint32_t)i;
		fwrite(head, 1, sizeof(head), f);
		fwrite(data, 1, bytes, f);
	}
	fclose(f);
	result->wall_s = seconds(CLOCK_MONOTONIC) - wall;
	result->cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	result->packets = packets;
	snprintf(result->how, sizeof(result->how), "fwrite loop");
	sync_file(path, result);
}

static void fill_batch(struct tl_packet *batch, uint32_t bytes, uint64_t first)
{
	for (uint32_t i = 0; i < BATCH; i++)
		batch[i] = (struct tl_packet){ .data = data,
					       .ts_ns = 1700000000000000000ull + (first + i) * 1000,
					       .caplen = bytes,
					       .wirelen = bytes };
}

static void run_recorder(struct tl_recorder_opts *opts, uint32_t bytes, uint64_t packets,
			 struct result *result)
{
	struct tl_interface interface = { .name = "bench", .snaplen = 262144, .linktype = 1 };
	struct tl_packet batch[BATCH];
	struct tl_recorder_summary summary;
	struct tl_recorder *recorder;
	struct tl_error error;
	double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

	if (tl_recorder__create(opts, &interface, 1, &error, &recorder)) {
		fprintf(stderr, "%s\n", error.what);
		exit(1);
	}
	for (uint64_t i = 0; i < packets; i += BATCH) {
		fill_batch(batch, bytes, i);
		tl_recorder__write(recorder, batch, BATCH);
	}
	tl_recorder__close(recorder, 0, NULL);
	result->wall_s = seconds(CLOCK_MONOTONIC) - wall;
	result->cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	tl_recorder__summary(recorder, &summary);
	result->packets = summary.written;
	result->lost = summary.dropped_writer;
	snprintf(result->how, sizeof(result->how), "%s", summary.io);
	tl_recorder__destroy(recorder);
	sync_file(opts->path, result);
}

static void print(uint32_t bytes, const struct result *r)
{
	printf("%5u B  %8.2f Mpps  %7.0f MB/s  %6.3f CPU s/Mpkt  sync %5.2f s  lost %llu  %s\n",
	       bytes, (double)r->packets / r->wall_s / 1e6,
	       (double)r->packets * bytes / r->wall_s / 1e6, r->cpu_s / (double)r->packets * 1e6,
	       r->sync_s, (unsigned long long)r->lost, r->how);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	uint64_t mib = argc > 2 ? strtoull(argv[2], NULL, 10) : 512;
	static const uint32_t sizes[] = { 64, 1500 };
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tapline-bench.pcapng", argc > 1 ? argv[1] : ".");
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t packets = (mib << 20) / (sizes[i] + 32) / BATCH * BATCH;
		struct result result = { 0 };

		run_fwrite(path, sizes[i], packets, &result);
		print(sizes[i], &result);
		for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
			for (int buffered = 0; buffered < 2; buffered++) {
				struct tl_recorder_opts opts = { .path = path,
								 .may_wait = true,
								 .no_direct = buffered,
								 .cpu = -1 };

				opts.io = io;
				unlink(path);
				memset(&result, 0, sizeof(result));
				run_recorder(&opts, sizes[i], packets, &result);
				print(sizes[i], &result);
			}
		}
		unlink(path);
	}
	return 0;
}
