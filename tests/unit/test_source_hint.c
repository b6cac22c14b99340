// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Hint faults: settings in a directory that stands for /proc/sys and debugfs, with the real
 * journal; and the tracepoint for real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "source.h"
#include "source_bpf.h"
#include "targets.h"
#include "tracepoint.h"
#include "workout.h"

#define MODE "proc/sys/kernel/numa_balancing"
#define LIMIT "proc/sys/kernel/numa_balancing_promote_rate_limit_MBps"
#define SCAN "sys/kernel/debug/sched/numa_balancing/scan_period_max_ms"
#define TP "sys/kernel/tracing/events/exceptions/page_fault_user/"
#define PAGES 2000

struct fixture {
	char dir[64], sys[80], proc[80], run[80];
	struct ht_roots roots;
	struct ht_source_opts opts;
	struct ht_object obj;
	bool bpf;
	struct ht_journal *journal;
};

/* The fake root names the host's tracepoint, so that attaching is real. */
static void put_tracepoint(struct fixture *f)
{
	char text[32];
	uint64_t id;

	if (ht_tracepoint_id(&ht_host_roots, "exceptions/page_fault_user", &id))
		return;
	snprintf(text, sizeof(text), "%lu\n", (unsigned long)id);
	fs_put(f->dir, TP "id", text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	size_t recovered;

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	snprintf(f->run, sizeof(f->run), "%s/run", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
	f->opts.roots = &f->roots;
	fs_put(f->dir, MODE, "0\n");
	fs_put(f->dir, LIMIT, "65536\n");
	fs_put(f->dir, SCAN, "60000\n");
	fs_put(f->dir, "proc/vmstat", "nr_free_pages 5\nnuma_hint_faults 1000\n");
	fs_put(f->dir, "sys/devices/system/node/has_cpu", "0\n");
	put_tracepoint(f);
	if (ht_journal_open(&f->journal, f->run, &recovered))
		abort();
	ht_journal_allow(f->journal, f->dir);
	f->bpf = bpf_setup(&f->obj, HT_SRC_HINT_FAULT, NULL);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->bpf)
		ht_object_close(&f->obj);
	ht_journal_close(f->journal);
	fs_rmtree(f->dir);
	free(f);
	return 0;
}

static void expect_file(struct fixture *f, const char *path, const char *val)
{
	const char *got = fs_get(f->dir, path);

	if (strtol(got, NULL, 10) != strtol(val, NULL, 10))
		fail_msg("%s holds '%s', not %s", path, got, val);
}

static void test_settings_and_back(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_source_stats st;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	assert_int_equal(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal),
			 0);
	expect_file(f, MODE, "3"); /* one node with CPUs */
	expect_file(f, LIMIT, "0");
	expect_file(f, SCAN, "4000");
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	fs_put(f->dir, "proc/vmstat", "numa_hint_faults 1234\n");
	assert_int_equal(ht_source_stats(src, &st), 0);
	assert_int_equal(st.due, 234);
	ht_source_close(src);
	expect_file(f, MODE, "0");
	expect_file(f, LIMIT, "65536");
	expect_file(f, SCAN, "60000");
}

/* A source that is never closed: the journal alone puts everything back. */
static void test_journal_restores(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;
	char lim[16];

	if (!f->bpf)
		skip();
	assert_int_equal(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal),
			 0);
	snprintf(lim, sizeof(lim), "%.8s", fs_get(f->dir, LIMIT));
	assert_int_equal(ht_journal_undo(f->journal), 0);
	expect_file(f, MODE, "0");
	expect_file(f, LIMIT, "65536");
	expect_file(f, SCAN, "60000");
	ht_source_close(src);
	expect_file(f, MODE, "0");
}

static void test_two_cpu_nodes(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	fs_put(f->dir, "sys/devices/system/node/has_cpu", "0-1\n");
	fs_put(f->dir, SCAN, "1000\n"); /* short already: stays */
	assert_int_equal(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal),
			 0);
	expect_file(f, MODE, "2");
	expect_file(f, SCAN, "1000");
	ht_source_close(src);
}

static void expect_reason(struct fixture *f, const char *says)
{
	char why[512];

	assert_int_equal(ht_source_choose(HT_SRC_HINT_FAULT, &f->opts, why, sizeof(why)), -ENODEV);
	if (!strstr(why, says))
		fail_msg("'%s' does not say '%s'", why, says);
}

