// SPDX-License-Identifier: GPL-2.0
/*
 * threshold: memory is hot when it was sampled often enough, with a lower bar for staying hot.
 *
 * Idea: two static counts per 2 MiB decide, one for all samples and a smaller one for stores,
 * which slow media take worse than loads; no memory is hotter than another hot one, so hot pages
 * never displace each other. Counts fade as the heat map does; a range that sits in the fast tier
 * stays hot down to a second, lower bar, which takes the place of the original's cooling clock.
 *
 * Knobs: hot, hot_writes, cool. Samples per 2 MiB as the heat map keeps them: the average over all
 * memory in use is about 8 (struct ht_live in loader/heatmap.h), so 8 means "above average".
 *
 * Wrong choice where the hot set exceeds the fast tier (which hot pages are in it is then chance),
 * and where nobody is there to tune: the right bar moves with sampling rate and workload.
 *
 * Source: HeMem, Raybuck et al., SOSP 2021 (fixed read and write counts, cooling).
 */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(hot, 8, 1, 1 << 24, "samples per 2 MiB from which on memory is hot");
HYPERTIER_KNOB(hot_writes, 4, 1, 1 << 24, "stores per 2 MiB from which on memory is hot");
HYPERTIER_KNOB(cool, 4, 0, 1 << 24, "samples per 2 MiB below which fast memory is cold again");

static __u64 threshold_rank(const struct ht_range *r)
{
	/* density is per page, times 2^16; a tile has 2^9 pages. */
	__u64 heat = r->density >> 7;
	__u64 stores = r->pages ? (__u64)r->writes * HT_TILE_PAGES / r->pages : 0;
	bool resident = r->fast_pages > r->pages / 2;

	if (heat >= hot.value || stores >= hot_writes.value)
		return 1;
	return resident && heat >= cool.value;
}

HYPERTIER_OPS_DEFINE(threshold, .rank = threshold_rank);
