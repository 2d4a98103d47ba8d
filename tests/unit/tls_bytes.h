/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * TLS messages and certificates for tests, made when they are needed.
 *
 *	struct bytes m = { 0 };
 *	tls__client_hello(&m, "api.test", 0x0303);     appends a record to m
 */
#ifndef TAPLINE_TESTS_TLS_BYTES_H
#define TAPLINE_TESTS_TLS_BYTES_H

#include <openssl/evp.h>
#include <openssl/x509v3.h>

#include "unit/packet_builder.h"

struct bytes {
	size_t n;
	uint8_t data[16384];
};

static inline void bytes__add(struct bytes *b, const void *data, size_t n)
{
	pb__check(sizeof(b->data) - b->n >= n);
	if (data)
		memcpy(b->data + b->n, data, n);
	else
		memset(b->data + b->n, 0x5a, n);
	b->n += n;
}

static inline void bytes__number(struct bytes *b, uint64_t value, unsigned width)
{
	while (width--) {
		uint8_t byte = (uint8_t)(value >> 8 * width);

		bytes__add(b, &byte, 1);
	}
}

static inline void tls__record(struct bytes *out, uint8_t type, const void *data, size_t n)
{
	bytes__number(out, type, 1);
	bytes__number(out, 0x0303, 2);
	bytes__number(out, n, 2);
	bytes__add(out, data, n);
}

static inline void tls__message(struct bytes *out, uint8_t type, const struct bytes *body)
{
	struct bytes m = { 0 };

	bytes__number(&m, type, 1);
	bytes__number(&m, body->n, 3);
	bytes__add(&m, body->data, body->n);
	tls__record(out, 22, m.data, m.n);
}

/* Highest version 0x0304 goes into supported_versions, as RFC 8446 wants it. */
static inline void tls__client_hello(struct bytes *out, const char *sni, uint16_t version)
{
	struct bytes body = { 0 }, extensions = { 0 };
	size_t name = sni ? strlen(sni) : 0;

	if (sni) {
		bytes__number(&extensions, 0, 2);
		bytes__number(&extensions, name + 5, 2);
		bytes__number(&extensions, name + 3, 2);
		bytes__number(&extensions, 0, 1);
		bytes__number(&extensions, name, 2);
		bytes__add(&extensions, sni, name);
	}
	if (version >= 0x0304) {
		bytes__number(&extensions, 43, 2);
		bytes__number(&extensions, 5, 2);
		bytes__number(&extensions, 4, 1);
		bytes__number(&extensions, 0x0303, 2);
		bytes__number(&extensions, version, 2);
	}
	bytes__number(&body, version < 0x0304 ? version : 0x0303, 2);
	bytes__add(&body, NULL, 32);
	bytes__number(&body, 0, 1);
	bytes__number(&body, 2, 2);
	bytes__number(&body, 0xc02f, 2);
	bytes__number(&body, 0x0100, 2);
	bytes__number(&body, extensions.n, 2);
	bytes__add(&body, extensions.data, extensions.n);
	tls__message(out, 1, &body);
}

static inline void tls__server_hello(struct bytes *out, uint16_t version)
{
	struct bytes body = { 0 };

	bytes__number(&body, version < 0x0304 ? version : 0x0303, 2);
	bytes__add(&body, NULL, 32);
	bytes__number(&body, 0, 1);
	bytes__number(&body, 0xc02f, 2);
	bytes__number(&body, 0, 1);
	if (version >= 0x0304) {
		bytes__number(&body, 6, 2);
		bytes__number(&body, 43, 2);
		bytes__number(&body, 2, 2);
		bytes__number(&body, version, 2);
	}
	tls__message(out, 2, &body);
}

static inline void tls__alert(struct bytes *out, uint8_t level, uint8_t alert)
{
	const uint8_t data[] = { level, alert };

	tls__record(out, 21, data, 2);
}

static inline void tls__empty_message(struct bytes *out, uint8_t type)
{
	tls__message(out, type, &(struct bytes){ 0 });
}

/* change_cipher_spec and a finished that nobody can read */
static inline void tls__finished(struct bytes *out)
{
	tls__record(out, 20, "\1", 1);
	tls__record(out, 22, NULL, 40);
}

/* --- certificates --------------------------------------------------------------------------- */

struct tls_certificate {
	const char *subject, *issuer; /* common names */
	int64_t not_before, not_after;
	const char *policy; /* an OID; NULL: none */
};

static inline EVP_PKEY *tls__key(void)
{
	static const uint8_t seed[32] = { 1, 2, 3 };
	static EVP_PKEY *key;

	/* Its signatures are the same each time, so that a certificate is too. */
	if (!key)
		key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	pb__check(key != NULL);
	return key;
}

static inline void tls__name(X509_NAME *name, const char *cn)
{
	pb__check(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)cn, -1, -1,
					     0) == 1);
}

/* Appends the certificate as a list of a certificate message holds it. */
static inline void tls__certificate(struct bytes *served, const struct tls_certificate *c)
{
	X509 *x = X509_new();
	uint8_t *der = NULL;
	int n;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	ASN1_TIME_set(X509_getm_notBefore(x), (time_t)c->not_before);
	ASN1_TIME_set(X509_getm_notAfter(x), (time_t)c->not_after);
	tls__name(X509_get_subject_name(x), c->subject);
	tls__name(X509_get_issuer_name(x), c->issuer);
	X509_set_pubkey(x, tls__key());
	if (c->policy) {
		CERTIFICATEPOLICIES *list = sk_POLICYINFO_new_null();
		POLICYINFO *info = POLICYINFO_new();

		info->policyid = OBJ_txt2obj(c->policy, 1);
		sk_POLICYINFO_push(list, info);
		pb__check(X509_add1_ext_i2d(x, NID_certificate_policies, list, 0, 0) == 1);
		CERTIFICATEPOLICIES_free(list);
	}
	pb__check(X509_sign(x, tls__key(), NULL) > 0);
	n = i2d_X509(x, &der);
	pb__check(n > 0);
	bytes__number(served, (uint64_t)n, 3);
	bytes__add(served, der, (size_t)n);
	OPENSSL_free(der);
	X509_free(x);
}

static inline void tls__chain(struct bytes *out, const struct bytes *list)
{
	struct bytes body = { 0 };

	bytes__number(&body, list->n, 3);
	bytes__add(&body, list->data, list->n);
	tls__message(out, 11, &body);
}

#endif
