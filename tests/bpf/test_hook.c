// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The ops of a policy: each is called, with what it should see, and its result is used. Needs root.
 */
#include "fixture.h"

#include <bpf/btf.h>

#include "policy_all.h"
#include "heatmap.h"
#include "knobs.h"
#include "object.h"

static struct policy_all_calls *calls;
static struct policy_all_knobs *knobs;
static char *bss;

/* Where a variable of the policy lies in its mapped .bss. */
static void *bss_var(struct env *e, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(e->obj, ".bss");
	const struct btf *btf = bpf_object__btf(e->obj);
	const struct btf_type *sec, *var;
	int i;

	if (!bss || !map)
		return NULL;
	sec = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
	for (i = 0; i < btf_vlen(sec); i++) {
		var = btf__type_by_id(btf, btf_var_secinfos(sec)[i].type);
		if (!strcmp(btf__name_by_offset(btf, var->name_off), name))
			return bss + btf_var_secinfos(sec)[i].offset;
	}
	return NULL;
}

static int setup(void **state)
{
	int err = load_all(state);

	if (err)
		return err;
	bss = env_map(*state, ".bss");
	calls = bss_var(*state, "calls");
	knobs = bss_var(*state, "knobs");
	return calls && knobs ? 0 : -ENOENT;
}

static int fresh_all(void **state)
{
	memset(calls, 0, sizeof(*calls));
	memset(knobs, 0, sizeof(*knobs));
	return fresh(state);
}

static void test_sample(void **state)
{
	struct env *e = *state;
	struct ht_cpu_stats st;

	put_rec(e, (struct ht_inject_rec){ .addr = VA, .tgid = TGID, .lat = 40 });
	put_rec(e, (struct ht_inject_rec){ .addr = VA, .tgid = TGID, .lat = 0 });
	put_rec(e, (struct ht_inject_rec){ .addr = VA, .tgid = TGID, .lat = 0xdead });
	/* Ignored: makes no tile. Not a target: the op does not even see it. */
	put_rec(e, (struct ht_inject_rec){ .addr = 2 * VA, .tgid = TGID, .lat = 0xdead });
	put_rec(e, (struct ht_inject_rec){ .addr = 2 * VA, .tgid = TGID + 1, .lat = 1 });
	run_queued(e);
	since(e, &st);
	assert_int_equal(calls->sample, 4);
	assert_int_equal(env_tile(e, TGID, VA)->total, 41 + 1);
	assert_null(env_tile(e, TGID, 2 * VA));
	assert_int_equal(e->ctl->free_head, 1);
	assert_int_equal(st.seen, 5);
	assert_int_equal(st.counted, 2);
	assert_int_equal(st.drop[HT_DROP_POLICY], 2);
	assert_int_equal(st.drop[HT_DROP_NOT_TARGET], 1);
}

static uint32_t quarter_off(uint32_t v, int ticks)
{
	while (ticks--)
		v -= v / 4;
	return v;
}

/* A tile ages by the op, whether a sample or the loader's sweep touches it. */
static void test_age(void **state)
{
	struct ht_age_args a = { .first = 1, .nr = TILES };
	struct env *e = *state;
	struct ht_cpu_stats st;
	uint32_t i;

	for (i = 0; i < 10; i++)
		put_n(e, VA + i * HT_TILE_SIZE, 1000 + i);
	run_queued(e);
	e->ctl->tick = 3;
	put_now(e, VA);
	assert_int_equal(env_tile(e, TGID, VA)->total, quarter_off(1000, 3) + 1);
	assert_true(calls->age > 0);
	since(e, &st);

	assert_int_equal(env_run(e, "ht_age", &a, sizeof(a), NULL), 0);
	since(e, &st);
	assert_int_equal(st.aged, 9); /* one was aged already */
	for (i = 1; i < 10; i++) {
		struct ht_tile *t = env_tile(e, TGID, VA + i * HT_TILE_SIZE);

		assert_int_equal(t->total, quarter_off(1000 + i, 3));
		assert_int_equal(t->tick, 3);
	}
	assert_int_equal(env_run(e, "ht_age", &a, sizeof(a), NULL), 0);
	since(e, &st);
	assert_int_equal(st.aged, 0);
}

