/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_decode */
/* Link layers, tags and tunnels: each leads to the same inner segment, and says how it got there.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "packet_builder.h"
#include "tapline/decode.h"

static uint8_t bytes[2048];
static const struct pb_ip outer = { .src = "192.0.2.1", .dst = "192.0.2.2" };
static const struct pb_ip inner = { .src = "10.0.0.1", .dst = "10.0.0.2" };
static const struct pb_ip inner6 = { .src = "2001:db8::1", .dst = "2001:db8::2" };
static const struct pb_tcp segment = { .src_port = 1025, .dst_port = 80, .flags = TL_TCP_ACK };

/* The inner segment goes at the end of what the test has built. */
static struct tl_layers decode_with(struct pb *b, const struct pb_ip *ip)
{
	struct tl_layers l;
	struct tl_packet p;
	size_t at = b->bytes;
	uint8_t version = strchr(ip->src, ':') ? 6 : 4;

	pb__ip(b, ip);
	pb__tcp(b, &segment);
	pb__bytes(b, "hello", 5);
	p = pb__packet(b, 0, 1);
	tl_decode(&p, &l);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.ip_version, version);
	cr_assert_eq(l.l3_offset, at);
	cr_assert_eq(l.src, bytes + at + (version == 4 ? 12 : 8));
	cr_assert_eq(l.src_port, 1025);
	cr_assert_eq(l.payload_bytes, 5);
	cr_assert_eq(tl_decode__l4_checksum_ok(&p, &l), 1);
	return l;
}

static void expect_tunnel(const struct tl_layers *l, enum tl_tunnel_type type, uint32_t id)
{
	uint32_t src = htonl(0xc0000201), dst = htonl(0xc0000202);

	cr_assert_eq(l->tunnel.type, type);
	cr_assert_eq(l->tunnel.id, id);
	cr_assert_eq(l->tunnel.depth, 1);
	cr_assert_eq(l->tunnel.ip_version, 4);
	cr_assert_eq(memcmp(l->tunnel.src, &src, 4), 0);
	cr_assert_eq(memcmp(l->tunnel.dst, &dst, 4), 0);
}

static struct pb start_outer(void)
{
	struct pb b = pb__start(bytes, sizeof(bytes));

	pb__ethernet(&b);
	pb__ip(&b, &outer);
	return b;
}

