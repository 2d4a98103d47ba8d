/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AF_PACKET behind the XDP program: for where samples are wanted and AF_XDP is not.
 *
 *    NIC queue ─► XDP program: filter · sample · cut off ─ drops the rest, and counts it
 *                      │ XDP_PASS
 *                      ▼
 *                  the stack makes a packet of it ─► AF_PACKET socket (afpacket.c) ─► poll
 *
 * Each source is a shell around one of AF_PACKET's, and the group has the program. What is kept is
 * counted twice, by the program and by the socket's own filter; what is lost on the way between the
 * two is the kernel's.
 *
 * Order at the start: program attached, keeping nothing ─ sockets ─ it keeps. At the end: it keeps
 * nothing ─ sockets stop ─ it is taken off. So there is neither a packet that met no program nor
 * one that was kept for no socket.
 *
 * When the interface comes back after it was removed, the program is attached to it before the
 * socket is bound to it: whichever source sees it first does that.
 *
 * Not here: --headers-only. What the program cuts off is gone for the stack, the wire length too.
 */
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tapline/filter.h"
#include "xdp_fit.h"
#include "xdp_program.h"

#define CHECK_NS   50000000ull
#define MODE_BYTES 128

struct reduced_group {
	pthread_mutex_t lock; /* guards all that follows */
	struct tl_xdp_program *program;
	struct tl_source **inner; /* owned array; borrowed sources, NULL when destroyed */
	uint32_t source_count;
	uint32_t live;
	uint32_t queue_count;
	uint32_t ifindex; /* that the program is attached to */
	enum tl_xdp_mode xdp;
	bool is_stopped;
	int control_fd; /* for asking about the interface */
	char interface[TL_IFNAME_MAX];
};

struct reduced {
	struct tl_source base;
	struct tl_source *inner; /* owned */
	struct reduced_group *group;
	uint64_t next_check_ns; /* CLOCK_MONOTONIC */
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Another interface has the name: the program goes there. What fails is tried again. */
static void follow(struct reduced_group *g)
{
	struct ifreq request = { 0 };
	struct tl_error ignored;
	uint32_t ifindex;
	bool is_native;

	memcpy(request.ifr_name, g->interface, IFNAMSIZ - 1);
	if (ioctl(g->control_fd, SIOCGIFINDEX, &request))
		return;
	ifindex = (uint32_t)request.ifr_ifindex;
	pthread_mutex_lock(&g->lock);
	if (!g->is_stopped && ifindex != g->ifindex && !tl_xdp_program__move(g->program, ifindex) &&
	    !tl_xdp_program__attach(g->program, g->xdp, &ignored, &is_native))
		g->ifindex = ifindex;
	pthread_mutex_unlock(&g->lock);
}

static int poll_packets(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct reduced *s = (struct reduced *)source;
	uint64_t now = monotonic_ns();
	int n;

	if (now >= s->next_check_ns) {
		s->next_check_ns = now + CHECK_NS;
		follow(s->group);
	}
	tl_store_release(&s->inner->released, tl_load_acquire(&s->base.released));
	n = tl_source__poll(s->inner, packets, max);
	return n;
}

static int wait_packets(struct tl_source *source, int timeout_ms)
{
	struct tl_source *inner = ((struct reduced *)source)->inner;

	return inner->ops->wait(inner, timeout_ms);
}

static uint64_t watermark(struct tl_source *source)
{
	struct tl_source *inner = ((struct reduced *)source)->inner;

	return inner->ops->watermark(inner);
}

static int fill_percent(struct tl_source *source)
{
	struct tl_source *inner = ((struct reduced *)source)->inner;

	return inner->ops->fill_percent ? inner->ops->fill_percent(inner) : 0;
}

/* What the program counted, on all queues. */
static int count_all(const struct reduced_group *g, struct tl_xdp_count *ret_sum)
{
	struct tl_xdp_count sum = { 0 };

	for (uint32_t i = 0; i <= g->queue_count; i++) {
		struct tl_xdp_count one;
		int err = tl_xdp_program__stats(g->program, i, &one);

		if (err)
			return err;
		sum.bytes += one.bytes;
		sum.filtered += one.filtered;
		sum.sampled_out += one.sampled_out;
		sum.cut_off += one.cut_off;
		sum.kept += one.kept;
	}
	*ret_sum = sum;
	return 0;
}

/* The program's account, which goes to the first source. */
static int add_program_stats(const struct reduced_group *g, struct tl_source_stats *sum)
{
	struct tl_source_stats one;
	struct tl_xdp_count count;
	uint64_t seen = 0, bytes = 0;
	int err = count_all(g, &count);

	for (uint32_t i = 0; i < g->source_count && !err; i++) {
		if (!g->inner[i])
			continue;
		err = g->inner[i]->ops->stats(g->inner[i], &one);
		seen += one.received - one.dropped.nic;
		bytes += one.received_bytes;
	}
	if (err)
		return err;
	sum->filtered += count.filtered;
	sum->sampled_out += count.sampled_out;
	sum->cut_off += count.cut_off;
	sum->received += count.filtered + count.sampled_out + count.cut_off;
	if (count.bytes > bytes)
		sum->received_bytes += count.bytes - bytes;
	/* while packets flow some are on their way */
	if (g->is_stopped && count.kept > seen) {
		sum->dropped.kernel += count.kept - seen;
		sum->received += count.kept - seen;
	}
	return 0;
}

static int stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct reduced *s = (struct reduced *)source;
	struct tl_source_stats sum;
	int err = s->inner->ops->stats(s->inner, &sum);

