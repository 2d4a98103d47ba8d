// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Judges captures of numbered frames (frame_format.h): is each number there exactly once, in order,
 * with its bytes as sent, and does time never go back? Several files are read one after the other,
 * as the files of one rotation. Prints one JSON object; exit 1 when anything is wrong.
 *
 *   stream 0:  [x][x][x][ ][x]…   one bit a number: seen
 *              ▲ last number of each flow (or of the stream): a lower one after it is out of order
 */
#include "capture_reader.h"
#include "frame_format.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS_MAX  16
#define NUMBER_MAX   (1ull << 32)
#define ETHERTYPE_IP 0x0800

struct stream {
	uint64_t expected; /* numbers that must be there; 0: up to the highest seen */
	uint64_t frames, duplicated, out_of_order;
	uint64_t highest; /* and 1 */
	uint64_t size;	  /* of `seen`, in numbers */
	uint8_t *seen;
	uint64_t *last; /* number and 1, by client port (or all at 0) */
};

struct check {
	struct stream streams[STREAMS_MAX];
	bool by_flow;	   /* order is kept within a flow only (several queues) */
	bool may_miss;	   /* missing frames are counted, and no failure */
	bool may_truncate; /* a snap length cuts frames: their head is judged, not the sum */
	uint64_t frames, other, corrupted, truncated, tagged, ts_backwards, drop_counts;
	uint64_t last_ns;
	uint64_t files, interfaces, open_interfaces; /* without statistics at the end */
	const char *error, *error_file;
	uint64_t error_offset;
};

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint32_t frame_sum(const uint8_t *data, uint32_t length, uint32_t sum_word)
{
	uint32_t sum = FRAME_SEED * length;
	uint8_t tail[4] = { 0 };

	for (uint32_t i = 0; i < length / 4; i++)
		if (i != sum_word)
			sum += get32(data + 4 * i) * frame_weight(i);
	memcpy(tail, data + (length & ~3u), length & 3);
	return sum + get32(tail) * frame_weight(length / 4);
}

/* Bytes of tags before the IPv4 header, or -1: no numbered frame. */
static int find_tags(const uint8_t *data, uint32_t length)
{
	for (int tags = 0; tags <= FRAME_TAGS_MAX; tags++) {
		const uint8_t *at = data + 4 * tags;

		if (length < FRAME_HEAD + 4 * (uint32_t)tags)
			return -1;
		if (get16(at + 12) != ETHERTYPE_IP)
			continue;
		return get16(at + FRAME_PAYLOAD) == FRAME_MARK &&
				       get16(at + FRAME_PAYLOAD + 2) == FRAME_MARK2
			       ? 4 * tags
			       : -1;
	}
	return -1;
}

static bool make_room(struct stream *s, uint64_t number)
{
	uint64_t size = s->size ? s->size : 1 << 20;
	uint8_t *seen;

	while (size <= number)
		size *= 2;
	if (!s->last)
		s->last = calloc(65536, sizeof(*s->last));
	if (!s->last)
		return false;
	if (size == s->size)
		return true;
	seen = realloc(s->seen, size / 8);
	if (!seen)
		return false;
	memset(seen + s->size / 8, 0, (size - s->size) / 8);
	s->seen = seen;
	s->size = size;
	return true;
}

static void count_number(struct check *c, struct stream *s, uint64_t number, uint16_t port)
{
	uint64_t *last;

	if (number >= NUMBER_MAX || !make_room(s, number)) {
		c->corrupted++;
		return;
	}
	last = &s->last[c->by_flow ? port : 0];
	s->frames++;
	if (s->seen[number / 8] & 1 << number % 8)
		s->duplicated++;
	else if (number + 1 < *last)
		s->out_of_order++;
	s->seen[number / 8] |= (uint8_t)(1 << number % 8);
	if (number + 1 > *last)
		*last = number + 1;
	if (number + 1 > s->highest)
		s->highest = number + 1;
}

static void judge(struct check *c, const struct reader_packet *packet)
{
	int tags = find_tags(packet->data, packet->captured);
	const uint8_t *at = packet->data + (tags > 0 ? tags : 0);
	uint16_t stream, port;

	if (packet->time_ns < c->last_ns)
		c->ts_backwards++;
	c->last_ns = packet->time_ns;
	c->drop_counts += packet->drop_count;
	if (tags < 0) {
		c->other++;
		return;
	}
	c->frames++;
	c->tagged += tags > 0;
	stream = get16(at + FRAME_STREAM);
	c->truncated += packet->captured < packet->length;
	if (stream >= STREAMS_MAX || (packet->captured < packet->length && !c->may_truncate) ||
	    (packet->captured == packet->length &&
	     get32(at + FRAME_SUM) !=
		     frame_sum(packet->data, packet->length, (FRAME_SUM + (uint32_t)tags) / 4))) {
		c->corrupted++;
		return;
	}
	port = get16(at + FRAME_SPORT);
	if (port == FRAME_PORT_SERVER)
		port = get16(at + FRAME_DPORT);
	count_number(c, &c->streams[stream],
		     (uint64_t)get32(at + FRAME_NUMBER) << 32 | get32(at + FRAME_NUMBER + 4), port);
}

