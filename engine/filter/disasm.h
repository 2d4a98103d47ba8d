/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A listing of eBPF instructions in the verifier's notation: `r7 = *(u16 *)(r1 + 12)`.
 */
#ifndef TL_FILTER_DISASM_H
#define TL_FILTER_DISASM_H

#include <stddef.h>
#include <stdio.h>

struct bpf_insn;

/* One line an instruction, with its index; jumps name the index they go to. */
void tl_disasm__print(const struct bpf_insn *insns, size_t count, FILE *out);

#endif
