/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow records: one line for each flow that ended (or began, or goes on), with the names of
 * Suricata's EVE where EVE has them (event_type "flow"), as JSON lines and as CSV with the same
 * values. Bytes are those of frames, as EVE has them; ip_bytes those of IP packets, as NetFlow and
 * IPFIX count.
 *
 * Source is the client, destination the server; "toserver" is what the client sent. Any thread: a
 * line is written whole under the lock of `out`.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>

#include "export_impl.h"

/* What both forms print, worked out once. */
struct view {
	const struct tl_flow *flow;
	int client, server;	    /* sides */
	struct tl_endpoint ends[2]; /* source: the client, and destination */
	char src_ip[TL_IP_TEXT], dest_ip[TL_IP_TEXT];
	char start[TL_TIME_TEXT], end[TL_TIME_TEXT];
	char proto[16], community_id[32];
	const char *interface, *app, *state;
	const char *kind, *reason, *end_name; /* the latter two: NULL while the flow stands */
	char timestamp[TL_TIME_TEXT];
	uint64_t age_s, flow_id;
};

static const char *state_name(const struct tl_flow *flow)
{
	static const char *const names[] = {
		[TL_FLOW_NEW] = "new",		 [TL_FLOW_ESTABLISHED] = "established",
		[TL_FLOW_SYN_SENT] = "syn_sent", [TL_FLOW_SYN_RECEIVED] = "syn_recv",
		[TL_FLOW_CLOSING] = "closing",	 [TL_FLOW_CLOSED] = "closed",
	};

	return flow->state < sizeof(names) / sizeof(names[0]) ? names[flow->state] : "unknown";
}

/* EVE's flow.state knows three. */
static const char *eve_state(const struct tl_flow *flow)
{
	switch (flow->state) {
	case TL_FLOW_NEW:
	case TL_FLOW_SYN_SENT:
	case TL_FLOW_SYN_RECEIVED:
		return "new";
	case TL_FLOW_CLOSING:
	case TL_FLOW_CLOSED:
		return "closed";
	default:
		return "established";
	}
}

/* EVE's flow.reason; ours, which tells more, is flow.end_reason. */
static void name_end(enum tl_flow_end end, struct view *view)
{
	static const struct {
		const char *eve, *own;
	} names[] = {
		[TL_FLOW_END_NONE] = { "unknown", "none" },
		[TL_FLOW_END_CLOSED] = { "timeout", "closed" },
		[TL_FLOW_END_IDLE] = { "timeout", "idle" },
		[TL_FLOW_END_EVICTED] = { "forced", "evicted" },
		[TL_FLOW_END_REUSED] = { "tcp_reuse", "reused" },
		[TL_FLOW_END_CAPTURE] = { "shutdown", "capture_ended" },
	};
	size_t i = (size_t)end < sizeof(names) / sizeof(names[0]) ? end : TL_FLOW_END_NONE;

	view->reason = names[i].eve;
	view->end_name = names[i].own;
}

