/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets that the mirror shows twice: a SPAN of both ports, of ingress and egress, two taps of one
 * path. A worker keeps the fingerprints of its latest packets, of all flows and protocols, in one
 * table of fixed size:
 *
 *   fingerprint ─► bucket | print | print | print | print |    one cache line; the oldest goes
 *
 * A fingerprint is a hash of what a copy leaves alone: addresses, protocol, ports, IP ID, fragment
 * offset, TCP seq, ack, flags and TSval, lengths, the transport checksum, payload bytes (the first
 * 64 and the last 32 captured). It leaves out what a copy may change: MACs, VLAN, tunnel, TTL.
 * Those are the *path*.
 *
 *   identity   what tells two packets of one sender apart       a copy when the second comes
 *   strong     an IP ID, of a sender that changes it; a SYN,    within STRONG_GAP
 *              ICMPv6, ARP: not sent again before a second
 *   guessed    an IP ID, of a sender of which nothing is known  once, within GUESSED_GAP
 *   weak       none, but a TSval of a clock of milliseconds     after TICK, within STRONG_GAP
 *   weak       none; TCP bytes or FIN                           sooner than a retransmission could
 *   weak       none; a pure ACK or RST                          if this mirror is known to copy
 *   weak       none; a datagram                                 likewise, or if most come in pairs
 *
 * and on another path always within OTHER_PATH_GAP (weak: STRONG_GAP). What is known of the mirror
 * is learned from the surer kinds: how often it copies, and how late. Equal datagrams without an
 * identity are as a rule sent so (DNS, syslog, games): where there is nothing surer, only that
 * nearly all come exactly twice, at once, shows that the mirror does it. Used by the tracker alone.
 */
#ifndef TAPLINE_ANALYZERS_TRACKER_COPIES_H
#define TAPLINE_ANALYZERS_TRACKER_COPIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/fetch.h"
#include "tapline/packet.h"

#define TL_COPIES_BUCKETS	    16384u /* of 4 prints: the latest 65536 packets, 1 MiB */
#define TL_COPIES_STRONG_GAP_US	    100000u
#define TL_COPIES_OTHER_PATH_GAP_US 500000u
#define TL_COPIES_WEAK_GAP_US	    10000u /* same path, whatever was learned */
#define TL_COPIES_GUESSED_GAP_US    10000u

struct tl_print {
	uint32_t hash_low;
	uint16_t hash_high;
	uint16_t copies;  /* seen of this packet; a later one may be its equal in all we hash */
	uint32_t time_us; /* low bits of packet time */
	uint32_t path;	  /* MACs, VLANs, tunnel, TTL, interface; 0: free */
};

struct tl_print_bucket {
	_Alignas(64) struct tl_print print[4];
};

_Static_assert(sizeof(struct tl_print_bucket) == 64, "a bucket is one cache line");

struct tl_copies {
	struct tl_print_bucket *bucket;
	uint64_t seed, secret; /* where a hash begins, and what its words meet */
	bool has_begun;
	uint32_t gap_us;  /* learned: how late a copy on the same path comes; decays */
	uint32_t firsts;  /* packets with an identity that were no copies; halved with `seconds` */
	uint32_t seconds; /* their copies on the same path */
	uint32_t thirds;  /* second copies: the mirror shows everything three times */
	/* IP IDs of packets in a row: how often were two the same? Many senders have just one. */
	uint32_t id_stays, id_moves;
	uint16_t last_id;
	/* Datagrams without an identity: new ones, those that came again at once, or more often. */
	uint32_t singles, pairs, runs;
	/* Of `pairs`, those that were not told as copies, since it was not known that they are. */
	uint32_t untold;
	uint64_t untold_bytes;
	uint32_t due; /* known by now: the caller takes them, and counts them */
	uint64_t due_bytes;
};

enum tl_print_strength { TL_PRINT_WEAK = 0, TL_PRINT_GUESSED, TL_PRINT_STRONG };

/* What a packet is to its copies. */
struct tl_print_key {
	uint64_t hash;
	uint32_t path; /* 0: it has none, as nothing in it can be told from others */
	uint32_t wirelen;
	uint8_t strength; /* enum tl_print_strength */
};

/* What the TCP state knows, for a packet with a weak identity. */
struct tl_copy_hint {
	bool occupies;	     /* it takes sequence space: a repeat would be a retransmission */
	bool loss_signal;    /* its receiver asks for bytes again */
	uint32_t min_rtt_us; /* no answer can come back sooner; 0: unknown */
	uint32_t tick_us;    /* its TSval changes within this time; 0: unknown */
};

int tl_copies__init(struct tl_copies *copies);
void tl_copies__fini(struct tl_copies *copies);

/*
 * The seed of what packets are told apart by: from the first one, its time in nanoseconds and its
 * bytes. So nobody can make packets that look like copies who does not know it, and the same
 * packets are copies live, from the file, and when it is read again. At random they were not: which
 * print gives way in a full bucket hangs on the seed.
 */
void tl_copies__begin(struct tl_copies *copies, const struct tl_packet *first);

/* False when nothing in it can be told from others; its path is 0 then. */
bool tl_copies__key(const struct tl_copies *copies, const struct tl_packet *packet,
		    const struct tl_layers *layers, struct tl_print_key *ret_key);

/* How much does an IP ID say of a sender of which nothing else is known? */
enum tl_print_strength tl_copies__id_strength(const struct tl_copies *copies);

/* A packet that is no copy, with an IP ID. */
static inline void tl_copies__note_id(struct tl_copies *copies, uint16_t ip_id)
{
	copies->id_stays += ip_id == copies->last_id;
	copies->id_moves += ip_id != copies->last_id;
	copies->last_id = ip_id;
}

static inline void tl_copies__prefetch(const struct tl_copies *copies,
				       const struct tl_print_key *key)
{
	tl_fetch(&copies->bucket[key->hash & (TL_COPIES_BUCKETS - 1)]);
}

/* The print of one of the latest packets that is this one's equal; NULL: none is, as usual. */
static inline struct tl_print *tl_copies__find(const struct tl_copies *copies,
					       const struct tl_print_key *key)
{
	struct tl_print *print = copies->bucket[key->hash & (TL_COPIES_BUCKETS - 1)].print;

	for (uint32_t i = 0; i < 4; i++)
		if (__builtin_expect(print[i].hash_low == (uint32_t)(key->hash >> 16), 0) &&
		    print[i].hash_high == (uint16_t)(key->hash >> 48) && print[i].path)
			return &print[i];
	return NULL;
}

/* Remembers a packet that has no equal. `hint` may be NULL: not TCP; all but `occupies` may lack.
 */
void tl_copies__remember(struct tl_copies *copies, const struct tl_print_key *key, uint64_t ts_ns,
			 const struct tl_copy_hint *hint);

/* Is this packet a copy of one of the latest? Remembers it. `hint` may be NULL: not TCP. */
bool tl_copies__check(struct tl_copies *copies, const struct tl_print_key *key, uint64_t ts_ns,
		      const struct tl_copy_hint *hint);

#endif
