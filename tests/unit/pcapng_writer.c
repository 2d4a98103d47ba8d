/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_sink */
/* The bytes of the recorder's files: blocks, options, counters, as other programs read them. */
#include "unit/recorder_walk.h"

static const char *folder;
static char path[256];

static void setup(void)
{
	folder = test_folder();
	snprintf(path, sizeof(path), "%s/a.pcapng", folder);
}

static void teardown(void)
{
	remove_folder(folder);
}

TestSuite(pcapng_writer, .init = setup, .fini = teardown);

/* each way to write */
static const struct tl_recorder_opts ways[] = {
	{ .io = TL_IO_URING },
	{ .io = TL_IO_URING, .no_direct = true },
	{ .io = TL_IO_PWRITE },
	{ .io = TL_IO_PWRITE, .no_direct = true },
};

Test(pcapng_writer, header_alone_is_a_file_when_create_returns)
{
	for (size_t i = 0; i < 4; i++) {
		struct tl_recorder_opts opts = ways[i];
		struct tl_recorder *r;
		struct walk w;

		opts.path = path;
		r = start(opts);
		w = walk_file(path);
		cr_expect_null(w.wrong, "%s", w.wrong);
		cr_expect_eq(w.sections, 1);
		cr_expect_eq(w.interfaces, 1);
		cr_expect_eq(w.packets, 0);
		tl_recorder__destroy(r);
	}
}

Test(pcapng_writer, every_length_from_0_on_is_read_back_by_tcpdump_and_tshark)
{
	for (size_t i = 0; i < 4; i++) {
		struct tl_recorder_opts opts = ways[i];
		struct tl_recorder_summary s;
		struct tl_recorder *r;
		struct walk w;
		char command[512];

		opts.path = path;
		r = start(opts);
		for (uint32_t n = 0; n < 2000; n++)
			cr_assert(record(r, n + 1, n, T0 + n * MS));
		s = finish(r, T0 + 2 * SEC);
		w = walk_file(path);
		cr_expect_null(w.wrong, "%s: %s", s.io, w.wrong);
		cr_expect_eq(w.packets, 2000);
		cr_expect_eq(s.written, 2000);
		cr_expect_eq(s.written_bytes, w.bytes);
		cr_expect_eq(s.dropped_writer, 0);
		snprintf(command, sizeof(command),
			 "tshark -r %s -T fields -e frame.len 2>/dev/null |"
			 "awk '$1==NR-1{n++}END{print n}'",
			 path);
		cr_expect_eq(shell_number(command), 2000);
		cr_expect_eq(shell("tcpdump -nr '%s' >/dev/null 2>&1", path), 0);
		tl_recorder__destroy(r);
	}
}

Test(pcapng_writer, header_says_who_recorded_what)
{
	struct tl_recorder_opts opts = { .path = path, .application = "Tapline test", .cpu = -1 };
	struct tl_interface f = test_interface("span0");
	struct tl_recorder *r;
	struct tl_error error;

	snprintf(f.description, sizeof(f.description), "the mirror port");
	snprintf(f.filter, sizeof(f.filter), "tcp port 80");
	f.speed_bps = 10000000000ull;
	cr_assert_eq(tl_recorder__create(&opts, &f, 1, &error, &r), 0);
	record(r, 1, 60, T0);
	finish(r, T0 + SEC);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Capture application: *Tapline test'", path),
		     0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Capture oper-sys: *Linux'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Name = span0'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Description = the mirror port'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Filter string = tcp port 80'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Speed = 10000000000'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Time resolution = 0x09'", path), 0);
	cr_expect_eq(shell("capinfos '%s' | grep -q 'Capture length = 262144'", path), 0);
	cr_expect_eq(shell("tshark -r '%s' -T fields -e frame.time_epoch 2>/dev/null |"
			   "grep -qx 1700000000.000000000",
			   path),
		     0);
	tl_recorder__destroy(r);
}

Test(pcapng_writer, loss_direction_and_comment_are_options_of_the_packet)
{
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder *r = start(opts);
	uint8_t data[64] = { 0 };
	struct tl_packet p[3] = {
		{ .data = data, .ts_ns = T0, .caplen = 61, .wirelen = 61 },
		{ .data = data,
		  .ts_ns = T0 + 1,
		  .caplen = 62,
		  .wirelen = 1514,
		  .flags = TL_PACKET_AFTER_LOSS | TL_PACKET_OUTGOING,
		  .lost_before = 7,
		  .comment = "first after the gap" },
		{ .data = data, .ts_ns = T0 + 2, .caplen = 64, .wirelen = 64 },
	};
	struct walk w;

	cr_assert_eq(tl_recorder__write(r, p, 3), 3);
	cr_expect_eq(p[0].frame, 1);
	cr_expect_eq(p[2].frame, 3);
	finish(r, T0 + SEC);
	w = walk_file(path);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.dropcount, 7);
	cr_expect_eq(w.outbound, 1);
	cr_expect_eq(w.comments, 1);
	cr_expect_eq(shell("tshark -r '%s' -Y 'frame.comment==\"first after the gap\"' -T fields "
			   "-e frame.number -e frame.len -e frame.cap_len 2>/dev/null |"
			   "grep -qP '^2\t1514\t62$'",
			   path),
		     0);
	tl_recorder__destroy(r);
}

