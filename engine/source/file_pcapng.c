/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pcapng format (draft-ietf-opsawg-pcapng). Called by file.c.
 *
 *	block    type 4 │ length 4 │ body │ options │ length 4      length: all of it, a multiple of
 *4 option   code 2 │ length 2 │ value, padded to 4
 *
 * A section header begins a section: a byte order, and a new numbering of interfaces. Unknown
 * blocks are passed over. Every block that Wireshark shows as a frame counts as one, so that frame
 * numbers are the same.
 */
#include <errno.h>
#include <stdlib.h>

#include "file_input.h"

#define MAGIC_NATIVE  0x1a2b3c4du
#define MAGIC_SWAPPED 0x4d3c2b1au
#define DROPS_MAX     (1ull << 48)

enum block_type {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 2, /* obsolete */
	BLOCK_SIMPLE = 3,
	BLOCK_STATISTICS = 5,
	BLOCK_ENHANCED = 6,
	/* shown as frames, though they are no packets */
	BLOCK_JOURNAL = 9,
	BLOCK_SYSDIG_EVENT = 0x204,
	BLOCK_SYSDIG_EVENT2 = 0x216,
	BLOCK_SYSDIG_EVENT2_LARGE = 0x221,
	BLOCK_CUSTOM = 0xbad,
	BLOCK_CUSTOM_NO_COPY = 0x40000bad,
};

enum option_code {
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_IF_NAME = 2,
	OPTION_PACKET_FLAGS = 2,
	OPTION_ISB_ENDTIME = 3,
	OPTION_ISB_IFDROP = 5,
	OPTION_ISB_OSDROP = 7,
	OPTION_IF_DESCRIPTION = 3,
	OPTION_PACKET_DROPCOUNT = 4,
	OPTION_IF_MAC = 6,
	OPTION_IF_SPEED = 8,
	OPTION_IF_TSRESOL = 9,
	OPTION_IF_FILTER = 11,
	OPTION_IF_TSOFFSET = 14,
};

struct option {
	uint16_t code;
	uint16_t bytes;
	const uint8_t *value;
};

/* False at the end, or when what is there is no option (the rest is then ignored). */
static bool next_option(const struct file_input *f, struct tl_cursor *c, struct option *ret_option)
{
	const uint8_t *p = tl_cursor__take(c, 4);

	if (!p)
		return false;
	ret_option->code = file_load16(f, p);
	ret_option->bytes = file_load16(f, p + 2);
	ret_option->value = tl_cursor__take(c, (ret_option->bytes + 3u) & ~3u);
	return ret_option->value && ret_option->code != OPTION_END;
}

static uint64_t load64(const struct file_input *f, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return f->swapped ? __builtin_bswap64(v) : v;
}

/* --- time ------------------------------------------------------------------------------------ */

static uint64_t pow10_of(unsigned exponent)
{
	uint64_t v = 1;

	while (exponent--)
		v *= 10;
	return v;
}

/* if_tsresol: units of 10^-n s, or of 2^-n s with the first bit set. */
static unsigned __int128 units_to_ns(uint8_t tsresol, uint64_t units)
{
	unsigned n = tsresol & 0x7f;

	if (tsresol & 0x80)
		return (unsigned __int128)units * 1000000000u >> n;
	if (n <= 9)
		return (unsigned __int128)units * pow10_of(9 - n);
	return n - 9 > 19 ? 0 : units / pow10_of(n - 9);
}

static uint64_t to_ns(const struct file_local *local, uint64_t units)
{
	__int128 ns;

	if (local->ns_per_unit && units <= local->units_max)
		return units * local->ns_per_unit;
	ns = (__int128)units_to_ns(local->tsresol, units);
	ns += (__int128)local->offset_s * 1000000000;
	if (ns < 0)
		return 0;
	return ns > (__int128)FILE_TS_MAX ? FILE_TS_MAX : (uint64_t)ns;
}

/* --- blocks without packets ------------------------------------------------------------------ */

