// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* One epoch, top down. This is where a decision is made. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine.h"
#include "log.h"

/*
 * Refreshing the shadow placement: everything at first, then this share of the spots each epoch, so
 * that what the kernel moves by itself is noticed within half a minute.
 */
#define REFRESH_SHARE 64
#define REFRESH_MIN 4
#define REFRESH_FIRST 65536

/*
 * Aging is by volume of samples, not by time: a slow source or an idle workload keeps its heat, a busy
 * one forgets sooner. A page is told from its neighbours by some 8 samples (error 0.7 %, see
 * docs/design.md), its four-bit counter ends at 15, so one step should bring a hot page about 8.
 */
#define TICK_PAGE_SAMPLES 8
#define TICK_MIN 4096

/* Free memory kept in a tier beside the kernel's own watermark: one part in so many. */
#define RESERVE_SHARE 128

uint64_t ht_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int read_sampler_stats(struct ht_engine *e)
{
	static int nr_cpus;
	uint32_t zero = 0;
	int i, d;

	if (!nr_cpus)
		nr_cpus = libbpf_num_possible_cpus();
	if (nr_cpus <= 0)
		return -EINVAL;
	struct ht_cpu_stats cpu[nr_cpus];

	if (bpf_map_lookup_elem(e->policy->src.map_stats, &zero, cpu))
		return -errno;
	e->metrics.samples_seen = 0;
	e->metrics.samples_counted = 0;
	memset(e->metrics.drop, 0, sizeof(e->metrics.drop));
	for (i = 0; i < nr_cpus; i++) {
		e->metrics.samples_seen += cpu[i].seen;
		e->metrics.samples_counted += cpu[i].counted;
		for (d = 0; d < HT_DROP_NR; d++)
			e->metrics.drop[d] += cpu[i].drop[d];
	}
	return 0;
}

static int take_samples(struct ht_engine *e)
{
	uint64_t before = e->metrics.samples_counted;
	struct ht_source_stats st = {};
	double n;
	int err;

	err = ht_source_epoch(e->source, &e->targets);
	if (err)
		pr_debug("source: %s", strerror(-err));
	err = read_sampler_stats(e);
	if (err)
		return err;
	if (!ht_source_stats(e->source, &st)) {
		e->metrics.samples_due = st.due;
		e->metrics.samples_lost = st.lost;
	}
	n = e->metrics.samples_counted - before;
	e->sample_rate += (n - e->sample_rate) / (e->epoch < 8 ? e->epoch : 8);
	return 0;
}

/* Samples after which the heat is halved: enough for every hot page to be told from the others. */
static void adapt_tick(struct ht_engine *e)
{
	const struct ht_ranges *rs = &e->ranges;
	double want = 0, share;
	size_t i;

	for (i = 0; i < rs->nr; i++) {
		const struct ht_range *r = &rs->range[i];

		if (!(r->flags & HT_RANGE_STRATUM) || !r->heat || r->score <= e->plan.cut_score)
			continue;
		/* At its share of the samples, the stratum needs so many in all. */
		share = (double)r->heat / rs->heat;
		if (TICK_PAGE_SAMPLES * r->pages / share > want && share > 0.01)
			want = TICK_PAGE_SAMPLES * r->pages / share;
	}
	if (want < TICK_MIN)
		want = TICK_MIN;
	e->tick_volume += (want - (double)e->tick_volume) / 4;
}

static void age(struct ht_engine *e)
{
	if (e->metrics.samples_counted - e->tick_samples < e->tick_volume)
		return;
	e->tick_samples = e->metrics.samples_counted;
	__atomic_add_fetch(&e->heat.mem.ctl->tick, 1, __ATOMIC_RELEASE);
	e->metrics.ticks++;
}

static void refresh_placement(struct ht_engine *e)
{
	size_t i, max;
	int n;

	for (i = 0; i < e->nr_space; i++) {
		struct ht_space *s = e->space[i];

		if (s->error)
			continue;
		max = s->nr / REFRESH_SHARE;
		if (max < REFRESH_MIN)
			max = REFRESH_MIN;
		if (s->nr && !s->spot[s->nr - 1].queried)
			max = REFRESH_FIRST;
		n = ht_space_refresh(s, e->placement, &e->tiers, e->epoch, max);
		if (n < 0)
			s->error = n;
	}
}

