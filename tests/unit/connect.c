/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * connect.*: what is a fault, what is none, and what the finding says. Packets go through the whole
 * of tl_analysis, as the engine drives it.
 */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static const struct bed_pair seed = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static const struct bed_pair web = { "10.0.1.5", "10.0.2.10", 40200, 80 };

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(connect, .init = begin, .fini = end);

static void syns(const struct bed_pair *p, uint64_t ms, uint32_t isn, unsigned n)
{
	static const uint64_t backoff_ms[] = { 0, 1000, 3000, 7000, 15000, 31000 };

	for (unsigned i = 0; i < n; i++)
		bed__from_client(b, p, ms + backoff_ms[i], BED_SYN(isn));
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

/* --- no_answer ------------------------------------------------------------------------------- */

Test(connect, no_answer_says_what_the_contract_says)
{
	const struct tl_finding *f;

	bed__healthy(b, &web, 0);
	syns(&seed, 1000, 1001, 4);
	bed__end(b);
	f = only("connect.no_answer");
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_float_eq(f->confidence, 0.97, 1e-9);
	cr_expect_str_eq(f->summary, "10.0.1.5 sent 4 SYNs to 10.0.2.10:8080 in 7.0 s and nothing "
				     "came back");
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && "
					    "tcp.port==40112 && tcp.port==8080 && "
					    "tcp.flags.syn==1");
	cr_expect_str_eq(f->next, "look at the firewall rules for tcp/8080 on the way to "
				  "10.0.2.10; is the host up?");
	cr_expect_eq(bed__detail(f, "syn_count"), 4);
	cr_expect_eq(bed__detail(f, "waited_ms"), 7000);
	cr_expect_eq(bed__detail(f, "flows"), 1);
	cr_expect_eq(f->first_ns, BED_START_NS + 1000 * BED_MS);
	cr_expect_eq(f->last_ns, BED_START_NS + 8000 * BED_MS);
	cr_assert_eq(f->evidence_count, 4);
	cr_expect_eq(f->evidence[0].frame, 11);
	cr_expect_eq(f->evidence[3].frame, 14);
	cr_expect_str_eq(f->evidence[0].what, "SYN, seq 1001");
	cr_expect_eq(f->subject.client.port, 40112);
	cr_expect_eq(f->subject.server.port, 8080);
	cr_expect_eq(f->subject.proto, 6);
}

Test(connect, no_answer_alone_in_the_capture_is_less_sure)
{
	syns(&seed, 0, 1001, 4);
	bed__end(b);
	cr_expect_lt(only("connect.no_answer")->confidence, 0.9);
	cr_expect_gt(only("connect.no_answer")->counter_evidence_count, 0);
}

