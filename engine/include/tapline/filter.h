/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters are tcpdump's: libpcap compiles the expression to classic BPF; Tapline runs that in user
 * space on files, and translates it to eBPF for the AF_PACKET socket and for XDP.
 *
 *   expression ─ pcap_compile ─► classic BPF ─┬─► tl_filter__match           (files)
 *                                             ├─► tl_filter__to_skb_ebpf     (AF_PACKET)
 *                                             └─► tl_filter__to_xdp_ebpf     (XDP)
 */
#ifndef TAPLINE_FILTER_H
#define TAPLINE_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/source.h"

struct tl_filter; /* immutable after compile: any thread may match */

/*
 * Compiles `expression` ("" and NULL keep everything) for packets of `linktype`, of which `snaplen`
 * bytes are kept. 0; -EINVAL: it does not compile, `ret_error` has libpcap's words; -ENOMEM.
 */
int tl_filter__compile(const char *expression, uint16_t linktype, uint32_t snaplen,
		       struct tl_error *ret_error, struct tl_filter **ret_filter);
/*
 * A filter from a classic program, copied: forward jumps only, as the kernel takes it. It has no
 * expression, so only its own link type. 0; -EINVAL; -E2BIG: longer than 65536; -ENOMEM.
 */
int tl_filter__from_classic(const struct sock_filter *insns, size_t count, uint16_t linktype,
			    struct tl_filter **ret_filter);
void tl_filter__destroy(struct tl_filter *filter);

const char *tl_filter__expression(const struct tl_filter *filter);
/* True when there is nothing to test: an empty expression. */
bool tl_filter__keeps_all(const struct tl_filter *filter);

/* libpcap's bpf_filter over the captured bytes. A NULL filter keeps everything. */
bool tl_filter__match(const struct tl_filter *filter, const struct tl_packet *packet);

/*
 * The program recompiled for another link type (a file of several interfaces has several); cached
 * in the filter. NULL when the expression makes no sense there ("ether host" on raw IP).
 */
const struct tl_filter *tl_filter__for_linktype(struct tl_filter *filter, uint16_t linktype);

/* The classic program, borrowed from the filter. */
const struct sock_filter *tl_filter__classic(const struct tl_filter *filter, size_t *ret_count);

/* Prints the classic program and its eBPF translation, as `-d` does. */
int tl_filter__dump(const struct tl_filter *filter, FILE *out);

struct bpf_insn;

/* Where a translated program tells its verdict. */
struct tl_ebpf_opts {
	/*
	 * Per-CPU array map {u32 -> struct tl_filter_count} (bpf/tl_abi.h), key 0; the program adds
	 * to it. -1: no counting.
	 */
	int count_map_fd;
	uint32_t accept_return; /* value returned for a packet to keep (snap length for a socket) */
};

/*
 * Translates classic BPF to eBPF. `ret_insns` is owned by the caller (free). 0; -EINVAL: not a
 * valid classic program; -E2BIG: longer than the kernel takes; -ENOMEM.
 *
 * skb: a whole BPF_PROG_TYPE_SOCKET_FILTER program, its return value the snap length or 0.
 * xdp: a body to be called or tail-called with `struct xdp_md *` in r1; see filter/xdp.c.
 */
int tl_filter__to_skb_ebpf(const struct tl_filter *filter, const struct tl_ebpf_opts *opts,
			   struct bpf_insn **ret_insns, size_t *ret_count);
int tl_filter__to_xdp_ebpf(const struct tl_filter *filter, const struct tl_ebpf_opts *opts,
			   struct bpf_insn **ret_insns, size_t *ret_count);

#endif
