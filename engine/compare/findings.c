/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words for what a comparison found: compare.lost, .modified, .delayed, .duplicated and .nat.
 *
 * Frames of evidence, and the display filter, are those of the file that shows the packet; the
 * words say which of the two that is. Where both show it, it is A's.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tally.h"

#define PROTO_TCP 6
#define PROTO_UDP 17

/* Late: by so much, and so many times the median. */
#define LATE_NS		20000000ull
#define LATE_TIMES	10u
#define LATE_MANY	3u
#define LOST_ERROR	0.5 /* from this share on, the way is as good as cut */
#define MAP_PACKETS_MIN 3u

static const char *const direction_name[2] = { "a_to_b", "b_to_a" };
static const char *const direction_word[2] = { "from A to B", "from B to A" };

/* --- filling one in --------------------------------------------------------------------------- */

static struct tl_detail *detail(struct tl_finding *f, const char *name, enum tl_detail_type type)
{
	struct tl_detail *d = &f->details[f->detail_count < TL_DETAILS_MAX ? f->detail_count++
									   : TL_DETAILS_MAX - 1];

	*d = (struct tl_detail){ .name = name, .type = type };
	return d;
}

static void detail_u64(struct tl_finding *f, const char *name, uint64_t value)
{
	detail(f, name, TL_DETAIL_U64)->u64 = value;
}

static void detail_f64(struct tl_finding *f, const char *name, double value)
{
	detail(f, name, TL_DETAIL_F64)->f64 = value;
}

static void detail_string(struct tl_finding *f, const char *name, const char *value)
{
	struct tl_detail *d = detail(f, name, TL_DETAIL_STRING);

	snprintf(d->string, sizeof(d->string), "%s", value);
}

__attribute__((format(printf, 3, 4))) static void
prove(struct tl_finding *f, const struct example *e, const char *format, ...)
{
	struct tl_evidence *evidence = &f->evidence[f->evidence_count];
	va_list args;

	if (f->evidence_count == TL_EVIDENCE_MAX)
		return;
	f->evidence_count++;
	evidence->frame = e->frame[0] ? e->frame[0] : e->frame[1];
	evidence->ts_ns = e->print.ts_ns;
	va_start(args, format);
	vsnprintf(evidence->what, sizeof(evidence->what), format, args);
	va_end(args);
}

static const char *ip_text(uint8_t version, const uint8_t *ip, char ret_text[INET6_ADDRSTRLEN])
{
	if (!inet_ntop(version == 6 ? AF_INET6 : AF_INET, ip, ret_text, INET6_ADDRSTRLEN))
		memcpy(ret_text, "?", 2);
	return ret_text;
}

static struct tl_endpoint endpoint(const struct print *p, const uint8_t *ip, uint16_t port)
{
	struct tl_endpoint e = { .ip_version = p->ip_version, .port = port };

	memcpy(e.ip, ip, 16);
	return e;
}

/* Who sent, who was to have it; the ports where they are the same for all. */
static void name_ends(struct tl_finding *f, const struct examples *x)
{
	const struct print *p = &x->at[0].print;
	bool is_reply = p->src_port < p->dst_port && p->src_port < 1024;
	bool ports = x->same_ports && (p->proto == PROTO_TCP || p->proto == PROTO_UDP);

	f->first_ns = x->first_ns;
	f->last_ns = x->last_ns;
	f->count = x->count;
	if (!x->same_ends)
		return;
	f->subject.client = endpoint(p, is_reply ? p->dst : p->src,
				     ports ? (is_reply ? p->dst_port : p->src_port) : 0);
	f->subject.server = endpoint(p, is_reply ? p->src : p->dst,
				     ports ? (is_reply ? p->src_port : p->dst_port) : 0);
	f->subject.proto = p->proto;
}

