/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about an interface, gathered from where the kernel keeps them. Nothing is changed here.
 * Any thread may call.
 *
 *   ioctl SIOCGIF*   index, flags, MTU, hardware address and type
 *   SIOCETHTOOL      driver, bus, speed, channels, rings, offloads, RSS, time stamps
 *   /sys/class/net   NUMA node, queues
 *   genl netdev      what the driver can do with XDP
 *   rtnetlink        XDP program, drop counters
 */
#include "tapline/link.h"

#include <dirent.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ethtool.h"
#include "netdev.h"
#include "netlink.h"

/* LINKTYPE_ values that tl_linktype does not name because nothing decodes them. */
enum { LINKTYPE_IEEE802_11 = 105, LINKTYPE_RADIOTAP = 127, LINKTYPE_NETLINK = 253 };

static uint16_t linktype_of(uint16_t arp_type)
{
	switch (arp_type) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return TL_LINKTYPE_ETHERNET;
	case ARPHRD_NONE:
	case ARPHRD_TUNNEL:
	case ARPHRD_TUNNEL6:
	case ARPHRD_SIT:
	case ARPHRD_PPP:
	case 519: /* ARPHRD_RAWIP */
		return TL_LINKTYPE_RAW;
	case ARPHRD_IEEE80211:
		return LINKTYPE_IEEE802_11;
	case ARPHRD_IEEE80211_RADIOTAP:
		return LINKTYPE_RADIOTAP;
	case 824: /* ARPHRD_NETLINK */
		return LINKTYPE_NETLINK;
	default:
		return 0;
	}
}

static int ask(int fd, const char *name, unsigned long what, struct ifreq *ret_request)
{
	memset(ret_request, 0, sizeof(*ret_request));
	snprintf(ret_request->ifr_name, sizeof(ret_request->ifr_name), "%s", name);
	return ioctl(fd, what, ret_request) ? -errno : 0;
}

/* A number in /sys/class/net/NAME/FILE. */
static int read_sysfs(const char *name, const char *file, int64_t *ret_value)
{
	char path[128];
	long long value;
	FILE *in;
	int got;

	if (strchr(name, '/') || name[0] == '.')
		return -ENODEV;
	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", name, file);
	in = fopen(path, "re");
	if (!in)
		return -errno;
	got = fscanf(in, "%lld", &value);
	fclose(in);
	if (got != 1)
		return -ENODATA;
	*ret_value = value;
	return 0;
}

static int read_basics(int fd, struct tl_link_info *info)
{
	struct ifreq request;
	int64_t node = -1;
	int err = ask(fd, info->name, SIOCGIFINDEX, &request);

	if (err)
		return err;
	info->ifindex = (uint32_t)request.ifr_ifindex;
	if (!ask(fd, info->name, SIOCGIFFLAGS, &request)) {
		info->up = request.ifr_flags & IFF_UP;
		info->carrier = request.ifr_flags & IFF_RUNNING;
		info->promiscuous = request.ifr_flags & IFF_PROMISC;
	}
	if (!ask(fd, info->name, SIOCGIFMTU, &request))
		info->mtu = (uint32_t)request.ifr_mtu;
	if (!ask(fd, info->name, SIOCGIFHWADDR, &request)) {
		info->arp_type = request.ifr_hwaddr.sa_family;
		info->linktype = linktype_of(info->arp_type);
		memcpy(info->mac, request.ifr_hwaddr.sa_data, sizeof(info->mac));
	}
	info->numa_node = read_sysfs(info->name, "device/numa_node", &node) ? -1 : (int)node;
	return 0;
}

static void read_driver(int fd, struct tl_link_info *info)
{
	struct ethtool_drvinfo driver;
	struct ethtool_channels channels;
	struct ethtool_ringparam ring;
	bool stamps;

	if (!ethtool__driver(fd, info->name, &driver)) {
		snprintf(info->driver, sizeof(info->driver), "%.31s", driver.driver);
		snprintf(info->bus, sizeof(info->bus), "%.32s", driver.bus_info);
	}
	(void)ethtool__speed(fd, info->name, &info->speed_bps);
	if (!ethtool__channels(fd, info->name, &channels)) {
		info->rx_queues = channels.rx_count + channels.combined_count;
		info->tx_queues = channels.tx_count + channels.combined_count;
		info->rx_queues_max = channels.max_rx + channels.max_combined;
	}
	if (!ethtool__ring(fd, info->name, &ring)) {
		info->rx_ring = ring.rx_pending;
		info->rx_ring_max = ring.rx_max_pending;
	}
	if (!ethtool__rx_timestamps(fd, info->name, &stamps))
		info->hw_timestamps = stamps;
	info->rss_symmetric = ethtool__rss_symmetric(fd, info->name, info->rss_hash);
	if (info->rss_symmetric < 0)
		info->rss_symmetric = -1;
}

