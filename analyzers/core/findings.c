/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge's store of findings. One instance a run, used by the control thread alone.
 *
 *	buckets[hash(kind, key)] ─► entry ─► entry          (chain of those with that hash)
 *
 *	quiet list, by the packet time of the newest occurrence:
 *	oldest ◄─► entry ◄─► entry ◄─► … ◄─► newest         (the oldest is settled first)
 *
 *	by_host[side], of those on the quiet list: hash(server's or client's address) ─► entry ─► …
 *
 *	dirty list, live only, in the order they first changed:
 *	entry ◄─► entry ◄─► …                               (told at a tick, at most each 5 s)
 *
 * Invariants: an entry is on the quiet list if and only if it was committed; at most
 * TL_FINDINGS_MAX entries are in use; all memory is reserved at creation, and its pages are first
 * touched when an entry is. Nothing depends on the wall clock or on addresses, so the same
 * occurrences give the same findings in the same order.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/findings.h"
#include "core/index.h"
#include "core/text.h"

#define BUCKETS		    8192u
#define HOST_BUCKETS	    4096u /* a power of two */
#define SIDES		    2u	  /* enum tl_finding_side */
#define KEY_MAX		    128u
#define OPEN_NOTICE_EACH_NS 5000000000ull
#define EVIDENCE_FIRST	    (TL_EVIDENCE_MAX / 2)

#define COUNTER_EVIDENCE_MAX                                                                       \
	(sizeof(((struct tl_finding *)NULL)->counter_evidence) / sizeof(struct tl_evidence))

struct link {
	struct entry *prev, *next;
};

struct list {
	struct entry *first, *last;
};

struct entry {
	struct tl_finding finding; /* first: an entry is found from its finding */
	unsigned char key[KEY_MAX];
	size_t key_bytes;
	uint64_t at_ns;
	uint64_t told_ns; /* packet time of the last open notice */
	bool was_told;
	bool is_committed;
	bool is_dirty;
	struct link quiet, dirty;
	uint64_t host_hash[SIDES]; /* by which it is in by_host */
	struct entry *next;	   /* of the bucket, or of the free list */
};

struct tl_findings {
	struct tl_record_sink sink;
	bool live;
	uint32_t used; /* entries ever taken from the array */
	struct entry *free;
	struct list quiet, dirty;
	uint64_t version;
	struct entry *bucket[BUCKETS];
	struct tl_index by_host[SIDES];
	uint16_t host_first[SIDES][HOST_BUCKETS], host_next[SIDES][TL_FINDINGS_MAX];
	struct entry entry[TL_FINDINGS_MAX];
};

/* --- the two lists ------------------------------------------------------------------------- */

#define LIST_INSERT_AFTER(list, member, e, before)                                                 \
	do {                                                                                       \
		struct entry *after_ = (before) ? (before)->member.next : (list)->first;           \
		(e)->member = (struct link){ .prev = (before), .next = after_ };                   \
		*((before) ? &(before)->member.next : &(list)->first) = (e);                       \
		*(after_ ? &after_->member.prev : &(list)->last) = (e);                            \
	} while (0)

#define LIST_REMOVE(list, member, e)                                                               \
	do {                                                                                       \
		struct link l_ = (e)->member;                                                      \
		*(l_.prev ? &l_.prev->member.next : &(list)->first) = l_.next;                     \
		*(l_.next ? &l_.next->member.prev : &(list)->last) = l_.prev;                      \
	} while (0)

/* Occurrences come nearly in order of time, so the place is found near the end. */
static void quiet_insert(struct tl_findings *s, struct entry *e)
{
	struct entry *before = s->quiet.last;

	while (before && before->at_ns > e->at_ns)
		before = before->quiet.prev;
	LIST_INSERT_AFTER(&s->quiet, quiet, e, before);
}

