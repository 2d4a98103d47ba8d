/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of app.no_response and app.slow. It learns how long the answers to one thing usually
 *take (a URI of a server, a kind of statement, or a port of an unknown protocol) and groups what
 *took far longer, or was never answered, by server.
 *
 *	report ─► norm of its key (median) ─► max(1 s, 10 × median)? ─► group (kind, server,
 *protocol)
 *
 * What may rightly take long is told from what may not by learning: a thing that always takes long
 * is, at most, worth knowing. Of unknown protocols nothing is said before APP_LEARNED answers, and
 * nothing at all when their clients often get none.
 *
 * Who waits at this moment is told as well (struct pending): it counts as long as it waits, and is
 * taken back with the answer, which app.slow may then tell.
 *
 * Invariants: tables of fixed size; the oldest norm goes when there is no room. Control thread
 *only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/app.h"
#include "core/outage.h"
#include "core/text.h"
#include "core/written.h"

#define NORMS	     8192u /* a power of two */
#define PROBES	     8u
#define GROUPS	     512u
#define PENDING	     1024u
#define LEARNED	     20u /* answers, before an unknown protocol is judged */
#define KNOWN	     3u	 /* answers, that make a median */
#define SLOW_NS	     1000000000ull
#define MANY_CUTS    10u
#define CUT_KNOWN_NS 3000000000ull /* tcp.reset is told when the flow is over */
#define HANG_NS	     5000000000ull /* of an unknown protocol: a silence in which somebody gave up */
#define SMALL_BYTES  16384u	   /* … after what has the size of a request */
#define PATIENCE_NS  3000000000ull /* … before it is told while it lasts: it may just be slow */
#define FACTOR	     10u
#define PROOFS	     TL_EVIDENCE_MAX
#define MS_NS	     1000000ull

enum kind { NO_RESPONSE, SLOW };

struct proof {
	uint64_t frame, ts_ns;
	uint8_t what; /* 0 request, 1 answer, 2 end */
	uint8_t outcome;
};

struct group {
	bool used;
	uint8_t kind, protocol;
	struct tl_endpoint server;
	struct tl_subject subject; /* of the first */
	bool many_clients;
	uint64_t first_ns, last_ns;
	uint64_t first_end_ns;
	bool is_held, in_outage; /* as in struct connect_group */
	uint64_t count;
	uint32_t pending; /* beside these */
	uint64_t known;	  /* of those, with a median to hold against */
	uint64_t closed;  /* … that the server closed, without a word */
	uint64_t cut;	  /* … or ended by a RST */
	struct app_report worst;
	uint64_t worst_median_ns;
	uint32_t proof_count;
	struct proof proof[PROOFS];
};

/* A request that waits for its answer, and for too long. */
struct pending {
	struct group *group; /* NULL: free */
	struct tl_subject subject;
	struct app_report report;
};

struct app_judge {
	struct tl_analyzer_judge view;
	uint64_t now_ns;
	bool at_end;
	uint64_t written[TL_WRITTEN_WORDS(NORMS)]; /* of norms */
	struct app_norm norm[NORMS];
	uint32_t group_top;	/* groups from here on were never used */
	uint64_t seen_findings; /* their version at the last tick */
	struct group group[GROUPS];
	uint32_t pending_used; /* places ever taken */
	struct pending pending[PENDING];
};

const char *app_protocol__name(uint8_t protocol)
{
	static const char *const names[APP_PROTOCOLS] = { "tcp", "http", "mysql", "postgresql",
							  "tls" };

	return protocol < APP_PROTOCOLS ? names[protocol] : "tcp";
}

