// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Which tiles get page detail, and what is in it: dispersed ones do, uniform and streaming ones do
 * not, and the counters count. Needs root.
 */
#include "fixture.h"

#include <sched.h>

static const struct ht_detail *detail(struct env *e, uint64_t va)
{
	struct ht_tile *t = env_tile(e, TGID, va);

	assert_non_null(t);
	if (!t->detail)
		return NULL;
	assert_int_equal(t->detail, t - e->heat);
	return &e->pages[t->detail];
}

/* Samples on few pages of a tile until it has detail; fails if it takes too many. */
static void disperse(struct env *e, uint64_t va)
{
	int i;

	for (i = 0; i < 64; i++)
		put(e, TGID, va + i % 4 * 100 * PAGE);
	run_queued(e);
	assert_non_null(detail(e, va));
}

static void test_dispersed(void **state)
{
	struct env *e = *state;
	struct ht_detail before;
	const struct ht_detail *d;
	struct ht_cpu_stats st;
	unsigned int p, had;

	disperse(e, VA);
	since(e, &st);
	assert_int_equal(st.details, 1);
	assert_int_equal(st.counted, 64);

	/* From here on page by page, exactly. */
	d = detail(e, VA);
	before = *d;
	for (p = 0; p < HT_TILE_PAGES; p++)
		put_n(e, VA + p * PAGE, p % 7);
	run_queued(e);
	for (p = 0; p < HT_TILE_PAGES; p++) {
		had = ht_detail_get(&before, p);
		assert_int_equal(ht_detail_get(d, p),
				 had + p % 7 < HT_PAGE_MAX ? had + p % 7 : HT_PAGE_MAX);
	}
	/* The pages it was given for are known to be hotter than the others. */
	for (p = 0; p < HT_TILE_PAGES; p++)
		if (p % 100 == 0 && p < 400)
			assert_true(ht_detail_get(&before, p) >= 1);
		else
			assert_true(ht_detail_get(&before, p) <= 1);
}

static void test_saturation(void **state)
{
	struct env *e = *state;
	const struct ht_detail *d;

	disperse(e, VA);
	d = detail(e, VA);
	memset((void *)d, 0, sizeof(*d));
	put_n(e, VA + 17 * PAGE, 1000);
	run_queued(e);
	assert_int_equal(ht_detail_get(d, 17), HT_PAGE_MAX);
	assert_int_equal(ht_detail_get(d, 16), 0);
	assert_int_equal(ht_detail_get(d, 18), 0);
	assert_int_equal(d->nib[0] | d->nib[2], 0);
}

/* What was sampled in the window before is not lost: each page of a touched cell starts with 1. */
static void test_seed(void **state)
{
	struct env *e = *state;
	const struct ht_detail *d;
	unsigned int p;

	for (p = 0; p < HT_TILE_PAGES; p += 37)
		put(e, TGID, VA + p * PAGE);
	put_n(e, VA, 50);
	run_queued(e);
	d = detail(e, VA);
	assert_non_null(d);
	for (p = 0; p < HT_TILE_PAGES; p++) {
		bool sampled = p % 37 == 0 || (p ^ 256) % 37 == 0;

		if (p && p != 256)
			assert_int_equal(ht_detail_get(d, p), sampled);
	}
}

/* Samples spread over all pages: at any rate, hardly a tile is mistaken for a dispersed one. */
static void test_uniform(void **state)
{
	static const int rates[] = { 3, 20, 100, 250 };
	struct env *e = *state;
	uint64_t seed = 3;
	size_t k;
	int tick, i;
	uint32_t tile, tests = 0;
	struct ht_cpu_stats st;

	for (k = 0; k < sizeof(rates) / sizeof(*rates); k++) {
		for (tick = 0; tick < 10; tick++) {
			for (i = 0; i < rates[k]; i++)
				for (tile = 0; tile < 32; tile++)
					put(e, TGID,
					    VA + tile * HT_TILE_SIZE +
						    rnd(&seed) % HT_TILE_PAGES * PAGE);
			run_queued(e);
			e->ctl->tick++;
			tests += 32;
		}
	}
	since(e, &st);
	assert_int_equal(st.counted, (3 + 20 + 100 + 250) * 10 * 32);
	if (st.details > 1)
		fail_msg("%llu of %u windows of uniform tiles were called dispersed",
			 (unsigned long long)st.details, tests);
}

