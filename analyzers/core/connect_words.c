/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words the findings of connect.*: from a group's sums to summary, cause, advice, filter, weight.
 * Pure functions of the group and the facts, so that a finding can be written anew at any time.
 */
#include <stdio.h>
#include <string.h>

#include "core/connect.h"
#include "core/text.h"

/* All that the sentences are made of, as text. */
#define FLOOD_CLIENTS 32u /* that never ACK: their addresses may be forged */

struct words {
	const struct connect_group *g;
	const struct tl_judge_facts *facts;
	char client[TL_TEXT_IP];
	char who[TL_TEXT_IP + 16]; /* the client, or "3 clients" */
	char server[TL_TEXT_IP];
	char target[TL_TEXT_ENDPOINT + 24];
	char waited[TL_TEXT_SPAN];
	char period[TL_TEXT_SPAN]; /* first to last packet of the group */
	char reporter[TL_TEXT_IP];
};

/* What tried() writes at most: the three texts, two numbers of 20 digits and the words between. */
#define TRIED_BYTES                                                                                \
	(sizeof(((struct words *)0)->who) + sizeof(((struct words *)0)->target) + TL_TEXT_SPAN + 64)

const char *connect_words__kind(enum connect_kind kind)
{
	static const char *const name[] = {
		[CONNECT_KIND_NO_ANSWER] = "connect.no_answer",
		[CONNECT_KIND_REFUSED] = "connect.refused",
		[CONNECT_KIND_UNREACHABLE] = "connect.unreachable",
		[CONNECT_KIND_RETURN_PATH] = "connect.return_path",
		[CONNECT_KIND_QUEUE_OVERFLOW] = "connect.queue_overflow",
	};

	return name[kind];
}

static const char *code_name(uint8_t ip_version, uint8_t code)
{
	static const char *const v4[] = {
		"network unreachable",
		"host unreachable",
		"protocol unreachable",
		"port unreachable",
		"fragmentation needed",
		"source route failed",
		"network unknown",
		"host unknown",
		"source host isolated",
		"network administratively prohibited",
		"host administratively prohibited",
		"network unreachable for this TOS",
		"host unreachable for this TOS",
		"administratively prohibited",
	};
	static const char *const v6[] = {
		"no route",	    "administratively prohibited",
		"beyond scope",	    "address unreachable",
		"port unreachable", "source address failed policy",
		"reject route",
	};

	if (ip_version == 6)
		return code < sizeof(v6) / sizeof(v6[0]) ? v6[code] : "unreachable";
	return code < sizeof(v4) / sizeof(v4[0]) ? v4[code] : "unreachable";
}

/* Does the code say that somebody decided so? */
static bool is_by_policy(uint8_t ip_version, uint8_t code)
{
	if (ip_version == 6)
		return code == 1 || code == 4 || code == 5 || code == 6;
	return code == 2 || code == 3 || code == 9 || code == 10 || code == 13;
}

static struct words words_of(const struct connect_group *g, const struct tl_judge_facts *facts)
{
	struct words w = { .g = g, .facts = facts };
	struct tl_endpoint reporter = { .ip_version = g->reporter_version };

	memcpy(reporter.ip, g->key.reporter, sizeof(reporter.ip));
	tl_text__ip(&reporter, w.reporter);
	tl_text__ip(&g->subject.client, w.client);
	tl_text__ip(&g->subject.server, w.server);
	tl_text__span(g->waited_ns, w.waited);
	tl_text__span(g->last_ns > g->first_ns ? g->last_ns - g->first_ns : 0, w.period);
	if (g->clients == 1)
		snprintf(w.who, sizeof(w.who), "%s", w.client);
	else
		snprintf(w.who, sizeof(w.who), "%u%s clients", g->clients,
			 g->clients == CONNECT_GROUP_CLIENTS ? " or more" : "");
	if (g->key.scope == CONNECT_SCOPE_CLIENT)
		snprintf(w.target, sizeof(w.target), "more than %u servers", g->targets - 1);
	else if (g->key.scope == CONNECT_SCOPE_PAIR)
		snprintf(w.target, sizeof(w.target), "more than %u ports of %s", g->targets - 1,
			 w.server);
	else
		tl_text__endpoint(&g->subject.server, w.target);
	return w;
}

