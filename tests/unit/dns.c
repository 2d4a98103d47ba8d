/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * dns.*: what is a fault, what is none, and what the finding says. Packets go through the whole of
 * tl_analysis, as the engine drives it.
 */
#include <criterion/criterion.h>

#include "core/dns_message.h"
#include "unit/analysis_bed.h"

#define A    1
#define AAAA 28
#define OK   0x8180
#define FAIL 0x8182
#define NX   0x8183

static struct bed *b;

static void begin(void)
{
	b = bed__start(false);
}

static void end(void)
{
	bed__free(b);
}

TestSuite(dns, .init = begin, .fini = end);

/* What is left out is that of one query: 10.0.1.5 asks 10.0.2.53 for api.example.com, A. */
struct message {
	const char *client, *server, *name;
	uint16_t client_port, server_port; /* 0: 53 */
	uint16_t id, type, flags;	   /* flags with the highest bit: from the server */
	uint16_t answers;
	bool is_copy;
};

static struct message filled(struct message m)
{
	m.client = m.client ? m.client : "10.0.1.5";
	m.server = m.server ? m.server : "10.0.2.53";
	m.name = m.name ? m.name : "api.example.com";
	m.client_port = m.client_port ? m.client_port : 40001;
	m.server_port = m.server_port ? m.server_port : 53;
	m.id = m.id ? m.id : 7;
	m.type = m.type ? m.type : A;
	return m;
}

/* The question alone, or with so many records of one address. */
static size_t write_message(const struct message *m, uint8_t *p)
{
	const char *label = m->name;
	size_t at = 12;

	memset(p, 0, 12);
	pb__set16(p, m->id);
	pb__set16(p + 2, m->flags ? m->flags : 0x0100);
	pb__set16(p + 4, 1);
	pb__set16(p + 6, m->answers);
	while (*label) {
		size_t n = strcspn(label, ".");

		p[at++] = (uint8_t)n;
		memcpy(p + at, label, n);
		at += n;
		label += n + (label[n] == '.');
	}
	p[at++] = 0;
	pb__set16(p + at, m->type);
	pb__set16(p + at + 2, 1);
	at += 4;
	for (unsigned i = 0; i < m->answers; i++) {
		memcpy(p + at, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\x0a", 16);
		at += 16;
	}
	return at;
}

static void send_bytes(uint64_t ms, const struct message *m, const uint8_t *bytes, size_t n)
{
	uint8_t frame[1024] = { 0 }, src[16] = { 0 }, dst[16] = { 0 };
	bool from_server = m->flags & 0x8000;
	uint16_t port = m->server_port;
	struct tl_layers l = { .proto = 17, .l3_offset = 14, .l4_offset = 34, .ttl = 64 };
	struct tl_packet p = { .data = frame, .linktype = TL_LINKTYPE_ETHERNET };

	l.ip_version = bed__address(from_server ? m->server : m->client, src);
	bed__address(from_server ? m->client : m->server, dst);
	l.src = src;
	l.dst = dst;
	l.src_port = from_server ? port : m->client_port;
	l.dst_port = from_server ? m->client_port : port;
	l.payload_offset = 42;
	l.payload_bytes = l.payload_caplen = (uint32_t)n;
	l.ip_id = m->is_copy ? b->ip_id : ++b->ip_id;
	l.l4_checksum = (uint16_t)(m->id * 31 + m->type + l.ip_id);
	memcpy(frame + 42, bytes, n);
	p.ts_ns = BED_START_NS + ms * BED_MS;
	p.frame = ++b->frame;
	p.caplen = p.wirelen = (uint32_t)(42 + n);
	bed__packet(b, &p, &l);
}

static void dns(uint64_t ms, struct message m)
{
	uint8_t bytes[600];

	m = filled(m);
	send_bytes(ms, &m, bytes, write_message(&m, bytes));
}

#define ASK(...) ((struct message){ __VA_ARGS__ })

/* An answered query of another name, so that the server is known to answer. */
static void healthy(uint64_t ms)
{
	dns(ms, ASK(.name = "www.example.com", .client_port = 41000, .id = (uint16_t)(900 + ms)));
	dns(ms + 20, ASK(.name = "www.example.com", .client_port = 41000,
			 .id = (uint16_t)(900 + ms), .flags = OK, .answers = 1));
}

static const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static bool detail_bool(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name))
			return f->details[i].type == TL_DETAIL_BOOL && f->details[i].boolean;
	return false;
}

