// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include "page_outlook.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define TILES 16
#define EPOCHS 30

struct fix {
	struct tu_map m;
	struct ht_space s, *space[1];
	struct ht_page_outlook o;
	uint64_t rnd;
};

/* Tiles with page detail, half of them in the fast tier. */
static struct fix *start(size_t tiles, uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	tu_map_open(&f->m, tiles + 16);
	ht_space_init(&f->s, TGID);
	f->space[0] = &f->s;
	f->rnd = seed;
	tu_add_spots(&f->s, VA, tiles / 2, 0);
	tu_add_spots(&f->s, VA + tiles / 2 * HT_TILE_SIZE, tiles / 2, 1);
	for (size_t i = 0; i < tiles; i++)
		tu_give_detail(&f->m, &f->m.mem.tile[tu_sample(&f->m, TGID, f->s.spot[i].va)]);
	tu_join(&f->m, f->space, 1);
	return f;
}

static void finish(struct fix *f)
{
	ht_page_outlook_free(&f->o);
	ht_space_free(&f->s);
	tu_map_close(&f->m);
	free(f);
}

static void offer(struct fix *f)
{
	/* Twice as much is expected of pages counted once as of pages not counted, and so on. */
	double est[HT_PAGE_MAX + 1];

	for (int c = 0; c <= HT_PAGE_MAX; c++)
		est[c] = c + 1;
	for (size_t i = 0; i < f->s.nr; i++)
		ht_page_outlook_offer(&f->o, &f->m.hm, &f->s.spot[i], est);
}

/* Samples such that pages counted alike get rate[tier] times what is expected of them. */
static void sample(struct fix *f, const double rate[2])
{
	struct ht_detail d;

	for (size_t i = 0; i < f->s.nr; i++) {
		const struct ht_spot *sp = &f->s.spot[i];

		assert_non_null(ht_heatmap_detail(&f->m.hm, sp->tile, &d));
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++)
			for (uint32_t n = tu_poisson(&f->rnd, (ht_detail_get(&d, p) + 1) *
								      rate[ht_spot_tier(sp, p)]);
			     n; n--)
				tu_sample(&f->m, TGID, sp->va + p * TU_PAGE);
	}
}

static void epochs(struct fix *f, double fast, double slow)
{
	const double rate[2] = { fast, slow };

	for (int e = 0; e < EPOCHS; e++) {
		offer(f);
		sample(f, rate);
		ht_page_outlook_learn(&f->o, &f->m.hm);
	}
}

static double ratio(const struct fix *f)
{
	return f->o.factor[HT_PAGE_FAST] / f->o.factor[HT_PAGE_SLOW];
}

static void test_nothing_known(void **state)
{
	struct fix *f = start(TILES, 1);

	assert_false(ht_page_outlook_differs(&f->o));
	ht_page_outlook_learn(&f->o, &f->m.hm);
	assert_false(ht_page_outlook_differs(&f->o));
	assert_true(f->o.factor[HT_PAGE_FAST] == 1 && f->o.factor[HT_PAGE_SLOW] == 1);
	finish(f);
}

static void test_fast_pages_are_hotter(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct fix *f = start(TILES, seed * 7919);

		epochs(f, 0.02, 0.01);
		assert_true(ht_page_outlook_differs(&f->o));
		/* No more than is sure. */
		assert_true(ratio(f) > 1.6 && ratio(f) < 2.1);
		finish(f);
	}
}

/* As hot as their counts say: next to nothing is made of chance. */
static void test_tiers_alike(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct fix *f = start(TILES, seed * 104729);

		epochs(f, 0.01, 0.01);
		assert_true(ratio(f) < 1.03);
		finish(f);
	}
}

static void test_speaks_for_staying_only(void **state)
{
	struct fix *f = start(TILES, 3);

	epochs(f, 0.01, 0.03);
	assert_false(ht_page_outlook_differs(&f->o));
	assert_true(ratio(f) == 1);
	/* And what was learned fades. */
	epochs(f, 0.03, 0.01);
	assert_true(ratio(f) > 1.5);
	epochs(f, 0.01, 0.03);
	epochs(f, 0.01, 0.03);
	assert_true(ratio(f) == 1);
	finish(f);
}

