/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Words that several judges use; see text.h. No state.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"

const char *tl_text__ip(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_IP])
{
	int family = endpoint->ip_version == 6 ? AF_INET6 : AF_INET;

	if (!endpoint->ip_version || !inet_ntop(family, endpoint->ip, ret_text, TL_TEXT_IP))
		memcpy(ret_text, "?", 2);
	return ret_text;
}

const char *tl_text__endpoint(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_ENDPOINT])
{
	char ip[TL_TEXT_IP];

	snprintf(ret_text, TL_TEXT_ENDPOINT, endpoint->ip_version == 6 ? "[%s]:%u" : "%s:%u",
		 tl_text__ip(endpoint, ip), endpoint->port);
	return ret_text;
}

const char *tl_text__ip_filter(const struct tl_endpoint *endpoint, char ret_text[TL_TEXT_FILTER])
{
	char ip[TL_TEXT_IP];

	snprintf(ret_text, TL_TEXT_FILTER, "%s.addr==%s", endpoint->ip_version == 6 ? "ipv6" : "ip",
		 tl_text__ip(endpoint, ip));
	return ret_text;
}

const char *tl_text__span(uint64_t span_ns, char ret_text[TL_TEXT_SPAN])
{
	if (span_ns < 1000000000ull)
		snprintf(ret_text, TL_TEXT_SPAN, "%u ms", (unsigned)(span_ns / 1000000));
	else
		snprintf(ret_text, TL_TEXT_SPAN, "%.1f s", (double)span_ns / 1e9);
	return ret_text;
}

const char *tl_text__plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

void tl_endpoint__key(const struct tl_endpoint *endpoint, uint8_t ret_key[TL_ENDPOINT_KEY])
{
	ret_key[0] = endpoint->ip_version;
	memcpy(ret_key + 1, endpoint->ip, sizeof(endpoint->ip));
	ret_key[17] = (uint8_t)(endpoint->port >> 8);
	ret_key[18] = (uint8_t)endpoint->port;
}

struct tl_subject tl_subject__of_flow(const struct tl_flow *flow, uint8_t client_side)
{
	struct tl_subject s = {
		.client = tl_endpoint__of_flow(flow, client_side & 1u),
		.server = tl_endpoint__of_flow(flow, !(client_side & 1u)),
		.proto = flow->key.proto,
		.interface = flow->interface,
		.tunnel_type = flow->tunnel_type,
		.tunnel_id = flow->tunnel_id,
	};

	for (unsigned i = 0; i < 2 && i < flow->vlan_count; i++)
		s.vlan[s.vlan_count++] = flow->vlan[i] & 0xfffu;
	return s;
}
