// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Spots of mappings made up here; placement of pages of this very process, as the kernel tells it.
 */
#include "test_util.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "sysfs.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define GIB (1ULL << 30)

static const uint16_t whole_fast[HT_SPACE_TIERS] = { HT_TILE_PAGES };
static const uint16_t none[HT_SPACE_TIERS];
static const uint16_t whole_slow[HT_SPACE_TIERS] = { 0, HT_TILE_PAGES };

static void check_sums(const struct ht_space *s)
{
	uint64_t sum[HT_SPACE_TIERS] = {};

	for (size_t i = 0; i < s->nr; i++) {
		const struct ht_spot *sp = &s->spot[i];

		assert_true(!i || s->spot[i - 1].va < sp->va);
		assert_int_equal(sp->va % HT_TILE_SIZE, 0);
		assert_true(ht_spot_pages(sp) <= HT_TILE_PAGES);
		for (int t = 0; t < HT_SPACE_TIERS; t++)
			sum[t] += sp->in_tier[t];
	}
	for (int t = 0; t < HT_SPACE_TIERS; t++)
		assert_int_equal(s->in_tier[t], sum[t]);
}

static void map(struct ht_space *s, struct tu_map *m, struct ht_vma *vma, size_t nr, uint64_t rss)
{
	const struct ht_vmas vmas = { .vma = vma, .nr = nr, .cap = nr };

	assert_int_equal(ht_space_map(s, &vmas, rss, &m->hm), 0);
	check_sums(s);
}

/* ---- mappings ---- */

static void test_map(void **state)
{
	struct ht_vma vma[] = {
		{ VA + TU_PAGE, VA + 2 * TU_PAGE, HT_VMA_ANON },
		{ VA + 3 * TU_PAGE, VA + HT_TILE_SIZE + TU_PAGE, HT_VMA_FILE },
		{ VA + 4 * HT_TILE_SIZE, VA + 5 * HT_TILE_SIZE, HT_VMA_ANON },
		{ VA + 8 * HT_TILE_SIZE, VA + 9 * HT_TILE_SIZE, HT_VMA_SPECIAL },
	};
	const uint64_t want[] = { VA, VA + HT_TILE_SIZE, VA + 4 * HT_TILE_SIZE };
	struct ht_space s;
	struct tu_map m;

	tu_map_open(&m, 16);
	ht_space_init(&s, TGID);
	map(&s, &m, vma, 4, GIB);
	assert_int_equal(s.nr, 3);
	for (size_t i = 0; i < s.nr; i++)
		assert_int_equal(s.spot[i].va, want[i]);
	assert_ptr_equal(ht_space_find(&s, VA + 5 * HT_TILE_SIZE - 1), &s.spot[2]);
	assert_ptr_equal(ht_space_find(&s, VA), &s.spot[0]);
	assert_null(ht_space_find(&s, VA - 1));
	assert_null(ht_space_find(&s, VA + 2 * HT_TILE_SIZE));
	assert_null(ht_space_find(&s, UINT64_MAX));
	map(&s, &m, vma, 0, GIB);
	assert_int_equal(s.nr, 0);
	assert_null(ht_space_find(&s, VA));
	ht_space_free(&s);
	tu_map_close(&m);
}

