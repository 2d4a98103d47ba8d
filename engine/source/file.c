/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file source: a list of files as one source, in order of time.
 *
 *	paths, by first packet   a.pcap   b.pcap │ c.pcap   d.pcap …   still to come
 *	lanes: being read        ══a══►head  ══b══►head     the older head goes out, then its next
 *
 * - A file's turn comes when the packets that go out have reached its first one: files of a ring
 *   follow each other, and those of a TAP, one for each direction, are read side by side. More than
 *   FILE_LANES_MAX at a time are not: the others come as soon as one has ended.
 * - Within a file the order is the file's own. Where a pipe is among them, one is read after the
 *   other, as they are given.
 * - Frame numbers begin at 1 in each file, as Wireshark shows them.
 * - A file that breaks off gives what is before that; the others are read on, and at the end the
 *   first error is told.
 * - One thread polls. Statistics, watermark, interfaces and stop may be used by another:
 *
 * | word              | written by | store   | read by | load    | edge                          |
 * |-------------------|------------|---------|---------|---------|-------------------------------|
 * | table_count       | poll       | release | others  | acquire | the entries below are written |
 * | released (base)   | whoever    | release | poll    | acquire | bytes are read before reuse   |
 * | stopped, counters | one side   | relaxed | others  | relaxed | none: single words            |
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_input.h"

/* Packets looked at in one poll, so that a filter that keeps none does not hold up the worker. */
#define POLL_BUDGET    65536
#define PATH_SHOWN     60
#define FILE_LANES_MAX 32u /* far below FILE_CHUNKS_MAX: each holds one chunk while it is read */

/* A file to be read. */
struct file_turn {
	char *path;
	size_t index;	   /* as given */
	uint64_t first_ns; /* of its first packet */
};

/* A file being read, and the packet that waits for its turn. */
struct file_lane {
	struct file_input input;
	struct tl_packet head;
	bool has_head;
};

struct file_source {
	struct tl_source base;
	struct file_set set;
	struct file_turn *turn; /* in order */
	size_t turn_count;
	size_t turns_begun;
	uint64_t next_ns; /* from when on the next turn is due; UINT64_MAX: when nothing is read */
	bool in_time_order;
	struct file_lane lane[FILE_LANES_MAX]; /* oldest first */
	uint32_t lane_count;

	bool blocked_by_memory;
	bool failed;
	struct tl_error error; /* of the first file that had one */
	uint32_t stopped;      /* atomic */
};

static struct file_source *file_of(const struct tl_source *source)
{
	return (struct file_source *)(uintptr_t)source;
}

/* --- errors ---------------------------------------------------------------------------------- */

/* Only with several files the message has to say which: by the end of its path. */
static void set_error(const struct file_source *f, const struct file_input *input,
		      struct tl_error *error)
{
	if (f->turn_count > 1) {
		const char *path = input->path;
		size_t bytes = strlen(path);

		if (bytes > PATH_SHOWN)
			path += bytes - PATH_SHOWN;
		snprintf(error->what, sizeof(error->what), "%.60s: %.190s", path, input->words);
	} else
		snprintf(error->what, sizeof(error->what), "%s", input->words);
}

static void note_failure(struct file_source *f, const struct file_input *input)
{
	struct tl_error error;

	if (f->failed)
		return;
	set_error(f, input, &error);
	f->error = error;
	f->failed = true;
}

/* --- turns ----------------------------------------------------------------------------------- */

/* 0 or -errno, with words in the lane's input. */
static int open_lane(struct file_source *f)
{
	struct file_lane *lane = &f->lane[f->lane_count];
	const struct file_turn *turn = &f->turn[f->turns_begun];
	int err = file_input__open(&lane->input, &f->set, turn->path);

	if (file_input__is_later(err))
		return err;
	lane->input.frame = (uint64_t)turn->index << TL_FRAME_BITS;
	lane->has_head = false;
	f->lane_count += !err;
	f->turns_begun++;
	f->next_ns = f->in_time_order && f->turns_begun < f->turn_count
			     ? f->turn[f->turns_begun].first_ns
			     : UINT64_MAX;
	return err;
}

/* 0, or later; a file that cannot be opened any more has had its turn. */
static int begin_turn(struct file_source *f)
{
	int err = open_lane(f);

	if (err && !file_input__is_later(err)) {
		note_failure(f, &f->lane[f->lane_count].input);
		err = 0;
	}
	return err;
}

static void end_lane(struct file_source *f, struct file_lane *lane)
{
	file_input__close(&lane->input);
	f->lane_count--;
	memmove(lane, lane + 1, (size_t)(&f->lane[f->lane_count] - lane) * sizeof(*lane));
}

