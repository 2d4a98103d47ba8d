/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was found while the two sides were compared; see tally.h. */
#include "tally.h"

#include <string.h>

#define PROTO_TCP 6
#define TCP_SYN	  TL_TCP_SYN

/* --- sums ------------------------------------------------------------------------------------- */

static void add_example(struct examples *x, const struct example *e, uint64_t common_ns)
{
	const struct print *p = &e->print, *q = &x->at[0].print;
	bool back = x->count && !memcmp(p->src, q->dst, 16) && !memcmp(p->dst, q->src, 16);
	bool forth = x->count && !memcmp(p->src, q->src, 16) && !memcmp(p->dst, q->dst, 16);

	if (!x->count) {
		x->first_ns = common_ns;
		x->same_ends = x->same_ports = true;
	} else {
		x->same_ends &= back || forth;
		x->same_ports &= back ? p->src_port == q->dst_port && p->dst_port == q->src_port
				      : p->src_port == q->src_port && p->dst_port == q->dst_port;
	}
	if (x->count < EXAMPLES)
		x->at[x->count] = *e;
	x->count++;
	x->bytes += p->wirelen;
	x->first_ns = common_ns < x->first_ns ? common_ns : x->first_ns;
	x->last_ns = common_ns > x->last_ns ? common_ns : x->last_ns;
}

static uint32_t bucket_of(uint64_t ns)
{
	uint32_t power;

	if (ns < HISTOGRAM_SUB)
		return (uint32_t)ns;
	power = 63 - (uint32_t)__builtin_clzll(ns);
	return (power - 4) * HISTOGRAM_SUB + (uint32_t)(ns >> (power - 5)) - HISTOGRAM_SUB;
}

static uint64_t bucket_end(uint32_t bucket)
{
	uint32_t power = bucket / HISTOGRAM_SUB + 4;

	if (bucket < HISTOGRAM_SUB)
		return bucket;
	return ((uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB + 1) << (power - 5)) - 1;
}

uint64_t tally__quantile(const struct delays *d, double share)
{
	uint64_t rank = (uint64_t)(share * (double)d->packets), seen = 0;

	for (uint32_t i = 0; i < 64 * HISTOGRAM_SUB; i++) {
		uint64_t end = bucket_end(i);

		seen += d->bucket[i];
		if (seen > rank)
			return end < d->min_ns ? d->min_ns : end > d->max_ns ? d->max_ns : end;
	}
	return d->max_ns;
}

uint64_t tally__above(const struct delays *d, uint64_t ns)
{
	uint64_t count = 0;

	for (uint32_t i = bucket_of(ns) + 1; i < 64 * HISTOGRAM_SUB; i++)
		count += d->bucket[i];
	return count;
}

static void add_delay(struct delays *d, const struct example *e)
{
	uint32_t least = 0;

	d->min_ns = !d->packets || e->delay_ns < d->min_ns ? e->delay_ns : d->min_ns;
	d->max_ns = e->delay_ns > d->max_ns ? e->delay_ns : d->max_ns;
	d->packets++;
	d->bucket[bucket_of(e->delay_ns)]++;
	if (d->slowest_count < EXAMPLES) {
		d->slowest[d->slowest_count++] = *e;
		return;
	}
	for (uint32_t i = 1; i < EXAMPLES; i++)
		if (d->slowest[i].delay_ns < d->slowest[least].delay_ns)
			least = i;
	if (e->delay_ns > d->slowest[least].delay_ns)
		d->slowest[least] = *e;
}

/* --- pairs ------------------------------------------------------------------------------------ */

static void add_map(struct tally *t, const struct example *e, const uint8_t *ips[2], bool source)
{
	struct map *m = NULL;

	for (uint32_t i = 0; i < t->map_count && !m; i++)
		if (!memcmp(t->map[i].ip[0], ips[0], 16) && !memcmp(t->map[i].ip[1], ips[1], 16))
			m = &t->map[i];
	if (!m && t->map_count == MAPS_MAX)
		return;
	if (!m) {
		m = &t->map[t->map_count++];
		m->ip_version = e->print.ip_version;
		memcpy(m->ip[0], ips[0], 16);
		memcpy(m->ip[1], ips[1], 16);
	}
	m->as_source |= source;
	m->as_destination |= !source;
	add_example(&m->examples, e, e->print.ts_ns);
}

static void note_ends(struct tally *t, const struct entry *a, const struct entry *b,
		      const struct example *e)
{
	const uint8_t *src[2] = { a->print.src, b->print.src };
	const uint8_t *dst[2] = { a->print.dst, b->print.dst };
	uint32_t before = t->map_count;

	/* Without a number of its own a packet may have met another one's counterpart. */
	if (!a->print.is_strong && a->print.proto != PROTO_TCP)
		return;
	if (memcmp(src[0], src[1], 16))
		add_map(t, e, src, true);
	if (memcmp(dst[0], dst[1], 16))
		add_map(t, e, dst, false);
	if (t->map_count > before &&
	    (a->print.src_port != b->print.src_port || a->print.dst_port != b->print.dst_port))
		t->map[t->map_count - 1].ports_change = true;
}

