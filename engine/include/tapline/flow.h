/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flows: both directions of a conversation in one entry, and the table that finds it.
 *
 * The key is the 5-tuple of the innermost IP packet, put in order so that both directions give the
 * same key: side 0 is the smaller (address, port). VLAN and tunnel are attributes of a flow, not
 * part of its key: on a mirror port the same packet is often seen in two VLANs.
 */
#ifndef TAPLINE_FLOW_H
#define TAPLINE_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tapline/packet.h"

struct tl_flow_key {
	uint8_t addr[2][16]; /* [side]; an IPv4 one in the first 4 bytes, the rest 0 */
	uint16_t port[2];    /* [side]; ICMP: type and code as Community ID orders them */
	uint8_t proto;
	uint8_t ip_version;
	uint16_t reserved; /* 0; the table uses other values for keys of its own */
};

_Static_assert(sizeof(struct tl_flow_key) == 40, "compared as five words");

enum tl_flow_state {
	TL_FLOW_NEW = 0,     /* not TCP: one direction seen so far */
	TL_FLOW_ESTABLISHED, /* TCP: handshake complete or midstream; else: both directions seen */
	TL_FLOW_SYN_SENT,
	TL_FLOW_SYN_RECEIVED,
	TL_FLOW_CLOSING, /* one FIN */
	TL_FLOW_CLOSED,	 /* both FINs, or RST */
};

enum tl_flow_end {
	TL_FLOW_END_NONE = 0,
	TL_FLOW_END_CLOSED,  /* FINs or RST, and quiet since */
	TL_FLOW_END_IDLE,    /* its idle time passed */
	TL_FLOW_END_EVICTED, /* the table was full */
	TL_FLOW_END_REUSED,  /* a new connection on the same 5-tuple */
	TL_FLOW_END_CAPTURE, /* the capture ended */
};

enum tl_flow_flag {
	TL_FLOW_MIDSTREAM = 1u << 0,   /* TCP whose SYN was not seen */
	TL_FLOW_CLIENT_SURE = 1u << 1, /* client known by a SYN (or by the first packet, not TCP) */
	TL_FLOW_SAW_RST = 1u << 2,
	TL_FLOW_VLAN_VARIES = 1u << 3, /* seen under more than one VLAN or tunnel */
	TL_FLOW_FRAGMENTS = 1u << 4,
	/* of these, some did not fit together: enum tl_fragment_flag */
	TL_FLOW_FRAGMENT_OVERLAP = 1u << 5,
	TL_FLOW_FRAGMENT_TINY = 1u << 6,
	TL_FLOW_FRAGMENT_INVALID = 1u << 7,
};

/* What is wrong with a fragment; the flow table judges it beside the others of its datagram. */
enum tl_fragment_flag {
	TL_FRAGMENT_SEEN = 1u << 0,	 /* it is one */
	TL_FRAGMENT_DUPLICATE = 1u << 1, /* the same bytes in the same place again */
	TL_FRAGMENT_OVERLAP = 1u << 2,	 /* bytes where others have been */
	TL_FRAGMENT_TINY = 1u << 3,	 /* the transport header does not lie in the first one */
	TL_FRAGMENT_INVALID = 1u << 4,	 /* sizes and ends that no sender makes */
};

/*
 * One flow. The worker that owns the table writes it; others copy it with tl_flow_table__read.
 * Directions are indexed by side (as in the key): `client` tells which side is the client.
 *
 * Three cache lines; a packet in the middle of a connection touches the first two alone:
 *
 *	line 0   who, when last, TCP state and sequence numbers
 *	line 1   counters, path, where it is in the table
 *	line 2   what handshakes, stalls, lists and the end of the flow need
 */
struct tl_flow {
	struct tl_flow_key key;
	uint64_t last_ns;
	uint32_t sequence;    /* private: lock-free readers' counter, odd while written */
	uint8_t tcp_flags[2]; /* all seen, by side */
	uint8_t state;	      /* enum tl_flow_state */
	uint8_t client;	      /* side: 0 or 1 */
	uint32_t next_seq[2]; /* private: by side, behind the highest byte sent */

