/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "-i any": every interface of this host that is up, each by its own name. */
#ifndef TAPLINE_TOOLS_INTERFACE_LIST_H
#define TAPLINE_TOOLS_INTERFACE_LIST_H

#include "options.h"

struct if_nameindex;

/* Interfaces by name; the names are the caller's, or of this host. */
struct interface_list {
	struct string_list names;
	struct if_nameindex *host;
};

/*
 * `named`, with the interfaces that are up in the place of "any", none twice. Those of another link
 * type than the first are left out, for a file holds one; a line on stderr says so. The result is
 * to be freed even after a failure. 0; -EINVAL: none is up, or more than a run can take; -ENOMEM.
 */
int interface_list__of(const struct string_list *named, struct interface_list *ret_list,
		       struct tl_error *ret_error);
void interface_list__free(struct interface_list *list);

#endif
