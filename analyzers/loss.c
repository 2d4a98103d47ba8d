/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.loss: segments that the network lost. This is the worker half: the tracker says of each
 * retransmission what it is; here they are counted, for each way between a client and a service.
 *
 *	flow's bytes       ill: a pool, for flows with a loss       path: (client, server, port)
 *	+-----------+      +-----------------------------+       +----------------------------+
 *	| its path  |─────►| burst and wait under way    |──────►| data segments · losses     |
 *	+-----------+      +-----------------------------+       +----------------------------+
 *
 * What a path counted is told each second of packet time: in full where something was lost, else
 * its segments alone, since the rate of a path is that of all its flows. A flow counts its segments
 * by itself, and hands them to its path in time to be told: with many flows, a path for each packet
 * would be a look into memory for each packet.
 *
 * Not counted: what a receiver with a shut window has no room for (tcp.zero_window), SYNs
 * (connect.*), data to a server that has not said a word yet (its accept queue may be full), and
 * what the capture itself missed: the tracker never calls that a loss.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/loss.h"
#include "tapline/fetch.h"

#define ILL_MAX	     4096u
#define SETS	     1024u /* of paths; a power of two */
#define WAYS	     4u
#define ALONE_LEAST  3			 /* of timers, where the receiver is not shown */
#define GONE_NS	     (5 * TL_NS_PER_SEC) /* without a word, who is sent to again is gone */
#define COUNTING_MAX 65536u		 /* flows with segments that their paths do not have yet */

/* A direction of a flow in which something was lost. */
struct trouble {
	uint64_t since_ns; /* the segment that RTOs repeat was sent; 0: no RTO under way */
	uint64_t last_rto_ns;
	uint32_t burst;	    /* losses in the burst under way */
	uint32_t lost_end;  /* relative, of the latest */
	uint8_t place;	    /* of the latest loss */
	uint8_t dsacks_due; /* retransmissions known as spurious, whose D-SACK is to come */
	uint16_t after;	    /* losses that a D-SACK may take back */
	bool counted[2];    /* by place: the flow, in its path */
	/*
	 * What timers repeated behind the tap since the receiver was heard last: it may be gone,
	 * and then it is no loss of the network's. Told when it is heard, or is not for long.
	 */
	struct loss_count held;
	uint64_t held_ns;
	int32_t stuck; /* told as such, since the receiver was heard */
};

/* A flow with a loss. */
struct ill {
	uint32_t next_free;	    /* index + 1 */
	const struct tl_flow *flow; /* NULL: it ended */
	struct flow_state *fs;
	struct trouble direction[2];
};

struct flow_state {
	uint32_t path;	      /* index + 1 */
	uint32_t path_use;    /* of that place in the table, when it was this flow's path's */
	uint32_t ill;	      /* index + 1 */
	bool talked[2];	      /* by direction: more than a SYN was seen */
	uint32_t counting;    /* index + 1; 0: `segments` are 0 */
	uint32_t segments[2]; /* with data, by direction, that the path does not have yet */
};

struct counting {
	const struct tl_flow *flow; /* NULL: it ended */
	struct flow_state *fs;
};

/* What is asked for at each look: one cache line. */
struct path {
	uint8_t client[16], server[16];
	uint16_t port;
	uint8_t ip_version;
	bool is_dirty;
	bool has_more; /* its `more` is not all 0 */
	bool is_ill;   /* something was lost */
	uint32_t use;  /* grows when the place is given to another path; 0: free */
	uint32_t segments[2];
};

/* Of a path on which something went wrong. */
struct more {
	struct tl_subject subject; /* of the first loss */
	struct loss_path sum;	   /* without the segments */
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second; /* that was told */
	uint32_t used, free;
	uint32_t withheld;
	uint32_t dirty;
	struct loss_totals pack;
	struct ill ill[ILL_MAX];
	uint32_t counting_count;
	struct path path[SETS * WAYS];
	struct more more[SETS * WAYS]; /* of the path at the same place */
	struct counting counting[COUNTING_MAX];
};

/* One packet on its way through. */
struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_segment *segment;
	uint64_t now_ns;
	uint8_t direction; /* enum loss_direction */
};

/* --- telling --------------------------------------------------------------------------------- */

static void pack_send(struct worker *w, uint64_t now_ns)
{
	struct tl_observation o;

	if (!w->pack.count && !w->withheld)
		return;
	tl_observation__clear(&o);
	o.kind = LOSS_OBSERVED_TOTALS;
	o.ts_ns = now_ns;
	o.data_bytes = sizeof(w->pack);
	w->pack.withheld = w->withheld;
	w->withheld = 0;
	memcpy(o.data, &w->pack, sizeof(w->pack));
	tl_analyzer_worker__emit(&w->out, &o);
	memset(&w->pack, 0, sizeof(w->pack));
}

