/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_export */
/* The closing summary: every field of the contract, and equations that anyone can check. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_tree.h>

#include "tapline/export.h"

static char *files[] = { "a_00001.pcapng", "a \"quoted\".pcapng" };

static struct tl_run_summary recorded(void)
{
	struct tl_run_summary s = {
		.backend = "afpacket",
		.mode = "TPACKET_V3, 2 sockets",
		.interface = "span0,span1",
		.filter = "tcp",
		.duration_s = 12.3456,
		.source = { .received = 1234000,
			    .filtered = 4000,
			    .captured = 1229000,
			    .dropped = { .nic = 1,
					 .ring_full = 900,
					 .fill_empty = 90,
					 .kernel = 9 },
			    .received_bytes = 99,
			    .captured_bytes = 98 },
		.interface_count = 2,
		.interface_names = { "span0", "span1" },
		.recording = true,
		.recorder = { .written = 1228000,
			      .dropped_writer = 1000,
			      .written_bytes = 97,
			      .file_count = 2,
			      .files = files,
			      .io = "io_uring" },
		.notes = { "GRO turned off" },
		.note_count = 1,
	};

	s.per_interface[1].received = s.per_interface[1].captured = 34;
	return s;
}

static char *written_by(int (*write)(const struct tl_run_summary *, FILE *),
			const struct tl_run_summary *summary)
{
	char *text = NULL;
	size_t bytes;
	FILE *out = open_memstream(&text, &bytes);

	cr_assert_eq(write(summary, out), 0);
	fclose(out);
	return text;
}

static yajl_val get(yajl_val value, const char *key)
{
	const char *path[] = { key, NULL };
	yajl_val found = yajl_tree_get(value, path, yajl_t_any);

	cr_assert_not_null(found, "no %s", key);
	return found;
}

static long long number(yajl_val value, const char *key)
{
	return YAJL_GET_INTEGER(get(value, key));
}

static yajl_val parsed(const struct tl_run_summary *summary)
{
	char error[256] = "", *text = written_by(tl_summary__write_json, summary);
	yajl_val value = yajl_tree_parse(text, error, sizeof(error));

	cr_assert_not_null(value, "%s", error);
	cr_assert_eq(strchr(text, '\n'), text + strlen(text) - 1, "one line");
	free(text);
	return value;
}

Test(summary, json_has_the_fields_of_the_contract_in_their_order)
{
	static const char *const fields[] = { "type",	"interface",  "backend", "mode",
					      "filter", "duration_s", "packets", "bytes",
					      "files",	"notes" };
	static const char *const packets[] = { "received", "filtered", "sampled_out", "cut_off",
					       "captured", "written",  "dropped" };
	static const char *const dropped[] = { "nic", "ring_full", "fill_empty", "kernel",
					       "writer" };
	struct tl_run_summary summary = recorded();
	yajl_val value = parsed(&summary), p = get(value, "packets");

	for (size_t i = 0; i < 10; i++)
		cr_expect_str_eq(YAJL_GET_OBJECT(value)->keys[i], fields[i]);
	for (size_t i = 0; i < 7; i++)
		cr_expect_str_eq(YAJL_GET_OBJECT(p)->keys[i], packets[i]);
	for (size_t i = 0; i < 5; i++)
		cr_expect_str_eq(YAJL_GET_OBJECT(get(p, "dropped"))->keys[i], dropped[i]);
	cr_expect_str_eq(YAJL_GET_STRING(get(value, "type")), "summary");
	cr_expect_float_eq(YAJL_GET_DOUBLE(get(value, "duration_s")), 12.346, 1e-9);
	cr_expect_eq(number(get(value, "bytes"), "written"), 97);
	cr_expect_str_eq(YAJL_GET_STRING(YAJL_GET_ARRAY(get(value, "files"))->values[1]), files[1]);
	cr_expect_eq(YAJL_GET_ARRAY(get(value, "notes"))->len, 1);
	cr_expect_eq(number(YAJL_GET_ARRAY(get(value, "interfaces"))->values[1], "received"), 34);
	yajl_tree_free(value);
}

Test(summary, the_equations_hold_in_what_is_printed)
{
	struct tl_run_summary summary = recorded();
	yajl_val value = parsed(&summary), p = get(value, "packets"), d = get(p, "dropped");

	cr_expect_eq(number(p, "received"), number(p, "filtered") + number(p, "sampled_out") +
						    number(p, "cut_off") + number(p, "captured") +
						    number(d, "nic") + number(d, "ring_full") +
						    number(d, "fill_empty") + number(d, "kernel"));
	cr_expect_eq(number(p, "captured"), number(p, "written") + number(d, "writer"));
	yajl_tree_free(value);
}

Test(summary, without_a_recorder_nothing_is_written_and_a_note_says_so)
{
	struct tl_run_summary summary = recorded();
	yajl_val value, p;

	summary.recording = false;
	value = parsed(&summary);
	p = get(value, "packets");
	cr_expect_eq(number(p, "written"), 0);
	cr_expect_eq(number(get(p, "dropped"), "writer"), 0);
	cr_expect_eq(YAJL_GET_ARRAY(get(value, "files"))->len, 0);
	cr_assert_eq(YAJL_GET_ARRAY(get(value, "notes"))->len, 2);
	cr_expect_str_eq(YAJL_GET_STRING(YAJL_GET_ARRAY(get(value, "notes"))->values[1]),
			 "nothing was recorded: no -w");
	yajl_tree_free(value);
}

Test(summary, text_shows_both_equations)
{
	struct tl_run_summary summary = recorded();
	char *text = written_by(tl_summary__write_text, &summary);

	cr_expect_not_null(strstr(text, "1,234,000 received = 4,000 filtered + "
					"1 dropped by the NIC + 900 dropped, ring full + "
					"90 dropped, no free frame + 9 dropped by the kernel + "
					"1,229,000 captured\n"),
			   "%s", text);
	cr_expect_not_null(strstr(text, "1,229,000 captured = 1,000 dropped by the writer + "
					"1,228,000 written\n"),
			   "%s", text);
	cr_expect_null(strstr(text, "off by"));
	cr_expect_not_null(strstr(text, "GRO turned off"));
	free(text);
}

Test(summary, an_equation_that_does_not_hold_is_not_hidden)
{
	struct tl_run_summary summary = recorded();
	char *text;

	summary.source.received += 7;
	text = written_by(tl_summary__write_text, &summary);
	cr_expect_not_null(strstr(text, "off by 7"), "%s", text);
	free(text);
}

Test(summary, an_empty_run_is_told_as_such)
{
	struct tl_run_summary summary = { .backend = "file", .interface = "x.pcap" };
	char *text = written_by(tl_summary__write_text, &summary);

	cr_expect_not_null(strstr(text, "0 received = 0 captured\n"), "%s", text);
	free(text);
}

Test(summary, a_full_disk_is_an_error)
{
	struct tl_run_summary summary = recorded();
	FILE *full = fopen("/dev/full", "w");

	cr_assert_not_null(full);
	cr_expect_eq(tl_summary__write_json(&summary, full), -EIO);
	fclose(full);
}
