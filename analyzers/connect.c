/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * connect.*: connections that do not come about. This is the worker half: it watches handshakes and
 * reports each attempt that looks ill, again at every packet that changes the picture, and once
 *more when the flow ends. The judge (core/connect_judge.c) decides.
 *
 *	flow's bytes               trouble: a pool, entries only for attempts that look ill
 *	+-----------------+        +------------------------------------+
 *	| ISN, first SYN, |───────►| SYN · SYN · … · SYN · RST   (≤ 8)  |  packets that prove it
 *	| counts, flags   |        +------------------------------------+
 *	+-----------------+
 *
 * Invariants: copies by the mirror never count. What is reported depends on packets alone. A
 *healthy flow costs nothing after its handshake: DONE is tested first. Everything has a cap: the
 *pool, the table of servers, and the reports in a second of packet time; what is over is counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/connect.h"
#include "core/quote.h"
#include "core/text.h"

#define PROTO_ICMP   1
#define PROTO_TCP    6
#define PROTO_ICMPV6 58

#define TROUBLE_MAX	  4096u
#define SERVERS		  4096u /* a power of two */
#define REPORTS_EACH_S	  4000u
#define SECOND_NS	  1000000000ull
#define PAST_CROSSING_NS  200000000ull
#define HANDSHAKE_PACKETS 64u

enum flow_flag {
	HAS_SYN = 1u << 0,
	DONE = 1u << 1,	 /* nothing more to learn from this attempt */
	ACKED = 1u << 2, /* the client ACKed the SYN-ACK */
	REFUSED = 1u << 3,
	REPORTED = 1u << 4,
};

struct flow_state {
	uint8_t flags;
	uint8_t client; /* side */
	/* A packet that follows the handshake does not touch what follows here. */
	uint16_t syn_bytes; /* payload of the SYN (RFC 7413) */
	uint32_t isn;
	uint64_t syn_ns, syn_frame;
	uint64_t synack_ns, synack_frame;
	uint64_t data_ns, data_frame; /* first payload of the client after its ACK */
	uint64_t last_ns;
	uint32_t synack_seq;
	uint32_t trouble; /* index + 1; 0: none */
	uint16_t syn_count, synack_count;
	uint16_t syn_after_synack, synack_after_data;
};

struct trouble {
	uint32_t next_free; /* index + 1 */
	uint8_t count;
	struct connect_proof proof[CONNECT_PROOFS_MAX];
};

struct server {
	struct tl_endpoint endpoint;
	uint32_t accepted;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t now_ns; /* newest packet */
	uint64_t second; /* of packet time, that `reports` counts in */
	uint32_t reports;
	uint32_t trouble_used, trouble_free;
	uint32_t dirty_servers;
	uint64_t told_second; /* in which servers were told last */
	uint64_t withheld;    /* reports over the limit, and attempts without room for proof */
	struct trouble trouble[TROUBLE_MAX];
	struct server server[SERVERS];
};

/* One packet on its way through. */
struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	bool from_client;
};

/* --- proofs ---------------------------------------------------------------------------------- */

void connect_proof__add(struct connect_proof *list, uint8_t *count, const struct connect_proof *p)
{
	const unsigned half = CONNECT_PROOFS_MAX / 2;

	if (*count == CONNECT_PROOFS_MAX) {
		memmove(&list[half], &list[half + 1], (half - 1) * sizeof(*list));
		(*count)--;
	}
	list[(*count)++] = *p;
}

static struct trouble *trouble_take(struct worker *w, struct flow_state *fs)
{
	if (w->trouble_free) {
		fs->trouble = w->trouble_free;
		w->trouble_free = w->trouble[fs->trouble - 1].next_free;
	} else if (w->trouble_used < TROUBLE_MAX) {
		fs->trouble = ++w->trouble_used;
	} else {
		w->withheld++;
		return NULL;
	}
	w->trouble[fs->trouble - 1].count = 0;
	return &w->trouble[fs->trouble - 1];
}

