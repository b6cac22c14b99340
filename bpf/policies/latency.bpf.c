// SPDX-License-Identifier: GPL-2.0
/*
 * latency: the hottest memory belongs into the tier that is faster now, not into the one that is
 * faster when idle.
 *
 * Idea: a tier near its bandwidth limit answers late, and a loaded fast tier can be slower than an
 * idle slow one. Each epoch both latencies are estimated; while the fast tier's exceeds the slow
 * one's, nothing more is promoted. Ranges rank by heat per page as in range. The latencies are
 * measured where samples carry one (PEBS, IBS), by the node or the data source of the sample. Else
 * they are modelled: idle latency times the queueing delay that follows from the tier's share of
 * the accesses and its bandwidth; where that is not known either, the fast tier never counts as
 * loaded.
 *
 * Knobs: slack, fast_mbps, slow_mbps.
 *
 * Wrong choice where bandwidth is no bottleneck (it is range then), and as a cure for a tier that
 * is overloaded already: it stops adding to the load but takes nothing away.
 *
 * Source: Colloid, Vuppalapati and Agarwal, SOSP 2024 (which balances in both directions, with
 * latencies from uncore counters that a guest does not have).
 */
#include <hypertier/tier_latency.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(slack, 5, 0, 1000, "percent by which the fast tier may be slower before it is full");
HYPERTIER_KNOB(fast_mbps, 0, 0, 1 << 30,
	       "MiB/s that the fast tier can serve; 0: as the kernel says");
HYPERTIER_KNOB(slow_mbps, 0, 0, 1 << 30,
	       "MiB/s that the slow tier can serve; 0: as the kernel says");

#define LEAST_SAMPLES 32 /* with a latency, of each tier and epoch: fewer say nothing */

__u64 period, idle[HT_TIERS] = { 80, 250 }, mbps[HT_TIERS];
bool fast_is_slower;

static int latency_init(const struct ht_init *i)
{
	served_fast_nodes = i->fast_nodes;
	if (i->fast_lat_ns && i->slow_lat_ns) {
		idle[HT_FAST] = i->fast_lat_ns;
		idle[HT_SLOW] = i->slow_lat_ns;
	}
	mbps[HT_FAST] = fast_mbps.value ?: i->fast_bw_mbps;
	mbps[HT_SLOW] = slow_mbps.value ?: i->slow_bw_mbps;
	return 0;
}

static __u32 latency_sample(const struct ht_sample *s)
{
	ht_served_count(s);
	return s->weight;
}

/* Mean wait behind others at utilisation u: half of u / (1 - u) service times (M/D/1). */
static __u64 modelled(const struct ht_tick *t, __u64 heat, __u32 tier)
{
	__u64 bytes = ht_mul_div(t->samples * period * 64, heat, t->total_heat);
	__u64 limit = ht_mul_div(mbps[tier] << 20, t->epoch_ns, 1000000000);
	__u64 percent = ht_mul_div(bytes, 100, limit);

	percent = percent < 95 ? percent : 95;
	return idle[tier] + idle[tier] * percent / (2 * (100 - percent));
}

static void latency_tick(const struct ht_tick *t)
{
	__u64 fast_heat = t->fast_heat < t->total_heat ? t->fast_heat : t->total_heat;
	struct ht_served taken = ht_served_take();
	__u64 now[HT_TIERS];

	period = t->period;
	if (taken.nr[HT_FAST] >= LEAST_SAMPLES && taken.nr[HT_SLOW] >= LEAST_SAMPLES) {
		now[HT_FAST] = taken.cycles[HT_FAST] / taken.nr[HT_FAST];
		now[HT_SLOW] = taken.cycles[HT_SLOW] / taken.nr[HT_SLOW];
	} else {
		now[HT_FAST] = modelled(t, fast_heat, HT_FAST);
		now[HT_SLOW] = modelled(t, t->total_heat - fast_heat, HT_SLOW);
	}
	fast_is_slower = now[HT_FAST] * 100 > now[HT_SLOW] * (100 + slack.value);
}

static __u64 latency_rank(const struct ht_range *r)
{
	return r->flags & HT_RANGE_STREAM ? r->density >> 2 : r->density;
}

static __u32 latency_admit(const struct ht_move *m)
{
	if (m->to_tier > m->from_tier)
		return 1;
	if (fast_is_slower || m->density <= ht_mul_div(m->victim_density, m->margin, 256))
		return 0;
	return !period || m->gain_ns >= m->cost_ns;
}

HYPERTIER_OPS_DEFINE(latency, .init = latency_init, .sample = latency_sample, .tick = latency_tick,
		     .rank = latency_rank, .admit = latency_admit);