static void mark_dirty(struct tl_findings *s, struct entry *e)
{
	struct entry *before = s->dirty.last;

	if (!s->live || e->is_dirty)
		return;
	e->is_dirty = true;
	LIST_INSERT_AFTER(&s->dirty, dirty, e, before);
}

/* --- entries ------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *kind, const void *key, size_t key_bytes)
{
	/* The kind's end is hashed too, so that no key can be taken for the rest of a kind. */
	return tl_text__hash(tl_text__hash(0, kind, strlen(kind) + 1), key, key_bytes);
}

static uint64_t hash_of_host(const struct tl_endpoint *host)
{
	return tl_text__hash(host->ip_version, host->ip, sizeof(host->ip));
}

static const struct tl_endpoint *host_of(const struct entry *e, enum tl_finding_side side)
{
	return side == TL_FINDING_SERVER ? &e->finding.subject.server : &e->finding.subject.client;
}

static void forget_host(struct tl_findings *s, const struct entry *e, enum tl_finding_side side)
{
	tl_index__remove(&s->by_host[side], e->host_hash[side], (uint32_t)(e - s->entry));
}

static void note_hosts(struct tl_findings *s, struct entry *e)
{
	const uint32_t place = (uint32_t)(e - s->entry);

	for (unsigned side = 0; side < SIDES; side++) {
		uint64_t hash = hash_of_host(host_of(e, side));

		if (tl_index__has(&s->by_host[side], place)) {
			if (e->host_hash[side] == hash)
				continue;
			forget_host(s, e, side);
		}
		e->host_hash[side] = hash;
		tl_index__add(&s->by_host[side], hash, place);
	}
}

static void drop(struct tl_findings *s, struct entry *e)
{
	struct entry **at = &s->bucket[e->finding.id % BUCKETS];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->is_committed) {
		LIST_REMOVE(&s->quiet, quiet, e);
		forget_host(s, e, TL_FINDING_SERVER);
		forget_host(s, e, TL_FINDING_CLIENT);
		s->version++;
	}
	if (e->is_dirty)
		LIST_REMOVE(&s->dirty, dirty, e);
	e->next = s->free;
	s->free = e;
}

static void settle(struct tl_findings *s, struct entry *e)
{
	if (s->sink.finding)
		s->sink.finding(s->sink.ctx, &e->finding, TL_FINDING_SETTLED);
	drop(s, e);
}

static struct entry *take_free(struct tl_findings *s)
{
	struct entry *e;

	if (!s->free && s->used == TL_FINDINGS_MAX)
		settle(s, s->quiet.first);
	e = s->free;
	if (!e)
		return &s->entry[s->used++];
	s->free = e->next;
	memset(e, 0, sizeof(*e));
	return e;
}

static struct entry *find(const struct tl_findings *s, uint64_t id, const void *key,
			  size_t key_bytes)
{
	size_t kept = key_bytes < KEY_MAX ? key_bytes : KEY_MAX;
	struct entry *e = s->bucket[id % BUCKETS];

	while (e &&
	       !(e->finding.id == id && e->key_bytes == key_bytes && !memcmp(e->key, key, kept)))
		e = e->next;
	return e;
}

/* --- the store ----------------------------------------------------------------------------- */

int tl_findings__create(struct tl_record_sink sink, bool live, struct tl_findings **ret_findings)
{
	struct tl_findings *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->sink = sink;
	s->live = live;
	for (unsigned side = 0; side < SIDES; side++)
		s->by_host[side] = (struct tl_index){ s->host_first[side], s->host_next[side],
						      HOST_BUCKETS, TL_FINDINGS_MAX, 0 };
	*ret_findings = s;
	return 0;
}

void tl_findings__destroy(struct tl_findings *findings)
{
	free(findings);
}