/* Spots that stay keep what is known of them; those that go take their memory along. */
static void test_map_keeps_spots(void **state)
{
	const uint16_t mixed[HT_SPACE_TIERS] = { 100, 200 };
	struct ht_vma vma[] = {
		{ VA, VA + 4 * HT_TILE_SIZE, HT_VMA_ANON },
		{ VA + 6 * HT_TILE_SIZE, VA + 8 * HT_TILE_SIZE, HT_VMA_ANON },
	};
	struct ht_space s;
	struct tu_map m;

	tu_map_open(&m, 16);
	ht_space_init(&s, TGID);
	for (int i = 0; i < 8; i++)
		tu_add_spot(&s, VA + i * HT_TILE_SIZE, i & 1 ? mixed : whole_fast)->moved = i + 1;
	s.cursor = 7;
	map(&s, &m, vma, 2, GIB);
	assert_int_equal(s.nr, 6);
	assert_true(s.cursor < s.nr);
	for (size_t i = 0; i < s.nr; i++) {
		size_t old = i < 4 ? i : i + 2;

		assert_int_equal(s.spot[i].moved, old + 1);
		assert_int_equal(s.spot[i].in_tier[0], old & 1 ? 100 : HT_TILE_PAGES);
		assert_int_equal(!!s.spot[i].place, old & 1);
	}
	/* A new mapping between them starts unknown. */
	vma[0].end += HT_TILE_SIZE;
	map(&s, &m, vma, 2, GIB);
	assert_int_equal(s.nr, 7);
	assert_int_equal(s.spot[4].queried, 0);
	assert_int_equal(ht_spot_pages(&s.spot[4]), 0);
	ht_space_free(&s);
	tu_map_close(&m);
}

