// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sharing.h"

#define UNUSED UINT64_MAX
/* To hold pages changes what both sides have to be asked for: another must be so much hotter. */
#define HOLDER_BONUS 2
#define CAP_MIN 64

void ht_sharing_free(struct ht_sharing *sh)
{
	free(sh->share);
	*sh = (struct ht_sharing){ 0 };
}

/* What has not been looked at may share: else a child's pages were strangers' at first. */
static bool may_share(const struct ht_spot *sp)
{
	return !sp->queried || sp->flags & HT_SPOT_SHARES;
}

/* Its place, or the one where it belongs: half of them at least are unused. */
static struct ht_share *find(const struct ht_sharing *sh, uint64_t va)
{
	size_t i = ht_hash(va);

	while (sh->share[i & (sh->cap - 1)].va != va && sh->share[i & (sh->cap - 1)].va != UNUSED)
		i++;
	return &sh->share[i & (sh->cap - 1)];
}

/* An empty table, of another size if the last one's was far from what it took. */
static int clear(struct ht_sharing *sh)
{
	size_t cap = sh->cap && sh->nr >= sh->cap / 8 ? sh->cap : CAP_MIN, i;
	struct ht_share *n = sh->share;

	if (cap != sh->cap)
		n = reallocarray(sh->share, cap, sizeof(*n));
	if (!n)
		return -ENOMEM;
	sh->share = n;
	sh->cap = cap;
	sh->nr = 0;
	for (i = 0; i < cap; i++)
		n[i].va = UNUSED;
	return 0;
}

static int grow(struct ht_sharing *sh)
{
	struct ht_sharing larger = *sh;
	size_t i;

	larger.cap *= 2;
	larger.share = calloc(larger.cap, sizeof(*larger.share));
	if (!larger.share)
		return -ENOMEM;
	for (i = 0; i < larger.cap; i++)
		larger.share[i].va = UNUSED;
	for (i = 0; i < sh->cap; i++)
		if (sh->share[i].va != UNUSED)
			*find(&larger, sh->share[i].va) = sh->share[i];
	free(sh->share);
	*sh = larger;
	return 0;
}

static float weight_of(const struct ht_spot *sp)
{
	return sp->flags & HT_SPOT_HOLDS ? HOLDER_BONUS * sp->heat + 1 : sp->heat;
}

static int gather(struct ht_sharing *sh, const struct ht_space *s, uint32_t idx)
{
	struct ht_share *share;
	size_t k;
	int err;

	for (k = 0; k < s->nr; k++) {
		const struct ht_spot *sp = &s->spot[k];

		if (!may_share(sp))
			continue;
		err = 2 * sh->nr >= sh->cap ? grow(sh) : 0;
		if (err)
			return err;
		share = find(sh, sp->va);
		if (share->va == UNUSED) {
			*share = (struct ht_share){ .va = sp->va };
			sh->nr++;
		}
		if (!share->nr || weight_of(sp) > share->weight) {
			share->holder = idx;
			share->weight = weight_of(sp);
		}
		share->nr++;
	}
	return 0;
}

/* Whoever begins or ceases to hold the pages of a spot has other pages than before. */
static void appoint(struct ht_sharing *sh, struct ht_space *s, uint32_t idx)
{
	uint32_t nr;
	size_t k;

	for (k = 0; k < s->nr; k++) {
		struct ht_spot *sp = &s->spot[k];
		struct ht_share *share = sh && may_share(sp) ? find(sh, sp->va) : NULL;
		bool holds = share && share->nr > 1 && share->holder == idx;

		if (holds != !!(sp->flags & HT_SPOT_HOLDS)) {
			sp->flags ^= HT_SPOT_HOLDS;
			sp->queried = 0;
		}
		if (!holds)
			continue;
		nr = share->nr + sh->forking;
		sp->sharers = nr < UINT16_MAX ? nr : UINT16_MAX;
		share->spot = sp;
		share->heat = share->listed = sp->heat;
	}
}

