// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Where samples go, on the real kernel: records through ht_inject, then the maps' contents. Needs
 * root.
 */
#include "fixture.h"

#include <pthread.h>
#include <sched.h>

static void test_counts(void **state)
{
	struct env *e = *state;
	struct ht_tile *a, *b;
	struct ht_cpu_stats st;

	put_n(e, VA, 5);
	put_n(e, VA + 3 * PAGE, 2);
	put_rec(e, (struct ht_inject_rec){ .addr = VA + 3 * PAGE + 8, .tgid = TGID, .write = 1 });
	put_n(e, VA + HT_TILE_SIZE + 511 * PAGE, 4);
	run_queued(e);

	a = env_tile(e, TGID, VA);
	b = env_tile(e, TGID, VA + HT_TILE_SIZE);
	assert_non_null(a);
	assert_non_null(b);
	assert_int_equal(a->total, 8);
	assert_int_equal(a->writes, 1);
	assert_int_equal(a->win_n, 8);
	assert_int_equal(a->win_r, 6); /* 4 repeats of the first page, 2 of the other */
	assert_int_equal(a->touched[0], 1 << 0 | 1 << 3);
	assert_int_equal(b->total, 4);
	assert_int_equal(b->writes, 0);
	assert_int_equal(b->win_r, 3);
	assert_int_equal(b->touched[HT_CELL(511) / 64], 1ULL << HT_CELL(511) % 64);
	assert_int_equal(e->ctl->free_head, 2);

	since(e, &st);
	assert_int_equal(st.seen, 12);
	assert_int_equal(st.counted, 12);
	assert_int_equal(st.tiles, 2);
	assert_int_equal(st.by_source[HT_SRC_EMULATED], 12);
	assert_int_equal(drops(&st), 0);
}

/* The same address in two processes is two tiles; the highest and the lowest address work. */
static void test_keys(void **state)
{
	static const uint64_t va[] = { 1, PAGE, VA, (1ULL << 47) - 1, (1ULL << 56) - 1 };
	struct env *e = *state;
	struct ht_tile *t;
	size_t i;

	env_target(e, TGID + 1, 0);
	env_target(e, (1U << 22) - 1, 0);
	for (i = 0; i < sizeof(va) / sizeof(*va); i++) {
		put(e, TGID, va[i]);
		put(e, TGID + 1, va[i]);
		put(e, (1U << 22) - 1, va[i]);
	}
	run_queued(e);
	for (i = 0; i < sizeof(va) / sizeof(*va); i++) {
		t = env_tile(e, (1U << 22) - 1, va[i]);
		assert_non_null(t);
		assert_int_equal(HT_KEY_TGID(t->key), (1U << 22) - 1);
		assert_int_equal(HT_KEY_VA(t->key), va[i] & ~(HT_TILE_SIZE - 1));
		assert_int_equal(t->total, i < 2 ? 2 : 1); /* the first two share a tile */
		assert_non_null(env_tile(e, TGID, va[i]));
		assert_non_null(env_tile(e, TGID + 1, va[i]));
	}
	assert_int_equal(e->ctl->free_head, 3 * 4);
}

static void test_age(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;
	struct ht_tile *t;
	int i;

	for (i = 0; i < 100; i++)
		put_rec(e, (struct ht_inject_rec){
				   .addr = VA + i * PAGE, .tgid = TGID, .write = i % 2 });
	run_queued(e);
	t = env_tile(e, TGID, VA);
	assert_int_equal(t->total, 100);
	assert_int_equal(t->writes, 50);

	e->ctl->tick++;
	put_now(e, VA);
	assert_int_equal(t->total, 50 + 1);
	assert_int_equal(t->writes, 25);
	assert_int_equal(t->tick, 1);
	assert_int_equal(t->win_n, 1); /* a new window */
	assert_int_equal(t->touched[0], 1);

	e->ctl->tick += 3;
	put_now(e, VA);
	assert_int_equal(t->total, (51 >> 3) + 1);
	e->ctl->tick += 31;
	put_now(e, VA);
	assert_int_equal(t->total, 0 + 1);
	e->ctl->tick += 1000000;
	put_now(e, VA);
	assert_int_equal(t->total, 1);
	assert_int_equal(t->tick, e->ctl->tick);
	since(e, &st);
	assert_int_equal(st.aged, 4);
}

/* A CPU that read the clock before the loader moved it must not age a tile by 2^32 - 1 ticks. */
static void test_tick_behind(void **state)
{
	struct env *e = *state;
	struct ht_tile *t;

	e->ctl->tick = 10;
	put_n(e, VA, 7);
	run_queued(e);
	t = env_tile(e, TGID, VA);
	e->ctl->tick = 9;
	put_now(e, VA);
	assert_int_equal(t->total, 8);
	assert_int_equal(t->tick, 10);

	/* The clock wraps. */
	t->tick = ~0U;
	e->ctl->tick = 1;
	put_now(e, VA);
	assert_int_equal(t->total, (8 >> 2) + 1);
	assert_int_equal(t->tick, 1);
}

