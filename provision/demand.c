// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "demand.h"

static double slope(const struct ht_guest_point *a, const struct ht_guest_point *b)
{
	return (b->share - a->share) / (double)(b->bytes - a->bytes);
}

unsigned int pv_demand_hull(struct ht_guest_point *p, unsigned int nr)
{
	unsigned int i, n = 0;

	for (i = 0; i < nr; i++) {
		/* Of points at one size, the better. */
		if (n && p[n - 1].bytes == p[i].bytes) {
			if (p[i].share <= p[n - 1].share)
				continue;
			n--;
		}
		while (n >= 2 && slope(&p[n - 2], &p[n - 1]) <= slope(&p[n - 2], &p[i]))
			n--;
		p[n++] = p[i];
	}
	return n;
}

uint64_t pv_demand_knee(const struct ht_guest_point *p, unsigned int nr, double worth)
{
	const struct ht_guest_point *first = p, *last = p + nr - 1;
	double average;
	unsigned int i;

	if (nr < 2 || last->bytes <= first->bytes || last->share <= first->share)
		return nr ? first->bytes : 0;
	average = slope(first, last);
	for (i = 1; i < nr; i++)
		if (slope(&p[i - 1], &p[i]) < worth * average)
			break;
	return p[i - 1].bytes;
}

/* Where the guest may hold x, its device has this size. */
static uint64_t device_size(const struct ht_guest_report *r, uint64_t size, uint64_t x)
{
	if (x >= r->capacity)
		return size + (x - r->capacity);
	return r->capacity - x < size ? size - (r->capacity - x) : 0;
}

static uint64_t round_up(const struct pv_share *s, uint64_t v)
{
	return s->block ? (v + s->block - 1) / s->block * s->block : v;
}

/*
 * A report that asks for more counts at once: a VM that waits runs slowly. One
 * that asks for less may be a chance of the samples, and what is given up has to be fetched again:
 * the highest of the last few counts.
 */
static uint64_t believed(struct pv_share *s, uint64_t demand, unsigned int confirm)
{
	unsigned int i;

	memmove(s->recent + 1, s->recent, sizeof(s->recent) - sizeof(*s->recent));
	s->recent[0] = demand;
	if (s->nr_recent < PV_CONFIRM_MAX)
		s->nr_recent++;
	for (i = 1; i < confirm && i < s->nr_recent; i++)
		if (s->recent[i] > demand)
			demand = s->recent[i];
	return demand;
}

/* Right after its loader's start a guest has nothing to tell, which is not that nothing is hot. */
static bool is_empty(const struct ht_guest_report *r)
{
	return !r->nr_curve && !r->hot;
}

/*
 * The knee is sought in the guest's own terms, where the curve begins at nothing; cut off at the
 * device's start, what lies in memory that the VM has anyhow would shift the average.
 */
void pv_demand_update(struct pv_share *s, const struct ht_guest_report *r, uint64_t size,
		      const struct pv_rules *rules)
{
	struct ht_guest_point own[HT_GUEST_CURVE];
	unsigned int i, n;
	uint64_t demand = r->hot;

	memcpy(own, r->curve, sizeof(own));
	n = pv_demand_hull(own, r->nr_curve);
	if (n >= 2)
		demand = pv_demand_knee(own, n, rules->worth);
	demand = round_up(s, device_size(r, size, demand));
	for (i = 0; i < n; i++)
		own[i].bytes = device_size(r, size, own[i].bytes);
	s->nr_curve = pv_demand_hull(own, n);
	memcpy(s->curve, own, sizeof(s->curve));
	demand = believed(s, demand, rules->confirm);
	if (s->demand != PV_UNKNOWN || !is_empty(r) || s->nr_recent >= rules->confirm)
		s->demand = demand;
}

void pv_demand_forget(struct pv_share *s)
{
	s->demand = PV_UNKNOWN;
	s->nr_recent = 0;
	s->nr_curve = 0;
}

double pv_demand_share(const struct pv_share *s, uint64_t size)
{
	unsigned int i;

	if (!s->nr_curve)
		return -1;
	if (size <= s->curve[0].bytes)
		return s->curve[0].share;
	for (i = 1; i < s->nr_curve; i++) {
		const struct ht_guest_point *a = &s->curve[i - 1], *b = &s->curve[i];

		if (size < b->bytes)
			return a->share + slope(a, b) * (double)(size - a->bytes);
	}
	return s->curve[s->nr_curve - 1].share;
}
