/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings as a colleague would write them down: what, since when, who, why, what to do, and how
 * to see it in Wireshark. Of one that goes on, what is new is a line.
 *
 *	ERROR  connect.no_answer
 *	  10.0.1.5 sent 4 SYNs to 10.0.2.10:8080 in 7.0 s and nothing came back
 *	  when       2026-11-22 10:00:01.000 UTC, for 7.0 s
 *	  who        10.0.1.5:40112 -> 10.0.2.10:8080, tcp, on span0, VLAN 12
 *	  cause      a firewall drops the SYN, … (97 % sure)
 *	  seen       frame 12, 10:00:01.000: SYN, seq 1001
 *	  next       look at the firewall rules …
 *	  wireshark  ip.addr==10.0.1.5 && …
 *
 * Everything that came from packets is cleaned of control characters before it is printed.
 */
#include <inttypes.h>
#include <string.h>

#include "export_impl.h"

#define RED    "\033[1;31m"
#define YELLOW "\033[1;33m"
#define GREEN  "\033[1;32m"
#define BLUE   "\033[1;34m"
#define PLAIN  "\033[0m"

static void put_clean(FILE *out, const char *text)
{
	char clean[2048];

	tl_words__clean(text, true, clean, sizeof(clean));
	fputs(clean, out);
}

static void put_label(FILE *out, const char *label)
{
	fprintf(out, "  %-11s", label);
}

static void put_line(FILE *out, const char *label, const char *text)
{
	if (!*text)
		return;
	put_label(out, label);
	put_clean(out, text);
	fputc('\n', out);
}

static void put_head(const struct tl_finding_text *text, const struct tl_finding *f)
{
	static const char *const words[] = { "note", "WARNING", "ERROR" };
	static const char *const colors[] = { BLUE, YELLOW, RED };

	fprintf(text->out, "%s%s%s%s  %s%s\n  ", text->mark ? text->mark : "",
		text->color ? colors[f->severity] : "", words[f->severity],
		text->color ? PLAIN : "", f->kind, "");
	put_clean(text->out, f->summary);
	fputc('\n', text->out);
}

static void put_when(FILE *out, const struct tl_finding *f)
{
	char first[TL_TIME_TEXT], span[32], count[32];

	tl_words__time(f->first_ns, true, first);
	put_label(out, "when");
	fputs(first, out);
	if (f->last_ns > f->first_ns) {
		tl_words__duration(f->last_ns - f->first_ns, span);
		fprintf(out, ", for %s", span);
	}
	if (f->count > 1) {
		tl_words__count(f->count, count);
		fprintf(out, ", %s times", count);
	}
	fputc('\n', out);
}

static void put_path(FILE *out, const struct tl_subject *subject, const char *interface)
{
	if (interface && *interface) {
		fputs(", on ", out);
		put_clean(out, interface);
	}
	for (uint8_t i = 0; i < subject->vlan_count && i < TL_VLAN_MAX; i++)
		fprintf(out, "%s%u", i ? "." : ", VLAN ", subject->vlan[i] & 0xfffu);
	if (subject->tunnel_type != TL_TUNNEL_NONE)
		fprintf(out, ", in %s", tl_format__tunnel(subject->tunnel_type));
	if (subject->tunnel_id)
		fprintf(out, " %u", subject->tunnel_id);
}

static void put_who(FILE *out, const struct tl_subject *subject, const char *interface)
{
	const struct tl_endpoint *client = &subject->client;
	const struct tl_endpoint *server = &subject->server;
	char a[64] = "", b[64] = "", proto[16];

	if (client->ip_version)
		tl_words__endpoint(client, a);
	if (server->ip_version)
		tl_words__endpoint(server, b);
	if (!*a && !*b)
		return;
	put_label(out, "who");
	fprintf(out, "%s%s%s", *a ? a : "any client", *b ? " -> " : "", b);
	if (subject->proto) {
		tl_words__proto(subject->proto, proto);
		fprintf(out, ", %s", proto);
	}
	put_path(out, subject, interface);
	fputc('\n', out);
}

static void put_cause(FILE *out, const struct tl_finding *f)
{
	if (!*f->cause)
		return;
	put_label(out, "cause");
	put_clean(out, f->cause);
	fprintf(out, " (%.0f %% sure)\n", f->confidence * 100);
}

static void put_evidence(FILE *out, const char *label, const struct tl_evidence *evidence,
			 uint32_t count)
{
	char time[TL_TIME_TEXT];

	for (uint32_t i = 0; i < count; i++) {
		put_label(out, i ? "" : label);
		tl_words__time(evidence[i].ts_ns, false, time);
		if (evidence[i].frame)
			fprintf(out, "frame %" PRIu64, evidence[i].frame);
		else
			fputs("(not recorded)", out);
		if (evidence[i].file) {
			fputs(" of ", out);
			put_clean(out, evidence[i].file);
		}
		fprintf(out, "%s%s: ", evidence[i].frame ? ", " : " ", time);
		put_clean(out, evidence[i].what);
		fputc('\n', out);
	}
}

void tl_finding__write_text(const struct tl_finding_text *text, const struct tl_finding *f)
{
	FILE *out = text->out;
	uint32_t evidence =
		f->evidence_count < TL_EVIDENCE_MAX ? f->evidence_count : TL_EVIDENCE_MAX;

	put_head(text, f);
	put_when(out, f);
	put_who(out, &f->subject, text->interface);
	put_cause(out, f);
	put_evidence(out, "seen", f->evidence, evidence);
	put_evidence(out, "against it", f->counter_evidence,
		     f->counter_evidence_count < 4 ? f->counter_evidence_count : 4);
	put_line(out, "next", f->next);
	put_line(out, "wireshark", f->display_filter);
	fputc('\n', out);
}

void tl_finding__write_update(FILE *out, const struct tl_finding *f)
{
	char last[TL_TIME_TEXT], count[32];

	tl_words__time(f->last_ns, false, last);
	fprintf(out, "%s  still %s: ", last, f->kind);
	put_clean(out, f->summary);
	if (f->count > 1) {
		tl_words__count(f->count, count);
		fprintf(out, " (%s times)", count);
	}
	fputc('\n', out);
}

void tl_finding__write_withdrawn(FILE *out, const struct tl_finding *f)
{
	char last[TL_TIME_TEXT];

	tl_words__time(f->last_ns, false, last);
	fprintf(out, "%s  withdrawn, %s: ", last, f->kind);
	put_clean(out, f->summary);
	fputc('\n', out);
}
