/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the worker half of the reset analyzer (reset.c) keeps of flows, cuts and services; for it
 * alone.
 */
#ifndef TAPLINE_ANALYZERS_RESET_STATE_H
#define TAPLINE_ANALYZERS_RESET_STATE_H

#include "core/reset.h"

#define CUTS_MAX 4096u
#define SERVICES 2048u /* a power of two */
/* Round trips of which the least is one. */
#define RTT_SAMPLES_MIN 4u

/* What is known of one side of a flow. */
struct side {
	uint64_t data_ns, data_frame;
	uint32_t data_seq, data_bytes, data_ack; /* of the latest */
	uint32_t min_rtt_us;			 /* from the tap to it and back */
	uint32_t flight;			 /* bytes sent and not ACKed */
	struct reset_identity identity;
	uint8_t rtt_samples; /* up to RTT_SAMPLES_MIN */
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

struct flow_state {
	struct side side[2];
	uint64_t gap_ns; /* without data, before the last data, or before a FIN: `fin` */
	uint32_t cut;	 /* index + 1 */
	uint8_t flags;
	uint8_t synacks;
	uint8_t speaker : 2;  /* who sent data last: side + 1; 0: nobody */
	uint8_t fin : 2;      /* enum fin */
	uint8_t farewell : 2; /* enum farewell */
};

struct cut {
	uint32_t next_free; /* index + 1 */
	uint8_t side;
	bool to_syn, had_fin, established;
	bool tried_again; /* the client repeated its SYN after the RST */
	bool is_parting;  /* the client's, of TLS: see is_parting() */
	uint8_t speaker;  /* as in the flow, when the RST came */
	struct reset_report report;
};

struct service {
	struct reset_service s;
	bool is_dirty;
};

struct worker {
	struct tl_analyzer_worker out;
	uint64_t now_ns;
	uint64_t second;
	uint32_t reports;
	uint64_t quiet_second;
	uint32_t quiet; /* ends told in it */
	uint32_t cuts_used, cut_free;
	uint32_t dirty;
	uint64_t withheld;
	struct reset_services pack;
	struct cut cut[CUTS_MAX];
	struct service service[SERVICES];
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

#endif