	if (!err && s->inner == s->group->inner[0]) {
		pthread_mutex_lock(&s->group->lock);
		err = add_program_stats(s->group, &sum);
		pthread_mutex_unlock(&s->group->lock);
	}
	if (!err)
		*ret_stats = sum;
	return err;
}

/* One stop is a stop of the interface. */
static int stop(struct tl_source *source)
{
	struct reduced_group *g = ((struct reduced *)source)->group;
	int err = 0;

	pthread_mutex_lock(&g->lock);
	if (!g->is_stopped) {
		(void)tl_xdp_program__keep(g->program, false);
		for (uint32_t i = 0; i < g->source_count; i++)
			if (g->inner[i] && g->inner[i]->ops->stop(g->inner[i]))
				err = -EIO;
		tl_xdp_program__detach(g->program);
		g->is_stopped = true;
	}
	pthread_mutex_unlock(&g->lock);
	return err;
}

static int set_filter(struct tl_source *source, const struct tl_filter *filter)
{
	struct reduced_group *g = ((struct reduced *)source)->group;
	int err;

	pthread_mutex_lock(&g->lock);
	err = tl_xdp_program__set_filter(g->program, filter);
	pthread_mutex_unlock(&g->lock);
	return err;
}

static void destroy_group(struct reduced_group *g)
{
	tl_xdp_program__destroy(g->program);
	if (g->control_fd >= 0)
		close(g->control_fd);
	pthread_mutex_destroy(&g->lock);
	free(g->inner);
	free(g);
}

static void destroy(struct tl_source *source)
{
	struct reduced *s = (struct reduced *)source;
	struct reduced_group *g = s->group;

	if (s->inner)
		stop(source);
	for (uint32_t i = 0; i < g->source_count; i++)
		if (g->inner[i] == s->inner)
			g->inner[i] = NULL;
	tl_source__destroy(s->inner);
	free(s);
	if (!--g->live)
		destroy_group(g);
}

static const struct tl_source_ops operations = {
	.name = "afpacket",
	.poll = poll_packets,
	.wait = wait_packets,
	.watermark = watermark,
	.stats = stats,
	.stop = stop,
	.set_filter = set_filter,
	.fill_percent = fill_percent,
	.destroy = destroy,
};

/* --- creation ---------------------------------------------------------------------------- */

static int fail(struct tl_error *ret_error, int err, const char *name, const char *why)
{
	snprintf(ret_error->what, sizeof(ret_error->what), "%s: %s", name, why);
	return err;
}

