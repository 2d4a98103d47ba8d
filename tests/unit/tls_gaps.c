/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tls.*, where the capture missed something or shows it in another order: nobody is blamed for
 * that.
 */
#include "unit/tls_talk.h"

TestSuite(tls_gaps, .init = begin, .fini = end);

Test(tls_gaps, chain_of_which_the_capture_missed_a_part_is_not_judged)
{
	struct tls_certificate leaf = leaf_of("Corp Intermediate CA");
	struct talk t = talk__open(b, &pair, 0);
	struct bytes m = { 0 }, list = { 0 };

	say_hello(&t, 5, 0x0303);
	tls__server_hello(&m, 0x0303);
	tls__certificate(&list, &leaf);
	tls__chain(&m, &list);
	tls__empty_message(&m, 14);
	talk__server(&t, 10, m.data, 120);
	t.next[TALK_SERVER] += 60;
	talk__server(&t, 10, m.data + 180, m.n - 180);
	talk__rst(&t, TALK_CLIENT, 5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

/* The server closes upon an alert that the capture missed; or, if it is `late`, that comes behind.
 */
static void close_upon_an_alert_unseen(bool late)
{
	struct tls_certificate leaf = leaf_of("Corp Intermediate CA");
	struct talk t = talk__open(b, &pair, 0);
	struct talk behind;

	say_hello(&t, 5, 0x0303);
	say_flight(&t, 10, &leaf, NULL);
	behind = t;
	t.next[TALK_CLIENT] += 7;
	talk__packet(&t, TALK_SERVER, 20, BED_FIN(t.next[TALK_SERVER], t.next[TALK_CLIENT]));
	t.next[TALK_SERVER]++;
	behind.no_ack = true;
	if (late)
		say_alert(&behind, TALK_CLIENT, 20, 48);
	talk__rst(&t, TALK_CLIENT, 21);
	bed__end(b);
}

Test(tls_gaps, who_closes_upon_what_the_capture_missed_is_not_blamed)
{
	close_upon_an_alert_unseen(false);
	cr_expect_eq(bed__count(b, "tls.handshake_failed", TL_INFO), 0);
}

Test(tls_gaps, an_alert_that_the_close_overtook_is_heard)
{
	const struct tl_finding *f;

	close_upon_an_alert_unseen(true);
	f = only("tls.handshake_failed");
	cr_expect(strstr(f->summary, "the client ended it with the alert unknown_ca"), "%s",
		  f->summary);
}

Test(tls_gaps, flight_whose_beginning_the_capture_missed_is_no_other_protocol)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	struct talk t = talk__open(b, &pair, 0);

	say_hello(&t, 5, 0x0303);
	t.next[TALK_SERVER] += 300;
	say_flight(&t, 10, &leaf, NULL);
	say_finished(&t, 15);
	talk__close(&t, 5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

/* The capture began in the connection: no SYN tells where the server's bytes start. */
Test(tls_gaps, flight_whose_beginning_is_missed_in_a_known_connection_is_no_other_protocol)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	struct talk t = talk__begin(b, &pair);
	struct bytes m = { 0 }, list = { 0 };

	t.no_ack = true;
	say_hello(&t, 5, 0x0303);
	tls__server_hello(&m, 0x0303);
	tls__certificate(&list, &leaf);
	tls__chain(&m, &list);
	t.next[TALK_SERVER] += 150;
	talk__server(&t, 10, m.data + 150, m.n - 150);
	say_finished(&t, 15);
	talk__close(&t, 5000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

/* After STARTTLS, the first segment of the flight is overtaken by the second. */
static void flight_out_of_order(bool is_refused)
{
	struct tls_certificate leaf = leaf_of("Corp CA");
	struct talk t = talk__open(b, &pair, 0);
	struct bytes m = { 0 }, list = { 0 };
	uint32_t start;

	talk__client(&t, 5, "\0\0\0\b\x04\xd2\x16\x2f", 8);
	talk__server(&t, 7, "S", 1);
	say_hello(&t, 10, 0x0303);
	tls__server_hello(&m, 0x0303);
	tls__certificate(&list, &leaf);
	tls__certificate(&list, &healthy_root);
	tls__chain(&m, &list);
	tls__empty_message(&m, 14);
	start = t.next[TALK_SERVER];
	t.next[TALK_SERVER] = start + 200;
	t.no_ack = true;
	talk__server(&t, 20, m.data + 200, m.n - 200);
	t.next[TALK_SERVER] = start;
	talk__server(&t, 20, m.data, 200);
	t.next[TALK_SERVER] = start + (uint32_t)m.n;
	if (is_refused)
		say_alert(&t, TALK_CLIENT, 25, 48);
	else
		say_finished(&t, 25);
	talk__close(&t, 30);
	bed__end(b);
}

Test(tls_gaps, flight_out_of_order_after_plaintext_comes_about)
{
	flight_out_of_order(false);
	cr_expect_eq(bed__count(b, "tls.", TL_INFO), 0);
}

Test(tls_gaps, flight_out_of_order_after_plaintext_that_is_refused)
{
	flight_out_of_order(true);
	cr_expect_str_eq(bed__detail_string(only("tls.handshake_failed"), "alert"), "unknown_ca");
}

/* The server speaks first, in plain text, and the hello was under way by then. */
Test(tls_gaps, greeting_that_crosses_the_hello)
{
	struct talk t = talk__open(b, &pair, 0);

	t.no_ack = true;
	talk__server(&t, 5, "220 mail\r\n", 10);
	t.next[TALK_SERVER] -= 10;
	say_hello(&t, 5, 0x0303);
	t.next[TALK_SERVER] += 10;
	talk__server(&t, 8, "500 what is that?\r\n", 19);
	talk__close(&t, 12);
	bed__end(b);
	cr_expect_str_eq(only("tls.handshake_failed")->summary,
			 "the TLS handshake of 10.0.1.5 with 10.0.2.10:8443 (api.test) broke off "
			 "after client_hello: the server's answer is no TLS");
}
