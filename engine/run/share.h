/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Several workers on one file: each reads all of it, and analyzes its share.
 *
 *	file ─┬─► worker 0: read, keep what hashes to 0 ─► decode, look up, analyze ─┐
 *	      └─► worker 1: read, keep what hashes to 1 ─► decode, look up, analyze ─┴─► judge
 *
 * Reading is done by each; nothing is handed from one to another. Of usual packets the addresses
 * alone say whose they are; others are decoded for it.
 *
 * All that two hosts say to each other has one owner, for what an analyzer knows of a client and
 * its server counts over their connections: how regularly it comes, whether it tried again from
 * another port. So has an ICMP error, with the hosts whose packet it quotes, and a fragment. What
 * is no IP goes to worker 0. The owner depends on the packet alone. Any thread.
 */
#ifndef TAPLINE_RUN_SHARE_H
#define TAPLINE_RUN_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "tapline/packet.h"

struct share {
	uint32_t index; /* this worker's */
	uint32_t count; /* of all */
};

/* Before it is decoded: surely another worker's. False where only decoding will tell, too. */
bool share__is_anothers(const struct share *share, const struct tl_packet *packet);

bool share__has(const struct share *share, const struct tl_packet *packet,
		const struct tl_layers *layers);

#endif