static bool is_wide(const struct connect_group *g)
{
	return g->key.scope != CONNECT_SCOPE_SERVICE;
}

static bool mostly_works(const struct connect_group *g)
{
	return g->accepted >= 9 * g->flows;
}

/* "10.0.1.5 tried 10.0.2.10:8080 5 times (12 SYNs)" */
static void tried(const struct words *w, char *ret_text, size_t room)
{
	const struct connect_group *g = w->g;

	snprintf(ret_text, room, "%s tried %s %llu time%s (%llu SYN%s in %s)", w->who, w->target,
		 (unsigned long long)g->flows, tl_text__plural(g->flows),
		 (unsigned long long)g->syns, tl_text__plural(g->syns), w->period);
}

/* --- kinds ----------------------------------------------------------------------------------- */

static void write_no_answer(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;
	char attempts[TRIED_BYTES];

	tried(w, attempts, sizeof(attempts));
	if (g->flows > 1)
		tl_finding__summary(f, "%s and nothing came back", attempts);
	else if (g->syns > 1)
		tl_finding__summary(f, "%s sent %llu SYNs to %s in %s and nothing came back",
				    w->client, (unsigned long long)g->syns, w->target, w->waited);
	else
		tl_finding__summary(f, "%s sent 1 SYN to %s and nothing came back", w->client,
				    w->target);
	if (is_wide(g))
		tl_finding__cause(f,
				  "a port scan, or the way from %s on is cut: a firewall, a "
				  "host that is down, no route",
				  w->who);
	else if (g->is_stuck)
		tl_finding__cause(f,
				  "the accept queue of tcp/%u is full, as far as one can see: "
				  "the program that listens leaves requests of others "
				  "unanswered at the same time, and its host drops what it "
				  "cannot queue",
				  g->subject.server.port);
	else if (g->accepted)
		tl_finding__cause(f,
				  "other attempts succeeded (%llu): the listen queue of the "
				  "server overflows, packets are lost, or a firewall drops the "
				  "SYNs of some clients",
				  (unsigned long long)g->accepted);
	else if (tl_facts__host_sends(w->facts, &g->subject.server))
		tl_finding__cause(f, "a firewall drops the SYN, or the listen queue is full; the "
				     "host itself is up, for it is seen sending");
	else
		tl_finding__cause(
			f, "a firewall drops the SYN, the host is down, or there is no route");
	if (is_wide(g))
		tl_finding__next(f, "find out what runs on %s; can it reach its gateway?",
				 w->client);
	else if (g->is_stuck)
		tl_finding__next(f,
				 "on %s: ss -tln (Recv-Q against Send-Q), nstat "
				 "TcpExtListenOverflows; what does the program wait for?",
				 w->server);
	else
		tl_finding__next(f,
				 "look at the firewall rules for tcp/%u on the way to %s; is the "
				 "host up?",
				 g->subject.server.port, w->server);
	tl_finding__detail_u64(f, "syn_count", g->syns);
	tl_finding__detail_u64(f, "waited_ms", g->waited_ns / 1000000);
}

static void write_refused(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;
	char attempts[TRIED_BYTES];

	tried(w, attempts, sizeof(attempts));
	if (g->flows == 1)
		tl_finding__summary(f, "%s refused the connection of %s: RST to its SYN", w->target,
				    w->client);
	else
		tl_finding__summary(f, "%s and %s refused each time: RST to the SYN", attempts,
				    g->clients > 1 ? "were" : "was");
	if (is_wide(g))
		tl_finding__cause(f, "a port scan, or a client that looks for services that are "
				     "not there");
	else
		tl_finding__cause(f,
				  "nothing listens on tcp/%u of %s, or a firewall rejects the "
				  "SYN in its name",
				  g->subject.server.port, w->server);
	if (is_wide(g))
		tl_finding__next(f, "find out what runs on %s", w->client);
	else
		tl_finding__next(f,
				 "is the service up, and listening on this address? (ss -tln on "
				 "%s); is %u the right port?",
				 w->server, g->subject.server.port);
	tl_finding__detail_u64(f, "syn_count", g->syns);
}

