/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Latency of each tier, measured by the samples that carry one (PEBS, IBS, the lab): for policies
 * that include this. ops.init tells it the nodes, ops.sample hands it each sample, ops.tick takes
 * what came in since the last one.
 */
#ifndef HYPERTIER_TIER_LATENCY_BPF_H
#define HYPERTIER_TIER_LATENCY_BPF_H

#include <hypertier/policy.bpf.h>

#define HT_CPUS_MAX 8192 /* of any kernel; the loop ends at the last there is */

enum ht_tier { HT_FAST, HT_SLOW, HT_TIERS };

/* union perf_mem_data_src: mem_lvl_num and mem_remote. */
#define HT_LEVEL(src) ((src) >> 33 & 15)
#define HT_REMOTE(src) ((src) >> 37 & 1)
enum { HT_LEVEL_CXL = 9, HT_LEVEL_RAM = 13, HT_LEVEL_PMEM = 14 };

struct ht_served {
	__u64 cycles[HT_TIERS], nr[HT_TIERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ht_served);
} served SEC(".maps");

struct ht_served served_before; /* sums up to the last epoch */
__u64 served_fast_nodes;

/* HT_TIERS where a cache served it, or nobody knows. */
static __always_inline enum ht_tier ht_served_by(const struct ht_sample *s)
{
	__u32 level = HT_LEVEL(s->data_src);

	if (s->node < 64)
		return served_fast_nodes >> s->node & 1 ? HT_FAST : HT_SLOW;
	if (level == HT_LEVEL_RAM)
		return HT_REMOTE(s->data_src) ? HT_SLOW : HT_FAST;
	return level == HT_LEVEL_CXL || level == HT_LEVEL_PMEM ? HT_SLOW : HT_TIERS;
}

static __always_inline void ht_served_count(const struct ht_sample *s)
{
	enum ht_tier tier = s->lat ? ht_served_by(s) : HT_TIERS;
	__u32 zero = 0;
	struct ht_served *m = bpf_map_lookup_elem(&served, &zero);

	if (m && tier < HT_TIERS) {
		m->cycles[tier] += s->lat;
		m->nr[tier]++;
	}
}

static long ht_served_add_cpu(__u32 cpu, void *arg)
{
	struct ht_served *sum = arg, *m;
	__u32 zero = 0;

	m = bpf_map_lookup_percpu_elem(&served, &zero, cpu);
	if (!m)
		return 1;
	sum->cycles[HT_FAST] += m->cycles[HT_FAST];
	sum->cycles[HT_SLOW] += m->cycles[HT_SLOW];
	sum->nr[HT_FAST] += m->nr[HT_FAST];
	sum->nr[HT_SLOW] += m->nr[HT_SLOW];
	return 0;
}

/* Of all CPUs, since the last call. */
static __always_inline struct ht_served ht_served_take(void)
{
	struct ht_served sum = {}, new;

	bpf_loop(HT_CPUS_MAX, ht_served_add_cpu, &sum, 0);
	new = sum;
	new.cycles[HT_FAST] -= served_before.cycles[HT_FAST];
	new.cycles[HT_SLOW] -= served_before.cycles[HT_SLOW];
	new.nr[HT_FAST] -= served_before.nr[HT_FAST];
	new.nr[HT_SLOW] -= served_before.nr[HT_SLOW];
	served_before = sum;
	return new;
}

#endif
