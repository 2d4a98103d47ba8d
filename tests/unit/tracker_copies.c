/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core tl_decode */
/* Copies of packets that are not TCP, over real bytes and the decoder. */
#include <criterion/criterion.h>

#include "core/tracker_copies.h"
#include "tapline/decode.h"
#include "unit/packet_builder.h"

struct bed {
	struct tl_copies copies;
	uint8_t bytes[4096];
};

static void start(struct bed *bed)
{
	memset(bed, 0, sizeof(*bed));
	cr_assert_eq(tl_copies__init(&bed->copies), 0);
}

static bool check(struct bed *bed, struct tl_packet packet, uint64_t us)
{
	struct tl_layers layers;
	struct tl_print_key key;

	tl_decode(&packet, &layers);
	cr_assert(tl_copies__key(&bed->copies, &packet, &layers, &key));
	return tl_copies__check(&bed->copies, &key, us * 1000, NULL);
}

struct datagram {
	const char *src;
	uint16_t id;
	uint8_t ttl, last;
	uint16_t vlan;
};

static struct tl_packet udp(struct bed *bed, const struct datagram *d)
{
	static uint8_t payload[600];
	struct pb b = pb__start(bed->bytes, sizeof(bed->bytes));
	bool v6 = strchr(d->src, ':') != NULL;

	payload[sizeof(payload) - 1] = d->last;
	pb__ethernet(&b);
	if (d->vlan)
		pb__vlan(&b, 0x8100, d->vlan);
	pb__ip(&b, &(struct pb_ip){ .src = d->src,
				    .dst = v6 ? "2001:db8::2" : "10.0.0.2",
				    .id = d->id,
				    .ttl = d->ttl });
	pb__udp(&b, 5000, 53);
	pb__bytes(&b, payload, sizeof(payload));
	return pb__packet(&b, 0, 1);
}

Test(copies, udp_with_an_ip_id)
{
	struct bed bed;
	struct datagram d = { .src = "10.0.0.1", .id = 7, .ttl = 64 };

	start(&bed);
	cr_expect_not(check(&bed, udp(&bed, &d), 1000));
	cr_expect(check(&bed, udp(&bed, &d), 1020));
	cr_expect(check(&bed, udp(&bed, &d), 1040), "a third time");
	d.id = 8;
	cr_expect_not(check(&bed, udp(&bed, &d), 1060), "another IP ID is another datagram");
	cr_expect_not(check(&bed, udp(&bed, &d), 1000060), "a second later it is none");
	d.last = 1;
	cr_expect_not(check(&bed, udp(&bed, &d), 1000070), "its last byte differs");
	tl_copies__fini(&bed.copies);
}

Test(copies, behind_a_router_or_in_another_vlan)
{
	struct bed bed;
	struct datagram d = { .src = "10.0.0.1", .id = 7, .ttl = 64 };

	start(&bed);
	check(&bed, udp(&bed, &d), 1000);
	d.ttl = 63;
	cr_expect(check(&bed, udp(&bed, &d), 1500));
	d.ttl = 64;
	d.vlan = 12;
	cr_expect(check(&bed, udp(&bed, &d), 1600));
	tl_copies__fini(&bed.copies);
}

Test(copies, inside_a_tunnel_and_outside)
{
	struct bed bed;
	struct datagram d = { .src = "10.0.0.1", .id = 7, .ttl = 64 };
	uint8_t inner[2048], outer[2600];
	struct tl_packet p;
	struct pb b = pb__start(outer, sizeof(outer));

	start(&bed);
	p = udp(&bed, &d);
	memcpy(inner, p.data, p.caplen);
	cr_expect_not(check(&bed, p, 1000));
	pb__ethernet(&b);
	pb__ip(&b, &(struct pb_ip){ .src = "192.0.2.1", .dst = "192.0.2.2", .id = 99 });
	pb__udp(&b, 40000, 4789);
	pb__vxlan(&b, 5);
	pb__bytes(&b, inner, p.caplen);
	cr_expect(check(&bed, pb__packet(&b, 0, 2), 1100));
	tl_copies__fini(&bed.copies);
}

/* Without an IP ID two equal datagrams may be two: it takes a mirror that is known to copy. */
Test(copies, ipv6_udp_when_the_mirror_is_known_to_copy)
{
	struct bed bed;
	struct datagram v4 = { .src = "10.0.0.1", .ttl = 64 };
	struct datagram v6 = { .src = "2001:db8::1", .ttl = 64 };

	start(&bed);
	for (uint16_t i = 1; i < 100; i++) {
		v4.id = i;
		check(&bed, udp(&bed, &v4), i * 1000u);
	}
	cr_expect_not(check(&bed, udp(&bed, &v6), 200000));
	cr_expect_not(check(&bed, udp(&bed, &v6), 200010), "this mirror copies nothing");
	for (uint16_t i = 100; i < 300; i++) {
		v4.id = i;
		check(&bed, udp(&bed, &v4), 200000 + i * 1000u);
		cr_expect(check(&bed, udp(&bed, &v4), 200010 + i * 1000u));
	}
	v6.last = 9;
	cr_expect_not(check(&bed, udp(&bed, &v6), 600000));
	cr_expect(check(&bed, udp(&bed, &v6), 600010), "now it does");
	cr_expect_not(check(&bed, udp(&bed, &v6), 600020), "sent twice, each shown twice");
	cr_expect(check(&bed, udp(&bed, &v6), 600030));
	tl_copies__fini(&bed.copies);
}

