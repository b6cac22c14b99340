// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#include "ranges.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define SCALE 65536.0

struct fix {
	struct tu_map m;
	struct ht_space s[3], *space[3];
	size_t nr_spaces;
	struct ht_ranges rs;
	struct ht_range *range;
	uint32_t epoch;
	uint64_t rnd;
};

static struct fix *start(uint32_t tiles, size_t cap, uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	tu_map_open(&f->m, tiles);
	for (int i = 0; i < 3; i++) {
		ht_space_init(&f->s[i], TGID + i);
		f->space[i] = &f->s[i];
	}
	f->nr_spaces = 1;
	f->range = tu_zalloc(cap, sizeof(*f->range));
	assert_int_equal(ht_ranges_init(&f->rs, f->range, cap), 0);
	f->epoch = 1;
	f->rnd = seed;
	return f;
}

static void finish(struct fix *f)
{
	ht_ranges_free(&f->rs);
	for (int i = 0; i < 3; i++)
		ht_space_free(&f->s[i]);
	tu_map_close(&f->m);
	free(f->range);
	free(f);
}

/* What holds for any list of ranges: in order, none twice, and nothing lost. */
static void check_list(struct fix *f)
{
	const struct ht_ranges *rs = &f->rs;
	uint64_t heat = 0, pages = 0, spot_pages = 0, in_tier = 0, strata = 0, i;
	double spot_heat = 0;

	for (i = 0; i < rs->nr; i++) {
		const struct ht_range *r = &rs->range[i], *last = r - 1;
		const struct ht_range_info *info = &rs->info[i];
		uint64_t sum = 0;

		assert_true(r->start < r->end);
		assert_in_range(info->space, 0, f->nr_spaces - 1);
		assert_int_equal(r->tgid, f->space[info->space]->tgid);
		assert_true(info->first + info->nr <= f->space[info->space]->nr);
		assert_int_equal(r->start, f->space[info->space]->spot[info->first].va);
		if (i && last->tgid == r->tgid && last->start == r->start) {
			assert_true(r->flags & last->flags & HT_RANGE_STRATUM);
			assert_int_equal(r->end, last->end);
			/* Of one count, pages of the fastest tier and others. */
			if (info->levels & info[-1].levels)
				assert_true(last->fast_pages == last->pages && !r->fast_pages);
		} else if (i && last->tgid == r->tgid) {
			assert_true(r->start >= last->end);
		} else if (i) {
			assert_true(r->tgid > last->tgid);
		}
		for (int t = 0; t < HT_SPACE_TIERS; t++)
			sum += info->in_tier[t];
		assert_int_equal(sum, r->pages);
		assert_int_equal(r->fast_pages, info->in_tier[0]);
		if (r->pages)
			assert_true(fabs(r->density - r->heat * SCALE / r->pages) <=
				    SCALE / r->pages + 1);
		strata += !!(r->flags & HT_RANGE_STRATUM);
		heat += r->heat;
		pages += r->pages;
	}
	for (i = 0; i < f->nr_spaces; i++) {
		for (size_t k = 0; k < f->space[i]->nr; k++) {
			spot_heat += ht_outlook(&rs->outlook, f->space[i]->spot[k].heat);
			spot_pages += ht_spot_pages(&f->space[i]->spot[k]);
		}
	}
	assert_int_equal(pages, spot_pages);
	assert_int_equal(rs->heat, heat);
	assert_true(fabs((double)heat - spot_heat) <= rs->nr);
	for (int t = 0; t < HT_SPACE_TIERS; t++)
		in_tier += rs->heat_in_tier[t];
	assert_true(in_tier <= heat);
	assert_int_equal(rs->strata, strata);
}

static void build(struct fix *f)
{
	tu_join(&f->m, f->space, f->nr_spaces);
	assert_int_equal(ht_ranges_build(&f->rs, f->space, f->nr_spaces, &f->m.hm, f->epoch++), 0);
	check_list(f);
}