/*
 * A sequential scan samples its pages in order, one every so many, which are others each time: the
 * number of accesses between two samples is not that of a page's or a round's.
 */
static void test_streaming(void **state)
{
	struct env *e = *state;
	uint64_t seed = 13;
	struct ht_cpu_stats st;
	int pass, p, stride;

	/* Dense enough for fewer than HT_LOOK samples a window: then a tile is looked at anyhow. */
	for (stride = 5; stride <= 9; stride += 2) {
		env_reset(e);
		for (pass = 0; pass < 8; pass++) {
			for (p = 100; p < 16 * HT_TILE_PAGES;
			     p += 1 + rnd(&seed) % (2 * stride - 1))
				put(e, TGID, VA + p * PAGE);
			run_queued(e);
			if (pass % 2)
				e->ctl->tick++;
		}
	}
	since(e, &st);
	assert_int_equal(st.details, 0);
}

/*
 * Every other page, every other block of pages: not uniform. Only where the blocks are half tiles
 * the pages of a cell are one hot and one cold, which is as good as uniform.
 */
static void test_halves(void **state)
{
	struct env *e = *state;
	uint64_t seed = 5, p;
	int shift, i;

	for (shift = 0; shift < 8; shift++) {
		uint64_t va = VA + shift * HT_TILE_SIZE;

		for (i = 0; i < 2000; i++) {
			p = rnd(&seed) % HT_TILE_PAGES;
			if (p >> shift & 1)
				put(e, TGID, va + p * PAGE);
		}
		run_queued(e);
		if (!detail(e, va))
			fail_msg("half a tile's pages, in blocks of %d, look uniform", 1 << shift);
	}
}

/* What this CPU has counted so far, of which the sampler's tests within a window depend. */
static uint64_t counted_here(struct env *e, int cpu)
{
	struct ht_cpu_stats *st = calloc(e->nr_cpus, sizeof(*st));
	uint32_t zero = 0;
	uint64_t n;

	assert_non_null(st);
	assert_int_equal(bpf_map_lookup_elem(e->stats_fd, &zero, st), 0);
	n = st[cpu].counted;
	free(st);
	return n;
}

/*
 * Few samples per window, but always on the same page. Tests within a window are every eighth
 * sample of a CPU; here that one is always another tile's, so it is the window's end that has to
 * tell.
 */
static void test_slow(void **state)
{
	struct env *e = *state;
	int cpu = sched_getcpu(), tick, i;
	cpu_set_t set;
	uint64_t n;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
	n = counted_here(e, cpu);
	for (tick = 0; tick < 6; tick++) {
		for (i = 0; i < 7; i++)
			put(e, TGID, n++ % 8 ? VA + 99 * PAGE : 2 * VA + tick * HT_TILE_SIZE);
		run_queued(e);
		e->ctl->tick++;
	}
	if (n % 8 == 0)
		put_now(e, 2 * VA + tick * HT_TILE_SIZE);
	put_now(e, VA + 99 * PAGE);
	assert_non_null(detail(e, VA));
	put_n(e, VA + 99 * PAGE, 3);
	run_queued(e);
	assert_true(ht_detail_get(detail(e, VA), 99) >= 3);
}

/* One halving, counter by counter: odd ticks round up. */
static unsigned int aged(unsigned int v, uint32_t from, uint32_t to)
{
	while (from != to)
		v = (v + (++from & 1)) / 2;
	return v;
}

static void test_detail_age(void **state)
{
	static const uint32_t step[] = { 1, 2, 3, 4, 5, 6, 7, 100 };
	struct env *e = *state;
	struct ht_detail *d, want;
	unsigned int p, v;
	uint64_t seed = 9;
	uint32_t from;
	size_t i, w;

	disperse(e, VA);
	d = (struct ht_detail *)detail(e, VA);
	for (i = 0; i < 2 * sizeof(step) / sizeof(*step); i++) {
		from = e->ctl->tick;
		for (w = 0; w < HT_TILE_WORDS; w++)
			d->nib[w] = rnd(&seed);
		want = *d;
		e->ctl->tick += step[i / 2] + i % 2; /* both parities */
		put_now(e, VA + 5 * PAGE);
		for (p = 0; p < HT_TILE_PAGES; p++) {
			v = aged(ht_detail_get(&want, p), from, e->ctl->tick) + (p == 5);
			assert_int_equal(ht_detail_get(d, p), v);
		}
		for (w = 0; w < HT_TILE_WORDS; w++) /* and as the loader computes it */
			if (w)
				assert_int_equal(d->nib[w],
						 ht_age_nibbles(want.nib[w], e->ctl->tick,
								e->ctl->tick - from));
	}
}

