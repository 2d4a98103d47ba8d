/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of dns.*: holds what went unanswered until answers to other tries of the same question
 * are known, and groups what failed by server and name.
 *
 *	answers:  a table of counts, by what is asked of it (core/dns_answer_table.h)
 *	held:     a ring of unanswered tries, each for DNS_HOLD_NS
 *	groups:   more than NAMES_APART names of one server fold into one group
 *
 * Held tries are found by their question, groups by their kind and server (core/index.h).
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
#include "core/dns_answer_table.h"
#include "core/index.h"
#include "core/text.h"

#define HELD	    2048u
#define GROUPS	    512u
#define NAMES_APART 8u
#define NAMES_SILENT                                                                               \
	3u /* likewise, of one that is silent or slow: the name is no part of the cause */

#define HOLD_NS	      (DNS_EXPIRY_NS + 300000000ull)
#define UNANSWERED_NS 5000000000ull
#define RETRY_NS      1000000000ull /* a client that asks again after so long had no answer */
#define ORPHAN_NS     10000000000ull
#define HABIT	      3u /* answers to one question … */
#define HABIT_NS      10000000000ull
#define LOOK_AT	      4u /* clients, and names, of a group that are looked up */

struct held {
	struct dns_question question;
	struct tl_subject subject;
	struct dns_report report;
};

struct dns_judge {
	struct tl_analyzer_judge view;
	uint64_t unseen, withheld;
	uint64_t matched_answers; /* of any server, to queries that were seen */
	/* How far is the mirror to be trusted? See is_lossy(). */
	uint64_t first_ns, orphans, unanswered, packets;
	uint32_t held_oldest, held_count;
	struct held held[HELD];
	struct tl_index held_index; /* by question */
	uint16_t held_first[HELD], held_next[HELD];
	uint32_t group_top; /* groups from here on were never used */
	struct dns_group group[GROUPS];
	struct tl_index group_index; /* by kind and server; what is in it is used */
	uint16_t group_first[GROUPS], group_next[GROUPS];
	struct dns_answer_table answers;
};

/* --- answers --------------------------------------------------------------------------------- */

static bool same_question(const struct dns_question *a, const struct dns_question *b)
{
	return a->client == b->client && a->server == b->server && a->name_hash == b->name_hash &&
	       a->qtype == b->qtype;
}

static uint64_t hash_of_question(const struct dns_question *q)
{
	return dns_answer_table__key(DNS_BY_QUESTION, q) >> 1;
}

/*
 * The answer to a query that was not shown: to none that was seen of late, be it answered or not.
 * So the mirror, or the capture, leaves something out, and answers as well as queries.
 */
static bool is_orphan(struct dns_judge *j, const struct dns_answer *a)
{
	const struct dns_question q = { a->client, a->server, a->name_hash, a->qtype };
	const struct dns_answer_sum *known =
		dns_answer_table__find(&j->answers, DNS_BY_QUESTION, &q);

	if (a->flags & DNS_ANSWER_MATCHED || a->ts_ns < j->first_ns + ORPHAN_NS ||
	    (known && a->ts_ns < known->last_ns + ORPHAN_NS))
		return false;
	for (uint32_t i = tl_index__first(&j->held_index, hash_of_question(&q)); i != TL_INDEX_END;
	     i = tl_index__after(&j->held_index, i))
		if (same_question(&j->held[i].question, &q))
			return false;
	return true;
}

static void observe_answer(struct dns_judge *j, const struct dns_answer *a)
{
	const struct dns_question pair = { .client = a->client, .server = a->server };
	const struct dns_question whole = { a->client, a->server, a->name_hash, a->qtype };
	const struct dns_question of_client = { a->client, 0, a->name_hash, a->qtype };
	const struct dns_question of_name = { 0, 0, a->name_hash, a->qtype };

	if (!j->first_ns)
		j->first_ns = a->ts_ns;
	j->orphans += is_orphan(j, a);
	dns_answer_table__add(&j->answers, DNS_BY_SERVER,
			      &(struct dns_question){ .server = a->server }, a);
	dns_answer_table__add(&j->answers, DNS_BY_PAIR, &pair, a);
	if (a->flags & DNS_ANSWER_MATCHED) {
		j->matched_answers++;
		dns_answer_table__add(&j->answers, DNS_BY_QUESTION, &whole, a);
	}
	if (a->flags & DNS_ANSWER_NOERROR)
		dns_answer_table__add(&j->answers, DNS_BY_NAME, &of_name, a);
	if (!(a->flags & DNS_ANSWER_RECORDS))
		return;
	dns_answer_table__add(&j->answers, DNS_BY_CLIENT_NAME, &of_client, a);
	if (a->server_ip_version == 4)
		dns_answer_table__add(&j->answers, DNS_BY_NAME_V4, &of_name, a);
}

