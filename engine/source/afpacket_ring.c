/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One AF_PACKET socket and its TPACKET_V3 ring: see struct afpacket_ring, which draws it.
 *
 * The size: about one second of the link for all sockets of an interface together, 128 MiB when its
 * speed says nothing (a virtual link), never more than a sixteenth of the memory, nor 1 GiB; and
 * the rings of all interfaces of a run never more than an eighth of the memory.
 *
 * The blocks: the timeout closes a block however empty it is, so on a slow link a ring lasts for
 * blocks x timeout, not for its bytes. 256 blocks of 4 ms let a worker be away for a second; blocks
 * grow beyond 128 KiB only when there are as many.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <numa.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "afpacket.h"
#include "tapline/atomic.h"

#define RING_DEFAULT  (128 * MIB)
#define RING_MAX      (1024 * MIB)
#define RING_MIN      (1 * MIB)
#define BLOCK_MIN     (128ull * 1024) /* holds the largest packet, 64 KiB and its header */
#define BLOCK_MAX     (4 * MIB)
#define BLOCKS_WANTED 256
#define FRAME_BYTES   2048 /* V3 lays packets out by their size; the kernel only checks this */
#define VLAN_BYTES    4

int afpacket_ring__socket(void)
{
	const int version = TPACKET_V3;
	const int reserve = VLAN_BYTES; /* room to put a stripped tag back */
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	int err;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_RESERVE, &reserve, sizeof(reserve))) {
		err = -errno;
		close(fd);
		return err;
	}
	err = afpacket_filter__reject(fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static uint64_t memory_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 1024 * MIB;
}

static uint64_t choose_bytes(const struct afpacket_ring_opts *opts)
{
	uint64_t bytes = opts->speed_bps ? opts->speed_bps / 8 : RING_DEFAULT;
	uint64_t memory = memory_bytes();
	uint64_t share = memory / (opts->interfaces > 2 ? 8 * (uint64_t)opts->interfaces : 16);

	if (opts->bytes)
		return opts->bytes < RING_MIN ? RING_MIN : opts->bytes;
	if (bytes > RING_MAX)
		bytes = RING_MAX;
	if (bytes > share)
		bytes = share;
	bytes /= opts->sockets;
	return bytes < 4 * MIB ? 4 * MIB : bytes;
}

static uint32_t choose_block(uint64_t ring_bytes)
{
	uint64_t block = BLOCK_MIN;

	while (block < BLOCK_MAX && ring_bytes / (2 * block) >= BLOCKS_WANTED)
		block *= 2;
	return (uint32_t)block;
}

static int request_ring(int fd, const struct afpacket_ring_opts *opts, struct tpacket_req3 *ret_req)
{
	uint64_t bytes = choose_bytes(opts);

	for (;; bytes /= 2) {
		struct tpacket_req3 req = {
			.tp_block_size = choose_block(bytes),
			.tp_frame_size = FRAME_BYTES,
			.tp_retire_blk_tov = opts->block_timeout_ms,
		};
		uint64_t blocks = bytes / req.tp_block_size;

		req.tp_block_nr = (unsigned int)(blocks < UINT32_MAX / BLOCK_MIN ? blocks : 32768);
		req.tp_frame_nr = req.tp_block_size / FRAME_BYTES * req.tp_block_nr;
		if (!setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req))) {
			*ret_req = req;
			return 0;
		}
		if (errno != ENOMEM || bytes / 2 < RING_MIN)
			return -errno;
	}
}

int afpacket_ring__create(int fd, const struct afpacket_ring_opts *opts,
			  struct afpacket_ring *ret_ring)
{
	struct afpacket_ring ring = { .fd = fd };
	struct tpacket_req3 req = { 0 };
	bool numa = opts->numa_node >= 0 && numa_available() >= 0 && numa_max_node() > 0;
	void *map;
	int err;

	/* the kernel takes the ring's pages from the caller's preferred node */
	if (numa)
		numa_set_preferred(opts->numa_node);
	err = request_ring(fd, opts, &req);
	if (numa)
		numa_set_localalloc();
	if (err)
		return err;
	ring.block_bytes = req.tp_block_size;
	ring.block_count = req.tp_block_nr;
	ring.ends = calloc(ring.block_count, sizeof(*ring.ends));
	if (!ring.ends)
		return -ENOMEM;
	map = mmap(NULL, (size_t)ring.block_bytes * ring.block_count, PROT_READ | PROT_WRITE,
		   MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		err = -errno;
		free(ring.ends);
		return err;
	}
	ring.map = map;
	*ret_ring = ring;
	return 0;
}

void afpacket_ring__destroy(struct afpacket_ring *ring)
{
	if (ring->map)
		munmap(ring->map, (size_t)ring->block_bytes * ring->block_count);
	if (ring->fd >= 0)
		close(ring->fd);
	free(ring->ends);
	*ring = (struct afpacket_ring){ .fd = -1 };
}

int afpacket_ring__bind(int fd, uint32_t ifindex, bool promiscuous)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = (int)ifindex,
	};
	struct packet_mreq membership = {
		.mr_ifindex = (int)ifindex,
		.mr_type = PACKET_MR_PROMISC,
	};
	socklen_t length = sizeof(int);
	int pending;

	/* an error left from the interface before would be this bind's */
	(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &length);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	if (promiscuous &&
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)))
		return -errno;
	return 0;
}

int afpacket_ring__fill_percent(const struct afpacket_ring *ring)
{
	uint64_t end = ring->oldest + ring->block_count;
	uint64_t low = ring->next, high = end;

	if (!ring->map)
		return 0;
	/* blocks are filled in order: the first that the kernel has not handed over */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;
		const uint32_t *status = &afpacket_block(ring, middle)->hdr.bh1.block_status;

		if (tl_load_relaxed(status) & TP_STATUS_USER)
			low = middle + 1;
		else
			high = middle;
	}
	return (int)(100 * (low - ring->oldest) / ring->block_count);
}
