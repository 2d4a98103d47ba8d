/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a segment that begins a turn of a PostgreSQL client asks for (frontend/backend
 *protocol 3.0). Pure; any thread.
 *
 *	start-up:  ┌ length (4) ┬ code (4) ┬ …        later:  ┌ type ┬ length (4, without type) ┬ …
 */
#ifndef TAPLINE_ANALYZERS_POSTGRESQL_MESSAGE_H
#define TAPLINE_ANALYZERS_POSTGRESQL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_postgresql_request {
	char type; /* first message; 0: a start-up packet */
	uint8_t messages;
	bool is_answered; /* it ends in something that the server answers (query, sync, flush…) */
	bool is_startup;
	bool is_stream; /* COPY data, replication */
	char verb[16];	/* of a query (or of Parse), in lower case */
};

/* False: no message of a PostgreSQL client. */
bool tl_postgresql_request__read(const uint8_t *data, size_t bytes,
				 struct tl_postgresql_request *ret_request);

#endif
