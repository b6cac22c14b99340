// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Plans for address spaces made up here, ranked by density as the default policy does. Every plan
 * is checked against what holds for any plan, and carried out in the shadow.
 */
#include "test_util.h"

#include "planner.h"

#define TGID 4711
#define VA 0x7f1200000000ULL
#define PLENTY (1U << 30)
#define T HT_TILE_PAGES

struct fix {
	struct tu_map m;
	struct ht_space s[2], *space[2];
	size_t nr_spaces;
	struct ht_ranges rs;
	struct ht_range *range;
	struct ht_plan plan;
	struct ht_move *move;
	struct ht_plan_params par;
	uint64_t rnd;
};

static struct fix *start_sized(size_t cap, uint64_t seed)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));
	const size_t max_ranges = 4096;

	tu_map_open(&f->m, 8000);
	for (int i = 0; i < 2; i++) {
		ht_space_init(&f->s[i], TGID + i);
		f->space[i] = &f->s[i];
	}
	f->nr_spaces = 1;
	f->range = tu_zalloc(max_ranges, sizeof(*f->range));
	f->move = tu_zalloc(cap, sizeof(*f->move));
	assert_int_equal(ht_ranges_init(&f->rs, f->range, max_ranges), 0);
	assert_int_equal(ht_plan_init(&f->plan, f->move, cap, max_ranges), 0);
	f->par = (struct ht_plan_params){
		.nr_tiers = 2,
		.free_pages = { 0, PLENTY, PLENTY },
		.lat_ns = { 100, 300, 1000 },
		.budget_pages = PLENTY,
		.accesses = 1e9,
		.page_ns = 1000,
		.horizon = 40,
		.skip_loss = true,
		.epoch = 100,
	};
	f->rnd = seed;
	return f;
}

static struct fix *start(uint64_t seed)
{
	return start_sized(16384, seed);
}

static void finish(struct fix *f)
{
	ht_plan_free(&f->plan);
	ht_ranges_free(&f->rs);
	for (int i = 0; i < 2; i++)
		ht_space_free(&f->s[i]);
	tu_map_close(&f->m);
	free(f->range);
	free(f->move);
	free(f);
}

/* ---- what holds for any plan ---- */

static uint32_t pages_of(const struct fix *f, const struct ht_plan_item *it)
{
	const struct ht_spot *sp = &f->space[it->space]->spot[it->spot];
	uint64_t mask[HT_TILE_PAGES / 64];
	uint32_t n = 0;

	ht_ranges_pages(&f->m.hm, sp, it->levels, mask);
	for (unsigned int p = 0; p < T; p++)
		n += mask[p / 64] >> (p % 64) & 1 && ht_spot_tier(sp, p) == it->from;
	return n < sp->in_tier[it->from] ? n : sp->in_tier[it->from];
}

static void check_item(const struct fix *f, size_t i)
{
	const struct ht_plan_item *it = &f->plan.item[i];
	const struct ht_range_info *info = &f->rs.info[it->range];
	const struct ht_range *r = &f->rs.range[it->range];
	const struct ht_move *mv = &f->plan.move[i];

	assert_true(it->range < f->rs.nr && it->admitted);
	assert_int_equal(it->space, info->space);
	assert_in_range(it->spot, info->first, info->first + info->nr - 1);
	assert_int_equal(it->levels, info->levels);
	assert_true(it->from != it->to && it->from < f->par.nr_tiers && it->to < f->par.nr_tiers);
	assert_in_range(it->pages, 1, pages_of(f, it));
	assert_int_equal(mv->start, f->space[it->space]->spot[it->spot].va);
	assert_int_equal(mv->tgid, f->space[it->space]->tgid);
	assert_int_equal(mv->pages, it->pages);
	assert_int_equal(mv->from_tier, it->from);
	assert_int_equal(mv->to_tier, it->to);
	assert_int_equal(mv->score, r->score);
	assert_int_equal(mv->density, r->density);
	assert_int_equal(mv->cut, f->plan.cut_score);
	assert_int_equal(mv->admitted, 1);
}

static bool same_pages(const struct ht_plan_item *a, const struct ht_plan_item *b)
{
	return a->space == b->space && a->spot == b->spot && a->from == b->from &&
	       a->levels & b->levels;
}

/* No page twice; exchanges go up for more than they come down for. */
static void check_pairs(const struct fix *f, size_t i)
{
	const struct ht_plan_item *it = &f->plan.item[i], *up;

	for (size_t k = 0; k < i; k++)
		assert_false(same_pages(it, &f->plan.item[k]));
	if (it->serves < 0)
		return;
	assert_true(it->to > it->from);
	assert_true((size_t)it->serves > i && (size_t)it->serves < f->plan.nr);
	up = &f->plan.item[it->serves];
	assert_true(up->to < up->from && up->to == it->from);
	assert_true(f->rs.range[up->range].score > f->rs.range[it->range].score);
	assert_true(f->plan.move[it->serves].victim_density < f->plan.move[it->serves].density);
	assert_int_equal(f->plan.move[i].gain_ns, f->plan.move[it->serves].gain_ns);
	assert_int_equal(f->plan.move[i].cost_ns, f->plan.move[it->serves].cost_ns);
}