static struct reduced_group *allocate_group(const struct tl_source_live_opts *opts,
					    const struct tl_link_info *link)
{
	struct reduced_group *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	pthread_mutex_init(&g->lock, NULL);
	g->source_count = opts->queue_count ? opts->queue_count : 1;
	g->queue_count = link->rx_queues ? link->rx_queues : 1;
	g->ifindex = link->ifindex;
	g->xdp = opts->xdp;
	snprintf(g->interface, sizeof(g->interface), "%s", opts->interface);
	g->control_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	g->inner = calloc(g->source_count, sizeof(struct tl_source *));
	if (g->inner && g->control_fd >= 0)
		return g;
	destroy_group(g);
	return NULL;
}

/* Loaded, with the filter, attached, and keeping nothing yet. */
static int start_program(struct reduced_group *g, const struct tl_source_live_opts *opts,
			 struct tl_error *ret_error, bool *ret_is_native)
{
	const struct tl_xdp_program_opts program_opts = {
		.interface = opts->interface,
		.ifindex = g->ifindex,
		.queue_count = g->queue_count,
		.sample = opts->sample,
		.sample_flows = opts->sample_flows,
		.cutoff_bytes = opts->cutoff_bytes,
		.passes = true,
	};
	int err = tl_xdp_program__create(&program_opts, ret_error, &g->program);

	if (err)
		return err;
	if (opts->filter && tl_xdp_program__set_filter(g->program, opts->filter))
		return fail(ret_error, -EOPNOTSUPP, opts->interface, XDP_FIT_FILTER_FIRST);
	return tl_xdp_program__attach(g->program, opts->xdp, ret_error, ret_is_native);
}

/* Shells around the sockets' sources, which `sources` has. */
static int wrap_sources(struct reduced_group *g, struct tl_source **sources)
{
	for (uint32_t i = 0; i < g->source_count; i++) {
		struct reduced *s = aligned_alloc(TL_CACHE_LINE, sizeof(*s));

		if (!s)
			return -ENOMEM;
		memset(s, 0, sizeof(*s));
		s->base.ops = &operations;
		s->base.interface = sources[i]->interface;
		s->base.queue = sources[i]->queue;
		s->inner = sources[i];
		s->group = g;
		g->inner[i] = sources[i];
		g->live++;
		sources[i] = &s->base;
	}
	return 0;
}

static int create_sources(struct reduced_group *g, const struct tl_source_live_opts *opts,
			  struct tl_error *ret_error, struct tl_source **sources)
{
	struct tl_source_live_opts inner_opts = *opts;
	char mode[MODE_BYTES];
	int err;

	inner_opts.filter = NULL;
	inner_opts.sample = inner_opts.sample_flows = 0;
	inner_opts.cutoff_bytes = 0;
	inner_opts.ignore_outgoing = 1; /* no XDP program sees those */
	err = tl_source_afpacket__create(&inner_opts, ret_error, mode, sources);
	if (err)
		return err;
	err = wrap_sources(g, sources);
	if (!err)
		err = tl_xdp_program__keep(g->program, true);
	if (!err)
		return 0;
	for (uint32_t i = 0; i < g->source_count; i++)
		tl_source__destroy(sources[i]);
	return fail(ret_error, err, opts->interface, "no memory for its sockets");
}

int tl_source_reduced__create(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
			      char *ret_mode, struct tl_source **ret_sources)
{
	struct tl_link_info link;
	struct reduced_group *g;
	bool is_native = false;
	int err = xdp_fit__check(opts, ret_error, &link);

	if (err)
		return err;
	if (opts->headers_only)
		return fail(ret_error, -EOPNOTSUPP, opts->interface,
			    "--headers-only needs AF_XDP; with --backend afpacket, -s BYTES cuts");
	g = allocate_group(opts, &link);
	if (!g)
		return fail(ret_error, -ENOMEM, opts->interface, "no memory for XDP");
	err = start_program(g, opts, ret_error, &is_native);
	if (err) {
		destroy_group(g);
		return err;
	}
	g->live++; /* ours, until all are made */
	err = create_sources(g, opts, ret_error, ret_sources);
	if (!--g->live)
		destroy_group(g);
	if (!err)
		snprintf(ret_mode, MODE_BYTES, "TPACKET_V3 behind an XDP program, %s, %u %s",
			 is_native ? "native" : "generic", g->source_count,
			 g->source_count == 1 ? "socket" : "sockets");
	return err;
}
