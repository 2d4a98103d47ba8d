/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Classic BPF to eBPF, instruction by instruction. The verdict is that of libpcap's bpf_filter on
 * the whole packet, bit for bit:
 *
 *   - a load that does not lie wholly in the packet rejects it; so does division by X = 0;
 *   - A, X and the scratch cells begin as 0; all arithmetic is unsigned, 32 bits wide;
 *   - a shift by X of 32 and more gives 0. (The kernel's own classic BPF takes X modulo 32 there;
 *     a filter must decide on the wire as it does on the recorded file, so libpcap's rule holds.)
 *
 * A translated program:
 *
 *   ┌ r6 = context, A = X = M[] = 0, the target's prologue, counters: seen
 *   │ one block for each reachable classic instruction; its label is its index
 *   ├ accept: counters: kept; return accept_return
 *   └ reject: return 0
 *
 * What keeps the verifier's work linear: A and X are never used to bound a pointer except in a
 * load's own copy, no packet pointer lives longer than one load, and each load ends in one state.
 *
 * Any thread; nothing is shared.
 */
#include <errno.h>
#include <stdlib.h>

#include "private.h"
#include "tl_abi.h"
#include "translate.h"

static void add_to_counter(struct tl_emitter *e, uint8_t pointer, int16_t off)
{
	/* One CPU runs this at a time: no atomic operation is needed. T3 holds what is added. */
	tl_emit(e, LOAD(BPF_DW, R_T4, pointer, off));
	tl_emit(e, ALU64_X(BPF_ADD, R_T4, R_T3));
	tl_emit(e, STORE(BPF_DW, pointer, off, R_T4));
}

/* Adds a packet and its length to the pair of counters at `off`; `pointer` is R_RESULT. */
static void count_packet(struct tl_translation *t, int16_t off)
{
	tl_emit(&t->e, ALU64_K(BPF_MOV, R_T3, 1));
	add_to_counter(&t->e, R_RESULT, off);
	t->target->length(t, R_T3);
	add_to_counter(&t->e, R_RESULT, (int16_t)(off + 8));
}

static void emit_seen(struct tl_translation *t)
{
	struct tl_emitter *e = &t->e;
	struct bpf_insn map =
		tl_insn(BPF_LD | BPF_DW | BPF_IMM, R_T1, BPF_PSEUDO_MAP_FD, t->opts->count_map_fd);
	size_t found;

	if (t->opts->count_map_fd < 0)
		return;
	tl_emit(e, STORE_ZERO(BPF_DW, R_FP, STACK_SCRATCH));
	tl_emit(e, map);
	tl_emit(e, tl_insn(0, 0, 0, 0));
	tl_emit(e, ALU64_X(BPF_MOV, R_T2, R_FP));
	tl_emit(e, ALU64_K(BPF_ADD, R_T2, STACK_SCRATCH));
	tl_emit(e, CALL(BPF_FUNC_map_lookup_elem));
	/* Key 0 of an array is always there; the verifier wants to be told. */
	found = tl_emit__hop(e, JMP_K(BPF_JNE, R_RESULT, 0));
	tl_emit(e, ALU64_K(BPF_MOV, R_RESULT, 0));
	tl_emit(e, EXIT);
	tl_emit__land(e, found);
	tl_emit(e, STORE(BPF_DW, R_FP, STACK_COUNTER, R_RESULT));
	count_packet(t, offsetof(struct tl_filter_count, seen));
}

static void emit_prologue(struct tl_translation *t, bool has_memory)
{
	struct tl_emitter *e = &t->e;

	tl_emit(e, ALU64_X(BPF_MOV, R_CTX, R_T1));
	for (int i = 0; has_memory && i < BPF_MEMWORDS; i += 2)
		tl_emit(e, STORE_ZERO(BPF_DW, R_FP, STACK_MEM(i)));
	tl_emit(e, ALU64_K(BPF_MOV, R_A, 0));
	tl_emit(e, ALU64_K(BPF_MOV, R_X, 0));
	t->target->prologue(t);
	emit_seen(t);
}

static void emit_verdicts(struct tl_translation *t)
{
	struct tl_emitter *e = &t->e;

	tl_emit__island(e);
	if (e->chains[t->accept] >= 0) {
		tl_emit__label(e, t->accept);
		if (t->opts->count_map_fd >= 0) {
			tl_emit(e, LOAD(BPF_DW, R_RESULT, R_FP, STACK_COUNTER));
			count_packet(t, offsetof(struct tl_filter_count, kept));
		}
		tl_emit(e, ALU32_K(BPF_MOV, R_RESULT, t->opts->accept_return));
		tl_emit(e, EXIT);
	}
	if (e->chains[t->reject] >= 0) {
		tl_emit__label(e, t->reject);
		tl_emit(e, ALU32_K(BPF_MOV, R_RESULT, 0));
		tl_emit(e, EXIT);
	}
}

static int translate_load(struct tl_translation *t, const struct sock_filter *insn)
{
	struct tl_emitter *e = &t->e;
	uint8_t dst = BPF_CLASS(insn->code) == BPF_LD ? R_A : R_X;
	uint8_t size = BPF_SIZE(insn->code);
	struct tl_load load = {
		.offset = insn->k,
		.bytes = size == BPF_W	 ? 4
			 : size == BPF_H ? 2
					 : 1,
		.dst = dst,
		.indirect = BPF_MODE(insn->code) == BPF_IND,
	};

	switch (BPF_MODE(insn->code)) {
	case BPF_IMM:
		tl_emit(e, ALU32_K(BPF_MOV, dst, insn->k));
		return 0;
	case BPF_MEM:
		tl_emit(e, LOAD(BPF_W, dst, R_FP, STACK_MEM(insn->k)));
		return 0;
	case BPF_LEN:
		t->target->length(t, dst);
		return 0;
	case BPF_ABS:
		if (tl_classic__is_ancillary(insn))
			return t->target->ancillary(t, insn->k - (uint32_t)SKF_AD_OFF);
		break;
	}
	if (tl_classic__always_rejects(insn)) {
		tl_emit__jump(e, JMP_ALWAYS, t->reject);
		return 0;
	}
	t->target->load(t, &load);
	if (BPF_MODE(insn->code) == BPF_MSH) {
		tl_emit(e, ALU32_K(BPF_AND, dst, 0xf));
		tl_emit(e, ALU32_K(BPF_LSH, dst, 2));
	}
	return 0;
}

static void translate_shift_by_x(struct tl_translation *t, uint8_t op)
{
	struct tl_emitter *e = &t->e;
	size_t in_range = tl_emit__hop(e, JMP32_K(BPF_JLT, R_X, 32));
	size_t done;

	tl_emit(e, ALU32_K(BPF_MOV, R_A, 0));
	done = tl_emit__hop(e, JMP_ALWAYS);
	tl_emit__land(e, in_range);
	tl_emit(e, ALU32_X(op, R_A, R_X));
	tl_emit__land(e, done);
}

static void translate_alu(struct tl_translation *t, const struct sock_filter *insn)
{
	struct tl_emitter *e = &t->e;
	uint8_t op = BPF_OP(insn->code);

	if (op == BPF_NEG) {
		tl_emit(e, ALU32_K(BPF_NEG, R_A, 0));
	} else if (BPF_SRC(insn->code) == BPF_K) {
		tl_emit(e, ALU32_K(op, R_A, insn->k));
	} else if (op == BPF_LSH || op == BPF_RSH) {
		translate_shift_by_x(t, op);
	} else {
		if (op == BPF_DIV || op == BPF_MOD)
			tl_emit__jump(e, JMP32_K(BPF_JEQ, R_X, 0), t->reject);
		tl_emit(e, ALU32_X(op, R_A, R_X));
	}
}

static void jump_unless_next(struct tl_translation *t, size_t at, size_t label)
{
	if (label != at + 1)
		tl_emit__jump(&t->e, JMP_ALWAYS, label);
}

static void translate_jump(struct tl_translation *t, const struct sock_filter *insn, size_t at)
{
	bool by_constant = BPF_SRC(insn->code) == BPF_K;
	uint8_t op = BPF_OP(insn->code);
	size_t yes = at + 1 + insn->jt, no = at + 1 + insn->jf;
	struct bpf_insn test;

	if (op == BPF_JA) {
		jump_unless_next(t, at, at + 1 + insn->k);
		return;
	}
	if (yes == no) {
		jump_unless_next(t, at, yes);
		return;
	}
	test = by_constant ? JMP32_K(op, R_A, insn->k) : JMP32_X(op, R_A, R_X);
	if (yes == at + 1 && op != BPF_JSET) {
		test.code = (uint8_t)((test.code & 0x0f) | (op == BPF_JEQ   ? BPF_JNE
							    : op == BPF_JGT ? BPF_JLE
									    : BPF_JLT));
		tl_emit__jump(&t->e, test, no);
		return;
	}
	tl_emit__jump(&t->e, test, yes);
	jump_unless_next(t, at, no);
}

static void translate_return(struct tl_translation *t, const struct sock_filter *insn)
{
	if (BPF_RVAL(insn->code) == BPF_A) {
		tl_emit__jump(&t->e, JMP32_K(BPF_JNE, R_A, 0), t->accept);
		tl_emit__jump(&t->e, JMP_ALWAYS, t->reject);
	} else {
		tl_emit__jump(&t->e, JMP_ALWAYS, insn->k ? t->accept : t->reject);
	}
}

static int translate_insn(struct tl_translation *t, const struct sock_filter *insn, size_t at)
{
	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
	case BPF_LDX:
		return translate_load(t, insn);
	case BPF_ST:
		tl_emit(&t->e, STORE(BPF_W, R_FP, STACK_MEM(insn->k), R_A));
		return 0;
	case BPF_STX:
		tl_emit(&t->e, STORE(BPF_W, R_FP, STACK_MEM(insn->k), R_X));
		return 0;
	case BPF_ALU:
		translate_alu(t, insn);
		return 0;
	case BPF_JMP:
		translate_jump(t, insn, at);
		return 0;
	case BPF_RET:
		translate_return(t, insn);
		return 0;
	default:
		if (BPF_MISCOP(insn->code) == BPF_TAX)
			tl_emit(&t->e, ALU32_X(BPF_MOV, R_X, R_A));
		else
			tl_emit(&t->e, ALU32_X(BPF_MOV, R_A, R_X));
		return 0;
	}
}

