/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The results of tapline bench as an SVG: a bar a row, in millions of packets a second, with the
 * spread of the repeats as a line over its end.
 */
#include <errno.h>
#include <inttypes.h>

#include "bench.h"

#define WIDTH 760.0
#define LEFT  210.0
#define RIGHT 130.0
#define TOP   56.0
#define ROW   24.0
#define BAR   16.0
#define PLOT  (WIDTH - LEFT - RIGHT)

static double largest_mpps(const struct bench_result *results, uint32_t count)
{
	double most = 0;

	for (uint32_t i = 0; i < count; i++) {
		double mpps = bench__mpps(&results[i], results[i].ns[0]);

		most = mpps > most ? mpps : most;
	}
	return most > 0 ? most : 1;
}

static void write_text(const char *text, FILE *out)
{
	for (; *text; text++) {
		if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '&')
			fputs("&amp;", out);
		else
			fputc(*text, out);
	}
}

static void write_row(const struct bench_result *r, double y, double scale, FILE *out)
{
	double mpps = bench__mpps(r, bench__median_ns(r));
	double low = LEFT + bench__mpps(r, r->ns[r->repeats - 1]) * scale;
	double high = LEFT + bench__mpps(r, r->ns[0]) * scale;
	double middle = y + BAR / 2;

	fprintf(out,
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s, %" PRIu32 " worker%s</text>\n",
		LEFT - 8, y + BAR - 4, bench__stage_name(r->stage), r->workers,
		r->workers == 1 ? "" : "s");
	fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n",
		LEFT, y, mpps * scale, BAR, r->workers == 1 ? "#4a7ab5" : "#8fb3dc");
	fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#222\"/>\n",
		low, middle, high, middle);
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">%.2f Mpps, %.0f ns</text>\n",
		(high > LEFT + mpps * scale ? high : LEFT + mpps * scale) + 6, y + BAR - 4, mpps,
		bench__median_ns(r));
}

int bench__plot(const struct bench_result *results, uint32_t count, const char *title, FILE *out)
{
	double scale = PLOT / largest_mpps(results, count);
	double height = TOP + ROW * count + 24;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"12\" y=\"22\" font-size=\"15\">",
		WIDTH, height);
	write_text(title, out);
	fputs("</text>\n<text x=\"12\" y=\"40\" fill=\"#555\">millions of packets a second, all "
	      "workers; line: spread of the repeats; ns: a packet and core</text>\n",
	      out);
	for (uint32_t i = 0; i < count; i++)
		write_row(&results[i], TOP + ROW * i, scale, out);
	fputs("</svg>\n", out);
	return ferror(out) ? -EIO : 0;
}
