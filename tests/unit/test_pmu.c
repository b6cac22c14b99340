// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* PMU descriptions of several CPUs as text, from which configuration bits must come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fs.h"
#include "pmu.h"

#define DEV "sys/bus/event_source/devices/"

struct fixture {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fs_tmpdir(f->dir);
	snprintf(f->sys, sizeof(f->sys), "%s/sys", f->dir);
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->dir);
	f->roots = (struct ht_roots){ .sys = f->sys, .proc = f->proc };
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

/* The core PMU as Ice Lake and its successors describe it. */
static void put_core(struct fixture *f)
{
	fs_put(f->dir, DEV "cpu/type", "4\n");
	fs_put(f->dir, DEV "cpu/format/event", "config:0-7\n");
	fs_put(f->dir, DEV "cpu/format/umask", "config:8-15\n");
	fs_put(f->dir, DEV "cpu/format/edge", "config:18\n");
	fs_put(f->dir, DEV "cpu/format/cmask", "config:24-31\n");
	fs_put(f->dir, DEV "cpu/format/ldlat", "config1:0-15\n");
	fs_put(f->dir, DEV "cpu/events/mem-loads", "event=0xcd,umask=0x1,ldlat=3\n");
	fs_put(f->dir, DEV "cpu/events/mem-stores", "event=0xd0,umask=0x82\n");
	fs_put(f->dir, DEV "cpu/caps/max_precise", "3\n");
}

static void test_core(void **state)
{
	struct fixture *f = *state;
	struct ht_pmu_config cfg = {};
	struct ht_pmu pmu;
	uint64_t cap;

	put_core(f);
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu"), 0);
	assert_int_equal(pmu.type, 4);
	assert_string_equal(pmu.cpus, "");
	assert_true(ht_pmu_has_event(&pmu, "mem-loads"));
	assert_false(ht_pmu_has_event(&pmu, "mem-loads-aux"));
	assert_true(ht_pmu_has_format(&pmu, "ldlat"));
	assert_int_equal(ht_pmu_cap(&pmu, "max_precise", &cap), 0);
	assert_int_equal(cap, 3);
	assert_int_equal(ht_pmu_event(&pmu, &cfg, "mem-loads"), 0);
	assert_int_equal(cfg.word[0], 0x1cd);
	assert_int_equal(cfg.word[1], 3);
	/* A later term replaces an earlier value, it is not mixed with it. */
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "ldlat", 0x100), 0);
	assert_int_equal(cfg.word[1], 0x100);
	memset(&cfg, 0, sizeof(cfg));
	assert_int_equal(ht_pmu_event(&pmu, &cfg, "mem-stores"), 0);
	assert_int_equal(cfg.word[0], 0x82d0);
	assert_int_equal(ht_pmu_parse(&pmu, &cfg, "edge,cmask=2,config2=0x77"), 0);
	assert_int_equal(cfg.word[0], 0x82d0 | 1 << 18 | 2 << 24);
	assert_int_equal(cfg.word[2], 0x77);
}

/* AMD: the event is in two places, a single bit elsewhere. */
static void test_split_bits(void **state)
{
	struct fixture *f = *state;
	struct ht_pmu_config cfg = {};
	struct ht_pmu pmu;

	fs_put(f->dir, DEV "amd/type", "4\n");
	fs_put(f->dir, DEV "amd/format/event", "config:0-7,32-35\n");
	fs_put(f->dir, DEV "amd/format/cnt_ctl", "config:19\n");
	fs_put(f->dir, DEV "amd/format/all", "config1:0-63\n");
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "amd"), 0);
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "event", 0xfcd), 0);
	assert_true(cfg.word[0] == 0xf000000cdULL);
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "event", 0x1fcd), -ERANGE);
	assert_true(cfg.word[0] == 0xf000000cdULL);
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "cnt_ctl", 1), 0);
	assert_true(cfg.word[0] == (0xf000000cdULL | 1 << 19));
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "cnt_ctl", 2), -ERANGE);
	assert_int_equal(ht_pmu_set(&pmu, &cfg, "all", ~0ULL), 0);
	assert_true(cfg.word[1] == ~0ULL);
}

