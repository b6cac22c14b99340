// SPDX-License-Identifier: GPL-2.0
/* bad_init: declines to start. For tests. */
#include <hypertier/policy.bpf.h>

static int init_declines(const struct ht_init *i)
{
	return 77;
}

HYPERTIER_OPS_DEFINE(bad_init, .init = init_declines);
