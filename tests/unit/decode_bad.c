/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_decode */
/*
 * Bad input to the decoder: every length field wrong, every header byte odd, snap lengths shorter
 * than the headers, forty tunnels in each other. Packets lie in memory of their own size, so that
 * the sanitizers see one byte too far.
 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "layers_check.h"
#include "packet_builder.h"
#include "tapline/decode.h"

static uint8_t bytes[8192];
static const struct pb_ip v4 = { .src = "10.0.0.1", .dst = "10.0.0.2", .id = 77 };
static const struct pb_ip v6 = { .src = "2001:db8::1", .dst = "2001:db8::2" };
static const struct pb_tcp segment = { .src_port = 40112,
				       .dst_port = 80,
				       .seq = 1,
				       .flags = TL_TCP_ACK,
				       .mss = 1460,
				       .has_ts = true,
				       .has_wscale = true };

/* --- packets of every packaging -------------------------------------------------------------- */

static void plain(struct pb *b)
{
	pb__ethernet(b);
	pb__ip(b, &v4);
}

static void tags(struct pb *b)
{
	pb__ethernet(b);
	pb__vlan(b, 0x88a8, 100);
	pb__vlan(b, 0x8100, 12);
	pb__ip(b, &v6);
	pb__ipv6_extension(b, 0, 16);
	pb__ipv6_extension(b, 43, 8);
}

static void mpls(struct pb *b)
{
	pb__ethernet(b);
	pb__mpls(b, 100, false);
	pb__mpls(b, 200, true);
	pb__ip(b, &v4);
}

static void pppoe(struct pb *b)
{
	pb__ethernet(b);
	pb__pppoe(b, 3, 0x21);
	pb__ip(b, &v4);
}

static void gre(struct pb *b)
{
	plain(b);
	pb__gre(b, &(struct pb_gre){ .has_key = true, .key = 8 });
	pb__ip(b, &v6);
}

static void vxlan(struct pb *b)
{
	plain(b);
	pb__udp(b, 40000, 4789);
	pb__vxlan(b, 7);
	plain(b);
}

static void geneve(struct pb *b)
{
	plain(b);
	pb__udp(b, 40000, 6081);
	pb__geneve(b, 7, 8);
	plain(b);
}

static void gtpu(struct pb *b)
{
	plain(b);
	pb__udp(b, 40000, 2152);
	pb__gtpu(b, 7);
	pb__ip(b, &v4);
}

static void ip_in_ip(struct pb *b)
{
	plain(b);
	pb__ip(b, &v6);
}

static void first_fragment(struct pb *b)
{
	pb__ethernet(b);
	pb__ip(b, &v6);
	pb__ipv6_fragment(b, 0, true, 9);
}

typedef void outer_fn(struct pb *);

static outer_fn *const packagings[] = { plain, tags,   mpls, pppoe,    gre,
					vxlan, geneve, gtpu, ip_in_ip, first_fragment };

#define PACKAGINGS (sizeof(packagings) / sizeof(packagings[0]))

enum content { TCP, UDP, QUOTE, CONTENTS };

/* `ret_headers`: where its payload begins. */
static struct tl_packet make(size_t packaging, enum content content, uint32_t *ret_headers)
{
	struct pb b = pb__start(bytes, sizeof(bytes));

	packagings[packaging](&b);
	if (content == TCP) {
		pb__tcp(&b, &segment);
	} else if (content == UDP) {
		pb__udp(&b, 1, 53);
	} else {
		pb__icmp(&b, 3, 1, 0);
		pb__ip(&b, &v4);
		pb__tcp(&b, &segment);
	}
	*ret_headers = (uint32_t)b.bytes;
	pb__bytes(&b, NULL, 24);
	return pb__packet(&b, 0, 1);
}

/* --- what is tried -----------------------------------------------------------------------------
 */

/* In memory of its own. */
static struct tl_layers decode(const struct tl_packet *packet)
{
	struct tl_packet p = *packet;
	struct tl_layers layers, quoted;
	uint8_t *copy = malloc(p.caplen + !p.caplen);
	const char *wrong;

	cr_assert_not_null(copy);
	memcpy(copy, packet->data, p.caplen);
	p.data = copy;
	memset(&layers, 0xa5, sizeof(layers));
	tl_decode(&p, &layers);
	wrong = layers__wrong(&p, &layers);
	cr_assert_null(wrong, "%s", wrong);
	(void)tl_decode__l4_checksum_ok(&p, &layers);
	if (tl_decode__icmp_quote(&p, &layers, &quoted)) {
		wrong = layers__wrong(&p, &quoted);
		cr_assert_null(wrong, "quoted: %s", wrong);
	}
	free(copy);
	return layers;
}