static const struct ht_range *range_of(const struct fix *f, uint64_t va)
{
	for (size_t i = 0; i < f->rs.nr; i++)
		if (f->rs.range[i].start <= va && va < f->rs.range[i].end)
			return &f->rs.range[i];
	return NULL;
}

static void heat_noise(struct fix *f, size_t first, size_t nr, double mean)
{
	for (size_t i = first; i < first + nr; i++)
		tu_heat(&f->m, f->space[0], i, tu_poisson(&f->rnd, mean));
}

/* ---- split and merge ---- */

static void test_noise_is_few_ranges(void **state)
{
	const double mean[] = { 0.1, 1, 5, 30, 200 };

	for (size_t i = 0; i < sizeof(mean) / sizeof(mean[0]); i++) {
		struct fix *f = start(5000, 4096, 11 + i);

		tu_add_spots(&f->s[0], VA, 5000, 1);
		heat_noise(f, 0, 5000, mean[i]);
		build(f);
		/* One in 370 is out by chance at three sigma; few counts have a longer tail. */
		assert_in_range(f->rs.nr, 1, mean[i] < 5 ? 300 : 75);
		finish(f);
	}
}

static void test_hot_set_is_cut_out(void **state)
{
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct fix *f = start(1000, 1024, seed * 7919);
		bool start_found = false, end_found = false;

		tu_add_spots(&f->s[0], VA, 1000, 1);
		heat_noise(f, 0, 300, 20);
		heat_noise(f, 300, 50, 200);
		heat_noise(f, 350, 650, 20);
		build(f);
		assert_in_range(f->rs.nr, 3, 25);
		for (size_t i = 0; i < f->rs.nr; i++) {
			start_found |= f->range[i].start == VA + 300 * HT_TILE_SIZE;
			end_found |= f->range[i].end == VA + 350 * HT_TILE_SIZE;
		}
		assert_true(start_found && end_found);
		for (size_t i = 0; i < 1000; i++) {
			double d = range_of(f, VA + i * HT_TILE_SIZE)->density / SCALE * 512;

			assert_true(i >= 300 && i < 350 ? d > 120 : d < 80);
		}
		/* The heat evens out: so do the ranges. */
		f->m.mem.ctl->tick += 20;
		heat_noise(f, 0, 1000, 50);
		build(f);
		assert_in_range(f->rs.nr, 1, 20);
		finish(f);
	}
}

/* The same accesses beside any amount of memory that is not accessed. */
static void test_number_follows_structure(void **state)
{
	size_t nr[3];

	for (int i = 0; i < 3; i++) {
		size_t cold = (size_t)64 << (4 * i);
		struct fix *f = start(200, 256, 5);

		tu_add_spots(&f->s[0], VA, cold, 1);
		tu_add_spots(&f->s[0], VA + cold * HT_TILE_SIZE, 100, 1);
		for (size_t k = 0; k < 100; k++)
			tu_heat(&f->m, f->space[0], cold + k, k < 30 || k > 80 ? 100 : 700);
		build(f);
		assert_true(f->range[0].flags & HT_RANGE_COLD);
		assert_int_equal(f->range[0].pages, cold * HT_TILE_PAGES);
		nr[i] = f->rs.nr;
		finish(f);
	}
	assert_int_equal(nr[0], 4);
	assert_int_equal(nr[1], 4);
	assert_int_equal(nr[2], 4);
}

static void test_gaps_and_spaces_part(void **state)
{
	struct fix *f = start(100, 256, 5);

	f->nr_spaces = 3;
	tu_add_spots(&f->s[0], VA, 5, 0);
	tu_add_spots(&f->s[0], VA + 6 * HT_TILE_SIZE, 5, 0);
	tu_add_spots(&f->s[2], VA + 11 * HT_TILE_SIZE, 5, 0);
	build(f);
	assert_int_equal(f->rs.nr, 3);
	assert_int_equal(f->range[2].tgid, TGID + 2);
	f->nr_spaces = 0;
	build(f);
	assert_int_equal(f->rs.nr, 0);
	assert_int_equal(f->rs.heat, 0);
	finish(f);
}

