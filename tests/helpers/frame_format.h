/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The numbered frame that framegen sends and framecheck judges. Its bytes follow from the stream,
 * the number and the size alone, and a sum covers all of them, so a reader needs nothing else to
 * say whether a frame is whole.
 *
 *   0        12        12+4t          +2          +22         +30
 *   | MACs   | t tags  | 0x0800       | IPv4      | UDP       | mark 2 | stream 4? ...
 *
 *   after the UDP header (t = 0: offset 42; big-endian like all of the network's fields):
 *   42 mark u16 | 44 mark u16 | 46 stream u16 | 48 number u64 | 56 sum u32 | 60 filler to the end
 *
 * The frame without tags is cut into 32-bit words at its start (each tag is one word, so the words
 * never shift). The sum is linear, which lets a kernel program number a frame without reading it
 * whole: sum = SEED * length + Σ word[i] * weight(i), weight(i) odd, the sum's own word left out.
 * A change of any single word always changes the sum.
 */
#ifndef FRAME_FORMAT_H
#define FRAME_FORMAT_H

#include <linux/types.h>

#define FRAME_MARK	  0x7a9e
#define FRAME_MARK2	  0x4c1d
#define FRAME_SEED	  0x85ebca6bU
#define FRAME_MAX	  9216
#define FRAME_TAGS_MAX	  2
#define FRAME_PORT_FIRST  10000 /* a flow's client port is this plus the flow's number */
#define FRAME_PORT_SERVER 9
#define FRAME_FLOWS_MAX	  50000

/* Offsets behind the tags. */
enum {
	FRAME_IP = 14,
	FRAME_SADDR = 26,
	FRAME_DADDR = 30,
	FRAME_SPORT = 34,
	FRAME_DPORT = 36,
	FRAME_PAYLOAD = 42,
	FRAME_STREAM = 46,
	FRAME_NUMBER = 48,
	FRAME_SUM = 56,
	FRAME_HEAD = 60, /* the smallest frame, as 64 B on the wire with its check sequence */
};

static inline __u32 frame_weight(__u32 word)
{
	return 0x9e3779b1U * (2 * word + 1);
}

#endif
