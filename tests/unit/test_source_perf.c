// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * perf sources: events of several CPUs from their descriptions, attributes field by field, and page
 * faults for real through both BPF programs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "perf_spec.h"
#include "source_bpf.h"
#include "targets.h"
#include "workout.h"

#define DEV "sys/bus/event_source/devices/"
#define PAGES 2000

struct fixture {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
	struct ht_source_opts opts;
	struct ht_perf_spec spec[HT_PERF_MAX_SPECS];
	char why[256];
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
	f->opts.roots = &f->roots;
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

static void put_cpu(struct fixture *f, const char *vendor, bool vm)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "vendor_id\t: %s\ncpu family\t: 6\nmodel\t: 106\nmodel name\t: Some CPU\n"
		 "flags\t\t: fpu%s\n\n",
		 vendor, vm ? " hypervisor" : "");
	fs_put(f->dir, "proc/cpuinfo", text);
}

static void put_pmu(struct fixture *f, const char *name, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), DEV "%s/%s", name, file);
	fs_put(f->dir, path, text);
}

static void put_core(struct fixture *f, const char *name, const char *type, const char *loads,
		     const char *stores)
{
	put_pmu(f, name, "type", type);
	put_pmu(f, name, "format/event", "config:0-7\n");
	put_pmu(f, name, "format/umask", "config:8-15\n");
	put_pmu(f, name, "format/ldlat", "config1:0-15\n");
	put_pmu(f, name, "events/mem-loads", loads);
	put_pmu(f, name, "events/mem-stores", stores);
	put_pmu(f, name, "caps/max_precise", "3\n");
}

static int specs(struct fixture *f, enum ht_source_id id)
{
	f->why[0] = '\0';
	return ht_perf_specs(id, &f->opts, f->spec, f->why, sizeof(f->why));
}

static void test_ice_lake(void **state)
{
	struct fixture *f = *state;

	put_cpu(f, "GenuineIntel", false);
	put_core(f, "cpu", "4\n", "event=0xcd,umask=0x1,ldlat=3\n", "event=0xd0,umask=0x82\n");
	assert_int_equal(specs(f, HT_SRC_PEBS), 2);
	assert_string_equal(f->spec[0].name, "cpu/mem-loads");
	assert_int_equal(f->spec[0].type, 4);
	assert_int_equal(f->spec[0].cfg.word[0], 0x1cd);
	assert_int_equal(f->spec[0].cfg.word[1], 150);
	assert_int_equal(f->spec[0].period, 4093);
	assert_int_equal(f->spec[0].precise, 3);
	assert_false(f->spec[0].has_leader);
	assert_int_equal(f->spec[1].cfg.word[0], 0x82d0);
	assert_int_equal(f->spec[1].cfg.word[1], 0);
	assert_int_equal(f->spec[1].period, 65537);
	f->opts.period = 1000;
	f->opts.ldlat = 300;
	assert_int_equal(specs(f, HT_SRC_PEBS), 2);
	assert_int_equal(f->spec[0].period, 1000);
	assert_int_equal(f->spec[0].cfg.word[1], 300);
	assert_int_equal(f->spec[1].period, 16011); /* 1000 * 65537 / 4093 */
	f->opts.ldlat = 70000;
	assert_int_equal(specs(f, HT_SRC_PEBS), -ERANGE);
	assert_non_null(strstr(f->why, "--ldlat"));
}

/* Nothing named, nothing said of precision: raw events, and the highest precision is tried. */
static void test_unnamed_events(void **state)
{
	struct fixture *f = *state;

	put_cpu(f, "GenuineIntel", false);
	put_pmu(f, "cpu", "type", "4\n");
	assert_int_equal(specs(f, HT_SRC_PEBS), 2);
	assert_int_equal(f->spec[0].cfg.word[0], 0x1cd);
	assert_int_equal(f->spec[0].cfg.word[1], 150);
	assert_int_equal(f->spec[1].cfg.word[0], 0x82d0);
	assert_int_equal(f->spec[0].precise, 3);
}

