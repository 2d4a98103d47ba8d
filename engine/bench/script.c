/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See script.h. */
#include "script.h"

#include <stdio.h>
#include <string.h>

#define HOSTS		65536u
#define PORTS		64512u /* from 1024 */
#define SERVERS		512u
#define DNS_SERVERS	4u
#define HTTP_BODY_BELOW 30000u
#define PAYLOAD_MIN	4u

/* FIN_* follow each other, and OPEN follows the handshake. */
enum step { SYN, SYN_ACK, ACK, OPEN, HTTP_HEAD, HTTP_BODY, FIN, FIN_ACK, LAST_ACK };

static bool is_tcp(const struct script *s)
{
	return s->protocol == TL_TRAFFIC_TCP || s->protocol == TL_TRAFFIC_TCP6 ||
	       s->protocol == TL_TRAFFIC_HTTP;
}

static uint32_t scramble(uint32_t x)
{
	x = (x ^ x >> 16) * 0x7feb352du;
	x = (x ^ x >> 15) * 0x846ca68bu;
	return x ^ x >> 16;
}

void script__begin(struct script *script, uint32_t number, enum tl_traffic_protocol protocol,
		   uint16_t exchanges)
{
	*script = (struct script){
		.number = number,
		.seq = { scramble(number), scramble(~number) },
		.exchanges_left = exchanges,
		.protocol = (uint8_t)protocol,
	};
	script->step = is_tcp(script) ? SYN : OPEN;
}

uint32_t script__opening_packets(const struct script *script)
{
	return is_tcp(script) ? SCRIPT_OPENING_PACKETS : 1;
}

static void address(const struct script *s, struct frame_spec *ret_spec)
{
	static const uint16_t ports[TL_TRAFFIC_PROTOCOLS] = {
		[TL_TRAFFIC_TCP] = 9000,  [TL_TRAFFIC_UDP] = 9100, [TL_TRAFFIC_TCP6] = 9000,
		[TL_TRAFFIC_UDP6] = 9100, [TL_TRAFFIC_HTTP] = 80,  [TL_TRAFFIC_DNS] = 53,
	};
	bool is_dns = s->protocol == TL_TRAFFIC_DNS;

	ret_spec->client = 0x10000u + s->number % HOSTS;
	ret_spec->client_port = (uint16_t)(1024 + s->number / HOSTS % PORTS);
	ret_spec->server = 1 + scramble(s->number) % (is_dns ? DNS_SERVERS : SERVERS);
	ret_spec->server_port = ports[s->protocol];
	ret_spec->is_tcp = is_tcp(s);
	ret_spec->is_ipv6 = s->protocol == TL_TRAFFIC_TCP6 || s->protocol == TL_TRAFFIC_UDP6;
}

static void set_text(struct frame_spec *spec, const struct script_text *text, int bytes)
{
	spec->text = (const uint8_t *)text->bytes;
	spec->payload_bytes = (uint32_t)bytes;
}

/* A query for an A record, or its answer. */
static void write_dns(const struct script *s, bool is_query, struct script_text *text,
		      struct frame_spec *spec)
{
	static const uint8_t question[] = "\7example\4test\0\0\1\0\1";
	static const uint8_t answer[] = "\xc0\x0c\0\1\0\1\0\0\1\x2c\0\4\xc6\x12\0\1";
	uint8_t name[8];
	uint8_t *at = (uint8_t *)text->bytes;
	uint8_t header[12] = { (uint8_t)(s->number >> 8), (uint8_t)s->number, 1, 0, 0, 1 };

	if (!is_query) {
		header[2] = 0x81;
		header[3] = 0x80;
		header[7] = 1;
	}
	memcpy(at, header, 12);
	snprintf((char *)name, sizeof(name), "%ch%05u", 6, s->number % 1000);
	memcpy(at + 12, name, 7);
	memcpy(at + 19, question, sizeof(question) - 1);
	if (!is_query)
		memcpy(at + 19 + sizeof(question) - 1, answer, sizeof(answer) - 1);
	set_text(spec, text,
		 (int)(19 + sizeof(question) - 1 + (is_query ? 0 : sizeof(answer) - 1)));
}

static bool next_dns(struct script *s, struct script_text *text, struct frame_spec *spec)
{
	spec->from_client = s->turn == 0;
	write_dns(s, spec->from_client, text, spec);
	s->turn++;
	return spec->from_client;
}

/* Opaque bytes: client, server, server. False: that was the last one. */
static bool next_data(struct script *s, uint32_t frame_bytes, struct frame_spec *spec)
{
	uint32_t headers = frame__header_bytes(spec);

	spec->from_client = s->turn == 0;
	s->turn = (uint8_t)((s->turn + 1) % 3);
	spec->payload_bytes = frame_bytes > headers ? frame_bytes - headers : 0;
	/* A TCP segment without anything new is a duplicate ACK, like datagrams are copies. */
	if (spec->payload_bytes < PAYLOAD_MIN)
		spec->payload_bytes = PAYLOAD_MIN;
	if (s->exchanges_left != SCRIPT_FOREVER && s->exchanges_left)
		s->exchanges_left--;
	return s->exchanges_left != 0;
}

