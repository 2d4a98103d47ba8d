/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small formats: times, addresses, names of enums, and text that is safe to print.
 *
 * Pure functions: no state, any thread. Every one takes the room it may fill.
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "export_impl.h"
#include "line.h"

#define NS_PER_S 1000000000ull

/* Nine digits, most significant first, in pairs that do not wait for each other. */
static char *put_nanoseconds(char *at, uint32_t ns)
{
	uint32_t high = ns / 100000, low = ns % 100000;

	at = line__pair(at, high / 100);
	at = line__pair(at, high % 100);
	at = line__pair(at, low / 1000);
	at = line__pair(at, low / 10 % 100);
	*at++ = (char)('0' + low % 10);
	return at;
}

/*
 * By hand: strftime and snprintf together took longer than all else of a flow record. The calendar
 * is Hinnant's ("chrono-compatible low-level date algorithms", civil_from_days): eras of 400 years
 * that begin on March 1st.
 */
void tl_format__time(uint64_t ts_ns, char ret_text[TL_TIME_TEXT])
{
	uint64_t seconds = ts_ns / NS_PER_S, days = seconds / 86400 + 719468;
	uint64_t of_era = days % 146097;
	uint64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	uint64_t of_year = of_era - (365 * year + year / 4 - year / 100);
	uint64_t month = (5 * of_year + 2) / 153, day = of_year - (153 * month + 2) / 5 + 1;
	char *p = ret_text;

	month = month < 10 ? month + 3 : month - 9;
	year += days / 146097 * 400 + (month <= 2);
	p = line__pair(p, (uint32_t)(year / 100 % 100));
	p = line__pair(p, (uint32_t)(year % 100));
	*p++ = '-';
	p = line__pair(p, (uint32_t)month);
	*p++ = '-';
	p = line__pair(p, (uint32_t)day);
	*p++ = 'T';
	p = line__pair(p, (uint32_t)(seconds / 3600 % 24));
	*p++ = ':';
	p = line__pair(p, (uint32_t)(seconds / 60 % 60));
	*p++ = ':';
	p = line__pair(p, (uint32_t)(seconds % 60));
	*p++ = '.';
	p = put_nanoseconds(p, (uint32_t)(ts_ns % NS_PER_S));
	*p++ = 'Z';
	*p = 0;
}

static void format_ip4(const uint8_t *ip, char *at)
{
	for (int i = 0; i < 4; i++) {
		uint32_t rest = ip[i];

		if (rest >= 100)
			*at++ = (char)('0' + rest / 100);
		if (rest >= 10)
			at = line__pair(at, rest % 100);
		else
			*at++ = (char)('0' + rest);
		*at++ = i < 3 ? '.' : 0;
	}
}

void tl_format__ip(uint8_t ip_version, const uint8_t *ip, char ret_text[TL_IP_TEXT])
{
	if (ip_version == 4)
		format_ip4(ip, ret_text);
	else if (!inet_ntop(AF_INET6, ip, ret_text, TL_IP_TEXT))
		ret_text[0] = 0;
}

const char *tl_format__severity(enum tl_severity severity)
{
	switch (severity) {
	case TL_ERROR:
		return "error";
	case TL_WARNING:
		return "warning";
	case TL_INFO:
		break;
	}
	return "info";
}

const char *tl_format__app(uint8_t app)
{
	static const char *const names[TL_APP_COUNT] = {
		[TL_APP_HTTP] = "http",
		[TL_APP_TLS] = "tls",
		[TL_APP_DNS] = "dns",
		[TL_APP_MYSQL] = "mysql",
		[TL_APP_POSTGRESQL] = "postgresql",
		[TL_APP_SSH] = "ssh",
	};

	return app < TL_APP_COUNT ? names[app] : NULL;
}

