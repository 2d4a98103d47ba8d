/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.reset, tcp.idle_timeout and service.crash; and the RSTs of healthy connections.
 */
#include <criterion/criterion.h>

#include "unit/tcp_fault_bed.h"

#define NO_X   ((struct fault_extra){ 0 })
#define CLIENT true
#define SERVER false

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

TestSuite(reset, .init = begin, .fini = end);

static struct bed_pair pair_of(unsigned i)
{
	struct bed_pair p = pair;

	p.client = i % 2 ? "10.0.1.5" : "10.0.1.6";
	p.client_port = (uint16_t)(50000 + i);
	return p;
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static void expect_nothing(void)
{
	cr_expect_eq(bed__count(b, "tcp.", TL_INFO), 0, "%s",
		     b->finding_count ? b->finding[0].summary : "");
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

/* The capture shows the end alone: a FIN may have gone before it. */
Test(reset, rst_to_the_last_ack_of_a_connection_that_began_before)
{
	bed__from_client(b, &pair, 0, BED_ACK(1001, 5001));
	bed__from_server(b, &pair, 4, BED_RST(5001));
	bed__end(b);
	expect_nothing();
}

/* --- tcp.reset ------------------------------------------------------------------------------- */

Test(reset, server_cuts_while_an_answer_is_awaited)
{
	struct talk t = talk__open(b, &pair, 0);
	const struct tl_finding *f;

	talk__up(&t, 100, 200);
	talk__rst(&t, 150, SERVER, NO_X);
	bed__end(b);
	f = only("tcp.reset");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_str_eq(bed__detail_string(f, "sender"), "server");
	cr_expect_str_eq(bed__detail_string(f, "phase"), "transfer");
	cr_expect_eq(bed__detail(f, "flows"), 1);
	cr_expect_eq(bed__detail(f, "pending"), 1);
	cr_expect(fault__has_proof(f));
	cr_expect_eq(f->evidence[f->evidence_count - 1].frame, 6);
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && "
					    "tcp.port==40112 && tcp.port==8080");
}

Test(reset, server_that_drops_whom_it_accepted)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__rst(&t, 30, SERVER, NO_X);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "phase"), "handshake");
	cr_expect_eq(only("tcp.reset")->severity, TL_WARNING);
}

Test(reset, one_server_and_its_clients_are_one_finding)
{
	for (unsigned i = 0; i < 20; i++) {
		struct bed_pair p = pair_of(i);
		struct talk t = talk__open(b, &p, i * 1000);

		talk__up(&t, i * 1000 + 100, 200);
		talk__rst(&t, i * 1000 + 150, SERVER, NO_X);
	}
	bed__end(b);
	cr_expect_eq(only("tcp.reset")->count, 20);
	cr_expect_eq(bed__detail(only("tcp.reset"), "flows"), 20);
	cr_expect_str_eq(only("tcp.reset")->display_filter, "ip.addr==10.0.2.10 && tcp.port==8080");
	cr_expect(fault__has_proof(only("tcp.reset")));
}

Test(reset, client_that_leaves_a_download_is_an_info)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 100, 200);
	talk__down(&t, 150, 1400);
	talk__data(&t, 170, SERVER, 1400);
	talk__send(&t, AT(175, CLIENT), BED_RST(t.up), NO_X);
	bed__end(b);
	cr_expect_eq(only("tcp.reset")->severity, TL_INFO);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "client");
}

Test(reset, client_that_has_all_may_leave)
{
	for (unsigned i = 0; i < 20; i++) {
		struct bed_pair p = pair_of(i);
		struct talk t = talk__open(b, &p, i * 100);

		talk__up(&t, i * 100 + 20, 200);
		talk__down(&t, i * 100 + 40, 1400);
		talk__rst(&t, i * 100 + 60, CLIENT, NO_X);
	}
	bed__end(b);
	expect_nothing();
}

Test(reset, client_that_knocks_and_leaves_is_a_health_check)
{
	for (unsigned i = 0; i < 20; i++) {
		struct bed_pair p = pair_of(i);
		struct talk t = talk__open(b, &p, i * 100);

		talk__rst(&t, i * 100 + 12, CLIENT, NO_X);
	}
	bed__end(b);
	expect_nothing();
}

