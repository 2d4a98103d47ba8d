/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file source: a list of files as one source, read one after the other.
 *
 * - Frame numbers begin at 1 in each file, as Wireshark shows them.
 * - A file that breaks off gives what is before that; the next file is read then, and at the end
 *   the first error is told.
 * - One thread polls. Statistics, watermark, interfaces and stop may be used by another:
 *
 * | word              | written by | store   | read by | load    | edge                          |
 * |-------------------|------------|---------|---------|---------|-------------------------------|
 * | table_count       | poll       | release | others  | acquire | the entries below are written |
 * | released (base)   | whoever    | release | poll    | acquire | bytes are read before reuse   |
 * | stopped, counters | one side   | relaxed | others  | relaxed | none: single words            |
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Packets looked at in one poll, so that a filter that keeps none does not hold up the worker. */
#define POLL_BUDGET 65536
#define PATH_SHOWN  60

static struct file_source *file_of(const struct tl_source *source)
{
	return (struct file_source *)(uintptr_t)source;
}

/* --- errors in words ------------------------------------------------------------------------- */

int file_source__broken(struct file_source *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->words, sizeof(f->words), format, args);
	va_end(args);
	return -EBADMSG;
}

int file_source__cut(struct file_source *f, const char *what)
{
	bool pcapng = f->next && !f->record_bytes;

	if (*f->reader.trouble)
		return file_source__broken(f, "%s; %llu packets before that were read",
					   f->reader.trouble, (unsigned long long)f->packets);
	return file_source__broken(
		f,
		"cut off in the middle of %s at byte %llu; all %llu packets before it were read%s",
		what, (unsigned long long)f->reader.offset, (unsigned long long)f->packets,
		pcapng && !f->reader.packing ? "; `tapline repair` makes it whole" : "");
}

/* Only with several files the message has to say which: by the end of its path. */
static void set_error(const struct file_source *f, struct tl_error *error, const char *words)
{
	if (f->path_count > 1) {
		const char *path = f->paths[f->path];
		size_t bytes = strlen(path);

		if (bytes > PATH_SHOWN)
			path += bytes - PATH_SHOWN;
		snprintf(error->what, sizeof(error->what), "%.60s: %.190s", path, words);
	} else
		snprintf(error->what, sizeof(error->what), "%s", words);
}

static void errno_words(struct file_source *f, int err)
{
	snprintf(f->words, sizeof(f->words), "%s", strerror(-err));
}

/* --- interfaces ------------------------------------------------------------------------------ */

/* Interfaces of one section are told apart even when all that is known of them is equal. */
static bool taken_by_section(const struct file_source *f, uint32_t index)
{
	for (uint32_t i = 0; i < f->local_count; i++)
		if (f->locals[i].index == index)
			return true;
	return false;
}

static bool is_same(const struct tl_interface *a, const struct tl_interface *b)
{
	return a->linktype == b->linktype && a->snaplen == b->snaplen &&
	       strcmp(a->name, b->name) == 0;
}

/* When the table is full: any of the same link type, else the last. Packets keep their own type. */
static uint32_t stand_in(const struct file_source *f, const struct tl_interface *interface)
{
	for (uint32_t i = 0; i < f->table_count; i++)
		if (f->table[i].linktype == interface->linktype)
			return i;
	return f->table_count - 1;
}

static uint32_t table_index(struct file_source *f, const struct tl_interface *interface)
{
	for (uint32_t i = 0; i < f->table_count; i++)
		if (is_same(&f->table[i], interface) && !taken_by_section(f, i))
			return i;
	if (f->table_count == TL_INTERFACES_MAX)
		return stand_in(f, interface);
	f->table[f->table_count] = *interface;
	tl_store_release(&f->table_count, f->table_count + 1);
	return f->table_count - 1;
}

static int grow_locals(struct file_source *f)
{
	uint32_t room = f->local_room ? f->local_room * 2 : 4;
	struct file_local *locals;

	if (f->local_count < f->local_room)
		return 0;
	if (f->local_count >= FILE_LOCALS_MAX)
		return file_source__broken(
			f, "damaged at byte %llu: a section with more than %u interfaces",
			(unsigned long long)f->reader.offset, FILE_LOCALS_MAX);
	locals = realloc(f->locals, room * sizeof(*locals));
	if (!locals)
		return -ENOMEM;
	f->locals = locals;
	f->local_room = room;
	return 0;
}

