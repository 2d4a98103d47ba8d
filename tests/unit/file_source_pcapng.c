/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_source */
/* The file source on pcapng: sections, interfaces, options, old blocks, damage. */
#include <criterion/criterion.h>

#include "file_builder.h"

static const char text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

static struct fb start(bool big)
{
	struct fb f = { .big = big };

	fb__section(&f);
	fb__interface(&f, 1, 65535);
	fb__end(&f);
	return f;
}

static void packet(struct fb *f, uint32_t interface, uint64_t units, uint32_t caplen)
{
	fb__enhanced(f, interface,
		     &(struct fb_packet){ (uint32_t)(units >> 32), (uint32_t)units, text, caplen,
					  caplen + 100 });
	fb__end(f);
}

Test(file_source_pcapng, both_byte_orders)
{
	for (int big = 0; big < 2; big++) {
		struct fb f = start(big);
		struct fb_read r;

		packet(&f, 0, 1700000000123456, 35);
		packet(&f, 0, 1700000000123457, 0);
		r = fb__read(&f);
		cr_assert_eq(r.result, -ENODATA);
		cr_assert_str_eq(r.error, "");
		cr_assert_eq(r.count, 2);
		cr_assert_eq(r.packets[0].ts_ns, 1700000000123456000);
		cr_assert_eq(r.packets[0].caplen, 35);
		cr_assert_eq(r.packets[0].wirelen, 135);
		cr_assert_eq(memcmp(r.packets[0].data, text, 35), 0);
		cr_assert_null(r.packets[0].comment);
		cr_assert_eq(r.packets[1].caplen, 0);
		cr_assert_eq(r.packets[1].frame, 2);
		cr_assert_eq(r.interfaces[0].tsresol, 6);
	}
}

Test(file_source_pcapng, interface_options)
{
	for (int big = 0; big < 2; big++) {
		struct fb f = { .big = big };
		const struct tl_interface *i;
		struct fb_read r;

		fb__section(&f);
		fb__interface(&f, 113, 96);
		fb__option(&f, 2, "span0", 5);
		fb__option(&f, 3, "mirror of rack 7", 16);
		fb__option(&f, 6, "\2\0\0\0\0\7", 6);
		fb__option_n(&f, 8, 10000000000, 8);
		fb__option_n(&f, 9, 9, 1);
		fb__option(&f, 11, "\0tcp port 80", 12);
		fb__option(&f, 0, NULL, 0);
		fb__end(&f);
		r = fb__read(&f);
		i = &r.interfaces[0];
		cr_assert_eq(r.interface_count, 1);
		cr_assert_str_eq(i->name, "span0");
		cr_assert_str_eq(i->description, "mirror of rack 7");
		cr_assert_str_eq(i->filter, "tcp port 80");
		cr_assert_eq(i->speed_bps, 10000000000);
		cr_assert_eq(i->has_mac, 1);
		cr_assert_eq(i->mac[5], 7);
		cr_assert_eq(i->tsresol, 9);
		cr_assert_eq(i->linktype, 113);
		cr_assert_eq(i->snaplen, 96);
	}
}

Test(file_source_pcapng, time_resolutions)
{
	static const struct {
		uint8_t tsresol;
		int64_t offset_s;
		uint64_t units, ns;
	} cases[] = {
		{ 9, 0, 1700000000123456789, 1700000000123456789 },
		{ 6, 0, 1700000000123456, 1700000000123456000 },
		{ 3, 0, 1700000000123, 1700000000123000000 },
		{ 0, 0, 1700000000, 1700000000000000000 },
		{ 12, 0, 5000000123456, 5000000123 },
		{ 19, 0, 10000000000000000000u, 1000000000 },
		{ 100, 0, UINT64_MAX, 0 },
		{ 0x80 | 20, 0, (7ull << 20) + (1u << 19), 7500000000 },
		{ 0x80 | 32, 0, (3ull << 32) + 1, 3000000000 },
		{ 0x80, 0, 9, 9000000000 },
		{ 0xff, 0, UINT64_MAX, 0 },
		{ 6, 1700000000, 5, 1700000000000005000 },
		{ 9, -1, 1500000000, 500000000 },
		{ 9, -2, 1500000000, 0 }, /* before 1970 */
		{ 0, 0, UINT64_MAX, INT64_MAX },
		{ 9, INT64_MAX, UINT64_MAX, INT64_MAX },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fb f = { .big = i & 1 };
		struct fb_read r;

		fb__section(&f);
		fb__interface(&f, 1, 0);
		fb__option_n(&f, 9, cases[i].tsresol, 1);
		fb__option_n(&f, 14, (uint64_t)cases[i].offset_s, 8);
		fb__end(&f);
		packet(&f, 0, cases[i].units, 4);
		r = fb__read(&f);
		cr_assert_eq(r.count, 1);
		cr_assert_eq(r.packets[0].ts_ns, cases[i].ns, "case %zu: %lu", i,
			     r.packets[0].ts_ns);
	}
}