/* Density is by resident pages: a tile with few of them is hot if they are. */
static void test_density_by_resident_pages(void **state)
{
	const uint16_t few[HT_SPACE_TIERS] = { 0, 32 }, none[HT_SPACE_TIERS] = {};
	const struct ht_range *r;
	struct fix *f = start(100, 256, 5);

	tu_add_spots(&f->s[0], VA, 10, 1);
	for (int i = 10; i < 20; i++)
		tu_add_spot(&f->s[0], VA + i * HT_TILE_SIZE, few);
	for (int i = 20; i < 30; i++)
		tu_add_spot(&f->s[0], VA + i * HT_TILE_SIZE, none);
	tu_add_spot(&f->s[0], VA + 30 * HT_TILE_SIZE, none);
	for (size_t i = 0; i < 20; i++)
		tu_heat(&f->m, f->space[0], i, 512);
	/* Sampled, and gone by the time the kernel was asked. */
	tu_heat(&f->m, f->space[0], 30, 1000);
	build(f);
	assert_int_equal(f->rs.nr, 3);
	assert_int_equal(f->range[0].density, SCALE);
	assert_int_equal(f->range[1].density, 16 * SCALE);
	assert_int_equal(f->range[1].end, VA + 20 * HT_TILE_SIZE);
	r = range_of(f, VA + 30 * HT_TILE_SIZE);
	assert_int_equal(r->pages, 0);
	assert_int_equal(r->density, 0);
	assert_int_equal(f->rs.heat_in_tier[1], f->range[0].heat + f->range[1].heat);
	finish(f);
}

static void test_heat_by_tier(void **state)
{
	const uint16_t mixed[HT_SPACE_TIERS] = { 128, 256, 0, 128 };
	struct fix *f = start(100, 256, 5);

	for (int i = 0; i < 4; i++)
		tu_add_spot(&f->s[0], VA + i * HT_TILE_SIZE, mixed);
	for (size_t i = 0; i < 4; i++)
		tu_heat(&f->m, f->space[0], i, 400);
	build(f);
	assert_int_equal(f->rs.nr, 1);
	assert_int_equal(f->rs.heat_in_tier[0], 400);
	assert_int_equal(f->rs.heat_in_tier[1], 800);
	assert_int_equal(f->rs.heat_in_tier[2], 0);
	assert_int_equal(f->rs.heat_in_tier[3], 400);
	finish(f);
}

/* ---- more structure than the table has room for ---- */

static void test_overflow_is_coarser(void **state)
{
	struct fix *f = start(600, 32, 5);
	uint64_t hot = 0;

	tu_add_spots(&f->s[0], VA, 512, 1);
	for (size_t i = 0; i < 512; i++)
		tu_heat(&f->m, f->space[0], i,
			(i / 64 % 2 ? 4000 : 100) + (i % 2 ? 40 : 0) * (i / 64 % 2 ? 16 : 1));
	build(f);
	assert_true(f->rs.z > 3);
	assert_in_range(f->rs.nr, 2, 32);
	/* What stands out most is still told apart. */
	for (size_t i = 0; i < 512; i++)
		hot += range_of(f, VA + i * HT_TILE_SIZE)->density / SCALE * 512 > 2000;
	assert_in_range(hot, 240, 272);
	/* Without structure the resolution comes back. */
	f->m.mem.ctl->tick += 32;
	for (int i = 0; i < 20; i++)
		build(f);
	assert_int_equal(f->rs.nr, 1);
	assert_true(f->rs.z == 3.0);
	finish(f);
}

