/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * traffic.top_talker: who fills the link, and who opens connections without end.
 *
 *	worker: packets ─► table of hosts for one second of packet time ─► observations
 *	judge:  seconds ─► table of hosts for the run ─► storm, as it happens; share, at the end
 *
 * Copies by the mirror are left out; a packet in a tunnel counts for its innermost source, once.
 * Two things are said. A host that sent at least half of all bytes of a capture that is long enough
 * to speak of: worth knowing, no more. A client that opens hundreds of connections a second to one
 * service, with next to nothing to say in them: a health check gone wild, or a flood, and a
 *warning.
 *
 * Invariants: memory is fixed; what is told depends on the seconds of packet time, not on ticks.
 *The seconds lie on the clock's grid, so they are the same live and from a file.
 */
#include <stdlib.h>
#include <string.h>

#include "core/analyzer_impl.h"
#include "core/hosts.h"
#include "core/tcp_fault.h"

#define PROTO_TCP 6
#define SECOND_NS 1000000000ull

#define WORKER_SETS 64u
#define JUDGE_SETS  512u

/* A share is worth telling from here on. */
#define SHARE_MIN	  0.5
#define SHARE_PACKETS_MIN 1000u
#define SHARE_SPAN_MIN_NS SECOND_NS

/* A storm: this many new connections in each of so many seconds, nearly all to one service. */
#define STORM_CONNECTIONS   200u
#define STORM_SECONDS	    2u
#define STORM_PAYLOAD_BYTES 128u /* of the client, a connection: a health check says little */
#define STORM_TARGET_SHARE  0.9
#define STORM_PROOFS	    6u

/* So long after its begin, every worker has told of a second. */
#define LATEST_REPORT_S 3u

enum observation { OBSERVED_HOSTS = 1 };

#define REPORT_HOSTS 3u

/* Hosts of one second. Totals come with the first part of a second only. */
struct report {
	uint64_t second;
	uint64_t bytes, packets;
	uint64_t first_ns, last_ns;
	uint32_t count;
	uint64_t weight[REPORT_HOSTS];
	struct tl_host host[REPORT_HOSTS];
};

