/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow */
/* TCP in the flow table: states, who is the client, reuse of a tuple, what is counted. */
#include <criterion/criterion.h>

#include "flow_test.h"

static const struct seg client = {
	.src = 0x0a000105, .dst = 0x0a00020a, .src_port = 40112, .dst_port = 8081, .ts_ns = T0
};

static struct seg with(struct seg seg, uint8_t flags, uint32_t seq, uint64_t ts_ns)
{
	seg.flags = flags;
	seg.seq = seq;
	seg.ts_ns = ts_ns;
	return seg;
}

Test(flow_tcp, a_handshake_gives_state_client_and_round_trips)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg server = seg__reply(client);
	struct tl_flow_lookup l = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0));

	cr_expect(l.ret_is_new);
	cr_expect_eq(l.ret_flow->state, TL_FLOW_SYN_SENT);
	cr_expect_eq(l.ret_flow->client, l.ret_side);
	server.ack = 1001;
	l = bed__send(bed, with(server, TL_TCP_SYN | TL_TCP_ACK, 5000, T0 + 2 * MS));
	cr_expect_not(l.ret_is_new);
	cr_expect_eq(l.ret_flow->state, TL_FLOW_SYN_RECEIVED);
	cr_expect_neq(l.ret_flow->client, l.ret_side);
	l = bed__send(bed, with(client, TL_TCP_ACK, 1001, T0 + 5 * MS));
	cr_expect_eq(l.ret_flow->state, TL_FLOW_ESTABLISHED);
	cr_expect_eq(l.ret_flow->rtt_server_us, 2000);
	cr_expect_eq(l.ret_flow->rtt_client_us, 3000);
	cr_expect_eq(l.ret_flow->flags & (TL_FLOW_MIDSTREAM | TL_FLOW_CLIENT_SURE),
		     TL_FLOW_CLIENT_SURE);
	cr_expect_eq(l.ret_flow->packets[l.ret_side], 2);
	cr_expect_eq(l.ret_flow->packets[!l.ret_side], 1);
	cr_expect_eq(l.ret_flow->bytes[l.ret_side], 120);
	bed__destroy(bed);
}

Test(flow_tcp, both_directions_share_an_entry_whoever_is_smaller)
{
	struct seg swapped = client;
	struct bed *bed = bed__create(1 << 20);

	swapped.src = client.dst;
	swapped.dst = client.src;
	for (int i = 0; i < 2; i++) {
		struct seg seg = i ? swapped : client;
		struct tl_flow *flow = bed__send(bed, with(seg, TL_TCP_SYN, 1, T0)).ret_flow;
		struct tl_flow_lookup back = bed__send(bed, seg__reply(seg));

		cr_expect_eq(back.ret_flow, flow);
		cr_expect_eq(memcmp(flow->key.addr[0], "\x0a\x00\x01\x05", 4), 0);
	}
	cr_expect_eq(bed__stats(bed).created, 2);
	bed__destroy(bed);
}

