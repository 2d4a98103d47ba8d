/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The record that closes a comparison of two captures, as JSON and for people. */
#include <errno.h>
#include <inttypes.h>

#include "export_impl.h"
#include "tapline/compare.h"

static void put_delays(struct tl_json *json, const char *key, const struct tl_compare_delays *d)
{
	if (!d->packets) {
		tl_json__null(json, key);
		return;
	}
	tl_json__map(json, key);
	tl_json__u64(json, "packets", d->packets);
	tl_json__fixed(json, "min", (double)d->min_ns / 1e6, 6);
	tl_json__fixed(json, "p50", (double)d->p50_ns / 1e6, 6);
	tl_json__fixed(json, "p90", (double)d->p90_ns / 1e6, 6);
	tl_json__fixed(json, "p99", (double)d->p99_ns / 1e6, 6);
	tl_json__fixed(json, "max", (double)d->max_ns / 1e6, 6);
	tl_json__map_end(json);
}

static void put_pair(struct tl_json *json, const char *key, const char *const names[2],
		     const uint64_t values[2])
{
	tl_json__map(json, key);
	tl_json__u64(json, names[0], values[0]);
	tl_json__u64(json, names[1], values[1]);
	tl_json__map_end(json);
}

static void put_clock(struct tl_json *json, const struct tl_comparison *c)
{
	if (c->has_clock) {
		tl_json__fixed(json, "clock_offset_ms", (double)c->clock_offset_ns / 1e6, 6);
		tl_json__fixed(json, "clock_drift_ppm", c->clock_drift_ppm, 3);
	} else {
		tl_json__null(json, "clock_offset_ms");
		tl_json__null(json, "clock_drift_ppm");
	}
	if (c->has_clock && c->has_bound)
		tl_json__fixed(json, "clock_bound_ms", (double)c->clock_bound_ns / 1e6, 6);
	else
		tl_json__null(json, "clock_bound_ms");
}

int tl_comparison__write_json(const struct tl_comparison *c, FILE *out)
{
	static const char *const sides[2] = { "a", "b" }, *const ways[2] = { "a_to_b", "b_to_a" };
	struct tl_json json;
	int err = tl_json__create(out, &json);

	if (err)
		return err;
	tl_json__begin(&json, "comparison");
	put_pair(&json, "packets", sides, c->packets);
	tl_json__u64(&json, "matched", c->matched);
	tl_json__u64(&json, "only_in_a", c->only[0]);
	tl_json__u64(&json, "only_in_b", c->only[1]);
	put_pair(&json, "outside", sides, c->outside);
	put_pair(&json, "not_compared", sides, c->not_compared);
	put_pair(&json, "duplicated", sides, c->duplicated);
	put_pair(&json, "lost", ways, c->lost);
	put_pair(&json, "missed_by_capture", sides, c->missed);
	tl_json__u64(&json, "modified", c->modified);
	tl_json__u64(&json, "given_up", c->given_up);
	put_clock(&json, c);
	tl_json__map(&json, "delay_ms");
	put_delays(&json, "a_to_b", &c->delay[0]);
	put_delays(&json, "b_to_a", &c->delay[1]);
	tl_json__map_end(&json);
	tl_json__time(&json, "first", c->first_ns);
	tl_json__time(&json, "last", c->last_ns);
	err = tl_json__end(&json);
	tl_json__destroy(&json);
	return err;
}

static void write_way(const char *way, const struct tl_compare_delays *d, FILE *out)
{
	if (d->packets)
		fprintf(out, "  %s  least %.3f, half %.3f, 90 %% %.3f, 99 %% %.3f, most %.3f ms\n",
			way, (double)d->min_ns / 1e6, (double)d->p50_ns / 1e6,
			(double)d->p90_ns / 1e6, (double)d->p99_ns / 1e6, (double)d->max_ns / 1e6);
}

int tl_comparison__write_text(const struct tl_comparison *c, FILE *out)
{
	if (!c->matched)
		fprintf(out, "Nothing can be compared: no packet is in both files. Are they of the "
			     "same traffic, and of the same time?\n");
	fprintf(out,
		"Packets: %" PRIu64 " in A, %" PRIu64 " in B; %" PRIu64 " matched, %" PRIu64
		" in A only, %" PRIu64 " in B only.\n",
		c->packets[0], c->packets[1], c->matched, c->only[0], c->only[1]);
	if (c->outside[0] + c->outside[1])
		fprintf(out,
			"Not judged, since the other side was not capturing: %" PRIu64
			" in A, %" PRIu64 " in B.\n",
			c->outside[0], c->outside[1]);
	if (c->given_up)
		fprintf(out, "Judged early, for want of memory: %" PRIu64 ".\n", c->given_up);
	if (!c->has_clock) {
		fprintf(out, "Clocks: too few packets are in both files to compare them.\n");
		return ferror(out) ? -EIO : 0;
	}
	fprintf(out, "Clocks: B is %.6f ms ahead of A", (double)c->clock_offset_ns / 1e6);
	if (c->has_bound)
		fprintf(out, ", ± %.6f ms", (double)c->clock_bound_ns / 1e6);
	else
		fprintf(out, ", if the fastest packet took no time (one direction only)");
	fprintf(out, "; drift %.3f ppm.\nDelay:\n", c->clock_drift_ppm);
	write_way("A to B", &c->delay[0], out);
	write_way("B to A", &c->delay[1], out);
	return ferror(out) ? -EIO : 0;
}
