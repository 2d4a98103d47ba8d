/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words the findings of reset (reset.h): from sums to summary, cause, advice, filter and weight.
 * Pure functions, so that a finding can be written anew at any time.
 */
#include "core/reset.h"

static const char *sender_name(uint8_t sender)
{
	static const char *const name[] = { "unknown", "client", "server", "middlebox" };

	return name[sender & 3];
}

static const char *phase_name(uint8_t phase)
{
	static const char *const name[] = { "handshake", "transfer", "idle", "closing" };

	return name[phase & 3];
}

struct words {
	const struct reset_sum *sum;
	uint8_t sender, phase;
	const char *app;
	char client[TL_TEXT_IP];
	char server[TL_TEXT_IP];
	char who[TL_TEXT_IP + 8]; /* the client, or "several clients" */
	char target[TL_TEXT_ENDPOINT];
	char idle[TL_TEXT_SPAN];
	char flows[32]; /* "a connection", "7 connections" */
};

static struct words words_of(const struct reset_sum *sum)
{
	struct words w = {
		.sum = sum,
		.sender = sum->first.sender,
		.phase = sum->first.phase,
		.app = tl_app__word(sum->first.app),
	};

	tl_text__ip(&sum->subject.client, w.client);
	tl_text__ip(&sum->subject.server, w.server);
	tl_text__endpoint(&sum->subject.server, w.target);
	tl_text__span(sum->idle_ns, w.idle);
	snprintf(w.who, sizeof(w.who), "%s", sum->clients > 1 ? "several clients" : w.client);
	if (sum->flows == 1)
		snprintf(w.flows, sizeof(w.flows), "a connection");
	else
		snprintf(w.flows, sizeof(w.flows), "%llu connections",
			 (unsigned long long)sum->flows);
	return w;
}

static void write_proofs(const struct reset_sum *sum, struct tl_finding *f)
{
	struct tl_proof sorted[TL_EVIDENCE_MAX];

	/* In order of time: connections overlap. */
	for (uint32_t i = 0; i < sum->proof_count; i++) {
		uint32_t at = i;

		for (; at > 0 && sorted[at - 1].ts_ns > sum->proof[i].ts_ns; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = sum->proof[i];
	}
	f->evidence_count = 0;
	for (uint32_t i = 0; i < sum->proof_count; i++) {
		const struct tl_proof *p = &sorted[i];

		if (p->what == RESET_PROOF_FIN)
			tl_finding__evidence(f, p->frame, p->ts_ns, "FIN of the server");
		else if (p->what)
			tl_finding__evidence(
				f, p->frame, p->ts_ns, "RST in the name of the %s, seq %u, ttl %u",
				p->what == RESET_BY_CLIENT ? "client" : "server", p->seq, p->value);
		else
			tl_finding__evidence(f, p->frame, p->ts_ns, "the last data, seq %u",
					     p->seq);
	}
}

static void write_head(const struct words *w, struct tl_finding *f)
{
	const struct reset_sum *sum = w->sum;

	f->first_ns = sum->first_ns;
	f->last_ns = sum->last_ns;
	f->count = sum->flows;
	f->subject = sum->subject;
	f->counter_evidence_count = 0;
	f->detail_count = 0;
	write_proofs(sum, f);
	if (sum->flows == 1 || sum->clients == 1)
		tl_pair__filter(&sum->subject, sum->flows, f);
	else
		tl_service__filter(&sum->subject.server, f);
}

/* --- tcp.reset ------------------------------------------------------------------------------- */

static void write_doubts(const struct reset_sum *sum, struct tl_finding *f)
{
	static const struct {
		uint32_t doubt;
		const char *text;
	} reasons[] = {
		{ RESET_DOUBT_GOES_ON, "its alleged sender went on after it" },
		{ RESET_DOUBT_BOTH, "RSTs in the names of both sides at once" },
		{ RESET_DOUBT_TTL, "another TTL" },
		{ RESET_DOUBT_NEARER, "from a hop before the host" },
		{ RESET_DOUBT_TOO_FAST, "sooner than a round trip" },
		{ RESET_DOUBT_MAC, "another MAC address" },
		{ RESET_DOUBT_IP_ID, "IP ID out of sequence" },
		{ RESET_DOUBT_NO_TS, "no timestamps" },
	};
	char text[160] = "";
	size_t at = 0;

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (sum->doubts & reasons[i].doubt && at < sizeof(text))
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", at ? "; " : "",
					       reasons[i].text);
	tl_finding__detail_string(f, "reasons", text);
}

