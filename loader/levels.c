// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "levels.h"
#include "sharing.h"

uint32_t ht_levels_pages(const struct ht_levels *h, unsigned int count)
{
	uint32_t n = 0;
	unsigned int t;

	for (t = 0; t < HT_SPACE_TIERS; t++)
		n += h->nr[count][t];
	return n;
}

/* Pages by count. Four partial sums: a counter that is found in flight costs a dependency each. */
static void count_levels(const struct ht_detail *d, uint32_t nr[HT_LEVELS])
{
	uint16_t part[4][HT_LEVELS] = {};
	unsigned int i, c;

	for (i = 0; i < HT_TILE_WORDS; i++) {
		uint64_t w = d->nib[i];

		for (c = 0; c < 16; c += 4, w >>= 16) {
			part[0][w & 15]++;
			part[1][w >> 4 & 15]++;
			part[2][w >> 8 & 15]++;
			part[3][w >> 12 & 15]++;
		}
	}
	for (c = 0; c < HT_LEVELS; c++)
		nr[c] = part[0][c] + part[1][c] + part[2][c] + part[3][c];
}

/* All resident pages of the spot are in one tier. Pages that are not there were never sampled. */
static void add_uniform(struct ht_levels *h, const struct ht_detail *d, const struct ht_spot *sp)
{
	uint32_t nr[HT_LEVELS] = { HT_TILE_PAGES }, pages = ht_spot_pages(sp);
	unsigned int c, tier = ht_spot_tier(sp, 0);

	if (tier >= HT_SPACE_TIERS)
		return;
	if (d)
		count_levels(d, nr);
	nr[0] -= nr[0] < HT_TILE_PAGES - pages ? nr[0] : HT_TILE_PAGES - pages;
	for (c = 0; c < HT_LEVELS; c++)
		h->nr[c][tier] += nr[c];
}

void ht_levels_add(struct ht_levels *h, const struct ht_heatmap *hm, const struct ht_spot *sp)
{
	struct ht_detail copy;
	const struct ht_detail *d = ht_sharing_detail(hm, sp, &copy);
	unsigned int p;

	if (!sp->place) {
		add_uniform(h, d, sp);
		return;
	}
	for (p = 0; p < HT_TILE_PAGES; p++)
		if (sp->place[p] < HT_SPACE_TIERS)
			h->nr[d ? ht_detail_get(&copy, p) : 0][sp->place[p]]++;
}

void ht_levels_sum(struct ht_levels *h)
{
	unsigned int c;

	for (c = 0; c < HT_LEVELS; c++) {
		uint64_t n = ht_levels_pages(h, c);

		h->pages += n;
		h->sum += n * c;
		h->squares += n * c * c;
	}
}

double ht_levels_signal(const struct ht_levels *h)
{
	double m, v;

	if (!h->pages || !h->sum)
		return 0;
	m = (double)h->sum / h->pages;
	v = (double)h->squares / h->pages - m * m;
	return v > m ? (v - m) / v : 0;
}