static void write_unreachable(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;
	const char *name = code_name(g->reporter_version, g->key.icmp_code);
	char attempts[TRIED_BYTES];

	tried(w, attempts, sizeof(attempts));
	if (g->flows == 1)
		tl_finding__summary(f, "%s could not reach %s: ICMP from %s says %s", w->client,
				    w->target, w->reporter, name);
	else
		tl_finding__summary(f, "%s; ICMP from %s says %s", attempts, w->reporter, name);
	if (is_by_policy(g->reporter_version, g->key.icmp_code))
		tl_finding__cause(f, "a firewall at %s rejects the SYN (%s)", w->reporter, name);
	else
		tl_finding__cause(f,
				  "%s has no way to %s (%s): the host is down, or a route is "
				  "missing",
				  w->reporter, w->server, name);
	tl_finding__next(f, "look at %s: its routes, neighbour table and rules for %s, tcp/%u",
			 w->reporter, w->server, g->subject.server.port);
	tl_finding__detail_u64(f, "icmp_code", g->key.icmp_code);
	tl_finding__detail_string(f, "reported_by", w->reporter);
	tl_finding__detail_u64(f, "syn_count", g->syns);
}

static void write_return_path(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;
	bool repeats = g->syns > g->flows;
	char attempts[TRIED_BYTES];

	tried(w, attempts, sizeof(attempts));
	if (g->flows > 1)
		tl_finding__summary(f, "%s; %llu SYN-ACKs came back, yet none was ever ACKed",
				    attempts, (unsigned long long)g->synacks);
	else
		tl_finding__summary(f, "%s answers %s with %llu SYN-ACK%s, yet the client %s",
				    w->target, w->client, (unsigned long long)g->synacks,
				    tl_text__plural(g->synacks),
				    repeats ? "repeats its SYN" : "never ACKs");
	if (!repeats && g->clients >= FLOOD_CLIENTS)
		tl_finding__cause(f,
				  "a SYN flood from forged addresses, or the SYN-ACKs are lost "
				  "on the way back from %s",
				  w->server);
	else
		tl_finding__cause(f,
				  "the SYN-ACK is lost on the way back, behind this mirror: "
				  "asymmetric routing, a stateful firewall that has not seen the "
				  "SYN, or no route back%s",
				  repeats ? "" : "; or the client is gone");
	tl_finding__next(f, "capture at the client as well; look at the route from %s back to %s",
			 w->server, w->client);
	tl_finding__detail_u64(f, "syn_count", g->syns);
	tl_finding__detail_u64(f, "synack_count", g->synacks);
}

static void write_queue_overflow(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;

	if (g->flows == 1)
		tl_finding__summary(f,
				    "%s repeated its SYN-ACK to %s after the client's ACK and "
				    "data (%llu SYN-ACKs)%s",
				    w->target, w->client, (unsigned long long)g->synacks,
				    g->accepted_late ? ", and went on late" : "");
	else
		tl_finding__summary(f,
				    "%s repeated its SYN-ACKs after ACK and data in %llu "
				    "connections of %s; %llu of them went on late",
				    w->target, (unsigned long long)g->flows, w->who,
				    (unsigned long long)g->accepted_late);
	tl_finding__cause(f,
			  "the accept queue of tcp/%u is full: the application does not accept "
			  "fast enough, or its backlog is too small",
			  g->subject.server.port);
	tl_finding__next(f,
			 "on %s: ss -tln (Recv-Q against Send-Q), nstat TcpExtListenOverflows; "
			 "is the application stuck? raise its backlog and somaxconn",
			 w->server);
	tl_finding__detail_u64(f, "synack_count", g->synacks);
}

/* --- weight ---------------------------------------------------------------------------------- */

