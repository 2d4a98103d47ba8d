/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/*
 * The recorder's threads against each other: one records and rotates at full speed with few
 * buffers, one reads the counters all the while, the writer and the compressor do their work.
 * Meant for ThreadSanitizer; the sums must be right without it too.
 *
 *   caller ─► recorder ─► writer ─► files ─► compressor        watcher ─► tl_recorder__summary
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tapline/atomic.h"
#include "tapline/recorder.h"

#define PACKETS 200000u
#define T0	1700000000000000000ull

struct watch {
	struct tl_recorder *recorder;
	uint32_t end;
	uint64_t looks;
	uint64_t went_back; /* times a counter was seen smaller than before */
};

static void *watcher(void *arg)
{
	struct watch *watch = arg;
	uint64_t written = 0, dropped = 0;

	while (!tl_load_relaxed(&watch->end)) {
		struct tl_recorder_summary s;

		tl_recorder__summary(watch->recorder, &s);
		watch->went_back += s.written < written || s.dropped_writer < dropped;
		written = s.written;
		dropped = s.dropped_writer;
		watch->looks++;
		usleep(200);
	}
	return NULL;
}

static uint64_t record_all(struct tl_recorder *recorder)
{
	static uint8_t data[1500];
	uint64_t numbered = 0;

	for (uint32_t i = 0; i < PACKETS; i += 50) {
		struct tl_packet batch[50];

		for (uint32_t k = 0; k < 50; k++)
			batch[k] = (struct tl_packet){ .data = data,
						       .ts_ns = T0 + (i + k) * 10000ull,
						       .caplen = 60 + (i + k) % 1400,
						       .wirelen = 1500 };
		tl_recorder__write(recorder, batch, 50);
		for (uint32_t k = 0; k < 50; k++)
			numbered += batch[k].frame != 0;
		if (i % 1000 == 0)
			tl_recorder__tick(recorder, T0 + i * 10000ull, NULL);
	}
	return numbered;
}

static int run(const char *folder, int io, int compress)
{
	struct tl_recorder_opts opts = { .naming = TL_NAME_DUMPCAP,
					 .rotate = { .bytes = 3000000, .files = 5 },
					 .buffer_bytes = 4 << 20,
					 .cpu = -1 };
	struct tl_interface interface = { .name = "s0", .snaplen = 65535, .linktype = 1 };
	struct tl_recorder_summary s;
	struct watch watch = { 0 };
	struct tl_error error;
	pthread_t thread;
	char path[256];
	uint64_t numbered;
	int bad;

	snprintf(path, sizeof(path), "%s/x.pcapng", folder);
	opts.path = path;
	opts.io = io;
	opts.compress = compress;
	if (tl_recorder__create(&opts, &interface, 1, &error, &watch.recorder)) {
		fprintf(stderr, "%s\n", error.what);
		return 1;
	}
	pthread_create(&thread, NULL, watcher, &watch);
	numbered = record_all(watch.recorder);
	bad = tl_recorder__close(watch.recorder, T0 + 10000000000ull, NULL) != 0;
	tl_store_relaxed(&watch.end, 1);
	pthread_join(thread, NULL);
	tl_recorder__summary(watch.recorder, &s);
	printf("%s: %llu written, %llu dropped, %u files, %llu deleted, %llu looks\n", s.io,
	       (unsigned long long)s.written, (unsigned long long)s.dropped_writer, s.file_count,
	       (unsigned long long)s.files_deleted, (unsigned long long)watch.looks);
	bad |= s.written + s.dropped_writer != PACKETS || s.written != numbered;
	bad |= watch.went_back != 0 || s.file_count > 5 || !watch.looks;
	for (uint32_t i = 0; i < s.file_count; i++)
		bad |= unlink(s.files[i]) != 0;
	tl_recorder__destroy(watch.recorder);
	return bad;
}

int main(void)
{
	char folder[] = "/var/tmp/tapline-stress-XXXXXX";
	int bad = 0;

	if (!mkdtemp(folder)) {
		perror(folder);
		return 1;
	}
	for (int io = TL_IO_URING; io <= TL_IO_PWRITE; io++) {
		bad |= run(folder, io, TL_COMPRESS_NONE);
		bad |= run(folder, io, TL_COMPRESS_LZ4);
	}
	/* also says that nothing is left behind */
	if (rmdir(folder)) {
		perror(folder);
		bad = 1;
	}
	return bad;
}
