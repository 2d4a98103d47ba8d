/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The writer thread: see writer.h. */
#include "writer.h"

#include <errno.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RETRY_NS	250000000ull
#define RETENTION_NS	1000000000ull
#define NS_PER_S	1000000000ull
#define COMMANDS_BUFFER 4u /* commands that one buffer can cause, at most */

static uint64_t monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void note_error(struct tl_writer *w, const char *what, int err)
{
	if (tl_load_relaxed(&w->first_error))
		return;
	pthread_mutex_lock(&w->error_lock);
	snprintf(w->error, sizeof(w->error), "%.160s: %s: %s", w->path, what, strerror(-err));
	pthread_mutex_unlock(&w->error_lock);
	tl_store_relaxed(&w->first_error, err);
}

static void set_state(struct tl_writer *w, enum tl_writer_state state)
{
	if (tl_load_relaxed(&w->state) != (uint32_t)state)
		tl_store_release(&w->state, (uint32_t)state);
}

static void give_back(struct tl_writer *w, uint32_t buffer)
{
	uint32_t *slot = tl_spsc__reserve(&w->freed); /* has room for every buffer */

	*slot = buffer;
	tl_spsc__push(&w->freed);
}

/* --- files ------------------------------------------------------------------------------- */

static void apply_retention(struct tl_writer *w)
{
	w->checked_ns = monotonic_ns();
	tl_retention__apply(&w->retention, &w->files, w->path);
}

static int take_owner(const struct tl_recorder_opts *opts, struct tl_writer *w)
{
	char text[4096];
	struct passwd user, *found = NULL;

	w->owner_uid = (uid_t)-1;
	if (!opts->owner)
		return 0;
	getpwnam_r(opts->owner, &user, text, sizeof(text), &found);
	if (!found)
		return -ENOENT;
	w->owner_uid = found->pw_uid;
	w->owner_gid = found->pw_gid;
	return 0;
}

static int open_file(struct tl_writer *w, const struct tl_file_key *key)
{
	const struct tl_recorder_opts *opts = w->opts;
	uint64_t ring = opts->naming == TL_NAME_DUMPCAP ? opts->rotate.files : 0;
	int err;

	if (!strcmp(opts->path, "-"))
		err = snprintf(w->path, sizeof(w->path), "-") < 0 ? -EINVAL : 0;
	else
		err = tl_file_name__format(opts, key, w->path, sizeof(w->path));
	if (err)
		return err;
	/* before the new one: a ring of N files is never N + 1 */
	while (ring && w->files.count >= ring && tl_file_list__delete_oldest(&w->files))
		;
	apply_retention(w);
	if (opts->compress != TL_COMPRESS_NONE)
		tl_file_list__make_way(&w->files, w->path);
	err = tl_disk__open(&w->disk, w->path);
	if (err)
		return err;
	if (w->owner_uid != (uid_t)-1 && w->disk.is_regular &&
	    fchown(w->disk.fd, w->owner_uid, w->owner_gid))
		note_error(w, "cannot give it to its owner", -errno);
	w->end_on_disk = 0;
	tl_counter_add(&w->opened, 1);
	(void)tl_file_list__add(&w->files, w->path); /* without memory: counted, not listed */
	return 0;
}

static void close_file(struct tl_writer *w, uint64_t end)
{
	int err;

	if (w->disk.fd < 0)
		return;
	err = tl_disk__truncate(&w->disk, end < w->end_on_disk ? end : w->end_on_disk);
	if (err)
		note_error(w, "cannot cut off its padding", err);
	tl_disk__close(&w->disk);
	w->closed_bytes += w->end_on_disk;
	if (w->compressor && w->disk.is_regular && w->end_on_disk)
		(void)tl_compressor__push(w->compressor, w->path); /* else it stays plain */
}

/* --- commands ---------------------------------------------------------------------------- */

static void fetch(struct tl_writer *w)
{
	struct tl_command *command;

	while (w->queue_count < w->queue_max && (command = tl_spsc__front(&w->commands))) {
		w->queue[(w->queue_head + w->queue_count++) % w->queue_max] = *command;
		tl_spsc__pop(&w->commands);
	}
}

static struct tl_command *queued(struct tl_writer *w, uint32_t i)
{
	return i < w->queue_count ? &w->queue[(w->queue_head + i) % w->queue_max] : NULL;
}

static void done_first(struct tl_writer *w)
{
	w->queue_head = (w->queue_head + 1) % w->queue_max;
	w->queue_count--;
}