static void weigh_mirror(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;

	if (tl_facts__host_sends(w->facts, &g->subject.server) && !is_wide(g)) {
		f->confidence = 0.97;
		return;
	}
	switch (tl_facts__two_way(w->facts)) {
	case TL_TWO_WAY_YES:
		f->confidence = 0.95;
		break;
	case TL_TWO_WAY_UNKNOWN:
		f->confidence = 0.85;
		tl_finding__counter_evidence(
			f, 0, g->last_ns, "nothing else here shows that the mirror sees answers");
		break;
	case TL_TWO_WAY_MIXED:
		f->confidence = 0.75;
		tl_finding__counter_evidence(f, 0, g->last_ns,
					     "some flows are mirrored in one direction only");
		break;
	case TL_TWO_WAY_NO:
		f->confidence = 0.6;
		tl_finding__counter_evidence(
			f, 0, g->last_ns,
			"only one direction is mirrored: an answer may be unseen");
		break;
	}
}

static void weigh_no_answer(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;

	weigh_mirror(w, f);
	if (!g->repeated) {
		f->severity = TL_WARNING;
		f->confidence -= 0.35;
		tl_finding__counter_evidence(f, 0, g->last_ns, "the client did not repeat its SYN");
		if (g->is_knock || g->is_refused_unseen)
			f->severity = TL_INFO;
	} else if (g->syns == 2) {
		f->confidence -= 0.05;
	}
	if (is_wide(g))
		f->severity = TL_WARNING;
}

/* Who asks for "localhost" tries one address after the other; the service listens at one. */
static bool went_beside(const struct connect_group *g)
{
	return g->key.kind == CONNECT_KIND_REFUSED && !g->accepted && g->accepted_beside;
}

static void weigh(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;

	f->severity = TL_ERROR;
	switch ((enum connect_kind)g->key.kind) {
	case CONNECT_KIND_REFUSED:
		f->confidence = 0.98;
		if (is_wide(g) || went_beside(g))
			f->severity = TL_INFO;
		break;
	case CONNECT_KIND_UNREACHABLE:
		f->confidence = 0.97;
		if (is_wide(g))
			f->severity = TL_WARNING;
		break;
	case CONNECT_KIND_RETURN_PATH:
		f->confidence = g->syns > g->flows ? 0.9 : 0.75;
		break;
	case CONNECT_KIND_QUEUE_OVERFLOW:
		f->confidence = g->overflows > 1 ? 0.95 : 0.8;
		if (g->accepted_late == g->flows)
			f->severity = TL_WARNING;
		break;
	default:
		weigh_no_answer(w, f);
		break;
	}
	if (f->severity == TL_ERROR && g->key.kind != CONNECT_KIND_QUEUE_OVERFLOW &&
	    mostly_works(g))
		f->severity = TL_WARNING;
	if (g->in_outage) {
		f->severity = TL_INFO;
		tl_finding__counter_evidence(f, 0, g->last_ns,
					     "service.crash tells why: the service was down");
	}
	if (g->is_host_gone) {
		f->severity = TL_INFO;
		tl_finding__counter_evidence(
			f, 0, g->last_ns,
			"connect.unreachable tells why: a router says so, but not of each SYN");
	}
	if (g->accepted && g->key.kind != CONNECT_KIND_QUEUE_OVERFLOW)
		tl_finding__counter_evidence(f, 0, g->last_ns,
					     "%llu other connections to this service succeeded",
					     (unsigned long long)g->accepted);
	if (went_beside(g))
		tl_finding__counter_evidence(
			f, 0, g->last_ns, "the service answers at %s: there its clients went on",
			g->subject.server.ip_version == 6 ? "127.0.0.1" : "::1");
	if (g->withheld)
		tl_finding__counter_evidence(
			f, 0, g->last_ns,
			"%llu reports were left out under load: counts are too low",
			(unsigned long long)g->withheld);
	if (g->unseen && g->key.kind != CONNECT_KIND_REFUSED &&
	    g->key.kind != CONNECT_KIND_UNREACHABLE) {
		f->confidence -= 0.1;
		tl_finding__counter_evidence(
			f, 0, g->last_ns,
			"%llu packets were lost, sampled out or not analyzed here",
			(unsigned long long)g->unseen);
	}
}

/* --- evidence and filter --------------------------------------------------------------------- */

