/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One DNS message (RFC 1035, section 4): its header, its first question, and whether the rest has
 * the shape of DNS. Pure functions; any thread; reads only the bytes given.
 */
#ifndef TAPLINE_ANALYZERS_DNS_MESSAGE_H
#define TAPLINE_ANALYZERS_DNS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_DNS_NAME	   160 /* of a name as text, with the zero; longer ones are cut */
#define TL_DNS_HEADER	   12u
#define TL_DNS_QUESTION	   (TL_DNS_HEADER + 255u + 4u) /* the longest header and question */
#define TL_DNS_RECORDS_MAX 512u			       /* resource records walked in one message */
#define TL_DNS_TYPE_TEXT   16

enum tl_dns_type {
	TL_DNS_A = 1,
	TL_DNS_AAAA = 28,
};

enum tl_dns_rcode {
	TL_DNS_NOERROR = 0,
	TL_DNS_FORMERR = 1,
	TL_DNS_SERVFAIL = 2,
	TL_DNS_NXDOMAIN = 3,
	TL_DNS_NOTIMP = 4,
	TL_DNS_REFUSED = 5,
};

struct tl_dns_message {
	uint16_t id;
	uint16_t rcode; /* with the upper bits that OPT carries (RFC 6891), if it was reached */
	uint8_t opcode;
	bool is_response;
	bool is_cut;   /* TC: ask again over TCP */
	bool has_z;    /* the reserved bit is set */
	bool is_whole; /* all records were walked and no byte is left */
	bool has_question;
	bool is_plain; /* the name is letters, digits, '-', '_' and '.', and was not cut */
	uint16_t questions, answers, authorities, additionals;
	uint16_t qtype, qclass;
	uint64_t name_hash;	/* of the whole name, without case (RFC 4343) */
	char name[TL_DNS_NAME]; /* lower case, "." for the root; other bytes as \ddd */
};

/*
 * 0; -EBADMSG: no header, or a question that is no question (labels over 63, a name over 255
 * octets, pointers that do not go back). A message may be captured in part: then is_whole is false.
 */
int tl_dns_message__parse(const uint8_t *data, size_t bytes, struct tl_dns_message *ret_message);

/* Would this, on a port that is not known for DNS, be taken for DNS? */
bool tl_dns_message__is_likely(const struct tl_dns_message *m);

/* "NXDOMAIN", "AAAA"; a number without a name as "RCODE23", "TYPE123". Returns `ret_text`. */
const char *tl_dns__rcode_name(uint16_t rcode, char ret_text[TL_DNS_TYPE_TEXT]);
const char *tl_dns__type_name(uint16_t qtype, char ret_text[TL_DNS_TYPE_TEXT]);

#endif
