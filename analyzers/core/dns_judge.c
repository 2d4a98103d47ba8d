/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of dns.*: holds what went unanswered until answers to other tries of the same question
 * are known, and groups what failed by server and name.
 *
 *	answers:  a table of counts, by what is asked of it (enum tag)
 *	held:     a ring of unanswered tries, each for DNS_HOLD_NS
 *	groups:   found by key; more than NAMES_APART names of one server fold into one group
 *
 *	unanswered ─► held ─► answered by another try? ─► late: slow group; else no fault
 *	                 └──► no_answer group ─► a witness? ─► finding
 *	an rcode, or late ─► error group, slow group ────────► finding
 *
 * Invariants: sums of a group only grow; its finding is committed whenever `told`. All tables are
 * of fixed size; what does not fit is counted. A group is forgotten at the tick at which the store
 * settles its finding. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/dns.h"
#include "core/text.h"

#define SETS	    16384u /* powers of two */
#define WAYS	    4u
#define HELD	    2048u
#define GROUPS	    512u
#define NAMES_APART 8u

#define HOLD_NS	      (DNS_EXPIRY_NS + 300000000ull)
#define UNANSWERED_NS 5000000000ull
#define RETRY_NS      1000000000ull /* a client that asks again after so long had no answer */
#define RETRY_SPAN_NS 6000000000ull
#define LOOK_AT	      4u /* clients, and names, of a group that are looked up */

enum tag {
	BY_SERVER = 1,
	BY_PAIR,	   /* client and server */
	BY_QUESTION,	   /* client, server, name, type; of queries that were seen */
	BY_NAME,	   /* name, type; without error */
	BY_CLIENT_NAME,	   /* client, name, type; without error and with records */
	BY_CLIENT_NAME_V4, /* the same, from a server with an IPv4 address */
};

struct answers {
	uint64_t key; /* 0: free */
	uint64_t last_ns, before_ns, frame;
	uint32_t count, records;
};

/* What is asked of the table; what a tag does not name is 0. */
struct question {
	uint32_t client, server;
	uint64_t name_hash;
	uint16_t qtype;
};

struct held {
	bool used;
	struct question question;
	struct tl_subject subject;
	struct dns_report report;
};

struct dns_judge {
	struct tl_analyzer_judge view;
	uint64_t unseen, withheld;
	uint32_t held_oldest, held_count;
	struct held held[HELD];
	struct dns_group group[GROUPS];
	struct answers answers[SETS * WAYS];
};

/* --- the table of answers --------------------------------------------------------------------- */

static uint64_t key_of(enum tag tag, const struct question *q)
{
	const uint64_t words[] = {
		(uint64_t)tag << 32 | q->qtype,
		(uint64_t)q->client << 32 | q->server,
		q->name_hash,
	};

	return tl_text__hash(0, words, sizeof(words)) | 1;
}

static struct answers *answers_find(struct dns_judge *j, enum tag tag, const struct question *q)
{
	uint64_t key = key_of(tag, q);
	struct answers *set = &j->answers[(key >> 1 & (SETS - 1)) * WAYS];

	for (uint32_t i = 0; i < WAYS; i++)
		if (set[i].key == key)
			return &set[i];
	return NULL;
}

static void answers_add(struct dns_judge *j, enum tag tag, const struct question *q,
			const struct dns_answer *a)
{
	struct answers *e = answers_find(j, tag, q);
	uint64_t key = key_of(tag, q);
	struct answers *set = &j->answers[(key >> 1 & (SETS - 1)) * WAYS];

	if (!e) {
		e = set;
		for (uint32_t i = 1; i < WAYS; i++)
			if (set[i].last_ns < e->last_ns)
				e = &set[i];
		*e = (struct answers){ .key = key };
	}
	e->count++;
	e->records += !!(a->flags & DNS_ANSWER_RECORDS);
	e->before_ns = e->last_ns;
	e->last_ns = a->ts_ns;
	e->frame = a->frame;
}

