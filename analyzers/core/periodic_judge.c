/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of traffic.periodic: puts the workers' reports of a second together, asks the beat, and
 * words the finding. See core/periodic.h; control thread.
 *
 *	reports of second s ─► run.at_ns, sorted ─► beat ─► even? ─► finding (info, or a warning
 *	when connections come every 20 ms or faster, or requests every 5 ms, for two seconds)
 *
 * Invariants: a second is closed when a later one begins (reports come in packet time), so a
 *finding does not depend on ticks. A pair whose beat gets lost begins anew, unless it has been told
 *of.
 */
#include <stdlib.h>
#include <string.h>

#include "core/periodic.h"

#define LATEST_REPORT_S 3u

/* Tiny: a check says and hears little. Bytes of payload, for each knock. */
#define CLIENT_PAYLOAD_MAX 1024u
#define SERVER_PAYLOAD_MAX 4096u
/*
 * Who asks again as soon as the answer is there is a busy client, not a clock: a clock waits. As a
 * share of the period.
 */
#define IDLE_MIN 0.15
/* No timer runs faster: its slack alone is 50 us (prctl(2), PR_SET_TIMERSLACK). */
#define PERIOD_MIN_NS 200000.0

#define STORM_SPAN_NS	    (2 * TL_NS_PER_SEC)
#define STORM_PERIOD_NS	    20000000.0
#define STORM_SHARE	    0.05 /* of all packets */
#define STORM_REQUEST_NS    5000000.0
#define STORM_REQUEST_SHARE 0.3
/* A storm's checks carry next to nothing. */
#define STORM_PAYLOAD 400u
#define STORM_DENSE   0.5 /* of the time in which it knocks at all */
/* Sooner, one flow of datagrams is a stream unless it says and hears next to nothing. */
#define DATAGRAM_PERIOD_MIN_NS 100000000.0

struct verdict {
	double period_ns, variation;
	double share, packet_share;
	double per_s;
	bool is_storm;
};

int tl_periodic_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct tl_periodic_judge *j = state;

	j->view = *view;
	return 0;
}

/* --- words ------------------------------------------------------------------------------------ */

static const char *what_it_does(const struct tl_periodic_run *r)
{
	if (r->subject.proto == TL_PROTO_TCP)
		return r->way == TL_PERIODIC_CONNECTIONS ? "connects to" : "sends a request to";
	return r->subject.server.port ? "sends a datagram to" : "pings";
}

static void word_period(double period_ns, char *ret_text, size_t room)
{
	double ms = period_ns / 1e6;

	if (ms < 1000)
		snprintf(ret_text, room, ms < 10 ? "%.2f ms" : "%.0f ms", ms);
	else
		snprintf(ret_text, room, "%.1f s", ms / 1e3);
}

static void word(struct tl_finding *f, const struct tl_periodic_run *r, const struct verdict *v)
{
	char client[TL_TEXT_IP], server[TL_TEXT_ENDPOINT], period[32];

	tl_text__ip(&r->subject.client, client);
	if (r->subject.server.port)
		tl_text__endpoint(&r->subject.server, server);
	else
		tl_text__ip(&r->subject.server, server);
	word_period(v->period_ns, period, sizeof(period));
	tl_finding__summary(
		f,
		"%s %s %s every %s, like a clock: %llu times, %.1f a second, %.1f %% of "
		"all packets and %.1f %% of all bytes",
		client, what_it_does(r), server, period, (unsigned long long)r->knocks, v->per_s,
		v->packet_share * 100, v->share * 100);
	if (v->is_storm) {
		tl_finding__cause(f,
				  "a health check or a poll whose interval is set far too short");
		tl_finding__next(
			f,
			"set the interval of the check on %s to seconds (it is %s); a load "
			"balancer's own checks look like this",
			client, period);
	} else {
		tl_finding__cause(f, "a health check, a monitor, a heartbeat or a poll");
		tl_finding__next(f, "nothing, if %s is meant to check %s that often", client,
				 server);
	}
}

static void filter(struct tl_finding *f, const struct tl_subject *s)
{
	char a[TL_TEXT_FILTER], b[TL_TEXT_FILTER], port[32] = "";

	if (s->server.port)
		snprintf(port, sizeof(port), " && %s.port==%u",
			 s->proto == TL_PROTO_TCP ? "tcp" : "udp", s->server.port);
	tl_finding__filter(f, "%s && %s%s", tl_text__ip_filter(&s->client, a),
			   tl_text__ip_filter(&s->server, b), port);
}

