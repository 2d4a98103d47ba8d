/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of connect.*: decides what each attempt is, and groups attempts by what they are about.
 *
 *	attempts: a ring of slots, found by (client, server, ISN), the oldest overwritten
 *	groups:   found by key; each lists the attempts that count in it
 *
 *	report ─► attempt ─► kind? ─► service group (kind, server, port) ──────────► finding
 *	                        └──► many ports of one server:  pair group (kind, client, server)
 *	                        └──► many servers:              client group (kind, client)
 *
 * A new report of a known attempt takes its old share out of the group and puts the new one in, so
 * an attempt that was answered after all leaves no trace, and a finding whose group is empty is
 * retracted. One client that fails at many targets is one finding, not hundreds: then its attempts
 * move to a wider group.
 *
 * Invariants: a group's sums are those of its listed attempts and of those overwritten since; its
 * finding is committed whenever `told`. All tables are of fixed size; what does not fit is counted.
 * A group is forgotten at the tick at which the store settles its finding. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/connect_attempts.h"
#include "core/outage.h"
#include "core/text.h"

#define NONE	   CONNECT_NO_ATTEMPT
#define GROUP_NONE UINT16_MAX

/* Sizes of the tables: powers of two. */
#define GROUPS	       1024u
#define BREADTHS       2048u
#define BREADTH_PROBES 8u
#define SERVICES       4096u

#define WAIT_NS	      3000000000ull
#define FIRST_WAIT_NS 1000000000ull /* for the answer to a SYN (RFC 6298, section 2) */
/* A router looks for a neighbour for three seconds (RFC 1122, 2.3.2.1; RFC 4861, 7.2.2), then says
 * by ICMP that it is not there. */
#define ROUTER_WAIT_NS 3500000000ull

/* One client failing at more ports of one server, or at more servers, is one finding. */
#define PAIR_TARGETS   8u
#define CLIENT_TARGETS 16u
/* … and one that a router says it cannot reach: a route is missing. */
#define REPORTED_TARGETS 4u

/* How many different targets one client failed at. */
struct breadth {
	struct connect_group_key key; /* of the wider group */
	bool used, folded;
	uint64_t at_ns; /* newest failure: forgotten after the quiet time of findings */
	uint32_t count;
	uint32_t target[CLIENT_TARGETS + 1];
};

struct service {
	struct tl_endpoint server;
	uint64_t accepted;
};

struct connect_judge {
	struct tl_analyzer_judge view;
	bool at_end;
	uint64_t now_ns, end_ns;
	uint64_t unseen;   /* packets lost, sampled out or not analyzed, as far as told */
	uint64_t withheld; /* reports not sent, and attempts for which there was no group */
	uint16_t group_chain[GROUPS];
	uint32_t group_top;	/* groups from here on were never used */
	bool are_groups_new;	/* since the last tick: attempts came, or one was forgotten */
	uint64_t seen_findings; /* their version at the last tick */
	struct connect_attempts attempts;
	struct connect_group group[GROUPS];
	struct breadth breadth[BREADTHS];
	struct service service[SERVICES];
};

/* --- what is it? ----------------------------------------------------------------------------- */

/* Packet time until which nothing more came, as far as is known. */
static uint64_t quiet_until(const struct connect_judge *j, const struct connect_report *r)
{
	uint64_t until = r->seen_ns > r->last_ns ? r->seen_ns : r->last_ns;

	return j->at_end && j->end_ns > until ? j->end_ns : until;
}

static bool shows_all(const struct connect_judge *j)
{
	struct tl_tracker_totals totals;

	tl_facts__tracker_totals(j->view.facts, &totals);
	return !j->unseen && !totals.missed_segments;
}

