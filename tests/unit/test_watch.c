// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Who is ejected, when and why; and who may come back. */
#include "test_util.h"

#include "watch.h"

#define S 1000000000ULL
#define EPOCH 500000000ULL
#define LIMIT ((uint64_t)(EPOCH * HT_WATCH_TIME_SHARE))

static struct ht_watch w;
static struct ht_exit why;

static int start(void **state)
{
	ht_watch_start(&w, -1);
	return 0;
}

static enum ht_exit_kind slow(uint64_t ops_ns)
{
	struct ht_watch_sample s = { .ops_ns = ops_ns, .epoch_ns = EPOCH };

	return ht_watch_epoch(&w, &s, &why);
}

static void test_slow(void **state)
{
	for (int i = 0; i < HT_WATCH_SLOW_EPOCHS - 1; i++) {
		assert_int_equal(slow(LIMIT + 1), HT_EXIT_NONE);
		assert_int_equal(why.kind, HT_EXIT_NONE);
	}
	assert_int_equal(slow(LIMIT + 1), HT_EXIT_STALL);
	assert_int_equal(why.kind, HT_EXIT_STALL);
	assert_non_null(strstr(why.reason, "too slow"));
	assert_non_null(strstr(why.reason, "100 ms of 500 ms"));
}

/* One slow epoch now and then is no reason, and neither is the limit itself. */
static void test_slow_at_times(void **state)
{
	for (int i = 0; i < 100; i++)
		assert_int_equal(slow(i % HT_WATCH_SLOW_EPOCHS ? 100 * S : LIMIT), HT_EXIT_NONE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(slow(LIMIT), HT_EXIT_NONE);
}

static void idle(unsigned int epochs)
{
	struct ht_watch_sample s = { .epoch_ns = EPOCH };

	while (epochs--)
		assert_int_equal(ht_watch_epoch(&w, &s, &why), HT_EXIT_NONE);
}

static enum ht_exit_kind moved(uint64_t pages, uint64_t wasted)
{
	struct ht_watch_sample s = { .epoch_ns = EPOCH, .moved = pages, .wasted = wasted };

	return ht_watch_epoch(&w, &s, &why);
}

static void test_thrash(void **state)
{
	uint64_t n = HT_WATCH_WASTE_PAGES;

	idle(HT_WATCH_GRACE);
	assert_int_equal(moved(n - 1, n - 1), HT_EXIT_NONE);
	assert_int_equal(moved(n, n), HT_EXIT_THRASH);
	assert_int_equal(why.kind, HT_EXIT_THRASH);
	assert_string_equal(why.reason, "thrashing: 100 % of 8192 pages came back");
}

static void test_thrash_limit(void **state)
{
	uint64_t n = 10000;

	idle(HT_WATCH_GRACE);
	assert_int_equal(moved(n, n * HT_WATCH_WASTE), HT_EXIT_NONE);
	assert_int_equal(moved(n, n * HT_WATCH_WASTE + 1), HT_EXIT_THRASH);
}

/* Who undoes what the predecessor did wastes nothing of his own. */
static void test_undoes_predecessor(void **state)
{
	uint64_t n = 0, wasted = 0;

	for (int i = 0; i < HT_WATCH_GRACE; i++)
		assert_int_equal(moved(n += 4096, wasted += 4096), HT_EXIT_NONE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(moved(n += 4096, wasted += 40), HT_EXIT_NONE);
}

/* What a policy did well for a day excuses nothing for another day. */
static void test_thrash_after_good_days(void **state)
{
	uint64_t n = 0, wasted = 0;
	int i;

	for (i = 0; i < 10000; i++)
		assert_int_equal(moved(n += 4096, wasted += 40), HT_EXIT_NONE);
	for (i = 1; i < 100 && moved(n += 4096, wasted += 4096) == HT_EXIT_NONE; i++)
		;
	assert_in_range(i, 4, 32);
	assert_int_equal(why.kind, HT_EXIT_THRASH);
}

/* Some waste all the time is what the planner's margin is for. */
static void test_some_waste(void **state)
{
	uint64_t n = 0, wasted = 0;

	for (int i = 0; i < 10000; i++)
		assert_int_equal(moved(n += 4096, wasted += 4096 / 2), HT_EXIT_NONE);
}

/* Counters that went back (they never should) make no policy guilty. */
static void test_counters_back(void **state)
{
	idle(HT_WATCH_GRACE);
	assert_int_equal(moved(100000, 1000), HT_EXIT_NONE);
	assert_int_equal(moved(5, 4), HT_EXIT_NONE);
	assert_int_equal(moved(6, 5), HT_EXIT_NONE);
}

static enum ht_exit_kind share(double fast_share, bool known)
{
	struct ht_watch_sample s = {
		.epoch_ns = EPOCH,
		.fast_share = fast_share,
		.share_known = known,
	};

	return ht_watch_epoch(&w, &s, &why);
}

static void grace(double fast_share)
{
	for (int i = 0; i < HT_WATCH_GRACE; i++)
		assert_int_equal(share(fast_share, true), HT_EXIT_NONE);
}

static void test_worse(void **state)
{
	ht_watch_start(&w, 0.8);
	grace(0.1);
	for (int i = 0; i < HT_WATCH_SHARE_EPOCHS - 1; i++)
		assert_int_equal(share(0.5, true), HT_EXIT_NONE);
	assert_int_equal(share(0.5, true), HT_EXIT_WORSE);
	assert_int_equal(why.kind, HT_EXIT_WORSE);
	assert_string_equal(why.reason, "fast share 50 %, predecessor's 80 %");
}

/* One better epoch starts the count anew; epochs nothing is known of stop it, but count for
 * neither. */
static void test_worse_in_a_row(void **state)
{
	ht_watch_start(&w, 0.8);
	grace(0.8);
	for (int i = 0; i < 100; i++)
		assert_int_equal(share(i % HT_WATCH_SHARE_EPOCHS ? 0.1 : 0.6, true), HT_EXIT_NONE);
	assert_int_equal(share(0.6, true), HT_EXIT_NONE);
	for (int i = 0; i < 100; i++)
		assert_int_equal(share(0, false), HT_EXIT_NONE);
	for (int i = 0; i < HT_WATCH_SHARE_EPOCHS - 1; i++)
		assert_int_equal(share(0.1, true), HT_EXIT_NONE);
	assert_int_equal(share(0, false), HT_EXIT_NONE);
	assert_int_equal(share(0.1, true), HT_EXIT_WORSE);
}

static void test_no_predecessor(void **state)
{
	static const double none[] = { -1, 0 };

	for (int k = 0; k < 2; k++) {
		ht_watch_start(&w, none[k]);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(share(0, true), HT_EXIT_NONE);
	}
}

/* Every reason fits and ends, however large the numbers. */
static void test_extremes(void **state)
{
	struct ht_watch_sample s = {
		.ops_ns = UINT64_MAX,
		.epoch_ns = 1,
		.moved = UINT64_MAX,
		.wasted = UINT64_MAX,
		.fast_share = 1e300,
		.share_known = true,
	};

	for (int i = 0; i < HT_WATCH_SLOW_EPOCHS; i++)
		ht_watch_epoch(&w, &s, &why);
	assert_int_equal(why.kind, HT_EXIT_STALL);
	assert_true(strlen(why.reason) < sizeof(why.reason));
	s.ops_ns = s.moved = s.wasted = 0;
	w.epochs = HT_WATCH_GRACE;
	assert_int_equal(ht_watch_epoch(&w, &s, &why), HT_EXIT_NONE);
	s.moved = s.wasted = UINT64_MAX;
	assert_int_equal(ht_watch_epoch(&w, &s, &why), HT_EXIT_THRASH);
	assert_true(strlen(why.reason) < sizeof(why.reason));
}

static void test_bans(void **state)
{
	struct ht_ban_list l = {};

	assert_int_equal(ht_ban_wait_s(&l, "a", 0), 0);
	ht_ban(&l, "a", 100 * S);
	assert_int_equal(ht_ban_wait_s(&l, "a", 100 * S), 61);
	assert_int_equal(ht_ban_wait_s(&l, "a", 100 * S + 1), 60);
	assert_int_equal(ht_ban_wait_s(&l, "a", 159 * S), 2);
	assert_int_equal(ht_ban_wait_s(&l, "a", 160 * S), 0);
	assert_int_equal(ht_ban_wait_s(&l, "b", 100 * S), 0);
	ht_ban(&l, "a", 200 * S);
	assert_int_equal(ht_ban_wait_s(&l, "a", 319 * S), 2);
	assert_int_equal(ht_ban_wait_s(&l, "a", 320 * S), 0);
	ht_ban(&l, "a", 400 * S);
	assert_true(ht_ban_wait_s(&l, "a", 400 * S) == UINT64_MAX);
	assert_true(ht_ban_wait_s(&l, "a", UINT64_MAX - 1) == UINT64_MAX);
	ht_ban(&l, "a", 500 * S);
	assert_true(ht_ban_wait_s(&l, "a", 500 * S) == UINT64_MAX);
	assert_int_equal(ht_ban_wait_s(&l, "b", 500 * S), 0);
}

/* More names than there is room for: whoever is out for good stays out. */
static void test_many_bans(void **state)
{
	struct ht_ban_list l = {};
	char name[HT_NAME_LEN];

	for (int i = 0; i < HT_WATCH_EJECTIONS; i++)
		ht_ban(&l, "worst", 0);
	for (int i = 0; i < 10 * HT_WATCH_NAMES; i++) {
		snprintf(name, sizeof(name), "p%d", i);
		ht_ban(&l, name, i);
		assert_true(ht_ban_wait_s(&l, name, i) > 0);
		assert_true(ht_ban_wait_s(&l, "worst", i) == UINT64_MAX);
	}
}

/* Names come from files: full length, without an end. */
static void test_long_name(void **state)
{
	struct ht_ban_list l = {};

	ht_ban(&l, "123456789012345", 0);
	assert_true(ht_ban_wait_s(&l, "123456789012345", 0) > 0);
	assert_int_equal(ht_ban_wait_s(&l, "12345678901234", 0), 0);
	assert_int_equal(ht_ban_wait_s(&l, "", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_slow, start),
		cmocka_unit_test_setup(test_slow_at_times, start),
		cmocka_unit_test_setup(test_thrash, start),
		cmocka_unit_test_setup(test_thrash_limit, start),
		cmocka_unit_test_setup(test_undoes_predecessor, start),
		cmocka_unit_test_setup(test_thrash_after_good_days, start),
		cmocka_unit_test_setup(test_some_waste, start),
		cmocka_unit_test_setup(test_counters_back, start),
		cmocka_unit_test_setup(test_worse, start),
		cmocka_unit_test_setup(test_worse_in_a_row, start),
		cmocka_unit_test_setup(test_no_predecessor, start),
		cmocka_unit_test_setup(test_extremes, start),
		cmocka_unit_test(test_bans),
		cmocka_unit_test(test_many_bans),
		cmocka_unit_test(test_long_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
