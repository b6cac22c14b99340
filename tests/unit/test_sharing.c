// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Who holds what, of spots made up here. */
#include "test_util.h"

#include "sharing.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define SPACES 7
#define TILES 40

struct fix {
	struct tu_map m;
	struct ht_space s[SPACES], *space[SPACES];
	struct ht_sharing sh;
};

/* Each space has the same tiles, and pages of its own besides what it shares of them. */
static struct fix *start(uint16_t own)
{
	const uint16_t in_tier[HT_SPACE_TIERS] = { own };
	struct fix *f = tu_zalloc(1, sizeof(*f));

	tu_map_open(&f->m, 1000);
	for (int i = 0; i < SPACES; i++) {
		ht_space_init(&f->s[i], TGID + i);
		f->space[i] = &f->s[i];
		for (int t = 0; t < TILES; t++)
			tu_add_spot(&f->s[i], VA + t * HT_TILE_SIZE, in_tier)->flags =
				HT_SPOT_SHARES;
	}
	return f;
}

static void finish(struct fix *f)
{
	ht_sharing_free(&f->sh);
	for (int i = 0; i < SPACES; i++)
		ht_space_free(&f->s[i]);
	tu_map_close(&f->m);
	free(f);
}

static void settle(struct fix *f, size_t nr)
{
	tu_join(&f->m, f->space, nr);
	assert_int_equal(ht_sharing_settle(&f->sh, f->space, nr), 0);
}

static bool holds(const struct fix *f, int space, int tile)
{
	return f->s[space].spot[tile].flags & HT_SPOT_HOLDS;
}

/* Index of the one that holds a tile. */
static int holder(const struct fix *f, int tile)
{
	int found = -1;

	for (int i = 0; i < SPACES; i++) {
		if (!f->s[i].nr || !holds(f, i, tile))
			continue;
		assert_int_equal(found, -1);
		found = i;
	}
	return found;
}

static void set_queried(struct fix *f, uint32_t epoch)
{
	for (int i = 0; i < SPACES; i++)
		for (int t = 0; t < TILES; t++)
			f->s[i].spot[t].queried = epoch;
}

static void test_alone(void **state)
{
	struct fix *f = start(0);

	settle(f, 1);
	assert_false(holds(f, 0, 0));
	assert_int_equal(f->s[0].spot[0].queried, 1);
	/* Others are at other addresses, or share nothing there. */
	for (int t = 0; t < TILES; t++) {
		f->s[1].spot[t].va += TILES * HT_TILE_SIZE;
		f->s[2].spot[t].flags = 0;
	}
	settle(f, 3);
	for (int i = 0; i < 3; i++)
		for (int t = 0; t < TILES; t++)
			assert_false(holds(f, i, t));
	finish(f);
}

static void test_one_holds(void **state)
{
	struct fix *f = start(0);

	tu_heat(&f->m, &f->s[2], 5, 10);
	tu_heat(&f->m, &f->s[3], 6, 10);
	settle(f, 4);
	for (int t = 0; t < TILES; t++) {
		int i = holder(f, t);

		assert_int_equal(i, t == 5 ? 2 : t == 6 ? 3 : 0);
		assert_int_equal(f->s[i].spot[t].sharers, 4);
		/* It has to be asked where they are; of the others nothing has changed. */
		assert_int_equal(f->s[i].spot[t].queried, 0);
		assert_int_equal(f->s[1].spot[t].queried, 1);
	}
	/* The next epoch finds what it left. */
	set_queried(f, 7);
	settle(f, 4);
	for (int t = 0; t < TILES; t++)
		for (int i = 0; i < 4; i++)
			assert_int_equal(f->s[i].spot[t].queried, 7);
	finish(f);
}

/* Whom a fork is making just now maps the pages already. */
static void test_forking(void **state)
{
	struct fix *f = start(0);

	f->sh.forking = 1;
	settle(f, 4);
	assert_int_equal(f->s[0].spot[0].sharers, 5);
	settle(f, 1);
	assert_int_equal(f->s[0].spot[0].flags & HT_SPOT_HOLDS, 0);
	f->sh.forking = 0;
	settle(f, 4);
	assert_int_equal(f->s[0].spot[0].sharers, 4);
	finish(f);
}

/* What is new may share: it is not known yet. */
static void test_new_spots(void **state)
{
	struct fix *f = start(0);

	settle(f, 2);
	set_queried(f, 3);
	f->s[2].spot[1].queried = 0;
	f->s[2].spot[1].flags = 0;
	f->s[2].spot[2].flags = 0;
	settle(f, 3);
	assert_int_equal(f->s[0].spot[1].sharers, 3);
	assert_int_equal(f->s[0].spot[2].sharers, 2);
	finish(f);
}

