/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.loss: where, how much, and when it matters.
 */
#include <criterion/criterion.h>

#include "unit/tcp_fault_bed.h"

#define NO_X   ((struct fault_extra){ 0 })
#define CLIENT true
#define SERVER false
#define MSS    1000u

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

TestSuite(loss, .init = begin, .fini = end);

static const struct tl_finding *only(void)
{
	const struct tl_finding *f = bed__only(b, "tcp.loss");

	cr_assert_not_null(f);
	return f;
}

struct plan {
	bool up;
	unsigned segments;
	unsigned each;	   /* one in so many is lost; 0: none */
	bool before;	   /* the tap */
	unsigned together; /* so many in a row */
};

static bool is_lost(const struct plan *p, unsigned i)
{
	return p->each && i > p->together && i % p->each < p->together;
}

/*
 * A transfer, one segment each 10 ms, ACKed 5 ms later. What is lost comes again 50 ms later, asked
 * for by duplicate ACKs; a row of losses comes again in a row, of which each is ACKed.
 */
static uint64_t transfer(struct talk *t, const struct plan *p, uint64_t ms)
{
	uint32_t *next = p->up ? &t->up : &t->down;
	uint32_t other = p->up ? t->down : t->up;

	for (unsigned i = 0; i < p->segments; i++) {
		uint32_t first = *next;
		unsigned lost = 0;

		for (; is_lost(p, i) && i < p->segments; i++, lost++) {
			if (!p->before)
				talk__send(t, AT(ms, p->up), BED_DATA(*next, other, MSS), NO_X);
			*next += MSS;
			ms += 10;
		}
		for (unsigned n = 0; lost && n < 3; n++) {
			talk__send(t, AT(ms, p->up), BED_DATA(*next, other, MSS), NO_X);
			*next += MSS;
			talk__send(t, AT(ms + 5, !p->up), BED_ACK(other, first), NO_X);
			ms += 10;
			i++;
		}
		for (unsigned n = 0; n < lost; n++) {
			talk__send(t, AT(ms + 30, p->up), BED_DATA(first + n * MSS, other, MSS),
				   NO_X);
			if (n + 1 < lost)
				talk__send(t, AT(ms + 35, !p->up),
					   BED_ACK(other, first + (n + 1) * MSS), NO_X);
			ms += 10;
		}
		ms += lost ? 50 : 0;
		talk__send(t, AT(ms, p->up), BED_DATA(*next, other, MSS), NO_X);
		*next += MSS;
		talk__send(t, AT(ms + 5, !p->up), BED_ACK(other, *next), NO_X);
		ms += 10;
	}
	return ms;
}

static const struct tl_finding *run(const struct plan *p)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 50, 100);
	talk__down(&t, 70, 100);
	transfer(&t, p, 100);
	bed__end(b);
	return bed__only(b, "tcp.loss");
}

static void expect_place(const struct tl_finding *f, const char *where, const char *side)
{
	cr_assert_not_null(f);
	cr_expect_str_eq(bed__detail_string(f, "where"), where);
	cr_expect_str_eq(bed__detail_string(f, "side"), side);
}

Test(loss, sent_by_the_server_and_lost_behind_the_tap_is_on_the_clients_side)
{
	expect_place(run(&(struct plan){ SERVER, 1000, 40, false, 1 }), "after_tap", "client");
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 24);
	cr_expect_eq(bed__detail(only(), "fast"), 24);
	cr_expect_eq(bed__detail(only(), "rto"), 0);
	cr_expect_eq(bed__detail(only(), "retransmitted_bytes"), 24 * MSS);
	cr_expect_eq(bed__detail(only(), "flows"), 1);
	cr_expect(fault__has_proof(only()));
}

/* A capture that began in the connection, and shows its sender alone. */
static void repeat_alone(unsigned times, bool goes_on)
{
	uint64_t ms = 0;

	for (unsigned i = 0; i <= times; i++) {
		bed__from_client(b, &pair, ms, BED_DATA(1000, 5000, MSS));
		ms += 300u << i;
	}
	if (goes_on)
		for (unsigned i = 1; i < 5; i++)
			bed__from_client(b, &pair, ms + i, BED_DATA(1000 + i * MSS, 5000, MSS));
	bed__end(b);
}

