/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the halves of the http analyzer share: analyzers/http.c pairs requests with responses and
 * reports what is wrong with them, core/http_judge.c groups that, core/http_words.c writes it down.
 * For these files alone.
 */
#ifndef TAPLINE_ANALYZERS_HTTP_H
#define TAPLINE_ANALYZERS_HTTP_H

#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/http_message.h"

enum http_observation { HTTP_SHORT = 1, HTTP_EXCESS, HTTP_STATUS, HTTP_FINE };

/* What ended a body before its length. */
enum http_end { HTTP_END_FIN = 1, HTTP_END_RST, HTTP_END_SILENCE };

struct http_proof {
	uint64_t frame, ts_ns;
};

struct http_report {
	uint64_t declared, observed;
	struct http_proof request, response, body, end; /* ts_ns 0: not seen */
	uint64_t flow;					/* a number of this connection */
	uint16_t status;				/* of the response; 0: none */
	uint8_t is_response;				/* the side whose body it is */
	uint8_t end_kind;				/* enum http_end */
	uint8_t is_ended_by_client;
	uint8_t expects_continue; /* the client waited before it sent the body */
	char method[TL_HTTP_METHOD];
	char uri[TL_HTTP_URI];
};

_Static_assert(sizeof(struct http_report) <= TL_OBSERVATION_BYTES, "fits in one observation");

#define HTTP_FINE_MAX 24

/* How many responses without an error servers gave since the last such list. */
struct http_fine {
	uint32_t count;
	uint32_t withheld; /* reports that the worker left out */
	struct {
		struct tl_endpoint server;
		uint32_t responses;
	} server[HTTP_FINE_MAX];
};

_Static_assert(sizeof(struct http_fine) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* --- the judge ------------------------------------------------------------------------------ */

#define HTTP_GROUP_CLIENTS 512
#define HTTP_GROUP_FLOWS   64
#define HTTP_GROUP_PROOFS  TL_EVIDENCE_MAX

enum http_by {
	HTTP_BY_SILENCE = 1u << 0,
	HTTP_BY_CLIENT = 1u << 1,
	HTTP_BY_CUT = 1u << 2, /* a RST while bytes of the body were coming */
};

struct http_group_key {
	uint8_t observation; /* enum http_observation */
	uint8_t is_wide;     /* many URIs of one server: no method, no template */
	uint8_t is_response;
	uint8_t ip_version;
	uint16_t status;
	uint16_t port;
	uint8_t by; /* SHORT: how it ended, and by whom (enum http_by) */
	uint8_t reserved[7];
	uint8_t server[16];
	uint64_t target; /* hash of method and template */
};

enum http_what {
	HTTP_WHAT_REQUEST,
	HTTP_WHAT_RESPONSE,
	HTTP_WHAT_BODY,
	HTTP_WHAT_END,
};

struct http_group_proof {
	struct http_proof proof;
	uint8_t what;
};

struct http_group {
	struct http_group_key key;
	bool used, told;
	bool one_uri;	     /* all occurrences have the first one's */
	bool is_consequence; /* of what another finding tells */
	bool was_judged;     /* after that finding had its time to come */
	uint64_t at_ns, first_ns, last_ns;
	uint64_t first_end_ns;
	struct tl_subject subject;
	struct http_report first;
	uint64_t count, flows;
	uint32_t clients, flows_known, targets;
	uint32_t client[HTTP_GROUP_CLIENTS];
	uint64_t flow[HTTP_GROUP_FLOWS]; /* a ring of the latest */
	uint32_t proof_count;
	struct http_group_proof proof[HTTP_GROUP_PROOFS];
};

struct http_context {
	const struct tl_judge_facts *facts;
	uint64_t fine; /* responses of this server without an error */
	uint64_t unseen, withheld;
	bool is_consequence; /* of what another finding tells */
};

/* Writes all of the finding but kind and id. */
void http_words__write(const struct http_group *group, const struct http_context *context,
		       struct tl_finding *finding);

struct http_judge;

int http_judge__init(void *state, const struct tl_analyzer_judge *judge);
void http_judge__observe(void *state, const struct tl_observation *observation);
void http_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void http_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void http_judge__fini(void *state);

#endif
