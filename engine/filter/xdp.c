/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translation for XDP: the packet's bytes are read directly where they are linear, and through
 * bpf_xdp_load_bytes where they are in a further buffer (jumbo frames) or straddle two.
 *
 *     data            data_end
 *      │── linear part ──│── fragments (bpf_xdp_load_bytes) ──│  bpf_xdp_get_buff_len
 *
 *   load [k:s]:   r1 = data; r2 = data_end; r3 = r1 + k + s
 *                 r3 > r2 ?  ─no──► dst = *(r1 + k) ───────────────┐
 *                            └yes─► load_bytes(k, s), or reject ───┴─► to host order
 *
 * The program is a body: `struct xdp_md *` in r1, returns accept_return or 0 in r0. It may be a
 * whole program, or be put behind another as a function that is called (it calls nothing but
 * helpers, uses at most 96 bytes of stack, and makes no tail call). bpf_xdp_load_bytes came with
 * Linux 5.18; the program must be loaded with BPF_F_XDP_HAS_FRAGS to be given jumbo frames.
 *
 * A tag that the NIC stripped is not visible here: VLAN stripping must be off (tapline/link.h).
 */
#include <errno.h>

#include "translate.h"

/* The verifier follows a packet pointer no further (MAX_PACKET_OFF), nor does the helper. */
#define OFFSET_MAX 0xffffu
/* An instruction's own offset is signed, 16 bits. */
#define IMMEDIATE_MAX 0x7ff0u

static void xdp_prologue(struct tl_translation *t)
{
	if (!t->has_length)
		return;
	tl_emit(&t->e, ALU64_X(BPF_MOV, R_T1, R_CTX));
	tl_emit(&t->e, CALL(BPF_FUNC_xdp_get_buff_len));
	tl_emit(&t->e, ALU32_X(BPF_MOV, R_TARGET, R_RESULT));
}

static void xdp_length(struct tl_translation *t, uint8_t dst)
{
	tl_emit(&t->e, ALU32_X(BPF_MOV, dst, R_TARGET));
}

/* The bytes are not linear: R_T2 holds the offset. */
static void load_by_helper(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;

	tl_emit(e, ALU64_X(BPF_MOV, R_T1, R_CTX));
	tl_emit(e, ALU64_X(BPF_MOV, R_T3, R_FP));
	tl_emit(e, ALU64_K(BPF_ADD, R_T3, STACK_SCRATCH));
	tl_emit(e, ALU64_K(BPF_MOV, R_T4, load->bytes));
	tl_emit(e, CALL(BPF_FUNC_xdp_load_bytes));
	tl_emit__jump(e, JMP_K(BPF_JNE, R_RESULT, 0), t->reject);
	tl_emit(e, LOAD(tl_size_code(load->bytes), load->dst, R_FP, STACK_SCRATCH));
}

static void load_constant(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;
	uint32_t offset = load->offset;
	size_t slow, done;

	if (offset + load->bytes > OFFSET_MAX) {
		/* Always taken, which the verifier's check for code without a way to it ignores. */
		tl_emit(e, ALU64_K(BPF_MOV, R_T1, 1));
		tl_emit__jump(e, JMP_K(BPF_JNE, R_T1, 0), t->reject);
		return;
	}
	tl_emit(e, LOAD(BPF_W, R_T1, R_CTX, offsetof(struct xdp_md, data)));
	tl_emit(e, LOAD(BPF_W, R_T2, R_CTX, offsetof(struct xdp_md, data_end)));
	if (offset > IMMEDIATE_MAX) {
		tl_emit(e, ALU64_K(BPF_ADD, R_T1, offset));
		offset = 0;
	}
	tl_emit(e, ALU64_X(BPF_MOV, R_T3, R_T1));
	tl_emit(e, ALU64_K(BPF_ADD, R_T3, offset + load->bytes));
	slow = tl_emit__hop(e, JMP_X(BPF_JGT, R_T3, R_T2));
	tl_emit(e, LOAD(tl_size_code(load->bytes), load->dst, R_T1, (int16_t)offset));
	done = tl_emit__hop(e, JMP_ALWAYS);
	tl_emit__land(e, slow);
	tl_emit(e, ALU64_K(BPF_MOV, R_T2, load->offset));
	load_by_helper(t, load);
	tl_emit__land(e, done);
	tl_emit__from_wire(e, load->dst, load->bytes);
}

/*
 * R_T2 = X + k in 64 bits, so that it cannot wrap: classic BPF rejects what the sum of two 32-bit
 * numbers puts behind the packet.
 */
static void sum_offset(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;

	tl_emit(e, ALU32_K(BPF_MOV, R_T2, load->offset));
	tl_emit(e, ALU64_X(BPF_ADD, R_T2, R_X));
	tl_emit__jump(e, JMP_K(BPF_JGT, R_T2, OFFSET_MAX - load->bytes), t->reject);
}

static void load_indirect(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;
	size_t slow, done;

	sum_offset(t, load);
	tl_emit(e, LOAD(BPF_W, R_T1, R_CTX, offsetof(struct xdp_md, data)));
	tl_emit(e, LOAD(BPF_W, R_T4, R_CTX, offsetof(struct xdp_md, data_end)));
	tl_emit(e, ALU64_X(BPF_ADD, R_T1, R_T2));
	tl_emit(e, ALU64_X(BPF_MOV, R_T3, R_T1));
	tl_emit(e, ALU64_K(BPF_ADD, R_T3, load->bytes));
	slow = tl_emit__hop(e, JMP_X(BPF_JGT, R_T3, R_T4));
	tl_emit(e, LOAD(tl_size_code(load->bytes), load->dst, R_T1, 0));
	done = tl_emit__hop(e, JMP_ALWAYS);
	tl_emit__land(e, slow);
	load_by_helper(t, load);
	tl_emit__land(e, done);
	tl_emit__from_wire(e, load->dst, load->bytes);
}

static void xdp_load(struct tl_translation *t, const struct tl_load *load)
{
	if (load->indirect)
		load_indirect(t, load);
	else
		load_constant(t, load);
}

static int xdp_ancillary(struct tl_translation *t, uint32_t what)
{
	switch (what) {
	case SKF_AD_IFINDEX:
		tl_emit(&t->e, LOAD(BPF_W, R_A, R_CTX, offsetof(struct xdp_md, ingress_ifindex)));
		return 0;
	case SKF_AD_QUEUE:
		tl_emit(&t->e, LOAD(BPF_W, R_A, R_CTX, offsetof(struct xdp_md, rx_queue_index)));
		return 0;
	case SKF_AD_ALU_XOR_X:
		tl_emit(&t->e, ALU32_X(BPF_XOR, R_A, R_X));
		return 0;
	case SKF_AD_CPU:
		tl_emit(&t->e, CALL(BPF_FUNC_get_smp_processor_id));
		break;
	case SKF_AD_RANDOM:
		tl_emit(&t->e, CALL(BPF_FUNC_get_prandom_u32));
		break;
	default:
		return -EINVAL;
	}
	tl_emit(&t->e, ALU32_X(BPF_MOV, R_A, R_RESULT));
	return 0;
}

int tl_filter__to_xdp_ebpf(const struct tl_filter *filter, const struct tl_ebpf_opts *opts,
			   struct bpf_insn **ret_insns, size_t *ret_count)
{
	static const struct tl_target target = {
		.prologue = xdp_prologue,
		.load = xdp_load,
		.length = xdp_length,
		.ancillary = xdp_ancillary,
	};
	struct tl_translation t = { .filter = filter, .opts = opts, .target = &target };

	return tl_translate(&t, ret_insns, ret_count);
}
