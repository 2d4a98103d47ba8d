/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the analyzers of TCP faults (window, reset, port_reuse, loss) share: who sent a packet, a
 * packet as proof, the keys of their findings, words. Pure functions; any thread.
 */
#ifndef TAPLINE_ANALYZERS_TCP_FAULT_H
#define TAPLINE_ANALYZERS_TCP_FAULT_H

#include <stdio.h>
#include <string.h>

#include "core/analyzer_impl.h"
#include "core/text.h"

#define TL_PROTO_TCP 6

#define TL_NS_PER_MS  1000000ull
#define TL_NS_PER_SEC 1000000000ull

/* A packet that proves something; `frame` may be 0 (not in the file), ts_ns not. */
struct tl_proof {
	uint64_t frame;
	uint64_t ts_ns;
	uint32_t seq;
	uint32_t value; /* the analyzer's own */
	uint8_t what;	/* the analyzer's own */
};

static inline uint64_t tl_span_ns(uint64_t from_ns, uint64_t to_ns)
{
	return to_ns > from_ns ? to_ns - from_ns : 0;
}

/* "client 10.0.1.5" is all that is known of it: for a key, without its port, which changes. */
#define TL_PAIR_KEY (2 * TL_ENDPOINT_KEY + 2)
static inline void tl_pair__key(const struct tl_subject *subject, uint8_t mark,
				uint8_t ret_key[TL_PAIR_KEY])
{
	struct tl_endpoint client = subject->client;

	client.port = 0;
	tl_endpoint__key(&client, ret_key);
	tl_endpoint__key(&subject->server, ret_key + TL_ENDPOINT_KEY);
	ret_key[2 * TL_ENDPOINT_KEY] = mark;
	ret_key[2 * TL_ENDPOINT_KEY + 1] = subject->proto;
}

/* All packets of the connection, or (`flows` > 1) of all between the two on the server's port. */
static inline void tl_pair__filter(const struct tl_subject *subject, uint64_t flows,
				   struct tl_finding *f)
{
	char client[TL_TEXT_FILTER], server[TL_TEXT_FILTER], port[24] = "";

	if (flows == 1)
		snprintf(port, sizeof(port), " && tcp.port==%u", subject->client.port);
	tl_finding__filter(
		f, "%s && %s%s && tcp.port==%u", tl_text__ip_filter(&subject->client, client),
		tl_text__ip_filter(&subject->server, server), port, subject->server.port);
}

/* All packets of a service. */
static inline void tl_service__filter(const struct tl_endpoint *server, struct tl_finding *f)
{
	char text[TL_TEXT_FILTER];

	tl_finding__filter(f, "%s && tcp.port==%u", tl_text__ip_filter(server, text), server->port);
}

/* "MySQL " and the like, with its space; "" when it is not known. */
static inline const char *tl_app__word(uint8_t app)
{
	static const char *const word[TL_APP_COUNT] = {
		[TL_APP_UNKNOWN] = "",	   [TL_APP_HTTP] = "HTTP ",
		[TL_APP_TLS] = "TLS ",	   [TL_APP_DNS] = "DNS ",
		[TL_APP_MYSQL] = "MySQL ", [TL_APP_POSTGRESQL] = "PostgreSQL ",
		[TL_APP_SSH] = "SSH ",
	};

	return app < TL_APP_COUNT ? word[app] : "";
}

#endif
