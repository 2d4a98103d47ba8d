/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pcap format (draft-ietf-opsawg-pcap). Called by file.c.
 *
 *	header   magic 4 │ major 2 │ minor 2 │ 0 8 │ snaplen 4 │ link type 4
 *	packet   seconds 4 │ µs or ns 4 │ captured 4 │ on the wire 4 │ bytes
 *	         Kuznetzov's: … │ ifindex 4 │ protocol 2 │ packet type 1 │ padding 1 │ bytes
 *
 * The magic tells byte order, unit of time and variant.
 */
#include <errno.h>

#include "file_input.h"

#define HEADER_BYTES 24

enum magic {
	MAGIC_US = 0xa1b2c3d4,
	MAGIC_NS = 0xa1b23c4d,
	MAGIC_KUZNETZOV = 0xa1b2cd34,
};

static uint32_t magic_of(const uint8_t magic[4])
{
	struct tl_cursor c = tl_cursor__init(magic, 4);

	return tl_cursor__be32(&c);
}

static bool is_known(uint32_t magic)
{
	return magic == MAGIC_US || magic == MAGIC_NS || magic == MAGIC_KUZNETZOV;
}

bool file_pcap__is_magic(const uint8_t magic[4])
{
	return is_known(magic_of(magic)) || is_known(__builtin_bswap32(magic_of(magic)));
}

static int pcap_next(struct file_input *f, struct tl_packet *packet)
{
	const uint8_t *p;
	uint32_t caplen, wirelen;
	int err = file_reader__need(&f->reader, f->record_bytes);

	if (err)
		return err == -ENODATA && (f->reader.at != f->reader.end || *f->reader.trouble)
			       ? file_input__cut(f, "a packet's header")
			       : err;
	if (f->before_packets)
		return -EALREADY;
	p = f->reader.at;
	caplen = file_load32(f, p + 8);
	wirelen = file_load32(f, p + 12);
	if (f->pcap_swapped_lengths && caplen > wirelen) {
		uint32_t other = caplen;

		caplen = wirelen;
		wirelen = other;
	}
	if (caplen > FILE_PACKET_MAX)
		return file_input__broken(f,
					  "damaged at byte %llu: it says that a packet of %u "
					  "bytes follows, and no packet is larger than %u",
					  (unsigned long long)f->reader.offset, caplen,
					  FILE_PACKET_MAX);
	err = file_reader__need(&f->reader, f->record_bytes + caplen);
	if (err)
		return err == -ENODATA ? file_input__cut(f, "a packet") : err;
	p = f->reader.at;
	packet->data = p + f->record_bytes;
	packet->ts_ns = file_load32(f, p) * 1000000000ull +
			file_load32(f, p + 4) * (f->pcap_ns ? 1ull : 1000ull);
	packet->caplen = caplen;
	packet->wirelen = wirelen;
	packet->flags = 0;
	packet->lost_before = 0;
	packet->comment = NULL;
	file_reader__consume(&f->reader, f->record_bytes + caplen);
	return file_input__emit(f, f->locals, packet);
}

static uint32_t pcap_run(struct file_input *f, struct tl_packet *packets, uint32_t max,
			 uint64_t until_ns)
{
	const uint8_t *at = f->reader.at, *const end = f->reader.end;
	const uint64_t ns = f->pcap_ns ? 1 : 1000;
	uint32_t n = 0;

	if (f->swapped || f->pcap_swapped_lengths || f->reader.skip_left || !f->locals->is_plain)
		return 0;
	for (; n < max && (size_t)(end - at) >= f->record_bytes; n++) {
		struct file_plain plain;
		uint32_t word[4];
		size_t bytes;

		memcpy(word, at, sizeof(word));
		bytes = (size_t)f->record_bytes + word[2];
		plain = (struct file_plain){ f->locals, at + f->record_bytes,
					     word[0] * 1000000000ull + word[1] * ns, word[2],
					     word[3] };
		if (plain.caplen > FILE_PACKET_MAX || bytes > (size_t)(end - at) ||
		    plain.ts_ns > until_ns)
			break;
		file_run__set(f, n, &plain, &packets[n]);
		at += bytes;
	}
	file_run__end(f, at, n, packets);
	return n;
}

/* DLT_RAW has other numbers in the memory of some systems, and in files that leaked from there. */
static uint16_t linktype_of(uint32_t field)
{
	uint16_t linktype = (uint16_t)field; /* the upper bits tell the length of the FCS */

	return linktype == 12 || linktype == 14 ? TL_LINKTYPE_RAW : linktype;
}

int file_pcap__begin(struct file_input *f)
{
	struct tl_interface interface = { 0 };
	const uint8_t *p;
	uint32_t magic;
	int err = file_reader__need(&f->reader, HEADER_BYTES);

	if (err)
		return err == -ENODATA ? file_input__cut(f, "the pcap header") : err;
	p = f->reader.at;
	f->swapped = false;
	magic = file_load32(f, p);
	f->swapped = !is_known(magic);
	magic = file_load32(f, p);
	if (file_load16(f, p + 4) != 2)
		return file_input__broken(f, "pcap version %u.%u is unknown; 2.4 is the usual one",
					  file_load16(f, p + 4), file_load16(f, p + 6));
	f->pcap_swapped_lengths = file_load16(f, p + 6) <= 3;
	f->pcap_ns = magic == MAGIC_NS;
	f->record_bytes = magic == MAGIC_KUZNETZOV ? 24 : 16;
	interface.snaplen = file_load32(f, p + 16);
	interface.linktype = linktype_of(file_load32(f, p + 20));
	interface.tsresol = f->pcap_ns ? 9 : 6;
	err = file_input__add_interface(f, &interface, 0);
	if (err)
		return err;
	file_reader__consume(&f->reader, HEADER_BYTES);
	f->next = pcap_next;
	f->run = pcap_run;
	return 0;
}
