/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One file being read, whatever its format; see file_input.h. */
#include "file_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- errors in words ------------------------------------------------------------------------- */

int file_input__broken(struct file_input *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->words, sizeof(f->words), format, args);
	va_end(args);
	return -EBADMSG;
}

int file_input__cut(struct file_input *f, const char *what)
{
	bool pcapng = f->next && !f->record_bytes;

	if (*f->reader.trouble)
		return file_input__broken(f, "%s; %llu packets before that were read",
					  f->reader.trouble, (unsigned long long)f->packets);
	return file_input__broken(
		f,
		"cut off in the middle of %s at byte %llu; all %llu packets before it were read%s",
		what, (unsigned long long)f->reader.offset, (unsigned long long)f->packets,
		pcapng && !f->reader.packing ? "; `tapline repair` makes it whole" : "");
}

static void errno_words(struct file_input *f, int err)
{
	snprintf(f->words, sizeof(f->words), "%s", strerror(-err));
}

/* --- interfaces ------------------------------------------------------------------------------ */

/* Interfaces of one section are told apart even when all that is known of them is equal. */
static bool taken_by_section(const struct file_input *f, uint32_t index)
{
	for (uint32_t i = 0; i < f->local_count; i++)
		if (f->locals[i].index == index)
			return true;
	return false;
}

static bool is_same(const struct tl_interface *a, const struct tl_interface *b)
{
	return a->linktype == b->linktype && a->snaplen == b->snaplen &&
	       strcmp(a->name, b->name) == 0;
}

/* When the table is full: any of the same link type, else the last. Packets keep their own type. */
static uint32_t stand_in(const struct file_input *f, const struct tl_interface *interface)
{
	for (uint32_t i = 0; i < f->set->table_count; i++)
		if (f->set->table[i].linktype == interface->linktype)
			return i;
	return f->set->table_count - 1;
}

static uint32_t table_index(struct file_input *f, const struct tl_interface *interface)
{
	for (uint32_t i = 0; i < f->set->table_count; i++)
		if (is_same(&f->set->table[i], interface) && !taken_by_section(f, i))
			return i;
	if (f->set->table_count == TL_INTERFACES_MAX)
		return stand_in(f, interface);
	f->set->table[f->set->table_count] = *interface;
	tl_store_release(&f->set->table_count, f->set->table_count + 1);
	return f->set->table_count - 1;
}

static int grow_locals(struct file_input *f)
{
	uint32_t room = f->local_room ? f->local_room * 2 : 4;
	struct file_local *locals;

	if (f->local_count < f->local_room)
		return 0;
	if (f->local_count >= FILE_LOCALS_MAX)
		return file_input__broken(
			f, "damaged at byte %llu: a section with more than %u interfaces",
			(unsigned long long)f->reader.offset, FILE_LOCALS_MAX);
	locals = realloc(f->locals, room * sizeof(*locals));
	if (!locals)
		return -ENOMEM;
	f->locals = locals;
	f->local_room = room;
	return 0;
}

/* Powers of ten of a nanosecond, up to 10^9, without an offset: a product tells the time. */
static void note_units(struct file_local *local)
{
	if (local->offset_s || local->tsresol > 9)
		return;
	local->ns_per_unit = 1;
	for (unsigned i = local->tsresol; i < 9; i++)
		local->ns_per_unit *= 10;
	local->units_max = FILE_TS_MAX / local->ns_per_unit;
}

int file_input__add_interface(struct file_input *f, struct tl_interface *interface,
			      int64_t offset_s)
{
	struct file_local *local;
	int err = grow_locals(f);

	if (err)
		return err;
	if (!interface->snaplen || interface->snaplen > TL_SNAPLEN_DEFAULT)
		interface->snaplen = TL_SNAPLEN_DEFAULT;
	local = &f->locals[f->local_count];
	*local = (struct file_local){
		.snaplen = interface->snaplen,
		.linktype = interface->linktype,
		.tsresol = interface->tsresol,
		.offset_s = offset_s,
	};
	if (f->set->snaplen && interface->snaplen > f->set->snaplen)
		interface->snaplen = f->set->snaplen;
	if (f->set->filter && !tl_filter__keeps_all(f->set->filter)) {
		/* what is cached inside does not change what the filter means */
		struct tl_filter *filter = (struct tl_filter *)(uintptr_t)f->set->filter;

		local->filter = tl_filter__for_linktype(filter, interface->linktype);
		local->keep_none = !local->filter;
	}
	note_units(local);
	local->is_plain = local->ns_per_unit && !local->filter && !local->keep_none;
	local->index = table_index(f, interface);
	f->local_count++;
	return 0;
}

/* --- packets --------------------------------------------------------------------------------- */

