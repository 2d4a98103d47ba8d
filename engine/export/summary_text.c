/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closing summary for people: aligned lines, then both equations of the accounting, so that
 * anyone can see that no packet is missing from it.
 *
 *	span0, 10.0 s, afxdp: native, 2 queues; filter "tcp"
 *	       1,000 received
 *	          10 filtered
 *	         990 captured
 *	         990 written to a.pcapng (12,345 bytes)
 *	1,000 received = 10 filtered + 990 captured
 *	990 captured = 990 written
 *
 * Terms that are 0 are left out. An equation that does not hold says by how much.
 */
#include <errno.h>
#include <inttypes.h>

#include "export_impl.h"

#define TERMS_MAX 8

struct term {
	uint64_t packets;
	const char *what;
};

static void put_clean(FILE *out, const char *text)
{
	char clean[4096];

	tl_words__clean(text, true, clean, sizeof(clean));
	fputs(clean, out);
}

static void put_head(FILE *out, const struct tl_run_summary *s)
{
	put_clean(out, s->interface);
	fprintf(out, ", %.1f s, %s", s->duration_s, s->backend ? s->backend : "no source");
	if (s->mode[0]) {
		fputs(": ", out);
		put_clean(out, s->mode);
	}
	if (s->filter && *s->filter) {
		fputs("; filter \"", out);
		put_clean(out, s->filter);
		fputc('"', out);
	}
	fputc('\n', out);
}

static void put_term_line(FILE *out, const struct term *term)
{
	char count[32];

	tl_words__count(term->packets, count);
	fprintf(out, "  %15s %s\n", count, term->what);
}

static void put_equation(FILE *out, const struct term *left, const struct term *right, int n)
{
	uint64_t sum = 0;
	bool first = true;
	char count[32];

	tl_words__count(left->packets, count);
	fprintf(out, "  %s %s =", count, left->what);
	for (int i = 0; i < n; i++) {
		bool last = i == n - 1;

		sum += right[i].packets;
		if (!right[i].packets && !(first && last))
			continue;
		tl_words__count(right[i].packets, count);
		fprintf(out, "%s %s %s", first ? "" : " +", count, right[i].what);
		first = false;
	}
	if (sum != left->packets) {
		tl_words__count(sum > left->packets ? sum - left->packets : left->packets - sum,
				count);
		fprintf(out, "  (off by %s: please report this)", count);
	}
	fputc('\n', out);
}

static int source_terms(const struct tl_source_stats *s, struct term ret_terms[TERMS_MAX])
{
	const struct term terms[TERMS_MAX] = {
		{ s->filtered, "filtered" },
		{ s->sampled_out, "sampled out" },
		{ s->cut_off, "cut off" },
		{ s->dropped.nic, "dropped by the NIC" },
		{ s->dropped.ring_full, "dropped, ring full" },
		{ s->dropped.fill_empty, "dropped, no free frame" },
		{ s->dropped.kernel, "dropped by the kernel" },
		{ s->captured, "captured" },
	};

	for (int i = 0; i < TERMS_MAX; i++)
		ret_terms[i] = terms[i];
	return TERMS_MAX;
}

static void put_source(FILE *out, const char *name, const struct tl_source_stats *s)
{
	struct term terms[TERMS_MAX], received = { s->received, "received" };
	int n = source_terms(s, terms);

	if (name) {
		fputs("  ", out);
		put_clean(out, name);
		fputc(':', out);
	}
	put_equation(out, &received, terms, n);
}

static void put_recorder(FILE *out, const struct tl_run_summary *s)
{
	const struct tl_recorder_summary *r = &s->recorder;
	char bytes[32], files[32];

	tl_words__count(r->written_bytes, bytes);
	tl_words__count(r->file_count, files);
	fprintf(out, "  %15s bytes in ", bytes);
	if (r->file_count == 1)
		put_clean(out, r->files[0]);
	else
		fprintf(out, "%s files", files);
	if (r->file_count > 1) {
		fputs(", the last ", out);
		put_clean(out, r->files[r->file_count - 1]);
	}
	if (r->files_deleted)
		fprintf(out, ", %" PRIu64 " older ones deleted", r->files_deleted);
	fputc('\n', out);
}

static void put_notes(FILE *out, const struct tl_run_summary *s)
{
	for (uint32_t i = 0; i < s->note_count && i < 16; i++) {
		fputs("  note: ", out);
		put_clean(out, s->notes[i]);
		fputc('\n', out);
	}
	if (s->recording && s->recorder.error[0]) {
		fputs("  note: ", out);
		put_clean(out, s->recorder.error);
		fputc('\n', out);
	}
	if (!s->recording && s->source.captured)
		fputs("  note: nothing was recorded: no -w\n", out);
}

int tl_summary__write_text(const struct tl_run_summary *s, FILE *out)
{
	struct term terms[TERMS_MAX], received = { s->source.received, "received" };
	struct term captured = { s->source.captured, "captured" };
	struct term recorded[2] = {
		{ s->recorder.dropped_writer, "dropped by the writer" },
		{ s->recorder.written, "written" },
	};
	int n = source_terms(&s->source, terms);

	flockfile(out);
	put_head(out, s);
	put_term_line(out, &received);
	for (int i = 0; i < n; i++)
		if (terms[i].packets || i == n - 1)
			put_term_line(out, &terms[i]);
	for (int i = 0; s->recording && i < 2; i++)
		if (recorded[i].packets || i == 1)
			put_term_line(out, &recorded[i]);
	if (s->recording)
		put_recorder(out, s);
	put_source(out, NULL, &s->source);
	for (uint32_t i = 0; s->interface_count > 1 && i < s->interface_count; i++)
		put_source(out, s->interface_names[i], &s->per_interface[i]);
	if (s->recording)
		put_equation(out, &captured, recorded, 2);
	put_notes(out, s);
	funlockfile(out);
	return fflush(out) || ferror(out) ? -EIO : 0;
}