int file_source__add_interface(struct file_source *f, struct tl_interface *interface,
			       int64_t offset_s)
{
	struct file_local *local;
	int err = grow_locals(f);

	if (err)
		return err;
	if (!interface->snaplen || interface->snaplen > TL_SNAPLEN_DEFAULT)
		interface->snaplen = TL_SNAPLEN_DEFAULT;
	local = &f->locals[f->local_count];
	*local = (struct file_local){
		.snaplen = interface->snaplen,
		.linktype = interface->linktype,
		.tsresol = interface->tsresol,
		.offset_s = offset_s,
	};
	if (f->snaplen && interface->snaplen > f->snaplen)
		interface->snaplen = f->snaplen;
	if (f->filter && !tl_filter__keeps_all(f->filter)) {
		/* what is cached inside does not change what the filter means */
		struct tl_filter *filter = (struct tl_filter *)(uintptr_t)f->filter;

		local->filter = tl_filter__for_linktype(filter, interface->linktype);
		local->keep_none = !local->filter;
	}
	local->index = table_index(f, interface);
	f->local_count++;
	return 0;
}

/* --- packets --------------------------------------------------------------------------------- */

int file_source__emit(struct file_source *f, const struct file_local *local,
		      struct tl_packet *packet)
{
	bool keep = !local->keep_none;

	f->packets++;
	packet->frame = ++f->frame;
	packet->interface = f->base.interface + local->index;
	packet->queue = 0;
	packet->linktype = local->linktype;
	packet->cookie = 0;
	/* fewer bytes on the wire than were captured there: the bytes are what is certain */
	if (packet->wirelen < packet->caplen)
		packet->wirelen = packet->caplen;
	f->ts_ns = packet->ts_ns;
	if (packet->ts_ns > f->watermark)
		tl_store_relaxed(&f->watermark, packet->ts_ns);
	tl_counter_add(&f->stats.received, 1);
	tl_counter_add(&f->stats.received_bytes, packet->wirelen);
	if (local->filter)
		keep = tl_filter__match(local->filter, packet);
	if (!keep) {
		tl_counter_add(&f->stats.filtered, 1);
		return 0;
	}
	if (f->snaplen && packet->caplen > f->snaplen)
		packet->caplen = f->snaplen;
	tl_counter_add(&f->stats.captured, 1);
	tl_counter_add(&f->stats.captured_bytes, packet->caplen);
	f->memory.handed++;
	return 1;
}

/* --- one file after the other ---------------------------------------------------------------- */

static int not_a_capture(struct file_source *f, const uint8_t *magic, size_t bytes)
{
	char hex[9] = "";

	for (size_t i = 0; i < bytes && i < 4; i++)
		snprintf(hex + 2 * i, 3, "%02x", magic[i]);
	if (*f->reader.trouble)
		return file_source__broken(f, "%s", f->reader.trouble);
	if (!bytes)
		return file_source__broken(f, "empty: not a pcap or pcapng file");
	return file_source__broken(f, "not a pcap or pcapng file (first bytes %s)%s", hex,
				   f->reader.packing ? ", after decompression" : "");
}

/* 0, -EAGAIN, -ENOBUFS, -ENOMEM, -EBADMSG with words. */
static int begin(struct file_source *f)
{
	int err = file_reader__need(&f->reader, 4);
	size_t have = (size_t)(f->reader.end - f->reader.at);

	if (err == -ENODATA)
		return not_a_capture(f, f->reader.at, have);
	if (err)
		return err;
	f->record_bytes = 0;
	if (file_pcapng__is_magic(f->reader.at))
		return file_pcapng__begin(f);
	if (file_pcap__is_magic(f->reader.at))
		return file_pcap__begin(f);
	return not_a_capture(f, f->reader.at, have);
}

