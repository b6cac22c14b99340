// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* One epoch, top down. This is where a decision is made. */
#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine.h"
#include "log.h"
#include "record.h"

/*
 * Aging is by volume of samples, not by time: a slow source or an idle workload keeps its heat, a
 * busy one forgets sooner. Counts are halved when pages at the cut, where the decision is made,
 * have been sampled some 6 times, or after so many samples that every page of the live tiles could
 * have had 4; and at once when accesses have moved to other pages.
 */
#define TICK_COUNT 6.0
#define TICK_ROUNDS 4
#define TICK_MIN 4096
/* Sampled pages had so much lower counts than predicted: all, or some, hot pages are others. */
#define SHIFT_ALL 0.5
#define SHIFT_SOME 0.7
#define SHIFT_MIN_COUNT 3.0
#define SHIFT_MIN_SAMPLES 256

/* How many epochs a placement is expected to last, for the payback of a move: 20 s. */
#define HORIZON 40.0
/*
 * While more than WASTE_BOUND of the moved pages are soon moved back, differences are noise or do
 * not last. Then pages must be hotter by a growing margin than those they replace, and bursts count
 * less (see heatmap.h); both recover slowly.
 */
#define WASTE_BOUND 0.04
#define WASTE_KEEP 0.95 /* of the sums, from one epoch to the next */
#define WASTE_PAGES 64	/* a few pages are no reason */
#define MARGIN_MIN 1.3
#define MARGIN_MAX 1.8
#define MARGIN_UP 1.2
#define MARGIN_DOWN 0.99
#define BURST_MIN (1.0 / 32)
#define BURST_UP 1.01

/*
 * Free memory kept in a tier beside the kernel's own watermark: one part in so many. Down to half
 * of it what is free is left as it is: it comes and goes by itself, and to follow it would move
 * pages to and fro.
 */
#define RESERVE_SHARE 128

/* Of an epoch for moving, which leaves the rest for everything else. */
#define MOVE_SHARE 0.75

uint64_t ht_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

void ht_epoch_init(struct ht_engine *e)
{
	e->margin = MARGIN_MIN;
	/* A recording has one period. */
	ht_pace_init(&e->pace, e->cfg->record ? 1 : e->cfg->burst);
}

int ht_epoch_read_stats(struct ht_engine *e)
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
	e->page_hits = 0;
	e->page_prior = 0;
	memset(e->metrics.drop, 0, sizeof(e->metrics.drop));
	for (i = 0; i < nr_cpus; i++) {
		e->metrics.samples_seen += cpu[i].seen;
		e->metrics.samples_counted += cpu[i].counted;
		e->page_hits += cpu[i].page_hits;
		e->page_prior += cpu[i].page_prior;
		for (d = 0; d < HT_DROP_NR; d++)
			e->metrics.drop[d] += cpu[i].drop[d];
	}
	return 0;
}

int ht_epoch_samples(struct ht_engine *e)
{
	uint64_t before = e->metrics.samples_counted;
	struct ht_source_stats st = {};
	double n;
	int err;

	err = e->simulated ? 0 : ht_source_epoch(e->source, &e->targets);
	if (err)
		pr_debug("source: %s", strerror(-err));
	err = ht_epoch_read_stats(e);
	if (err)
		return err;
	if (!e->simulated)
		ht_record_epoch(e->source_opts.record, e->cfg->epoch_ms * 1000000ULL);
	if (!e->simulated && !ht_source_stats(e->source, &st)) {
		e->metrics.samples_due = e->source_former.due + st.due;
		e->metrics.samples_lost = e->source_former.lost + st.lost;
		e->throttled = e->source_former.throttled + st.throttled;
	}
	n = e->metrics.samples_counted - before;
	e->sample_rate += (n - e->sample_rate) / (e->epoch < 8 ? e->epoch : 8);
	return 0;
}

