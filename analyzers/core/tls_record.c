/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tls_record.h.
 *
 * Invariants: message_left <= message_bytes; a record's payload is consumed to its end before the
 * next header is read; each step consumes a byte or ends, so feeding is linear in its input.
 */
#include "core/tls_record.h"

#include <string.h>

#include "tapline/cursor.h"

#define RECORD_MAX	   (16384u + 2048u) /* RFC 5246, section 6.2.3 */
#define MESSAGE_MAX	   (1u << 20)
#define EXTENSION_SNI	   0
#define EXTENSION_VERSIONS 43

/* SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3). */
static const uint8_t retry_random[32] = {
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
	0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
	0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
};

static void tell(const struct tl_tls_sink *sink, struct tl_tls_event event)
{
	sink->event(sink->ctx, &event);
}

static void lose(struct tl_tls_stream *s, const struct tl_tls_sink *sink)
{
	s->lost = true;
	tell(sink, (struct tl_tls_event){ .kind = TL_TLS_EVENT_NOT_TLS });
}

/* --- what is in a record ---------------------------------------------------------------------- */

static bool is_opaque(const struct tl_tls_stream *s)
{
	/* One alert a record, whole (RFC 8446, section 5.1): a longer one is encrypted. */
	if (s->header[0] == TL_TLS_ALERT && (s->header[3] || s->header[4] != 2))
		return true;
	return s->encrypted || (s->header[0] != TL_TLS_HANDSHAKE && s->header[0] != TL_TLS_ALERT);
}

static void message_begins(struct tl_tls_stream *s, const struct tl_tls_sink *sink)
{
	struct tl_cursor c = tl_cursor__init(s->message_header + 1, 3);

	s->message_bytes = s->message_left = tl_cursor__be24(&c);
	if (s->message_bytes > MESSAGE_MAX) {
		lose(s, sink);
		return;
	}
	tell(sink, (struct tl_tls_event){ .kind = TL_TLS_EVENT_MESSAGE,
					  .message = s->message_header[0],
					  .total = s->message_bytes,
					  .bytes = s->message_bytes });
	if (s->message_left)
		return;
	s->message_header_bytes = 0;
	tell(sink, (struct tl_tls_event){ .kind = TL_TLS_EVENT_BODY,
					  .message = s->message_header[0],
					  .end = true });
}

static void handshake(struct tl_tls_stream *s, struct tl_cursor *c, const struct tl_tls_sink *sink)
{
	while (tl_cursor__left(c) && !s->lost) {
		struct tl_tls_event body = { .kind = TL_TLS_EVENT_BODY };

		if (s->message_header_bytes < sizeof(s->message_header)) {
			s->message_header[s->message_header_bytes++] = tl_cursor__u8(c);
			if (s->message_header_bytes == sizeof(s->message_header))
				message_begins(s, sink);
			continue;
		}
		body.message = s->message_header[0];
		body.bytes = tl_cursor__left(c) < s->message_left ? (uint32_t)tl_cursor__left(c)
								  : s->message_left;
		body.data = tl_cursor__take(c, body.bytes);
		body.offset = s->message_bytes - s->message_left;
		body.total = s->message_bytes;
		s->message_left -= body.bytes;
		body.end = !s->message_left;
		if (body.end)
			s->message_header_bytes = 0;
		tell(sink, body);
	}
}

static void alert(struct tl_tls_stream *s, struct tl_cursor *c, const struct tl_tls_sink *sink)
{
	while (tl_cursor__left(c)) {
		s->alert[s->alert_bytes++] = tl_cursor__u8(c);
		if (s->alert_bytes < sizeof(s->alert))
			continue;
		s->alert_bytes = 0;
		tell(sink, (struct tl_tls_event){ .kind = TL_TLS_EVENT_ALERT,
						  .level = s->alert[0],
						  .alert = s->alert[1] });
	}
}

static void payload(struct tl_tls_stream *s, struct tl_cursor *c, const struct tl_tls_sink *sink)
{
	size_t bytes = tl_cursor__left(c) < s->record_left ? tl_cursor__left(c) : s->record_left;
	struct tl_cursor part = tl_cursor__sub(c, bytes);

	s->record_left = (uint16_t)(s->record_left - bytes);
	if (is_opaque(s))
		return;
	if (s->header[0] == TL_TLS_HANDSHAKE)
		handshake(s, &part, sink);
	else
		alert(s, &part, sink);
}

/* --- records ---------------------------------------------------------------------------------- */

