// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Macroscopic cross-section look-ups of a Monte Carlo neutron transport code, in the shape XSBench
 * made a benchmark of: a binary search for a random energy in the unionised grid of all nuclides,
 * one row of an index table, and for each nuclide of a random material a gather of two neighbouring
 * points from the nuclide's own grid. The index table is most of the memory but is read once per
 * look-up; the nuclide grids are a fraction of it and get nearly all accesses, with no locality
 * from one look-up to the next. The tables are allocated in that order, index first, so that the
 * hot part starts in slow memory when the fast node is too small.
 *
 * Every word of the tables is a function of its place; all are checked at the end. The hash of all
 * results is in the JSON and depends on the seed alone.
 */
#include "workload.h"

#define NUCLIDES 64
#define XS 5
#define MATERIALS 12

struct point {
	double energy;
	double xs[XS];
};

struct bench {
	struct wl w;
	uint64_t lookups, points, nr_union;
	double *energy;	    /* [nr_union], ascending */
	uint32_t *index;    /* [nr_union][NUCLIDES]: last point of the nuclide at or below */
	struct point *grid; /* [NUCLIDES][points] */
	unsigned int nr_nuclides[MATERIALS];
	unsigned char nuclide[MATERIALS][NUCLIDES];
	double weight[MATERIALS];
	uint64_t hash;
};

static inline double xs_of(uint64_t nuclide, uint64_t point, unsigned int i)
{
	return (wl_mix((nuclide << 40) + (point << 3) + i) >> 12) * 0x1p-52;
}

/* The fuel holds half of all nuclides and is asked for most, as in the reactor XSBench models. */
static void make_materials(struct bench *b)
{
	static const unsigned char size[MATERIALS] = { 34, 5, 4, 4, 27, 21, 21, 21, 21, 21, 9, 9 };
	static const double share[MATERIALS] = { .140, .052, .275, .134, .154, .064,
						 .066, .055, .008, .015, .025, .012 };
	uint64_t rng = wl_seed(b->w.seed, 1);

	for (unsigned int m = 0; m < MATERIALS; m++) {
		b->nr_nuclides[m] = size[m];
		b->weight[m] = share[m] + (m ? b->weight[m - 1] : 0);
		for (unsigned int i = 0; i < size[m]; i++)
			b->nuclide[m][i] = m ? wl_below(&rng, NUCLIDES) : i;
	}
}

/*
 * Energies of the union in ascending order; of every NUCLIDES neighbours each nuclide has one, in
 * random order, so the nuclides' grids need no sorting. The same walk fills or checks.
 */
static uint64_t walk(struct bench *b, bool check)
{
	uint64_t rng = wl_seed(b->w.seed, 2), bad = 0;
	unsigned char order[NUCLIDES];
	uint32_t at[NUCLIDES] = { 0 };

	for (unsigned int i = 0; i < NUCLIDES; i++)
		order[i] = i;
	for (uint64_t u = 0; u < b->nr_union; u++) {
		uint32_t *row = b->index + u * NUCLIDES;
		unsigned int left = NUCLIDES - u % NUCLIDES, pick, n;
		double e = (u + wl_unit(&rng)) / b->nr_union;
		struct point *p;

		pick = wl_below(&rng, left);
		n = order[pick];
		order[pick] = order[left - 1];
		order[left - 1] = n;
		p = &b->grid[n * b->points + u / NUCLIDES];
		at[n] = u / NUCLIDES;
		if (check) {
			bad += b->energy[u] != e || p->energy != e || memcmp(row, at, sizeof(at));
			for (unsigned int i = 0; i < XS; i++)
				bad += p->xs[i] != xs_of(n, u / NUCLIDES, i);
			continue;
		}
		b->energy[u] = e;
		p->energy = e;
		memcpy(row, at, sizeof(at));
		for (unsigned int i = 0; i < XS; i++)
			p->xs[i] = xs_of(n, u / NUCLIDES, i);
	}
	return bad;
}