/* The pages of one tile, each by where it is; those that are nowhere count for nothing. */
static void test_mixed_tile(void **state)
{
	struct fix *f = start(2, 4);

	for (size_t i = 0; i < 2; i++) {
		struct ht_spot *sp = &f->s.spot[i];

		sp->place = tu_zalloc(1, HT_TILE_PAGES);
		sp->in_tier[0] = sp->in_tier[1] = 0;
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++) {
			sp->place[p] = p % 4 == 3 ? HT_ABSENT : p % 4 > 0;
			if (sp->place[p] != HT_ABSENT)
				sp->in_tier[sp->place[p]]++;
		}
	}
	offer(f);
	/* Two samples of the 256 fast pages, one of the 512 others, many of what is not there. */
	tu_sample(&f->m, TGID, f->s.spot[0].va + 4 * TU_PAGE);
	tu_sample(&f->m, TGID, f->s.spot[1].va + 8 * TU_PAGE);
	tu_sample(&f->m, TGID, f->s.spot[1].va + 9 * TU_PAGE);
	for (int i = 0; i < 10; i++)
		tu_sample(&f->m, TGID, f->s.spot[0].va + 7 * TU_PAGE);
	ht_page_outlook_learn(&f->o, &f->m.hm);
	assert_true(f->o.came[HT_PAGE_FAST] == 2 && f->o.came[HT_PAGE_SLOW] == 1);
	/* Page 0 of each tile was counted when the tile was taken into use, or is as good as that.
	 */
	assert_in_range(f->o.due[HT_PAGE_FAST], 256, 260);
	assert_true(f->o.due[HT_PAGE_SLOW] == 512);
	finish(f);
}

/* Counters that were halved, and tiles that are others by now, tell nothing of what came. */
static void test_aged_and_gone(void **state)
{
	const double rate[2] = { 0.1, 0.01 };
	struct fix *f = start(TILES, 5);

	offer(f);
	sample(f, rate);
	f->m.mem.ctl->tick++;
	ht_page_outlook_learn(&f->o, &f->m.hm);
	assert_true(f->o.due[HT_PAGE_FAST] == 0 && f->o.came[HT_PAGE_FAST] == 0);

	offer(f);
	for (size_t i = 0; i < f->s.nr / 2; i++)
		f->m.mem.tile[f->s.spot[i].tile].key++;
	ht_heatmap_drop_detail(&f->m.hm, f->s.spot[f->s.nr - 1].tile);
	ht_page_outlook_learn(&f->o, &f->m.hm);
	assert_true(f->o.due[HT_PAGE_FAST] == 0);
	assert_true(f->o.due[HT_PAGE_SLOW] > 0);
	finish(f);
}

/* Of more tiles than it remembers it takes some in turn, and comes to all of them. */
static void test_many_tiles(void **state)
{
	size_t tiles = HT_PAGE_OUTLOOK_TILES * 5 / 2, seen = 0;
	struct fix *f = start(tiles, 6);
	double due;

	for (int e = 0; e < 4; e++) {
		offer(f);
		assert_int_equal(f->o.offered, tiles);
		assert_in_range(f->o.nr, tiles / 3, HT_PAGE_OUTLOOK_TILES);
		due = f->o.due[HT_PAGE_FAST] + f->o.due[HT_PAGE_SLOW];
		/* The first epoch knows of no others yet. */
		seen += e ? f->o.nr : 0;
		ht_page_outlook_learn(&f->o, &f->m.hm);
		assert_true(f->o.due[HT_PAGE_FAST] + f->o.due[HT_PAGE_SLOW] > due);
	}
	assert_int_equal(seen, tiles);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_fast_pages_are_hotter),
		cmocka_unit_test(test_tiers_alike),
		cmocka_unit_test(test_speaks_for_staying_only),
		cmocka_unit_test(test_mixed_tile),
		cmocka_unit_test(test_aged_and_gone),
		cmocka_unit_test(test_many_tiles),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
