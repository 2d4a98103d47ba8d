/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_export */
/* The finding writer: its fields, their order, the ranking, and what it does at its limits. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

#include "tapline/export.h"

#define T0 1795341601000000000ull /* 2026-11-22T10:00:01Z */

static const struct tl_interface span0 = { .name = "span0" };
static const struct tl_interface nameless = { .name = "" };

static const struct tl_interface *interface(void *ctx, uint32_t index)
{
	(void)ctx;
	return index == 0 ? &span0 : &nameless;
}

static const struct tl_interface *(*interfaces)(void *ctx, uint32_t index) = interface;

static struct tl_finding finding(const char *kind, enum tl_severity severity)
{
	struct tl_finding f = {
		.kind = kind,
		.severity = severity,
		.confidence = 0.97,
		.first_ns = T0,
		.last_ns = T0 + 7000000000ull,
		.count = 1,
		.id = 0xab,
		.subject = { .client = { .ip_version = 4, .ip = { 10, 0, 1, 5 }, .port = 40112 },
			     .server = { .ip_version = 4, .ip = { 10, 0, 2, 10 }, .port = 8080 },
			     .proto = 6,
			     .vlan_count = 1,
			     .vlan = { 12 } },
		.summary = "10.0.1.5 sent 4 SYNs",
		.cause = "a firewall drops the SYN",
		.next = "look at the firewall",
		.display_filter = "tcp.port==40112",
		.evidence_count = 1,
		.evidence = { { .frame = 12, .ts_ns = T0, .what = "SYN, seq 1001" } },
		.detail_count = 1,
		.details = { { .name = "syn_count", .type = TL_DETAIL_U64, .u64 = 4 } },
	};

	return f;
}

struct run {
	char *text;
	size_t bytes;
	FILE *out;
	struct tl_finding_writer *writer;
	struct tl_record_sink sink;
};

/* In place: the stream keeps the addresses of `text` and `bytes`. */
static void start(struct run *run, bool json, bool live)
{
	struct tl_finding_writer_opts opts = { .json = json,
					       .live = live,
					       .interface = interfaces };

	*run = (struct run){ 0 };
	run->out = open_memstream(&run->text, &run->bytes);
	opts.out = run->out;
	cr_assert_eq(tl_finding_writer__create(&opts, &run->writer), 0);
	run->sink = tl_finding_writer__sink(run->writer);
}

static int finish(struct run *run)
{
	int severity = tl_finding_writer__finish(run->writer);

	fflush(run->out);
	return severity;
}

static void clean_up(struct run *run)
{
	tl_finding_writer__destroy(run->writer);
	fclose(run->out);
	free(run->text);
}

Test(finding_writer, json_has_the_fields_of_the_contract_in_their_order)
{
	struct run run;
	struct tl_finding f = finding("connect.no_answer", TL_ERROR);

	start(&run, true, false);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	cr_expect_eq(finish(&run), TL_ERROR);
	cr_expect_str_eq(
		run.text,
		"{\"type\":\"finding\",\"kind\":\"connect.no_answer\",\"severity\":\"error\","
		"\"confidence\":0.97,\"first\":\"2026-11-22T10:00:01.000000000Z\","
		"\"last\":\"2026-11-22T10:00:08.000000000Z\",\"count\":1,"
		"\"client\":{\"ip\":\"10.0.1.5\",\"port\":40112},"
		"\"server\":{\"ip\":\"10.0.2.10\",\"port\":8080},\"proto\":\"tcp\","
		"\"community_id\":\"1:THPh727UnBRxyfoyrJ/rH1i6W/s=\",\"interface\":\"span0\","
		"\"vlan\":[12],\"tunnel\":null,\"summary\":\"10.0.1.5 sent 4 SYNs\","
		"\"cause\":\"a firewall drops the SYN\",\"next\":\"look at the firewall\","
		"\"evidence\":[{\"frame\":12,\"time\":\"2026-11-22T10:00:01.000000000Z\","
		"\"what\":\"SYN, seq 1001\"}],\"counter_evidence\":[],"
		"\"display_filter\":\"tcp.port==40112\",\"id\":\"00000000000000ab\","
		"\"details\":{\"syn_count\":4}}\n");
	clean_up(&run);
}

static yajl_val parse(const char *line)
{
	char error[256] = "", *copy = strdup(line), *end = strchr(copy, '\n');
	yajl_val value;

	if (end)
		*end = 0;
	value = yajl_tree_parse(copy, error, sizeof(error));
	cr_assert_not_null(value, "%s in %s", error, copy);
	free(copy);
	return value;
}

static yajl_val get(yajl_val value, const char *key)
{
	const char *path[] = { key, NULL };
	yajl_val found = yajl_tree_get(value, path, yajl_t_any);

	cr_assert_not_null(found, "no %s", key);
	return found;
}

