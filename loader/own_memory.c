// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <numaif.h>
#include <string.h>

#include "log.h"
#include "own_memory.h"

int ht_own_memory_node(const struct ht_tiers *t, const struct ht_roots *roots)
{
	return t->nr_tiers > 1 ? ht_tiers_pick_node(t, roots, t->nr_tiers - 1) : -ENOENT;
}

void ht_own_memory_slow(const struct ht_tiers *t, const struct ht_roots *roots)
{
	int node = ht_own_memory_node(t, roots);
	unsigned long mask;

	if (node < 0)
		return;
	mask = 1UL << node; /* below HT_MAX_NODES */
	/* The kernel leaves out the last of so many bits. */
	if (set_mempolicy(MPOL_PREFERRED, &mask, HT_MAX_NODES + 1))
		pr_debug("own memory is not kept out of the fast tier: %s", strerror(errno));
}

void ht_own_memory_default(void)
{
	set_mempolicy(MPOL_DEFAULT, NULL, 0);
}
