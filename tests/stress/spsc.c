/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_base */
/*
 * One producer, one consumer, a ring far too small: every element arrives once, whole and in order.
 * Under ThreadSanitizer this also checks the edges that spsc.h promises.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "tapline/spsc.h"

#define ELEMENTS 2000000u

struct element {
	uint64_t number;
	uint64_t check[6];
};

static struct tl_spsc ring;

static void *produce(void *unused)
{
	for (uint64_t n = 0; n < ELEMENTS;) {
		struct element *e = tl_spsc__reserve(&ring);

		if (!e) {
			tl_cpu_relax();
			continue;
		}
		e->number = n;
		for (int i = 0; i < 6; i++)
			e->check[i] = n * 2654435761u + (uint64_t)i;
		tl_spsc__push(&ring);
		n++;
	}
	return unused;
}

int main(void)
{
	pthread_t producer;

	if (tl_spsc__init(&ring, 64, sizeof(struct element)) ||
	    pthread_create(&producer, NULL, produce, NULL))
		return 1;
	for (uint64_t n = 0; n < ELEMENTS;) {
		const struct element *e = tl_spsc__front(&ring);

		if (!e) {
			tl_cpu_relax();
			continue;
		}
		for (int i = 0; i < 6; i++) {
			if (e->number == n && e->check[i] == n * 2654435761u + (uint64_t)i)
				continue;
			fprintf(stderr, "element %" PRIu64 " came torn or out of order\n", n);
			return 1;
		}
		tl_spsc__pop(&ring);
		n++;
	}
	pthread_join(producer, NULL);
	tl_spsc__fini(&ring);
	printf("%u elements, each once, in order\n", ELEMENTS);
	return 0;
}
