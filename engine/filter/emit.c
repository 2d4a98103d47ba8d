/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The emitter of eBPF instructions: see emit.h for the picture of chains and islands.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"

#define REACH 32767u /* largest positive jump */
/*
 * The kernel replaces some instructions by up to 8 (BPF_LD_ABS, loads from the context), and
 * refuses the program when a jump does not reach any more then.
 */
#define ISLAND_REACH (REACH / 8)
#define BLOCK_MAX    256u     /* instructions between two chances for an island */
#define INSNS_MAX    1000000u /* BPF_COMPLEXITY_LIMIT_INSNS: the verifier takes no more */
#define ROOM_FIRST   1024u

int tl_emitter__init(struct tl_emitter *e, size_t label_count)
{
	memset(e, 0, sizeof(*e));
	e->insns = calloc(ROOM_FIRST, sizeof(*e->insns));
	e->next = calloc(ROOM_FIRST, sizeof(*e->next));
	e->chains = calloc(label_count, sizeof(*e->chains));
	if (!e->insns || !e->next || !e->chains) {
		tl_emitter__fini(e);
		return -ENOMEM;
	}
	e->room = ROOM_FIRST;
	e->label_count = label_count;
	memset(e->chains, 0xff, label_count * sizeof(*e->chains));
	return 0;
}

void tl_emitter__fini(struct tl_emitter *e)
{
	free(e->insns);
	free(e->next);
	free(e->chains);
	memset(e, 0, sizeof(*e));
}

static bool grow(struct tl_emitter *e)
{
	size_t room = e->room * 2;
	struct bpf_insn *insns = realloc(e->insns, room * sizeof(*insns));
	int32_t *next;

	if (!insns)
		return false;
	e->insns = insns;
	next = realloc(e->next, room * sizeof(*next));
	if (!next)
		return false;
	e->next = next;
	e->room = room;
	return true;
}

void tl_emit(struct tl_emitter *e, struct bpf_insn insn)
{
	if (e->error)
		return;
	if (e->count == INSNS_MAX) {
		e->error = -E2BIG;
		return;
	}
	if (e->count == e->room && !grow(e)) {
		e->error = -ENOMEM;
		return;
	}
	e->next[e->count] = -1;
	e->insns[e->count++] = insn;
}

void tl_emit__jump(struct tl_emitter *e, struct bpf_insn insn, size_t label)
{
	tl_emit(e, insn);
	if (e->error)
		return;
	if (e->chains[label] < 0)
		e->chain_count++;
	e->next[e->count - 1] = e->chains[label];
	e->chains[label] = (int32_t)(e->count - 1);
}

/* Gives every jump that waits for `label` its distance to the next instruction. */
static void resolve(struct tl_emitter *e, size_t label)
{
	for (int32_t at = e->chains[label]; at >= 0; at = e->next[at]) {
		size_t distance = e->count - (size_t)at - 1;

		if (distance > REACH)
			e->error = -E2BIG;
		e->insns[at].off = (int16_t)distance;
	}
	e->chains[label] = -1;
	e->chain_count--;
}

void tl_emit__label(struct tl_emitter *e, size_t label)
{
	if (!e->error && e->chains[label] >= 0)
		resolve(e, label);
}

void tl_emit__island(struct tl_emitter *e)
{
	bool is_fallen_into;
	size_t over = 0;

	if (e->error || !e->chain_count ||
	    e->count - e->island_end + e->chain_count + 2 * BLOCK_MAX < ISLAND_REACH)
		return;
	/* behind a jump there is nothing to lead around the island, and no way to it either */
	is_fallen_into = e->count && e->insns[e->count - 1].code != (BPF_JMP | BPF_JA);
	if (is_fallen_into)
		over = tl_emit__hop(e, JMP_ALWAYS);
	e->island_end = e->count;
	for (size_t label = 0; label < e->label_count && !e->error; label++) {
		if (e->chains[label] < 0)
			continue;
		resolve(e, label);
		tl_emit__jump(e, JMP_ALWAYS, label);
	}
	if (is_fallen_into)
		tl_emit__land(e, over);
}

size_t tl_emit__hop(struct tl_emitter *e, struct bpf_insn insn)
{
	tl_emit(e, insn);
	return e->error ? 0 : e->count - 1;
}

void tl_emit__land(struct tl_emitter *e, size_t hop)
{
	size_t distance = e->count - hop - 1;

	if (e->error)
		return;
	if (distance > REACH)
		e->error = -E2BIG;
	else
		e->insns[hop].off = (int16_t)distance;
}
