/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The finding writer: a record sink that prints.
 *
 *   sink.finding ─┬─ live JSON: open ► finding_open at once; settled ► finding at once
 *                 ├─ live text: open ► whole the first time (told), a line for each update
 *                 ├─ live: withdrawn ► finding_withdrawn, or a line
 *                 └─ text, file: settled ► kept[0…cap) ─► __finish: ranked ► written ► quality
 *   sink.quality ──► kept ───────────────────────────────────────────────────────┘
 *
 * Invariants: at most KEPT_MAX findings are kept; when full, a graver one takes the place of the
 * least grave, and what is left out is counted. At most TOLD_MAX open ones are remembered as told;
 * when full, the one told longest ago is forgotten, and would be told whole again. Below the caps,
 * output depends on the records alone, not on the order they came in. One thread (the control
 * thread). Writing fails softly: the first error is remembered and returned by __finish.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "export_impl.h"

#define KEPT_MAX 4096u
#define TOLD_MAX 4096u

struct tl_finding_writer {
	struct tl_finding_writer_opts opts;
	struct tl_json json;
	struct tl_finding *kept;
	uint32_t kept_count;
	uint32_t kept_room;
	uint32_t kept_by_severity[3];
	uint64_t seen[3]; /* settled, by severity */
	uint64_t untold;
	struct tl_capture_quality quality;
	bool has_quality;
	int first_error;
	uint32_t told_count;
	uint64_t told[TOLD_MAX]; /* ids of the open ones that a terminal has seen whole */
};

int tl_finding_writer__create(const struct tl_finding_writer_opts *opts,
			      struct tl_finding_writer **ret_writer)
{
	struct tl_finding_writer *writer = calloc(1, sizeof(*writer));
	int err;

	if (!writer)
		return -ENOMEM;
	writer->opts = *opts;
	err = tl_json__create(opts->out, &writer->json);
	if (err) {
		free(writer);
		return err;
	}
	*ret_writer = writer;
	return 0;
}

void tl_finding_writer__destroy(struct tl_finding_writer *writer)
{
	if (!writer)
		return;
	tl_json__destroy(&writer->json);
	free(writer->kept);
	free(writer);
}

static const char *interface_name(const struct tl_finding_writer *writer, uint32_t index)
{
	const struct tl_finding_writer_opts *o = &writer->opts;
	const struct tl_interface *interface = NULL;

	if (!o->interface)
		return NULL;
	if (index != TL_INTERFACE_ALL)
		interface = o->interface(o->ctx, index);
	else if (!o->interface(o->ctx, 1))
		interface = o->interface(o->ctx, 0);
	return interface ? interface->name : NULL;
}

static void remember_error(struct tl_finding_writer *writer, int err)
{
	if (err && !writer->first_error)
		writer->first_error = err;
}

static const char *const json_type[] = {
	[TL_FINDING_OPEN] = "finding_open",
	[TL_FINDING_SETTLED] = "finding",
	[TL_FINDING_WITHDRAWN] = "finding_withdrawn",
};

static void write_finding(struct tl_finding_writer *writer, const struct tl_finding *f,
			  enum tl_finding_state state)
{
	const char *interface = interface_name(writer, f->subject.interface);
	struct tl_finding_text text = {
		.out = writer->opts.out,
		.color = writer->opts.color,
		.interface = interface,
		.mark = state == TL_FINDING_OPEN ? "(still going on) " : NULL,
	};

	if (writer->opts.json) {
		tl_finding__write_json(&writer->json, f, interface, json_type[state]);
		remember_error(writer, tl_json__end(&writer->json));
		return;
	}
	tl_finding__write_text(&text, f);
	remember_error(writer, ferror(writer->opts.out) ? -EIO : 0);
}

/* TOLD_MAX when it was not. */
static uint32_t place_told(const struct tl_finding_writer *writer, uint64_t id)
{
	for (uint32_t i = 0; i < writer->told_count; i++)
		if (writer->told[i] == id)
			return i;
	return TOLD_MAX;
}

static void forget_told(struct tl_finding_writer *writer, uint32_t place)
{
	if (place >= writer->told_count)
		return;
	writer->told_count--;
	memmove(&writer->told[place], &writer->told[place + 1],
		(writer->told_count - place) * sizeof(writer->told[0]));
}

/* On a terminal: whole the first time, then a line each time that it has grown. */
static void tell_open(struct tl_finding_writer *writer, const struct tl_finding *f)
{
	if (place_told(writer, f->id) < TOLD_MAX) {
		tl_finding__write_update(writer->opts.out, f);
		return;
	}
	if (writer->told_count == TOLD_MAX)
		forget_told(writer, 0);
	writer->told[writer->told_count++] = f->id;
	write_finding(writer, f, TL_FINDING_OPEN);
}

static void tell_withdrawn(struct tl_finding_writer *writer, const struct tl_finding *f)
{
	uint32_t place = place_told(writer, f->id);

	if (place == TOLD_MAX)
		return;
	forget_told(writer, place);
	tl_finding__write_withdrawn(writer->opts.out, f);
}

