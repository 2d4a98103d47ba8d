/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The judge's store of findings: groups, ripens and settles them.
 *
 *   begin (new or known) ─► the analyzer fills in ─► commit ─► [open notice, live] ─► settled
 *
 * One cause is one finding: an analyzer names what it is about (kind + key), and every further
 * occurrence finds the same entry. An entry is settled when nothing was added for its quiet time
 * (packet time), and at the end; an occurrence after that begins a new finding. So live and from a
 * file the same findings come out, each settled once. Bounded: TL_FINDINGS_MAX open entries; when
 * full, the one that has been quiet longest is settled.
 */
#ifndef TAPLINE_ANALYZERS_FINDINGS_H
#define TAPLINE_ANALYZERS_FINDINGS_H

#include "tapline/record.h"

#define TL_FINDINGS_MAX	    4096
#define TL_FINDING_QUIET_NS 300000000000ull /* 5 min */

struct tl_findings;

enum tl_finding_side { TL_FINDING_SERVER, TL_FINDING_CLIENT };

int tl_findings__create(struct tl_record_sink sink, bool live, struct tl_findings **ret_findings);
void tl_findings__destroy(struct tl_findings *findings);

/*
 * The open finding of `kind` about `key`, or a new, zeroed one with kind and id set (`ret_is_new`).
 * Borrowed until __commit.
 */
struct tl_finding *tl_findings__begin(struct tl_findings *findings, const char *kind,
				      const void *key, size_t key_bytes, bool *ret_is_new);
/* The open finding of `kind` about `key`; NULL when there is none. Borrowed until the next call. */
const struct tl_finding *tl_findings__peek(const struct tl_findings *findings, const char *kind,
					   const void *key, size_t key_bytes);
/* Grows with each commit and with each that is settled or retracted: else nothing is to be seen
 * anew. */
uint64_t tl_findings__version(const struct tl_findings *findings);
/* The open findings, one after the other; NULL begins, and ends. Borrowed until the next commit. */
const struct tl_finding *tl_findings__next(const struct tl_findings *findings,
					   const struct tl_finding *finding);
/*
 * Likewise those alone whose subject has that host on that side, whatever the port; in no order to
 * rely on. A subject counts from the commit on.
 */
const struct tl_finding *tl_findings__next_of(const struct tl_findings *findings,
					      enum tl_finding_side side,
					      const struct tl_endpoint *host,
					      const struct tl_finding *finding);
/* `at_ns`: packet time of the newest occurrence, from which the quiet time runs. */
void tl_findings__commit(struct tl_findings *findings, struct tl_finding *finding, uint64_t at_ns);
/* Forgets an open finding: it turned out to be no fault. Who was told of it is told that, too. */
void tl_findings__retract(struct tl_findings *findings, struct tl_finding *finding);

void tl_findings__tick(struct tl_findings *findings, uint64_t now_ns);
void tl_findings__finish(struct tl_findings *findings);

/* --- filling one in; strings are cut to the room there is ---------------------------------- */

void tl_finding__summary(struct tl_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void tl_finding__cause(struct tl_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void tl_finding__next(struct tl_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void tl_finding__filter(struct tl_finding *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Keeps the first and the latest ones when there are more than TL_EVIDENCE_MAX. */
void tl_finding__evidence(struct tl_finding *f, uint64_t frame, uint64_t ts_ns, const char *format,
			  ...) __attribute__((format(printf, 4, 5)));
void tl_finding__counter_evidence(struct tl_finding *f, uint64_t frame, uint64_t ts_ns,
				  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Set or replace a detail. */
void tl_finding__detail_u64(struct tl_finding *f, const char *name, uint64_t value);
void tl_finding__detail_f64(struct tl_finding *f, const char *name, double value);
void tl_finding__detail_bool(struct tl_finding *f, const char *name, bool value);
void tl_finding__detail_string(struct tl_finding *f, const char *name, const char *value);
void tl_finding__detail_null(struct tl_finding *f, const char *name);
uint64_t tl_finding__detail_get_u64(const struct tl_finding *f, const char *name);

#endif
