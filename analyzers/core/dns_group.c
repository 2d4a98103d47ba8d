/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sums of a group of queries (core/dns_judge.c): counts, clients, names, packets that prove it.
 *
 *	proofs, in order of time; when full, what is between the first and the latest half goes
 *	+----+----+----+----+----+----+----+----+----+----+----+----+
 *	| f1 | f2 | f3 | f4 | f5 | f6 | l6 | l5 | l4 | l3 | l2 | l1 |
 *	+----+----+----+----+----+----+----+----+----+----+----+----+
 *
 * Invariants: sums only grow; lists of clients and names end at their caps. Control thread only.
 */
#include <string.h>

#include "core/dns.h"

static bool is_later(const struct dns_proof *a, const struct dns_proof *b)
{
	return a->ts_ns > b->ts_ns || (a->ts_ns == b->ts_ns && a->frame > b->frame);
}

/* In order of time; when full, what is between the first and the latest half goes. */
static void proof_add(struct dns_group *g, const struct dns_group_proof *p)
{
	const uint32_t half = DNS_GROUP_PROOFS / 2;
	struct dns_group_proof *list = g->proof;
	uint32_t at = g->proof_count;

	while (at && is_later(&list[at - 1].proof, &p->proof))
		at--;
	if (g->proof_count < DNS_GROUP_PROOFS) {
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
	list[at] = *p;
}

static void proofs_of_report(struct dns_group *g, const struct dns_report *r)
{
	uint32_t kept = r->tries < DNS_PROOFS ? r->tries : DNS_PROOFS;

	/* Of a try from another port only the answer is known. */
	for (uint32_t i = 0; i < kept; i++)
		if (r->proof[i].ts_ns)
			proof_add(g, &(struct dns_group_proof){ r->proof[i], r->qtype,
								DNS_WHAT_QUERY });
	if (r->end.ts_ns)
		proof_add(g, &(struct dns_group_proof){ r->end, r->qtype,
							r->reporter.ip_version ? DNS_WHAT_ICMP
									       : DNS_WHAT_ANSWER });
}

static void client_add(struct dns_group *g, uint32_t client)
{
	uint32_t i = 0;

	while (i < g->clients && g->client[i] != client)
		i++;
	if (i == g->clients && i < DNS_GROUP_CLIENTS)
		g->client[g->clients++] = client;
}

static void name_add(struct dns_group *g, uint64_t name)
{
	uint32_t i = 0;

	while (i < g->names && g->name[i] != name)
		i++;
	if (i == g->names && i < DNS_GROUP_NAMES)
		g->name[g->names++] = name;
}

/* Cuts the common suffix down to what this name ends with, too. */
static void suffix_cut(char *suffix, const char *name)
{
	size_t a = strlen(suffix), b = strlen(name), same = 0;

	while (same < a && same < b && suffix[a - 1 - same] == name[b - 1 - same])
		same++;
	if ((same < a && suffix[a - same - 1] != '.') || (same < b && name[b - same - 1] != '.')) {
		const char *dot = strchr(suffix + (a - same), '.');

		same = dot ? strlen(dot + 1) : 0;
	}
	memmove(suffix, suffix + (a - same), same + 1);
}

/* Another try of a query that is counted already, from another port or with another id? */
static struct dns_recent *recent_of(struct dns_group *g, const struct dns_question *q,
				    const struct dns_report *r)
{
	for (uint32_t i = 0; i < DNS_GROUP_RECENT; i++) {
		struct dns_recent *recent = &g->recent[i];

		if (recent->last_ns && recent->client == q->client && recent->qtype == q->qtype &&
		    recent->name_hash == q->name_hash && r->first_ns >= recent->last_ns &&
		    r->first_ns - recent->last_ns <= DNS_RETRY_SPAN_NS)
			return recent;
	}
	return NULL;
}

static void count_tries(struct dns_group *g, const struct dns_question *q,
			const struct dns_report *r)
{
	struct dns_recent *recent = recent_of(g, q, r);

	g->tries += r->tries;
	g->same_id += r->tries - 1;
	if (recent) {
		g->same_id += recent->id == r->id;
	} else {
		g->queries++;
		g->aaaa += r->qtype == TL_DNS_AAAA;
		recent = &g->recent[g->recent_at++ % DNS_GROUP_RECENT];
	}
	*recent = (struct dns_recent){ r->last_ns, q->client, r->qtype, r->id, q->name_hash };
}

void dns_group__add(struct dns_group *g, const struct tl_subject *subject,
		    const struct dns_question *q, const struct dns_report *r)
{
	uint64_t end_ns = r->end.ts_ns > r->last_ns ? r->end.ts_ns : r->last_ns;

	count_tries(g, q, r);
	if (!g->first_ns || r->first_ns < g->first_ns) {
		g->first_ns = r->first_ns;
		g->first = *r;
		g->subject = *subject;
	}
	if (!g->names) {
		memcpy(g->suffix, r->name, sizeof(g->suffix));
		g->one_type = true;
	}
	g->one_type &= r->qtype == g->first.qtype;
	suffix_cut(g->suffix, r->name);
	if (end_ns > g->last_ns)
		g->last_ns = end_ns;
	if (end_ns - r->first_ns > g->waited_ns)
		g->waited_ns = end_ns - r->first_ns;
	g->moved_on += !!(r->flags & DNS_MOVED_ON);
	g->any_flags |= r->flags;
	g->all_flags = g->tries == r->tries ? r->flags : g->all_flags & r->flags;
	if (r->reporter.ip_version) {
		g->unreachable++;
		g->icmp_code = r->icmp_code;
		g->reporter = r->reporter;
	}
	client_add(g, q->client);
	name_add(g, q->name_hash);
	proofs_of_report(g, r);
}

void dns_group__merge(struct dns_group *to, const struct dns_group *from)
{
	if (!to->first_ns || from->first_ns < to->first_ns) {
		to->first_ns = from->first_ns;
		to->first = from->first;
		to->subject = from->subject;
	}
	to->all_flags = to->tries ? to->all_flags & from->all_flags : from->all_flags;
	to->any_flags |= from->any_flags;
	to->queries += from->queries;
	to->tries += from->tries;
	to->same_id += from->same_id;
	to->moved_on += from->moved_on;
	to->aaaa += from->aaaa;
	to->unreachable += from->unreachable;
	if (from->unreachable) {
		to->icmp_code = from->icmp_code;
		to->reporter = from->reporter;
	}
	if (from->last_ns > to->last_ns)
		to->last_ns = from->last_ns;
	if (from->waited_ns > to->waited_ns)
		to->waited_ns = from->waited_ns;
	for (uint32_t i = 0; i < from->clients; i++)
		client_add(to, from->client[i]);
	if (!to->names) {
		memcpy(to->suffix, from->suffix, sizeof(to->suffix));
		to->one_type = true;
	}
	to->one_type &= from->one_type && from->first.qtype == to->first.qtype;
	suffix_cut(to->suffix, from->suffix);
	for (uint32_t i = 0; i < from->names; i++)
		name_add(to, from->name[i]);
	for (uint32_t i = 0; i < from->proof_count; i++)
		proof_add(to, &from->proof[i]);
}
