/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a segment that begins a turn of a MySQL client asks for (the client/server protocol's
 * "command phase"). Pure; any thread.
 *
 *	┌ length (3, little endian) ┬ sequence 0 ┬ command ┬ argument …
 */
#ifndef TAPLINE_ANALYZERS_MYSQL_MESSAGE_H
#define TAPLINE_ANALYZERS_MYSQL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_mysql_request {
	uint8_t command;
	bool is_answered; /* the server will say something (not to COM_QUIT, COM_STMT_CLOSE…) */
	bool is_stream;	  /* an answer that may never end, or come at any time (binlog) */
	char verb[16];	  /* of a query, in lower case: "select"; else "" */
};

/* False: no command of MySQL's (a login, a result, another protocol). */
bool tl_mysql_request__read(const uint8_t *data, size_t bytes,
			    struct tl_mysql_request *ret_request);

/* Is this the greeting with which a MySQL or MariaDB server begins? */
bool tl_mysql__is_greeting(const uint8_t *data, size_t bytes);

#endif
