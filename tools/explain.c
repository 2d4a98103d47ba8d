/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See explain.h. The text is the document itself, so that there is one truth:
 *
 *	## tcp.loss                  a section begins, and is that kind's
 *	**Says** that …              marks of emphasis and code go
 *	```                          a drawing or a table stays as it is
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "explain.h"

#define SECTION "## "

extern const char diagnosis_text[] __attribute__((visibility("hidden")));

__asm__(".pushsection .rodata\n"
	".hidden diagnosis_text\n"
	".global diagnosis_text\n"
	"diagnosis_text:\n"
	".incbin \"" TAPLINE_DIAGNOSIS_TEXT "\"\n"
	".byte 0\n"
	".popsection\n");

/* A line without its end; false behind the last. */
static bool next_line(const char **at, const char **ret_line, size_t *ret_bytes)
{
	const char *end;

	if (!**at)
		return false;
	end = strchrnul(*at, '\n');
	*ret_line = *at;
	*ret_bytes = (size_t)(end - *at);
	*at = *end ? end + 1 : end;
	return true;
}

/* The kind whose section begins with this line; 0: none does. */
static size_t heading(const char *line, size_t bytes, const char **ret_kind)
{
	size_t mark = strlen(SECTION);

	if (bytes <= mark || memcmp(line, SECTION, mark))
		return 0;
	*ret_kind = line + mark;
	return bytes - mark;
}

/* "tcp" is asked for: all that begin with "tcp."; "tcp.loss": that one. */
static bool is_asked_for(const char *asked, const char *kind, size_t bytes)
{
	size_t n = strlen(asked);

	return n <= bytes && !memcmp(asked, kind, n) && (n == bytes || kind[n] == '.');
}

static void print_line(const char *line, size_t bytes, bool is_drawing, FILE *out)
{
	for (size_t i = 0; i < bytes; i++) {
		bool is_mark = line[i] == '`' || line[i] == '*';

		/* "2 * 3" is no mark: one stands at a word */
		if (is_mark && i + 1 < bytes && line[i + 1] == ' ' && (!i || line[i - 1] == ' '))
			is_mark = false;
		if (is_drawing || !is_mark)
			fputc(line[i], out);
	}
	fputc('\n', out);
}

/* Prints the sections asked for; how many. */
static unsigned print_sections(const char *asked, FILE *out)
{
	const char *at = diagnosis_text, *line, *kind;
	bool inside = false, is_drawing = false;
	unsigned count = 0;
	size_t bytes, n;

	while (next_line(&at, &line, &bytes)) {
		n = heading(line, bytes, &kind);
		if (n)
			inside = is_asked_for(asked, kind, n);
		if (!inside)
			continue;
		if (n) {
			fprintf(out, "%s%.*s\n", count++ ? "\n" : "", (int)n, kind);
		} else if (bytes >= 3 && !memcmp(line, "```", 3)) {
			is_drawing = !is_drawing;
		} else if (bytes || *at != '#') { /* no empty line before the next section */
			print_line(line, bytes, is_drawing, out);
		}
	}
	return count;
}

static void print_names(FILE *out)
{
	const char *at = diagnosis_text, *line, *kind;
	size_t bytes, n;

	while (next_line(&at, &line, &bytes))
		if ((n = heading(line, bytes, &kind)))
			fprintf(out, "%.*s\n", (int)n, kind);
}

/* Kinds of the same family; if there are none, the families. */
static void find_near(const char *asked, char *ret_near, size_t near_bytes)
{
	size_t family = strcspn(asked, "."), used = 0;

	*ret_near = 0;
	for (int pass = 0; pass < 2 && !used; pass++) {
		const char *at = diagnosis_text, *line, *kind, *last = "";
		size_t bytes, n, last_bytes = 0;

		while (next_line(&at, &line, &bytes)) {
			size_t shown;

			n = heading(line, bytes, &kind);
			shown = pass && n ? (size_t)((const char *)memchr(kind, '.', n) - kind) : n;
			if (!n || (!pass && (shown <= family || kind[family] != '.' ||
					     memcmp(kind, asked, family))))
				continue;
			if (pass && shown == last_bytes && !memcmp(kind, last, shown))
				continue;
			last = kind;
			last_bytes = shown;
			used += (size_t)snprintf(ret_near + used, near_bytes - used, "%s%.*s",
						 used ? ", " : "", (int)shown, kind);
			if (used >= near_bytes)
				return;
		}
	}
}

int explain__print(const char *kind, FILE *out, char *ret_near, size_t near_bytes)
{
	if (!strcmp(kind, "list")) {
		print_names(out);
	} else if (!*kind || !print_sections(kind, out)) {
		find_near(kind, ret_near, near_bytes);
		return -ENOENT;
	}
	return fflush(out) || ferror(out) ? -EIO : 0;
}
