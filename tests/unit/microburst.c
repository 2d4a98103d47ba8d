/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers */
/* traffic.microburst: peaks against the mean, and when they hurt. */
#include <criterion/criterion.h>

#include "unit/analysis_bed.h"

static struct bed *b;

static void start(void)
{
	b = bed__start(false);
}

static void stop(void)
{
	bed__free(b);
}

TestSuite(microburst, .init = start, .fini = stop);

static const struct bed_pair quiet = { "10.0.1.7", "10.0.2.7", 1, 2 };
static const struct bed_pair bursty = { "10.0.1.9", "10.0.2.9", 3, 4 };

/* A packet of 1054 bytes every 20 ms, for three seconds, and `n` in the millisecond `at_ms`. */
static void traffic(unsigned n, uint64_t at_ms)
{
	uint32_t seq = 1;

	for (uint64_t ms = 0; ms < 3000; ms += 20) {
		bed__from_client(b, &quiet, ms, BED_DATA((uint32_t)ms * 50 + 1, 1, 1000));
		if (ms == at_ms / 20 * 20)
			for (unsigned i = 0; i < n; i++, seq += 1000)
				bed__from_client(b, &bursty, at_ms, BED_DATA(seq, 1, 1000));
	}
}

static double number(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_F64)
			return f->details[i].f64;
	return -1;
}

Test(microburst, a_peak_of_one_millisecond_is_worth_knowing)
{
	const struct tl_finding *f;

	traffic(1000, 1501);
	bed__end(b);
	f = bed__only(b, "traffic.microburst");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_eq(bed__detail(f, "window_ms"), 1);
	cr_expect_float_eq(number(f, "peak_bps"), 1000 * 1054 * 8000.0, 1);
	cr_expect_eq(f->count, 1);
	cr_expect_eq(f->subject.client.ip[3], 9, "who sent most of it");
	cr_expect_eq(f->evidence[0].ts_ns, BED_START_NS + 1501 * BED_MS);
}

Test(microburst, less_than_a_megabyte_is_noise)
{
	traffic(500, 1501); /* half a megabyte */
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.microburst", TL_INFO), 0);
}

Test(microburst, steady_traffic_has_no_burst)
{
	for (uint64_t ms = 0; ms < 2500; ms++)
		for (unsigned i = 0; i < 30; i++)
			bed__from_client(b, &quiet, ms,
					 BED_DATA((uint32_t)(ms * 30 + i) * 1000 + 1, 1, 1000));
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.microburst", TL_INFO), 0);
}

Test(microburst, a_capture_of_a_moment_has_no_mean)
{
	for (unsigned i = 0; i < 1000; i++)
		bed__from_client(b, &bursty, 10, BED_DATA(i * 1000 + 1, 1, 1000));
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.microburst", TL_INFO), 0);
}

Test(microburst, segments_of_it_that_are_lost_make_it_a_warning)
{
	const struct tl_finding *f;

	traffic(1000, 1501);
	/* Behind this point the last four were dropped: only those before are ACKed. */
	bed__from_server(b, &bursty, 2990, BED_ACK(1, 996001));
	for (unsigned i = 0; i < 4; i++)
		bed__from_client(b, &bursty, 3200 + i, BED_DATA((996 + i) * 1000 + 1, 1, 1000));
	bed__end(b);
	f = bed__only(b, "traffic.microburst");
	cr_assert_not_null(f);
	cr_expect_eq(bed__detail(f, "lost_segments"), 4);
	cr_expect_eq(f->severity, TL_WARNING);
}

/* A wire that loses some of everything: the burst has its share. Nobody is alarmed of it live. */
Test(microburst, a_wire_that_always_loses_is_not_its_doing)
{
	const struct tl_finding *f;

	stop();
	b = bed__start(true);
	traffic(1000, 1501);
	bed__from_server(b, &bursty, 2990, BED_ACK(1, 996001));
	for (unsigned i = 0; i < 4; i++)
		bed__from_client(b, &bursty, 3200 + i, BED_DATA((996 + i) * 1000 + 1, 1, 1000));
	for (uint64_t ms = 4000; ms < 9000; ms += 100) {
		bed__from_client(b, &quiet, ms, BED_DATA((uint32_t)ms * 50 + 1, 1, 1000));
		if (ms % 500 == 400)
			bed__from_client(b, &quiet, ms + 50,
					 BED_DATA((uint32_t)(ms - 400) * 50 + 1, 1, 1000));
	}
	bed__end(b);
	f = bed__only(b, "traffic.microburst");
	cr_assert_not_null(f);
	cr_expect_eq(f->severity, TL_INFO);
	cr_expect_eq(bed__detail(f, "lost_segments"), 4);
	cr_expect_gt(b->open_count, 0);
	cr_expect_eq(b->open_worst, TL_INFO);
}

Test(microburst, copies_are_no_burst)
{
	struct bed_tcp one = BED_DATA(1, 1, 1000);

	traffic(0, 0);
	bed__from_client(b, &bursty, 3001, one);
	one.is_copy = true;
	for (unsigned i = 0; i < 1000; i++)
		bed__from_client(b, &bursty, 3001, one);
	bed__end(b);
	cr_expect_eq(bed__count(b, "traffic.microburst", TL_INFO), 0);
}
