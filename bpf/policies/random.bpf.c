// SPDX-License-Identifier: GPL-2.0
/*
 * random: a control. Every range has a random but stable score, whatever its heat.
 *
 * Idea: what a policy is worth shows against one that knows nothing, on the same migration path and
 * at the same budget. A score depends on the range's address and the seed alone, so pages come to
 * rest, and strata of one run of tiles stay together. All moves are admitted: the loader's payback
 * test would make a policy of it.
 * Knobs: seed.
 * Wrong choice for anything but comparing. A range is taken or left as a whole, so with few ranges
 * one run says little: average over seeds. Source: none needed.
 */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(seed, 1, 0, 1 << 30, "another seed is another placement");

static __u64 random_rank(const struct ht_range *r)
{
	return ht_hash(HT_KEY(r->tgid, r->start) + seed.value * 0x9e3779b97f4a7c15ULL);
}

static __u32 random_admit(const struct ht_move *m)
{
	return 1;
}

HYPERTIER_OPS_DEFINE(random, .rank = random_rank, .admit = random_admit);
