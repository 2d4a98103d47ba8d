/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Repair of a capture file that a crash, a full disk or a power cut left unfinished.
 */
#ifndef TAPLINE_REPAIR_H
#define TAPLINE_REPAIR_H

#include <stdint.h>

#include "tapline/source.h"

struct tl_repair_result {
	uint64_t packets;    /* in the blocks that are whole */
	uint64_t kept_bytes; /* the file's size now */
	uint64_t cut_bytes;  /* 0: the file was whole */
	char why[96];	     /* what stood at the cut */
};

/*
 * Walks a pcapng or pcap file and cuts it after the last whole block (record). Every block before
 * the first broken one is kept byte for byte. A file being recorded must not be repaired.
 * 0; -EBADMSG: not a capture, nothing was touched; -errno. `ret_error` says it in words.
 */
int tl_repair__file(const char *path, struct tl_error *ret_error,
		    struct tl_repair_result *ret_result);

#endif
