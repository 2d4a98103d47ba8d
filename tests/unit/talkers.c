/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/*
 * traffic.top_talker: when it speaks, and when it keeps quiet.
 */
#include <criterion/criterion.h>

#include "core/hosts.h"
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

TestSuite(talkers, .init = begin, .fini = end);

/* `n` data segments over `ms`, `copies` more of each. */
static void bulk(const struct bed_pair *p, unsigned n, uint64_t ms, unsigned copies)
{
	for (unsigned i = 0; i < n; i++) {
		struct bed_tcp t = BED_DATA(1 + i * 1000, 1, 1000);

		bed__from_client(b, p, i * ms / n, t);
		t.is_copy = true;
		for (unsigned c = 0; c < copies; c++)
			bed__from_client(b, p, i * ms / n, t);
	}
}

static double detail_f64(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_F64)
			return f->details[i].f64;
	return -1;
}

Test(talkers, a_short_capture_has_no_talker)
{
	bulk(&(struct bed_pair){ "10.0.1.5", "10.0.2.10", 1, 2 }, 900, 5000, 0);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_INFO), 0);
}

Test(talkers, one_host_that_fills_the_link_is_an_info)
{
	const struct tl_finding *f;

	bulk(&(struct bed_pair){ "10.0.1.5", "10.0.2.10", 1, 2 }, 3000, 5000, 0);
	for (unsigned i = 0; i < 20; i++)
		bed__healthy(b, &(struct bed_pair){ "10.0.1.7", "10.0.2.10", 50000 + i, 80 },
			     5000 + i * 100);
	bed__end(b);
	f = bed__only(b, "traffic.top_talker");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_eq(bed__detail(f, "packets"), 3000);
	cr_expect_eq(bed__detail(f, "bytes"), 3000 * 1054);
	cr_expect_gt(detail_f64(f, "share"), 0.98);
	cr_expect_str_eq(f->display_filter, "ip.src==10.0.1.5");
	cr_expect_eq(f->evidence[0].frame, 1);
}

Test(talkers, evenly_shared_traffic_has_no_talker)
{
	char host[20];

	for (unsigned i = 0; i < 3000; i++) {
		struct bed_pair p = { host, "10.0.2.10", 1, 2 };

		snprintf(host, sizeof(host), "10.0.1.%u", 1 + i % 3);
		bed__from_client(b, &p, i, BED_DATA(1 + i / 3 * 100, 1, 100));
	}
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_INFO), 0);
}

Test(talkers, copies_do_not_count)
{
	bulk(&(struct bed_pair){ "10.0.1.5", "10.0.2.10", 1, 2 }, 600, 5000, 2);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_INFO), 0, "600 packets, each shown three times");
}

/* Health checks: `n` connections, one each `every_ms`. */
static void knock(unsigned n, uint64_t every_ms, uint32_t payload_bytes)
{
	for (unsigned i = 0; i < n; i++) {
		struct bed_pair p = { "10.0.1.5", "10.0.2.10", 10000 + i, 80 };
		uint64_t ms = i * every_ms;

		bed__from_client(b, &p, ms, BED_SYN(1));
		bed__from_server(b, &p, ms, BED_SYNACK(7, 2));
		bed__from_client(b, &p, ms, BED_ACK(2, 8));
		bed__from_client(b, &p, ms, BED_DATA(2, 8, payload_bytes));
		bed__from_server(b, &p, ms, BED_DATA(8, 2 + payload_bytes, 20));
		bed__from_client(b, &p, ms, BED_FIN(2 + payload_bytes, 28));
	}
}

Test(talkers, a_health_check_each_millisecond_is_a_warning)
{
	const struct tl_finding *f;

	knock(4000, 1, 60);
	bed__end(b);
	f = bed__only(b, "traffic.top_talker");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO, "the warning is that of the clock behind it");
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 1);
	cr_expect_float_eq(detail_f64(f, "connections_per_s"), 1000, 1);
	cr_expect_eq(f->subject.server.port, 80);
	cr_expect_str_eq(f->display_filter, "ip.addr==10.0.1.5 && tcp.flags.syn==1");
	cr_expect_eq(f->evidence[0].frame, 1);
}

/* What the same host asked of another service before it began is no evidence of it. */
Test(talkers, the_evidence_of_a_storm_is_its_own)
{
	bed__from_client(b, &(struct bed_pair){ "10.0.1.5", "10.0.2.11", 9999, 443 }, 0,
			 BED_SYN(1));
	knock(4000, 1, 60);
	bed__end(b);
	cr_assert_not_null(bed__only(b, "traffic.top_talker"));
	/* Its first SYN outvotes the other's, its second is kept. */
	cr_expect_eq(bed__only(b, "traffic.top_talker")->evidence[0].frame, 8);
}

Test(talkers, a_health_check_each_second_is_fine)
{
	knock(30, 1000, 60);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.top_talker", TL_INFO), 0);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 0);
}

Test(talkers, many_connections_that_carry_something_are_fine)
{
	knock(4000, 1, 600);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 0);
}

Test(talkers, a_burst_within_one_second_is_no_storm)
{
	knock(900, 1, 60);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 0);
}

static struct tl_finding storm(bool live)
{
	struct tl_finding f;

	bed__free(b);
	b = bed__start(live);
	knock(4000, 1, 60);
	if (live)
		bed__idle_until(b, 20000);
	bed__end(b);
	f = *bed__only(b, "traffic.top_talker");
	return f;
}

Test(talkers, live_and_file_say_the_same)
{
	struct tl_finding file = storm(false);
	struct tl_finding live = storm(true);

	cr_expect(bed__same(&file, &live));
}

Test(talkers, a_storm_that_ended_long_ago_is_told_once)
{
	knock(4000, 1, 60);
	bed__idle_until(b, 400000);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 1, "settled while the capture goes on");
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.", TL_WARNING), 1);
	cr_expect_eq(b->finding[0].count, 4000);
}

/* Returns the host's bytes. */
static uint64_t add_bytes(struct tl_hosts_set *sets, const struct tl_endpoint *host, uint32_t bytes)
{
	const struct tl_address a = tl_address__of_endpoint(host);
	const struct tl_hosts_place place = tl_hosts__get(sets, 16, tl_hosts__mark(&a), &a);

	*place.weight += bytes;
	place.host->bytes += bytes;
	return place.host->bytes;
}

/* The table keeps a heavy host though ten thousand light ones pass by. */
Test(talkers, heavy_host_outlives_light_ones)
{
	static struct tl_hosts_set sets[16];
	struct tl_endpoint heavy = { .ip_version = 4, .ip = { 10, 0, 0, 1 } };

	for (uint32_t i = 0; i < 10000; i++) {
		struct tl_endpoint light = { .ip_version = 4,
					     .ip = { 11, (uint8_t)(i >> 8), (uint8_t)i, 1 } };

		add_bytes(sets, &light, 60);
		add_bytes(sets, &heavy, 1500);
	}
	cr_expect_eq(add_bytes(sets, &heavy, 0), 10000 * 1500ull);
}

Test(talkers, majority_vote_finds_the_target)
{
	struct tl_host host = { 0 };
	struct tl_endpoint a = { .ip_version = 4, .ip = { 1 }, .port = 80 };
	struct tl_endpoint c = { .ip_version = 4, .ip = { 2 }, .port = 81 };

	for (unsigned i = 0; i < 100; i++)
		tl_host__vote(&host, i % 10 ? &a : &c, 1);
	cr_expect_eq(host.target.port, 80);
	cr_expect_eq(host.target_lead, 80);
}
