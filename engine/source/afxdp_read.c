/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The AF_XDP source's poll: frames that were released go back, packets come out, and a packet whose
 * flow belongs to another source is handed over.
 *
 *   1  released packets ─► frames to the fill ring, or to the return ring of their source
 *   2  return rings ─► own fill rings
 *   3  hand-over rings and own queues ─► packets; the queue whose next packet is oldest first
 *   4  wake those who were given something and wait
 *
 * Order and watermark: packets of one queue are in order; several queues are merged by time as far
 * as they have been read. A source's progress is the time up to which it has pushed everything to
 * the others, so what is handed out by the slowest bounds the watermark of all.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "afxdp.h"
#include "tapline/filter.h"

#define NS_PER_S 1000000000ll
#define QUIET_MARGIN_NS                                                                            \
	2000000u /* between the time stamp and the rx ring: one round of the driver */
#define ORDER_MARGIN_NS 1000000u
#define BUSY_CHECK_NS	1000000u
#define QUIET_CHECK_NS	100000000u
#define DRAIN_WAITS	100

#ifndef XDP_PKT_CONTD
#define XDP_PKT_CONTD (1 << 0)
#endif

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* TAI is ahead of UTC by whole seconds (0 where nobody told the kernel). */
static int64_t tai_offset(void)
{
	int64_t difference = clock_ns(CLOCK_TAI) - clock_ns(CLOCK_REALTIME);
	int64_t half = difference < 0 ? -NS_PER_S / 2 : NS_PER_S / 2;

	return (difference + half) / NS_PER_S * NS_PER_S;
}

static uint64_t round_up(uint64_t n)
{
	uint64_t power = 64;

	while (power < n)
		power *= 2;
	return power;
}

int afxdp_read__prepare(struct afxdp *s)
{
	const struct afxdp_group *g = s->group;
	uint64_t frames = 0;

	for (uint32_t i = 0; i < g->queue_count; i++)
		frames += g->queues[i].frame_count;
	frames += (uint64_t)AFXDP_JUMBO_COUNT * g->source_count;
	s->inflight_mask = round_up(frames) - 1;
	s->inflight = calloc(s->inflight_mask + 1, sizeof(*s->inflight));
	if (!s->inflight)
		return -ENOMEM;
	if (!g->jumbo_bytes)
		return 0;
	s->jumbo_area = malloc((size_t)AFXDP_JUMBO_COUNT * g->jumbo_bytes);
	s->jumbo_free = calloc(AFXDP_JUMBO_COUNT, sizeof(*s->jumbo_free));
	if (!s->jumbo_area || !s->jumbo_free)
		return -ENOMEM;
	for (uint32_t i = 0; i < AFXDP_JUMBO_COUNT; i++)
		s->jumbo_free[s->jumbo_free_count++] = i;
	return 0;
}

/* --- frames back --------------------------------------------------------------------------- */

/* The place belongs to this source. */
static void give_back(struct afxdp *s, const struct afxdp_place *place)
{
	if (place->jumbo_source == AFXDP_NO_JUMBO)
		afxdp_queue__refill(&s->group->queues[place->queue], place->addr);
	else
		s->jumbo_free[s->jumbo_free_count++] = (uint32_t)place->addr;
}

static void recycle_one(struct afxdp *s, const struct afxdp_place *place)
{
	const struct afxdp_group *g = s->group;
	uint32_t owner = place->jumbo_source == AFXDP_NO_JUMBO ? g->queues[place->queue].source
							       : place->jumbo_source;
	struct tl_spsc *ring;
	struct afxdp_place *slot;

	if (owner == s->index) {
		give_back(s, place);
		return;
	}
	ring = &g->returns[owner * g->source_count + s->index];
	slot = tl_spsc__reserve(ring);
	if (!slot) /* cannot be: it has room for all frames */
		return;
	*slot = *place;
	tl_spsc__push(ring);
}

