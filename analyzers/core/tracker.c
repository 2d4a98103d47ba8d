/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tracker.h. For now the verdicts are those that the highest sequence number and the cumulative
 * ACK of each direction give: NEW, PURE_ACK, SYN_RETRANSMIT, LOST_AFTER, SPURIOUS and NOT_TRACKED.
 * Holes, copies, probes and triggers are not looked at: a filled hole is NEW.
 */
#include "core/tracker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/tracker_report.h"

struct tl_tracker {
	struct tl_tracker_totals totals;
	struct tl_report report;
};

struct direction {
	uint32_t base_seq; /* the ISN, or the first byte seen */
	uint32_t next_seq; /* after the highest byte seen */
	uint32_t una;	   /* the peer's cumulative ACK */
	bool seen, acked, syn_seen, wscale_seen;
	uint8_t wscale;
};

struct flow_state {
	struct direction dir[2];
};

size_t tl_tracker__flow_bytes(void)
{
	return (sizeof(struct flow_state) + 63) / 64 * 64;
}

int tl_tracker__create(const struct tl_analysis_worker_opts *opts, struct tl_tracker **ret_tracker)
{
	struct tl_tracker *tracker = calloc(1, sizeof(*tracker));

	if (!tracker)
		return -ENOMEM;
	tl_report__init(&tracker->report, opts);
	*ret_tracker = tracker;
	return 0;
}

void tl_tracker__destroy(struct tl_tracker *tracker)
{
	free(tracker);
}

static bool before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static void take_ack(struct direction *peer, const struct tl_layers *l, struct tl_segment *segment)
{
	if (!(l->tcp_flags & TL_TCP_ACK) || l->tcp_flags & TL_TCP_RST)
		return;
	if (!peer->acked || before(peer->una, l->ack)) {
		if (peer->acked)
			segment->acked_bytes = l->ack - peer->una;
		peer->una = l->ack;
		peer->acked = true;
	}
}

static void take_window(const struct direction *d, const struct direction *peer,
			const struct tl_layers *l, struct tl_segment *segment)
{
	bool scaled = d->wscale_seen && peer->wscale_seen && !(l->tcp_flags & TL_TCP_SYN);

	segment->window_bytes = (uint32_t)l->window << (scaled ? d->wscale : 0);
	segment->window_known = !l->window || (d->syn_seen && peer->syn_seen);
}

static void take_syn(struct direction *d, const struct tl_layers *l, struct tl_segment *segment)
{
	if (d->syn_seen && d->base_seq == l->seq)
		segment->verdict = TL_VERDICT_SYN_RETRANSMIT;
	d->syn_seen = true;
	d->seen = true;
	d->base_seq = l->seq;
	d->wscale_seen = l->flags & TL_LAYERS_TCP_WSCALE;
	d->wscale = l->wscale < 14 ? l->wscale : 14;
}

static void take_bytes(struct direction *d, const struct tl_layers *l, struct tl_segment *segment)
{
	bool syn = l->tcp_flags & TL_TCP_SYN;
	uint32_t start = l->seq + syn;
	uint32_t end = start + l->payload_bytes + !!(l->tcp_flags & TL_TCP_FIN);

	if (!d->seen)
		d->base_seq = d->next_seq = l->seq;
	d->seen = true;
	segment->relative_seq = l->seq - d->base_seq;
	if (start == end && !syn) {
		if (!(l->tcp_flags & TL_TCP_RST))
			segment->verdict = TL_VERDICT_PURE_ACK;
		return;
	}
	if (before(d->next_seq, end)) {
		uint32_t from = before(start, d->next_seq) ? d->next_seq : start;

		segment->new_bytes = end - from < l->payload_bytes ? end - from : l->payload_bytes;
		d->next_seq = end;
	} else if (segment->verdict == TL_VERDICT_NEW && !syn) {
		segment->verdict = d->acked && !before(d->una, end) ? TL_VERDICT_SPURIOUS
								    : TL_VERDICT_LOST_AFTER;
	}
}

static void classify(struct flow_state *f, const struct tl_flow_lookup *lookup,
		     struct tl_segment *segment)
{
	const struct tl_layers *l = lookup->layers;
	struct direction *d = &f->dir[lookup->ret_side];
	struct direction *peer = &f->dir[!lookup->ret_side];

	if (l->tcp_flags & TL_TCP_SYN)
		take_syn(d, l, segment);
	take_bytes(d, l, segment);
	take_ack(peer, l, segment);
	take_window(d, peer, l, segment);
	if (d->acked && before(d->una, d->next_seq))
		segment->flight_bytes = d->next_seq - d->una;
}

void tl_tracker__classify(struct tl_tracker *tracker, const struct tl_batch *batch,
			  size_t flow_offset, struct tl_segment *ret_segments)
{
	memset(ret_segments, 0, batch->n * sizeof(*ret_segments));
	for (uint32_t i = 0; i < batch->n; i++) {
		const struct tl_layers *l = &batch->layers[i];
		const struct tl_flow *flow = batch->lookup[i].ret_flow;
		bool tcp = l->proto == 6;
		struct tl_report_host host = { .ip = l->src, .ip_version = l->ip_version };

		if (!flow || (tcp && (!l->l4_offset || l->flags & TL_LAYERS_FRAGMENT_LATER))) {
			ret_segments[i].verdict = TL_VERDICT_NOT_TRACKED;
			continue;
		}
		host.only_syn = tcp && l->tcp_flags == TL_TCP_SYN;
		tl_report__host(&tracker->report, &host, batch->packet[i].ts_ns);
		if (tcp)
			classify((struct flow_state *)(batch->slab +
						       (size_t)flow->index * batch->slab_stride +
						       flow_offset),
				 &batch->lookup[i], &ret_segments[i]);
	}
}

void tl_tracker__tick(struct tl_tracker *tracker, uint64_t now_ns)
{
	tl_report__flush(&tracker->report, &tracker->totals, now_ns);
}

void tl_tracker__flow_end(struct tl_tracker *tracker, const struct tl_flow *flow, void *flow_state,
			  enum tl_flow_end end)
{
	const struct flow_state *f = flow_state;

	(void)end;
	if (flow->key.proto != 6)
		return;
	tracker->totals.tcp_flows++;
	tracker->totals.midstream_flows += !!(flow->flags & TL_FLOW_MIDSTREAM);
	tracker->totals.two_way_flows += f->dir[0].seen && f->dir[1].seen;
}

void tl_tracker__finish(struct tl_tracker *tracker, uint64_t now_ns)
{
	tl_report__flush(&tracker->report, &tracker->totals, now_ns);
}

void tl_tracker__totals(const struct tl_tracker *tracker, struct tl_tracker_totals *ret_totals)
{
	*ret_totals = tracker->totals;
}
