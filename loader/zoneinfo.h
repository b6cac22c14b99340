/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The zones of /proc/zoneinfo: how far they reach, and what is free in them, against the
 * watermarks. */
#ifndef HT_ZONEINFO_H
#define HT_ZONEINFO_H

#include <stdint.h>

#include "sysfs.h"

struct ht_zone {
	int node;
	uint64_t start_pfn;
	uint64_t spanned;   /* pages from start_pfn on, holes included */
	uint64_t low, high; /* watermarks, pages */
	uint64_t cached;    /* free pages in the CPUs' lists, which no watermark counts */
};

/* Calls fn for each zone that has memory. Its first non-zero result, or a negative errno. */
int ht_zoneinfo_each(const struct ht_roots *roots, int (*fn)(const struct ht_zone *z, void *arg),
		     void *arg);

#endif