/* In the order of the plan, no tier ever lacks the memory for the next move. */
static void check_room(const struct fix *f)
{
	int64_t have[HT_SPACE_TIERS];

	for (unsigned int t = 0; t < HT_SPACE_TIERS; t++)
		have[t] = f->par.free_pages[t];
	for (size_t i = 0; i < f->plan.nr; i++) {
		const struct ht_plan_item *it = &f->plan.item[i];

		have[it->to] -= it->pages;
		have[it->from] += it->pages;
		assert_true(have[it->to] >= 0);
	}
	/* Of the fastest tier, the reserve stays, or what there was of it. */
	assert_true(have[0] >= (int64_t)f->par.reserve_pages[0] ||
		    have[0] >= (int64_t)f->par.free_pages[0]);
}

static uint64_t hot_in_slow(const struct fix *f)
{
	uint64_t left = f->plan.capacity[0], n = 0;

	for (size_t i = 0; i < f->rs.nr; i++) {
		const struct ht_range *r = &f->rs.range[f->plan.order[i]];

		assert_true(!i || f->rs.range[f->plan.order[i - 1]].score >= r->score);
		if (r->pages > left)
			break;
		left -= r->pages;
		if (r->heat) /* what was never sampled is not missed up there */
			n += r->pages - r->fast_pages;
	}
	return n;
}

static void check_plan(const struct fix *f)
{
	uint64_t up = 0, down = 0;

	assert_true(f->plan.nr <= f->plan.cap);
	for (size_t i = 0; i < f->plan.nr; i++) {
		check_item(f, i);
		if (f->plan.nr < 3000)
			check_pairs(f, i);
		if (f->plan.item[i].to < f->plan.item[i].from)
			up += f->plan.item[i].pages;
		else
			down += f->plan.item[i].pages;
	}
	assert_int_equal(f->plan.promote, up);
	assert_int_equal(f->plan.demote, down);
	assert_true(up + down <= f->par.budget_pages);
	check_room(f);
	assert_int_equal(f->plan.hot_in_slow, hot_in_slow(f));
}

static void make(struct fix *f)
{
	tu_join(&f->m, f->space, f->nr_spaces);
	assert_int_equal(ht_ranges_build(&f->rs, f->space, f->nr_spaces, &f->m.hm, f->par.epoch),
			 0);
	for (size_t i = 0; i < f->rs.nr; i++)
		f->rs.range[i].score = f->rs.range[i].density;
	ht_plan_make(&f->plan, &f->rs, f->space, f->nr_spaces, &f->m.hm, &f->par);
	check_plan(f);
}

/* Carries the plan out in the shadow. */
static void apply(struct fix *f)
{
	for (size_t i = 0; i < f->plan.nr; i++) {
		const struct ht_plan_item *it = &f->plan.item[i];
		struct ht_spot *sp = &f->space[it->space]->spot[it->spot];
		uint64_t mask[HT_TILE_PAGES / 64];
		uint32_t n = 0;

		if (!it->admitted)
			continue;
		ht_ranges_pages(&f->m.hm, sp, it->levels, mask);
		for (unsigned int p = 0; p < T && n < it->pages; p++) {
			if (!(mask[p / 64] >> (p % 64) & 1) || ht_spot_tier(sp, p) != it->from)
				continue;
			ht_space_moved(f->space[it->space], sp, p, 1, it->to);
			n++;
		}
		sp->moved = f->par.epoch;
		f->par.free_pages[it->to] -= n;
		f->par.free_pages[it->from] += n;
	}
	f->par.epoch++;
}

static uint64_t planned(const struct fix *f)
{
	return f->plan.promote + f->plan.demote;
}

/* Spots of a density each, heat a page, in a tier each. */
static void add(struct fix *f, size_t nr, uint32_t heat_per_page, int tier)
{
	struct ht_space *s = &f->s[0];
	size_t first = s->nr;

	tu_add_spots(s, VA + first * HT_TILE_SIZE, nr, tier);
	for (size_t i = first; i < first + nr; i++)
		tu_heat(&f->m, s, i, heat_per_page * T);
}

/* ---- free memory, exchange ---- */

static void test_free_memory_first(void **state)
{
	struct fix *f = start(1);

	add(f, 10, 0, 0);
	add(f, 20, 10, 1);
	f->par.free_pages[0] = 20 * T;
	make(f);
	assert_int_equal(f->plan.promote, 20 * T);
	assert_int_equal(f->plan.demote, 0);
	assert_int_equal(f->plan.move[0].victim_density, 0);
	assert_int_equal(f->plan.capacity[0], 30 * T);
	finish(f);
}

