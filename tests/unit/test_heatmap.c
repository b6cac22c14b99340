// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "test_util.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define MIB (1ULL << 20)
#define GIB (1ULL << 30)
#define TIB (1ULL << 40)

static uint64_t tile_va(unsigned int i)
{
	return VA + i * HT_TILE_SIZE;
}

static struct tu_map *start(uint32_t tiles)
{
	struct tu_map *m = tu_zalloc(1, sizeof(*m));

	tu_map_open(m, tiles);
	return m;
}

static void finish(struct tu_map *m)
{
	tu_map_close(m);
	free(m);
}

static void collect(struct tu_map *m)
{
	assert_int_equal(ht_heatmap_collect(&m->hm), 0);
}

static uint32_t heat_of(struct tu_map *m, uint32_t tgid, uint64_t va)
{
	const struct ht_live *l = tu_live(m, tgid, va);

	return l ? l->heat : 0;
}

/*
 * What must hold after every call: each id is in exactly one place, and the index leads to live
 * tiles and to no others.
 */
static void check_books(struct tu_map *m)
{
	const struct ht_ctl *c = m->mem.ctl;
	uint8_t *seen = tu_zalloc(m->mem.nr_tiles, 1);
	size_t in_use = 0, slots = 0, i;

	for (uint32_t p = c->free_head; p != c->free_tail; p++)
		seen[m->mem.free_tiles[(p & c->free_mask) / HT_IDS_PER_LINE]
			     .id[p % HT_IDS_PER_LINE]]++;
	for (i = 0; i < m->hm.nr_limbo; i++)
		seen[m->hm.limbo[i]]++;
	for (i = 0; i < m->hm.nr_pending; i++)
		seen[m->hm.pending[i] & ~(1U << 31)]++;
	for (i = 0; i < m->hm.nr_live; i++)
		seen[m->hm.live[i].id]++;
	/* Taken since the last collect. */
	for (uint32_t p = m->hm.tiles_seen; p != c->free_head; p++)
		seen[m->mem.free_tiles[(p & c->free_mask) / HT_IDS_PER_LINE]
			     .id[p % HT_IDS_PER_LINE]]++;
	assert_int_equal(seen[0], 0);
	for (i = 1; i < m->mem.nr_tiles; i++) {
		assert_int_equal(seen[i], 1);
		in_use += m->mem.tile[i].key != 0;
	}
	free(seen);
	for (i = 0; i < m->hm.nr_live; i++) {
		const struct ht_live *l = &m->hm.live[i];

		assert_true(!i || m->hm.live[i - 1].key < l->key);
		assert_int_equal(m->mem.tile[l->id].key, l->key);
		assert_non_null(tu_slot(m, l->key));
		assert_int_equal(*tu_slot(m, l->key) & HT_ID_MASK, l->id);
	}
	for (i = 0; i < m->mem.nr_buckets; i++)
		for (int w = 0; w < HT_WAYS; w++)
			slots += m->mem.bucket[i].slot[w] != 0;
	assert_int_equal(slots, in_use);
}

/* ---- size ---- */

static void test_size(void **state)
{
	struct ht_heatmap_size a, b;

	/* What a GiB more costs, from an ordinary guest to a huge one. */
	for (uint64_t n = GIB; n <= 4 * TIB; n *= 2) {
		ht_heatmap_size(&a, n);
		ht_heatmap_size(&b, 2 * n);
		assert_true(b.bytes - a.bytes <= n / GIB * 300 * 1024);
		assert_true(a.nr_tiles > n / HT_TILE_SIZE);
	}
	ht_heatmap_size(&a, 16 * GIB);
	assert_true(a.bytes <= 16 * 300 * 1024ULL);
}

static void test_size_fits_together(void **state)
{
	const uint64_t bytes[] = { 0,	1,	 2 * MIB,  100 * MIB, 3 * GIB,
				   TIB, 8 * TIB, 64 * TIB, UINT64_MAX };
	struct ht_heatmap_size s;

	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		ht_heatmap_size(&s, bytes[i]);
		assert_true(s.nr_tiles > 1);
		assert_true(s.nr_tiles - 1 <= HT_ID_MASK);
		assert_int_equal(s.nr_buckets & (s.nr_buckets - 1), 0);
		/* The ring holds every id at once. */
		assert_true((uint64_t)s.tile_lines * HT_IDS_PER_LINE >= s.nr_tiles);
		assert_int_equal(s.bytes, s.nr_tiles * sizeof(struct ht_tile) +
						  s.nr_tiles * sizeof(struct ht_detail) +
						  s.nr_buckets * sizeof(struct ht_bucket) +
						  s.tile_lines * sizeof(struct ht_id_line));
	}
}

