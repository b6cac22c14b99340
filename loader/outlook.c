// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "outlook.h"

/* Of the sums, kept from one epoch to the next: a memory of 20 epochs, or two rounds of a scan. */
#define KEEP 0.95
/* Tiles and epochs with which a class's own evidence weighs as much as the rate itself. */
#define PRIOR_TILES 4.0
#define LEAST 0.25f /* rates below it are one class */

void ht_outlook_free(struct ht_outlook *o)
{
	free(o->rate);
	memset(o, 0, sizeof(*o));
}

static unsigned int class_of(float rate)
{
	const float least = LEAST;
	uint32_t bits, base;

	if (rate < least)
		return 0;
	/* The exponent and the first bit after the point, of a positive float. */
	memcpy(&bits, &rate, sizeof(bits));
	memcpy(&base, &least, sizeof(base));
	bits = (bits >> 22) - (base >> 22) + 1;
	return bits < HT_OUTLOOK_CLASSES ? bits : HT_OUTLOOK_CLASSES - 1;
}

void ht_pool_violators(double *est, const double *n, unsigned int nr)
{
	double sum[HT_OUTLOOK_CLASSES], weight[HT_OUTLOOK_CLASSES];
	unsigned int len[HT_OUTLOOK_CLASSES], top = 0, c, i, at = 0;

	for (c = 0; c < nr; c++) {
		sum[top] = est[c] * n[c];
		weight[top] = n[c];
		len[top++] = 1;
		while (top > 1 &&
		       sum[top - 2] * weight[top - 1] >= sum[top - 1] * weight[top - 2]) {
			sum[top - 2] += sum[top - 1];
			weight[top - 2] += weight[top - 1];
			len[top - 2] += len[top - 1];
			top--;
		}
	}
	for (i = 0; i < top; i++)
		for (c = 0; c < len[i]; c++)
			est[at++] = weight[i] > 0 ? sum[i] / weight[i] : 0;
}

static int make_room(struct ht_outlook *o, uint32_t nr)
{
	float *rate;

	if (nr <= o->cap)
		return 0;
	rate = calloc(nr, sizeof(*rate));
	if (!rate)
		return -ENOMEM;
	/* Other maps: what was known of their tiles is of others. */
	free(o->rate);
	o->rate = rate;
	o->cap = nr;
	return 0;
}

static void compare(struct ht_outlook *o, const struct ht_heatmap *hm)
{
	unsigned int c;
	size_t i;

	for (c = 0; c < HT_OUTLOOK_CLASSES; c++) {
		o->tiles[c] *= KEEP;
		o->rates[c] *= KEEP;
		o->hits[c] *= KEEP;
		o->squares[c] *= KEEP;
	}
	for (i = 0; i < hm->nr_live; i++) {
		const struct ht_live *l = &hm->live[i];
		float *before = &o->rate[l->id];

		if (*before > 0) {
			c = class_of(*before);
			o->tiles[c]++;
			o->rates[c] += *before;
			o->hits[c] += l->recent;
			o->squares[c] += (double)l->recent * l->recent;
		}
		*before = l->rate;
	}
}

/* The middle of a class. Between the middles expectations change gradually. */
static double middle(unsigned int c)
{
	uint32_t bits, least;
	float lo, hi;

	if (!c)
		return LEAST / 2;
	lo = LEAST;
	memcpy(&least, &lo, sizeof(least));
	bits = least + ((c - 1) << 22);
	memcpy(&lo, &bits, sizeof(lo));
	bits += 1 << 22;
	memcpy(&hi, &bits, sizeof(hi));
	return (lo + hi) / 2;
}

static void estimate(struct ht_outlook *o)
{
	double weight[HT_OUTLOOK_CLASSES], rates = 0, hits = 0, per_rate;
	unsigned int c;

	o->nr = 0;
	for (c = 0; c < HT_OUTLOOK_CLASSES; c++) {
		rates += o->rates[c];
		hits += o->hits[c];
	}
	if (hits <= 0)
		return;
	/* A steady rate gets so many samples in an epoch. */
	per_rate = hits / rates;
	for (c = 0; c < HT_OUTLOOK_CLASSES; c++) {
		double n = o->tiles[c], mean;

		o->below[c] = o->nr;
		if (n < 0.5)
			continue;
		mean = o->rates[c] / n;
		o->from[o->nr] = middle(c);
		o->to[o->nr] = (o->hits[c] / per_rate + PRIOR_TILES * mean) / (n + PRIOR_TILES);
		weight[o->nr++] = n;
	}
	ht_pool_violators(o->to, weight, o->nr);
}

int ht_outlook_learn(struct ht_outlook *o, const struct ht_heatmap *hm)
{
	int err = make_room(o, hm->mem.nr_tiles);

	if (err)
		return err;
	compare(o, hm);
	estimate(o);
	return 0;
}

void ht_outlook_thin(struct ht_outlook *o, double share)
{
	uint32_t i;

	for (i = 0; i < o->cap; i++)
		o->rate[i] *= share;
}

/* As the classes are wide, steady tiles of one have more than Poisson's variance: a little. */
double ht_outlook_dispersion(const struct ht_outlook *o, double rate)
{
	unsigned int c = class_of(rate);
	double n = o->tiles[c], m, v;

	if (n < 2 || o->hits[c] <= 0)
		return 1;
	m = o->hits[c] / n;
	v = o->squares[c] / n - m * m;
	return v > m ? v / m : 1;
}

double ht_outlook(const struct ht_outlook *o, double rate)
{
	unsigned int i;

	if (!o->nr || rate <= 0)
		return rate;
	/* The middle of the rate's own class is above or below it. */
	i = o->below[class_of(rate)];
	i += i < o->nr && o->from[i] <= rate;
	if (!i)
		return rate * o->to[0] / o->from[0];
	if (i == o->nr)
		return rate * o->to[i - 1] / o->from[i - 1];
	return o->to[i - 1] +
	       (o->to[i] - o->to[i - 1]) * (rate - o->from[i - 1]) / (o->from[i] - o->from[i - 1]);
}