Test(loss, what_timers_repeat_is_lost_though_the_receiver_is_not_shown)
{
	repeat_alone(5, false);
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 5);
	cr_expect_eq(bed__detail(only(), "rto"), 5);
}

Test(loss, two_timers_are_too_few_where_the_receiver_is_not_shown)
{
	repeat_alone(2, false);
	cr_expect_null(bed__only(b, "tcp.loss"));
}

Test(loss, a_sender_that_goes_on_was_heard)
{
	repeat_alone(3, true);
	cr_expect_null(bed__only(b, "tcp.loss"));
}

/* The first finding is settled by then; a finding tells of one connection at the least. */
Test(loss, a_connection_that_loses_again_much_later_is_told_again)
{
	static const struct plan ill = { SERVER, 200, 20, false, 1 }, well = { .segments = 5 };
	struct talk t = talk__open(b, &pair, 0);
	uint32_t told = 0;

	talk__up(&t, 50, 100);
	talk__down(&t, 70, 100);
	transfer(&t, &ill, 100);
	transfer(&t, &well, 200000);
	transfer(&t, &well, 400000);
	transfer(&t, &ill, 600000);
	bed__end(b);
	for (uint32_t i = 0; i < b->finding_count; i++) {
		if (strcmp(b->finding[i].kind, "tcp.loss"))
			continue;
		told++;
		cr_expect_eq(bed__detail(&b->finding[i], "flows"), 1);
		cr_expect_geq(bed__detail(&b->finding[i], "bursts"), 1);
	}
	cr_expect_eq(told, 2);
}

Test(loss, sent_by_the_server_and_lost_before_the_tap_is_on_its_side)
{
	expect_place(run(&(struct plan){ SERVER, 1000, 40, true, 1 }), "before_tap", "server");
	cr_expect_eq(bed__detail(only(), "lost_segments"), 24);
}

Test(loss, sent_by_the_client_and_lost_behind_the_tap_is_on_the_servers_side)
{
	expect_place(run(&(struct plan){ CLIENT, 1000, 40, false, 1 }), "after_tap", "server");
}

Test(loss, sent_by_the_client_and_lost_before_the_tap_is_on_its_side)
{
	expect_place(run(&(struct plan){ CLIENT, 1000, 40, true, 1 }), "before_tap", "client");
}

/* Within a second one connection loses behind the tap and another before it: each is named. */
Test(loss, each_place_names_its_own_connection)
{
	struct talk t = talk__open(b, &pair, 0), u;
	struct bed_pair other = pair;
	unsigned seen = 0;

	other.client_port = (uint16_t)(pair.client_port + 1);
	u = talk__open(b, &other, 20);
	transfer(&u, &(struct plan){ SERVER, 30, 20, true, 1 },
		 transfer(&t, &(struct plan){ SERVER, 30, 20, false, 1 }, 100));
	bed__end(b);
	for (uint32_t i = 0; i < b->finding_count; i++) {
		const struct tl_finding *f = &b->finding[i];
		bool before;

		if (strcmp(f->kind, "tcp.loss"))
			continue;
		before = !strcmp(bed__detail_string(f, "where"), "before_tap");
		cr_expect_eq(f->subject.client.port, before ? other.client_port : pair.client_port);
		seen++;
	}
	cr_expect_eq(seen, 2);
}

Test(loss, none_is_nothing)
{
	cr_expect_null(run(&(struct plan){ SERVER, 1000, 0, false, 0 }));
}

Test(loss, a_few_on_a_long_way_are_an_info)
{
	cr_expect_eq(run(&(struct plan){ SERVER, 4000, 500, false, 1 })->severity, TL_INFO);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 7);
}

Test(loss, one_burst_is_how_slow_start_ends)
{
	cr_expect_eq(run(&(struct plan){ SERVER, 200, 120, false, 20 })->severity, TL_INFO);
	cr_expect_geq(bed__detail(only(), "largest_burst"), 20);
}

