/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buffers, the open file, io_uring or pwrite: see disk.h. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_BYTES_DEFAULT (64ull << 20)
#define BUFFER_BYTES	     (1u << 20)
#define BUFFER_BYTES_SMALL   (512u << 10) /* still holds the longest packet */
#define BUFFERS_MAX	     4096u

static int allocate(struct tl_disk *disk, uint64_t total)
{
	uint32_t bytes = total >= 4 * BUFFER_BYTES ? BUFFER_BYTES : BUFFER_BYTES_SMALL;
	uint64_t count = total / bytes;
	void *memory;

	disk->buffer_bytes = bytes;
	disk->buffer_count = count < 2 ? 2 : count > BUFFERS_MAX ? BUFFERS_MAX : (uint32_t)count;
	memory = mmap(NULL, (size_t)disk->buffer_count * bytes, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return -ENOMEM;
	disk->buffers = memory;
	/* fewer page faults and TLB misses; a kernel without huge pages is fine too */
	(void)madvise(memory, (size_t)disk->buffer_count * bytes, MADV_HUGEPAGE);
	return 0;
}

static void register_buffers(struct tl_disk *disk)
{
	struct iovec *vectors = calloc(disk->buffer_count, sizeof(*vectors));

	if (!vectors)
		return;
	for (uint32_t i = 0; i < disk->buffer_count; i++) {
		vectors[i].iov_base = tl_disk__buffer(disk, i);
		vectors[i].iov_len = disk->buffer_bytes;
	}
	/* refused beyond RLIMIT_MEMLOCK: then each write pins its pages by itself */
	disk->fixed = !io_uring_register_buffers(&disk->ring, vectors, disk->buffer_count);
	free(vectors);
}

/* liburing 2.3 declares the calls for these two, but its library does not export them. */
static int register_with_ring(struct tl_disk *disk, unsigned opcode, const void *arg, unsigned n)
{
	return syscall(SYS_io_uring_register, disk->ring.ring_fd, opcode, arg, n) < 0 ? -errno : 0;
}

/* After this the ring can do nothing but write to its one file. Older kernels: left as it is. */
static void restrict_ring(struct tl_disk *disk)
{
	struct io_uring_restriction allowed[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP,
		  .sqe_op = disk->fixed ? IORING_OP_WRITE_FIXED : IORING_OP_WRITE },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
		  .sqe_flags = IOSQE_FIXED_FILE | IOSQE_IO_LINK },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
		{ .opcode = IORING_RESTRICTION_REGISTER_OP,
		  .register_op = IORING_REGISTER_FILES_UPDATE },
	};

	(void)register_with_ring(disk, IORING_REGISTER_RESTRICTIONS, allowed,
				 sizeof(allowed) / sizeof(allowed[0]));
}

static int setup_ring(struct tl_disk *disk)
{
	struct io_uring_params params = { .flags = IORING_SETUP_R_DISABLED };
	int none = -1;
	int err = io_uring_queue_init_params(2 * TL_DISK_CHAIN_MAX, &disk->ring, &params);

	if (err)
		return err;
	err = io_uring_register_files(&disk->ring, &none, 1);
	if (!err) {
		register_buffers(disk);
		restrict_ring(disk);
		err = register_with_ring(disk, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	}
	if (err < 0) {
		io_uring_queue_exit(&disk->ring);
		return err;
	}
	disk->uring = true;
	return 0;
}

int tl_disk__init(struct tl_disk *disk, const struct tl_recorder_opts *opts)
{
	int err;

	memset(disk, 0, sizeof(*disk));
	disk->fd = -1;
	disk->may_direct = !opts->no_direct;
	err = allocate(disk, opts->buffer_bytes ? opts->buffer_bytes : BUFFER_BYTES_DEFAULT);
	if (err)
		return err;
	if (opts->io == TL_IO_PWRITE)
		return 0;
	disk->uring_error = setup_ring(disk);
	if (disk->uring_error && opts->io == TL_IO_URING) {
		tl_disk__fini(disk);
		return disk->uring_error;
	}
	return 0;
}

void tl_disk__fini(struct tl_disk *disk)
{
	tl_disk__close(disk);
	if (disk->uring)
		io_uring_queue_exit(&disk->ring);
	disk->uring = false;
	if (disk->buffers)
		munmap(disk->buffers, (size_t)disk->buffer_count * disk->buffer_bytes);
	disk->buffers = NULL;
}

static int open_path(struct tl_disk *disk, const char *path)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;
	struct stat st;
	int fd = -1;

	disk->direct = false;
	/* on a FIFO O_DIRECT would mean something else (packets) */
	if (disk->may_direct && (stat(path, &st) || S_ISREG(st.st_mode))) {
		fd = open(path, flags | O_DIRECT, 0666);
		disk->direct = fd >= 0;
		if (fd < 0 && errno != EINVAL)
			return -errno;
		disk->direct_error = fd < 0 ? -errno : 0;
	}
	if (fd < 0)
		fd = open(path, flags, 0666);
	return fd < 0 ? -errno : fd;
}

int tl_disk__open(struct tl_disk *disk, const char *path)
{
	struct stat st;
	int fd;
	int err = 0;

	disk->to_stdout = !strcmp(path, "-");
	disk->direct = false;
	fd = disk->to_stdout ? STDOUT_FILENO : open_path(disk, path);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		err = -errno;
	/* standard output may be a file opened for appending: nothing of it is rewritten */
	disk->is_regular = !err && S_ISREG(st.st_mode) && !disk->to_stdout;
	if (!err && disk->uring && disk->is_regular) {
		err = io_uring_register_files_update(&disk->ring, 0, &fd, 1);
		if (err > 0)
			err = 0;
	}
	if (err) {
		if (!disk->to_stdout)
			close(fd);
		return err;
	}
	disk->fd = fd;
	return 0;
}

