/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Which perf events each perf source samples on this machine, or why there are none. */
#ifndef HT_PERF_SPEC_H
#define HT_PERF_SPEC_H

#include "perf_event.h"
#include "source.h"

#define HT_PERF_MAX_SPECS 4 /* loads and stores, on two kinds of core */

/*
 * Fills specs, loads first; returns how many, or a negative errno with the requirement that failed
 * in why. Reads descriptions only.
 */
int ht_perf_specs(enum ht_source_id id, const struct ht_source_opts *opts,
		  struct ht_perf_spec specs[HT_PERF_MAX_SPECS], char *why, size_t size);
/* What a refusal of perf_event_open(2) means and what to do. */
void ht_perf_explain(int err, const struct ht_source_opts *opts, const struct ht_perf_spec *spec,
		     char *why, size_t size);

#endif
