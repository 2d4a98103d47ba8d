/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* traffic.periodic: what is a clock, and what is not. */
#include <criterion/criterion.h>

#include "core/periodic.h"
#include "unit/analysis_bed.h"

static struct bed *b;

static void start(void)
{
	b = bed__start(false);
}

static void stop(void)
{
	bed__free(b);
}

TestSuite(periodic, .init = start, .fini = stop);

static double number(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_F64)
			return f->details[i].f64;
	return -1;
}

/* One check: a connection with a request of `bytes` and an answer. */
static void check(uint64_t ms, unsigned i, uint32_t bytes)
{
	struct bed_pair p = { "10.0.1.5", "10.0.2.10", (uint16_t)(10000 + i), 80 };

	bed__from_client(b, &p, ms, BED_SYN(1));
	bed__from_server(b, &p, ms, BED_SYNACK(7, 2));
	bed__from_client(b, &p, ms, BED_ACK(2, 8));
	bed__from_client(b, &p, ms, BED_DATA(2, 8, bytes));
	bed__from_server(b, &p, ms, BED_DATA(8, 2 + bytes, 20));
	bed__from_client(b, &p, ms, BED_FIN(2 + bytes, 28));
	bed__from_server(b, &p, ms, BED_FIN(28, 3 + bytes));
}

Test(periodic, a_check_each_two_seconds_is_worth_knowing)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 30; i++)
		check(i * 2000, i, 60);
	bed__end(b);
	f = bed__only(b, "traffic.periodic");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_float_eq(number(f, "period_ms"), 2000, 1);
	cr_expect_float_eq(number(f, "connections_per_s"), 0.5, 0.01);
	cr_expect_eq(f->count, 30);
	cr_expect_eq(f->subject.server.port, 80);
	cr_expect_eq(f->subject.client.port, 0);
}

Test(periodic, a_check_each_millisecond_is_the_one_warning)
{
	const struct tl_finding *f;

	for (unsigned i = 0; i < 4000; i++)
		check(i, i, 60);
	bed__end(b);
	f = bed__only(b, "traffic.periodic");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_float_eq(number(f, "period_ms"), 1, 0.01);
	cr_expect_float_eq(number(f, "connections_per_s"), 1000, 1);
	cr_expect_float_eq(number(f, "share"), 1, 0.001);
	cr_expect_eq(bed__detail(f, "packets"), 4000 * 7);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 1, "the talker's storm is calmed");
	cr_expect_eq(bed__count(b, "traffic.top_talker", TL_INFO), 1);
}

/* A loop that ran for half a second, each five: no storm, whatever the share of a quiet link. */
Test(periodic, checks_in_short_rows_are_no_storm)
{
	for (unsigned i = 0; i < 2000; i++)
		check(i + i / 500 * 5000, i, 60);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_WARNING), 0);
}

Test(periodic, requests_in_one_connection_are_found)
{
	const struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000, 80 };
	const struct tl_finding *f;

	bed__from_client(b, &p, 0, BED_SYN(1));
	bed__from_server(b, &p, 0, BED_SYNACK(7, 2));
	bed__from_client(b, &p, 0, BED_ACK(2, 8));
	for (unsigned i = 0; i < 40; i++) {
		bed__from_client(b, &p, 10 + i * 500, BED_DATA(2 + i * 30, 8 + i * 10, 30));
		bed__from_server(b, &p, 11 + i * 500, BED_DATA(8 + i * 10, 32 + i * 30, 10));
	}
	bed__end(b);
	f = bed__only(b, "traffic.periodic");
	cr_assert_not_null(f);
	cr_expect_float_eq(number(f, "period_ms"), 500, 1);
	cr_expect_eq(f->count, 39, "the first request belongs to its connection");
}

