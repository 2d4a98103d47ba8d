/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of answers (core/dns_answer_table.h): sets of four, found by a hash that is taken for
 * the whole key.
 */
#include "core/dns_answer_table.h"
#include "core/text.h"

uint64_t dns_answer_table__key(enum dns_answers_by by, const struct dns_question *q)
{
	const uint64_t words[] = {
		(uint64_t)by << 32 | q->qtype,
		(uint64_t)q->client << 32 | q->server,
		q->name_hash,
	};

	return tl_text__hash(0, words, sizeof(words)) | 1;
}

static uint32_t set_of(uint64_t key)
{
	return (uint32_t)(key >> 1) & (DNS_ANSWER_SETS - 1);
}

static uint32_t place_of(const struct dns_answer_table *table, uint64_t key)
{
	const uint32_t first = set_of(key) * DNS_ANSWER_WAYS;

	if (tl_written__has(table->written, set_of(key)))
		for (uint32_t i = first; i < first + DNS_ANSWER_WAYS; i++)
			if (table->sum[i].key == key)
				return i;
	return UINT32_MAX;
}

/* The place of one that was not there. */
static struct dns_answer_sum *make_room(struct dns_answer_table *table, uint64_t key)
{
	struct dns_answer_sum *set = &table->sum[set_of(key) * DNS_ANSWER_WAYS], *oldest = set;

	if (tl_written__has(table->written, set_of(key)))
		for (uint32_t i = 1; i < DNS_ANSWER_WAYS; i++)
			if (set[i].last_ns < oldest->last_ns)
				oldest = &set[i];
	tl_written__add(table->written, set_of(key));
	*oldest = (struct dns_answer_sum){ .key = key };
	return oldest;
}

void dns_answer_table__add(struct dns_answer_table *table, enum dns_answers_by by,
			   const struct dns_question *question, const struct dns_answer *answer)
{
	const uint64_t key = dns_answer_table__key(by, question);
	const uint32_t place = place_of(table, key);
	struct dns_answer_sum *sum =
		place == UINT32_MAX ? make_room(table, key) : &table->sum[place];

	table->version++;
	sum->count++;
	sum->records += !!(answer->flags & DNS_ANSWER_RECORDS);
	sum->before_ns = sum->last_ns;
	sum->last_ns = answer->ts_ns;
	sum->frame = answer->frame;
}

const struct dns_answer_sum *dns_answer_table__find(const struct dns_answer_table *table,
						    enum dns_answers_by by,
						    const struct dns_question *question)
{
	const uint32_t place = place_of(table, dns_answer_table__key(by, question));

	return place == UINT32_MAX ? NULL : &table->sum[place];
}