Test(finding_writer, json_says_null_for_what_is_not_known)
{
	struct run run;
	struct tl_finding f = finding("mirror.loss", TL_INFO);
	yajl_val value;

	start(&run, true, false);
	memset(&f.subject, 0, sizeof(f.subject));
	f.subject.interface = 1;
	f.subject.tunnel_type = TL_TUNNEL_VXLAN;
	f.subject.tunnel_id = 5;
	f.evidence[0].frame = 0;
	f.details[0] =
		(struct tl_detail){ .name = "share", .type = TL_DETAIL_F64, .f64 = 0.0 / 0.0 };
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	cr_expect_eq(finish(&run), TL_INFO);
	value = parse(run.text);
	cr_expect(YAJL_IS_NULL(get(value, "client")));
	cr_expect(YAJL_IS_NULL(get(value, "server")));
	cr_expect(YAJL_IS_NULL(get(value, "proto")));
	cr_expect(YAJL_IS_NULL(get(value, "community_id")));
	cr_expect(YAJL_IS_NULL(get(value, "interface")));
	cr_expect_eq(YAJL_GET_ARRAY(get(value, "vlan"))->len, 0);
	cr_expect_str_eq(YAJL_GET_STRING(get(get(value, "tunnel"), "type")), "vxlan");
	cr_expect_eq(YAJL_GET_INTEGER(get(get(value, "tunnel"), "id")), 5);
	cr_expect(YAJL_IS_NULL(get(YAJL_GET_ARRAY(get(value, "evidence"))->values[0], "frame")));
	cr_expect(YAJL_IS_NULL(get(get(value, "details"), "share")));
	yajl_tree_free(value);
	clean_up(&run);
}

Test(finding_writer, a_group_of_clients_has_no_community_id)
{
	struct run run;
	struct tl_finding f = finding("tcp.idle_timeout", TL_WARNING);
	yajl_val value;

	start(&run, true, false);
	f.subject.client.port = 0;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	finish(&run);
	value = parse(run.text);
	cr_expect(YAJL_IS_NULL(get(value, "community_id")));
	yajl_tree_free(value);
	clean_up(&run);
}

Test(finding_writer, bytes_that_are_not_utf8_leave_as_valid_json)
{
	struct run run;
	struct tl_finding f = finding("dns.error", TL_WARNING);
	yajl_val value;

	start(&run, true, false);
	snprintf(f.summary, sizeof(f.summary), "a\xff\xc0\xaf\"\\\x01\xc3\xa4\xed\xa0\x80z");
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	finish(&run);
	value = parse(run.text);
	cr_expect_str_eq(YAJL_GET_STRING(get(value, "summary")),
			 "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"\\\x01\xc3\xa4"
			 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
	yajl_tree_free(value);
	clean_up(&run);
}

Test(finding_writer, text_cannot_drive_a_terminal)
{
	struct run run;
	struct tl_finding f = finding("http.error", TL_ERROR);

	start(&run, false, false);
	snprintf(f.summary, sizeof(f.summary),
		 "GET /\033]0;x\007\xc2\x9b"
		 "2J\n");
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	finish(&run);
	cr_expect_null(strchr(run.text, '\033'));
	cr_expect_null(strchr(run.text, '\007'));
	cr_expect_null(strstr(run.text, "\xc2\x9b"));
	cr_expect_not_null(strstr(run.text, "GET /"));
	clean_up(&run);
}

static const char *const ranked_kinds[] = { "e.often", "e.early", "e.late", "w.a", "w.b", "i" };

/* The same six findings in an order that depends on `seed`. */
static char *write_shuffled(unsigned int seed)
{
	struct run run;
	struct tl_finding f[6];
	char *text;

	start(&run, true, false);
	for (int i = 0; i < 6; i++)
		f[i] = finding(ranked_kinds[i], i < 3 ? TL_ERROR : i < 5 ? TL_WARNING : TL_INFO);
	f[0].count = 3;
	f[2].first_ns++;
	f[5].count = 100;
	for (unsigned int i = 0; i < 6; i++)
		run.sink.finding(run.sink.ctx, &f[(i * 5 + seed) % 6], TL_FINDING_SETTLED);
	finish(&run);
	text = strdup(run.text);
	clean_up(&run);
	return text;
}

Test(finding_writer, ranking_does_not_depend_on_the_order_of_arrival)
{
	char *first = write_shuffled(0);
	const char *at = first;

	for (int i = 0; i < 6; i++) {
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "\"kind\":\"%s\"", ranked_kinds[i]);
		at = strstr(at, wanted);
		cr_assert_not_null(at, "%s is not in its place", ranked_kinds[i]);
	}
	for (unsigned int seed = 1; seed < 6; seed++) {
		char *again = write_shuffled(seed);

		cr_expect_str_eq(again, first);
		free(again);
	}
	free(first);
}

