/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_export */
/* Times, addresses and names as the records print them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "tapline/export.h"

Test(export_format, time_is_rfc_3339_with_nanoseconds)
{
	char text[TL_TIME_TEXT];

	tl_format__time(1795341601000000007ull, text);
	cr_expect_str_eq(text, "2026-11-22T10:00:01.000000007Z");
	tl_format__time(951782400999999999ull, text);
	cr_expect_str_eq(text, "2000-02-29T00:00:00.999999999Z");
	tl_format__time(0, text);
	cr_expect_str_eq(text, "1970-01-01T00:00:00.000000000Z");
	tl_format__time(UINT64_MAX, text);
	cr_expect_str_eq(text, "2554-07-21T23:34:33.709551615Z");
}

Test(export_format, addresses)
{
	char text[TL_IP_TEXT];
	uint8_t ip[16];

	inet_pton(AF_INET, "192.0.2.255", ip);
	tl_format__ip(4, ip, text);
	cr_expect_str_eq(text, "192.0.2.255");
	inet_pton(AF_INET6, "2001:db8::1", ip);
	tl_format__ip(6, ip, text);
	cr_expect_str_eq(text, "2001:db8::1");
	inet_pton(AF_INET6, "1111:2222:3333:4444:5555:6666:7777:8888", ip);
	tl_format__ip(6, ip, text);
	cr_expect_str_eq(text, "1111:2222:3333:4444:5555:6666:7777:8888");
}

Test(export_format, every_name_is_there)
{
	cr_expect_str_eq(tl_format__severity(TL_INFO), "info");
	cr_expect_str_eq(tl_format__severity(TL_WARNING), "warning");
	cr_expect_str_eq(tl_format__severity(TL_ERROR), "error");
	cr_expect_null(tl_format__app(TL_APP_UNKNOWN));
	cr_expect_null(tl_format__app(TL_APP_COUNT));
	for (uint8_t app = TL_APP_UNKNOWN + 1; app < TL_APP_COUNT; app++)
		cr_expect_not_null(tl_format__app(app), "app %u", app);
	for (uint8_t type = 0; type <= TL_TUNNEL_MPLS; type++)
		cr_expect_not_null(tl_format__tunnel(type), "tunnel %u", type);
	cr_expect_str_eq(tl_format__tunnel(TL_TUNNEL_VXLAN), "vxlan");
	cr_expect_str_eq(tl_format__tunnel(200), "unknown");
}
