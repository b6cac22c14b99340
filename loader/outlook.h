/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a tile's rate has foretold of late. A rate is made of samples that were; what a move gains
 * depends on those that will be. So each epoch's samples are set against the rates before it, in
 * classes of about equal rate, and a tile is expected to get what tiles of its class got: where a
 * scan left a trail of warm tiles that nobody comes back to, warm means little; where all memory is
 * alike, higher rates were chance; where the hottest stay hot, they count in full. An empirical
 * Bayes estimate that takes nothing for granted but that a higher rate does not promise less.
 */
#ifndef HT_OUTLOOK_H
#define HT_OUTLOOK_H

#include "heatmap.h"

#define HT_OUTLOOK_CLASSES 64 /* two to a power of two, from 1/4 up */

struct ht_outlook {
	float *rate; /* by tile id, as of the last epoch */
	uint32_t cap;
	/* Sums over tiles and epochs, old ones fading: how many, their rates, their next samples,
	 * and these squared. */
	double tiles[HT_OUTLOOK_CLASSES], rates[HT_OUTLOOK_CLASSES], hits[HT_OUTLOOK_CLASSES];
	double squares[HT_OUTLOOK_CLASSES];
	/* Of classes that were seen, rising: their middles, and the steady rates they foretold. */
	double from[HT_OUTLOOK_CLASSES], to[HT_OUTLOOK_CLASSES];
	unsigned int nr;
	uint8_t below[HT_OUTLOOK_CLASSES]; /* of these, in lower classes */
};

void ht_outlook_free(struct ht_outlook *o);
/* Once per epoch, after ht_heatmap_collect(). 0 or -ENOMEM. */
int ht_outlook_learn(struct ht_outlook *o, const struct ht_heatmap *hm);
/* As ht_heatmap_thin(): what comes next is set against rates so much lower. */
void ht_outlook_thin(struct ht_outlook *o, double share);
/* The rate to expect of a tile with this one. */
double ht_outlook(const struct ht_outlook *o, double rate);
/*
 * Variance of what tiles with this rate get next, in Poisson's, at least one: where some are gone
 * on with and others are left behind, many samples foretell no more than few.
 */
double ht_outlook_dispersion(const struct ht_outlook *o, double rate);
/* Makes est[0 .. nr) rise, by pooling neighbours that do not, with weights n[]. */
void ht_pool_violators(double *est, const double *n, unsigned int nr);

#endif
