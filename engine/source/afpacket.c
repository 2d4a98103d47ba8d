/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of an interface through AF_PACKET: see afpacket.h for the parts and the threads, and
 * tapline/source.h for the contract.
 *
 * Set-up, so that neither a foreign nor an unfiltered packet is ever received:
 *
 *   socket without protocol ─ reject all ─ ring ─ bind ─ join the fanout group ─ (all sockets so
 *   far?) ─ the real filter
 *
 * The interface's life, as poll sees it (checked every 100 ms, and when the socket says POLLERR):
 *
 *            down                     removed
 *     UP ──────────► DOWN      UP, DOWN ──────► GONE
 *        ◄────────── (same              ▲           │ an interface of that name is there again:
 *            up       index)            └─ wait ────┤ a lone socket is bound to it (same ring);
 *                                                   └ one of a fanout group is replaced by a spare
 *
 * Re-opening needs no capability: binding never does, and the spare sockets were opened at the
 * start. The kernel links a socket to its interface again by itself when that comes up.
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "afpacket.h"
#include "tapline/atomic.h"
#include "tapline/link.h"

#define BLOCK_TIMEOUT_MS 4
#define QUIET_MARGIN_NS	 (10 * NS_PER_MS) /* a timer of the kernel may be late */
#define ORDER_MARGIN_NS	 NS_PER_MS	  /* CPUs stamp before they queue up for the ring */
#define MODE_BYTES	 128

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void raise_watermark(struct afpacket *s, uint64_t ns)
{
	if (ns > s->watermark_ns)
		tl_store_relaxed(&s->watermark_ns, ns);
}

/* --- the interface comes and goes -------------------------------------------------------- */

static int take_spare(struct afpacket *s)
{
	for (size_t i = 0; i < SPARE_SOCKETS; i++) {
		int fd = s->spares[i];

		s->spares[i] = -1;
		if (fd >= 0)
			return fd;
	}
	return afpacket_ring__socket();
}

/* A bound socket that has joined its group and still rejects everything. */
static int open_ring(struct afpacket *s, int fd, uint32_t ifindex, struct afpacket_ring *ret_ring)
{
	const int one = 1;
	struct afpacket_ring ring;
	int err = afpacket_ring__create(fd, &s->ring_opts, &ring);

	if (err) {
		close(fd);
		return err;
	}
	if (s->ignore_outgoing &&
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)))
		err = -errno;
	if (!err)
		err = afpacket_ring__bind(fd, ifindex, s->promiscuous);
	if (!err && s->queue_count > 1)
		err = afpacket_group__join(s->group, s, fd, ifindex);
	if (err)
		afpacket_ring__destroy(&ring);
	else
		*ret_ring = ring;
	return err;
}

/* Called under the lock. */
static int replace_ring(struct afpacket *s, uint32_t ifindex)
{
	struct afpacket_ring ring;
	int fd, err;

	if (s->retired.fd >= 0) /* the one before the last is still borrowed */
		return -EBUSY;
	fd = take_spare(s);
	err = fd < 0 ? fd : open_ring(s, fd, ifindex, &ring);
	if (err)
		return err;
	afpacket_losses__restart(&s->losses);
	s->retired = s->ring;
	s->retired_end = s->handed;
	s->ring = ring;
	return afpacket_filter__attach(s, ring.fd);
}