static struct tl_endpoint endpoint(uint8_t ip_version, const uint8_t ip[16], uint16_t port)
{
	struct tl_endpoint e = { .ip_version = ip_version, .port = port };

	memcpy(e.ip, ip, sizeof(e.ip));
	return e;
}

static void pack_add(struct worker *w, const struct path *p, uint64_t now_ns)
{
	uint32_t n = w->pack.count++;

	w->pack.path[n].client = endpoint(p->ip_version, p->client, 0);
	w->pack.path[n].server = endpoint(p->ip_version, p->server, p->port);
	memcpy(w->pack.path[n].segments, p->segments, sizeof(p->segments));
	if (w->pack.count == LOSS_TOTALS_MAX)
		pack_send(w, now_ns);
}

static void tell(struct worker *w, struct path *p, uint64_t now_ns)
{
	struct more *more = &w->more[p - w->path];
	struct tl_observation o;

	if (!p->is_dirty)
		return;
	if (p->is_ill) {
		tl_observation__clear(&o);
		o.kind = LOSS_OBSERVED_PATH;
		o.ts_ns = now_ns;
		o.subject = more->subject;
		o.data_bytes = sizeof(more->sum);
		memcpy(more->sum.segments, p->segments, sizeof(p->segments));
		memcpy(o.data, &more->sum, sizeof(more->sum));
		tl_analyzer_worker__emit(&w->out, &o);
	} else {
		pack_add(w, p, now_ns);
	}
	if (p->has_more)
		memset(&more->sum, 0, sizeof(more->sum));
	p->segments[0] = p->segments[1] = 0;
	p->has_more = p->is_dirty = false;
	w->dirty--;
}

/* --- paths ----------------------------------------------------------------------------------- */

static bool same_ip(const uint8_t a[16], const uint8_t b[16])
{
	uint64_t x[2], y[2];

	memcpy(x, a, sizeof(x));
	memcpy(y, b, sizeof(y));
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]));
}

/* In a full set the quiet ones make room first. */
static struct path *path_find(struct worker *w, const struct tl_flow *flow, uint64_t now_ns)
{
	const uint8_t *client = flow->key.addr[flow->client & 1u];
	const uint8_t *server = flow->key.addr[!(flow->client & 1u)];
	uint16_t port = flow->key.port[!(flow->client & 1u)];
	uint64_t hash = tl_text__hash(tl_text__hash(port, client, 16), server, 16);
	struct path *set = &w->path[(hash & (SETS - 1)) * WAYS], *p = set;
	uint32_t use;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (set[i].use && set[i].port == port && same_ip(set[i].client, client) &&
		    same_ip(set[i].server, server) && set[i].ip_version == flow->key.ip_version)
			return &set[i];
		if (!set[i].use || (p->use && p->is_dirty && !set[i].is_dirty))
			p = &set[i];
	}
	tell(w, p, now_ns);
	use = p->use + 1;
	*p = (struct path){ .use = use ? use : 1,
			    .port = port,
			    .ip_version = flow->key.ip_version };
	memcpy(p->client, client, sizeof(p->client));
	memcpy(p->server, server, sizeof(p->server));
	return p;
}

/* The flow's path, marked as one to tell of. */
static struct path *path_of(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
			    uint64_t now_ns)
{
	struct path *p = fs->path ? &w->path[fs->path - 1] : NULL;

	if (!p || p->use != fs->path_use) {
		p = path_find(w, flow, now_ns);
		fs->path = (uint32_t)(p - w->path) + 1;
		fs->path_use = p->use;
	}
	w->dirty += !p->is_dirty;
	p->is_dirty = true;
	return p;
}

/* What else than segments its path counts. */
static struct loss_path *sum_of(const struct step *s)
{
	struct path *p = path_of(s->w, s->fs, s->flow, s->now_ns);

	p->has_more = true;
	return &s->w->more[p - s->w->path].sum;
}

/* --- segments -------------------------------------------------------------------------------- */

static void hand_over(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
		      uint64_t now_ns)
{
	struct path *p = path_of(w, fs, flow, now_ns);

	p->segments[LOSS_UP] += fs->segments[LOSS_UP];
	p->segments[LOSS_DOWN] += fs->segments[LOSS_DOWN];
	fs->segments[LOSS_UP] = fs->segments[LOSS_DOWN] = 0;
	fs->counting = 0;
}

