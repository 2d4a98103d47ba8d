/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * app.no_response, app.slow and latency.breakdown: which requests are late, and whose fault that
 * is, through the whole of tl_analysis.
 */
#include <criterion/criterion.h>

#include "unit/talk_bed.h"

static const struct bed_pair web = { "10.0.1.5", "10.0.2.10", 40112, 8080 };

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(app, .init = begin, .fini = end);
TestSuite(latency, .init = begin, .fini = end);

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

/* Other analyzers may have a word on these conversations too. */
static uint32_t ours(enum tl_severity least)
{
	return bed__count(b, "app.", least) + bed__count(b, "latency.", least);
}

static void ask(struct talk *t, uint64_t ms, const char *request)
{
	talk__client(t, ms, request, strlen(request));
}

static void get(struct talk *t, uint64_t ms, uint64_t wait_ms)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

	ask(t, ms, "GET /orders?id=7 HTTP/1.1\r\nHost: api\r\n\r\n");
	talk__server(t, ms + wait_ms, answer, sizeof(answer) - 1);
}

/* --- app.slow ------------------------------------------------------------------------------------
 */

Test(app, late_answer_against_its_median)
{
	struct talk t = talk__open(b, &web, 0);
	const struct tl_finding *f;

	for (unsigned i = 0; i < 10; i++)
		get(&t, 100 + i * 100, 20);
	get(&t, 2000, 3000);
	talk__close(&t, 5100);
	bed__end(b);
	f = only("app.slow");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_eq(f->count, 1);
	cr_expect_str_eq(bed__detail_string(f, "protocol"), "http");
	cr_expect_str_eq(bed__detail_string(f, "request"), "GET /orders");
	/* less the round trip of the handshake, which the bed does not measure */
	cr_expect_eq(bed__detail(f, "waited_ms"), 3000);
	cr_expect_leq(bed__detail(f, "median_ms"), 24);
	cr_expect_geq(bed__detail(f, "median_ms"), 20);
	cr_assert_eq(f->evidence_count, 2);
	cr_expect_eq(f->evidence[1].frame - f->evidence[0].frame, 2, "request, its ACK, answer");
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "server");
}

Test(app, less_than_a_second_is_not_slow)
{
	struct talk t = talk__open(b, &web, 0);

	for (unsigned i = 0; i < 10; i++)
		get(&t, 100 + i * 100, 5);
	get(&t, 2000, 900);
	talk__close(&t, 5100);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, what_always_takes_long_is_at_most_worth_knowing)
{
	struct talk t = talk__open(b, &web, 0);

	for (unsigned i = 0; i < 6; i++)
		get(&t, 100 + i * 4000, 3000);
	talk__close(&t, 30000);
	bed__end(b);
	cr_expect_eq(ours(TL_WARNING), 0);
}

Test(app, long_polls_and_event_streams_may_wait)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	static const char stream[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 10, "GET /poll HTTP/1.1\r\n\r\n");
	talk__server(&t, 20000, answer, sizeof(answer) - 1);
	ask(&t, 20010, "GET /news HTTP/1.1\r\n\r\n");
	talk__server(&t, 20020, stream, sizeof(stream) - 1);
	for (unsigned i = 0; i < 10; i++)
		talk__server(&t, 25000 + i * 3000, "data: 1\n\n", 9);
	talk__close(&t, 60000);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, interim_answer_is_none)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 10, "POST /orders HTTP/1.1\r\nExpect: 100-continue\r\n\r\n");
	talk__server(&t, 12, go_on, sizeof(go_on) - 1);
	talk__client(&t, 15, NULL, 400);
	talk__server(&t, 4000, answer, sizeof(answer) - 1);
	talk__close(&t, 4100);
	bed__end(b);
	cr_expect_eq(bed__detail(only("app.slow"), "waited_ms"), 3985);
}

/* Twenty answers teach what a port of an unknown protocol does. */
static void teach_unknown(struct talk *t, unsigned answers)
{
	for (unsigned i = 0; i < answers; i++) {
		talk__client(t, 100 + i * 10, NULL, 40);
		talk__server(t, 103 + i * 10, NULL, 60);
	}
}

