/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What rtnetlink's RTM_GETLINK tells about an interface: its XDP program and its 64-bit counters.
 * Unlike /sys/class/net, which shows the namespace that /sys was mounted in, it always speaks of
 * the network namespace of the caller. Who: the link module alone.
 */
#ifndef TAPLINE_LINK_NETLINK_H
#define TAPLINE_LINK_NETLINK_H

#include <stdint.h>

struct netlink_link {
	uint64_t rx_missed;   /* packets the NIC had no descriptor for */
	uint64_t rx_fifo;     /* packets the NIC's own memory had no room for */
	uint32_t xdp_program; /* id, 0: none */
	uint8_t xdp_mode;     /* XDP_ATTACHED_ value */
};

/* 0; -ENODEV; -errno. */
int netlink__read(const char *name, struct netlink_link *ret_link);

#endif
