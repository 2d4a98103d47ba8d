// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints a line for each frame of a capture, to compare captures with diff or sort:
 *
 *   1700000000000000000 60 60 9c3f5a7e12ab34cd      time in ns, captured, length, hash of the bytes
 *
 * --no-time leaves the first column out. Exit 1 with a line on stderr when the file is not whole;
 * what came before is printed.
 */
#include "capture_reader.h"
#include <inttypes.h>
#include <string.h>

static uint64_t hash(const uint8_t *data, uint32_t bytes)
{
	uint64_t value = 0xcbf29ce484222325ULL;

	for (uint32_t i = 0; i < bytes; i++)
		value = (value ^ data[i]) * 0x100000001b3ULL;
	return value;
}

int main(int argc, char **argv)
{
	bool no_time = argc == 3 && !strcmp(argv[1], "--no-time");
	struct reader reader;
	struct reader_packet packet;
	int rc;

	if (argc != 2 + no_time) {
		fputs("framedump [--no-time] FILE\n", stderr);
		return 2;
	}
	rc = reader__open(&reader, argv[argc - 1]);
	while (!rc && (rc = reader__next(&reader, &packet)) > 0) {
		if (!no_time)
			printf("%" PRIu64 " ", packet.time_ns);
		printf("%u %u %016" PRIx64 "\n", packet.captured, packet.length,
		       hash(packet.data, packet.captured));
		rc = 0;
	}
	if (rc < 0)
		fprintf(stderr, "framedump: %s: %s (offset %" PRIu64 ")\n", argv[argc - 1],
			reader.error, reader.offset);
	reader__close(&reader);
	return rc < 0;
}
