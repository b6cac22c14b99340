// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Each policy of the gallery, loaded as the loader does it, on ranges and moves made up for it: the
 * order that its text promises, and that no value whatever breaks an op. Needs root.
 */
#include <errno.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* After the above: it needs their types. */
#include <cmocka.h>

#include <bpf/bpf.h>
#include <hypertier/ctl.h>

#include "bpflog.h"
#include "knobs.h"
#include "object.h"

#define TGID 4711
#define VA 0x7f0000000000ULL
#define TILE 512 /* pages */

static struct ht_object pol;
static struct ht_tick now; /* of the policy's last tick */

/* Opens and loads; knobs are set from a list that NULL ends. */
static void start_path(const char *path, enum ht_source_id source, const char *const *set)
{
	struct ht_object_opts opts = { .source = source, .generation = 1 };
	struct ht_init init = { .abi = HT_ABI_VERSION,
				.nr_tiers = 2,
				.source = source,
				.period = 1000,
				.epoch_ns = 500000000,
				.fast_pages = 1 << 16,
				.slow_pages = 1 << 18,
				.fast_nodes = 1,
				.fast_lat_ns = 80,
				.slow_lat_ns = 250 };
	int result = -1;

	ht_heatmap_size(&opts.size, 8ULL << 30);
	assert_int_equal(ht_object_open(&pol, path), 0);
	for (; set && *set; set++)
		assert_int_equal(ht_knobs_set(pol.obj, *set), 0);
	assert_int_equal(ht_object_load(&pol, &opts), 0);
	pol.mem.ctl->generation = 1;
	pol.mem.ctl->enabled = 1;
	assert_int_equal(ht_object_init_policy(&pol, &init, &result), 0);
	assert_int_equal(result, 0);
	now = (struct ht_tick){ .period = init.period };
}

static void start(const char *name, const char *const *set)
{
	char path[64];

	snprintf(path, sizeof(path), "build/policies/%s.bpf.o", name);
	start_path(path, HT_SRC_NONE, set);
	assert_string_equal(pol.info.name, name);
}

static int stop(void **state)
{
	if (pol.obj)
		ht_object_close(&pol);
	return 0;
}

/* An epoch of the usual kind; what differs is set in "now" before. */
static void tick(void)
{
	now.epoch++;
	now.epoch_ns = 500000000;
	now.samples = now.samples ?: 10000;
	now.total_heat = now.total_heat ?: 10000;
	assert_int_equal(ht_object_tick(&pol, &now), 0);
}

/* A range of so many tiles with so many samples in all and in this epoch. */
static struct ht_range *range(int i, uint32_t tiles, uint64_t heat, uint64_t recent)
{
	struct ht_range *r = &pol.ranges[i];

	*r = (struct ht_range){ .start = VA + ((uint64_t)i << 32),
				.tgid = TGID,
				.heat = heat,
				.recent = recent,
				.pages = tiles * TILE,
				.moved = ~0U,
				.level = HT_LEVEL_ALL,
				.score = 12345 };
	r->end = r->start + ((uint64_t)tiles << 21);
	r->density = tiles ? heat * 65536 / r->pages : 0;
	return r;
}

static void rank(int nr)
{
	assert_int_equal(ht_object_rank(&pol, nr), 0);
}

static uint64_t score(int i)
{
	return pol.ranges[i].score;
}

/* A promotion of one page that pays in any reckoning, unless fields are changed. */
static struct ht_move *promotion(void)
{
	pol.moves[0] = (struct ht_move){ .start = VA,
					 .score = 1 << 20,
					 .density = 1 << 20,
					 .victim_score = 16,
					 .victim_density = 16,
					 .gain_ns = 1000000,
					 .cost_ns = 2400,
					 .tgid = TGID,
					 .pages = 1,
					 .from_tier = 1,
					 .to_tier = 0,
					 .moved = ~0U,
					 .margin = 282,
					 .admitted = 7 };
	return &pol.moves[0];
}

static uint32_t admit(void)
{
	uint32_t admitted;

	pol.moves[0].admitted = 7;
	assert_int_equal(ht_object_admit(&pol, 1), 0);
	admitted = pol.moves[0].admitted;
	/* Without the op everything stays as the planner has it. */
	return pol.info.ops & HT_OP_ADMIT ? admitted : 1;
}

/* ---- all of them ---- */