/* Of what a target does in a tile, that part is the holder's which is in pages not its own. */
static void hand_over(struct ht_sharing *sh, struct ht_space *s, uint32_t idx)
{
	size_t k;

	for (k = 0; k < s->nr; k++) {
		struct ht_spot *sp = &s->spot[k];
		struct ht_share *share;
		float heat;

		if (!sp->tile || !may_share(sp))
			continue;
		share = find(sh, sp->va);
		if (share->nr < 2 || share->holder == idx)
			continue;
		heat = sp->heat * (HT_TILE_PAGES - ht_spot_pages(sp)) / HT_TILE_PAGES;
		share->heat += heat;
		sp->heat -= heat;
		if (share->nr_tiles == HT_SHARE_TILES)
			continue;
		share->listed += heat;
		share->tile[share->nr_tiles++] = sp->tile;
	}
}

static void give_heat(const struct ht_sharing *sh)
{
	size_t i;

	for (i = 0; i < sh->cap; i++) {
		struct ht_share *share = &sh->share[i];

		if (share->va == UNUSED || share->nr < 2 || !share->nr_tiles)
			continue;
		share->spot->share = share;
		share->spot->heat = share->heat;
		share->spot->boost = share->listed > 0 ? share->heat / share->listed : 1;
	}
}

int ht_sharing_settle(struct ht_sharing *sh, struct ht_space *const *space, size_t nr)
{
	bool any = nr > 1;
	int err = any ? clear(sh) : 0;
	size_t i;

	for (i = 0; any && !err && i < nr; i++)
		err = gather(sh, space[i], i);
	any = any && !err;
	for (i = 0; i < nr; i++)
		appoint(any ? sh : NULL, space[i], i);
	for (i = 0; any && i < nr; i++)
		hand_over(sh, space[i], i);
	if (any)
		give_heat(sh);
	return err;
}

/* Adds sixteen four-bit counters that end at 15: in two halves, so that there is room for a sum. */
static uint64_t add_nibbles(uint64_t x, uint64_t y)
{
	const uint64_t low = 0x0f0f0f0f0f0f0f0fULL, bit = 0x0101010101010101ULL;
	uint64_t even = (x & low) + (y & low), odd = (x >> 4 & low) + (y >> 4 & low);

	even |= (even >> 4 & bit) * 15;
	odd |= (odd >> 4 & bit) * 15;
	return (even & low) | (odd & low) << 4;
}

const struct ht_detail *ht_sharing_detail(const struct ht_heatmap *hm, const struct ht_spot *sp,
					  struct ht_detail *copy)
{
	const struct ht_detail *d = sp->tile ? ht_heatmap_detail(hm, sp->tile, copy) : NULL;
	struct ht_detail more;
	uint32_t i, w;

	for (i = 0; sp->share && i < sp->share->nr_tiles; i++) {
		if (!ht_heatmap_detail(hm, sp->share->tile[i], d ? &more : copy))
			continue;
		for (w = 0; d && w < HT_TILE_WORDS; w++)
			copy->nib[w] = add_nibbles(copy->nib[w], more.nib[w]);
		d = copy;
	}
	return d;
}

static void for_each_tile(struct ht_heatmap *hm, const struct ht_spot *sp,
			  void (*fn)(struct ht_heatmap *hm, uint32_t id))
{
	uint32_t i;

	if (sp->tile)
		fn(hm, sp->tile);
	for (i = 0; sp->share && i < sp->share->nr_tiles; i++)
		fn(hm, sp->share->tile[i]);
}

void ht_sharing_give_detail(struct ht_heatmap *hm, const struct ht_spot *sp)
{
	for_each_tile(hm, sp, ht_heatmap_give_detail);
}

void ht_sharing_drop_detail(struct ht_heatmap *hm, const struct ht_spot *sp)
{
	for_each_tile(hm, sp, ht_heatmap_drop_detail);
}
