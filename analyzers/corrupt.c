/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * packet.corrupt: packets whose checksum says that a box or a link on the way here changed them.
 *
 *	worker: bad checksum ─► kept for the flow until its fate shows ─► observation
 *	          fate: sent again (the receiver threw it away), whole or damaged as well
 *	                │ ACKed all the same │ unknown
 *	judge:  is it the wire, or offload at the host that captures? ─► one finding for each layer
 *
 * A bad checksum alone proves little: a host that leaves checksums to its NIC shows them all bad,
 * when captured on the host itself. So a sender must be seen sending good ones too, for the most
 * part, and a warning wants more: the packet was sent again, with a good checksum, or it is of a
 * protocol that does not send again.
 *
 * Invariants: a fixed number of bytes for a flow (one packet whose fate is open: a newer one pushes
 * it out); copies by the mirror do not count.
 */
#include <errno.h>
#include <string.h>

#include "core/analyzer_impl.h"
#include "core/tcp_fault.h"
#include "core/text.h"

#define PROTO_ICMP   1
#define PROTO_ICMPV6 58

/* A flow that shows nothing but bad ones is told of no more. */
#define BAD_TOLD_MAX 32u
/* Longer frames may be several that a NIC put together: their checksum is that of the first. */
#define FRAME_MAX 1522u

#define HOSTS 1024u

enum layer { LAYER_IPV4, LAYER_TCP, LAYER_UDP, LAYER_ICMP, LAYERS };

static const char *const layer_name[LAYERS] = { "ipv4", "tcp", "udp", "icmp" };

enum fate { FATE_UNKNOWN = 0, FATE_SENT_AGAIN, FATE_ACKED, FATE_DAMAGED_AGAIN };

/* A packet with a bad checksum, and what became of it. */
struct bad {
	struct tl_proof packet, again;
	uint8_t layer; /* enum layer */
	uint8_t fate;  /* enum fate */
	bool is_long;
	bool is_first; /* of its flow */
	bool by_client;
	uint32_t bytes;
	/* Of the same sender: in this flow and direction; flows, of this worker. */
	uint64_t good_packets, bad_packets, good_flows;
};

struct flow_state {
	uint32_t good[2]; /* by side */
	uint64_t ns;	  /* of the packet whose fate is open; 0: none */
	/* Good ones do not touch what follows. */
	uint64_t frame;
	uint32_t bad[2]; /* by side */
	uint32_t told;
	uint32_t relative_seq, end_seq;
	uint32_t bytes;
	uint8_t side, layer;
	bool is_long;
	bool is_acked;
};

struct host {
	struct tl_endpoint address;
	uint64_t good_flows;
};

struct worker {
	struct tl_analyzer_worker out;
	struct host host[HOSTS];
};

/* --- worker half ----------------------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static struct host *host_of(struct worker *w, const struct tl_endpoint *address)
{
	uint64_t hash = tl_text__hash(address->ip_version, address->ip, sizeof(address->ip));

	return &w->host[hash & (HOSTS - 1)];
}

/* Once for a flow's direction: its sender fills in checksums before they pass here. */
static void note_good_flow(struct worker *w, const struct tl_layers *l)
{
	struct tl_endpoint address = { .ip_version = l->ip_version };
	struct host *host;

	memcpy(address.ip, l->src, l->ip_version == 6 ? 16 : 4);
	host = host_of(w, &address);
	if (!tl_endpoint__same_host(&host->address, &address))
		*host = (struct host){ .address = address };
	host->good_flows++;
}

static void tell(struct worker *w, const struct tl_flow *flow, struct flow_state *fs,
		 struct bad *bad)
{
	struct tl_observation o = {
		.subject = tl_subject__of_flow(flow, flow->client),
		.data_bytes = sizeof(*bad),
	};
	const struct tl_endpoint *sender;
	const struct host *host;

	bad->packet = (struct tl_proof){ .frame = fs->frame, .ts_ns = fs->ns };
	bad->layer = fs->layer;
	bad->is_long = fs->is_long;
	bad->bytes = fs->bytes;
	if (bad->fate == FATE_UNKNOWN && fs->is_acked)
		bad->fate = FATE_ACKED;
	bad->is_first = !fs->told;
	bad->by_client = fs->side == flow->client;
	bad->good_packets = fs->good[fs->side];
	bad->bad_packets = fs->bad[fs->side];
	sender = bad->by_client ? &o.subject.client : &o.subject.server;
	host = host_of(w, sender);
	if (tl_endpoint__same_host(&host->address, sender))
		bad->good_flows = host->good_flows;
	fs->ns = 0;
	if (fs->told >= BAD_TOLD_MAX)
		return;
	fs->told++;
	o.ts_ns = bad->again.ts_ns ? bad->again.ts_ns : bad->packet.ts_ns;
	memcpy(o.data, bad, sizeof(*bad));
	tl_analyzer_worker__emit(&w->out, &o);
}

