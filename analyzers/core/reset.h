/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the reset analyzer share: the observations that its worker half (reset.c)
 * emits, and what its judge (core/reset_judge.c) keeps.
 *
 *	RST ─► record of a flow's end ─► judge's record ──► group (service, sender, phase) ─►
 *tcp.reset ├──► a mode in the idle times ─► tcp.idle_timeout ends, refusals, accepts ─► service
 *───────┴──► outage ─► service.crash
 *
 * One cause is one finding: a RST that belongs to an outage or to a timer is told there alone.
 */
#ifndef TAPLINE_ANALYZERS_RESET_H
#define TAPLINE_ANALYZERS_RESET_H

#include "core/facts.h"
#include "core/tcp_fault.h"

enum reset_observation {
	RESET_OBSERVED_RST = 1,	 /* struct reset_report */
	RESET_OBSERVED_SERVICES, /* struct reset_services */
};

enum reset_sender {
	RESET_BY_UNKNOWN = 0,
	RESET_BY_CLIENT,
	RESET_BY_SERVER,
	RESET_BY_MIDDLEBOX,
};

enum reset_phase {
	RESET_IN_HANDSHAKE = 0, /* before any data */
	RESET_IN_TRANSFER,
	RESET_IN_IDLE, /* nothing was sent for RESET_IDLE_NS */
	RESET_IN_CLOSING,
};

#define RESET_IDLE_NS	  900000000ull
#define RESET_TIMER_FLOWS 5u /* cut after the same idle time: a timer */

/* Why the RST is not taken for that of the host in whose name it came. */
enum reset_doubt {
	RESET_DOUBT_TTL = 1u << 0,	/* from another distance */
	RESET_DOUBT_MAC = 1u << 1,	/* from another neighbour */
	RESET_DOUBT_IP_ID = 1u << 2,	/* out of the host's sequence of IP IDs */
	RESET_DOUBT_NO_TS = 1u << 3,	/* without the timestamps that all others carried */
	RESET_DOUBT_TOO_FAST = 1u << 4, /* ACKs what cannot have reached the host yet */
	RESET_DOUBT_GOES_ON = 1u << 5,	/* the host itself went on as if nothing was */
	RESET_DOUBT_BOTH = 1u << 6,	/* RSTs in both names at once */
	RESET_DOUBT_NEARER = 1u << 7,	/* from one hop before the host */
};

enum reset_flag {
	RESET_PENDING = 1u << 0,    /* the client had spoken last, and waits */
	RESET_IN_FLIGHT = 1u << 1,  /* bytes were not ACKed: they may be lost */
	RESET_MIDSTREAM = 1u << 2,  /* the connection began before the capture */
	RESET_IGNORED = 1u << 3,    /* the connection went on after it */
	RESET_UNREAD = 1u << 4,	    /* both sides were sending: a close with unread data */
	RESET_AFTER_IDLE = 1u << 5, /* it answers the first data after an idle time */
	RESET_BY_FIN = 1u << 6,	    /* … after the server's FIN: a timer, or nothing */
	RESET_QUIET = 1u << 7,	    /* … by that FIN alone: nobody was hurt */
};

#define RESET_PROOFS	3    /* the last data, the RST, a second RST */
#define RESET_PROOF_FIN 0x80 /* `what` of a FIN in its place */

struct reset_report {
	uint64_t rst_ns;
	uint64_t idle_ns; /* without data, before the RST or (AFTER_IDLE) before the last data */
	uint32_t doubts;  /* enum reset_doubt */
	uint16_t rst_count;
	uint8_t sender; /* enum reset_sender; in whose name: `side_is_client` */
	uint8_t phase;	/* enum reset_phase */
	uint8_t flags;	/* enum reset_flag */
	uint8_t fit;	/* enum tl_rst_fit */
	uint8_t app;
	uint8_t ttl, usual_ttl;
	bool side_is_client;
	uint8_t proof_count;
	struct tl_proof proof[RESET_PROOFS];
};

