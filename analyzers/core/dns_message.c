/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See dns_message.h.
 *
 *	id │ QR opcode AA TC RD RA Z AD CD rcode │ counts (4) │ question │ records …
 *	                                                        │
 *	name: length·label · length·label · 0     or a pointer: 11 + offset, ends the name
 *
 * A pointer is followed only to a place before all that the name has used so far, and a name has
 * at most 255 octets: so every loop ends.
 */
#include "core/dns_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "tapline/cursor.h"

#define NAME_OCTETS_MAX 255u
#define CLASS_IN	1u
#define TYPE_OPT	41u

/* A name being written as text. */
struct text {
	char *at;
	size_t bytes;
	bool is_plain;
};

static void put(struct text *t, const char *piece, size_t bytes)
{
	if (t->bytes + bytes >= TL_DNS_NAME) {
		t->is_plain = false;
		return;
	}
	memcpy(t->at + t->bytes, piece, bytes);
	t->bytes += bytes;
}

static void put_label(struct text *t, const uint8_t *label, size_t bytes)
{
	if (t->bytes)
		put(t, ".", 1);
	for (size_t i = 0; i < bytes; i++) {
		char c = (char)label[i];
		char escape[8];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
			put(t, &c, 1);
			continue;
		}
		t->is_plain = false;
		put(t, escape, (size_t)snprintf(escape, sizeof(escape), "\\%03u", label[i]));
	}
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Leaves `c` behind the name. `message`: from the first byte on. `ret_name` may be NULL: skip. */
static bool take_name(const struct tl_cursor *message, struct tl_cursor *c,
		      struct tl_dns_message *ret_name)
{
	struct text text = { .at = ret_name ? ret_name->name : NULL, .is_plain = true };
	struct tl_cursor at = *c;
	size_t limit = (size_t)(c->at - message->at);
	bool has_jumped = false;
	unsigned octets = 1;
	uint64_t hash = 0;

	for (;;) {
		uint8_t length = tl_cursor__u8(&at);
		uint8_t label[64];
		const uint8_t *p;

		if ((length & 0xc0u) == 0xc0u) {
			size_t to = (size_t)(length & 0x3fu) << 8 | tl_cursor__u8(&at);

			if (at.failed || to >= limit)
				return false;
			if (!has_jumped)
				*c = at;
			if (!ret_name)
				return true;
			has_jumped = true;
			limit = to;
			at = *message;
			tl_cursor__skip(&at, to);
			continue;
		}
		octets += length + 1u;
		p = tl_cursor__take(&at, length);
		if (length & 0xc0u || at.failed || octets > NAME_OCTETS_MAX + 1u)
			return false;
		if (!length)
			break;
		if (!ret_name)
			continue;
		for (unsigned i = 0; i < length; i++)
			label[i] = lower(p[i]);
		hash = tl_text__hash(hash, &length, 1);
		hash = tl_text__hash(hash, label, length);
		put_label(&text, label, length);
	}
	if (!has_jumped)
		*c = at;
	if (!ret_name)
		return true;
	if (!text.bytes) {
		put(&text, ".", 1);
		text.is_plain = false;
	}
	ret_name->name[text.bytes] = 0;
	ret_name->name_hash = hash;
	ret_name->is_plain = text.is_plain;
	return true;
}

/* Walks the records for their shape, and for OPT's part of the rcode. */
static void walk_records(const struct tl_cursor *message, struct tl_cursor *c,
			 struct tl_dns_message *m)
{
	uint32_t records = (uint32_t)m->answers + m->authorities + m->additionals;

