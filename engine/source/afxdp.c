/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets of an interface through AF_XDP: see afxdp.h for the parts and the threads,
 * tapline/source.h for the contract, bpf/xdp_capture.bpf.c for what the kernel side does.
 *
 * Set-up, so that no packet is received that has nowhere to go and none unfiltered:
 *
 *   program loaded ─ filter ─ sockets of all queues, frames offered ─ sockets in the map ─ attach
 *
 * The sources share all receive queues of the interface: source i of n has the queues i, i + n, …
 * Where the NIC does not say that both directions of a flow come to one queue, packets are handed
 * over to the source that owns the flow (afxdp_read.c).
 *
 * The accounting closes: what the program redirected is either taken out of a ring, still in it, or
 * counted by the socket as dropped. After stop what is missing in that sum is counted as the
 * kernel's.
 *
 * Promiscuous mode is asked for by a packet socket that receives nothing: it ends with the process.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "afxdp.h"
#include "tapline/filter.h"
#include "tapline/link.h"
#include "xdp_fit.h"

#define MODE_BYTES     128
#define FRAMES_DEFAULT 65536u /* 128 MiB: 4 ms of a 10 Gbit/s link's smallest packets */
#define FRAMES_MIN     2048u
#define FRAMES_LEAST   512u /* where no more memory may be locked */
#define CLOSING_NS     30000000
#define CLOSING_TRIES  20
#define FRAMES_MAX     (1u << 19)

/* --- operations ---------------------------------------------------------------------------- */

static uint64_t watermark(struct tl_source *source)
{
	return tl_load_relaxed(&((struct afxdp *)source)->watermark_ns);
}

static int add_queue_stats(const struct afxdp *s, const struct afxdp_queue *q,
			   struct tl_source_stats *sum)
{
	struct xdp_statistics drops;
	struct tl_xdp_count count;
	uint64_t empty, lost = tl_load_relaxed(&q->lost), taken;
	int err = afxdp_queue__drops(q, &drops);

	if (!err)
		err = tl_xdp_program__stats(s->group->program, q->index, &count);
	if (err)
		return err;
	/* A packet without a frame is counted twice: as dropped, and by the fill ring. */
	empty = drops.rx_fill_ring_empty_descs;
	if (empty > drops.rx_dropped)
		empty = drops.rx_dropped;
	sum->received += tl_xdp_count__received(&count);
	sum->received_bytes += count.bytes;
	sum->filtered += count.filtered;
	sum->sampled_out += count.sampled_out;
	sum->cut_off += count.cut_off;
	sum->dropped.ring_full += drops.rx_ring_full;
	sum->dropped.fill_empty += empty;
	sum->dropped.kernel +=
		drops.rx_dropped - empty + count.no_socket + count.no_metadata + lost;
	sum->captured += count.kept - drops.rx_ring_full - drops.rx_dropped - lost;
	if (!tl_load_acquire(&s->drained))
		return 0;
	/* All that was to come has come. */
	taken = tl_load_relaxed(&q->taken);
	lost += drops.rx_ring_full + drops.rx_dropped + taken;
	if (count.kept > lost) {
		sum->dropped.kernel += count.kept - lost;
		sum->captured -= count.kept - lost;
	}
	return 0;
}

/* The NIC's drops, and what came on queues that were added after the start. */
static int add_interface_stats(struct afxdp_group *g, struct tl_source_stats *sum)
{
	struct tl_xdp_count beyond;
	uint64_t now;
	int err = tl_xdp_program__stats(g->program, g->queue_count, &beyond);

	if (err)
		return err;
	sum->received += tl_xdp_count__received(&beyond);
	sum->received_bytes += beyond.bytes;
	sum->filtered += beyond.filtered;
	sum->sampled_out += beyond.sampled_out;
	sum->cut_off += beyond.cut_off;
	sum->dropped.kernel += beyond.no_socket + beyond.no_metadata;
	if (!tl_link__nic_drops(g->interface, &now)) {
		/* a counter that went back is a new interface's */
		g->nic_drops += now >= g->nic_last ? now - g->nic_last : now;
		g->nic_last = now;
	}
	sum->dropped.nic = g->nic_drops;
	sum->received += g->nic_drops;
	return 0;
}

