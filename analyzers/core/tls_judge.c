/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge half of tls.*: puts chains together and reads each once, adds reports up to groups, and
 * decides which of them are findings.
 *
 *	chain parts ─► assembly (ASSEMBLIES) ─► X.509, read once ─► chain table, by hash
 *	report ─┬─ failed ──────────────► group (server, how it ended)
 *	        └─ with a chain at fault ─► group (server, chain)   told when the rule says so
 *
 * When a leaf came without its issuer, only three things make a finding of it: a client that
 *refuses it, an issuer that is known not to be a root, a leaf of a public CA. A leaf right below a
 *private root, with clients that are content, is healthy.
 *
 * Invariants: every table is of fixed size; what finds no room is counted. Control thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "core/text.h"
#include "core/tls.h"

#define CHAINS	   512u	 /* a power of two */
#define GROUPS	   1024u /* a power of two */
#define SERVERS	   2048u /* a power of two */
#define PROBES	   16u
#define ASSEMBLIES 16u

#define YEAR_S 31557600

struct known_chain {
	uint64_t hash; /* 0: free */
	bool readable;
	struct tl_chain chain;
};

struct assembly {
	uint64_t hash;
	uint16_t worker;
	uint32_t total, bytes;
	uint8_t data[TL_CHAIN_BYTES];
};

struct server {
	struct tl_endpoint endpoint;
	uint64_t succeeded;
};

struct tls_judge {
	struct tl_analyzer_judge view;
	uint64_t unseen, withheld;
	uint32_t oldest_assembly;
	struct known_chain chain[CHAINS];
	struct assembly assembly[ASSEMBLIES];
	struct server server[SERVERS];
	uint32_t groups; /* in use */
	struct tls_group group[GROUPS];
};

/* --- chains ------------------------------------------------------------------------------------
 */

static struct known_chain *chain_slot(struct tls_judge *j, uint64_t hash, bool make)
{
	struct known_chain *at = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		at = &j->chain[(hash + i) & (CHAINS - 1)];
		if (at->hash == hash)
			return at;
		if (!at->hash)
			break;
	}
	if (!make)
		return NULL;
	/* All PROBES taken: the last one goes. What it was is told again within a minute. */
	*at = (struct known_chain){ .hash = hash };
	return at;
}

static const struct tl_chain *chain_of(struct tls_judge *j, uint64_t hash)
{
	struct known_chain *known = hash ? chain_slot(j, hash, false) : NULL;

	return known && known->readable ? &known->chain : NULL;
}

static struct assembly *assembly_of(struct tls_judge *j, const struct tl_observation *o,
				    const struct tls_chain_part *part)
{
	struct assembly *a;

	for (uint32_t i = 0; i < ASSEMBLIES; i++)
		if (j->assembly[i].hash == part->chain && j->assembly[i].worker == o->worker)
			return &j->assembly[i];
	j->oldest_assembly = (j->oldest_assembly + 1) % ASSEMBLIES;
	a = &j->assembly[j->oldest_assembly];
	a->hash = part->chain;
	a->worker = o->worker;
	a->bytes = 0;
	return a;
}

static void observe_part(struct tls_judge *j, const struct tl_observation *o,
			 const struct tls_chain_part *part)
{
	struct known_chain *known;
	struct assembly *a;

	if (part->bytes > TLS_PART_BYTES || part->total > TL_CHAIN_BYTES ||
	    part->bytes > part->total || part->offset > part->total - part->bytes ||
	    chain_slot(j, part->chain, false))
		return;
	a = assembly_of(j, o, part);
	if (!part->offset)
		a->bytes = 0;
	if (part->offset != a->bytes)
		return; /* one was lost on the way: the next telling brings it */
	memcpy(a->data + a->bytes, part->data, part->bytes);
	a->bytes += part->bytes;
	if (a->bytes < part->total)
		return;
	known = chain_slot(j, part->chain, true);
	known->readable = !tl_chain__read(a->data, a->bytes, &known->chain);
	a->hash = 0;
}

/* --- groups ------------------------------------------------------------------------------------
 */

/* Without padding between: a finding's key. */
struct key {
	uint8_t bytes[TL_ENDPOINT_KEY + 8 + 1];
};

static const char *kind_name(uint8_t kind)
{
	static const char *const names[] = {
		[TLS_KIND_FAILED] = "tls.handshake_failed",
		[TLS_KIND_INCOMPLETE] = "tls.incomplete_chain",
		[TLS_KIND_EXPIRED] = "tls.certificate_expired",
	};

	return names[kind];
}

static struct key key_of(uint8_t kind, const struct tl_subject *subject, const struct tls_report *r)
{
	struct key key = { { 0 } };
	uint64_t about = r->chain;

