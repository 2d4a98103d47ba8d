/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the halves of the dns analyzer share: analyzers/dns.c watches queries, core/dns_judge.c
 * groups what failed, core/dns_words.c writes it down. For these files alone.
 *
 *	query ─► try (tuple, id, name, type) ─► answer ─► one line in a list of answers
 *	           │ same id again: one more try          │ late, or an rcode: DNS_ANSWERED
 *	           ├─► 5.5 s without ───────────────────────► DNS_UNANSWERED
 *	           └─► ICMP port unreachable ───────────────► DNS_UNREACHABLE
 */
#ifndef TAPLINE_ANALYZERS_DNS_H
#define TAPLINE_ANALYZERS_DNS_H

#include "core/analyzer_impl.h"
#include "core/dns_message.h"
#include "core/facts.h"

#define DNS_LATE_NS 1000000000ull
/* A stub resolver that repeats after 5 s (resolv.conf(5)) shall still find its first try. */
#define DNS_EXPIRY_NS 5500000000ull
/* A query for the same, so long after the last one, is another try of it. */
#define DNS_RETRY_SPAN_NS 6000000000ull
#define DNS_PROOFS	  4

enum dns_observation { DNS_UNANSWERED = 1, DNS_ANSWERED, DNS_UNREACHABLE, DNS_ANSWERS };

enum dns_report_flag {
	DNS_BY_CAPTURE = 1u << 0, /* given up because the capture ended, not after DNS_EXPIRY_NS */
	DNS_BY_CONTENT = 1u << 1, /* not on port 53 */
	DNS_ODD_FRAMES = 1u << 2, /* TCP or fragments: dissectors may show it in another frame */
	DNS_PLAIN_NAME = 1u << 3, /* as in struct tl_dns_message */
	DNS_MOVED_ON = 1u << 4,	  /* its client then had the answer from another server */
};

struct dns_proof {
	uint64_t frame, ts_ns;
};

/* One try (or several with one id from one port) and how it ended. */
struct dns_report {
	uint64_t first_ns, last_ns; /* of the tries */
	uint64_t seen_ns;	    /* packet time up to which nothing more came */
	uint64_t name_hash;
	struct dns_proof proof[DNS_PROOFS]; /* the first tries and the latest */
	struct dns_proof end;		    /* the answer, or the ICMP message */
	struct tl_endpoint reporter;	    /* of the ICMP message */
	uint32_t tries;
	uint16_t id, qtype, rcode;
	uint8_t flags, icmp_code;
	char name[TL_DNS_NAME];
};

_Static_assert(sizeof(struct dns_report) <= TL_OBSERVATION_BYTES, "fits in one observation");

enum dns_answer_flag {
	DNS_ANSWER_MATCHED = 1u << 0, /* the query was seen too */
	DNS_ANSWER_NOERROR = 1u << 1,
	DNS_ANSWER_RECORDS = 1u << 2, /* and it has some */
};

/* An answer, as far as it matters when others fail. */
struct dns_answer {
	uint64_t ts_ns, frame, name_hash;
	uint32_t client, server; /* dns_host_hash */
	uint16_t qtype;
	uint8_t flags, server_ip_version, reserved[4];
};

#define DNS_ANSWERS_MAX 18

struct dns_answers {
	uint32_t count;
	uint32_t withheld; /* reports and answers that the worker left out since the last list */
	struct dns_answer answer[DNS_ANSWERS_MAX];
};

_Static_assert(sizeof(struct dns_answers) <= TL_OBSERVATION_BYTES, "fits in one observation");

uint32_t dns_host_hash(const struct tl_endpoint *endpoint, uint16_t port);

/* --- the judge ------------------------------------------------------------------------------ */

enum dns_kind { DNS_KIND_NO_ANSWER = 1, DNS_KIND_ERROR, DNS_KIND_SLOW };

