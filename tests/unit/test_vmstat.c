// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Counters of the kernel, and what it moves by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "vmstat.h"

static void test_sum(void **state)
{
	static const char *const two[] = { "pgmigrate_success", "pgmigrate_fail", NULL };
	static const char *const part[] = { "pgmigrate", NULL };
	const struct ht_roots roots = { .proc = *state };
	uint64_t sum;

	assert_int_equal(ht_vmstat_sum(&roots, two, &sum), -ENOENT);
	fs_put(*state, "vmstat", "nr_free_pages 9\npgmigrate_success 70\npgmigrate_fail 3\n");
	assert_int_equal(ht_vmstat_sum(&roots, two, &sum), 0);
	assert_int_equal(sum, 73);
	assert_int_equal(ht_vmstat_sum(&roots, part, &sum), -ENOENT);
	fs_put(*state, "vmstat", "pgmigrate_success 70");
	assert_int_equal(ht_vmstat_sum(&roots, two, &sum), 0);
	assert_int_equal(sum, 70);
	fs_put(*state, "vmstat", "pgmigrate_success\npgmigrate_success x\n\n");
	assert_int_equal(ht_vmstat_sum(&roots, two, &sum), -ENOENT);
}

static uint64_t look(struct ht_kernel_moves *k, const char *dir, unsigned int all, uint64_t own)
{
	const struct ht_roots roots = { .proc = dir };
	char text[64];

	snprintf(text, sizeof(text), "pgmigrate_success %u\n", all);
	fs_put(dir, "vmstat", text);
	return ht_kernel_moves(k, &roots, own);
}

static void test_moves(void **state)
{
	struct ht_kernel_moves k = {};

	/* What was before the first look says nothing. */
	assert_int_equal(look(&k, *state, 5000, 20), 0);
	assert_int_equal(look(&k, *state, 5000, 20), 0);
	assert_int_equal(look(&k, *state, 5100, 120), 0);
	assert_int_equal(look(&k, *state, 5400, 220), 200);
	assert_int_equal(look(&k, *state, 5410, 220), 10);
	/* Ours may be booked before the kernel counts them. */
	assert_int_equal(look(&k, *state, 5410, 300), 0);
	assert_int_equal(look(&k, *state, 5500, 300), 90);
	fs_put(*state, "vmstat", "nr_free_pages 9\n");
	assert_int_equal(ht_kernel_moves(&k, &(struct ht_roots){ .proc = *state }, 300), 0);
	assert_int_equal(look(&k, *state, 5600, 300), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_sum, fs_setup, fs_teardown),
		cmocka_unit_test_setup_teardown(test_moves, fs_setup, fs_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