	if (kind == TLS_KIND_FAILED)
		about = (uint64_t)r->failure | (uint64_t)r->closed_by << 8 |
			(uint64_t)r->alert << 16 | (uint64_t)r->last_message << 24;
	tl_endpoint__key(&subject->server, key.bytes);
	memcpy(key.bytes + TL_ENDPOINT_KEY, &about, sizeof(about));
	key.bytes[TL_ENDPOINT_KEY + 8] = kind;
	return key;
}

static bool is_told(const struct tls_group *g)
{
	/* Without a chain (TLS 1.3, by the size of its record) the refusal alone speaks. */
	return g->kind != TLS_KIND_INCOMPLETE || g->refused ||
	       (g->has_chain && (g->chain.missing_kind == TL_CHAIN_ISSUER_PUBLIC ||
				 g->chain.missing_kind == TL_CHAIN_ISSUER_INTERMEDIATE));
}

static uint64_t succeeded_with(const struct tls_judge *j, const struct tl_endpoint *endpoint)
{
	uint8_t key[TL_ENDPOINT_KEY];
	const struct server *s;

	tl_endpoint__key(endpoint, key);
	s = &j->server[tl_text__hash(0, key, sizeof(key)) & (SERVERS - 1)];
	return s->endpoint.port == endpoint->port && tl_endpoint__same_host(&s->endpoint, endpoint)
		       ? s->succeeded
		       : 0;
}

static void count_success(struct tls_judge *j, const struct tl_endpoint *endpoint)
{
	uint8_t key[TL_ENDPOINT_KEY];
	struct server *s;

	tl_endpoint__key(endpoint, key);
	s = &j->server[tl_text__hash(0, key, sizeof(key)) & (SERVERS - 1)];
	if (s->endpoint.port != endpoint->port || !tl_endpoint__same_host(&s->endpoint, endpoint))
		*s = (struct server){ .endpoint = *endpoint };
	s->succeeded++;
}

static void tell(struct tls_judge *j, struct tls_group *g)
{
	struct key key = key_of(g->kind, &g->subject, &g->report);
	struct tl_finding *f;
	bool is_new;

	if (!is_told(g))
		return;
	f = tl_findings__begin(j->view.findings, kind_name(g->kind), &key, sizeof(key), &is_new);
	g->succeeded = succeeded_with(j, &g->subject.server);
	g->unseen = j->unseen;
	tls_words__write(g, f);
	tl_findings__commit(j->view.findings, f, g->last_ns);
}

static struct tls_group *group_of(struct tls_judge *j, uint8_t kind,
				  const struct tl_subject *subject, const struct tls_report *r)
{
	struct key key = key_of(kind, subject, r);
	uint64_t hash = tl_text__hash(0, &key, sizeof(key));
	const struct tl_chain *chain = chain_of(j, r->chain);
	struct tls_group *free_one = NULL;

	for (uint32_t i = 0; i < PROBES; i++) {
		struct tls_group *g = &j->group[(hash + i) & (GROUPS - 1)];

		if (g->used && g->key_hash == hash)
			return g;
		if (!g->used && !free_one)
			free_one = g;
	}
	if (!free_one) {
		j->withheld++;
		return NULL;
	}
	*free_one = (struct tls_group){
		.used = true,
		.kind = kind,
		.key_hash = hash,
		.subject = *subject,
		.report = *r,
		.first_ns = r->first_ns,
		.has_chain = chain,
	};
	if (chain)
		free_one->chain = *chain;
	j->groups++;
	return free_one;
}

static void proofs_add(struct tls_group *g, const struct tls_report *r)
{
	const uint32_t half = TLS_GROUP_PROOFS / 2;

	for (uint32_t i = 0; i < r->proof_count && i < TLS_PROOFS_MAX; i++) {
		if (g->proof_count == TLS_GROUP_PROOFS) {
			memmove(&g->proof[half], &g->proof[half + 1],
				(half - 1) * sizeof(g->proof[0]));
			g->proof_count--;
		}
		g->proof[g->proof_count++] = r->proof[i];
	}
}

/* The client went away with the certificate before its eyes. */
static bool refused(const struct tls_report *r, const struct tl_chain *chain)
{
	bool by_client = r->outcome == TLS_OUTCOME_FAILED && r->closed_by == 0;

	if (!by_client)
		return false;
	if (r->alert == TL_TLS_UNKNOWN_CA)
		return true;
	/* Whatever else it is that it refuses: only where the chain is known to be wanting. */
	if (!chain || chain->missing_kind < TL_CHAIN_ISSUER_PUBLIC)
		return false;
	return tls_alert_refuses_chain(r->alert) || r->alert == TL_TLS_ALERT_NONE;
}

