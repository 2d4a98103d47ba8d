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
 * Order: packets are handed out in the order of their time stamps. One queue is in order by itself.
 * Of several, the oldest packet comes first, and while one is empty only what is older than a
 * driver's round: something older cannot come any more. With several sources each packet goes
 * through a ring, the owner's own too; a source's progress is the time up to which it has pushed
 * everything, and that is to an empty ring what the driver's round is to an empty queue. What has
 * been handed out that way is the watermark.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "afxdp.h"
#include "tapline/filter.h"

#define NS_PER_S	    1000000000ll
#define QUEUE_MARGIN_NS	    1000000u /* from the time stamp to the rx ring: a round of the driver */
#define HOLD_MAX_NS	    50000000u /* longest wait for a source that is not polled */
#define HOLD_STEP_NS	    100000
#define PROGRESS_MS	    5
#define BUSY_PAUSE_NS	    1000000
#define BUSY_PAUSE_LEAST_NS 60000 /* a sleep takes that long however short it is */
#define DRAIN_WAITS	    100

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
		     const struct tl_xdp_meta *meta, struct tl_packet *packet)
{
	uint32_t caplen = packet->caplen;

	if (caplen > meta->caplen)
		caplen = meta->caplen;
	if (caplen > s->group->snaplen)
		caplen = s->group->snaplen;
	*packet = (struct tl_packet){
		.data = packet->data,
		.ts_ns = meta->time_ns - (uint64_t)s->tai_offset_ns,
		.caplen = caplen,
		.wirelen = meta->wirelen < caplen ? caplen : meta->wirelen,
		.interface = s->base.interface,
		.queue = q->index,
		.linktype = TL_LINKTYPE_ETHERNET,
		.cookie = meta->owner,
	};
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
static void finish_jumbo(struct afxdp *s, struct afxdp_queue *q, struct tl_packet *ret_packet,
			 struct afxdp_place *ret_place)
{
	ret_packet->data = s->jumbo_area + (size_t)q->jumbo * s->group->jumbo_bytes;
	ret_packet->caplen = q->jumbo_bytes;
	*ret_place = (struct afxdp_place){ .addr = q->jumbo, .jumbo_source = s->index };
	describe(s, q, &q->jumbo_meta, ret_packet);
	q->jumbo = AFXDP_NO_JUMBO;
}

/* A packet in one frame. */
static void take_frame(struct afxdp *s, struct afxdp_queue *q, struct tl_packet *ret_packet,
		       struct afxdp_place *ret_place)
{
	const struct xdp_desc *desc = afxdp_queue__next(q);
	struct tl_xdp_meta meta = meta_of(q->area + desc->addr);

	ret_packet->data = q->area + desc->addr;
	ret_packet->caplen = desc->len;
	*ret_place = (struct afxdp_place){
		.addr = desc->addr,
		.queue = (uint32_t)(q - s->group->queues),
		.jumbo_source = AFXDP_NO_JUMBO,
	};
	describe(s, q, &meta, ret_packet);
}

/* The next packet of a queue: 1; 0: none is complete. Its cookie is the owner. */
static int take(struct afxdp *s, struct afxdp_queue *q, struct tl_packet *ret_packet,
		struct afxdp_place *ret_place)
{
	while (afxdp_queue__peek(q)) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&q->rx, q->peek_at);
		bool goes_on = desc->options & XDP_PKT_CONTD;
		bool is_part = q->jumbo != AFXDP_NO_JUMBO || q->is_jumbo_lost;

		if (!goes_on && !is_part) {
			take_frame(s, q, ret_packet, ret_place);
			return 1;
		}
		/* buffers come back with what the worker releases: the packet waits in the ring */
		if (!is_part && s->group->jumbo_bytes && !s->jumbo_free_count)
			return 0;
		gather(s, q, afxdp_queue__next(q));
		if (goes_on)
			continue;
		if (q->is_jumbo_lost) {
			q->is_jumbo_lost = false;
			continue;
		}
		finish_jumbo(s, q, ret_packet, ret_place);
		return 1;
	}
	return 0;
}

/*
 * A packet for the worker of this source, whose place is the next of the in-flight list. False: the
 * user-space filter rejects it.
 */
static bool hand_out(struct afxdp *s, struct tl_packet *packet)
{
	struct afxdp_place *place = &s->inflight[s->inflight_tail & s->inflight_mask];

	packet->cookie = 0;
	if (s->user_filter && !tl_filter__match(s->user_filter, packet)) {
		recycle_one(s, place);
		tl_counter_add(&s->user_filtered, 1);
		return false;
	}
	tl_counter_add(&s->captured_bytes, packet->caplen);
	s->inflight_tail++;
	return true;
}

/* For the source that owns the flow, maybe this one. */
static void hand_over(struct afxdp *s, uint32_t to, const struct afxdp_handed *handed)
{
	struct tl_spsc *ring = &s->group->packets[s->index * s->group->source_count + to];
	struct afxdp_handed *slot = tl_spsc__reserve(ring);

	if (!slot) /* cannot be: it has room for all frames */
		return;
	*slot = *handed;
	tl_spsc__push(ring);
}