	uint64_t packets[2];
	uint64_t bytes[2]; /* wire length of the frames */
	uint16_t vlan[2];  /* outermost two tags (TCI) of the first packet */
	uint16_t flags;	   /* enum tl_flow_flag; from bit 8 on private */
	uint8_t vlan_count;
	uint8_t tunnel_type;
	uint32_t tunnel_id;
	uint32_t index; /* of this entry in the table: where its analyzers' slab lies */
	uint8_t app;	/* enum tl_app */
	uint8_t end;	/* enum tl_flow_end, when it ends */
	uint16_t slot;	/* private: of the timer wheel */
	uint32_t seen;	/* private: table's clock at its last packet, in ticks */
	/* of bytes, what is outside of the IP packets; stands still at the most it can be */
	uint32_t framing_bytes[2];

	uint64_t first_ns;
	uint32_t syn_us; /* private: latest SYN, SYN-ACK, modulo 2^32; 0: not seen */
	uint32_t synack_us;
	uint32_t lru_prev; /* private: neighbours in a list of the wheel */
	uint32_t lru_next;
	uint32_t syn_seq; /* private: the client's initial sequence number */
	uint32_t interface;
	uint32_t rtt_server_us;	     /* SYN to SYN-ACK; 0: unknown */
	uint32_t rtt_client_us;	     /* SYN-ACK to ACK */
	uint16_t retransmissions[2]; /* crude: payload below next_seq; the tracker knows better */
	uint32_t zero_window_ms[2];  /* by side that shut its window: how long */
	uint32_t stalled_at_ms[2];   /* private: since first_ns, when the window was shut */
	uint32_t generation;	     /* grows each time the entry is given to a new flow */
};

_Static_assert(sizeof(struct tl_flow) == 192, "three cache lines");
_Static_assert(offsetof(struct tl_flow, packets) == 64, "counters begin line 1");
_Static_assert(offsetof(struct tl_flow, first_ns) == 128, "what is seldom used is line 2");

enum tl_app {
	TL_APP_UNKNOWN = 0,
	TL_APP_HTTP,
	TL_APP_TLS,
	TL_APP_DNS,
	TL_APP_MYSQL,
	TL_APP_POSTGRESQL,
	TL_APP_SSH,
	TL_APP_COUNT,
};

/* Called when a flow ends, before its entry is reused; `flow` is borrowed for the call. */
typedef void tl_flow_end_fn(void *ctx, struct tl_flow *flow, enum tl_flow_end end);

/*
 * Called while a flow goes on, with packet time: when its first packet was counted, or as another
 * `active_ns` of its life has passed.
 */
typedef void tl_flow_alive_fn(void *ctx, struct tl_flow *flow, uint64_t now_ns);

struct tl_flow_table;

struct tl_flow_table_opts {
	uint64_t memory_bytes;	/* all of the table's memory, set at start; --flow-memory */
	uint64_t idle_ns;	/* 0: default, 60 s for UDP and others… */
	uint64_t tcp_idle_ns;	/* 0: default, 5 min for established TCP */
	uint64_t half_open_ns;	/* 0: default, 130 s: longer than Linux' last SYN retry's wait */
	uint64_t closed_ns;	/* 0: default, 2 s */
	uint64_t hash_seed[2];	/* both 0: from getrandom(2); set only by tests */
	int numa_node;		/* -1: any */
	tl_flow_end_fn *on_end; /* these may be NULL */
	tl_flow_alive_fn *on_begin;
	tl_flow_alive_fn *on_active;
	uint64_t active_ns; /* 0: default, 60 s */
	/*
	 * The index begins small and doubles as flows come: little memory for few flows. Each time
	 * takes about 50 ns for each flow there is: for what can wait, so not for a wire.
	 */
	bool grows;
	void *ctx;
};