static bool is_unanswered(const struct connect_judge *j, const struct connect_report *r)
{
	uint64_t waited = connect_span_ns(r->first_ns, quiet_until(j, r));

	if (r->syn_count >= 2 && waited >= WAIT_NS)
		return true;
	if (r->syn_count >= 3 && j->at_end && waited >= FIRST_WAIT_NS)
		return true;
	/*
	 * One SYN, and its client gave up. The client does not prove by a repetition that it went
	 * without an answer, so the mirror has to: it must be known to show both directions, and
	 * to have shown all.
	 */
	return r->syn_count == 1 && r->flags & CONNECT_ENDED && waited >= WAIT_NS && shows_all(j) &&
	       tl_facts__two_way(j->view.facts) == TL_TWO_WAY_YES;
}

static bool is_return_path(const struct connect_judge *j, const struct connect_report *r)
{
	if (!r->syn_after_synack && r->synack_count < 2)
		return false;
	return connect_span_ns(r->synack_ns, quiet_until(j, r)) >= WAIT_NS ||
	       (j->at_end && r->synack_count >= 3);
}

static enum connect_kind classify(const struct connect_judge *j, const struct connect_attempt *a)
{
	const struct connect_report *r = &a->report;

	if (!a->has_report)
		return a->has_icmp && a->icmp.is_syn ? CONNECT_KIND_UNREACHABLE : CONNECT_KIND_NONE;
	if (r->flags & CONNECT_ANSWERED)
		return CONNECT_KIND_NONE;
	if (r->flags & CONNECT_REFUSED_BY_RST)
		return CONNECT_KIND_REFUSED;
	if (r->synack_after_data)
		return CONNECT_KIND_QUEUE_OVERFLOW;
	if (r->synack_count)
		return is_return_path(j, r) ? CONNECT_KIND_RETURN_PATH : CONNECT_KIND_NONE;
	if (a->has_icmp)
		return CONNECT_KIND_UNREACHABLE;
	return is_unanswered(j, r) ? CONNECT_KIND_NO_ANSWER : CONNECT_KIND_NONE;
}

/* --- groups ---------------------------------------------------------------------------------- */

static uint32_t group_bucket(const struct connect_group_key *key)
{
	return (uint32_t)tl_text__hash(0, key, sizeof(*key)) & (GROUPS - 1);
}

static struct connect_group *group_find(struct connect_judge *j,
					const struct connect_group_key *key)
{
	uint16_t i = j->group_chain[group_bucket(key)];

	while (i != GROUP_NONE && memcmp(&j->group[i].key, key, sizeof(*key)))
		i = j->group[i].next;
	return i == GROUP_NONE ? NULL : &j->group[i];
}

static struct connect_group *group_make(struct connect_judge *j,
					const struct connect_group_key *key)
{
	uint32_t bucket = group_bucket(key);

	for (uint32_t i = 0; i < GROUPS; i++) {
		struct connect_group *g = &j->group[i];

		if (g->used)
			continue;
		*g = (struct connect_group){
			.key = *key,
			.used = true,
			.generation = g->generation + 1,
			.next = j->group_chain[bucket],
			.first_attempt = NONE,
		};
		j->group_chain[bucket] = (uint16_t)i;
		if (i >= j->group_top)
			j->group_top = i + 1;
		return g;
	}
	return NULL;
}

static void group_forget(struct connect_judge *j, struct connect_group *g)
{
	uint16_t self = (uint16_t)(g - j->group);
	uint16_t *at = &j->group_chain[group_bucket(&g->key)];

	while (*at != self)
		at = &j->group[*at].next;
	*at = g->next;
	g->used = false;
	j->are_groups_new = true;
}

static struct connect_group *group_of(struct connect_judge *j, const struct connect_attempt *a)
{
	struct connect_group *g = a->group == NONE ? NULL : &j->group[a->group];

	return g && g->used && g->generation == a->group_generation ? g : NULL;
}

static struct service *service_of(struct connect_judge *j, const struct tl_endpoint *server)
{
	uint64_t hash = tl_text__hash(server->port, server->ip, sizeof(server->ip));

	return &j->service[hash & (SERVICES - 1)];
}

static uint64_t accepted_by(struct connect_judge *j, const struct tl_endpoint *server)
{
	const struct service *service = service_of(j, server);

	return service->server.port == server->port &&
			       tl_endpoint__same_host(&service->server, server)
		       ? service->accepted
		       : 0;
}