Test(decode_tunnel, link_types)
{
	static const struct {
		uint16_t linktype;
		size_t header_bytes;
		const char *header;
	} cases[] = {
		{ TL_LINKTYPE_RAW, 0, "" },
		{ TL_LINKTYPE_IPV4, 0, "" },
		{ TL_LINKTYPE_NULL, 4, "\2\0\0\0" },
		{ TL_LINKTYPE_NULL, 4, "\0\0\0\2" },
		{ TL_LINKTYPE_LOOP, 4, "\0\0\0\2" },
		{ TL_LINKTYPE_LINUX_SLL, 16, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0" },
		{ TL_LINKTYPE_LINUX_SLL, 20, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x81\0\0\7\x08\0" },
		{ TL_LINKTYPE_LINUX_SLL2, 20, "\x08\0\0\0\0\0\0\3\0\1\0\6\2\0\0\0\0\1\0\0" },
		{ TL_LINKTYPE_ETHERNET, 22,
		  "\2\2\2\2\2\2\2\2\2\2\2\2\0\x35\xaa\xaa\3\0\0\0\x08\0" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_layers l;

		b.linktype = cases[i].linktype;
		pb__bytes(&b, cases[i].header, cases[i].header_bytes);
		l = decode_with(&b, &inner);
		cr_assert_eq(l.tunnel.type, TL_TUNNEL_NONE);
	}
}

Test(decode_tunnel, unknown_link_type)
{
	struct tl_packet p = pb__tcp_packet(bytes, &inner, &segment, (struct pb_payload){ 0 });
	struct tl_layers l, zero = { 0 };

	p.linktype = 147;
	tl_decode(&p, &l);
	cr_assert_eq(memcmp(&l, &zero, sizeof(l)), 0);
}

Test(decode_tunnel, vlan_tags)
{
	static const uint16_t tpids[] = { 0x88a8, 0x8100, 0x9100, 0x8100, 0x8100 };

	for (size_t count = 1; count <= 4; count++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_layers l;

		pb__ethernet(&b);
		for (size_t i = 0; i < count; i++)
			pb__vlan(&b, tpids[i], (uint16_t)(0xe000 + i));
		l = decode_with(&b, &inner6);
		cr_assert_eq(l.vlan_count, count);
		cr_assert_eq(l.vlan[count - 1], 0xe000 + count - 1);
		cr_assert_eq(l.ethertype, 0x86dd);
	}
}

Test(decode_tunnel, more_vlan_tags_than_are_kept)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_layers l;
	struct tl_packet p;

	pb__ethernet(&b);
	for (uint16_t i = 0; i < 6; i++)
		pb__vlan(&b, 0x8100, i);
	pb__ip(&b, &inner);
	pb__tcp(&b, &segment);
	p = pb__packet(&b, 0, 1);
	tl_decode(&p, &l);
	cr_assert_eq(l.flags, TL_LAYERS_VLAN_MORE);
	cr_assert_eq(l.vlan_count, TL_VLAN_MAX);
	cr_assert_eq(l.src_port, 1025);
}

Test(decode_tunnel, gre)
{
	static const struct pb_gre kinds[] = {
		{ 0 },
		{ .has_key = true, .key = 0x01020304 },
		{ .has_checksum = true, .has_key = true, .key = 7, .has_sequence = true },
	};

	for (size_t i = 0; i < 3; i++) {
		for (int bridged = 0; bridged < 2; bridged++) {
			struct pb b = start_outer();
			struct tl_layers l;
			size_t at;

			pb__gre(&b, &kinds[i]);
			at = b.bytes;
			if (bridged)
				pb__ethernet(&b);
			l = decode_with(&b, bridged ? &inner : &inner6);
			expect_tunnel(&l, TL_TUNNEL_GRE, kinds[i].key);
			cr_assert_eq(l.l2_offset, bridged ? at : 0);
		}
	}
}

Test(decode_tunnel, erspan)
{
	static const struct {
		enum tl_tunnel_type type;
		uint16_t protocol;
		bool sequence;
		size_t header_bytes;
		const char *header;
	} cases[] = {
		{ TL_TUNNEL_ERSPAN1, 0x88be, false, 0, "" },
		{ TL_TUNNEL_ERSPAN2, 0x88be, true, 8, "\x10\x64\x18\x05\0\0\0\1" },
		{ TL_TUNNEL_ERSPAN3, 0x22eb, true, 12, "\x20\x64\x18\x05\0\0\0\0\0\0\0\0" },
		{ TL_TUNNEL_ERSPAN3, 0x22eb, true, 20,
		  "\x20\x64\x18\x05\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0" },
	};

	for (size_t i = 0; i < 4; i++) {
		struct pb b = start_outer();
		struct tl_layers l;

		pb__gre(&b, &(struct pb_gre){ .protocol = cases[i].protocol,
					      .has_sequence = cases[i].sequence });
		pb__bytes(&b, cases[i].header, cases[i].header_bytes);
		pb__ethernet(&b);
		pb__vlan(&b, 0x8100, 100);
		l = decode_with(&b, &inner);
		expect_tunnel(&l, cases[i].type, i ? 5 : 0);
		cr_assert_eq(l.vlan_count, 1);
		cr_assert_eq(l.vlan[0], 100);
	}
}

Test(decode_tunnel, vxlan_on_both_ports)
{
	static const uint16_t ports[] = { 4789, 8472 };

	for (size_t i = 0; i < 2; i++) {
		struct pb b = start_outer();
		struct tl_layers l;

		pb__udp(&b, 40000, ports[i]);
		pb__vxlan(&b, 0xabcdef);
		pb__ethernet(&b);
		l = decode_with(&b, &inner);
		expect_tunnel(&l, TL_TUNNEL_VXLAN, 0xabcdef);
	}
}

/* What is inside is no IP: then the packet is the outer datagram, and no tunnel carried it. */
Test(decode_tunnel, arp_in_vxlan_is_the_outer_datagram)
{
	struct pb b = start_outer();
	struct tl_layers l;
	struct tl_packet p;

	pb__udp(&b, 40000, 4789);
	pb__vxlan(&b, 7);
	pb__ethernet(&b);
	pb__set16(b.data + b.bytes - 2, 0x0806);
	pb__bytes(&b, NULL, 28);
	p = pb__packet(&b, 0, 1);
	tl_decode(&p, &l);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.dst_port, 4789);
	cr_assert_eq(l.ethertype, 0x0800);
	cr_assert_eq(l.tunnel.type, TL_TUNNEL_NONE);
	cr_assert_eq(l.payload_bytes, 8 + 14 + 28);
}

Test(decode_tunnel, something_else_on_the_vxlan_port)
{
	struct tl_packet p = pb__udp_packet(bytes, &outer, (struct pb_ports){ 53, 4789 },
					    (struct pb_payload){ NULL, 100 });
	struct tl_layers l;

	tl_decode(&p, &l);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.payload_bytes, 100);
	cr_assert_eq(l.tunnel.type, TL_TUNNEL_NONE);
}

