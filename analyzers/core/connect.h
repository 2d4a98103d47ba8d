/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the connect analyzer share: the observations that its worker half
 * (connect.c) emits, and the groups that its judge (core/connect_judge.c) keeps and words
 * (core/connect_words.c).
 *
 *	packets ─► attempt of a flow ─► report ─► judge's attempt ─► group ─► finding
 *
 * A report is the whole state of one attempt to connect, never a difference: a later one takes the
 * place of an earlier one, so that a lost one does no harm.
 */
#ifndef TAPLINE_ANALYZERS_CONNECT_H
#define TAPLINE_ANALYZERS_CONNECT_H

#include "core/analyzer_impl.h"
#include "core/facts.h"

/* --- observations -------------------------------------------------------------------------- */

enum connect_observation {
	CONNECT_OBSERVED_ATTEMPT = 1, /* struct connect_report */
	CONNECT_OBSERVED_ICMP,	      /* struct connect_icmp; the subject is what ICMP quotes */
	CONNECT_OBSERVED_SERVERS,     /* struct connect_servers */
};

enum connect_what {
	CONNECT_SYN,
	CONNECT_SYNACK,
	CONNECT_RST,
	CONNECT_DATA,
	CONNECT_ICMP,
};

struct connect_proof {
	uint64_t frame;
	uint64_t ts_ns;
	uint32_t seq;
	uint16_t bytes; /* DATA: payload; ICMP: its code */
	uint8_t what;	/* enum connect_what */
};

#define CONNECT_PROOFS_MAX 8 /* the first and the latest four */

enum connect_flag {
	CONNECT_ENDED = 1u << 0,	  /* the flow is over: nothing more will come */
	CONNECT_ANSWERED = 1u << 1,	  /* it came about after all: no fault */
	CONNECT_REFUSED_BY_RST = 1u << 2, /* RST that ACKs the SYN */
	CONNECT_ACCEPTED_LATE = 1u << 3,  /* after a queue overflow, the server went on */
};

struct connect_report {
	uint64_t first_ns;  /* first SYN */
	uint64_t last_ns;   /* last packet that belongs to the attempt */
	uint64_t synack_ns; /* first SYN-ACK */
	uint64_t seen_ns;   /* newest packet of the worker: nothing more came until then */
	uint32_t isn;
	uint32_t syn_count;
	uint32_t synack_count;
	uint32_t syn_after_synack;  /* SYNs after the first SYN-ACK */
	uint32_t synack_after_data; /* SYN-ACKs after the client's ACK and data */
	uint8_t flags;		    /* enum connect_flag */
	uint8_t proof_count;
	struct connect_proof proof[CONNECT_PROOFS_MAX];
};

struct connect_icmp {
	uint32_t isn;
	uint8_t code;
	uint8_t is_syn; /* the quote shows that it was a SYN; 0: too short to tell */
	struct tl_endpoint reporter;
	struct connect_proof proof;
};

#define CONNECT_SERVERS_MAX 28

struct connect_servers {
	uint64_t withheld; /* reports over the limit, and attempts without room; since the last */
	uint32_t count;
	struct {
		struct tl_endpoint server;
		uint32_t accepted; /* handshakes since the last observation of it */
	} server[CONNECT_SERVERS_MAX];
};

_Static_assert(sizeof(struct connect_report) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct connect_icmp) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct connect_servers) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* Adds one, keeping the first half and the latest half. */
void connect_proof__add(struct connect_proof *list, uint8_t *count, const struct connect_proof *p);

/* --- the judge ------------------------------------------------------------------------------ */

enum connect_kind {
	CONNECT_KIND_NONE = 0,
	CONNECT_KIND_NO_ANSWER,
	CONNECT_KIND_REFUSED,
	CONNECT_KIND_UNREACHABLE,
	CONNECT_KIND_RETURN_PATH,
	CONNECT_KIND_QUEUE_OVERFLOW,
};

/* What a group is about. */
enum connect_scope {
	CONNECT_SCOPE_SERVICE = 0, /* one port of one server */
	CONNECT_SCOPE_PAIR,	   /* many ports of one server, one client */
	CONNECT_SCOPE_CLIENT,	   /* many servers, one client */
};

struct connect_group_key {
	uint8_t kind;
	uint8_t scope;
	uint8_t icmp_code;
	uint8_t ip_version;
	uint16_t port;
	uint16_t reserved;
	uint8_t client[16]; /* zero in scope SERVICE */
	uint8_t server[16]; /* zero in scope CLIENT */
	uint8_t reporter[16];
};

#define CONNECT_GROUP_CLIENTS 512
#define CONNECT_GROUP_PROOFS  TL_EVIDENCE_MAX

