/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Fixtures for the tests of the loader's core: a heat map in plain memory with a sampler of its own
 * (the rules of bpf/hypertier/heat.bpf.h, without its races), address spaces made up in memory, and
 * random numbers that repeat.
 */
#ifndef HT_TEST_UTIL_H
#define HT_TEST_UTIL_H

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
/* After the above: it needs their types. */
#include <cmocka.h>

#include <hypertier/stats.h>

#include "heatmap.h"
#include "space.h"

#define TU_UNUSED __attribute__((unused))
#define TU_PAGE 4096UL

/* ---- random numbers ---- */

TU_UNUSED static uint64_t tu_rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

TU_UNUSED static uint32_t tu_below(uint64_t *state, uint32_t n)
{
	return (tu_rnd(state) >> 32) * n >> 32;
}

/* 0 < x < 1 */
TU_UNUSED static double tu_real(uint64_t *state)
{
	return ((tu_rnd(state) >> 12) + 0.5) / (1ULL << 52);
}

/* By the multiplication method (Knuth), in pieces so that exp() does not underflow. */
TU_UNUSED static uint32_t tu_poisson(uint64_t *state, double mean)
{
	uint32_t n = 0;

	for (; mean > 0; mean -= 30) {
		double limit = exp(-(mean < 30 ? mean : 30)), p = tu_real(state);

		for (; p > limit; p *= tu_real(state))
			n++;
	}
	return n;
}

/* ---- a heat map in plain memory ---- */

struct tu_map {
	struct ht_heatmap_mem mem;
	struct ht_heatmap hm;
	uint64_t dropped[HT_DROP_NR], counted;
};

TU_UNUSED static void *tu_zalloc(size_t nr, size_t size)
{
	void *p = calloc(nr, size);

	if (!p)
		abort();
	return p;
}

TU_UNUSED static void tu_map_alloc(struct tu_map *m, const struct ht_heatmap_size *s)
{
	memset(m, 0, sizeof(*m));
	m->mem = (struct ht_heatmap_mem){
		.ctl = tu_zalloc(1, sizeof(struct ht_ctl)),
		.tile = tu_zalloc(s->nr_tiles, sizeof(struct ht_tile)),
		.bucket = tu_zalloc(s->nr_buckets, sizeof(struct ht_bucket)),
		.detail = tu_zalloc(s->nr_tiles, sizeof(struct ht_detail)),
		.free_tiles = tu_zalloc(s->tile_lines, sizeof(struct ht_id_line)),
		.nr_tiles = s->nr_tiles,
		.nr_buckets = s->nr_buckets,
	};
}

/* Room for so many tiles. */
TU_UNUSED static void tu_map_open(struct tu_map *m, uint32_t tiles)
{
	struct ht_heatmap_size s = { .nr_tiles = tiles + 1 };
	uint32_t p = 16;

	while (p < tiles + 1)
		p *= 2;
	s.tile_lines = p / HT_IDS_PER_LINE;
	s.nr_buckets = p * 2 / HT_WAYS;
	tu_map_alloc(m, &s);
	assert_int_equal(ht_heatmap_init(&m->hm, &m->mem), 0);
}

TU_UNUSED static void tu_map_close(struct tu_map *m)
{
	ht_heatmap_free(&m->hm);
	free(m->mem.ctl);
	free(m->mem.tile);
	free(m->mem.bucket);
	free(m->mem.detail);
	free(m->mem.free_tiles);
}

/* Takes an id off the ring, 0 if it is empty. */
TU_UNUSED static uint32_t tu_pop_tile(struct tu_map *m)
{
	struct ht_ctl *c = m->mem.ctl;
	uint32_t h = c->free_head;

	if (h == c->free_tail)
		return 0;
	c->free_head = h + 1;
	return m->mem.free_tiles[(h & c->free_mask) / HT_IDS_PER_LINE].id[h % HT_IDS_PER_LINE];
}

/* The slot of a key in the index, NULL if it has none. */
TU_UNUSED static uint32_t *tu_slot(const struct tu_map *m, uint64_t key)
{
	uint64_t h = ht_hash(key);
	uint32_t b[2] = { HT_HASH_BUCKET(h, m->mem.nr_buckets),
			  HT_HASH_BUCKET2(h, m->mem.nr_buckets) };

	for (int c = 0; c < 2; c++) {
		for (int i = 0; i < HT_WAYS; i++) {
			uint32_t *slot =
				&m->mem.bucket[b[c]].slot[(HT_HASH_WAY(h) + i) & (HT_WAYS - 1)];
			uint32_t id = *slot & HT_ID_MASK;

			if (*slot >> HT_TAG_SHIFT == HT_HASH_TAG(h) && id < m->mem.nr_tiles &&
			    m->mem.tile[id].key == key)
				return slot;
		}
	}
	return NULL;
}

TU_UNUSED static int tu_ways_used(const struct ht_bucket *b)
{
	int used = 0;

	for (int i = 0; i < HT_WAYS; i++)
		used += b->slot[i] != 0;
	return used;
}