	for (uint32_t i = 1; i < m->questions; i++) {
		if (i > TL_DNS_RECORDS_MAX || !take_name(message, c, NULL))
			return;
		tl_cursor__skip(c, 4);
	}
	for (uint32_t i = 0; i < records; i++) {
		uint16_t type;
		uint8_t extended;

		if (i > TL_DNS_RECORDS_MAX || !take_name(message, c, NULL))
			return;
		type = tl_cursor__be16(c);
		tl_cursor__skip(c, 2);
		extended = tl_cursor__u8(c);
		tl_cursor__skip(c, 3);
		tl_cursor__skip(c, tl_cursor__be16(c));
		if (c->failed)
			return;
		if (type == TYPE_OPT && i >= (uint32_t)m->answers + m->authorities)
			m->rcode = (uint16_t)((m->rcode & 15u) | (uint16_t)(extended << 4));
	}
	m->is_whole = !c->failed && !tl_cursor__left(c);
}

int tl_dns_message__parse(const uint8_t *data, size_t bytes, struct tl_dns_message *ret_message)
{
	const struct tl_cursor message = tl_cursor__init(data, bytes);
	struct tl_cursor c = message;
	struct tl_dns_message m = { 0 };
	uint16_t flags;

	m.id = tl_cursor__be16(&c);
	flags = tl_cursor__be16(&c);
	m.questions = tl_cursor__be16(&c);
	m.answers = tl_cursor__be16(&c);
	m.authorities = tl_cursor__be16(&c);
	m.additionals = tl_cursor__be16(&c);
	m.is_response = flags >> 15;
	m.opcode = flags >> 11 & 15u;
	m.is_cut = flags >> 9 & 1u;
	m.has_z = flags >> 6 & 1u;
	m.rcode = flags & 15u;
	if (c.failed)
		return -EBADMSG;
	if (m.questions) {
		if (!take_name(&message, &c, &m))
			return -EBADMSG;
		m.qtype = tl_cursor__be16(&c);
		m.qclass = tl_cursor__be16(&c);
		if (c.failed)
			return -EBADMSG;
		m.has_question = true;
	}
	walk_records(&message, &c, &m);
	*ret_message = m;
	return 0;
}

bool tl_dns_message__is_likely(const struct tl_dns_message *m)
{
	if (m->opcode || m->has_z || m->questions != 1 || !m->is_whole || !m->is_plain ||
	    m->qclass != CLASS_IN || !m->qtype)
		return false;
	return m->is_response ||
	       (!m->rcode && !m->answers && !m->authorities && m->additionals <= 2 && !m->is_cut);
}

const char *tl_dns__rcode_name(uint16_t rcode, char ret_text[TL_DNS_TYPE_TEXT])
{
	static const char *const name[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
					    "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
					    "NXRRSET", "NOTAUTH", "NOTZONE",  "DSOTYPENI",
					    NULL,      NULL,	  NULL,	      NULL,
					    "BADVERS" };

	if (rcode < sizeof(name) / sizeof(name[0]) && name[rcode])
		snprintf(ret_text, TL_DNS_TYPE_TEXT, "%s", name[rcode]);
	else
		snprintf(ret_text, TL_DNS_TYPE_TEXT, "RCODE%u", rcode);
	return ret_text;
}

const char *tl_dns__type_name(uint16_t qtype, char ret_text[TL_DNS_TYPE_TEXT])
{
	static const struct {
		uint16_t type;
		const char *name;
	} known[] = {
		{ 1, "A" },	{ 2, "NS" },	 { 5, "CNAME" },  { 6, "SOA" },	    { 12, "PTR" },
		{ 15, "MX" },	{ 16, "TXT" },	 { 28, "AAAA" },  { 33, "SRV" },    { 35, "NAPTR" },
		{ 43, "DS" },	{ 46, "RRSIG" }, { 47, "NSEC" },  { 48, "DNSKEY" }, { 52, "TLSA" },
		{ 64, "SVCB" }, { 65, "HTTPS" }, { 251, "IXFR" }, { 252, "AXFR" },  { 255, "ANY" },
		{ 257, "CAA" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].type == qtype) {
			snprintf(ret_text, TL_DNS_TYPE_TEXT, "%s", known[i].name);
			return ret_text;
		}
	}
	snprintf(ret_text, TL_DNS_TYPE_TEXT, "TYPE%u", qtype);
	return ret_text;
}