Test(app, unknown_protocol_that_is_not_learned_is_not_judged)
{
	struct talk t = talk__open(b, &web, 0);

	teach_unknown(&t, 5);
	talk__client(&t, 2000, NULL, 40);
	talk__server(&t, 9000, NULL, 60);
	talk__close(&t, 9100);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, unknown_protocol_that_is_learned)
{
	struct talk t = talk__open(b, &web, 0);

	teach_unknown(&t, 30);
	talk__client(&t, 2000, NULL, 40);
	talk__server(&t, 9000, NULL, 60);
	talk__close(&t, 9100);
	bed__end(b);
	cr_expect_eq(bed__detail(only("app.slow"), "waited_ms"), 7000);
	cr_expect_str_eq(bed__detail_string(only("app.slow"), "protocol"), "tcp");
	cr_expect_eq(only("app.slow")->severity, TL_INFO, "once: a blocking pop of a queue?");
}

Test(app, unknown_protocol_that_is_slow_again_and_again)
{
	struct talk t = talk__open(b, &web, 0);

	teach_unknown(&t, 60);
	for (unsigned i = 0; i < 3; i++) {
		talk__client(&t, 5000 + i * 9000, NULL, 40);
		talk__server(&t, 12000 + i * 9000, NULL, 60);
	}
	talk__close(&t, 40000);
	bed__end(b);
	cr_expect_eq(only("app.slow")->severity, TL_WARNING);
}

Test(app, idle_connections_of_a_pool_are_not_slow)
{
	struct talk t = talk__open(b, &web, 0);

	for (unsigned i = 0; i < 5; i++)
		get(&t, 100 + i * 20000, 5);
	talk__close(&t, 120000);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

/* --- app.no_response
 * ------------------------------------------------------------------------------- */

Test(app, request_without_answer)
{
	struct talk t = talk__open(b, &web, 0);
	const struct tl_finding *f;

	get(&t, 10, 5);
	ask(&t, 100, "GET /hang HTTP/1.1\r\n\r\n");
	talk__fin(&t, TALK_CLIENT, 4100);
	bed__end(b);
	f = only("app.no_response");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "waited_ms"), 4000);
	cr_expect_str_eq(bed__detail_string(f, "protocol"), "http");
	cr_expect_eq(f->evidence_count, 2);
}

/* curl calls it an empty reply. */
Test(app, server_that_takes_the_request_and_closes)
{
	struct talk t = talk__open(b, &web, 0);
	const struct tl_finding *f;

	ask(&t, 100, "GET /big HTTP/1.1\r\n\r\n");
	talk__fin(&t, TALK_SERVER, 110);
	talk__fin(&t, TALK_CLIENT, 111);
	bed__end(b);
	f = only("app.no_response");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "waited_ms"), 10);
	cr_expect_not_null(strstr(f->summary, "closed the connection"), "%s", f->summary);
	cr_expect_eq(f->evidence_count, 2);
}

Test(app, server_that_closed_before_it_had_the_request)
{
	struct talk t = talk__open(b, &web, 0);

	get(&t, 10, 5);
	t.no_ack = true;
	/* both at once: the FIN does not ACK the request, which a reset answers */
	ask(&t, 5000, "GET /late HTTP/1.1\r\n\r\n");
	talk__packet(&t, TALK_SERVER, 5000, BED_FIN(t.next[TALK_SERVER], t.next[TALK_CLIENT] - 22));
	talk__packet(&t, TALK_SERVER, 5001, BED_RST(t.next[TALK_SERVER] + 1));
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
}

Test(app, unknown_protocol_whose_server_never_says_a_word)
{
	struct talk t = talk__open(b, &web, 0);

	talk__client(&t, 100, NULL, 40);
	talk__fin(&t, TALK_CLIENT, 9000);
	bed__end(b);
	cr_expect_eq(only("app.no_response")->severity, TL_INFO);
	cr_expect_eq(bed__detail(only("app.no_response"), "waited_ms"), 8900);
}

Test(app, a_log_that_is_only_sent_is_no_request)
{
	struct talk t = talk__open(b, &web, 0);

	for (unsigned i = 0; i < 20; i++)
		talk__client(&t, 100 + i * 500, NULL, 80);
	talk__fin(&t, TALK_CLIENT, 30000);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, request_that_was_not_acked_is_not_the_programs_fault)
{
	struct talk t = talk__open(b, &web, 0);

	t.no_ack = true;
	ask(&t, 100, "GET /hang HTTP/1.1\r\n\r\n");
	talk__rst(&t, TALK_CLIENT, 4100);
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
}

