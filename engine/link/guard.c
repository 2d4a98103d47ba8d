/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard: offloads that would change what is captured are off while it lives, and as before
 * afterwards. One for each interface and capture; several captures may guard one interface, and
 * the last of them puts things back.
 *
 *    capture ──── socket pair ──── keeper (child process)
 *       │ destroy: writes a byte        │ byte or end of file: puts the settings back,
 *       │ killed: end of file           │ answers with a byte, and ends
 *
 * The keeper is a process of its own because the capture gives its capabilities up, and because a
 * process that is killed cannot tidy up. Should the keeper be killed too, the ledger (ledger.h)
 * remains, and the next start puts things back.
 */
#include "tapline/link.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ethtool.h"
#include "ledger.h"

struct tl_link_guard {
	char name[IF_NAMESIZE];
	struct ledger_owner owner;
	bool keep_rx_vlan;
	char note[256]; /* what was changed, in words */
	pid_t keeper;	/* 0: nothing was changed, nothing is to be put back */
	int keeper_fd;
};

/* Offloads that make AF_PACKET see packets that never were on the wire, or without their tag. */
static const struct {
	const char *feature;
	const char *title;
	const char *harm;
} offloads[] = {
	{ "rx-gro-hw", "hardware GRO", "merges packets" },
	{ "rx-lro", "LRO", "merges packets" },
	{ "rx-gro", "GRO", "merges packets" },
	{ "rx-vlan-hw-parse", "VLAN stripping", "takes VLAN tags off" },
};
#define VLAN_OFFLOAD 3
#define OFFLOADS     (sizeof(offloads) / sizeof(offloads[0]))

static int fail(struct tl_error *ret_error, int err, const char *name, const char *what)
{
	const char *hint = err == -EPERM ? "; it needs CAP_NET_ADMIN" : "";

	snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s: %s%s", name, what,
		 strerror(-err), hint);
	return err;
}

/* Adds to a note as much as there is room for. */
static void say(char note[256], const char *format, const char *what)
{
	size_t at = strlen(note);

	snprintf(note + at, 256 - at, format, what);
}

static int turn_off(int fd, struct ledger *ledger, size_t which, struct tl_error *ret_error)
{
	const char *name = ledger->interface;
	char what[64];
	int err = ledger__add_setting(ledger, offloads[which].feature, 1);

	if (!err)
		err = ledger__store(ledger);
	if (err)
		return fail(ret_error, err, name, "cannot note in /run/tapline what is changed");
	err = ethtool__set_feature(fd, name, offloads[which].feature, false);
	if (!err)
		return 0;
	if (err == -EOPNOTSUPP) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: %s is on, %s and cannot be turned off; what would be recorded is not "
			 "what is on the wire",
			 name, offloads[which].title, offloads[which].harm);
		return err;
	}
	snprintf(what, sizeof(what), "cannot turn %s off", offloads[which].title);
	return fail(ret_error, err, name, what);
}

/* Turns off what is on. Count of what was changed, or -errno. */
static int turn_all_off(struct ledger *ledger, bool keep_rx_vlan, struct tl_error *ret_error,
			char ret_note[256])
{
	struct ethtool_features features;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = fd < 0 ? -errno : ethtool__features(fd, ledger->interface, &features);
	int changed = 0;

	if (err) {
		if (fd >= 0)
			close(fd);
		/* an interface without offloads has none that could do harm */
		return err == -EOPNOTSUPP ? 0
					  : fail(ret_error, err, ledger->interface,
						 "cannot read its offloads");
	}
	for (size_t i = 0; i < OFFLOADS && !err; i++) {
		if ((i == VLAN_OFFLOAD && keep_rx_vlan) ||
		    ethtool__feature(&features, offloads[i].feature, NULL) != 1)
			continue;
		err = turn_off(fd, ledger, i, ret_error);
		if (err)
			break;
		say(ret_note, changed ? ", %s" : "%s", offloads[i].title);
		changed++;
	}
	ethtool__features_fini(&features);
	close(fd);
	return err ? err : changed;
}