static const uint64_t edge[] = { 0,	     1,		 2,    511,	   65535,
				 65536,	     1ULL << 31, ~0U,  1ULL << 32, 1ULL << 47,
				 1ULL << 63, ~0ULL - 1,	 ~0ULL };
#define EDGES (sizeof(edge) / sizeof(edge[0]))

static uint64_t rnd = 88172645463325252ULL;

static uint64_t any(void)
{
	rnd ^= rnd << 13;
	rnd ^= rnd >> 7;
	rnd ^= rnd << 17;
	return rnd % 3 ? edge[rnd / 3 % EDGES] : rnd >> (rnd / 3 % 64);
}

static void fill(void *p, size_t len)
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		uint64_t v = any();

		if (rnd & 1 << 20)
			v = v << 32 | (uint32_t)any();
		memcpy((char *)p + i, &v, 8);
	}
}

/* Every call comes back, has looked at all elements, and says the same when asked again. */
static void hostile(void)
{
	enum { NR = 4096 };
	static struct ht_range before[NR];
	int i, round;

	for (round = 0; round < 8; round++) {
		fill(&now, sizeof(now));
		assert_int_equal(ht_object_tick(&pol, &now), 0);
		for (i = 0; i < NR; i++)
			fill(&pol.ranges[i], sizeof(pol.ranges[i]));
		memset(&pol.ranges[0], 0, sizeof(pol.ranges[0]));
		memset(&pol.ranges[1], 0xff, sizeof(pol.ranges[1]));
		rank(NR);
		memcpy(before, pol.ranges, sizeof(before));
		rank(NR);
		for (i = 0; i < NR; i++)
			assert_int_equal(before[i].score, score(i));
		for (i = 0; i < NR; i++) {
			fill(&pol.moves[i], sizeof(pol.moves[i]));
			pol.moves[i].admitted = 7;
		}
		memset(&pol.moves[0], 0, sizeof(pol.moves[0]));
		pol.moves[0].admitted = 7;
		memset(&pol.moves[1], 0xff, offsetof(struct ht_move, admitted));
		assert_int_equal(ht_object_admit(&pol, NR), 0);
		for (i = 0; i < NR && pol.info.ops & HT_OP_ADMIT; i++)
			assert_in_range(pol.moves[i].admitted, 0, 1);
	}
	memset(&now, 0, sizeof(now));
}

/* After some epochs in steady state what is hot is ahead. */
static void hot_first(void)
{
	int i;

	now.fast_capacity = 40 * TILE;
	for (i = 0; i < 20; i++) {
		tick();
		range(0, 30, 6000, 6000);
		range(1, 200, 800, 800);
		range(2, 100, 0, 0)->flags = HT_RANGE_COLD;
		rank(3);
	}
	if (strcmp(pol.info.name, "random")) {
		if (score(0) <= score(1) || score(1) < score(2))
			fail_msg("%s: scores %lu, %lu, %lu", pol.info.name, score(0), score(1),
				 score(2));
	}
	promotion();
	assert_int_equal(admit(), 1);
	/* Into the slow tier, to make room: no policy stands in the way. */
	promotion()->from_tier = 0;
	pol.moves[0].to_tier = 1;
	assert_int_equal(admit(), 1);
}

static void test_all(void **state)
{
	struct ht_exit bye = { .kind = HT_EXIT_USER };
	const char *name;
	size_t i;
	glob_t g;

	assert_int_equal(glob("build/policies/*.bpf.o", 0, NULL, &g), 0);
	assert_true(g.gl_pathc >= 9);
	for (i = 0; i < g.gl_pathc; i++) {
		start_path(g.gl_pathv[i], HT_SRC_NONE, NULL);
		name = strrchr(g.gl_pathv[i], '/') + 1;
		assert_int_equal(strcspn(name, "."), strlen(pol.info.name));
		assert_memory_equal(name, pol.info.name, strlen(pol.info.name));
		hot_first();
		hostile();
		/* What it saw does not spoil it for good. */
		hot_first();
		assert_int_equal(ht_object_exit_policy(&pol, &bye), 0);
		stop(NULL);
	}
	globfree(&g);
}

/* ---- one by one ---- */

static void test_none(void **state)
{
	start("none", NULL);
	assert_int_equal(pol.info.flags, HT_POLICY_OBSERVE);
}