/* A server that cuts the request off has said something: tcp.reset tells of it. */
Test(app, request_that_the_server_resets_is_the_resets_matter)
{
	for (uint16_t i = 0; i < 3; i++) {
		struct bed_pair p = web;
		struct talk t;

		p.client_port += i;
		t = talk__open(b, &p, i * 100);
		ask(&t, i * 100 + 10, "GET /hang HTTP/1.1\r\n\r\n");
		talk__rst(&t, TALK_SERVER, i * 150 + 3000);
	}
	bed__end(b);
	cr_expect_eq(only("tcp.reset")->severity, TL_ERROR);
	cr_expect_eq(only("app.no_response")->severity, TL_INFO);
	cr_expect_eq(bed__detail(only("app.no_response"), "flows"), 3);
}

Test(app, answer_that_the_capture_missed_is_no_silence)
{
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 100, "GET /a HTTP/1.1\r\n\r\n");
	t.next[TALK_SERVER] += 2000;
	talk__fin(&t, TALK_SERVER, 9000);
	talk__fin(&t, TALK_CLIENT, 9001);
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
	cr_expect_null(bed__only(b, "app.slow"));
}

Test(app, answer_that_is_acked_and_was_never_shown)
{
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 100, "GET /a HTTP/1.1\r\n\r\n");
	t.next[TALK_SERVER] += 2000;
	talk__ack(&t, TALK_CLIENT, 120);
	talk__fin(&t, TALK_CLIENT, 9001);
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
}

Test(app, a_capture_that_ends_soon_after_the_request)
{
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 100, "GET /a HTTP/1.1\r\n\r\n");
	talk__ack(&t, TALK_CLIENT, 900);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, a_shut_window_of_the_server_is_not_silence)
{
	struct talk t = talk__open(b, &web, 0);
	struct bed_tcp shut;

	ask(&t, 100, "GET /a HTTP/1.1\r\n\r\n");
	shut = BED_ACK(t.next[TALK_SERVER], t.next[TALK_CLIENT]);
	shut.is_shut = true;
	talk__packet(&t, TALK_SERVER, 101, shut);
	talk__rst(&t, TALK_CLIENT, 5000);
	bed__end(b);
	cr_expect_null(bed__only(b, "app.no_response"));
}

Test(app, each_packet_twice_is_one_request)
{
	struct talk t = talk__begin(b, &web);

	t.twice = true;
	talk__handshake(&t, 0);
	ask(&t, 100, "GET /hang HTTP/1.1\r\n\r\n");
	talk__fin(&t, TALK_CLIENT, 4100);
	bed__end(b);
	cr_expect_eq(only("app.no_response")->count, 1);
	cr_expect_eq(only("app.no_response")->evidence_count, 2);
}

Test(app, mysql_quit_is_never_answered)
{
	static const uint8_t query[] = "\x09\0\0\0\x03SELECT 1", quit[] = { 1, 0, 0, 0, 1 };
	static const uint8_t result[] = { 1, 0, 0, 1, 1 };
	struct talk t = talk__open(b, &web, 0);

	b->flow[0].app = TL_APP_MYSQL;
	talk__client(&t, 10, query, 13);
	talk__server(&t, 12, result, sizeof(result));
	talk__client(&t, 20, quit, sizeof(quit));
	talk__fin(&t, TALK_CLIENT, 9000);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(app, slow_query)
{
	static const uint8_t query[] = "\x09\0\0\0\x03SELECT 1";
	static const uint8_t result[] = { 1, 0, 0, 1, 1 };
	struct talk t = talk__open(b, &web, 0);

	b->flow[0].app = TL_APP_MYSQL;
	for (unsigned i = 0; i < 5; i++) {
		talk__client(&t, 10 + i * 10, query, 13);
		talk__server(&t, 12 + i * 10, result, sizeof(result));
	}
	talk__client(&t, 100, query, 13);
	talk__server(&t, 30100, result, sizeof(result));
	talk__close(&t, 30200);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("app.slow"), "protocol"), "mysql");
	cr_expect_str_eq(bed__detail_string(only("app.slow"), "request"), "select");
	cr_expect_eq(bed__detail(only("app.slow"), "waited_ms"), 30000);
}

Test(app, live_and_file_say_the_same)
{
	struct tl_finding first;

	for (unsigned live = 0; live < 2; live++) {
		struct talk t;

		if (live) {
			first = *only("app.no_response");
			bed__free(b);
			b = bed__start(true);
		}
		t = talk__open(b, &web, 0);
		get(&t, 10, 5);
		ask(&t, 100, "GET /hang HTTP/1.1\r\n\r\n");
		if (live)
			bed__idle_until(b, 3950);
		talk__fin(&t, TALK_CLIENT, 4100);
		bed__end(b);
	}
	cr_expect(bed__same(&first, only("app.no_response")));
}