static void test_total_saturates(void **state)
{
	struct env *e = *state;
	struct ht_tile *t;

	put_now(e, VA);
	t = env_tile(e, TGID, VA);
	t->total = ~0U - 1;
	put_now(e, VA);
	assert_int_equal(t->total, ~0U);
	put_now(e, VA);
	assert_int_equal(t->total, ~0U);
}

static void test_drops(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;

	env_target(e, TGID + 2, HT_TARGET_EXITED);
	put(e, TGID, 0);
	put(e, TGID, 1ULL << 56);
	put(e, TGID, 0xffff888000001000ULL);
	put(e, TGID, ~0ULL);
	put(e, TGID + 1, VA);
	put(e, TGID + 2, VA);
	put(e, 0, VA);
	put(e, 0, 1); /* its key would be that of a free tile */
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.seen, 8);
	assert_int_equal(st.counted, 0);
	assert_int_equal(st.drop[HT_DROP_NO_ADDR], 1);
	assert_int_equal(st.drop[HT_DROP_KERNEL_ADDR], 3);
	assert_int_equal(st.drop[HT_DROP_NOT_TARGET], 4);
	assert_int_equal(e->ctl->free_head, 0);
	assert_int_equal(e->heat[0].total, 0);

	e->ctl->enabled = 0;
	put_n(e, VA, 3);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.drop[HT_DROP_DISABLED], 3);
	assert_int_equal(st.seen, 3);
}

/* Only the object whose number the control block names counts. */
static void test_generation(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;

	e->ctl->generation = 5;
	put_n(e, VA, 3);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.seen, 0);
	assert_int_equal(e->ctl->free_head, 0);
}

static void test_no_tile(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;
	uint32_t i;

	for (i = 0; i < TILES + 10; i++)
		put(e, TGID, VA + i * HT_TILE_SIZE);
	put(e, TGID, VA); /* what has a tile goes on being counted */
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.tiles, TILES);
	assert_int_equal(st.counted, TILES + 1);
	assert_int_equal(st.drop[HT_DROP_NO_TILE], 10);
	assert_int_equal(e->ctl->free_head, e->ctl->free_tail);

	/* The loader frees one and puts it back on the ring. */
	free_tile(e, TGID, VA + HT_TILE_SIZE);
	put_now(e, VA + (TILES + 5) * HT_TILE_SIZE);
	since(e, &st);
	assert_int_equal(st.counted, 1);
	assert_int_equal(env_tile(e, TGID, VA + (TILES + 5) * HT_TILE_SIZE)->total, 1);
	assert_null(env_tile(e, TGID, VA + HT_TILE_SIZE));
}

/* A full bucket costs samples, but no tile ids: the ring is not used up by what cannot be placed.
 */
static void test_no_slot(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;
	uint32_t i;

	e->ctl->nr_buckets = 1;
	for (i = 0; i < HT_WAYS + 200; i++)
		put(e, TGID, VA + i * HT_TILE_SIZE);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.tiles, HT_WAYS);
	assert_int_equal(st.counted, HT_WAYS);
	assert_int_equal(st.drop[HT_DROP_NO_SLOT], 200);
	assert_int_equal(e->ctl->free_head, HT_WAYS);
	for (i = 0; i < HT_WAYS; i++)
		put(e, TGID, VA + i * HT_TILE_SIZE);
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.counted, HT_WAYS);
}

/* As full as the loader ever lets it get, every tile is found again, whichever bucket it is in. */
static void test_index_load(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;
	int round;
	uint32_t i;

	e->ctl->nr_buckets = env_pow2(TILES / 12); /* three quarters full */
	for (round = 0; round < 2; round++) {
		for (i = 0; i < TILES; i++)
			put(e, TGID, VA + i * 7 * HT_TILE_SIZE);
		run_queued(e);
	}
	since(e, &st);
	assert_int_equal(st.counted, 2 * TILES);
	assert_int_equal(st.tiles, TILES);
	for (i = 1; i <= TILES; i++)
		assert_int_equal(e->heat[i].total, 2);
}