Test(connect, late_answer_is_no_fault)
{
	syns(&seed, 0, 1001, 4);
	bed__from_server(b, &seed, 7100, BED_SYNACK(9000, 1002));
	bed__from_client(b, &seed, 7101, BED_ACK(1002, 9001));
	bed__from_server(b, &seed, 7200, BED_ACK(9001, 1002));
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

Test(connect, two_syns_need_three_seconds)
{
	bed__from_client(b, &seed, 0, BED_SYN(1));
	bed__from_client(b, &seed, 1000, BED_SYN(1));
	bed__from_client(b, &web, 2900, BED_ACK(1, 1));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, two_syns_and_three_quiet_seconds)
{
	bed__from_client(b, &seed, 0, BED_SYN(1));
	bed__from_client(b, &seed, 1000, BED_SYN(1));
	bed__from_client(b, &web, 3000, BED_ACK(1, 1));
	bed__end(b);
	cr_expect_eq(bed__detail(only("connect.no_answer"), "waited_ms"), 1000,
		     "of the attempt's packets, whatever came after");
}

Test(connect, three_syns_are_enough_when_the_capture_ends)
{
	for (unsigned i = 0; i < 3; i++)
		bed__from_client(b, &seed, i * 1000, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(bed__detail(only("connect.no_answer"), "syn_count"), 3);
}

Test(connect, three_syns_within_milliseconds_are_no_wait)
{
	for (unsigned i = 0; i < 3; i++)
		bed__from_client(b, &seed, i, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

Test(connect, lone_syn_at_the_end_is_no_fault)
{
	bed__healthy(b, &web, 0);
	bed__from_client(b, &seed, 1000, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

Test(connect, lone_syn_in_a_capture_of_nothing_else_is_no_fault)
{
	bed__from_client(b, &seed, 0, BED_SYN(1));
	bed__from_client(b, &web, 10000, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

Test(connect, lone_syn_in_a_two_way_mirror_is_a_warning)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 20; i++)
		bed__healthy(b, &(struct bed_pair){ "10.0.1.5", "10.0.2.10", 50000 + i, 80 },
			     i * 100);
	bed__from_client(b, &seed, 3000, BED_SYN(1));
	for (unsigned i = 0; i < 20; i++)
		bed__healthy(b, &(struct bed_pair){ "10.0.1.5", "10.0.2.10", 51000 + i, 80 },
			     4000 + i * 200);
	bed__end(b);
	f = only("connect.no_answer");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_lt(f->confidence, 0.7);
}

Test(connect, lone_syn_is_no_fault_where_packets_are_missing)
{
	for (unsigned i = 0; i < 20; i++)
		bed__healthy(b, &(struct bed_pair){ "10.0.1.5", "10.0.2.10", 50000 + i, 80 },
			     i * 100);
	bed__from_client(b, &seed, 3000, BED_SYN(1));
	bed__healthy(b, &web, 9000);
	b->totals.source.sampled_out = 1;
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, own_losses_speak_against)
{
	double sure;

	bed__healthy(b, &web, 0);
	syns(&seed, 1000, 1001, 4);
	b->totals.source.dropped.ring_full = 5;
	bed__end(b);
	sure = only("connect.no_answer")->confidence;
	cr_expect_lt(sure, 0.9);
	cr_assert_eq(only("connect.no_answer")->counter_evidence_count, 1);
	cr_expect_str_eq(only("connect.no_answer")->counter_evidence[0].what,
			 "5 packets were lost, sampled out or not analyzed here");
}

Test(connect, copies_are_no_repetitions)
{
	bed__healthy(b, &web, 0);
	for (unsigned i = 0; i < 4; i++) {
		struct bed_tcp t = BED_SYN(1);

		t.is_copy = i > 0;
		bed__from_client(b, &seed, 1000, t);
	}
	bed__from_client(b, &seed, 1001, BED_RST(518));
	bed__from_client(b, &web, 10000, BED_ACK(1102, 5502));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, one_way_mirror_shows_no_answers)
{
	for (unsigned i = 0; i < 30; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 50000 + i, 80 };

		bed__from_client(b, &p, i * 200, BED_SYN(1));
		if (i % 3 == 0) /* its SYN was lost once, the answer came then */
			bed__from_client(b, &p, i * 200 + 1000, BED_SYN(1));
	}
	for (unsigned i = 0; i < 30; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 50000 + i, 80 };

		bed__from_client(b, &p, 8000 + i, BED_ACK(2, 700));
		bed__from_client(b, &p, 8100 + i, BED_DATA(2, 700, 100));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, another_isn_is_another_attempt)
{
	bed__from_client(b, &seed, 0, BED_SYN(1));
	bed__from_client(b, &seed, 1000, BED_SYN(2));
	bed__from_client(b, &seed, 2000, BED_SYN(3));
	bed__from_client(b, &web, 9000, BED_ACK(1, 1));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0, "three ISNs, each one SYN");
}

Test(connect, one_dead_service_is_one_finding)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 5; i++)
		syns(&(struct bed_pair){ "10.0.1.5", "10.0.2.10", 40000 + i, 8080 }, i * 10,
		     100 + i, 3);
	syns(&(struct bed_pair){ "10.0.1.6", "10.0.2.10", 40000, 8080 }, 60, 7, 3);
	bed__end(b);
	f = only("connect.no_answer");
	cr_expect_eq(f->count, 6);
	cr_expect_eq(bed__detail(f, "flows"), 6);
	cr_expect_eq(bed__detail(f, "clients"), 2);
	cr_expect_eq(bed__detail(f, "syn_count"), 18);
	cr_expect_eq(f->subject.client.port, 40000, "the first client");
	cr_expect_str_eq(f->display_filter,
			 "ip.addr==10.0.2.10 && tcp.port==8080 && tcp.flags.syn==1");
	cr_expect_eq(f->evidence_count, TL_EVIDENCE_MAX);
	for (unsigned i = 1; i < f->evidence_count; i++)
		cr_expect_geq(f->evidence[i].ts_ns, f->evidence[i - 1].ts_ns);
}

Test(connect, a_scan_is_one_finding)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 300; i++)
		syns(&(struct bed_pair){ "10.0.1.5", "10.0.2.10", 40000, 1000 + i }, i, i, 3);
	bed__end(b);
	f = only("connect.no_answer");
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(bed__detail(f, "flows"), 300);
	cr_expect_lt(f->severity, TL_ERROR);
	cr_expect_str_eq(f->display_filter,
			 "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && tcp.flags.syn==1");
}