/* --- latency.breakdown
 * ------------------------------------------------------------------------------ */

Test(latency, answer_that_is_long_on_its_way)
{
	struct talk t = talk__open(b, &web, 0);
	const struct tl_finding *f;

	ask(&t, 200, "GET /api HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	/* Four segments in flight at a time; each is ACKed 450 ms after it was sent. */
	for (unsigned i = 0; i < 10; i++) {
		talk__server(&t, 250 + i * 450, NULL, 4 * BED_PAYLOAD);
		talk__ack(&t, TALK_CLIENT, 250 + i * 450 + (i ? 449 : 1));
	}
	talk__close(&t, 6000);
	bed__end(b);
	f = only("latency.breakdown");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_str_eq(bed__detail_string(f, "blame"), "network");
	cr_expect_eq(bed__detail(f, "connect_ms"), 2);
	cr_expect_eq(bed__detail(f, "server_ms"), 50);
	cr_expect_geq(bed__detail(f, "response_ms"), 4050);
	cr_expect_null(bed__only(b, "app.slow"));
}

/* No timestamps, and the queue is before the tap: all there is to see is how the segments come. */
Test(latency, full_segments_one_by_one)
{
	struct talk t = talk__open(b, &web, 0);
	struct bed_tcp segment;

	ask(&t, 200, "GET /api HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	for (unsigned i = 0; i < 40; i++) {
		segment = BED_DATA(t.next[TALK_SERVER], t.next[TALK_CLIENT], BED_PAYLOAD);
		if (i < 39)
			segment.flags = TL_TCP_ACK;
		talk__packet(&t, TALK_SERVER, 250 + i * 110, segment);
		t.next[TALK_SERVER] += BED_PAYLOAD;
		talk__ack(&t, TALK_CLIENT, 251 + i * 110);
	}
	talk__close(&t, 6000);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "network");
	cr_expect_eq(only("latency.breakdown")->severity, TL_WARNING);
}

/* Slow start on a long path: a burst each round trip. */
Test(latency, bursts_of_slow_start_are_no_fault)
{
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 200, "GET /api HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	for (unsigned i = 0, n = 2; i < 4; i++, n *= 2) {
		struct bed_tcp segment;

		for (unsigned k = 0; k < n; k++) {
			segment = BED_DATA(t.next[TALK_SERVER], t.next[TALK_CLIENT], BED_PAYLOAD);
			segment.flags = TL_TCP_ACK;
			talk__packet(&t, TALK_SERVER, 250 + i * 400, segment);
			t.next[TALK_SERVER] += BED_PAYLOAD;
		}
		talk__ack(&t, TALK_CLIENT, 252 + i * 400);
	}
	talk__close(&t, 6000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "latency.", TL_INFO), 0);
}

Test(latency, client_that_shuts_its_window)
{
	struct talk t = talk__open(b, &web, 0);
	struct bed_tcp shut;

	ask(&t, 10, "GET /api HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	talk__server(&t, 20, NULL, 4 * BED_PAYLOAD);
	shut = BED_ACK(t.next[TALK_CLIENT], t.next[TALK_SERVER]);
	shut.is_shut = true;
	talk__packet(&t, TALK_CLIENT, 21, shut);
	talk__ack(&t, TALK_CLIENT, 4000);
	talk__server(&t, 4001, NULL, BED_PAYLOAD);
	talk__close(&t, 4100);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "client");
	cr_expect_eq(bed__detail(only("latency.breakdown"), "window_ms"), 3979);
}

Test(latency, lost_segment_that_is_sent_again)
{
	struct talk t = talk__open(b, &web, 0);
	struct bed_tcp again;

	ask(&t, 10, "GET /api HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	talk__server(&t, 20, NULL, BED_PAYLOAD);
	again = BED_DATA(t.next[TALK_SERVER] - BED_PAYLOAD, t.next[TALK_CLIENT], BED_PAYLOAD);
	talk__packet(&t, TALK_SERVER, 320, again);
	talk__packet(&t, TALK_SERVER, 920, again);
	talk__packet(&t, TALK_SERVER, 2120, again);
	talk__ack(&t, TALK_CLIENT, 2121);
	talk__close(&t, 2200);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "network");
	cr_expect_eq(bed__detail(only("latency.breakdown"), "retransmission_ms"), 2100);
}

