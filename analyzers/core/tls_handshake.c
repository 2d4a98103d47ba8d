/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One TLS handshake, message by message, as its records show it (core/tls_record.h), and the report
 * that comes of it. Up to TLS 1.2 the messages are in the clear until change_cipher_spec; of
 *TLS 1.3 all after server_hello is told from the order and the sizes of records, and marked as
 *inferred.
 *
 *	≤ 1.2   client_hello ► server_hello certificate … server_hello_done ► … finished ► finished
 *	1.3     client_hello ► server_hello ▒EE▒ ▒certificate▒ ▒verify▒ ▒finished▒ ► ▒finished▒
 *
 * Worker half; its own worker's thread only.
 */
#include <string.h>

#include "core/text.h"
#include "core/tls_handshake.h"

#define CHAIN_AGAIN_NS	60000000000ull
#define REPORTS_EACH_S	4000u
#define SECOND_NS	1000000000ull
#define REFUSED_SOON_NS 1000000000ull

/* A TLS 1.3 alert: level, description, content type, tag (RFC 8446, section 5.2). */
#define ALERT_13_BYTES 19u

/* --- the pools ---------------------------------------------------------------------------------
 */

struct tls_handshake *tls_handshake__take(struct tls_worker *w, struct tls_flow *fs)
{
	struct tls_handshake *h;

	if (w->handshake_free) {
		fs->handshake = w->handshake_free;
		w->handshake_free = w->handshake[fs->handshake - 1].next_free;
	} else if (w->handshake_used < TLS_HANDSHAKES) {
		fs->handshake = ++w->handshake_used;
	} else {
		w->withheld++;
		return NULL;
	}
	fs->is_followed = 1;
	h = &w->handshake[fs->handshake - 1];
	memset(h, 0, sizeof(*h));
	return h;
}

static void body_give_back(struct tls_worker *w, struct tls_handshake *h)
{
	if (!h->body)
		return;
	w->body[h->body - 1].next_free = w->body_free;
	w->body_free = h->body;
	h->body = 0;
}

static void body_take(struct tls_worker *w, struct tls_handshake *h, uint8_t side)
{
	body_give_back(w, h);
	if (w->body_free) {
		h->body = w->body_free;
		w->body_free = w->body[h->body - 1].next_free;
	} else if (w->body_used < TLS_BODIES) {
		h->body = ++w->body_used;
	} else {
		w->withheld++;
		return;
	}
	h->body_side = side;
	w->body[h->body - 1].bytes = 0;
}

static void no_chunk(void *ctx, const struct tl_chunk *chunk)
{
	(void)ctx;
	(void)chunk;
}

void tls_handshake__give_back(struct tls_worker *w, struct tls_flow *fs)
{
	struct tls_handshake *h = &w->handshake[fs->handshake - 1];
	const struct tl_chunk_sink nowhere = { .chunk = no_chunk };

	body_give_back(w, h);
	tl_reassembly__close(w->reassembly, &h->stream[TLS_CLIENT], &nowhere);
	tl_reassembly__close(w->reassembly, &h->stream[TLS_SERVER], &nowhere);
	h->next_free = w->handshake_free;
	w->handshake_free = fs->handshake;
	fs->handshake = 0;
	fs->is_followed = 0;
	fs->done = 1;
}

void tls_handshake__lose(struct tls_worker *w, struct tls_handshake *h, uint8_t side)
{
	const struct tl_chunk_sink nowhere = { .chunk = no_chunk };

	h->progress |= TLS_LOST;
	h->tls[side].lost = true;
	tl_reassembly__close(w->reassembly, &h->stream[side], &nowhere);
}

/* --- reports -----------------------------------------------------------------------------------
 */

static bool may_report(struct tls_worker *w)
{
	if (w->now_ns / SECOND_NS != w->second) {
		w->second = w->now_ns / SECOND_NS;
		w->reports = 0;
	}
	if (w->reports++ < REPORTS_EACH_S)
		return true;
	w->withheld++;
	return false;
}

