// SPDX-License-Identifier: GPL-2.0
/* bad_verifier: reads memory that is none of its business; no verifier lets it pass. For tests. */
#include <hypertier/policy.bpf.h>

static __u64 verifier_rank(const struct ht_range *r)
{
	return *(const volatile __u64 *)r->start;
}

HYPERTIER_OPS_DEFINE(bad_verifier, .rank = verifier_rank);