/* Three bursts of twelve are 3.6 % of the first thousand segments; of what follows nobody knows. */
Test(loss, a_queue_that_ran_over_a_few_times_is_an_info)
{
	cr_expect_eq(run(&(struct plan){ SERVER, 1000, 300, false, 12 })->severity, TL_INFO);
	cr_expect_eq(bed__detail(only(), "bursts"), 3);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 36);
}

Test(loss, a_queue_that_runs_over_again_and_again_is_a_warning)
{
	cr_expect_eq(run(&(struct plan){ SERVER, 2000, 300, false, 12 })->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only(), "bursts"), 6);
}

Test(loss, one_in_ten_is_an_error)
{
	cr_expect_eq(run(&(struct plan){ SERVER, 600, 10, false, 1 })->severity, TL_ERROR);
}

/* Segments overtake each other, and the sender repeats what had arrived. */
static const struct tl_finding *run_needless(unsigned segments, unsigned needless)
{
	struct plan p = { SERVER, segments, 10, false, 1 };
	struct talk t;
	uint64_t ms;

	bed__free(b);
	b = bed__start(false);
	t = talk__open(b, &pair, 0);
	talk__up(&t, 50, 100);
	talk__down(&t, 70, 100);
	ms = transfer(&t, &p, 100);
	for (unsigned n = 0; n < needless; n++)
		talk__send(&t, AT(ms + n, SERVER), BED_DATA(t.down - (n + 1) * MSS, t.up, MSS),
			   NO_X);
	bed__end(b);
	cr_expect_gt(bed__detail(only(), "spurious"), bed__detail(only(), "lost_segments"));
	return only();
}

Test(loss, more_needless_repeats_than_losses_are_an_info)
{
	const struct tl_finding *f = run_needless(400, 100);

	cr_expect_gt(bed__detail(f, "lost_segments"), 20);
	cr_expect_eq(f->severity, TL_INFO);
}

Test(loss, where_many_are_lost_it_takes_far_more_needless_repeats)
{
	const struct tl_finding *f = run_needless(600, 100);

	cr_expect_gt(bed__detail(f, "lost_segments"), 50);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(run_needless(600, 400)->severity, TL_INFO);
}

Test(loss, healthy_flows_of_the_same_way_count_in_the_rate)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bed_pair other = pair;
	uint64_t ms = transfer(&t, &(struct plan){ SERVER, 100, 20, false, 1 }, 100);

	for (unsigned i = 0; i < 20; i++) {
		other.client_port = (uint16_t)(50000 + i);
		t = talk__open(b, &other, ms);
		ms = transfer(&t, &(struct plan){ SERVER, 100, 0, false, 0 }, ms + 100);
	}
	bed__end(b);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 4);
	cr_expect_geq(bed__detail(only(), "segments"), 2100);
	cr_expect_eq(only()->severity, TL_INFO);
}

Test(loss, a_link_that_loses_is_one_finding)
{
	uint64_t ms = 0;

	for (unsigned i = 0; i < 10; i++) {
		char server[16];
		struct bed_pair p = pair;
		struct talk t;

		snprintf(server, sizeof(server), "10.0.2.%u", i + 1);
		p.server = server;
		t = talk__open(b, &p, ms);
		ms = transfer(&t, &(struct plan){ SERVER, 100, 20, false, 1 }, ms + 100);
	}
	bed__end(b);
	cr_expect_eq(bed__detail(only(), "lost_segments"), 40);
	cr_expect_eq(bed__detail(only(), "flows"), 10);
	cr_expect_str_eq(only()->display_filter, "ip.addr==10.0.1.5 && tcp");
	cr_expect(fault__has_proof(only()));
}

/* The last segment again and again, with the waits doubled. */
static uint64_t black_out(struct talk *t, uint64_t ms, unsigned times)
{
	uint64_t wait = 250;

	talk__data(t, ms, SERVER, MSS);
	for (unsigned i = 0; i < times; i++, wait *= 2) {
		ms += wait;
		talk__send(t, AT(ms, SERVER), BED_DATA(t->down - MSS, t->up, MSS), NO_X);
	}
	return ms;
}

