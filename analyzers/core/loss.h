/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the two halves of the loss analyzer share: the worker's (loss.c) observations, which the
 * judge (core/loss_judge.c) sums up.
 *
 *	          client ────────────── tap ────────────── server
 *	 up         ─── lost before ───► │ ─── lost after ───►
 *	 down       ◄── lost after ───── │ ◄── lost before ───
 *	           └── client's side ──┘   └── server's side ──┘
 *
 * So a loss has a direction and a place seen from the tap, which together are a side of the tap.
 */
#ifndef TAPLINE_ANALYZERS_LOSS_H
#define TAPLINE_ANALYZERS_LOSS_H

#include "core/facts.h"
#include "core/tcp_fault.h"

enum loss_observation {
	LOSS_OBSERVED_PATH = 1, /* struct loss_path; the subject is that of the first loss */
	LOSS_OBSERVED_TOTALS,	/* struct loss_totals: paths without loss */
};

enum loss_direction { LOSS_UP = 0, LOSS_DOWN };
enum loss_place { LOSS_BEFORE = 0, LOSS_AFTER };
enum loss_side { LOSS_CLIENT_SIDE = 0, LOSS_SERVER_SIDE };

static inline enum loss_side loss_side_of(unsigned direction, unsigned place)
{
	return (direction == LOSS_UP) == (place == LOSS_BEFORE) ? LOSS_CLIENT_SIDE
								: LOSS_SERVER_SIDE;
}

/* One retransmission, as proof. */
struct loss_proof {
	uint64_t frame;
	uint64_t ts_ns; /* 0: none */
	uint32_t seq;
	uint16_t bytes;
	uint8_t trigger; /* enum tl_trigger */
};

#define LOSS_EARLY 3
#define LOSS_LATE  2

/* Losses of one direction at one place. */
struct loss_count {
	int32_t lost; /* segments; a D-SACK that comes later takes one back */
	uint32_t retransmitted_bytes;
	uint32_t rto, fast, tlp;
	uint32_t flows;
	uint32_t bursts, burst_most; /* of losses, fewer than LOSS_BURST_SEGMENTS apart */
	uint32_t hung_ms;   /* the longest wait for retransmissions, after which it went on */
	uint32_t stuck_ms;  /* and with which the flow ended */
	int32_t stuck_lost; /* of `lost`: after them nothing came from the receiver ever again */
	int32_t stuck_flows;
	uint16_t client_port;		     /* of the flow of early[0] */
	struct loss_proof early[LOSS_EARLY]; /* the first ones */
	struct loss_proof late[LOSS_LATE];   /* the last ones, oldest first */
};

#define LOSS_BURST_SEGMENTS 8u

/* What happened on the way between a client and a service, since it was told last. */
struct loss_path {
	uint32_t segments[2]; /* with data, by direction */
	uint32_t spurious[2];
	uint32_t reordered[2];
	struct loss_count count[2][2]; /* [direction][place] */
};

#define LOSS_TOTALS_MAX 14

struct loss_totals {
	uint32_t count;
	uint32_t withheld; /* flows of which losses were not counted, for want of room */
	struct {
		struct tl_endpoint client; /* port 0 */
		struct tl_endpoint server;
		uint32_t segments[2];
	} path[LOSS_TOTALS_MAX];
};

_Static_assert(sizeof(struct loss_path) <= TL_OBSERVATION_BYTES, "fits in one observation");
_Static_assert(sizeof(struct loss_totals) <= TL_OBSERVATION_BYTES, "fits in one observation");

/* Keeps the first and the last ones by time, so that the order of calls makes no difference. */
void loss_count__prove(struct loss_count *count, const struct loss_proof *proof);
/* client_port is the caller's to set. */
void loss_count__add(struct loss_count *sum, const struct loss_count *count);

/* --- the judge ------------------------------------------------------------------------------- */

/* What passed on a path, by direction. */
struct loss_traffic {
	uint64_t segments[2];
	uint64_t spurious[2];
	uint64_t reordered[2];
};

/*
 * One host's side of the tap: what a finding is about. Or, `is_wide`, that of the many hosts that
 * talk to one on the other side.
 */
struct loss_group {
	bool used, is_dirty, told;
	bool is_explained; /* connect.* says that the host is gone */
	bool is_wide;
	bool one_peer;		 /* all paths lead to `peer` */
	uint8_t side;		 /* enum loss_side */
	struct tl_endpoint host; /* at that side; is_wide: at the other; port 0 */
	struct tl_endpoint peer;
	uint32_t generation; /* grows with each use of the slot */
	uint32_t peers;	     /* paths with a loss */
	uint32_t fan;	     /* is_wide: all paths, as far as they are known */
	struct tl_subject subject;
	struct loss_traffic traffic;
	struct loss_count count[2]; /* by direction, at the place that is this side */
	uint64_t withheld;
};

void loss_words__write(const struct loss_group *group, const struct tl_judge_facts *facts,
		       struct tl_finding *finding);

int loss_judge__init(void *state, const struct tl_analyzer_judge *judge);
void loss_judge__observe(void *state, const struct tl_observation *observation);
void loss_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void loss_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void loss_judge__fini(void *state);

#endif