static void test_exchange_is_balanced(void **state)
{
	struct fix *f = start(1);

	add(f, 100, 1, 0);
	add(f, 50, 20, 1);
	add(f, 100, 1, 1);
	make(f);
	assert_int_equal(f->plan.promote, 50 * T);
	assert_int_equal(f->plan.demote, 50 * T);
	assert_int_equal(f->plan.hot_in_slow, 50 * T);
	apply(f);
	make(f);
	assert_int_equal(planned(f), 0);
	assert_int_equal(f->plan.hot_in_slow, 0);
	finish(f);
}

/* Half of it into free memory, the rest against the coldest. */
static void test_free_then_exchange(void **state)
{
	struct fix *f = start(1);
	bool demoting = false;

	add(f, 50, 2, 0);
	add(f, 50, 1, 0);
	add(f, 40, 20, 1);
	f->par.free_pages[0] = 25 * T;
	f->par.reserve_pages[0] = 5 * T;
	make(f);
	assert_int_equal(f->plan.promote, 40 * T);
	assert_int_equal(f->plan.demote, 20 * T);
	for (size_t i = 0; i < f->plan.nr; i++) {
		const struct ht_plan_item *it = &f->plan.item[i];

		demoting |= it->to > it->from;
		if (it->to > it->from)
			assert_in_range(it->spot, 50, 99);
		assert_true(demoting || i < 20);
	}
	finish(f);
}

static void test_hottest_against_coldest(void **state)
{
	struct fix *f = start(1);

	for (int i = 0; i < 8; i++)
		add(f, 10, 1 + i, 0);
	for (int i = 0; i < 8; i++)
		add(f, 10, 4 + 4 * i, 1);
	f->par.budget_pages = 40 * T;
	make(f);
	assert_int_equal(f->plan.promote, 20 * T);
	for (size_t i = 0; i < f->plan.nr; i++) {
		const struct ht_plan_item *it = &f->plan.item[i];

		if (it->to > it->from)
			assert_in_range(it->spot, 0, 19);
		else
			assert_in_range(it->spot, 140, 159);
	}
	finish(f);
}

static void since(struct fix *f, uint32_t epoch)
{
	for (size_t i = 0; i < f->s[0].nr; i++)
		f->s[0].spot[i].since = epoch;
}

