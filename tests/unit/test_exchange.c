// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exchange.h"
#include "hook_kernel.h"
#include "migrate.h"

static void no_device(void **state)
{
	struct ht_xchg_info info;
	char why[128] = "";

	assert_int_equal(ht_exchange_open("/nonexistent/hypertier", &info, why, sizeof(why)),
			 -ENOENT);
	assert_non_null(strstr(why, "not loaded"));
}

/* Another device, and a file, in its place. */
static void other_device(void **state)
{
	char path[] = "/tmp/test_exchange.XXXXXX", why[128] = "";
	struct ht_xchg_info info;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(ht_exchange_open(path, &info, why, sizeof(why)), -ENODEV);
	assert_true(*why);
	*why = '\0';
	assert_true(ht_exchange_open("/dev/null", &info, why, sizeof(why)) < 0);
	assert_true(*why);
	close(fd);
	unlink(path);
}

static void limits(void **state)
{
	struct ht_xchg_pair pair = {};

	assert_int_equal(ht_exchange_pairs(-1, &pair, HT_XCHG_MAX + 1, false, -1, -1, NULL, 0),
			 -E2BIG);
	assert_int_equal(ht_exchange_pairs(-1, &pair, HT_XCHG_MAX_HUGE + 1, true, -1, -1, NULL, 0),
			 -E2BIG);
	assert_int_equal(ht_exchange_pairs(-1, &pair, 1, false, -1, -1, NULL, 0), -EBADF);
}

static void names(void **state)
{
	unsigned int i, j;

	for (i = 0; i < HT_XCHG_STATUS_NR; i++) {
		assert_non_null(ht_exchange_status_name(i));
		for (j = 0; j < i; j++)
			assert_string_not_equal(ht_exchange_status_name(i),
						ht_exchange_status_name(j));
	}
	assert_string_equal(ht_exchange_status_name(HT_XCHG_STATUS_NR), "unknown");
}

/* The layouts are a contract: a change of size without another version is a mistake. */
static void layouts(void **state)
{
	assert_int_equal(sizeof(struct ht_xchg_pair), 32);
	assert_int_equal(sizeof(struct ht_xchg), 48);
	assert_int_equal(offsetof(struct ht_xchg_info, version), 0);
	assert_int_equal(offsetof(struct ht_xchg_info, stats) % 8, 0);
	assert_true(HT_XCHG_STATUS_NR <= 16);
}

static void backends(void **state)
{
	struct ht_migrate *m;

	assert_int_equal(ht_migrate_open(&m), 0);
	if (!ht_migrate_pairs(m)) {
		assert_string_equal(ht_migrate_backend(m), "move_pages");
		assert_int_equal(ht_migrate_choose(m, HT_BACKEND_EXCHANGE), -ENODEV);
		assert_int_equal(ht_migrate_choose(m, HT_BACKEND_AUTO), 0);
	}
	assert_int_equal(ht_migrate_choose(m, HT_BACKEND_MOVE_PAGES), 0);
	assert_false(ht_migrate_pairs(m));
	assert_non_null(strstr(ht_migrate_why(m), "asked for"));
	ht_migrate_close(m);
}

/* Without the module's BTF there is no type to attach to, and nothing to take back. */
static void no_hook(void **state)
{
	struct ht_roots roots = { .sys = "/nonexistent", .proc = "/nonexistent" };
	struct ht_hook_kernel h = {};
	char why[128] = "";

	assert_false(ht_hook_kernel_there(&roots));
	assert_true(ht_hook_kernel_attach(&h, &roots, NULL, -1, "x", why, sizeof(why)) < 0);
	assert_true(*why && h.link == 0 && h.map == 0 && h.prog == 0);
	ht_hook_kernel_detach(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_device), cmocka_unit_test(other_device),
		cmocka_unit_test(limits),    cmocka_unit_test(names),
		cmocka_unit_test(layouts),   cmocka_unit_test(backends),
		cmocka_unit_test(no_hook),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
