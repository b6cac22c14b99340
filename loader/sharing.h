/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Memory that several targets map: what a parent had when it forked, and what it mapped shared.
 * Such pages lie at the same address in all of them. One of the targets, the hottest there, holds
 * them: they are counted, ranked and moved as its pages, with the heat of all, and are absent from
 * the others. A page that is mapped more often than targets map its address is used by someone who
 * is not tiered: it stays where it is, whatever the targets make of it.
 */
#ifndef HT_SHARING_H
#define HT_SHARING_H

#include "heatmap.h"
#include "space.h"

#define HT_SHARE_TILES 4 /* targets whose page counts are looked at, for one address */

struct ht_share {
	uint64_t va;		       /* of the tile; ~0 = unused */
	struct ht_spot *spot;	       /* the holder's; valid for an epoch */
	uint32_t holder;	       /* index of its space */
	uint32_t nr;		       /* targets that map it */
	float heat, listed;	       /* of all, and of those whose tiles are listed */
	float weight;		       /* the holder's */
	uint32_t tile[HT_SHARE_TILES]; /* in the heat map; other than the holder's */
	uint32_t nr_tiles;
};

struct ht_sharing {
	struct ht_share *share; /* hashed by va */
	size_t nr, cap;		/* in use; in all, a power of two */
	unsigned int forking;	/* the caller's: processes that map what their parent does, and are
				   not known yet */
};

void ht_sharing_free(struct ht_sharing *sh);
/*
 * Once an epoch, when spots have their heat and before placement is refreshed: says who holds what,
 * and gives holders the heat of all. 0 or -ENOMEM; then nothing is shared.
 */
int ht_sharing_settle(struct ht_sharing *sh, struct ht_space *const *space, size_t nr);
/* As ht_heatmap_detail() of the spot's tile, with the counts of those it holds the pages for. */
const struct ht_detail *ht_sharing_detail(const struct ht_heatmap *hm, const struct ht_spot *sp,
					  struct ht_detail *copy);
/* All tiles of a spot get page detail; or it is taken back. */
void ht_sharing_give_detail(struct ht_heatmap *hm, const struct ht_spot *sp);
void ht_sharing_drop_detail(struct ht_heatmap *hm, const struct ht_spot *sp);

#endif