/* --- order --------------------------------------------------------------------------------- */

/* The time of what comes next from a queue that has something. */
static uint64_t head_ns(const struct afxdp *s, const struct afxdp_queue *q)
{
	uint64_t tai;

	if (q->is_jumbo_lost)
		return q->last_ts_ns;
	tai = q->jumbo != AFXDP_NO_JUMBO
		      ? q->jumbo_meta.time_ns
		      : meta_of(q->area + xsk_ring_cons__rx_desc(&q->rx, q->peek_at)->addr).time_ns;
	return tai - (uint64_t)s->tai_offset_ns;
}

/*
 * The own queue to read next: that of the oldest packet, unless an empty queue may still get an
 * older one. Its packets up to `ret_limit` come before all others. NULL: none; in any case
 * everything older than `ret_bound` has been read.
 * `quiet_ns`: what an empty queue may still get is not older than this.
 */
static struct afxdp_queue *next_queue(struct afxdp *s, uint64_t quiet_ns, uint64_t *ret_bound,
				      uint64_t *ret_limit)
{
	struct afxdp_group *g = s->group;
	struct afxdp_queue *found = NULL;
	uint64_t oldest = UINT64_MAX, limit = UINT64_MAX;

	for (uint32_t i = s->index; i < g->queue_count; i += g->source_count) {
		struct afxdp_queue *q = &g->queues[i];
		uint64_t head = quiet_ns;

		if (afxdp_queue__peek(q)) {
			head = head_ns(s, q);
			if (head < oldest || !found) {
				/* what was the oldest is the limit now */
				if (oldest < limit)
					limit = oldest;
				oldest = head;
				found = q;
				continue;
			}
		}
		if (head < limit)
			limit = head;
	}
	*ret_limit = limit;
	*ret_bound = oldest < limit ? oldest : limit;
	return oldest <= limit ? found : NULL;
}

/* Alone: from the queues to the worker. */
static uint32_t read_alone(struct afxdp *s, uint64_t quiet_ns, struct tl_packet *packets,
			   uint32_t max)
{
	uint64_t bound = 0, limit;
	uint32_t n = 0;

	while (n < max) {
		struct afxdp_queue *q = next_queue(s, quiet_ns, &bound, &limit);
		uint32_t before = n, taken = 0;

		while (q && n < max && afxdp_queue__peek(q) && head_ns(s, q) <= limit &&
		       take(s, q, &packets[n], &s->inflight[s->inflight_tail & s->inflight_mask])) {
			q->last_ts_ns = packets[n].ts_ns;
			n += hand_out(s, &packets[n]);
			taken++;
		}
		if (taken)
			tl_counter_add(&q->taken, taken);
		if (!taken && n == before)
			break;
	}
	if (n == max)
		(void)next_queue(s, quiet_ns, &bound, &limit);
	if (bound > s->watermark_ns)
		tl_store_relaxed(&s->watermark_ns, bound);
	return n;
}

/* First half with others: from the queues to the rings of the owners, this one's too. Count. */
static uint32_t distribute(struct afxdp *s, uint64_t quiet_ns)
{
	struct afxdp_handed handed;
	struct afxdp_queue *q;
	uint64_t bound = 0, limit;
	uint32_t read = 0;

	while (read < TL_BATCH_MAX && (q = next_queue(s, quiet_ns, &bound, &limit)) &&
	       take(s, q, &handed.packet, &handed.place)) {
		tl_counter_add(&q->taken, 1);
		q->last_ts_ns = handed.packet.ts_ns;
		hand_over(s, (uint32_t)(handed.packet.cookie % s->group->source_count), &handed);
		read++;
	}
	if (read == TL_BATCH_MAX)
		(void)next_queue(s, quiet_ns, &bound, &limit);
	if (bound > s->progress_ns)
		tl_store_release(&s->progress_ns, bound);
	return read;
}

/* The ring to this source whose first packet is oldest; `from_ns`: what an empty one may get. */
static struct tl_spsc *next_ring(struct afxdp *s, const uint64_t *from_ns, uint64_t *ret_bound)
{
	const struct afxdp_group *g = s->group;
	struct tl_spsc *found = NULL;
	uint64_t oldest = UINT64_MAX, bound = UINT64_MAX;

	for (uint32_t from = 0; from < g->source_count; from++) {
		struct tl_spsc *ring = &g->packets[from * g->source_count + s->index];
		const struct afxdp_handed *handed = tl_spsc__front(ring);

		if (!handed) {
			if (from_ns[from] < bound)
				bound = from_ns[from];
		} else if (handed->packet.ts_ns < oldest) {
			oldest = handed->packet.ts_ns;
			found = ring;
		}
	}
	*ret_bound = oldest < bound ? oldest : bound;
	return oldest <= bound ? found : NULL;
}