Test(finding_writer, live_tells_an_open_finding_at_once_and_again_when_settled)
{
	struct run run;
	struct tl_finding f = finding("tcp.zero_window", TL_WARNING);

	start(&run, true, true);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	cr_expect_eq(strncmp(run.text, "{\"type\":\"finding_open\",", 23), 0);
	f.count = 2;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	cr_expect_not_null(strstr(run.text, "\n{\"type\":\"finding\","));
	cr_expect_eq(finish(&run), TL_WARNING);
	clean_up(&run);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what))) {
		n++;
		text++;
	}
	return n;
}

Test(finding_writer, live_text_tells_it_whole_once_then_a_line_for_each_update)
{
	struct run run;
	struct tl_finding f = finding("tcp.zero_window", TL_WARNING);
	struct tl_finding other = finding("service.crash", TL_ERROR);
	size_t whole;

	start(&run, false, true);
	other.id = 0xcd;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	cr_expect_eq(strncmp(run.text, "(still going on) WARNING  tcp.zero_window\n", 42), 0);
	cr_expect_eq(count_of(run.text, "wireshark"), 1);
	whole = run.bytes;
	f.count = 1200;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	cr_expect_str_eq(run.text + whole, "10:00:08.000  still tcp.zero_window: "
					   "10.0.1.5 sent 4 SYNs (1,200 times)\n");
	run.sink.finding(run.sink.ctx, &other, TL_FINDING_OPEN);
	cr_expect_eq(count_of(run.text, "wireshark"), 2, "another finding is told whole");
	whole = run.bytes;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	run.sink.finding(run.sink.ctx, &other, TL_FINDING_SETTLED);
	cr_expect_eq(run.bytes, whole, "what settles waits for the report");
	cr_expect_eq(finish(&run), TL_ERROR);
	cr_expect_eq(count_of(run.text + whole, "wireshark"), 2, "the report has each whole");
	cr_expect_eq(count_of(run.text + whole, "still"), 0);
	cr_expect_lt(strstr(run.text + whole, "service.crash"),
		     strstr(run.text + whole, "tcp.zero_window"), "the gravest first");
	clean_up(&run);
}

Test(finding_writer, live_text_tells_what_comes_back_after_it_settled_whole_again)
{
	struct run run;
	struct tl_finding f = finding("tcp.zero_window", TL_WARNING);

	start(&run, false, true);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	cr_expect_eq(count_of(run.text, "wireshark"), 2);
	cr_expect_eq(count_of(run.text, "  still "), 0);
	finish(&run);
	clean_up(&run);
}

Test(finding_writer, an_open_finding_of_a_file_is_not_told)
{
	struct run run;
	struct tl_finding f = finding("tcp.zero_window", TL_WARNING);

	start(&run, true, false);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	cr_expect_eq(finish(&run), -1);
	cr_expect_eq(run.bytes, 0);
	clean_up(&run);
}

Test(finding_writer, beyond_the_cap_the_gravest_are_kept_and_the_rest_counted)
{
	struct tl_capture_quality quality = { .packets = 1 };
	struct run run;
	struct tl_finding f = finding("traffic.periodic", TL_INFO);
	yajl_val value;

	start(&run, true, false);
	for (int i = 0; i < 5000; i++) {
		f.id = (uint64_t)i;
		run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	}
	f = finding("service.crash", TL_ERROR);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	run.sink.quality(run.sink.ctx, &quality);
	cr_expect_eq(finish(&run), TL_ERROR);
	cr_expect_eq(count_of(run.text, "\"type\":\"finding\""), 4096);
	cr_expect_eq(count_of(run.text, "service.crash"), 1);
	value = parse(strstr(run.text, "{\"type\":\"capture_quality\""));
	cr_expect_eq(YAJL_GET_INTEGER(get(value, "findings_not_listed")), 5001 - 4096);
	yajl_tree_free(value);
	clean_up(&run);
}

Test(finding_writer, quality_closes_with_every_field)
{
	static const char *const fields[] = { "packets",
					      "bytes",
					      "flows",
					      "tcp_flows",
					      "one_way_flows",
					      "one_way_share",
					      "midstream_flows",
					      "copies_removed",
					      "missed_bytes",
					      "missed_segments",
					      "truncated_packets",
					      "malformed_packets",
					      "not_ip",
					      "flows_evicted",
					      "analysis_shed_packets",
					      "observations_lost",
					      "dropped",
					      "cannot_judge",
					      "first",
					      "last" };
	struct tl_capture_quality quality = { .packets = 3,
					      .one_way_share = 0.25,
					      .dropped_writer = 9,
					      .cannot_judge = { "RTT: one direction only" },
					      .cannot_judge_count = 1 };
	struct run run;
	yajl_val value;

	start(&run, true, false);
	run.sink.quality(run.sink.ctx, &quality);
	cr_expect_eq(finish(&run), -1);
	value = parse(run.text);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		cr_expect_str_eq(YAJL_GET_OBJECT(value)->keys[i + 1], fields[i]);
	cr_expect_eq(YAJL_GET_INTEGER(get(get(value, "dropped"), "writer")), 9);
	cr_expect_eq(YAJL_GET_DOUBLE(get(value, "one_way_share")), 0.25);
	yajl_tree_free(value);
	clean_up(&run);
}

