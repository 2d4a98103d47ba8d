/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tcp.port_reuse: a client opens a connection on a 4-tuple that was in use a moment ago, or still
 * is as the server sees it.
 *
 *	old connection ──── FIN/RST │ age │ SYN, another ISN ─┬─► SYN-ACK        accepted
 *	                                                      ├─► ACK of the old challenged, then
 *RST ├─► RST            reset └─► nothing        silent
 *
 * The flow table ends the old flow and begins a new one; what is worth knowing of the old one waits
 * in a small memory of the worker until the SYN comes. A server that still holds the old connection
 * answers with an ACK of its own numbers (RFC 5961, section 4; RFC 9293, 3.10.7.4), which shows
 * the fault even where the old connection was never seen.
 *
 *	recent: sets of four ways, the oldest goes         hash(tuple) ─► │ way │ way │ way │ way │
 *
 * Reuse after a RST, or when TIME-WAIT is over, is nobody's fault. One that is accepted is an info.
 * A SYN that is refused or not answered has other explanations too (connect.*): it is told here
 * only where the old connection stood and went shortly before.
 */
#include "core/facts.h"
#include "core/tcp_fault.h"

#define SETS	       2048u /* a power of two */
#define WAYS	       4u
#define TIME_WAIT_NS   (60 * TL_NS_PER_SEC) /* of Linux; RFC 9293 says 4 minutes */
#define GIVE_UP_NS     (3 * TL_NS_PER_SEC)
#define REPORTS_EACH_S 2000u
#define PROOFS	       6

enum outcome { PENDING = 0, ACCEPTED, CHALLENGED, RESET, SILENT };

enum flow_flag {
	SAW_SYN = 1u << 0,
	STOOD = 1u << 1, /* data or an ACK after the handshake was seen */
	FIN_CLIENT = 1u << 2,
	FIN_SERVER = 1u << 3,
	CUT = 1u << 4, /* by RST: both sides have forgotten it */
	HAS_TS = 1u << 5,
	HAS_PAST = 1u << 6, /* `recent` held an older connection */
	TOLD = 1u << 7,
};

/* Of a connection, what a later one on its tuple is held against. */
struct past {
	uint64_t last_ns, last_frame;
	uint32_t isn;	/* of the client */
	uint32_t tsval; /* the client's highest */
	uint8_t flags;
};

struct flow_state {
	struct past self; /* this connection, to be the past of the next */
	uint64_t syn_ns, syn_frame;
	uint64_t age_ns;
	uint64_t reply_ns, reply_frame;
	uint64_t rst_ns, rst_frame;
	uint64_t past_frame, past_ns;
	uint32_t syn_tsval;
	uint32_t reply_ack;
	uint16_t syns, syn_bytes;
	uint8_t outcome;
	uint8_t past_flags;
	bool is_older; /* ISN or TSval not above the past one's (RFC 6191) */
	bool recovered;
};

struct recent {
	struct tl_flow_key key; /* ip_version 0: free */
	struct past past;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t now_ns;
	uint64_t second;
	uint32_t reports;
	uint64_t withheld;
	struct recent recent[SETS][WAYS];
};

struct report {
	uint64_t syn_ns, last_ns;
	uint64_t age_ns;
	uint64_t cost_ns; /* from the first SYN to the SYN-ACK, when it recovered */
	uint64_t withheld;
	uint8_t outcome;
	bool has_age, recovered, is_older, had_fin, at_end;
	uint8_t proof_count;
	struct tl_proof proof[PROOFS];
};

enum proof_what { PROOF_PAST, PROOF_SYN, PROOF_REPLY, PROOF_RST };

_Static_assert(sizeof(struct report) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* One packet on its way through. */
struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	uint64_t now_ns;
	bool from_client;
};

/* --- connections that are over --------------------------------------------------------------- */

static struct recent *set_of(struct worker *w, const struct tl_flow_key *key)
{
	return w->recent[tl_text__hash(0, key, sizeof(*key)) & (SETS - 1)];
}

static void remember(struct worker *w, const struct tl_flow_key *key, const struct past *past)
{
	struct recent *set = set_of(w, key), *to = set;

	for (uint32_t i = 0; i < WAYS; i++) {
		if (!memcmp(&set[i].key, key, sizeof(*key))) {
			to = &set[i];
			break;
		}
		if (set[i].past.last_ns < to->past.last_ns)
			to = &set[i];
	}
	to->key = *key;
	to->past = *past;
}