static void test_range(void **state)
{
	start("range", NULL);
	tick();
	range(0, 10, 1000, 10);
	range(1, 10, 1001, 10);
	range(2, 10, 1002, 10)->flags = HT_RANGE_STREAM;
	rank(3);
	assert_true(score(1) > score(0));
	assert_true(score(0) > score(2));
}

/* Eight samples a tile on average, times the factor; the bar is known from the second epoch on. */
static void threshold_ranges(__u64 times)
{
	int epoch;

	for (epoch = 0; epoch < 2; epoch++) {
		tick();
		range(0, 10, 80 * times, 0); /* 8 a tile */
		range(1, 10, 79 * times, 0);
		range(2, 10, 400 * times, 0);
		range(3, 10, 40 * times, 0)->fast_pages = 10 * TILE;
		range(4, 10, 39 * times, 0)->fast_pages = 10 * TILE;
		range(5, 10, 40 * times, 0)->fast_pages = 2 * TILE;
		range(6, 10, 0, 0)->writes = 40 * times;
		range(7, 10, 0, 0)->writes = 39 * times;
		range(8, 5, 2 * times, 0);
		rank(9);
	}
}

static void test_threshold(void **state)
{
	__u64 times;

	start("threshold", NULL);
	for (times = 1; times <= 10000; times *= 100) {
		threshold_ranges(times);
		assert_true(score(0) > score(1));     /* the bar */
		assert_int_equal(score(0), score(2)); /* no hotter than hot */
		assert_int_equal(score(3), score(0)); /* stays hot down to the lower bar */
		assert_int_equal(score(4), score(1));
		assert_int_equal(score(5), score(1)); /* which is for what is there already */
		assert_int_equal(score(6), score(0)); /* stores weigh more */
		assert_int_equal(score(7), score(1));
	}
}

/* Without an average there is no bar, and nothing moves. */
static void test_threshold_first(void **state)
{
	start("threshold", NULL);
	tick();
	range(0, 10, 1000000, 0);
	range(1, 10, 0, 0)->fast_pages = 10 * TILE;
	rank(2);
	assert_int_equal(score(0), score(1));
}

static void test_threshold_knobs(void **state)
{
	static const char *const set[] = { "hot=100", "cool=100", NULL };
	int epoch;

	start("threshold", set);
	for (epoch = 0; epoch < 2; epoch++) {
		tick();
		range(0, 10, 1000, 0);
		range(1, 10, 999, 0)->fast_pages = 10 * TILE;
		range(2, 230, 1, 0);
		rank(3);
	}
	assert_true(score(0) > score(1));
}

/* Ranges 0 .. 7 of one tile each, every one twice as hot as the one before. */
static void bins(void)
{
	int i;

	tick();
	for (i = 0; i < 8; i++)
		range(i, 1, 10 << i, 0);
	range(3, 1, 10 << 3, 0)->fast_pages = TILE;
	range(5, 1, 10 << 5, 0)->fast_pages = TILE;
	rank(8);
}

static void test_histogram(void **state)
{
	int i;

	start("histogram", NULL);
	now.fast_capacity = 2 * TILE + TILE / 2;
	bins();
	bins(); /* the bar is set by the last epoch's bins */
	assert_int_equal(score(7), score(6));
	assert_true(score(6) > score(5)); /* two fit and a half: the third is warm */
	assert_true(score(5) > score(4)); /* and stays */
	for (i = 0; i < 4; i++)
		assert_int_equal(score(i), score(4));
	/* A larger tier, a lower bar. */
	now.fast_capacity = 4 * TILE;
	bins();
	assert_int_equal(score(4), score(7));
	assert_true(score(4) > score(3));
	assert_true(score(3) > score(2));
	/* Warm memory in the slow tier is no better than cold. */
	range(3, 1, 10 << 3, 0);
	rank(4);
	assert_int_equal(score(3), score(2));
}

static void test_histogram_skew(void **state)
{
	static const char *const set[] = { "skew=2", NULL };

	start("histogram", set);
	now.fast_capacity = 2 * TILE;
	bins();
	bins();
	range(0, 1, 10 << 6, 0)->flags = HT_RANGE_THP;
	range(1, 1, 10 << 6, 0)->flags = HT_RANGE_THP | HT_RANGE_SKEWED;
	range(2, 1, 10 << 7, 0)->flags = HT_RANGE_THP | HT_RANGE_SKEWED;
	range(3, 1, 10, 0)->flags = HT_RANGE_THP | HT_RANGE_SKEWED;
	rank(4);
	assert_true(score(0) > score(1));
	assert_true(score(0) > score(2));
	assert_int_equal(score(3), score(1));
}