Test(decode_tunnel, geneve_with_options)
{
	for (size_t options = 0; options <= 252; options += 84) {
		for (int bridged = 0; bridged < 2; bridged++) {
			struct pb b = start_outer();
			struct tl_layers l;

			pb__udp(&b, 40000, 6081);
			pb__geneve(&b, 99, options);
			if (bridged)
				pb__ethernet(&b);
			l = decode_with(&b, &inner);
			expect_tunnel(&l, TL_TUNNEL_GENEVE, 99);
		}
	}
}

Test(decode_tunnel, gtpu)
{
	struct pb b = start_outer();
	struct tl_layers l;

	pb__udp(&b, 2152, 2152);
	pb__gtpu(&b, 0xdeadbeef);
	l = decode_with(&b, &inner6);
	expect_tunnel(&l, TL_TUNNEL_GTPU, 0xdeadbeef);
}

Test(decode_tunnel, gtpu_with_extension_headers)
{
	struct pb b = start_outer();
	struct tl_layers l;
	uint8_t *p;

	pb__udp(&b, 2152, 2152);
	pb__gtpu(&b, 9);
	p = b.data + b.bytes - 8;
	p[0] |= 4;
	pb__bytes(&b, "\0\0\0\x85\1\0\0\x85\2\0\0\0\0\0\0\0", 16);
	l = decode_with(&b, &inner);
	expect_tunnel(&l, TL_TUNNEL_GTPU, 9);
}

Test(decode_tunnel, ip_in_ip)
{
	const struct pb_ip *const ips[] = { &inner, &inner6 };

	for (size_t i = 0; i < 2; i++) {
		struct pb b = start_outer();
		struct tl_layers l = decode_with(&b, ips[i]);

		expect_tunnel(&l, TL_TUNNEL_IPIP, 0);
	}
}

Test(decode_tunnel, pppoe)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct tl_layers l;

	pb__ethernet(&b);
	pb__pppoe(&b, 0x1234, 0x0057);
	l = decode_with(&b, &inner6);
	cr_assert_eq(l.tunnel.type, TL_TUNNEL_PPPOE);
	cr_assert_eq(l.tunnel.id, 0x1234);
	cr_assert_eq(l.tunnel.ip_version, 0);
}

