// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include "outlook.h"

#define TILES 400

struct fix {
	struct ht_heatmap hm;
	struct ht_live live[TILES];
	struct ht_outlook o;
	uint64_t rnd;
};

static struct fix *start(uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	f->hm.live = f->live;
	f->hm.nr_live = TILES;
	f->hm.mem.nr_tiles = TILES + 1;
	for (int i = 0; i < TILES; i++)
		f->live[i].id = i + 1;
	f->rnd = seed;
	return f;
}

static void finish(struct fix *f)
{
	ht_outlook_free(&f->o);
	free(f);
}

/* One epoch: every tile gets that many samples; rates have a memory of some eight epochs. */
static void epoch(struct fix *f, double (*mean)(int tile, int epoch), int nr)
{
	for (int i = 0; i < TILES; i++) {
		struct ht_live *l = &f->live[i];

		l->recent = tu_poisson(&f->rnd, mean(i, nr));
		l->rate = l->rate * 0.88 + l->recent;
	}
	assert_int_equal(ht_outlook_learn(&f->o, &f->hm), 0);
}

static void epochs(struct fix *f, double (*mean)(int tile, int epoch), int from, int nr)
{
	for (int e = from; e < from + nr; e++)
		epoch(f, mean, e);
}

static void check_rising(const struct fix *f)
{
	double last = 0;

	for (double rate = 0.01; rate < 1e7; rate *= 1.1) {
		double now = ht_outlook(&f->o, rate);

		assert_true(now >= last * (1 - 1e-9));
		last = now;
	}
}

static double alike(int tile, int epoch)
{
	return 3;
}

static double two_kinds(int tile, int epoch)
{
	return tile < 100 ? 30 : 1;
}

/* A tenth of the tiles hot; a scan comes to four others in each epoch, with more samples. */
static double scanned(int tile, int epoch)
{
	if (tile < TILES / 10)
		return 20;
	return (tile - TILES / 10) / 4 == epoch % (TILES * 9 / 40) ? 60 : 0;
}

static void test_nothing_known(void **state)
{
	struct fix *f = start(1);

	assert_true(ht_outlook(&f->o, 17) == 17);
	assert_true(ht_outlook(&f->o, 0) == 0);
	/* Nor by rates alone: what they foretell is not there yet. */
	epoch(f, alike, 0);
	assert_true(ht_outlook(&f->o, 17) == 17);
	finish(f);
}

static double spread(const struct fix *f, double *least)
{
	double lo = 1e30, hi = 0;

	for (int i = 0; i < TILES; i++) {
		double r = least ? ht_outlook(&f->o, f->live[i].rate) : f->live[i].rate;

		lo = r < lo ? r : lo;
		hi = r > hi ? r : hi;
	}
	return hi / lo;
}

static void test_chance_is_evened_out(void **state)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		struct fix *f = start(seed * 7919);
		double any;

		epochs(f, alike, 0, 40);
		assert_true(spread(f, NULL) > 2);
		assert_true(spread(f, &any) < 1.25);
		check_rising(f);
		finish(f);
	}
}

static void test_steady_heat_counts_in_full(void **state)
{
	struct fix *f = start(5);
	double hot, cold;

	epochs(f, two_kinds, 0, 40);
	hot = ht_outlook(&f->o, f->live[5].rate);
	cold = ht_outlook(&f->o, f->live[300].rate);
	assert_true(fabs(hot / 250 - 1) < 0.15);
	assert_true(fabs(cold / 8.3 - 1) < 0.3);
	check_rising(f);
	finish(f);
}

/* Where a scan has just been is as warm as what is hot, and no better than where it will be. */
static void test_trail_of_a_scan(void **state)
{
	struct fix *f = start(6);
	double trail, hot, ahead;
	int last = 199;

	epochs(f, scanned, 0, last + 1);
	hot = f->live[3].rate;
	trail = f->live[TILES / 10 + last % (TILES * 9 / 40) * 4].rate;
	ahead = 0.3; /* what is left of the visit before */
	assert_true(trail > hot / 5);
	assert_true(ht_outlook(&f->o, trail) < ht_outlook(&f->o, hot) / 8);
	assert_true(ht_outlook(&f->o, trail) < 8 * ht_outlook(&f->o, ahead) + 16);
	check_rising(f);
	finish(f);
}