/*
 * The cause may be known a moment later: where a service works, that it crashed, or a way around;
 * where nothing answers, what a router says.
 */
static bool is_held(const struct connect_judge *j, const struct connect_group *g)
{
	struct tl_endpoint twin;

	if (g->told || j->at_end)
		return false;
	if (g->key.kind == CONNECT_KIND_NO_ANSWER)
		return j->now_ns < g->first_ns + ROUTER_WAIT_NS;
	return g->key.kind == CONNECT_KIND_REFUSED &&
	       (g->accepted || connect_loopback_twin(&g->subject.server, &twin)) &&
	       j->now_ns < g->first_ns + TL_OUTAGE_KNOWN_NS;
}

static bool is_in_outage(const struct connect_judge *j, const struct connect_group *g)
{
	return g->key.scope == CONNECT_SCOPE_SERVICE &&
	       (g->key.kind == CONNECT_KIND_REFUSED || g->key.kind == CONNECT_KIND_NO_ANSWER) &&
	       tl_outage__explains(j->view.findings, &g->subject.server, g->first_ns, g->last_ns);
}

static bool is_stuck(const struct connect_judge *j, const struct connect_group *g)
{
	return g->key.scope == CONNECT_SCOPE_SERVICE && g->key.kind == CONNECT_KIND_NO_ANSWER &&
	       tl_outage__is_stuck(j->view.findings, &g->subject.server, g->first_ns, g->last_ns);
}

/* Has another finding, or another group, changed what is to be said of it? */
static bool is_seen_anew(const struct connect_judge *j, const struct connect_group *g)
{
	return is_in_outage(j, g) != g->in_outage || is_stuck(j, g) != g->is_stuck ||
	       connect_groups__is_knock(j->group, j->group_top, g) != g->is_knock ||
	       connect_groups__is_refused_unseen(j->group, j->group_top, g) !=
		       g->is_refused_unseen ||
	       connect_groups__is_host_gone(j->group, j->group_top, g) != g->is_host_gone;
}

static void tell(struct connect_judge *j, struct connect_group *g)
{
	struct tl_endpoint twin;
	struct tl_finding *f;
	bool is_new;

	g->accepted = g->accepted_beside = 0;
	if (g->key.scope == CONNECT_SCOPE_SERVICE) {
		g->accepted = accepted_by(j, &g->subject.server);
		if (connect_loopback_twin(&g->subject.server, &twin))
			g->accepted_beside = accepted_by(j, &twin);
	}
	if (g->last_ns > g->at_ns)
		g->at_ns = g->last_ns;
	g->held = is_held(j, g);
	if (g->held)
		return;
	g->unseen = j->unseen;
	g->withheld = j->withheld;
	g->in_outage = is_in_outage(j, g);
	g->is_stuck = is_stuck(j, g);
	g->is_knock = connect_groups__is_knock(j->group, j->group_top, g);
	g->is_refused_unseen = connect_groups__is_refused_unseen(j->group, j->group_top, g);
	g->is_host_gone = connect_groups__is_host_gone(j->group, j->group_top, g);
	f = tl_findings__begin(j->view.findings, connect_words__kind(g->key.kind), &g->key,
			       sizeof(g->key), &is_new);
	connect_words__write(g, j->view.facts, f);
	tl_findings__commit(j->view.findings, f, g->at_ns);
	g->told = true;
}

static void untell(struct connect_judge *j, struct connect_group *g)
{
	struct tl_finding *f;
	bool is_new;

	if (g->told) {
		f = tl_findings__begin(j->view.findings, connect_words__kind(g->key.kind), &g->key,
				       sizeof(g->key), &is_new);
		tl_findings__retract(j->view.findings, f);
	}
	group_forget(j, g);
}

/* --- attempts in groups ----------------------------------------------------------------------- */

