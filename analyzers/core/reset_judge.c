/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of reset (reset.h): groups the RSTs, and takes out of the groups what has a cause of
 * its own: a service that was down, a timer.
 *
 *	records: a ring, the oldest is baked into its group's sum; found by group (core/index.h)
 *	groups:  found by key (service, sender, phase; a client's own by the client, too)
 *
 *	tick: each group that changed ─► records, in order of time ─► in an outage?  ─►
 *service.crash └─► in a mode?     ─► tcp.idle_timeout └─► the rest       ─► tcp.reset
 *
 * A finding is written anew from all its records each time, so that the order in which workers tell
 * makes no difference, and retracted when nothing is left in it. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/index.h"
#include "core/reset.h"
#include "core/written.h"

#define RECORDS	  1024u
#define GROUPS	  256u
#define HISTORIES 1024u /* a power of two */
#define PROBES	  4u
#define NO_GROUP  UINT16_MAX

struct group {
	bool used, is_dirty, told, timer_told;
	uint8_t key[TL_PAIR_KEY];
	uint32_t generation;
	uint64_t at_ns;
	struct reset_sum baked, timer_baked;
};

struct reset_judge {
	struct tl_analyzer_judge view;
	uint64_t withheld;
	uint32_t newest;
	uint32_t groups_dirty, histories_dirty;
	struct reset_record record[RECORDS];
	struct tl_index record_index; /* by group; what is in it is used */
	struct tl_index quiet_index;  /* of these, the quiet ones, by connection */
	uint16_t record_first[GROUPS], record_next[RECORDS];
	uint16_t quiet_first[RECORDS], quiet_next[RECORDS];
	uint32_t group_top; /* groups from here on were never used */
	struct group group[GROUPS];
	struct tl_index group_index; /* by key; what is in it is used */
	uint16_t group_first[GROUPS], group_next[GROUPS];
	uint64_t written[TL_WRITTEN_WORDS(HISTORIES)]; /* of histories */
	struct reset_history history[HISTORIES];
	uint16_t order[RECORDS]; /* scratch: records of one group */
	uint64_t idle[RECORDS];
};

/* --- services -------------------------------------------------------------------------------- */

static struct reset_history *history_find(struct reset_judge *j, const struct tl_endpoint *server)
{
	uint64_t hash = tl_text__hash(server->port, server->ip, sizeof(server->ip));

	for (uint32_t i = 0; i < PROBES; i++) {
		const uint32_t place = (uint32_t)(hash + i) & (HISTORIES - 1);
		struct reset_history *h = &j->history[place];

		if (tl_written__has(j->written, place) && h->server.port == server->port &&
		    tl_endpoint__same_host(&h->server, server))
			return h;
	}
	return NULL;
}

/* Made if need be, in the place of the one that was longest without news. */
static struct reset_history *history_get(struct reset_judge *j, const struct tl_endpoint *server)
{
	uint64_t hash = tl_text__hash(server->port, server->ip, sizeof(server->ip));
	struct reset_history *h = history_find(j, server);

	if (h)
		return h;
	for (uint32_t i = 0; i < PROBES; i++) {
		const uint32_t place = (uint32_t)(hash + i) & (HISTORIES - 1);
		struct reset_history *other = &j->history[place];

		if (!tl_written__has(j->written, place)) {
			tl_written__add(j->written, place);
			h = other;
			break;
		}
		if (!h || other->used_ns < h->used_ns)
			h = other;
	}
	*h = (struct reset_history){ .server = *server };
	h->subject.server = *server;
	h->subject.proto = TL_PROTO_TCP;
	return h;
}

static void tell_crash(struct reset_judge *j, const struct reset_history *h, uint64_t now_ns)
{
	uint8_t key[TL_ENDPOINT_KEY];
	struct tl_finding *f;
	bool is_new, is_sure = false;

	for (uint32_t i = 0; i < h->outages && i < RESET_OUTAGES; i++)
		is_sure |= reset_outage__is_sure(&h->outage[i], now_ns);
	tl_endpoint__key(&h->server, key);
	f = tl_findings__begin(j->view.findings, "service.crash", key, sizeof(key), &is_new);
	if (!is_sure) {
		tl_findings__retract(j->view.findings, f);
		return;
	}
	reset_words__crash(h, now_ns, f);
	tl_findings__commit(j->view.findings, f, f->last_ns);
}

/* --- sums ------------------------------------------------------------------------------------ */

static void sum_add(struct reset_sum *sum, const struct reset_record *record)
{
	const struct reset_report *r = &record->report;

	if (!sum->flows || r->rst_ns < sum->first_ns) {
		sum->first_ns =
			r->proof_count && r->proof[0].ts_ns < r->rst_ns && r->phase != RESET_IN_IDLE
				? r->proof[0].ts_ns
				: r->rst_ns;
		sum->subject = record->subject;
		sum->first = *r;
	}
	if (!sum->flows++)
		sum->clients = 1;
	else if (!tl_endpoint__same_host(&sum->subject.client, &record->subject.client))
		sum->clients = 2; /* several: how many is not told */
	sum->pending += !!(r->flags & RESET_PENDING);
	sum->waited += (r->flags & (RESET_PENDING | RESET_AFTER_IDLE)) == RESET_PENDING;
	sum->quiet += !!(r->flags & RESET_QUIET);
	sum->in_flight += !!(r->flags & RESET_IN_FLIGHT);
	sum->unread += !!(r->flags & RESET_UNREAD);
	sum->ignored += !!(r->flags & RESET_IGNORED);
	sum->midstream += !!(r->flags & RESET_MIDSTREAM);
	sum->in_window += r->fit == TL_RST_EXACT || r->fit == TL_RST_IN_WINDOW;
	sum->out_of_window += r->fit == TL_RST_OUTSIDE;
	sum->doubts |= r->doubts;
	if (r->rst_ns > sum->last_ns)
		sum->last_ns = r->rst_ns;
	if (r->idle_ns > sum->idle_ns)
		sum->idle_ns = r->idle_ns;
	for (uint32_t i = 0; i < r->proof_count; i++) {
		if (sum->proof_count == TL_EVIDENCE_MAX) {
			memmove(&sum->proof[TL_EVIDENCE_MAX / 2],
				&sum->proof[TL_EVIDENCE_MAX / 2 + 1],
				(TL_EVIDENCE_MAX / 2 - 1) * sizeof(sum->proof[0]));
			sum->proof_count--;
		}
		sum->proof[sum->proof_count++] = r->proof[i];
	}
}

/* --- groups ---------------------------------------------------------------------------------- */

static struct group *group_get(struct reset_judge *j, const struct reset_record *record)
{
	const struct reset_report *r = &record->report;
	struct tl_subject about = record->subject;
	uint8_t key[TL_PAIR_KEY];
	struct group *g;
	uint64_t hash;
	uint32_t i;

	/* What a server or a box in its place does is one cause, whoever it happens to. */
	if (r->sender != RESET_BY_CLIENT)
		memset(&about.client, 0, sizeof(about.client));
	tl_pair__key(&about, (uint8_t)(r->sender << 4 | r->phase), key);
	hash = tl_text__hash(0, key, sizeof(key));
	for (i = tl_index__first(&j->group_index, hash); i != TL_INDEX_END;
	     i = tl_index__after(&j->group_index, i))
		if (!memcmp(j->group[i].key, key, sizeof(key)))
			return &j->group[i];
	i = tl_index__free_place(&j->group_index);
	if (i == TL_INDEX_END)
		return NULL;
	g = &j->group[i];
	*g = (struct group){ .used = true, .generation = g->generation + 1 };
	memcpy(g->key, key, sizeof(key));
	tl_index__add(&j->group_index, hash, i);
	j->group_top += i == j->group_top;
	return g;
}

static void group_drop(struct reset_judge *j, struct group *g)
{
	tl_index__remove(&j->group_index, tl_text__hash(0, g->key, sizeof(g->key)),
			 (uint32_t)(g - j->group));
	g->used = false;
}

static struct group *group_of(struct reset_judge *j, const struct reset_record *record)
{
	struct group *g = record->used ? &j->group[record->group] : NULL;

	return g && g->used && g->generation == record->generation ? g : NULL;
}

static void touch(struct reset_judge *j, struct group *g)
{
	j->groups_dirty += !g->is_dirty;
	g->is_dirty = true;
}

/* A client that did not notice the server's FIN in time tries again: alone it is no fault. */
static bool is_a_cut(const struct reset_record *record)
{
	return !(record->report.flags & RESET_BY_FIN);
}

static void bake(struct reset_judge *j, struct reset_record *record, uint64_t now_ns)
{
	struct group *g = group_of(j, record);
	const struct reset_history *h = history_find(j, &record->subject.server);

	if (!g || (h && reset_history__covers(h, record->report.rst_ns, now_ns)))
		return;
	if (record->in_timer || is_a_cut(record))
		sum_add(record->in_timer ? &g->timer_baked : &g->baked, record);
}

static bool is_quiet(const struct reset_record *record)
{
	return record->report.flags & RESET_QUIET;
}

static uint64_t hash_of_connection(const struct tl_subject *s)
{
	uint64_t hash = tl_text__hash((uint64_t)s->client.port << 16 | s->server.port, s->client.ip,
				      sizeof(s->client.ip));

	return tl_text__hash(hash, s->server.ip, sizeof(s->server.ip));
}

static void record_use(struct reset_judge *j, struct reset_record *record)
{
	uint32_t place = (uint32_t)(record - j->record);

	record->used = true;
	tl_index__add(&j->record_index, record->group, place);
	if (is_quiet(record))
		tl_index__add(&j->quiet_index, hash_of_connection(&record->subject), place);
}

static void record_drop(struct reset_judge *j, struct reset_record *record)
{
	uint32_t place = (uint32_t)(record - j->record);

	if (!record->used)
		return;
	if (is_quiet(record))
		tl_index__remove(&j->quiet_index, hash_of_connection(&record->subject), place);
	tl_index__remove(&j->record_index, record->group, place);
	record->used = false;
}

/* The connection whose FIN was told goes on to be cut: that is told instead. */
static void forget_quiet(struct reset_judge *j, const struct tl_subject *s)
{
	uint32_t i = tl_index__first(&j->quiet_index, hash_of_connection(s));

	for (uint32_t next; i != TL_INDEX_END; i = next) {
		struct reset_record *record = &j->record[i];

		next = tl_index__after(&j->quiet_index, i);
		if (record->subject.client.port == s->client.port &&
		    record->subject.server.port == s->server.port &&
		    tl_endpoint__same_host(&record->subject.client, &s->client) &&
		    tl_endpoint__same_host(&record->subject.server, &s->server))
			record_drop(j, record);
	}
}

static void observe_rst(struct reset_judge *j, const struct tl_observation *o)
{
	struct reset_record *record = &j->record[++j->newest % RECORDS];
	struct group *g;

	bake(j, record, o->ts_ns);
	record_drop(j, record);
	*record = (struct reset_record){ .subject = o->subject };
	memcpy(&record->report, o->data, sizeof(record->report));
	if (record->report.flags & RESET_BY_FIN && !is_quiet(record))
		forget_quiet(j, &o->subject);
	g = group_get(j, record);
	if (!g) {
		j->withheld++;
		return;
	}
	record->group = (uint16_t)(g - j->group);
	record->generation = g->generation;
	record_use(j, record);
	if (record->report.rst_ns > g->at_ns)
		g->at_ns = record->report.rst_ns;
	touch(j, g);
}

/* --- what a group's records say -------------------------------------------------------------- */

static struct reset_judge *sorted; /* qsort's comparison has no context of its own */

static int by_time(const void *a, const void *b)
{
	const struct reset_report *ra = &sorted->record[*(const uint16_t *)a].report;
	const struct reset_report *rb = &sorted->record[*(const uint16_t *)b].report;

	return (ra->rst_ns > rb->rst_ns) - (ra->rst_ns < rb->rst_ns);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

struct mode {
	uint64_t low, high;
};

static bool in_bounds(const struct mode *mode, uint64_t idle_ns)
{
	return idle_ns >= mode->low && idle_ns <= mode->high;
}

/* The group's records that no outage explains, in order of time; how many. */
static uint32_t collect(struct reset_judge *j, const struct group *g, uint64_t now_ns)
{
	uint32_t n = 0;

	for (uint32_t i = tl_index__first(&j->record_index, (uint64_t)(g - j->group));
	     i != TL_INDEX_END; i = tl_index__after(&j->record_index, i)) {
		struct reset_record *record = &j->record[i];
		const struct reset_history *h;

		if (group_of(j, record) != g)
			continue;
		h = history_find(j, &record->subject.server);
		if (record->report.sender != RESET_BY_CLIENT && h &&
		    reset_history__covers(h, record->report.rst_ns, now_ns))
			continue;
		j->order[n++] = (uint16_t)i;
	}
	sorted = j;
	qsort(j->order, n, sizeof(j->order[0]), by_time);
	return n;
}

/*
 * The mode in the idle times of the first `n` of order, of cuts alone or of quiet ends as well:
 * most of them within ±2 %. Returns how many; its bounds are returned.
 */
static uint32_t find_mode(struct reset_judge *j, uint32_t n, bool with_quiet, struct mode *ret_mode)
{
	uint32_t best = 0, from = 0, count = 0;

	for (uint32_t i = 0; i < n; i++)
		if (with_quiet || !is_quiet(&j->record[j->order[i]]))
			j->idle[count++] = j->record[j->order[i]].report.idle_ns;
	qsort(j->idle, count, sizeof(j->idle[0]), by_size);
	for (uint32_t to = 0; to < count; to++) {
		while (j->idle[to] > j->idle[from] + j->idle[from] / 25)
			from++;
		if (to - from + 1 > best) {
			best = to - from + 1;
			*ret_mode = (struct mode){ j->idle[from], j->idle[to] };
		}
	}
	return best;
}

static void mark_timer(struct reset_judge *j, struct group *g, uint32_t n)
{
	uint64_t past = g->timer_baked.flows;
	struct mode mode = { 0 };
	uint32_t in_mode = 0, others = 0;
	bool is_timer;

	if (n && j->record[j->order[0]].report.phase == RESET_IN_IDLE) {
		in_mode = find_mode(j, n, false, &mode);
		if (in_mode + past < RESET_TIMER_FLOWS)
			in_mode = find_mode(j, n, true, &mode);
	}
	/* That a server ends others at other times, quietly, says nothing against it. */
	for (uint32_t i = 0; i < n; i++)
		others += !is_quiet(&j->record[j->order[i]]) &&
			  !in_bounds(&mode, j->record[j->order[i]].report.idle_ns);
	is_timer = in_mode + past >= RESET_TIMER_FLOWS && in_mode * 3 >= in_mode + others;
	for (uint32_t i = 0; i < n; i++) {
		struct reset_record *record = &j->record[j->order[i]];

		record->in_timer = is_timer && in_bounds(&mode, record->report.idle_ns);
	}
}

static void settle_timer(struct reset_judge *j, struct group *g, uint32_t n)
{
	struct reset_sum sum = g->timer_baked;
	struct tl_finding *f;
	uint32_t in_mode = 0;
	bool is_new;

	for (uint32_t i = 0; i < n; i++) {
		const struct reset_record *record = &j->record[j->order[i]];

		if (!record->in_timer)
			continue;
		sum_add(&sum, record);
		j->idle[in_mode++] = record->report.idle_ns;
	}
	if (!sum.flows && !g->timer_told)
		return;
	f = tl_findings__begin(j->view.findings, "tcp.idle_timeout", g->key, sizeof(g->key),
			       &is_new);
	g->timer_told = sum.flows;
	if (!sum.flows) {
		tl_findings__retract(j->view.findings, f);
		return;
	}
	qsort(j->idle, in_mode, sizeof(j->idle[0]), by_size);
	if (in_mode)
		sum.idle_ns = j->idle[in_mode / 2];
	reset_words__timer(&sum, f);
	tl_findings__commit(j->view.findings, f, sum.last_ns);
}

/* Does a finding say that the server waited in vain for what Content-Length promised? */
static bool says_short(const struct tl_finding *f, const struct reset_sum *sum)
{
	const struct tl_endpoint *server = &sum->subject.server;

	return !strcmp(f->kind, "http.body_mismatch") && f->severity >= TL_WARNING &&
	       f->subject.server.port == server->port &&
	       tl_endpoint__same_host(&f->subject.server, server) && f->first_ns <= sum->first_ns &&
	       f->last_ns + TL_NS_PER_SEC >= sum->last_ns;
}

/* One cause, one finding: a server that ends such a wait by a RST only answers. */
static void calm(const struct reset_judge *j, const struct reset_sum *sum, struct tl_finding *f)
{
	const struct tl_finding *other = NULL;

	if (sum->first.sender != RESET_BY_SERVER || sum->first.phase != RESET_IN_IDLE)
		return;
	while ((other = tl_findings__next_of(j->view.findings, TL_FINDING_SERVER,
					     &sum->subject.server, other))) {
		if (!says_short(other, sum) || other->count < sum->flows)
			continue;
		f->severity = TL_INFO;
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"http.body_mismatch tells why: it waited for the rest of a body");
		return;
	}
}

static void settle_resets(struct reset_judge *j, struct group *g, uint32_t n)
{
	struct reset_sum sum = g->baked;
	struct tl_finding *f;
	bool is_new;

	for (uint32_t i = 0; i < n; i++)
		if (!j->record[j->order[i]].in_timer && is_a_cut(&j->record[j->order[i]]))
			sum_add(&sum, &j->record[j->order[i]]);
	if (!sum.flows && !g->told)
		return;
	f = tl_findings__begin(j->view.findings, "tcp.reset", g->key, sizeof(g->key), &is_new);
	g->told = sum.flows;
	if (!sum.flows) {
		tl_findings__retract(j->view.findings, f);
		return;
	}
	sum.withheld = j->withheld;
	reset_words__reset(&sum, j->view.facts, f);
	calm(j, &sum, f);
	tl_findings__commit(j->view.findings, f, sum.last_ns);
}

static void settle(struct reset_judge *j, struct group *g, uint64_t now_ns)
{
	uint32_t n = collect(j, g, now_ns);

	mark_timer(j, g, n);
	settle_timer(j, g, n);
	settle_resets(j, g, n);
	g->is_dirty = false;
}

/* --- what the registry calls ----------------------------------------------------------------- */

int reset_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct reset_judge **ret_judge = state;
	struct reset_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	j->record_index = (struct tl_index){ j->record_first, j->record_next, GROUPS, RECORDS, 0 };
	j->quiet_index = (struct tl_index){ j->quiet_first, j->quiet_next, RECORDS, RECORDS, 0 };
	j->group_index = (struct tl_index){ j->group_first, j->group_next, GROUPS, GROUPS, 0 };
	*ret_judge = j;
	return 0;
}

