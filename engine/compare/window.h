/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The second pass: both files side by side on one clock, packets waiting for their counterpart.
 *
 *	        ┌──────────── by print ────────────┐
 *	new ──► │ waiting (window) ─► limbo (window) │ ─► unmatched: lost, copied, missed, outside
 *	   ▲    │     │ same print       │ same head │
 *	   └────┤     ▼                  ▼ or body   │
 *	        │ matched (0.2 s: copies)  altered   │
 *	        └────────────────────────────────────┘
 *
 * Entries lie in one pool of fixed size, in one of three lists, each in order of time. When the
 *pool is full the oldest goes early, which is counted. One thread.
 */
#ifndef TAPLINE_COMPARE_WINDOW_H
#define TAPLINE_COMPARE_WINDOW_H

#include "print.h"
#include "tapline/compare.h"

enum entry_state { ENTRY_FREE = 0, ENTRY_WAITING, ENTRY_LIMBO, ENTRY_MATCHED, ENTRY_STATES };

struct entry {
	struct print print;
	uint64_t common_ns;	/* when it came, on A's clock */
	uint64_t matched_ns[2]; /* matched: when it came on either side */
	uint32_t prev, next;	/* of its list */
	uint32_t chain[3];	/* whole, by_head, by_body */
	uint8_t side, state;
	bool is_copy;
};

enum match_how { MATCH_WHOLE = 0, MATCH_HEAD, MATCH_BODY };

/* What becomes of packets. `a` and `b` are borrowed for the call. */
struct window_ops {
	void (*matched)(void *ctx, const struct entry *a, const struct entry *b,
			enum match_how how);
	void (*unmatched)(void *ctx, const struct entry *entry);
};

struct window;

struct window_opts {
	uint32_t room;
	uint64_t window_ns;
	const struct window_ops *ops;
	void *ctx;
};

int window__create(const struct window_opts *opts, struct window **ret_window);
void window__destroy(struct window *window);
/* In order of `common_ns`, nearly. */
void window__add(struct window *window, const struct print *print, uint8_t side,
		 uint64_t common_ns);
/* Nothing more will come. */
void window__finish(struct window *window);
uint64_t window__given_up(const struct window *window);

#endif
