/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From bytes to the innermost IP packet: the walk over the headers, and the short way for the
 * packets that are nearly all of the traffic. Any thread; nothing is shared or kept.
 *
 *	link ─► ethertype ─┬─► ip ─► proto ─┬─► transport
 *	   ▲      ▲        └─► mpls, pppoe  ├─► gre, ip in ip
 *	   └──────┴────────────────◄────────┴─► udp ports of tunnels
 */
#include "tapline/decode.h"

#include "step.h"

/* Where the fields lie in Ethernet + IPv4 without options + TCP, from the start of the frame. */
enum { COMMON_IP = 14, COMMON_TCP = 34, COMMON_PAYLOAD = 54 };

static inline void clear(struct tl_layers *out)
{
	/* in two parts: small enough for the compiler to spell out, and several times faster */
	const size_t half = sizeof(*out) / 2;

	memset(out, 0, half);
	memset((uint8_t *)out + half, 0, sizeof(*out) - half);
}

void decode_walk(struct decode *d, enum step step)
{
	for (int steps = 0; step != STEP_DONE; steps++) {
		if (steps == DECODE_STEPS_MAX) {
			d->out->flags |= TL_LAYERS_TOO_DEEP;
			break;
		}
		switch (step) {
		case STEP_ETHERNET:
			step = step_ethernet(d);
			break;
		case STEP_ETHERTYPE:
			step = step_ethertype(d);
			break;
		case STEP_IP:
			step = step_ip(d);
			break;
		case STEP_IPV4:
			step = step_ipv4(d);
			break;
		case STEP_IPV6:
			step = step_ipv6(d);
			break;
		case STEP_PROTO:
			step = step_proto(d);
			break;
		case STEP_MPLS:
			step = step_mpls(d);
			break;
		case STEP_PPP:
			step = step_ppp(d);
			break;
		default:
			step = STEP_DONE;
		}
	}
	if (!d->has_ip) {
		d->out->ethertype = d->ethertype;
		d->out->l2_offset = d->l2_offset;
	}
}

static inline void common_tcp(struct tl_layers *out, const uint8_t *tcp)
{
	out->src_port = load16(tcp);
	out->dst_port = load16(tcp + 2);
	out->seq = load32(tcp + 4);
	out->ack = load32(tcp + 8);
	out->tcp_flags = tcp[13];
	out->window = load16(tcp + 14);
	out->l4_checksum = load16(tcp + 16);
	out->urgent = load16(tcp + 18);
}

static inline void common_options(struct tl_layers *out, const uint8_t *options, uint32_t bytes)
{
	struct tl_cursor rest;

	if (bytes == 12 && load32(options) == 0x0101080a) {
		out->flags |= TL_LAYERS_TCP_TS;
		out->tsval = load32(options + 4);
		out->tsecr = load32(options + 8);
		return;
	}
	rest = tl_cursor__init(options, bytes);
	parse_tcp_options(out, &rest);
}

static inline bool ip_sum_is_right(const uint8_t *ip)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < 5; i++) {
		uint32_t word;

		memcpy(&word, ip + 4 * i, sizeof(word));
		sum += word;
	}
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

/*
 * Ethernet, IPv4 without options, whole TCP header. False: anything else, and nothing was written.
 */
static inline bool decode_common(const struct tl_packet *packet, struct tl_layers *out)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	const uint8_t *p = tl_cursor__peek(&c, COMMON_PAYLOAD);
	uint32_t total, tcp_bytes, headers;

	if (!p || load16(p + 12) != ETHERTYPE_IPV4 || p[COMMON_IP] != 0x45 ||
	    p[COMMON_IP + 9] != PROTO_TCP || (load16(p + COMMON_IP + 6) & 0x3fff))
		return false;
	total = load16(p + COMMON_IP + 2);
	tcp_bytes = (p[COMMON_TCP + 12] >> 4) * 4u;
	headers = COMMON_TCP + tcp_bytes;
	if (tcp_bytes < 20 || total < 20 + tcp_bytes || packet->wirelen < packet->caplen ||
	    COMMON_IP + total > packet->wirelen || headers > packet->caplen)
		return false;

	clear(out);
	out->ip_version = 4;
	out->proto = PROTO_TCP;
	out->ethertype = ETHERTYPE_IPV4;
	out->tos = p[COMMON_IP + 1];
	out->ttl = p[COMMON_IP + 8];
	out->l3_offset = COMMON_IP;
	out->l4_offset = COMMON_TCP;
	out->payload_offset = headers;
	out->payload_bytes = total - 20 - tcp_bytes;
	out->payload_caplen = packet->caplen - headers;
	if (out->payload_caplen > out->payload_bytes)
		out->payload_caplen = out->payload_bytes;
	out->src = p + COMMON_IP + 12;
	out->dst = p + COMMON_IP + 16;
	out->ip_id = load16(p + COMMON_IP + 4);
	common_tcp(out, p + COMMON_TCP);
	if (tcp_bytes > 20)
		common_options(out, p + COMMON_PAYLOAD, tcp_bytes - 20);
	if (!ip_sum_is_right(p + COMMON_IP))
		out->flags |= TL_LAYERS_BAD_IP_CSUM;
	return true;
}

void tl_decode(const struct tl_packet *packet, struct tl_layers *ret_layers)
{
	uint32_t wire = packet->wirelen > packet->caplen ? packet->wirelen : packet->caplen;
	struct decode d;

	if (packet->linktype == TL_LINKTYPE_ETHERNET && decode_common(packet, ret_layers))
		return;
	clear(ret_layers);
	d = (struct decode){
		.cursor = tl_cursor__init(packet->data, packet->caplen),
		.data = packet->data,
		.wire_end = wire < DECODE_WIRE_MAX ? wire : DECODE_WIRE_MAX,
		.follow_tunnels = true,
		.out = ret_layers,
	};
	decode_walk(&d, step_link(&d, packet->linktype));
}

/* ICMP errors quote the packet that caused them (RFC 792; RFC 4443, section 2.4 c). */
static bool is_icmp_error(const struct tl_layers *layers, uint8_t type)
{
	if (layers->proto == PROTO_ICMP && layers->ip_version == 4)
		return type == 3 || type == 4 || type == 5 || type == 11 || type == 12;
	return layers->proto == PROTO_ICMP6 && layers->ip_version == 6 && type >= 1 && type <= 4;
}

bool tl_decode__icmp_quote(const struct tl_packet *packet, const struct tl_layers *layers,
			   struct tl_layers *ret_quoted)
{
	struct tl_cursor c = tl_cursor__init(packet->data, packet->caplen);
	struct tl_layers quoted = { 0 };
	struct decode d;

	tl_cursor__skip(&c, layers->payload_offset);
	tl_cursor__limit(&c, layers->payload_caplen);
	if (c.failed || !layers->l4_offset || layers->l4_offset >= packet->caplen ||
	    !is_icmp_error(layers, packet->data[layers->l4_offset]))
		return false;
	d = (struct decode){ .cursor = c, .data = packet->data, .out = &quoted };
	unlimit(&d);
	decode_walk(&d, layers->ip_version == 4 ? STEP_IPV4 : STEP_IPV6);
	if (!d.has_ip || (!quoted.l4_offset && !(quoted.flags & TL_LAYERS_FRAGMENT_LATER)))
		return false;
	*ret_quoted = quoted;
	return true;
}
