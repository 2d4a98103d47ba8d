/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* A DNS message, as it lies in a UDP datagram. */
#include <stdlib.h>
#include <string.h>

#include "core/dns_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
	struct tl_dns_message m, untouched;
	char text[TL_DNS_TYPE_TEXT];

	memset(&m, 0x5a, sizeof(m));
	untouched = m;
	if (tl_dns_message__parse(data, bytes, &m)) {
		if (memcmp(&m, &untouched, sizeof(m)))
			abort();
		return 0;
	}
	if (bytes < TL_DNS_HEADER || strnlen(m.name, TL_DNS_NAME) == TL_DNS_NAME ||
	    m.has_question != (m.questions > 0) || m.opcode > 15 ||
	    (m.has_question && !m.name[0]) || (m.is_plain && strchr(m.name, '\\')))
		abort();
	if (!*tl_dns__rcode_name(m.rcode, text) || !*tl_dns__type_name(m.qtype, text))
		abort();
	if (tl_dns_message__is_likely(&m) && (!m.is_whole || m.opcode))
		abort();
	return 0;
}
