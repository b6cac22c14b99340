/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * How often accesses are sampled. What can be told of a page grows with the samples it has had, by
 * little once it has had several, while each sample costs the same. So accesses are sampled more
 * often than --period says until there are a few samples for each page, or two and nothing to move,
 * then as it says; and more often again when other pages have become hot. How often is bounded by
 * what samples cost.
 */
#ifndef HT_PACE_H
#define HT_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define HT_PACE_BURST 8 /* default of --burst */
#define HT_PACE_BURST_TOP 64

struct ht_pace {
	unsigned int max;   /* samples in the place of one, at most; 1 = never more */
	unsigned int limit; /* the same, as far as the source can keep up */
	bool dense;
	uint64_t samples; /* since it became dense */
	uint64_t still;	  /* those of the last epochs in which next to nothing moved */
	unsigned int now; /* samples in the place of one, as of the last answer */
	uint64_t known;	  /* 4 KiB pages that were sampled enough */
};

/* What an epoch was like. */
struct ht_pace_epoch {
	uint64_t samples;   /* counted */
	uint64_t due, lost; /* that the source should have delivered, and did not */
	uint64_t throttled; /* times that the kernel stopped an event, as its samples were too many
			     */
	uint64_t moved;	    /* 4 KiB pages that changed their tier, or would have */
	uint64_t budget;    /* 4 KiB pages that may */
	uint64_t pages;	    /* 4 KiB pages of memory that is sampled at all */
	uint64_t most;	    /* samples that an epoch may have while they are many, 0 = any number */
	bool shifted;	    /* other pages have become hot */
};

void ht_pace_init(struct ht_pace *p, unsigned int max);
/* For a source that cannot give more than so many in the place of one. */
void ht_pace_bound(struct ht_pace *p, unsigned int max);
/* Samples to take in the place of one in the next epoch: from 1 to max. */
unsigned int ht_pace_next(struct ht_pace *p, const struct ht_pace_epoch *e);

#endif
