/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What dns.* says: severity, confidence, words, evidence and display filter of a group. Pure
 * functions of the group and its context; control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "core/dns.h"
#include "core/text.h"

struct words {
	const struct dns_group *g;
	const struct dns_context *c;
	char server[TL_TEXT_ENDPOINT]; /* without the port when it is 53 */
	char who[TL_TEXT_IP + 16];
	char what[TL_DNS_NAME + 32]; /* "api.example.com (AAAA)", "12 names" */
	char type[TL_DNS_TYPE_TEXT];
	char rcode[TL_DNS_TYPE_TEXT];
	char waited[TL_TEXT_SPAN];
	bool only_aaaa;
	uint64_t retries;
};

static struct words words_of(const struct dns_group *g, const struct dns_context *c)
{
	struct words w = { .g = g, .c = c, .retries = g->tries - g->queries };
	char names[24];

	w.only_aaaa = g->queries && g->aaaa == g->queries && c->a_is_fine;
	if (g->subject.server.port == 53)
		tl_text__ip(&g->subject.server, w.server);
	else
		tl_text__endpoint(&g->subject.server, w.server);
	tl_dns__type_name(g->first.qtype, w.type);
	tl_dns__rcode_name(g->key.rcode, w.rcode);
	tl_text__span(g->waited_ns, w.waited);
	if (g->clients == 1)
		tl_text__ip(&g->subject.client, w.who);
	else
		snprintf(w.who, sizeof(w.who), "%u%s clients", g->clients,
			 g->clients == DNS_GROUP_CLIENTS ? " or more" : "");
	snprintf(names, sizeof(names), "%u%s names", g->names,
		 g->names == DNS_GROUP_NAMES ? " or more" : "");
	if (g->key.is_wide && *g->suffix)
		snprintf(w.what, sizeof(w.what), "%s in %s", names, g->suffix);
	else if (g->key.is_wide)
		snprintf(w.what, sizeof(w.what), "%s", names);
	else if (g->aaaa && g->aaaa < g->queries)
		snprintf(w.what, sizeof(w.what), "%s", g->first.name);
	else
		snprintf(w.what, sizeof(w.what), "%s (%s)", g->first.name, w.type);
	return w;
}

/* "3 queries (2 retries)" */
static const char *counted(const struct words *w, char ret_text[64])
{
	int n = snprintf(ret_text, 64, "%llu quer%s", (unsigned long long)w->g->queries,
			 w->g->queries == 1 ? "y" : "ies");

	if (w->retries)
		snprintf(ret_text + n, 64 - (size_t)n, " and %llu retr%s",
			 (unsigned long long)w->retries, w->retries == 1 ? "y" : "ies");
	return ret_text;
}

/* --- kinds ----------------------------------------------------------------------------------- */

static void cause_of_silence(const struct words *w, struct tl_finding *f)
{
	const struct dns_group *g = w->g;
	const struct dns_context *c = w->c;
	char reporter[TL_TEXT_IP];

	if (g->unreachable)
		tl_finding__cause(f,
				  "%s says by ICMP that it cannot be delivered (code %u): nothing "
				  "listens there, or a firewall rejects it",
				  tl_text__ip(&g->reporter, reporter), g->icmp_code);
	else if (w->only_aaaa)
		tl_finding__cause(f, "only AAAA goes unanswered, A is answered: a firewall or the "
				     "authoritative server drops queries for AAAA, and each lookup "
				     "waits for them; IPv6 is half configured");
	else if (c->is_elsewhere_v4)
		tl_finding__cause(f,
				  "the IPv6 path to the resolver is broken: %s stays silent, while "
				  "the same is answered over IPv4",
				  w->server);
	else if (c->clients_answers && c->last_answer_ns < g->first_ns && w->retries)
		tl_finding__cause(
			f,
			"%s answered %s before, and stopped: it went down, a firewall rule "
			"changed, or the path to it broke",
			w->server, w->who);
	else if (c->clients_answers)
		tl_finding__cause(f, "the server answers this client otherwise: packets are lost, "
				     "or the authoritative servers of this name do not answer it");
	else if (c->server_answers)
		tl_finding__cause(f,
				  "the server answers others, but not %s: a firewall, an access "
				  "list, or the route back",
				  w->who);
	else if (tl_facts__host_sends(c->facts, &g->subject.server))
		tl_finding__cause(f,
				  "%s is up, for it is seen sending, but answers no query: its DNS "
				  "service hangs, or a firewall drops udp/%u",
				  w->server, g->subject.server.port);
	else
		tl_finding__cause(f, "the DNS server is down, a firewall drops the queries, or "
				     "there is no route to it (or back)");
}

