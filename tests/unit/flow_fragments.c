/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_flow tl_decode */
/*
 * Fragments that do not fit together: from the bytes of a packet to the flags of its flow. Each
 * rule is tried in IPv4 and in IPv6.
 */
#include <criterion/criterion.h>

#include "flow_test.h"
#include "packet_builder.h"
#include "tapline/decode.h"

#define OVERLAP	  TL_FRAGMENT_OVERLAP
#define DUPLICATE TL_FRAGMENT_DUPLICATE
#define TINY	  TL_FRAGMENT_TINY
#define INVALID	  TL_FRAGMENT_INVALID

struct fragment {
	uint32_t offset, bytes;
	bool more;
	uint8_t wanted; /* beside TL_FRAGMENT_SEEN */
	uint8_t fill;	/* another one: other bytes */
	uint32_t id;
};

static uint8_t bytes[70000];
static uint32_t cut_to; /* 0: not */

/* A fragment of a datagram of UDP between ports 5000 and 6000; TCP with `proto` 6. */
static struct tl_packet make(int version, uint8_t proto, const struct fragment *f)
{
	static const uint8_t ports[] = { 5000 >> 8, 5000 & 0xff, 6000 >> 8, 6000 & 0xff };
	struct pb b = pb__start(bytes, sizeof(bytes));
	struct pb_ip ip = { .src = version == 4 ? "10.0.0.1" : "2001:db8::1",
			    .dst = version == 4 ? "10.0.0.2" : "2001:db8::2",
			    .id = (uint16_t)(f->id + 1),
			    .proto = version == 4 ? proto : 0,
			    .more_fragments = f->more,
			    .fragment_offset = (uint16_t)f->offset };
	uint8_t *p;

	pb__ethernet(&b);
	pb__ip(&b, &ip);
	if (version == 6) {
		pb__ipv6_fragment(&b, (uint16_t)f->offset, f->more, f->id + 1);
		b.data[b.bytes - 8] = proto;
	}
	p = pb__bytes(&b, NULL, f->bytes);
	memset(p, 0x40 + f->fill, f->bytes);
	if (!f->offset && f->bytes >= 4)
		memcpy(p, ports, 4);
	if (!f->offset && proto == 6 && f->bytes >= 20)
		p[12] = 5 << 4;
	return pb__packet(&b, T0, 1);
}

static struct tl_flow_lookup deliver(struct bed *bed, int version, uint8_t proto,
				     const struct fragment *f)
{
	static struct tl_packet packet;
	static struct tl_layers layers;
	struct tl_flow_lookup lookup = { .packet = &packet, .layers = &layers };

	packet = make(version, proto, f);
	if (cut_to)
		packet.caplen = cut_to;
	tl_decode(&packet, &layers);
	cr_assert_eq(tl_flow_table__lookup(bed->table, &lookup, 1), 1);
	return lookup;
}

/* All of them in turn; the flags of the flow that they made, and 0 without one. */
static unsigned int run(uint8_t proto, const struct fragment *fragments, size_t n)
{
	unsigned int flags[2] = { 0, 0 };

	for (int v6 = 0; v6 < 2; v6++) {
		struct bed *bed = bed__create(1 << 20);
		struct tl_flow *flow = NULL;

		for (size_t i = 0; i < n; i++) {
			struct tl_flow_lookup lookup =
				deliver(bed, v6 ? 6 : 4, proto, &fragments[i]);

			cr_expect_eq(lookup.ret_fragment, fragments[i].wanted | TL_FRAGMENT_SEEN,
				     "IPv%d, fragment %zu: 0x%x", v6 ? 6 : 4, i,
				     lookup.ret_fragment);
			flow = lookup.ret_flow ? lookup.ret_flow : flow;
		}
		if (flow)
			flags[v6] =
				flow->flags & (TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP |
					       TL_FLOW_FRAGMENT_TINY | TL_FLOW_FRAGMENT_INVALID);
		bed__destroy(bed);
	}
	cr_expect_eq(flags[0], flags[1], "IPv4 0x%x, IPv6 0x%x", flags[0], flags[1]);
	return flags[0];
}

#define RUN(proto, ...)                                                                            \
	run(proto, (const struct fragment[]){ __VA_ARGS__ },                                       \
	    sizeof((const struct fragment[]){ __VA_ARGS__ }) / sizeof(struct fragment))

Test(flow_fragments, what_fits_together_is_not_flagged)
{
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 1480, 1480, true, 0, 0, 0 },
			 { 2960, 100, false, 0, 0, 0 }),
		     TL_FLOW_FRAGMENTS);
	/* in any order: as Linux sent them once, the last one first */
	cr_expect_eq(RUN(17, { 2960, 100, false, 0, 0, 0 }, { 0, 1480, true, 0, 0, 0 },
			 { 1480, 1480, true, 0, 0, 0 }),
		     TL_FLOW_FRAGMENTS);
}

/* RFC 8200, 4.5: an exact duplicate is no overlap; a mirror makes many. */
Test(flow_fragments, a_copy_is_no_overlap)
{
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 0, 1480, true, DUPLICATE, 0, 0 },
			 { 1480, 100, false, 0, 0, 0 }, { 1480, 100, false, DUPLICATE, 0, 0 },
			 { 0, 1480, true, DUPLICATE, 0, 0 }),
		     TL_FLOW_FRAGMENTS);
}

Test(flow_fragments, other_bytes_in_the_same_place_are_an_overlap)
{
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 0, 1480, true, OVERLAP, 1, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
}

