/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The names of this run's files that are still there, oldest first.
 *
 *   writer thread: add, remove ─┐
 *                               ├─ lock ─ [ name, name, name … ]
 *   compressor:    replace ─────┘
 *
 * The lock is also what keeps the compressor from removing a file that the writer has just opened
 * anew under the same name: both change the folder only while they hold it.
 */
#ifndef TAPLINE_SINK_FILE_LIST_H
#define TAPLINE_SINK_FILE_LIST_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define TL_FILE_LIST_MAX 100000u /* names kept; beyond that files are counted only */

struct tl_file_list {
	pthread_mutex_t lock;
	char **names; /* owned, and so is each name */
	uint32_t count;
	uint32_t capacity;
	uint64_t deleted;
	const char *suffix; /* of compressed files; "" for none */
};

void tl_file_list__init(struct tl_file_list *list, const char *suffix);
void tl_file_list__fini(struct tl_file_list *list);

/* Takes a name up, or moves it to the end when it is there (a name used again). 0 or -ENOMEM. */
int tl_file_list__add(struct tl_file_list *list, const char *path);

/* Deletes the oldest file, and forgets it. False when there is none. */
bool tl_file_list__delete_oldest(struct tl_file_list *list);

/* Deletes `path`, of this run or not, and counts it. 0 or -errno. */
int tl_file_list__delete(struct tl_file_list *list, const char *path);

/*
 * Before `path` is opened for writing: removes what an earlier round left under that name, also
 * in compressed form (`suffix`), so that a compressor at work keeps the old inode to itself.
 */
void tl_file_list__make_way(struct tl_file_list *list, const char *path);

/*
 * `part` becomes `path` with the suffix and the original, open as `fd`, goes; unless it has been
 * deleted or replaced meanwhile: then `part` goes. 0 or -errno.
 */
int tl_file_list__replace(struct tl_file_list *list, const char *path, int fd, const char *part);

#endif
