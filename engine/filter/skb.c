/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translation for sockets (BPF_PROG_TYPE_SOCKET_FILTER): bytes are read with BPF_LD_ABS and
 * BPF_LD_IND, which reject a packet that is too short as classic BPF does.
 *
 * The kernel (or the NIC) has taken the outer VLAN tag out of the packet, into the skb's metadata,
 * while a filter of libpcap's dead handle, and the recorded file, know the packet as it was on the
 * wire. So the program reads a virtual packet. With a tag in the metadata:
 *
 *   skb data     0 ────────── 11│                12 13 14 15 16 …
 *   virtual      0 ────────── 11│12  13  14  15│ 16 17 18 19 20 …
 *                 same offset     TPID   TCI     offset − 4
 *
 *   word "high"           8 … 15   ┐ both built in the prologue, so that a load which touches
 *   word "low"             12 ……… 19 ┘ bytes 12…15 is a shift and a mask of one of them
 *
 * R_TARGET is what to add to an offset behind the tag: −4 with a tag in the metadata, else 0. The
 * length is that on the wire too. Only for Ethernet; other link types have no tag to strip.
 */
#include <errno.h>

#include "private.h"
#include "translate.h"

#define TAG_AT	   12u /* virtual offset of the TPID */
#define BEHIND_TAG 16u
#define STACK_HIGH (STACK_TARGET + 8) /* u64, host order: virtual bytes 8…15 */
#define STACK_LOW  STACK_TARGET	      /* u64, host order: virtual bytes 12…19 */
#define CTX(field) offsetof(struct __sk_buff, field)

_Static_assert(STACK_HIGH + 8 <= STACK_SCRATCH, "words of the target overlap the scratch word");

static bool may_have_tag(const struct tl_translation *t)
{
	return t->filter->linktype == TL_LINKTYPE_ETHERNET;
}

/* R_T3 = 4 bytes of the skb at `offset`, in host order; 0 for those behind its end. */
static void load_word(struct tl_emitter *e, uint32_t offset)
{
	size_t short_end, nothing;

	tl_emit(e, LOAD(BPF_W, R_T4, R_CTX, CTX(len)));
	tl_emit(e, ALU64_K(BPF_SUB, R_T4, offset));
	short_end = tl_emit__hop(e, JMP_K(BPF_JLE, R_T4, 4));
	tl_emit(e, ALU64_K(BPF_MOV, R_T4, 4));
	tl_emit__land(e, short_end);
	tl_emit(e, STORE_ZERO(BPF_W, R_FP, STACK_SCRATCH));
	nothing = tl_emit__hop(e, JMP_K(BPF_JEQ, R_T4, 0));
	tl_emit(e, ALU64_X(BPF_MOV, R_T1, R_CTX));
	tl_emit(e, ALU64_K(BPF_MOV, R_T2, offset));
	tl_emit(e, ALU64_X(BPF_MOV, R_T3, R_FP));
	tl_emit(e, ALU64_K(BPF_ADD, R_T3, STACK_SCRATCH));
	tl_emit(e, CALL(BPF_FUNC_skb_load_bytes));
	tl_emit__land(e, nothing);
	tl_emit(e, LOAD(BPF_W, R_T3, R_FP, STACK_SCRATCH));
	tl_emit(e, TO_BE(R_T3, 32));
}

/* R_T1 = TPID << 16 | TCI. */
static void load_tag(struct tl_emitter *e)
{
	tl_emit(e, LOAD(BPF_W, R_T1, R_CTX, CTX(vlan_proto)));
	tl_emit(e, TO_BE(R_T1, 16));
	tl_emit(e, ALU64_K(BPF_LSH, R_T1, 16));
	tl_emit(e, LOAD(BPF_W, R_T2, R_CTX, CTX(vlan_tci)));
	tl_emit(e, ALU64_X(BPF_OR, R_T1, R_T2));
}