Test(loss, connection_that_hung_for_seconds_is_an_error)
{
	struct talk t = talk__open(b, &pair, 0);
	uint64_t ms = transfer(&t, &(struct plan){ SERVER, 300, 0, false, 0 }, 100);

	ms = black_out(&t, ms, 5);
	talk__ack(&t, ms + 5, CLIENT, NO_X);
	transfer(&t, &(struct plan){ SERVER, 100, 0, false, 0 }, ms + 10);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_ERROR);
	cr_expect_geq(bed__detail(only(), "longest_wait_ms"), 7000);
	cr_expect_geq(bed__detail(only(), "rto"), 4);
}

Test(loss, host_that_is_gone_is_a_warning)
{
	struct talk t = talk__open(b, &pair, 0);

	black_out(&t, transfer(&t, &(struct plan){ SERVER, 300, 0, false, 0 }, 100), 6);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect(strstr(only()->cause, "gone"), "%s", only()->cause);
}

/* A server's clients, of which the first `losing` lose each tenth of what it sends them. */
static void serve(unsigned clients, unsigned losing)
{
	char ip[64][16];

	for (unsigned i = 0; i < clients; i++) {
		struct bed_pair p = pair;
		struct talk t;

		snprintf(ip[i], sizeof(ip[i]), "10.0.3.%u", i + 1);
		p.client = ip[i];
		p.client_port = (uint16_t)(41000 + i);
		t = talk__open(b, &p, i * 1000);
		talk__up(&t, i * 1000 + 50, 100);
		transfer(&t, &(struct plan){ SERVER, 40, i < losing ? 10 : 0, false, 1 },
			 i * 1000 + 100);
		talk__fin(&t, i * 1000 + 950, SERVER);
	}
	bed__end(b);
}

Test(loss, a_link_to_many_clients_is_one_finding)
{
	serve(40, 40);
	cr_expect_eq(bed__count(b, "tcp.loss", TL_INFO), 1);
	cr_expect_eq(only()->severity, TL_ERROR);
	cr_expect_eq(bed__detail(only(), "flows"), 40);
	cr_expect_str_eq(bed__detail_string(only(), "side"), "client");
	cr_expect_not_null(strstr(only()->summary, "the clients of 10.0.2.10"), "%s",
			   only()->summary);
	cr_expect_eq(bed__detail(only(), "lost_segments"), only()->count);
}

Test(loss, some_of_many_clients_that_lose_are_their_own_matter)
{
	serve(60, 10);
	cr_expect_eq(bed__count(b, "tcp.loss", TL_WARNING), 0);
}

/* A host dies: what is sent to it is sent again and again, and `syns` SYNs go unanswered as well.
 */
static void die(unsigned syns)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bed_pair anew = pair;

	anew.client_port++;
	talk__up(&t, 100, 200);
	talk__down(&t, 150, 100);
	talk__data(&t, 200, CLIENT, 500);
	for (unsigned i = 0; i < 6; i++)
		talk__send(&t, AT(200 + (200u << i), CLIENT), BED_DATA(t.up - 500, t.down, 500),
			   NO_X);
	for (unsigned i = 0; i < syns; i++)
		bed__from_client(b, &anew, 7000 + (1000u << i), BED_SYN(77));
}

Test(loss, host_that_answers_no_syn_either_is_told_by_connect)
{
	die(4);
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.no_answer", TL_ERROR), 1);
	cr_expect_eq(only()->severity, TL_INFO);
	cr_expect_eq(bed__detail(only(), "rto"), 6);
	cr_expect_not_null(strstr(only()->counter_evidence[0].what, "connect"));
}

Test(loss, host_that_nobody_connects_to_any_more_is_a_warning)
{
	die(0);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_WARNING);
	cr_expect_str_eq(only()->summary, "6 segments were sent to 10.0.2.10 again in 1 connection "
					  "with 10.0.1.5, and nothing came back any more; one hung "
					  "for 6.4 s");
	cr_expect_str_eq(bed__detail_string(only(), "where"), "after_tap");
}

