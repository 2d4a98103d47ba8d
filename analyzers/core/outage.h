/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One cause, one finding: what happened to a service's clients while service.crash says that it was
 * down is told as its consequence. Control thread only.
 */
#ifndef TAPLINE_ANALYZERS_OUTAGE_H
#define TAPLINE_ANALYZERS_OUTAGE_H

#include "core/findings.h"
#include "core/tcp_fault.h"

/* A client hears of it this much later, and a service is up again before a client knows. */
#define TL_OUTAGE_SLACK_NS TL_NS_PER_SEC
/* An outage is told when it has lasted; what may be its consequence waits as long for it. */
#define TL_OUTAGE_KNOWN_NS TL_NS_PER_SEC

#define TL_OUTAGE_PROTOCOLS 5 /* enum app_protocol */

/* Did all that lies between these two times happen in an outage of the server that is told? */
static inline bool tl_outage__explains(const struct tl_findings *findings,
				       const struct tl_endpoint *server, uint64_t from_ns,
				       uint64_t to_ns)
{
	uint8_t key[TL_ENDPOINT_KEY];
	const struct tl_finding *f;

	tl_endpoint__key(server, key);
	f = tl_findings__peek(findings, "service.crash", key, sizeof(key));
	return f && from_ns + TL_OUTAGE_SLACK_NS >= f->first_ns &&
	       to_ns <= f->last_ns + TL_OUTAGE_SLACK_NS;
}

/* Did the program behind the server's port leave requests waiting in that time? */
static inline bool tl_outage__is_stuck(const struct tl_findings *findings,
				       const struct tl_endpoint *server, uint64_t from_ns,
				       uint64_t to_ns)
{
	static const char *const kind[] = { "app.no_response", "app.slow" };
	uint8_t key[TL_ENDPOINT_KEY + 1];

	tl_endpoint__key(server, key);
	for (uint8_t i = 0; i < 2 * TL_OUTAGE_PROTOCOLS; i++) {
		const struct tl_finding *f;

		key[TL_ENDPOINT_KEY] = i / 2;
		f = tl_findings__peek(findings, kind[i % 2], key, sizeof(key));
		if (f && f->first_ns <= to_ns && from_ns <= f->last_ns)
			return true;
	}
	return false;
}

#endif
