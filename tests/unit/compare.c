/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_compare tl_export */
/* Two captures of one path: each test makes both files, with a fault of known size between them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "tapline/compare.h"
#include "unit/file_builder.h"
#include "unit/packet_builder.h"

#define START_NS 1795341600000000000ull
#define MS	 1000000ull
#define HOURS3	 10800123456789ull /* B's clock is ahead by this */

/* A packet on its way; a test changes what it wants changed. */
struct hop {
	uint64_t number;
	uint64_t a_ns, b_ns;
	bool up; /* from A's side */
	bool in_a, in_b;
	unsigned copies_in_b;
	struct pb_ip ip_a, ip_b;
	struct pb_tcp tcp_a, tcp_b;
	uint8_t payload_a[200], payload_b[200];
	uint32_t bytes_a, bytes_b;
};

typedef void change_fn(struct hop *hop);

struct seen {
	uint32_t count;
	struct tl_finding finding[32];
};

static struct seen seen;
static struct tl_comparison result;

static void hear(void *ctx, const struct tl_finding *f, enum tl_finding_state state)
{
	(void)ctx;
	(void)state;
	if (seen.count < 32)
		seen.finding[seen.count++] = *f;
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *found = NULL;

	for (uint32_t i = 0; i < seen.count; i++) {
		if (strcmp(seen.finding[i].kind, kind))
			continue;
		cr_assert_null(found, "two of %s", kind);
		found = &seen.finding[i];
	}
	return found;
}

static const char *string(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name))
			return f->details[i].string;
	return "";
}

static struct hop ordinary(uint64_t number)
{
	bool up = number % 3 != 2;
	uint64_t at_ns = START_NS + number * MS, delay_ns = 500000 + number * 7919 % 100000;
	struct pb_ip ip = { .src = up ? "10.0.1.5" : "10.0.2.10",
			    .dst = up ? "10.0.2.10" : "10.0.1.5",
			    .id = (uint16_t)(number + 1),
			    .ttl = 64 };
	struct pb_tcp tcp = { .src_port = up ? 40000 : 80,
			      .dst_port = up ? 80 : 40000,
			      .seq = (uint32_t)number * 300,
			      .ack = 77,
			      .flags = TL_TCP_ACK };
	struct hop h = { .number = number, .up = up, .in_a = true, .in_b = true };

	h.a_ns = up ? at_ns : at_ns + delay_ns;
	h.b_ns = up ? at_ns + delay_ns : at_ns;
	h.ip_a = h.ip_b = ip;
	h.ip_a.ttl = up ? 64 : 63;
	h.ip_b.ttl = up ? 63 : 64;
	h.tcp_a = h.tcp_b = tcp;
	h.bytes_a = h.bytes_b = number % 2 ? 0 : 200;
	for (uint32_t i = 0; i < 200; i++)
		h.payload_a[i] = h.payload_b[i] = (uint8_t)(number * 31 + i);
	memcpy(h.payload_a, &number, sizeof(number));
	memcpy(h.payload_b, &number, sizeof(number));
	return h;
}

static void put(struct fb *f, uint64_t ts_ns, const struct hop *h, bool is_b)
{
	static uint8_t bytes[1024];
	struct tl_packet p =
		pb__tcp_packet(bytes, is_b ? &h->ip_b : &h->ip_a, is_b ? &h->tcp_b : &h->tcp_a,
			       (struct pb_payload){ is_b ? h->payload_b : h->payload_a,
						    is_b ? h->bytes_b : h->bytes_a });

	fb__pcap_packet(f, &(struct fb_packet){
				   .seconds = (uint32_t)(ts_ns / 1000000000),
				   .fraction = (uint32_t)(ts_ns % 1000000000),
				   .data = bytes,
				   .caplen = p.caplen,
				   .wirelen = p.caplen,
			   });
}

static void compare(uint64_t n, change_fn *change)
{
	struct fb a = { 0 }, b = { 0 };
	struct tl_compare_opts opts = { .sink = { .finding = hear } };
	struct tl_error error = { "" };
	char *path[2];

	fb__pcap(&a, 0xa1b23c4d, 262144, 1);
	fb__pcap(&b, 0xa1b23c4d, 262144, 1);
	for (uint64_t i = 0; i < n; i++) {
		struct hop h = ordinary(i);

		if (change)
			change(&h);
		if (h.in_a)
			put(&a, h.a_ns, &h, false);
		for (unsigned k = 0; h.in_b && k <= h.copies_in_b; k++)
			put(&b, h.b_ns + HOURS3 + k * 2000, &h, true);
	}
	opts.path[0] = path[0] = fb__save(a.data, a.bytes);
	opts.path[1] = path[1] = fb__save(b.data, b.bytes);
	seen.count = 0;
	cr_assert_eq(tl_compare__run(&opts, &error, &result), 0, "%s", error.what);
	unlink(path[0]);
	unlink(path[1]);
}