/* Epochs of one window: what each of two ranges is touched in it. */
static void window(uint64_t a, uint64_t b)
{
	int i;

	for (i = 0; i < 4; i++) {
		tick();
		range(0, 10, 4000, a);
		range(1, 10, 4000, b);
		rank(2);
	}
}

static void test_recency(void **state)
{
	start("recency", NULL);
	now.epoch = 3; /* the next one begins a window */
	window(1000, 1000);
	window(1000, 0);
	assert_true(score(0) > score(1));
	window(0, 1000);
	/* Each was touched in one of the last two windows, neither in both. */
	assert_int_equal(score(0), 0);
	assert_int_equal(score(1), 0);
	window(0, 1000);
	assert_int_equal(score(0), 0);
	assert_true(score(1) > 0);
	/* More often is a younger generation, a little more often is not. */
	window(1000, 1100);
	window(1000, 1100);
	assert_int_equal(score(0), score(1));
	window(1000, 4000);
	window(1000, 4000);
	assert_true(score(1) > score(0));
	/* A window in which the range was not there is one in which it was not touched. */
	now.epoch += 4;
	tick();
	range(0, 10, 4000, 1000);
	rank(1);
	assert_int_equal(score(0), 0);
}

static void test_recency_strata(void **state)
{
	static const struct {
		uint32_t level, flags;
	} row[] = { { 0, HT_RANGE_STRATUM },
		    { 1, HT_RANGE_STRATUM },
		    { 2, HT_RANGE_STRATUM },
		    { HT_LEVEL_ALL, HT_RANGE_STREAM } };
	int i, k;

	start("recency", NULL);
	for (i = 0; i < 8; i++) {
		tick();
		for (k = 0; k < 4; k++) {
			range(k, 10, 4000, 1000)->level = row[k].level;
			pol.ranges[k].flags = row[k].flags;
		}
		rank(4);
	}
	assert_int_equal(score(0), 0); /* not touched */
	assert_int_equal(score(1), 0); /* touched once */
	assert_true(score(2) > 0);
	assert_int_equal(score(3), 0); /* a scan touches once */
}

static void test_momentum(void **state)
{
	static const char *const off[] = { "weight=0", NULL };

	start("momentum", NULL);
	now.samples = 1000;
	now.total_heat = 8000;
	tick();
	range(0, 10, 800, 400); /* an even epoch would bring 100 */
	range(1, 10, 800, 100);
	range(2, 10, 800, 20);
	range(3, 10, 800, 15); /* too few to say */
	range(4, 10, 900, 15);
	range(5, 10, 800, 16); /* just enough */
	rank(6);
	assert_true(score(0) > score(1)); /* rises */
	assert_true(score(1) > score(2)); /* falls */
	assert_true(score(3) > score(2));
	assert_int_equal(score(3), pol.ranges[3].density);
	assert_true(score(4) > score(3));
	assert_true(score(5) < score(3));
	/* As it goes, so it stays: within rounding. */
	assert_in_range(score(1), pol.ranges[1].density - 200, pol.ranges[1].density);
	stop(NULL);
	start("momentum", off);
	now.samples = 1000;
	now.total_heat = 8000;
	tick();
	range(0, 10, 800, 400);
	range(1, 10, 800, 20);
	rank(2);
	assert_int_equal(score(0), score(1));
}

/* What an exchange must bring, in both policies that reckon for themselves. */
static void check_payback(void)
{
	struct ht_move *m = promotion();

	assert_int_equal(admit(), 1);
	m->cost_ns = 1ULL << 50;
	assert_int_equal(admit(), 0);
	m = promotion();
	m->victim_score = m->score;
	assert_int_equal(admit(), 0);
	/* 282 / 256: a tenth more, which waste may raise. */
	m->victim_score = m->score * 100 / 109;
	assert_int_equal(admit(), 0);
	m->victim_score = m->score * 100 / 112;
	m->cost_ns = 0;
	assert_int_equal(admit(), 1);
	m->margin = 512;
	assert_int_equal(admit(), 0);
	/* The score counts, not the density it once came from. */
	m = promotion();
	m->density = 0;
	assert_int_equal(admit(), 1);
	/* Room can always be made. */
	m->score = 0;
	assert_int_equal(admit(), 0);
	m->from_tier = 0;
	m->to_tier = 1;
	assert_int_equal(admit(), 1);
}

