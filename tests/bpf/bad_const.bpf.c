// SPDX-License-Identifier: GPL-2.0
/* bad_const: knows no difference, every range has the same extreme score. For tests. */
#include <hypertier/policy.bpf.h>

HYPERTIER_KNOB(lowest, 0, 0, 1, "0: the highest score there is, 1: the lowest");

static __u64 const_rank(const struct ht_range *r)
{
	return lowest.value ? 0 : ~0ULL;
}

HYPERTIER_OPS_DEFINE(bad_const, .rank = const_rank);
