/* SPDX-License-Identifier: GPL-2.0 */
/* For tests: hot memory is wanted at any price, so that there is something to move on any machine. */
#ifndef POLICY_EAGER_H
#define POLICY_EAGER_H

#include <hypertier/policy.bpf.h>

static __u64 eager_rank(const struct ht_range *r)
{
	return r->density;
}

static __u32 eager_admit(const struct ht_move *m)
{
	return 1;
}

#endif
