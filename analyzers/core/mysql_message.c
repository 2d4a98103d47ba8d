/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See mysql_message.h. Reads through the cursor; no state. */
#include "core/mysql_message.h"

#include "tapline/cursor.h"

enum command {
	COM_QUIT = 0x01,
	COM_QUERY = 0x03,
	COM_BINLOG_DUMP = 0x12,
	COM_REGISTER_SLAVE = 0x15,
	COM_STMT_PREPARE = 0x16,
	COM_STMT_SEND_LONG_DATA = 0x18,
	COM_STMT_CLOSE = 0x19,
	COM_DAEMON = 0x1d,
	COM_BINLOG_DUMP_GTID = 0x1e,
	COM_RESET_CONNECTION = 0x1f,
};

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

bool tl_mysql_request__read(const uint8_t *data, size_t bytes, struct tl_mysql_request *ret_request)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);
	struct tl_mysql_request r = { 0 };
	uint32_t length = tl_cursor__u8(&c);
	uint8_t sequence;

	length |= (uint32_t)tl_cursor__le16(&c) << 8;
	sequence = tl_cursor__u8(&c);
	r.command = tl_cursor__u8(&c);
	if (c.failed || sequence || !length || !r.command || r.command > COM_RESET_CONNECTION)
		return false;
	r.is_answered = r.command != COM_QUIT && r.command != COM_STMT_CLOSE &&
			r.command != COM_STMT_SEND_LONG_DATA;
	r.is_stream = r.command == COM_BINLOG_DUMP || r.command == COM_BINLOG_DUMP_GTID ||
		      r.command == COM_REGISTER_SLAVE || r.command == COM_DAEMON;
	if (r.command == COM_QUERY || r.command == COM_STMT_PREPARE)
		read_verb(&c, r.verb);
	*ret_request = r;
	return true;
}

bool tl_mysql__is_greeting(const uint8_t *data, size_t bytes)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);
	uint32_t length = tl_cursor__u8(&c);
	uint8_t sequence, version, byte = 1;

	length |= (uint32_t)tl_cursor__le16(&c) << 8;
	sequence = tl_cursor__u8(&c);
	version = tl_cursor__u8(&c);
	if (c.failed || sequence || version != 10 || length < 30 || length > 512)
		return false;
	/* The version's text, "8.0.36-…", "5.5.5-10.11.6-MariaDB". */
	for (unsigned i = 0; i < 64 && byte; i++) {
		byte = tl_cursor__u8(&c);
		if (byte && (byte < ' ' || byte > 0x7e))
			return false;
	}
	return !byte && !c.failed;
}
