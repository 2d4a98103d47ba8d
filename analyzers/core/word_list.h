/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does a text hold one of some words, in upper or lower case? Goes over the text once: two tables
 * say which words begin with a character, and which have one in second place.
 *
 *	text   G E T   / w s          starts['/'] & follows['w'] = words "/ws" … : is it that one?
 *
 * Read-only after __init; any thread.
 */
#ifndef TAPLINE_ANALYZERS_WORD_LIST_H
#define TAPLINE_ANALYZERS_WORD_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_word_list {
	const char *const *word;
	uint16_t starts[256], follows[256]; /* bit i: word[i] */
};

/*
 * `words`: up to 16 of two characters and more, in lower case, then NULL; borrowed as long as the
 * list is used.
 */
void tl_word_list__init(struct tl_word_list *list, const char *const *words);
bool tl_word_list__is_in(const struct tl_word_list *list, const uint8_t *text, size_t bytes);

#endif
