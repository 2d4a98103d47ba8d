/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tl_compare__run: three passes over the two files.
 *
 *	1  sample.c   clocks, directions, what both sides captured of each packet
 *	2  window.c   every packet meets its counterpart, or does not          ─► tally
 *	3  here       the bytes of pairs whose payload differs                 ─► which were changed
 *
 * Memory does not grow with the files. One thread.
 */
#include "tapline/compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reader.h"
#include "tally.h"
#include "tapline/cursor.h"
#include "tapline/decode.h"

#define WINDOW_NS    2000000000ull
#define PENDING_MAX  2000000u
#define MARGIN_NS    20000000ull
#define FRAME_MAX    1600u /* longer frames on one side alone: its NIC put them together */
#define BYTES_KEPT   16384u
#define RANGES_SHOWN 8u

/* --- second pass ------------------------------------------------------------------------------ */

struct feed {
	struct reader reader;
	struct print print;
	uint64_t common_ns;
	bool has;
};

static void advance(struct feed *f, uint8_t side, const struct overview *o,
		    struct tl_comparison *out)
{
	const struct tl_packet *p;

	f->has = false;
	while (!f->has && (p = reader__next(&f->reader))) {
		struct tl_layers l;

		tl_decode(p, &l);
		f->has = print__take(p, &l, o->payload_limit, &f->print);
		out->not_compared[side] += !f->has;
	}
	if (f->has)
		f->common_ns = side ? clock__to_a(&o->clock, f->print.ts_ns) : f->print.ts_ns;
}

static void feed_window(struct feed feeds[2], const struct overview *o, struct window *window,
			struct tl_comparison *out)
{
	advance(&feeds[0], 0, o, out);
	advance(&feeds[1], 1, o, out);
	while (feeds[0].has || feeds[1].has) {
		uint8_t side =
			!feeds[0].has || (feeds[1].has && feeds[1].common_ns < feeds[0].common_ns);

		window__add(window, &feeds[side].print, side, feeds[side].common_ns);
		advance(&feeds[side], side, o, out);
	}
	window__finish(window);
	out->given_up = window__given_up(window);
}

static int second_pass(const struct tl_compare_opts *opts, struct tally *tally,
		       struct tl_error *ret_error)
{
	struct window_opts window_opts = {
		.room = opts->pending_max ? opts->pending_max : PENDING_MAX,
		.window_ns = opts->window_ns ? opts->window_ns : WINDOW_NS,
		.ops = &tally__ops,
		.ctx = tally,
	};
	struct feed *feeds = calloc(2, sizeof(*feeds));
	struct window *window = NULL;
	int err = feeds ? window__create(&window_opts, &window) : -ENOMEM;

	for (int i = 0; i < 2 && !err; i++)
		err = reader__open(&feeds[i].reader, opts->path[i], ret_error);
	if (!err)
		feed_window(feeds, tally->overview, window, tally->out);
	for (int i = 0; i < 2 && feeds; i++)
		reader__close(&feeds[i].reader);
	window__destroy(window);
	free(feeds);
	return err;
}

/* --- third pass ------------------------------------------------------------------------------- */

/* The payload of one side of a pair. */
struct kept {
	uint32_t bytes;
	int checksum; /* as tl_decode__l4_checksum_ok */
	uint8_t data[BYTES_KEPT];
};

static void keep(const struct tl_packet *p, struct kept *kept)
{
	struct tl_layers l;
	struct tl_cursor c = tl_cursor__init(p->data, p->caplen);
	const uint8_t *data;

	tl_decode(p, &l);
	kept->checksum = tl_decode__l4_checksum_ok(p, &l);
	kept->bytes = l.payload_caplen < BYTES_KEPT ? l.payload_caplen : BYTES_KEPT;
	tl_cursor__skip(&c, l.payload_offset);
	data = tl_cursor__take(&c, kept->bytes);
	if (data)
		memcpy(kept->data, data, kept->bytes);
	else
		kept->bytes = 0;
}

static int fetch(const struct tl_compare_opts *opts, uint32_t side, const struct tally *t,
		 struct kept *kept)
{
	struct reader *reader = malloc(sizeof(*reader));
	const struct tl_packet *p;
	struct tl_error error;
	uint64_t last = 0;
	int err;

	if (!reader)
		return -ENOMEM;
	err = reader__open(reader, opts->path[side], &error);
	for (uint32_t i = 0; i < t->suspect_count; i++)
		last = t->suspect[i].frame[side] > last ? t->suspect[i].frame[side] : last;
	while (!err && (p = reader__next(reader)) && p->frame <= last)
		for (uint32_t i = 0; i < t->suspect_count; i++)
			if (t->suspect[i].frame[side] == p->frame)
				keep(p, &kept[i]);
	reader__close(reader);
	free(reader);
	return err;
}

