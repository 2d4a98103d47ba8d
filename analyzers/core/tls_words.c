/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The words of tls.*: what a group of failed handshakes, or of flows served with a chain, says.
 * Depends on the group alone. Control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "core/tls.h"

static const char *side_name(uint8_t side)
{
	return side == 0 ? "client" : side == 1 ? "server" : NULL;
}

static const char *message_name(const struct tls_report *r)
{
	const char *name = tl_tls__message_name(r->last_message);

	return name ? name : "client_hello";
}

/* --- why a handshake failed ----------------------------------------------------------------------
 */

struct reason {
	uint8_t alert;
	const char *cause, *next;
};

static const struct reason reasons[] = {
	{ TL_TLS_UNKNOWN_CA,
	  "it does not know who signed the certificate: an intermediate certificate is missing "
	  "from "
	  "what was sent, or a private root is not in its trust store",
	  "compare what is sent (openssl s_client -showcerts) with the trust store of the side "
	  "that "
	  "refused" },
	{ TL_TLS_BAD_CERTIFICATE,
	  "it does not accept the certificate: wrong name, wrong use, or a chain that it cannot "
	  "check",
	  "look at the certificate's names, its key usage and its chain" },
	{ TL_TLS_CERTIFICATE_UNKNOWN,
	  "it does not accept the certificate: an untrusted or incomplete chain, or a name that "
	  "does "
	  "not fit",
	  "look at the certificate's names, its key usage and its chain" },
	{ TL_TLS_CERTIFICATE_EXPIRED,
	  "the certificate is expired, or the clock of the side that "
	  "checks it is wrong",
	  "renew the certificate; look at the clock" },
	{ TL_TLS_CERTIFICATE_REVOKED, "the certificate was revoked", "issue a new certificate" },
	{ TL_TLS_UNSUPPORTED_CERTIFICATE,
	  "the certificate's kind of key or signature is not supported",
	  "look at the certificate's key type and signature algorithm" },
	{ TL_TLS_HANDSHAKE_FAILURE,
	  "client and server have no cipher suite, curve or signature algorithm in common, or a "
	  "client certificate is wanted",
	  "compare the cipher suites of the client_hello with the server's configuration" },
	{ TL_TLS_PROTOCOL_VERSION, "client and server have no TLS version in common",
	  "compare the versions that both are configured for" },
	{ TL_TLS_UNRECOGNIZED_NAME, "the server has no site of the name that the client asks for",
	  "look at the server name of the client_hello, and at the server's list of names" },
	{ TL_TLS_CERTIFICATE_REQUIRED, "the server wants a client certificate and got none",
	  "give the client a certificate" },
	{ TL_TLS_NO_APPLICATION_PROTOCOL, "no application protocol (ALPN) in common",
	  "compare the protocols (h2, http/1.1…) that both offer" },
	{ TL_TLS_CLOSE_NOTIFY, "it gave up before the handshake was over",
	  "look at the log and at the time-outs of the side that closed" },
	{ TL_TLS_USER_CANCELED, "it was canceled before it was over",
	  "look at the log of the side that closed" },
};

static const struct reason other_alert = {
	.cause = "it reports an error in the handshake",
	.next = "look at the log of the side that sent the alert",
};

static const struct reason server_cuts_hello = {
	.cause = "the server does not want this hello (name, version, ciphers), it is overloaded, "
		 "or "
		 "a middlebox on the way cuts connections by their server name",
	.next = "look at the server's log; if it knows of nothing, look for a middlebox (the TTL "
		"of "
		"the RST)",
};

static const struct reason client_leaves = {
	.cause =
		"the client did not accept what the server sent (an incomplete or unknown chain, a "
		"wrong name), or it timed out",
	.next = "look at the client's log; check the chain with openssl s_client -showcerts",
};

static const struct reason server_leaves = {
	.cause = "the server gave up: it did not accept what the client sent, or it failed",
	.next = "look at the server's log",
};

static const struct reason is_silent = {
	.cause = "the server's host took the hello, but the program behind the port does not "
		 "answer: "
		 "it hangs, is overloaded, or does not speak TLS there",
	.next = "is the program on that port alive, and does it speak TLS?",
};

static const struct reason is_plain = {
	.cause = "the server does not speak TLS on this port",
	.next = "is it the right port, and is TLS turned on there?",
};

