/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See word_list.h. */
#include "core/word_list.h"

#include <string.h>

static uint8_t upper(uint8_t c)
{
	return c >= 'a' && c <= 'z' ? c & 0xdfu : c;
}

void tl_word_list__init(struct tl_word_list *list, const char *const *words)
{
	*list = (struct tl_word_list){ .word = words };
	for (unsigned i = 0; words[i]; i++) {
		uint16_t bit = (uint16_t)(1u << i);
		uint8_t first = (uint8_t)words[i][0], second = (uint8_t)words[i][1];

		list->starts[first] |= bit;
		list->starts[upper(first)] |= bit;
		list->follows[second] |= bit;
		list->follows[upper(second)] |= bit;
	}
}

/* Does the text, of which two characters are known to fit, go on as the word does? */
static bool goes_on(const uint8_t *text, size_t bytes, const char *word)
{
	size_t i = 2;

	for (; word[i] && i < bytes; i++)
		if (text[i] != (uint8_t)word[i] && text[i] != upper((uint8_t)word[i]))
			return false;
	return !word[i];
}

bool tl_word_list__is_in(const struct tl_word_list *list, const uint8_t *text, size_t bytes)
{
	for (size_t at = 0; at + 1 < bytes; at++) {
		uint32_t left = list->starts[text[at]] & list->follows[text[at + 1]];

		for (; left; left &= left - 1)
			if (goes_on(text + at, bytes - at, list->word[__builtin_ctz(left)]))
				return true;
	}
	return false;
}
