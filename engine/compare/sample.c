/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first pass; see sample.h. */
#include "sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "print.h"
#include "reader.h"
#include "tapline/decode.h"

#define SAMPLE_ROOM  131072u
#define PAYLOAD_SEEN 32u /* of packets without numbers of their own */
#define DRIFT_MAX    200 /* ppm: no clock is worse */
#define PAIRS_MIN    5u
#define COPIES_NS    20000000ull
#define PROTO_TCP    6

struct sampled {
	uint64_t whole;
	uint64_t ts_ns;
	uint8_t src[16];
	uint8_t ttl;
};

struct side {
	struct sampled *at; /* owned */
	uint32_t count;
	uint64_t threshold;
	bool by_body; /* nothing matched by whole prints: sequence numbers are not the same */
};

static int compare(const void *left, const void *right)
{
	const struct sampled *a = left, *b = right;

	if (a->whole != b->whole)
		return a->whole < b->whole ? -1 : 1;
	return (a->ts_ns > b->ts_ns) - (a->ts_ns < b->ts_ns);
}

static void keep_below(struct side *s, uint64_t threshold)
{
	uint32_t kept = 0;

	s->threshold = threshold;
	for (uint32_t i = 0; i < s->count; i++)
		if (s->at[i].whole < threshold)
			s->at[kept++] = s->at[i];
	s->count = kept;
}

static void add(struct side *s, const struct print *p)
{
	uint64_t key = s->by_body ? p->by_body : p->whole;

	if (!key)
		return;
	while (s->count == SAMPLE_ROOM && s->threshold > 1)
		keep_below(s, s->threshold / 2);
	if (key >= s->threshold || s->count == SAMPLE_ROOM)
		return;
	s->at[s->count] = (struct sampled){ .whole = key, .ts_ns = p->ts_ns, .ttl = p->ttl };
	memcpy(s->at[s->count++].src, p->src, 16);
}

/*
 * Prints that came more than once tell nothing of time, unless they came together: then they are
 * copies by a mirror, and the first one stands for all.
 */
static void drop_repeated(struct side *s)
{
	uint32_t kept = 0, to;

	if (s->count)
		qsort(s->at, s->count, sizeof(s->at[0]), compare);
	for (uint32_t from = 0; from < s->count; from = to) {
		for (to = from + 1; to < s->count && s->at[to].whole == s->at[from].whole;)
			to++;
		if (s->at[to - 1].ts_ns - s->at[from].ts_ns <= COPIES_NS)
			s->at[kept++] = s->at[from];
	}
	s->count = kept;
}

static void note_packet(struct overview *o, uint32_t side, const struct tl_packet *p,
			const struct tl_layers *l)
{
	if (!o->packets[side]++ || p->ts_ns < o->first_ns[side])
		o->first_ns[side] = p->ts_ns;
	if (p->ts_ns > o->last_ns[side])
		o->last_ns[side] = p->ts_ns;
	if (p->wirelen > o->longest[side])
		o->longest[side] = p->wirelen;
	if (l->ip_version && l->payload_caplen < l->payload_bytes &&
	    l->payload_caplen < o->payload_limit)
		o->payload_limit = l->payload_caplen;
}

static int read_side(const struct tl_compare_opts *opts, uint32_t side, struct overview *o,
		     struct side *sample)
{
	struct tl_error error;
	struct reader *reader = malloc(sizeof(*reader));
	const struct tl_packet *p;
	struct print print;
	int err;

	if (!reader)
		return -ENOMEM;
	err = reader__open(reader, opts->path[side], &error);
	while (!err && (p = reader__next(reader))) {
		struct tl_layers l;
		uint32_t seen;

		tl_decode(p, &l);
		note_packet(o, side, p, &l);
		seen = l.proto == PROTO_TCP && !sample->by_body ? 0 : PAYLOAD_SEEN;
		if (l.payload_caplen < seen)
			seen = 0;
		if (print__take(p, &l, seen, &print))
			add(sample, &print);
	}
	if (!err)
		reader__close(reader);
	free(reader);
	return err;
}

/* Pairs of both sides, at most `room`; both sorted. */
static size_t join(const struct side sides[2], struct clock_pair *ret_pairs, uint32_t (*ret_at)[2])
{
	size_t n = 0;
	uint32_t a = 0, b = 0;

	while (a < sides[0].count && b < sides[1].count) {
		const struct sampled *x = &sides[0].at[a], *y = &sides[1].at[b];

		if (x->whole == y->whole) {
			ret_pairs[n].a_ns = x->ts_ns;
			ret_pairs[n].delta_ns = (int64_t)(y->ts_ns - x->ts_ns);
			ret_at[n][0] = a;
			ret_at[n++][1] = b;
		}
		a += x->whole <= y->whole;
		b += y->whole <= x->whole;
	}
	return n;
}

