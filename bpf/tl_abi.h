/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structs shared by the kernel programs and user space. Sizes are asserted on both sides.
 */
#ifndef TL_ABI_H
#define TL_ABI_H

#include <linux/types.h>

/* What a translated filter counts, by CPU. */
struct tl_filter_count {
	__u64 seen;	  /* packets it was asked about */
	__u64 seen_bytes; /* their wire length */
	__u64 kept;
	__u64 kept_bytes;
};

_Static_assert(sizeof(struct tl_filter_count) == 32, "shared with the kernel programs");

/* --- xdp_capture.bpf.c ------------------------------------------------------------------- */

/*
 * What happened to the packets of one queue, by CPU. Only outcomes are counted, one a packet, so
 * that a packet costs one line of memory; what was received is their sum.
 */
struct tl_xdp_count {
	__u64 bytes; /* of all of them: wire length */
	__u64 filtered;
	__u64 sampled_out;
	__u64 cut_off;
	__u64 kept;	   /* to the queue's socket, which may still have had no room; or passed */
	__u64 no_socket;   /* the queue has none */
	__u64 no_metadata; /* the driver left no room in front of the packet */
	__u64 reserved;
};

_Static_assert(sizeof(struct tl_xdp_count) == 64, "a cache line, shared with the programs");

/* In front of each packet (XDP metadata). */
struct tl_xdp_meta {
	__u64 time_ns; /* CLOCK_TAI */
	__u32 wirelen;
	__u32 caplen; /* what is to be kept, even where the kernel could not cut the packet */
	__u32 owner;  /* symmetric hash of the innermost addresses: which worker it belongs to */
	__u32 reserved;
};

_Static_assert(sizeof(struct tl_xdp_meta) == 24, "a multiple of 4, at most 32");

/* Places in the array of programs. */
enum tl_xdp_stage {
	TL_XDP_STAGE_FILTER = 0, /* generated; empty: everything is kept */
	TL_XDP_STAGE_KEEP,
	TL_XDP_STAGE_COUNT,
};

/* What the programs do, set before they are loaded. */
struct tl_xdp_config {
	__u64 seed;	    /* of all hashes */
	__u64 cutoff_bytes; /* 0: none */
	__u32 snaplen;
	__u32 sample;	    /* 0, 1: all */
	__u32 sample_flows; /* 0, 1: all */
	__u8 headers_only;
	__u8 has_owner; /* several workers: fill in tl_xdp_meta.owner */
	__u8 passes;	/* what is kept goes on to the host's stack, and to the sockets there */
	__u8 reserved;
	__u32 queue_count; /* of those after it, which came later, is one more entry of counters */
	__u32 reserved_too;
};

_Static_assert(sizeof(struct tl_xdp_config) == 40, "shared with the kernel programs");

#endif
