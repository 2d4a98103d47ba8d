/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The filter program of an AF_PACKET socket.
 *
 *   filter ─ tl_filter__to_skb_ebpf ─► program ─ SO_ATTACH_BPF ─► runs before the ring, returns the
 *                                        │                        snap length, or 0 for "not this"
 *                                        └─ counts seen and kept, by CPU, in one map for all the
 *                                           programs that this socket will ever have
 *
 * There is always a program, also without a filter: it counts and cuts. Replacing it is one pointer
 * for the kernel, so each packet meets the old one or the new one.
 *
 * Where the kernel refuses to load programs, the same filter runs in user space, over all packets:
 * slower, but as exact. A classic program in the kernel would see packets whose tag is taken off,
 * and could not say how many it rejected.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "afpacket.h"
#include "tl_abi.h"

int afpacket_filter__reject(int fd)
{
	struct sock_filter nothing = { .code = BPF_RET | BPF_K, .k = 0 };
	struct sock_fprog program = { .len = 1, .filter = &nothing };

	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

static int load(const struct afpacket *s, const struct tl_filter *filter, int map_fd)
{
	struct tl_ebpf_opts opts = { .count_map_fd = map_fd, .accept_return = s->snaplen };
	struct bpf_insn *insns;
	size_t count;
	int fd;
	int err = tl_filter__to_skb_ebpf(filter, &opts, &insns, &count);

	if (err)
		return err;
	fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "tl_filter", "GPL", insns, count, NULL);
	err = fd < 0 ? -errno : fd;
	free(insns);
	return err;
}

/* A program of its own for user space: the caller's filter may go before the last packet. */
static int copy_filter(const struct tl_filter *filter, uint16_t linktype,
		       struct tl_filter **ret_copy)
{
	size_t count;
	const struct sock_filter *insns = tl_filter__classic(filter, &count);

	return tl_filter__from_classic(insns, count, linktype, ret_copy);
}

static int open_counters(struct afpacket *s)
{
	if (s->map_fd < 0)
		s->map_fd =
			bpf_map_create(BPF_MAP_TYPE_PERCPU_ARRAY, "tl_filter_count",
				       sizeof(uint32_t), sizeof(struct tl_filter_count), 1, NULL);
	return s->map_fd < 0 ? -errno : 0;
}

static int prepare(struct afpacket *s, const struct tl_filter *filter)
{
	int err = open_counters(s);
	int fd = err ? err : load(s, filter, s->map_fd);

	if (fd >= 0) {
		if (s->program_fd >= 0)
			close(s->program_fd);
		s->program_fd = fd;
		return 0;
	}
	if (s->program_fd >= 0) /* the old one stays */
		return fd;
	if (s->map_fd >= 0) {
		close(s->map_fd);
		s->map_fd = -1;
	}
	return tl_filter__keeps_all(filter) ? 0 : copy_filter(filter, s->linktype, &s->user_filter);
}

int afpacket_filter__prepare(struct afpacket *s, const struct tl_filter *filter)
{
	struct tl_filter *all = NULL;
	struct tl_error error;
	int err = 0;

	if (!filter)
		err = tl_filter__compile("", s->linktype, s->snaplen, &error, &all);
	if (!err)
		err = prepare(s, filter ? filter : all);
	tl_filter__destroy(all);
	return err;
}

int afpacket_filter__attach(const struct afpacket *s, int fd)
{
	int unused = 0;

	if (s->program_fd >= 0)
		return setsockopt(fd, SOL_SOCKET, SO_ATTACH_BPF, &s->program_fd,
				  sizeof(s->program_fd))
			       ? -errno
			       : 0;
	return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof(unused)) ? -errno : 0;
}

bool afpacket_filter__count(const struct afpacket *s, struct tl_filter_count *ret_count)
{
	struct tl_filter_count sum = { 0 };
	int cpus = libbpf_num_possible_cpus();
	struct tl_filter_count *each;
	uint32_t key = 0;
	bool read;

	if (s->map_fd < 0 || cpus < 1)
		return false;
	each = calloc((size_t)cpus, sizeof(*each));
	if (!each)
		return false;
	read = !bpf_map_lookup_elem(s->map_fd, &key, each);
	for (int i = 0; read && i < cpus; i++) {
		sum.seen += each[i].seen;
		sum.seen_bytes += each[i].seen_bytes;
		sum.kept += each[i].kept;
		sum.kept_bytes += each[i].kept_bytes;
	}
	free(each);
	if (read)
		*ret_count = sum;
	return read;
}

static int replace_in_user_space(struct afpacket *s, const struct tl_filter *filter)
{
	struct tl_filter *copy;
	int err = copy_filter(filter, s->linktype, &copy);

	if (!err) /* F1; one that poll has not taken yet was never used */
		tl_filter__destroy(__atomic_exchange_n(&s->new_filter, copy, __ATOMIC_ACQ_REL));
	return err;
}

int afpacket_filter__replace(struct tl_source *source, const struct tl_filter *filter)
{
	struct afpacket *s = (struct afpacket *)source;
	int err;

	if (s->program_fd < 0)
		return replace_in_user_space(s, filter);
	pthread_mutex_lock(&s->lock);
	err = afpacket_filter__prepare(s, filter);
	if (!err && !s->stopped && s->ring.fd >= 0)
		err = afpacket_filter__attach(s, s->ring.fd);
	pthread_mutex_unlock(&s->lock);
	return err;
}
