/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records: what leaves the analysis. Analyzers make findings; the exporters print them.
 */
#ifndef TAPLINE_RECORD_H
#define TAPLINE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/packet.h"
#include "tapline/stats.h"

enum tl_severity { TL_INFO = 0, TL_WARNING, TL_ERROR };

#define TL_EVIDENCE_MAX 12
#define TL_DETAILS_MAX	20

/* A packet that proves (or speaks against) a finding. */
struct tl_evidence {
	uint64_t frame; /* as in struct tl_packet; 0: not in the file */
	uint64_t ts_ns;
	const char *file; /* its path, where several files were read; else NULL */
	char what[80];
};

enum tl_detail_type {
	TL_DETAIL_U64,
	TL_DETAIL_F64,
	TL_DETAIL_BOOL,
	TL_DETAIL_STRING,
	TL_DETAIL_NULL
};

struct tl_detail {
	const char *name; /* a literal: the field name of the contract */
	enum tl_detail_type type;
	union {
		uint64_t u64;
		double f64;
		bool boolean;
	};
	char string[160];
};

struct tl_endpoint {
	uint8_t ip_version; /* 0: none */
	uint8_t ip[16];
	uint16_t port;
};

/* Of what is not of one flow: the run's only interface, or none by name. */
#define TL_INTERFACE_ALL UINT32_MAX

/* Who a finding is about: copied from the flow, so that the flow may end. */
struct tl_subject {
	struct tl_endpoint client;
	struct tl_endpoint server;
	uint8_t proto; /* IP protocol */
	uint8_t vlan_count;
	uint16_t vlan[TL_VLAN_MAX]; /* VLAN ids */
	uint32_t interface;	    /* index in the run's table, or TL_INTERFACE_ALL */
	uint8_t tunnel_type;	    /* enum tl_tunnel_type */
	uint32_t tunnel_id;
};

struct tl_finding {
	const char *kind; /* a literal, as in the contract: "connect.no_answer" */
	enum tl_severity severity;
	double confidence; /* 0…1 */
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t count; /* occurrences: flows, queries, … that are grouped here */
	uint64_t id;	/* the same in every update of one finding; from what it is about */
	struct tl_subject subject;
	char summary[320];
	char cause[320];
	char next[320];
	char display_filter[512];
	uint32_t evidence_count;
	uint32_t counter_evidence_count;
	uint32_t detail_count;
	struct tl_evidence evidence[TL_EVIDENCE_MAX];
	struct tl_evidence counter_evidence[4];
	struct tl_detail details[TL_DETAILS_MAX];
};

/* The record that closes every diagnosis. */
struct tl_capture_quality {
	uint64_t first_ns, last_ns;
	uint64_t packets;
	uint64_t bytes;
	uint64_t not_ip;
	uint64_t flows;
	uint64_t tcp_flows;
	uint64_t one_way_flows; /* TCP flows of which one direction was seen though it must exist */
	double one_way_share;
	uint64_t midstream_flows;
	uint64_t copies_removed;
	uint64_t missed_bytes; /* never seen by the capture, though ACKed */
	uint64_t missed_segments;
	uint64_t truncated_packets; /* snap length cut into the headers */
	uint64_t malformed_packets;
	uint64_t flows_evicted;
	uint64_t observations_lost; /* analysis shed under load */
	uint64_t analysis_shed_packets;
	uint64_t dropped_writer;
	struct tl_drops dropped;
	char cannot_judge[8][120]; /* what could therefore not be judged, and why */
	uint32_t cannot_judge_count;
};

enum tl_finding_state {
	TL_FINDING_OPEN,      /* ripe: told early while a live capture goes on; may still grow */
	TL_FINDING_SETTLED,   /* final */
	TL_FINDING_WITHDRAWN, /* was told as open, and turned out to be none, or part of another */
};

/* Where records go. Called by the control thread only. */
struct tl_record_sink {
	void *ctx;
	void (*finding)(void *ctx, const struct tl_finding *finding, enum tl_finding_state state);
	void (*quality)(void *ctx, const struct tl_capture_quality *quality);
};

#endif
