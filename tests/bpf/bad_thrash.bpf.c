// SPDX-License-Identifier: GPL-2.0
/* bad_thrash: a new random score for every range in every epoch, and every move admitted. For
 * tests. */
#include <hypertier/policy.bpf.h>

static __u64 thrash_rank(const struct ht_range *r)
{
	return bpf_get_prandom_u32();
}

static __u32 thrash_admit(const struct ht_move *m)
{
	return 1;
}

HYPERTIER_OPS_DEFINE(bad_thrash, .rank = thrash_rank, .admit = thrash_admit);
