/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.zero_window, and what looks like it and is not.
 */
#include <criterion/criterion.h>

#include "unit/tcp_fault_bed.h"

#define NO_X ((struct fault_extra){ 0 })
#define SHUT ((struct fault_extra){ .is_shut = true })

static const struct bed_pair mysql = { "10.0.1.5", "10.0.2.10", 40112, 3306 };
static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(window, .init = begin, .fini = end);

/* Linux' probe: no byte, at una - 1. */
static void probe(struct talk *t, uint64_t ms)
{
	talk__send(t, AT(ms, false), BED_ACK(t->down - 1, t->up), NO_X);
	talk__ack(t, ms + 1, true, SHUT);
}

/* The client shuts its window at 110 ms; the server probes until `ms`. */
static struct talk stalled(const struct bed_pair *pair, uint64_t ms)
{
	struct talk t = talk__open(b, pair, 0);

	talk__up(&t, 50, 20);
	talk__data(&t, 100, false, 1000);
	talk__ack(&t, 110, true, SHUT);
	for (uint64_t at = 310, step = 200; at < ms; at += step, step *= 2)
		probe(&t, at);
	return t;
}

static const struct tl_finding *only(void)
{
	const struct tl_finding *f = bed__only(b, "tcp.zero_window");

	cr_assert_not_null(f);
	return f;
}

Test(window, says_what_the_contract_says)
{
	struct talk t = stalled(&mysql, 7110);
	const struct tl_finding *f;

	talk__ack(&t, 7110, true, NO_X);
	talk__down(&t, 7120, 1400);
	talk__down(&t, 7130, 1400);
	talk__down(&t, 7500, 1400); /* not what had waited */
	bed__end(b);
	f = only();
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_str_eq(bed__detail_string(f, "sender"), "client");
	cr_expect_eq(bed__detail(f, "stalled_ms"), 7000);
	cr_expect_eq(bed__detail(f, "probes"), 6);
	cr_expect_eq(bed__detail(f, "bytes_blocked"), 2800);
	cr_expect_eq(bed__detail(f, "flows"), 1);
	cr_expect_eq(f->first_ns, BED_START_NS + 110 * BED_MS);
	cr_expect_eq(f->last_ns, BED_START_NS + 7110 * BED_MS);
	cr_expect(strstr(f->summary, "tcp/3306"), "%s", f->summary);
	cr_expect(fault__has_proof(f));
	cr_expect_eq(f->evidence[0].frame, 7);
}

Test(window, a_second_is_a_warning)
{
	struct talk t = stalled(&mysql, 1310);

	talk__ack(&t, 1310, true, NO_X);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_WARNING);
}

Test(window, short_stalls_are_not_told)
{
	struct talk t = talk__open(b, &mysql, 0);

	for (uint64_t ms = 100; ms < 1000; ms += 100) {
		talk__data(&t, ms, false, 1000);
		talk__ack(&t, ms + 10, true, SHUT);
		talk__ack(&t, ms + 40, true, NO_X);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.zero_window", TL_INFO), 0);
}

Test(window, shut_while_nobody_sends_is_an_info)
{
	struct talk t = talk__open(b, &mysql, 0);

	talk__data(&t, 100, false, 1000);
	talk__ack(&t, 110, true, SHUT);
	talk__ack(&t, 9000, true, NO_X);
	talk__down(&t, 20000, 1000);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_INFO);
	cr_expect_gt(only()->counter_evidence_count, 0);
}

Test(window, zero_on_syn_fin_and_rst_means_something_else)
{
	struct talk t = { .b = b, .pair = mysql, .up = 1001, .down = 5001 };

	talk__send(&t, AT(0, true), BED_SYN(1000), SHUT);
	talk__send(&t, AT(10, false), BED_SYNACK(5000, 1001), SHUT);
	talk__ack(&t, 11, true, NO_X);
	talk__up(&t, 3000, 100);
	talk__send(&t, AT(4000, true), BED_FIN(t.up, t.down), SHUT);
	talk__send(&t, AT(9000, false), BED_RST(t.down), SHUT);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.zero_window", TL_INFO), 0);
}

Test(window, data_that_is_accepted_ends_it_where_the_update_was_not_seen)
{
	struct talk t = stalled(&mysql, 2000);

	talk__down(&t, 2110, 1400); /* and its ACK has a window */
	bed__end(b);
	cr_expect_eq(bed__detail(only(), "stalled_ms"), 2000);
}