/*
 * Sampled pages with detail had this count on average, if accesses go on as before: the mean of the
 * counts, weighted by the counts.
 */
static double predicted_count(const struct ht_engine *e)
{
	return e->ranges.counts ? (double)e->ranges.count_squares / e->ranges.counts : 0;
}

/*
 * How predictable were this epoch's page accesses by the counts so far, against how predictable
 * they have been of late? 1 or so while the same pages stay hot, near 0 when others are; negative
 * when nothing can be said. Scans are unpredictable in themselves, hence the comparison.
 */
static double predictability(struct ht_engine *e)
{
	uint64_t hits = e->page_hits - e->before_page_hits;
	uint64_t prior = e->page_prior - e->before_page_prior;
	double predicted = e->predicted, now, usual;

	e->before_page_hits = e->page_hits;
	e->before_page_prior = e->page_prior;
	e->predicted = predicted_count(e);
	if (hits < SHIFT_MIN_SAMPLES || predicted < SHIFT_MIN_COUNT)
		return -1;
	now = prior / (hits * predicted);
	usual = e->usual_predictability > 0 ? e->usual_predictability : now;
	e->usual_predictability = usual + (now - usual) / 8;
	return usual > 0 ? now / usual : -1;
}

/* Mean count of the pages about as hot as the last that fit: these have to be told apart. */
static double count_at_cut(const struct ht_engine *e)
{
	double cut = e->plan.cut_score, pages = 0, counts = 0;
	size_t i;

	for (i = 0; i < e->ranges.nr; i++) {
		const struct ht_range *r = &e->ranges.range[i];

		if (!(r->flags & HT_RANGE_STRATUM) || r->score < cut / 2 || r->score > cut * 2)
			continue;
		pages += r->pages;
		counts += (double)r->pages * __builtin_ctz(e->ranges.info[i].levels);
	}
	return pages > 0 ? counts / pages : 0;
}

/* A policy's own op, if it has one; a policy that tiers no more is not called. */
static void age_by_policy(struct ht_engine *e)
{
	uint64_t start = ht_cpu_ns(), ns;

	if (e->observe || e->ops_err)
		return;
	e->ops_err = ht_object_age(e->policy);
	ns = ht_cpu_ns() - start;
	e->ops_ns += ns;
	e->metrics.ops_ns += ns;
}

/* True if other pages have become hot. */
static bool age(struct ht_engine *e)
{
	uint64_t since = e->metrics.samples_counted - e->tick_samples;
	uint64_t round = (uint64_t)HT_TILE_PAGES * e->heat.nr_live;
	double same = predictability(e);
	bool shifted = same >= 0 && same < SHIFT_ALL;
	uint32_t ticks = 0;

	if (shifted)
		ticks = 2;
	else if (same >= 0 && same < SHIFT_SOME && since >= round / 4)
		ticks = 1;
	else if (since >= TICK_MIN &&
		 (count_at_cut(e) >= TICK_COUNT || since >= TICK_ROUNDS * round))
		ticks = 1;
	if (!ticks)
		return false;
	e->tick_samples = e->metrics.samples_counted;
	/* The next epoch's samples meet counts that are halved. */
	e->predicted = ldexp(e->predicted, -(int)ticks);
	e->page_volume = ldexp(e->page_volume + since, -(int)ticks);
	__atomic_add_fetch(&e->heat.mem.ctl->tick, ticks, __ATOMIC_RELEASE);
	e->metrics.ticks += ticks;
	age_by_policy(e);
	pr_debug("epoch %u: aged by %u, predictability %.2f", e->epoch, ticks, same);
	return shifted;
}

/*
 * Pages that the kernel moved unasked. Where the host takes memory back that is what becomes of hot
 * pages, and what the report to the host counts would be wrong until they are found.
 */
static uint64_t moved_unasked(struct ht_engine *e)
{
	const struct ht_migrate *m = e->mover.migrate;

	if (!e->guest_port || !m || ht_vmstat_read(e->roots, &e->vmstat))
		return 0;
	return ht_kernel_moves(&e->kernel_moves, e->vmstat.migrated, ht_migrate_stats(m)->copied);
}