/* Takes it out: it explains one connection, the next on that tuple. */
static bool recall(struct worker *w, const struct tl_flow_key *key, struct past *ret_past)
{
	struct recent *set = set_of(w, key);

	for (uint32_t i = 0; i < WAYS; i++) {
		if (memcmp(&set[i].key, key, sizeof(*key)))
			continue;
		*ret_past = set[i].past;
		memset(&set[i], 0, sizeof(set[i]));
		return true;
	}
	return false;
}

/* --- reports --------------------------------------------------------------------------------- */

static bool may_report(struct worker *w)
{
	if (w->now_ns / TL_NS_PER_SEC != w->second) {
		w->second = w->now_ns / TL_NS_PER_SEC;
		w->reports = 0;
	}
	if (w->reports++ < REPORTS_EACH_S)
		return true;
	w->withheld++;
	return false;
}

static void prove(struct report *r, const struct tl_proof *proof)
{
	if (proof->ts_ns)
		r->proof[r->proof_count++] = *proof;
	if (proof->ts_ns > r->last_ns)
		r->last_ns = proof->ts_ns;
}

static void prove_all(const struct flow_state *fs, struct report *r)
{
	prove(r, &(struct tl_proof){
			 .frame = fs->past_frame, .ts_ns = fs->past_ns, .what = PROOF_PAST });
	prove(r, &(struct tl_proof){ .frame = fs->syn_frame,
				     .ts_ns = fs->syn_ns,
				     .seq = fs->self.isn,
				     .what = PROOF_SYN });
	prove(r, &(struct tl_proof){ .frame = fs->reply_frame,
				     .ts_ns = fs->reply_ns,
				     .seq = fs->reply_ack,
				     .value = fs->outcome,
				     .what = PROOF_REPLY });
	prove(r,
	      &(struct tl_proof){ .frame = fs->rst_frame, .ts_ns = fs->rst_ns, .what = PROOF_RST });
}

/* Is what came of the SYN worth to be told? */
static bool is_news(const struct flow_state *fs)
{
	bool has_past = fs->self.flags & HAS_PAST;
	bool early = has_past && fs->age_ns < TIME_WAIT_NS;

	switch ((enum outcome)fs->outcome) {
	case CHALLENGED:
		/* A mirror that lost the SYN-ACK looks so too, but then the client goes on. */
		return fs->rst_ns || fs->syns > 1;
	case ACCEPTED:
		return early && !(fs->past_flags & CUT) && fs->past_flags & STOOD;
	case RESET:
	case SILENT:
		/* Who cut the old one by RST has forgotten it. */
		return early && fs->past_flags & STOOD && !(fs->past_flags & CUT);
	default:
		return false;
	}
}

static void tell(struct worker *w, const struct flow_state *fs, const struct tl_flow *flow,
		 bool at_end)
{
	struct tl_observation o = { .data_bytes = sizeof(struct report) };
	struct report r = {
		.syn_ns = fs->syn_ns,
		.last_ns = fs->syn_ns,
		.age_ns = fs->age_ns,
		.withheld = w->withheld,
		.outcome = fs->outcome,
		.has_age = fs->self.flags & HAS_PAST,
		.recovered = fs->recovered,
		.is_older = fs->is_older,
		.had_fin = fs->past_flags & (FIN_CLIENT | FIN_SERVER),
		.at_end = at_end,
	};

	if (fs->recovered)
		r.cost_ns = tl_span_ns(fs->syn_ns, fs->self.last_ns);
	w->withheld = 0;
	prove_all(fs, &r);
	o.ts_ns = w->now_ns;
	o.subject = tl_subject__of_flow(flow, flow->client);
	memcpy(o.data, &r, sizeof(r));
	tl_analyzer_worker__emit(&w->out, &o);
}

static void conclude(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
		     bool at_end)
{
	if (fs->self.flags & TOLD || !is_news(fs) || !may_report(w))
		return;
	fs->self.flags |= TOLD;
	tell(w, fs, flow, at_end);
}

/* --- one packet ------------------------------------------------------------------------------ */

