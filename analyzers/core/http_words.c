/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What http.* says: severity, confidence, words, evidence and display filter of a group. Pure
 * functions of the group and its context; control thread only.
 */
#include <stdio.h>
#include <string.h>

#include "core/http.h"
#include "core/text.h"

#define TOO_LARGE 413

struct words {
	const struct http_group *g;
	const struct http_context *c;
	const struct http_report *r; /* the first one */
	char server[TL_TEXT_ENDPOINT];
	char who[TL_TEXT_IP + 16];
	char uri[TL_HTTP_URI];
	char what[TL_HTTP_URI + TL_HTTP_METHOD + 2]; /* "POST /api/user" */
	char times[40];				     /* "", ", 7 times" */
};

static struct words words_of(const struct http_group *g, const struct http_context *c)
{
	struct words w = { .g = g, .c = c, .r = &g->first };

	tl_text__endpoint(&g->subject.server, w.server);
	if (g->clients == 1)
		tl_text__ip(&g->subject.client, w.who);
	else
		snprintf(w.who, sizeof(w.who), "%u%s clients", g->clients,
			 g->clients == HTTP_GROUP_CLIENTS ? " or more" : "");
	if (g->one_uri)
		snprintf(w.uri, sizeof(w.uri), "%s", g->first.uri);
	else
		tl_http__uri_template(g->first.uri, w.uri);
	if (g->key.is_wide)
		snprintf(w.what, sizeof(w.what), "many URIs");
	else
		snprintf(w.what, sizeof(w.what), "%s %s", g->first.method, w.uri);
	if (g->count > 1)
		snprintf(w.times, sizeof(w.times), ", %llu times", (unsigned long long)g->count);
	return w;
}

static bool is_mismatch(const struct words *w)
{
	return w->g->key.observation != HTTP_STATUS;
}

static bool is_too_large(const struct words *w)
{
	return w->r->status == TOO_LARGE && (!is_mismatch(w) || !w->r->is_response);
}

static void cause_too_large(struct tl_finding *f, const char *server)
{
	tl_finding__cause(f, "the body is larger than the server or a proxy in front of it allows: "
			     "a size limit (nginx client_max_body_size, Apache LimitRequestBody)");
	tl_finding__next(f,
			 "raise the limit on %s (and on each proxy on the way), or send less; its "
			 "log may hide this at its level",
			 server);
}

/* --- http.body_mismatch --------------------------------------------------------------------------
 */

static void write_short_request(const struct words *w, struct tl_finding *f)
{
	const struct http_report *r = w->r;

	if (is_too_large(w)) {
		cause_too_large(f, w->server);
	} else if (r->status) {
		tl_finding__cause(f, "the server answered %u before the body was complete%s",
				  r->status,
				  r->status == 408 || r->status == 400
					  ? ": it waited in vain for the bytes that Content-Length "
					    "promised"
					  : ", and the client sent no more");
		tl_finding__next(f, "look at the log of %s for this request", w->server);
	} else {
		tl_finding__cause(
			f, "%s",
			r->end_kind == HTTP_END_SILENCE
				? "the client stopped sending: its Content-Length is larger than "
				  "its body, and both sides wait"
			: r->is_ended_by_client
				? "the client gave up, or its Content-Length is larger than its "
				  "body"
				: "the server or a box between cut the connection before the body "
				  "was complete");
		tl_finding__next(f,
				 "how does the client compute Content-Length (characters instead "
				 "of bytes? a proxy that rewrites the body?)");
	}
}

static void write_short_response(const struct words *w, struct tl_finding *f)
{
	if (w->r->is_ended_by_client && w->r->end_kind != HTTP_END_SILENCE) {
		tl_finding__cause(f, "the client closed the connection before it had the whole "
				     "body: a cancelled download, or a client's time-out");
		tl_finding__next(f, "nothing, if people cancel here; else look at time-outs of %s",
				 w->who);
		return;
	}
	tl_finding__cause(f, "%s",
			  w->r->end_kind == HTTP_END_SILENCE
				  ? "the server stopped sending in the middle of a body"
				  : "the server, or a proxy, closed the connection before the body "
				    "was complete: a crash or time-out behind it, or a wrong "
				    "Content-Length");
	tl_finding__next(f,
			 "look at the log of %s for this request (nginx: \"upstream prematurely "
			 "closed connection\")",
			 w->server);
}

