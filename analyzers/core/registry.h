/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registry beyond tl_analysis (tapline/analyzer.h): analyzers by name, and workers with some of
 * them alone, so that what one costs can be measured. The engine has no use for it.
 */
#ifndef TAPLINE_ANALYZERS_REGISTRY_H
#define TAPLINE_ANALYZERS_REGISTRY_H

#include "tapline/analyzer.h"

/* In the order of registry.def; NULL from the number of analyzers on. */
const char *tl_registry__name(uint32_t index);

/*
 * As tl_analysis.worker_create, for the analyzers whose bit (by index) is set in `chosen`; the
 * others are never called. The tracker and the pass before the analyzers are always there.
 */
int tl_registry__create_worker(const struct tl_analysis_worker_opts *opts, uint32_t chosen,
			       void **ret_worker);

#endif
