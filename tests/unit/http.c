/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * http.*: what is a fault, what is none, and what the finding says. Packets go through the whole of
 * tl_analysis, as the engine drives it.
 */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

/* A connection whose two directions are written to; sequence numbers follow by themselves. */
struct talk {
	struct bed_pair pair;
	uint64_t ms;
	uint32_t next[2]; /* client, server */
};

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(http, .init = begin, .fini = end);

struct piece {
	const char *text;
	uint32_t bytes;	 /* 0: the text's; more: filled up with 'x' */
	uint32_t caplen; /* 0: all */
	uint8_t flags;	 /* besides ACK */
	bool is_unseen;	 /* sent, and not shown by the mirror */
	bool is_copied;	 /* shown twice */
};

static void show(struct talk *t, bool from_client, const struct piece *p, uint32_t bytes)
{
	uint8_t frame[4096] = { 0 }, src[16] = { 0 }, dst[16] = { 0 };
	struct tl_layers l = { .proto = 6, .l3_offset = 14, .l4_offset = 34, .ttl = 64 };
	struct tl_packet packet = { .data = frame, .linktype = TL_LINKTYPE_ETHERNET };
	size_t text = p->text ? strlen(p->text) : 0;

	l.ip_version = bed__address(from_client ? t->pair.client : t->pair.server, src);
	bed__address(from_client ? t->pair.server : t->pair.client, dst);
	l.src = src;
	l.dst = dst;
	l.src_port = from_client ? t->pair.client_port : t->pair.server_port;
	l.dst_port = from_client ? t->pair.server_port : t->pair.client_port;
	l.seq = t->next[!from_client];
	l.ack = p->flags == TL_TCP_SYN && from_client ? 0 : t->next[from_client];
	l.tcp_flags = p->flags | (p->flags == TL_TCP_SYN && from_client ? 0 : TL_TCP_ACK);
	l.window = 65535;
	l.payload_offset = 54;
	l.payload_bytes = bytes;
	l.payload_caplen = p->caplen ? p->caplen : bytes;
	l.ip_id = ++b->ip_id;
	l.l4_checksum = (uint16_t)(l.seq * 31 + l.ack * 7 + l.tcp_flags + l.ip_id);
	memset(frame + 54, 'x', bytes < sizeof(frame) - 54 ? bytes : sizeof(frame) - 54);
	if (text)
		memcpy(frame + 54, p->text, text);
	packet.ts_ns = BED_START_NS + t->ms * BED_MS;
	packet.wirelen = 54 + bytes;
	packet.caplen = 54 + l.payload_caplen;
	for (int copies = p->is_copied ? 2 : 1; copies; copies--) {
		packet.frame = ++b->frame;
		bed__packet(b, &packet, &l);
	}
}

static void say(struct talk *t, bool from_client, struct piece p)
{
	uint32_t bytes = p.bytes ? p.bytes : p.text ? (uint32_t)strlen(p.text) : 0;

	t->ms += 5;
	if (!p.is_unseen)
		show(t, from_client, &p, bytes);
	t->next[!from_client] += bytes + !!(p.flags & (TL_TCP_SYN | TL_TCP_FIN));
}

#define CLIENT(t, ...) say(t, true, (struct piece){ __VA_ARGS__ })
#define SERVER(t, ...) say(t, false, (struct piece){ __VA_ARGS__ })

static struct talk connect_at(uint64_t ms, uint16_t client_port)
{
	struct talk t = { .pair = { "10.0.1.5", "10.0.2.10", client_port, 8080 },
			  .ms = ms,
			  .next = { 1000, 5000 } };

	CLIENT(&t, .flags = TL_TCP_SYN);
	SERVER(&t, .flags = TL_TCP_SYN);
	CLIENT(&t, 0);
	return t;
}

