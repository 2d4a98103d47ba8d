/* SPDX-License-Identifier: GPL-2.0-or-later */
/* On which side each host stands; see hosts.h. */
#include "hosts.h"

#include <stddef.h>

#include "print.h"
#include "tapline/compare.h"

#define PROBES	    32u
#define SAMPLES_MIN 3u

struct host *hosts__get(struct hosts *hosts, const uint8_t ip[16], bool add)
{
	uint64_t key = print__hash(7, ip, 16) | 1;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct host *h = &hosts->host[(key / 2 + i) % HOSTS_ROOM];

		if (h->key == key)
			return h;
		if (h->key)
			continue;
		if (!add || hosts->count >= HOSTS_ROOM / 2)
			return NULL;
		hosts->count++;
		h->key = key;
		return h;
	}
	return NULL;
}

void hosts__settle(struct hosts *hosts)
{
	double low = 0, high = 0;
	bool any = false;

	for (uint32_t i = 0; i < HOSTS_ROOM; i++) {
		const struct host *h = &hosts->host[i];
		double mean;

		hosts->by_ttl |= h->votes != 0;
		if (!h->key || h->samples < SAMPLES_MIN)
			continue;
		mean = h->delta_ns / h->samples;
		low = !any || mean < low ? mean : low;
		high = !any || mean > high ? mean : high;
		any = true;
	}
	hosts->middle_ns = (low + high) / 2;
}

int hosts__side(struct hosts *hosts, const uint8_t ip[16])
{
	const struct host *h = hosts__get(hosts, ip, false);

	if (!h)
		return 0;
	if (hosts->by_ttl)
		return (h->votes > 0) - (h->votes < 0);
	if (!h->samples)
		return 0;
	return h->delta_ns / h->samples >= hosts->middle_ns ? 1 : -1;
}

int hosts__direction(struct hosts *hosts, const uint8_t src[16], const uint8_t dst[16])
{
	int side = hosts__side(hosts, src);

	if (!side)
		side = -hosts__side(hosts, dst);
	if (!side)
		return -1;
	return side > 0 ? TL_COMPARE_A_TO_B : TL_COMPARE_B_TO_A;
}
