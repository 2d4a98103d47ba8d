/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_filter PkgConfig::bpf */
/*
 * stress_filter_differential [EXPRESSIONS [CLASSIC-PROGRAMS [PACKETS [SEED]]]]
 *
 * Random filters against random packets: the kernel's verdict on our eBPF must be libpcap's. The
 * long run is 5000 1000 2000. Exit 0: no mismatch; 1: some, or a program was refused; 77: the
 * kernel does not let us load programs.
 */
#include "stress/filter_kernel.h"

static unsigned long argument(char **argv, int argc, int index, unsigned long otherwise)
{
	return argc > index ? strtoul(argv[index], NULL, 0) : otherwise;
}

int main(int argc, char **argv)
{
	unsigned long expressions = argument(argv, argc, 1, 1000);
	unsigned long programs = argument(argv, argc, 2, 300);
	unsigned long packets = argument(argv, argc, 3, 1000);
	uint64_t rng = argument(argv, argc, 4, 20261122);
	uint64_t uncompiled = 0;
	struct differential d;
	int rc = kernel_probe();

	if (rc) {
		fprintf(stderr, "bpf: %s: run this as root\n", strerror(-rc));
		return 77;
	}
	if (!differential_begin(&d, &rng, packets)) {
		fprintf(stderr, "BPF_PROG_TEST_RUN refuses most packets\n");
		return 1;
	}
	for (unsigned long i = 0; i < expressions + programs; i++) {
		struct tl_filter *filter =
			i < expressions ? next_expression(&rng, &uncompiled) : next_classic(&rng);

		if (!filter) {
			fprintf(stderr, "a generated classic program is not valid\n");
			return 1;
		}
		compare_filter(&d, filter);
		tl_filter__destroy(filter);
	}
	differential_end(&d);
	printf("expressions=%lu classic=%lu packets=%lu verdicts=%llu kept=%llu mismatches=%llu "
	       "refused=%llu longest=%llu not_compiled_by_libpcap=%llu\n",
	       expressions, programs, packets, (unsigned long long)d.verdicts,
	       (unsigned long long)d.kept, (unsigned long long)d.mismatches,
	       (unsigned long long)d.refused, (unsigned long long)d.longest,
	       (unsigned long long)uncompiled);
	return d.mismatches || d.refused || !d.verdicts;
}
