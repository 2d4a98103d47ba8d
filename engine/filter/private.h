/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the filter module share: the filter itself and the checks of a classic program.
 */
#ifndef TL_FILTER_PRIVATE_H
#define TL_FILTER_PRIVATE_H

#include <linux/filter.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/filter.h"

/* Longest classic program that is translated. The kernel's own limit for classic BPF is 4096. */
#define TL_CLASSIC_MAX 65536u

/* A recompilation for another link type. The list only grows, and ends with the filter. */
struct tl_filter_variant {
	struct tl_filter_variant *next; /* owned */
	struct tl_filter *filter;	/* owned; NULL: the expression does not compile there */
	uint16_t linktype;
};

struct tl_filter {
	char *expression;	   /* owned */
	struct sock_filter *insns; /* owned */
	size_t count;
	uint32_t snaplen;
	uint16_t linktype;
	bool from_classic;    /* there is no expression to compile for another link type */
	pthread_mutex_t lock; /* guards variants, nothing else */
	struct tl_filter_variant *variants;
};

/*
 * 0 when `insns` is a program that the kernel would take as classic BPF, but of up to
 * TL_CLASSIC_MAX instructions: known opcodes, forward jumps inside the program, no constant
 * division by 0 or shift by 32 and more, scratch cells 0…15, and a return at the end. -EINVAL;
 * -E2BIG: too long.
 */
int tl_classic__check(const struct sock_filter *insns, size_t count);

/*
 * Which instructions can be reached at all, one byte each in `ret_reached` (room for `count`): the
 * verifier refuses programs with code that cannot.
 */
void tl_classic__reach(const struct sock_filter *insns, size_t count, uint8_t *ret_reached);

/* A load of something beside the packet (SKF_AD_*); the kernel's offsets for it are negative. */
bool tl_classic__is_ancillary(const struct sock_filter *insn);

/* A load at a constant offset that no packet has: it rejects whatever the packet is. */
bool tl_classic__always_rejects(const struct sock_filter *insn);

/* Packets are shorter than this, wherever they come from. */
#define TL_CLASSIC_OFFSET_MAX 0xffffffu

#endif
