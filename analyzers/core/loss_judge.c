/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge of tcp.loss: sums up paths into the sides of the tap where their losses are.
 *
 *	path (client, server, port) ──┬─► client's side (client) ──► finding
 *	                              └─► server's side (server) ──► finding
 *
 * A link that loses is one finding, whoever talks over it; the ways from one host to many others
 * are one link, too. A path takes part in a side from its first loss there on, with all its
 * segments, those before too; until then they wait in the path. All is sums, first and last, so the
 * order in which workers tell makes no difference. Tables are of fixed size. Control thread only.
 *
 * Sides are looked for by marks of 64 bits in arrays of their own: a scan of the sides themselves
 * would be one of a few hundred KiB for each loss, while a hostile capture makes many.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/loss.h"
#include "core/written.h"

#define GROUPS 512u
#define SETS   1024u /* of paths; a power of two */
#define WAYS   8u

#define HOSTS_APART 16u /* with one host on the other side; with more, they are one cause */

#define GONE_SLACK_NS (30 * TL_NS_PER_SEC) /* clients may try anew this much later */

struct part {
	struct loss_traffic waiting;
	uint16_t group; /* index + 1 */
	uint32_t generation;
};

struct path {
	bool used;
	uint64_t used_ns;
	struct tl_endpoint client, server;
	struct part part[2]; /* by side */
};

struct loss_judge {
	struct tl_analyzer_judge view;
	uint64_t withheld;
	uint32_t dirty;
	uint64_t seen_findings; /* their version at the last tick */
	uint32_t group_top;	/* groups from here on were never used */
	uint64_t mark[GROUPS];	/* of a used group's side and host; 0: free */
	uint64_t fan[GROUPS];	/* of the only peer of a group that is not wide; 0: another */
	struct loss_group group[GROUPS];
	uint64_t written[TL_WRITTEN_WORDS(SETS)]; /* of sets of paths */
	struct path path[SETS][WAYS];
};

/* --- paths ----------------------------------------------------------------------------------- */

static bool is_path(const struct path *p, const struct tl_endpoint *client,
		    const struct tl_endpoint *server)
{
	return p->used && p->server.port == server->port &&
	       tl_endpoint__same_host(&p->client, client) &&
	       tl_endpoint__same_host(&p->server, server);
}

static struct path *path_get(struct loss_judge *j, const struct tl_endpoint *client,
			     const struct tl_endpoint *server, uint64_t now_ns)
{
	uint64_t hash = tl_text__hash(server->port, client->ip, 16);
	struct path *set, *oldest;
	uint32_t number;

	hash = tl_text__hash(hash, server->ip, 16);
	number = (uint32_t)hash & (SETS - 1);
	set = oldest = j->path[number];
	for (uint32_t i = 0; i < WAYS && tl_written__has(j->written, number); i++) {
		struct path *p = &set[i];

		if (is_path(p, client, server)) {
			p->used_ns = now_ns;
			return p;
		}
		if (!p->used || (oldest->used && p->used_ns < oldest->used_ns))
			oldest = p;
	}
	tl_written__add(j->written, number);
	*oldest = (struct path){
		.used = true, .used_ns = now_ns, .client = *client, .server = *server
	};
	return oldest;
}

/* The segments of a path, to where they count. */
static void add_traffic(struct path *p, const struct loss_traffic *t)
{
	for (unsigned side = 0; side < 2; side++) {
		struct loss_traffic *sum = &p->part[side].waiting;

		for (unsigned d = 0; d < 2; d++) {
			sum->segments[d] += t->segments[d];
			sum->spurious[d] += t->spurious[d];
			/* What comes out of order was mixed up before the tap. */
			if (loss_side_of(d, LOSS_BEFORE) == side)
				sum->reordered[d] += t->reordered[d];
		}
	}
}

/* --- groups ---------------------------------------------------------------------------------- */

static uint64_t mark_of(unsigned side, bool is_wide, const struct tl_endpoint *host)
{
	return tl_text__hash(side | (unsigned)is_wide << 1, host->ip, 16) | 1u;
}

static struct loss_group *group_find(struct loss_judge *j, unsigned side, bool is_wide,
				     const struct tl_endpoint *host)
{
	const uint64_t mark = mark_of(side, is_wide, host);

	for (uint32_t i = 0; i < j->group_top; i++) {
		struct loss_group *g = &j->group[i];

		if (j->mark[i] == mark && g->side == side && g->is_wide == is_wide &&
		    tl_endpoint__same_host(&g->host, host))
			return g;
	}
	return NULL;
}