/* --- healthy --------------------------------------------------------------------------------- */

Test(dns, healthy_says_nothing)
{
	for (unsigned i = 0; i < 50; i++)
		healthy(i * 300);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

Test(dns, second_answer_is_no_fault)
{
	dns(0, ASK(0));
	dns(20, ASK(.flags = OK, .answers = 1));
	dns(30, ASK(.flags = OK, .answers = 2));
	healthy(9000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

Test(dns, one_way_mirror_accuses_nobody)
{
	for (unsigned i = 0; i < 40; i++)
		dns(i * 500, ASK(.id = (uint16_t)i, .client_port = (uint16_t)(40000 + i),
				 .name = i % 2 ? "a.example.com" : "b.example.com",
				 .client = i % 4 < 2 ? "10.0.1.5" : "10.0.1.6"));
	/* TCP that shows one direction alone, too. */
	for (unsigned i = 0; i < 40; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.3.1", (uint16_t)(50000 + i), 80 };

		bed__from_client(b, &p, 21000 + i, BED_SYN(1));
		bed__from_client(b, &p, 21100 + i, BED_ACK(2, 1));
		bed__from_client(b, &p, 21200 + i, BED_DATA(2, 1, 100));
		bed__from_client(b, &p, 21300 + i, BED_ACK(102, 900));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

Test(dns, multicast_names_are_left_alone)
{
	for (unsigned i = 0; i < 4; i++) {
		dns(i * 1000, ASK(.server = "224.0.0.251", .server_port = 5353));
		dns(i * 1000, ASK(.server = "224.0.0.252", .server_port = 5355));
		dns(i * 1000, ASK(.server = "224.0.0.252"));
	}
	healthy(20000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

/* A resolver may listen there; multicast DNS wants no recursion, and comes from that port, too. */
Test(dns, resolver_on_the_port_of_multicast_dns)
{
	for (unsigned i = 0; i < 3; i++) {
		dns(i * 100, ASK(.server_port = 5353, .id = (uint16_t)i));
		dns(i * 100 + 20, ASK(.server_port = 5353, .id = (uint16_t)i, .flags = 0x8182));
	}
	bed__end(b);
	cr_expect_eq(only("dns.error")->subject.server.port, 5353);
	cr_expect_str_eq(bed__detail_string(only("dns.error"), "rcode"), "SERVFAIL");
}

/* Equal queries that nothing tells apart (another IP ID): within 20 ms nobody asks again. */
Test(dns, what_comes_twice_at_once_is_no_retry)
{
	healthy(0);
	dns(1000, ASK(0));
	dns(1005, ASK(0));
	healthy(9000);
	bed__end(b);
	cr_expect_eq(bed__detail(only("dns.no_answer"), "retries"), 0);
}

Test(dns, copies_by_the_mirror_are_no_retries)
{
	healthy(0);
	dns(1000, ASK(0));
	dns(1000, ASK(.is_copy = true));
	healthy(9000);
	bed__end(b);
	cr_expect_eq(bed__detail(only("dns.no_answer"), "retries"), 0);
}

Test(dns, capture_that_ends_early_accuses_nobody)
{
	healthy(0);
	dns(1000, ASK(0));
	healthy(4000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

/* --- no_answer ------------------------------------------------------------------------------- */

Test(dns, no_answer_says_what_the_contract_says)
{
	const struct tl_finding *f;

	healthy(0);
	dns(1000, ASK(0));
	dns(6000, ASK(0)); /* the same id from the same port, 5 s later */
	healthy(15000);
	bed__end(b);
	f = only("dns.no_answer");
	cr_expect_eq(f->severity, TL_ERROR);
	cr_expect_eq(f->count, 1);
	cr_expect_str_eq(bed__detail_string(f, "qname"), "api.example.com");
	cr_expect_str_eq(bed__detail_string(f, "qtype"), "A");
	cr_expect_eq(bed__detail(f, "retries"), 1);
	cr_expect_not(detail_bool(f, "only_aaaa"));
	cr_assert_eq(f->evidence_count, 2);
	cr_expect_eq(f->evidence[0].frame, 3);
	cr_expect_eq(f->evidence[1].frame, 4);
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.2.53 && ip.addr==10.0.1.5 && "
					    "lower(dns.qry.name)==\"api.example.com\"");
	cr_expect_eq(f->first_ns, BED_START_NS + 1000 * BED_MS);
	cr_expect_eq(f->subject.server.port, 53);
}

Test(dns, one_try_to_a_server_that_answers_is_a_warning)
{
	healthy(0);
	dns(1000, ASK(0));
	healthy(9000);
	bed__end(b);
	cr_expect_eq(only("dns.no_answer")->severity, TL_WARNING);
}

Test(dns, one_try_to_a_server_never_seen_is_not_judged)
{
	dns(1000, ASK(.server = "10.0.2.54"));
	healthy(9000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

/* The first resolver of two is dead: each name is asked there, then of the second. */
Test(dns, resolver_from_which_the_client_moves_on)
{
	static const char *const name[] = { "a.example.com", "b.example.com", "c.example.com" };

	for (unsigned i = 0; i < 3; i++) {
		struct message first = ASK(.server = "10.0.2.54", .name = name[i],
					   .client_port = (uint16_t)(42000 + i));
		struct message then = ASK(.name = name[i], .client_port = (uint16_t)(43000 + i));

		dns(i * 9000, first);
		dns(i * 9000 + 2000, then);
		then.flags = OK;
		then.answers = 1;
		dns(i * 9000 + 2010, then);
	}
	healthy(40000);
	bed__end(b);
	for (uint32_t i = 0; i < b->finding_count; i++)
		cr_expect_eq(b->finding[i].subject.server.ip[3], 54);
	cr_expect_eq(bed__count(b, "dns.no_answer", TL_WARNING), 3, "one for each name");
}

/* Resolvers that are asked at once, one of which the mirror does not show. */
Test(dns, resolvers_that_are_asked_at_once_are_not_moved_on_from)
{
	for (unsigned i = 0; i < 3; i++) {
		struct message then = ASK(.client_port = (uint16_t)(43000 + i));

		dns(i * 9000, ASK(.server = "10.0.2.54", .client_port = (uint16_t)(42000 + i)));
		dns(i * 9000, then);
		then.flags = OK;
		then.answers = 1;
		dns(i * 9000 + 10, then);
	}
	healthy(40000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.no_answer", TL_INFO), 0);
}

Test(dns, retries_from_other_ports_are_one_query)
{
	for (unsigned i = 0; i < 3; i++)
		dns(i * 5000, ASK(.client_port = (uint16_t)(40000 + i)));
	healthy(30000);
	bed__end(b);
	cr_expect_eq(only("dns.no_answer")->count, 1);
	cr_expect_eq(bed__detail(only("dns.no_answer"), "retries"), 2);
}

Test(dns, retries_within_a_capture_that_ends_with_them)
{
	for (unsigned i = 0; i < 3; i++)
		dns(i * 1000, ASK(.client_port = (uint16_t)(40000 + i)));
	bed__end(b);
	cr_expect_eq(bed__detail(only("dns.no_answer"), "retries"), 2);
}

Test(dns, other_port_that_was_answered_is_slow_not_silent)
{
	healthy(0);
	dns(1000, ASK(.client_port = 40001, .id = 1));
	dns(3000, ASK(.client_port = 40002, .id = 2));
	dns(3020, ASK(.client_port = 40002, .id = 2, .flags = OK, .answers = 1));
	healthy(20000);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.no_answer", TL_INFO), 0);
	cr_expect_eq(bed__detail(only("dns.slow"), "waited_ms"), 2020);
	cr_expect_eq(bed__detail(only("dns.slow"), "retries"), 1);
	for (uint32_t i = 0; i < only("dns.slow")->evidence_count; i++)
		cr_expect_gt(only("dns.slow")->evidence[i].frame, 0);
}

Test(dns, only_aaaa)
{
	const struct tl_finding *f;

	dns(1000, ASK(.id = 1));
	dns(1001, ASK(.id = 2, .type = AAAA));
	dns(1020, ASK(.id = 1, .flags = OK, .answers = 1));
	dns(6001, ASK(.id = 2, .type = AAAA));
	healthy(20000);
	bed__end(b);
	f = only("dns.no_answer");
	cr_expect(detail_bool(f, "only_aaaa"));
	cr_expect_str_eq(bed__detail_string(f, "qtype"), "AAAA");
	cr_expect_eq(f->severity, TL_ERROR);
}

Test(dns, aaaa_and_a_both_silent_is_not_only_aaaa)
{
	healthy(0);
	for (unsigned i = 0; i < 2; i++) {
		dns(1000 + i * 5000, ASK(.id = 1));
		dns(1001 + i * 5000, ASK(.id = 2, .type = AAAA));
	}
	healthy(20000);
	bed__end(b);
	cr_expect_not(detail_bool(only("dns.no_answer"), "only_aaaa"));
	cr_expect_eq(only("dns.no_answer")->count, 2);
}

Test(dns, ipv6_server_silent_while_ipv4_answers)
{
	const struct tl_finding *f;

	dns(0, ASK(.client = "fd00::5", .server = "fd00::53"));
	dns(5000, ASK(.client = "fd00::5", .server = "fd00::53"));
	dns(5100, ASK(.client_port = 40009));
	dns(5110, ASK(.client_port = 40009, .flags = OK, .answers = 1));
	healthy(20000);
	bed__end(b);
	f = only("dns.no_answer");
	cr_expect(detail_bool(f, "only_ipv6"));
	cr_expect(strstr(f->cause, "IPv6 path"), "%s", f->cause);
}

Test(dns, silent_server_is_one_finding)
{
	static const char *const name[] = { "a.shop.example", "b.shop.example", "c.shop.example",
					    "d.shop.example", "e.shop.example" };
	const struct tl_finding *f;

	for (unsigned i = 0; i < 10; i++)
		dns(i * 1000 + (i % 2) * 4000,
		    ASK(.id = (uint16_t)(i / 2), .client_port = (uint16_t)(40000 + i / 2),
			.name = name[i / 2]));
	healthy(40000);
	bed__end(b);
	f = only("dns.no_answer");
	cr_expect_eq(f->count, 5);
	cr_expect_eq(bed__detail(f, "names"), 5);
	cr_expect_str_eq(bed__detail_string(f, "qname"), "shop.example");
}

/* --- error, slow ------------------------------------------------------------------------------ */

Test(dns, servfail_is_an_error)
{
	dns(0, ASK(0));
	dns(30, ASK(.flags = FAIL));
	healthy(1000);
	bed__end(b);
	cr_expect_eq(only("dns.error")->severity, TL_ERROR);
	cr_expect_str_eq(bed__detail_string(only("dns.error"), "rcode"), "SERVFAIL");
	cr_expect_eq(only("dns.error")->evidence_count, 2);
}

Test(dns, nxdomain_of_a_search_list_is_info)
{
	dns(0, ASK(.name = "db.ns.svc.cluster.local", .id = 1));
	dns(1, ASK(.name = "db.ns.svc.cluster.local", .id = 1, .flags = NX));
	dns(2, ASK(.name = "db.ns", .id = 2));
	dns(3, ASK(.name = "db.ns", .id = 2, .flags = OK, .answers = 1));
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_WARNING), 0);
	cr_expect_eq(only("dns.error")->severity, TL_INFO);
}

Test(dns, nxdomain_here_and_an_address_there)
{
	dns(0, ASK(.id = 1));
	dns(5, ASK(.id = 1, .flags = NX));
	dns(10, ASK(.id = 2, .server = "10.0.2.54"));
	dns(15, ASK(.id = 2, .server = "10.0.2.54", .flags = OK, .answers = 1));
	bed__end(b);
	cr_expect_eq(only("dns.error")->severity, TL_WARNING);
}

Test(dns, many_names_that_do_not_exist_are_one_finding)
{
	char name[32];

	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "n%u.example.com", i);
		dns(i * 10, ASK(.name = name, .id = (uint16_t)i));
		dns(i * 10 + 5, ASK(.name = name, .id = (uint16_t)i, .flags = NX));
	}
	bed__end(b);
	cr_expect_eq(only("dns.error")->count, 100);
}

Test(dns, slow_from_one_second_on)
{
	dns(0, ASK(.id = 1));
	dns(999, ASK(.id = 1, .flags = OK, .answers = 1));
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

Test(dns, slow_says_how_long)
{
	dns(0, ASK(.id = 1));
	dns(1500, ASK(.id = 1, .flags = OK, .answers = 1));
	bed__end(b);
	cr_expect_eq(only("dns.slow")->severity, TL_WARNING);
	cr_expect_eq(bed__detail(only("dns.slow"), "waited_ms"), 1500);
	cr_expect_eq(bed__detail(only("dns.slow"), "retries"), 0);
}

/* --- mirrors that leave something out -----------------------------------------------------------
 */

/* `n` names are asked for, a second apart; a mirror leaves out some queries and some answers. */
static void through_a_lossy_mirror(unsigned n, unsigned no_query, unsigned no_answer)
{
	static char name[64][24];

	for (unsigned i = 0; i < n; i++) {
		struct message m = ASK(.name = name[i], .client_port = (uint16_t)(42000 + i));

		snprintf(name[i], sizeof(name[i]), "h%u.example.com", i);
		if (!no_query || i % no_query != no_query - 1)
			dns(20000 + i * 1000, m);
		m.flags = OK;
		m.answers = 1;
		if (!no_answer || i % no_answer != no_answer - 1)
			dns(20005 + i * 1000, m);
	}
	healthy(120000);
}

Test(dns, answers_to_queries_that_were_not_shown_excuse_queries_without_answer)
{
	healthy(0);
	through_a_lossy_mirror(60, 15, 20);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

Test(dns, a_server_that_is_silent_more_often_than_the_mirror_is_told)
{
	healthy(0);
	through_a_lossy_mirror(60, 30, 3);
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.no_answer", TL_WARNING), 1);
}

Test(dns, who_asks_now_and_then_anyway_is_not_shown_to_have_asked_again)
{
	healthy(0);
	for (unsigned i = 0; i < 30; i++) {
		struct message m = ASK(.client_port = (uint16_t)(42000 + i));

		dns(20000 + i * 4000, m);
		m.flags = OK;
		m.answers = 1;
		if (i != 12)
			dns(20005 + i * 4000, m);
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

/* --- other ports, and live ----------------------------------------------------------------------
 */

Test(dns, known_by_content_on_another_port)
{
	dns(0, ASK(.id = 1, .server_port = 8600));
	dns(30, ASK(.id = 1, .server_port = 8600, .flags = FAIL));
	bed__end(b);
	cr_expect_eq(only("dns.error")->subject.server.port, 8600);
}

Test(dns, other_datagrams_are_not_read_as_dns)
{
	static const uint8_t junk[64] = { 1, 2, 3, 4, 5 };

	for (unsigned i = 0; i < 10; i++) {
		struct message m = filled(ASK(.server_port = 9999));

		send_bytes(i * 2000, &m, junk, sizeof(junk));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "dns.", TL_INFO), 0);
}

static struct bed *conversation(bool live)
{
	b = bed__start(live);
	healthy(0);
	dns(1000, ASK(0));
	dns(3000, ASK(.client_port = 40002));
	dns(8000, ASK(.name = "x.example.com", .id = 9));
	dns(9500, ASK(.name = "x.example.com", .id = 9, .flags = NX));
	healthy(20000);
	if (live)
		bed__idle_until(b, 60000);
	bed__end(b);
	return b;
}

Test(dns_live, live_and_file_say_the_same, .init = NULL, .fini = NULL)
{
	struct bed *file = conversation(false), *live = conversation(true);

	cr_assert_eq(file->finding_count, live->finding_count);
	cr_expect_gt(file->finding_count, 2);
	for (uint32_t i = 0; i < file->finding_count; i++)
		cr_expect(bed__same(&file->finding[i], &live->finding[i]), "%s",
			  file->finding[i].kind);
	bed__free(file);
	bed__free(live);
}
