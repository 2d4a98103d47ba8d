/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source */
/*
 * Any bytes as a file, mapped and as a pipe: both give the same packets, every byte of which can be
 * read, and reading ends. Packets are released late, so that memory is shown to stay bounded.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tapline/source.h"

#define HELD 700

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(int fact)
{
	if (!fact)
		abort();
}

struct seen {
	uint64_t packets;
	uint64_t sum;
};

static void look(const struct tl_packet *packet, struct seen *seen, uint32_t interfaces)
{
	uint64_t sum = seen->sum + packet->ts_ns + packet->frame;

	must(packet->caplen <= packet->wirelen);
	must(packet->interface < interfaces);
	for (uint32_t i = 0; i < packet->caplen; i++)
		sum = sum * 31 + packet->data[i];
	if (packet->comment)
		sum += strlen(packet->comment);
	seen->sum = sum;
	seen->packets++;
}

static struct seen read_all(const char *path)
{
	struct tl_source_file_opts opts = { .paths = &path, .path_count = 1 };
	struct tl_packet packets[64];
	struct seen seen = { 0 };
	struct tl_source_stats stats;
	struct tl_source *source;
	struct tl_error error = { "" };
	uint64_t held = 0;
	int n = tl_source_file__create(&opts, &error, &source);

	if (n) {
		must(error.what[0] != '\0');
		return seen;
	}
	for (;;) {
		uint32_t interfaces;

		n = tl_source__poll(source, packets, 64);
		if (n < 0)
			break;
		(void)tl_source_file__interfaces(source, &interfaces);
		for (int i = 0; i < n; i++)
			look(&packets[i], &seen, interfaces);
		held += (uint64_t)n;
		if (held > HELD || n == 0) {
			tl_source__release(source, held);
			held = 0;
		}
	}
	must(n == -ENODATA);
	must(source->ops->watermark(source) == UINT64_MAX);
	source->ops->stats(source, &stats);
	must(stats.received == seen.packets && stats.captured == seen.packets);
	tl_source__destroy(source);
	return seen;
}

static struct seen read_pipe(const uint8_t *data, size_t bytes)
{
	struct seen seen;
	int ends[2];
	int saved = dup(STDIN_FILENO);

	must(!pipe(ends));
	/* the whole input has to fit, for there is no second thread */
	must(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
	must(write(ends[1], data, bytes) == (ssize_t)bytes);
	close(ends[1]);
	dup2(ends[0], STDIN_FILENO);
	close(ends[0]);
	seen = read_all("-");
	if (saved >= 0)
		dup2(saved, STDIN_FILENO);
	close(saved);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct seen mapped, piped;
	char path[64];
	int fd;

	if (bytes > 1 << 20)
		return 0;
	fd = memfd_create("input", 0);
	must(fd >= 0);
	must(write(fd, data, bytes) == (ssize_t)bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	mapped = read_all(path);
	piped = read_pipe(data, bytes);
	must(mapped.packets == piped.packets && mapped.sum == piped.sum);
	close(fd);
	return 0;
}
