// SPDX-License-Identifier: GPL-2.0
/*
 * bad_flip: prefers high addresses for some ticks, then low ones for as many, and admits every
 * move. The period lies between what the loader's ledger forgives and what it calls waste, so each
 * move undoes one before. For tests.
 */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(period, 16, 1, 1000, "ticks between two changes of mind");

static __u64 ticks;

static void flip_tick(const struct ht_tick *t)
{
	ticks++;
}

static __u64 flip_rank(const struct ht_range *r)
{
	return ticks / period.value & 1 ? ~r->start : r->start;
}

static __u32 flip_admit(const struct ht_move *m)
{
	return 1;
}

HYPERTIER_OPS_DEFINE(bad_flip, .rank = flip_rank, .admit = flip_admit, .tick = flip_tick);
