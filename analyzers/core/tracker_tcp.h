/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tracker knows of a TCP flow: for each direction (the side that sends its bytes) the
 * sequence space as the tap saw it and what the receiver said of it.
 *
 *   base_seq          una                              next_seq
 *      │ ── ACKed ──── │ ── in flight, seen at the tap ──► │
 *      │      holes: below next_seq, never seen            │
 *      │               sacked: above una, the receiver has │
 *
 * Invariants: base_seq <= una and next_seq (serial); una <= next_seq once a packet of the direction
 * was seen; holes lie below next_seq. Private to the tracker.
 */
#ifndef TAPLINE_ANALYZERS_TRACKER_TCP_H
#define TAPLINE_ANALYZERS_TRACKER_TCP_H

#include "core/segment.h"
#include "core/tracker.h"
#include "core/tracker_copies.h"
#include "core/tracker_ranges.h"
#include "core/tracker_report.h"

#define TL_WSCALE_UNKNOWN 0xffu /* the SYN's options were not all captured */
#define TL_MARKS	  8	/* times of new bytes remembered */

enum tl_direction_flag {
	TL_DIRECTION_SEEN = 1u << 0,	/* a packet of it was seen */
	TL_DIRECTION_BASED = 1u << 1,	/* base_seq and next_seq are known */
	TL_DIRECTION_ACKED = 1u << 2,	/* una is known */
	TL_DIRECTION_SYN = 1u << 3,	/* its SYN was seen */
	TL_DIRECTION_WSCALE = 1u << 4,	/* which carried a window scale */
	TL_DIRECTION_FIN = 1u << 5,	/* its FIN was seen; it is the byte before fin_end */
	TL_DIRECTION_TIMED = 1u << 6,	/* timed_* await an ACK */
	TL_DIRECTION_TSVAL = 1u << 7,	/* tsval is known */
	TL_DIRECTION_WINDOW = 1u << 8,	/* it advertised a window */
	TL_DIRECTION_PROBED = 1u << 9,	/* probe_end: a byte sent into a shut window */
	TL_DIRECTION_DOUBT = 1u << 10,	/* the last unit missed may have been its FIN */
	TL_DIRECTION_GROWN = 1u << 11,	/* a gibibyte and more above base_seq */
	TL_DIRECTION_TALKED = 1u << 12, /* it sent more than a SYN or a RST */
	TL_DIRECTION_SAME_ID =
		1u << 13, /* its last two packets had one IP ID, which says nothing then */
	TL_DIRECTION_ALONE = 1u << 14, /* DOUBT, and that unit was all: a FIN surely */
	TL_DIRECTION_SACK = 1u << 15,  /* its SYN permitted SACK, or may have */
};

struct tl_direction {
	uint64_t last_ns;  /* new bytes, or a retransmission */
	uint64_t new_ns;   /* new bytes */
	uint64_t timer_ns; /* the sender's retransmission timer was last set, as the tap sees it */
	uint64_t advance_ns; /* una moved */
	uint64_t dup_ns;     /* a duplicate ACK or news in a SACK came */
	uint64_t asked_ns;   /* and was the third, or the SACK: the sender must send again */
	uint64_t opened_ns;  /* the window that this direction advertises opened after being shut */
	uint64_t timed_ns;
	uint32_t base_seq;
	uint32_t next_seq;
	uint32_t una;
	uint32_t fin_end;
	uint32_t probe_end;
	uint32_t timed_end;
	uint32_t recovery_end; /* what is sent again below it belongs to that loss recovery */
	uint32_t srtt_us;      /* tap to receiver and back; 0: unknown */
	uint32_t min_rtt_us;
	uint32_t tsval;		 /* of the newest segment */
	uint32_t first_tsval;	 /* of the first one */
	uint32_t last_ack;	 /* that this direction's packets carried */
	uint32_t again_end;	 /* of what was sent again in one run from una on */
	uint32_t pending_missed; /* bytes to tell with its next segment */
	struct tl_range_list holes;
	struct tl_range_list sacked;
	struct tl_range_list damaged; /* came by with a bad checksum, and not whole so far */
	uint16_t flags;		      /* enum tl_direction_flag */
	uint16_t ip_id;		      /* of the newest segment */
	uint16_t window;
	uint16_t largest; /* payload of one segment */
	uint8_t id_score; /* how surely its IP IDs grow */
	uint8_t dup_acks;
	uint8_t wscale;
	uint8_t recovery; /* enum tl_trigger that began it */
	uint8_t stray;	  /* segments in a row far outside */
	uint8_t mark_at;
	uint8_t good_sums, bad_sums; /* packets; they stop at the most */
	uint16_t again_count;	     /* segments up to again_end, not ACKed; 0 where SACK tells */
	uint64_t mark_ns[TL_MARKS];
	uint32_t mark_end[TL_MARKS];
};

