/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* A certificate message's body: whatever is in it, texts end and are printable. */
#include <stdlib.h>
#include <string.h>

#include "core/tls_chain.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_text(const char *text, size_t room)
{
	if (!memchr(text, 0, room))
		abort();
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_chain chain;

	memset(&chain, 0xa5, sizeof(chain));
	if (tl_chain__read(data, bytes, &chain)) {
		for (size_t i = 0; i < sizeof(chain); i++)
			if (((const unsigned char *)&chain)[i] != 0xa5)
				abort(); /* untouched on failure */
		return 0;
	}
	if (!chain.count || chain.count > TL_CHAIN_CERTIFICATES)
		abort();
	check_text(chain.subject, sizeof(chain.subject));
	check_text(chain.issuer, sizeof(chain.issuer));
	check_text(chain.ca_subject, sizeof(chain.ca_subject));
	check_text(chain.not_after_text, sizeof(chain.not_after_text));
	check_text(chain.not_before_text, sizeof(chain.not_before_text));
	return 0;
}
