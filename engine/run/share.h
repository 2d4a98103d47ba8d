/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose a packet is, where several workers analyze one file (shared_file.h).
 *
 * All that two hosts say to each other has one owner, for what an analyzer knows of a client and
 * its server counts over their connections: how regularly it comes, whether it tried again from
 * another port. So has an ICMP error, with the hosts whose packet it quotes, and a fragment. What
 * is no IP goes to worker 0. The owner depends on the packet alone. Of usual packets the addresses
 * say whose they are; others are decoded for it. Any thread.
 */
#ifndef TAPLINE_RUN_SHARE_H
#define TAPLINE_RUN_SHARE_H

#include <stdint.h>

#include "tapline/packet.h"

/* Below `count`. */
uint32_t share__owner(const struct tl_packet *packet, uint32_t count);

#endif