void tls_handshake__prove(const struct tls_step *s, enum tls_what what, uint8_t message)
{
	struct tls_report *r = &s->h->report;
	struct tls_proof *p;

	/* The last message is one that moves on. */
	if (what == TLS_SAW_LAST_MESSAGE && r->proof_count &&
	    r->proof[r->proof_count - 1].what == TLS_SAW_LAST_MESSAGE)
		r->proof_count--;
	if (r->proof_count == TLS_PROOFS_MAX)
		r->proof_count--;
	p = &r->proof[r->proof_count++];
	*p = (struct tls_proof){ .frame = s->frame,
				 .ts_ns = s->ts_ns,
				 .what = (uint8_t)what,
				 .side = s->side,
				 .message = message };
	r->last_ns = s->ts_ns;
}

void tls_worker__emit(struct tls_worker *w, struct tl_observation *o, const void *data,
		      size_t bytes)
{
	o->ts_ns = w->now_ns;
	o->data_bytes = (uint16_t)bytes;
	memcpy(o->data, data, bytes);
	tl_analyzer_worker__emit(&w->out, o);
}

void tls_handshake__report(const struct tls_step *s, enum tls_outcome outcome,
			   enum tls_failure failure)
{
	struct tls_handshake *h = s->h;
	struct tl_observation o = { .kind = TLS_OBSERVED_HANDSHAKE,
				    .subject = tl_subject__of_flow(s->flow, h->client) };

	if (h->progress & TLS_REPORTED)
		return;
	h->progress |= TLS_REPORTED;
	h->report.outcome = (uint8_t)outcome;
	h->report.failure = (uint8_t)failure;
	h->report.used = h->progress & TLS_USED;
	if (may_report(s->w))
		tls_worker__emit(s->w, &o, &h->report, sizeof(h->report));
}

/* --- chains ------------------------------------------------------------------------------------
 */

static void tell_chain(const struct tls_step *s, const struct tls_body *body)
{
	struct tl_observation o = { .kind = TLS_OBSERVED_CHAIN,
				    .subject = tl_subject__of_flow(s->flow, s->h->client) };
	struct tls_chain_part part = { .chain = s->h->report.chain, .total = body->bytes };

	while (part.offset < body->bytes) {
		uint32_t left = body->bytes - part.offset;

		part.bytes = left < TLS_PART_BYTES ? left : TLS_PART_BYTES;
		memcpy(part.data, body->data + part.offset, part.bytes);
		tls_worker__emit(s->w, &o, &part, sizeof(part));
		part.offset += part.bytes;
	}
}

static void on_chain(const struct tls_step *s, const struct tls_body *body)
{
	struct tls_report *r = &s->h->report;
	uint64_t hash = tl_text__hash(1, body->data, body->bytes);
	uint32_t slot = (uint32_t)hash & (TLS_CHAINS - 1);

	s->h->progress |= TLS_HAS_CERTIFICATE;
	r->chain = hash ? hash : 1;
	r->certificate_ns = s->ts_ns;
	r->certificate_frame = s->frame;
	if (s->w->chain[slot].hash == r->chain &&
	    s->ts_ns < s->w->chain[slot].told_ns + CHAIN_AGAIN_NS)
		return;
	s->w->chain[slot].hash = r->chain;
	s->w->chain[slot].told_ns = s->ts_ns;
	tell_chain(s, body);
}

/* --- messages ----------------------------------------------------------------------------------
 */

bool tls_handshake__is_13(const struct tls_handshake *h)
{
	return h->progress & TLS_HAS_SERVER_HELLO && h->report.version >= 0x0304;
}

static void on_client_hello(const struct tls_step *s, const struct tls_body *body)
{
	struct tl_tls_hello hello;

	/* What was cut off costs the name at most. */
	tl_tls_hello__of_client(body->data, body->bytes, &hello);
	s->h->report.version = hello.version;
	memcpy(s->h->report.sni, hello.sni, sizeof(hello.sni));
}