static void trouble_give_back(struct worker *w, struct flow_state *fs)
{
	if (!fs->trouble)
		return;
	w->trouble[fs->trouble - 1].next_free = w->trouble_free;
	w->trouble_free = fs->trouble;
	fs->trouble = 0;
}

/* What was seen before the attempt looked ill. */
static void prove_beginning(const struct flow_state *fs, struct connect_proof *list,
			    uint8_t *ret_count)
{
	const struct connect_proof beginning[] = {
		{ .frame = fs->syn_frame,
		  .ts_ns = fs->syn_ns,
		  .seq = fs->isn,
		  .what = CONNECT_SYN },
		{ .frame = fs->synack_frame,
		  .ts_ns = fs->synack_ns,
		  .seq = fs->synack_seq,
		  .what = CONNECT_SYNACK },
		{ .frame = fs->data_frame,
		  .ts_ns = fs->data_ns,
		  .seq = fs->isn + 1,
		  .what = CONNECT_DATA },
	};

	for (unsigned i = 0; i < 3; i++)
		if (beginning[i].ts_ns)
			connect_proof__add(list, ret_count, &beginning[i]);
}

static void prove(const struct step *s, enum connect_what what)
{
	struct worker *w = s->w;
	struct trouble *t = s->fs->trouble ? &w->trouble[s->fs->trouble - 1] : NULL;

	s->fs->last_ns = s->packet->ts_ns;
	if (!t) {
		t = trouble_take(w, s->fs);
		if (!t)
			return;
		prove_beginning(s->fs, t->proof, &t->count);
	}
	connect_proof__add(t->proof, &t->count,
			   &(struct connect_proof){
				   .frame = s->packet->frame,
				   .ts_ns = s->packet->ts_ns,
				   .seq = s->layers->seq,
				   .bytes = (uint16_t)s->layers->payload_bytes,
				   .what = (uint8_t)what,
			   });
}

/* --- reports --------------------------------------------------------------------------------- */

static bool may_report(struct worker *w)
{
	if (w->now_ns / SECOND_NS != w->second) {
		w->second = w->now_ns / SECOND_NS;
		w->reports = 0;
	}
	if (w->reports++ < REPORTS_EACH_S)
		return true;
	w->withheld++;
	return false;
}

static void emit(struct worker *w, struct tl_observation *o, enum connect_observation kind)
{
	o->kind = (uint16_t)kind;
	o->ts_ns = w->now_ns;
	tl_analyzer_worker__emit(&w->out, o);
}

static void report(struct worker *w, struct flow_state *fs, const struct tl_flow *flow,
		   uint8_t flags)
{
	struct tl_observation o;
	struct connect_report r = {
		.first_ns = fs->syn_ns,
		.last_ns = fs->last_ns,
		.synack_ns = fs->synack_ns,
		.seen_ns = w->now_ns,
		.isn = fs->isn,
		.syn_count = fs->syn_count,
		.synack_count = fs->synack_count,
		.syn_after_synack = fs->syn_after_synack,
		.synack_after_data = fs->synack_after_data,
		.flags = flags | (fs->flags & REFUSED ? CONNECT_REFUSED_BY_RST : 0),
	};

	/* An all-clear is never withheld, or the fault told before would stand. */
	if (!(flags & CONNECT_ANSWERED) && !may_report(w))
		return;
	if (fs->trouble) {
		const struct trouble *t = &w->trouble[fs->trouble - 1];

		r.proof_count = t->count;
		memcpy(r.proof, t->proof, t->count * sizeof(t->proof[0]));
	} else {
		prove_beginning(fs, r.proof, &r.proof_count);
	}
	fs->flags |= REPORTED;
	o.subject = tl_subject__of_flow(flow, fs->client);
	o.data_bytes = sizeof(r);
	memcpy(o.data, &r, sizeof(r));
	emit(w, &o, CONNECT_OBSERVED_ATTEMPT);
}

static void all_clear(const struct step *s)
{
	if (!(s->fs->flags & REPORTED))
		return;
	report(s->w, s->fs, s->flow, CONNECT_ANSWERED);
	s->fs->flags &= (uint8_t)~REPORTED;
}

