/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ethtool ioctls as small questions with one answer. Who: the link module alone.
 *
 * Every call takes the descriptor of any socket of the interface's network namespace and the
 * interface's name. 0 or -errno; -EOPNOTSUPP where the driver does not know the question.
 */
#ifndef TAPLINE_LINK_ETHTOOL_H
#define TAPLINE_LINK_ETHTOOL_H

#include <linux/ethtool.h>
#include <stdbool.h>
#include <stdint.h>

#define FEATURE_BLOCKS_MAX 8 /* 256 features; Linux 6.x has about 70 */

/* The offloads of one interface, as bits in the order of the kernel's names. */
struct ethtool_features {
	uint32_t count;
	char (*names)[ETH_GSTRING_LEN]; /* owned */
	uint32_t active[FEATURE_BLOCKS_MAX];
	uint32_t wanted[FEATURE_BLOCKS_MAX];
	uint32_t changeable[FEATURE_BLOCKS_MAX];
};

int ethtool__ioctl(int fd, const char *name, void *command);
int ethtool__driver(int fd, const char *name, struct ethtool_drvinfo *ret_info);
int ethtool__speed(int fd, const char *name, uint64_t *ret_bps);
int ethtool__channels(int fd, const char *name, struct ethtool_channels *ret_channels);
int ethtool__ring(int fd, const char *name, struct ethtool_ringparam *ret_ring);
int ethtool__set_rx_ring(int fd, const char *name, uint32_t descriptors);
/* True when the NIC can stamp every packet it receives. */
int ethtool__rx_timestamps(int fd, const char *name, bool *ret_can);
/* 1 the RSS key gives both directions of a flow the same hash, 0 not; -errno: no RSS. */
int ethtool__rss_symmetric(int fd, const char *name, char ret_hash[32]);

int ethtool__features(int fd, const char *name, struct ethtool_features *ret_features);
void ethtool__features_fini(struct ethtool_features *features);
/* 1 on, 0 off, -1 no such feature; `ret_fixed` (may be NULL) whether it cannot be changed. */
int ethtool__feature(const struct ethtool_features *features, const char *feature, bool *ret_fixed);
/* -EOPNOTSUPP when the kernel took the call and changed nothing. */
int ethtool__set_feature(int fd, const char *name, const char *feature, bool on);

#endif