static void on_server_hello(const struct tls_step *s, const struct tls_body *body)
{
	struct tls_handshake *h = s->h;
	struct tl_tls_hello hello;

	if (!tl_tls_hello__of_server(body->data, body->bytes, &hello)) {
		h->progress |= TLS_LOST;
		return;
	}
	h->report.version = hello.version;
	if (hello.is_retry) {
		h->report.last_message = TL_TLS_HELLO_RETRY_REQUEST;
		return;
	}
	h->progress |= TLS_HAS_SERVER_HELLO;
}

static void on_message(const struct tls_step *s, uint8_t message)
{
	struct tls_handshake *h = s->h;
	bool is_wanted = message == TL_TLS_CLIENT_HELLO || message == TL_TLS_SERVER_HELLO ||
			 (message == TL_TLS_CERTIFICATE && s->side == TLS_SERVER);

	if (message == TL_TLS_HELLO_REQUEST)
		return;
	h->report.last_message = message;
	if (is_wanted)
		body_take(s->w, h, s->side);
	if (message == TL_TLS_CLIENT_HELLO)
		tls_handshake__prove(s, TLS_SAW_CLIENT_HELLO, message);
	else if (message == TL_TLS_SERVER_HELLO)
		tls_handshake__prove(s, TLS_SAW_SERVER_HELLO, message);
	else if (message != TL_TLS_CERTIFICATE || s->side == TLS_CLIENT)
		tls_handshake__prove(s, TLS_SAW_LAST_MESSAGE, message);
}

static void on_body(const struct tls_step *s, const struct tl_tls_event *e)
{
	struct tls_handshake *h = s->h;
	struct tls_body *body =
		h->body && h->body_side == s->side ? &s->w->body[h->body - 1] : NULL;
	uint32_t room;

	/* A chain is proved by where it ends: there a dissector shows it. */
	if (e->end && e->message == TL_TLS_CERTIFICATE && s->side == TLS_SERVER)
		tls_handshake__prove(s, TLS_SAW_CERTIFICATE, e->message);
	if (!body)
		return;
	room = TL_CHAIN_BYTES - body->bytes;
	if (e->bytes)
		memcpy(body->data + body->bytes, e->data, e->bytes < room ? e->bytes : room);
	body->bytes += e->bytes < room ? e->bytes : room;
	if (!e->end)
		return;
	if (e->message == TL_TLS_CLIENT_HELLO && s->side == TLS_CLIENT)
		on_client_hello(s, body);
	else if (e->message == TL_TLS_SERVER_HELLO && s->side == TLS_SERVER)
		on_server_hello(s, body);
	else if (e->message == TL_TLS_CERTIFICATE)
		on_chain(s, body);
	body_give_back(s->w, h);
}

static void on_alert(const struct tls_step *s, uint8_t level, uint8_t alert)
{
	struct tls_report *r = &s->h->report;
	bool is_warning = level == 1 && alert != TL_TLS_CLOSE_NOTIFY &&
			  alert != TL_TLS_USER_CANCELED && !tls_handshake__is_13(s->h);

	/* unrecognized_name as a warning is common and harmless (RFC 6066, section 3). */
	if (is_warning || r->alert != TL_TLS_ALERT_NONE)
		return;
	r->alert = alert;
	r->closed_by = s->side;
	tls_handshake__prove(s, TLS_SAW_ALERT, alert);
}

/* --- encrypted records -------------------------------------------------------------------------
 */

static void complete(const struct tls_step *s)
{
	s->h->progress |= TLS_COMPLETE;
}

/* TLS 1.3: is this record as long as a finished alone, by SHA-256 or SHA-384? */
static bool is_finished_13(uint32_t bytes)
{
	return bytes == 4 + 32 + 1 + 16 || bytes == 4 + 48 + 1 + 16;
}

