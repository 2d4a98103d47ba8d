/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about one interface, for `tapline check`, and the mode a capture of it will use: found by
 * opening it as a capture would, without promiscuous mode and with a small ring.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_link.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>

#include "cmd_check.h"
#include "tapline/link.h"
#include "tapline/source.h"

static void check_identity(const struct tl_link_info *link, struct check_report *report)
{
	check_report__text(report, "driver", "%s", link->driver[0] ? link->driver : "none");
	check_report__text(report, "bus", "%s", link->bus[0] ? link->bus : "none (virtual)");
	check_report__text(report, "state", "%s%s", link->up ? "up" : "down",
			   link->up && !link->carrier ? ", no carrier" : "");
	check_report__number(report, "mtu", link->mtu);
	check_report__number(report, "link_type", link->linktype);
	if (link->speed_bps)
		check_report__number(report, "speed_bps", link->speed_bps);
	else
		check_report__yes_no(report, "speed_bps", -1);
	if (link->up && !link->carrier)
		check_report__advise(report, "",
				     "%s is up but has no carrier: is the cable, or the "
				     "mirror session, there?",
				     link->name);
}

static void check_queues(const struct tl_link_info *link, struct check_report *report)
{
	char command[96];

	check_report__number(report, "rx_queues", link->rx_queues);
	check_report__number(report, "rx_queues_max", link->rx_queues_max);
	check_report__text(report, "rss_hash", "%s", link->rss_hash);
	check_report__yes_no(report, "rss_symmetric", link->rss_symmetric);
	check_report__number(report, "rx_ring", link->rx_ring);
	check_report__number(report, "rx_ring_max", link->rx_ring_max);
	if (link->rss_symmetric == 0 && link->rx_queues > 1)
		check_report__advise(
			report, "",
			"RSS is not symmetric: with AF_XDP a packet may change from one "
			"worker to another; AF_PACKET is not concerned");
	if (link->rx_ring < link->rx_ring_max) {
		snprintf(command, sizeof(command), "ethtool -G %s rx %u", link->name,
			 link->rx_ring_max);
		check_report__advise(report, command,
				     "the receive ring could be larger, against drops in bursts "
				     "(--fix does it)");
	}
}

struct offload {
	const char *key;
	const char *option; /* of ethtool -K */
	int value;	    /* as in struct tl_link_info */
	bool fixed;
};

static void tell_offload(const struct offload *offload, struct check_report *report)
{
	check_report__text(report, offload->key, "%s%s",
			   offload->value < 0 ? ""
			   : offload->value   ? "on"
					      : "off",
			   offload->value >= 0 && offload->fixed ? " (fixed)" : "");
}

/* One that makes packets which never were on the wire. */
static void check_merging(const struct tl_link_info *link, const struct offload *offload,
			  struct check_report *report)
{
	char command[96];

	tell_offload(offload, report);
	if (offload->value != 1)
		return;
	if (offload->fixed) {
		report->ready = false;
		check_report__advise(report, "",
				     "%s cannot be turned off: packets would be recorded that were "
				     "not on the wire%s",
				     offload->key,
				     strcmp(link->driver, "virtio_net")
					     ? ""
					     : "; the hypervisor sets it (guest_tso4, guest_tso6)");
		return;
	}
	snprintf(command, sizeof(command), "ethtool -K %s %s off", link->name, offload->option);
	check_report__advise(
		report, command,
		"%s merges packets: a capture turns it off and puts it back at its end "
		"(--fix turns it off until --restore)",
		offload->key);
}

static void check_offloads(const struct tl_link_info *link, struct check_report *report)
{
	const struct offload merging[] = {
		{ "gro", "gro", link->gro, link->gro_fixed },
		{ "lro", "lro", link->lro, link->lro_fixed },
		{ "gro_hw", "rx-gro-hw", link->gro_hw, link->gro_hw_fixed },
	};
	/* no harm: AF_PACKET puts the tag back, and a capture with AF_XDP turns it off */
	const struct offload rx_vlan = { "rx_vlan", "rxvlan", link->rx_vlan, link->rx_vlan_fixed };

	for (size_t i = 0; i < sizeof(merging) / sizeof(merging[0]); i++)
		check_merging(link, &merging[i], report);
	tell_offload(&rx_vlan, report);
	check_report__yes_no(report, "hardware_timestamps", link->hw_timestamps);
}

/* The CPUs that serve the device's interrupts, "0-3 4" and so on; "" without any. */
static void irq_cpus(const char *name, char *ret_cpus, size_t bytes)
{
	char path[96], cpus[64];
	struct dirent *entry;
	size_t at = 0;
	DIR *dir;

	ret_cpus[0] = '\0';
	snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/msi_irqs", name);
	dir = opendir(path);
	if (!dir) { /* virtio: they are those of the PCI function that the device sits on */
		snprintf(path, sizeof(path), "/sys/class/net/%.15s/device/../msi_irqs", name);
		dir = opendir(path);
	}
	while (dir && (entry = readdir(dir)) && at < bytes) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/irq/%.20s/smp_affinity_list", entry->d_name);
		if (check__read_line(path, cpus, sizeof(cpus)) && !strstr(ret_cpus, cpus))
			at += (size_t)snprintf(ret_cpus + at, bytes - at, "%s%s", at ? " " : "",
					       cpus);
	}
	if (dir)
		closedir(dir);
}

