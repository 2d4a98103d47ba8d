/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of the simulated connection of tracker_sim.h, its chance and its events. */
#ifndef TAPLINE_TESTS_SIM_STATE_H
#define TAPLINE_TESTS_SIM_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/segment.h"
#include "tapline/packet.h"

#define SIM_MS	     1000000ull
#define SIM_MSS	     1000u
#define SIM_SEGMENTS 4000u
#define SIM_TRACE    40000u
#define SIM_EVENTS   8192u
#define SIM_UNSURE   0xff

struct sim_opts {
	uint64_t seed;
	double loss_before, loss_after, reorder, ack_loss; /* probabilities */
	uint64_t delay_a_ns, delay_b_ns;
	uint64_t reorder_ns; /* how late at most */
	uint32_t segments;
	bool ipv6, timestamps, ip_id, sack;
	bool stalls;	  /* the receiver's window shuts at times */
	bool random_id;	  /* IP IDs tell nothing of the order */
	bool bursts;	  /* losses come in bursts, as from a queue that runs over */
	bool dialog;	  /* short messages, so that losses are at their end */
	double freeze[2]; /* chance that the way before and after the tap stands still for a while
			   */
	uint32_t isn;	  /* of the sender; the receiver's is isn ^ 0x55555555 */
	uint16_t port;	  /* of the sender: one flow each */
	uint64_t from_ns; /* packet time of the start */
};

struct sim_frame {
	uint64_t ts_ns;
	uint32_t seq, ack, bytes, tsval, tsecr;
	uint16_t ip_id, window;
	uint8_t flags, side; /* side 0: the sender */
	uint8_t truth, trigger;
	uint8_t sack_count;
	bool has_ts;
	struct tl_sack_block sack[4];
};

enum sim_event_type { EV_DATA_AT_TAP, EV_DATA_ARRIVES, EV_ACK_AT_TAP, EV_ACK_ARRIVES, EV_TIMER };

struct sim_event {
	uint64_t ns;
	uint64_t order;
	uint8_t type;
	uint32_t timer; /* generation, EV_TIMER */
	uint32_t segment;
	bool lost; /* after the tap */
	struct sim_frame frame;
};

struct sim_segment {
	uint64_t sent_ns;
	uint32_t sent;			     /* times */
	bool sacked, lost, received, passed; /* passed: an instance was at the tap */
	bool heard;			     /* an ACK or SACK of it passed the tap */
};

enum sim_timer { TIMER_NONE, TIMER_RTO, TIMER_TLP, TIMER_PROBE, TIMER_APP, TIMER_KEEPALIVE };

struct sim {
	struct sim_opts o;
	uint64_t rng, now_ns, order;
	struct sim_event *heap;
	uint32_t heap_count;
	struct sim_frame *trace;
	uint32_t trace_count;
	struct sim_segment seg[SIM_SEGMENTS];
	/* sender, in segments */
	uint32_t una, next, limit; /* limit: what the application gave so far */
	uint32_t cwnd, dupacks, recovery_end, backoff, timer_generation;
	uint8_t state; /* enum tl_trigger of the recovery under way */
	uint8_t timer; /* enum sim_timer */
	bool window_shut, tlp_sent, fin_sent;
	bool losing[2]; /* a burst is under way, before and after the tap */
	uint64_t srtt_ns, var_ns;
	uint64_t link_ns; /* until when the sender's link is busy */
	uint64_t far_ns;  /* and the one behind the tap */
	uint16_t id[2];
	uint32_t tap_highest; /* segments that passed the tap: one above the highest */
	/* receiver */
	uint32_t rcv_next, unacked, tsecr;
	uint64_t stall_until_ns;
	bool stalled_told;
	uint32_t recent[3]; /* segments that came out of order last */
	int64_t dsack;
};

static inline uint64_t sim__random(struct sim *s)
{
	s->rng ^= s->rng << 13;
	s->rng ^= s->rng >> 7;
	s->rng ^= s->rng << 17;
	return s->rng * 0x2545f4914f6cdd1du;
}

static inline bool sim__chance(struct sim *s, double p)
{
	return (double)(sim__random(s) >> 11) < p * 9007199254740992.0;
}

static inline uint64_t sim__between(struct sim *s, uint64_t low, uint64_t high)
{
	return low + sim__random(s) % (high - low + 1);
}

/* --- events, earliest first ----------------------------------------------------------------- */

static inline bool sim__earlier(const struct sim_event *a, const struct sim_event *b)
{
	return a->ns != b->ns ? a->ns < b->ns : a->order < b->order;
}

static inline void sim__push(struct sim *s, struct sim_event event)
{
	uint32_t i = s->heap_count++;

	if (i >= SIM_EVENTS)
		abort();
	event.order = s->order++;
	while (i && sim__earlier(&event, &s->heap[(i - 1) / 2])) {
		s->heap[i] = s->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	s->heap[i] = event;
}

static inline struct sim_event sim__pop(struct sim *s)
{
	struct sim_event top = s->heap[0];
	struct sim_event last = s->heap[--s->heap_count];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= s->heap_count)
			break;
		if (child + 1 < s->heap_count && sim__earlier(&s->heap[child + 1], &s->heap[child]))
			child++;
		if (!sim__earlier(&s->heap[child], &last))
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

#endif
