/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Zipf-distributed ranks by inversion of the distribution's integral, which is within a few percent
 * of the exact frequencies for all but the first ranks and needs no table; and a permutation that
 * scatters ranks, as popular keys are not neighbours in memory.
 */
#ifndef WORKLOAD_ZIPF_H
#define WORKLOAD_ZIPF_H

#include <math.h>

#include "workload.h"

struct zipf {
	uint64_t n, step;
	double inv, range; /* of the integral of x^-theta from 1 to n + 1 */
};

/* theta from 0 (uniform) up; 1 itself is moved off the logarithm's pole. */
static inline void zipf_init(struct zipf *z, uint64_t n, double theta)
{
	if (fabs(theta - 1) < 1e-6)
		theta = 1 + 1e-6;
	z->n = n;
	z->inv = 1 / (1 - theta);
	z->range = pow(n + 1.0, 1 - theta) - 1;
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
	uint64_t r = pow(1 + wl_unit(rng) * z->range, z->inv) - 1;

	return r < z->n ? r : z->n - 1;
}

static inline uint64_t zipf_permute(const struct zipf *z, uint64_t rank)
{
	return (unsigned __int128)rank * z->step % z->n;
}

#endif
