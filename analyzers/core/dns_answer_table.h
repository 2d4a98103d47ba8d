/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of answers: how many there were, and when, by what is asked of it. In a set that is
 * full the one without news for the longest makes room. Control thread only.
 */
#ifndef TAPLINE_ANALYZERS_DNS_ANSWER_TABLE_H
#define TAPLINE_ANALYZERS_DNS_ANSWER_TABLE_H

#include "core/dns.h"
#include "core/written.h"

#define DNS_ANSWER_SETS 16384u /* powers of two */
#define DNS_ANSWER_WAYS 4u

enum dns_answers_by {
	DNS_BY_SERVER = 1,
	DNS_BY_PAIR,	    /* client and server */
	DNS_BY_QUESTION,    /* client, server, name, type; of queries that were seen */
	DNS_BY_NAME,	    /* name, type; without error */
	DNS_BY_CLIENT_NAME, /* client, name, type; without error and with records */
	DNS_BY_NAME_V4,	    /* name, type; the same, from a server with an IPv4 address */
};

struct dns_answer_sum {
	uint64_t key; /* 0: free */
	uint64_t last_ns, before_ns, frame;
	uint32_t count, records;
};

struct dns_answer_table {
	uint64_t version; /* grows with each one that is added */
	uint64_t written[TL_WRITTEN_WORDS(DNS_ANSWER_SETS)];
	struct dns_answer_sum sum[DNS_ANSWER_SETS * DNS_ANSWER_WAYS];
};

/* Of what `by` says of `question`. */
uint64_t dns_answer_table__key(enum dns_answers_by by, const struct dns_question *question);

void dns_answer_table__add(struct dns_answer_table *table, enum dns_answers_by by,
			   const struct dns_question *question, const struct dns_answer *answer);

/* NULL: none, or none any more. */
const struct dns_answer_sum *dns_answer_table__find(const struct dns_answer_table *table,
						    enum dns_answers_by by,
						    const struct dns_question *question);

#endif
