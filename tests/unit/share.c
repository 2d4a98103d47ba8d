/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_run */
#include <criterion/criterion.h>
#include <stdio.h>

#include "packet_builder.h"
#include "run/share.h"
#include "tapline/decode.h"

static uint32_t owner_of_tcp(const char *src, const char *dst, uint16_t port, uint32_t count)
{
	uint8_t bytes[256];
	struct tl_packet packet =
		pb__tcp_packet(bytes, &(struct pb_ip){ .src = src, .dst = dst },
			       &(struct pb_tcp){ .src_port = port, .dst_port = 80 },
			       (struct pb_payload){ "x", 1 });

	return share__owner(&packet, count);
}

Test(share, what_two_hosts_say_has_one_owner)
{
	for (uint32_t count = 2; count <= 8; count++) {
		uint32_t owner = owner_of_tcp("10.0.0.1", "10.0.0.2", 1025, count);

		cr_expect_eq(owner_of_tcp("10.0.0.2", "10.0.0.1", 80, count), owner);
		cr_expect_eq(owner_of_tcp("10.0.0.1", "10.0.0.2", 1026, count), owner);
		owner = owner_of_tcp("fd00::1", "fd00::2", 1025, count);
		cr_expect_eq(owner_of_tcp("fd00::2", "fd00::1", 80, count), owner);
	}
}

Test(share, shares_are_about_even)
{
	for (uint32_t six = 0; six < 2; six++) {
		uint32_t got[4] = { 0 };

		for (uint32_t i = 0; i < 4000; i++) {
			char client[64];

			snprintf(client, sizeof(client), six ? "fd00::%x:%x" : "10.1.%u.%u",
				 i / 200, i % 200);
			got[owner_of_tcp(client, six ? "fd00::1:0:1" : "10.2.0.1", 1025, 4)]++;
		}
		for (uint32_t i = 0; i < 4; i++)
			cr_expect(got[i] > 850 && got[i] < 1150, "%u of 4000", got[i]);
	}
}

Test(share, a_fragment_and_an_icmp_error_go_where_their_packet_goes)
{
	for (uint32_t i = 1; i < 40; i++) {
		uint8_t bytes[512], quoted[256];
		char client[32];
		uint32_t owner;
		struct tl_packet inner, packet;
		struct pb b;

		snprintf(client, sizeof(client), "10.0.0.%u", i);
		inner = pb__tcp_packet(quoted, &(struct pb_ip){ .src = client, .dst = "10.9.9.9" },
				       &(struct pb_tcp){ .src_port = 1025, .dst_port = 80 },
				       (struct pb_payload){ "x", 1 });
		owner = share__owner(&inner, 3);

		b = pb__start(bytes, sizeof(bytes));
		pb__ethernet(&b);
		pb__ip(&b, &(struct pb_ip){ .src = client,
					    .dst = "10.9.9.9",
					    .id = 7,
					    .proto = 17,
					    .fragment_offset = 1480 });
		pb__bytes(&b, "some", 4);
		packet = pb__packet(&b, 1, 1);
		cr_expect_eq(share__owner(&packet, 3), owner, "a fragment of UDP");

		b = pb__start(bytes, sizeof(bytes));
		pb__ethernet(&b);
		pb__ip(&b, &(struct pb_ip){ .src = "192.0.2.1", .dst = client });
		pb__icmp(&b, 3, 1, 0);
		pb__bytes(&b, quoted + 14, 28); /* a router's, of the packet's first bytes */
		packet = pb__packet(&b, 1, 1);
		cr_expect_eq(share__owner(&packet, 3), owner, "an ICMP error");
	}
}

Test(share, what_is_no_ip_is_the_first_ones)
{
	uint8_t bytes[60] = { [12] = 0x08, [13] = 0x06 };
	struct tl_packet arp = {
		.data = bytes, .caplen = 60, .wirelen = 60, .linktype = TL_LINKTYPE_ETHERNET
	};

	cr_expect_eq(share__owner(&arp, 4), 0u);
}