static void plan_params(struct ht_engine *e, struct ht_plan_params *p)
{
	struct ht_tier_mem mem;
	unsigned int t;

	memset(p, 0, sizeof(*p));
	p->epoch = e->epoch;
	p->nr_tiers = e->nr_tiers;
	for (t = 0; t < e->nr_tiers; t++) {
		p->lat_ns[t] = e->tiers.tier[t].read_lat_ns;
		if (ht_tiers_mem(&e->tiers, e->roots, t, &mem))
			continue;
		p->free_pages[t] = mem.free_bytes >> HT_PAGE_SHIFT;
		p->reserve_pages[t] = (mem.watermark_bytes + mem.total_bytes / RESERVE_SHARE) >>
				      HT_PAGE_SHIFT;
	}
	p->budget_pages = (e->cfg->budget_bytes >> HT_PAGE_SHIFT) * e->cfg->epoch_ms / 1000;
	p->accesses = e->sample_rate * e->source->period;
	p->page_ns = e->mover.page_ns;
	p->horizon = e->horizon;
	p->stop_at_loss = !(e->policy->info.ops & HT_OP_ADMIT);
	e->metrics.fast_free = p->free_pages[0];
}

static void fill_tick(const struct ht_engine *e, const struct ht_plan_params *p, struct ht_tick *t)
{
	const struct ht_metrics *m = &e->metrics, *b = &e->before;
	int d;

	memset(t, 0, sizeof(*t));
	t->epoch = e->epoch;
	t->epoch_ns = e->cfg->epoch_ms * 1000000ULL;
	t->samples = m->samples_counted - b->samples_counted;
	for (d = 0; d < HT_DROP_NR; d++)
		t->dropped += m->drop[d] - b->drop[d];
	t->fast_free = p->free_pages[0];
	t->fast_capacity = e->plan.capacity[0];
	t->promoted = b->promoted - e->before2.promoted;
	t->demoted = b->demoted - e->before2.demoted;
	t->failed = b->failed - e->before2.failed;
	t->fast_heat = e->ranges.heat_in_tier[0];
	t->total_heat = e->ranges.heat;
	t->nr_ranges = e->ranges.nr;
	t->nr_targets = e->nr_space;
}

static int decide(struct ht_engine *e, const struct ht_plan_params *p)
{
	struct ht_tick t;
	size_t i;
	int err;

	err = ht_ranges_build(&e->ranges, e->space, e->nr_space, &e->heat, e->epoch);
	if (err)
		return err;
	fill_tick(e, p, &t);
	err = ht_object_tick(e->policy, &t);
	err = err ?: ht_object_rank(e->policy, e->ranges.nr);
	if (err)
		return err;
	if (e->policy->info.flags & HT_POLICY_OBSERVE) {
		e->plan.nr = 0;
		return 0;
	}
	ht_plan_make(&e->plan, &e->ranges, e->space, e->nr_space, &e->heat, p);
	err = ht_object_admit(e->policy, e->plan.nr);
	if (err)
		return err;
	ht_plan_apply_admission(&e->plan);
	e->metrics.planned += e->plan.nr;
	for (i = 0; i < e->plan.nr; i++)
		e->metrics.refused += !e->plan.item[i].admitted;
	return 0;
}

static void act(struct ht_engine *e)
{
	struct ht_mover_env env = {
		.space = e->space,
		.hm = &e->heat,
		.placement = e->placement,
		.tiers = &e->tiers,
		.roots = e->roots,
		.epoch = e->epoch,
		/* Half an epoch for moving leaves the other half for everything else. */
		.deadline_ns = ht_now_ns() + e->cfg->epoch_ms * 500000ULL,
		.dry_run = e->cfg->dry_run || e->nr_tiers < 2,
	};

	ht_mover_run(&e->mover, &e->plan, &env);
}