/* Borders that no significance removes: gaps, absent memory, huge pages, strata. */
static void test_overflow_by_borders(void **state)
{
	const uint16_t none[HT_SPACE_TIERS] = {};
	struct fix *f = start(2000, 100, 5);

	f->nr_spaces = 2;
	for (size_t i = 0; i < 500; i++) {
		tu_add_spots(&f->s[0], VA + 3 * i * HT_TILE_SIZE, 1, i % 2);
		tu_add_spot(&f->s[0], VA + (3 * i + 1) * HT_TILE_SIZE, none);
	}
	for (size_t i = 0; i < 500; i++) {
		uint32_t id;

		tu_add_spots(&f->s[1], VA + i * HT_TILE_SIZE, 1, 1);
		f->s[1].spot[i].flags = i % 2 ? HT_SPOT_THP : 0;
		id = tu_sample(&f->m, TGID + 1, f->s[1].spot[i].va);
		if (i % 2)
			continue;
		tu_give_detail(&f->m, &f->m.mem.tile[id]);
		for (int k = 0; k < 300; k++)
			tu_sample(&f->m, TGID + 1, f->s[1].spot[i].va + k * k % 97 * TU_PAGE);
	}
	for (int i = 0; i < 2000; i++) {
		build(f);
		assert_in_range(f->rs.nr, 2, 100);
	}
	/* It need not last: with what made the borders gone, all is as if it had never been. */
	ht_space_free(&f->s[0]);
	ht_space_free(&f->s[1]);
	ht_space_init(&f->s[0], TGID);
	ht_space_init(&f->s[1], TGID + 1);
	tu_add_spots(&f->s[0], VA, 20, 0);
	for (size_t i = 0; i < 20; i++)
		tu_heat(&f->m, f->space[0], i, i < 10 ? 100 : 300);
	for (int i = 0; i < 40; i++)
		build(f);
	assert_int_equal(f->rs.nr, 2);
	assert_true(f->rs.z == 3.0);
	finish(f);
}

/* ---- kinds of memory ---- */

static void test_huge_pages_apart(void **state)
{
	struct fix *f = start(100, 256, 5);

	tu_add_spots(&f->s[0], VA, 12, 1);
	for (int i = 4; i < 8; i++)
		f->s[0].spot[i].flags = HT_SPOT_THP;
	for (size_t i = 0; i < 12; i++)
		tu_heat(&f->m, f->space[0], i, 100);
	build(f);
	assert_int_equal(f->rs.nr, 3);
	assert_int_equal(f->range[1].flags, HT_RANGE_THP);
	assert_int_equal(f->range[1].start, VA + 4 * HT_TILE_SIZE);
	assert_int_equal(f->range[1].end, VA + 8 * HT_TILE_SIZE);
	assert_int_equal(f->range[0].flags | f->range[2].flags, 0);
	assert_int_equal(f->rs.skewed, 0);
	/* One huge page with a few hot pages in it. */
	for (int i = 0; i < 400; i++)
		tu_sample(&f->m, TGID, VA + 5 * HT_TILE_SIZE + i % 40 * 11 * TU_PAGE);
	build(f);
	assert_int_equal(f->rs.skewed, 1);
	assert_int_equal(f->rs.nr_skew, 1);
	assert_int_equal(f->rs.skew[0].space, 0);
	assert_int_equal(f->rs.skew[0].spot, 5);
	assert_true(range_of(f, VA + 5 * HT_TILE_SIZE)->flags & HT_RANGE_SKEWED);
	assert_true(range_of(f, VA + 5 * HT_TILE_SIZE)->flags & HT_RANGE_THP);
	assert_int_equal(f->rs.strata, 0);
	finish(f);
}