Test(flow_tcp, two_fins_close_it_and_one_does_not)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__connect(bed, client, T0);

	bed__send(bed, with(client, TL_TCP_FIN | TL_TCP_ACK, 1001, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_CLOSING);
	bed__send(bed, with(client, TL_TCP_FIN | TL_TCP_ACK, 1001, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_CLOSING, "the same side's FIN again");
	bed__send(bed, with(seg__reply(client), TL_TCP_FIN | TL_TCP_ACK, 5001, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_CLOSED);
	bed__send(bed, with(client, TL_TCP_ACK, 1002, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_CLOSED);
	bed__destroy(bed);
}

Test(flow_tcp, an_rst_far_out_of_the_window_closes_nothing)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__connect(bed, client, T0);

	bed__send(bed, with(seg__reply(client), TL_TCP_RST, 0x70000000, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_ESTABLISHED);
	cr_expect(flow->flags & TL_FLOW_SAW_RST);
	bed__send(bed, with(seg__reply(client), TL_TCP_RST, 5001, T0 + S));
	cr_expect_eq(flow->state, TL_FLOW_CLOSED);
	bed__destroy(bed);
}

Test(flow_tcp, the_same_isn_is_a_retransmission_and_another_one_a_new_connection)
{
	static const uint8_t states[] = { TL_FLOW_SYN_SENT, TL_FLOW_ESTABLISHED, TL_FLOW_CLOSING,
					  TL_FLOW_CLOSED };

	for (size_t i = 0; i < sizeof(states); i++) {
		struct bed *bed = bed__create(1 << 20);
		struct tl_flow_lookup l = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0));
		uint32_t index = l.ret_flow->index, generation;

		if (states[i] != TL_FLOW_SYN_SENT)
			bed__connect(bed, client, T0);
		if (states[i] == TL_FLOW_CLOSING)
			bed__send(bed, with(client, TL_TCP_FIN, 1001, T0));
		if (states[i] == TL_FLOW_CLOSED)
			bed__send(bed, with(client, TL_TCP_RST, 1001, T0));
		cr_assert_eq(l.ret_flow->state, states[i]);
		generation = l.ret_flow->generation;

		l = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0 + S));
		cr_expect_not(l.ret_is_new, "state %u", states[i]);
		cr_expect_geq(l.ret_flow->retransmissions[l.ret_side], 1);
		cr_expect_eq(bed->count, 0);

		l = bed__send(bed, with(client, TL_TCP_SYN, 999777, T0 + 2 * S));
		cr_expect(l.ret_is_new, "state %u", states[i]);
		cr_expect_eq(l.ret_flow->state, TL_FLOW_SYN_SENT);
		cr_expect_eq(l.ret_flow->packets[l.ret_side], 1, "counters begin anew");
		cr_expect_eq(l.ret_flow->first_ns, T0 + 2 * S);
		cr_expect_neq(l.ret_flow->generation, generation);
		cr_expect_eq(l.ret_flow->index, index);
		cr_assert_eq(bed->count, 1);
		cr_expect_eq(bed->log[0].end, TL_FLOW_END_REUSED);
		cr_expect_eq(bed->log[0].flow.first_ns, T0);
		bed__destroy(bed);
	}
}

Test(flow_tcp, a_syn_ack_with_another_number_is_no_new_connection)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__connect(bed, client, T0);
	struct seg server = seg__reply(client);
	struct tl_flow_lookup l;

	server.ack = 1001;
	l = bed__send(bed, with(server, TL_TCP_SYN | TL_TCP_ACK, 777777, T0 + S));
	cr_expect_eq(l.ret_flow, flow);
	cr_expect_not(l.ret_is_new);
	cr_expect_eq(bed->count, 0);
	bed__destroy(bed);
}

Test(flow_tcp, a_refused_client_that_sends_the_same_syn_again_is_half_open_again)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg server = seg__reply(client);
	struct tl_flow *flow = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0)).ret_flow;

	server.ack = 1001;
	bed__send(bed, with(server, TL_TCP_RST | TL_TCP_ACK, 0, T0 + MS));
	cr_expect_eq(flow->state, TL_FLOW_CLOSED);
	cr_expect_not(bed__send(bed, with(client, TL_TCP_SYN, 1000, T0 + 500 * MS)).ret_is_new);
	cr_expect_eq(flow->state, TL_FLOW_SYN_SENT);
	bed__destroy(bed);
}

Test(flow_tcp, a_challenge_ack_does_not_establish)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg server = seg__reply(client);
	struct tl_flow *flow = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0)).ret_flow;

	server.ack = 424242;
	bed__send(bed, with(server, TL_TCP_ACK, 9, T0 + MS));
	cr_expect_eq(flow->state, TL_FLOW_SYN_SENT);
	server.ack = 1001;
	bed__send(bed, with(server, TL_TCP_ACK, 5001, T0 + MS));
	cr_expect_eq(flow->state, TL_FLOW_ESTABLISHED, "the mirror missed the SYN-ACK");
	bed__destroy(bed);
}

