/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is the client where no SYN tells, and which application protocol a flow speaks: from ports
 * and from the first bytes of each side, looked at once. Called within a write of the entry.
 *
 * First bytes: HTTP/1 (RFC 9112), HTTP/2's preface (RFC 9113, 3.4), TLS records (RFC 8446, 5.1),
 * SSH's banner (RFC 4253, 4.2), MySQL's greeting (protocol 10), PostgreSQL's startup packet.
 */
#include <netinet/in.h>
#include <string.h>

#include "entry.h"
#include "tapline/cursor.h"

/* Who sent the first bytes, as far as they tell. */
enum speaker { ANYONE = 0, CLIENT, SERVER };

static uint8_t app_of_port(uint16_t port, bool tcp)
{
	switch (port) {
	case 53:
	case 5353:
	case 5355:
		return TL_APP_DNS;
	case 80:
	case 8000:
	case 8080:
		return tcp ? TL_APP_HTTP : TL_APP_UNKNOWN;
	case 443:
	case 8443:
	case 853:
	case 993:
	case 995:
	case 636:
		return tcp ? TL_APP_TLS : TL_APP_UNKNOWN;
	case 22:
		return tcp ? TL_APP_SSH : TL_APP_UNKNOWN;
	case 3306:
		return tcp ? TL_APP_MYSQL : TL_APP_UNKNOWN;
	case 5432:
		return tcp ? TL_APP_POSTGRESQL : TL_APP_UNKNOWN;
	default:
		return TL_APP_UNKNOWN;
	}
}

/* How much a port looks like a server's: 2 known or privileged, 1 below the ephemeral ones. */
static int server_rank(uint16_t port, bool tcp)
{
	if (!port)
		return 0;
	if (port < 1024 || app_of_port(port, tcp) != TL_APP_UNKNOWN)
		return 2;
	return port < 32768;
}

static bool is_icmp_answer(uint8_t proto, uint16_t type)
{
	if (proto == IPPROTO_ICMP)
		return type == 0 || type == 9 || type == 14 || type == 16 || type == 18;
	return type == 129 || type == 131 || type == 134 || type == 136 || type == 140 ||
	       type == 145;
}

void tl_flow_client__guess(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_flow_key *key = &flow->key;
	bool tcp = key->proto == IPPROTO_TCP;
	uint16_t own = key->port[p->side], other = key->port[!p->side];
	int own_rank = server_rank(own, tcp), other_rank = server_rank(other, tcp);
	bool answer;

	if (key->proto == IPPROTO_ICMP || key->proto == IPPROTO_ICMPV6) {
		answer = is_icmp_answer(key->proto, own);
	} else {
		answer = own_rank > other_rank;
		if (tcp && own_rank == other_rank) {
			answer = own < other;
			if (own == other)
				tl_flow__raise(flow, TL_FLOW_BLIND);
		}
	}
	tl_flow__set(flow->client, answer ? !p->side : p->side);
	/* not TCP: who sends first is the client, unless its port says that this is an answer */
	if (!tcp && !answer)
		tl_flow__raise(flow, TL_FLOW_CLIENT_SURE);
}

/* Inline: of a literal's bytes it makes a word or two. */
static inline __attribute__((always_inline)) bool begins(const uint8_t *data, size_t bytes,
							 const char *with)
{
	size_t length = strlen(with);

	return bytes >= length && !memcmp(data, with, length);
}

static bool is_http_request(const uint8_t *data, size_t bytes)
{
	return begins(data, bytes, "GET ") || begins(data, bytes, "POST ") ||
	       begins(data, bytes, "HEAD ") || begins(data, bytes, "PUT ") ||
	       begins(data, bytes, "DELETE ") || begins(data, bytes, "OPTIONS ") ||
	       begins(data, bytes, "CONNECT ") || begins(data, bytes, "PATCH ") ||
	       begins(data, bytes, "TRACE ") || begins(data, bytes, "PRI * ");
}

