// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The policies' integer arithmetic against 128-bit products. */
#include "test_util.h"

#include <linux/types.h>

#define __noinline __attribute__((noinline))

__u32 ht_log2(__u64 v);
__u64 ht_mul_div(__u64 a, __u64 b, __u64 c);

#include "../../bpf/hypertier/math.bpf.h"

static uint64_t any(uint64_t *rnd)
{
	uint64_t v = tu_rnd(rnd);

	return v >> (tu_rnd(rnd) % 64);
}

static void test_log2(void **state)
{
	assert_int_equal(ht_log2(0), 0);
	for (unsigned int n = 0; n < 64; n++) {
		assert_int_equal(ht_log2(1ULL << n), n);
		assert_int_equal(ht_log2((2ULL << n) - 1), n);
	}
}

static void check(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b, want = c ? product / c : 0;
	uint64_t got = ht_mul_div(a, b, c), exact = want >> 64 ? ~0ULL : (uint64_t)want;
	long double off;

	/* Nothing is lost where nothing can overflow. */
	if (ht_log2(a) + ht_log2(b) < 63) {
		assert_true(got == exact);
		return;
	}
	off = (long double)exact - got;
	if (off < -(exact * 0x1p-28L + 1) || off > exact * 0x1p-28L + 1)
		fail_msg("%lu * %lu / %lu is %lu, not %lu", a, b, c, exact, got);
}

static void test_mul_div(void **state)
{
	static const uint64_t edge[] = { 0, 1, 2, 255, 65536, ~0U, 1ULL << 32, ~0ULL >> 1, ~0ULL };
	const size_t n = sizeof(edge) / sizeof(edge[0]);
	uint64_t rnd = 7;

	for (size_t i = 0; i < n * n * n; i++)
		check(edge[i / n / n], edge[i / n % n], edge[i % n]);
	for (int i = 0; i < 1000000; i++)
		check(any(&rnd), any(&rnd), any(&rnd));
}

static void test_density(void **state)
{
	assert_int_equal(ht_density(1, 1), 65536);
	assert_int_equal(ht_density(1, 0), 0);
	assert_int_equal(ht_density(8, 512), 1024);
	assert_true(ht_density(~0ULL, 1) == ~0ULL);
}

/* One page with a sample in 1000, of 10^6 accesses: 1000 accesses of 170 ns. */
static void test_saving(void **state)
{
	assert_in_range(ht_saving(65536, 1, 1000000, 1000, 170), 169990, 170000);
	/* Less than a sample still counts. */
	assert_in_range(ht_saving(64, 1, 1000000, 1000, 170), 160, 166);
	assert_int_equal(ht_saving(65536, 0, 1000000, 1000, 170), 0);
	assert_int_equal(ht_saving(65536, 1, 1000000, 0, 170), 0);
	assert_true(ht_saving(~0ULL, ~0ULL, ~0ULL, 1, ~0ULL) == ~0ULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_log2),
		cmocka_unit_test(test_mul_div),
		cmocka_unit_test(test_density),
		cmocka_unit_test(test_saving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