int file_input__emit(struct file_input *f, const struct file_local *local, struct tl_packet *packet)
{
	struct file_set *set = f->set;
	bool keep = !local->keep_none;

	f->packets++;
	packet->frame = ++f->frame;
	packet->interface = set->interface + local->index;
	packet->queue = 0;
	packet->linktype = local->linktype;
	packet->cookie = 0;
	/* fewer bytes on the wire than were captured there: the bytes are what is certain */
	if (packet->wirelen < packet->caplen)
		packet->wirelen = packet->caplen;
	f->ts_ns = packet->ts_ns;
	if (local->filter)
		keep = tl_filter__match(local->filter, packet);
	if (!keep) {
		tl_counter_add(&set->stats.received, 1);
		tl_counter_add(&set->stats.received_bytes, packet->wirelen);
		tl_counter_add(&set->stats.filtered, 1);
		return 0;
	}
	packet->caplen = file_packet_cut(set, packet->caplen);
	return 1;
}

void file_input__deliver(struct file_input *f, const struct tl_packet *packet)
{
	struct file_memory *memory = &f->set->memory;

	/* without memory for the note the copy stays */
	if (f->comment && packet->comment == f->comment) {
		(void)file_memory__lend(memory, f->comment, 1);
		f->comment = NULL;
	}
	memory->handed++;
}

/* --- the file -------------------------------------------------------------------------------- */

static int not_a_capture(struct file_input *f, const uint8_t *magic, size_t bytes)
{
	char hex[9] = "";

	for (size_t i = 0; i < bytes && i < 4; i++)
		snprintf(hex + 2 * i, 3, "%02x", magic[i]);
	if (*f->reader.trouble)
		return file_input__broken(f, "%s", f->reader.trouble);
	if (!bytes)
		return file_input__broken(f, "empty: not a pcap or pcapng file");
	return file_input__broken(f, "not a pcap or pcapng file (first bytes %s)%s", hex,
				  f->reader.packing ? ", after decompression" : "");
}

int file_input__begin(struct file_input *f)
{
	size_t have;
	int err;

	if (f->next)
		return 0;
	err = file_reader__need(&f->reader, 4);
	have = (size_t)(f->reader.end - f->reader.at);
	if (err == -ENODATA)
		return not_a_capture(f, f->reader.at, have);
	if (err)
		return err;
	f->record_bytes = 0;
	if (file_pcapng__is_magic(f->reader.at))
		return file_pcapng__begin(f);
	if (file_pcap__is_magic(f->reader.at))
		return file_pcap__begin(f);
	return not_a_capture(f, f->reader.at, have);
}

int file_input__open(struct file_input *f, struct file_set *set, const char *path)
{
	int err;

	*f = (struct file_input){ .set = set, .path = path };
	errno_words(f, -ENOMEM);
	if (file_memory__full(&set->memory))
		return -ENOBUFS;
	err = file_reader__open(&f->reader, &set->memory, path);
	if (err) {
		errno_words(f, err);
		return err;
	}
	f->is_open = true;
	return 0;
}

int file_input__next(struct file_input *f, struct tl_packet *packet)
{
	int err = file_input__begin(f);

	return err ? err : f->next(f, packet);
}

void file_input__close(struct file_input *f)
{
	if (f->is_open)
		file_reader__close(&f->reader);
	f->is_open = false;
	free(f->comment);
	free(f->locals);
	f->comment = NULL;
	f->locals = NULL;
}

bool file_input__is_later(int err)
{
	return err == -EAGAIN || err == -ENOBUFS || err == -ENOMEM;
}

/* --- files that are not yet read ------------------------------------------------------------- */

int file_input__check(struct file_input *f, const char *path)
{
	struct stat st;
	uint8_t magic[4];
	ssize_t n;
	int fd;

	*f = (struct file_input){ .path = path };
	if (strcmp(path, "-") == 0 || (!stat(path, &st) && !S_ISREG(st.st_mode)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		int err = -errno;

		errno_words(f, err);
		return err;
	}
	n = read(fd, magic, sizeof(magic));
	close(fd);
	if (n == sizeof(magic) && (file_pcap__is_magic(magic) || file_pcapng__is_magic(magic) ||
				   file_unpack__detect(magic, sizeof(magic)) != FILE_PLAIN))
		return 0;
	return not_a_capture(f, magic, n < 0 ? 0 : (size_t)n);
}

static uint64_t first_of(struct file_input *f, struct file_set *set, const char *path)
{
	struct tl_packet first;
	int r;

	if (file_input__open(f, set, path))
		return 0;
	do
		r = file_input__next(f, &first);
	while (r == 0);
	file_input__close(f);
	return r == 1 ? first.ts_ns : 0;
}

uint64_t file_input__first_ns(const char *path)
{
	struct file_set *set = calloc(1, sizeof(*set));
	struct file_input f;
	uint64_t ns;

	if (!set)
		return 0;
	ns = first_of(&f, set, path);
	file_memory__destroy(&set->memory);
	free(set);
	return ns;
}
