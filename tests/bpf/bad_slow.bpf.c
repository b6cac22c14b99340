// SPDX-License-Identifier: GPL-2.0
/*
 * bad_slow: takes its time. Each range ranked, and each aging of all tiles, burns us microseconds,
 * from the given tick on: at once, so that a trial shows it, or when it is in charge. For tests.
 */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(us, 20000, 0, 1000000, "microseconds burnt for each range");
HYPERTIER_KNOB(after, 0, 0, 1 << 30, "ticks before it becomes slow");

static __u64 ticks;

static long burn_some(__u32 i, void *until)
{
	return bpf_ktime_get_ns() >= *(__u64 *)until;
}

static void slow_tick(const struct ht_tick *t)
{
	ticks++;
}

static __u64 slow_rank(const struct ht_range *r)
{
	__u64 until = bpf_ktime_get_ns() + us.value * 1000;

	if (ticks >= after.value)
		bpf_loop(1 << 23, burn_some, &until, 0);
	return r->density;
}

HYPERTIER_OPS_DEFINE(bad_slow, .rank = slow_rank, .tick = slow_tick);