static void keep(struct flow_state *fs, const struct tl_analyzer_batch *b, uint32_t i,
		 uint8_t layer)
{
	const struct tl_packet *p = &b->batch->packet[i];
	const struct tl_layers *l = &b->batch->layers[i];

	fs->frame = p->frame;
	fs->ns = p->ts_ns;
	fs->bytes = l->payload_bytes + ((l->tcp_flags & TL_TCP_SYN) ? 1 : 0);
	fs->relative_seq = b->segment[i].relative_seq;
	fs->end_seq = l->seq + fs->bytes;
	fs->side = b->batch->lookup[i].ret_side;
	fs->layer = layer;
	fs->is_long = p->wirelen > FRAME_MAX;
	fs->is_acked = false;
}

static bool is_tcp_data(const struct tl_layers *l)
{
	return l->proto == TL_PROTO_TCP && (l->payload_bytes || (l->tcp_flags & TL_TCP_SYN));
}

/* Does this packet, which is good, show what became of the bad one? */
static void settle(struct worker *w, struct flow_state *fs, const struct tl_analyzer_batch *b,
		   uint32_t i)
{
	const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
	const struct tl_packet *p = &b->batch->packet[i];
	const struct tl_layers *l = &b->batch->layers[i];
	struct bad bad = { .fate = FATE_UNKNOWN };

	if (l->proto != TL_PROTO_TCP || !fs->bytes)
		return;
	if (lookup->ret_side == fs->side) {
		if (is_tcp_data(l) && b->segment[i].relative_seq == fs->relative_seq) {
			bad.fate = FATE_SENT_AGAIN;
			bad.again = (struct tl_proof){ .frame = p->frame, .ts_ns = p->ts_ns };
		}
	} else if ((l->tcp_flags & TL_TCP_ACK) && (int32_t)(l->ack - fs->end_seq) >= 0) {
		/* Serial, as all of TCP's numbers: its last byte is ACKed. It may still come again.
		 */
		fs->is_acked = true;
	}
	if (bad.fate != FATE_UNKNOWN)
		tell(w, lookup->ret_flow, fs, &bad);
}

/* The same bytes as those whose fate is open, damaged once more. */
static bool is_again(const struct flow_state *fs, const struct tl_analyzer_batch *b, uint32_t i)
{
	const struct tl_layers *l = &b->batch->layers[i];

	return fs->ns && !fs->is_acked && is_tcp_data(l) && fs->bytes &&
	       b->batch->lookup[i].ret_side == fs->side &&
	       b->segment[i].relative_seq == fs->relative_seq &&
	       fs->end_seq == l->seq + l->payload_bytes + ((l->tcp_flags & TL_TCP_SYN) ? 1 : 0);
}

static uint8_t layer_of(const struct tl_layers *l)
{
	if (l->proto == TL_PROTO_TCP)
		return LAYER_TCP;
	return l->proto == PROTO_ICMP || l->proto == PROTO_ICMPV6 ? LAYER_ICMP : LAYER_UDP;
}

static __attribute__((noinline)) void examine(struct worker *w, const struct tl_analyzer_batch *b,
					      uint32_t i, struct flow_state *fs)
{
	const struct tl_flow_lookup *lookup = &b->batch->lookup[i];
	const struct tl_layers *l = &b->batch->layers[i];
	uint8_t sum = b->segment[i].sum;
	struct bad pushed_out = { .fate = FATE_UNKNOWN };

	if (sum == TL_SUM_GOOD) {
		if (!fs->good[lookup->ret_side]++)
			note_good_flow(w, l);
		if (fs->ns)
			settle(w, fs, b, i);
	} else if (sum != TL_SUM_UNKNOWN) {
		if (is_again(fs, b, i)) {
			pushed_out.fate = FATE_DAMAGED_AGAIN;
			pushed_out.again = (struct tl_proof){ .frame = b->batch->packet[i].frame,
							      .ts_ns = b->batch->packet[i].ts_ns };
		}
		fs->bad[lookup->ret_side]++;
		if (fs->ns)
			tell(w, lookup->ret_flow, fs, &pushed_out);
		keep(fs, b, i, sum == TL_SUM_BAD_IP ? LAYER_IPV4 : layer_of(l));
	}
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
		uint32_t *good;

		if (!fs)
			continue;
		good = &fs->good[b->batch->lookup[i].ret_side];
		/* The usual one: good, as others before it, and nobody waits for it. */
		if (b->segment[i].sum == TL_SUM_GOOD && *good && !fs->ns)
			(*good)++;
		else
			examine(state, b, i, fs);
	}
}