static void record_begins(struct tl_tls_stream *s, const struct tl_tls_sink *sink)
{
	struct tl_cursor c = tl_cursor__init(s->header, sizeof(s->header));
	uint8_t content = tl_cursor__u8(&c);
	uint8_t major = tl_cursor__u8(&c);
	uint16_t bytes;

	tl_cursor__skip(&c, 1);
	bytes = tl_cursor__be16(&c);
	s->header_bytes = 0;
	if (content < TL_TLS_CHANGE_CIPHER_SPEC || content > TL_TLS_HEARTBEAT || major != 3 ||
	    bytes > RECORD_MAX) {
		lose(s, sink);
		return;
	}
	s->record_left = bytes;
	s->alert_bytes = 0;
	tell(sink, (struct tl_tls_event){
			   .kind = TL_TLS_EVENT_RECORD, .content = content, .bytes = bytes });
}

void tl_tls_stream__feed(struct tl_tls_stream *stream, const uint8_t *data, size_t bytes,
			 const struct tl_tls_sink *sink)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);

	while (tl_cursor__left(&c) && !stream->lost) {
		if (stream->record_left) {
			payload(stream, &c, sink);
			continue;
		}
		stream->header[stream->header_bytes++] = tl_cursor__u8(&c);
		if (stream->header_bytes == sizeof(stream->header))
			record_begins(stream, sink);
	}
}

void tl_tls_stream__skip(struct tl_tls_stream *stream, uint32_t bytes,
			 const struct tl_tls_sink *sink)
{
	struct tl_tls_event hole = { .kind = TL_TLS_EVENT_HOLE };

	if (stream->lost || !bytes)
		return;
	/* Only within one record, and there within one message, is it known where one stands. */
	if (bytes > stream->record_left) {
		lose(stream, sink);
		return;
	}
	if (is_opaque(stream)) {
		stream->record_left = (uint16_t)(stream->record_left - bytes);
		return;
	}
	if (stream->header[0] != TL_TLS_HANDSHAKE || bytes > stream->message_left ||
	    stream->message_header_bytes < sizeof(stream->message_header)) {
		lose(stream, sink);
		return;
	}
	stream->record_left = (uint16_t)(stream->record_left - bytes);
	hole.message = stream->message_header[0];
	hole.bytes = bytes;
	hole.offset = stream->message_bytes - stream->message_left;
	hole.total = stream->message_bytes;
	stream->message_left -= bytes;
	hole.end = !stream->message_left;
	if (hole.end)
		stream->message_header_bytes = 0;
	tell(sink, hole);
}

bool tl_tls__is_hello(const uint8_t *data, size_t bytes)
{
	struct tl_cursor c = tl_cursor__init(data, bytes);
	uint8_t content = tl_cursor__u8(&c);
	uint8_t major = tl_cursor__u8(&c);
	uint8_t minor = tl_cursor__u8(&c);
	uint16_t record = tl_cursor__be16(&c);
	uint8_t message = tl_cursor__u8(&c);
	uint32_t body = tl_cursor__be24(&c);
	uint16_t version = tl_cursor__be16(&c);

	return !c.failed && content == TL_TLS_HANDSHAKE && major == 3 && minor <= 4 &&
	       message == TL_TLS_CLIENT_HELLO && record >= 42 && record <= 16384 && body >= 38 &&
	       body <= MESSAGE_MAX && version >= 0x0300 && version <= 0x0304;
}

/* --- hellos ----------------------------------------------------------------------------------- */

static void read_sni(struct tl_cursor c, struct tl_tls_hello *hello)
{
	struct tl_cursor list = tl_cursor__sub(&c, tl_cursor__be16(&c));

	while (tl_cursor__left(&list)) {
		uint8_t type = tl_cursor__u8(&list);
		uint16_t bytes = tl_cursor__be16(&list);
		const uint8_t *name = tl_cursor__take(&list, bytes);
		size_t kept = bytes < TL_TLS_SNI_MAX - 1 ? bytes : TL_TLS_SNI_MAX - 1;

		if (!name || type)
			continue;
		for (size_t i = 0; i < kept; i++)
			hello->sni[i] = (char)(name[i] > ' ' && name[i] < 0x7f ? name[i] : '?');
		hello->sni[kept] = 0;
		return;
	}
}

/* GREASE values (RFC 8701) are no versions. */
static bool is_version(uint16_t version)
{
	return version >= 0x0300 && version <= 0x0304;
}

static void read_versions(struct tl_cursor c, bool is_list, struct tl_tls_hello *hello)
{
	struct tl_cursor list = is_list ? tl_cursor__sub(&c, tl_cursor__u8(&c)) : c;

	while (tl_cursor__left(&list)) {
		uint16_t version = tl_cursor__be16(&list);

		if (is_version(version) && version > hello->version)
			hello->version = version;
	}
}

static bool read_extensions(struct tl_cursor *c, bool of_client, struct tl_tls_hello *hello)
{
	struct tl_cursor list;

	if (!tl_cursor__left(c))
		return !c->failed; /* none at all: older clients */
	list = tl_cursor__init(c->at, tl_cursor__left(c));
	tl_cursor__limit(&list, 2 + (size_t)tl_cursor__be16(c));
	tl_cursor__skip(&list, 2);
	while (tl_cursor__left(&list)) {
		uint16_t type = tl_cursor__be16(&list);
		struct tl_cursor body = tl_cursor__sub(&list, tl_cursor__be16(&list));

		if (list.failed)
			break;
		if (type == EXTENSION_SNI && of_client)
			read_sni(body, hello);
		else if (type == EXTENSION_VERSIONS)
			read_versions(body, of_client, hello);
	}
	return !list.failed && !c->failed;
}