static void observe_answer(struct dns_judge *j, const struct dns_answer *a)
{
	const struct question pair = { .client = a->client, .server = a->server };
	const struct question whole = { a->client, a->server, a->name_hash, a->qtype };
	const struct question of_client = { a->client, 0, a->name_hash, a->qtype };
	const struct question of_name = { 0, 0, a->name_hash, a->qtype };

	answers_add(j, BY_SERVER, &(struct question){ .server = a->server }, a);
	answers_add(j, BY_PAIR, &pair, a);
	if (a->flags & DNS_ANSWER_MATCHED)
		answers_add(j, BY_QUESTION, &whole, a);
	if (a->flags & DNS_ANSWER_NOERROR)
		answers_add(j, BY_NAME, &of_name, a);
	if (!(a->flags & DNS_ANSWER_RECORDS))
		return;
	answers_add(j, BY_CLIENT_NAME, &of_client, a);
	if (a->server_ip_version == 4)
		answers_add(j, BY_CLIENT_NAME_V4, &of_client, a);
}

static uint32_t count_of(struct dns_judge *j, enum tag tag, const struct question *q)
{
	const struct answers *e = answers_find(j, tag, q);

	return e ? e->count : 0;
}

static uint32_t records_of(struct dns_judge *j, enum tag tag, const struct question *q)
{
	const struct answers *e = answers_find(j, tag, q);

	return e ? e->records : 0;
}

/* --- sums of a group -------------------------------------------------------------------------- */

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

	for (uint32_t i = 0; i < kept; i++)
		proof_add(g, &(struct dns_group_proof){ r->proof[i], r->qtype, DNS_WHAT_QUERY });
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

/* Another try of a query that is counted already, from another port or with another id? */
static struct dns_recent *recent_of(struct dns_group *g, const struct question *q,
				    const struct dns_report *r)
{
	for (uint32_t i = 0; i < DNS_GROUP_RECENT; i++) {
		struct dns_recent *recent = &g->recent[i];

		if (recent->last_ns && recent->client == q->client && recent->qtype == q->qtype &&
		    recent->name_hash == q->name_hash && r->first_ns >= recent->last_ns &&
		    r->first_ns - recent->last_ns <= RETRY_SPAN_NS)
			return recent;
	}
	return NULL;
}

static void count_tries(struct dns_group *g, const struct question *q, const struct dns_report *r)
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

static void group_add(struct dns_group *g, const struct tl_subject *subject,
		      const struct question *q, const struct dns_report *r)
{
	uint64_t end_ns = r->end.ts_ns > r->last_ns ? r->end.ts_ns : r->last_ns;

	count_tries(g, q, r);
	if (!g->first_ns || r->first_ns < g->first_ns) {
		g->first_ns = r->first_ns;
		g->first = *r;
		g->subject = *subject;
	}
	if (end_ns > g->last_ns)
		g->last_ns = end_ns;
	if (end_ns - r->first_ns > g->waited_ns)
		g->waited_ns = end_ns - r->first_ns;
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

static void group_merge(struct dns_group *to, const struct dns_group *from)
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
	for (uint32_t i = 0; i < from->names; i++)
		name_add(to, from->name[i]);
	for (uint32_t i = 0; i < from->proof_count; i++)
		proof_add(to, &from->proof[i]);
}

/* --- groups ------------------------------------------------------------------------------------
 */

static const char *kind_name(const struct dns_group *g)
{
	static const char *const name[] = {
		[DNS_KIND_NO_ANSWER] = "dns.no_answer",
		[DNS_KIND_ERROR] = "dns.error",
		[DNS_KIND_SLOW] = "dns.slow",
	};

	return name[g->key.kind];
}

static struct dns_group *group_find(struct dns_judge *j, const struct dns_group_key *key)
{
	for (uint32_t i = 0; i < GROUPS; i++)
		if (j->group[i].used && !memcmp(&j->group[i].key, key, sizeof(*key)))
			return &j->group[i];
	return NULL;
}

