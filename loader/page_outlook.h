/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What pages of the fastest tier get beside pages of the others, at the same count. Where counts
 * are few they tell little, and that a page is in the fastest tier tells something as well: it was
 * there first, as the hot pages of many programs are, or it was put there. Never sampled, it is
 * then a better guess than a page elsewhere. By how much is learned: some tiles are remembered with
 * what is expected of their pages by count, and the next epoch's samples are set against it. Pages
 * were promoted for their samples of the past; those to come do not flatter them.
 *
 * It speaks for staying only. Pages elsewhere that got more than expected became hot since they
 * were counted, which their counts will say.
 */
#ifndef HT_PAGE_OUTLOOK_H
#define HT_PAGE_OUTLOOK_H

#include "heatmap.h"
#include "space.h"

/* Remembered at most; of more tiles with page detail, some in turn. */
#define HT_PAGE_OUTLOOK_TILES 1024

enum ht_page_class { HT_PAGE_FAST, HT_PAGE_SLOW, HT_PAGE_CLASSES };

struct ht_page_memory;

struct ht_page_outlook {
	struct ht_page_memory *tile;
	uint32_t nr, cap;
	uint32_t offered, stride, turn; /* one offered tile in stride is remembered */
	/* Sums over epochs, old ones fading: samples that came, and heat expected. */
	double came[HT_PAGE_CLASSES], due[HT_PAGE_CLASSES];
	double factor[HT_PAGE_CLASSES]; /* beside each other, on what counts say; 0 at first */
};

void ht_page_outlook_free(struct ht_page_outlook *o);
/* Once per epoch, after ht_heatmap_collect(): what came of the tiles that were remembered. */
void ht_page_outlook_learn(struct ht_page_outlook *o, const struct ht_heatmap *hm);
/* Offers a tile with page detail, where heat est[c] is expected of a page counted c times. */
void ht_page_outlook_offer(struct ht_page_outlook *o, const struct ht_heatmap *hm,
			   const struct ht_spot *sp, const double est[HT_PAGE_MAX + 1]);
/* Do the classes differ? */
static inline bool ht_page_outlook_differs(const struct ht_page_outlook *o)
{
	return o->factor[HT_PAGE_FAST] > o->factor[HT_PAGE_SLOW];
}

#endif