/* The hosts of the examples, each pair once. */
static void filter(struct tl_finding *f, const struct example *examples, uint32_t count)
{
	char ip[2][INET6_ADDRSTRLEN], term[144];
	size_t at = 0;

	f->display_filter[0] = 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct print *p = &examples[i].print;
		const char *name = p->ip_version == 6 ? "ipv6" : "ip";

		snprintf(term, sizeof(term), "(%s.src==%s && %s.dst==%s)", name,
			 ip_text(p->ip_version, p->src, ip[0]), name,
			 ip_text(p->ip_version, p->dst, ip[1]));
		if (strstr(f->display_filter, term) ||
		    at + strlen(term) + 5 > sizeof(f->display_filter))
			continue;
		at += (size_t)snprintf(f->display_filter + at, sizeof(f->display_filter) - at,
				       "%s%s", at ? " || " : "", term);
	}
}

static uint32_t shown(const struct examples *x)
{
	return x->count < EXAMPLES ? (uint32_t)x->count : EXAMPLES;
}

static void begin(struct tl_finding *f, const char *kind, const struct examples *x, uint64_t id)
{
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->id = print__hash(id, kind, strlen(kind));
	name_ends(f, x);
	filter(f, x->at, shown(x));
}

static void end(const struct tl_record_sink *sink, const struct tl_finding *f)
{
	if (sink->finding)
		sink->finding(sink->ctx, f, TL_FINDING_SETTLED);
}

#define SAY(field, ...) snprintf((field), sizeof(field), __VA_ARGS__)

/* --- the kinds -------------------------------------------------------------------------------- */

static void tell_lost(const struct tally *t, uint32_t d, const struct tl_record_sink *sink)
{
	const struct examples *x = &t->lost[d];
	uint64_t all = t->direction_packets[d];
	double rate = all ? (double)x->count / (double)all : 0;
	struct tl_finding f;

	if (!x->count)
		return;
	begin(&f, "compare.lost", x, d);
	f.severity = rate >= LOST_ERROR ? TL_ERROR : TL_WARNING;
	f.confidence = t->hosts->by_ttl ? 0.95 : 0.85;
	if (t->out->lengths_differ) {
		f.severity = TL_INFO;
		f.confidence = 0.3;
	}
	SAY(f.summary, "%llu of %llu packets %s did not arrive (%.3g %%)",
	    (unsigned long long)x->count, (unsigned long long)all, direction_word[d], rate * 100);
	if (t->out->lengths_differ)
		SAY(f.cause, "one side shows segments that its NIC put together (offload): they "
			     "cannot be matched, and this is no proof of loss");
	else
		SAY(f.cause,
		    "a queue, a filter or a bad link between the two points; or the "
		    "capture at %s dropped packets",
		    d ? "A" : "B");
	SAY(f.next,
	    "look at the drop counters of the devices between the points, and at what the "
	    "capture at %s says it dropped",
	    d ? "A" : "B");
	for (uint32_t i = 0; i < shown(x); i++)
		prove(&f, &x->at[i], "in %s only", d ? "B" : "A");
	detail_string(&f, "direction", direction_name[d]);
	detail_u64(&f, "packets", x->count);
	detail_u64(&f, "bytes", x->bytes);
	detail_f64(&f, "rate", rate);
	end(sink, &f);
}

static void tell_modified(const struct tally *t, uint32_t d, const struct altered *altered,
			  const struct tl_record_sink *sink)
{
	const struct examples *x = &t->modified[d];
	bool silent = altered->recomputed > 0;
	struct tl_finding f;

	if (!x->count)
		return;
	begin(&f, "compare.modified", x, d);
	f.severity = TL_ERROR;
	f.confidence = 0.97;
	SAY(f.summary, "%llu packet%s %s arrived with another payload%s%s%s",
	    (unsigned long long)x->count, x->count == 1 ? "" : "s", direction_word[d],
	    altered->offsets[0] ? "; bytes " : "", altered->offsets,
	    altered->offsets[0] ? " of the first one's payload differ" : "");
	if (silent)
		SAY(f.cause, "a device between the points rewrites payload and puts the checksum "
			     "right: no receiver can notice");
	else
		SAY(f.cause, "a device or a link between the points damages packets; the checksum "
			     "shows it, so receivers throw them away");
	SAY(f.next, "compare the two frames byte by byte; find the device between the points that "
		    "handles them (firmware, ALG, proxy, inspection)");
	for (uint32_t i = 0; i < shown(x); i++)
		prove(&f, &x->at[i], "in A; frame %llu in B differs",
		      (unsigned long long)x->at[i].frame[1]);
	detail_string(&f, "direction", direction_name[d]);
	detail_u64(&f, "packets", x->count);
	detail_string(&f, "what", "payload");
	detail_string(&f, "offsets", altered->offsets);
	detail_string(&f, "checksum", silent ? "recomputed" : "not_recomputed");
	detail_u64(&f, "shortened", altered->cut);
	detail_u64(&f, "lengthened", altered->grown);
	end(sink, &f);
}

