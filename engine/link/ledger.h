/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What was changed on an interface, on disk, so that it outlives a crash.
 *
 *   /run/tapline/NETNSINODE-IFNAME        of captures: put back when the last owner is gone
 *   /run/tapline/NETNSINODE-IFNAME.fix    of `tapline check --fix`: put back by --restore
 *
 *     tapline-link 1
 *     ifindex 7                  an interface of the same name with another index is a new one
 *     owner 1234 567890          process and its start time (ticks since boot)
 *     set rx-gro 1               the value before the change
 *     set rx-ring 256
 *
 * Invariants: a setting is in the file before it is changed on the interface. A file is replaced
 * whole (rename). The folder is locked (flock) from __open to __close. Who: the link module alone.
 */
#ifndef TAPLINE_LINK_LEDGER_H
#define TAPLINE_LINK_LEDGER_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LEDGER_OWNERS_MAX   64
#define LEDGER_SETTINGS_MAX 8
#define LEDGER_RX_RING	    "rx-ring" /* the one setting that is not an offload's name */

struct ledger_owner {
	pid_t pid;
	uint64_t start_ticks;
};

struct ledger_setting {
	char name[32];
	uint32_t value;
};

struct ledger {
	char path[128];
	char interface[IF_NAMESIZE];
	int lock_fd;
	uint32_t ifindex; /* 0: the file is new */
	uint32_t owner_count;
	struct ledger_owner owners[LEDGER_OWNERS_MAX];
	uint32_t setting_count;
	struct ledger_setting settings[LEDGER_SETTINGS_MAX];
};

/* Locks the folder and reads the file; one that is not there or not whole is empty. 0 or -errno. */
int ledger__open(const char *interface, const char *suffix, struct ledger *ret_ledger);
void ledger__close(struct ledger *ledger);

/* Replaces the file; removes it when it holds neither owner nor setting. */
int ledger__store(const struct ledger *ledger);

struct ledger_owner ledger__this_process(void);
/* Forgets the owners that no longer run. */
void ledger__prune(struct ledger *ledger);
int ledger__add_owner(struct ledger *ledger, struct ledger_owner owner);
void ledger__remove_owner(struct ledger *ledger, struct ledger_owner owner);

/* Remembers the value before the change, unless an older one is known. 0 or -ENOSPC. */
int ledger__add_setting(struct ledger *ledger, const char *name, uint32_t value);
/* Puts all settings back on the interface and forgets them. Count of those put back. */
int ledger__restore(struct ledger *ledger);

#endif