/* One SYN that was lost and sent again a second later; `n` clients to which that happens. */
static void lose_syns(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct bed_pair pair = web;
		struct talk t;

		pair.client_port = (uint16_t)(50000 + i);
		bed__from_client(b, &pair, i * 2000, BED_SYN(1000));
		t = talk__open(b, &pair, i * 2000 + 1020);
		get(&t, i * 2000 + 1030, 5);
		talk__close(&t, i * 2000 + 1100);
	}
	bed__end(b);
}

Test(latency, a_syn_that_is_lost_once_is_worth_knowing)
{
	lose_syns(1);
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "network");
	cr_expect_eq(only("latency.breakdown")->severity, TL_INFO);
}

Test(latency, syns_that_are_lost_again_and_again_are_a_warning)
{
	lose_syns(4);
	cr_expect_eq(only("latency.breakdown")->severity, TL_WARNING);
}

Test(latency, large_download_at_a_steady_rate_is_no_fault)
{
	struct talk t = talk__open(b, &web, 0);

	ask(&t, 10, "GET /large HTTP/1.1\r\n\r\n");
	t.no_ack = true;
	/* 4 MB in 4 s, each round ACKed at once */
	for (unsigned i = 0; i < 400; i++) {
		talk__server(&t, 20 + i * 10, NULL, 7 * BED_PAYLOAD);
		talk__ack(&t, TALK_CLIENT, 20 + i * 10 + 5);
	}
	talk__close(&t, 6000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "latency.", TL_INFO), 0);
}

Test(latency, what_a_server_pushes_later_is_not_its_answer)
{
	struct talk t = talk__open(b, &web, 0);

	get(&t, 10, 5);
	talk__server(&t, 8000, NULL, 50);
	talk__close(&t, 9000);
	bed__end(b);
	cr_expect_eq(ours(TL_INFO), 0);
}

Test(latency, many_servers_with_one_cause_are_one_finding)
{
	static char address[40][16];
	const struct tl_finding *f;

	for (unsigned i = 0; i < 40; i++) {
		struct bed_pair pair = web;
		struct talk t;

		snprintf(address[i], sizeof(address[i]), "10.0.2.%u", i + 1);
		pair.server = address[i];
		pair.client_port = (uint16_t)(50000 + i);
		t = talk__open(b, &pair, i * 10);
		get(&t, 1000 + i * 10, 1500 + i);
		/* twice on one of them */
		if (i == 7)
			get(&t, 4000, 1600);
		talk__close(&t, 9000 + i);
	}
	bed__end(b);
	f = only("latency.breakdown");
	cr_expect_eq(f->count, 41);
	cr_expect_eq(bed__detail(f, "servers"), 40);
	cr_expect_eq(bed__detail(f, "flows"), 41);
	cr_expect_eq(bed__detail(f, "server_ms"), 1600, "of the worst");
	cr_expect_eq(f->subject.server.ip_version, 0);
	cr_expect_not_null(strstr(f->display_filter, "ip.addr==10.0.2.8 && tcp.port==8080"));
}

/* A full accept queue: the host repeats its SYN-ACK and drops what the client says meanwhile. */
Test(latency, a_program_that_does_not_accept_is_to_blame)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	static const char request[] = "GET /orders HTTP/1.1\r\n\r\n";
	struct talk t = talk__open(b, &web, 0);
	struct bed_tcp again = BED_DATA(1001, 5001, sizeof(request) - 1);

	again.payload = (const uint8_t *)request;
	t.no_ack = true;
	ask(&t, 5, request);
	for (unsigned i = 0; i < 3; i++) {
		bed__from_server(b, &web, 1000u << i, BED_SYNACK(5000, 1001));
		bed__from_client(b, &web, (1000u << i) + 1, BED_ACK(t.next[0], 5001));
		bed__from_client(b, &web, (1000u << i) + 200, again);
	}
	t.no_ack = false;
	talk__ack(&t, TALK_SERVER, 4300);
	talk__server(&t, 4310, answer, sizeof(answer) - 1);
	talk__close(&t, 4400);
	bed__end(b);
	cr_expect_eq(bed__count(b, "connect.queue_overflow", TL_WARNING), 1);
	cr_expect_str_eq(bed__detail_string(only("latency.breakdown"), "blame"), "server");
	cr_expect_eq(only("latency.breakdown")->severity, TL_INFO);
}