static void test_holders_change(void **state)
{
	struct fix *f = start(0);

	settle(f, 3);
	assert_int_equal(holder(f, 0), 0);
	set_queried(f, 3);
	tu_heat(&f->m, &f->s[0], 0, 10);
	tu_heat(&f->m, &f->s[1], 0, 15);
	settle(f, 3);
	/* A little hotter is not enough. */
	assert_int_equal(holder(f, 0), 0);
	tu_heat(&f->m, &f->s[1], 0, 20);
	settle(f, 3);
	assert_int_equal(holder(f, 0), 1);
	assert_int_equal(f->s[0].spot[0].queried, 0);
	assert_int_equal(f->s[1].spot[0].queried, 0);
	assert_int_equal(f->s[2].spot[0].queried, 3);
	/* It exits; then there is but one, which holds nothing for others. */
	f->space[1] = &f->s[2];
	ht_space_free(&f->s[1]);
	settle(f, 2);
	assert_int_equal(holder(f, 0), 0);
	settle(f, 1);
	assert_false(holds(f, 0, 0));
	finish(f);
}

/* Nothing is lost, nothing counted twice. */
static void test_heat(void **state)
{
	struct fix *f = start(HT_TILE_PAGES / 4);
	float sum = 0;

	for (int i = 0; i < SPACES; i++)
		tu_heat(&f->m, &f->s[i], 0, i == 1 ? 1000 : 100);
	settle(f, SPACES);
	assert_int_equal(holder(f, 0), 1);
	for (int i = 0; i < SPACES; i++)
		sum += f->s[i].spot[0].heat;
	assert_float_equal(sum, 1600, 0.01);
	/* A quarter of the others' pages is their own. */
	assert_float_equal(f->s[0].spot[0].heat, 25, 0.01);
	assert_float_equal(f->s[1].spot[0].heat, 1450, 0.01);
	assert_int_equal(f->s[1].spot[0].share->nr_tiles, HT_SHARE_TILES);
	/* Of six others four tiles are looked at. */
	assert_float_equal(f->s[1].spot[0].boost, 1450.0 / 1300, 0.001);
	/* It is the epoch's: without the others there is their heat no more. */
	tu_join(&f->m, f->space, SPACES);
	assert_float_equal(f->s[1].spot[0].heat, 1000, 0.01);
	assert_null(f->s[1].spot[0].share);
	finish(f);
}

static void sample(struct fix *f, int space, int page, int n)
{
	while (n--)
		tu_sample(&f->m, TGID + space, VA + page * TU_PAGE);
}

static void test_detail(void **state)
{
	struct fix *f = start(0);
	struct ht_detail d;

	sample(f, 0, 511, 1);
	sample(f, 1, 500, 1);
	sample(f, 2, 500, 1);
	settle(f, 3);
	assert_int_equal(holder(f, 0), 0);
	assert_null(ht_sharing_detail(&f->m.hm, &f->s[0].spot[0], &d));
	ht_sharing_give_detail(&f->m.hm, &f->s[0].spot[0]);
	assert_int_equal(tu_details(&f->m), 3);
	sample(f, 0, 3, 2);
	sample(f, 1, 3, 4);
	sample(f, 1, 4, 9);
	sample(f, 2, 4, 6);
	sample(f, 0, 510, 8);
	sample(f, 1, 510, 8);
	sample(f, 0, 5, 15);
	sample(f, 1, 5, 15);
	sample(f, 2, 5, 15);
	assert_non_null(ht_sharing_detail(&f->m.hm, &f->s[0].spot[0], &d));
	for (unsigned int p = 0; p < HT_TILE_PAGES; p++) {
		unsigned int want = p == 3 ? 6 : p == 4 || p == 5 || p == 510 ? HT_PAGE_MAX : 0;

		assert_int_equal(ht_detail_get(&d, p), want);
	}
	/* The others speak for themselves. */
	assert_non_null(ht_sharing_detail(&f->m.hm, &f->s[1].spot[0], &d));
	assert_int_equal(ht_detail_get(&d, 3), 4);
	/* A holder whose own tile has no detail yet. */
	ht_heatmap_drop_detail(&f->m.hm, f->s[0].spot[0].tile);
	assert_non_null(ht_sharing_detail(&f->m.hm, &f->s[0].spot[0], &d));
	assert_int_equal(ht_detail_get(&d, 3), 4);
	assert_int_equal(ht_detail_get(&d, 4), HT_PAGE_MAX);
	ht_sharing_drop_detail(&f->m.hm, &f->s[0].spot[0]);
	assert_int_equal(tu_details(&f->m), 0);
	assert_null(ht_sharing_detail(&f->m.hm, &f->s[0].spot[1], &d));
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),	  cmocka_unit_test(test_one_holds),
		cmocka_unit_test(test_new_spots), cmocka_unit_test(test_holders_change),
		cmocka_unit_test(test_heat),	  cmocka_unit_test(test_detail),
		cmocka_unit_test(test_forking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
