/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The XDP programs of one interface (bpf/xdp_capture.bpf.c): loading, attaching, the filter, the
 * counters.
 *
 *   create ─► set_filter, set_socket of each queue ─► attach ─► … set_filter … stats … ─► detach
 *
 * Attached by a BPF link: it goes with the process, so that a crash leaves nothing behind. Not by
 * libxdp's dispatcher, which needs a bpffs, leaves its program behind after a crash, and puts
 * another program between the driver and ours; a mirror port has one user. Another program on the
 * interface is reported, never replaced.
 *
 * set_filter, stats and detach may be called by any thread, one at a time for each of them.
 */
#ifndef TL_SOURCE_XDP_PROGRAM_H
#define TL_SOURCE_XDP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/source.h"
#include "tl_abi.h"

struct tl_xdp_program;

struct tl_xdp_program_opts {
	const char *interface;
	uint32_t ifindex;
	uint32_t queue_count; /* receive queues of the interface */
	uint32_t snaplen;
	uint32_t sample;
	uint32_t sample_flows;
	uint64_t cutoff_bytes;
	bool headers_only;
	bool has_owner; /* several workers: tell which one a packet belongs to */
	bool passes;	/* what is kept goes to the stack, not to AF_XDP sockets */
};

/* Loads the programs. 0; -EPERM, -ENOMEM, other -errno of the kernel; `ret_error` in words. */
int tl_xdp_program__create(const struct tl_xdp_program_opts *opts, struct tl_error *ret_error,
			   struct tl_xdp_program **ret_program);
/* Detaches. NULL is fine. */
void tl_xdp_program__destroy(struct tl_xdp_program *program);

/*
 * Replaces the filter, in one step for each packet; NULL keeps everything. On failure the old one
 * stays. 0, -EINVAL (it cannot be translated), -E2BIG (the verifier gives up), other -errno.
 */
int tl_xdp_program__set_filter(struct tl_xdp_program *program, const struct tl_filter *filter);

/*
 * With `passes` nothing is kept, nor counted as kept, until this says so. When it returns, no
 * packet is on its way through the program on the terms of before.
 */
int tl_xdp_program__keep(struct tl_xdp_program *program, bool keeps);

/* The map of sockets (XSKMAP), for xsk_socket__update_xskmap. */
int tl_xdp_program__sockets_fd(const struct tl_xdp_program *program);
/* The first program; what BPF_PROG_TEST_RUN runs. */
int tl_xdp_program__entry_fd(const struct tl_xdp_program *program);

/*
 * Attaches: native, or generic where the driver knows no XDP and `mode` is TL_XDP_AUTO. 0; -EBUSY:
 * there is a program already; -EOPNOTSUPP; `ret_is_native` says what it became.
 */
int tl_xdp_program__attach(struct tl_xdp_program *program, enum tl_xdp_mode mode,
			   struct tl_error *ret_error, bool *ret_is_native);
/* The next __attach is to another interface; from this one it is taken off. 0 or -ENODEV. */
int tl_xdp_program__move(struct tl_xdp_program *program, uint32_t ifindex);
/* When it returns no packet is in the program any more. Idempotent. */
void tl_xdp_program__detach(struct tl_xdp_program *program);

/* Sum over the CPUs for one queue, or (`queue_count`) for those beyond. 0 or -errno. */
int tl_xdp_program__stats(const struct tl_xdp_program *program, uint32_t queue,
			  struct tl_xdp_count *ret_count);

/* What was received: packets have one outcome each. */
static inline uint64_t tl_xdp_count__received(const struct tl_xdp_count *count)
{
	return count->filtered + count->sampled_out + count->cut_off + count->kept +
	       count->no_socket + count->no_metadata;
}

#endif