struct tl_finding *tl_findings__begin(struct tl_findings *findings, const char *kind,
				      const void *key, size_t key_bytes, bool *ret_is_new)
{
	uint64_t id = hash_of(kind, key, key_bytes);
	struct entry *e = find(findings, id, key, key_bytes);

	*ret_is_new = !e;
	if (e)
		return &e->finding;
	e = take_free(findings);
	e->finding.kind = kind;
	e->finding.id = id;
	e->finding.subject.interface = TL_INTERFACE_ALL;
	e->key_bytes = key_bytes;
	memcpy(e->key, key, key_bytes < KEY_MAX ? key_bytes : KEY_MAX);
	e->next = findings->bucket[id % BUCKETS];
	findings->bucket[id % BUCKETS] = e;
	return &e->finding;
}

const struct tl_finding *tl_findings__peek(const struct tl_findings *findings, const char *kind,
					   const void *key, size_t key_bytes)
{
	const struct entry *e = find(findings, hash_of(kind, key, key_bytes), key, key_bytes);

	return e && e->is_committed ? &e->finding : NULL;
}

const struct tl_finding *tl_findings__next(const struct tl_findings *findings,
					   const struct tl_finding *finding)
{
	const struct entry *e =
		finding ? ((const struct entry *)finding)->quiet.next : findings->quiet.first;

	return e ? &e->finding : NULL;
}

const struct tl_finding *tl_findings__next_of(const struct tl_findings *findings,
					      enum tl_finding_side side,
					      const struct tl_endpoint *host,
					      const struct tl_finding *finding)
{
	const struct tl_index *index = &findings->by_host[side];
	const struct entry *e = (const struct entry *)finding;
	uint32_t place = e ? tl_index__after(index, (uint32_t)(e - findings->entry))
			   : tl_index__first(index, hash_of_host(host));

	for (; place != TL_INDEX_END; place = tl_index__after(index, place)) {
		e = &findings->entry[place];
		if (tl_endpoint__same_host(host_of(e, side), host))
			return &e->finding;
	}
	return NULL;
}

uint64_t tl_findings__version(const struct tl_findings *findings)
{
	return findings->version;
}

void tl_findings__commit(struct tl_findings *findings, struct tl_finding *finding, uint64_t at_ns)
{
	struct entry *e = (struct entry *)finding;

	/* Where the clock of the capture went back, a thing can end before it began. */
	if (finding->last_ns < finding->first_ns) {
		uint64_t first_ns = finding->last_ns;

		finding->last_ns = finding->first_ns;
		finding->first_ns = first_ns;
	}
	/* An older packet told of late does not shorten the quiet time: it keeps its place. */
	if (!e->is_committed || at_ns > e->at_ns) {
		if (e->is_committed)
			LIST_REMOVE(&findings->quiet, quiet, e);
		e->is_committed = true;
		e->at_ns = at_ns;
		quiet_insert(findings, e);
	}
	note_hosts(findings, e);
	findings->version++;
	mark_dirty(findings, e);
}

void tl_findings__retract(struct tl_findings *findings, struct tl_finding *finding)
{
	struct entry *e = (struct entry *)finding;

	if (e->was_told && findings->sink.finding)
		findings->sink.finding(findings->sink.ctx, finding, TL_FINDING_WITHDRAWN);
	drop(findings, e);
}

static void tell_open(struct tl_findings *s, uint64_t now_ns)
{
	struct entry *next;

	for (struct entry *e = s->dirty.first; e; e = next) {
		next = e->dirty.next;
		if (e->was_told && now_ns < e->told_ns + OPEN_NOTICE_EACH_NS)
			continue;
		LIST_REMOVE(&s->dirty, dirty, e);
		e->is_dirty = false;
		e->was_told = true;
		e->told_ns = now_ns;
		if (s->sink.finding)
			s->sink.finding(s->sink.ctx, &e->finding, TL_FINDING_OPEN);
	}
}

void tl_findings__tick(struct tl_findings *findings, uint64_t now_ns)
{
	while (findings->quiet.first &&
	       findings->quiet.first->at_ns + TL_FINDING_QUIET_NS <= now_ns)
		settle(findings, findings->quiet.first);
	tell_open(findings, now_ns);
}