/* What happened to one service since the last tick. Times are 0 where nothing did. */
struct reset_service {
	struct tl_endpoint server;
	uint32_t ends;	/* connections that the server ended first, by FIN or RST */
	uint32_t rsts;	/* of these, by RST */
	uint32_t downs; /* SYNs refused, or repeated without an answer */
	bool refuses;
	uint64_t end_first_ns, end_last_ns, end_first_frame, end_last_frame;
	uint64_t end_clients, down_clients; /* one bit each, by a hash of the address */
	uint64_t down_first_ns, down_last_ns, down_first_frame;
	uint64_t accept_ns, accept_frame; /* the first since the latest `down` */
	uint64_t accept_last_ns;
	uint64_t answer_ns; /* the server answered data of a client */
};

#define RESET_SERVICES_MAX 5

struct reset_services {
	uint32_t count;
	uint64_t withheld; /* RSTs not told, for want of room */
	struct reset_service service[RESET_SERVICES_MAX];
};

_Static_assert(sizeof(struct reset_report) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct reset_services) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* --- what a host's packets look like (core/reset_identity.c) --------------------------------- */

struct reset_identity {
	uint32_t mac;	/* hash of the neighbour that sent the last one learned; 0: unknown */
	uint16_t ip_id; /* of the newest */
	uint8_t ttl[2]; /* paths differ */
	uint8_t ttl_count : 4;
	uint8_t rtt_samples : 4; /* in which it was at its fastest; stops where they are enough */
	uint8_t packets;	 /* seen; stops at RESET_LEARNED */
	uint8_t id_score;	 /* how surely its IP IDs grow */
	bool tcp_ts;
};

#define RESET_LEARNED	   3u	/* packets, before one can look strange but for its TTL */
#define RESET_ID_STEP_MAX  4096 /* a host's counter for all its packets may jump this far */
#define RESET_ID_SCORE_MAX 8u

/* A packet of its first ones, or from another distance than the first. */
void reset_identity__learn_new(struct reset_identity *id, const struct tl_packet *packet,
			       const struct tl_layers *layers);

static inline void reset_identity__learn(struct reset_identity *id, const struct tl_packet *packet,
					 const struct tl_layers *layers)
{
	uint8_t score = 0;

	if (id->packets < RESET_LEARNED || id->ttl[0] != layers->ttl)
		reset_identity__learn_new(id, packet, layers);
	id->tcp_ts = layers->flags & TL_LAYERS_TCP_TS;
	if (layers->ip_version != 4 || !layers->ip_id)
		return;
	if ((uint16_t)(layers->ip_id - id->ip_id - 1) < RESET_ID_STEP_MAX)
		score = id->id_score < RESET_ID_SCORE_MAX ? id->id_score + 1u : RESET_ID_SCORE_MAX;
	id->id_score = score;
	id->ip_id = (uint16_t)layers->ip_id;
}

/* enum reset_doubt: in what the packet is unlike those before it. */
uint32_t reset_identity__doubts(const struct reset_identity *id, const struct tl_packet *packet,
				const struct tl_layers *layers);
/* From 2 on the RST is taken for another's. */
unsigned reset_identity__weigh(uint32_t doubts);
/* One of those that its other packets came with. */
bool reset_identity__has_ttl(const struct reset_identity *id, uint8_t ttl);

/* --- last words (core/reset_parting.c) ------------------------------------------------------- */

#define RESET_FAREWELL_BYTES_MOST 200u

/* Is the payload a TLS alert, a record of its own, in the clear or not (RFC 5246, section 7.2)? TLS
 * 1.3 disguises it later on. */
bool reset_parting__is_alert(const struct tl_packet *packet, const struct tl_layers *layers);
/* A WebSocket's close frame, a server's "221 bye", or a client's QUIT: the connection is over by
 * its own protocol. Not for TLS. */
bool reset_parting__is_farewell(const struct tl_packet *packet, const struct tl_layers *layers,
				uint8_t app);