static int reopen(struct afpacket *s, uint32_t ifindex)
{
	int err;

	pthread_mutex_lock(&s->lock);
	afpacket__collect(s);
	if (s->stopped)
		err = -ENETDOWN;
	else if (s->queue_count > 1)
		err = replace_ring(s, ifindex);
	else
		err = afpacket_ring__bind(s->ring.fd, ifindex, s->promiscuous);
	if (!err) {
		s->ifindex = ifindex;
		s->totals.nic_last = 0;
		(void)tl_link__nic_drops(s->name, &s->totals.nic_last);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

/* True when it exists and is up; `ret_index` 0 when it does not exist. */
static bool look(const struct afpacket *s, uint32_t *ret_index)
{
	struct ifreq request = { 0 };

	*ret_index = if_nametoindex(s->name);
	if (!*ret_index)
		return false;
	memcpy(request.ifr_name, s->name, sizeof(request.ifr_name));
	return !ioctl(s->ring.fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;
}

/* Called when nothing is queued. 0 or -ENETDOWN. */
static int check_link(struct afpacket *s, uint64_t now)
{
	uint32_t ifindex;
	bool up;

	if (now < s->next_check_ns)
		return s->link_down ? -ENETDOWN : 0;
	s->next_check_ns = now + LINK_CHECK_NS;
	up = look(s, &ifindex);
	s->link_gone |= ifindex != s->ifindex;
	if (up && s->link_gone && now >= s->next_reopen_ns) {
		s->next_reopen_ns = now + REOPEN_NS;
		if (!reopen(s, ifindex))
			s->link_gone = false;
	}
	s->link_down = !up || s->link_gone;
	return s->link_down ? -ENETDOWN : 0;
}

/* --- operations -------------------------------------------------------------------------- */

static void take_new_filter(struct afpacket *s)
{
	struct tl_filter *filter;

	if (!tl_load_relaxed(&s->new_filter))
		return;
	filter = __atomic_exchange_n(&s->new_filter, NULL, __ATOMIC_ACQ_REL); /* F1 */
	if (filter) {
		tl_filter__destroy(s->user_filter);
		s->user_filter = filter;
	}
}

/* After stop the last block is closed by the kernel's timer: wait for it. */
static uint32_t drain(struct afpacket *s, struct tl_packet *packets, uint32_t max)
{
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	uint32_t n = 0;

	if (!s->drain_until_ns)
		s->drain_until_ns = now + DRAIN_NS;
	while (!n && now < s->drain_until_ns && afpacket__outstanding(s)) {
		nanosleep(&pause, NULL);
		afpacket__recycle(s);
		n = afpacket__read(s, packets, max);
		now = now_ns(CLOCK_MONOTONIC);
	}
	return n;
}

static int poll_packets(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct afpacket *s = (struct afpacket *)source;
	uint64_t wall;
	uint32_t n;

	take_new_filter(s);
	afpacket__recycle(s);
	n = afpacket__read(s, packets, max);
	if (!n) {
		wall = now_ns(CLOCK_REALTIME);
		/* looked at after the clock: what is queued later has a later time */
		if (afpacket__empty(s))
			raise_watermark(s,
					wall - QUIET_MARGIN_NS - s->block_timeout_ms * NS_PER_MS);
		n = drain(s, packets, max);
	}
	if (n) {
		s->last_ts_ns = packets[n - 1].ts_ns;
		raise_watermark(s, s->last_ts_ns - ORDER_MARGIN_NS);
		return (int)n;
	}
	return check_link(s, now_ns(CLOCK_MONOTONIC));
}

static int wait_packets(struct tl_source *source, int timeout_ms)
{
	struct afpacket *s = (struct afpacket *)source;
	struct pollfd entry = { .fd = s->ring.fd, .events = POLLIN };
	const struct timespec pause = { .tv_nsec = NS_PER_MS };
	socklen_t length = sizeof(int);
	int pending;

	if (afpacket__ready(s) || s->ring.left || !timeout_ms)
		return 0;
	if (poll(&entry, 1, timeout_ms) < 0)
		return -errno;
	if (entry.revents & POLLERR) {
		/* reading the error clears it; what it means, the next poll finds out */
		(void)getsockopt(entry.fd, SOL_SOCKET, SO_ERROR, &pending, &length);
		s->next_check_ns = 0;
	} else if (entry.revents && !afpacket__ready(s)) {
		/* the kernel says "readable" as long as we hold the last block: do not spin */
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int fill_percent(struct tl_source *source)
{
	return afpacket_ring__fill_percent(&((struct afpacket *)source)->ring);
}

static uint64_t watermark(struct tl_source *source)
{
	return tl_load_relaxed(&((struct afpacket *)source)->watermark_ns);
}

static void destroy(struct tl_source *source)
{
	struct afpacket *s = (struct afpacket *)source;

	afpacket_ring__destroy(&s->ring);
	afpacket_ring__destroy(&s->retired);
	for (size_t i = 0; i < SPARE_SOCKETS; i++)
		if (s->spares[i] >= 0)
			close(s->spares[i]);
	if (s->program_fd >= 0)
		close(s->program_fd);
	if (s->map_fd >= 0)
		close(s->map_fd);
	tl_filter__destroy(s->user_filter);
	tl_filter__destroy(s->new_filter);
	afpacket_group__release(s->group);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct tl_source_ops operations = {
	.name = "afpacket",
	.poll = poll_packets,
	.wait = wait_packets,
	.watermark = watermark,
	.stats = afpacket__stats,
	.stop = afpacket__stop,
	.set_filter = afpacket_filter__replace,
	.fill_percent = fill_percent,
	.destroy = destroy,
};

/* --- creation ---------------------------------------------------------------------------- */

static int fail(struct tl_error *ret_error, int err, const char *name, const char *doing)
{
	char names[160];

	switch (err) {
	case -ENODEV:
		tl_link__list(names, sizeof(names));
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%.15s: no such interface; interfaces here: %s", name, names);
		break;
	case -ENETDOWN:
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: the interface is down; bring it up: ip link set %s up", name, name);
		break;
	case -EPERM:
	case -EACCES:
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: %s needs CAP_NET_RAW; run it as root, or give it the capability: "
			 "setcap cap_net_raw,cap_net_admin,cap_bpf+ep tapline",
			 name, doing);
		break;
	case -ENOMEM:
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: no memory for %s; ask for a smaller buffer with -B KIB", name, doing);
		break;
	default:
		snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s: %s", name, doing,
			 strerror(-err));
	}
	return err;
}

static int check_opts(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
		      struct tl_link_info *ret_link)
{
	int err = tl_link__read(opts->interface, ret_link);

	if (err)
		return fail(ret_error, err, opts->interface, "reading the interface");
	if (!ret_link->up)
		return fail(ret_error, -ENETDOWN, opts->interface, "");
	if (!ret_link->linktype) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: packets of its link layer (ARPHRD %u) cannot be recorded",
			 opts->interface, ret_link->arp_type);
		return -EOPNOTSUPP;
	}
	if (opts->sample > 1 || opts->sample_flows > 1 || opts->headers_only ||
	    opts->cutoff_bytes) {
		snprintf(ret_error->what, sizeof(ret_error->what),
			 "%s: sampling, --headers-only and --cutoff need the XDP program; "
			 "use --backend afxdp",
			 opts->interface);
		return -EOPNOTSUPP;
	}
	return 0;
}

static struct afpacket *allocate(const struct tl_source_live_opts *opts,
				 const struct tl_link_info *link, uint32_t queue)
{
	struct afpacket *s = aligned_alloc(TL_CACHE_LINE, sizeof(*s));

	if (!s)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->base.ops = &operations;
	s->base.interface = opts->interface_index;
	s->base.queue = queue;
	memcpy(s->name, link->name, sizeof(s->name));
	s->ifindex = link->ifindex;
	s->linktype = link->linktype;
	s->snaplen = opts->snaplen ? opts->snaplen : TL_SNAPLEN_DEFAULT;
	s->queue_count = opts->queue_count ? opts->queue_count : 1;
	s->block_timeout_ms = opts->block_timeout_ms ? opts->block_timeout_ms : BLOCK_TIMEOUT_MS;
	s->promiscuous = opts->promiscuous;
	/* a packet of the loopback is sent and received: once is enough */
	s->ignore_outgoing = opts->ignore_outgoing || link->arp_type == 772;
	s->ring_opts = (struct afpacket_ring_opts){
		.bytes = opts->buffer_bytes,
		.speed_bps = link->bus[0] ? link->speed_bps : 0,
		.sockets = s->queue_count,
		.interfaces = opts->interface_count,
		.snaplen = s->snaplen,
		.block_timeout_ms = s->block_timeout_ms,
		.numa_node = opts->numa_node,
	};
	s->ring.fd = s->retired.fd = s->map_fd = s->program_fd = -1;
	memset(s->spares, 0xff, sizeof(s->spares));
	s->losses.first = UINT64_MAX;
	pthread_mutex_init(&s->lock, NULL);
	(void)tl_link__nic_drops(s->name, &s->totals.nic_last);
	return s;
}

static int set_up(struct afpacket *s, const struct tl_source_live_opts *opts,
		  struct tl_error *ret_error)
{
	int fd = afpacket_ring__socket();
	int err;

	if (fd < 0)
		return fail(ret_error, fd, s->name, "capturing");
	err = open_ring(s, fd, s->ifindex, &s->ring);
	if (err)
		return fail(ret_error, err, s->name, "the receive ring");
	err = afpacket_filter__prepare(s, opts->filter);
	if (err)
		return fail(ret_error, err, s->name, "the filter program");
	for (size_t i = 0; i < SPARE_SOCKETS && s->queue_count > 1; i++)
		s->spares[i] = afpacket_ring__socket();
	return 0;
}

static void describe_mode(const struct afpacket *s, char *ret_mode)
{
	uint32_t kib = s->ring.block_bytes / 1024;
	int at = snprintf(ret_mode, MODE_BYTES, "TPACKET_V3, %u blocks of %u %s",
			  s->ring.block_count, kib >= 1024 ? kib / 1024 : kib,
			  kib >= 1024 ? "MiB" : "KiB");

	if (s->queue_count > 1)
		at += snprintf(ret_mode + at, MODE_BYTES - (size_t)at, ", %s over %u sockets",
			       s->group->program_fd >= 0 ? "eBPF fanout"
							 : "hash fanout (fragments may part)",
			       s->queue_count);
	if (s->program_fd < 0)
		snprintf(ret_mode + at, MODE_BYTES - (size_t)at,
			 ", filter in user space (eBPF refused)");
}

static void destroy_all(struct tl_source **sources, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		tl_source__destroy(sources[i]);
		sources[i] = NULL;
	}
}

static int create_all(const struct tl_source_live_opts *opts, const struct tl_link_info *link,
		      struct tl_error *ret_error, struct tl_source **sources)
{
	uint32_t count = opts->queue_count ? opts->queue_count : 1;
	uint32_t made = 0;
	struct afpacket_group *group;
	int err = afpacket_group__create(link->linktype == TL_LINKTYPE_ETHERNET, count, &group);

	memset(sources, 0, count * sizeof(*sources));
	if (err)
		return fail(ret_error, err, opts->interface, "its sockets");
	while (made < count && !err) {
		struct afpacket *s = allocate(opts, link, made);

		if (!s) {
			err = fail(ret_error, -ENOMEM, opts->interface, "its sockets");
			break;
		}
		s->group = group;
		sources[made++] = &s->base;
		err = set_up(s, opts, ret_error);
	}
	/* the shares of those that were never made */
	for (uint32_t i = made; i < count; i++)
		afpacket_group__release(group);
	return err;
}

int tl_source_afpacket__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			       char *ret_mode, struct tl_source **ret_sources)
{
	uint32_t count = opts->queue_count ? opts->queue_count : 1;
	struct tl_link_info link;
	int err = check_opts(opts, ret_error, &link);

	if (err)
		return err;
	err = create_all(opts, &link, ret_error, ret_sources);
	for (uint32_t i = 0; i < count && !err; i++) {
		struct afpacket *s = (struct afpacket *)ret_sources[i];

		err = afpacket_filter__attach(s, s->ring.fd);
		if (err)
			fail(ret_error, err, opts->interface, "the filter program");
	}
	if (err) {
		destroy_all(ret_sources, count);
		return err;
	}
	describe_mode((const struct afpacket *)ret_sources[0], ret_mode);
	return 0;
}
