// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* How often accesses are sampled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pace.h"

#define PAGES 1000

static unsigned int next(struct ht_pace *p, uint64_t samples, uint64_t pages)
{
	const struct ht_pace_epoch e = {
		.samples = samples, .due = samples, .moved = pages / 100 + 1, .pages = pages
	};

	return ht_pace_next(p, &e);
}

static void test_dense_until_enough(void **state)
{
	unsigned int epochs = 0;
	struct ht_pace p;

	ht_pace_init(&p, 8);
	assert_int_equal(next(&p, 0, 0), 1); /* nothing to look at */
	while (next(&p, PAGES / 10, PAGES) > 1) {
		assert_int_equal(p.limit, 8);
		epochs++;
	}
	assert_in_range(epochs, 40, 120); /* 4 to 12 samples a page */
	/* A little more memory does not start it again, much more does. */
	assert_int_equal(next(&p, 0, PAGES * 3 / 2), 1);
	assert_int_equal(next(&p, 0, PAGES * 4), 8);
	assert_int_equal(next(&p, 0, PAGES * 4), 8);
	assert_int_equal(next(&p, PAGES * 31, PAGES * 4), 8);
	assert_int_equal(next(&p, PAGES * 2, PAGES * 4), 1);
}

/* What was learned of a process that has ended says nothing of the next one. */
static void test_other_memory(void **state)
{
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(next(&p, 1, PAGES * 10), 4);
	assert_int_equal(next(&p, PAGES * 1000, PAGES * 10), 1);
	assert_int_equal(next(&p, PAGES * 1000, PAGES * 10), 1);
	assert_int_equal(next(&p, 1, PAGES), 1); /* most of it has gone */
	assert_int_equal(next(&p, 1, PAGES * 4), 4);
	assert_int_equal(next(&p, PAGES * 31, PAGES * 4), 4);
	assert_int_equal(next(&p, PAGES * 2, PAGES * 4), 1);
	assert_int_equal(next(&p, 0, 0), 1);
	assert_int_equal(next(&p, 1, PAGES), 4);
}

/* Uniform accesses: after two samples a page without a move it is over. */
static void test_nothing_to_find(void **state)
{
	const struct ht_pace_epoch e = { .samples = PAGES / 2,
					 .moved = PAGES / 2000,
					 .pages = PAGES };
	unsigned int epochs = 0;
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(next(&p, 1, PAGES), 4);
	while (ht_pace_next(&p, &e) > 1)
		epochs++;
	assert_in_range(epochs, 3, 6); /* 1.5 to 3 samples a page */
	assert_int_equal(ht_pace_next(&p, &e), 1);
	/* Something that moves now is no reason. */
	assert_int_equal(next(&p, 1, PAGES), 1);
	assert_int_equal(next(&p, 1, PAGES * 3), 4);
}

static void test_shift(void **state)
{
	const struct ht_pace_epoch shifted = { .samples = 9, .pages = PAGES, .shifted = true };
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(next(&p, PAGES, PAGES), 4);
	assert_int_equal(next(&p, PAGES * 100, PAGES), 1);
	assert_int_equal(ht_pace_next(&p, &shifted), 4);
	assert_int_equal(next(&p, PAGES, PAGES), 4);
	assert_int_equal(next(&p, PAGES * 9, PAGES), 1);
}

static void test_source_that_loses(void **state)
{
	struct ht_pace_epoch e = { .due = 1000, .lost = 5, .pages = PAGES };
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(ht_pace_next(&p, &e), 4);
	assert_int_equal(ht_pace_next(&p, &e), 4); /* a few are nothing */
	e.lost = 100;
	assert_int_equal(ht_pace_next(&p, &e), 2);
	e.lost = 0;
	assert_int_equal(ht_pace_next(&p, &e), 2);
	e.lost = 100;
	assert_int_equal(ht_pace_next(&p, &e), 1);
	/* Losses at one in the place of one are not of its making. */
	assert_int_equal(ht_pace_next(&p, &e), 1);
	e = (struct ht_pace_epoch){ .due = 1000, .pages = PAGES, .shifted = true };
	assert_int_equal(ht_pace_next(&p, &e), 4);
}