/* DNS, syslog, games: a sender may say the same twice within a millisecond. */
Test(copies, equal_datagrams_without_an_identity_are_sent_so)
{
	struct bed bed;
	struct datagram d = { .src = "2001:db8::1", .ttl = 64 };

	start(&bed);
	for (uint32_t i = 0; i < 600; i++) {
		d.last = (uint8_t)i;
		cr_expect_not(check(&bed, udp(&bed, &d), i * 20000));
		if (i % 3 == 0)
			cr_expect_not(check(&bed, udp(&bed, &d), i * 20000 + 200));
	}
	cr_expect_eq(bed.copies.due, 0);
	tl_copies__fini(&bed.copies);
}

Test(copies, the_same_datagram_over_and_over_is_sent_so)
{
	struct bed bed;
	struct datagram d = { .src = "2001:db8::1", .ttl = 64 };

	start(&bed);
	for (uint32_t i = 0; i < 3000; i++)
		cr_expect_not(check(&bed, udp(&bed, &d), i * 500));
	cr_expect_eq(bed.copies.due, 0);
	tl_copies__fini(&bed.copies);
}

/* A mirror of both directions that shows UDP alone: what came before it was known counts, too. */
Test(copies, datagrams_that_all_come_twice_are_copied)
{
	struct bed bed;
	struct datagram d = { .src = "2001:db8::1", .ttl = 64 };
	uint64_t copies = 0;

	start(&bed);
	for (uint32_t i = 0; i < 200; i++) {
		d.last = (uint8_t)i;
		cr_expect_not(check(&bed, udp(&bed, &d), i * 20000));
		copies += check(&bed, udp(&bed, &d), i * 20000 + 5) + bed.copies.due;
		bed.copies.due = 0;
	}
	cr_expect_eq(copies, 200);
	tl_copies__fini(&bed.copies);
}

Test(copies, an_ip_id_that_stands_still_says_nothing)
{
	struct tl_copies copies;

	memset(&copies, 0, sizeof(copies));
	cr_assert_eq(tl_copies__init(&copies), 0);
	cr_expect_eq(tl_copies__id_strength(&copies), TL_PRINT_GUESSED);
	for (uint16_t i = 0; i < 10; i++)
		tl_copies__note_id(&copies, 1);
	cr_expect_eq(tl_copies__id_strength(&copies), TL_PRINT_WEAK);
	for (uint16_t i = 0; i < 20; i++)
		tl_copies__note_id(&copies, (uint16_t)(100 + i));
	cr_expect_eq(tl_copies__id_strength(&copies), TL_PRINT_GUESSED);
	tl_copies__fini(&copies);
}

Test(copies, later_fragments_too)
{
	struct bed bed;

	start(&bed);
	for (uint32_t i = 0; i < 4; i++) {
		struct pb b = pb__start(bed.bytes, sizeof(bed.bytes));

		pb__ethernet(&b);
		pb__ip(&b, &(struct pb_ip){ .src = "10.0.0.1",
					    .dst = "10.0.0.2",
					    .id = 4,
					    .proto = 17,
					    .fragment_offset = i < 2 ? 1480 : 2960 });
		pb__bytes(&b, NULL, 500);
		cr_expect_eq(check(&bed, pb__packet(&b, 0, 1), 1000 + i), i % 2 == 1);
	}
	tl_copies__fini(&bed.copies);
}

/* Padded to 60 bytes, and to 64 with a tag. */
Test(copies, arp_too)
{
	struct bed bed;

	start(&bed);
	for (uint32_t i = 0; i < 6; i++) {
		struct pb b = pb__start(bed.bytes, sizeof(bed.bytes));
		uint8_t arp[46] = { 0, 1, 8, 0, 6, 4, 0, 1 };

		arp[27] = (uint8_t)(i / 2);
		pb__ethernet(&b);
		if (i % 2)
			pb__vlan(&b, 0x8100, 12);
		b.data[b.bytes - 2] = 8;
		b.data[b.bytes - 1] = 6;
		b.next_width = 0;
		pb__bytes(&b, arp, sizeof(arp));
		cr_expect_eq(check(&bed, pb__packet(&b, 0, 1), 1000 + i), i % 2 == 1);
	}
	tl_copies__fini(&bed.copies);
}

/* A hundred thousand packets later the first ones are forgotten, in the same memory. */
Test(copies, memory_is_bounded)
{
	struct bed bed;
	struct datagram d = { .src = "10.0.0.1", .ttl = 64 };
	uint32_t known = 0;

	start(&bed);
	for (uint32_t i = 0; i < 200000; i++) {
		d.id = (uint16_t)(i % 65535 + 1);
		d.last = (uint8_t)(i / 65535);
		known += check(&bed, udp(&bed, &d), 1000);
	}
	cr_expect_eq(known, 0);
	cr_expect(check(&bed, udp(&bed, &d), 1001), "the latest is known");
	d.last = 0;
	for (d.id = 1; d.id <= 1000; d.id++)
		known += check(&bed, udp(&bed, &d), 1001);
	/* All came at one time, so that none in a bucket is the oldest: about 33 are still there.
	 */
	cr_expect_leq(known, 100, "%u of the first 1000", known);
	tl_copies__fini(&bed.copies);
}
