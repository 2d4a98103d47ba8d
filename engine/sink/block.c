/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pcapng blocks as bytes: see block.h.
 *
 * Invariant: a block built here always fits `struct tl_block`: strings are cut, never the block.
 * May be called by any thread.
 */
#include "block.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#define BLOCK_SECTION	 0x0A0D0D0Au
#define BLOCK_INTERFACE	 1u
#define BLOCK_NAMES	 4u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET	 6u
#define BYTE_ORDER_MAGIC 0x1A2B3C4Du

#define OPT_COMMENT	     1u
#define OPT_SHB_HARDWARE     2u
#define OPT_SHB_OS	     3u
#define OPT_SHB_USERAPPL     4u
#define OPT_IF_NAME	     2u
#define OPT_IF_DESCRIPTION   3u
#define OPT_IF_MACADDR	     6u
#define OPT_IF_SPEED	     8u
#define OPT_IF_TSRESOL	     9u
#define OPT_IF_FILTER	     11u
#define OPT_IF_OS	     12u
#define OPT_ISB_STARTTIME    2u
#define OPT_ISB_ENDTIME	     3u
#define OPT_ISB_IFRECV	     4u
#define OPT_ISB_IFDROP	     5u
#define OPT_ISB_FILTERACCEPT 6u
#define OPT_ISB_OSDROP	     7u
#define OPT_ISB_USRDELIV     8u
#define OPT_EPB_FLAGS	     2u
#define OPT_EPB_DROPCOUNT    4u
#define OPT_LOCAL_PADDING    0x8000u /* the high bit: for local use, readers skip it */

#define EPB_FLAG_OUTBOUND 2u
#define STRING_MAX	  512u
#define NOTE_MAX	  2000u

static void put16(struct tl_block *block, uint32_t value)
{
	uint16_t v = (uint16_t)value;

	memcpy(block->data + block->bytes, &v, 2);
	block->bytes += 2;
}

static void put32(struct tl_block *block, uint32_t value)
{
	memcpy(block->data + block->bytes, &value, 4);
	block->bytes += 4;
}

static void begin(struct tl_block *block, uint32_t type)
{
	block->bytes = 0;
	put32(block, type);
	put32(block, 0);
}

static void end(struct tl_block *block)
{
	uint32_t total = block->bytes + 4;

	memcpy(block->data + 4, &total, 4);
	put32(block, total);
}

static void option(struct tl_block *block, uint32_t code, const void *value, uint32_t bytes)
{
	uint32_t padded = (bytes + 3) & ~3u;

	/* behind it must still fit the end of the options and the trailing length */
	if (block->bytes + 4 + padded + 8 > sizeof(block->data))
		return;
	put16(block, code);
	put16(block, bytes);
	memset(block->data + block->bytes, 0, padded);
	memcpy(block->data + block->bytes, value, bytes);
	block->bytes += padded;
}

static void option_string(struct tl_block *block, uint32_t code, const char *value)
{
	size_t bytes = value ? strlen(value) : 0;

	if (bytes)
		option(block, code, value, bytes < STRING_MAX ? (uint32_t)bytes : STRING_MAX);
}

static void option_u64(struct tl_block *block, uint32_t code, uint64_t value)
{
	option(block, code, &value, 8);
}

/* Timestamps are two words, the high one first, in either byte order. */
static void option_time(struct tl_block *block, uint32_t code, uint64_t ns)
{
	uint32_t words[2] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	option(block, code, words, 8);
}

static void hardware(char *ret_text, size_t bytes)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	ret_text[0] = 0;
	while (f && fgets(line, sizeof(line), f)) {
		char *value = strstr(line, ": ");

		if (strncmp(line, "model name", 10) || !value)
			continue;
		value[strcspn(value, "\n")] = 0;
		snprintf(ret_text, bytes, "%s", value + 2);
		break;
	}
	if (f)
		fclose(f);
}

static void operating_system(char *ret_text, size_t bytes)
{
	struct utsname name;

	ret_text[0] = 0;
	if (!uname(&name))
		snprintf(ret_text, bytes, "%s %s", name.sysname, name.release);
}

void tl_block__section(struct tl_block *block, const char *application)
{
	char text[256];

	begin(block, BLOCK_SECTION);
	put32(block, BYTE_ORDER_MAGIC);
	put16(block, 1);
	put16(block, 0);
	put32(block, UINT32_MAX); /* length of the section: not known while live */
	put32(block, UINT32_MAX);
	hardware(text, sizeof(text));
	option_string(block, OPT_SHB_HARDWARE, text);
	operating_system(text, sizeof(text));
	option_string(block, OPT_SHB_OS, text);
	option_string(block, OPT_SHB_USERAPPL, application);
	put32(block, 0);
	end(block);
}

void tl_block__interface(struct tl_block *block, const struct tl_interface *interface,
			 uint32_t snaplen)
{
	uint8_t resolution = 9; /* tl_packet's time is in ns, whatever the source had */
	char text[256];

	begin(block, BLOCK_INTERFACE);
	put16(block, interface->linktype);
	put16(block, 0);
	put32(block, snaplen);
	option_string(block, OPT_IF_NAME, interface->name);
	option_string(block, OPT_IF_DESCRIPTION, interface->description);
	if (interface->has_mac)
		option(block, OPT_IF_MACADDR, interface->mac, 6);
	if (interface->speed_bps)
		option_u64(block, OPT_IF_SPEED, interface->speed_bps);
	option(block, OPT_IF_TSRESOL, &resolution, 1);
	if (interface->filter[0]) {
		uint32_t bytes = (uint32_t)strnlen(interface->filter, sizeof(interface->filter));

		text[0] = 0; /* "a libpcap filter string follows" */
		if (bytes > sizeof(text) - 1)
			bytes = sizeof(text) - 1;
		memcpy(text + 1, interface->filter, bytes);
		option(block, OPT_IF_FILTER, text, bytes + 1);
	}
	operating_system(text, sizeof(text));
	option_string(block, OPT_IF_OS, text);
	put32(block, 0);
	end(block);
}