static struct dns_group *group_make(struct dns_judge *j, const struct dns_group_key *key)
{
	for (uint32_t i = 0; i < GROUPS; i++) {
		if (j->group[i].used)
			continue;
		j->group[i] = (struct dns_group){ .used = true, .key = *key };
		return &j->group[i];
	}
	return NULL;
}

static void untell(struct dns_judge *j, struct dns_group *g)
{
	struct tl_finding *f;
	bool is_new;

	if (!g->told)
		return;
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	tl_findings__retract(j->view.findings, f);
}

/* The group of all names of that server, with what its names' own groups held. */
static struct dns_group *widen(struct dns_judge *j, const struct dns_group_key *wide)
{
	struct dns_group *g = group_make(j, wide);

	if (!g)
		return NULL;
	for (uint32_t i = 0; i < GROUPS; i++) {
		struct dns_group *own = &j->group[i];
		struct dns_group_key key = own->key;

		key.is_wide = 1;
		key.name_hash = 0;
		if (!own->used || own->key.is_wide || memcmp(&key, wide, sizeof(key)))
			continue;
		group_merge(g, own);
		untell(j, own);
		own->used = false;
	}
	return g;
}

static uint32_t names_apart(const struct dns_judge *j, const struct dns_group_key *wide)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < GROUPS; i++) {
		struct dns_group_key key = j->group[i].key;

		if (!j->group[i].used || key.is_wide)
			continue;
		key.is_wide = 1;
		key.name_hash = 0;
		n += !memcmp(&key, wide, sizeof(key));
	}
	return n;
}

static struct dns_group *group_for(struct dns_judge *j, const struct tl_endpoint *server,
				   struct dns_group_key key)
{
	uint64_t name_hash = key.name_hash;
	struct dns_group *g;

	key.ip_version = server->ip_version;
	key.port = server->port;
	memcpy(key.server, server->ip, sizeof(key.server));
	key.name_hash = 0;
	key.is_wide = 1;
	g = group_find(j, &key);
	if (g)
		return g;
	key.name_hash = name_hash;
	key.is_wide = 0;
	g = group_find(j, &key);
	if (g)
		return g;
	key.name_hash = 0;
	key.is_wide = 1;
	if (names_apart(j, &key) >= NAMES_APART)
		return widen(j, &key);
	key.name_hash = name_hash;
	key.is_wide = 0;
	return group_make(j, &key);
}

/* --- when is it told? --------------------------------------------------------------------------
 */

static void look_elsewhere(struct dns_judge *j, const struct dns_group *g, uint32_t server,
			   struct dns_context *c)
{
	for (uint32_t i = 0; i < g->clients && i < LOOK_AT; i++) {
		for (uint32_t k = 0; k < g->names && k < LOOK_AT; k++) {
			struct question q = { g->client[i], server, g->name[k], g->first.qtype };
			uint32_t here = records_of(j, BY_QUESTION, &q);

			c->is_recovered |= here > 0;
			q.server = 0;
			c->is_elsewhere |= records_of(j, BY_CLIENT_NAME, &q) > here;
			c->is_elsewhere_v4 |=
				g->key.ip_version == 6 && count_of(j, BY_CLIENT_NAME_V4, &q) > 0;
		}
	}
}

static struct dns_context context_of(struct dns_judge *j, const struct dns_group *g)
{
	uint32_t server = dns_host_hash(&g->subject.server, g->subject.server.port);
	struct dns_context c = {
		.facts = j->view.facts,
		.server_answers = count_of(j, BY_SERVER, &(struct question){ .server = server }),
		.a_is_fine = g->names > 0,
		.unseen = j->unseen,
		.withheld = j->withheld,
	};

	for (uint32_t i = 0; i < g->clients; i++)
		c.clients_answers += count_of(
			j, BY_PAIR, &(struct question){ .client = g->client[i], .server = server });
	for (uint32_t i = 0; i < g->names; i++)
		c.a_is_fine &= count_of(j, BY_NAME,
					&(struct question){ .name_hash = g->name[i],
							    .qtype = TL_DNS_A }) > 0;
	look_elsewhere(j, g, server, &c);
	return c;
}

