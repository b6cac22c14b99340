// SPDX-License-Identifier: GPL-2.0
/*
 * benefit: two moving averages decide what is hot, costs decide what moves.
 *
 * Idea: each range has a short and a long moving average of its samples. In steady times the long
 * one has most of the say; when the fast tier's share of the accesses falls below what it was, the
 * hot set is moving and the short one takes over for some epochs. A move must save half as much
 * again as it costs, and what was moved a moment ago rests. Nothing is compared with a fixed heat.
 *
 * Knobs: drop, hurry, payback, ratio, rest.
 *
 * Wrong choice for short runs: it moves late and little by design.
 *
 * Source: ARMS, arXiv 2508.04417, 2025 (no thresholds: averages, change detection, cost and
 * benefit).
 */
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(drop, 10, 1, 100, "percent by which the fast share falls when the hot set moves");
HYPERTIER_KNOB(hurry, 8, 0, 1000, "epochs for which the short average decides after that");
HYPERTIER_KNOB(payback, 40, 1, 1000, "epochs over which the savings of a move are counted");
HYPERTIER_KNOB(ratio, 150, 100, 10000, "percent of its cost that a move must save in them");
HYPERTIER_KNOB(rest, 8, 0, 1000, "epochs for which moved memory rests");

#define SHORT_SHIFT 1 /* weight of an epoch: 1/2 */
#define LONG_SHIFT 4  /* 1/16 */

struct range_id {
	__u64 start;
	__u32 tgid;
	__u32 pad;
};

struct averages {
	__u64 fast, slow; /* densities */
	__u64 epoch;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HT_RANGES_MAX);
	__type(key, struct range_id);
	__type(value, struct averages);
} history SEC(".maps");

__u64 epoch, samples, total_heat, accesses, lat_ns = 100;
__u64 usual_share, hurry_until; /* of the fast tier, in 1/65536 */

static int benefit_init(const struct ht_init *i)
{
	if (i->fast_lat_ns && i->slow_lat_ns > i->fast_lat_ns)
		lat_ns = i->slow_lat_ns - i->fast_lat_ns;
	return 0;
}

static void benefit_tick(const struct ht_tick *t)
{
	__u64 share = ht_mul_div(t->fast_heat, 65536, t->total_heat);

	if (share > 65536)
		share = 65536;
	epoch = t->epoch;
	samples = t->samples;
	total_heat = t->total_heat;
	accesses = t->samples * t->period;
	if (share * 100 < usual_share * (100 - drop.value)) {
		hurry_until = epoch + hurry.value;
		usual_share = share;
	}
	usual_share = usual_share - (usual_share >> 3) + (share >> 3);
}

static __u64 follow(__u64 average, __u64 now, __u32 shift)
{
	return average - (average >> shift) + (now >> shift);
}

static __u64 benefit_rank(const struct ht_range *r)
{
	struct range_id id = { .start = r->start, .tgid = r->tgid };
	struct averages *a, fresh = { .fast = r->density, .slow = r->density, .epoch = epoch };
	/* The epoch's samples in the currency of the heat map, whose average a new range takes. */
	__u64 now = ht_density(ht_mul_div(r->recent, total_heat, samples), r->pages);

	/* Strata of one run share their addresses, and pages change between them. */
	if (r->flags & HT_RANGE_STRATUM)
		return r->density;
	a = bpf_map_lookup_elem(&history, &id);
	if (!a) {
		bpf_map_update_elem(&history, &id, &fresh, BPF_ANY);
		return r->density;
	}
	if (a->epoch != epoch) {
		a->fast = follow(a->fast, now, SHORT_SHIFT);
		a->slow = follow(a->slow, now, LONG_SHIFT);
		a->epoch = epoch;
	}
	if (epoch < hurry_until)
		return a->fast - (a->fast >> 2) + (a->slow >> 2);
	return a->slow - (a->slow >> 2) + (a->fast >> 2);
}

static __u32 benefit_admit(const struct ht_move *m)
{
	__u64 saved;

	if (m->to_tier > m->from_tier)
		return 1;
	if (m->score <= ht_mul_div(m->victim_score, m->margin, 256))
		return 0;
	/* Of a stratum's tile some pages move and others rest: the loader remembers those. */
	if (m->moved < rest.value && !(m->flags & HT_RANGE_STRATUM))
		return 0;
	saved = ht_saving(m->score - m->victim_score, m->pages, accesses, total_heat, lat_ns);
	return !accesses ||
	       ht_mul_div(saved, payback.value, 1) >= ht_mul_div(m->cost_ns, ratio.value, 100);
}

HYPERTIER_OPS_DEFINE(benefit, .init = benefit_init, .tick = benefit_tick, .rank = benefit_rank,
		     .admit = benefit_admit);