static void check_placement(const struct tl_link_info *link, struct check_report *report)
{
	char cpus[128];

	irq_cpus(link->name, cpus, sizeof(cpus));
	check_report__text(report, "irq_cpus", "%s", cpus[0] ? cpus : "none of its own");
	if (link->numa_node >= 0)
		check_report__number(report, "numa_node", (uint64_t)link->numa_node);
	else
		check_report__text(report, "numa_node", "none");
	if (link->rx_queues > 1 && cpus[0] && !strpbrk(cpus, " ,-"))
		check_report__advise(report, "systemctl start irqbalance",
				     "all interrupts of %s go to CPU %s", link->name, cpus);
}

static void check_xdp(const struct tl_link_info *link, struct check_report *report)
{
	static const char *const attached[] = { "none", "native", "generic", "offloaded",
						"several" };
	bool may_load = check__may_load_programs();
	char off[64];

	snprintf(off, sizeof(off), "ip link set dev %s xdp off", link->name);
	check_report__text(report, "xdp", "%s",
			   !may_load		   ? "not possible: kernel programs are not allowed"
			   : link->xdp_native == 2 ? "native, zero copy"
			   : link->xdp_native == 1 ? "native, with a copy"
			   : link->xdp_native == 0 ? "generic: the driver has no native XDP"
						   : "generic at least; the driver does not say");
	if (link->xdp_attached)
		check_report__text(report, "xdp_attached", "program %d, %s", link->xdp_attached,
				   attached[link->xdp_mode_attached & 3]);
	else
		check_report__text(report, "xdp_attached", "none");
	if (link->xdp_attached)
		check_report__advise(
			report, off,
			"XDP program %d is attached: it sees packets first, and what it "
			"drops or redirects is not captured",
			link->xdp_attached);
}

typedef int create_fn(const struct tl_source_live_opts *, struct tl_error *, char *,
		      struct tl_source **);

/* Opens it as a capture would, and closes it again. */
static int try_mode(const char *name, create_fn *create, char ret_mode[128],
		    struct tl_error *ret_error)
{
	const struct tl_source_live_opts opts = {
		.interface = name,
		.queue_count = 1,
		.buffer_bytes = 1 << 20,
		.numa_node = -1,
	};
	struct tl_source *sources[1];
	int err = create(&opts, ret_error, ret_mode, sources);

	if (!err)
		tl_source__destroy(sources[0]);
	return err;
}

/* AF_XDP is not tried: for a moment it would take packets away from who is capturing. */
static void check_mode(const struct tl_link_info *link, struct check_report *report)
{
	struct tl_error error = { "" };
	char mode[128] = "", why[TL_WHY_BYTES];
	int err;

	if (check__may_load_programs() && tl_source_afxdp__suits(link->name, why)) {
		check_report__text(report, "mode", "afxdp (%s)",
				   link->xdp_native == 2 ? "zero copy" : "with a copy");
		check_report__text(report, "why", "%s",
				   "the fastest here: nobody else uses the interface");
		return;
	}
	err = try_mode(link->name, tl_source_afpacket__create, mode, &error);
	if (err) {
		report->ready = false;
		check_report__text(report, "mode", "none: %s", error.what);
		check_report__advise(report, "", "%s", error.what);
		return;
	}
	check_report__text(report, "mode", "afpacket (TPACKET_V3, %s)",
			   strstr(mode, "user space") ? "filter in user space"
						      : "filter as an eBPF program");
	check_report__text(report, "why", "%s",
			   check__may_load_programs()
				   ? why
				   : "kernel programs are not allowed, which afxdp needs");
}

/* What --sample, --sample-flows, --headers-only and --cutoff would find. */
static void check_reducing(const struct tl_link_info *link, struct check_report *report)
{
	char why[TL_WHY_BYTES];

	if (!check__may_load_programs())
		check_report__text(report, "sampling",
				   "not possible: kernel programs are not allowed");
	else if (link->linktype != TL_LINKTYPE_ETHERNET || link->arp_type == ARPHRD_LOOPBACK)
		check_report__text(report, "sampling", "not possible: %s is not Ethernet",
				   link->name);
	else if (link->xdp_attached)
		check_report__text(report, "sampling", "not possible: XDP program %d is attached",
				   link->xdp_attached);
	else if (!tl_source__is_mirror_port(link->name, why))
		check_report__text(report, "sampling",
				   "not possible: %s, and would not see what is left out", why);
	else
		check_report__text(report, "sampling", "in the kernel (%s XDP)",
				   link->xdp_native > 0 ? "native" : "generic");
}

int check__link(const char *name, struct check_report *report)
{
	struct tl_link_info link;
	int err = tl_link__read(name, &link);

	if (err)
		return err;
	report->ready = true;
	check_identity(&link, report);
	check_queues(&link, report);
	check_offloads(&link, report);
	check_placement(&link, report);
	check_xdp(&link, report);
	check_mode(&link, report);
	check_reducing(&link, report);
	return 0;
}