/*
 * Is there a witness that the answer did not merely escape the mirror? An ICMP error; a client that
 * repeats itself with the same id; or a server that is seen answering, or a mirror that is known
 * to show both directions, and a client that asks anew.
 */
static bool has_witness(struct dns_judge *j, const struct dns_group *g, const struct dns_context *c)
{
	enum tl_two_way two_way = tl_facts__two_way(j->view.facts);
	struct tl_tracker_totals totals;
	bool asks_anew = g->tries > g->queries;

	tl_facts__tracker_totals(j->view.facts, &totals);
	if (g->unreachable || g->same_id)
		return true;
	if (c->server_answers)
		return asks_anew || (!j->unseen && !totals.missed_segments);
	if (g->all_flags & DNS_BY_CONTENT)
		return false;
	return asks_anew && (two_way == TL_TWO_WAY_YES || two_way == TL_TWO_WAY_UNKNOWN);
}

static void tell(struct dns_judge *j, struct dns_group *g)
{
	struct dns_context context = context_of(j, g);
	struct tl_finding *f;
	bool is_new;

	if (g->last_ns > g->at_ns)
		g->at_ns = g->last_ns;
	if (g->key.kind == DNS_KIND_NO_ANSWER && !has_witness(j, g, &context))
		return;
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	dns_words__write(g, &context, f);
	tl_findings__commit(j->view.findings, f, g->at_ns);
	g->told = true;
}

static void count_in(struct dns_judge *j, enum dns_kind kind, const struct tl_subject *subject,
		     const struct dns_report *r)
{
	const struct question q = {
		dns_host_hash(&subject->client, 0),
		dns_host_hash(&subject->server, subject->server.port),
		r->name_hash,
		r->qtype,
	};
	struct dns_group_key key = {
		.kind = (uint8_t)kind,
		.rcode = kind == DNS_KIND_ERROR ? r->rcode : 0,
		.name_hash = r->name_hash,
	};
	struct dns_group *g = group_for(j, &subject->server, key);

	if (!g) {
		j->withheld++;
		return;
	}
	group_add(g, subject, &q, r);
	tell(j, g);
}

/* --- unanswered tries ----------------------------------------------------------------------------
 */

static bool same_question(const struct question *a, const struct question *b)
{
	return a->client == b->client && a->server == b->server && a->name_hash == b->name_hash &&
	       a->qtype == b->qtype;
}

/* The capture ended before the time was up: does the client show that it had no answer? */
static bool is_unanswered_at_end(const struct dns_judge *j, const struct held *h)
{
	const struct dns_report *r = &h->report;

	if (r->seen_ns - r->first_ns >= UNANSWERED_NS || r->last_ns - r->first_ns >= RETRY_NS)
		return true;
	for (uint32_t i = 0; i < HELD; i++) {
		const struct held *o = &j->held[i];
		uint64_t a = o->report.first_ns, b = r->first_ns;

		if (o->used && same_question(&o->question, &h->question) &&
		    (a > b ? a - b : b - a) >= RETRY_NS)
			return true;
	}
	return false;
}

static void decide(struct dns_judge *j, const struct held *h)
{
	const struct answers *a = answers_find(j, BY_QUESTION, &h->question);
	struct dns_report r = h->report;

	if (!a || a->last_ns <= r.first_ns) {
		count_in(j, DNS_KIND_NO_ANSWER, &h->subject, &r);
		return;
	}
	/* Another try was answered. Of several answers it is not known which one ended the wait. */
	if (a->before_ns > r.first_ns || a->last_ns - r.first_ns < DNS_LATE_NS ||
	    a->last_ns - r.first_ns > RETRY_SPAN_NS)
		return;
	r.end = (struct dns_proof){ a->frame, a->last_ns };
	r.tries++;
	count_in(j, DNS_KIND_SLOW, &h->subject, &r);
}