Test(connect, a_sweep_over_hosts_is_one_finding)
{
	char host[200][20];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(host[i], sizeof(host[i]), "10.0.3.%u", i + 1);
		syns(&(struct bed_pair){ "10.0.1.5", host[i], 40000, 22 }, i, i, 3);
	}
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(bed__detail(only("connect.no_answer"), "flows"), 200);
	cr_expect_str_eq(only("connect.no_answer")->display_filter,
			 "ip.addr==10.0.1.5 && tcp.flags.syn==1");
}

Test(connect, mostly_working_service_is_a_warning)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 95; i++)
		bed__healthy(b, &(struct bed_pair){ "10.0.1.5", "10.0.2.10", 50000 + i, 80 },
			     i * 100);
	syns(&web, 10000, 1, 3);
	bed__end(b);
	f = only("connect.no_answer");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_gt(f->counter_evidence_count, 0);
}

Test(connect, ipv6)
{
	const struct bed_pair p = { "2001:db8::5", "2001:db8::10", 40112, 8080 };

	syns(&p, 0, 77, 4);
	bed__end(b);
	cr_expect_str_eq(only("connect.no_answer")->summary,
			 "2001:db8::5 sent 4 SYNs to [2001:db8::10]:8080 in 7.0 s and nothing came "
			 "back");
	cr_expect_str_eq(only("connect.no_answer")->display_filter,
			 "ipv6.addr==2001:db8::5 && ipv6.addr==2001:db8::10 && tcp.port==40112 && "
			 "tcp.port==8080 && tcp.flags.syn==1");
}

Test(connect, simultaneous_open_is_no_fault)
{
	bed__from_client(b, &seed, 0, BED_SYN(1));
	bed__from_server(b, &seed, 1, BED_SYN(2));
	bed__from_client(b, &seed, 1000, BED_SYN(1));
	bed__from_client(b, &seed, 3000, BED_SYN(1));
	bed__from_client(b, &seed, 7000, BED_SYN(1));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

/* --- live ------------------------------------------------------------------------------------ */

static struct tl_finding settled(bool live, uint64_t idle_until_ms)
{
	struct bed *mine = bed__start(live);
	struct bed *before = b;
	struct tl_finding f;

	b = mine;
	bed__healthy(b, &web, 0);
	syns(&seed, 1000, 1001, 4);
	if (idle_until_ms)
		bed__idle_until(b, idle_until_ms);
	bed__end(b);
	f = *only("connect.no_answer");
	b = before;
	bed__free(mine);
	return f;
}

Test(connect, live_and_file_say_the_same)
{
	struct tl_finding file = settled(false, 0);
	struct tl_finding live = settled(true, 9000);
	struct tl_finding later = settled(true, 200000); /* the flow has expired since */

	cr_expect(bed__same(&file, &live));
	cr_expect(bed__same(&file, &later));
}

Test(connect, live_tells_while_the_client_still_waits)
{
	struct bed *mine = bed__start(true);

	bed__free(b);
	b = mine;
	syns(&seed, 0, 1001, 2);
	bed__idle_until(b, 2000);
	cr_expect_eq(b->open_count, 0, "a second and one repetition are too early");
	bed__from_client(b, &seed, 3000, BED_SYN(1001));
	bed__idle_until(b, 3400);
	cr_expect_eq(b->open_count, 0, "a router may still say that it finds no neighbour");
	bed__idle_until(b, 3700);
	cr_assert_eq(b->open_count, 1);
	cr_expect_str_eq(b->open.kind, "connect.no_answer");
	bed__from_client(b, &seed, 7000, BED_SYN(1001));
	bed__idle_until(b, 9000);
	cr_expect_eq(b->open_count, 2);
	cr_expect_eq(bed__detail(&b->open, "syn_count"), 4);
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
}

/* --- refused --------------------------------------------------------------------------------- */

Test(connect, refused)
{
	const struct tl_finding *f;

	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_RST_ACK(1001));
	bed__end(b);
	f = only("connect.refused");
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "syn_count"), 1);
	cr_assert_eq(f->evidence_count, 2);
	cr_expect_str_eq(f->evidence[1].what, "RST, seq 0");
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && "
					    "tcp.port==40112 && tcp.port==8080 && "
					    "(tcp.flags.syn==1 || tcp.flags.reset==1)");
}