Test(compare, a_whole_path_has_no_finding_and_the_clocks_are_found)
{
	compare(3000, NULL);
	cr_expect_eq(seen.count, 0, "%s", seen.finding[0].summary);
	cr_expect_eq(result.matched, 3000);
	cr_expect_eq(result.only[0] + result.only[1] + result.outside[0] + result.outside[1], 0);
	cr_assert(result.has_clock && result.has_bound);
	/* The truth lies within the bound. */
	cr_expect_leq(llabs(result.clock_offset_ns - (int64_t)HOURS3),
		      (int64_t)result.clock_bound_ns);
	cr_expect_leq(result.clock_bound_ns, 510000);
	cr_expect_geq(result.delay[0].p50_ns, 500000);
	cr_expect_leq(result.delay[1].max_ns, 610000);
}

static void lose_up(struct hop *h)
{
	if (h->number % 98 == 51 && h->up)
		h->in_b = false;
}

Test(compare, loss_is_exact_and_of_one_direction)
{
	uint64_t lost = 0;

	for (uint64_t i = 0; i < 3000; i++)
		lost += i % 98 == 51 && i % 3 != 2;
	compare(3000, lose_up);
	cr_assert_gt(lost, 0);
	cr_assert_not_null(only("compare.lost"));
	cr_expect_eq(only("compare.lost")->count, lost);
	cr_expect_str_eq(string(only("compare.lost"), "direction"), "a_to_b");
	cr_expect_eq(result.only[0], lost);
	cr_expect_eq(result.lost[1], 0);
}

/* Now and then a word with the router between the points, which the other point cannot see. */
static void speak_with_router(struct hop *h)
{
	if (h->number % 50 != 20 && h->number % 50 != 21)
		return;
	h->in_a = true;
	h->in_b = false;
	h->ip_a.src = h->number % 50 == 20 ? "10.0.1.5" : "10.0.1.1";
	h->ip_a.dst = h->number % 50 == 20 ? "10.0.1.1" : "10.0.1.5";
	h->ip_a.ttl = 64;
}

Test(compare, a_host_that_answers_on_one_side_is_not_beyond_the_other)
{
	compare(3000, speak_with_router);
	cr_expect_eq(seen.count, 0, "%s", seen.finding[0].summary);
	cr_expect_eq(result.not_compared[0], 120);
	cr_expect_eq(result.only[0] + result.missed[1] + result.outside[0], 0);
}

static void speak_with_nobody(struct hop *h)
{
	if (h->number % 50 != 20)
		return;
	h->in_a = true;
	h->in_b = false;
	h->ip_a.src = "10.0.1.5";
	h->ip_a.dst = "10.0.2.99";
	h->ip_a.ttl = 64;
}

Test(compare, what_is_sent_to_a_host_that_never_answers_is_lost)
{
	compare(3000, speak_with_nobody);
	cr_assert_not_null(only("compare.lost"));
	cr_expect_eq(only("compare.lost")->count, 60);
	cr_expect_eq(result.lost[0], 60);
}

static void speak_on_the_link(struct hop *h)
{
	if (h->number % 50 != 20)
		return;
	h->in_a = true;
	h->in_b = false;
	h->ip_a.src = "10.0.1.5";
	h->ip_a.dst = "224.0.0.251";
	h->ip_a.ttl = 255;
}

Test(compare, what_no_router_forwards_is_not_lost)
{
	compare(3000, speak_on_the_link);
	cr_expect_eq(seen.count, 0, "%s", seen.finding[0].summary);
	cr_expect_eq(result.not_compared[0], 60);
}

static void lose_down(struct hop *h)
{
	if (h->number % 98 == 50 && !h->up)
		h->in_a = false;
}

Test(compare, what_comes_back_is_lost_before_a)
{
	uint64_t lost = 0;

	for (uint64_t i = 0; i < 3000; i++)
		lost += i % 98 == 50 && i % 3 == 2;
	cr_assert_gt(lost, 0);
	compare(3000, lose_down);
	cr_assert_not_null(only("compare.lost"));
	cr_expect_eq(only("compare.lost")->count, lost);
	cr_expect_str_eq(string(only("compare.lost"), "direction"), "b_to_a");
}

static void start_late(struct hop *h)
{
	h->in_b = h->number >= 1000;
	h->in_a = h->number < 2500;
}

Test(compare, what_the_other_side_could_not_see_is_not_lost)
{
	compare(3000, start_late);
	cr_expect_eq(seen.count, 0, "%s", seen.finding[0].summary);
	cr_expect_eq(result.matched, 1500, "%lu", result.matched);
	cr_expect_eq(result.outside[0], 1000, "%lu", result.outside[0]);
	cr_expect_eq(result.outside[1], 500);
}