static struct loss_group *group_make(struct loss_judge *j, unsigned side, bool is_wide,
				     const struct tl_endpoint *host)
{
	for (uint32_t i = 0; i < GROUPS; i++) {
		struct loss_group *g = &j->group[i];

		if (j->mark[i])
			continue;
		*g = (struct loss_group){
			.used = true,
			.is_wide = is_wide,
			.side = (uint8_t)side,
			.host = *host,
			.one_peer = true,
			.generation = g->generation + 1,
		};
		g->host.port = 0;
		j->mark[i] = mark_of(side, is_wide, host);
		j->fan[i] = 0;
		if (i == j->group_top)
			j->group_top++;
		return g;
	}
	return NULL;
}

static void group_free(struct loss_judge *j, struct loss_group *g)
{
	g->used = g->is_dirty = false;
	j->mark[g - j->group] = j->fan[g - j->group] = 0;
}

/* One more path with a loss leads from the group's host to `peer`: is it still the only peer? */
static void note_peer(struct loss_judge *j, struct loss_group *g, const struct tl_endpoint *peer)
{
	if (!g->peers++)
		g->peer = *peer;
	g->one_peer &= tl_endpoint__same_host(&g->peer, peer);
	j->fan[g - j->group] = g->one_peer && !g->is_wide ? mark_of(g->side, false, peer) : 0;
}

static struct loss_group *group_of(struct loss_judge *j, const struct part *part)
{
	struct loss_group *g = part->group ? &j->group[part->group - 1] : NULL;

	return g && g->used && g->generation == part->generation ? g : NULL;
}

static void touch(struct loss_judge *j, struct loss_group *g)
{
	j->dirty += !g->is_dirty;
	g->is_dirty = true;
}

static struct tl_finding *finding_of(struct loss_judge *j, const struct loss_group *g)
{
	uint8_t key[TL_ENDPOINT_KEY];
	bool is_new;

	tl_endpoint__key(&g->host, key);
	/* No port in it: the side takes its place. */
	key[TL_ENDPOINT_KEY - 1] = (uint8_t)(g->side | g->is_wide << 7);
	return tl_findings__begin(j->view.findings, "tcp.loss", key, sizeof(key), &is_new);
}

static void untell(struct loss_judge *j, struct loss_group *g)
{
	tl_findings__retract(j->view.findings, finding_of(j, g));
	g->told = false;
}

/* A path that takes part already: its segments go on. */
static void pour(struct loss_judge *j, struct part *part)
{
	struct loss_group *g = group_of(j, part);

	if (!g)
		return;
	for (unsigned d = 0; d < 2; d++) {
		g->traffic.segments[d] += part->waiting.segments[d];
		g->traffic.spurious[d] += part->waiting.spurious[d];
		g->traffic.reordered[d] += part->waiting.reordered[d];
	}
	part->waiting = (struct loss_traffic){ 0 };
	touch(j, g);
}

static uint64_t first_ns(const struct loss_group *g)
{
	uint64_t a = g->count[0].early[0].ts_ns, b = g->count[1].early[0].ts_ns;

	return !a || (b && b < a) ? b : a;
}

static uint64_t last_ns(const struct loss_group *g)
{
	uint64_t last = 0;

	for (unsigned d = 0; d < 2; d++) {
		for (unsigned i = 0; i < LOSS_EARLY; i++)
			if (g->count[d].early[i].ts_ns > last)
				last = g->count[d].early[i].ts_ns;
		if (g->count[d].late[LOSS_LATE - 1].ts_ns > last)
			last = g->count[d].late[LOSS_LATE - 1].ts_ns;
	}
	return last;
}

/* What a group held goes to the wide one. */
static void fold(struct loss_judge *j, struct loss_group *g, struct loss_group *wide)
{
	for (unsigned d = 0; d < 2; d++) {
		if (!wide->count[d].early[0].ts_ns)
			wide->count[d].client_port = g->count[d].client_port;
		loss_count__add(&wide->count[d], &g->count[d]);
		wide->traffic.segments[d] += g->traffic.segments[d];
		wide->traffic.spurious[d] += g->traffic.spurious[d];
		wide->traffic.reordered[d] += g->traffic.reordered[d];
	}
	wide->peers += g->peers;
	j->dirty -= g->is_dirty;
	group_free(j, g);
	if (g->told)
		untell(j, g);
}

/* The paths of groups that were folded go with them: `folded` has their generations. */
static void move_paths(struct loss_judge *j, const uint32_t folded[GROUPS],
		       const struct loss_group *wide)
{
	for (uint32_t i = 0; i < SETS * WAYS; i++) {
		struct part *part = &j->path[i / WAYS][i % WAYS].part[wide->side];

		if (!tl_written__has(j->written, i / WAYS) || !part->group ||
		    !folded[part->group - 1] || folded[part->group - 1] != part->generation)
			continue;
		part->group = (uint16_t)(wide - j->group + 1);
		part->generation = wide->generation;
	}
}

