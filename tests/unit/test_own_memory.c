// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Where the loader's own memory comes from. Node 0 stands for the slow tier: any machine has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <numaif.h>

#include "own_memory.h"

static int policy(unsigned long *nodes)
{
	unsigned long mask[16] = {};
	int mode = -1;

	assert_int_equal(get_mempolicy(&mode, mask, sizeof(mask) * 8, NULL, 0), 0);
	*nodes = mask[0];
	return mode;
}

static void test_slow_and_back(void **state)
{
	struct ht_tiers t = { .nr_tiers = 2,
			      .tier[0] = { .nr_nodes = 1, .node = { 63 } },
			      .tier[1] = { .nr_nodes = 1, .node = { 0 } } };
	unsigned long nodes;

	ht_own_memory_slow(&t, &ht_host_roots);
	assert_int_equal(policy(&nodes), MPOL_PREFERRED);
	assert_int_equal(nodes, 1);
	ht_own_memory_default();
	assert_int_equal(policy(&nodes), MPOL_DEFAULT);
}

/* One tier, or a node that is not there: as before. */
static void test_nowhere_else(void **state)
{
	struct ht_tiers t = { .nr_tiers = 1, .tier[0] = { .nr_nodes = 1, .node = { 0 } } };
	unsigned long nodes;

	ht_own_memory_slow(&t, &ht_host_roots);
	assert_int_equal(policy(&nodes), MPOL_DEFAULT);
	t.nr_tiers = 2;
	t.tier[1] = (struct ht_tier){ .nr_nodes = 1, .node = { 1000 } };
	ht_own_memory_slow(&t, &ht_host_roots);
	assert_int_equal(policy(&nodes), MPOL_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slow_and_back),
		cmocka_unit_test(test_nowhere_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
