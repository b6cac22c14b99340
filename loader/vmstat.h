/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Counters of /proc/vmstat. */
#ifndef HT_VMSTAT_H
#define HT_VMSTAT_H

#include <stdbool.h>
#include <stdint.h>

#include "sysfs.h"

/* The sum of the counters named, up to a NULL; -ENOENT where the kernel has none of them. */
int ht_vmstat_sum(const struct ht_roots *roots, const char *const *name, uint64_t *sum);

/* What the kernel has moved: where it does so unasked, pages are not where they were. */
struct ht_kernel_moves {
	bool known;
	uint64_t all, own; /* pages, totals at the last look */
};

/*
 * Pages that moved since the last look beside our own, of which own is the total so far. The kernel
 * takes memory apart to give it back to the host, to make huge pages, to balance; not all of these
 * pages need be of a process that is tiered.
 */
uint64_t ht_kernel_moves(struct ht_kernel_moves *k, const struct ht_roots *roots, uint64_t own);

#endif