/* Page counters follow the op: a policy that forgets slowly has pages that are forgotten slowly. */
static void test_age_pages(void **state)
{
	struct ht_age_args a = { .first = 1, .nr = TILES };
	struct env *e = *state;
	struct ht_detail *d;
	uint32_t tick, left = 0;
	int p;

	put_n(e, VA, 64);
	run_queued(e);
	assert_int_not_equal(env_tile(e, TGID, VA)->detail, 0);
	d = &e->pages[env_tile(e, TGID, VA)->detail];
	memset(d, 0xff, sizeof(*d));
	knobs->keep = 1;
	for (tick = 0; tick < 40; tick++) {
		e->ctl->tick++;
		assert_int_equal(env_run(e, "ht_age", &a, sizeof(a), NULL), 0);
	}
	for (p = 0; p < HT_TILE_PAGES; p++)
		assert_int_equal(ht_detail_get(d, p), HT_PAGE_MAX);

	/* 0.75 a tick: after 4 ticks 15 * 0.32, in steps of one half. */
	knobs->keep = 0;
	for (tick = 0; tick < 4; tick++) {
		e->ctl->tick++;
		assert_int_equal(env_run(e, "ht_age", &a, sizeof(a), NULL), 0);
	}
	for (p = 0; p < HT_TILE_PAGES; p++)
		left += ht_detail_get(d, p);
	assert_in_range(left, 512 * 3, 512 * 8);
	e->ctl->tick += 100;
	assert_int_equal(env_run(e, "ht_age", &a, sizeof(a), NULL), 0);
	for (p = 0; p < HT_TILE_WORDS; p++)
		assert_int_equal(d->nib[p], 0);
}

static void test_rank(void **state)
{
	struct ht_batch_args a = { .first = 0, .nr = HT_RANGES_MAX };
	struct env *e = *state;
	uint32_t i;

	for (i = 0; i < HT_RANGES_MAX; i++)
		e->ranges[i] = (struct ht_range){ .density = i * 1000ULL, .age = i % 5 };
	assert_int_equal(env_run(e, "ht_rank", &a, sizeof(a), NULL), 0);
	assert_int_equal(calls->rank, HT_RANGES_MAX);
	for (i = 0; i < HT_RANGES_MAX; i++)
		assert_int_equal(e->ranges[i].score, i * 3000ULL + i % 5);

	/* A part of the map, and more than the map has. */
	e->ranges[9].score = e->ranges[15].score = 42;
	a = (struct ht_batch_args){ .first = 10, .nr = 5 };
	assert_int_equal(env_run(e, "ht_rank", &a, sizeof(a), NULL), 0);
	assert_int_equal(calls->rank, HT_RANGES_MAX + 5);
	assert_int_equal(e->ranges[9].score, 42);
	assert_int_equal(e->ranges[15].score, 42);
	a = (struct ht_batch_args){ .first = HT_RANGES_MAX - 3, .nr = 100 };
	assert_int_equal(env_run(e, "ht_rank", &a, sizeof(a), NULL), 0);
	assert_int_equal(calls->rank, HT_RANGES_MAX + 8);
}

static void test_admit(void **state)
{
	struct ht_batch_args a = { .first = 0, .nr = 1000 };
	struct env *e = *state;
	uint32_t i;

	for (i = 0; i < 1000; i++)
		e->moves[i] = (struct ht_move){ .pages = i, .admitted = 99 };
	assert_int_equal(env_run(e, "ht_admit", &a, sizeof(a), NULL), 0);
	assert_int_equal(calls->admit, 1000);
	for (i = 0; i < 1000; i++)
		assert_int_equal(e->moves[i].admitted, i & 1);
}

static void test_tick_init_exit(void **state)
{
	struct ht_init_args init = { .init = { .period = 12345 } };
	struct ht_exit ex = { .kind = HT_EXIT_SWAP, .reason = "because" };
	struct ht_tick tick = { .epoch = 77 };
	struct env *e = *state;
	int ret;

	assert_int_equal(env_run(e, "ht_tick", &tick, sizeof(tick), &ret), 0);
	assert_int_equal(calls->tick, 1);
	assert_int_equal(calls->tick_epoch, 77);

	knobs->init_result = -13;
	assert_int_equal(env_run(e, "ht_init", &init, sizeof(init), &ret), 0);
	assert_int_equal(ret, -13);
	assert_int_equal(calls->init, 1);
	assert_int_equal(calls->init_period, 12345);
	assert_int_equal(init.ops, HT_OP_SAMPLE | HT_OP_AGE | HT_OP_RANK | HT_OP_ADMIT |
					   HT_OP_TICK | HT_OP_INIT | HT_OP_EXIT);

	assert_int_equal(env_run(e, "ht_exit", &ex, sizeof(ex), &ret), 0);
	assert_int_equal(calls->exit, 1);
	assert_int_equal(calls->exit_kind, HT_EXIT_SWAP);
	assert_int_equal(calls->exit_reason0, 'b');
}

