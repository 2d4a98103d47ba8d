/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The run's files: see file_list.h. Every public function takes the lock itself. */
#include "file_list.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void tl_file_list__init(struct tl_file_list *list, const char *suffix)
{
	memset(list, 0, sizeof(*list));
	list->suffix = suffix;
	pthread_mutex_init(&list->lock, NULL);
}

void tl_file_list__fini(struct tl_file_list *list)
{
	for (uint32_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	pthread_mutex_destroy(&list->lock);
}

static uint32_t find(const struct tl_file_list *list, const char *path)
{
	uint32_t i = 0;

	while (i < list->count && strcmp(list->names[i], path))
		i++;
	return i;
}

static void forget(struct tl_file_list *list, uint32_t i)
{
	if (i >= list->count)
		return;
	free(list->names[i]);
	list->count--;
	memmove(list->names + i, list->names + i + 1, (list->count - i) * sizeof(*list->names));
}

static int append(struct tl_file_list *list, const char *path)
{
	if (list->count == list->capacity) {
		uint32_t capacity = list->capacity ? 2 * list->capacity : 64;
		char **names = realloc(list->names, capacity * sizeof(*names));

		if (!names)
			return -ENOMEM;
		list->names = names;
		list->capacity = capacity;
	}
	list->names[list->count] = strdup(path);
	if (!list->names[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

int tl_file_list__add(struct tl_file_list *list, const char *path)
{
	int err = 0;

	pthread_mutex_lock(&list->lock);
	forget(list, find(list, path));
	if (list->count < TL_FILE_LIST_MAX)
		err = append(list, path);
	pthread_mutex_unlock(&list->lock);
	return err;
}

bool tl_file_list__delete_oldest(struct tl_file_list *list)
{
	bool found;

	pthread_mutex_lock(&list->lock);
	found = list->count > 0;
	if (found) {
		if (!unlink(list->names[0]))
			list->deleted++;
		forget(list, 0);
	}
	pthread_mutex_unlock(&list->lock);
	return found;
}

int tl_file_list__delete(struct tl_file_list *list, const char *path)
{
	int err = 0;

	pthread_mutex_lock(&list->lock);
	if (unlink(path))
		err = -errno;
	else
		list->deleted++;
	if (!err || err == -ENOENT)
		forget(list, find(list, path));
	pthread_mutex_unlock(&list->lock);
	return err;
}

void tl_file_list__make_way(struct tl_file_list *list, const char *path)
{
	char compressed[PATH_MAX + 8];
	struct stat st;

	snprintf(compressed, sizeof(compressed), "%s%s", path, list->suffix);
	pthread_mutex_lock(&list->lock);
	if (!lstat(path, &st) && S_ISREG(st.st_mode))
		unlink(path);
	if (find(list, compressed) < list->count) {
		unlink(compressed);
		forget(list, find(list, compressed));
	}
	pthread_mutex_unlock(&list->lock);
}

static bool is_same_file(const char *path, int fd)
{
	struct stat named, open;

	return !lstat(path, &named) && !fstat(fd, &open) && named.st_ino == open.st_ino &&
	       named.st_dev == open.st_dev;
}

int tl_file_list__replace(struct tl_file_list *list, const char *path, int fd, const char *part)
{
	char compressed[PATH_MAX + 8];
	int err = 0;
	uint32_t i;

	snprintf(compressed, sizeof(compressed), "%s%s", path, list->suffix);
	pthread_mutex_lock(&list->lock);
	i = find(list, path);
	if (!is_same_file(path, fd)) {
		unlink(part);
	} else if (rename(part, compressed)) {
		err = -errno;
		unlink(part);
	} else {
		char *name = strdup(compressed);

		unlink(path);
		if (i < list->count && name) {
			free(list->names[i]);
			list->names[i] = name;
		} else {
			free(name);
		}
	}
	pthread_mutex_unlock(&list->lock);
	return err;
}
