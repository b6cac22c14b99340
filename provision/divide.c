// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdlib.h>

#include "work.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t clamp_u64(uint64_t v, uint64_t lo, uint64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

struct pv_work *pv_work_new(size_t nr)
{
	struct pv_work *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	nr = nr ?: 1;
	w->nr = nr;
	w->bend = calloc(2 * nr, sizeof(*w->bend));
	w->segment = calloc(HT_GUEST_CURVE * nr, sizeof(*w->segment));
	w->weight = calloc(nr, sizeof(*w->weight));
	w->lo = calloc(nr, sizeof(*w->lo));
	w->hi = calloc(nr, sizeof(*w->hi));
	w->out = calloc(nr, sizeof(*w->out));
	w->cap = calloc(nr, sizeof(*w->cap));
	if (w->bend && w->segment && w->weight && w->lo && w->hi && w->out && w->cap)
		return w;
	pv_work_free(w);
	return NULL;
}

void pv_work_free(struct pv_work *w)
{
	if (!w)
		return;
	free(w->bend);
	free(w->segment);
	free(w->weight);
	free(w->lo);
	free(w->hi);
	free(w->out);
	free(w->cap);
	free(w);
}

static int by_level(const void *a, const void *b)
{
	double x = ((const struct pv_bend *)a)->level, y = ((const struct pv_bend *)b)->level;

	return (x > y) - (x < y);
}

/* The sum of all shares is piecewise linear in the level and never falls: walk its bends. */
static double find_level(struct pv_bend *bend, size_t nr, double sum, double total)
{
	double level = 0, slope = 0;
	size_t i;

	qsort(bend, nr, sizeof(*bend), by_level);
	for (i = 0; i < nr; i++) {
		double next = sum + slope * (bend[i].level - level);

		if (next >= total && slope > 0)
			return level + (total - sum) / slope;
		sum = next;
		level = bend[i].level;
		slope += bend[i].slope;
	}
	return level;
}

void pv_max_min(struct pv_work *w, size_t nr, const double *weight, const uint64_t *lo,
		const uint64_t *hi, uint64_t total, uint64_t *out)
{
	uint64_t sum = 0, most = 0;
	size_t i, bends = 0;
	double level;

	for (i = 0; i < nr; i++) {
		sum += lo[i];
		most += hi[i];
		if (hi[i] <= lo[i] || weight[i] <= 0)
			continue;
		w->bend[bends++] = (struct pv_bend){ lo[i] / weight[i], weight[i] };
		w->bend[bends++] = (struct pv_bend){ hi[i] / weight[i], -weight[i] };
	}
	level = sum < total && most > total ? find_level(w->bend, bends, sum, total) : 0;
	for (i = 0; i < nr; i++) {
		uint64_t v = level * weight[i] < 0x1p62 ? (uint64_t)(level * weight[i]) : hi[i];

		if (most <= total)
			v = hi[i];
		out[i] = hi[i] <= lo[i] || weight[i] <= 0 ? lo[i] : clamp_u64(v, lo[i], hi[i]);
	}
}

static int by_slope(const void *a, const void *b)
{
	const struct pv_segment *x = a, *y = b;

	if (x->slope != y->slope)
		return x->slope < y->slope ? 1 : -1;
	return (x->vm > y->vm) - (x->vm < y->vm);
}

/* The part of a VM's curve between what it has for certain and what it wants. */
static size_t add_segments(struct pv_segment *seg, const struct pv_share *s, uint32_t vm,
			   uint64_t from, uint64_t to)
{
	size_t n = 0;
	unsigned int i;

	for (i = 1; i < s->nr_curve; i++) {
		const struct ht_guest_point *a = &s->curve[i - 1], *b = &s->curve[i];
		uint64_t lo = a->bytes > from ? a->bytes : from;
		uint64_t hi = min_u64(b->bytes, to);
		double slope = (b->share - a->share) / (double)(b->bytes - a->bytes);

		if (lo >= hi || slope <= 0)
			continue;
		seg[n++] = (struct pv_segment){ slope * s->weight * s->value, hi - lo, vm };
	}
	return n;
}

/* Curves are concave, so a VM's segments come up in their order, and taking the best first is best.
 */