static void begin(const struct step *s)
{
	struct flow_state *fs = s->fs;
	struct past past;

	*fs = (struct flow_state){
		.syn_ns = s->now_ns,
		.syn_frame = s->packet->frame,
		.syn_tsval = s->layers->tsval,
		.syn_bytes = (uint16_t)s->layers->payload_bytes,
		.syns = 1,
	};
	fs->self.isn = s->layers->seq;
	fs->self.flags = SAW_SYN;
	if (!recall(s->w, &s->flow->key, &past))
		return;
	fs->self.flags |= HAS_PAST;
	fs->age_ns = tl_span_ns(past.last_ns, s->now_ns);
	fs->past_flags = past.flags;
	fs->past_ns = past.last_ns;
	fs->past_frame = past.last_frame;
	/* RFC 6191, section 2: what a server in TIME-WAIT looks at. Serial comparisons. */
	if (past.flags & HAS_TS && s->layers->flags & TL_LAYERS_TCP_TS)
		fs->is_older = (int32_t)(s->layers->tsval - past.tsval) <= 0;
	else
		fs->is_older = (int32_t)(s->layers->seq - past.isn) <= 0;
}

static bool acks_syn(const struct step *s)
{
	/* With or without the data of the SYN (RFC 7413). */
	return s->layers->tcp_flags & TL_TCP_ACK &&
	       s->layers->ack - s->fs->self.isn - 1 <= s->fs->syn_bytes;
}

static void replied(const struct step *s, enum outcome outcome)
{
	s->fs->outcome = (uint8_t)outcome;
	s->fs->reply_ns = s->now_ns;
	s->fs->reply_frame = s->packet->frame;
	s->fs->reply_ack = s->layers->ack;
}

/* The server's packet while it owes an answer to the SYN. */
static void on_reply(const struct step *s)
{
	struct flow_state *fs = s->fs;
	const uint8_t flags = s->layers->tcp_flags;

	if (flags & TL_TCP_SYN && acks_syn(s)) {
		/* Unless the client objected, that was a straggler of the old connection. */
		fs->recovered = fs->outcome == CHALLENGED && fs->rst_ns;
		if (!fs->recovered)
			replied(s, ACCEPTED);
		fs->self.last_ns = s->now_ns;
		conclude(s->w, fs, s->flow, false);
		fs->self.flags |= TOLD;
	} else if (flags & TL_TCP_RST) {
		if (!fs->outcome && acks_syn(s))
			replied(s, RESET);
	} else if (flags & TL_TCP_ACK && !(flags & TL_TCP_SYN) && !acks_syn(s) && !fs->outcome) {
		replied(s, CHALLENGED);
	}
}

static void on_first(const struct step *s)
{
	const uint8_t flags = s->layers->tcp_flags;
	struct flow_state *fs = s->fs;

	if (!s->from_client) {
		on_reply(s);
	} else if (flags & TL_TCP_SYN) {
		fs->syns++;
		if (!fs->outcome && fs->syns > 1 && s->now_ns >= fs->syn_ns + GIVE_UP_NS)
			replied(s, SILENT);
	} else if (flags & TL_TCP_RST && fs->outcome == CHALLENGED && !fs->rst_ns) {
		fs->rst_ns = s->now_ns;
		fs->rst_frame = s->packet->frame;
	} else if (!(flags & TL_TCP_RST)) {
		/* It was answered, unseen. */
		fs->outcome = PENDING;
		fs->self.flags |= TOLD;
	}
}

/* Whatever it is, what a later connection may be held against. */
static inline void note(struct past *self, const struct tl_packet *packet,
			const struct tl_layers *l, bool from_client)
{
	self->last_ns = packet->ts_ns;
	self->last_frame = packet->frame;
	if (from_client && l->flags & TL_LAYERS_TCP_TS) {
		self->tsval = l->tsval;
		self->flags |= HAS_TS;
	}
}

static __attribute__((noinline)) void on_turn(const struct step *s)
{
	const uint8_t flags = s->layers->tcp_flags;
	struct flow_state *fs = s->fs;

	if ((flags & (TL_TCP_SYN | TL_TCP_ACK | TL_TCP_RST)) == TL_TCP_SYN && s->from_client &&
	    !(fs->self.flags & SAW_SYN)) {
		begin(s);
	} else if (fs->self.flags & SAW_SYN && !(fs->self.flags & TOLD)) {
		on_first(s);
	}
	if (flags & TL_TCP_RST) {
		fs->self.flags |= CUT;
	} else if (s->from_client && !(flags & TL_TCP_SYN)) {
		fs->self.flags |= STOOD;
		if (flags & TL_TCP_FIN)
			fs->self.flags |= FIN_CLIENT;
	} else if (flags & TL_TCP_FIN) {
		fs->self.flags |= FIN_SERVER;
	}
	note(&fs->self, s->packet, s->layers, s->from_client);
}