static uint32_t count_of(struct dns_judge *j, enum dns_answers_by by, const struct dns_question *q)
{
	const struct dns_answer_sum *e = dns_answer_table__find(&j->answers, by, q);

	return e ? e->count : 0;
}

static uint32_t records_of(struct dns_judge *j, enum dns_answers_by by,
			   const struct dns_question *q)
{
	const struct dns_answer_sum *e = dns_answer_table__find(&j->answers, by, q);

	return e ? e->records : 0;
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

static uint64_t hash_of_server(const struct dns_group_key *key)
{
	return tl_text__hash((uint64_t)key->kind << 16 | key->port, key->server,
			     sizeof(key->server));
}

/* The places of groups that may be of that kind and server, in order. */
static uint32_t groups_first(const struct dns_judge *j, const struct dns_group_key *key)
{
	return tl_index__first(&j->group_index, hash_of_server(key));
}

static uint32_t groups_after(const struct dns_judge *j, uint32_t place)
{
	return tl_index__after(&j->group_index, place);
}

static struct dns_group *group_find(struct dns_judge *j, const struct dns_group_key *key)
{
	for (uint32_t i = groups_first(j, key); i != TL_INDEX_END; i = groups_after(j, i))
		if (!memcmp(&j->group[i].key, key, sizeof(*key)))
			return &j->group[i];
	return NULL;
}

static struct dns_group *group_make(struct dns_judge *j, const struct dns_group_key *key)
{
	uint32_t i = tl_index__free_place(&j->group_index);

	if (i == TL_INDEX_END)
		return NULL;
	j->group[i] = (struct dns_group){ .used = true, .key = *key };
	tl_index__add(&j->group_index, hash_of_server(key), i);
	if (i >= j->group_top)
		j->group_top = i + 1;
	return &j->group[i];
}

static void group_drop(struct dns_judge *j, struct dns_group *g)
{
	tl_index__remove(&j->group_index, hash_of_server(&g->key), (uint32_t)(g - j->group));
	g->used = false;
}

static void untell(struct dns_judge *j, struct dns_group *g)
{
	struct tl_finding *f;
	bool is_new;

	if (!g->told)
		return;
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	tl_findings__retract(j->view.findings, f);
	g->told = false;
}

/* The group of all names of that server, with what its names' own groups held. */
static struct dns_group *widen(struct dns_judge *j, const struct dns_group_key *wide)
{
	struct dns_group *g = group_make(j, wide);

	if (!g)
		return NULL;
	for (uint32_t i = groups_first(j, wide), next; i != TL_INDEX_END; i = next) {
		struct dns_group *own = &j->group[i];
		struct dns_group_key key = own->key;

		next = groups_after(j, i);
		key.is_wide = 1;
		key.name_hash = 0;
		if (own->key.is_wide || memcmp(&key, wide, sizeof(key)))
			continue;
		dns_group__merge(g, own);
		untell(j, own);
		group_drop(j, own);
	}
	return g;
}

static uint32_t names_apart(const struct dns_judge *j, const struct dns_group_key *wide)
{
	uint32_t n = 0;

	for (uint32_t i = groups_first(j, wide); i != TL_INDEX_END; i = groups_after(j, i)) {
		struct dns_group_key key = j->group[i].key;

		if (key.is_wide)
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
	if (names_apart(j, &key) >= (key.kind == DNS_KIND_ERROR ? NAMES_APART : NAMES_SILENT))
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
			struct dns_question q = { g->client[i], server, g->name[k],
						  g->first.qtype };
			uint32_t here = records_of(j, DNS_BY_QUESTION, &q);

			c->is_recovered |= here > 0;
			q.server = 0;
			c->is_elsewhere |= records_of(j, DNS_BY_CLIENT_NAME, &q) > here;
			/* Its other address is another client to us. */
			q.client = 0;
			c->is_elsewhere_v4 |=
				g->key.ip_version == 6 && count_of(j, DNS_BY_NAME_V4, &q) > 0;
		}
	}
}

/* What the server answered to the group's clients: only those that are new, if nothing else is. */
static void look_at_clients(struct dns_judge *j, struct dns_group *g, uint32_t server)
{
	struct dns_group_answers *sum = &g->answers;

	if (sum->version != j->answers.version)
		*sum = (struct dns_group_answers){ .version = j->answers.version };
	for (; sum->clients < g->clients; sum->clients++) {
		const struct dns_question pair = { .client = g->client[sum->clients],
						   .server = server };
		const struct dns_answer_sum *a =
			dns_answer_table__find(&j->answers, DNS_BY_PAIR, &pair);

		sum->count += a ? a->count : 0;
		if (a && a->last_ns > sum->last_ns)
			sum->last_ns = a->last_ns;
	}
}

