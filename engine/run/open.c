/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens what a run reads from: interfaces (link facts, offloads, filter, sockets) or files.
 * Sources of a live run are laid out interface by interface, worker by worker, so that source
 * i belongs to worker i % worker_count: each worker has one socket of every interface, and a flow
 * whose directions come in on two interfaces meets in one worker.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "run.h"
#include "tapline/topology.h"

#define READERS_MAX  8u		 /* workers that share files, unless --workers says more */
#define READER_BYTES (16u << 20) /* for less, another one is not worth its start */

static int fail(struct tl_error *ret_error, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct tl_error *ret_error, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(ret_error->what, sizeof(ret_error->what), format, args);
	va_end(args);
	return err;
}

static int describe(struct tl_engine *engine, uint32_t index, struct tl_error *ret_error)
{
	const struct tl_engine_opts *o = &engine->opts;
	struct tl_interface *interface = &engine->interfaces[index];
	const char *name = o->interfaces[index];
	struct tl_link_info info;
	char names[160];
	int err = tl_link__read(name, &info);

	if (err == -ENODEV) {
		tl_link__list(names, sizeof(names));
		return fail(ret_error, err, "%.32s: no such interface; interfaces here: %s", name,
			    names);
	}
	if (err)
		return fail(ret_error, err, "%.32s: cannot be looked at: %s", name, strerror(-err));
	if (!info.up)
		return fail(ret_error, -ENETDOWN,
			    "%s: the interface is down; bring it up with: ip link set %s up", name,
			    name);
	snprintf(interface->name, sizeof(interface->name), "%s", name);
	snprintf(interface->filter, sizeof(interface->filter), "%s", o->filter ? o->filter : "");
	interface->snaplen = o->snaplen ? o->snaplen : TL_SNAPLEN_DEFAULT;
	interface->linktype = info.linktype;
	interface->tsresol = 9;
	interface->speed_bps = info.speed_bps;
	engine->numa_node[index] = info.numa_node;
	memcpy(interface->mac, info.mac, sizeof(interface->mac));
	interface->has_mac = info.linktype == TL_LINKTYPE_ETHERNET;
	if (interface->linktype != engine->interfaces[0].linktype)
		return fail(ret_error, -EINVAL,
			    "%s and %s have different link types, and a file holds one; "
			    "capture them apart",
			    engine->interfaces[0].name, name);
	return 0;
}

/* One worker unless the interfaces have several queues and there are cores to spare for them. */
static uint32_t choose_workers(const struct tl_engine *engine)
{
	int cpus[TL_CPU_MAX];
	uint32_t cores = tl_topology__cpus(cpus, TL_CPU_MAX);
	uint32_t queues = 1;

	if (engine->opts.workers)
		return engine->opts.workers;
	for (uint32_t i = 0; i < engine->opts.interface_count; i++) {
		struct tl_link_info info;

		if (!tl_link__read(engine->opts.interfaces[i], &info) && info.rx_queues > queues)
			queues = info.rx_queues;
	}
	if (cores / 2 < queues)
		queues = cores / 2 ? cores / 2 : 1;
	return queues > 8 ? 8 : queues;
}

static int guard_offloads(struct tl_engine *engine, uint32_t index, bool has_xdp,
			  struct tl_error *ret_error)
{
	char note[256] = "";
	int err;

	/* AF_PACKET puts a stripped VLAN tag back; XDP never sees it. */
	err = tl_link_guard__create(engine->interfaces[index].name, !has_xdp, ret_error, note,
				    &engine->guards[index]);
	if (note[0])
		engine__note(engine, "%s", note);
	return err;
}

typedef int create_fn(const struct tl_source_live_opts *, struct tl_error *, char *,
		      struct tl_source **);

static int open_interface(struct tl_engine *engine, uint32_t index, create_fn *create,
			  struct tl_error *ret_error)
{
	const struct tl_engine_opts *o = &engine->opts;
	char mode[128] = "";
	struct tl_source_live_opts opts = {
		.interface = engine->interfaces[index].name,
		.interface_index = index,
		.interface_count = o->interface_count,
		.queue_count = engine->worker_count,
		.snaplen = engine->interfaces[index].snaplen,
		.buffer_bytes = o->buffer_bytes,
		.promiscuous = o->promiscuous,
		.ignore_outgoing = o->ignore_outgoing,
		.numa_node = engine->numa_node[index],
		.filter = tl_filter__keeps_all(engine->filter) ? NULL : engine->filter,
		.xdp = o->xdp,
		.sample = o->sample,
		.sample_flows = o->sample_flows,
		.headers_only = o->headers_only,
		.cutoff_bytes = o->cutoff_bytes,
		.busy_poll = o->busy_poll,
	};
	int err = guard_offloads(engine, index, create != tl_source_afpacket__create, ret_error);