Test(flow_tcp, midstream_the_port_that_serves_is_the_server)
{
	static const struct {
		uint16_t src, dst;
		bool sender_is_client;
	} cases[] = { { 443, 51000, false }, { 51000, 443, true },   { 3306, 33000, false },
		      { 33000, 3306, true }, { 40000, 9100, true },  { 9100, 40000, false },
		      { 2000, 3000, false }, { 61000, 60000, true }, { 22, 80, false } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bed *bed = bed__create(1 << 20);
		struct seg seg = client;
		struct tl_flow_lookup l;

		seg.src_port = cases[i].src;
		seg.dst_port = cases[i].dst;
		l = bed__send(bed, with(seg, TL_TCP_ACK, 1, T0));
		cr_expect_eq(l.ret_flow->client == l.ret_side, cases[i].sender_is_client, "%u > %u",
			     cases[i].src, cases[i].dst);
		cr_expect_eq(l.ret_flow->flags & (TL_FLOW_MIDSTREAM | TL_FLOW_CLIENT_SURE),
			     TL_FLOW_MIDSTREAM);
		cr_expect_eq(l.ret_flow->state, TL_FLOW_ESTABLISHED);
		bed__destroy(bed);
	}
}

Test(flow_tcp, midstream_the_first_bytes_know_better_than_the_ports)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg seg = client;
	struct tl_flow_lookup l;

	seg.src_port = 5000;
	seg.dst_port = 6000;
	seg.payload = "GET / HTTP/1.1\r\n";
	l = bed__send(bed, with(seg, TL_TCP_ACK, 1, T0));
	cr_expect_eq(l.ret_flow->client, l.ret_side);
	cr_expect_eq(l.ret_flow->app, TL_APP_HTTP);
	bed__destroy(bed);
}

Test(flow_tcp, midstream_with_equal_ports_the_first_payload_decides)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg seg = client;
	struct tl_flow_lookup l;

	seg.src_port = seg.dst_port = 7777;
	bed__send(bed, with(seg, TL_TCP_ACK, 1, T0));
	seg = seg__reply(seg);
	seg.payload = "hello";
	l = bed__send(bed, with(seg, TL_TCP_ACK, 1, T0));
	cr_expect_eq(l.ret_flow->client, l.ret_side);
	bed__destroy(bed);
}

Test(flow_tcp, a_syn_ack_first_tells_the_client_and_the_late_syn_completes_it)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg server = seg__reply(client);
	struct tl_flow_lookup l;

	server.ack = 1001;
	l = bed__send(bed, with(server, TL_TCP_SYN | TL_TCP_ACK, 5000, T0));
	cr_expect_neq(l.ret_flow->client, l.ret_side);
	cr_expect(l.ret_flow->flags & TL_FLOW_CLIENT_SURE);
	cr_expect(l.ret_flow->flags & TL_FLOW_MIDSTREAM);
	l = bed__send(bed, with(client, TL_TCP_SYN, 1000, T0 + 1));
	cr_expect_not(l.ret_is_new);
	cr_expect_not(l.ret_flow->flags & TL_FLOW_MIDSTREAM);
	cr_expect_eq(l.ret_flow->retransmissions[l.ret_side], 0);
	bed__destroy(bed);
}

Test(flow_tcp, payload_below_what_was_sent_is_counted_and_a_keep_alive_is_not)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__connect(bed, client, T0);
	struct seg data = client;

	data.payload_bytes = 100;
	bed__send(bed, with(data, TL_TCP_ACK, 1001, T0 + S));
	cr_expect_eq(flow->retransmissions[flow->client], 0);
	bed__send(bed, with(data, TL_TCP_ACK, 1001, T0 + S));
	cr_expect_eq(flow->retransmissions[flow->client], 1);
	bed__send(bed, with(data, TL_TCP_ACK, 1101, T0 + S));
	cr_expect_eq(flow->retransmissions[flow->client], 1);
	data.payload_bytes = 1;
	bed__send(bed, with(data, TL_TCP_ACK, 1200, T0 + S));
	cr_expect_eq(flow->retransmissions[flow->client], 1);
	bed__destroy(bed);
}

Test(flow_tcp, sequence_numbers_wrap)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg data = client;
	struct tl_flow *flow;

	data.payload_bytes = 100;
	flow = bed__send(bed, with(data, TL_TCP_ACK, 0xffffffce, T0)).ret_flow;
	bed__send(bed, with(data, TL_TCP_ACK, 50, T0));
	cr_expect_eq(flow->retransmissions[flow->client], 0);
	bed__send(bed, with(data, TL_TCP_ACK, 0xffffffce, T0));
	cr_expect_eq(flow->retransmissions[flow->client], 1);
	bed__destroy(bed);
}

