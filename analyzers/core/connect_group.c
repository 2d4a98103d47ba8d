/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sums of a group of attempts (core/connect_judge.c): counts, clients, packets that prove it.
 *
 *	proofs, in order of time; when full, what is between the first and the latest half goes
 *	+----+----+----+----+----+----+----+----+----+----+----+----+
 *	| f1 | f2 | f3 | f4 | f5 | f6 | l6 | l5 | l4 | l3 | l2 | l1 |
 *	+----+----+----+----+----+----+----+----+----+----+----+----+
 *
 * Invariant: adding an attempt and removing it again leaves counts and clients as they were (of
 * more than CONNECT_GROUP_CLIENTS clients, the rest is not told apart). Control thread only.
 */
#include <string.h>

#include "core/connect.h"
#include "core/text.h"

#define UNSEEN_ONE_IN 10u

#define GONE_NS 10000000000ull /* of a router's word */

/* RFC 792, RFC 4443: no route to the net; the host does not answer on its own link */
enum { ICMP_NET = 0, ICMP_HOST = 1, ICMP6_NO_ROUTE = 0, ICMP6_ADDRESS = 3 };

#define KNOCKS	 3u
#define KNOCK_NS 30000000000ull

static uint64_t first_ns(const struct connect_attempt *a)
{
	return a->has_report ? a->report.first_ns : a->icmp.proof.ts_ns;
}

uint64_t connect_attempt__last_ns(const struct connect_attempt *attempt)
{
	uint64_t last = attempt->has_report ? attempt->report.last_ns : 0;
	uint64_t icmp = attempt->has_icmp ? attempt->icmp.proof.ts_ns : 0;

	return icmp > last ? icmp : last;
}

static uint32_t host_hash(const struct tl_endpoint *e)
{
	return (uint32_t)tl_text__hash(e->ip_version, e->ip, sizeof(e->ip));
}

static void client_add(struct connect_group *g, const struct tl_endpoint *client)
{
	uint32_t hash = host_hash(client);
	uint32_t i = 0;

	while (i < g->clients && g->client[i].hash != hash)
		i++;
	if (i == CONNECT_GROUP_CLIENTS)
		return;
	if (i == g->clients) {
		g->client[i].hash = hash;
		g->client[i].flows = 0;
		g->clients++;
	}
	g->client[i].flows++;
}

static void client_remove(struct connect_group *g, const struct tl_endpoint *client)
{
	uint32_t hash = host_hash(client);

	for (uint32_t i = 0; i < g->clients; i++) {
		if (g->client[i].hash != hash)
			continue;
		if (!--g->client[i].flows)
			g->client[i] = g->client[--g->clients];
		return;
	}
}

static bool is_later(const struct connect_proof *a, const struct connect_proof *b)
{
	return a->ts_ns > b->ts_ns || (a->ts_ns == b->ts_ns && a->frame > b->frame);
}

static void proof_add(struct connect_group *g, const struct connect_proof *p, uint32_t slot)
{
	const uint32_t half = CONNECT_GROUP_PROOFS / 2;
	struct connect_group_proof *list = g->proof;
	uint32_t at = g->proof_count;

	while (at && is_later(&list[at - 1].proof, p))
		at--;
	if (g->proof_count < CONNECT_GROUP_PROOFS) {
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
	list[at] = (struct connect_group_proof){ .proof = *p, .attempt = slot };
}

static void proofs_remove(struct connect_group *g, uint32_t slot)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < g->proof_count; i++)
		if (g->proof[i].attempt != slot)
			g->proof[kept++] = g->proof[i];
	g->proof_count = kept;
}

static void sums_add(struct connect_group *g, const struct connect_attempt *a, int64_t sign)
{
	const struct connect_report *r = &a->report;
	bool is_late = r->flags & CONNECT_ACCEPTED_LATE;

	g->flows += (uint64_t)sign;
	g->syns += (uint64_t)(sign * (a->has_report ? r->syn_count : 1));
	if (!a->has_report)
		return;
	g->synacks += (uint64_t)(sign * r->synack_count);
	g->repeated += (uint64_t)(sign * (r->syn_count > 1));
	g->overflows += (uint64_t)(sign * r->synack_after_data);
	g->accepted_late += (uint64_t)(sign * is_late);
}

void connect_group__stretch(struct connect_group *g, const struct connect_attempt *a)
{
	uint64_t first = first_ns(a);
	uint64_t last = connect_attempt__last_ns(a);

	if (!g->first_ns || first < g->first_ns) {
		g->first_ns = first;
		g->subject = a->subject;
	}
	if (last > g->last_ns)
		g->last_ns = last;
	if (connect_span_ns(first, last) > g->waited_ns)
		g->waited_ns = connect_span_ns(first, last);
}