static void list_add(struct connect_judge *j, struct connect_group *g, struct connect_attempt *a)
{
	uint32_t self = (uint32_t)(a - j->attempts.slot);

	a->group = (uint32_t)(g - j->group);
	a->group_generation = g->generation;
	a->prev_in_group = NONE;
	a->next_in_group = g->first_attempt;
	if (g->first_attempt != NONE)
		j->attempts.slot[g->first_attempt].prev_in_group = self;
	g->first_attempt = self;
}

static void list_remove(struct connect_judge *j, struct connect_group *g, struct connect_attempt *a)
{
	if (a->prev_in_group == NONE)
		g->first_attempt = a->next_in_group;
	else
		j->attempts.slot[a->prev_in_group].next_in_group = a->next_in_group;
	if (a->next_in_group != NONE)
		j->attempts.slot[a->next_in_group].prev_in_group = a->prev_in_group;
	a->group = NONE;
}

static void put_in(struct connect_judge *j, struct connect_group *g, struct connect_attempt *a)
{
	list_add(j, g, a);
	connect_group__add(g, a, (uint32_t)(a - j->attempts.slot));
}

/* Takes the attempt's share out of its group. The group may be empty then. */
static struct connect_group *take_out(struct connect_judge *j, struct connect_attempt *a)
{
	struct connect_group *g = group_of(j, a);

	if (!g)
		return NULL;
	list_remove(j, g, a);
	connect_group__remove(g, a, (uint32_t)(a - j->attempts.slot));
	return g;
}

/* After attempts were taken out for good. */
static void settle_group(struct connect_judge *j, struct connect_group *g)
{
	if (!g->flows) {
		untell(j, g);
		return;
	}
	/* Extremes can be found anew only while all attempts that count here are known. */
	if (!g->forgotten) {
		g->first_ns = g->last_ns = g->waited_ns = 0;
		for (uint32_t i = g->first_attempt; i != NONE;
		     i = j->attempts.slot[i].next_in_group)
			connect_group__stretch(g, &j->attempts.slot[i]);
	}
	tell(j, g);
}

/* --- one client, many targets ----------------------------------------------------------------- */

static struct breadth *breadth_of(struct connect_judge *j, const struct connect_group_key *key,
				  uint64_t at_ns)
{
	uint64_t hash = tl_text__hash(1, key, sizeof(*key));
	struct breadth *b = NULL;

	for (uint32_t i = 0; i < BREADTH_PROBES; i++) {
		b = &j->breadth[(hash + i) & (BREADTHS - 1)];
		if (!b->used || !memcmp(&b->key, key, sizeof(*key)))
			break;
	}
	if (!b->used || memcmp(&b->key, key, sizeof(*key)) ||
	    b->at_ns + TL_FINDING_QUIET_NS <= at_ns)
		*b = (struct breadth){ .used = true, .key = *key };
	if (at_ns > b->at_ns)
		b->at_ns = at_ns;
	return b;
}

/* True when this target is one too many, now or before. */
static bool breadth_passes(struct breadth *b, const struct connect_attempt *a, uint32_t limit)
{
	bool is_pair = b->key.scope == CONNECT_SCOPE_PAIR;
	uint32_t hash = (uint32_t)tl_text__hash(is_pair ? a->subject.server.port : 0,
						a->subject.server.ip, 16);
	uint32_t i = 0;

	while (i < b->count && b->target[i] != hash)
		i++;
	if (i == b->count && b->count <= limit)
		b->target[b->count++] = hash;
	return b->count > limit;
}

static void move_all(struct connect_judge *j, const struct connect_group_key *key,
		     struct connect_group *to)
{
	for (uint32_t n = 0; n < j->attempts.taken; n++) {
		struct connect_attempt *a = connect_attempts__at(&j->attempts, n);
		struct connect_group_key own;
		struct connect_group *from;

		if (!a->used || !group_of(j, a) || group_of(j, a) == to)
			continue;
		connect_group__key_of(a, key->scope, &own);
		if (memcmp(&own, key, sizeof(own)))
			continue;
		from = take_out(j, a);
		settle_group(j, from);
		put_in(j, to, a);
	}
}