static void skb_prologue(struct tl_translation *t)
{
	struct tl_emitter *e = &t->e;
	size_t untagged;

	if (!may_have_tag(t))
		return;
	tl_emit(e, STORE_ZERO(BPF_DW, R_FP, STACK_HIGH));
	tl_emit(e, STORE_ZERO(BPF_DW, R_FP, STACK_LOW));
	tl_emit(e, ALU64_K(BPF_MOV, R_TARGET, 0));
	tl_emit(e, LOAD(BPF_W, R_T1, R_CTX, CTX(vlan_present)));
	untagged = tl_emit__hop(e, JMP_K(BPF_JEQ, R_T1, 0));
	tl_emit(e, ALU64_K(BPF_MOV, R_TARGET, -4));
	load_word(e, 8);
	tl_emit(e, ALU64_K(BPF_LSH, R_T3, 32));
	load_tag(e);
	tl_emit(e, ALU64_X(BPF_OR, R_T3, R_T1));
	tl_emit(e, STORE(BPF_DW, R_FP, STACK_HIGH, R_T3));
	load_word(e, 12);
	load_tag(e);
	tl_emit(e, ALU64_K(BPF_LSH, R_T1, 32));
	tl_emit(e, ALU64_X(BPF_OR, R_T3, R_T1));
	tl_emit(e, STORE(BPF_DW, R_FP, STACK_LOW, R_T3));
	tl_emit__land(e, untagged);
}

static void skb_length(struct tl_translation *t, uint8_t dst)
{
	tl_emit(&t->e, LOAD(BPF_W, dst, R_CTX, CTX(len)));
	if (may_have_tag(t))
		tl_emit(&t->e, ALU32_X(BPF_SUB, dst, R_TARGET));
}

static void load_absolute(struct tl_emitter *e, const struct tl_load *load)
{
	tl_emit(e, tl_insn(BPF_LD | BPF_ABS | tl_size_code(load->bytes), 0, 0, load->offset));
	tl_emit(e, ALU32_X(BPF_MOV, load->dst, R_RESULT));
}

/* `base` is a register with an offset. */
static void load_from(struct tl_emitter *e, const struct tl_load *load, uint8_t base,
		      uint32_t offset)
{
	tl_emit(e, tl_insn(BPF_LD | BPF_IND | tl_size_code(load->bytes), 0, base, offset));
	tl_emit(e, ALU32_X(BPF_MOV, load->dst, R_RESULT));
}

static void mask_value(struct tl_emitter *e, const struct tl_load *load)
{
	if (load->bytes < 4)
		tl_emit(e, ALU32_K(BPF_AND, load->dst, load->bytes == 2 ? 0xffff : 0xff));
}

/* A load at a constant offset that touches the tag. */
static void load_tag_constant(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;
	uint32_t end = load->offset + load->bytes;
	bool in_high = end <= BEHIND_TAG;
	size_t tagged = tl_emit__hop(e, JMP_K(BPF_JNE, R_TARGET, 0));
	size_t done;

	load_absolute(e, load);
	done = tl_emit__hop(e, JMP_ALWAYS);
	tl_emit__land(e, tagged);
	if (!in_high) {
		skb_length(t, R_T1);
		tl_emit__jump(e, JMP32_K(BPF_JLT, R_T1, end), t->reject);
	}
	tl_emit(e, LOAD(BPF_DW, R_T1, R_FP, in_high ? STACK_HIGH : STACK_LOW));
	tl_emit(e, ALU64_K(BPF_RSH, R_T1, 8 * ((in_high ? 16 : 20) - end)));
	tl_emit(e, ALU32_X(BPF_MOV, load->dst, R_T1));
	mask_value(e, load);
	tl_emit__land(e, done);
}

static void load_constant(struct tl_translation *t, const struct tl_load *load)
{
	if (!may_have_tag(t) || load->offset + load->bytes <= TAG_AT)
		load_absolute(&t->e, load);
	else if (load->offset >= BEHIND_TAG)
		load_from(&t->e, load, R_TARGET, load->offset);
	else
		load_tag_constant(t, load);
}

/* R_T1 is a virtual offset whose load touches the tag, which is in the metadata. */
static void load_tag_indirect(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;
	size_t in_high;

	tl_emit(e, ALU64_K(BPF_ADD, R_T1, load->bytes));
	skb_length(t, R_T2);
	tl_emit__jump(e, JMP_X(BPF_JGT, R_T1, R_T2), t->reject);
	tl_emit(e, ALU64_K(BPF_MOV, R_T2, 16));
	tl_emit(e, LOAD(BPF_DW, R_T3, R_FP, STACK_HIGH));
	in_high = tl_emit__hop(e, JMP_K(BPF_JLE, R_T1, 16));
	tl_emit(e, ALU64_K(BPF_MOV, R_T2, 20));
	tl_emit(e, LOAD(BPF_DW, R_T3, R_FP, STACK_LOW));
	tl_emit__land(e, in_high);
	tl_emit(e, ALU64_X(BPF_SUB, R_T2, R_T1));
	tl_emit(e, ALU64_K(BPF_LSH, R_T2, 3));
	tl_emit(e, ALU64_X(BPF_RSH, R_T3, R_T2));
	tl_emit(e, ALU32_X(BPF_MOV, load->dst, R_T3));
	mask_value(e, load);
}

