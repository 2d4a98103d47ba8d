/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Retention: see retention.h. */
#include "retention.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "file_name.h"

#define NS_PER_S  1000000000ull
#define FILES_MAX 1000000u /* of one folder that are looked at */

struct old_file {
	uint64_t changed_ns;
	uint64_t bytes;
	char *name; /* owned */
};

struct folder {
	struct old_file *files; /* owned */
	uint32_t count;
	uint32_t capacity;
	uint64_t bytes; /* of all, the open file too */
};

int tl_retention__init(struct tl_retention *retention, const struct tl_recorder_opts *opts)
{
	char pattern[4096];
	int err;

	memset(retention, 0, sizeof(*retention));
	retention->opts = opts;
	if (!opts->quota_bytes && !opts->min_free_bytes && !opts->max_age_ns)
		return 0;
	err = tl_file_name__pattern(opts, pattern, sizeof(pattern));
	if (err)
		return err;
	if (regcomp(&retention->pattern, pattern, REG_EXTENDED | REG_NOSUB))
		return -EINVAL;
	retention->enabled = true;
	return 0;
}

void tl_retention__fini(struct tl_retention *retention)
{
	if (retention->enabled)
		regfree(&retention->pattern);
	retention->enabled = false;
}

static int compare(const void *a, const void *b)
{
	const struct old_file *x = a, *y = b;

	if (x->changed_ns != y->changed_ns)
		return x->changed_ns < y->changed_ns ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool remember(struct folder *folder, const char *name, const struct stat *st)
{
	struct old_file *file;

	if (folder->count == folder->capacity) {
		uint32_t capacity = folder->capacity ? 2 * folder->capacity : 256;

		file = realloc(folder->files, capacity * sizeof(*file));
		if (!file || capacity > FILES_MAX)
			return false;
		folder->files = file;
		folder->capacity = capacity;
	}
	file = folder->files + folder->count;
	file->changed_ns = (uint64_t)st->st_mtim.tv_sec * NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;
	file->bytes = (uint64_t)st->st_size;
	file->name = strdup(name);
	if (!file->name)
		return false;
	folder->count++;
	return true;
}

static void read_folder(const struct tl_retention *retention, DIR *dir, const char *current,
			struct folder *folder)
{
	struct dirent *entry;
	struct stat st;

	while ((entry = readdir(dir))) {
		if (regexec(&retention->pattern, entry->d_name, 0, NULL, 0) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			continue;
		folder->bytes += (uint64_t)st.st_size;
		if (strcmp(entry->d_name, current) && !remember(folder, entry->d_name, &st))
			break;
	}
	if (folder->count)
		qsort(folder->files, folder->count, sizeof(*folder->files), compare);
}

static uint64_t free_bytes(DIR *dir)
{
	struct statvfs vfs;

	if (fstatvfs(dirfd(dir), &vfs))
		return UINT64_MAX;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

static bool must_go(const struct tl_recorder_opts *opts, const struct folder *folder,
		    const struct old_file *file, DIR *dir)
{
	struct timespec now;

	if (opts->quota_bytes && folder->bytes > opts->quota_bytes)
		return true;
	if (opts->min_free_bytes && free_bytes(dir) < opts->min_free_bytes)
		return true;
	if (!opts->max_age_ns)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec >
	       file->changed_ns + opts->max_age_ns;
}

void tl_retention__apply(struct tl_retention *retention, struct tl_file_list *list,
			 const char *current)
{
	const char *slash = strrchr(current, '/');
	int prefix = slash ? (int)(slash - current) + 1 : 0;
	struct folder folder = { 0 };
	char path[2 * PATH_MAX];
	DIR *dir;

	if (!retention->enabled)
		return;
	snprintf(path, sizeof(path), "%.*s.", prefix, current);
	dir = opendir(path);
	if (!dir)
		return;
	read_folder(retention, dir, current + prefix, &folder);
	for (uint32_t i = 0; i < folder.count; i++) {
		struct old_file *file = folder.files + i;

		if (!must_go(retention->opts, &folder, file, dir))
			break;
		/* spelled as the list spells it */
		snprintf(path, sizeof(path), "%.*s%s", prefix, current, file->name);
		if (!tl_file_list__delete(list, path))
			folder.bytes -= file->bytes;
	}
	for (uint32_t i = 0; i < folder.count; i++)
		free(folder.files[i].name);
	free(folder.files);
	closedir(dir);
}