/* EVE prints protocols in capitals. */
static void name_proto(uint8_t proto, char ret_text[16])
{
	if (proto == IPPROTO_ICMPV6) {
		snprintf(ret_text, 16, "IPv6-ICMP");
		return;
	}
	tl_words__proto(proto, ret_text);
	for (char *p = ret_text; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
}

static void name_kind(const struct tl_flow_record *record, struct view *view)
{
	static const char *const names[] = {
		[TL_FLOW_RECORD_END] = "end",
		[TL_FLOW_RECORD_START] = "start",
		[TL_FLOW_RECORD_ACTIVE] = "active",
	};

	view->kind = names[record->kind];
	if (record->kind == TL_FLOW_RECORD_END) {
		name_end(record->end, view);
		memcpy(view->timestamp, view->end, sizeof(view->timestamp));
	} else {
		view->reason = view->end_name = NULL;
		tl_format__time(record->ts_ns, view->timestamp);
	}
}

static void look_at(const struct tl_flow_record *record, struct view *ret_view)
{
	const struct tl_flow *flow = record->flow;
	const struct tl_flow_key *key = &flow->key;
	const char *interface = record->interface;
	struct view *v = ret_view;

	v->flow = flow;
	v->client = flow->client & 1;
	v->server = !v->client;
	v->interface = interface && *interface ? interface : NULL;
	v->app = tl_format__app(flow->app);
	v->state = eve_state(flow);
	name_proto(key->proto, v->proto);
	for (int i = 0; i < 2; i++) {
		int side = i ? v->server : v->client;

		v->ends[i].ip_version = key->ip_version;
		v->ends[i].port = key->port[side];
		memcpy(v->ends[i].ip, key->addr[side], sizeof(v->ends[i].ip));
	}
	tl_format__ip(key->ip_version, v->ends[0].ip, v->src_ip);
	tl_format__ip(key->ip_version, v->ends[1].ip, v->dest_ip);
	tl_format__time(flow->first_ns, v->start);
	tl_format__time(flow->last_ns, v->end);
	name_kind(record, v);
	tl_community_id(key->proto, &v->ends[0], &v->ends[1], v->community_id);
	v->age_s =
		flow->last_ns > flow->first_ns ? (flow->last_ns - flow->first_ns) / 1000000000 : 0;
	/* Unique among flows that stand at the same time, and the same in each run over a file. */
	v->flow_id = flow->first_ns ^ (uint64_t)flow->index << 40;
	v->flow_id &= (1ull << 53) - 1;
}

static void put_optional(struct tl_json *json, const char *key, uint64_t value)
{
	if (value)
		tl_json__u64(json, key, value);
	else
		tl_json__null(json, key);
}

static void put_ports(struct tl_json *json, const struct view *v)
{
	const struct tl_flow_key *key = &v->flow->key;

	if (key->proto == IPPROTO_ICMP || key->proto == IPPROTO_ICMPV6) {
		tl_json__u64(json, "icmp_type", key->port[v->client]);
		if (tl_icmp__one_way(key->proto, key->port[v->client]))
			tl_json__u64(json, "icmp_code", key->port[v->server]);
	}
}

static void put_addresses(struct tl_json *json, const struct view *v)
{
	const struct tl_flow_key *key = &v->flow->key;
	bool ports = key->proto == IPPROTO_TCP || key->proto == IPPROTO_UDP ||
		     key->proto == IPPROTO_SCTP;

	tl_json__string(json, "src_ip", v->src_ip);
	if (ports)
		tl_json__u64(json, "src_port", key->port[v->client]);
	tl_json__string(json, "dest_ip", v->dest_ip);
	if (ports)
		tl_json__u64(json, "dest_port", key->port[v->server]);
	tl_json__string(json, "proto", v->proto);
	put_ports(json, v);
	tl_json__string(json, "app_proto", v->app);
}

static void put_ip_bytes(struct tl_json *json, const char *key, const struct tl_flow *flow,
			 int side)
{
	uint64_t bytes;

	if (tl_flow__ip_bytes(flow, side, &bytes))
		tl_json__u64(json, key, bytes);
	else
		tl_json__null(json, key);
}

static void put_flow(struct tl_json *json, const struct view *v)
{
	const struct tl_flow *flow = v->flow;

	tl_json__map(json, "flow");
	tl_json__u64(json, "pkts_toserver", flow->packets[v->client]);
	tl_json__u64(json, "pkts_toclient", flow->packets[v->server]);
	tl_json__u64(json, "bytes_toserver", flow->bytes[v->client]);
	tl_json__u64(json, "bytes_toclient", flow->bytes[v->server]);
	put_ip_bytes(json, "ip_bytes_toserver", flow, v->client);
	put_ip_bytes(json, "ip_bytes_toclient", flow, v->server);
	tl_json__string(json, "start", v->start);
	tl_json__string(json, "end", v->end);
	tl_json__u64(json, "age", v->age_s);
	tl_json__string(json, "state", v->state);
	tl_json__string(json, "reason", v->reason);
	tl_json__string(json, "end_reason", v->end_name);
	tl_json__bool(json, "client_sure", flow->flags & TL_FLOW_CLIENT_SURE);
	tl_json__map_end(json);
}

static void put_tcp(struct tl_json *json, const struct view *v)
{
	const struct tl_flow *flow = v->flow;
	uint8_t ts = flow->tcp_flags[v->client], tc = flow->tcp_flags[v->server];
	static const char *const names[] = {
		"fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"
	};
	char hex[3][4];

	snprintf(hex[0], sizeof(hex[0]), "%02x", ts | tc);
	snprintf(hex[1], sizeof(hex[1]), "%02x", ts);
	snprintf(hex[2], sizeof(hex[2]), "%02x", tc);
	tl_json__map(json, "tcp");
	tl_json__string(json, "tcp_flags", hex[0]);
	tl_json__string(json, "tcp_flags_ts", hex[1]);
	tl_json__string(json, "tcp_flags_tc", hex[2]);
	for (unsigned int i = 0; i < 8; i++)
		if ((ts | tc) >> i & 1)
			tl_json__bool(json, names[i], true);
	tl_json__string(json, "state", state_name(flow));
	tl_json__bool(json, "midstream", flow->flags & TL_FLOW_MIDSTREAM);
	put_optional(json, "rtt_server_us", flow->rtt_server_us);
	put_optional(json, "rtt_client_us", flow->rtt_client_us);
	tl_json__u64(json, "retransmissions_toserver", flow->retransmissions[v->client]);
	tl_json__u64(json, "retransmissions_toclient", flow->retransmissions[v->server]);
	tl_json__u64(json, "zero_window_ms_client", flow->zero_window_ms[v->client]);
	tl_json__u64(json, "zero_window_ms_server", flow->zero_window_ms[v->server]);
	tl_json__map_end(json);
}

static void put_path(struct tl_json *json, const struct view *v)
{
	const struct tl_flow *flow = v->flow;

	tl_json__string(json, "in_iface", v->interface);
	tl_json__array(json, "vlan");
	for (int i = 0; i < flow->vlan_count && i < 2; i++)
		tl_json__u64(json, NULL, flow->vlan[i] & 0xfff);
	tl_json__array_end(json);
	if (flow->tunnel_type == TL_TUNNEL_NONE) {
		tl_json__null(json, "tunnel");
		return;
	}
	tl_json__map(json, "tunnel");
	tl_json__string(json, "type", tl_format__tunnel(flow->tunnel_type));
	tl_json__u64(json, "id", flow->tunnel_id);
	tl_json__map_end(json);
}

int tl_flow_record__write_json(const struct tl_flow_record *record, FILE *out)
{
	struct tl_json json;
	struct view v;
	int err = tl_json__create(out, &json);

	if (err)
		return err;
	look_at(record, &v);
	tl_json__begin(&json, "flow");
	tl_json__string(&json, "event_type", "flow");
	tl_json__string(&json, "timestamp", v.timestamp);
	tl_json__string(&json, "record", v.kind);
	tl_json__u64(&json, "flow_id", v.flow_id);
	put_path(&json, &v);
	put_addresses(&json, &v);
	put_flow(&json, &v);
	if (record->flow->key.proto == IPPROTO_TCP)
		put_tcp(&json, &v);
	tl_json__string(&json, "community_id", v.community_id);
	err = tl_json__end(&json);
	tl_json__destroy(&json);
	return err;
}

/* --- text --------------------------------------------------------------------------------- */

static void name_end_point(const struct view *v, int which, char ret_text[64])
{
	struct tl_endpoint endpoint = v->ends[which];

	if (v->flow->key.proto == IPPROTO_ICMP || v->flow->key.proto == IPPROTO_ICMPV6)
		endpoint.port = 0;
	tl_words__endpoint(&endpoint, ret_text);
}

int tl_flow_record__write_text(const struct tl_flow_record *record, FILE *out)
{
	const struct tl_flow *flow = record->flow;
	char ends[2][64], proto[16], start[TL_TIME_TEXT], span[32];
	struct view v;
	int err;

	look_at(record, &v);
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
	fprintf(out, "  %s, %s\n", state_name(flow),
		record->kind == TL_FLOW_RECORD_END     ? v.end_name
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
	"record,timestamp,ip_bytes_toserver,ip_bytes_toclient\n";

int tl_flow_record__write_csv_header(FILE *out)
{
	return fputs(csv_columns, out) < 0 ? -EIO : 0;
}

/* The one column that may hold a comma or a quote: a name given from outside. */
static void put_quoted(FILE *out, const char *text)
{
	char clean[256];

	tl_words__clean(text, true, clean, sizeof(clean));
	fputc('"', out);
	for (const char *p = clean; *p; p++) {
		if (*p == '"')
			fputc('"', out);
		fputc(*p, out);
	}
	fputc('"', out);
}

static void put_csv_tcp(FILE *out, const struct view *v)
{
	const struct tl_flow *f = v->flow;

	if (f->key.proto != IPPROTO_TCP) {
		fputs(",,,,,,,,,", out);
		return;
	}
	fprintf(out, "%s,%02x,%02x,", state_name(f), f->tcp_flags[v->client],
		f->tcp_flags[v->server]);
	if (f->rtt_server_us)
		fprintf(out, "%u", f->rtt_server_us);
	fputc(',', out);
	if (f->rtt_client_us)
		fprintf(out, "%u", f->rtt_client_us);
	fprintf(out, ",%u,%u,%u,%u,", f->retransmissions[v->client], f->retransmissions[v->server],
		f->zero_window_ms[v->client], f->zero_window_ms[v->server]);
}

static void put_csv_ip_bytes(FILE *out, const struct tl_flow *flow, int side)
{
	uint64_t bytes;

	fputc(',', out);
	if (tl_flow__ip_bytes(flow, side, &bytes))
		fprintf(out, "%" PRIu64, bytes);
}

int tl_flow_record__write_csv(const struct tl_flow_record *record, FILE *out)
{
	const struct tl_flow *flow = record->flow;
	struct view v;
	int err;

	look_at(record, &v);
	flockfile(out);
	fprintf(out, "%s,%s,%s,%u,%s,%u,%s,%s,", v.start, v.end, v.src_ip, flow->key.port[v.client],
		v.dest_ip, flow->key.port[v.server], v.proto, v.app ? v.app : "");
	fprintf(out, "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%s,%s,",
		flow->packets[v.client], flow->packets[v.server], flow->bytes[v.client],
		flow->bytes[v.server], v.state, v.end_name ? v.end_name : "");
	put_csv_tcp(out, &v);
	if (v.interface)
		put_quoted(out, v.interface);
	fputc(',', out);
	for (int i = 0; i < flow->vlan_count && i < 2; i++)
		fprintf(out, "%s%u", i ? "." : "", flow->vlan[i] & 0xfffu);
	fputc(',', out);
	if (flow->tunnel_type != TL_TUNNEL_NONE)
		fprintf(out, "%s:%u", tl_format__tunnel(flow->tunnel_type), flow->tunnel_id);
	fprintf(out, ",%s,%s,%s", v.community_id, v.kind, v.timestamp);
	put_csv_ip_bytes(out, flow, v.client);
	put_csv_ip_bytes(out, flow, v.server);
	fputc('\n', out);
	err = ferror(out) ? -EIO : 0;
	funlockfile(out);
	return err;
}