Test(decode_tunnel, mpls)
{
	for (int wire = 0; wire < 3; wire++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_layers l;

		pb__ethernet(&b);
		pb__mpls(&b, 100, false);
		pb__mpls(&b, 200, true);
		if (wire == 2)
			pb__bytes(&b, "\0\0\0\1", 4); /* control word of a pseudowire */
		if (wire)
			pb__ethernet(&b);
		l = decode_with(&b, &inner);
		cr_assert_eq(l.tunnel.type, TL_TUNNEL_MPLS);
		cr_assert_eq(l.tunnel.id, 200);
		cr_assert_eq(l.tunnel.depth, 1);
	}
}

/* The outermost tunnel is told; the depth counts all. */
Test(decode_tunnel, nested)
{
	struct pb b = start_outer();
	struct tl_layers l;

	pb__udp(&b, 40000, 4789);
	pb__vxlan(&b, 7);
	pb__ethernet(&b);
	pb__ip(&b, &inner6);
	pb__gre(&b, &(struct pb_gre){ .has_key = true, .key = 8 });
	l = decode_with(&b, &inner);
	cr_assert_eq(l.tunnel.depth, 2);
	l.tunnel.depth = 1;
	expect_tunnel(&l, TL_TUNNEL_VXLAN, 7);
}

Test(decode_tunnel, deeper_than_is_followed)
{
	struct pb b = start_outer();
	struct tl_layers l;
	struct tl_packet p;
	size_t at[8];

	for (size_t i = 0; i < 6; i++) {
		at[i] = b.bytes;
		pb__ip(&b, &inner);
	}
	pb__tcp(&b, &segment);
	p = pb__packet(&b, 0, 1);
	tl_decode(&p, &l);
	cr_assert_eq(l.flags, TL_LAYERS_TOO_DEEP);
	cr_assert_eq(l.tunnel.depth, TL_TUNNEL_MAX);
	cr_assert_eq(l.l3_offset, at[TL_TUNNEL_MAX - 1]);
	cr_assert_eq(l.proto, 4);
}

/* The outer fragment cannot hold all of the inner segment; that is no contradiction. */
Test(decode_tunnel, first_fragment_of_a_tunnel)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct pb_ip first = outer;
	struct tl_layers l;
	struct tl_packet p;

	first.more_fragments = true;
	pb__ethernet(&b);
	pb__ip(&b, &first);
	pb__ip(&b, &inner);
	pb__tcp(&b, &segment);
	pb__bytes(&b, NULL, 100);
	pb__finish(&b);
	pb__set16(bytes + 16, 20 + 20 + 20 + 40); /* 60 bytes of the segment go in the next one */
	pb__set16(bytes + 24, 0);
	b.bytes -= 60;
	p = pb__packet(&b, 0, 1);
	tl_decode(&p, &l);
	cr_assert_eq(l.flags, 0);
	cr_assert_eq(l.payload_bytes, 100);
	cr_assert_eq(l.payload_caplen, 40);
}

/* Cut anywhere, each of these packets says so or is what the rest of it says; nothing is read. */
Test(decode_tunnel, cut_anywhere)
{
	struct pb b = start_outer();
	struct tl_packet p;

	pb__udp(&b, 40000, 4789);
	pb__vxlan(&b, 7);
	pb__ethernet(&b);
	pb__vlan(&b, 0x8100, 3);
	pb__ip(&b, &inner6);
	pb__ipv6_extension(&b, 0, 16);
	pb__tcp(&b, &segment);
	p = pb__packet(&b, 0, 1);
	for (uint32_t caplen = 0; caplen < p.wirelen; caplen++) {
		uint8_t *copy = malloc(caplen + 1);
		struct tl_packet cut = p;
		struct tl_layers l;

		memcpy(copy, p.data, caplen);
		cut.data = copy;
		cut.caplen = caplen;
		tl_decode(&cut, &l);
		/* within the UDP header's 8 bytes of VXLAN the outer datagram is whole */
		cr_assert((l.flags & TL_LAYERS_TRUNCATED) || (caplen >= 42 && caplen < 50),
			  "cut at %u", caplen);
		cr_assert_not(l.flags & TL_LAYERS_MALFORMED, "cut at %u", caplen);
		free(copy);
	}
}