static void write_cause(const struct words *w, struct tl_finding *f)
{
	const struct reset_sum *sum = w->sum;

	if (w->sender == RESET_BY_MIDDLEBOX)
		tl_finding__cause(f, "a box on the way (firewall, IPS, load balancer, censor) sent "
				     "the RST in the name of a host that did not");
	else if (w->sender == RESET_BY_CLIENT && sum->pending)
		tl_finding__cause(f,
				  "%s gave up: a timeout that is too short for the answer, or its "
				  "process ended with the request under way",
				  w->client);
	else if (w->sender == RESET_BY_CLIENT)
		tl_finding__cause(f,
				  "%s closed while data was still coming: it wanted no more of "
				  "it (cancelled), or its process ended",
				  w->client);
	else if (w->phase == RESET_IN_HANDSHAKE)
		tl_finding__cause(f, "the service accepts and drops at once: too many connections, "
				     "an access list, a load balancer without a backend");
	else if (sum->first.flags & RESET_AFTER_IDLE)
		tl_finding__cause(f,
				  "the server, or a load balancer or firewall on the way, had "
				  "forgotten the connection, which was idle for %s",
				  w->idle);
	else if (w->phase == RESET_IN_IDLE)
		tl_finding__cause(f, "a timeout of the server or of a load balancer in its place, "
				     "or its process ended");
	else if (sum->unread == sum->flows)
		tl_finding__cause(f, "the server closed without reading all that the client sent "
				     "(a refused upload is one reason)");
	else
		tl_finding__cause(f, "the server's process ended or aborted the connection, or a "
				     "load balancer in its place did (health check, timeout)");
}

static void write_next(const struct words *w, struct tl_finding *f)
{
	if (w->sender == RESET_BY_MIDDLEBOX)
		tl_finding__next(f,
				 "find the box: compare TTL and MAC with those of the hosts, "
				 "capture on both sides of the firewalls between %s and %s",
				 w->who, w->server);
	else if (w->sender == RESET_BY_CLIENT)
		tl_finding__next(f, "look at the log of the client on %s at that time: timeouts",
				 w->client);
	else
		tl_finding__next(f,
				 "look at the log of the service on %s (tcp/%u) at that time: "
				 "crash, OOM kill, timeouts; if it is a load balancer, its health "
				 "checks and timeouts",
				 w->server, w->sum->subject.server.port);
}

static void weigh(const struct words *w, const struct tl_judge_facts *facts, struct tl_finding *f)
{
	const struct reset_sum *sum = w->sum;
	bool hurts = sum->pending || sum->in_flight;
	struct tl_tracker_totals totals;
	uint64_t missed;

	tl_facts__tracker_totals(facts, &totals);
	missed = totals.missed_segments + tl_facts__capture_drops(facts);
	f->confidence = sum->out_of_window == sum->flows ? 0.6 : sum->in_window ? 0.95 : 0.8;
	if (w->sender == RESET_BY_MIDDLEBOX) {
		f->severity = sum->ignored == sum->flows ? TL_WARNING : TL_ERROR;
		f->confidence = 0.85;
	} else if (w->sender == RESET_BY_CLIENT) {
		f->severity = sum->pending >= 3 && !missed ? TL_WARNING : TL_INFO;
	} else if (w->phase == RESET_IN_IDLE) {
		/* Cut off after it had waited, or told at once that the connection is gone? */
		f->severity = sum->waited ? TL_ERROR : sum->pending ? TL_WARNING : TL_INFO;
	} else if (sum->unread == sum->flows) {
		f->severity = TL_INFO;
	} else {
		f->severity = hurts ? TL_ERROR : TL_WARNING;
	}
	if (w->sender == RESET_BY_UNKNOWN) {
		f->severity = f->severity == TL_ERROR ? TL_WARNING : f->severity;
		f->confidence = 0.6;
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "no other packet of the RST's sender was seen");
	}
	if (sum->midstream)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu of the connections began before the capture",
					     (unsigned long long)sum->midstream);
	if (missed) {
		f->confidence -= 0.05;
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"%llu segments were missed by this capture, perhaps a FIN or an answer",
			(unsigned long long)missed);
	}
	if (tl_facts__two_way(facts) == TL_TWO_WAY_NO) {
		f->confidence -= 0.2;
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "only one direction is mirrored: what the other said "
					     "is inferred from ACKs");
	}
	if (sum->withheld)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu reports were left out under load",
					     (unsigned long long)sum->withheld);
}