/* Something came back, or the client shows that it did: no fault of this analyzer's. */
static void done(const struct step *s)
{
	all_clear(s);
	trouble_give_back(s->w, s->fs);
	s->fs->flags |= DONE;
}

/* The flow, or this attempt on it, is over. */
static void conclude(struct worker *w, struct flow_state *fs, const struct tl_flow *flow)
{
	bool is_open = fs->flags & HAS_SYN && !(fs->flags & (DONE | REFUSED | ACKED));

	if (is_open && (!fs->synack_count || fs->syn_after_synack || fs->synack_count > 1))
		report(w, fs, flow, CONNECT_ENDED);
	trouble_give_back(w, fs);
}

/* --- servers that accept --------------------------------------------------------------------- */

static void tell_servers(struct worker *w)
{
	struct tl_observation o = { .data_bytes = sizeof(struct connect_servers) };
	struct connect_servers list = { .withheld = w->withheld };
	bool is_due = w->withheld || w->dirty_servers;

	w->withheld = 0;
	for (uint32_t i = 0; i < SERVERS && is_due; i++) {
		struct server *server = &w->server[i];

		if (server->accepted) {
			list.server[list.count].server = server->endpoint;
			list.server[list.count++].accepted = server->accepted;
			server->accepted = 0;
			w->dirty_servers--;
		}
		is_due = w->dirty_servers;
		if (list.count == CONNECT_SERVERS_MAX || !is_due) {
			memcpy(o.data, &list, sizeof(list));
			emit(w, &o, CONNECT_OBSERVED_SERVERS);
			list.count = 0;
			list.withheld = 0;
		}
	}
}

static void count_accepted(const struct step *s)
{
	struct tl_endpoint e = tl_subject__of_flow(s->flow, s->fs->client).server;
	uint64_t hash = tl_text__hash(e.port, e.ip, sizeof(e.ip));
	struct server *server = &s->w->server[hash & (SERVERS - 1)];

	if (server->endpoint.port != e.port || !tl_endpoint__same_host(&server->endpoint, &e)) {
		/* Two services in one place: the successes of the other are forgotten. They only
		 * ever soften a finding. */
		s->w->dirty_servers -= server->accepted > 0;
		*server = (struct server){ .endpoint = e };
	}
	if (!server->accepted++)
		s->w->dirty_servers++;
}

/* --- one packet ------------------------------------------------------------------------------ */

static void count(uint16_t *counter)
{
	if (*counter < UINT16_MAX)
		(*counter)++;
}

/* Does this acknowledgement number answer our SYN, with or without its payload (RFC 7413)? */
static bool acks_syn(const struct step *s)
{
	return s->layers->tcp_flags & TL_TCP_ACK &&
	       s->layers->ack - s->fs->isn - 1 <= s->fs->syn_bytes;
}

static void begin(const struct step *s, uint8_t side)
{
	*s->fs = (struct flow_state){
		.syn_ns = s->packet->ts_ns,
		.syn_frame = s->packet->frame,
		.last_ns = s->packet->ts_ns,
		.isn = s->layers->seq,
		.syn_count = 1,
		.syn_bytes = (uint16_t)s->layers->payload_bytes,
		.flags = HAS_SYN,
		.client = side,
	};
}

static void on_syn(const struct step *s, uint8_t side)
{
	struct flow_state *fs = s->fs;

	if (!(fs->flags & HAS_SYN)) {
		begin(s, side);
		return;
	}
	if (!s->from_client && !(fs->flags & DONE)) {
		if (!fs->synack_count)
			done(s); /* both open at once (RFC 9293, section 3.5) */
		return;
	}
	if (!s->from_client || s->layers->seq != fs->isn) {
		conclude(s->w, fs, s->flow);
		begin(s, side);
		return;
	}
	if (fs->flags & (DONE | ACKED))
		return;
	count(&fs->syn_count);
	if (fs->synack_count)
		count(&fs->syn_after_synack);
	prove(s, CONNECT_SYN);
	report(s->w, fs, s->flow, 0);
}

