/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* A PostgreSQL client's messages. */
#include <stdlib.h>
#include <string.h>

#include "core/postgresql_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_postgresql_request r = { 0 };

	if (!tl_postgresql_request__read(data, bytes, &r)) {
		if (r.messages || r.type || *r.verb)
			abort(); /* untouched on failure */
		return 0;
	}
	if (!r.messages || (!r.is_startup && (uint8_t)r.type != data[0]) || bytes < 5 ||
	    !memchr(r.verb, 0, sizeof(r.verb)))
		abort();
	for (const char *p = r.verb; *p; p++)
		if (*p < 'a' || *p > 'z')
			abort();
	return 0;
}
