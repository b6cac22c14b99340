/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Counters of /proc/vmstat. */
#ifndef HT_VMSTAT_H
#define HT_VMSTAT_H

#include <stdbool.h>
#include <stdint.h>

#include "sysfs.h"

/* Of the whole machine, since it was started. What the kernel does not count is 0. */
struct ht_vmstat {
	uint64_t migrated;    /* pages, by whomever */
	uint64_t refaulted;   /* pages thrown out, and wanted back */
	uint64_t hint_faults; /* of NUMA balancing */
};

/*
 * All of them at one look: to make up the file, the kernel adds up every counter over all CPUs. 0,
 * or a negative errno and v is as it was.
 */
int ht_vmstat_read(const struct ht_roots *roots, struct ht_vmstat *v);

/* What the kernel has moved: where it does so unasked, pages are not where they were. */
struct ht_kernel_moves {
	bool known;
	uint64_t all, own; /* pages, totals at the last look */
};

/*
 * Pages that moved since the last look beside our own, where all moved in total so far, and own of
 * these were ours. The kernel takes memory apart to give it back to the host, to make huge pages,
 * to balance; not all of these pages need be of a process that is tiered.
 */
uint64_t ht_kernel_moves(struct ht_kernel_moves *k, uint64_t all, uint64_t own);

#endif
