/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flow records as JSON lines, with the names of Suricata's EVE where EVE has them (event_type
 * "flow"). Bytes are those of frames, as EVE has them; ip_bytes those of IP packets, as NetFlow and
 * IPFIX count. "toserver" is what the client sent.
 *
 * Any thread: a line is written whole. It is put together here, name by name, rather than with
 * struct tl_json: that looks at each name and value byte by byte, which was half of the time of a
 * run over a file.
 *
 * Room: names and punctuation 1300, twenty-five numbers of 20 digits, strings of ours 400, and the
 * one string that comes from outside, the interface's name: INTERFACE_ROOM.
 */
#include <netinet/in.h>

#include "flow_view.h"
#include "line.h"

#define INTERFACE_ROOM 1024

_Static_assert(1300 + 25 * 20 + 400 + INTERFACE_ROOM < TL_LINE_ROOM, "the longest line fits");

/* A string of ours, which needs no escapes; NULL: null. */
static void put_word(struct tl_line *line, const char *word)
{
	if (!word) {
		line__literal(line, "null");
		return;
	}
	line__char(line, '"');
	line__string(line, word);
	line__char(line, '"');
}

static void put_bool(struct tl_line *line, bool value)
{
	if (value)
		line__literal(line, "true");
	else
		line__literal(line, "false");
}

/* 0 stands for: unknown. */
static void put_optional(struct tl_line *line, uint64_t value)
{
	if (value)
		line__u64(line, value);
	else
		line__literal(line, "null");
}

static void put_interface(struct tl_line *line, const char *name)
{
	char text[INTERFACE_ROOM];

	if (!name) {
		line__literal(line, "null");
		return;
	}
	line__char(line, '"');
	line__bytes(line, text, tl_json__escape(name, text, sizeof(text)));
	line__char(line, '"');
}

static void put_path(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow *flow = v->flow;

	line__literal(line, ",\"in_iface\":");
	put_interface(line, v->interface);
	line__literal(line, ",\"vlan\":[");
	for (int i = 0; i < flow->vlan_count && i < 2; i++) {
		if (i)
			line__char(line, ',');
		line__u64(line, flow->vlan[i] & 0xfff);
	}
	if (flow->tunnel_type == TL_TUNNEL_NONE) {
		line__literal(line, "],\"tunnel\":null");
		return;
	}
	line__literal(line, "],\"tunnel\":{\"type\":");
	put_word(line, tl_format__tunnel(flow->tunnel_type));
	line__literal(line, ",\"id\":");
	line__u64(line, flow->tunnel_id);
	line__char(line, '}');
}

static void put_addresses(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow_key *key = &v->flow->key;

	line__literal(line, ",\"src_ip\":");
	put_word(line, v->src_ip);
	if (v->has_ports) {
		line__literal(line, ",\"src_port\":");
		line__u64(line, key->port[v->client]);
	}
	line__literal(line, ",\"dest_ip\":");
	put_word(line, v->dest_ip);
	if (v->has_ports) {
		line__literal(line, ",\"dest_port\":");
		line__u64(line, key->port[v->server]);
	}
	line__literal(line, ",\"proto\":");
	put_word(line, v->proto);
	if (v->is_icmp) {
		line__literal(line, ",\"icmp_type\":");
		line__u64(line, key->port[v->client]);
		if (tl_icmp__one_way(key->proto, key->port[v->client])) {
			line__literal(line, ",\"icmp_code\":");
			line__u64(line, key->port[v->server]);
		}
	}
	line__literal(line, ",\"app_proto\":");
	put_word(line, v->app);
}

static void put_ip_bytes(struct tl_line *line, const struct tl_flow *flow, int side)
{
	uint64_t bytes;

	if (tl_flow__ip_bytes(flow, side, &bytes))
		line__u64(line, bytes);
	else
		line__literal(line, "null");
}

static void put_fragments(struct tl_line *line, uint16_t flags)
{
	line__literal(line, ",\"fragments\":{\"overlap\":");
	put_bool(line, flags & TL_FLOW_FRAGMENT_OVERLAP);
	line__literal(line, ",\"tiny\":");
	put_bool(line, flags & TL_FLOW_FRAGMENT_TINY);
	line__literal(line, ",\"invalid\":");
	put_bool(line, flags & TL_FLOW_FRAGMENT_INVALID);
	line__char(line, '}');
}

