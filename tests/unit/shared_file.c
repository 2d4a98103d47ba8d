/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_run */
/*
 * A file that several workers share: ports of a made source which spoils the bytes of each packet
 * as soon as it was given back, in threads of their own.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "packet_builder.h"
#include "run/share.h"
#include "run/shared_file.h"
#include "tapline/ticks.h"

#define PACKETS	     60000u
#define ROOM	     16384u /* packets that are out at a time, at most */
#define PACKET_BYTES 64u
#define PORTS	     3u
#define START_NS     1000000000000ull

struct made {
	struct tl_source base;
	uint64_t handed, gone;
	uint64_t most_out;
	uint8_t bytes[ROOM][PACKET_BYTES];
};

/* Goes back now and then, and is silent for a minute. */
static uint64_t time_of(uint64_t number)
{
	uint64_t ns = START_NS + number * 20000;

	if (number % 1000 == 999)
		ns -= 5000000;
	return number > PACKETS / 2 ? ns + 60000000000ull : ns;
}

static void build(uint8_t *bytes, uint64_t number)
{
	struct pb b = pb__start(bytes, PACKET_BYTES);
	uint32_t text = (uint32_t)number;
	char client[32];

	snprintf(client, sizeof(client), "10.0.%u.%u", (unsigned)(number / 7 % 50),
		 (unsigned)(number % 200 + 1));
	pb__ethernet(&b);
	pb__ip(&b, &(struct pb_ip){ .src = client, .dst = "10.9.9.9", .proto = 17 });
	pb__udp(&b, 1025, 53);
	pb__bytes(&b, &text, sizeof(text));
}

static int made_poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct made *m = (struct made *)source;
	uint64_t released = tl_load_acquire(&source->released);
	uint32_t n = 0;

	for (; m->gone < released; m->gone++)
		memset(m->bytes[m->gone % ROOM], 0xee, PACKET_BYTES);
	for (; n < max && m->handed < PACKETS && m->handed - m->gone < ROOM; n++, m->handed++) {
		uint8_t *bytes = m->bytes[m->handed % ROOM];

		build(bytes, m->handed);
		packets[n] = (struct tl_packet){ .data = bytes,
						 .caplen = 46,
						 .wirelen = 46,
						 .linktype = TL_LINKTYPE_ETHERNET,
						 .frame = m->handed + 1,
						 .ts_ns = time_of(m->handed) };
	}
	if (m->handed - m->gone > m->most_out)
		m->most_out = m->handed - m->gone;
	return n || m->handed < PACKETS ? (int)n : -ENODATA;
}

static void made_destroy(struct tl_source *source)
{
	free(source);
}

static const struct tl_source_ops made_ops = { .name = "made",
					       .poll = made_poll,
					       .destroy = made_destroy };

struct reader {
	pthread_t thread;
	struct tl_source *port;
	uint32_t index;
	unsigned slow_us; /* after each poll */
	uint64_t count, wrong, late, steps, step_sum;
	uint8_t *seen; /* [PACKETS] */
};

static void check(struct reader *r, const struct tl_packet *p, uint64_t *last_frame)
{
	uint32_t text;

	memcpy(&text, p->data + 42, sizeof(text));
	r->wrong += text != p->frame - 1 || p->frame <= *last_frame;
	r->wrong += share__owner(p, PORTS) != r->index;
	r->seen[p->frame - 1]++;
	r->count++;
	*last_frame = p->frame;
}

/* Each packet is looked at again before it is given back. */
static void *read_all(void *arg)
{
	struct tl_packet packets[256];
	struct reader *r = arg;
	uint64_t last_frame = 0, clock_ns = 0;
	int n;

	while ((n = tl_source__poll(r->port, packets, 1 + r->count % 256)) >= 0) {
		uint64_t now_ns = r->port->ops->watermark(r->port);

		if (now_ns != clock_ns) {
			r->steps++;
			r->step_sum = r->step_sum * 31 + now_ns;
			clock_ns = now_ns;
		}
		for (int i = 0; i < n; i++) {
			r->late += packets[i].ts_ns >= tl_ticks__before(clock_ns) + TL_TICK_NS;
			check(r, &packets[i], &last_frame);
		}
		if (r->slow_us)
			nanosleep(&(struct timespec){ .tv_nsec = r->slow_us * 1000 }, NULL);
		for (int i = 0; i < n; i++)
			r->wrong += packets[i].data[12] != 0x08;
		tl_source__release(r->port, (uint64_t)n);
		if (!n)
			r->port->ops->wait(r->port, 1);
	}
	cr_expect_eq(n, -ENODATA);
	return NULL;
}