static void hand_over_all(struct worker *w, uint64_t now_ns)
{
	for (uint32_t i = 0; i < w->counting_count; i++) {
		const struct counting *ahead = &w->counting[i + 8];

		if (i + 8 < w->counting_count && ahead->flow) {
			tl_fetch(ahead->flow);
			tl_fetch(ahead->fs);
		}
		if (w->counting[i].flow)
			hand_over(w, w->counting[i].fs, w->counting[i].flow, now_ns);
	}
	w->counting_count = 0;
}

/* Of a flow that has none which its path does not have yet. */
static __attribute__((noinline)) void begin_counting(struct worker *w, struct flow_state *fs,
						     const struct tl_flow *flow, uint64_t now_ns)
{
	if (w->counting_count == COUNTING_MAX)
		hand_over_all(w, now_ns);
	w->counting[w->counting_count++] = (struct counting){ flow, fs };
	fs->counting = w->counting_count;
}

/* --- losses ---------------------------------------------------------------------------------- */

static uint32_t most(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

static struct ill *ill_of(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct worker *w = s->w;

	if (fs->ill)
		return &w->ill[fs->ill - 1];
	if (w->free) {
		fs->ill = w->free;
		w->free = w->ill[fs->ill - 1].next_free;
	} else if (w->used < ILL_MAX) {
		fs->ill = ++w->used;
	} else {
		w->withheld++;
		return NULL;
	}
	w->ill[fs->ill - 1] = (struct ill){ .flow = s->flow, .fs = fs };
	return &w->ill[fs->ill - 1];
}

/* The path's count of losses in that direction at that place, of which this flow is a part. */
static struct loss_count *count_at(const struct step *s, uint8_t direction, uint8_t place)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[direction];
	struct loss_count *c = &sum_of(s)->count[direction][place];
	struct path *p = &s->w->path[s->fs->path - 1];

	if (!p->is_ill)
		s->w->more[p - s->w->path].subject = tl_subject__of_flow(s->flow, s->flow->client);
	p->is_ill = true;
	c->flows += !t->counted[place];
	t->counted[place] = true;
	if (!c->early[0].ts_ns)
		c->client_port = s->flow->key.port[s->flow->client];
	return c;
}

static bool is_too_little(const struct flow_state *fs, const struct trouble *t, uint8_t direction)
{
	return !fs->talked[!direction] && !t->stuck && t->held.lost < ALONE_LEAST;
}

/* The receiver was heard, or has not been for so long that it `is_gone`. */
static void tell_held(const struct step *s, uint8_t direction, bool is_gone)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[direction];
	struct loss_count *c;

	if (!t->held.lost && (is_gone || !t->stuck))
		return;
	c = count_at(s, direction, LOSS_AFTER);
	loss_count__add(c, &t->held);
	if (is_gone) {
		c->stuck_flows += !t->stuck;
		c->stuck_lost += t->held.lost;
		t->stuck += t->held.lost;
	} else if (t->stuck) {
		c->stuck_flows--;
		c->stuck_lost -= t->stuck;
		t->stuck = 0;
	}
	t->held = (struct loss_count){ 0 };
}

/* Neighbours in the stream were lost together: a queue ran over. */
static void count_burst(const struct step *s, struct trouble *t, struct loss_count *c,
			uint8_t place)
{
	int32_t gap = (int32_t)(s->segment->relative_seq - t->lost_end);
	int32_t near = (int32_t)(LOSS_BURST_SEGMENTS * s->layers->payload_bytes);
	bool goes_on = t->burst && t->place == place && gap < near && gap > -near;

	if (!goes_on)
		t->burst = 0;
	c->bursts += !goes_on;
	t->burst += !goes_on || gap >= 0;
	if (t->burst > c->burst_most)
		c->burst_most = t->burst;
	t->lost_end = s->segment->relative_seq + s->layers->payload_bytes;
	t->place = place;
}

static bool is_by_timer(const struct tl_segment *segment)
{
	return segment->trigger == TL_TRIGGER_RTO || segment->trigger == TL_TRIGGER_TLP;
}

static void count_trigger(const struct step *s, struct trouble *t, struct loss_count *c)
{
	const struct tl_segment *segment = s->segment;

	c->rto += segment->trigger == TL_TRIGGER_RTO;
	c->fast += segment->trigger == TL_TRIGGER_FAST;
	c->tlp += segment->trigger == TL_TRIGGER_TLP;
	if (segment->trigger != TL_TRIGGER_RTO)
		return;
	if (!t->since_ns)
		t->since_ns = segment->original_ns ? segment->original_ns : s->now_ns;
	t->last_rto_ns = s->now_ns;
}

