/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each kind of finding means: docs/diagnosis.md, carried in the program, a section a kind.
 */
#ifndef TAPLINE_TOOLS_EXPLAIN_H
#define TAPLINE_TOOLS_EXPLAIN_H

#include <stdio.h>

/*
 * Prints the section of `kind` ("tcp.loss"), of all kinds of a family ("tcp"), or, for "list", the
 * names of all. 0; -ENOENT with near names, or the families, in `ret_near`; -EIO.
 */
int explain__print(const char *kind, FILE *out, char *ret_near, size_t near_bytes);

#endif