Test(reset, rst_to_the_synack_is_half_open_scanning)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 10, BED_SYNACK(5000, 1001));
	bed__from_client(b, &pair, 11, BED_RST(1001));
	bed__end(b);
	expect_nothing();
}

Test(reset, after_a_fin_it_cuts_nothing)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 20, 200);
	talk__fin(&t, 40, CLIENT);
	talk__data(&t, 45, SERVER, 500); /* was on its way */
	talk__send(&t, AT(50, CLIENT), BED_RST(t.up), NO_X);
	bed__end(b);
	expect_nothing();
}

Test(reset, to_a_syn_is_told_by_connect_alone)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 10, BED_RST_ACK(1001));
	bed__end(b);
	expect_nothing();
	cr_expect_eq(bed__count(b, "connect.refused", TL_INFO), 1);
}

Test(reset, windows_tries_again_with_the_same_syn_after_a_rst)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 10, BED_RST_ACK(1001));
	bed__from_client(b, &pair, 500, BED_SYN(1000));
	bed__from_server(b, &pair, 510, BED_SYNACK(5000, 1001));
	bed__from_client(b, &pair, 511, BED_ACK(1001, 5001));
	bed__end(b);
	expect_nothing();
}

Test(reset, answer_that_the_mirror_lost_is_no_cut)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 20, 200);
	t.down += 700; /* never seen */
	talk__rst(&t, 60, CLIENT, NO_X);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 0);
}

/* --- tcp.idle_timeout ------------------------------------------------------------------------ */

/* `n` connections, each a second after the other, cut by the server after `idle_ms[i]`. */
static void idle(unsigned n, const uint64_t *idle_ms)
{
	for (uint64_t ms = 0; ms < 200000; ms += 10)
		for (unsigned i = 0; i < n; i++) {
			static struct talk t[32];
			struct bed_pair p = pair_of(i);

			if (ms == i * 1000)
				t[i] = talk__open(b, &p, ms);
			else if (ms == i * 1000 + 50)
				talk__up(&t[i], ms, 100);
			else if (ms == i * 1000 + 100)
				talk__down(&t[i], ms, 100);
			else if (ms == i * 1000 + 100 + idle_ms[i] / 10 * 10)
				talk__rst(&t[i], i * 1000 + 100 + idle_ms[i], SERVER, NO_X);
		}
	bed__end(b);
}

Test(reset, timer)
{
	static const uint64_t ms[] = { 60000, 60100, 59900, 60050, 60000, 60020 };
	const struct tl_finding *f;

	idle(6, ms);
	f = only("tcp.idle_timeout");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_eq(bed__detail(f, "flows"), 6);
	cr_expect(bed__detail(f, "idle_ms") >= 60000 && bed__detail(f, "idle_ms") <= 60020);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 0, "one cause, one finding");
	cr_expect(fault__has_proof(f));
}

Test(reset, four_are_no_timer)
{
	static const uint64_t ms[] = { 60000, 60000, 60000, 60000 };

	idle(4, ms);
	cr_expect_eq(bed__count(b, "tcp.idle_timeout", TL_INFO), 0);
	cr_expect_eq(only("tcp.reset")->severity, TL_INFO);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "phase"), "idle");
}

/*
 * A load balancer closes by a FIN after 30 s; `asks` of the clients do not notice, and ask again on
 * the same connection 10 s later.
 */
static void idle_closed(unsigned n, unsigned asks)
{
	struct talk t[16];

	for (unsigned i = 0; i < n; i++) {
		struct bed_pair p = pair_of(i);

		t[i] = talk__open(b, &p, i * 2000);
		talk__up(&t[i], i * 2000 + 100, 50);
		talk__down(&t[i], i * 2000 + 120, 50);
	}
	for (unsigned i = 0; i < n; i++) {
		talk__fin(&t[i], i * 2000 + 30120, SERVER);
		talk__ack(&t[i], i * 2000 + 30125, CLIENT, NO_X);
	}
	for (unsigned i = 0; i < asks; i++) {
		talk__data(&t[i], 70000 + i * 2000, CLIENT, 50);
		talk__rst(&t[i], 70010 + i * 2000, SERVER, NO_X);
	}
	bed__end(b);
}