static int section(struct file_input *f, const uint8_t *p)
{
	uint32_t magic;

	memcpy(&magic, p + 8, sizeof(magic));
	if (magic != MAGIC_NATIVE && magic != MAGIC_SWAPPED)
		return file_input__broken(
			f, "damaged at byte %llu: a section begins with an unknown byte order",
			(unsigned long long)f->reader.offset);
	f->swapped = magic == MAGIC_SWAPPED;
	if (file_load16(f, p + 12) != 1)
		return file_input__broken(f,
					  "pcapng version %u.%u is unknown; 1.0 is the usual one",
					  file_load16(f, p + 12), file_load16(f, p + 14));
	f->local_count = 0;
	return 0;
}

static void copy_text(char *to, size_t room, const struct option *option)
{
	size_t bytes = option->bytes < room ? option->bytes : room - 1;

	memcpy(to, option->value, bytes);
	to[bytes] = '\0';
}

static void interface_option(const struct file_input *f, const struct option *o,
			     struct tl_interface *interface, int64_t *offset_s)
{
	switch (o->code) {
	case OPTION_IF_NAME:
		copy_text(interface->name, sizeof(interface->name), o);
		break;
	case OPTION_IF_DESCRIPTION:
		copy_text(interface->description, sizeof(interface->description), o);
		break;
	case OPTION_IF_MAC:
		if (o->bytes == 6) {
			memcpy(interface->mac, o->value, 6);
			interface->has_mac = 1;
		}
		break;
	case OPTION_IF_SPEED:
		if (o->bytes == 8)
			interface->speed_bps = load64(f, o->value);
		break;
	case OPTION_IF_TSRESOL:
		if (o->bytes == 1)
			interface->tsresol = o->value[0];
		break;
	case OPTION_IF_FILTER:
		/* its first byte says that it is a tcpdump expression (0) or BPF code (1) */
		if (o->bytes > 1 && o->value[0] == 0)
			copy_text(interface->filter, sizeof(interface->filter),
				  &(struct option){ 0, (uint16_t)(o->bytes - 1), o->value + 1 });
		break;
	case OPTION_IF_TSOFFSET:
		if (o->bytes == 8)
			*offset_s = (int64_t)load64(f, o->value);
		break;
	default:
		break;
	}
}

static int interface_block(struct file_input *f, const uint8_t *p, uint32_t bytes)
{
	struct tl_cursor c = tl_cursor__init(p, bytes - 4);
	struct tl_interface interface = { .tsresol = 6 };
	struct option option;
	int64_t offset_s = 0;

	tl_cursor__skip(&c, 16);
	if (c.failed)
		return file_input__broken(
			f, "damaged at byte %llu: an interface description of only %u bytes",
			(unsigned long long)f->reader.offset, bytes);
	interface.linktype = file_load16(f, p + 8);
	interface.snaplen = file_load32(f, p + 12);
	while (next_option(f, &c, &option))
		interface_option(f, &option, &interface, &offset_s);
	return file_input__add_interface(f, &interface, offset_s);
}

/* --- packets --------------------------------------------------------------------------------- */

/*
 * A comment is not terminated in the file, but a zero nearly always follows it: padding, or the
 * code of the last option. Only else is it copied.
 */
static int borrow_comment(struct file_input *f, const struct option *o, struct tl_packet *packet)
{
	char *copy;

	if (packet->comment)
		return 0;
	if (o->value[o->bytes] == 0) { /* inside the block, whose last word is its length */
		packet->comment = (const char *)o->value;
		return 0;
	}
	if (file_memory__full(&f->set->memory))
		return -ENOBUFS;
	free(f->comment); /* of a packet that could not be finished, or was filtered */
	f->comment = copy = malloc(o->bytes + 1u);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, o->value, o->bytes);
	copy[o->bytes] = '\0';
	packet->comment = copy;
	return 0;
}

static void note_loss(struct tl_packet *packet, uint64_t count)
{
	if (!count)
		return;
	packet->flags |= TL_PACKET_AFTER_LOSS;
	packet->lost_before = count > UINT32_MAX ? UINT32_MAX : (uint32_t)count;
}

