/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See http_message.h. Each byte is looked at once, in lines; of a body only the length.
 *
 * Invariants: line_kept <= TL_HTTP_LINE and <= line_bytes; a head that grows past TL_HTTP_HEAD_MAX
 * is given up; each turn of the loop takes at least one byte or leaves the state for another.
 */
#include "core/http_message.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tapline/cursor.h"

#define LETTERS		 26u
#define METHODS_A_LETTER 6u

/* By their first letter, so that most of what is something else is known by one byte. */
static const char *const methods[LETTERS][METHODS_A_LETTER + 1] = {
	['A' - 'A'] = { "ACL" },
	['B' - 'A'] = { "BIND" },
	['C' - 'A'] = { "CONNECT", "COPY", "CHECKOUT" },
	['D' - 'A'] = { "DELETE" },
	['G' - 'A'] = { "GET" },
	['H' - 'A'] = { "HEAD" },
	['L' - 'A'] = { "LOCK", "LINK" },
	['M' - 'A'] = { "MKCOL", "MOVE", "M-SEARCH", "MKACTIVITY", "MERGE" },
	['N' - 'A'] = { "NOTIFY" },
	['O' - 'A'] = { "OPTIONS" },
	['P' - 'A'] = { "POST", "PUT", "PATCH", "PROPFIND", "PROPPATCH", "PURGE" },
	['Q' - 'A'] = { "QUERY" },
	['R' - 'A'] = { "REPORT", "REBIND" },
	['S' - 'A'] = { "SEARCH", "SUBSCRIBE" },
	['T' - 'A'] = { "TRACE" },
	['U' - 'A'] = { "UNLOCK", "UNLINK", "UNSUBSCRIBE", "UNBIND" },
};

enum fit { NO_METHOD, SO_FAR, METHOD };

/* Does the text begin with a method and a space; or, as far as it goes, may it? */
static enum fit fit_of(const uint8_t *text, size_t bytes)
{
	const unsigned letter = bytes ? text[0] - (unsigned)'A' : LETTERS;

	if (letter >= LETTERS)
		return NO_METHOD;
	for (const char *const *method = methods[letter]; *method; method++) {
		size_t i = 0;

		while (i < bytes && (*method)[i] && text[i] == (uint8_t)(*method)[i])
			i++;
		if (i == bytes)
			return SO_FAR;
		if (!(*method)[i] && text[i] == ' ')
			return METHOD;
	}
	return NO_METHOD;
}

static bool may_be_response(const char *text, size_t bytes)
{
	return !strncmp(text, "HTTP/1.", bytes < 7 ? bytes : 7);
}

bool tl_http__is_request(const uint8_t *data, size_t bytes)
{
	return fit_of(data, bytes) == METHOD;
}

void tl_http_parser__init(struct tl_http_parser *parser, bool is_response)
{
	memset(parser, 0, sizeof(*parser));
	parser->is_response = is_response;
}

void tl_http_parser__stop(struct tl_http_parser *parser)
{
	parser->state = TL_HTTP_OPAQUE;
}

static void lose(struct tl_http_parser *p)
{
	p->state = TL_HTTP_LOST;
	p->is_unsure = true;
	p->line_bytes = p->line_kept = 0;
}

static void next_line(struct tl_http_parser *p, enum tl_http_state state)
{
	p->state = (uint8_t)state;
	p->line_bytes = p->line_kept = 0;
}

static void end_message(struct tl_http_parser *p, const struct tl_http_events *events)
{
	p->has_message = true;
	next_line(p, TL_HTTP_START);
	events->end(events->ctx, p);
}

void tl_http_parser__abandon(struct tl_http_parser *parser)
{
	parser->has_message = true;
	next_line(parser, TL_HTTP_START);
}

/* --- lines --------------------------------------------------------------------------------------
 */

