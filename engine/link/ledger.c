/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of changed settings: see ledger.h, which draws the file.
 */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ethtool.h"

#define FOLDER "/run/tapline"

static int lock_folder(void)
{
	int fd;

	if (mkdir(FOLDER, 0755) && errno != EEXIST)
		return -errno;
	fd = open(FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX)) {
		if (errno != EINTR) {
			int err = -errno;

			close(fd);
			return err;
		}
	}
	return fd;
}

static void parse_line(struct ledger *ledger, const char *line)
{
	struct ledger_setting setting;
	unsigned long long start;
	unsigned int value;
	int pid;

	if (sscanf(line, "ifindex %u", &value) == 1)
		ledger->ifindex = value;
	else if (sscanf(line, "owner %d %llu", &pid, &start) == 2)
		(void)ledger__add_owner(ledger,
					(struct ledger_owner){ .pid = pid, .start_ticks = start });
	else if (sscanf(line, "set %31s %u", setting.name, &value) == 2)
		(void)ledger__add_setting(ledger, setting.name, value);
}

static void load(struct ledger *ledger)
{
	FILE *in = fopen(ledger->path, "re");
	char line[128];

	if (!in)
		return;
	if (fgets(line, sizeof(line), in) && !strcmp(line, "tapline-link 1\n"))
		while (fgets(line, sizeof(line), in))
			parse_line(ledger, line);
	fclose(in);
}

int ledger__open(const char *interface, const char *suffix, struct ledger *ret_ledger)
{
	struct ledger ledger = { 0 };
	uint32_t ifindex = if_nametoindex(interface);
	struct stat netns;

	if (strlen(interface) >= sizeof(ledger.interface) || strchr(interface, '/'))
		return -ENODEV;
	if (stat("/proc/self/ns/net", &netns))
		return -errno;
	snprintf(ledger.interface, sizeof(ledger.interface), "%s", interface);
	snprintf(ledger.path, sizeof(ledger.path), FOLDER "/%llu-%s%s",
		 (unsigned long long)netns.st_ino, interface, suffix);
	ledger.lock_fd = lock_folder();
	if (ledger.lock_fd < 0)
		return ledger.lock_fd;
	load(&ledger);
	if (ledger.ifindex != ifindex) {
		/* the interface of the record is gone, and its settings with it */
		ledger.owner_count = 0;
		ledger.setting_count = 0;
	}
	ledger.ifindex = ifindex;
	*ret_ledger = ledger;
	return 0;
}

void ledger__close(struct ledger *ledger)
{
	flock(ledger->lock_fd, LOCK_UN); /* a child forked meanwhile holds the descriptor too */
	close(ledger->lock_fd);
	ledger->lock_fd = -1;
}

static int write_file(const struct ledger *ledger, const char *path)
{
	FILE *out = fopen(path, "we");
	bool bad;

	if (!out)
		return -errno;
	fprintf(out, "tapline-link 1\nifindex %u\n", ledger->ifindex);
	for (uint32_t i = 0; i < ledger->owner_count; i++)
		fprintf(out, "owner %d %llu\n", ledger->owners[i].pid,
			(unsigned long long)ledger->owners[i].start_ticks);
	for (uint32_t i = 0; i < ledger->setting_count; i++)
		fprintf(out, "set %s %u\n", ledger->settings[i].name, ledger->settings[i].value);
	bad = ferror(out);
	return fclose(out) || bad ? -EIO : 0;
}

int ledger__store(const struct ledger *ledger)
{
	char temporary[sizeof(ledger->path) + 4];
	int err;

	if (!ledger->owner_count && !ledger->setting_count)
		return unlink(ledger->path) && errno != ENOENT ? -errno : 0;
	snprintf(temporary, sizeof(temporary), "%s~", ledger->path);
	err = write_file(ledger, temporary);
	if (!err && rename(temporary, ledger->path))
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
static uint64_t start_ticks(pid_t pid)
{
	unsigned long long ticks = 0;
	char path[48], line[1024];
	const char *at;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	in = fopen(path, "re");
	if (!in)
		return 0;
	if (fgets(line, sizeof(line), in)) {
		/* the name of the process may hold spaces and brackets: count from the last one */
		at = strrchr(line, ')');
		for (int field = 2; at && field < 22; field++)
			at = strchr(at + 1, ' ');
		ticks = at ? strtoull(at, NULL, 10) : 0;
	}
	fclose(in);
	return ticks;
}

struct ledger_owner ledger__this_process(void)
{
	return (struct ledger_owner){ .pid = getpid(), .start_ticks = start_ticks(getpid()) };
}

void ledger__prune(struct ledger *ledger)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ledger->owner_count; i++)
		if (start_ticks(ledger->owners[i].pid) == ledger->owners[i].start_ticks)
			ledger->owners[kept++] = ledger->owners[i];
	ledger->owner_count = kept;
}

int ledger__add_owner(struct ledger *ledger, struct ledger_owner owner)
{
	if (ledger->owner_count == LEDGER_OWNERS_MAX)
		return -ENOSPC;
	ledger->owners[ledger->owner_count++] = owner;
	return 0;
}

void ledger__remove_owner(struct ledger *ledger, struct ledger_owner owner)
{
	for (uint32_t i = 0; i < ledger->owner_count; i++) {
		if (ledger->owners[i].pid == owner.pid &&
		    ledger->owners[i].start_ticks == owner.start_ticks) {
			ledger->owners[i] = ledger->owners[--ledger->owner_count];
			return;
		}
	}
}

int ledger__add_setting(struct ledger *ledger, const char *name, uint32_t value)
{
	struct ledger_setting *setting;

	for (uint32_t i = 0; i < ledger->setting_count; i++)
		if (!strcmp(ledger->settings[i].name, name))
			return 0;
	if (ledger->setting_count == LEDGER_SETTINGS_MAX)
		return -ENOSPC;
	setting = &ledger->settings[ledger->setting_count++];
	snprintf(setting->name, sizeof(setting->name), "%s", name);
	setting->value = value;
	return 0;
}

int ledger__restore(struct ledger *ledger)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int restored = 0;

	if (fd < 0)
		return -errno;
	/* last changed, first put back: a feature may depend on an earlier one */
	while (ledger->setting_count) {
		const struct ledger_setting *s = &ledger->settings[--ledger->setting_count];
		int err = !strcmp(s->name, LEDGER_RX_RING)
				  ? ethtool__set_rx_ring(fd, ledger->interface, s->value)
				  : ethtool__set_feature(fd, ledger->interface, s->name, s->value);

		if (err == -EPERM) {
			ledger->setting_count++;
			close(fd);
			return err;
		}
		restored += !err;
	}
	close(fd);
	return restored;
}