/* The index as sized takes every tile there is, or so few short of all that nobody notices. */
static void test_index_takes_all_tiles(void **state)
{
	struct ht_heatmap_size s;
	struct tu_map m;
	uint32_t i;

	ht_heatmap_size(&s, 200 * GIB);
	tu_map_alloc(&m, &s);
	assert_int_equal(ht_heatmap_init(&m.hm, &m.mem), 0);
	for (i = 1; i < s.nr_tiles; i++)
		tu_sample(&m, 1000 + i / 20000, VA + i * 3 * HT_TILE_SIZE);
	assert_int_equal(m.dropped[HT_DROP_NO_TILE], 0);
	assert_true(m.dropped[HT_DROP_NO_SLOT] <= s.nr_tiles / 10000);
	collect(&m);
	assert_int_equal(m.hm.nr_live, s.nr_tiles - 1 - m.dropped[HT_DROP_NO_SLOT]);
	tu_map_close(&m);
}

/* ---- init and collect ---- */

static void test_init_fills_ring(void **state)
{
	struct tu_map *m = start(1000);
	const struct ht_ctl *c = m->mem.ctl;
	uint32_t n = 0, id;

	assert_int_equal(c->nr_tiles, 1001);
	assert_int_equal(c->nr_buckets, m->mem.nr_buckets);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 1000);
	check_books(m);
	while ((id = tu_pop_tile(m)))
		n++;
	assert_int_equal(n, 1000);
	finish(m);
}

static void test_collect_sorts(void **state)
{
	struct tu_map *m = start(4000);
	uint64_t rnd = 7;
	uint32_t n[400] = {};

	/* Several rounds, so that new tiles have to go between old ones. */
	for (int round = 0; round < 8; round++) {
		for (int k = 0; k < 500; k++) {
			uint32_t i = tu_below(&rnd, 400);

			tu_sample(m, 100 + i % 7, tile_va(i * 5));
			n[i]++;
		}
		collect(m);
		check_books(m);
		for (uint32_t i = 0; i < 400; i++)
			assert_int_equal(heat_of(m, 100 + i % 7, tile_va(i * 5)), n[i]);
	}
	finish(m);
}

static void test_of(void **state)
{
	struct tu_map *m = start(100);
	size_t first;

	for (unsigned int i = 0; i < 5; i++) {
		tu_sample(m, 10, tile_va(i));
		tu_sample(m, 11, tile_va(i));
		tu_sample(m, (1 << 22) - 1, (1ULL << 56) - HT_TILE_SIZE * (i + 1));
	}
	collect(m);
	assert_int_equal(ht_heatmap_of(&m->hm, 9, &first), 0);
	assert_int_equal(ht_heatmap_of(&m->hm, 10, &first), 5);
	assert_int_equal(first, 0);
	assert_int_equal(ht_heatmap_of(&m->hm, 11, &first), 5);
	assert_int_equal(first, 5);
	assert_int_equal(ht_heatmap_of(&m->hm, 12, &first), 0);
	assert_int_equal(ht_heatmap_of(&m->hm, (1 << 22) - 1, &first), 5);
	assert_int_equal(first, 10);
	finish(m);
}

/* A sampler takes the id before it writes the key; one that finds the index full never does. */
static void test_ids_without_key(void **state)
{
	struct tu_map *m = start(100);
	uint32_t slow = tu_pop_tile(m), lost = tu_pop_tile(m);
	uint64_t key = HT_KEY(TGID, VA);

	collect(m);
	assert_int_equal(m->hm.nr_live, 0);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 98);
	m->mem.tile[slow].key = key;
	m->mem.tile[slow].total = 5;
	*tu_empty_slot(m, key) = HT_HASH_TAG(ht_hash(key)) << HT_TAG_SHIFT | slow;
	collect(m);
	check_books(m);
	assert_int_equal(heat_of(m, TGID, VA), 5);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 99);
	/* The lost one is behind all others on the ring. */
	for (int i = 0; i < 98; i++)
		assert_int_not_equal(tu_pop_tile(m), lost);
	assert_int_equal(tu_pop_tile(m), lost);
	finish(m);
}

/* ---- ageing ---- */

static void test_ageing_on_read(void **state)
{
	struct tu_map *m = start(100);

	m->mem.ctl->tick = UINT32_MAX - 2; /* over the wrap, too */
	tu_sample_w(m, TGID, VA, 1000);
	collect(m);
	assert_int_equal(heat_of(m, TGID, VA), 1000);
	assert_int_equal(tu_live(m, TGID, VA)->recent, 1000);
	for (int i = 1; i < 12; i++) {
		m->mem.ctl->tick++;
		collect(m);
		assert_int_equal(heat_of(m, TGID, VA), 1000 >> i);
		assert_int_equal(tu_live(m, TGID, VA)->recent, 0);
	}
	/* Reading changes nothing in the map itself. */
	assert_int_equal(m->mem.tile[tu_find(m, TGID, VA)].total, 1000);
	finish(m);
}

