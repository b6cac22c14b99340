// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * DAMON: its sysfs as a directory of files, with the tracepoint attached for real; and what the
 * running kernel says, without touching its DAMON.
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

#define KD "sys/kernel/mm/damon/admin/kdamonds/"
#define CTX KD "0/contexts/0/"
#define MAX_T 4

struct fixture {
	char dir[64], sys[80], proc[80], run[80];
	struct ht_roots roots;
	struct ht_source_opts opts;
	struct ht_object obj;
	bool bpf;
	struct ht_journal *journal;
	struct ht_proc proc_[MAX_T];
	struct ht_targets targets;
};

static void put_damon(struct fixture *f)
{
	char path[160], text[32];
	uint64_t id;
	int i;

	fs_put(f->dir, KD "nr_kdamonds", "0\n");
	fs_put(f->dir, KD "0/state", "off\n");
	fs_put(f->dir, KD "0/pid", "-1\n");
	fs_put(f->dir, KD "0/contexts/nr_contexts", "0\n");
	fs_put(f->dir, CTX "avail_operations", "vaddr\nfvaddr\npaddr\n");
	fs_put(f->dir, CTX "operations", "\n");
	fs_put(f->dir, CTX "monitoring_attrs/intervals/sample_us", "\n");
	fs_put(f->dir, CTX "monitoring_attrs/intervals/aggr_us", "\n");
	fs_put(f->dir, CTX "monitoring_attrs/intervals/update_us", "\n");
	fs_put(f->dir, CTX "monitoring_attrs/nr_regions/min", "\n");
	fs_put(f->dir, CTX "monitoring_attrs/nr_regions/max", "\n");
	fs_put(f->dir, CTX "targets/nr_targets", "\n");
	for (i = 0; i < MAX_T; i++) {
		snprintf(path, sizeof(path), CTX "targets/%d/pid_target", i);
		fs_put(f->dir, path, "\n");
	}
	fs_put(f->dir, "proc/kallsyms", "0000000000000000 t damon_va_update\n");
	if (ht_tracepoint_id(&ht_host_roots, "damon/damon_aggregated", &id))
		return;
	snprintf(text, sizeof(text), "%lu\n", (unsigned long)id);
	fs_put(f->dir, "sys/kernel/tracing/events/damon/damon_aggregated/id", text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	size_t recovered;
	uint64_t id;

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	snprintf(f->run, sizeof(f->run), "%s/run", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
	f->opts.roots = &f->roots;
	f->targets.proc = f->proc_;
	put_damon(f);
	if (ht_journal_open(&f->journal, f->run, &recovered))
		abort();
	ht_journal_allow(f->journal, f->dir);
	f->bpf = !ht_tracepoint_id(&ht_host_roots, "damon/damon_aggregated", &id) &&
		 bpf_setup(&f->obj, HT_SRC_DAMON, NULL);
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

/* Plain files keep what a shorter write leaves of the old text: only the beginning counts. */
static void expect_file(struct fixture *f, const char *path, const char *val)
{
	const char *got = fs_get(f->dir, path);

	if (strncmp(got, val, strlen(val)))
		fail_msg("%s holds '%s', not '%s'", path, got, val);
}

static void set_targets(struct fixture *f, size_t nr, const pid_t *tgid)
{
	size_t i;

	memset(f->proc_, 0, sizeof(f->proc_));
	for (i = 0; i < nr; i++) {
		f->proc_[i].tgid = tgid[i];
		f->proc_[i].rss_bytes = 1ULL << 30;
	}
	f->targets.nr = nr;
}

static uint32_t slot(struct fixture *f, uint32_t idx)
{
	uint32_t tgid = 0;

	assert_int_equal(bpf_map_lookup_elem(f->obj.src.map_damon_targets, &idx, &tgid), 0);
	return tgid;
}

static struct ht_source *open_ok(struct fixture *f)
{
	struct ht_source *src;

	assert_int_equal(ht_source_open(&src, HT_SRC_DAMON, &f->opts, &f->obj.src, f->journal), 0);
	return src;
}

static void test_setup_and_targets(void **state)
{
	const pid_t first[] = { 100, 200 };
	struct fixture *f = *state;
	struct ht_source_stats st;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	expect_file(f, KD "nr_kdamonds", "1");
	expect_file(f, KD "0/contexts/nr_contexts", "1");
	expect_file(f, CTX "operations", "vaddr");
	expect_file(f, CTX "monitoring_attrs/intervals/sample_us", "5000");
	expect_file(f, CTX "monitoring_attrs/intervals/aggr_us", "100000");
	expect_file(f, KD "0/state", "off"); /* no targets yet */
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, KD "0/state", "off");
	set_targets(f, 2, first);
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, KD "0/state", "on");
	expect_file(f, CTX "targets/nr_targets", "2");
	expect_file(f, CTX "targets/0/pid_target", "100");
	expect_file(f, CTX "targets/1/pid_target", "200");
	expect_file(f, CTX "monitoring_attrs/nr_regions/max", "512"); /* 2 GiB in 4 MiB */
	expect_file(f, CTX "monitoring_attrs/nr_regions/min", "51");
	assert_int_equal(slot(f, 0), 100);
	assert_int_equal(slot(f, 1), 200);
	assert_int_equal(ht_source_stats(src, &st), 0);
	assert_int_equal(st.due, 0);
	ht_source_close(src);
	expect_file(f, KD "0/state", "off");
	expect_file(f, KD "nr_kdamonds", "0");
	assert_int_equal(slot(f, 0), 0);
	assert_int_equal(slot(f, 1), 0);
}

/* DAMON stopped by itself (its only target had exited): the next target starts it again. */
static void test_targets_change(void **state)
{
	const pid_t first[] = { 100, 200, 300 }, second[] = { 200, 300, 400, 500 };
	struct fixture *f = *state;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	set_targets(f, 3, first);
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	set_targets(f, 4, second);
	fs_put(f->dir, KD "0/state", "off\n");
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, KD "0/state", "on");
	expect_file(f, CTX "targets/nr_targets", "4");
	/* A new one takes the gone one's slot, the next comes behind; the others stay. */
	assert_int_equal(slot(f, 0), 400);
	assert_int_equal(slot(f, 1), 200);
	assert_int_equal(slot(f, 2), 300);
	assert_int_equal(slot(f, 3), 500);
	expect_file(f, CTX "targets/0/pid_target", "400");
	expect_file(f, CTX "targets/3/pid_target", "500");
	/* All gone; before that, too soon after the last change, nothing happens. */
	set_targets(f, 0, NULL);
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, KD "0/state", "on");
	fs_put(f->dir, KD "0/state", "off\n");
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	assert_int_equal(slot(f, 0), 0);
	ht_source_close(src);
}