/* A scan samples pages in order and never comes back; random accesses do. */
static void test_stream(void **state)
{
	struct fix *f = start(200, 256, 77);
	const struct ht_range *r;

	tu_add_spots(&f->s[0], VA, 120, 1);
	for (int tick = 0; tick < 4; tick++) {
		for (int i = 0; i < 40; i++) {
			uint64_t scan = VA + i * HT_TILE_SIZE, random = scan + 80 * HT_TILE_SIZE;

			for (uint32_t p = tu_below(&f->rnd, 9); p < HT_TILE_PAGES;
			     p += 1 + tu_below(&f->rnd, 9))
				tu_sample(&f->m, TGID, scan + p * TU_PAGE);
			tu_spray(&f->m, TGID, random, 300, &f->rnd);
		}
		build(f);
		r = range_of(f, VA + 20 * HT_TILE_SIZE);
		assert_true(r->flags & HT_RANGE_STREAM);
		assert_false(r->flags & HT_RANGE_STRATUM);
		r = range_of(f, VA + 100 * HT_TILE_SIZE);
		assert_false(r->flags & HT_RANGE_STREAM);
		r = range_of(f, VA + 60 * HT_TILE_SIZE);
		assert_int_equal(r->flags, HT_RANGE_COLD);
		f->m.mem.ctl->tick++;
	}
	finish(f);
}

/* ---- strata ---- */

/* Tiles with page detail, whose pages are sampled at the rates told. */
static void sample_pages(struct fix *f, size_t tiles, double (*rate)(struct fix *f, unsigned int p))
{
	for (size_t i = 0; i < tiles; i++) {
		uint64_t va = f->s[0].spot[i].va;
		struct ht_tile *t = &f->m.mem.tile[tu_sample(&f->m, TGID, va)];

		t->total = 0;
		memset(t->touched, 0, sizeof(t->touched));
		tu_give_detail(&f->m, t);
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++)
			for (uint32_t n = tu_poisson(&f->rnd, rate(f, p)); n; n--)
				tu_sample(&f->m, TGID, va + p * TU_PAGE);
	}
}

static double rate_even(struct fix *f, unsigned int p)
{
	return 3;
}

/* Pages a prime apart are hot. */
static double rate_mixed(struct fix *f, unsigned int p)
{
	return p % 11 == 3 ? 9 : 1;
}

static void test_strata_of_even_memory(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct fix *f = start(100, 256, seed * 104729);

		tu_add_spots(&f->s[0], VA, 16, 1);
		sample_pages(f, 16, rate_even);
		build(f);
		/* Nothing that would be worth a move, whatever the counts say. */
		for (size_t i = 0; i < f->rs.nr; i++)
			assert_true(fabs(f->range[i].density / SCALE - 3) < 0.6);
		finish(f);
	}
}

static void test_strata_of_mixed_memory(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct fix *f = start(100, 256, seed * 15485863);
		double hot_pages = 0, hot_heat = 0, cold_pages = 0, cold_heat = 0, last = -1;

		tu_add_spots(&f->s[0], VA, 16, 1);
		sample_pages(f, 16, rate_mixed);
		build(f);
		assert_in_range(f->rs.nr, 8, 16);
		for (size_t i = 0; i < f->rs.nr; i++) {
			const struct ht_range *r = &f->range[i];
			uint16_t levels = f->rs.info[i].levels;

			assert_true(r->flags & HT_RANGE_STRATUM);
			assert_int_equal(levels & (levels - 1), 0);
			/* More counts, more heat; as sure as the count at least. */
			assert_true(r->density / SCALE >= last);
			assert_true(levels < 1 << 6 || f->rs.info[i].evidence >= 5);
			last = r->density / SCALE;
			if (levels >= 1 << 6) {
				hot_pages += r->pages;
				hot_heat += r->heat;
			} else if (levels <= 1 << 2) {
				cold_pages += r->pages;
				cold_heat += r->heat;
			}
		}
		assert_true(fabs(hot_pages / (16 * 512) - 1 / 11.0) < 0.02);
		assert_true(fabs(hot_heat / hot_pages - 9) < 2);
		assert_true(fabs(cold_heat / cold_pages - 1) < 0.4);
		finish(f);
	}
}

static double rate_thin(struct fix *f, unsigned int p)
{
	return p % 11 == 3 ? 3 : 0.1;
}