static void test_far_ticks(void **state)
{
	const uint32_t ticks[] = { 31, 32, 33, 64, 1U << 31, UINT32_MAX };
	struct tu_map *m = start(100);

	for (size_t i = 0; i < sizeof(ticks) / sizeof(ticks[0]); i++) {
		uint64_t va = tile_va(i);
		uint32_t id = tu_sample_w(m, TGID, va, UINT32_MAX);

		collect(m);
		m->mem.ctl->tick += ticks[i];
		collect(m);
		assert_int_equal(heat_of(m, TGID, va), ticks[i] < 32 ? UINT32_MAX >> ticks[i] : 0);
		assert_int_equal(tu_live(m, TGID, va)->recent, 0);
		m->mem.tile[id].total = 0;
	}
	finish(m);
}

static void test_recent(void **state)
{
	struct tu_map *m = start(100);

	tu_sample_w(m, TGID, VA, 100);
	collect(m);
	tu_sample_w(m, TGID, VA, 30);
	collect(m);
	assert_int_equal(tu_live(m, TGID, VA)->recent, 30);
	assert_int_equal(heat_of(m, TGID, VA), 130);
	collect(m);
	assert_int_equal(tu_live(m, TGID, VA)->recent, 0);
	/* A tick halves what was there, not what came after it. */
	m->mem.ctl->tick++;
	tu_sample_w(m, TGID, VA, 10);
	collect(m);
	assert_int_equal(heat_of(m, TGID, VA), 75);
	assert_int_equal(tu_live(m, TGID, VA)->recent, 10);
	finish(m);
}

/* ---- rates ---- */

static void check_rates(struct tu_map *m, const float *before, size_t nr)
{
	double recent = 0, sum = 0, fair;

	for (size_t i = 0; i < nr; i++)
		recent += m->hm.live[i].recent;
	fair = recent / nr;
	for (size_t i = 0; i < nr; i++) {
		const struct ht_live *l = &m->hm.live[i];
		double old = before ? before[i] : 0;

		sum += l->rate;
		assert_true(isfinite(l->rate) && l->rate >= 0);
		/* Bursts are capped. */
		assert_true(l->rate <= 3 * old + 2 * fair + 2.01);
		if (!l->recent)
			assert_true(l->rate <= old);
	}
	assert_true(fabs(sum - m->hm.rate_total) <= 1e-3 * sum + 1e-3);
}

static void test_rates(void **state)
{
	struct tu_map *m = start(2000);
	float before[1000];
	double steady;

	for (int e = 0; e < 60; e++) {
		/* Ageing does not touch the rates: they have a pace of their own. */
		m->mem.ctl->tick += e % 3 == 0;
		for (unsigned int i = 0; i < 1000; i++)
			tu_sample_w(m, TGID, tile_va(i), i == 500 && e == 40 ? 5000 : 4);
		collect(m);
		check_rates(m, e ? before : NULL, 1000);
		for (unsigned int i = 0; i < 1000; i++)
			before[i] = m->hm.live[i].rate;
		/* A burst is some epochs' worth of what the others get, not a thousand. */
		assert_true(before[500] <= 5 * before[1] + 10);
	}
	steady = before[1];
	assert_true(before[999] == before[1]);
	/* Idle tiles are forgotten by the volume of samples, not by time. */
	for (int e = 0; e < 20; e++)
		collect(m);
	assert_true(fabs(m->hm.live[1].rate - steady) < 1e-3);
	for (int e = 0; e < 40; e++) {
		for (unsigned int i = 0; i < 500; i++)
			tu_sample_w(m, TGID, tile_va(i), 8);
		collect(m);
	}
	assert_true(m->hm.live[999].rate < steady / 100);
	assert_true(m->hm.live[1].rate > steady * 1.5);
	finish(m);
}

/* Nothing ran: no tile went on as before. */
static void test_idle_epochs_make_nothing_steady(void **state)
{
	struct tu_map *m = start(2000);

	for (int e = 0; e < 3; e++) {
		tu_sample_w(m, TGID, VA, 100);
		collect(m);
	}
	assert_int_equal(tu_live(m, TGID, VA)->steady, 3);
	for (int e = 0; e < 20; e++)
		collect(m);
	assert_int_equal(tu_live(m, TGID, VA)->steady, 3);
	finish(m);
}

/* A tile hot for many epochs is forgotten when it stops; one that was read once in a while is not.
 */
