/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sketch tl_flow tl_export */
/* The census of a link: what it counts, and that workers together say what one would have said. */
#include <criterion/criterion.h>

#include "flow_test.h"
#include "tapline/census.h"
#include "tapline/export.h"

static void count_flow(void *ctx, struct tl_flow *flow, enum tl_flow_end end)
{
	(void)end;
	tl_census__flow(ctx, flow);
}

static struct tl_flow_table *table_for(struct tl_census *census)
{
	struct tl_flow_table_opts opts = {
		.memory_bytes = 4 << 20, .numa_node = -1, .on_end = count_flow, .ctx = census
	};
	struct tl_flow_table *table;

	cr_assert_eq(tl_flow_table__create(&opts, &table), 0);
	return table;
}

static void send(struct tl_flow_table *table, struct tl_census *census, const struct seg *seg)
{
	struct tl_flow_lookup lookup;
	struct made made;

	bed__make(seg, &made);
	lookup = (struct tl_flow_lookup){ .packet = &made.packet, .layers = &made.layers };
	cr_assert_eq(tl_flow_table__lookup(table, &lookup, 1), 1);
	tl_census__packets(census, &lookup, 1);
}

/* `count` connections of a client, each with a SYN, a SYN-ACK, an ACK and `data` segments. */
struct client {
	uint32_t ip, count, data;
};

static void talk(struct tl_flow_table *table, struct tl_census *census, struct client c)
{
	for (uint32_t i = 0; i < c.count; i++) {
		struct seg syn = { .src = c.ip,
				   .dst = 0x0a000001,
				   .src_port = (uint16_t)(1024 + i),
				   .dst_port = 80,
				   .flags = TL_TCP_SYN,
				   .seq = 1,
				   .ts_ns = T0 + i * MS };
		struct seg reply = seg__reply(syn), ack = syn;

		send(table, census, &syn);
		reply.flags = TL_TCP_SYN | TL_TCP_ACK;
		reply.ack = 2;
		reply.ts_ns += 4 * MS;
		send(table, census, &reply);
		ack.flags = TL_TCP_ACK;
		ack.seq = 2;
		ack.ts_ns += 5 * MS;
		send(table, census, &ack);
		for (uint32_t j = 0; j < c.data; j++) {
			ack.payload_bytes = 1000;
			ack.ts_ns += MS;
			send(table, census, &ack);
			ack.seq += 1000;
		}
	}
}

static const struct client clients[] = { { 0x0a000102, 50, 20 },
					 { 0x0a000103, 200, 1 },
					 { 0x0a000104, 1, 0 } };

static void fill(struct tl_census *census, uint32_t from, uint32_t to)
{
	struct tl_flow_table *table = table_for(census);

	for (uint32_t i = from; i < to; i++)
		talk(table, census, clients[i]);
	tl_flow_table__drain(table);
	tl_flow_table__destroy(table);
}

static void check(const struct tl_census_report *r)
{
	static const uint8_t busy[4] = { 10, 0, 1, 2 }, many[4] = { 10, 0, 1, 3 };

	cr_expect_eq(r->packets, 50 * 23 + 200 * 4 + 3);
	cr_expect_eq(r->bytes, r->total[TL_CENSUS_BYTES]);
	cr_expect_eq(r->flows, 251);
	cr_expect_eq(r->first_ns, T0);
	cr_expect_eq(r->total[TL_CENSUS_CONNECTIONS], 251);
	cr_expect_eq(memcmp(r->top[TL_CENSUS_BYTES][0].ip, busy, 4), 0);
	cr_expect_eq(r->top[TL_CENSUS_BYTES][0].weight, 50 * (2 * 60 + 20 * 1060));
	cr_expect_eq(memcmp(r->top[TL_CENSUS_CONNECTIONS][0].ip, many, 4), 0);
	cr_expect_eq(r->top[TL_CENSUS_CONNECTIONS][0].weight, 200);
	cr_expect_eq(r->top[TL_CENSUS_CONNECTIONS][0].error, 0);
	cr_expect_float_eq(r->distinct[TL_CENSUS_SOURCES], 4, 0.1);
	cr_expect_float_eq(r->distinct[TL_CENSUS_TUPLES], 251, 5);
	cr_expect_eq(r->spread[TL_CENSUS_PACKET_BYTES].count, r->packets);
	cr_expect_eq(r->spread[TL_CENSUS_PACKET_BYTES].max, 1060);
	cr_expect_eq(r->spread[TL_CENSUS_RTT_SERVER_US].count, 251);
	cr_expect_eq(r->spread[TL_CENSUS_RTT_SERVER_US].min, 4000);
	cr_expect_eq(r->spread[TL_CENSUS_RTT_CLIENT_US].p50, 1000);
	cr_expect_eq(r->spread[TL_CENSUS_FLOW_PACKETS].p50, 4);
}

Test(census, counts_packets_flows_and_who_is_heavy)
{
	struct tl_census_report report;
	struct tl_census *census;

	cr_assert_eq(tl_census__create(&census), 0);
	fill(census, 0, 3);
	tl_census__report(census, &report);
	check(&report);
	tl_census__destroy(census);
}

Test(census, two_workers_say_what_one_would)
{
	struct tl_census_report report;
	struct tl_census *census[2];

	for (int i = 0; i < 2; i++)
		cr_assert_eq(tl_census__create(&census[i]), 0);
	fill(census[0], 1, 3);
	fill(census[1], 0, 1);
	cr_assert_eq(tl_census__merge(census[0], census[1]), 0);
	tl_census__report(census[0], &report);
	check(&report);
	for (int i = 0; i < 2; i++)
		tl_census__destroy(census[i]);
}

Test(census, a_packet_without_a_flow_is_in_the_packets_alone)
{
	struct tl_packet packet = { .wirelen = 64, .ts_ns = T0 };
	struct tl_layers layers = { 0 };
	struct tl_flow_lookup lookup = { .packet = &packet, .layers = &layers };
	struct tl_census_report report;
	struct tl_census *census;

	cr_assert_eq(tl_census__create(&census), 0);
	tl_census__packets(census, &lookup, 1);
	tl_census__report(census, &report);
	cr_expect_eq(report.packets, 1);
	cr_expect_eq(report.no_flow_packets, 1);
	cr_expect_eq(report.flows, 0);
	cr_expect_eq(report.count[TL_CENSUS_BYTES], 0);
	tl_census__destroy(census);
}

Test(census, the_record_names_its_errors)
{
	static const char *const parts[] = {
		"{\"type\":\"stats\",\"event_type\":\"stats\",",
		"\"in_iface\":\"span0\"",
		"\"connections\":[{\"ip\":\"10.0.1.3\",\"connections\":200,\"error\":0,\"share\":0."
		"7968",
		"\"standard_error\":0.0081",
		"\"rtt_server_us\":{\"count\":251,\"min\":4000,",
		"\"relative_error\":0.0156",
	};
	struct tl_census_report report;
	struct tl_census *census;
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cr_assert_eq(tl_census__create(&census), 0);
	fill(census, 0, 3);
	tl_census__report(census, &report);
	cr_assert_eq(tl_census__write_json(&report, "span0", out), 0);
	fflush(out);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		cr_expect_not_null(strstr(text, parts[i]), "%s in %s", parts[i], text);
	cr_expect_eq(strchr(text, '\n'), text + bytes - 1);
	cr_assert_eq(tl_census__write_text(&report, NULL, out), 0);
	fclose(out);
	cr_expect_not_null(strstr(text, "10.0.1.3"));
	free(text);
	tl_census__destroy(census);
}
