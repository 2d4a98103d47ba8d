/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * May an XDP program decide about this interface's packets? For the sources that use one.
 */
#ifndef TL_SOURCE_XDP_FIT_H
#define TL_SOURCE_XDP_FIT_H

#include "tapline/link.h"
#include "tapline/source.h"

#define XDP_FIT_FILTER_FIRST                                                                       \
	"this filter cannot run in the kernel, where --sample and --cutoff come after it; "        \
	"use a simpler filter, or neither of them"

/*
 * The interface exists, is up, is Ethernet, and XDP may be used: unless `opts` names an XDP mode,
 * its host must not use it, since it would no longer see its packets. 0 or -errno, in words.
 */
int xdp_fit__check(const struct tl_source_live_opts *opts, struct tl_error *ret_error,
		   struct tl_link_info *ret_link);

#endif