Test(window, data_that_is_not_accepted_is_a_probe)
{
	struct talk t = stalled(&mysql, 1000);
	uint64_t before = 2;

	talk__send(&t, AT(1500, false), BED_DATA(t.down, t.up, 1400), NO_X);
	talk__ack(&t, 1501, true, SHUT); /* ACKs nothing of it */
	talk__ack(&t, 3110, true, NO_X);
	bed__end(b);
	cr_expect_eq(bed__detail(only(), "stalled_ms"), 3000);
	cr_expect_gt(bed__detail(only(), "probes"), before);
}

/* A receiver that offers `window` bytes, and is sent as much, each 100 ms. */
static void squeeze(struct talk t, uint16_t window, unsigned times)
{
	struct fault_extra narrow = { .window = window };

	talk__up(&t, 50, 20);
	talk__down(&t, 100, 1000);
	talk__data(&t, 120, false, 1000);
	talk__ack(&t, 130, true, narrow);
	for (unsigned i = 1; i <= times; i++) {
		talk__data(&t, 130 + i * 100, false, window);
		talk__ack(&t, 131 + i * 100, true, narrow);
	}
	talk__ack(&t, 200 + times * 100, true, NO_X);
	bed__end(b);
}

Test(window, a_few_bytes_are_as_good_as_none)
{
	squeeze(talk__open(b, &mysql, 0), 40, 60);
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only(), "stalled_ms"), 6070);
	cr_expect_eq(bed__detail(only(), "widest_window"), 40);
	cr_expect_eq(bed__detail(only(), "bytes_blocked"), 60 * 40);
	cr_expect(strstr(only()->summary, "a receive window of 40 bytes or less"), "%s",
		  only()->summary);
}

Test(window, a_segment_is_enough)
{
	squeeze(talk__open(b, &mysql, 0), 600, 60);
	cr_expect_eq(bed__count(b, "tcp.zero_window", TL_INFO), 0);
}

Test(window, what_scale_a_snap_length_cut_off_is_not_known)
{
	squeeze(talk__open_with(b, &mysql, 0, (struct fault_extra){ .is_cut_off = true }), 40, 60);
	cr_expect_eq(bed__count(b, "tcp.zero_window", TL_INFO), 0);
}

Test(window, copies_count_once)
{
	struct talk t = stalled(&mysql, 700);
	struct fault_extra copy = { .is_copy = true };

	talk__send(&t, AT(1500, false), BED_ACK(t.down - 1, t.up), NO_X);
	talk__send(&t, AT(1500, false), BED_ACK(t.down - 1, t.up), copy);
	talk__ack(&t, 2110, true, NO_X);
	bed__end(b);
	cr_expect_eq(bed__detail(only(), "probes"), 3);
}

Test(window, one_server_that_does_not_read_is_one_finding)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 5; i++) {
		struct bed_pair pair = { "10.0.1.5", "10.0.2.10", 41000 + i, 9000 };
		struct talk t;

		pair.client = i % 2 ? "10.0.1.6" : "10.0.1.7";
		t = talk__open(b, &pair, i * 10000);
		talk__data(&t, i * 10000 + 100, true, 1000);
		talk__ack(&t, i * 10000 + 110, false, SHUT);
		talk__send(&t, AT(i * 10000 + 400, true), BED_ACK(t.up - 1, t.down), NO_X);
		talk__ack(&t, i * 10000 + 2110, false, NO_X);
		talk__up(&t, i * 10000 + 2120, 500);
	}
	bed__end(b);
	f = only();
	cr_expect_eq(f->count, 5);
	cr_expect_eq(bed__detail(f, "flows"), 5);
	cr_expect_eq(bed__detail(f, "stalled_ms"), 10000);
	cr_expect_eq(bed__detail(f, "bytes_blocked"), 2500);
	cr_expect_str_eq(bed__detail_string(f, "sender"), "server");
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.2.10 && tcp.port==9000");
}

Test(window, live_and_file_say_the_same)
{
	struct tl_finding from_file;
	struct talk t = stalled(&mysql, 5000);

	talk__ack(&t, 5110, true, NO_X);
	talk__down(&t, 5120, 1400);
	bed__end(b);
	from_file = *only();
	bed__free(b);
	b = bed__start(true);
	t = stalled(&mysql, 5000);
	bed__idle_until(b, 4000);
	talk__ack(&t, 5110, true, NO_X);
	talk__down(&t, 5120, 1400);
	cr_expect_gt(b->open_count, 0, "a stall that lasts is told before it ends");
	bed__idle_until(b, 400000);
	cr_expect(bed__same(only(), &from_file));
	bed__end(b);
}
