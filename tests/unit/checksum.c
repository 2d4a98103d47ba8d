/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_analyzers_core */
/* The sum of RFC 1071, as fast as the processor can, against the same as its text has it. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/checksum.h"

#define BYTES_MAX 2000u

/* RFC 1071, section 4.1. */
static uint16_t plain(const uint8_t *bytes, size_t count, uint64_t sum)
{
	uint16_t word;

	for (; count > 1; count -= 2, bytes += 2) {
		memcpy(&word, bytes, sizeof(word));
		sum += word;
	}
	if (count)
		sum += *bytes;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void compare(const uint8_t *bytes)
{
	for (size_t count = 0; count <= BYTES_MAX - 8; count++)
		for (size_t at = 0; at < 8; at += 1 + count / 300)
			cr_assert_eq(tl_checksum__fold(bytes + at, count, count * 65537),
				     plain(bytes + at, count, count * 65537), "%zu bytes at %zu",
				     count, at);
}

Test(checksum, any_length_and_place)
{
	uint8_t bytes[BYTES_MAX];

	srandom(1071);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)random();
	compare(bytes);
}

Test(checksum, all_words_carry)
{
	uint8_t bytes[BYTES_MAX];

	memset(bytes, 0xff, sizeof(bytes));
	compare(bytes);
	memset(bytes, 0, sizeof(bytes));
	compare(bytes);
}