/* A hole in the middle holds ourselves and is booked on nobody; one at the end goes. */
static void test_holes(void **state)
{
	const pid_t first[] = { 100, 200, 300 }, second[] = { 100, 300 }, third[] = { 100 };
	struct fixture *f = *state;
	struct ht_source *src;
	char self[16];

	if (!f->bpf)
		skip();
	snprintf(self, sizeof(self), "%d", getpid());
	src = open_ok(f);
	set_targets(f, 3, first);
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	set_targets(f, 2, second);
	fs_put(f->dir, KD "0/state", "off\n");
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	assert_int_equal(slot(f, 1), 0);
	assert_int_equal(slot(f, 2), 300);
	expect_file(f, CTX "targets/nr_targets", "3");
	expect_file(f, CTX "targets/1/pid_target", self);
	set_targets(f, 1, third);
	fs_put(f->dir, KD "0/state", "off\n");
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, CTX "targets/nr_targets", "1");
	assert_int_equal(slot(f, 0), 100);
	assert_int_equal(slot(f, 2), 0);
	ht_source_close(src);
}

/* Never closed: the journal switches the kdamond off, then takes it away. */
static void test_journal_restores(void **state)
{
	const pid_t tgid[] = { 100 };
	struct fixture *f = *state;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	set_targets(f, 1, tgid);
	assert_int_equal(ht_source_epoch(src, &f->targets), 0);
	expect_file(f, KD "0/state", "on");
	assert_int_equal(ht_journal_undo(f->journal), 0);
	expect_file(f, KD "0/state", "off");
	expect_file(f, KD "nr_kdamonds", "0");
	ht_source_close(src);
}