/*
 * Pages of the fast tier get more than their counts say: of a count they are a range of their own,
 * and the heat of all is what it was.
 */
static void test_strata_by_tier(void **state)
{
	struct fix *f = start(100, 256, 77);
	uint64_t before;
	size_t both = 0;

	tu_add_spots(&f->s[0], VA, 16, 1);
	for (size_t i = 0; i < 16; i++) {
		struct ht_spot *sp = &f->s[0].spot[i];

		sp->place = tu_zalloc(1, HT_TILE_PAGES);
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++)
			sp->place[p] = p % 2;
		sp->in_tier[0] = sp->in_tier[1] = HT_TILE_PAGES / 2;
	}
	sample_pages(f, 16, rate_thin);
	build(f);
	before = f->rs.heat;
	for (size_t i = 1; i < f->rs.nr; i++)
		assert_true(f->rs.info[i].levels != f->rs.info[i - 1].levels);
	/* What came of the tiles that are remembered now. */
	for (size_t i = 0; i < 16; i++)
		for (unsigned int p = 0; p < HT_TILE_PAGES; p += 4)
			tu_sample(&f->m, TGID, f->s[0].spot[i].va + p * TU_PAGE);
	build(f);
	assert_true(ht_page_outlook_differs(&f->rs.pages));
	for (size_t i = 1; i < f->rs.nr; i++) {
		const struct ht_range *r = &f->range[i];

		if (f->rs.info[i].levels != f->rs.info[i - 1].levels)
			continue;
		assert_true(r[-1].density > r->density);
		both++;
	}
	assert_true(both > 0);
	assert_true(f->rs.heat >= before);
	finish(f);
}

/* The pages named for the strata are all pages, each once, and those with the count. */
static void test_pages_of_strata(void **state)
{
	uint64_t mask[HT_TILE_PAGES / 64], all[HT_TILE_PAGES / 64] = {};
	struct fix *f = start(100, 256, 3);
	struct ht_detail copy;
	uint32_t pages = 0;

	tu_add_spots(&f->s[0], VA, 2, 1);
	sample_pages(f, 1, rate_mixed);
	build(f);
	assert_non_null(ht_heatmap_detail(&f->m.hm, f->s[0].spot[0].tile, &copy));
	for (size_t i = 0; i < f->rs.nr; i++) {
		uint16_t levels = f->rs.info[i].levels;

		if (!(f->range[i].flags & HT_RANGE_STRATUM))
			continue;
		ht_ranges_pages(&f->m.hm, &f->s[0].spot[0], levels, mask);
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++) {
			if (!(mask[p / 64] >> (p % 64) & 1))
				continue;
			assert_int_equal(1 << ht_detail_get(&copy, p), levels);
			assert_false(all[p / 64] >> (p % 64) & 1);
			all[p / 64] |= 1ULL << (p % 64);
			pages++;
		}
	}
	assert_int_equal(pages, HT_TILE_PAGES);
	/* No detail: every page counts as sampled no times. */
	for (int i = 0; i < 3; i++) {
		const uint16_t levels[] = { HT_ALL_LEVELS, 1 << 0, 1 << 3 };

		ht_ranges_pages(&f->m.hm, &f->s[0].spot[1], levels[i], mask);
		for (int w = 0; w < HT_TILE_PAGES / 64; w++)
			assert_int_equal(mask[w], i < 2 ? UINT64_MAX : 0);
	}
	ht_ranges_pages(&f->m.hm, &f->s[0].spot[0], HT_ALL_LEVELS, mask);
	assert_int_equal(mask[7], UINT64_MAX);
	finish(f);
}

/* Six samples do not tell a tile's few hot pages; six for each of 64 tiles tell that there are
 * some.
 */
