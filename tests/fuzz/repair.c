/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink tl_source */
/*
 * Any bytes as a file to be repaired: what is kept are its first bytes, unchanged; a second repair
 * finds nothing to do; and what is refused was not touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tapline/repair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void must(int fact)
{
	if (!fact)
		abort();
}

static size_t size_of(int fd)
{
	struct stat st;

	must(!fstat(fd, &st));
	return (size_t)st.st_size;
}

/* Does the file hold the first bytes of `data`, and nothing else? */
static void check_kept(int fd, const uint8_t *data, size_t bytes)
{
	size_t kept = size_of(fd);
	uint8_t *now;

	must(kept <= bytes);
	if (!kept)
		return;
	now = mmap(NULL, kept, PROT_READ, MAP_SHARED, fd, 0);
	must(now != MAP_FAILED && !memcmp(now, data, kept));
	munmap(now, kept);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_repair_result result = { 0 }, again = { 0 };
	struct tl_error error = { "" };
	char path[64];
	int fd = memfd_create("input", 0);
	int rc;

	must(fd >= 0 && write(fd, data, bytes) == (ssize_t)bytes);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = tl_repair__file(path, &error, &result);
	check_kept(fd, data, bytes);
	if (rc) {
		must(error.what[0] && size_of(fd) == bytes);
	} else {
		must(result.kept_bytes == size_of(fd));
		must(result.kept_bytes + result.cut_bytes == bytes);
		must(!tl_repair__file(path, &error, &again));
		must(!again.cut_bytes && again.packets == result.packets);
		must(again.kept_bytes == result.kept_bytes && size_of(fd) == again.kept_bytes);
	}
	close(fd);
	return 0;
}
