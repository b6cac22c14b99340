// SPDX-License-Identifier: GPL-2.0
/*
 * momentum: long-term frequency plus short-term momentum.
 *
 * Idea: the heat map's average knows what was hot for long, but learns late. So the last epoch
 * alone is a second opinion: what its samples would come to if they went on like this. The score
 * is a mix of both; memory that heats up passes memory that cools down at equal frequency. An
 * epoch's samples of a small or cold range are noise: below a number of them frequency alone
 * decides.
 *
 * Knobs: weight, least, payback.
 *
 * Wrong choice where access is bursty but stationary: momentum then chases bursts that are over
 * when the pages arrive.
 *
 * Source: HybridTier, Song et al., ASPLOS 2025 (which tracks long-term frequency and short-term
 * momentum in probabilistic counters).
 */
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(weight, 33, 0, 100, "percent of the score that the last epoch decides");
HYPERTIER_KNOB(least, 16, 1, 1 << 20, "samples in an epoch below which a range has no momentum");
HYPERTIER_KNOB(payback, 10, 1, 1000, "epochs within which a move must save what it costs");

__u64 samples, total_heat; /* of this epoch */
__u64 accesses, lat_ns = 100;

static int momentum_init(const struct ht_init *i)
{
	if (i->fast_lat_ns && i->slow_lat_ns > i->fast_lat_ns)
		lat_ns = i->slow_lat_ns - i->fast_lat_ns;
	return 0;
}

static void momentum_tick(const struct ht_tick *t)
{
	samples = t->samples;
	total_heat = t->total_heat;
	accesses = t->samples * t->period;
}

static __u64 momentum_rank(const struct ht_range *r)
{
	__u64 heat;

	if (r->recent < least.value)
		return r->density;
	/* The epoch's samples in the heat map's currency. */
	heat = ht_mul_div(r->recent, total_heat, samples);
	return r->density / 100 * (100 - weight.value) +
	       ht_density(heat, r->pages) / 100 * weight.value;
}

/*
 * The loader's own payback test goes by density: what heats up would wait until it has. Its margin,
 * which grows while moves turn out to be wasted, holds for scores as well.
 */
static __u32 momentum_admit(const struct ht_move *m)
{
	__u64 saved;

	if (m->to_tier > m->from_tier)
		return 1;
	if (m->score <= ht_mul_div(m->victim_score, m->margin, 256))
		return 0;
	saved = ht_saving(m->score - m->victim_score, m->pages, accesses, total_heat, lat_ns);
	return !accesses || ht_mul_div(saved, payback.value, 1) >= m->cost_ns;
}

HYPERTIER_OPS_DEFINE(momentum, .init = momentum_init, .tick = momentum_tick, .rank = momentum_rank,
		     .admit = momentum_admit);
