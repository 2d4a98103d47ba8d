/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of http.*: groups reports by server, method and template of the URI, and what went
 * wrong. More than TARGETS_APART of these at one server are one finding.
 *
 *	report ─► group (server, what, method, /users/{id}) ─► finding
 *	             └─ too many: group (server, what) ──────► finding, theirs are retracted
 *
 * Invariants: sums of a group only grow; its finding is committed whenever `told`. All tables are
 *of fixed size; what does not fit is counted. A group is forgotten at the tick at which the store
 * settles its finding. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/http.h"
#include "core/outage.h"
#include "core/text.h"

#define GROUPS	      512u
#define SERVICES      4096u /* a power of two */
#define TARGETS_APART 16u

#define CUT_NS	    900000000ull  /* as tcp.reset counts idleness */
#define TOLD_NS	    1000000000ull /* findings of one event may lie this far apart */
#define CUT_TOLD_NS 5000000000ull /* tcp.reset is told when the flow has ended */

struct service {
	struct tl_endpoint server;
	uint64_t fine;
};

struct http_judge {
	struct tl_analyzer_judge view;
	uint64_t unseen, withheld;
	uint32_t group_top; /* groups from here on were never used */
	struct http_group group[GROUPS];
	struct service service[SERVICES];
};

/* --- sums of a group -------------------------------------------------------------------------- */

static bool is_later(const struct http_proof *a, const struct http_proof *b)
{
	return a->ts_ns > b->ts_ns || (a->ts_ns == b->ts_ns && a->frame > b->frame);
}

/* In order of time, each frame once; when full, what is between the first and the latest goes. */
static void proof_add(struct http_group *g, const struct http_proof *proof, enum http_what what)
{
	const uint32_t half = HTTP_GROUP_PROOFS / 2;
	struct http_group_proof *list = g->proof;
	uint32_t at = g->proof_count;

	if (!proof->ts_ns && !proof->frame)
		return;
	for (uint32_t i = 0; i < g->proof_count; i++)
		if (list[i].proof.frame == proof->frame && list[i].proof.ts_ns == proof->ts_ns)
			return;
	while (at && is_later(&list[at - 1].proof, proof))
		at--;
	if (g->proof_count < HTTP_GROUP_PROOFS) {
		memmove(&list[at + 1], &list[at], (g->proof_count - at) * sizeof(*list));
		g->proof_count++;
	} else if (at < half) {
		memmove(&list[at + 1], &list[at], (half - 1 - at) * sizeof(*list));
	} else if (at == half) {
		return;
	} else {
		at--;
		memmove(&list[half], &list[half + 1], (at - half) * sizeof(*list));
	}
	list[at] = (struct http_group_proof){ .proof = *proof, .what = (uint8_t)what };
}

static void client_add(struct http_group *g, uint32_t client)
{
	uint32_t i = 0;

	while (i < g->clients && g->client[i] != client)
		i++;
	if (i == g->clients && i < HTTP_GROUP_CLIENTS)
		g->client[g->clients++] = client;
}

/* Exact as long as a connection does not come back after HTTP_GROUP_FLOWS others. */
static void flow_add(struct http_group *g, uint64_t flow)
{
	uint32_t known = g->flows < HTTP_GROUP_FLOWS ? (uint32_t)g->flows : HTTP_GROUP_FLOWS;

	for (uint32_t i = 0; i < known; i++)
		if (g->flow[i] == flow)
			return;
	g->flow[g->flows++ % HTTP_GROUP_FLOWS] = flow;
}

static void group_add(struct http_group *g, const struct tl_observation *o,
		      const struct http_report *r)
{
	const struct tl_endpoint *client = &o->subject.client;
	uint64_t first_ns = r->request.ts_ns ? r->request.ts_ns : r->response.ts_ns;
	uint64_t last_ns = r->end.ts_ns ? r->end.ts_ns : r->response.ts_ns;

	if (r->body.ts_ns > last_ns)
		last_ns = r->body.ts_ns;
	if (r->end.ts_ns && (!g->first_end_ns || r->end.ts_ns < g->first_end_ns))
		g->first_end_ns = r->end.ts_ns;
	if (!g->count) {
		g->first = *r;
		g->subject = o->subject;
		g->first_ns = first_ns;
		g->one_uri = true;
	}
	g->one_uri &= !strcmp(r->uri, g->first.uri);
	if (first_ns < g->first_ns)
		g->first_ns = first_ns;
	if (last_ns > g->last_ns)
		g->last_ns = last_ns;
	g->count++;
	client_add(g, (uint32_t)tl_text__hash(client->ip_version, client->ip, sizeof(client->ip)));
	flow_add(g, r->flow);
	proof_add(g, &r->request, HTTP_WHAT_REQUEST);
	proof_add(g, &r->response, HTTP_WHAT_RESPONSE);
	proof_add(g, &r->body, HTTP_WHAT_BODY);
	proof_add(g, &r->end, HTTP_WHAT_END);
}

