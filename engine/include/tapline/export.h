/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exporters: records as text for people and as JSON lines, flow records as EVE JSON and CSV.
 */
#ifndef TAPLINE_EXPORT_H
#define TAPLINE_EXPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/engine.h"
#include "tapline/flow.h"
#include "tapline/record.h"

/* Room for "2026-11-22T10:00:01.000000000Z". */
#define TL_TIME_TEXT 32
#define TL_IP_TEXT   46

void tl_format__time(uint64_t ts_ns, char ret_text[TL_TIME_TEXT]);
void tl_format__ip(uint8_t ip_version, const uint8_t *ip, char ret_text[TL_IP_TEXT]);
const char *tl_format__severity(enum tl_severity severity);
const char *tl_format__app(uint8_t app); /* "http", "tls", …; NULL for unknown */
const char *tl_format__tunnel(uint8_t type);

/*
 * Community ID v1 (seed 0) of a conversation: "1:…", 31 bytes with the zero. Either direction gives
 * the same, but for ICMP types without an answer (tl_icmp__one_way). ICMP's ports are as decode
 * gives them.
 */
void tl_community_id(uint8_t proto, const struct tl_endpoint *src, const struct tl_endpoint *dst,
		     char ret_id[32]);

/* --- findings ---------------------------------------------------------------------------- */

struct tl_finding_writer;

struct tl_finding_writer_opts {
	FILE *out;
	bool json;
	bool live;	 /* open findings are told at once, and again as they grow */
	bool color;	 /* text only */
	bool no_verdict; /* text only: what closes the findings is the caller's to say */
	const struct tl_interface *(*interface)(void *ctx, uint32_t index); /* names */
	void *ctx;
	const char *file; /* named in the hint for Wireshark; NULL: none */
	bool many_files;  /* that were read: each frame is told with its own */
};

/*
 * Settled findings are kept and written ranked (severity, count, time) at __finish. Live JSON keeps
 * none: {"type":"finding_open",…} for each notice, {"type":"finding",…} when it settles, and
 * {"type":"finding_withdrawn",…} for one that was told and turned out to be none. Live text
 * tells an open finding whole once and each notice after that as one line.
 */
int tl_finding_writer__create(const struct tl_finding_writer_opts *opts,
			      struct tl_finding_writer **ret_writer);
struct tl_record_sink tl_finding_writer__sink(struct tl_finding_writer *writer);
/* Writes what was kept and the quality record. Highest severity seen, -1 when none; -errno. */
int tl_finding_writer__finish(struct tl_finding_writer *writer);
void tl_finding_writer__destroy(struct tl_finding_writer *writer);

/* --- summary ----------------------------------------------------------------------------- */

int tl_summary__write_json(const struct tl_run_summary *summary, FILE *out);
int tl_summary__write_text(const struct tl_run_summary *summary, FILE *out);

/* --- flow records ------------------------------------------------------------------------ */

enum tl_flow_record_kind {
	TL_FLOW_RECORD_END = 0,
	TL_FLOW_RECORD_START,  /* its first packet */
	TL_FLOW_RECORD_ACTIVE, /* it goes on */
};

/*
 * One line about a flow. Counters are always totals since the flow began: end records alone add up
 * to the traffic, and an active record takes the place of the one before it.
 */
struct tl_flow_record {
	const struct tl_flow *flow;
	const char *interface; /* NULL or "": not told */
	enum tl_flow_record_kind kind;
	enum tl_flow_end end; /* of an end record */
	uint64_t ts_ns;	      /* of the others: packet time */
};

int tl_flow_record__write_json(const struct tl_flow_record *record, FILE *out);
/* One aligned line for people. */
int tl_flow_record__write_text(const struct tl_flow_record *record, FILE *out);
int tl_flow_record__write_csv_header(FILE *out);
int tl_flow_record__write_csv(const struct tl_flow_record *record, FILE *out);

struct tl_ipfix;

/*
 * Flow records to an IPFIX collector over UDP, both directions in one record (RFC 5103).
 * `collector`: "HOST:PORT", or "HOST" for port 4739; `pace` lets it wait for the collector to take
 * what was sent, for a source that can wait. 0; -EINVAL: no such form; other -errno, in words.
 */
int tl_ipfix__create(const char *collector, bool pace, struct tl_error *ret_error,
		     struct tl_ipfix **ret_ipfix);
/*
 * Any thread. Active and end records; counters of each are those since the record before, as
 * collectors add them up. 0 or -ENOMEM; what the network refuses is counted.
 */
int tl_ipfix__write(struct tl_ipfix *ipfix, const struct tl_flow_record *record);
/* Sends what is left: 0, or the first error of sending; both counts are set. */
int tl_ipfix__finish(struct tl_ipfix *ipfix, uint64_t *ret_messages, uint64_t *ret_failed);
void tl_ipfix__destroy(struct tl_ipfix *ipfix);

/* --- the link as a whole ------------------------------------------------------------------ */

/* {"type":"stats",…}; `interface`: names, or NULL. */
int tl_census__write_json(const struct tl_census_report *report, const char *interface, FILE *out);
int tl_census__write_text(const struct tl_census_report *report, const char *interface, FILE *out);

#endif