static void close_both(struct talk *t, bool client_first)
{
	say(t, client_first, (struct piece){ .flags = TL_TCP_FIN });
	say(t, !client_first, (struct piece){ .flags = TL_TCP_FIN });
	say(t, client_first, (struct piece){ 0 });
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static void expect_silence(void)
{
	bed__end(b);
	cr_expect_eq(bed__count(b, "http.", TL_INFO), 0);
}

/* --- healthy -----------------------------------------------------------------------------------
 */

Test(http, all_sorts_of_healthy_messages)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET / HTTP/1.1\r\nHost: x\r\n\r\nHEAD /big HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 ok\r\nContent-Length: 14\r\nContent-Len: "
			   "1\r\n\r\nthis is sparta");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n");
	CLIENT(&t, .text = "POST /up HTTP/1.1\r\nContent-Length: 3\r\nExpect: "
			   "100-continue\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 100 Continue\r\n\r\n");
	CLIENT(&t, .text = "abc");
	SERVER(&t, .text = "HTTP/1.1 204 No Content\r\n\r\n");
	CLIENT(&t, .text = "GET /c HTTP/1.1\r\nIf-None-Match: x\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\n\r\n");
	CLIENT(&t, .text = "GET /d HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
			   "chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
	CLIENT(&t, .text = "GET /e HTTP/1.0\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.0 200 OK\r\n\r\nuntil the end");
	close_both(&t, false);
	expect_silence();
}

Test(http, tunnels_are_not_read)
{
	struct talk t = connect_at(0, 40001), u = connect_at(500, 40002);

	CLIENT(&t, .text = "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
			   "Upgrade\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 101 Switching Protocols\r\n\r\n");
	SERVER(&t, .text = "\x81\x05hello");
	CLIENT(&t, .text = "\x81\x85zzzzhello");
	close_both(&t, false);
	CLIENT(&u, .text = "CONNECT example.com:443 HTTP/1.1\r\n\r\n");
	SERVER(&u, .text = "HTTP/1.1 200 Connection established\r\n\r\n");
	CLIENT(&u, .text = "\x16\x03\x01...");
	SERVER(&u, .text = "\x16\x03\x03...");
	close_both(&u, true);
	expect_silence();
}

Test(http, capture_that_ends_within_a_body)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /big HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", .bytes = 1400);
	SERVER(&t, .bytes = 1400);
	expect_silence();
}

Test(http, snap_length_does_not_shorten_a_body)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /big HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 2759\r\n\r\n", .bytes = 1400,
	       .caplen = 60);
	SERVER(&t, .bytes = 1400, .caplen = 60);
	close_both(&t, false);
	expect_silence();
}

/* It cuts heads as well: what they begin with is enough for a status. */
Test(http, snap_length_leaves_the_status)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /api HTTP/1.1\r\nHost: a-long-name\r\n\r\n", .caplen = 30);
	SERVER(&t, .text = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
	       .caplen = 30);
	close_both(&t, false);
	bed__end(b);
	cr_expect_eq(bed__detail(only("http.error"), "status"), 503);
	cr_expect_str_eq(bed__detail_string(only("http.error"), "uri"), "/api");
	cr_expect_eq(bed__count(b, "http.body_mismatch", TL_INFO), 0);
}

/* How much of the request was still to come is not known then: nobody is late. */
Test(http, snap_length_hides_what_a_request_promises)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "POST /api HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n",
	       .caplen = 30);
	SERVER(&t, 0);
	t.ms += 8000;
	close_both(&t, true);
	bed__end(b);
	cr_expect_eq(bed__count(b, "app.", TL_INFO), 0);
}

Test(http, hole_in_the_capture_is_not_judged)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /big HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", .bytes = 1400);
	SERVER(&t, .bytes = 1400, .is_unseen = true);
	CLIENT(&t, 0);
	close_both(&t, false);
	expect_silence();
}

Test(http, copies_are_no_excess)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "POST /u HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", .is_copied = true);
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", .is_copied = true);
	close_both(&t, false);
	expect_silence();
}

Test(http, response_whose_request_was_not_seen)
{
	struct talk t = { { "10.0.1.5", "10.0.2.10", 40001, 8080 }, 0, { 1000, 5000 } };

	/* It may have been HEAD. */
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n");
	close_both(&t, false);
	expect_silence();
}

