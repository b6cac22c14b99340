// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "page_outlook.h"

#define WORDS (HT_TILE_PAGES / 64)
/* Of the sums, kept from one epoch to the next: a memory of 20 epochs. */
#define KEEP 0.95
/* Samples with which what came weighs as much as what was expected. */
#define PRIOR 16.0
#define Z_SURE 2.0

/* One tile as it was when its pages' heat was estimated. */
struct ht_page_memory {
	uint64_t key;
	uint32_t id, tick;
	struct ht_detail count;
	uint64_t mask[HT_PAGE_CLASSES][WORDS]; /* resident pages, counters that are full left out */
	double due[HT_PAGE_CLASSES];
};

void ht_page_outlook_free(struct ht_page_outlook *o)
{
	free(o->tile);
	memset(o, 0, sizeof(*o));
}

/* Samples of the pages in the mask since they were remembered: counters that rose. */
static uint32_t samples_since(const struct ht_page_memory *m, const struct ht_detail *now,
			      const uint64_t mask[WORDS])
{
	unsigned int i, p, then, sum = 0;

	for (i = 0; i < HT_TILE_PAGES / 16; i++) {
		/* Few words have changed. */
		if (m->count.nib[i] == now->nib[i])
			continue;
		for (p = i * 16; p < i * 16 + 16; p++) {
			then = ht_detail_get(&m->count, p);
			if (mask[p / 64] >> (p % 64) & 1 && ht_detail_get(now, p) > then)
				sum += ht_detail_get(now, p) - then;
		}
	}
	return sum;
}

static void compare(struct ht_page_outlook *o, const struct ht_heatmap *hm,
		    const struct ht_page_memory *m)
{
	struct ht_detail now;
	unsigned int k;

	/* Another tile by now, or aged: its counters are no longer those plus the samples since. */
	if (hm->mem.tile[m->id].key != m->key || hm->mem.ctl->tick != m->tick ||
	    !ht_heatmap_detail(hm, m->id, &now))
		return;
	for (k = 0; k < HT_PAGE_CLASSES; k++) {
		o->came[k] += samples_since(m, &now, m->mask[k]);
		o->due[k] += m->due[k];
	}
}

/* By how much more of what was expected came to the fast pages, less two standard deviations. */
static double advantage(const struct ht_page_outlook *o)
{
	double fast = o->came[HT_PAGE_FAST] + PRIOR, slow = o->came[HT_PAGE_SLOW] + PRIOR;
	double came = o->came[HT_PAGE_FAST] + o->came[HT_PAGE_SLOW];
	double due = o->due[HT_PAGE_FAST] + o->due[HT_PAGE_SLOW], share = due > 0 ? came / due : 0;

	return fast / (o->due[HT_PAGE_FAST] * share + PRIOR) /
	       (slow / (o->due[HT_PAGE_SLOW] * share + PRIOR)) *
	       (1 - Z_SURE * sqrt(1 / fast + 1 / slow));
}

static void estimate(struct ht_page_outlook *o)
{
	o->factor[HT_PAGE_FAST] = fmax(advantage(o), 1);
	o->factor[HT_PAGE_SLOW] = 1;
}

void ht_page_outlook_learn(struct ht_page_outlook *o, const struct ht_heatmap *hm)
{
	uint32_t i;

	for (i = 0; i < HT_PAGE_CLASSES; i++) {
		o->came[i] *= KEEP;
		o->due[i] *= KEEP;
	}
	for (i = 0; i < o->nr; i++)
		compare(o, hm, &o->tile[i]);
	estimate(o);
	o->stride = (o->offered + HT_PAGE_OUTLOOK_TILES - 1) / HT_PAGE_OUTLOOK_TILES;
	o->turn = o->turn + 1 < o->stride ? o->turn + 1 : 0;
	o->nr = o->offered = 0;
}

static struct ht_page_memory *new_memory(struct ht_page_outlook *o)
{
	uint32_t cap = o->cap ? o->cap * 2 : 64;
	struct ht_page_memory *n;

	if (o->nr == HT_PAGE_OUTLOOK_TILES)
		return NULL;
	if (o->nr == o->cap) {
		n = reallocarray(o->tile, cap, sizeof(*n));
		if (!n)
			return NULL; /* the less is learned */
		o->tile = n;
		o->cap = cap;
	}
	return memset(&o->tile[o->nr++], 0, sizeof(*o->tile));
}

void ht_page_outlook_offer(struct ht_page_outlook *o, const struct ht_heatmap *hm,
			   const struct ht_spot *sp, const double est[HT_PAGE_MAX + 1])
{
	struct ht_page_memory *m;
	struct ht_detail count;
	unsigned int p, c, k;

	/* What a tile gets is not all that is expected where others share its pages. */
	if (sp->share || o->offered++ % (o->stride ?: 1) != o->turn || !sp->tile ||
	    !ht_heatmap_detail(hm, sp->tile, &count))
		return;
	m = new_memory(o);
	if (!m)
		return;
	m->key = hm->mem.tile[sp->tile].key;
	m->id = sp->tile;
	m->tick = hm->mem.ctl->tick;
	m->count = count;
	for (p = 0; p < HT_TILE_PAGES; p++) {
		c = ht_detail_get(&count, p);
		k = ht_spot_tier(sp, p) ? HT_PAGE_SLOW : HT_PAGE_FAST;
		if (c == HT_PAGE_MAX || ht_spot_tier(sp, p) == HT_ABSENT)
			continue;
		m->mask[k][p / 64] |= 1ULL << (p % 64);
		m->due[k] += est[c];
	}
}