static void on_loss(const struct step *s, uint8_t place)
{
	struct ill *ill = ill_of(s);
	struct loss_count *c;
	struct trouble *t;

	if (!ill)
		return;
	t = &ill->direction[s->direction];
	if (place == LOSS_AFTER && (t->held.lost || t->stuck || is_by_timer(s->segment))) {
		if (!t->held.lost && !t->stuck)
			t->held_ns = s->now_ns;
		c = &t->held;
	} else {
		c = count_at(s, s->direction, place);
	}
	c->lost++;
	c->retransmitted_bytes += s->layers->payload_bytes;
	if (place == LOSS_AFTER && t->after < UINT16_MAX)
		t->after++;
	count_burst(s, t, c, place);
	count_trigger(s, t, c);
	loss_count__prove(c, &(struct loss_proof){
				     .frame = s->packet->frame,
				     .ts_ns = s->now_ns,
				     .seq = s->layers->seq,
				     .bytes = (uint16_t)s->layers->payload_bytes,
				     .trigger = s->segment->trigger,
			     });
}

static void on_spurious(const struct step *s)
{
	struct ill *ill = ill_of(s);

	if (!ill)
		return;
	sum_of(s)->spurious[s->direction]++;
	if (ill->direction[s->direction].dsacks_due < UINT8_MAX)
		ill->direction[s->direction].dsacks_due++;
}

/* What was sent again had not been lost: `count` segments. */
static void take_back(const struct step *s, uint32_t count)
{
	uint8_t direction = !s->direction;
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[direction];
	struct loss_path *sum;

	if (count > t->after)
		count = t->after;
	if (!count)
		return;
	t->after -= (uint16_t)count;
	sum = sum_of(s);
	sum->count[direction][LOSS_AFTER].lost -= (int32_t)count;
	sum->spurious[direction] += count;
}

/* RFC 2883: segments came twice. */
static void on_dsack(const struct step *s)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[!s->direction];
	uint32_t twice = s->segment->dsack_segments;
	uint32_t due = twice < t->dsacks_due ? twice : t->dsacks_due;

	t->dsacks_due -= (uint8_t)due;
	take_back(s, twice - due);
}

static uint32_t waited_ms(const struct trouble *t, uint64_t until_ns)
{
	uint64_t ms = tl_span_ns(t->since_ns, until_ns) / TL_NS_PER_MS;

	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

/* The sender went on: it was heard. */
static void forget_held(const struct step *s)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[s->direction];

	t->held = (struct loss_count){ 0 };
	t->since_ns = 0;
}

/* It hangs still. */
static void note_wait(const struct step *s, uint8_t direction, uint64_t until_ns)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[direction];
	struct loss_count *c = count_at(s, direction, LOSS_AFTER);

	if (t->since_ns)
		c->stuck_ms = most(c->stuck_ms, waited_ms(t, until_ns));
}

/* How long the connection hung, if RTOs had to repeat: told when it goes on, or ends so. */
static void end_wait(const struct step *s, uint8_t direction, uint64_t until_ns, bool goes_on)
{
	struct trouble *t = &s->w->ill[s->fs->ill - 1].direction[direction];
	struct loss_count *c;
	uint32_t ms;

	if (!t->since_ns)
		return;
	ms = waited_ms(t, until_ns);
	t->since_ns = 0;
	c = &sum_of(s)->count[direction][t->place];
	if (goes_on)
		c->hung_ms = most(c->hung_ms, ms);
	else
		c->stuck_ms = most(c->stuck_ms, ms);
}

/* --- one packet ------------------------------------------------------------------------------ */

/*
 * Is what is sent again a loss, though the receiver may be unseen? What a timer repeats without the
 * sender going on is: nothing comes back to it. A probe of a shut window has one byte at the most.
 */
static bool is_heard(const struct step *s)
{
	const struct tl_segment *segment = s->segment;

	if (s->fs->talked[!s->direction])
		return true;
	if (s->flow->packets[s->direction == LOSS_UP ? !s->flow->client : s->flow->client])
		return false;
	if (segment->new_bytes && s->fs->ill)
		forget_held(s);
	return segment->verdict == TL_VERDICT_LOST_AFTER && is_by_timer(segment) &&
	       s->layers->payload_bytes > 1;
}