static void test_sapphire_rapids_leader(void **state)
{
	struct fixture *f = *state;
	struct perf_event_attr attr;

	put_cpu(f, "GenuineIntel", false);
	put_core(f, "cpu", "4\n", "event=0xcd,umask=0x1,ldlat=3\n", "event=0xcd,umask=0x2\n");
	put_pmu(f, "cpu", "events/mem-loads-aux", "event=0x3,umask=0x82\n");
	assert_int_equal(specs(f, HT_SRC_PEBS), 2);
	assert_true(f->spec[0].has_leader);
	assert_int_equal(f->spec[0].leader.word[0], 0x8203);
	assert_false(f->spec[1].has_leader);
	ht_perf_leader_attr(&attr, &f->spec[0], HT_PERF_SINGLE);
	assert_int_equal(attr.config, 0x8203);
	assert_int_equal(attr.sample_period, 0); /* it only counts */
	assert_int_equal(attr.precise_ip, 0);
	assert_int_equal(attr.disabled, 1);
}

static void test_hybrid(void **state)
{
	struct fixture *f = *state;

	put_cpu(f, "GenuineIntel", false);
	put_core(f, "cpu_core", "4\n", "event=0xcd,umask=0x1,ldlat=3\n", "event=0xcd,umask=0x2\n");
	put_pmu(f, "cpu_core", "cpus", "0-15\n");
	put_pmu(f, "cpu_core", "events/mem-loads-aux", "event=0x03,umask=0x82\n");
	put_core(f, "cpu_atom", "10\n", "event=0xd0,umask=0x5,ldlat=3\n", "event=0xd0,umask=0x6\n");
	put_pmu(f, "cpu_atom", "cpus", "16-23\n");
	assert_int_equal(specs(f, HT_SRC_PEBS), 4);
	assert_int_equal(f->spec[0].type, 4);
	assert_string_equal(f->spec[0].cpus, "0-15");
	assert_true(f->spec[0].has_leader);
	assert_int_equal(f->spec[2].type, 10);
	assert_string_equal(f->spec[2].name, "cpu_atom/mem-loads");
	assert_string_equal(f->spec[2].cpus, "16-23");
	assert_false(f->spec[2].has_leader);
	assert_int_equal(f->spec[2].cfg.word[0], 0x5d0);
	assert_int_equal(f->spec[3].cfg.word[0], 0x6d0);
}

static void test_amd_ibs(void **state)
{
	struct fixture *f = *state;

	put_cpu(f, "AuthenticAMD", false);
	put_pmu(f, "ibs_op", "type", "11\n");
	put_pmu(f, "ibs_op", "format/cnt_ctl", "config:19\n");
	assert_int_equal(specs(f, HT_SRC_IBS), 1);
	assert_int_equal(f->spec[0].type, 11);
	assert_true(f->spec[0].cfg.word[0] == 1 << 19);
	assert_false(f->spec[0].user_only);
	assert_int_equal(f->spec[0].period % 16, 0);
	assert_int_equal(f->spec[0].precise, 0);
	put_pmu(f, "ibs_op", "format/l3missonly", "config:16\n");
	put_pmu(f, "ibs_op", "format/swfilt", "config2:0\n");
	f->opts.period = 1000;
	assert_int_equal(specs(f, HT_SRC_IBS), 1);
	assert_true(f->spec[0].cfg.word[0] == (1 << 19 | 1 << 16));
	assert_int_equal(f->spec[0].cfg.word[2], 1);
	assert_true(f->spec[0].user_only);
	assert_int_equal(f->spec[0].period, 992);
	f->opts.period = 3;
	assert_int_equal(specs(f, HT_SRC_IBS), 1);
	assert_int_equal(f->spec[0].period, 16);
	assert_int_equal(specs(f, HT_SRC_PEBS), -ENODEV);
	assert_non_null(strstr(f->why, "AuthenticAMD"));
}

static void expect(struct fixture *f, enum ht_source_id id, const char *says)
{
	if (specs(f, id) >= 0)
		fail_msg("%s should not be usable", ht_source_name(id));
	if (!strstr(f->why, says))
		fail_msg("'%s' does not say '%s'", f->why, says);
}