static bool is_of_fan(const struct loss_judge *j, uint32_t i, unsigned side,
		      const struct tl_endpoint *peer)
{
	const struct loss_group *g = &j->group[i];

	return j->fan[i] == mark_of(side, false, peer) && g->side == side &&
	       tl_endpoint__same_host(&g->peer, peer);
}

/*
 * One host loses on its way to many, on their side of the tap: that is one cause, and each of them
 * may have lost too little to be told of.
 */
static struct loss_group *widen(struct loss_judge *j, unsigned side, const struct tl_endpoint *peer)
{
	uint32_t folded[GROUPS] = { 0 };
	struct loss_group *wide = NULL;
	uint32_t hosts = 0;

	for (uint32_t i = 0; i < j->group_top; i++)
		hosts += is_of_fan(j, i, side, peer);
	if (hosts >= HOSTS_APART)
		wide = group_make(j, side, true, peer);
	if (!wide)
		return NULL;
	for (uint32_t i = 0; i < j->group_top; i++) {
		struct loss_group *g = &j->group[i];

		if (!is_of_fan(j, i, side, peer))
			continue;
		if (!wide->peers || first_ns(g) < first_ns(wide))
			wide->subject = g->subject;
		folded[i] = g->generation;
		fold(j, g, wide);
	}
	move_paths(j, folded, wide);
	return wide;
}

static struct loss_group *join(struct loss_judge *j, struct path *p, unsigned side)
{
	const struct tl_endpoint *host = side == LOSS_CLIENT_SIDE ? &p->client : &p->server;
	const struct tl_endpoint *peer = side == LOSS_CLIENT_SIDE ? &p->server : &p->client;
	struct part *part = &p->part[side];
	struct loss_group *g = group_of(j, part);

	if (g)
		return g;
	g = group_find(j, side, false, host);
	if (!g)
		g = group_find(j, side, true, peer);
	if (!g)
		g = widen(j, side, peer);
	if (!g)
		g = group_make(j, side, false, host);
	if (!g)
		return NULL;
	note_peer(j, g, peer);
	part->group = (uint16_t)(g - j->group + 1);
	part->generation = g->generation;
	return g;
}

static bool is_empty(const struct loss_count *c)
{
	return !c->lost && !c->bursts && !c->hung_ms && !c->stuck_ms;
}

/* --- observations ---------------------------------------------------------------------------- */

static void observe_path(struct loss_judge *j, const struct tl_observation *o)
{
	struct path *p = path_get(j, &o->subject.client, &o->subject.server, o->ts_ns);
	struct loss_traffic t = { 0 };
	struct loss_path sum;

	memcpy(&sum, o->data, sizeof(sum));
	for (unsigned d = 0; d < 2; d++) {
		t.segments[d] = sum.segments[d];
		t.spurious[d] = sum.spurious[d];
		t.reordered[d] = sum.reordered[d];
	}
	add_traffic(p, &t);
	for (unsigned d = 0; d < 2; d++) {
		for (unsigned place = 0; place < 2; place++) {
			const struct loss_count *c = &sum.count[d][place];
			struct loss_group *g;
			uint64_t before;

			if (is_empty(c))
				continue;
			g = join(j, p, loss_side_of(d, place));
			if (!g) {
				j->withheld++;
				continue;
			}
			before = first_ns(g);
			loss_count__add(&g->count[d], c);
			if (!before || first_ns(g) < before) {
				/* The path's first loss may have been on the other side. */
				g->subject = o->subject;
				if (c->early[0].ts_ns)
					g->subject.client.port = c->client_port;
			}
			touch(j, g);
		}
	}
	pour(j, &p->part[0]);
	pour(j, &p->part[1]);
}

static void observe_totals(struct loss_judge *j, const struct tl_observation *o)
{
	struct loss_totals list;

	memcpy(&list, o->data, sizeof(list));
	j->withheld += list.withheld;
	for (uint32_t i = 0; i < list.count && i < LOSS_TOTALS_MAX; i++) {
		struct loss_traffic t = { .segments = { list.path[i].segments[0],
							list.path[i].segments[1] } };
		struct path *p = path_get(j, &list.path[i].client, &list.path[i].server, o->ts_ns);

		add_traffic(p, &t);
		pour(j, &p->part[0]);
		pour(j, &p->part[1]);
	}
}

/* --- findings -------------------------------------------------------------------------------- */

static int64_t stuck_lost(const struct loss_group *g)
{
	return (int64_t)g->count[0].stuck_lost + g->count[1].stuck_lost;
}

