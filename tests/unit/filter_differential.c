/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_filter PkgConfig::bpf */
/*
 * The short run of the differential test (stress/filter_differential.c): what the kernel decides
 * with our eBPF is what libpcap decides, for every random filter and packet.
 */
#include <criterion/criterion.h>

#include "stress/filter_kernel.h"

Test(filter_differential, kernel_decides_as_libpcap)
{
	uint64_t rng = 7, uncompiled = 0;
	struct differential d;

	if (kernel_probe())
		cr_skip_test("the kernel does not let us load BPF programs: run as root");
	cr_assert(differential_begin(&d, &rng, 400));
	for (int i = 0; i < 500; i++) {
		struct tl_filter *filter =
			i % 5 ? next_expression(&rng, &uncompiled) : next_classic(&rng);

		cr_assert_not_null(filter);
		compare_filter(&d, filter);
		tl_filter__destroy(filter);
	}
	cr_expect_eq(d.refused, 0, "%llu of %llu programs refused", (unsigned long long)d.refused,
		     (unsigned long long)d.programs);
	cr_expect_eq(d.mismatches, 0, "%llu of %llu verdicts differ",
		     (unsigned long long)d.mismatches, (unsigned long long)d.verdicts);
	/* neither side is always yes or always no */
	cr_expect_gt(d.kept, d.verdicts / 20);
	cr_expect_lt(d.kept, d.verdicts - d.verdicts / 20);
	cr_expect_gt(d.verdicts, 400000);
	differential_end(&d);
}