static int stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct afxdp *s = (struct afxdp *)source;
	struct afxdp_group *g = s->group;
	struct tl_source_stats sum = { 0 };
	uint64_t user_filtered = tl_load_relaxed(&s->user_filtered);
	int err = 0;

	pthread_mutex_lock(&g->lock);
	for (uint32_t i = s->index; i < g->queue_count && !err; i += g->source_count)
		err = add_queue_stats(s, &g->queues[i], &sum);
	if (!err && !s->index) /* what belongs to no queue goes to one of the sources */
		err = add_interface_stats(g, &sum);
	pthread_mutex_unlock(&g->lock);
	if (err)
		return err;
	sum.filtered += user_filtered;
	sum.captured -= user_filtered;
	sum.captured_bytes = tl_load_relaxed(&s->captured_bytes);
	*ret_stats = sum;
	return 0;
}

/* One stop is a stop of the interface: the program is taken off. */
static int stop(struct tl_source *source)
{
	struct afxdp_group *g = ((struct afxdp *)source)->group;

	pthread_mutex_lock(&g->lock);
	if (!g->stopped) {
		tl_xdp_program__detach(g->program);
		tl_store_release(&g->stopped, 1);
	}
	pthread_mutex_unlock(&g->lock);
	return 0;
}

/* A filter that keeps everything (NULL), or a copy of one; owned by the caller. */
static int copy_filter(const struct tl_filter *filter, struct tl_filter **ret_copy)
{
	const struct sock_filter *insns;
	size_t count;

	if (!filter || tl_filter__expression(filter)[0])
		return tl_filter__compile(filter ? tl_filter__expression(filter) : "",
					  TL_LINKTYPE_ETHERNET, TL_SNAPLEN_DEFAULT, NULL, ret_copy);
	insns = tl_filter__classic(filter, &count);
	return tl_filter__from_classic(insns, count, TL_LINKTYPE_ETHERNET, ret_copy);
}

/* For each source's poll to take. */
static int offer_user_filter(struct afxdp_group *g, const struct tl_filter *filter)
{
	for (uint32_t i = 0; i < g->source_count; i++) {
		struct afxdp *s = g->sources[i];
		struct tl_filter *copy;
		int err = copy_filter(filter, &copy);

		if (err)
			return err;
		tl_filter__destroy(__atomic_exchange_n(&s->new_filter, copy, __ATOMIC_ACQ_REL));
	}
	return 0;
}

/*
 * -EOPNOTSUPP: it cannot run in the kernel, and something in the kernel would have to come after
 * it.
 *
 * In the kernel; where that is not possible any more (capabilities were given up) or not at all (a
 * filter too long for the verifier), in user space. For all sources of the interface at once.
 */