static void test_reasons(void **state)
{
	struct fixture *f = *state;
	char path[160];

	snprintf(path, sizeof(path), "%s/" TP "id", f->dir);
	unlink(path);
	expect_reason(f, "page_fault_user");
	fs_put(f->dir, TP "id", "junk\n");
	expect_reason(f, "page_fault_user");
	snprintf(path, sizeof(path), "%s/" LIMIT, f->dir);
	unlink(path);
	expect_reason(f, "6.1");
	snprintf(path, sizeof(path), "%s/" MODE, f->dir);
	unlink(path);
	expect_reason(f, "CONFIG_NUMA_BALANCING");
}

/* A refused setting leaves nothing changed. */
static void test_failure_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;
	struct fs_log log;
	char path[160];

	if (!f->bpf)
		skip();
	snprintf(path, sizeof(path), "%s/" MODE, f->dir);
	unlink(path);
	fs_log_start(&log);
	assert_true(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal) < 0);
	assert_non_null(strstr(fs_log_end(&log), "numa_balancing"));
	expect_file(f, LIMIT, "65536");
	expect_file(f, SCAN, "60000");
}

/* Faults of the running kernel: each first touch arrives with its address. */
static void test_tracepoint_for_real(void **state)
{
	struct fixture *f = *state;
	struct ht_heatmap heat;
	struct ht_workout w;
	struct ht_cpu_stats cpu;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	assert_int_equal(ht_heatmap_init(&heat, &f->obj.mem), 0);
	f->obj.mem.ctl->enabled = 1;
	bpf_add_target(&f->obj, getpid());
	assert_int_equal(ht_workout_open(&w, PAGES * 4096), 0);
	assert_int_equal(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal),
			 0);
	ht_workout_fault(&w);
	bpf_stats(&f->obj, &cpu);
	assert_true(cpu.counted >= PAGES);
	assert_int_equal(cpu.drop[HT_DROP_NO_ADDR], 0);
	assert_int_equal(cpu.by_source[HT_SRC_HINT_FAULT], cpu.seen);
	ht_source_close(src);
	bpf_stats(&f->obj, &cpu);
	ht_workout_fault(&w);
	{
		struct ht_cpu_stats after;

		bpf_stats(&f->obj, &after);
		assert_int_equal(after.seen, cpu.seen);
	}
	ht_workout_close(&w);
	ht_heatmap_free(&heat);
}

/* The running kernel's NUMA balancing, where nobody minds (the lab). */
static void test_real_hint_faults(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_source_stats st;
	struct ht_heatmap heat;
	struct ht_source *src;
	struct ht_cpu_stats cpu;
	struct busy b;
	uint64_t mode, now;
	char cmd[64];
	int i;

	f->opts.roots = NULL;
	if (!f->bpf || !getenv("HT_LAB"))
		skip();
	assert_int_equal(ht_read_u64(&mode, "/proc/sys/kernel/numa_balancing"), 0);
	assert_int_equal(ht_heatmap_init(&heat, &f->obj.mem), 0);
	f->obj.mem.ctl->enabled = 1;
	busy_start(&b, 64 << 20);
	snprintf(cmd, sizeof(cmd), "migratepages %d 0 1", b.pid);
	assert_int_equal(system(cmd), 0); /* to the slow node */
	bpf_add_target(&f->obj, b.pid);
	assert_int_equal(ht_source_open(&src, HT_SRC_HINT_FAULT, &f->opts, &f->obj.src, f->journal),
			 0);
	print_message("%s\n", ht_source_detail(src));
	for (i = 0; i < 30; i++) { /* an emulated CPU may be slow */
		sleep(1);
		assert_int_equal(ht_source_epoch(src, &targets), 0);
		assert_int_equal(ht_source_stats(src, &st), 0);
		if (st.due > 1000)
			break;
	}
	bpf_stats(&f->obj, &cpu);
	print_message("%lu counted of %lu hint faults\n", (unsigned long)cpu.counted,
		      (unsigned long)st.due);
	assert_true(st.due > 1000);
	assert_true(cpu.seen >= st.due / 10 * 9);
	assert_true(bpf_heat(&heat, b.pid, &b.w) > 1000);
	ht_source_close(src);
	assert_int_equal(ht_read_u64(&now, "/proc/sys/kernel/numa_balancing"), 0);
	assert_int_equal(now, mode);
	busy_stop(&b);
	ht_heatmap_free(&heat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_settings_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal_restores, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_cpu_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failure_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tracepoint_for_real, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real_hint_faults, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