static void recycle(struct afxdp *s)
{
	const struct afxdp_group *g = s->group;
	uint64_t released = tl_load_acquire(&s->base.released);

	while (s->inflight_head < released && s->inflight_head < s->inflight_tail) {
		recycle_one(s, &s->inflight[s->inflight_head & s->inflight_mask]);
		s->inflight_head++;
	}
	for (uint32_t from = 0; g->returns && from < g->source_count; from++) {
		struct tl_spsc *ring = &g->returns[s->index * g->source_count + from];
		struct afxdp_place *place;

		while (from != s->index && (place = tl_spsc__front(ring))) {
			give_back(s, place);
			tl_spsc__pop(ring);
		}
	}
}

static void submit_all(struct afxdp *s)
{
	for (uint32_t i = s->index; i < s->group->queue_count; i += s->group->source_count)
		afxdp_queue__submit(&s->group->queues[i]);
}

/* --- packets out --------------------------------------------------------------------------- */

static struct tl_xdp_meta meta_of(const uint8_t *data)
{
	struct tl_xdp_meta meta;

	memcpy(&meta, data - sizeof(meta), sizeof(meta));
	return meta;
}

static void describe(const struct afxdp *s, const struct afxdp_queue *q,
		     const struct tl_xdp_meta *meta, struct afxdp_handed *ret)
{
	struct tl_packet *p = &ret->packet;

	p->ts_ns = meta->time_ns - (uint64_t)s->tai_offset_ns;
	p->wirelen = meta->wirelen;
	if (p->caplen > meta->caplen)
		p->caplen = meta->caplen;
	if (p->caplen > s->group->snaplen)
		p->caplen = s->group->snaplen;
	if (p->wirelen < p->caplen)
		p->wirelen = p->caplen;
	p->interface = s->base.interface;
	p->queue = q->index;
	p->linktype = TL_LINKTYPE_ETHERNET;
}

/* A frame of a packet that needs several: copies it to the packet's buffer, and gives it back. */
static void gather(struct afxdp *s, struct afxdp_queue *q, const struct xdp_desc *desc)
{
	const uint8_t *data = q->area + desc->addr;
	uint32_t room;

	if (q->jumbo == AFXDP_NO_JUMBO && !q->is_jumbo_lost) {
		if (s->jumbo_free_count) {
			q->jumbo = s->jumbo_free[--s->jumbo_free_count];
			q->jumbo_bytes = 0;
			q->jumbo_meta = meta_of(data);
		} else {
			q->is_jumbo_lost = true; /* longer than the MTU that was at the start */
			tl_counter_add(&q->lost, 1);
		}
	}
	if (!q->is_jumbo_lost) {
		room = s->group->jumbo_bytes - q->jumbo_bytes;
		if (room > desc->len)
			room = desc->len;
		memcpy(s->jumbo_area + (size_t)q->jumbo * s->group->jumbo_bytes + q->jumbo_bytes,
		       data, room);
		q->jumbo_bytes += room;
	}
	afxdp_queue__refill(q, desc->addr);
}

/* The buffer is complete. */
static void finish_jumbo(struct afxdp *s, struct afxdp_queue *q, struct afxdp_handed *ret)
{
	ret->packet.data = s->jumbo_area + (size_t)q->jumbo * s->group->jumbo_bytes;
	ret->packet.caplen = q->jumbo_bytes;
	ret->place = (struct afxdp_place){ .addr = q->jumbo, .jumbo_source = s->index };
	describe(s, q, &q->jumbo_meta, ret);
	q->jumbo = AFXDP_NO_JUMBO;
}

