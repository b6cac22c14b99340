// SPDX-License-Identifier: GPL-2.0
/*
 * range: hottest ranges first, by heat per page.
 *
 * Idea: guest virtual addresses carry locality, so a few ranges of equal density describe a
 * process (Demeter, SOSP '25). Differences: density is measured per resident page, ranges merge as
 * well as split, dispersed ranges are ranked by the pages' own counts, and sequential scans, which
 * touch every page about once and never return in time to repay a move, rank below anything
 * re-used.
 *
 * Wrong choice when latency differs more between accesses than between tiers (pointer chasing
 * beside streaming): heat counts accesses, not stalls.
 */
#include <hypertier/policy.bpf.h>

static __u64 range_rank(const struct ht_range *r)
{
	__u64 score = r->density;

	if (r->flags & HT_RANGE_STREAM)
		score >>= 2;
	return score;
}

HYPERTIER_OPS_DEFINE(range, .rank = range_rank);