static void write_evidence(const struct words *w, struct tl_finding *f)
{
	for (uint32_t i = 0; i < w->g->proof_count; i++) {
		const struct connect_proof *p = &w->g->proof[i].proof;

		switch ((enum connect_what)p->what) {
		case CONNECT_SYN:
			tl_finding__evidence(f, p->frame, p->ts_ns, "SYN, seq %u", p->seq);
			break;
		case CONNECT_SYNACK:
			tl_finding__evidence(f, p->frame, p->ts_ns, "SYN-ACK, seq %u", p->seq);
			break;
		case CONNECT_RST:
			tl_finding__evidence(f, p->frame, p->ts_ns, "RST, seq %u", p->seq);
			break;
		case CONNECT_DATA:
			tl_finding__evidence(f, p->frame, p->ts_ns, "the client's data, seq %u",
					     p->seq);
			break;
		case CONNECT_ICMP:
			tl_finding__evidence(f, p->frame, p->ts_ns, "ICMP: %s (code %u)",
					     code_name(w->g->reporter_version, (uint8_t)p->bytes),
					     p->bytes);
			break;
		}
	}
}

static void write_filter(const struct words *w, struct tl_finding *f)
{
	const struct connect_group *g = w->g;
	char client[TL_TEXT_FILTER] = "", server[TL_TEXT_FILTER] = "";
	char hosts[2 * TL_TEXT_FILTER + 8], ports[64] = "";
	const char *flags = " && tcp.flags.syn==1";

	if (g->clients == 1)
		tl_text__ip_filter(&g->subject.client, client);
	if (g->key.scope != CONNECT_SCOPE_CLIENT)
		tl_text__ip_filter(&g->subject.server, server);
	snprintf(hosts, sizeof(hosts), "%s%s%s", client, *client && *server ? " && " : "", server);
	if (g->flows == 1)
		snprintf(ports, sizeof(ports), " && tcp.port==%u && tcp.port==%u",
			 g->subject.client.port, g->subject.server.port);
	else if (g->key.scope == CONNECT_SCOPE_SERVICE)
		snprintf(ports, sizeof(ports), " && tcp.port==%u", g->subject.server.port);
	if (g->key.kind == CONNECT_KIND_REFUSED)
		flags = " && (tcp.flags.syn==1 || tcp.flags.reset==1)";
	else if (g->key.kind == CONNECT_KIND_QUEUE_OVERFLOW)
		flags = "";
	if (g->key.kind == CONNECT_KIND_UNREACHABLE)
		tl_finding__filter(f, "(%s%s%s) || (%s && %s)", hosts, ports, flags, hosts,
				   g->reporter_version == 6 ? "icmpv6.type==1" : "icmp.type==3");
	else
		tl_finding__filter(f, "%s%s%s", hosts, ports, flags);
}

void connect_words__write(const struct connect_group *group, const struct tl_judge_facts *facts,
			  struct tl_finding *finding)
{
	struct words w = words_of(group, facts);

	finding->first_ns = group->first_ns;
	finding->last_ns = group->last_ns;
	finding->count = group->flows;
	finding->subject = group->subject;
	finding->evidence_count = 0;
	finding->counter_evidence_count = 0;
	finding->detail_count = 0;
	switch ((enum connect_kind)group->key.kind) {
	case CONNECT_KIND_REFUSED:
		write_refused(&w, finding);
		break;
	case CONNECT_KIND_UNREACHABLE:
		write_unreachable(&w, finding);
		break;
	case CONNECT_KIND_RETURN_PATH:
		write_return_path(&w, finding);
		break;
	case CONNECT_KIND_QUEUE_OVERFLOW:
		write_queue_overflow(&w, finding);
		break;
	default:
		write_no_answer(&w, finding);
		break;
	}
	tl_finding__detail_u64(finding, "flows", group->flows);
	tl_finding__detail_u64(finding, "clients", group->clients);
	if (group->key.scope == CONNECT_SCOPE_CLIENT)
		tl_finding__detail_u64(finding, "servers", group->targets);
	weigh(&w, finding);
	write_evidence(&w, finding);
	write_filter(&w, finding);
}
