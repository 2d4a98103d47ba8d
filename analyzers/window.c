/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.zero_window: a receiver that shut its window, so that its peer could not send.
 *
 *	                 ACK, window 0                        ACK, window > 0
 *	receiver ────────────┼───────────────────────────────────┼──────────────►
 *	sender   ──data──────│ · · · probe · · probe · · · probe  │──data──►
 *	                     └───────────── stalled ─────────────┘
 *
 * A stall begins with a window of 0 on a segment that is no SYN, FIN or RST (those carry windows
 * that mean something else) and ends with the first window above 0, or, where the mirror lost that
 * one, when data is accepted again. The scale of the window does not matter for a 0. A probe may
 * have any shape: the tracker knows them, and an ACK that repeats the 0 answers one unseen.
 *
 * A window of a few bytes is as good as shut (the silly window syndrome, RFC 9293, 3.8.6.2.2): the
 * stall goes on as long as less than NARROW_BYTES are offered, where the scale is known. What
 * squeezes through then counts as what waited.
 *
 * A window that is shut while nobody has anything to send hurts nobody: then it is an info.
 *
 * Invariants: copies never count; a flow without a shut window costs 8 bytes and two tests; flows
 * with one have an entry of a pool of fixed size, and those without room are counted.
 */
#include "core/facts.h"
#include "core/tcp_fault.h"

#define STALLS_MAX     4096u
#define TELL_FROM_NS   (200 * TL_NS_PER_MS) /* shorter ones are told only as part of a sum */
#define TELL_OPEN_NS   TL_NS_PER_SEC	    /* a stall that lasts is told before it ends */
#define BACKLOG_NS     (200 * TL_NS_PER_MS) /* after it opened: what had waited is sent now */
#define WARN_MS	       1000u
#define ERROR_MS       5000u
#define REPORTS_EACH_S 4000u
#define NARROW_BYTES   512u /* less than the least segment that all must take (RFC 9293, 3.7.1) */
#define SQUEEZED_LEAST 3u   /* segments through a narrow window, before it is told of */

struct stall {
	uint64_t shut_ns; /* 0: the window is open */
	uint64_t shut_frame;
	uint64_t resumed_ns; /* data came into the shut window: the next ACK says what it was */
	uint64_t resumed_frame;
	uint64_t opened_ns, opened_frame; /* what follows at once had waited */
	uint64_t told_ns;		  /* up to where this stall is in sum_ns, or was told */
	uint64_t sum_ns;		  /* not told yet, as what follows */
	uint64_t longest_ns;
	uint64_t probe_ns, probe_frame; /* the latest */
	uint32_t probes, answers, probes_told;
	uint32_t blocked; /* bytes */
	uint32_t ack;
	uint32_t squeezed; /* segments of the stall that came through a narrow window */
	uint16_t stalls;   /* begun */
	uint16_t narrow;   /* bytes that are offered; 0: none */
	uint16_t widest;   /* of the stall: bytes; 0: it was shut all the time */
	bool was_told;	   /* of this flow */
};

struct entry {
	uint32_t next_free;	    /* index + 1 */
	const struct tl_flow *flow; /* borrowed until it ends; NULL: free */
	const struct flow_state *fs;
	struct stall side[2];
};

struct flow_state {
	uint32_t entry;	  /* index + 1; 0: no window was ever shut */
	bool was_wide[2]; /* by side */
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second;
	uint32_t reports;
	uint32_t used, free;
	uint32_t waiting; /* stalls that are over, of which the backlog is being counted */
	uint64_t withheld;
	struct entry entry[STALLS_MAX];
};

/*
 * What the worker tells: sums since it told last of this side of the flow, and which stall is the
 * newest.
 */
