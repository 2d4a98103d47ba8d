/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was found while the two sides were compared: counts, delays, examples. Filled in by
 * tally.c from the window, read by findings.c. Everything has a fixed size. One thread.
 */
#ifndef TAPLINE_COMPARE_TALLY_H
#define TAPLINE_COMPARE_TALLY_H

#include "clock.h"
#include "hosts.h"
#include "sample.h"
#include "window.h"

#define EXAMPLES      6u
#define MAPS_MAX      64u
#define SUSPECTS_MAX  64u
#define STRANGERS_MAX 256u
#define HISTOGRAM_SUB 32u /* buckets for each power of two: delays to 3 % */

/* A packet of one or both sides, as proof. */
struct example {
	struct print print; /* as one side saw it */
	uint64_t frame[2];  /* 0: not seen there */
	uint64_t delay_ns;
};

struct examples {
	uint64_t count, bytes;
	uint64_t first_ns, last_ns; /* on A's clock */
	bool same_ends;		    /* all between the same two hosts */
	bool same_ports;
	struct example at[EXAMPLES];
};

/* Delays of one direction. */
struct delays {
	uint64_t packets, min_ns, max_ns;
	uint64_t bucket[64 * HISTOGRAM_SUB];
	uint32_t slowest_count;
	struct example slowest[EXAMPLES]; /* not in order */
};

/* An address that is another one behind the path. */
struct map {
	uint8_t ip_version;
	uint8_t ip[2][16]; /* as A and B see it */
	bool as_source, as_destination, ports_change;
	struct examples examples;
};

/* What headers were changed to, where that is no fault by itself. */
enum rewrite { REWRITE_TOS = 0, REWRITE_MSS, REWRITE_NUMBERS, REWRITES };

/*
 * A host of which no packet was seen at both points. What is sent to it is lost, unless it answers
 * at the point that saw the question: then it stands on that side, and nothing of it comes by the
 * other one.
 */
struct stranger {
	uint8_t ip[16];
	uint8_t side; /* the point that saw it */
	bool answers;
	struct examples unanswered;
};

struct tally {
	const struct overview *overview;
	struct hosts *hosts;
	uint64_t margin_ns;
	struct tl_comparison *out;
	struct delays delay[2];
	struct examples lost[2], duplicated[2], modified[2];
	struct examples rewrite[REWRITES];
	uint32_t rewrite_from[REWRITES], rewrite_to[REWRITES]; /* of the first one */
	/* By direction and side: the first and last packet with a counterpart, on that clock. */
	uint64_t first_matched[2][2], last_matched[2][2];
	uint64_t direction_packets[2];
	struct stranger stranger[STRANGERS_MAX];
	uint32_t stranger_count;
	struct map map[MAPS_MAX];
	uint32_t map_count;
	/* Pairs whose payload differs, to be looked at byte for byte. */
	struct example suspect[SUSPECTS_MAX];
	uint8_t suspect_direction[SUSPECTS_MAX];
	uint32_t suspect_count;
};

extern const struct window_ops tally__ops; /* ctx: struct tally */

/* After the last packet: what was sent to strangers is judged. */
void tally__settle(struct tally *tally);

/* `share` 0…1 of the delays are at most this. */
uint64_t tally__quantile(const struct delays *delays, double share);
uint64_t tally__above(const struct delays *delays, uint64_t ns);

/* findings.c: words all of it. */
struct altered {
	char offsets[160]; /* "payload 486-487, 500" */
	uint32_t looked_at;
	uint32_t recomputed; /* whose checksum is right on both sides though the payload differs */
	uint32_t cut, grown; /* shorter, longer behind the path */
};
void findings__tell(const struct tally *tally, const struct altered *altered,
		    const struct tl_record_sink *sink);

#endif
