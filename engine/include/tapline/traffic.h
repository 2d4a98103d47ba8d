/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Traffic made in memory: a source of packets that needs no NIC, for `tapline bench`.
 *
 *	   scripts of flows ──► buffer of whole frames ──► descriptors, borrowed
 *	        wait()                                         poll()
 *
 * wait() makes the next bufferful, poll() hands it out and gives 0 when it is used up: so a
 * measurement times poll() and what follows it, and leaves the making of frames out. Flows go on
 * from one bufferful to the next: sequence numbers, ports and packet time never repeat.
 *
 * The traffic is healthy: whole handshakes, nothing lost, right checksums. The same options give
 * the same frames.
 */
#ifndef TAPLINE_TRAFFIC_H
#define TAPLINE_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/source.h"

#define TL_TRAFFIC_SHARES_MAX	  16
#define TL_TRAFFIC_FRAME_MIN	  60u /* bytes, all without frame check sequence */
#define TL_TRAFFIC_FRAME_MAX	  9014u
#define TL_TRAFFIC_NEW_FLOWS_MAX  0.1 /* a whole TCP connection takes some packets */
#define TL_TRAFFIC_FLOWS_MAX	  (64u << 20)
#define TL_TRAFFIC_BUFFER_DEFAULT (256ull << 20)

enum tl_traffic_protocol {
	TL_TRAFFIC_TCP, /* opaque bytes both ways */
	TL_TRAFFIC_UDP,
	TL_TRAFFIC_TCP6,
	TL_TRAFFIC_UDP6,
	TL_TRAFFIC_HTTP, /* GET and its response; segments of its own sizes */
	TL_TRAFFIC_DNS,	 /* one query, one response; frames of its own sizes */
	TL_TRAFFIC_PROTOCOLS,
};

/* Values (frame bytes, or protocols) and how often each comes. */
struct tl_traffic_mix {
	uint32_t count;
	uint32_t weight_sum;
	struct {
		uint32_t value;
		uint32_t weight;
	} at[TL_TRAFFIC_SHARES_MAX];
};

struct tl_traffic_opts {
	struct tl_traffic_mix sizes;	 /* of a frame; raised to what its headers need */
	struct tl_traffic_mix protocols; /* of a flow */
	uint32_t flows;			 /* alive at any time */
	double new_flows; /* share of packets that begin a flow; 0: flows never end */
	uint64_t seed;
	uint64_t rate;		 /* packets in a second of packet time; 0: 10 million */
	uint64_t start_ns;	 /* packet time of the first one; 0: 2026-01-01 */
	uint64_t buffer_bytes;	 /* of frames; 0: TL_TRAFFIC_BUFFER_DEFAULT */
	uint64_t buffer_packets; /* at most so many in a bufferful; 0: no limit */
	uint64_t packets;	 /* -ENODATA after so many; 0: endless */
};

/*
 * "64", "1500", "imix", or shares: "64:7,594:4,1518:1". 0; -EINVAL: no such thing; -ERANGE: a frame
 * smaller or larger than can be made, or too many shares.
 */
int tl_traffic__parse_sizes(const char *text, struct tl_traffic_mix *ret_mix);

/* "tcp", or shares: "tcp:6,udp:3,tcp6:1,http:2,dns:1". 0; -EINVAL, -ERANGE. */
int tl_traffic__parse_protocols(const char *text, struct tl_traffic_mix *ret_mix);

/* 0; -EINVAL: an empty mix, no flow, too many new flows; -ENOMEM. */
int tl_source_traffic__create(const struct tl_traffic_opts *opts, struct tl_source **ret_source);

/* Has every one of the first `flows` begun? Until then there are fewer alive: warm-up. */
bool tl_source_traffic__warm(const struct tl_source *source);

#endif
