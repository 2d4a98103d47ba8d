/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source tl_filter tl_link PkgConfig::bpf */
/* runs alone */
/*
 * What the kernel leaves out before a packet is delivered: 1 in N packets, 1 in N flows, payloads,
 * the rest of long flows, what is beyond the snap length. Counts are exact.
 */
#include "xdp_bed.h"

Test(xdp_reduce, sample_keeps_exactly_one_in_n)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	opts.sample = 100;
	open_sources(&opts);
	send_flow(&udp_flow, 0, 20000, 80);
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(sum.captured, 200);
	cr_expect_eq(sum.sampled_out, 19800);
}

/* Both directions of 64 flows between two hosts, told apart by their ports. */
static void send_both_ways(uint32_t flow, uint32_t number, uint16_t fragment)
{
	struct flow there = udp_flow, back = udp_flow;

	there.src_port = back.dst_port = (uint16_t)(2000 + flow);
	back.src_port = there.dst_port;
	back.src = there.dst;
	back.dst = there.src;
	there.fragment = back.fragment = fragment;
	there.id = (uint16_t)(3 * flow);
	back.id = (uint16_t)(3 * flow + 1);
	send_flow(&there, number, 1, 90);
	send_flow(&back, number + 1, 1, 90);
}

Test(xdp_reduce, flow_samples_are_whole_flows_with_their_fragments)
{
	struct tl_source_live_opts opts = defaults();
	uint32_t kept = 0;

	setup(1500);
	opts.sample_flows = 4;
	open_sources(&opts);
	for (uint32_t flow = 0; flow < 1000; flow++) {
		send_both_ways(flow, flow * 8, 0);
		send_both_ways(flow, flow * 8 + 2, 0);
		send_both_ways(flow, flow * 8 + 4, 0x2000);
		send_both_ways(flow, flow * 8 + 6, 0x0007);
		if (flow % 100 == 99)
			read_all();
	}
	struct tl_source_stats sum = close_sources();

	for (uint32_t flow = 0; flow < 1000; flow++) {
		uint64_t n = numbers_seen_once(flow * 8, 8);

		cr_expect(n == 0 || n == 8, "flow %u: %lu of its 8 packets", flow, n);
		kept += n == 8;
	}
	cr_expect(kept > 150 && kept < 350, "%u of 1000 flows", kept);
	cr_expect_eq(sum.sampled_out, 8 * (1000 - kept));
}

/* Some senders begin with the last piece: until the first is seen, nobody knows whose it is. */
Test(xdp_reduce, flow_samples_are_whole_when_the_last_piece_comes_first)
{
	struct tl_source_live_opts opts = defaults();
	uint32_t whole = 0, surplus = 0;

	setup(1500);
	opts.sample_flows = 4;
	open_sources(&opts);
	for (uint32_t flow = 0; flow < 400; flow++) {
		send_both_ways(flow, flow * 6, 0x0007);
		send_both_ways(flow, flow * 6 + 2, 0x2000);
		send_both_ways(flow, flow * 6 + 4, 0);
		if (flow % 100 == 99)
			read_all();
	}
	struct tl_source_stats sum = close_sources();

	for (uint32_t flow = 0; flow < 400; flow++) {
		uint64_t n = numbers_seen_once(flow * 6, 6);

		cr_expect(n == 2 || n == 6, "flow %u: %lu of its 6 packets", flow, n);
		whole += n == 6;
		surplus += n == 2;
	}
	cr_expect(whole > 50 && whole < 150, "%u of 400 flows", whole);
	cr_expect_eq(sum.sampled_out, 4 * surplus);
}

static void look_headers(struct bed *b, uint32_t source, const struct tl_packet *p)
{
	uint32_t l3 = p->data[12] == 0x81 ? 18 : 14;
	uint32_t want = l3 + 20 + (p->data[l3 + 9] == 6 ? (p->data[l3 + 32] >> 4) * 4u : 8);

	(void)source;
	b->wrong += p->caplen != want || p->wirelen != 500;
}

Test(xdp_reduce, headers_only_keeps_all_options)
{
	struct tl_source_live_opts opts = defaults();
	struct flow flow = udp_flow;

	setup(1500);
	opts.headers_only = 1;
	open_sources(&opts);
	bed.look = look_headers;
	for (uint32_t i = 0; i < 22; i++) {
		flow.proto = i < 20 ? 6 : 17;
		flow.options = (uint8_t)(i % 10);
		flow.vlan = i & 1;
		send_flow(&flow, i, 1, 500);
	}
	close_sources();
	cr_expect_eq(bed.received, 22);
	cr_expect_eq(bed.wrong, 0);
	cr_expect_eq(bed.caplen_min, 14 + 20 + 8);
	cr_expect_eq(bed.caplen_max, 18 + 20 + 56);
}

Test(xdp_reduce, cutoff_keeps_the_first_bytes_and_the_ends_of_a_flow)
{
	struct tl_source_live_opts opts = defaults();
	struct flow there = udp_flow, back, end;

	setup(1500);
	there.proto = 6;
	there.tcp_flags = 0x10;
	back = there;
	back.src = there.dst;
	back.dst = there.src;
	back.src_port = there.dst_port;
	back.dst_port = there.src_port;
	end = there;
	opts.cutoff_bytes = 10000;
	open_sources(&opts);
	for (uint32_t i = 0; i < 50; i++) {
		send_flow(&there, 2 * i, 1, 300);
		send_flow(&back, 2 * i + 1, 1, 200);
	}
	for (uint32_t i = 0; i < 3; i++) { /* SYN and ACK, FIN, RST */
		end.tcp_flags = (uint8_t[]){ 0x12, 0x11, 0x14 }[i];
		send_flow(&end, 100 + i, 1, 100);
	}
	end.tcp_flags = 0x02; /* a new connection begins at 0 */
	send_flow(&end, 103, 1, 100);
	send_flow(&there, 104, 1, 300);
	struct tl_source_stats sum = close_sources();

	/* 20 pairs of 500 bytes are 10000: the packet after them is the first to go */
	for (uint32_t i = 0; i < 105; i++)
		cr_expect_eq(bed.seen[i], i < 40 || i >= 100, "frame %u", i);
	cr_expect_eq(sum.cut_off, 60);
}

Test(xdp_reduce, snaplen_cuts_and_the_wire_length_stays)
{
	struct tl_source_live_opts opts = defaults();

	setup(1500);
	opts.snaplen = 10; /* shorter than the kernel itself can cut */
	open_sources(&opts);
	send_flow(&udp_flow, 0, 50, 1000);
	struct tl_source_stats sum = close_sources();

	cr_expect_eq(bed.received, 50);
	cr_expect(bed.caplen_min == 10 && bed.caplen_max == 10);
	cr_expect_eq(sum.received_bytes, 50000);
	cr_expect_eq(sum.captured_bytes, 500);
}