static void hold(struct dns_judge *j, const struct tl_subject *subject, const struct dns_report *r)
{
	struct held *h = &j->held[(j->held_oldest + j->held_count) % HELD];

	if (j->held_count == HELD) {
		j->withheld++;
		return;
	}
	j->held_count++;
	*h = (struct held){
		.used = true,
		.subject = *subject,
		.report = *r,
		.question = { dns_host_hash(&subject->client, 0),
			      dns_host_hash(&subject->server, subject->server.port), r->name_hash,
			      r->qtype },
	};
}

static void release(struct dns_judge *j, uint64_t now_ns, bool is_end)
{
	while (j->held_count) {
		struct held *h = &j->held[j->held_oldest];

		if (!is_end && h->report.last_ns + HOLD_NS > now_ns)
			return;
		if (!(h->report.flags & DNS_BY_CAPTURE) || is_unanswered_at_end(j, h))
			decide(j, h);
		j->held_oldest = (j->held_oldest + 1) % HELD;
		j->held_count--;
		/* Its question still counts for the tries that come after it. */
		if (!is_end)
			h->used = false;
	}
}

/* --- what the registry calls ------------------------------------------------------------------ */

int dns_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct dns_judge **ret_judge = state;
	struct dns_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void dns_judge__fini(void *state)
{
	struct dns_judge **judge_at = state;

	free(*judge_at);
}

static void observe_report(struct dns_judge *j, const struct tl_observation *o)
{
	struct dns_report r;

	if (o->data_bytes != sizeof(r))
		return;
	memcpy(&r, o->data, sizeof(r));
	if (o->kind == DNS_UNANSWERED) {
		hold(j, &o->subject, &r);
		return;
	}
	if (o->kind == DNS_UNREACHABLE) {
		count_in(j, DNS_KIND_NO_ANSWER, &o->subject, &r);
		return;
	}
	if (r.rcode != TL_DNS_NOERROR)
		count_in(j, DNS_KIND_ERROR, &o->subject, &r);
	/* A server that fails late fails: that is one fault, and told. */
	if (r.end.ts_ns >= r.first_ns + DNS_LATE_NS &&
	    (r.rcode == TL_DNS_NOERROR || r.rcode == TL_DNS_NXDOMAIN))
		count_in(j, DNS_KIND_SLOW, &o->subject, &r);
}

void dns_judge__observe(void *state, const struct tl_observation *observation)
{
	struct dns_judge *j = *(struct dns_judge **)state;
	struct dns_answers list;

	if (observation->kind != DNS_ANSWERS) {
		observe_report(j, observation);
		return;
	}
	if (observation->data_bytes != sizeof(list))
		return;
	memcpy(&list, observation->data, sizeof(list));
	j->withheld += list.withheld;
	for (uint32_t i = 0; i < list.count && i < DNS_ANSWERS_MAX; i++)
		observe_answer(j, &list.answer[i]);
}

static void take_totals(struct dns_judge *j, const struct tl_run_totals *totals)
{
	j->unseen = tl_facts__capture_drops(j->view.facts) + totals->source.sampled_out +
		    totals->analysis_shed_packets;
}

/* Words each finding a last time, with all that is known by now, before the store settles it. */
void dns_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct dns_judge *j = *(struct dns_judge **)state;

	take_totals(j, totals);
	release(j, now_ns, false);
	for (uint32_t i = 0; i < GROUPS; i++) {
		struct dns_group *g = &j->group[i];

		if (!g->used || g->at_ns + TL_FINDING_QUIET_NS > now_ns)
			continue;
		tell(j, g);
		g->used = false;
	}
}

void dns_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct dns_judge *j = *(struct dns_judge **)state;

	take_totals(j, totals);
	release(j, now_ns, true);
	for (uint32_t i = 0; i < GROUPS; i++)
		if (j->group[i].used)
			tell(j, &j->group[i]);
}