/* Can it be one, by its first byte? Asked before, of every packet with data. */
static inline bool reset_parting__may_be_farewell(const struct tl_packet *packet,
						  const struct tl_layers *layers, uint8_t app)
{
	const uint32_t bytes = layers->payload_bytes;

	if (app != TL_APP_HTTP && bytes > RESET_FAREWELL_BYTES_MOST)
		return false;
	if (!bytes || (uint64_t)layers->payload_offset + bytes > packet->caplen)
		return false;
	if (app == TL_APP_HTTP)
		return !(packet->data[layers->payload_offset] & 0x70); /* no extension's bits */
	switch (packet->data[layers->payload_offset]) {
	case '2':
	case '4':
	case '*':
	case 'B':
	case 'b':
	case 'E':
	case 'e':
	case 'L':
	case 'l':
	case 'Q':
	case 'q':
	case 'X':
	case 1:
		return true;
	default:
		return false;
	}
}
/* Is it a farewell: QUIT, COM_QUIT, Terminate? */
bool reset_parting__is_goodbye(const struct tl_packet *packet, const struct tl_layers *layers);

/* --- outages (core/reset_outage.c) ----------------------------------------------------------- */

#define RESET_ENDS	      16 /* groups of ends remembered */
#define RESET_OUTAGES	      4	 /* of a service, remembered to fold RSTs into */
#define RESET_CRASH_LEAST     3
#define RESET_OUTAGE_LEAST_NS 500000000ull

struct reset_ends {
	uint64_t first_ns, last_ns, first_frame, last_frame;
	uint64_t clients;
	uint32_t count, rsts;
};

struct reset_outage {
	uint64_t from_ns, cut_ns; /* first and last connection cut */
	uint64_t from_frame, cut_frame;
	uint64_t down_ns, down_last_ns, down_frame;
	uint64_t back_ns, back_frame; /* 0: not seen to come back */
	uint64_t clients;	      /* of the SYNs that failed */
	uint32_t flows, rsts, downs;
	bool refuses;
};

struct reset_history {
	bool is_dirty; /* something changed that the finding has to say */
	struct tl_endpoint server;
	struct tl_subject subject;
	struct reset_ends ends[RESET_ENDS];
	uint32_t ends_at;
	uint64_t accept_ns; /* the latest */
	uint64_t used_ns;
	struct reset_outage pending; /* SYNs fail; not (yet) an outage */
	struct reset_outage outage[RESET_OUTAGES];
	uint32_t outages;
	bool is_out; /* the newest of them goes on */
};

/* Takes in what a worker tells. Times within a call may overlap. */
void reset_history__add(struct reset_history *h, const struct reset_service *s);
/* Does the RST of the server at that time belong to an outage? */
bool reset_history__covers(const struct reset_history *h, uint64_t rst_ns, uint64_t now_ns);
/* Has it lasted long enough to be told? A service that refuses some and serves others is not out.
 */
bool reset_outage__is_sure(const struct reset_outage *o, uint64_t now_ns);

/* --- the judge ------------------------------------------------------------------------------- */

struct reset_record {
	bool used, in_timer;
	uint16_t group;
	uint32_t generation; /* of the group */
	struct tl_subject subject;
	struct reset_report report;
};

/* What a finding sums up. */
struct reset_sum {
	uint64_t flows;
	uint64_t pending, in_flight, unread, in_window, out_of_window, ignored, midstream, quiet;
	uint64_t waited;   /* pending, and not in answer to that request itself */
	uint64_t withheld; /* RSTs that were not told, of whatever connection */
	uint64_t idle_ns;  /* the middle one, of a timer; else the longest */
	uint64_t first_ns, last_ns;
	uint32_t doubts;
	uint32_t clients; /* distinct among the records looked at; at least 1 */
	struct tl_subject subject;
	struct reset_report first; /* the first of them */
	uint32_t proof_count;
	struct tl_proof proof[TL_EVIDENCE_MAX];
};

void reset_words__reset(const struct reset_sum *sum, const struct tl_judge_facts *facts,
			struct tl_finding *f);
void reset_words__timer(const struct reset_sum *sum, struct tl_finding *f);
void reset_words__crash(const struct reset_history *h, uint64_t now_ns, struct tl_finding *f);

int reset_judge__init(void *state, const struct tl_analyzer_judge *judge);
void reset_judge__observe(void *state, const struct tl_observation *observation);
void reset_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void reset_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void reset_judge__fini(void *state);

#endif