/* --- worker half, as the registry calls it --------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

/* One in the middle of a connection of which nothing is to be told (any more). */
static bool is_usual(const struct tl_layers *l, const struct past *self)
{
	return !(l->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN | TL_TCP_RST)) &&
	       (self->flags & (SAW_SYN | TOLD)) != SAW_SYN;
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_flow *flow = b->batch->lookup[i].ret_flow;
		const struct tl_packet *packet = &b->batch->packet[i];
		const struct tl_layers *l = &b->batch->layers[i];
		bool from_client = b->batch->lookup[i].ret_side == flow->client;
		struct flow_state *fs = tl_analyzer_batch__tcp_state(b, i, flow_offset);

		if (!l->tcp_flags)
			continue;
		if (is_usual(l, &fs->self)) {
			fs->self.flags |= from_client ? STOOD : 0;
			note(&fs->self, packet, l, from_client);
			continue;
		}
		w->now_ns = b->newest_ns[i];
		on_turn(&(struct step){ .w = w,
					.fs = fs,
					.flow = flow,
					.packet = packet,
					.layers = l,
					.now_ns = packet->ts_ns,
					.from_client = from_client });
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;
	struct worker *w = state;

	if (fs->self.flags & SAW_SYN && !fs->outcome && fs->syns > 1 &&
	    tl_span_ns(fs->syn_ns, w->now_ns) >= GIVE_UP_NS && !(fs->self.flags & STOOD))
		fs->outcome = SILENT;
	if (fs->self.flags & SAW_SYN)
		conclude(w, fs, flow, end == TL_FLOW_END_CAPTURE);
	if (fs->self.last_ns && end != TL_FLOW_END_CAPTURE)
		remember(w, &flow->key, &fs->self);
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

static const char *outcome_name(uint8_t outcome)
{
	static const char *const name[] = { "", "accepted", "challenged", "reset", "silent" };

	return name[outcome <= SILENT ? outcome : 0];
}

static void write_proofs(const struct report *r, struct tl_finding *f)
{
	for (uint32_t i = 0; i < r->proof_count && i < PROOFS; i++) {
		const struct tl_proof *p = &r->proof[i];

		switch ((enum proof_what)p->what) {
		case PROOF_PAST:
			tl_finding__evidence(f, p->frame, p->ts_ns,
					     "last packet of the old connection");
			break;
		case PROOF_SYN:
			tl_finding__evidence(f, p->frame, p->ts_ns, "SYN, seq %u", p->seq);
			break;
		case PROOF_REPLY:
			tl_finding__evidence(f, p->frame, p->ts_ns,
					     p->value == ACCEPTED     ? "SYN-ACK, ack %u"
					     : p->value == CHALLENGED ? "ACK of the old "
									"connection: ack %u"
					     : p->value == RESET      ? "RST, ack %u"
								      : "SYN again, ack %u",
					     p->seq);
			break;
		case PROOF_RST:
			tl_finding__evidence(f, p->frame, p->ts_ns, "the client's RST to it");
			break;
		}
	}
}