/* As `file_next_fn`, but 0 at the lane's end too, after which `lane` is another one, or none. */
static int read_lane(struct file_source *f, struct file_lane *lane, struct tl_packet *packet)
{
	int r = file_input__next(&lane->input, packet);

	if (r >= 0 || file_input__is_later(r))
		return r;
	if (r != -ENODATA)
		note_failure(f, &lane->input);
	end_lane(f, lane);
	return 0;
}

/* --- the next packet ------------------------------------------------------------------------- */

static int deliver(struct file_lane *lane, const struct tl_packet *packet)
{
	lane->has_head = false;
	file_input__deliver(&lane->input, packet);
	return 1;
}

/* The only one that is read: no packet waits but where the next file's turn has come. */
static int next_of_one(struct file_source *f, struct tl_packet *packet)
{
	struct file_lane *lane = f->lane;
	int r = read_lane(f, lane, packet);

	if (r != 1)
		return r;
	if (__builtin_expect(packet->ts_ns <= f->next_ns, 1))
		return deliver(lane, packet);
	lane->head = *packet;
	lane->has_head = true;
	return 0;
}

static int next_of_many(struct file_source *f, struct tl_packet *packet)
{
	struct file_lane *oldest = f->lane;

	for (struct file_lane *lane = f->lane; lane < f->lane + f->lane_count; lane++) {
		if (!lane->has_head) {
			int r = read_lane(f, lane, &lane->head);

			if (r != 1)
				return r;
			lane->has_head = true;
		}
		if (lane->head.ts_ns < oldest->head.ts_ns)
			oldest = lane;
	}
	if (oldest->head.ts_ns > f->next_ns && f->lane_count < FILE_LANES_MAX)
		return begin_turn(f);
	*packet = oldest->head;
	return deliver(oldest, packet);
}

/* 1; 0: none yet, look again; later; -ENODATA when the last file has ended. */
static int next_packet(struct file_source *f, struct tl_packet *packet)
{
	if (f->lane_count == 1 && !f->lane[0].has_head)
		return next_of_one(f, packet);
	if (f->lane_count)
		return next_of_many(f, packet);
	if (f->turns_begun < f->turn_count)
		return begin_turn(f);
	tl_store_relaxed(&f->set.watermark, UINT64_MAX);
	return -ENODATA;
}

/* --- operations ------------------------------------------------------------------------------ */

/* The usual packets, where one file is read; how many came. */
static uint32_t run_of_one(struct file_source *f, struct tl_packet *packets, uint32_t max)
{
	struct file_input *input = &f->lane[0].input;

	if (f->lane_count != 1 || f->lane[0].has_head || !input->run)
		return 0;
	return input->run(input, packets, max, f->next_ns);
}

static void count_captured(struct file_set *set, const struct tl_packet *packets, uint32_t n)
{
	uint64_t newest_ns = set->watermark, wire_bytes = 0, bytes = 0;

	for (uint32_t i = 0; i < n; i++) {
		newest_ns = packets[i].ts_ns > newest_ns ? packets[i].ts_ns : newest_ns;
		wire_bytes += packets[i].wirelen;
		bytes += packets[i].caplen;
	}
	tl_store_relaxed(&set->watermark, newest_ns);
	tl_counter_add(&set->stats.received, n);
	tl_counter_add(&set->stats.received_bytes, wire_bytes);
	tl_counter_add(&set->stats.captured, n);
	tl_counter_add(&set->stats.captured_bytes, bytes);
}

static int file_poll(struct tl_source *source, struct tl_packet *packets, uint32_t max)
{
	struct file_source *f = file_of(source);
	uint32_t count = 0;
	int r = 0;

	f->set.interface = source->interface;
	file_memory__reclaim(&f->set.memory, tl_load_acquire(&source->released));
	if (tl_load_relaxed(&f->stopped))
		return -ENODATA;
	for (uint32_t i = 0; i < POLL_BUDGET; i++) {
		count += run_of_one(f, &packets[count], max - count);
		if (count == max)
			break;
		r = next_packet(f, &packets[count]);
		if (r < 0)
			break;
		count += (uint32_t)r;
	}
	count_captured(&f->set, packets, count);
	f->blocked_by_memory = r == -ENOBUFS;
	if (count)
		return (int)count;
	return r == -EAGAIN || r == -ENOBUFS || r >= 0 ? 0 : r;
}

static int file_wait(struct tl_source *source, int timeout_ms)
{
	struct file_source *f = file_of(source);
	const struct file_reader *reader = &f->lane[0].input.reader;
	struct pollfd ready = { .fd = reader->fd, .events = POLLIN };
	bool waits = f->lane_count && reader->may_block && reader->fd >= 0;

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
	return tl_load_relaxed(&file_of(source)->set.watermark);
}

