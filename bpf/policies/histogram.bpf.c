// SPDX-License-Identifier: GPL-2.0
/*
 * histogram: a bar for hotness that follows from the size of the fast tier.
 *
 * Idea: pages fall into bins by the logarithm of their heat. Each epoch the bins are added up from
 * the hottest down until the fast tier is full: bins above are hot, the one that did not fit any
 * more is warm, the rest cold. Warm memory stays where it is: it is neither worth a promotion nor
 * the first to go. Nothing needs tuning, and the same bar serves all processes. A huge page of
 * which a few subpages get all accesses wastes fast memory, so it counts as some bins cooler.
 *
 * Knobs: skew.
 *
 * Wrong choice where heat is flat: bins are powers of two, so differences below a factor of two
 * are not seen, and all of one bin is hot or none.
 *
 * Source: MEMTIS, Lee et al., SOSP 2023 (which splits skewed huge pages; those that are whole
 * here rank lower).
 */
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(skew, 1, 0, 16, "bins by which a huge page with few hot subpages counts as cooler");

#define BINS 64

__u64 pages_in[BINS]; /* of this epoch's ranges, by bin */
__u32 hot_bin = BINS; /* least bin that is hot; at first none is known to be */

enum { COLD, WARM, HOT };

static void histogram_tick(const struct ht_tick *t)
{
	__u64 left = t->fast_capacity;
	__u32 bin, cut = BINS;
	bool full = false;

	for (bin = BINS - 1; bin > 0; bin--) {
		full |= pages_in[bin] > left;
		if (!full) {
			left -= pages_in[bin];
			cut = bin;
		}
		pages_in[bin] = 0;
	}
	hot_bin = cut;
}

static __u64 histogram_rank(const struct ht_range *r)
{
	/* Bin 0 is for what was never sampled: it is never hot. */
	__u32 bin = r->density ? ht_log2(r->density) : 0;
	bool resident = r->fast_pages > r->pages / 2;

	if (r->flags & HT_RANGE_SKEWED)
		bin = bin > skew.value ? bin - skew.value : 0;
	bin &= BINS - 1;
	pages_in[bin] += r->pages;
	if (bin >= hot_bin)
		return HOT;
	return bin + 1 == hot_bin && resident ? WARM : COLD;
}

HYPERTIER_OPS_DEFINE(histogram, .rank = histogram_rank, .tick = histogram_tick);