/* What TLS 1.3 encrypts of the server's flight, by the order and size of its records. */
static void server_flight_13(const struct tls_step *s, uint32_t bytes)
{
	static const uint8_t order[] = { TL_TLS_ENCRYPTED_EXTENSIONS, TL_TLS_CERTIFICATE,
					 TL_TLS_CERTIFICATE_VERIFY, TL_TLS_FINISHED };
	struct tls_handshake *h = s->h;
	uint8_t n = h->records_13;

	h->records_13 = n < UINT8_MAX ? n + 1 : n;
	h->report.inferred = true;
	h->report.last_message = n < 4 ? order[n] : TL_TLS_FINISHED;
	/* All in one record; or EE and finished alone, of a resumed session. */
	if ((!n && bytes > 300) || (n == 1 && is_finished_13(bytes)))
		h->report.last_message = TL_TLS_FINISHED;
	if (n == 1 && bytes > 300)
		h->report.certificate_bytes = (uint16_t)bytes;
	tls_handshake__prove(s, TLS_SAW_LAST_MESSAGE, h->report.last_message);
}

static void opaque_alert(const struct tls_step *s)
{
	struct tls_report *r = &s->h->report;

	if (r->alert != TL_TLS_ALERT_NONE || r->alert_opaque)
		return;
	r->alert_opaque = r->inferred = true;
	r->closed_by = s->side;
	tls_handshake__prove(s, TLS_SAW_ALERT, TL_TLS_ALERT_NONE);
}

static void server_data_13(const struct tls_step *s, uint32_t bytes)
{
	struct tls_handshake *h = s->h;
	bool is_alert = bytes == ALERT_13_BYTES;

	if (!h->client_records_13) {
		if (is_alert)
			opaque_alert(s);
		else
			server_flight_13(s, bytes);
		return;
	}
	/* Tickets or data: it took the client's finished. An alert first: it did not. */
	if (!is_alert)
		complete(s);
	else if (!h->after_13 && !(h->progress & TLS_COMPLETE) &&
		 s->ts_ns - h->report.last_ns < REFUSED_SOON_NS)
		opaque_alert(s);
	h->after_13 = 1;
}

static void client_data_13(const struct tls_step *s, uint32_t bytes)
{
	struct tls_handshake *h = s->h;
	bool is_alert = bytes == ALERT_13_BYTES;

	if (h->progress & TLS_CLIENT_FINISHED) {
		if (!is_alert)
			h->progress |= TLS_USED;
		else
			complete(s); /* it took the handshake for done and says good-bye */
		return;
	}
	if (is_alert) {
		opaque_alert(s);
		return;
	}
	/* A certificate of the client may come before its finished. */
	h->client_records_13 = 1;
	h->report.inferred = true;
	h->report.last_message = TL_TLS_CERTIFICATE;
	if (is_finished_13(bytes)) {
		h->progress |= TLS_CLIENT_FINISHED;
		h->report.last_message = TL_TLS_FINISHED;
	}
	tls_handshake__prove(s, TLS_SAW_LAST_MESSAGE, h->report.last_message);
}

static void on_data_13(const struct tls_step *s, uint32_t bytes)
{
	if (s->side == TLS_SERVER)
		server_data_13(s, bytes);
	else
		client_data_13(s, bytes);
}

/* In TLS 1.3 a change_cipher_spec is for show; what follows it may be a second hello. */
static bool is_encrypted(const struct tls_step *s)
{
	const struct tls_handshake *h = s->h;
	uint32_t ccs = s->side == TLS_CLIENT ? TLS_CLIENT_CCS : TLS_SERVER_CCS;

	if (!(h->progress & ccs))
		return false;
	if (h->progress & TLS_HAS_SERVER_HELLO)
		return !tls_handshake__is_13(h);
	return !(h->progress & TLS_SERVER_SPOKE); /* that side is not shown */
}