/* The next packet of a queue: 1; 0: none is complete. */
static int take(struct afxdp *s, struct afxdp_queue *q, struct afxdp_handed *ret)
{
	memset(ret, 0, sizeof(*ret));
	while (afxdp_queue__peek(q)) {
		const struct xdp_desc *desc;
		bool goes_on, is_part = q->jumbo != AFXDP_NO_JUMBO || q->is_jumbo_lost;

		/* buffers come back with what the worker releases: the packet waits in the ring */
		desc = xsk_ring_cons__rx_desc(&q->rx, q->peek_at);
		goes_on = desc->options & XDP_PKT_CONTD;
		if (goes_on && !is_part && s->group->jumbo_bytes && !s->jumbo_free_count)
			return 0;
		desc = afxdp_queue__next(q);
		if (!goes_on && !is_part) {
			struct tl_xdp_meta meta = meta_of(q->area + desc->addr);

			ret->packet.data = q->area + desc->addr;
			ret->packet.caplen = desc->len;
			ret->place = (struct afxdp_place){
				.addr = desc->addr,
				.queue = (uint32_t)(q - s->group->queues),
				.jumbo_source = AFXDP_NO_JUMBO,
			};
			describe(s, q, &meta, ret);
			ret->packet.cookie = meta.owner;
			return 1;
		}
		gather(s, q, desc);
		if (goes_on)
			continue;
		if (q->is_jumbo_lost) {
			q->is_jumbo_lost = false;
			continue;
		}
		finish_jumbo(s, q, ret);
		ret->packet.cookie = q->jumbo_meta.owner;
		return 1;
	}
	return 0;
}

/* A packet for the worker of this source. False: the user-space filter rejects it. */
static bool hand_out(struct afxdp *s, const struct afxdp_handed *handed, struct tl_packet *ret)
{
	if (s->user_filter && !tl_filter__match(s->user_filter, &handed->packet)) {
		recycle_one(s, &handed->place);
		tl_counter_add(&s->user_filtered, 1);
		return false;
	}
	*ret = handed->packet;
	s->inflight[s->inflight_tail & s->inflight_mask] = handed->place;
	s->inflight_tail++;
	return true;
}

static void hand_over(struct afxdp *s, uint32_t to, const struct afxdp_handed *handed)
{
	struct tl_spsc *ring = &s->group->packets[s->index * s->group->source_count + to];
	struct afxdp_handed *slot = tl_spsc__reserve(ring);

	if (!slot) /* cannot be: it has room for all frames */
		return;
	*slot = *handed;
	tl_spsc__push(ring);
}

/* Packets that other sources found in their queues. Count; `ret_left`: there are more. */
static uint32_t receive_handed(struct afxdp *s, struct tl_packet *packets, uint32_t max,
			       bool *ret_left)
{
	const struct afxdp_group *g = s->group;
	uint32_t n = 0;

	*ret_left = false;
	for (uint32_t from = 0; g->packets && from < g->source_count; from++) {
		struct tl_spsc *ring = &g->packets[from * g->source_count + s->index];
		struct afxdp_handed *handed;

		if (from == s->index)
			continue;
		while (n < max && (handed = tl_spsc__front(ring))) {
			n += hand_out(s, handed, &packets[n]);
			tl_spsc__pop(ring);
		}
		*ret_left |= tl_spsc__front(ring) != NULL;
	}
	return n;
}

/* The own queue whose next packet is oldest, or NULL. */
static struct afxdp_queue *oldest_queue(struct afxdp *s)
{
	struct afxdp_group *g = s->group;
	struct afxdp_queue *found = NULL;
	uint64_t oldest = UINT64_MAX;

	if (g->queue_count <= g->source_count) /* one queue: no need to look at the packet */
		return s->index < g->queue_count && afxdp_queue__peek(&g->queues[s->index])
			       ? &g->queues[s->index]
			       : NULL;
	for (uint32_t i = s->index; i < g->queue_count; i += g->source_count) {
		struct afxdp_queue *q = &g->queues[i];
		uint64_t time_ns;

		if (!afxdp_queue__peek(q))
			continue;
		if (q->jumbo != AFXDP_NO_JUMBO || q->is_jumbo_lost)
			return q;
		time_ns =
			meta_of(q->area + xsk_ring_cons__rx_desc(&q->rx, q->peek_at)->addr).time_ns;
		if (time_ns < oldest) {
			oldest = time_ns;
			found = q;
		}
	}
	return found;
}

