/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all forms of a flow record say, worked out once: who is source, what EVE calls a state.
 * Made for one record, on the stack; borrows from it.
 */
#ifndef TAPLINE_EXPORT_FLOW_VIEW_H
#define TAPLINE_EXPORT_FLOW_VIEW_H

#include "export_impl.h"

struct flow_view {
	const struct tl_flow *flow;
	int client, server;	    /* sides */
	struct tl_endpoint ends[2]; /* source: the client, and destination */
	char src_ip[TL_IP_TEXT], dest_ip[TL_IP_TEXT];
	char start[TL_TIME_TEXT], end[TL_TIME_TEXT];
	char community_id[32];
	char proto[16];				/* as EVE prints it */
	const char *interface;			/* NULL: not told */
	const char *app, *state;		/* app: NULL when unknown; state: EVE's */
	const char *tcp_state;			/* ours, which tells more */
	const char *kind, *reason, *end_reason; /* the latter two: NULL while the flow stands */
	char timestamp[TL_TIME_TEXT];
	uint64_t age_s, flow_id;
	bool has_ports, is_icmp, is_tcp;
};

void flow_view__make(const struct tl_flow_record *record, struct flow_view *ret_view);

#endif