/* Options of an Enhanced and of an obsolete Packet Block; `c` ends before the closing length. */
static int packet_options(struct file_input *f, struct tl_cursor *c, struct tl_packet *packet)
{
	struct option o;
	int err = 0;

	while (!err && next_option(f, c, &o)) {
		if (o.code == OPTION_COMMENT)
			err = borrow_comment(f, &o, packet);
		else if (o.code == OPTION_PACKET_FLAGS && o.bytes == 4)
			packet->flags |=
				(file_load32(f, o.value) & 3) == 2 ? TL_PACKET_OUTGOING : 0;
		else if (o.code == OPTION_PACKET_DROPCOUNT && o.bytes == 8)
			note_loss(packet, load64(f, o.value));
	}
	return err;
}

static int no_interface(struct file_input *f, uint32_t id)
{
	return file_input__broken(
		f, "damaged at byte %llu: a packet of interface %u, but the file has described %u",
		(unsigned long long)f->reader.offset, id, f->local_count);
}

static int wrong_length(struct file_input *f, uint32_t caplen, uint32_t block_bytes)
{
	return file_input__broken(f, "damaged at byte %llu: a packet of %u bytes in a block of %u",
				  (unsigned long long)f->reader.offset, caplen, block_bytes);
}

/* Both kinds with a time have it, and the lengths, at the same place. */
static int timed_packet(struct file_input *f, const uint8_t *p, uint32_t bytes,
			struct tl_packet *packet)
{
	bool obsolete = file_load32(f, p) == BLOCK_PACKET;
	struct tl_cursor c = tl_cursor__init(p, bytes - 4);
	const struct file_local *local;
	uint32_t id, caplen;
	int err;

	if (bytes < 32)
		return wrong_length(f, 0, bytes);
	id = obsolete ? file_load16(f, p + 8) : file_load32(f, p + 8);
	caplen = file_load32(f, p + 20);
	if (id >= f->local_count)
		return no_interface(f, id);
	local = &f->locals[id];
	tl_cursor__skip(&c, 28);
	packet->data = c.at;
	if (caplen > FILE_PACKET_MAX || !tl_cursor__take(&c, (caplen + 3u) & ~3u))
		return wrong_length(f, caplen, bytes);
	packet->ts_ns =
		to_ns(local, (uint64_t)file_load32(f, p + 12) << 32 | file_load32(f, p + 16));
	packet->caplen = caplen;
	packet->wirelen = file_load32(f, p + 24);
	if (obsolete && file_load16(f, p + 10) != 0xffff)
		note_loss(packet, file_load16(f, p + 10));
	err = packet_options(f, &c, packet);
	if (err)
		return err;
	file_reader__consume(&f->reader, bytes);
	return file_input__emit(f, local, packet);
}

/* It has neither time nor captured length; the time is that of the packet before it. */
static int simple_packet(struct file_input *f, const uint8_t *p, uint32_t bytes,
			 struct tl_packet *packet)
{
	const struct file_local *local = f->locals;
	uint32_t room, wirelen;

	if (!f->local_count)
		return no_interface(f, 0);
	if (bytes < 16)
		return wrong_length(f, 0, bytes);
	room = bytes - 16;
	wirelen = file_load32(f, p + 8);
	packet->data = p + 12;
	packet->wirelen = wirelen;
	packet->caplen = wirelen < local->snaplen ? wirelen : local->snaplen;
	if (packet->caplen > room)
		packet->caplen = room;
	packet->ts_ns = f->ts_ns;
	file_reader__consume(&f->reader, bytes);
	return file_input__emit(f, local, packet);
}

/* --- the walk -------------------------------------------------------------------------------- */

static bool is_packet(uint32_t type)
{
	return type == BLOCK_ENHANCED || type == BLOCK_SIMPLE || type == BLOCK_PACKET;
}

static bool counts_as_frame(uint32_t type)
{
	return type == BLOCK_CUSTOM || type == BLOCK_CUSTOM_NO_COPY || type == BLOCK_JOURNAL ||
	       type == BLOCK_SYSDIG_EVENT || type == BLOCK_SYSDIG_EVENT2 ||
	       type == BLOCK_SYSDIG_EVENT2_LARGE;
}

