/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which way to an interface's packets is allowed, and which is the faster one.
 *
 * XDP takes packets before the host sees them. That is right for a pure mirror port, and wrong
 * where the host uses the interface: where it has an address, is part of a bridge or a bond, or
 * carries other interfaces. Sockets of other programs, such as tcpdump's, would go blind too, so
 * that is not done unasked.
 *
 * A NIC hands over pages: AF_XDP saves the making of a packet for the stack (an skb), and with zero
 * copy the copying too. A virtual interface hands over skbs that are there already, and AF_XDP has
 * to make pages of them: there AF_PACKET is the faster one (docs/benchmarks.md).
 */
#include "xdp_fit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An address of the interface that its host uses, in `ret_text`; false when there is none. */
static bool host_address(const char *name, char *ret_text, size_t bytes)
{
	struct ifaddrs *list, *a;
	bool found = false;

	if (getifaddrs(&list))
		return false;
	for (a = list; a && !found; a = a->ifa_next) {
		if (!a->ifa_addr || strcmp(a->ifa_name, name))
			continue;
		if (a->ifa_addr->sa_family == AF_INET) {
			const struct sockaddr_in *in = (const struct sockaddr_in *)a->ifa_addr;

			found = inet_ntop(AF_INET, &in->sin_addr, ret_text, (socklen_t)bytes);
		} else if (a->ifa_addr->sa_family == AF_INET6) {
			const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)a->ifa_addr;

			/* every interface that is up has one of these */
			if (!IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
				found = inet_ntop(AF_INET6, &in6->sin6_addr, ret_text,
						  (socklen_t)bytes);
		}
	}
	freeifaddrs(list);
	return found;
}

/* The interface of which this one is a part, or that is built on it. */
static bool upper_interface(const char *name, char *ret_upper, size_t bytes)
{
	char path[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s", name);
	dir = opendir(path);
	while (dir && !found && (entry = readdir(dir))) {
		found = !strncmp(entry->d_name, "upper_", 6);
		if (found)
			snprintf(ret_upper, bytes, "%.15s", entry->d_name + 6);
	}
	if (dir)
		closedir(dir);
	return found;
}

bool tl_source__is_mirror_port(const char *interface, char ret_why[TL_WHY_BYTES])
{
	char text[INET6_ADDRSTRLEN];

	if (host_address(interface, text, sizeof(text))) {
		snprintf(ret_why, TL_WHY_BYTES, "this host uses %.15s (address %s)", interface,
			 text);
		return false;
	}
	if (upper_interface(interface, text, sizeof(text))) {
		snprintf(ret_why, TL_WHY_BYTES, "this host uses %.15s (%s is built on it)",
			 interface, text);
		return false;
	}
	return true;
}

/* Does any socket take all packets of this interface, or of every one? */
static bool is_captured_already(uint32_t ifindex)
{
	unsigned int protocol, bound;
	bool found = false;
	char line[160];
	FILE *in = fopen("/proc/net/packet", "re");

	while (in && !found && fgets(line, sizeof(line), in))
		found = sscanf(line, "%*s %*s %*s %x %u", &protocol, &bound) == 2 &&
			protocol == ETH_P_ALL && (!bound || bound == ifindex);
	if (in)
		fclose(in);
	return found;
}

/* No device stands behind it: what it hands over was made by this host, or by its guests. */
static bool is_virtual(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device", name);
	return access(path, F_OK);
}

bool tl_source_afxdp__suits(const char *interface, char ret_why[TL_WHY_BYTES])
{
	struct tl_link_info link;

	if (tl_link__read(interface, &link)) {
		snprintf(ret_why, TL_WHY_BYTES, "%.15s cannot be looked at", interface);
		return false;
	}
	if (link.linktype != TL_LINKTYPE_ETHERNET || link.arp_type == ARPHRD_LOOPBACK) {
		snprintf(ret_why, TL_WHY_BYTES, "AF_XDP is for Ethernet, which %.15s is not",
			 interface);
		return false;
	}
	if (!tl_source__is_mirror_port(interface, ret_why))
		return false;
	if (link.xdp_attached)
		snprintf(ret_why, TL_WHY_BYTES, "another XDP program (id %d) is attached to %.15s",
			 link.xdp_attached, interface);
	else if (is_captured_already(link.ifindex))
		snprintf(ret_why, TL_WHY_BYTES, "another program captures on %.15s too", interface);
	else if (link.xdp_native < 1)
		snprintf(ret_why, TL_WHY_BYTES, "the driver of %.15s has no native XDP", interface);
	else if (link.xdp_native == 1 && is_virtual(interface))
		snprintf(ret_why, TL_WHY_BYTES,
			 "%.15s is virtual (%.15s): AF_XDP would cost it one more copy", interface,
			 link.driver);
	else
		return true;
	return false;
}

static int fail(struct tl_error *ret_error, int err, const char *name, const char *why)
{
	snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s", name, why);
	return err;
}

static int check_use(const struct tl_source_live_opts *opts, struct tl_error *ret_error)
{
	char why[TL_WHY_BYTES];

	if (opts->xdp != TL_XDP_AUTO || tl_source__is_mirror_port(opts->interface, why))
		return 0;
	snprintf(
		ret_error->what, sizeof(ret_error->what),
		"%s, and XDP would take its packets away; use --backend afpacket without sampling, "
		"or --xdp native to do it anyway",
		why);
	return -EOPNOTSUPP;
}

int xdp_fit__check(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
		   struct tl_link_info *ret_link)
{
	char text[200], names[160];
	int err;

	if (opts->xdp == TL_XDP_OFF)
		return fail(ret_error, -EOPNOTSUPP, opts->interface,
			    "this needs XDP, which --xdp off rules out");
	err = tl_link__read(opts->interface, ret_link);
	if (err == -ENODEV) {
		tl_link__list(names, sizeof(names));
		snprintf(text, sizeof(text), "no such interface; interfaces here: %.150s", names);
		return fail(ret_error, err, opts->interface, text);
	}
	if (err)
		return fail(ret_error, err, opts->interface, strerror(-err));
	if (!ret_link->up)
		return fail(ret_error, -ENETDOWN, opts->interface, "the interface is down");
	if (ret_link->linktype != TL_LINKTYPE_ETHERNET || ret_link->arp_type == ARPHRD_LOOPBACK)
		return fail(ret_error, -EOPNOTSUPP, opts->interface,
			    "XDP is for Ethernet interfaces; use --backend afpacket, and neither "
			    "--sample, --sample-flows, --headers-only nor --cutoff");
	if (ret_link->xdp_attached) {
		snprintf(text, sizeof(text),
			 "another XDP program (id %d) is attached; take it off with: "
			 "ip link set dev %.15s xdp off",
			 ret_link->xdp_attached, opts->interface);
		return fail(ret_error, -EBUSY, opts->interface, text);
	}
	return check_use(opts, ret_error);
}
