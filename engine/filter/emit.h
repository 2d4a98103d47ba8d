/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing eBPF instructions with forward jumps of any length.
 *
 * eBPF jumps have 16 bits. A jump goes to a label that lies ahead; until the label is placed, the
 * jump waits in the label's chain. Before the oldest waiting jump gets out of reach, an island is
 * put into the code, and the waiting jumps go there:
 *
 *     jeq ─┐ (some 3500 instructions)        ┌─ ja over
 *          └───────────────────────────────► ├─ ja label 7 ─┐   one slot for each waiting label
 *                                            └─ ja label 9 ─┼┐
 *     label 7: ◄────────────────────────────────────────────┘│
 *
 * Invariants: chains hold only jumps within reach of the next island; an emitter that failed
 * (`error`) ignores everything after. One thread.
 */
#ifndef TL_FILTER_EMIT_H
#define TL_FILTER_EMIT_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

struct tl_emitter {
	struct bpf_insn *insns; /* owned */
	int32_t *next;	 /* owned: the jump before this one in the chain of its label, or -1 */
	int32_t *chains; /* owned: last waiting jump of each label, or -1 */
	size_t count;
	size_t room;
	size_t label_count;
	size_t chain_count; /* labels that jumps wait for */
	size_t island_end;  /* no waiting jump lies before this */
	int error;	    /* 0 or -errno */
};

/* Labels are numbers below `label_count`. 0 or -ENOMEM. */
int tl_emitter__init(struct tl_emitter *e, size_t label_count);
void tl_emitter__fini(struct tl_emitter *e);

void tl_emit(struct tl_emitter *e, struct bpf_insn insn);
/* A jump instruction, whose `off` is filled in, to a label that is placed later. */
void tl_emit__jump(struct tl_emitter *e, struct bpf_insn insn, size_t label);
/* The label is here: all jumps that wait for it get their distance. */
void tl_emit__label(struct tl_emitter *e, size_t label);
/* Between two blocks of less than 256 instructions: puts an island where one is due. */
void tl_emit__island(struct tl_emitter *e);
/* A short jump to a place a few instructions ahead, which tl_emit__land makes the next one. */
size_t tl_emit__hop(struct tl_emitter *e, struct bpf_insn insn);
void tl_emit__land(struct tl_emitter *e, size_t hop);

static inline struct bpf_insn tl_insn(uint8_t code, uint8_t dst, uint8_t src, int64_t imm)
{
	return (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .imm = (int32_t)imm
	};
}

static inline struct bpf_insn tl_insn__mem(uint8_t code, uint8_t dst, uint8_t src, int16_t off)
{
	return (struct bpf_insn){
		.code = code, .dst_reg = dst & 15, .src_reg = src & 15, .off = off
	};
}

/* Short names for what the translation writes often: 32-bit and 64-bit operations, K and X. */
#define ALU32_K(op, dst, k)	   tl_insn(BPF_ALU | (op) | BPF_K, dst, 0, k)
#define ALU32_X(op, dst, src)	   tl_insn(BPF_ALU | (op) | BPF_X, dst, src, 0)
#define ALU64_K(op, dst, k)	   tl_insn(BPF_ALU64 | (op) | BPF_K, dst, 0, k)
#define ALU64_X(op, dst, src)	   tl_insn(BPF_ALU64 | (op) | BPF_X, dst, src, 0)
#define TO_BE(dst, bits)	   tl_insn(BPF_ALU | BPF_END | BPF_TO_BE, dst, 0, bits)
#define JMP32_K(op, dst, k)	   tl_insn(BPF_JMP32 | (op) | BPF_K, dst, 0, k)
#define JMP32_X(op, dst, src)	   tl_insn(BPF_JMP32 | (op) | BPF_X, dst, src, 0)
#define JMP_K(op, dst, k)	   tl_insn(BPF_JMP | (op) | BPF_K, dst, 0, k)
#define JMP_X(op, dst, src)	   tl_insn(BPF_JMP | (op) | BPF_X, dst, src, 0)
#define JMP_ALWAYS		   tl_insn(BPF_JMP | BPF_JA, 0, 0, 0)
#define LOAD(size, dst, src, off)  tl_insn__mem(BPF_LDX | BPF_MEM | (size), dst, src, off)
#define STORE(size, dst, off, src) tl_insn__mem(BPF_STX | BPF_MEM | (size), dst, src, off)
#define STORE_ZERO(size, dst, off) tl_insn__mem(BPF_ST | BPF_MEM | (size), dst, 0, off)
#define CALL(function)		   tl_insn(BPF_JMP | BPF_CALL, 0, 0, function)
#define EXIT			   tl_insn(BPF_JMP | BPF_EXIT, 0, 0, 0)

#endif