static int open_file(struct file_source *f)
{
	int err;

	if (file_memory__full(&f->memory))
		return -ENOBUFS;
	err = file_reader__open(&f->reader, &f->memory, f->paths[f->path]);
	if (err) {
		errno_words(f, err);
		return err;
	}
	f->is_open = true;
	f->next = NULL;
	f->frame = 0;
	f->packets = 0;
	f->local_count = 0;
	return 0;
}

static void close_file(struct file_source *f)
{
	file_reader__close(&f->reader);
	f->is_open = false;
	f->path++;
	if (f->path == f->path_count) {
		f->ended = true;
		tl_store_relaxed(&f->watermark, UINT64_MAX);
	}
}

static void note_failure(struct file_source *f)
{
	if (!f->failed)
		set_error(f, &f->error, f->words);
	f->failed = true;
}

static bool is_later(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM;
}

/* As `file_next_fn`, over all files: 1, 0, later, or -ENODATA when the last has ended. */
static int next_packet(struct file_source *f, struct tl_packet *packet)
{
	int r = 0;

	if (f->ended)
		return -ENODATA;
	if (!f->is_open)
		r = open_file(f);
	if (!r && !f->next)
		r = begin(f);
	if (!r)
		r = f->next(f, packet);
	if (r >= 0 || is_later(r) || r == -EALREADY)
		return r;
	if (r != -ENODATA)
		note_failure(f);
	close_file(f);
	return f->ended ? -ENODATA : 0;
}

/* --- operations ------------------------------------------------------------------------------ */

static int file_poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct file_source *f = file_of(source);
	uint32_t count = 0;
	int r = 0;

	file_memory__reclaim(&f->memory, tl_load_acquire(&source->released));
	if (tl_load_relaxed(&f->stopped))
		return -ENODATA;
	for (uint32_t i = 0; i < POLL_BUDGET && count < max; i++) {
		r = next_packet(f, &packets[count]);
		if (r < 0)
			break;
		count += (uint32_t)r;
	}
	f->blocked_by_memory = r == -ENOBUFS;
	if (count)
		return (int)count;
	return r == -EAGAIN || r == -ENOBUFS || r >= 0 ? 0 : r;
}

static int file_wait(struct tl_source *source, int timeout_ms)
{
	struct file_source *f = file_of(source);
	struct pollfd ready = { .fd = f->reader.fd, .events = POLLIN };
	bool waits = f->is_open && f->reader.may_block && f->reader.fd >= 0;

	if (f->blocked_by_memory) {
		/* released by another thread, or after this call: look again soon */
		ready.fd = -1;
		timeout_ms = timeout_ms < 0 || timeout_ms > 1 ? 1 : timeout_ms;
	} else if (!waits) {
		return 0;
	}
	return poll(&ready, 1, timeout_ms) < 0 ? -errno : 0;
}

static uint64_t file_watermark(struct tl_source *source)
{
	return tl_load_relaxed(&file_of(source)->watermark);
}

static int file_stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct file_source *f = file_of(source);

	*ret_stats = (struct tl_source_stats){
		.received = tl_load_relaxed(&f->stats.received),
		.filtered = tl_load_relaxed(&f->stats.filtered),
		.captured = tl_load_relaxed(&f->stats.captured),
		.received_bytes = tl_load_relaxed(&f->stats.received_bytes),
		.captured_bytes = tl_load_relaxed(&f->stats.captured_bytes),
		.recorded.nic = tl_load_relaxed(&f->stats.recorded.nic),
		.recorded.kernel = tl_load_relaxed(&f->stats.recorded.kernel),
		.end_ns = tl_load_relaxed(&f->stats.end_ns),
	};
	return 0;
}

static int file_stop(struct tl_source *source)
{
	tl_store_relaxed(&file_of(source)->stopped, 1);
	return 0;
}

static void file_destroy(struct tl_source *source)
{
	struct file_source *f = file_of(source);

	if (f->is_open)
		file_reader__close(&f->reader);
	file_memory__destroy(&f->memory);
	for (size_t i = 0; i < f->path_count; i++)
		free(f->paths[i]);
	free(f->paths);
	free(f->locals);
	free(f);
}

static const struct tl_source_ops file_ops = {
	.name = "file",
	.poll = file_poll,
	.wait = file_wait,
	.watermark = file_watermark,
	.stats = file_stats,
	.stop = file_stop,
	.destroy = file_destroy,
};

