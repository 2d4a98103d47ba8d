/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One AF_XDP socket: its memory, its rings. See afxdp.h for who owns a frame when.
 *
 * The rings are as long as there are frames, so that neither the fill ring nor the rx ring is ever
 * too short for what may be in it: a packet is lost only when all frames are in use.
 */
#include <errno.h>
#include <linux/if_xdp.h>
#include <poll.h>
#include <string.h>
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

#define PEEK_MAX     64u
#define BUSY_POLL_US 20

static int quiet(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static int create_umem(struct afxdp_queue *q)
{
	const struct xsk_umem_config config = {
		.fill_size = q->frame_count,
		.comp_size = 64,
		.frame_size = AFXDP_FRAME_BYTES,
		.frame_headroom = 0,
	};

	return xsk_umem__create(&q->umem, q->area, (uint64_t)q->frame_count * AFXDP_FRAME_BYTES,
				&q->fill, &q->completion, &config);
}

/* Zero copy where the driver has it, else the kernel copies; packets of several frames if it can.
 */
static int create_socket(struct afxdp_queue *q, const struct afxdp_queue_opts *opts)
{
	struct xsk_socket_config config = {
		.rx_size = q->frame_count,
		.tx_size = 0,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP | XDP_USE_SG,
	};
	int err;

	if (opts->is_generic)
		config.bind_flags |= XDP_COPY;
	err = xsk_socket__create(&q->xsk, opts->interface, opts->index, q->umem, &q->rx, NULL,
				 &config);
	if (err != -EINVAL && err != -EOPNOTSUPP)
		return err;
	config.bind_flags &= (uint16_t)~XDP_USE_SG; /* before Linux 6.6 */
	/* a failed bind uses the memory's rings up */
	if (xsk_umem__delete(q->umem) || create_umem(q))
		return -ENOMEM;
	return xsk_socket__create(&q->xsk, opts->interface, opts->index, q->umem, &q->rx, NULL,
				  &config);
}

static void set_busy_poll(const struct afxdp_queue *q)
{
	const int on = 1, us = BUSY_POLL_US, budget = (int)PEEK_MAX;
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

int afxdp_queue__create(struct afxdp_queue *q, const struct afxdp_queue_opts *opts)
{
	libxdp_print_fn_t printer;
	int err;

	memset(q, 0, sizeof(*q));
	q->index = opts->index;
	q->frame_count = opts->frame_count;
	q->jumbo = AFXDP_NO_JUMBO;
	q->area = tl_topology__alloc((size_t)q->frame_count * AFXDP_FRAME_BYTES, opts->numa_node);
	if (!q->area)
		return -ENOMEM;
	printer = libxdp_set_print(quiet); /* a library does not print */
	err = create_umem(q);
	if (!err)
		err = create_socket(q, opts);
	libxdp_set_print(printer);
	if (err) {
		afxdp_queue__destroy(q);
		return err;
	}
	q->is_zero_copy = is_zero_copy(q);
	if (opts->busy_poll)
		set_busy_poll(q);
	for (uint64_t i = 0; i < q->frame_count; i++)
		afxdp_queue__refill(q, i * AFXDP_FRAME_BYTES);
	afxdp_queue__submit(q);
	return 0;
}

void afxdp_queue__destroy(struct afxdp_queue *q)
{
	if (q->xsk)
		xsk_socket__delete(q->xsk);
	if (q->umem)
		xsk_umem__delete(q->umem);
	if (q->area)
		tl_topology__free(q->area, (size_t)q->frame_count * AFXDP_FRAME_BYTES);
	memset(q, 0, sizeof(*q));
}

uint32_t afxdp_queue__peek(struct afxdp_queue *q)
{
	if (!q->peeked)
		q->peeked = xsk_ring_cons__peek(&q->rx, PEEK_MAX, &q->peek_at);
	return q->peeked;
}

const struct xdp_desc *afxdp_queue__next(struct afxdp_queue *q)
{
	q->peeked--;
	/*
	 * The slot is given back at the next __submit at the earliest: until then the kernel does
	 * not overwrite what is returned here.
	 */
	return xsk_ring_cons__rx_desc(&q->rx, q->peek_at++);
}

void afxdp_queue__refill(struct afxdp_queue *q, uint64_t addr)
{
	uint32_t at;

	/* cannot fail: the ring has room for all frames */
	if (xsk_ring_prod__reserve(&q->fill, 1, &at) != 1)
		return;
	*xsk_ring_prod__fill_addr(&q->fill, at) = addr & ~(uint64_t)(AFXDP_FRAME_BYTES - 1);
	q->refilled++;
}

void afxdp_queue__submit(struct afxdp_queue *q)
{
	/* everything up to the first descriptor not looked at */
	uint32_t read = q->rx.cached_cons - q->peeked;

	if (read != *q->rx.consumer)
		tl_store_release(q->rx.consumer, read);
	if (!q->refilled)
		return;
	xsk_ring_prod__submit(&q->fill, q->refilled);
	q->refilled = 0;
	if (xsk_ring_prod__needs_wakeup(&q->fill))
		(void)recvfrom(xsk_socket__fd(q->xsk), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

int afxdp_queue__fill_percent(const struct afxdp_queue *q)
{
	uint32_t offered = tl_load_relaxed(q->fill.producer) - tl_load_relaxed(q->fill.consumer);

	if (offered > q->frame_count)
		offered = q->frame_count;
	return (int)(100ull * (q->frame_count - offered) / q->frame_count);
}

int afxdp_queue__drops(const struct afxdp_queue *q, struct xdp_statistics *ret_drops)
{
	socklen_t bytes = sizeof(*ret_drops);

	memset(ret_drops, 0, sizeof(*ret_drops));
	if (getsockopt(xsk_socket__fd(q->xsk), SOL_XDP, XDP_STATISTICS, ret_drops, &bytes))
		return -errno;
	return 0;
}
