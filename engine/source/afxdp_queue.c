/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One AF_XDP socket: its memory, its rings. See afxdp.h for who owns a frame when.
 *
 * The rings are as long as there are frames, so that neither the fill ring nor the rx ring is ever
 * too short for what may be in it: a packet is lost only when all frames are in use.
 *
 * The memory outlives the socket: when the interface is gone, and another of its name is there, a
 * new socket over the same memory takes the old one's place. It is registered with the kernel in
 * advance (`spares`), since that takes a capability which may have been given up by then. Frames
 * that are out, with the worker, come back into the new socket's fill ring.
 */
#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "afxdp.h"
#include "tapline/topology.h"

/* Newer than the headers of Debian 12. */
#ifndef XDP_USE_SG
#define XDP_USE_SG (1 << 4)
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#define SO_BUSY_POLL_BUDGET 70
#endif

#define PEEK_MAX       256u
#define PREFETCH_AHEAD 16u /* packets: more than the processor can fetch at a time */
#define BUSY_POLL_US   20
#define BUSY_POLL_MAX  64

static int quiet(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int create_umem(const struct afxdp_queue *q, struct afxdp_memory **ret_memory)
{
	const struct xsk_umem_config config = {
		.fill_size = q->frame_count,
		.comp_size = 64,
		.frame_size = q->frame_bytes,
		.frame_headroom = 0,
	};
	struct afxdp_memory *memory = calloc(1, sizeof(*memory));
	int err;

	if (!memory)
		return -ENOMEM;
	err = xsk_umem__create(&memory->umem, q->area, (uint64_t)q->frame_count * q->frame_bytes,
			       &memory->fill, &memory->completion, &config);
	if (err)
		free(memory);
	else
		*ret_memory = memory;
	return err;
}

static void delete_umem(struct afxdp_memory **memory)
{
	if (!*memory)
		return;
	xsk_umem__delete((*memory)->umem);
	free(*memory);
	*memory = NULL;
}

/* Zero copy where the driver has it, else the kernel copies; packets of several frames if it can.
 */
static int create_socket(struct afxdp_queue *q)
{
	struct xsk_socket_config config = {
		.rx_size = q->frame_count,
		.tx_size = 0,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP | XDP_USE_SG,
	};
	int err;

	if (q->is_generic)
		config.bind_flags |= XDP_COPY;
	err = xsk_socket__create(&q->xsk, q->interface, q->index, q->memory->umem, &q->rx, NULL,
				 &config);
	if (err != -EINVAL && err != -EOPNOTSUPP)
		return err;
	config.bind_flags &= (uint16_t)~XDP_USE_SG; /* before Linux 6.6 */
	/* a failed bind uses the memory's rings up */
	delete_umem(&q->memory);
	if (create_umem(q, &q->memory))
		return -ENOMEM;
	return xsk_socket__create(&q->xsk, q->interface, q->index, q->memory->umem, &q->rx, NULL,
				  &config);
}

static void set_busy_poll(const struct afxdp_queue *q)
{
	const int on = 1, us = BUSY_POLL_US, budget = BUSY_POLL_MAX;
	int fd = xsk_socket__fd(q->xsk);

	/* a wish: without it the interrupt does the same work */
	(void)setsockopt(fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &us, sizeof(us));
	(void)setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget));
}

static bool is_zero_copy(const struct afxdp_queue *q)
{
	struct xdp_options options = { 0 };
	socklen_t bytes = sizeof(options);

	return !getsockopt(xsk_socket__fd(q->xsk), SOL_XDP, XDP_OPTIONS, &options, &bytes) &&
	       options.flags & XDP_OPTIONS_ZEROCOPY;
}

/* Over memory that is there: a socket, and every frame that nobody holds offered to it. */
static int open_socket(struct afxdp_queue *q)
{
	libxdp_print_fn_t printer = libxdp_set_print(quiet); /* a library does not print */
	int err = q->memory ? 0 : create_umem(q, &q->memory);

	if (!err)
		err = create_socket(q);
	if (err) {
		q->xsk = NULL;
		delete_umem(&q->memory);
	}
	libxdp_set_print(printer);
	if (err)
		return err;
	q->is_zero_copy = is_zero_copy(q);
	if (q->is_busy_polled)
		set_busy_poll(q);
	q->peeked = 0;
	q->refilled = 0;
	for (uint32_t i = 0; i < q->frame_count; i++)
		if (!q->is_out[i * (q->frame_bytes / AFXDP_FRAME_SMALL)])
			afxdp_queue__refill(q, (uint64_t)i * q->frame_bytes);
	afxdp_queue__submit(q);
	return 0;
}

int afxdp_queue__create(struct afxdp_queue *q, const struct afxdp_queue_opts *opts)
{
	size_t bytes = (size_t)opts->frame_count * opts->frame_bytes;
	int err = -ENOMEM;

	memset(q, 0, sizeof(*q));
	q->interface = opts->interface;
	q->index = opts->index;
	q->frame_count = opts->frame_count;
	q->frame_bytes = opts->frame_bytes;
	q->is_generic = opts->is_generic;
	q->is_busy_polled = opts->busy_poll;
	q->jumbo = AFXDP_NO_JUMBO;
	q->area = tl_topology__alloc(bytes, opts->numa_node);
	/* each frame is a page, and a miss of the TLB: huge pages where there are enough */
	if (q->area && !tl_topology__has_free_huge_pages(bytes, opts->numa_node))
		(void)madvise(q->area, bytes, MADV_NOHUGEPAGE);
	q->is_out = calloc(bytes / AFXDP_FRAME_SMALL, 1);
	if (q->area && q->is_out)
		err = open_socket(q);
	if (err)
		afxdp_queue__destroy(q);
	return err;
}