static void check_file(struct check *c, const char *path)
{
	struct reader reader;
	struct reader_packet packet;
	int rc = reader__open(&reader, path);

	while (!rc && (rc = reader__next(&reader, &packet)) > 0) {
		judge(c, &packet);
		rc = 0;
	}
	if (rc < 0 && !c->error) {
		c->error = reader.error;
		c->error_file = path;
		c->error_offset = reader.offset;
	}
	c->files++;
	c->interfaces += reader.interface_count;
	for (uint32_t i = 0; i < reader.interface_count; i++)
		c->open_interfaces += !reader.interfaces[i].closed;
	reader__close(&reader);
}

static uint64_t missing(const struct stream *s, uint64_t *ret_unexpected)
{
	uint64_t until = s->expected ? s->expected : s->highest;
	uint64_t absent = 0, beyond = 0;

	for (uint64_t i = 0; i < until; i++)
		absent += i >= s->size || !(s->seen[i / 8] & 1 << i % 8);
	for (uint64_t i = until; i < s->highest; i++)
		beyond += s->seen[i / 8] >> i % 8 & 1;
	*ret_unexpected = beyond;
	return absent;
}

/* Returns the exit code. */
static int report(const struct check *c)
{
	uint64_t absent = 0, unexpected = 0, duplicated = 0, out_of_order = 0;
	bool wrong;

	for (int i = 0; i < STREAMS_MAX; i++) {
		uint64_t beyond;

		absent += missing(&c->streams[i], &beyond);
		unexpected += beyond;
		duplicated += c->streams[i].duplicated;
		out_of_order += c->streams[i].out_of_order;
	}
	wrong = c->error || duplicated || out_of_order || c->corrupted || c->ts_backwards ||
		unexpected || (absent && !c->may_miss);
	printf("{\"frames\":%" PRIu64 ",\"missing\":%" PRIu64 ",\"unexpected\":%" PRIu64
	       ",\"duplicated\":%" PRIu64 ",\"out_of_order\":%" PRIu64 ",\"corrupted\":%" PRIu64
	       ",\"ts_backwards\":%" PRIu64,
	       c->frames, absent, unexpected, duplicated, out_of_order, c->corrupted,
	       c->ts_backwards);
	printf(",\"other\":%" PRIu64 ",\"truncated\":%" PRIu64 ",\"tagged\":%" PRIu64
	       ",\"drop_counts\":%" PRIu64 ",\"files\":%" PRIu64 ",\"interfaces\":%" PRIu64
	       ",\"interfaces_open\":%" PRIu64,
	       c->other, c->truncated, c->tagged, c->drop_counts, c->files, c->interfaces,
	       c->open_interfaces);
	if (c->error)
		printf(",\"error\":\"%s: %s (offset %" PRIu64 ")\"", c->error_file, c->error,
		       c->error_offset);
	puts("}");
	return wrong;
}

static void usage(void)
{
	puts("framecheck [-e STREAM=FRAMES]… [--by-flow] [--may-miss] [--may-truncate] FILE…\n"
	     "  exit 0: each frame exactly once, in order, whole; 1: not so; 2: a wrong call");
	exit(2);
}

static void parse_expected(struct check *c, const char *text)
{
	char *end;
	unsigned long stream = strtoul(text, &end, 10);

	if (*end != '=' || stream >= STREAMS_MAX)
		usage();
	c->streams[stream].expected = strtoull(end + 1, NULL, 10);
	if (!make_room(&c->streams[stream], c->streams[stream].expected))
		usage();
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "by-flow", 0, NULL, 'f' },
					       { "may-miss", 0, NULL, 'm' },
					       { "may-truncate", 0, NULL, 't' },
					       { 0 } };
	static struct check check;
	int option;

	while ((option = getopt_long(argc, argv, "e:", longs, NULL)) != -1) {
		if (option == 'e')
			parse_expected(&check, optarg);
		else if (option == 'f')
			check.by_flow = true;
		else if (option == 'm')
			check.may_miss = true;
		else if (option == 't')
			check.may_truncate = true;
		else
			usage();
	}
	if (optind == argc)
		usage();
	for (; optind < argc; optind++)
		check_file(&check, argv[optind]);
	return report(&check);
}