/*
 * What was on its way already when the data came is no sign of anything: the way takes as long as
 * the SYN-ACK did. Another ISN is another server's answer to a SYN that was repeated.
 */
static bool is_past_crossing(const struct step *s)
{
	const struct flow_state *fs = s->fs;
	uint64_t way_ns = connect_span_ns(fs->syn_ns, fs->synack_ns);

	if (way_ns < PAST_CROSSING_NS || fs->syn_count > 1)
		way_ns = PAST_CROSSING_NS;
	return fs->data_ns && s->packet->ts_ns >= fs->data_ns + way_ns &&
	       s->layers->seq == fs->synack_seq;
}

static void on_synack(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (s->from_client || !acks_syn(s)) {
		done(s);
		return;
	}
	/* An answer after a RST: the RST was not the server's. tcp.reset speaks of that. */
	fs->flags &= (uint8_t)~REFUSED;
	count(&fs->synack_count);
	if (fs->synack_count == 1) {
		fs->synack_ns = fs->last_ns = s->packet->ts_ns;
		fs->synack_frame = s->packet->frame;
		fs->synack_seq = s->layers->seq;
		if (fs->trouble)
			prove(s, CONNECT_SYNACK);
		all_clear(s);
		return;
	}
	if (is_past_crossing(s))
		count(&fs->synack_after_data);
	else if (fs->flags & ACKED)
		return;
	prove(s, CONNECT_SYNACK);
	report(s->w, fs, s->flow, 0);
}

static void on_rst(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (fs->synack_after_data) {
		prove(s, CONNECT_RST);
		report(s->w, fs, s->flow, CONNECT_ENDED);
		trouble_give_back(s->w, fs);
		fs->flags |= DONE;
	} else if (s->from_client || fs->synack_count) {
		/* A scanner or a health check that has seen enough; or tcp.reset's business. */
		done(s);
	} else if (acks_syn(s)) {
		fs->flags |= REFUSED;
		prove(s, CONNECT_RST);
		report(s->w, fs, s->flow, CONNECT_ENDED);
	}
	/* Else a RST that a client in SYN-SENT ignores (RFC 9293, section 3.10.7.3). */
}

static void on_client(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (!(s->layers->tcp_flags & TL_TCP_ACK))
		return;
	if (!(fs->flags & ACKED)) {
		fs->flags |= ACKED;
		count_accepted(s);
		if (!fs->synack_after_data)
			all_clear(s);
	}
	if (!fs->synack_count) {
		done(s); /* it goes on, so it was answered: we see one direction only */
		return;
	}
	if (!s->layers->payload_bytes)
		return;
	if (!fs->data_ns) {
		fs->data_ns = s->packet->ts_ns;
		fs->data_frame = s->packet->frame;
		trouble_give_back(s->w, fs); /* what it held was cleared by the ACK */
	}
}

static void on_server(const struct step *s)
{
	struct flow_state *fs = s->fs;

	if (fs->synack_after_data) {
		report(s->w, fs, s->flow, CONNECT_ENDED | CONNECT_ACCEPTED_LATE);
		trouble_give_back(s->w, fs);
		fs->flags |= DONE;
		return;
	}
	done(s);
}

/* Of a client: not the answer to one. */
static bool is_first_syn(const struct tl_layers *l)
{
	return (l->tcp_flags & (TL_TCP_SYN | TL_TCP_ACK | TL_TCP_RST)) == TL_TCP_SYN;
}

static bool is_open(const struct flow_state *fs)
{
	return (fs->flags & (HAS_SYN | DONE)) == HAS_SYN;
}

/* A SYN, or of an attempt that is open. */
static __attribute__((noinline)) void on_tcp(const struct step *s, uint8_t side)
{
	const uint8_t flags = s->layers->tcp_flags;

	if (is_first_syn(s->layers))
		on_syn(s, side);
	else if (flags & TL_TCP_RST)
		on_rst(s);
	else if (flags & TL_TCP_SYN)
		on_synack(s);
	else if (s->from_client)
		on_client(s);
	else
		on_server(s);
}