/* The kernel stops an event now and then: its samples are too many. */
static void test_throttled(void **state)
{
	struct ht_pace_epoch e = { .due = 1000, .pages = PAGES, .throttled = 1 };
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(ht_pace_next(&p, &e), 4); /* it was not dense then */
	assert_int_equal(ht_pace_next(&p, &e), 2);
	assert_int_equal(ht_pace_next(&p, &e), 1);
	assert_int_equal(ht_pace_next(&p, &e), 1);
	e.throttled = 0;
	e.shifted = true;
	assert_int_equal(ht_pace_next(&p, &e), 4);
}

/* All that may move in an epoch is little of much memory, and yet not nothing. */
static void test_moves_of_much_memory(void **state)
{
	struct ht_pace_epoch e = { .samples = PAGES * 100, .pages = PAGES * 1000, .budget = 800 };
	struct ht_pace p;

	ht_pace_init(&p, 4);
	assert_int_equal(ht_pace_next(&p, &e), 4);
	e.moved = e.budget;
	for (int i = 0; i < 10; i++)
		assert_int_equal(ht_pace_next(&p, &e), 4); /* one sample a page */
	e.moved = e.budget / 10;
	for (int i = 0; i < 19; i++)
		assert_int_equal(ht_pace_next(&p, &e), 4);
	assert_int_equal(ht_pace_next(&p, &e), 1);
}

static void test_bound(void **state)
{
	const struct ht_pace_epoch shifted = { .pages = PAGES, .shifted = true };
	struct ht_pace p;

	ht_pace_init(&p, 8);
	ht_pace_bound(&p, 1000);
	assert_int_equal(p.max, 8);
	ht_pace_bound(&p, 3);
	assert_int_equal(next(&p, 5, PAGES), 3);
	ht_pace_bound(&p, 1);
	assert_int_equal(next(&p, 5, PAGES), 1);
	assert_int_equal(ht_pace_next(&p, &shifted), 1);
}

/* What samples cost bounds how many there are. */
static void test_affordable(void **state)
{
	struct ht_pace_epoch e = {
		.samples = 100, .pages = PAGES * 100, .moved = PAGES, .most = 1000
	};
	struct ht_pace p;

	ht_pace_init(&p, 16);
	assert_int_equal(ht_pace_next(&p, &e), 8);
	e.samples = 800;
	assert_int_equal(ht_pace_next(&p, &e), 8);
	/* A little less is no reason for more, half of it is. */
	e.samples = 450;
	assert_int_equal(ht_pace_next(&p, &e), 8);
	e.samples = 300;
	assert_int_equal(ht_pace_next(&p, &e), 16);
	e.samples = 3000;
	assert_int_equal(ht_pace_next(&p, &e), 4);
	/* More than enough as it is. */
	e.samples = 10000;
	assert_int_equal(ht_pace_next(&p, &e), 1);
	e.samples = 0;
	assert_int_equal(ht_pace_next(&p, &e), 16);
}

static void test_never(void **state)
{
	const struct ht_pace_epoch shifted = { .pages = PAGES, .shifted = true };
	struct ht_pace p;

	ht_pace_init(&p, 1);
	assert_int_equal(next(&p, 5, PAGES), 1);
	assert_int_equal(ht_pace_next(&p, &shifted), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dense_until_enough),   cmocka_unit_test(test_other_memory),
		cmocka_unit_test(test_nothing_to_find),	     cmocka_unit_test(test_shift),
		cmocka_unit_test(test_source_that_loses),    cmocka_unit_test(test_throttled),
		cmocka_unit_test(test_moves_of_much_memory), cmocka_unit_test(test_bound),
		cmocka_unit_test(test_affordable),	     cmocka_unit_test(test_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