static size_t copy_word(const char *from, char *ret_word, size_t room)
{
	size_t bytes = strcspn(from, " ");
	size_t kept = bytes < room - 1 ? bytes : room - 1;

	memcpy(ret_word, from, kept);
	ret_word[kept] = 0;
	for (size_t i = 0; i < kept; i++)
		if ((unsigned char)ret_word[i] < 0x20 || (unsigned char)ret_word[i] > 0x7e)
			ret_word[i] = '?';
	return bytes;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The line is zero-terminated. False: no message begins so. */
static bool read_start(struct tl_http_parser *p)
{
	const struct tl_http_head head = { .frame = p->excess_frame, .ts_ns = p->excess_ns };
	const char *line = p->line;
	bool is_cut = p->line_bytes > p->line_kept;
	size_t method;

	if (p->is_response) {
		if (!may_be_response(line, 7) || !is_digit(line[7]) || line[8] != ' ' ||
		    !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
		    (line[12] && line[12] != ' '))
			return false;
		p->head = head;
		p->head.status = (uint16_t)((line[9] - '0') * 100 + (line[10] - '0') * 10 +
					    (line[11] - '0'));
		return p->head.status >= 100;
	}
	if (!tl_http__is_request((const uint8_t *)line, strlen(line)) ||
	    (!is_cut && !strstr(line, " HTTP/1.")))
		return false;
	p->head = head;
	method = copy_word(line, p->head.method, sizeof(p->head.method));
	copy_word(line + method + 1, p->head.uri, sizeof(p->head.uri));
	return true;
}

static void read_length(struct tl_http_head *h, const char *value)
{
	uint64_t length = 0;
	unsigned digits = 0;

	for (; is_digit(value[digits]) && digits < 18; digits++)
		length = length * 10 + (uint64_t)(value[digits] - '0');
	value += digits + strspn(value + digits, " \t");
	/* A list of one number several times is that number (RFC 9110, section 8.6). */
	if (!digits || (*value && *value != ',') || (h->has_length && h->length != length)) {
		h->has_bad_length = true;
		return;
	}
	h->has_length = true;
	h->length = length;
	if (*value == ',')
		read_length(h, value + 1 + strspn(value + 1, " \t"));
}

static bool ends_with(const char *text, const char *end)
{
	size_t a = strlen(text), b = strlen(end);

	while (a && (text[a - 1] == ' ' || text[a - 1] == '\t'))
		a--;
	return a >= b && !strncasecmp(text + a - b, end, b);
}

static void read_header(struct tl_http_head *h, char *line)
{
	char *value = strchr(line, ':');

	if (!value)
		return;
	*value++ = 0;
	value += strspn(value, " \t");
	if (!strcasecmp(line, "content-length")) {
		read_length(h, value);
	} else if (!strcasecmp(line, "transfer-encoding")) {
		h->has_coding = true;
		h->is_chunked = ends_with(value, "chunked");
	} else if (!strcasecmp(line, "upgrade")) {
		h->has_upgrade = true;
	} else if (!strcasecmp(line, "expect")) {
		h->expects_continue = !strncasecmp(value, "100-continue", 12);
	}
}

static void end_head(struct tl_http_parser *p, const struct tl_http_events *events)
{
	enum tl_http_body body;

	p->body_bytes = 0;
	p->has_hole = false;
	body = events->head(events->ctx, p);
	if (body == TL_HTTP_TUNNEL) {
		p->state = TL_HTTP_OPAQUE;
	} else if (body == TL_HTTP_NO_BODY) {
		end_message(p, events);
	} else if (p->head.is_chunked) {
		next_line(p, TL_HTTP_CHUNK_SIZE);
	} else if (p->head.has_coding && p->is_response) {
		p->state = TL_HTTP_BODY_TO_CLOSE; /* RFC 9112, section 6.3 */
	} else if (p->head.has_coding) {
		lose(p); /* where it ends is not said */
	} else if (p->head.has_bad_length) {
		lose(p);
	} else if (p->head.has_length && p->head.length) {
		p->left = p->head.length;
		p->state = TL_HTTP_BODY;
	} else if (p->head.has_length || !p->is_response) {
		end_message(p, events);
	} else {
		p->state = TL_HTTP_BODY_TO_CLOSE;
	}
}

static void read_chunk_size(struct tl_http_parser *p)
{
	static const char hex[] = "0123456789abcdef";
	uint64_t size = 0;
	unsigned digits = 0;
	const char *at;

	while (p->line[digits] &&
	       (at = strchr(hex, p->line[digits] | (p->line[digits] >= 'A' ? 0x20 : 0))) &&
	       digits < 15) {
		size = size << 4 | (uint64_t)(at - hex);
		digits++;
	}
	if (!digits) {
		lose(p);
		return;
	}
	if (!size) {
		next_line(p, TL_HTTP_TRAILERS);
		return;
	}
	p->left = size + 2;
	p->body_bytes += size;
	p->state = TL_HTTP_CHUNK;
}

static void begin_excess(struct tl_http_parser *p)
{
	if (!p->has_message) {
		lose(p);
		return;
	}
	p->state = TL_HTTP_EXCESS;
	p->excess_bytes = p->line_bytes;
	p->line_bytes = p->line_kept = 0;
}

static void end_line(struct tl_http_parser *p, const struct tl_http_events *events)
{
	uint32_t kept = p->line_kept;

	if (kept && kept == p->line_bytes && p->line[kept - 1] == '\n')
		kept--;
	if (kept && kept + 1 == p->line_bytes && p->line[kept - 1] == '\r')
		kept--;
	if (kept == TL_HTTP_LINE)
		kept--;
	p->line[kept] = 0;
	switch ((enum tl_http_state)p->state) {
	case TL_HTTP_START:
		if (!kept) /* an empty line before a message (RFC 9112, section 2.2) */
			p->line_bytes = p->line_kept = 0;
		else if (!read_start(p))
			begin_excess(p);
		else
			next_line(p, TL_HTTP_HEADERS);
		break;
	case TL_HTTP_HEADERS:
		if (!kept) {
			end_head(p, events);
			break;
		}
		read_header(&p->head, p->line);
		next_line(p, TL_HTTP_HEADERS);
		break;
	case TL_HTTP_CHUNK_SIZE:
		read_chunk_size(p);
		break;
	default:
		if (!kept)
			end_message(p, events);
		else
			next_line(p, TL_HTTP_TRAILERS);
		break;
	}
}

static void begin_start_line(struct tl_http_parser *p, const struct tl_chunk *chunk)
{
	/* The last message's head stays until it is known that another one begins. */
	p->excess_frame = chunk->frame;
	p->excess_ns = chunk->ts_ns;
	p->head_bytes = 0;
}

static bool is_hopeless(const struct tl_http_parser *p)
{
	return p->line_kept && p->line[0] != '\r' && p->line[0] != '\n' &&
	       !(p->is_response ? may_be_response(p->line, p->line_kept)
				: fit_of((const uint8_t *)p->line, p->line_kept) != NO_METHOD);
}

/* Up to the end of the line, or of the data. */
static void take_line(struct tl_http_parser *p, struct tl_cursor *c, const struct tl_chunk *chunk,
		      const struct tl_http_events *events)
{
	size_t left = tl_cursor__left(c);
	const uint8_t *end = memchr(c->at, '\n', left);
	size_t bytes = end ? (size_t)(end - c->at) + 1 : left;
	size_t room = TL_HTTP_LINE - p->line_kept;
	size_t kept = bytes < room ? bytes : room;

	if (p->state == TL_HTTP_START && !p->line_bytes)
		begin_start_line(p, chunk);
	memcpy(p->line + p->line_kept, tl_cursor__take(c, bytes), kept);
	p->line_kept += (uint32_t)kept;
	p->line_bytes += (uint32_t)bytes;
	p->head_bytes += (uint32_t)bytes;
	if (p->state == TL_HTTP_START && is_hopeless(p))
		begin_excess(p);
	else if (end)
		end_line(p, events);
	else if (p->head_bytes > TL_HTTP_HEAD_MAX)
		lose(p);
}

/* --- bodies -------------------------------------------------------------------------------------
 */

static void count_body(struct tl_http_parser *p, uint64_t bytes,
		       const struct tl_http_events *events)
{
	p->left -= bytes;
	if (p->state == TL_HTTP_BODY) {
		p->body_bytes += bytes;
		if (!p->left)
			end_message(p, events);
	} else if (!p->left) {
		p->head_bytes = 0;
		next_line(p, TL_HTTP_CHUNK_SIZE);
	}
}

/*
 * A snap length cuts the head off. What it began with is known: who asks for what, and the status.
 * Where it ends, and how long the body is, is not.
 */
static void cut_head(struct tl_http_parser *p, const struct tl_http_events *events)
{
	enum tl_http_body body;

	if (p->state == TL_HTTP_START) {
		uint32_t kept = p->line_kept < TL_HTTP_LINE ? p->line_kept : TL_HTTP_LINE - 1;

		p->line[kept] = 0;
		p->line_bytes = kept + 1; /* there is more of it */
		if (!kept || !read_start(p)) {
			lose(p);
			return;
		}
	}
	p->body_bytes = 0;
	p->has_hole = false;
	body = events->head(events->ctx, p);
	lose(p);
	if (body == TL_HTTP_TUNNEL)
		p->state = TL_HTTP_OPAQUE;
}

/* Bytes that were sent and can't be read. */
static void skip(struct tl_http_parser *p, uint32_t bytes, bool is_hole,
		 const struct tl_http_events *events)
{
	switch ((enum tl_http_state)p->state) {
	case TL_HTTP_BODY:
	case TL_HTTP_CHUNK:
		p->has_hole |= is_hole;
		if (bytes > p->left) {
			lose(p);
			return;
		}
		count_body(p, bytes, events);
		break;
	case TL_HTTP_BODY_TO_CLOSE:
		p->has_hole |= is_hole;
		p->body_bytes += bytes;
		break;
	case TL_HTTP_EXCESS:
		p->has_hole |= is_hole;
		p->excess_bytes += bytes;
		break;
	case TL_HTTP_OPAQUE:
		break;
	case TL_HTTP_START:
	case TL_HTTP_HEADERS:
		if (!is_hole) {
			cut_head(p, events);
			break;
		}
		lose(p);
		break;
	default:
		lose(p);
		break;
	}
}

static bool begins_message(const struct tl_http_parser *p, const struct tl_cursor *c)
{
	return p->is_response ? tl_http__is_response(c->at, tl_cursor__left(c))
			      : tl_http__is_request(c->at, tl_cursor__left(c));
}

void tl_http_parser__feed(struct tl_http_parser *p, const struct tl_chunk *chunk,
			  const struct tl_http_events *events)
{
	struct tl_cursor c = tl_cursor__init(chunk->data, chunk->bytes);

	if (chunk->hole_bytes)
		skip(p, chunk->hole_bytes, true, events);
	if (p->state == TL_HTTP_LOST && begins_message(p, &c))
		next_line(p, TL_HTTP_START);
	if (p->state == TL_HTTP_EXCESS && begins_message(p, &c)) {
		events->excess(events->ctx, p);
		p->has_hole = false;
		next_line(p, TL_HTTP_START);
	}
	if (p->state != TL_HTTP_EXCESS) {
		p->last_frame = chunk->frame;
		p->last_ns = chunk->ts_ns;
	}
	while (tl_cursor__left(&c) && p->state != TL_HTTP_LOST && p->state != TL_HTTP_OPAQUE) {
		size_t left = tl_cursor__left(&c);

		if (p->state == TL_HTTP_BODY || p->state == TL_HTTP_CHUNK) {
			uint64_t part = p->left < left ? p->left : left;

			tl_cursor__skip(&c, (size_t)part);
			count_body(p, part, events);
		} else if (p->state == TL_HTTP_BODY_TO_CLOSE) {
			p->body_bytes += left;
			break;
		} else if (p->state == TL_HTTP_EXCESS) {
			p->excess_bytes += left;
			break;
		} else {
			take_line(p, &c, chunk, events);
		}
	}
	if (chunk->cut_bytes)
		skip(p, chunk->cut_bytes, false, events);
}

/* --- templates ----------------------------------------------------------------------------------
 */

/* A number, or something like a UUID or a digest. */
static bool is_identifier(const char *segment, size_t bytes)
{
	size_t digits = 0;

	for (size_t i = 0; i < bytes; i++) {
		char c = segment[i];

		digits += is_digit(c);
		if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != '-')
			return false;
	}
	return digits == bytes ? bytes > 0 : digits && bytes >= 8;
}

void tl_http__uri_template(const char *uri, char ret_template[TL_HTTP_URI])
{
	size_t at = 0;

	while (*uri && *uri != '?' && *uri != '#') {
		size_t bytes = strcspn(uri, "/?#");
		bool is_id = is_identifier(uri, bytes);
		int n = snprintf(ret_template + at, TL_HTTP_URI - at, "%.*s%s",
				 is_id ? 4 : (int)bytes, is_id ? "{id}" : uri,
				 uri[bytes] == '/' ? "/" : "");

		at += (size_t)n;
		if (at >= TL_HTTP_URI)
			return;
		uri += bytes + (uri[bytes] == '/');
	}
	ret_template[at] = 0;
}
