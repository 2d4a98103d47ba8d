/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chain of certificates that a server sent in a TLS 1.0-1.2 certificate message (RFC 5246,
 * section 7.4.2): who signed whom, what is missing, until when it holds.
 *
 *	leaf ──issuer──► intermediate ──issuer──► (root: need not be sent)
 *
 * Reads X.509 with libcrypto. For the judge half alone, never for the packet path. Bounded: at most
 * TL_CHAIN_CERTIFICATES certificates of a message of at most TL_CHAIN_BYTES.
 */
#ifndef TAPLINE_ANALYZERS_TLS_CHAIN_H
#define TAPLINE_ANALYZERS_TLS_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TL_CHAIN_BYTES	      16384u
#define TL_CHAIN_CERTIFICATES 8u
#define TL_CHAIN_NAME	      160

/* Does the leaf's issuer, which was not sent, have an issuer itself? */
enum tl_chain_issuer {
	TL_CHAIN_ISSUER_SENT,	      /* or the leaf signed itself: nothing is missing */
	TL_CHAIN_ISSUER_ROOT,	      /* the certificate or the name says that it is a root */
	TL_CHAIN_ISSUER_UNKNOWN,      /* nothing tells */
	TL_CHAIN_ISSUER_PUBLIC,	      /* a public CA's leaf: those are not issued by roots */
	TL_CHAIN_ISSUER_INTERMEDIATE, /* the certificate or the name says so */
};

struct tl_chain {
	uint32_t count;		       /* certificates sent (and read) */
	char subject[TL_CHAIN_NAME];   /* the leaf's; RFC 2253 order reversed: "C=US, CN=…" */
	char issuer[TL_CHAIN_NAME];    /* the leaf's */
	int64_t not_before, not_after; /* the leaf's, seconds since 1970 */
	char not_after_text[24];       /* "2014-03-04T23:59:59Z" */
	char not_before_text[24];
	bool self_signed; /* the leaf */
	bool cut;	  /* more was sent than was read */
	enum tl_chain_issuer missing_kind;
	/* The first certificate above the leaf whose time is over soonest; count 1: the leaf. */
	int64_t ca_not_after;
	char ca_subject[TL_CHAIN_NAME]; /* "" when no other was sent that the leaf's way leads by */
	char ca_not_after_text[24];
};

/* `message`: the body of a certificate message. 0; -EBADMSG: the leaf is no certificate. */
int tl_chain__read(const uint8_t *message, size_t bytes, struct tl_chain *ret_chain);

#endif