static void test_stopped(void **state)
{
	struct tu_map *m = start(200);
	float hot, scanned;

	for (int e = 0; e < 24; e++) {
		for (unsigned int i = 0; i < 100; i++)
			tu_sample_w(m, TGID, tile_va(i), i == 1 ? 100 : 50);
		if (e % 6 == 5)
			tu_sample_w(m, TGID, tile_va(100), 300);
		collect(m);
	}
	hot = m->hm.live[1].rate;
	scanned = m->hm.live[100].rate;
	assert_true(hot > scanned && scanned > 100);
	for (int e = 0; e < 2; e++) {
		for (unsigned int i = 2; i < 100; i++)
			tu_sample_w(m, TGID, tile_va(i), 50);
		collect(m);
	}
	assert_true(m->hm.live[1].rate < hot / 10);
	assert_true(m->hm.live[100].rate > scanned / 2);
	assert_true(m->hm.live[50].rate > 300);
	finish(m);
}

/* Counts start at 0 whatever was in the block; to give what a tile has changes nothing. */
/* Greatest rate over least, of tiles that are alike. */
static double spread(const struct tu_map *m)
{
	double lo = 1e30, hi = 0;

	for (size_t i = 0; i < m->hm.nr_live; i++) {
		lo = fmin(lo, m->hm.live[i].rate);
		hi = fmax(hi, m->hm.live[i].rate);
	}
	return hi / lo;
}

/* A quarter of the samples is no quarter of the heat: tiles that were alike stay alike. */
static void test_thin(void **state)
{
	struct tu_map *m = start(400);
	uint64_t rnd = 4711;
	double was, total;

	for (int e = 0; e < 40; e++) {
		for (unsigned int i = 0; i < 200; i++)
			tu_sample_w(m, TGID, tile_va(i), tu_poisson(&rnd, e < 30 ? 40 : 10));
		if (e == 30) {
			was = m->hm.live[7].rate;
			total = m->hm.rate_total;
			ht_heatmap_thin(&m->hm, 0.25);
			assert_true(fabs(m->hm.live[7].rate - was / 4) < 1e-3);
			assert_true(fabs(m->hm.rate_total - total / 4) < 1e-3);
		}
		collect(m);
		if (e >= 29)
			assert_true(spread(m) < 2);
	}
	finish(m);
}

static void test_give_detail(void **state)
{
	struct tu_map *m = start(200);
	struct ht_detail copy;
	uint32_t id;

	memset(m->mem.detail, 0xff, m->mem.nr_tiles * sizeof(*m->mem.detail));
	for (unsigned int i = 0; i < 100; i++)
		for (int k = 0; k < 3; k++)
			tu_sample(m, TGID, tile_va(i));
	collect(m);
	assert_int_equal(tu_details(m), 0);
	for (unsigned int i = 0; i < 100; i++)
		ht_heatmap_give_detail(&m->hm, m->hm.live[i].id);
	assert_int_equal(tu_details(m), 100);
	id = m->hm.live[7].id;
	assert_int_equal(m->mem.tile[id].win_n | m->mem.tile[id].win_r, 0);
	tu_sample(m, TGID, tile_va(7) + 3 * TU_PAGE);
	ht_heatmap_give_detail(&m->hm, id);
	for (unsigned int i = 0; i < 100; i++) {
		assert_non_null(ht_heatmap_detail(&m->hm, m->hm.live[i].id, &copy));
		for (unsigned int p = 0; p < HT_TILE_PAGES; p++)
			assert_int_equal(ht_detail_get(&copy, p), i == 7 && p == 3);
	}
	ht_heatmap_drop_detail(&m->hm, id);
	assert_null(ht_heatmap_detail(&m->hm, id, &copy));
	assert_int_equal(tu_details(m), 99);
	finish(m);
}

/* ---- duplicates ---- */

/* A second tile for the key, as two CPUs make it; linked says whether its slot got in, too. */
static uint32_t make_duplicate(struct tu_map *m, uint64_t key, uint32_t heat, bool linked)
{
	uint32_t id = tu_pop_tile(m);

	m->mem.tile[id] = (struct ht_tile){ .key = key, .total = heat, .tick = m->mem.ctl->tick };
	if (linked)
		*tu_empty_slot(m, key) = HT_HASH_TAG(ht_hash(key)) << HT_TAG_SHIFT | id;
	return id;
}

static void test_duplicates_fold(void **state)
{
	uint64_t key = HT_KEY(TGID, VA);

	for (int linked = 0; linked < 2; linked++) {
		for (int first = 0; first < 2; first++) {
			struct tu_map *m = start(100);
			uint32_t found;

			tu_sample(m, TGID, tile_va(1));
			if (first)
				make_duplicate(m, key, 7, linked);
			assert_int_not_equal(tu_new_tile(m, key), 0);
			if (!first)
				make_duplicate(m, key, 7, linked);
			tu_sample_w(m, TGID, VA, 20);
			found = tu_find(m, TGID, VA);
			collect(m);
			assert_int_equal(m->hm.nr_live, 2);
			assert_int_equal(heat_of(m, TGID, VA), 27);
			assert_int_equal(tu_live(m, TGID, VA)->id, found);
			assert_int_equal(m->hm.stats.merged, 1);
			collect(m);
			check_books(m);
			assert_int_equal(ht_heatmap_free_tiles(&m->hm), 98);
			assert_int_equal(heat_of(m, TGID, VA), 27);
			finish(m);
		}
	}
}