Test(http, missing_page_is_info)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /favicon.ico HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, true);
	bed__end(b);
	cr_expect_eq(bed__count(b, "", TL_WARNING), 0);
	cr_expect_eq(only("http.error")->severity, TL_INFO);
	cr_expect_eq(bed__detail(only("http.error"), "status"), 404);
}

Test(http, farewell_to_an_idle_client_is_no_error)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET / HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, false);
	expect_silence();
}

/* --- body_mismatch -----------------------------------------------------------------------------
 */

Test(http, request_that_is_refused_for_its_size)
{
	struct talk t = connect_at(0, 40001);
	const struct tl_finding *f;

	CLIENT(&t, .text = "POST /api/user?x=1 HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n",
	       .bytes = 1400);
	SERVER(&t, .text = "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: "
			   "3\r\nConnection: close\r\n\r\nno\n");
	CLIENT(&t, .bytes = 1400);
	close_both(&t, false);
	bed__end(b);
	f = only("http.body_mismatch");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "declared"), 3000000);
	cr_expect_eq(
		bed__detail(f, "observed"),
		2800 - strlen("POST /api/user?x=1 HTTP/1.1\r\nContent-Length: 3000000\r\n\r\n"));
	cr_expect_str_eq(bed__detail_string(f, "side"), "request");
	cr_expect_str_eq(bed__detail_string(f, "method"), "POST");
	cr_expect_str_eq(bed__detail_string(f, "uri"), "/api/user?x=1");
	cr_expect(strstr(f->cause, "size limit"), "%s", f->cause);
	cr_expect_eq(only("http.error")->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only("http.error"), "status"), 413);
}

Test(http, client_that_asked_first_and_was_refused)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "POST /up HTTP/1.1\r\nContent-Length: 2000000\r\nExpect: "
			   "100-continue\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	CLIENT(&t, .text = "GET /next HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	close_both(&t, true);
	bed__end(b);
	cr_expect_eq(bed__detail(only("http.body_mismatch"), "observed"), 0);
	cr_expect_eq(bed__count(b, "http.", TL_INFO), 2);
}

Test(http, client_that_declares_more_than_it_sends)
{
	struct talk t = connect_at(0, 40001);
	const struct tl_finding *f;

	CLIENT(&t,
	       .text = "POST /api/user HTTP/1.1\r\nContent-Length: 512\r\n\r\n{\"user_id\": 123}");
	close_both(&t, true);
	bed__end(b);
	f = only("http.body_mismatch");
	cr_expect_eq(f->severity, TL_WARNING);
	cr_expect_eq(bed__detail(f, "declared"), 512);
	cr_expect_eq(bed__detail(f, "observed"), 16);
}

Test(http, both_sides_wait_for_the_rest)
{
	struct talk t = connect_at(0, 40001), other;

	CLIENT(&t, .text = "POST /api/user HTTP/1.1\r\nContent-Length: 512\r\n\r\nabc");
	SERVER(&t, 0);
	other = connect_at(20000, 40002);
	CLIENT(&other, 0);
	bed__end(b);
	cr_expect_eq(bed__detail(only("http.body_mismatch"), "observed"), 3);
}

Test(http, server_that_closes_while_it_waits_for_the_rest)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "POST /api/user HTTP/1.1\r\nContent-Length: 512\r\n\r\nabc");
	t.ms = 60000;
	SERVER(&t, .flags = TL_TCP_FIN);
	CLIENT(&t, 0);
	bed__end(b);
	cr_expect_eq(bed__detail(only("http.body_mismatch"), "observed"), 3);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_ERROR);
}

Test(http, server_that_closes_within_a_body)
{
	struct talk t = connect_at(0, 40001);
	const struct tl_finding *f;

	CLIENT(&t, .text = "GET /report HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
	SERVER(&t, .bytes = 1000);
	close_both(&t, false);
	bed__end(b);
	f = only("http.body_mismatch");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "declared"), 9000);
	cr_expect_eq(bed__detail(f, "observed"), 1000);
	cr_expect_str_eq(bed__detail_string(f, "side"), "response");
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && "
					    "tcp.port==8080 && tcp.port==40001");
	cr_assert_eq(f->evidence_count, 4);
	cr_expect_eq(f->evidence[0].frame, 4);
	cr_expect_eq(f->evidence[3].frame, 7);
}