static int set_filter(struct tl_source *source, const struct tl_filter *filter)
{
	struct afxdp_group *g = ((struct afxdp *)source)->group;
	int err;

	pthread_mutex_lock(&g->lock);
	err = tl_xdp_program__set_filter(g->program, filter);
	if (!err) {
		err = offer_user_filter(g, NULL);
	} else if (g->filters_first) {
		err = -EOPNOTSUPP;
	} else {
		/* the other way round: both filters, then the new one */
		err = offer_user_filter(g, filter);
		if (!err)
			err = tl_xdp_program__set_filter(g->program, NULL);
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}

static int fill_percent(struct tl_source *source)
{
	const struct afxdp *s = (const struct afxdp *)source;
	int most = 0;

	for (uint32_t i = s->index; i < s->group->queue_count; i += s->group->source_count) {
		int percent = afxdp_queue__fill_percent(&s->group->queues[i]);

		if (percent > most)
			most = percent;
	}
	return most;
}

static void destroy_rings(struct afxdp_group *g)
{
	for (uint32_t i = 0; g->packets && i < g->source_count * g->source_count; i++)
		tl_spsc__fini(&g->packets[i]);
	for (uint32_t i = 0; g->returns && i < g->source_count * g->source_count; i++)
		tl_spsc__fini(&g->returns[i]);
	free(g->packets);
	free(g->returns);
}

static void destroy_group(struct afxdp_group *g)
{
	tl_xdp_program__destroy(g->program);
	for (uint32_t i = 0; g->queues && i < g->queue_count; i++)
		afxdp_queue__destroy(&g->queues[i]);
	destroy_rings(g);
	if (g->promiscuous_fd >= 0)
		close(g->promiscuous_fd);
	if (g->control_fd >= 0)
		close(g->control_fd);
	pthread_mutex_destroy(&g->lock);
	free(g->queues);
	free(g->sources);
	free(g);
}

static void free_source(struct afxdp *s)
{
	if (s->wake_fd >= 0)
		close(s->wake_fd);
	tl_filter__destroy(s->user_filter);
	tl_filter__destroy(s->new_filter);
	free(s->inflight);
	free(s->jumbo_area);
	free(s->jumbo_free);
	free(s);
}

/* Others may still hold packets of this source: its memory goes with the last one. */
static void destroy(struct tl_source *source)
{
	struct afxdp_group *g = ((struct afxdp *)source)->group;

	stop(source);
	tl_store_release(&((struct afxdp *)source)->drained, 1);
	if (--g->live)
		return;
	for (uint32_t i = 0; i < g->source_count; i++)
		if (g->sources[i])
			free_source(g->sources[i]);
	destroy_group(g);
}

static const struct tl_source_ops operations = {
	.name = "afxdp",
	.poll = afxdp_read__poll,
	.wait = afxdp_read__wait,
	.watermark = watermark,
	.stats = stats,
	.stop = stop,
	.set_filter = set_filter,
	.fill_percent = fill_percent,
	.destroy = destroy,
};

static int fail(struct tl_error *ret_error, int err, const char *name, const char *why)
{
	snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s", name, why);
	return err;
}

/* --- creation ------------------------------------------------------------------------------ */

/*
 * By the buffer asked for; else as many as a sixteenth of the memory holds, for all queues. All of
 * it is zeroed and pinned at the start, so several queues, which share the packets, have half each.
 */
static uint32_t frame_count(const struct tl_source_live_opts *opts, uint32_t queues,
			    uint32_t frame_bytes)
{
	uint64_t wanted = opts->buffer_bytes / frame_bytes;
	uint64_t most = FRAMES_MAX;
	uint32_t count = FRAMES_MIN;
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	if (!opts->buffer_bytes) {
		wanted = queues > 1 ? FRAMES_DEFAULT / 2 : FRAMES_DEFAULT;
		most = pages > 0 && page > 0
			       ? (uint64_t)pages * (uint64_t)page / 16 / frame_bytes / queues
			       : FRAMES_MIN;
	}
	while (count < wanted && count * 2ull <= most && count < FRAMES_MAX)
		count *= 2;
	return count;
}

/* More memory may be locked, as far as this process may say so. */
static void raise_lock_limit(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit limit;

	if (!setrlimit(RLIMIT_MEMLOCK, &none) || getrlimit(RLIMIT_MEMLOCK, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_MEMLOCK, &limit);
}

static struct afxdp_group *allocate_group(const struct tl_source_live_opts *opts,
					  const struct tl_link_info *link)
{
	struct afxdp_group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->source_count = opts->queue_count ? opts->queue_count : 1;
	g->queue_count = link->rx_queues ? link->rx_queues : 1;
	/* Ethernet header and four tags on top of the MTU */
	g->frame_bytes = link->mtu + 30 > AFXDP_FRAME_SMALL - AFXDP_FRAME_HEAD ? AFXDP_FRAME_LARGE
									       : AFXDP_FRAME_SMALL;
	g->frame_count = frame_count(opts, g->queue_count, g->frame_bytes);
	g->snaplen = opts->snaplen ? opts->snaplen : TL_SNAPLEN_DEFAULT;
	g->promiscuous_fd = -1;
	g->ifindex = link->ifindex;
	g->xdp = opts->xdp;
	g->filters_first = opts->sample > 1 || opts->cutoff_bytes;
	g->control_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(g->interface, sizeof(g->interface), "%s", opts->interface);
	if (link->mtu + 30 > AFXDP_FRAME_LARGE - AFXDP_FRAME_HEAD)
		g->jumbo_bytes = (link->mtu + 30 + 63) & ~63u;
	pthread_mutex_init(&g->lock, NULL);
	g->queues = calloc(g->queue_count, sizeof(*g->queues));
	g->sources = calloc(g->source_count, sizeof(struct afxdp *));
	if (g->queues && g->sources)
		return g;
	g->queue_count = 0;
	destroy_group(g);
	return NULL;
}

static int ask_promiscuous(struct afxdp_group *g, uint32_t ifindex)
{
	g->promiscuous_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	return g->promiscuous_fd < 0 ? -errno : afxdp_life__promiscuous(g, ifindex);
}

static int create_rings(struct afxdp_group *g, uint32_t frames)
{
	uint64_t room =
		(uint64_t)frames * ((g->queue_count + g->source_count - 1) / g->source_count);
	uint64_t elements = FRAMES_MIN;
	uint32_t pairs = g->source_count * g->source_count;

	if (g->jumbo_bytes)
		room += AFXDP_JUMBO_COUNT;
	while (elements < room)
		elements *= 2;
	g->packets = calloc(pairs, sizeof(*g->packets));
	g->returns = calloc(pairs, sizeof(*g->returns));
	if (!g->packets || !g->returns)
		return -ENOMEM;
	for (uint32_t i = 0; i < pairs; i++) {
		if (tl_spsc__init(&g->packets[i], elements, sizeof(struct afxdp_handed)) ||
		    tl_spsc__init(&g->returns[i], elements, sizeof(struct afxdp_place)))
			return -ENOMEM;
	}
	return 0;
}

static int create_queue(struct afxdp_group *g, const struct tl_source_live_opts *opts,
			uint32_t index)
{
	const struct afxdp_queue_opts queue_opts = {
		.interface = g->interface,
		.index = index,
		.frame_count = g->frame_count,
		.frame_bytes = g->frame_bytes,
		.numa_node = opts->numa_node,
		.is_generic = opts->xdp == TL_XDP_GENERIC,
		.busy_poll = opts->busy_poll,
	};
	struct afxdp_queue *q = &g->queues[index];
	int err = afxdp_queue__create(q, &queue_opts);

	if (err)
		return err;
	q->source = index % g->source_count;
	q->ifindex = g->ifindex;
	return xsk_socket__update_xskmap(q->xsk, tl_xdp_program__sockets_fd(g->program));
}

/* All queues with as many frames each, or none; `ret_failed`: the one that could not be made. */
static int try_queues(struct afxdp_group *g, const struct tl_source_live_opts *opts,
		      uint32_t *ret_failed)
{
	int err = 0;

	for (uint32_t i = 0; i < g->queue_count && !err; i++) {
		err = create_queue(g, opts, i);
		*ret_failed = i;
	}
	for (uint32_t i = 0; i < g->queue_count && err; i++)
		afxdp_queue__destroy(&g->queues[i]);
	return err;
}

/* The same again: what was closed the kernel takes off its queue, and off the limit, later. */
static int try_queues_again(struct afxdp_group *g, const struct tl_source_live_opts *opts,
			    uint32_t *ret_failed)
{
	const struct timespec pause = { .tv_nsec = CLOSING_NS };
	int err = try_queues(g, opts, ret_failed);

	for (int i = 0; i < CLOSING_TRIES &&
			(err == -EBUSY || (err == -ENOBUFS && g->frame_count <= FRAMES_LEAST));
	     i++) {
		nanosleep(&pause, NULL);
		err = try_queues(g, opts, ret_failed);
	}
	return err;
}

/* With fewer frames where there is no memory for them, unless they were asked for. */
static int create_queues(struct afxdp_group *g, const struct tl_source_live_opts *opts,
			 struct tl_error *ret_error)
{
	char text[160];
	uint32_t failed;
	int err = try_queues(g, opts, &failed);

	if (err == -ENOBUFS) {
		raise_lock_limit();
		err = try_queues_again(g, opts, &failed);
	}
	while ((err == -ENOBUFS || err == -ENOMEM) && !opts->buffer_bytes &&
	       g->frame_count > FRAMES_LEAST) {
		g->frame_count /= 2;
		err = try_queues_again(g, opts, &failed);
	}
	for (uint32_t i = 0; i < g->queue_count && !err; i++)
		afxdp_queue__prepare_spares(&g->queues[i]);
	if (!err)
		return 0;
	snprintf(text, sizeof(text), "AF_XDP socket of queue %u: %s%s", failed, strerror(-err),
		 err == -EBUSY	   ? " (another program has it)"
		 : err == -ENOBUFS ? " (memory that may be locked: raise ulimit -l)"
		 : err == -ENOMEM  ? " (ask for a smaller buffer with -B KIB)"
		 : err == -EPERM   ? " (it takes CAP_NET_RAW: run it as root)"
		 : err == -EINVAL  ? " (the interface has no such queue)"
				   : "");
	return fail(ret_error, err == -EINVAL ? -EOPNOTSUPP : err, opts->interface, text);
}

static int create_sources(struct afxdp_group *g, const struct tl_source_live_opts *opts)
{
	for (uint32_t i = 0; i < g->source_count; i++) {
		struct afxdp *s = aligned_alloc(TL_CACHE_LINE, sizeof(*s));

		if (!s)
			return -ENOMEM;
		memset(s, 0, sizeof(*s));
		s->base.ops = &operations;
		s->base.interface = opts->interface_index;
		s->base.queue = i;
		s->group = g;
		s->index = i;
		s->ifindex = g->ifindex;
		s->wake_fd = -1;
		g->sources[i] = s;
		g->live++;
		if (afxdp_read__prepare(s))
			return -ENOMEM;
		if (g->source_count == 1)
			continue;
		s->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (s->wake_fd < 0)
			return -errno;
	}
	return 0;
}

/* Everything but attaching. */
static int create_all(struct afxdp_group *g, const struct tl_source_live_opts *opts,
		      const struct tl_link_info *link, struct tl_error *ret_error)
{
	const struct tl_xdp_program_opts program_opts = {
		.interface = opts->interface,
		.ifindex = link->ifindex,
		.queue_count = g->queue_count,
		.snaplen = g->snaplen,
		.sample = opts->sample,
		.sample_flows = opts->sample_flows,
		.cutoff_bytes = opts->cutoff_bytes,
		.headers_only = opts->headers_only,
		.has_owner = g->source_count > 1,
	};
	int err;

	if (g->source_count > AFXDP_SOURCES_MAX)
		return fail(ret_error, -EOPNOTSUPP, opts->interface, "at most 64 AF_XDP workers");
	if (g->queue_count > AFXDP_QUEUES_MAX)
		return fail(ret_error, -EOPNOTSUPP, opts->interface,
			    "more receive queues than AF_XDP sockets are opened for (128); "
			    "set fewer with ethtool -L");
	err = tl_xdp_program__create(&program_opts, ret_error, &g->program);
	if (!err)
		err = create_queues(g, opts, ret_error);
	if (err)
		return err;
	err = create_sources(g, opts);
	if (!err && g->source_count > 1)
		err = create_rings(g, frame_count(opts, g->queue_count, g->frame_bytes));
	if (!err && opts->promiscuous)
		err = ask_promiscuous(g, link->ifindex);
	if (!err && opts->filter)
		err = set_filter(&g->sources[0]->base, opts->filter);
	if (err == -EOPNOTSUPP && g->filters_first)
		return fail(ret_error, -EOPNOTSUPP, opts->interface, XDP_FIT_FILTER_FIRST);
	return err ? fail(ret_error, err, opts->interface, strerror(-err)) : 0;
}

static void describe_mode(const struct afxdp_group *g, bool is_native, char *ret_mode)
{
	bool is_zero_copy = true, has_user_filter = false;

	for (uint32_t i = 0; i < g->queue_count; i++)
		is_zero_copy &= g->queues[i].is_zero_copy;
	for (uint32_t i = 0; i < g->source_count; i++) {
		const struct tl_filter *offered = g->sources[i]->new_filter;

		has_user_filter |= offered && !tl_filter__keeps_all(offered);
	}
	snprintf(ret_mode, MODE_BYTES, "AF_XDP, %s, %s, %u %s, %u frames each%s%s",
		 is_native ? "native" : "generic", is_zero_copy ? "zero copy" : "copy",
		 g->queue_count, g->queue_count == 1 ? "queue" : "queues", g->queues[0].frame_count,
		 g->source_count > 1 ? ", flows handed over" : "",
		 has_user_filter ? ", filter in user space" : "");
}

int tl_source_afxdp__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			    char *ret_mode, struct tl_source **ret_sources)
{
	struct tl_link_info link;
	struct afxdp_group *g;
	bool is_native = false;
	int err = xdp_fit__check(opts, ret_error, &link);

	if (err)
		return err;
	g = allocate_group(opts, &link);
	if (!g)
		return fail(ret_error, -ENOMEM, opts->interface, "no memory for AF_XDP");
	(void)tl_link__nic_drops(g->interface, &g->nic_last);
	err = create_all(g, opts, &link, ret_error);
	if (!err)
		err = tl_xdp_program__attach(g->program, opts->xdp, ret_error, &is_native);
	if (err) {
		for (uint32_t i = 0; i < g->source_count; i++)
			if (g->sources[i])
				free_source(g->sources[i]);
		destroy_group(g);
		return err;
	}
	for (uint32_t i = 0; i < g->source_count; i++)
		ret_sources[i] = &g->sources[i]->base;
	describe_mode(g, is_native, ret_mode);
	return 0;
}