Test(file_source_pcapng, packet_options)
{
	/* a length that is a multiple of 4, and an option behind: no zero follows the text */
	static const char *const comments[] = { "four", "three a", "eight by" };

	for (size_t i = 0; i < 6; i++) {
		struct fb f = start(i >= 3);
		const char *comment = comments[i % 3];
		struct fb_read r;

		for (uint32_t more = 0; more < 3; more++) {
			fb__enhanced(&f, 0, &(struct fb_packet){ 0, more, text, 5, 5 });
			fb__option(&f, 1, comment, strlen(comment));
			if (more)
				fb__option_n(&f, 2, more, 4);
			if (more)
				fb__option_n(&f, 4, 1000, 8);
			if (more)
				fb__option(&f, 1, "another", 7);
			fb__end(&f);
		}
		r = fb__read(&f);
		cr_assert_eq(r.count, 3);
		for (uint32_t n = 0; n < 3; n++)
			cr_assert_str_eq(r.packets[n].comment, comment);
		cr_assert_eq(r.packets[0].flags, 0);
		cr_assert_eq(r.packets[1].flags, TL_PACKET_AFTER_LOSS);
		cr_assert_eq(r.packets[2].flags, TL_PACKET_AFTER_LOSS | TL_PACKET_OUTGOING);
		cr_assert_eq(r.packets[2].lost_before, 1000);
	}
}

Test(file_source_pcapng, interfaces_and_sections)
{
	struct fb f = start(false);
	struct fb_read r;

	fb__interface(&f, 1, 65535); /* equal to the first, and another one all the same */
	fb__end(&f);
	fb__interface(&f, 101, 0);
	fb__end(&f);
	packet(&f, 1, 1, 4);
	packet(&f, 2, 2, 4);
	f.big = true;
	fb__section(&f);
	fb__interface(&f, 101, 0);
	fb__end(&f);
	packet(&f, 0, 3, 4);
	r = fb__read(&f);
	cr_assert_str_eq(r.error, "");
	cr_assert_eq(r.count, 3);
	cr_assert_eq(r.interface_count, 3);
	cr_assert_eq(r.packets[0].interface, 1);
	cr_assert_eq(r.packets[1].interface, 2);
	cr_assert_eq(r.packets[1].linktype, TL_LINKTYPE_RAW);
	cr_assert_eq(r.packets[2].interface, 2);
	cr_assert_eq(r.packets[2].frame, 3);
}

Test(file_source_pcapng, more_interfaces_than_the_table_holds)
{
	struct fb f = { 0 };
	struct fb_read r;

	fb__section(&f);
	for (uint16_t i = 0; i < 40; i++) {
		char name[8];

		fb__interface(&f, i == 39 ? 276 : 1, 65535);
		fb__option(&f, 2, name, (size_t)snprintf(name, sizeof(name), "if%u", i));
		fb__end(&f);
	}
	packet(&f, 39, 1, 4);
	packet(&f, 38, 1, 4);
	r = fb__read(&f);
	cr_assert_eq(r.count, 2);
	cr_assert_eq(r.interface_count, 32);
	cr_assert_lt(r.packets[0].interface, 32);
	cr_assert_eq(r.packets[0].linktype, TL_LINKTYPE_LINUX_SLL2);
	cr_assert_eq(r.packets[1].linktype, 1);
}