/* The group that the attempt belongs to by now, made if need be; NULL when there is no room. */
static struct connect_group *group_for(struct connect_judge *j, const struct connect_attempt *a)
{
	static const struct {
		enum connect_scope scope;
		uint32_t limit;
	} wide[] = { { CONNECT_SCOPE_CLIENT, CLIENT_TARGETS },
		     { CONNECT_SCOPE_PAIR, PAIR_TARGETS } };
	struct connect_group_key key[2];
	struct breadth *b[2];
	bool passes[2];
	struct connect_group *g;

	for (unsigned i = 0; i < 2; i++) {
		connect_group__key_of(a, wide[i].scope, &key[i]);
		b[i] = breadth_of(j, &key[i], connect_attempt__last_ns(a));
		passes[i] = breadth_passes(b[i], a,
					   a->kind == CONNECT_KIND_UNREACHABLE ? REPORTED_TARGETS
									       : wide[i].limit);
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!passes[i])
			continue;
		g = group_find(j, &key[i]);
		if (!g)
			g = group_make(j, &key[i]);
		if (g && !b[i]->folded)
			move_all(j, &key[i], g);
		if (g) {
			b[i]->folded = true;
			g->targets = b[i]->count;
			return g;
		}
	}
	connect_group__key_of(a, CONNECT_SCOPE_SERVICE, &key[0]);
	g = group_find(j, &key[0]);
	return g ? g : group_make(j, &key[0]);
}

/* Called when anything about the attempt changed; its share must be out of every group. */
static void judge(struct connect_judge *j, struct connect_attempt *a, struct connect_group *old)
{
	struct connect_group *g = NULL;

	a->kind = (uint8_t)classify(j, a);
	if (a->kind != CONNECT_KIND_NONE) {
		g = group_for(j, a);
		if (!g)
			j->withheld++;
	}
	if (g) {
		put_in(j, g, a);
		tell(j, g);
	}
	if (old && old != g && old->used)
		settle_group(j, old);
}

/* --- attempts -------------------------------------------------------------------------------- */

/* What it adds to its group stays there. */
static void attempt_forget(struct connect_judge *j, struct connect_attempt *a)
{
	uint32_t self = (uint32_t)(a - j->attempts.slot);
	struct connect_group *g = group_of(j, a);

	if (g) {
		g->forgotten++;
		list_remove(j, g, a);
		for (uint32_t i = 0; i < g->proof_count; i++)
			if (g->proof[i].attempt == self)
				g->proof[i].attempt = NONE;
	}
	connect_attempts__remove(&j->attempts, a);
}

/* The attempt, known or new; a new one has neither report nor ICMP yet, which the caller adds. */
static struct connect_attempt *attempt_get(struct connect_judge *j, const struct tl_subject *s,
					   uint32_t isn)
{
	struct connect_attempt *a = connect_attempts__find(&j->attempts, s, isn);

	if (a)
		return a;
	a = connect_attempts__oldest(&j->attempts);
	if (a)
		attempt_forget(j, a);
	return connect_attempts__add(&j->attempts, s, isn);
}

/* The finding was settled and its group is gone: what comes after does not begin another. */
static bool is_told_and_gone(struct connect_judge *j, const struct connect_attempt *a)
{
	return a->group != NONE && !group_of(j, a);
}

static void observe_report(struct connect_judge *j, const struct tl_subject *subject,
			   const struct connect_report *r)
{
	struct connect_attempt *a = attempt_get(j, subject, r->isn);
	struct connect_group *old;

	if (is_told_and_gone(j, a))
		return;
	old = take_out(j, a);
	a->subject = *subject;
	a->report = *r;
	a->has_report = true;
	judge(j, a, old);
}

static void observe_icmp(struct connect_judge *j, const struct tl_subject *subject,
			 const struct connect_icmp *icmp)
{
	struct connect_attempt *a = attempt_get(j, subject, icmp->isn);
	struct connect_group *old;

	if (is_told_and_gone(j, a))
		return;
	/* The first one speaks; later ones repeat it for the next SYN. */
	if (a->has_icmp)
		return;
	old = take_out(j, a);
	a->icmp = *icmp;
	a->has_icmp = true;
	judge(j, a, old);
}