static void flow_end(void *state, struct tl_flow *flow, void *flow_state, enum tl_flow_end end)
{
	struct flow_state *fs = flow_state;
	struct bad bad = { .fate = FATE_UNKNOWN };

	(void)end;
	if (fs->ns)
		tell(state, flow, fs, &bad);
}

/* --- judge half ------------------------------------------------------------------------------ */

#define PAIRS_MAX 4u

/* Of one layer. */
struct group {
	uint64_t packets, flows, sent_again, damaged_again, acked, lone;
	uint32_t pair_count;
	struct tl_subject pair[PAIRS_MAX];
	bool more_pairs;
};

struct judge {
	struct tl_analyzer_judge view;
	struct group group[LAYERS];
};

static int judge_init(void *state, const struct tl_analyzer_judge *view)
{
	struct judge *j = state;

	j->view = *view;
	return 0;
}

/* Is the sender one that fills its checksums in before they pass here? */
static bool is_of_the_wire(const struct bad *bad)
{
	if (bad->fate == FATE_SENT_AGAIN)
		return true; /* the same bytes passed with a good one */
	if (bad->is_long)
		return false;
	return bad->good_packets >= 2 * bad->bad_packets || bad->good_flows >= 3;
}

/* Index of the pair of hosts; PAIRS_MAX: there are more than that. */
static uint32_t pair_index(struct group *g, const struct tl_subject *s)
{
	for (uint32_t i = 0; i < g->pair_count; i++)
		if (tl_endpoint__same_host(&g->pair[i].client, &s->client) &&
		    tl_endpoint__same_host(&g->pair[i].server, &s->server))
			return i;
	if (g->pair_count == PAIRS_MAX) {
		g->more_pairs = true;
		return PAIRS_MAX;
	}
	g->pair[g->pair_count] = *s;
	return g->pair_count++;
}

static void filter(struct tl_finding *f, const struct group *g)
{
	char text[PAIRS_MAX * 112] = "", a[TL_TEXT_FILTER], b[TL_TEXT_FILTER];
	size_t at = 0;

	for (uint32_t i = 0; i < g->pair_count && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s(%s && %s)",
				       i ? " || " : "", tl_text__ip_filter(&g->pair[i].client, a),
				       tl_text__ip_filter(&g->pair[i].server, b));
	tl_finding__filter(f, "%s", text);
}

static void word(struct tl_finding *f, const struct group *g, const struct bad *bad)
{
	const char *layer = layer_name[bad->layer];
	char client[TL_TEXT_IP], server[TL_TEXT_ENDPOINT], more[40] = "", again[128] = "";
	size_t at = 0;

	tl_text__ip(&g->pair[0].client, client);
	if (bad->layer == LAYER_ICMP)
		tl_text__ip(&g->pair[0].server, server);
	else
		tl_text__endpoint(&g->pair[0].server, server);
	if (g->pair_count > 1)
		snprintf(more, sizeof(more), " and %s%u other pair%s of hosts",
			 g->more_pairs ? "more than " : "", g->pair_count - 1,
			 tl_text__plural(g->pair_count - 1));
	if (g->sent_again)
		at = (size_t)snprintf(again, sizeof(again), "; %llu of them had to be sent again",
				      (unsigned long long)g->sent_again);
	if (g->damaged_again)
		snprintf(again + at, sizeof(again) - at,
			 "; %llu were sent again and damaged once more",
			 (unsigned long long)g->damaged_again);
	tl_finding__summary(f, "%llu packet%s between %s and %s%s with a bad %s checksum%s",
			    (unsigned long long)g->packets, tl_text__plural(g->packets), client,
			    server, more, layer, again);
	tl_finding__cause(f, g->acked && !g->sent_again && !g->damaged_again && !g->lone
				     ? "the receiver ACKed them all the same: they were damaged on "
				       "the way to this capture only, or a box puts the checksum "
				       "right behind it"
				     : "a cable, a port, or a device that rewrites packets damages "
				       "them before they pass here; receivers throw them away");
	tl_finding__next(f, "look at the error counters of the ports between the sender and this "
			    "capture; capture on both sides of the device in doubt and use tapline "
			    "compare");
}