static void test_hybrid_cpus(void **state)
{
	struct fixture *f = *state;
	struct ht_pmu pmu;

	fs_put(f->dir, DEV "cpu_atom/type", "10\n");
	fs_put(f->dir, DEV "cpu_atom/cpus", "16-23\n");
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu_atom"), 0);
	assert_int_equal(pmu.type, 10);
	assert_string_equal(pmu.cpus, "16-23");
}

static void test_hostile_descriptions(void **state)
{
	static const char *const formats[] = {
		"",
		"config",
		"config:",
		"config:a",
		"config:5-",
		"config:9-3",
		"config:0-64",
		"config:1,",
		"config:1;2",
		"configx:1",
		"config9:0-7",
		":0-7",
		"config:-1",
		"config:0-99999999999999999999",
		"config:4294967296",
		"config:0-4294967297",
	};
	static const char *const terms[] = {
		"",
		"event",
		"=1",
		"event=",
		"event=-1",
		"event=0x",
		"event=1x",
		"nosuch=1",
		"../../type=1",
		"event=0x1ff",
		"event=99999999999999999999999",
		"event==1",
	};
	struct fixture *f = *state;
	struct ht_pmu_config cfg = { .word = { 1, 2, 3 } };
	char longer[600];
	struct ht_pmu pmu;
	size_t i;

	put_core(f);
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu"), 0);
	for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		fs_put(f->dir, DEV "cpu/format/bad", formats[i]);
		if (ht_pmu_set(&pmu, &cfg, "bad", 1) >= 0)
			fail_msg("format '%s' was accepted", formats[i]);
	}
	for (i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
		if (strcmp(terms[i], "event") && ht_pmu_parse(&pmu, &cfg, terms[i]) >= 0)
			fail_msg("terms '%s' were accepted", terms[i]);
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_true(ht_pmu_parse(&pmu, &cfg, longer) < 0);
	/* Nothing of a refused text sticks. */
	assert_true(ht_pmu_parse(&pmu, &cfg, "umask=0x5,nosuch=1") < 0);
	assert_int_equal(cfg.word[0], 1);
	assert_int_equal(cfg.word[1], 2);
	assert_int_equal(cfg.word[2], 3);
}

static void test_hostile_pmu(void **state)
{
	struct fixture *f = *state;
	struct ht_pmu pmu;

	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu"), -ENOENT);
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "../cpu"), -EINVAL);
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, ""), -EINVAL);
	fs_put(f->dir, DEV "cpu/type", "99999999999\n");
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu"), -EINVAL);
	fs_put(f->dir, DEV "cpu/type", "four\n");
	assert_int_equal(ht_pmu_open(&pmu, &f->roots, "cpu"), -EINVAL);
}

static void test_cpu_info(void **state)
{
	struct fixture *f = *state;
	struct ht_cpu_info cpu;

	ht_cpu_info_read(&cpu, &f->roots);
	assert_string_equal(cpu.vendor, "");
	fs_put(f->dir, "proc/cpuinfo",
	       "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
	       "model name\t: Some Xeon\nflags\t\t: fpu vme hypervisor lahf_lm\n\n"
	       "processor\t: 1\nvendor_id\t: Second\n");
	ht_cpu_info_read(&cpu, &f->roots);
	assert_string_equal(cpu.vendor, "GenuineIntel");
	assert_string_equal(cpu.model, "Some Xeon");
	assert_int_equal(cpu.family, 6);
	assert_int_equal(cpu.model_nr, 143);
	assert_true(cpu.hypervisor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_core, setup, teardown),
		cmocka_unit_test_setup_teardown(test_split_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hybrid_cpus, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_descriptions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_pmu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cpu_info, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
