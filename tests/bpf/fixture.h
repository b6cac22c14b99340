/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A loaded policy object for cmocka, one target process in it, and a queue of records to inject.
 * Include it in one file per test program.
 */
#ifndef HT_TEST_FIXTURE_H
#define HT_TEST_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
/* After the above: it needs their types. */
#include <cmocka.h>

#include "env.h"

#define UNUSED __attribute__((unused))
#define PAGE 4096ULL
#define TILES 1023U
#define TGID 4711U
#define VA 0x7f0000000000ULL

static struct fixture {
	struct env env;
	struct ht_cpu_stats last;
	uint32_t queued;
} fix;

static int load(void **state, const char *path)
{
	static const struct env_size size = { .tiles = TILES, .buckets = 128 };
	int err = env_open(&fix.env, path, &size) ?: env_load(&fix.env);

	*state = &fix.env;
	return err;
}

UNUSED static int load_range(void **state)
{
	return load(state, "build/policies/range.bpf.o");
}

UNUSED static int load_all(void **state)
{
	return load(state, "build/tests/bpf/policy_all.bpf.o");
}

UNUSED static int unload(void **state)
{
	env_close(*state);
	return 0;
}

/* Counters since the last call, or since the test began. */
static void since(struct env *e, struct ht_cpu_stats *st)
{
	__u64 *now = (__u64 *)st, *last = (__u64 *)&fix.last;
	struct ht_cpu_stats keep;
	size_t i;

	assert_int_equal(env_stats(e, st), 0);
	keep = *st;
	for (i = 0; i < sizeof(*st) / sizeof(*now); i++)
		now[i] -= last[i];
	fix.last = keep;
}

static void forget_targets(struct env *e)
{
	uint32_t tgid;

	while (!bpf_map_get_next_key(e->targets_fd, NULL, &tgid))
		bpf_map_delete_elem(e->targets_fd, &tgid);
}

/* Before each test: empty maps, one target. */
UNUSED static int fresh(void **state)
{
	struct env *e = &fix.env;
	struct ht_cpu_stats st;

	*state = e;
	fix.queued = 0;
	env_reset(e);
	forget_targets(e);
	since(e, &st);
	return env_target(e, TGID, 0);
}

static void run_queued_as(struct env *e, uint32_t source)
{
	struct ht_inject_args a = { .nr = fix.queued, .source = source };

	fix.queued = 0;
	assert_int_equal(env_run(e, "ht_inject", &a, sizeof(a), NULL), 0);
}

static void run_queued(struct env *e)
{
	run_queued_as(e, HT_SRC_EMULATED);
}

static void put_rec(struct env *e, struct ht_inject_rec rec)
{
	if (fix.queued == HT_INJECT_MAX)
		run_queued(e);
	rec.node = 0xff;
	e->inject[fix.queued++] = rec;
}

static void put(struct env *e, uint32_t tgid, uint64_t va)
{
	put_rec(e, (struct ht_inject_rec){ .addr = va, .tgid = tgid });
}

UNUSED static void put_n(struct env *e, uint64_t va, uint32_t n)
{
	while (n--)
		put(e, TGID, va);
}

UNUSED static void put_now(struct env *e, uint64_t va)
{
	put(e, TGID, va);
	run_queued(e);
}

UNUSED static uint64_t drops(const struct ht_cpu_stats *st)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < HT_DROP_NR; i++)
		sum += st->drop[i];
	return sum;
}

/* As the loader frees a tile. */
UNUSED static void free_tile(struct env *e, uint32_t tgid, uint64_t va)
{
	struct ht_tile *t = env_tile(e, tgid, va);
	uint32_t id = t - e->heat, pos = e->ctl->free_tail & e->ctl->free_mask, b, w;

	for (b = 0; b < e->ctl->nr_buckets; b++)
		for (w = 0; w < HT_WAYS; w++)
			if ((e->index[b].slot[w] & HT_ID_MASK) == id)
				e->index[b].slot[w] = 0;
	memset(t, 0, sizeof(*t));
	e->free_tiles[pos / HT_IDS_PER_LINE].id[pos % HT_IDS_PER_LINE] = id;
	e->ctl->free_tail++;
}

/* SplitMix64 */
UNUSED static uint64_t rnd(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

#endif