/*
 * How long a placement can be expected to last, for the payback of a move: it shrinks while moves are
 * being reversed, and grows back slowly.
 */
#define HORIZON_MIN 8.0
#define HORIZON_MAX 120.0
#define WASTE_BOUND 0.05

static void adapt_horizon(struct ht_engine *e, uint64_t moved, uint64_t wasted)
{
	if (!moved)
		return;
	if (wasted > moved * WASTE_BOUND)
		e->horizon *= 0.7;
	else
		e->horizon *= 1.05;
	if (e->horizon < HORIZON_MIN)
		e->horizon = HORIZON_MIN;
	if (e->horizon > HORIZON_MAX)
		e->horizon = HORIZON_MAX;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static void account(struct ht_engine *e)
{
	const struct ht_migrate_stats *ms = ht_migrate_stats(e->mover.migrate);
	struct ht_metrics *m = &e->metrics;
	unsigned int t;
	size_t i;

	m->epoch = e->epoch;
	m->targets = e->nr_space;
	m->tiles = e->heat.stats.live;
	m->details = e->heat.stats.details;
	m->evicted = e->heat.stats.evicted;
	m->ranges = e->ranges.nr;
	m->strata = e->ranges.strata;
	m->thp_skewed = e->ranges.skewed;
	m->fast_share = e->ranges.heat ?
				(double)e->ranges.heat_in_tier[0] / e->ranges.heat : 0;
	m->fast_pages = m->slow_pages = 0;
	for (i = 0; i < e->nr_space; i++) {
		m->fast_pages += e->space[i]->in_tier[0];
		for (t = 1; t < HT_SPACE_TIERS; t++)
			m->slow_pages += e->space[i]->in_tier[t];
	}
	m->hot_in_slow = e->plan.hot_in_slow;
	m->promoted = e->mover.stats.promoted;
	m->demoted = e->mover.stats.demoted;
	m->would_promote = e->mover.stats.would_promote;
	m->would_demote = e->mover.stats.would_demote;
	m->failed = e->mover.stats.failed;
	m->wasted = e->mover.ledger.wasted;
	m->held = e->mover.ledger.held;
	memcpy(m->outcome, ms->pages, sizeof(m->outcome));
	m->migrate_ns = ms->ns;
	m->loader_ns = cpu_ns() - e->cpu_base_ns;
	m->bpf_ns = ht_object_run_ns(e->policy);
	m->wall_ns = ht_now_ns() - e->started_ns;
}

/* CPU time of each stage, for -v: where an epoch's time goes. */
struct stages {
	uint64_t last;
	double ms[5];
	unsigned int nr;
};

static void stage(struct stages *s)
{
	uint64_t now = cpu_ns();

	s->ms[s->nr++] = (now - s->last) / 1e6;
	s->last = now;
}

int ht_epoch_run(struct ht_engine *e)
{
	struct stages st = { .last = cpu_ns() };
	struct ht_plan_params params;
	int err;

	e->epoch++;
	e->heat.mem.ctl->heartbeat_ns = ht_now_ns();
	err = take_samples(e);
	stage(&st);
	err = err ?: ht_heatmap_collect(&e->heat);
	err = err ?: ht_follow_epoch(e);
	if (err)
		return err;
	stage(&st);
	refresh_placement(e);
	stage(&st);
	plan_params(e, &params);
	err = decide(e, &params);
	if (err)
		return err;
	stage(&st);
	act(e);
	stage(&st);
	pr_debug("epoch %u: CPU ms: samples %.2f, targets %.2f, placement %.2f, decision %.2f, moves "
		 "%.2f; %zu ranges, %zu moves planned",
		 e->epoch, st.ms[0], st.ms[1], st.ms[2], st.ms[3], st.ms[4], e->ranges.nr,
		 e->plan.nr);
	ht_heatmap_evict(&e->heat);
	adapt_tick(e);
	age(e);
	account(e);
	adapt_horizon(e, e->metrics.promoted + e->metrics.demoted - e->before.promoted -
				 e->before.demoted,
		      e->metrics.wasted - e->before.wasted);
	e->before2 = e->before;
	e->before = e->metrics;
	return 0;
}