static void expect_reason(struct fixture *f, const char *says)
{
	struct ht_source *src;
	struct fs_log log;
	char why[512];

	assert_int_equal(ht_source_choose(HT_SRC_DAMON, &f->opts, why, sizeof(why)), -ENODEV);
	if (!strstr(why, says))
		fail_msg("'%s' does not say '%s'", why, says);
	if (!f->bpf || strstr(says, "CONFIG"))
		return;
	fs_log_start(&log);
	assert_true(ht_source_open(&src, HT_SRC_DAMON, &f->opts, &f->obj.src, f->journal) < 0);
	if (!strstr(fs_log_end(&log), says))
		fail_msg("opening does not say '%s'", says);
}

static void test_others_are_left_alone(void **state)
{
	struct fixture *f = *state;

	fs_put(f->dir, KD "nr_kdamonds", "1\n");
	fs_put(f->dir, KD "0/state", "on\n");
	expect_reason(f, "somebody else's DAMON is running");
	fs_put(f->dir, KD "0/state", "off\n");
	expect_reason(f, "somebody has set up 1 kdamond");
	fs_put(f->dir, KD "nr_kdamonds", "99999999999\n");
	expect_reason(f, "somebody has set up");
	fs_put(f->dir, KD "nr_kdamonds", "2\n");
	fs_put(f->dir, KD "1/state", "on\n");
	expect_reason(f, "somebody else's DAMON is running");
	expect_file(f, KD "nr_kdamonds", "2");
	fs_put(f->dir, KD "nr_kdamonds", "junk\n");
	expect_reason(f, "cannot be read");
}

/* The kernel's own users: the one that only counts is stopped and started again. */
static void test_kernel_modules(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;

	fs_put(f->dir, "sys/module/damon_reclaim/parameters/enabled", "Y\n");
	expect_reason(f, "damon_reclaim is on");
	fs_put(f->dir, "sys/module/damon_reclaim/parameters/enabled", "N\n");
	fs_put(f->dir, "sys/module/damon_stat/parameters/enabled", "Y\n");
	if (!f->bpf)
		skip();
	src = open_ok(f);
	expect_file(f, "sys/module/damon_stat/parameters/enabled", "N");
	assert_non_null(strstr(ht_source_detail(src), "damon_stat"));
	ht_source_close(src);
	expect_file(f, "sys/module/damon_stat/parameters/enabled", "Y");
	src = open_ok(f);
	assert_int_equal(ht_journal_undo(f->journal), 0);
	expect_file(f, "sys/module/damon_stat/parameters/enabled", "Y");
	ht_source_close(src);
}

static void test_kernel_without_vaddr(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;
	struct fs_log log;

	fs_put(f->dir, "proc/kallsyms", "0000000000000000 t damon_pa_init\n");
	expect_reason(f, "CONFIG_DAMON_VADDR");
	if (!f->bpf)
		return;
	/* sysfs is the last to tell; nothing stays behind. */
	fs_put(f->dir, CTX "avail_operations", "paddr\n");
	fs_log_start(&log);
	assert_int_equal(ht_source_open(&src, HT_SRC_DAMON, &f->opts, &f->obj.src, f->journal),
			 -EOPNOTSUPP);
	assert_non_null(strstr(fs_log_end(&log), "CONFIG_DAMON_VADDR"));
	expect_file(f, KD "nr_kdamonds", "0");
	fs_rmtree(f->sys);
	expect_reason(f, "CONFIG_DAMON_SYSFS");
}