static void try_values(struct tl_packet *p, uint32_t at)
{
	static const uint8_t odd[] = { 0,    1,	   2,	 3,    4,    5,	   7,	 8,    0x0f, 0x3f,
				       0x40, 0x44, 0x4f, 0x60, 0x7f, 0x80, 0xf0, 0xfe, 0xff };
	static const uint16_t odd16[] = {
		0, 1, 7, 8, 19, 20, 39, 40, 0x7fff, 0x8000, 0xfffe, 0xffff
	};
	uint8_t kept[2] = { bytes[at], bytes[at + 1] };

	for (size_t i = 0; i < sizeof(odd); i++) {
		bytes[at] = odd[i];
		decode(p);
	}
	bytes[at] = kept[0];
	for (int change = -2; change <= 2; change++) {
		pb__set16(bytes + at, (uint32_t)((kept[0] << 8 | kept[1]) + change) & 0xffff);
		decode(p);
	}
	for (size_t i = 0; i < sizeof(odd16) / sizeof(*odd16); i++) {
		pb__set16(bytes + at, odd16[i]);
		decode(p);
	}
	memcpy(bytes + at, kept, 2);
}

/* Length fields are among them, in whichever header. */
Test(decode_bad, any_byte_of_any_header_may_be_anything)
{
	for (size_t packaging = 0; packaging < PACKAGINGS; packaging++) {
		for (int content = 0; content < CONTENTS; content++) {
			uint32_t headers;
			struct tl_packet p = make(packaging, (enum content)content, &headers);

			for (uint32_t at = 0; at < headers; at++)
				try_values(&p, at);
		}
	}
}

/* A packet that is cut is no packet that is wrong. */
Test(decode_bad, any_snap_length)
{
	for (size_t packaging = 0; packaging < PACKAGINGS; packaging++) {
		for (int content = 0; content < CONTENTS; content++) {
			uint32_t headers;
			struct tl_packet p = make(packaging, (enum content)content, &headers);
			struct tl_layers whole = decode(&p);

			cr_assert_eq(whole.flags & ~(TL_LAYERS_FRAGMENT | TL_LAYERS_FRAGMENT_MORE |
						     TL_LAYERS_TCP_TS | TL_LAYERS_TCP_WSCALE),
				     0, "packaging %zu: 0x%x", packaging, whole.flags);
			for (p.caplen = 0; p.caplen < p.wirelen; p.caplen++) {
				struct tl_layers l = decode(&p);

				cr_assert_not(l.flags & TL_LAYERS_MALFORMED,
					      "packaging %zu cut at %u", packaging, p.caplen);
				if (p.caplen >= headers)
					cr_assert_eq(l.payload_bytes, whole.payload_bytes);
			}
		}
	}
}

/* --- length fields that cannot be --------------------------------------------------------------
 */

struct lie {
	const char *what;
	outer_fn *packaging;
	enum content content;
	uint32_t at; /* in the frame */
	int width;
	uint32_t value;
};

Test(decode_bad, a_length_that_cannot_be_is_told)
{
	static const struct lie lies[] = {
		{ "IPv4: longer than the frame", plain, TCP, 16, 2, 1500 },
		{ "IPv4: shorter than its header", plain, TCP, 16, 2, 19 },
		{ "IPv4: header of 16 bytes", plain, TCP, 14, 1, 0x44 },
		{ "IPv4: header longer than the packet", plain, UDP, 14, 1, 0x4f },
		{ "TCP: header of 16 bytes", plain, TCP, 46, 1, 0x40 },
		{ "UDP: longer than the packet", plain, UDP, 38, 2, 1000 },
		{ "UDP: shorter than its header", plain, UDP, 38, 2, 7 },
		{ "IPv6: longer than the frame", tags, TCP, 26, 2, 1500 },
		{ "IPv6: an extension header longer than the packet", tags, TCP, 63, 1, 200 },
		{ "PPPoE: longer than the frame", pppoe, TCP, 18, 2, 1500 },
		{ "inner IPv4 of VXLAN: longer than what carries it", vxlan, TCP, 66, 2, 1500 },
		{ "outer IPv4 of VXLAN: shorter than its header", vxlan, TCP, 16, 2, 3 },
		{ "outer UDP of VXLAN: longer than its packet", vxlan, TCP, 38, 2, 9999 },
		{ "inner IPv6 of GRE: longer than what carries it", gre, TCP, 46, 2, 1500 },
		{ "GTP-U: longer than its datagram", gtpu, TCP, 44, 2, 9999 },
	};

	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		const struct lie *lie = &lies[i];
		size_t packaging = 0;
		struct tl_layers l;
		struct tl_packet p;
		uint32_t headers;

		while (packagings[packaging] != lie->packaging)
			packaging++;
		p = make(packaging, lie->content, &headers);
		if (lie->width == 2)
			pb__set16(bytes + lie->at, lie->value);
		else
			bytes[lie->at] = (uint8_t)lie->value;
		l = decode(&p);
		cr_expect(l.flags & TL_LAYERS_MALFORMED, "%s: 0x%x, depth %u", lie->what, l.flags,
			  l.tunnel.depth);
		cr_expect_leq(l.payload_bytes, p.wirelen, "%s", lie->what);
	}
}