void connect_group__add(struct connect_group *g, const struct connect_attempt *a, uint32_t slot)
{
	sums_add(g, a, 1);
	connect_group__stretch(g, a);
	client_add(g, &a->subject.client);
	for (unsigned i = 0; i < a->report.proof_count; i++)
		proof_add(g, &a->report.proof[i], slot);
	if (!a->has_icmp)
		return;
	g->reporter_version = a->icmp.reporter.ip_version;
	if (a->kind == CONNECT_KIND_UNREACHABLE)
		proof_add(g, &a->icmp.proof, slot);
}

void connect_group__remove(struct connect_group *g, const struct connect_attempt *a, uint32_t slot)
{
	sums_add(g, a, -1);
	client_remove(g, &a->subject.client);
	proofs_remove(g, slot);
}

bool connect_loopback_twin(const struct tl_endpoint *of, struct tl_endpoint *ret_twin)
{
	static const uint8_t v6[16] = { [15] = 1 };

	*ret_twin = (struct tl_endpoint){ .port = of->port };
	if (of->ip_version == 6 && !memcmp(of->ip, v6, sizeof(v6))) {
		ret_twin->ip_version = 4;
		ret_twin->ip[0] = 127;
		ret_twin->ip[3] = 1;
		return true;
	}
	ret_twin->ip_version = 6;
	memcpy(ret_twin->ip, v6, sizeof(v6));
	return of->ip_version == 4 && of->ip[0] == 127;
}

void connect_group__key_of(const struct connect_attempt *a, enum connect_scope scope,
			   struct connect_group_key *ret_key)
{
	memset(ret_key, 0, sizeof(*ret_key));
	ret_key->kind = a->kind;
	ret_key->scope = (uint8_t)scope;
	ret_key->ip_version = a->subject.server.ip_version;
	if (scope != CONNECT_SCOPE_SERVICE)
		memcpy(ret_key->client, a->subject.client.ip, sizeof(ret_key->client));
	if (scope != CONNECT_SCOPE_CLIENT)
		memcpy(ret_key->server, a->subject.server.ip, sizeof(ret_key->server));
	if (scope == CONNECT_SCOPE_SERVICE)
		ret_key->port = a->subject.server.port;
	if (a->kind == CONNECT_KIND_UNREACHABLE) {
		ret_key->icmp_code = a->icmp.code;
		memcpy(ret_key->reporter, a->icmp.reporter.ip, sizeof(ret_key->reporter));
	}
}

/* --- what other groups say of one ------------------------------------------------------------- */

static bool is_lone_syn(const struct connect_group *g)
{
	return g->used && g->key.scope == CONNECT_SCOPE_SERVICE &&
	       g->key.kind == CONNECT_KIND_NO_ANSWER && g->flows == 1 && !g->repeated;
}

bool connect_groups__is_knock(const struct connect_group *groups, uint32_t count,
			      const struct connect_group *g)
{
	uint32_t ports = 0;

	for (uint32_t i = 0; i < count && is_lone_syn(g) && ports < KNOCKS; i++) {
		const struct connect_group *o = &groups[i];

		ports += is_lone_syn(o) &&
			 tl_endpoint__same_host(&o->subject.client, &g->subject.client) &&
			 tl_endpoint__same_host(&o->subject.server, &g->subject.server) &&
			 connect_span_ns(o->first_ns, g->first_ns) < KNOCK_NS &&
			 connect_span_ns(g->first_ns, o->first_ns) < KNOCK_NS;
	}
	return ports >= KNOCKS;
}

bool connect_groups__is_refused_unseen(const struct connect_group *groups, uint32_t count,
				       const struct connect_group *g)
{
	if (g->key.kind != CONNECT_KIND_NO_ANSWER || g->repeated ||
	    g->key.scope != CONNECT_SCOPE_SERVICE)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct connect_group *o = &groups[i];

		if (o->used && o->key.kind == CONNECT_KIND_REFUSED &&
		    o->key.scope == CONNECT_SCOPE_SERVICE && o->key.port == g->key.port &&
		    !memcmp(o->key.server, g->key.server, sizeof(o->key.server)) &&
		    o->flows >= UNSEEN_ONE_IN * g->flows)
			return true;
	}
	return false;
}

static bool says_host_is_gone(const struct connect_group *g)
{
	const uint8_t code = g->key.icmp_code;

	if (!g->used || g->key.kind != CONNECT_KIND_UNREACHABLE ||
	    g->key.scope == CONNECT_SCOPE_CLIENT)
		return false;
	return g->reporter_version == 6 ? code == ICMP6_NO_ROUTE || code == ICMP6_ADDRESS
					: code == ICMP_NET || code == ICMP_HOST;
}

bool connect_groups__is_host_gone(const struct connect_group *groups, uint32_t count,
				  const struct connect_group *g)
{
	if (g->key.kind != CONNECT_KIND_NO_ANSWER || g->key.scope == CONNECT_SCOPE_CLIENT)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		const struct connect_group *o = &groups[i];

		if (says_host_is_gone(o) &&
		    tl_endpoint__same_host(&o->subject.server, &g->subject.server) &&
		    g->first_ns <= o->last_ns + GONE_NS && o->first_ns <= g->last_ns + GONE_NS)
			return true;
	}
	return false;
}
