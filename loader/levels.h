/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* How the pages of tiles with page detail spread over counts, and what of that spread is real. */
#ifndef HT_LEVELS_H
#define HT_LEVELS_H

#include "heatmap.h"
#include "space.h"

#define HT_LEVELS (HT_PAGE_MAX + 1)

struct ht_levels {
	uint32_t nr[HT_LEVELS][HT_SPACE_TIERS]; /* resident pages by count and tier */
	uint64_t pages, sum, squares;		/* of the counts: ht_levels_sum() */
};

/* The pages of one more spot; without page detail they count as never sampled. */
void ht_levels_add(struct ht_levels *h, const struct ht_heatmap *hm, const struct ht_spot *sp);
/* Once all are in. */
void ht_levels_sum(struct ht_levels *h);
uint32_t ht_levels_pages(const struct ht_levels *h, unsigned int count);
/* Share of the counts' spread that is the rates' own, 0 .. 1: (v - m) / v. */
double ht_levels_signal(const struct ht_levels *h);

#endif