Test(reset, idle_timer_that_closes_by_fin)
{
	idle_closed(8, 6);
	cr_expect_eq(only("tcp.idle_timeout")->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "flows"), 8);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "by_fin"), 2);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "idle_ms"), 30000);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "pending"), 0);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 0);
}

Test(reset, idle_timer_that_aborts_behind_its_fin)
{
	struct talk t[6];

	for (unsigned i = 0; i < 6; i++) {
		struct bed_pair p = pair_of(i);

		t[i] = talk__open(b, &p, i * 1000);
		talk__up(&t[i], i * 1000 + 100, 50);
		talk__down(&t[i], i * 1000 + 120, 50);
	}
	for (unsigned i = 0; i < 6; i++) {
		talk__fin(&t[i], i * 1000 + 20120, SERVER);
		talk__rst(&t[i], i * 1000 + 20120, SERVER, NO_X);
	}
	bed__end(b);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "flows"), 6);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "idle_ms"), 20000);
}

/* Few notice too late: a timer, worth knowing. */
Test(reset, a_keep_alive_that_ends_is_no_fault)
{
	idle_closed(12, 3);
	cr_expect_eq(bed__count(b, "tcp.", TL_INFO), 1);
	cr_expect_eq(only("tcp.idle_timeout")->severity, TL_INFO);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "by_fin"), 9);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "idle_ms"), 30000);
}

Test(reset, scattered_idle_times_are_no_timer)
{
	static const uint64_t ms[] = { 10000, 14000, 20000, 29000, 41000, 60000, 85000, 120000 };

	idle(8, ms);
	cr_expect_eq(bed__count(b, "tcp.idle_timeout", TL_INFO), 0);
	cr_expect_eq(only("tcp.reset")->count, 8);
}

Test(reset, what_is_beside_the_timer_stays_a_reset)
{
	static const uint64_t ms[] = { 30000, 30000, 12000, 30000, 30000, 30000 };

	idle(6, ms);
	cr_expect_eq(bed__detail(only("tcp.idle_timeout"), "flows"), 5);
	cr_expect_eq(bed__detail(only("tcp.reset"), "flows"), 1);
}

/* --- service.crash --------------------------------------------------------------------------- */

enum how { KILLED, ABORTED };

/* `n` connections that the server ends at 1000 ms, and clients that come back to a closed port. */
static void crash(unsigned n, enum how how, bool refuses)
{
	struct talk t[32];

	for (unsigned i = 0; i < n; i++) {
		struct bed_pair p = pair_of(i);

		t[i] = talk__open(b, &p, i * 10);
		talk__up(&t[i], 500 + i, 100);
		talk__down(&t[i], 520 + i, 100);
	}
	for (unsigned i = 0; i < n; i++) {
		if (how == KILLED)
			talk__fin(&t[i], 1000 + i, SERVER);
		else
			talk__rst(&t[i], 1000 + i, SERVER, NO_X);
	}
	for (unsigned i = 0; i < 3 && refuses; i++) {
		struct bed_pair p = pair_of(100 + i);

		bed__from_client(b, &p, 1200 + i * 500, BED_SYN(1));
		bed__from_server(b, &p, 1201 + i * 500, BED_RST_ACK(2));
	}
}

static void come_back(uint64_t ms)
{
	struct bed_pair p = pair_of(200);

	bed__healthy(b, &p, ms);
}

Test(reset, crash_and_recovery)
{
	const struct tl_finding *f;

	crash(8, KILLED, true);
	come_back(5000);
	bed__end(b);
	f = only("service.crash");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "flows"), 8);
	cr_expect_eq(bed__detail(f, "downtime_ms"), 4010);
	cr_expect(fault__has_proof(f));
	cr_expect_eq(f->subject.server.port, 8080);
	cr_expect_eq(f->first_ns, BED_START_NS + 1000 * BED_MS);
	cr_expect_eq(f->last_ns, BED_START_NS + 5010 * BED_MS);
}

Test(reset, crash_takes_its_resets_with_it)
{
	crash(8, ABORTED, true);
	come_back(5000);
	bed__end(b);
	cr_expect_eq(bed__detail(only("service.crash"), "flows"), 8);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 0);
}