static int file_stats(struct tl_source *source, struct tl_source_stats *ret_stats)
{
	struct file_source *f = file_of(source);

	*ret_stats = (struct tl_source_stats){
		.received = tl_load_relaxed(&f->set.stats.received),
		.filtered = tl_load_relaxed(&f->set.stats.filtered),
		.captured = tl_load_relaxed(&f->set.stats.captured),
		.received_bytes = tl_load_relaxed(&f->set.stats.received_bytes),
		.captured_bytes = tl_load_relaxed(&f->set.stats.captured_bytes),
		.recorded.nic = tl_load_relaxed(&f->set.stats.recorded.nic),
		.recorded.kernel = tl_load_relaxed(&f->set.stats.recorded.kernel),
		.end_ns = tl_load_relaxed(&f->set.stats.end_ns),
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

	for (uint32_t i = 0; i < f->lane_count; i++)
		file_input__close(&f->lane[i].input);
	file_memory__destroy(&f->set.memory);
	for (size_t i = 0; i < f->turn_count; i++)
		free(f->turn[i].path);
	free(f->turn);
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

static bool is_regular(const char *path)
{
	struct stat st;

	return strcmp(path, "-") != 0 && !stat(path, &st) && S_ISREG(st.st_mode);
}

static int copy_paths(struct file_source *f, const struct tl_source_file_opts *opts)
{
	f->in_time_order = opts->path_count > 1;
	f->turn = calloc(opts->path_count, sizeof(*f->turn));
	if (!f->turn)
		return -ENOMEM;
	for (size_t i = 0; i < opts->path_count; i++) {
		f->turn[i].path = strdup(opts->paths[i]);
		if (!f->turn[i].path)
			return -ENOMEM;
		f->turn[i].index = i;
		f->turn_count++;
		f->in_time_order = f->in_time_order && is_regular(opts->paths[i]);
	}
	return 0;
}

/* Stable. A file that holds no packet keeps its place behind the one before it. */
static void order_turns(struct file_source *f)
{
	for (size_t i = 0; i < f->turn_count; i++) {
		struct file_turn turn = f->turn[i];
		size_t at = i;

		turn.first_ns = file_input__first_ns(turn.path);
		if (!turn.first_ns && i)
			turn.first_ns = f->turn[i - 1].first_ns;
		for (; at && f->turn[at - 1].first_ns > turn.first_ns; at--)
			f->turn[at] = f->turn[at - 1];
		f->turn[at] = turn;
	}
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

/* Those that are opened when their turn comes. */
static int check_later_files(struct file_source *f)
{
	int err = 0;

	for (size_t i = 1; i < f->turn_count && !err; i++)
		err = file_input__check(&f->lane[0].input, f->turn[i].path);
	return err;
}

/* The first file's header, for which a pipe is waited for; and, without waiting, its interfaces. */
static int open_first(struct file_source *f)
{
	struct file_input *input = &f->lane[0].input;
	struct tl_packet none;
	int err = open_lane(f);

	while (!err && !input->next) {
		struct pollfd ready = { .fd = input->reader.fd, .events = POLLIN };

		err = file_input__begin(input);
		if (err == -EAGAIN)
			err = poll(&ready, 1, -1) < 0 ? -errno : 0;
	}
	if (err == -EINTR)
		snprintf(input->words, sizeof(input->words), "%s", strerror(EINTR));
	if (err)
		return err;
	input->before_packets = true;
	(void)input->next(input, &none);
	input->before_packets = false;
	return 0;
}

/* On an error `f->lane[0].input` has its words. */
static int prepare(struct file_source *f, const struct tl_source_file_opts *opts)
{
	int err;

	f->base.ops = &file_ops;
	f->set.filter = opts->filter;
	f->set.snaplen = opts->snaplen;
	if (!opts->path_count) {
		file_input__broken(&f->lane[0].input, "no file to read");
		return -ENOENT;
	}
	err = copy_paths(f, opts);
	if (!err)
		err = check_later_files(f);
	if (!err && f->in_time_order)
		order_turns(f);
	return err ? err : open_first(f);
}

int tl_source_file__create(const struct tl_source_file_opts *opts, struct tl_error *ret_error,
			   struct tl_source **ret_source)
{
	struct file_source *f = aligned_alloc(TL_CACHE_LINE, sizeof(*f));
	int err;

	snprintf(ret_error->what, sizeof(ret_error->what), "%s", strerror(ENOMEM));
	if (!f)
		return -ENOMEM;
	memset(f, 0, sizeof(*f));
	err = prepare(f, opts);
	if (!err) {
		*ret_source = &f->base;
		return 0;
	}
	if (err != -ENOMEM)
		set_error(f, &f->lane[0].input, ret_error);
	file_destroy(&f->base);
	return err;
}

const struct tl_interface *tl_source_file__interfaces(const struct tl_source *source,
						      uint32_t *ret_count)
{
	const struct file_source *f = file_of(source);

	*ret_count = tl_load_acquire(&f->set.table_count);
	return f->set.table;
}

const char *tl_source_file__error(const struct tl_source *source)
{
	const struct file_source *f = file_of(source);

	return f->failed ? f->error.what : NULL;
}