Test(pcapng_writer, statistics_come_each_second_and_last_with_the_counters)
{
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder *r = start(opts);
	struct tl_source_stats stats = { 0 };
	struct walk w;

	for (uint64_t ms = 0; ms < 3500; ms += 10) {
		stats = (struct tl_source_stats){ .received = 2 * ms + 20,
						  .filtered = ms,
						  .captured = ms / 10 + 1,
						  .dropped = {
							  .nic = 3, .ring_full = 4, .kernel = 5 } };
		cr_assert(record(r, ms + 1, 60, T0 + ms * MS));
		tl_recorder__tick(r, T0 + ms * MS, &stats);
	}
	tl_recorder__close(r, T0 + 3500 * MS, &stats);
	w = walk_file(path);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.statistics, 3 + 1, "%u", w.statistics);
	cr_expect_eq(w.last_type, 5);
	cr_expect_eq(w.isb[4], stats.received);
	cr_expect_eq(w.isb[5], 3);
	cr_expect_eq(w.isb[6], stats.received - stats.filtered - 3);
	cr_expect_eq(w.isb[7], 9);
	cr_expect_eq(w.isb[8], 350);
	tl_recorder__destroy(r);
}

Test(pcapng_writer, a_note_is_a_comment_that_no_frame_shows)
{
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder *r = start(opts);
	struct walk w;

	record(r, 1, 60, T0);
	tl_recorder__note(r, 0, T0 + MS, "the clock was set back by 3600 s");
	record(r, 2, 60, T0 + 2 * MS);
	finish(r, T0 + SEC);
	w = walk_file(path);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_str_eq(w.note, "the clock was set back by 3600 s");
	cr_expect_eq(shell("test $(tshark -r '%s' 2>/dev/null | wc -l) = 2", path), 0);
	tl_recorder__destroy(r);
}

Test(pcapng_writer, interfaces_have_one_snap_length_also_when_they_come_late)
{
	struct tl_recorder_opts opts = { .path = path, .cpu = -1 };
	struct tl_interface f[3] = { test_interface("a"), test_interface("b"),
				     test_interface("c") };
	uint8_t data[64] = { 0 };
	struct tl_packet p = { .data = data, .ts_ns = T0, .caplen = 64, .wirelen = 64 };
	struct tl_recorder *r;
	struct tl_error error;
	struct walk w;

	f[0].snaplen = 96;
	f[1].snaplen = 1500;
	f[2].snaplen = 65535;
	cr_assert_eq(tl_recorder__create(&opts, f, 2, &error, &r), 0);
	cr_assert_eq(tl_recorder__write(r, &p, 1), 1);
	cr_assert_eq(tl_recorder__add_interface(r, &f[2]), 0);
	p.interface = 2;
	cr_assert_eq(tl_recorder__write(r, &p, 1), 1);
	cr_expect_eq(p.frame, 2);
	finish(r, T0 + SEC);
	w = walk_file(path);
	cr_expect_null(w.wrong, "%s", w.wrong);
	cr_expect_eq(w.interfaces, 3);
	cr_expect_eq(w.snaplen[0], 1500);
	cr_expect_eq(w.snaplen[1], 1500);
	cr_expect_eq(w.snaplen[2], 1500);
	cr_expect_eq(w.statistics, 3);
	cr_expect_eq(shell("tcpdump --count -nr '%s' 2>/dev/null | grep -qx '2 packets'", path), 0);
	tl_recorder__destroy(r);
}

Test(pcapng_writer, a_packet_of_an_unknown_interface_is_dropped_and_counted)
{
	struct tl_recorder_opts opts = { .path = path };
	struct tl_recorder *r = start(opts);
	uint8_t data[64] = { 0 };
	struct tl_packet p = {
		.data = data, .ts_ns = T0, .caplen = 64, .wirelen = 64, .interface = 1, .frame = 99
	};
	struct tl_recorder_summary s;

	cr_expect_eq(tl_recorder__write(r, &p, 1), 1);
	cr_expect_eq(p.frame, 0);
	s = finish(r, T0);
	cr_expect_eq(s.dropped_writer, 1);
	cr_expect_eq(s.written, 0);
	cr_expect_null(walk_file(path).wrong);
	tl_recorder__destroy(r);
}
