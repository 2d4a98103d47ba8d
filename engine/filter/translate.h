/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classic BPF to eBPF: what is the same for sockets and XDP (translate.c), and what each has of
 * its own (skb.c, xdp.c): how bytes of the packet are read.
 *
 * Registers and stack of a translated program:
 *
 *   r6  context                      fp-64 … fp-1    M[0…15], 4 bytes each
 *   r7  A                            fp-72           pointer to the counters
 *   r8  X                            fp-80           scratch, 8 bytes
 *   r9  of the target                fp-96 … fp-81   of the target
 *
 * A and X are always written by 32-bit operations: their upper halves are zero.
 */
#ifndef TL_FILTER_TRANSLATE_H
#define TL_FILTER_TRANSLATE_H

#include <linux/filter.h>
#include <stdbool.h>

#include "emit.h"
#include "tapline/filter.h"

enum {
	R_RESULT = BPF_REG_0,
	R_T1 = BPF_REG_1, /* scratch, lost in calls */
	R_T2 = BPF_REG_2,
	R_T3 = BPF_REG_3,
	R_T4 = BPF_REG_4,
	R_CTX = BPF_REG_6,
	R_A = BPF_REG_7,
	R_X = BPF_REG_8,
	R_TARGET = BPF_REG_9,
	R_FP = BPF_REG_10,
};

#define STACK_MEM(i)  ((int16_t)(-64 + 4 * (int)(i)))
#define STACK_COUNTER (-72)
#define STACK_SCRATCH (-80)
#define STACK_TARGET  (-96)

struct tl_translation {
	struct tl_emitter e;
	const struct tl_filter *filter;
	const struct tl_ebpf_opts *opts;
	const struct tl_target *target;
	size_t accept; /* labels; those below are the classic instructions */
	size_t reject;
	bool has_indirect; /* of the reachable instructions */
	bool has_length;
};

/* One load of 1, 2 or 4 bytes, whose value goes to `dst` in host order, or rejects the packet. */
struct tl_load {
	uint32_t offset; /* constant part */
	uint8_t bytes;
	uint8_t dst;
	bool indirect; /* X is added to the offset */
};

/* The reading of a packet. */
struct tl_target {
	/* Sets up R_TARGET and the target's stack; R_CTX is set. */
	void (*prologue)(struct tl_translation *t);
	void (*load)(struct tl_translation *t, const struct tl_load *load);
	/* The length on the wire goes to `dst`. */
	void (*length)(struct tl_translation *t, uint8_t dst);
	/* SKF_AD_ `what` goes to A. 0; -EINVAL: there is no such thing here. */
	int (*ancillary)(struct tl_translation *t, uint32_t what);
};

/* `t` says filter, options and target; all else of it is set here. */
int tl_translate(struct tl_translation *t, struct bpf_insn **ret_insns, size_t *ret_count);

/* BPF_W, BPF_H or BPF_B for 4, 2 and 1. */
static inline uint8_t tl_size_code(uint8_t bytes)
{
	return bytes == 4 ? BPF_W : bytes == 2 ? BPF_H : BPF_B;
}

/* Makes the big-endian value just read into `dst` the host's. */
static inline void tl_emit__from_wire(struct tl_emitter *e, uint8_t dst, uint8_t bytes)
{
	if (bytes > 1)
		tl_emit(e, TO_BE(dst, bytes * 8));
}

#endif
