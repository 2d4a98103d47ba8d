/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Findings and the capture's quality as JSON lines, field for field as the interface promises.
 * The order of fields is fixed, so that the same record gives the same bytes.
 */
#include <inttypes.h>

#include "export_impl.h"

static void put_endpoint(struct tl_json *json, const char *key, const struct tl_endpoint *endpoint)
{
	char ip[TL_IP_TEXT];

	if (!endpoint->ip_version) {
		tl_json__null(json, key);
		return;
	}
	tl_format__ip(endpoint->ip_version, endpoint->ip, ip);
	tl_json__map(json, key);
	tl_json__string(json, "ip", ip);
	tl_json__u64(json, "port", endpoint->port);
	tl_json__map_end(json);
}

static void put_subject(struct tl_json *json, const struct tl_subject *subject,
			const char *interface)
{
	char proto[16], id[32];

	put_endpoint(json, "client", &subject->client);
	put_endpoint(json, "server", &subject->server);
	tl_words__proto(subject->proto, proto);
	tl_json__string(json, "proto", subject->proto ? proto : NULL);
	tl_json__string(json, "community_id", tl_subject__community_id(subject, id) ? id : NULL);
	tl_json__string(json, "interface", interface && *interface ? interface : NULL);
	tl_json__array(json, "vlan");
	for (uint8_t i = 0; i < subject->vlan_count && i < TL_VLAN_MAX; i++)
		tl_json__u64(json, NULL, subject->vlan[i] & 0xfff);
	tl_json__array_end(json);
	if (subject->tunnel_type == TL_TUNNEL_NONE) {
		tl_json__null(json, "tunnel");
		return;
	}
	tl_json__map(json, "tunnel");
	tl_json__string(json, "type", tl_format__tunnel(subject->tunnel_type));
	tl_json__u64(json, "id", subject->tunnel_id);
	tl_json__map_end(json);
}

static void put_evidence(struct tl_json *json, const char *key, const struct tl_evidence *evidence,
			 uint32_t count)
{
	tl_json__array(json, key);
	for (uint32_t i = 0; i < count; i++) {
		tl_json__map(json, NULL);
		if (evidence[i].frame)
			tl_json__u64(json, "frame", evidence[i].frame);
		else
			tl_json__null(json, "frame");
		if (evidence[i].file)
			tl_json__string(json, "file", evidence[i].file);
		tl_json__time(json, "time", evidence[i].ts_ns);
		tl_json__string(json, "what", evidence[i].what);
		tl_json__map_end(json);
	}
	tl_json__array_end(json);
}

static void put_detail(struct tl_json *json, const struct tl_detail *detail)
{
	switch (detail->type) {
	case TL_DETAIL_U64:
		tl_json__u64(json, detail->name, detail->u64);
		break;
	case TL_DETAIL_F64:
		tl_json__f64(json, detail->name, detail->f64);
		break;
	case TL_DETAIL_BOOL:
		tl_json__bool(json, detail->name, detail->boolean);
		break;
	case TL_DETAIL_STRING:
		tl_json__string(json, detail->name, detail->string);
		break;
	case TL_DETAIL_NULL:
		tl_json__null(json, detail->name);
		break;
	}
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
	return n < most ? n : most;
}

void tl_finding__write_json(struct tl_json *json, const struct tl_finding *f, const char *interface,
			    const char *type)
{
	char id[20];

	tl_json__begin(json, type);
	tl_json__string(json, "kind", f->kind);
	tl_json__string(json, "severity", tl_format__severity(f->severity));
	tl_json__fixed(json, "confidence", f->confidence, 2);
	tl_json__time(json, "first", f->first_ns);
	tl_json__time(json, "last", f->last_ns);
	tl_json__u64(json, "count", f->count);
	put_subject(json, &f->subject, interface);
	tl_json__string(json, "summary", f->summary);
	tl_json__string(json, "cause", f->cause);
	tl_json__string(json, "next", f->next);
	put_evidence(json, "evidence", f->evidence, at_most(f->evidence_count, TL_EVIDENCE_MAX));
	put_evidence(json, "counter_evidence", f->counter_evidence,
		     at_most(f->counter_evidence_count, 4));
	tl_json__string(json, "display_filter", f->display_filter);
	snprintf(id, sizeof(id), "%016" PRIx64, f->id);
	tl_json__string(json, "id", id);
	tl_json__map(json, "details");
	for (uint32_t i = 0; i < at_most(f->detail_count, TL_DETAILS_MAX); i++)
		put_detail(json, &f->details[i]);
	tl_json__map_end(json);
}

void tl_quality__write_json(struct tl_json *json, const struct tl_capture_quality *q,
			    uint64_t untold)
{
	tl_json__begin(json, "capture_quality");
	tl_json__u64(json, "packets", q->packets);
	tl_json__u64(json, "bytes", q->bytes);
	tl_json__u64(json, "flows", q->flows);
	tl_json__u64(json, "tcp_flows", q->tcp_flows);
	tl_json__u64(json, "one_way_flows", q->one_way_flows);
	tl_json__f64(json, "one_way_share", q->one_way_share);
	tl_json__u64(json, "midstream_flows", q->midstream_flows);
	tl_json__u64(json, "copies_removed", q->copies_removed);
	tl_json__u64(json, "missed_bytes", q->missed_bytes);
	tl_json__u64(json, "missed_segments", q->missed_segments);
	tl_json__u64(json, "truncated_packets", q->truncated_packets);
	tl_json__u64(json, "malformed_packets", q->malformed_packets);
	tl_json__u64(json, "not_ip", q->not_ip);
	tl_json__u64(json, "flows_evicted", q->flows_evicted);
	tl_json__u64(json, "analysis_shed_packets", q->analysis_shed_packets);
	tl_json__u64(json, "observations_lost", q->observations_lost);
	tl_json__map(json, "dropped");
	tl_json__u64(json, "nic", q->dropped.nic);
	tl_json__u64(json, "ring_full", q->dropped.ring_full);
	tl_json__u64(json, "fill_empty", q->dropped.fill_empty);
	tl_json__u64(json, "kernel", q->dropped.kernel);
	tl_json__u64(json, "writer", q->dropped_writer);
	tl_json__map_end(json);
	tl_json__array(json, "cannot_judge");
	for (uint32_t i = 0; i < at_most(q->cannot_judge_count, 8); i++)
		tl_json__string(json, NULL, q->cannot_judge[i]);
	tl_json__array_end(json);
	tl_json__time(json, "first", q->first_ns);
	tl_json__time(json, "last", q->last_ns);
	if (untold)
		tl_json__u64(json, "findings_not_listed", untold);
}