/* --- create ---------------------------------------------------------------------------------- */

static int copy_paths(struct file_source *f, const struct tl_source_file_opts *opts)
{
	f->paths = calloc(opts->path_count, sizeof(*f->paths));
	if (!f->paths)
		return -ENOMEM;
	for (size_t i = 0; i < opts->path_count; i++) {
		f->paths[i] = strdup(opts->paths[i]);
		if (!f->paths[i])
			return -ENOMEM;
		f->path_count++;
	}
	return 0;
}

uint64_t tl_source_file__plain_bytes(const char *path)
{
	uint8_t magic[4];
	struct stat st;
	ssize_t n;
	int fd;

	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, magic, sizeof(magic));
	close(fd);
	if (n != sizeof(magic) || file_unpack__detect(magic, sizeof(magic)) != FILE_PLAIN)
		return 0;
	return (uint64_t)st.st_size;
}

/* A later file, which is opened when its turn comes: is it there, and a capture? Pipes are left. */
static int check_file(struct file_source *f)
{
	const char *path = f->paths[f->path];
	struct stat st;
	uint8_t magic[4];
	ssize_t n;
	int fd;

	if (strcmp(path, "-") == 0 || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int err = -errno;

		errno_words(f, err);
		return err;
	}
	n = read(fd, magic, sizeof(magic));
	close(fd);
	if (n == sizeof(magic) && (file_pcap__is_magic(magic) || file_pcapng__is_magic(magic) ||
				   file_unpack__detect(magic, sizeof(magic)) != FILE_PLAIN))
		return 0;
	return not_a_capture(f, magic, n < 0 ? 0 : (size_t)n);
}

static int check_later_files(struct file_source *f)
{
	int err = 0;

	for (f->path = 1; f->path < f->path_count && !err; f->path++)
		err = check_file(f);
	if (err)
		f->path--;
	else
		f->path = 0;
	return err;
}

/* The first file's header, for which a pipe is waited for; and, without waiting, its interfaces. */
static int open_first(struct file_source *f)
{
	struct tl_packet none;
	int err = open_file(f);

	while (!err && !f->next) {
		struct pollfd ready = { .fd = f->reader.fd, .events = POLLIN };

		err = begin(f);
		if (err == -EAGAIN)
			err = poll(&ready, 1, -1) < 0 ? -errno : 0;
	}
	if (err == -EINTR)
		errno_words(f, err);
	if (err)
		return err;
	f->before_packets = true;
	(void)f->next(f, &none);
	f->before_packets = false;
	return 0;
}

int tl_source_file__create(const struct tl_source_file_opts *opts, struct tl_error *ret_error,
			   struct tl_source **ret_source)
{
	struct file_source *f = aligned_alloc(TL_CACHE_LINE, sizeof(*f));
	int err = -ENOMEM;

	if (f) {
		*f = (struct file_source){
			.base = { .ops = &file_ops },
			.filter = opts->filter,
			.snaplen = opts->snaplen,
		};
		errno_words(f, -ENOMEM);
		err = copy_paths(f, opts);
	}
	if (!err && !opts->path_count) {
		file_source__broken(f, "no file to read");
		err = -ENOENT;
	}
	if (!err)
		err = check_later_files(f);
	if (!err)
		err = open_first(f);
	if (!err) {
		*ret_source = &f->base;
		return 0;
	}
	if (f)
		set_error(f, ret_error, err == -ENOMEM ? strerror(ENOMEM) : f->words);
	else
		snprintf(ret_error->what, sizeof(ret_error->what), "%s", strerror(ENOMEM));
	if (f)
		file_destroy(&f->base);
	return err;
}

const struct tl_interface *tl_source_file__interfaces(const struct tl_source *source,
						      uint32_t *ret_count)
{
	const struct file_source *f = file_of(source);

	*ret_count = tl_load_acquire(&f->table_count);
	return f->table;
}

const char *tl_source_file__error(const struct tl_source *source)
{
	const struct file_source *f = file_of(source);

	return f->failed ? f->error.what : NULL;
}