#define DNS_GROUP_CLIENTS 512
#define DNS_GROUP_NAMES	  16
#define DNS_GROUP_RECENT  8
#define DNS_GROUP_PROOFS  TL_EVIDENCE_MAX

struct dns_group_key {
	uint8_t kind;
	uint8_t is_wide; /* many names of one server: name_hash is 0 */
	uint16_t rcode;
	uint16_t port;
	uint8_t ip_version;
	uint8_t reserved;
	uint8_t server[16];
	uint64_t name_hash;
};

/* A query of which other tries may follow. */
struct dns_recent {
	uint64_t last_ns;
	uint32_t client;
	uint16_t qtype, id;
	uint64_t name_hash;
};

struct dns_group_proof {
	struct dns_proof proof;
	uint16_t qtype;
	uint8_t what; /* enum dns_what */
};

enum dns_what { DNS_WHAT_QUERY, DNS_WHAT_ANSWER, DNS_WHAT_ICMP };

/* Answers to clients of a group, as of a version of all answers (core/dns_judge.c). */
struct dns_group_answers {
	uint64_t version;
	uint32_t clients; /* looked at */
	uint64_t count, last_ns;
};

struct dns_group {
	struct dns_group_key key;
	bool used, told;
	bool one_type; /* all queries have the first one's */
	uint64_t at_ns;
	struct tl_subject subject;
	struct dns_report first; /* name, type and flags of the first query */
	uint64_t first_ns, last_ns;
	uint64_t queries, tries;
	uint64_t same_id;  /* tries that repeat an id: their client had no answer */
	uint64_t moved_on; /* queries whose client went on to another server */
	uint64_t aaaa;	   /* queries of that type */
	uint64_t unreachable;
	uint64_t by_capture;	      /* given up because the capture ended */
	uint64_t waited_ns;	      /* the longest */
	uint8_t all_flags, any_flags; /* of its reports */
	uint8_t icmp_code;
	struct tl_endpoint reporter;
	uint32_t clients, names; /* distinct, as far as counted */
	uint32_t client[DNS_GROUP_CLIENTS];
	struct dns_group_answers answers;
	uint64_t name[DNS_GROUP_NAMES];
	char suffix[TL_DNS_NAME]; /* that all names have in common, by whole labels; may be "" */
	uint32_t recent_at;
	struct dns_recent recent[DNS_GROUP_RECENT];
	uint32_t proof_count;
	struct dns_group_proof proof[DNS_GROUP_PROOFS];
};

/* Who asked whom for what; what does not matter is 0. */
struct dns_question {
	uint32_t client, server;
	uint64_t name_hash;
	uint16_t qtype;
};

void dns_group__add(struct dns_group *g, const struct tl_subject *subject,
		    const struct dns_question *q, const struct dns_report *r);
/* Adds what another group holds, of another name of the same server. */
void dns_group__merge(struct dns_group *to, const struct dns_group *from);

/* What answers say of a group, when it is worded. */
struct dns_context {
	const struct tl_judge_facts *facts;
	uint64_t server_answers;  /* of that server, to anybody */
	uint64_t clients_answers; /* of that server, to the group's clients */
	uint64_t last_answer_ns;  /* the latest of these */
	bool a_is_fine;		  /* the names have answers of type A */
	bool is_elsewhere;	  /* a client of the group got the same from another server */
	bool is_elsewhere_v4;	  /* the names are answered over IPv4, and this server is IPv6 */
	bool is_recovered;	  /* …or from this one, at another time */
	uint64_t unseen, withheld;
};

/* Writes all of the finding but kind and id. */
void dns_words__write(const struct dns_group *group, const struct dns_context *context,
		      struct tl_finding *finding);

struct dns_judge;

int dns_judge__init(void *state, const struct tl_analyzer_judge *judge);
void dns_judge__observe(void *state, const struct tl_observation *observation);
void dns_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void dns_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void dns_judge__fini(void *state);

#endif