static const struct reason *reason_of(const struct tls_group *g)
{
	const struct tls_report *r = &g->report;

	if (r->failure == TLS_FAILURE_SILENT)
		return &is_silent;
	if (r->failure == TLS_FAILURE_NOT_TLS)
		return &is_plain;
	if (r->alert != TL_TLS_ALERT_NONE) {
		for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
			if (reasons[i].alert == r->alert)
				return &reasons[i];
		return &other_alert;
	}
	if (r->closed_by == 0)
		return &client_leaves;
	return r->last_message == TL_TLS_CLIENT_HELLO ? &server_cuts_hello : &server_leaves;
}

/* A client that only goes away may have been told to; one alone says little. */
static void weigh_failed(const struct tls_group *g, struct tl_finding *f)
{
	const struct tls_report *r = &g->report;
	bool gave_up = r->alert == TL_TLS_CLOSE_NOTIFY || r->alert == TL_TLS_USER_CANCELED ||
		       (r->failure == TLS_FAILURE_CLOSED && r->closed_by == 0);

	f->severity = TL_ERROR;
	f->confidence = 0.95;
	if (gave_up) {
		f->severity = g->flows > 1 && !g->succeeded ? TL_WARNING : TL_INFO;
		f->confidence = 0.6;
	} else if (r->alert_opaque) {
		f->confidence = 0.7;
	} else if (r->alert == TL_TLS_ALERT_NONE) {
		f->confidence = 0.85;
	}
	if (g->unseen) {
		f->confidence -= 0.15;
		tl_finding__counter_evidence(f, 0, f->last_ns, "the capture lost %llu packets",
					     (unsigned long long)g->unseen);
	}
	if (g->succeeded)
		tl_finding__counter_evidence(f, 0, f->last_ns,
					     "%llu other handshakes with this server came about",
					     (unsigned long long)g->succeeded);
}

/* "the server ended it with the alert unknown_ca" */
static void write_how(const struct tls_report *r, char *text, size_t bytes)
{
	const char *side = r->closed_by == 0 ? "the client" : "the server";
	const char *alert = tl_tls__alert_name(r->alert);

	if (r->failure == TLS_FAILURE_SILENT)
		snprintf(text, bytes, "the server never answered the client_hello");
	else if (r->failure == TLS_FAILURE_NOT_TLS)
		snprintf(text, bytes, "the server's answer is no TLS");
	else if (r->alert != TL_TLS_ALERT_NONE && alert)
		snprintf(text, bytes, "%s ended it with the alert %s", side, alert);
	else if (r->alert != TL_TLS_ALERT_NONE)
		snprintf(text, bytes, "%s ended it with alert %u", side, r->alert);
	else if (r->alert_opaque)
		snprintf(text, bytes, "%s ended it with an encrypted alert", side);
	else
		snprintf(text, bytes, "%s %s", side,
			 r->failure == TLS_FAILURE_RESET ? "reset the connection"
							 : "closed the connection");
}

static void write_failed(const struct tls_group *g, struct tl_finding *f)
{
	const struct tls_report *r = &g->report;
	char server[TL_TEXT_ENDPOINT], how[96], client[TL_TEXT_IP];
	const struct reason *reason = reason_of(g);
	const char *version = tl_tls__version_name(r->version);
	const char *alert = tl_tls__alert_name(r->alert);
	const char *side = side_name(r->closed_by);

	write_how(r, how, sizeof(how));
	tl_text__endpoint(&g->subject.server, server);
	if (g->flows == 1)
		tl_finding__summary(
			f, "the TLS handshake of %s with %s%s%s%s broke off after %s: %s",
			tl_text__ip(&g->subject.client, client), server, *r->sni ? " (" : "",
			r->sni, *r->sni ? ")" : "", message_name(r), how);
	else
		tl_finding__summary(f, "%llu TLS handshakes with %s broke off after %s: %s",
				    (unsigned long long)g->flows, server, message_name(r), how);
	if (g->has_chain && g->chain.missing_kind != TL_CHAIN_ISSUER_SENT &&
	    r->alert == TL_TLS_UNKNOWN_CA)
		tl_finding__cause(f,
				  "the server sends its certificate alone, and the client does not "
				  "know its issuer (%s)",
				  g->chain.issuer);
	else
		tl_finding__cause(f, "%s", reason->cause);
	tl_finding__next(f, "%s", reason->next);
	tl_finding__detail_string(f, "last_message", message_name(r));
	if (side)
		tl_finding__detail_string(f, "closed_by", side);
	else
		tl_finding__detail_null(f, "closed_by");
	if (alert)
		tl_finding__detail_string(f, "alert", alert);
	else
		tl_finding__detail_null(f, "alert");
	tl_finding__detail_string(f, "version", version ? version : "unknown");
	if (*r->sni)
		tl_finding__detail_string(f, "sni", r->sni);
	else
		tl_finding__detail_null(f, "sni");
	tl_finding__detail_bool(f, "inferred", r->inferred);
	tl_finding__detail_u64(f, "succeeded", g->succeeded);
	weigh_failed(g, f);
}