/* Room for one more; false at the cap or without memory. */
static bool make_room(struct tl_finding_writer *writer)
{
	uint32_t room = writer->kept_room ? writer->kept_room * 2 : 16;
	struct tl_finding *kept;

	if (writer->kept_count < writer->kept_room)
		return true;
	if (writer->kept_room >= KEPT_MAX)
		return false;
	kept = reallocarray(writer->kept, room, sizeof(*kept));
	if (!kept)
		return false;
	writer->kept = kept;
	writer->kept_room = room;
	return true;
}

/* The least grave of those kept, when it is less grave than `severity`; NULL else. */
static struct tl_finding *less_grave(struct tl_finding_writer *writer, enum tl_severity severity)
{
	enum tl_severity least = TL_INFO;

	while (least < severity && !writer->kept_by_severity[least])
		least++;
	if (least >= severity)
		return NULL;
	for (uint32_t i = writer->kept_count; i-- > 0;)
		if (writer->kept[i].severity == least)
			return &writer->kept[i];
	return NULL;
}

static void keep(struct tl_finding_writer *writer, const struct tl_finding *f)
{
	struct tl_finding *place;

	if (make_room(writer)) {
		place = &writer->kept[writer->kept_count++];
	} else {
		writer->untold++;
		place = less_grave(writer, f->severity);
		if (!place)
			return;
		writer->kept_by_severity[place->severity]--;
	}
	*place = *f;
	writer->kept_by_severity[f->severity]++;
}

static void on_finding(void *ctx, const struct tl_finding *f, enum tl_finding_state state)
{
	struct tl_finding_writer *writer = ctx;

	if (state == TL_FINDING_SETTLED)
		writer->seen[f->severity]++;
	if (writer->opts.live && writer->opts.json)
		write_finding(writer, f, state);
	else if (writer->opts.live && state == TL_FINDING_OPEN)
		tell_open(writer, f);
	else if (writer->opts.live && state == TL_FINDING_WITHDRAWN)
		tell_withdrawn(writer, f);
	if (writer->opts.live)
		fflush(writer->opts.out);
	if (state != TL_FINDING_SETTLED || (writer->opts.live && writer->opts.json))
		return;
	forget_told(writer, place_told(writer, f->id));
	keep(writer, f);
}

static void on_quality(void *ctx, const struct tl_capture_quality *quality)
{
	struct tl_finding_writer *writer = ctx;

	writer->quality = *quality;
	writer->has_quality = true;
}

struct tl_record_sink tl_finding_writer__sink(struct tl_finding_writer *writer)
{
	return (struct tl_record_sink){
		.ctx = writer,
		.finding = on_finding,
		.quality = on_quality,
	};
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_endpoints(const struct tl_endpoint *a, const struct tl_endpoint *b)
{
	int order = compare_u64(a->ip_version, b->ip_version);

	if (!order)
		order = memcmp(a->ip, b->ip, sizeof(a->ip));
	return order ? order : compare_u64(a->port, b->port);
}

/* Graver, then more often, then earlier; the rest only makes the order the same each time. */
static int compare_rank(const void *left, const void *right)
{
	const struct tl_finding *a = left, *b = right;
	int order = compare_u64(b->severity, a->severity);

	if (!order)
		order = compare_u64(b->count, a->count);
	if (!order)
		order = compare_u64(a->first_ns, b->first_ns);
	if (!order)
		order = strcmp(a->kind, b->kind);
	if (!order)
		order = compare_endpoints(&a->subject.client, &b->subject.client);
	if (!order)
		order = compare_endpoints(&a->subject.server, &b->subject.server);
	if (!order)
		order = compare_u64(a->id, b->id);
	return order ? order : compare_u64(a->last_ns, b->last_ns);
}

static void write_close(struct tl_finding_writer *writer)
{
	struct tl_verdict_text verdict = {
		.out = writer->opts.out,
		.color = writer->opts.color,
		.file = writer->opts.file,
		.many_files = writer->opts.many_files,
		.findings = { writer->seen[0], writer->seen[1], writer->seen[2] },
		.untold = writer->untold,
		.quality = writer->has_quality ? &writer->quality : NULL,
	};

	if (!writer->opts.json) {
		if (!writer->opts.no_verdict)
			tl_verdict__write_text(&verdict);
	} else if (writer->has_quality) {
		tl_quality__write_json(&writer->json, &writer->quality, writer->untold);
		remember_error(writer, tl_json__end(&writer->json));
	}
}

int tl_finding_writer__finish(struct tl_finding_writer *writer)
{
	if (writer->opts.live && writer->kept_count)
		fputs("All findings, the gravest first:\n\n", writer->opts.out);
	if (writer->kept_count)
		qsort(writer->kept, writer->kept_count, sizeof(*writer->kept), compare_rank);
	for (uint32_t i = 0; i < writer->kept_count; i++)
		write_finding(writer, &writer->kept[i], TL_FINDING_SETTLED);
	writer->kept_count = 0;
	write_close(writer);
	if (fflush(writer->opts.out) || ferror(writer->opts.out))
		remember_error(writer, -EIO);
	if (writer->first_error)
		return writer->first_error;
	for (int severity = TL_ERROR; severity >= TL_INFO; severity--)
		if (writer->seen[severity])
			return severity;
	return -1;
}
