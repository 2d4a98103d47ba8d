/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_export */
/* Flow records: the names of EVE, who is source and destination, and three forms that agree. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/export.h"

#define T0 1795341601000000000ull /* 2026-11-22T10:00:01Z */

/* The client is side 1. */
static struct tl_flow flow(void)
{
	return (struct tl_flow){
		.key = { .addr = { { 10, 0, 2, 10 }, { 10, 0, 3, 5 } },
			 .port = { 8080, 40112 },
			 .proto = 6,
			 .ip_version = 4 },
		.first_ns = T0,
		.last_ns = T0 + 7500000000ull,
		.packets = { 10, 12 },
		.bytes = { 5678, 1234 },
		.framing_bytes = { 140, 168 },
		.client = 1,
		.tcp_flags = { 0x1b, 0x12 },
		.state = TL_FLOW_CLOSED,
		.flags = TL_FLOW_CLIENT_SURE,
		.app = TL_APP_HTTP,
		.rtt_server_us = 2000,
		.retransmissions = { 1, 2 },
		.zero_window_ms = { 30, 40 },
		.vlan_count = 1,
		.vlan = { 0x2000 | 12 },
	};
}

typedef int write_fn(const struct tl_flow_record *, FILE *);

static char *written_by(write_fn *write, const struct tl_flow *f, const char *interface)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	struct tl_flow_record record = { .flow = f,
					 .interface = interface,
					 .end = TL_FLOW_END_CLOSED };

	cr_assert_eq(write(&record, out), 0);
	fclose(out);
	return text;
}

Test(export_flow, json_has_the_names_of_eve)
{
	struct tl_flow f = flow();
	char *text = written_by(tl_flow_record__write_json, &f, "span0");
	char *id = strstr(text, "\"flow_id\":");
	static const char *const parts[] = {
		"{\"type\":\"flow\",\"event_type\":\"flow\","
		"\"timestamp\":\"2026-11-22T10:00:08.500000000Z\",\"record\":\"end\",",
		"\"in_iface\":\"span0\",\"vlan\":[12],\"tunnel\":null,"
		"\"src_ip\":\"10.0.3.5\",\"src_port\":40112,"
		"\"dest_ip\":\"10.0.2.10\",\"dest_port\":8080,\"proto\":\"TCP\","
		"\"app_proto\":\"http\",\"flow\":{\"pkts_toserver\":12,\"pkts_toclient\":10,"
		"\"bytes_toserver\":1234,\"bytes_toclient\":5678,"
		"\"ip_bytes_toserver\":1066,\"ip_bytes_toclient\":5538,"
		"\"start\":\"2026-11-22T10:00:01.000000000Z\","
		"\"end\":\"2026-11-22T10:00:08.500000000Z\",\"age\":7,\"state\":\"closed\","
		"\"reason\":\"timeout\",\"end_reason\":\"closed\",\"client_sure\":true},"
		"\"tcp\":{\"tcp_flags\":\"1b\",\"tcp_flags_ts\":\"12\",\"tcp_flags_tc\":\"1b\","
		"\"fin\":true,\"syn\":true,\"psh\":true,\"ack\":true,\"state\":\"closed\","
		"\"midstream\":false,\"rtt_server_us\":2000,\"rtt_client_us\":null,"
		"\"retransmissions_toserver\":2,\"retransmissions_toclient\":1,"
		"\"zero_window_ms_client\":40,\"zero_window_ms_server\":30},"
		"\"community_id\":\"1:"
	};

	cr_assert_not_null(id);
	for (size_t i = 0; i < 2; i++)
		cr_expect_not_null(strstr(text, parts[i]), "part %zu of %s", i, text);
	free(text);
}

/* A file's interface may be called anything. */
Test(export_flow, json_escapes_the_name_of_an_interface)
{
	struct tl_flow f = flow();
	char longest[TL_IFNAME_MAX];
	char *text = written_by(tl_flow_record__write_json, &f,
				"a\"b\\\n\x01\xff"
				"c");

	cr_expect_not_null(strstr(text, "\"in_iface\":\"a\\\"b\\\\\\n\\u0001\xef\xbf\xbd"
					"c\",\"vlan\""),
			   "%s", text);
	free(text);
	memset(longest, 1, sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	text = written_by(tl_flow_record__write_json, &f, longest);
	cr_expect_eq(strlen(strstr(text, "\\u0001")) - strlen(strstr(text, "\",\"vlan\"")),
		     6 * (sizeof(longest) - 1));
	free(text);
}

Test(export_flow, numbers_are_written_whole)
{
	static const uint64_t values[] = { 0,	      9,     10,     99,      100,
					   101,	      65535, 999999, 1000000, 12345678901234567ull,
					   UINT64_MAX };
	struct tl_flow f = flow();

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char wanted[64], *text;

		f.packets[1] = values[i];
		snprintf(wanted, sizeof(wanted), "\"pkts_toserver\":%llu,",
			 (unsigned long long)values[i]);
		text = written_by(tl_flow_record__write_json, &f, NULL);
		cr_expect_not_null(strstr(text, wanted), "%s in %s", wanted, text);
		free(text);
	}
}