bool tl_tls_hello__of_client(const uint8_t *body, size_t bytes, struct tl_tls_hello *ret_hello)
{
	struct tl_cursor c = tl_cursor__init(body, bytes);

	*ret_hello = (struct tl_tls_hello){ .version = tl_cursor__be16(&c) };
	tl_cursor__skip(&c, 32);
	tl_cursor__skip(&c, tl_cursor__u8(&c));	  /* session id */
	tl_cursor__skip(&c, tl_cursor__be16(&c)); /* cipher suites */
	tl_cursor__skip(&c, tl_cursor__u8(&c));	  /* compression methods */
	return !c.failed && read_extensions(&c, true, ret_hello);
}

bool tl_tls_hello__of_server(const uint8_t *body, size_t bytes, struct tl_tls_hello *ret_hello)
{
	struct tl_cursor c = tl_cursor__init(body, bytes);
	const uint8_t *random;

	*ret_hello = (struct tl_tls_hello){ .version = tl_cursor__be16(&c) };
	random = tl_cursor__take(&c, 32);
	ret_hello->is_retry = random && !memcmp(random, retry_random, sizeof(retry_random));
	tl_cursor__skip(&c, tl_cursor__u8(&c)); /* session id */
	tl_cursor__skip(&c, 2 + 1);		/* cipher suite, compression method */
	return !c.failed && read_extensions(&c, false, ret_hello);
}

/* --- names ------------------------------------------------------------------------------------ */

struct name {
	uint8_t value;
	const char *text;
};

static const char *name_of(const struct name *names, size_t count, uint8_t value)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].value == value)
			return names[i].text;
	return NULL;
}

const char *tl_tls__message_name(uint8_t message)
{
	static const struct name names[] = {
		{ 0, "hello_request" },
		{ 1, "client_hello" },
		{ 2, "server_hello" },
		{ 3, "hello_verify_request" },
		{ 4, "new_session_ticket" },
		{ 5, "end_of_early_data" },
		{ 8, "encrypted_extensions" },
		{ 11, "certificate" },
		{ 12, "server_key_exchange" },
		{ 13, "certificate_request" },
		{ 14, "server_hello_done" },
		{ 15, "certificate_verify" },
		{ 16, "client_key_exchange" },
		{ 20, "finished" },
		{ 21, "certificate_url" },
		{ 22, "certificate_status" },
		{ 24, "key_update" },
		{ 25, "compressed_certificate" },
		{ TL_TLS_HELLO_RETRY_REQUEST, "hello_retry_request" },
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), message);
}

const char *tl_tls__alert_name(uint8_t alert)
{
	/* RFC 8446, section 6, and the older ones of RFC 5246 and the IANA registry. */
	static const struct name names[] = {
		{ 0, "close_notify" },
		{ 10, "unexpected_message" },
		{ 20, "bad_record_mac" },
		{ 21, "decryption_failed" },
		{ 22, "record_overflow" },
		{ 30, "decompression_failure" },
		{ 40, "handshake_failure" },
		{ 41, "no_certificate" },
		{ 42, "bad_certificate" },
		{ 43, "unsupported_certificate" },
		{ 44, "certificate_revoked" },
		{ 45, "certificate_expired" },
		{ 46, "certificate_unknown" },
		{ 47, "illegal_parameter" },
		{ 48, "unknown_ca" },
		{ 49, "access_denied" },
		{ 50, "decode_error" },
		{ 51, "decrypt_error" },
		{ 60, "export_restriction" },
		{ 70, "protocol_version" },
		{ 71, "insufficient_security" },
		{ 80, "internal_error" },
		{ 86, "inappropriate_fallback" },
		{ 90, "user_canceled" },
		{ 100, "no_renegotiation" },
		{ 109, "missing_extension" },
		{ 110, "unsupported_extension" },
		{ 111, "certificate_unobtainable" },
		{ 112, "unrecognized_name" },
		{ 113, "bad_certificate_status_response" },
		{ 114, "bad_certificate_hash_value" },
		{ 115, "unknown_psk_identity" },
		{ 116, "certificate_required" },
		{ 120, "no_application_protocol" },
		{ 121, "ech_required" },
	};

	return name_of(names, sizeof(names) / sizeof(names[0]), alert);
}

const char *tl_tls__version_name(uint16_t version)
{
	static const char *const names[] = { "SSL 3.0", "TLS 1.0", "TLS 1.1", "TLS 1.2",
					     "TLS 1.3" };

	return is_version(version) ? names[version - 0x0300] : NULL;
}