static void proofs(struct tl_finding *f, const struct tl_periodic_run *r)
{
	f->evidence_count = 0;
	for (uint32_t i = 0; i < r->proof_count; i++)
		tl_finding__evidence(f, r->proof[i].frame, r->proof[i].ts_ns,
				     r->way == TL_PERIODIC_CONNECTIONS
					     ? "first connection of a second"
					     : "first request of a second");
}

static void details(struct tl_finding *f, const struct tl_periodic_run *r, const struct verdict *v)
{
	tl_finding__detail_f64(f, "period_ms", v->period_ns / 1e6);
	tl_finding__detail_f64(f, "variation", v->variation);
	if (r->way == TL_PERIODIC_CONNECTIONS)
		tl_finding__detail_f64(f, "connections_per_s", v->per_s);
	else
		tl_finding__detail_f64(f, "requests_per_s", v->per_s);
	tl_finding__detail_u64(f, "packets", r->packets);
	tl_finding__detail_u64(f, "bytes", r->bytes);
	tl_finding__detail_f64(f, "share", v->share);
	tl_finding__detail_f64(f, "packet_share", v->packet_share);
}

/* The same storm, told as that of a talker, is then worth knowing, no more. */
static void calm_talker(struct tl_periodic_judge *j, const struct tl_endpoint *client)
{
	uint8_t key[TL_ENDPOINT_KEY];
	struct tl_finding *f;
	bool is_new;

	tl_endpoint__key(client, key);
	f = tl_findings__begin(j->view.findings, "traffic.top_talker", key, sizeof(key), &is_new);
	if (is_new) {
		tl_findings__retract(j->view.findings, f);
		return;
	}
	f->severity = TL_INFO;
	tl_findings__commit(j->view.findings, f, f->last_ns);
}

static void tell(struct tl_periodic_judge *j, const struct tl_periodic_run *r,
		 const struct verdict *v)
{
	uint8_t key[TL_PAIR_KEY];
	struct tl_finding *f;
	bool is_new;

	tl_pair__key(&r->subject, r->way, key);
	f = tl_findings__begin(j->view.findings, "traffic.periodic", key, sizeof(key), &is_new);
	f->severity = v->is_storm ? TL_WARNING : TL_INFO;
	f->confidence = v->variation < 0.05 ? 0.95 : 0.9;
	f->first_ns = r->first_ns;
	f->last_ns = r->last_ns;
	f->count = r->knocks;
	f->subject = r->subject;
	word(f, r, v);
	filter(f, &r->subject);
	proofs(f, r);
	details(f, r, v);
	tl_findings__commit(j->view.findings, f, r->last_ns);
	if (v->is_storm)
		calm_talker(j, &r->subject.client);
}

/* --- seconds ---------------------------------------------------------------------------------- */

/* Of what is known so far: the whole may be told later than the part. */
static double share_of(uint64_t part, uint64_t whole)
{
	return part < whole ? (double)part / (double)whole : whole > 0;
}

static void weigh(const struct tl_periodic_judge *j, const struct tl_periodic_run *r,
		  struct verdict *v)
{
	bool is_datagram = r->subject.proto != TL_PROTO_TCP;
	bool is_long = r->last_ns - r->first_ns >= STORM_SPAN_NS;

	double mean_ns = (double)(r->last_ns - r->first_ns) / (double)(r->knocks - 1);

	/* Over all of it, unless checks are missing: then the middle ones know better. */
	if (r->knocks > 1 && mean_ns > 0.9 * v->period_ns && mean_ns < 1.1 * v->period_ns)
		v->period_ns = mean_ns;
	v->share = share_of(r->bytes, j->bytes - r->base_bytes);
	v->packet_share = share_of(r->packets, j->packets - r->base_packets);
	v->per_s = r->last_ns > r->first_ns
			   ? (double)(r->knocks - 1) * 1e9 / (double)(r->last_ns - r->first_ns)
			   : 0;
	if (r->way == TL_PERIODIC_CONNECTIONS)
		v->is_storm = v->period_ns <= STORM_PERIOD_NS &&
			      v->packet_share >= (is_datagram ? STORM_REQUEST_SHARE : STORM_SHARE);
	else
		v->is_storm =
			v->period_ns <= STORM_REQUEST_NS && v->packet_share >= STORM_REQUEST_SHARE;
	/* Who wants no answer may have to say much: telemetry. */
	if (is_datagram && r->way == TL_PERIODIC_REQUESTS && !r->payload[1])
		v->is_storm = false;
	/* A loop that ran for a moment, now and then, is none. */
	v->is_storm = v->is_storm && is_long && v->per_s * v->period_ns >= STORM_DENSE * 1e9 &&
		      r->payload[0] <= r->knocks * STORM_PAYLOAD;
}

