/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tls.*: which handshakes are failures, which chains are at fault, and which are healthy, through
 * the whole of tl_analysis.
 */
#include "unit/tls_talk.h"

TestSuite(tls, .init = begin, .fini = end);

/* --- handshakes that fail -----------------------------------------------------------------------
 */

Test(tls, alert_of_the_server_after_the_hello)
{
	struct talk t = talk__open(b, &pair, 0);
	const struct tl_finding *f;

	say_hello(&t, 5, 0x0303);
	say_alert(&t, TALK_SERVER, 10, 40);
	talk__fin(&t, TALK_SERVER, 11);
	talk__fin(&t, TALK_CLIENT, 12);
	bed__end(b);
	f = only("tls.handshake_failed");
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 1);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_str_eq(bed__detail_string(f, "last_message"), "client_hello");
	cr_expect_str_eq(bed__detail_string(f, "closed_by"), "server");
	cr_expect_str_eq(bed__detail_string(f, "alert"), "handshake_failure");
	cr_expect_str_eq(bed__detail_string(f, "version"), "TLS 1.2");
	cr_expect_str_eq(bed__detail_string(f, "sni"), "api.test");
	cr_expect_not(detail_bool(f, "inferred"));
	cr_expect_str_eq(f->summary, "the TLS handshake of 10.0.1.5 with 10.0.2.10:8443 (api.test) "
				     "broke off after client_hello: the server ended it with the "
				     "alert handshake_failure");
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && "
					    "tcp.port==40112 && tcp.port==8443");
	cr_assert_eq(f->evidence_count, 3);
	cr_expect_eq(f->evidence[0].frame, 4);
	cr_expect_eq(f->evidence[1].frame, 6);
	cr_expect_eq(f->evidence[2].frame, 8);
}

Test(tls, reset_after_server_hello)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bytes m = { 0 };
	const struct tl_finding *f;

	say_hello(&t, 5, 0x0303);
	tls__server_hello(&m, 0x0303);
	say(&t, TALK_SERVER, 10, &m);
	talk__rst(&t, TALK_CLIENT, 12);
	bed__end(b);
	f = only("tls.handshake_failed");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_str_eq(bed__detail_string(f, "last_message"), "server_hello");
	cr_expect_str_eq(bed__detail_string(f, "closed_by"), "client");
	cr_expect_str_empty(bed__detail_string(f, "alert"));
}

Test(tls, server_that_never_answers_the_hello)
{
	struct talk t = talk__open(b, &pair, 0);
	const struct tl_finding *f;

	say_hello(&t, 5, 0x0304);
	talk__fin(&t, TALK_CLIENT, 5000);
	bed__end(b);
	f = only("tls.handshake_failed");
	cr_expect_str_eq(bed__detail_string(f, "last_message"), "client_hello");
	cr_expect_str_eq(bed__detail_string(f, "closed_by"), "client");
	cr_expect_str_eq(bed__detail_string(f, "version"), "TLS 1.3");
}

Test(tls, server_that_answers_in_plain_http)
{
	static const char answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
	struct talk t = talk__open(b, &pair, 0);

	say_hello(&t, 5, 0x0303);
	talk__server(&t, 10, answer, sizeof(answer) - 1);
	talk__fin(&t, TALK_SERVER, 11);
	bed__end(b);
	cr_expect_str_eq(only("tls.handshake_failed")->cause,
			 "the server does not speak TLS on this port");
}

Test(tls, encrypted_alert_of_a_13_client_is_inferred)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bytes server = { 0 }, client = { 0 };
	const struct tl_finding *f;

	say_hello(&t, 5, 0x0304);
	tls__server_hello(&server, 0x0304);
	tls__record(&server, 20, "\1", 1);
	tls__record(&server, 23, NULL, 1200);
	say(&t, TALK_SERVER, 10, &server);
	tls__record(&client, 20, "\1", 1);
	tls__record(&client, 23, NULL, 19);
	say(&t, TALK_CLIENT, 15, &client);
	talk__fin(&t, TALK_CLIENT, 16);
	bed__end(b);
	f = only("tls.handshake_failed");
	cr_expect(detail_bool(f, "inferred"));
	cr_expect_str_eq(bed__detail_string(f, "last_message"), "finished");
	cr_expect_str_eq(bed__detail_string(f, "closed_by"), "client");
}

