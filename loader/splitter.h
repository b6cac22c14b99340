/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Which huge pages to split (after MEMTIS, SOSP '23), and doing so.
 *
 * A huge page moves whole: where a few of its subpages get its accesses, fast memory holds the
 * others as well, or slow memory the few. Fast memory has a price, the heat per page at which it is
 * full when it is filled from the densest range down. At that price a huge page that stays whole is
 * worth what its heat exceeds the price of 512 pages by, if it does; split it is worth the same sum
 * over those of its pages alone whose heat exceeds the price of one. It is split where the
 * difference pays for the split, for moving the pages, and for the dearer translation of its
 * addresses from then on. Where all that is hot fits into fast memory the price is that of cold
 * memory and the difference next to nothing: huge pages then stay, for their reach in the TLB.
 *
 * What is split becomes an ordinary tile with page detail, whose pages are placed one by one. The
 * kernel may leave a page whole, and khugepaged may put one together again: it is left alone for
 * some seconds then, twice as long after each attempt.
 */
#ifndef HT_SPLITTER_H
#define HT_SPLITTER_H

#include <stdbool.h>
#include <stdint.h>

#include "levels.h"
#include "planner.h"

/* What a split takes on current hardware: some 70 us, 370 where most of the page is zeroes. */
#define HT_SPLIT_NS 100000.0
#define HT_SPLIT_MAX 64 /* in an epoch: 128 MiB, the budget of as many whole ones */

struct ht_splitter_stats { /* huge pages */
	uint64_t split;
	uint64_t failed;		/* still whole after an attempt: pinned, locked, gone */
	uint64_t would_split;		/* dry run */
	uint64_t whole, refused, error; /* of failed: advice taken in vain, EINVAL, the rest */
};

struct ht_split_memory;

struct ht_splitter {
	bool on;
	char why[96];	 /* or why not */
	double split_ns; /* moving average of what one takes */
	struct ht_splitter_stats stats;
	struct ht_split_memory *memory; /* attempts of late, by page */
};

struct ht_splitter_env {
	struct ht_space *const *space;
	const struct ht_heatmap *hm;
	const struct ht_plan_params *par;
	struct ht_placement *placement;
	const struct ht_tiers *tiers;
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, after which no further page is split */
	bool dry_run;
};

/* Finds out whether pages can be split here, unless it is not wanted. 0 or -ENOMEM. */
int ht_splitter_init(struct ht_splitter *s, bool wanted);
void ht_splitter_free(struct ht_splitter *s);

/*
 * Heat per page at which so many pages of fast memory are full, 0 = everything fits. By heat, not
 * by the policy's scores: they order memory, and tell no amounts.
 */
double ht_split_price(const struct ht_ranges *rs, uint64_t capacity);

/* What splitting a huge page with these page counts, and so much heat to come, gains at a price. */
struct ht_split_gain {
	double heat;	/* that goes to fast memory instead of slow, net of what leaves it */
	uint32_t pages; /* worth the price, but not in the fastest tier */
};
struct ht_split_gain ht_split_gain(const struct ht_levels *h, double expect, double price);

/*
 * Splits the huge pages among rs's skewed ones for which it pays most. The plan's moves of these
 * are taken back: their pages are planned for one by one in the next epoch.
 */
void ht_splitter_run(struct ht_splitter *s, const struct ht_ranges *rs, struct ht_plan *plan,
		     const struct ht_splitter_env *env);

#endif
