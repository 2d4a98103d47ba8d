/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See tls_chain.h. A leaf whose issuer was not sent may still be whole: when a root that the
 *clients know signed it, nothing else is to be sent. The wire does not say; what it hints at is
 *weighed:
 *
 *	authority key identifier with an issuer    names the issuer's issuer: itself? then a root
 *	"Root" / "Intermediate", "Issuing"… in CN  people name their CAs so
 *	SCTs, CA/Browser Forum policies, or AIA    public CAs, which issue from intermediates only
 *	  with both caIssuers and OCSP by http     (Baseline Requirements, section 6.1.7)
 */
#include "core/tls_chain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "tapline/cursor.h"

struct served {
	X509 *certificate[TL_CHAIN_CERTIFICATES];
	uint32_t count;
};

/* --- reading ---------------------------------------------------------------------------------- */

static bool read_certificates(const uint8_t *message, size_t bytes, struct served *served,
			      bool *ret_cut)
{
	struct tl_cursor c = tl_cursor__init(message, bytes);
	uint32_t list = tl_cursor__be24(&c);

	*ret_cut = list > tl_cursor__left(&c);
	tl_cursor__limit(&c, list);
	while (tl_cursor__left(&c) > 3) {
		uint32_t der_bytes = tl_cursor__be24(&c);
		const uint8_t *der = tl_cursor__take(&c, der_bytes);
		X509 *certificate = NULL;

		if (!der || served->count == TL_CHAIN_CERTIFICATES) {
			*ret_cut = true;
			break;
		}
		certificate = d2i_X509(NULL, &der, (long)der_bytes);
		if (certificate)
			served->certificate[served->count++] = certificate;
		else if (!served->count)
			return false;
		else
			*ret_cut = true;
	}
	return served->count;
}