static void written(struct tl_writer *w, const struct tl_command *command)
{
	w->end_on_disk = command->end;
	tl_counter_add(&w->written, command->packets);
	tl_store_relaxed(&w->written_bytes, w->closed_bytes + w->end_on_disk);
	give_back(w, command->write.buffer);
	if (tl_load_relaxed(&w->state) == TL_WRITER_STARTING)
		set_state(w, TL_WRITER_RUNNING);
}

static void drop(struct tl_writer *w, const struct tl_command *command)
{
	tl_counter_add(&w->dropped, command->packets);
	give_back(w, command->write.buffer);
}

static int write_queued(struct tl_writer *w)
{
	struct tl_disk_write writes[TL_DISK_CHAIN_MAX];
	struct tl_command *command;
	uint32_t n = 0, done;
	/* pwrite gives each buffer back as soon as it is written */
	uint32_t max = w->disk.uring && w->disk.is_regular ? TL_DISK_CHAIN_MAX : 1;
	int err;

	while (n < max && (command = queued(w, n)) && command->kind == TL_COMMAND_WRITE)
		writes[n++] = command->write;
	err = tl_disk__write(&w->disk, writes, n, &done);
	for (uint32_t i = 0; i < done; i++) {
		written(w, queued(w, 0));
		done_first(w);
	}
	if (err)
		(void)tl_disk__truncate(&w->disk, w->end_on_disk);
	return err;
}

static int carry_out(struct tl_writer *w, struct tl_command *command, bool *ret_quit)
{
	int err = 0;

	switch (command->kind) {
	case TL_COMMAND_WRITE:
		if (!w->lost)
			return write_queued(w);
		drop(w, command);
		break;
	case TL_COMMAND_OPEN:
		if (!w->lost)
			err = open_file(w, &command->key);
		break;
	case TL_COMMAND_CLOSE:
		close_file(w, command->end);
		break;
	case TL_COMMAND_QUIT:
		*ret_quit = true;
		break;
	}
	if (!err)
		done_first(w);
	return err;
}

static void wait_until(struct tl_writer *w, uint64_t deadline_ns)
{
	struct timespec deadline = { .tv_sec = (time_t)(deadline_ns / NS_PER_S),
				     .tv_nsec = (long)(deadline_ns % NS_PER_S) };

	(void)sem_clockwait(&w->wake, CLOCK_MONOTONIC, &deadline);
}

/* True: the same command is to be tried again. */
static bool failed(struct tl_writer *w, const struct tl_command *command, int err, bool again)
{
	uint64_t retry_ns = monotonic_ns() + RETRY_NS;

	note_error(w, command->kind == TL_COMMAND_OPEN ? "cannot be opened" : "write failed", err);
	if (tl_load_relaxed(&w->state) == TL_WRITER_STARTING ||
	    (command->kind == TL_COMMAND_WRITE && !w->disk.is_regular)) {
		w->lost = true;
		/* a file without a whole header is none */
		if (!w->end_on_disk && w->disk.is_regular)
			(void)unlink(w->path);
		set_state(w, TL_WRITER_FAILED);
		return false;
	}
	apply_retention(w); /* may make room */
	while (!tl_load_relaxed(&w->closing) && monotonic_ns() < retry_ns)
		wait_until(w, retry_ns);
	if (tl_load_relaxed(&w->closing) && again)
		w->lost = true;
	return !w->lost;
}