/* What was there when we came found its place, or not, in other times. */
static void collect_spilled(struct ht_engine *e)
{
	unsigned int t;
	size_t i;

	memset(e->spilled_pages, 0, sizeof(e->spilled_pages));
	for (i = 0; i < e->nr_space; i++) {
		for (t = 1; t < e->nr_tiers && e->epoch > 1; t++) {
			e->spilled_pages[t - 1] += e->space[i]->spilled[t];
			e->metrics.spilled += e->space[i]->spilled[t];
		}
		memset(e->space[i]->spilled, 0, sizeof(e->space[i]->spilled));
	}
}

static void refresh_placement(struct ht_engine *e)
{
	uint64_t moved = moved_unasked(e);
	size_t i, max, spots = 0;
	int n;

	for (i = 0; i < e->nr_space; i++)
		spots += e->space[i]->nr;
	for (i = 0; i < e->nr_space; i++) {
		struct ht_space *s = e->space[i];

		if (s->error)
			continue;
		max = ht_space_due(s, spots, moved);
		if (max == HT_SPACE_DUE_MIN && !ht_space_turn(i, e->nr_space, e->epoch))
			continue;
		n = ht_space_refresh(s, e->placement, &e->tiers, e->epoch, max);
		if (n < 0)
			s->error = n;
	}
	collect_spilled(e);
}

/*
 * Pages that may move this epoch. What one epoch leaves is the next one's, up to a second's worth
 * or a few tiles, so that a small budget moves whole tiles less often instead of never.
 */
#define BUDGET_MIN_PAGES (4 * HT_TILE_PAGES)
static double budget_per_s(const struct ht_engine *e)
{
	return e->cfg->budget_bytes >> HT_PAGE_SHIFT;
}

static double budget_per_epoch(const struct ht_engine *e)
{
	return budget_per_s(e) * e->cfg->epoch_ms / 1000;
}

static uint64_t budget(struct ht_engine *e)
{
	double per_s = budget_per_s(e);
	double most = per_s > BUDGET_MIN_PAGES ? per_s : BUDGET_MIN_PAGES;

	e->budget += budget_per_epoch(e);
	if (e->budget > most)
		e->budget = most;
	return e->budget > 0 ? e->budget : 0;
}

/*
 * Free memory of the tiers. The kernel's tables take longer to print than all the rest of a quiet
 * epoch takes, so they are read while pages move, and every so many epochs; but each epoch where
 * the host changes it.
 */
#define FREE_EPOCHS 4

static uint64_t reserve(const struct ht_tier_mem *mem)
{
	uint64_t share = mem->total_bytes / RESERVE_SHARE, most = mem->watermark_bytes + share;
	uint64_t least = mem->watermark_bytes + share / 2;

	return mem->free_bytes > most ? most : mem->free_bytes > least ? mem->free_bytes : least;
}

static void read_free_memory(struct ht_engine *e)
{
	bool moved = e->before.promoted + e->before.demoted + e->before.failed !=
		     e->before2.promoted + e->before2.demoted + e->before2.failed;
	struct ht_tier_mem mem;
	unsigned int t;

	if (!moved && !e->guest_port && e->epoch % FREE_EPOCHS != 1)
		return;
	for (t = 0; t < e->nr_tiers; t++) {
		if (ht_tiers_mem(&e->tiers, e->roots, t, &mem))
			continue;
		e->free_pages[t] = mem.free_bytes >> HT_PAGE_SHIFT;
		e->reserve_pages[t] = reserve(&mem) >> HT_PAGE_SHIFT;
	}
}

static uint64_t period(const struct ht_engine *e)
{
	return e->simulated ? e->sim_period : e->source->period;
}