static void http_request(struct script *s, struct script_text *text, struct frame_spec *spec)
{
	spec->from_client = true;
	spec->tcp_flags |= TL_TCP_PSH;
	set_text(spec, text,
		 snprintf(text->bytes, sizeof(text->bytes),
			  "GET /item/%u HTTP/1.1\r\nHost: host%u.example.test\r\n"
			  "User-Agent: bench\r\nAccept: */*\r\n\r\n",
			  s->number, s->number % SERVERS));
	s->step = HTTP_HEAD;
}

static void http_head(struct script *s, struct script_random *random, struct script_text *text,
		      struct frame_spec *spec)
{
	s->body_left = 1 + script_random__below(random, HTTP_BODY_BELOW);
	spec->from_client = false;
	set_text(spec, text,
		 snprintf(text->bytes, sizeof(text->bytes),
			  "HTTP/1.1 200 OK\r\nServer: bench\r\n"
			  "Content-Type: application/octet-stream\r\n"
			  "Content-Length: %u\r\n\r\n",
			  s->body_left));
	s->step = HTTP_BODY;
	s->turn = 1;
}

/* Segments of the body, and an ACK after two; the next request after the last. */
static void http_body(struct script *s, struct frame_spec *spec)
{
	uint32_t bytes = s->body_left < SCRIPT_SEGMENT_BYTES ? s->body_left : SCRIPT_SEGMENT_BYTES;

	if (s->turn >= 2) {
		spec->from_client = true;
		s->turn = 0;
		return;
	}
	spec->from_client = false;
	spec->payload_bytes = bytes;
	s->body_left -= bytes;
	s->turn++;
	if (s->body_left)
		return;
	spec->tcp_flags |= TL_TCP_PSH;
	if (s->exchanges_left != SCRIPT_FOREVER && s->exchanges_left)
		s->exchanges_left--;
	s->step = s->exchanges_left ? OPEN : FIN;
}

static void handshake(struct script *s, struct frame_spec *spec)
{
	spec->from_client = s->step != SYN_ACK;
	if (s->step == SYN)
		spec->tcp_flags = TL_TCP_SYN;
	else if (s->step == SYN_ACK)
		spec->tcp_flags = TL_TCP_SYN | TL_TCP_ACK;
	s->step++;
	if (s->step == OPEN && !s->exchanges_left)
		s->step = FIN;
}

/* False after the last ACK. */
static bool closing(struct script *s, struct frame_spec *spec)
{
	spec->from_client = s->step != FIN_ACK;
	if (s->step != LAST_ACK)
		spec->tcp_flags |= TL_TCP_FIN;
	return s->step++ != LAST_ACK;
}

/* Numbers the segment, and moves its sender on. */
static void number(struct script *s, struct frame_spec *spec)
{
	uint32_t *own = &s->seq[spec->from_client ? 0 : 1];

	spec->seq = *own;
	spec->ack = spec->tcp_flags & TL_TCP_ACK ? s->seq[spec->from_client ? 1 : 0] : 0;
	*own += spec->payload_bytes + !!(spec->tcp_flags & (TL_TCP_SYN | TL_TCP_FIN));
}

static bool next_tcp(struct script *s, const struct script_source *from, struct frame_spec *spec)
{
	bool go_on = true;

	spec->tcp_flags = TL_TCP_ACK;
	if (s->step < OPEN) {
		handshake(s, spec);
	} else if (s->step >= FIN) {
		go_on = closing(s, spec);
	} else if (s->protocol != TL_TRAFFIC_HTTP) {
		if (!next_data(s, from->frame_bytes, spec))
			s->step = FIN;
	} else if (s->step == OPEN) {
		http_request(s, from->text, spec);
	} else if (s->step == HTTP_HEAD) {
		http_head(s, from->random, from->text, spec);
	} else {
		http_body(s, spec);
	}
	number(s, spec);
	return go_on;
}

bool script__next(struct script *script, const struct script_source *from,
		  struct frame_spec *ret_spec)
{
	memset(ret_spec, 0, sizeof(*ret_spec));
	address(script, ret_spec);
	ret_spec->ip_id = ++script->sent;
	ret_spec->noise_start = script->sent % FRAME_NOISE_STARTS;
	if (script->protocol == TL_TRAFFIC_DNS)
		return next_dns(script, from->text, ret_spec);
	if (!ret_spec->is_tcp)
		return next_data(script, from->frame_bytes, ret_spec);
	return next_tcp(script, from, ret_spec);
}
