// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "sharing.h"
#include "split.h"
#include "splitter.h"

/* Of the samples in a huge page's counters, so many tell that it is not uniform by chance. */
#define MIN_COUNTS 32
/*
 * What an access costs more where 512 entries of the TLB are needed for one, were it to miss each
 * time: a walk that finds its tables in the cache. Assumed, not measured.
 */
#define TLB_NS 10.0
#define LATENCY_NS 100.0 /* between the tiers where nobody tells, as in the planner */

/* After attempt n a page is left alone for HOLD << n epochs. */
#define HOLD 8
#define MAX_ATTEMPTS 10
#define MEMORY (1U << 14)

struct ht_split_memory {
	uint64_t key; /* address space and huge page, 0 = none */
	uint32_t until;
	uint8_t attempts;
};

int ht_splitter_init(struct ht_splitter *s, bool wanted)
{
	memset(s, 0, sizeof(*s));
	s->split_ns = HT_SPLIT_NS;
	if (!wanted) {
		snprintf(s->why, sizeof(s->why), "not asked for");
		return 0;
	}
	if (ht_split_probe(s->why, sizeof(s->why)))
		return 0;
	s->memory = calloc(MEMORY, sizeof(*s->memory));
	s->on = s->memory;
	return s->memory ? 0 : -ENOMEM;
}

void ht_splitter_free(struct ht_splitter *s)
{
	free(s->memory);
	memset(s, 0, sizeof(*s));
}

/* ---- what pays ---- */

#define STEPS 8 /* to an octave of density */
#define BINS (64 * STEPS)

static unsigned int bin_of(uint64_t density)
{
	unsigned int octave = 63 - __builtin_clzll(density | 1);
	uint64_t below = density << (63 - octave); /* the leading bit at the top */

	return octave * STEPS + (below >> 60 & (STEPS - 1));
}

double ht_split_price(const struct ht_ranges *rs, uint64_t capacity)
{
	uint64_t pages[BINS] = {};
	double heat[BINS] = {};
	size_t i;
	int b;

	for (i = 0; i < rs->nr; i++) {
		const struct ht_range *r = &rs->range[i];

		pages[bin_of(r->density)] += r->pages;
		heat[bin_of(r->density)] += r->density / 65536.0 * r->pages;
	}
	for (b = BINS - 1; b >= 0 && pages[b] <= capacity; b--)
		capacity -= pages[b];
	return b >= 0 ? heat[b] / pages[b] : 0;
}

/*
 * A page counted c times is expected to get what the counts of its huge page say of it, shrunk
 * towards their mean by how much of their spread is chance.
 */
struct ht_split_gain ht_split_gain(const struct ht_levels *h, double expect, double price)
{
	double mean = h->pages ? (double)h->sum / h->pages : 0, signal = ht_levels_signal(h);
	struct ht_split_gain gain = {};
	unsigned int c;

	if (!h->sum)
		return gain;
	for (c = 0; c < HT_LEVELS; c++) {
		double heat = (mean + (c - mean) * signal) / h->sum * expect;
		uint32_t n = ht_levels_pages(h, c);

		if (heat <= price)
			continue;
		gain.heat += (heat - price) * n;
		gain.pages += n - h->nr[c][0];
	}
	gain.heat -= fmax(expect - price * h->pages, 0);
	return gain;
}

struct pick {
	uint32_t space, spot;
	double gain;
};

/* One run: what every step below needs. */
struct ctx {
	struct ht_splitter *s;
	const struct ht_ranges *rs;
	const struct ht_splitter_env *env;
	double price;
	struct pick pick[HT_SPLIT_MAX]; /* by gain, greatest first */
	unsigned int nr;
};

static double latency(const struct ht_plan_params *par)
{
	double lat = par->lat_ns[1] - par->lat_ns[0];

	return lat > 0 ? lat : LATENCY_NS;
}

static bool pays(const struct ctx *c, const struct ht_split_gain *gain, double expect)
{
	const struct ht_plan_params *par = c->env->par;
	double lat = latency(par), cost = c->s->split_ns + 2 * gain->pages * par->page_ns;

	if (gain->heat * lat <= expect * TLB_NS)
		return false;
	/* As in the plan: how many accesses heat stands for may not be known. */
	if (par->accesses <= 0 || !c->rs->heat)
		return true;
	return gain->heat / c->rs->heat * par->accesses * lat * par->horizon > cost;
}

/* ---- attempts ---- */

static struct ht_split_memory *memory_of(const struct ctx *c, const struct pick *p, uint64_t *key)
{
	const struct ht_space *s = c->env->space[p->space];

	*key = (uint64_t)ht_space_id(s) << 32 ^ s->spot[p->spot].va >> HT_TILE_SHIFT;
	*key += !*key;
	return &c->s->memory[ht_hash(*key) & (MEMORY - 1)];
}

static bool may_try(const struct ctx *c, const struct pick *p)
{
	uint64_t key;
	const struct ht_split_memory *m = memory_of(c, p, &key);

	return m->key != key || c->env->par->epoch >= m->until;
}