static void write_excess(const struct words *w, struct tl_finding *f)
{
	tl_finding__cause(f,
			  "the %s computes Content-Length wrong: bytes follow the body that begin "
			  "no message; the peer takes them for the next one (RFC 9112, section "
			  "6.3; request smuggling)",
			  w->r->is_response ? "server" : "client");
	tl_finding__next(f, "how is Content-Length computed (characters instead of bytes? before "
			    "compression?)");
}

static void write_mismatch(const struct words *w, struct tl_finding *f)
{
	const struct http_report *r = w->r;
	const char *side = r->is_response ? "response" : "request";

	if (w->g->key.observation == HTTP_SHORT)
		tl_finding__summary(
			f,
			"%s of %s to %s: the %s body ended after %llu of the %llu bytes "
			"that Content-Length declares%s",
			w->what, w->who, w->server, side, (unsigned long long)r->observed,
			(unsigned long long)r->declared, w->times);
	else if (!r->declared)
		tl_finding__summary(f,
				    "%s of %s to %s: %llu bytes follow the %s, which declares no "
				    "body, and begin no message%s",
				    w->what, w->who, w->server, (unsigned long long)r->observed,
				    side, w->times);
	else
		tl_finding__summary(f,
				    "%s of %s to %s: %llu bytes follow the %s body of %llu bytes "
				    "that Content-Length declares, and begin no message%s",
				    w->what, w->who, w->server,
				    (unsigned long long)(r->observed - r->declared), side,
				    (unsigned long long)r->declared, w->times);
	if (w->g->key.observation == HTTP_EXCESS)
		write_excess(w, f);
	else if (r->is_response)
		write_short_response(w, f);
	else
		write_short_request(w, f);
	tl_finding__detail_u64(f, "declared", r->declared);
	tl_finding__detail_u64(f, "observed", r->observed);
	tl_finding__detail_string(f, "side", side);
	if (r->status)
		tl_finding__detail_u64(f, "status", r->status);
	else
		tl_finding__detail_null(f, "status");
}

static enum tl_severity severity_of_mismatch(const struct words *w)
{
	const struct http_report *r = w->r;

	if (w->g->key.observation == HTTP_EXCESS)
		return r->is_response ? TL_WARNING : TL_ERROR;
	if (r->is_response) {
		if (r->end_kind == HTTP_END_SILENCE)
			return TL_WARNING;
		return r->is_ended_by_client ? TL_INFO : TL_ERROR;
	}
	switch (r->status) {
	case 0:
		return r->is_ended_by_client ? TL_WARNING : TL_ERROR;
	case 400:
	case 408:
		return TL_WARNING;
	case TOO_LARGE:
		return TL_ERROR;
	default:
		/* A server may refuse early, and a client then stops (RFC 9110, section 15.5). */
		return TL_INFO;
	}
}

/* --- http.error ----------------------------------------------------------------------------------
 */

static void cause_of_status(const struct words *w, struct tl_finding *f)
{
	uint16_t status = w->r->status;
	const char *cause = "the server refuses the request";

	if (is_too_large(w)) {
		cause_too_large(f, w->server);
		return;
	}
	if (status == 502)
		cause = "a proxy gets no valid answer from the server behind it: it is down, "
			"crashes, or closes idle connections that the proxy reuses";
	else if (status == 503)
		cause = "the server is overloaded or in maintenance, or a proxy has no healthy "
			"server left";
	else if (status == 504)
		cause = "a proxy waited too long for the server behind it";
	else if (status >= 500)
		cause = "the application failed";
	else if (status == 400)
		cause = "the server does not understand the request: malformed, or changed on the "
			"way";
	else if (status == 401 || status == 407)
		cause = "the client is asked to log in (normal at first), or its credentials are "
			"wrong";
	else if (status == 403)
		cause = "the client may not do this";
	else if (status == 404 || status == 410)
		cause = "there is no such resource: a wrong link, or a probe";
	else if (status == 408)
		cause = "the request did not arrive in time";
	else if (status == 429)
		cause = "the client asks too often: a rate limit";
	else if (status == 431 || status == 414)
		cause = "header lines or the URI are larger than the server allows (cookies?)";
	tl_finding__cause(f, "%s", cause);
	tl_finding__next(f, "look at the log of %s%s", w->server,
			 status == 502 || status == 504 ? " and of the servers behind it" : "");
}

static void write_error(const struct words *w, struct tl_finding *f)
{
	tl_finding__summary(f, "%s answers %u to %s of %s%s", w->server, w->r->status, w->what,
			    w->who, w->times);
	cause_of_status(w, f);
	tl_finding__detail_u64(f, "status", w->r->status);
	tl_finding__detail_u64(f, "count", w->g->count);
	if (w->r->status == TOO_LARGE && w->r->declared)
		tl_finding__detail_u64(f, "declared", w->r->declared);
}

