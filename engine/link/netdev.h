/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the generic netlink family "netdev" (Linux 6.3 and later) tells about a device: which XDP
 * operations its driver has. Who: the link module alone.
 */
#ifndef TAPLINE_LINK_NETDEV_H
#define TAPLINE_LINK_NETDEV_H

#include <stdint.h>

/* NETDEV_XDP_ACT_ bits of include/uapi/linux/netdev.h. -EOPNOTSUPP: an older kernel. */
int netdev__xdp_features(uint32_t ifindex, uint64_t *ret_features);

#endif
