/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ethtool ioctls: see ethtool.h. Features are asked for by name, because their numbers differ
 * between kernels:
 *
 *   ETHTOOL_GSTRINGS  [ "tx-scatter-gather" | "tx-checksum-ipv4" | … | "rx-gro" | … ]
 *   ETHTOOL_GFEATURES [ block 0: 32 bits of available, requested, active, never_changed | … ]
 */
#include "ethtool.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int ethtool__ioctl(int fd, const char *name, void *command)
{
	struct ifreq request = { 0 };

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	request.ifr_data = command;
	return ioctl(fd, SIOCETHTOOL, &request) ? -errno : 0;
}

int ethtool__driver(int fd, const char *name, struct ethtool_drvinfo *ret_info)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	int err = ethtool__ioctl(fd, name, &info);

	if (!err)
		*ret_info = info;
	return err;
}

int ethtool__speed(int fd, const char *name, uint64_t *ret_bps)
{
	struct {
		struct ethtool_link_settings settings;
		uint32_t masks[3 * 127]; /* the kernel says how many words it wants, at most 127 */
	} link = { .settings = { .cmd = ETHTOOL_GLINKSETTINGS } };
	int err = ethtool__ioctl(fd, name, &link);

	if (err)
		return err;
	if (link.settings.link_mode_masks_nwords < 0) {
		link.settings.cmd = ETHTOOL_GLINKSETTINGS;
		link.settings.link_mode_masks_nwords =
			(int8_t)-link.settings.link_mode_masks_nwords;
		err = ethtool__ioctl(fd, name, &link);
		if (err)
			return err;
	}
	if (!link.settings.speed || link.settings.speed == (uint32_t)SPEED_UNKNOWN)
		return -ENODATA;
	*ret_bps = (uint64_t)link.settings.speed * 1000000;
	return 0;
}

int ethtool__channels(int fd, const char *name, struct ethtool_channels *ret_channels)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	int err = ethtool__ioctl(fd, name, &channels);

	if (!err)
		*ret_channels = channels;
	return err;
}

int ethtool__ring(int fd, const char *name, struct ethtool_ringparam *ret_ring)
{
	struct ethtool_ringparam ring = { .cmd = ETHTOOL_GRINGPARAM };
	int err = ethtool__ioctl(fd, name, &ring);

	if (!err)
		*ret_ring = ring;
	return err;
}

int ethtool__set_rx_ring(int fd, const char *name, uint32_t descriptors)
{
	struct ethtool_ringparam ring;
	int err = ethtool__ring(fd, name, &ring);

	if (err)
		return err;
	ring.cmd = ETHTOOL_SRINGPARAM;
	ring.rx_pending = descriptors;
	return ethtool__ioctl(fd, name, &ring);
}

int ethtool__rx_timestamps(int fd, const char *name, bool *ret_can)
{
	struct ethtool_ts_info info = { .cmd = ETHTOOL_GET_TS_INFO };
	int err = ethtool__ioctl(fd, name, &info);

	if (err)
		return err;
	*ret_can = (info.so_timestamping & SOF_TIMESTAMPING_RX_HARDWARE) &&
		   (info.so_timestamping & SOF_TIMESTAMPING_RAW_HARDWARE) &&
		   (info.rx_filters & (1u << HWTSTAMP_FILTER_ALL));
	return 0;
}

/* A Toeplitz key whose 16-bit words are all the same hashes A->B and B->A alike. */
static bool key_is_symmetric(const uint8_t *key, uint32_t bytes)
{
	if (bytes < 2)
		return false;
	for (uint32_t i = 2; i < bytes; i++)
		if (key[i] != key[i & 1])
			return false;
	return true;
}

int ethtool__rss_symmetric(int fd, const char *name, char ret_hash[32])
{
	struct ethtool_rxfh sizes = { .cmd = ETHTOOL_GRSSH };
	struct ethtool_rxfh *rxfh;
	size_t indir_bytes, bytes;
	int err = ethtool__ioctl(fd, name, &sizes);

	if (err)
		return err;
	if (!sizes.key_size)
		return -ENODATA;
	indir_bytes = (size_t)sizes.indir_size * sizeof(uint32_t);
	bytes = sizeof(*rxfh) + indir_bytes + sizes.key_size;
	rxfh = calloc(1, bytes);
	if (!rxfh)
		return -ENOMEM;
	rxfh->cmd = ETHTOOL_GRSSH;
	rxfh->indir_size = sizes.indir_size;
	rxfh->key_size = sizes.key_size;
	err = ethtool__ioctl(fd, name, rxfh);
	if (!err) {
		const char *hash = rxfh->hfunc & 1 ? "toeplitz" : rxfh->hfunc & 2 ? "xor" : "crc32";

		snprintf(ret_hash, 32, "%s", hash);
		err = (rxfh->hfunc & 2) ||
		      key_is_symmetric((const uint8_t *)rxfh->rss_config + indir_bytes,
				       rxfh->key_size);
	}
	free(rxfh);
	return err;
}