static void group_merge(struct http_group *to, const struct http_group *from)
{
	uint32_t known = from->flows < HTTP_GROUP_FLOWS ? (uint32_t)from->flows : HTTP_GROUP_FLOWS;

	if (!to->count || from->first_ns < to->first_ns) {
		to->first = from->first;
		to->subject = from->subject;
		to->first_ns = from->first_ns;
	}
	to->one_uri = false;
	if (from->first_end_ns && (!to->first_end_ns || from->first_end_ns < to->first_end_ns))
		to->first_end_ns = from->first_end_ns;
	if (from->last_ns > to->last_ns)
		to->last_ns = from->last_ns;
	to->count += from->count;
	for (uint32_t i = 0; i < from->clients; i++)
		client_add(to, from->client[i]);
	for (uint32_t i = 0; i < known; i++)
		flow_add(to, from->flow[i]);
	for (uint32_t i = 0; i < from->proof_count; i++)
		proof_add(to, &from->proof[i].proof, from->proof[i].what);
}

/* --- groups ------------------------------------------------------------------------------------
 */

static const char *kind_name(const struct http_group *g)
{
	return g->key.observation == HTTP_STATUS ? "http.error" : "http.body_mismatch";
}

static struct http_group *group_find(struct http_judge *j, const struct http_group_key *key)
{
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used && !memcmp(&j->group[i].key, key, sizeof(*key)))
			return &j->group[i];
	return NULL;
}

static struct http_group *group_make(struct http_judge *j, const struct http_group_key *key)
{
	for (uint32_t i = 0; i < GROUPS; i++) {
		if (j->group[i].used)
			continue;
		j->group[i] = (struct http_group){ .used = true, .key = *key };
		if (i >= j->group_top)
			j->group_top = i + 1;
		return &j->group[i];
	}
	return NULL;
}

static void untell(struct http_judge *j, struct http_group *g)
{
	struct tl_finding *f;
	bool is_new;

	if (!g->told)
		return;
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	tl_findings__retract(j->view.findings, f);
}

static bool is_part_of(const struct http_group *g, const struct http_group_key *wide)
{
	struct http_group_key key = g->key;

	key.is_wide = 1;
	key.target = 0;
	return g->used && !g->key.is_wide && !memcmp(&key, wide, sizeof(key));
}

/* The group of all targets of that server, with what their own groups held. */
static struct http_group *widen(struct http_judge *j, const struct http_group_key *wide)
{
	struct http_group *g = group_make(j, wide);

	for (uint32_t i = 0; g && i < j->group_top; i++) {
		if (!is_part_of(&j->group[i], wide))
			continue;
		group_merge(g, &j->group[i]);
		untell(j, &j->group[i]);
		j->group[i].used = false;
	}
	return g;
}

static struct http_group *group_for(struct http_judge *j, struct http_group_key key)
{
	struct http_group_key wide = key;
	struct http_group *g;
	uint32_t apart = 0;

	wide.is_wide = 1;
	wide.target = 0;
	g = group_find(j, &wide);
	if (!g)
		g = group_find(j, &key);
	if (g)
		return g;
	for (uint32_t i = 0; i < j->group_top; i++)
		apart += is_part_of(&j->group[i], &wide);
	return apart >= TARGETS_APART ? widen(j, &wide) : group_make(j, &key);
}

static struct service *service_of(struct http_judge *j, const struct tl_endpoint *server)
{
	uint64_t hash = tl_text__hash(server->port, server->ip, sizeof(server->ip));

	return &j->service[hash & (SERVICES - 1)];
}

static bool is_service(const struct service *service, const struct tl_endpoint *server)
{
	return service->server.port == server->port &&
	       tl_endpoint__same_host(&service->server, server);
}

/* Does a finding say that this service's connections were cut in that time? */
static bool says_cut(const struct tl_finding *f, const struct http_group *g)
{
	if (strcmp(f->kind, "tcp.reset") && strcmp(f->kind, "tcp.idle_timeout"))
		return false;
	return f->severity >= TL_WARNING && f->subject.server.port == g->subject.server.port &&
	       tl_endpoint__same_host(&f->subject.server, &g->subject.server) &&
	       f->first_ns <= g->last_ns + TOLD_NS && f->last_ns + TOLD_NS >= g->first_end_ns;
}

/* One cause, one finding: what was cut in the middle is short because it was cut. */
static bool is_consequence(struct http_judge *j, struct http_group *g)
{
	const struct tl_findings *findings = j->view.findings;
	const struct tl_finding *f = NULL;

	if (g->key.observation != HTTP_SHORT || !g->first_end_ns)
		return false;
	if (!(g->key.by & HTTP_BY_CLIENT) &&
	    tl_outage__explains(findings, &g->subject.server, g->first_end_ns, g->last_ns))
		g->is_consequence = true;
	while (g->key.by & HTTP_BY_CUT && !g->is_consequence &&
	       (f = tl_findings__next_of(findings, TL_FINDING_SERVER, &g->subject.server, f)))
		g->is_consequence = says_cut(f, g);
	return g->is_consequence;
}