#define CONNECT_NO_ATTEMPT UINT32_MAX

/* One attempt to connect, as far as the judge knows it: from reports, from ICMP, or both. */
struct connect_attempt {
	bool used;
	bool has_report, has_icmp;
	uint8_t kind; /* that it counts as; NONE: not (yet) a fault */
	struct tl_subject subject;
	struct connect_report report;
	struct connect_icmp icmp;
	uint32_t next; /* of the hash chain */
	uint32_t group, group_generation;
	uint32_t prev_in_group, next_in_group;
};

struct connect_group_proof {
	struct connect_proof proof;
	uint32_t attempt; /* whose it is */
};

struct connect_group {
	struct connect_group_key key;
	bool used;
	bool told;		/* its finding is in the store */
	bool held;		/* not yet told: its cause may be known soon */
	bool in_outage;		/* it is */
	bool is_stuck;		/* the program behind the port left others waiting as well */
	bool is_knock;		/* its client sent lone SYNs to other ports of the server, too */
	bool is_refused_unseen; /* the service refuses all the others */
	bool is_host_gone;	/* a router says so of other attempts */
	uint32_t generation;	/* grows with each use of the slot */
	uint16_t next;		/* of the hash chain */
	uint64_t at_ns;		/* newest occurrence */
	uint32_t first_attempt; /* list of attempts that count here */

	/* What the finding says; sums over attempts, those forgotten since too. */
	struct tl_subject subject; /* of the first attempt */
	uint8_t reporter_version;
	uint64_t first_ns, last_ns;
	uint64_t flows;
	uint64_t forgotten; /* of those, attempts that the judge had no more room for */
	uint64_t syns, synacks;
	uint64_t waited_ns; /* the longest */
	uint64_t repeated;  /* attempts with two SYNs or more */
	uint64_t overflows; /* SYN-ACKs after data */
	uint64_t accepted_late;
	uint64_t accepted;	  /* handshakes that the same service completed */
	uint64_t accepted_beside; /* those of its twin on the other loopback address */
	uint64_t unseen;   /* packets that were lost, sampled out or not analyzed in this run */
	uint64_t withheld; /* reports that the workers did not send, of whatever attempt */
	uint32_t clients;  /* distinct; CONNECT_GROUP_CLIENTS: that many or more */
	struct {
		uint32_t hash;
		uint32_t flows;
	} client[CONNECT_GROUP_CLIENTS];
	uint32_t
		targets; /* scopes PAIR and CLIENT: distinct ports or services, as far as counted */
	uint32_t proof_count;
	struct connect_group_proof proof[CONNECT_GROUP_PROOFS];
};

uint64_t connect_attempt__last_ns(const struct connect_attempt *attempt);

void connect_group__key_of(const struct connect_attempt *a, enum connect_scope scope,
			   struct connect_group_key *ret_key);

/* `slot`: where the judge keeps the attempt. __remove leaves the extremes as they are. */
void connect_group__add(struct connect_group *g, const struct connect_attempt *a, uint32_t slot);
void connect_group__remove(struct connect_group *g, const struct connect_attempt *a, uint32_t slot);
/* First and last time, longest wait, and who was first. */
void connect_group__stretch(struct connect_group *g, const struct connect_attempt *a);

/* ::1 for 127.0.0.1 and the other way round: "localhost" is both. False: no loopback address. */
bool connect_loopback_twin(const struct tl_endpoint *of, struct tl_endpoint *ret_twin);

/* Who wants to connect repeats its SYN. One SYN each to several ports is a knock, or a scan. */
bool connect_groups__is_knock(const struct connect_group *groups, uint32_t count,
			      const struct connect_group *g);
/* ICMP errors are limited to a few a second: of some SYNs a router does not say that the host is
 * unreachable (RFC 1812, 4.3.2.8). */
bool connect_groups__is_host_gone(const struct connect_group *groups, uint32_t count,
				  const struct connect_group *g);
/* Of a service that refuses all the others the mirror may not have shown a RST. */
bool connect_groups__is_refused_unseen(const struct connect_group *groups, uint32_t count,
				       const struct connect_group *g);

static inline uint64_t connect_span_ns(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

struct connect_judge;

/* As struct tl_analyzer wants them; `state` holds one pointer, to the judge that __init makes. */
int connect_judge__init(void *state, const struct tl_analyzer_judge *judge);
void connect_judge__observe(void *state, const struct tl_observation *observation);
void connect_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void connect_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void connect_judge__fini(void *state);

/* Writes all of the finding but kind and id. */
void connect_words__write(const struct connect_group *group, const struct tl_judge_facts *facts,
			  struct tl_finding *finding);
const char *connect_words__kind(enum connect_kind kind);

#endif
