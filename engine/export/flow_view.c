/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See flow_view.h. Source is the client, destination the server. */
#include "flow_view.h"

#include <netinet/in.h>
#include <string.h>

#define NS_PER_S 1000000000ull

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
static void name_end(enum tl_flow_end end, struct flow_view *view)
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
	view->end_reason = names[i].own;
}

/* EVE prints protocols in capitals. */
static void name_proto(uint8_t proto, char ret_text[16])
{
	switch (proto) {
	case IPPROTO_TCP:
		memcpy(ret_text, "TCP", 4);
		return;
	case IPPROTO_UDP:
		memcpy(ret_text, "UDP", 4);
		return;
	case IPPROTO_ICMPV6:
		memcpy(ret_text, "IPv6-ICMP", 10);
		return;
	default:
		break;
	}
	tl_words__proto(proto, ret_text);
	for (char *p = ret_text; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
}

static void name_kind(const struct tl_flow_record *record, struct flow_view *view)
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
		view->reason = view->end_reason = NULL;
		tl_format__time(record->ts_ns, view->timestamp);
	}
}

static void name_ends(struct flow_view *view)
{
	const struct tl_flow_key *key = &view->flow->key;

	for (int i = 0; i < 2; i++) {
		int side = i ? view->server : view->client;
		struct tl_endpoint *end = &view->ends[i];

		end->ip_version = key->ip_version;
		end->port = key->port[side];
		memcpy(end->ip, key->addr[side], sizeof(end->ip));
		tl_format__ip(key->ip_version, end->ip, i ? view->dest_ip : view->src_ip);
	}
	tl_community_id(key->proto, &view->ends[0], &view->ends[1], view->community_id);
}

void flow_view__make(const struct tl_flow_record *record, struct flow_view *ret_view)
{
	const struct tl_flow *flow = record->flow;
	const char *interface = record->interface;
	uint8_t proto = flow->key.proto;
	struct flow_view *v = ret_view;

	v->flow = flow;
	v->client = flow->client & 1;
	v->server = !v->client;
	v->interface = interface && *interface ? interface : NULL;
	v->app = tl_format__app(flow->app);
	v->state = eve_state(flow);
	v->tcp_state = state_name(flow);
	v->is_tcp = proto == IPPROTO_TCP;
	v->is_icmp = proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
	v->has_ports = v->is_tcp || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
	name_proto(proto, v->proto);
	name_ends(v);
	tl_format__time(flow->first_ns, v->start);
	tl_format__time(flow->last_ns, v->end);
	name_kind(record, v);
	v->age_s = flow->last_ns > flow->first_ns ? (flow->last_ns - flow->first_ns) / NS_PER_S : 0;
	/* Unique among flows that stand at the same time, and the same in each run over a file. */
	v->flow_id = flow->first_ns ^ (uint64_t)flow->index << 40;
	v->flow_id &= (1ull << 53) - 1;
}
