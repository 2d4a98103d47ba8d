/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * tcp.reset: who really sent it.
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

TestSuite(reset_sender, .init = begin, .fini = end);

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

Test(reset_sender, host_that_goes_on_did_not_send_it)
{
	struct talk t = talk__open(b, &pair, 0);
	const struct tl_finding *f;

	talk__up(&t, 100, 200);
	talk__rst(&t, 130, SERVER, NO_X);
	talk__down(&t, 150, 1000);
	bed__end(b);
	f = only("tcp.reset");
	cr_expect_str_eq(bed__detail_string(f, "sender"), "middlebox");
	cr_expect_str_eq(bed__detail_string(f, "claimed_sender"), "server");
	cr_expect_eq(f->severity, TL_WARNING, "it did nothing");
}

/* A check of a TLS port: the handshake, and away; a client that cuts its question is another. */
Test(reset_sender, tls_client_that_leaves_with_its_last_word)
{
	for (unsigned i = 0; i < 8; i++) {
		struct bed_pair p = pair_of(0);
		struct talk t;

		p.client_port = (uint16_t)(50000 + i);
		t = talk__open(b, &p, i * 1000);
		b->flow[i].app = TL_APP_TLS;
		talk__up(&t, i * 1000 + 100, 517);
		talk__down(&t, i * 1000 + 120, 1800);
		talk__data(&t, i * 1000 + 140, true, i < 4 ? 80 : 400);
		talk__rst(&t, i * 1000 + 141, CLIENT, NO_X);
	}
	bed__end(b);
	cr_expect_eq(bed__detail(only("tcp.reset"), "flows"), 4);
	cr_expect_eq(only("tcp.reset")->severity, TL_WARNING);
}

/* A database's check: the login fails, and a QUIT that came with it is left unread. */
Test(reset_sender, server_closes_behind_its_answer)
{
	for (unsigned i = 0; i < 6; i++) {
		struct bed_pair p = pair_of(i);
		struct talk t = talk__open(b, &p, i * 1000);

		talk__up(&t, i * 1000 + 100, 46);
		talk__data(&t, i * 1000 + 112, false, i < 3 ? 75 : 9000);
		talk__rst(&t, i * 1000 + 113, SERVER, NO_X);
		if (i == 2) {
			bed__end(b);
			cr_expect_eq(only("tcp.reset")->severity, TL_INFO);
			bed__free(b);
			begin();
		}
	}
	bed__end(b);
	cr_expect_eq(only("tcp.reset")->severity, TL_ERROR, "an answer that long is cut");
}

Test(reset_sender, another_distance)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 100, 200);
	talk__rst(&t, 130, SERVER, (struct fault_extra){ .ttl = 50 });
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "middlebox");
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "reasons"), "another TTL");
}

Test(reset_sender, another_initial_ttl_or_one_hop_more_is_the_host_itself)
{
	static const uint8_t ttl[] = { 128, 255, 63, 127 };

	for (unsigned i = 0; i < 4; i++) {
		struct bed_pair p = pair_of(i);
		struct talk t = talk__open(b, &p, i * 1000);

		talk__up(&t, i * 1000 + 100, 200);
		talk__rst(&t, i * 1000 + 130, SERVER, (struct fault_extra){ .ttl = ttl[i] });
	}
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "server");
}

/* A router that rejects an established connection: one hop nearer than the host, no timestamps. */
Test(reset_sender, from_the_router_before_the_host)
{
	const struct fault_extra host = { .ttl = 63, .tsval = 1000 };
	struct bed_pair twice[] = { pair_of(0), pair_of(1) };

	for (unsigned i = 0; i < 2; i++) {
		struct talk t = { .b = b, .pair = twice[i], .up = 1001, .down = 5001 };
		uint64_t ms = i * 1000;

		talk__send(&t, AT(ms, true), BED_SYN(1000), NO_X);
		talk__send(&t, AT(ms + 10, false), BED_SYNACK(5000, 1001), host);
		talk__data(&t, ms + 100, true, 200);
		talk__send(&t, AT(ms + 120, false), BED_DATA(5001, t.up, 300), host);
		t.down += 300;
		talk__ack(&t, ms + 130, true, NO_X);
		talk__send(&t, AT(ms + 140, false), BED_ACK(t.down, t.up), host);
		talk__data(&t, ms + 500, true, 100);
		talk__rst(&t, ms + 520, SERVER, (struct fault_extra){ .ttl = i ? 63 : 64 });
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "tcp.reset", TL_INFO), 2);
	for (uint32_t i = 0; i < b->finding_count; i++) {
		const struct tl_finding *f = &b->finding[i];
		bool forged = !strcmp(bed__detail_string(f, "sender"), "middlebox");

		cr_expect_eq(forged, f->subject.client.port == twice[0].client_port);
		if (forged)
			cr_expect_str_eq(bed__detail_string(f, "reasons"),
					 "from a hop before the host; no timestamps");
	}
}