/* Steady memory gets what it got, as samples go; where a scan is still to come, all or nothing. */
static void test_dispersion(void **state)
{
	struct fix *f = start(9);

	assert_true(ht_outlook_dispersion(&f->o, 17) == 1);
	epochs(f, alike, 0, 60);
	assert_true(ht_outlook_dispersion(&f->o, f->live[5].rate) < 1.5);
	finish(f);
	f = start(9);
	epochs(f, two_kinds, 0, 60);
	assert_true(ht_outlook_dispersion(&f->o, f->live[5].rate) < 1.5);
	assert_true(ht_outlook_dispersion(&f->o, f->live[300].rate) < 1.5);
	finish(f);
	f = start(9);
	epochs(f, scanned, 0, 200);
	assert_true(ht_outlook_dispersion(&f->o, f->live[3].rate) < 2);
	assert_true(ht_outlook_dispersion(&f->o, 0.1) > 10);
	finish(f);
}

static double dense(int tile, int epoch)
{
	return tile < 100 ? 400 : 100;
}

static double thinned(int tile, int epoch)
{
	return dense(tile, epoch) / 4;
}

/* Fewer samples all at once are no surprise where rates are told of them. */
static void test_thin(void **state)
{
	struct fix *f = start(13);

	epochs(f, dense, 0, 200);
	for (int i = 0; i < TILES; i++)
		f->live[i].rate *= 0.25;
	ht_outlook_thin(&f->o, 0.25);
	for (int e = 0; e < 4; e++) {
		epoch(f, thinned, e);
		assert_true(ht_outlook_dispersion(&f->o, f->live[5].rate) < 2);
		assert_true(ht_outlook_dispersion(&f->o, f->live[300].rate) < 2);
		assert_true(fabs(ht_outlook(&f->o, f->live[5].rate) / f->live[5].rate - 1) < 0.2);
	}
	finish(f);
}

/* What it learned goes, when it is no longer true. */
static void test_forgets(void **state)
{
	struct fix *f = start(7);
	double before;

	epochs(f, scanned, 0, 200);
	before = ht_outlook(&f->o, 60);
	epochs(f, two_kinds, 200, 100);
	for (int i = 100; i < TILES; i++)
		f->live[i].rate = 60; /* as of something new */
	for (int e = 0; e < 60; e++) {
		for (int i = 0; i < TILES; i++)
			f->live[i].recent = f->live[i].rate * 0.12;
		assert_int_equal(ht_outlook_learn(&f->o, &f->hm), 0);
	}
	assert_true(ht_outlook(&f->o, 60) > before);
	assert_true(fabs(ht_outlook(&f->o, 60) / 60 - 1) < 0.1);
	finish(f);
}

/* Any map: rates from nothing to the largest, tiles that come and go, another map altogether. */
static void test_any_rates(void **state)
{
	struct fix *f = start(8);

	for (int e = 0; e < 200; e++) {
		f->hm.nr_live = 1 + tu_below(&f->rnd, TILES);
		for (int i = 0; i < TILES; i++) {
			f->live[i].rate = ldexp(tu_real(&f->rnd), (int)tu_below(&f->rnd, 60) - 20);
			f->live[i].recent = tu_below(&f->rnd, 2) * tu_below(&f->rnd, 1 << 30);
		}
		if (e == 100)
			f->hm.mem.nr_tiles = 2 * TILES;
		assert_int_equal(ht_outlook_learn(&f->o, &f->hm), 0);
		for (int i = 0; i < TILES; i++) {
			double r = ht_outlook(&f->o, f->live[i].rate);

			assert_true(isfinite(r) && r >= 0);
			assert_true(ht_outlook_dispersion(&f->o, r) >= 1);
		}
		check_rising(f);
	}
	finish(f);
}

static void test_pooling(void **state)
{
	double est[] = { 1, 3, 2, 2, 8, 0, 9 };
	const double n[] = { 1, 1, 1, 2, 1, 1, 0 };

	ht_pool_violators(est, n, 7);
	assert_true(est[0] == 1);
	assert_true(fabs(est[1] - 2.25) < 1e-9 && est[1] == est[2] && est[2] == est[3]);
	assert_true(est[4] == 4 && est[5] == 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_known),
		cmocka_unit_test(test_chance_is_evened_out),
		cmocka_unit_test(test_steady_heat_counts_in_full),
		cmocka_unit_test(test_trail_of_a_scan),
		cmocka_unit_test(test_dispersion),
		cmocka_unit_test(test_thin),
		cmocka_unit_test(test_forgets),
		cmocka_unit_test(test_any_rates),
		cmocka_unit_test(test_pooling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