_Static_assert(sizeof(struct report) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* By side: the sender's mark in the table of hosts; 0: not known yet. */
struct flow_state {
	uint32_t mark[2];
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t second;
	uint64_t next_ns; /* when the next one begins */
	uint64_t bytes, packets;
	uint64_t first_ns, last_ns;
	struct tl_hosts_set set[WORKER_SETS];
};

/* --- worker half ----------------------------------------------------------------------------- */

static int worker_init(void *state, const struct tl_analyzer_worker *out)
{
	struct worker *w = state;

	w->out = *out;
	return 0;
}

static void send_report(struct worker *w, struct report *r)
{
	struct tl_observation o;

	tl_observation__clear(&o);
	o.kind = OBSERVED_HOSTS;
	o.ts_ns = w->last_ns;
	o.data_bytes = sizeof(*r);
	memcpy(o.data, r, sizeof(*r));
	tl_analyzer_worker__emit(&w->out, &o);
	r->bytes = r->packets = 0;
	r->count = 0;
}

static void end_second(struct worker *w)
{
	struct report r = {
		.second = w->second,
		.bytes = w->bytes,
		.packets = w->packets,
		.first_ns = w->first_ns,
		.last_ns = w->last_ns,
	};

	if (!w->packets)
		return;
	for (uint32_t i = 0; i < WORKER_SETS * TL_WAYS; i++) {
		const struct tl_hosts_set *set = &w->set[i / TL_WAYS];
		const struct tl_host *host = &set->host[i % TL_WAYS];

		if (!host->packets)
			continue;
		r.weight[r.count] = set->ways.weight[i % TL_WAYS];
		r.host[r.count++] = *host;
		if (r.count == REPORT_HOSTS)
			send_report(w, &r);
	}
	/* also where nobody's packets came, but of no IP: they are part of all */
	if (r.count || r.packets)
		send_report(w, &r);
	memset(w->set, 0, sizeof(w->set));
	w->bytes = w->packets = 0;
	w->first_ns = 0;
}

static bool is_target(const struct tl_host *host, const struct tl_endpoint *e)
{
	return host->target.port == e->port && tl_endpoint__same_host(&host->target, e);
}

/* The SYN that is kept as proof is the first to the target. */
static __attribute__((noinline)) void count_connection(const struct tl_hosts_place *place,
						       const struct tl_packet *p,
						       const struct tl_layers *l)
{
	const struct tl_address to = tl_address__of(l, l->dst);
	struct tl_endpoint target = tl_address__endpoint(&to, l->dst_port);
	struct tl_host *host = place->host;

	bool is_same = host->connections && is_target(host, &target);

	host->connections++;
	/* Connections count for as much as full frames, or a storm of small ones would be lost. */
	*place->weight += 1500;
	tl_host__vote(host, &target, 1);
	if (!is_same && is_target(host, &target)) {
		host->syn_frame = p->frame;
		host->syn_ns = p->ts_ns;
	}
}

/* `known_mark`: the sender's in its flow; NULL without one. */
static struct tl_hosts_place place_of(struct worker *w, const struct tl_layers *l,
				      uint32_t *known_mark)
{
	const struct tl_address source = tl_address__of(l, l->src);
	uint32_t mark = known_mark ? *known_mark : 0;

	if (!mark) {
		mark = tl_hosts__mark(&source);
		if (known_mark)
			*known_mark = mark;
	}
	return tl_hosts__get(w->set, WORKER_SETS, mark, &source);
}

static void count_packet(struct worker *w, const struct tl_analyzer_batch *b, uint32_t i,
			 size_t flow_offset)
{
	struct flow_state *fs = tl_analyzer_batch__flow_state(b, i, flow_offset);
	const struct tl_packet *p = &b->batch->packet[i];
	const struct tl_layers *l = &b->batch->layers[i];
	const struct tl_hosts_place place =
		place_of(w, l, fs ? &fs->mark[b->batch->lookup[i].ret_side] : NULL);
	struct tl_host *host = place.host;

	if (!host->packets++) {
		host->first_frame = p->frame;
		host->first_ns = p->ts_ns;
	}
	*place.weight += p->wirelen;
	host->bytes += p->wirelen;
	if (l->proto != PROTO_TCP)
		return;
	host->payload_bytes += l->payload_bytes;
	if ((l->tcp_flags & (TL_TCP_SYN | TL_TCP_ACK)) == TL_TCP_SYN &&
	    b->segment[i].verdict != TL_VERDICT_SYN_RETRANSMIT)
		count_connection(&place, p, l);
}

/* All of this second. */
static void count(struct worker *w, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	for (uint64_t left = b->wanted; left && !w->first_ns;)
		w->first_ns = b->batch->packet[tl_analyzer_batch__next(&left)].ts_ns;
	if (b->sums->newest_ns > w->last_ns)
		w->last_ns = b->sums->newest_ns;
	w->bytes += b->sums->bytes;
	w->packets += (uint64_t)__builtin_popcountll(b->wanted);
	for (uint64_t left = b->wanted; left;) {
		const uint32_t i = tl_analyzer_batch__next(&left);
		const struct tl_layers *l = &b->batch->layers[i];

		if (l->ip_version && l->src && l->dst)
			count_packet(w, b, i, flow_offset);
	}
}

static void batch(void *state, const struct tl_analyzer_batch *b, size_t flow_offset)
{
	struct worker *w = state;
	struct tl_batch_sums sums;

	if (!b->wanted)
		return;
	if (b->sums->newest_ns < w->next_ns) {
		count(w, b, flow_offset);
		return;
	}
	for (uint64_t left = b->wanted; left;) {
		const struct tl_analyzer_batch only =
			tl_analyzer_batch__only(b, tl_analyzer_batch__next(&left), &sums);

		if (sums.newest_ns >= w->next_ns) {
			end_second(w);
			w->second = sums.newest_ns / SECOND_NS;
			w->next_ns = (w->second + 1) * SECOND_NS;
		}
		count(w, &only, flow_offset);
	}
}

static void tick(void *state, uint64_t now_ns)
{
	struct worker *w = state;

	if (now_ns / SECOND_NS > w->second)
		end_second(w);
}

static void finish(void *state, uint64_t now_ns)
{
	(void)now_ns;
	end_second(state);
}

/* --- judge half ------------------------------------------------------------------------------ */

/* A client's connections, second by second. */
struct storm {
	struct tl_endpoint client;
	uint64_t second; /* that `now` counts in */
	struct tl_host now;
	uint64_t now_last_ns; /* newest packet of that second */
	uint64_t seconds;     /* busy ones, since it began */
	uint64_t first_ns, last_ns;
	uint64_t bytes, packets, connections, peak;
	uint32_t proof_count;
	struct {
		uint64_t frame, ns;
	} proof[STORM_PROOFS];
};

struct judge {
	struct tl_analyzer_judge view;
	uint64_t bytes, packets;
	uint64_t first_ns, last_ns;
	struct tl_hosts_set set[JUDGE_SETS];
	struct storm storm[JUDGE_SETS];
	uint64_t due_second; /* none is over before */
};

static int judge_init(void *state, const struct tl_analyzer_judge *view)
{
	struct judge *j = state;

	j->view = *view;
	return 0;
}

/* Adds what a host sent in a second, or in another worker. */
static void host_add(struct tl_host *to, const struct tl_host *from)
{
	bool is_same;

	if (!to->packets || from->first_ns < to->first_ns) {
		to->first_ns = from->first_ns;
		to->first_frame = from->first_frame;
	}
	to->bytes += from->bytes;
	to->packets += from->packets;
	to->payload_bytes += from->payload_bytes;
	if (!from->connections)
		return;
	is_same = to->connections && is_target(to, &from->target);
	to->connections += from->connections;
	tl_host__vote(to, &from->target, from->target_lead);
	if (is_target(to, &from->target) && (!is_same || from->syn_ns < to->syn_ns)) {
		to->syn_ns = from->syn_ns;
		to->syn_frame = from->syn_frame;
	}
}

static struct tl_finding *begin_finding(struct judge *j, const struct tl_endpoint *host,
					bool *ret_is_new)
{
	uint8_t key[TL_ENDPOINT_KEY];

	tl_endpoint__key(host, key);
	return tl_findings__begin(j->view.findings, "traffic.top_talker", key, sizeof(key),
				  ret_is_new);
}

/* The periodic analyzer has named the clock behind it: one warning is enough. */
static bool is_told_as_periodic(struct judge *j, const struct storm *s)
{
	struct tl_subject subject = {
		.client = s->client,
		.server = s->now.target,
		.proto = PROTO_TCP,
	};
	uint8_t key[TL_PAIR_KEY];
	struct tl_finding *f;
	bool is_new;

	tl_pair__key(&subject, 0, key);
	f = tl_findings__begin(j->view.findings, "traffic.periodic", key, sizeof(key), &is_new);
	if (!is_new)
		return f->severity > TL_INFO;
	tl_findings__retract(j->view.findings, f);
	return false;
}

static void write_storm(struct judge *j, const struct storm *s)
{
	const struct tl_endpoint *target = &s->now.target;
	char client[TL_TEXT_IP], server[TL_TEXT_ENDPOINT], a[TL_TEXT_FILTER];
	struct tl_finding *f;
	bool is_new;

	f = begin_finding(j, &s->client, &is_new);
	f->severity = is_told_as_periodic(j, s) ? TL_INFO : TL_WARNING;
	f->confidence = 0.8;
	f->first_ns = s->first_ns;
	f->last_ns = s->last_ns;
	f->count = s->connections;
	f->subject.client = s->client;
	f->subject.server = *target;
	f->subject.proto = PROTO_TCP;
	tl_text__ip(&s->client, client);
	tl_text__endpoint(target, server);
	tl_finding__summary(f,
			    "%s opened %llu connections to %s in %llu s, up to %llu a second, "
			    "with next to no payload",
			    client, (unsigned long long)s->connections, server,
			    (unsigned long long)s->seconds, (unsigned long long)s->peak);
	tl_finding__cause(f, "a health check or a retry loop whose interval is far too short, or a "
			     "SYN flood");
	tl_finding__next(f, "find out what runs on %s and knocks at %s; set its interval", client,
			 server);
	/* Without the service: the first SYN of a second may go to another one. */
	tl_finding__filter(f, "%s && tcp.flags.syn==1", tl_text__ip_filter(&s->client, a));
	tl_finding__detail_u64(f, "bytes", s->bytes);
	tl_finding__detail_u64(f, "packets", s->packets);
	tl_finding__detail_f64(f, "connections_per_s", (double)s->connections / (double)s->seconds);
	tl_finding__detail_null(f, "share");
	f->evidence_count = 0;
	for (uint32_t i = 0; i < s->proof_count; i++)
		tl_finding__evidence(f, s->proof[i].frame, s->proof[i].ns,
				     "first SYN of a busy second");
	tl_findings__commit(j->view.findings, f, s->last_ns);
}

static bool is_busy(const struct tl_host *second)
{
	return second->connections >= STORM_CONNECTIONS &&
	       second->payload_bytes <= second->connections * STORM_PAYLOAD_BYTES &&
	       (double)second->target_lead >= STORM_TARGET_SHARE * (double)second->connections;
}

/* All workers have told of this second. */
static void close_second(struct judge *j, struct storm *s)
{
	const struct tl_host *now = &s->now;

	if (!is_busy(now))
		return;
	if (!s->seconds || s->second * SECOND_NS > s->last_ns + TL_FINDING_QUIET_NS) {
		struct tl_endpoint client = s->client;
		struct tl_host same = *now;

		*s = (struct storm){
			.client = client,
			.second = s->second,
			.now = same,
			.now_last_ns = s->now_last_ns,
		};
		s->first_ns = now->syn_ns;
	}
	s->seconds++;
	s->last_ns = s->now_last_ns;
	s->bytes += now->bytes;
	s->packets += now->packets;
	s->connections += now->connections;
	if (now->connections > s->peak)
		s->peak = now->connections;
	if (s->proof_count < STORM_PROOFS) {
		s->proof[s->proof_count].frame = now->syn_frame;
		s->proof[s->proof_count++].ns = now->syn_ns;
	}
	if (s->seconds >= STORM_SECONDS)
		write_storm(j, s);
}

static void watch_storm(struct judge *j, const struct report *r, const struct tl_host *host)
{
	uint64_t hash = tl_text__hash(0, host->address.ip, sizeof(host->address.ip));
	struct storm *s = &j->storm[hash & (JUDGE_SETS - 1)];

	if (!tl_endpoint__same_host(&s->client, &host->address)) {
		/* A place is given up only for a client that knocks harder. */
		if (s->second == r->second && s->now.connections >= host->connections)
			return;
		close_second(j, s);
		*s = (struct storm){ .client = host->address, .second = r->second };
	}
	if (s->second != r->second) {
		close_second(j, s);
		s->now = (struct tl_host){ 0 };
		s->second = r->second;
		s->now_last_ns = 0;
	}
	host_add(&s->now, host);
	if (r->last_ns > s->now_last_ns)
		s->now_last_ns = r->last_ns;
	if (s->second + LATEST_REPORT_S < j->due_second)
		j->due_second = s->second + LATEST_REPORT_S;
}

static void observe(void *state, const struct tl_observation *observation)
{
	struct judge *j = state;
	struct report r;

	if (observation->kind != OBSERVED_HOSTS || observation->data_bytes != sizeof(r))
		return;
	memcpy(&r, observation->data, sizeof(r));
	j->bytes += r.bytes;
	j->packets += r.packets;
	if (!j->first_ns || r.first_ns < j->first_ns)
		j->first_ns = r.first_ns;
	if (r.last_ns > j->last_ns)
		j->last_ns = r.last_ns;
	for (uint32_t i = 0; i < r.count && i < REPORT_HOSTS; i++) {
		const struct tl_address a = tl_address__of_endpoint(&r.host[i].address);
		const struct tl_hosts_place place =
			tl_hosts__get(j->set, JUDGE_SETS, tl_hosts__mark(&a), &a);

		*place.weight += r.weight[i];
		host_add(place.host, &r.host[i]);
		if (r.host[i].connections)
			watch_storm(j, &r, &r.host[i]);
	}
}

/* A client that has gone quiet: its last second is over, too. */
static void judge_tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;
	uint64_t due_second = UINT64_MAX;

	(void)totals;
	for (uint32_t i = 0; now_ns / SECOND_NS >= j->due_second && i < JUDGE_SETS; i++) {
		struct storm *s = &j->storm[i];

		if (!s->now.connections)
			continue;
		if (s->second + LATEST_REPORT_S > now_ns / SECOND_NS) {
			if (s->second + LATEST_REPORT_S < due_second)
				due_second = s->second + LATEST_REPORT_S;
			continue;
		}
		close_second(j, s);
		s->now = (struct tl_host){ 0 };
	}
	if (now_ns / SECOND_NS >= j->due_second)
		j->due_second = due_second;
}