static void count(struct group *g, const struct bad *bad)
{
	g->packets++;
	g->flows += bad->is_first || !g->flows;
	g->sent_again += bad->fate == FATE_SENT_AGAIN;
	g->damaged_again += bad->fate == FATE_DAMAGED_AGAIN;
	g->acked += bad->fate == FATE_ACKED;
	g->lone += bad->layer == LAYER_UDP || bad->layer == LAYER_ICMP;
}

static void details(struct tl_finding *f, const struct group *g, const struct bad *bad)
{
	tl_finding__detail_string(f, "layer", layer_name[bad->layer]);
	tl_finding__detail_u64(f, "packets", g->packets);
	tl_finding__detail_u64(f, "sent_again", g->sent_again);
	tl_finding__detail_u64(f, "damaged_again", g->damaged_again);
	tl_finding__detail_u64(f, "acked", g->acked);
	tl_finding__detail_u64(f, "flows", g->flows);
}

/* Who it is about, when that is the same for all. */
static void narrow(struct tl_finding *f, const struct tl_subject *s)
{
	if (!tl_endpoint__same_host(&f->subject.client, &s->client))
		f->subject.client = (struct tl_endpoint){ 0 };
	if (f->subject.client.port != s->client.port)
		f->subject.client.port = 0;
	if (!tl_endpoint__same_host(&f->subject.server, &s->server))
		f->subject.server = (struct tl_endpoint){ 0 };
	if (f->subject.server.port != s->server.port)
		f->subject.server.port = 0;
}

static void observe(void *state, const struct tl_observation *o)
{
	struct judge *j = state;
	struct tl_finding *f;
	struct group *g;
	struct bad bad;
	uint64_t last_ns;
	uint32_t pairs;
	bool is_new;

	if (o->data_bytes != sizeof(bad))
		return;
	memcpy(&bad, o->data, sizeof(bad));
	if (bad.layer >= LAYERS || !is_of_the_wire(&bad))
		return;
	f = tl_findings__begin(j->view.findings, "packet.corrupt", &bad.layer, 1, &is_new);
	g = &j->group[bad.layer];
	if (is_new) {
		*g = (struct group){ 0 };
		f->first_ns = bad.packet.ts_ns;
		f->subject = o->subject;
	}
	count(g, &bad);
	narrow(f, &o->subject);
	pairs = g->pair_count;
	if (pair_index(g, &o->subject) < PAIRS_MAX) {
		tl_finding__evidence(f, bad.packet.frame, bad.packet.ts_ns, "bad %s checksum",
				     layer_name[bad.layer]);
		if (bad.fate == FATE_SENT_AGAIN)
			tl_finding__evidence(f, bad.again.frame, bad.again.ts_ns,
					     "the same bytes again, with a good checksum");
		if (bad.fate == FATE_DAMAGED_AGAIN)
			tl_finding__evidence(f, bad.again.frame, bad.again.ts_ns,
					     "the same bytes again, damaged once more");
	}
	f->severity = g->sent_again || g->damaged_again || g->lone ? TL_WARNING : TL_INFO;
	f->confidence = g->sent_again ? 0.97 : g->damaged_again ? 0.9 : 0.8;
	if (bad.packet.ts_ns < f->first_ns)
		f->first_ns = bad.packet.ts_ns;
	last_ns = bad.again.ts_ns ? bad.again.ts_ns : bad.packet.ts_ns;
	if (last_ns > f->last_ns)
		f->last_ns = last_ns;
	f->count = g->packets;
	word(f, g, &bad);
	/* Many tell of pairs that are known, at the end of thousands of flows at once. */
	if (g->pair_count != pairs)
		filter(f, g);
	f->counter_evidence_count = 0;
	if (g->acked)
		tl_finding__counter_evidence(f, 0, last_ns, "%llu were ACKed and not sent again",
					     (unsigned long long)g->acked);
	details(f, g, &bad);
	tl_findings__commit(j->view.findings, f, last_ns);
}

const struct tl_analyzer tl_analyzer_corrupt = {
	.name = "corrupt",
	.wants = TL_WANTS_NO_COPY,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.flow_end = flow_end,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
};