static void begin_statistics(struct tl_block *block, uint32_t interface, uint64_t now_ns)
{
	begin(block, BLOCK_STATISTICS);
	put32(block, interface);
	put32(block, (uint32_t)(now_ns >> 32));
	put32(block, (uint32_t)now_ns);
}

void tl_block__statistics(struct tl_block *block, const struct tl_block_statistics *s)
{
	begin_statistics(block, s->interface, s->now_ns);
	option_time(block, OPT_ISB_STARTTIME, s->start_ns);
	option_time(block, OPT_ISB_ENDTIME, s->now_ns);
	if (s->has_counters) {
		option_u64(block, OPT_ISB_IFRECV, s->ifrecv);
		option_u64(block, OPT_ISB_IFDROP, s->ifdrop);
		option_u64(block, OPT_ISB_FILTERACCEPT, s->filteraccept);
		option_u64(block, OPT_ISB_OSDROP, s->osdrop);
	}
	option_u64(block, OPT_ISB_USRDELIV, s->usrdeliv);
	put32(block, 0);
	end(block);
}

void tl_block__note(struct tl_block *block, uint32_t interface, uint64_t now_ns,
		    const char *comment)
{
	begin_statistics(block, interface, now_ns);
	option(block, OPT_COMMENT, comment, (uint32_t)strnlen(comment, NOTE_MAX));
	put32(block, 0);
	end(block);
}

uint32_t tl_block__padding_bytes(uint64_t end_bytes, uint32_t align)
{
	uint32_t gap = (uint32_t)(-end_bytes & (align - 1));

	return gap && gap < TL_BLOCK_PADDING_MIN ? gap + align : gap;
}

void tl_block__padding(uint8_t *at, uint32_t bytes, bool has_interface, uint64_t now_ns)
{
	uint32_t fixed[5] = { BLOCK_STATISTICS, bytes, 0, (uint32_t)(now_ns >> 32),
			      (uint32_t)now_ns };
	uint32_t head = sizeof(fixed);
	uint32_t left;

	if (!has_interface) {
		/* nrb_record_end, then options as below */
		fixed[0] = BLOCK_NAMES;
		head = 12;
	}
	memcpy(at, fixed, head);
	memset(at + head, 0, bytes - head);
	left = bytes - head - 4;
	if (left >= 8) {
		uint16_t code = OPT_LOCAL_PADDING;
		uint16_t length = (uint16_t)(left - 8); /* less its own head and the end mark */

		memcpy(at + head, &code, 2);
		memcpy(at + head + 2, &length, 2);
	}
	memcpy(at + bytes - 4, &bytes, 4);
}

static uint32_t comment_bytes(const struct tl_packet *packet)
{
	return packet->comment ? (uint32_t)strnlen(packet->comment, UINT16_MAX) : 0;
}

uint32_t tl_block__options_bytes(const struct tl_packet *packet, uint64_t lost)
{
	uint32_t comment = comment_bytes(packet);
	uint32_t bytes = 0;

	if (comment)
		bytes += 4 + ((comment + 3) & ~3u);
	if (packet->flags & TL_PACKET_OUTGOING)
		bytes += 8;
	if (lost)
		bytes += 12;
	return bytes ? bytes + 4 : 0;
}

static uint8_t *packet_option(uint8_t *at, uint32_t code, const void *value, uint32_t bytes)
{
	uint16_t head[2] = { (uint16_t)code, (uint16_t)bytes };
	uint32_t padded = (bytes + 3) & ~3u;

	memcpy(at, head, 4);
	memset(at + 4, 0, padded);
	memcpy(at + 4, value, bytes);
	return at + 4 + padded;
}

static uint8_t *word(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, 4);
	return at + 4;
}

/* Word by word into its place: an array that is copied as a whole right away waits for its words.
 */
static uint8_t *packet_head(uint8_t *at, uint32_t bytes, const struct tl_packet *packet)
{
	at = word(at, BLOCK_PACKET);
	at = word(at, bytes);
	at = word(at, packet->interface);
	at = word(at, (uint32_t)(packet->ts_ns >> 32));
	at = word(at, (uint32_t)packet->ts_ns);
	at = word(at, packet->caplen);
	return word(at, packet->wirelen);
}

void tl_block__packet(uint8_t *at, uint32_t bytes, const struct tl_packet *packet, uint64_t lost)
{
	uint32_t outbound = EPB_FLAG_OUTBOUND, comment;
	uint8_t *last = at + bytes - 4;

	at = packet_head(at, bytes, packet);
	memcpy(at, packet->data, packet->caplen);
	at += packet->caplen;
	for (uint32_t pad = -packet->caplen & 3; pad; pad--)
		*at++ = 0;
	if (__builtin_expect(at != last, 0)) {
		comment = comment_bytes(packet);
		if (comment)
			at = packet_option(at, OPT_COMMENT, packet->comment, comment);
		if (packet->flags & TL_PACKET_OUTGOING)
			at = packet_option(at, OPT_EPB_FLAGS, &outbound, 4);
		if (lost)
			at = packet_option(at, OPT_EPB_DROPCOUNT, &lost, 8);
		memset(at, 0, 4);
	}
	memcpy(last, &bytes, 4);
}
