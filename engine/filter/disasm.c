/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prints the eBPF instructions that the translation writes, and says so where one is unknown.
 * 32-bit operations use the names w0…w10, as the verifier's log does. Pure.
 */
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>

#include "disasm.h"

static const char *alu_operator(uint8_t op)
{
	static const char *const names[16] = { "+=",  "-=", "*=", "/=", "|=", "&=",  "<<=",
					       ">>=", NULL, "%=", "^=", "=",  "s>>=" };

	return names[op >> 4];
}

static const char *jump_operator(uint8_t op)
{
	static const char *const names[16] = { NULL,  "==", ">",  ">=", "&",  "!=", "s>",
					       "s>=", NULL, NULL, "<",	"<=", "s<", "s<=" };

	return names[op >> 4];
}

static const char *size_name(uint8_t code)
{
	switch (BPF_SIZE(code)) {
	case BPF_W:
		return "u32";
	case BPF_H:
		return "u16";
	case BPF_B:
		return "u8";
	default:
		return "u64";
	}
}

static const char *helper_name(int32_t helper)
{
	switch (helper) {
	case BPF_FUNC_map_lookup_elem:
		return "map_lookup_elem";
	case BPF_FUNC_skb_load_bytes:
		return "skb_load_bytes";
	case BPF_FUNC_xdp_load_bytes:
		return "xdp_load_bytes";
	case BPF_FUNC_xdp_get_buff_len:
		return "xdp_get_buff_len";
	case BPF_FUNC_get_smp_processor_id:
		return "get_smp_processor_id";
	case BPF_FUNC_get_prandom_u32:
		return "get_prandom_u32";
	default:
		return "helper";
	}
}

static bool print_alu(const struct bpf_insn *insn, FILE *out)
{
	char r = BPF_CLASS(insn->code) == BPF_ALU ? 'w' : 'r';
	const char *op = alu_operator(BPF_OP(insn->code));

	if (BPF_OP(insn->code) == BPF_NEG)
		fprintf(out, "%c%u = -%c%u", r, insn->dst_reg, r, insn->dst_reg);
	else if (BPF_OP(insn->code) == BPF_END)
		fprintf(out, "r%u = %s%d r%u", insn->dst_reg,
			BPF_SRC(insn->code) == BPF_TO_BE ? "be" : "le", insn->imm, insn->dst_reg);
	else if (!op)
		return false;
	else if (BPF_SRC(insn->code) == BPF_X)
		fprintf(out, "%c%u %s %c%u", r, insn->dst_reg, op, r, insn->src_reg);
	else
		fprintf(out, "%c%u %s %d", r, insn->dst_reg, op, insn->imm);
	return true;
}

static bool print_jump(const struct bpf_insn *insn, size_t at, FILE *out)
{
	char r = BPF_CLASS(insn->code) == BPF_JMP32 ? 'w' : 'r';
	const char *op = jump_operator(BPF_OP(insn->code));
	long target = (long)at + 1 + insn->off;

	if (BPF_OP(insn->code) == BPF_EXIT)
		fprintf(out, "exit");
	else if (BPF_OP(insn->code) == BPF_CALL)
		fprintf(out, "call %s#%d", helper_name(insn->imm), insn->imm);
	else if (BPF_OP(insn->code) == BPF_JA)
		fprintf(out, "goto %ld", target);
	else if (!op)
		return false;
	else if (BPF_SRC(insn->code) == BPF_X)
		fprintf(out, "if %c%u %s %c%u goto %ld", r, insn->dst_reg, op, r, insn->src_reg,
			target);
	else
		fprintf(out, "if %c%u %s 0x%x goto %ld", r, insn->dst_reg, op, (uint32_t)insn->imm,
			target);
	return true;
}

static bool print_memory(const struct bpf_insn *insn, FILE *out)
{
	const char *size = size_name(insn->code);

	if (insn->code == (BPF_LD | BPF_IMM | BPF_DW))
		fprintf(out,
			insn->src_reg == BPF_PSEUDO_MAP_FD ? "r%u = map[fd:%d]" : "r%u = %d ll",
			insn->dst_reg, insn->imm);
	else if (BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_ABS)
		fprintf(out, "r0 = *(%s *)skb[%d]", size, insn->imm);
	else if (BPF_CLASS(insn->code) == BPF_LD && BPF_MODE(insn->code) == BPF_IND)
		fprintf(out, "r0 = *(%s *)skb[r%u + %d]", size, insn->src_reg, insn->imm);
	else if (BPF_MODE(insn->code) != BPF_MEM)
		return false;
	else if (BPF_CLASS(insn->code) == BPF_LDX)
		fprintf(out, "r%u = *(%s *)(r%u %+d)", insn->dst_reg, size, insn->src_reg,
			insn->off);
	else if (BPF_CLASS(insn->code) == BPF_STX)
		fprintf(out, "*(%s *)(r%u %+d) = r%u", size, insn->dst_reg, insn->off,
			insn->src_reg);
	else
		fprintf(out, "*(%s *)(r%u %+d) = %d", size, insn->dst_reg, insn->off, insn->imm);
	return true;
}

void tl_disasm__print(const struct bpf_insn *insns, size_t count, FILE *out)
{
	for (size_t i = 0; i < count; i++) {
		const struct bpf_insn *insn = &insns[i];
		uint8_t class = BPF_CLASS(insn->code);
		bool known;

		fprintf(out, "(%03zu) ", i);
		if (class == BPF_ALU || class == BPF_ALU64)
			known = print_alu(insn, out);
		else if (class == BPF_JMP || class == BPF_JMP32)
			known = print_jump(insn, i, out);
		else
			known = print_memory(insn, out);
		fprintf(out, known ? "\n" : "code 0x%02x\n", insn->code);
		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW))
			i++; /* the second half of the constant */
	}
}
