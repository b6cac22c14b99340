/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The sampler's counters (map "stats", per CPU, one element). They only grow. */
#ifndef HYPERTIER_STATS_H
#define HYPERTIER_STATS_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

enum ht_source_id {
	HT_SRC_NONE,
	HT_SRC_PEBS,
	HT_SRC_IBS,
	HT_SRC_DAMON,
	HT_SRC_HINT_FAULT,
	HT_SRC_EMULATED,
	HT_SRC_PAGE_FAULT, /* software page-fault events: exercises the perf path without a PMU */
	HT_SRC_NR,
};

/* Why a sample was seen but not counted. */
enum ht_drop {
	HT_DROP_DISABLED, /* the loader has sampling switched off */
	HT_DROP_NO_ADDR, /* the source gave no data address */
	HT_DROP_KERNEL_ADDR, /* not a user address */
	HT_DROP_NOT_TARGET, /* process not selected */
	HT_DROP_POLICY, /* the policy's sample op gave weight 0 */
	HT_DROP_NO_TILE, /* no free tile: the loader has not evicted fast enough */
	HT_DROP_NO_SLOT, /* both index sets full */
	HT_DROP_NR,
};

struct ht_cpu_stats {
	__u64 seen; /* == counted + the sum of drop[] */
	__u64 counted;
	__u64 drop[HT_DROP_NR];
	__u64 tiles; /* tiles taken into use */
	__u64 details; /* tiles that got page detail */
	__u64 aged; /* tiles aged on touch */
	__u64 page_hits; /* samples counted into a detail block */
	__u64 page_prior; /* sum of the counts that these pages had: what was predictable */
	__u64 by_source[HT_SRC_NR]; /* samples seen, by source */
	__u64 fentry; /* of these, samples seen by the fentry program */
};

#endif