static int feature_count(int fd, const char *name, uint32_t *ret_count)
{
	struct {
		struct ethtool_sset_info info;
		uint32_t count;
	} set = { .info = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES } };
	int err = ethtool__ioctl(fd, name, &set);

	if (err)
		return err;
	if (!set.info.sset_mask || !set.count)
		return -EOPNOTSUPP;
	*ret_count = set.count < 32 * FEATURE_BLOCKS_MAX ? set.count : 32 * FEATURE_BLOCKS_MAX;
	return 0;
}

static int feature_names(int fd, const char *name, struct ethtool_features *features)
{
	size_t bytes = (size_t)features->count * ETH_GSTRING_LEN;
	struct ethtool_gstrings *strings = calloc(1, sizeof(*strings) + bytes);
	int err;

	if (!strings)
		return -ENOMEM;
	strings->cmd = ETHTOOL_GSTRINGS;
	strings->string_set = ETH_SS_FEATURES;
	strings->len = features->count;
	err = ethtool__ioctl(fd, name, strings);
	if (!err) {
		features->names = malloc(bytes);
		err = features->names ? 0 : -ENOMEM;
	}
	if (!err)
		memcpy(features->names, strings->data, bytes);
	free(strings);
	return err;
}

int ethtool__features(int fd, const char *name, struct ethtool_features *ret_features)
{
	struct {
		struct ethtool_gfeatures head;
		struct ethtool_get_features_block blocks[FEATURE_BLOCKS_MAX];
	} get = { .head = { .cmd = ETHTOOL_GFEATURES } };
	struct ethtool_features features = { 0 };
	int err = feature_count(fd, name, &features.count);

	if (err)
		return err;
	get.head.size = (features.count + 31) / 32;
	err = ethtool__ioctl(fd, name, &get);
	if (!err)
		err = feature_names(fd, name, &features);
	if (err)
		return err;
	for (uint32_t i = 0; i < (features.count + 31) / 32; i++) {
		features.active[i] = get.blocks[i].active;
		features.wanted[i] = get.blocks[i].requested;
		features.changeable[i] = get.blocks[i].available & ~get.blocks[i].never_changed;
	}
	*ret_features = features;
	return 0;
}

void ethtool__features_fini(struct ethtool_features *features)
{
	free(features->names);
	features->names = NULL;
}

static int feature_index(const struct ethtool_features *features, const char *feature)
{
	for (uint32_t i = 0; i < features->count; i++)
		if (!strncmp(features->names[i], feature, ETH_GSTRING_LEN))
			return (int)i;
	return -1;
}

int ethtool__feature(const struct ethtool_features *features, const char *feature, bool *ret_fixed)
{
	int i = feature_index(features, feature);

	if (i < 0)
		return -1;
	if (ret_fixed)
		*ret_fixed = !(features->changeable[i / 32] >> (i % 32) & 1);
	return (int)(features->active[i / 32] >> (i % 32) & 1);
}

int ethtool__set_feature(int fd, const char *name, const char *feature, bool on)
{
	struct {
		struct ethtool_sfeatures head;
		struct ethtool_set_features_block blocks[FEATURE_BLOCKS_MAX];
	} set = { .head = { .cmd = ETHTOOL_SFEATURES } };
	struct ethtool_features features;
	int err = ethtool__features(fd, name, &features);
	int i;

	if (err)
		return err;
	i = feature_index(&features, feature);
	set.head.size = (features.count + 31) / 32;
	ethtool__features_fini(&features);
	if (i < 0)
		return -EOPNOTSUPP;
	set.blocks[i / 32].valid = 1u << (i % 32);
	set.blocks[i / 32].requested = (uint32_t)on << (i % 32);
	err = ethtool__ioctl(fd, name, &set);
	if (err < 0)
		return err;
	/* the kernel answers success also when the driver's rules overruled the wish */
	err = ethtool__features(fd, name, &features);
	if (err)
		return err;
	err = ethtool__feature(&features, feature, NULL) == (int)on ? 0 : -EOPNOTSUPP;
	ethtool__features_fini(&features);
	return err;
}