/* Second half: from the rings to the worker, oldest first. */
static uint32_t collect(struct afxdp *s, uint64_t hold_until_ns, struct tl_packet *packets,
			uint32_t max)
{
	const struct afxdp_group *g = s->group;
	uint64_t from_ns[AFXDP_SOURCES_MAX], bound = 0;
	struct tl_spsc *ring = NULL;
	uint32_t n = 0;

	/* before the rings are looked at: what it covers is in them */
	for (uint32_t from = 0; from < g->source_count; from++) {
		from_ns[from] = tl_load_acquire(&g->sources[from]->progress_ns);
		if (from_ns[from] < hold_until_ns)
			from_ns[from] = hold_until_ns;
	}
	while (n < max && (ring = next_ring(s, from_ns, &bound))) {
		const struct afxdp_handed *handed = tl_spsc__front(ring);

		packets[n] = handed->packet;
		s->inflight[s->inflight_tail & s->inflight_mask] = handed->place;
		n += hand_out(s, &packets[n]);
		tl_spsc__pop(ring);
	}
	if (n == max)
		(void)next_ring(s, from_ns, &bound);
	if (bound > s->watermark_ns)
		tl_store_relaxed(&s->watermark_ns, bound);
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

static uint32_t poll_once(struct afxdp *s, struct tl_packet *packets, uint32_t max)
{
	const struct afxdp_group *g = s->group;
	uint64_t now_ns, quiet_ns;
	uint32_t n, read;

	recycle(s);
	s->tai_offset_ns = tai_offset();
	/* before the queues: nothing comes after stop */
	now_ns = (uint64_t)clock_ns(CLOCK_REALTIME);
	quiet_ns = tl_load_acquire(&g->stopped) ? UINT64_MAX : now_ns - QUEUE_MARGIN_NS;
	if (g->source_count == 1) {
		n = read = read_alone(s, quiet_ns, packets, max);
	} else {
		read = distribute(s, quiet_ns);
		if (read)
			wake_others(s);
		n = collect(s, now_ns - HOLD_MAX_NS, packets, max);
	}
	s->read_since_wait += read;
	submit_all(s);
	afxdp_life__check(s, read);
	if (n && s->lost_before) {
		packets[0].flags |= TL_PACKET_AFTER_LOSS;
		packets[0].lost_before = s->lost_before;
		s->lost_before = 0;
	}
	if (!read && quiet_ns == UINT64_MAX && queues_are_empty(s))
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
		if (tl_spsc__front(&g->packets[from * g->source_count + s->index]))
			return true;
	return false;
}

static void pause_ns(uint64_t ns)
{
	const struct timespec pause = { .tv_nsec = (long)ns };

	nanosleep(&pause, NULL);
}

/*
 * What a NIC does with interrupts: while packets come, the next look is a moment later and finds
 * many, instead of one wake-up for each. At the rate of the last round an eighth of the memory
 * fills up meanwhile, at most. False: nothing came since the last wait, so the kernel is to wake.
 */
static bool pause_while_busy(struct afxdp *s)
{
	uint64_t now = (uint64_t)clock_ns(CLOCK_MONOTONIC);
	uint64_t passed = now - s->waited_ns, count = s->read_since_wait, ns = BUSY_PAUSE_NS;
	uint64_t room = s->group->frame_count / 8;

	s->waited_ns = now;
	s->read_since_wait = 0;
	if (!count || s->group->queues[0].is_busy_polled)
		return false;
	if (count * ns > room * passed)
		ns = room * passed / count;
	if (ns >= BUSY_PAUSE_LEAST_NS)
		pause_ns(ns);
	return true;
}

int afxdp_read__wait(struct tl_source *source, int timeout_ms)
{
	struct afxdp *s = (struct afxdp *)source;
	const struct afxdp_group *g = s->group;
	struct pollfd entries[AFXDP_QUEUES_MAX + 1] = { 0 };
	nfds_t count = 0;
	uint64_t ignored;
	int rc = 0;

	for (uint32_t i = s->index; i < g->queue_count; i += g->source_count)
		if (g->queues[i].xsk)
			entries[count++] = (struct pollfd){
				.fd = xsk_socket__fd(g->queues[i].xsk),
				.events = POLLIN,
			};
	if (s->wake_fd >= 0) {
		entries[count++] = (struct pollfd){ .fd = s->wake_fd, .events = POLLIN };
		/* the others wait for this one's progress */
		if (timeout_ms < 0 || timeout_ms > PROGRESS_MS)
			timeout_ms = PROGRESS_MS;
	}
	__atomic_store_n(&s->is_waiting, 1, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!pause_while_busy(s)) {
		if (has_handed(s) || !queues_are_empty(s))
			pause_ns(HOLD_STEP_NS); /* something older may still come */
		else if (poll(entries, count, timeout_ms) < 0)
			rc = -errno;
	}
	__atomic_store_n(&s->is_waiting, 0, __ATOMIC_SEQ_CST);
	if (rc)
		return rc;
	if (s->wake_fd >= 0 && entries[count - 1].revents & POLLIN &&
	    read(s->wake_fd, &ignored, sizeof(ignored)) < 0)
		return 0;
	if (count && entries[0].revents & (POLLERR | POLLHUP | POLLNVAL))
		s->next_check_ns = 0;
	return 0;
}