Test(connect, refused_by_many_is_grouped_by_server)
{
	for (unsigned i = 0; i < 50; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000 + i, 8080 };
		unsigned at_ms = i * 100 + i * 37 % 80; /* no clock: that would be a finding too */

		bed__from_client(b, &p, at_ms, BED_SYN(1000));
		bed__from_server(b, &p, at_ms + 1, BED_RST_ACK(1001));
	}
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(only("connect.refused")->count, 50);
}

Test(connect, refused_port_scan_is_an_info)
{
	for (unsigned i = 0; i < 50; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000, 1000 + i };

		bed__from_client(b, &p, i * 10, BED_SYN(1000));
		bed__from_server(b, &p, i * 10 + 1, BED_RST_ACK(1001));
	}
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(only("connect.refused")->severity, TL_INFO);
	cr_expect_eq(bed__detail(only("connect.refused"), "flows"), 50);
}

Test(connect, rst_that_acks_something_else_refuses_nothing)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_RST_ACK(77));
	bed__from_server(b, &seed, 10, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 11, BED_ACK(1001, 9001));
	bed__from_server(b, &seed, 20, BED_ACK(9001, 1001));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, answer_after_a_forged_rst_takes_refused_back)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_RST_ACK(1001));
	bed__from_server(b, &seed, 10, BED_SYNACK(9000, 1001));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, refused_fast_open_acks_the_data_too)
{
	struct bed_tcp syn = BED_SYN(1000);

	syn.payload_bytes = 100;
	bed__from_client(b, &seed, 0, syn);
	bed__from_server(b, &seed, 1, BED_RST_ACK(1101));
	bed__end(b);
	cr_expect_not_null(bed__only(b, "connect.refused"));
}

Test(connect, health_check_that_resets_is_no_fault)
{
	for (unsigned i = 0; i < 5; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000 + i, 80 };

		bed__from_client(b, &p, i * 5000, BED_SYN(1000));
		bed__from_server(b, &p, i * 5000 + 1, BED_SYNACK(5, 1001));
		bed__from_client(b, &p, i * 5000 + 2, BED_RST(1001));
	}
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

/* --- return_path ----------------------------------------------------------------------------- */

Test(connect, return_path_syn_repeated_after_synack)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 4; i++) {
		static const uint64_t at[] = { 0, 1000, 3000, 7000 };

		bed__from_client(b, &seed, at[i], BED_SYN(1000));
		bed__from_server(b, &seed, at[i] + 5, BED_SYNACK(9000, 1001));
	}
	bed__end(b);
	f = only("connect.return_path");
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "syn_count"), 4);
	cr_expect_eq(bed__detail(f, "synack_count"), 4);
}

Test(connect, return_path_never_acked)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	for (unsigned i = 0; i < 4; i++)
		bed__from_server(b, &seed, 5 + (1000u << i) - 1000, BED_SYNACK(9000, 1001));
	bed__end(b);
	cr_expect_eq(bed__detail(only("connect.return_path"), "synack_count"), 4);
	cr_expect_lt(only("connect.return_path")->confidence, 0.9);
}