static void write_no_answer(const struct words *w, struct tl_finding *f)
{
	const struct dns_group *g = w->g;
	char count[64];

	if (g->unreachable)
		tl_finding__summary(f, "%s asked %s for %s: %s, and ICMP says unreachable", w->who,
				    w->server, w->what, counted(w, count));
	else
		tl_finding__summary(f, "%s asked %s for %s: %s, and no answer came", w->who,
				    w->server, w->what, counted(w, count));
	cause_of_silence(w, f);
	if (w->only_aaaa)
		tl_finding__next(f,
				 "ask by hand: dig AAAA %s @%s; mend the IPv6 side, or until then "
				 "let clients not ask for AAAA (resolv.conf: no-aaaa)",
				 g->first.name, w->server);
	else if (w->c->is_elsewhere_v4)
		tl_finding__next(f,
				 "from the client: ping and traceroute -6 to %s; mend the IPv6 "
				 "route, or take that address out of resolv.conf",
				 w->server);
	else
		tl_finding__next(f,
				 "ask by hand: dig %s %s @%s; is the service up (udp/%u)? what "
				 "stands between the client and it?",
				 g->first.name, w->type, w->server, g->subject.server.port);
}

static void write_error(const struct words *w, struct tl_finding *f)
{
	const struct dns_group *g = w->g;
	char count[64];

	tl_finding__summary(f, "%s answers %s for %s: %s of %s", w->server, w->rcode, w->what,
			    counted(w, count), w->who);
	if (w->only_aaaa)
		tl_finding__cause(f,
				  "only AAAA fails (%s), A is fine: the authoritative server, or "
				  "the resolver's path to it, mishandles AAAA (RFC 4074)",
				  w->rcode);
	else if (g->key.rcode == TL_DNS_NXDOMAIN && w->c->is_elsewhere)
		tl_finding__cause(f, "this server says that the name does not exist, another one "
				     "resolves it: servers with different views in one client's "
				     "list");
	else if (g->key.rcode == TL_DNS_NXDOMAIN)
		tl_finding__cause(f, "the name does not exist: a search list that is tried out "
				     "(normal), or a name that is written wrong");
	else if (g->key.rcode == TL_DNS_SERVFAIL)
		tl_finding__cause(f, "the resolver could not get an answer itself: authoritative "
				     "servers out of reach, or DNSSEC validation failed");
	else if (g->key.rcode == TL_DNS_REFUSED)
		tl_finding__cause(f, "the server will not answer this client: an access list "
				     "(recursion not allowed), or it is not the server of this "
				     "zone");
	else if (g->key.rcode == TL_DNS_FORMERR)
		tl_finding__cause(f, "the server does not understand the query: an old one that "
				     "knows no EDNS (RFC 6891), or a box that changes queries");
	else
		tl_finding__cause(f, "the server does not do what the query asks for");
	if (g->key.rcode == TL_DNS_SERVFAIL)
		tl_finding__next(f,
				 "dig %s %s @%s, then with +cd (without validation) and +trace; "
				 "look at the resolver's log",
				 g->first.name, w->type, w->server);
	else
		tl_finding__next(f,
				 "dig %s %s @%s; is it the right server for this client and "
				 "this name?",
				 g->first.name, w->type, w->server);
}