void tl_disk__settle(struct tl_disk *disk)
{
	if (!disk->uring || (disk->is_regular && disk->direct))
		return;
	io_uring_queue_exit(&disk->ring);
	disk->uring = false;
}

static void prepare(struct tl_disk *disk, const struct tl_disk_write *write, uint32_t index,
		    bool linked)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&disk->ring); /* never NULL: see CHAIN_MAX */
	uint8_t *data = tl_disk__buffer(disk, write->buffer);

	if (disk->fixed)
		io_uring_prep_write_fixed(sqe, 0, data, write->bytes, write->offset,
					  (int)write->buffer);
	else
		io_uring_prep_write(sqe, 0, data, write->bytes, write->offset);
	sqe->user_data = index;
	sqe->flags |= IOSQE_FIXED_FILE | (linked ? IOSQE_IO_LINK : 0);
}

static int write_chain(struct tl_disk *disk, const struct tl_disk_write *writes, uint32_t n,
		       uint32_t *ret_done)
{
	int result[TL_DISK_CHAIN_MAX] = { 0 };
	uint32_t done = 0;

	for (uint32_t i = 0; i < n; i++)
		prepare(disk, writes + i, i, i + 1 < n);
	for (uint32_t seen = 0; seen < n;) {
		struct io_uring_cqe *cqe;
		int err = io_uring_submit_and_wait(&disk->ring, 1);

		if (err < 0 && err != -EINTR && err != -EAGAIN && err != -EBUSY)
			return err;
		while (!io_uring_peek_cqe(&disk->ring, &cqe)) {
			result[cqe->user_data % TL_DISK_CHAIN_MAX] = cqe->res;
			io_uring_cqe_seen(&disk->ring, cqe);
			seen++;
		}
	}
	while (done < n && result[done] == (int)writes[done].bytes)
		done++;
	*ret_done = done;
	if (done == n)
		return 0;
	/* a write is cut short for lack of room; the next try says so in its own words */
	return result[done] < 0 ? result[done] : -ENOSPC;
}

/* One write at its place; the offset makes a repeated one harmless. */
static int write_at(struct tl_disk *disk, const struct tl_disk_write *write)
{
	ssize_t n;

	do {
		n = pwrite(disk->fd, tl_disk__buffer(disk, write->buffer), write->bytes,
			   (off_t)write->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == (ssize_t)write->bytes ? 0 : -ENOSPC;
}

/* Some of it, waiting for a reader that is slow, also when the descriptor does not block. */
static ssize_t write_some(int fd, const uint8_t *data, uint32_t bytes)
{
	for (;;) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		ssize_t n = write(fd, data, bytes);

		if (n >= 0)
			return n;
		if (errno == EAGAIN)
			(void)poll(&room, 1, 1000);
		else if (errno != EINTR)
			return -errno;
	}
}

static int write_stream(struct tl_disk *disk, const struct tl_disk_write *write)
{
	const uint8_t *data = tl_disk__buffer(disk, write->buffer);
	uint32_t left = write->bytes;

	while (left) {
		ssize_t n = write_some(disk->fd, data, left);

		if (n < 0)
			return (int)n;
		data += n;
		left -= (uint32_t)n;
	}
	return 0;
}

int tl_disk__write(struct tl_disk *disk, const struct tl_disk_write *writes, uint32_t n,
		   uint32_t *ret_done)
{
	*ret_done = 0;
	if (disk->is_regular && disk->uring)
		return write_chain(disk, writes, n < TL_DISK_CHAIN_MAX ? n : TL_DISK_CHAIN_MAX,
				   ret_done);
	for (uint32_t i = 0; i < n; i++) {
		int err = disk->is_regular ? write_at(disk, writes + i)
					   : write_stream(disk, writes + i);

		if (err)
			return err;
		*ret_done = i + 1;
	}
	return 0;
}

int tl_disk__truncate(struct tl_disk *disk, uint64_t bytes)
{
	if (disk->fd < 0 || !disk->is_regular)
		return 0;
	return ftruncate(disk->fd, (off_t)bytes) ? -errno : 0;
}

void tl_disk__close(struct tl_disk *disk)
{
	int none = -1;

	if (disk->fd < 0)
		return;
	if (disk->uring && disk->is_regular)
		(void)io_uring_register_files_update(&disk->ring, 0, &none, 1);
	if (!disk->to_stdout)
		close(disk->fd);
	disk->fd = -1;
}

void tl_disk__describe(const struct tl_disk *disk, char *ret_text, size_t bytes)
{
	bool uring = disk->uring && disk->is_regular;
	char method[64] = "", path[64] = "";

	if (!disk->is_regular)
		snprintf(method, sizeof(method), "write to a pipe or device");
	else if (uring)
		snprintf(method, sizeof(method), "io_uring%s",
			 disk->fixed ? "" : " (buffers not registered)");
	else if (disk->uring_error)
		snprintf(method, sizeof(method), "pwrite (io_uring: %s)",
			 strerror(-disk->uring_error));
	else
		snprintf(method, sizeof(method), "pwrite");
	if (disk->direct)
		snprintf(path, sizeof(path), ", O_DIRECT");
	else if (disk->is_regular)
		snprintf(path, sizeof(path), ", buffered%s",
			 disk->direct_error ? " (O_DIRECT refused)" : "");
	snprintf(ret_text, bytes, "%s%s, %u buffers of %s", method, path, disk->buffer_count,
		 disk->buffer_bytes == BUFFER_BYTES ? "1 MiB" : "512 KiB");
}