static int bad_length(struct file_input *f, uint32_t type, uint32_t bytes)
{
	unsigned long long at = f->reader.offset;

	if (!type && !bytes)
		return file_input__broken(f,
					  "not closed: zeros from byte %llu on; all %llu packets "
					  "before them were read; `tapline repair` makes it whole",
					  at, (unsigned long long)f->packets);
	return file_input__broken(f,
				  "damaged at byte %llu: a block (type %u) of %u bytes; all %llu "
				  "packets before it were read; `tapline repair` keeps those",
				  at, type, bytes, (unsigned long long)f->packets);
}

/* Type and length of the block at the cursor; the byte order changes with a section. */
static int block_header(struct file_input *f, uint32_t *ret_type, uint32_t *ret_bytes)
{
	int err = file_reader__need(&f->reader, 12);
	uint32_t type, bytes;

	if (err == -ENODATA &&
	    (f->reader.at != f->reader.end || f->reader.skip_left || *f->reader.trouble))
		return file_input__cut(f, "a block");
	if (err)
		return err;
	type = file_load32(f, f->reader.at);
	if (type == BLOCK_SECTION) {
		err = file_reader__need(&f->reader, 28);
		if (err)
			return err == -ENODATA ? file_input__cut(f, "a section header") : err;
		err = section(f, f->reader.at);
		if (err)
			return err;
	}
	bytes = file_load32(f, f->reader.at + 4);
	if (bytes < (type == BLOCK_SECTION ? 28 : 12) || bytes % 4)
		return bad_length(f, type, bytes);
	*ret_type = type;
	*ret_bytes = bytes;
	return 0;
}

/* All of a block in the window, its two lengths agreeing. */
static int whole_block(struct file_input *f, uint32_t type, uint32_t bytes)
{
	int err;

	if (bytes > FILE_BLOCK_MAX)
		return bad_length(f, type, bytes);
	err = file_reader__need(&f->reader, bytes);
	if (err)
		return err == -ENODATA ? file_input__cut(f, "a block") : err;
	if (file_load32(f, f->reader.at + bytes - 4) != bytes)
		return file_input__broken(
			f,
			"damaged at byte %llu: a block says %u bytes at its start, %u at its end",
			(unsigned long long)f->reader.offset, bytes,
			file_load32(f, f->reader.at + bytes - 4));
	return 0;
}

/* Statistics count from the start of a capture, in each of its files: the most is the sum. */
static void note_drops(uint64_t *of_interface, uint64_t *sum, uint64_t drops)
{
	/* Some writers say "unknown" by all ones. */
	if (drops > DROPS_MAX || drops <= *of_interface)
		return;
	tl_counter_add(sum, drops - *of_interface);
	*of_interface = drops;
}

static void statistics_option(struct file_input *f, uint32_t id, const struct option *option)
{
	struct tl_drops *recorded = &f->set->recorded[f->locals[id].index];
	uint64_t end_ns;

	if (option->bytes != 8)
		return;
	if (option->code == OPTION_ISB_IFDROP)
		note_drops(&recorded->nic, &f->set->stats.recorded.nic, load64(f, option->value));
	if (option->code == OPTION_ISB_OSDROP)
		note_drops(&recorded->kernel, &f->set->stats.recorded.kernel,
			   load64(f, option->value));
	if (option->code != OPTION_ISB_ENDTIME)
		return;
	end_ns = to_ns(&f->locals[id], (uint64_t)file_load32(f, option->value) << 32 |
					       file_load32(f, option->value + 4));
	if (end_ns > tl_load_relaxed(&f->set->stats.end_ns))
		tl_store_relaxed(&f->set->stats.end_ns, end_ns);
}

/*
 * An Interface Statistics Block: isb_endtime says until when nothing more came, isb_ifdrop and
 * isb_osdrop how much is not here.
 */