/* Every tile can have page detail, each its own; what an earlier use left there is gone. */
static void test_all_tiles(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;
	struct ht_tile *t;
	uint32_t i, p;

	memset(e->pages, 0xff, (TILES + 1) * sizeof(*e->pages));
	for (i = 0; i < TILES; i++)
		put_n(e, VA + i * HT_TILE_SIZE + i % HT_TILE_PAGES * PAGE, 64);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.details, TILES);
	for (i = 0; i < TILES; i++) {
		t = env_tile(e, TGID, VA + i * HT_TILE_SIZE);
		assert_int_equal(t->detail, t - e->heat);
		for (p = 0; p < HT_TILE_PAGES; p++)
			if (HT_CELL(p) == HT_CELL(i % HT_TILE_PAGES))
				assert_true(ht_detail_get(&e->pages[t->detail], p) >= 1);
			else
				assert_int_equal(ht_detail_get(&e->pages[t->detail], p), 0);
	}
}

/* A tile that is found the long way, in the index's second bucket, has its own block, too. */
static void test_found_slowly(void **state)
{
	struct env *e = *state;
	struct ht_tile *t;
	uint64_t hash = ht_hash(HT_KEY(TGID, VA));
	struct ht_bucket *first, *second;
	uint32_t slot, i, way;

	disperse(e, VA);
	t = env_tile(e, TGID, VA);
	slot = HT_HASH_TAG(hash) << HT_TAG_SHIFT | (uint32_t)(t - e->heat);
	first = &e->index[HT_HASH_BUCKET(hash, e->ctl->nr_buckets)];
	second = &e->index[HT_HASH_BUCKET2(hash, e->ctl->nr_buckets)];
	for (i = 0; i < HT_WAYS && first->slot[i] != slot; i++)
		;
	assert_true(i < HT_WAYS);
	first->slot[i] = 0;
	way = (HT_HASH_WAY(hash) + 7) % HT_WAYS;
	second->slot[way] = slot;
	memset(&e->pages[t->detail], 0, sizeof(*e->pages));
	put_n(e, VA + 33 * PAGE, 5);
	run_queued(e);
	assert_int_equal(e->ctl->free_head, 1);
	assert_int_equal(ht_detail_get(&e->pages[t - e->heat], 33), 5);
}

/* Once taken back, old evidence does not bring detail again. */
static void test_taken_back(void **state)
{
	struct env *e = *state;
	uint64_t seed = 11;
	struct ht_tile *t;
	int i;

	disperse(e, VA);
	t = env_tile(e, TGID, VA);
	t->detail = 0;
	for (i = 0; i < HT_LOOK - 56; i++)
		put(e, TGID, VA + rnd(&seed) % HT_TILE_PAGES * PAGE);
	run_queued(e);
	assert_int_equal(t->detail, 0);
	e->ctl->tick += 20;
	disperse(e, VA);
}

/* DAMON's regions name no page: heat, but no evidence. */
static void test_regions(void **state)
{
	struct env *e = *state;
	struct ht_tile *t;

	put_n(e, VA, 500);
	run_queued_as(e, HT_SRC_DAMON);
	t = env_tile(e, TGID, VA);
	assert_int_equal(t->total, 500);
	assert_int_equal(t->win_n, 0);
	assert_int_equal(t->detail, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_dispersed, fresh),
		cmocka_unit_test_setup(test_saturation, fresh),
		cmocka_unit_test_setup(test_seed, fresh),
		cmocka_unit_test_setup(test_uniform, fresh),
		cmocka_unit_test_setup(test_streaming, fresh),
		cmocka_unit_test_setup(test_halves, fresh),
		cmocka_unit_test_setup(test_slow, fresh),
		cmocka_unit_test_setup(test_detail_age, fresh),
		cmocka_unit_test_setup(test_all_tiles, fresh),
		cmocka_unit_test_setup(test_found_slowly, fresh),
		cmocka_unit_test_setup(test_taken_back, fresh),
		cmocka_unit_test_setup(test_regions, fresh),
	};

	return cmocka_run_group_tests(tests, load_range, unload);
}