void reset_judge__fini(void *state)
{
	struct reset_judge **judge_at = state;

	free(*judge_at);
}

static void observe_services(struct reset_judge *j, const struct tl_observation *o)
{
	struct reset_services list;

	memcpy(&list, o->data, sizeof(list));
	j->withheld += list.withheld;
	for (uint32_t i = 0; i < list.count && i < RESET_SERVICES_MAX; i++) {
		struct reset_history *h = history_get(j, &list.service[i].server);
		bool was_dirty = h->is_dirty;

		h->used_ns = o->ts_ns;
		reset_history__add(h, &list.service[i]);
		j->histories_dirty += h->is_dirty && !was_dirty;
	}
}

void reset_judge__observe(void *state, const struct tl_observation *observation)
{
	struct reset_judge *j = *(struct reset_judge **)state;

	if (observation->kind == RESET_OBSERVED_RST)
		observe_rst(j, observation);
	else if (observation->kind == RESET_OBSERVED_SERVICES)
		observe_services(j, observation);
}

/* An outage that goes on is looked at again at each tick: it may become sure by lasting. */
static void settle_histories(struct reset_judge *j, uint64_t now_ns)
{
	for (uint32_t i = 0; i < HISTORIES && j->histories_dirty; i++) {
		struct reset_history *h = &j->history[i];
		const struct reset_outage *newest;

		if (!tl_written__has(j->written, i) || !h->is_dirty)
			continue;
		newest = &h->outage[(h->outages - 1) % RESET_OUTAGES];
		tell_crash(j, h, now_ns);
		for (uint32_t g = 0; g < j->group_top; g++)
			if (j->group[g].used &&
			    !memcmp(j->group[g].key + TL_ENDPOINT_KEY + 1, h->server.ip, 16))
				touch(j, &j->group[g]);
		h->is_dirty = h->is_out && !reset_outage__is_sure(newest, now_ns);
		j->histories_dirty -= !h->is_dirty;
	}
}

static void settle_groups(struct reset_judge *j, uint64_t now_ns)
{
	for (uint32_t i = 0; i < j->group_top && j->groups_dirty; i++) {
		if (!j->group[i].used || !j->group[i].is_dirty)
			continue;
		settle(j, &j->group[i], now_ns);
		j->groups_dirty--;
	}
}

void reset_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct reset_judge *j = *(struct reset_judge **)state;

	(void)totals;
	settle_histories(j, now_ns);
	settle_groups(j, now_ns);
	/* The store settles their findings at this tick: what comes later is another one. */
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used && j->group[i].at_ns + TL_FINDING_QUIET_NS <= now_ns)
			group_drop(j, &j->group[i]);
}

void reset_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct reset_judge *j = *(struct reset_judge **)state;

	(void)totals;
	settle_histories(j, now_ns);
	/* Once more, with all that is known of the mirror by now. */
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used)
			touch(j, &j->group[i]);
	settle_groups(j, now_ns);
}