	if (!err)
		err = create(&opts, ret_error, mode, &engine->sources[engine->source_count]);
	if (err)
		return err;
	engine->source_count += engine->worker_count;
	if (!index)
		snprintf(engine->mode, sizeof(engine->mode), "%s", mode);
	return 0;
}

static int open_with(struct tl_engine *engine, const char *backend, create_fn *create,
		     struct tl_error *ret_error)
{
	int err = 0;

	engine->backend = backend;
	for (uint32_t i = 0; i < engine->opts.interface_count && !err; i++)
		err = open_interface(engine, i, create, ret_error);
	if (err)
		engine__close_sources(engine);
	return err;
}

/* What only the XDP program can do: AF_PACKET alone would take every packet whole. */
static bool needs_xdp(const struct tl_engine_opts *o)
{
	return o->sample > 1 || o->sample_flows > 1 || o->headers_only || o->cutoff_bytes;
}

/* Why not AF_XDP: the first interface for which it is not right speaks for all. */
static bool afxdp_suits(const struct tl_engine *engine, char ret_why[TL_WHY_BYTES])
{
	for (uint32_t i = 0; i < engine->opts.interface_count; i++)
		if (!tl_source_afxdp__suits(engine->interfaces[i].name, ret_why))
			return false;
	return true;
}

static void add_reason(struct tl_engine *engine, const char *why)
{
	size_t at = strlen(engine->mode);

	snprintf(engine->mode + at, sizeof(engine->mode) - at, "; %s", why);
}

/* The fastest that works, with the reason: AF_XDP, else AF_PACKET. */
static int open_fastest(struct tl_engine *engine, struct tl_error *ret_error)
{
	struct tl_error error = { "" };
	char why[TL_WHY_BYTES] = "";
	int err;

	if (engine->opts.xdp == TL_XDP_OFF) {
		snprintf(why, sizeof(why), "XDP is ruled out by --xdp off");
	} else if (afxdp_suits(engine, why)) {
		err = open_with(engine, "afxdp", tl_source_afxdp__create, &error);
		if (!err) {
			add_reason(engine, "the fastest here: nobody else uses the interface");
			return 0;
		}
		engine__note(engine, "AF_PACKET instead of AF_XDP: %.220s", error.what);
		snprintf(why, sizeof(why), "AF_XDP was refused, see the notes");
	}
	err = open_with(engine, "afpacket", tl_source_afpacket__create, ret_error);
	if (!err)
		add_reason(engine, why);
	return err;
}

/* What needs the XDP program: with AF_XDP, else in front of AF_PACKET. */
static int open_reduced(struct tl_engine *engine, struct tl_error *ret_error)
{
	struct tl_error error = { "" };
	int err = open_with(engine, "afxdp", tl_source_afxdp__create, ret_error);

	if (!err || open_with(engine, "afpacket", tl_source_reduced__create, &error))
		return err;
	engine__note(engine, "AF_PACKET instead of AF_XDP: %.220s", ret_error->what);
	ret_error->what[0] = '\0';
	return 0;
}

static int open_backend(struct tl_engine *engine, struct tl_error *ret_error)
{
	enum tl_backend backend = engine->opts.backend;
	bool reduces = needs_xdp(&engine->opts);

	if (backend == TL_BACKEND_AFXDP)
		return open_with(engine, "afxdp", tl_source_afxdp__create, ret_error);
	if (backend == TL_BACKEND_AFPACKET)
		return open_with(engine, "afpacket",
				 reduces ? tl_source_reduced__create : tl_source_afpacket__create,
				 ret_error);
	return reduces ? open_reduced(engine, ret_error) : open_fastest(engine, ret_error);
}

int engine__open_live(struct tl_engine *engine, struct tl_error *ret_error)
{
	const struct tl_engine_opts *o = &engine->opts;
	int err = 0;

	if (o->interface_count > TL_INTERFACES_MAX)
		return fail(ret_error, -EINVAL, "-i: at most %d interfaces in one run",
			    TL_INTERFACES_MAX);
	for (uint32_t i = 0; i < o->interface_count; i++) {
		err = describe(engine, i, ret_error);
		if (err)
			return err;
		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(o->interfaces[i], o->interfaces[j]))
				return fail(ret_error, -EINVAL, "-i %s: named twice",
					    o->interfaces[i]);
	}
	err = tl_filter__compile(o->filter, engine->interfaces[0].linktype,
				 engine->interfaces[0].snaplen, ret_error, &engine->filter);
	if (err)
		return err;
	engine->worker_count = choose_workers(engine);
	return open_backend(engine, ret_error);
}