/* A terabyte mapped and hardly used must not cost memory by its size. */
static void test_reservation(void **state)
{
	struct ht_vma vma[] = {
		{ VA, VA + 2 * HT_TILE_SIZE, HT_VMA_ANON },
		{ VA + 16 * GIB, VA + (16ULL << 40), HT_VMA_ANON },
	};
	struct ht_space s;
	struct tu_map m;

	tu_map_open(&m, 64);
	ht_space_init(&s, TGID);
	for (int i = 0; i < 5; i++)
		tu_sample(&m, TGID, VA + (i * 100 + 20) * GIB + 12345);
	tu_sample(&m, TGID + 1, VA + 30 * GIB);
	tu_sample(&m, TGID, VA + 15 * GIB);
	assert_int_equal(ht_heatmap_collect(&m.hm), 0);
	map(&s, &m, vma, 2, 64 << 20);
	assert_int_equal(s.nr, 7);
	ht_space_join(&s, &m.hm);
	assert_int_equal(s.orphans, 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(s.spot[2 + i].recent, 1);
	/* A tile sampled since then shows as an orphan until the mappings are looked at again. */
	tu_sample(&m, TGID, VA + 900 * GIB);
	assert_int_equal(ht_heatmap_collect(&m.hm), 0);
	ht_space_join(&s, &m.hm);
	assert_int_equal(s.orphans, 2);
	map(&s, &m, vma, 2, 64 << 20);
	ht_space_join(&s, &m.hm);
	assert_int_equal(s.orphans, 1);
	ht_space_free(&s);
	tu_map_close(&m);
}

static void test_join(void **state)
{
	struct ht_space s;
	struct tu_map m;

	tu_map_open(&m, 64);
	ht_space_init(&s, TGID);
	tu_add_spots(&s, VA, 10, 0);
	for (int i = 0; i < 10; i += 3)
		tu_sample_w(&m, TGID, VA + i * HT_TILE_SIZE, 10 + i);
	tu_sample(&m, TGID + 1, VA + HT_TILE_SIZE);
	tu_sample(&m, TGID, VA - 1);
	tu_sample(&m, TGID, VA + 10 * HT_TILE_SIZE);
	assert_int_equal(ht_heatmap_collect(&m.hm), 0);
	ht_space_join(&s, &m.hm);
	assert_int_equal(s.orphans, 2);
	for (int i = 0; i < 10; i++) {
		const struct ht_live *l = tu_live(&m, TGID, s.spot[i].va);

		assert_true(s.spot[i].heat == (i % 3 ? 0 : l->rate));
		assert_int_equal(s.spot[i].tile, i % 3 ? 0 : l->id);
		assert_int_equal(s.spot[i].recent, i % 3 ? 0 : 10 + i);
	}
	/* Released tiles are forgotten at the next join. */
	ht_heatmap_release(&m.hm, TGID, 0, UINT64_MAX);
	ht_space_join(&s, &m.hm);
	assert_int_equal(s.orphans, 0);
	for (int i = 0; i < 10; i++)
		assert_true(!s.spot[i].tile && !s.spot[i].heat && !s.spot[i].recent);
	ht_space_free(&s);
	tu_map_close(&m);
}

/* ---- moves booked in the shadow ---- */

static void test_moved_pages(void **state)
{
	struct ht_space s;
	struct ht_spot *sp;

	ht_space_init(&s, TGID);
	tu_add_spot(&s, VA - HT_TILE_SIZE, whole_fast);
	sp = tu_add_spot(&s, VA, whole_slow);
	for (unsigned int p = 0; p < HT_TILE_PAGES; p += 2) {
		ht_space_moved(&s, sp, p, 1, 0);
		check_sums(&s);
		assert_int_equal(sp->in_tier[0], p / 2 + 1);
		assert_int_equal(ht_spot_tier(sp, p), 0);
		assert_int_equal(ht_spot_tier(sp, p + 1), 1);
	}
	ht_space_moved(&s, sp, 0, 1, 0); /* is there already */
	assert_int_equal(sp->in_tier[0], 256);
	ht_space_moved(&s, sp, 511, 1, 3);
	assert_int_equal(ht_spot_tier(sp, 511), 3);
	check_sums(&s);
	assert_int_equal(sp->queried, 1);
	ht_space_free(&s);
}

static void test_moved_whole(void **state)
{
	struct ht_space s;
	struct ht_spot *sp;

	ht_space_init(&s, TGID);
	sp = tu_add_spot(&s, VA, whole_slow);
	sp->flags = HT_SPOT_THP;
	for (int to = 0; to < 4; to++) {
		ht_space_moved(&s, sp, 0, HT_TILE_PAGES, to);
		assert_int_equal(sp->in_tier[to], HT_TILE_PAGES);
		check_sums(&s);
	}
	for (int to = 3; to >= 0; to--) {
		ht_space_moved(&s, sp, 0, HT_TILE_PAGES, to);
		assert_int_equal(sp->in_tier[to], HT_TILE_PAGES);
		assert_int_equal(ht_spot_tier(sp, 17), to);
		check_sums(&s);
	}
	ht_space_free(&s);
}

/* Of a spot with absent pages the counts do not say which page went: it is to be asked again. */
static void test_moved_partly_resident(void **state)
{
	const uint16_t some[HT_SPACE_TIERS] = { 0, 40 };
	struct ht_space s;
	struct ht_spot *sp;

	ht_space_init(&s, TGID);
	sp = tu_add_spot(&s, VA, some);
	for (unsigned int p = 0; p < 40; p++)
		ht_space_moved(&s, sp, p, 1, 0);
	assert_int_equal(sp->queried, 0);
	assert_int_equal(sp->in_tier[0], 40);
	assert_int_equal(sp->in_tier[1], 0);
	/* No more pages than there were, whatever is claimed to have moved. */
	for (unsigned int p = 40; p < HT_TILE_PAGES; p++)
		ht_space_moved(&s, sp, p, 1, 2);
	assert_int_equal(ht_spot_pages(sp), 40);
	check_sums(&s);
	ht_space_free(&s);
}

/* ---- the kernel's word ---- */

/* One node, in the tier asked for. */
static void set_tiers(struct ht_tiers *t, int tier)
{
	memset(t, 0, sizeof(*t));
	t->nr_nodes = 1;
	t->node[0] = (struct ht_node){ .id = 0, .tier = tier, .has_cpu = true };
	t->nr_tiers = tier + 1;
	t->tier[tier].nr_nodes = 1;
}

static char *map_tiles(size_t tiles)
{
	size_t len = (tiles + 1) * HT_TILE_SIZE;
	char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	p = (char *)(((uintptr_t)p + HT_TILE_SIZE - 1) & ~(HT_TILE_SIZE - 1));
	madvise(p, tiles * HT_TILE_SIZE, MADV_NOHUGEPAGE);
	return p;
}

static struct ht_placement *open_placement(const struct ht_tiers *tiers)
{
	struct ht_placement *pl;

	assert_int_equal(ht_placement_open(&pl, &ht_host_roots, tiers), 0);
	return pl;
}

/* A tile of ours, its node taken for a tier. */
struct one {
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	char *p;
};

static void start_one(struct one *x, int tier, const uint16_t in_tier[HT_SPACE_TIERS])
{
	x->p = map_tiles(1);
	set_tiers(&x->tiers, tier);
	x->pl = open_placement(&x->tiers);
	ht_space_init(&x->s, getpid());
	tu_add_spot(&x->s, (uintptr_t)x->p, in_tier);
}

static int query_one(struct one *x, uint32_t epoch)
{
	return ht_space_query(&x->s, &x->s.spot[0], x->pl, &x->tiers, epoch);
}

static void finish_one(struct one *x)
{
	ht_space_free(&x->s);
	ht_placement_close(x->pl);
	munmap(x->p, HT_TILE_SIZE);
}

static void test_query(void **state)
{
	for (int tier = 0; tier < 6; tier++) {
		unsigned int seen = tier < HT_SPACE_TIERS ? tier : HT_SPACE_TIERS - 1;
		struct one x;

		start_one(&x, tier, whole_fast);
		for (int i = 0; i < 60; i++)
			x.p[i * 7 * TU_PAGE] = 1;
		assert_int_equal(query_one(&x, 9), 0);
		assert_int_equal(x.s.spot[0].queried, 9);
		assert_int_equal(x.s.spot[0].since, 9);
		assert_int_equal(query_one(&x, 12), 0);
		assert_int_equal(x.s.spot[0].queried, 12);
		assert_int_equal(x.s.spot[0].since, 9);
		assert_int_equal(x.s.spot[0].flags, 0);
		assert_int_equal(x.s.spot[0].in_tier[seen], 60);
		assert_int_equal(ht_spot_pages(&x.s.spot[0]), 60);
		assert_null(x.s.spot[0].place);
		check_sums(&x.s);
		madvise(x.p, HT_TILE_SIZE, MADV_DONTNEED);
		assert_int_equal(query_one(&x, 10), 0);
		assert_int_equal(ht_spot_pages(&x.s.spot[0]), 0);
		assert_int_equal(ht_spot_tier(&x.s.spot[0], 0), HT_ABSENT);
		check_sums(&x.s);
		finish_one(&x);
	}
}

/* New pages that are not in the fastest tier. */
static void test_spilled(void **state)
{
	for (int tier = 0; tier < 2; tier++) {
		struct one x;

		start_one(&x, tier, none);
		for (int i = 0; i < 60; i++)
			x.p[i * TU_PAGE] = 1;
		assert_int_equal(query_one(&x, 9), 0);
		assert_int_equal(x.s.spilled[1], tier ? 60 : 0);
		/* What was there is not new. */
		assert_int_equal(query_one(&x, 10), 0);
		assert_int_equal(x.s.spilled[1], tier ? 60 : 0);
		x.p[100 * TU_PAGE] = 1;
		assert_int_equal(query_one(&x, 11), 0);
		assert_int_equal(x.s.spilled[1], tier ? 61 : 0);
		/* Nor is what came from the fastest tier. */
		set_tiers(&x.tiers, !tier);
		assert_int_equal(query_one(&x, 12), 0);
		assert_int_equal(x.s.spilled[1], tier ? 61 : 0);
		finish_one(&x);
	}
}

/* A node in no tier is not ours to look at. */
static void test_query_untiered_node(void **state)
{
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	char *p = map_tiles(1);

	set_tiers(&tiers, 0);
	tiers.node[0].tier = -1;
	pl = open_placement(&tiers);
	ht_space_init(&s, getpid());
	tu_add_spot(&s, (uintptr_t)p, whole_fast);
	*p = 1;
	assert_int_equal(ht_space_query(&s, &s.spot[0], pl, &tiers, 9), 0);
	assert_int_equal(ht_spot_pages(&s.spot[0]), 0);
	check_sums(&s);
	ht_space_free(&s);
	ht_placement_close(pl);
	munmap(p, HT_TILE_SIZE);
}

static void test_query_huge(void **state)
{
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	char *p = map_tiles(2);

	if (madvise(p, 2 * HT_TILE_SIZE, MADV_HUGEPAGE)) {
		print_message("no transparent huge pages here\n");
		skip();
	}
	set_tiers(&tiers, 1);
	pl = open_placement(&tiers);
	ht_space_init(&s, getpid());
	tu_add_spots(&s, (uintptr_t)p, 2, 0);
	p[0] = p[HT_TILE_SIZE] = 1;
	/* The second one is split: the kernel maps its pages one by one. */
	madvise(p + HT_TILE_SIZE + 5 * TU_PAGE, TU_PAGE, MADV_DONTNEED);
	for (int i = 0; i < 2; i++)
		assert_int_equal(ht_space_query(&s, &s.spot[i], pl, &tiers, 3), 0);
	check_sums(&s);
	if (strcmp(ht_placement_backend(pl), "pagemap") || s.spot[0].in_tier[1] != HT_TILE_PAGES) {
		print_message("no huge page to be had, or no way to tell\n");
		skip();
	}
	assert_int_equal(s.spot[0].flags & HT_SPOT_THP, HT_SPOT_THP);
	assert_int_equal(s.spot[1].in_tier[1], HT_TILE_PAGES - 1);
	assert_int_equal(s.spot[1].flags & HT_SPOT_THP, 0);
	ht_space_free(&s);
	ht_placement_close(pl);
	munmap(p, 2 * HT_TILE_SIZE);
}

/* What another process maps as well is not ours to move, and does not count. */
static void test_query_shared(void **state)
{
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	char *p = map_tiles(1);
	int go[2];
	pid_t child;
	char c;

	set_tiers(&tiers, 0);
	pl = open_placement(&tiers);
	ht_space_init(&s, getpid());
	tu_add_spots(&s, (uintptr_t)p, 1, 0);
	assert_ptr_not_equal(mmap(p, 4 * TU_PAGE, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
			     MAP_FAILED);
	p[0] = p[8 * TU_PAGE] = p[9 * TU_PAGE] = 1;
	assert_int_equal(pipe(go), 0);
	child = fork();
	if (!child) {
		close(go[1]);
		p[0]++;
		_exit(read(go[0], &c, 1) < 0);
	}
	close(go[0]);
	while (*(volatile char *)p != 2)
		usleep(1000);
	p[9 * TU_PAGE]++; /* a copy of our own */
	assert_int_equal(ht_space_query(&s, &s.spot[0], pl, &tiers, 3), 0);
	assert_int_equal(ht_spot_pages(&s.spot[0]),
			 strcmp(ht_placement_backend(pl), "pagemap") ? 3 : 1);
	check_sums(&s);
	close(go[1]);
	waitpid(child, NULL, 0);
	assert_int_equal(ht_space_query(&s, &s.spot[0], pl, &tiers, 4), 0);
	assert_int_equal(ht_spot_pages(&s.spot[0]), 3);
	ht_space_free(&s);
	ht_placement_close(pl);
	munmap(p, HT_TILE_SIZE);
}

/* Spots never asked about come first; then all of them in turn. */
static void test_refresh_in_turn(void **state)
{
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	char *p = map_tiles(20);

	set_tiers(&tiers, 0);
	pl = open_placement(&tiers);
	ht_space_init(&s, getpid());
	tu_add_spots(&s, (uintptr_t)p, 20, 0);
	s.spot[19].queried = s.spot[4].queried = 0;
	assert_int_equal(ht_space_refresh(&s, pl, &tiers, 100, 2), 2);
	assert_int_equal(s.spot[19].queried, 100);
	assert_int_equal(s.spot[4].queried, 100);
	for (uint32_t e = 101; e < 105; e++)
		assert_int_equal(ht_space_refresh(&s, pl, &tiers, e, 5), 5);
	for (size_t i = 0; i < 20; i++)
		assert_in_range(s.spot[i].queried, 101, 104);
	/* At most once an epoch each. */
	assert_int_equal(ht_space_refresh(&s, pl, &tiers, 200, 1000), 20);
	assert_int_equal(ht_space_refresh(&s, pl, &tiers, 200, 1000), 0);
	check_sums(&s);
	ht_space_free(&s);
	ht_space_init(&s, getpid());
	assert_int_equal(ht_space_refresh(&s, pl, &tiers, 1, 10), 0);
	ht_placement_close(pl);
	munmap(p, 20 * HT_TILE_SIZE);
}

static void test_due(void **state)
{
	struct ht_space s;

	ht_space_init(&s, TGID);
	tu_add_spots(&s, VA, 6400, 0);
	for (size_t i = 0; i < s.nr; i++)
		s.spot[i].queried = 1;
	assert_int_equal(ht_space_due(&s, 6400, 0), 100);
	/* A fourth of the pages as spots, and of two equal spaces half of that for each. */
	assert_int_equal(ht_space_due(&s, 6400, 512), 100 + 128);
	assert_int_equal(ht_space_due(&s, 12800, 512), 100 + 64);
	assert_true(ht_space_due(&s, 6400, UINT64_MAX) >= 6400);
	assert_true(ht_space_due(&s, 6400, UINT64_MAX) <= 1 << 16);
	s.spot[6399].queried = 0;
	assert_true(ht_space_due(&s, 6400, 0) >= 6400);
	s.nr = 40;
	assert_int_equal(ht_space_due(&s, 40, 0), 4);
	/* One block of 2 MiB that is given back is enough to look at all of a small space. */
	assert_true(ht_space_due(&s, 40, 512) >= 40);
	s.nr = 0;
	assert_true(ht_space_due(&s, 0, 512) > 0);
	s.nr = 6400;
	ht_space_free(&s);
}

/* Few have a turn in each epoch; of many each comes to it, and never more than a few hundred at
 * once. */
static void test_turns(void **state)
{
	static const size_t many[] = { 257, 1000, 10000 };

	for (size_t i = 0; i < 256; i++)
		assert_true(ht_space_turn(i, 256, 7));
	for (size_t k = 0; k < sizeof(many) / sizeof(many[0]); k++) {
		size_t nr = many[k], all = 0, rounds = (nr + 255) / 256;

		for (uint32_t e = 5; e < 5 + rounds; e++) {
			size_t now = 0;

			for (size_t i = 0; i < nr; i++)
				now += ht_space_turn(i, nr, e);
			assert_in_range(now, 1, 256);
			all += now;
		}
		assert_int_equal(all, nr);
	}
}

static void test_process_gone(void **state)
{
	struct ht_placement *pl;
	struct ht_tiers tiers;
	struct ht_space s;
	pid_t child = fork();

	if (!child)
		_exit(0);
	waitpid(child, NULL, 0);
	set_tiers(&tiers, 0);
	pl = open_placement(&tiers);
	ht_space_init(&s, child);
	tu_add_spots(&s, VA, 3, 0);
	assert_int_equal(ht_space_query(&s, &s.spot[0], pl, &tiers, 2), -ESRCH);
	assert_int_equal(ht_space_refresh(&s, pl, &tiers, 2, 10), -ESRCH);
	check_sums(&s);
	ht_space_free(&s);
	ht_placement_close(pl);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_map_keeps_spots),
		cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_moved_pages),
		cmocka_unit_test(test_moved_whole),
		cmocka_unit_test(test_moved_partly_resident),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_query_untiered_node),
		cmocka_unit_test(test_spilled),
		cmocka_unit_test(test_query_huge),
		cmocka_unit_test(test_query_shared),
		cmocka_unit_test(test_refresh_in_turn),
		cmocka_unit_test(test_due),
		cmocka_unit_test(test_turns),
		cmocka_unit_test(test_process_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
