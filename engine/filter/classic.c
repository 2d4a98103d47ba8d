/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of classic BPF programs before they are translated.
 *
 * A classic program only jumps forward, so one pass in order sees every jump before its target:
 *
 *    0: ldh [12] ──► 1: jeq #0x800 jt 2 jf 4 ──┬─► 2: … ─► 3: ret #n
 *                                              └─────────► 4: ret #0
 *
 * Pure functions, any thread.
 */
#include <errno.h>
#include <string.h>

#include "private.h"

static bool alu_is_valid(const struct sock_filter *insn)
{
	bool by_constant = BPF_SRC(insn->code) == BPF_K;

	switch (BPF_OP(insn->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR:
		return true;
	case BPF_DIV:
	case BPF_MOD:
		return !by_constant || insn->k != 0;
	case BPF_LSH:
	case BPF_RSH:
		return !by_constant || insn->k < 32;
	case BPF_NEG:
		return by_constant;
	default:
		return false;
	}
}

static bool load_is_valid(const struct sock_filter *insn)
{
	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
	case BPF_LD | BPF_W | BPF_IND:
	case BPF_LD | BPF_H | BPF_IND:
	case BPF_LD | BPF_B | BPF_IND:
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_B | BPF_MSH:
	case BPF_LDX | BPF_IMM:
		return true;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
		return insn->k < BPF_MEMWORDS;
	default:
		return false;
	}
}

static bool jump_is_valid(const struct sock_filter *insn, size_t left)
{
	switch (BPF_OP(insn->code)) {
	case BPF_JA:
		return BPF_SRC(insn->code) == BPF_K && insn->k < left;
	case BPF_JEQ:
	case BPF_JGT:
	case BPF_JGE:
	case BPF_JSET:
		return insn->jt < left && insn->jf < left;
	default:
		return false;
	}
}

/* `left`: how many instructions follow this one. */
static bool insn_is_valid(const struct sock_filter *insn, size_t left)
{
	switch (BPF_CLASS(insn->code)) {
	case BPF_LD:
	case BPF_LDX:
		return load_is_valid(insn);
	case BPF_ST:
	case BPF_STX:
		return insn->code == BPF_CLASS(insn->code) && insn->k < BPF_MEMWORDS;
	case BPF_ALU:
		return !(insn->code & ~0xffu) && alu_is_valid(insn);
	case BPF_JMP:
		return !(insn->code & ~0xffu) && jump_is_valid(insn, left);
	case BPF_RET:
		return insn->code == (BPF_RET | BPF_K) || insn->code == (BPF_RET | BPF_A);
	default:
		return insn->code == (BPF_MISC | BPF_TAX) || insn->code == (BPF_MISC | BPF_TXA);
	}
}

int tl_classic__check(const struct sock_filter *insns, size_t count)
{
	if (!insns || !count)
		return -EINVAL;
	if (count > TL_CLASSIC_MAX)
		return -E2BIG;
	for (size_t i = 0; i < count; i++)
		if (!insn_is_valid(&insns[i], count - i - 1))
			return -EINVAL;
	return BPF_CLASS(insns[count - 1].code) == BPF_RET ? 0 : -EINVAL;
}

bool tl_classic__is_ancillary(const struct sock_filter *insn)
{
	return BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
	       insn->k >= (uint32_t)SKF_AD_OFF && insn->k < (uint32_t)SKF_AD_OFF + SKF_AD_MAX;
}

bool tl_classic__always_rejects(const struct sock_filter *insn)
{
	if (insn->code == (BPF_LDX | BPF_B | BPF_MSH))
		return insn->k > TL_CLASSIC_OFFSET_MAX;
	return BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS &&
	       insn->k > TL_CLASSIC_OFFSET_MAX && !tl_classic__is_ancillary(insn);
}

void tl_classic__reach(const struct sock_filter *insns, size_t count, uint8_t *ret_reached)
{
	memset(ret_reached, 0, count);
	ret_reached[0] = 1;
	for (size_t i = 0; i < count; i++) {
		const struct sock_filter *insn = &insns[i];

		if (!ret_reached[i] || BPF_CLASS(insn->code) == BPF_RET ||
		    tl_classic__always_rejects(insn))
			continue;
		if (insn->code == (BPF_JMP | BPF_JA)) {
			ret_reached[i + 1 + insn->k] = 1;
		} else if (BPF_CLASS(insn->code) == BPF_JMP) {
			ret_reached[i + 1 + insn->jt] = 1;
			ret_reached[i + 1 + insn->jf] = 1;
		} else {
			ret_reached[i + 1] = 1;
		}
	}
}