static void test_reasons(void **state)
{
	struct fixture *f = *state;

	put_cpu(f, "GenuineIntel", true);
	expect(f, HT_SRC_PEBS, "virtual machine has no PMU");
	expect(f, HT_SRC_IBS, "GenuineIntel");
	put_core(f, "cpu", "4\n", "event=0xcd,umask=0x1,ldlat=3\n", "event=0xd0,umask=0x82\n");
	put_pmu(f, "cpu", "caps/max_precise", "0\n");
	expect(f, HT_SRC_PEBS, "virtual machine's PMU has no PEBS");
	put_cpu(f, "GenuineIntel", false);
	expect(f, HT_SRC_PEBS, "no PEBS on this CPU");
	put_pmu(f, "cpu", "caps/max_precise", "3\n");
	put_pmu(f, "cpu", "events/mem-loads", "event=0xcd,umask=0x1ff\n");
	expect(f, HT_SRC_PEBS, "make no sense");
	put_pmu(f, "cpu", "events/mem-loads", "\x01\x02%s%n,,,===\n");
	expect(f, HT_SRC_PEBS, "make no sense");
	put_cpu(f, "AuthenticAMD", true);
	expect(f, HT_SRC_IBS, "does not give IBS");
}

static void test_attr_fields(void **state)
{
	const struct ht_perf_spec spec = {
		.type = 4,
		.cfg = { .word = { 0x1cd, 150, 0x77 } },
		.period = 4093,
		.sample_type = PERF_SAMPLE_ADDR | PERF_SAMPLE_DATA_SRC | PERF_SAMPLE_WEIGHT_STRUCT,
		.precise = 3,
		.user_only = true,
	};
	struct perf_event_attr a;

	ht_perf_attr(&a, &spec, HT_PERF_SINGLE);
	assert_int_equal(a.size, sizeof(a));
	assert_int_equal(a.type, 4);
	assert_int_equal(a.config, 0x1cd);
	assert_int_equal(a.config1, 150);
	assert_int_equal(a.config2, 0x77);
	assert_int_equal(a.sample_period, 4093);
	assert_int_equal(a.freq, 0);
	assert_int_equal(a.precise_ip, 3);
	assert_int_equal(a.exclude_kernel, 1);
	assert_int_equal(a.exclude_hv, 1);
	assert_int_equal(a.exclude_user, 0);
	assert_int_equal(a.disabled, 1);
	assert_int_equal(a.inherit, 0);
	assert_int_equal(a.sample_type, spec.sample_type);
	assert_int_equal(a.sample_type & PERF_SAMPLE_PHYS_ADDR, 0);
	assert_int_equal(a.read_format,
			 PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING);
	/* One interrupt each, by the kernel's rule for large PEBS ... */
	assert_true(a.wakeup_events && !a.watermark);
	ht_perf_attr(&a, &spec, 0);
	/* ... and batched. */
	assert_true(!a.freq && !a.wakeup_events);
	ht_perf_attr(&a, &spec, HT_PERF_PER_TASK);
	assert_int_equal(a.inherit, 1);
	assert_int_equal(a.inherit_thread, 1);
}

/* Steps of relaxing end, and end in an error, where the kernel has no such PMU at all. */
static void test_open_relaxes_and_ends(void **state)
{
	struct ht_perf_spec spec = { .type = 0x7ffffff0, .period = 1, .precise = 3 };
	int leader;

	assert_true(ht_perf_open_spec(&spec, HT_PERF_SINGLE, 0, -1, &leader) < 0);
	assert_int_equal(leader, -1);
}

/* One page fault for each page. */
static void touch(struct ht_workout *w)
{
	ht_workout_fault(w);
}

struct real {
	struct ht_object obj;
	struct ht_heatmap heat;
	struct ht_workout w;
	struct ht_source *src;
	struct ht_source_opts opts;
	struct ht_targets targets;
	struct ht_proc self;
};

