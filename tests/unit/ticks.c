/* SPDX-License-Identifier: GPL-2.0-or-later */
/* links: tapline_analyzers tl_decode tl_flow tl_export */
/*
 * What is said depends on packets and their times, never on who asked when: the rule for ticks, and
 * all analyzers, with conversations and pauses between them, as from a file and as on a wire.
 */
#include <criterion/criterion.h>
#include <dirent.h>

#include "fuzz/drive.h"
#include "fuzz/script.h"

#define MS     1000000ull
#define SECOND (1000 * MS)
#define DAY    (86400 * SECOND)
#define T0     (1795341600 * SECOND)

/* --- the rule -------------------------------------------------------------------------------- */

#define TICKS_MAX 20000u

struct grid {
	struct tl_ticks ticks;
	uint64_t at[TICKS_MAX];
	uint32_t count;
};

static void note(struct grid *g, uint64_t until_ns, bool is_event)
{
	uint64_t tick_ns;

	while (tl_ticks__next(&g->ticks, until_ns, is_event, &tick_ns)) {
		cr_assert_lt(g->count, TICKS_MAX);
		cr_assert_leq(tick_ns, until_ns);
		cr_assert_eq(tick_ns % TL_TICK_NS, 0);
		cr_assert(!g->count || tick_ns > g->at[g->count - 1]);
		g->at[g->count++] = tick_ns;
	}
}

static void event(struct grid *g, uint64_t ns)
{
	if (!g->ticks.now_ns)
		tl_ticks__begin(&g->ticks, tl_ticks__before(ns));
	note(g, ns, true);
	cr_assert(tl_ticks__covers(&g->ticks, ns));
	tl_ticks__hear(&g->ticks);
}

Test(ticks, whoever_asks_when_the_same_ones_come)
{
	static const uint64_t pauses[] = { 0,	     3 * MS,	 99 * MS,     101 * MS,
					   950 * MS, 9 * SECOND, 31 * SECOND, 1501 * SECOND,
					   7 * MS,   15700 * MS };
	static const uint64_t steps[] = { 1 * MS, 37 * MS, 100 * MS, 1900 * MS, 33 * SECOND };
	static struct grid file, wire;
	uint64_t ns;

	for (uint32_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
		file = wire = (struct grid){ 0 };
		ns = T0 + 42 * MS;
		for (uint32_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
			uint64_t until_ns = ns + pauses[i];

			for (; ns < until_ns; ns += steps[s])
				note(&wire, ns, false);
			ns = until_ns;
			event(&file, ns);
			event(&wire, ns);
		}
		cr_assert_eq(file.count, wire.count, "%u and %u", file.count, wire.count);
		cr_expect_arr_eq(file.at, wire.at, file.count * sizeof(file.at[0]));
	}
}

Test(ticks, each_of_them_comes_while_packets_do)
{
	static struct grid g;

	for (uint64_t ms = 50; ms < 60000; ms += 70)
		event(&g, T0 + ms * MS);
	cr_expect_eq(g.count, 599);
	for (uint32_t i = 0; i < g.count; i++)
		cr_expect_eq(g.at[i], T0 + (i + 1) * TL_TICK_NS);
}

Test(ticks, what_waits_in_a_silence_learns_of_its_time_a_quarter_late_at_most)
{
	static struct grid g;

	event(&g, T0);
	note(&g, T0 + DAY, false);
	cr_expect_eq(g.at[0], T0 + TL_TICK_NS);
	for (uint32_t i = 1; i < g.count; i++) {
		uint64_t silence = g.at[i - 1] - T0, step = g.at[i] - g.at[i - 1];

		cr_expect(silence < 10 * SECOND ? step == TL_TICK_NS : 4 * step <= silence);
	}
}

Test(ticks, no_silence_costs_many)
{
	static struct grid g;

	event(&g, T0);
	event(&g, T0 + DAY);
	cr_expect_lt(g.count, 200);
	event(&g, T0 + 30 * DAY);
	cr_expect_lt(g.count, 440);
}

Test(ticks, a_clock_that_was_set_is_no_silence)
{
	static struct grid g;

	event(&g, T0);
	event(&g, T0 + 365 * DAY);
	cr_expect_eq(g.count, 0);
	event(&g, T0 + 365 * DAY + 110 * MS);
	cr_expect_eq(g.count, 1);
	cr_expect_eq(g.at[0], T0 + 365 * DAY + TL_TICK_NS);
	event(&g, UINT64_MAX);
	event(&g, UINT64_MAX);
	cr_expect_eq(g.count, 1);
	cr_expect_gt(g.ticks.now_ns, UINT64_MAX - TL_TICK_NS, "the last one of all");
	event(&g, T0); /* and back */
	cr_expect_eq(g.count, 1);
	cr_expect_gt(g.ticks.now_ns, UINT64_MAX - TL_TICK_NS);
}