/* Options of length 0, 1, or beyond the header end the list; what came before them holds. */
Test(decode_bad, tcp_options_that_lie_about_their_length)
{
	for (int length = 0; length < 256; length++) {
		uint8_t options[12] = { 2, 4, 0x05, 0xb4, 3, (uint8_t)length, 7, 1, 1, 1, 1, 1 };
		struct pb_tcp tcp = { .src_port = 1,
				      .dst_port = 2,
				      .flags = TL_TCP_SYN,
				      .raw_options = options,
				      .raw_option_bytes = sizeof(options) };
		struct tl_packet p = pb__tcp_packet(bytes, &v4, &tcp, (struct pb_payload){ 0 });
		struct tl_layers l = decode(&p);

		cr_expect_eq(l.mss, 1460);
		cr_expect_eq(!!(l.flags & TL_LAYERS_TCP_WSCALE), length == 3, "length %d", length);
	}
}

/* --- forty deep ----------------------------------------------------------------------------------
 */

static void deep_gre(struct pb *b)
{
	pb__gre(b, &(struct pb_gre){ 0 });
	pb__ip(b, &v4);
}

static void deep_vxlan(struct pb *b)
{
	pb__udp(b, 40000, 4789);
	pb__vxlan(b, 7);
	plain(b);
}

static void deep_geneve(struct pb *b)
{
	pb__udp(b, 40000, 6081);
	pb__geneve(b, 7, 0);
	plain(b);
}

static void deep_gtpu(struct pb *b)
{
	pb__udp(b, 40000, 2152);
	pb__gtpu(b, 7);
	pb__ip(b, &v4);
}

static void deep_ip(struct pb *b)
{
	pb__ip(b, b->layer_count % 2 ? &v4 : &v6);
}

Test(decode_bad, forty_tunnels_are_followed_as_far_as_is_said)
{
	static outer_fn *const kinds[] = { deep_gre, deep_vxlan, deep_geneve, deep_gtpu, deep_ip };

	for (size_t kind = 0; kind <= 5; kind++) {
		struct pb b = pb__start(bytes, sizeof(bytes));
		struct tl_packet p;
		struct tl_layers l;

		pb__ethernet(&b);
		pb__ip(&b, &v4);
		/* kind 5: all of them in turn; the builder's list of layers is for lengths */
		for (size_t i = 0; i < 40 && b.layer_count + 4 < PB_LAYERS_MAX; i++)
			kinds[kind < 5 ? kind : i % 5](&b);
		cr_assert_gt(b.layer_count, 2 + 2 * TL_TUNNEL_MAX);
		pb__udp(&b, 1, 2);
		p = pb__packet(&b, 0, 1);
		l = decode(&p);
		cr_expect(l.flags & TL_LAYERS_TOO_DEEP, "kind %zu: 0x%x", kind, l.flags);
		cr_expect_eq(l.tunnel.depth, TL_TUNNEL_MAX, "kind %zu", kind);
		cr_expect_gt(l.ip_version, 0);
	}
}

/* The longest chain that fits a frame, of the smallest tunnel there is: IPv4 in IPv4. */
Test(decode_bad, as_many_tunnels_as_a_frame_holds)
{
	const uint32_t depth = 400;
	struct tl_packet p = { .data = bytes, .linktype = TL_LINKTYPE_RAW };
	struct tl_layers l;

	p.caplen = p.wirelen = depth * 20;
	memset(bytes, 0, p.caplen);
	for (uint32_t i = 0; i < depth; i++) {
		uint8_t *ip = bytes + (size_t)i * 20;

		ip[0] = 0x45;
		pb__set16(ip + 2, (depth - i) * 20);
		ip[9] = i + 1 < depth ? 4 : 17;
	}
	l = decode(&p);
	cr_expect(l.flags & TL_LAYERS_TOO_DEEP);
	cr_expect_eq(l.tunnel.depth, TL_TUNNEL_MAX);
	cr_expect_eq(l.l3_offset, TL_TUNNEL_MAX * 20u);
}

Test(decode_bad, forty_tags_and_forty_labels)
{
	struct pb b = pb__start(bytes, sizeof(bytes));
	static const uint8_t label[4] = { 0, 0, 0x10, 64 }, bottom[4] = { 0, 0, 0x11, 64 };
	struct tl_packet p;
	struct tl_layers l;

	pb__ethernet(&b);
	for (int i = 0; i < 40; i++)
		pb__bytes(&b, "\0\7\x81\0", 4);
	pb__bytes(&b, "\0\7\x08\0", 4);
	pb__set16(bytes + 12, 0x8100);
	p = pb__packet(&b, 0, 1);
	p.caplen = p.wirelen += 20;
	memset(bytes + p.caplen - 20, 0, 20);
	bytes[p.caplen - 20] = 0x45;
	pb__set16(bytes + p.caplen - 18, 20);
	l = decode(&p);
	cr_expect(l.flags & TL_LAYERS_VLAN_MORE);
	cr_expect_eq(l.vlan_count, TL_VLAN_MAX);

	b = pb__start(bytes, sizeof(bytes));
	pb__ethernet(&b);
	for (int i = 0; i < 40; i++)
		pb__bytes(&b, i < 39 ? label : bottom, 4);
	pb__set16(bytes + 12, 0x8847);
	p = pb__packet(&b, 0, 1);
	l = decode(&p);
	cr_expect_leq(l.tunnel.depth, TL_TUNNEL_MAX);
}