static bool real_setup(struct real *r, const char *fentry)
{
	memset(r, 0, sizeof(*r));
	if (!bpf_setup(&r->obj, HT_SRC_PAGE_FAULT, fentry))
		return false;
	assert_int_equal(ht_heatmap_init(&r->heat, &r->obj.mem), 0);
	assert_int_equal(ht_workout_open(&r->w, PAGES * 4096), 0);
	r->obj.mem.ctl->enabled = 1;
	bpf_add_target(&r->obj, getpid());
	r->self.tgid = getpid();
	r->targets.proc = &r->self;
	r->targets.nr = 1;
	return true;
}

static void real_teardown(struct real *r)
{
	ht_source_close(r->src);
	ht_workout_close(&r->w);
	ht_heatmap_free(&r->heat);
	ht_object_close(&r->obj);
}

static void check_faults(struct real *r, bool fentry)
{
	struct ht_source_stats st;
	struct ht_cpu_stats before, cpu;

	bpf_stats(&r->obj, &before);
	touch(&r->w);
	assert_int_equal(ht_source_epoch(r->src, &r->targets), 0);
	bpf_stats(&r->obj, &cpu);
	assert_int_equal(ht_source_stats(r->src, &st), 0);
	assert_true(cpu.seen - before.seen >= PAGES);
	assert_true(cpu.counted >= PAGES);
	assert_int_equal(cpu.by_source[HT_SRC_PAGE_FAULT], cpu.seen);
	assert_int_equal(cpu.seen, cpu.counted + cpu.drop[HT_DROP_NOT_TARGET]);
	assert_int_equal(cpu.fentry, fentry ? cpu.seen : 0);
	/* Each fault counted is a sample seen: none missing, none twice. Others' faults go on. */
	assert_true(st.due >= PAGES);
	assert_in_range(cpu.seen, PAGES, st.due);
	assert_true(cpu.seen * 100 >= st.due * 99);
	assert_true(bpf_heat(&r->heat, getpid(), &r->w) >= PAGES);
	print_message("%s: %lu samples of %lu due\n", ht_source_detail(r->src),
		      (unsigned long)cpu.seen, (unsigned long)st.due);
}

static void test_page_faults_single(void **state)
{
	struct real r;

	if (!real_setup(&r, NULL))
		skip();
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
	assert_int_equal(ht_source_period(r.src), 1);
	assert_non_null(strstr(ht_source_detail(r.src), "all CPUs"));
	check_faults(&r, false);
	real_teardown(&r);
}

static void test_page_faults_fentry(void **state)
{
	struct real r;
	int err;

	if (!real_setup(&r, ht_source_fentry_target(HT_SRC_PAGE_FAULT)))
		skip();
	r.opts.drain = HT_DRAIN_LARGE;
	err = ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL);
	if (err) {
		print_message("SKIP: fentry cannot be attached here\n");
		real_teardown(&r);
		skip();
	}
	check_faults(&r, true);
	real_teardown(&r);
}

static void test_period(void **state)
{
	struct ht_cpu_stats cpu;
	struct ht_source_stats st;
	struct real r;

	if (!real_setup(&r, NULL))
		skip();
	r.opts.period = 10;
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
	touch(&r.w);
	bpf_stats(&r.obj, &cpu);
	assert_int_equal(ht_source_stats(r.src, &st), 0);
	assert_in_range(cpu.seen, PAGES / 10 - 5, PAGES / 5);
	assert_in_range(st.due, PAGES / 10 - 5, PAGES / 5);
	real_teardown(&r);
}