static void tell_rewrite(const struct tally *t, uint32_t what, const struct tl_record_sink *sink)
{
	static const char *const name[REWRITES] = { "dscp", "mss", "sequence_or_ip_id" };
	const struct examples *x = &t->rewrite[what];
	struct tl_finding f;

	if (!x->count)
		return;
	begin(&f, "compare.modified", x, 16 + what);
	f.severity = TL_INFO;
	f.confidence = 0.95;
	if (what == REWRITE_NUMBERS)
		SAY(f.summary, "%llu packets have other sequence numbers or IP IDs at B than at A",
		    (unsigned long long)x->count);
	else
		SAY(f.summary,
		    "%llu packets have another %s at B than at A; the first: %u at A, %u at B",
		    (unsigned long long)x->count, what == REWRITE_TOS ? "DSCP" : "MSS option",
		    t->rewrite_from[what], t->rewrite_to[what]);
	SAY(f.cause, "%s",
	    what == REWRITE_TOS ? "a device between the points marks traffic anew (QoS)"
	    : what == REWRITE_MSS
		    ? "MSS clamping, because of a tunnel or PPPoE on the way"
		    : "a firewall that randomizes initial sequence numbers, or a proxy");
	SAY(f.next, "%s",
	    what == REWRITE_TOS ? "is the class it gets the one it should have?"
				: "nothing, if that is meant to be");
	for (uint32_t i = 0; i < shown(x); i++)
		prove(&f, &x->at[i], "in A; frame %llu in B",
		      (unsigned long long)x->at[i].frame[1]);
	detail_string(&f, "what", name[what]);
	detail_u64(&f, "packets", x->count);
	if (what != REWRITE_NUMBERS) {
		detail_u64(&f, "at_a", t->rewrite_from[what]);
		detail_u64(&f, "at_b", t->rewrite_to[what]);
	}
	end(sink, &f);
}

static void tell_delayed(const struct tally *t, uint32_t d, const struct tl_record_sink *sink)
{
	const struct delays *x = &t->delay[d];
	uint64_t median = tally__quantile(x, 0.5);
	uint64_t late_ns = median * LATE_TIMES > LATE_NS ? median * LATE_TIMES : LATE_NS;
	struct examples late = { 0 };
	struct tl_finding f;

	if (!x->packets || x->max_ns <= late_ns)
		return;
	late.count = tally__above(x, late_ns);
	late.same_ends = false;
	late.first_ns = UINT64_MAX;
	for (uint32_t i = 0, n = 0; i < x->slowest_count; i++) {
		const struct example *e = &x->slowest[i];

		if (e->delay_ns <= late_ns)
			continue;
		late.at[n++] = *e;
		late.count = late.count < n ? n : late.count;
		late.first_ns = e->print.ts_ns < late.first_ns ? e->print.ts_ns : late.first_ns;
		late.last_ns = e->print.ts_ns > late.last_ns ? e->print.ts_ns : late.last_ns;
	}
	begin(&f, "compare.delayed", &late, d);
	f.severity = late.count >= LATE_MANY ? TL_WARNING : TL_INFO;
	f.confidence = t->out->has_bound ? 0.9 : 0.7;
	SAY(f.summary,
	    "%llu of %llu packets %s took longer than %.1f ms, up to %.1f ms; half took "
	    "at most %.3f ms",
	    (unsigned long long)late.count, (unsigned long long)x->packets, direction_word[d],
	    (double)late_ns / 1e6, (double)x->max_ns / 1e6, (double)median / 1e6);
	SAY(f.cause, "a queue between the two points filled up: congestion, or a class of traffic "
		     "that is served last");
	SAY(f.next,
	    "look at queues and QoS classes of the devices between the points at that time");
	for (uint32_t i = 0; i < shown(&late); i++)
		prove(&f, &late.at[i], "in A; frame %llu in B, %.1f ms on the way",
		      (unsigned long long)late.at[i].frame[1], (double)late.at[i].delay_ns / 1e6);
	detail_string(&f, "direction", direction_name[d]);
	detail_u64(&f, "packets", late.count);
	detail_f64(&f, "delay_ms", (double)x->max_ns / 1e6);
	detail_f64(&f, "median_ms", (double)median / 1e6);
	detail_f64(&f, "p99_ms", (double)tally__quantile(x, 0.99) / 1e6);
	end(sink, &f);
}

