/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* What is read of a DNS message, and what is refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "core/dns_message.h"

#define HEADER(flags_high, flags_low, questions, answers, additionals)                             \
	"\x12\x34" flags_high flags_low "\0" questions "\0" answers "\0\0\0" additionals
#define QUERY	HEADER("\1", "\0", "\1", "\0", "\0")
#define EXAMPLE "\3aPi\7example\3com\0"
#define IN_A	"\0\1\0\1"
#define PARSE(m, literal)                                                                          \
	tl_dns_message__parse((const uint8_t *)(literal), sizeof(literal) - 1, (m))

Test(dns_message, query)
{
	struct tl_dns_message m;

	cr_assert_eq(PARSE(&m, QUERY EXAMPLE IN_A), 0);
	cr_expect_eq(m.id, 0x1234);
	cr_expect(!m.is_response && !m.is_cut && m.is_whole && m.is_plain && m.has_question);
	cr_expect_str_eq(m.name, "api.example.com");
	cr_expect_eq(m.qtype, TL_DNS_A);
	cr_expect(tl_dns_message__is_likely(&m));
}

Test(dns_message, names_are_one_whatever_their_case)
{
	struct tl_dns_message a, b, other;

	cr_assert_eq(PARSE(&a, QUERY EXAMPLE IN_A), 0);
	cr_assert_eq(PARSE(&b, QUERY "\3API\7eXample\3cOm\0" IN_A), 0);
	cr_assert_eq(PARSE(&other, QUERY "\13api.example\3com\0" IN_A), 0);
	cr_expect_eq(a.name_hash, b.name_hash);
	cr_expect_neq(a.name_hash, other.name_hash, "a dot in a label is no separator");
	cr_expect_str_eq(other.name, "api\\046example.com");
	cr_expect_not(other.is_plain);
}

Test(dns_message, response_with_compression)
{
	struct tl_dns_message m;

	cr_assert_eq(PARSE(&m, HEADER("\x83", "\x83", "\1", "\1", "\0") EXAMPLE IN_A
			   "\xc0\x0c" IN_A "\0\0\0\x3c\0\4\xcb\0\x71\x0a"),
		     0);
	cr_expect(m.is_response && m.is_cut && m.is_whole);
	cr_expect_eq(m.rcode, TL_DNS_NXDOMAIN);
	cr_expect_eq(m.answers, 1);
}

Test(dns_message, opt_carries_the_upper_bits_of_rcode)
{
	struct tl_dns_message m;
	char text[TL_DNS_TYPE_TEXT];

	cr_assert_eq(PARSE(&m, HEADER("\x81", "\x80", "\1", "\0", "\1") EXAMPLE IN_A
			   "\0\0\x29\4\xd0\1\0\0\0\0\0"),
		     0);
	cr_expect_str_eq(tl_dns__rcode_name(m.rcode, text), "BADVERS");
}

Test(dns_message, pointers_go_back_or_are_refused)
{
	struct tl_dns_message m;

	cr_expect_eq(PARSE(&m, QUERY "\xc0\x0c" IN_A), -EBADMSG, "to itself");
	cr_expect_eq(PARSE(&m, QUERY "\1a\xc0\x0c" IN_A), -EBADMSG, "to its own beginning");
	cr_expect_eq(PARSE(&m, QUERY "\xc0\x20" IN_A), -EBADMSG, "forward");
	cr_expect_eq(PARSE(&m, QUERY "\x80" IN_A), -EBADMSG, "a label type that is not in use");
}

Test(dns_message, name_of_255_octets_and_not_one_more)
{
	uint8_t bytes[400] = { 0x12, 0x34, 1, 0, 0, 1 };
	struct tl_dns_message m;
	size_t at = 12;

	for (unsigned i = 0; i < 3; i++) {
		bytes[at] = 63;
		memset(bytes + at + 1, 'a', 63);
		at += 64;
	}
	bytes[at] = 61;
	memset(bytes + at + 1, 'b', 62);
	cr_expect_eq(tl_dns_message__parse(bytes, at + 62 + 1, &m), -EBADMSG, "no type, no class");
	bytes[at + 62] = 0;
	cr_assert_eq(tl_dns_message__parse(bytes, at + 62 + 1 + 4, &m), 0);
	cr_expect_lt(strlen(m.name), TL_DNS_NAME);
	cr_expect_not(m.is_plain, "it was cut");
	bytes[at] = 62;
	bytes[at + 62] = 'b';
	bytes[at + 63] = 0;
	cr_expect_eq(tl_dns_message__parse(bytes, at + 63 + 1 + 4, &m), -EBADMSG);
}

Test(dns_message, cut_by_the_snap_length)
{
	struct tl_dns_message m;

	cr_assert_eq(PARSE(&m, HEADER("\x81", "\x80", "\1", "\1", "\0") EXAMPLE IN_A
			   "\xc0\x0c" IN_A "\0\0\0\x3c\0\4\xcb"),
		     0);
	cr_expect(m.has_question && !m.is_whole && !tl_dns_message__is_likely(&m));
	cr_expect_eq(PARSE(&m, "\x12\x34\1"), -EBADMSG);
}

Test(dns_message, what_is_not_taken_for_dns_on_other_ports)
{
	struct tl_dns_message m;

	cr_assert_eq(PARSE(&m, QUERY EXAMPLE IN_A "x"), 0);
	cr_expect_not(tl_dns_message__is_likely(&m), "bytes behind it");
	cr_assert_eq(PARSE(&m, HEADER("\1", "\3", "\1", "\0", "\0") EXAMPLE IN_A), 0);
	cr_expect_not(tl_dns_message__is_likely(&m), "a query with an rcode");
	cr_assert_eq(PARSE(&m, HEADER("\x29", "\0", "\1", "\0", "\0") EXAMPLE IN_A), 0);
	cr_expect_not(tl_dns_message__is_likely(&m), "an update");
	cr_assert_eq(PARSE(&m, "\0\0\0\0\0\0\0\0\0\0\0\0"), 0);
	cr_expect_not(tl_dns_message__is_likely(&m), "zeros");
}

Test(dns_message, types_and_rcodes_have_names)
{
	char text[TL_DNS_TYPE_TEXT];

	cr_expect_str_eq(tl_dns__type_name(28, text), "AAAA");
	cr_expect_str_eq(tl_dns__type_name(65, text), "HTTPS");
	cr_expect_str_eq(tl_dns__type_name(65280, text), "TYPE65280");
	cr_expect_str_eq(tl_dns__rcode_name(2, text), "SERVFAIL");
	cr_expect_str_eq(tl_dns__rcode_name(5, text), "REFUSED");
	cr_expect_str_eq(tl_dns__rcode_name(4095, text), "RCODE4095");
}