static void write_slow(const struct words *w, struct tl_finding *f)
{
	char count[64];

	tl_finding__summary(f, "%s answers %s late: up to %s after the first query (%s of %s)",
			    w->server, w->what, w->waited, counted(w, count), w->who);
	if (w->retries)
		tl_finding__cause(f, "the first query or its answer was lost, or the resolver was "
				     "too slow for it: the client asked again");
	else
		tl_finding__cause(f, "the resolver is overloaded, or waits for authoritative "
				     "servers that are slow or out of reach");
	tl_finding__next(f,
			 "dig %s %s @%s twice: is the second one fast (cache)? look at the "
			 "resolver's load and its forwarders",
			 w->g->first.name, w->type, w->server);
	tl_finding__detail_u64(f, "waited_ms", w->g->waited_ns / 1000000);
}

static void write_details(const struct words *w, struct tl_finding *f)
{
	const struct dns_group *g = w->g;

	/* Of many names, what they end with. */
	if (!g->key.is_wide || *g->suffix)
		tl_finding__detail_string(f, "qname", g->key.is_wide ? g->suffix : g->first.name);
	else
		tl_finding__detail_null(f, "qname");
	if (!g->key.is_wide || g->one_type)
		tl_finding__detail_string(f, "qtype", w->type);
	else
		tl_finding__detail_null(f, "qtype");
	tl_finding__detail_u64(f, "retries", w->retries);
	if (g->key.kind == DNS_KIND_ERROR)
		tl_finding__detail_string(f, "rcode", w->rcode);
	else
		tl_finding__detail_null(f, "rcode");
	tl_finding__detail_bool(f, "only_aaaa", w->only_aaaa);
	tl_finding__detail_bool(f, "only_ipv6",
				g->key.kind == DNS_KIND_NO_ANSWER && w->c->is_elsewhere_v4);
	tl_finding__detail_u64(f, "flows", g->queries);
	tl_finding__detail_u64(f, "clients", g->clients);
	tl_finding__detail_u64(f, "names", g->names);
}

/* --- weight ---------------------------------------------------------------------------------- */

static void weigh_no_answer(const struct words *w, struct tl_finding *f)
{
	const struct dns_context *c = w->c;

	f->severity = TL_ERROR;
	if (c->clients_answers && !w->retries && !w->g->unreachable && !w->only_aaaa)
		f->severity = TL_WARNING;
	if (w->g->unreachable) {
		f->confidence = 0.98;
		return;
	}
	if (c->server_answers)
		f->confidence = w->retries ? 0.95 : 0.85;
	else if (tl_facts__two_way(c->facts) == TL_TWO_WAY_YES)
		f->confidence = 0.9;
	else
		f->confidence = 0.8;
	if (!c->server_answers && tl_facts__two_way(c->facts) != TL_TWO_WAY_YES)
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "nothing else here shows that the mirror sees this "
					     "server's answers");
	if (!w->retries)
		tl_finding__counter_evidence(f, 0, w->g->last_ns, "no client asked again");
	if (c->clients_answers)
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "%llu other queries of the same clients were answered",
					     (unsigned long long)c->clients_answers);
}

static void weigh_error(const struct words *w, struct tl_finding *f)
{
	const struct dns_context *c = w->c;
	bool is_solved = c->is_elsewhere || c->is_recovered;

	f->confidence = 0.97;
	switch (w->g->key.rcode) {
	case TL_DNS_NXDOMAIN:
		f->severity = w->only_aaaa || c->is_elsewhere ? TL_WARNING : TL_INFO;
		break;
	case TL_DNS_SERVFAIL:
	case TL_DNS_REFUSED:
		f->severity = is_solved || w->only_aaaa ? TL_WARNING : TL_ERROR;
		break;
	default:
		/* A query with EDNS that is asked again without is how it is meant to go. */
		f->severity = is_solved ? TL_INFO : TL_WARNING;
		break;
	}
	if (c->is_recovered)
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "the same server resolved the same name, too");
	else if (c->is_elsewhere && w->g->key.rcode != TL_DNS_NXDOMAIN)
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "another server resolved the same name");
}