/* --- chains --------------------------------------------------------------------------------------
 */

static void write_chain_details(const struct tls_group *g, struct tl_finding *f)
{
	const struct tl_chain *c = &g->chain;
	bool is_missing = g->kind == TLS_KIND_INCOMPLETE;

	if (g->has_chain) {
		tl_finding__detail_string(f, "subject", c->subject);
		tl_finding__detail_string(f, "issuer", c->issuer);
		if (is_missing)
			tl_finding__detail_string(f, "missing", c->issuer);
		else
			tl_finding__detail_null(f, "missing");
		tl_finding__detail_string(f, "not_after", c->not_after_text);
	} else {
		tl_finding__detail_null(f, "subject");
		tl_finding__detail_null(f, "issuer");
		tl_finding__detail_null(f, "missing");
		tl_finding__detail_null(f, "not_after");
	}
	if (*g->report.sni)
		tl_finding__detail_string(f, "sni", g->report.sni);
	tl_finding__detail_bool(f, "inferred", !g->has_chain);
	tl_finding__detail_u64(f, "refused", g->refused);
}

static void weigh_incomplete(const struct tls_group *g, struct tl_finding *f)
{
	bool is_sure = g->has_chain && g->chain.missing_kind >= TL_CHAIN_ISSUER_PUBLIC;
	bool nobody_stayed = g->left + g->refused == g->flows;

	f->severity = g->refused && g->has_chain ? TL_ERROR : TL_WARNING;
	/* All refuse: as likely it is signed by itself, and tls.handshake_failed says that. Some
	 * clients that go on are what a missing intermediate looks like. */
	if (!g->has_chain && !g->succeeded)
		f->severity = TL_INFO;
	if (!g->has_chain)
		f->confidence = 0.5;
	else if (g->refused)
		f->confidence = is_sure ? 0.95 : 0.7;
	else
		f->confidence = nobody_stayed ? 0.85 : 0.75;
	if (!is_sure && f->severity != TL_INFO)
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"a client that lacks a private root refuses in the same way");
	if (g->flows > g->refused + g->left)
		tl_finding__counter_evidence(
			f, 0, f->last_ns, "%llu connections were used with this chain all the same",
			(unsigned long long)(g->flows - g->refused - g->left));
}

static void write_incomplete(const struct tls_group *g, struct tl_finding *f)
{
	char server[TL_TEXT_ENDPOINT];

	tl_text__endpoint(&g->subject.server, server);
	if (g->has_chain) {
		tl_finding__summary(f, "%s sends its certificate without that of its issuer: %s",
				    server, g->chain.issuer);
		tl_finding__cause(
			f, "the server's certificate file lacks the intermediate certificate; "
			   "clients that do not have it already cannot build the chain");
	} else {
		tl_finding__summary(f,
				    "%s seems to send its certificate alone, and clients do not "
				    "know its issuer (TLS 1.3: told by a record of %u bytes)",
				    server, g->report.certificate_bytes);
		tl_finding__cause(
			f, "the server's certificate file may lack the intermediate "
			   "certificate; or the root is a private one that the client lacks");
	}
	tl_finding__next(f,
			 "append the issuer's certificate to the server's certificate file; check "
			 "with openssl s_client -showcerts");
	write_chain_details(g, f);
	weigh_incomplete(g, f);
	if (f->severity == TL_INFO)
		tl_finding__counter_evidence(
			f, 0, f->last_ns,
			"the same event as tls.handshake_failed, and one reason that it may have: "
			"a certificate signed by itself looks the same");
}

