// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include "ledger.h"

#define TGID 4711
#define VA 0x7f1200000000ULL

static void start(struct ht_ledger *l, uint32_t entries)
{
	assert_int_equal(ht_ledger_init(l, entries), 0);
}

static void test_init(void **state)
{
	struct ht_ledger l;

	assert_int_equal(ht_ledger_init(&l, 0), -EINVAL);
	ht_ledger_free(&l);
	assert_int_equal(ht_ledger_init(&l, 1000), -EINVAL);
	ht_ledger_free(&l);
	start(&l, 1);
	ht_ledger_note(&l, TGID, VA, 0, 1, 1);
	assert_false(ht_ledger_may(&l, TGID, VA, 1, 2));
	ht_ledger_free(&l);
}

static void test_hold(void **state)
{
	struct ht_ledger l;
	uint64_t refused = 0;

	start(&l, 1 << 12);
	assert_true(ht_ledger_may(&l, TGID, VA, 0, 100));
	ht_ledger_note(&l, TGID, VA, 0, 100, 1);
	for (uint32_t e = 100; e < 100 + HT_LEDGER_HOLD; e++, refused++) {
		assert_false(ht_ledger_may(&l, TGID, VA, 1, e));
		/* The same way again is no way back; nor is another page or process. */
		assert_true(ht_ledger_may(&l, TGID, VA, 0, e));
		assert_true(ht_ledger_may(&l, TGID, VA + TU_PAGE, 1, e));
		assert_true(ht_ledger_may(&l, TGID + 1, VA, 1, e));
	}
	assert_true(ht_ledger_may(&l, TGID, VA, 1, 100 + HT_LEDGER_HOLD));
	assert_int_equal(l.held, refused);
	/* Any byte of the page names it. */
	assert_false(ht_ledger_may(&l, TGID, VA + 17, 1, 100));
	ht_ledger_free(&l);
}

/* Epochs until the page may go back. */
static uint32_t held_for(struct ht_ledger *l, uint8_t to, uint32_t epoch)
{
	uint32_t n = 0;

	while (!ht_ledger_may(l, TGID, VA, to, epoch + n))
		n++;
	return n;
}

/* A page that goes to and fro as soon as it may: each time it takes twice as long. */
static void test_doubling(void **state)
{
	struct ht_ledger l;
	uint32_t epoch = 50, hold = HT_LEDGER_HOLD, n;
	uint8_t to = 0;

	start(&l, 1 << 12);
	ht_ledger_note(&l, TGID, VA, to, epoch, 1);
	for (int i = 0; i < 30; i++) {
		n = held_for(&l, !to, epoch);
		assert_true(n == hold || (n < hold && i > 6));
		epoch += n;
		to = !to;
		ht_ledger_note(&l, TGID, VA, to, epoch, 1);
		if (n == hold)
			hold *= 2;
	}
	/* Bounded, and long enough that thirty reversals took hundreds of times as many epochs. */
	assert_in_range(n, HT_LEDGER_HOLD << 6, HT_LEDGER_HOLD << 10);
	assert_true(epoch > 30 * 100);
	ht_ledger_free(&l);
}

static void test_forgiveness(void **state)
{
	struct ht_ledger l;
	uint32_t epoch = 50;
	uint8_t to = 0;

	start(&l, 1 << 12);
	ht_ledger_note(&l, TGID, VA, to, epoch, 1);
	for (int i = 0; i < 4; i++) {
		epoch += held_for(&l, !to, epoch);
		to = !to;
		ht_ledger_note(&l, TGID, VA, to, epoch, 1);
	}
	assert_int_equal(held_for(&l, !to, epoch), HT_LEDGER_HOLD << 4);
	/* A page that kept its place for long starts anew. */
	epoch += HT_LEDGER_HOLD << 6;
	to = !to;
	ht_ledger_note(&l, TGID, VA, to, epoch, 1);
	assert_int_equal(held_for(&l, !to, epoch), HT_LEDGER_HOLD);
	ht_ledger_free(&l);
}

static void test_waste(void **state)
{
	struct ht_ledger l;

	start(&l, 1 << 12);
	ht_ledger_note(&l, TGID, VA, 0, 100, 1);
	assert_int_equal(l.wasted, 0);
	ht_ledger_note(&l, TGID, VA, 1, 100 + HT_LEDGER_WASTE - 1, 1);
	assert_int_equal(l.wasted, 1);
	ht_ledger_note(&l, TGID, VA, 0, 100 + 2 * HT_LEDGER_WASTE - 1, 1);
	assert_int_equal(l.wasted, 1);
	/* A huge page weighs as much as it is. */
	ht_ledger_note(&l, TGID, VA + HT_TILE_SIZE, 0, 200, 512);
	ht_ledger_note(&l, TGID, VA + HT_TILE_SIZE, 1, 205, 512);
	assert_int_equal(l.wasted, 513);
	/* To the same tier twice (the kernel had taken it back): no reversal. */
	ht_ledger_note(&l, TGID, VA + HT_TILE_SIZE, 1, 206, 512);
	assert_int_equal(l.wasted, 513);
	ht_ledger_free(&l);
}

static void test_epoch_wraps(void **state)
{
	struct ht_ledger l;

	start(&l, 1 << 12);
	ht_ledger_note(&l, TGID, VA, 0, UINT32_MAX - 1, 1);
	assert_false(ht_ledger_may(&l, TGID, VA, 1, 0));
	assert_false(ht_ledger_may(&l, TGID, VA, 1, 1));
	assert_true(ht_ledger_may(&l, TGID, VA, 1, 2));
	ht_ledger_free(&l);
}

/* The table is of fixed size: what it forgets only makes it less strict. */
static void test_overwritten(void **state)
{
	struct ht_ledger l;
	uint32_t held = 0, nr = 20000;

	start(&l, 1 << 10);
	for (uint32_t i = 0; i < nr; i++)
		ht_ledger_note(&l, TGID + i % 3, VA + i * TU_PAGE, 0, 10, 1);
	for (uint32_t i = 0; i < nr; i++)
		held += !ht_ledger_may(&l, TGID + i % 3, VA + i * TU_PAGE, 1, 11);
	assert_in_range(held, 900, 1 << 10);
	assert_int_equal(l.held, held);
	assert_int_equal(l.wasted, 0);
	ht_ledger_free(&l);
}

/* Pages of a process and its neighbours do not fall onto each other. */
static void test_entries_spread(void **state)
{
	struct ht_ledger l;
	uint32_t held = 0, nr = 1 << 12;

	start(&l, 1 << 17);
	for (uint32_t i = 0; i < nr; i++)
		ht_ledger_note(&l, TGID + i % 8, VA + i / 8 * TU_PAGE, 0, 10, 1);
	for (uint32_t i = 0; i < nr; i++)
		held += !ht_ledger_may(&l, TGID + i % 8, VA + i / 8 * TU_PAGE, 1, 11);
	assert_true(held > nr * 95 / 100);
	ht_ledger_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init),	    cmocka_unit_test(test_hold),
		cmocka_unit_test(test_doubling),    cmocka_unit_test(test_forgiveness),
		cmocka_unit_test(test_waste),	    cmocka_unit_test(test_epoch_wraps),
		cmocka_unit_test(test_overwritten), cmocka_unit_test(test_entries_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
