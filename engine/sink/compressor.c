/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The compressor's thread and its two formats: see compressor.h.
 *
 *   queue: head ─► job ─► job ─► NULL     one lock, held for a few instructions
 */
#include "compressor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <lz4frame.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zstd.h>

#define CHUNK_BYTES	  (256u << 10)
#define ZSTD_LEVEL	  3
#define IOPRIO_WHO_THREAD 1
#define IOPRIO_IDLE	  (3 << 13)

struct job {
	struct job *next;
	char path[];
};

struct tl_compressor {
	int kind;
	struct tl_file_list *list;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job *head;
	struct job **tail;
	bool ending;
	uint8_t input[CHUNK_BYTES];
	uint8_t *output; /* owned */
	size_t output_bytes;
};

const char *tl_compressor__suffix(int kind)
{
	return kind == TL_COMPRESS_ZSTD ? ".zst" : kind == TL_COMPRESS_LZ4 ? ".lz4" : "";
}

static int write_all(int fd, const uint8_t *data, size_t bytes)
{
	while (bytes) {
		ssize_t n = write(fd, data, bytes);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			bytes -= (size_t)n;
		}
	}
	return 0;
}

static int compress_zstd(struct tl_compressor *c, int in, int out)
{
	ZSTD_CCtx *context = ZSTD_createCCtx();
	int err = context ? 0 : -ENOMEM;
	ssize_t n = 1;

	if (context) {
		ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, ZSTD_LEVEL);
		ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
	}
	while (!err && n > 0) {
		ZSTD_inBuffer source = { c->input, 0, 0 };
		size_t left = 1;

		n = read(in, c->input, sizeof(c->input));
		if (n < 0)
			err = -errno;
		source.size = n > 0 ? (size_t)n : 0;
		/* at the end of the file until nothing is left inside, else until all is taken */
		while (!err && (n ? source.pos < source.size : left != 0)) {
			ZSTD_outBuffer sink = { c->output, c->output_bytes, 0 };

			left = ZSTD_compressStream2(context, &sink, &source,
						    n ? ZSTD_e_continue : ZSTD_e_end);
			err = ZSTD_isError(left) ? -EIO : write_all(out, c->output, sink.pos);
		}
	}
	ZSTD_freeCCtx(context);
	return err;
}

static int compress_lz4(struct tl_compressor *c, int in, int out)
{
	LZ4F_preferences_t preferences = { .frameInfo = { .contentChecksumFlag = 1 } };
	LZ4F_cctx *context;
	int err = 0;
	ssize_t got;
	size_t n;

	if (LZ4F_isError(LZ4F_createCompressionContext(&context, LZ4F_VERSION)))
		return -ENOMEM;
	n = LZ4F_compressBegin(context, c->output, c->output_bytes, &preferences);
	do {
		err = LZ4F_isError(n) ? -EIO : write_all(out, c->output, n);
		if (err)
			break;
		got = read(in, c->input, sizeof(c->input));
		if (got < 0) {
			err = -errno;
			break;
		}
		n = got ? LZ4F_compressUpdate(context, c->output, c->output_bytes, c->input,
					      (size_t)got, NULL)
			: LZ4F_compressEnd(context, c->output, c->output_bytes, NULL);
		if (!got)
			err = LZ4F_isError(n) ? -EIO : write_all(out, c->output, n);
	} while (!err && got);
	LZ4F_freeCompressionContext(context);
	return err;
}

/* The compressed file is the original's in owner, mode and age: retention goes by that. */
static int like_original(int in, int out)
{
	struct stat st;

	if (fstat(in, &st))
		return -errno;
	if (fchown(out, st.st_uid, st.st_gid) && errno != EPERM)
		return -errno;
	if (fchmod(out, st.st_mode & 0777))
		return -errno;
	return futimens(out, (struct timespec[2]){ st.st_atim, st.st_mtim }) ? -errno : 0;
}

static void compress_file(struct tl_compressor *c, const char *path)
{
	const char *suffix = tl_compressor__suffix(c->kind);
	const char *slash = strrchr(path, '/');
	size_t prefix = slash ? (size_t)(slash - path) + 1 : 0;
	char part[PATH_MAX + 16];
	int in, out, err;

	if (prefix >= PATH_MAX)
		return;
	memcpy(part, path, prefix);
	snprintf(part + prefix, sizeof(part) - prefix, ".%s%s.part", path + prefix, suffix);
	in = open(path, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return;
	out = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (out < 0) {
		close(in);
		return;
	}
	err = c->kind == TL_COMPRESS_ZSTD ? compress_zstd(c, in, out) : compress_lz4(c, in, out);
	if (!err)
		err = like_original(in, out);
	if (!err && fsync(out))
		err = -errno;
	if (err)
		unlink(part);
	else
		tl_file_list__replace(c->list, path, in, part);
	close(out);
	close(in);
}

static void *compressor_main(void *arg)
{
	struct tl_compressor *c = arg;

	/* both are wishes: a kernel that refuses them compresses all the same */
	(void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
	(void)syscall(SYS_ioprio_set, IOPRIO_WHO_THREAD, 0, IOPRIO_IDLE);
	pthread_mutex_lock(&c->lock);
	for (;;) {
		struct job *job = c->head;

		if (!job && c->ending)
			break;
		if (!job) {
			pthread_cond_wait(&c->wake, &c->lock);
			continue;
		}
		c->head = job->next;
		if (!c->head)
			c->tail = &c->head;
		pthread_mutex_unlock(&c->lock);
		compress_file(c, job->path);
		free(job);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

static int start_thread(struct tl_compressor *c)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&c->thread, NULL, compressor_main, c);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -err;
}

int tl_compressor__create(int kind, struct tl_file_list *list, struct tl_compressor **ret)
{
	struct tl_compressor *c = calloc(1, sizeof(*c));
	LZ4F_preferences_t preferences = { 0 };
	int err;

	if (!c)
		return -ENOMEM;
	c->kind = kind;
	c->list = list;
	c->tail = &c->head;
	c->output_bytes = ZSTD_CStreamOutSize();
	if (kind == TL_COMPRESS_LZ4)
		c->output_bytes = LZ4F_compressBound(CHUNK_BYTES, &preferences) + 64;
	c->output = malloc(c->output_bytes);
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	err = c->output ? start_thread(c) : -ENOMEM;
	if (err) {
		free(c->output);
		free(c);
		return err;
	}
	*ret = c;
	return 0;
}

int tl_compressor__push(struct tl_compressor *c, const char *path)
{
	size_t bytes = strlen(path) + 1;
	struct job *job = malloc(sizeof(*job) + bytes);

	if (!job)
		return -ENOMEM;
	job->next = NULL;
	memcpy(job->path, path, bytes);
	pthread_mutex_lock(&c->lock);
	*c->tail = job;
	c->tail = &job->next;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	return 0;
}

void tl_compressor__destroy(struct tl_compressor *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->ending = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_mutex_destroy(&c->lock);
	pthread_cond_destroy(&c->wake);
	free(c->output);
	free(c);
}