/*
 * Does it wait between two knocks? A pause between two rows of them is no part of that: it is
 * neither idle time nor a time in which it could have knocked.
 */
static bool waits(const struct tl_periodic_run *r, const struct verdict *v)
{
	double span_ns = (double)(r->last_ns - r->first_ns);
	double rows_ns = v->period_ns * (double)r->knocks;
	double pauses_ns = span_ns > rows_ns ? span_ns - rows_ns : 0;

	return (double)r->idle_ns - pauses_ns >= IDLE_MIN * (span_ns - pauses_ns);
}

static bool is_check(const struct tl_periodic_run *r, const struct verdict *v)
{
	if (r->payload[0] > r->knocks * CLIENT_PAYLOAD_MAX ||
	    r->payload[1] > r->knocks * SERVER_PAYLOAD_MAX)
		return false;
	if (r->subject.proto != TL_PROTO_TCP && r->subject.server.port &&
	    r->way == TL_PERIODIC_REQUESTS && v->period_ns < DATAGRAM_PERIOD_MIN_NS &&
	    (r->payload[0] > r->knocks * TL_PERIODIC_DATAGRAM_MAX ||
	     r->payload[1] > r->knocks * TL_PERIODIC_DATAGRAM_MAX))
		return false;
	return v->period_ns >= PERIOD_MIN_NS && waits(r, v);
}