static void statistics_block(struct file_input *f, const uint8_t *p, uint32_t bytes)
{
	struct tl_cursor c = tl_cursor__init(p, bytes - 4);
	struct option option;
	uint32_t id;

	if (bytes < 24 || (id = file_load32(f, p + 8)) >= f->local_count)
		return;
	tl_cursor__skip(&c, 20);
	while (next_option(f, &c, &option))
		statistics_option(f, id, &option);
}

static int packet_block(struct file_input *f, uint32_t type, uint32_t bytes,
			struct tl_packet *packet)
{
	if (f->before_packets)
		return -EALREADY;
	packet->flags = 0;
	packet->lost_before = 0;
	packet->comment = NULL;
	if (type == BLOCK_SIMPLE)
		return simple_packet(f, f->reader.at, bytes, packet);
	return timed_packet(f, f->reader.at, bytes, packet);
}

static int pcapng_next(struct file_input *f, struct tl_packet *packet)
{
	for (;;) {
		uint32_t type = 0, bytes = 0;
		int err = block_header(f, &type, &bytes);

		if (!err && (is_packet(type) || type == BLOCK_INTERFACE || bytes <= FILE_BLOCK_MAX))
			err = whole_block(f, type, bytes);
		if (err)
			return err;
		if (is_packet(type))
			return packet_block(f, type, bytes, packet);
		if (type == BLOCK_INTERFACE) {
			err = interface_block(f, f->reader.at, bytes);
			if (err)
				return err;
		} else if (type == BLOCK_STATISTICS && bytes <= FILE_BLOCK_MAX) {
			statistics_block(f, f->reader.at, bytes);
		}
		f->frame += counts_as_frame(type);
		file_reader__skip(&f->reader, bytes);
	}
}

/* --- packets in a row ------------------------------------------------------------------------ */

/*
 * An Enhanced Packet Block without options, of which `left` bytes or more are there: its bytes. 0:
 * it is none, or something about it is to be looked at.
 */
static inline uint32_t plain_packet(const struct file_input *f, const uint8_t *p, size_t left,
				    struct file_plain *ret_plain)
{
	const struct file_local *local;
	uint32_t word[7], bytes, caplen, last;
	uint64_t units;

	if (left < 32)
		return 0;
	memcpy(word, p, sizeof(word));
	bytes = word[1];
	caplen = word[5];
	if (word[0] != BLOCK_ENHANCED || bytes > left || caplen > FILE_PACKET_MAX ||
	    bytes != 32 + ((caplen + 3) & ~3u) || word[2] >= f->local_count)
		return 0;
	memcpy(&last, p + bytes - 4, sizeof(last));
	local = &f->locals[word[2]];
	units = (uint64_t)word[3] << 32 | word[4];
	if (last != bytes || !local->is_plain || units > local->units_max)
		return 0;
	*ret_plain =
		(struct file_plain){ local, p + 28, units * local->ns_per_unit, caplen, word[6] };
	return bytes;
}

static uint32_t pcapng_run(struct file_input *f, struct tl_packet *packets, uint32_t max,
			   uint64_t until_ns)
{
	const uint8_t *at = f->reader.at, *const end = f->reader.end;
	struct file_plain plain;
	uint32_t n = 0;

	if (f->swapped || f->reader.skip_left)
		return 0;
	for (; n < max; n++) {
		uint32_t bytes = plain_packet(f, at, (size_t)(end - at), &plain);

		if (!bytes || plain.ts_ns > until_ns)
			break;
		file_run__set(f, n, &plain, &packets[n]);
		at += bytes;
	}
	file_run__end(f, at, n, packets);
	return n;
}

bool file_pcapng__is_magic(const uint8_t magic[4])
{
	static const uint8_t section_type[4] = { 0x0a, 0x0d, 0x0d, 0x0a };

	return memcmp(magic, section_type, 4) == 0;
}

int file_pcapng__begin(struct file_input *f)
{
	uint32_t type, bytes;

	f->swapped = false;
	f->next = pcapng_next;
	f->run = pcapng_run;
	/* checks the section header, and leaves it to be read again */
	return block_header(f, &type, &bytes);
}