static void tell_duplicated(const struct tally *t, uint32_t side, const struct tl_record_sink *sink)
{
	const struct examples *x = &t->duplicated[side];
	uint64_t all = t->out->packets[side];
	struct tl_finding f;

	if (!x->count)
		return;
	begin(&f, "compare.duplicated", x, side);
	f.severity = TL_INFO;
	f.confidence = 0.9;
	SAY(f.summary, "%llu packets are twice in %s and once in %s", (unsigned long long)x->count,
	    side ? "B" : "A", side ? "A" : "B");
	SAY(f.cause,
	    "the mirror at %s shows them twice, or a loop or a broken failover between the "
	    "points sends them twice",
	    side ? "B" : "A");
	SAY(f.next, "does the mirror at %s take both the ingress and the egress of a port?",
	    side ? "B" : "A");
	for (uint32_t i = 0; i < shown(x); i++)
		prove(&f, &x->at[i], "in %s, a further copy", side ? "B" : "A");
	detail_string(&f, "direction", direction_name[side ? 0 : 1]);
	detail_string(&f, "at", side ? "b" : "a");
	detail_u64(&f, "packets", x->count);
	detail_f64(&f, "share", all ? (double)x->count / (double)all : 0);
	end(sink, &f);
}

static void tell_map(const struct map *m, uint64_t id, const struct tl_record_sink *sink)
{
	const struct examples *x = &m->examples;
	char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN], text[160];
	struct tl_finding f;

	if (x->count < MAP_PACKETS_MIN)
		return;
	begin(&f, "compare.nat", x, id);
	f.severity = TL_INFO;
	f.confidence = 0.95;
	snprintf(text, sizeof(text), "%s -> %s", ip_text(m->ip_version, m->ip[0], a),
		 ip_text(m->ip_version, m->ip[1], b));
	SAY(f.summary, "%s at A is %s at B, in %llu packets%s", a, b, (unsigned long long)x->count,
	    m->ports_change ? "; ports change as well" : "");
	SAY(f.cause, "network address translation between the two points");
	SAY(f.next, "read findings of A and B with this map in hand");
	for (uint32_t i = 0; i < shown(x); i++)
		prove(&f, &x->at[i], "in A; frame %llu in B",
		      (unsigned long long)x->at[i].frame[1]);
	detail_string(&f, "map", text);
	detail_u64(&f, "packets", x->count);
	detail_string(&f, "as",
		      m->as_source && m->as_destination ? "both"
		      : m->as_source			? "source"
							: "destination");
	end(sink, &f);
}

void findings__tell(const struct tally *t, const struct altered *altered,
		    const struct tl_record_sink *sink)
{
	for (uint32_t d = 0; d < 2; d++) {
		tell_lost(t, d, sink);
		tell_modified(t, d, altered, sink);
		tell_delayed(t, d, sink);
		tell_duplicated(t, d, sink);
	}
	for (uint32_t i = 0; i < REWRITES; i++)
		tell_rewrite(t, i, sink);
	for (uint32_t i = 0; i < t->map_count; i++)
		tell_map(&t->map[i], print__hash(1, t->map[i].ip, 32), sink);
}