/* A flow with losses, or a segment that is not simply the next one. */
static __attribute__((noinline)) void on_trouble(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (fs->ill)
		tell_held(s, !s->direction, false);
	/* Who says goodbye was there all the time. */
	if (fs->ill && (s->segment->acked_bytes || s->layers->tcp_flags & TL_TCP_FIN))
		end_wait(s, !s->direction, s->now_ns, true);
	if (fs->ill && s->segment->dsack_bytes)
		on_dsack(s);
	if (fs->ill && s->segment->needless)
		take_back(s, s->segment->needless);
	/* What came by damaged was lost by that: packet.corrupt tells it. */
	if (!s->layers->payload_bytes || s->segment->mends || !is_heard(s))
		return;
	switch (s->segment->verdict) {
	case TL_VERDICT_LOST_BEFORE:
		on_loss(s, LOSS_BEFORE);
		break;
	case TL_VERDICT_LOST_AFTER:
		on_loss(s, LOSS_AFTER);
		break;
	case TL_VERDICT_SPURIOUS:
		on_spurious(s);
		break;
	case TL_VERDICT_REORDERED:
		sum_of(s)->reordered[s->direction]++;
		break;
	default:
		break;
	}
}

/* --- what the registry calls ----------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static bool is_usual(const struct flow_state *fs, const struct tl_segment *segment)
{
	return !fs->ill &&
	       (segment->verdict == TL_VERDICT_NEW || segment->verdict == TL_VERDICT_PURE_ACK);
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_flow *flow = b->batch->lookup[i].ret_flow;
		const struct tl_packet *packet = &b->batch->packet[i];
		const struct tl_layers *l = &b->batch->layers[i];
		struct flow_state *fs = tl_analyzer_batch__tcp_state(b, i, flow_offset);
		const uint8_t direction =
			b->batch->lookup[i].ret_side == flow->client ? LOSS_UP : LOSS_DOWN;

		if (l->tcp_flags & (TL_TCP_SYN | TL_TCP_RST))
			continue;
		fs->talked[direction] = true;
		if (l->payload_bytes) {
			fs->segments[direction]++;
			if (!fs->counting)
				begin_counting(state, fs, flow, packet->ts_ns);
		}
		if (is_usual(fs, &b->segment[i]))
			continue;
		on_trouble(&(struct step){ .w = state,
					   .fs = fs,
					   .flow = flow,
					   .packet = packet,
					   .layers = l,
					   .segment = &b->segment[i],
					   .now_ns = packet->ts_ns,
					   .direction = direction });
	}
}

/* Connections that wait for a host that is gone are told while they do. */
static void tell_gone(struct worker *w, uint64_t now_ns)
{
	for (uint32_t i = 0; i < w->used; i++) {
		const struct ill *ill = &w->ill[i];
		struct step s = { .w = w, .fs = ill->fs, .flow = ill->flow, .now_ns = now_ns };

		for (uint8_t direction = 0; direction < 2 && ill->flow; direction++) {
			const struct trouble *t = &ill->direction[direction];

			if (!t->held.lost || now_ns < t->held_ns + GONE_NS ||
			    is_too_little(s.fs, t, direction))
				continue;
			tell_held(&s, direction, true);
			note_wait(&s, direction, t->last_rto_ns);
		}
	}
}

static void tell_all(struct worker *w, uint64_t now_ns)
{
	tell_gone(w, now_ns);
	hand_over_all(w, now_ns);
	for (uint32_t i = 0; i < SETS * WAYS && w->dirty; i++)
		tell(w, &w->path[i], now_ns);
	pack_send(w, now_ns);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (tl_ticks__second_ended(&w->second, now_ns))
		tell_all(w, now_ns);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;
	struct worker *w = state;
	struct step s = { .w = w, .fs = fs, .flow = flow, .now_ns = flow->last_ns };

	(void)end;
	if (fs->counting) {
		w->counting[fs->counting - 1].flow = NULL;
		hand_over(w, fs, flow, s.now_ns);
	}
	if (!fs->ill)
		return;
	for (uint8_t direction = 0; direction < 2; direction++) {
		if (is_too_little(fs, &w->ill[fs->ill - 1].direction[direction], direction))
			continue;
		tell_held(&s, direction, true);
		end_wait(&s, direction, w->ill[fs->ill - 1].direction[direction].last_rto_ns,
			 false);
	}
	w->ill[fs->ill - 1].flow = NULL;
	w->ill[fs->ill - 1].next_free = w->free;
	w->free = fs->ill;
	fs->ill = 0;
}

static void finish(void *state, uint64_t now_ns)
{
	tell_all(state, now_ns);
}

const struct tl_analyzer tl_analyzer_loss = {
	.name = "loss",
	.wants = TL_WANTS_TCP,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.finish = finish,
	.judge_bytes = sizeof(struct loss_judge *),
	.judge_init = loss_judge__init,
	.observe = loss_judge__observe,
	.judge_tick = loss_judge__tick,
	.judge_finish = loss_judge__finish,
	.judge_fini = loss_judge__fini,
};
