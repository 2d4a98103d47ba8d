/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mixes of sizes and protocols, from their text. Any thread; nothing is kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tapline/traffic.h"

#define WEIGHT_MAX 1000000u

static const char *const protocol_names[TL_TRAFFIC_PROTOCOLS] = {
	[TL_TRAFFIC_TCP] = "tcp",   [TL_TRAFFIC_UDP] = "udp",	[TL_TRAFFIC_TCP6] = "tcp6",
	[TL_TRAFFIC_UDP6] = "udp6", [TL_TRAFFIC_HTTP] = "http", [TL_TRAFFIC_DNS] = "dns",
};

/* Value of the `length` characters at `text`. 0, -EINVAL, -ERANGE. */
typedef int parse_value_fn(const char *text, size_t length, uint32_t *ret_value);

static int parse_number(const char *text, size_t length, uint32_t *ret_value)
{
	uint64_t value = 0;

	if (!length || length > 9)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	*ret_value = (uint32_t)value;
	return 0;
}

static int parse_size(const char *text, size_t length, uint32_t *ret_value)
{
	int err = parse_number(text, length, ret_value);

	if (err)
		return err;
	return *ret_value < TL_TRAFFIC_FRAME_MIN || *ret_value > TL_TRAFFIC_FRAME_MAX ? -ERANGE : 0;
}

static int parse_protocol(const char *text, size_t length, uint32_t *ret_value)
{
	for (uint32_t i = 0; i < TL_TRAFFIC_PROTOCOLS; i++) {
		if (strlen(protocol_names[i]) == length &&
		    !strncmp(protocol_names[i], text, length)) {
			*ret_value = i;
			return 0;
		}
	}
	return -EINVAL;
}

/* VALUE[:WEIGHT] */
static int parse_share(const char *text, size_t length, parse_value_fn *parse,
		       struct tl_traffic_mix *mix)
{
	const char *colon = memchr(text, ':', length);
	size_t value_length = colon ? (size_t)(colon - text) : length;
	uint32_t value, weight = 1;
	int err = parse(text, value_length, &value);

	if (!err && colon)
		err = parse_number(colon + 1, length - value_length - 1, &weight);
	if (err)
		return err;
	if (!weight || weight > WEIGHT_MAX || mix->count == TL_TRAFFIC_SHARES_MAX)
		return -ERANGE;
	mix->at[mix->count].value = value;
	mix->at[mix->count++].weight = weight;
	mix->weight_sum += weight;
	return 0;
}

static int parse_mix(const char *text, parse_value_fn *parse, struct tl_traffic_mix *ret_mix)
{
	struct tl_traffic_mix mix = { 0 };

	for (;;) {
		size_t length = strcspn(text, ",");
		int err = parse_share(text, length, parse, &mix);

		if (err)
			return err;
		if (!text[length])
			break;
		text += length + 1;
	}
	*ret_mix = mix;
	return 0;
}

int tl_traffic__parse_sizes(const char *text, struct tl_traffic_mix *ret_mix)
{
	/* The simple IMIX: 64, 594 and 1518 bytes with their frame check sequence. */
	return parse_mix(strcmp(text, "imix") ? text : "60:7,590:4,1514:1", parse_size, ret_mix);
}

int tl_traffic__parse_protocols(const char *text, struct tl_traffic_mix *ret_mix)
{
	return parse_mix(text, parse_protocol, ret_mix);
}
