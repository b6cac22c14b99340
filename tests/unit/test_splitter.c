// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Which huge pages are split. Address spaces are made up, and the loader's dry run tells what it
 * would do; then pages of a real child are split, whose only node is taken for the slow tier.
 */
#include "test_util.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "splitter.h"

#define VA 0x7f1200000000ULL
#define PLENTY (1U << 30)
#define MOVES 4096
#define T HT_TILE_PAGES
#define HOT 40 /* pages of a skewed huge page */

struct fix {
	struct tu_map m;
	struct ht_space s, *space[1];
	struct ht_ranges rs;
	struct ht_range range[512];
	struct ht_plan plan;
	struct ht_move move[MOVES];
	struct ht_plan_params par;
	struct ht_splitter sp;
	struct ht_splitter_env env;
	struct ht_roots roots;
	struct ht_tiers tiers;
	pid_t child;
	char *mem; /* its */
	uint64_t rnd;
};

static struct fix *start(pid_t tgid, uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	tu_map_open(&f->m, 1000);
	ht_space_init(&f->s, tgid);
	f->space[0] = &f->s;
	assert_int_equal(ht_ranges_init(&f->rs, f->range, 512), 0);
	assert_int_equal(ht_plan_init(&f->plan, f->move, MOVES, 512), 0);
	f->par = (struct ht_plan_params){ .nr_tiers = 2,
					  .free_pages = { 0, PLENTY },
					  .lat_ns = { 100, 250 },
					  .budget_pages = PLENTY,
					  .accesses = 1e9,
					  .page_ns = 1000,
					  .horizon = 40,
					  .epoch = 1000 };
	assert_int_equal(ht_splitter_init(&f->sp, true), 0);
	assert_true(f->sp.on);
	f->env = (struct ht_splitter_env){ .space = f->space,
					   .hm = &f->m.hm,
					   .par = &f->par,
					   .tiers = &f->tiers,
					   .deadline_ns = UINT64_MAX,
					   .dry_run = true };
	f->rnd = seed;
	return f;
}

static void finish(struct fix *f)
{
	ht_splitter_free(&f->sp);
	ht_plan_free(&f->plan);
	ht_ranges_free(&f->rs);
	ht_space_free(&f->s);
	tu_map_close(&f->m);
	free(f);
}

static void add_huge(struct fix *f, size_t nr, int tier)
{
	size_t first = f->s.nr;

	tu_add_spots(&f->s, first ? f->s.spot[first - 1].va + HT_TILE_SIZE : VA, nr, tier);
	for (size_t i = first; i < f->s.nr; i++)
		f->s.spot[i].flags = HT_SPOT_THP;
}

/* n samples on every so many-th page of a spot, n / 10 anywhere in it. */
static void use(struct fix *f, size_t spot, uint32_t n, uint32_t pages)
{
	for (uint32_t i = 0; i < n; i++)
		tu_sample(&f->m, f->s.tgid,
			  f->s.spot[spot].va + tu_below(&f->rnd, pages) * (T / pages) * TU_PAGE);
	tu_spray(&f->m, f->s.tgid, f->s.spot[spot].va, n / 10, &f->rnd);
}

/* An epoch; huge pages that were, or would have been, split in it. */
static uint64_t epoch(struct fix *f)
{
	uint64_t before = f->sp.stats.split + f->sp.stats.would_split;

	tu_join(&f->m, f->space, 1);
	assert_int_equal(ht_ranges_build(&f->rs, f->space, 1, &f->m.hm, f->par.epoch), 0);
	for (size_t i = 0; i < f->rs.nr; i++)
		f->range[i].score = f->range[i].density;
	ht_plan_make(&f->plan, &f->rs, f->space, 1, &f->m.hm, &f->par);
	ht_splitter_run(&f->sp, &f->rs, &f->plan, &f->env);
	f->par.epoch++;
	return f->sp.stats.split + f->sp.stats.would_split - before;
}

/* ---- the price of fast memory ---- */

