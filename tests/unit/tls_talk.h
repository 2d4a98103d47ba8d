/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of tls.* share: a bed, and the pieces that conversations are made of.
 */
#ifndef TAPLINE_TESTS_TLS_TALK_H
#define TAPLINE_TESTS_TLS_TALK_H

#include <criterion/criterion.h>

#include "unit/talk_bed.h"
#include "unit/tls_bytes.h"

#define NOW 1795341600ll /* BED_START_NS, in seconds */
#define DAY 86400ll

static const struct bed_pair pair = { "10.0.1.5", "10.0.2.10", 40112, 8443 };
static const struct tls_certificate healthy_root = { "Corp CA", "Corp CA", NOW - DAY, NOW + DAY,
						     NULL };

static struct bed *b;

static inline void begin(void)
{
	b = bed__start(false);
}

static inline void end(void)
{
	bed__free(b);
}

/* --- pieces of conversations ------------------------------------------------------------------ */

static inline void say(struct talk *t, enum talk_side side, uint64_t ms, const struct bytes *m)
{
	talk__say(t, side, ms, (struct talk_words){ m->data, m->n });
}

static inline void say_hello(struct talk *t, uint64_t ms, uint16_t version)
{
	struct bytes m = { 0 };

	tls__client_hello(&m, "api.test", version);
	say(t, TALK_CLIENT, ms, &m);
}

static inline void say_alert(struct talk *t, enum talk_side side, uint64_t ms, uint8_t alert)
{
	struct bytes m = { 0 };

	tls__alert(&m, 2, alert);
	say(t, side, ms, &m);
}

/* server_hello, certificate, server_hello_done; `up` NULL: the leaf alone. */
static inline void say_flight(struct talk *t, uint64_t ms, const struct tls_certificate *leaf,
			      const struct tls_certificate *up)
{
	struct bytes m = { 0 }, list = { 0 };

	tls__server_hello(&m, 0x0303);
	tls__certificate(&list, leaf);
	if (up)
		tls__certificate(&list, up);
	tls__chain(&m, &list);
	tls__empty_message(&m, 14);
	say(t, TALK_SERVER, ms, &m);
}

static inline void say_finished(struct talk *t, uint64_t ms)
{
	struct bytes client = { 0 }, server = { 0 };

	tls__empty_message(&client, 16);
	tls__finished(&client);
	say(t, TALK_CLIENT, ms, &client);
	tls__finished(&server);
	say(t, TALK_SERVER, ms + 1, &server);
}

static inline void say_data(struct talk *t, uint64_t ms)
{
	struct bytes m = { 0 };

	tls__record(&m, 23, NULL, 200);
	say(t, TALK_CLIENT, ms, &m);
	say(t, TALK_SERVER, ms + 1, &m);
}

/* A whole TLS 1.2 connection that comes about and is used. */
static inline void healthy(const struct bed_pair *p, uint64_t ms,
			   const struct tls_certificate *leaf, const struct tls_certificate *up)
{
	struct talk t = talk__open(b, p, ms);

	say_hello(&t, ms + 5, 0x0303);
	say_flight(&t, ms + 10, leaf, up);
	say_finished(&t, ms + 15);
	say_data(&t, ms + 20);
	talk__close(&t, ms + 30);
}

static inline struct tls_certificate leaf_of(const char *issuer)
{
	return (struct tls_certificate){ "api.test", issuer, NOW - DAY, NOW + DAY, NULL };
}

static inline const struct tl_finding *only(const char *kind)
{
	const struct tl_finding *f = bed__only(b, kind);

	cr_assert_not_null(f, "no %s", kind);
	return f;
}

static inline bool detail_bool(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name))
			return f->details[i].boolean;
	cr_assert_fail("no detail %s", name);
	return false;
}

#endif
