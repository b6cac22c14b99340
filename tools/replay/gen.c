// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../bench/eval_counts.h"
#include "gen.h"

/* xorshift64*, Vigna 2016. */
static uint64_t next(struct gen *g)
{
	g->rnd ^= g->rnd >> 12;
	g->rnd ^= g->rnd << 25;
	g->rnd ^= g->rnd >> 27;
	return g->rnd * 0x2545f4914f6cdd1dULL;
}

double gen_random(struct gen *g)
{
	return (next(g) >> 11) * 0x1p-53;
}

static uint64_t below(struct gen *g, uint64_t n)
{
	return (unsigned __int128)next(g) * n >> 64;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t t = a % b;

		a = b;
		b = t;
	}
	return a;
}

/* Zipf by rejection-inversion (Hoermann and Derflinger 1996): H is the integral of x^-theta. */
static double zipf_h(double theta, double x)
{
	return theta == 1 ? log(x) : (pow(x, 1 - theta) - 1) / (1 - theta);
}

static double zipf_h_inv(double theta, double y)
{
	return theta == 1 ? exp(y) : pow(1 + y * (1 - theta), 1 / (1 - theta));
}

static uint64_t zipf(struct gen *g)
{
	double u, x;
	uint64_t k;

	for (;;) {
		u = g->zipf_hn + gen_random(g) * (g->zipf_hx0 - g->zipf_hn);
		x = zipf_h_inv(g->theta, u);
		k = x + 0.5;
		if (k < 1)
			k = 1;
		if (k > g->pages)
			k = g->pages;
		if (k - x <= g->zipf_s || u >= zipf_h(g->theta, k + 0.5) - pow(k, -g->theta))
			return k - 1;
	}
}

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x < y) - (x > y);
}

static int read_rates(struct gen *g, FILE *f)
{
	uint32_t count[HT_RING_MAX_PHASES];
	struct eval_counts_hdr h;
	uint64_t vpn, i;

	if (eval_counts_begin(f, &h) || !h.nr_pages || h.nr_pages > EVAL_MAX_PAGES)
		return -EINVAL;
	g->sum = calloc(h.nr_pages, sizeof(*g->sum));
	g->best = calloc(h.nr_pages, sizeof(*g->best));
	if (!g->sum || !g->best)
		return -ENOMEM;
	for (i = 0; i < h.nr_pages; i++) {
		if (eval_counts_next(f, &h, &vpn, count))
			return -EINVAL;
		g->best[i] = count[0];
		g->sum[i] = count[0] + (i ? g->sum[i - 1] : 0);
	}
	qsort(g->best, h.nr_pages, sizeof(*g->best), descending);
	for (i = 1; i < h.nr_pages; i++)
		g->best[i] += g->best[i - 1];
	g->pages = h.nr_pages;
	g->kind = GEN_RATES;
	return g->best[h.nr_pages - 1] > 0 ? 0 : -EINVAL;
}

int gen_load_rates(struct gen *g, const char *file)
{
	FILE *f = fopen(file, "re");
	int err;

	if (!f)
		return -errno;
	err = read_rates(g, f);
	fclose(f);
	return err;
}

void gen_free(struct gen *g)
{
	free(g->sum);
	free(g->best);
}

/* The page in whose part of the sum a random point lies. */
static uint64_t draw_by_rate(struct gen *g)
{
	double at = gen_random(g) * g->sum[g->pages - 1];
	uint64_t lo = 0, hi = g->pages - 1, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (g->sum[mid] > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

void gen_init(struct gen *g, uint64_t seed)
{
	g->rnd = seed * 0x9e3779b97f4a7c15ULL + 1;
	/* Neighbours in rank are this many pages apart: near the golden section, coprime. */
	g->step = g->pages * 0.61803398875;
	while (g->step < 2 || gcd(g->step, g->pages) != 1)
		g->step++;
	g->zipf_hx0 = zipf_h(g->theta, 1.5) - 1;
	g->zipf_hn = zipf_h(g->theta, g->pages + 0.5);
	g->zipf_s = 2 - zipf_h_inv(g->theta, zipf_h(g->theta, 2.5) - pow(2, -g->theta));
}

/* Page that is number k of the hot ones. */
static uint64_t place(const struct gen *g, uint64_t k)
{
	uint64_t huge = g->pages / 512, h;

	switch (g->layout) {
	case GEN_CONTIG:
		return (k + (uint64_t)(g->pages * fmod(0.85 + g->phase * 0.381966, 1))) % g->pages;
	case GEN_SCATTER:
		return (unsigned __int128)(k + g->phase * g->hot) * g->step % g->pages;
	case GEN_SPARSE:
		h = k % huge; /* NOLINT(clang-analyzer-core.DivideZero): at least one, see size() */
		return h * 512 + ((k / huge + g->phase * 37) * 167 + h * 31) % 512;
	}
	return 0;
}

uint64_t gen_draw(struct gen *g)
{
	if (g->shift_every && ++g->drawn % g->shift_every == 0)
		g->phase++;
	switch (g->kind) {
	case GEN_GUPS:
		if (gen_random(g) < g->hot_share)
			return place(g, below(g, g->hot));
		return below(g, g->pages);
	case GEN_ZIPF:
		return place(g, zipf(g));
	case GEN_UNIFORM:
		return below(g, g->pages);
	case GEN_SCAN:
		/* A sample each 2 pages or so of the scan, as a period of some 1000 words gives. */
		if (gen_random(g) < g->scan_share) {
			g->scan_pos += 1 + below(g, 3);
			return g->scan_pos % g->pages;
		}
		return place(g, below(g, g->hot));
	case GEN_GRAPH:
		/* Three quarters of memory are edges, streamed; vertices are skewed and scattered.
		 */
		if (gen_random(g) < g->scan_share) {
			g->scan_pos += 1 + below(g, 3);
			return g->pages / 4 + g->scan_pos % (g->pages - g->pages / 4);
		}
		return place(g, zipf(g)) % (g->pages / 4);
	case GEN_RATES:
		return draw_by_rate(g);
	}
	return 0;
}

static double zipf_share(const struct gen *g, uint64_t pages)
{
	double all = 0, part = 0;
	uint64_t k;

	if (pages >= g->pages)
		return 1;
	/* The sum's head is exact; its tail is the integral. */
	for (k = 1; k <= g->pages && k < 1000000; k++) {
		all += pow(k, -g->theta);
		if (k <= pages)
			part = all;
	}
	if (g->pages >= 1000000)
		all += zipf_h(g->theta, g->pages) - zipf_h(g->theta, 1000000);
	if (pages >= 1000000)
		part += zipf_h(g->theta, pages) - zipf_h(g->theta, 1000000);
	return part / all;
}

double gen_oracle(const struct gen *g, uint64_t pages)
{
	double f = (double)pages / g->pages, in_hot = (double)pages / g->hot;

	if (in_hot > 1)
		in_hot = 1;
	switch (g->kind) {
	case GEN_GUPS:
		return g->hot_share * in_hot + (1 - g->hot_share) * fmin(f, 1);
	case GEN_ZIPF:
		return zipf_share(g, pages);
	case GEN_UNIFORM:
		return fmin(f, 1);
	case GEN_SCAN:
		return (1 - g->scan_share) * in_hot + g->scan_share * fmin(f, 1);
	case GEN_GRAPH:
		return -1; /* no closed form */
	case GEN_RATES:
		return pages ? g->best[(pages < g->pages ? pages : g->pages) - 1] /
				       g->best[g->pages - 1]
			     : 0;
	}
	return -1;
}