Test(periodic, nineteen_intervals_are_too_few)
{
	for (unsigned i = 0; i < 20; i++)
		check(i * 2000, i, 60);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, chance_is_no_clock)
{
	uint64_t ms = 0;
	uint32_t random = 1;

	for (unsigned i = 0; i < 2000; i++) {
		random = random * 1664525u + 1013904223u;
		ms += 1 + (random >> 16) % 40;
		check(ms, i, 60);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, big_payload_is_no_check)
{
	for (unsigned i = 0; i < 60; i++)
		check(i * 1000, i, 1400);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, who_asks_again_at_once_is_busy_and_no_clock)
{
	const struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000, 3306 };

	for (unsigned i = 0; i < 400; i++) {
		/* An answer takes 10 ms; the next request comes with it. */
		bed__from_client(b, &p, i * 10, BED_DATA(2 + i * 30, 8 + i * 10, 30));
		bed__from_server(b, &p, i * 10 + 10, BED_DATA(8 + i * 10, 32 + i * 30, 10));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, a_pause_between_two_rows_is_no_waiting)
{
	const struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000, 3306 };

	for (unsigned i = 0; i < 400; i++) {
		uint64_t ms = i * 10 + i / 100 * 5000;

		bed__from_client(b, &p, ms, BED_DATA(2 + i * 30, 8 + i * 10, 30));
		bed__from_server(b, &p, ms + 10, BED_DATA(8 + i * 10, 32 + i * 30, 10));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

struct datagram {
	uint16_t port; /* the client's */
	bool is_answer;
	const uint8_t *payload;
	uint32_t bytes;
};

static void send_udp(uint64_t ms, const struct datagram *d)
{
	uint8_t frame[256] = { 0 }, client[16] = { 0 }, server[16] = { 0 };
	struct tl_layers l = { .proto = 17, .l3_offset = 14, .l4_offset = 34, .ttl = 64 };
	struct tl_packet p = { .data = frame, .linktype = TL_LINKTYPE_ETHERNET };

	l.ip_version = bed__address("10.0.1.5", client);
	bed__address("10.0.2.10", server);
	l.src = d->is_answer ? server : client;
	l.dst = d->is_answer ? client : server;
	l.src_port = d->is_answer ? 9999 : d->port;
	l.dst_port = d->is_answer ? d->port : 9999;
	l.payload_offset = 42;
	l.payload_bytes = l.payload_caplen = d->bytes;
	l.ip_id = ++b->ip_id;
	memcpy(frame + 42, d->payload, d->bytes);
	p.ts_ns = BED_START_NS + ms * BED_MS + d->is_answer * 100000u;
	p.frame = ++b->frame;
	p.caplen = p.wirelen = 42 + d->bytes;
	bed__packet(b, &p, &l);
}

/* What a datagram of a stream says: RTP's head, and its number. */
static void ask_udp(uint64_t ms, unsigned each_ms, bool is_answered, bool is_rtp)
{
	for (uint64_t at = 0; at < ms; at += each_ms) {
		uint8_t bytes[32] = { is_rtp ? 0x80 : 'p', 0, (uint8_t)(at / each_ms >> 8),
				      (uint8_t)(at / each_ms) };

		send_udp(at, &(struct datagram){ 5000, false, bytes, sizeof(bytes) });
		if (is_answered)
			send_udp(at, &(struct datagram){ 5000, true, bytes, sizeof(bytes) });
	}
}

Test(periodic, datagrams_each_millisecond_are_a_storm)
{
	const struct tl_finding *f;

	ask_udp(4000, 1, true, false);
	bed__end(b);
	f = bed__only(b, "traffic.periodic");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_float_eq(number(f, "period_ms"), 1, 0.01);
	cr_expect_eq(f->subject.server.port, 9999);
}

Test(periodic, datagrams_that_want_no_answer_are_worth_knowing)
{
	ask_udp(4000, 2, false, false);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "traffic.periodic"));
	cr_expect_eq(bed__only(b, "traffic.periodic")->severity, TL_INFO);
}

Test(periodic, a_new_port_for_each_datagram_is_a_knock)
{
	uint8_t bytes[4] = "ping";

	for (uint16_t i = 0; i < 3000; i++)
		send_udp(i, &(struct datagram){ (uint16_t)(10000 + i), false, bytes, 4 });
	bed__end(b);
	cr_assert_not_null(bed__only(b, "traffic.periodic"));
	cr_expect_eq(bed__only(b, "traffic.periodic")->severity, TL_WARNING);
	cr_expect_eq(bed__only(b, "traffic.periodic")->count, 3000);
}

Test(periodic, voice_is_no_knock)
{
	ask_udp(8000, 20, true, true);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, copies_are_not_knocks)
{
	const struct bed_pair p = { "10.0.1.5", "10.0.2.10", 40000, 80 };
	struct bed_tcp syn = BED_SYN(1);

	bed__from_client(b, &p, 0, syn);
	syn.is_copy = true;
	for (unsigned i = 0; i < 40; i++)
		bed__from_client(b, &p, 0, syn);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.periodic", TL_INFO), 0);
}

Test(periodic, live_and_file_say_the_same)
{
	struct bed *live = bed__start(true), *file = b;

	for (unsigned i = 0; i < 30; i++)
		check(i * 2000, i, 60);
	bed__end(file);
	b = live;
	for (unsigned i = 0; i < 30; i++) {
		check(i * 2000, i, 60);
		bed__idle_until(b, i * 2000 + 1900);
	}
	bed__end(b);
	cr_assert(bed__only(file, "traffic.periodic") && bed__only(live, "traffic.periodic"));
	cr_expect(bed__same(bed__only(file, "traffic.periodic"),
			    bed__only(live, "traffic.periodic")));
	b = file;
	bed__free(live);
}

/* --- the beat --------------------------------------------------------------------------------- */

Test(periodic, one_late_check_does_not_hide_a_clock)
{
	struct tl_beat beat = { 0 };
	double period_ns, variation;

	for (uint64_t i = 1; i <= 40; i++)
		tl_beat__knock(&beat, i * 1000000000 + (i == 20 ? 700000000 : 0));
	cr_assert(tl_beat__is_even(&beat, &period_ns, &variation));
	cr_expect_float_eq(period_ns, 1e9, 1);
	cr_expect_lt(variation, 0.01);
}

Test(periodic, fast_beats_may_jitter_if_their_counts_are_even)
{
	struct tl_beat beat = { 0 };
	const uint32_t even[TL_BEAT_SLOTS] = { 100, 99, 101, 100, 100, 98, 102, 100, 100, 100 };
	const uint32_t odd[TL_BEAT_SLOTS] = { 80, 119, 101, 70, 130, 98, 122, 78, 90, 112 };
	double period_ns, variation;
	uint64_t at = 0;

	for (uint64_t i = 0; i < 60; i++)
		tl_beat__knock(&beat, at += i % 2 ? 1300000 : 700000);
	cr_expect_not(tl_beat__is_even(&beat, &period_ns, &variation), "intervals alone");
	for (int i = 0; i < 3; i++)
		tl_beat__count(&beat, even);
	cr_expect(tl_beat__is_even(&beat, &period_ns, &variation));
	for (int i = 0; i < 3; i++)
		tl_beat__count(&beat, odd);
	cr_expect_not(tl_beat__is_even(&beat, &period_ns, &variation));
}