int app_judge__create(const struct tl_analyzer_judge *view, struct app_judge **ret_judge)
{
	struct app_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void app_judge__destroy(struct app_judge *judge)
{
	free(judge);
}

_Static_assert(APP_PROTOCOLS == TL_OUTAGE_PROTOCOLS, "all that may be stuck are looked for");

/* --- norms ---------------------------------------------------------------------------------------
 */

static uint32_t step_of(uint64_t ns)
{
	uint64_t us = ns / 1000 / 16; /* four steps of an octave below the first one that counts */
	uint32_t octave, step;

	if (us < 4)
		return 0;
	octave = 63u - (uint32_t)__builtin_clzll(us);
	step = (octave - 2) * 4 + (uint32_t)(us >> (octave - 2) & 3);
	return step < APP_STEPS ? step : APP_STEPS - 1;
}

/* The upper end of a step. */
static uint64_t step_ns(uint32_t step)
{
	return ((uint64_t)(4 + step % 4 + 1) << step / 4) * 16 * 1000;
}

static struct app_norm *norm_of(struct app_judge *j, uint64_t key)
{
	struct app_norm *least = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		const uint32_t place = (uint32_t)(key + i) & (NORMS - 1);
		struct app_norm *n = &j->norm[place];

		if (!tl_written__has(j->written, place)) {
			tl_written__add(j->written, place);
			least = n;
			break;
		}
		if (n->key == key)
			return n;
		if (!least || n->count + n->unanswered < least->count + least->unanswered)
			least = n;
	}
	*least = (struct app_norm){ .key = key };
	return least;
}

static void norm_add(struct app_norm *n, uint64_t wait_ns)
{
	uint16_t *step = &n->step[step_of(wait_ns)];

	n->count++;
	if (++*step < UINT16_MAX)
		return;
	n->count = 0;
	for (uint32_t i = 0; i < APP_STEPS; i++)
		n->count += n->step[i] /= 2;
}

/* 0: not known. */
static uint64_t median_of(const struct app_norm *n)
{
	uint32_t seen = 0;

	for (uint32_t i = 0; i < APP_STEPS && n->count >= KNOWN; i++) {
		seen += n->step[i];
		if (seen * 2 > n->count)
			return step_ns(i);
	}
	return 0;
}

/* --- groups --------------------------------------------------------------------------------------
 */

struct key {
	uint8_t bytes[TL_ENDPOINT_KEY + 1];
};

static struct key key_of(const struct group *g)
{
	struct key key;

	tl_endpoint__key(&g->server, key.bytes);
	key.bytes[TL_ENDPOINT_KEY] = g->protocol;
	return key;
}

static bool is_about(const struct group *g, const struct tl_subject *s, const struct app_report *r)
{
	return g->used && g->protocol == r->protocol && g->server.port == s->server.port &&
	       tl_endpoint__same_host(&g->server, &s->server);
}

/* NULL: no room; then the many that are told of already must do. */
static struct group *group_of(struct app_judge *j, enum kind kind, const struct tl_subject *subject,
			      const struct app_report *r)
{
	struct group *free_one = NULL;

	for (uint32_t i = 0; i <= j->group_top && i < GROUPS; i++) {
		struct group *g = &j->group[i];

		if (g->kind == kind && is_about(g, subject, r))
			return g;
		if (!g->used && !free_one)
			free_one = g;
	}
	if (!free_one)
		return NULL;
	*free_one = (struct group){
		.used = true,
		.kind = (uint8_t)kind,
		.protocol = r->protocol,
		.server = subject->server,
	};
	if (free_one == &j->group[j->group_top])
		j->group_top++;
	return free_one;
}

static void prove(struct group *g, struct proof proof)
{
	const uint32_t half = PROOFS / 2;

	if (g->proof_count == PROOFS) {
		memmove(&g->proof[half], &g->proof[half + 1], (half - 1) * sizeof(g->proof[0]));
		g->proof_count--;
	}
	g->proof[g->proof_count++] = proof;
}

