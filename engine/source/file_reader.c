/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of one file; see file_reader.h. */
#include "file_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BYTES (256u * 1024)
#define MAGIC_BYTES 4

static void trouble(struct file_reader *r, const char *what, const char *why)
{
	snprintf(r->trouble, sizeof(r->trouble), "%s%s%s", what, *why ? ": " : "", why);
	r->input_ended = true;
}

/* --- opening --------------------------------------------------------------------------------- */

/*
 * Of a regular file is read what it holds now, be it written to or not. Standard input may be one
 * that was read in part. A size of 0 is no proof that there is nothing to read (/proc).
 */
static int prepare(struct file_reader *r)
{
	struct stat st;
	off_t start;

	if (fstat(r->fd, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	r->may_block = !S_ISREG(st.st_mode);
	start = r->may_block ? -1 : lseek(r->fd, 0, SEEK_CUR);
	r->has_size = start >= 0 && start < st.st_size;
	r->size_left = r->has_size ? (uint64_t)(st.st_size - start) : UINT64_MAX;
	(void)posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	r->input = malloc(INPUT_BYTES);
	return r->input ? 0 : -ENOMEM;
}

int file_reader__open(struct file_reader *reader, struct file_memory *memory, const char *path)
{
	int err;

	*reader = (struct file_reader){ .memory = memory, .fd = -1 };
	if (strcmp(path, "-") == 0)
		reader->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (reader->fd < 0)
		return -errno;
	err = prepare(reader);
	if (err)
		file_reader__close(reader);
	return err;
}

void file_reader__close(struct file_reader *reader)
{
	if (reader->fd >= 0)
		close(reader->fd);
	if (reader->chunk)
		file_memory__retire(reader->memory, reader->chunk);
	file_unpack__destroy(reader->unpack);
	free(reader->input);
	*reader = (struct file_reader){ .memory = reader->memory, .fd = -1 };
}

/* --- reading --------------------------------------------------------------------------------- */

/* Count; 0: the end; -EAGAIN. */
static ssize_t read_now(struct file_reader *r, uint8_t *buffer, size_t bytes)
{
	struct pollfd ready = { .fd = r->fd, .events = POLLIN };
	ssize_t n;

	if (r->input_ended)
		return 0;
	if (r->may_block && poll(&ready, 1, 0) < 1)
		return -EAGAIN;
	n = read(r->fd, buffer, bytes < r->size_left ? bytes : r->size_left);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return -EAGAIN;
	if (n < 0)
		trouble(r, "it cannot be read", strerror(errno));
	else if (!n && r->has_size && r->size_left)
		trouble(r, "the file became shorter while it was read", "");
	if (n <= 0) {
		r->input_ended = true;
		return 0;
	}
	r->size_left -= r->has_size ? (uint64_t)n : 0;
	return n;
}

/* Into `input`, behind what is there; 0, or -EAGAIN. At the end `input_ended` is set. */
static int read_input(struct file_reader *r)
{
	ssize_t n;

	if (r->input_at == r->input_bytes)
		r->input_at = r->input_bytes = 0;
	n = read_now(r, r->input + r->input_bytes, INPUT_BYTES - r->input_bytes);
	if (n < 0)
		return (int)n;
	r->input_bytes += (size_t)n;
	return 0;
}

static int detect(struct file_reader *r)
{
	while (r->input_bytes < MAGIC_BYTES && !r->input_ended) {
		int err = read_input(r);

		if (err)
			return err;
	}
	r->packing = file_unpack__detect(r->input, r->input_bytes);
	r->detected = true;
	return r->packing ? file_unpack__create(r->packing, &r->unpack) : 0;
}

/* Each returns the count written to `out`; 0: the end; -EAGAIN, -ENOMEM. */
static ssize_t stream_plain(struct file_reader *r, uint8_t *out, size_t room)
{
	size_t kept = r->input_bytes - r->input_at;

	if (!kept)
		return read_now(r, out, room);
	kept = kept < room ? kept : room;
	memcpy(out, r->input + r->input_at, kept);
	r->input_at += kept;
	return (ssize_t)kept;
}

/* No more input: is it complete? */
static ssize_t unpack_end(struct file_reader *r)
{
	if (!file_unpack__is_between_frames(r->unpack) && !*r->trouble)
		trouble(r, "the compressed data end in the middle", "");
	return 0;
}

static ssize_t stream_unpacked(struct file_reader *r, uint8_t *out, size_t room)
{
	while (!r->damaged) {
		struct file_unpack_io io = { r->input + r->input_at, r->input_bytes - r->input_at,
					     out, room };
		int err = file_unpack__run(r->unpack, &io);

		r->input_at = r->input_bytes - io.in_bytes;
		if (err == -ENOMEM)
			return err;
		if (err) {
			trouble(r, "damaged compressed data", file_unpack__name(r->packing));
			r->damaged = true;
		}
		if (io.out_bytes < room)
			return (ssize_t)(room - io.out_bytes);
		if (err || io.in_bytes)
			continue;
		if (r->input_ended)
			return unpack_end(r);
		err = read_input(r);
		if (err)
			return err;
	}
	return 0;
}

/* Makes room for `bytes` from `at` on: in a new chunk, unless they fit in this one. */
static int chunk_for(struct file_reader *r, size_t bytes)
{
	size_t have = (size_t)(r->end - r->at);
	struct file_chunk *chunk;
	int err;

	if (r->chunk && (size_t)(r->chunk->data + r->chunk->room - r->at) >= bytes)
		return 0;
	err = file_memory__take(r->memory, bytes, &chunk);
	if (err)
		return err;
	if (have)
		memcpy(chunk->data, r->at, have);
	if (r->chunk)
		file_memory__retire(r->memory, r->chunk);
	r->chunk = chunk;
	r->at = chunk->data;
	r->end = chunk->data + have;
	return 0;
}

static int fill(struct file_reader *r, size_t bytes)
{
	int err = r->detected ? 0 : detect(r);

	if (!err)
		err = chunk_for(r, bytes);
	while (!err && (size_t)(r->end - r->at) < bytes) {
		uint8_t *out = r->chunk->data + (r->end - r->chunk->data);
		size_t room = r->chunk->room - (size_t)(r->end - r->chunk->data);
		ssize_t n = r->unpack ? stream_unpacked(r, out, room) : stream_plain(r, out, room);

		if (n <= 0)
			err = n ? (int)n : -ENODATA;
		else
			r->end += n;
	}
	return err;
}

/* --- the window ------------------------------------------------------------------------------ */

void file_reader__skip(struct file_reader *reader, uint64_t bytes)
{
	uint64_t have = (uint64_t)(reader->end - reader->at);
	size_t now = (size_t)(bytes < have ? bytes : have);

	file_reader__consume(reader, now);
	reader->skip_left += bytes - now;
}

int file_reader__fill(struct file_reader *reader, size_t bytes)
{
	while (reader->skip_left) {
		uint64_t left = reader->skip_left;
		int err = fill(reader, 1);

		if (err)
			return err;
		reader->skip_left = 0;
		file_reader__skip(reader, left);
	}
	return (size_t)(reader->end - reader->at) >= bytes ? 0 : fill(reader, bytes);
}
