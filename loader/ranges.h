/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Ranges of guest virtual addresses of about equal heat, made anew each epoch from the spots of all
 * targets, so that they split where densities differ and merge where they do not. Their number
 * follows the structure of the accesses, not the footprint.
 *
 * Two neighbours are one range unless their sample counts differ by more than chance: counts are
 * Poisson, so for heats h, H over n, m pages z = (h/n - H/m) / sqrt((h + H) / (n + m) * (1/n +
 * 1/m)).
 *
 * Where samples repeat on few pages (a run of tiles with page detail) the run yields one range for
 * each page count, a stratum: "the pages between start and end sampled c times". A page's count is
 * a poor estimate of its rate; what to expect of it follows from the run's own distribution of
 * counts (empirical Bayes, Robbins 1956): with N_c pages counted c times, E(rate | c) = (c + 1)
 * N_c+1 / N_c, whatever the distribution of rates. Of few pages its linear form is used, m + (c -
 * m) (v - m) / v for mean m and variance v. On memory without structure all strata get the same
 * density, and nothing is worth moving; of cold pages sampled once by chance no more is expected
 * than of the others.
 *
 * Tiles get page detail where their samples repeat on few pages, and where a run is sampled densely
 * enough that a mild skew would show.
 */
#ifndef HT_RANGES_H
#define HT_RANGES_H

#include <hypertier/ops.h>

#include "heatmap.h"
#include "outlook.h"
#include "page_outlook.h"
#include "space.h"

#define HT_ALL_LEVELS 0xffff

/* What the planner needs beside the policy's view. */
struct ht_range_info {
	uint32_t space;			  /* index of the space */
	uint32_t first, nr;		  /* its spots */
	uint32_t in_tier[HT_SPACE_TIERS]; /* resident 4 KiB pages of the range by tier */
	double evidence; /* Poisson counts that its heat is as sure as; of a stratum, that of a page
			  */
	uint16_t levels; /* strata: bit c = pages counted c times; else HT_ALL_LEVELS */
};

/* A huge page whose subpages differ much in heat. */
struct ht_skewed {
	uint32_t space, spot;
};

struct ht_ranges {
	struct ht_range *range; /* shared with the policy: the "ranges" map, or plain memory */
	struct ht_range_info *info;
	size_t nr, cap;
	double z;      /* significance below which neighbours merge; grows when cap is reached */
	size_t coarse; /* spots to a range where no z is enough, 0 = as they differ */
	bool fixed;    /* ablation: a range for each spot, no strata */
	/*
	 * In: heat that one page count stands for, 0 = not known: sum of the tiles' rates over the
	 * samples behind the page counters.
	 */
	double heat_per_count;
	double dispersion; /* variance of the totals of tiles with page detail, in Poisson's */
	uint64_t heat;	   /* sum over all ranges */
	uint64_t heat_in_tier[HT_SPACE_TIERS]; /* its share by where the pages are */
	uint32_t skewed;		       /* huge pages whose subpages differ much in heat */
	uint64_t counts, count_squares;	       /* sums over all pages with detail */
	uint32_t strata;		       /* ranges that are strata */
	struct ht_range *prev;		       /* the last epoch's, for age and idle time */
	size_t nr_prev;
	struct ht_skewed *skew; /* the huge pages counted in skewed, but where memory ran out */
	size_t nr_skew, cap_skew;
	struct ht_outlook outlook;
	struct ht_page_outlook pages;
};

/* Memory for cap ranges is the caller's (range) and allocated here (the rest). */
int ht_ranges_init(struct ht_ranges *rs, struct ht_range *range, size_t cap);
void ht_ranges_free(struct ht_ranges *rs);
/* Builds all ranges. Takes page detail back from tiles that turned out uniform. 0 or -errno. */
int ht_ranges_build(struct ht_ranges *rs, struct ht_space *const *space, size_t nr_spaces,
		    struct ht_heatmap *hm, uint32_t epoch);

/* The pages of a tile that belong to a stratum, as a bit map of 512 bits. */
void ht_ranges_pages(const struct ht_heatmap *hm, const struct ht_spot *sp, uint16_t levels,
		     uint64_t mask[HT_TILE_PAGES / 64]);

#endif
