/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_filter */
/*
 * Filters are untrusted input: an expression, or a classic program of arbitrary instructions, and a
 * packet.
 *
 *   byte 0: 0…127 an expression up to the first NUL, then the packet; for that link type
 *           128…255 that many minus 127 classic instructions of 8 bytes, then the packet
 *
 * Besides not crashing: what the translators accept, they finish (every jump of the result lands
 * inside it).
 */
#include <dlfcn.h>
#include <linux/bpf.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/*
 * libpcap asks for the addresses of `host NAME`. No input may wait for a name server, or reach one:
 * in place of libc's, this one knows numbers and the ports of services alone.
 */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
		struct addrinfo **ret_list)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	struct addrinfo numeric = { 0 };

	*(void **)&next = dlsym(RTLD_NEXT, "getaddrinfo");
	if (!next)
		abort();
	if (hints)
		numeric = *hints;
	if (node)
		numeric.ai_flags |= AI_NUMERICHOST;
	return next(node, service, &numeric, ret_list);
}

static void check_jumps(const struct bpf_insn *insns, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint8_t class = BPF_CLASS(insns[i].code), op = BPF_OP(insns[i].code);

		if ((class == BPF_JMP || class == BPF_JMP32) && op != BPF_CALL && op != BPF_EXIT &&
		    (insns[i].off < 0 || i + 1 + (size_t)insns[i].off >= count))
			abort();
	}
	if (insns[count - 1].code != (BPF_JMP | BPF_EXIT))
		abort();
}

static void use_filter(struct tl_filter *filter, const uint8_t *data, size_t bytes)
{
	const struct tl_ebpf_opts opts = { .count_map_fd = 3, .accept_return = 65535 };
	const struct tl_packet packet = { .data = data,
					  .caplen = (uint32_t)bytes,
					  .wirelen = (uint32_t)bytes };
	struct bpf_insn *insns;
	size_t count;

	if (!tl_filter__to_xdp_ebpf(filter, &opts, &insns, &count)) {
		check_jumps(insns, count);
		free(insns);
		/* A valid program ends: it only jumps forward. One that loops might not. */
		tl_filter__match(filter, &packet);
	}
	if (!tl_filter__to_skb_ebpf(filter, &opts, &insns, &count)) {
		check_jumps(insns, count);
		free(insns);
	}
	tl_filter__for_linktype(filter, TL_LINKTYPE_RAW);
	tl_filter__destroy(filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_filter *filter;
	struct sock_filter insns[128];
	size_t count;
	char expression[256];

	if (bytes < 2)
		return 0;
	if (data[0] >= 128) {
		count = (size_t)data[0] - 127;
		if ((bytes - 1) / sizeof(insns[0]) < count)
			count = (bytes - 1) / sizeof(insns[0]);
		memcpy(insns, data + 1, count * sizeof(insns[0]));
		data += 1 + count * sizeof(insns[0]);
		bytes -= 1 + count * sizeof(insns[0]);
		if (!tl_filter__from_classic(insns, count, 1, &filter))
			use_filter(filter, data, bytes);
		return 0;
	}
	count = strnlen((const char *)data + 1, bytes - 1);
	/* libpcap's optimizer takes seconds for a long expression */
	if (count >= sizeof(expression))
		return 0;
	memcpy(expression, data + 1, count);
	expression[count] = 0;
	if (!tl_filter__compile(expression, data[0], 65535, NULL, &filter))
		use_filter(filter, data + 1 + count, bytes - 1 - count);
	return 0;
}