static void plan_params(struct ht_engine *e, struct ht_plan_params *p)
{
	unsigned int t;

	memset(p, 0, sizeof(*p));
	p->epoch = e->epoch;
	p->nr_tiers = e->nr_tiers;
	if (!e->simulated)
		read_free_memory(e);
	for (t = 0; t < e->nr_tiers; t++) {
		p->lat_ns[t] = e->tiers.tier[t].read_lat_ns;
		p->free_pages[t] = e->free_pages[t];
		p->reserve_pages[t] = e->reserve_pages[t];
		p->spilled_pages[t] = e->spilled_pages[t];
	}
	p->budget_pages = budget(e);
	p->accesses = e->sample_rate * period(e);
	p->page_ns = e->mover.page_ns;
	/*
	 * Two clocks: the emulator's accesses come at the latencies of real memory, its moves at
	 * the speed of an emulated kernel, some fifty times a real one's.
	 */
	if (!e->simulated && e->source->ops->id == HT_SRC_EMULATED)
		p->page_ns = fmin(p->page_ns, HT_MOVE_PAGE_NS);
	p->horizon = HORIZON;
	p->margin = e->margin;
	p->skip_loss = !(e->policy->info.ops & HT_OP_ADMIT);
	if (e->cfg->ablate & HT_ABLATE_ADMISSION)
		p->skip_loss = false;
	if (e->cfg->ablate & HT_ABLATE_PLANNER) {
		p->naive = true;
		p->budget_pages = UINT64_MAX;
	}
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
	t->period = period(e);
}

static int decide(struct ht_engine *e, const struct ht_plan_params *p)
{
	struct ht_tick t;
	uint64_t start;
	double volume;
	size_t i;
	int err;

	volume = e->page_volume + (e->metrics.samples_counted - e->tick_samples);
	e->ranges.heat_per_count = volume > 0 ? e->heat.rate_total / volume : 0;
	err = ht_ranges_build(&e->ranges, e->space, e->nr_space, &e->heat, e->epoch);
	if (err)
		return err;
	ht_plan_clear(&e->plan);
	if (e->observe)
		return 0;
	fill_tick(e, p, &t);
	start = ht_cpu_ns();
	err = ht_object_tick(e->policy, &t);
	err = err ?: ht_object_rank(e->policy, e->ranges.nr);
	e->ops_ns = ht_cpu_ns() - start;
	if (err || e->policy->info.flags & HT_POLICY_OBSERVE) {
		e->ops_err = err;
		return 0;
	}
	ht_plan_make(&e->plan, &e->ranges, e->space, e->nr_space, &e->heat, p);
	start = ht_cpu_ns();
	if (!(e->cfg->ablate & HT_ABLATE_ADMISSION))
		err = ht_object_admit(e->policy, e->plan.nr);
	e->ops_ns += ht_cpu_ns() - start;
	e->metrics.ops_ns += e->ops_ns;
	if (err) {
		e->ops_err = err;
		e->plan.nr = 0;
		return 0;
	}
	ht_plan_apply_admission(&e->plan);
	e->metrics.planned += e->plan.nr;
	for (i = 0; i < e->plan.nr; i++)
		e->metrics.refused += !e->plan.item[i].admitted;
	return 0;
}

/* An epoch's part for splitting huge pages; on hardware they take a fifth of that at most. */
#define SPLIT_SHARE 4

static void split(struct ht_engine *e, const struct ht_plan_params *p)
{
	struct ht_splitter_env env = {
		.space = e->space,
		.hm = &e->heat,
		.par = p,
		.placement = e->placement,
		.tiers = &e->tiers,
		.deadline_ns = ht_now_ns() + e->cfg->epoch_ms * 1000000ULL / SPLIT_SHARE,
		.dry_run = e->cfg->dry_run,
	};

	/* Nobody tiers: nothing was planned, and nothing is to change. */
	if (!e->observe && !e->ops_err && !(e->policy->info.flags & HT_POLICY_OBSERVE))
		ht_splitter_run(&e->splitter, &e->ranges, &e->plan, &env);
}