/* Whatever comes, each sample is counted once or dropped for one reason. */
static void test_nothing_vanishes(void **state)
{
	struct env *e = *state;
	uint64_t seed = 7, heat = 0, addr;
	struct ht_cpu_stats st;
	uint32_t i, fed = 0, tgid;

	env_target(e, TGID + 1, HT_TARGET_EXITED);
	for (i = 0; i < 60000; i++) {
		addr = rnd(&seed) % 16 ? VA + rnd(&seed) % (TILES * 2) * HT_TILE_SIZE : rnd(&seed);
		tgid = TGID + rnd(&seed) % 64 / 62;
		put_rec(e, (struct ht_inject_rec){ .addr = rnd(&seed) % 50 ? addr : 0,
						   .tgid = tgid,
						   .write = rnd(&seed) & 1 });
		fed++;
		if (rnd(&seed) % 20000 == 0)
			e->ctl->enabled ^= 1;
	}
	run_queued(e);
	since(e, &st);
	assert_int_equal(st.seen, fed);
	assert_int_equal(st.counted + drops(&st), fed);
	assert_int_equal(st.by_source[HT_SRC_EMULATED], fed);
	for (i = 1; i <= TILES; i++)
		heat += e->heat[i].total;
	assert_int_equal(heat, st.counted); /* the tick stood still */
	assert_true(st.counted > 0 && st.drop[HT_DROP_NO_TILE] > 0 &&
		    st.drop[HT_DROP_KERNEL_ADDR] > 0 && st.drop[HT_DROP_NO_ADDR] > 0 &&
		    st.drop[HT_DROP_NOT_TARGET] > 0);
}

struct racer {
	struct env *e;
	pthread_barrier_t *start;
	int cpu, err;
};

static void *race(void *arg)
{
	struct ht_inject_args a = { .nr = HT_INJECT_MAX, .source = HT_SRC_EMULATED };
	struct racer *r = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(r->cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
	pthread_barrier_wait(r->start);
	r->err = env_run(r->e, "ht_inject", &a, sizeof(a), NULL);
	return NULL;
}

/* Two CPUs meet the same new memory at once: a key gets one tile, and none is lost for good. */
static void test_race(void **state)
{
	struct env *e = *state;
	uint32_t i, round, keyed, head;
	struct ht_cpu_stats st;
	pthread_barrier_t start;
	struct racer r[2];
	pthread_t th[2];

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		skip();
	pthread_barrier_init(&start, NULL, 2);
	for (round = 0; round < 200; round++) {
		env_reset(e);
		for (i = 0; i < HT_INJECT_MAX; i++)
			e->inject[i] = (struct ht_inject_rec){ .addr = VA + i % 400 * HT_TILE_SIZE,
							       .tgid = TGID,
							       .node = 0xff };
		for (i = 0; i < 2; i++) {
			r[i] = (struct racer){ .e = e, .start = &start, .cpu = i };
			assert_int_equal(pthread_create(&th[i], NULL, race, &r[i]), 0);
		}
		for (i = 0; i < 2; i++) {
			pthread_join(th[i], NULL);
			assert_int_equal(r[i].err, 0);
		}
		head = e->ctl->free_head;
		for (i = 1, keyed = 0; i <= TILES; i++) {
			keyed += e->heat[i].key != 0;
			/* Taken from the ring and empty: the loader's to find and free. */
			assert_true(e->heat[i].key || !e->heat[i].total);
		}
		assert_int_equal(keyed, 400);
		assert_in_range(head, 400, 800);
	}
	pthread_barrier_destroy(&start);
	since(e, &st);
	assert_int_equal(st.seen, 200 * 2 * HT_INJECT_MAX);
	assert_int_equal(st.counted, st.seen);
}

/* More records than the map has are not read. */
static void test_inject_bounds(void **state)
{
	struct ht_inject_args a = { .nr = ~0U, .source = HT_SRC_EMULATED };
	struct env *e = *state;
	struct ht_cpu_stats st;
	uint32_t i;

	for (i = 0; i < HT_INJECT_MAX; i++)
		e->inject[i] = (struct ht_inject_rec){ .addr = VA, .tgid = TGID };
	assert_int_equal(env_run(e, "ht_inject", &a, sizeof(a), NULL), 0);
	since(e, &st);
	assert_int_equal(st.seen, HT_INJECT_MAX);
	a.nr = 0;
	assert_int_equal(env_run(e, "ht_inject", &a, sizeof(a), NULL), 0);
	since(e, &st);
	assert_int_equal(st.seen, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counts, fresh),
		cmocka_unit_test_setup(test_keys, fresh),
		cmocka_unit_test_setup(test_age, fresh),
		cmocka_unit_test_setup(test_tick_behind, fresh),
		cmocka_unit_test_setup(test_total_saturates, fresh),
		cmocka_unit_test_setup(test_drops, fresh),
		cmocka_unit_test_setup(test_generation, fresh),
		cmocka_unit_test_setup(test_no_tile, fresh),
		cmocka_unit_test_setup(test_no_slot, fresh),
		cmocka_unit_test_setup(test_index_load, fresh),
		cmocka_unit_test_setup(test_nothing_vanishes, fresh),
		cmocka_unit_test_setup(test_race, fresh),
		cmocka_unit_test_setup(test_inject_bounds, fresh),
	};

	return cmocka_run_group_tests(tests, load_range, unload);
}