static int compare(const void *left, const void *right)
{
	const uint32_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* The beat hears this second's knocks. */
static void hear(struct tl_periodic_run *r, uint64_t second)
{
	uint32_t slot[TL_BEAT_SLOTS] = { 0 };

	qsort(r->at_ns, r->count, sizeof(r->at_ns[0]), compare);
	for (uint32_t i = 0; i < r->count; i++) {
		tl_beat__knock(&r->beat, second * TL_NS_PER_SEC + r->at_ns[i]);
		slot[r->at_ns[i] / (TL_NS_PER_SEC / TL_BEAT_SLOTS)]++;
	}
	/* Only a second that is whole. */
	if (slot[0] && slot[TL_BEAT_SLOTS - 1] && r->seconds)
		tl_beat__count(&r->beat, slot);
}

static void add_second(struct tl_periodic_run *r, uint64_t second)
{
	if (!r->knocks)
		r->first_ns = second * TL_NS_PER_SEC + r->at_ns[0];
	r->last_ns = second * TL_NS_PER_SEC + r->at_ns[r->count - 1];
	r->seconds++;
	r->knocks += r->count;
	r->packets += r->now.packets;
	r->bytes += r->now.bytes;
	r->payload[0] += r->now.client_payload;
	r->payload[1] += r->now.server_payload;
	r->idle_ns += r->now.idle_ns;
	if (r->proof_count < TL_PERIODIC_PROOFS)
		r->proof[r->proof_count++] = (struct tl_proof){
			.frame = r->now.first_frame,
			.ts_ns = r->now.first_ns,
		};
}

/* The beat was lost before it was told of: what is counted begins anew, and the newest intervals
 * decide. */
static void begin_anew(struct tl_periodic_judge *j, struct tl_periodic_run *r)
{
	r->first_ns = r->last_ns = 0;
	r->knocks = r->packets = r->bytes = r->idle_ns = r->seconds = 0;
	r->payload[0] = r->payload[1] = 0;
	r->proof_count = 0;
	r->is_even = false;
	tl_beat__forget(&r->beat);
	r->base_packets = j->packets;
	r->base_bytes = j->bytes;
}

static void close_run(struct tl_periodic_judge *j, struct tl_periodic_run *r)
{
	struct verdict v = { 0 };

	if (r->last_ns && j->second * TL_NS_PER_SEC > r->last_ns + TL_FINDING_QUIET_NS) {
		begin_anew(j, r);
		r->beat.last_ns = 0;
	}
	if (r->count && !r->overflowed) {
		hear(r, j->second);
		add_second(r, j->second);
		if (tl_beat__is_even(&r->beat, &v.period_ns, &v.variation)) {
			weigh(j, r, &v);
			r->is_even = is_check(r, &v);
			if (r->is_even)
				tell(j, r, &v);
		} else if (!r->is_even && r->beat.intervals >= 2 * TL_BEAT_RING) {
			begin_anew(j, r);
		}
	} else if (r->count) {
		begin_anew(j, r);
		r->beat.last_ns = 0;
	} else if (r->knocks) {
		r->packets += r->now.packets;
		r->bytes += r->now.bytes;
		r->payload[0] += r->now.client_payload;
		r->payload[1] += r->now.server_payload;
	}
	r->count = 0;
	r->overflowed = false;
	r->now = (struct tl_periodic_head){ 0 };
}

static void close_second(struct tl_periodic_judge *j)
{
	if (!j->is_open)
		return;
	j->is_open = false;
	j->packets += j->now_packets;
	j->bytes += j->now_bytes;
	j->now_packets = j->now_bytes = 0;
	for (uint32_t i = 0; i < TL_PERIODIC_SETS * TL_PERIODIC_WAYS; i++)
		if (tl_written__has(j->written, i) && (j->run[i].count || j->run[i].now.packets))
			close_run(j, &j->run[i]);
}

/* --- reports ---------------------------------------------------------------------------------- */

static bool is_run(const struct tl_periodic_run *r, const struct tl_subject *s, uint32_t way)
{
	return r->way == way && r->subject.proto == s->proto &&
	       r->subject.server.port == s->server.port &&
	       tl_endpoint__same_host(&r->subject.client, &s->client) &&
	       tl_endpoint__same_host(&r->subject.server, &s->server);
}

static struct tl_periodic_run *find_run(struct tl_periodic_judge *j, const struct tl_subject *s,
					uint32_t way)
{
	uint8_t key[TL_PAIR_KEY];
	struct tl_periodic_run *set, *oldest;
	uint64_t hash, *hashes;
	uint32_t first;

	tl_pair__key(s, (uint8_t)way, key);
	hash = tl_text__hash(0, key, sizeof(key));
	first = (uint32_t)(hash & (TL_PERIODIC_SETS - 1)) * TL_PERIODIC_WAYS;
	hashes = &j->hash[first];
	oldest = set = &j->run[first];
	for (uint32_t i = 0; i < TL_PERIODIC_WAYS; i++)
		if (hashes[i] == hash && tl_written__has(j->written, first + i) &&
		    is_run(&set[i], s, way))
			return &set[i];
	for (uint32_t i = 0; i < TL_PERIODIC_WAYS; i++) {
		if (!tl_written__has(j->written, first + i)) {
			oldest = &set[i];
			break;
		}
		if (set[i].last_ns < oldest->last_ns)
			oldest = &set[i];
	}
	tl_written__add(j->written, (uint32_t)(oldest - j->run));
	hashes[oldest - set] = hash;
	/* The buffer of knocks need not be cleared. */
	oldest->overflowed = false;
	oldest->count = 0;
	oldest->now = (struct tl_periodic_head){ 0 };
	oldest->way = (uint8_t)way;
	oldest->subject = *s;
	begin_anew(j, oldest);
	oldest->beat.last_ns = 0;
	return oldest;
}

/* `at_ns`: of `report->count` knocks. */
static void add_report(struct tl_periodic_run *r, const struct tl_periodic_head *report,
		       const void *at_ns)
{
	uint32_t n = report->count;

	if (n && (!r->count || report->first_ns < r->now.first_ns)) {
		r->now.first_ns = report->first_ns;
		r->now.first_frame = report->first_frame;
	}
	r->now.packets += report->packets;
	r->now.bytes += report->bytes;
	r->now.client_payload += report->client_payload;
	r->now.server_payload += report->server_payload;
	r->now.idle_ns += report->idle_ns;
	if (r->count + n > TL_PERIODIC_BUFFER) {
		r->overflowed = true;
		n = TL_PERIODIC_BUFFER - r->count;
	}
	memcpy(r->at_ns + r->count, at_ns, n * sizeof(r->at_ns[0]));
	r->count += n;
}

void tl_periodic_judge__observe(void *state, const struct tl_observation *observation)
{
	struct tl_periodic_judge *j = state;
	struct tl_periodic_head report;

	if (observation->data_bytes < sizeof(report))
		return;
	memcpy(&report, observation->data, sizeof(report));
	if (report.count > TL_PERIODIC_KNOCKS ||
	    observation->data_bytes != tl_periodic_report__bytes(report.count))
		return;
	if (report.second > j->second) {
		close_second(j);
		j->second = report.second;
	}
	j->is_open = true;
	if (observation->kind == TL_PERIODIC_TOTALS) {
		j->now_packets += report.packets;
		j->now_bytes += report.bytes;
	} else if (observation->kind == TL_PERIODIC_KNOCKED) {
		add_report(find_run(j, &observation->subject, report.way), &report,
			   observation->data + sizeof(report));
	}
}

void tl_periodic_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct tl_periodic_judge *j = state;

	(void)totals;
	if (now_ns / TL_NS_PER_SEC >= j->second + LATEST_REPORT_S)
		close_second(j);
}

void tl_periodic_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	(void)now_ns;
	(void)totals;
	close_second(state);
}
