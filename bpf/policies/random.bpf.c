// SPDX-License-Identifier: GPL-2.0
/*
 * random: a control. The fast tier gets a random but stable choice of memory, whatever its heat.
 *
 * Idea: what a policy is worth shows against one that knows nothing, on the same migration path
 * and at the same budget. A die is cast for each tile of 2 MiB, by its address: the share of tiles
 * that the fast tier has of all memory is chosen, samples of the others are ignored. It is done
 * with the samples because ranges take their shape from heat: a random score for each range would
 * find hot memory, whose ranges are small and fit. All moves are admitted: the loader's payback
 * test would make a policy of it.
 *
 * Knobs: seed.
 *
 * Wrong choice for anything but comparing; average over seeds.
 *
 * Source: none needed.
 */
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(seed, 1, 0, 1 << 30, "another seed is another placement");

__u64 chosen = ~0ULL; /* of 2^64 */

static int random_init(const struct ht_init *i)
{
	chosen = ht_mul_div(~0ULL, i->fast_pages, i->fast_pages + i->slow_pages);
	return 0;
}

static __u32 random_sample(const struct ht_sample *s)
{
	__u64 toss = ht_hash(HT_KEY(s->tgid, s->addr) + seed.value * 0x9e3779b97f4a7c15ULL);

	/* So much that no range takes in both kinds. */
	return toss <= chosen ? 256 : 0;
}

static __u64 random_rank(const struct ht_range *r)
{
	return r->heat > 0;
}

static __u32 random_admit(const struct ht_move *m)
{
	return 1;
}

HYPERTIER_OPS_DEFINE(random, .init = random_init, .sample = random_sample, .rank = random_rank,
		     .admit = random_admit);