static void test_run_asks_for_detail(void **state)
{
	for (unsigned int hot = 40; hot <= HT_TILE_PAGES; hot += HT_TILE_PAGES - 40) {
		struct fix *f = start(100, 256, 17);

		tu_add_spots(&f->s[0], VA, 64, 1);
		for (int k = 0; k < 64 * 6; k++)
			tu_sample(&f->m, TGID,
				  f->s[0].spot[k % 64].va + tu_below(&f->rnd, hot) * TU_PAGE);
		assert_int_equal(tu_details(&f->m), 0);
		build(f);
		assert_int_equal(tu_details(&f->m), hot < HT_TILE_PAGES ? 64 : 0);
		finish(f);
	}
}

/* A mild skew shows in counts only, so what is sampled much gets them; a scan shows by its order.
 */
static void test_dense_run_gets_detail(void **state)
{
	for (int samples = 4; samples <= 16; samples += 12) {
		struct fix *f = start(100, 256, 23);

		tu_add_spots(&f->s[0], VA, 32, 1);
		for (int i = 0; i < 32; i++)
			tu_spray(&f->m, TGID, f->s[0].spot[i].va, samples, &f->rnd);
		build(f);
		assert_int_equal(tu_details(&f->m), samples == 4 ? 0 : 32);
		/* Detail that has not counted yet takes nothing away from what rates tell. */
		for (int i = 0; i < 32; i++)
			tu_heat(&f->m, &f->s[0], i, i < 16 ? 100 : 900);
		build(f);
		assert_true(range_of(f, VA) != range_of(f, VA + 20 * HT_TILE_SIZE));
		finish(f);
	}
}

/* Huge pages as well, where samples repeat; not where there are many. It goes with the heat. */
static void test_huge_pages_get_detail(void **state)
{
	for (int hot = 0; hot < 2; hot++) {
		struct fix *f = start(100, 256, 29);

		tu_add_spots(&f->s[0], VA, 32, 1);
		for (int i = 0; i < 32; i++) {
			f->s[0].spot[i].flags = HT_SPOT_THP;
			for (int k = 0; k < 12; k++)
				tu_sample(&f->m, TGID,
					  f->s[0].spot[i].va +
						  tu_below(&f->rnd, hot ? 40 : HT_TILE_PAGES) *
							  TU_PAGE);
		}
		build(f);
		assert_int_equal(f->rs.nr, 1);
		assert_int_equal(f->range[0].flags & ~HT_RANGE_SKEWED, HT_RANGE_THP);
		assert_int_equal(tu_details(&f->m), hot ? 32 : 0);
		f->m.mem.ctl->tick += 40;
		build(f);
		assert_int_equal(tu_details(&f->m), 0);
		finish(f);
	}
}

/* Detail without a difference is one range; that of memory gone cold goes back. */
static void test_useless_detail(void **state)
{
	struct fix *f = start(100, 256, 9);

	tu_add_spots(&f->s[0], VA, 4, 1);
	/* A page in two sampled five times in turn: less spread than chance would give. */
	for (int i = 0; i < 4; i++) {
		uint64_t va = f->s[0].spot[i].va;

		tu_give_detail(&f->m, &f->m.mem.tile[tu_sample(&f->m, TGID, va)]);
		for (int k = 0; k < 5 * HT_TILE_PAGES; k++)
			tu_sample(&f->m, TGID, va + k % HT_TILE_PAGES * TU_PAGE);
	}
	assert_int_equal(tu_details(&f->m), 4);
	build(f);
	assert_int_equal(f->rs.nr, 1);
	assert_int_equal(f->rs.strata, 0);
	finish(f);

	f = start(100, 256, 9);
	tu_add_spots(&f->s[0], VA, 4, 1);
	sample_pages(f, 4, rate_mixed);
	build(f);
	build(f);
	assert_true(f->rs.strata > 0);
	assert_int_equal(tu_details(&f->m), 4);
	f->m.mem.ctl->tick += 40;
	build(f);
	build(f);
	assert_int_equal(tu_details(&f->m), 0);
	finish(f);
}

