/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Retention: the oldest files go until quota, free space and age are kept.
 *
 *   folder ─► names that match the run's pattern ─► by time of last change ─► delete from the front
 *
 * Invariants: only regular files whose name this run could have made are deleted, never the open
 * one. The folder is read anew each time, so files of earlier runs, compressed files and files that
 * somebody else removed are all counted as they are. Called by the writer thread alone.
 */
#ifndef TAPLINE_SINK_RETENTION_H
#define TAPLINE_SINK_RETENTION_H

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "file_list.h"
#include "tapline/recorder.h"

struct tl_retention {
	const struct tl_recorder_opts *opts; /* borrowed */
	bool enabled;
	regex_t pattern;
};

/* 0, -ENAMETOOLONG or -EINVAL. */
int tl_retention__init(struct tl_retention *retention, const struct tl_recorder_opts *opts);
void tl_retention__fini(struct tl_retention *retention);

/* `current`: path of the open file, which stays; its folder is the one looked at. */
void tl_retention__apply(struct tl_retention *retention, struct tl_file_list *list,
			 const char *current);

#endif
