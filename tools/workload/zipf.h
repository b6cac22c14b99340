/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Zipf-distributed ranks by inversion of the distribution's integral, which is within a few percent
 * of the exact frequencies for all but the first ranks; and a permutation that scatters ranks, as
 * popular keys are not neighbours in memory. The inverse is tabulated, as a power for each draw
 * would take most of an emulated machine's time.
 */
#ifndef WORKLOAD_ZIPF_H
#define WORKLOAD_ZIPF_H

#include <math.h>

#include "workload.h"

#define ZIPF_CELL_BITS 11
#define ZIPF_CELLS (1 << ZIPF_CELL_BITS)
#define ZIPF_ONE 65536 /* of a rank: the first ones are narrower than a cell */

struct zipf {
	uint64_t n, step;
	uint64_t at[ZIPF_CELLS + 1]; /* rank * ZIPF_ONE below which so many of the draws lie */
};

/* theta from 0 (uniform) up; 1 itself is moved off the logarithm's pole. */
static inline void zipf_init(struct zipf *z, uint64_t n, double theta)
{
	double range;

	if (fabs(theta - 1) < 1e-6)
		theta = 1 + 1e-6;
	z->n = n;
	range = pow(n + 1.0, 1 - theta) - 1; /* the integral of x^-theta from 1 to n + 1 */
	for (unsigned int i = 0; i <= ZIPF_CELLS; i++)
		z->at[i] = (pow(1 + range * i / ZIPF_CELLS, 1 / (1 - theta)) - 1) * ZIPF_ONE;
	for (z->step = (uint64_t)(n * 0.61803398875) | 1;; z->step += 2) {
		uint64_t a = n, b = z->step % n;

		while (b) {
			uint64_t t = a % b;

			a = b;
			b = t;
		}
		if (a == 1)
			break;
	}
}

static inline uint64_t zipf_rank(const struct zipf *z, uint64_t *rng)
{
	uint64_t x = wl_rand(rng), cell = x >> (64 - ZIPF_CELL_BITS);
	uint64_t width = z->at[cell + 1] - z->at[cell], part = x << ZIPF_CELL_BITS;
	uint64_t r = (z->at[cell] + (uint64_t)((unsigned __int128)width * part >> 64)) / ZIPF_ONE;

	return r < z->n ? r : z->n - 1;
}

static inline uint64_t zipf_permute(const struct zipf *z, uint64_t rank)
{
	return (unsigned __int128)rank * z->step % z->n;
}

#endif
