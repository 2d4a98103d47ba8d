/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_cli */
/* Command lines as people type them, tcpdump's and dumpcap's habits included. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "run_options.h"

static const struct option_group *groups(void)
{
	static struct option_group all[4];

	all[0] = run_options__source;
	all[1] = run_options__reduction;
	all[2] = run_options__recorder;
	all[3] = run_options__analysis;
	return all;
}

/* Parses "capture ARGS…"; splits at blanks. */
static int parse(const char *text, struct run_options *ret_options, struct tl_error *ret_error)
{
	static char copy[512];
	char *argv[64] = { "capture" };
	struct option_table table = { groups(), 4 };
	struct command_line line = { .argv = argv };
	int argc = 1;
	int err;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
		argv[argc++] = word;
	*ret_options = (struct run_options)RUN_OPTIONS_INIT;
	line.argc = argc;
	err = options__parse(&table, &line, ret_options, ret_error);
	return err ? err : run_options__finish(ret_options, &line, ret_error);
}

Test(options, tcpdump_habits)
{
	struct run_options o;
	struct tl_error error;

	cr_assert_eq(parse("-nni eth0 -s0 -c100 -w x.pcapng tcp port 80", &o, &error), 0, "%s",
		     error.what);
	cr_expect_str_eq(o.interfaces.at[0], "eth0");
	cr_expect_eq(o.snaplen, 0u);
	cr_expect_eq(o.stop.packets, 100u);
	cr_expect_str_eq(o.filter, "tcp port 80");
	run_options__free(&o);
}

Test(options, options_may_follow_the_filter)
{
	struct run_options o;
	struct tl_error error;

	cr_assert_eq(parse("-i a icmp --json -i b", &o, &error), 0, "%s", error.what);
	cr_expect(o.json);
	cr_expect_eq(o.interfaces.count, 2u);
	cr_expect_str_eq(o.filter, "icmp");
	run_options__free(&o);
}

Test(options, rotation_units)
{
	struct tl_engine_opts engine;
	struct tl_recorder_opts recorder;
	struct run_options o;
	struct tl_error error;

	cr_assert_eq(parse("-i a -w f -C 10 -W 3", &o, &error), 0, "%s", error.what);
	run_options__to_engine(&o, &engine, &recorder);
	cr_expect_eq(recorder.rotate.bytes, 10000000u, "tcpdump's -C counts millions");
	cr_expect_eq(recorder.rotate.files, 3u);
	cr_expect_eq(recorder.naming, TL_NAME_TCPDUMP);
	run_options__free(&o);

	cr_assert_eq(parse("-i a -w f -b filesize:500 -b files:4 -a duration:1.5", &o, &error), 0);
	run_options__to_engine(&o, &engine, &recorder);
	cr_expect_eq(recorder.rotate.bytes, 500000u, "dumpcap's filesize is in kB");
	cr_expect_eq(recorder.rotate.files, 4u);
	cr_expect_eq(recorder.stop.duration_ns, 1500000000u);
	cr_expect_eq(recorder.naming, TL_NAME_DUMPCAP);
	run_options__free(&o);

	cr_assert_eq(parse("-i a -w f%s -G 60 -W 2", &o, &error), 0);
	run_options__to_engine(&o, &engine, &recorder);
	cr_expect_eq(recorder.rotate.duration_ns, 60000000000u);
	cr_expect(recorder.stop_after_files, "-G with -W ends after N files");
	run_options__free(&o);
}

Test(options, sizes_and_times)
{
	uint64_t v;

	cr_expect_eq(options__parse_size("10M", &v), 0);
	cr_expect_eq(v, 10u << 20);
	cr_expect_eq(options__parse_size("2GiB", &v), 0);
	cr_expect_eq(v, 2ull << 30);
	cr_expect_eq(options__parse_size("99999999999G", &v), -EINVAL, "overflow");
	cr_expect_eq(options__parse_size("ten", &v), -EINVAL);
	cr_expect_eq(options__parse_size("-1", &v), -EINVAL);
	cr_expect_eq(options__parse_time("90", &v), 0);
	cr_expect_eq(v, 90000000000u);
	cr_expect_eq(options__parse_time("500ms", &v), 0);
	cr_expect_eq(v, 500000000u);
	cr_expect_eq(options__parse_time("5x", &v), -EINVAL);
	cr_expect_eq(options__parse_u64("18446744073709551616", &v), -EINVAL);
}

Test(options, what_is_wrong_is_named)
{
	static const struct {
		const char *line;
		const char *names;
	} cases[] = {
		{ "--nonsense", "--nonsense" },
		{ "-i", "-i" },
		{ "-i a -c many", "many" },
		{ "-i a --backend dpdk", "--backend" },
		{ "-i a -C 5", "-w" },
		{ "-i a -w - -b duration:5", "-w" },
		{ "-i a -w x -b size:5", "-b" },
		{ "-i a -w x -b filesize:0", "-b" },
		{ "-i a -w x -W 5", "-W" },
		{ "-i a -w - --summary -", "--summary" },
		{ "-i a -F /nonexistent/filter", "-F" },
		{ "-i a -s 99999999999", "-s" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tl_error error = { "" };
		struct run_options o;

		cr_expect_eq(parse(cases[i].line, &o, &error), -EINVAL, "%s", cases[i].line);
		cr_expect(strstr(error.what, cases[i].names), "%s: %s", cases[i].line, error.what);
		run_options__free(&o);
	}
}

/* A ring may have as many files as the command line holds. */
Test(options, a_list_has_no_end)
{
	char names[1000][8];
	struct string_list list = { 0 };

	for (uint32_t i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof(names[i]), "f%u", i);
		cr_assert_eq(string_list__add(&list, names[i]), 0);
	}
	cr_assert_eq(list.count, 1000);
	for (uint32_t i = 0; i < 1000; i++)
		cr_expect_str_eq(list.at[i], names[i]);
	string_list__free(&list);
}