static void note_attempt(const struct ctx *c, const struct pick *p)
{
	uint64_t key;
	struct ht_split_memory *m = memory_of(c, p, &key);

	if (m->key != key)
		*m = (struct ht_split_memory){ .key = key };
	if (m->attempts < MAX_ATTEMPTS)
		m->attempts++;
	m->until = c->env->par->epoch + (HOLD << m->attempts);
}

/* ---- choice ---- */

static void insert(struct ctx *c, const struct pick *p)
{
	unsigned int i = c->nr;

	if (i == HT_SPLIT_MAX && c->pick[--i].gain >= p->gain)
		return;
	for (; i && c->pick[i - 1].gain < p->gain; i--)
		c->pick[i] = c->pick[i - 1];
	c->pick[i] = *p;
	c->nr += c->nr < HT_SPLIT_MAX;
}

static void consider(struct ctx *c, const struct ht_skewed *k)
{
	const struct ht_space *s = c->env->space[k->space];
	struct ht_spot *sp = &s->spot[k->spot];
	struct pick p = { .space = k->space, .spot = k->spot };
	struct ht_split_gain gain;
	struct ht_levels h = {};
	double expect;

	if (s->error || sp->hold > c->env->par->epoch || !(sp->flags & HT_SPOT_THP))
		return;
	/* The kernel splits only what one process maps. */
	if (sp->flags & HT_SPOT_SHARES || !may_try(c, &p))
		return;
	ht_levels_add(&h, c->env->hm, sp);
	ht_levels_sum(&h);
	if (h.sum < MIN_COUNTS)
		return;
	expect = ht_outlook(&c->rs->outlook, sp->heat);
	gain = ht_split_gain(&h, expect, c->price);
	p.gain = gain.heat;
	if (!pays(c, &gain, expect))
		return;
	if (!c->env->dry_run)
		sp->split = c->env->par->epoch;
	insert(c, &p);
}

/* Moves of what is to be split, and what depends on them, stay undone. */
static void take_back_moves(const struct ctx *c, struct ht_plan *plan)
{
	unsigned int k;
	bool any = false;
	size_t i;

	for (i = 0; i < plan->nr; i++) {
		const struct ht_plan_item *it = &plan->item[i];

		for (k = 0; k < c->nr; k++) {
			if (it->space != c->pick[k].space || it->spot != c->pick[k].spot)
				continue;
			plan->move[i].admitted = 0;
			any = true;
		}
	}
	if (any)
		ht_plan_apply_admission(plan);
}

/* ---- splitting ---- */

/* The page to be named is moved to the cold end of the LRU lists: the coldest, of these the last.
 */
static unsigned int coldest_page(const struct ht_heatmap *hm, const struct ht_spot *sp)
{
	struct ht_detail copy;
	const struct ht_detail *d = ht_sharing_detail(hm, sp, &copy);
	unsigned int p, best = HT_TILE_PAGES - 1;

	for (p = HT_TILE_PAGES; d && p--;)
		if (ht_detail_get(&copy, p) < ht_detail_get(&copy, best))
			best = p;
	return best;
}

static void count_failure(struct ht_splitter_stats *st, int err)
{
	st->failed++;
	if (!err)
		st->whole++;
	else if (err == -EINVAL)
		st->refused++;
	else
		st->error++;
}

static void split_one(struct ctx *c, const struct pick *p)
{
	const struct ht_splitter_env *env = c->env;
	struct ht_space *s = env->space[p->space];
	struct ht_spot *sp = &s->spot[p->spot];
	struct ht_splitter *me = c->s;
	uint64_t start = ht_now_ns();
	int err;

	note_attempt(c, p);
	if (env->dry_run) {
		me->stats.would_split++;
		return;
	}
	err = ht_split_ask(s->tgid,
			   sp->va + ((uint64_t)coldest_page(env->hm, sp) << HT_PAGE_SHIFT));
	/* A vCPU that the host does not run inflates what is measured. */
	if (!err)
		me->split_ns += (fmin(ht_now_ns() - start, 4 * HT_SPLIT_NS) - me->split_ns) / 8;
	if (!err && ht_space_query(s, sp, env->placement, env->tiers, env->par->epoch))
		err = -ESRCH;
	if (!err && !(sp->flags & HT_SPOT_THP))
		me->stats.split++;
	else
		count_failure(&me->stats, err);
	pr_debug("split of the huge page at %#llx of %d: %s", (unsigned long long)sp->va, s->tgid,
		 err			   ? strerror(-err)
		 : sp->flags & HT_SPOT_THP ? "stays whole"
					   : "done");
}

void ht_splitter_run(struct ht_splitter *s, const struct ht_ranges *rs, struct ht_plan *plan,
		     const struct ht_splitter_env *env)
{
	struct ctx c = { .s = s, .rs = rs, .env = env };
	unsigned int i;
	size_t k;

	if (!s->on || !rs->nr_skew || env->par->nr_tiers < 2)
		return;
	c.price = ht_split_price(rs, plan->capacity[0]);
	for (k = 0; k < rs->nr_skew && c.price > 0; k++)
		consider(&c, &rs->skew[k]);
	if (!env->dry_run)
		take_back_moves(&c, plan);
	for (i = 0; i < c.nr && ht_now_ns() < env->deadline_ns; i++)
		split_one(&c, &c.pick[i]);
}
