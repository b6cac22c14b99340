// SPDX-License-Identifier: GPL-2.0
/* bad_inverse: the colder, the faster the memory it gets; every move is admitted. For tests. */
#include <hypertier/policy.bpf.h>

static __u64 inverse_rank(const struct ht_range *r)
{
	return ~r->density;
}

static __u32 inverse_admit(const struct ht_move *m)
{
	return 1;
}

HYPERTIER_OPS_DEFINE(bad_inverse, .rank = inverse_rank, .admit = inverse_admit);