/* The sum of what both would have shown, then and at every later tick. */
static void test_duplicates_of_different_age(void **state)
{
	struct tu_map *m = start(100);
	uint64_t key = HT_KEY(TGID, VA);
	uint32_t total;

	tu_sample_w(m, TGID, VA, 800);
	m->mem.ctl->tick++;
	make_duplicate(m, key, 600, false);
	collect(m);
	total = heat_of(m, TGID, VA);
	assert_int_equal(total, 1000);
	collect(m);
	assert_int_equal(heat_of(m, TGID, VA), 1000);
	m->mem.ctl->tick++;
	collect(m);
	assert_int_equal(heat_of(m, TGID, VA), 500);
	finish(m);
}

/* ---- release ---- */

static void test_release_range(void **state)
{
	struct tu_map *m = start(100);
	uint32_t gone;

	for (unsigned int i = 0; i < 10; i++) {
		tu_sample(m, TGID, tile_va(i));
		tu_sample(m, TGID + 1, tile_va(i));
	}
	collect(m);
	gone = tu_find(m, TGID, tile_va(3));
	assert_int_equal(ht_heatmap_release(&m->hm, TGID, tile_va(3), tile_va(6)), 3);
	assert_int_equal(m->hm.stats.released, 3);
	assert_int_equal(m->hm.nr_live, 17);
	check_books(m);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(!tu_live(m, TGID, tile_va(i)), i >= 3 && i < 6);
		assert_int_equal(!tu_find(m, TGID, tile_va(i)), i >= 3 && i < 6);
		assert_non_null(tu_live(m, TGID + 1, tile_va(i)));
	}
	/* In limbo: the address may be sampled anew at once, in another tile. */
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 80);
	assert_int_not_equal(tu_sample(m, TGID, tile_va(3)), gone);
	collect(m);
	check_books(m);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 82);
	assert_int_equal(heat_of(m, TGID, tile_va(3)), 1);
	assert_int_equal(ht_heatmap_release(&m->hm, TGID, tile_va(4), tile_va(6)), 0);
	finish(m);
}

static bool is_odd(uint64_t va, void *seen)
{
	++*(unsigned int *)seen;
	return va >> HT_TILE_SHIFT & 1;
}

static void test_release_some(void **state)
{
	struct tu_map *m = start(100);
	unsigned int seen = 0;

	for (unsigned int i = 0; i < 10; i++)
		for (uint32_t p = TGID - 1; p <= TGID + 1; p++)
			tu_sample(m, p, tile_va(i));
	collect(m);
	assert_int_equal(ht_heatmap_release_if(&m->hm, TGID, is_odd, &seen), 5);
	assert_int_equal(seen, 10);
	assert_int_equal(m->hm.stats.released, 5);
	assert_int_equal(m->hm.nr_live, 25);
	check_books(m);
	for (unsigned int i = 0; i < 10; i++) {
		bool odd = tile_va(i) >> HT_TILE_SHIFT & 1;

		assert_int_equal(!tu_live(m, TGID, tile_va(i)), odd);
		assert_int_equal(!tu_find(m, TGID, tile_va(i)), odd);
		assert_non_null(tu_live(m, TGID - 1, tile_va(i)));
		assert_non_null(tu_live(m, TGID + 1, tile_va(i)));
	}
	finish(m);
}

static void test_release_process(void **state)
{
	struct tu_map *m = start(100);

	for (unsigned int i = 0; i < 10; i++)
		for (uint32_t p = TGID - 1; p <= TGID + 1; p++)
			tu_sample(m, p, i ? tile_va(i) : (1ULL << 56) - HT_TILE_SIZE);
	collect(m);
	assert_int_equal(ht_heatmap_release(&m->hm, TGID, 0, UINT64_MAX), 10);
	assert_int_equal(ht_heatmap_release(&m->hm, TGID, 0, UINT64_MAX), 0);
	assert_int_equal(m->hm.nr_live, 20);
	collect(m);
	check_books(m);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 80);
	finish(m);
}