static void add(struct tls_judge *j, uint8_t kind, const struct tl_subject *subject,
		const struct tls_report *r)
{
	struct tls_group *g = group_of(j, kind, subject, r);

	if (!g)
		return;
	if (r->first_ns < g->first_ns)
		g->first_ns = r->first_ns;
	if (r->last_ns > g->last_ns)
		g->last_ns = r->last_ns;
	g->flows++;
	g->many_clients |= !tl_endpoint__same_host(&g->subject.client, &subject->client);
	if (kind == TLS_KIND_EXPIRED)
		g->refused += r->outcome == TLS_OUTCOME_FAILED && r->closed_by == 0;
	else
		g->refused += refused(r, g->has_chain ? &g->chain : NULL);
	g->left += r->outcome == TLS_OUTCOME_FINISHED && !r->used;
	proofs_add(g, r);
	tell(j, g);
}

/* --- reports -----------------------------------------------------------------------------------
 */

/*
 * A certificate is issued for now. Where it is to begin more than a year after the capture, it is
 * the capture's clock that stands wrong, at 1970 or wherever it started.
 */
static bool is_expired(const struct tl_chain *c, uint64_t at_ns)
{
	int64_t at = (int64_t)(at_ns / 1000000000ull);

	return c->not_after &&
	       (at > c->not_after || (at < c->not_before && c->not_before - at < YEAR_S));
}

/* TLS 1.3 shows no certificate. A record that holds one alone, refused, looks the same way. */
static bool may_be_lone_leaf(const struct tls_report *r)
{
	return !r->chain && r->certificate_bytes && r->certificate_bytes < 2000 &&
	       r->alert == TL_TLS_UNKNOWN_CA && r->closed_by == 0;
}

static void observe_handshake(struct tls_judge *j, const struct tl_subject *subject,
			      const struct tls_report *r)
{
	const struct tl_chain *chain = chain_of(j, r->chain);

	if (r->outcome == TLS_OUTCOME_FINISHED)
		count_success(j, &subject->server);
	if (r->outcome == TLS_OUTCOME_FAILED)
		add(j, TLS_KIND_FAILED, subject, r);
	if (chain && chain->missing_kind != TL_CHAIN_ISSUER_SENT && !chain->cut)
		add(j, TLS_KIND_INCOMPLETE, subject, r);
	else if (may_be_lone_leaf(r))
		add(j, TLS_KIND_INCOMPLETE, subject, r);
	if (chain && is_expired(chain, r->certificate_ns))
		add(j, TLS_KIND_EXPIRED, subject, r);
}

/* --- what the registry calls --------------------------------------------------------------------
 */

int tls_judge__init(void *state, const struct tl_analyzer_judge *view)
{
	struct tls_judge **ret_judge = state;
	struct tls_judge *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	/* Later, under seccomp, no configuration file could be opened. */
	if (!OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL)) {
		free(j);
		return -ENOMEM;
	}
	j->view = *view;
	*ret_judge = j;
	return 0;
}

void tls_judge__fini(void *state)
{
	struct tls_judge **judge_at = state;

	free(*judge_at);
}

void tls_judge__observe(void *state, const struct tl_observation *observation)
{
	struct tls_judge *j = *(struct tls_judge **)state;
	union {
		struct tls_report report;
		struct tls_chain_part part;
		uint64_t withheld;
	} data;

	/* The bytes of an observation are not aligned for what they hold. */
	memset(&data, 0, sizeof(data));
	memcpy(&data, observation->data,
	       observation->data_bytes < sizeof(data) ? observation->data_bytes : sizeof(data));
	if (observation->kind == TLS_OBSERVED_HANDSHAKE)
		observe_handshake(j, &observation->subject, &data.report);
	else if (observation->kind == TLS_OBSERVED_CHAIN)
		observe_part(j, observation, &data.part);
	else if (observation->kind == TLS_OBSERVED_WITHHELD)
		j->withheld += data.withheld;
}

static void take_totals(struct tls_judge *j, const struct tl_run_totals *totals)
{
	j->unseen = tl_facts__capture_drops(j->view.facts) + totals->source.sampled_out +
		    totals->analysis_shed_packets;
}

/* Words each finding a last time, with all that is known by now, before the store settles it. */
void tls_judge__tick(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct tls_judge *j = *(struct tls_judge **)state;

	take_totals(j, totals);
	for (uint32_t i = 0, left = j->groups; left; i++) {
		struct tls_group *g = &j->group[i];

		left -= g->used;
		if (!g->used || g->last_ns + TL_FINDING_QUIET_NS > now_ns)
			continue;
		tell(j, g);
		g->used = false;
		j->groups--;
	}
}

void tls_judge__finish(void *state, uint64_t now_ns, const struct tl_run_totals *totals)
{
	struct tls_judge *j = *(struct tls_judge **)state;

	(void)now_ns;
	take_totals(j, totals);
	for (uint32_t i = 0, left = j->groups; left; i++) {
		left -= j->group[i].used;
		if (j->group[i].used)
			tell(j, &j->group[i]);
	}
}