/* The first round of a scan looks no different. */
static void test_cold_memory_has_to_be_known(void **state)
{
	struct fix *f = start(1);

	f->par.margin = 1.3;
	add(f, 60, 0, 0);
	add(f, 60, 10, 1); /* twice the mean */
	since(f, f->par.epoch);
	make(f);
	assert_int_equal(planned(f), 0);
	since(f, f->par.epoch - 20);
	make(f);
	assert_int_equal(f->plan.promote, 60 * T);
	since(f, f->par.epoch - 5);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* So many samples of each spot, by tier, in each of so many epochs. */
static void sample(struct fix *f, uint32_t fast, uint32_t slow, unsigned int epochs)
{
	const struct ht_space *s = &f->s[0];

	for (; epochs; epochs--) {
		for (size_t i = 0; i < s->nr; i++)
			tu_spray(&f->m, s->tgid, s->spot[i].va, s->spot[i].in_tier[0] ? fast : slow,
				 &f->rnd);
		tu_join(&f->m, f->space, f->nr_spaces);
	}
}

static struct fix *start_unknown(void)
{
	struct fix *f = start(1);

	f->par.margin = 1.3;
	add(f, 60, 0, 0);
	add(f, 60, 0, 1);
	since(f, f->par.epoch);
	return f;
}

/* What is sampled in every epoch does not wait for its turn: it is as hot as it looks. */
static void test_what_is_always_seen_is_known(void **state)
{
	struct fix *f = start_unknown();

	sample(f, 100, 500, 3);
	make(f);
	assert_int_equal(planned(f), 0);
	sample(f, 100, 500, 1);
	make(f);
	assert_int_equal(f->plan.promote, 60 * T);
	finish(f);
}

static void test_what_is_seldom_seen_is_not(void **state)
{
	struct fix *f = start_unknown();

	/* A sixth of the mean. */
	sample(f, 50, 550, 8);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);

	/* Seen once: its turn may come again. */
	f = start_unknown();
	sample(f, 500, 0, 1);
	sample(f, 0, 500, 8);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

static void test_what_stands_out_need_not_wait(void **state)
{
	struct fix *f = start(1);

	f->par.margin = 1.3;
	add(f, 110, 0, 0);
	add(f, 10, 10, 1); /* twelve times the mean */
	since(f, f->par.epoch);
	make(f);
	assert_int_equal(f->plan.promote, 10 * T);
	finish(f);
}

/* Nothing gives way to what moves into free memory. */
static void test_free_memory_need_not_wait(void **state)
{
	struct fix *f = start(1);

	f->par.margin = 1.3;
	f->par.free_pages[0] = 10 * T;
	add(f, 60, 0, 0);
	add(f, 60, 10, 1);
	since(f, f->par.epoch);
	make(f);
	assert_int_equal(f->plan.promote, 10 * T);
	assert_int_equal(f->plan.demote, 0);
	finish(f);
}

/* What is not known to be cold stays, and others that are go all the same. */
static void test_unknown_keeps_nobody(void **state)
{
	struct fix *f = start(1);

	f->par.margin = 1.3;
	add(f, 10, 0, 0);
	since(f, f->par.epoch);
	add(f, 50, 1, 0);
	add(f, 20, 10, 1); /* less than 3.5 times the mean */
	make(f);
	assert_int_equal(f->plan.promote, 20 * T);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_true(f->plan.item[i].spot >= 10);
	finish(f);
}

static void test_victims_of_few_pages(void **state)
{
	const uint16_t few[HT_SPACE_TIERS] = { 3 };
	struct fix *f = start(1);

	for (size_t i = 0; i < 1000; i++)
		tu_add_spot(&f->s[0], VA + i * HT_TILE_SIZE, few);
	add(f, 4, 20, 1);
	make(f);
	/* The room is there, in small change. */
	assert_int_equal(f->plan.promote, 4 * T);
	assert_in_range(f->plan.demote, 4 * T, 4 * T + 2);
	finish(f);
}

/* ---- bounds ---- */

static void test_budget(void **state)
{
	for (uint64_t budget = 0; budget < 20 * T; budget += 700) {
		struct fix *f = start(1);

		add(f, 50, 1, 0);
		add(f, 50, 20, 1);
		f->par.free_pages[0] = 3 * T;
		f->par.budget_pages = budget;
		make(f);
		/* Used up but for what no further exchange fits into. */
		assert_true(planned(f) + 2 * T > budget);
		assert_int_equal(f->plan.hot_in_slow, 50 * T);
		finish(f);
	}
}

/* Nothing but demotions for nobody in particular, all of these spots. */
static void assert_make_room(const struct fix *f, uint32_t first, uint32_t last)
{
	for (size_t i = 0; i < f->plan.nr; i++) {
		assert_int_equal(f->plan.item[i].serves, -1);
		assert_in_range(f->plan.item[i].spot, first, last);
	}
}

/* As much room is made as was missing, by what is cold for sure. */
static void test_room_for_what_spilled(void **state)
{
	struct fix *f = start(1);

	add(f, 30, 90, 0);
	add(f, 30, 0, 0);
	add(f, 30, 40, 0);
	f->par.spilled_pages[0] = 8 * T;
	make(f);
	assert_int_equal(f->plan.demote, 8 * T);
	assert_int_equal(f->plan.promote, 0);
	assert_make_room(f, 30, 59);
	/* No more than there is of that. */
	f->par.spilled_pages[0] = 50 * T;
	make(f);
	assert_int_equal(f->plan.demote, 30 * T);
	/* Above the reserve there was room, or is now. */
	f->par.reserve_pages[0] = 4 * T;
	f->par.free_pages[0] = 54 * T;
	make(f);
	assert_int_equal(planned(f), 0);
	f->par.free_pages[0] = 44 * T;
	make(f);
	assert_int_equal(f->plan.demote, 10 * T);
	/* It was not there long enough to be known. */
	for (size_t i = 30; i < 60; i++)
		f->s[0].spot[i].since = f->par.epoch - 1;
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* A child's heap is as idle as its parent's, but has not been for as long, and may not be there for
 * long. */
static void test_longest_idle_first(void **state)
{
	struct fix *f = start(1);

	add(f, 30, 90, 0);
	add(f, 30, 0, 0);
	make(f);
	make(f);
	tu_add_spots(&f->s[1], VA, 30, 0);
	f->nr_spaces = 2;
	f->par.spilled_pages[0] = 8 * T;
	make(f);
	assert_int_equal(f->plan.demote, 8 * T);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_int_equal(f->plan.item[i].space, 0);
	finish(f);
}

static void test_reserve_is_kept(void **state)
{
	struct fix *f = start(1);

	add(f, 50, 20, 1);
	f->par.free_pages[0] = 30 * T;
	f->par.reserve_pages[0] = 12 * T;
	make(f);
	assert_int_equal(f->plan.promote, 18 * T);
	apply(f);
	assert_int_equal(f->par.free_pages[0], 12 * T);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

static void test_reserve_is_refilled(void **state)
{
	struct fix *f = start(1);

	add(f, 30, 9, 0);
	add(f, 30, 3, 0);
	f->par.reserve_pages[0] = 12 * T;
	/* Not at once: above half the reserve it is left alone. */
	f->par.free_pages[0] = 7 * T;
	make(f);
	assert_int_equal(planned(f), 0);
	f->par.free_pages[0] = 2 * T;
	make(f);
	assert_int_equal(f->plan.promote, 0);
	assert_int_equal(f->plan.demote, 10 * T);
	assert_make_room(f, 30, 59);
	/* Bounded by what the slower tier can take, and by the budget. */
	f->par.free_pages[1] = 3 * T;
	make(f);
	assert_int_equal(f->plan.demote, 3 * T);
	f->par.free_pages[1] = PLENTY;
	f->par.budget_pages = 5 * T;
	make(f);
	assert_int_equal(f->plan.demote, 5 * T);
	finish(f);
}

static void test_slow_tier_full(void **state)
{
	struct fix *f = start(1);

	add(f, 50, 1, 0);
	add(f, 50, 20, 1);
	f->par.free_pages[1] = 0;
	make(f);
	assert_int_equal(planned(f), 0);
	f->par.free_pages[1] = 10 * T;
	make(f);
	assert_true(planned(f) >= 20 * T);
	finish(f);
}

static void test_plan_table_full(void **state)
{
	for (size_t cap = 1; cap < 30; cap++) {
		struct fix *f = start_sized(cap, 1);

		add(f, 50, 1, 0);
		add(f, 50, 20, 1);
		f->par.free_pages[0] = 3 * T;
		make(f);
		/* Pairs are whole, in that no demotion is left without its promotion. */
		assert_true(f->plan.nr + 1 >= cap);
		assert_int_equal(f->plan.demote,
				 f->plan.promote > 3 * T ? f->plan.promote - 3 * T : 0);
		finish(f);
	}
}

static void test_hold(void **state)
{
	struct fix *f = start(1);

	add(f, 50, 1, 0);
	add(f, 50, 20, 1);
	for (size_t i = 0; i < 100; i += 2)
		f->s[0].spot[i].hold = 101;
	make(f);
	assert_int_equal(f->plan.promote, 25 * T);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_int_equal(f->plan.item[i].spot % 2, 1);
	f->par.epoch = 101;
	make(f);
	assert_int_equal(f->plan.promote, 50 * T);
	finish(f);
}

/* ---- when not to move ---- */

/* A huge page that waits to be split does not move whole; once it is split, its pages do. */
static void test_waits_for_split(void **state)
{
	struct fix *f = start(1);

	add(f, 2, 0, 0);
	add(f, 4, 10, 1);
	f->par.free_pages[0] = 2 * T;
	for (size_t i = 2; i < 6; i++)
		f->s[0].spot[i].flags = HT_SPOT_THP;
	f->s[0].spot[2].split = f->s[0].spot[3].split = f->par.epoch - 1;
	f->s[0].spot[4].split = f->par.epoch - 2;
	make(f);
	assert_int_equal(f->plan.promote, 2 * T);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_true(f->plan.item[i].to == 1 || f->plan.item[i].spot >= 4);
	f->s[0].spot[2].flags = f->s[0].spot[3].flags = 0;
	make(f);
	assert_int_equal(f->plan.promote, 4 * T);
	finish(f);
}

static void test_equal_scores_stay(void **state)
{
	struct fix *f = start(1);

	for (int i = 0; i < 40; i++)
		add(f, 5, 7, i % 2);
	make(f);
	assert_int_equal(planned(f), 0);
	/* Nor for a score that differs by nothing but who comes first. */
	for (size_t i = 0; i < f->rs.nr; i++)
		f->rs.range[i].score = 5;
	ht_plan_make(&f->plan, &f->rs, f->space, 1, &f->m.hm, &f->par);
	assert_int_equal(planned(f), 0);
	finish(f);
}

static void test_uniform_stays(void **state)
{
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct fix *f = start(seed * 7919);
		uint64_t moved = 0;

		for (size_t i = 0; i < 2000; i++) {
			tu_add_spots(&f->s[0], VA + i * HT_TILE_SIZE, 1, i % 3 == 0 ? 0 : 1);
			tu_heat(&f->m, &f->s[0], i, tu_poisson(&f->rnd, 40));
		}
		/* A sample stands for 1000 accesses. */
		f->par.accesses = 2000 * 40 * 1000.0;
		for (int e = 0; e < 5; e++) {
			make(f);
			moved += planned(f);
			apply(f);
			f->m.mem.ctl->tick++;
			for (size_t i = 0; i < 2000; i++)
				tu_heat(&f->m, &f->s[0], i, tu_poisson(&f->rnd, 20));
		}
		/* Chance brings a few tiles out; no more than one in fifty may travel. */
		assert_true(moved <= 2000 * T / 50);
		finish(f);
	}
}

static void test_skip_loss(void **state)
{
	struct fix *f = start(1);
	double naive, pair = 2 * T;

	add(f, 10, 10, 0);
	add(f, 10, 30, 1);
	/* What the exchange of one page gains if the counts are taken at their word. */
	naive = 20.0 / (400 * T) * f->par.accesses * 200 * 40;
	f->par.page_ns = naive / 2 * 1.02;
	make(f);
	assert_int_equal(planned(f), 0);
	f->par.page_ns = naive / 2 * 0.8;
	make(f);
	assert_int_equal(f->plan.promote, 10 * T);
	assert_in_range(f->plan.move[1].gain_ns, naive * T * 0.9, naive * T);
	assert_true(fabs(f->plan.move[1].cost_ns / (f->par.page_ns * pair) - 1) < 0.01);
	/* A policy that decides by itself is asked, whatever the model says. */
	f->par.page_ns = naive * 10;
	f->par.skip_loss = false;
	make(f);
	assert_int_equal(f->plan.promote, 10 * T);
	for (size_t i = 0; i < f->plan.nr; i++)
		assert_true(f->plan.move[i].gain_ns < f->plan.move[i].cost_ns);
	/* Where accesses are not known there is nothing to weigh. */
	f->par.skip_loss = true;
	f->par.accesses = 0;
	make(f);
	assert_int_equal(f->plan.promote, 10 * T);
	finish(f);
}

/* However much is expected, it is no surer than the samples that it is expected from. */
static void test_evidence(void **state)
{
	struct fix *f = start(1);

	add(f, 1, 1, 0);
	add(f, 1, 4, 1);
	make(f);
	assert_int_equal(f->plan.promote, T);
	for (size_t i = 0; i < f->rs.nr; i++)
		f->rs.info[i].evidence /= T;
	ht_plan_make(&f->plan, &f->rs, f->space, 1, &f->m.hm, &f->par);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* Two spots that stand for pages counted alike, as sure as so many counts of each. */
static uint64_t exchanged_strata(uint32_t fast, uint32_t slow, double evidence)
{
	struct fix *f = start(1);
	uint64_t promote;

	f->par.margin = 1.3;
	add(f, 1, fast, 0);
	add(f, 1, slow, 1);
	make(f);
	for (size_t i = 0; i < f->rs.nr; i++) {
		f->range[i].flags |= HT_RANGE_STRATUM;
		f->rs.info[i].evidence = evidence;
	}
	ht_plan_make(&f->plan, &f->rs, f->space, 1, &f->m.hm, &f->par);
	promote = f->plan.promote;
	finish(f);
	return promote;
}

/* Of pages that were counted alike one may be hotter, or colder, than it was estimated. */
static void test_pages_apart(void **state)
{
	assert_int_equal(exchanged_strata(8, 10, 100), T);
	assert_int_equal(exchanged_strata(8, 10, 4), 0);
	assert_int_equal(exchanged_strata(9, 10, 100), 0); /* a margin in any case */
	/* Not sure at all, and yet ten times as hot. */
	assert_int_equal(exchanged_strata(1, 10, 0.1), T);
	assert_int_equal(exchanged_strata(5, 10, 0.1), 0);
	assert_int_equal(exchanged_strata(1, 10, 0), T);
}

/* Twice the latency, the horizon or the accesses: twice the gain. Fewer counts: less of it. */
static void test_gain_follows_the_model(void **state)
{
	double gain[5];

	for (int i = 0; i < 5; i++) {
		struct fix *f = start(1);
		uint32_t few = i == 4 ? 20 : 1;

		tu_add_spots(&f->s[0], VA, 1, 0);
		tu_add_spots(&f->s[0], VA + HT_TILE_SIZE, 1, 1);
		tu_heat(&f->m, &f->s[0], 0, 400 / few);
		tu_heat(&f->m, &f->s[0], 1, 2000 / few);
		f->par.skip_loss = false;
		f->par.lat_ns[1] += i == 1 ? 200 : 0;
		f->par.horizon *= i == 2 ? 2 : 1;
		f->par.accesses *= i == 3 ? 2 : 1;
		make(f);
		assert_int_equal(f->plan.nr, 2);
		gain[i] = f->plan.move[1].gain_ns;
		finish(f);
	}
	for (int i = 1; i < 4; i++)
		assert_true(fabs(gain[i] / gain[0] - 2) < 0.01);
	assert_true(gain[4] < gain[0] * 0.9);
}

static void test_cold_memory_stays(void **state)
{
	struct fix *f = start(1);

	add(f, 50, 0, 1);
	add(f, 5, 3, 1);
	f->par.free_pages[0] = 100 * T;
	make(f);
	assert_int_equal(f->plan.promote, 5 * T);
	/* Not for want of knowledge, nor to ask the policy. */
	f->par.accesses = 0;
	f->par.skip_loss = false;
	make(f);
	assert_int_equal(f->plan.promote, 5 * T);
	finish(f);
	f = start(1);
	add(f, 50, 0, 0);
	add(f, 50, 0, 1);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
	/* No ranges at all. */
	f = start(1);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* ---- shapes ---- */

static void test_straddling_range(void **state)
{
	struct fix *f = start(1);

	/* One range of 100 tiles, room for 30 of them. */
	add(f, 100, 20, 1);
	f->par.free_pages[0] = 30 * T + 100;
	make(f);
	assert_int_equal(f->plan.promote, 30 * T);
	apply(f);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* Colder memory makes room for it. */
static void test_straddling_range_exchanges(void **state)
{
	struct fix *f = start(1);

	add(f, 4, 0, 0);
	add(f, 30, 20, 0);
	add(f, 30, 20, 1);
	make(f);
	assert_int_equal(f->plan.promote, 4 * T);
	assert_int_equal(f->plan.demote, 4 * T);
	apply(f);
	assert_int_equal(f->s[0].in_tier[0], 34 * T);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f->s[0].spot[i].in_tier[1], T);
	make(f);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* Cold memory leaves each tier that all of the warm does not fit into. */
static void test_straddling_range_of_three_tiers(void **state)
{
	struct fix *f = start(1);

	f->par.nr_tiers = 3;
	f->par.free_pages[1] = f->par.reserve_pages[1] = 4 * T;
	add(f, 4, 0, 0);
	add(f, 30, 20, 0);
	add(f, 30, 20, 1);
	add(f, 4, 0, 1);
	add(f, 30, 20, 2);
	for (int e = 0; e < 8; e++) {
		make(f);
		apply(f);
	}
	assert_int_equal(planned(f), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(f->s[0].spot[i].in_tier[2], T);
		assert_int_equal(f->s[0].spot[64 + i].in_tier[2], T);
	}
	finish(f);
}

static void test_strata_move_apart(void **state)
{
	struct fix *f = start(5);
	uint32_t hot = 0, good = 0;

	tu_add_spots(&f->s[0], VA, 20, 0);
	tu_add_spots(&f->s[0], VA + 20 * HT_TILE_SIZE, 20, 1);
	for (size_t i = 0; i < 40; i++) {
		uint64_t va = f->s[0].spot[i].va;

		tu_give_detail(&f->m, &f->m.mem.tile[tu_sample(&f->m, TGID, va)]);
		for (unsigned int p = i % 8; p < T; p += 8)
			for (uint32_t n = tu_poisson(&f->rnd, 9); n; n--)
				tu_sample(&f->m, TGID, va + p * TU_PAGE);
	}
	for (int e = 0; e < 5; e++) {
		make(f);
		assert_true(f->plan.demote <= f->plan.promote + T);
		apply(f);
	}
	assert_int_equal(planned(f), 0);
	for (size_t i = 0; i < 40; i++) {
		for (unsigned int p = i % 8; p < T; p += 8, hot++)
			good += ht_spot_tier(&f->s[0].spot[i], p) == 0;
	}
	assert_true(good >= hot - hot / 200);
	finish(f);
}

static void test_two_spaces(void **state)
{
	struct fix *f = start(1);

	f->nr_spaces = 2;
	add(f, 30, 1, 0);
	tu_add_spots(&f->s[1], VA, 30, 1);
	for (size_t i = 0; i < 30; i++)
		tu_heat(&f->m, &f->s[1], i, 20 * T);
	make(f);
	assert_int_equal(f->plan.capacity[0], 30 * T);
	assert_int_equal(f->plan.promote, 30 * T);
	apply(f);
	assert_int_equal(f->s[0].in_tier[0], 0);
	assert_int_equal(f->s[1].in_tier[0], 30 * T);
	finish(f);
}

static void test_three_tiers(void **state)
{
	struct fix *f = start(1);

	f->par.nr_tiers = 3;
	add(f, 20, 1, 0);
	add(f, 20, 50, 1);
	add(f, 20, 10, 2);
	f->par.free_pages[1] = 8 * T;
	for (int e = 0; e < 8; e++) {
		make(f);
		apply(f);
	}
	assert_int_equal(planned(f), 0);
	for (size_t i = 20; i < 40; i++)
		assert_int_equal(f->s[0].spot[i].in_tier[0], T);
	for (size_t i = 40; i < 60; i++)
		assert_int_equal(f->s[0].spot[i].in_tier[1], T);
	finish(f);
}

/* ---- admission ---- */

static void test_admission(void **state)
{
	struct fix *f = start(1);
	uint64_t up = 0, down = 0;
	size_t i;

	add(f, 40, 1, 0);
	add(f, 20, 20, 1);
	f->par.free_pages[0] = 2 * T;
	f->par.reserve_pages[0] = 8 * T;
	make(f);
	assert_true(f->plan.nr > 30);
	/* Every third item is refused, be it a demotion for the reserve or a promotion. */
	for (i = 0; i < f->plan.nr; i++)
		if (f->plan.item[i].serves < 0)
			f->plan.move[i].admitted = i % 3 != 0;
	ht_plan_apply_admission(&f->plan);
	for (i = 0; i < f->plan.nr; i++) {
		const struct ht_plan_item *it = &f->plan.item[i];

		if (it->serves < 0)
			assert_int_equal(it->admitted, i % 3 != 0);
		else
			assert_int_equal(it->admitted, f->plan.item[it->serves].admitted);
		if (it->admitted && it->to > it->from)
			down += it->pages;
		else if (it->admitted)
			up += it->pages;
	}
	assert_int_equal(f->plan.promote, up);
	assert_int_equal(f->plan.demote, down);
	for (i = 0; i < f->plan.nr; i++)
		f->plan.move[i].admitted = 0;
	ht_plan_apply_admission(&f->plan);
	assert_int_equal(planned(f), 0);
	finish(f);
}

/* ---- any ---- */

static void add_random(struct fix *f, struct ht_space *s)
{
	static const uint32_t heats[] = { 0, 0, 1, 5, 20, 100, 100 };
	size_t runs = 5 + tu_below(&f->rnd, 20);
	uint64_t va = VA;

	while (runs--) {
		uint32_t nr = 1 + tu_below(&f->rnd, 12), heat = heats[tu_below(&f->rnd, 7)];
		uint32_t huge = tu_below(&f->rnd, 3) == 0,
			 home = tu_below(&f->rnd, f->par.nr_tiers);

		for (; nr--; va += HT_TILE_SIZE) {
			uint16_t in_tier[HT_SPACE_TIERS] = {};

			in_tier[home] = huge ? T : 1 + tu_below(&f->rnd, T / 2);
			if (!huge && tu_below(&f->rnd, 2))
				in_tier[tu_below(&f->rnd, f->par.nr_tiers)] += T / 4;
			tu_add_spot(s, va, in_tier)->flags = huge ? HT_SPOT_THP : 0;
			tu_heat(&f->m, s, s->nr - 1, tu_poisson(&f->rnd, heat * T / 8));
		}
		va += tu_below(&f->rnd, 2) * HT_TILE_SIZE;
	}
}

/* Heat of the pages in the fastest tier, and the most there could be. */
static void fast_heat(const struct fix *f, double *is, double *best)
{
	uint64_t left = f->plan.capacity[0];

	*is = *best = 0;
	for (size_t i = 0; i < f->rs.nr; i++) {
		const struct ht_range *r = &f->rs.range[f->plan.order[i]];
		double n = r->pages < left ? r->pages : left;

		*best += r->density / 65536.0 * n;
		left -= n;
		*is += r->density / 65536.0 * r->fast_pages;
	}
}

static void run_random(uint64_t seed, unsigned int nr_tiers, unsigned int *converged)
{
	struct fix *f = start(seed);
	double is, best;

	f->par.nr_tiers = nr_tiers;
	f->nr_spaces = 2;
	add_random(f, &f->s[0]);
	add_random(f, &f->s[1]);
	for (unsigned int t = 0; t < nr_tiers; t++) {
		f->par.free_pages[t] = tu_below(&f->rnd, 20) * T + tu_below(&f->rnd, T);
		f->par.reserve_pages[t] = tu_below(&f->rnd, 8) * T;
	}
	f->par.budget_pages = (1 + tu_below(&f->rnd, 60)) * T;
	f->par.page_ns = 1;
	for (int e = 0; e < 1000; e++) {
		make(f);
		apply(f);
		if (!planned(f))
			break;
	}
	/* The heat stays as it is: at some point all is in its place, and nothing moves any more.
	 */
	assert_int_equal(planned(f), 0);
	fast_heat(f, &is, &best);
	/* Whole tiles and short budgets leave a rest; a tier without free memory all of it. */
	*converged += is >= best * 0.9;
	finish(f);
}

static void test_random_two_tiers(void **state)
{
	unsigned int converged = 0;

	for (uint64_t seed = 1; seed <= 300; seed++)
		run_random(seed * 2654435761, 2, &converged);
	print_message("converged: %u of 300\n", converged);
	assert_true(converged >= 270);
}

static void test_random_three_tiers(void **state)
{
	unsigned int converged = 0;

	for (uint64_t seed = 1; seed <= 300; seed++)
		run_random(seed * 2246822519, 3, &converged);
	print_message("converged: %u of 300\n", converged);
	assert_true(converged >= 240);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_free_memory_first),
		cmocka_unit_test(test_exchange_is_balanced),
		cmocka_unit_test(test_free_then_exchange),
		cmocka_unit_test(test_hottest_against_coldest),
		cmocka_unit_test(test_cold_memory_has_to_be_known),
		cmocka_unit_test(test_what_is_always_seen_is_known),
		cmocka_unit_test(test_what_is_seldom_seen_is_not),
		cmocka_unit_test(test_what_stands_out_need_not_wait),
		cmocka_unit_test(test_free_memory_need_not_wait),
		cmocka_unit_test(test_victims_of_few_pages),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_reserve_is_kept),
		cmocka_unit_test(test_reserve_is_refilled),
		cmocka_unit_test(test_room_for_what_spilled),
		cmocka_unit_test(test_longest_idle_first),
		cmocka_unit_test(test_slow_tier_full),
		cmocka_unit_test(test_plan_table_full),
		cmocka_unit_test(test_hold),
		cmocka_unit_test(test_waits_for_split),
		cmocka_unit_test(test_equal_scores_stay),
		cmocka_unit_test(test_uniform_stays),
		cmocka_unit_test(test_skip_loss),
		cmocka_unit_test(test_evidence),
		cmocka_unit_test(test_pages_apart),
		cmocka_unit_test(test_unknown_keeps_nobody),
		cmocka_unit_test(test_gain_follows_the_model),
		cmocka_unit_test(test_cold_memory_stays),
		cmocka_unit_test(test_straddling_range),
		cmocka_unit_test(test_straddling_range_exchanges),
		cmocka_unit_test(test_straddling_range_of_three_tiers),
		cmocka_unit_test(test_strata_move_apart),
		cmocka_unit_test(test_two_spaces),
		cmocka_unit_test(test_three_tiers),
		cmocka_unit_test(test_admission),
		cmocka_unit_test(test_random_two_tiers),
		cmocka_unit_test(test_random_three_tiers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
