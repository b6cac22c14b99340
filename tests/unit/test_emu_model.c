// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Modelled time: latency, queueing at a node's bandwidth, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../tools/lab/emu_model.h"

static void set_up(struct emu_model *m, uint64_t bandwidth, uint64_t threads)
{
	memset(m, 0, sizeof(*m));
	m->mlp = 1;
	m->lat_ps[0] = 80000;
	m->lat_ps[1] = 250000;
	assert_int_equal(emu_model_bandwidth(m, 1, 64, bandwidth), 0);
	emu_model_start(m, threads);
}

/* Run time after so many misses, one thread after the other. */
static uint64_t misses(struct emu_model *m, unsigned int node, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++)
		emu_model_charge(m, emu_model_miss(m, node));
	return m->now_ps;
}

static void bandwidth_is_a_service_time(void **state)
{
	struct emu_model m;

	set_up(&m, 0, 1);
	assert_int_equal(m.line_ps[1], 0);
	assert_int_equal(emu_model_bandwidth(&m, 1, 64, 1000), 0);
	assert_int_equal(m.line_ps[1], 64000); /* 64 bytes at 1 GB/s: 64 ns */
	assert_int_equal(emu_model_bandwidth(&m, EMU_NODES, 64, 1), -EINVAL);
}

static void without_a_cap_a_miss_costs_its_latency(void **state)
{
	struct emu_model m;

	set_up(&m, 0, 1);
	assert_int_equal(misses(&m, 0, 100), 100 * 80000);
	assert_int_equal(misses(&m, 1, 100), 100 * 330000);
}

static void overlap_divides_latency(void **state)
{
	struct emu_model m;

	set_up(&m, 0, 1);
	m.mlp = 4;
	assert_int_equal(misses(&m, 0, 100), 100 * 20000);
}

/* 64 B per 250 ns is 256 MB/s: a cap above changes nothing, one below takes over. */
static void a_thread_is_held_to_the_bandwidth(void **state)
{
	struct emu_model m;

	set_up(&m, 300, 1);
	assert_int_equal(misses(&m, 1, 1000), 1000 * 250000);
	set_up(&m, 64, 1);
	assert_in_range(misses(&m, 1, 1000), 990 * 1000000, 1001 * 1000000);
}

/* Four threads ask for 1024 MB/s in all; at 512 the run takes twice the time, not four times. */
static void threads_share_the_bandwidth(void **state)
{
	struct emu_model m;

	set_up(&m, 0, 4);
	assert_int_equal(misses(&m, 1, 1000), 1000 * 62500);
	set_up(&m, 512, 4);
	assert_in_range(misses(&m, 1, 1000), 1000 * 120000, 1000 * 126000);
}

static void writebacks_use_bandwidth_but_nobody_waits(void **state)
{
	struct emu_model m;
	uint64_t before;

	set_up(&m, 640, 1); /* a line takes 100 ns */
	before = m.now_ps;
	for (unsigned int i = 0; i < 10; i++)
		emu_model_queue(&m, 1);
	assert_int_equal(m.now_ps, before);
	assert_int_equal(emu_model_miss(&m, 1), 250000 + 10 * 100000);
	assert_int_equal(emu_model_miss(&m, 0), 80000);
}

static void a_new_run_finds_empty_queues(void **state)
{
	struct emu_model m;

	set_up(&m, 64, 1);
	for (unsigned int i = 0; i < 10; i++)
		emu_model_queue(&m, 1);
	emu_model_start(&m, 0);
	assert_int_equal(m.threads, 1);
	assert_int_equal(emu_model_miss(&m, 1), 250000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bandwidth_is_a_service_time),
		cmocka_unit_test(without_a_cap_a_miss_costs_its_latency),
		cmocka_unit_test(overlap_divides_latency),
		cmocka_unit_test(a_thread_is_held_to_the_bandwidth),
		cmocka_unit_test(threads_share_the_bandwidth),
		cmocka_unit_test(writebacks_use_bandwidth_but_nobody_waits),
		cmocka_unit_test(a_new_run_finds_empty_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
