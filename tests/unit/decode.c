/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_decode */
/* What the decoder says of packets made for it: headers, lengths, options, ICMP, checksums. */
#include <criterion/criterion.h>
#include <errno.h>

#include "packet_builder.h"
#include "tapline/decode.h"

static uint8_t bytes[2048];
static const struct pb_ip v4 = { .src = "10.0.0.1", .dst = "10.0.0.2", .id = 77, .tos = 0xb8 };
static const struct pb_ip v6 = { .src = "2001:db8::1", .dst = "2001:db8::2", .tos = 0xb8 };
static const struct pb_tcp segment = {
	.src_port = 40112,
	.dst_port = 80,
	.seq = 0x11223344,
	.ack = 0x55667788,
	.flags = TL_TCP_ACK | TL_TCP_PSH,
	.window = 512,
	.urgent = 9,
};

static struct tl_layers decoded(const struct tl_packet *packet)
{
	struct tl_layers layers;

	memset(&layers, 0xa5, sizeof(layers));
	tl_decode(packet, &layers);
	return layers;
}

static void expect_segment(const struct tl_layers *l, uint32_t l3, uint32_t l4)
{
	cr_assert_eq(l->flags, 0);
	cr_assert_eq(l->proto, 6);
	cr_assert_eq(l->tos, 0xb8);
	cr_assert_eq(l->ttl, 64);
	cr_assert_eq(l->l3_offset, l3);
	cr_assert_eq(l->l4_offset, l4);
	cr_assert_eq(l->src_port, 40112);
	cr_assert_eq(l->dst_port, 80);
	cr_assert_eq(l->seq, 0x11223344);
	cr_assert_eq(l->ack, 0x55667788);
	cr_assert_eq(l->tcp_flags, TL_TCP_ACK | TL_TCP_PSH);
	cr_assert_eq(l->window, 512);
	cr_assert_eq(l->urgent, 9);
	cr_assert_eq(l->payload_offset, l4 + 20);
	cr_assert_eq(l->payload_bytes, 5);
	cr_assert_eq(l->payload_caplen, 5);
}

Test(decode, tcp_over_ipv4)
{
	struct tl_packet p =
		pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ "hello", 5 });
	struct tl_layers l = decoded(&p);

	expect_segment(&l, 14, 34);
	cr_assert_eq(l.ip_version, 4);
	cr_assert_eq(l.ethertype, 0x0800);
	cr_assert_eq(l.ip_id, 77);
	cr_assert_eq(l.src, bytes + 26);
	cr_assert_eq(l.dst, bytes + 30);
	cr_assert_eq(l.l4_checksum, bytes[50] << 8 | bytes[51]);
}

Test(decode, tcp_over_ipv6)
{
	struct tl_packet p =
		pb__tcp_packet(bytes, &v6, &segment, (struct pb_payload){ "hello", 5 });
	struct tl_layers l = decoded(&p);

	expect_segment(&l, 14, 54);
	cr_assert_eq(l.ip_version, 6);
	cr_assert_eq(l.ethertype, 0x86dd);
	cr_assert_eq(l.src, bytes + 22);
	cr_assert_eq(l.dst, bytes + 38);
}

/* The short way and the long one say the same: a second VLAN tag sends a packet the long way. */
Test(decode, both_ways_agree)
{
	static const struct pb_tcp kinds[] = {
		{ .src_port = 1,
		  .dst_port = 2,
		  .flags = TL_TCP_SYN,
		  .mss = 1460,
		  .sack_ok = true,
		  .has_ts = true,
		  .tsval = 5,
		  .tsecr = 6,
		  .has_wscale = true,
		  .wscale = 7 },
		{ .src_port = 1,
		  .dst_port = 2,
		  .flags = TL_TCP_ACK,
		  .raw_option_bytes = 12,
		  .raw_options = (const uint8_t *)"\1\1\x08\x0a\0\0\0\7\0\0\0\x08" },
		{ .src_port = 1, .dst_port = 2, .flags = TL_TCP_RST, .zero_window = true },
		{ .src_port = 1,
		  .dst_port = 2,
		  .sack_count = 3,
		  .sack = { { 1, 2 }, { 3, 4 }, { 5, 6 } } },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		uint8_t tagged[256];
		struct pb b = pb__start(tagged, sizeof(tagged));
		struct tl_packet p =
			pb__tcp_packet(bytes, &v4, &kinds[i], (struct pb_payload){ "abc", 3 });
		struct tl_packet q;
		struct tl_layers shorter = decoded(&p), longer;

		pb__ethernet(&b);
		pb__vlan(&b, 0x88a8, 12);
		pb__vlan(&b, 0x8100, 13);
		pb__ip(&b, &v4);
		pb__tcp(&b, &kinds[i]);
		pb__bytes(&b, "abc", 3);
		q = pb__packet(&b, 0, 1);
		longer = decoded(&q);
		cr_assert_eq(longer.vlan_count, 2);
		cr_assert_eq(longer.src, tagged + 34);
		longer.vlan_count = 0;
		longer.vlan[0] = longer.vlan[1] = 0;
		longer.l3_offset -= 8;
		longer.l4_offset -= 8;
		longer.payload_offset -= 8;
		longer.src = shorter.src;
		longer.dst = shorter.dst;
		cr_assert_eq(memcmp(&shorter, &longer, sizeof(shorter)), 0, "kind %zu", i);
	}
}