static void note_rewrite(struct tally *t, enum rewrite what, const struct example *e,
			 const uint32_t values[2])
{
	if (!t->rewrite[what].count) {
		t->rewrite_from[what] = values[0];
		t->rewrite_to[what] = values[1];
	}
	add_example(&t->rewrite[what], e, e->print.ts_ns);
}

static void note_headers(struct tally *t, const struct entry *a, const struct entry *b,
			 const struct example *e)
{
	uint32_t tos[2] = { a->print.tos >> 2, b->print.tos >> 2 };
	uint32_t mss[2] = { a->print.mss, b->print.mss };

	if (tos[0] != tos[1])
		note_rewrite(t, REWRITE_TOS, e, tos);
	if (mss[0] != mss[1] && (a->print.tcp_flags & TCP_SYN))
		note_rewrite(t, REWRITE_MSS, e, mss);
}

static void note_altered(struct tally *t, const struct example *e, uint8_t direction)
{
	t->out->modified++;
	add_example(&t->modified[direction], e, e->print.ts_ns);
	if (t->suspect_count < SUSPECTS_MAX) {
		t->suspect[t->suspect_count] = *e;
		t->suspect_direction[t->suspect_count++] = direction;
	}
}

static uint8_t direction_of(const struct tally *t, const struct print *p, uint8_t side,
			    bool *ret_is_sure)
{
	int direction = hosts__direction(t->hosts, p->src, p->dst);

	*ret_is_sure = direction >= 0 && t->hosts->by_ttl;
	if (direction >= 0)
		return (uint8_t)direction;
	return side == TL_COMPARE_A ? TL_COMPARE_A_TO_B : TL_COMPARE_B_TO_A;
}

static void on_match(void *ctx, const struct entry *a, const struct entry *b, enum match_how how)
{
	struct tally *t = ctx;
	struct example e = { .print = a->print, .frame = { a->print.frame, b->print.frame } };
	bool is_sure;
	uint8_t d = direction_of(t, &a->print, TL_COMPARE_A, &is_sure);
	int64_t offset = clock__offset_at(&t->overview->clock, a->print.ts_ns);
	int64_t delay = (int64_t)(b->print.ts_ns - a->print.ts_ns) - offset;

	if (d == TL_COMPARE_B_TO_A)
		delay = -delay;
	e.delay_ns = delay > 0 ? (uint64_t)delay : 0;
	t->out->matched++;
	t->direction_packets[d]++;
	for (int side = 0; side < 2; side++) {
		uint64_t ts = side ? b->print.ts_ns : a->print.ts_ns;

		if (!t->first_matched[d][side] || ts < t->first_matched[d][side])
			t->first_matched[d][side] = ts;
		if (ts > t->last_matched[d][side])
			t->last_matched[d][side] = ts;
	}
	add_delay(&t->delay[d], &e);
	note_headers(t, a, b, &e);
	if (how == MATCH_WHOLE)
		note_ends(t, a, b, &e);
	else if (a->print.payload != b->print.payload ||
		 a->print.payload_bytes != b->print.payload_bytes)
		note_altered(t, &e, d);
	else
		note_rewrite(t, REWRITE_NUMBERS, &e, (uint32_t[]){ 0, 0 });
}

/* --- packets without a counterpart ------------------------------------------------------------ */

/*
 * Was the other side capturing when this packet passed there, or should have? Yes between two
 * packets of its direction that both sides have, and well within the other side's capture.
 */
static bool was_captured_there(const struct tally *t, const struct entry *e, uint8_t d)
{
	const struct overview *o = t->overview;
	uint64_t ts = e->print.ts_ns, there, margin = t->margin_ns;
	bool after_first, before_last;

	there = e->side == TL_COMPARE_A ? ts + (uint64_t)clock__offset_at(&o->clock, ts)
					: e->common_ns;
	after_first = (t->first_matched[d][e->side] && ts > t->first_matched[d][e->side]) ||
		      there >= o->first_ns[!e->side] + margin;
	before_last = ts < t->last_matched[d][e->side] || there + margin <= o->last_ns[!e->side];
	return after_first && before_last;
}

/*
 * Of one link alone: addresses that no router passes on (RFC 4291, 2.5.6 and 2.7; RFC 3927; RFC
 * 5771, 4), and multicast at the end of its hops.
 */