static void test_price(void **state)
{
	struct ht_range range[4] = {};
	struct ht_ranges rs = { .range = range, .nr = 4 };
	const uint64_t pages[4] = { 1000, 100, 500, 300 };
	const double per_page[4] = { 0.5, 40, 3, 0 };

	for (int i = 0; i < 4; i++) {
		range[i].pages = pages[i];
		range[i].density = per_page[i] * 65536;
	}
	assert_true(ht_split_price(&rs, 50) == 40);
	assert_true(ht_split_price(&rs, 100) == 3);
	assert_true(ht_split_price(&rs, 599) == 3);
	assert_true(ht_split_price(&rs, 600) == 0.5);
	assert_true(ht_split_price(&rs, 1600) == 0);
	assert_true(ht_split_price(&rs, PLENTY) == 0);
	rs.nr = 0;
	assert_true(ht_split_price(&rs, 0) == 0);
}

/* However densities spread: below the price there is no room, above it there is. */
static void test_price_any(void **state)
{
	static struct ht_range range[300];
	struct ht_ranges rs = { .range = range, .nr = 300 };
	uint64_t rnd = 5, all = 0;

	for (size_t i = 0; i < rs.nr; i++) {
		range[i].pages = 1 + tu_below(&rnd, 2000);
		range[i].density = tu_rnd(&rnd) >> tu_below(&rnd, 60) | 8;
		all += range[i].pages;
	}
	for (uint64_t capacity = 0; capacity < all; capacity += 997) {
		double price = ht_split_price(&rs, capacity) * 65536;
		uint64_t above = 0, from = 0;

		for (size_t i = 0; i < rs.nr; i++) {
			above += range[i].density > price * 1.25 ? range[i].pages : 0;
			from += range[i].density >= price / 1.25 ? range[i].pages : 0;
		}
		assert_true(above <= capacity && from > capacity);
	}
}

/* ---- what a split gains ---- */

static struct ht_levels levels(uint32_t hot, uint32_t count, uint32_t others)
{
	struct ht_levels h = {};

	h.nr[count][1] = hot;
	h.nr[others][1] += T - hot;
	ht_levels_sum(&h);
	return h;
}

static void test_gain(void **state)
{
	struct ht_levels skewed = levels(HOT, 10, 0), even = levels(0, 10, 3),
			 few = levels(0, 1, 0);
	struct ht_split_gain g;

	/* All its heat on 40 pages: at its own density nothing is won by the whole, nearly all by
	 * these. */
	g = ht_split_gain(&skewed, 1000, 1000.0 / T);
	assert_true(g.heat > 800 && g.heat < 1000 - 1000.0 * HOT / T);
	assert_int_equal(g.pages, HOT);
	/* The cheaper fast memory is, the less: the whole is worth as much. */
	for (double price = 1000.0 / T; price > 1e-6; price /= 2) {
		double last = g.heat;

		g = ht_split_gain(&skewed, 1000, price);
		assert_true(g.heat > -1e-6 && g.heat < last + 1e-6);
	}
	assert_true(g.heat < 1);
	/* Dearer than the hottest page, or no difference, or nothing known: nothing. */
	g = ht_split_gain(&skewed, 1000, 1000);
	assert_true(g.heat == 0 && g.pages == 0);
	g = ht_split_gain(&even, 1000, 1000.0 / T);
	assert_true(fabs(g.heat) < 1e-6);
	g = ht_split_gain(&few, 0, 0.5);
	assert_true(g.heat == 0);
	/* Pages that are there need not be moved. */
	skewed.nr[10][0] = skewed.nr[10][1];
	skewed.nr[10][1] = 0;
	g = ht_split_gain(&skewed, 1000, 1000.0 / T);
	assert_int_equal(g.pages, 0);
	assert_true(g.heat > 800);
}

/* ---- which are split ---- */

/* Skewed in either tier, uniformly hot and cold ones; fast memory for a quarter of all. */
static struct fix *mixed(uint64_t seed)
{
	struct fix *f = start(4711, seed);

	add_huge(f, 8, 0);
	add_huge(f, 24, 1);
	for (size_t i = 0; i < 12; i++)
		use(f, i, 400, HOT);
	for (size_t i = 12; i < 20; i++)
		use(f, i, 400, T);
	return f;
}