static const struct tl_host *heaviest(const struct judge *j)
{
	const struct tl_host *top = &j->set[0].host[0];

	for (uint32_t i = 1; i < JUDGE_SETS * TL_WAYS; i++) {
		const struct tl_host *host = &j->set[i / TL_WAYS].host[i % TL_WAYS];

		if (host->bytes > top->bytes)
			top = host;
	}
	return top;
}

static void write_share(struct judge *j, const struct tl_host *top, double share)
{
	uint64_t span_ns = j->last_ns - j->first_ns;
	double seconds = (double)span_ns / 1e9;
	char ip[TL_TEXT_IP], span[TL_TEXT_SPAN];
	struct tl_finding *f;
	bool is_new;

	f = begin_finding(j, &top->address, &is_new);
	/* A storm of the same host is the weightier thing to say; its share rounds that off. */
	tl_finding__detail_f64(f, "share", share);
	if (is_new) {
		f->severity = TL_INFO;
		f->confidence = 0.95;
		f->first_ns = top->first_ns;
		f->last_ns = j->last_ns;
		f->count = 1;
		f->subject.client = top->address;
		tl_text__ip(&top->address, ip);
		tl_finding__summary(f, "%s sent %.0f %% of all bytes: %.1f Mbit/s over %s", ip,
				    share * 100.0, (double)top->bytes * 8.0 / 1e6 / seconds,
				    tl_text__span(span_ns, span));
		tl_finding__cause(f, "one host fills most of what passes here");
		tl_finding__next(f, "is that what %s is there for? see what it sends, and to whom",
				 ip);
		tl_finding__filter(f, "%s.src==%s", top->address.ip_version == 6 ? "ipv6" : "ip",
				   ip);
		tl_finding__evidence(f, top->first_frame, top->first_ns, "its first packet");
		tl_finding__detail_u64(f, "bytes", top->bytes);
		tl_finding__detail_u64(f, "packets", top->packets);
		tl_finding__detail_f64(f, "connections_per_s", (double)top->connections / seconds);
	}
	tl_findings__commit(j->view.findings, f, j->last_ns);
}

static void judge_finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct judge *j = state;
	const struct tl_host *top = heaviest(j);
	double share = j->bytes ? (double)top->bytes / (double)j->bytes : 0;

	(void)now_ns;
	(void)totals;
	for (uint32_t i = 0; i < JUDGE_SETS; i++)
		close_second(j, &j->storm[i]);
	if (j->packets >= SHARE_PACKETS_MIN && share >= SHARE_MIN &&
	    j->last_ns - j->first_ns >= SHARE_SPAN_MIN_NS)
		write_share(j, top, share);
}

const struct tl_analyzer tl_analyzer_talkers = {
	.name = "talkers",
	.wants = TL_WANTS_NO_COPY,
	.flow_bytes = sizeof(struct flow_state),
	.worker_bytes = sizeof(struct worker),
	.worker_init = worker_init,
	.batch = batch,
	.tick = tick,
	.finish = finish,
	.judge_bytes = sizeof(struct judge),
	.judge_init = judge_init,
	.observe = observe,
	.judge_tick = judge_tick,
	.judge_finish = judge_finish,
};