/* A sampler that found the tile just before it was released counts into it all the same. */
static void test_late_sample(void **state)
{
	struct tu_map *m = start(100);
	struct ht_tile *t = &m->mem.tile[tu_sample(m, TGID, VA)];
	uint32_t id;

	for (int i = 0; i < 64; i++)
		tu_sample(m, TGID, VA);
	assert_int_not_equal(t->detail, 0);
	collect(m);
	ht_heatmap_release(&m->hm, TGID, 0, UINT64_MAX);
	t->total += 3;
	for (int i = 0; i < 1000 && !t->detail; i++, m->counted++)
		tu_count_page(m, t, 9);
	assert_int_not_equal(t->detail, 0);
	collect(m);
	check_books(m);
	assert_int_equal(ht_heatmap_free_tiles(&m->hm), 100);
	assert_int_equal(tu_details(m), 0);
	for (int i = 0; i < 100; i++) {
		const struct ht_tile *f;

		id = tu_pop_tile(m);
		f = &m->mem.tile[id];
		assert_true(!f->key && !f->total && !f->detail && !f->win_n && !f->touched[0]);
	}
	finish(m);
}

/* ---- evict ---- */

static void test_evict_only_when_low(void **state)
{
	struct tu_map *m = start(319);

	for (unsigned int i = 0; i < 299; i++)
		tu_sample(m, TGID, tile_va(i));
	collect(m);
	assert_int_equal(ht_heatmap_evict(&m->hm), 0);
	tu_sample(m, TGID, tile_va(300));
	collect(m);
	assert_int_equal(ht_heatmap_evict(&m->hm), 1);
	assert_int_equal(m->hm.stats.evicted, 1);
	/* What is on its way to the ring counts as free. */
	assert_int_equal(ht_heatmap_evict(&m->hm), 0);
	finish(m);
}

/* Whoever stays is at least as hot as whoever goes, whatever the heats. */
static void test_evict_coldest(void **state)
{
	uint64_t rnd = 99;

	for (int round = 0; round < 40; round++) {
		struct tu_map *m = start(319);
		uint32_t spread = 1 + tu_below(&rnd, round + 1) * 3, heat[319], hottest_gone = 0;
		uint32_t coldest = UINT32_MAX;
		size_t freed, gone = 0;

		for (unsigned int i = 0; i < 319; i++) {
			heat[i] = 1 + tu_below(&rnd, spread);
			tu_sample_w(m, TGID, tile_va(i), heat[i]);
		}
		collect(m);
		freed = ht_heatmap_evict(&m->hm);
		for (unsigned int i = 0; i < 319; i++) {
			if (tu_live(m, TGID, tile_va(i))) {
				coldest = heat[i] < coldest ? heat[i] : coldest;
			} else {
				gone++;
				hottest_gone = heat[i] > hottest_gone ? heat[i] : hottest_gone;
			}
		}
		assert_int_equal(freed, gone);
		assert_true(hottest_gone <= coldest);
		check_books(m);
		collect(m);
		assert_int_equal(ht_heatmap_free_tiles(&m->hm), 320 / 16);
		finish(m);
	}
}

static void test_sampling_goes_on_when_full(void **state)
{
	struct tu_map *m = start(320);

	/* A scan through far more memory than the map covers, a hot tile beside it. */
	for (unsigned int i = 0; i < 5000; i++) {
		tu_sample_w(m, TGID, tile_va(i), 1);
		tu_sample_w(m, TGID, tile_va(100000), 2);
		if (i % 10)
			continue;
		collect(m);
		ht_heatmap_evict(&m->hm);
		if (i % 500 == 0)
			check_books(m);
	}
	assert_int_equal(m->dropped[HT_DROP_NO_TILE], 0);
	collect(m);
	assert_int_equal(heat_of(m, TGID, tile_va(100000)), 10000);
	finish(m);
}

/* ---- page detail ---- */

static uint32_t make_detail(struct tu_map *m, uint64_t va)
{
	uint32_t id = 0;

	/* After an earlier block was taken back it takes more to get another. */
	for (int i = 0; i < 200 || (i < 2000 && !m->mem.tile[id].detail); i++)
		id = tu_sample(m, TGID, va + i % 5 * TU_PAGE);
	assert_int_not_equal(m->mem.tile[id].detail, 0);
	return id;
}

/* What is read is what the sampler makes of the block when it next comes by. */
static void test_detail_is_aged_as_sampled(void **state)
{
	uint64_t rnd = 5;

	for (uint32_t first = 100; first < 104; first++) {
		for (uint32_t ticks = 0; ticks < 40; ticks++) {
			struct tu_map *m = start(16);
			struct ht_detail copy, *d;
			struct ht_tile *t;
			uint32_t id;

			m->mem.ctl->tick = first;
			id = make_detail(m, VA);
			t = &m->mem.tile[id];
			d = &m->mem.detail[id];
			for (int w = 0; w < HT_TILE_WORDS; w++)
				d->nib[w] = tu_rnd(&rnd);
			m->mem.ctl->tick += ticks;
			assert_ptr_equal(ht_heatmap_detail(&m->hm, id, &copy), &copy);
			tu_age(m, t);
			assert_memory_equal(&copy, d, sizeof(copy));
			finish(m);
		}
	}
}

