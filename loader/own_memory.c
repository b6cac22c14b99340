// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <numaif.h>
#include <string.h>

#include "log.h"
#include "own_memory.h"

#define WORD_BITS (8 * sizeof(unsigned long))
#define MAX_NODES 1024 /* as the kernel's at most */

void ht_own_memory_slow(const struct ht_tiers *t, const struct ht_roots *roots)
{
	unsigned long mask[MAX_NODES / WORD_BITS] = {};
	int node = t->nr_tiers > 1 ? ht_tiers_pick_node(t, roots, t->nr_tiers - 1) : -1;

	if (node < 0 || node >= MAX_NODES)
		return;
	mask[node / WORD_BITS] = 1UL << (node % WORD_BITS);
	if (set_mempolicy(MPOL_PREFERRED, mask, MAX_NODES))
		pr_debug("own memory is not kept out of the fast tier: %s", strerror(errno));
}

void ht_own_memory_default(void)
{
	set_mempolicy(MPOL_DEFAULT, NULL, 0);
}
