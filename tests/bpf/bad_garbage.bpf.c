// SPDX-License-Identifier: GPL-2.0
/*
 * bad_garbage: writes random bits over everything of the ranges and moves it is asked about, which
 * are memory it shares with the loader, and returns random bits; from the given tick on. For tests.
 */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(after, 0, 0, 1 << 30, "ticks before it lies");
HYPERTIER_KNOB(moves_only, 0, 0, 1, "1: ranges are left alone, moves are not");

static __u64 ticks;

static __u64 any(void)
{
	return (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
}

static long spoil_range(__u32 i, void *arg)
{
	struct ht_range *r = bpf_map_lookup_elem(&ranges, &i);

	if (!r)
		return 1;
	r->start = any();
	r->end = any();
	r->heat = any();
	r->density = any();
	r->tgid = any();
	r->flags = any();
	r->pages = any();
	r->fast_pages = any();
	r->moved = any();
	r->level = any();
	r->score = any();
	return 0;
}

static long spoil_move(__u32 i, void *arg)
{
	struct ht_move *m = bpf_map_lookup_elem(&moves, &i);

	if (!m)
		return 1;
	m->start = any();
	m->pages = any();
	m->tgid = any();
	m->from_tier = any();
	m->to_tier = any();
	m->flags = any();
	m->cut = any();
	m->gain_ns = any();
	m->admitted = 1;
	return 0;
}

static void garbage_tick(const struct ht_tick *t)
{
	ticks++;
}

static __u64 garbage_rank(const struct ht_range *r)
{
	if (ticks < after.value || moves_only.value)
		return r->density;
	bpf_loop(256, spoil_range, NULL, 0);
	return any();
}

static __u32 garbage_admit(const struct ht_move *m)
{
	if (ticks < after.value)
		return 1;
	bpf_loop(256, spoil_move, NULL, 0);
	return any();
}

HYPERTIER_OPS_DEFINE(bad_garbage, .rank = garbage_rank, .admit = garbage_admit,
		     .tick = garbage_tick);