struct report {
	uint64_t shut_ns, shut_frame;
	uint64_t probe_ns, probe_frame;	  /* the latest; 0: none since */
	uint64_t opened_ns, opened_frame; /* 0: it is still shut, or its flow ended so */
	uint64_t at_ns;
	uint64_t sum_ns;
	uint64_t longest_ns;
	uint64_t withheld;
	uint32_t probes, blocked;
	uint32_t ack;
	uint16_t stalls; /* begun */
	uint16_t widest; /* bytes */
	bool was_wide;	 /* before */
	bool is_new_flow;
	bool by_client;
	uint8_t app;
};

_Static_assert(sizeof(struct report) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* One packet on its way through. */
struct step {
	struct worker *w;
	const struct tl_flow *flow;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_segment *segment;
	const struct flow_state *fs;
	uint64_t now_ns;
	uint8_t side;
};

/* --- reports --------------------------------------------------------------------------------- */

static bool may_report(struct worker *w, uint64_t now_ns)
{
	if (now_ns / TL_NS_PER_SEC != w->second) {
		w->second = now_ns / TL_NS_PER_SEC;
		w->reports = 0;
	}
	if (w->reports++ < REPORTS_EACH_S)
		return true;
	w->withheld++;
	return false;
}

/* `s` is side `step->side`'s or its peer's; tells what was not told yet. */
static void report(const struct step *step, struct stall *s, uint8_t side)
{
	struct worker *w = step->w;
	struct tl_observation o = { .data_bytes = sizeof(struct report) };
	/* A probe that was not seen has an answer that was. */
	uint32_t probes = s->probes > s->answers ? s->probes : s->answers;
	struct report r = {
		.shut_ns = s->shut_ns,
		.shut_frame = s->shut_frame,
		.probe_ns = s->probe_ns,
		.probe_frame = s->probe_frame,
		.opened_ns = s->opened_ns,
		.opened_frame = s->opened_frame,
		.at_ns = s->told_ns,
		.sum_ns = s->sum_ns,
		.longest_ns = s->longest_ns,
		.withheld = w->withheld,
		.probes = probes - s->probes_told,
		.blocked = s->blocked,
		.ack = s->ack,
		.stalls = s->stalls,
		.widest = s->squeezed >= SQUEEZED_LEAST ? s->widest : 0,
		.was_wide = step->fs->was_wide[side],
		.is_new_flow = !s->was_told,
		.by_client = side == step->flow->client,
		.app = step->flow->app,
	};

	if (!may_report(w, step->now_ns))
		return;
	w->withheld = 0;
	s->sum_ns = s->longest_ns = s->probe_ns = 0;
	s->blocked = s->stalls = 0;
	s->probes_told = probes;
	s->was_told = true;
	o.ts_ns = step->now_ns;
	o.subject = tl_subject__of_flow(step->flow, step->flow->client);
	memcpy(o.data, &r, sizeof(r));
	tl_analyzer_worker__emit(&w->out, &o);
}

/* The stall lasted (at least) until then. */
static void count_until(struct stall *s, uint64_t ns)
{
	s->sum_ns += tl_span_ns(s->told_ns, ns);
	if (ns > s->told_ns)
		s->told_ns = ns;
	if (tl_span_ns(s->shut_ns, ns) > s->longest_ns)
		s->longest_ns = tl_span_ns(s->shut_ns, ns);
}

/* --- a stall --------------------------------------------------------------------------------- */

static void shut(const struct step *step, struct stall *s)
{
	s->shut_ns = s->told_ns = step->now_ns;
	s->shut_frame = step->packet->frame;
	s->ack = step->layers->ack;
	s->resumed_ns = s->opened_ns = 0;
	s->squeezed = s->widest = 0;
	if (s->stalls < UINT16_MAX)
		s->stalls++;
}

/* What waited has been sent; tells of the stall if it was long enough to be told by itself. */
static void settle(const struct step *step, struct stall *s, uint8_t side)
{
	if (!s->opened_ns)
		return;
	step->w->waiting--;
	if (s->longest_ns >= TELL_FROM_NS)
		report(step, s, side);
	s->shut_ns = s->opened_ns = 0;
}

static void open_up(const struct step *step, struct stall *s, uint64_t ns, uint64_t frame)
{
	step->w->waiting++;
	count_until(s, ns);
	s->opened_ns = ns;
	s->opened_frame = frame;
	s->resumed_ns = 0;
}

static bool is_shut(const struct stall *s)
{
	return s->shut_ns && !s->opened_ns;
}

static void add_blocked(struct stall *s, uint32_t bytes)
{
	s->blocked = s->blocked > UINT32_MAX - bytes ? UINT32_MAX : s->blocked + bytes;
}

static void probed(const struct step *step, struct stall *s)
{
	s->probes++;
	s->probe_ns = step->now_ns;
	s->probe_frame = step->packet->frame;
	if (step->now_ns >= s->told_ns + TELL_OPEN_NS) {
		count_until(s, step->now_ns);
		report(step, s, !step->side);
	}
}

/* --- one packet ------------------------------------------------------------------------------ */

/* More than 0 and too little to send into? Only where the scale is known (RFC 7323, 2.2). */
static bool is_narrow(const struct tl_segment *s)
{
	return s->window_known && s->window_bytes && s->window_bytes < NARROW_BYTES;
}

static void narrow(const struct step *step, struct stall *s)
{
	s->narrow = (uint16_t)step->segment->window_bytes;
	if (s->narrow > s->widest)
		s->widest = s->narrow;
	s->resumed_ns = 0;
}

/* A window that is too narrow lasts until it is wide. */
static void on_narrow(const struct step *step, struct stall *s)
{
	if (!is_shut(s)) {
		settle(step, s, step->side);
		shut(step, s);
	}
	narrow(step, s);
	if (s->squeezed >= SQUEEZED_LEAST && step->now_ns >= s->told_ns + TELL_OPEN_NS) {
		count_until(s, step->now_ns);
		report(step, s, step->side);
	}
}

/* The side that advertises the window. */
static void on_receiver(const struct step *step, struct stall *s)
{
	bool accepts = step->segment->acked_bytes;

	if (!(step->layers->tcp_flags & TL_TCP_ACK))
		return;
	if (is_narrow(step->segment)) {
		on_narrow(step, s);
		return;
	}
	s->narrow = 0;
	if (!is_shut(s)) {
		if (step->layers->window)
			return;
		settle(step, s, step->side);
		shut(step, s);
	} else if (step->layers->window) {
		open_up(step, s, s->resumed_ns ? s->resumed_ns : step->now_ns, step->packet->frame);
	} else if (s->resumed_ns && accepts) {
		/* It opened unseen, took data, and is full again. */
		open_up(step, s, s->resumed_ns, s->resumed_frame);
		settle(step, s, step->side);
		shut(step, s);
	} else {
		/* What came into the shut window, if anything, was one more probe. */
		s->answers += !accepts;
		s->resumed_ns = 0;
	}
}

/* The side that waits. */
static void on_sender(const struct step *step, struct stall *s)
{
	const struct tl_segment *segment = step->segment;

	if (s->opened_ns) {
		if (segment->new_bytes && step->now_ns <= s->opened_ns + BACKLOG_NS)
			add_blocked(s, segment->new_bytes);
		return;
	}
	switch (segment->verdict) {
	case TL_VERDICT_WINDOW_PROBE:
	case TL_VERDICT_KEEPALIVE:
		probed(step, s);
		break;
	case TL_VERDICT_LOST_BEFORE:
	case TL_VERDICT_LOST_AFTER:
	case TL_VERDICT_SPURIOUS:
		/* What the receiver had no room for is sent again until it has. */
		if (!s->answers && !s->probes)
			add_blocked(s, segment->flight_bytes);
		probed(step, s);
		break;
	case TL_VERDICT_NEW:
		if (segment->new_bytes && segment->new_bytes <= s->narrow) {
			s->squeezed++;
			add_blocked(s, segment->new_bytes);
		} else if (segment->new_bytes > 1 && !s->resumed_ns) {
			s->resumed_ns = step->now_ns;
			s->resumed_frame = step->packet->frame;
			add_blocked(s, segment->new_bytes);
		}
		break;
	default:
		break;
	}
}

/* No more of this connection: the stall ends where it stands. */
static void on_end(const struct step *step, struct stall *s, uint8_t side)
{
	if (is_shut(s)) {
		count_until(s, step->now_ns);
		if (s->longest_ns >= TELL_FROM_NS)
			report(step, s, side);
		s->shut_ns = 0;
	}
	settle(step, s, side);
	/* Short ones that add up. */
	if (s->sum_ns >= WARN_MS * TL_NS_PER_MS)
		report(step, s, side);
}

static struct entry *entry_take(const struct step *step, struct flow_state *fs)
{
	struct worker *w = step->w;
	struct entry *e;

	if (w->free) {
		fs->entry = w->free;
		w->free = w->entry[fs->entry - 1].next_free;
	} else if (w->used < STALLS_MAX) {
		fs->entry = ++w->used;
	} else {
		w->withheld++;
		return NULL;
	}
	e = &w->entry[fs->entry - 1];
	memset(e, 0, sizeof(*e));
	e->flow = step->flow;
	e->fs = fs;
	return e;
}

/* Of a flow that has no entry: does its window shut, or nearly so? */
static bool is_shutting(const struct tl_layers *l, const struct tl_segment *segment)
{
	if (l->window >= NARROW_BYTES || !(l->tcp_flags & TL_TCP_ACK) ||
	    l->tcp_flags & (TL_TCP_FIN | TL_TCP_RST))
		return false;
	return !l->window || is_narrow(segment);
}

static __attribute__((noinline)) void on_stall(const struct step *step, struct flow_state *fs)
{
	const uint8_t flags = step->layers->tcp_flags;
	bool ends = flags & (TL_TCP_FIN | TL_TCP_RST);
	struct entry *e = fs->entry ? &step->w->entry[fs->entry - 1] : entry_take(step, fs);

	if (!e)
		return;
	for (uint8_t side = 0; side < 2; side++) {
		struct stall *s = &e->side[side];

		if (s->opened_ns && step->now_ns > s->opened_ns + BACKLOG_NS)
			settle(step, s, side);
		if (flags & TL_TCP_RST || (ends && side == step->side))
			on_end(step, s, side);
		else if (side == step->side)
			on_receiver(step, s);
		else if (s->shut_ns)
			on_sender(step, s);
	}
}

/* --- worker half, as the registry calls it --------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_layers *l = &b->batch->layers[i];
		const struct tl_segment *segment = &b->segment[i];
		const uint8_t side = b->batch->lookup[i].ret_side;
		struct flow_state *fs = tl_analyzer_batch__tcp_state(b, i, flow_offset);

		if (l->tcp_flags & TL_TCP_SYN)
			continue;
		fs->was_wide[side] |= segment->window_bytes >= NARROW_BYTES;
		if (!fs->entry && !is_shutting(l, segment))
			continue;
		on_stall(&(struct step){ .w = state,
					 .flow = b->batch->lookup[i].ret_flow,
					 .packet = &b->batch->packet[i],
					 .layers = l,
					 .segment = segment,
					 .fs = fs,
					 .now_ns = b->batch->packet[i].ts_ns,
					 .side = side },
			 fs);
	}
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	for (uint32_t i = 0; i < w->used && w->waiting; i++) {
		struct step step = {
			.w = w, .flow = w->entry[i].flow, .fs = w->entry[i].fs, .now_ns = now_ns
		};

		for (uint8_t side = 0; side < 2 && step.flow; side++) {
			struct stall *s = &w->entry[i].side[side];

			if (s->opened_ns && now_ns > s->opened_ns + BACKLOG_NS)
				settle(&step, s, side);
		}
	}
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;
	struct worker *w = state;
	struct step step = { .w = w, .flow = flow, .fs = fs, .now_ns = flow->last_ns };

	(void)end;
	if (!fs->entry)
		return;
	for (uint8_t side = 0; side < 2; side++)
		on_end(&step, &w->entry[fs->entry - 1].side[side], side);
	w->entry[fs->entry - 1].flow = NULL;
	w->entry[fs->entry - 1].next_free = w->free;
	w->free = fs->entry;
	fs->entry = 0;
}

/* --- judge half ------------------------------------------------------------------------------ */

struct judge {
	struct tl_analyzer_judge view;
};

static int judge_init(void *state, const struct tl_analyzer_judge *view)
{
	struct judge *j = state;

	j->view = *view;
	return 0;
}

static void add(struct tl_finding *f, const char *name, uint64_t value)
{
	tl_finding__detail_u64(f, name, tl_finding__detail_get_u64(f, name) + value);
}

static void prove(struct tl_finding *f, const struct report *r)
{
	if (r->stalls)
		tl_finding__evidence(f, r->shut_frame, r->shut_ns,
				     r->widest ? "window of %u bytes or less, ack %u"
					       : "window %u, ack %u",
				     r->widest, r->ack);
	if (r->probe_ns)
		tl_finding__evidence(f, r->probe_frame, r->probe_ns, "probe of the shut window");
	if (r->opened_ns)
		tl_finding__evidence(f, r->opened_frame, r->opened_ns, "goes on, after %llu ms",
				     (unsigned long long)tl_span_ns(r->shut_ns, r->opened_ns) /
					     TL_NS_PER_MS);
}

static void weigh(const struct judge *j, struct tl_finding *f, const struct report *r)
{
	uint64_t longest = tl_finding__detail_get_u64(f, "longest_ms");
	uint64_t flows = tl_finding__detail_get_u64(f, "flows");
	uint64_t stalled = tl_finding__detail_get_u64(f, "stalled_ms");
	uint64_t drops = tl_facts__capture_drops(j->view.facts);
	bool probed = tl_finding__detail_get_u64(f, "probes");
	bool harms = probed || tl_finding__detail_get_u64(f, "bytes_blocked");
	bool is_narrow = tl_finding__detail_get_u64(f, "widest_window");

	f->severity = TL_INFO;
	if (harms && (longest >= WARN_MS || stalled / flows >= 2 * WARN_MS))
		f->severity = longest >= ERROR_MS && !is_narrow ? TL_ERROR : TL_WARNING;
	/* It never had more to offer: a small device, as it is. */
	if (is_narrow && !r->was_wide)
		f->severity = TL_INFO;
	f->confidence = probed ? 0.97 : 0.85;
	f->counter_evidence_count = 0;
	if (!harms)
		tl_finding__counter_evidence(f, 0, f->last_ns, "nothing was seen waiting for it");
	if (drops) {
		f->confidence -= 0.1;
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"%llu packets were lost by this capture: it may have opened before",
			(unsigned long long)drops);
	}
	if (r->withheld)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu reports were left out under load",
					     (unsigned long long)r->withheld);
}

