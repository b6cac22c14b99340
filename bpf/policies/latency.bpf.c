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
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(slack, 5, 0, 1000, "percent by which the fast tier may be slower before it is full");
HYPERTIER_KNOB(fast_mbps, 0, 0, 1 << 30,
	       "MiB/s that the fast tier can serve; 0: as the kernel says");
HYPERTIER_KNOB(slow_mbps, 0, 0, 1 << 30,
	       "MiB/s that the slow tier can serve; 0: as the kernel says");

#define MAX_CPUS 8192	 /* of any kernel; the loop ends at the last there is */
#define LEAST_SAMPLES 32 /* with a latency, of each tier and epoch: fewer say nothing */

enum tier { FAST, SLOW, TIERS };

/* union perf_mem_data_src: mem_lvl_num and mem_remote. */
#define LEVEL(src) ((src) >> 33 & 15)
#define REMOTE(src) ((src) >> 37 & 1)
enum { LEVEL_CXL = 9, LEVEL_RAM = 13, LEVEL_PMEM = 14 };

struct served {
	__u64 cycles[TIERS], nr[TIERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct served);
} measured SEC(".maps");

struct served before; /* sums up to the last epoch */
__u64 fast_nodes, period, idle[TIERS] = { 80, 250 }, mbps[TIERS];
bool fast_is_slower;

static int latency_init(const struct ht_init *i)
{
	fast_nodes = i->fast_nodes;
	period = i->period;
	if (i->fast_lat_ns && i->slow_lat_ns) {
		idle[FAST] = i->fast_lat_ns;
		idle[SLOW] = i->slow_lat_ns;
	}
	mbps[FAST] = fast_mbps.value ?: i->fast_bw_mbps;
	mbps[SLOW] = slow_mbps.value ?: i->slow_bw_mbps;
	return 0;
}

/* TIERS where a cache served it, or nobody knows. */
static enum tier tier_of(const struct ht_sample *s)
{
	__u32 level = LEVEL(s->data_src);

	if (s->node < 64)
		return fast_nodes >> s->node & 1 ? FAST : SLOW;
	if (level == LEVEL_RAM)
		return REMOTE(s->data_src) ? SLOW : FAST;
	return level == LEVEL_CXL || level == LEVEL_PMEM ? SLOW : TIERS;
}

static __u32 latency_sample(const struct ht_sample *s)
{
	enum tier tier = s->lat ? tier_of(s) : TIERS;
	__u32 zero = 0;
	struct served *m = bpf_map_lookup_elem(&measured, &zero);

	if (m && tier < TIERS) {
		m->cycles[tier] += s->lat;
		m->nr[tier]++;
	}
	return s->weight;
}

static long add_cpu(__u32 cpu, void *arg)
{
	struct served *sum = arg, *m;
	__u32 zero = 0;

	m = bpf_map_lookup_percpu_elem(&measured, &zero, cpu);
	if (!m)
		return 1;
	sum->cycles[FAST] += m->cycles[FAST];
	sum->cycles[SLOW] += m->cycles[SLOW];
	sum->nr[FAST] += m->nr[FAST];
	sum->nr[SLOW] += m->nr[SLOW];
	return 0;
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
	__u64 now[TIERS], nr[TIERS];
	struct served sum = {};

	bpf_loop(MAX_CPUS, add_cpu, &sum, 0);
	nr[FAST] = sum.nr[FAST] - before.nr[FAST];
	nr[SLOW] = sum.nr[SLOW] - before.nr[SLOW];
	if (nr[FAST] >= LEAST_SAMPLES && nr[SLOW] >= LEAST_SAMPLES) {
		now[FAST] = (sum.cycles[FAST] - before.cycles[FAST]) / nr[FAST];
		now[SLOW] = (sum.cycles[SLOW] - before.cycles[SLOW]) / nr[SLOW];
	} else {
		now[FAST] = modelled(t, fast_heat, FAST);
		now[SLOW] = modelled(t, t->total_heat - fast_heat, SLOW);
	}
	before = sum;
	fast_is_slower = now[FAST] * 100 > now[SLOW] * (100 + slack.value);
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