Test(loss, host_that_is_gone_is_told_while_its_peer_waits)
{
	bed__free(b);
	b = bed__start(true);
	die(0);
	bed__idle_until(b, 10000);
	cr_expect_geq(b->open_count, 1);
	cr_expect_str_eq(b->open.kind, "tcp.loss");
	cr_expect_eq(b->open.severity, TL_WARNING);
	bed__end(b);
}

/* The last word counts: what comes back after all was a loss of the network's. */
Test(loss, host_that_comes_back_was_not_gone)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bed_pair anew = pair;

	anew.client_port++;
	talk__up(&t, 100, 200);
	talk__down(&t, 150, 100);
	talk__data(&t, 200, CLIENT, 500);
	for (unsigned i = 0; i < 6; i++)
		talk__send(&t, AT(200 + (200u << i), CLIENT), BED_DATA(t.up - 500, t.down, 500),
			   NO_X);
	for (unsigned i = 0; i < 3; i++)
		bed__from_client(b, &anew, 1000 + (1000u << i), BED_SYN(77));
	talk__ack(&t, 12000, SERVER, NO_X);
	talk__up(&t, 12100, 200);
	bed__end(b);
	cr_expect_eq(only()->severity, TL_ERROR);
	cr_expect_not_null(strstr(only()->summary, "were lost between this tap and the server"));
}

Test(loss, copies_by_the_mirror_are_none)
{
	struct talk t = talk__open(b, &pair, 0);
	struct fault_extra copy = { .is_copy = true };

	for (unsigned i = 0; i < 500; i++) {
		talk__data(&t, 100 + i * 10, SERVER, MSS);
		talk__send(&t, AT(100 + i * 10, SERVER), BED_DATA(t.down - MSS, t.up, MSS), copy);
		talk__ack(&t, 105 + i * 10, CLIENT, NO_X);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.loss", TL_INFO), 0);
}

Test(loss, server_that_has_not_said_a_word_may_have_a_full_queue)
{
	bed__from_client(b, &pair, 0, BED_SYN(1000));
	bed__from_server(b, &pair, 1, BED_SYNACK(5000, 1001));
	bed__from_client(b, &pair, 2, BED_ACK(1001, 5001));
	for (unsigned i = 0; i < 6; i++)
		bed__from_client(b, &pair, 3 + (250u << i), BED_DATA(1001, 5001, 5));
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.loss", TL_INFO), 0);
}

Test(loss, live_and_file_say_the_same)
{
	struct tl_finding from_file = *run(&(struct plan){ SERVER, 1000, 40, false, 1 });
	struct talk t;

	bed__free(b);
	b = bed__start(true);
	t = talk__open(b, &pair, 0);
	talk__up(&t, 50, 100);
	talk__down(&t, 70, 100);
	transfer(&t, &(struct plan){ SERVER, 1000, 40, false, 1 }, 100);
	bed__idle_until(b, 900000);
	cr_expect(bed__same(only(), &from_file));
	bed__end(b);
}

/* One segment of the server, sent again and again while its client is there all the time. */
static void swallow(uint32_t bytes)
{
	static const uint64_t rto_ms[] = { 250, 700, 1600, 3400 };
	struct talk t = talk__open(b, &pair, 0);
	uint32_t first;

	talk__up(&t, 100, 200);
	talk__down(&t, 150, 100);
	first = t.down;
	talk__data(&t, 200, SERVER, bytes);
	for (unsigned i = 0; i < 4; i++)
		talk__send(&t, AT(200 + rto_ms[i], SERVER), BED_DATA(first, t.up, bytes), NO_X);
	talk__send(&t, AT(6000, CLIENT), BED_FIN(t.up, first), NO_X);
	bed__end(b);
}

Test(loss, an_mtu_that_swallows_long_segments_is_named)
{
	swallow(1460);
	cr_expect_eq(only()->severity, TL_ERROR, "its client was there until it gave up");
	cr_expect_not_null(strstr(only()->cause, "MTU"));
	cr_expect_geq(bed__detail(only(), "longest_wait_ms"), 5000);
}

Test(loss, short_segments_that_are_lost_are_no_mtu)
{
	swallow(300);
	cr_expect_eq(only()->severity, TL_ERROR);
	cr_expect_null(strstr(only()->cause, "MTU"));
}
