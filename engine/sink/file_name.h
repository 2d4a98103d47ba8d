/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of rotated files, as tcpdump and dumpcap make them, and the pattern that finds the files
 * of earlier runs. Pure functions. Times are local, as both programs have them.
 *
 *   TL_NAME_TCPDUMP   x.pcap  x.pcap1  x.pcap2 …      (-C)       x.pcap00 … x.pcap11  (-C -W 12)
 *   TL_NAME_DUMPCAP   x_00001_20261122100001.pcapng …            (-b)
 *   TL_NAME_STRFTIME  strftime(3) of the path, and with -C too the counter of TL_NAME_TCPDUMP
 */
#ifndef TAPLINE_SINK_FILE_NAME_H
#define TAPLINE_SINK_FILE_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "tapline/recorder.h"

/* Where in the rotation a file stands. */
struct tl_file_key {
	uint64_t now_ns;  /* when it begins, clock of the packets */
	uint64_t number;  /* from 1, counts every file */
	uint64_t counter; /* of -C: from 0, begins again with each -G period and after -W files */
};

/* 0, -ENAMETOOLONG, -EINVAL (an empty name). */
int tl_file_name__format(const struct tl_recorder_opts *opts, const struct tl_file_key *key,
			 char *ret_path, size_t bytes);

/*
 * POSIX extended regular expression for the last component of all names that `opts` can make,
 * compressed ones too. 0 or -ENAMETOOLONG.
 */
int tl_file_name__pattern(const struct tl_recorder_opts *opts, char *ret_pattern, size_t bytes);

#endif
