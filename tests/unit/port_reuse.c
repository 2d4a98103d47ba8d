/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.port_reuse: the outcomes, and what is no fault.
 */
#include <criterion/criterion.h>

#include "unit/tcp_fault_bed.h"

#define NO_X ((struct fault_extra){ 0 })

static const struct bed_pair pair = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(port_reuse, .init = begin, .fini = end);

static const struct tl_finding *only(void)
{
	const struct tl_finding *f = bed__only(b, "tcp.port_reuse");

	cr_assert_not_null(f);
	return f;
}

static uint32_t told(void)
{
	return bed__count(b, "tcp.port_reuse", TL_INFO);
}

/* A new SYN on the tuple at `ms`. */
static void syn_again(uint64_t ms, uint32_t isn)
{
	fault__reuse(b, &pair);
	bed__from_client(b, &pair, ms, BED_SYN(isn));
}

Test(port_reuse, accepted_in_time_wait_is_an_info)
{
	bed__healthy(b, &pair, 0);
	syn_again(3041, 90000);
	bed__from_server(b, &pair, 3051, BED_SYNACK(7000, 90001));
	bed__from_client(b, &pair, 3052, BED_ACK(90001, 7001));
	bed__end(b);
	cr_expect_eq(only()->severity, TL_INFO);
	cr_expect_eq(bed__detail(only(), "age_ms"), 3000);
	cr_expect_str_eq(bed__detail_string(only(), "outcome"), "accepted");
	cr_expect(fault__has_proof(only()));
}

Test(port_reuse, accepted_after_time_wait_is_nothing)
{
	bed__healthy(b, &pair, 0);
	syn_again(70000, 90000);
	bed__from_server(b, &pair, 70010, BED_SYNACK(7000, 90001));
	bed__end(b);
	cr_expect_eq(told(), 0);
}

Test(port_reuse, accepted_after_a_rst_is_nothing)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 20, 100);
	talk__rst(&t, 40, true, NO_X);
	syn_again(50, 90000);
	bed__from_server(b, &pair, 60, BED_SYNACK(7000, 90001));
	bed__end(b);
	cr_expect_eq(told(), 0);
}

Test(port_reuse, same_sequence_number_is_a_retransmission)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_client(b, &pair, 1000, BED_SYN(1000));
	bed__from_server(b, &pair, 1010, BED_SYNACK(7000, 1001));
	bed__end(b);
	cr_expect_eq(told(), 0);
}

Test(port_reuse, challenged_and_let_in_a_second_later)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 20, 100);
	syn_again(5030, 90000);
	talk__ack(&t, 5040, false, NO_X); /* the server's numbers for the old connection */
	bed__from_client(b, &pair, 5041, BED_RST(1101));
	bed__from_client(b, &pair, 6030, BED_SYN(90000));
	bed__from_server(b, &pair, 6040, BED_SYNACK(7000, 90001));
	bed__from_client(b, &pair, 6041, BED_ACK(90001, 7001));
	bed__end(b);
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_str_eq(bed__detail_string(only(), "outcome"), "challenged");
	cr_expect_eq(bed__detail(only(), "age_ms"), 5000);
	cr_expect_eq(bed__detail(only(), "recovered"), 1);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 0, "the RST is part of it");
	cr_expect_eq(bed__count(b, "mirror.loss", TL_INFO), 0, "nor were bytes missed");
}

Test(port_reuse, challenge_shows_an_old_connection_that_was_not_seen)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 10, BED_DATA(5000, 1485, 31));
	bed__from_client(b, &pair, 11, BED_RST(1485));
	bed__end(b);
	cr_expect_geq(only()->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only(), "age_ms"), UINT64_MAX, "unknown");
	cr_expect_eq(only()->evidence_count, 3);
}

Test(port_reuse, straggler_of_the_old_connection_is_no_challenge)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 20, 100);
	talk__rst(&t, 40, true, NO_X);
	syn_again(45, 90000);
	talk__data(&t, 48, false, 200); /* sent before the RST came there */
	bed__from_server(b, &pair, 55, BED_SYNACK(7000, 90001));
	bed__from_client(b, &pair, 56, BED_ACK(90001, 7001));
	bed__end(b);
	cr_expect_eq(told(), 0);
}

Test(port_reuse, mirror_that_loses_the_synack_is_no_challenge)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_client(b, &pair, 11, BED_ACK(1001, 5001));
	bed__from_client(b, &pair, 12, BED_DATA(1001, 5001, 100));
	bed__from_server(b, &pair, 20, BED_ACK(5001, 1101));
	bed__from_client(b, &pair, 30, BED_RST(1101));
	bed__end(b);
	cr_expect_eq(told(), 0);
}

Test(port_reuse, reset_in_time_wait_by_order_of_numbers)
{
	bed__healthy(b, &pair, 0);
	syn_again(2041, 500); /* below the old one's 1000 */
	bed__from_server(b, &pair, 2050, BED_RST_ACK(501));
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only(), "outcome"), "reset");
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_float_eq(only()->confidence, 0.8, 1e-9);
}

Test(port_reuse, reset_against_the_order_of_numbers_is_less_sure)
{
	bed__healthy(b, &pair, 0);
	syn_again(2041, 90000);
	bed__from_server(b, &pair, 2050, BED_RST_ACK(90001));
	bed__end(b);
	cr_expect_leq(only()->confidence, 0.5);
	cr_expect_gt(only()->counter_evidence_count, 0);
}

Test(port_reuse, retry_of_a_connection_that_never_stood_is_nothing)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 10, BED_RST_ACK(1001));
	syn_again(1000, 2000);
	bed__from_server(b, &pair, 1010, BED_RST_ACK(2001));
	bed__end(b);
	cr_expect_eq(told(), 0, "connect.refused says it");
}

Test(port_reuse, silent)
{
	bed__healthy(b, &pair, 0);
	syn_again(2041, 500);
	bed__from_client(b, &pair, 3041, BED_SYN(500));
	bed__from_client(b, &pair, 5041, BED_SYN(500));
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only(), "outcome"), "silent");
	cr_expect_eq(bed__detail(only(), "age_ms"), 2000);
}

Test(port_reuse, many_are_one_finding)
{
	for (unsigned i = 0; i < 10; i++) {
		struct bed_pair p = pair;

		p.client_port = (uint16_t)(50000 + i);
		bed__healthy(b, &p, i * 100);
	}
	for (unsigned i = 0; i < 10; i++) {
		struct bed_pair p = pair;

		p.client_port = (uint16_t)(50000 + i);
		fault__reuse(b, &p);
		bed__from_client(b, &p, 2000 + i * 100, BED_SYN(90000));
		bed__from_server(b, &p, 2010 + i * 100, BED_SYNACK(7000, 90001));
		bed__from_client(b, &p, 2011 + i * 100, BED_ACK(90001, 7001));
	}
	bed__end(b);
	cr_expect_eq(only()->count, 10);
	cr_expect_eq(bed__detail(only(), "flows"), 10);
	cr_expect_eq(bed__detail(only(), "age_ms"), 2000 - 41);
}
