/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What goes before the analyzers: one look at each packet of a few, which decides who sees it, so
 * that an analyzer spends nothing on packets that cannot matter to it.
 *
 *	packets ─► tracker's verdicts ─► class of each ─► of_class[CLASS]  │0│1│0│0│1│…   a bit each
 *	                                                  resting[analyzer] │0│0│1│…
 *	wanted by an analyzer = (of_class of each class it wants, together) without resting
 *
 * `resting` is of flows of which an analyzer has seen enough (tl_analyzer_batch__rest); their SYN,
 * FIN and RST go to it still. A worker's thread only; no allocation.
 */
#ifndef TAPLINE_ANALYZERS_PASS_H
#define TAPLINE_ANALYZERS_PASS_H

#include "core/analyzer_impl.h"
#include "core/tracker.h"

/* With more their packets would leave the L1 cache, with fewer the analyzers' code does. */
#define TL_PASS_PACKETS 32u

_Static_assert(TL_PASS_PACKETS <= TL_PASS_MAX, "a bit for each packet");

struct tl_pass {
	struct tl_batch piece;
	struct tl_segment segment[TL_PASS_PACKETS];
	unsigned char *entry[TL_PASS_PACKETS]; /* of the slab; NULL: without a flow */
	uint64_t newest_ns[TL_PASS_PACKETS];
	uint64_t of_class[TL_CLASSES];
	uint64_t resting[32];
	struct tl_batch_sums sums;
	uint64_t last_ns;   /* the newest packet so far */
	size_t rest_offset; /* where in a slab entry the word of those that rest lies */
};

/*
 * The packets from `at` on, as many as go at once: pass->piece.n. The tracker's bytes lie at the
 * begin of a slab entry.
 */
void tl_pass__begin(struct tl_pass *pass, struct tl_tracker *tracker, const struct tl_batch *batch,
		    uint32_t at);

static inline uint64_t tl_pass__of_classes(const struct tl_pass *pass, uint32_t classes)
{
	uint64_t packets = 0;

	for (; classes; classes &= classes - 1)
		packets |= pass->of_class[__builtin_ctz(classes)];
	return packets;
}

/* As the analyzer with that index and those wants sees them. Borrows `pass`. */
static inline struct tl_analyzer_batch tl_pass__view(const struct tl_pass *pass, uint32_t analyzer,
						     uint32_t wants)
{
	struct tl_analyzer_batch view = {
		.batch = &pass->piece,
		.segment = pass->segment,
		.entry = pass->entry,
		.newest_ns = pass->newest_ns,
		.sums = &pass->sums,
		.rest_offset = pass->rest_offset,
		.rest_bit = 1u << analyzer,
	};

	/* Who wants nearly all leaves out what he does not want. */
	if (wants & TL_WANTS(OTHER)) {
		view.wanted = tl_batch__bits(&pass->piece) &
			      ~tl_pass__of_classes(pass, TL_WANTS_ALL & ~wants);
	} else {
		view.wanted = tl_pass__of_classes(pass, wants);
	}
	view.wanted &= ~pass->resting[analyzer];
	return view;
}

#endif
