/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Structs shared by the kernel programs and user space. Sizes are asserted on both sides.
 */
#ifndef TL_ABI_H
#define TL_ABI_H

#include <linux/types.h>

/* What a translated filter counts, by CPU. */
struct tl_filter_count {
	__u64 seen;	  /* packets it was asked about */
	__u64 seen_bytes; /* their wire length */
	__u64 kept;
	__u64 kept_bytes;
};

_Static_assert(sizeof(struct tl_filter_count) == 32, "shared with the kernel programs");

#endif