static bool anything_on(const char *name, bool keep_rx_vlan)
{
	struct tl_link_info info;

	return !tl_link__read(name, &info) && (info.gro == 1 || info.lro == 1 || info.gro_hw == 1 ||
					       (info.rx_vlan == 1 && !keep_rx_vlan));
}

/* Gives up `owner`'s share; the last owner's settings go back. Count or -errno. */
static int give_up(const char *name, struct ledger_owner owner)
{
	struct ledger ledger;
	int restored = 0;
	int err = ledger__open(name, "", &ledger);

	if (err)
		return err;
	ledger__remove_owner(&ledger, owner);
	ledger__prune(&ledger);
	if (!ledger.owner_count)
		restored = ledger__restore(&ledger);
	err = ledger__store(&ledger);
	ledger__close(&ledger);
	return err ? err : restored;
}

/* The child's life. Signals from the terminal are for the capture, which then tells the keeper. */
static void __attribute__((noreturn)) keep(const struct tl_link_guard *guard, int fd)
{
	const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
	char byte = 0;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	/* no descriptor may stay open: a pipe's reader would wait for its end */
	if (fd != 3) {
		dup2(fd, 3);
		fd = 3;
	}
	close(0);
	close(1);
	close(2);
	close_range(4, ~0u, 0);
	prctl(PR_SET_NAME, "tapline-keeper");
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	byte = (char)(give_up(guard->name, guard->owner) >= 0);
	(void)!write(fd, &byte, 1);
	_exit(0);
}

static int start_keeper(struct tl_link_guard *guard)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	guard->keeper = fork();
	if (guard->keeper < 0) {
		int err = -errno;

		close(pair[0]);
		close(pair[1]);
		return err;
	}
	if (!guard->keeper) {
		close(pair[0]);
		keep(guard, pair[1]);
	}
	close(pair[1]);
	guard->keeper_fd = pair[0];
	return 0;
}

static int take_hold(struct tl_link_guard *guard, struct ledger *ledger, struct tl_error *ret_error)
{
	int err;

	ledger__prune(ledger);
	if (!ledger->owner_count && ledger__restore(ledger) < 0)
		return fail(ret_error, -EPERM, guard->name, "cannot put its offloads back");
	err = ledger__add_owner(ledger, guard->owner);
	if (err)
		return fail(ret_error, err, guard->name, "too many captures");
	err = turn_all_off(ledger, guard->keep_rx_vlan, ret_error, guard->note);
	if (err > 0)
		say(guard->note, " turned off on %s; put back at exit", guard->name);
	if (err >= 0) {
		if (!ledger->setting_count)
			return ledger__remove_owner(ledger, guard->owner), ledger__store(ledger);
		err = start_keeper(guard);
		if (!err)
			err = ledger__store(ledger);
		if (!err)
			return 0;
		fail(ret_error, err, guard->name, "cannot watch over its offloads");
	}
	ledger__remove_owner(ledger, guard->owner);
	if (!ledger->owner_count)
		(void)ledger__restore(ledger);
	(void)ledger__store(ledger);
	return err;
}

int tl_link_guard__create(const char *name, bool keep_rx_vlan, struct tl_error *ret_error,
			  char ret_note[256], struct tl_link_guard **ret_guard)
{
	struct tl_link_guard *guard;
	struct ledger ledger;
	int err;

	if (!if_nametoindex(name))
		return fail(ret_error, -ENODEV, name, "cannot read its offloads");
	guard = calloc(1, sizeof(*guard));
	if (!guard)
		return fail(ret_error, -ENOMEM, name, "no guard");
	snprintf(guard->name, sizeof(guard->name), "%s", name);
	guard->owner = ledger__this_process();
	guard->keep_rx_vlan = keep_rx_vlan;
	err = ledger__open(name, "", &ledger);
	if (err) {
		/* who may not write there may still capture where nothing needs to be changed */
		err = anything_on(name, keep_rx_vlan) ? err : 0;
		if (err)
			fail(ret_error, err, name, "cannot note in /run/tapline what is changed");
	} else {
		err = take_hold(guard, &ledger, ret_error);
		ledger__close(&ledger);
	}
	if (err) {
		tl_link_guard__destroy(guard);
		return err;
	}
	memcpy(ret_note, guard->note, sizeof(guard->note));
	*ret_guard = guard;
	return 0;
}

