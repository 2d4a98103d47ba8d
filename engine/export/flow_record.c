/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow records: one line for each flow that ended (or began, or goes on), as text for people and as
 * CSV, which has the values that flow_json.c writes. Source is the client, destination the server;
 * "toserver" is what the client sent.
 *
 * Any thread: a line is written whole.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "flow_view.h"
#include "line.h"

/* --- text --------------------------------------------------------------------------------- */

static void name_end_point(const struct flow_view *v, int which, char ret_text[64])
{
	struct tl_endpoint endpoint = v->ends[which];

	if (v->is_icmp)
		endpoint.port = 0;
	tl_words__endpoint(&endpoint, ret_text);
}

int tl_flow_record__write_text(const struct tl_flow_record *record, FILE *out)
{
	const struct tl_flow *flow = record->flow;
	char ends[2][64], proto[16], start[TL_TIME_TEXT], span[32];
	struct flow_view v;
	int err;

	flow_view__make(record, &v);
	name_end_point(&v, 0, ends[0]);
	name_end_point(&v, 1, ends[1]);
	tl_words__proto(flow->key.proto, proto);
	tl_words__time(flow->first_ns, false, start);
	tl_words__duration(flow->last_ns > flow->first_ns ? flow->last_ns - flow->first_ns : 0,
			   span);
	flockfile(out);
	fprintf(out, "%s %10s  %-5s %-21s > %-21s %-10s", start, span, proto, ends[0], ends[1],
		v.app ? v.app : "-");
	fprintf(out, " %6" PRIu64 " > %6" PRIu64 " <  packets %8" PRIu64 " > %8" PRIu64 " <  bytes",
		flow->packets[v.client], flow->packets[v.server], flow->bytes[v.client],
		flow->bytes[v.server]);
	fprintf(out, "  %s%s, %s\n", v.tcp_state,
		flow->flags & TL_FLOW_FRAGMENT_OVERLAP ? ", fragments overlap" : "",
		record->kind == TL_FLOW_RECORD_END     ? v.end_reason
		: record->kind == TL_FLOW_RECORD_START ? "begins"
						       : "goes on");
	err = ferror(out) ? -EIO : 0;
	funlockfile(out);
	return err;
}

/* --- CSV (RFC 4180, lines end in LF) ------------------------------------------------------ */

static const char csv_columns[] =
	"start,end,src_ip,src_port,dest_ip,dest_port,proto,app_proto,pkts_toserver,pkts_toclient,"
	"bytes_toserver,bytes_toclient,state,end_reason,tcp_state,tcp_flags_ts,tcp_flags_tc,"
	"rtt_server_us,rtt_client_us,retransmissions_toserver,retransmissions_toclient,"
	"zero_window_ms_client,zero_window_ms_server,in_iface,vlan,tunnel,community_id,"
	"record,timestamp,ip_bytes_toserver,ip_bytes_toclient,fragments\n";

int tl_flow_record__write_csv_header(FILE *out)
{
	return fputs(csv_columns, out) < 0 ? -EIO : 0;
}

/* The one column that may hold a comma or a quote: a name given from outside. */
static void put_quoted(struct tl_line *line, const char *text)
{
	char clean[256];

	tl_words__clean(text, true, clean, sizeof(clean));
	line__char(line, '"');
	for (const char *p = clean; *p; p++) {
		if (*p == '"')
			line__char(line, '"');
		line__char(line, *p);
	}
	line__char(line, '"');
}

static void put_column(struct tl_line *line, const char *text)
{
	if (text)
		line__string(line, text);
	line__char(line, ',');
}

static void put_number(struct tl_line *line, uint64_t value)
{
	line__u64(line, value);
	line__char(line, ',');
}

/* 0 stands for: unknown. */
static void put_optional(struct tl_line *line, uint64_t value)
{
	if (value)
		line__u64(line, value);
	line__char(line, ',');
}

static void put_csv_tcp(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow *f = v->flow;

	if (!v->is_tcp) {
		line__literal(line, ",,,,,,,,,");
		return;
	}
	put_column(line, v->tcp_state);
	line__hex8(line, f->tcp_flags[v->client]);
	line__char(line, ',');
	line__hex8(line, f->tcp_flags[v->server]);
	line__char(line, ',');
	put_optional(line, f->rtt_server_us);
	put_optional(line, f->rtt_client_us);
	put_number(line, f->retransmissions[v->client]);
	put_number(line, f->retransmissions[v->server]);
	put_number(line, f->zero_window_ms[v->client]);
	put_number(line, f->zero_window_ms[v->server]);
}

static void put_csv_path(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow *f = v->flow;

	if (v->interface)
		put_quoted(line, v->interface);
	line__char(line, ',');
	for (int i = 0; i < f->vlan_count && i < 2; i++) {
		if (i)
			line__char(line, '.');
		line__u64(line, f->vlan[i] & 0xfffu);
	}
	line__char(line, ',');
	if (f->tunnel_type != TL_TUNNEL_NONE) {
		line__string(line, tl_format__tunnel(f->tunnel_type));
		line__char(line, ':');
		line__u64(line, f->tunnel_id);
	}
	line__char(line, ',');
}

static void put_csv_ip_bytes(struct tl_line *line, const struct tl_flow *flow, int side)
{
	uint64_t bytes;

	line__char(line, ',');
	if (tl_flow__ip_bytes(flow, side, &bytes))
		line__u64(line, bytes);
}

/* "seen", and what was wrong with them: "seen.overlap.tiny". */
static void put_csv_fragments(struct tl_line *line, uint16_t flags)
{
	line__char(line, ',');
	if (flags & TL_FLOW_FRAGMENTS)
		line__literal(line, "seen");
	if (flags & TL_FLOW_FRAGMENT_OVERLAP)
		line__literal(line, ".overlap");
	if (flags & TL_FLOW_FRAGMENT_TINY)
		line__literal(line, ".tiny");
	if (flags & TL_FLOW_FRAGMENT_INVALID)
		line__literal(line, ".invalid");
}

int tl_flow_record__write_csv(const struct tl_flow_record *record, FILE *out)
{
	const struct tl_flow *flow = record->flow;
	struct flow_view v;
	struct tl_line line;

	flow_view__make(record, &v);
	line__begin(&line);
	put_column(&line, v.start);
	put_column(&line, v.end);
	put_column(&line, v.src_ip);
	put_number(&line, flow->key.port[v.client]);
	put_column(&line, v.dest_ip);
	put_number(&line, flow->key.port[v.server]);
	put_column(&line, v.proto);
	put_column(&line, v.app);
	put_number(&line, flow->packets[v.client]);
	put_number(&line, flow->packets[v.server]);
	put_number(&line, flow->bytes[v.client]);
	put_number(&line, flow->bytes[v.server]);
	put_column(&line, v.state);
	put_column(&line, v.end_reason);
	put_csv_tcp(&line, &v);
	put_csv_path(&line, &v);
	put_column(&line, v.community_id);
	put_column(&line, v.kind);
	line__string(&line, v.timestamp);
	put_csv_ip_bytes(&line, flow, v.client);
	put_csv_ip_bytes(&line, flow, v.server);
	put_csv_fragments(&line, flow->flags);
	line__char(&line, '\n');
	return line__write(&line, out);
}