Test(decode, tcp_options)
{
	struct pb_tcp syn = segment;
	struct tl_packet p;
	struct tl_layers l;

	syn.mss = 1460;
	syn.sack_ok = true;
	syn.has_ts = true;
	syn.tsval = 0xdeadbeef;
	syn.tsecr = 0x01020304;
	syn.has_wscale = true;
	syn.wscale = 9;
	p = pb__tcp_packet(bytes, &v4, &syn, (struct pb_payload){ NULL, 0 });
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_TCP_TS | TL_LAYERS_TCP_WSCALE | TL_LAYERS_TCP_SACK_OK);
	cr_assert_eq(l.mss, 1460);
	cr_assert_eq(l.wscale, 9);
	cr_assert_eq(l.tsval, 0xdeadbeef);
	cr_assert_eq(l.tsecr, 0x01020304);
	cr_assert_eq(l.payload_offset, 14 + 20 + 40);
	cr_assert_eq(l.payload_bytes, 0);
}

Test(decode, tcp_sack_blocks)
{
	struct pb_tcp ack = segment;
	struct tl_packet p;
	struct tl_layers l;

	ack.sack_count = 4;
	for (uint32_t i = 0; i < 4; i++)
		ack.sack[i] = (struct tl_sack_block){ 100 * i, 100 * i + 50 };
	p = pb__tcp_packet(bytes, &v4, &ack, (struct pb_payload){ NULL, 0 });
	l = decoded(&p);
	cr_assert_eq(l.sack_count, 4);
	cr_assert_eq(l.sack[3].left, 300);
	cr_assert_eq(l.sack[3].right, 350);
}

Test(decode, tcp_option_longer_than_the_header)
{
	struct pb_tcp bad = segment;
	struct tl_packet p;
	struct tl_layers l;

	bad.raw_options = (const uint8_t *)"\2\4\5\xb4\x08\x0a\0\0";
	bad.raw_option_bytes = 8;
	p = pb__tcp_packet(bytes, &v4, &bad, (struct pb_payload){ NULL, 0 });
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_MALFORMED);
	cr_assert_eq(l.mss, 1460);
	cr_assert_eq(l.tsval, 0);
}

/* 60 bytes is the least on Ethernet: 6 of them behind this packet are no payload. */
Test(decode, ethernet_padding_is_no_payload)
{
	struct tl_packet p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 0 });
	struct tl_layers l;

	p.caplen = p.wirelen = 60;
	l = decoded(&p);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.payload_bytes, 0);
	cr_assert_eq(l.payload_caplen, 0);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
}

/* A snap length cuts the capture; what was on the wire is known by the length field. */
Test(decode, cut_by_the_snap_length)
{
	struct tl_packet p =
		pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 1000 });
	struct tl_layers l;

	p.caplen = 64;
	l = decoded(&p);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.payload_bytes, 1000);
	cr_assert_eq(l.payload_caplen, 10);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
	p.caplen = 50;
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_TRUNCATED);
	cr_assert_eq(l.src_port, 40112);
	cr_assert_eq(l.seq, 0x11223344);
	cr_assert_eq(l.tcp_flags, 0);
	cr_assert_eq(l.payload_caplen, 0);
}

Test(decode, length_zero_of_an_uncut_segment)
{
	struct tl_packet p =
		pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 1000 });
	struct tl_layers l;

	bytes[16] = bytes[17] = 0;
	l = decoded(&p);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.payload_bytes, 1000);
}

