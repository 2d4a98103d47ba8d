/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the TLS analyzer share: the observations that its worker half (tls.c) emits,
 * and its judge (core/tls_judge.c), with its words (core/tls_words.c).
 *
 *	packets ─► handshake ─┬─► chain, in parts (a new one only) ─► judge: X.509, once a chain
 *	                      └─► report, once a handshake          ─► judge: groups ─► findings
 */
#ifndef TAPLINE_ANALYZERS_TLS_H
#define TAPLINE_ANALYZERS_TLS_H

#include "core/analyzer_impl.h"
#include "core/facts.h"
#include "core/tls_chain.h"
#include "core/tls_record.h"

enum tls_observation {
	TLS_OBSERVED_HANDSHAKE = 1, /* struct tls_report */
	TLS_OBSERVED_CHAIN,	    /* struct tls_chain_part */
	TLS_OBSERVED_WITHHELD, /* uint64_t: reports that there was no room for, since the last */
};

enum tls_what {
	TLS_SAW_NOTHING,
	TLS_SAW_CLIENT_HELLO,
	TLS_SAW_SERVER_HELLO,
	TLS_SAW_CERTIFICATE,
	TLS_SAW_LAST_MESSAGE,
	TLS_SAW_ALERT,
	TLS_SAW_FIN,
	TLS_SAW_RST,
	TLS_SAW_NO_TLS,
};

struct tls_proof {
	uint64_t frame;
	uint64_t ts_ns;
	uint8_t what; /* enum tls_what */
	uint8_t side; /* 0: client's, 1: server's */
	uint8_t message;
};

#define TLS_PROOFS_MAX 6

enum tls_outcome {
	TLS_OUTCOME_UNKNOWN,  /* the capture ended, or does not show enough */
	TLS_OUTCOME_FINISHED, /* the handshake came about */
	TLS_OUTCOME_FAILED,
};

/* Why it failed, when no alert says so. */
enum tls_failure {
	TLS_FAILURE_NONE,
	TLS_FAILURE_ALERT,
	TLS_FAILURE_CLOSED, /* FIN */
	TLS_FAILURE_RESET,
	TLS_FAILURE_SILENT,  /* the hello was ACKed and never answered */
	TLS_FAILURE_NOT_TLS, /* the server answered in another protocol */
};

#define TLS_NOBODY 2 /* neither side closed */

struct tls_report {
	uint64_t first_ns, last_ns;
	uint64_t chain; /* hash of the chain; 0: none seen */
	uint64_t certificate_ns, certificate_frame;
	uint16_t version; /* chosen, or the highest offered */
	uint8_t outcome, failure;
	uint8_t last_message; /* enum tl_tls_message; of either side */
	uint8_t closed_by;    /* 0: client, 1: server, TLS_NOBODY */
	uint8_t alert;	      /* TL_TLS_ALERT_NONE */
	bool alert_opaque;    /* an encrypted record of an alert's size */
	bool inferred;	      /* last_message or the alert is told from the sizes of records */
	bool used;	      /* the client sent data after the handshake */
	bool resumed;
	uint16_t certificate_bytes; /* TLS 1.3: of the record that looks like the certificate; 0 */
	uint8_t proof_count;
	struct tls_proof proof[TLS_PROOFS_MAX];
	char sni[TL_TLS_SNI_MAX];
};

#define TLS_PART_BYTES 704u

struct tls_chain_part {
	uint64_t chain;
	uint32_t total;
	uint32_t offset;
	uint32_t bytes;
	uint8_t data[TLS_PART_BYTES];
};

_Static_assert(sizeof(struct tls_report) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct tls_chain_part) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* --- the judge -------------------------------------------------------------------------------- */

#define TLS_GROUP_PROOFS TL_EVIDENCE_MAX

enum tls_kind {
	TLS_KIND_FAILED,
	TLS_KIND_INCOMPLETE,
	TLS_KIND_EXPIRED,
};

/* What failures, or flows served with a chain, add up to. */
struct tls_group {
	bool used;
	uint8_t kind; /* enum tls_kind */
	uint64_t key_hash;
	uint32_t next;		   /* of the hash chain */
	struct tl_subject subject; /* of the first flow */
	struct tls_report report;  /* likewise */
	bool many_clients;
	uint64_t first_ns, last_ns;
	uint64_t flows;
	uint64_t succeeded; /* handshakes with the same server that came about */
	uint64_t refused;   /* flows whose client refused the certificate */
	uint64_t left;	    /* flows whose client closed without using the connection */
	uint64_t unseen;    /* packets the capture lost */
	bool has_chain;
	struct tl_chain chain;
	uint32_t proof_count;
	struct tls_proof proof[TLS_GROUP_PROOFS];
};

/* As struct tl_analyzer wants them; `state` holds one pointer, to the judge that __init makes. */
int tls_judge__init(void *state, const struct tl_analyzer_judge *judge);
void tls_judge__observe(void *state, const struct tl_observation *observation);
void tls_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void tls_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void tls_judge__fini(void *state);

/* Writes all of the finding but kind and id. */
void tls_words__write(const struct tls_group *group, struct tl_finding *finding);

/* Is this an alert by which a client says that it does not trust the certificate? */
static inline bool tls_alert_refuses_chain(uint8_t alert)
{
	return alert == TL_TLS_UNKNOWN_CA || alert == TL_TLS_BAD_CERTIFICATE ||
	       alert == TL_TLS_CERTIFICATE_UNKNOWN;
}

#endif