Test(finding_writer, text_says_that_no_fault_was_found_and_in_how_much)
{
	struct tl_capture_quality quality = {
		.packets = 12345, .flows = 210, .first_ns = T0, .last_ns = T0 + 60000000000ull
	};
	struct run run;

	start(&run, false, false);
	run.sink.quality(run.sink.ctx, &quality);
	cr_expect_eq(finish(&run), -1);
	cr_expect_str_eq(run.text, "No fault found in 12,345 packets, 210 flows, 60.0 s.\n"
				   "Capture: complete; nothing was dropped or missed.\n");
	clean_up(&run);
}

Test(finding_writer, text_tells_the_whole_finding)
{
	static const char *const parts[] = {
		"ERROR  connect.no_answer",
		"10.0.1.5 sent 4 SYNs",
		"2026-11-22 10:00:01.000 UTC, for 7.0 s",
		"10.0.1.5:40112 -> 10.0.2.10:8080, tcp, on span0, VLAN 12",
		"a firewall drops the SYN (97 % sure)",
		"frame 12, 10:00:01.000: SYN, seq 1001",
		"look at the firewall",
		"tcp.port==40112",
		"Found 1 error in 0 packets",
		"7 packets dropped by the kernel",
		"Not judged: RTT"
	};
	struct tl_capture_quality quality = { .dropped.kernel = 7,
					      .cannot_judge = { "RTT" },
					      .cannot_judge_count = 1 };
	struct run run;
	struct tl_finding f = finding("connect.no_answer", TL_ERROR);

	start(&run, false, false);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	run.sink.quality(run.sink.ctx, &quality);
	finish(&run);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		cr_expect_not_null(strstr(run.text, parts[i]), "no \"%s\" in\n%s", parts[i],
				   run.text);
	cr_expect_null(strchr(run.text, '\033'), "color though none was asked for");
	clean_up(&run);
}

Test(finding_writer, a_full_disk_is_an_error)
{
	FILE *full = fopen("/dev/full", "w");
	struct tl_finding_writer_opts opts = { .out = full, .json = true };
	struct tl_finding f = finding("dns.slow", TL_WARNING);
	struct tl_finding_writer *writer;
	struct tl_record_sink sink;

	cr_assert_not_null(full);
	cr_assert_eq(tl_finding_writer__create(&opts, &writer), 0);
	sink = tl_finding_writer__sink(writer);
	sink.finding(sink.ctx, &f, TL_FINDING_SETTLED);
	cr_expect_eq(tl_finding_writer__finish(writer), -EIO);
	tl_finding_writer__destroy(writer);
	fclose(full);
}

Test(finding_writer, live_tells_what_is_withdrawn_to_whom_it_told_it)
{
	struct run run;
	struct tl_finding f = finding("app.no_response", TL_WARNING);
	size_t whole;

	start(&run, true, true);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_WITHDRAWN);
	cr_expect_not_null(strstr(run.text, "\n{\"type\":\"finding_withdrawn\","));
	cr_expect_eq(finish(&run), -1, "it does not count");
	clean_up(&run);

	start(&run, false, true);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_WITHDRAWN);
	cr_expect_eq(run.bytes, 0);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_OPEN);
	whole = run.bytes;
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_WITHDRAWN);
	cr_expect_not_null(strstr(run.text + whole, "withdrawn, app.no_response: "));
	finish(&run);
	clean_up(&run);
}

static const struct tl_interface *only_interface(void *ctx, uint32_t index)
{
	(void)ctx;
	return index == 0 ? &span0 : NULL;
}

Test(finding_writer, what_is_of_no_one_flow_names_an_interface_only_where_there_is_one)
{
	struct run run;
	struct tl_finding f = finding("traffic.microburst", TL_INFO);

	f.subject.interface = TL_INTERFACE_ALL;
	start(&run, true, false);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	finish(&run);
	cr_expect_not_null(strstr(run.text, "\"interface\":null,"), "one of two: %s", run.text);
	clean_up(&run);

	interfaces = only_interface;
	start(&run, true, false);
	run.sink.finding(run.sink.ctx, &f, TL_FINDING_SETTLED);
	finish(&run);
	cr_expect_not_null(strstr(run.text, "\"interface\":\"span0\","), "the only one: %s",
			   run.text);
	clean_up(&run);
}
