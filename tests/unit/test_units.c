// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "units.h"

#define MIB (1ULL << 20)

static void test_sizes(void **state)
{
	static const struct {
		const char *s;
		uint64_t unit, want;
	} good[] = {
		{ "512", 1, 512 },	 { "512", MIB, 512 * MIB }, { "0", 1, 0 },
		{ "64K", 1, 64 << 10 },	 { "64k", MIB, 64 << 10 },  { "1.5G", 1, 1536 * MIB },
		{ "2T", 1, 2ULL << 40 }, { "3M", 1, 3 * MIB },	    { "3MiB", 1, 3 * MIB },
		{ "3MB", 1, 3 * MIB },	 { "0.5", MIB, MIB / 2 },   { "1024T", 1, 1ULL << 50 },
	};
	static const char *const bad[] = { "",	  " ",	 "x",	  "K",	   "5 ",       "5  ",
					   "5X",  "5KK", "5K ",	  "5KiBx", "-1",       "-1K",
					   "nan", "inf", "1e400", "1e30",  "2000000T", "5@",
					   "5\n", "5i",	 "1..5",  "1,5" };
	uint64_t v;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ht_parse_size(good[i].s, good[i].unit, &v), 0);
		assert_int_equal(v, good[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ht_parse_size(bad[i], 1, &v) != -EINVAL)
			fail_msg("'%s' is a size of %lu", bad[i], v);
}

static void test_times(void **state)
{
	static const struct {
		const char *s;
		unsigned int want;
	} good[] = { { "500", 500 }, { "500ms", 500 }, { "2s", 2000 },	    { "0.25s", 250 },
		     { "0", 0 },     { "1.4", 1 },     { "3600s", 3600000 } };
	static const char *const bad[] = { "",	  "x",	 "5 ",	"5m",	"5sec",	 "s",	 "-1",
					   "-1s", "nan", "inf", "1e12", "3601s", "5ms ", "5s5" };
	unsigned int v;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(ht_parse_ms(good[i].s, &v), 0);
		assert_int_equal(v, good[i].want);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (ht_parse_ms(bad[i], &v) != -EINVAL)
			fail_msg("'%s' is a time of %u ms", bad[i], v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