Test(reset, crash_without_recovery)
{
	crash(8, KILLED, true);
	bed__end(b);
	cr_expect_eq(bed__detail(only("service.crash"), "downtime_ms"), 1201);
	cr_expect(strstr(only("service.crash")->summary, "not seen to come back"));
}

Test(reset, drained_load_balancer_is_no_crash)
{
	crash(8, KILLED, false);
	come_back(1500);
	bed__end(b);
	expect_nothing();
}

Test(reset, two_connections_are_no_crash)
{
	crash(2, KILLED, true);
	come_back(5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

Test(reset, client_that_alone_is_refused_is_no_crash)
{
	struct bed_pair stranger = { "10.9.9.9", "10.0.2.10", 40000, 8080 };

	crash(8, KILLED, false);
	bed__from_client(b, &stranger, 1200, BED_SYN(1));
	bed__from_server(b, &stranger, 1201, BED_RST_ACK(2));
	come_back(9000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

/* Over a way of 1.2 s, what comes 1.3 s after the request answers it. */
Test(reset, rst_that_answers_over_a_long_way_is_no_idle_one)
{
	struct bed_pair p = pair_of(0);

	bed__from_client(b, &p, 0, BED_SYN(1000));
	bed__from_server(b, &p, 1200, BED_SYNACK(5000, 1001));
	bed__from_client(b, &p, 1201, BED_ACK(1001, 5001));
	bed__from_client(b, &p, 1202, BED_DATA(1001, 5001, 100));
	bed__from_server(
		b, &p, 2502,
		(struct bed_tcp){ .flags = TL_TCP_RST | TL_TCP_ACK, .seq = 5001, .ack = 1101 });
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "phase"), "transfer");
}

/* HTTP/1.0: a connection for each answer, closed behind it; then one SYN gets lost. */
Test(reset, server_that_closes_behind_each_answer_is_no_crash)
{
	struct bed_pair p;

	for (unsigned i = 0; i < 8; i++) {
		struct talk t;

		p = pair_of(0);
		p.client_port = (uint16_t)(50000 + i);
		t = talk__open(b, &p, i * 50);
		talk__up(&t, i * 50 + 20, 100);
		talk__down(&t, i * 50 + 30, 100);
		talk__fin(&t, i * 50 + 31, SERVER);
	}
	p.client_port = 50100;
	bed__from_client(b, &p, 500, BED_SYN(1));
	bed__from_client(b, &p, 1500, BED_SYN(1));
	bed__from_client(b, &p, 3500, BED_SYN(1));
	bed__from_server(b, &p, 3510, BED_SYNACK(5000, 2));
	bed__end(b);
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

/* Several connections end by themselves at once, and a SYN is lost: it is answered when repeated.
 */
Test(reset, syn_that_is_answered_when_repeated_is_no_outage)
{
	struct bed_pair p = pair_of(0);

	crash(8, KILLED, false);
	p.client_port = 50100;
	bed__from_client(b, &p, 1200, BED_SYN(1));
	bed__from_client(b, &p, 2200, BED_SYN(1));
	bed__from_server(b, &p, 2210, BED_SYNACK(5000, 2));
	bed__end(b);
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

Test(reset, server_that_goes_on_to_serve_is_no_crash)
{
	struct bed_pair p = pair_of(31);
	struct talk t = talk__open(b, &p, 0);

	crash(8, KILLED, true);
	for (uint64_t ms = 2300; ms < 4000; ms += 200) {
		talk__up(&t, ms, 50);
		talk__down(&t, ms + 20, 50);
	}
	come_back(5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "service.", TL_INFO), 0);
}

Test(reset, live_and_file_say_the_same)
{
	struct tl_finding from_file;

	crash(8, ABORTED, true);
	come_back(5000);
	bed__end(b);
	from_file = *only("service.crash");
	bed__free(b);
	b = bed__start(true);
	crash(8, ABORTED, true);
	bed__idle_until(b, 4900);
	come_back(5000);
	bed__idle_until(b, 900000);
	cr_expect(bed__same(only("service.crash"), &from_file));
	bed__end(b);
}

Test(reset, healthy_connections_are_healthy)
{
	for (unsigned i = 0; i < 200; i++) {
		struct bed_pair p = pair_of(i);

		bed__healthy(b, &p, i * 20);
	}
	bed__end(b);
	expect_nothing();
}
