// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* The emulator's cache against what a set-associative LRU cache must do, and against a naive one.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../tools/lab/emu_cache.h"

#define LINE 64

static bool touch(struct emu_cache *c, uint64_t line, bool write, uint64_t *evicted)
{
	return emu_cache_access(c, line * LINE + 8, write, evicted);
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	struct emu_cache c;

	assert_int_equal(emu_cache_init(&c, 1 << 20, 16, 48, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 3 << 20, 16, 64, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 1 << 20, 0, 64, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 1 << 20, 65, 64, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 0, 16, 64, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 1ULL << 40, 16, 64, true), -EINVAL);
	assert_int_equal(emu_cache_init(&c, 12 << 20, 24, 64, true), 0);
	emu_cache_free(&c);
}

static void a_line_hits_after_its_first_access(void **state)
{
	struct emu_cache c;
	uint64_t evicted;

	assert_int_equal(emu_cache_init(&c, 1 << 16, 4, LINE, true), 0);
	assert_false(emu_cache_access(&c, 0x12340, false, &evicted));
	for (unsigned int i = 0; i < LINE; i++)
		assert_true(emu_cache_access(&c, 0x12340 + i, false, &evicted));
	assert_false(emu_cache_access(&c, 0x12340 + LINE, false, &evicted));
	emu_cache_clear(&c);
	assert_false(emu_cache_access(&c, 0x12340, false, &evicted));
	emu_cache_free(&c);
}

/* Line 0 is valid data, not an empty way. */
static void address_zero_is_an_address(void **state)
{
	struct emu_cache c;
	uint64_t evicted;

	assert_int_equal(emu_cache_init(&c, 2 * LINE, 2, LINE, false), 0);
	assert_false(touch(&c, 0, true, &evicted));
	assert_true(touch(&c, 0, false, &evicted));
	touch(&c, 1, false, &evicted);
	assert_false(touch(&c, 2, false, &evicted));
	assert_int_equal(evicted, 0);
	emu_cache_free(&c);
}

static void the_least_recently_used_line_goes(void **state)
{
	struct emu_cache c;
	uint64_t evicted;

	assert_int_equal(emu_cache_init(&c, 4 * LINE, 4, LINE, false), 0);
	for (uint64_t i = 1; i <= 4; i++)
		assert_false(touch(&c, i, false, &evicted));
	assert_true(touch(&c, 1, false, &evicted));
	assert_true(touch(&c, 3, false, &evicted));
	assert_false(touch(&c, 5, false, &evicted)); /* 2 goes */
	assert_true(touch(&c, 1, false, &evicted));
	assert_false(touch(&c, 2, false, &evicted)); /* 4 goes */
	assert_true(touch(&c, 3, false, &evicted));
	assert_true(touch(&c, 5, false, &evicted));
	assert_false(touch(&c, 4, false, &evicted));
	emu_cache_free(&c);
}

static void only_dirty_lines_are_written_back(void **state)
{
	struct emu_cache c;
	uint64_t evicted;

	assert_int_equal(emu_cache_init(&c, 2 * LINE, 2, LINE, false), 0);
	touch(&c, 1, false, &evicted);
	touch(&c, 2, true, &evicted);
	touch(&c, 3, false, &evicted); /* 1 goes, clean */
	assert_true(evicted == ~0ULL);
	touch(&c, 4, false, &evicted); /* 2 goes, dirty */
	assert_int_equal(evicted, 2 * LINE);
	touch(&c, 3, true, &evicted); /* dirty by a hit, and not on the first way */
	touch(&c, 4, false, &evicted);
	touch(&c, 5, false, &evicted);
	assert_int_equal(evicted, 3 * LINE);
	emu_cache_free(&c);
}

/* The textbook version: time stamps and a search. */
struct naive {
	uint64_t tag[64][8], used[64][8];
	bool dirty[64][8];
	uint64_t now;
};