static void run(unsigned slow_us)
{
	struct made *made = calloc(1, sizeof(*made));
	uint8_t *seen = calloc(PACKETS, 1);
	struct reader reader[PORTS] = { 0 };
	struct shared_file *shared;
	struct shared_span span;
	uint64_t count = 0;

	cr_assert(made && seen);
	made->base.ops = &made_ops;
	cr_assert_eq(shared_file__create(&made->base, PORTS, &shared), 0);
	for (uint32_t i = 0; i < PORTS; i++) {
		reader[i] = (struct reader){ .port = shared_file__port(shared, i),
					     .index = i,
					     .slow_us = i ? 0 : slow_us,
					     .seen = seen };
		cr_assert_eq(pthread_create(&reader[i].thread, NULL, read_all, &reader[i]), 0);
	}
	for (uint32_t i = 0; i < PORTS; i++) {
		pthread_join(reader[i].thread, NULL);
		cr_expect_eq(reader[i].wrong, 0);
		cr_expect_eq(reader[i].late, 0, "a packet came before the step that it makes");
		cr_expect_gt(reader[i].count, PACKETS / PORTS / 2);
		cr_expect_eq(reader[i].step_sum, reader[0].step_sum, "time goes on alike");
		cr_expect_geq(reader[i].steps, PACKETS / 2 * 20000 / TL_TICK_NS);
		span = shared_port__span(reader[i].port);
		cr_expect_eq(span.first_ns, time_of(0));
		cr_expect_eq(span.last_ns, time_of(PACKETS - 1));
		cr_expect_geq(span.newest_ns, span.last_ns);
		count += reader[i].count;
	}
	cr_expect_eq(count, PACKETS);
	for (uint32_t i = 0; i < PACKETS; i++)
		cr_assert_eq(seen[i], 1, "packet %u came %u times", i, seen[i]);
	cr_expect_leq(made->most_out, ROOM);
	shared_file__destroy(shared);
	free(seen);
}

Test(shared_file, each_packet_goes_to_its_owner_once_and_in_order)
{
	run(0);
}

/* The ring of pieces fills up, and the others wait for it. */
Test(shared_file, a_slow_worker_loses_nothing)
{
	run(300);
}

Test(shared_file, one_that_waits_for_another_says_so)
{
	struct made *made = calloc(1, sizeof(*made));
	struct tl_packet packets[256];
	struct shared_file *shared;
	struct tl_source *port;
	uint64_t got = 0;
	int n;

	cr_assert_not_null(made);
	made->base.ops = &made_ops;
	cr_assert_eq(shared_file__create(&made->base, 2, &shared), 0);
	port = shared_file__port(shared, 0);
	for (uint32_t i = 0; i < 2000 && !shared_port__is_held_up(port); i++) {
		n = tl_source__poll(port, packets, 256);
		cr_assert_geq(n, 0);
		got += (uint64_t)n;
		tl_source__release(port, (uint64_t)n);
	}
	cr_expect(shared_port__is_held_up(port), "the other never polled");
	cr_expect(got > 1000 && got < PACKETS / 2, "%llu", (unsigned long long)got);
	for (uint32_t i = 0; i < 200; i++) {
		n = tl_source__poll(shared_file__port(shared, 1), packets, 256);
		tl_source__release(shared_file__port(shared, 1), n > 0 ? (uint64_t)n : 0);
	}
	cr_expect_gt(tl_source__poll(port, packets, 256), 0);
	cr_expect(!shared_port__is_held_up(port));
	shared_file__destroy(shared);
}
