/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See pass.h. */
#include "core/pass.h"

#include <string.h>

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_UDP    17
#define PROTO_ICMPV6 58

static enum tl_class class_of_tcp(const struct tl_layers *l, const struct tl_segment *s)
{
	/* Flags are zero where the header was cut off; no TCP segment has none. */
	if (s->verdict == TL_VERDICT_NOT_TRACKED || !l->tcp_flags)
		return TL_CLASS_ODD;
	if (l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST))
		return TL_CLASS_TURN;
	return l->payload_bytes || s->missed_bytes ? TL_CLASS_DATA : TL_CLASS_ACK;
}

static enum tl_class class_of(const struct tl_layers *l, const struct tl_segment *s,
			      const struct tl_flow *flow)
{
	if (s->verdict == TL_VERDICT_COPY)
		return TL_CLASS_COPY;
	if (s->verdict == TL_VERDICT_DAMAGED)
		return TL_CLASS_DAMAGED;
	if (l->proto == PROTO_TCP && flow)
		return class_of_tcp(l, s);
	if (l->proto == PROTO_UDP && flow)
		return TL_CLASS_UDP;
	return l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6 ? TL_CLASS_ICMP : TL_CLASS_OTHER;
}

static void note_resting(struct tl_pass *pass, const unsigned char *entry, uint64_t bit)
{
	uint32_t resting;

	memcpy(&resting, entry + pass->rest_offset, sizeof(resting));
	for (; resting; resting &= resting - 1)
		pass->resting[__builtin_ctz(resting)] |= bit;
}

/* The sums are of all packets of the piece: takes out the copies. */
static __attribute__((noinline)) void leave_out_copies(struct tl_pass *pass)
{
	struct tl_batch_sums *sums = &pass->sums;
	uint64_t left = tl_pass__of_classes(pass, TL_WANTS_NO_COPY);

	*sums = (struct tl_batch_sums){ .oldest_ns = left ? UINT64_MAX : 0 };
	while (left) {
		const struct tl_packet *p = &pass->piece.packet[tl_analyzer_batch__next(&left)];

		sums->bytes += p->wirelen;
		if (p->ts_ns < sums->oldest_ns)
			sums->oldest_ns = p->ts_ns;
		if (p->ts_ns > sums->newest_ns)
			sums->newest_ns = p->ts_ns;
	}
}

static void sum_up(struct tl_pass *pass)
{
	const struct tl_packet *packet = pass->piece.packet;
	struct tl_batch_sums sums = { .oldest_ns = UINT64_MAX };
	const uint64_t last_ns = pass->last_ns;

	for (uint32_t i = 0; i < pass->piece.n; i++) {
		const uint64_t ts_ns = packet[i].ts_ns;

		sums.bytes += packet[i].wirelen;
		sums.oldest_ns = ts_ns < sums.oldest_ns ? ts_ns : sums.oldest_ns;
		sums.newest_ns = ts_ns > sums.newest_ns ? ts_ns : sums.newest_ns;
		pass->newest_ns[i] = sums.newest_ns > last_ns ? sums.newest_ns : last_ns;
	}
	pass->last_ns = sums.newest_ns > last_ns ? sums.newest_ns : last_ns;
	pass->sums = sums;
	if (pass->of_class[TL_CLASS_COPY])
		leave_out_copies(pass);
}

void tl_pass__begin(struct tl_pass *pass, struct tl_tracker *tracker, const struct tl_batch *batch,
		    uint32_t at)
{
	struct tl_batch *piece = &pass->piece;

	*piece = *batch;
	piece->n = batch->n - at < TL_PASS_PACKETS ? batch->n - at : TL_PASS_PACKETS;
	piece->packet += at;
	piece->layers += at;
	piece->lookup += at;
	memset(pass->of_class, 0, sizeof(pass->of_class));
	memset(pass->resting, 0, sizeof(pass->resting));
	tl_tracker__classify(tracker, piece, 0, pass->segment);
	for (uint32_t i = 0; i < piece->n; i++) {
		const struct tl_flow *flow = piece->lookup[i].ret_flow;
		enum tl_class class = class_of(&piece->layers[i], &pass->segment[i], flow);

		pass->of_class[class] |= 1ull << i;
		pass->entry[i] =
			flow ? piece->slab + (size_t)flow->index * piece->slab_stride : NULL;
		if (class == TL_CLASS_ACK || class == TL_CLASS_DATA)
			note_resting(pass, pass->entry[i], 1ull << i);
	}
	sum_up(pass);
}