/* What is due is counted at the period of its time; a change may cost each CPU a sample or two. */
static void test_density(void **state)
{
	struct ht_source_stats st[3];
	struct ht_cpu_stats cpu[3];
	struct real r;
	int i;

	if (!real_setup(&r, NULL))
		skip();
	r.opts.period = 100;
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
	assert_int_equal(ht_source_densest(r.src), 100);
	for (i = 0; i < 3; i++) {
		assert_int_equal(ht_source_set_density(r.src, i == 1 ? 10 : 1), 0);
		assert_int_equal(ht_source_period(r.src), i == 1 ? 11 : 100);
		touch(&r.w);
		bpf_stats(&r.obj, &cpu[i]);
		assert_int_equal(ht_source_stats(r.src, &st[i]), 0);
	}
	/* Of all processes' faults; those of others cannot be helped, so only ours have a most. */
	assert_true(st[0].due >= PAGES / 100 - 5);
	assert_true(st[1].due - st[0].due >= PAGES / 11 - 10);
	assert_true(st[2].due - st[1].due >= PAGES / 100 - 5);
	assert_in_range(cpu[1].counted - cpu[0].counted, PAGES / 11 - 10, PAGES / 6);
	assert_in_range(cpu[2].counted - cpu[1].counted, PAGES / 100 - 5, PAGES / 50);
	/* Handed over as it is. */
	assert_int_equal(ht_source_set_density(r.src, 10), 0);
	assert_int_equal(ht_source_switch(&r.src, &r.opts, &r.obj.src, NULL,
					  &r.obj.mem.ctl->generation, r.obj.mem.ctl->generation),
			 0);
	assert_int_equal(ht_source_period(r.src), 11);
	real_teardown(&r);
}

/* Events of tasks keep their period, and of each event more than one sample is not to be had. */
static void test_one_density(void **state)
{
	struct real r;

	if (!real_setup(&r, NULL))
		skip();
	for (int per_task = 0; per_task < 2; per_task++) {
		r.opts.per_task = per_task;
		r.opts.period = per_task ? 100 : 1;
		assert_int_equal(
			ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
		assert_int_equal(ht_source_densest(r.src), 1);
		assert_int_equal(ht_source_set_density(r.src, 1), 0);
		assert_int_equal(ht_source_set_density(r.src, 4), -EOPNOTSUPP);
		assert_int_equal(ht_source_period(r.src), r.opts.period);
		ht_source_close(r.src);
	}
	r.src = NULL;
	real_teardown(&r);
}

/* Samples of faults on one CPU. */
static uint64_t seen_on(struct real *r, int cpu)
{
	struct ht_cpu_stats before, after;
	cpu_set_t old, one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_getaffinity(0, sizeof(old), &old) || sched_setaffinity(0, sizeof(one), &one))
		return UINT64_MAX;
	bpf_stats(&r->obj, &before);
	touch(&r->w);
	bpf_stats(&r->obj, &after);
	sched_setaffinity(0, sizeof(old), &old);
	return after.counted - before.counted;
}

/* A CPU that comes is sampled from the next epoch on, one that goes no more; all as it is now. */
static void test_cpus_come_and_go(void **state)
{
	struct fixture *f = *state;
	struct ht_source_stats st[2];
	struct real r;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2 || !real_setup(&r, NULL))
		skip();
	r.opts.roots = &f->roots;
	r.opts.period = 100;
	fs_put(f->dir, "sys/devices/system/cpu/online", "0\n");
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
	assert_int_equal(ht_source_set_density(r.src, 10), 0);
	assert_in_range(seen_on(&r, 0), PAGES / 20, PAGES);
	assert_int_equal(seen_on(&r, 1), 0);
	fs_put(f->dir, "sys/devices/system/cpu/online", "0-1\n");
	assert_int_equal(ht_source_epoch(r.src, &r.targets), 0);
	assert_in_range(seen_on(&r, 1), PAGES / 20, PAGES);
	assert_in_range(seen_on(&r, 0), PAGES / 20, PAGES);
	assert_int_equal(ht_source_epoch(r.src, &r.targets), 0);
	assert_int_equal(ht_source_stats(r.src, &st[0]), 0);
	fs_put(f->dir, "sys/devices/system/cpu/online", "1\n");
	assert_int_equal(ht_source_epoch(r.src, &r.targets), 0);
	assert_int_equal(seen_on(&r, 0), 0);
	assert_in_range(seen_on(&r, 1), PAGES / 20, PAGES);
	/* What was due of an event that is gone was due all the same. */
	assert_int_equal(ht_source_stats(r.src, &st[1]), 0);
	assert_true(st[1].due >= st[0].due + PAGES / 20);
	real_teardown(&r);
}