/* No time and no captured length: the time of the packet before, the snap length's bytes. */
Test(file_source_pcapng, simple_packet_block)
{
	struct fb f = { 0 };
	struct fb_read r;

	fb__section(&f);
	fb__interface(&f, 1, 8);
	fb__end(&f);
	packet(&f, 0, 77, 4);
	fb__block(&f, 3);
	fb__put32(&f, 1500);
	fb__put(&f, text, 8);
	fb__end(&f);
	fb__block(&f, 3);
	fb__put32(&f, 5);
	fb__put(&f, text, 5);
	fb__end(&f);
	r = fb__read(&f);
	cr_assert_eq(r.count, 3);
	cr_assert_eq(r.packets[1].ts_ns, 77000);
	cr_assert_eq(r.packets[1].caplen, 8);
	cr_assert_eq(r.packets[1].wirelen, 1500);
	cr_assert_eq(r.packets[2].caplen, 5);
	cr_assert_eq(r.packets[2].wirelen, 5);
}

Test(file_source_pcapng, obsolete_packet_block)
{
	for (int big = 0; big < 2; big++) {
		struct fb f = start(big);
		struct fb_read r;

		fb__block(&f, 2);
		fb__put16(&f, 0);
		fb__put16(&f, 3); /* lost */
		fb__put32(&f, 1);
		fb__put32(&f, 2);
		fb__put32(&f, 7);
		fb__put32(&f, 60);
		fb__put(&f, text, 7);
		fb__pad(&f);
		fb__option(&f, 1, "old", 3);
		fb__end(&f);
		r = fb__read(&f);
		cr_assert_eq(r.count, 1);
		cr_assert_eq(r.packets[0].ts_ns, ((1ull << 32) + 2) * 1000);
		cr_assert_eq(r.packets[0].caplen, 7);
		cr_assert_eq(r.packets[0].wirelen, 60);
		cr_assert_eq(r.packets[0].lost_before, 3);
		cr_assert_str_eq(r.packets[0].comment, "old");
	}
}

/* isb_endtime, in the interface's units: silence after the last packet was watched. */
Test(file_source_pcapng, statistics_say_when_the_capture_ended)
{
	for (int big = 0; big < 2; big++) {
		struct fb f = start(big);
		struct fb_read r;

		packet(&f, 0, 77, 4);
		fb__block(&f, 5);
		fb__put32(&f, 0);
		fb__put32(&f, 9);
		fb__put32(&f, 9);
		fb__put16(&f, 3);
		fb__put16(&f, 8);
		fb__put32(&f, 1);
		fb__put32(&f, 5);
		fb__end(&f);
		fb__block(&f, 5);
		fb__put32(&f, 99); /* no such interface */
		fb__put32(&f, 0);
		fb__put32(&f, 0);
		fb__end(&f);
		r = fb__read(&f);
		cr_assert_eq(r.count, 1);
		cr_assert_eq(r.stats.end_ns, ((1ull << 32) + 5) * 1000);
	}
}

static void drops_option(struct fb *f, uint16_t code, uint64_t drops)
{
	fb__put16(f, code);
	fb__put16(f, 8);
	if (f->big) {
		fb__put32(f, (uint32_t)(drops >> 32));
		fb__put32(f, (uint32_t)drops);
	} else {
		fb__put32(f, (uint32_t)drops);
		fb__put32(f, (uint32_t)(drops >> 32));
	}
}

static void drops_block(struct fb *f, uint64_t by_interface, uint64_t by_system)
{
	fb__block(f, 5);
	fb__put32(f, 0);
	fb__put32(f, 9);
	fb__put32(f, 9);
	drops_option(f, 5, by_interface);
	drops_option(f, 7, by_system);
	fb__end(f);
}

/* isb_ifdrop and isb_osdrop: what the capture lost. They count up, and are no part of our account.
 */
Test(file_source_pcapng, statistics_say_what_the_capture_lost)
{
	for (int big = 0; big < 2; big++) {
		struct fb f = start(big);
		struct fb_read r;

		packet(&f, 0, 77, 4);
		drops_block(&f, 2, 5);
		drops_block(&f, 3, 40);
		drops_block(&f, UINT64_MAX, 7);
		r = fb__read(&f);
		cr_assert_eq(r.count, 1);
		cr_expect_eq(r.stats.recorded.nic, 3);
		cr_expect_eq(r.stats.recorded.kernel, 40);
		cr_expect_eq(tl_drops__total(&r.stats.dropped), 0);
	}
}

