// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Counters of the kernel, and what it moves by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "vmstat.h"

static void test_read(void **state)
{
	const struct ht_roots roots = { .proc = *state };
	struct ht_vmstat v = { .migrated = 1, .refaulted = 2, .hint_faults = 3 };

	assert_int_equal(ht_vmstat_read(&roots, &v), -ENOENT);
	assert_true(v.migrated == 1 && v.refaulted == 2 && v.hint_faults == 3);
	fs_put(*state, "vmstat",
	       "nr_free_pages 9\nworkingset_refault_anon 5\nworkingset_refault_file 600\n"
	       "pgmigrate_success 70\npgmigrate_fail 3\nnuma_hint_faults 8000\n"
	       "numa_hint_faults_local 4\n");
	assert_int_equal(ht_vmstat_read(&roots, &v), 0);
	assert_true(v.migrated == 70 && v.refaulted == 605 && v.hint_faults == 8000);
	/* Some are not there, some make no sense; the last line has no end. */
	fs_put(*state, "vmstat",
	       "pgmigrate_success\nnuma_hint_faults x\n\nworkingset_refault_anon 7");
	assert_int_equal(ht_vmstat_read(&roots, &v), 0);
	assert_true(v.migrated == 0 && v.refaulted == 7 && v.hint_faults == 0);
}

static void test_moves(void **state)
{
	struct ht_kernel_moves k = {};

	/* What was before the first look says nothing. */
	assert_int_equal(ht_kernel_moves(&k, 5000, 20), 0);
	assert_int_equal(ht_kernel_moves(&k, 5000, 20), 0);
	assert_int_equal(ht_kernel_moves(&k, 5100, 120), 0);
	assert_int_equal(ht_kernel_moves(&k, 5400, 220), 200);
	assert_int_equal(ht_kernel_moves(&k, 5410, 220), 10);
	/* Ours may be booked before the kernel counts them. */
	assert_int_equal(ht_kernel_moves(&k, 5410, 300), 0);
	assert_int_equal(ht_kernel_moves(&k, 5500, 300), 90);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, fs_setup, fs_teardown),
		cmocka_unit_test(test_moves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