/* TLS 1.3 with a server whose certificate is of 900 bytes; the client refuses it, or goes on. */
static void meet_13(uint16_t i, bool refuses)
{
	struct bed_pair p = pair;
	struct bytes server = { 0 }, client = { 0 };
	struct talk t;

	p.client_port = (uint16_t)(50000 + i);
	t = talk__open(b, &p, i * 100u);
	say_hello(&t, i * 100u + 5, 0x0304);
	tls__server_hello(&server, 0x0304);
	tls__record(&server, 20, "\1", 1);
	tls__record(&server, 23, NULL, 27);
	tls__record(&server, 23, NULL, 900);
	tls__record(&server, 23, NULL, 281);
	tls__record(&server, 23, NULL, 69);
	say(&t, TALK_SERVER, i * 100u + 10, &server);
	if (refuses) {
		say_alert(&t, TALK_CLIENT, i * 100u + 15, 48);
	} else {
		tls__record(&client, 20, "\1", 1);
		tls__record(&client, 23, NULL, 69);
		tls__record(&client, 23, NULL, 100);
		say(&t, TALK_CLIENT, i * 100u + 15, &client);
	}
	talk__fin(&t, TALK_CLIENT, i * 100u + 20);
}

Test(tls, a_certificate_that_all_refuse_is_one_cause)
{
	for (uint16_t i = 0; i < 3; i++)
		meet_13(i, true);
	bed__end(b);
	cr_expect_eq(only("tls.handshake_failed")->severity, TL_ERROR);
	cr_expect_eq(only("tls.incomplete_chain")->severity, TL_INFO, "it may be self-signed");
}

Test(tls, a_certificate_that_some_refuse_may_lack_its_issuers)
{
	for (uint16_t i = 0; i < 4; i++)
		meet_13(i, i % 2);
	bed__end(b);
	cr_expect_eq(only("tls.incomplete_chain")->severity, TL_WARNING);
	cr_expect(detail_bool(only("tls.incomplete_chain"), "inferred"));
}

Test(tls, failures_of_one_cause_are_one_finding)
{
	for (uint16_t i = 0; i < 3; i++) {
		struct bed_pair p = pair;
		struct talk t;

		p.client_port = (uint16_t)(50000 + i);
		t = talk__open(b, &p, i * 100u);
		say_hello(&t, i * 100u + 5, 0x0303);
		say_alert(&t, TALK_SERVER, i * 100u + 10, 70);
		talk__fin(&t, TALK_SERVER, i * 100u + 11);
	}
	bed__end(b);
	cr_expect_eq(only("tls.handshake_failed")->count, 3);
	cr_expect_eq(bed__detail(only("tls.handshake_failed"), "flows"), 3);
}

Test(tls, after_starttls)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__server(&t, 5, "220 mail\r\n", 10);
	talk__client(&t, 6, "STARTTLS\r\n", 10);
	talk__server(&t, 7, "220 go on\r\n", 11);
	say_hello(&t, 10, 0x0303);
	say_alert(&t, TALK_SERVER, 12, 40);
	talk__fin(&t, TALK_SERVER, 13);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tls.handshake_failed"), "alert"),
			 "handshake_failure");
}

Test(tls, each_packet_twice_is_one_failure)
{
	struct talk t = talk__begin(b, &pair);

	t.twice = true;
	talk__handshake(&t, 0);
	say_hello(&t, 5, 0x0303);
	say_alert(&t, TALK_SERVER, 10, 40);
	talk__fin(&t, TALK_SERVER, 11);
	bed__end(b);
	cr_expect_eq(only("tls.handshake_failed")->count, 1);
	cr_expect_eq(only("tls.handshake_failed")->evidence_count, 3);
}

