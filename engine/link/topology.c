/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processors and memory: see tapline/topology.h. Any thread may call.
 *
 * Memory comes from mmap, in this order:
 *
 *   MAP_HUGETLB (reserved 2 MiB pages)  ─►  plain pages with MADV_HUGEPAGE  ─►  plain pages
 *
 * Its size is rounded up to 2 MiB when it is that large, because munmap of huge pages wants whole
 * ones; __free rounds alike, so that it needs no record of which kind it was.
 */
#include "tapline/topology.h"

#include <errno.h>
#include <numa.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)

static uint32_t allowed(cpu_set_t *set)
{
	CPU_ZERO(set);
	return sched_getaffinity(0, sizeof(*set), set) ? 0 : (uint32_t)CPU_COUNT(set);
}

uint32_t tl_topology__cpus(int *ret_cpus, uint32_t max)
{
	uint32_t count = 0;
	cpu_set_t set;

	if (!allowed(&set))
		return 0;
	for (int cpu = 0; cpu < CPU_SETSIZE && count < max; cpu++)
		if (CPU_ISSET(cpu, &set))
			ret_cpus[count++] = cpu;
	return count;
}

/* "N" or "N-M" at `at`, up to a comma or the end. */
static int parse_range(const char **at, long *ret_first, long *ret_last)
{
	char *end;
	long first, last;

	if (**at < '0' || **at > '9')
		return -EINVAL;
	first = last = strtol(*at, &end, 10);
	if (*end == '-') {
		if (end[1] < '0' || end[1] > '9')
			return -EINVAL;
		last = strtol(end + 1, &end, 10);
	}
	if (last < first || (*end && *end != ','))
		return -EINVAL;
	if (*end == ',' && !end[1])
		return -EINVAL;
	*at = *end ? end + 1 : end;
	*ret_first = first;
	*ret_last = last;
	return 0;
}

static bool listed(const int *cpus, uint32_t count, int cpu)
{
	for (uint32_t i = 0; i < count; i++)
		if (cpus[i] == cpu)
			return true;
	return false;
}

int tl_topology__parse_cpus(const char *list, int *ret_cpus, uint32_t max,
			    struct tl_error *ret_error)
{
	const char *at = list;
	uint32_t count = 0;
	cpu_set_t set;
	long first, last;

	allowed(&set);
	do {
		if (parse_range(&at, &first, &last)) {
			snprintf(ret_error->what, sizeof(ret_error->what),
				 "\"%.60s\" is no list of CPUs; write it as 0,2-5", list);
			return -EINVAL;
		}
		for (long cpu = first; cpu <= last; cpu++) {
			if (cpu >= CPU_SETSIZE || !CPU_ISSET((int)cpu, &set)) {
				snprintf(ret_error->what, sizeof(ret_error->what),
					 "CPU %ld is not here, or not allowed to this process",
					 cpu);
				return -ERANGE;
			}
			if (count < max && !listed(ret_cpus, count, (int)cpu))
				ret_cpus[count++] = (int)cpu;
		}
	} while (*at);
	return (int)count;
}

/* Nodes that memory can be asked of; 1 when there is nothing to choose. */
static int nodes(void)
{
	return numa_available() < 0 ? 1 : numa_max_node() + 1;
}

void tl_topology__prefer_node(int *cpus, uint32_t count, int numa_node)
{
	uint32_t kept = 0;

	if (numa_node < 0 || nodes() < 2)
		return;
	/* a stable partition: each CPU of the node moves in front of those that are not */
	for (uint32_t i = 0; i < count; i++) {
		int cpu = cpus[i];

		if (numa_node_of_cpu(cpu) != numa_node)
			continue;
		memmove(&cpus[kept + 1], &cpus[kept], (i - kept) * sizeof(*cpus));
		cpus[kept++] = cpu;
	}
}

int tl_topology__pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return -pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static size_t rounded(size_t bytes)
{
	size_t page = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : (size_t)sysconf(_SC_PAGESIZE);

	return bytes > SIZE_MAX - page ? 0 : (bytes + page - 1) / page * page;
}

void *tl_topology__alloc(size_t bytes, int numa_node)
{
	size_t size = rounded(bytes);
	void *memory = MAP_FAILED;

	if (!size)
		return NULL;
	if (size >= HUGE_PAGE_BYTES)
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (memory == MAP_FAILED) {
		memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			      0);
		if (memory == MAP_FAILED)
			return NULL;
		if (size >= HUGE_PAGE_BYTES)
			(void)madvise(memory, size, MADV_HUGEPAGE);
	}
	/* before the first touch, which is what decides where a page lies */
	if (numa_node >= 0 && nodes() > 1 && numa_node < nodes())
		numa_tonode_memory(memory, size, numa_node);
	return memory;
}

/* A line of /proc/buddyinfo: "Node 0, zone Normal", free blocks of 1 page, of 2, of 4, … */
static size_t free_huge_bytes(const char *line, int numa_node)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE), bytes = 0;
	int node, at = 0;
	char *end;

	if (sscanf(line, "Node %d, zone %*s%n", &node, &at) != 1 || !at ||
	    (numa_node >= 0 && node != numa_node))
		return 0;
	for (line += at;; size *= 2, line = end) {
		size_t count = strtoul(line, &end, 10);

		if (end == line)
			return bytes;
		if (size >= HUGE_PAGE_BYTES)
			bytes += count * size;
	}
}

bool tl_topology__has_free_huge_pages(size_t bytes, int numa_node)
{
	FILE *f = fopen("/proc/buddyinfo", "re");
	size_t found = 0;
	char line[512];

	while (f && fgets(line, sizeof(line), f))
		found += free_huge_bytes(line, numa_node);
	if (f)
		fclose(f);
	return found / 2 >= bytes;
}

void tl_topology__free(void *memory, size_t bytes)
{
	if (memory)
		munmap(memory, rounded(bytes));
}
