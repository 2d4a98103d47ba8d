/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ring of attempts to connect (core/connect_attempts.h) and its hash chains. */
#include <string.h>

#include "core/connect_attempts.h"
#include "core/text.h"

static uint32_t bucket_of(const struct tl_subject *s, uint32_t isn)
{
	uint64_t h = tl_text__hash(isn, s->client.ip, sizeof(s->client.ip));

	h = tl_text__hash(h ^ s->client.port, s->server.ip, sizeof(s->server.ip));
	return (uint32_t)tl_text__hash(h, &s->server.port, sizeof(s->server.port)) &
	       (CONNECT_ATTEMPTS - 1);
}

static uint32_t isn_of(const struct connect_attempt *a)
{
	return a->has_report ? a->report.isn : a->icmp.isn;
}

static bool is_it(const struct connect_attempt *a, const struct tl_subject *s, uint32_t isn)
{
	return isn_of(a) == isn && a->subject.client.port == s->client.port &&
	       a->subject.server.port == s->server.port &&
	       tl_endpoint__same_host(&a->subject.client, &s->client) &&
	       tl_endpoint__same_host(&a->subject.server, &s->server);
}

void connect_attempts__init(struct connect_attempts *attempts)
{
	memset(attempts->chain, 0xff, sizeof(attempts->chain));
}

struct connect_attempt *connect_attempts__find(struct connect_attempts *attempts,
					       const struct tl_subject *subject, uint32_t isn)
{
	uint32_t i = attempts->chain[bucket_of(subject, isn)];

	while (i != CONNECT_NO_ATTEMPT && !is_it(&attempts->slot[i], subject, isn))
		i = attempts->slot[i].next;
	return i == CONNECT_NO_ATTEMPT ? NULL : &attempts->slot[i];
}

static uint32_t next_slot(const struct connect_attempts *attempts)
{
	return (attempts->newest + 1) & (CONNECT_ATTEMPTS - 1);
}

struct connect_attempt *connect_attempts__oldest(struct connect_attempts *attempts)
{
	struct connect_attempt *a = &attempts->slot[next_slot(attempts)];

	return attempts->taken == CONNECT_ATTEMPTS && a->used ? a : NULL;
}

void connect_attempts__remove(struct connect_attempts *attempts, struct connect_attempt *attempt)
{
	const uint32_t self = (uint32_t)(attempt - attempts->slot);
	uint32_t *at = &attempts->chain[bucket_of(&attempt->subject, isn_of(attempt))];

	while (*at != self)
		at = &attempts->slot[*at].next;
	*at = attempt->next;
	attempt->used = false;
}

struct connect_attempt *connect_attempts__add(struct connect_attempts *attempts,
					      const struct tl_subject *subject, uint32_t isn)
{
	uint32_t *chain = &attempts->chain[bucket_of(subject, isn)];
	struct connect_attempt *a;

	attempts->newest = next_slot(attempts);
	attempts->taken += attempts->taken < CONNECT_ATTEMPTS;
	a = &attempts->slot[attempts->newest];
	*a = (struct connect_attempt){
		.used = true,
		.subject = *subject,
		.group = CONNECT_NO_ATTEMPT,
		.next = *chain,
	};
	*chain = attempts->newest;
	return a;
}