Test(tls, messages_in_segments_of_a_few_bytes)
{
	struct tls_certificate leaf = leaf_of("Corp Intermediate CA");
	struct talk t = talk__open(b, &pair, 0);

	t.segment = 16;
	t.no_ack = true;
	say_hello(&t, 5, 0x0303);
	say_flight(&t, 10, &leaf, NULL);
	say_alert(&t, TALK_CLIENT, 15, 48);
	talk__rst(&t, TALK_CLIENT, 16);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tls.handshake_failed"), "last_message"),
			 "server_hello_done");
	cr_expect_str_eq(bed__detail_string(only("tls.incomplete_chain"), "missing"),
			 "CN=Corp Intermediate CA");
}

/* --- what is no failure
 * --------------------------------------------------------------------------- */

Test(tls, connect_scans_and_early_goers_are_no_failures)
{
	struct bed_pair other = pair;
	struct talk t = talk__open(b, &pair, 0);

	talk__close(&t, 10);
	other.client_port++;
	t = talk__open(b, &other, 100);
	say_hello(&t, 105, 0x0303);
	talk__fin(&t, TALK_CLIENT, 300);
	talk__fin(&t, TALK_SERVER, 301);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, one_direction_alone_shows_no_failure)
{
	struct talk t = talk__begin(b, &pair);

	t.only_client = true;
	talk__handshake(&t, 0);
	say_hello(&t, 5, 0x0303);
	talk__fin(&t, TALK_CLIENT, 5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, one_direction_with_an_encrypted_good_bye_shows_no_failure)
{
	struct talk t = talk__begin(b, &pair);
	struct bytes m = { 0 };

	t.only_client = true;
	talk__handshake(&t, 0);
	say_hello(&t, 5, 0x0303);
	tls__empty_message(&m, 16);
	tls__finished(&m);
	tls__record(&m, 23, NULL, 200);
	tls__record(&m, 21, NULL, 26);
	say(&t, TALK_CLIENT, 15, &m);
	talk__fin(&t, TALK_CLIENT, 20);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, tls_13_that_comes_about)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bytes server = { 0 }, client = { 0 }, tickets = { 0 };

	say_hello(&t, 5, 0x0304);
	tls__server_hello(&server, 0x0304);
	tls__record(&server, 20, "\1", 1);
	tls__record(&server, 23, NULL, 1200);
	say(&t, TALK_SERVER, 10, &server);
	tls__record(&client, 20, "\1", 1);
	tls__record(&client, 23, NULL, 53);
	say(&t, TALK_CLIENT, 15, &client);
	tls__record(&tickets, 23, NULL, 250);
	say(&t, TALK_SERVER, 16, &tickets);
	say_data(&t, 20);
	talk__close(&t, 30);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, tls_13_client_that_says_good_bye_at_once)
{
	struct talk t = talk__open(b, &pair, 0);
	struct bytes server = { 0 }, client = { 0 };

	say_hello(&t, 5, 0x0304);
	tls__server_hello(&server, 0x0304);
	tls__record(&server, 23, NULL, 1200);
	say(&t, TALK_SERVER, 10, &server);
	tls__record(&client, 23, NULL, 53);
	tls__record(&client, 23, NULL, 19);
	say(&t, TALK_CLIENT, 15, &client);
	talk__close(&t, 16);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, a_capture_that_ends_in_the_handshake_shows_no_failure)
{
	struct talk t = talk__open(b, &pair, 0);

	say_hello(&t, 5, 0x0303);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

/* --- chains
 * ---------------------------------------------------------------------------------------- */

Test(tls, leaf_below_a_private_root_is_healthy_while_clients_are_content)
{
	struct tls_certificate leaf = leaf_of("Corp CA");

	healthy(&pair, 0, &leaf, NULL);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, leaf_below_a_private_root_that_a_client_refuses)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	struct talk t = talk__open(b, &pair, 0);

	say_hello(&t, 5, 0x0303);
	say_flight(&t, 10, &leaf, NULL);
	say_alert(&t, TALK_CLIENT, 15, 48);
	talk__fin(&t, TALK_CLIENT, 16);
	bed__end(b);
	cr_expect_eq(only("tls.incomplete_chain")->severity, TL_ERROR);
	cr_expect_eq(only("tls.incomplete_chain")->counter_evidence_count, 1);
	cr_expect_eq(only("tls.handshake_failed")->severity, TL_ERROR);
}