static void add_range(struct altered *out, uint32_t from, uint32_t to)
{
	size_t at = strlen(out->offsets);

	if (to > from)
		snprintf(out->offsets + at, sizeof(out->offsets) - at, "%s%u-%u", at ? ", " : "",
			 from, to);
	else
		snprintf(out->offsets + at, sizeof(out->offsets) - at, "%s%u", at ? ", " : "",
			 from);
}

static void difference(const struct kept *a, const struct kept *b, struct altered *out)
{
	uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes, ranges = 0, at = 0;

	out->looked_at++;
	out->recomputed += a->checksum == 1 && b->checksum == 1;
	out->cut += b->bytes < a->bytes;
	out->grown += b->bytes > a->bytes;
	while (at < common && out->looked_at == 1) {
		uint32_t from = at;

		while (at < common && a->data[at] != b->data[at])
			at++;
		if (at > from && ranges++ < RANGES_SHOWN)
			add_range(out, from, at - 1);
		at += at == from;
	}
}

static int third_pass(const struct tl_compare_opts *opts, const struct tally *t,
		      struct altered *ret_altered)
{
	struct kept *kept[2];
	int err = 0;

	memset(ret_altered, 0, sizeof(*ret_altered));
	if (!t->suspect_count)
		return 0;
	kept[0] = calloc(t->suspect_count, sizeof(*kept[0]));
	kept[1] = calloc(t->suspect_count, sizeof(*kept[1]));
	if (!kept[0] || !kept[1])
		err = -ENOMEM;
	for (uint32_t side = 0; side < 2 && !err; side++)
		err = fetch(opts, side, t, kept[side]);
	for (uint32_t i = 0; i < t->suspect_count && !err; i++) {
		bool back = t->suspect_direction[i] == TL_COMPARE_B_TO_A;

		difference(&kept[back][i], &kept[!back][i], ret_altered);
	}
	free(kept[0]);
	free(kept[1]);
	return err;
}

/* --- the run ---------------------------------------------------------------------------------- */

static void fill_clock(const struct overview *o, struct tl_comparison *out)
{
	uint64_t b_first = clock__to_a(&o->clock, o->first_ns[1]);
	uint64_t b_last = clock__to_a(&o->clock, o->last_ns[1]);

	out->packets[0] = o->packets[0];
	out->packets[1] = o->packets[1];
	out->lengths_differ = (o->longest[0] > FRAME_MAX) != (o->longest[1] > FRAME_MAX);
	out->has_clock = o->has_clock;
	if (!o->has_clock)
		return;
	out->first_ns = b_first > o->first_ns[0] ? b_first : o->first_ns[0];
	out->last_ns = b_last < o->last_ns[0] ? b_last : o->last_ns[0];
	out->clock_offset_ns =
		clock__offset_at(&o->clock, out->first_ns + (out->last_ns - out->first_ns) / 2);
	out->clock_drift_ppm = o->clock.drift * 1e6;
	out->has_bound = o->clock.has_bound;
	out->clock_bound_ns = o->clock.bound_ns;
}

static void fill_delays(const struct tally *t, struct tl_comparison *out)
{
	for (int d = 0; d < 2; d++) {
		const struct delays *from = &t->delay[d];

		out->delay[d] = (struct tl_compare_delays){
			.packets = from->packets,
			.min_ns = from->min_ns,
			.p50_ns = tally__quantile(from, 0.5),
			.p90_ns = tally__quantile(from, 0.9),
			.p99_ns = tally__quantile(from, 0.99),
			.max_ns = from->max_ns,
		};
	}
}

static int run(const struct tl_compare_opts *opts, struct tally *tally, struct overview *overview,
	       struct tl_error *ret_error)
{
	struct altered altered;
	int err = sample__take(opts, ret_error, overview, tally->hosts);

	if (!err) {
		fill_clock(overview, tally->out);
		err = second_pass(opts, tally, ret_error);
	}
	if (!err)
		tally__settle(tally);
	if (!err)
		err = third_pass(opts, tally, &altered);
	if (err)
		return err;
	fill_delays(tally, tally->out);
	findings__tell(tally, &altered, &opts->sink);
	return 0;
}

int tl_compare__run(const struct tl_compare_opts *opts, struct tl_error *ret_error,
		    struct tl_comparison *ret_comparison)
{
	struct tally *tally = calloc(1, sizeof(*tally));
	struct overview *overview = calloc(1, sizeof(*overview));
	struct tl_comparison out = { 0 };
	int err = -ENOMEM;

	snprintf(ret_error->what, sizeof(ret_error->what), "out of memory");
	if (tally && overview) {
		tally->hosts = calloc(1, sizeof(*tally->hosts));
		tally->overview = overview;
		tally->margin_ns = MARGIN_NS;
		tally->out = &out;
		if (tally->hosts)
			err = run(opts, tally, overview, ret_error);
		free(tally->hosts);
	}
	free(overview);
	free(tally);
	if (!err)
		*ret_comparison = out;
	return err;
}