static bool naive_access(struct naive *n, uint64_t line, bool write, uint64_t *evicted)
{
	unsigned int set = line % 64, victim = 0;

	*evicted = ~0ULL;
	n->now++;
	for (unsigned int i = 0; i < 8; i++) {
		if (n->used[set][i] && n->tag[set][i] == line) {
			n->used[set][i] = n->now;
			n->dirty[set][i] |= write;
			return true;
		}
		if (n->used[set][i] < n->used[set][victim])
			victim = i;
	}
	if (n->used[set][victim] && n->dirty[set][victim])
		*evicted = n->tag[set][victim] * LINE;
	n->tag[set][victim] = line;
	n->used[set][victim] = n->now;
	n->dirty[set][victim] = write;
	return false;
}

static void a_million_accesses_agree_with_the_textbook(void **state)
{
	static struct naive n;
	struct emu_cache c;
	uint64_t rng = 88172645463325252ULL, hits = 0;

	assert_int_equal(emu_cache_init(&c, 64 * 8 * LINE, 8, LINE, false), 0);
	for (unsigned int i = 0; i < 1000000; i++) {
		uint64_t line, a, b;
		bool write, hit;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		line = rng % 7 ? rng >> 20 & 511 : rng >> 20 & 4095;
		write = rng >> 50 & 1;
		hit = touch(&c, line, write, &a);
		assert_int_equal(hit, naive_access(&n, line, write, &b));
		assert_true(a == b);
		hits += hit;
	}
	assert_in_range(hits, 500000, 990000); /* the comparison saw both outcomes */
	emu_cache_free(&c);
}

static void hashed_sets_are_used_evenly(void **state)
{
	struct emu_cache c;
	unsigned int *used;

	assert_int_equal(emu_cache_init(&c, 1 << 20, 16, LINE, true), 0);
	used = calloc(c.nr_sets, sizeof(*used));
	assert_non_null(used);
	/* One line per page, which unhashed would use a 64th of the sets. */
	for (uint64_t page = 0; page < 16 * c.nr_sets; page++) {
		uint64_t set = emu_cache_set(&c, page * 64);

		assert_in_range(set, 0, c.nr_sets - 1);
		used[set]++;
	}
	for (uint64_t s = 0; s < c.nr_sets; s++)
		assert_in_range(used[s], 4, 40);
	free(used);
	emu_cache_free(&c);
}

struct sharer {
	struct emu_cache *cache;
	uint64_t first, misses;
};

static void *share(void *arg)
{
	struct sharer *s = arg;
	uint64_t evicted;

	for (unsigned int round = 0; round < 200; round++)
		for (uint64_t i = 0; i < 512; i++)
			s->misses += !emu_cache_access_shared(s->cache, (s->first + i) * LINE, true,
							      &evicted);
	return NULL;
}

/* Two threads whose lines fit together: each line misses once, whatever the interleaving. */
static void threads_do_not_corrupt_a_shared_cache(void **state)
{
	struct sharer s[2];
	struct emu_cache c;
	pthread_t t;

	assert_int_equal(emu_cache_init(&c, 4096 * LINE, 64, LINE, false), 0);
	s[0] = (struct sharer){ .cache = &c, .first = 0 };
	s[1] = (struct sharer){ .cache = &c, .first = 512 };
	assert_int_equal(pthread_create(&t, NULL, share, &s[1]), 0);
	share(&s[0]);
	pthread_join(t, NULL);
	assert_int_equal(s[0].misses, 512);
	assert_int_equal(s[1].misses, 512);
	emu_cache_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_that_cannot_be_are_refused),
		cmocka_unit_test(a_line_hits_after_its_first_access),
		cmocka_unit_test(address_zero_is_an_address),
		cmocka_unit_test(the_least_recently_used_line_goes),
		cmocka_unit_test(only_dirty_lines_are_written_back),
		cmocka_unit_test(a_million_accesses_agree_with_the_textbook),
		cmocka_unit_test(hashed_sets_are_used_evenly),
		cmocka_unit_test(threads_do_not_corrupt_a_shared_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