/* A POST of which the server cuts the connection, `ms` after the last bytes that it took. */
static void cut_a_post(uint64_t ms)
{
	struct talk t = connect_at(0, 40000);

	CLIENT(&t, .text = "POST /up HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
	CLIENT(&t, .bytes = 1000);
	SERVER(&t, 0);
	t.ms += ms;
	SERVER(&t, .flags = TL_TCP_RST);
}

Test(http, body_that_a_reset_cuts_is_the_resets_doing)
{
	cut_a_post(0);
	bed__end(b);
	cr_expect_geq(only("tcp.reset")->severity, TL_WARNING);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_INFO);
	cr_expect_str_eq(bed__detail_string(only("http.body_mismatch"), "side"), "request");
	cr_expect_eq(bed__detail(only("http.body_mismatch"), "observed"), 1000);
}

/* It has waited for the rest: what was promised and did not come is the cause. */
Test(http, reset_that_ends_a_wait_for_the_rest_is_the_bodys_doing)
{
	cut_a_post(5000);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_ERROR);
	cr_expect_eq(only("tcp.reset")->severity, TL_INFO);
}

Test(http, live_a_cut_body_is_never_told_as_a_fault)
{
	bed__free(b);
	b = bed__start(true);
	cut_a_post(0);
	bed__idle_until(b, 400000);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_INFO);
	cr_expect_eq(bed__count(b, "http.", TL_WARNING), 0);
	bed__end(b);
}

Test(http, cancelled_download_is_info)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /film HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", .bytes = 1400);
	CLIENT(&t, .flags = TL_TCP_RST);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_INFO);
}

Test(http, download_that_the_client_closes_is_cancelled_though_the_server_has_the_last_word)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /film HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", .bytes = 1400);
	CLIENT(&t, .flags = TL_TCP_FIN);
	SERVER(&t, .flags = TL_TCP_FIN);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_INFO);
}

Test(http, client_that_closes_its_half_behind_the_request_has_not_cancelled)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /film HTTP/1.1\r\n\r\n");
	CLIENT(&t, .flags = TL_TCP_FIN);
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n", .bytes = 1400);
	SERVER(&t, .flags = TL_TCP_FIN);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_ERROR);
}

Test(http, bytes_behind_a_response)
{
	struct talk t = connect_at(0, 40001);
	const struct tl_finding *f;

	CLIENT(&t, .text = "GET /a HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef");
	CLIENT(&t, .text = "GET /b HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, false);
	bed__end(b);
	f = only("http.body_mismatch");
	cr_expect_eq(bed__detail(f, "declared"), 3);
	cr_expect_eq(bed__detail(f, "observed"), 6);
	cr_expect_str_eq(bed__detail_string(f, "uri"), "/a");
}

Test(http, bytes_behind_a_request)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n{\"a\":1}");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, false);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_ERROR);
	cr_expect_eq(bed__detail(only("http.body_mismatch"), "observed"), 7);
	cr_expect_str_eq(bed__detail_string(only("http.body_mismatch"), "uri"), "/a");
}

Test(http, bytes_behind_a_request_without_a_body_that_was_answered)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /a HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	CLIENT(&t, .text = "what is this?\r\n");
	SERVER(&t, .text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, false);
	bed__end(b);
	cr_expect_str_eq(bed__detail_string(only("http.body_mismatch"), "uri"), "/a");
	cr_expect_str_eq(only("http.body_mismatch")->summary,
			 "GET /a of 10.0.1.5 to 10.0.2.10:8080: 15 bytes follow the request, "
			 "which declares no body, and begin no message");
}

