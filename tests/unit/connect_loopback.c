/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/* connect.refused where one host is both server and client, and "localhost" has two addresses. */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(connect_loopback, .init = begin, .fini = end);

static const struct tl_finding *refused(void)
{
	const struct tl_finding *f = bed__only(b, "connect.refused");

	cr_assert_not_null(f);
	return f;
}

/* "localhost" is ::1 first; the service listens at 127.0.0.1. */
static void refused_at_loopback(bool listens_beside)
{
	const struct bed_pair v6 = { "::1", "::1", 40112, 8080 };
	const struct bed_pair v4 = { "127.0.0.1", "127.0.0.1", 40114, 8080 };

	bed__from_client(b, &v6, 0, BED_SYN(1000));
	bed__from_server(b, &v6, 0, BED_RST_ACK(1001));
	if (listens_beside)
		bed__healthy(b, &v4, 1);
	bed__end(b);
}

Test(connect_loopback, refused_at_one_loopback_address_and_served_at_the_other_is_an_info)
{
	refused_at_loopback(true);
	cr_expect_eq(refused()->severity, TL_INFO);
	cr_assert_eq(refused()->counter_evidence_count, 1);
	cr_expect_str_eq(refused()->counter_evidence[0].what,
			 "the service answers at 127.0.0.1: there its clients went on");
}

Test(connect_loopback, refused_at_the_loopback_address)
{
	refused_at_loopback(false);
	cr_expect_eq(refused()->severity, TL_ERROR);
}