Test(tls, leaf_with_its_issuer_is_healthy)
{
	struct tls_certificate leaf = leaf_of("Corp Intermediate CA");
	struct tls_certificate up = { "Corp Intermediate CA", "Corp Root CA", NOW - DAY, NOW + DAY,
				      NULL };

	healthy(&pair, 0, &leaf, &up);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, leaf_that_signed_itself_is_healthy)
{
	healthy(&pair, 0, &healthy_root, NULL);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, leaf_of_an_intermediate_is_incomplete_even_where_clients_finish)
{
	struct tls_certificate leaf = leaf_of("Corp Intermediate CA");
	const struct tl_finding *f;

	healthy(&pair, 0, &leaf, NULL);
	bed__end(b);
	f = only("tls.incomplete_chain");
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 1);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_str_eq(bed__detail_string(f, "subject"), "CN=api.test");
	cr_expect_str_eq(bed__detail_string(f, "issuer"), "CN=Corp Intermediate CA");
	cr_expect_str_eq(bed__detail_string(f, "missing"), "CN=Corp Intermediate CA");
	cr_expect_str_eq(bed__detail_string(f, "not_after"), "2026-11-23T10:00:00Z");
}

Test(tls, leaf_of_a_public_ca_alone_is_incomplete)
{
	struct tls_certificate leaf = leaf_of("Some CA 7");

	leaf.policy = "2.23.140.1.2.1";
	healthy(&pair, 0, &leaf, NULL);
	bed__end(b);
	cr_expect_eq(only("tls.incomplete_chain")->severity, TL_WARNING);
}

Test(tls, expired_certificate)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	const struct tl_finding *f;

	leaf.not_before = NOW - 9 * DAY;
	leaf.not_after = NOW - DAY;
	healthy(&pair, 0, &leaf, NULL);
	bed__end(b);
	f = only("tls.certificate_expired");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_str_eq(bed__detail_string(f, "not_after"), "2026-11-21T10:00:00Z");
}

Test(tls, expired_certificate_that_a_client_refuses_is_an_error)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	struct talk t = talk__open(b, &pair, 0);

	leaf.not_after = NOW - 1;
	say_hello(&t, 5, 0x0303);
	say_flight(&t, 10, &leaf, NULL);
	say_alert(&t, TALK_CLIENT, 15, 45);
	talk__fin(&t, TALK_CLIENT, 16);
	bed__end(b);
	cr_expect_eq(only("tls.certificate_expired")->severity, TL_ERROR);
	cr_expect_null(bed__only(b, "tls.incomplete_chain"));
}

Test(tls, certificate_of_the_future)
{
	struct tls_certificate leaf = leaf_of("Corp CA");

	leaf.not_before = NOW + DAY / 2;
	healthy(&pair, 0, &leaf, NULL);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tls.certificate_expired"), "not_before"),
			 "2026-11-22T22:00:00Z");
}

Test(tls, certificate_seen_by_a_clock_that_stands_wrong)
{
	struct tls_certificate leaf = leaf_of("Corp CA");

	leaf.not_before = NOW + 400 * DAY;
	leaf.not_after = NOW + 800 * DAY;
	healthy(&pair, 0, &leaf, &healthy_root);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls, live_and_file_say_the_same)
{
	struct tl_finding first;

	for (unsigned live = 0; live < 2; live++) {
		struct tls_certificate leaf = leaf_of("Corp Intermediate CA");

		if (live) {
			first = *only("tls.incomplete_chain");
			bed__free(b);
			b = bed__start(true);
		}
		healthy(&pair, 0, &leaf, NULL);
		if (live)
			bed__idle_until(b, 250);
		bed__end(b);
	}
	cr_expect(bed__same(&first, only("tls.incomplete_chain")));
}