static void load_indirect(struct tl_translation *t, const struct tl_load *load)
{
	struct tl_emitter *e = &t->e;
	size_t untagged, before, behind, done;

	/* In 64 bits, so that it cannot wrap: a negative offset would mean something else. */
	tl_emit(e, ALU32_K(BPF_MOV, R_T1, load->offset));
	tl_emit(e, ALU64_X(BPF_ADD, R_T1, R_X));
	tl_emit__jump(e, JMP_K(BPF_JGT, R_T1, TL_CLASSIC_OFFSET_MAX), t->reject);
	if (!may_have_tag(t)) {
		load_from(e, load, R_T1, 0);
		return;
	}
	untagged = tl_emit__hop(e, JMP_K(BPF_JEQ, R_TARGET, 0));
	before = tl_emit__hop(e, JMP_K(BPF_JLE, R_T1, TAG_AT - load->bytes));
	behind = tl_emit__hop(e, JMP_K(BPF_JGE, R_T1, BEHIND_TAG));
	load_tag_indirect(t, load);
	done = tl_emit__hop(e, JMP_ALWAYS);
	tl_emit__land(e, behind);
	tl_emit(e, ALU64_X(BPF_ADD, R_T1, R_TARGET));
	tl_emit__land(e, untagged);
	tl_emit__land(e, before);
	load_from(e, load, R_T1, 0);
	tl_emit__land(e, done);
}

static void skb_load(struct tl_translation *t, const struct tl_load *load)
{
	if (load->indirect)
		load_indirect(t, load);
	else
		load_constant(t, load);
}

static int skb_ancillary_call(struct tl_translation *t, int function)
{
	tl_emit(&t->e, CALL(function));
	tl_emit(&t->e, ALU32_X(BPF_MOV, R_A, R_RESULT));
	return 0;
}

static int skb_ancillary_field(struct tl_translation *t, size_t offset, bool big_endian)
{
	tl_emit(&t->e, LOAD(BPF_W, R_A, R_CTX, (int16_t)offset));
	if (big_endian)
		tl_emit(&t->e, TO_BE(R_A, 16));
	return 0;
}

static int skb_ancillary(struct tl_translation *t, uint32_t what)
{
	switch (what) {
	case SKF_AD_PROTOCOL:
		return skb_ancillary_field(t, CTX(protocol), true);
	case SKF_AD_PKTTYPE:
		return skb_ancillary_field(t, CTX(pkt_type), false);
	case SKF_AD_IFINDEX:
		return skb_ancillary_field(t, CTX(ifindex), false);
	case SKF_AD_MARK:
		return skb_ancillary_field(t, CTX(mark), false);
	case SKF_AD_QUEUE:
		return skb_ancillary_field(t, CTX(queue_mapping), false);
	case SKF_AD_RXHASH:
		return skb_ancillary_field(t, CTX(hash), false);
	case SKF_AD_VLAN_TAG:
		return skb_ancillary_field(t, CTX(vlan_tci), false);
	case SKF_AD_VLAN_TAG_PRESENT:
		return skb_ancillary_field(t, CTX(vlan_present), false);
	case SKF_AD_VLAN_TPID:
		return skb_ancillary_field(t, CTX(vlan_proto), true);
	case SKF_AD_CPU:
		return skb_ancillary_call(t, BPF_FUNC_get_smp_processor_id);
	case SKF_AD_RANDOM:
		return skb_ancillary_call(t, BPF_FUNC_get_prandom_u32);
	case SKF_AD_ALU_XOR_X:
		tl_emit(&t->e, ALU32_X(BPF_XOR, R_A, R_X));
		return 0;
	default:
		return -EINVAL;
	}
}

int tl_filter__to_skb_ebpf(const struct tl_filter *filter, const struct tl_ebpf_opts *opts,
			   struct bpf_insn **ret_insns, size_t *ret_count)
{
	static const struct tl_target target = {
		.prologue = skb_prologue,
		.load = skb_load,
		.length = skb_length,
		.ancillary = skb_ancillary,
	};
	struct tl_translation t = { .filter = filter, .opts = opts, .target = &target };

	return tl_translate(&t, ret_insns, ret_count);
}
