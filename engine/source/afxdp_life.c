/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface's life, as a source's poll sees it when nothing comes:
 *
 *            down                     removed
 *     UP ──────────► DOWN      UP, DOWN ──────► GONE
 *        ◄────────── (same              ▲         │ an interface of that name is there again, up:
 *            up       index)            └─────────┘ 1  each source opens its queues' sockets anew
 *                                                   2  the last of them attaches the program
 *
 * A socket whose interface was removed is of no use any more, while its rings can still be read. So
 * a source first reads them to their end. Nothing arrives before the program is attached, and that
 * is when all sockets are there.
 *
 * Who: poll of each source, in its own thread. Sockets are replaced under the group's lock, since
 * the statistics ask them.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "afxdp.h"
#include "tapline/link.h"

#define BUSY_CHECK_NS  1000000u
#define QUIET_CHECK_NS 100000000u

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Index of the interface that has the name now, 0: none; `ret_is_up`. */
static uint32_t look(const struct afxdp_group *g, bool *ret_is_up)
{
	struct ifreq request = { 0 };

	*ret_is_up = false;
	memcpy(request.ifr_name, g->interface, sizeof(request.ifr_name) - 1);
	if (ioctl(g->control_fd, SIOCGIFFLAGS, &request))
		return 0;
	*ret_is_up = request.ifr_flags & IFF_UP;
	return ioctl(g->control_fd, SIOCGIFINDEX, &request) ? 0 : (uint32_t)request.ifr_ifindex;
}

int afxdp_life__promiscuous(struct afxdp_group *g, uint32_t ifindex)
{
	const struct packet_mreq request = { .mr_ifindex = (int)ifindex,
					     .mr_type = PACKET_MR_PROMISC };

	return setsockopt(g->promiscuous_fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request,
			  sizeof(request))
		       ? -errno
		       : 0;
}

/* The rest of a packet that was being put together will not come. */
static void forget_part(struct afxdp *s, struct afxdp_queue *q)
{
	if (q->jumbo != AFXDP_NO_JUMBO)
		s->jumbo_free[s->jumbo_free_count++] = q->jumbo;
	q->jumbo = AFXDP_NO_JUMBO;
	q->is_jumbo_lost = false;
}

static int reopen_queue(struct afxdp *s, struct afxdp_queue *q, uint32_t ifindex)
{
	int err;

	if (q->ifindex == ifindex)
		return 0;
	if (afxdp_queue__peek(q))
		return -EAGAIN;
	forget_part(s, q);
	err = afxdp_queue__reopen(q);
	if (err == -EINVAL && q->index) { /* this interface has fewer queues */
		q->ifindex = ifindex;
		return 0;
	}
	if (!err)
		err = xsk_socket__update_xskmap(q->xsk,
						tl_xdp_program__sockets_fd(s->group->program));
	if (!err)
		q->ifindex = ifindex;
	if (!err)
		afxdp_queue__prepare_spares(q);
	return err;
}

/* All sources have their sockets. */
static void attach(struct afxdp_group *g, uint32_t ifindex)
{
	struct tl_error ignored;
	bool is_native;

	for (uint32_t i = 0; i < g->source_count; i++)
		if (g->sources[i]->ifindex != ifindex)
			return;
	if (tl_xdp_program__move(g->program, ifindex))
		return;
	if (tl_xdp_program__attach(g->program, g->xdp, &ignored, &is_native))
		return;
	if (g->promiscuous_fd >= 0)
		(void)afxdp_life__promiscuous(g, ifindex);
	g->nic_last = 0;
	(void)tl_link__nic_drops(g->interface, &g->nic_last);
	g->ifindex = ifindex;
}

/* What fails is tried again at the next check. */
static void reopen(struct afxdp *s, uint32_t ifindex)
{
	struct afxdp_group *g = s->group;
	int err = 0;

	pthread_mutex_lock(&g->lock);
	for (uint32_t i = s->index; !g->stopped && i < g->queue_count && !err; i += g->source_count)
		err = reopen_queue(s, &g->queues[i], ifindex);
	if (!err && !g->stopped) {
		s->ifindex = ifindex;
		attach(g, ifindex);
	}
	pthread_mutex_unlock(&g->lock);
}

static void check_link(struct afxdp *s)
{
	struct afxdp_group *g = s->group;
	bool is_up;
	uint32_t ifindex = look(g, &is_up);

	if (is_up && ifindex && ifindex != tl_load_relaxed(&g->ifindex))
		reopen(s, ifindex);
	s->is_down = !is_up || ifindex != tl_load_relaxed(&g->ifindex);
}

void afxdp_life__check(struct afxdp *s, uint32_t packet_count)
{
	uint64_t now = monotonic_ns(), drops = 0;

	if (now < s->next_check_ns)
		return;
	s->next_check_ns = now + (packet_count ? BUSY_CHECK_NS : QUIET_CHECK_NS);
	if (!packet_count) {
		check_link(s);
		return;
	}
	s->is_down = false;
	for (uint32_t i = s->index; i < s->group->queue_count; i += s->group->source_count) {
		struct xdp_statistics now_dropped;

		if (!afxdp_queue__drops(&s->group->queues[i], &now_dropped))
			drops += now_dropped.rx_dropped + now_dropped.rx_ring_full;
	}
	s->lost_before += (uint32_t)(drops - s->drops_seen);
	s->drops_seen = drops;
}
