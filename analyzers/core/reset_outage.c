/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When was a service down? From the ends of its connections, the SYNs that failed and those that
 * were answered (reset.h).
 *
 *	ends       ▮▮▮▮
 *	SYNs            ✗   ✗     ✗        ✓
 *	           └────── outage ────────┘
 *
 * An outage is: several connections that the server ended within a second, then SYNs that fail, one
 * of them by a client that was cut, and nothing that the service accepts or answers meanwhile. A
 * load balancer that is drained ends connections too, but its port stays open, as does one that
 * closes each connection behind its answer; a client that alone is refused was not served before;
 * and a SYN that is answered as soon as it is repeated was lost. Control thread only.
 */
#include "core/reset.h"

#define CLUSTER_NS TL_NS_PER_SEC
#define BEFORE_NS  (30 * TL_NS_PER_SEC) /* clients may take this long to come back */
#define ALIVE_NS   (100 * TL_NS_PER_MS)
#define SILENT_NS  TL_NS_PER_SEC /* least that no SYN is answered, where none is refused */

/* When the service accepted a connection again, as this interval knows; else a time before. */
static uint64_t back_at(const struct reset_outage *o, const struct reset_service *s)
{
	return s->accept_ns > o->down_ns ? s->accept_ns : s->accept_last_ns;
}

static void add_ends(struct reset_history *h, const struct reset_service *s)
{
	struct reset_outage *o = h->is_out ? &h->outage[(h->outages - 1) % RESET_OUTAGES] : NULL;

	h->ends[h->ends_at++ % RESET_ENDS] = (struct reset_ends){
		.first_ns = s->end_first_ns,
		.last_ns = s->end_last_ns,
		.first_frame = s->end_first_frame,
		.last_frame = s->end_last_frame,
		.clients = s->end_clients,
		.count = s->ends,
		.rsts = s->rsts,
	};
	if (!o)
		return;
	/* What ends after it is back was not cut by it, though one interval tells of both. */
	if (back_at(o, s) > o->down_ns && s->end_first_ns >= back_at(o, s))
		return;
	/* A connection that was idle learns of it when it is used. */
	o->flows += s->ends;
	o->rsts += s->rsts;
	if (s->end_last_ns > o->cut_ns) {
		o->cut_ns = s->end_last_ns;
		o->cut_frame = s->end_last_frame;
	}
	h->is_dirty = true;
}

static void add_downs(struct reset_history *h, const struct reset_service *s)
{
	struct reset_outage *o =
		h->is_out ? &h->outage[(h->outages - 1) % RESET_OUTAGES] : &h->pending;

	if (!o->down_ns) {
		o->down_ns = s->down_first_ns;
		o->down_frame = s->down_first_frame;
	}
	if (s->down_last_ns > o->down_last_ns)
		o->down_last_ns = s->down_last_ns;
	o->clients |= s->down_clients;
	o->downs += s->downs;
	o->refuses |= s->refuses;
	h->is_dirty |= h->is_out;
}

/* The ends within a second from those of entry `from` on, as the beginning of an outage. */
static void gather(const struct reset_history *h, const struct reset_ends *from,
		   struct reset_outage *ret_outage, uint64_t *ret_clients)
{
	for (uint32_t i = 0; i < RESET_ENDS; i++) {
		const struct reset_ends *e = &h->ends[i];

		if (!e->count || e->first_ns < from->first_ns ||
		    e->first_ns > from->first_ns + CLUSTER_NS)
			continue;
		ret_outage->flows += e->count;
		ret_outage->rsts += e->rsts;
		*ret_clients |= e->clients;
		if (e->last_ns > ret_outage->cut_ns) {
			ret_outage->cut_ns = e->last_ns;
			ret_outage->cut_frame = e->last_frame;
		}
	}
	ret_outage->from_ns = from->first_ns;
	ret_outage->from_frame = from->first_frame;
}

static void try_begin(struct reset_history *h)
{
	struct reset_outage best = { 0 };

	if (!h->pending.down_ns || h->is_out)
		return;
	for (uint32_t i = 0; i < RESET_ENDS; i++) {
		const struct reset_ends *e = &h->ends[i];
		struct reset_outage o = h->pending;
		uint64_t clients = 0;

		if (!e->count || e->first_ns + BEFORE_NS < o.down_ns ||
		    e->first_ns > o.down_ns + CLUSTER_NS || e->first_ns < h->accept_ns)
			continue;
		gather(h, e, &o, &clients);
		if (o.flows >= RESET_CRASH_LEAST && clients & o.clients &&
		    (o.flows > best.flows || (o.flows == best.flows && o.from_ns > best.from_ns)))
			best = o;
	}
	if (!best.flows)
		return;
	h->outage[h->outages++ % RESET_OUTAGES] = best;
	h->pending = (struct reset_outage){ 0 };
	h->is_out = h->is_dirty = true;
}

static void add_accepts(struct reset_history *h, const struct reset_service *s)
{
	struct reset_outage *o =
		h->is_out ? &h->outage[(h->outages - 1) % RESET_OUTAGES] : &h->pending;
	uint64_t at = back_at(o, s);

	if (s->accept_last_ns > h->accept_ns)
		h->accept_ns = s->accept_last_ns;
	if (!o->down_ns || at <= o->down_ns)
		return;
	if (h->is_out) {
		o->back_ns = at;
		o->back_frame = at == s->accept_ns ? s->accept_frame : 0;
		h->is_out = false;
		h->is_dirty = true;
	}
	h->pending = (struct reset_outage){ 0 };
}

static void add_answer(struct reset_history *h, const struct reset_service *s)
{
	struct reset_outage *o = &h->outage[(h->outages - 1) % RESET_OUTAGES];

	if (!h->is_out || s->answer_ns <= o->down_ns + ALIVE_NS)
		return;
	/* It only stopped to listen: those that it serves, it serves. */
	h->outages--;
	h->is_out = false;
	h->is_dirty = true;
}

void reset_history__add(struct reset_history *h, const struct reset_service *s)
{
	if (s->ends)
		add_ends(h, s);
	/* Accepted before it failed? Then that is where a new count begins. */
	if (s->downs && s->accept_last_ns && s->accept_last_ns < s->down_first_ns)
		add_accepts(h, s);
	if (s->downs)
		add_downs(h, s);
	try_begin(h);
	if (s->accept_last_ns && !(s->downs && s->accept_last_ns < s->down_first_ns))
		add_accepts(h, s);
	else if (s->answer_ns)
		add_answer(h, s);
}

bool reset_outage__is_sure(const struct reset_outage *o, uint64_t now_ns)
{
	uint64_t until = o->back_ns ? o->back_ns : now_ns;

	return tl_span_ns(o->from_ns, until) >= RESET_OUTAGE_LEAST_NS &&
	       (o->refuses || tl_span_ns(o->down_ns, until) >= SILENT_NS);
}

bool reset_history__covers(const struct reset_history *h, uint64_t rst_ns, uint64_t now_ns)
{
	uint32_t n = h->outages < RESET_OUTAGES ? h->outages : RESET_OUTAGES;

	for (uint32_t i = 0; i < n; i++) {
		const struct reset_outage *o = &h->outage[(h->outages - 1 - i) % RESET_OUTAGES];

		if (reset_outage__is_sure(o, now_ns) && rst_ns + CLUSTER_NS >= o->from_ns &&
		    (!o->back_ns || rst_ns <= o->back_ns))
			return true;
	}
	return false;
}