Test(flow_fragments, a_part_in_common_is_an_overlap)
{
	/* behind its beginning, before its end, within (teardrop), around */
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 1472, 1480, true, OVERLAP, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 128, 64, true, 0, 0, 0 },
			 { 64, 72, true, OVERLAP, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 24, 4, false, OVERLAP | INVALID, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP | TL_FLOW_FRAGMENT_INVALID);
	cr_expect_eq(RUN(17, { 64, 64, true, 0, 0, 0 }, { 0, 256, true, OVERLAP, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
}

/* The flow is known by the first fragment alone: what came before it counts too. */
Test(flow_fragments, an_overlap_before_the_first_fragment_is_told)
{
	cr_expect_eq(RUN(17, { 1480, 1480, true, 0, 0, 0 }, { 2000, 1480, true, OVERLAP, 0, 0 },
			 { 0, 1480, true, 0, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
}

/* RFC 1858, RFC 3128: a filter must find the whole transport header in the first fragment. */
Test(flow_fragments, tiny_ones)
{
	cr_expect_eq(RUN(6, { 0, 8, true, TINY, 0, 0 }, { 8, 64, false, TINY, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_TINY);
	cr_expect_eq(RUN(6, { 0, 24, true, 0, 0, 0 }, { 8, 64, false, OVERLAP | TINY, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP | TL_FLOW_FRAGMENT_TINY);
	cr_expect_eq(RUN(6, { 0, 24, true, 0, 0, 0 }, { 24, 64, false, 0, 0, 0 }),
		     TL_FLOW_FRAGMENTS);
	cr_expect_eq(RUN(17, { 0, 8, true, 0, 0, 0 }, { 8, 64, false, 0, 0, 0 }), TL_FLOW_FRAGMENTS,
		     "all of UDP's header is in eight bytes");
}

Test(flow_fragments, impossible_sizes)
{
	static const unsigned int flags = TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_INVALID;

	/* not last, and no multiple of 8 */
	cr_expect_eq(RUN(17, { 0, 33, true, INVALID, 0, 0 }), flags);
	/* empty */
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 64, 0, true, INVALID, 0, 0 }), flags);
	/* beyond the largest datagram ("ping of death") */
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 65528, 64, false, INVALID, 0, 0 }), flags);
	/* two ends; bytes behind the end, which came before and after it */
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 128, 8, false, 0, 0, 0 },
			 { 136, 8, false, INVALID, 0, 0 }),
		     flags);
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 128, 8, false, 0, 0, 0 },
			 { 256, 8, true, INVALID, 0, 0 }),
		     flags);
	cr_expect_eq(RUN(17, { 0, 64, true, 0, 0, 0 }, { 256, 8, true, 0, 0, 0 },
			 { 128, 8, false, INVALID, 0, 0 }),
		     flags);
}

/* Identifications come again soon on a busy pair: RFC 4963. */
Test(flow_fragments, a_complete_datagram_leaves_its_number_to_the_next)
{
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 1480, 100, false, 0, 0, 0 },
			 { 0, 1480, true, 0, 1, 0 }, { 1480, 300, false, 0, 1, 0 },
			 { 1480, 300, false, DUPLICATE, 1, 0 }, { 0, 800, true, 0, 2, 0 },
			 { 792, 8, false, OVERLAP, 2, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
}

/* Of bytes that were not captured nobody knows whether they are the same. */
Test(flow_fragments, what_was_cut_off_is_taken_for_a_copy)
{
	cut_to = 80;
	cr_expect_eq(RUN(17, { 0, 1480, true, 0, 0, 0 }, { 0, 1480, true, DUPLICATE, 1, 0 },
			 { 8, 1480, true, OVERLAP, 0, 0 }),
		     TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP);
}

/* The largest datagram in fragments of an MTU of 1280 fits; of 8 bytes, the oldest is forgotten. */
Test(flow_fragments, pieces_are_bounded)
{
	struct bed *bed = bed__create(1 << 20);
	struct fragment f = { 0, 1256, true, 0, 0, 0 };

	for (; f.offset + f.bytes < 65535; f.offset += f.bytes)
		cr_assert_eq(deliver(bed, 4, 17, &f).ret_fragment, TL_FRAGMENT_SEEN);
	f.offset = 0;
	cr_expect(deliver(bed, 4, 17, &f).ret_fragment & DUPLICATE);
	f.offset = 8;
	cr_expect(deliver(bed, 4, 17, &f).ret_fragment & OVERLAP);
	f = (struct fragment){ 0, 8, true, 0, 0, 1 };
	for (; f.offset < 8000; f.offset += 8)
		cr_assert_eq(deliver(bed, 4, 17, &f).ret_fragment, TL_FRAGMENT_SEEN);
	f.offset = 7992;
	cr_expect(deliver(bed, 4, 17, &f).ret_fragment & DUPLICATE);
	bed__destroy(bed);
}

Test(flow_fragments, a_flood_of_datagrams_is_bounded)
{
	struct bed *bed = bed__create(1 << 20);
	struct fragment f = { 0, 64, true, 0, 0, 0 };

	for (f.id = 0; f.id < 200000; f.id++)
		cr_assert_eq(deliver(bed, 6, 17, &f).ret_fragment, TL_FRAGMENT_SEEN);
	f.id--;
	f.offset = 8;
	cr_expect(deliver(bed, 6, 17, &f).ret_fragment & OVERLAP, "the newest is known");
	cr_expect_eq(bed__stats(bed).created, 1);
	bed__destroy(bed);
}