static uint64_t moves(const struct ht_mover_stats *s)
{
	return s->promoted + s->demoted + s->would_promote + s->would_demote;
}

/* Pages that changed their tier, or would have. */
static uint64_t act(struct ht_engine *e)
{
	uint64_t before = moves(&e->mover.stats), moved;
	struct ht_mover_env env = {
		.space = e->space,
		.hm = &e->heat,
		.move = e->plan.move,
		.placement = e->placement,
		.tiers = &e->tiers,
		.roots = e->roots,
		.epoch = e->epoch,
		.deadline_ns = ht_now_ns() + e->cfg->epoch_ms * 1000000ULL * MOVE_SHARE,
		.dry_run = e->cfg->dry_run || e->nr_tiers < 2,
	};

	unsigned int t;

	for (t = 0; t < e->nr_tiers; t++)
		env.room[t] = (int64_t)e->free_pages[t] - (int64_t)e->reserve_pages[t];
	ht_mover_run(&e->mover, &e->plan, &env);
	moved = moves(&e->mover.stats) - before;
	e->budget -= moved;
	return moved;
}

static double clamp(double v, double min, double max)
{
	return v < min ? min : v > max ? max : v;
}

static void learn_from_waste(struct ht_engine *e, uint64_t moved, uint64_t wasted)
{
	e->moved_of_late = e->moved_of_late * WASTE_KEEP + moved;
	e->wasted_of_late = e->wasted_of_late * WASTE_KEEP + wasted;
	if (wasted && e->wasted_of_late > e->moved_of_late * WASTE_BOUND + WASTE_PAGES) {
		e->margin = clamp(e->margin * MARGIN_UP, MARGIN_MIN, MARGIN_MAX);
		e->heat.burst = clamp(e->heat.burst / 2, BURST_MIN, HT_BURST_MAX);
	} else {
		e->margin = clamp(e->margin * MARGIN_DOWN, MARGIN_MIN, MARGIN_MAX);
		e->heat.burst = clamp(e->heat.burst * BURST_UP, BURST_MIN, HT_BURST_MAX);
	}
}

static void account(struct ht_engine *e)
{
	const struct ht_migrate_stats *ms = NULL;
	struct ht_metrics *m = &e->metrics;
	unsigned int t;
	size_t i;

	m->epoch = e->epoch;
	m->targets = e->nr_space;
	m->period = period(e);
	m->tiles = e->heat.stats.live;
	m->details = e->heat.stats.details;
	m->evicted = e->heat.stats.evicted;
	m->ranges = e->ranges.nr;
	m->strata = e->ranges.strata;
	m->thp_skewed = e->ranges.skewed;
	m->fast_share = e->ranges.heat ? (double)e->ranges.heat_in_tier[0] / e->ranges.heat : 0;
	m->fast_pages = m->slow_pages = 0;
	for (i = 0; i < e->nr_space; i++) {
		m->fast_pages += e->space[i]->in_tier[0];
		for (t = 1; t < HT_SPACE_TIERS; t++)
			m->slow_pages += e->space[i]->in_tier[t];
	}
	m->hot_in_slow = e->plan.hot_in_slow;
	m->misplaced_share = e->ranges.heat ? e->plan.misplaced_heat / e->ranges.heat : 0;
	m->promoted = e->mover.stats.promoted;
	m->demoted = e->mover.stats.demoted;
	m->would_promote = e->mover.stats.would_promote;
	m->would_demote = e->mover.stats.would_demote;
	m->failed = e->mover.stats.failed;
	m->thp_split = e->splitter.stats.split;
	m->thp_split_failed = e->splitter.stats.failed;
	m->would_split = e->splitter.stats.would_split;
	m->wasted = e->mover.ledger.wasted;
	m->held = e->mover.ledger.held;
	if (e->mover.migrate) {
		ms = ht_migrate_stats(e->mover.migrate);
		memcpy(m->outcome, ms->pages, sizeof(m->outcome));
		m->migrate_ns = ms->ns;
	}
	m->loader_ns = ht_cpu_ns() - e->cpu_base_ns;
	m->bpf_ns = e->bpf_ns_of_former + ht_object_run_ns(e->policy);
	m->wall_ns = ht_now_ns() - e->started_ns;
}