static void put_flow(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow *flow = v->flow;

	line__literal(line, ",\"flow\":{\"pkts_toserver\":");
	line__u64(line, flow->packets[v->client]);
	line__literal(line, ",\"pkts_toclient\":");
	line__u64(line, flow->packets[v->server]);
	line__literal(line, ",\"bytes_toserver\":");
	line__u64(line, flow->bytes[v->client]);
	line__literal(line, ",\"bytes_toclient\":");
	line__u64(line, flow->bytes[v->server]);
	line__literal(line, ",\"ip_bytes_toserver\":");
	put_ip_bytes(line, flow, v->client);
	line__literal(line, ",\"ip_bytes_toclient\":");
	put_ip_bytes(line, flow, v->server);
	line__literal(line, ",\"start\":");
	put_word(line, v->start);
	line__literal(line, ",\"end\":");
	put_word(line, v->end);
	line__literal(line, ",\"age\":");
	line__u64(line, v->age_s);
	line__literal(line, ",\"state\":");
	put_word(line, v->state);
	line__literal(line, ",\"reason\":");
	put_word(line, v->reason);
	line__literal(line, ",\"end_reason\":");
	put_word(line, v->end_reason);
	line__literal(line, ",\"client_sure\":");
	put_bool(line, flow->flags & TL_FLOW_CLIENT_SURE);
	if (flow->flags & TL_FLOW_FRAGMENTS)
		put_fragments(line, flow->flags);
	line__char(line, '}');
}

static void put_tcp_flags(struct tl_line *line, uint8_t toserver, uint8_t toclient)
{
	static const char names[8][12] = { ",\"fin\":true", ",\"syn\":true", ",\"rst\":true",
					   ",\"psh\":true", ",\"ack\":true", ",\"urg\":true",
					   ",\"ecn\":true", ",\"cwr\":true" };
	unsigned int all = toserver | toclient;

	line__literal(line, "\"tcp_flags\":\"");
	line__hex8(line, (uint8_t)all);
	line__literal(line, "\",\"tcp_flags_ts\":\"");
	line__hex8(line, toserver);
	line__literal(line, "\",\"tcp_flags_tc\":\"");
	line__hex8(line, toclient);
	line__char(line, '"');
	for (; all; all &= all - 1)
		line__bytes(line, names[__builtin_ctz(all)], 11);
}

static void put_tcp(struct tl_line *line, const struct flow_view *v)
{
	const struct tl_flow *flow = v->flow;

	line__literal(line, ",\"tcp\":{");
	put_tcp_flags(line, flow->tcp_flags[v->client], flow->tcp_flags[v->server]);
	line__literal(line, ",\"state\":");
	put_word(line, v->tcp_state);
	line__literal(line, ",\"midstream\":");
	put_bool(line, flow->flags & TL_FLOW_MIDSTREAM);
	line__literal(line, ",\"rtt_server_us\":");
	put_optional(line, flow->rtt_server_us);
	line__literal(line, ",\"rtt_client_us\":");
	put_optional(line, flow->rtt_client_us);
	line__literal(line, ",\"retransmissions_toserver\":");
	line__u64(line, flow->retransmissions[v->client]);
	line__literal(line, ",\"retransmissions_toclient\":");
	line__u64(line, flow->retransmissions[v->server]);
	line__literal(line, ",\"zero_window_ms_client\":");
	line__u64(line, flow->zero_window_ms[v->client]);
	line__literal(line, ",\"zero_window_ms_server\":");
	line__u64(line, flow->zero_window_ms[v->server]);
	line__char(line, '}');
}

int tl_flow_record__write_json(const struct tl_flow_record *record, FILE *out)
{
	struct flow_view v;
	struct tl_line line;

	flow_view__make(record, &v);
	line__begin(&line);
	line__literal(&line, "{\"type\":\"flow\",\"event_type\":\"flow\",\"timestamp\":");
	put_word(&line, v.timestamp);
	line__literal(&line, ",\"record\":");
	put_word(&line, v.kind);
	line__literal(&line, ",\"flow_id\":");
	line__u64(&line, v.flow_id);
	put_path(&line, &v);
	put_addresses(&line, &v);
	put_flow(&line, &v);
	if (v.is_tcp)
		put_tcp(&line, &v);
	line__literal(&line, ",\"community_id\":");
	put_word(&line, v.community_id);
	line__literal(&line, "}\n");
	return line__write(&line, out);
}
