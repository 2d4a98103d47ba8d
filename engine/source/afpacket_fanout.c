/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The sockets of one interface as a fanout group. The kernel gives each packet to one of them, by
 * the program bpf/fanout.bpf.c, or by its own hash where it refuses the program.
 *
 *   group 0: first socket asks for an unused number, loads the program into the group; the others
 * join interface recreated: the first source to notice makes a new group, the others join that one
 *
 * Only a socket that is bound can join, and one that has joined cannot be bound again: so sockets
 * are bound first, behind a filter that rejects everything.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "afpacket.h"
#include "fanout.skel.h"

#ifndef PACKET_FANOUT_FLAG_IGNORE_OUTGOING
#define PACKET_FANOUT_FLAG_IGNORE_OUTGOING 0x4000
#endif

static int load_program(struct afpacket_group *group, bool ethernet)
{
	struct tl_fanout_bpf *skeleton = tl_fanout_bpf__open();
	uint64_t seed;
	int err;

	if (!skeleton)
		return -errno;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)(uintptr_t)skeleton;
	skeleton->rodata->tl_fanout_ethernet = ethernet;
	skeleton->rodata->tl_fanout_seed = seed;
	err = tl_fanout_bpf__load(skeleton);
	if (err) {
		tl_fanout_bpf__destroy(skeleton);
		return err;
	}
	group->skeleton = skeleton;
	group->program_fd = bpf_program__fd(skeleton->progs.tl_fanout);
	return 0;
}

int afpacket_group__create(bool ethernet, uint32_t users, struct afpacket_group **ret_group)
{
	struct afpacket_group *group = calloc(1, sizeof(*group));

	if (!group)
		return -ENOMEM;
	pthread_mutex_init(&group->lock, NULL);
	group->users = users;
	group->fanout_id = -1;
	group->program_fd = -1;
	if (users > 1)
		(void)load_program(group, ethernet);
	*ret_group = group;
	return 0;
}

void afpacket_group__release(struct afpacket_group *group)
{
	uint32_t users;

	if (!group)
		return;
	pthread_mutex_lock(&group->lock);
	users = --group->users;
	pthread_mutex_unlock(&group->lock);
	if (users)
		return;
	tl_fanout_bpf__destroy(group->skeleton);
	pthread_mutex_destroy(&group->lock);
	free(group);
}

static int set_fanout(int fd, uint32_t id, uint32_t type)
{
	uint32_t value = id | type << 16;

	return setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, sizeof(value)) ? -errno : 0;
}

static int found_group(struct afpacket_group *group, int fd, uint32_t type)
{
	uint32_t value;
	socklen_t length = sizeof(value);
	int err = set_fanout(fd, 0, type | PACKET_FANOUT_FLAG_UNIQUEID);

	if (err)
		return err;
	if (getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &value, &length))
		return -errno;
	if (group->program_fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_FANOUT_DATA,
						 &group->program_fd, sizeof(group->program_fd)))
		return -errno;
	group->fanout_id = value & 0xffff;
	return 0;
}

int afpacket_group__join(struct afpacket_group *group, const struct afpacket *s, int fd,
			 uint32_t ifindex)
{
	uint32_t type = group->program_fd >= 0 ? PACKET_FANOUT_EBPF : PACKET_FANOUT_HASH;
	int err;

	if (s->ignore_outgoing)
		type |= PACKET_FANOUT_FLAG_IGNORE_OUTGOING;
	pthread_mutex_lock(&group->lock);
	if (group->fanout_id >= 0 && group->ifindex == ifindex) {
		err = set_fanout(fd, (uint32_t)group->fanout_id, type);
	} else {
		err = found_group(group, fd, type);
		if (!err)
			group->ifindex = ifindex;
	}
	pthread_mutex_unlock(&group->lock);
	return err;
}