static struct dns_context context_of(struct dns_judge *j, struct dns_group *g)
{
	uint32_t server = dns_host_hash(&g->subject.server, g->subject.server.port);
	struct dns_context c = {
		.facts = j->view.facts,
		.server_answers =
			count_of(j, DNS_BY_SERVER, &(struct dns_question){ .server = server }),
		.a_is_fine = g->names > 0,
		.unseen = j->unseen,
		.withheld = j->withheld,
	};

	look_at_clients(j, g, server);
	c.clients_answers = g->answers.count;
	c.last_answer_ns = g->answers.last_ns;
	for (uint32_t i = 0; i < g->names; i++)
		c.a_is_fine &= count_of(j, DNS_BY_NAME,
					&(struct dns_question){ .name_hash = g->name[i],
								.qtype = TL_DNS_A }) > 0;
	look_elsewhere(j, g, server, &c);
	return c;
}

static bool same_server(const struct dns_group *a, const struct dns_group *b)
{
	return a->used && b->used && a->key.kind == b->key.kind && a->key.port == b->key.port &&
	       !memcmp(a->key.server, b->key.server, sizeof(a->key.server));
}

/* Queries, of whatever name, whose client went on from the group's server to another. */
static uint64_t moved_on_from(const struct dns_judge *j, const struct dns_group *g)
{
	uint64_t n = 0;

	for (uint32_t i = groups_first(j, &g->key); i != TL_INDEX_END; i = groups_after(j, i))
		if (same_server(&j->group[i], g))
			n += j->group[i].moved_on;
	return n;
}

/*
 * Does the mirror leave out about as much as is unanswered? What it leaves out shows in answers to
 * queries that were not seen, and in TCP, by whose share of holes the answers may be missed too.
 */
static bool is_lossy(const struct dns_judge *j)
{
	struct tl_tracker_totals totals;
	uint64_t missed;

	tl_facts__tracker_totals(j->view.facts, &totals);
	missed = totals.missed_segments + j->unseen;
	if (!j->orphans && !missed)
		return false;
	return 4 * (j->orphans + 1 + j->matched_answers * missed / (j->packets + 1)) >=
	       j->unanswered;
}

/*
 * Is there a witness that the answer did not merely escape the mirror? An ICMP error; a client that
 * repeats itself with the same id; or a server that is seen answering, or a mirror that is known
 * to show both directions, and a client that asks anew, here or (twice at least) another server.
 */
static bool has_witness(struct dns_judge *j, const struct dns_group *g, const struct dns_context *c)
{
	enum tl_two_way two_way = tl_facts__two_way(j->view.facts);
	struct tl_tracker_totals totals;
	bool asks_anew = g->tries > g->queries || moved_on_from(j, g) >= 2;

	tl_facts__tracker_totals(j->view.facts, &totals);
	if (g->unreachable || g->same_id)
		return true;
	if (is_lossy(j))
		return false;
	if (c->server_answers)
		return asks_anew || (!j->unseen && !totals.missed_segments);
	if (g->all_flags & DNS_BY_CONTENT)
		return false;
	return asks_anew &&
	       (two_way == TL_TWO_WAY_YES || (two_way == TL_TWO_WAY_UNKNOWN && j->matched_answers));
}

static void tell(struct dns_judge *j, struct dns_group *g)
{
	struct dns_context context = context_of(j, g);
	struct tl_finding *f;
	bool is_new;

	if (g->last_ns > g->at_ns)
		g->at_ns = g->last_ns;
	if (g->key.kind == DNS_KIND_NO_ANSWER && !has_witness(j, g, &context)) {
		untell(j, g);
		return;
	}
	f = tl_findings__begin(j->view.findings, kind_name(g), &g->key, sizeof(g->key), &is_new);
	dns_words__write(g, &context, f);
	tl_findings__commit(j->view.findings, f, g->at_ns);
	g->told = true;
}