/* The second choice of bucket is for first ones that are rather full. */
TU_UNUSED static uint32_t *tu_empty_slot(const struct tu_map *m, uint64_t key)
{
	uint64_t h = ht_hash(key);
	struct ht_bucket *a = &m->mem.bucket[HT_HASH_BUCKET(h, m->mem.nr_buckets)];
	struct ht_bucket *b = &m->mem.bucket[HT_HASH_BUCKET2(h, m->mem.nr_buckets)];

	if (tu_ways_used(a) > HT_WAYS * 3 / 4 && tu_ways_used(b) < tu_ways_used(a))
		a = b;
	for (int i = 0; i < HT_WAYS; i++) {
		uint32_t *slot = &a->slot[(HT_HASH_WAY(h) + i) & (HT_WAYS - 1)];

		if (!*slot)
			return slot;
	}
	return NULL;
}

TU_UNUSED static uint32_t tu_find(const struct tu_map *m, uint32_t tgid, uint64_t va)
{
	const uint32_t *slot = tu_slot(m, HT_KEY(tgid, va));

	return slot ? *slot & HT_ID_MASK : 0;
}

/* Takes a tile for the key and puts it into the index; 0 and a counted drop if that fails. */
TU_UNUSED static uint32_t tu_new_tile(struct tu_map *m, uint64_t key)
{
	uint32_t *slot = tu_empty_slot(m, key), id;

	if (!slot) {
		m->dropped[HT_DROP_NO_SLOT]++;
		return 0;
	}
	id = tu_pop_tile(m);
	if (!id || id >= m->mem.nr_tiles) {
		m->dropped[HT_DROP_NO_TILE]++;
		return 0;
	}
	m->mem.tile[id].key = key;
	m->mem.tile[id].tick = m->mem.ctl->tick;
	*slot = HT_HASH_TAG(ht_hash(key)) << HT_TAG_SHIFT | id;
	return id;
}

TU_UNUSED static void tu_give_detail(struct tu_map *m, struct ht_tile *t)
{
	uint32_t id = t - m->mem.tile;

	memset(&m->mem.detail[id], 0, sizeof(m->mem.detail[id]));
	for (unsigned int p = 0; p < HT_TILE_PAGES; p++)
		if (t->touched[HT_CELL(p) / 64] >> (HT_CELL(p) % 64) & 1)
			m->mem.detail[id].nib[p / 16] |= 1ULL << (p % 16 * 4);
	t->win_n = t->win_r = t->acc_r = t->acc_e = 0;
	t->detail = id;
}

TU_UNUSED static bool tu_dispersed(const struct ht_tile *t)
{
	double expect = ht_tile_expected8(t) / 8.0;
	double excess = ht_tile_repeats(t) - expect - 3;

	return excess > 0 && excess > 4 * sqrt(expect);
}

TU_UNUSED static void tu_age(struct tu_map *m, struct ht_tile *t)
{
	uint32_t now = m->mem.ctl->tick, ticks = now - t->tick;
	struct ht_detail *d = t->detail ? &m->mem.detail[t - m->mem.tile] : NULL;

	if (!ticks)
		return;
	t->tick = now;
	t->total = ticks < 32 ? t->total >> ticks : 0;
	t->writes = ticks < 32 ? t->writes >> ticks : 0;
	if (!t->detail && tu_dispersed(t))
		tu_give_detail(m, t);
	t->acc_e = ticks < 32 ? ht_tile_expected8(t) >> ticks : 0;
	t->acc_r = ticks < 32 ? ht_tile_repeats(t) >> ticks : 0;
	t->win_n = t->win_r = 0;
	memset(t->touched, 0, sizeof(t->touched));
	for (int i = 0; d && i < HT_TILE_WORDS; i++)
		d->nib[i] = ht_age_nibbles(d->nib[i], now, ticks);
}

TU_UNUSED static void tu_count_page(struct tu_map *m, struct ht_tile *t, unsigned int page)
{
	unsigned int cell = HT_CELL(page);
	__u64 bit = 1ULL << (cell % 64), *word;

	if (t->detail) {
		word = &m->mem.detail[t - m->mem.tile].nib[page / 16];
		if ((*word >> (page % 16 * 4) & 15) < HT_PAGE_MAX)
			*word += 1ULL << (page % 16 * 4);
		return;
	}
	if (t->win_n >= HT_WIN_MAX)
		return;
	t->win_n++;
	t->win_r += !!(t->touched[cell / 64] & bit);
	t->touched[cell / 64] |= bit;
	if (m->counted % 8)
		return;
	if (t->win_n >= HT_LOOK || tu_dispersed(t))
		tu_give_detail(m, t);
}

/* Samples an address; the tile's id, 0 if the sample was dropped. */
TU_UNUSED static uint32_t tu_sample_w(struct tu_map *m, uint32_t tgid, uint64_t va, uint32_t weight)
{
	uint32_t id = tu_find(m, tgid, va);
	struct ht_tile *t;

	if (!id)
		id = tu_new_tile(m, HT_KEY(tgid, va));
	if (!id)
		return 0;
	t = &m->mem.tile[id];
	tu_age(m, t);
	t->total += weight;
	tu_count_page(m, t, va / TU_PAGE % HT_TILE_PAGES);
	m->counted++;
	return id;
}