static void add(struct app_judge *j, struct group *g, const struct tl_subject *subject,
		const struct app_report *r)
{
	const struct tl_exchange_turn *t = &r->turn;
	uint64_t median = median_of(norm_of(j, r->key));
	uint64_t last = t->response_last_ns ? t->response_last_ns : r->end_ns;

	if (!g->count++) {
		g->subject = *subject;
		g->first_ns = t->request_first_ns;
	}
	g->known += median != 0;
	g->closed += r->outcome == APP_SERVER_CLOSED;
	g->cut += r->outcome == APP_SERVER_CUT;
	g->many_clients |= !tl_endpoint__same_host(&g->subject.client, &subject->client);
	if (t->request_first_ns < g->first_ns)
		g->first_ns = t->request_first_ns;
	if (last > g->last_ns)
		g->last_ns = last;
	if (!g->first_end_ns || last < g->first_end_ns)
		g->first_end_ns = last;
	if (g->count == 1 || r->wait_ns > g->worst.wait_ns) {
		g->worst = *r;
		g->worst_median_ns = median;
	}
	prove(g, (struct proof){ t->request_last_frame, t->request_last_ns, 0, r->outcome });
	if (t->response_first_ns)
		prove(g, (struct proof){ t->response_frame, t->response_first_ns, 1, r->outcome });
	else if (r->end_frame)
		prove(g, (struct proof){ r->end_frame, r->end_ns, 2, r->outcome });
}

/* --- words ---------------------------------------------------------------------------------------
 */

static void write_evidence(const struct group *g, struct tl_finding *f)
{
	for (uint32_t i = 0; i < g->proof_count; i++) {
		const struct proof *p = &g->proof[i];
		const char *what = p->what == 0			     ? "end of the request"
				   : p->what == 1		     ? "first byte of the answer"
				   : p->outcome == APP_SERVER_CLOSED ? "the server closes"
				   : p->outcome == APP_SERVER_CUT    ? "the server resets"
								     : "the client gives up";

		tl_finding__evidence(f, p->frame, p->ts_ns, "%s", what);
	}
}

static void write_filter(const struct group *g, struct tl_finding *f)
{
	char client[TL_TEXT_FILTER], server[TL_TEXT_FILTER];

	tl_text__ip_filter(&g->subject.client, client);
	tl_text__ip_filter(&g->subject.server, server);
	if (g->count == 1)
		tl_finding__filter(f, "%s && %s && tcp.port==%u && tcp.port==%u", client, server,
				   g->subject.client.port, g->subject.server.port);
	else
		tl_finding__filter(f,
				   "%s%s%s && tcp.port==%u && (tcp.len>0 || tcp.flags.fin==1 || "
				   "tcp.flags.reset==1)",
				   g->many_clients ? "" : client, g->many_clients ? "" : " && ",
				   server, g->subject.server.port);
}

static void write_details(const struct group *g, struct tl_finding *f)
{
	tl_finding__detail_string(f, "protocol", app_protocol__name(g->protocol));
	tl_finding__detail_u64(f, "waited_ms", g->worst.wait_ns / MS_NS);
	if (g->worst_median_ns)
		tl_finding__detail_u64(f, "median_ms", g->worst_median_ns / MS_NS);
	else
		tl_finding__detail_null(f, "median_ms");
	if (*g->worst.label)
		tl_finding__detail_string(f, "request", g->worst.label);
	tl_finding__detail_u64(f, "flows", g->count);
}

static void write_slow(const struct group *g, struct tl_finding *f)
{
	char server[TL_TEXT_ENDPOINT], waited[TL_TEXT_SPAN], usual[TL_TEXT_SPAN + 24] = "";
	char median[TL_TEXT_SPAN];

	if (g->worst_median_ns)
		snprintf(usual, sizeof(usual), ", usually %s",
			 tl_text__span(g->worst_median_ns, median));
	tl_finding__summary(f, "%s took %s to answer %s%s%s (%s%s)",
			    tl_text__endpoint(&g->subject.server, server),
			    tl_text__span(g->worst.wait_ns, waited),
			    g->count == 1 ? "a request" : "requests, at worst",
			    *g->worst.label ? ": " : "", g->worst.label,
			    app_protocol__name(g->protocol), usual);
	tl_finding__cause(f, "the request was received; the program behind the port, or something "
			     "that it waits for (a lock, a database, another service), is slow");
	tl_finding__next(f, "look at the server's log and load at that time: what did it wait for? "
			    "(the network is not to blame)");
}

