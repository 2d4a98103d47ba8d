/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `-d`: the classic program as tcpdump prints it, then its translations.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>

#include "disasm.h"
#include "private.h"

/* bpf_image writes to one static buffer. */
static pthread_mutex_t image_lock = PTHREAD_MUTEX_INITIALIZER;

static void dump_classic(const struct tl_filter *filter, FILE *out)
{
	const struct bpf_insn *insns = (const struct bpf_insn *)filter->insns;

	pthread_mutex_lock(&image_lock);
	for (size_t i = 0; i < filter->count; i++)
		fprintf(out, "%s\n", bpf_image(&insns[i], (int)i));
	pthread_mutex_unlock(&image_lock);
}

typedef int translate_fn(const struct tl_filter *filter, const struct tl_ebpf_opts *opts,
			 struct bpf_insn **ret_insns, size_t *ret_count);

static int dump_ebpf(const struct tl_filter *filter, translate_fn *translate, const char *where,
		     FILE *out)
{
	struct tl_ebpf_opts opts = { .count_map_fd = -1, .accept_return = filter->snaplen };
	struct bpf_insn *insns;
	size_t count;
	int rc = translate(filter, &opts, &insns, &count);

	if (rc == -EINVAL) {
		/* "protochain" compiles to a loop, which the kernel takes in neither form */
		fprintf(out, "\neBPF for %s: not possible, the program loops\n", where);
		return 0;
	}
	if (rc)
		return rc;
	fprintf(out, "\neBPF for %s, %zu instructions:\n", where, count);
	tl_disasm__print(insns, count, out);
	free(insns);
	return 0;
}

int tl_filter__dump(const struct tl_filter *filter, FILE *out)
{
	int rc;

	if (!filter)
		return -EINVAL;
	dump_classic(filter, out);
	rc = dump_ebpf(filter, tl_filter__to_xdp_ebpf, "XDP", out);
	if (!rc)
		rc = dump_ebpf(filter, tl_filter__to_skb_ebpf, "AF_PACKET", out);
	return rc ? rc : ferror(out) ? -EIO : 0;
}