Test(connect, lost_synack_that_is_repeated_and_acked_is_no_fault)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 5, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 1000, BED_SYN(1000));
	bed__from_server(b, &seed, 1005, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 3000, BED_SYN(1000));
	bed__from_server(b, &seed, 3005, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 3010, BED_ACK(1001, 9001));
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}

Test(connect, synack_alone_is_no_fault)
{
	bed__from_server(b, &seed, 0, BED_SYNACK(123, 411563204));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

/* --- queue_overflow --------------------------------------------------------------------------- */

static void overflow(void)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 2, BED_ACK(1001, 9001));
	bed__from_client(b, &seed, 3, BED_DATA(1001, 9001, 5));
	bed__from_client(b, &seed, 204, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 1200, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 1201, BED_ACK(1006, 9001));
	bed__from_client(b, &seed, 1600, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 3200, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 3201, BED_ACK(1006, 9001));
}

Test(connect, queue_overflow)
{
	overflow();
	bed__from_server(b, &seed, 13000, BED_RST(9001));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 1);
	cr_expect_eq(only("connect.queue_overflow")->severity, TL_ERROR);
	cr_expect_eq(bed__detail(only("connect.queue_overflow"), "synack_count"), 3);
	cr_expect_gt(only("connect.queue_overflow")->confidence, 0.9);
}

Test(connect, queue_overflow_that_passes_is_a_warning)
{
	overflow();
	bed__from_server(b, &seed, 3300, BED_ACK(9001, 1006));
	bed__end(b);
	cr_expect_eq(only("connect.queue_overflow")->severity, TL_WARNING);
}

Test(connect, deferred_accept_is_no_overflow)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 2, BED_ACK(1001, 9001));
	bed__from_server(b, &seed, 1001, BED_SYNACK(9000, 1001)); /* no data yet: it waits for it */
	bed__from_client(b, &seed, 1002, BED_ACK(1001, 9001));
	bed__from_client(b, &seed, 1900, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 1901, BED_ACK(9001, 1006));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

Test(connect, synack_that_crossed_the_data_is_no_overflow)
{
	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__from_server(b, &seed, 1, BED_SYNACK(9000, 1001));
	bed__from_client(b, &seed, 1000, BED_DATA(1001, 9001, 5));
	bed__from_server(b, &seed, 1001, BED_SYNACK(9000, 1001));
	bed__from_server(b, &seed, 1050, BED_ACK(9001, 1006));
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 0);
}

/* --- limits ----------------------------------------------------------------------------------- */

Test(connect, a_flood_stays_within_bounds_and_is_one_finding)
{
	char client[20];

	for (unsigned i = 0; i < 7000; i++) {
		snprintf(client, sizeof(client), "10.%u.%u.7", 10 + i / 250, i % 250);
		syns(&(struct bed_pair){ client, "10.0.2.10", 40000, 80 }, 0, i, 1);
	}
	for (unsigned i = 0; i < 7000; i++) {
		snprintf(client, sizeof(client), "10.%u.%u.7", 10 + i / 250, i % 250);
		bed__from_client(b, &(struct bed_pair){ client, "10.0.2.10", 40000, 80 }, 1000 + i,
				 BED_SYN(i));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.", TL_INFO), 1);
	cr_expect_gt(only("connect.no_answer")->count, 3000);
	cr_expect_eq(bed__detail(only("connect.no_answer"), "clients"), 512);
}

/* One SYN each to three ports of a host, none of them repeated: nobody wanted an answer. */
Test(connect, knocks_at_ports_are_no_warning)
{
	struct bed_pair knock = seed;

	bed__healthy(b, &web, 0);
	for (unsigned i = 0; i < 3; i++) {
		knock.server_port = (uint16_t)(7000 + i * 1000);
		knock.client_port++;
		syns(&knock, 1000 + i * 500, 1001 + i * 77, 1);
	}
	bed__healthy(b, &web, 9000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.no_answer", TL_INFO), 3);
	cr_expect_eq(bed__count(b, "connect.", TL_WARNING), 0);
}
