/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tracker's verdict on a packet, made once; analyzers read it and do no sequence arithmetic of
 * their own. Packets that are not TCP get a verdict too: NEW or COPY.
 */
#ifndef TAPLINE_ANALYZERS_SEGMENT_H
#define TAPLINE_ANALYZERS_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

enum tl_verdict {
	TL_VERDICT_NEW = 0,	 /* first time these bytes (or this flag, this datagram) pass */
	TL_VERDICT_COPY,	 /* the mirror shows the same packet twice: ignore it */
	TL_VERDICT_REORDERED,	 /* fills a hole, older than its neighbours */
	TL_VERDICT_LOST_BEFORE,	 /* retransmission of bytes never seen here: lost before the tap */
	TL_VERDICT_LOST_AFTER,	 /* retransmission of bytes seen and not yet ACKed: lost after */
	TL_VERDICT_SPURIOUS,	 /* retransmission of bytes already ACKed, or D-SACK says so */
	TL_VERDICT_KEEPALIVE,	 /* 0 or 1 byte at snd_una - 1, window open */
	TL_VERDICT_WINDOW_PROBE, /* any shape of probe while the peer's window is shut */
	TL_VERDICT_PURE_ACK,	 /* no bytes, no SYN, FIN or RST */
	TL_VERDICT_SYN_RETRANSMIT, /* the same SYN (or SYN-ACK) with the same ISN again */
	TL_VERDICT_DAMAGED, /* a bad checksum: its receiver throws it away, so nobody hears it */
	TL_VERDICT_NOT_TRACKED, /* no flow, a later fragment, or headers cut off */
};

/* Of any protocol. */
enum tl_sum {
	TL_SUM_UNKNOWN = 0, /* left to a NIC, cut off, a fragment */
	TL_SUM_GOOD,
	TL_SUM_BAD,
	TL_SUM_BAD_IP, /* that of the IPv4 header */
};

enum tl_trigger { TL_TRIGGER_NONE = 0, TL_TRIGGER_RTO, TL_TRIGGER_FAST, TL_TRIGGER_TLP };

/* Where a RST's sequence number lies, seen from its receiver (RFC 5961, section 3.2). */
enum tl_rst_fit {
	TL_RST_UNKNOWN = 0, /* no RST, or nothing of its sender was seen and ACKed */
	TL_RST_EXACT,	    /* the next byte that the receiver waits for: it obeys */
	TL_RST_IN_WINDOW,   /* it answers with a challenge ACK */
	TL_RST_OUTSIDE,	    /* it ignores it */
};

struct tl_segment {
	uint8_t verdict;       /* enum tl_verdict */
	uint8_t trigger;       /* enum tl_trigger, of a retransmission */
	uint8_t duplicate_ack; /* this ACK is a duplicate (RFC 5681) */
	uint8_t window_known;  /* window_bytes is scaled rightly (both SYNs seen), or is 0 */
	uint8_t rst_fit;       /* enum tl_rst_fit */
	uint8_t sum;	       /* enum tl_sum; unknown for a copy */
	uint8_t mends;	       /* it brings again what came by damaged */
	uint32_t relative_seq; /* of the first byte, from the ISN (or the first byte seen) */
	uint32_t new_bytes;    /* bytes of this segment that are new */
	uint32_t window_bytes; /* the window this segment advertises */
	uint32_t missed_bytes; /* a hole before this was just found to be the capture's own loss */
	uint32_t flight_bytes; /* sent and not ACKed, in this direction, after this segment */
	uint32_t acked_bytes;  /* new bytes of the peer that this segment ACKs */
	uint32_t unseen_bytes; /* … or SACKs, and that have not come by (yet) */
	uint32_t rtt_us;       /* sample this ACK gives of the way from the tap and back; 0: none */
	uint32_t dsack_bytes;  /* this ACK's D-SACK: past retransmissions were spurious */
	uint32_t dsack_segments; /* as many of them, at least */
	uint32_t needless; /* retransmissions that this ACK, without SACK, shows were spurious */
	/*
	 * When the retransmitted bytes were first seen, to within an eighth of the flight; 0: never
	 */
	uint64_t original_ns;
};

/* Does it say nothing to its receiver, so that no analyzer of what is said hears it? */
static inline bool tl_segment__is_void(const struct tl_segment *segment)
{
	return segment->verdict == TL_VERDICT_COPY || segment->verdict == TL_VERDICT_DAMAGED;
}

#endif
