/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tl_cli */
/* diagnose --explain: each kind of finding has its section, and only that is printed. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

/* All kinds that users may rely on. */
static const char *const kinds[] = {
	"app.no_response",
	"app.slow",
	"compare.delayed",
	"compare.duplicated",
	"compare.lost",
	"compare.modified",
	"compare.nat",
	"connect.no_answer",
	"connect.queue_overflow",
	"connect.refused",
	"connect.return_path",
	"connect.unreachable",
	"dns.error",
	"dns.no_answer",
	"dns.slow",
	"http.body_mismatch",
	"http.error",
	"latency.breakdown",
	"mirror.duplicates",
	"mirror.loss",
	"mirror.one_way",
	"packet.corrupt",
	"service.crash",
	"tcp.idle_timeout",
	"tcp.loss",
	"tcp.port_reuse",
	"tcp.reset",
	"tcp.zero_window",
	"tls.certificate_expired",
	"tls.handshake_failed",
	"tls.incomplete_chain",
	"traffic.microburst",
	"traffic.periodic",
	"traffic.top_talker",
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct told {
	int rc;
	char *text;
	char near[256];
};

static struct told explain(const char *kind)
{
	struct told told = { 0 };
	size_t bytes;
	FILE *out = open_memstream(&told.text, &bytes);

	cr_assert_not_null(out);
	told.rc = explain__print(kind, out, told.near, sizeof(told.near));
	fclose(out);
	return told;
}

Test(explain, each_kind_has_a_section_of_its_own)
{
	for (size_t i = 0; i < KINDS; i++) {
		struct told told = explain(kinds[i]);
		size_t name = strlen(kinds[i]);

		cr_expect_eq(told.rc, 0, "%s", kinds[i]);
		cr_expect(!strncmp(told.text, kinds[i], name) && told.text[name] == '\n', "%s",
			  told.text);
		cr_expect_gt(strlen(told.text), 300, "%s says little", kinds[i]);
		cr_expect_null(strstr(told.text, "\n## "), "%s goes on into another", kinds[i]);
		cr_expect_not_null(strstr(told.text, "Guards"), "%s: no guards", kinds[i]);
		cr_expect_not_null(strstr(told.text, "Source"), "%s: no sources", kinds[i]);
		cr_expect_not_null(strstr(told.text, "Example"), "%s: no example", kinds[i]);
		cr_expect_null(strstr(told.text, "**"), "%s has marks left", kinds[i]);
		free(told.text);
	}
}

Test(explain, list_names_each_once_and_nothing_else)
{
	struct told told = explain("list");
	size_t lines = 0;

	for (const char *at = told.text; *at; at++)
		lines += *at == '\n';
	cr_expect_eq(lines, KINDS);
	for (size_t i = 0; i < KINDS; i++)
		cr_expect_not_null(strstr(told.text, kinds[i]), "%s", kinds[i]);
	free(told.text);
}

Test(explain, a_family_is_all_of_its_kinds)
{
	struct told told = explain("tls");

	cr_expect_eq(told.rc, 0);
	cr_expect_not_null(strstr(told.text, "\ntls.incomplete_chain\n"));
	cr_expect_null(strstr(told.text, "\ntcp.loss\n"));
	free(told.text);
}

Test(explain, near_names_for_what_there_is_not)
{
	struct told told = explain("tcp.los");

	cr_expect_eq(told.rc, -ENOENT);
	cr_expect_not_null(strstr(told.near, "tcp.loss"), "%s", told.near);
	cr_expect_null(strstr(told.near, "tls"), "%s", told.near);
	free(told.text);
	told = explain("");
	cr_expect_eq(told.rc, -ENOENT);
	cr_expect_str_eq(told.near,
			 "app, compare, connect, dns, http, latency, mirror, packet, service, "
			 "tcp, tls, traffic");
	free(told.text);
}