static void set_affinity(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void *writer_main(void *arg)
{
	struct tl_writer *w = arg;
	bool quit = false;
	bool again = false; /* the command at the front has failed before */

	pthread_setname_np(pthread_self(), "tapline-writer");
	set_affinity(w->opts->cpu);
	while (!quit) {
		struct tl_command *command;
		int err;

		fetch(w);
		command = queued(w, 0);
		if (!command) {
			wait_until(w, monotonic_ns() + RETENTION_NS);
		} else {
			err = carry_out(w, command, &quit);
			again = err && failed(w, command, err, again);
		}
		if (monotonic_ns() - w->checked_ns >= RETENTION_NS)
			apply_retention(w);
	}
	return NULL;
}

/* --- encoder's side ---------------------------------------------------------------------- */

static int start_thread(struct tl_writer *w)
{
	sigset_t all, old;
	int err;

	/* a write to a pipe without a reader then says EPIPE, and no handler runs here */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&w->thread, NULL, writer_main, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = !err;
	return -err;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static int init_queues(struct tl_writer *w)
{
	uint32_t buffers = w->disk.buffer_count;
	int err;

	w->queue_max = power_of_two(COMMANDS_BUFFER * buffers + 16);
	w->queue = calloc(w->queue_max, sizeof(*w->queue));
	if (!w->queue)
		return -ENOMEM;
	err = tl_spsc__init(&w->commands, w->queue_max, sizeof(struct tl_command));
	if (!err)
		err = tl_spsc__init(&w->freed, power_of_two(buffers), sizeof(uint32_t));
	for (uint32_t i = 0; !err && i < buffers; i++)
		give_back(w, i);
	return err;
}

static int init_writer(struct tl_writer *w, const struct tl_file_key *first, const char **ret_what)
{
	int err;

	*ret_what = "its owner is not known here";
	err = take_owner(w->opts, w);
	if (err)
		return err;
	*ret_what = w->opts->io == TL_IO_URING ? "io_uring cannot be used" : "no memory for it";
	err = tl_disk__init(&w->disk, w->opts);
	if (!err)
		err = init_queues(w);
	if (err)
		return err;
	*ret_what = "its name cannot be used";
	err = tl_retention__init(&w->retention, w->opts);
	if (err)
		return err;
	*ret_what = "cannot start its threads";
	if (w->opts->compress != TL_COMPRESS_NONE) {
		err = tl_compressor__create((int)w->opts->compress, &w->files, &w->compressor);
		if (err)
			return err;
	}
	*ret_what = "cannot be opened";
	err = open_file(w, first);
	if (err)
		return err;
	if (w->opts->io == TL_IO_AUTO)
		tl_disk__settle(&w->disk);
	*ret_what = "cannot start its threads";
	return start_thread(w);
}

int tl_writer__create(const struct tl_recorder_opts *opts, const struct tl_file_key *first,
		      struct tl_error *ret_error, struct tl_writer **ret_writer)
{
	struct tl_writer *w = aligned_alloc(TL_CACHE_LINE, sizeof(*w));
	const char *what = "no memory for it";
	int err = -ENOMEM;

	if (w) {
		memset(w, 0, sizeof(*w));
		w->opts = opts;
		w->disk.fd = -1;
		sem_init(&w->wake, 0, 0);
		pthread_mutex_init(&w->error_lock, NULL);
		tl_file_list__init(&w->files, tl_compressor__suffix((int)opts->compress));
		err = init_writer(w, first, &what);
	}
	if (err) {
		snprintf(ret_error->what, sizeof(ret_error->what), "%.160s: %s: %s",
			 w && w->path[0] ? w->path : opts->path, what, strerror(-err));
		tl_writer__destroy(w);
		return err;
	}
	*ret_writer = w;
	return 0;
}

bool tl_writer__push(struct tl_writer *w, const struct tl_command *command)
{
	struct tl_command *slot = tl_spsc__reserve(&w->commands);

	if (!slot)
		return false;
	*slot = *command;
	tl_spsc__push(&w->commands);
	sem_post(&w->wake);
	return true;
}

bool tl_writer__take_free(struct tl_writer *w, uint32_t *ret_buffer)
{
	uint32_t *slot = tl_spsc__front(&w->freed);

	if (!slot)
		return false;
	*ret_buffer = *slot;
	tl_spsc__pop(&w->freed);
	return true;
}

int tl_writer__wait_started(struct tl_writer *w)
{
	struct timespec pause = { .tv_nsec = 100000 };
	uint32_t state;

	while ((state = tl_load_acquire(&w->state)) == TL_WRITER_STARTING)
		nanosleep(&pause, NULL);
	return state == TL_WRITER_FAILED ? tl_load_relaxed(&w->first_error) : 0;
}

void tl_writer__set_closing(struct tl_writer *w)
{
	tl_store_relaxed(&w->closing, 1);
	sem_post(&w->wake);
}

void tl_writer__join(struct tl_writer *w)
{
	if (w->started)
		pthread_join(w->thread, NULL);
	w->started = false;
	tl_compressor__destroy(w->compressor);
	w->compressor = NULL;
}

void tl_writer__destroy(struct tl_writer *w)
{
	struct tl_command quit = { .kind = TL_COMMAND_QUIT };

	if (!w)
		return;
	if (w->started) {
		tl_writer__set_closing(w);
		(void)tl_writer__push(w, &quit);
	}
	tl_writer__join(w);
	tl_disk__fini(&w->disk);
	tl_retention__fini(&w->retention);
	tl_file_list__fini(&w->files);
	tl_spsc__fini(&w->commands);
	tl_spsc__fini(&w->freed);
	free(w->queue);
	pthread_mutex_destroy(&w->error_lock);
	sem_destroy(&w->wake);
	free(w);
}