Test(export_flow, fragments_are_told_where_there_were_some)
{
	struct tl_flow f = flow();
	char *text = written_by(tl_flow_record__write_json, &f, NULL);

	cr_expect_null(strstr(text, "fragments"));
	free(text);
	f.flags |= TL_FLOW_FRAGMENTS | TL_FLOW_FRAGMENT_OVERLAP | TL_FLOW_FRAGMENT_INVALID;
	text = written_by(tl_flow_record__write_json, &f, NULL);
	cr_expect_not_null(strstr(text, ",\"fragments\":{\"overlap\":true,\"tiny\":false,"
					"\"invalid\":true}},\"tcp\":"));
	free(text);
	text = written_by(tl_flow_record__write_csv, &f, NULL);
	cr_expect_not_null(strstr(text, ",1066,5538,seen.overlap.invalid\n"));
	free(text);
}

Test(export_flow, udp_has_no_tcp_object_and_icmp_has_a_type)
{
	struct tl_flow f = flow();
	char *text;

	f.key.proto = 17;
	text = written_by(tl_flow_record__write_json, &f, NULL);
	cr_expect_null(strstr(text, "\"tcp\":"));
	cr_expect_not_null(strstr(text, "\"proto\":\"UDP\""));
	cr_expect_not_null(strstr(text, "\"in_iface\":null"));
	free(text);
	f.key.proto = 1;
	f.key.port[0] = 0;
	f.key.port[1] = 8;
	text = written_by(tl_flow_record__write_json, &f, NULL);
	cr_expect_not_null(strstr(text, "\"icmp_type\":8"));
	cr_expect_null(strstr(text, "src_port"));
	cr_expect_null(strstr(text, "icmp_code"), "the other port is the answer's type");
	free(text);
}

static size_t count_commas(const char *text)
{
	size_t n = 0;

	for (; *text && *text != '\n'; text++)
		n += *text == ',';
	return n;
}

Test(export_flow, every_csv_line_has_the_columns_of_the_header)
{
	struct tl_flow f = flow();
	char *header = NULL, *text;
	size_t bytes, columns;
	FILE *out = open_memstream(&header, &bytes);

	cr_assert_eq(tl_flow_record__write_csv_header(out), 0);
	fclose(out);
	columns = count_commas(header);
	for (int i = 0; i < 2; i++) {
		text = written_by(tl_flow_record__write_csv, &f, i ? NULL : "span0");
		cr_expect_eq(count_commas(text), columns, "%s", text);
		cr_expect_not_null(strstr(text, "10.0.3.5,40112,10.0.2.10,8080,"));
		free(text);
		f.key.proto = 17;
		f.tunnel_type = TL_TUNNEL_VXLAN;
		f.vlan_count = 2;
	}
	text = written_by(tl_flow_record__write_csv, &f, "a\"b");
	cr_expect_not_null(strstr(text, ",\"a\"\"b\","), "%s", text);
	free(text);
	free(header);
}

Test(export_flow, a_flow_that_goes_on_has_no_reason_to_end)
{
	struct tl_flow f = flow();
	struct tl_flow_record record = { .flow = &f,
					 .kind = TL_FLOW_RECORD_ACTIVE,
					 .ts_ns = T0 + 60000000000ull };
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cr_assert_eq(tl_flow_record__write_json(&record, out), 0);
	fflush(out);
	cr_expect_not_null(strstr(text, "\"timestamp\":\"2026-11-22T10:01:01.000000000Z\","
					"\"record\":\"active\""));
	cr_expect_not_null(strstr(text, "\"reason\":null,\"end_reason\":null"));
	rewind(out);
	cr_assert_eq(tl_flow_record__write_csv(&record, out), 0);
	fclose(out);
	cr_expect_not_null(strstr(text, ",active,2026-11-22T10:01:01.000000000Z,1066,5538,\n"));
	free(text);
}

Test(export_flow, text_is_one_line_with_the_client_first)
{
	struct tl_flow f = flow();
	char *text = written_by(tl_flow_record__write_text, &f, "span0");

	cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1);
	cr_expect_lt(strstr(text, "10.0.3.5:40112"), strstr(text, "10.0.2.10:8080"));
	cr_expect_not_null(strstr(text, "7.5 s"));
	free(text);
}