/* Own queues. Count; those handed over are not counted, but bounded. `ret_read`: packets seen. */
static uint32_t read_queues(struct afxdp *s, struct tl_packet *packets, uint32_t max,
			    uint32_t *ret_read)
{
	const struct afxdp_group *g = s->group;
	uint32_t n = 0, read = 0;
	struct afxdp_queue *q;
	struct afxdp_handed handed;

	while (n < max && read < TL_BATCH_MAX && (q = oldest_queue(s)) && take(s, q, &handed)) {
		uint32_t to = (uint32_t)(handed.packet.cookie % g->source_count);

		handed.packet.cookie = 0;
		read++;
		tl_counter_add(&q->taken, 1);
		tl_counter_add(&q->captured_bytes, handed.packet.caplen);
		q->last_ts_ns = handed.packet.ts_ns;
		if (to == s->index)
			n += hand_out(s, &handed, &packets[n]);
		else
			hand_over(s, to, &handed);
	}
	*ret_read = read;
	return n;
}

/* --- progress, waking, waiting --------------------------------------------------------------- */

static bool queues_are_empty(struct afxdp *s)
{
	for (uint32_t i = s->index; i < s->group->queue_count; i += s->group->source_count)
		if (afxdp_queue__peek(&s->group->queues[i]))
			return false;
	return true;
}

/* `before_ns` was read before the queues were looked at. */
static void note_progress(struct afxdp *s, uint64_t before_ns, uint32_t read)
{
	uint64_t progress = before_ns - QUIET_MARGIN_NS;

	if (read && !queues_are_empty(s)) {
		for (uint32_t i = s->index; i < s->group->queue_count;
		     i += s->group->source_count) {
			const struct afxdp_queue *q = &s->group->queues[i];

			if (q->peeked && q->last_ts_ns - ORDER_MARGIN_NS < progress)
				progress = q->last_ts_ns - ORDER_MARGIN_NS;
		}
	} else if (!queues_are_empty(s)) {
		return;
	}
	if (progress > s->progress_ns)
		tl_store_release(&s->progress_ns, progress);
}

static uint64_t slowest_progress(const struct afxdp *s)
{
	uint64_t slowest = UINT64_MAX;

	for (uint32_t i = 0; i < s->group->source_count; i++) {
		const struct afxdp *other = s->group->sources[i];
		uint64_t progress = other ? tl_load_acquire(&other->progress_ns) : UINT64_MAX;

		if (progress < slowest)
			slowest = progress;
	}
	return slowest;
}

static void wake_others(struct afxdp *s)
{
	const struct afxdp_group *g = s->group;
	const uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	for (uint32_t to = 0; to < g->source_count; to++) {
		struct afxdp *other = g->sources[to];
		const struct tl_spsc *ring = &g->packets[s->index * g->source_count + to];

		if (to == s->index || !other ||
		    tl_load_relaxed(&ring->tail) == tl_load_relaxed(&ring->head))
			continue;
		if (__atomic_load_n(&other->is_waiting, __ATOMIC_SEQ_CST) &&
		    write(other->wake_fd, &one, sizeof(one)) < 0)
			continue; /* the counter is full: it is awake enough */
	}
}

/* After stop: nothing is left here once every source has emptied its queues. */
static bool all_drained(const struct afxdp *s)
{
	for (uint32_t i = 0; i < s->group->source_count; i++)
		if (s->group->sources[i] && !tl_load_acquire(&s->group->sources[i]->drained))
			return false;
	return true;
}

static void take_new_filter(struct afxdp *s)
{
	struct tl_filter *filter;

	if (!tl_load_relaxed(&s->new_filter))
		return;
	filter = __atomic_exchange_n(&s->new_filter, NULL, __ATOMIC_ACQ_REL);
	if (filter) {
		tl_filter__destroy(s->user_filter);
		s->user_filter = filter;
	}
}

static bool link_is_up(const struct afxdp_group *g)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, g->interface, sizeof(request.ifr_name) - 1);
	return !ioctl(g->control_fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
}