static void test_momentum_admit(void **state)
{
	start("momentum", NULL);
	tick();
	check_payback();
}

/* One range is hot for long, the other one starts now. */
static void newcomer(uint64_t fast_heat, int epochs)
{
	int i;

	for (i = 0; i < epochs; i++) {
		now.fast_heat = fast_heat;
		tick();
		range(0, 10, 1000, 100);
		range(1, 10, 100, 2000);
		rank(2);
	}
}

static void benefit_steady(const char *const *set)
{
	int i;

	start("benefit", set);
	now.samples = 1000;
	now.total_heat = 10000;
	for (i = 0; i < 60; i++) {
		now.fast_heat = 9000;
		tick();
		range(0, 10, 1000, 100);
		range(1, 10, 100, 10);
		rank(2);
	}
	assert_true(score(0) > score(1));
}

static void test_benefit(void **state)
{
	uint64_t old, steady, hurried;

	benefit_steady(NULL);
	old = score(1);
	newcomer(9000, 1);
	steady = score(1);
	assert_true(steady > old);
	stop(NULL);
	benefit_steady(NULL);
	newcomer(4000, 1); /* the fast tier serves half of what it did */
	hurried = score(1);
	assert_true(hurried > 2 * steady);
	assert_true(hurried > score(0));
	/* Asked twice in an epoch it counts the epoch once. */
	rank(2);
	assert_int_equal(score(1), hurried);
}

static void test_benefit_burst(void **state)
{
	/* A burst of twice the heat for one epoch does not overtake what is hot for long. */
	benefit_steady(NULL);
	now.fast_heat = 9000;
	tick();
	range(0, 10, 1000, 100);
	range(1, 10, 100, 200);
	rank(2);
	assert_true(score(0) > score(1));
	/* Going on like this it does. */
	newcomer(9000, 30);
	assert_true(score(1) > score(0));
}

static void test_benefit_admit(void **state)
{
	struct ht_move *m;

	start("benefit", NULL);
	tick();
	check_payback();
	m = promotion();
	m->moved = 7;
	assert_int_equal(admit(), 0);
	m->moved = 8;
	assert_int_equal(admit(), 1);
	m->moved = 7;
	m->flags = HT_RANGE_STRATUM;
	assert_int_equal(admit(), 1);
}

/* Samples of both tiles' nodes that took so long. */
static void inject(int nr, uint16_t fast, uint16_t slow)
{
	struct ht_inject_args args = { .nr = nr, .source = HT_SRC_EMULATED };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &args, .ctx_size_in = sizeof(args));
	int i;

	for (i = 0; i < nr; i++)
		pol.src.inject[i] = (struct ht_inject_rec){ .addr = VA + (i % 64) * 4096,
							    .tgid = TGID,
							    .node = i & 1,
							    .lat = i & 1 ? slow : fast };
	assert_int_equal(bpf_prog_test_run_opts(pol.src.prog_inject, &run), 0);
	tick();
}

static void test_latency_measured(void **state)
{
	struct ht_target t = { .tgid = TGID };
	struct ht_heatmap hm;

	start_path("build/policies/latency.bpf.o", HT_SRC_EMULATED, NULL);
	assert_int_equal(ht_heatmap_init(&hm, &pol.mem), 0);
	assert_int_equal(bpf_map_update_elem(pol.map_targets, &t.tgid, &t, BPF_ANY), 0);
	promotion();
	inject(1000, 200, 700);
	assert_int_equal(admit(), 1);
	inject(1000, 800, 700);
	assert_int_equal(admit(), 0);
	/* Room can always be made. */
	pol.moves[0].from_tier = 0;
	pol.moves[0].to_tier = 1;
	assert_int_equal(admit(), 1);
	promotion();
	inject(1000, 730, 700); /* within the slack */
	assert_int_equal(admit(), 1);
	inject(1000, 740, 700);
	assert_int_equal(admit(), 0);
	/* Too few to say: the model takes over, and knows of no load. */
	inject(20, 800, 700);
	assert_int_equal(admit(), 1);
	inject(1000, 800, 0);
	assert_int_equal(admit(), 1);
	ht_heatmap_free(&hm);
}

