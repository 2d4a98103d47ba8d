/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of latency.breakdown: requests of a second and more, in all, and where that went.
 *
 *	connect │ tls │ request │ server │            response
 *	                        ╰ server ╯ idle: server · shut window: client · the rest: network
 *
 * The network is blamed only with a reason besides the time itself: retransmissions, or segments
 *and ACKs that come much later than the path takes when it is quiet (RTT, or the sender's clock). A
 * large download at the rate that the link has is no fault.
 *
 * Groups are servers; more than APART of them with the same blame are one finding, which tells of
 * those that are hurt most.
 *
 * Invariants: a table of fixed size. Control thread only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/app.h"
#include "core/outage.h"
#include "core/text.h"

#define GROUPS	      512u
#define SLOW_NS	      1000000000ull
#define MS_NS	      1000000ull
#define LARGE_BYTES   (16ull << 20)
#define AT_ONCE_BYTES 14600u	   /* ten segments (RFC 6928) */
#define LATE_NS	      500000000ull /* in a queue: nobody plans for that */
#define LATE_SOME_NS  100000000ull
#define SLOW_RATE     (512ull << 10) /* bytes a second, below which some lateness is enough */
#define HELD_LEAST    16u
#define HELD_RATE     (128ull << 10) /* … below which full segments that come one by one are */
#define TAIL_NS	      100000000ull   /* beyond what a delayed ACK explains */
#define PROOFS	      TL_EVIDENCE_MAX

#define OFTEN	3u
#define LONG_NS 3000000000ull
#define APART	16u /* servers with a finding of their own */
#define SHOWN	5u  /* … that the filter of a finding of many is about */

enum blame { NOBODY, CLIENT, NETWORK, SERVER, BLAMES };

struct parts {
	uint64_t connect_ns, tls_ns, request_ns, server_ns, response_ns;
	uint64_t total_ns, client_ns, network_ns, idle_ns;
};

struct proof {
	uint64_t frame, ts_ns;
	const char *what;
};

struct group {
	bool used, sure, many_clients;
	uint8_t blame, protocol;
	struct tl_subject subject;
	uint64_t first_ns, last_ns, count;
	struct app_report worst;
	struct parts parts; /* of the worst */
	uint32_t proof_count;
	struct proof proof[PROOFS];
};

struct latency_judge {
	struct tl_analyzer_judge view;
	bool is_wide[BLAMES];  /* its groups are told together */
	uint64_t more[BLAMES]; /* requests of servers that found no room */
	uint32_t group_top;    /* groups from here on were never used */
	struct group group[GROUPS];
};

int latency_judge__create(const struct tl_analyzer_judge *view, struct latency_judge **ret_judge)
{
	struct latency_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void latency_judge__destroy(struct latency_judge *judge)
{
	free(judge);
}

static uint64_t span(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* --- whose time it was ---------------------------------------------------------------------------
 */

static struct parts parts_of(const struct app_report *r)
{
	const struct tl_exchange_turn *t = &r->turn;
	struct parts p = {
		.connect_ns = r->connect_ns,
		.tls_ns = r->tls_ns,
		.request_ns = span(t->request_first_ns, t->request_last_ns),
		.server_ns = r->wait_ns,
		.response_ns = span(t->response_first_ns, t->response_last_ns),
		.client_ns = t->window_ns,
		.idle_ns = t->idle_ns,
	};
	uint64_t wait = span(t->request_last_ns, t->response_first_ns);
	uint64_t base_ns = (uint64_t)r->rtt_us * 1000;

	/* The answer was whole when the client had its last byte, which the tap may be far from. */
	if (span(t->response_last_ns, t->acked_ns) > base_ns + TAIL_NS)
		p.response_ns = span(t->response_first_ns, t->acked_ns);
	p.total_ns = p.connect_ns + p.tls_ns + p.request_ns + wait + p.response_ns;
	p.network_ns = p.total_ns - p.server_ns;
	p.network_ns = span(p.client_ns + p.idle_ns, p.network_ns);
	/* What goes out at once, and took long, was said slowly: by people, or piece by piece. */
	if (t->request_bytes <= AT_ONCE_BYTES)
		p.network_ns = span(span(t->loss_ns, p.request_ns), p.network_ns);
	return p;
}

static uint64_t rate_of(const struct app_report *r, const struct parts *p)
{
	return p->response_ns ? r->turn.response_bytes * 1000000000ull / p->response_ns : 0;
}

/* A sender without timestamps that always had more to send, and something that let it out slowly.
 */
static bool is_held(const struct app_report *r, const struct parts *p)
{
	const struct tl_exchange_turn *t = &r->turn;

	return t->held >= HELD_LEAST && t->held * 4 >= t->full * 3 &&
	       t->held_ns * 2 >= p->network_ns && rate_of(r, p) < HELD_RATE;
}

/* Is there a reason to blame the network, besides that it took long? */
static bool network_is_ill(const struct app_report *r, const struct parts *p)
{
	const struct tl_exchange_turn *t = &r->turn;
	uint64_t base_ns = (uint64_t)r->rtt_us * 1000;
	uint64_t rtt_ns = span(base_ns, (uint64_t)t->rtt_max_us * 1000);
	uint64_t late_ns = (uint64_t)t->late_max_ms * MS_NS;

	if (rtt_ns > late_ns)
		late_ns = rtt_ns;
	if (t->loss_ns * 2 >= p->network_ns || p->connect_ns >= SLOW_NS)
		return true;
	if (t->response_bytes >= LARGE_BYTES)
		return false;
	if (late_ns >= LATE_NS && late_ns >= 2 * base_ns)
		return true;
	if (is_held(r, p))
		return true;
	return late_ns >= LATE_SOME_NS && late_ns >= 2 * base_ns && rate_of(r, p) < SLOW_RATE;
}

/* Its connection waited for a program that did not accept it: SYNs or the request were dropped. */
static bool server_was_full(const struct latency_judge *j, const struct tl_subject *subject,
			    const struct app_report *r, const struct parts *p)
{
	if (r->is_queued && r->turn.loss_ns * 2 >= p->total_ns)
		return true;
	return p->connect_ns * 2 >= p->total_ns &&
	       tl_outage__is_stuck(j->view.findings, &subject->server, r->first_ns,
				   r->turn.request_first_ns);
}

static enum blame blame_of(const struct app_report *r, const struct parts *p, bool is_slow)
{
	if (p->total_ns < SLOW_NS)
		return NOBODY;
	if (p->client_ns * 2 >= p->total_ns)
		return CLIENT;
	if ((p->server_ns + p->idle_ns) * 2 >= p->total_ns)
		return is_slow ? SERVER : NOBODY;
	if (p->network_ns * 2 >= p->total_ns && network_is_ill(r, p))
		return NETWORK;
	return NOBODY;
}

/* --- groups --------------------------------------------------------------------------------------
 */

static struct group *group_of(struct latency_judge *j, enum blame blame,
			      const struct tl_subject *subject, const struct app_report *r)
{
	struct group *free_one = NULL;

	for (uint32_t i = 0; i < GROUPS; i++) {
		struct group *g = &j->group[i];

		if (g->used && g->blame == blame &&
		    g->subject.server.port == subject->server.port &&
		    tl_endpoint__same_host(&g->subject.server, &subject->server))
			return g;
		if (!g->used && !free_one)
			free_one = g;
	}
	if (free_one && free_one >= j->group + j->group_top)
		j->group_top = (uint32_t)(free_one - j->group) + 1;
	if (free_one)
		*free_one = (struct group){
			.used = true,
			.blame = (uint8_t)blame,
			.protocol = r->protocol,
			.subject = *subject,
			.first_ns = r->first_ns,
		};
	return free_one;
}

static void prove(struct group *g, uint64_t frame, uint64_t ts_ns, const char *what)
{
	const uint32_t half = PROOFS / 2;

	if (!frame && !ts_ns)
		return;
	if (g->proof_count == PROOFS) {
		memmove(&g->proof[half], &g->proof[half + 1], (half - 1) * sizeof(g->proof[0]));
		g->proof_count--;
	}
	g->proof[g->proof_count++] = (struct proof){ frame, ts_ns, what };
}

static void prove_turn(struct group *g, const struct app_report *r)
{
	const struct tl_exchange_turn *t = &r->turn;

	if (r->first_ns < t->request_first_ns)
		prove(g, r->first_frame, r->first_ns, r->connect_ns ? "SYN" : "client_hello");
	prove(g, t->request_last_frame, t->request_last_ns, "end of the request");
	prove(g, t->response_frame, t->response_first_ns, "first byte of the answer");
	prove(g, t->response_last_frame, t->response_last_ns, "last byte of the answer");
}

/* --- words ---------------------------------------------------------------------------------------
 */

static void write_network(const struct group *g, struct tl_finding *f)
{
	const struct tl_exchange_turn *t = &g->worst.turn;

	if (t->loss_ns * 2 >= g->parts.network_ns && t->loss_ns)
		tl_finding__cause(f,
				  "packets were lost and sent again (%u): the answer waited for "
				  "them %llu ms",
				  t->retransmissions, (unsigned long long)(t->loss_ns / MS_NS));
	else if (g->parts.connect_ns >= SLOW_NS)
		tl_finding__cause(f, "the connection came about late: SYN or SYN-ACK were lost");
	else if (is_held(&g->worst, &g->parts))
		tl_finding__cause(f,
				  "full segments came one by one, %llu KiB in a second, though the "
				  "server had more to send: a full queue, a rate limit or a low "
				  "priority (QoS) on the path",
				  (unsigned long long)(rate_of(&g->worst, &g->parts) >> 10));
	else
		tl_finding__cause(f,
				  "the answer was sent soon but was long on its way: a full queue, "
				  "a rate limit or a low priority (QoS) on the path; segments came "
				  "up to %u ms late, ACKs took up to %u ms",
				  t->late_max_ms, t->rtt_max_us / 1000);
	tl_finding__next(f, "look at the queues, rate limits and QoS classes on the way from the "
			    "server to the client");
}

static void write_words(const struct group *g, struct tl_finding *f)
{
	static const char *const whose[] = { "nobody", "client", "network", "server" };
	const struct parts *p = &g->parts;
	char server[TL_TEXT_ENDPOINT], total[TL_TEXT_SPAN];

	tl_finding__summary(f,
			    "a request to %s%s%s took %s: connect %llu ms, tls %llu ms, request "
			    "%llu ms, server %llu ms, response %llu ms; the %s is to blame",
			    tl_text__endpoint(&g->subject.server, server),
			    *g->worst.label ? ", " : "", g->worst.label,
			    tl_text__span(p->total_ns, total),
			    (unsigned long long)(p->connect_ns / MS_NS),
			    (unsigned long long)(p->tls_ns / MS_NS),
			    (unsigned long long)(p->request_ns / MS_NS),
			    (unsigned long long)(p->server_ns / MS_NS),
			    (unsigned long long)(p->response_ns / MS_NS), whose[g->blame]);
	if (g->blame == NETWORK) {
		write_network(g, f);
	} else if (g->blame == CLIENT) {
		tl_finding__cause(f,
				  "the client's receive window was shut: its program does not read "
				  "as fast as the answer comes");
		tl_finding__next(f, "look at what the client does with the answer while it comes");
	} else {
		tl_finding__cause(f, "the server had the request and was late with the answer, or "
				     "paused in it");
		tl_finding__next(f, "look at the server's log and load: what did it wait for?");
	}
	tl_finding__detail_u64(f, "connect_ms", p->connect_ns / MS_NS);
	tl_finding__detail_u64(f, "tls_ms", p->tls_ns / MS_NS);
	tl_finding__detail_u64(f, "request_ms", p->request_ns / MS_NS);
	tl_finding__detail_u64(f, "server_ms", p->server_ns / MS_NS);
	tl_finding__detail_u64(f, "response_ms", p->response_ns / MS_NS);
	tl_finding__detail_u64(f, "total_ms", p->total_ns / MS_NS);
	tl_finding__detail_string(f, "blame", whose[g->blame]);
	tl_finding__detail_string(f, "protocol", app_protocol__name(g->protocol));
	tl_finding__detail_u64(f, "response_bytes", g->worst.turn.response_bytes);
	tl_finding__detail_u64(f, "window_ms", p->client_ns / MS_NS);
	tl_finding__detail_u64(f, "retransmission_ms", g->worst.turn.loss_ns / MS_NS);
	tl_finding__detail_u64(f, "transit_ms", g->worst.turn.transit_ns / MS_NS);
	tl_finding__detail_u64(f, "idle_ms", p->idle_ns / MS_NS);
	tl_finding__detail_u64(f, "flows", g->count);
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
		tl_finding__filter(f, "%s%s%s && tcp.port==%u && (tcp.len>0 || tcp.flags.syn==1)",
				   g->many_clients ? "" : client, g->many_clients ? "" : " && ",
				   server, g->subject.server.port);
}

/* A SYN or a segment that was lost once or twice, and sent again: that is how TCP works. */
static bool is_rare(const struct group *g)
{
	return g->count < OFTEN && g->parts.total_ns < LONG_NS &&
	       (g->parts.connect_ns >= SLOW_NS || g->worst.turn.loss_ns * 2 >= g->parts.network_ns);
}

static struct tl_finding *begin(struct latency_judge *j, const struct group *g,
				const struct tl_endpoint *server)
{
	uint8_t key[TL_ENDPOINT_KEY + 1];
	struct tl_finding *f;
	bool is_new;

	tl_endpoint__key(server, key);
	key[TL_ENDPOINT_KEY] = g->blame;
	f = tl_findings__begin(j->view.findings, "latency.breakdown", key, sizeof(key), &is_new);
	f->evidence_count = f->counter_evidence_count = f->detail_count = 0;
	return f;
}

/* All but what tells one server from many. */
static void write(const struct latency_judge *j, const struct group *g, struct tl_finding *f)
{
	uint64_t drops = tl_facts__capture_drops(j->view.facts);

	/* app.slow warns of a server, tcp.zero_window of a client that lets its window be shut. */
	f->severity = g->blame == NETWORK && !is_rare(g) ? TL_WARNING : TL_INFO;
	f->confidence = g->blame == NETWORK && is_held(&g->worst, &g->parts) ? 0.65 : 0.85;
	f->first_ns = g->first_ns;
	f->last_ns = g->last_ns;
	f->count = g->count;
	f->subject = g->subject;
	write_words(g, f);
	if (drops) {
		f->confidence -= 0.15;
		tl_finding__counter_evidence(f, 0, g->last_ns, "the capture lost %llu packets",
					     (unsigned long long)drops);
	}
	for (uint32_t i = 0; i < g->proof_count; i++)
		tl_finding__evidence(f, g->proof[i].frame, g->proof[i].ts_ns, "%s",
				     g->proof[i].what);
}

/* --- many servers --------------------------------------------------------------------------------
 */

struct many {
	struct group sum; /* the worst, with the counts of all */
	uint32_t servers;
	uint32_t shown;
	const struct group *most[SHOWN]; /* by requests; the worst is the first */
};

static void show(struct many *m, const struct group *g)
{
	uint32_t at = m->shown;

	if (m->shown < SHOWN)
		m->shown++;
	else if (m->most[--at]->count >= g->count)
		return;
	for (; at > 1 && m->most[at - 1]->count < g->count; at--)
		m->most[at] = m->most[at - 1];
	m->most[at] = g;
}

static struct many sum_up(const struct latency_judge *j, uint8_t blame)
{
	const struct group *worst = NULL;
	struct many m = { 0 };

	for (uint32_t i = 0; i < GROUPS; i++) {
		const struct group *g = &j->group[i];

		if (g->used && g->blame == blame &&
		    (!worst || g->parts.total_ns > worst->parts.total_ns))
			worst = g;
	}
	if (!worst)
		return m;
	m.sum = *worst;
	m.sum.count = j->more[blame];
	m.most[m.shown++] = worst;
	for (uint32_t i = 0; i < GROUPS; i++) {
		const struct group *g = &j->group[i];

		if (!g->used || g->blame != blame)
			continue;
		m.servers++;
		m.sum.count += g->count;
		m.sum.first_ns = g->first_ns < m.sum.first_ns ? g->first_ns : m.sum.first_ns;
		m.sum.last_ns = g->last_ns > m.sum.last_ns ? g->last_ns : m.sum.last_ns;
		m.sum.many_clients |=
			g->many_clients ||
			!tl_endpoint__same_host(&g->subject.client, &worst->subject.client);
		if (g != worst)
			show(&m, g);
	}
	return m;
}

static void tell_many(struct latency_judge *j, uint8_t blame)
{
	static const struct tl_endpoint nobody;
	struct many m = sum_up(j, blame);
	char text[sizeof(((struct tl_finding *)NULL)->summary)], filter[SHOWN * 96];
	char server[TL_TEXT_FILTER];
	struct tl_finding *f;
	size_t at = 0;

	if (!m.shown)
		return;
	f = begin(j, &m.sum, &nobody);
	write(j, &m.sum, f);
	snprintf(text, sizeof(text), "%s", f->summary);
	tl_finding__summary(f, "%llu requests to %s%u servers took long, the longest: %s",
			    (unsigned long long)m.sum.count, j->more[blame] ? "more than " : "",
			    m.servers, text);
	tl_finding__detail_u64(f, "servers", m.servers);
	f->subject.server = nobody;
	if (m.sum.many_clients)
		f->subject.client = nobody;
	f->subject.client.port = 0;
	for (uint32_t i = 0; i < m.shown && at < sizeof(filter); i++)
		at += (size_t)snprintf(filter + at, sizeof(filter) - at, "%s(%s && tcp.port==%u)",
				       i ? " || " : "",
				       tl_text__ip_filter(&m.most[i]->subject.server, server),
				       m.most[i]->subject.server.port);
	tl_finding__filter(f, "%s", filter);
	tl_findings__commit(j->view.findings, f, m.sum.last_ns);
}

/* From now on they are one finding. */
static void widen(struct latency_judge *j, uint8_t blame)
{
	j->is_wide[blame] = true;
	for (uint32_t i = 0; i < GROUPS; i++) {
		struct group *g = &j->group[i];

		if (g->used && g->blame == blame)
			tl_findings__retract(j->view.findings, begin(j, g, &g->subject.server));
	}
}

static void tell(struct latency_judge *j, struct group *g)
{
	struct tl_finding *f;
	uint32_t servers = 0;

	for (uint32_t i = 0; i < GROUPS && !j->is_wide[g->blame]; i++)
		servers += j->group[i].used && j->group[i].blame == g->blame;
	if (servers > APART)
		widen(j, g->blame);
	if (j->is_wide[g->blame]) {
		tell_many(j, g->blame);
		return;
	}
	f = begin(j, g, &g->subject.server);
	write(j, g, f);
	write_filter(g, f);
	tl_findings__commit(j->view.findings, f, g->last_ns);
}

void latency_judge__observe(struct latency_judge *judge, const struct tl_subject *subject,
			    const struct app_report *report, bool is_slow)
{
	struct parts parts = parts_of(report);
	struct group *g;
	enum blame blame;

	if (report->outcome != APP_ANSWERED)
		return;
	blame = blame_of(report, &parts, is_slow);
	if (blame == NETWORK && server_was_full(judge, subject, report, &parts))
		blame = SERVER;
	g = blame ? group_of(judge, blame, subject, report) : NULL;
	if (!g) {
		judge->more[blame] += blame != NOBODY;
		return;
	}
	g->count++;
	g->many_clients |= !tl_endpoint__same_host(&g->subject.client, &subject->client);
	if (report->first_ns < g->first_ns)
		g->first_ns = report->first_ns;
	if (report->turn.response_last_ns > g->last_ns)
		g->last_ns = report->turn.response_last_ns;
	if (parts.total_ns > g->parts.total_ns) {
		g->parts = parts;
		g->worst = *report;
	}
	prove_turn(g, report);
	tell(judge, g);
}

/* The last word of those that are one finding: they go together. */
static void settle_many(struct latency_judge *j, uint8_t blame, uint64_t now_ns, bool all)
{
	uint64_t last_ns = sum_up(j, blame).sum.last_ns;

	if (!all && last_ns + TL_FINDING_QUIET_NS > now_ns)
		return;
	tell_many(j, blame);
	for (uint32_t i = 0; i < GROUPS; i++)
		if (j->group[i].blame == blame)
			j->group[i].used = false;
	j->is_wide[blame] = false;
	j->more[blame] = 0;
}

void latency_judge__tell(struct latency_judge *judge, uint64_t now_ns, bool all)
{
	for (uint8_t blame = NOBODY; blame < BLAMES; blame++)
		if (judge->is_wide[blame])
			settle_many(judge, blame, now_ns, all);
	for (uint32_t i = 0; i < judge->group_top; i++) {
		struct group *g = &judge->group[i];

		if (!g->used || judge->is_wide[g->blame] ||
		    (!all && g->last_ns + TL_FINDING_QUIET_NS > now_ns))
			continue;
		tell(judge, g);
		g->used = false;
	}
}