static enum tl_severity severity_of_status(uint16_t status)
{
	if (status >= 500)
		return status == 501 || status == 505 ? TL_WARNING : TL_ERROR;
	switch (status) {
	case 400:
	case 408:
	case TOO_LARGE:
	case 414:
	case 421:
	case 429:
	case 431:
		return TL_WARNING;
	default:
		return TL_INFO;
	}
}

/* --- weight, evidence and filter -----------------------------------------------------------------
 */

static void weigh(const struct words *w, struct tl_finding *f)
{
	if (!is_mismatch(w)) {
		f->severity = severity_of_status(w->r->status);
		f->confidence = 0.98;
	} else {
		f->severity = severity_of_mismatch(w);
		f->confidence = w->r->end_kind == HTTP_END_SILENCE ? 0.8 : 0.95;
		if (w->c->unseen) {
			f->confidence -= 0.15;
			tl_finding__counter_evidence(
				f, 0, w->g->last_ns,
				"%llu packets were lost, sampled out or not analyzed here",
				(unsigned long long)w->c->unseen);
		}
	}
	if (w->c->is_consequence) {
		f->severity = TL_INFO;
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "tcp.reset or service.crash tells why: it was cut");
	}
	if (w->c->fine)
		tl_finding__counter_evidence(f, 0, w->g->last_ns,
					     "%llu other responses of this server were no errors",
					     (unsigned long long)w->c->fine);
	if (w->c->withheld)
		tl_finding__counter_evidence(
			f, 0, w->g->last_ns,
			"%llu reports were left out under load: counts are too low",
			(unsigned long long)w->c->withheld);
}

static void write_evidence(const struct words *w, struct tl_finding *f)
{
	const struct http_report *r = w->r;

	for (uint32_t i = 0; i < w->g->proof_count; i++) {
		const struct http_group_proof *p = &w->g->proof[i];
		const char *body = w->g->key.observation == HTTP_EXCESS
					   ? "bytes behind the body"
					   : "the last bytes of the body";

		switch ((enum http_what)p->what) {
		case HTTP_WHAT_REQUEST:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "request %s %.48s",
					     w->g->key.is_wide ? "" : r->method,
					     w->g->key.is_wide ? "" : w->uri);
			break;
		case HTTP_WHAT_RESPONSE:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "response, %u",
					     r->status);
			break;
		case HTTP_WHAT_BODY:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "%s", body);
			break;
		case HTTP_WHAT_END:
			tl_finding__evidence(f, p->proof.frame, p->proof.ts_ns, "%s",
					     r->end_kind == HTTP_END_RST ? "RST" : "FIN");
			break;
		}
	}
}

/* Whole conversations: a FIN is no HTTP, and a head may be shown in the frame of its body's end. */
static void write_filter(const struct words *w, struct tl_finding *f)
{
	const struct http_group *g = w->g;
	char server[TL_TEXT_FILTER], client[TL_TEXT_FILTER] = "", port[40] = "";

	tl_text__ip_filter(&g->subject.server, server);
	if (g->clients == 1)
		tl_text__ip_filter(&g->subject.client, client);
	if (g->flows == 1)
		snprintf(port, sizeof(port), " && tcp.port==%u", g->subject.client.port);
	tl_finding__filter(f, "%s%s%s && tcp.port==%u%s", client, *client ? " && " : "", server,
			   g->subject.server.port, port);
}

void http_words__write(const struct http_group *group, const struct http_context *context,
		       struct tl_finding *finding)
{
	struct words w = words_of(group, context);

	finding->first_ns = group->first_ns;
	finding->last_ns = group->last_ns;
	finding->count = group->count;
	finding->subject = group->subject;
	finding->evidence_count = 0;
	finding->counter_evidence_count = 0;
	finding->detail_count = 0;
	if (is_mismatch(&w))
		write_mismatch(&w, finding);
	else
		write_error(&w, finding);
	if (group->key.is_wide) {
		tl_finding__detail_null(finding, "method");
		tl_finding__detail_null(finding, "uri");
	} else {
		tl_finding__detail_string(finding, "method", w.r->method);
		tl_finding__detail_string(finding, "uri", w.uri);
	}
	tl_finding__detail_u64(finding, "flows", group->flows);
	tl_finding__detail_u64(finding, "clients", group->clients);
	weigh(&w, finding);
	write_evidence(&w, finding);
	write_filter(&w, finding);
}