void afxdp_queue__prepare_spares(struct afxdp_queue *q)
{
	libxdp_print_fn_t printer = libxdp_set_print(quiet);

	for (uint32_t i = 0; i < AFXDP_SPARES; i++)
		if (!q->spares[i] && create_umem(q, &q->spares[i]))
			break;
	libxdp_set_print(printer);
}

/* What the socket dropped stays in the account. */
static void close_socket(struct afxdp_queue *q)
{
	struct xdp_statistics drops;

	if (!q->xsk)
		return;
	if (!afxdp_queue__drops(q, &drops))
		q->drops_before = drops;
	xsk_socket__delete(q->xsk);
	q->xsk = NULL;
	q->peeked = 0;
	delete_umem(&q->memory);
}

int afxdp_queue__reopen(struct afxdp_queue *q)
{
	close_socket(q);
	for (uint32_t i = 0; i < AFXDP_SPARES && !q->memory; i++) {
		q->memory = q->spares[i];
		q->spares[i] = NULL;
	}
	return open_socket(q);
}

void afxdp_queue__destroy(struct afxdp_queue *q)
{
	close_socket(q);
	delete_umem(&q->memory);
	for (uint32_t i = 0; i < AFXDP_SPARES; i++)
		delete_umem(&q->spares[i]);
	free(q->is_out);
	if (q->area)
		tl_topology__free(q->area, (size_t)q->frame_count * q->frame_bytes);
	memset(q, 0, sizeof(*q));
}

/* The bytes come from the cache of the CPU that received them: all of them take long to fetch. */
static void prefetch(const struct afxdp_queue *q, uint32_t at)
{
	const uint8_t *data = q->area + xsk_ring_cons__rx_desc(&q->rx, at)->addr;

	__builtin_prefetch(data - sizeof(struct tl_xdp_meta));
	__builtin_prefetch(data);
}

uint32_t afxdp_queue__peek_more(struct afxdp_queue *q)
{
	if (!q->xsk)
		return 0;
	q->peeked = xsk_ring_cons__peek(&q->rx, PEEK_MAX, &q->peek_at);
	for (uint32_t i = 0; i < q->peeked && i < PREFETCH_AHEAD; i++)
		prefetch(q, q->peek_at + i);
	return q->peeked;
}

const struct xdp_desc *afxdp_queue__next(struct afxdp_queue *q)
{
	const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&q->rx, q->peek_at++);

	q->peeked--;
	if (q->peeked >= PREFETCH_AHEAD)
		prefetch(q, q->peek_at + PREFETCH_AHEAD - 1);
	q->is_out[desc->addr / AFXDP_FRAME_SMALL] = 1;
	/*
	 * The slot is given back at the next __submit at the earliest: until then the kernel does
	 * not overwrite what is returned here.
	 */
	return desc;
}

void afxdp_queue__refill(struct afxdp_queue *q, uint64_t addr)
{
	uint32_t at;

	q->is_out[addr / AFXDP_FRAME_SMALL] = 0;
	if (!q->xsk) /* offered when there is a socket again */
		return;
	/* cannot fail: the ring has room for all frames */
	if (xsk_ring_prod__reserve(&q->memory->fill, 1, &at) != 1)
		return;
	*xsk_ring_prod__fill_addr(&q->memory->fill, at) = addr & ~(uint64_t)(q->frame_bytes - 1);
	q->refilled++;
}

void afxdp_queue__submit(struct afxdp_queue *q)
{
	uint32_t read;

	if (!q->xsk)
		return;
	/* everything up to the first descriptor not looked at */
	read = q->rx.cached_cons - q->peeked;
	if (read != *q->rx.consumer)
		tl_store_release(q->rx.consumer, read);
	if (!q->refilled)
		return;
	xsk_ring_prod__submit(&q->memory->fill, q->refilled);
	q->refilled = 0;
	if (xsk_ring_prod__needs_wakeup(&q->memory->fill))
		(void)recvfrom(xsk_socket__fd(q->xsk), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

int afxdp_queue__fill_percent(const struct afxdp_queue *q)
{
	uint32_t offered;

	if (!q->xsk)
		return 0;
	offered = tl_load_relaxed(q->memory->fill.producer) -
		  tl_load_relaxed(q->memory->fill.consumer);
	if (offered > q->frame_count)
		offered = q->frame_count;
	return (int)(100ull * (q->frame_count - offered) / q->frame_count);
}

int afxdp_queue__drops(const struct afxdp_queue *q, struct xdp_statistics *ret_drops)
{
	struct xdp_statistics drops = { 0 };
	socklen_t bytes = sizeof(drops);

	if (q->xsk && getsockopt(xsk_socket__fd(q->xsk), SOL_XDP, XDP_STATISTICS, &drops, &bytes))
		return -errno;
	drops.rx_dropped += q->drops_before.rx_dropped;
	drops.rx_ring_full += q->drops_before.rx_ring_full;
	drops.rx_fill_ring_empty_descs += q->drops_before.rx_fill_ring_empty_descs;
	*ret_drops = drops;
	return 0;
}