/* The running kernel: usable, or the reason that is true of it. */
static void test_this_kernel(void **state)
{
	struct ht_source_info info[HT_SRC_NR];
	int nr = ht_source_list(info, NULL), i;
	char *line = NULL;
	bool vaddr = false;
	size_t cap = 0;
	FILE *f;

	f = fopen("/proc/kallsyms", "r");
	while (f && getline(&line, &cap, f) > 0)
		vaddr |= strstr(line, " damon_va_") != NULL;
	free(line);
	if (f)
		fclose(f);
	for (i = 0; i < nr; i++) {
		if (info[i].id != HT_SRC_DAMON)
			continue;
		print_message("%s\n", info[i].why);
		if (!access("/sys/kernel/mm/damon/admin", F_OK) && !vaddr)
			assert_non_null(strstr(info[i].why, "CONFIG_DAMON_VADDR"));
		assert_true(!info[i].usable || vaddr);
	}
}

static void epochs(struct fixture *f, struct ht_source *src, double seconds)
{
	double end = ht_workout_now() + seconds;

	do {
		assert_int_equal(ht_source_epoch(src, &f->targets), 0);
		usleep(100000);
	} while (ht_workout_now() < end);
}

/*
 * A real kdamond, where nobody minds (the lab): two processes, one of which joins later. Each one's
 * heat must be where its own buffer is, though both have the same addresses mapped.
 */
static void test_real_kdamond(void **state)
{
	struct fixture *f = *state;
	struct ht_heatmap heat;
	struct ht_source *src;
	struct busy one, two;
	uint64_t before;
	char why[512];

	f->opts.roots = NULL;
	if (!f->bpf || !getenv("HT_LAB") ||
	    ht_source_choose(HT_SRC_DAMON, &f->opts, why, sizeof(why)) < 0)
		skip();
	assert_int_equal(ht_heatmap_init(&heat, &f->obj.mem), 0);
	f->obj.mem.ctl->enabled = 1;
	busy_start(&one, 32 << 20);
	busy_start(&two, 48 << 20);
	bpf_add_target(&f->obj, one.pid);
	bpf_add_target(&f->obj, two.pid);
	src = open_ok(f);
	print_message("%s\n", ht_source_detail(src));
	set_targets(f, 1, &one.pid);
	epochs(f, src, 3);
	assert_true(bpf_heat(&heat, one.pid, &one.w) > 0);
	assert_int_equal(bpf_heat(&heat, two.pid, &two.w), 0);
	set_targets(f, 2, (pid_t[]){ one.pid, two.pid });
	epochs(f, src, 8);
	assert_true(bpf_heat(&heat, two.pid, &two.w) > 0);
	/* The first one goes; the second one's reports are still its own. */
	busy_stop(&one);
	set_targets(f, 1, &two.pid);
	epochs(f, src, 6);
	before = bpf_heat(&heat, two.pid, &two.w);
	epochs(f, src, 2);
	print_message("heat of the second: %lu, then %lu\n", (unsigned long)before,
		      (unsigned long)bpf_heat(&heat, two.pid, &two.w));
	assert_true(bpf_heat(&heat, two.pid, &two.w) > before);
	ht_source_close(src);
	assert_int_equal(system("test $(cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds) = 0"),
			 0);
	busy_stop(&two);
	ht_heatmap_free(&heat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_setup_and_targets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_targets_change, setup, teardown),
		cmocka_unit_test_setup_teardown(test_holes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal_restores, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_modules, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kernel_without_vaddr, setup, teardown),
		cmocka_unit_test(test_this_kernel),
		cmocka_unit_test_setup_teardown(test_real_kdamond, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