static void by_benefit(struct pv_work *w, struct pv_share *const *share, size_t nr, uint64_t total)
{
	size_t i, segments = 0;
	uint64_t left = total, take;

	for (i = 0; i < nr; i++) {
		segments += add_segments(w->segment + segments, share[i], i, w->lo[i], w->hi[i]);
		w->out[i] = w->lo[i];
		left -= min_u64(left, w->lo[i]);
	}
	qsort(w->segment, segments, sizeof(*w->segment), by_slope);
	for (i = 0; i < segments && left; i++) {
		take = min_u64(left, w->segment[i].bytes);
		w->out[w->segment[i].vm] += take;
		left -= take;
	}
}

/* A VM that cannot or will not be asked keeps what it holds; the others divide the rest. */
static bool is_fixed(const struct pv_share *s, uint64_t now)
{
	return s->deaf || s->fixed || (s->backoff_until > now && pv_held(s) > s->guarantee);
}

static uint64_t floor_of(const struct pv_share *s, uint64_t now)
{
	return is_fixed(s, now) && pv_held(s) > s->guarantee ? pv_held(s) : s->guarantee;
}

/* Bounds of the division that disregards all reports. */
static void bounds(struct pv_work *w, struct pv_share *const *share, size_t nr, uint64_t now)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		const struct pv_share *s = share[i];
		uint64_t floor = floor_of(s, now);

		w->weight[i] = s->weight;
		w->cap[i] = min_u64(s->limit, s->max);
		if (is_fixed(s, now) || s->drain)
			w->cap[i] = floor;
		w->lo[i] = floor;
		if (w->cap[i] < floor)
			w->cap[i] = floor;
		w->hi[i] = w->cap[i];
	}
}

static uint64_t sum_of(const uint64_t *v, size_t nr)
{
	uint64_t sum = 0;

	while (nr--)
		sum += v[nr];
	return sum;
}

/* Whole blocks: down first, then what is left over, block by block, to those cut off. */
static void round_to_blocks(struct pv_work *w, struct pv_share *const *share, size_t nr,
			    uint64_t total)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		uint64_t block = share[i]->block ?: 1, down = w->out[i] / block * block;

		share[i]->target = down < w->lo[i] ? w->lo[i] : down;
		sum += share[i]->target;
	}
	for (i = 0; i < nr; i++) {
		uint64_t block = share[i]->block ?: 1;

		if (share[i]->target + block > w->cap[i] || sum + block > total ||
		    share[i]->target >= w->out[i])
			continue;
		share[i]->target += block;
		sum += block;
	}
}

void pv_divide(struct pv_work *w, struct pv_share *const *share, size_t nr,
	       const struct pv_pool *pool, const struct pv_rules *rules, uint64_t now)
{
	uint64_t total = pool->capacity - min_u64(pool->capacity, pool->reserve);
	size_t i;

	bounds(w, share, nr, now);
	pv_max_min(w, nr, w->weight, w->lo, w->cap, total, w->out);
	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];

		s->fair = w->out[i];
		if (s->loan < w->cap[i] && s->fair < w->cap[i] - s->loan)
			w->cap[i] = s->fair + s->loan;
		s->useful = clamp_u64(s->demand, w->lo[i], w->cap[i]);
		w->hi[i] = s->useful;
		if (rules->mode == PV_BENEFIT)
			w->lo[i] = min_u64(s->useful, s->fair);
	}
	if (rules->mode == PV_BENEFIT)
		by_benefit(w, share, nr, total);
	else
		pv_max_min(w, nr, w->weight, w->lo, w->hi, total, w->out);
	/* What is useful to nobody, and what VMs without a curve would take. */
	if (sum_of(w->out, nr) < total) {
		for (i = 0; i < nr; i++)
			w->lo[i] = w->out[i];
		pv_max_min(w, nr, w->weight, w->lo, w->hi, total, w->out);
	}
	if (sum_of(w->out, nr) < total) {
		for (i = 0; i < nr; i++)
			w->lo[i] = w->out[i];
		pv_max_min(w, nr, w->weight, w->lo, w->cap, total, w->out);
	}
	for (i = 0; i < nr; i++)
		w->lo[i] = floor_of(share[i], now);
	round_to_blocks(w, share, nr, total);
}

uint64_t pv_admit(const struct pv_pool *pool, const uint64_t *guarantee, size_t nr,
		  uint64_t newcomer)
{
	uint64_t total = pool->capacity - min_u64(pool->capacity, pool->reserve), sum = newcomer;

	while (nr--)
		sum += guarantee[nr];
	return sum > total ? sum - total : 0;
}