/* Flows that are cut after so many packets: the last bytes are neither ACKed nor sent again. */
Test(http, body_whose_last_bytes_nobody_acked_is_no_silence)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /film HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n");
	CLIENT(&t, 0);
	SERVER(&t, .bytes = 1000);
	SERVER(&t, .bytes = 1000);
	t.ms += 60000;
	t.pair.client_port++;
	CLIENT(&t, .flags = TL_TCP_SYN);
	expect_silence();
}

Test(http, server_that_goes_silent_within_a_body)
{
	struct talk t = connect_at(0, 40001);

	CLIENT(&t, .text = "GET /film HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n");
	SERVER(&t, .bytes = 1000);
	CLIENT(&t, 0);
	t.ms += 60000;
	t.pair.client_port++;
	CLIENT(&t, .flags = TL_TCP_SYN);
	bed__end(b);
	cr_expect_eq(only("http.body_mismatch")->severity, TL_WARNING);
}

/* A selection of packets, as by a filter on how a payload begins. */
Test(http, heads_of_one_side_alone_show_no_silence)
{
	struct talk t = { .pair = { "10.0.1.5", "10.0.2.10", 40001, 8080 },
			  .next = { 1000, 5000 } };

	CLIENT(&t, .text = "POST /a HTTP/1.1\r\nContent-Length: 300\r\n\r\n");
	CLIENT(&t, .bytes = 300, .is_unseen = true);
	t.ms += 60000;
	t.pair.client_port++;
	CLIENT(&t, .text = "POST /a HTTP/1.1\r\nContent-Length: 300\r\n\r\n");
	expect_silence();
}

/* --- error -------------------------------------------------------------------------------------
 */

Test(http, errors_are_grouped_by_template)
{
	char get[64];
	const struct tl_finding *f;

	for (unsigned i = 0; i < 5; i++) {
		struct talk t = connect_at(i * 100, (uint16_t)(40001 + i));

		snprintf(get, sizeof(get), "GET /users/%u HTTP/1.1\r\n\r\n", i);
		CLIENT(&t, .text = get);
		SERVER(&t, .text = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
		close_both(&t, true);
	}
	bed__end(b);
	f = only("http.error");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "count"), 5);
	cr_expect_eq(bed__detail(f, "flows"), 5);
	cr_expect_str_eq(bed__detail_string(f, "uri"), "/users/{id}");
}

Test(http, scan_of_many_pages_is_one_finding)
{
	struct talk t = connect_at(0, 40001);
	char get[64];

	for (unsigned i = 0; i < 200; i++) {
		snprintf(get, sizeof(get), "GET /page%c%c.php HTTP/1.1\r\n\r\n", 'a' + i / 20,
			 'a' + i % 20);
		CLIENT(&t, .text = get);
		SERVER(&t, .text = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	}
	close_both(&t, true);
	bed__end(b);
	cr_expect_eq(bed__detail(only("http.error"), "count"), 200);
	cr_expect_eq(bed__detail(only("http.error"), "flows"), 1);
}

static struct bed *conversation(bool live)
{
	struct talk t;

	b = bed__start(live);
	t = connect_at(0, 40001);
	CLIENT(&t, .text = "POST /a HTTP/1.1\r\nContent-Length: 3000\r\n\r\nabc");
	SERVER(&t, .text = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
	close_both(&t, false);
	t = connect_at(30000, 40002);
	CLIENT(&t, .text = "GET /x HTTP/1.1\r\n\r\n");
	SERVER(&t, .text = "HTTP/1.1 500 Oops\r\nContent-Length: 7\r\n\r\nabc");
	close_both(&t, false);
	if (live)
		bed__idle_until(b, 90000);
	bed__end(b);
	return b;
}

Test(http_live, live_and_file_say_the_same, .init = NULL, .fini = NULL)
{
	struct bed *file = conversation(false), *live = conversation(true);

	cr_assert_eq(bed__count(file, "http.", TL_INFO), 4);
	cr_assert_eq(file->finding_count, live->finding_count);
	for (uint32_t i = 0; i < file->finding_count; i++)
		cr_expect(bed__same(&file->finding[i], &live->finding[i]), "%s",
			  file->finding[i].kind);
	bed__free(file);
	bed__free(live);
}