static void on_icmp(struct worker *w, const struct tl_packet *packet,
		    const struct tl_layers *layers, const struct tl_flow *flow)
{
	struct tl_observation o;
	struct connect_icmp icmp = { 0 };
	struct tl_tcp_quote quote;

	if (!layers->src || !tl_tcp_quote__of(packet, layers, &quote))
		return;
	if (quote.has_flags && (quote.tcp_flags & (TL_TCP_SYN | TL_TCP_ACK)) != TL_TCP_SYN)
		return;
	if (!may_report(w))
		return;
	icmp.isn = quote.seq;
	icmp.code = quote.code;
	icmp.is_syn = quote.has_flags;
	icmp.reporter.ip_version = layers->ip_version;
	memcpy(icmp.reporter.ip, layers->src, layers->ip_version == 6 ? 16 : 4);
	icmp.proof = (struct connect_proof){
		.frame = packet->frame,
		.ts_ns = packet->ts_ns,
		.seq = quote.seq,
		.bytes = quote.code,
		.what = CONNECT_ICMP,
	};
	o.subject = flow ? tl_subject__of_flow(flow, 0)
			 : (struct tl_subject){ .interface = packet->interface };
	o.subject.client = quote.src;
	o.subject.server = quote.dst;
	o.subject.proto = PROTO_TCP;
	o.data_bytes = sizeof(icmp);
	memcpy(o.data, &icmp, sizeof(icmp));
	emit(w, &o, CONNECT_OBSERVED_ICMP);
}

/* --- what the registry calls ------------------------------------------------------------------ */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

/*
 * Without a look at the flow's state here. The flow's counters are ahead of the packet by up to a
 * batch: counted against 64 alone, the ACK of a handshake would be left out where a whole download
 * is in one batch, as in a file, and not live.
 */
static bool is_past_handshake(const struct tl_layers *layers, const struct tl_flow *flow)
{
	return !(layers->tcp_flags & (TL_TCP_SYN | TL_TCP_RST)) &&
	       flow->packets[0] + flow->packets[1] > HANDSHAKE_PACKETS + TL_BATCH_MAX;
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;

	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_packet *packet = &b->batch->packet[i];
		const struct tl_layers *layers = &b->batch->layers[i];
		const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
		struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);

		if (layers->proto == PROTO_ICMP || layers->proto == PROTO_ICMPV6) {
			w->now_ns = b->newest_ns[i];
			on_icmp(w, packet, layers, lookup->ret_flow);
			continue;
		}
		/* Flags are zero where the header was cut off; no TCP segment has none. */
		if (!layers->tcp_flags)
			continue;
		if (is_past_handshake(layers, lookup->ret_flow)) {
			tl_analyzer_batch__rest(b, i);
			continue;
		}
		if (!is_open(fs) && !is_first_syn(layers))
			continue;
		w->now_ns = b->newest_ns[i];
		on_tcp(&(struct step){ .w = w,
				       .fs = fs,
				       .flow = lookup->ret_flow,
				       .packet = packet,
				       .layers = layers,
				       .from_client = lookup->ret_side == fs->client },
		       lookup->ret_side);
	}
	w->now_ns = tl_analyzer_batch__newest_ns(b);
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (tl_ticks__second_ended(&w->told_second, now_ns) && (w->dirty_servers || w->withheld))
		tell_servers(w);
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	(void)end;
	conclude(state, flow_state, flow);
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	tell_servers(state);
}

const struct tl_analyzer tl_analyzer_connect = {
	.name = "connect",
	.wants = TL_WANTS_TCP | TL_WANTS(ODD) | TL_WANTS(ICMP),
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.flow_end = flow_end,
	.finish = finish,
	.judge_bytes = sizeof(struct connect_judge *),
	.judge_init = connect_judge__init,
	.observe = connect_judge__observe,
	.judge_tick = connect_judge__tick,
	.judge_finish = connect_judge__finish,
	.judge_fini = connect_judge__fini,
};