Test(ticks, totals_are_of_whole_seconds)
{
	uint64_t second = 0;

	cr_expect_not(tl_ticks__second_ended(&second, T0 + 300 * MS), "nothing was counted yet");
	cr_expect_not(tl_ticks__second_ended(&second, T0 + 900 * MS));
	cr_expect(tl_ticks__second_ended(&second, T0 + 1000 * MS));
	cr_expect_not(tl_ticks__second_ended(&second, T0 + 1900 * MS));
	cr_expect(tl_ticks__second_ended(&second, T0 + 60 * SECOND));
}

/* --- all analyzers --------------------------------------------------------------------------- */

#define CORPUS_MAX    64u
#define AT_ONCE	      6u
#define CONVERSATIONS 400u

static struct {
	uint8_t data[65536];
	size_t bytes;
} corpus[CORPUS_MAX];
static uint32_t corpus_count;

static void read_corpus(void)
{
	const char *path = TAPLINE_CORPUS "/analyzers";
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	cr_assert_gt(n, 20, "%s: no corpus", path);
	for (int i = 0; i < n; i++) {
		char name[512];
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s", path, names[i]->d_name);
		f = names[i]->d_name[0] == '.' ? NULL : fopen(name, "rb");
		if (f && corpus_count < CORPUS_MAX) {
			corpus[corpus_count].bytes =
				fread(corpus[corpus_count].data, 1, sizeof(corpus[0].data), f);
			corpus_count++;
			fclose(f);
		}
		free(names[i]);
	}
	free(names);
}

/* Several conversations at once, each its next packet's time ahead; then others, after a pause. */
struct talks {
	uint64_t random, pause_ns;
	uint32_t begun;
	struct script script[AT_ONCE];
	const struct tl_packet *next[AT_ONCE];
};

static uint32_t below(struct talks *t, uint32_t limit)
{
	uint64_t x = t->random += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return (uint32_t)((x >> 32) * limit >> 32);
}

static void begin(struct talks *t, uint32_t at, uint64_t now_ns)
{
	while (!(t->next[at] = script__next(&t->script[at]))) {
		uint32_t i = below(t, corpus_count);

		if (t->begun == CONVERSATIONS)
			return;
		/* Mostly soon, now and then after the pause. */
		now_ns += below(t, 8) ? below(t, 400) * MS : t->pause_ns + below(t, 900) * MS;
		t->script[at].now_ns = now_ns;
		script__start(&t->script[at], corpus[i].data + 1, corpus[i].bytes - 1,
			      ++t->begun % 40);
	}
}

/* The oldest of the next ones; NULL at the end. */
static const struct tl_packet *next_of(struct talks *t, uint32_t *ret_at)
{
	const struct tl_packet *oldest = NULL;

	for (uint32_t i = 0; i < AT_ONCE; i++) {
		if (!t->next[i] || (oldest && t->next[i]->ts_ns >= oldest->ts_ns))
			continue;
		oldest = t->next[i];
		*ret_at = i;
	}
	return oldest;
}

/* What is written of them, to be freed. */
static char *diagnose(uint64_t seed, uint64_t ask_ns, uint64_t pause_ns)
{
	static struct talks t;
	char *json = NULL;
	struct drive *d = drive__start(&(struct drive_opts){
		.flow_memory = 16u << 20, .ask_ns = ask_ns, .ret_json = &json });
	const struct tl_packet *p;
	uint32_t at;

	t = (struct talks){ .random = seed, .pause_ns = pause_ns };
	for (uint32_t i = 0; i < AT_ONCE; i++)
		begin(&t, i, T0);
	while ((p = next_of(&t, &at))) {
		drive__packet(d, p);
		begin(&t, at, t.script[at].now_ns);
	}
	drive__end(d);
	return json;
}

static void compare(uint64_t ask_ns, uint64_t pause_ns)
{
	if (!corpus_count)
		read_corpus();
	for (uint64_t seed = 1; seed <= 4; seed += seed) {
		char *file = diagnose(seed, 0, pause_ns), *wire = diagnose(seed, ask_ns, pause_ns);
		char *a, *b, *rest_a = file, *rest_b = wire;

		cr_assert_gt(strlen(file), 50000);
		while ((a = strsep(&rest_a, "\n")) && (b = strsep(&rest_b, "\n")))
			cr_assert_str_eq(a, b, "seed %u, pauses of %g s, asked each %g ms:\n%s\n%s",
					 (unsigned)seed, (double)pause_ns / 1e9,
					 (double)ask_ns / 1e6, a, b);
		cr_expect(!rest_a && !rest_b);
		free(file);
		free(wire);
	}
}

Test(ticks_analysis, wire_and_file_say_the_same_after_moments)
{
	compare(40 * MS, 170 * MS);
}

Test(ticks_analysis, wire_and_file_say_the_same_after_seconds)
{
	compare(100 * MS, 3 * SECOND + 333 * MS);
}

Test(ticks_analysis, wire_and_file_say_the_same_after_a_minute)
{
	compare(730 * MS, 61 * SECOND);
}

Test(ticks_analysis, wire_and_file_say_the_same_while_findings_settle)
{
	compare(900 * MS, 298 * SECOND + 70 * MS);
}
