// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Small files, and lists of numbers, from a place that may say anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fs.h"
#include "sysfs.h"

static void test_read_str(void **state)
{
	const char *dir = *state;
	char buf[16], longer[PATH_MAX + 10];

	fs_put(dir, "a", "hello \n\t\n");
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s/%c", dir, 'a'), 5);
	assert_string_equal(buf, "hello");
	fs_put(dir, "a", " \n ");
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s/a", dir), 0);
	assert_string_equal(buf, "");
	fs_put(dir, "a", "");
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s/a", dir), 0);
	fs_put(dir, "a", "0123456789abcdefghij");
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s/a", dir), 15);
	assert_string_equal(buf, "0123456789abcde");
	assert_int_equal(ht_read_str(buf, 1, "%s/a", dir), 0);
	assert_string_equal(buf, "");
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s/none", dir), -ENOENT);
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s", dir), -EISDIR);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(ht_read_str(buf, sizeof(buf), "%s", longer), -ENAMETOOLONG);
	/* A real one. */
	assert_true(ht_read_str(buf, sizeof(buf), "%s/sys/kernel/ostype", ht_host_roots.proc) > 0);
	assert_string_equal(buf, "Linux");
}

static void test_read_u64(void **state)
{
	static const char *const bad[] = {
		"", "x", "1x", "1 2", "-1", " -1", "+1", "18446744073709551616", "0x", "true",
	};
	const char *dir = *state;
	uint64_t val = 0;

	fs_put(dir, "n", "42\n");
	assert_int_equal(ht_read_u64(&val, "%s/n", dir), 0);
	assert_int_equal(val, 42);
	fs_put(dir, "n", "0x1f");
	assert_int_equal(ht_read_u64(&val, "%s/n", dir), 0);
	assert_int_equal(val, 0x1f);
	fs_put(dir, "n", "18446744073709551615\n");
	assert_int_equal(ht_read_u64(&val, "%s/n", dir), 0);
	assert_true(val == UINT64_MAX);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fs_put(dir, "n", bad[i]);
		assert_int_equal(ht_read_u64(&val, "%s/n", dir), -EINVAL);
	}
	assert_int_equal(ht_read_u64(&val, "%s/none", dir), -ENOENT);
}

static void test_write_str(void **state)
{
	const char *dir = *state;

	fs_put(dir, "w", "....");
	assert_int_equal(ht_write_str("12", "%s/w", dir), 0);
	assert_memory_equal(fs_get(dir, "w"), "12", 2);
	assert_int_equal(ht_write_str("x", "%s/none", dir), -ENOENT);
	assert_false(fs_exists(dir, "none"));
	assert_int_equal(ht_write_str("x", "%s", dir), -EISDIR);
	assert_int_equal(ht_write_str("x", "/dev/full"), -ENOSPC);
}

struct seen {
	unsigned int n[64];
	size_t nr;
	int fail_at;
};

static int note(unsigned int n, void *arg)
{
	struct seen *s = arg;

	if ((int)n == s->fail_at)
		return 7;
	s->n[s->nr++] = n;
	return 0;
}

static int parse(struct seen *s, const char *list)
{
	*s = (struct seen){ .fail_at = -1 };
	return ht_parse_list(list, 64, note, s);
}

static void test_parse_list(void **state)
{
	static const char *const bad[] = {
		"x",   "1,",  ",1", "1,,2", "1-",  "-1",  "1--2", "1-2-3",
		"3-1", "1 2", " 1", "1x",   "0x3", "1\n", "+1",
	};
	static const char *const far[] = {
		"64", "0-64", "18446744073709551616", "0-18446744073709551616", "4294967296",
	};
	struct seen s;

	assert_int_equal(parse(&s, ""), 0);
	assert_int_equal(s.nr, 0);
	assert_int_equal(parse(&s, "5"), 0);
	assert_int_equal(s.nr, 1);
	assert_int_equal(s.n[0], 5);
	assert_int_equal(parse(&s, "0-3,7,60-63"), 0);
	assert_int_equal(s.nr, 9);
	assert_int_equal(s.n[3], 3);
	assert_int_equal(s.n[4], 7);
	assert_int_equal(s.n[8], 63);
	assert_int_equal(parse(&s, "2-2"), 0);
	assert_int_equal(s.nr, 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(parse(&s, bad[i]), -EINVAL);
	for (size_t i = 0; i < sizeof(far) / sizeof(*far); i++)
		assert_int_equal(parse(&s, far[i]), -ERANGE);

	s = (struct seen){ .fail_at = 2 };
	assert_int_equal(ht_parse_list("0-9", 64, note, &s), 7);
	assert_int_equal(s.nr, 2);
}

static void test_parse_mask(void **state)
{
	bool mask[8] = { [6] = true };

	assert_int_equal(ht_parse_mask("1-2,5", 8, mask), 0);
	for (unsigned int i = 0; i < 8; i++)
		assert_int_equal(mask[i], i == 1 || i == 2 || i == 5 || i == 6);
	assert_int_equal(ht_parse_mask("7-8", 8, mask), -ERANGE);
	assert_int_equal(ht_parse_mask("x", 8, mask), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read_str, fs_setup, fs_teardown),
		cmocka_unit_test_setup_teardown(test_read_u64, fs_setup, fs_teardown),
		cmocka_unit_test_setup_teardown(test_write_str, fs_setup, fs_teardown),
		cmocka_unit_test(test_parse_list),
		cmocka_unit_test(test_parse_mask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