static void word(struct tl_finding *f, const struct report *r)
{
	const struct tl_subject *s = &f->subject;
	uint64_t flows = tl_finding__detail_get_u64(f, "flows");
	uint64_t stalls = tl_finding__detail_get_u64(f, "stalls");
	uint64_t probes = tl_finding__detail_get_u64(f, "probes");
	char shut_by[TL_TEXT_ENDPOINT], peer[TL_TEXT_ENDPOINT], ip[TL_TEXT_IP];
	char sum[TL_TEXT_SPAN], longest[TL_TEXT_SPAN];
	const struct tl_endpoint *receiver = r->by_client ? &s->client : &s->server;
	const char *app = tl_app__word(r->app);

	tl_text__span(tl_finding__detail_get_u64(f, "stalled_ms") * TL_NS_PER_MS, sum);
	tl_text__span(tl_finding__detail_get_u64(f, "longest_ms") * TL_NS_PER_MS, longest);
	tl_text__ip(receiver, ip);
	if (r->by_client && flows > 1)
		memcpy(shut_by, ip, sizeof(ip));
	else
		tl_text__endpoint(receiver, shut_by);
	tl_text__endpoint(r->by_client ? &s->server : &s->client, peer);
	if (flows == 1 && r->widest)
		tl_finding__summary(f,
				    "%s left %s a receive window of %u bytes or less (%stcp/%u) "
				    "for %s (%llu time%s, the longest %s)",
				    shut_by, peer, r->widest, app, s->server.port, sum,
				    (unsigned long long)stalls, tl_text__plural(stalls), longest);
	else if (flows == 1)
		tl_finding__summary(f,
				    "%s shut its receive window to %s (%stcp/%u) for %s (%llu "
				    "time%s, the longest %s; %llu probe%s found it shut)",
				    shut_by, peer, app, s->server.port, sum,
				    (unsigned long long)stalls, tl_text__plural(stalls), longest,
				    (unsigned long long)probes, tl_text__plural(probes));
	else
		tl_finding__summary(f,
				    "%s shut its receive window in %llu connections%s%s, for %s in "
				    "all, the longest %s",
				    shut_by, (unsigned long long)flows, r->by_client ? " to " : "",
				    r->by_client ? peer : "", sum, longest);
	if (r->by_client)
		tl_finding__cause(f,
				  "the application on %s reads the %sdata of tcp/%u too slowly: "
				  "its receive buffer is full, so the server has to wait; the "
				  "network is not to blame",
				  ip, app, s->server.port);
	else
		tl_finding__cause(f,
				  "the server's application on %stcp/%u does not read what it is "
				  "sent: its receive buffer is full, so the client has to wait; "
				  "the network is not to blame",
				  app, s->server.port);
	tl_finding__next(f,
			 "on %s: which process has the connection, and what does it wait for? "
			 "(ss -tnpi: Recv-Q) CPU, locks, disk; let it read while it works, or ask "
			 "for less at a time",
			 ip);
	if (r->by_client || flows == 1)
		tl_pair__filter(s, flows, f);
	else
		tl_service__filter(&s->server, f);
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge *j = state;
	struct report r;
	uint8_t key[TL_PAIR_KEY];
	struct tl_finding *f;
	struct tl_subject about = o->subject;
	bool is_new;

	memcpy(&r, o->data, sizeof(r));
	/* A server that does not read is one cause, whoever writes to it. */
	if (!r.by_client)
		memset(&about.client, 0, sizeof(about.client));
	tl_pair__key(&about, r.by_client, key);
	f = tl_findings__begin(j->view.findings, "tcp.zero_window", key, sizeof(key), &is_new);
	if (is_new) {
		f->subject = o->subject;
		f->first_ns = r.shut_ns;
		tl_finding__detail_string(f, "sender", r.by_client ? "client" : "server");
	}
	if (r.shut_ns < f->first_ns)
		f->first_ns = r.shut_ns;
	if (r.at_ns > f->last_ns)
		f->last_ns = r.at_ns;
	/* A flow that was told before the last finding settled is new to this one. */
	f->count += is_new || r.is_new_flow;
	add(f, "stalled_ms", (r.sum_ns + TL_NS_PER_MS / 2) / TL_NS_PER_MS);
	add(f, "probes", r.probes);
	add(f, "bytes_blocked", r.blocked);
	if (r.longest_ns / TL_NS_PER_MS > tl_finding__detail_get_u64(f, "longest_ms") || is_new)
		tl_finding__detail_u64(f, "longest_ms", r.longest_ns / TL_NS_PER_MS);
	if (r.widest > tl_finding__detail_get_u64(f, "widest_window"))
		tl_finding__detail_u64(f, "widest_window", r.widest);
	add(f, "stalls", is_new && !r.stalls ? 1 : r.stalls);
	tl_finding__detail_u64(f, "flows", f->count);
	weigh(j, f, &r);
	word(f, &r);
	prove(f, &r);
	tl_findings__commit(j->view.findings, f, r.at_ns);
}

const struct tl_analyzer tl_analyzer_window = {
	.name = "window",
	.wants = TL_WANTS_TCP,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
};
