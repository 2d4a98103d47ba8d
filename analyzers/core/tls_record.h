/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS records and handshake messages, one direction of a connection, from chunks of any size
 * (RFC 5246, RFC 8446).
 *
 *	record          ┌ type · version · length ┬ payload ──────────────┐┌ type …
 *	handshake       │                         ┌ type · length ┬ body ─┼┼──── body ┐   messages
 *run over records
 *
 * tl_tls_stream__feed walks these and tells its sink; bodies are handed on in the pieces they come
 * in. Nothing is kept but the headers: a zeroed struct is a stream that has not begun. Bytes that
 * are no TLS end it (`lost`). Pure functions over the caller's struct; any thread.
 */
#ifndef TAPLINE_ANALYZERS_TLS_RECORD_H
#define TAPLINE_ANALYZERS_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tl_tls_content {
	TL_TLS_CHANGE_CIPHER_SPEC = 20,
	TL_TLS_ALERT = 21,
	TL_TLS_HANDSHAKE = 22,
	TL_TLS_APPLICATION_DATA = 23,
	TL_TLS_HEARTBEAT = 24,
};

enum tl_tls_message {
	TL_TLS_HELLO_REQUEST = 0,
	TL_TLS_CLIENT_HELLO = 1,
	TL_TLS_SERVER_HELLO = 2,
	TL_TLS_NEW_SESSION_TICKET = 4,
	TL_TLS_ENCRYPTED_EXTENSIONS = 8,
	TL_TLS_CERTIFICATE = 11,
	TL_TLS_SERVER_KEY_EXCHANGE = 12,
	TL_TLS_CERTIFICATE_REQUEST = 13,
	TL_TLS_SERVER_HELLO_DONE = 14,
	TL_TLS_CERTIFICATE_VERIFY = 15,
	TL_TLS_CLIENT_KEY_EXCHANGE = 16,
	TL_TLS_FINISHED = 20,
	TL_TLS_CERTIFICATE_STATUS = 22,
	TL_TLS_HELLO_RETRY_REQUEST =
		254, /* a server_hello with a random of its own (RFC 8446, 4.1.3) */
	TL_TLS_MESSAGE_NONE = 255,
};

#define TL_TLS_ALERT_NONE 255

enum tl_tls_alert {
	TL_TLS_CLOSE_NOTIFY = 0,
	TL_TLS_HANDSHAKE_FAILURE = 40,
	TL_TLS_BAD_CERTIFICATE = 42,
	TL_TLS_UNSUPPORTED_CERTIFICATE = 43,
	TL_TLS_CERTIFICATE_REVOKED = 44,
	TL_TLS_CERTIFICATE_EXPIRED = 45,
	TL_TLS_CERTIFICATE_UNKNOWN = 46,
	TL_TLS_UNKNOWN_CA = 48,
	TL_TLS_PROTOCOL_VERSION = 70,
	TL_TLS_USER_CANCELED = 90,
	TL_TLS_UNRECOGNIZED_NAME = 112,
	TL_TLS_CERTIFICATE_REQUIRED = 116,
	TL_TLS_NO_APPLICATION_PROTOCOL = 120,
};

/* One direction. */
struct tl_tls_stream {
	uint8_t header[5]; /* of the record */
	uint8_t header_bytes;
	uint8_t message_header[4];
	uint8_t message_header_bytes;
	uint8_t alert[2];
	uint8_t alert_bytes;
	bool encrypted; /* set by the sink's owner: handshake and alert records are opaque now */
	bool lost;	/* no TLS, or a hole that no length leads over: nothing more is told */
	uint16_t record_left;
	uint32_t message_left;
	uint32_t message_bytes;
};

enum tl_tls_event_kind {
	TL_TLS_EVENT_RECORD,  /* a record begins: content, bytes */
	TL_TLS_EVENT_MESSAGE, /* a handshake message begins: message, bytes */
	TL_TLS_EVENT_BODY,    /* some of its body: data, bytes, offset; bytes 0 and end: empty */
	TL_TLS_EVENT_HOLE,    /* bytes of its body at offset were not seen */
	TL_TLS_EVENT_ALERT,   /* level, alert */
	TL_TLS_EVENT_NOT_TLS, /* the stream is lost */
};

struct tl_tls_event {
	uint8_t kind;	 /* enum tl_tls_event_kind */
	uint8_t content; /* RECORD: enum tl_tls_content */
	uint8_t message; /* MESSAGE, BODY, HOLE: enum tl_tls_message */
	uint8_t level, alert;
	bool end; /* BODY, HOLE: the message ends here */
	const uint8_t *data;
	uint32_t bytes;
	uint32_t offset;
	uint32_t total; /* of the message's body */
};

struct tl_tls_sink {
	void (*event)(void *ctx, const struct tl_tls_event *event);
	void *ctx;
};

void tl_tls_stream__feed(struct tl_tls_stream *stream, const uint8_t *data, size_t bytes,
			 const struct tl_tls_sink *sink);
/* `bytes` of the stream were not captured. */
void tl_tls_stream__skip(struct tl_tls_stream *stream, uint32_t bytes,
			 const struct tl_tls_sink *sink);

/* Do these bytes, which are known to begin as a handshake record does, begin a ClientHello? */
bool tl_tls__is_hello(const uint8_t *data, size_t bytes);
/* Do these? Asked of many payloads: of most the first byte tells. */
static inline bool tl_tls__begins_hello(const uint8_t *data, size_t bytes)
{
	return bytes && data[0] == TL_TLS_HANDSHAKE && tl_tls__is_hello(data, bytes);
}

#define TL_TLS_SNI_MAX 96

struct tl_tls_hello {
	uint16_t version;	  /* highest offered, or the one chosen: 0x0303 is TLS 1.2 */
	bool is_retry;		  /* a hello_retry_request */
	char sni[TL_TLS_SNI_MAX]; /* "" without; what is not printable shows as '?' */
};

/* Bodies of the two hellos; false when they end too early (what was read is kept). */
bool tl_tls_hello__of_client(const uint8_t *body, size_t bytes, struct tl_tls_hello *ret_hello);
bool tl_tls_hello__of_server(const uint8_t *body, size_t bytes, struct tl_tls_hello *ret_hello);

/* The RFC's names, "client_hello", "unknown_ca"; NULL when there is none. */
const char *tl_tls__message_name(uint8_t message);
const char *tl_tls__alert_name(uint8_t alert);
/* "TLS 1.2"; "SSL 3.0"; NULL. */
const char *tl_tls__version_name(uint16_t version);

#endif
