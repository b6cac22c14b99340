// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Names, the list, and which source auto chooses and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hypertier/lab_ring.h>

#include "fs.h"
#include "source.h"

struct fixture {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
	struct ht_source_opts opts;
	char why[1024];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
	f->opts.roots = &f->roots;
	unsetenv("HT_LAB_RING");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fs_rmtree(f->dir);
	free(f);
	return 0;
}

static int choose(struct fixture *f, enum ht_source_id want)
{
	return ht_source_choose(want, &f->opts, f->why, sizeof(f->why));
}

static void says(struct fixture *f, const char *what)
{
	if (!strstr(f->why, what))
		fail_msg("'%s' does not say '%s'", f->why, what);
}

static void test_names(void **state)
{
	static const char *const names[] = { "pebs",	   "ibs",      "damon",
					     "hint-fault", "emulated", "page-fault" };
	size_t i;
	int id;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		id = ht_source_parse(names[i]);
		assert_true(id > HT_SRC_NONE && id < HT_SRC_NR);
		assert_string_equal(ht_source_name(id), names[i]);
	}
	assert_int_equal(ht_source_parse("auto"), HT_SRC_NONE);
	assert_string_equal(ht_source_name(HT_SRC_NONE), "auto");
	assert_int_equal(ht_source_parse("PEBS"), -EINVAL);
	assert_int_equal(ht_source_parse(""), -EINVAL);
	assert_string_equal(ht_source_name(99), "unknown");
	assert_string_equal(ht_source_fentry_target(HT_SRC_PEBS), "perf_event_output");
	assert_null(ht_source_fentry_target(HT_SRC_DAMON));
}

/* A machine that has nothing: no source, and a reason for each. */
static void test_nothing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(choose(f, HT_SRC_NONE), -ENODEV);
	says(f, "no source");
	says(f, "pebs (");
	says(f, "ibs (");
	says(f, "emulated (");
	says(f, "damon (");
	says(f, "hint-fault (");
	assert_int_equal(choose(f, 99), -EINVAL);
}

static void put_hint(struct fixture *f)
{
	fs_put(f->dir, "proc/sys/kernel/numa_balancing", "0\n");
	fs_put(f->dir, "proc/sys/kernel/numa_balancing_promote_rate_limit_MBps", "65536\n");
	fs_put(f->dir, "sys/kernel/tracing/events/exceptions/page_fault_user/id", "77\n");
}

static void put_damon(struct fixture *f)
{
	fs_put(f->dir, "sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "0\n");
	fs_put(f->dir, "proc/kallsyms", "0000000000000000 t damon_va_update\n");
	fs_put(f->dir, "sys/kernel/tracing/events/damon/damon_aggregated/id", "78\n");
}

static void put_ring(struct fixture *f)
{
	struct ht_ring_hdr hdr = {
		.magic = HT_RING_MAGIC,
		.version = HT_RING_VERSION,
		.record_size = sizeof(struct ht_ring_rec),
		.nr_slots = 64,
	};
	char file[HT_RING_DATA_OFFSET + 64 * sizeof(struct ht_ring_rec)] = {};

	memcpy(file, &hdr, sizeof(hdr));
	fs_put(f->dir, "sys/bus/pci/devices/0000:00:04.0/vendor", "0x1af4\n");
	fs_put(f->dir, "sys/bus/pci/devices/0000:00:04.0/device", "0x1110\n");
	fs_put_bytes(f->dir, "sys/bus/pci/devices/0000:00:04.0/resource2", file, sizeof(file));
}

static void put_ibs(struct fixture *f)
{
	fs_put(f->dir, "sys/bus/event_source/devices/ibs_op/type", "11\n");
}

static void put_pebs(struct fixture *f, const char *type)
{
	fs_put(f->dir, "sys/bus/event_source/devices/cpu/type", type);
}

/* From the last resort up: each better source that appears is taken instead. */
static void test_order(void **state)
{
	struct fixture *f = *state;

	put_hint(f);
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_HINT_FAULT);
	says(f, "passed over: pebs (");
	says(f, "damon (");
	put_damon(f);
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_DAMON);
	put_ring(f);
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_EMULATED);
	put_ibs(f);
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_IBS);
	put_pebs(f, "4\n");
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_PEBS);
	assert_null(strstr(f->why, "passed over"));
	/* Asked for by name, the better ones do not matter. */
	assert_int_equal(choose(f, HT_SRC_DAMON), HT_SRC_DAMON);
	says(f, "as asked for");
	assert_int_equal(choose(f, HT_SRC_PAGE_FAULT), HT_SRC_PAGE_FAULT);
}

/* A PMU that is described and gives no samples: found out by the trial, unless asked for. */
static void test_trial(void **state)
{
	struct fixture *f = *state;

	put_hint(f);
	put_pebs(f, "99999\n"); /* no kernel has that many types of events */
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_PEBS);
	f->opts.trial = true;
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_HINT_FAULT);
	says(f, "pebs (a trial: ");
	assert_int_equal(choose(f, HT_SRC_PEBS), HT_SRC_PEBS);
}

/* A PCI device of that kind without a ring in it is somebody else's. */
static void test_foreign_ivshmem(void **state)
{
	struct fixture *f = *state;

	put_hint(f);
	put_ring(f);
	fs_put(f->dir, "sys/bus/pci/devices/0000:00:04.0/resource2", "");
	assert_int_equal(choose(f, HT_SRC_NONE), HT_SRC_HINT_FAULT);
}

static void test_short_buffers(void **state)
{
	struct fixture *f = *state;
	char tiny[8];

	assert_int_equal(ht_source_choose(HT_SRC_NONE, &f->opts, tiny, sizeof(tiny)), -ENODEV);
	assert_true(strlen(tiny) < sizeof(tiny));
	assert_int_equal(ht_source_choose(HT_SRC_NONE, &f->opts, tiny, 0), -ENODEV);
}

/* This machine, with no options at all. */
static void test_list(void **state)
{
	struct ht_source_info info[HT_SRC_NR];
	int nr = ht_source_list(info, NULL), i;

	assert_int_equal(nr, 6);
	for (i = 0; i < nr; i++) {
		print_message("%-11s %-3s %s\n", info[i].name, info[i].usable ? "yes" : "no",
			      info[i].why);
		assert_true(strlen(info[i].what) > 0);
		assert_true(strlen(info[i].why) > 0);
	}
}

static void test_probe_says_why_not(void **state)
{
	struct fixture *f = *state;
	struct ht_source_probe res;

	assert_true(ht_source_probe(HT_SRC_PEBS, &f->opts, 10, &res) < 0);
	assert_int_equal(strncmp(res.verdict, "cannot be used: ", 16), 0);
	assert_int_equal(ht_source_probe(99, &f->opts, 10, &res), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test_setup_teardown(test_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trial, setup, teardown),
		cmocka_unit_test_setup_teardown(test_foreign_ivshmem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_short_buffers, setup, teardown),
		cmocka_unit_test(test_list),
		cmocka_unit_test_setup_teardown(test_probe_says_why_not, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