/* curl says "empty reply from server". */
static void write_closed(const struct group *g, struct tl_finding *f)
{
	char server[TL_TEXT_ENDPOINT], waited[TL_TEXT_SPAN];

	tl_finding__summary(
		f,
		"%s took %llu request%s and closed the connection without an answer%s%s (%s, after "
		"%s)",
		tl_text__endpoint(&g->subject.server, server), (unsigned long long)g->count,
		tl_text__plural(g->count), *g->worst.label ? ": " : "", g->worst.label,
		app_protocol__name(g->protocol), tl_text__span(g->worst.wait_ns, waited));
	tl_finding__cause(
		f, "the program behind the port has the request and gives up on it: it fails "
		   "on it, its worker process died, or a proxy there has no backend");
	tl_finding__next(f,
			 "look at the log of the program behind the port at that time; the network "
			 "delivered the request");
}

static void write_no_response(const struct group *g, struct tl_finding *f)
{
	char server[TL_TEXT_ENDPOINT], waited[TL_TEXT_SPAN];

	tl_finding__summary(
		f, "%s received %llu request%s and did not answer%s%s (%s, waited %s)",
		tl_text__endpoint(&g->subject.server, server), (unsigned long long)g->count,
		tl_text__plural(g->count), *g->worst.label ? ": " : "", g->worst.label,
		app_protocol__name(g->protocol), tl_text__span(g->worst.wait_ns, waited));
	tl_finding__cause(f,
			  "the request was ACKed by the server's host, but the program behind the "
			  "port hangs, is overloaded, or waits for something else");
	tl_finding__next(f, "look at the program behind the port: its threads, its locks, what it "
			    "waits for; the network delivered the request");
}

/* Slow answers of an unknown protocol before they are more than a message that was waited for. */
#define OFTEN 3

static void weigh(const struct app_judge *j, const struct group *g, struct tl_finding *f)
{
	uint64_t drops = tl_facts__capture_drops(j->view.facts);

	f->severity = g->kind == NO_RESPONSE && g->worst.outcome != APP_STILL_WAITING ? TL_ERROR
										      : TL_WARNING;
	f->confidence = g->known ? 0.9 : 0.7;
	if (g->worst.outcome == APP_STILL_WAITING) {
		f->confidence -= 0.1;
		tl_finding__counter_evidence(f, 0, g->last_ns,
					     g->worst.is_interim
						     ? "the client still waits"
						     : "the capture ended while the client waited");
	}
	if (g->protocol == APP_TLS || g->protocol == APP_TCP) {
		bool often = g->kind == NO_RESPONSE || g->count >= OFTEN;

		f->severity = g->protocol == APP_TCP && g->known && often ? TL_WARNING : TL_INFO;
		f->confidence -= 0.2;
		tl_finding__counter_evidence(
			f, 0, g->last_ns, "what was asked for is not known: it may rightly wait");
	}
	if (drops) {
		f->confidence -= 0.15;
		tl_finding__counter_evidence(f, 0, g->last_ns, "the capture lost %llu packets",
					     (unsigned long long)drops);
	}
}

static void word(struct app_judge *j, const struct group *g, struct tl_finding *f)
{
	uint64_t median = median_of(norm_of(j, g->worst.key));

	f->first_ns = g->first_ns;
	f->last_ns = g->last_ns;
	f->count = g->count;
	f->subject = g->subject;
	f->evidence_count = f->counter_evidence_count = f->detail_count = 0;
	if (g->kind == SLOW)
		write_slow(g, f);
	else if (g->closed == g->count)
		write_closed(g, f);
	else
		write_no_response(g, f);
	write_details(g, f);
	weigh(j, g, f);
	/* It took long the first times, and has done so ever since: perhaps that is its nature. */
	if (!g->known && median * FACTOR > g->worst.wait_ns) {
		f->severity = TL_INFO;
		tl_finding__counter_evidence(f, 0, g->last_ns, "it always takes about as long");
	}
	if (g->in_outage) {
		f->severity = TL_INFO;
		tl_finding__counter_evidence(
			f, 0, g->last_ns,
			"tcp.reset, tcp.idle_timeout or service.crash tells why: it was cut");
	}
	write_evidence(g, f);
	write_filter(g, f);
}

