/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The census of a link as a record: {"type":"stats",…} in JSON, a few aligned lines for people.
 *
 * Weights of heavy hitters are upper bounds; "error" says by how much they may be too high (0: they
 * are exact). Distinct counts and quantiles carry their known errors along.
 */
#include <errno.h>
#include <inttypes.h>

#include "export_impl.h"

static const char *const top_names[TL_CENSUS_TOPS] = {
	[TL_CENSUS_BYTES] = "bytes",
	[TL_CENSUS_PACKETS] = "packets",
	[TL_CENSUS_CONNECTIONS] = "connections",
};

static const char *const distinct_names[TL_CENSUS_DISTINCTS] = {
	[TL_CENSUS_SOURCES] = "sources",
	[TL_CENSUS_DESTINATIONS] = "destinations",
	[TL_CENSUS_TUPLES] = "tuples",
};

static const char *const spread_names[TL_CENSUS_SPREADS] = {
	[TL_CENSUS_PACKET_BYTES] = "packet_bytes",
	[TL_CENSUS_FLOW_BYTES] = "flow_bytes",
	[TL_CENSUS_FLOW_PACKETS] = "flow_packets",
	[TL_CENSUS_FLOW_DURATION_US] = "flow_duration_us",
	[TL_CENSUS_RTT_SERVER_US] = "rtt_server_us",
	[TL_CENSUS_RTT_CLIENT_US] = "rtt_client_us",
};

static uint64_t rounded(double estimate)
{
	return (uint64_t)(estimate + 0.5);
}

/* --- JSON ----------------------------------------------------------------------------------- */

static void put_top(struct tl_json *json, const struct tl_census_report *r, int which)
{
	tl_json__array(json, top_names[which]);
	for (uint32_t i = 0; i < r->count[which]; i++) {
		const struct tl_census_heavy *heavy = &r->top[which][i];
		char ip[TL_IP_TEXT];

		tl_format__ip(heavy->ip_version, heavy->ip, ip);
		tl_json__map(json, NULL);
		tl_json__string(json, "ip", ip);
		tl_json__u64(json, top_names[which], heavy->weight);
		tl_json__u64(json, "error", heavy->error);
		tl_json__fixed(json, "share", (double)heavy->weight / (double)r->total[which], 6);
		tl_json__map_end(json);
	}
	tl_json__array_end(json);
}

static void put_spread(struct tl_json *json, const char *name, const struct tl_census_quantiles *q)
{
	if (!q->count) {
		tl_json__null(json, name);
		return;
	}
	tl_json__map(json, name);
	tl_json__u64(json, "count", q->count);
	tl_json__u64(json, "min", q->min);
	tl_json__fixed(json, "mean", q->mean, 3);
	tl_json__u64(json, "p50", q->p50);
	tl_json__u64(json, "p90", q->p90);
	tl_json__u64(json, "p99", q->p99);
	tl_json__u64(json, "max", q->max);
	tl_json__map_end(json);
}

static void put_counts(struct tl_json *json, const struct tl_census_report *r)
{
	tl_json__time(json, "start", r->first_ns);
	tl_json__time(json, "end", r->last_ns);
	tl_json__u64(json, "packets", r->packets);
	tl_json__u64(json, "bytes", r->bytes);
	tl_json__u64(json, "no_flow_packets", r->no_flow_packets);
	tl_json__u64(json, "flows", r->flows);
	tl_json__u64(json, "connections", r->total[TL_CENSUS_CONNECTIONS]);
}

static void put_fragments(struct tl_json *json, const struct tl_census_fragments *f)
{
	tl_json__map(json, "fragments");
	tl_json__u64(json, "packets", f->packets);
	tl_json__u64(json, "no_flow", f->no_flow);
	tl_json__u64(json, "duplicate", f->duplicate);
	tl_json__u64(json, "overlap", f->overlap);
	tl_json__u64(json, "tiny", f->tiny);
	tl_json__u64(json, "invalid", f->invalid);
	tl_json__map_end(json);
}

int tl_census__write_json(const struct tl_census_report *report, const char *interface, FILE *out)
{
	struct tl_json json;
	int err = tl_json__create(out, &json);

	if (err)
		return err;
	tl_json__begin(&json, "stats");
	tl_json__string(&json, "event_type", "stats");
	tl_json__time(&json, "timestamp", report->last_ns);
	tl_json__string(&json, "in_iface", interface);
	put_counts(&json, report);
	put_fragments(&json, &report->fragments);
	tl_json__map(&json, "top");
	for (int i = 0; i < TL_CENSUS_TOPS; i++)
		put_top(&json, report, i);
	tl_json__map_end(&json);
	tl_json__map(&json, "distinct");
	for (int i = 0; i < TL_CENSUS_DISTINCTS; i++)
		tl_json__u64(&json, distinct_names[i], rounded(report->distinct[i]));
	tl_json__fixed(&json, "standard_error", TL_DISTINCT_ERROR, 4);
	tl_json__map_end(&json);
	tl_json__map(&json, "histograms");
	for (int i = 0; i < TL_CENSUS_SPREADS; i++)
		put_spread(&json, spread_names[i], &report->spread[i]);
	tl_json__fixed(&json, "relative_error", TL_HISTOGRAM_ERROR, 4);
	tl_json__map_end(&json);
	err = tl_json__end(&json);
	tl_json__destroy(&json);
	return err;
}