/* Control characters and quotes do not get into findings. */
static void clean(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static void name_text(const X509_NAME *name, char ret_text[TL_CHAIN_NAME])
{
	BIO *bio = BIO_new(BIO_s_mem());
	const unsigned long flags = XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ;
	int n = 0;

	ret_text[0] = 0;
	if (!bio)
		return;
	if (X509_NAME_print_ex(bio, name, 0, flags) >= 0)
		n = BIO_read(bio, ret_text, TL_CHAIN_NAME - 1);
	ret_text[n > 0 ? n : 0] = 0;
	clean(ret_text);
	BIO_free(bio);
}

static int64_t seconds_of(const ASN1_TIME *t, char ret_text[24])
{
	struct tm tm = { 0 };

	snprintf(ret_text, 24, "?");
	if (!ASN1_TIME_to_tm(t, &tm))
		return 0;
	strftime(ret_text, 24, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return timegm(&tm);
}

/* --- who signed whom ---------------------------------------------------------------------------
 */

static bool signed_itself(X509 *c)
{
	return !X509_NAME_cmp(X509_get_subject_name(c), X509_get_issuer_name(c));
}

/* NULL: not sent. By name and, where both have one, key identifier; a forged key is no fault here.
 */
static X509 *issuer_of(const struct served *served, X509 *c)
{
	const ASN1_OCTET_STRING *wanted = X509_get0_authority_key_id(c);

	for (uint32_t i = 0; i < served->count; i++) {
		X509 *candidate = served->certificate[i];
		const ASN1_OCTET_STRING *has = X509_get0_subject_key_id(candidate);

		if (candidate == c ||
		    X509_NAME_cmp(X509_get_issuer_name(c), X509_get_subject_name(candidate)))
			continue;
		if (!wanted || !has || !ASN1_OCTET_STRING_cmp(wanted, has))
			return candidate;
	}
	return NULL;
}

/* --- what the leaf says of an issuer that was not sent ------------------------------------------
 */

static bool cn_has(const X509_NAME *name, const char *const *words)
{
	char cn[TL_CHAIN_NAME] = "";
	int at = X509_NAME_get_index_by_NID((X509_NAME *)name, NID_commonName, -1);
	const unsigned char *data;
	int bytes;

	if (at < 0)
		return false;
	data = ASN1_STRING_get0_data(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	bytes = ASN1_STRING_length(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	snprintf(cn, sizeof(cn), "%.*s", bytes, (const char *)data);
	for (; *words; words++)
		if (strcasestr(cn, *words))
			return true;
	return false;
}

/* The authority key identifier may name the issuer's own issuer (RFC 5280, section 4.2.1.1). */
static enum tl_chain_issuer by_key_identifier(X509 *leaf)
{
	const GENERAL_NAMES *names = X509_get0_authority_issuer(leaf);

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type != GEN_DIRNAME)
			continue;
		return X509_NAME_cmp(name->d.directoryName, X509_get_issuer_name(leaf))
			       ? TL_CHAIN_ISSUER_INTERMEDIATE
			       : TL_CHAIN_ISSUER_ROOT;
	}
	return TL_CHAIN_ISSUER_UNKNOWN;
}

static bool has_http_issuer_and_ocsp(X509 *leaf)
{
	AUTHORITY_INFO_ACCESS *aia = X509_get_ext_d2i(leaf, NID_info_access, NULL, NULL);
	bool issuer = false, ocsp = false;

	for (int i = 0; i < sk_ACCESS_DESCRIPTION_num(aia); i++) {
		const ACCESS_DESCRIPTION *d = sk_ACCESS_DESCRIPTION_value(aia, i);
		const ASN1_STRING *uri = d->location->d.uniformResourceIdentifier;
		bool is_http = d->location->type == GEN_URI && ASN1_STRING_length(uri) > 7 &&
			       !memcmp(ASN1_STRING_get0_data(uri), "http://", 7);

		issuer |= is_http && OBJ_obj2nid(d->method) == NID_ad_ca_issuers;
		ocsp |= is_http && OBJ_obj2nid(d->method) == NID_ad_OCSP;
	}
	AUTHORITY_INFO_ACCESS_free(aia);
	return issuer && ocsp;
}

static bool has_public_policy(X509 *leaf)
{
	CERTIFICATEPOLICIES *policies =
		X509_get_ext_d2i(leaf, NID_certificate_policies, NULL, NULL);
	bool found = false;

	for (int i = 0; i < sk_POLICYINFO_num(policies); i++) {
		char oid[64];

		OBJ_obj2txt(oid, sizeof(oid), sk_POLICYINFO_value(policies, i)->policyid, 1);
		found |= !strncmp(oid, "2.23.140.1.", 11);
	}
	CERTIFICATEPOLICIES_free(policies);
	return found;
}

static enum tl_chain_issuer kind_of_missing(X509 *leaf)
{
	static const char *const root[] = { "root", NULL };
	static const char *const between[] = { "intermediate", "issuing",     "sub ca", "subca",
					       "sub-ca",       "subordinate", NULL };
	const X509_NAME *issuer = X509_get_issuer_name(leaf);
	enum tl_chain_issuer kind = by_key_identifier(leaf);

	if (kind != TL_CHAIN_ISSUER_UNKNOWN)
		return kind;
	if (cn_has(issuer, between))
		return TL_CHAIN_ISSUER_INTERMEDIATE;
	if (X509_get_ext_by_NID(leaf, NID_ct_precert_scts, -1) >= 0 || has_public_policy(leaf))
		return TL_CHAIN_ISSUER_PUBLIC;
	if (cn_has(issuer, root))
		return TL_CHAIN_ISSUER_ROOT;
	return has_http_issuer_and_ocsp(leaf) ? TL_CHAIN_ISSUER_PUBLIC : TL_CHAIN_ISSUER_UNKNOWN;
}

/* --- the whole ---------------------------------------------------------------------------------
 */

/* Follows the leaf's way up; remembers the CA certificate that ends first. */
static void walk(const struct served *served, struct tl_chain *chain)
{
	X509 *at = served->certificate[0];

	for (uint32_t i = 0; i < served->count && !signed_itself(at); i++) {
		char text[24];
		int64_t end;

		at = issuer_of(served, at);
		if (!at)
			return;
		end = seconds_of(X509_get0_notAfter(at), text);
		if (chain->ca_subject[0] && end >= chain->ca_not_after)
			continue;
		chain->ca_not_after = end;
		memcpy(chain->ca_not_after_text, text, sizeof(text));
		name_text(X509_get_subject_name(at), chain->ca_subject);
	}
}

static void describe(const struct served *served, struct tl_chain *chain)
{
	X509 *leaf = served->certificate[0];

	chain->count = served->count;
	name_text(X509_get_subject_name(leaf), chain->subject);
	name_text(X509_get_issuer_name(leaf), chain->issuer);
	chain->not_before = seconds_of(X509_get0_notBefore(leaf), chain->not_before_text);
	chain->not_after = seconds_of(X509_get0_notAfter(leaf), chain->not_after_text);
	chain->self_signed = signed_itself(leaf);
	if (chain->self_signed || issuer_of(served, leaf))
		chain->missing_kind = TL_CHAIN_ISSUER_SENT;
	else
		chain->missing_kind = kind_of_missing(leaf);
	walk(served, chain);
}

int tl_chain__read(const uint8_t *message, size_t bytes, struct tl_chain *ret_chain)
{
	struct served served = { 0 };
	struct tl_chain chain = { 0 };
	bool fine =
		bytes <= TL_CHAIN_BYTES && read_certificates(message, bytes, &served, &chain.cut);

	if (fine)
		describe(&served, &chain);
	for (uint32_t i = 0; i < served.count; i++)
		X509_free(served.certificate[i]);
	ERR_clear_error();
	if (!fine)
		return -EBADMSG;
	*ret_chain = chain;
	return 0;
}