static void test_choice(void **state)
{
	struct fix *f = mixed(3);

	assert_int_equal(epoch(f), 12);
	assert_int_equal(f->rs.nr_skew, 12);
	assert_int_equal(f->sp.stats.failed, 0);
	/* Not again while they are held. */
	assert_int_equal(epoch(f), 0);
	finish(f);
}

/* Where all that is hot fits, huge pages stay. */
static void test_all_fits(void **state)
{
	struct fix *f = mixed(4);

	f->par.free_pages[0] = 32 * T;
	assert_int_equal(epoch(f), 0);
	assert_int_equal(f->rs.nr_skew, 12);
	/* What is left is cold. */
	f->par.free_pages[0] = 13 * T;
	assert_int_equal(epoch(f), 0);
	f->par.free_pages[0] = 0;
	assert_int_equal(epoch(f), 12);
	finish(f);
}

static void test_does_not_pay(void **state)
{
	struct fix *f = mixed(5);

	/* Few accesses: moving the pages costs more than their latency. */
	f->par.accesses = 100;
	assert_int_equal(epoch(f), 0);
	/* Tiers that hardly differ: the TLB misses cost more. */
	f->par.accesses = 1e9;
	f->par.lat_ns[1] = 109;
	assert_int_equal(epoch(f), 0);
	f->par.lat_ns[1] = 250;
	f->par.accesses = 0;
	assert_int_equal(epoch(f), 12);
	finish(f);
}

/* Too few samples to tell, or a tile that is left alone because pages of it could not be moved. */
static void test_not_sure(void **state)
{
	struct fix *f = start(4711, 6);

	add_huge(f, 40, 1);
	for (size_t i = 0; i < 40; i++)
		use(f, i, i < 20 ? 20 : 400, 4);
	f->s.spot[30].hold = f->par.epoch + 1;
	f->s.spot[31].flags = 0;
	f->par.free_pages[0] = 8 * T;
	assert_int_equal(epoch(f), 18);
	f->s.spot[30].hold = 0;
	assert_int_equal(epoch(f), 1);
	finish(f);
}

/* So many in an epoch, and while there is time. */
static void test_bounded(void **state)
{
	struct fix *f = start(4711, 7);
	uint32_t waiting = 0;

	add_huge(f, 160, 1);
	for (size_t i = 0; i < 160; i++)
		use(f, i, i % 2 ? 1500 : 300, HOT);
	assert_int_equal(epoch(f), HT_SPLIT_MAX);
	assert_int_equal(epoch(f), HT_SPLIT_MAX);
	assert_int_equal(epoch(f), 160 - 2 * HT_SPLIT_MAX);
	/* In a dry run none waits for its turn. */
	for (size_t i = 0; i < 160; i++)
		waiting += f->s.spot[i].split != 0;
	assert_int_equal(waiting, 0);
	finish(f);
	f = start(4711, 7);
	add_huge(f, 160, 1);
	use(f, 70, 1500, HOT);
	use(f, 10, 300, HOT);
	f->env.deadline_ns = 0; /* no time */
	assert_int_equal(epoch(f), 0);
	finish(f);
}

/* Attempts are apart twice as long each time. */
static void test_holds(void **state)
{
	struct fix *f = mixed(8);
	uint32_t last = 0, wait = 0;

	for (int tries = 0; tries < 5;) {
		for (size_t i = 0; i < 12; i++)
			use(f, i, 40, HOT);
		for (size_t i = 12; i < 20; i++)
			use(f, i, 40, T);
		if (!epoch(f))
			continue;
		if (last && wait)
			assert_int_equal(f->par.epoch - last, 2 * wait);
		wait = last ? f->par.epoch - last : 0;
		last = f->par.epoch;
		tries++;
	}
	finish(f);
}

static void test_off(void **state)
{
	struct fix *f = mixed(9);

	ht_splitter_free(&f->sp);
	assert_int_equal(ht_splitter_init(&f->sp, false), 0);
	assert_false(f->sp.on);
	assert_int_equal(epoch(f), 0);
	finish(f);
}

/* ---- pages of a child ---- */

#define HUGE_PAGES 6