Test(flow_tcp, a_shut_window_is_timed_by_the_side_that_shut_it)
{
	struct bed *bed = bed__create(1 << 20);
	struct tl_flow *flow = bed__connect(bed, client, T0);
	struct seg shut = seg__reply(client), open = shut;
	uint8_t server = !flow->client;

	shut.zero_window = true;
	bed__send(bed, with(shut, TL_TCP_ACK, 5001, T0 + S));
	bed__send(bed, with(shut, TL_TCP_ACK, 5001, T0 + 2 * S));
	bed__send(bed, with(open, TL_TCP_ACK, 5001, T0 + 4 * S));
	cr_expect_eq(flow->zero_window_ms[server], 3000);
	cr_expect_eq(flow->zero_window_ms[flow->client], 0);
	bed__send(bed, with(shut, TL_TCP_ACK, 5001, T0 + 5 * S));
	bed__send(bed, with(client, TL_TCP_ACK, 1001, T0 + 7 * S));
	tl_flow_table__drain(bed->table);
	cr_expect_eq(bed->log[0].flow.zero_window_ms[server], 5000, "still shut at the end");
	bed__destroy(bed);
}

Test(flow_tcp, an_rst_may_carry_window_0)
{
	struct bed *bed = bed__create(1 << 20);
	struct seg rst = client;

	bed__connect(bed, client, T0);
	rst.zero_window = true;
	bed__send(bed, with(rst, TL_TCP_RST, 1001, T0 + S));
	bed__send(bed, with(seg__reply(client), TL_TCP_ACK, 5001, T0 + 9 * S));
	tl_flow_table__drain(bed->table);
	cr_expect_eq(bed->log[0].flow.zero_window_ms[bed->log[0].flow.client], 0);
	bed__destroy(bed);
}

struct app_case {
	uint16_t server_port;
	bool from_server;
	const char *bytes;
	size_t length;
	uint8_t app;
};

#define BYTES(text) (text), sizeof(text) - 1

static const struct app_case app_cases[] = {
	{ 9999, false, BYTES("POST /x HTTP/1.1\r\n"), TL_APP_HTTP },
	{ 9999, true, BYTES("HTTP/1.0 200 OK\r\n"), TL_APP_HTTP },
	{ 9999, false, BYTES("PRI * HTTP/2.0\r\n"), TL_APP_HTTP },
	{ 9999, false, BYTES("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1"), TL_APP_TLS },
	{ 9999, true, BYTES("SSH-2.0-x\r\n"), TL_APP_SSH },
	{ 9999, true,
	  BYTES("\x06\0\0\0\x0a"
		"8.0.1"),
	  TL_APP_MYSQL },
	{ 9999, false, BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), TL_APP_POSTGRESQL },
	{ 9999, false, BYTES("\0\0\0\x09\0\x03\0\0\0"), TL_APP_POSTGRESQL },
	{ 9999, false, BYTES("\x16\x03\x09\x00\xa5\x01"), TL_APP_UNKNOWN },
	{ 9999, false, BYTES("GETTING"), TL_APP_UNKNOWN },
	{ 9999, false, BYTES("\x16"), TL_APP_UNKNOWN },
	{ 3306, false, BYTES("?"), TL_APP_MYSQL },
	{ 443, false, BYTES("GET / HTTP/1.1\r\n"), TL_APP_HTTP },
	{ 53, false, BYTES("\x00\x1c\x12\x34"), TL_APP_DNS },
};

Test(flow_tcp, the_application_is_known_by_first_bytes_then_by_port)
{
	for (size_t i = 0; i < sizeof(app_cases) / sizeof(app_cases[0]); i++) {
		const struct app_case *c = &app_cases[i];
		struct bed *bed = bed__create(1 << 20);
		struct seg seg = client;
		struct made made;
		struct tl_flow *flow;

		seg.dst_port = c->server_port;
		flow = bed__connect(bed, seg, T0);
		if (c->from_server)
			seg = seg__reply(seg);
		bed__make(&seg, &made);
		made.packet.data = (const uint8_t *)c->bytes;
		made.packet.caplen = (uint32_t)c->length;
		made.layers.payload_bytes = made.layers.payload_caplen = (uint32_t)c->length;
		made.layers.tcp_flags = TL_TCP_ACK;
		bed__look_up(bed, &made);
		cr_expect_eq(flow->app, c->app, "case %zu: %u", i, flow->app);
		bed__destroy(bed);
	}
}