static void weigh(const struct words *w, struct tl_finding *f)
{
	f->severity = TL_WARNING;
	f->confidence = 0.95;
	if (w->g->key.kind == DNS_KIND_NO_ANSWER)
		weigh_no_answer(w, f);
	else if (w->g->key.kind == DNS_KIND_ERROR)
		weigh_error(w, f);
	if (w->c->unseen && w->g->key.kind != DNS_KIND_ERROR) {
		f->confidence -= 0.2;
		tl_finding__counter_evidence(
			f, 0, w->g->last_ns,
			"%llu packets were lost, sampled out or not analyzed here",
			(unsigned long long)w->c->unseen);
	}
	if (w->c->withheld)
		tl_finding__counter_evidence(
			f, 0, w->g->last_ns,
			"%llu reports were left out under load: counts are too low",
			(unsigned long long)w->c->withheld);
}

/* --- evidence and filter -----------------------------------------------------------------------
 */

static void write_evidence(const struct words *w, struct tl_finding *f)
{
	for (uint32_t i = 0; i < w->g->proof_count; i++) {
		const struct dns_group_proof *p = &w->g->proof[i];
		char type[TL_DNS_TYPE_TEXT];

		tl_dns__type_name(p->qtype, type);
		switch ((enum dns_what)p->what) {
		case DNS_WHAT_QUERY:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "query, %s", type);
			break;
		case DNS_WHAT_ANSWER:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "answer, %s: %s",
					     type, w->rcode);
			break;
		case DNS_WHAT_ICMP:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns,
					     "ICMP: unreachable (code %u)", w->g->icmp_code);
			break;
		}
	}
}

/* A name is compared only where every dissector shows it, in the frame that carries it. */
static void write_filter(const struct words *w, struct tl_finding *f)
{
	const struct dns_group *g = w->g;
	char server[TL_TEXT_FILTER], client[TL_TEXT_FILTER] = "", hosts[2 * TL_TEXT_FILTER + 8];
	char dns[TL_DNS_NAME + 64] = "";

	tl_text__ip_filter(&g->subject.server, server);
	if (g->clients == 1)
		tl_text__ip_filter(&g->subject.client, client);
	snprintf(hosts, sizeof(hosts), "%s%s%s", server, *client ? " && " : "", client);
	if (g->any_flags & DNS_ODD_FRAMES)
		dns[0] = 0;
	else if (g->any_flags & DNS_BY_CONTENT)
		snprintf(dns, sizeof(dns), " && udp.port==%u", g->subject.server.port);
	else if (g->key.is_wide || !(g->all_flags & DNS_PLAIN_NAME))
		snprintf(dns, sizeof(dns), " && dns");
	else
		snprintf(dns, sizeof(dns), " && lower(dns.qry.name)==\"%s\"", g->first.name);
	if (g->unreachable && *dns)
		tl_finding__filter(f, "(%s%s) || (%s && %s)", hosts, dns, hosts,
				   g->reporter.ip_version == 6 ? "icmpv6.type==1" : "icmp.type==3");
	else
		tl_finding__filter(f, "%s%s", hosts, dns);
}

void dns_words__write(const struct dns_group *group, const struct dns_context *context,
		      struct tl_finding *finding)
{
	struct words w = words_of(group, context);

	finding->first_ns = group->first_ns;
	finding->last_ns = group->last_ns;
	finding->count = group->queries;
	finding->subject = group->subject;
	finding->evidence_count = 0;
	finding->counter_evidence_count = 0;
	finding->detail_count = 0;
	write_details(&w, finding);
	if (group->key.kind == DNS_KIND_NO_ANSWER)
		write_no_answer(&w, finding);
	else if (group->key.kind == DNS_KIND_ERROR)
		write_error(&w, finding);
	else
		write_slow(&w, finding);
	weigh(&w, finding);
	write_evidence(&w, finding);
	write_filter(&w, finding);
}