Test(reset_sender, in_the_names_of_both_at_once)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 100, 200);
	talk__rst(&t, 130, SERVER, NO_X);
	talk__rst(&t, 131, CLIENT, NO_X);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "middlebox");
}

/* The client leaves; its RST passes the tap, and reaches the server, before two of its ACKs. */
static void leave_and_overtake(bool is_answered_as_it_should_be)
{
	struct talk t = talk__open(b, &pair, 0);
	uint32_t from;

	talk__up(&t, 100, 200);
	from = t.down;
	for (uint32_t i = 0; i < 4; i++)
		talk__data(&t, 120 + i, SERVER, 1000);
	talk__send(&t, AT(125, CLIENT), BED_ACK(t.up, from + 1000), NO_X);
	talk__rst(&t, 126, CLIENT, NO_X);
	talk__send(&t, AT(126, CLIENT), BED_ACK(t.up, from + 2000), NO_X);
	talk__send(&t, AT(126, CLIENT), BED_ACK(t.up, from + 4000), NO_X);
	talk__send(&t, AT(127, SERVER), BED_RST(from + 2000), NO_X);
	if (is_answered_as_it_should_be)
		talk__send(&t, AT(127, SERVER), BED_RST(from + 4000), NO_X);
	else
		talk__rst(&t, 127, SERVER, NO_X);
	bed__end(b);
}

Test(reset_sender, one_that_overtook_its_acks_is_answered_by_others)
{
	leave_and_overtake(true);
	cr_expect_null(bed__only(b, "tcp.reset"), "the client had all, and left");
}

Test(reset_sender, an_ack_in_the_answer_is_a_box)
{
	leave_and_overtake(false);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "middlebox");
}

/* The same, but the tap shows the ACKs in their order. */
static void leave_and_overtake_behind(uint8_t ttl)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 100, 200);
	for (uint32_t i = 0; i < 4; i++)
		talk__data(&t, 120 + i, SERVER, 1000);
	talk__ack(&t, 125, CLIENT, NO_X);
	talk__rst(&t, 126, CLIENT, NO_X);
	talk__send(&t, AT(127, SERVER), BED_RST(t.down), (struct fault_extra){ .ttl = ttl });
	bed__end(b);
}

Test(reset_sender, acks_that_were_overtaken_behind_the_tap_are_answered_as_well)
{
	leave_and_overtake_behind(0);
	cr_expect_null(bed__only(b, "tcp.reset"));
}

Test(reset_sender, from_elsewhere_it_is_a_box)
{
	leave_and_overtake_behind(61);
	cr_expect_str_eq(bed__detail_string(only("tcp.reset"), "sender"), "middlebox");
}

Test(reset_sender, number_out_of_the_window)
{
	struct talk t = talk__open(b, &pair, 0);

	talk__up(&t, 100, 200);
	t.down += 10000000;
	talk__rst(&t, 130, SERVER, NO_X);
	bed__end(b);
	for (uint32_t i = 0; i < only("tcp.reset")->detail_count; i++) {
		const struct tl_detail *d = &only("tcp.reset")->details[i];

		if (!strcmp(d->name, "in_window"))
			cr_expect(d->type == TL_DETAIL_BOOL && !d->boolean);
	}
	cr_expect_lt(only("tcp.reset")->confidence, 0.7);
}
