/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Streaming decompression; see file_unpack.h. */
#include "file_unpack.h"

#include <errno.h>
#include <limits.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "tapline/cursor.h"

#define ZSTD_WINDOW_LOG_MAX 27

struct file_unpack {
	enum file_packing packing;
	bool between_frames;
	bool had_frame;
	bool ignore_rest; /* gzip: padding behind the last member */
	z_stream gzip;
	ZSTD_DStream *zstd;
	LZ4F_dctx *lz4;
};

enum file_packing file_unpack__detect(const uint8_t *data, size_t bytes)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);
	uint32_t magic = tl_cursor__be32(&c);

	if (c.failed)
		return FILE_PLAIN;
	if (magic >> 16 == 0x1f8b)
		return FILE_GZIP;
	if (magic == 0x28b52ffd)
		return FILE_ZSTD;
	return magic == 0x04224d18 ? FILE_LZ4 : FILE_PLAIN;
}

const char *file_unpack__name(enum file_packing packing)
{
	static const char *const names[] = { "plain", "gzip", "zstd", "lz4" };

	return names[packing];
}

static int start(struct file_unpack *u)
{
	switch (u->packing) {
	case FILE_GZIP:
		return inflateInit2(&u->gzip, 15 + 16) == Z_OK ? 0 : -ENOMEM;
	case FILE_ZSTD:
		u->zstd = ZSTD_createDStream();
		if (!u->zstd)
			return -ENOMEM;
		ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
		return 0;
	case FILE_LZ4:
		return LZ4F_isError(LZ4F_createDecompressionContext(&u->lz4, LZ4F_VERSION))
			       ? -ENOMEM
			       : 0;
	default:
		return -EINVAL;
	}
}

int file_unpack__create(enum file_packing packing, struct file_unpack **ret_unpack)
{
	struct file_unpack *u = calloc(1, sizeof(*u));
	int err;

	if (!u)
		return -ENOMEM;
	u->packing = packing;
	u->between_frames = true;
	err = start(u);
	if (err) {
		free(u);
		return err;
	}
	*ret_unpack = u;
	return 0;
}

void file_unpack__destroy(struct file_unpack *unpack)
{
	if (!unpack)
		return;
	if (unpack->packing == FILE_GZIP)
		inflateEnd(&unpack->gzip);
	ZSTD_freeDStream(unpack->zstd);
	LZ4F_freeDecompressionContext(unpack->lz4);
	free(unpack);
}

static int run_gzip(struct file_unpack *u, struct file_unpack_io *io)
{
	z_stream *z = &u->gzip;
	uInt in = io->in_bytes > INT_MAX ? INT_MAX : (uInt)io->in_bytes;
	uInt out = io->out_bytes > INT_MAX ? INT_MAX : (uInt)io->out_bytes;
	int r;

	if (u->ignore_rest || (u->had_frame && u->between_frames && in && *io->in != 0x1f)) {
		u->ignore_rest = true;
		io->in += io->in_bytes;
		io->in_bytes = 0;
		return 0;
	}
	z->next_in = (Bytef *)(uintptr_t)io->in;
	z->avail_in = in;
	z->next_out = io->out;
	z->avail_out = out;
	r = inflate(z, Z_NO_FLUSH);
	if (in != z->avail_in)
		u->between_frames = false;
	io->in += in - z->avail_in;
	io->in_bytes -= in - z->avail_in;
	io->out += out - z->avail_out;
	io->out_bytes -= out - z->avail_out;
	if (r == Z_STREAM_END) {
		u->between_frames = true;
		u->had_frame = true;
		inflateReset(z);
		return 0;
	}
	if (r == Z_MEM_ERROR)
		return -ENOMEM;
	return r == Z_OK || r == Z_BUF_ERROR ? 0 : -EBADMSG;
}

static int run_zstd(struct file_unpack *u, struct file_unpack_io *io)
{
	ZSTD_inBuffer in = { io->in, io->in_bytes, 0 };
	ZSTD_outBuffer out = { io->out, io->out_bytes, 0 };
	size_t r = ZSTD_decompressStream(u->zstd, &out, &in);

	if (ZSTD_isError(r))
		return -EBADMSG;
	if (in.pos || out.pos)
		u->between_frames = r == 0;
	io->in += in.pos;
	io->in_bytes -= in.pos;
	io->out += out.pos;
	io->out_bytes -= out.pos;
	return 0;
}

static int run_lz4(struct file_unpack *u, struct file_unpack_io *io)
{
	size_t in = io->in_bytes;
	size_t out = io->out_bytes;
	size_t r = LZ4F_decompress(u->lz4, io->out, &out, io->in, &in, NULL);

	if (LZ4F_isError(r))
		return -EBADMSG;
	if (in || out)
		u->between_frames = r == 0;
	io->in += in;
	io->in_bytes -= in;
	io->out += out;
	io->out_bytes -= out;
	return 0;
}

int file_unpack__run(struct file_unpack *unpack, struct file_unpack_io *io)
{
	switch (unpack->packing) {
	case FILE_GZIP:
		return run_gzip(unpack, io);
	case FILE_ZSTD:
		return run_zstd(unpack, io);
	default:
		return run_lz4(unpack, io);
	}
}

bool file_unpack__is_between_frames(const struct file_unpack *unpack)
{
	return unpack->between_frames;
}
