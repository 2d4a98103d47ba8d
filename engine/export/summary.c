/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The closing summary as JSON: the whole accounting of a run, in one object.
 *
 *   received = filtered + sampled_out + cut_off + captured + dropped (other than writer)
 *   captured = written + dropped.writer             (for a recording; a note says when none was)
 */
#include <errno.h>

#include "export_impl.h"

static void put_source(struct tl_json *json, const struct tl_source_stats *s)
{
	tl_json__u64(json, "received", s->received);
	tl_json__u64(json, "filtered", s->filtered);
	tl_json__u64(json, "sampled_out", s->sampled_out);
	tl_json__u64(json, "cut_off", s->cut_off);
	tl_json__u64(json, "captured", s->captured);
}

/* Leaves the object open: the writer's share is not known for one interface. */
static void put_drops(struct tl_json *json, const struct tl_drops *d)
{
	tl_json__map(json, "dropped");
	tl_json__u64(json, "nic", d->nic);
	tl_json__u64(json, "ring_full", d->ring_full);
	tl_json__u64(json, "fill_empty", d->fill_empty);
	tl_json__u64(json, "kernel", d->kernel);
}

static void put_totals(struct tl_json *json, const struct tl_run_summary *s)
{
	tl_json__map(json, "packets");
	put_source(json, &s->source);
	tl_json__u64(json, "written", s->recording ? s->recorder.written : 0);
	put_drops(json, &s->source.dropped);
	tl_json__u64(json, "writer", s->recording ? s->recorder.dropped_writer : 0);
	tl_json__map_end(json);
	tl_json__map_end(json);
	tl_json__map(json, "bytes");
	tl_json__u64(json, "received", s->source.received_bytes);
	tl_json__u64(json, "captured", s->source.captured_bytes);
	tl_json__u64(json, "written", s->recording ? s->recorder.written_bytes : 0);
	tl_json__map_end(json);
}

static void put_lists(struct tl_json *json, const struct tl_run_summary *s)
{
	tl_json__array(json, "files");
	for (uint32_t i = 0; s->recording && i < s->recorder.file_count; i++)
		tl_json__string(json, NULL, s->recorder.files[i]);
	tl_json__array_end(json);
	tl_json__array(json, "notes");
	for (uint32_t i = 0; i < s->note_count && i < 16; i++)
		tl_json__string(json, NULL, s->notes[i]);
	if (s->recording && s->recorder.error[0])
		tl_json__string(json, NULL, s->recorder.error);
	if (!s->recording && s->source.captured)
		tl_json__string(json, NULL, "nothing was recorded: no -w");
	tl_json__array_end(json);
	tl_json__array(json, "interfaces");
	for (uint32_t i = 0; i < s->interface_count && i < TL_INTERFACES_MAX; i++) {
		tl_json__map(json, NULL);
		tl_json__string(json, "name", s->interface_names[i]);
		put_source(json, &s->per_interface[i]);
		put_drops(json, &s->per_interface[i].dropped);
		tl_json__map_end(json);
		tl_json__u64(json, "received_bytes", s->per_interface[i].received_bytes);
		tl_json__u64(json, "captured_bytes", s->per_interface[i].captured_bytes);
		tl_json__map_end(json);
	}
	tl_json__array_end(json);
}

int tl_summary__write_json(const struct tl_run_summary *summary, FILE *out)
{
	struct tl_json json;
	int err = tl_json__create(out, &json);

	if (err)
		return err;
	tl_json__begin(&json, "summary");
	tl_json__string(&json, "interface", summary->interface);
	tl_json__string(&json, "backend", summary->backend);
	tl_json__string(&json, "mode", summary->mode);
	tl_json__string(&json, "filter", summary->filter);
	tl_json__fixed(&json, "duration_s", summary->duration_s, 3);
	put_totals(&json, summary);
	put_lists(&json, summary);
	if (summary->recording) {
		tl_json__string(&json, "io", summary->recorder.io);
		tl_json__u64(&json, "files_deleted", summary->recorder.files_deleted);
	}
	err = tl_json__end(&json);
	tl_json__destroy(&json);
	return err ? err : fflush(out) ? -EIO : 0;
}