struct tl_flow_table_stats {
	uint64_t flows; /* alive now */
	uint64_t created;
	uint64_t expired;
	uint64_t evicted;
	uint64_t capacity;
	uint64_t memory_bytes;
	uint32_t longest_probe; /* buckets, since the start */
};

/* One packet in a batch of lookups. */
struct tl_flow_lookup {
	const struct tl_packet *packet;
	const struct tl_layers *layers;
	struct tl_flow *ret_flow; /* NULL: no IP, or a fragment whose first one was not seen */
	uint8_t ret_side;	  /* side (of the key) that sent the packet */
	uint8_t ret_is_new;   /* first packet of this flow (or of a new one on the same tuple) */
	uint8_t ret_fragment; /* enum tl_fragment_flag; 0 for what is no fragment */
};

/* 0, -EINVAL (less memory than one bucket row), -ENOMEM. */
int tl_flow_table__create(const struct tl_flow_table_opts *opts, struct tl_flow_table **ret_table);
void tl_flow_table__destroy(struct tl_flow_table *table);

/*
 * Finds or makes the flow of each packet and updates counters and TCP state. n <= TL_BATCH_MAX.
 * Returns how many were done, at least 1: it stops before a packet that would end (evict, replace)
 * a flow which an earlier packet of this call belongs to, so that the caller can analyze those
 * packets while their flow still stands, and then call again with the rest. on_end is called for
 * flows that end on the way, always before their entry is given to a new flow.
 */
uint32_t tl_flow_table__lookup(struct tl_flow_table *table, struct tl_flow_lookup *lookups,
			       uint32_t n);

/*
 * Ends flows whose time has passed at `now_ns` (packet time), at most `budget` of them; true when
 * more are due. `now_ns` may jump; it is never let go back.
 */
bool tl_flow_table__expire(struct tl_flow_table *table, uint64_t now_ns, uint32_t budget);

/*
 * Calls on_active for flows whose age passed another multiple of active_ns and that had a packet in
 * that time; up to active_ns / 16 late. To be called with packet time, a few times a second.
 */
void tl_flow_table__tell_active(struct tl_flow_table *table, uint64_t now_ns);

/* Ends all flows (end of the capture), in order of their first packet. */
void tl_flow_table__drain(struct tl_flow_table *table);

void tl_flow_table__stats(const struct tl_flow_table *table, struct tl_flow_table_stats *ret_stats);

/* Number of entries: flow->index is below it. */
uint32_t tl_flow_table__capacity(const struct tl_flow_table *table);

/* Any thread: copies entry `index`; false when it is free. Lock-free, retries while written. */
bool tl_flow_table__read(const struct tl_flow_table *table, uint32_t index,
			 struct tl_flow *ret_flow);

/*
 * Bytes of the IP packets that one side sent, as NetFlow and IPFIX count them: without link header,
 * tags, outer tunnels and padding. False: not known any more, 4 GiB of those were passed.
 */
static inline bool tl_flow__ip_bytes(const struct tl_flow *flow, int side, uint64_t *ret_bytes)
{
	*ret_bytes = flow->bytes[side] - flow->framing_bytes[side];
	return flow->framing_bytes[side] != UINT32_MAX;
}

/*
 * ICMP types without an answer (errors, redirects…): such a flow has one direction, its key keeps
 * the order of the packet, side 0 is the sender. `type` is the ICMP type, a sender's "port".
 */
static inline bool tl_icmp__one_way(uint8_t proto, uint16_t type)
{
	/* Community ID's pairs: echo, timestamp, information, router, mask; ICMPv6's likewise. */
	if (proto == 1)
		return type > 18 || !(1u << type & 0x7e701u);
	if (proto == 58)
		return !((type >= 128 && type <= 131) || (type >= 133 && type <= 136) ||
			 type == 139 || type == 140 || type == 144 || type == 145);
	return false;
}

/* The key of a decoded packet and the side that sent it; false when there is no IP in it. */
bool tl_flow_key__of(const struct tl_layers *layers, struct tl_flow_key *ret_key,
		     uint8_t *ret_side);

#endif