/* A policy without ops: every default. */
static void test_defaults(void **state)
{
	static const struct env_size size = { .tiles = 15, .buckets = 1 };
	struct ht_batch_args a = { .first = 0, .nr = 3 };
	struct ht_init_args init = {};
	struct env e;
	uint32_t i;
	int ret;

	(void)state;
	assert_int_equal(env_open(&e, "build/policies/none.bpf.o", &size), 0);
	assert_int_equal(env_load(&e), 0);
	assert_int_equal(env_run(&e, "ht_init", &init, sizeof(init), &ret), 0);
	assert_int_equal(ret, 0);
	assert_int_equal(init.ops, 0);
	for (i = 0; i < 3; i++) {
		e.ranges[i] = (struct ht_range){ .density = 5 * i };
		e.moves[i] = (struct ht_move){ .pages = 1 };
	}
	assert_int_equal(env_run(&e, "ht_rank", &a, sizeof(a), NULL), 0);
	assert_int_equal(env_run(&e, "ht_admit", &a, sizeof(a), NULL), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(e.ranges[i].score, 5 * i);
		assert_int_equal(e.moves[i].admitted, 1);
	}
	env_close(&e);
}

/* The loader reads the ABI from the object before anything of it is loaded. */
static void test_abi(void **state)
{
	struct ht_object o;

	(void)state;
	memset(&o, 0, sizeof(o));
	assert_int_equal(ht_object_open(&o, "build/tests/bpf/policy_all.bpf.o"), 0);
	assert_int_equal(o.info.abi, HT_ABI_OF(HT_ABI_VERSION, HT_ABI_MINOR));
	assert_string_equal(o.info.name, "all");
	ht_object_close(&o);
	memset(&o, 0, sizeof(o));
	assert_true(ht_object_open(&o, "build/tests/bpf/policy_abi.bpf.o") < 0);
}

/* A policy that writes over the facts is told from one that only decides. */
static void test_lies(void **state)
{
	static const char *const knob[] = { "after=0", "moves_only=1" };
	struct ht_object_opts opts = { .generation = 1 };
	struct ht_init init = { .abi = HT_ABI_VERSION };
	struct ht_object o;
	int i, result;

	(void)state;
	ht_heatmap_size(&opts.size, 64 << 20);
	for (i = 0; i < 2; i++) {
		memset(&o, 0, sizeof(o));
		assert_int_equal(ht_object_open(&o, "build/tests/bpf/bad_garbage.bpf.o"), 0);
		assert_int_equal(ht_knobs_set(o.obj, knob[i]), 0);
		assert_int_equal(ht_object_load(&o, &opts), 0);
		assert_int_equal(ht_object_init_policy(&o, &init, &result), 0);
		assert_int_equal(ht_object_rank(&o, 0), 0);
		assert_int_equal(ht_object_rank(&o, 5), i ? 0 : -EBADMSG);
		assert_int_equal(ht_object_admit(&o, 5), -EBADMSG);
		ht_object_close(&o);
	}
	memset(&o, 0, sizeof(o));
	assert_int_equal(ht_object_open(&o, "build/tests/bpf/bad_thrash.bpf.o"), 0);
	assert_int_equal(ht_object_load(&o, &opts), 0);
	assert_int_equal(ht_object_init_policy(&o, &init, &result), 0);
	assert_int_equal(ht_object_rank(&o, 5), 0);
	assert_int_equal(ht_object_admit(&o, 5), 0);
	ht_object_close(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_sample, fresh_all),
		cmocka_unit_test_setup(test_age, fresh_all),
		cmocka_unit_test_setup(test_age_pages, fresh_all),
		cmocka_unit_test_setup(test_rank, fresh_all),
		cmocka_unit_test_setup(test_admit, fresh_all),
		cmocka_unit_test_setup(test_tick_init_exit, fresh_all),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_abi),
		cmocka_unit_test(test_lies),
	};

	return cmocka_run_group_tests(tests, setup, unload);
}
