/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Last words: bytes after which a side closes and waits for nothing. So a RST that answers them
 * cuts nothing. Pure functions; any thread.
 */
#include <string.h>
#include <strings.h>

#include "core/reset.h"
#include "tapline/cursor.h"

#define TLS_ALERT	     21
#define TLS_HEADER_BYTES     5
#define TLS_ALERT_BYTES	     7u
#define TLS_ALERT_BYTES_MOST 64u /* encrypted */
#define GOODBYE_BYTES_MOST   16u
#define WEBSOCKET_CLOSE	     8

bool reset_parting__is_alert(const struct tl_packet *packet, const struct tl_layers *layers)
{
	uint32_t bytes = layers->payload_bytes;
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	if (bytes < TLS_ALERT_BYTES || bytes > TLS_ALERT_BYTES_MOST)
		return false;
	tl_cursor__skip(&c, layers->payload_offset);
	return tl_cursor__u8(&c) == TLS_ALERT && tl_cursor__u8(&c) == 3 && tl_cursor__u8(&c) <= 4 &&
	       tl_cursor__be16(&c) == bytes - TLS_HEADER_BYTES;
}

/* One comparison at most: this is asked of every small payload. */
static bool begins_with_goodbye(const char *text, uint32_t bytes)
{
	const char *word;

	switch (*text | 0x20) {
	case 'q':
		word = "quit";
		break;
	case 'e':
		word = "exit";
		break;
	case 'b':
		word = "bye";
		break;
	case 'l':
		word = "logout";
		break;
	default:
		return false;
	}
	return bytes >= strlen(word) && !strncasecmp(text, word, strlen(word));
}

bool reset_parting__is_goodbye(const struct tl_packet *packet, const struct tl_layers *layers)
{
	static const uint8_t mysql_quit[] = { 1, 0, 0, 0, 1 };
	static const uint8_t postgresql_terminate[] = { 'X', 0, 0, 0, 4 };
	uint32_t bytes = layers->payload_bytes;
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	if (bytes > GOODBYE_BYTES_MOST)
		return false;
	tl_cursor__skip(&c, layers->payload_offset);
	if (tl_cursor__left(&c) < bytes)
		return true; /* cut short by a snap length: who knows */
	if (bytes == 5 && (!memcmp(c.at, mysql_quit, 5) || !memcmp(c.at, postgresql_terminate, 5)))
		return true;
	return bytes && begins_with_goodbye((const char *)c.at, bytes);
}

/* Frames one behind the other, the last of which is a close (RFC 6455, sections 5.2 and 5.5.1). */
static bool ends_in_close_frame(struct tl_cursor c)
{
	uint8_t opcode = 0;

	while (tl_cursor__left(&c) >= 2 && opcode != WEBSOCKET_CLOSE) {
		uint8_t first = tl_cursor__u8(&c), second = tl_cursor__u8(&c);
		uint64_t bytes = second & 0x7f;

		opcode = first & 0xf;
		if (bytes == 126)
			bytes = tl_cursor__be16(&c);
		else if (bytes == 127)
			bytes = tl_cursor__be64(&c);
		bytes += second & 0x80 ? 4 : 0;
		if (first & 0x70 || bytes > tl_cursor__left(&c) ||
		    (opcode == WEBSOCKET_CLOSE && !(first & 0x80)))
			return false;
		tl_cursor__skip(&c, (size_t)bytes);
	}
	return !c.failed && !tl_cursor__left(&c) && opcode == WEBSOCKET_CLOSE;
}

bool reset_parting__is_farewell(const struct tl_packet *packet, const struct tl_layers *layers,
				uint8_t app)
{
	static const char *const word[] = { "221 ", "221-", "421 ", "* BYE", "BYE" };
	uint32_t bytes = layers->payload_bytes;
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);

	tl_cursor__skip(&c, layers->payload_offset);
	if (!bytes || app == TL_APP_TLS || tl_cursor__left(&c) < bytes)
		return false;
	tl_cursor__limit(&c, bytes);
	if (app == TL_APP_HTTP)
		return ends_in_close_frame(c);
	for (unsigned i = 0;
	     bytes <= RESET_FAREWELL_BYTES_MOST && i < sizeof(word) / sizeof(word[0]); i++)
		if (bytes >= strlen(word[i]) && !memcmp(c.at, word[i], strlen(word[i])))
			return true;
	return reset_parting__is_goodbye(packet, layers);
}