/* 10000 samples of 1000 accesses of 64 bytes in half a second: 1221 MiB/s. */
static void test_latency_modelled(void **state)
{
	static const char *const set[] = { "fast_mbps=1200", "slow_mbps=1200", NULL };
	static const char *const wide[] = { "fast_mbps=12000", NULL };

	start("latency", set);
	promotion();
	now.fast_heat = 10000;
	tick();
	assert_int_equal(admit(), 0);
	now.fast_heat = 5000; /* half the load: 80 ns and half of that */
	tick();
	assert_int_equal(admit(), 1);
	stop(NULL);
	start("latency", wide);
	promotion();
	now.fast_heat = 10000;
	tick();
	assert_int_equal(admit(), 1);
	promotion()->gain_ns = 2399;
	assert_int_equal(admit(), 0);
	promotion()->victim_density = 1 << 20;
	assert_int_equal(admit(), 0);
}

#define TOSSES 2000

/* Which of so many tiles take samples: every other one is sampled three times as often. */
static void toss(const char *const *set, bool *chosen)
{
	struct ht_inject_args args = { .source = HT_SRC_EMULATED };
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = &args, .ctx_size_in = sizeof(args));
	struct ht_target t = { .tgid = TGID };
	struct ht_heatmap hm;
	uint32_t i, n;

	start_path("build/policies/random.bpf.o", HT_SRC_EMULATED, set);
	assert_int_equal(ht_heatmap_init(&hm, &pol.mem), 0);
	assert_int_equal(bpf_map_update_elem(pol.map_targets, &t.tgid, &t, BPF_ANY), 0);
	for (i = 0; i < TOSSES; i++)
		for (n = i % 2 ? 3 : 1; n; n--)
			pol.src.inject[args.nr++] = (struct ht_inject_rec){
				.addr = VA + ((uint64_t)i << 21), .tgid = TGID, .node = 0xff
			};
	assert_int_equal(bpf_prog_test_run_opts(pol.src.prog_inject, &run), 0);
	memset(chosen, 0, TOSSES);
	for (i = 1; i < pol.mem.nr_tiles; i++)
		if (pol.mem.tile[i].key)
			chosen[(HT_KEY_VA(pol.mem.tile[i].key) - VA) >> 21] = true;
	ht_heatmap_free(&hm);
	stop(NULL);
}

/* The fast tier is a fifth of all memory. Five standard deviations everywhere. */
static void test_random(void **state)
{
	static const char *const set[] = { "seed=2", NULL };
	static bool first[TOSSES], again[TOSSES], other[TOSSES];
	int i, warm = 0, cool = 0, both = 0;

	toss(NULL, first);
	toss(NULL, again);
	toss(set, other);
	assert_memory_equal(first, again, sizeof(first));
	for (i = 0; i < TOSSES; i++) {
		*(i % 2 ? &warm : &cool) += first[i];
		both += first[i] && other[i];
	}
	assert_in_range(warm, 200 - 63, 200 + 63);
	assert_in_range(cool, 200 - 63, 200 + 63);
	assert_in_range(both, 80 - 44, 80 + 44);
	/* Of what was chosen nothing is better than anything else. */
	start("random", NULL);
	range(0, 10, 100000, 1000);
	range(1, 10, 1, 0);
	range(2, 10, 0, 0);
	rank(3);
	assert_int_equal(score(0), score(1));
	assert_true(score(1) > score(2));
	promotion()->score = 0;
	pol.moves[0].gain_ns = 0;
	assert_int_equal(admit(), 1);
}

static int setup(void **state)
{
	ht_bpflog_start();
	return 0;
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, stop)
	const struct CMUnitTest tests[] = {
		TEST(test_all),
		TEST(test_none),
		TEST(test_range),
		TEST(test_threshold),
		TEST(test_threshold_first),
		TEST(test_threshold_knobs),
		TEST(test_histogram),
		TEST(test_histogram_skew),
		TEST(test_recency),
		TEST(test_recency_strata),
		TEST(test_momentum),
		TEST(test_momentum_admit),
		TEST(test_benefit),
		TEST(test_benefit_burst),
		TEST(test_benefit_admit),
		TEST(test_latency_measured),
		TEST(test_latency_modelled),
		TEST(test_random),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