void tl_findings__finish(struct tl_findings *findings)
{
	while (findings->quiet.first)
		settle(findings, findings->quiet.first);
}

/* --- filling one in ------------------------------------------------------------------------ */

#define FORMAT_INTO(field)                                                                         \
	do {                                                                                       \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, format);                                                            \
		vsnprintf((field), sizeof(field), format, args);                                   \
		va_end(args);                                                                      \
	} while (0)

void tl_finding__summary(struct tl_finding *f, const char *format, ...)
{
	FORMAT_INTO(f->summary);
}

void tl_finding__cause(struct tl_finding *f, const char *format, ...)
{
	FORMAT_INTO(f->cause);
}

void tl_finding__next(struct tl_finding *f, const char *format, ...)
{
	FORMAT_INTO(f->next);
}

void tl_finding__filter(struct tl_finding *f, const char *format, ...)
{
	FORMAT_INTO(f->display_filter);
}

void tl_finding__evidence(struct tl_finding *f, uint64_t frame, uint64_t ts_ns, const char *format,
			  ...)
{
	struct tl_evidence *e;

	if (f->evidence_count == TL_EVIDENCE_MAX) {
		memmove(&f->evidence[EVIDENCE_FIRST], &f->evidence[EVIDENCE_FIRST + 1],
			(TL_EVIDENCE_MAX - EVIDENCE_FIRST - 1) * sizeof(f->evidence[0]));
		f->evidence_count--;
	}
	e = &f->evidence[f->evidence_count++];
	*e = (struct tl_evidence){ .frame = frame, .ts_ns = ts_ns };
	FORMAT_INTO(e->what);
}

void tl_finding__counter_evidence(struct tl_finding *f, uint64_t frame, uint64_t ts_ns,
				  const char *format, ...)
{
	struct tl_evidence *e;

	if (f->counter_evidence_count == COUNTER_EVIDENCE_MAX)
		return;
	e = &f->counter_evidence[f->counter_evidence_count++];
	*e = (struct tl_evidence){ .frame = frame, .ts_ns = ts_ns };
	FORMAT_INTO(e->what);
}

/* The detail of that name, new if there is none; NULL when there is no room. */
static struct tl_detail *detail(struct tl_finding *f, const char *name, enum tl_detail_type type)
{
	struct tl_detail *d = f->details;

	while (d < f->details + f->detail_count && strcmp(d->name, name))
		d++;
	if (d == f->details + TL_DETAILS_MAX)
		return NULL;
	if (d == f->details + f->detail_count)
		f->detail_count++;
	*d = (struct tl_detail){ .name = name, .type = type };
	return d;
}

void tl_finding__detail_u64(struct tl_finding *f, const char *name, uint64_t value)
{
	struct tl_detail *d = detail(f, name, TL_DETAIL_U64);

	if (d)
		d->u64 = value;
}

void tl_finding__detail_f64(struct tl_finding *f, const char *name, double value)
{
	struct tl_detail *d = detail(f, name, TL_DETAIL_F64);

	if (d)
		d->f64 = value;
}

void tl_finding__detail_bool(struct tl_finding *f, const char *name, bool value)
{
	struct tl_detail *d = detail(f, name, TL_DETAIL_BOOL);

	if (d)
		d->boolean = value;
}

void tl_finding__detail_string(struct tl_finding *f, const char *name, const char *value)
{
	struct tl_detail *d = detail(f, name, TL_DETAIL_STRING);

	if (d)
		snprintf(d->string, sizeof(d->string), "%s", value);
}

void tl_finding__detail_null(struct tl_finding *f, const char *name)
{
	(void)detail(f, name, TL_DETAIL_NULL);
}

uint64_t tl_finding__detail_get_u64(const struct tl_finding *f, const char *name)
{
	for (uint32_t i = 0; i < f->detail_count; i++)
		if (!strcmp(f->details[i].name, name) && f->details[i].type == TL_DETAIL_U64)
			return f->details[i].u64;
	return 0;
}