static void write_expired(const struct tls_group *g, struct tl_finding *f)
{
	const struct tl_chain *c = &g->chain;
	bool is_early = (int64_t)(g->report.certificate_ns / 1000000000ull) < c->not_before;
	char server[TL_TEXT_ENDPOINT];

	tl_text__endpoint(&g->subject.server, server);
	if (is_early) {
		tl_finding__summary(f, "the certificate of %s is not valid before %s (%s)", server,
				    c->not_before_text, c->subject);
		tl_finding__cause(f, "the certificate begins in the future, or the clock of the "
				     "capture (or of the issuer) is wrong");
	} else {
		tl_finding__summary(f, "the certificate of %s expired on %s (%s)", server,
				    c->not_after_text, c->subject);
		tl_finding__cause(f, "the certificate was not renewed, or the server was not "
				     "reloaded after it was");
	}
	tl_finding__next(f, "renew the certificate and reload the server; clients that check it "
			    "refuse the connection");
	write_chain_details(g, f);
	if (is_early)
		tl_finding__detail_string(f, "not_before", c->not_before_text);
	f->severity = g->refused ? TL_ERROR : TL_WARNING;
	f->confidence = 0.97;
	if (g->flows > g->refused)
		tl_finding__counter_evidence(f, 0, f->last_ns, "%llu client%s went on with it",
					     (unsigned long long)(g->flows - g->refused),
					     tl_text__plural(g->flows - g->refused));
}

/* --- what all have
 * -------------------------------------------------------------------------------- */

static void write_evidence(const struct tls_group *g, struct tl_finding *f)
{
	for (uint32_t i = 0; i < g->proof_count; i++) {
		const struct tls_proof *p = &g->proof[i];
		const char *side = p->side ? "server" : "client";
		const char *name = p->what == TLS_SAW_ALERT ? tl_tls__alert_name(p->message)
							    : tl_tls__message_name(p->message);

		switch ((enum tls_what)p->what) {
		case TLS_SAW_ALERT:
			tl_finding__evidence(f, p->frame, p->ts_ns, "alert %s by the %s",
					     name ? name : "(encrypted)", side);
			break;
		case TLS_SAW_FIN:
			tl_finding__evidence(f, p->frame, p->ts_ns, "FIN by the %s", side);
			break;
		case TLS_SAW_RST:
			tl_finding__evidence(f, p->frame, p->ts_ns, "RST by the %s", side);
			break;
		case TLS_SAW_NO_TLS:
			tl_finding__evidence(f, p->frame, p->ts_ns, "no TLS by the %s", side);
			break;
		default:
			tl_finding__evidence(f, p->frame, p->ts_ns, "%s by the %s",
					     name ? name : "handshake message", side);
		}
	}
}

/* A message may begin in a segment that a dissector shows as plain TCP: so by data, not by "tls".
 */
static void write_filter(const struct tls_group *g, struct tl_finding *f)
{
	char client[TL_TEXT_FILTER], server[TL_TEXT_FILTER];

	tl_text__ip_filter(&g->subject.client, client);
	tl_text__ip_filter(&g->subject.server, server);
	if (g->flows == 1)
		tl_finding__filter(f, "%s && %s && tcp.port==%u && tcp.port==%u", client, server,
				   g->subject.client.port, g->subject.server.port);
	else
		tl_finding__filter(f,
				   "%s%s%s && tcp.port==%u && (tcp.len>0 || tcp.flags.fin==1 || "
				   "tcp.flags.reset==1)",
				   g->many_clients ? "" : client, g->many_clients ? "" : " && ",
				   server, g->subject.server.port);
}

void tls_words__write(const struct tls_group *group, struct tl_finding *finding)
{
	finding->first_ns = group->first_ns;
	finding->last_ns = group->last_ns;
	finding->count = group->flows;
	finding->subject = group->subject;
	finding->evidence_count = 0;
	finding->counter_evidence_count = 0;
	finding->detail_count = 0;
	if (group->kind == TLS_KIND_FAILED)
		write_failed(group, finding);
	else if (group->kind == TLS_KIND_INCOMPLETE)
		write_incomplete(group, finding);
	else
		write_expired(group, finding);
	tl_finding__detail_u64(finding, "flows", group->flows);
	write_evidence(group, finding);
	write_filter(group, finding);
}