static bool is_of_link(const struct print *p)
{
	const uint8_t *src = p->src, *dst = p->dst;

	if (p->ip_version == 6)
		return (src[0] == 0xfe && (src[1] & 0xc0) == 0x80) ||
		       (dst[0] == 0xfe && (dst[1] & 0xc0) == 0x80) ||
		       (dst[0] == 0xff && ((dst[1] & 0xf) <= 2 || p->ttl <= 1));
	return (src[0] == 169 && src[1] == 254) || (dst[0] == 169 && dst[1] == 254) ||
	       (dst[0] == 224 && !dst[1] && !dst[2]) || (dst[0] >> 4 == 14 && p->ttl <= 1) ||
	       (dst[0] & dst[1] & dst[2] & dst[3]) == 255 || !(src[0] | src[1] | src[2] | src[3]);
}

static struct stranger *stranger(struct tally *t, const uint8_t ip[16], uint8_t side)
{
	struct stranger *s;

	for (uint32_t i = 0; i < t->stranger_count; i++)
		if (t->stranger[i].side == side && !memcmp(t->stranger[i].ip, ip, 16))
			return &t->stranger[i];
	if (t->stranger_count == STRANGERS_MAX)
		return NULL;
	s = &t->stranger[t->stranger_count++];
	memcpy(s->ip, ip, 16);
	s->side = side;
	return s;
}

/* True: the packet is of a stranger or for one, and is judged when all is known. */
static bool is_put_off(struct tally *t, const struct entry *entry, const struct example *e)
{
	int here = entry->side == TL_COMPARE_A ? 1 : -1;
	int from = hosts__side(t->hosts, e->print.src), to = hosts__side(t->hosts, e->print.dst);
	struct stranger *s;

	if (!from && to != -here) {
		s = stranger(t, e->print.src, entry->side);
		if (s)
			s->answers = true;
		if (s && to) {
			t->out->not_compared[entry->side]++;
			return true;
		}
	}
	if (to || from == -here)
		return false;
	s = stranger(t, e->print.dst, entry->side);
	if (s)
		add_example(&s->unanswered, e, entry->common_ns);
	return s != NULL;
}

static void count_lost(struct tally *t, uint8_t side, const struct examples *from)
{
	/* Where nothing tells the direction, what is seen at one point was lost on its way. */
	uint8_t d = side == TL_COMPARE_A ? TL_COMPARE_A_TO_B : TL_COMPARE_B_TO_A;
	struct examples *to = &t->lost[d];

	t->out->only[side] += from->count;
	t->out->lost[d] += from->count;
	t->direction_packets[d] += from->count;
	if (!to->count) {
		*to = *from;
		return;
	}
	for (uint64_t i = 0; i < from->count && i < EXAMPLES && to->count + i < EXAMPLES; i++)
		to->at[to->count + i] = from->at[i];
	to->same_ends = to->same_ports = false;
	to->count += from->count;
	to->bytes += from->bytes;
	to->first_ns = from->first_ns < to->first_ns ? from->first_ns : to->first_ns;
	to->last_ns = from->last_ns > to->last_ns ? from->last_ns : to->last_ns;
}

void tally__settle(struct tally *t)
{
	for (uint32_t i = 0; i < t->stranger_count; i++) {
		const struct stranger *s = &t->stranger[i];

		if (s->answers)
			t->out->not_compared[s->side] += s->unanswered.count;
		else if (s->unanswered.count)
			count_lost(t, s->side, &s->unanswered);
	}
}

static void on_unmatched(void *ctx, const struct entry *entry)
{
	struct tally *t = ctx;
	struct example e = { .print = entry->print };
	bool is_sure, is_upstream;
	uint8_t d = direction_of(t, &entry->print, entry->side, &is_sure);

	e.frame[entry->side] = entry->print.frame;
	if (is_of_link(&entry->print)) {
		t->out->not_compared[entry->side]++;
		return;
	}
	if (!t->overview->has_clock || !was_captured_there(t, entry, d)) {
		t->out->outside[entry->side]++;
		return;
	}
	if (entry->is_copy) {
		t->out->duplicated[entry->side]++;
		add_example(&t->duplicated[entry->side], &e, entry->common_ns);
		return;
	}
	if (is_put_off(t, entry, &e))
		return;
	is_upstream = (entry->side == TL_COMPARE_A) == (d == TL_COMPARE_A_TO_B);
	if (is_sure && !is_upstream) {
		t->out->only[entry->side]++;
		t->out->missed[!entry->side]++;
		return;
	}
	d = entry->side == TL_COMPARE_A ? TL_COMPARE_A_TO_B : TL_COMPARE_B_TO_A;
	t->out->only[entry->side]++;
	t->out->lost[d]++;
	t->direction_packets[d]++;
	add_example(&t->lost[d], &e, entry->common_ns);
}

const struct window_ops tally__ops = { .matched = on_match, .unmatched = on_unmatched };