void reset_words__reset(const struct reset_sum *sum, const struct tl_judge_facts *facts,
			struct tl_finding *f)
{
	struct words w = words_of(sum);
	static const char *const when[] = {
		"before any data",
		"in the middle of a transfer",
		"while it was idle",
		"while it was closing",
	};
	const char *by = w.sender == RESET_BY_MIDDLEBOX ? "a middlebox"
			 : w.sender == RESET_BY_CLIENT	? "the client"
			 : w.sender == RESET_BY_SERVER	? "the server"
							: "a RST of unknown origin";

	write_head(&w, f);
	tl_finding__summary(f, "%s cut %s of %s to %s (%s)%s%s", by, w.flows, w.who, w.target,
			    when[w.phase & 3], sum->pending ? "; an answer was awaited" : "",
			    sum->ignored ? "; it went on all the same" : "");
	write_cause(&w, f);
	write_next(&w, f);
	weigh(&w, facts, f);
	tl_finding__detail_string(f, "sender", sender_name(w.sender));
	tl_finding__detail_string(f, "phase", phase_name(w.phase));
	if (sum->in_window || sum->out_of_window)
		tl_finding__detail_bool(f, "in_window", sum->in_window);
	else
		tl_finding__detail_null(f, "in_window");
	tl_finding__detail_u64(f, "flows", sum->flows);
	tl_finding__detail_u64(f, "pending", sum->pending);
	if (w.phase == RESET_IN_IDLE)
		tl_finding__detail_u64(f, "idle_ms", sum->idle_ns / TL_NS_PER_MS);
	if (w.sender == RESET_BY_MIDDLEBOX) {
		tl_finding__detail_string(f, "claimed_sender",
					  sum->first.side_is_client ? "client" : "server");
		write_doubts(sum, f);
	}
}

/* --- tcp.idle_timeout ------------------------------------------------------------------------ */

void reset_words__timer(const struct reset_sum *sum, struct tl_finding *f)
{
	struct words w = words_of(sum);
	bool waiting = sum->pending * 2 > sum->flows,
	     is_quiet = sum->flows - sum->quiet < RESET_TIMER_FLOWS;
	/* The RSTs came together: then the connections may have had that in common alone. */
	bool at_once = tl_span_ns(sum->first.rst_ns, sum->last_ns) < TL_NS_PER_SEC;

	write_head(&w, f);
	tl_finding__summary(f, "%s of %s to %s were %s by the %s after %s %s each", w.flows, w.who,
			    w.target, is_quiet ? "closed" : "cut", sender_name(w.sender), w.idle,
			    waiting ? "without an answer" : "of idleness");
	if (w.sender == RESET_BY_CLIENT)
		tl_finding__cause(f,
				  "a timeout of %s in %s: the client (or the load balancer that "
				  "it is, or its health check) gives up on tcp/%u",
				  w.idle, w.client, sum->subject.server.port);
	else
		tl_finding__cause(f,
				  "a timeout of %s in the server, or in a load balancer or "
				  "firewall on the way, cuts connections that are idle for so long",
				  w.idle);
	tl_finding__next(f,
			 waiting ? "find the timeout of %s; is it shorter than the longest answer "
				   "takes?"
				 : "find the timeout of %s; send keep-alives more often than that, "
				   "or let the pool of connections drop them earlier",
			 w.idle);
	/* A FIN is polite: who looks sees it. */
	f->severity = is_quiet ? TL_INFO : TL_WARNING;
	if (waiting && sum->waited && !is_quiet && w.sender != RESET_BY_CLIENT)
		f->severity = TL_ERROR; /* as a single one would be: somebody got no answer */
	f->confidence = sum->flows >= 10 ? 0.95 : 0.9;
	if (at_once) {
		f->confidence = 0.6;
		tl_finding__counter_evidence(f, 0, sum->last_ns,
					     "all were cut at once: a restart looks the same");
	}
	tl_finding__detail_u64(f, "idle_ms", (sum->idle_ns + TL_NS_PER_MS / 2) / TL_NS_PER_MS);
	tl_finding__detail_u64(f, "flows", sum->flows);
	tl_finding__detail_string(f, "sender", sender_name(w.sender));
	tl_finding__detail_u64(f, "pending", sum->pending);
	tl_finding__detail_u64(f, "by_fin", sum->quiet);
}