enum tl_tracked_flag {
	TL_TRACKED_ONE_WAY = 1u << 0, /* as counted in the totals */
	TL_TRACKED_TWO_WAY = 1u << 1,
	TL_TRACKED_SIDE_0 = 1u << 2, /* a packet of side 0 was seen, a RST too */
	TL_TRACKED_SIDE_1 = 1u << 3,
	TL_TRACKED_COUNTED = 1u << 4,
};

struct tl_tracked {
	struct tl_direction dir[2]; /* by side */
	uint64_t first_ns;
	uint32_t flags;	       /* enum tl_tracked_flag */
	uint8_t host_round[2]; /* by side: of tl_report, in which its address was looked up */
};

_Static_assert(sizeof(struct tl_tracked) <= 576, "state of a flow stays compact");

/* One packet under examination. */
struct tl_look {
	struct tl_print_key *key;
	struct tl_range_pool *pool;
	struct tl_tracker_totals *totals;
	const struct tl_layers *l;
	struct tl_tracked *flow;
	struct tl_direction *d;	   /* its sender's */
	struct tl_direction *peer; /* the other */
	struct tl_segment *segment;
	struct tl_report *report;
	uint64_t now_ns;
	uint64_t frame;
	bool timed_out; /* the retransmission's trigger is an RTO by itself */
};

static inline bool tl_direction__is(const struct tl_direction *d, uint32_t flags)
{
	return (d->flags & flags) == flags;
}

#define TL_TICK_LEARNED_MS 50u

/* Does that sender's timestamp clock tick in milliseconds? Many do; slower ones prove nothing. */
static inline bool tl_tracked__ticks_ms(const struct tl_tracked *f, const struct tl_direction *d,
					uint64_t now_ns)
{
	uint64_t shown_ms = now_ns > f->first_ns ? (now_ns - f->first_ns) / 1000000u : 0;

	return tl_direction__is(d, TL_DIRECTION_TSVAL) && shown_ms >= TL_TICK_LEARNED_MS &&
	       d->tsval - d->first_tsval >= shown_ms / 2;
}

/* tracker_bytes.c: what the segment's own bytes are. Sets the verdict and the trigger. */
void tl_look__bytes(struct tl_look *look);
/* tracker_bytes.c: likewise, of a segment that its receiver throws away. */
void tl_look__damaged_bytes(struct tl_look *look);
/* tracker_ack.c: what its ACK and SACKs say of the other direction's bytes. */
void tl_look__ack(struct tl_look *look);
/* tracker_trigger.c: why a retransmission was sent (enum tl_trigger). Call before `d` is updated.
 */
uint8_t tl_look__trigger(struct tl_look *look, uint32_t start, uint32_t end);
/* tracker_trigger.c: how long after an ACK passed the tap a packet that it caused may pass. */
uint64_t tl_look__answer_ns(const struct tl_look *look);
/* tracker_holes.c: a hole [next_seq, end) is there; next_seq moves to its end. */
void tl_look__open_hole(struct tl_look *look, struct tl_direction *d, const struct tl_range *hole);
/* tracker_holes.c: counts holes whose time has passed; all delivered ones when `at_end`. */
void tl_direction__expire_holes(struct tl_look *look, struct tl_direction *d, bool at_end);
/*
 * tracker_holes.c: what becomes of the others at the end. `closed`: the receiver has closed, so
 * that it had the last bytes, too, although its ACK of them was not shown.
 */
void tl_direction__close_holes(struct tl_look *look, struct tl_direction *d, bool closed);
/* tracker_holes.c: the last unit missed is known to have been a byte, or the FIN. */
void tl_direction__settle_doubt(struct tl_look *look, struct tl_direction *d, bool was_byte);

#endif