static void alter(struct hop *h)
{
	if (h->number == 1500)
		h->payload_b[100] ^= 1;
}

Test(compare, one_altered_byte_is_found_with_its_offset)
{
	const struct tl_finding *f;

	compare(3000, alter);
	f = only("compare.modified");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(f->count, 1);
	cr_expect_str_eq(string(f, "offsets"), "100");
	cr_expect_str_eq(string(f, "checksum"), "recomputed");
	cr_expect_eq(f->evidence[0].frame, 1501);
	cr_expect_eq(result.only[0] + result.only[1], 0);
}

static void cut_short(struct hop *h)
{
	if (h->number == 1500)
		h->bytes_b = 150;
}

Test(compare, a_shortened_packet_is_altered_and_not_lost)
{
	compare(3000, cut_short);
	cr_assert_not_null(only("compare.modified"));
	cr_expect_null(only("compare.lost"));
	cr_expect_eq(result.modified, 1);
}

static void translate(struct hop *h)
{
	if (h->up) {
		h->ip_b.src = "198.51.100.1";
		h->tcp_b.src_port = 61000;
	} else {
		h->ip_b.dst = "198.51.100.1";
		h->tcp_b.dst_port = 61000;
	}
}

Test(compare, nat_is_a_map_and_no_loss)
{
	compare(3000, translate);
	cr_assert_not_null(only("compare.nat"));
	cr_expect_str_eq(string(only("compare.nat"), "map"), "10.0.1.5 -> 198.51.100.1");
	cr_expect_eq(seen.count, 1);
	cr_expect_eq(result.matched, 3000);
}

static void shift_numbers(struct hop *h)
{
	h->tcp_b.seq += h->up ? 123456789 : 0;
	h->tcp_b.ack += h->up ? 0 : 123456789;
	h->bytes_a = h->bytes_b = 200;
}

Test(compare, other_sequence_numbers_are_matched_by_payload)
{
	compare(3000, shift_numbers);
	cr_expect_null(only("compare.lost"));
	cr_assert_not_null(only("compare.modified"));
	cr_expect_eq(only("compare.modified")->severity, TL_INFO);
}

static void copy(struct hop *h)
{
	h->copies_in_b = 1;
}

Test(compare, copies_at_one_side_are_no_loss)
{
	compare(3000, copy);
	cr_assert_not_null(only("compare.duplicated"));
	cr_expect_null(only("compare.lost"));
	cr_expect_eq(result.matched, 3000);
	cr_expect_geq(result.duplicated[1], 2990);
}

static void hold_back(struct hop *h)
{
	if (h->up && h->number >= 1000 && h->number < 1100)
		h->b_ns += 80 * MS;
}

Test(compare, late_packets_are_told_by_direction)
{
	const struct tl_finding *f;

	compare(3000, hold_back);
	f = only("compare.delayed");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_str_eq(string(f, "direction"), "a_to_b");
	cr_expect_eq(f->count, 67);
	cr_expect_null(only("compare.lost"));
}

static void drift(struct hop *h)
{
	h->b_ns += h->number * MS / 20000; /* 50 ppm */
}

Test(compare, drift_is_found)
{
	compare(20000, drift);
	cr_expect_float_eq(result.clock_drift_ppm, 50, 1);
	cr_expect_eq(seen.count, 0);
}

static void cut_off(struct hop *h)
{
	if (h->up && h->number >= 600)
		h->in_b = false;
}

Test(compare, a_direction_that_is_cut_is_an_error_to_its_last_packet)
{
	const struct tl_finding *f;

	compare(3000, cut_off);
	f = only("compare.lost");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_ERROR);
	/* 1600, but for those within 20 ms of B's end: they may have been on the way. */
	cr_expect_geq(f->count, 1580);
	cr_expect_leq(f->count, 1600);
}

Test(compare, a_missing_file_is_said_in_words)
{
	struct tl_compare_opts opts = { .path = { "/nonexistent/a", "/nonexistent/b" } };
	struct tl_error error = { "" };

	cr_expect_lt(tl_compare__run(&opts, &error, &result), 0);
	cr_expect_not_null(strstr(error.what, "/nonexistent/a"));
}

static void say_the_same(struct hop *h)
{
	memset(h->payload_a, 7, sizeof(h->payload_a));
	memset(h->payload_b, 7, sizeof(h->payload_b));
	start_late(h);
}

Test(compare, the_same_words_at_another_time_are_not_the_same_packet)
{
	compare(3000, say_the_same);
	cr_expect_eq(seen.count, 0, "%s", seen.finding[0].summary);
	cr_expect_eq(result.matched, 1500, "%lu", result.matched);
}