/* What the prologue has to provide. Returns whether scratch cells are used. */
static bool survey(struct tl_translation *t, const uint8_t *reached)
{
	bool has_memory = false;

	for (size_t i = 0; i < t->filter->count; i++) {
		const struct sock_filter *insn = &t->filter->insns[i];
		uint8_t class = BPF_CLASS(insn->code);
		bool is_load = class == BPF_LD || class == BPF_LDX;

		if (!reached[i])
			continue;
		has_memory |= class == BPF_ST || class == BPF_STX ||
			      (is_load && BPF_MODE(insn->code) == BPF_MEM);
		t->has_indirect |= class == BPF_LD && BPF_MODE(insn->code) == BPF_IND;
		t->has_length |= is_load && BPF_MODE(insn->code) == BPF_LEN;
	}
	t->has_length |= t->opts->count_map_fd >= 0;
	return has_memory;
}

static int translate_all(struct tl_translation *t, const uint8_t *reached)
{
	emit_prologue(t, survey(t, reached));
	for (size_t i = 0; i < t->filter->count && !t->e.error; i++) {
		int rc;

		if (!reached[i])
			continue;
		tl_emit__island(&t->e);
		tl_emit__label(&t->e, i);
		rc = translate_insn(t, &t->filter->insns[i], i);
		if (rc)
			return rc;
	}
	emit_verdicts(t);
	return t->e.error;
}

int tl_translate(struct tl_translation *t, struct bpf_insn **ret_insns, size_t *ret_count)
{
	const struct tl_filter *filter = t->filter;
	uint8_t *reached;
	int rc = tl_classic__check(filter->insns, filter->count);

	if (rc)
		return rc;
	reached = malloc(filter->count);
	if (!reached)
		return -ENOMEM;
	tl_classic__reach(filter->insns, filter->count, reached);
	t->accept = filter->count;
	t->reject = filter->count + 1;
	rc = tl_emitter__init(&t->e, filter->count + 2);
	if (!rc)
		rc = translate_all(t, reached);
	if (!rc) {
		*ret_insns = t->e.insns;
		*ret_count = t->e.count;
		t->e.insns = NULL;
	}
	tl_emitter__fini(&t->e);
	free(reached);
	return rc;
}