static void setup(struct bench *b)
{
	uint64_t per_union = sizeof(double) + NUCLIDES * sizeof(uint32_t) + sizeof(struct point);

	b->points = b->w.size_mib * WL_MIB / per_union / NUCLIDES;
	b->nr_union = b->points * NUCLIDES;
	b->energy = wl_alloc(&b->w, b->nr_union * sizeof(*b->energy));
	b->index = wl_alloc(&b->w, b->nr_union * NUCLIDES * sizeof(*b->index));
	b->grid = wl_alloc(&b->w, b->nr_union * sizeof(*b->grid));
	for (uint64_t i = 0; i < b->nr_union * NUCLIDES; i += WL_PAGE / sizeof(*b->index))
		b->index[i] = 1;
	make_materials(b);
	walk(b, false);
}

static uint64_t search(const struct bench *b, double e)
{
	uint64_t lo = 0, len = b->nr_union;

	while (len > 1) {
		uint64_t half = len / 2;

		lo = b->energy[lo + half] <= e ? lo + half : lo;
		len -= half;
	}
	return lo;
}

static void look_up(struct bench *b, double e, unsigned int material)
{
	const uint32_t *row = b->index + search(b, e) * NUCLIDES;
	double sum[XS] = { 0 };
	uint64_t bits;

	for (unsigned int i = 0; i < b->nr_nuclides[material]; i++) {
		unsigned int n = b->nuclide[material][i];
		uint64_t at = row[n] + 1 < b->points ? row[n] : b->points - 2;
		const struct point *p = &b->grid[n * b->points + at];
		double f = (p[1].energy - e) / (p[1].energy - p[0].energy);

#pragma GCC unroll 5 /* keeps the sums in registers */
		for (unsigned int x = 0; x < XS; x++)
			sum[x] += p[1].xs[x] - f * (p[1].xs[x] - p[0].xs[x]);
	}
	for (unsigned int x = 0; x < XS; x++) {
		memcpy(&bits, &sum[x], sizeof(bits));
		b->hash = wl_mix(b->hash ^ bits);
	}
}

static uint64_t run(struct bench *b)
{
	uint64_t rng = wl_seed(b->w.seed, 3), done = 0;

	wl_start(&b->w);
	for (; b->w.seconds || done < b->lookups; done++) {
		double e = wl_unit(&rng), m = wl_unit(&rng);
		unsigned int material = 0;

		while (material < MATERIALS - 1 && m > b->weight[material])
			material++;
		look_up(b, e, material);
		if (done % 256 == 0 && !wl_tick(&b->w, done))
			break;
	}
	wl_stop(&b->w, done);
	wl_extra(&b->w, "\"hash\":\"%016" PRIx64 "\",", b->hash);
	return done;
}

static const struct opt options[] = { OPT_NUMBER(struct bench, lookups, "lookups", 'n', "N", 1,
						 1e15, "cross-section look-ups (400000)"),
				      {} };

static const char doc[] = "Cross-section look-ups in the manner of XSBench. One thread.";

int main(int argc, char **argv)
{
	static struct bench b = { .w = { .name = "xsbench", .size_mib = 700 }, .lookups = 400000 };
	uint64_t bad;

	wl_parse(&b.w, argc, argv, options, &b, doc);
	b.w.threads = 1;
	setup(&b);
	wl_placement(&b.w, "index",
		     wl_fast_range(&b.w, b.index, b.nr_union * NUCLIDES * sizeof(*b.index)));
	wl_placement(&b.w, "grid", wl_fast_range(&b.w, b.grid, b.nr_union * sizeof(*b.grid)));
	run(&b);
	bad = walk(&b, true);
	if (bad)
		fprintf(stderr, "xsbench: %" PRIu64 " wrong words\n", bad);
	return wl_finish(&b.w, !bad);
}
