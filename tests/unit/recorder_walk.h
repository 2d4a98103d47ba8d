/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the recorder's tests share: packets that carry their number, a recorder with few options,
 * and a walk over a pcapng file that knows nothing of the code under test.
 */
#ifndef TESTS_UNIT_RECORDER_WALK_H
#define TESTS_UNIT_RECORDER_WALK_H

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tapline/recorder.h"

#define T0  1700000000000000000ull /* 2023-11-14T22:13:20Z */
#define MS  1000000ull
#define SEC 1000000000ull

struct walk {
	const char *wrong; /* NULL: whole blocks from the first byte to the last */
	uint64_t bytes;
	uint32_t sections, interfaces, packets, statistics, names;
	uint32_t snaplen[8];
	uint64_t first, last; /* numbers carried by the packets */
	uint32_t out_of_order;
	uint64_t dropcount;
	uint32_t outbound;
	uint32_t comments;
	uint32_t last_type;
	char note[128];	 /* last comment of a statistics block */
	uint64_t isb[9]; /* counters of the last block that has some, by option code */
};

static inline void walk_options(const uint8_t *at, const uint8_t *end, uint32_t type,
				struct walk *w)
{
	while (at + 4 <= end) {
		uint16_t code, bytes;
		uint64_t v = 0;

		memcpy(&code, at, 2);
		memcpy(&bytes, at + 2, 2);
		at += 4;
		if (!code)
			break;
		if (at + ((bytes + 3) & ~3u) > end) {
			w->wrong = "an option passes the end of its block";
			return;
		}
		memcpy(&v, at, bytes < 8 ? bytes : 8);
		if (type == 6 && code == 1)
			w->comments++;
		if (type == 6 && code == 2)
			w->outbound += v == 2;
		if (type == 6 && code == 4)
			w->dropcount += v;
		if (type == 5 && code >= 4 && code <= 8)
			w->isb[code] = v;
		if (type == 5 && code == 1)
			snprintf(w->note, sizeof(w->note), "%.*s", (int)bytes, (const char *)at);
		at += (bytes + 3) & ~3u;
	}
}

static inline void walk_block(const uint8_t *at, uint32_t type, uint32_t bytes, struct walk *w)
{
	uint32_t caplen, interface;
	uint64_t number = 0;

	w->last_type = type;
	memcpy(&interface, at + 8, 4);
	switch (type) {
	case 0x0A0D0D0Au:
		w->sections++;
		return;
	case 1:
		if (w->interfaces < 8)
			memcpy(&w->snaplen[w->interfaces], at + 12, 4);
		w->interfaces++;
		return;
	case 4:
		w->names++;
		return;
	case 5:
		w->statistics++;
		walk_options(at + 20, at + bytes - 4, type, w);
		break;
	case 6:
		memcpy(&caplen, at + 20, 4);
		if (caplen >= 8)
			memcpy(&number, at + 28, 8);
		w->packets++;
		if (w->packets == 1)
			w->first = number;
		else if (number <= w->last)
			w->out_of_order++;
		w->last = number;
		walk_options(at + 28 + ((caplen + 3) & ~3u), at + bytes - 4, type, w);
		break;
	default:
		w->wrong = "a block type that is not written here";
	}
	if (interface >= w->interfaces)
		w->wrong = "an interface that is not described";
}

static inline struct walk walk_bytes(const uint8_t *data, uint64_t size)
{
	struct walk w = { .bytes = size };
	uint64_t at = 0;

	while (at < size && !w.wrong) {
		uint32_t type, bytes, trailer;

		if (size - at < 12) {
			w.wrong = "cut off inside a block header";
			break;
		}
		memcpy(&type, data + at, 4);
		memcpy(&bytes, data + at + 4, 4);
		if (bytes < 12 || bytes & 3 || bytes > size - at) {
			w.wrong = "cut off inside a block";
			break;
		}
		memcpy(&trailer, data + at + bytes - 4, 4);
		if (trailer != bytes)
			w.wrong = "the two lengths of a block differ";
		else
			walk_block(data + at, type, bytes, &w);
		at += bytes;
	}
	return w;
}

static inline struct walk walk_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct walk w = { .wrong = "it cannot be opened" };
	struct stat st;
	uint8_t *data;

	if (!f)
		return w;
	fstat(fileno(f), &st);
	data = malloc((size_t)st.st_size + 1);
	w = walk_bytes(data, fread(data, 1, (size_t)st.st_size, f));
	free(data);
	fclose(f);
	return w;
}

/* Standard output's first number of a shell command; -1 when it fails. */
static inline long shell_number(const char *command)
{
	FILE *f = popen(command, "r");
	long n = -1;

	if (!f)
		return -1;
	if (fscanf(f, "%ld", &n) != 1)
		n = -1;
	return pclose(f) ? -1 : n;
}

static inline int shell(const char *format, const char *path)
{
	char command[1024];

	snprintf(command, sizeof(command), format, path);
	return system(command);
}

/* A folder of its own, on a disk where O_DIRECT works (not /tmp, which may be a tmpfs). */
static inline const char *test_folder(void)
{
	static char folder[64];

	snprintf(folder, sizeof(folder), "/var/tmp/tapline-recorder-XXXXXX");
	cr_assert(mkdtemp(folder));
	return folder;
}

static inline void remove_folder(const char *folder)
{
	shell("rm -rf '%s'", folder);
}

static inline struct tl_interface test_interface(const char *name)
{
	struct tl_interface f = { .snaplen = 262144,
				  .linktype = TL_LINKTYPE_ETHERNET,
				  .tsresol = 9 };

	snprintf(f.name, sizeof(f.name), "%s", name);
	return f;
}

/* A recorder of one interface that never drops, and must start. */
static inline struct tl_recorder *start(struct tl_recorder_opts opts)
{
	struct tl_interface f = test_interface("span0");
	struct tl_recorder *recorder = NULL;
	struct tl_error error;

	opts.cpu = -1;
	if (!opts.buffer_bytes)
		opts.buffer_bytes = 8 << 20;
	cr_assert_eq(tl_recorder__create(&opts, &f, 1, &error, &recorder), 0, "%s", error.what);
	return recorder;
}

/* One packet, its number in its first 8 bytes. True when it was taken. */
static inline bool record(struct tl_recorder *recorder, uint64_t number, uint32_t bytes,
			  uint64_t ts_ns)
{
	static _Thread_local uint8_t data[65536];
	struct tl_packet p = { .data = data, .ts_ns = ts_ns, .caplen = bytes, .wirelen = bytes };

	memcpy(data, &number, 8);
	return tl_recorder__write(recorder, &p, 1) == 1;
}

static inline struct tl_recorder_summary finish(struct tl_recorder *recorder, uint64_t now_ns)
{
	struct tl_recorder_summary summary;

	tl_recorder__close(recorder, now_ns, NULL);
	tl_recorder__summary(recorder, &summary);
	return summary;
}

static inline bool exists(const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return !access(path, F_OK);
}

static inline uint32_t count_files(const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	uint32_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

#endif
