/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What closes a diagnosis on a terminal: the verdict, then how far the capture can be trusted.
 *
 *	No fault found in 12,345 packets, 210 flows, 60.0 s.
 *	Capture: complete; nothing was dropped.
 *	Not judged: one-way flows (…)
 *
 * Says only what was measured: a quality record that never came is told as such.
 */
#include <inttypes.h>
#include <string.h>

#include "export_impl.h"

#define BAD   "\033[1;31m"
#define GOOD  "\033[1;32m"
#define PLAIN "\033[0m"

static void put_number(FILE *out, uint64_t n, const char *one, const char *many)
{
	char text[32];

	tl_words__count(n, text);
	fprintf(out, "%s %s", text, n == 1 ? one : many);
}

static void put_scope(FILE *out, const struct tl_capture_quality *q)
{
	char span[32];

	tl_words__duration(q->last_ns > q->first_ns ? q->last_ns - q->first_ns : 0, span);
	fputs(" in ", out);
	put_number(out, q->packets, "packet", "packets");
	fputs(", ", out);
	put_number(out, q->flows, "flow", "flows");
	fprintf(out, ", %s", span);
}

static void put_counts(FILE *out, const uint64_t findings[3])
{
	static const char *const one[] = { "note", "warning", "error" };
	static const char *const many[] = { "notes", "warnings", "errors" };
	bool first = true;

	for (int severity = TL_ERROR; severity >= TL_INFO; severity--) {
		if (!findings[severity])
			continue;
		fputs(first ? "" : ", ", out);
		put_number(out, findings[severity], one[severity], many[severity]);
		first = false;
	}
}

static void put_verdict(const struct tl_verdict_text *v)
{
	bool fault = v->findings[TL_ERROR] || v->findings[TL_WARNING];
	FILE *out = v->out;

	if (v->color)
		fputs(fault ? BAD : GOOD, out);
	fputs(fault ? "Found " : "No fault found", out);
	if (fault)
		put_counts(out, v->findings);
	if (v->color)
		fputs(PLAIN, out);
	if (v->quality)
		put_scope(out, v->quality);
	if (!fault && v->findings[TL_INFO]) {
		fputs("; ", out);
		put_number(out, v->findings[TL_INFO], "note", "notes");
	}
	fputs(".\n", out);
	if (v->untold) {
		put_number(out, v->untold, "further finding is", "further findings are");
		fputs(" counted here but not listed: more than is kept.\n", out);
	}
}

struct clauses {
	FILE *out;
	bool any; /* told so far */
};

/* One clause of the quality line, nothing when there is nothing to tell. */
static void put_clause(struct clauses *c, uint64_t n, const char *one, const char *many)
{
	if (!n)
		return;
	fputs(c->any ? "; " : "Capture: ", c->out);
	put_number(c->out, n, one, many);
	c->any = true;
}

static void put_drops(struct clauses *c, const struct tl_capture_quality *q)
{
	put_clause(c, q->dropped.nic, "packet dropped by the NIC", "packets dropped by the NIC");
	put_clause(c, q->dropped.ring_full, "packet dropped because the ring was full",
		   "packets dropped because the ring was full");
	put_clause(c, q->dropped.fill_empty, "packet dropped for want of a free frame",
		   "packets dropped for want of free frames");
	put_clause(c, q->dropped.kernel, "packet dropped by the kernel",
		   "packets dropped by the kernel");
	put_clause(c, q->dropped_writer, "packet not written: the disk was too slow",
		   "packets not written: the disk was too slow");
}

static void put_quality(FILE *out, const struct tl_capture_quality *q)
{
	struct clauses clauses = { .out = out }, *c = &clauses;

	put_drops(c, q);
	put_clause(c, q->missed_bytes, "byte was acknowledged but never reached the capture",
		   "bytes were acknowledged but never reached the capture");
	put_clause(c, q->copies_removed, "copy of a packet left out", "copies of packets left out");
	if (q->one_way_flows) {
		put_clause(c, q->one_way_flows, "TCP flow seen in one direction only",
			   "TCP flows seen in one direction only");
		fprintf(out, " (%.1f %%)", q->one_way_share * 100);
	}
	put_clause(c, q->midstream_flows, "flow began before the capture",
		   "flows began before the capture");
	put_clause(c, q->truncated_packets, "packet cut off within its headers",
		   "packets cut off within their headers");
	put_clause(c, q->malformed_packets, "malformed packet", "malformed packets");
	put_clause(c, q->flows_evicted, "flow forgotten early: the flow table was full",
		   "flows forgotten early: the flow table was full");
	put_clause(c, q->analysis_shed_packets, "packet not analyzed for want of time",
		   "packets not analyzed for want of time");
	put_clause(c, q->observations_lost, "observation lost under load",
		   "observations lost under load");
	fputs(c->any ? ".\n" : "Capture: complete; nothing was dropped or missed.\n", out);
}

void tl_verdict__write_text(const struct tl_verdict_text *v)
{
	char clean[512];

	put_verdict(v);
	if (!v->quality) {
		fputs("Capture: its quality is not known.\n", v->out);
	} else {
		put_quality(v->out, v->quality);
		for (uint32_t i = 0; i < v->quality->cannot_judge_count && i < 8; i++) {
			tl_words__clean(v->quality->cannot_judge[i], true, clean, sizeof(clean));
			fprintf(v->out, "Not judged: %s\n", clean);
		}
	}
	if (v->file && (v->findings[TL_ERROR] || v->findings[TL_WARNING] || v->findings[TL_INFO])) {
		tl_words__clean(v->file, true, clean, sizeof(clean));
		fprintf(v->out, "To see the packets: wireshark %s, and a finding's filter.\n",
			v->many_files ? "with the file beside the frame's number" : clean);
	}
}