/* What Wireshark 4.0 shows as a frame counts as one; what it does not show does not. */
Test(file_source_pcapng, frame_numbers_are_wiresharks)
{
	static const struct {
		uint32_t type;
		uint64_t frame_after;
	} cases[] = { { 4, 2 },	    { 5, 2 },	       { 10, 2 }, { 0x7777, 2 }, { 0x201, 2 },
		      { 0xbad, 3 }, { 0x40000bad, 3 }, { 9, 3 },  { 0x204, 3 },	 { 0x216, 3 } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fb f = start(false);
		struct fb_read r;

		packet(&f, 0, 1, 4);
		fb__block(&f, cases[i].type);
		fb__put(&f, NULL, 32);
		fb__end(&f);
		packet(&f, 0, 2, 4);
		r = fb__read(&f);
		cr_assert_eq(r.count, 2);
		cr_assert_eq(r.packets[1].frame, cases[i].frame_after, "type %x", cases[i].type);
	}
}

/* Larger than a block that is kept in memory may be; a reader that does not know it steps over. */
Test(file_source_pcapng, large_unknown_block)
{
	struct fb f = start(false);
	struct fb_read r;

	fb__block(&f, 0x7777);
	fb__put(&f, NULL, 5u << 20);
	fb__end(&f);
	packet(&f, 0, 2, 4);
	r = fb__read(&f);
	cr_assert_str_eq(r.error, "");
	cr_assert_eq(r.count, 1);
}

/* Every prefix gives the packets whole in it. */
Test(file_source_pcapng, cut_anywhere)
{
	struct fb f = start(false);
	size_t ends[4];

	ends[0] = f.bytes;
	for (uint32_t i = 1; i < 4; i++) {
		packet(&f, 0, i, i * 9);
		ends[i] = f.bytes;
	}
	for (size_t bytes = 29; bytes < f.bytes; bytes++) {
		struct fb_read r = fb__read_bytes(f.data, bytes);
		uint32_t whole = 0;
		char where[64];

		while (whole < 3 && ends[whole + 1] <= bytes)
			whole++;
		cr_assert_eq(r.count, whole, "cut at %zu", bytes);
		cr_assert_eq(r.result, -ENODATA, "cut at %zu", bytes);
		if (bytes == ends[whole]) {
			cr_assert_str_eq(r.error, "");
			continue;
		}
		snprintf(where, sizeof(where), "all %u packets before it", whole);
		cr_assert(strstr(r.error, where) && strstr(r.error, "tapline repair"), "%zu: %s",
			  bytes, r.error);
	}
}

struct damage {
	const char *what; /* in the error */
	size_t at;	  /* from the start of the second packet's block */
	uint32_t value;
};

Test(file_source_pcapng, damage)
{
	static const struct damage cases[] = {
		{ "block (type 6) of 0 bytes", 4, 0 },
		{ "block (type 6) of 8 bytes", 4, 8 },
		{ "block (type 6) of 69 bytes", 4, 69 },
		{ "block (type 6) of 4294967292 bytes", 4, 0xfffffffc },
		{ "says 68 bytes at its start, 1 at its end", 64, 1 },
		{ "interface 1, but the file has described 1", 8, 1 },
		{ "interface 4294967295, but", 8, 0xffffffff },
		{ "a packet of 37 bytes in a block of 68", 20, 37 },
		{ "a packet of 4294967295 bytes", 20, 0xffffffff },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fb f = start(false);
		struct fb_read r;
		size_t at;

		packet(&f, 0, 1, 36);
		at = f.bytes;
		packet(&f, 0, 2, 36);
		packet(&f, 0, 3, 36);
		memcpy(f.data + at + cases[i].at, &cases[i].value, 4);
		r = fb__read(&f);
		cr_assert_eq(r.count, 1, "case %zu", i);
		cr_assert_eq(r.result, -ENODATA, "case %zu", i);
		cr_assert(strstr(r.error, cases[i].what), "case %zu: %s", i, r.error);
	}
}

Test(file_source_pcapng, tail_of_zeros)
{
	struct fb f = start(false);
	struct fb_read r;

	packet(&f, 0, 1, 4);
	fb__put(&f, NULL, 4096);
	r = fb__read(&f);
	cr_assert_eq(r.count, 1);
	cr_assert(strstr(r.error, "zeros from byte 84 on") && strstr(r.error, "tapline repair"),
		  "%s", r.error);
}