Test(decode, length_field_that_contradicts_the_packet)
{
	struct tl_packet p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 10 });
	struct tl_layers l;

	bytes[16] = 0xff;
	l = decoded(&p);
	cr_assert(l.flags & TL_LAYERS_MALFORMED);
	cr_assert_eq(l.payload_bytes, 10);
	p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 10 });
	bytes[46] = 0x40; /* data offset 4 */
	l = decoded(&p);
	cr_assert(l.flags & TL_LAYERS_MALFORMED);
	p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 10 });
	bytes[14] = 0x44; /* IHL 4: not IP */
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_MALFORMED);
	cr_assert_eq(l.ip_version, 0);
	cr_assert_eq(l.ethertype, 0x0800);
}

Test(decode, ip_header_checksum)
{
	struct tl_packet p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ NULL, 10 });

	cr_assert_eq(decoded(&p).flags, 0);
	bytes[22] ^= 1;
	cr_assert_eq(decoded(&p).flags, TL_LAYERS_BAD_IP_CSUM);
}

Test(decode, ipv4_options)
{
	struct pb_ip ip = v4;
	struct tl_packet p;
	struct tl_layers l;

	ip.options = (const uint8_t *)"\x94\4\0\0";
	ip.option_bytes = 4;
	p = pb__tcp_packet(bytes, &ip, &segment, (struct pb_payload){ "hello", 5 });
	l = decoded(&p);
	expect_segment(&l, 14, 38);
}

Test(decode, ipv4_fragments)
{
	struct pb_ip ip = v4;
	struct tl_packet p;
	struct tl_layers l;

	ip.more_fragments = true;
	p = pb__udp_packet(bytes, &ip, (struct pb_ports){ 53, 5353 },
			   (struct pb_payload){ NULL, 16 });
	bytes[38] = 0x10; /* the datagram is longer than its first fragment */
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_FRAGMENT | TL_LAYERS_FRAGMENT_MORE);
	cr_assert_eq(l.fragment_bytes, 24);
	cr_assert_eq(l.src_port, 53);
	cr_assert_eq(l.payload_bytes, 16);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
	ip.more_fragments = false;
	ip.fragment_offset = 1480;
	p = pb__udp_packet(bytes, &ip, (struct pb_ports){ 53, 5353 },
			   (struct pb_payload){ NULL, 16 });
	l = decoded(&p);
	cr_assert_eq(l.flags, TL_LAYERS_FRAGMENT | TL_LAYERS_FRAGMENT_LATER);
	cr_assert_eq(l.fragment_offset, 1480);
	cr_assert_eq(l.fragment_bytes, 24);
	cr_assert_eq(l.proto, 17);
	cr_assert_eq(l.l4_offset, 0);
	cr_assert_eq(l.src_port, 0);
	cr_assert_eq(l.payload_offset, 34);
	cr_assert_eq(l.payload_bytes, 24);
}

Test(decode, ipv6_extension_headers)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_packet p;
	struct tl_layers l;

	pb__ethernet(&b);
	pb__ip(&b, &v6);
	pb__ipv6_extension(&b, 0, 8);
	pb__ipv6_extension(&b, 60, 24);
	pb__ipv6_extension(&b, 43, 8);
	pb__ipv6_fragment(&b, 0, false, 0x1234); /* atomic: no fragment (RFC 6946) */
	pb__tcp(&b, &segment);
	pb__bytes(&b, "hello", 5);
	p = pb__packet(&b, 0, 1);
	l = decoded(&p);
	expect_segment(&l, 14, 14 + 40 + 48);
	cr_assert_eq(l.ip_id, 0x1234);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
}

Test(decode, ipv6_fragments)
{
	for (int later = 0; later < 2; later++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_packet p;
		struct tl_layers l;

		pb__ethernet(&b);
		pb__ip(&b, &v6);
		pb__ipv6_fragment(&b, later ? 1448 : 0, !later, 99);
		pb__udp(&b, 1, 2);
		pb__bytes(&b, NULL, 8);
		p = pb__packet(&b, 0, 1);
		l = decoded(&p);
		cr_assert_eq(l.ip_id, 99);
		cr_assert_eq(l.proto, 17);
		cr_assert_eq(l.flags, later ? TL_LAYERS_FRAGMENT | TL_LAYERS_FRAGMENT_LATER
					    : TL_LAYERS_FRAGMENT | TL_LAYERS_FRAGMENT_MORE);
		cr_assert_eq(l.fragment_bytes, 16);
		cr_assert_eq(l.fragment_offset, later ? 1448 : 0);
		cr_assert_eq(l.l4_offset, later ? 0 : 62);
		cr_assert_eq(l.payload_bytes, later ? 16 : 8);
	}
}

