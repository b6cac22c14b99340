// SPDX-License-Identifier: GPL-2.0
/*
 * threshold: memory is hot when it was sampled often enough, with a lower bar for staying hot.
 *
 * Idea: two static counts per 2 MiB decide, one for all samples and a smaller one for stores,
 * which slow media take worse than loads; no memory is hotter than another hot one, so hot pages
 * never displace each other. Counts fade as the heat map does; a range that sits in the fast tier
 * stays hot down to a second, lower bar, which takes the place of the original's cooling clock.
 *
 * Knobs: hot, hot_writes, cool. Samples per 2 MiB on a scale on which the average of all ranked
 * memory is 8, so that a bar does not move with the sampling rate or with how long heat is kept.
 *
 * Wrong choice where the hot set exceeds the fast tier (which hot pages are in it is then chance),
 * and where nobody is there to tune: the right bar moves with the workload's skew.
 *
 * Source: HeMem, Raybuck et al., SOSP 2021 (fixed read and write counts, cooling).
 */
#include <hypertier/policy.bpf.h>

#define AVERAGE 8

HYPERTIER_KNOB(hot, 8, 1, 1 << 24, "samples per 2 MiB from which on memory is hot; average: 8");
HYPERTIER_KNOB(hot_writes, 4, 1, 1 << 24, "stores per 2 MiB from which on memory is hot");
HYPERTIER_KNOB(cool, 4, 0, 1 << 24, "samples per 2 MiB below which fast memory is cold again");

__u64 heat_seen, pages_seen; /* of this epoch's ranges so far */
__u64 average;		     /* density of the last epoch's, 0: not known yet, so nothing is hot */

static void threshold_tick(const struct ht_tick *t)
{
	average = pages_seen ? (heat_seen << 16) / pages_seen : 0;
	heat_seen = 0;
	pages_seen = 0;
}

static __u64 threshold_rank(const struct ht_range *r)
{
	bool resident = r->fast_pages > r->pages / 2;
	__u64 samples = 0, stores = 0;

	heat_seen += r->heat;
	pages_seen += r->pages;
	if (average && r->pages) {
		samples = r->density * AVERAGE / average;
		stores = ((__u64)r->writes << 16) / r->pages * AVERAGE / average;
	}
	if (samples >= hot.value || stores >= hot_writes.value)
		return 1;
	return resident && samples >= cool.value;
}

HYPERTIER_OPS_DEFINE(threshold, .rank = threshold_rank, .tick = threshold_tick);
