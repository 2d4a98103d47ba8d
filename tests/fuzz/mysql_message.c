/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* A MySQL client's command, and a server's greeting. */
#include <stdlib.h>
#include <string.h>

#include "core/mysql_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_mysql_request r = { 0 };

	if (tl_mysql_request__read(data, bytes, &r)) {
		if (bytes < 5 || data[3] || r.command != data[4] ||
		    !memchr(r.verb, 0, sizeof(r.verb)))
			abort();
		for (const char *p = r.verb; *p; p++)
			if (*p < 'a' || *p > 'z')
				abort();
	} else if (r.command || *r.verb) {
		abort(); /* untouched on failure */
	}
	if (tl_mysql__is_greeting(data, bytes) && (bytes < 6 || data[4] != 10))
		abort();
	return 0;
}