static void write_sentences(const struct report *r, struct tl_finding *f)
{
	char client[TL_TEXT_ENDPOINT], server[TL_TEXT_ENDPOINT], age[TL_TEXT_SPAN], old[64];
	uint64_t age_ms = tl_finding__detail_get_u64(f, "age_ms");
	static const char *const what[] = { "", "it was accepted",
					    "the server answered for the old connection",
					    "the server reset it", "nothing came back" };

	if (f->count == 1)
		tl_text__endpoint(&f->subject.client, client);
	else
		tl_text__ip(&f->subject.client, client);
	tl_text__endpoint(&f->subject.server, server);
	tl_text__span(age_ms * TL_NS_PER_MS, age);
	snprintf(old, sizeof(old),
		 r->has_age ? "%s after the old connection's last packet"
			    : "while the old connection stood",
		 age);
	if (f->count == 1)
		tl_finding__summary(f, "%s opened a connection to %s on a port in use %s: %s",
				    client, server, old, what[r->outcome]);
	else
		tl_finding__summary(f,
				    "%s opened %llu connections to %s on ports in use (at the "
				    "least %s): %s",
				    client, (unsigned long long)f->count, server, old,
				    what[r->outcome]);
	if (r->outcome == ACCEPTED)
		tl_finding__cause(f, "the client goes through its source ports quickly, or binds "
				     "a fixed one; TIME-WAIT let the new connection in (RFC 6191)");
	else if (r->outcome == CHALLENGED)
		tl_finding__cause(f,
				  "the client (or a NAT in its place) forgot a connection that the "
				  "server still holds: a restart, a short NAT timeout, too few "
				  "source ports");
	else
		tl_finding__cause(f,
				  "the server, or a firewall on the way, still remembers the old "
				  "connection%s",
				  r->is_older ? ", and the new one's sequence number and timestamp "
						"are not above the old one's (RFC 6191)"
					      : "");
	tl_finding__next(f, "does the client bind a fixed source port, or has it too few? "
			    "(net.ipv4.ip_local_port_range, connections a second, NAT pool) keep "
			    "connections open instead of opening new ones");
}

static void weigh(const struct judge *j, const struct report *r, struct tl_finding *f)
{
	f->counter_evidence_count = 0;
	switch ((enum outcome)r->outcome) {
	case CHALLENGED:
		/* With a SYN that gets through at the next try it costs a second. */
		if (f->severity < TL_WARNING || !(r->recovered || r->at_end))
			f->severity = r->recovered || r->at_end ? TL_WARNING : TL_ERROR;
		f->confidence = r->proof_count > 2 ? 0.9 : 0.8;
		break;
	case RESET:
	case SILENT:
		f->severity = TL_WARNING;
		f->confidence = r->is_older ? 0.8 : 0.5;
		if (!r->is_older)
			tl_finding__counter_evidence(f, 0, f->last_ns,
						     "its numbers are above the old ones: "
						     "TIME-WAIT would let it in");
		break;
	default:
		f->severity = TL_INFO;
		f->confidence = 0.95;
		break;
	}
	if (tl_facts__capture_drops(j->view.facts)) {
		f->confidence -= 0.1;
		tl_finding__counter_evidence(
			f, 0, f->last_ns, "%llu packets were lost by this capture",
			(unsigned long long)tl_facts__capture_drops(j->view.facts));
	}
	if (r->withheld)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu reports were left out under load",
					     (unsigned long long)r->withheld);
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge *j = state;
	struct report r;
	uint8_t key[TL_PAIR_KEY];
	struct tl_finding *f;
	uint64_t age_ms;
	bool is_new;

	memcpy(&r, o->data, sizeof(r));
	age_ms = r.age_ns / TL_NS_PER_MS;
	tl_pair__key(&o->subject, r.outcome, key);
	f = tl_findings__begin(j->view.findings, "tcp.port_reuse", key, sizeof(key), &is_new);
	if (is_new || r.syn_ns < f->first_ns) {
		f->subject = o->subject;
		f->first_ns = r.syn_ns;
	}
	if (r.last_ns > f->last_ns)
		f->last_ns = r.last_ns;
	f->count++;
	tl_finding__detail_string(f, "outcome", outcome_name(r.outcome));
	/* The least, of those whose old connection was seen. */
	if (r.has_age && (is_new || age_ms < tl_finding__detail_get_u64(f, "age_ms") ||
			  !tl_finding__detail_get_u64(f, "age_ms")))
		tl_finding__detail_u64(f, "age_ms", age_ms);
	else if (is_new)
		tl_finding__detail_null(f, "age_ms");
	tl_finding__detail_u64(f, "flows", f->count);
	tl_finding__detail_u64(f, "recovered",
			       tl_finding__detail_get_u64(f, "recovered") + r.recovered);
	weigh(j, &r, f);
	write_sentences(&r, f);
	tl_pair__filter(&f->subject, f->count, f);
	write_proofs(&r, f);
	tl_findings__commit(j->view.findings, f, r.last_ns);
}

const struct tl_analyzer tl_analyzer_port_reuse = {
	.name = "port_reuse",
	.wants = TL_WANTS_TCP | TL_WANTS(ODD),
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.flow_end = flow_end,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
};