static void observe_servers(struct connect_judge *j, const struct connect_servers *list)
{
	j->withheld += list->withheld;
	for (uint32_t i = 0; i < list->count && i < CONNECT_SERVERS_MAX; i++) {
		const struct tl_endpoint *server = &list->server[i].server;
		struct service *service = service_of(j, server);

		if (service->server.port != server->port ||
		    !tl_endpoint__same_host(&service->server, server))
			*service = (struct service){ .server = *server };
		service->accepted += list->server[i].accepted;
	}
}

/* --- what the registry calls ------------------------------------------------------------------ */

int connect_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct connect_judge **ret_judge = state;
	struct connect_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	connect_attempts__init(&j->attempts);
	memset(j->group_chain, 0xff, sizeof(j->group_chain));
	*ret_judge = j;
	return 0;
}

void connect_judge__fini(void *state)
{
	struct connect_judge **judge_at = state;

	free(*judge_at);
}

void connect_judge__observe(void *state, const struct tl_observation *observation)
{
	struct connect_judge *j = *(struct connect_judge **)state;
	union {
		struct connect_report report;
		struct connect_icmp icmp;
		struct connect_servers servers;
	} data;

	/* The bytes of an observation are not aligned for what they hold. */
	memset(&data, 0, sizeof(data));
	memcpy(&data, observation->data,
	       observation->data_bytes < sizeof(data) ? observation->data_bytes : sizeof(data));
	if (observation->kind != CONNECT_OBSERVED_SERVERS)
		j->are_groups_new = true;
	if (observation->kind == CONNECT_OBSERVED_ATTEMPT)
		observe_report(j, &observation->subject, &data.report);
	else if (observation->kind == CONNECT_OBSERVED_ICMP)
		observe_icmp(j, &observation->subject, &data.icmp);
	else if (observation->kind == CONNECT_OBSERVED_SERVERS)
		observe_servers(j, &data.servers);
}

static void take_totals(struct connect_judge *j, const struct tl_run_totals *totals)
{
	j->unseen = tl_facts__capture_drops(j->view.facts) + totals->source.sampled_out +
		    totals->analysis_shed_packets;
}

/* Words each finding a last time, with all that is known by now, before the store settles it. */
void connect_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct connect_judge *j = *(struct connect_judge **)state;
	const bool is_anything_new =
		j->are_groups_new || tl_findings__version(j->view.findings) != j->seen_findings;

	take_totals(j, totals);
	j->now_ns = now_ns;
	j->are_groups_new = false;
	j->seen_findings = tl_findings__version(j->view.findings);
	for (uint32_t i = 0; i < j->group_top; i++) {
		struct connect_group *g = &j->group[i];

		if (g->used && (g->held || (g->told && is_anything_new && is_seen_anew(j, g))))
			tell(j, g);
		if (!g->used || !g->told || g->at_ns + TL_FINDING_QUIET_NS > now_ns)
			continue;
		tell(j, g);
		group_forget(j, g);
	}
}

void connect_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct connect_judge *j = *(struct connect_judge **)state;

	take_totals(j, totals);
	j->at_end = true;
	j->end_ns = now_ns;
	for (uint32_t n = 0; n < j->attempts.taken; n++) {
		struct connect_attempt *a = connect_attempts__at(&j->attempts, n);

		/* What rests on one SYN is weighed again, now that all losses are known. */
		bool is_open = a->kind == CONNECT_KIND_NONE ||
			       (a->kind == CONNECT_KIND_NO_ANSWER && a->report.syn_count == 1);

		if (a->used && is_open && !is_told_and_gone(j, a))
			judge(j, a, take_out(j, a));
	}
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used && (j->group[i].told || j->group[i].held))
			tell(j, &j->group[i]);
}
