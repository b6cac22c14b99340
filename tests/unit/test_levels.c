// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include "levels.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define T HT_TILE_PAGES

struct fix {
	struct tu_map m;
	struct ht_space s, *space[1];
	struct ht_levels h;
	uint64_t rnd;
};

static struct fix *start(uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	tu_map_open(&f->m, 100);
	ht_space_init(&f->s, TGID);
	f->space[0] = &f->s;
	f->rnd = seed;
	return f;
}

static void finish(struct fix *f)
{
	ht_space_free(&f->s);
	tu_map_close(&f->m);
	free(f);
}

/* A sample, and from then on page detail with nothing in it. */
static void give_detail(struct fix *f, size_t spot)
{
	uint32_t id = tu_sample(&f->m, TGID, f->s.spot[spot].va);

	tu_give_detail(&f->m, &f->m.mem.tile[id]);
	memset(&f->m.mem.detail[id], 0, sizeof(struct ht_detail));
}

static void take_in(struct fix *f, size_t first, size_t nr)
{
	memset(&f->h, 0, sizeof(f->h));
	tu_join(&f->m, f->space, 1);
	for (size_t i = first; i < first + nr; i++)
		ht_levels_add(&f->h, &f->m.hm, &f->s.spot[i]);
	ht_levels_sum(&f->h);
}

static void test_counts(void **state)
{
	const uint16_t both[HT_SPACE_TIERS] = { 100, 400 }, part[HT_SPACE_TIERS] = { 0, 300 };
	struct fix *f = start(1);

	tu_add_spots(&f->s, VA, 1, 1);
	tu_add_spot(&f->s, VA + HT_TILE_SIZE, both);
	tu_add_spot(&f->s, VA + 2 * HT_TILE_SIZE, part);
	for (size_t i = 0; i < 3; i++) {
		give_detail(f, i);
		/* Page p has p % 7 samples, as far as there are 100; page 99 has many more. */
		for (int p = 0; p < 100; p++)
			for (int n = 0; n < (p == 99 ? 50 : p % 7); n++)
				tu_sample(&f->m, TGID, f->s.spot[i].va + p * TU_PAGE);
	}
	take_in(f, 0, 1);
	assert_int_equal(f->h.pages, T);
	assert_int_equal(f->h.nr[HT_PAGE_MAX][1], 1);
	assert_int_equal(f->h.nr[6][1], 14);
	assert_int_equal(f->h.nr[0][1], T - 100 + 15);
	assert_int_equal(f->h.nr[0][0], 0);
	/* The first hundred pages are the fast ones. */
	take_in(f, 1, 1);
	assert_int_equal(f->h.pages, 500);
	assert_int_equal(f->h.nr[6][0], 14);
	assert_int_equal(f->h.nr[6][1], 0);
	assert_int_equal(f->h.nr[0][1], 400);
	assert_int_equal(ht_levels_pages(&f->h, 0), 415);
	/* Pages that are not there were never sampled. */
	take_in(f, 2, 1);
	assert_int_equal(f->h.pages, 300);
	assert_int_equal(f->h.nr[0][1], 300 - 100 + 15);
	take_in(f, 0, 3);
	assert_int_equal(f->h.pages, T + 800);
	assert_int_equal(f->h.sum, 3 * (14 * 21 + HT_PAGE_MAX));
	finish(f);
}

static void test_signal(void **state)
{
	struct fix *f = start(7);
	double few, all;

	tu_add_spots(&f->s, VA, 3, 1);
	take_in(f, 0, 3);
	assert_true(ht_levels_signal(&f->h) == 0);
	for (size_t i = 0; i < 3; i++)
		give_detail(f, i);
	/* Spread at random; half as many beside 40 hot pages; all on these. */
	tu_spray(&f->m, TGID, VA, 1000, &f->rnd);
	tu_spray(&f->m, TGID, VA + HT_TILE_SIZE, 500, &f->rnd);
	for (int i = 0; i < 320; i++) {
		tu_sample(&f->m, TGID, VA + HT_TILE_SIZE + i % 40 * 12 * TU_PAGE);
		tu_sample(&f->m, TGID, VA + 2 * HT_TILE_SIZE + i % 40 * 12 * TU_PAGE);
	}
	take_in(f, 0, 1);
	assert_true(ht_levels_signal(&f->h) < 0.2);
	take_in(f, 1, 1);
	few = ht_levels_signal(&f->h);
	take_in(f, 2, 1);
	all = ht_levels_signal(&f->h);
	assert_true(few > 0.5 && all > few && all < 1);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
