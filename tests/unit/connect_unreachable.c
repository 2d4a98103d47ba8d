/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/*
 * connect.unreachable, and what it explains.
 */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static const struct bed_pair seed = { "10.0.1.5", "10.0.2.10", 40112, 8080 };
static const struct bed_pair web = { "10.0.1.5", "10.0.2.10", 40200, 80 };

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(unreachable, .init = begin, .fini = end);

static void syns(const struct bed_pair *p, uint64_t ms, uint32_t isn, unsigned n)
{
	static const uint64_t backoff_ms[] = { 0, 1000, 3000, 7000, 15000, 31000 };

	for (unsigned i = 0; i < n; i++)
		bed__from_client(b, p, ms + backoff_ms[i], BED_SYN(isn));
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

Test(unreachable, says_who_and_why)
{
	const struct tl_finding *f;

	bed__from_client(b, &seed, 0, BED_SYN(1000));
	bed__icmp(b, &seed,
		  &(struct bed_icmp){ .ms = 1, .reporter = "10.0.0.254", .code = 13, .isn = 1000 });
	bed__end(b);
	f = only("connect.unreachable");
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(bed__detail(f, "icmp_code"), 13);
	cr_expect_str_eq(bed__detail_string(f, "reported_by"), "10.0.0.254");
	cr_assert_eq(f->evidence_count, 2);
	cr_expect_eq(f->evidence[0].frame, 1);
	cr_expect_eq(f->evidence[1].frame, 2);
	cr_expect_str_eq(f->display_filter,
			 "(ip.addr==10.0.1.5 && ip.addr==10.0.2.10 && tcp.port==40112 && "
			 "tcp.port==8080 && tcp.flags.syn==1) || (ip.addr==10.0.1.5 && "
			 "ip.addr==10.0.2.10 && icmp.type==3)");
}

Test(unreachable, ipv6)
{
	const struct bed_pair p = { "2001:db8::5", "2001:db8::10", 40112, 8080 };

	bed__from_client(b, &p, 0, BED_SYN(1000));
	bed__icmp(b, &p,
		  &(struct bed_icmp){ .ms = 1, .reporter = "2001:db8::1", .code = 3, .isn = 1000 });
	bed__end(b);
	cr_expect_eq(bed__detail(only("connect.unreachable"), "icmp_code"), 3);
	cr_expect_str_eq(bed__detail_string(only("connect.unreachable"), "reported_by"),
			 "2001:db8::1");
}

Test(unreachable, with_repeated_syns_is_not_no_answer_too)
{
	bed__icmp(b, &seed,
		  &(struct bed_icmp){ .ms = 1, .reporter = "10.0.0.254", .code = 1, .isn = 1000 });
	syns(&seed, 2, 1000, 4);
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(bed__detail(only("connect.unreachable"), "syn_count"), 4);
	cr_expect_eq(only("connect.unreachable")->count, 1);
}

/* A router limits its ICMP errors: of the second attempt it says nothing. */
static void two_attempts_at_one_host(uint8_t code)
{
	bed__icmp(
		b, &seed,
		&(struct bed_icmp){ .ms = 1, .reporter = "10.0.0.254", .code = code, .isn = 1000 });
	syns(&seed, 2, 1000, 3);
	syns(&web, 4000, 2000, 4);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "connect.unreachable"));
	cr_expect_eq(bed__only(b, "connect.unreachable")->severity, TL_ERROR);
	cr_assert_not_null(bed__only(b, "connect.no_answer"));
}

Test(unreachable, of_which_the_router_did_not_say_that_the_host_is_gone)
{
	two_attempts_at_one_host(1);
	cr_expect_eq(bed__only(b, "connect.no_answer")->severity, TL_INFO);
}

Test(unreachable, a_firewalls_word_explains_no_other_port)
{
	two_attempts_at_one_host(13);
	cr_expect_eq(bed__only(b, "connect.no_answer")->severity, TL_ERROR);
}

Test(unreachable, short_quote_counts_only_with_its_syn)
{
	const struct bed_icmp icmp = {
		.ms = 1, .reporter = "10.0.0.254", .code = 1, .isn = 1000, .is_short = true
	};

	bed__icmp(b, &web, &icmp); /* no such SYN was seen: it may be a data segment */
	bed__from_client(b, &seed, 2, BED_SYN(1000));
	bed__icmp(b, &seed, &icmp);
	bed__end(b);
	cr_expect_eq(b->finding_count, 1);
	cr_expect_eq(only("connect.unreachable")->subject.server.port, 8080);
}

Test(unreachable, fragmentation_needed_is_no_fault)
{
	bed__icmp(b, &seed,
		  &(struct bed_icmp){ .ms = 1, .reporter = "10.0.0.254", .code = 4, .isn = 1000 });
	bed__end(b);
	cr_expect_eq(b->finding_count, 0);
}