const char *tl_format__tunnel(uint8_t type)
{
	static const char *const names[] = {
		[TL_TUNNEL_NONE] = "none",	 [TL_TUNNEL_GRE] = "gre",
		[TL_TUNNEL_ERSPAN1] = "erspan1", [TL_TUNNEL_ERSPAN2] = "erspan2",
		[TL_TUNNEL_ERSPAN3] = "erspan3", [TL_TUNNEL_VXLAN] = "vxlan",
		[TL_TUNNEL_GENEVE] = "geneve",	 [TL_TUNNEL_IPIP] = "ipip",
		[TL_TUNNEL_GTPU] = "gtpu",	 [TL_TUNNEL_PPPOE] = "pppoe",
		[TL_TUNNEL_MPLS] = "mpls",
	};

	return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

/* Length of the UTF-8 character at `p` (RFC 3629), 0 when it is none. Reads no further than NUL. */
static size_t utf8_length(const unsigned char *p, bool printable)
{
	static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = *p < 0x80	? 1
			: *p >> 5 == 6	? 2
			: *p >> 4 == 14 ? 3
			: *p >> 3 == 30 ? 4
					: 0;
	uint32_t code;

	if (length < 2)
		return printable && (*p < 0x20 || *p == 0x7f) ? 0 : length;
	code = *p & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return printable && code < 0xa0 ? 0 : length;
}

size_t tl_words__clean(const char *text, bool printable, char *ret_text, size_t room)
{
	static const char replacement[] = "\xef\xbf\xbd";
	const unsigned char *p = (const unsigned char *)text;
	size_t used = 0;

	while (*p) {
		size_t length = utf8_length(p, printable);
		size_t bytes = length ? length : 3;

		if (used + bytes >= room)
			break;
		memcpy(ret_text + used, length ? (const char *)p : replacement, bytes);
		used += bytes;
		p += length ? length : 1;
	}
	ret_text[used] = 0;
	return used;
}

void tl_words__count(uint64_t n, char ret_text[32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	int used = 0;

	for (int i = 0; i < length; i++) {
		if (i && (length - i) % 3 == 0)
			ret_text[used++] = ',';
		ret_text[used++] = digits[i];
	}
	ret_text[used] = 0;
}

void tl_words__duration(uint64_t ns, char ret_text[32])
{
	uint64_t s = ns / NS_PER_S;
	uint64_t tenths = (ns + NS_PER_S / 20) / (NS_PER_S / 10);

	if (ns < 1000000)
		snprintf(ret_text, 32, "%" PRIu64 " us", ns / 1000);
	else if (ns < NS_PER_S)
		snprintf(ret_text, 32, "%" PRIu64 " ms", ns / 1000000);
	else if (s < 120)
		snprintf(ret_text, 32, "%" PRIu64 ".%u s", tenths / 10,
			 (unsigned int)(tenths % 10));
	else if (s < 7200)
		snprintf(ret_text, 32, "%" PRIu64 " min %u s", s / 60, (unsigned int)(s % 60));
	else
		snprintf(ret_text, 32, "%" PRIu64 " h %u min", s / 3600,
			 (unsigned int)(s % 3600 / 60));
}

void tl_words__time(uint64_t ts_ns, bool date, char ret_text[TL_TIME_TEXT])
{
	time_t seconds = (time_t)(ts_ns / NS_PER_S);
	struct tm tm;
	size_t used;

	gmtime_r(&seconds, &tm);
	used = strftime(ret_text, TL_TIME_TEXT, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(ret_text + used, TL_TIME_TEXT - used, ".%03u%s",
		 (unsigned int)(ts_ns % NS_PER_S / 1000000), date ? " UTC" : "");
}

void tl_words__endpoint(const struct tl_endpoint *endpoint, char ret_text[64])
{
	char ip[TL_IP_TEXT];

	tl_format__ip(endpoint->ip_version, endpoint->ip, ip);
	if (!endpoint->port)
		snprintf(ret_text, 64, "%s", ip);
	else if (endpoint->ip_version == 4)
		snprintf(ret_text, 64, "%s:%u", ip, endpoint->port);
	else
		snprintf(ret_text, 64, "[%s]:%u", ip, endpoint->port);
}

void tl_words__proto(uint8_t proto, char ret_text[16])
{
	static const struct {
		uint8_t number;
		const char *name;
	} names[] = {
		{ IPPROTO_TCP, "tcp" },	  { IPPROTO_UDP, "udp" },
		{ IPPROTO_ICMP, "icmp" }, { IPPROTO_ICMPV6, "icmp6" },
		{ IPPROTO_SCTP, "sctp" }, { IPPROTO_IGMP, "igmp" },
		{ IPPROTO_GRE, "gre" },	  { IPPROTO_ESP, "esp" },
		{ IPPROTO_AH, "ah" },	  { 89, "ospf" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (names[i].number == proto) {
			snprintf(ret_text, 16, "%s", names[i].name);
			return;
		}
	}
	snprintf(ret_text, 16, "%u", proto);
}