/* Does the program ask for what only a socket knows (direction, interface)? */
static bool needs_interface(const struct tl_filter *filter)
{
	size_t count;
	const struct sock_filter *insns = tl_filter__classic(filter, &count);

	for (size_t i = 0; i < count; i++)
		if (BPF_CLASS(insns[i].code) == BPF_LD && BPF_MODE(insns[i].code) == BPF_ABS &&
		    insns[i].k >= (uint32_t)SKF_AD_OFF)
			return true;
	return false;
}

/*
 * How many workers read the files. One where packets are recorded, or flows told, for these have
 * one order; where a pipe or a compressed file is read, or a stop condition watched; and of small
 * ones, which are done before a second one would be of use.
 */
static uint32_t choose_readers(const struct tl_engine_opts *o)
{
	bool alone = !o->analysis || o->recorder || o->on_flow_end || o->on_flow_begin ||
		     o->on_flow_active || o->census || o->stop.packets || o->stop.duration_ns;
	int cpus[TL_CPU_MAX];
	uint64_t bytes = 0;
	uint32_t most = o->workers;

	for (uint32_t i = 0; i < o->file_count && !alone; i++) {
		uint64_t each = tl_source_file__plain_bytes(o->files[i]);

		alone = !each;
		bytes += each;
	}
	if (alone)
		return 1;
	if (most)
		return most;
	most = tl_topology__cpus(cpus, TL_CPU_MAX);
	if (most > READERS_MAX)
		most = READERS_MAX;
	if (bytes / READER_BYTES < most)
		most = (uint32_t)(bytes / READER_BYTES);
	return most ? most : 1;
}

/* On an error the source is whose it was. */
static int share_files(struct tl_engine *engine, struct tl_source *file)
{
	int err = shared_file__create(file, engine->worker_count, &engine->shared);

	for (uint32_t i = 0; !err && i < engine->worker_count; i++)
		engine->sources[i] = shared_file__port(engine->shared, i);
	if (!err)
		engine->source_count = engine->worker_count;
	return err;
}

static int open_readers(struct tl_engine *engine, const struct tl_source_file_opts *opts,
			struct tl_error *ret_error)
{
	int err = tl_source_file__create(opts, ret_error, &engine->sources[0]);

	engine->worker_count = choose_readers(&engine->opts);
	snprintf(engine->mode, sizeof(engine->mode), "file");
	if (err)
		return err;
	engine->source_count = 1;
	if (engine->worker_count == 1)
		return 0;
	snprintf(engine->mode, sizeof(engine->mode), "file, read by %u workers",
		 engine->worker_count);
	return share_files(engine, engine->sources[0]);
}

int engine__open_files(struct tl_engine *engine, struct tl_error *ret_error)
{
	struct tl_error error = { "" };
	const struct tl_engine_opts *o = &engine->opts;
	struct tl_source_file_opts opts = {
		.paths = o->files,
		.path_count = o->file_count,
		.snaplen = o->snaplen,
	};
	int err;

	engine->backend = "file";
	/* Compiled for Ethernet here so that a bad expression is the call's fault, not the file's.
	 */
	err = tl_filter__compile(o->filter, TL_LINKTYPE_ETHERNET, TL_SNAPLEN_DEFAULT, ret_error,
				 &engine->filter);
	if (err)
		return err;
	opts.filter = tl_filter__keeps_all(engine->filter) ? NULL : engine->filter;
	if (needs_interface(engine->filter))
		return fail(ret_error, -EINVAL,
			    "%.160s: inbound and outbound are known live only; use -i",
			    engine->opts.filter);
	err = open_readers(engine, &opts, &error);
	if (err && err != -EINVAL && o->file_count == 1)
		fail(ret_error, err, "%.120s: %s", o->files[0], error.what);
	else if (err)
		*ret_error = error;
	return err;
}

void engine__close_sources(struct tl_engine *engine)
{
	for (uint32_t i = 0; i < engine->source_count; i++)
		tl_source__destroy(engine->sources[i]);
	engine->source_count = 0;
	shared_file__destroy(engine->shared);
	engine->shared = NULL;
	for (uint32_t i = 0; i < TL_INTERFACES_MAX; i++) {
		tl_link_guard__destroy(engine->guards[i]);
		engine->guards[i] = NULL;
	}
}