static void read_offloads(int fd, struct tl_link_info *info)
{
	struct ethtool_features features;

	info->gro = info->lro = info->rx_vlan = info->gro_hw = -1;
	info->rx_all = info->rx_fcs = info->ntuple = -1;
	if (ethtool__features(fd, info->name, &features))
		return;
	info->gro = ethtool__feature(&features, "rx-gro", &info->gro_fixed);
	info->lro = ethtool__feature(&features, "rx-lro", &info->lro_fixed);
	info->rx_vlan = ethtool__feature(&features, "rx-vlan-hw-parse", &info->rx_vlan_fixed);
	info->gro_hw = ethtool__feature(&features, "rx-gro-hw", &info->gro_hw_fixed);
	info->rx_all = ethtool__feature(&features, "rx-all", NULL);
	info->rx_fcs = ethtool__feature(&features, "rx-fcs", NULL);
	info->ntuple = ethtool__feature(&features, "rx-ntuple-filter", NULL);
	ethtool__features_fini(&features);
}

/* Drivers that do not answer ETHTOOL_GCHANNELS still have a directory for each queue. */
static uint32_t count_queues(const char *name, const char *prefix)
{
	char path[64];
	uint32_t count = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/queues", name);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		count += !strncmp(entry->d_name, prefix, strlen(prefix));
	closedir(dir);
	return count;
}

#define XDP_ACT_NEEDED	 3 /* NETDEV_XDP_ACT_BASIC and _REDIRECT */
#define XDP_ACT_ZEROCOPY 8

/* Drivers of which it is known where the kernel cannot be asked (before Linux 6.3). */
static bool known_for_xdp(const char *driver)
{
	static const char *const drivers[] = {
		"veth",	   "virtio_net", "ena",	      "gve",	 "i40e",	  "ice",
		"igb",	   "igc",	 "ixgbe",     "ixgbevf", "mlx4_en",	  "mlx5_core",
		"bnxt_en", "nfp",	 "qede",      "sfc",	 "mvneta",	  "mvpp2",
		"stmmac",  "tsnep",	 "hv_netvsc", "tun",	 "fsl_dpaa2_eth", "vmxnet3",
	};

	for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++)
		if (!strcmp(driver, drivers[i]))
			return true;
	return false;
}

static int native_xdp(const struct tl_link_info *info)
{
	uint64_t features;
	int err = netdev__xdp_features(info->ifindex, &features);

	if (!err)
		return (features & XDP_ACT_NEEDED) != XDP_ACT_NEEDED ? 0
		       : features & XDP_ACT_ZEROCOPY		     ? 2
								     : 1;
	return known_for_xdp(info->driver) ? 1 : -1;
}

int tl_link__read(const char *name, struct tl_link_info *ret_info)
{
	struct tl_link_info info = { .rss_symmetric = -1, .numa_node = -1 };
	struct netlink_link link;
	int fd, err;

	if (!name[0] || strlen(name) >= sizeof(info.name))
		return -ENODEV;
	memcpy(info.name, name, strlen(name) + 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = read_basics(fd, &info);
	if (!err) {
		read_driver(fd, &info);
		read_offloads(fd, &info);
		if (!info.rx_queues)
			info.rx_queues = count_queues(name, "rx-");
		if (!info.tx_queues)
			info.tx_queues = count_queues(name, "tx-");
		info.xdp_native = native_xdp(&info);
		if (!netlink__read(name, &link)) {
			info.xdp_attached = (int)link.xdp_program;
			info.xdp_mode_attached = link.xdp_mode;
		}
		*ret_info = info;
	}
	close(fd);
	return err;
}

void tl_link__list(char *ret_names, size_t bytes)
{
	struct if_nameindex *all = if_nameindex();
	size_t at = 0;

	if (!bytes)
		return;
	ret_names[0] = '\0';
	for (struct if_nameindex *i = all; i && i->if_name; i++) {
		int wrote =
			snprintf(ret_names + at, bytes - at, "%s%s", at ? ", " : "", i->if_name);

		if (wrote < 0 || (size_t)wrote >= bytes - at) {
			ret_names[at] = '\0'; /* whole names only */
			break;
		}
		at += (size_t)wrote;
	}
	if (all)
		if_freenameindex(all);
}

/*
 * rx_dropped is left out on purpose: it counts packets that no protocol of this host wanted, which
 * on a mirror port is all of them.
 */
int tl_link__nic_drops(const char *name, uint64_t *ret_drops)
{
	struct netlink_link link;
	int err = netlink__read(name, &link);

	if (!err)
		*ret_drops = link.rx_missed + link.rx_fifo;
	return err;
}