/* Now and then: is the interface up, and did the sockets drop anything? */
static void check(struct afxdp *s, uint32_t packet_count)
{
	uint64_t now = (uint64_t)clock_ns(CLOCK_MONOTONIC), drops = 0;

	if (now < s->next_check_ns)
		return;
	s->next_check_ns = now + (packet_count ? BUSY_CHECK_NS : QUIET_CHECK_NS);
	if (!packet_count) {
		s->is_down = !link_is_up(s->group);
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

static uint32_t poll_once(struct afxdp *s, struct tl_packet *packets, uint32_t max)
{
	const struct afxdp_group *g = s->group;
	uint64_t before_ns, slowest;
	uint32_t n, read;
	bool left;

	recycle(s);
	s->tai_offset_ns = tai_offset();
	before_ns = (uint64_t)clock_ns(CLOCK_REALTIME);
	slowest = slowest_progress(s); /* before the rings: what it covers is in them */
	n = receive_handed(s, packets, max, &left);
	n += read_queues(s, packets + n, max - n, &read);
	submit_all(s);
	note_progress(s, before_ns, read);
	check(s, read);
	if (n && s->lost_before) {
		packets[0].flags |= TL_PACKET_AFTER_LOSS;
		packets[0].lost_before = s->lost_before;
		s->lost_before = 0;
	}
	if (g->source_count == 1)
		slowest = s->progress_ns;
	else if (s->progress_ns < slowest)
		slowest = s->progress_ns;
	if (!left && slowest != UINT64_MAX && slowest > s->watermark_ns)
		tl_store_relaxed(&s->watermark_ns, slowest);
	if (g->packets && read)
		wake_others(s);
	if (!read && tl_load_acquire(&g->stopped) && queues_are_empty(s))
		tl_store_release(&s->drained, 1);
	return n;
}

int afxdp_read__poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct afxdp *s = (struct afxdp *)source;
	const struct timespec pause = { .tv_nsec = 1000000 };
	uint32_t n;

	take_new_filter(s);
	n = poll_once(s, packets, max);
	/* the others may still find packets of ours */
	for (int i = 0; !n && i < DRAIN_WAITS && tl_load_acquire(&s->group->stopped); i++) {
		bool was_drained = all_drained(s);

		n = poll_once(s, packets, max);
		if (n || was_drained)
			break;
		nanosleep(&pause, NULL);
	}
	if (!n && s->is_down)
		return -ENETDOWN;
	return (int)n;
}

static bool has_handed(struct afxdp *s)
{
	const struct afxdp_group *g = s->group;

	for (uint32_t from = 0; g->packets && from < g->source_count; from++)
		if (from != s->index &&
		    tl_spsc__front(&g->packets[from * g->source_count + s->index]))
			return true;
	return false;
}

int afxdp_read__wait(struct tl_source *source, int timeout_ms)
{
	struct afxdp *s = (struct afxdp *)source;
	const struct afxdp_group *g = s->group;
	struct pollfd entries[AFXDP_QUEUES_MAX + 1];
	nfds_t count = 0;
	uint64_t ignored;
	int rc = 0;

	for (uint32_t i = s->index; i < g->queue_count; i += g->source_count)
		entries[count++] =
			(struct pollfd){ .fd = xsk_socket__fd(g->queues[i].xsk), .events = POLLIN };
	if (s->wake_fd >= 0)
		entries[count++] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
	__atomic_store_n(&s->is_waiting, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!has_handed(s) && queues_are_empty(s) && poll(entries, count, timeout_ms) < 0)
		rc = -errno;
	__atomic_store_n(&s->is_waiting, 0, __ATOMIC_SEQ_CST);
	if (rc)
		return rc;
	if (s->wake_fd >= 0 && entries[count - 1].revents & POLLIN &&
	    read(s->wake_fd, &ignored, sizeof(ignored)) < 0)
		return 0;
	if (entries[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		s->next_check_ns = 0;
	return 0;
}