/* Does a finding say that this server's connections were cut then, all of them in one way? */
static bool says_cut(const struct tl_finding *f, const struct group *g)
{
	/* Of so many cuts that of a few may not have been shown. */
	return f->severity >= TL_WARNING && f->subject.server.port == g->server.port &&
	       f->count >= (g->cut == g->count ? g->count : MANY_CUTS * g->count) &&
	       tl_endpoint__same_host(&f->subject.server, &g->server) &&
	       f->first_ns <= g->last_ns && f->last_ns >= g->first_end_ns &&
	       (!strcmp(f->kind, "tcp.reset") || !strcmp(f->kind, "tcp.idle_timeout"));
}

/*
 * One cause, one finding: requests had no answer because the service went down, or because the
 * server cut them off.
 */
static bool is_in_outage(const struct app_judge *j, const struct group *g)
{
	const struct tl_finding *f = NULL;

	if (g->kind != NO_RESPONSE || !g->count || g->pending)
		return false;
	if (tl_outage__explains(j->view.findings, &g->server, g->first_end_ns, g->last_ns))
		return true;
	while ((f = tl_findings__next_of(j->view.findings, TL_FINDING_SERVER, &g->server, f)))
		if (says_cut(f, g))
			return true;
	return false;
}

/* What a server closed it may have closed because it ended: that is known a moment later. */
static bool is_held(const struct app_judge *j, const struct group *g)
{
	return g->kind == NO_RESPONSE && !g->pending && !j->at_end &&
	       (g->worst.outcome == APP_SERVER_CLOSED || g->worst.outcome == APP_SERVER_CUT) &&
	       j->now_ns <
		       g->first_end_ns + (g->cut == g->count ? CUT_KNOWN_NS : TL_OUTAGE_KNOWN_NS);
}

/* What is over, and those that wait. */
static void tell(struct app_judge *j, struct group *g)
{
	const char *kind = g->kind == SLOW ? "app.slow" : "app.no_response";
	struct key key = key_of(g);
	struct group sum = *g;
	struct tl_finding *f;
	bool is_new;

	for (uint32_t i = 0; i < j->pending_used && g->pending; i++)
		if (j->pending[i].group == g)
			add(j, &sum, &j->pending[i].subject, &j->pending[i].report);
	g->is_held = sum.count && is_held(j, g);
	if (g->is_held)
		return;
	sum.in_outage = g->in_outage = is_in_outage(j, g);
	f = tl_findings__begin(j->view.findings, kind, &key, sizeof(key), &is_new);
	if (!sum.count) {
		tl_findings__retract(j->view.findings, f);
		g->used = false;
		return;
	}
	word(j, &sum, f);
	tl_findings__commit(j->view.findings, f, sum.last_ns);
}

/* --- reports -------------------------------------------------------------------------------------
 */

/*
 * Of a protocol that was not learned: something small was sent at once on a new connection, the
 * server never said a word, and the client gave up after a while. Some protocols only send.
 */
static bool looks_hung(const struct app_report *r)
{
	const struct tl_exchange_turn *t = &r->turn;

	return r->is_first && r->outcome == APP_CLIENT_GAVE_UP && r->wait_ns >= HANG_NS &&
	       t->request_bytes <= SMALL_BYTES &&
	       t->request_last_ns - t->request_first_ns < SLOW_NS;
}

