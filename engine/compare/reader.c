/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One side as a row of packets; see reader.h. */
#include "reader.h"

#include <stdio.h>
#include <string.h>

int reader__open(struct reader *reader, const char *path, struct tl_error *ret_error)
{
	struct tl_source_file_opts opts = { .paths = &path, .path_count = 1 };
	struct tl_error why = { "" };
	int err;

	memset(reader, 0, sizeof(*reader));
	err = tl_source_file__create(&opts, &why, &reader->source);
	if (err)
		snprintf(ret_error->what, sizeof(ret_error->what), "%.100s: %.150s", path,
			 why.what);
	return err;
}

void reader__close(struct reader *reader)
{
	tl_source__destroy(reader->source);
	reader->source = NULL;
}

static void refill(struct reader *reader)
{
	tl_source__release(reader->source, reader->count);
	reader->count = reader->next = 0;
	while (!reader->ended && !reader->count) {
		int n = tl_source__poll(reader->source, reader->packet, READER_BATCH);

		if (n < 0)
			reader->ended = true;
		else if (n)
			reader->count = (uint32_t)n;
		else
			reader->source->ops->wait(reader->source, 1000);
	}
}

const struct tl_packet *reader__next(struct reader *reader)
{
	if (reader->next == reader->count)
		refill(reader);
	return reader->next < reader->count ? &reader->packet[reader->next++] : NULL;
}