static void learn(struct hosts *hosts, const uint8_t ip[16], int ttl_lost, double delta_ns)
{
	struct host *h = hosts__get(hosts, ip, true);

	if (!h)
		return;
	h->votes += (ttl_lost > 0) - (ttl_lost < 0);
	h->samples++;
	h->delta_ns += delta_ns;
}

/* Packets that both sides sampled. */
struct matched {
	struct clock_pair *pairs;
	uint32_t (*at)[2]; /* of each pair, where it is in the samples of the sides */
	size_t count;
};

static void fit(const struct side sides[2], const struct matched *m, struct overview *o,
		struct hosts *hosts)
{
	struct clock_pair *pairs = m->pairs;
	uint32_t(*at)[2] = m->at;
	size_t n = m->count;
	int64_t *deltas = malloc(n * sizeof(*deltas));
	int64_t slack, mode;
	size_t kept = 0;

	if (!deltas)
		return;
	for (size_t i = 0; i < n; i++)
		deltas[i] = pairs[i].delta_ns;
	slack = (int64_t)((o->last_ns[0] - o->first_ns[0]) / (1000000 / DRIFT_MAX));
	mode = clock__mode(deltas, n, slack);
	free(deltas);
	for (size_t i = 0; i < n; i++) {
		const struct sampled *a = &sides[0].at[at[i][0]], *b = &sides[1].at[at[i][1]];
		int64_t off = pairs[i].delta_ns - mode;

		if (off > 100000000 + slack || off < -100000000 - slack)
			continue;
		learn(hosts, a->src, (int)a->ttl - b->ttl, (double)off);
		if (memcmp(a->src, b->src, 16))
			learn(hosts, b->src, (int)a->ttl - b->ttl, (double)off);
		pairs[kept] = pairs[i];
		at[kept][0] = at[i][0];
		at[kept++][1] = at[i][1];
	}
	hosts__settle(hosts);
	for (size_t i = 0; i < kept; i++) {
		const uint8_t *src = sides[0].at[at[i][0]].src;

		pairs[i].direction = hosts__direction(hosts, src, src) == TL_COMPARE_B_TO_A;
	}
	o->has_clock = kept >= PAIRS_MIN;
	if (kept)
		clock__fit(pairs, kept, &o->clock);
}

static int pair_up(struct side sides[2], struct overview *o, struct hosts *hosts)
{
	uint64_t threshold =
		sides[0].threshold < sides[1].threshold ? sides[0].threshold : sides[1].threshold;
	struct clock_pair *pairs = malloc(SAMPLE_ROOM * sizeof(*pairs));
	uint32_t(*at)[2] = malloc(SAMPLE_ROOM * sizeof(*at));
	size_t n;

	if (pairs && at) {
		for (int i = 0; i < 2; i++) {
			keep_below(&sides[i], threshold);
			drop_repeated(&sides[i]);
		}
		n = join(sides, pairs, at);
		if (n)
			fit(sides, &(struct matched){ pairs, at, n }, o, hosts);
	}
	n = pairs && at;
	free(pairs);
	free(at);
	return n ? 0 : -ENOMEM;
}

static int take(const struct tl_compare_opts *opts, bool by_body, struct overview *o,
		struct hosts *hosts)
{
	struct side sides[2] = { { .threshold = UINT64_MAX, .by_body = by_body },
				 { .threshold = UINT64_MAX, .by_body = by_body } };
	int err = 0;

	memset(o, 0, sizeof(*o));
	o->payload_limit = UINT32_MAX;
	for (uint32_t i = 0; i < 2 && !err; i++) {
		sides[i].at = malloc(SAMPLE_ROOM * sizeof(*sides[i].at));
		err = sides[i].at ? read_side(opts, i, o, &sides[i]) : -ENOMEM;
	}
	if (!err)
		err = pair_up(sides, o, hosts);
	free(sides[0].at);
	free(sides[1].at);
	return err;
}

int sample__take(const struct tl_compare_opts *opts, struct tl_error *ret_error,
		 struct overview *ret_overview, struct hosts *ret_hosts)
{
	int err = 0;

	/* What is wrong with a file is found, and said, here. */
	for (int i = 0; i < 2 && !err; i++) {
		struct reader *reader = malloc(sizeof(*reader));

		err = reader ? reader__open(reader, opts->path[i], ret_error) : -ENOMEM;
		if (!err)
			reader__close(reader);
		free(reader);
	}
	if (!err)
		err = take(opts, false, ret_overview, ret_hosts);
	if (!err && !ret_overview->has_clock) {
		memset(ret_hosts, 0, sizeof(*ret_hosts));
		err = take(opts, true, ret_overview, ret_hosts);
	}
	return err;
}