TU_UNUSED static uint32_t tu_sample(struct tu_map *m, uint32_t tgid, uint64_t va)
{
	return tu_sample_w(m, tgid, va, 1);
}

/* n samples on random pages of a tile. */
TU_UNUSED static void tu_spray(struct tu_map *m, uint32_t tgid, uint64_t va, uint32_t n,
			       uint64_t *rnd)
{
	while (n--)
		tu_sample(m, tgid, va + tu_below(rnd, HT_TILE_PAGES) * TU_PAGE);
}

TU_UNUSED static const struct ht_live *tu_live(const struct tu_map *m, uint32_t tgid, uint64_t va)
{
	for (size_t i = 0; i < m->hm.nr_live; i++)
		if (m->hm.live[i].key == HT_KEY(tgid, va))
			return &m->hm.live[i];
	return NULL;
}

/* Tiles with page detail. */
TU_UNUSED static uint32_t tu_details(const struct tu_map *m)
{
	uint32_t nr = 0;

	for (uint32_t i = 1; i < m->mem.nr_tiles; i++)
		nr += m->mem.tile[i].detail != 0;
	return nr;
}

/* ---- address spaces made up in memory ---- */

/* Appends a spot; its first pages are in tier 0, the next ones in tier 1, and so on. */
TU_UNUSED static struct ht_spot *tu_add_spot(struct ht_space *s, uint64_t va,
					     const uint16_t in_tier[HT_SPACE_TIERS])
{
	struct ht_spot *sp;
	int used = 0, t, p = 0;

	if (s->nr == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 64;
		s->spot = reallocarray(s->spot, s->cap, sizeof(*s->spot));
		if (!s->spot)
			abort();
	}
	sp = &s->spot[s->nr++];
	memset(sp, 0, sizeof(*sp));
	sp->va = va;
	sp->queried = 1;
	for (t = 0; t < HT_SPACE_TIERS; t++) {
		sp->in_tier[t] = in_tier[t];
		s->in_tier[t] += in_tier[t];
		used += in_tier[t] != 0;
	}
	if (used < 2)
		return sp;
	sp->place = tu_zalloc(1, HT_TILE_PAGES);
	memset(sp->place, HT_ABSENT, HT_TILE_PAGES);
	for (t = 0; t < HT_SPACE_TIERS; t++) {
		memset(sp->place + p, t, in_tier[t]);
		p += in_tier[t];
	}
	return sp;
}

/* nr whole spots in one tier. */
TU_UNUSED static void tu_add_spots(struct ht_space *s, uint64_t va, size_t nr, int tier)
{
	uint16_t in_tier[HT_SPACE_TIERS] = {};

	in_tier[tier] = HT_TILE_PAGES;
	for (size_t i = 0; i < nr; i++)
		tu_add_spot(s, va + i * HT_TILE_SIZE, in_tier);
}

/* Heat that the heat map knows nothing of: a tile counter, without samples of pages. */
TU_UNUSED static void tu_heat(struct tu_map *m, const struct ht_space *s, size_t spot,
			      uint32_t heat)
{
	uint32_t id;

	if (!heat)
		return;
	id = tu_sample_w(m, s->tgid, s->spot[spot].va, heat);
	assert_int_not_equal(id, 0);
}

/*
 * Joins spots with the heat map, but takes the tiles' totals for heat: what is put in comes out,
 * where rates follow by and by.
 */
TU_UNUSED static void tu_join(struct tu_map *m, struct ht_space *const *space, size_t nr)
{
	assert_int_equal(ht_heatmap_collect(&m->hm), 0);
	for (size_t i = 0; i < nr; i++) {
		size_t first, live = ht_heatmap_of(&m->hm, space[i]->tgid, &first), k = first;

		ht_space_join(space[i], &m->hm);
		for (size_t s = 0; s < space[i]->nr; s++) {
			struct ht_spot *sp = &space[i]->spot[s];

			for (; k < first + live && HT_KEY_VA(m->hm.live[k].key) < sp->va; k++)
				;
			if (sp->tile && k < first + live)
				sp->heat = m->hm.live[k].heat;
		}
	}
}

/* ---- the rest ---- */

/* path below the build directory, which is where this program lies in tests/unit/. */
TU_UNUSED static const char *tu_build_path(const char *path)
{
	static char buf[PATH_MAX + 64];
	ssize_t n = readlink("/proc/self/exe", buf, PATH_MAX - 1);
	char *slash;

	assert_true(n > 0);
	buf[n] = '\0';
	for (int i = 0; i < 3; i++) {
		slash = strrchr(buf, '/');
		assert_non_null(slash);
		*slash = '\0';
	}
	strcat(buf, "/");
	strncat(buf, path, 63);
	return buf;
}

#endif
