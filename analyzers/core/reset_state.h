/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the worker half of the reset analyzer (reset.c, core/reset_cut.c) keeps of flows, cuts and
 * services; for it alone.
 */
#ifndef TAPLINE_ANALYZERS_RESET_STATE_H
#define TAPLINE_ANALYZERS_RESET_STATE_H

#include "core/reset.h"

#define CUTS_MAX 4096u
#define SERVICES 2048u /* a power of two */
/* Up to here it is a Finished with its change_cipher_spec, an alert in disguise, HTTP/2's SETTINGS,
 * WINDOW_UPDATE, GOAWAY: nothing that waits for an answer. */
#define TLS_SMALL_BYTES 96u
/* Round trips of which the least is one. */
#define RTT_SAMPLES_MIN 4u

/* What is known of one side of a flow. */
struct side {
	uint64_t data_ns;
	uint32_t data_seq, data_bytes, data_ack; /* of the latest */
	uint32_t min_rtt_us;			 /* from the tap to it and back */
	uint32_t flight;			 /* bytes sent and not ACKed */
	struct reset_identity identity;
};

enum flow_flag {
	SAW_SYN = 1u << 0,
	SAW_SYNACK = 1u << 1,
	ESTABLISHED = 1u << 2,
	SAW_FIN = 1u << 3,
	END_TOLD = 1u << 4, /* the server's, to its service */
	DOWN_TOLD = 1u << 5,
	HALF_OPEN = 1u << 6, /* the server repeats its SYN-ACK: connect.queue_overflow's */
	SAW_ALERT = 1u << 7, /* of TLS: its sender closes, as with a FIN */
};

/* Who has taken leave in the words of its protocol, and said nothing else since. */
enum farewell { FAREWELL_SIDE_0 = 1u << 0, FAREWELL_SIDE_1 = 1u << 1 };

enum fin {
	FIN_AFTER_IDLE = 1, /* the server closed a connection that was idle */
	FIN_UNNOTICED,	    /* …and the client asked something after it all the same */
};

/* Each packet asks for it: as few cache lines as will do. */
struct flow_state {
	uint64_t gap_ns;     /* without data, before the last data, or before a FIN: `fin` */
	uint64_t data_frame; /* the latest data: the speaker's; 0: it was not seen */
	uint16_t cut;	     /* index + 1 */
	uint16_t service;    /* where it is, and of which side: service_of() */
	uint8_t flags;	     /* enum flow_flag */
	uint8_t speaker;     /* who sent data last: side + 1; 0: nobody */
	uint8_t farewell;    /* enum farewell */
	uint8_t fin : 2;     /* enum fin */
	uint8_t synacks : 2; /* up to 2 */
	struct side side[2];
};

_Static_assert(CUTS_MAX < UINT16_MAX, "an index and one more fit");
_Static_assert(2 * SERVICES < UINT16_MAX, "a place, a side and one more fit");

struct cut {
	uint16_t next_free; /* index + 1 */
	uint8_t side;
	bool to_syn, had_fin, established;
	bool tried_again;  /* the client repeated its SYN after the RST */
	bool is_parting;   /* the client's, of TLS: see is_parting() */
	uint8_t speaker;   /* as in the flow, when the RST came */
	bool is_overtaken; /* an ACK of the same side came after it: `late_ack`, of the newest */
	uint32_t late_ack;
	struct reset_report report;
};

/* What an answer touches. */
struct service {
	struct tl_endpoint server;
	bool is_dirty;
	uint64_t answer_ns;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t now_ns;
	uint64_t second;
	uint32_t reports;
	uint64_t quiet_second;
	uint32_t quiet; /* ends told in it */
	uint16_t cuts_used, cut_free;
	uint32_t dirty;
	uint64_t withheld;
	struct reset_services pack;
	struct cut cut[CUTS_MAX];
	struct service service[SERVICES];
	struct reset_service news[SERVICES]; /* of each: what else there is to tell */
};

/* One packet on its way through. */
struct step {
	struct worker *w;
	struct flow_state *fs;
	const struct tl_flow *flow;
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	const struct tl_segment *segment;
	uint64_t now_ns;
	uint8_t side;
	bool from_client;
};

/* --- RSTs (core/reset_cut.c) ----------------------------------------------------------------- */

void reset_cut__rst(const struct step *s);
/* A packet after the RST: does whoever is said to have sent it go on, or its peer? */
void reset_cut__after(const struct step *s);
/* The flow is over, or the RST did nothing: tells, if it cut something. */
void reset_cut__conclude(struct worker *w, struct flow_state *fs, const struct tl_flow *flow);
void reset_cut__prove_rst(const struct step *s, struct reset_report *r);
void reset_cut__prove_data(const struct step *s, struct reset_report *r);

#endif