static void child_start(struct fix *f)
{
	size_t len = HUGE_PAGES * HT_TILE_SIZE;
	int ready[2];
	char ok;

	f->mem = mmap(NULL, len + HT_TILE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0);
	assert_ptr_not_equal(f->mem, MAP_FAILED);
	f->mem = (char *)(((uintptr_t)f->mem + HT_TILE_SIZE - 1) & ~(HT_TILE_SIZE - 1));
	madvise(f->mem, len, MADV_HUGEPAGE);
	assert_int_equal(pipe(ready), 0);
	f->child = fork();
	if (!f->child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(f->mem, 1, len);
		/* The second one is locked. */
		if (syscall(SYS_mlock, f->mem + HT_TILE_SIZE, HT_TILE_SIZE) ||
		    write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &ok, 1), 1);
	close(ready[0]);
}

/* The node there is counts as the slow tier. NULL where there are no huge pages to be had. */
static struct fix *start_real(void)
{
	struct fix *f = start(1, 11);

	child_start(f);
	f->s.tgid = f->child;
	f->roots = (struct ht_roots){ .sys = "/sys", .proc = "/proc" };
	f->tiers.nr_nodes = 1;
	f->tiers.node[0] = (struct ht_node){ .id = 0, .tier = 1, .has_cpu = true };
	f->tiers.nr_tiers = 2;
	f->tiers.tier[1].nr_nodes = 1;
	assert_int_equal(ht_placement_open(&f->env.placement, &f->roots, &f->tiers), 0);
	tu_add_spots(&f->s, (uintptr_t)f->mem, HUGE_PAGES, 1);
	for (size_t i = 0; i < HUGE_PAGES; i++) {
		assert_int_equal(ht_space_query(&f->s, &f->s.spot[i], f->env.placement, &f->tiers,
						f->par.epoch),
				 0);
		use(f, i, 400, HOT);
	}
	f->env.dry_run = false;
	return f;
}

static size_t whole(const struct fix *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->s.nr; i++)
		n += f->s.spot[i].flags & HT_SPOT_THP;
	return n;
}

static void finish_real(struct fix *f)
{
	kill(f->child, SIGKILL);
	waitpid(f->child, NULL, 0);
	munmap(f->mem, HUGE_PAGES * HT_TILE_SIZE);
	ht_placement_close(f->env.placement);
	finish(f);
}

static void test_real(void **state)
{
	struct fix *f = start_real();

	if (whole(f) < HUGE_PAGES) {
		print_message("no huge pages to be had here\n");
		finish_real(f);
		skip();
	}
	/* Room for four of six: four would be promoted, and are not, for all are to be split. */
	f->par.free_pages[0] = 4 * T;
	assert_int_equal(epoch(f), HUGE_PAGES - 1);
	assert_true(f->plan.nr > 0);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_false(f->plan.item[i].admitted);
	assert_int_equal(f->plan.promote, 0);
	assert_int_equal(whole(f), 1);
	assert_true(f->s.spot[1].flags & HT_SPOT_THP);
	assert_int_equal(f->sp.stats.failed, 1);
	assert_int_equal(f->sp.stats.refused, 1);
	assert_true(f->sp.split_ns > 0);
	/* Now their hot pages are planned for one by one. */
	assert_int_equal(epoch(f), 0);
	assert_true(f->plan.promote >= (HUGE_PAGES - 1) * HOT && f->plan.promote <= 4 * T);
	finish_real(f);
}

int main(void)
{
	const struct CMUnitTest sums[] = {
		cmocka_unit_test(test_price),
		cmocka_unit_test(test_price_any),
		cmocka_unit_test(test_gain),
	};
	const struct CMUnitTest runs[] = {
		cmocka_unit_test(test_choice),	     cmocka_unit_test(test_all_fits),
		cmocka_unit_test(test_does_not_pay), cmocka_unit_test(test_not_sure),
		cmocka_unit_test(test_bounded),	     cmocka_unit_test(test_holds),
		cmocka_unit_test(test_off),	     cmocka_unit_test(test_real),
	};
	int failed = cmocka_run_group_tests(sums, NULL, NULL);

	/* Valgrind does not know the system call. */
	if (syscall(SYS_process_madvise, -1, NULL, 0, 0, 0) < 0 && errno == ENOSYS) {
		puts("no process_madvise(2) here: nothing would be split");
		return failed;
	}
	return failed + cmocka_run_group_tests(runs, NULL, NULL);
}
