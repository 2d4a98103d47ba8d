/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On which side of the two points each host stands: packets from a host on A's side travel from A
 * to B. Learned from the TTL (each router takes one off) and, where no router is between, from
 * which point saw the packet first. A table of fixed size, open addressing; hosts that do not fit
 * stay unknown. One thread.
 */
#ifndef TAPLINE_COMPARE_HOSTS_H
#define TAPLINE_COMPARE_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#define HOSTS_ROOM 65536u

struct host {
	uint64_t key;  /* hash of the address; 0: free */
	int32_t votes; /* by TTL: > 0 on A's side */
	uint32_t samples;
	double delta_ns; /* sum */
};

struct hosts {
	struct host host[HOSTS_ROOM];
	uint32_t count;
	bool by_ttl;	  /* any router between the points? */
	double middle_ns; /* without: means above it are of A's side */
};

/* NULL: unknown, and (`add`) no room. */
struct host *hosts__get(struct hosts *hosts, const uint8_t ip[16], bool add);
/* After all was learned. */
void hosts__settle(struct hosts *hosts);
/* 1: A's side; -1: B's side; 0: unknown, for no packet of it was seen at both points. */
int hosts__side(struct hosts *hosts, const uint8_t ip[16]);
/* -1: unknown; else enum tl_compare_direction of what `src` sends to `dst`. */
int hosts__direction(struct hosts *hosts, const uint8_t src[16], const uint8_t dst[16]);

#endif