Test(decode, endless_extension_headers_end)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_packet p;
	struct tl_layers l;

	pb__ethernet(&b);
	pb__ip(&b, &v6);
	for (int i = 0; i < 24; i++)
		pb__ipv6_extension(&b, 60, 8);
	p = pb__packet(&b, 0, 1);
	l = decoded(&p);
	cr_assert(l.flags & TL_LAYERS_MALFORMED);
	cr_assert_eq(l.ip_version, 6);
	cr_assert_eq(l.l4_offset, 0);
}

Test(decode, udp_length_bounds_the_payload)
{
	struct tl_packet p = pb__udp_packet(bytes, &v4, (struct pb_ports){ 1, 2 },
					    (struct pb_payload){ NULL, 20 });
	struct tl_layers l = decoded(&p);

	cr_assert_eq(l.payload_bytes, 20);
	bytes[39] = 8 + 12;
	cr_assert_eq(decoded(&p).payload_bytes, 12);
	cr_assert_eq(decoded(&p).flags, 0);
	bytes[39] = 60;
	cr_assert_eq(decoded(&p).flags, TL_LAYERS_MALFORMED);
	bytes[39] = 7;
	cr_assert_eq(decoded(&p).flags, TL_LAYERS_MALFORMED);
}

/* Community ID v1, its reference implementation: echo and its reply are one flow. */
Test(decode, icmp_ports)
{
	static const struct {
		bool v6;
		uint8_t type, code;
		uint16_t src_port, dst_port;
	} cases[] = {
		{ false, 8, 0, 8, 0 },	    { false, 0, 0, 0, 8 },	{ false, 3, 1, 3, 1 },
		{ false, 13, 0, 13, 14 },   { false, 18, 0, 18, 17 },	{ false, 11, 1, 11, 1 },
		{ true, 128, 0, 128, 129 }, { true, 129, 0, 129, 128 }, { true, 135, 0, 135, 136 },
		{ true, 134, 0, 134, 133 }, { true, 3, 1, 3, 1 },	{ true, 131, 0, 131, 130 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_packet p;
		struct tl_layers l;

		pb__ethernet(&b);
		pb__ip(&b, cases[i].v6 ? &v6 : &v4);
		if (cases[i].v6)
			pb__icmp6(&b, cases[i].type, cases[i].code, 0x00070001);
		else
			pb__icmp(&b, cases[i].type, cases[i].code, 0x00070001);
		pb__bytes(&b, "abcdefg", 7);
		p = pb__packet(&b, 0, 1);
		l = decoded(&p);
		cr_assert_eq(l.src_port, cases[i].src_port, "case %zu", i);
		cr_assert_eq(l.dst_port, cases[i].dst_port, "case %zu", i);
		cr_assert_eq(l.payload_bytes, 7);
		cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1, "case %zu", i);
		bytes[l.payload_offset] ^= 0x10;
		cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 0, "case %zu", i);
	}
}

/* What RFC 792 promises to quote: the IP header and 8 bytes, here ports and sequence number. */
Test(decode, icmp_quote)
{
	uint8_t inner[128];
	struct tl_packet quoted =
		pb__tcp_packet(inner, &v4, &segment, (struct pb_payload){ NULL, 0 });
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_layers l, q;
	struct tl_packet p;

	pb__ethernet(&b);
	pb__ip(&b, &(struct pb_ip){ .src = "10.9.9.9", .dst = "10.0.0.1" });
	pb__icmp(&b, 3, 1, 0);
	pb__bytes(&b, quoted.data + 14, 28);
	p = pb__packet(&b, 0, 1);
	l = decoded(&p);
	cr_assert(tl_decode__icmp_quote(&p, &l, &q));
	cr_assert_eq(memcmp(q.dst, "\x0a\0\0\2", 4), 0);
	cr_assert_eq(q.src_port, 40112);
	cr_assert_eq(q.dst_port, 80);
	cr_assert_eq(q.seq, 0x11223344);
	cr_assert_eq(q.flags, TL_LAYERS_TRUNCATED);
	p.caplen = 14 + 20 + 8 + 20 + 3; /* not even both ports */
	l = decoded(&p);
	cr_assert_not(tl_decode__icmp_quote(&p, &l, &q));
}

