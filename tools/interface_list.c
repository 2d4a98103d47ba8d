/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "interface_list.h"
#include "tapline/engine.h"
#include "tapline/link.h"

#define ANY "any"

static bool is_in(const struct string_list *list, const char *name)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (!strcmp(list->at[i], name))
			return true;
	return false;
}

static int refuse(struct tl_error *ret_error, const char *why)
{
	snprintf(ret_error->what, sizeof(ret_error->what), "-i any: %s", why);
	return -EINVAL;
}

static int add_named(struct string_list *list, const struct string_list *named)
{
	int err = 0;

	for (uint32_t i = 0; !err && i < named->count; i++)
		if (strcmp(named->at[i], ANY))
			err = string_list__add(list, named->at[i]);
	return err;
}

static int add_up(struct string_list *list, const struct if_nameindex *all)
{
	struct tl_link_info first, info;
	int err = 0;

	if (list->count && tl_link__read(list->at[0], &first))
		return 0; /* opening it will say why */
	for (const struct if_nameindex *i = all; !err && i->if_name; i++) {
		if (is_in(list, i->if_name) || tl_link__read(i->if_name, &info) || !info.up)
			continue;
		if (!list->count)
			first = info;
		if (info.linktype == first.linktype)
			err = string_list__add(list, i->if_name);
		else
			fprintf(stderr,
				"tapline: -i any: %s is left out: its link type is not that of "
				"%s, and a file holds one; capture it apart\n",
				i->if_name, list->at[0]);
	}
	return err;
}

int interface_list__of(const struct string_list *named, struct interface_list *ret_list,
		       struct tl_error *ret_error)
{
	struct string_list *names = &ret_list->names;
	struct tl_link_info info;
	int err = 0;

	*ret_list = (struct interface_list){ 0 };
	/* An interface may have that name. */
	if (!is_in(named, ANY) || !tl_link__read(ANY, &info)) {
		for (uint32_t i = 0; !err && i < named->count; i++)
			err = string_list__add(names, named->at[i]);
		return err;
	}
	ret_list->host = if_nameindex();
	if (!ret_list->host)
		return refuse(ret_error, strerror(errno));
	err = add_named(names, named);
	if (!err)
		err = add_up(names, ret_list->host);
	if (err)
		return err;
	if (!names->count)
		return refuse(ret_error, "no interface is up; bring one up: ip link set IF up");
	if (names->count > TL_INTERFACES_MAX)
		return refuse(ret_error, "more interfaces are up than a run takes (32); name those "
					 "that matter, each with -i");
	return 0;
}

void interface_list__free(struct interface_list *list)
{
	string_list__free(&list->names);
	if (list->host)
		if_freenameindex(list->host);
	list->host = NULL;
}
