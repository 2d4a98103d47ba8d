/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_export */
/* Community ID v1 against the values that its specification publishes. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "tapline/export.h"

struct vector {
	uint8_t proto;
	const char *src, *dst;
	uint16_t src_port, dst_port;
	const char *id;
};

/* Ports of ICMP are as decode gives them: the type, and its counterpart or the code. */
static const struct vector vectors[] = {
	{ 6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
	{ 6, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" },
	{ 6, "10.0.0.1", "10.0.0.2", 10, 11569, "1:SXBGMX1lBOwhhoDrZynfROxnhnM=" },
	{ 6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25,
	  "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=" },
	{ 6, "2607:f8b0:400c:c03::1a", "2001:470:e5bf:dead:4957:2174:e82c:4887", 25, 63943,
	  "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=" },
	{ 17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=" },
	{ 17, "8.8.8.8", "192.168.1.52", 53, 54585, "1:d/FP5EW3wiY1vCndhwleRRKHowQ=" },
	{ 132, "192.168.170.8", "192.168.170.56", 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=" },
	{ 132, "192.168.170.56", "192.168.170.8", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=" },
	{ 46, "10.1.24.4", "10.1.12.1", 0, 0, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4=" },
	{ 46, "10.1.12.1", "10.1.24.4", 0, 0, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4=" },
	{ 1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" },
	{ 1, "192.168.0.1", "192.168.0.89", 0, 8, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" },
	{ 1, "192.168.0.89", "192.168.0.1", 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI=" },
	{ 1, "192.168.0.89", "192.168.0.1", 20, 1, "1:tz/fHIDUHs19NkixVVoOZywde+I=" },
	{ 1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM=" },
	{ 58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 136,
	  "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=" },
	{ 58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 135,
	  "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=" },
	{ 58, "3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0,
	  "1:NdobDX8PQNJbAyfkWxhtL2Pqp5w=" },
	{ 58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:507:0:1:260:97ff:fe07:69ea", 3, 0,
	  "1:/OGBt9BN1ofenrmSPWYicpij2Vc=" },
	{ 58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 129,
	  "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=" },
	{ 58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 133, "1:pkvHqCL88/tg1k4cPigmZXUtL00=" },
};

Test(community_id, published_values)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		int family = strchr(v->src, ':') ? AF_INET6 : AF_INET;
		uint8_t version = family == AF_INET ? 4 : 6;
		struct tl_endpoint src = { .ip_version = version, .port = v->src_port };
		struct tl_endpoint dst = { .ip_version = version, .port = v->dst_port };
		char id[32];

		cr_assert_eq(inet_pton(family, v->src, src.ip), 1);
		cr_assert_eq(inet_pton(family, v->dst, dst.ip), 1);
		tl_community_id(v->proto, &src, &dst, id);
		cr_expect_str_eq(id, v->id, "%s -> %s: %s", v->src, v->dst, id);
	}
}

Test(community_id, one_way_icmp_types_are_those_without_an_answer)
{
	static const uint16_t paired[] = { 0, 8, 9, 10, 13, 14, 15, 16, 17, 18 };
	static const uint16_t paired6[] = { 128, 129, 130, 131, 133, 134,
					    135, 136, 139, 140, 144, 145 };
	bool two_way[256] = { 0 }, two_way6[256] = { 0 };

	for (size_t i = 0; i < sizeof(paired) / sizeof(paired[0]); i++)
		two_way[paired[i]] = true;
	for (size_t i = 0; i < sizeof(paired6) / sizeof(paired6[0]); i++)
		two_way6[paired6[i]] = true;
	for (uint16_t type = 0; type < 256; type++) {
		cr_expect_eq(tl_icmp__one_way(1, type), !two_way[type], "icmp %u", type);
		cr_expect_eq(tl_icmp__one_way(58, type), !two_way6[type], "icmp6 %u", type);
		cr_expect_not(tl_icmp__one_way(6, type));
	}
}