/* Does it say of the group's host that it, or the way to it, is gone? */
static bool says_gone(const struct loss_group *g, const struct tl_finding *f)
{
	const struct tl_subject *s = &f->subject;

	if (!tl_endpoint__same_host(&s->server, &g->host)) {
		/* Of many servers at once the finding names one: then the client is what counts. */
		if (!tl_endpoint__same_host(&s->client, &g->subject.client) ||
		    tl_finding__detail_get_u64(f, "servers") <= 1)
			return false;
	}
	return (!strcmp(f->kind, "connect.no_answer") || !strcmp(f->kind, "connect.unreachable")) &&
	       f->first_ns <= last_ns(g) + GONE_SLACK_NS &&
	       f->last_ns + GONE_SLACK_NS >= first_ns(g);
}

/* One cause, one finding: what was sent again in vain to a host that answers no SYN either. */
static bool is_explained(struct loss_judge *j, struct loss_group *g)
{
	const struct tl_findings *findings = j->view.findings;
	const struct tl_finding *f = NULL;

	if (g->is_explained || g->side != LOSS_SERVER_SIDE || stuck_lost(g) <= 0)
		return g->is_explained;
	while (!g->is_explained &&
	       (f = tl_findings__next_of(findings, TL_FINDING_SERVER, &g->host, f)))
		g->is_explained = says_gone(g, f);
	f = NULL;
	while (!g->is_explained &&
	       (f = tl_findings__next_of(findings, TL_FINDING_CLIENT, &g->subject.client, f)))
		g->is_explained = says_gone(g, f);
	return g->is_explained;
}

/* Of many hosts, those without a loss count as well: else the unlucky ones would be all. */
static struct loss_group with_healthy_ones(const struct loss_judge *j, const struct loss_group *g)
{
	uint16_t self = (uint16_t)(g - j->group + 1);
	struct loss_group all = *g;

	if (!g->is_wide)
		return all;
	for (uint32_t i = 0; i < SETS * WAYS; i++) {
		const struct path *p = &j->path[i / WAYS][i % WAYS];
		const struct part *part = &p->part[g->side];

		if (!tl_written__has(j->written, i / WAYS) || !p->used ||
		    !tl_endpoint__same_host(g->side == LOSS_CLIENT_SIDE ? &p->server : &p->client,
					    &g->host))
			continue;
		all.fan++;
		if (part->group == self && part->generation == g->generation)
			continue;
		for (unsigned d = 0; d < 2; d++) {
			all.traffic.segments[d] += part->waiting.segments[d];
			all.traffic.spurious[d] += part->waiting.spurious[d];
			all.traffic.reordered[d] += part->waiting.reordered[d];
		}
	}
	return all;
}

static void tell(struct loss_judge *j, struct loss_group *g)
{
	struct loss_group all;
	struct tl_finding *f;
	bool lost = g->count[0].lost + g->count[1].lost > 0;

	g->is_dirty = false;
	if (!lost && !g->told)
		return;
	if (!lost) {
		untell(j, g);
		return;
	}
	f = finding_of(j, g);
	g->told = true;
	g->withheld = j->withheld;
	is_explained(j, g);
	f->first_ns = first_ns(g);
	f->last_ns = last_ns(g);
	all = with_healthy_ones(j, g);
	loss_words__write(&all, j->view.facts, f);
	tl_findings__commit(j->view.findings, f, f->last_ns);
}

int loss_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct loss_judge **ret_judge = state;
	struct loss_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void loss_judge__fini(void *state)
{
	struct loss_judge **judge_at = state;

	free(*judge_at);
}

void loss_judge__observe(void *state, const struct tl_observation *observation)
{
	struct loss_judge *j = *(struct loss_judge **)state;

	if (observation->kind == LOSS_OBSERVED_PATH)
		observe_path(j, observation);
	else if (observation->kind == LOSS_OBSERVED_TOTALS)
		observe_totals(j, observation);
}

void loss_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct loss_judge *j = *(struct loss_judge **)state;
	const bool are_findings_new = tl_findings__version(j->view.findings) != j->seen_findings;

	(void)totals;
	j->seen_findings = tl_findings__version(j->view.findings);
	for (uint32_t i = 0; i < j->group_top; i++) {
		struct loss_group *g = &j->group[i];

		if (!g->used)
			continue;
		if (are_findings_new && g->told && !g->is_explained && is_explained(j, g))
			touch(j, g);
		if (g->is_dirty) {
			tell(j, g);
			j->dirty--;
		}
		/* The store settles its finding at this tick. */
		if (last_ns(g) + TL_FINDING_QUIET_NS <= now_ns)
			group_free(j, g);
	}
}

void loss_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct loss_judge *j = *(struct loss_judge **)state;

	(void)now_ns;
	(void)totals;
	for (uint32_t i = 0; i < j->group_top; i++)
		if (j->group[i].used)
			tell(j, &j->group[i]);
}