static void test_drop_detail(void **state)
{
	struct tu_map *m = start(100);
	uint32_t id = make_detail(m, VA);
	struct ht_detail copy;

	collect(m);
	assert_int_equal(m->hm.stats.details, 1);
	ht_heatmap_drop_detail(&m->hm, id);
	assert_int_equal(m->hm.stats.details_freed, 1);
	assert_null(ht_heatmap_detail(&m->hm, id, &copy));
	/* A late sample into the block; a second drop is none. */
	m->mem.detail[id].nib[3] = 0x55;
	ht_heatmap_drop_detail(&m->hm, id);
	assert_int_equal(m->hm.stats.details_freed, 1);
	collect(m);
	assert_int_equal(m->hm.stats.details, 0);
	assert_int_equal(heat_of(m, TGID, VA), 200);
	/* It can be earned again, and starts without what came late. */
	make_detail(m, VA);
	assert_non_null(ht_heatmap_detail(&m->hm, id, &copy));
	assert_int_equal(copy.nib[3], 0);
	finish(m);
}

/* A tile's detail is where its id says, whatever somebody else wrote into the tile. */
static void test_detail_is_its_own(void **state)
{
	const uint32_t bad[] = { 101, 1U << 31, UINT32_MAX - 1, UINT32_MAX };
	struct tu_map *m = start(100);
	uint32_t id = tu_sample(m, TGID, VA);
	struct ht_detail copy;

	assert_null(ht_heatmap_detail(&m->hm, id, &copy));
	m->mem.detail[id].nib[5] = 0x1234;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		m->mem.tile[id].detail = bad[i];
		assert_non_null(ht_heatmap_detail(&m->hm, id, &copy));
		assert_int_equal(copy.nib[5], 0x1234);
		ht_heatmap_drop_detail(&m->hm, id);
		assert_int_equal(m->mem.tile[id].detail, 0);
		collect(m);
	}
	finish(m);
}

/* ---- maps that somebody else wrote to ---- */

static void test_ring_with_bad_ids(void **state)
{
	const uint32_t bad[] = { 0, 101, HT_ID_MASK, 1U << 31, 1U << 31 | 5, UINT32_MAX };
	struct tu_map *m = start(100);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint32_t h = m->mem.ctl->free_head;

		m->mem.free_tiles[h / HT_IDS_PER_LINE].id[h % HT_IDS_PER_LINE] = bad[i];
		tu_pop_tile(m);
		tu_sample(m, TGID, tile_va(i));
		collect(m);
		assert_int_equal(m->hm.nr_live, i + 1);
	}
	for (size_t i = 0; i < m->hm.nr_live; i++)
		assert_in_range(m->hm.live[i].id, 1, 100);
	ht_heatmap_release(&m->hm, TGID, 0, UINT64_MAX);
	collect(m);
	finish(m);
}

/* An id that is on the ring twice is one tile, and stays one. */
static void test_ring_with_an_id_twice(void **state)
{
	struct tu_map *m = start(100);
	uint32_t id = tu_sample_w(m, TGID, VA, 50), h = m->mem.ctl->free_head;

	m->mem.free_tiles[h / HT_IDS_PER_LINE].id[h % HT_IDS_PER_LINE] = id;
	tu_pop_tile(m);
	collect(m);
	assert_int_equal(m->hm.nr_live, 1);
	assert_int_equal(heat_of(m, TGID, VA), 50);
	assert_int_equal(tu_find(m, TGID, VA), id);
	collect(m);
	assert_int_equal(heat_of(m, TGID, VA), 50);
	finish(m);
}

static void test_ring_head_far_off(void **state)
{
	const uint32_t jump[] = { 5000, 1U << 20, 1U << 30, 1U << 31, UINT32_MAX };

	for (size_t i = 0; i < sizeof(jump) / sizeof(jump[0]); i++) {
		struct tu_map *m = start(100);
		int err;

		for (unsigned int k = 0; k < 10; k++)
			tu_sample(m, TGID, tile_va(k));
		collect(m);
		m->mem.ctl->free_head += jump[i];
		for (int k = 0; k < 4; k++) {
			/* An error is fine, a crash or endless memory is not. */
			err = ht_heatmap_collect(&m->hm);
			assert_true(err <= 0);
			assert_true(m->hm.cap_pending <= 4096 && m->hm.cap_live <= 4096);
			ht_heatmap_evict(&m->hm);
		}
		for (size_t k = 0; k < m->hm.nr_live; k++)
			assert_in_range(m->hm.live[k].id, 1, 100);
		finish(m);
	}
}