/* --- service.crash --------------------------------------------------------------------------- */

struct outages {
	uint64_t flows, rsts, downs, downtime_ns;
	uint32_t n;
	bool refuses, is_back;
	const struct reset_outage *first, *last;
};

/* Those that one finding tells of: it is settled after a quiet time. */
static struct outages sum_up(const struct reset_history *h, uint64_t now_ns)
{
	struct outages sum = { 0 };
	uint32_t known = h->outages < RESET_OUTAGES ? h->outages : RESET_OUTAGES;

	for (uint32_t i = h->outages - known; i != h->outages; i++) {
		const struct reset_outage *o = &h->outage[i % RESET_OUTAGES];

		if (!reset_outage__is_sure(o, now_ns))
			continue;
		if (sum.last && o->from_ns > sum.last->down_last_ns + TL_FINDING_QUIET_NS)
			sum = (struct outages){ 0 };
		if (!sum.n++)
			sum.first = o;
		sum.last = o;
		sum.flows += o->flows;
		sum.rsts += o->rsts;
		sum.downs += o->downs;
		sum.refuses |= o->refuses;
		sum.is_back = o->back_ns;
		sum.downtime_ns +=
			tl_span_ns(o->from_ns, o->back_ns ? o->back_ns : o->down_last_ns);
	}
	return sum;
}

static void prove_outage(const struct reset_outage *o, struct tl_finding *f)
{
	tl_finding__evidence(f, o->from_frame, o->from_ns,
			     "the first of %u connections that the server ended", o->flows);
	if (o->cut_frame != o->from_frame)
		tl_finding__evidence(f, o->cut_frame, o->cut_ns, "the last of them");
	tl_finding__evidence(f, o->down_frame, o->down_ns, "%s",
			     o->refuses ? "a SYN is refused" : "a SYN is repeated: no answer");
	if (o->back_ns && o->back_frame)
		tl_finding__evidence(f, o->back_frame, o->back_ns, "SYN-ACK: it is back");
}

void reset_words__crash(const struct reset_history *h, uint64_t now_ns, struct tl_finding *f)
{
	struct outages sum = sum_up(h, now_ns);
	char target[TL_TEXT_ENDPOINT], ip[TL_TEXT_IP], downtime[TL_TEXT_SPAN], times[32] = "";

	tl_text__endpoint(&h->server, target);
	tl_text__ip(&h->server, ip);
	tl_text__span(sum.downtime_ns, downtime);
	if (sum.n > 1)
		snprintf(times, sizeof(times), " (%u times)", sum.n);
	f->severity = TL_ERROR;
	f->confidence = sum.refuses ? 0.95 : 0.8;
	f->first_ns = sum.first->from_ns;
	f->last_ns = sum.last->back_ns ? sum.last->back_ns : sum.last->down_last_ns;
	f->count = sum.flows;
	f->subject = h->subject;
	f->subject.client = (struct tl_endpoint){ 0 };
	f->evidence_count = f->counter_evidence_count = f->detail_count = 0;
	tl_finding__summary(f, "%s cut %llu connections at once, then %s new ones for %s%s%s",
			    target, (unsigned long long)sum.flows,
			    sum.refuses ? "refused" : "did not answer", downtime,
			    sum.is_back ? "" : " and was not seen to come back", times);
	tl_finding__cause(f,
			  "the process behind tcp/%u of %s ended (a crash, the OOM killer, a "
			  "restart)%s",
			  h->server.port, ip, sum.refuses ? "" : ", or the host went down");
	tl_finding__next(f,
			 "on %s: journalctl -k | grep -i oom, the log of the service and of its "
			 "supervisor at that time; was it a planned restart?",
			 ip);
	tl_service__filter(&h->server, f);
	prove_outage(sum.first, f);
	if (sum.last != sum.first)
		prove_outage(sum.last, f);
	if (!sum.rsts)
		tl_finding__counter_evidence(
			f, 0, f->last_ns, "all connections ended by FIN: perhaps it was stopped");
	tl_finding__detail_u64(f, "flows", sum.flows);
	tl_finding__detail_u64(f, "downtime_ms", sum.downtime_ns / TL_NS_PER_MS);
	tl_finding__detail_u64(f, "failed_attempts", sum.downs);
	tl_finding__detail_bool(f, "recovered", sum.is_back);
}