/* --- text ------------------------------------------------------------------------------------ */

static void text_top(FILE *out, const struct tl_census_report *r, int which)
{
	static const char *const heads[TL_CENSUS_TOPS] = {
		[TL_CENSUS_BYTES] = "who sends most bytes",
		[TL_CENSUS_PACKETS] = "who sends most packets",
		[TL_CENSUS_CONNECTIONS] = "who opens most connections",
	};
	uint32_t shown = r->count[which] < 5 ? r->count[which] : 5;

	if (shown)
		fprintf(out, "  %s\n", heads[which]);
	for (uint32_t i = 0; i < shown; i++) {
		const struct tl_census_heavy *heavy = &r->top[which][i];
		char ip[TL_IP_TEXT], weight[32], error[32];

		tl_format__ip(heavy->ip_version, heavy->ip, ip);
		tl_words__count(heavy->weight, weight);
		fprintf(out, "    %-39s %18s  %5.1f %%", ip, weight,
			100.0 * (double)heavy->weight / (double)r->total[which]);
		if (heavy->error) {
			tl_words__count(heavy->error, error);
			fprintf(out, "  (up to %s too many)", error);
		}
		fputc('\n', out);
	}
}

static void text_distinct(FILE *out, const struct tl_census_report *r)
{
	fputs("  about", out);
	for (int i = 0; i < TL_CENSUS_DISTINCTS; i++) {
		char count[32];

		tl_words__count(rounded(r->distinct[i]), count);
		fprintf(out, "%s %s %s", i ? "," : "", count, distinct_names[i]);
	}
	fprintf(out, "  (standard error %.1f %%)\n", 100 * TL_DISTINCT_ERROR);
}

/* A value in its unit: bytes and packets as they are, times as durations. */
static void name_value(int which, uint64_t value, char ret_text[32])
{
	if (which >= TL_CENSUS_FLOW_DURATION_US)
		tl_words__duration(value * 1000, ret_text);
	else
		tl_words__count(value, ret_text);
}

static void text_spread(FILE *out, const struct tl_census_report *r, int which)
{
	static const char *const heads[TL_CENSUS_SPREADS] = {
		[TL_CENSUS_PACKET_BYTES] = "bytes of a packet",
		[TL_CENSUS_FLOW_BYTES] = "bytes of a flow",
		[TL_CENSUS_FLOW_PACKETS] = "packets of a flow",
		[TL_CENSUS_FLOW_DURATION_US] = "duration of a flow",
		[TL_CENSUS_RTT_SERVER_US] = "round trip, server side",
		[TL_CENSUS_RTT_CLIENT_US] = "round trip, client side",
	};
	const struct tl_census_quantiles *q = &r->spread[which];
	const uint64_t values[] = { q->min, q->p50, q->p90, q->p99, q->max };

	if (!q->count)
		return;
	fprintf(out, "    %-24s", heads[which]);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		char text[32];

		name_value(which, values[i], text);
		fprintf(out, " %14s", text);
	}
	fputc('\n', out);
}

static void text_fragments(FILE *out, const struct tl_census_fragments *f)
{
	char packets[32];

	if (!f->packets)
		return;
	tl_words__count(f->packets, packets);
	fprintf(out, "  %s fragments", packets);
	if (f->no_flow)
		fprintf(out, ", %" PRIu64 " without the first one of their datagram", f->no_flow);
	if (f->duplicate)
		fprintf(out, ", %" PRIu64 " copies", f->duplicate);
	if (f->overlap)
		fprintf(out, ", %" PRIu64 " that overlap others", f->overlap);
	if (f->tiny)
		fprintf(out, ", %" PRIu64 " that cut the transport header", f->tiny);
	if (f->invalid)
		fprintf(out, ", %" PRIu64 " with impossible sizes", f->invalid);
	fputc('\n', out);
}

int tl_census__write_text(const struct tl_census_report *report, const char *interface, FILE *out)
{
	const struct tl_census_report *r = report;
	char packets[32], bytes[32], flows[32], span[32], name[256];
	int err;

	tl_words__clean(interface ? interface : "", true, name, sizeof(name));
	tl_words__count(r->packets, packets);
	tl_words__count(r->bytes, bytes);
	tl_words__count(r->flows, flows);
	tl_words__duration(r->last_ns > r->first_ns ? r->last_ns - r->first_ns : 0, span);
	flockfile(out);
	fprintf(out, "\n%s%s%s packets, %s bytes, %s flows in %s\n", name, *name ? ": " : "",
		packets, bytes, flows, span);
	text_fragments(out, &r->fragments);
	for (int i = 0; i < TL_CENSUS_TOPS; i++)
		text_top(out, r, i);
	text_distinct(out, r);
	fprintf(out, "    %-24s %14s %14s %14s %14s %14s\n", "", "least", "half up to", "90 %",
		"99 %", "most");
	for (int i = 0; i < TL_CENSUS_SPREADS; i++)
		text_spread(out, r, i);
	err = ferror(out) ? -EIO : 0;
	funlockfile(out);
	return err;
}