static void test_noise_everywhere(void **state)
{
	uint64_t rnd = 1234;

	for (int round = 0; round < 200; round++) {
		struct tu_map *m = start(64);
		struct ht_detail copy;

		for (unsigned int i = 0; i < 40; i++)
			tu_sample(m, TGID + i % 3, tile_va(i));
		collect(m);
		for (int k = 0; k < 30; k++) {
			uint32_t i = tu_below(&rnd, 64);

			switch (tu_below(&rnd, 5)) {
			case 0:
				m->mem.tile[i] = (struct ht_tile){ .key = tu_rnd(&rnd),
								   .detail = tu_rnd(&rnd),
								   .tick = tu_rnd(&rnd),
								   .total = tu_rnd(&rnd) };
				break;
			case 1:
				m->mem.bucket[i % m->mem.nr_buckets].slot[i % HT_WAYS] =
					tu_rnd(&rnd);
				break;
			case 2:
				m->mem.free_tiles[i / 16].id[i % 16] = tu_below(&rnd, 130);
				break;
			case 3:
				m->mem.ctl->tick = tu_rnd(&rnd);
				break;
			case 4:
				tu_sample(m, TGID + i, tile_va(i));
			}
		}
		for (int k = 0; k < 4; k++) {
			ht_heatmap_collect(&m->hm);
			for (size_t i = 0; i < m->hm.nr_live; i++) {
				assert_in_range(m->hm.live[i].id, 1, 64);
				ht_heatmap_detail(&m->hm, m->hm.live[i].id, &copy);
			}
			ht_heatmap_release(&m->hm, TGID + 1, 0, UINT64_MAX);
			ht_heatmap_evict(&m->hm);
		}
		finish(m);
	}
}

/* Everything at once, in random order: no tile, block or count is lost. */
static void test_random_life(void **state)
{
	struct tu_map *m = start(500);
	uint64_t rnd = 31337;
	uint32_t details;

	for (int step = 0; step < 3000; step++) {
		uint32_t what = tu_below(&rnd, 20), i = tu_below(&rnd, 700);

		if (what < 2) {
			m->mem.ctl->tick++;
		} else if (what == 2) {
			collect(m);
			ht_heatmap_release(&m->hm, TGID + i % 4, tile_va(i), tile_va(i + 40));
		} else if (what == 3) {
			collect(m);
			ht_heatmap_evict(&m->hm);
		} else if (what == 4 && m->hm.nr_live) {
			collect(m);
			if (m->hm.nr_live)
				ht_heatmap_drop_detail(&m->hm, m->hm.live[i % m->hm.nr_live].id);
		} else if (what < 12) {
			for (int k = 0; k < 60; k++)
				tu_sample(m, TGID + i % 4,
					  tile_va(i) + tu_below(&rnd, 6) * TU_PAGE);
		} else {
			tu_spray(m, TGID + i % 4, tile_va(i), 20, &rnd);
		}
		if (step % 50 == 0)
			check_books(m);
	}
	collect(m);
	check_books(m);
	details = tu_details(m);
	assert_true(details > 0);
	assert_int_equal(m->hm.stats.details, details);
	finish(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_size_fits_together),
		cmocka_unit_test(test_index_takes_all_tiles),
		cmocka_unit_test(test_init_fills_ring),
		cmocka_unit_test(test_collect_sorts),
		cmocka_unit_test(test_of),
		cmocka_unit_test(test_ids_without_key),
		cmocka_unit_test(test_ageing_on_read),
		cmocka_unit_test(test_far_ticks),
		cmocka_unit_test(test_recent),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_idle_epochs_make_nothing_steady),
		cmocka_unit_test(test_stopped),
		cmocka_unit_test(test_thin),
		cmocka_unit_test(test_give_detail),
		cmocka_unit_test(test_duplicates_fold),
		cmocka_unit_test(test_duplicates_of_different_age),
		cmocka_unit_test(test_release_range),
		cmocka_unit_test(test_release_some),
		cmocka_unit_test(test_release_process),
		cmocka_unit_test(test_late_sample),
		cmocka_unit_test(test_evict_only_when_low),
		cmocka_unit_test(test_evict_coldest),
		cmocka_unit_test(test_sampling_goes_on_when_full),
		cmocka_unit_test(test_detail_is_aged_as_sampled),
		cmocka_unit_test(test_drop_detail),
		cmocka_unit_test(test_detail_is_its_own),
		cmocka_unit_test(test_ring_with_bad_ids),
		cmocka_unit_test(test_ring_with_an_id_twice),
		cmocka_unit_test(test_ring_head_far_off),
		cmocka_unit_test(test_noise_everywhere),
		cmocka_unit_test(test_random_life),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