/* Type, version 3.x, a length that a record may have; then the handshake's message. */
static bool is_tls(struct tl_cursor c, enum speaker *ret_speaker)
{
	uint8_t type = tl_cursor__u8(&c);
	uint16_t version = tl_cursor__be16(&c);
	uint16_t length = tl_cursor__be16(&c);
	uint8_t message = tl_cursor__u8(&c);

	if (c.failed || type < 20 || type > 23 || version >> 8 != 3 || (version & 0xff) > 4 ||
	    !length || length > 16384 + 2048)
		return false;
	if (type == 22)
		*ret_speaker = message == 1 ? CLIENT : message == 2 ? SERVER : ANYONE;
	return true;
}

static bool is_mysql_greeting(struct tl_cursor c, uint32_t payload_bytes)
{
	uint32_t header = tl_cursor__le32(&c); /* length in 24 bits, sequence number 0 above */
	uint8_t protocol = tl_cursor__u8(&c);
	uint8_t version = tl_cursor__u8(&c);

	return !c.failed && header + 4 == payload_bytes && protocol == 10 && version >= '0' &&
	       version <= '9';
}

static bool is_postgresql_startup(struct tl_cursor c, uint32_t payload_bytes)
{
	uint32_t length = tl_cursor__be32(&c);
	uint32_t code = tl_cursor__be32(&c);

	return !c.failed && length == payload_bytes &&
	       (code == 0x00030000 || (code >= 80877102 && code <= 80877104));
}

static uint8_t app_of_bytes(struct tl_cursor c, uint32_t payload_bytes, enum speaker *ret_speaker)
{
	size_t bytes = tl_cursor__left(&c);
	const uint8_t *data = c.at;

	if (is_http_request(data, bytes)) {
		*ret_speaker = CLIENT;
		return TL_APP_HTTP;
	}
	if (begins(data, bytes, "HTTP/1.")) {
		*ret_speaker = SERVER;
		return TL_APP_HTTP;
	}
	if (begins(data, bytes, "SSH-"))
		return TL_APP_SSH;
	if (is_tls(c, ret_speaker))
		return TL_APP_TLS;
	if (is_mysql_greeting(c, payload_bytes)) {
		*ret_speaker = SERVER;
		return TL_APP_MYSQL;
	}
	if (is_postgresql_startup(c, payload_bytes)) {
		*ret_speaker = CLIENT;
		return TL_APP_POSTGRESQL;
	}
	return TL_APP_UNKNOWN;
}

static void settle_client(struct tl_flow *flow, const struct tl_flow_packet *p,
			  enum speaker speaker)
{
	bool open = flow->flags & TL_FLOW_MIDSTREAM && !(flow->flags & TL_FLOW_CLIENT_SURE);

	if (open && speaker != ANYONE)
		tl_flow__set(flow->client, speaker == CLIENT ? p->side : !p->side);
	else if (open && flow->flags & TL_FLOW_BLIND)
		tl_flow__set(flow->client, p->side);
	tl_flow__lower(flow, TL_FLOW_BLIND);
}

void tl_flow_client__payload(struct tl_flow *flow, const struct tl_flow_packet *p)
{
	const struct tl_layers *l = p->layers;
	bool tcp = flow->key.proto == IPPROTO_TCP;
	enum speaker speaker = ANYONE;
	uint8_t app = TL_APP_UNKNOWN;
	struct tl_cursor c = tl_cursor__init(p->packet->data, p->packet->caplen);

	tl_flow__raise(flow, TL_FLOW_APP_TRIED << p->side);
	tl_cursor__skip(&c, l->payload_offset);
	tl_cursor__limit(&c, l->payload_caplen);
	if (tcp && !c.failed)
		app = app_of_bytes(c, l->payload_bytes, &speaker);
	settle_client(flow, p, speaker);
	if (app == TL_APP_UNKNOWN && flow->app == TL_APP_UNKNOWN) {
		app = app_of_port(flow->key.port[!flow->client], tcp);
		if (app == TL_APP_UNKNOWN && !tcp)
			app = app_of_port(flow->key.port[flow->client], tcp);
	}
	if (app != TL_APP_UNKNOWN && app != flow->app)
		tl_flow__set(flow->app, app);
}
