/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processors and memory: which core a worker is pinned to and where its memory lies.
 */
#ifndef TAPLINE_TOPOLOGY_H
#define TAPLINE_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#include "tapline/source.h"

#define TL_CPU_MAX 1024

/* CPUs this process may run on. Count. */
uint32_t tl_topology__cpus(int *ret_cpus, uint32_t max);

/* Parses "0,2-5" into a list. Count; -EINVAL: no list; -ERANGE: a CPU that is not here. */
int tl_topology__parse_cpus(const char *list, int *ret_cpus, uint32_t max,
			    struct tl_error *ret_error);

/* Orders `cpus` so that those of `numa_node` come first (libnuma; unchanged on one node). */
void tl_topology__prefer_node(int *cpus, uint32_t count, int numa_node);

/* Pins the calling thread. 0 or -errno. */
int tl_topology__pin(int cpu);

/* Zeroed memory on a node (-1: any), huge pages when there are any; size rounded up to a page. */
void *tl_topology__alloc(size_t bytes, int numa_node);
/*
 * True: so many bytes of huge pages lie free, on the node if it is not -1, with as many again to
 * spare. Otherwise the kernel would have to move memory about for them, which can take seconds.
 */
bool tl_topology__has_free_huge_pages(size_t bytes, int numa_node);
void tl_topology__free(void *memory, size_t bytes);

#endif