void tl_link_guard__destroy(struct tl_link_guard *guard)
{
	char byte = 0;

	if (!guard)
		return;
	if (guard->keeper > 0) {
		if (send(guard->keeper_fd, &byte, 1, MSG_NOSIGNAL) < 0 ||
		    read(guard->keeper_fd, &byte, 1) != 1 || !byte)
			(void)give_up(guard->name, guard->owner); /* the keeper was killed */
		close(guard->keeper_fd);
		waitpid(guard->keeper, NULL, 0);
	}
	free(guard);
}

int tl_link_guard__recover(const char *name)
{
	struct ledger ledger;
	int restored = 0;
	int err = ledger__open(name, "", &ledger);

	if (err)
		return err;
	ledger__prune(&ledger);
	if (!ledger.owner_count)
		restored = ledger__restore(&ledger);
	err = ledger__store(&ledger);
	ledger__close(&ledger);
	return err ? err : restored;
}

/* The largest receive ring; -errno, or whether it was changed. */
static int enlarge_ring(struct ledger *ledger, char ret_note[256])
{
	struct ethtool_ringparam ring;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char count[48];
	int err = fd < 0 ? -errno : ethtool__ring(fd, ledger->interface, &ring);

	if (!err && ring.rx_pending < ring.rx_max_pending) {
		err = ledger__add_setting(ledger, LEDGER_RX_RING, ring.rx_pending);
		if (!err)
			err = ledger__store(ledger);
		if (!err)
			err = ethtool__set_rx_ring(fd, ledger->interface, ring.rx_max_pending);
		snprintf(count, sizeof(count), "ring of %u descriptors", ring.rx_max_pending);
		if (!err)
			say(ret_note, ret_note[0] ? "; %s" : "%s", count);
		err = err ? err : 1;
	}
	if (fd >= 0)
		close(fd);
	return err;
}

int tl_link__fix(const char *name, struct tl_error *ret_error, char ret_note[256])
{
	struct ledger ledger;
	char note[256] = "";
	int offloads_changed, ring_changed;
	int err = ledger__open(name, ".fix", &ledger);

	if (err)
		return fail(ret_error, err, name, "cannot note in /run/tapline what is changed");
	/* VLAN stripping stays: AF_PACKET puts the tag back, and AF_XDP's guard turns it off */
	offloads_changed = turn_all_off(&ledger, true, ret_error, note);
	if (offloads_changed > 0)
		say(note, " turned off%s", "");
	ring_changed = offloads_changed < 0 ? 0 : enlarge_ring(&ledger, note);
	if (ring_changed == -EPERM)
		fail(ret_error, ring_changed, name, "cannot enlarge its ring");
	ledger__close(&ledger);
	if (offloads_changed < 0 || ring_changed == -EPERM)
		return offloads_changed < 0 ? offloads_changed : ring_changed;
	memcpy(ret_note, note, sizeof(note));
	return offloads_changed + (ring_changed > 0);
}

int tl_link__unfix(const char *name)
{
	struct ledger ledger;
	int restored;
	int err = ledger__open(name, ".fix", &ledger);

	if (err)
		return err;
	restored = ledger__restore(&ledger);
	err = ledger__store(&ledger);
	ledger__close(&ledger);
	return err ? err : restored;
}