static void tell(struct http_judge *j, struct http_group *g, uint64_t now_ns)
{
	const struct service *service = service_of(j, &g->subject.server);
	struct http_context context = {
		.facts = j->view.facts,
		.fine = is_service(service, &g->subject.server) ? service->fine : 0,
		.unseen = j->unseen,
		.withheld = j->withheld,
		.is_consequence = is_consequence(j, g) ||
				  (g->key.by & HTTP_BY_CUT && now_ns < g->last_ns + CUT_TOLD_NS),
	};
	struct tl_finding *f;
	bool is_new;

	if (g->last_ns > g->at_ns)
		g->at_ns = g->last_ns;
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	http_words__write(g, &context, f);
	tl_findings__commit(j->view.findings, f, g->at_ns);
	g->told = true;
}

/*
 * Who cuts a connection while the body is coming is not waiting for the rest of it. A RST that
 * comes later ends a wait for bytes that Content-Length promised.
 */
static uint8_t how_it_ended(const struct http_report *r)
{
	uint64_t body_ns = r->body.ts_ns > r->request.ts_ns ? r->body.ts_ns : r->request.ts_ns;
	unsigned by = 0;

	if (r->end_kind == HTTP_END_SILENCE)
		by |= HTTP_BY_SILENCE;
	if (r->is_ended_by_client)
		by |= HTTP_BY_CLIENT;
	if (r->end_kind == HTTP_END_RST && r->end.ts_ns < body_ns + CUT_NS &&
	    (r->is_response ? !r->is_ended_by_client : !r->status))
		by |= HTTP_BY_CUT;
	return (uint8_t)by;
}

static void observe_report(struct http_judge *j, const struct tl_observation *o)
{
	const struct tl_endpoint *server = &o->subject.server;
	char template[TL_HTTP_URI];
	struct http_group_key key = { .observation = (uint8_t)o->kind };
	struct http_group *g;
	struct http_report r;

	if (o->data_bytes != sizeof(r))
		return;
	memcpy(&r, o->data, sizeof(r));
	tl_http__uri_template(r.uri, template);
	key.is_response = r.is_response;
	key.ip_version = server->ip_version;
	key.port = server->port;
	memcpy(key.server, server->ip, sizeof(key.server));
	if (o->kind == HTTP_STATUS || !r.is_response)
		key.status = r.status;
	if (o->kind == HTTP_SHORT)
		key.by = how_it_ended(&r);
	key.target = tl_text__hash(tl_text__hash(0, r.method, strlen(r.method)), template,
				   strlen(template));
	g = group_for(j, key);
	if (!g) {
		j->withheld++;
		return;
	}
	group_add(g, o, &r);
	tell(j, g, o->ts_ns);
}

static void observe_fine(struct http_judge *j, const struct tl_observation *o)
{
	struct http_fine list;

	if (o->data_bytes != sizeof(list))
		return;
	memcpy(&list, o->data, sizeof(list));
	j->withheld += list.withheld;
	for (uint32_t i = 0; i < list.count && i < HTTP_FINE_MAX; i++) {
		const struct tl_endpoint *server = &list.server[i].server;
		struct service *service = service_of(j, server);

		if (!is_service(service, server))
			*service = (struct service){ .server = *server };
		service->fine += list.server[i].responses;
	}
}

/* --- what the registry calls ------------------------------------------------------------------ */

int http_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct http_judge **ret_judge = state;
	struct http_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void http_judge__fini(void *state)
{
	struct http_judge **judge_at = state;

	free(*judge_at);
}

void http_judge__observe(void *state, const struct tl_observation *observation)
{
	struct http_judge *j = *(struct http_judge **)state;

	if (observation->kind == HTTP_FINE)
		observe_fine(j, observation);
	else
		observe_report(j, observation);
}

static void take_totals(struct http_judge *j, const struct tl_run_totals *totals)
{
	j->unseen = tl_facts__capture_drops(j->view.facts) + totals->source.sampled_out +
		    totals->analysis_shed_packets;
}

/* May it have become the consequence of another finding, or turned out to be none? */
static bool is_due(struct http_judge *j, struct http_group *g, uint64_t now_ns)
{
	bool was = g->is_consequence, waited = now_ns >= g->last_ns + CUT_TOLD_NS;

	if (is_consequence(j, g) != was)
		return true;
	if (!(g->key.by & HTTP_BY_CUT) || was || !waited || g->was_judged)
		return false;
	g->was_judged = true;
	return true;
}

/* Words each finding a last time, with all that is known by now, before the store settles it. */
void http_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct http_judge *j = *(struct http_judge **)state;

	take_totals(j, totals);
	for (uint32_t i = 0; i < j->group_top; i++) {
		struct http_group *g = &j->group[i];

		if (!g->used)
			continue;
		if (is_due(j, g, now_ns))
			tell(j, g, now_ns);
		if (g->at_ns + TL_FINDING_QUIET_NS > now_ns)
			continue;
		tell(j, g, now_ns);
		g->used = false;
	}
}

void http_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct http_judge *j = *(struct http_judge **)state;

	(void)now_ns;
	take_totals(j, totals);
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used)
			tell(j, &j->group[i], UINT64_MAX);
}