static void count_in(struct dns_judge *j, enum dns_kind kind, const struct tl_subject *subject,
		     const struct dns_report *r)
{
	const struct dns_question q = {
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
	dns_group__add(g, subject, &q, r);
	tell(j, g);
	/* That client is a witness for the other names of the server, too. */
	if (!(r->flags & DNS_MOVED_ON))
		return;
	for (uint32_t i = groups_first(j, &g->key); i != TL_INDEX_END; i = groups_after(j, i))
		if (&j->group[i] != g && !j->group[i].told && same_server(&j->group[i], g))
			tell(j, &j->group[i]);
}

/* --- unanswered tries ----------------------------------------------------------------------------
 */

/* Did the client get the same from another server, after it had waited here for a second or more?
 */
static bool has_moved_on(struct dns_judge *j, const struct held *h)
{
	struct dns_question q = h->question;
	const struct dns_answer_sum *a;

	q.server = 0;
	a = dns_answer_table__find(&j->answers, DNS_BY_CLIENT_NAME, &q);
	return a && a->last_ns >= h->report.last_ns + RETRY_NS;
}

/* The capture ended before the time was up: does the client show that it had no answer? */
static bool is_unanswered_at_end(struct dns_judge *j, const struct held *h)
{
	const struct dns_report *r = &h->report;

	if (has_moved_on(j, h))
		return true;
	if (r->seen_ns - r->first_ns >= UNANSWERED_NS || r->last_ns - r->first_ns >= RETRY_NS)
		return true;
	for (uint32_t i = tl_index__first(&j->held_index, hash_of_question(&h->question));
	     i != TL_INDEX_END; i = tl_index__after(&j->held_index, i)) {
		const struct held *o = &j->held[i];
		uint64_t a = o->report.first_ns, b = r->first_ns;

		if (same_question(&o->question, &h->question) &&
		    (a > b ? a - b : b - a) >= RETRY_NS)
			return true;
	}
	return false;
}

static void decide(struct dns_judge *j, const struct held *h)
{
	const struct dns_answer_sum *a =
		dns_answer_table__find(&j->answers, DNS_BY_QUESTION, &h->question);
	struct dns_report r = h->report;

	j->unanswered++;
	if (!a || a->last_ns <= r.first_ns) {
		if (has_moved_on(j, h))
			r.flags |= DNS_MOVED_ON;
		count_in(j, DNS_KIND_NO_ANSWER, &h->subject, &r);
		return;
	}
	/* Another try was answered. Of several answers it is not known which one ended the wait. */
	if (a->before_ns > r.first_ns || a->last_ns - r.first_ns < DNS_LATE_NS ||
	    a->last_ns - r.first_ns > DNS_RETRY_SPAN_NS)
		return;
	/* It asks that again and again, answered or not: what came next need be no other try. */
	if (is_lossy(j) || (a->count > HABIT && a->before_ns + HABIT_NS > r.first_ns))
		return;
	r.end = (struct dns_proof){ a->frame, a->last_ns };
	r.tries++;
	count_in(j, DNS_KIND_SLOW, &h->subject, &r);
}

static void hold(struct dns_judge *j, const struct tl_subject *subject, const struct dns_report *r)
{
	uint32_t place = (j->held_oldest + j->held_count) % HELD;
	struct held *h = &j->held[place];

	if (j->held_count == HELD) {
		j->withheld++;
		return;
	}
	j->held_count++;
	*h = (struct held){
		.subject = *subject,
		.report = *r,
		.question = { dns_host_hash(&subject->client, 0),
			      dns_host_hash(&subject->server, subject->server.port), r->name_hash,
			      r->qtype },
	};
	tl_index__add(&j->held_index, hash_of_question(&h->question), place);
}

static void release(struct dns_judge *j, uint64_t now_ns, bool is_end)
{
	while (j->held_count) {
		struct held *h = &j->held[j->held_oldest];

		if (!is_end && h->report.last_ns + HOLD_NS > now_ns)
			return;
		if (!(h->report.flags & DNS_BY_CAPTURE) || is_unanswered_at_end(j, h))
			decide(j, h);
		/* Its question still counts for the tries that come after it. */
		if (!is_end)
			tl_index__remove(&j->held_index, hash_of_question(&h->question),
					 j->held_oldest);
		j->held_oldest = (j->held_oldest + 1) % HELD;
		j->held_count--;
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
	j->held_index = (struct tl_index){ j->held_first, j->held_next, HELD, HELD, 0 };
	j->group_index = (struct tl_index){ j->group_first, j->group_next, GROUPS, GROUPS, 0 };
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
	j->packets = totals->source.captured;
}

/* Words each finding a last time, with all that is known by now, before the store settles it. */
void dns_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct dns_judge *j = *(struct dns_judge **)state;

	take_totals(j, totals);
	release(j, now_ns, false);
	for (uint32_t i = 0; i < j->group_top; i++) {
		struct dns_group *g = &j->group[i];

		if (!g->used || g->at_ns + TL_FINDING_QUIET_NS > now_ns)
			continue;
		tell(j, g);
		group_drop(j, g);
	}
}

void dns_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct dns_judge *j = *(struct dns_judge **)state;

	take_totals(j, totals);
	release(j, now_ns, true);
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used)
			tell(j, &j->group[i]);
}