static void stage(struct ht_stages *s)
{
	uint64_t now = ht_cpu_ns();

	s->ms[s->nr++] = (now - s->last) / 1e6;
	s->last = now;
}

int ht_epoch_decide(struct ht_engine *e)
{
	struct ht_plan_params params;
	uint64_t moved;
	bool shifted;
	int err;

	plan_params(e, &params);
	err = decide(e, &params);
	if (err)
		return err;
	split(e, &params);
	stage(&e->stages);
	moved = act(e);
	if (!e->simulated)
		ht_record_placement(e->source_opts.record, e->space, e->nr_space);
	stage(&e->stages);
	ht_heatmap_evict(&e->heat);
	shifted = age(e);
	account(e);
	if (!e->simulated)
		ht_pacer_epoch(e, moved, budget_per_epoch(e), shifted);
	learn_from_waste(e,
			 e->metrics.promoted + e->metrics.demoted - e->before.promoted -
				 e->before.demoted,
			 e->metrics.wasted - e->before.wasted);
	e->before2 = e->before;
	e->before = e->metrics;
	return 0;
}

/*
 * A node that had no memory at the start may get some: it is of its tier from then on. Where that
 * makes another set of tiers, what policies were told and what is known of pages holds no more.
 */
#define NODES_EPOCHS 20

static void look_for_nodes(struct ht_engine *e)
{
	int was = e->nodes_err;

	if (e->epoch % NODES_EPOCHS)
		return;
	e->nodes_err = ht_tiers_update(&e->tiers, e->roots, e->cfg->fast, e->cfg->slow);
	if (e->nodes_err > 0)
		pr_info("other nodes have memory than before: %u now", e->tiers.nr_nodes);
	else if (e->nodes_err == -EAGAIN && was != -EAGAIN)
		pr_warn("the memory tiers are not what they were; this loader goes on with those "
			"it found at its start");
	else if (e->nodes_err && e->nodes_err != was)
		pr_warn("cannot look for memory nodes: %s", strerror(-e->nodes_err));
}

/*
 * A fork that is under way has mapped pages before anybody is told: while targets fork, one more process
 * than is known may map what they share.
 */
static int settle_shares(struct ht_engine *e)
{
	e->sharing.forking = e->forked_epoch && e->epoch - e->forked_epoch < 2;
	return ht_sharing_settle(&e->sharing, e->space, e->nr_space);
}

int ht_epoch_run(struct ht_engine *e)
{
	const double *ms = e->stages.ms;
	int err;

	e->stages = (struct ht_stages){ .last = ht_cpu_ns() };
	e->epoch++;
	e->heat.mem.ctl->heartbeat_ns = ht_now_ns();
	err = ht_epoch_samples(e);
	stage(&e->stages);
	err = err ?: ht_heatmap_collect(&e->heat);
	err = err ?: ht_follow_epoch(e);
	err = err ?: settle_shares(e);
	if (err)
		return err;
	stage(&e->stages);
	look_for_nodes(e);
	refresh_placement(e);
	stage(&e->stages);
	err = ht_epoch_decide(e);
	if (err)
		return err;
	pr_debug("epoch %u: CPU ms: samples %.2f, targets %.2f, placement %.2f, decision %.2f, "
		 "moves "
		 "%.2f; %zu ranges, %zu moves planned",
		 e->epoch, ms[0], ms[1], ms[2], ms[3], ms[4], e->ranges.nr, e->plan.nr);
	return 0;
}
