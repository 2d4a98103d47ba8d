/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network interface: what it is, and the settings Tapline changes for the time of a capture.
 */
#ifndef TAPLINE_LINK_H
#define TAPLINE_LINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tapline/source.h"

/* Facts for `tapline check` and for choosing a mode. Unknown: 0, -1 or "". */
struct tl_link_info {
	char name[IF_NAMESIZE];
	char driver[32];
	char bus[64];
	uint32_t ifindex;
	uint32_t mtu;
	uint16_t arp_type; /* ARPHRD_ */
	uint16_t linktype; /* LINKTYPE_ of what AF_PACKET delivers */
	bool up;
	bool carrier;
	bool promiscuous;
	uint8_t mac[6];
	uint64_t speed_bps;
	int numa_node; /* -1: none */
	uint32_t rx_queues, tx_queues, rx_queues_max;
	uint32_t rx_ring, rx_ring_max;
	/* offloads: 1 on, 0 off, -1 unknown; *_fixed: cannot be changed */
	int gro, lro, rx_vlan, gro_hw, rx_all, rx_fcs, ntuple;
	bool gro_fixed, lro_fixed, rx_vlan_fixed, gro_hw_fixed;
	int rss_symmetric; /* 1 yes, 0 no, -1 unknown or no RSS */
	char rss_hash[32];
	int hw_timestamps;     /* 1: can stamp received packets */
	int xdp_attached;      /* program id, 0 none */
	int xdp_mode_attached; /* XDP_ATTACHED_ value */
	int xdp_native;	       /* the driver: 0 has no XDP, 1 has it, 2 with AF_XDP zero copy; -1 */
};

/* 0; -ENODEV: no such interface; -errno. */
int tl_link__read(const char *name, struct tl_link_info *ret_info);

/* Names of this host's interfaces, comma-separated, for error messages. */
void tl_link__list(char *ret_names, size_t bytes);

/* What was changed on an interface, to be put back. Opaque; one for each interface. */
struct tl_link_guard;

/*
 * Turns off GRO, LRO, hardware GRO and (when `rx_vlan` is false) VLAN stripping, remembering what
 * was. A record under /run/tapline lets the next start put things back after a crash. An offload
 * that cannot be turned off: -EOPNOTSUPP with the reason in words. `ret_note` says what was changed
 * ("GRO turned off on span0; it is put back at exit"), "" when nothing was.
 */
int tl_link_guard__create(const char *name, bool keep_rx_vlan, struct tl_error *ret_error,
			  char ret_note[256], struct tl_link_guard **ret_guard);
/* Puts everything back. NULL is fine. */
void tl_link_guard__destroy(struct tl_link_guard *guard);
/* Puts back what a crashed run left changed on this interface; count of settings, or -errno. */
int tl_link_guard__recover(const char *name);

/*
 * `tapline check --fix`: GRO, LRO and hardware GRO off, the receive ring at its largest, until
 * __unfix, which gives the count of settings it put back. Count of changes, and `ret_note` in
 * words.
 */
int tl_link__fix(const char *name, struct tl_error *ret_error, char ret_note[256]);
int tl_link__unfix(const char *name);

/* The NIC's own drop counters (rx_missed_errors + rx_fifo_errors), cumulative; 0 or -errno. */
int tl_link__nic_drops(const char *name, uint64_t *ret_drops);

#endif
