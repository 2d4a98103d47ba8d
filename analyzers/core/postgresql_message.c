/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See postgresql_message.h. Reads through the cursor; each step consumes a message; no state. */
#include "core/postgresql_message.h"

#include <string.h>

#include "tapline/cursor.h"

#define PROTOCOL_3	 196608u
#define CANCEL_REQUEST	 80877102u
#define SSL_REQUEST	 80877103u
#define GSSENC_REQUEST	 80877104u
#define MESSAGE_MAX	 (1u << 30)
#define MESSAGES_COUNTED 64u

static bool read_startup(struct tl_cursor c, struct tl_postgresql_request *r)
{
	uint32_t length = tl_cursor__be32(&c);
	uint32_t code = tl_cursor__be32(&c);

	if (c.failed || length < 8 || length > 10000)
		return false;
	r->is_startup = true;
	r->messages = 1;
	r->is_answered = code != CANCEL_REQUEST;
	return code >> 16 == PROTOCOL_3 >> 16 || code == CANCEL_REQUEST || code == SSL_REQUEST ||
	       code == GSSENC_REQUEST;
}

static void read_verb(struct tl_cursor *c, char verb[16])
{
	uint8_t byte = tl_cursor__u8(c);
	unsigned n = 0;

	while (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '(')
		byte = tl_cursor__u8(c);
	while (n < 15 && ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z')) {
		verb[n++] = (char)(byte | 0x20);
		byte = tl_cursor__u8(c);
	}
	verb[n] = 0;
}

static void take_message(char type, struct tl_cursor *body, struct tl_postgresql_request *r)
{
	if (type == 'P') /* the statement's name, then its text */
		while (tl_cursor__left(body) && tl_cursor__u8(body))
			;
	if (!*r->verb && (type == 'Q' || type == 'P'))
		read_verb(body, r->verb);
	r->is_stream |= type == 'd';
	/* Only these make the server speak at once (Parse, Bind and Execute wait for a Sync). */
	r->is_answered |= strchr("QSHFpcf", type) != NULL;
}

bool tl_postgresql_request__read(const uint8_t *data, size_t bytes,
				 struct tl_postgresql_request *ret_request)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);
	struct tl_postgresql_request r = { 0 };

	if (bytes >= 8 && !data[0]) {
		if (!read_startup(c, &r))
			return false;
		*ret_request = r;
		return true;
	}
	while (tl_cursor__left(&c) >= 5 && r.messages < MESSAGES_COUNTED) {
		char type = (char)tl_cursor__u8(&c);
		uint32_t length = tl_cursor__be32(&c);
		struct tl_cursor body;

		if (!type || !strchr("QPBDECSHFXpcdf", type) || length < 4 || length > MESSAGE_MAX)
			return false;
		length -= 4;
		body = tl_cursor__init(c.at,
				       length < tl_cursor__left(&c) ? length : tl_cursor__left(&c));
		take_message(type, &body, &r);
		if (!r.messages++)
			r.type = type;
		tl_cursor__skip(&c, length);
	}
	/* A message that goes on in later segments: what follows it may be the Sync. */
	if (c.failed && r.messages)
		r.is_answered = true;
	if (r.type == 'X')
		r.is_answered = false;
	if (!r.messages)
		return false;
	*ret_request = r;
	return true;
}