static void on_record(const struct tls_step *s, const struct tl_tls_event *e)
{
	struct tls_handshake *h = s->h;

	if (e->content == TL_TLS_CHANGE_CIPHER_SPEC && !tls_handshake__is_13(h)) {
		if (s->side == TLS_SERVER &&
		    !(h->progress & (TLS_HAS_CERTIFICATE | TLS_CLIENT_CCS)))
			h->report.resumed = true;
		h->progress |= s->side == TLS_CLIENT ? TLS_CLIENT_CCS : TLS_SERVER_CCS;
	} else if (e->content == TL_TLS_HANDSHAKE && h->tls[s->side].encrypted) {
		h->progress |= s->side == TLS_CLIENT ? TLS_CLIENT_FINISHED : TLS_SERVER_FINISHED;
		h->report.last_message = TL_TLS_FINISHED;
		tls_handshake__prove(s, TLS_SAW_LAST_MESSAGE, TL_TLS_FINISHED);
		if (h->progress & TLS_CLIENT_FINISHED && h->progress & TLS_SERVER_FINISHED)
			complete(s);
	} else if (e->content == TL_TLS_ALERT && h->tls[s->side].encrypted) {
		if (!(h->progress & TLS_COMPLETE) && h->progress & TLS_HAS_SERVER_HELLO)
			opaque_alert(s);
	} else if (e->content == TL_TLS_APPLICATION_DATA) {
		if (tls_handshake__is_13(h))
			on_data_13(s, e->bytes);
		else if (h->progress & TLS_HAS_SERVER_HELLO)
			h->progress |=
				s->side == TLS_CLIENT ? TLS_COMPLETE | TLS_USED : TLS_COMPLETE;
	}
	h->tls[s->side].encrypted = is_encrypted(s);
}

static void on_event(void *ctx, const struct tl_tls_event *e)
{
	const struct tls_step *s = ctx;

	if (s->side == TLS_SERVER && e->kind == TL_TLS_EVENT_RECORD)
		s->h->progress |= TLS_SERVER_SPOKE;
	switch (e->kind) {
	case TL_TLS_EVENT_RECORD:
		on_record(s, e);
		break;
	case TL_TLS_EVENT_MESSAGE:
		on_message(s, e->message);
		break;
	case TL_TLS_EVENT_BODY:
		on_body(s, e);
		break;
	case TL_TLS_EVENT_HOLE:
		body_give_back(s->w, s->h);
		if (e->message == TL_TLS_SERVER_HELLO)
			s->h->progress |= TLS_LOST;
		break;
	case TL_TLS_EVENT_ALERT:
		on_alert(s, e->level, e->alert);
		break;
	default:
		if (s->side == TLS_SERVER && !(s->h->progress & (TLS_SERVER_SPOKE | TLS_LOST))) {
			s->h->report.failure = TLS_FAILURE_NOT_TLS;
			tls_handshake__prove(s, TLS_SAW_NO_TLS, 0);
		} else {
			s->h->progress |= TLS_LOST;
		}
	}
}

void tls_handshake__on_chunk(void *ctx, const struct tl_chunk *chunk)
{
	struct tls_step *s = ctx;
	struct tl_tls_stream *tls = &s->h->tls[s->side];
	const struct tl_tls_sink sink = { .event = on_event, .ctx = s };

	/* What came before its turn is told of with the packet that it came in. */
	s->ts_ns = chunk->ts_ns;
	s->frame = chunk->frame;
	/* What follows upon a hole where a record should begin may look like anything. */
	if (chunk->hole_bytes > tls->record_left)
		s->h->progress |= TLS_LOST;
	tl_tls_stream__skip(tls, chunk->hole_bytes, &sink);
	tl_tls_stream__feed(tls, chunk->data, chunk->bytes, &sink);
	tl_tls_stream__skip(tls, chunk->cut_bytes, &sink);
}