/* Counts that have just begun say which pages; how hot they are together, the rate says. */
static void test_young_counts(void **state)
{
	struct fix *f = start(100, 256, 31);
	const struct ht_range *young, *old;

	tu_add_spots(&f->s[0], VA, 17, 1);
	f->s[0].spot[16].va += HT_TILE_SIZE; /* a run of its own */
	sample_pages(f, 16, rate_mixed);
	/* The rate is of a short time, the counts are of a long one: a count is worth little. */
	for (int i = 0; i < 16; i++)
		f->m.mem.tile[tu_find(&f->m, TGID, f->s[0].spot[i].va)].total /= 20;
	f->rs.heat_per_count = 0.05;
	build(f);
	/* Sampled of late as much as the others in all that time. */
	tu_give_detail(&f->m, &f->m.mem.tile[tu_sample(&f->m, TGID, f->s[0].spot[16].va)]);
	tu_spray(&f->m, TGID, f->s[0].spot[16].va, 512, &f->rnd);
	build(f);
	old = range_of(f, VA);
	young = range_of(f, f->s[0].spot[16].va);
	assert_non_null(old);
	assert_non_null(young);
	assert_true(young->density > 10 * old->density);
	finish(f);
}

/* ---- from epoch to epoch ---- */

static void test_age_and_idle(void **state)
{
	struct fix *f = start(100, 256, 5);

	f->nr_spaces = 3;
	for (int s = 0; s < 3; s++) {
		tu_add_spots(&f->s[s], VA, 10, 1);
		for (size_t i = 3; i < 6; i++)
			tu_heat(&f->m, f->space[s], i, 1000);
	}
	build(f);
	assert_int_equal(f->rs.nr, 9);
	for (uint32_t e = 1; e < 5; e++) {
		if (e == 3)
			tu_heat(&f->m, f->space[1], 4, 10);
		build(f);
		for (size_t i = 0; i < 9; i++) {
			assert_int_equal(f->range[i].age, e);
			if (i == 4)
				assert_int_equal(f->range[i].idle, e < 3 ? e : e - 3);
			else if (i % 3 == 1)
				assert_int_equal(f->range[i].idle, e);
			else
				assert_in_range(f->range[i].idle, e, e + 1);
		}
	}
	/* Other borders: another range. */
	tu_heat(&f->m, f->space[1], 6, 1000);
	build(f);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(f->range[i].age, i == 4 || i == 5 ? 0 : 5);
	finish(f);
}

static void test_moved(void **state)
{
	struct fix *f = start(100, 256, 5);

	tu_add_spots(&f->s[0], VA, 10, 1);
	f->epoch = 50;
	build(f);
	assert_int_equal(f->range[0].moved, UINT32_MAX);
	f->s[0].spot[3].moved = 40;
	f->s[0].spot[7].moved = 44;
	build(f);
	assert_int_equal(f->range[0].moved, 51 - 44);
	finish(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_noise_is_few_ranges),
		cmocka_unit_test(test_hot_set_is_cut_out),
		cmocka_unit_test(test_number_follows_structure),
		cmocka_unit_test(test_gaps_and_spaces_part),
		cmocka_unit_test(test_density_by_resident_pages),
		cmocka_unit_test(test_heat_by_tier),
		cmocka_unit_test(test_overflow_is_coarser),
		cmocka_unit_test(test_overflow_by_borders),
		cmocka_unit_test(test_huge_pages_apart),
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_strata_of_even_memory),
		cmocka_unit_test(test_strata_of_mixed_memory),
		cmocka_unit_test(test_strata_by_tier),
		cmocka_unit_test(test_pages_of_strata),
		cmocka_unit_test(test_run_asks_for_detail),
		cmocka_unit_test(test_dense_run_gets_detail),
		cmocka_unit_test(test_huge_pages_get_detail),
		cmocka_unit_test(test_useless_detail),
		cmocka_unit_test(test_young_counts),
		cmocka_unit_test(test_age_and_idle),
		cmocka_unit_test(test_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