static bool takes_long(const struct app_report *r, const struct app_norm *n)
{
	uint64_t median = median_of(n);
	uint64_t limit = FACTOR * median > SLOW_NS ? FACTOR * median : SLOW_NS;

	bool is_known = r->protocol != APP_TCP && r->protocol != APP_TLS;

	/* It has the request (an ACK says so) and closes: there will be no answer. */
	if (r->outcome == APP_SERVER_CLOSED && is_known)
		return true;
	if (r->wait_ns < limit || r->is_push)
		return false;
	if (r->protocol == APP_TCP && n->count < LEARNED)
		return looks_hung(r);
	if (!is_known)
		return n->count >= LEARNED && n->unanswered * 20 < n->count;
	return true;
}

static struct pending *find_pending(struct app_judge *j, const struct tl_subject *s,
				    const struct app_report *r)
{
	for (uint32_t i = 0; i < j->pending_used; i++) {
		struct pending *p = &j->pending[i];

		if (p->group && p->report.turn.request_first_ns == r->turn.request_first_ns &&
		    p->report.key == r->key && p->subject.client.port == s->client.port &&
		    tl_endpoint__same_host(&p->subject.client, &s->client))
			return p;
	}
	return NULL;
}

static struct pending *free_pending(struct app_judge *j)
{
	for (uint32_t i = 0; i < j->pending_used; i++)
		if (!j->pending[i].group)
			return &j->pending[i];
	return j->pending_used < PENDING ? &j->pending[j->pending_used++] : NULL;
}

/* The wait is over, or nothing to tell of. */
static void drop_pending(struct app_judge *j, struct pending *p)
{
	struct group *g = p->group;

	p->group = NULL;
	g->pending--;
	tell(j, g);
}

static void observe_wait(struct app_judge *j, const struct tl_subject *subject,
			 const struct app_report *r)
{
	struct app_norm *n = norm_of(j, r->key);
	struct pending *p = find_pending(j, subject, r);
	bool is_long =
		r->outcome == APP_STILL_WAITING && takes_long(r, n) && r->wait_ns >= PATIENCE_NS;

	if (!is_long) {
		if (p)
			drop_pending(j, p);
		return;
	}
	if (!p) {
		struct group *g = group_of(j, NO_RESPONSE, subject, r);

		p = g ? free_pending(j) : NULL;
		if (!p)
			return;
		p->group = g;
		g->pending++;
	}
	p->subject = *subject;
	p->report = *r;
	tell(j, p->group);
}

bool app_judge__observe(struct app_judge *judge, const struct tl_subject *subject,
			const struct app_report *report)
{
	struct app_norm *n = norm_of(judge, report->key);
	enum kind kind = report->outcome == APP_ANSWERED ? SLOW : NO_RESPONSE;
	struct group *g;
	bool is_long;

	if (report->is_interim) {
		observe_wait(judge, subject, report);
		return false;
	}
	is_long = takes_long(report, n);
	g = is_long ? group_of(judge, kind, subject, report) : NULL;
	if (g) {
		add(judge, g, subject, report);
		tell(judge, g);
	}
	if (report->outcome == APP_ANSWERED)
		norm_add(n, report->wait_ns);
	else if (n->unanswered < UINT32_MAX / 32)
		n->unanswered++;
	return is_long;
}

void app_judge__tell(struct app_judge *judge, uint64_t now_ns, bool all)
{
	const bool are_findings_new =
		tl_findings__version(judge->view.findings) != judge->seen_findings;

	judge->seen_findings = tl_findings__version(judge->view.findings);
	judge->now_ns = now_ns;
	judge->at_end = all;
	/* Of whom no more was heard. */
	for (uint32_t i = 0; i < judge->pending_used && all; i++)
		if (judge->pending[i].group)
			drop_pending(judge, &judge->pending[i]);
	for (uint32_t i = 0; i < judge->group_top; i++) {
		struct group *g = &judge->group[i];

		if (g->used &&
		    (g->is_held || (are_findings_new && is_in_outage(judge, g) != g->in_outage)))
			tell(judge, g);
		if (!g->used || g->pending || (!all && g->last_ns + TL_FINDING_QUIET_NS > now_ns))
			continue;
		tell(judge, g);
		g->used = false;
	}
}