/* Without the fentry program, batched draining is refused rather than silently deaf. */
static void test_large_needs_fentry(void **state)
{
	struct fs_log log;
	struct real r;

	if (!real_setup(&r, NULL))
		skip();
	r.opts.drain = HT_DRAIN_LARGE;
	fs_log_start(&log);
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL),
			 -EOPNOTSUPP);
	assert_non_null(strstr(fs_log_end(&log), "fentry"));
	assert_null(r.src);
	real_teardown(&r);
}

static void *late_thread(void *arg)
{
	touch(arg);
	return NULL;
}

/*
 * Per task: threads that come later are covered, other processes are not, and a process that is no
 * target any more is not sampled any more.
 */
static void test_per_task(void **state)
{
	struct ht_cpu_stats cpu;
	struct ht_source_stats st;
	struct real r;
	pthread_t t;
	pid_t pid;

	if (!real_setup(&r, NULL))
		skip();
	r.opts.per_task = true;
	assert_int_equal(ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
	assert_int_equal(ht_source_epoch(r.src, &r.targets), 0);
	pthread_create(&t, NULL, late_thread, &r.w);
	pthread_join(t, NULL);
	bpf_stats(&r.obj, &cpu);
	assert_true(cpu.counted >= PAGES);
	pid = fork();
	if (!pid) {
		touch(&r.w);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	bpf_stats(&r.obj, &cpu);
	assert_int_equal(cpu.drop[HT_DROP_NOT_TARGET], 0);
	assert_true(cpu.seen < 2 * PAGES);
	r.targets.nr = 0;
	assert_int_equal(ht_source_epoch(r.src, &r.targets), 0);
	bpf_stats(&r.obj, &cpu);
	touch(&r.w);
	assert_int_equal(ht_source_stats(r.src, &st), 0);
	assert_in_range(cpu.seen, st.due - st.due / 100, st.due);
	real_teardown(&r);
}

static int nr_fds(void)
{
	char path[64];
	int nr = 0, fd;

	for (fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		nr += !access(path, F_OK);
	}
	return nr;
}

static void test_nothing_stays_open(void **state)
{
	struct real r;
	int before, i;

	if (!real_setup(&r, NULL))
		skip();
	before = nr_fds();
	for (i = 0; i < 3; i++) {
		assert_int_equal(
			ht_source_open(&r.src, HT_SRC_PAGE_FAULT, &r.opts, &r.obj.src, NULL), 0);
		assert_true(nr_fds() > before);
		ht_source_close(r.src);
		r.src = NULL;
	}
	assert_int_equal(nr_fds(), before);
	real_teardown(&r);
}

static void test_probe(void **state)
{
	struct ht_source_probe res;
	char buf[8];

	if (ht_read_str(buf, sizeof(buf), "/proc/sys/kernel/perf_event_paranoid") < 0)
		skip();
	assert_int_equal(ht_source_probe(HT_SRC_PAGE_FAULT, NULL, 100, &res), 0);
	print_message("%s\n", res.verdict);
	assert_true(res.due > 1000);
	assert_int_equal(res.zero_addr, 0);
	assert_true(res.seen * 100 >= res.due * 95);
	assert_true(res.in_buffer * 100 >= res.seen * 95);
	assert_int_equal(strncmp(res.verdict, "works: ", 7), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ice_lake, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unnamed_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sapphire_rapids_leader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hybrid, setup, teardown),
		cmocka_unit_test_setup_teardown(test_amd_ibs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reasons, setup, teardown),
		cmocka_unit_test(test_attr_fields),
		cmocka_unit_test(test_open_relaxes_and_ends),
		cmocka_unit_test(test_page_faults_single),
		cmocka_unit_test(test_page_faults_fentry),
		cmocka_unit_test(test_period),
		cmocka_unit_test(test_density),
		cmocka_unit_test(test_one_density),
		cmocka_unit_test_setup_teardown(test_cpus_come_and_go, setup, teardown),
		cmocka_unit_test(test_large_needs_fentry),
		cmocka_unit_test(test_per_task),
		cmocka_unit_test(test_nothing_stays_open),
		cmocka_unit_test(test_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
