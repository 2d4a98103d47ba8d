/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside the periodic analyzer: what its worker half (periodic.c) tells its judge
 * (core/periodic_judge.c), and the test of a beat (core/periodic_beat.c). For these files and the
 * beat's unit test alone.
 *
 *	worker: packets ─► knocks of a (client, server:port), second by second ─► struct report
 *	judge:  reports of all workers ─► intervals, newest 64 ─► is it a clock? ─► finding
 */
#ifndef TAPLINE_ANALYZERS_PERIODIC_H
#define TAPLINE_ANALYZERS_PERIODIC_H

#include "core/analyzer_impl.h"
#include "core/tcp_fault.h"
#include "core/text.h"
#include "core/written.h"

#define TL_PERIODIC_KNOCKS	 140u
#define TL_PERIODIC_DATAGRAM_MAX 64u /* bytes of a datagram that can be no part of a stream */

enum tl_periodic_observation {
	TL_PERIODIC_TOTALS = 1, /* all packets of a second, of one worker; knocks are empty */
	TL_PERIODIC_KNOCKED,	/* knocks of one pair */
};

/* What is done once a period. */
enum tl_periodic_way {
	TL_PERIODIC_CONNECTIONS = 0, /* a new connection (a new flow, where it is not TCP) */
	TL_PERIODIC_REQUESTS,	     /* a further request in a flow */
};

/* One second, or a part of it; parts of one second add up. The subject is the observation's. */
struct tl_periodic_head {
	uint64_t second;
	uint64_t packets, bytes;
	uint64_t client_payload, server_payload;
	uint64_t idle_ns; /* before each knock: how long nothing had passed between the two */
	uint64_t first_frame, first_ns; /* the first knock */
	uint32_t way;			/* enum tl_periodic_way */
	uint32_t count;
};

struct tl_periodic_report {
	struct tl_periodic_head head;
	uint32_t at_ns[TL_PERIODIC_KNOCKS]; /* since the second's begin */
};

_Static_assert(sizeof(struct tl_periodic_report) <= TL_OBSERVATION_BYTES, "one observation");

/* Of a report with so many knocks, what goes into an observation. */
static inline size_t tl_periodic_report__bytes(uint32_t count)
{
	return offsetof(struct tl_periodic_report, at_ns) + count * sizeof(uint32_t);
}

/* --- the beat: is a row of moments as even as a clock? ---------------------------------------- */

#define TL_BEAT_RING	      64u
#define TL_BEAT_INTERVALS_MIN 20u
#define TL_BEAT_SLOTS	      10u /* of a second, for counts */

struct tl_beat {
	uint64_t last_ns;
	uint64_t intervals; /* ever */
	/* Counts of whole slots, for beats too fast for a timer's jitter. */
	uint64_t slots;
	double sum, squares;
	uint64_t
		interval_ns[TL_BEAT_RING]; /* the newest of `intervals`; the rest may be anything */
};

/* It begins anew, but for the latest knock. */
static inline void tl_beat__forget(struct tl_beat *beat)
{
	beat->intervals = beat->slots = 0;
	beat->sum = beat->squares = 0;
}

/* A knock; in order of time. */
void tl_beat__knock(struct tl_beat *beat, uint64_t at_ns);
/* Knocks of one whole second, counted in slots of 100 ms. */
void tl_beat__count(struct tl_beat *beat, const uint32_t slot[TL_BEAT_SLOTS]);
/*
 * Even enough for a clock: over the newest intervals, without the tenth at each end, the standard
 * deviation is below a tenth of the mean; or, for beats of 20 ms and less, counts vary
 * (their variance) at most a tenth as much as chance would make them. `ret_period_ns` is the mean,
 * `ret_variation` the coefficient.
 */
bool tl_beat__is_even(const struct tl_beat *beat, double *ret_period_ns, double *ret_variation);

/* --- the judge half, for periodic.c's table --------------------------------------------------- */

#define TL_PERIODIC_SETS   128u
#define TL_PERIODIC_WAYS   4u
#define TL_PERIODIC_BUFFER 2048u /* knocks of a pair in a second; with more it is not judged */
#define TL_PERIODIC_PROOFS 6u

/*
 * One pair, as the judge knows it. With many pairs a report finds its run in no cache: so what each
 * report touches lies together, at the begin.
 */
struct tl_periodic_run {
	bool overflowed; /* this second */
	bool is_even;
	uint8_t way;
	uint32_t count;
	uint64_t first_ns, last_ns;
	struct tl_periodic_head now; /* sums of this second */
	struct tl_subject subject;
	uint64_t knocks, packets, bytes, payload[2], idle_ns, seconds;
	uint64_t base_packets, base_bytes; /* all that had passed before it began */
	uint32_t proof_count;
	struct tl_beat beat;
	struct tl_proof proof[TL_PERIODIC_PROOFS];
	uint32_t at_ns[TL_PERIODIC_BUFFER];
};

struct tl_periodic_judge {
	struct tl_analyzer_judge view;
	uint64_t second;				    /* that runs' sums are of */
	bool is_open;					    /* something was reported of it */
	uint64_t now_packets, now_bytes;		    /* of that second */
	uint64_t packets, bytes;			    /* of all before it */
	uint64_t hash[TL_PERIODIC_SETS * TL_PERIODIC_WAYS]; /* of the run at the same place */
	uint64_t written[TL_WRITTEN_WORDS(TL_PERIODIC_SETS * TL_PERIODIC_WAYS)];
	struct tl_periodic_run run[TL_PERIODIC_SETS * TL_PERIODIC_WAYS];
};

int tl_periodic_judge__init(void *state, const struct tl_analyzer_judge *view);
void tl_periodic_judge__observe(void *state, const struct tl_observation *observation);
void tl_periodic_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals);
void tl_periodic_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals);

#endif