Test(decode, icmp_echo_quotes_nothing)
{
	uint8_t inner[128];
	struct tl_packet quoted =
		pb__tcp_packet(inner, &v4, &segment, (struct pb_payload){ NULL, 0 });
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_layers l, q;
	struct tl_packet p;

	pb__ethernet(&b);
	pb__ip(&b, &v4);
	pb__icmp(&b, 8, 0, 0);
	pb__bytes(&b, quoted.data + 14, 40);
	p = pb__packet(&b, 0, 1);
	l = decoded(&p);
	cr_assert_not(tl_decode__icmp_quote(&p, &l, &q));
}

Test(decode, transport_checksums)
{
	const struct pb_ip *const ips[] = { &v4, &v6 };

	for (size_t i = 0; i < 2; i++) {
		for (size_t n = 0; n < 40; n++) {
			struct tl_packet p = pb__tcp_packet(bytes, ips[i], &segment,
							    (struct pb_payload){ NULL, n });
			struct tl_layers l = decoded(&p);

			cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
			bytes[l.l4_offset + n % 20] ^= 0x04;
			l = decoded(&p);
			if (!(l.flags & TL_LAYERS_MALFORMED))
				cr_assert_neq(tl_decode__l4_checksum_ok(&p, &l), 1, "%zu", n);
		}
	}
}

Test(decode, checksum_left_to_the_nic)
{
	struct tl_packet p = pb__tcp_packet(bytes, &v4, &segment, (struct pb_payload){ "abcd", 4 });
	struct tl_layers l;
	uint32_t sum = pb__sum(bytes + 26, 8, 6 + 24);

	bytes[50] ^= 0x55;
	l = decoded(&p);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 0);
	pb__set16(bytes + 50, sum);
	l = decoded(&p);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
	bytes[50] ^= 0x55;
	p.flags = TL_PACKET_CSUM_PARTIAL;
	l = decoded(&p);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
}

Test(decode, udp_without_checksum)
{
	struct tl_packet p = pb__udp_packet(bytes, &v4, (struct pb_ports){ 1, 2 },
					    (struct pb_payload){ "abcd", 4 });
	struct tl_layers l = decoded(&p);

	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
	bytes[40] = bytes[41] = 0;
	l = decoded(&p);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
}

/* An INIT with its CRC32c, which tshark finds right too. */
Test(decode, sctp_checksum)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct pb_ip ip = v4;
	struct tl_packet p;
	struct tl_layers l;
	uint8_t *sctp;

	ip.proto = 132;
	pb__ethernet(&b);
	pb__ip(&b, &ip);
	sctp = pb__bytes(&b,
			 "\x80\x44\x00\x50\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x14"
			 "\x3b\xb9\x9c\x46\x00\x01\xa0\x00\x00\x0a\xff\xff\x2b\x2d\x7e\xb2",
			 32);
	p = pb__packet(&b, 0, 1);
	l = decoded(&p);
	cr_assert_eq(l.src_port, 0x8044);
	cr_assert_eq(l.dst_port, 80);
	cr_assert_eq(l.payload_bytes, 20);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), -ENODATA);
	memcpy(sctp + 8, "\xba\xb6\xf1\x7a", 4);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
	sctp[20] ^= 1;
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 0);
}

/* RFC 8200, section 8.1: the sum is over the last destination of a routing header. */
Test(decode, checksum_with_a_routing_header)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct pb_ip ip = v6;
	struct tl_packet p;
	struct tl_layers l;
	uint8_t *routing;

	ip.dst = "2001:db8::99";
	pb__ethernet(&b);
	pb__ip(&b, &ip);
	pb__ipv6_extension(&b, 43, 24);
	routing = b.data + b.bytes - 24;
	pb__address("2001:db8::2", routing + 8);
	pb__udp(&b, 1, 2);
	pb__bytes(&b, "hello", 5);
	p = pb__packet(&b, 0, 1); /* its sum is over ::99 */
	l = decoded(&p);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
	routing[3] = 1; /* one segment left: now ::2 would have been right */
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 0);
	pb__address("2001:db8::99", routing + 8);
	pb__address("2001:db8::2", bytes + 14 + 24);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
}
