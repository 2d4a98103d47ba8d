/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Compiling expressions with libpcap, and matching packets in user space.
 *
 *   tl_filter ── expression, classic program for its own link type
 *      └─ variants: link type ─► tl_filter (compiled when first asked for) ─► …
 *
 * Invariants: the program of a filter never changes after compile; only the list of variants grows,
 * under the lock. libpcap's parser keeps state of its own in some builds and resolves names, so one
 * thread compiles at a time.
 */
#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

_Static_assert(sizeof(struct sock_filter) == sizeof(struct bpf_insn) &&
		       offsetof(struct sock_filter, k) == offsetof(struct bpf_insn, k),
	       "the kernel's and libpcap's classic instructions have the same layout");

static pthread_mutex_t compile_lock = PTHREAD_MUTEX_INITIALIZER;

/* LINKTYPE_ values are those of files; pcap_compile wants the host's DLT_ values. */
static int linktype_to_dlt(uint16_t linktype)
{
	static const struct {
		uint16_t linktype;
		int dlt;
	} differ[] = {
		{ 100, DLT_ATM_RFC1483 },
		{ 101, DLT_RAW },
		{ 102, DLT_SLIP_BSDOS },
		{ 103, DLT_PPP_BSDOS },
	};

	for (size_t i = 0; i < sizeof(differ) / sizeof(differ[0]); i++)
		if (differ[i].linktype == linktype)
			return differ[i].dlt;
	return linktype;
}

static void set_error(struct tl_error *ret_error, const char *what)
{
	if (ret_error)
		snprintf(ret_error->what, sizeof(ret_error->what), "%s", what);
}

/* Compiles filter->expression into filter->insns. */
static int compile_locked(struct tl_filter *filter, struct tl_error *ret_error)
{
	struct bpf_program program = { 0 };
	pcap_t *dead = pcap_open_dead_with_tstamp_precision(linktype_to_dlt(filter->linktype),
							    (int)filter->snaplen,
							    PCAP_TSTAMP_PRECISION_NANO);
	int rc = 0;

	if (!dead)
		return -ENOMEM;
	if (pcap_compile(dead, &program, filter->expression, 1, PCAP_NETMASK_UNKNOWN)) {
		if (ret_error)
			snprintf(ret_error->what, sizeof(ret_error->what),
				 "filter '%.100s': %.80s; see pcap-filter(7)", filter->expression,
				 pcap_geterr(dead));
		rc = -EINVAL;
		goto out;
	}
	filter->insns = calloc(program.bf_len, sizeof(*filter->insns));
	if (filter->insns) {
		memcpy(filter->insns, program.bf_insns, program.bf_len * sizeof(*filter->insns));
		filter->count = program.bf_len;
	} else {
		rc = -ENOMEM;
	}
	pcap_freecode(&program);
out:
	pcap_close(dead);
	return rc;
}

static struct tl_filter *filter_alloc(const char *expression, uint16_t linktype)
{
	struct tl_filter *filter = calloc(1, sizeof(*filter));

	if (!filter)
		return NULL;
	filter->expression = strdup(expression ? expression : "");
	if (!filter->expression || pthread_mutex_init(&filter->lock, NULL)) {
		free(filter->expression);
		free(filter);
		return NULL;
	}
	filter->linktype = linktype;
	return filter;
}

int tl_filter__compile(const char *expression, uint16_t linktype, uint32_t snaplen,
		       struct tl_error *ret_error, struct tl_filter **ret_filter)
{
	struct tl_filter *filter = filter_alloc(expression, linktype);
	int rc;

	if (!filter) {
		set_error(ret_error, "out of memory");
		return -ENOMEM;
	}
	/* libpcap refuses 0 and takes an int; the length matters to nobody but `ret`. */
	filter->snaplen = snaplen && snaplen <= INT32_MAX ? snaplen : TL_SNAPLEN_DEFAULT;
	pthread_mutex_lock(&compile_lock);
	rc = compile_locked(filter, ret_error);
	pthread_mutex_unlock(&compile_lock);
	if (rc) {
		if (rc == -ENOMEM)
			set_error(ret_error, "out of memory");
		tl_filter__destroy(filter);
		return rc;
	}
	*ret_filter = filter;
	return 0;
}

int tl_filter__from_classic(const struct sock_filter *insns, size_t count, uint16_t linktype,
			    struct tl_filter **ret_filter)
{
	int rc = tl_classic__check(insns, count);
	struct tl_filter *filter;

	if (rc)
		return rc;
	filter = filter_alloc("", linktype);
	if (!filter)
		return -ENOMEM;
	filter->insns = calloc(count, sizeof(*insns));
	if (!filter->insns) {
		tl_filter__destroy(filter);
		return -ENOMEM;
	}
	memcpy(filter->insns, insns, count * sizeof(*insns));
	filter->count = count;
	filter->from_classic = true;
	filter->snaplen = TL_SNAPLEN_DEFAULT;
	*ret_filter = filter;
	return 0;
}

void tl_filter__destroy(struct tl_filter *filter)
{
	if (!filter)
		return;
	while (filter->variants) {
		struct tl_filter_variant *variant = filter->variants;

		filter->variants = variant->next;
		tl_filter__destroy(variant->filter);
		free(variant);
	}
	pthread_mutex_destroy(&filter->lock);
	free(filter->insns);
	free(filter->expression);
	free(filter);
}

const char *tl_filter__expression(const struct tl_filter *filter)
{
	return filter ? filter->expression : "";
}

bool tl_filter__keeps_all(const struct tl_filter *filter)
{
	return !filter || (filter->count == 1 && filter->insns[0].code == (BPF_RET | BPF_K) &&
			   filter->insns[0].k != 0);
}

bool tl_filter__match(const struct tl_filter *filter, const struct tl_packet *packet)
{
	if (tl_filter__keeps_all(filter))
		return true;
	return bpf_filter((const struct bpf_insn *)filter->insns, packet->data, packet->wirelen,
			  packet->caplen) != 0;
}

/* The cached answer for a link type, compiled on the first call. The lock is held. */
static const struct tl_filter *variant_get(struct tl_filter *filter, uint16_t linktype)
{
	struct tl_filter_variant *variant;
	int rc;

	for (variant = filter->variants; variant; variant = variant->next)
		if (variant->linktype == linktype)
			return variant->filter;
	variant = calloc(1, sizeof(*variant));
	if (!variant)
		return NULL;
	rc = tl_filter__compile(filter->expression, linktype, filter->snaplen, NULL,
				&variant->filter);
	if (rc == -ENOMEM) {
		/* not remembered: it may work the next time */
		free(variant);
		return NULL;
	}
	variant->linktype = linktype;
	variant->next = filter->variants;
	filter->variants = variant;
	return variant->filter;
}

const struct tl_filter *tl_filter__for_linktype(struct tl_filter *filter, uint16_t linktype)
{
	const struct tl_filter *found;

	if (!filter || filter->linktype == linktype)
		return filter;
	if (filter->from_classic)
		return NULL;
	pthread_mutex_lock(&filter->lock);
	found = variant_get(filter, linktype);
	pthread_mutex_unlock(&filter->lock);
	return found;
}

const struct sock_filter *tl_filter__classic(const struct tl_filter *filter, size_t *ret_count)
{
	*ret_count = filter->count;
	return filter->insns;
}
